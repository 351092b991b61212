# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Pixels much finer than the PSF, wings beyond the stamps, and what is refused or warned of.
"""

import astropy.units as u
import numpy as np
import pytest

from clustercnn import SegmentationFinder, WaveletFinder, XrayImage
from clustercnn.exceptions import DataQualityWarning
from clustercnn.finding import characterise, estimate_background
from clustercnn.finding._profiles import king_share, king_wings, tail_likelihood
from clustercnn.testing import tiny_image, tiny_wcs

# of XMM-Newton: core radius in arcsec for a width of 7.7
CORE = 7.7 / 2 / np.sqrt(2 ** (1 / 1.5) - 1)
FINDERS = {'wavelet': WaveletFinder, 'segmentation': SegmentationFinder}


def photons_of_a_point(number, rng, *, end=300.0):
    """
    Return offsets in arcsec of photons behind a King profile of slope 1.5.
    """
    part = rng.random(number) * (1 - 1 / np.hypot(1, end / CORE))
    radius = CORE * np.sqrt(1 / (1 - part) ** 2 - 1)
    angle = rng.uniform(0, 2 * np.pi, number)
    return radius * np.cos(angle), radius * np.sin(angle)


def field(pixel_scale, photons, rng, *, side=800.0, centre=0.0):
    """
    Return an image with background and a source, whose middle is off by ``centre`` arcsec.
    """
    n_pixels = int(side / pixel_scale)
    edges = (np.arange(n_pixels + 1) - n_pixels / 2) * pixel_scale
    x, y = photons
    counts, _, _ = np.histogram2d(y + centre, x + centre, bins=[edges, edges])
    counts += rng.poisson(0.05 * (pixel_scale / 4) ** 2, counts.shape)
    return XrayImage(
        counts=counts,
        wcs=tiny_wcs(shape=(n_pixels, n_pixels), pixel_scale=pixel_scale),
        exposure=np.full(counts.shape, 1e4),
        psf_fwhm=7.7 * u.arcsec,
    )


@pytest.mark.parametrize('pixel_scale', [1.0, 2.0, 4.0])
def test_a_bright_point_is_one_source_in_pixels_of_any_size(pixel_scale):
    rng = np.random.default_rng(1)
    photons = photons_of_a_point(100_000, rng)
    catalog = WaveletFinder()(field(pixel_scale, photons, rng, centre=10.0))
    assert len(catalog) == 1
    assert catalog['extent'][0] == 0 * u.arcsec
    assert catalog['counts'][0].value == pytest.approx(1e5, rel=0.02)
    # positions are those of the pixels that were given
    middle = (800 / pixel_scale - 1) / 2 + 10 / pixel_scale
    place = [catalog[name][0].value for name in ('x', 'y')]
    np.testing.assert_allclose(place, middle, atol=0.5 / pixel_scale)


@pytest.mark.parametrize('pixel_scale', [1.0, 2.0, 4.0])
def test_a_wide_cluster_keeps_its_counts_in_pixels_of_any_size(pixel_scale):
    rng = np.random.default_rng(2)
    part = rng.random(4000) * (1 - 1 / np.hypot(1, 12))
    radius, angle = 40 * np.sqrt(1 / (1 - part) ** 2 - 1), rng.uniform(0, 2 * np.pi, 4000)
    spread = photons_of_a_point(4000, rng)
    photons = radius * np.cos(angle) + spread[0], radius * np.sin(angle) + spread[1]
    catalog = WaveletFinder()(field(pixel_scale, photons, rng, side=1200.0))
    assert len(catalog) == 1
    assert catalog['extent'][0].value == pytest.approx(40, rel=0.15)
    assert catalog['counts'][0].value == pytest.approx(4000, rel=0.06)


@pytest.mark.parametrize('kind', list(FINDERS))
def test_a_catalogue_remembers_that_the_image_was_binned(kind):
    rng = np.random.default_rng(3)
    image = field(1.0, photons_of_a_point(300, rng), rng, side=300.0)
    catalog = FINDERS[kind]()(image)
    assert catalog.meta['binned'] == 3
    there = image.pixel_to_sky(catalog['x'].value, catalog['y'].value)
    assert (there.separation(catalog.positions) < 0.01 * u.arcsec).all()
    # what a user has binned is no business of the finder
    coarse = FINDERS[kind]()(image.binned(4))
    assert 'binned' not in coarse.meta
    assert coarse['x'][0].value == pytest.approx((catalog['x'][0].value - 1.5) / 4, abs=0.3)


def test_king_profiles_are_whole():
    y, x = np.mgrid[-400:401, -400:401]
    wings = king_wings(x**2 + y**2, 5.0, 1.5, 80.0, 300.0)
    assert wings.sum() == pytest.approx(1 - king_share(80.0, 5.0, 1.5, 300.0), rel=1e-3)
    assert king_share(81.0, 5.0, 1.5, 80.0) == 1


def test_brighter_is_never_less_likely_to_be_there():
    gain = np.arange(900.0, 1500.0, 0.25)
    for n_parameters in (1, 3, 4):
        likelihood = tail_likelihood(gain, n_parameters)
        step = np.diff(likelihood)
        assert (step > 0.11).all() and (step < 0.14).all()
    # Q(2, x) = (1 + x) exp(-x)
    assert tail_likelihood(3000.0, 4) == pytest.approx(1500 - np.log(1501), rel=1e-12)


def test_a_significant_segment_between_its_photons_is_kept():
    counts = np.zeros((96, 96))
    counts[[48, 48, 47, 49], [47, 49, 48, 48]] = 1
    image = tiny_image(shape=(96, 96)).replace(
        counts=counts, background=np.full(counts.shape, 0.02), exposure=np.ones(counts.shape)
    )
    with pytest.warns(DataQualityWarning, match='background map'):
        catalog = SegmentationFinder(threshold=3.93)(image)
    assert len(catalog) == 1 and not catalog.meta['dropped']
    assert abs(catalog['x'][0].value - 48) < 1 and abs(catalog['y'][0].value - 48) < 1


WRONG_PLACES = {
    'one too few': ({'significance': [9.0]}, 'one length'),
    'beyond the edge': ({'x': [31.5, 64.0]}, r"'x' must be on the image.*got 64.0 in row 1"),
    'before the edge': ({'y': [-1.0, 31.5]}, r"'y' must be on the image.*got -1.0 in row 0"),
    'not a number': ({'x': [np.nan, 3.0]}, 'got nan in row 0'),
    'significance': ({'significance': [9.0, np.inf]}, "'significance' must be finite"),
}


@pytest.mark.parametrize('kind', list(WRONG_PLACES))
def test_places_that_cannot_be_characterised_are_refused(kind):
    changes, message = WRONG_PLACES[kind]
    image = tiny_image()
    background = estimate_background(image, psf_pixels=2.0)
    columns = {'x': [31.5, 3.0], 'y': [31.5, 31.5], 'significance': [9.0, 5.0]} | changes
    with pytest.raises(ValueError, match=message):
        characterise(image, background=background, psf_fwhm=8.0, **columns)


@pytest.mark.parametrize('background', [np.ones((3, 3)), np.full((64, 64), np.nan)])
def test_a_background_of_another_image_is_refused(background):
    with pytest.raises(ValueError, match="'background' must be finite"):
        characterise(tiny_image(), [31.5], [31.5], [9.0], background, psf_fwhm=8.0)


@pytest.mark.parametrize('kind', list(FINDERS))
def test_the_width_of_the_mission_is_that_of_an_image_in_memory(kind):
    image = tiny_image(shape=(96, 96), source_counts=300).replace(psf_fwhm=None)
    for name, width in (('rosat', 22.4), ('XMM-Newton', 7.7), ('generic', np.nan)):
        catalog = FINDERS[kind]()(image.replace(mission=name))
        assert catalog['psf_fwhm'][0].value == pytest.approx(width, rel=0.01, nan_ok=True)


def test_pixels_that_are_not_square_are_warned_of():
    wcs = tiny_wcs()
    wcs.wcs.cdelt = wcs.wcs.cdelt * [1, 3]
    with pytest.warns(DataQualityWarning, match='4 x 12 arcsec are not square'):
        WaveletFinder()(tiny_image().replace(wcs=wcs))


def test_an_image_in_which_nothing_can_be_looked_for_is_warned_of():
    image = tiny_image(shape=(20, 20)).replace(psf_fwhm=40 * u.arcsec)
    with pytest.warns(DataQualityWarning, match='nothing was looked for'):
        assert len(WaveletFinder()(image)) == 0


@pytest.mark.parametrize('value', [0, 0.5, 2.9, True, 'two', np.nan])
def test_numbers_of_scales_and_pixels_are_whole(value):
    with pytest.raises(ValueError, match='whole number'):
        WaveletFinder(n_scales=value)
    with pytest.raises(ValueError, match='whole number'):
        SegmentationFinder(n_pixels=value)
