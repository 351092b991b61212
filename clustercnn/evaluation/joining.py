# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Scores beside their truth: predictions joined to labels by identifier, with an
account of what could not be joined.
"""

import dataclasses
import warnings

import numpy as np

from clustercnn.core import LabelSet, PredictionSet
from clustercnn.exceptions import DataQualityWarning

__all__ = ['JoinedScores', 'check_weights', 'join', 'masked_rows', 'scores_and_truth']


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class JoinedScores:
    """
    Predictions and labels of the same objects.

    Parameters
    ----------
    ids : tuple of str
        Identifiers, in the order of the predictions.
    score : 1D `~numpy.ndarray`
        Predicted probability of a positive class, shape ``(n,)``.
    truth : 1D `~numpy.ndarray` of bool
        Whether the label is positive: more likely than not, for soft labels.
    weight : 1D `~numpy.ndarray`
        Weight of the labels.
    predicted, true : 1D `~numpy.ndarray` of int
        Codes of the likeliest classes, each in its own schema.
    rows : 1D `~numpy.ndarray` of int
        Which of the predictions these are.
    dropped : dict of str to int
        How many were left out, by reason.

    Examples
    --------
    >>> from clustercnn.evaluation import join
    >>> from clustercnn.testing import tiny_labels, tiny_prediction
    >>> joined = join(tiny_prediction(6), tiny_labels(4))
    >>> len(joined.ids), joined.dropped['prediction without label']
    (4, 2)
    """

    ids: tuple
    score: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    rows: np.ndarray
    dropped: dict


def join(prediction, label_set):
    """
    Bring predictions and labels of the same identifiers together.

    Parameters
    ----------
    prediction : PredictionSet
        Predictions.
    label_set : LabelSet
        Labels; unknown ones are left out.

    Returns
    -------
    joined : JoinedScores
        Says how many were left out, and why.

    Raises
    ------
    TypeError
        If the arguments are of another kind.

    Warns
    -----
    DataQualityWarning
        If labels have a positive class as the likeliest that is not likelier than not.

    Examples
    --------
    >>> from clustercnn.evaluation import join
    >>> from clustercnn.testing import tiny_labels, tiny_prediction
    >>> join(tiny_prediction(), tiny_labels()).truth.tolist()
    [True, False, True, False, True, False]
    """
    if not isinstance(prediction, PredictionSet) or not isinstance(label_set, LabelSet):
        msg = (
            f'expected a PredictionSet and a LabelSet, got {type(prediction).__name__} and '
            f'{type(label_set).__name__}'
        )
        raise TypeError(msg)
    labelled = {name: row for row, name in enumerate(label_set.ids)}
    rows = np.array([labelled.get(name, -1) for name in prediction.ids], dtype=np.intp)
    found = rows >= 0
    known = found.copy()
    known[found] = label_set.known[rows[found]]
    rows = rows[known]
    truth = label_set.binary()[rows] > 0.5
    likeliest = np.isin(label_set.hard()[rows], label_set.schema.positive_codes)
    n_open = int((likeliest & ~truth).sum())
    if n_open:
        warnings.warn(
            f'{n_open} of {len(rows)} labels have a positive class as the likeliest, but at a '
            f'probability of one half or less, and count as negative',
            DataQualityWarning,
            stacklevel=3,
        )
    return JoinedScores(
        ids=tuple(np.array(prediction.ids, dtype=object)[known].tolist()),
        score=prediction.p_positive[known].astype(np.float64),
        truth=truth,
        weight=label_set.weight[rows].astype(np.float64),
        predicted=prediction.hard()[known].astype(int),
        true=label_set.hard()[rows].astype(int),
        rows=np.flatnonzero(known),
        dropped={
            'prediction without label': int((~found).sum()),
            'label without prediction': len(label_set) - int(found.sum()),
            'label unknown': int((found & ~known).sum()),
        },
    )


def scores_and_truth(score, truth, weight=None, groups=None):
    """
    Return checked arrays from arrays, or from predictions and labels.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Higher = more likely positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive: above 0.5 is positive, NaN and what
        is masked is left out.
    weight : 1D array-like, optional
        Weights, one a score; those of the labels, else 1.
    groups : 1D array-like, optional
        The group of each score.

    Returns
    -------
    score, truth, weight : 1D `~numpy.ndarray`
        Of float64, bool and float64, of one length: what has no truth is left out of all.
    groups : 1D `~numpy.ndarray`
        Likewise; only where they are given.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, or a truth is not in 0 to 1.

    Examples
    --------
    >>> from clustercnn.evaluation.joining import scores_and_truth
    >>> scores_and_truth([0.2, 0.9, 0.4], [0, 1, float('nan')])[1].tolist()
    [False, True]
    """
    if isinstance(score, PredictionSet) or isinstance(truth, LabelSet):
        joined = join(score, truth)
        n_scores, rows = len(score.ids), joined.rows
        own = joined.weight
        if weight is not None:
            own = check_weights(weight, n_scores, chosen=rows)
        columns = [joined.score, joined.truth, own]
    else:
        columns, rows = _checked(score, truth, weight)
        n_scores = len(np.asarray(score))
    if groups is None:
        return tuple(columns)
    return *columns, _row_values('groups', groups, n_scores)[rows]


def _row_values(name, values, n_rows, dtype=None):
    values = np.asarray(values, dtype=dtype)
    if values.shape != (n_rows,):
        msg = f"'{name}' must have one value a score, length {n_rows}, got shape {values.shape}"
        raise ValueError(msg)
    return values


def masked_rows(values):
    """
    Return which values of an array-like are masked.

    Parameters
    ----------
    values : array-like
        Such as a column of a table; of what cannot be masked nothing is.

    Returns
    -------
    masked : `~numpy.ndarray` of bool
        In the shape of the values, or a single False.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.evaluation.joining import masked_rows
    >>> masked_rows(np.ma.MaskedArray([1, 2], mask=[False, True])).tolist()
    [False, True]
    """
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getmaskarray(values)
    # quantities with a mask; of other libraries the name may mean something else
    return np.asarray(values.mask, bool) if hasattr(values, 'unmasked') else np.zeros((), bool)


def _numbers(values):
    """
    Return values as float64, NaN where they are masked.
    """
    numbers = np.asarray(getattr(values, 'unmasked', values), dtype=np.float64)
    masked = masked_rows(values)
    return np.where(masked, np.nan, numbers) if masked.any() else numbers


def check_weights(weight, n_rows, *, chosen=slice(None)):
    """
    Return the weights of the rows that count.

    Parameters
    ----------
    weight : 1D array-like or None
        The weights; None for 1.
    n_rows : int
        How many there must be.
    chosen : slice or 1D array-like, optional
        Rows that count; whatever the weights of the others are.

    Returns
    -------
    weight : 1D `~numpy.ndarray`
        Of float64.

    Raises
    ------
    ValueError
        If there are more or fewer than rows, or one that counts is negative, not finite or masked.

    Examples
    --------
    >>> from clustercnn.evaluation.joining import check_weights
    >>> check_weights(None, 2).tolist()
    [1.0, 1.0]
    """
    weight = np.ones(n_rows) if weight is None else _numbers(weight)
    if weight.shape != (n_rows,):
        msg = f"'weight' must have one value a score, length {n_rows}, got shape {weight.shape}"
        raise ValueError(msg)
    weight = weight[chosen]
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        msg = "'weight' must be finite and not negative"
        raise ValueError(msg)
    return weight


def _checked(score, truth, weight):
    """
    Return columns of what has a truth, and which rows they are.
    """
    score, truth = _numbers(score), _numbers(truth)
    weight = np.ones(score.shape) if weight is None else _numbers(weight)
    if score.ndim != 1 or truth.shape != score.shape or weight.shape != score.shape:
        msg = (
            f'scores, truths and weights must be one-dimensional and of one length, got shapes '
            f'{score.shape}, {truth.shape} and {weight.shape}'
        )
        raise ValueError(msg)
    known = ~np.isnan(truth)
    if not ((truth[known] >= 0) & (truth[known] <= 1)).all():
        row = int(np.flatnonzero(known & ~((truth >= 0) & (truth <= 1)))[0])
        msg = (
            f"'truth' must be boolean or a probability from 0 to 1, or NaN where it is not known, "
            f'got {truth[row]} in row {row}'
        )
        raise ValueError(msg)
    weight = check_weights(weight, len(score), chosen=known)
    score, truth = score[known], truth[known] > 0.5
    if not np.isfinite(score).all():
        msg = f"'score' has {(~np.isfinite(score)).sum()} values that are not finite, or masked"
        raise ValueError(msg)
    return [score, truth, weight], np.flatnonzero(known)
