# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A PSF given as an image is what sources are fitted with.
"""

import functools

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from clustercnn import SegmentationFinder, WaveletFinder
from clustercnn.core import PsfImage
from clustercnn.finding import characterise
from clustercnn.finding._psf_image import ImageShape, source_fitter
from clustercnn.io import read_psf
from clustercnn.testing import tiny_image

SIDE = 160
# King profile of 8 arcsec FWHM on pixels of 4 arcsec, as tiny_image has it
CORE = 1.305
FINDERS = [WaveletFinder, SegmentationFinder]
PLACES = ((40.2, 41.4, 300), (118.6, 38.1, 3000), (79.5, 80.0, 800), (36.0, 120.3, 150))


def king(side, centre, core, across=None, turn=0.6):
    """
    Return what square pixels see of a King profile, which may be longer than wide.
    """
    across = core if across is None else across
    fine = (np.arange(3 * side) - 1) / 3
    x, y = fine - centre[0], (fine - centre[1])[:, None]
    along = (x * np.cos(turn) + y * np.sin(turn)) / core
    beside = (y * np.cos(turn) - x * np.sin(turn)) / across
    profile = (1 + along**2 + beside**2) ** -1.5
    return profile.reshape(side, 3, side, 3).sum(axis=(1, 3)) / (9 * 2 * np.pi * core * across)


def double(side, centre, apart=1.8, width=0.8, sides=(0.55, 0.45), slant=0.6):
    """
    Return a PSF of two peaks, its centroid on the centre, as pixels of 4 arcsec see it.
    """
    fine = (np.arange(5 * side) - 2) / 5
    image = 0
    for share, way in zip(sides, (-sides[1], sides[0]), strict=True):
        x, y = centre[0] + 2 * apart * way, centre[1] + 2 * apart * way * slant
        squared = (fine - x) ** 2 + (fine - y)[:, None] ** 2
        image = image + share * np.exp(-0.5 * squared / width**2)
    image = image.reshape(side, 5, side, 5).sum(axis=(1, 3))
    return image / image.sum()


def field(shape, seed, *, background=0.05):
    """
    Return an image of point sources.
    """
    expected = np.full((SIDE, SIDE), background)
    for x, y, counts in PLACES:
        expected += counts * shape(SIDE, (x, y))
    counts = np.random.default_rng([31, seed]).poisson(expected)
    return tiny_image(shape=(SIDE, SIDE)).replace(counts=counts)


@functools.cache
def king_psf():
    """
    Return the image of the King profile that the finders take by default.
    """
    return PsfImage(images=king(661, (330, 330), 4 * CORE), pixel_scale=1 * u.arcsec)


@functools.cache
def double_psf():
    """
    Return the image of a PSF with two peaks, of even size.
    """
    image = double(240, (119.5, 119.5), 1.8 * 4, 0.8 * 4)
    return PsfImage(images=image, pixel_scale=1 * u.arcsec)


def test_light_and_slopes_of_an_image():
    shape = ImageShape(
        [(1.0, double_psf().images[0], tuple(double_psf().centres[0]))], step=0.25, reach=60
    )
    grid = np.arange(-60, 61)
    for shift in (0.0, 0.31):
        image, slope_x, slope_y = shape.image(grid - shift, grid + shift, 1)
        assert image.sum() == pytest.approx(1, abs=1e-3)
        centre = (image * grid).sum(), (image * grid[:, None]).sum()
        np.testing.assert_allclose(centre, (shift, -shift), atol=0.01)
        true = double(121, (60 + shift, 60 - shift))
        np.testing.assert_allclose(image, true, atol=0.01 * true.max())
        step = 1e-4
        for axis, slope in ((0, slope_x), (1, slope_y)):
            move = np.array([step, 0]) if axis == 0 else np.array([0, step])
            ahead, behind = (
                shape.image(grid - shift - sign * move[0], grid + shift - sign * move[1], 1)[0]
                for sign in (1, -1)
            )
            np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), atol=1e-6)


def test_pixels_of_the_psf_coarser_or_much_finer_than_those_of_the_image():
    coarse = double(61, (30, 30), 1.8, 1.2)
    grid = np.arange(-60, 61)
    image = ImageShape([(1.0, coarse, (30, 30))], step=2.0, reach=100).image(grid, grid, 1)[0]
    assert image.sum() == pytest.approx(1, abs=0.01)
    fine = double(601, (300, 300), 36, 16)
    image = ImageShape([(1.0, fine, (300, 300))], step=0.05, reach=14).image(grid, grid, 1)[0]
    np.testing.assert_allclose(image, double(121, (60, 60)), atol=2e-3)


@pytest.mark.parametrize('kind', FINDERS)
def test_a_king_profile_as_an_image_is_what_it_is_without(kind):
    image = field(functools.partial(king, core=CORE), 1)
    expected = kind()(image)
    catalog = kind(psf=king_psf())(image)
    assert len(catalog) == len(expected) >= len(PLACES)
    np.testing.assert_allclose(catalog['x'].value, expected['x'].value, atol=0.15)
    np.testing.assert_allclose(catalog['y'].value, expected['y'].value, atol=0.15)
    np.testing.assert_allclose(catalog['counts'].value, expected['counts'].value, rtol=0.01)
    np.testing.assert_allclose(catalog['det_like'], expected['det_like'], rtol=0.02)
    assert (catalog['ext_like'] < 3).all()
    assert catalog.meta['psf_fwhm_arcsec'] == pytest.approx(8, rel=0.01)
    assert catalog.meta['psf_image'] == 'not from a file'
    assert 'psf_image' not in expected.meta


def check_points(catalog):
    """
    Check that the sources are the points of the field, with their counts.
    """
    # now and then noise stands out by five sigma, whose likelihood is small
    catalog = catalog[np.asarray(catalog['det_like']) > 6]
    assert len(catalog) == len(PLACES)
    assert not catalog.extended().any()
    for x, y, counts in PLACES:
        distance = np.hypot(catalog['x'].value - x, catalog['y'].value - y)
        row = int(np.argmin(distance))
        assert distance[row] < 0.35
        assert abs(catalog['counts'][row].value - counts) < 4 * catalog['counts_err'][row].value


@pytest.mark.parametrize('kind', FINDERS)
def test_point_sources_behind_a_psf_with_two_peaks_are_points(kind):
    for seed in range(2):
        image = field(double, seed)
        check_points(kind(psf=double_psf())(image))
        # each is two for a King profile of the default width
        assert len(kind()(image)) > len(PLACES) + 2


@pytest.mark.parametrize('kind', FINDERS)
def test_point_sources_behind_a_long_psf_are_points(kind):
    long = functools.partial(king, core=2.4, across=1.6)
    image = king(661, (330, 330), 2.4 * 4, across=1.6 * 4)
    psf = PsfImage(images=image, pixel_scale=1 * u.arcsec)
    for seed in range(2):
        image = field(long, seed)
        check_points(kind(psf=psf)(image))
        # a King profile of the default width leaves of them an extended source, or part of one
        wrong = kind()(image)
        assert wrong.extended().any() and wrong['ext_like'].max() > 50


def test_an_extended_source_stays_one_behind_an_image():
    y, x = np.mgrid[:SIDE, :SIDE]
    radius = 5.0
    profile = (1 + ((x - 80) ** 2 + (y - 80) ** 2) / radius**2) ** -1.5
    expected = 0.05 + 900 * profile / profile.sum()
    counts = np.random.default_rng(33).poisson(expected)
    image = tiny_image(shape=(SIDE, SIDE)).replace(counts=counts)
    catalog = WaveletFinder(psf=double_psf())(image)
    assert len(catalog) == 1
    assert catalog.extended().all()
    assert catalog['extent'][0].value == pytest.approx(4 * radius, rel=0.3)


def test_the_image_of_another_angle_is_taken_off_axis():
    images = [king(201, (100, 100), core) for core in (4.0, 8.0)]
    psf = PsfImage(images=images, pixel_scale=1 * u.arcsec, off_axis=[0, 5] * u.arcmin)
    image = tiny_image(shape=(301, 301))
    fitter = source_fitter(image, psf=psf)
    widths = [fitter._bank(fitter._step(150 + distance, 150.0))[2] for distance in (0, 37.5, 75)]
    np.testing.assert_allclose(widths, [1.54, 2.3, 3.07], rtol=0.03)
    # beyond the last angle it is that of the last
    assert fitter._step(290.0, 150.0) == fitter._step(225.0, 150.0)
    grid = np.arange(-30, 31)
    peaks = [fitter._point(150.0 + d, 150.0).image(grid, grid, 1)[0].max() for d in (0, 37.5, 75)]
    assert peaks[0] > peaks[1] > peaks[2]
    one = source_fitter(image, psf=king_psf())
    assert one._step(150.0, 150.0) == one._step(290.0, 20.0) == 0


@pytest.mark.parametrize('kind', FINDERS)
def test_what_is_no_image_of_a_psf_is_refused(kind):
    with pytest.raises(ValueError, match="give 'psf' or 'psf_fwhm', not both"):
        kind(psf=king_psf(), psf_fwhm=8 * u.arcsec)
    with pytest.raises(TypeError, match="'psf' must be a PsfImage"):
        kind(psf='psf.fits')
    with pytest.raises(ValueError, match="'psf' must be narrower than the image"):
        kind(psf=king_psf().replace(pixel_scale=1 * u.deg))(tiny_image())


def test_characterise_takes_an_image_or_a_width():
    image = tiny_image()
    arguments = image, np.array([31.5]), np.array([31.5]), np.array([9.0]), np.full((64, 64), 0.1)
    one = characterise(*arguments, psf_fwhm=8.0)
    other = characterise(*arguments, psf=king_psf())
    assert other['counts'][0].value == pytest.approx(one['counts'][0].value, rel=0.05)
    with pytest.raises(TypeError, match="'psf_fwhm' or 'psf' must be given"):
        characterise(*arguments)


def test_a_file_is_what_its_image_is(tmp_path):
    header = fits.Header({'CDELT1': 1.0, 'CDELT2': 1.0, 'CUNIT1': 'arcsec', 'CUNIT2': 'arcsec'})
    path = tmp_path / 'psf.fits'
    fits.writeto(path, (1e6 * double_psf().images[0]).astype(np.float32), header)
    image = field(double, 5)
    catalog = WaveletFinder(psf=read_psf(path))(image)
    assert catalog.meta['psf_image'] == str(path)
    expected = WaveletFinder(psf=double_psf())(image)
    np.testing.assert_allclose(catalog['counts'].value, expected['counts'].value, rtol=1e-4)
