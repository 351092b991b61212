# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What votes say of the items and of those who voted.
"""

import dataclasses

import numpy as np
from scipy import optimize, sparse, special

from clustercnn._utils.validation import check_one_of, check_positive
from clustercnn.labels._difficulty import judge_items
from clustercnn.labels._matrices import (
    LAST_AT_FIRST,
    STRENGTHS,
    Matrices,
    Scatter,
    fit_coins,
    fit_rows,
    fit_skills,
    spread_of,
)

__all__ = ['DawidSkeneResult', 'dawid_skene']

# the iterations in which annotators may differ
_N_OPEN = 10
# numbers of the largest strength there is, and, ten votes, where annotators are not all alike
_ANY, _WEAK = len(STRENGTHS) - 1, 6
# parts of the items that are held back in turn to find that out, and of how many votes only one is
_N_FOLDS, _MANY_VOTES = 4, 100_000
# of so many items with several votes it can be told how often votes are right
_LEAST_ITEMS = 10
# iterations for that, and when they may stop
_N_HELD, _HELD_TOLERANCE = 60, 1e-4
_HELD = {'n_iterations': _N_HELD, 'tolerance': _HELD_TOLERANCE}
# by so much more likely votes on other items must be
_CLEAR_GAIN = 3.0
# votes all for one class, from which on somebody may be one who always says the same
_MANY_ALIKE = 5
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
        Share of each class; the same for all where votes are counted alike, see `dawid_skene`.
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
        small where they differ, and no more than ten where that foretells the votes on other
        items better. Then the matrices that are returned are fitted to the classes
        that were found with a prior that knows of skill, see below.
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
    are nearly guessing the algorithm would never find out who is not. For the same reason the
    likelihood of a strength is averaged over the classes that items may have, and a strength of
    more than ten votes is given up where the votes on items that were held back, a quarter of
    them at a time, are less likely with it, by three in the logarithm. Where no known items
    and no more than 100 000 votes are given, and several votes on ten items or more, people who
    are all alike, with even errors and
    classes of one frequency, are asked in the same way: of few votes the majority is then right
    to believe, unless the votes that were held back are likelier by three with one of the others.
    The one-coin
    model is that of Zhang, Chen, Zhou & Jordan (2016), J. Mach. Learn. Res. 17, 102.

    Where many always say the same, whatever they look at, most votes on an item may be theirs, and
    starting from the majority the others are taken to be wrong; the one-coin model does not even
    know such people. Annotators whose five votes or more are all for one class are therefore set
    apart, their votes telling nothing of the items, if the votes that were held back are likelier
    so by three: careful people who were shown the common class only are found out by the votes of
    which this makes something next to impossible.

    Under ``'difficulty'`` the matrices are those of ``'full'``. To the log odds of each vote on
    an item a shift is added, which belongs to the item and is normal. It may lead past the border
    of the classes, as with the items of Welinder et al. (2010, Advances in Neural Information
    Processing Systems 23) and unlike the difficulty of Whitehill et al. (2009, same series
    22, GLAD), where the hardest item is a tossed coin. How many items are shifted how far
    follows from the votes (empirical Bayes, Stephens 2017, Biostatistics 18, 275). Items that
    divide the crowd are then less certain, however many have voted. Items that mislead everybody
    look like others: only known ones can tell, see ``truth`` of `consensus`. The matrices are
    not fitted again, since shifts that explain all votes leave nothing for the classes to do.

    People differ in how often they are right more than in what they take for what, and a Dirichlet
    prior that all share draws the worst to the average. The final matrices therefore have a beta
    prior for the share of right votes, centred on that of all with its log odds shifted by the
    skill of the annotator, and a Dirichlet prior for how the wrong ones are spread. How far skills
    scatter and what each prior is worth follows from the votes (empirical Bayes, Casella 1985, Am.
    Stat. 39, 83).

    Errors are those of these distributions for known classes, with the variance
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
    crowd = _Crowd(
        cast=cast,
        votes=votes,
        start=posterior,
        known=known,
        certain=certain,
        voted=voted,
        open_items=open_items,
        model=model,
        prior_strength=prior_strength,
    )
    options = {'n_iterations': n_iterations, 'tolerance': tolerance}
    found = crowd.estimate(_ANY, **options)
    choice = crowd.choice(found[1]) if item.size else 'any'
    if choice != 'any':
        ways = {
            'apart': crowd.apart,
            'even': crowd.even,
            'weak': lambda **options: crowd.estimate(_WEAK, **options),
        }
        found = ways[choice](**options)
    posterior, matrices, prior, iteration, converged = found
    telling = crowd.telling() if choice == 'apart' else cast
    if model != 'one-coin' and prior_strength is None and item.size:
        matrices = fit_skills(_expected_votes(telling, posterior))
    # how uncertain the class was in which a vote counted
    open_votes = _expected_votes(cast, posterior * (1 - posterior))
    confusion = matrices.confusion
    spread = spread_of(matrices, open_votes, coins=model == 'one-coin')
    if choice == 'apart':
        constant, (rows, errors) = crowd.constant(), crowd.habits()
        confusion = np.where(constant[:, None, None], rows[:, None, :], confusion)
        spread = np.where(constant[:, None, None], errors[:, None, :], spread)
    if item.size and not known.any():
        # with nothing known two classes may have changed their names on the way
        order = _names_by_votes(_expected_votes(telling, posterior).sum(axis=0))
        posterior, prior = posterior[:, order], prior[order]
        confusion, spread = confusion[:, order], spread[:, order]
    difficulty = None
    if model == 'difficulty' and item.size:
        posterior, difficulty = judge_items(
            item,
            annotator,
            label,
            confusion=confusion,
            prior=prior,
            n_items=n_items,
            truth=None if truth is None else np.asarray(truth),
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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Crowd:
    """
    Votes, and what is known of the items before anybody is judged.

    Parameters
    ----------
    cast : sparse array
        One row for each annotator and vote, one column for each item.
    votes : 2D `~numpy.ndarray`
        How often each item was said to be of each class.
    start : 2D `~numpy.ndarray`
        Probabilities of the classes to begin with.
    known, voted, open_items : 1D `~numpy.ndarray` of bool
        Items whose class is known, that have votes, and of which the shares of the classes are.
    certain : 2D `~numpy.ndarray`
        Probabilities of those that are known.
    model, prior_strength
        As of `dawid_skene`.
    """

    cast: sparse.csr_array
    votes: np.ndarray
    start: np.ndarray
    known: np.ndarray
    certain: np.ndarray
    voted: np.ndarray
    open_items: np.ndarray
    model: str
    prior_strength: float | None

    def estimate(self, last, *, n_iterations, tolerance):
        """
        Return probabilities, matrices, shares of the classes, iterations, and whether it settled.

        ``last`` is the number of the largest strength of the prior.
        """
        n_classes = self.start.shape[1]
        n_annotators = self.cast.shape[0] // n_classes
        on_items = self.cast.T.tocsr()
        matrices = Matrices(
            confusion=np.full((n_annotators, n_classes, n_classes), 1 / n_classes),
            total=np.full((n_annotators, n_classes), np.nan),
        )
        fit = fit_coins if self.model == 'one-coin' else fit_rows
        posterior, prior = self.start, np.full(n_classes, 1 / n_classes)
        converged, iteration = not self.cast.nnz, 0
        while not converged and iteration < n_iterations:
            iteration += 1
            counts = _expected_votes(self.cast, posterior)
            largest = last if iteration > _N_OPEN else min(last, LAST_AT_FIRST)
            scatter = _scatter(self.cast, posterior)
            matrices = fit(counts, scatter, self.prior_strength, matrices, largest)
            shares = posterior[self.open_items].sum(axis=0) + 1.0
            prior = shares / shares.sum()
            updated = special.softmax(_log_evidence(on_items, matrices, prior), axis=1)
            updated[self.known] = self.certain
            change = np.abs(updated - posterior)[self.voted].max(initial=0.0)
            settled = iteration > _N_OPEN or self.prior_strength is not None
            converged = settled and bool(change <= tolerance)
            posterior = updated
        return posterior, matrices, prior, iteration, converged

    def even(self, *, n_iterations, tolerance):
        """
        Return the same where all annotators are alike, all errors and all classes as frequent.

        Whatever the share of right votes, the class with most votes is then the likeliest. The
        share follows from items with several votes: of one vote nobody knows whether it is right.
        """
        n_classes = self.start.shape[1]
        n_annotators = self.cast.shape[0] // n_classes
        on_items = self.cast.T.tocsr()
        prior = np.full(n_classes, 1 / n_classes)
        posterior, right = self.start, np.nan
        several = self.cast @ sparse.diags_array(self.several().astype(float))
        for iteration in range(1, n_iterations + 1):  # noqa: B007 - it is returned
            before = right
            counts = _expected_votes(several, posterior).sum(axis=0)
            right = (np.trace(counts) + 1) / (counts.sum() + n_classes)
            wrong = (1 - right) / (n_classes - 1)
            common = np.where(np.eye(n_classes, dtype=bool), right, wrong)
            matrices = Matrices(
                confusion=np.broadcast_to(common, (n_annotators, n_classes, n_classes)),
                total=np.full((n_annotators, n_classes), np.nan),
            )
            posterior = special.softmax(_log_evidence(on_items, matrices, prior), axis=1)
            converged = bool(abs(right - before) <= tolerance)
            if converged:
                break
        return posterior, matrices, prior, iteration, converged

    def several(self):
        """
        Return which items have several votes.
        """
        return (self.votes.sum(axis=1) > 1) & self.voted

    def constant(self):
        """
        Return which annotators have always said the same, in so many votes that it may be told.
        """
        said = self.cast.sum(axis=1).reshape(-1, self.start.shape[1])
        return (said.sum(axis=1) >= _MANY_ALIKE) & (said.max(axis=1) == said.sum(axis=1))

    def telling(self):
        """
        Return the votes of the others.
        """
        counts = np.repeat(~self.constant(), self.start.shape[1])
        cast = sparse.diags_array(counts.astype(float)) @ self.cast
        cast.eliminate_zeros()
        return cast

    def apart(self, *, n_iterations, tolerance):
        """
        Return the estimate of those who do not always say the same.

        The others are taken to do so whatever the class is, so that their votes tell nothing of
        the items.
        """
        n_classes = self.start.shape[1]
        constant, cast = self.constant(), self.telling()
        said = self.cast.sum(axis=1).reshape(-1, n_classes)
        # without a vote that counts all classes are as likely
        votes = np.stack([cast[code::n_classes].sum(axis=0) for code in range(n_classes)], axis=1)
        leading = votes == votes.max(axis=1, keepdims=True)
        start = leading / leading.sum(axis=1, keepdims=True)
        start[self.known] = self.certain
        has = votes.sum(axis=1) > 0
        rest = dataclasses.replace(
            self, cast=cast, votes=votes, start=start, open_items=self.open_items & has
        )
        posterior, matrices, prior, iteration, converged = rest.estimate(
            _ANY, n_iterations=n_iterations, tolerance=tolerance
        )
        # none of all their votes was for another class
        other = 1 / (said[constant].sum() + 2)
        rows = np.where(said > 0, 1 - other, other / (n_classes - 1))
        confusion = np.where(constant[:, None, None], rows[:, None, :], matrices.confusion)
        matrices = dataclasses.replace(matrices, confusion=confusion)
        return posterior, matrices, prior, iteration, converged

    def habits(self):
        """
        Return what each annotator says whatever the class is, with errors, by the own votes only.
        """
        said = self.cast.sum(axis=1).reshape(-1, self.start.shape[1])
        total = said.sum(axis=1, keepdims=True)
        rows = (said + 1 / said.shape[1]) / (total + 1)
        return rows, np.sqrt(rows * (1 - rows) / (total + 2))

    def choice(self, matrices):
        """
        Return which estimate foretells the votes on other items best.

        Parameters
        ----------
        matrices : Matrices
            Of the estimate with any prior.

        Returns
        -------
        name : {'any', 'weak', 'even', 'apart'}
            That all annotators are alike is a belief that confirms itself, however different they
            are; where the matrices say so, one with weak priors is taken that is clearly better.
            Where votes are few, chance differences are taken for skill and for how frequent
            classes are, and the even one is taken unless another is clearly better. Where some
            always say the same it is asked whether they are to be set apart.
        """
        if self.prior_strength is not None:
            return 'any'
        few = self.cast.nnz <= _MANY_VOTES
        coins = self.model == 'one-coin'
        ways = {'any': lambda rest: rest.estimate(_ANY, **_HELD)}
        if self.constant().any() and not self.constant().all():
            ways['apart'] = lambda rest: rest.apart(**_HELD)
        if not coins and matrices.strength > _WEAK:
            ways['weak'] = lambda rest: rest.estimate(_WEAK, **_HELD)
        if not coins and few and not self.known.any() and self.several().sum() >= _LEAST_ITEMS:
            ways['even'] = lambda rest: rest.even(**_HELD)
        if len(ways) == 1:
            return 'any'
        # each part has its share of items of every kind, however they are numbered
        fold = np.empty(len(self.voted), np.intp)
        fold[np.lexsort(self.votes.T)] = np.arange(len(self.voted)) % _N_FOLDS
        evidence = dict.fromkeys(ways, 0.0)
        for number in range(_N_FOLDS if few else 1):
            held = (fold == number) & self.voted & ~self.known
            if not held.any() or not (self.voted & ~held).any():
                continue
            seen = self.cast @ sparse.diags_array((~held).astype(float))
            seen.eliminate_zeros()
            rest = dataclasses.replace(
                self, cast=seen, voted=self.voted & ~held, open_items=self.open_items & ~held
            )
            votes = self.cast[:, held].T.tocsr()
            for name, way in ways.items():
                _, matrices, prior, _, _ = way(rest)
                likely = special.logsumexp(_log_evidence(votes, matrices, prior), axis=1)
                evidence[name] += float(likely.sum())
        best = 'any'
        if evidence.get('weak', -np.inf) > evidence['any'] + _CLEAR_GAIN:
            best = 'weak'
        if evidence.get('apart', -np.inf) > evidence['any'] + _CLEAR_GAIN:
            best = 'apart'
        if evidence.get('even', -np.inf) >= evidence[best] - _CLEAR_GAIN:
            best = 'even'
        return best


def _log_evidence(on_items, matrices, prior):
    """
    Return the log of the shares of the classes times the probability of the votes on each item.
    """
    n_classes = len(prior)
    # (annotator, said, true), so that one row is what one vote says about the truth
    evidence = np.log(matrices.confusion).transpose(0, 2, 1).reshape(-1, n_classes)
    return np.log(prior) + on_items @ evidence


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


def _scatter(cast, posterior):
    """
    Return how far votes may be from the expected ones.
    """
    variance = posterior * (1 - posterior)
    return Scatter(
        variance=_expected_votes(cast, variance),
        third=_expected_votes(cast, variance * (1 - 2 * posterior)),
    )


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
