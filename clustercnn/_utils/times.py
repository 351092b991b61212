# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which of several rows came last, by the times that a table states.
"""

import datetime as dt
import decimal
import re

import numpy as np

__all__ = ['order_in_time']

_NO_TIMES = frozenset({'', 'nan', 'nat', 'none', 'null', '--', 'unknown'})
_ZULU = re.compile(r'\s*(utc|gmt|z)$', re.IGNORECASE)
_OFFSET = re.compile(r'\s+([+-]\d\d:?\d\d)$')
# a day and its zone, which would be taken for the time of the day
_DAY_IN_ZONE = re.compile(r'^(\d{4}-?\d\d-?\d\d)([+-]\d\d:?\d\d)$')
# so that the days from it are few, and told to less than a microsecond
_J2000 = 2451545.0


def order_in_time(groups, column, *, name='time', place=None, lenient=False, said=None):
    """
    Return the order in which rows of the same group follow each other in time.

    Parameters
    ----------
    groups : 1D `~numpy.ndarray` of int
        What belongs together, shape ``(n,)``.
    column : 1D array-like or None
        The time of each row, shape ``(n,)``: text as in ISO 8601, UTC where it names no zone,
        `~astropy.time.Time`, its two parts of a Julian date, shape ``(n, 2)``, as FITS files hold
        it, ``datetime64``, or numbers. Empty and masked cells and NaN are not known. None if no
        times are known.
    name : str, optional
        What the column is called in errors.
    place : sequence of int, optional
        Number of each row in errors; by default from 1, as people count.
    lenient : bool, optional
        Whether what cannot be understood is a time that is not known, instead of an error.
    said : 1D `~numpy.ndarray`, optional
        What each row says, shape ``(n,)``. Where those of the latest time say different things,
        rows decide.

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
    if not hasattr(column, 'jd1'):
        column = np.ma.asarray(column)
    moments, wrong = _moments(column[rows])
    if wrong.size and not lenient:
        row = int(rows[wrong[0]])
        # on one line
        first = ' '.join(_text(np.asarray(np.ma.getdata(column))[row]).split())[:60]
        msg = (
            f"{wrong.size} cells of the column '{name}' hold no time, the first '{first}' in "
            f'row {row + 1 if place is None else place[row]}; '
            f"write times such as '2026-03-01 10:00:00', in UTC, or as numbers, leave cells "
            f'empty where they are not known, or name another column'
        )
        raise ValueError(msg)
    unknown = np.isnan(moments)
    by_row = np.unique(code[rows][unknown])
    moments = np.where(np.isin(code[rows], by_row), 0.0, moments)
    if said is not None:
        by_row = np.union1d(by_row, _at_odds(code[rows], moments, said[rows]))
    # the rows of each group share the places that they have
    order[rows[np.argsort(code[rows], kind='stable')]] = rows[np.lexsort((moments, code[rows]))]
    return order, {'by time': n_groups - len(by_row), 'by row': len(by_row)}


def _at_odds(code, moments, said):
    """
    Return the groups whose rows of the latest time do not all say the same.
    """
    latest = np.full(code.max(initial=0) + 1, -np.inf)
    np.maximum.at(latest, code, moments)
    last = moments == latest[code]
    _, word = np.unique(said, return_inverse=True)
    pairs = np.unique(np.stack([code[last], word.reshape(-1)[last]]), axis=1)
    groups, number = np.unique(pairs[0], return_counts=True)
    return groups[number > 1]


def _moments(column):
    """
    Return numbers in the order of the times, NaN where they are not known, and the places that
    hold no time.
    """
    nothing = np.zeros(0, np.intp)
    if hasattr(column, 'jd1'):
        # not in another scale, such as that of Unix: a local one has no way there
        parts = [
            np.ma.getdata(getattr(part, 'unmasked', part)) for part in (column.jd1, column.jd2)
        ]
        return np.where(np.asarray(column.mask), np.nan, _days(np.stack(parts, axis=1))), nothing
    hidden, values = np.ma.getmaskarray(column), np.ma.getdata(column)
    if values.ndim > 1:
        if values.shape[1:] != (2,) or values.dtype.kind != 'f':
            return np.full(len(values), np.nan), np.arange(len(values))
        return np.where(hidden.any(axis=1), np.nan, _days(values)), nothing
    if values.dtype.kind in 'iuM':
        # as floats large ones would be equal
        rank = np.unique(values, return_inverse=True)[1].reshape(-1)
        gone = hidden | (np.isnat(values) if values.dtype.kind == 'M' else False)
        return np.where(gone, np.nan, rank), nothing
    if values.dtype.kind == 'f':
        return np.where(hidden, np.nan, values.astype(float)), nothing
    texts = np.array([_text(value) for value in values], dtype=str)
    distinct, number = np.unique(np.where(hidden, '', texts), return_inverse=True)
    said = [text for text in distinct.tolist() if text.casefold() not in _NO_TIMES]
    known = _all_numbers(said) or {text: _moment(text) for text in said}
    moments = np.array([known.get(text) for text in distinct.tolist()], dtype=float)
    wrong = np.isin(distinct, [text for text in said if known[text] is None])
    number = number.reshape(-1)
    return moments[number], np.flatnonzero(wrong[number])


def _days(parts):
    """
    Return the days since 2000 of Julian dates in two parts, shape ``(n, 2)``.
    """
    return parts[:, 0] - _J2000 + parts[:, 1]


def _text(value):
    if value is None:
        return ''
    return (value.decode('utf-8', 'replace') if isinstance(value, bytes) else str(value)).strip()


def _all_numbers(texts):
    """
    Return numbers in the order of those that the texts are, empty if one of them is none.
    """
    try:
        numbers = {text: decimal.Decimal(text) for text in texts}
        rank = {number: place for place, number in enumerate(sorted(set(numbers.values())))}
    except decimal.InvalidOperation:
        return {}
    return {text: rank[number] for text, number in numbers.items()}


def _moment(text):
    """
    Return the seconds since 1970 of a time in ISO 8601, None if it is none.
    """
    plain = _OFFSET.sub(r'\1', _ZULU.sub('+00:00', text))
    plain = _DAY_IN_ZONE.sub(r'\1T00:00\2', plain)
    try:
        moment = dt.datetime.fromisoformat(plain)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
