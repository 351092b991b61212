# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Names in the style of the IAU.
"""

import numpy as np

__all__ = ['designations']

# A position that lies on a tick may sit a rounding error below it after
# conversions; without this much of a tick every second one would lose a unit.
_TICK_TOLERANCE = 1e-6


def _sexagesimal(seconds):
    """
    Split integer seconds into units, minutes and seconds.
    """
    units, rest = np.divmod(seconds, 3600)
    return units, *np.divmod(rest, 60)


def designations(ra, dec, *, acronym='CCNN'):
    """
    Return a designation for each position.

    The coordinates are truncated, never rounded, as the IAU specification asks
    (https://cdsweb.u-strasbg.fr/Dic/iau-spec.htx): ``ACRONYM JHHMMSS.s+DDMMSS``.
    Positions that share a designation get a trailing letter, in their order.

    Parameters
    ----------
    ra, dec : 1D `~numpy.ndarray` of float64
        Right ascension and declination in degrees, ICRS.
    acronym : str, optional
        What comes first; registered acronyms belong to their surveys.

    Returns
    -------
    names : list of str
        Unique.

    Raises
    ------
    ValueError
        If a coordinate is out of range.

    Examples
    --------
    >>> from clustercnn.core import designations
    >>> designations([299.41898333, 0.0], [33.64110, -0.00025], acronym='XYZ')
    ['XYZ J195740.5+333827', 'XYZ J000000.0-000000']
    """
    ra = np.atleast_1d(np.asarray(ra, dtype=np.float64))
    dec = np.atleast_1d(np.asarray(dec, dtype=np.float64))
    if not (np.isfinite(ra).all() and np.isfinite(dec).all() and (np.abs(dec) <= 90).all()):
        msg = "'ra' and 'dec' must be finite, and 'dec' within -90 and 90 degrees"
        raise ValueError(msg)
    ra_ticks = np.floor(np.mod(ra, 360.0) * 2400.0 + _TICK_TOLERANCE).astype(np.int64)
    ra_ticks %= 24 * 36000
    dec_ticks = np.floor(np.abs(dec) * 3600.0 + _TICK_TOLERANCE).astype(np.int64)
    hours, minutes, seconds = _sexagesimal(ra_ticks // 10)
    tenths = ra_ticks % 10
    degrees, arcminutes, arcseconds = _sexagesimal(dec_ticks)
    signs = np.where(np.signbit(dec), '-', '+')
    names = [
        f'{acronym} J{h:02d}{m:02d}{s:02d}.{t}{sign}{d:02d}{am:02d}{asec:02d}'
        for h, m, s, t, sign, d, am, asec in zip(
            hours, minutes, seconds, tenths, signs, degrees, arcminutes, arcseconds, strict=True
        )
    ]
    seen = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    letters = dict.fromkeys(seen, 0)
    for index, name in enumerate(names):
        if seen[name] > 1:
            names[index] = name + _letters(letters[name])
            letters[name] += 1
    return names


def _letters(number):
    """
    Return a, b, ... z, aa, ab, ... for 0, 1, ... 25, 26, 27, ...
    """
    text = ''
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord('a') + digit) + text
    return text
