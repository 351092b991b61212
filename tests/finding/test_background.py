# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The background: what the exposure map tells, components, sources in it.
"""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage

from clustercnn import SegmentationFinder, WaveletFinder
from clustercnn.exceptions import DataQualityWarning
from clustercnn.finding import estimate_background
from clustercnn.finding._fitter import SourceFitter
from clustercnn.finding._passes import mark_near, times_between_cells
from clustercnn.finding._vignetting import axis_of, vignetting_of
from clustercnn.finding.background import BackgroundEstimator, _coverage
from clustercnn.io import read_image
from clustercnn.testing import tiny_image

SIZE = 240


def _distance(size=SIZE):
    y, x = np.indices((size, size)) - (size - 1) / 2
    return np.hypot(x, y)


def _pointing():
    """
    Return vignetting and coverage of a camera with gaps beside one of other shape.
    """
    distance = _distance()
    vignetting = 1 / (1 + (distance / 120) ** 2)
    first = np.ones((SIZE, SIZE))
    first[:, 100:106] = first[60:66] = 0
    coverage = 0.6 * first + 0.4 * (distance < 90)
    coverage[distance > 118] = 0
    return vignetting, coverage


def _pointed_image(seed, *, sky=0.05, particles=0.04, **changes):
    vignetting, coverage = _pointing()
    truth = coverage * (sky * vignetting + particles)
    counts = np.random.default_rng(seed).poisson(truth)
    image = tiny_image(shape=(SIZE, SIZE)).replace(
        counts=counts, exposure=1e4 * vignetting * coverage, **changes
    )
    return image, truth


def test_the_vignetting_is_seen_beside_gaps_and_two_cameras():
    vignetting, coverage = _pointing()
    response = vignetting * coverage
    x, y = axis_of(response)
    assert np.hypot(x - 119.5, y - 119.5) < 8
    seen = vignetting_of(response, (119.5, 119.5))
    # beyond 90 pixels only the first camera is there, and the envelope is that of it alone
    inner = (coverage > 0) & (_distance() < 80)
    np.testing.assert_allclose(seen[inner], vignetting[inner], rtol=0.05)


def test_the_vignetting_is_seen_where_little_of_the_image_is_exposed():
    distance = _distance(900)
    response = np.where(distance < 50, 1 / (1 + (distance / 50) ** 2), 0).astype(np.float32)
    assert vignetting_of(response, axis_of(response)) is not None
    seen = vignetting_of(response, (449.5, 449.5))
    # within the first ring it is constant
    inner = distance < 45
    np.testing.assert_allclose(seen[inner], response[inner], rtol=0.08)


def test_a_narrow_field_between_the_rows_that_are_looked_at_has_its_coverage():
    # of 1800 rows every twelfth tells enough of most
    response = np.zeros((1800, 1800), np.float32)
    y, x = np.indices((11, 300)) - np.array([5, 150])[:, None, None]
    response[901:912, 700:1000] = 1 / (1 + (x / 100) ** 2 + (y / 4) ** 2)
    coverage, numbers, groups = _coverage(response)
    assert coverage[906, 850] == pytest.approx(1, abs=0.1)
    assert numbers.max() < len(groups)


@pytest.mark.parametrize('kind', ['flat', 'scan', 'two pointings', 'nothing'])
def test_no_vignetting_where_it_is_not_one_pointing(kind):
    y, x = np.indices((SIZE, SIZE))
    response = {
        'flat': np.ones((SIZE, SIZE)),
        'scan': 0.2 + 0.8 * x / SIZE,
        'two pointings': sum(
            1 / (1 + (np.hypot(x - middle, y - 120) / 60) ** 2) for middle in (50, 190)
        ),
        'nothing': np.zeros((SIZE, SIZE)),
    }[kind]
    assert vignetting_of(response, axis_of(response)) is None


def test_sky_and_particles_are_told_apart():
    coverage = _pointing()[1]
    ratios = []
    for seed in range(6):
        image, truth = _pointed_image(seed)
        made = estimate_background(image, psf_pixels=2)
        ratios.append([
            made[part].sum() / truth[part].sum()
            for part in (coverage > 0.9, (coverage < 0.5) & (coverage > 0), coverage > 0)
        ])  # fmt: skip
    np.testing.assert_allclose(np.mean(ratios, axis=0), 1, atol=0.03)
    edge = _distance() > 105
    at_edge = [_edge_ratio(seed, edge) for seed in range(4)]
    assert abs(np.mean(at_edge) - 1) < 0.06


def _edge_ratio(seed, edge):
    image, truth = _pointed_image(seed)
    return estimate_background(image, psf_pixels=2)[edge].sum() / truth[edge].sum()


def test_particles_make_no_sources_at_the_edge():
    found = [len(WaveletFinder()(_pointed_image(seed, particles=0.3)[0])) for seed in range(4)]
    assert sum(found) <= 1


def test_wings_of_a_cluster_do_not_go_into_the_background():
    counts = []
    for seed in range(5):
        rng = np.random.default_rng([8, seed])
        beta = (1 + (_distance() / 8) ** 2) ** -1.5 * (_distance() < 96)
        cluster = 2500 * beta / beta.sum()
        image = tiny_image(shape=(SIZE, SIZE)).replace(
            counts=rng.poisson(cluster + 0.1), exposure=np.full((SIZE, SIZE), 1e4)
        )
        catalog = WaveletFinder()(image)
        assert len(catalog) == 1
        counts.append(float(catalog['counts'][0].value))
    assert abs(np.mean(counts) / 2500 - 1) < 0.05


def _cluster_and_map(with_cluster):
    rng = np.random.default_rng(3)
    cluster = 3000 * np.exp(-0.5 * (_distance() / 6) ** 2) / (2 * np.pi * 36)
    background = 0.1 + (cluster if with_cluster else 0)
    return tiny_image(shape=(SIZE, SIZE)).replace(
        counts=rng.poisson(cluster + 0.1),
        exposure=np.full((SIZE, SIZE), 1e4),
        background=np.broadcast_to(background, (SIZE, SIZE)),
    )


@pytest.mark.parametrize('kind', [WaveletFinder, SegmentationFinder])
def test_a_map_that_contains_the_source_is_used_with_a_warning(kind):
    with pytest.warns(DataQualityWarning, match='background map seems to contain sources'):
        catalog = kind()(_cluster_and_map(with_cluster=True))
    assert not catalog.extended().any()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        catalog = kind()(_cluster_and_map(with_cluster=False))
    assert catalog.extended().sum() == 1
    assert not catalog.flagged('BACKGROUND_SUSPECT').any()


def test_what_is_found_on_a_suspect_map_is_flagged():
    image = _cluster_and_map(with_cluster=True)
    half = image.replace(background=0.1 + 0.6 * (image.background - 0.1))
    with pytest.warns(DataQualityWarning, match='seems to contain'):
        catalog = WaveletFinder()(half)
    assert catalog.flagged('BACKGROUND_SUSPECT').any()


def test_a_map_that_ends_before_the_exposure_is_filled():
    rng = np.random.default_rng(4)
    background = np.full((SIZE, SIZE), 0.1)
    background[:, 100:103] = 0
    image = tiny_image(shape=(SIZE, SIZE)).replace(
        counts=rng.poisson(0.1, (SIZE, SIZE)),
        exposure=np.full((SIZE, SIZE), 1e4),
        background=background,
    )
    assert len(WaveletFinder()(image)) == 0
    np.testing.assert_allclose(estimate_background(image, psf_pixels=2), 0.1, rtol=1e-3)


def test_a_map_that_covers_half_of_the_image_is_continued():
    rng = np.random.default_rng(5)
    background = np.full((SIZE, SIZE), 0.1)
    background[:, :150] = 0
    image = tiny_image(shape=(SIZE, SIZE)).replace(
        counts=rng.poisson(0.1, (SIZE, SIZE)), background=background
    )
    np.testing.assert_allclose(estimate_background(image, psf_pixels=2), 0.1, rtol=1e-3)
    assert len(WaveletFinder()(image)) == 0


def test_a_map_of_nothing_is_not_used():
    image = _cluster_and_map(with_cluster=False)
    with pytest.warns(DataQualityWarning, match='zero wherever the image is exposed'):
        catalog = WaveletFinder()(image.replace(background=np.zeros((SIZE, SIZE))))
    assert catalog.extended().sum() == 1


@pytest.mark.parametrize('factor', [1e-4, 0.5, 1e10])
def test_a_map_of_another_level_is_named(factor):
    image = _cluster_and_map(with_cluster=False)
    with pytest.warns(DataQualityWarning, match='times the counts that the image has'):
        WaveletFinder(threshold=20.0)(image.replace(background=factor * image.background))


@pytest.mark.parametrize('kind', [WaveletFinder, SegmentationFinder])
def test_single_photons_are_no_error(kind):
    for seed in range(10):
        rng = np.random.default_rng([6, seed])
        image = tiny_image(shape=(96, 96)).replace(counts=rng.poisson(1e-4, (96, 96)))
        catalog = kind(false_alarms=0.5)(image)
        assert len(catalog) + sum(catalog.meta['dropped'].values()) < 10


def test_a_scan_that_falls_to_one_side_is_no_pointing(shared_data):
    path = shared_data / 'erosita_efeds_patch' / 'expmap_norm_0600_1100.fits.gz'
    response = np.asarray(fits.getdata(path), float)
    assert vignetting_of(response, axis_of(response)) is None


def test_a_pointing_of_erosita_has_a_psf_that_grows_and_a_survey_has_none():
    image, _ = _pointed_image(1, mission='eROSITA')
    pointed = SourceFitter(image, psf_fwhm=9.3)
    flat = image.replace(exposure=np.full((SIZE, SIZE), 1e3))
    survey = SourceFitter(flat, psf_fwhm=15.5)
    assert pointed.psf.stretch > 0
    assert survey.psf.stretch == 0


def test_sums_without_the_masked_pixels_are_those_of_the_others():
    image, _ = _pointed_image(2)
    estimator = BackgroundEstimator(image, psf_pixels=2.0)
    assert 5 < len(estimator.groups) < 5000
    good = estimator.valid & (np.random.default_rng(3).random((SIZE, SIZE)) > 0.1)
    response = np.asarray(image.exposure / image.exposure.max())
    sums = estimator._good_sums(estimator.counts, good)
    for made, plane in zip(sums, (estimator.counts, response, estimator.coverage), strict=True):
        direct = ndimage.sum_labels(
            np.where(good, plane, 0), estimator.numbers, np.arange(len(estimator.groups))
        )
        np.testing.assert_allclose(made, direct, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('reach', [1, 2, 8, 30])
def test_a_grown_mask_is_the_largest_value_near(reach):
    mask = np.random.default_rng(reach).random((50, 71)) < 0.01
    direct = ndimage.maximum_filter(mask, 2 * reach + 1, mode='constant')
    marked = np.zeros(mask.shape, bool)
    mark_near(mask.astype(np.float32), 0.5, reach, 1, marked)
    np.testing.assert_array_equal(marked, direct)


@pytest.mark.parametrize('step', [2, 4, 8])
@pytest.mark.parametrize('shape', [(97, 120), (96, 121), (103, 64)])
def test_a_mask_grown_on_few_pixels_is_that_of_the_nearest_of_them(shape, step):
    small = tuple(-(-size // step) for size in shape)
    mask = np.random.default_rng(step).random(small) < 0.02
    mask[-1, -1] = True
    grown = ndimage.maximum_filter(mask, 5, mode='constant')
    rows, columns = (
        np.minimum((np.arange(size) + step // 2) // step, n - 1)
        for size, n in zip(shape, small, strict=True)
    )
    marked = np.zeros(shape, bool)
    marked[5, 7] = True
    expected = grown[rows][:, columns]
    expected[5, 7] = True
    mark_near(mask.astype(np.float32), 0.5, 2, step, marked)
    np.testing.assert_array_equal(marked, expected)


def test_between_cells_values_change_linearly():
    rows, columns = np.indices((9, 12))
    values = (2 * rows - 3 * columns + 1).astype(np.float32)
    made = np.ones((44, 60), np.float32)
    times_between_cells(made, values, 5)
    y, x = np.indices((44, 60))
    # from the middle of the first cells to that of the last
    y, x = (np.clip((at + 0.5) / 5 - 0.5, 0, n - 1) for at, n in ((y, 9), (x, 12)))
    np.testing.assert_allclose(made, 2 * y - 3 * x + 1, atol=1e-4)


def _left_to_change(image, psf_pixels, monkeypatch):
    """
    Return how much further rounds of masking change a background, beside the error of its sum.
    """
    background = estimate_background(image, psf_pixels=psf_pixels)
    with monkeypatch.context() as patched:
        patched.setattr('clustercnn.finding.background._SETTLED', 0)
        settled = estimate_background(image, psf_pixels=psf_pixels, n_iterations=12)
    valid = image.valid & (settled > 0)
    change = np.abs(background[valid] / settled[valid] - 1).mean()
    return change * np.sqrt(settled[valid].sum())


@pytest.mark.parametrize('seed', range(3))
def test_masks_settle(seed, monkeypatch):
    image, truth = _pointed_image(seed)
    y, x = np.indices(truth.shape)
    rng = np.random.default_rng(100 + seed)
    for counts, core in ((4000, 8.0), (400, 3.0), *((60, 1.0),) * 12):
        row, column = rng.uniform(40, SIZE - 40, 2)
        profile = (1 + ((x - column) ** 2 + (y - row) ** 2) / core**2) ** -1.5
        truth = truth + counts * profile / profile.sum() * (truth > 0)
    image = image.replace(counts=rng.poisson(truth))
    assert _left_to_change(image, 2, monkeypatch) < 1


@pytest.mark.parametrize(
    ('xray', 'exposure', 'psf_pixels'),
    [
        (
            'xmm_a1835_mos2/P0098010101M2U009IMAGE_3000.FTZ',
            'xmm_a1835_mos2/P0098010101M2U009EXPMAP3000.FTZ',
            2.0,
        ),
        (
            'erosita_efeds_patch/img_0600_1100.fits.gz',
            'erosita_efeds_patch/expmap_norm_0600_1100.fits.gz',
            4.0,
        ),
    ],
)
def test_masks_settle_on_real_fields(xray, exposure, psf_pixels, shared_data, monkeypatch):
    image = read_image(shared_data / xray, exposure=shared_data / exposure)
    assert _left_to_change(image, psf_pixels, monkeypatch) < 1
