# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Reading X-ray and optical images from FITS files.
"""

import warnings

import astropy.units as u
import numpy as np

from clustercnn.core import CandidateFlag, XrayImage
from clustercnn.exceptions import (
    DataQualityWarning,
    FluxImageError,
    ImageReadError,
    NoImageError,
)
from clustercnn.io.missions import (
    dispersion,
    mission_named,
    mission_of,
    psf_fwhm_of,
    role_of,
    unit_of,
)
from clustercnn.io.planes import check_grid, first_wrong, read_plane
from clustercnn.io.written import is_ours, read_written

__all__ = ['note', 'read_image', 'read_map', 'read_optical']

# counts in float files may carry the noise of a scaling; fluxes are small in themselves
_WHOLE = 1e-3
# a map of seconds seldom passes a year; one of cm2 s nearly always does
_LONGEST_EXPOSURE = 3e7


def read_map(role, path, *, image_path, shape, wcs):
    """
    Read the exposure or background map of an image.

    Parameters
    ----------
    role : {'exposure', 'background'}
        What the map is of.
    path : str or path-like
        FITS file of the map.
    image_path : str or path-like
        Name of the image, for messages.
    shape : 2-tuple of int
        Shape of the image.
    wcs : `~astropy.wcs.WCS`
        World coordinates of the image.

    Returns
    -------
    data : 2D `~numpy.ndarray` of float32
        The map; 0 where it was not finite. Exposures are in s or cm2 s.
    unit : `~astropy.units.Unit` or None
        Unit of an exposure; None for a background.

    Raises
    ------
    ImageReadError
        If the file cannot be used as such a map.
    ImageMismatchError
        If it is on another grid.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.io import fits
    >>> from clustercnn.io.images import read_map
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'exposure.fits'
    ...     fits.writeto(path, image.exposure, image.wcs.to_header())
    ...     data, unit = read_map('exposure', path, image_path='image.fits',
    ...                           shape=image.shape, wcs=image.wcs)
    >>> unit
    Unit("s")
    """
    data, header, other_wcs, number, doubts = read_plane(path)
    for doubt in doubts:
        warnings.warn(f'{path}: {doubt}', DataQualityWarning, stacklevel=3)
    where = f'HDU {number}'
    stated = role_of(header) or _counts_by_header(header)
    if stated is not None and not stated.startswith(role):
        reason = f'{where}: its header says that it is {_article(stated)}; expected the {role} map'
        raise ImageReadError(path, reason)
    check_grid(image_path, shape, wcs, path, data.shape, other_wcs)
    data = data.astype(np.float32)
    bad = ~np.isfinite(data)
    negative = ~bad & (data < 0)
    if negative.any():
        reason = (
            f'{where}: {int(negative.sum())} negative values, the first '
            f'{first_wrong(data, negative)}; expected {_article(role)} map of 0 and above'
        )
        raise ImageReadError(path, reason)
    # outside the field of view maps are often NaN
    data = np.where(bad, np.float32(0), data)
    if not (data > 0).any():
        reason = (
            f'{where}: the {role} map is zero everywhere; leave it out or give the one that '
            f'belongs to the image'
        )
        raise ImageReadError(path, reason)
    if role == 'exposure':
        return _exposure_in_known_unit(path, where, header, data)
    return data * _counts_per_unit(path, where, header), None


def _article(role):
    return f'{"an" if role[0] in "aeiou" else "a"} {role}'


def _counts_by_header(header):
    words = f'{header.get("DSTYPE", "")} {header.get("CONTENT", "")}'.upper().split()
    return 'counts image' if words and words[-1] == 'IMAGE' else None


def _exposure_in_known_unit(path, where, header, data):
    """
    Return an exposure map in s or cm2 s, and which of the two.
    """
    text = str(header.get('BUNIT', '')).lower()
    unit = unit_of(header)
    if unit is not None and unit.is_equivalent(u.s):
        return (data * np.float32(unit.to(u.s))).astype(np.float32), u.s
    if unit is not None and unit.is_equivalent(u.cm**2 * u.s):
        return (data * np.float32(unit.to(u.cm**2 * u.s))).astype(np.float32), u.cm**2 * u.s
    if 'cm' in text:
        return data, u.cm**2 * u.s
    if unit is not None and unit != u.dimensionless_unscaled:
        reason = (
            f'{where}: BUNIT = {header["BUNIT"]!r}; expected an exposure in s or cm2 s: is it '
            f'another map?'
        )
        raise ImageReadError(path, reason)
    return data, u.cm**2 * u.s if data.max() > _LONGEST_EXPOSURE else u.s


def _counts_per_unit(path, where, header):
    """
    Return the counts that a unit of a background map is, or refuse what is not counts a pixel.
    """
    unit = unit_of(header)
    unit = u.dimensionless_unscaled if unit is None else unit.decompose()
    if set(unit.bases) <= {u.ct, u.ph, u.electron, u.adu, u.pix, u.bin}:
        return np.float32(unit.scale)
    reason = (
        f'{where}: BUNIT = {header["BUNIT"]!r}; expected a background in counts per pixel: '
        f'multiply a rate by the exposure, and a brightness by the area of a pixel'
    )
    raise ImageReadError(path, reason)


def _effective_gain(data):
    """
    Return counts per unit, cautiously: from the noise, but at most one a faintest pixel.

    A Poisson image scaled by 1 / g has mean m / g and variance m / g**2, so that mean over
    variance of the faint half is g. Smoothing takes noise away and makes that too large; but
    where photons are few the faintest pixel of an image that is not empty holds about one.
    """
    values = data[np.isfinite(data) & (data > 0)]
    faint = values[values <= np.median(values)]
    spread = faint.var()
    most = 1.0 / float(values.min())
    return min(float(faint.mean() / spread), most) if spread > 0 else min(1.0, most)


def note(notes, path, text):
    """
    Add to the notes of an image, and warn.

    Parameters
    ----------
    notes : list of str
        Added to.
    path : str or path-like
        The file.
    text : str
        What to say.
    """
    notes.append(text)
    warnings.warn(f'{path}: {text}', DataQualityWarning, stacklevel=3)


def _counts_of(path, where, header, data, mask, notes, *, allow_flux):
    """
    Return the counts of an image and its flags, or refuse what does not hold counts.
    """
    good = data[~mask]
    tolerance = _WHOLE * min(1.0, np.abs(good).max())
    share = (np.abs(good - np.rint(good)) > tolerance).mean()
    negative = ~mask & (data < 0)
    unit = unit_of(header)
    if not share and not negative.any():
        if unit is not None and not unit.is_equivalent(u.ct) and 's' in unit.to_string():
            note(notes, path, f'BUNIT is {header["BUNIT"]}, but the values are whole: counts')
        index = dispersion(data)
        if index < 0.02:
            note(notes, path, 'the image is smoother than photons can be: is it counts?')
        return data, 0
    if negative.any() and not allow_flux:
        reason = (
            f'{where}: {int(negative.sum())} negative values, the first '
            f'{first_wrong(data, negative)}; a background-subtracted image is not counts. Give '
            f'the counts image, or insist with allow_flux (--allow-flux)'
        )
        raise ImageReadError(path, reason)
    if not allow_flux:
        reason = (
            f'{where}: {share:.0%} of the values are not whole, the smallest is {good.min():.3g}, '
            f'the largest {good.max():.3g} (BUNIT {header.get("BUNIT", "absent")}): this is a '
            f'flux, rate or smoothed image, whose noise is not that of counts. Give the counts '
            f'image, or insist with allow_flux (--allow-flux)'
        )
        raise FluxImageError(path, reason)
    gain = _effective_gain(data)
    notes.append(f'not counts; scaled by {gain:.4g} counts per unit, from its noise')
    return np.maximum(data, 0) * gain, int(CandidateFlag.FLUX_IMAGE)


def read_image(
    path,
    *,
    exposure=None,
    background=None,
    hdu=None,
    energy_band=None,
    psf_fwhm=None,
    allow_flux=False,
    mission=None,
):
    """
    Read an X-ray count image with its exposure and background maps.

    Parameters
    ----------
    path : str or path-like
        FITS file; the first two-dimensional image with a celestial WCS is taken, with a warning
        if it has others that could be meant. An event list without one is binned, see
        `~clustercnn.io.read_events`.
    exposure, background : str or path-like, optional
        Maps on the same grid, to a tenth of a pixel.
    hdu : int or str, optional
        Which HDU to take.
    energy_band : 2 `~astropy.units.Quantity`, optional
        Lower and upper energy.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the PSF; that of the mission by default.
    allow_flux : bool, optional
        Whether to take an image that does not hold counts, scaled to the counts that its
        noise speaks for and flagged.
    mission : str, optional
        By default as the header says.

    Returns
    -------
    image : XrayImage
        NaN pixels are masked.

    Raises
    ------
    ImageReadError
        If the file cannot be used; says why and what to do.
    FluxImageError
        If it does not hold counts and ``allow_flux`` is False.
    ImageMismatchError
        If a map is on another grid.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.io import fits
    >>> from clustercnn.io import read_image
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'image.fits'
    ...     fits.writeto(path, image.counts, image.wcs.to_header())
    ...     read_image(path, mission='XMM').psf_fwhm
    <Quantity 7.7 arcsec>
    """
    try:
        data, header, wcs, number, doubts = read_plane(path, hdu=hdu)
    except NoImageError:
        # loaded here, since that module needs this one
        from clustercnn.io.events import holds_events, read_events

        if not holds_events(path):
            raise
        band = {} if energy_band is None else {'energy_band': energy_band}
        maps = {'exposure': exposure, 'background': background}
        return read_events(path, hdu=hdu, psf_fwhm=psf_fwhm, mission=mission, **band, **maps)
    where = f'HDU {number}'
    if is_ours(header) and number:
        text = f'{where} is an image of this package that was copied; its other planes are not read'
        warnings.warn(f'{path}: {text}', DataQualityWarning, stacklevel=2)
    elif is_ours(header):
        given = {'energy_band': energy_band, 'psf_fwhm': psf_fwhm, 'mission': mission}
        given = {name: value for name, value in given.items() if value is not None}
        grid = {'image_path': path, 'shape': data.shape, 'wcs': wcs}
        if exposure is not None:
            given['exposure'], given['exposure_unit'] = read_map('exposure', exposure, **grid)
        if background is not None:
            given['background'], _ = read_map('background', background, **grid)
        return read_written(path).replace(**given)
    role = role_of(header)
    if role is not None:
        reason = f'{where}: its header says that it is {_article(role)}; expected the counts image'
        raise ImageReadError(path, reason)
    data = data.astype(np.float64)
    notes = []
    for doubt in doubts:
        note(notes, path, doubt)
    mask = ~np.isfinite(data)
    if mask.all():
        raise ImageReadError(path, f'{where}: every pixel is NaN; expected counts')
    if mask.any():
        note(notes, path, f'{int(mask.sum())} pixels are not finite and were masked')
    data, flags = _counts_of(path, where, header, data, mask, notes, allow_flux=allow_flux)
    if not (data[~mask] > 0).any():
        raise ImageReadError(path, f'{where}: every pixel is zero; expected counts')
    planes = {}
    exposure_unit = u.s
    grid = {'image_path': path, 'shape': data.shape, 'wcs': wcs}
    if exposure is not None:
        planes['exposure'], exposure_unit = read_map('exposure', exposure, **grid)
        if exposure_unit != u.s:
            notes.append('the exposure map is in cm2 s')
        outside = data[~mask & (planes['exposure'] == 0)].sum() / data[~mask].sum()
        if outside > 0.5:
            note(notes, path, f'{outside:.0%} of the counts lie where {exposure} is zero')
    if background is not None:
        planes['background'], _ = read_map('background', background, **grid)
    mission = mission_named(mission) if mission else mission_of(header)
    if psf_fwhm is None:
        psf_fwhm = psf_fwhm_of(mission, header)
    return XrayImage(
        counts=np.where(mask, 0, data),
        wcs=wcs,
        exposure_unit=exposure_unit,
        mask=mask,
        psf_fwhm=psf_fwhm,
        energy_band=energy_band,
        mission=mission,
        instrument=str(header.get('INSTRUME', '')).strip(),
        flags=flags,
        meta={'path': str(path), 'hdu': number, 'notes': tuple(notes)},
        **planes,
    )


def read_optical(path, *, hdu=None):
    """
    Read an optical image.

    Parameters
    ----------
    path : str or path-like
        FITS file; the first two-dimensional image with a celestial WCS is taken, with a warning
        if it has others that could be meant.
    hdu : int or str, optional
        Which HDU to take.

    Returns
    -------
    image : `~astropy.nddata.CCDData`
        Values that are not finite are masked; the unit is adu where none is known. Values that
        are stored as their asinh (``BSOFTEN`` and ``BOFFSET``, as in the stacked images of
        Pan-STARRS1) are made linear again.

    Raises
    ------
    ImageReadError
        If the file cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from clustercnn.io import read_optical
    >>> from clustercnn.testing import tiny_wcs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'plate.fits'
    ...     fits.writeto(path, np.ones((64, 64)), tiny_wcs().to_header())
    ...     read_optical(path).unit
    Unit("adu")
    """
    from astropy.nddata import CCDData

    data, header, wcs, number, doubts = read_plane(path, hdu=hdu)
    for doubt in doubts:
        warnings.warn(f'{path}: {doubt}', DataQualityWarning, stacklevel=2)
    unit = unit_of(header) or u.adu
    data = _linear(header, data).astype(np.float32)
    mask = ~np.isfinite(data)
    if mask.all():
        raise ImageReadError(path, f'HDU {number}: every pixel is NaN; expected an image')
    return CCDData(np.where(mask, 0, data), unit=unit, wcs=wcs, mask=mask)


def _linear(header, data):
    """
    Return pixels that were stored as asinh magnitudes, times -2.5, as fluxes.

    Waters et al. 2020, ApJS 251, 4: ``flux = BOFFSET + 2 BSOFTEN sinh(v / a)`` with
    ``a = 2.5 / ln(10)``.
    """
    try:
        softening, offset = (float(header[key]) for key in ('BSOFTEN', 'BOFFSET'))
    except (KeyError, TypeError, ValueError):
        return data
    return offset + 2 * softening * np.sinh(data.astype(np.float64) * (np.log(10) / 2.5))
