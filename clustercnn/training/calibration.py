# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
From logits to probabilities that mean what they say, and how far a candidate is
from what a network was trained on.
"""

import math

import numpy as np

__all__ = [
    'conformal_limits',
    'conformal_sets',
    'fit_novelty',
    'fit_temperature',
    'novelty',
    'prior_shift',
    'softmax',
]

# coverages that limits are kept for
_COVERAGES = (0.5, 0.68, 0.8, 0.9, 0.95, 0.98, 0.99)


def softmax(logits, *, temperature=1.0):
    """
    Return probabilities.

    Parameters
    ----------
    logits : array-like
        Last axis over classes.
    temperature : float, optional
        What the logits are divided by.

    Returns
    -------
    probability : `~numpy.ndarray`
        Float64, of the same shape.

    Examples
    --------
    >>> from clustercnn.training import softmax
    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    logits = np.asarray(logits, np.float64) / temperature
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def prior_shift(shares, prior):
    """
    Return what is added to logits of one prior so that they hold at other shares of the classes.

    Parameters
    ----------
    shares, prior : array-like
        Share of each class, wanted and as it is; a class without any has its share of ``prior``.

    Returns
    -------
    shift : 1D `~numpy.ndarray`
        Logarithm of the ratio (Saerens, Latinne & Decaestecker 2002, Neural Comput. 14, 21).

    Examples
    --------
    >>> from clustercnn.training import prior_shift
    >>> prior_shift([0.2, 0.8], [0.5, 0.5]).round(2).tolist()
    [-0.92, 0.47]
    """
    shares, prior = np.asarray(shares, np.float64), np.asarray(prior, np.float64)
    known = (shares > 0) & (prior > 0)
    return np.log(np.where(known, shares, 1.0) / np.where(known, prior, 1.0))


def fit_temperature(logits, target, *, weight=None, confusion=None, shift=None):
    """
    Find the temperature at which probabilities fit best (Guo et al. 2017,
    arXiv:1706.04599).

    Parameters
    ----------
    logits : 2D array-like
        Shape ``(n, n_classes)``, of items that were not trained on.
    target : 2D array-like
        Probabilities of the same shape.
    weight : 1D array-like, optional
        Of each item, relative to the others.
    confusion : 2D array-like, optional
        Probability that the target says the class of the column where that of the row is true.
    shift : 1D array-like, optional
        From `prior_shift`, where the shares of the classes among the items are not those at which
        the logits hold. The temperature would answer for that otherwise.

    Returns
    -------
    temperature : float
        Between 0.1 and 10; 1 where all weights are zero.

    Notes
    -----
    Weights count as so many items of equal weight as tell as much (Kish 1965, Survey Sampling).
    A weak prior, ``log(temperature)`` normal around zero with a width of 0.5, keeps
    a small set that happens to be without errors from asking for certainty.

    Examples
    --------
    Logits twice too confident:

    >>> import numpy as np
    >>> from clustercnn.training import fit_temperature
    >>> target = np.tile([[0.75, 0.25], [0.25, 0.75]], (500, 1))
    >>> round(fit_temperature(2 * np.log(target), target), 1)
    2.0
    """
    logits, target = np.asarray(logits, np.float64), np.asarray(target, np.float64)
    weight = np.ones(len(logits)) if weight is None else np.asarray(weight, np.float64)
    if not weight.sum() > 0:
        return 1.0
    weight = weight * (weight.sum() / (weight**2).sum())
    shift = np.zeros(logits.shape[1]) if shift is None else np.asarray(shift, np.float64)

    def loss(logarithm):
        scaled = logits * math.exp(-logarithm) + shift
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        log_p = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        if confusion is not None:
            log_p = np.log(np.maximum(np.exp(log_p) @ np.asarray(confusion), 1e-12))
        return logarithm**2 / (2 * 0.5**2) - (weight[:, None] * target * log_p).sum()

    # golden section; the loss has one minimum in the inverse temperature
    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(0.1), math.log(10)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    f_left, f_right = loss(left), loss(right)
    for _ in range(60):
        if f_left < f_right:
            high, right, f_right = right, left, f_left
            left = high - ratio * (high - low)
            f_left = loss(left)
        else:
            low, left, f_left = left, right, f_right
            right = low + ratio * (high - low)
            f_right = loss(right)
    return math.exp((low + high) / 2)


def conformal_limits(probability, codes, *, weight=None):
    """
    Return how improbable a class may be and still belong to the set of a candidate.

    Parameters
    ----------
    probability : 2D array-like
        Shape ``(n, n_classes)``, of items that were not trained on.
    codes : 1D array-like of int
        True class of each.
    weight : 1D array-like, optional
        Of each item.

    Returns
    -------
    limits : dict
        ``'coverage'``, a list, and ``'limit'``, for each class a list of lowest probabilities
        that are still accepted. Zero, which accepts all, where there are too few items.

    Notes
    -----
    The quantile of the probability of the true class within each class (Sadinle, Lei &
    Wasserman 2019), with one more item of the largest weight that is never accepted: the
    correction of split conformal prediction for finite samples (Papadopoulos et al. 2002).
    With unequal weights the coverage holds about, not exactly.

    Examples
    --------
    >>> from clustercnn.training import conformal_limits
    >>> limits = conformal_limits([[0.9, 0.1]] * 40 + [[0.2, 0.8]] * 40, [0] * 40 + [1] * 40)
    >>> limits['limit'][0][limits['coverage'].index(0.9)]
    0.9
    """
    probability, codes = np.asarray(probability, np.float64), np.asarray(codes)
    weight = np.ones(len(codes)) if weight is None else np.asarray(weight, np.float64)
    limits = []
    for code in range(probability.shape[1]):
        # what counts for nothing says nothing of a class
        own = (codes == code) & (weight > 0)
        order = np.argsort(-probability[own, code], kind='stable')
        value, mass = probability[own, code][order], np.cumsum(weight[own][order])
        total = mass[-1] + weight[own].max() if own.any() else np.inf
        first = [int(np.searchsorted(mass, share * total * (1 - 1e-12))) for share in _COVERAGES]
        limits.append([float(value[row]) if row < len(value) else 0.0 for row in first])
    return {'coverage': list(_COVERAGES), 'limit': limits}


def conformal_sets(probability, limits, *, coverage):
    """
    Return which classes cannot be excluded.

    Parameters
    ----------
    probability : 2D array-like
        Shape ``(n, n_classes)``.
    limits : dict
        From `conformal_limits`.
    coverage : float
        Above 0 and below 1; the next higher one that there are limits for is used.

    Returns
    -------
    sets : 2D `~numpy.ndarray` of bool
        Of the shape of ``probability``. All classes where the coverage is above those of the
        limits.

    Raises
    ------
    ValueError
        If the coverage is out of range.

    Examples
    --------
    >>> from clustercnn.training import conformal_limits, conformal_sets
    >>> limits = conformal_limits([[0.9, 0.1]] * 40 + [[0.2, 0.8]] * 40, [0] * 40 + [1] * 40)
    >>> conformal_sets([[0.95, 0.05], [0.5, 0.5]], limits, coverage=0.9).tolist()
    [[True, False], [False, False]]
    """
    if not 0 < coverage < 1:
        msg = f"'coverage' must be above 0 and below 1, got {coverage!r}"
        raise ValueError(msg)
    probability = np.asarray(probability)
    for number, kept in enumerate(limits['coverage']):
        if kept >= coverage - 1e-9:
            lowest = np.array([row[number] for row in limits['limit']])
            # what is stored in single precision shall not fall below its own limit
            return probability >= lowest - 1e-6
    return np.ones(probability.shape, bool)


def fit_novelty(features, codes, *, n_components=16):
    """
    Describe where the training data lie in the space of the last hidden layer.

    Parameters
    ----------
    features : 2D array-like
        Shape ``(n, n_hidden)``, at least two rows.
    codes : 1D array-like of int
        Class of each row.
    n_components : int, optional
        Principal axes in which distances are measured; the rest counts as one.

    Returns
    -------
    reference : dict of str to `~numpy.ndarray`
        Float32 arrays for `novelty`.

    Notes
    -----
    The distance is that of Mahalanobis to the nearest class (Lee et al. 2018,
    arXiv:1807.03888), with the covariance within classes, in the principal axes;
    what lies outside them is added in units of its scatter. It is divided by its
    95th percentile over the training data.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.training import fit_novelty, novelty
    >>> x = np.random.default_rng(1).normal(size=(200, 4))
    >>> reference = fit_novelty(x, np.zeros(200, int))
    >>> bool(novelty(np.full((1, 4), 20.0), reference)[0] > 3)
    True
    """
    x, codes = np.asarray(features, np.float64), np.asarray(codes)
    classes = np.unique(codes)
    centres = np.stack([x[codes == code].mean(axis=0) for code in classes])
    within = x - centres[np.searchsorted(classes, codes)]
    mean = x.mean(axis=0)
    n_components = max(1, min(n_components, len(x) - 1, x.shape[1]))
    # axes of the whole cloud, so that what separates classes lies in them
    _, _, axes = np.linalg.svd(x - mean, full_matrices=False)
    axes = axes[:n_components]
    spread = (within @ axes.T).std(axis=0)
    floor = max(1e-3 * float(x.std()), 1e-6)
    spread = np.maximum(spread, floor)
    rest = (x - mean) - (x - mean) @ axes.T @ axes
    reference = {
        'mean': mean,
        'axes': axes / spread[:, None],
        'axes_unit': axes,
        'centres': (centres - mean) @ (axes / spread[:, None]).T,
        'rest': np.array(max(float(np.sqrt((rest**2).sum(axis=1).mean())), floor)),
        'unit': np.array(1.0),
    }
    reference = {name: np.asarray(value, np.float32) for name, value in reference.items()}
    unit = float(np.percentile(novelty(x, reference), 95))
    reference['unit'] = np.float32(max(unit, 1e-6)).reshape(())
    return reference


def novelty(features, reference):
    """
    Return how far items are from the training data.

    Parameters
    ----------
    features : 2D array-like
        Shape ``(n, n_hidden)``.
    reference : dict of str to `~numpy.ndarray`
        From `fit_novelty`.

    Returns
    -------
    distance : 1D `~numpy.ndarray` of float32
        One for what is stranger than 95 % of the training data; more is stranger.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.training import fit_novelty, novelty
    >>> x = np.random.default_rng(1).normal(size=(200, 4))
    >>> distance = novelty(x, fit_novelty(x, np.zeros(200, int)))
    >>> float((distance > 1).mean())
    0.05
    """
    reference = {name: np.asarray(value, np.float64) for name, value in reference.items()}
    x = np.asarray(features, np.float64) - reference['mean']
    inside = x @ reference['axes'].T
    squared = ((inside[:, None] - reference['centres'][None]) ** 2).sum(axis=2).min(axis=1)
    rest = x - x @ reference['axes_unit'].T @ reference['axes_unit']
    squared = squared + (rest**2).sum(axis=1) / reference['rest'] ** 2
    return (np.sqrt(squared) / reference['unit']).astype(np.float32)
