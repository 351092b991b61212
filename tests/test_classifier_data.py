# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What goes into a training and what is held back: groups, weights, units, masks.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn

from clustercnn import Classifier, CutoutStack, LabelSet
from clustercnn._classifier_data import choose_validation
from clustercnn.exceptions import TrainingError
from clustercnn.explanation import grad_cam, occlusion, plot_attributions
from clustercnn.testing import tiny_labels, tiny_stack
from clustercnn.training import binary_auc

# a network that is quickly compiled
SMALL = {
    'network': 'cn',
    'n_epochs': 1,
    'network_options': {'first_width': 8, 'width': 8, 'n_stages': 2},
}


@pytest.mark.parametrize('sizes', [[950, 50], [900] + [10] * 10, [300, 300, 300, 50, 50]])
@pytest.mark.parametrize('seed', range(5))
def test_a_large_group_is_not_held_back(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    codes = np.random.default_rng(seed).integers(0, 2, len(groups))
    held = choose_validation(codes, groups, fraction=0.15, seed=seed)
    assert 0.04 < held.mean() < 0.23
    assert all(held[groups == group].all() or not held[groups == group].any() for group in groups)


def test_of_large_groups_only_the_smallest_is_held_back():
    groups = np.repeat([0, 1, 2], [400, 350, 250])
    held = choose_validation(np.arange(1000) % 2, groups, fraction=0.15, seed=1)
    assert set(groups[held]) == {2}


def test_groups_without_a_name_are_refused():
    groups = ['a'] * 30 + [None] + ['b'] * 33
    with pytest.raises(
        ValueError, match="'groups' has no value for 1 cutouts, the first in row 30"
    ):
        Classifier(**SMALL).fit(tiny_stack(64), tiny_labels(64), groups=groups)


def test_what_is_trained_on_does_not_validate():
    stack, labels = tiny_stack(24), tiny_labels(24)
    with pytest.raises(ValueError, match='24 of 24 labels for validation are of cutouts that are'):
        Classifier(**SMALL).fit(stack, labels, validation=(stack, labels))
    with pytest.raises(TypeError, match="'validation' must be a CutoutStack and its LabelSet"):
        Classifier(**SMALL).fit(stack, labels, validation=stack)
    # of the same names, and not the same; and of one stack, each with labels of its own
    for data, held in (
        ((stack, labels), (tiny_stack(24, seed=9), labels)),
        ((stack, labels[:12]), (stack, labels[12:])),
    ):
        classifier = Classifier(**SMALL).fit(*data, validation=held)
        assert classifier.metadata['validation']['n'] == len(held[1])


def test_a_validation_set_without_weight_is_refused():
    labels = tiny_labels(24)
    held = tiny_stack(24, seed=9), labels.replace(weight=np.zeros(24))
    with pytest.raises(TrainingError, match='all validation weights are zero'):
        Classifier(**SMALL).fit(tiny_stack(24), labels, validation=held)


def test_labels_that_differ_only_in_how_sure_they_are_can_be_learnt():
    stack = tiny_stack(24)
    share = np.linspace(0.55, 0.95, 24)
    schema = ('cluster', 'other')
    labels = LabelSet(
        ids=stack.ids, schema=schema, probability=np.stack([share, 1 - share], axis=1)
    )
    Classifier(validation_fraction=0, **SMALL).fit(stack, labels)
    same = labels.replace(probability=np.tile([0.8, 0.2], (24, 1)))
    with pytest.raises(TrainingError, match="all 24 labels are 'cluster', equally certain"):
        Classifier(**SMALL).fit(stack, same)


def test_the_area_counts_pairs_by_their_weight():
    score, truth = [0.1, 0.4, 0.35, 0.8, 0.2], [False, False, True, True, True]
    equal = binary_auc(score, truth, weight=np.full(5, 7.0))
    assert equal == pytest.approx(binary_auc(score, truth))
    # 0.35 is above the first, of weight 1, and 0.8 above both
    assert binary_auc(score, truth, weight=[1, 3, 1, 1, 0]) == pytest.approx((1 + 4) / (2 * 4))
    assert binary_auc(score, truth, weight=[1, 1, 0, 0, 0]) is None


def test_masked_numbers_and_units_of_features_are_heeded():
    arrays = {'xray': np.ones((3, 8, 8))}
    features = {
        'extent': MaskedColumn([0.1, 1e20, 0.3], mask=[False, True, False], unit='arcmin'),
        'psf_fwhm': [0.1, 0.2, 0.3] * u.arcmin,
        'counts': np.ma.array([1, 2, 3], mask=[True, False, False]),
    }
    found = CutoutStack.from_arrays(arrays, features=features).features
    np.testing.assert_allclose(found['extent'], [6, np.nan, 18], rtol=1e-6)
    np.testing.assert_allclose(found['psf_fwhm'], [6, 12, 18], rtol=1e-6)
    np.testing.assert_allclose(found['counts'], [np.nan, 2, 3])
    with pytest.raises(ValueError, match="feature 'extent' is in kpc, expected arcsec"):
        CutoutStack.from_arrays(arrays, features={'extent': [1, 2, 3] * u.kpc})


def test_features_of_ones_own_keep_their_unit():
    arrays = {'xray': np.ones((2, 8, 8))}
    features = {'mag': [17.0, 18.0] * u.mag, 'counts': [5, 6] * u.ph, 'extent': u.Quantity([1, 2])}
    found = CutoutStack.from_arrays(arrays, features=features).features
    for name, values in (('mag', [17, 18]), ('counts', [5, 6]), ('extent', [1, 2])):
        np.testing.assert_allclose(found[name], values)


def test_masked_groups_are_no_groups():
    groups = np.ma.array(['a', 'b'] * 12, mask=[False, True] + [False] * 22)
    with pytest.raises(ValueError, match="'groups' has no value for 1 cutouts, the first in row 1"):
        Classifier(**SMALL).fit(tiny_stack(24), tiny_labels(24), groups=groups)


def test_the_unit_of_strangeness_is_of_what_was_held_back():
    stack, labels = tiny_stack(160), tiny_labels(160)
    held_back = Classifier(validation_fraction=0.5, seed=1, **SMALL).fit(stack, labels)
    assert held_back.metadata['validation']['n'] == 80
    strange = held_back.predict(tiny_stack(200, seed=7)).ood
    assert 0.0 < (strange > 1).mean() < 0.13


def test_masked_pixels_and_labels_are_heeded():
    picture = np.ma.array(np.ones((2, 4, 4)), mask=np.zeros((2, 4, 4), bool))
    picture[0, 1, 2] = np.ma.masked
    stack = CutoutStack.from_arrays({'g': picture})
    assert stack.band('g').mask.sum() == 1
    assert stack.band('g').mask[0, 1, 2]
    probability = np.ma.array([[0.7, 0.3], [0.5, 0.5]], mask=[[False, False], [True, True]])
    labels = LabelSet(ids=(b'a', 'b'), schema=('cluster', 'other'), probability=probability)
    assert labels.ids == ('a', 'b')
    assert labels.known.tolist() == [True, False]
    with pytest.raises(ValueError, match="'weight' has 1 masked values"):
        labels.replace(weight=np.ma.array([1.0, 5.0], mask=[False, True]))


@pytest.mark.parametrize('name', ['nan', None, 'Unknown', '', b'unknown', np.ma.masked])
def test_what_names_nothing_is_unknown(name):
    labels = LabelSet.from_labels(['a', 'b'], ['cluster', name])
    assert labels.known.tolist() == [True, False]


def test_what_was_learnt_from_votes_goes_on_with_experts():
    stack, labels = tiny_stack(24), tiny_labels(24)
    voted = LabelSet.from_votes(labels.ids, labels.soft() * 9, schema=labels.schema)
    options = {'training_options': {'target': 'votes'}, 'validation_fraction': 0}
    classifier = Classifier(**options, **SMALL).fit(stack, voted)
    with pytest.raises(TrainingError, match="target='votes' needs counts of votes"):
        classifier.fine_tune(stack, labels, n_epochs=1)
    tuned = classifier.fine_tune(
        stack, labels, n_epochs=1, training_options={'target': 'probability'}
    )
    assert tuned.metadata['training']['target'] == 'probability'
    with pytest.raises(ValueError, match="give n_epochs as an argument, not in 'training_options'"):
        classifier.fine_tune(stack, labels, training_options={'n_epochs': 3})


def test_maps_are_drawn_where_the_model_looks():
    small = tiny_stack(8)
    classifier = Classifier(validation_fraction=0, **SMALL).fit(small, tiny_labels(8))
    # the same pixels, twice as many along each side
    ny, nx = small['xray'].shape[1:]
    wide = CutoutStack.from_arrays(
        {
            name: np.pad(small.band(name).data, ((0, 0), (ny // 2, ny // 2), (nx // 2, nx // 2)))
            for name in small.band_names
        },
        pixel_scale={name: small.band(name).pixel_scale for name in small.band_names},
        features=small.features,
    )
    maps = occlusion(classifier, wide, n_blocks=4)
    figure = plot_attributions(wide, [maps])
    left, right, _, _ = figure.axes[1].images[0].get_extent()
    middle = (2 * nx - 1) / 2
    np.testing.assert_allclose([left, right], [middle - nx / 2, middle + nx / 2])
    assert figure.axes[1].get_xlim() == figure.axes[0].get_xlim()
    assert len(grad_cam(classifier, small[:0]).score) == 0


def test_predictions_of_folds_can_be_brought_to_another_prior():
    stack = tiny_stack(24)
    labels = LabelSet.from_labels(stack.ids, tiny_labels(24).names(), schema=('cluster', 'point'))
    classifier = Classifier(validation_fraction=0, **SMALL)
    prediction, _ = classifier.cross_validate(stack, labels, n_folds=2)
    shares = {name: prediction.meta[f'prior_{name}'] for name in labels.schema.classes}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
    moved = prediction.at_prior(shares)
    np.testing.assert_allclose(moved.probability, prediction.probability, atol=1e-6)
