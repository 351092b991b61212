# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Images in a dark frame, images full of one source, images of very many counts.
"""

import numpy as np
import pytest

from clustercnn import SegmentationFinder, WaveletFinder
from clustercnn.finding._starlet import poisson_sigma_at
from clustercnn.footprint import without_dark_frame
from clustercnn.io import read_image
from clustercnn.testing import tiny_image

SIZE = 240


def _turned_square(level, *, half=75, seed=1):
    """
    Return a detector that lies askew in its frame, and which pixels it covers.
    """
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    inside = (np.abs(0.8 * x + 0.6 * y) < half) & (np.abs(0.8 * y - 0.6 * x) < half)
    counts = np.random.default_rng(seed).poisson(level * inside).astype(np.float32)
    return tiny_image(shape=(SIZE, SIZE)).replace(counts=counts, exposure=None), inside


@pytest.mark.parametrize('level', [0.1, 1.0, 20.0])
def test_the_dark_frame_is_masked_and_the_detector_is_not(level):
    image, inside = _turned_square(level)
    valid = without_dark_frame(image)[0].valid
    # right but for a seam as wide as photons are apart
    seam = 0.02 + 0.01 / np.sqrt(level)
    assert valid[inside].mean() > 1 - seam
    assert valid[~inside].mean() < seam


def test_an_image_without_a_frame_stays_as_it_is():
    counts = np.random.default_rng(1).poisson(0.3, (SIZE, SIZE)).astype(np.float32)
    image = tiny_image(shape=(SIZE, SIZE)).replace(counts=counts, exposure=None)
    assert without_dark_frame(image)[0] is image


def test_few_photons_do_not_tell_a_frame():
    image, _ = _turned_square(0.002)
    assert without_dark_frame(image)[0] is image
    empty = image.replace(counts=np.zeros((SIZE, SIZE), np.float32))
    assert without_dark_frame(empty)[0] is empty


def test_an_exposure_map_has_the_last_word():
    image, _ = _turned_square(1.0)
    image = image.replace(exposure=np.ones((SIZE, SIZE), np.float32))
    assert without_dark_frame(image)[0] is image


def test_masked_pixels_inside_are_no_frame():
    image, _ = _turned_square(1.0)
    hole = np.zeros((SIZE, SIZE), bool)
    hole[100:140, 100:140] = True
    valid = without_dark_frame(image.replace(mask=hole))[0].valid
    np.testing.assert_array_equal(valid[90:150, 90:150], ~hole[90:150, 90:150])


@pytest.mark.parametrize('finder', [WaveletFinder, SegmentationFinder])
def test_the_edge_of_a_detector_in_a_frame_makes_no_sources(finder):
    assert len(finder()(_turned_square(2.0)[0])) == 0


def test_a_cluster_that_fills_the_detector_is_not_broken_up(shared_data):
    image = read_image(shared_data / 'chandra' / 'NGC5044_9399_img_fov.fits.gz')
    catalog = WaveletFinder()(image)
    extended = catalog[catalog['extent'].value > 0]
    # the group is no beta model; a second one stands for its asymmetry
    assert 1 <= len(extended) <= 3
    brightest = np.argmax(extended['counts'].value)
    assert extended['counts'].value[brightest] > 0.7 * image.n_counts
    parts = 'detections that are part of a brighter extended source'
    assert catalog.meta['dropped'][parts] > 0


def test_a_hundredth_of_the_background_is_no_source():
    background = np.full((64, 64), 1e4)
    nothing = np.zeros_like(background)
    assert poisson_sigma_at(1.009 * background, background, nothing, 3, 32, 32) == 0
    assert poisson_sigma_at(1.02 * background, background, nothing, 3, 32, 32) > 5


@pytest.mark.parametrize('level', [30.0, 500.0])
def test_a_falling_exposure_of_very_many_counts_makes_no_sources(level):
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    radius = np.hypot(x, y)
    exposure = np.where(radius < 115, 1e4 / (1 + (radius / 75) ** 2), 0).astype(np.float32)
    counts = np.random.default_rng(3).poisson(level * exposure / 1e4).astype(np.float32)
    image = tiny_image(shape=(SIZE, SIZE)).replace(counts=counts, exposure=exposure)
    assert len(WaveletFinder()(image)) == 0


def _alone(shape, expected, seed=1):
    counts = np.random.default_rng(seed).poisson(expected).astype(np.float32)
    return tiny_image(shape=shape).replace(counts=counts, exposure=None)


def _round(sigma, size=100):
    y, x = np.indices((size, size)) - size // 2
    return np.exp(-(x**2 + y**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)


@pytest.mark.parametrize(
    'expected',
    [
        np.where(np.arange(3600).reshape(60, 60) == 1830, 1e4, 0.0),
        3000 * _round(1.5),
        3000 * _round(6.0) + 5e-4,
        3 * (_round(60.0) > 0.5 * _round(60.0).max()) + 0.1,
    ],
    ids=['a hot pixel', 'a point', 'a cluster on almost nothing', 'a disc on a faint sky'],
)
def test_a_source_is_not_taken_for_the_field_of_view(expected):
    image = _alone(expected.shape, expected)
    assert without_dark_frame(image)[0] is image


def test_single_photons_in_the_frame_are_no_field_of_view():
    image, inside = _turned_square(3.0)
    stray = np.random.default_rng(2).random(image.shape) < 0.002
    image = image.replace(counts=image.counts + (stray & ~inside))
    masked, share = without_dark_frame(image)
    assert masked.valid[~inside].mean() < 0.03
    assert share == pytest.approx((~inside).mean(), abs=0.02)
    assert WaveletFinder()(image).meta['dark_frame_share'] == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize('shape', [(5, 7), (1, 300), (300, 6)])
def test_odd_shapes_have_no_frame(shape):
    image = _alone(shape, np.full(shape, 2.0))
    assert without_dark_frame(image)[0] is image
    hidden = image.replace(mask=np.ones(shape, bool))
    assert without_dark_frame(hidden)[0] is hidden
