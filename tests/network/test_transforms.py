# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What networks see of X-rays must not depend on exposure, background or pixel scale.
"""

import jax
import numpy as np
import pytest

from clustercnn.network import BandArrays, BandSpec, InputSpec, Preprocessing, make_dataset, take
from clustercnn.network.transforms import (
    make_planes,
    masked_median,
    stack_on_one_grid,
    xray_background,
)

SPEC = BandSpec(name='xray', kind='xray', shape=(64, 64), pixel_scale=4.0)
XRAY = InputSpec(bands=(SPEC,))
FINE = InputSpec(bands=(BandSpec(name='xray', kind='xray', shape=(128, 128), pixel_scale=2.0),))
PICTURE = InputSpec(bands=(BandSpec(name='g', kind='optical', shape=(32, 32), pixel_scale=1.0),))


# jitted once for all tests that share a number of cutouts
PLANES = {
    inputs: jax.jit(lambda batch, inputs=inputs: make_planes(batch, inputs, Preprocessing()))
    for inputs in (XRAY, PICTURE, FINE)
}


def planes_of(inputs, **arrays):
    name = inputs.band_names[0]
    scale = inputs.bands[0].pixel_scale
    made = make_dataset(inputs, {name: BandArrays(pixel_scale=scale, **arrays)})
    batch = take(made, np.arange(len(arrays['data'])), len(arrays['data']))
    planes = PLANES[inputs](batch)
    return np.array(planes['pictures'][name]), np.array(planes['coverage'][name])


def significance(picture):
    """
    Undo the softening.
    """
    return np.sinh(picture) * Preprocessing().xray_softening


@pytest.mark.parametrize('rate', [0.05, 0.5, 5.0])
def test_background_alone_has_unit_variance_on_all_scales(rate):
    counts = np.random.default_rng(1).poisson(rate, (40, 64, 64))
    picture, _ = planes_of(XRAY, data=counts, background=np.full(counts.shape, rate))
    sigma = significance(picture)[:, 20:-20, 20:-20]
    for scale in range(1, 4):
        # the transform is meant for apertures that hold some counts
        n_expected = rate * 4 * np.pi * Preprocessing().xray_scales[scale] ** 2 / 16
        if n_expected > 2:
            assert 0.8 < sigma[..., scale].std() < 1.2
            assert abs(sigma[..., scale].mean()) < 0.3


def test_the_view_does_not_depend_on_exposure_units_or_on_level_of_the_map():
    counts = np.random.default_rng(1).poisson(0.3, (4, 64, 64))
    exposure = np.linspace(0.5, 1, 64) * np.ones((4, 64, 1))
    one = planes_of(XRAY, data=counts, exposure=exposure)
    other = planes_of(XRAY, data=counts, exposure=exposure * 2.7e4)
    np.testing.assert_allclose(one[0], other[0], atol=1e-5)
    np.testing.assert_allclose(one[1], other[1], atol=1e-5)


def test_a_gradient_of_exposure_is_no_source():
    exposure = np.linspace(0.2, 1, 64) * np.ones((20, 64, 1))
    counts = np.random.default_rng(1).poisson(2 * exposure)
    flat, _ = planes_of(XRAY, data=counts)
    right, _ = planes_of(XRAY, data=counts, exposure=exposure)
    tilt = [abs(p[:, :, 40:56, 3].mean() - p[:, :, 8:24, 3].mean()) for p in (flat, right)]
    assert tilt[0] > 1 and tilt[1] < 0.1


def test_shape_plane_divides_the_brightness_out():
    y, x = np.mgrid[:64, :64] - 31.5
    profile = np.exp(-(x**2 + y**2) / 40)
    data = np.stack([profile, 100 * profile]) + 0.1
    views = planes_of(XRAY, data=data, background=np.full(data.shape, 0.1))[0][..., -1]
    np.testing.assert_allclose(views[0], views[1], atol=1e-3)
    assert views[0].max() == pytest.approx(1, abs=1e-3)


def test_background_from_the_outskirts_ignores_sources():
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.2, (50, 64, 64)).astype(np.float32)
    clean = np.array(xray_background(counts, np.ones_like(counts)))
    assert abs(clean.mean() - 0.2) < 0.01
    counts[:, 2:6, 2:6] += 30
    counts[:, 28:36, 28:36] += 50
    dirty = np.array(xray_background(counts, np.ones_like(counts)))
    assert abs(dirty.mean() - 0.2) < 0.02


def test_a_background_map_that_holds_the_cluster_does_not_hide_it():
    y, x = np.mgrid[:64, :64] - 31.5
    source = 5 * np.exp(-(x**2 + y**2) / 60)
    counts = np.random.default_rng(1).poisson(0.2 + source, (1, 64, 64))
    honest, _ = planes_of(XRAY, data=counts, background=np.full((1, 64, 64), 0.2))
    smooth, _ = planes_of(XRAY, data=counts, background=(0.2 + source)[None])
    middle = (0, slice(28, 36), slice(28, 36), 2)
    assert significance(smooth)[middle].mean() > 0.8 * significance(honest)[middle].mean()


def test_pixel_scale_is_divided_out():
    y, x = np.mgrid[:128, :128] - 63.5
    expected = 0.05 + 3 * np.exp(-(x**2 + y**2) / 200)
    fine = expected[None]
    coarse = fine.reshape(1, 64, 2, 64, 2).sum((2, 4))
    one, _ = planes_of(XRAY, data=coarse)
    other, _ = planes_of(FINE, data=fine)
    other = other.reshape(1, 64, 2, 64, 2, 6).mean((2, 4))
    for scale in (2, 3, 4, 5):
        np.testing.assert_allclose(one[..., scale], other[..., scale], atol=0.05)


@pytest.mark.parametrize('case', ['zero exposure', 'no counts', 'all masked', 'one hot pixel'])
def test_degenerate_cutouts_stay_finite(case):
    counts = np.zeros((2, 64, 64), np.float32)
    options = {}
    if case == 'zero exposure':
        options['exposure'] = np.zeros_like(counts)
    if case == 'all masked':
        options['valid'] = np.zeros(counts.shape, bool)
    if case == 'one hot pixel':
        counts[:, 3, 3] = 1e9
    picture, coverage = planes_of(XRAY, data=counts, **options)
    assert np.isfinite(picture).all() and np.isfinite(coverage).all()
    assert abs(picture).max() <= Preprocessing().clip
    if case in ('zero exposure', 'all masked'):
        assert not picture.any() and not coverage.any()


def shape_of(**arrays):
    """
    Return the second plane of pictures.
    """
    made = make_dataset(PICTURE, {'g': BandArrays(pixel_scale=1.0, **arrays)})
    batch = take(made, np.arange(len(arrays['data'])), len(arrays['data']))
    planes = make_planes(batch, PICTURE, Preprocessing(optical_shape=True))['pictures']['g']
    alone = make_planes(batch, PICTURE, Preprocessing())['pictures']['g']
    assert planes.shape == (*arrays['data'].shape, 2) and alone.shape == (*planes.shape[:3], 1)
    np.testing.assert_array_equal(planes[..., :1], alone)
    return np.array(planes[..., 1])


def test_the_shape_of_a_picture_has_no_brightness():
    y, x = np.mgrid[:32, :32] - 15.0
    source = np.exp(-(x**2 + y**2) / 20)
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1e-3, (1, 32, 32))
    faint = shape_of(data=100 + source + noise)
    np.testing.assert_allclose(shape_of(data=7 + 50 * (source + noise)), faint, atol=1e-3)
    np.testing.assert_allclose(faint[0], source, atol=0.02)
    # a brighter neighbour changes nothing in the middle
    neighbour = 5 * np.exp(-((x - 12) ** 2 + (y - 12) ** 2) / 2)
    beside = shape_of(data=100 + source + neighbour + noise)
    np.testing.assert_allclose(beside[0, 8:20, 8:20], faint[0, 8:20, 8:20], atol=0.03)
    assert beside.max() == 2


@pytest.mark.parametrize('case', ['flat', 'dark source', 'all masked', 'half masked', 'hot pixel'])
def test_shapes_of_degenerate_pictures_stay_finite(case):
    data = np.full((2, 32, 32), 5.0)
    valid = np.ones(data.shape, bool)
    if case == 'dark source':
        data[:, 12:20, 12:20] = -1e6
    if case == 'all masked':
        valid[:] = False
    if case == 'half masked':
        data[:, :, :16] = 1e9
        valid[:, :, :16] = False
    if case == 'hot pixel':
        data[:, 3, 3] = 1e30
    shape = shape_of(data=data, valid=valid)
    assert np.isfinite(shape).all() and shape.min() >= -1 and shape.max() <= 2
    assert not shape[~valid].any()


@pytest.mark.parametrize('good', [1.0, 0.7, 0.1])
def test_masked_median_is_that_of_numpy(good):
    rng = np.random.default_rng(1)
    x = rng.normal(5, 100, (8, 20, 20)).astype(np.float32)
    valid = (rng.random(x.shape) < good).astype(np.float32)
    found = np.array(masked_median(x, valid))
    for row in range(8):
        values = np.sort(x[row][valid[row] > 0])
        assert found[row] == pytest.approx(values[(len(values) - 1) // 2], abs=1e-3)


def test_optical_sky_and_scale_are_divided_out_and_polarity_kept():
    rng = np.random.default_rng(1)
    sky = rng.normal(0, 1, (6, 32, 32))
    sky[:, 14:18, 14:18] += 50
    one, _ = planes_of(PICTURE, data=sky)
    other, _ = planes_of(PICTURE, data=4000 + 17 * sky)
    np.testing.assert_allclose(one, other, atol=2e-3)
    assert (one[:, 15:17, 15:17] > 2).all()
    turned, _ = planes_of(PICTURE, data=-sky)
    assert (turned[:, 15:17, 15:17] < -2).all()


@pytest.mark.parametrize('case', ['hot pixel', 'saturated star'])
def test_one_saturated_star_does_not_make_a_galaxy_fade(case):
    sky = np.random.default_rng(1).normal(1000, 10, (6, 32, 32))
    galaxy = (slice(None), slice(14, 18), slice(14, 18))
    sky[galaxy] += 80
    with_star = sky.copy()
    part = slice(2, 3) if case == 'hot pixel' else slice(2, 6)
    with_star[:, part, part] = 65535
    one, _ = planes_of(PICTURE, data=sky)
    other, _ = planes_of(PICTURE, data=with_star)
    assert one[galaxy].mean() > 1
    assert other[galaxy].mean() == pytest.approx(one[galaxy].mean(), rel=0.03)


@pytest.mark.parametrize('share', [0.3, 0.6, 0.95])
def test_scatter_of_pictures_whose_pixels_mostly_have_one_value(share):
    rng = np.random.default_rng(1)
    sky = np.where(rng.random((6, 32, 32)) < share, 0, rng.normal(0, 10, (6, 32, 32)))
    picture, _ = planes_of(PICTURE, data=sky)
    spread = abs(picture).max((1, 2, 3))
    assert ((spread > 1) & (spread < 6)).all()


def test_optical_masks_and_constant_pictures():
    data = np.full((2, 32, 32), 7.0)
    data[:, :8] = 1e6
    valid = np.ones(data.shape, bool)
    valid[:, :8] = False
    picture, coverage = planes_of(PICTURE, data=data, valid=valid)
    assert not picture.any()
    assert coverage[:, :8].sum() == 0 and coverage[:, 8:].all()


def test_stacking_puts_a_source_of_all_bands_on_the_same_pixels():
    bands = (
        BandSpec(name='xray', kind='xray', shape=(16, 16), pixel_scale=4.0),
        BandSpec(name='g', kind='optical', shape=(32, 32), pixel_scale=2.0),
    )
    y, x = np.mgrid[:32, :32] - 15.5
    fine = np.exp(-((x - 4) ** 2 + (y + 6) ** 2) / 60).astype(np.float32)
    coarse = fine.reshape(16, 2, 16, 2).mean((1, 3))
    stacked = np.array(
        stack_on_one_grid(
            {'xray': coarse[None, ..., None], 'g': fine[None, ..., None]}, InputSpec(bands=bands)
        )
    )
    assert stacked.shape == (1, 32, 32, 2)
    assert abs(stacked[..., 0] - stacked[..., 1]).max() < 0.06
