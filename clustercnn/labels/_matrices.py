# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Confusion matrices of annotators from the votes that are expected of them, with their errors.

All functions take the expected votes of each annotator as an array of shape
``(n_annotators, n_classes, n_classes)``, the true class before what was said.
"""

import dataclasses

import numpy as np
from scipy import special

__all__ = ['Matrices', 'Scatter', 'fit_coins', 'fit_rows', 'fit_skills', 'spread_of']

STRENGTHS = tuple(np.geomspace(1.0, 1000.0, 19))
# at the start no prior is worth more than five votes
LAST_AT_FIRST = 4
_N_STEPS, _LARGEST_STEP = 200, 2.0
# gain of the log likelihood from which on annotators are taken to differ by more
_LEAST_GAIN = 1.0
# sigma of the skills at the start and at least, in log odds
_FIRST_SIGMA, _LEAST_SIGMA = 1.0, 1e-2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Matrices:
    """
    Confusion matrices and what their errors follow from.

    Parameters
    ----------
    confusion : 3D `~numpy.ndarray`
        Annotator, true class, said class.
    total : 2D `~numpy.ndarray`
        Votes behind each row, those of the prior among them.
    strength : int
        Number of the strength of the prior.
    wrong_total : 2D `~numpy.ndarray`, optional
        Where right and wrong votes have priors of their own: votes behind how the wrong ones of
        each row are spread.
    slope : 2D `~numpy.ndarray`, optional
        There: change of the share of right votes with the skill of the annotator.
    variance : 1D `~numpy.ndarray`, optional
        Of these skills, for known classes.
    """

    confusion: np.ndarray
    total: np.ndarray
    strength: int = LAST_AT_FIRST
    wrong_total: np.ndarray | None = None
    slope: np.ndarray | None = None
    variance: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scatter:
    """
    How far votes may be from those that are expected, since the true classes are not known.

    Parameters
    ----------
    variance, third : 3D `~numpy.ndarray`
        Second and third central moment of each of the expected votes.
    """

    variance: np.ndarray
    third: np.ndarray

    def total(self):
        """
        Return that of the sums over what was said.

        Returns
        -------
        scatter : Scatter
            The votes of a row are on different items, whose classes do not depend on each other.
        """
        return Scatter(variance=self.variance.sum(axis=2), third=self.third.sum(axis=2))


def fit_rows(counts, scatter, prior_strength, before, last):
    """
    Return matrices all of which have the same prior, centred on how all vote.

    Parameters
    ----------
    counts : 3D `~numpy.ndarray`
        Expected votes.
    scatter : Scatter
        Of these.
    prior_strength : float or None
        Votes that the Dirichlet prior of each row is worth; None for what makes the votes
        likeliest.
    before : Matrices
        Of the iteration before: where to begin.
    last : int
        Number of the largest strength that is allowed.

    Returns
    -------
    matrices : Matrices
        Means of the posteriors.
    """
    centre = _everybody(counts)
    number = before.strength
    if prior_strength is None:
        number = likeliest_strength(counts, centre, number, last, scatter)
    counts = counts + (prior_strength or STRENGTHS[number]) * centre
    total = counts.sum(axis=2)
    return Matrices(
        confusion=counts / total[:, :, None],
        total=total,
        strength=number,
    )


def fit_skills(counts):
    """
    Return matrices whose priors are centred on how all vote, but with the own skill.

    Parameters
    ----------
    counts : 3D `~numpy.ndarray`
        Expected votes.

    Returns
    -------
    matrices : Matrices
        Each class has a share of right votes with a beta prior, centred on that of all with its
        log odds shifted by the skill of the annotator, and the wrong votes are spread with a
        Dirichlet prior, centred on how all spread theirs. How far skills scatter and what the two
        priors are worth follows from the votes (empirical Bayes).
    """
    n_people, n_classes, _ = counts.shape
    everybody = _everybody(counts)
    made = counts.sum(axis=2)
    hits = np.diagonal(counts, axis1=1, axis2=2)
    common = np.diagonal(everybody)
    skill, variance = _fit_shift(hits, made, common)
    centre = special.expit(special.logit(common) + skill[:, None])
    coins = np.stack([hits, made - hits], axis=2)
    first = likeliest_strength(
        coins, np.stack([centre, 1 - centre], axis=2), LAST_AT_FIRST, len(STRENGTHS) - 1
    )
    total = made + STRENGTHS[first]
    right = (hits + STRENGTHS[first] * centre) / total
    # the classes beside the true one
    others = np.array([np.delete(np.arange(n_classes), true) for true in range(n_classes)])
    rows = np.arange(n_classes)[:, None]
    wrong, spread = counts[:, rows, others], everybody[rows, others]
    spread = spread / spread.sum(axis=1, keepdims=True)
    second = likeliest_strength(wrong, spread, LAST_AT_FIRST, len(STRENGTHS) - 1)
    wrong = wrong + STRENGTHS[second] * spread
    wrong_total = wrong.sum(axis=2)
    confusion = np.empty((n_people, n_classes, n_classes))
    confusion[:, rows, others] = (1 - right)[:, :, None] * wrong / wrong_total[:, :, None]
    confusion[:, rows[:, 0], rows[:, 0]] = right
    return Matrices(
        confusion=confusion,
        total=total,
        wrong_total=wrong_total,
        slope=STRENGTHS[first] / total * centre * (1 - centre),
        variance=variance,
    )


def _fit_shift(hits, made, common):
    """
    Return the skills, shifts of the log odds of right votes, and their variances.

    They are the modes of posteriors whose prior is normal, by Newton's method, with an EM
    algorithm for its sigma around it.
    """
    odds = special.logit(common)
    shift, sigma = np.zeros(len(hits)), _FIRST_SIGMA
    for _ in range(_N_STEPS):
        share = special.expit(odds + shift[:, None])
        curvature = (made * share * (1 - share)).sum(axis=1) + sigma**-2
        step = ((hits - made * share).sum(axis=1) - shift * sigma**-2) / curvature
        shift = shift + np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        updated = max(float(np.sqrt(np.mean(shift**2 + 1 / curvature))), _LEAST_SIGMA)
        settled = abs(updated - sigma) < 1e-4 * sigma and np.abs(step).max() < 1e-4
        sigma = updated
        if settled:
            break
    return shift, 1 / curvature


def fit_coins(counts, scatter, prior_strength, before, last):
    """
    Return matrices of one number each, the share of right votes, the wrong ones spread evenly.

    Parameters
    ----------
    counts : 3D `~numpy.ndarray`
        Expected votes.
    scatter : Scatter
        Of these.
    prior_strength : float or None
        Votes that the beta prior is worth; None for what makes the votes likeliest.
    before : Matrices
        Of the iteration before: where to begin.
    last : int
        Number of the largest strength that is allowed.

    Returns
    -------
    matrices : Matrices
        Means of the posteriors.
    """
    n_classes = counts.shape[1]
    right = np.trace(counts, axis1=1, axis2=2)
    coins = np.stack([right, counts.sum(axis=(1, 2)) - right], axis=1)[:, None]
    everybody = coins.sum(axis=0) + 1.0
    everybody /= everybody.sum()
    number = before.strength
    if prior_strength is None:
        # a vote that is not right is wrong
        variance, third = (
            np.trace(moment, axis1=1, axis2=2) for moment in (scatter.variance, scatter.third)
        )
        of_coins = Scatter(
            variance=np.stack([variance, variance], axis=1)[:, None],
            third=np.stack([third, -third], axis=1)[:, None],
        )
        number = likeliest_strength(coins, everybody, number, last, of_coins, certain_total=True)
    coins = coins[:, 0] + (prior_strength or STRENGTHS[number]) * everybody[0]
    total = coins.sum(axis=1)
    share = coins[:, 0] / total
    same = np.eye(n_classes, dtype=bool)
    confusion = np.where(same, share[:, None, None], 1 - share[:, None, None])
    return Matrices(
        confusion=confusion * _shape_of_coins(n_classes),
        total=np.repeat(total[:, None], n_classes, axis=1),
        strength=number,
    )


def spread_of(matrices, open_votes, *, coins=False):
    """
    Return the errors of confusion matrices.

    Parameters
    ----------
    matrices : Matrices
        From one of the functions above.
    open_votes : 3D `~numpy.ndarray`
        Variance of the expected votes.
    coins : bool, optional
        Whether they have one number each.

    Returns
    -------
    spread : 3D `~numpy.ndarray`
        One sigma of ``matrices.confusion``.
    """
    confusion, total = matrices.confusion, matrices.total
    if coins:
        # whether a vote was right is as uncertain as whether its class is the true one
        missing = np.trace(open_votes, axis1=1, axis2=2)
        share, total = confusion[:, 0, 0], total[:, 0] + 1
        spread = np.sqrt(share * (1 - share) / total + missing / total**2)
        return spread[:, None, None] * _shape_of_coins(confusion.shape[1])
    among = open_votes.sum(axis=2)
    if matrices.wrong_total is None:
        return np.sqrt(_variance(confusion, total[:, :, None], open_votes, among[:, :, None]))
    same = np.eye(confusion.shape[1], dtype=bool)
    right = np.diagonal(confusion, axis1=1, axis2=2)
    open_hits = np.diagonal(open_votes, axis1=1, axis2=2)
    of_skill = matrices.variance + matrices.variance**2 * open_hits.sum(axis=1)
    of_right = _variance(right, total, open_hits, among)
    of_right = of_right + matrices.slope**2 * of_skill[:, None]
    spread = confusion / np.maximum(1 - right, 1e-300)[:, :, None]
    of_spread = _variance(
        spread, matrices.wrong_total[:, :, None], open_votes, (among - open_hits)[:, :, None]
    )
    of_right = of_right[:, :, None]
    # a product of two that are independent of each other
    of_wrong = ((1 - right) ** 2)[:, :, None] * of_spread + (spread**2 + of_spread) * of_right
    return np.sqrt(np.where(same, of_right, of_wrong))


def _variance(share, total, open_votes, among):
    """
    Return the variance of a share of votes: that of a beta distribution, and what is not known of
    the true classes.
    """
    missing = open_votes * (1 - share) ** 2 + (among - open_votes) * share**2
    return share * (1 - share) / (total + 1) + missing / (total + 1) ** 2


def _shape_of_coins(n_classes):
    """
    Return how right and wrong votes are spread: the wrong ones evenly over the other classes.
    """
    shape = np.full((n_classes, n_classes), 1 / (n_classes - 1))
    np.fill_diagonal(shape, 1.0)
    return shape


def _everybody(counts):
    n_classes = counts.shape[1]
    everybody = counts.sum(axis=0) + np.eye(n_classes) + 1 / n_classes
    return everybody / everybody.sum(axis=1, keepdims=True)


def likeliest_strength(counts, centre, start, last, scatter=None, *, certain_total=False):
    """
    Return which strength of a Dirichlet prior makes counts likeliest, uphill from ``start``.

    The counts of annotators who are alike scatter as those of one multinomial
    distribution, and the strength found is large; where they differ it is small. Expected counts
    scatter less than counts do, as if all were more alike than they are: the likelihood is
    therefore averaged over the counts that may be, by two values that have their three first
    moments.

    Parameters
    ----------
    counts : 3D `~numpy.ndarray`
        Annotator, row, what is counted.
    centre : `~numpy.ndarray`
        Mean of the prior, of a shape that can be broadcast to that of the counts.
    start, last : int
        Numbers of the strengths to begin with and to end at.
    scatter : Scatter, optional
        Of the counts, if they are expected ones.
    certain_total : bool, optional
        Whether the sums over what is counted are certain all the same.

    Returns
    -------
    number : int
        Of the strength.
    """
    total = counts.sum(axis=2)
    copies = counts.size / max(centre.size, 1)
    known = scatter is None
    of_counts = [(counts, 1.0)] if known else _two_values(counts, scatter)
    exact = known or certain_total
    of_total = [(total, 1.0)] if exact else _two_values(total, scatter.total())

    def value(number):
        prior = STRENGTHS[number] * centre
        return (
            sum((share * special.gammaln(at + prior)).sum() for at, share in of_counts)
            - copies * special.gammaln(prior).sum()
            - sum((share * special.gammaln(at + STRENGTHS[number])).sum() for at, share in of_total)
            + total.size * special.gammaln(STRENGTHS[number])
        )

    number = min(start, last)
    best = value(number)
    for step in (1, -1):
        while 0 <= number + step <= last:
            trial = value(number + step)
            if trial <= best:
                break
            number, best = number + step, trial
    # what the votes do not tell apart is alike
    return number if best > value(last) + _LEAST_GAIN else last


def _two_values(mean, scatter):
    """
    Return two values and their shares that have a mean, a variance and a third central moment.

    Of a single vote they are 0 and 1.
    """
    sigma = np.sqrt(scatter.variance)
    skewness = np.divide(
        scatter.third, sigma**3, out=np.zeros_like(sigma), where=scatter.variance > 1e-12
    )
    root = np.sqrt(1 + skewness**2 / 4)
    low = np.maximum(mean + sigma * (skewness / 2 - root), 0)
    high = mean + sigma * (skewness / 2 + root)
    share = 0.5 * (1 + skewness / (2 * root))
    return [(low, share), (high, 1 - share)]
