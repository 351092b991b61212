# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tangent-plane grids, and where a field lies in the Galaxy.
"""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

__all__ = [
    'check_frame',
    'galactic_latitude',
    'offsets_to_sky',
    'place_on',
    'sky_to_offsets',
    'tangent_header',
]

# north Galactic pole, J2000
_POLE = 192.85948, 27.12825


def tangent_header(position, center, pixel):
    """
    Return a north-up TAN WCS and the header that says the same.

    Parameters
    ----------
    position : tuple of float
        Right ascension and declination of the tangent point in deg.
    center : tuple of float
        Its pixel coordinates, 0-based.
    pixel : float
        Pixel size in arcsec.

    Returns
    -------
    wcs : `~astropy.wcs.WCS`
        Celestial, ICRS.
    header : `~astropy.io.fits.Header`
        Without the WCS keywords, ready for what else there is to say.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.crval = position
    wcs.wcs.crpix = [center[0] + 1, center[1] + 1]
    wcs.wcs.cdelt = [-pixel / 3600, pixel / 3600]
    wcs.wcs.cunit = ['deg', 'deg']
    wcs.wcs.radesys = 'ICRS'
    wcs.wcs.set()
    return wcs, fits.Header()


def offsets_to_sky(position, x, y):
    """
    Return the sky position of offsets in the tangent plane.

    Parameters
    ----------
    position : tuple of float
        Tangent point in deg.
    x, y : (n,) `~numpy.ndarray`
        Offsets in arcsec, x to the west, y to the north.

    Returns
    -------
    ra, dec : (n,) `~numpy.ndarray`
        In deg, ra in 0 to 360.
    """
    wcs, _ = tangent_header(position, (0.0, 0.0), 1.0)
    ra, dec = wcs.wcs_pix2world(np.asarray(x, float), np.asarray(y, float), 0)
    return np.mod(ra, 360.0), dec


def sky_to_offsets(position, ra, dec):
    """
    Return the offsets in the tangent plane of sky positions: the inverse of `offsets_to_sky`.

    Parameters
    ----------
    position : tuple of float
        Tangent point in deg.
    ra, dec : (n,) `~numpy.ndarray`
        In deg.

    Returns
    -------
    x, y : (n,) `~numpy.ndarray`
        In arcsec, x to the west, y to the north; NaN a quarter of the sky away and more.
    """
    wcs, _ = tangent_header(position, (0.0, 0.0), 1.0)
    x, y = wcs.wcs_world2pix(np.asarray(ra, float), np.asarray(dec, float), 0)
    there = SkyCoord(ra, dec, unit='deg')
    away = there.separation(SkyCoord(*position, unit='deg')).deg > 89
    return np.where(away, np.nan, x), np.where(away, np.nan, y)


def check_frame(name, frame):
    """
    Raise unless something is an image that says where on the sky it is.

    Parameters
    ----------
    name : str
        Of the argument.
    frame : object
        Expected: `~astropy.nddata.CCDData` with a celestial WCS.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    if not isinstance(frame, CCDData):
        msg = f"'{name}' must be a CCDData, got {type(frame).__name__}"
        raise TypeError(msg)
    if frame.wcs is None or not frame.wcs.has_celestial:
        msg = f"'{name}' must have a celestial WCS, to know where on it a source lies"
        raise ValueError(msg)


def place_on(wcs, position, x, y, angle):
    """
    Return where offsets, and directions at them, lie on an image of any projection.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        Celestial, of any frame, orientation and parity.
    position : tuple of float
        Tangent point of the offsets in deg.
    x, y : float or (n,) `~numpy.ndarray`
        Offsets in arcsec, x to the west, y to the north.
    angle : float or (n,) `~numpy.ndarray`
        From west to north in rad.

    Returns
    -------
    x, y : `~numpy.ndarray`
        Pixel coordinates, 0-based.
    angle : `~numpy.ndarray`
        From the x axis of the image in rad.
    """
    x, y, angle = np.broadcast_arrays(x, y, angle)

    def pixels(dx, dy):
        ra, dec = offsets_to_sky(position, x + dx, y + dy)
        return wcs.world_to_pixel(SkyCoord(ra, dec, unit='deg'))

    here = pixels(0.0, 0.0)
    there = pixels(np.cos(angle), np.sin(angle))
    return *here, np.arctan2(there[1] - here[1], there[0] - here[0])


def galactic_latitude(position):
    """
    Return the Galactic latitude.

    Parameters
    ----------
    position : tuple of float
        Right ascension and declination in deg.

    Returns
    -------
    latitude : float
        In deg.
    """
    ra, dec = np.deg2rad(position)
    pole_ra, pole_dec = np.deg2rad(_POLE)
    sine = np.sin(dec) * np.sin(pole_dec)
    sine += np.cos(dec) * np.cos(pole_dec) * np.cos(ra - pole_ra)
    return float(np.rad2deg(np.arcsin(np.clip(sine, -1, 1))))
