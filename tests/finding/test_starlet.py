# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The starlet's convolutions and significances against direct sums.
"""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage, special

from clustercnn.finding import _convolve, _threads
from clustercnn.finding._starlet import (
    _critical,
    _tail_of_few,
    _tail_of_many,
    brightest_near,
    poisson_sigma,
    poisson_sigma_at,
    scaling_kernel,
    smooth,
    smooth_at,
    starlet_transform,
    step_of,
)


def direct(image, scale, power=1):
    """
    Sum over the kernel, in float64.
    """
    kernel = scaling_kernel(scale) ** power
    rows = ndimage.convolve1d(np.asarray(image, float), kernel, axis=0, mode='constant')
    return ndimage.convolve1d(rows, kernel, axis=1, mode='constant')


def direct_sigma(counts, background, scale):
    """
    Take the tail of the matched Poisson variable at every pixel.
    """
    mean, variance, third = (direct(background, scale, power) for power in (1, 2, 3))
    factor = variance / third
    expected = variance * factor**2
    observed = (direct(counts, scale) - mean) * factor + expected
    tail = special.gammainc(np.maximum(observed, 1e-12), expected)
    assert tail.min() > 1e-200
    return np.where(observed > expected, np.maximum(-special.ndtri(tail), 0), 0)


def direct_transform(image, n_scales):
    """
    Smooth with holes, mirrored at the border.
    """
    current, planes = np.asarray(image, float), []
    for level in range(n_scales):
        kernel = np.zeros(4 * 2**level + 1)
        kernel[:: 2**level] = np.array([1, 4, 6, 4, 1]) / 16
        following = current
        for axis in (0, 1):
            following = ndimage.convolve1d(following, kernel, axis=axis, mode='mirror')
        planes.append(current - following)
        current = following
    return np.array([*planes, current])


def field(shape, *, level=0.3, seed=1):
    """
    Draw a background with a slope, and counts with a bright source in a corner.
    """
    rng = np.random.default_rng(seed)
    background = level * np.linspace(0.5, 1.5, shape[1]) * np.ones(shape)
    counts = rng.poisson(background).astype(float)
    counts[2:4, 1:3] += 10 + 5 * np.sqrt(level)
    return counts, background


@pytest.mark.parametrize('power', [1, 2, 3])
@pytest.mark.parametrize('scale', [0, 1, 2, 3, 4, 5, 6, 8])
def test_smoothing_is_the_sum_over_the_kernel_up_to_the_border(scale, power):
    # shapes that are no multiples of a block, and kernels wider than the image
    image = np.random.default_rng(2).random((150, 211))
    smoothed = smooth(image, scale, power=power)
    assert smoothed.dtype == np.float64
    np.testing.assert_allclose(smoothed, direct(image, scale, power), rtol=1e-11)


@pytest.mark.parametrize('shape', [(1, 1), (1, 70), (70, 1), (5, 200)])
def test_smoothing_of_narrow_images(shape):
    image = np.random.default_rng(3).random(shape)
    np.testing.assert_allclose(smooth(image, 3), direct(image, 3), rtol=1e-11)


@pytest.mark.parametrize('dtype', ['f4', '>f4', 'f2'])
@pytest.mark.parametrize('power', [1, 3])
def test_float32_stays_float32_and_is_exact_to_rounding(dtype, power):
    image = np.random.default_rng(4).random((150, 211)).astype(dtype)
    smoothed = smooth(image, 5, power=power)
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, direct(image, 5, power), rtol=5e-6)


def test_other_types_become_float64():
    image = np.random.default_rng(5).poisson(1.0, (40, 40))
    for dtype in (bool, np.uint8, '>i4', '>f8'):
        smoothed = smooth(image.astype(dtype), 2)
        assert smoothed.dtype == np.float64
        np.testing.assert_allclose(smoothed, direct(image.astype(dtype), 2), rtol=1e-11, atol=1e-15)
    # what is wider would run out of the range of float32
    assert smooth(image.astype(np.float32), 6).dtype == np.float64


def test_zeros_stay_exact_zeros():
    image = np.zeros((300, 300))
    image[200, 100] = 1
    inside = np.zeros(image.shape, bool)
    inside[186:215, 86:115] = True
    np.testing.assert_array_equal(smooth(image, 3) > 0, inside)


@pytest.mark.parametrize('threaded', [1, 10**9])
def test_blocks_and_threads_make_no_difference(monkeypatch, threaded):
    counts, background = field((333, 190))
    whole = smooth(counts, 4), poisson_sigma(counts, background, 4)
    monkeypatch.setattr(_convolve, 'BLOCK', 64 * 190)
    blocks = []
    kernel = _convolve.BandedKernel(scaling_kernel(4), np.float64)
    _convolve.for_row_blocks(lambda *rows: blocks.append(rows), counts.shape, kernel)
    assert len(blocks) == 6
    assert blocks[1] == (slice(56, 112), slice(26, 142))
    monkeypatch.setattr(_threads, '_THREADED', threaded)
    blocked = smooth(counts, 4), poisson_sigma(counts, background, 4)
    np.testing.assert_allclose(blocked[0], whole[0], rtol=1e-13)
    np.testing.assert_allclose(blocked[1], whole[1], atol=1e-10)


@pytest.mark.parametrize('level', [0.02, 0.3, 50.0])
@pytest.mark.parametrize('scale', [1, 2, 3, 4, 5, 6])
def test_significance_is_the_tail_of_the_matched_variable(scale, level):
    counts, background = field((201, 170), level=level)
    expected = direct_sigma(counts, background, scale)
    assert expected.max() > 1
    sigma = poisson_sigma(counts, background, scale)
    np.testing.assert_allclose(sigma, expected, rtol=2e-6, atol=2e-6)
    background = background.astype(np.float32)
    single = poisson_sigma(counts.astype(np.float32), background, scale)
    assert single.dtype == (np.float32 if scale <= 5 else np.float64)
    np.testing.assert_allclose(
        single, direct_sigma(counts, background, scale), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize('level', [1e-4, 0.02, 0.3, 50.0, 1e4])
def test_values_from_the_floor_on_are_exact(level):
    counts, background = field((301, 170), level=level)
    for scale in (1, 3, 5):
        exact = poisson_sigma(counts, background, scale)
        for floor in (1.0, 2.0, 3.0):
            sigma = poisson_sigma(counts, background, scale, floor=floor)
            above = exact >= floor
            np.testing.assert_allclose(sigma[above], exact[above], rtol=1e-9)
            assert np.all((sigma[~above] == 0) | np.isclose(sigma[~above], exact[~above]))


@pytest.mark.parametrize('level', [1e-4, 0.02, 0.3, 50.0])
def test_values_that_need_not_be_known_are_above_the_ceiling(level):
    counts, background = field((301, 170), level=level)
    # a gap and an edge, where the variance changes from row to row and from column to column
    background[100:103] = background[:, 80:84] = 0
    background[200:] *= 20
    counts[background == 0] = 0
    n_unknown = 0
    for scale in (1, 2, 3, 4, 5):
        exact = poisson_sigma(counts, background, scale)
        for ceiling in (1.5, 3.8):
            sigma = poisson_sigma(counts, background, scale, floor=1.5, ceiling=ceiling)
            unknown = np.isinf(sigma)
            assert np.all(exact[unknown] > ceiling)
            known = (exact >= 1.5) & ~unknown
            np.testing.assert_allclose(sigma[known], exact[known], rtol=1e-9)
            n_unknown += unknown.sum()
    assert n_unknown > 100


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize(('scale', 'step'), [(1, 2), (3, 2), (4, 4), (5, 8), (6, 8)])
@pytest.mark.parametrize('shape', [(333, 190), (130, 1111), (7, 64)])
def test_of_few_pixels_the_significance_is_that_of_the_image(shape, scale, step, dtype):
    counts, background = (plane.astype(dtype) for plane in field(shape))
    # a gap, and one beyond which there is nothing
    background[:, 40:47] = counts[:, 40:47] = 0
    background[: shape[0] // 5] = counts[: shape[0] // 5] = 0
    for floor, ceiling in ((0.0, np.inf), (2.0, np.inf), (2.0, 2.0)):
        whole = poisson_sigma(counts, background, scale, floor=floor, ceiling=ceiling)
        few = poisson_sigma(counts, background, scale, floor=floor, ceiling=ceiling, step=step)
        expected = whole[::step, ::step]
        assert few.shape == expected.shape and few.dtype == expected.dtype
        np.testing.assert_array_equal(few > floor + 1e-3, expected > floor + 1e-3)
        known = (expected >= floor) & np.isfinite(few) & np.isfinite(expected) & (few > 0)
        np.testing.assert_allclose(few[known], expected[known], atol=1e-4)


@pytest.mark.parametrize('scale', [3, 4, 5])
def test_brightest_pixels_near_others_are_those_of_the_whole_image(scale):
    counts, background = field((201, 170), level=0.5)
    # beyond the exposure what little is expected differs more than the excess does
    counts[:, 60:90] = background[:, 60:90] = 0
    counts[90:110, 55:60] += 1
    half = step_of(scale)
    sigma = poisson_sigma(counts, background, scale)
    rows, columns = np.array([0, 100, 53, 200, 100, 96]), np.array([169, 100, 3, 40, 62, 58])
    found = brightest_near(counts, background, scale, rows, columns, half)
    for row, column, value, *place in zip(*found, rows, columns, strict=True):
        here = tuple(slice(max(at - half, 0), at + half + 1) for at in place)
        assert abs(row - place[0]) <= half and abs(column - place[1]) <= half
        assert value == pytest.approx(sigma[row, column], abs=1e-5)
        assert value == pytest.approx(sigma[here].max(), rel=1e-3)
    assert (found[2][4:] > 4).all()
    assert len(brightest_near(counts, background, scale, rows[:0], columns[:0], half)[2]) == 0


@pytest.mark.parametrize('scale', [1, 2, 3, 4, 5])
def test_between_the_pixels_looked_at_a_point_loses_little(scale):
    kernel, step = scaling_kernel(scale), step_of(scale)
    middle = len(kernel) // 2
    # half a step from the peak along both axes, no pixel looked at is nearer
    assert (kernel[middle + step // 2] / kernel[middle]) ** 2 > 0.94


def test_no_tail_is_fainter_than_a_gaussian_one():
    # what the floor rests on
    for expected in np.geomspace(1e-8, 1e6, 200):
        gaussian = np.linspace(0.1, 12, 200)
        tail = special.gammainc(expected + gaussian * np.sqrt(expected), expected)
        assert np.all(-special.ndtri(tail) < gaussian * 1.001)


def test_expansion_of_the_tail_is_the_tail():
    for observed in (30.0, 45.0, 100.0, 1e3, 1e5):
        wanted = np.linspace(0.1, 28, 100)
        expected = observed - wanted * np.sqrt(observed) + wanted**2 / 4
        expected = expected[(wanted < 2 * np.sqrt(observed)) & (expected > 0)]
        expected = expected[observed - expected > 2e-3 * observed]
        tail = special.gammainc(observed, expected)
        sigma = _tail_of_many(np.full(len(expected), observed), expected)
        there = tail > 1e-250
        np.testing.assert_allclose(sigma[there], -special.ndtri(tail[there]), rtol=2e-6, atol=2e-6)
        assert np.all(np.diff(sigma) > 0)


@pytest.mark.parametrize('sigma', [0.5, 2.0, 3.8, 5.0, 8.0, 20.0])
def test_critical_expectation_is_where_the_tail_is_as_asked_for(sigma):
    table = _critical(sigma)
    counts = np.linspace(0, 30, 7919)
    expected = np.interp(counts * 64, np.arange(len(table)), table)
    known = np.isfinite(expected)
    assert known[counts > 0.5 + sigma].all()
    counts, expected = counts[known], expected[known]
    # a thousandth is granted to what lies between the values of the table
    for factor, sign in ((0.999, 1), (1.001, -1)):
        tail = _tail_of_few(counts, factor * expected)
        assert (sign * (tail - sigma) > 0).all()
    # and no more than that is left to work out
    np.testing.assert_allclose(_tail_of_few(counts, expected), sigma, rtol=2e-3)


def test_smoothing_of_a_pixel_is_that_of_the_image():
    image = np.random.default_rng(4).random((60, 90))
    for scale in (1, 4):
        whole = smooth(image, scale)
        for column, row in ((0, 0), (89, 30), (45, 31)):
            assert smooth_at(image, scale, column, row) == pytest.approx(whole[row, column])


def test_significance_without_background_is_none():
    counts, background = field((200, 200))
    background[:, 100:] = 0
    counts[:, 100:] = 0
    sigma = poisson_sigma(counts, background, 3)
    assert np.isfinite(sigma).all()
    assert np.all(sigma[:, 115:] == 0)
    assert np.all(poisson_sigma(counts, np.zeros_like(counts), 3) == 0)


def test_significance_at_a_pixel_is_that_of_the_image_also_far_out():
    counts, background = field((200, 200))
    counts[100, 100] = 5000
    zero = np.zeros_like(background)
    for scale in (1, 4, 6):
        whole = poisson_sigma(counts, background, scale)
        assert whole.max() > 30
        for column, row in ((100, 100), (2, 2), (199, 0), (100, 130)):
            value = poisson_sigma_at(counts, background, zero, scale, column, row)
            assert value == pytest.approx(whole[row, column], abs=1e-9)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_memory_is_bounded_by_blocks(dtype):
    rng = np.random.default_rng(6)
    background = np.full((4000, 1500), 0.1, dtype)
    counts = rng.poisson(background).astype(dtype)
    tracemalloc.start()
    try:
        sigma = poisson_sigma(counts, background, 4, floor=3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # less than one image of 4000 x 1500 each for work and result in either type
    assert peak < sigma.nbytes + 12 * 2**20 * sigma.itemsize
    assert peak < 4 * sigma.nbytes


@pytest.mark.parametrize('shape', [(1, 1), (3, 50), (65, 33), (130, 257)])
@pytest.mark.parametrize('n_scales', [0, 1, 2, 6])
def test_transform_is_the_convolution_with_holes(shape, n_scales):
    image = np.random.default_rng(7).normal(size=shape)
    planes = starlet_transform(image, n_scales)
    assert planes.dtype == np.float64
    np.testing.assert_allclose(planes, direct_transform(image, n_scales), atol=1e-13)


def test_transform_on_several_threads(monkeypatch):
    monkeypatch.setattr(_threads, '_THREADED', 1)
    image = np.random.default_rng(8).normal(size=(150, 140)).astype('>f4')
    planes = starlet_transform(image, 5)
    assert planes.dtype == np.float32
    np.testing.assert_allclose(planes, direct_transform(image, 5), atol=2e-6)
    np.testing.assert_allclose(planes.sum(axis=0), image, atol=2e-6)


def test_transform_leaves_the_image_alone():
    image = np.random.default_rng(9).normal(size=(40, 40))
    image.flags.writeable = False
    planes = starlet_transform(image, 0)
    assert not np.shares_memory(planes, image)
    np.testing.assert_array_equal(planes[0], image)


def test_finding_needs_no_compiler():
    code = 'import sys, clustercnn.finding; assert "jax" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)
