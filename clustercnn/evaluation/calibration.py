# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Whether probabilities mean what they say.
"""

import dataclasses

import numpy as np

from clustercnn._utils.validation import check_one_of, check_whole
from clustercnn.evaluation.joining import scores_and_truth
from clustercnn.evaluation.metrics import wilson_interval
from clustercnn.evaluation.resampling import (
    can_be_resampled,
    percentile_interval,
    resampled_weights,
)

__all__ = [
    'ReliabilityCurve',
    'brier_score',
    'calibration_interval',
    'expected_calibration_error',
    'probabilities_and_truth',
    'reliability_curve',
]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReliabilityCurve:
    """
    Predicted probability against the fraction that came true.

    Parameters
    ----------
    predicted : 1D `~numpy.ndarray`
        Mean probability of each bin.
    observed : 1D `~numpy.ndarray`
        Fraction of positives.
    low, high : 1D `~numpy.ndarray`
        Wilson interval of that fraction.
    weight : 1D `~numpy.ndarray`
        Share of each bin in all, summing to 1.
    n_rows : 1D `~numpy.ndarray` of int
        Number of objects.

    Examples
    --------
    >>> from clustercnn.evaluation import reliability_curve
    >>> curve = reliability_curve([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], n_bins=2)
    >>> curve.observed.tolist(), curve.n_rows.tolist()
    ([0.0, 1.0], [2, 2])
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray
    n_rows: np.ndarray


def probabilities_and_truth(probability, truth, weight=None, groups=None):
    """
    Return checked arrays as `~clustercnn.evaluation.joining.scores_and_truth` does.

    Parameters
    ----------
    probability : 1D array-like or PredictionSet
        Predicted probability of being positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.
    groups : 1D array-like, optional
        The group of each score.

    Returns
    -------
    probability, truth, weight : 1D `~numpy.ndarray`
        And the groups where they are given.

    Raises
    ------
    ValueError
        If a probability is not from 0 to 1.

    Examples
    --------
    >>> from clustercnn.evaluation.calibration import probabilities_and_truth
    >>> probabilities_and_truth([0.2, 0.9], [0, 1])[0].tolist()
    [0.2, 0.9]
    """
    probability, *others = scores_and_truth(probability, truth, weight, groups)
    if probability.size and not (probability.min() >= 0 and probability.max() <= 1):
        msg = (
            f'probabilities must lie from 0 to 1, got values from {probability.min():g} to '
            f'{probability.max():g}'
        )
        raise ValueError(msg)
    return probability, *others


def _bins(probability, weight, n_bins):
    """
    Return the bin of each row: bins of equal weight, equal probabilities together.
    """
    values, number = np.unique(probability, return_inverse=True)
    mass = np.bincount(number.reshape(-1), weight, minlength=values.size)
    middle = np.cumsum(mass) - mass / 2
    total = mass.sum()
    place = np.zeros(values.size) if total <= 0 else middle / total
    return np.minimum((place * n_bins).astype(int), n_bins - 1)[number.reshape(-1)]


def _gap(bins, probability, truth, weight, n_bins):
    """
    Return the calibration error of rows in given bins.
    """
    difference = np.bincount(bins, weight * (probability - truth), minlength=n_bins)
    total = weight.sum()
    return float(np.abs(difference).sum() / total) if total > 0 else float('nan')


def reliability_curve(probability, truth, *, n_bins=10, weight=None, confidence=0.95):
    """
    Return predicted against observed fractions in bins of equal content.

    Parameters
    ----------
    probability : 1D array-like or PredictionSet
        Predicted probability of being positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    n_bins : int, optional
        Largest number of bins; fewer where many probabilities are equal.
    weight : 1D array-like, optional
        Weights.
    confidence : float, optional
        Level of the intervals.

    Returns
    -------
    curve : ReliabilityCurve
        Bins without content are left out.

    Examples
    --------
    >>> from clustercnn.evaluation import reliability_curve
    >>> reliability_curve([0.5, 0.5], [0, 1]).observed.tolist()
    [0.5]
    """
    n_bins = check_whole('n_bins', n_bins)
    probability, truth, weight = probabilities_and_truth(probability, truth, weight)
    bins = _bins(probability, weight, n_bins)
    mass = np.bincount(bins, weight, minlength=n_bins)
    squares = np.bincount(bins, weight**2, minlength=n_bins)
    n_rows = np.bincount(bins, minlength=n_bins)
    filled = mass > 0
    predicted = np.bincount(bins, weight * probability, minlength=n_bins)[filled] / mass[filled]
    observed = np.bincount(bins, weight * truth, minlength=n_bins)[filled] / mass[filled]
    # weighted rows count for as many as Kish's effective number of them
    effective = mass[filled] ** 2 / squares[filled]
    low, high = wilson_interval(observed * effective, effective, confidence=confidence)
    return ReliabilityCurve(
        predicted=predicted,
        observed=observed,
        low=np.atleast_1d(low),
        high=np.atleast_1d(high),
        weight=mass[filled] / mass.sum() if filled.any() else mass[filled],
        n_rows=n_rows[filled],
    )


def expected_calibration_error(probability, truth, *, n_bins=15, weight=None):
    """
    Return the mean distance between predicted and observed fractions.

    Parameters
    ----------
    probability : 1D array-like or PredictionSet
        Predicted probability of being positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    n_bins : int, optional
        Number of bins of equal content.
    weight : 1D array-like, optional
        Weights.

    Returns
    -------
    error : float
        Weighted over bins; NaN without data. Naeini, Cooper & Hauskrecht (2015), AAAI,
        with bins of equal content, after Nguyen & O'Connor (2015). Never negative, so
        small samples show some even if perfectly calibrated.

    Examples
    --------
    >>> from clustercnn.evaluation import expected_calibration_error
    >>> round(expected_calibration_error([0.9, 0.9, 0.1, 0.1], [1, 0, 0, 0]), 3)
    0.25
    """
    n_bins = check_whole('n_bins', n_bins)
    probability, truth, weight = probabilities_and_truth(probability, truth, weight)
    return _gap(_bins(probability, weight, n_bins), probability, truth, weight, n_bins)


def brier_score(probability, truth, *, weight=None):
    """
    Return the mean squared distance of probabilities from the truth.

    Parameters
    ----------
    probability : 1D array-like or PredictionSet
        Predicted probability of being positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.

    Returns
    -------
    score : float
        0 is best; NaN without data. Brier (1950), Mon. Weather Rev. 78, 1.

    Examples
    --------
    >>> from clustercnn.evaluation import brier_score
    >>> brier_score([1.0, 0.5], [1, 0])
    0.125
    """
    probability, truth, weight = probabilities_and_truth(probability, truth, weight)
    total = weight.sum()
    if total <= 0:
        return float('nan')
    return float((weight * (probability - truth) ** 2).sum() / total)


def calibration_interval(
    probability,
    truth,
    *,
    statistic='ece',
    n_bins=15,
    weight=None,
    groups=None,
    confidence=0.95,
    n_resamples=1000,
    seed=0,
):
    """
    Return a bootstrap interval of a measure of calibration.

    Parameters
    ----------
    probability : 1D array-like or PredictionSet
        Predicted probability of being positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    statistic : {'ece', 'brier'}, optional
        Which measure.
    n_bins : int, optional
        For the calibration error.
    weight : 1D array-like, optional
        Weights.
    groups : 1D array-like, optional
        One value a score. Rows of one group, such as a field, are resampled together.
    confidence : float, optional
        Confidence level.
    n_resamples : int, optional
        Bootstrap samples.
    seed : int, optional
        Seed.

    Returns
    -------
    low, high : float
        NaN without data, and of a single row or group. For the calibration error resampling adds
        noise of its own to a measure that cannot be negative, so the interval leans upwards; the
        bins are those of the whole sample.

    Examples
    --------
    >>> from clustercnn.evaluation import calibration_interval
    >>> low, high = calibration_interval([0.2, 0.8] * 50, [0, 1] * 50, statistic='brier')
    >>> round(low, 6), round(high, 6)
    (0.04, 0.04)
    """
    check_one_of('statistic', statistic, ('ece', 'brier'))
    n_bins = check_whole('n_bins', n_bins)
    probability, truth, weight, *rest = probabilities_and_truth(probability, truth, weight, groups)
    groups = rest[0] if rest else None
    if not can_be_resampled(weight, groups):
        return float('nan'), float('nan')
    bins = _bins(probability, weight, n_bins)
    loss = (probability - truth) ** 2
    values = []
    for times in resampled_weights(len(truth), n_resamples=n_resamples, seed=seed, groups=groups):
        drawn = times * weight
        if statistic == 'ece':
            values.append(_gap(bins, probability, truth, drawn, n_bins))
        else:
            values.append((drawn * loss).sum() / drawn.sum() if drawn.any() else np.nan)
    return percentile_interval(values, confidence=confidence)
