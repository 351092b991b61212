# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A field is reproducible, complete, consistent with its truth, and reads back.
"""

import hashlib
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from clustercnn.core import CandidateCatalog
from clustercnn.exceptions import ImageReadError
from clustercnn.simulate import (
    MISSIONS,
    SimulatedField,
    SimulationConfig,
    simulate_field,
)
from clustercnn.simulate._sources import SUBCLASS_NAMES, SourceList
from clustercnn.simulate.populations import draw_artefacts

DIGEST = """
import hashlib
from clustercnn.simulate import simulate_field, SimulationConfig
f = simulate_field(seed=7, config=SimulationConfig(target='cluster'))
h = hashlib.sha256()
for a in (f.xray.counts, f.optical.data, f.exposure, f.origin.pixel, f.origin.source_id):
    h.update(a.tobytes())
print(h.hexdigest())
"""


def _digest(field):
    digest = hashlib.sha256()
    origin = field.origin
    for array in (
        field.xray.counts,
        field.optical.data,
        field.exposure,
        origin.pixel,
        origin.source_id,
    ):
        digest.update(array.tobytes())
    return digest.hexdigest()


@pytest.fixture(scope='module')
def field():
    return simulate_field(seed=7, config=SimulationConfig(target='cluster'))


def test_same_seed_same_bits_in_another_process(field):
    run = subprocess.run([sys.executable, '-c', DIGEST], capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == _digest(field)


def test_another_seed_is_another_sky(field):
    other = simulate_field(seed=8, config=SimulationConfig(target='cluster'))
    assert not np.array_equal(other.xray.counts, field.xray.counts)


def test_parts_are_independent(field):
    # leaving out the optical image changes no photon
    blind = simulate_field(seed=7, config=SimulationConfig(target='cluster', optical=None))
    assert np.array_equal(blind.xray.counts, field.xray.counts)
    assert blind.optical is None
    assert 'optical' not in blind.images


def test_every_photon_has_an_origin(field):
    shape = field.xray.shape
    everything = field.origin.image(field.truth['id'], shape)
    background = field.xray.counts - everything
    assert (background >= 0).all()
    # the rest is the Poisson background
    expected = field.background.sum(dtype=float)
    assert abs(background.sum(dtype=float) - expected) < 5 * np.sqrt(expected)
    assert field.truth['n_counts'].sum() == everything.sum()
    assert (everything[field.exposure == 0] == 0).all()


def test_counts_follow_flux_and_exposure(field):
    truth = field.truth
    bright = (truth['class'] == 'point') & (truth['n_expected'] > 30)
    exposure = field.exposure / field.exposure.max()
    x = np.rint(truth['x'][bright]).astype(int)
    y = np.rint(truth['y'][bright]).astype(int)
    ny, nx = field.xray.shape
    inside = (x > 20) & (x < nx - 20) & (y > 20) & (y < ny - 20)
    x, y = x[inside], y[inside]
    local = np.array(
        [exposure[j - 5 : j + 6, i - 5 : i + 6].mean() for i, j in zip(x, y, strict=True)]
    )
    expected = truth['n_expected'][bright][inside] * local
    measured = truth['n_counts'][bright][inside]
    ratio = measured.sum() / expected.sum()
    assert len(x) > 20
    assert ratio == pytest.approx(1, abs=0.1)


def test_truth_is_complete(field):
    truth = field.truth
    clusters = truth[truth['class'] == 'cluster']
    assert len(clusters) > 0
    for name in ('flux', 'core_radius', 'redshift', 'mass', 'radius_500', 'richness'):
        assert np.isfinite(u.Quantity(clusters[name]).value).all()
    assert set(truth['class']) <= {'cluster', 'point', 'galaxy', 'other'}
    parents = truth['parent'][truth['parent'] > 0]
    assert np.isin(parents, truth['id']).all()
    agn = truth[(truth['class'] == 'point') & (truth['parent'] > 0)]
    assert np.isin(agn['parent'], clusters['id']).all()


def test_merging_clusters_are_two_sources():
    truth = simulate_field(
        seed=1, config=SimulationConfig(optical=None, cluster_boost=20, target='none')
    ).truth
    smaller = truth[(truth['class'] == 'cluster') & (truth['parent'] > 0)]
    larger = truth[smaller['parent'] - 1]
    assert 0.06 < len(smaller) / (truth['class'] == 'cluster').sum() < 0.16
    assert (larger['class'] == 'cluster').all()
    assert (smaller['redshift'] == larger['redshift']).all()
    assert (smaller['flux'] <= larger['flux']).all()
    apart = SkyCoord(smaller['ra'], smaller['dec']).separation(
        SkyCoord(larger['ra'], larger['dec'])
    )
    ratio = (apart / larger['radius_500']).to_value(u.one)
    assert 0.24 < ratio.min() < ratio.max() < 0.91


def _direction(counts):
    # of the major axis, from west, which is the x axis, to north
    y, x = np.nonzero(counts)
    (a, b), (_, c) = np.cov(np.stack([x, y]), fweights=counts[y, x].astype(int))
    return np.rad2deg(0.5 * np.arctan2(2 * b, a - c))


def test_streaks_and_hot_columns_run_along_their_angle():
    config = SimulationConfig(
        optical=None, target='point', artefact_rate=8, exposure=30 * u.ks, roll=25 * u.deg
    )
    seen = set()
    for seed in range(4):
        field = simulate_field(seed=seed, config=config)
        for row in field.truth[field.truth['n_counts'] > 60]:
            if row['subclass'] in {'streak', 'hot column'}:
                found = _direction(field.origin.image([row['id']], field.xray.shape))
                apart = (found - row['angle'].to_value(u.deg) + 90) % 180 - 90
                assert abs(apart) < 10, row['subclass']
                seen.add(row['subclass'])
    assert seen == {'streak', 'hot column'}


def test_expected_counts_of_artefacts_are_those_that_are_drawn():
    sources = SourceList()
    draw_artefacts(
        sources,
        half_side=900.0,
        pixel=4.0,
        roll=0.3,
        area=0.25,
        config=SimulationConfig(artefact_rate=100.0),
        rng=np.random.default_rng(1),
    )
    rows, parts = sources.sources(), sources.components()
    drawn = np.bincount(parts['source'], parts['n_expected'])[1:]
    n_parts = np.bincount(parts['source'])[1:]
    pixels = rows['subclass'] == SUBCLASS_NAMES.index('hot pixel')
    # three in ten have a neighbour
    assert 0.15 < (n_parts[pixels] == 2).mean() < 0.45
    known = np.isfinite(rows['n_expected'])
    np.testing.assert_allclose(rows['n_expected'][known], drawn[known])


def test_positions_and_pixels_agree(field):
    truth = field.truth
    x, y = field.xray.sky_to_pixel(SkyCoord(truth['ra'], truth['dec']))
    np.testing.assert_allclose(x, truth['x'], atol=1e-6)
    np.testing.assert_allclose(y, truth['y'], atol=1e-6)
    there = field.xray.pixel_to_sky(x, y)
    assert there.separation(SkyCoord(truth['ra'], truth['dec'])).arcsec.max() < 1e-6


def test_optical_covers_the_xray_field(field):
    centre = field.xray.center
    x, y = field.optical.wcs.world_to_pixel(centre)
    ny, nx = field.optical.shape
    assert abs(x - nx / 2) < 6
    assert abs(y - ny / 2) < 6
    assert nx * 1.7 > 33 * 60 - 2


def test_nearby_galaxies_are_seen():
    for seed in (6, 7):
        field = simulate_field(seed=seed, config=SimulationConfig(target='galaxy'))
        galaxy = field.truth[field.truth['class'] == 'galaxy'][0]
        x, y = field.optical.wcs.world_to_pixel(SkyCoord(galaxy['ra'], galaxy['dec']))
        i, j = round(float(x)), round(float(y))
        data = field.optical.data
        here = np.median(data[j - 3 : j + 4, i - 3 : i + 4])
        sky, spread = np.median(data), np.percentile(data, 84) - np.median(data)
        assert here > sky + 5 * spread


@pytest.mark.parametrize('place', [(100.0, 80.0), (-20.0, 80.0), (-45.0, -45.0), (500.0, 20.0)])
def test_large_galaxies_at_the_border_keep_their_flux(place):
    from clustercnn.simulate._plate import add_large_galaxy

    shape = {'radius': 40.0, 'axis_ratio': 0.6, 'angle': 0.5, 'elliptical': False, 'pixel': 2.0}
    image = np.zeros((160, 200))
    whole = np.zeros((600, 600))
    add_large_galaxy(image, *place, 1e4, rng=np.random.default_rng(1), **shape)
    shifted = place[0] + 200, place[1] + 200
    add_large_galaxy(whole, *shifted, 1e4, rng=np.random.default_rng(1), **shape)
    np.testing.assert_allclose(image, whole[200:360, 200:400], atol=1e-9)
    if place == (100.0, 80.0):
        assert image.sum() * 4 == pytest.approx(1e4)


@pytest.mark.parametrize('optical', ['plate', 'ccd'])
def test_optical_depth_is_as_asked(optical):
    # noise of a source-free image, in the terms of the magnitude limit
    from clustercnn.simulate._plate import ccd_frame, plate_scan

    rng = np.random.default_rng(2)
    empty = np.zeros((256, 256))
    if optical == 'ccd':
        frame = ccd_frame(empty, noise=0.05, rng=rng) / 1000
        assert frame.std() == pytest.approx(0.05, rel=0.1)
    else:
        scan = plate_scan(empty, noise=0.05, contrast=1.0, rng=rng)
        assert np.array_equal(scan, np.rint(scan))
        assert np.median(scan) == pytest.approx(3640, rel=0.1)
        pushed = plate_scan(empty + 100, noise=0.05, contrast=1.0, rng=rng)
        assert 10_000 < np.median(pushed) <= 13_000


def test_write_and_read(field, tmp_path):
    folder = tmp_path / 'field'
    field.write(folder)
    back = SimulatedField.read(folder)
    assert _digest(back) == _digest(field)
    assert back.config == field.config
    assert back.truth.colnames == field.truth.colnames
    for name in field.truth.colnames:
        np.testing.assert_array_equal(back.truth[name], field.truth[name])
    np.testing.assert_allclose(back.xray.wcs.wcs.crval, field.xray.wcs.wcs.crval, atol=1e-10)
    np.testing.assert_array_equal(back.background, field.background)
    assert back.xray.psf_fwhm == field.xray.psf_fwhm
    with pytest.raises(FileExistsError, match='holds a field already'):
        field.write(folder)
    field.write(folder, overwrite=True)
    assert not list(folder.glob('.*'))


def test_stated_width_of_the_point_spread_may_be_wrong(field):
    config = field.config.replace(psf_stated_factor=1.2, optical=None)
    other = simulate_field(seed=field.seed, config=config)
    assert other.xray.psf_fwhm.value == pytest.approx(1.2 * field.xray.psf_fwhm.value)
    np.testing.assert_array_equal(other.xray.counts, field.xray.counts)


def test_incomplete_folder_is_refused(field, tmp_path):
    field.write(tmp_path / 'field')
    (tmp_path / 'field' / 'origin.npz').unlink()
    with pytest.raises(ImageReadError, match='not a complete simulated field'):
        SimulatedField.read(tmp_path / 'field')
    with pytest.raises(ImageReadError, match='not a complete simulated field'):
        SimulatedField.read(tmp_path / 'nothing')


def test_match_by_photon_origin(field):
    truth = field.truth
    inner = (np.hypot(truth['x'] - 247, truth['y'] - 247) < 150) & (truth['n_counts'] > 150)
    chosen = truth[inner & (truth['parent'] == 0)]
    exposure = field.exposure > 0
    catalog = CandidateCatalog.from_columns(ra=chosen['ra'], dec=chosen['dec'])
    matches = field.match(catalog)
    assert list(matches['id']) == list(catalog.ids)
    same = matches['source_id'] == chosen['id']
    # crowded sources can lose to a brighter neighbour, the large majority cannot
    assert same.mean() > 0.8
    found = matches['class'][same & matches['primary']]
    assert (found == chosen['class'][same & matches['primary']]).mean() > 0.9
    assert exposure.any()


def test_empty_sky_is_spurious(field):
    # a place with exposure and as few source photons as possible
    shape = field.xray.shape
    sources = field.origin.image(field.truth['id'], shape)
    from scipy import ndimage

    blurred = ndimage.uniform_filter(sources, 21)
    blurred[field.exposure < 0.3 * field.exposure.max()] = np.inf
    y, x = np.unravel_index(np.argmin(blurred), shape)
    sky = field.xray.pixel_to_sky(x, y)
    catalog = CandidateCatalog.from_columns(ra=[sky.ra.deg], dec=[sky.dec.deg])
    row = field.match(catalog, radius=12 * u.arcsec)[0]
    assert (row['class'], row['subclass'], row['source_id']) == ('other', 'spurious', 0)
    assert np.isnan(row['separation'])


@pytest.mark.parametrize('seed', [11, 12])
def test_second_detection_of_a_cluster_is_a_fragment(seed):
    field = simulate_field(seed=seed, config=SimulationConfig(target='cluster', optical=None))
    best = field.truth[0]
    shift = 1.5 * best['core_radius'] + 30 * u.arcsec
    catalog = CandidateCatalog.from_columns(
        ra=u.Quantity([best['ra'], best['ra']]),
        dec=u.Quantity([best['dec'], best['dec'] + shift]),
    )
    matches = field.match(catalog)
    assert matches['source_id'].tolist() == [1, 1]
    assert matches['class'].tolist() == ['cluster', 'other']
    assert matches['subclass'][1] == 'fragment'
    assert matches['primary'].tolist() == [True, False]


def test_cluster_with_a_nucleus_is_what_sends_most_photons():
    # here the nucleus outshines its cluster
    field = simulate_field(seed=16, config=SimulationConfig(target='cluster', optical=None))
    cluster, agn = field.truth[0], field.truth[1]
    assert (cluster['subclass'], agn['parent']) == ('cluster+AGN', cluster['id'])
    catalog = CandidateCatalog.from_columns(ra=field.truth[:1]['ra'], dec=field.truth[:1]['dec'])
    row = field.match(catalog)[0]
    assert (row['class'], row['subclass'], row['source_id']) == ('point', 'AGN+cluster', agn['id'])
    share = 1 - row['n_counts'] / row['n_source']
    row = field.match(catalog, cluster_share=0.9 * share)[0]
    assert (row['class'], row['subclass'], row['source_id']) == ('cluster', 'cluster+AGN', 1)


def test_match_of_nothing(field):
    matches = field.match(CandidateCatalog.empty())
    assert len(matches) == 0
    assert 'subclass' in matches.colnames


@pytest.mark.parametrize('mission', list(MISSIONS))
def test_all_missions(mission):
    field = simulate_field(
        seed=4, mission=mission, config=SimulationConfig(optical=None, artefact_rate=4)
    )
    assert field.xray.n_counts > 100
    assert field.xray.exposure is not None
    assert field.xray.background is None
    assert 0.1 < (field.exposure > 0).mean() <= 1
    assert field.xray.mission == MISSIONS[mission].telescope
    assert 'simulated' in repr(field)


def test_maps_can_be_withheld():
    config = SimulationConfig(optical=None, exposure_map=False, background_map=True)
    field = simulate_field(seed=1, config=config)
    assert field.xray.exposure is None
    np.testing.assert_array_equal(field.xray.background, field.background)


def test_randomised_fields_cover_the_ranges():
    configs = [SimulationConfig.randomised(seed) for seed in range(300)]
    factors = np.array([config.background_factor for config in configs])
    assert factors.min() < 0.4
    assert factors.max() > 2.5
    exposures = u.Quantity([config.exposure for config in configs]).to_value(u.ks)
    assert exposures.min() < 4
    assert exposures.max() > 80
    kinds = {config.optical for config in configs}
    assert kinds == {'plate', 'ccd', None}
    assert {config.exposure_map for config in configs} == {True, False}
    assert SimulationConfig.randomised(3, target='none').target == 'none'


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'target': 'quasar'}, "'target' must be one of"),
        ({'optical': 'radio'}, "'optical' must be one of"),
        ({'exposure': -1 * u.s}, "'exposure' must be one time above 0"),
        ({'background_factor': float('nan')}, "'background_factor' must be finite"),
        ({'position': (10.0, 95.0)}, "'position' must be"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        SimulationConfig(**changes)


def test_wrong_names():
    with pytest.raises(ValueError, match="'mission' must be one of"):
        simulate_field(seed=1, mission='hubble')
    with pytest.raises(ValueError, match="'cameras' must be among 'pn', 'mos1', 'mos2'"):
        simulate_field(seed=1, config=SimulationConfig(cameras=('acis',)))
