# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The bootstrap: rows drawn again, and the intervals that follow.
"""

import numpy as np

from clustercnn._utils.validation import check_share, check_whole

__all__ = ['can_be_resampled', 'percentile_interval', 'resampled_weights']


def resampled_weights(n_rows, *, n_resamples, seed, groups=None):
    """
    Yield how often each row is drawn in bootstrap samples.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    n_resamples : int
        Number of samples.
    seed : int
        Seed.
    groups : 1D array-like, optional
        Rows of one group, such as a field, are drawn together.

    Yields
    ------
    times : 1D `~numpy.ndarray`
        Shape ``(n_rows,)``.

    Examples
    --------
    >>> from clustercnn.evaluation import resampled_weights
    >>> [int(times.sum()) for times in resampled_weights(5, n_resamples=2, seed=1)]
    [5, 5]
    """
    n_resamples = check_whole('n_resamples', n_resamples)
    rng = np.random.default_rng(seed)
    if groups is None:
        number = np.arange(n_rows)
    else:
        number = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
        if number.shape != (n_rows,):
            msg = f"'groups' must have length {n_rows}, got {number.size}"
            raise ValueError(msg)
    n_units = int(number.max()) + 1 if n_rows else 0
    for _ in range(n_resamples):
        times = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)
        yield times[number].astype(np.float64)


def can_be_resampled(weight, groups=None):
    """
    Return whether there are two units or more, without which every bootstrap sample is the same.

    Parameters
    ----------
    weight : 1D `~numpy.ndarray`
        Weight of each row; what has none is not there.
    groups : 1D array-like, optional
        Group of each row; by default each is one of its own.

    Returns
    -------
    can : bool
        False where an interval would have no width, and say that all is certain.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.evaluation.resampling import can_be_resampled
    >>> can_be_resampled(np.ones(3)), can_be_resampled(np.ones(3), ['a', 'a', 'a'])
    (True, False)
    """
    there = np.asarray(weight) > 0
    if groups is None:
        return int(there.sum()) > 1
    return len(np.unique(np.asarray(groups)[there])) > 1


def percentile_interval(values, *, confidence):
    """
    Return the interval that holds the middle of the values of bootstrap samples.

    Parameters
    ----------
    values : iterable of float
        One value a sample; NaN where it is not defined is left out.
    confidence : float
        Confidence level, above 0 and below 1.

    Returns
    -------
    low, high : float
        NaN if no value is defined.

    Examples
    --------
    >>> from clustercnn.evaluation.resampling import percentile_interval
    >>> percentile_interval(range(101), confidence=0.9)
    (5.0, 95.0)
    """
    tail = 50 * (1 - check_share('confidence', confidence))
    values = np.asarray(list(values), np.float64)
    values = values[~np.isnan(values)]
    if not values.size:
        return float('nan'), float('nan')
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
