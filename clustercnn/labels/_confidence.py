# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How far the confidence of a consensus can be trusted, told by items whose class is known.
"""

import numpy as np
from scipy import optimize

__all__ = ['likeliest_temper', 'temper']

_N_FOLDS = 5
# ln of the exponent: from a hundredth, nearly the prior, to one, all that the votes say
_LIMITS = (-4.6, 0.0)


def temper(probability, exponent, *, prior):
    """
    Return probabilities with what is said beyond a prior to a power.

    Parameters
    ----------
    probability : 2D `~numpy.ndarray`
        Shape ``(n, n_classes)``; rows of NaN stay.
    exponent : float
        Below 1 makes them less certain (as Guo et al. 2017, arXiv:1706.04599, whose temperature is
        its inverse, but towards the prior: else a rare class would become frequent).
    prior : 1D `~numpy.ndarray`
        Share of each class, shape ``(n_classes,)``, or one row an item.

    Returns
    -------
    probability : 2D `~numpy.ndarray`
        Of the same shape.
    """
    base = np.log(prior)
    logarithm = base + exponent * (np.log(np.maximum(probability, 1e-300)) - base)
    odds = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def likeliest_temper(estimate, truth):
    """
    Return the exponent and the prior under which known classes are likeliest, each held out.

    Parameters
    ----------
    estimate : callable
        Takes the known classes, -1 where not known, and returns a `DawidSkeneResult`.
    truth : 1D `~numpy.ndarray` of int
        Class of each item, -1 where not known.

    Returns
    -------
    exponent : float
        At most 1: a few known items are no reason to be more certain than the votes are.
    even : bool
        Whether equal shares fit better than those that the votes tell, which are wrong where the
        crowd favours a class.
    """
    known = np.flatnonzero(truth >= 0)
    fold = np.arange(len(known)) % _N_FOLDS
    held, priors = [], []
    for number in range(_N_FOLDS):
        rows = known[fold == number]
        others = truth.copy()
        others[rows] = -1
        found = estimate(others)
        held.append(found.probability[rows])
        priors.append(np.broadcast_to(found.prior, held[-1].shape))
    held, priors = np.concatenate(held), np.concatenate(priors)
    right = np.concatenate([truth[known[fold == number]] for number in range(_N_FOLDS)])
    voted = np.isfinite(held).all(axis=1)
    held, right, priors = held[voted], right[voted], priors[voted]
    if not len(right):
        return 1.0, False

    def loss(logarithm, base):
        likelihood = temper(held, np.exp(logarithm), prior=base)[np.arange(len(right)), right]
        return -np.log(np.maximum(likelihood, 1e-300)).sum()

    best = loss(0.0, priors), 1.0, False
    for even, base in ((False, priors), (True, np.full_like(priors, 1 / priors.shape[1]))):
        found = optimize.minimize_scalar(loss, bounds=_LIMITS, method='bounded', args=(base,))
        best = min(best, (float(found.fun), float(np.exp(found.x)), even))
    return best[1:]
