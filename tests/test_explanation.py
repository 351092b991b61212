# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Explanations of scores: they add up, and they point at what was put there.
"""

import numpy as np
import pytest

from clustercnn import Classifier
from clustercnn.explanation import (
    Attribution,
    grad_cam,
    integrated_gradients,
    occlusion,
    plot_attributions,
)
from clustercnn.testing import tiny_labels, tiny_stack

# those of test_onnx.py, so that they are compiled once
SMALL = {
    'cn': {'width': 8, 'first_width': 8, 'n_stages': 2},
    'fusion': {'widths': (16,), 'dense_width': 16},
    'mobilenet': {'stages': ((1, 16, 1, 1), (6, 24, 2, 2))},
}


@pytest.fixture(scope='module')
def stack():
    return tiny_stack(3, seed=2)


@pytest.fixture(scope='module', params=SMALL)
def fitted(request):
    classifier = Classifier(
        network=request.param,
        seed=3,
        n_epochs=15,
        batch_size=32,
        learning_rate=5e-3,
        validation_fraction=0.25,
        ensemble=2 if request.param == 'fusion' else 1,
        network_options=SMALL[request.param],
    )
    return classifier.fit(tiny_stack(96), tiny_labels(96))


@pytest.fixture(scope='module')
def gradients(fitted, stack):
    return integrated_gradients(fitted, stack)


def log_odds(classifier, stack):
    # from the logits: a probability near one has lost its digits
    prediction = classifier.predict(stack)
    logits = prediction.logits.astype(float) / classifier.metadata['temperature']
    odds = np.exp(logits)
    positive = list(classifier.schema.positive_codes)
    chosen = odds[:, positive].sum(1)
    return np.log(chosen / np.delete(odds, positive, axis=1).sum(1))


def test_integrated_gradients_are_complete(gradients, fitted, stack):
    change = abs(gradients.score - gradients.baseline)
    assert change.min() > 0.05
    assert (gradients.gap <= 0.0101 * change).all()
    assert set(gradients.bands) == {'xray', 'optical'}
    for name, values in gradients.bands.items():
        assert values.shape == stack.band(name).data.shape
    # one node is no integral, and the gap says so
    rough = integrated_gradients(fitted, stack, most_steps=1)
    assert rough.gap.max() > 0.01 * change.max()
    fine = integrated_gradients(fitted, stack[:1], tolerance=0.001)
    assert fine.gap[0] <= 0.00101 * change[0]


def test_the_score_is_that_of_the_prediction(gradients, fitted, stack):
    np.testing.assert_allclose(gradients.score, log_odds(fitted, stack), atol=1e-3)


def test_what_the_network_does_not_see_gets_nothing(fitted, stack):
    xray_only = stack[:1].replace(bands=[stack[:1].band('xray')])
    attribution = integrated_gradients(fitted, xray_only, most_steps=4)
    np.testing.assert_array_equal(attribution.bands['optical'], 0)
    assert abs(attribution.bands['xray']).max() > 0
    if fitted.network == 'fusion':
        assert set(attribution.features) == set(fitted.inputs.features)
    else:
        assert all((values == 0).all() for values in attribution.features.values())


def test_occlusion_is_the_fall_of_the_score(fitted, stack):
    one = stack[:1]
    attribution = occlusion(fitted, one, n_blocks=2)
    # all of a band covered is a band of sky: the score of a cutout as bright as its sky
    whole = occlusion(fitted, one, n_blocks=1)
    assert whole.bands['xray'].shape == (1, 1, 1)
    assert attribution.bands['optical'].shape == (1, 2, 2)
    assert abs(attribution.bands['xray']).max() > 1e-4
    np.testing.assert_allclose(attribution.score, log_odds(fitted, one), atol=1e-3)
    with pytest.raises(ValueError, match="'n_blocks' must be between 1 and"):
        occlusion(fitted, one, n_blocks=1000)


def test_pixels_that_are_not_valid_contribute_nothing(fitted, stack):
    one = stack[:1]
    band = one.band('xray')
    mask = band.mask.copy()
    mask[:, :3, -4:] = True
    masked = one.replace(bands=[band.replace(mask=mask), one.band('optical')])
    values = integrated_gradients(fitted, masked, most_steps=4).bands['xray'][0]
    np.testing.assert_array_equal(values[mask[0]], 0)
    assert (values[~mask[0]] != 0).mean() > 0.3


def test_grad_cam_is_a_map_of_the_last_layer(fitted, stack):
    attribution = grad_cam(fitted, stack)
    names = {'xray', 'optical'} if fitted.network == 'fusion' else {'all'}
    assert set(attribution.bands) == names
    for values in attribution.bands.values():
        assert values.ndim == 3 and len(values) == 3
        assert (values >= 0).all() and np.isfinite(values).all()
    np.testing.assert_allclose(attribution.score, log_odds(fitted, stack), atol=1e-3)
    # several items at once are each item alone
    alone = grad_cam(fitted, stack[1:2])
    for name, values in attribution.bands.items():
        np.testing.assert_allclose(alone.bands[name][0], values[1], rtol=1e-5, atol=1e-7)


def test_figure(gradients, fitted, stack, tmp_path):
    figure = plot_attributions(stack, [gradients, grad_cam(fitted, stack)], row=1)
    assert len(figure.axes) == 6
    assert stack.ids[1] in figure.get_suptitle()
    figure.savefig(tmp_path / 'figure.png')
    assert (tmp_path / 'figure.png').stat().st_size > 10_000


def test_classes_without_odds(stack):
    from clustercnn import LabelSchema

    labels = tiny_labels(24)
    schema = LabelSchema(labels.schema.classes, labels.schema.classes)
    classifier = Classifier(n_epochs=1, validation_fraction=0, network_options=SMALL['cn'])
    classifier.fit(tiny_stack(24), labels.replace(schema=schema))
    with pytest.raises(ValueError, match='no odds to explain'):
        grad_cam(classifier, stack)


def test_figure_is_of_what_was_explained(stack):
    def attribution(ids):
        return Attribution(
            kind='occlusion',
            ids=tuple(ids),
            score=np.zeros(len(ids)),
            baseline=np.zeros(len(ids)),
            bands={'xray': np.ones((len(ids), 2, 2))},
            features={},
        )

    right = attribution(stack.ids)
    assert plot_attributions(stack, [right], row=-1).axes
    # a picture of one cutout beside what another one's score hangs on
    with pytest.raises(ValueError, match='give the stack that was explained'):
        plot_attributions(stack[1:], [right])
    with pytest.raises(ValueError, match='give the stack that was explained'):
        plot_attributions(stack, [right, attribution(stack.ids[::-1])])
    with pytest.raises(ValueError, match='no attribution to draw'):
        plot_attributions(stack, [])
    with pytest.raises(IndexError, match="'row' 3 is not there: 3 cutouts"):
        plot_attributions(stack, [right], row=3)
