# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Items that mislead: votes on one item that err together.
"""

import numpy as np
from scipy import sparse, special

__all__ = ['judge_items', 'log_evidence']

# how far an item may shift the log odds of all votes on it: from not at all to a factor of 50
SCALES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
# this many items tell how frequent each of them is
_MOST_FOR_WEIGHTS = 5000
_VOTES_AT_A_TIME = 50_000
_LARGEST_STEP = 2.0


def judge_items(item, annotator, label, *, confusion, prior, n_items, truth=None):
    """
    Return classes of items from votes that are independent only given how hard the item is.

    Parameters
    ----------
    item, annotator, label : 1D `~numpy.ndarray` of int
        One vote a row.
    confusion : 3D `~numpy.ndarray`
        Matrix of each annotator, shape ``(n_annotators, n_classes, n_classes)``.
    prior : 1D `~numpy.ndarray`
        Share of each class.
    n_items : int
        Number of items.
    truth : 1D `~numpy.ndarray` of int, optional
        Class of each item where it is known, -1 elsewhere. Known items count in how frequent
        misleading ones are.

    Returns
    -------
    probability : 2D `~numpy.ndarray`
        Shape ``(n_items, n_classes)``; the prior for items without votes.
    difficulty : 1D `~numpy.ndarray`
        Scale of the shift that is expected of each item, 0 to 4; NaN for those without votes.

    Notes
    -----
    A vote on item i by annotator j is for class c with a probability proportional to
    ``confusion[j, t, c] * exp(e_c)`` where t is the true class. The shift e belongs to the item
    and is the same for all who vote on it; it is normal with a scale that is one of a few, each
    of which counts as having one item beforehand. However many votes an item has, the evidence
    is bounded: they may all have been misled. Sources in `dawid_skene`.
    """
    order = np.argsort(item, kind='stable')
    item, annotator, label = item[order], annotator[order], label[order]
    n_classes = len(prior)
    allowed = np.zeros((n_items, n_classes))
    if truth is not None:
        known = truth >= 0
        allowed[known] = -np.inf
        allowed[known, truth[known]] = 0.0
    with np.errstate(divide='ignore'):
        joint = np.log(prior) + allowed
    voted = np.unique(item)
    chosen = np.unique(np.linspace(0, len(voted) - 1, _MOST_FOR_WEIGHTS).astype(np.intp))
    some = voted[chosen]
    evidence = _evidence(item, annotator, label, confusion, some)
    share = _shares_of_scales(special.logsumexp(evidence + joint[some], axis=2))
    if len(some) < len(voted):
        evidence = _evidence(item, annotator, label, confusion, voted)
    logarithm = evidence + joint[voted] + np.log(share)[:, None, None]
    total = special.logsumexp(logarithm, axis=(0, 2))
    responsibility = np.exp(logarithm - total[:, None])
    probability = np.tile(prior, (n_items, 1))
    probability[voted] = responsibility.sum(axis=0)
    difficulty = np.full(n_items, np.nan)
    difficulty[voted] = np.array(SCALES) @ responsibility.sum(axis=2)
    return probability, difficulty


def _evidence(item, annotator, label, confusion, wanted):
    """
    Return the log evidence of each scale and class for some items, shape (scale, item, class).

    The votes are sorted by item.
    """
    first, last = np.searchsorted(item, wanted), np.searchsorted(item, wanted, side='right')
    n_votes = np.cumsum(last - first)
    part = n_votes // _VOTES_AT_A_TIME
    found = np.empty((len(SCALES), len(wanted), confusion.shape[1]))
    for number in np.unique(part):
        rows = np.flatnonzero(part == number)
        size = (last - first)[rows]
        inside = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        votes = np.repeat(first[rows], size) + inside
        found[:, rows] = log_evidence(
            np.repeat(np.arange(len(rows)), size),
            label[votes],
            np.log(confusion)[annotator[votes]],
            n_items=len(rows),
        )
    return found


def _shares_of_scales(evidence):
    """
    Return how frequent each scale is, from log evidence of shape (scale, item).
    """
    share = np.full(len(evidence), 1 / len(evidence))
    for _ in range(1000):
        member = special.softmax(evidence + np.log(share)[:, None], axis=0)
        updated = member.sum(axis=1) + 1.0
        updated /= updated.sum()
        settled = np.abs(updated - share).max() < 1e-6
        share = updated
        if settled:
            break
    return share


def log_evidence(item, label, logarithm, *, n_items, scales=SCALES):
    """
    Return the log probability of the votes on each item for each scale and class.

    Parameters
    ----------
    item, label : 1D `~numpy.ndarray` of int
        One vote a row.
    logarithm : 3D `~numpy.ndarray`
        Logarithm of the confusion matrix of who cast it, shape
        ``(n_votes, n_classes, n_classes)``.
    n_items : int
        Number of items.
    scales : sequence of float, optional
        Widths of the normal distribution of the shift, rising.

    Returns
    -------
    evidence : 3D `~numpy.ndarray`
        Shape ``(n_scales, n_items, n_classes)``; Laplace's approximation around the likeliest
        shift, which Newton's method finds: the logarithm is concave.
    """
    n_votes, n_classes = len(item), logarithm.shape[1]
    rows = np.arange(n_votes)
    on_item = sparse.csr_array((np.ones(n_votes), (item, rows)), shape=(n_items, n_votes))
    said = on_item @ np.eye(n_classes)[label]
    diagonal = np.arange(n_classes)
    evidence = np.empty((len(scales), n_items, n_classes))
    for true in range(n_classes):
        plain = logarithm[:, true]
        shift = np.zeros((n_items, n_classes))

        def curvature(share, precision):
            pairs = (share[:, :, None] * share[:, None, :]).reshape(n_votes, -1)
            hessian = -(on_item @ pairs).reshape(n_items, n_classes, n_classes)
            expected = on_item @ share
            hessian[:, diagonal, diagonal] += expected + precision
            return expected, hessian

        for number, scale in enumerate(scales):
            if scale == 0:
                evidence[number, :, true] = on_item @ plain[rows, label]
                continue
            precision = scale**-2
            for _ in range(50):
                share = special.softmax(plain + shift[item], axis=1)
                expected, hessian = curvature(share, precision)
                gradient = said - expected - precision * shift
                step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
                size = np.abs(step).max(axis=1, keepdims=True, initial=0)
                shift += step * np.minimum(1, _LARGEST_STEP / np.maximum(size, _LARGEST_STEP))
                if size.max(initial=0) < 1e-4:
                    break
            moved = plain + shift[item]
            norm = special.logsumexp(moved, axis=1)
            _, hessian = curvature(np.exp(moved - norm[:, None]), precision)
            evidence[number, :, true] = (
                on_item @ (moved[rows, label] - norm)
                - precision * (shift**2).sum(axis=1) / 2
                - np.linalg.slogdet(hessian)[1] / 2
                - n_classes * np.log(scale)
            )
    return evidence
