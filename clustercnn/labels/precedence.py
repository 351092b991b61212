# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Labels of several sources brought together by a stated rule, and what they contradict.
"""

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
        probability.
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
        One row a contradiction: ``id``, ``source`` and ``label`` of the one that has the say,
        ``other_source``, ``other_label``, and the probability of both labels.

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
    rows = []
    for source, labels in label_sets.items():
        known = np.flatnonzero(labels.known)
        here = np.array([place[labels.ids[row]] for row in known], np.intp)
        new = owner[here] == ''
        for at, row in zip(here[~new].tolist(), known[~new].tolist(), strict=True):
            first, second = probability[at], labels.probability[row]
            one, other = int(first.argmax()), int(second.argmax())
            if one != other and min(first[one], second[other]) > certain:
                classes = schema.classes
                said = owner[at], classes[one], source, classes[other]
                rows.append((ids[at], *said, float(first[one]), float(second[other])))
        here, known = here[new], known[new]
        probability[here], weight[here] = labels.probability[known], labels.weight[known]
        if labels.votes is not None:
            votes[here] = labels.votes[known]
        owner[here] = source
    names = ('id', 'source', 'label', 'other_source', 'other_label')
    numbers = ('probability', 'other_probability')
    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(names) + len(numbers))
    conflicts = Table()
    for name, column in zip(names + numbers, columns, strict=True):
        conflicts[name] = np.array(column, dtype=float if name in numbers else str)
    if on_conflict == 'unknown':
        contradicted = [place[name] for name in set(conflicts['id'].tolist())]
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
