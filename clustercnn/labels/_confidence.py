# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How far the confidence of a consensus can be trusted: votes on one item err together.
"""

import dataclasses

import numpy as np
from scipy import sparse, special, stats

__all__ = [
    'Correlation',
    'effective_votes',
    'expected_correlation',
    'find_correlation',
    'learn_correlation',
    'soften',
    'vote_correlation',
]

# the correlation with which votes on one item count, of real crowds whose truth is known: median
# and scatter of its logarithm, and the same of the correlation that is left in their votes;
# validation/labels/measure_correlation.py
TYPICAL, SCATTER = 0.67, 0.41
TYPICAL_LEFT, SCATTER_LEFT = 0.042, 0.61
_N_NODES = 25
_MOST_ITEMS = 5000
_N_FOLDS = 5
_LEAST_OPEN = 1e-3
# so that a label that is kept is no tie
_OF_ROOM = 0.95


def effective_votes(item, annotator, result, *, n_items):
    """
    Return how many votes of equal worth tell as much of each item as those that it has.

    Parameters
    ----------
    item, annotator : 1D `~numpy.ndarray` of int
        One vote a row.
    result : DawidSkeneResult
        What they said of the annotators.
    n_items : int
        Number of items.

    Returns
    -------
    number : 1D `~numpy.ndarray`
        Kish (1965, Survey Sampling) for votes whose weight is the square root of their expected
        evidence, which is as their scatter: it makes the variance of a sum of equally correlated
        votes what that of equal ones is. 0 for items without votes.
    """
    confusion = result.confusion
    logarithm = np.log(confusion)
    own = np.einsum('jtc,jtc->jt', confusion, logarithm)
    evidence = own[:, :, None] - np.einsum('jtc,jsc->jts', confusion, logarithm)
    pairs = np.outer(result.prior, result.prior) * (1 - np.eye(len(result.prior)))
    expected = (evidence * pairs).sum(axis=(1, 2)) / pairs.sum()
    worth = np.sqrt(np.maximum(expected, 0))[annotator]
    squares = np.bincount(item, worth**2, minlength=n_items)
    number = np.bincount(item, worth, minlength=n_items) ** 2 / np.where(squares > 0, squares, 1)
    # votes that all tell nothing
    return np.where(squares > 0, number, np.bincount(item, minlength=n_items))


def vote_correlation(item, annotator, label, result):
    """
    Return how far votes on one item depart together from what is expected for its class.

    Parameters
    ----------
    item, annotator, label : 1D `~numpy.ndarray` of int
        One vote a row.
    result : DawidSkeneResult
        What they said.

    Returns
    -------
    correlation : float
        Over pairs of votes on an item, each class with its probability; NaN if no item has two
        votes. Less than the truth: where many err together they are taken to be right.
    error : float
        One sigma, from the scatter of the items.
    """
    n_items = len(result.probability)
    several = np.flatnonzero(np.bincount(item, minlength=n_items) > 1)
    if len(several) < 2:
        return np.nan, np.nan
    chosen = several[np.unique(np.linspace(0, len(several) - 1, _MOST_ITEMS).astype(np.intp))]
    place = np.full(n_items, -1)
    place[chosen] = np.arange(len(chosen))
    taken = place[item] >= 0
    item, annotator, label = place[item[taken]], annotator[taken], label[taken]
    rows = np.arange(len(item))
    on_item = sparse.csr_array((np.ones(len(item)), (item, rows)), shape=(len(chosen), len(item)))
    common, most = np.zeros(len(chosen)), np.zeros(len(chosen))
    for true in range(result.confusion.shape[1]):
        expected = result.confusion[annotator, true]
        variance = expected * (1 - expected)
        left = -expected
        left[rows, label] += 1
        share = result.probability[chosen, true]
        common += share * ((on_item @ left) ** 2 - on_item @ left**2).sum(axis=1)
        most += share * ((on_item @ np.sqrt(variance)) ** 2 - on_item @ variance).sum(axis=1)
    if not most.sum() > 0:
        return np.nan, np.nan
    correlation = common.sum() / most.sum()
    scatter = ((common - correlation * most) ** 2).sum() * len(chosen) / (len(chosen) - 1)
    return float(correlation), float(np.sqrt(scatter) / most.sum())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Correlation:
    """
    What is known of the correlation with which votes on one item count.

    Parameters
    ----------
    values : 1D `~numpy.ndarray`
        Which it may have, 0 for independent votes first.
    weight : 1D `~numpy.ndarray`
        Probability of each.
    """

    values: np.ndarray
    weight: np.ndarray

    @property
    def mean(self):
        """
        Expected value.
        """
        return float(self.weight @ self.values)


def expected_correlation(share=0.5):
    """
    Return what is known of the correlation beforehand.

    Parameters
    ----------
    share : float, optional
        Probability that votes are correlated as those of real crowds are, and not independent.

    Returns
    -------
    correlation : Correlation
        Else they are independent.
    """
    nodes, weight = np.polynomial.hermite_e.hermegauss(_N_NODES)
    return Correlation(
        values=np.r_[0.0, TYPICAL * np.exp(SCATTER * nodes)],
        weight=np.r_[1 - share, share * weight / weight.sum()],
    )


def find_correlation(correlation, error):
    """
    Return what the correlation that is left in the votes says of that with which they count.

    Parameters
    ----------
    correlation, error : float
        From `vote_correlation`.

    Returns
    -------
    correlation : Correlation
        Beforehand votes are as likely independent as correlated. If they are, what is left of it
        has the distribution of `TYPICAL_LEFT`; how much it is tells no more: it does not go with
        what the confidence of those crowds needs.
    """
    if not error > 0:
        return expected_correlation()
    nodes, weight = np.polynomial.hermite_e.hermegauss(_N_NODES)
    left = TYPICAL_LEFT * np.exp(SCATTER_LEFT * nodes)
    dependent = stats.norm.logpdf(correlation, left, error)
    dependent = special.logsumexp(dependent, b=weight / weight.sum())
    independent = stats.norm.logpdf(correlation, 0, error)
    return expected_correlation(special.expit(dependent - independent))


def soften(probability, votes, correlation, *, prior):
    """
    Return probabilities from votes that are correlated.

    Parameters
    ----------
    probability : 2D `~numpy.ndarray`
        From independent ones, shape ``(n, n_classes)``; rows of NaN stay.
    votes : 1D `~numpy.ndarray`
        From `effective_votes`.
    correlation : Correlation
        Over which the mean is taken.
    prior : 1D `~numpy.ndarray`
        Share of each class, from which the probabilities were made.

    Returns
    -------
    probability : 2D `~numpy.ndarray`
        ``n`` votes with a correlation ``r`` tell as much as ``n / (1 + (n - 1) r)``: by that
        their evidence is weaker, and what is expected without votes counts in full. Votes against
        a class of two do not make it likelier than without votes. The likeliest class stays:
        where the shares would outweigh the weaker evidence they count for less.
    """
    softened = np.zeros_like(probability)
    for value, weight in zip(correlation.values, correlation.weight, strict=True):
        softened += weight * _powered(probability, votes, value, prior)
    return softened


def _powered(probability, votes, value, prior):
    power = 1 / (1 + np.maximum(votes - 1, 0) * value)
    base = np.log(np.maximum(prior, 1e-300))
    evidence = np.log(np.maximum(probability, 1e-300)) - base
    # how far the likeliest class is ahead by evidence, in units of what it is behind by its share
    likeliest = probability.argmax(axis=1)
    behind = base - base[likeliest][:, None]
    ahead = np.take_along_axis(evidence, likeliest[:, None], axis=1) - evidence
    room = np.where(behind > 0, ahead / np.where(behind > 0, behind, 1), np.inf).min(axis=1)
    # shares count in full unless that would change the label
    share = np.minimum(1, power * (1 + _OF_ROOM * (room - 1)))
    return special.softmax(share[:, None] * base + power[:, None] * evidence, axis=1)


def learn_correlation(correlation, estimate, truth, votes):
    """
    Return which correlation fits known classes, each of them held out in turn.

    Parameters
    ----------
    correlation : Correlation
        What is known beforehand.
    estimate : callable
        Takes the known classes, -1 where not known, and returns a `DawidSkeneResult`.
    truth : 1D `~numpy.ndarray` of int
        Class of each item, -1 where not known.
    votes : 1D `~numpy.ndarray`
        From `effective_votes`.

    Returns
    -------
    correlation : Correlation
        The same values with other weights.
    """
    known = np.flatnonzero(truth >= 0)
    fold = np.arange(len(known)) % _N_FOLDS
    likelihood = np.zeros(len(correlation.values))
    for number in np.unique(fold):
        rows = known[fold == number]
        others = truth.copy()
        others[rows] = -1
        result = estimate(others)
        held = result.probability[rows]
        voted = np.isfinite(held).all(axis=1)
        held, rows = held[voted], rows[voted]
        for place, value in enumerate(correlation.values):
            fitting = _powered(held, votes[rows], value, result.prior)
            fitting = fitting[np.arange(len(rows)), truth[rows]]
            likelihood[place] += np.log(np.maximum(fitting, 1e-300)).sum()
    # votes never exclude that what misleads everybody leaves no trace in them
    before = correlation.weight + _LEAST_OPEN * expected_correlation().weight
    weight = special.softmax(np.log(before) + likelihood)
    return dataclasses.replace(correlation, weight=weight)
