# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The images of a simulated field as files.
"""

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from clustercnn._utils.files import atomic_path
from clustercnn.simulate._colours import BANDS

__all__ = ['optical_file', 'read_optical', 'write_image', 'write_optical']

# what the headers of optical images hold beside the WCS
_KEYWORDS = ('SURVEY', 'BANDPASS', 'MAGZERO')


def optical_file(name):
    """
    Return the name of the file of an optical image.

    Parameters
    ----------
    name : str
        ``'optical'`` for a plate or a frame in one band, else the band.

    Returns
    -------
    file : str
        Name in the folder of the field.
    """
    return 'optical.fits' if name == 'optical' else f'optical_{name}.fits'


def write_image(path, data, header, unit):
    """
    Write an image, counts and densities as whole numbers.

    Parameters
    ----------
    path : `pathlib.Path`
        File; replaced if it exists.
    data : (ny, nx) `~numpy.ndarray`
        The image.
    header : `~astropy.io.fits.Header`
        Its header.
    unit : str
        Unit of the values.
    """
    # whole numbers compress and read everywhere; everything else stays float32
    whole = unit != 's' and np.array_equal(data, np.rint(data)) and np.abs(data).max() < 2**31
    hdu = fits.PrimaryHDU(data.astype(np.int32) if whole else data, header)
    hdu.header['BUNIT'] = unit
    with atomic_path(path, overwrite=True) as temporary:
        hdu.writeto(temporary)


def write_optical(folder, images):
    """
    Write the optical images of a field, and take away those that it does not have.

    Parameters
    ----------
    folder : `pathlib.Path`
        Of the field.
    images : dict of str to `~astropy.nddata.CCDData`
        By name, as for `optical_file`.
    """
    # by name: the folder may hold files of others
    for name in {'optical', *BANDS} - set(images):
        (folder / optical_file(name)).unlink(missing_ok=True)
    for name, image in images.items():
        header = image.header.copy()
        header.update(image.wcs.to_header())
        write_image(folder / optical_file(name), image.data, header, str(image.unit))


def read_optical(folder, name):
    """
    Read an optical image of a field.

    Parameters
    ----------
    folder : `pathlib.Path`
        Of the field.
    name : str
        As for `optical_file`.

    Returns
    -------
    image : `~astropy.nddata.CCDData`
        As it was written.
    """
    data, header = fits.getdata(folder / optical_file(name), header=True)
    # without the WCS, which the image has as an object
    meta = fits.Header([card for card in header.cards if card.keyword in _KEYWORDS])
    unit = u.Unit(header['BUNIT'])
    return CCDData(data.astype(np.float32), unit=unit, wcs=WCS(header), meta=meta)
