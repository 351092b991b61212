# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Headers that say in other words where an image lies, or how its pixels are stored.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from clustercnn.exceptions import ImageReadError
from clustercnn.io import read_image, read_optical
from clustercnn.testing import tiny_wcs


def counts_of(seed=1):
    return np.random.default_rng(seed).poisson(1.0, (64, 64)).astype(np.float32)


def test_world_coordinates_under_another_key(tmp_path):
    sky = tiny_wcs().to_header()
    physical = fits.Header({'CTYPE1P': 'DETX', 'CTYPE2P': 'DETY', 'CRVAL1P': 1.0, 'CRVAL2P': 1.0})
    detector = fits.PrimaryHDU(counts_of(seed=2), physical)
    # an image without celestial coordinates is passed over, as one without any is
    fits.HDUList([detector, fits.ImageHDU(counts_of(), sky)]).writeto(tmp_path / 'a.fits')
    np.testing.assert_array_equal(read_image(tmp_path / 'a.fits').counts, counts_of())
    with pytest.raises(ImageReadError, match='has no celestial WCS'):
        detector.writeto(tmp_path / 'b.fits')
        read_image(tmp_path / 'b.fits')
    under_a = tiny_wcs().to_header(key='A')
    fits.PrimaryHDU(counts_of(), under_a).writeto(tmp_path / 'c.fits')
    image = read_image(tmp_path / 'c.fits')
    apart = image.pixel_to_sky(3, 5).separation(read_image(tmp_path / 'a.fits').pixel_to_sky(3, 5))
    assert apart < 1e-6 * u.arcsec


def test_asinh_pixels_become_fluxes(tmp_path):
    flux = np.random.default_rng(1).normal(10, 300, (64, 64))
    header = tiny_wcs().to_header()
    header['BSOFTEN'], header['BOFFSET'] = 40.0, 2.0
    stored = 2.5 * np.log10(np.e) * np.arcsinh((flux - 2.0) / 80.0)
    fits.writeto(tmp_path / 'stack.fits', stored.astype('f4'), header)
    np.testing.assert_allclose(read_optical(tmp_path / 'stack.fits').data, flux, atol=1e-2)
