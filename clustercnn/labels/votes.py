# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tables of votes, one a row, from tables as people keep them.
"""

import numpy as np
from astropy.table import Table

from clustercnn.labels._columns import says_nothing, text_of
from clustercnn.labels.consensus import ROW_NUMBERS

__all__ = ['votes_from_columns']


def votes_from_columns(table, annotators, *, item='item', classes=None):
    """
    Make a vote a row of a table with a row an item and a column an annotator.

    Parameters
    ----------
    table : `~astropy.table.Table`
        One row an item, as experts keep it; text may be bytes in UTF-8.
    annotators : iterable of str
        The columns with what each of them said. Cells that are empty, masked or not a number
        are votes for nothing.
    item : str, optional
        The column that names the items; each must be there once.
    classes : iterable of str, optional
        What may be said beside ``'unknown'``, in any case; by default anything.

    Returns
    -------
    votes : `~astropy.table.Table`
        Columns ``item``, ``annotator``, the name of the column, and ``label``, as many rows as
        cells, item by item: for `~clustercnn.labels.consensus`, which leaves empty
        labels out and counts them.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If no annotator or one twice is named, an item is nameless or there twice, or a cell holds
        no class; names row and column.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from clustercnn.labels import consensus, votes_from_columns
    >>> table = Table({'id': ['a', 'b'], 'ann': ['cluster', 'point'], 'bob': ['cluster', '']})
    >>> labels = consensus(votes_from_columns(table, ['ann', 'bob'], item='id'))
    >>> labels.votes[:, :2].tolist(), labels.meta['dropped']['empty or unknown']
    ([[2.0, 0.0], [0.0, 1.0]], 1)
    """
    annotators = [str(name) for name in annotators]
    if not annotators or len({*annotators, item}) <= len(annotators):
        msg = (
            f'an item and at least one annotator need a column each, got item {item!r} and '
            f'annotators {", ".join(annotators) or "none"}'
        )
        raise ValueError(msg)
    missing = [name for name in (item, *annotators) if name not in table.colnames]
    if missing:
        there = ', '.join(table.colnames)
        msg = f'the table lacks the columns {", ".join(missing)}; there are {there}'
        raise KeyError(msg)
    items = text_of(table[item], item)
    _check_items(items, item)
    cells = np.stack([text_of(table[name], name) for name in annotators], axis=1)
    if classes is not None:
        wrong = np.argwhere(
            ~(np.isin(cells, np.array([*map(str, classes)], dtype=str)) | says_nothing(cells))
        )
        if len(wrong):
            row, column = wrong[0]
            msg = (
                f"{len(wrong)} cells hold no class, the first '{cells[row, column]}' in row "
                f"{row + 1} ('{items[row]}'), column '{annotators[column]}'; the classes are "
                f'{", ".join(map(str, classes))}'
            )
            raise ValueError(msg)
    votes = Table()
    votes['item'] = np.repeat(items, len(annotators))
    votes['annotator'] = np.tile(np.array(annotators, dtype=str), len(items))
    votes['label'] = cells.ravel()
    votes.meta[ROW_NUMBERS] = np.repeat(np.arange(1, len(items) + 1), len(annotators))
    return votes


def _check_items(items, column):
    empty = np.flatnonzero(items == '')
    if empty.size:
        msg = f"row {empty[0] + 1} has nothing in the column '{column}'"
        raise ValueError(msg)
    _, first, place = np.unique(items, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[place] != np.arange(len(items)))
    if again.size:
        row = again[0]
        msg = (
            f"'{items[row]}' is in row {row + 1} again, as in row {first[place][row] + 1}; a table "
            f'with a column an annotator has each item once'
        )
        raise ValueError(msg)
