# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Figures of merit against brute force, closed forms and another implementation.
"""

import json

import numpy as np
import pytest
from astropy.table import MaskedColumn
from astropy.utils.masked import Masked
from scipy import stats

from clustercnn import LabelSchema, LabelSet, PredictionSet, evaluation
from clustercnn.testing import tiny_labels, tiny_prediction


@pytest.fixture(params=[1, 2, 3])
def sample(request):
    """
    Scores with many ties, truths and weights.
    """
    rng = np.random.default_rng(request.param)
    truth = rng.random(300) < 0.3
    score = np.round(np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1), 2)
    return score, truth, rng.uniform(0.2, 3, 300)


def test_auc_is_the_share_of_pairs_in_order(sample):
    score, truth, weight = sample
    above = score[truth][:, None] - score[~truth]
    pairs = weight[truth][:, None] * weight[~truth]
    expected = (pairs * ((above > 0) + 0.5 * (above == 0))).sum() / pairs.sum()
    assert evaluation.roc_auc(score, truth, weight=weight) == pytest.approx(expected, abs=1e-12)


def test_curves_agree_with_scikit_learn(sample):
    metrics = pytest.importorskip('sklearn.metrics')
    score, truth, weight = sample
    rates = metrics.roc_curve(truth, score, sample_weight=weight, drop_intermediate=False)
    curve = evaluation.roc_curve(score, truth, weight=weight)
    np.testing.assert_allclose(curve.false_positive_rate, rates[0], atol=1e-12)
    np.testing.assert_allclose(curve.true_positive_rate, rates[1], atol=1e-12)
    np.testing.assert_array_equal(curve.threshold, rates[2])
    precision, recall, threshold = metrics.precision_recall_curve(
        truth, score, sample_weight=weight
    )
    curve = evaluation.purity_completeness(score, truth, weight=weight)
    np.testing.assert_allclose(curve.purity[::-1], precision[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.completeness[::-1], recall[:-1], atol=1e-12)
    np.testing.assert_array_equal(curve.threshold[::-1], threshold)
    assert evaluation.average_precision(score, truth, weight=weight) == pytest.approx(
        metrics.average_precision_score(truth, score, sample_weight=weight), abs=1e-12
    )
    assert evaluation.brier_score(score, truth, weight=weight) == pytest.approx(
        metrics.brier_score_loss(truth, score, sample_weight=weight), abs=1e-12
    )
    codes = (score > 0.5).astype(int)
    np.testing.assert_allclose(
        evaluation.confusion_matrix(codes, truth, n_classes=2, weight=weight),
        metrics.confusion_matrix(truth, codes, sample_weight=weight),
    )


def test_auc_of_one_class_is_not_a_number():
    assert np.isnan(evaluation.roc_auc([0.1, 0.2], [1, 1]))
    assert np.isnan(evaluation.roc_auc([], []))
    assert np.isnan(evaluation.roc_auc_interval([0.1, 0.2], [0, 0])).all()
    assert np.isnan(evaluation.average_precision([0.1], [0]))


@pytest.mark.parametrize('method', ['bootstrap', 'delong'])
def test_auc_interval_covers_the_truth_as_often_as_it_says(method):
    rng = np.random.default_rng(11)
    expected = stats.norm.cdf(1.2 / np.sqrt(2))
    n_trials, n_covered = 200, 0
    for trial in range(n_trials):
        truth = np.arange(160) % 2 == 0
        score = rng.normal(1.2 * truth, 1)
        low, high = evaluation.roc_auc_interval(
            score, truth, method=method, confidence=0.9, n_resamples=200, seed=trial
        )
        n_covered += low <= expected <= high
    # within three binomial sigma of 180, and a little for the percentile bootstrap
    assert 165 <= n_covered <= 194


def test_delong_variance_is_that_of_its_definition():
    rng = np.random.default_rng(3)
    truth = rng.random(60) < 0.4
    score = np.round(rng.normal(truth, 1), 1)
    above = score[truth][:, None] - score[~truth]
    order = (above > 0) + 0.5 * (above == 0)
    auc = order.mean()
    sigma = np.sqrt(
        order.mean(1).var(ddof=1) / truth.sum() + order.mean(0).var(ddof=1) / (~truth).sum()
    )
    low, high = evaluation.roc_auc_interval(score, truth, method='delong')
    logit = np.log([low / (1 - low), auc / (1 - auc), high / (1 - high)])
    step = stats.norm.ppf(0.975) * sigma / (auc * (1 - auc))
    np.testing.assert_allclose(np.diff(logit), step, rtol=1e-9)


def test_bootstrap_of_groups_is_wider_when_groups_are_alike():
    rng = np.random.default_rng(4)
    truth = np.repeat(np.arange(20) % 2 == 0, 20)
    shift = np.repeat(rng.normal(0, 1, 20), 20)
    score = truth + shift + rng.normal(0, 0.2, 400)
    groups = np.repeat(np.arange(20), 20)
    low, high = evaluation.roc_auc_interval(score, truth)
    low_groups, high_groups = evaluation.roc_auc_interval(score, truth, groups=groups)
    assert high_groups - low_groups > 2 * (high - low)


def test_same_seed_gives_the_same_interval(sample):
    score, truth, _ = sample
    one = evaluation.roc_auc_interval(score, truth, seed=5, n_resamples=50)
    assert one == evaluation.roc_auc_interval(score, truth, seed=5, n_resamples=50)
    assert one != evaluation.roc_auc_interval(score, truth, seed=6, n_resamples=50)


@pytest.mark.parametrize('counts', [(0, 10), (3, 10), (10, 10), (450, 1000)])
def test_wilson_interval_solves_its_equation(counts):
    k, n = counts
    z = stats.norm.ppf(0.975)
    for edge in evaluation.wilson_interval(k, n):
        if 0 < edge < 1:
            assert abs(k / n - edge) == pytest.approx(z * np.sqrt(edge * (1 - edge) / n))
    reference = stats.binomtest(k, n).proportion_ci(method='wilson')
    np.testing.assert_allclose(evaluation.wilson_interval(k, n), reference, atol=1e-12)


def test_wilson_interval_without_trials_knows_nothing():
    assert evaluation.wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="from 0 to 'n_trials', got 3 of 2"):
        evaluation.wilson_interval(3, 2)


@pytest.mark.parametrize('n_one', [0, 1, 4, 9])
def test_mcnemar_is_the_binomial_test_of_what_differs(n_one):
    one = np.r_[np.ones(n_one), np.zeros(6), np.ones(20)].astype(bool)
    other = np.r_[np.zeros(n_one), np.ones(6), np.ones(20)].astype(bool)
    expected = stats.binomtest(n_one, n_one + 6).pvalue
    assert evaluation.mcnemar_exact(one, other) == pytest.approx(expected)
    assert evaluation.mcnemar_exact(one, one) == 1


def test_calibration_error_against_brute_force():
    rng = np.random.default_rng(8)
    probability = rng.random(500)
    truth = rng.random(500) < probability**1.5
    rows = np.array_split(np.argsort(probability), 10)
    expected = np.mean([abs(probability[r].mean() - truth[r].mean()) for r in rows])
    assert evaluation.expected_calibration_error(probability, truth, n_bins=10) == pytest.approx(
        expected, rel=1e-9
    )


def test_weights_count_as_repetitions():
    rng = np.random.default_rng(9)
    probability = rng.random(80)
    truth = rng.random(80) < 0.5
    times = rng.integers(1, 5, 80)
    long_probability, long_truth = np.repeat(probability, times), np.repeat(truth, times)
    for function in (
        evaluation.expected_calibration_error,
        evaluation.brier_score,
        evaluation.roc_auc,
        evaluation.average_precision,
    ):
        assert function(probability, truth, weight=times) == pytest.approx(
            function(long_probability, long_truth), rel=1e-9
        )


def test_calibrated_probabilities_lie_on_the_diagonal_and_spoilt_ones_do_not():
    rng = np.random.default_rng(10)
    probability = rng.random(20000)
    truth = rng.random(20000) < probability
    curve = evaluation.reliability_curve(probability, truth)
    assert ((curve.low < curve.predicted) & (curve.predicted < curve.high)).sum() >= 8
    assert evaluation.expected_calibration_error(probability, truth) < 0.02
    spoilt = probability**3
    assert evaluation.expected_calibration_error(spoilt, truth) > 0.15
    low, high = evaluation.calibration_interval(spoilt, truth, n_resamples=100)
    assert low < evaluation.expected_calibration_error(spoilt, truth) < high


def test_join_accounts_for_everybody():
    labels = LabelSet.from_labels(['a', 'b', 'c', 'd'], ['cluster', 'unknown', 'point', 'galaxy'])
    prediction = PredictionSet(
        ids=['c', 'x', 'a', 'b'],
        probability=[[0.1, 0.7, 0.1, 0.1], [1, 0, 0, 0], [0.6, 0.2, 0.1, 0.1], [1, 0, 0, 0]],
    )
    joined = evaluation.join(prediction, labels)
    assert joined.ids == ('c', 'a')
    assert joined.truth.tolist() == [False, True]
    assert joined.dropped == {
        'prediction without label': 1,
        'label without prediction': 1,
        'label unknown': 1,
    }
    assert evaluation.roc_auc(prediction, labels) == 1.0


def test_evaluation_of_known_data():
    rng = np.random.default_rng(12)
    truth = rng.random(400) < 0.25
    p = np.clip(rng.normal(0.3 + 0.4 * truth, 0.15), 0.01, 0.99)
    ids = [str(row) for row in range(400)]
    labels = LabelSet.from_labels(
        ids,
        np.where(truth, 'cluster', 'point'),
        schema=('cluster', 'point'),
        weight=np.where(truth, 1.0, 2.0),
    )
    prediction = PredictionSet(
        ids=ids[::-1], probability=np.stack([p, 1 - p], 1)[::-1], schema=labels.schema
    )
    result = evaluation.evaluate(prediction, labels, n_resamples=100)
    assert result.n_used == 400
    assert result.n_positive == truth.sum()
    assert result.auc == pytest.approx(evaluation.roc_auc(p, truth), abs=1e-6)
    assert result.auc_interval[0] < result.auc < result.auc_interval[1]
    assert result.confusion[0][0] == ((p > 0.5) & truth).sum()
    assert result.confusion[1][0] == 2 * ((p > 0.5) & ~truth).sum()
    hits, wrong = ((p > 0.5) & truth).sum(), 2 * ((p > 0.5) & ~truth).sum()
    assert result.purity == pytest.approx(hits / (hits + wrong))
    assert result.completeness == pytest.approx(hits / truth.sum())
    sample = result.samples['0.9']
    chosen = p.astype(np.float32) >= np.float32(sample['threshold'])
    weighted = (chosen & truth).sum() / ((chosen & truth).sum() + 2 * (chosen & ~truth).sum())
    assert weighted >= 0.9
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))['n_used'] == 400
    assert 'AUC' in repr(result)
    assert 'AUC' in result._repr_html_()


def test_an_evaluation_says_of_which_class_it_is():
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    names = ('No, nothing', 'Yes')
    prediction = PredictionSet(ids=['a', 'b', 'c'], probability=shares, schema=LabelSchema(names))
    labels = LabelSet.from_labels(['a', 'b', 'c'], ['No, nothing', 'Yes', 'Yes'], schema=names)
    result = evaluation.evaluate(prediction, labels, n_resamples=20)
    assert result.positive == ('Yes',)
    assert result.n_positive == 2
    assert 'positive (Yes)' in repr(result)


def test_evaluation_with_other_schemas_and_without_positives():
    prediction = tiny_prediction(4)
    other = LabelSet.from_labels(['1', '2', '3', '4'], ['star'] * 4, schema=('group', 'star'))
    result = evaluation.evaluate(prediction, other, n_resamples=20)
    assert result.confusion is None
    assert np.isnan(result.auc)
    assert result.to_dict()['auc'] is None
    with pytest.raises(ValueError, match='no prediction has a known label'):
        evaluation.evaluate(prediction, LabelSet.from_labels(['z'], ['cluster']))


def test_groups_are_taken_by_identifier():
    groups = {str(row + 1): row // 2 for row in range(6)}
    result = evaluation.evaluate(tiny_prediction(), tiny_labels(), groups=groups, n_resamples=50)
    assert result.n_used == 6


@pytest.mark.parametrize(
    ('score', 'truth', 'message'),
    [
        ([0.1, 0.2], [1], 'of one length'),
        ([np.nan, 0.2], [1, 0], '1 values that are not finite'),
        ([0.1, 0.2], [2, 0], 'boolean or a probability'),
    ],
)
def test_bad_arrays_are_refused(score, truth, message):
    with pytest.raises(ValueError, match=message):
        evaluation.roc_auc(score, truth)


def test_scores_that_are_no_probabilities_cannot_be_calibrated():
    with pytest.raises(ValueError, match='from 0 to 1, got values from -2 to 3'):
        evaluation.brier_score([-2.0, 3.0], [0, 1])


def test_figures_belong_to_nobody(sample):
    import matplotlib.pyplot as plt

    score, truth, weight = sample
    before = plt.get_fignums()
    figures = [
        evaluation.plot_roc(score, truth, weight=weight),
        evaluation.plot_purity_completeness(score, truth, priors=(0.01, 0.1)),
        evaluation.plot_reliability(score, truth),
        evaluation.plot_score_histogram(score, truth),
        evaluation.plot_score_histogram(tiny_prediction()),
    ]
    assert plt.get_fignums() == before
    for figure in figures:
        assert figure.axes[0].get_xlabel()
        figure.canvas.draw()
    line = figures[0].axes[0].lines[1]
    curve = evaluation.roc_curve(score, truth, weight=weight)
    np.testing.assert_array_equal(line.get_xdata(), curve.false_positive_rate)


INTERVALS = [evaluation.roc_auc_interval, evaluation.calibration_interval]


@pytest.mark.parametrize('interval', INTERVALS)
def test_groups_and_weights_stay_with_their_rows_where_a_truth_is_missing(sample, interval):
    score, truth, weight = sample
    groups = np.arange(len(score)) // 20
    part = truth.astype(float)
    part[::7] = np.nan
    known = np.isfinite(part)
    alone = interval(score[known], part[known], weight=weight[known], groups=groups[known])
    assert interval(score, part, weight=weight, groups=groups) == alone


@pytest.mark.parametrize('interval', INTERVALS)
def test_groups_and_weights_go_with_the_predictions(sample, interval):
    score, truth, weight = sample
    names = [f'c{row}' for row in range(len(score))]
    probability = np.stack([score, 1 - score], axis=1)
    prediction = PredictionSet(ids=names, schema=('cluster', 'point'), probability=probability)
    words = np.where(truth, 'cluster', 'point')
    words[::7] = 'unknown'
    labels = LabelSet.from_labels(names, words, schema=('cluster', 'point'))
    # in another order than the predictions
    labels = labels.select(names[::-1])
    groups = np.arange(len(score)) // 20
    known = words != 'unknown'
    alone = interval(
        prediction.p_positive[known], truth[known], weight=weight[known], groups=groups[known]
    )
    assert interval(prediction, labels, weight=weight, groups=groups) == pytest.approx(alone)
    for wrong in ({'weight': weight[:-1]}, {'groups': groups[:-1]}):
        with pytest.raises(ValueError, match='must have one value a score, length 300'):
            interval(prediction, labels, **wrong)


def test_delong_refuses_labels_of_unequal_weight():
    prediction, labels = tiny_prediction(), tiny_labels()
    evaluation.roc_auc_interval(prediction, labels, method='delong')
    weighted = labels.replace(weight=np.linspace(0.1, 1, len(labels)))
    with pytest.raises(ValueError, match='the labels have weights'):
        evaluation.roc_auc_interval(prediction, weighted, method='delong')


def test_what_weighs_nothing_is_not_there():
    score, truth, weight = [0.9, 0.8, 0.1], [0, 1, 0], [0, 1, 1]
    assert evaluation.average_precision(score, truth, weight=weight) == 1
    nothing = [0.0, 0.0, 0.0]
    for interval in INTERVALS:
        assert np.isnan(interval(score, truth, weight=nothing)).all()


def test_accuracy_leaves_out_what_is_not_known():
    for nothing in ('unknown', 'Unknown', 'nan', ''):
        assert evaluation.accuracy(['a', 'b'], ['a', nothing]) == 1
    assert evaluation.accuracy([0.0, 1.0], [0.0, np.nan]) == 1
    assert evaluation.accuracy([True, False], [True, True]) == 0.5


def test_the_interval_of_an_accuracy_resamples_groups():
    # fields that are all right or all wrong: as many facts as fields
    n_fields, n_each = 20, 20
    names = [f'c{row}' for row in range(n_fields * n_each)]
    right = np.repeat(np.arange(n_fields) < 13, n_each)
    truth = np.arange(len(names)) % 2 == 0
    score = np.where(truth == right, 0.9, 0.1)
    prediction = PredictionSet(
        ids=names,
        schema=('cluster', 'point'),
        probability=np.stack([score, 1 - score], axis=1),
    )
    labels = LabelSet.from_labels(
        names, np.where(truth, 'cluster', 'point'), schema=('cluster', 'point')
    )
    groups = {name: row // n_each for row, name in enumerate(names)}
    apart = evaluation.evaluate(prediction, labels, n_resamples=300)
    together = evaluation.evaluate(prediction, labels, groups=groups, n_resamples=300)
    assert apart.accuracy == together.accuracy == 0.65
    low, high = together.accuracy_interval
    assert low == pytest.approx(0.65 - 1.96 * np.sqrt(0.65 * 0.35 / n_fields), abs=0.05)
    assert high == pytest.approx(0.65 + 1.96 * np.sqrt(0.65 * 0.35 / n_fields), abs=0.05)
    assert apart.accuracy_interval[0] > 0.6
    del groups['c7']
    with pytest.raises(ValueError, match="'groups' lacks 1 of 400 identifiers, first 'c7'"):
        evaluation.evaluate(prediction, labels, groups=groups)


def test_a_truth_out_of_range_is_named():
    with pytest.raises(ValueError, match=r'got 1.5 in row 1'):
        evaluation.roc_auc([0.1, 0.2], [0, 1.5])


def test_masked_truths_are_not_known():
    score = np.array([0.9, 0.8, 0.3, 0.1])
    truth = MaskedColumn([1, 0, 1, 0], mask=[False, True, False, False])
    assert evaluation.roc_auc(score, truth) == 1.0
    assert evaluation.roc_auc(score, Masked(np.array([1, 0, 1, 0]), mask=truth.mask)) == 1.0
    assert evaluation.brier_score(score, truth) == pytest.approx(
        evaluation.brier_score(score[[0, 2, 3]], [1, 1, 0])
    )
    known = MaskedColumn([0, 1, 0], mask=[False, False, True])
    assert evaluation.accuracy([0, 1, 1], known) == 1.0
    names = MaskedColumn(['a', 'b', 'a'], mask=[False, False, True])
    assert evaluation.accuracy(['a', 'b', 'b'], names) == 1.0
    assert evaluation.confusion_matrix([0, 1, 1], known, n_classes=2).tolist() == [[1, 0], [0, 1]]
    assert evaluation.confusion_matrix([0, 1], [0, np.nan], n_classes=2).sum() == 1


def test_masked_scores_and_weights_are_refused():
    masked = np.ma.MaskedArray([0.9, 0.8, 0.1], mask=[False, True, False])
    with pytest.raises(ValueError, match='masked'):
        evaluation.roc_auc(masked, [1, 0, 0])
    with pytest.raises(ValueError, match="'weight' must be finite"):
        evaluation.roc_auc([0.9, 0.8, 0.1], [1, 0, 0], weight=masked)
    # nobody asks for the weight of what is not known
    assert evaluation.roc_auc([0.9, 0.8, 0.1], [1, np.nan, 0], weight=masked) == 1.0
    with pytest.raises(ValueError, match="'predicted' has 1 masked values"):
        evaluation.accuracy(np.ma.MaskedArray([0, 1], mask=[True, False]), [0, 1])
    with pytest.raises(ValueError, match='codes must lie from 0 to 1'):
        evaluation.confusion_matrix(
            np.ma.MaskedArray([0, 1], mask=[True, False]), [0, 1], n_classes=2
        )


def test_names_as_fits_has_them():
    names = np.array([b'cluster', b'point', b'unknown'])
    assert evaluation.accuracy(names, ['cluster', 'cluster', 'point']) == pytest.approx(1 / 3)
    assert evaluation.accuracy(['cluster', 'cluster', 'point'], names) == 0.5


@pytest.mark.parametrize(
    'measure',
    [
        lambda weight: evaluation.accuracy([0, 1], [0, 0], weight=weight),
        lambda weight: evaluation.confusion_matrix([0, 1], [0, 0], n_classes=2, weight=weight),
    ],
)
@pytest.mark.parametrize('weight', [[-1.0, 2.0], [1.0], [np.nan, 1.0]])
def test_weights_that_cannot_be_are_refused(measure, weight):
    with pytest.raises(ValueError, match="'weight'"):
        measure(weight)


def test_probabilities_are_no_codes():
    with pytest.raises(ValueError, match=r"'predicted' must hold codes .* got 0.9"):
        evaluation.confusion_matrix([0.9, 1.0], [0, 1], n_classes=2)


SCORES, TRUTHS = [0.9, 0.8, 0.3, 0.1], [1, 0, 1, 0]


@pytest.mark.parametrize('confidence', [95, 1, 0, np.nan, None])
def test_levels_are_shares(confidence):
    for call in (
        lambda: evaluation.roc_auc_interval(SCORES, TRUTHS, confidence=confidence),
        lambda: evaluation.roc_auc_interval(SCORES, TRUTHS, confidence=confidence, method='delong'),
        lambda: evaluation.calibration_interval(SCORES, TRUTHS, confidence=confidence),
        lambda: evaluation.wilson_interval(1, 2, confidence=confidence),
        lambda: evaluation.evaluate(tiny_prediction(), tiny_labels(), confidence=confidence),
    ):
        with pytest.raises(ValueError, match="'confidence' must be a number above 0 and below 1"):
            call()


def test_numbers_of_samples_and_bins_are_named():
    for interval in INTERVALS:
        with pytest.raises(ValueError, match="'n_resamples' must be a whole number"):
            interval(SCORES, TRUTHS, n_resamples=0)
    for n_bins in (0, -1, 2.5):
        for measure in (
            evaluation.expected_calibration_error,
            evaluation.reliability_curve,
            evaluation.calibration_interval,
        ):
            with pytest.raises(ValueError, match="'n_bins' must be a whole number"):
                measure(SCORES, TRUTHS, n_bins=n_bins)


@pytest.mark.filterwarnings('error')
def test_samples_without_weight_are_left_out_in_silence():
    interval = evaluation.calibration_interval(
        [0.9, 0.9, *SCORES], [1, 1, *TRUTHS], weight=[1, 1, 0, 0, 0, 0], statistic='brier'
    )
    assert interval == pytest.approx((0.01, 0.01))
    # the groups are the classes: no sample of one group has both
    low, high = evaluation.roc_auc_interval(SCORES, TRUTHS, groups=[1, 0, 1, 0], n_resamples=1)
    assert np.isnan([low, high]).all()


def test_a_single_group_has_no_interval():
    # every sample is the same, and an interval without width would say that all is certain
    prediction, labels = tiny_prediction(), tiny_labels()
    result = evaluation.evaluate(prediction, labels, groups=dict.fromkeys(prediction.ids, 'field'))
    for interval in (
        result.auc_interval,
        result.ece_interval,
        result.brier_interval,
        result.accuracy_interval,
        evaluation.calibration_interval([0.4], [1]),
        evaluation.calibration_interval([0.4, 0.2], [1, 0], weight=[1, 0]),
    ):
        assert np.isnan(interval).all()
    two = {name: row % 2 for row, name in enumerate(prediction.ids)}
    assert np.isfinite(evaluation.evaluate(prediction, labels, groups=two).ece_interval).all()
