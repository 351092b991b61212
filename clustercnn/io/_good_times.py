# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Good time intervals: when what a detector saw counts, as the exposure does.

Of the tables of intervals in a file these are applied: those to which the header of the events
refers (keywords DSTYPn, DSVALn and DSREFn of the data subspace, as CIAO and the SAS write them:
McDowell 1999, "FITS keyword conventions in ASC data model files", section 1.13), else those that
are called GTI or STDGTI.
"""

import contextlib
import re
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.io import fits

from clustercnn.exceptions import ImageReadError
from clustercnn.io.missions import unit_named

__all__ = ['DETECTORS', 'GoodTimes', 'are_good_times', 'outside_good_times']

# not of flares or of the background; of the numbers that the SAS gives to tables that it
# selected by, such as GTI00106, nobody knows a detector
_NAME = re.compile(r'(STD)?GTI_?(\d*)')
_MOST_DIGITS = 2
_SUBSPACE = re.compile(r'(\d*)DS(TYP|VAL|REF)(\d+)')
# which column says by which detector an event was seen, of Chandra, XMM-Newton and eROSITA; in this
# order those that CCD_ID of a table may mean, and below those that the number in a name may mean
DETECTORS = ('CCD_ID', 'CCDNR', 'TM_NR')
_BY_NAME = {'STD': ('CCDNR', 'TM_NR', 'CCD_ID'), None: ('TM_NR', 'CCD_ID', 'CCDNR')}
_SECONDS_A_DAY = 86400.0
_SCALES = {'TDT': 'TT', 'ET': 'TT', 'TDB': 'TT', 'TCB': 'TT', 'IAT': 'TAI', 'GMT': 'UTC'}
_KNOWN_SCALES = ('TT', 'TAI', 'UTC', 'GPS')
_BARYCENTRIC = ('SOLARSYSTEM', 'BARYCENTER', 'BARYCENT', 'HELIOCENTER', 'HELIOCEN')
_IGNORE = 'pass good_time_intervals=False to read_events'


def are_good_times(item):
    """
    Say whether an HDU may hold good time intervals.

    Parameters
    ----------
    item : `~astropy.io.fits.BinTableHDU`
        An HDU of any kind.

    Returns
    -------
    are : bool
        Whether it is a table with START and STOP, as OGIP memo 93-003 wants them.
    """
    if not isinstance(item, fits.BinTableHDU):
        return False
    return {'START', 'STOP'} <= {name.upper() for name in item.columns.names}


class GoodTimes:
    """
    The intervals of one table, which is only checked when it is used.

    Parameters
    ----------
    path : str or path-like
        The file.
    number : int
        Number of the HDU.
    item : `~astropy.io.fits.BinTableHDU`
        The table.

    Attributes
    ----------
    where : str
        Which HDU it is, for messages.
    names : tuple of str
        By which headers refer to it: HDUNAME and EXTNAME.
    columns : tuple of str or None
        Which columns of events may hold the detector, the likeliest first; None if the table is
        named as none that the events were chosen by.
    detector : int or None
        Which detector the intervals are of: ``CCD_ID``, or the number in the name.
    numbered : bool
        Whether the name has a number that is of no detector.
    standard : bool
        Whether the header calls them those of the standard selection.
    header : `~astropy.io.fits.Header`
        What the times are counted from.
    """

    def __init__(self, path, number, item):
        self._path = path
        self.where = f'HDU {number} {item.name}'
        self.header = item.header.copy()
        names = (str(self.header.get('HDUNAME', '')), item.name)
        self.names = tuple({name.strip().upper() for name in names} - {''})
        self.standard = str(self.header.get('HDUCLAS2', '')).strip().upper() == 'STANDARD'
        self.columns, self.detector, self.numbered = None, None, False
        named = _NAME.fullmatch(item.name.strip().upper())
        if named is not None:
            kind, digits = named.groups()
            stated = str(self.header.get('CCD_ID', '')).strip()
            self.columns = DETECTORS if stated.isdigit() else _BY_NAME[kind]
            self.numbered = not stated.isdigit() and len(digits) > _MOST_DIGITS
            stated = stated if stated.isdigit() else digits
            self.detector = int(stated) if stated and not self.numbered else None
        of = {name.upper(): name for name in item.columns.names}
        self._ends = [
            (name, np.asarray(item.data[of[name]]), item.columns[of[name]].unit)
            for name in ('START', 'STOP')
        ]

    def __len__(self):
        return len(self._ends[0][1])

    def intervals(self):
        """
        Return where the intervals start and stop, in the order of their starts.

        Returns
        -------
        start, stop : 1D `~numpy.ndarray` of float64
            In seconds, as of the header; nothing after a stop was seen before a later one.

        Raises
        ------
        ImageReadError
            If an interval is none.
        """
        ends = []
        for name, values, unit in self._ends:
            if values.ndim != 1 or values.dtype.kind not in 'iuf':
                reason = f'{self.where}: {name} does not hold one number an interval; expected that'
                raise ImageReadError(self._path, f'{reason}, or {_IGNORE}')
            unit = unit or _card(self._path, self.where, self.header, 'TIMEUNIT')
            seconds = _seconds(self._path, self.where, unit)
            ends.append(values.astype(np.float64) * seconds)
        start, stop = ends
        # not as "above", so that NaN is found, too
        wrong = ~(start <= stop)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            reason = (
                f'{self.where}: the interval in row {row + 1} starts at {start[row]:.12g} and '
                f'stops at {stop[row]:.12g}; expected a start before the stop, correct the table '
                f'or {_IGNORE}'
            )
            raise ImageReadError(self._path, reason)
        order = np.argsort(start)
        return start[order], np.maximum.accumulate(stop[order])

    def hold(self, times, where, header):
        """
        Say which times lie in an interval.

        Parameters
        ----------
        times : 1D `~numpy.ndarray` of float64
            In seconds.
        where : str
            Which HDU they are of, for messages.
        header : `~astropy.io.fits.Header`
            What they are counted from.

        Returns
        -------
        inside : 1D `~numpy.ndarray` of bool
            With both ends, as ``gtifilter`` of CFITSIO takes them.

        Raises
        ------
        ImageReadError
            If times and intervals cannot be compared.
        """
        start, stop = self.intervals()
        _compare(self._path, (where, header), (self.where, self.header))
        if not len(start):
            return np.zeros(len(times), bool)
        times = times + _zero(self._path, where, header)
        times = times - _zero(self._path, self.where, self.header)
        both = ((where, header), (self.where, self.header))
        days = [_reference(self._path, *one) for one in both]
        if None not in days:
            times = times + (days[0] - days[1]) * _SECONDS_A_DAY
        last = np.searchsorted(start, times, side='right') - 1
        return (last >= 0) & (times <= stop[last])


class _Part(NamedTuple):
    """
    Some of the events, and the intervals in all of which they have to lie.

    Parameters
    ----------
    of : tuple
        Pairs of names of columns, the first of which that is there is taken, and a text of the
        detectors in it such as ``'1:3,5'``; empty for any.
    tables : list of GoodTimes or None
        None if the file lacks one.
    """

    of: tuple
    tables: list | None


def _seconds(path, where, unit):
    """
    Return how many seconds one of a unit has; they are meant where none is stated.
    """
    known = unit_named(str(unit or 's').strip().lower())
    if known is None or not known.is_equivalent(u.s):
        raise ImageReadError(path, f'{where}: times are in {unit!r}; expected s, or {_IGNORE}')
    return known.to(u.s)


def _card(path, where, header, key):
    """
    Return what a card says, None if it is not there.
    """
    try:
        return header.get(key)
    except fits.VerifyError as error:
        reason = f'{where}: the card {key} cannot be read; correct it, or {_IGNORE}'
        raise ImageReadError(path, reason) from error


def _zero(path, where, header):
    zero = _card(path, where, header, 'TIMEZERO') or 0.0
    if not isinstance(zero, (int, float)):
        reason = f'{where}: TIMEZERO = {zero!r}; expected a number, or {_IGNORE}'
        raise ImageReadError(path, reason)
    # without it the unit of cards is no matter
    return (
        float(zero) * _seconds(path, where, _card(path, where, header, 'TIMEUNIT')) if zero else 0.0
    )


def _reference(path, where, header):
    """
    Return the day from which times are counted, None where it is not stated.
    """
    whole = _card(path, where, header, 'MJDREF')
    if isinstance(whole, (int, float)):
        return float(whole)
    parts = [_card(path, where, header, key) for key in ('MJDREFI', 'MJDREFF')]
    if isinstance(parts[0], (int, float)):
        return float(parts[0]) + (float(parts[1]) if isinstance(parts[1], (int, float)) else 0.0)
    return None


def _compare(path, *both):
    """
    Refuse times of two scales, or as seen from two places, between which nothing converts here.
    """
    scales, places = [], []
    for where, header in both:
        scale, place = (
            str(_card(path, where, header, key) or '').strip().upper()
            for key in ('TIMESYS', 'TIMEREF')
        )
        scales.append(_SCALES.get(scale, scale))
        places.append(place)
    differ = scales[0] != scales[1] and set(scales) <= set(_KNOWN_SCALES)
    key = 'TIMESYS' if differ else 'TIMEREF'
    if not differ:
        differ = all(places) and len({place in _BARYCENTRIC for place in places}) > 1
    if differ:
        found = ', '.join(f'{where}: {key} = {header[key]}' for where, header in both)
        raise ImageReadError(path, f'{found}; expected the same, or {_IGNORE}')


def _by_subspace(header, tables):
    """
    Return the parts of the events as the data subspace of their header has them.

    What one of its components does not say is as in the first.
    """
    cards = {}
    for key in header:
        found = _SUBSPACE.fullmatch(key)
        if found is None:
            continue
        part, kind, axis = found.groups()
        # what cannot be read refers to nothing
        with contextlib.suppress(fits.VerifyError):
            cards[int(part or 1), kind, int(axis)] = str(header[key]).strip().upper()
    axes = {axis: word for (part, kind, axis), word in cards.items() if (part, kind) == (1, 'TYP')}
    called = {}
    for table in tables:
        for name in table.names:
            called.setdefault(name, []).append(table)
    parts = []
    for part in sorted({part for part, _, _ in cards}):

        def say(kind, axis, part=part):
            return cards.get((part, kind, axis), cards.get((1, kind, axis), ''))

        references = [say('REF', axis) for axis, word in axes.items() if word == 'TIME']
        references = [reference for reference in references if reference]
        if not references:
            continue
        # what is the name of several refers to none
        own = [called.get(reference.removeprefix(':'), ()) for reference in references]
        of = tuple(((word,), say('VAL', a)) for a, word in axes.items() if word in DETECTORS)
        whole = all(len(found) == 1 for found in own)
        parts.append(_Part(of, [found[0] for found in own] if whole else None))
    return parts if any(part.tables for part in parts) else []


def _by_name(tables):
    """
    Return the parts of the events by the names of the tables, tables of all others, and a doubt.
    """
    named = [table for table in tables if table.columns is not None]
    clear = [table for table in named if not table.numbered]
    if not clear and len(named) > 1:
        return (
            [],
            [],
            f'good time intervals could not be applied: nothing says of which detector each of '
            f'{", ".join(table.where for table in named)} is (DSTYPn and DSREFn of the events)',
        )
    clear = clear or named
    general = [table for table in clear if table.detector is None]
    if any(table.standard for table in general):
        general = [table for table in general if table.standard]
    of_one = [table for table in clear if table.detector is not None]
    parts = [_Part(((table.columns, str(table.detector)),), [table]) for table in of_one]
    return parts, general, None


def _column(names, columns):
    return next((name for name in names if name in columns), None)


def _within(values, text):
    """
    Say which values a text such as ``'1:3,5'`` takes; all where it is not understood.
    """
    taken = np.zeros(len(values), bool)
    for piece in text.split(','):
        low, colon, high = piece.strip(' ()[]').partition(':')
        try:
            first = float(low) if low or not colon else -np.inf
            last = float(high or np.inf) if colon else first
        except ValueError:
            return np.ones(len(values), bool)
        taken |= (values >= first) & (values <= last)
    return taken


def outside_good_times(path, number, header, columns, tables):
    """
    Say which events lie outside the good time intervals of their detector.

    Parameters
    ----------
    path : str or path-like
        The file.
    number : int
        Number of the HDU of the events.
    header : `~astropy.io.fits.Header`
        Of the events.
    columns : dict of str to 1D `~numpy.ndarray`
        Of the events, by name in capital letters.
    tables : list of GoodTimes
        Of the file.

    Returns
    -------
    outside : 1D `~numpy.ndarray` of bool or None
        False where no table is of the event's detector; None where no intervals could be applied.
    doubts : list of str
        Why nothing can be told of any event or of some, for notes.
    """
    if not tables:
        return None, []
    parts, general, doubt = _by_subspace(header, tables), [], None
    if not parts:
        parts, general, doubt = _by_name(tables)
    if not parts and not general:
        return None, [] if doubt is None else [doubt]
    if 'TIME' not in columns:
        return None, ['good time intervals could not be applied, the events have no TIME']
    if any(_column(names, columns) is None for part in parts for names, _ in part.of):
        if len(parts) > 1 or general:
            return None, [
                'good time intervals could not be applied: they differ by detector, and the '
                f'events have none of the columns {", ".join(DETECTORS)}'
            ]
        # the only table is of all events
        parts = [_Part((), part.tables) for part in parts]
    where = f'HDU {number}'
    unit = columns['unit of TIME'] or _card(path, where, header, 'TIMEUNIT')
    times = columns['TIME'].astype(np.float64) * _seconds(path, where, unit)
    inside, told, untold, filled = (np.zeros(len(times), bool) for _ in range(4))
    empty = []

    def apply(seen, own):
        told[seen] = True
        if all(map(len, own)):
            filled[seen] = True
        elif seen.any():
            empty.extend(table.where for table in own if not len(table))
        holds = [table.hold(times[seen], where, header) for table in own]
        inside[seen] |= np.logical_and.reduce(holds)

    for part in parts:
        seen = np.ones(len(times), bool)
        for names, text in part.of:
            seen &= _within(columns[_column(names, columns)], text)
        if part.tables is None:
            untold |= seen
        else:
            apply(seen, part.tables)
    rest = ~told & ~untold
    for table in general:
        apply(rest, [table])
    # an event of which not every table is there may lie in one that is lacking
    untold = ~inside & (untold | ~told)
    doubts = []
    n_empty = int((told & ~filled & ~untold).sum())
    if n_empty:
        words = 'has no interval, which leaves out the'
        doubts.append(f'{", ".join(dict.fromkeys(empty))} {words} {n_empty} events of its detector')
    if untold.any():
        doubts.append(
            f'{int(untold.sum())} events are of detectors without good time intervals, '
            'or with several tables of one name, and are kept'
        )
    return ~inside & ~untold, doubts
