# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Two point sources, and a cluster round a point source, come out as what they are.
"""

import dataclasses

import astropy.units as u
import numpy as np
import pytest

from clustercnn import CutoutMaker, WaveletFinder
from clustercnn.finding._alternatives import Blend, PointShape, fit_blend, promise
from clustercnn.finding._fitter import SourceFitter
from clustercnn.finding._objects import cores_of, merged, parts_of
from clustercnn.finding._profiles import OUTER_RADIUS, beta_wings, enclosed, template_bank
from clustercnn.testing import tiny_image

SIDE, MIDDLE = 120, 60.0
# King profile of 8 arcsec FWHM on pixels of 4 arcsec, as tiny_image has it
CORE = 1.305


def _king(x, y, core=CORE):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    fine = [
        (1 + ((columns + dx - x) ** 2 + (rows + dy - y) ** 2) / core**2) ** -1.5
        for dx in (-0.33, 0, 0.33)
        for dy in (-0.33, 0, 0.33)
    ]
    shape = np.mean(fine, axis=0)
    return shape / (2 * np.pi * core**2)


def _cluster(radius, x=MIDDLE, y=MIDDLE):
    bank = template_bank((0.0, radius), CORE, 1.5, SIDE)
    at = SIDE - round(y), SIDE - round(x)
    return bank.at(0, 0)[1, at[0] : at[0] + SIDE, at[1] : at[1] + SIDE]


def _image(expected, seed):
    counts = np.random.default_rng([21, seed]).poisson(expected + 0.05)
    return tiny_image(shape=(SIDE, SIDE)).replace(counts=counts)


@pytest.mark.parametrize('apart', [3.0, 4.0])
def test_a_pair_of_point_sources_is_two_point_sources(apart):
    n_fields, n_right = 6, 0
    for seed in range(n_fields):
        turn = np.random.default_rng([20, seed]).uniform(0, np.pi)
        dx, dy = 0.5 * apart * np.cos(turn), 0.5 * apart * np.sin(turn)
        both = _king(MIDDLE - dx, MIDDLE - dy) + _king(MIDDLE + dx, MIDDLE + dy)
        catalog = WaveletFinder()(_image(150 * both, seed))
        n_right += len(catalog) == 2 and not catalog.extended().any()
    assert n_right >= n_fields - 1


@pytest.mark.parametrize('radius', [3.0, 6.0])
def test_a_round_cluster_is_one_extended_source(radius):
    for seed in range(5):
        catalog = WaveletFinder()(_image(300 * _cluster(radius), seed))
        assert len(catalog) == 1
        assert catalog.extended().all()
        assert catalog['pair_like'][0] <= 0


def test_a_cluster_round_a_point_source_is_one_extended_source():
    cluster = 3000 * _cluster(6.0)
    for seed in range(4):
        catalog = WaveletFinder()(_image(cluster + 1000 * _king(MIDDLE, MIDDLE), seed))
        assert len(catalog) == 1
        assert catalog['extent'][0].value == pytest.approx(24, rel=0.25)
        assert catalog['core_like'][0] > 20
        assert catalog['core_counts'][0].value == pytest.approx(1000, rel=0.25)
        assert catalog['counts'][0].value == pytest.approx(4000, rel=0.1)
        # alone, nothing is said to sit in its middle
        catalog = WaveletFinder()(_image(cluster, seed))
        assert len(catalog) == 1
        assert catalog['core_counts'][0].value == 0


def test_a_bright_point_source_has_nothing_round_it():
    for seed in range(4):
        catalog = WaveletFinder()(_image(2000 * _king(60.3, 59.8), seed))
        assert len(catalog) == 1
        assert not catalog.extended().any()


def test_point_source_has_the_counts_and_slopes_it_says():
    shape = PointShape(radial=1.2, tangential=2.0, slope=1.5, angle=0.7, reach=60)
    grid = np.arange(-60, 61)
    flat = np.ones((121, 121), np.float32)
    image, slope_x, slope_y = shape.image(grid - 0.2, grid + 0.3, flat)
    assert image.sum() == pytest.approx(1, rel=0.02)
    step = 1e-4
    ahead, behind = (shape.image(grid - 0.2 - d, grid + 0.3, flat)[0] for d in (step, -step))
    np.testing.assert_allclose(slope_x, (ahead - behind) / (2 * step), atol=1e-6)
    ahead, behind = (shape.image(grid - 0.2, grid + 0.3 - d, flat)[0] for d in (step, -step))
    np.testing.assert_allclose(slope_y, (ahead - behind) / (2 * step), atol=1e-6)


@pytest.mark.parametrize(
    ('radial', 'tangential', 'slope', 'wrong'),
    # two points across a pixel are not quite enough for the third
    [(0.3, 0.8, 1.5, 1e-3), (0.6, 1.2, 1.5, 1e-3), (1.2, 1.5, 1.5, 4e-3), (4.0, 6.0, 2.2, 1e-3)],
)
@pytest.mark.parametrize('half', [7, 38])
def test_point_source_is_integrated_over_pixels(radial, tangential, slope, wrong, half):
    shape = PointShape(radial=radial, tangential=tangential, slope=slope, angle=0.4, reach=77)
    grid = np.arange(-half, half + 1)
    response = np.linspace(0.5, 1, len(grid) ** 2, dtype=np.float32).reshape(2 * (len(grid),))
    image = shape.image(grid + 0.3, grid - 0.4, response)[0] / response
    fine = np.linspace(-0.5, 0.5, 41)[:-1] + 0.5 / 40
    x, y = ((grid[:, None] + shift + fine).ravel() for shift in (0.3, -0.4))
    along = (x * np.cos(0.4) + y[:, None] * np.sin(0.4)) / radial
    across = (y[:, None] * np.cos(0.4) - x * np.sin(0.4)) / tangential
    profile = (1 + along**2 + across**2) ** -slope
    area = radial * tangential
    profile /= np.pi * area / (slope - 1) * (1 - (1 + 77**2 / area) ** (1 - slope))
    direct = profile.reshape(len(grid), 40, len(grid), 40).mean(axis=(1, 3))
    np.testing.assert_allclose(image, direct, rtol=wrong)


def test_beta_model_is_whole_with_its_wings():
    radius, half = 5.0, 12
    assert enclosed(OUTER_RADIUS * radius, radius) == 1
    assert enclosed(3.0, 0.0) == 1
    reach = int(OUTER_RADIUS * radius) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    wings = beta_wings(x**2 + y**2, radius, half + 1)
    assert wings.sum() == pytest.approx(1 - enclosed(half + 1, radius), rel=0.01)
    assert (wings[np.hypot(x, y) <= half] == 0).all()


def _fitted(expected, seed, **options):
    image = _image(expected, seed)
    fitter = SourceFitter(image, psf_fwhm=8.0)
    counts, rest = image.counts, np.full(image.shape, 0.05)
    return fitter, counts, rest, fitter.fit(counts, rest, MIDDLE, MIDDLE, **options)


def test_the_score_test_promises_what_a_halo_gains():
    halo = 400 * _cluster(6.0) + 600 * _king(MIDDLE, MIDDLE)
    for seed in range(4):
        fitter, counts, rest, fit = _fitted(halo, seed, point_only=True)
        stamp = fitter.stamp(counts, rest, fit, half=fitter.half)
        bare = Blend(models=(0,), x=[fit.x], y=[fit.y], amplitude=[fit.amplitude], statistic=0)
        radii = fitter._bank(fit.psf_step)[1]
        models = range(4, len(radii))
        promised = promise(stamp, bare, models)
        alone = fit_blend(stamp, (0,), bare.x, bare.y, bare.amplitude, reach=2.0)
        gains = [
            fit_blend(
                stamp,
                (0, model),
                [fit.x] * 2,
                [fit.y] * 2,
                [fit.amplitude / 2, fit.amplitude / 2],
                reach=2.0,
            ).statistic
            - alone.statistic
            for model in models
        ]
        assert min(max(promised), max(gains)) > 50
        # the first derivative tells the order of what the fit gains
        assert 0.4 < max(promised) / max(gains) < 2.5


def test_a_point_source_alone_promises_no_halo():
    few = []
    for seed in range(10):
        fitter, counts, rest, fit = _fitted(800 * _king(MIDDLE, MIDDLE), seed, point_only=True)
        few.append(fitter.with_core(counts, rest, fit).core_gain)
    assert np.median(few) < 2
    assert max(few) < 12


@pytest.mark.parametrize('brighter', ['core', 'halo'])
def test_of_a_core_and_its_halo_the_brighter_is_the_source(brighter):
    image = _image(3000 * _cluster(6.0), 1)
    fitter = SourceFitter(image, psf_fwhm=8.0)
    fit = fitter.fit(image.counts, np.full(image.shape, 0.05), MIDDLE, MIDDLE)
    few, many = (
        dataclasses.replace(fit, counts=number, counts_err=30.0) for number in (300.0, 3000.0)
    )
    core, halo = (many, few) if brighter == 'core' else (few, many)
    halo = dataclasses.replace(halo, radius=2 * core.radius, x=core.x + 1)
    reasons = {}
    both, significance = [halo, core], np.array([5.0, 40.0])
    fits, significance = merged(both, significance, cores_of(both), 'core', reasons)
    assert reasons == {'core': 1}
    assert fits[0].counts == 3000
    assert fits[0].radius == (core if brighter == 'core' else halo).radius
    # it is as significant as the best of the two
    assert significance.tolist() == [40]
    assert fits[0].merged == 300


def _extended(fitter, **changes):
    fit = fitter.fit(np.ones((64, 64)), np.full((64, 64), 0.1), 32.0, 32.0)
    return dataclasses.replace(fit, **{'radius': 8.0, 'merged': 0.0, 'at_limit': False} | changes)


def test_counts_of_a_chain_of_cores_are_counted_once():
    fitter = SourceFitter(tiny_image(), psf_fwhm=8.0)
    chain = [
        _extended(fitter, x=30.0, y=30.0, counts=100.0, radius=4.0),
        _extended(fitter, x=33.0, y=30.0, counts=50.0, radius=7.0),
        _extended(fitter, x=38.0, y=30.0, counts=400.0, radius=11.0),
    ]
    fits, _ = merged(chain, np.ones(3), cores_of(chain), 'core', {})
    assert len(fits) == 1
    assert fits[0].counts + fits[0].merged == 550


def test_two_of_a_size_are_one_where_they_have_one_peak():
    fitter = SourceFitter(tiny_image(), psf_fwhm=8.0)
    one = _extended(fitter, x=20.0, y=30.0, counts=100.0, radius=10.0)
    assert len(cores_of([one, dataclasses.replace(one, x=27.0)])) == 1
    assert cores_of([one, dataclasses.replace(one, x=32.0)]) == {}
    # within the core of the wider one, but not of the narrower one
    assert cores_of([one, dataclasses.replace(one, x=28.0, radius=7.0)]) == {}
    # a row of them is no single source
    row = [dataclasses.replace(one, x=9.0 * k) for k in range(6)]
    assert len(merged(row, np.ones(6), cores_of(row), 'core', {})[0]) >= 2


@pytest.mark.parametrize(
    ('at_limit', 'share', 'is_part'),
    [
        (True, 0.9, True),
        (True, 1.1, False),
        (False, 0.9, False),
        (False, 0.15, True),
    ],
)
def test_what_a_brighter_cluster_outshines_is_part_of_it(at_limit, share, is_part):
    fitter = SourceFitter(tiny_image(), psf_fwhm=8.0)
    whole = _extended(fitter, x=20.0, y=32.0, counts=1e4, amplitude=1e4, at_limit=at_limit)
    width = whole.radius**2 + (whole.fwhm / 2.3548) ** 2
    light = 1e4 / width * (1 + 18.0**2 / width) ** -1.5
    part = _extended(fitter, x=38.0, y=32.0, counts=500.0, amplitude=share * light * width)
    assert parts_of([part, whole]) == ({0: 1} if is_part else {})
    # a point source is none, and what has one in its middle is none
    for other in ({'radius': 0.0}, {'core': (38.0, 32.0, 400.0)}):
        assert parts_of([dataclasses.replace(part, **other), whole]) == {}


def test_the_width_of_the_psf_is_told_where_the_source_is():
    image = tiny_image(shape=(300, 300)).replace(mission='Chandra')
    rows, columns = np.indices(image.shape)
    expected = np.full(image.shape, 0.05)
    for x in (150, 290):
        expected += 30 * np.exp(-((columns - x) ** 2 + (rows - 150) ** 2) / 8.0)
    image = image.replace(counts=np.random.default_rng(5).poisson(expected))
    catalog = WaveletFinder()(image)
    width = catalog['psf_fwhm']
    assert width.unit == 'arcsec'
    middle, outside = (np.argmin(abs(catalog['x'].value - x)) for x in (150, 290))
    assert width[middle].value == pytest.approx(8, rel=0.06)
    assert width[outside] > 1.1 * width[middle]
    stack = CutoutMaker()({'xray': image}, catalog)
    np.testing.assert_array_equal(stack.features['psf_fwhm'], width.value)


def test_a_width_that_was_assumed_is_not_known():
    image = tiny_image().replace(psf_fwhm=None)
    assert np.isnan(WaveletFinder()(image)['psf_fwhm'].value).all()
    assert WaveletFinder(psf_fwhm=6 * u.arcsec)(image)['psf_fwhm'].value.tolist() == [6]


def test_a_width_found_on_another_image_tells_how_it_grows():
    catalog = WaveletFinder()(tiny_image())
    grown = catalog.with_columns(psf_fwhm=np.full(len(catalog), 12.0, np.float32))
    image = tiny_image().replace(psf_fwhm=30 * u.arcsec)
    stack = CutoutMaker()({'xray': image}, grown)
    np.testing.assert_allclose(stack.features['psf_fwhm'], 45.0)
    image = tiny_image().replace(psf_fwhm=None)
    np.testing.assert_allclose(CutoutMaker()({'xray': image}, grown).features['psf_fwhm'], 12)
