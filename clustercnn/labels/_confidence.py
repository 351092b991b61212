# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How far the confidence of a consensus can be trusted, told by items whose class is known.
"""

import numpy as np
from scipy import optimize

__all__ = ['likeliest_temper', 'temper']

_N_FOLDS = 5
# ln of the exponent: from a hundredth, nearly the prior, to one, as it is
_LIMITS = (-4.6, 0.0)


def temper(probability, exponent):
    """
    Return probabilities to a power, normalised.

    Parameters
    ----------
    probability : 2D `~numpy.ndarray`
        Shape ``(n, n_classes)``; rows of NaN stay.
    exponent : float
        Below 1 makes them less certain (Guo et al. 2017, arXiv:1706.04599, its inverse is
        their temperature).

    Returns
    -------
    probability : 2D `~numpy.ndarray`
        Of the same shape.
    """
    logarithm = exponent * np.log(np.maximum(probability, 1e-300))
    odds = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def likeliest_temper(estimate, truth):
    """
    Return the exponent under which known classes are likeliest, each held out in turn.

    Parameters
    ----------
    estimate : callable
        Takes the known classes, -1 where not known, and returns probabilities.
    truth : 1D `~numpy.ndarray` of int
        Class of each item, -1 where not known.

    Returns
    -------
    exponent : float
        At most 1: a few known items are no reason to be more certain than the votes are.
    """
    known = np.flatnonzero(truth >= 0)
    fold = np.arange(len(known)) % _N_FOLDS
    held = []
    for number in range(_N_FOLDS):
        rows = known[fold == number]
        others = truth.copy()
        others[rows] = -1
        held.append(estimate(others)[rows])
    held = np.concatenate(held)
    right = np.concatenate([truth[known[fold == number]] for number in range(_N_FOLDS)])
    voted = np.isfinite(held).all(axis=1)
    held, right = held[voted], right[voted]
    if not len(right):
        return 1.0

    def loss(logarithm):
        likelihood = temper(held, np.exp(logarithm))[np.arange(len(right)), right]
        return -np.log(np.maximum(likelihood, 1e-300)).sum()

    found = optimize.minimize_scalar(loss, bounds=_LIMITS, method='bounded')
    return float(np.exp(found.x if found.fun < loss(0.0) else 0.0))
