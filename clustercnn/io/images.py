# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Reading X-ray and optical images from FITS files.
"""

import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from clustercnn.core import CandidateFlag, XrayImage
from clustercnn.exceptions import (
    DataQualityWarning,
    FluxImageError,
    ImageMismatchError,
    ImageReadError,
)

__all__ = ['PSF_FWHM', 'read_image', 'read_optical']

PSF_FWHM = {'XMM': 8.0, 'eROSITA': 26.0, 'Chandra': 2.0, 'ROSAT': 30.0, 'Einstein Probe': 24.0}
"""
Widths in arcsec that stand for a mission where nothing better is known: XMM-Newton EPIC
with binning (Jansen et al. 2001: 6 arcsec FWHM), eROSITA in survey mode (Predehl et al.
2021: 26 arcsec half-energy width, 30 averaged over the field), Chandra within some arcmin
of the axis, ROSAT PSPC (about 25-30 arcsec), Einstein Probe FXT (about 24 arcsec).
"""

_SMALLEST = 2880
_LARGEST_PIXELS = 20_000 * 20_000
_MISSION_WORDS = {
    'XMM': 'XMM',
    'EROSITA': 'eROSITA',
    'SRG': 'eROSITA',
    'CHANDRA': 'Chandra',
    'ROSAT': 'ROSAT',
    'EP': 'Einstein Probe',
}


def _mission_of(header, path):
    words = ' '.join(str(header.get(key, '')) for key in ('TELESCOP', 'MISSION', 'INSTRUME'))
    for word, mission in _MISSION_WORDS.items():
        if word in words.upper().replace('/', ' ').split():
            return mission
    # eROSITA products of several pipelines come without TELESCOP
    if str(header.get('CREATOR', '')).lower().startswith(('evtool', 'expmap', 'ermldet')):
        return 'eROSITA'
    return 'generic'


def _open_plane(path, hdu):
    """
    Return data, header and number of the wanted image, or say what is wrong.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageReadError(path, 'is a folder, expected a FITS file')
    if not path.exists():
        raise ImageReadError(path, 'no such file; check the name')
    size = path.stat().st_size
    if size == 0:
        raise ImageReadError(path, 'the file is empty; fetch it again')
    with path.open('rb') as stream:
        start = stream.read(512).lstrip().lower()
    if start.startswith((b'<!doctype', b'<html', b'<?xml')):
        reason = 'holds an HTML or XML page, not FITS; the download failed, fetch it again'
        raise ImageReadError(path, reason)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            warnings.filterwarnings('error', message='.*(Checksum|Datasum) verification failed.*')
            with fits.open(path, memmap=False, checksum=True) as hdus:
                return _choose_plane(path, hdus, hdu)
    except ImageReadError:
        raise
    except MemoryError as error:
        raise ImageReadError(path, 'the header claims more data than memory holds') from error
    except Exception as error:  # noqa: BLE001 - astropy raises many kinds for damaged files
        reason = (
            f'cannot be read as FITS ({type(error).__name__}: {error}); the file is truncated, '
            f'damaged or of another format'
        )
        raise ImageReadError(path, ' '.join(reason.split())) from error


def _choose_plane(path, hdus, hdu):
    numbers = range(len(hdus)) if hdu is None else [hdu]
    kinds = []
    for number in numbers:
        if isinstance(number, int) and not -len(hdus) <= number < len(hdus):
            raise ImageReadError(path, f'has no HDU {number}; there are {len(hdus)}')
        item = hdus[number]
        header = item.header
        axes = [header.get(f'NAXIS{axis + 1}', 0) for axis in range(header.get('NAXIS', 0))]
        kinds.append(f'{number} {header.get("XTENSION", "PRIMARY").strip()} {axes}')
        if not item.is_image or len([n for n in axes if n > 1]) != 2:
            continue
        if np.prod(axes, dtype=float) > _LARGEST_PIXELS:
            raise ImageReadError(path, f'HDU {number} claims {axes} pixels, more than is sane')
        data = np.asarray(item.data)
        data = data.reshape([n for n in data.shape if n > 1])
        wcs = WCS(header, naxis=2) if len(axes) == 2 else WCS(header).celestial
        if not wcs.has_celestial:
            if hdu is None and number + 1 < len(hdus):
                continue
            reason = (
                f'HDU {number} has no celestial WCS (CTYPE1 = {header.get("CTYPE1", "absent")}); '
                f'expected RA/DEC or GLON/GLAT axes'
            )
            raise ImageReadError(path, reason)
        return data, header, wcs, number
    listing = '; '.join(kinds[:6])
    reason = f'has no two-dimensional image with a celestial WCS (HDUs: {listing})'
    if any('BINTABLE' in kind for kind in kinds):
        reason += '; it holds tables: is it an event list or a catalogue?'
    raise ImageReadError(path, reason)


def _check_grid(path, shape, wcs, other_path, other_shape, other_wcs):
    if shape != other_shape:
        msg = (
            f'{other_path}: has shape {other_shape}, but {path} has {shape}; '
            f'both must be on one pixel grid'
        )
        raise ImageMismatchError(msg)
    ny, nx = shape
    corners = np.array([[0, 0], [nx - 1, 0], [0, ny - 1], [nx - 1, ny - 1]], float)
    sky = wcs.pixel_to_world(*corners.T)
    offset = np.hypot(*(np.array(other_wcs.world_to_pixel(sky)) - corners.T)).max()
    if not offset < 0.1:
        msg = (
            f'{other_path}: its WCS lies {offset:.2f} pixels off that of {path}; '
            f'expected less than 0.1'
        )
        raise ImageMismatchError(msg)


def _read_map(role, path, image_path, shape, wcs):
    data, header, other_wcs, number = _open_plane(path, None)
    _check_grid(image_path, shape, wcs, path, data.shape, other_wcs)
    data = data.astype(np.float32)
    bad = ~np.isfinite(data)
    if (data[~bad] < 0).any():
        raise ImageReadError(path, f'HDU {number}: the {role} map has negative values')
    # outside the field of view maps are often NaN
    data = np.where(bad, np.float32(0), data)
    if not (data > 0).any():
        reason = f'HDU {number}: the {role} map is zero everywhere; expected exposed sky'
        raise ImageReadError(path, reason)
    return data, header


def _effective_gain(data):
    """
    Return counts per unit from the noise: mean over variance of the faint half.

    A Poisson image scaled by 1 / g has mean m / g and variance m / g**2.
    """
    values = data[np.isfinite(data) & (data > 0)]
    faint = values[values <= np.median(values)]
    spread = faint.var()
    return float(faint.mean() / spread) if spread > 0 else 1.0


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
        FITS file; the first two-dimensional image with a celestial WCS is taken.
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
    <Quantity 8. arcsec>
    """
    data, header, wcs, number = _open_plane(path, hdu)
    where = f'HDU {number}'
    data = data.astype(np.float64)
    notes = []
    mask = ~np.isfinite(data)
    if mask.all():
        raise ImageReadError(path, f'{where}: every pixel is NaN')
    if mask.any():
        notes.append(f'{int(mask.sum())} pixels are not finite and were masked')
        warnings.warn(f'{path}: {notes[-1]}', DataQualityWarning, stacklevel=2)
    good = data[~mask]
    flags = 0
    fractional = np.abs(good - np.rint(good)) > 1e-3
    unit = str(header.get('BUNIT', 'absent'))
    if fractional.any() or good.min() < 0:
        share = fractional.mean()
        reason = (
            f'{where}: {share:.0%} of the values are not whole and the smallest is '
            f'{good.min():.3g} (BUNIT {unit}); this is a flux, smoothed or background-subtracted '
            f'image. Give the counts image, or insist with allow_flux (--allow-flux)'
        )
        if not allow_flux:
            kind = FluxImageError if good.min() >= 0 else ImageReadError
            if kind is ImageReadError:
                reason = f'{where}: {int((good < 0).sum())} negative values; ' + reason
            raise kind(path, reason)
        gain = _effective_gain(data)
        data = np.maximum(data, 0) * gain
        flags |= int(CandidateFlag.FLUX_IMAGE)
        notes.append(f'not counts; scaled by {gain:.4g} counts per unit, from its noise')
    if not (data[~mask] > 0).any():
        raise ImageReadError(path, f'{where}: every pixel is zero; expected counts')
    planes = {}
    exposure_unit = u.s
    if exposure is not None:
        planes['exposure'], map_header = _read_map('exposure', exposure, path, data.shape, wcs)
        text = str(map_header.get('BUNIT', '')).lower()
        if 'cm' in text or planes['exposure'].max() > 3e7:
            exposure_unit = u.cm**2 * u.s
            notes.append('the exposure map is in cm2 s')
    if background is not None:
        planes['background'], _ = _read_map('background', background, path, data.shape, wcs)
    mission = mission or _mission_of(header, path)
    if psf_fwhm is None and mission in PSF_FWHM:
        psf_fwhm = PSF_FWHM[mission] * u.arcsec
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
        FITS file; the first two-dimensional image with a celestial WCS is taken.
    hdu : int or str, optional
        Which HDU to take.

    Returns
    -------
    image : `~astropy.nddata.CCDData`
        Values that are not finite are masked; the unit is adu where none is known.

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

    data, header, wcs, _ = _open_plane(path, hdu)
    try:
        unit = u.Unit(str(header.get('BUNIT', 'adu')).strip() or 'adu')
    except ValueError:
        # BUNIT may hold anything, such as 'Primary Array'
        unit = u.adu
    data = data.astype(np.float32)
    mask = ~np.isfinite(data)
    return CCDData(np.where(mask, 0, data), unit=unit, wcs=wcs, mask=mask)
