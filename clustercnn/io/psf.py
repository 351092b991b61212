# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Reading images of a point spread function from FITS files.
"""

import re
import warnings
from typing import NamedTuple

import astropy.units as u
import numpy as np

from clustercnn._utils.validation import check_angle
from clustercnn.core import PsfImage
from clustercnn.exceptions import DataQualityWarning, ImageReadError
from clustercnn.io.planes import first_wrong, is_wanted, open_hdus

__all__ = ['read_psf']

_MOST_PIXELS = 4096 * 4096
_MOST_PLANES = 64
_LARGEST_ANGLE = 1e6
# how many widths an image must have from side to side
_LEAST_WIDTHS = 3
# brightness at the rim, relative to the largest, that deserves a look
_BRIGHT_RIM = 0.02
# a step this small without a unit is meant in deg: no X-ray PSF has such pixels in arcsec
_SMALL_STEP = 0.01
_SCALE_WORDS = ('PIXSCALE', 'PIXSIZE', 'PIXELSCL', 'PIXSCAL1', 'SECPIX')
_ANGLE_WORDS = ('THETA', 'OFFAXIS', 'OFF_AXIS', 'OFFAX', 'OFFAXANG', 'OAXANGLE')
# of extensions, and of the boundary keywords of calibration files, THETA(6)arcmin
_ANGLE_IN_NAME = re.compile(
    r'(?:THETA|OFF-?_?AX(?:IS)?)[ _=(]*([0-9.]+)[ _)]*(ARCMIN|ARCSEC|DEG)?', re.IGNORECASE
)
_CELESTIAL = ('RA', 'DEC', 'GLON', 'GLAT', 'ELON', 'ELAT')


class _Plane(NamedTuple):
    """
    One image of a file: its values, where it is, its pixel and its off-axis angle if stated.
    """

    data: np.ndarray
    where: str
    scale: u.Quantity
    angle: float | None


def read_psf(path, *, hdu=None, pixel_scale=None):
    """
    Read the image of a point spread function, or one for each of several off-axis angles.

    The first image of the file is taken. Where it and others, in further HDUs or the planes
    of a cube, state the off-axis angle that they are for, all of them are; else the note of
    the result says how many were not used. Angles are looked for in the keywords ``THETA``,
    ``OFFAXIS`` and the like, in the extension's name, and in the third axis of a cube; they
    are in arcmin where no unit stands in brackets in the comment.

    Parameters
    ----------
    path : str or path-like
        FITS file, plain or compressed with gzip, bzip2 or xz.
    hdu : int or str, optional
        Which HDU to take.
    pixel_scale : `~astropy.units.Quantity`, optional
        Size of a pixel, for files that do not state it.

    Returns
    -------
    psf : PsfImage
        Centred on its centroid wherever it is used, each image of the sum 1.

    Raises
    ------
    ImageReadError
        If the file cannot be used; says why and what to do.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from clustercnn.io import read_psf
    >>> y, x = np.mgrid[-40:41, -40:41]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'psf.fits'
    ...     header = fits.Header({'CDELT1': 1.0, 'CUNIT1': 'arcsec'})
    ...     fits.writeto(path, np.exp(-(x**2 + y**2) / 18), header)
    ...     psf = read_psf(path)
    >>> psf.pixel_scale, psf.fwhm.round(2)
    (<Quantity 1. arcsec>, <Quantity 7.04 arcsec>)
    """
    given = check_angle('pixel_scale', pixel_scale, optional=True)
    notes = []
    planes, n_unused = open_hdus(path, lambda hdus: _collect(path, hdus, hdu, given, notes))
    if n_unused:
        notes.append(f'{n_unused} further images are not used: {_why_unused(planes)}')
    planes.sort(key=lambda plane: plane.angle or 0)
    angles = [plane.angle or 0.0 for plane in planes]
    if len(planes) == 1 and angles[0]:
        notes.append(f'the image is that of {angles[0]:g} arcmin off axis; it is used everywhere')
    psf = PsfImage(
        images=_stacked([plane.data for plane in planes]),
        pixel_scale=planes[0].scale,
        off_axis=angles * u.arcmin,
        meta={'path': str(path)},
    )
    for plane, width in zip(planes, psf.widths.value, strict=True):
        _check_size(path, plane, width)
        notes += _doubts(plane, width)
    for note in notes:
        warnings.warn(f'{path}: {note}', DataQualityWarning, stacklevel=2)
    return psf.replace(meta={'path': str(path), 'notes': tuple(notes)})


def _why_unused(planes):
    if planes[0].angle is None:
        return 'no off-axis angle is stated (THETA, OFFAXIS or the name of the extension)'
    return 'their off-axis angle is not stated, or that of an image before'


def _collect(path, hdus, wanted, given, notes):
    """
    Return the images to use and how many there are beside them.
    """
    planes, seen, n_unused = [], [], 0
    for number, item in hdus:
        header = item.header
        axes = [header.get(f'NAXIS{axis + 1}', 0) for axis in range(int(header.get('NAXIS', 0)))]
        kind = 'image' if item.is_image else 'table'
        seen.append(f'HDU {number} {kind} {" x ".join(map(str, axes)) or "empty"}')
        if not is_wanted(wanted, number, item):
            continue
        long_axes = [n for n in axes if n > 1]
        if not item.is_image or 0 in axes or len(long_axes) not in (2, 3):
            continue
        where = f'HDU {number}'
        _check_claim(path, where, long_axes)
        if planes and planes[0].angle is None:
            # what comes after an image without an angle can only be counted
            n_unused += 1 if len(long_axes) == 2 else long_axes[2]
            continue
        data = np.asarray(item.data)
        data = data.reshape([n for n in data.shape if n > 1])
        scale = given if given is not None else _scale_of(path, where, header, notes)
        for name, image, angle in _planes_of(path, where, header, data):
            used = {plane.angle for plane in planes}
            if planes and (angle is None or angle in used or None in used):
                n_unused += 1
                continue
            if planes and not np.isclose(scale.value, planes[0].scale.value, rtol=1e-3):
                reason = (
                    f'{name}: pixels of {scale:.4g}, but {planes[0].scale:.4g} in '
                    f'{planes[0].where}; expected the same in all images, choose one with hdu='
                )
                raise ImageReadError(path, reason)
            planes.append(_Plane(_checked(path, name, image), name, scale, angle))
    if planes:
        return planes, n_unused
    listing = '; '.join(seen[:6]) + ('; ...' if len(seen) > 6 else '')
    chosen = '' if wanted is None else f' in HDU {wanted!r}'
    reason = f'has no image{chosen} to take for a PSF; there are: {listing}'
    if any(' table ' in text for text in seen):
        reason += (
            '. Tables, such as those of encircled energy, are not images: give a width instead'
        )
    raise ImageReadError(path, reason)


def _check_claim(path, where, axes):
    if float(axes[0]) * float(axes[1]) > _MOST_PIXELS or (len(axes) > 2 and axes[2] > _MOST_PLANES):
        reason = (
            f'{where}: {" x ".join(map(str, axes))} pixels; expected at most 4096 x 4096 and '
            f'{_MOST_PLANES} planes, cut the PSF out of it'
        )
        raise ImageReadError(path, reason)


def _planes_of(path, where, header, data):
    """
    List the images of an HDU with their names and angles.
    """
    if data.ndim == 2:
        return [(where, data, _angle_of(path, where, header))]
    angles = _axis_angles(header, len(data))
    if angles[0] is not None and not (np.isfinite(angles).all() and min(angles) >= 0):
        reason = (
            f'{where}: CRVAL3, CRPIX3 and CDELT3 make off-axis angles from {min(angles):g} arcmin; '
            f'expected 0 or more, correct the keywords'
        )
        raise ImageReadError(path, reason)
    return [
        (f'{where} plane {number}', image, angle)
        for number, (image, angle) in enumerate(zip(data, angles, strict=True))
    ]


def _axis_angles(header, n_planes):
    """
    Return the angles along the third axis of a cube in arcmin, or None for each.
    """
    name = str(header.get('CTYPE3', '')).strip().upper()
    is_angle = name.startswith(('THETA', 'OFFAX', 'OFF_AX', 'OFF-AX'))
    unit = _unit_of_text(str(header.get('CUNIT3', 'arcmin')))
    if not is_angle or unit is None or 'CDELT3' not in header:
        return [None] * n_planes
    first, step = float(header.get('CRVAL3', 0)), float(header['CDELT3'])
    places = np.arange(n_planes) + 1 - float(header.get('CRPIX3', 1))
    angles = ((first + step * places) * unit).to_value(u.arcmin)
    return [round(float(angle), 6) for angle in angles]


def _angle_of(path, where, header):
    """
    Return the off-axis angle that a header states in arcmin, or None.
    """
    for word in _ANGLE_WORDS:
        if word in header:
            value = header[word]
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value < _LARGEST_ANGLE
            ):
                reason = (
                    f'{where}: {word} = {value!r}; expected an off-axis angle of 0 or more, '
                    f'correct or delete the keyword'
                )
                raise ImageReadError(path, reason)
            unit = _unit_in_comment(header, word) or u.arcmin
            return round((value * unit).to_value(u.arcmin), 6)
    texts = [str(header.get('EXTNAME', ''))]
    texts += [str(header[word]) for word in header if re.fullmatch(r'CBD\d{5}', word)]
    for text in texts:
        found = _ANGLE_IN_NAME.search(text)
        if found:
            try:
                value = float(found[1])
            except ValueError:
                continue
            unit = u.Unit((found[2] or 'arcmin').lower())
            return round((value * unit).to_value(u.arcmin), 6)
    return None


def _unit_of_text(text):
    """
    Return an angular unit, or None if a text is none.
    """
    words = {'degree': 'deg', 'degrees': 'deg', 'arcseconds': 'arcsec', 'arcminutes': 'arcmin'}
    text = text.strip().lower()
    try:
        unit = u.Unit(words.get(text, text))
    except (TypeError, ValueError):
        return None
    return unit if unit.is_equivalent(u.deg) else None


def _unit_in_comment(header, word):
    found = re.search(r'\[([A-Za-z]+)', header.comments[word])
    return None if found is None else _unit_of_text(found[1])


def _number(path, where, header, word, default):
    value = header.get(word, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        reason = f'{where}: {word} = {value!r}; expected a number, correct the keyword'
        raise ImageReadError(path, reason)
    return float(value)


def _scale_of(path, where, header, notes):
    """
    Return the size of a pixel.
    """

    def number(word, default):
        return _number(path, where, header, word, default)

    steps, words = None, None
    if any(f'CD{i}_{j}' in header for i in (1, 2) for j in (1, 2)):
        matrix = np.array([[number(f'CD{i}_{j}', 0.0) for j in (1, 2)] for i in (1, 2)])
        steps, words = np.hypot(*matrix), ('CD1_1', 'CD2_2')
    elif 'CDELT1' in header:
        first = number('CDELT1', 0.0)
        steps, words = np.abs([first, number('CDELT2', first)]), ('CDELT1', 'CDELT2')
        # PC may hold the scale, and CDELT be 1
        turned = [[number(f'PC{i}_{j}', float(i == j)) for j in (1, 2)] for i in (1, 2)]
        steps = np.hypot(*(steps[:, None] * turned))
    if steps is not None:
        if not (steps > 0).all():
            reason = (
                f'{where}: {words[0]} and {words[1]} make pixels of {steps[0]:g} x {steps[1]:g}; '
                f'expected more than 0, correct them'
            )
            raise ImageReadError(path, reason)
        if abs(steps[0] / steps[1] - 1) > 0.01:
            reason = (
                f'{where}: {words[0]} and {words[1]} make pixels of {steps[0]:g} x {steps[1]:g}; '
                f'expected square ones, resample the image'
            )
            raise ImageReadError(path, reason)
        step = float(np.sqrt(steps.prod()))
        unit = _wcs_unit(path, where, header, words[0], step, notes)
        return u.Quantity(round((step * unit).to_value(u.arcsec), 9), u.arcsec)
    for word in _SCALE_WORDS:
        if word in header:
            step = number(word, 0.0)
            if not step > 0:
                reason = f'{where}: {word} = {step:g}; expected more than 0, correct it'
                raise ImageReadError(path, reason)
            unit = _unit_in_comment(header, word) or u.arcsec
            return u.Quantity(round((step * unit).to_value(u.arcsec), 9), u.arcsec)
    reason = (
        f'{where}: states no pixel scale (CDELT1, CD1_1 and PIXSCALE are absent); expected one in '
        f"deg or arcsec: add CDELT1 with CUNIT1 = 'arcsec', or PIXSCALE in arcsec"
    )
    raise ImageReadError(path, reason)


def _wcs_unit(path, where, header, word, step, notes):
    """
    Return the unit of the pixel grid.
    """
    text = str(header.get('CUNIT1', '')).strip()
    if text:
        unit = _unit_of_text(text)
        if unit is None:
            reason = (
                f'{where}: CUNIT1 = {text!r}; expected an angle, deg or arcsec: give the scale on '
                f'the sky in {word} and CUNIT1'
            )
            raise ImageReadError(path, reason)
        return unit
    if str(header.get('CTYPE1', '')).split('-')[0].strip().upper() in _CELESTIAL:
        return u.deg
    unit = _unit_in_comment(header, word) if word in header else None
    if unit is not None:
        return unit
    if step <= _SMALL_STEP:
        notes.append(f'{where}: {word} = {step:g} without CUNIT1 was taken to be in deg')
        return u.deg
    reason = (
        f'{where}: {word} = {step:g} without CUNIT1; expected a unit, add '
        f"CUNIT1 = 'arcsec' or 'deg'"
    )
    raise ImageReadError(path, reason)


def _checked(path, where, data):
    """
    Return the values of an image, or refuse those that no PSF has.
    """
    if data.dtype.kind not in 'iuf':
        raise ImageReadError(path, f'{where}: holds {data.dtype} values, expected numbers')
    data = data.astype(np.float64)
    for wrong, words, remedy in (
        (~np.isfinite(data), 'values that are not finite', 'set them to 0 or take another file'),
        (data < 0, 'negative values', 'is a background subtracted? Set them to 0'),
    ):
        if wrong.any():
            reason = (
                f'{where}: {int(wrong.sum())} {words}, the first {first_wrong(data, wrong)}; '
                f'expected a PSF of 0 and above, {remedy}'
            )
            raise ImageReadError(path, reason)
    if not data.any():
        raise ImageReadError(path, f'{where}: every pixel is zero; expected the image of a PSF')
    return data


def _stacked(images):
    """
    Put images of different sizes into one array, with zeros round the smaller ones.
    """
    ny, nx = np.max([image.shape for image in images], axis=0)
    return np.stack(
        [np.pad(image, ((0, ny - len(image)), (0, nx - image.shape[1]))) for image in images]
    )


def _check_size(path, plane, width):
    """
    Refuse an image that does not show the whole PSF.
    """
    ny, nx = plane.data.shape
    scale = plane.scale.value
    if min(ny, nx) * scale < _LEAST_WIDTHS * width:
        reason = (
            f'{plane.where}: {nx} x {ny} pixels of {scale:.3g} arcsec, but the PSF is {width:.3g} '
            f'arcsec wide (FWHM); expected at least {_LEAST_WIDTHS} widths from side to side, '
            f'make a larger image'
        )
        raise ImageReadError(path, reason)


def _doubts(plane, width):
    """
    List what deserves a look although the image can be used.
    """
    data = plane.data
    rim = np.concatenate([data[0], data[-1], data[1:-1, 0], data[1:-1, -1]]).mean() / data.max()
    doubts = []
    if rim > _BRIGHT_RIM:
        doubts.append(
            f'{plane.where}: the rim has {rim:.0%} of the largest value: the image is cut off, or '
            f'has a background'
        )
    if width < 2 * plane.scale.value:
        doubts.append(
            f'{plane.where}: the PSF is {width / plane.scale.value:.2g} pixels wide (FWHM); its '
            f'shape within a pixel is not known'
        )
    return doubts
