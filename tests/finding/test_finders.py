# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Finders on noise, on simulated sources and on real fields.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from scipy import ndimage

from clustercnn import SegmentationFinder, WaveletFinder
from clustercnn.exceptions import DataQualityWarning
from clustercnn.finding._fitter import SourceFitter
from clustercnn.finding._starlet import (
    poisson_sigma,
    poisson_sigma_at,
    scaling_kernel,
    smooth,
    starlet_transform,
)
from clustercnn.io import read_image
from clustercnn.testing import tiny_image

FIELDS = {
    'a1835': (
        'xmm_a1835_mos2/P0098010101M2U009IMAGE_3000.FTZ',
        'xmm_a1835_mos2/P0098010101M2U009EXPMAP3000.FTZ',
        (210.2586, 2.8786),
    ),
    'efeds': (
        'erosita_efeds_patch/img_0600_1100.fits.gz',
        'erosita_efeds_patch/expmap_norm_0600_1100.fits.gz',
        (140.33848, 3.2906),
    ),
}


def test_starlet_planes_add_up_to_the_image():
    image = np.random.default_rng(1).poisson(2.0, (50, 61)).astype(float)
    np.testing.assert_allclose(starlet_transform(image, 4).sum(axis=0), image, atol=1e-12)


def test_scaling_kernel_is_normalised_and_symmetric():
    for scale in range(5):
        kernel = scaling_kernel(scale)
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(kernel, kernel[::-1])


def test_smoothing_agrees_with_a_direct_convolution():
    image = np.random.default_rng(2).random((30, 40))
    kernel = np.outer(scaling_kernel(2), scaling_kernel(2))
    expected = ndimage.convolve(image, kernel, mode='constant')
    np.testing.assert_allclose(smooth(image, 2), expected, atol=1e-12)


def test_significance_at_a_pixel_is_that_of_the_image():
    rng = np.random.default_rng(3)
    background = np.full((64, 64), 0.3)
    counts = rng.poisson(background).astype(float)
    counts[3, 60] += 9
    whole = poisson_sigma(counts, background, 2)
    zero = np.zeros_like(background)
    for column, row in ((60, 3), (30, 30), (0, 63)):
        value = poisson_sigma_at(counts, background, zero, 2, column, row)
        assert value == pytest.approx(whole[row, column], abs=1e-9)


@pytest.mark.parametrize('finder', [WaveletFinder(), SegmentationFinder()])
def test_one_source_is_one_candidate_in_its_place(finder):
    image = tiny_image(shape=(96, 96), source_counts=300)
    catalog = finder(image)
    assert len(catalog) == 1
    assert np.hypot(catalog['x'][0].value - 47.5, catalog['y'][0].value - 47.5) < 1
    assert abs(catalog['counts'][0].value - 300) < 75


@pytest.mark.parametrize('finder', [WaveletFinder(), SegmentationFinder()])
def test_nothing_found_is_an_empty_catalogue(finder):
    rng = np.random.default_rng(4)
    image = tiny_image().replace(counts=rng.poisson(0.05, (64, 64)))
    catalog = finder(image)
    assert len(catalog) == 0
    assert 'ext_like' in catalog


@pytest.mark.parametrize('kind', [WaveletFinder, SegmentationFinder])
def test_an_empty_catalogue_has_the_columns_of_one_that_is_not(kind):
    image = tiny_image()
    full, none = kind()(image), kind(threshold=1e3)(image)
    assert len(full) > 0
    assert len(none) == 0
    assert none.column_names == full.column_names
    assert 'psf_fwhm' in none.column_names
    for name in full.column_names:
        assert getattr(none[name], 'unit', None) == getattr(full[name], 'unit', None)
        if name not in ('id', 'name'):
            assert none[name].dtype == full[name].dtype


@pytest.mark.parametrize('kind', [WaveletFinder, SegmentationFinder])
@pytest.mark.parametrize('level', [0.02, 0.2, 2.0])
def test_false_alarms_come_as_often_as_asked(level, kind):
    n_fields, asked = 16, 5
    found = 0
    for seed in range(n_fields):
        rng = np.random.default_rng([5, seed])
        image = tiny_image(shape=(256, 256)).replace(counts=rng.poisson(level, (256, 256)))
        found += len(kind(false_alarms=asked)(image))
    # 80 are expected; a factor of 1.5 either way is three times their scatter
    assert n_fields * asked / 1.5 < found < n_fields * asked * 1.5


def test_fewer_false_alarms_need_a_higher_threshold():
    rng = np.random.default_rng(5)
    image = tiny_image(shape=(256, 256)).replace(counts=rng.poisson(0.2, (256, 256)))
    many = len(WaveletFinder(false_alarms=300)(image))
    few = len(WaveletFinder(false_alarms=0.1)(image))
    assert few <= 1 < many


def test_edges_of_the_exposure_make_no_sources():
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:200, :200]
    inside = np.hypot(x - 100, y - 100) < 80
    inside &= ~((x > 90) & (x < 95))
    exposure = np.where(inside, 1e4, 0)
    counts = rng.poisson(np.where(inside, 1.0, 0))
    image = tiny_image(shape=(200, 200)).replace(counts=counts, exposure=exposure)
    assert len(WaveletFinder()(image)) == 0


@pytest.mark.parametrize('name', FIELDS)
def test_real_cluster_is_one_extended_source(name, shared_data):
    xray, exposure, position = FIELDS[name]
    image = read_image(shared_data / xray, exposure=shared_data / exposure)
    catalog = WaveletFinder()(image)
    separation = catalog.positions.separation(SkyCoord(*position, unit='deg'))
    near = np.flatnonzero(separation < 60 * u.arcsec)
    assert len(near) == 1
    assert separation[near[0]] < 20 * u.arcsec
    assert np.argmax(catalog['ext_like']) == near[0]
    assert catalog['extent'][near[0]] > 5 * u.arcsec


def test_every_fit_can_be_painted_where_the_psf_grows():
    # positions move across the steps in which the width of the PSF is tabulated
    rng = np.random.default_rng(7)
    image = tiny_image(shape=(300, 300)).replace(
        counts=rng.poisson(0.05, (300, 300)), mission='Chandra', psf_fwhm=0.7 * u.arcsec
    )
    fitter = SourceFitter(image, psf_fwhm=0.7)
    counts = np.array(image.counts, float)
    background = np.full(image.shape, 0.05)
    model = np.zeros(image.shape)
    steps = set()
    for x in range(150, 295, 3):
        fit = fitter.fit(counts, background, x, 150.0)
        fitter.paint(model, fit)
        fitter.paint(model, fit, factor=-1)
        steps.add(fit.psf_step)
    assert len(steps) > 5
    np.testing.assert_allclose(model, 0, atol=1e-9)


def test_positions_and_counts_of_sources_between_pixels():
    rng = np.random.default_rng(8)
    for seed in range(6):
        x, y = 48 + rng.uniform(-0.5, 0.5, 2)
        image = tiny_image(shape=(96, 96))
        yy, xx = np.mgrid[:96, :96]
        # a Gaussian of the width of the PSF
        sigma = image.psf_fwhm.value / 4 / 2.3548
        shape = np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / sigma**2)
        expected = 0.05 + 500 * shape / shape.sum()
        noise = np.random.default_rng([8, seed])
        catalog = WaveletFinder()(image.replace(counts=noise.poisson(expected)))
        assert len(catalog) == 1
        offset = np.hypot(catalog['x'][0].value - x, catalog['y'][0].value - y) * 4
        assert offset < 4 * max(catalog['pos_err'][0].value, 0.67)
        assert catalog['ext_like'][0] < 6


@pytest.mark.parametrize('finder', [WaveletFinder(), SegmentationFinder()])
def test_two_sources_that_touch_are_two_candidates(finder):
    noise = np.random.default_rng(9)
    y, x = np.mgrid[:96, :96]
    expected = np.full((96, 96), 0.1)
    for column in (42, 52):
        shape = (1 + ((x - column) ** 2 + (y - 48) ** 2) / 1.25**2) ** -1.5
        expected += 1500 * shape / shape.sum()
    catalog = finder(tiny_image(shape=(96, 96)).replace(counts=noise.poisson(expected)))
    assert sorted(np.rint(catalog['x'].value).tolist()) == [42, 52]


@pytest.mark.parametrize('kind', [WaveletFinder, SegmentationFinder])
def test_the_catalogue_remembers_what_was_asked(kind):
    catalog = kind(false_alarms=0.5)(tiny_image())
    assert 'false_alarms=0.5' in catalog.meta['finder']
    assert 3 < catalog.meta['threshold_sigma'] < 6
    # one in 1e20 is a threshold like any other
    assert len(kind(false_alarms=1e-20)(tiny_image(source_counts=3000))) == 1


@pytest.mark.parametrize('kind', [WaveletFinder, SegmentationFinder])
def test_a_psf_wider_than_the_image_is_refused(kind):
    with pytest.raises(ValueError, match='must be narrower than the image'):
        kind(psf_fwhm=1e9 * u.arcsec)(tiny_image())


def test_scales_that_do_not_fit_are_counted():
    image = tiny_image()[20:26, 20:26]
    with pytest.warns(DataQualityWarning, match='nothing was looked for'):
        dropped = WaveletFinder()(image).meta['dropped']
    assert dropped['scales wider than a quarter of the image, not searched'] == 4


def test_segmentation_finds_the_real_cluster(shared_data):
    xray, exposure, position = FIELDS['a1835']
    image = read_image(shared_data / xray, exposure=shared_data / exposure)
    catalog = SegmentationFinder()(image)
    separation = catalog.positions.separation(SkyCoord(*position, unit='deg'))
    assert separation.min() < 20 * u.arcsec
    assert catalog['ext_like'][np.argmin(separation)] > 1000
