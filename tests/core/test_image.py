# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.wcs import WCS

from clustercnn import XrayImage
from clustercnn.testing import tiny_image, tiny_wcs


def test_cut_keeps_the_sky_in_place():
    image = tiny_image()
    part = image[10:40, 20:60]
    assert part.shape == (30, 40)
    whole, cut = image.pixel_to_sky(25, 33), part.pixel_to_sky(5, 23)
    assert whole.separation(cut) < 1e-6 * u.arcsec
    np.testing.assert_array_equal(part.exposure, image.exposure[10:40, 20:60])


def test_pixels_and_sky_are_inverse():
    image = tiny_image()
    x, y = image.sky_to_pixel(image.pixel_to_sky([3.25, 60.0], [7.5, 1.0]))
    np.testing.assert_allclose(x, [3.25, 60.0], atol=1e-8)
    np.testing.assert_allclose(y, [7.5, 1.0], atol=1e-8)


def test_masked_pixels_have_no_counts():
    counts = np.ones((5, 5))
    counts[2, 3] = np.nan
    mask = np.isnan(counts)
    image = XrayImage(counts=counts, wcs=tiny_wcs(shape=(5, 5)), mask=mask)
    assert image.counts[2, 3] == 0
    assert not image.valid[2, 3]
    assert image.valid.sum() == 24


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'counts': np.full((64, 64), np.nan)}, r'not finite, the first at \(x, y\) = \(0, 0\)'),
        ({'counts': np.full((64, 64), -1.0)}, 'counts cannot be negative'),
        ({'counts': np.zeros((0, 4))}, 'at least one pixel'),
        ({'counts': np.zeros(4)}, 'must have 2 dimensions'),
        ({'exposure': np.ones((3, 3))}, r"'exposure' must have shape \(64, 64\)"),
        ({'exposure': np.full((64, 64), np.nan)}, "'exposure' must be finite"),
        ({'background': np.full((64, 64), -1.0)}, "'background' must be finite"),
        ({'exposure_unit': u.m}, "'exposure_unit' must be one of"),
        ({'wcs': WCS(naxis=2)}, 'celestial'),
        ({'energy_band': (2 * u.keV, 1 * u.keV)}, 'two rising energies'),
        ({'psf_fwhm': -1 * u.arcsec}, "'psf_fwhm' must be finite and above 0"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_image().replace(**changes)


def test_bare_numbers_are_no_angles():
    with pytest.raises(TypeError, match='an angle with a unit'):
        tiny_image().replace(psf_fwhm=8)


@pytest.mark.parametrize('item', [3, np.s_[1], np.s_[::2, :], np.s_[..., 0]])
def test_images_are_cut_with_two_slices_only(item):
    with pytest.raises(TypeError, match='two plain slices'):
        tiny_image()[item]


def test_big_endian_data_become_native():
    image = tiny_image().replace(counts=np.ones((64, 64), '>i4'))
    assert image.counts.dtype.isnative
    assert image.counts.dtype == np.float32


def test_fk5_and_galactic_images_give_icrs():
    wcs = tiny_wcs()
    wcs.wcs.ctype = ['GLON-TAN', 'GLAT-TAN']
    wcs.wcs.set()
    assert tiny_image().replace(wcs=wcs).pixel_to_sky(1, 1).frame.name == 'icrs'


def test_binned_images_keep_counts_sky_and_what_was_seen():
    rng = np.random.default_rng(1)
    mask = rng.random((50, 61)) < 0.1
    mask[:3, :3] = True
    image = tiny_image(shape=(50, 61)).replace(
        counts=rng.poisson(2.0, (50, 61)),
        exposure=np.full((50, 61), 100.0),
        background=np.full((50, 61), 0.5),
        mask=mask,
    )
    binned = image.binned(3)
    assert binned.shape == (17, 21) and binned.meta['binned'] == 3
    assert binned.n_counts == image.n_counts
    assert binned.background.sum() == pytest.approx(0.5 * (~mask).sum())
    # nine pixels of exposure for each that is binned
    assert 9 * binned.exposure.sum() == pytest.approx(100 * (~mask).sum(), rel=1e-6)
    assert binned.mask[0, 0] and binned.mask.sum() == 1
    x, y = binned.sky_to_pixel(image.pixel_to_sky(31.0, 22.0))
    np.testing.assert_allclose([3 * x + 1, 3 * y + 1], [31.0, 22.0], atol=1e-6)
    assert image.binned(1) is image and binned.binned(2).meta['binned'] == 6


def _header_of(spelling):
    """
    Return a header of a turned image of 4 arcsec pixels.
    """
    wcs = tiny_wcs(shape=(50, 61))
    scale, turned = 4 / 3600, np.deg2rad(30)
    matrix = np.array([[-np.cos(turned), np.sin(turned)], [np.sin(turned), np.cos(turned)]])
    if spelling == 'PC':
        wcs.wcs.pc, wcs.wcs.cdelt = matrix, (scale, scale)
        return wcs.to_header()
    header = wcs.to_header()
    for key in [key for key in header if key.startswith(('PC', 'CDELT'))]:
        del header[key]
    if spelling == 'CROTA':
        header.update({'CDELT1': -scale, 'CDELT2': scale, 'CROTA2': 30.0})
        return header
    header.update({f'CD{i + 1}_{j + 1}': scale * matrix[i, j] for i in (0, 1) for j in (0, 1)})
    if spelling == 'SIP':
        header.update({'CTYPE1': 'RA---TAN-SIP', 'CTYPE2': 'DEC--TAN-SIP'})
        header.update({'A_ORDER': 2, 'B_ORDER': 3, 'A_2_0': 1e-3, 'A_1_1': -5e-4, 'B_0_3': 1e-5})
    return header


@pytest.mark.parametrize('spelling', ['PC', 'CD', 'CROTA', 'SIP'])
def test_binned_images_stay_where_they_are_however_the_header_says_it(spelling, recwarn):
    image = tiny_image(shape=(50, 61)).replace(wcs=WCS(_header_of(spelling)))
    binned = image.binned(3)
    assert binned.pixel_scale.value == pytest.approx(12, rel=1e-6)
    for x, y in ((1.0, 1.0), (31.0, 22.0), (58.0, 46.0)):
        there = binned.pixel_to_sky((x - 1) / 3, (y - 1) / 3)
        assert there.separation(image.pixel_to_sky(x, y)).arcsec < 1e-3
        back = binned.sky_to_pixel(image.pixel_to_sky(x, y))
        np.testing.assert_allclose(back, [(x - 1) / 3, (y - 1) / 3], atol=1e-3)
    assert not [warning for warning in recwarn if 'cdelt' in str(warning.message)]


def test_binned_images_without_exposure_hide_what_was_mostly_hidden():
    mask = np.zeros((8, 8), bool)
    mask[0:2, 0] = mask[4, 4] = True
    binned = tiny_image(shape=(8, 8)).replace(exposure=None, mask=mask).binned(2)
    assert binned.mask[0, 0] and binned.mask.sum() == 1


@pytest.mark.parametrize('factor', [0, -1, 1.5, True, 'two'])
def test_only_whole_numbers_of_pixels_become_one(factor):
    with pytest.raises(ValueError, match="'factor' must be a whole number"):
        tiny_image().binned(factor)
