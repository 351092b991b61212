# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
X-ray images that we write come back as they were.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from clustercnn import XrayImage
from clustercnn.core import CandidateFlag
from clustercnn.exceptions import ImageReadError
from clustercnn.io import read_image
from clustercnn.testing import assert_identical, tiny_image

MASK = np.zeros((64, 64), bool)
MASK[3:5, 7] = True


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'exposure': None, 'background': None},
        {'exposure_unit': u.cm**2 * u.s},
        {'background': np.full((64, 64), 0.25)},
        {'mask': MASK},
        {'psf_fwhm': 8 * u.arcsec, 'energy_band': (0.5 * u.keV, 2 * u.keV)},
        {'mission': 'XMM', 'instrument': 'EMOS2'},
        # counts that are not whole, as flux images are scaled to
        {'counts': np.full((64, 64), 0.3), 'flags': int(CandidateFlag.FLUX_IMAGE)},
        {'counts': np.zeros((64, 64))},
    ],
    ids=['plain', 'bare', 'area', 'background', 'mask', 'numbers', 'words', 'flux', 'zero'],
)
@pytest.mark.parametrize('suffix', ['.fits', '.fits.gz'])
def test_written_and_read_is_the_same(changes, suffix, tmp_path):
    image = tiny_image().replace(**changes)
    path = tmp_path / f'image{suffix}'
    image.write(path)
    again = XrayImage.read(path)
    corners = np.array([0, 63]), np.array([0, 63])
    apart = again.pixel_to_sky(*corners).separation(image.pixel_to_sky(*corners))
    assert apart.max() < 1e-6 * u.arcsec
    assert_identical(again.replace(wcs=image.wcs, meta={}), image.replace(meta={}))
    with pytest.raises(FileExistsError):
        image.write(path)
    image.write(path, overwrite=True)


def test_what_is_given_goes_before_what_is_in_the_file(tmp_path):
    image = tiny_image()
    image.write(tmp_path / 'image.fits')
    fits.writeto(tmp_path / 'e.fits', np.full((64, 64), 5e3), image.wcs.to_header())
    again = read_image(tmp_path / 'image.fits', exposure=tmp_path / 'e.fits', mission='ROSAT')
    assert again.exposure.max() == 5e3
    assert again.mission == 'ROSAT'


def test_a_later_version_is_refused(tmp_path):
    path = tmp_path / 'image.fits'
    tiny_image().write(path)
    fits.setval(path, 'CCNNVERS', value=9)
    with pytest.raises(ImageReadError, match='has version 9 of the format, expected 1'):
        XrayImage.read(path)


def test_a_truncated_one_is_refused(tmp_path):
    path = tmp_path / 'image.fits'
    tiny_image().write(path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ImageReadError, match='truncated|damaged'):
        XrayImage.read(path)


@pytest.mark.parametrize('number', [0, 1])
def test_damage_is_found(tmp_path, number):
    path = tmp_path / 'image.fits'
    tiny_image().write(path)
    with fits.open(path) as hdus:
        start = hdus[number].fileinfo()['datLoc']
    content = bytearray(path.read_bytes())
    content[start + 40 : start + 44] = np.array(3e4, '>f4').tobytes()
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=f'HDU {number}: DATASUM does not fit'):
        read_image(path)
