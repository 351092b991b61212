# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
X-ray images as we write them: counts with all that is known beside them in one FITS file.
"""

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from clustercnn._utils.files import atomic_path
from clustercnn.core import XrayImage
from clustercnn.exceptions import ImageReadError
from clustercnn.io.planes import has_true_sum, open_hdus

__all__ = ['is_ours', 'read_written', 'write_image']

_KIND = 'clustercnn image'
_VERSION = 1
_MAPS = ('exposure', 'background', 'mask')


def write_image(image, path, *, overwrite=False):
    """
    Write an X-ray image with its maps.

    Parameters
    ----------
    image : XrayImage
        The image.
    path : str or path-like
        The file, FITS: counts first, the maps that there are in extensions of their names.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from clustercnn import XrayImage
    >>> from clustercnn.testing import tiny_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tiny_image().write(Path(folder) / 'image.fits')
    ...     XrayImage.read(Path(folder) / 'image.fits').exposure.max()
    np.float32(10000.0)
    """
    sky = image.wcs.to_header(relax=True)
    # tables of distortions are not in a header
    if image.wcs.has_distortion:
        msg = f'{path}: an image whose WCS has distortions cannot be written; resample it first'
        raise ValueError(msg)
    header = sky.copy()
    header['CCNNKIND'] = (_KIND, 'by clustercnn')
    header['CCNNVERS'] = (_VERSION, 'version of this format')
    header['BUNIT'] = 'count'
    for name, value in (('TELESCOP', image.mission), ('INSTRUME', image.instrument)):
        if not value.isascii():
            msg = f'{path}: headers of FITS hold plain ASCII, got {value!r}'
            raise ValueError(msg)
        header[name] = value
    header['CCNNFLAG'] = (image.flags, 'bits of CandidateFlag of every source')
    if image.psf_fwhm is not None:
        header['PSFFWHM'] = (image.psf_fwhm.value, '[arcsec] on axis')
    if image.energy_band is not None:
        header['E_MIN'] = (image.energy_band[0].value, '[keV]')
        header['E_MAX'] = (image.energy_band[1].value, '[keV]')
    hdus = fits.HDUList([fits.PrimaryHDU(image.counts, header)])
    units = {'exposure': image.exposure_unit.to_string('fits'), 'background': 'count', 'mask': ''}
    for name in _MAPS:
        values = getattr(image, name)
        if values is None or (name == 'mask' and not values.any()):
            continue
        values = values.astype(np.uint8) if name == 'mask' else values
        hdu = fits.ImageHDU(values, sky.copy(), name=name.upper())
        if units[name]:
            hdu.header['BUNIT'] = units[name]
        hdus.append(hdu)
    with atomic_path(path, overwrite=overwrite) as temporary:
        hdus.writeto(temporary, checksum=True)


def is_ours(header):
    """
    Say whether an image was written by `write_image`.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header of the counts.

    Returns
    -------
    ours : bool
        Then `read_written` gives back everything.
    """
    return header.get('CCNNKIND') == _KIND


def read_written(path):
    """
    Read what `write_image` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    image : XrayImage
        As it was, but for the provenance: its path.

    Raises
    ------
    ImageReadError
        If the file is damaged or of a later version.
    """
    return open_hdus(path, lambda hdus: _image_of(path, hdus))


def _image_of(path, hdus):
    header, planes = None, {}
    for number, hdu in hdus:
        if not has_true_sum(hdu):
            reason = f'HDU {number}: DATASUM does not fit the content; fetch or make it again'
            raise ImageReadError(path, reason)
        if number == 0:
            header = hdu.header
            if header.get('CCNNVERS') != _VERSION:
                version = header.get('CCNNVERS')
                reason = f'has version {version} of the format, expected {_VERSION}; update'
                raise ImageReadError(path, f'{reason} clustercnn')
            planes['counts'] = hdu.data
        elif hdu.name.lower() in _MAPS:
            planes[hdu.name.lower()] = hdu.data
            if hdu.name == 'EXPOSURE':
                planes['exposure_unit'] = u.Unit(hdu.header['BUNIT'])
    psf_fwhm, energies = header.get('PSFFWHM'), (header.get('E_MIN'), header.get('E_MAX'))
    return XrayImage(
        wcs=WCS(header, naxis=2),
        psf_fwhm=None if psf_fwhm is None else psf_fwhm * u.arcsec,
        energy_band=None if None in energies else tuple(edge * u.keV for edge in energies),
        mission=header['TELESCOP'],
        instrument=header['INSTRUME'],
        flags=header['CCNNFLAG'],
        meta={'path': str(path), 'hdu': 0, 'notes': ()},
        **planes,
    )
