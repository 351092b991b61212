# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compiled loops against NumPy and SciPy.
"""

import errno
import importlib.util
import sys

import numba
import numpy as np
import pytest
from scipy import ndimage

from clustercnn.finding import _compiled
from clustercnn.finding._compiled import compiled, inputs
from clustercnn.finding._likelihood import (
    add_template,
    lit_pixels,
    moved_template,
    newton_amplitudes,
    normal_equations,
    score_test,
    summed,
)
from clustercnn.finding._passes import mixture, sums_in_cells
from clustercnn.finding._rings import (
    best_exposed,
    furthest,
    in_rings,
    quantile,
    radial,
    seen_places,
)


def stamp(seed, *, n_models=3, side=21):
    """
    Return templates of sum 1, and photons of the second of 200 counts upon a background.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((side, side)) - side // 2
    widths = np.linspace(1, 3, n_models)[:, None, None]
    templates = np.exp(-0.5 * (rows**2 + columns**2) / widths**2)
    templates /= templates.sum(axis=(1, 2), keepdims=True)
    background = np.full(side**2, 0.2)
    counts = rng.poisson(background + 200 * templates[1].ravel()).astype(float)
    return templates.reshape(n_models, -1), counts, background


def test_compilation_goes_on_where_nothing_can_be_kept(monkeypatch):
    def without_a_place(function):
        raise RuntimeError('cannot cache function')

    monkeypatch.setattr(_compiled, '_Cache', without_a_place)
    assert compiled(lambda value: value + 1)(1) == 2


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """
    Return a function that says whether another process would find machine code, and its folder.
    """
    folder = tmp_path / 'cache'
    monkeypatch.setattr(numba.config, 'CACHE_DIR', str(folder))
    source = tmp_path / 'module.py'
    source.write_text('def twice(value):\n    return 2 * value\n')
    spec = importlib.util.spec_from_file_location('module', source)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'module', module)
    spec.loader.exec_module(module)

    def found():
        function = compiled(module.twice)
        assert function(2.0) == 4
        hits, misses = (
            sum(counter.values())
            for counter in (function.stats.cache_hits, function.stats.cache_misses)
        )
        assert hits + misses == 1
        return hits == 1

    return found, folder


@pytest.mark.parametrize('suffix', ['nbi', 'nbc'])
def test_a_broken_cache_is_made_again(cached, suffix):
    found, folder = cached
    assert [found(), found()] == [False, True]
    (file,) = folder.rglob(f'module.twice-*.{suffix}')
    for content in (b'', file.read_bytes()[:-9], b'nonsense'):
        file.write_bytes(content)
        assert [found(), found()] == [False, True]


def test_a_full_disk_keeps_nothing_and_stops_nothing(cached, monkeypatch):
    def full(*args):
        raise OSError(errno.EDQUOT, 'Disk quota exceeded')

    found, folder = cached
    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, 'save', full)
    assert [found(), found()] == [False, False]
    # neither read nor replaced
    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, 'load', full)
    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, 'flush', full)
    assert not found()
    assert not list(folder.rglob('module.twice-*'))


def test_inputs_of_all_kinds_are_of_one():
    image = np.arange(12.0).reshape(3, 4)
    locked = image.copy()
    locked.flags.writeable = False
    for array in (image, locked, image.astype('>f8'), np.asfortranarray(image)):
        (view,) = inputs(array)
        assert numba.typeof(view) == numba.typeof(inputs(image)[0])
        np.testing.assert_array_equal(view, image)
    assert image.flags.writeable


@pytest.mark.parametrize('share', [0.0, 0.1, 1 / 3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize('n', [1, 2, 3, 10, 2001])
def test_quantiles_are_those_of_numpy(n, share):
    rng = np.random.default_rng(n)
    for values in (rng.random(n), rng.integers(0, 3, n).astype(float), rng.lognormal(0, 9, n)):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share), rel=1e-12)


def test_quantiles_of_short_and_of_tiny_numbers_stay_in_their_bins():
    # the difference is rounded up to one that is beyond the last bin
    values = np.array([1.4415962, 2, 3, 9.486495], np.float32)
    for share in (0.0, 0.4, 1.0):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share), rel=1e-6)
    assert quantile(np.array([0.0, 5e-324, 1e-323]), 0.5) == pytest.approx(0, abs=1e-300)


def test_nothing_but_the_axis_has_no_rings():
    for n in (0, 12):
        zeros = np.zeros(n)
        distances, heights = in_rings(np.ones(n), zeros, zeros, 9, 0.9)
        assert len(distances) == len(heights) == 0


def test_a_model_off_its_place_and_its_slopes_are_those_of_numpy():
    rng = np.random.default_rng(11)
    around = tuple(rng.random((3, 12, 11)).astype(np.float32) for _ in range(5))
    out = np.empty((3, 7, 9), np.float32)
    moved_template(around, 1, 4, 1, 0.1, -0.15, 1 / 3, out)
    middle, after, before, above, below = (models[1, 4:11, 1:10] for models in around)
    along, across = 1.5 * (after - before), 1.5 * (above - below)
    direct = [np.maximum(middle + 0.1 * along - 0.15 * across, 0), along, across]
    np.testing.assert_allclose(out, direct, rtol=1e-5, atol=1e-6)


def test_photons_that_count_lie_on_exposed_pixels():
    rng = np.random.default_rng(12)
    counts, background, response = rng.poisson(0.7, 99) * 1.0, rng.random(99), rng.random(99)
    response[::4] = 0
    lit, photons, dark = lit_pixels(counts, background, response.astype(np.float32))
    np.testing.assert_array_equal(lit, np.flatnonzero((counts > 0) & (response > 0)))
    np.testing.assert_array_equal(photons, counts[lit])
    np.testing.assert_array_equal(dark, background[lit])


@pytest.mark.parametrize('size', [3, 4, 7, 20])
def test_the_best_exposed_part_is_that_of_means_over_boxes(size):
    image = np.random.default_rng(size).random((50, 63)) * (np.indices((50, 63))[1] > 9)
    cover = ndimage.uniform_filter((image > 0).astype(float), size, mode='constant')
    mean = ndimage.uniform_filter(image, size, mode='constant')
    mean = np.where(cover > 0.3 + 1e-9, mean / np.maximum(cover, 1e-9), 0)
    rows, columns = np.nonzero(mean > 0.8 * mean.max())
    n, n_seen, x, y = best_exposed(*inputs(image), size, 0.3 + 1e-9, 0.8)
    assert (n, n_seen) == (len(rows), (mean > 0).sum())
    assert (x, y) == (columns.sum(), rows.sum())


def test_rings_and_their_function_are_those_of_numpy():
    image = np.random.default_rng(4).random((80, 101))
    image[image < 0.2] = 0
    value, dx, dy = seen_places(*inputs(image), 2, 40.5, 33.0)
    rows, columns = np.nonzero(image[::2, ::2])
    np.testing.assert_array_equal(value, image[::2, ::2][rows, columns])
    np.testing.assert_array_equal(dx, 2 * columns - 40.5)
    distance = np.hypot(dx, dy)
    image[:20] = image[:, 90:] = 0
    rows, columns = np.nonzero(image[::2, ::2])
    far = np.hypot(2 * columns - 40.5, 2 * rows - 33.0).max()
    assert furthest(*inputs(image), 2, 40.5, 33.0) == pytest.approx(far)
    assert furthest(*inputs(0 * image), 1, 40.5, 33.0) == 0
    middle, height = in_rings(value, dx, dy, 9, 0.9)
    ring = np.minimum(distance / (distance.max() / 9), 8).astype(int)
    kept = [k for k in range(9) if (ring == k).sum() >= 10]
    np.testing.assert_allclose(middle, [distance[ring == k].mean() for k in kept])
    np.testing.assert_allclose(height, [np.quantile(value[ring == k], 0.9) for k in kept])
    out = np.empty(image.shape, np.float32)
    radial(40.5, 33.0, middle, height, 0, out[:31])
    radial(40.5, 33.0, middle, height, 31, out[31:])
    y, x = np.indices(image.shape)
    expected = np.interp(np.hypot(x - 40.5, y - 33.0), middle, height)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_a_mixture_is_the_most_likely_one():
    rng = np.random.default_rng(5)
    sums = rng.random((2, 300)) * 50
    made = rng.poisson(0.7 * sums[0] + 0.2 * sums[1]).astype(float)
    rates = mixture(made, sums, 300)

    def likelihood(first, second):
        expected = first * sums[0] + second * sums[1]
        return (made * np.log(expected) - expected).sum()

    best = likelihood(*rates)
    for step in ((1e-2, 0), (-1e-2, 0), (0, 1e-2), (0, -1e-2)):
        assert likelihood(*(rates + step)) < best


def test_sums_in_cells_leave_out_what_is_not_good():
    rng = np.random.default_rng(6)
    counts, background, good = rng.random((3, 22, 31))
    good = good > 0.4
    sums = sums_in_cells(*inputs(counts, background, good), 5)
    assert sums.shape == (2, 5, 7)
    for made, plane in zip(sums, (counts, background), strict=True):
        padded = np.zeros((25, 35))
        padded[:22, :31] = np.where(good, plane, 0)
        np.testing.assert_allclose(made, padded.reshape(5, 5, 7, 5).sum(axis=(1, 3)))


def test_amplitudes_are_where_the_likelihood_is_highest():
    templates, counts, background = stamp(7)
    lit = np.flatnonzero(counts)
    response = np.linspace(0.5, 1, len(counts))
    statistic, amplitude, curvature = newton_amplitudes(
        templates, lit, counts[lit], background[lit], response, np.full(3, 50.0), 30
    )

    def gain(model, value):
        source = value * templates[model] * response
        return 2 * (counts @ np.log1p(source / background) - source.sum())

    assert statistic.argmax() == 1
    for model in range(3):
        assert statistic[model] == pytest.approx(gain(model, amplitude[model]), rel=1e-9)
        step = 1 / np.sqrt(curvature[model])
        for sign in (-1, 1):
            # one sigma away it is lower by about one
            lower = statistic[model] - gain(model, amplitude[model] + sign * step)
            assert lower == pytest.approx(1, abs=0.2)


def test_normal_equations_are_those_of_matrices():
    rng = np.random.default_rng(8)
    parts, amplitude = rng.random((2, 3, 40)), np.array([3.0, 5.0])
    counts, background = rng.poisson(4.0, 40).astype(float), rng.random(40) + 0.5
    lit = np.flatnonzero(counts)
    source, gain = summed(parts, amplitude, lit, counts[lit], background[lit])
    np.testing.assert_allclose(source, amplitude @ parts[:, 0])
    direct = 2 * (counts @ np.log1p(source / background) - source.sum())
    assert gain == pytest.approx(direct)
    information, score = normal_equations(parts, amplitude, source, counts, background)
    scale = np.stack([np.ones(2), amplitude, amplitude])
    derivatives = (scale[..., None] * parts.swapaxes(0, 1)).reshape(6, -1)
    expected = background + source
    np.testing.assert_allclose(information, (derivatives / expected) @ derivatives.T)
    np.testing.assert_allclose(score, (derivatives / expected) @ (counts - expected), atol=1e-12)


def test_the_score_test_is_that_of_matrices():
    rng = np.random.default_rng(10)
    source, counts, background = rng.random(63), rng.poisson(3.0, 63) * 1.0, rng.random(63) + 0.5
    response, templates = rng.random((7, 9)).astype(np.float32), rng.random((3, 12, 11))
    gain = score_test(source, 2.0, counts, background, response, templates, 4, 1)
    expected = background + 2 * source
    for number, template in enumerate(templates):
        both = np.array([source, (template[4:11, 1:10] * response).ravel()])
        score = both @ (counts / expected - 1)
        information = (both / expected) @ both.T
        # with the amplitude of the source left free
        slope = score[1] - information[0, 1] / information[0, 0] * score[0]
        left = information[1, 1] - information[0, 1] ** 2 / information[0, 0]
        assert gain[number] == pytest.approx(max(slope, 0) ** 2 / left)
    assert gain.max() > 0


def test_what_is_added_and_taken_away_leaves_nothing_below_zero():
    rng = np.random.default_rng(9)
    template, response = (rng.random(shape).astype(np.float32) for shape in ((11, 13), (9, 12)))
    for top, left in ((0, -1), (-5, 4), (6, -9), (20, 0), (0, 12)):
        rows, columns = (np.arange(n) - at for n, at in ((9, top), (12, left)))
        seen = ((rows >= 0) & (rows < 11))[:, None] & (columns >= 0) & (columns < 13)
        there = template[rows.clip(0, 10)[:, None], columns.clip(0, 12)]
        plane = np.zeros((9, 12), np.float32)
        add_template(plane, top, left, template, response, 7.0)
        np.testing.assert_allclose(plane, np.where(seen, 7 * there * response, 0), rtol=1e-6)
        add_template(plane, top, left, template, response, -7.1)
        np.testing.assert_array_equal(plane, 0)
