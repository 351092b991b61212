# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Labels of several sources brought together by a stated rule, and what they contradict.
"""

import itertools

import numpy as np
from astropy.table import Table

from clustercnn.core import UNKNOWN_NAME, LabelSet

__all__ = ['combine_labels']

CONFLICT = 'conflict'


def combine_labels(label_sets, *, certain=0.5, on_conflict='unknown'):
    """
    Combine labels of several sources, the first of which have the say.

    Parameters
    ----------
    label_sets : dict of str to LabelSet
        By source, in the order of precedence: such as ``'spectroscopy'``, ``'expert'``,
        ``'crowd'``. All have one schema.
    certain : float, optional
        A label contradicts another if both give different classes more than this
        probability. Every pair of sources of an item is compared, whichever has the say.
    on_conflict : {'unknown', 'first'}, optional
        What becomes of an item whose sources contradict each other: its label is unknown and
        its source ``'conflict'``, or the first source has the say here, too.

    Returns
    -------
    labels : LabelSet
        Items in the order in which they first occur. Each has the probabilities, weight and
        votes of the first source that knows it, whose name is its ``source``. Items that
        no source knows are unknown.
    conflicts : `~astropy.table.Table`
        One row a contradiction, in the order of the items: ``id``, ``source`` and ``label`` of
        the one that comes first in the order of precedence, ``other_source``, ``other_label``, and
        the probability of both labels. Three sources that contradict each other make three rows.

    Raises
    ------
    ValueError
        If there is no set, the schemas differ, or an argument is out of range.

    Notes
    -----
    Sources are not averaged: the share of votes of a crowd and a redshift are no
    probabilities of one kind. Two sources of one rank are brought together by
    `~clustercnn.labels.consensus` before.

    Examples
    --------
    >>> from clustercnn import LabelSet
    >>> from clustercnn.labels import combine_labels
    >>> redshifts = LabelSet.from_labels(['a', 'b'], ['cluster', 'unknown'])
    >>> crowd = LabelSet.from_labels(['a', 'b', 'c'], ['point', 'point', 'cluster'])
    >>> labels, conflicts = combine_labels({'spectroscopy': redshifts, 'crowd': crowd})
    >>> labels.names(), labels.source
    (['unknown', 'point', 'cluster'], ('conflict', 'crowd', 'crowd'))
    >>> conflicts['id'].tolist(), conflicts['label'].tolist(), conflicts['other_label'].tolist()
    (['a'], ['cluster'], ['point'])
    """
    if not label_sets:
        msg = 'there are no labels to combine'
        raise ValueError(msg)
    if on_conflict not in ('unknown', 'first'):
        msg = f"'on_conflict' must be 'unknown' or 'first', got {on_conflict!r}"
        raise ValueError(msg)
    if not 0.5 <= certain < 1:
        msg = f"'certain' must lie from 0.5 to below 1, got {certain}"
        raise ValueError(msg)
    reserved = {CONFLICT, UNKNOWN_NAME, ''} & set(label_sets)
    if reserved:
        msg = f"'{reserved.pop()}' is a state of a label, not a source"
        raise ValueError(msg)
    schema = next(iter(label_sets.values())).schema
    for source, labels in label_sets.items():
        if labels.schema != schema:
            msg = (
                f"the labels of '{source}' have the classes {', '.join(labels.schema.classes)}, "
                f'those before {", ".join(schema.classes)}; bring them to one schema'
            )
            raise ValueError(msg)
    ids = list(dict.fromkeys(name for labels in label_sets.values() for name in labels.ids))
    place = {name: row for row, name in enumerate(ids)}
    shape = (len(ids), schema.n_classes)
    probability = np.full(shape, np.nan)
    votes, weight = np.zeros(shape), np.ones(len(ids))
    owner = np.full(len(ids), '', dtype=object)
    # what each source is certain of, -1 where that is no class
    decided = np.full((len(label_sets), len(ids)), -1, np.int16)
    highest = np.zeros(decided.shape)
    for number, (source, labels) in enumerate(label_sets.items()):
        known = np.flatnonzero(labels.known)
        here = np.array([place[labels.ids[row]] for row in known], np.intp)
        own = labels.probability[known]
        highest[number, here] = own.max(axis=1)
        # in the precision of the labels: what is 0.8 there is not more than 0.8
        sure = own.max(axis=1) > own.dtype.type(certain)
        decided[number, here[sure]] = own[sure].argmax(axis=1)
        new = owner[here] == ''
        here, known = here[new], known[new]
        probability[here], weight[here] = labels.probability[known], labels.weight[known]
        if labels.votes is not None:
            votes[here] = labels.votes[known]
        owner[here] = source
    item, one, other = _contradictions(decided)
    sources, classes = np.array(list(label_sets)), np.array(schema.classes)
    conflicts = Table()
    conflicts['id'] = np.array([ids[at] for at in item.tolist()], dtype=str)
    for begin, which in (('', one), ('other_', other)):
        conflicts[f'{begin}source'] = sources[which]
        conflicts[f'{begin}label'] = classes[decided[which, item]]
    for begin, which in (('', one), ('other_', other)):
        conflicts[f'{begin}probability'] = highest[which, item]
    if on_conflict == 'unknown':
        contradicted = np.unique(item)
        probability[contradicted] = np.nan
        votes[contradicted] = 0
        owner[contradicted] = CONFLICT
    counted = {source: int((owner == source).sum()) for source in (*label_sets, CONFLICT, '')}
    combined = LabelSet(
        ids=ids,
        probability=probability,
        schema=schema,
        votes=votes if any(labels.votes is not None for labels in label_sets.values()) else None,
        weight=weight,
        source=[UNKNOWN_NAME if name == '' else name for name in owner],
        meta={
            'precedence': list(label_sets),
            'on_conflict': on_conflict,
            'sources': {name or UNKNOWN_NAME: number for name, number in counted.items()},
            'n_contradictions': len(conflicts),
        },
    )
    return combined, conflicts


def _contradictions(decided):
    """
    Return item, first and second source of all pairs of sources that are certain of other classes.
    """
    found = [np.zeros((0, 3), np.intp)]
    for one, other in itertools.combinations(range(len(decided)), 2):
        first, second = decided[one], decided[other]
        items = np.flatnonzero((first >= 0) & (second >= 0) & (first != second))
        found.append(np.column_stack([items, np.full_like(items, one), np.full_like(items, other)]))
    item, one, other = np.concatenate(found).T
    order = np.lexsort([other, one, item])
    return item[order], one[order], other[order]
