# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What stands in the columns of tables that people keep: names, and which of them say nothing.
"""

import numpy as np

from clustercnn._utils.times import order_in_time
from clustercnn.core import UNKNOWN_NAME
from clustercnn.core.label import names_nothing

__all__ = ['last_votes', 'says_nothing', 'text_of', 'time_of', 'word_of']

# as exports of Zooniverse call it
_USUAL_TIME = 'created_at'


def word_of(value):
    """
    Return a cell as text without blanks around, empty where it holds nothing.

    Parameters
    ----------
    value : object
        The cell. Bytes, as which FITS tables hold text, are taken for UTF-8.

    Returns
    -------
    text : str
        Empty for None, NaN and masked cells.

    Raises
    ------
    UnicodeDecodeError
        If bytes are no UTF-8.
    """
    if value is None or value is np.ma.masked:
        return ''
    if isinstance(value, float | np.floating) and np.isnan(value):
        return ''
    return (value.decode('utf-8') if isinstance(value, bytes) else str(value)).strip()


def text_of(column, name, place=None):
    """
    Return a column as text without blanks around, cells that hold nothing as the empty text.

    Parameters
    ----------
    column : 1D array-like
        The column, shape ``(n,)``.
    name : str
        What it is called in errors.
    place : sequence of int, optional
        Number of each row in errors; by default from 1, as people count.

    Returns
    -------
    texts : 1D `~numpy.ndarray` of str
        As by `word_of`.

    Raises
    ------
    ValueError
        If a cell holds bytes that are no UTF-8; names column and row. If cells hold several values.
    """
    hidden = column.mask if hasattr(column, 'filled') else False
    values = column.data if hasattr(column, 'filled') else column
    # a list with None or NaN among its names is no array of text
    values = np.asarray(values, dtype=None if hasattr(values, 'dtype') else object)
    if values.ndim > 1 and hasattr(column, 'shape'):
        msg = f"the column '{name}' holds several values in each row, where one is expected"
        raise ValueError(msg)
    hidden = np.broadcast_to(hidden, values.shape)
    distinct, number = values, np.arange(len(values))
    if values.dtype.kind in 'iuSU':
        # there are fewer names than votes
        distinct, number = np.unique(values, return_inverse=True)
        number = number.reshape(-1)
    texts = []
    for code, value in enumerate(distinct):
        try:
            texts.append(word_of(value))
        except UnicodeDecodeError as error:
            rows = np.flatnonzero((number == code) & ~hidden)
            if rows.size:
                row = rows[0] + 1 if place is None else place[rows[0]]
                msg = (
                    f"the column '{name}' holds {value[:60]!r} in row {row}, which is no text in "
                    f'UTF-8; decode the column by its own encoding, as with '
                    f"numpy.char.decode(column, 'latin-1')"
                )
                raise ValueError(msg) from error
            # what is masked may be anything
            texts.append('')
    return np.where(hidden, '', np.array(texts, dtype=str)[number])


def says_nothing(texts):
    """
    Return which texts name no class and no object.

    Parameters
    ----------
    texts : `~numpy.ndarray` of str
        From `text_of`.

    Returns
    -------
    silent : `~numpy.ndarray` of bool
        As `~clustercnn.core.label.names_nothing` says of each.
    """
    distinct, number = np.unique(texts, return_inverse=True)
    silent = [names_nothing(text) for text in distinct.tolist()]
    return np.array(silent, bool)[number].reshape(texts.shape)


def time_of(votes, name, others):
    """
    Return what `last_votes` has to know of the times of votes.

    Parameters
    ----------
    votes : `~astropy.table.Table`
        One vote a row.
    name : str or None
        The column of times; None for ``'created_at'``, if there is one.
    others : tuple of str
        Columns that hold something else.

    Returns
    -------
    options : dict
        Arguments ``column``, ``name`` and ``lenient`` of `order_in_time`.

    Raises
    ------
    KeyError
        If the column is missing.
    """
    if name is None:
        there = _USUAL_TIME in votes.colnames and _USUAL_TIME not in others
        column = votes[_USUAL_TIME] if there else None
        return {'column': column, 'name': _USUAL_TIME, 'lenient': True}
    if name not in votes.colnames:
        msg = f"the votes lack the column '{name}' for their times; there are {votes.colnames}"
        raise KeyError(msg)
    return {'column': votes[name], 'name': name, 'lenient': False}


def last_votes(item, person, texts, time, place=None):
    """
    Return the votes that count: of each person on each item the last one.

    Somebody whose last vote on an item is ``'unknown'`` has none on it. A cell that holds nothing
    takes nothing back: nobody voted there.

    Parameters
    ----------
    item, person : 1D `~numpy.ndarray` of int
        Their numbers, from 0, shape ``(n,)``.
    texts : 1D `~numpy.ndarray` of str
        What was said, from `text_of`.
    time : dict
        From `time_of`. Without times, or where one of those that are compared is missing, the
        last row is the last vote.
    place : sequence of int, optional
        Number of each row in errors; by default from 1, as people count.

    Returns
    -------
    rows : 1D `~numpy.ndarray` of int
        Rows of the votes that count, in order.
    dropped : dict of str to int
        How many others there are, by reason.
    decided : dict of str to int
        Of how many people with several votes on an item the last one was found ``'by time'``, and
        of how many ``'by row'``, since a time is missing or the latest ones are equal.
    """
    distinct, number = np.unique(texts, return_inverse=True)
    number = number.reshape(-1)
    cast = ~says_nothing(distinct)[number]
    unsure = np.array([text.casefold() == UNKNOWN_NAME for text in distinct.tolist()], bool)[number]
    pair = item * (int(person.max(initial=0)) + 1) + person
    said = np.flatnonzero(cast | unsure)
    column = time['column']
    order, decided = order_in_time(
        pair[said],
        None if column is None else column[said],
        place=said + 1 if place is None else np.asarray(place)[said],
        name=time['name'],
        lenient=time['lenient'],
        # what takes back says the same in any case
        said=np.where(unsure, -1, number)[said],
    )
    said = said[order]
    # np.unique keeps the first, so the last comes first
    last = said[len(said) - 1 - np.unique(pair[said][::-1], return_index=True)[1]]
    rows = np.sort(last[cast[last]])
    n_pairs = len(np.unique(pair[cast]))
    dropped = {
        'empty or unknown': int((~cast).sum()),
        'repeated by the same annotator': int(cast.sum()) - n_pairs,
        'withdrawn by the same annotator': n_pairs - len(rows),
    }
    return rows, dropped, decided
