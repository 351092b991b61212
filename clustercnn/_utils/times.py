# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which of several rows came last, by the times that a table states.
"""

import datetime as dt
import re

import numpy as np

__all__ = ['order_in_time']

_NO_TIMES = frozenset({'', 'nan', 'nat', 'none', 'null', '--', 'unknown'})
_ZULU = re.compile(r'\s*(utc|gmt|z)$', re.IGNORECASE)
_OFFSET = re.compile(r'\s+([+-]\d\d:?\d\d)$')


def order_in_time(groups, column, *, name='time', place=None, lenient=False):
    """
    Return the order in which rows of the same group follow each other in time.

    Parameters
    ----------
    groups : 1D `~numpy.ndarray` of int
        What belongs together, shape ``(n,)``.
    column : 1D array-like or None
        The time of each row, shape ``(n,)``: text as in ISO 8601, UTC where it names no zone,
        `~astropy.time.Time`, ``datetime64``, or numbers. Empty and masked cells and NaN are not
        known. None if no times are known.
    name : str, optional
        What the column is called in errors.
    place : sequence of int, optional
        Number of each row in errors; by default from 1, as people count.
    lenient : bool, optional
        Whether what cannot be understood is a time that is not known, instead of an error.

    Returns
    -------
    order : 1D `~numpy.ndarray` of int
        Rows, such that ``groups[order]`` is ``groups``. In a group of several rows they are in
        the order of their times, equal ones in that of the rows; in that of the rows, too, where
        the time of one of them is not known.
    decided : dict of str to int
        How many groups of several rows are ordered ``'by time'``, and how many ``'by row'``.

    Raises
    ------
    ValueError
        If a cell that is needed holds no time; names column and row.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn._utils.times import order_in_time
    >>> order_in_time(np.array([7, 8, 7]), ['2026-03-02', '', '2026-03-01 12:00:00 UTC'])
    (array([2, 1, 0]), {'by time': 1, 'by row': 0})
    """
    order = np.arange(len(groups))
    _, code, number = np.unique(groups, return_inverse=True, return_counts=True)
    code = code.reshape(-1)
    rows = np.flatnonzero(number[code] > 1)
    n_groups = int((number > 1).sum())
    if column is None or not rows.size:
        return order, {'by time': 0, 'by row': n_groups}
    # most have one row, whose time is no matter
    if not hasattr(column, 'unix'):
        column = np.ma.asarray(column)
    moments, wrong = _moments(column[rows])
    if wrong.size and not lenient:
        row = int(rows[wrong[0]])
        msg = (
            f"{wrong.size} cells of the column '{name}' hold no time, the first "
            f"'{_text(column[row])[:60]}' in row {row + 1 if place is None else place[row]}; "
            f"write times such as '2026-03-01 10:00:00', in UTC, or as numbers, leave cells "
            f'empty where they are not known, or name another column'
        )
        raise ValueError(msg)
    unknown = np.isnan(moments)
    by_row = np.unique(code[rows][unknown])
    moments = np.where(np.isin(code[rows], by_row), 0.0, moments)
    # the rows of each group share the places that they have
    order[rows[np.argsort(code[rows], kind='stable')]] = rows[np.lexsort((moments, code[rows]))]
    return order, {'by time': n_groups - len(by_row), 'by row': len(by_row)}


def _moments(column):
    """
    Return times as numbers, NaN where they are not known, and the places that hold no time.
    """
    nothing = np.zeros(0, np.intp)
    if hasattr(column, 'unix'):
        values = column.unix
        values = np.ma.getdata(getattr(values, 'unmasked', values)).astype(float)
        return np.where(np.asarray(column.mask), np.nan, values), nothing
    hidden, values = np.ma.getmaskarray(column), np.ma.getdata(column)
    if values.dtype.kind == 'M':
        moments = np.where(np.isnat(values), np.nan, values.astype('M8[us]').astype(np.int64))
        return np.where(hidden, np.nan, moments), nothing
    if values.dtype.kind in 'iuf':
        return np.where(hidden, np.nan, values.astype(float)), nothing
    texts = np.array([_text(value) for value in values], dtype=str)
    distinct, number = np.unique(np.where(hidden, '', texts), return_inverse=True)
    said = [text for text in distinct.tolist() if text.casefold() not in _NO_TIMES]
    known = _all_numbers(said) or {text: _moment(text) for text in said}
    moments = np.array([known.get(text) for text in distinct.tolist()], dtype=float)
    wrong = np.isin(distinct, [text for text in said if known[text] is None])
    number = number.reshape(-1)
    return moments[number], np.flatnonzero(wrong[number])


def _text(value):
    if value is None:
        return ''
    return (value.decode('utf-8', 'replace') if isinstance(value, bytes) else str(value)).strip()


def _all_numbers(texts):
    """
    Return the number of each text, empty if one of them is none.
    """
    try:
        return {text: float(text) for text in texts}
    except ValueError:
        return {}


def _moment(text):
    """
    Return the seconds since 1970 of a time in ISO 8601, None if it is none.
    """
    plain = _OFFSET.sub(r'\1', _ZULU.sub('+00:00', text))
    try:
        moment = dt.datetime.fromisoformat(plain)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
