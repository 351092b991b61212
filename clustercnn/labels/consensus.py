# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
One label an item from the votes of many people.
"""

import dataclasses

import numpy as np
from scipy import optimize, special

from clustercnn._utils.validation import check_one_of, check_positive
from clustercnn.core import UNKNOWN_NAME, LabelSchema, LabelSet
from clustercnn.labels._confidence import likeliest_temper, temper

__all__ = ['DawidSkeneResult', 'consensus', 'dawid_skene']

STRENGTHS = tuple(np.geomspace(1.0, 1000.0, 19))
# known items from which on the confidence is corrected by them
_FEWEST_KNOWN = 20
# of a label that counts as known; matches with a catalogue have their probability for weight
_LEAST_WEIGHT = 0.95
METHODS = ('majority', 'weighted', 'dawid-skene', 'one-coin')
MODELS = ('full', 'one-coin')


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
        One sigma of that, from the number of votes; what is not known of the true classes
        is not in it.
    prior : 1D `~numpy.ndarray`
        Share of each class.
    n_iterations : int
        Iterations taken.
    converged : bool
        Whether the probabilities had settled.

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
    model : {'full', 'one-coin'}, optional
        A confusion matrix for each annotator, or only the share of right votes, whatever the
        class; the wrong ones are then spread evenly. For people with few votes.
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
    true class, unless items are known. The one-coin
    model is that of Zhang, Chen, Zhou & Jordan (2016), J. Mach. Learn. Res. 17, 102.

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
    total = votes.sum(axis=1, keepdims=True)
    # the classes with most votes; ties are shared
    leading = votes == votes.max(axis=1, keepdims=True)
    posterior = leading / leading.sum(axis=1, keepdims=True)
    posterior[known] = certain
    voted = total[:, 0] > 0
    # where not all classes are known, what is known depends on the class and says nothing of its
    # share, as with a catalogue of clusters
    chosen = len(np.unique(certain.argmax(axis=1))) < n_classes and (voted & ~known).any()
    open_items = voted & ~known if chosen else voted
    # one cell for each annotator and vote; the votes of a cell differ by item only
    cell = annotator * n_classes + label
    confusion = np.full((n_annotators, n_classes, n_classes), 1 / n_classes)
    spread = np.full(confusion.shape, np.nan)
    prior = np.full(n_classes, 1 / n_classes)
    maximise = _maximise if model == 'full' else _maximise_coin
    converged, iteration = not item.size, 0
    while not converged and iteration < n_iterations:
        iteration += 1
        counts = _expected_votes(posterior, item, cell, n_annotators, n_classes)
        confusion, spread = maximise(counts, prior_strength)
        shares = posterior[open_items].sum(axis=0) + 1.0
        prior = shares / shares.sum()
        # (annotator, said, true), so that one row is what one vote says about the truth
        evidence = np.log(confusion).transpose(0, 2, 1).reshape(-1, n_classes)
        logarithm = np.empty_like(posterior)
        for true in range(n_classes):
            logarithm[:, true] = np.log(prior[true]) + np.bincount(
                item, evidence[cell, true], minlength=n_items
            )
        updated = special.softmax(logarithm, axis=1)
        updated[known] = certain
        converged = bool(np.abs(updated - posterior)[voted].max() <= tolerance)
        posterior = updated
    if item.size and not known.any():
        # with nothing known two classes may have changed their names on the way
        counts = _expected_votes(posterior, item, cell, n_annotators, n_classes)
        order = _names_by_votes(counts.sum(axis=0))
        posterior, prior = posterior[:, order], prior[order]
        confusion, spread = confusion[:, order], spread[:, order]
    return DawidSkeneResult(
        probability=np.where((voted | known)[:, None], posterior, np.nan),
        confusion=confusion,
        confusion_std=spread,
        prior=prior,
        n_iterations=iteration,
        converged=converged,
    )


def _names_by_votes(counts):
    """
    Return the order of the estimated classes in which most votes are for the true one.

    ``counts`` has the estimated class in rows, and what was said in columns.
    """
    return optimize.linear_sum_assignment(counts, maximize=True)[1].argsort()


def _expected_votes(posterior, item, cell, n_annotators, n_classes):
    """
    Return how often each annotator is expected to have said each class for each true class.
    """
    counts = np.stack(
        [
            np.bincount(cell, posterior[item, true], minlength=n_annotators * n_classes)
            for true in range(n_classes)
        ],
        axis=1,
    )
    return counts.reshape(n_annotators, n_classes, n_classes).transpose(0, 2, 1)


def _maximise(counts, prior_strength):
    """
    Return the confusion matrices that fit expected votes best, and their errors.
    """
    n_classes = counts.shape[1]
    everybody = counts.sum(axis=0) + np.eye(n_classes) + 1 / n_classes
    everybody /= everybody.sum(axis=1, keepdims=True)
    if prior_strength is None:
        prior_strength = _likeliest_strength(counts, everybody)
    counts = counts + prior_strength * everybody
    total = counts.sum(axis=2, keepdims=True)
    confusion = counts / total
    # of a Dirichlet distribution
    return confusion, np.sqrt(confusion * (1 - confusion) / (total + 1))


def _maximise_coin(counts, prior_strength):
    """
    Return confusion matrices of one number each, the share of right votes, and their errors.
    """
    n_classes = counts.shape[1]
    right = np.trace(counts, axis1=1, axis2=2)
    coins = np.stack([right, counts.sum(axis=(1, 2)) - right], axis=1)[:, None]
    everybody = coins.sum(axis=0) + 1.0
    everybody /= everybody.sum()
    if prior_strength is None:
        prior_strength = _likeliest_strength(coins, everybody)
    coins = coins[:, 0] + prior_strength * everybody[0]
    total = coins.sum(axis=1)
    share = coins[:, 0] / total
    # evenly over the wrong classes
    shape = np.full((n_classes, n_classes), 1 / (n_classes - 1))
    np.fill_diagonal(shape, 1.0)
    same = np.eye(n_classes, dtype=bool)
    confusion = np.where(same, share[:, None, None], 1 - share[:, None, None]) * shape
    spread = np.sqrt(share * (1 - share) / (total + 1))
    return confusion, spread[:, None, None] * shape


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


def _likeliest_strength(counts, everybody):
    """
    Return the strength of the Dirichlet prior under which the counts are likeliest.

    The counts of annotators who are alike scatter as those of one multinomial
    distribution, and the strength found is large; where they differ it is small.
    """
    total = counts.sum(axis=2)
    best, strength = -np.inf, STRENGTHS[0]
    for trial in STRENGTHS:
        prior = trial * everybody
        value = (
            special.gammaln(counts + prior).sum()
            - len(counts) * special.gammaln(prior).sum()
            - special.gammaln(total + trial).sum()
            + total.size * special.gammaln(trial)
        )
        if value > best:
            best, strength = value, trial
    return strength


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


def consensus(
    votes,
    *,
    item='item',
    annotator='annotator',
    label='label',
    method='majority',
    schema=None,
    weight=None,
    truth=None,
    prior_strength=None,
):
    """
    Bring votes together to one label an item.

    Parameters
    ----------
    votes : `~astropy.table.Table`
        One vote a row.
    item, annotator, label : str, optional
        Names of its columns.
    method : {'majority', 'weighted', 'dawid-skene', 'one-coin'}, optional
        Shares of votes; shares with a weight for each annotator; or `dawid_skene` with
        either of its models.
    schema : LabelSchema or iterable of str, optional
        The classes. By default the package's own if all votes fit it, else the classes
        that were voted for, in alphabetical order.
    weight : dict of str to float, optional
        For ``'weighted'``: weight of each annotator, 1 for those not named.
    truth : LabelSet, optional
        For the models of `dawid_skene`: what is known of some items, by which annotators are
        judged. Only its certain labels count, those of one class with a probability of 1 and a
        weight of 0.95 or more; items without votes are left out. With twenty known items or
        more the confidence is corrected by them, each held out in turn: votes on one item are
        not independent, and the models are too certain on real crowds. ``temper`` in the
        metadata is the power that was used.
    prior_strength : float, optional
        For the models of `dawid_skene`, see there.

    Returns
    -------
    labels : LabelSet
        Soft labels with the votes counted, items in the order of their first vote; its
        metadata say what was left out. Empty and masked votes and those for
        ``'unknown'`` are left out and counted; if an annotator has voted more than once
        for an item, the last vote counts. An item with no vote left is unknown.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If a vote is for a class that the schema lacks; names the row.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from clustercnn.labels import consensus
    >>> votes = Table({'item': ['a', 'a', 'a', 'b'], 'annotator': [1, 2, 3, 1],
    ...                'label': ['cluster', 'cluster', 'point', 'galaxy']})
    >>> result = consensus(votes)
    >>> result.names(), result.votes[0].tolist()
    (['cluster', 'galaxy'], [2.0, 1.0, 0.0, 0.0])
    """
    check_one_of('method', method, METHODS)
    if weight is not None and method != 'weighted':
        msg = f"'weight' is for the method 'weighted', not for {method!r}"
        raise ValueError(msg)
    if truth is not None and method not in ('dawid-skene', 'one-coin'):
        msg = f"'truth' is for the methods 'dawid-skene' and 'one-coin', not for {method!r}"
        raise ValueError(msg)
    missing = [name for name in (item, annotator, label) if name not in votes.colnames]
    if missing:
        msg = f'the votes lack the columns {", ".join(missing)}; there are {votes.colnames}'
        raise KeyError(msg)
    items, people, names = (_text(votes[name]) for name in (item, annotator, label))
    for name, values in ((item, items), (annotator, people)):
        empty = np.flatnonzero(values == '')
        if empty.size:
            msg = f"row {empty[0]} of the votes has nothing in the column '{name}'"
            raise ValueError(msg)
    ids, item_code = _in_order(items)
    cast = (names != '') & (names != UNKNOWN_NAME)
    schema = _schema_of(schema, names[cast])
    codes = np.full(len(names), -1)
    for code, name in enumerate(schema.classes):
        codes[names == name] = code
    wrong = np.flatnonzero(cast & (codes < 0))
    if wrong.size:
        msg = (
            f"{wrong.size} votes are for no class of the schema, the first '{names[wrong[0]]}' "
            f'in row {wrong[0]}; the classes are {", ".join(schema.classes)}'
        )
        raise ValueError(msg)
    annotators, person_code = _in_order(people)
    pair = item_code[cast] * len(annotators) + person_code[cast]
    # np.unique keeps the first, so the last comes first
    last = len(pair) - 1 - np.unique(pair[::-1], return_index=True)[1]
    rows = np.flatnonzero(cast)[np.sort(last)]
    index, who, said = item_code[rows], person_code[rows], codes[rows]
    shape = (len(ids), schema.n_classes)
    counted = _count(index * shape[1] + said, shape[0] * shape[1]).reshape(shape)
    meta = {
        'method': method,
        'n_votes': len(rows),
        'n_annotators': len(np.unique(who)),
        'dropped': {
            'empty or unknown': int((~cast).sum()),
            'repeated by the same annotator': int(cast.sum() - len(rows)),
        },
    }
    if method in ('dawid-skene', 'one-coin'):
        anchors = _truth_of(truth, ids, schema)

        def estimate(known):
            return dawid_skene(
                index,
                who,
                said,
                n_classes=shape[1],
                n_items=shape[0],
                n_annotators=len(annotators),
                model='full' if method == 'dawid-skene' else method,
                truth=known,
                prior_strength=prior_strength,
            )

        result = estimate(anchors)
        probability = result.probability
        meta['n_iterations'] = result.n_iterations
        meta['converged'] = result.converged
        if anchors is not None:
            known = anchors >= 0
            meta['n_known'] = int(known.sum())
            if known.sum() >= _FEWEST_KNOWN:
                meta['temper'], even = likeliest_temper(estimate, anchors)
                base = np.full(shape[1], 1 / shape[1]) if even else result.prior
                tempered = temper(probability, meta['temper'], prior=base)
                probability = np.where(known[:, None], probability, tempered)
    else:
        values = np.ones(len(annotators))
        for name, factor in (weight or {}).items():
            values[[person == str(name) for person in annotators]] = factor
        if not (np.isfinite(values).all() and (values >= 0).all()):
            msg = "'weight' must be finite and not negative"
            raise ValueError(msg)
        mass = np.bincount(index * shape[1] + said, values[who], shape[0] * shape[1])
        mass = mass.reshape(shape)
        total = mass.sum(axis=1, keepdims=True)
        probability = np.where(total > 0, mass / np.where(total > 0, total, 1.0), np.nan)
    return LabelSet(
        ids=ids,
        probability=probability,
        schema=schema,
        votes=counted,
        source='crowd',
        meta=meta,
    )


def _truth_of(truth, ids, schema):
    """
    Return the code of the class of each item, -1 where it is not known; None without truth.
    """
    if truth is None:
        return None
    if truth.schema.classes != schema.classes:
        msg = (
            f"'truth' has the classes {', '.join(truth.schema.classes)}, the votes "
            f'{", ".join(schema.classes)}; give both the same schema'
        )
        raise ValueError(msg)
    certain = np.nan_to_num(truth.probability).max(axis=1, initial=0) >= 1
    certain &= truth.weight >= _LEAST_WEIGHT
    codes = dict(zip(truth.ids, np.where(certain, truth.hard(), -1).tolist(), strict=True))
    return np.array([codes.get(name, -1) for name in ids], dtype=np.int64)


def _text(column):
    """
    Return a column as text without blanks around, masked values as the empty text.
    """
    values = column
    if hasattr(values, 'filled'):
        mask = np.asarray(values.mask)
        text = np.array([str(value).strip() for value in np.asarray(values.data)], dtype=str)
        return np.where(mask, '', text)
    return np.array([str(value).strip() for value in np.asarray(values)], dtype=str)


def _in_order(names):
    """
    Return distinct names in the order of their first appearance, and the number of each.
    """
    distinct, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    return [str(name) for name in distinct[order]], place[inverse.reshape(-1)]


def _schema_of(schema, names):
    if isinstance(schema, LabelSchema):
        return schema
    if schema is not None:
        return LabelSchema(tuple(schema))
    default = LabelSchema.default()
    voted = sorted(set(names.tolist()))
    if set(voted) <= set(default.classes):
        return default
    if len(voted) < 2:
        msg = (
            f"all votes are for '{voted[0]}', which says nothing about the other classes; "
            f"name them with 'schema'"
        )
        raise ValueError(msg)
    return LabelSchema(tuple(voted))
