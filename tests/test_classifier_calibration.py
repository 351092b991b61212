# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Thresholds, conformal sets and priors of a classifier.
"""

import numpy as np
import pytest

from clustercnn import CandidateCatalog, Classifier, LabelSet, PredictionSet
from clustercnn._classifier_calibration import PURITIES, _thresholds
from clustercnn.exceptions import DataQualityWarning, TrainingError
from clustercnn.pipeline import classify_cutouts
from clustercnn.testing import assert_identical, tiny_labels, tiny_stack
from clustercnn.training import conformal_limits, conformal_sets, softmax

N = 160


def blurred_labels(n):
    # every sixteenth label is turned round, so that no threshold is without errors
    names = tiny_labels(n).names()
    other = {'cluster': 'point', 'point': 'cluster'}
    names = [other[name] if row % 32 in (3, 22) else name for row, name in enumerate(names)]
    return LabelSet.from_labels(tiny_labels(n).ids, names)


@pytest.fixture(scope='module')
def fitted():
    options = {'widths': (8, 8), 'dense_width': 8}
    classifier = Classifier(
        network='fusion', seed=3, n_epochs=6, learning_rate=3e-3, network_options=options
    )
    return classifier.fit(tiny_stack(64), tiny_labels(64))


@pytest.fixture(scope='module')
def model_path(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'model.safetensors'
    fitted.save(path)
    return path


@pytest.fixture(scope='module')
def calibrated(model_path):
    classifier = Classifier.load(model_path)
    groups = np.arange(N) // 8
    return classifier.calibrate(tiny_stack(N, seed=5), blurred_labels(N), groups=groups)


def test_uncalibrated_models_have_no_thresholds(fitted):
    assert fitted.thresholds == ()
    with pytest.raises(ValueError, match=r'no threshold for a purity of 0\.9; there are: none'):
        fitted.threshold(0.9)
    with pytest.raises(ValueError, match='call calibrate'):
        fitted.conformal_sets(fitted.predict(tiny_stack(4)))


def test_thresholds_keep_their_purity(calibrated):
    stack, labels = tiny_stack(N, seed=5), blurred_labels(N)
    score, truth = calibrated.predict(stack).p_positive, labels.binary()
    assert calibrated.thresholds
    for row in calibrated.thresholds:
        assert row['purity'] in PURITIES
        chosen = score >= np.float32(row['threshold']) - 1e-6
        assert truth[chosen].mean() >= row['purity']
        value, low, high = row['measured_purity']
        assert low <= value <= high
        assert value == pytest.approx(truth[chosen].mean(), abs=0.02)
        assert row['completeness'][0] == pytest.approx((chosen & (truth > 0)).sum() / truth.sum())
        assert calibrated.threshold(row['purity']) == row['threshold']


def test_wrong_labels_raise_the_temperature(model_path, calibrated):
    other = Classifier.load(model_path).calibrate(tiny_stack(N, seed=5), tiny_labels(N))
    assert calibrated.metadata['temperature'] > 1.5 * other.metadata['temperature']
    np.testing.assert_array_equal(
        other.predict(tiny_stack(8)).logits, calibrated.predict(tiny_stack(8)).logits
    )
    kept = calibrated.metadata['calibration']
    assert (kept['cutouts'], kept['groups']) == (N, N // 8)


def test_calibration_is_kept_in_the_file(calibrated, tmp_path):
    calibrated.save(tmp_path / 'model.safetensors')
    loaded = Classifier.load(tmp_path / 'model.safetensors')
    assert loaded.thresholds == calibrated.thresholds
    stack = tiny_stack(20, seed=9)
    assert_identical(loaded.predict(stack), calibrated.predict(stack))
    np.testing.assert_array_equal(
        loaded.conformal_sets(loaded.predict(stack)),
        calibrated.conformal_sets(calibrated.predict(stack)),
    )


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (lambda s, t: (s, t[:4], {}), TrainingError, '10 known labels at least'),
        (
            lambda s, t: (s, LabelSet.from_labels(t.ids, ['point'] * len(t)), {}),
            TrainingError,
            'got 40, of them 0 positive',
        ),
        (lambda s, t: (s, t, {'groups': [1]}), ValueError, 'one value a cutout, 40'),
        (lambda s, t: (s, t, {'groups': [1] * 40}), ValueError, "of one of the 'groups'"),
        (lambda s, t: (s[:30], t, {}), ValueError, '10 of 40 labels have no cutout'),
        (
            lambda s, t: (
                s,
                LabelSet.from_labels(t.ids, t.names(), schema=('cluster', 'point')),
                {},
            ),
            ValueError,
            'the labels have the classes',
        ),
    ],
)
def test_labels_that_do_not_calibrate(fitted, change, error, message):
    stack, labels, options = change(tiny_stack(40), tiny_labels(40))
    with pytest.raises(error, match=message):
        fitted.calibrate(stack, labels, **options)


def test_conformal_sets_cover_each_class():
    # badly calibrated on purpose: coverage must not depend on that
    rng = np.random.default_rng(1)

    def draw(n, share):
        codes = (rng.random(n) < share).astype(int)
        score = 1 / (1 + np.exp(-5 * (1.5 * (2 * codes - 1) + 1.2 * rng.standard_normal(n))))
        return np.stack([1 - score, score], axis=1), codes

    limits = conformal_limits(*draw(2000, 0.2))
    probability, codes = draw(20_000, 0.6)
    for coverage in (0.8, 0.9, 0.95):
        sets = conformal_sets(probability, limits, coverage=coverage)
        for code in (0, 1):
            covered = sets[codes == code, code].mean()
            assert covered == pytest.approx(coverage, abs=0.03)


def test_conformal_limits_of_too_few_accept_all():
    limits = conformal_limits([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    assert conformal_sets([[0.5, 0.5]], limits, coverage=0.95).all()
    assert conformal_sets([[0.5, 0.5]], limits, coverage=0.999).all()
    with pytest.raises(ValueError, match='above 0 and below 1'):
        conformal_sets([[0.5, 0.5]], limits, coverage=1)


def test_weights_of_zero_say_nothing_of_a_class():
    limits = conformal_limits([[0.9, 0.1]] * 60, [0] * 30 + [1] * 30, weight=[1] * 30 + [0] * 30)
    assert limits['limit'][0][0] == 0.9 and not any(limits['limit'][1])


def test_another_prior_gives_calibrated_probabilities():
    # two Gaussians: the probability at a prior is known
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(1, 1, 4000), rng.normal(-1, 1, 36_000)])
    truth = np.arange(len(x)) < 4000
    even = 1 / (1 + np.exp(-2 * x))
    prediction = PredictionSet(
        ids=[str(row) for row in range(len(x))],
        probability=np.stack([even, 1 - even], axis=1),
        schema=('cluster', 'point'),
        std=np.full(len(x), 0.01),
        meta={'prior_cluster': 0.5, 'prior_point': 0.5},
    )
    moved = prediction.at_prior(0.1)
    for low, high in ((0.02, 0.1), (0.1, 0.3), (0.3, 0.9)):
        chosen = (moved.p_positive > low) & (moved.p_positive < high)
        assert moved.p_positive[chosen].mean() == pytest.approx(truth[chosen].mean(), abs=0.03)
    assert moved.meta['prior_cluster'] == pytest.approx(0.1)
    np.testing.assert_allclose(moved.at_prior(0.5).probability, prediction.probability, atol=1e-5)
    # where the probability falls towards zero so does its spread
    assert moved.std[np.argmin(even)] < 0.01
    same = prediction.at_prior({'cluster': 0.1, 'point': 0.9})
    np.testing.assert_array_equal(same.probability, moved.probability)


@pytest.mark.parametrize(
    'prior', [1.2, -0.1, np.nan, '0.1', None, {'cluster': 0.2}, {'cluster': 1, 'point': 1}]
)
def test_priors_that_make_no_sense(prior):
    prediction = PredictionSet(
        ids=['a'],
        probability=[[0.5, 0.5]],
        schema=('cluster', 'point'),
        meta={'prior_cluster': 0.5, 'prior_point': 0.5},
    )
    with pytest.raises(ValueError, match="'prior' must"):
        prediction.at_prior(prior)


def test_spreads_stay_possible():
    prediction = PredictionSet(
        ids=['a', 'b', 'c'],
        probability=[[0.01, 0.99], [0.0, 1.0], [0.5, 0.5]],
        schema=('cluster', 'point'),
        std=[0.1, 0.1, 0.1],
        meta={'prior_cluster': 0.01, 'prior_point': 0.99},
    )
    same, moved = prediction.at_prior(0.01), prediction.at_prior(0.5)
    assert same.std[2] == pytest.approx(0.1)
    assert ((moved.std >= 0) & (moved.std <= 0.5)).all()


def test_a_class_without_a_share_cannot_get_one():
    prediction = PredictionSet(
        ids=['a'],
        probability=[[1.0, 0.0]],
        schema=('cluster', 'point'),
        meta={'prior_cluster': 1.0, 'prior_point': 0.0},
    )
    with pytest.raises(ValueError, match="nothing is known of the class 'point'"):
        prediction.at_prior({'cluster': 0.5, 'point': 0.5})


def test_sets_of_predictions_at_another_prior_are_refused(calibrated):
    prediction = calibrated.predict(tiny_stack(4))
    with pytest.raises(ValueError, match='hold at another prior'):
        calibrated.conformal_sets(prediction.at_prior(0.01))


def test_weights_tied_to_difficulty_keep_the_coverage():
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(200):
        hard = rng.random(200) < 0.1
        score = np.where(hard, rng.uniform(0.2, 0.9, 200), rng.uniform(0.8, 1.0, 200))
        probability = np.stack([score, 1 - score], axis=1)
        limits = conformal_limits(probability, np.zeros(200, int), weight=np.where(hard, 20.0, 1.0))
        lowest = limits['limit'][0][limits['coverage'].index(0.95)]
        # the hard ones stand for 20 each
        of_hard, of_easy = np.clip((0.9 - lowest) / 0.7, 0, 1), np.clip((1 - lowest) / 0.2, 0, 1)
        covered.append((0.1 * 20 * of_hard + 0.9 * of_easy) / (0.1 * 20 + 0.9))
    assert np.mean(covered) >= 0.945


def test_predictions_without_a_prior_cannot_move():
    prediction = PredictionSet(ids=['a'], probability=[[0.5, 0.5]], schema=('cluster', 'point'))
    with pytest.raises(ValueError, match='meta lacks prior_cluster, prior_point'):
        prediction.at_prior(0.1)


def test_prior_of_the_pipeline(fitted, tmp_path):
    usual = classify_cutouts(tiny_stack(12), model=fitted)
    rarer = classify_cutouts(
        tiny_stack(12), model=fitted, prior=0.05, output=tmp_path / 'catalog.fits'
    )
    order = np.argsort(list(usual.ids)), np.argsort(list(rarer.ids))
    assert (rarer['p_cluster'][order[1]] < usual['p_cluster'][order[0]]).all()
    # which prior a catalogue holds at, and of which model it is
    assert rarer.meta['prior_cluster'] == pytest.approx(0.05)
    assert usual.meta['prior_cluster'] == pytest.approx(fitted.metadata['class_prior'][0])
    assert usual.meta['training_data'] == fitted.metadata['data_digest']
    read = CandidateCatalog.read(tmp_path / 'catalog.fits')
    assert read.meta['PRIOR_CL'] == pytest.approx(0.05)


def test_cutouts_without_x_rays_are_classified_with_a_warning(fitted):
    stack = tiny_stack(4)
    band = stack.band('xray')
    mask = np.zeros(band.data.shape, bool)
    mask[1] = True
    bands = [band.replace(data=np.where(mask, 0, band.data), mask=mask), stack.band('optical')]
    spoilt = stack.replace(bands=bands)
    with pytest.warns(DataQualityWarning, match=r"1 of 4 cutouts, the first '2', have no pixel"):
        prediction = fitted.predict(spoilt)
    assert_identical(prediction.select(['1', '3']), fitted.predict(stack).select(['1', '3']))


def test_few_pure_candidates_do_not_prove_a_purity():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(20):
        truth = rng.random(600) < 0.05
        score = softmax(np.stack([rng.normal(np.where(truth, 2, 0), 1), np.zeros(600)], axis=1))
        rows = _thresholds(score[:, 0], truth, np.ones(600), None)
        for row in rows:
            if row['purity'] < 0.99:
                continue
            purity, low, high = row['measured_purity']
            others = rng.random(200_000) < 0.05
            draws = rng.normal(np.where(others, 2, 0), 1)
            above = 1 / (1 + np.exp(-draws)) >= row['threshold']
            held.append(low <= others[above].mean() <= high)
            assert low < 1 or purity < 1
    # chosen where it looks best, the purity is too good, but no longer beyond all its interval
    assert len(held) > 10
    assert np.mean(held) > 0.6


def test_labels_without_weight_calibrate_nothing(model_path):
    stack, labels = tiny_stack(N, seed=5), blurred_labels(N)
    weight = np.where(labels.binary() > 0.5, 0.0, 1.0)
    with pytest.raises(TrainingError, match='0 positive'):
        Classifier.load(model_path).calibrate(stack, labels.replace(weight=weight))


def test_a_rate_image_is_no_image_of_counts(model_path):
    stack = tiny_stack(4)
    rate = stack.band('xray').replace(unit='ct / s')
    stack = stack.replace(bands=[rate, stack.band('optical')])
    with pytest.raises(ValueError, match=r"X-ray band 'xray' is in ct / s, expected counts"):
        Classifier.load(model_path).predict(stack)
    with pytest.raises(ValueError, match='expected counts'):
        Classifier(n_epochs=1).fit(stack, tiny_labels(4))
