# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What votes say of the items and of those who voted.
"""

import dataclasses

import numpy as np
from scipy import optimize, sparse, special

from clustercnn._utils.validation import check_one_of, check_positive
from clustercnn.labels._difficulty import judge_items

__all__ = ['DawidSkeneResult', 'dawid_skene']

STRENGTHS = tuple(np.geomspace(1.0, 1000.0, 19))
# the iterations in which annotators may differ, and which strength their prior has then at most
_N_OPEN, _LAST_AT_FIRST = 10, 4
MODELS = ('full', 'one-coin', 'difficulty')


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DawidSkeneResult:
    """
    What the votes say about items and about those who voted.

    Parameters
    ----------
    probability : 2D `~numpy.ndarray`
        Probability of each class for each item, shape ``(n_items, n_classes)``; NaN for
        items without votes.
    confusion : 3D `~numpy.ndarray`
        Shape ``(n_annotators, n_classes, n_classes)``: probability that an annotator says
        the second class where the first is true.
    confusion_std : 3D `~numpy.ndarray`
        One sigma of that, from the number of votes and from what is not known of the true
        classes; that all classes may have changed their names is not in it.
    prior : 1D `~numpy.ndarray`
        Share of each class.
    n_iterations : int
        Iterations taken.
    converged : bool
        Whether the probabilities had settled.
    difficulty : 1D `~numpy.ndarray`, optional
        Of the model ``'difficulty'``: how far each item is expected to shift the log odds of all
        votes on it, 0 to 4, shape ``(n_items,)``; NaN for items without votes.

    Examples
    --------
    >>> from clustercnn.labels import dawid_skene
    >>> result = dawid_skene([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1], n_classes=2)
    >>> result.probability.argmax(axis=1).tolist()
    [0, 1]
    """

    probability: np.ndarray
    confusion: np.ndarray
    confusion_std: np.ndarray
    prior: np.ndarray
    n_iterations: int
    converged: bool
    difficulty: np.ndarray | None = None


def dawid_skene(
    item,
    annotator,
    label,
    *,
    n_classes,
    n_items=None,
    n_annotators=None,
    model='full',
    truth=None,
    prior_strength=None,
    n_iterations=200,
    tolerance=1e-6,
):
    """
    Estimate true classes and annotators' confusion matrices from votes.

    Parameters
    ----------
    item, annotator, label : 1D array-like of int
        One vote a row: number of the item, of the annotator, and code of the class,
        all from 0.
    n_classes : int
        Number of classes.
    n_items, n_annotators : int, optional
        By default one more than the largest number.
    model : {'full', 'one-coin', 'difficulty'}, optional
        A confusion matrix for each annotator; only the share of right votes, whatever the
        class, the wrong ones then spread evenly, for people with few votes; or a matrix for
        each annotator and for each item a shift of the odds of all votes on it.
    truth : 1D array-like of int, optional
        Class of each item where it is known, -1 elsewhere, shape ``(n_items,)``: gold standard,
        experts, spectra. It is kept, and the annotators are judged by it.
    prior_strength : float, optional
        Votes that the Dirichlet prior of every row of every confusion matrix is worth.
        It is centred on how all annotators together vote, so that people with
        few votes count as average ones. By default the strength under which the votes
        are likeliest, found anew in each iteration: large where annotators are alike,
        small where they differ.
    n_iterations : int, optional
        Most iterations.
    tolerance : float, optional
        Stop when no probability changes by more.

    Returns
    -------
    result : DawidSkeneResult
        What the EM algorithm reaches from the majority of votes.

    Raises
    ------
    ValueError
        If lengths differ or a number is out of range.

    Notes
    -----
    Dawid & Skene (1979), Applied Statistics 28, 20, with Dirichlet priors in the M step.
    Without them, or with weak ones, small crowds of equals are judged worse than by
    the plain majority: chance differences are taken for skill. Starting from the majority
    keeps the names of the classes: most are taken to be right more often than not. Where they
    have changed all the same they are changed back, so that as many votes as can be are for the
    true class, unless items are known. In the first ten iterations the prior is worth
    no more than five votes: that all are alike is a belief that confirms itself, and where most
    are nearly guessing the algorithm would never find out who is not. The one-coin
    model is that of Zhang, Chen, Zhou & Jordan (2016), J. Mach. Learn. Res. 17, 102.

    Under ``'difficulty'`` the matrices are those of ``'full'``. To the log odds of each vote on
    an item a shift is added, which belongs to the item and is normal. It may lead past the border
    of the classes, as with the items of Welinder et al. (2010, Advances in Neural Information
    Processing Systems 23) and unlike the difficulty of Whitehill et al. (2009, same series
    22, GLAD), where the hardest item is a tossed coin. How many items are shifted how far
    follows from the votes (empirical Bayes, Stephens 2017, Biostatistics 18, 275). Items that
    divide the crowd are then less certain, however many have voted. Items that mislead everybody
    look like others: only known ones can tell, see ``truth`` of `consensus`. The matrices are
    not fitted again, since shifts that explain all votes leave nothing for the classes to do.

    Errors are those of a Dirichlet distribution for known classes, with the variance
    of the expected votes on top (Louis 1982, J. R. Stat. Soc. B 44, 226, to first order, each
    row of each matrix by itself).

    Examples
    --------
    Two careful people and one who has it backwards:

    >>> import numpy as np
    >>> from clustercnn.labels import dawid_skene
    >>> truth = np.arange(20) % 2
    >>> votes = np.concatenate([truth, truth, 1 - truth])
    >>> result = dawid_skene(np.tile(np.arange(20), 3), np.repeat([0, 1, 2], 20), votes,
    ...                      n_classes=2)
    >>> bool((result.probability.argmax(axis=1) == truth).all())
    True
    >>> bool(result.confusion[2, 0, 1] > 0.7)
    True
    """
    item, annotator, label = (_codes(name, values) for name, values in (
        ('item', item), ('annotator', annotator), ('label', label),
    ))  # fmt: skip
    if not item.shape == annotator.shape == label.shape:
        msg = (
            f'items, annotators and labels must have one length, got {item.size}, '
            f'{annotator.size} and {label.size}'
        )
        raise ValueError(msg)
    n_items = _number('n_items', n_items, item)
    n_annotators = _number('n_annotators', n_annotators, annotator)
    if label.size and label.max() >= n_classes:
        msg = f"'label' must lie from 0 to {n_classes - 1}, got {label.max()}"
        raise ValueError(msg)
    check_positive('prior_strength', prior_strength, optional=True)
    check_one_of('model', model, MODELS)
    if n_classes < 2:
        msg = f"'n_classes' must be at least 2, got {n_classes}"
        raise ValueError(msg)
    known, certain = _anchors(truth, n_items, n_classes)
    votes = _count(item * n_classes + label, n_items * n_classes).reshape(n_items, n_classes)
    # the classes with most votes; ties are shared
    leading = votes == votes.max(axis=1, keepdims=True)
    posterior = leading / leading.sum(axis=1, keepdims=True)
    posterior[known] = certain
    voted = votes.sum(axis=1) > 0
    # where not all classes are known, what is known depends on the class and says nothing of its
    # share, as with a catalogue of clusters
    chosen = len(np.unique(certain.argmax(axis=1))) < n_classes and (voted & ~known).any()
    open_items = voted & ~known if chosen else voted
    # one row for each annotator and vote; the votes of a row differ by item only
    cast = sparse.coo_array(
        (np.ones(item.size), (annotator * n_classes + label, item)),
        shape=(n_annotators * n_classes, n_items),
    ).tocsr()
    on_items = cast.T.tocsr()
    confusion = np.full((n_annotators, n_classes, n_classes), 1 / n_classes)
    total = np.full((n_annotators, n_classes), np.nan)
    prior = np.full(n_classes, 1 / n_classes)
    maximise = _maximise_coin if model == 'one-coin' else _maximise
    strength = _LAST_AT_FIRST
    converged, iteration = not item.size, 0
    while not converged and iteration < n_iterations:
        iteration += 1
        counts = _expected_votes(cast, posterior)
        last = len(STRENGTHS) - 1 if iteration > _N_OPEN else _LAST_AT_FIRST
        confusion, total, strength = maximise(counts, prior_strength, strength, last)
        shares = posterior[open_items].sum(axis=0) + 1.0
        prior = shares / shares.sum()
        # (annotator, said, true), so that one row is what one vote says about the truth
        evidence = np.log(confusion).transpose(0, 2, 1).reshape(-1, n_classes)
        updated = special.softmax(np.log(prior) + on_items @ evidence, axis=1)
        updated[known] = certain
        change = np.abs(updated - posterior)[voted].max()
        settled = iteration > _N_OPEN or prior_strength is not None
        converged = settled and bool(change <= tolerance)
        posterior = updated
    if item.size and not known.any():
        # with nothing known two classes may have changed their names on the way
        counts = _expected_votes(cast, posterior)
        order = _names_by_votes(counts.sum(axis=0))
        posterior, prior = posterior[:, order], prior[order]
        confusion, total = confusion[:, order], total[:, order]
    # how uncertain the class was in which a vote counted
    open_votes = _expected_votes(cast, posterior * (1 - posterior))
    spread = (_spread_coin if model == 'one-coin' else _spread)(confusion, total, open_votes)
    difficulty = None
    if model == 'difficulty' and item.size:
        posterior, difficulty = judge_items(
            item, annotator, label, confusion=confusion, prior=prior, n_items=n_items, truth=truth
        )
        posterior[known] = certain
    elif model == 'difficulty':
        difficulty = np.full(n_items, np.nan)
    return DawidSkeneResult(
        probability=np.where((voted | known)[:, None], posterior, np.nan),
        confusion=confusion,
        confusion_std=spread,
        prior=prior,
        n_iterations=iteration,
        converged=converged,
        difficulty=difficulty,
    )


def _names_by_votes(counts):
    """
    Return the order of the estimated classes in which most votes are for the true one.

    ``counts`` has the estimated class in rows, and what was said in columns.
    """
    return optimize.linear_sum_assignment(counts, maximize=True)[1].argsort()


def _expected_votes(cast, posterior):
    """
    Return how often each annotator is expected to have said each class for each true class.
    """
    n_classes = posterior.shape[1]
    return (cast @ posterior).reshape(-1, n_classes, n_classes).transpose(0, 2, 1)


def _maximise(counts, prior_strength, start, last):
    """
    Return the confusion matrices that fit expected votes best, the votes behind each row, and
    the number of the strength.
    """
    n_classes = counts.shape[1]
    everybody = counts.sum(axis=0) + np.eye(n_classes) + 1 / n_classes
    everybody /= everybody.sum(axis=1, keepdims=True)
    if prior_strength is None:
        start = _likeliest_strength(counts, everybody, start, last)
    counts = counts + (prior_strength or STRENGTHS[start]) * everybody
    total = counts.sum(axis=2)
    return counts / total[:, :, None], total, start


def _spread(confusion, total, open_votes):
    """
    Return the errors of confusion matrices.
    """
    total = total[:, :, None] + 1
    among = open_votes.sum(axis=2, keepdims=True)
    missing = open_votes * (1 - confusion) ** 2 + (among - open_votes) * confusion**2
    return np.sqrt(confusion * (1 - confusion) / total + missing / total**2)


def _maximise_coin(counts, prior_strength, start, last):
    """
    Return confusion matrices of one number each, the share of right votes, all votes, and the
    number of the strength.
    """
    n_classes = counts.shape[1]
    right = np.trace(counts, axis1=1, axis2=2)
    coins = np.stack([right, counts.sum(axis=(1, 2)) - right], axis=1)[:, None]
    everybody = coins.sum(axis=0) + 1.0
    everybody /= everybody.sum()
    if prior_strength is None:
        start = _likeliest_strength(coins, everybody, start, last)
    coins = coins[:, 0] + (prior_strength or STRENGTHS[start]) * everybody[0]
    total = coins.sum(axis=1)
    share = coins[:, 0] / total
    same = np.eye(n_classes, dtype=bool)
    shape = _shape_coin(n_classes)
    confusion = np.where(same, share[:, None, None], 1 - share[:, None, None]) * shape
    return confusion, np.repeat(total[:, None], n_classes, axis=1), start


def _shape_coin(n_classes):
    """
    Return how right and wrong votes are spread: the wrong ones evenly over the other classes.
    """
    shape = np.full((n_classes, n_classes), 1 / (n_classes - 1))
    np.fill_diagonal(shape, 1.0)
    return shape


def _spread_coin(confusion, total, open_votes):
    """
    Return the errors of matrices of one number each.
    """
    share, total = confusion[:, 0, 0], total[:, 0] + 1
    # whether a vote was right is as uncertain as whether its class is the true one
    missing = np.trace(open_votes, axis1=1, axis2=2)
    spread = np.sqrt(share * (1 - share) / total + missing / total**2)
    return spread[:, None, None] * _shape_coin(confusion.shape[1])


def _anchors(truth, n_items, n_classes):
    """
    Return which items have a known class, and the probabilities of these.
    """
    if truth is None:
        return np.zeros(n_items, bool), np.zeros((0, n_classes))
    truth = np.asarray(truth)
    if truth.shape != (n_items,) or (truth.size and truth.dtype.kind not in 'iu'):
        msg = f"'truth' must be {n_items} whole numbers, got {truth.dtype} of shape {truth.shape}"
        raise ValueError(msg)
    if truth.size and (truth.min() < -1 or truth.max() >= n_classes):
        wrong = truth[(truth < -1) | (truth >= n_classes)][0]
        msg = f"'truth' must lie from -1, not known, to {n_classes - 1}, got {wrong}"
        raise ValueError(msg)
    known = truth >= 0
    return known, np.eye(n_classes)[truth[known]]


def _likeliest_strength(counts, everybody, start, last):
    """
    Return which strength of the Dirichlet prior makes the counts likeliest, uphill from ``start``.

    The counts of annotators who are alike scatter as those of one multinomial
    distribution, and the strength found is large; where they differ it is small.
    """
    total = counts.sum(axis=2)

    def value(number):
        prior = STRENGTHS[number] * everybody
        return (
            special.gammaln(counts + prior).sum()
            - len(counts) * special.gammaln(prior).sum()
            - special.gammaln(total + STRENGTHS[number]).sum()
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
    return number


def _codes(name, values):
    values = np.asarray(values)
    if values.size == 0:
        return np.zeros(0, np.intp)
    if values.ndim != 1 or values.dtype.kind not in 'iu' or values.min() < 0:
        msg = f"'{name}' must be whole numbers from 0 in one dimension, got {values.dtype}"
        raise ValueError(msg)
    return values.astype(np.intp)


def _number(name, stated, codes):
    least = int(codes.max()) + 1 if codes.size else 0
    if stated is None:
        return least
    if stated < least:
        msg = f"'{name}' must be at least {least}, got {stated}"
        raise ValueError(msg)
    return int(stated)


def _count(index, length):
    return np.bincount(index, minlength=length).astype(np.float64)
