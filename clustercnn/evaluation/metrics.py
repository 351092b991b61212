# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How well scores rank and select: ROC, purity and completeness, accuracy, tests.

Every function takes plain arrays of scores and truths; those of scores also take a
`~clustercnn.PredictionSet` and a `~clustercnn.LabelSet`, joined by identifier.
"""

import dataclasses

import numpy as np
from scipy import special, stats

from clustercnn._utils.validation import check_one_of, check_share
from clustercnn.core.label import names_nothing
from clustercnn.evaluation.joining import check_weights, masked_rows, scores_and_truth
from clustercnn.evaluation.resampling import (
    can_be_resampled,
    percentile_interval,
    resampled_weights,
)

__all__ = [
    'PurityCurve',
    'RocCurve',
    'accuracy',
    'average_precision',
    'confusion_matrix',
    'mcnemar_exact',
    'purity_completeness',
    'roc_auc',
    'roc_auc_interval',
    'roc_curve',
    'shifted_purity',
    'wilson_interval',
]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RocCurve:
    """
    Receiver operating characteristic.

    Parameters
    ----------
    threshold : 1D `~numpy.ndarray`
        Scores at or above are selected; falling, the first one is infinite.
    false_positive_rate, true_positive_rate : 1D `~numpy.ndarray`
        Fractions of negatives and of positives selected; NaN without any.

    Examples
    --------
    >>> from clustercnn.evaluation import roc_curve
    >>> curve = roc_curve([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    >>> curve.true_positive_rate.tolist(), curve.false_positive_rate.tolist()
    ([0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0])
    """

    threshold: np.ndarray
    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PurityCurve:
    """
    Purity and completeness of the sample above each threshold.

    Parameters
    ----------
    threshold : 1D `~numpy.ndarray`
        Scores at or above are selected; falling.
    purity : 1D `~numpy.ndarray`
        Fraction of the selected that is positive.
    completeness : 1D `~numpy.ndarray`
        Fraction of the positives that is selected; NaN without any.
    n_selected : 1D `~numpy.ndarray`
        Sum of the weights of the selected.

    Examples
    --------
    >>> from clustercnn.evaluation import purity_completeness
    >>> curve = purity_completeness([0.9, 0.8, 0.1], [1, 0, 1])
    >>> curve.purity.tolist(), curve.completeness.tolist()
    ([1.0, 0.5, 0.6666666666666666], [0.5, 0.5, 1.0])
    """

    threshold: np.ndarray
    purity: np.ndarray
    completeness: np.ndarray
    n_selected: np.ndarray

    def threshold_for(self, purity):
        """
        Return the lowest threshold above which the sample as a whole has a purity.

        Between it and the highest scores there may be thresholds whose samples do not have it.

        Parameters
        ----------
        purity : float
            Purity wanted.

        Returns
        -------
        threshold, completeness : float
            Both NaN if no threshold will do.

        Examples
        --------
        >>> from clustercnn.evaluation import purity_completeness
        >>> purity_completeness([0.9, 0.8, 0.1], [1, 0, 1]).threshold_for(0.9)
        (0.9, 0.5)
        """
        enough = np.flatnonzero(self.purity >= purity)
        if enough.size == 0:
            return np.nan, np.nan
        return float(self.threshold[enough[-1]]), float(self.completeness[enough[-1]])


def _cumulated(score, truth, weight):
    """
    Return thresholds with the weight of positives and negatives at or above each.
    """
    order = np.argsort(-score, kind='stable')
    score, truth, weight = score[order], truth[order], weight[order]
    positive = np.cumsum(weight * truth)
    negative = np.cumsum(weight * ~truth)
    # equal scores cannot be told apart: one point for all of them
    last = np.flatnonzero(np.append(np.diff(score) != 0, True)) if score.size else []
    return score[last], positive[last], negative[last]


def _fraction(part, whole):
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)


def roc_curve(score, truth, *, weight=None):
    """
    Return the receiver operating characteristic.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Higher = more likely positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.

    Returns
    -------
    curve : RocCurve
        From (0, 0) to (1, 1), a point for each distinct score.

    Examples
    --------
    >>> from clustercnn.evaluation import roc_curve
    >>> roc_curve([0.9, 0.1], [1, 0]).threshold.tolist()
    [inf, 0.9, 0.1]
    """
    threshold, positive, negative = _cumulated(*scores_and_truth(score, truth, weight))
    positive, negative = np.append(0.0, positive), np.append(0.0, negative)
    return RocCurve(
        threshold=np.append(np.inf, threshold),
        false_positive_rate=_fraction(negative, negative[-1]),
        true_positive_rate=_fraction(positive, positive[-1]),
    )


def roc_auc(score, truth, *, weight=None):
    """
    Return the area under the receiver operating characteristic.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Higher = more likely positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.

    Returns
    -------
    auc : float
        Probability that a positive scores higher than a negative, ties counting
        half; NaN if there are only positives or only negatives.

    Examples
    --------
    >>> from clustercnn.evaluation import roc_auc
    >>> roc_auc([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    0.875
    """
    _, positive, negative = _cumulated(*scores_and_truth(score, truth, weight))
    return _area(np.append(0.0, positive), np.append(0.0, negative))


def _area(positive, negative):
    if positive[-1] <= 0 or negative[-1] <= 0:
        return float('nan')
    area = np.sum(np.diff(negative) * (positive[1:] + positive[:-1])) / 2
    return float(area / (positive[-1] * negative[-1]))


def roc_auc_interval(
    score,
    truth,
    *,
    weight=None,
    method='bootstrap',
    groups=None,
    confidence=0.95,
    n_resamples=1000,
    seed=0,
):
    """
    Return a confidence interval of the area under the curve.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Higher = more likely positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.
    method : {'bootstrap', 'delong'}, optional
        Percentiles of resampled rows, or the normal approximation of DeLong, DeLong &
        Clarke-Pearson (1988), Biometrics 44, 837, on the logit scale so that it stays
        within 0 and 1; that one knows no weights, also of labels, and no groups.
    groups : 1D array-like, optional
        One value a score. Rows of one group, such as a field, are resampled together.
    confidence : float, optional
        Confidence level.
    n_resamples : int, optional
        Bootstrap samples.
    seed : int, optional
        Seed of the bootstrap.

    Returns
    -------
    low, high : float
        NaN if there are only positives or only negatives, or a single group; from 'delong' also
        with a single one of either, unless they are in perfect order.

    Raises
    ------
    ValueError
        If 'delong' is asked for and there are groups, or weights that are not all the same.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.evaluation import roc_auc_interval
    >>> rng = np.random.default_rng(1)
    >>> truth = np.arange(200) % 2 == 0
    >>> low, high = roc_auc_interval(rng.normal(truth, 1.0), truth, method='delong')
    >>> 0.6 < low < 0.76 < high < 0.9
    True
    """
    check_one_of('method', method, ('bootstrap', 'delong'))
    confidence = check_share('confidence', confidence)
    if method == 'delong' and (weight is not None or groups is not None):
        msg = "the method 'delong' knows no weights and no groups; use 'bootstrap'"
        raise ValueError(msg)
    score, truth, weight, *rest = scores_and_truth(score, truth, weight, groups)
    groups = rest[0] if rest else None
    if method == 'delong' and len(np.unique(weight)) > 1:
        msg = "the labels have weights, which 'delong' does not know; use 'bootstrap'"
        raise ValueError(msg)
    # what has no weight is not there
    if not weight[truth].any() or not weight[~truth].any():
        return float('nan'), float('nan')
    if method == 'delong':
        return _delong(score, truth, confidence)
    if not can_be_resampled(weight, groups):
        return float('nan'), float('nan')
    order = np.argsort(-score, kind='stable')
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    truth, weight = truth[order], weight[order]
    groups = None if groups is None else groups[order]
    values = []
    for times in resampled_weights(len(score), n_resamples=n_resamples, seed=seed, groups=groups):
        drawn = times * weight
        positive = np.cumsum(drawn * truth)[ends]
        negative = np.cumsum(drawn * ~truth)[ends]
        values.append(_area(np.append(0.0, positive), np.append(0.0, negative)))
    return percentile_interval(values, confidence=confidence)


def _delong(score, truth, confidence):
    positives, negatives = score[truth], score[~truth]
    n_positive, n_negative = len(positives), len(negatives)
    everything = stats.rankdata(score)
    above = (everything[truth] - stats.rankdata(positives)) / n_negative
    below = 1 - (everything[~truth] - stats.rankdata(negatives)) / n_positive
    auc = float(above.mean())
    spread = np.sqrt(
        (above.var(ddof=1) / n_positive if n_positive > 1 else np.nan)
        + (below.var(ddof=1) / n_negative if n_negative > 1 else np.nan)
    )
    if auc in (0.0, 1.0):
        # no spread in the sample; the rule of three for the smaller class
        reach = -np.log(1 - confidence) / min(n_positive, n_negative)
        return (max(1 - reach, 0.0), 1.0) if auc else (0.0, min(reach, 1.0))
    z = stats.norm.ppf(0.5 + confidence / 2)
    step = z * spread / (auc * (1 - auc))
    low, high = special.expit(special.logit(auc) + np.array([-step, step]))
    return float(low), float(high)


def purity_completeness(score, truth, *, weight=None):
    """
    Return purity and completeness above each threshold.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Higher = more likely positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.

    Returns
    -------
    curve : PurityCurve
        A point for each distinct score. Purity depends on the share of positives in
        these data; see `shifted_purity`.

    Examples
    --------
    >>> from clustercnn.evaluation import purity_completeness
    >>> purity_completeness([0.9, 0.2], [1, 0]).purity.tolist()
    [1.0, 0.5]
    """
    threshold, positive, negative = _cumulated(*scores_and_truth(score, truth, weight))
    total = positive[-1] if positive.size else 0.0
    return PurityCurve(
        threshold=threshold,
        purity=_fraction(positive, positive + negative),
        completeness=_fraction(positive, total),
        n_selected=positive + negative,
    )


def average_precision(score, truth, *, weight=None):
    """
    Return the purity averaged over completeness.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Higher = more likely positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.

    Returns
    -------
    precision : float
        Sum of purity times the step in completeness, without interpolation; NaN
        without positives.

    Examples
    --------
    >>> from clustercnn.evaluation import average_precision
    >>> round(average_precision([0.9, 0.8, 0.1], [1, 0, 1]), 4)
    0.8333
    """
    curve = purity_completeness(score, truth, weight=weight)
    if not curve.completeness.size or np.isnan(curve.completeness[-1]):
        return float('nan')
    # of samples without any weight there is no purity, and no step
    return float(np.nansum(np.diff(curve.completeness, prepend=0.0) * curve.purity))


def wilson_interval(n_successes, n_trials, *, confidence=0.95):
    """
    Return the score interval of a fraction.

    Parameters
    ----------
    n_successes, n_trials : float or array-like
        Numbers; need not be whole, for weighted ones.
    confidence : float, optional
        Confidence level.

    Returns
    -------
    low, high : float or `~numpy.ndarray`
        In the shape of the numbers; 0 and 1 without trials. Wilson (1927), J. Am. Stat.
        Assoc. 22, 209.

    Examples
    --------
    >>> from clustercnn.evaluation import wilson_interval
    >>> [round(edge, 4) for edge in wilson_interval(9, 10)]
    [0.5958, 0.9821]
    """
    k, n = np.asarray(n_successes, float), np.asarray(n_trials, float)
    if (k < 0).any() or (k > n + 1e-9).any():
        msg = f"'n_successes' must lie from 0 to 'n_trials', got {n_successes} of {n_trials}"
        raise ValueError(msg)
    z = stats.norm.ppf(0.5 + check_share('confidence', confidence) / 2)
    safe = np.where(n > 0, n, 1.0)
    p = k / safe
    middle = (p + z**2 / (2 * safe)) / (1 + z**2 / safe)
    half = z / (1 + z**2 / safe) * np.sqrt(p * (1 - p) / safe + z**2 / (4 * safe**2))
    # the ends are exact where rounding would leave them just beside
    low = np.where((n > 0) & (k > 0), np.clip(middle - half, 0, 1), 0.0)
    high = np.where((n > 0) & (k < n), np.clip(middle + half, 0, 1), 1.0)
    return (float(low), float(high)) if low.ndim == 0 else (low, high)


def accuracy(predicted, true, *, weight=None):
    """
    Return the fraction of equal codes.

    Parameters
    ----------
    predicted, true : 1D array-like
        Codes or names of classes; negative, NaN or masked codes of ``true``, and the names
        'unknown' and 'nan', in any case, and the empty one, are left out.
    weight : 1D array-like, optional
        Weights.

    Returns
    -------
    accuracy : float
        NaN if nothing is known.

    Examples
    --------
    >>> from clustercnn.evaluation import accuracy
    >>> accuracy([0, 1, 1], [0, 1, 0])
    0.6666666666666666
    """
    unknown = masked_rows(true)
    n_masked = int(np.sum(masked_rows(predicted) & ~unknown))
    if n_masked:
        msg = f"'predicted' has {n_masked} masked values whose truth is known; leave these rows out"
        raise ValueError(msg)
    predicted, true = _texts_or_codes(predicted), _texts_or_codes(true)
    if predicted.shape != true.shape or predicted.ndim != 1:
        msg = f'both must be one-dimensional of one length, got {predicted.shape}, {true.shape}'
        raise ValueError(msg)
    if true.dtype.kind in 'iuf':
        unknown = unknown | ~(true >= 0)
    elif true.dtype.kind in 'UO':
        unknown = unknown | np.array([names_nothing(str(name)) for name in true], bool)
    known = np.broadcast_to(~unknown, true.shape)
    weight = check_weights(weight, len(true), chosen=known)
    total = weight.sum()
    right = (predicted == true)[known]
    return float((weight * right).sum() / total) if total > 0 else float('nan')


def _texts_or_codes(values):
    values = np.asarray(values)
    # as FITS files have them
    return np.char.decode(values, 'utf-8') if values.dtype.kind == 'S' else values


def confusion_matrix(predicted, true, *, n_classes, weight=None):
    """
    Return how often each class is taken for each.

    Parameters
    ----------
    predicted, true : 1D array-like of int
        Codes from 0; negative, NaN or masked codes of ``true`` are unknown and left out.
    n_classes : int
        Number of classes.
    weight : 1D array-like, optional
        Weights.

    Returns
    -------
    matrix : 2D `~numpy.ndarray`
        Shape ``(n_classes, n_classes)``, rows true, columns predicted.

    Examples
    --------
    >>> from clustercnn.evaluation import confusion_matrix
    >>> confusion_matrix([0, 1, 1], [0, 0, 1], n_classes=2).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    predicted, true = _codes('predicted', predicted), _codes('true', true)
    if predicted.shape != true.shape or predicted.ndim != 1:
        msg = f'both must be one-dimensional of one length, got {predicted.shape}, {true.shape}'
        raise ValueError(msg)
    known = true >= 0
    weight = check_weights(weight, len(true), chosen=known)
    predicted, true = predicted[known], true[known]
    if predicted.size and (max(predicted.max(), true.max()) >= n_classes or predicted.min() < 0):
        msg = f'codes must lie from 0 to {n_classes - 1}'
        raise ValueError(msg)
    cells = np.bincount(true * n_classes + predicted, weight, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def _codes(name, values):
    """
    Return codes as whole numbers, -1 where there is none.
    """
    codes = np.asarray(values, np.float64)
    codes = np.where(masked_rows(values) | np.isnan(codes), -1, codes)
    if (codes != np.floor(codes)).any():
        first = codes[codes != np.floor(codes)][0]
        msg = f"'{name}' must hold codes of classes, whole numbers from 0, got {first:g}"
        raise ValueError(msg)
    return codes.astype(int)


def mcnemar_exact(correct_one, correct_other):
    """
    Return the exact McNemar test of two classifiers on the same objects.

    Parameters
    ----------
    correct_one, correct_other : 1D array-like of bool
        Whether each was right about each object.

    Returns
    -------
    p_value : float
        Two-sided, that both err equally often; 1 if they never differ.
        McNemar (1947), Psychometrika 12, 153, with the binomial distribution.

    Examples
    --------
    >>> from clustercnn.evaluation import mcnemar_exact
    >>> mcnemar_exact([1, 1, 1, 1, 0], [0, 0, 0, 0, 0])
    0.125
    """
    one, other = np.asarray(correct_one, bool), np.asarray(correct_other, bool)
    if one.shape != other.shape or one.ndim != 1:
        msg = f'both must be one-dimensional of one length, got {one.shape} and {other.shape}'
        raise ValueError(msg)
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    n_differ = only_one + only_other
    if n_differ == 0:
        return 1.0
    return float(min(1.0, 2 * stats.binom.cdf(min(only_one, only_other), n_differ, 0.5)))


def shifted_purity(true_positive_rate, false_positive_rate, *, prior):
    """
    Return the purity that the same cut has where positives are rarer or commoner.

    Parameters
    ----------
    true_positive_rate, false_positive_rate : float or array-like
        Of the cut, measured anywhere.
    prior : float
        Fraction of positives among the candidates to be classified.

    Returns
    -------
    purity : float or `~numpy.ndarray`
        In the shape of the rates, by Bayes' theorem; NaN where nothing is selected.

    Examples
    --------
    With nine in ten right on either side:

    >>> from clustercnn.evaluation import shifted_purity
    >>> [round(shifted_purity(0.9, 0.1, prior=prior), 3) for prior in (0.8, 0.1, 0.01)]
    [0.973, 0.5, 0.083]
    """
    if not 0 <= prior <= 1:
        msg = f"'prior' must lie from 0 to 1, got {prior}"
        raise ValueError(msg)
    good = prior * np.asarray(true_positive_rate, float)
    bad = (1 - prior) * np.asarray(false_positive_rate, float)
    purity = _fraction(good, good + bad)
    return float(purity) if purity.ndim == 0 else purity
