# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How far people agree, beyond what chance would give.
"""

import numpy as np

__all__ = ['cohen_kappa', 'fleiss_kappa']


def cohen_kappa(one, other):
    """
    Return Cohen's kappa of two people who labelled the same items.

    Parameters
    ----------
    one, other : 1D array-like
        Codes or names, shape ``(n,)``.

    Returns
    -------
    kappa : float
        1 for full agreement, 0 for that of chance; NaN where both give one and the
        same class throughout. Cohen (1960), Educ. Psychol. Meas. 20, 37.

    Raises
    ------
    ValueError
        If lengths differ or there is no item.

    Examples
    --------
    >>> from clustercnn.labels import cohen_kappa
    >>> cohen_kappa(['a', 'a', 'b', 'b'], ['a', 'b', 'b', 'b'])
    0.5
    """
    one, other = np.asarray(one), np.asarray(other)
    if one.ndim != 1 or one.shape != other.shape or one.size == 0:
        msg = (
            f'both must label the same items, at least one, got shapes {one.shape} '
            f'and {other.shape}'
        )
        raise ValueError(msg)
    classes = np.unique(np.concatenate([one, other]))
    observed = float((one == other).mean())
    expected = float(sum((one == name).mean() * (other == name).mean() for name in classes))
    return (observed - expected) / (1 - expected) if expected < 1 else float('nan')


def fleiss_kappa(votes):
    """
    Return the agreement of many people, of whom any may have voted on any item.

    Parameters
    ----------
    votes : 2D array-like
        Number of votes for each class, shape ``(n_items, n_classes)``, as in
        `~clustercnn.LabelSet`. Items with fewer than two votes are left out.

    Returns
    -------
    kappa : float
        NaN if no item has two votes or all votes are for one class. Fleiss (1971),
        Psychol. Bull. 76, 378; with unequal numbers of votes, every pair of votes on
        one item counts by its item equally.

    Examples
    --------
    >>> from clustercnn.labels import fleiss_kappa
    >>> fleiss_kappa([[3, 0], [0, 3], [3, 0], [0, 3]])
    1.0
    """
    votes = np.asarray(votes, dtype=np.float64)
    if votes.ndim != 2:
        msg = f"'votes' must have 2 dimensions, items and classes, got shape {votes.shape}"
        raise ValueError(msg)
    total = votes.sum(axis=1)
    votes, total = votes[total >= 2], total[total >= 2]
    if not len(votes):
        return float('nan')
    observed = float(((votes**2).sum(axis=1) - total).dot(1 / (total * (total - 1))) / len(votes))
    shares = votes.sum(axis=0) / total.sum()
    expected = float((shares**2).sum())
    return (observed - expected) / (1 - expected) if expected < 1 else float('nan')
