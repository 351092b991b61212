# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Good time intervals: when what a detector saw counts, as the exposure does.
"""

import re

import astropy.units as u
import numpy as np
from astropy.io import fits

from clustercnn.exceptions import ImageReadError

__all__ = ['DETECTORS', 'GoodTimes', 'are_good_times', 'outside_good_times']

# of all intervals that files bring along these are the ones that the events were chosen by, and
# not those without flares or of the background
_NAME = re.compile(r'(?:STD)?GTI_?(\d*)')
# which column says by which detector an event was seen: of Chandra, XMM-Newton, eROSITA
DETECTORS = ('CCD_ID', 'CCDNR', 'TM_NR')
_SECONDS_A_DAY = 86400.0


def are_good_times(item):
    """
    Say whether an HDU holds good time intervals.

    Parameters
    ----------
    item : `~astropy.io.fits.BinTableHDU`
        An HDU of any kind.

    Returns
    -------
    are : bool
        Whether it is a table with START and STOP, named GTI, STDGTI or these with a number
        (OGIP memo 93-003, section 4; the pipelines of XMM-Newton and eROSITA).
    """
    if not isinstance(item, fits.BinTableHDU) or not _NAME.fullmatch(item.name.upper()):
        return False
    return {'START', 'STOP'} <= {name.upper() for name in item.columns.names}


class GoodTimes:
    """
    The intervals of one table.

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
    detector : int or None
        Which detector they are of: ``CCD_ID``, or the number in the name.
    start, stop : 1D `~numpy.ndarray` of float64
        In seconds, as of the header.
    header : `~astropy.io.fits.Header`
        What the seconds are counted from.

    Raises
    ------
    ImageReadError
        If an interval is none.
    """

    def __init__(self, path, number, item):
        self.header = item.header.copy()
        named = _NAME.fullmatch(item.name.upper()).group(1)
        stated = self.header.get('CCD_ID', named)
        self.detector = int(stated) if str(stated).strip().isdigit() else None
        names = {name.upper(): name for name in item.columns.names}
        ends = {}
        for name in ('START', 'STOP'):
            values = np.asarray(item.data[names[name]])
            if values.ndim != 1 or values.dtype.kind not in 'iuf':
                reason = f'HDU {number} {item.name}: {name} does not hold one number an interval'
                raise ImageReadError(path, f'{reason}; expected that')
            unit = item.columns[names[name]].unit or self.header.get('TIMEUNIT')
            ends[name] = values.astype(np.float64) * _seconds(path, number, unit)
        self.start, self.stop = ends['START'], ends['STOP']
        # not as "above", so that NaN is found, too
        wrong = ~(self.start <= self.stop)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            reason = (
                f'HDU {number} {item.name}: the interval in row {row + 1} starts at '
                f'{self.start[row]:.12g} and stops at {self.stop[row]:.12g}; expected a start '
                'before the stop, correct the table or pass all_events=True'
            )
            raise ImageReadError(path, reason)

    def hold(self, times, header):
        """
        Say which times lie in an interval.

        Parameters
        ----------
        times : 1D `~numpy.ndarray` of float64
            In seconds.
        header : `~astropy.io.fits.Header`
            What these are counted from.

        Returns
        -------
        inside : 1D `~numpy.ndarray` of bool
            With both ends.
        """
        if not len(self.start):
            return np.zeros(len(times), bool)
        times = times + _zero(header) - _zero(self.header)
        days = [_reference(one) for one in (header, self.header)]
        if None not in days:
            times = times + (days[0] - days[1]) * _SECONDS_A_DAY
        order = np.argsort(self.start)
        start, stop = self.start[order], np.maximum.accumulate(self.stop[order])
        last = np.searchsorted(start, times, side='right') - 1
        return (last >= 0) & (times <= stop[last])


def _seconds(path, number, unit):
    """
    Return how many seconds one of a unit has; they are meant where none is stated.
    """
    try:
        return u.Unit(str(unit or 's').strip().lower()).to(u.s)
    except (ValueError, u.UnitConversionError) as error:
        reason = f'HDU {number}: times are in {unit!r}; expected s'
        raise ImageReadError(path, reason) from error


def _zero(header):
    return float(header.get('TIMEZERO') or 0.0)


def _reference(header):
    """
    Return the day from which times are counted, None where it is not stated.
    """
    if isinstance(header.get('MJDREF'), (int, float)):
        return float(header['MJDREF'])
    parts = [header.get(key) for key in ('MJDREFI', 'MJDREFF')]
    if isinstance(parts[0], (int, float)):
        return float(parts[0]) + float(parts[1] or 0.0)
    return None


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
    outside : 1D `~numpy.ndarray` of bool
        False where no table is of the event's detector.
    reason : str or None
        Why nothing can be told of any event or of some, for a note.
    """
    outside = np.zeros(len(columns['X']), bool)
    if not tables:
        return outside, None
    if 'TIME' not in columns:
        return outside, 'good time intervals could not be applied, the events have no TIME'
    unit = columns['unit of TIME'] or header.get('TIMEUNIT')
    times = columns['TIME'].astype(np.float64) * _seconds(path, number, unit)
    column = next((name for name in DETECTORS if name in columns), None)
    of_one = {}
    for table in tables:
        of_one.setdefault(table.detector, []).append(table)
    if set(of_one) == {None} or (len(of_one) == 1 and column is None):
        # all tables are of all events
        inside = [table.hold(times, header) for table in tables]
        return ~np.logical_or.reduce(inside), None
    if column is None:
        return outside, (
            'good time intervals could not be applied: they differ by detector, and the events '
            f'have none of the columns {", ".join(DETECTORS)}'
        )
    n_without = 0
    for detector in np.unique(columns[column]):
        seen = columns[column] == detector
        own = of_one.get(int(detector)) if np.isfinite(detector) else None
        if own is None:
            n_without += int(seen.sum())
            continue
        outside[seen] = ~np.logical_or.reduce([table.hold(times[seen], header) for table in own])
    if n_without:
        return outside, f'{n_without} events are of detectors without good time intervals'
    return outside, None
