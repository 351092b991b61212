# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Light added to an optical image that somebody has: what the image is, and how it takes it.
"""

import astropy.units as u
import numpy as np

from clustercnn.simulate._plate import add_to_ccd, add_to_plate

__all__ = ['add_light', 'kind_of_frame', 'why_not_a_plate']

# what a scanner writes; counts a second, electrons and fluxes come from a CCD
_PLATE_UNITS = (u.dimensionless_unscaled, u.adu, u.DN, u.ct)
# where headers state the magnitude of one unit, which no single number says of a plate
_ZERO_POINTS = ('MAGZERO', 'MAGZPT', 'MAGZP', 'PHOTZP')


def kind_of_frame(frame, *, asked=None, default='ccd'):
    """
    Return whether an optical image is taken as a plate or as a CCD frame.

    Parameters
    ----------
    frame : `~astropy.nddata.CCDData`
        The image.
    asked : {'plate', 'ccd', None}, optional
        What the user says that it is.
    default : {'plate', 'ccd', None}, optional
        What it is where the user says nothing and it could be either.

    Returns
    -------
    kind : {'plate', 'ccd'}
        What it is.

    Raises
    ------
    ValueError
        If the user says that it is a plate and it cannot be.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from clustercnn.simulate._added_light import kind_of_frame
    >>> kind_of_frame(CCDData(np.arange(9.0), unit='nmgy'), default='plate')
    'ccd'
    """
    if asked == 'ccd' or (asked is None and default != 'plate'):
        return 'ccd'
    reason = why_not_a_plate(frame)
    if reason and asked == 'plate':
        msg = (
            f"'optical' cannot be the scan of a plate, as 'optical_kind' says: {reason}; give "
            "optical_kind='ccd', or the scan as its scanner wrote it"
        )
        raise ValueError(msg)
    return 'ccd' if reason else 'plate'


def why_not_a_plate(frame):
    """
    Return what an optical image has that no scan of a plate has.

    Parameters
    ----------
    frame : `~astropy.nddata.CCDData`
        The image.

    Returns
    -------
    reason : str or None
        None where it may be a plate.
    """
    unit = u.dimensionless_unscaled if frame.unit is None else frame.unit
    if unit not in _PLATE_UNITS:
        return f'its unit is {unit}, that of a scan would be adu or none'
    stated = [key for key in _ZERO_POINTS if key in frame.meta]
    if stated:
        return f'{stated[0]} of its header is a zero point of magnitudes, so it is linear in flux'
    data, good = _values(frame)
    negative = good & (data < 0)
    if negative.any():
        line, column = np.argwhere(negative)[0]
        return (
            f'{negative.sum()} of its pixels are below 0, the first one x = {column}, y = {line}; '
            'the density of a plate is not'
        )
    # the characteristic curve goes through the sky and ends at the largest value
    if good.any() and not 0 < np.median(data[good]) < data[good].max():
        return f'its median, {np.median(data[good]):g}, is not between 0 and its largest value'
    return None


def _values(frame):
    """
    Return the values of an image, and which of them are neither masked nor without a number.
    """
    data = np.asarray(frame.data, dtype=float)
    good = np.isfinite(data)
    if frame.mask is not None:
        good &= ~np.asarray(frame.mask)
    return data, good


def add_light(frame, light, noise, kind):
    """
    Return a frame with light added, in the terms of its noise.

    Parameters
    ----------
    frame : `~astropy.nddata.CCDData`
        Left as it is.
    light : (ny, nx) `~numpy.ndarray`
        To add, in units of the sky.
    noise : float
        Noise a pixel that the spread of the frame about its median stands for, in the same units.
    kind : {'plate', 'ccd'}
        What the frame is, as from `kind_of_frame`.

    Returns
    -------
    frame : `~astropy.nddata.CCDData`
        A copy; pixels without light, masked ones and those that are not finite are as they were.
        Integers are rounded, and end at the limits of their type.
    """
    data, good = _values(frame)
    new = frame.copy()
    touched = good & (light > 0)
    if not touched.any():
        return new
    sky = float(np.median(data[good]))
    # from the darker half, which stars do not reach
    spread = 1.4826 * float(np.median(sky - data[good & (data <= sky)]))
    if spread > 0:
        add = add_to_plate if kind == 'plate' else add_to_ccd
        values = add(data[touched], light[touched], sky, spread / noise, float(data[good].max()))
        changed = np.array(frame.data)
        changed[touched] = _as_type(values, changed.dtype)
        new.data = changed
    return new


def _as_type(values, dtype):
    """
    Return numbers as a type holds them; what is too large for an integer would wrap around.
    """
    if dtype.kind not in 'iu':
        return values.astype(dtype)
    low, high = (float(limit) for limit in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    if int(high) > np.iinfo(dtype).max:
        # the largest integer of 64 bits is no double
        high = np.nextafter(high, 0.0)
    return np.clip(np.rint(values), low, high).astype(dtype)
