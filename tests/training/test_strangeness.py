# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Images that are unlike those of the training are known by plain numbers.
"""

import numpy as np
import pytest

from clustercnn.network import BandArrays, BandSpec, InputSpec, make_dataset
from clustercnn.training import (
    fit_statistics,
    image_statistics,
    n_statistics,
    statistics_distance,
)

N = 400
XRAY = BandSpec(name='xray', kind='xray', shape=(32, 32), pixel_scale=4.0)
PICTURE = BandSpec(name='g', kind='optical', shape=(48, 48), pixel_scale=1.0)
INPUTS = InputSpec(bands=(XRAY, PICTURE))


def sources(n, rng, *, size=32):
    y, x = (np.arange(size) - (size - 1) / 2 for _ in range(2))
    radius2 = (y[:, None] ** 2 + x**2)[None]
    width = rng.uniform(1, 4, (n, 1, 1))
    peak = rng.uniform(2, 20, (n, 1, 1))
    return rng.poisson(0.3 + peak * np.exp(-0.5 * radius2 / width**2)).astype(float)


def pictures(n, rng):
    return 1000 + 20 * rng.standard_normal((n, 48, 48)) + 30 * sources(n, rng, size=48)


def statistics(counts, picture=None):
    bands = {'xray': BandArrays(data=counts.astype('f4'), pixel_scale=4.0)}
    if picture is not None:
        bands['g'] = BandArrays(data=picture.astype('f4'), pixel_scale=1.0)
    return image_statistics(make_dataset(INPUTS, bands), INPUTS)


@pytest.fixture(scope='module')
def reference():
    rng = np.random.default_rng(1)
    values = statistics(sources(N, rng), pictures(N, rng))
    return {name: fit_statistics(value) for name, value in values.items()}


def ring(shape, radius, width):
    y, x = (np.arange(size) - (size - 1) / 2 for size in shape)
    return np.exp(-0.5 * ((np.hypot(y[:, None], x) - radius) / width) ** 2)


STRANGE = {
    'flipped': ('xray', lambda x, g, rng: -x),
    'rates': ('xray', lambda x, g, rng: x / 1e4),
    'thousands': ('xray', lambda x, g, rng: 1000 * x),
    'noise': ('xray', lambda x, g, rng: rng.poisson(0.3, x.shape).astype(float)),
    'shells': (
        'xray',
        lambda x, g, rng: rng.poisson(0.3 + 4 * ring((32, 32), 9, 1.5), x.shape).astype(float),
    ),
    'flipped picture': ('g', lambda x, g, rng: -g),
    'ring in the picture': ('g', lambda x, g, rng: g + 400 * ring((48, 48), 9, 2)),
    'smooth picture': ('g', lambda x, g, rng: g.mean((1, 2))[:, None, None] + 0 * g),
}


@pytest.mark.parametrize('kind', list(STRANGE))
def test_strange_images_are_far(reference, kind):
    rng = np.random.default_rng(2)
    counts, picture = sources(N, rng), pictures(N, rng)
    band, change = STRANGE[kind]
    changed = change(counts, picture, rng)
    values = statistics(*((changed, picture) if band == 'xray' else (counts, changed)))
    usual = statistics_distance(statistics(counts, picture)[band], reference[band])
    strange = statistics_distance(values[band], reference[band])
    assert 0.02 < (usual > 1).mean() < 0.1
    # the area under the curve
    assert (strange[:, None] > usual[None]).mean() > 0.95


def test_numbers_do_not_depend_on_exposure_unit_or_company():
    rng = np.random.default_rng(3)
    counts = sources(300, rng)
    picture = pictures(300, rng)
    alone, together = statistics(counts[:1], picture[:1]), statistics(counts, picture)
    for name in ('xray', 'g'):
        np.testing.assert_array_equal(alone[name], together[name][:1])
    exposure = np.full(counts.shape, 2e4, 'f4')
    dataset = make_dataset(
        INPUTS,
        {'xray': BandArrays(data=counts.astype('f4'), pixel_scale=4.0, exposure=exposure)},
    )
    np.testing.assert_allclose(
        image_statistics(dataset, INPUTS)['xray'], statistics(counts)['xray'], rtol=1e-5
    )


def test_a_shell_is_hollow_and_a_neighbour_beside_a_source_is_not():
    rng = np.random.default_rng(8)
    y, x = (np.arange(32) - 15.5 for _ in range(2))
    neighbour = np.exp(-0.5 * ((y[:, None] - 9) ** 2 + (x - 2) ** 2) / 1.5**2)
    shapes = {'shell': ring((32, 32), 9, 1.5), 'neighbour': neighbour, 'nothing': 0 * neighbour}
    hollow = {}
    for name, shape in shapes.items():
        model = 0.3 + 250 * shape / max(shape.sum(), 1)
        hollow[name] = np.sinh(statistics(rng.poisson(model, (50, 32, 32)))['xray'][:, -1])
    assert np.median(hollow['shell']) > 3
    for name in ('neighbour', 'nothing'):
        assert np.median(hollow[name]) < 1
        assert (hollow['shell'][:, None] > hollow[name]).mean() > 0.99


def test_hollowness_is_that_of_the_formula_and_leaves_out_what_is_not_seen():
    counts = np.zeros((1, 32, 32), 'f4')
    radius = np.hypot(*np.meshgrid(np.arange(32) - 15.5, np.arange(32) - 15.5))
    far = (radius >= 8) & (radius < 10)
    counts[0, far] = 1.0
    exposure = np.ones(counts.shape, 'f4')
    # two of the eight octants are not seen
    exposure[0][far & (np.arange(32) < 16)[:, None] & (np.arange(32) < 16)] = 0
    band = BandArrays(data=counts, pixel_scale=4.0, exposure=exposure)
    values = image_statistics(make_dataset(INPUTS, {'xray': band}), INPUTS)['xray']
    seen, within = far.sum() / 2, (radius < 8).sum()
    expected = 1 / np.hypot(1 / np.sqrt(seen), 1 / within)
    np.testing.assert_allclose(np.sinh(values[0, -1]), expected, rtol=1e-6)


def test_missing_bands_are_not_strange(reference):
    values = statistics(sources(4, np.random.default_rng(1)))['g']
    assert np.isnan(values).all()
    assert (statistics_distance(values, reference['g']) == 0).all()
    assert fit_statistics(values) is None


def test_masked_pixels_count_for_nothing():
    rng = np.random.default_rng(5)
    picture = pictures(6, rng).astype('f4')
    valid = np.ones(picture.shape, bool)
    valid[:, :, 40:] = False
    spoilt = np.where(valid, picture, 1e6).astype('f4')
    one, other = (
        image_statistics(
            make_dataset(INPUTS, {'g': BandArrays(data=data, pixel_scale=1.0, valid=valid)}),
            INPUTS,
        )['g']
        for data in (picture, spoilt)
    )
    np.testing.assert_array_equal(one, other)


def test_a_masked_middle_hides_nothing(reference):
    rng = np.random.default_rng(6)
    picture = 1000 + 400 * ring((48, 48), 9, 2) + 20 * rng.standard_normal((4, 48, 48))
    valid = np.ones(picture.shape, bool)
    valid[:, 22:26, 22:26] = False
    band = BandArrays(data=picture.astype('f4'), pixel_scale=1.0, valid=valid)
    values = image_statistics(make_dataset(INPUTS, {'g': band}), INPUTS)['g']
    assert np.isnan(values).any()
    assert (statistics_distance(values, reference['g']) > 1).all()


@pytest.mark.parametrize('factor', [1e10, 1e18, 1e30])
def test_no_unit_is_too_wrong_to_be_seen(reference, factor):
    counts = sources(4, np.random.default_rng(7)) * factor
    distance = statistics_distance(statistics(counts)['xray'], reference['xray'])
    assert (distance > 3).all() and np.isfinite(distance).all()


def test_no_cutouts_have_no_distances(reference):
    values = statistics(np.zeros((0, 32, 32)))['xray']
    assert values.shape == (0, n_statistics(XRAY))
    assert statistics_distance(values, reference['xray']).shape == (0,)


@pytest.mark.parametrize('size', [4, 6, 8, 16, 33, 128])
@pytest.mark.parametrize('kind', ['xray', 'optical'])
def test_any_size_has_the_numbers_that_are_promised(size, kind):
    spec = BandSpec(name='b', kind=kind, shape=(size, size), pixel_scale=2.0)
    inputs = InputSpec(bands=(spec,))
    data = np.random.default_rng(1).poisson(2.0, (5, size, size)).astype('f4')
    dataset = make_dataset(inputs, {'b': BandArrays(data=data, pixel_scale=2.0)})
    values = image_statistics(dataset, inputs)['b']
    assert values.shape == (5, n_statistics(spec))
    assert np.isfinite(values).all()
    assert np.isfinite(statistics_distance(values, fit_statistics(values))).all()
