# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How far people agree, beyond what chance would give.
"""

import itertools
import numbers

import numpy as np
from astropy.table import Table

from clustercnn._utils.validation import check_one_of, check_share
from clustercnn.core import UNKNOWN
from clustercnn.labels._columns import last_votes, says_nothing, text_of, time_of

__all__ = [
    'agreement_interval',
    'cohen_kappa',
    'fleiss_kappa',
    'krippendorff_alpha',
    'pairwise_agreement',
]

# numbers that are held at once while items are drawn anew
_MOST_AT_ONCE = 4_000_000


def cohen_kappa(one, other):
    """
    Return Cohen's kappa of two people who labelled the same items.

    Parameters
    ----------
    one, other : 1D array-like
        Codes or names, shape ``(n,)``. Items that either left unknown are left out: the code
        ``UNKNOWN`` (-1) and NaN; the names ``'unknown'`` and ``'nan'``, in any case, and the empty
        one; None and masked values.

    Returns
    -------
    kappa : float
        1 for full agreement, 0 for that of chance; NaN where both give one and the
        same class throughout, or no item is left. Cohen (1960), Educ. Psychol. Meas. 20, 37.

    Raises
    ------
    ValueError
        If lengths differ or there is no item.

    Examples
    --------
    >>> from clustercnn.labels import cohen_kappa
    >>> cohen_kappa(['a', 'a', 'b', 'b'], ['a', 'b', 'b', 'b'])
    0.5
    >>> cohen_kappa(['a', 'a', 'b', 'b', 'unknown'], ['a', 'b', 'b', 'b', 'a'])
    0.5
    """
    table = _crossed(one, other)
    return _whole_sample(_cohen, np.eye(table.size), table.ravel())


def fleiss_kappa(votes):
    """
    Return Fleiss' kappa of many people, of whom any may have voted on any item.

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

    Raises
    ------
    ValueError
        If these are no numbers of votes.

    Examples
    --------
    >>> from clustercnn.labels import fleiss_kappa
    >>> fleiss_kappa([[3, 0], [0, 3], [3, 0], [0, 3]])
    1.0
    """
    return _whole_sample(_fleiss, *_counted(votes))


def krippendorff_alpha(votes):
    """
    Return Krippendorff's alpha of many people, of whom any may have voted on any item.

    Unlike Fleiss' kappa it gives every vote the same weight where items have unequal numbers
    of votes, and corrects for small numbers: the measure for crowds.

    Parameters
    ----------
    votes : 2D array-like
        Number of votes for each class, shape ``(n_items, n_classes)``, as in
        `~clustercnn.LabelSet`. Items with fewer than two votes are left out.

    Returns
    -------
    alpha : float
        1 for full agreement, 0 for that of chance; NaN if no item has two votes or all votes are
        for one class.

    Raises
    ------
    ValueError
        If these are no numbers of votes.

    Notes
    -----
    For classes without order, ``1 - D_o / D_e`` of Krippendorff (2019, Content Analysis, 4th
    ed., ch. 12), as in Hayes & Krippendorff (2007), Commun. Methods Meas. 1, 77: the
    share of pairs of votes on one item that differ, over that of all pairs of votes.

    Examples
    --------
    >>> from clustercnn.labels import krippendorff_alpha
    >>> round(krippendorff_alpha([[2, 0], [0, 2], [1, 1], [2, 0]]), 3)
    0.533
    """
    return _whole_sample(_krippendorff, *_counted(votes))


def agreement_interval(
    votes, *, statistic='krippendorff', confidence=0.95, n_resamples=1000, seed=0
):
    """
    Return a bootstrap interval of a measure of agreement, items drawn anew.

    Parameters
    ----------
    votes : 2D array-like
        Number of votes for each class, shape ``(n_items, n_classes)``, as for
        `krippendorff_alpha`; for ``'cohen'`` the labels of both people, shape ``(2, n_items)``.
    statistic : {'krippendorff', 'fleiss', 'cohen'}, optional
        Which measure.
    confidence : float, optional
        Confidence level.
    n_resamples : int, optional
        Bootstrap samples.
    seed : int, optional
        Seed of the bootstrap.

    Returns
    -------
    low, high : float
        Percentiles of the measure over the samples; NaN where there is nothing to compare. What
        other people would have said is not in it, only what other items would have shown; with
        few items it is too narrow, and where all agree it has no width.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Items with the same votes are drawn together, as one multinomial draw over the
    kinds of items, which is the same and takes no longer for a hundred thousand of them.

    Examples
    --------
    >>> from clustercnn.labels import agreement_interval, krippendorff_alpha
    >>> votes = [[3, 0], [0, 3], [2, 1], [1, 2]] * 20
    >>> low, high = agreement_interval(votes)
    >>> low < krippendorff_alpha(votes) < high
    True
    """
    check_one_of('statistic', statistic, ('krippendorff', 'fleiss', 'cohen'))
    confidence = check_share('confidence', confidence)
    if statistic == 'cohen':
        table = _crossed(*votes)
        kinds, number, measure = np.eye(table.size), table.ravel(), _cohen
    else:
        measure = {'krippendorff': _krippendorff, 'fleiss': _fleiss}[statistic]
        kinds, number = _counted(votes)
    return _interval(
        measure, kinds, number, confidence=confidence, n_resamples=n_resamples, seed=seed
    )


def pairwise_agreement(
    votes,
    *,
    item='item',
    annotator='annotator',
    label='label',
    time=None,
    least_in_common=5,
    most_annotators=50,
    confidence=0.95,
    n_resamples=1000,
    seed=0,
):
    """
    Compare people in pairs by Cohen's kappa.

    Parameters
    ----------
    votes : `~astropy.table.Table`
        One vote a row; those that say nothing are left out, and of repeated ones the last
        counts, all as in `~clustercnn.labels.consensus`.
    item, annotator, label : str, optional
        Names of its columns.
    time : str, optional
        Name of the column with the time of each vote, by default ``'created_at'`` if there is one.
    least_in_common : int, optional
        Pairs with fewer items in common are left out.
    most_annotators : int, optional
        Only so many people are compared, those who voted on most items: a crowd of thousands
        has millions of pairs, most without an item in common.
    confidence : float, optional
        Confidence level of the intervals.
    n_resamples : int, optional
        Bootstrap samples of each pair.
    seed : int, optional
        Seed of the bootstrap.

    Returns
    -------
    pairs : `~astropy.table.Table`
        ``one``, ``other``, ``n_items``, those in common, ``kappa``, NaN where both gave one and
        the same class to all, and its interval over items, ``low`` and ``high``, as of
        `agreement_interval`; those with most items in common come first. The metadata hold
        ``n_annotators``, all there are, and ``n_compared``.

    Raises
    ------
    KeyError
        If a column is missing.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from clustercnn.labels import pairwise_agreement
    >>> votes = Table({'item': [1, 2, 3, 4] * 2, 'annotator': ['ann'] * 4 + ['bob'] * 4,
    ...                'label': ['a', 'a', 'b', 'b', 'a', 'b', 'b', 'b']})
    >>> pairwise_agreement(votes, least_in_common=4)['one', 'other', 'n_items', 'kappa'].pprint()
    one other n_items kappa
    --- ----- ------- -----
    ann   bob       4   0.5
    """
    items, people, names = (text_of(votes[name], name) for name in (item, annotator, label))
    # who of many is compared must not depend on the order of the rows
    ids, item_code = np.unique(items, return_inverse=True)
    annotators, person = np.unique(people, return_inverse=True)
    item_code, person = item_code.reshape(-1), person.reshape(-1)
    times = time_of(votes, time, (item, annotator, label))
    rows, _, _ = last_votes(item_code, person, names, times)
    item_code, person = item_code[rows], person[rows]
    classes, said = np.unique(names[rows], return_inverse=True)
    n_of_each = np.bincount(person, minlength=len(annotators))
    n_annotators = int((n_of_each > 0).sum())
    chosen = np.argsort(-n_of_each, kind='stable')[: min(most_annotators, n_annotators)]
    own = {}
    for place in chosen:
        mine = person == place
        codes = np.full(len(ids), UNKNOWN, np.int16)
        codes[item_code[mine]] = said[mine]
        own[str(annotators[place])] = codes
    found = []
    for (one, first), (other, second) in itertools.combinations(own.items(), 2):
        common = (first != UNKNOWN) & (second != UNKNOWN)
        n_common = int(common.sum())
        if n_common >= max(least_in_common, 1):
            cells = np.bincount(
                first[common].astype(np.int64) * len(classes) + second[common],
                minlength=len(classes) ** 2,
            )
            kinds = np.eye(cells.size)
            interval = _interval(
                _cohen, kinds, cells, confidence=confidence, n_resamples=n_resamples, seed=seed
            )
            found.append((one, other, n_common, _whole_sample(_cohen, kinds, cells), *interval))
    found.sort(key=lambda row: -row[2])
    pairs = Table(meta={'n_annotators': n_annotators, 'n_compared': len(chosen)})
    columns = list(zip(*found, strict=True)) if found else [()] * 6
    kinds = {'one': str, 'other': str, 'n_items': np.int64, 'kappa': float}
    for name, column in zip((*kinds, 'low', 'high'), columns, strict=True):
        pairs[name] = np.array(column, dtype=kinds.get(name, float))
    return pairs


def _crossed(one, other):
    """
    Return how often each class of the one meets each class of the other, a square table.
    """
    shapes = np.shape(one), np.shape(other)
    if shapes[0] != shapes[1] or len(shapes[0]) != 1 or shapes[0][0] == 0:
        msg = (
            f'both must label the same items, at least one, got shapes {shapes[0]} and {shapes[1]}'
        )
        raise ValueError(msg)
    (one, silent), (other, too) = _classes_of(one, 'one'), _classes_of(other, 'other')
    known = ~(silent | too)
    one, other = one[known], other[known]
    classes, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    first, second = codes[: len(one)], codes[len(one) :]
    cells = np.bincount(first * len(classes) + second, minlength=len(classes) ** 2)
    return cells.reshape(len(classes), len(classes))


def _classes_of(labels, name):
    """
    Return labels as codes or as texts, and which of them say nothing.
    """
    values, hidden = np.asarray(labels), np.ma.getmaskarray(labels)
    if values.dtype.kind == 'O' and all(v is None or isinstance(v, numbers.Real) for v in values):
        # codes with None among them, which becomes NaN
        values = values.astype(float)
    if values.dtype.kind in 'biuf':
        return values, hidden | (values == UNKNOWN) | np.isnan(values)
    texts = text_of(labels, name)
    return texts, says_nothing(texts)


def _counted(votes):
    """
    Return the kinds of items with two votes or more, and how many there are of each.
    """
    votes = np.asarray(votes, dtype=np.float64)
    if votes.ndim != 2:
        msg = f"'votes' must have 2 dimensions, items and classes, got shape {votes.shape}"
        raise ValueError(msg)
    if not (np.isfinite(votes).all() and (votes >= 0).all()):
        msg = "'votes' must be finite and not negative"
        raise ValueError(msg)
    votes = votes[votes.sum(axis=1) >= 2]
    return np.unique(votes, axis=0, return_counts=True)


def _sums(measure, kinds):
    """
    Return what each kind of item adds to the sums that a measure is made of.
    """
    if measure is _cohen:
        return kinds
    total = kinds.sum(axis=1)
    pairs_alike = (kinds**2).sum(axis=1) - total
    if measure is _fleiss:
        # the share of pairs of votes that agree, the item itself, and its votes
        return np.column_stack([pairs_alike / (total * (total - 1)), np.ones(len(kinds)), kinds])
    # the pairs of votes that differ, each item's as many as it has votes, and its votes
    return np.column_stack([(total * (total - 1) - pairs_alike) / (total - 1), kinds])


def _interval(measure, kinds, number, *, confidence, n_resamples, seed):
    """
    Return percentiles of a measure over samples of items drawn anew.
    """
    total = int(number.sum())
    if not total:
        return float('nan'), float('nan')
    sums = _sums(measure, kinds)
    rng = np.random.default_rng(seed)
    n_at_once = max(1, _MOST_AT_ONCE // len(number))
    values = []
    for start in range(0, n_resamples, n_at_once):
        size = min(n_at_once, n_resamples - start)
        values.append(measure(rng.multinomial(total, number / total, size=size) @ sums))
    values = np.concatenate(values)
    # samples in which all votes are for one class say nothing
    values = values[np.isfinite(values)]
    if not len(values):
        return float('nan'), float('nan')
    tail = 50 * (1 - confidence)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _whole_sample(measure, kinds, number):
    if not len(number):
        return float('nan')
    return float(measure((number @ _sums(measure, kinds))[None])[0])


def _cohen(sums):
    """
    Return Cohen's kappa of tables of two people's classes, one a row.
    """
    n_classes = round(np.sqrt(sums.shape[1]))
    table = sums.reshape(-1, n_classes, n_classes)
    total = table.sum(axis=(1, 2))
    with np.errstate(invalid='ignore', divide='ignore'):
        observed = np.trace(table, axis1=1, axis2=2) / total
        expected = (table.sum(axis=1) * table.sum(axis=2)).sum(axis=1) / total**2
        return _beyond_chance(observed, expected)


def _fleiss(sums):
    agreed, n_items, votes = sums[:, 0], sums[:, 1], sums[:, 2:]
    shares = votes / votes.sum(axis=1, keepdims=True)
    return _beyond_chance(agreed / n_items, (shares**2).sum(axis=1))


def _krippendorff(sums):
    differing, votes = sums[:, 0], sums[:, 1:]
    total = votes.sum(axis=1)
    observed = 1 - differing / total
    expected = (votes * (votes - 1)).sum(axis=1) / (total * (total - 1))
    return _beyond_chance(observed, expected)


def _beyond_chance(observed, expected):
    """
    Return the agreement beyond that of chance, NaN where chance explains all of it.
    """
    # rounded sums of shares come to almost 1
    beyond = 1 - expected
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(beyond > 1e-12, (observed - expected) / beyond, np.nan)
