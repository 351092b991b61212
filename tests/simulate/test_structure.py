# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Uneven gas, the diffuse Galactic sky, and what bright stars do to a camera.
"""

import hashlib

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from clustercnn.core import CandidateCatalog
from clustercnn.simulate import (
    SimulatedField,
    SimulationConfig,
    get_mission,
    inject,
    simulate_field,
)
from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate import _pictures as pictures
from clustercnn.simulate._photons import (
    BETA,
    COMPONENT_DTYPE,
    PICTURE,
    POINT,
    draw_photons,
)
from clustercnn.simulate._sky import FieldStreams, draw_sky
from clustercnn.simulate._sources import SUBCLASS_NAMES, SourceList
from clustercnn.simulate._wcs import galactic_latitude
from clustercnn.simulate.clusters import luminosity_function, mass_from_luminosity
from clustercnn.simulate.galactic import (
    _CROSS_SECTION,
    HAZE,
    column_transmission,
    draw_clouds,
    extinction,
)
from clustercnn.simulate.loading import draw_bright_stars, draw_loading
from clustercnn.simulate.optical import BRIGHT_STAR, star_number_counts
from clustercnn.simulate.xray import prepare_observation
from clustercnn.testing import tiny_image

PLANE = (278.4, -10.6)
# nothing of what these tests are about
BARE = {
    'optical': None,
    'target': 'none',
    'group_rate': 0.0,
    'low_latitude_share': 0.0,
    'uneven_gas_share': 0.0,
    'optical_filter': 'thick',
}


def _truth(kind, seed=3, mission='xmm', **settings):
    settings = {**BARE, 'position': PLANE, 'target': kind, **settings}
    field = simulate_field(seed=seed, mission=mission, config=SimulationConfig(**settings))
    return field, field.truth[field.truth['subclass'] == kind]


@pytest.mark.parametrize('kind', ['patch', 'filaments', 'partial_shell', 'plerion', 'dark_cloud'])
def test_pictures_are_bright_and_end_before_their_frame(kind):
    shares = []
    for seed in range(6):
        picture = getattr(pictures, kind)(np.random.default_rng(seed))
        assert np.isfinite(picture).all()
        assert picture.min() >= 0
        border = np.concatenate([picture[:3].ravel(), picture[:, -3:].ravel()])
        assert border.max() < 0.03 * picture.max()
        shares.append((picture > 0.3 * picture.max()).mean())
    # no two alike
    assert len(set(shares)) == 6


def test_smooth_gas_is_a_beta_model():
    gas = pictures.uneven_gas(
        core=0.1, beta=0.5, axis_ratio=1.0, unevenness=0.0, rng=np.random.default_rng(2)
    )
    side = (np.arange(pictures.N_CELLS) + 0.5) / pictures.N_CELLS * 2 - 1
    radius = np.hypot(side[None, :], side[:, None])
    ring = (radius > 0.6) & (radius < 0.95)
    # far out, where the second core adds nothing but its own power law
    slope = np.polyfit(np.log(radius[ring]), np.log(gas[ring]), 1)[0]
    assert slope == pytest.approx(2 * (0.5 - 3 * 0.5), abs=0.06)


def test_uneven_gas_departs_from_its_mirror_image_as_asked():
    def asymmetry(unevenness, seed):
        gas = pictures.uneven_gas(
            core=0.1,
            beta=0.5,
            axis_ratio=0.9,
            unevenness=unevenness,
            rng=np.random.default_rng(seed),
        )
        return np.abs(gas - gas[::-1, ::-1]).sum() / gas.sum()

    for seed in range(5):
        values = [asymmetry(unevenness, seed) for unevenness in (0.0, 0.3, 1.0)]
        assert values[0] < 1e-9
        assert values[0] < values[1] < values[2]
        assert values[2] > 0.08


def test_photons_follow_their_picture():
    picture = np.zeros((8, 8))
    picture[6, 1], picture[2, 5] = 3.0, 1.0
    sources = SourceList()
    component = np.zeros(1, COMPONENT_DTYPE)
    component['source'], component['kind'], component['n_expected'] = 1, PICTURE, 40_000
    component['axis_ratio'], component['c'] = 1.0, 80.0
    component['picture'] = sources.add_picture(picture)
    flat = np.ones((401, 401))
    _, index = draw_photons(
        component,
        psf=get_mission('chandra').psf.scaled(0.01),
        response=flat,
        live=flat,
        pixel=1.0,
        center=(200.0, 200.0),
        rng=np.random.default_rng(1),
        pictures=sources.pictures,
    )
    y, x = np.divmod(index, 401)
    # cells are 20 wide: columns -60 to -40, rows 40 to 60, and 20 to 40, -40 to -20
    first = (np.abs(x - 200 + 50) < 11) & (np.abs(y - 200 - 50) < 11)
    second = (np.abs(x - 200 - 30) < 11) & (np.abs(y - 200 + 30) < 11)
    assert (first | second).mean() > 0.99
    assert first.mean() == pytest.approx(0.75, abs=0.01)


def test_other_photons_do_not_know_of_uneven_gas():
    components = np.zeros(3, COMPONENT_DTYPE)
    components['source'], components['kind'] = [1, 2, 3], [POINT, BETA, BETA]
    components['n_expected'], components['axis_ratio'] = 500, 1.0
    components['x'], components['a'], components['b'], components['c'] = [-50, 0, 50], 5, 0.6, 40
    flat = np.ones((201, 201))
    sources = SourceList()
    number = sources.add_picture(pictures.patch(np.random.default_rng(1)))

    def drawn(picture):
        components['picture'][1] = picture
        return draw_photons(
            components,
            psf=get_mission('xmm').psf,
            response=flat,
            live=flat,
            pixel=1.0,
            center=(100.0, 100.0),
            rng=np.random.default_rng(5),
            pictures=sources.pictures,
            picture_rng=np.random.default_rng(6),
        )

    (smooth_source, smooth), (uneven_source, uneven) = drawn(0), drawn(number)
    for one in (1, 3):
        np.testing.assert_array_equal(smooth[smooth_source == one], uneven[uneven_source == one])
    assert not np.array_equal(smooth[smooth_source == 2], uneven[uneven_source == 2])


def test_fields_without_the_new_are_as_before():
    # the digest of a field of the simulator before it knew of any of this
    field = simulate_field(seed=7, config=SimulationConfig(**BARE, exposure=5 * u.ks))
    assert field.truth['n_lost'].sum() == 0
    digest = hashlib.sha256(field.xray.counts.astype('<i4').tobytes()).hexdigest()
    assert digest[:16] == 'aab4b0786aaabb63'


@pytest.mark.parametrize(
    ('kind', 'name'), [('group', 'cluster'), ('diffuse', 'other'), ('plerion', 'other')]
)
def test_targets_are_there_and_matched(kind, name, tmp_path):
    field, rows = _truth(kind)
    row = rows[0]
    assert row['id'] == 1
    assert row['class'] == name
    assert row['n_counts'] > 100
    assert np.isfinite(row['core_radius'].value)
    # where it sends most photons, a detection is what it is
    alone = field.origin.image([1], field.xray.shape)
    y, x = np.unravel_index(np.argmax(alone), alone.shape)
    sky = field.xray.pixel_to_sky(x, y)
    catalog = CandidateCatalog.from_columns(ra=[sky.ra.deg], dec=[sky.dec.deg])
    match = field.match(catalog, radius=20 * u.arcsec)[0]
    assert (match['class'], match['subclass'], match['source_id']) == (name, kind, 1)
    # and the folder keeps it
    field.write(tmp_path / 'field')
    back = SimulatedField.read(tmp_path / 'field')
    assert back.config == field.config
    np.testing.assert_array_equal(back.truth['subclass'], field.truth['subclass'])
    np.testing.assert_array_equal(back.truth['n_lost'], field.truth['n_lost'])


def test_old_settings_read_back():
    settings = SimulationConfig().to_dict()
    for name in ('low_latitude_share', 'group_rate', 'pile_up', 'optical_filter'):
        del settings[name]
    assert SimulationConfig.from_dict(settings) == SimulationConfig()


def test_groups_have_members_and_are_nearby():
    members = nuclei = 0
    for seed in range(8):
        field, rows = _truth('group', seed=seed, position=None)
        assert 0.004 <= rows['redshift'][0] <= 0.03
        assert rows['radius_500'][0] > 300 * u.arcsec
        own = field.truth[field.truth['parent'] == 1]
        members += (own['class'] == 'galaxy').sum()
        nuclei += (own['class'] == 'point').sum()
    assert 4 < members < 25
    assert 0 < nuclei < 8


def test_truth_of_bright_groups_belongs_together():
    capped = 0
    for seed in range(10):
        row = _truth('group', seed=seed, position=None)[1][0]
        distance = cosmology.luminosity_distance(row['redshift']) * u.Mpc
        flux = row['luminosity'] / (4 * np.pi * distance**2)
        assert row['flux'].to_value(flux.unit) == pytest.approx(flux.value, rel=1e-4)
        mass = mass_from_luminosity(row['luminosity'].value, row['redshift'])
        assert row['mass'].value == pytest.approx(mass)
        # no more photons than fit, and the truth says how many
        assert row['n_expected'] <= 300_000
        assert row['n_counts'] <= row['n_expected'] + 5 * np.sqrt(row['n_expected'])
        capped += row['n_expected'] == 300_000
    assert capped > 0


def test_groups_have_the_density_of_the_luminosity_function():
    luminosity = np.geomspace(2e41, 3e43, 200)[:, np.newaxis]
    redshift = np.linspace(0.004, 0.03, 60)[np.newaxis, :]
    number = luminosity_function(luminosity, redshift)
    number = number * cosmology.comoving_volume_per_redshift(redshift)
    step = np.log(luminosity[1, 0] / luminosity[0, 0]) * (redshift[0, 1] - redshift[0, 0])
    assert SimulationConfig().group_rate == pytest.approx(number.sum() * step * 0.25, rel=0.1)


def test_the_sky_is_brighter_near_the_plane():
    config = SimulationConfig(**BARE, position=PLANE, cloud_rate=0.0)
    clear = prepare_observation(get_mission('xmm'), config, FieldStreams(4).detector)
    factors = []
    for seed in range(12):
        streams = FieldStreams(seed)
        streams.detector = FieldStreams(4).detector
        hazy = draw_sky(get_mission('xmm'), config, streams).observation
        added = (hazy.background - clear.background).sum(dtype=float)
        factors.append(1 + added / clear.sky_background.sum())
        np.testing.assert_allclose(
            hazy.sky_background.sum(), factors[-1] * clear.sky_background.sum(), rtol=1e-4
        )
    low, high = HAZE
    assert low <= min(factors) < 1.8
    assert 2.2 < max(factors) <= high
    there = config.replace(position=(150.0, 2.0))
    unchanged = draw_sky(get_mission('xmm'), there, FieldStreams(4)).observation
    np.testing.assert_array_equal(unchanged.background, clear.background)


def test_sources_near_the_plane_are_absorbed():
    counts = []
    for position in (PLANE, (150.0, 2.0)):
        config = SimulationConfig(**BARE, position=position, agn_pair_fraction=0)
        rows = draw_sky(get_mission('xmm'), config, FieldStreams(3)).sources.sources()
        chosen = rows[(rows['flux'] > 3e-14) & (rows['parent'] == 0) & (rows['magnitude'] > 0)]
        counts.append(np.median(chosen['n_expected'] / chosen['flux']))
    assert counts[0] / counts[1] == pytest.approx(column_transmission(-0.9), rel=0.3)
    assert column_transmission(60.0) == 1.0


def test_uneven_galaxies_only_move_their_photons():
    config = SimulationConfig(**{**BARE, 'target': 'galaxy', 'galaxy_rate': 0.0})
    smooth = simulate_field(seed=5, config=config)
    uneven = simulate_field(seed=5, config=config.replace(uneven_gas_share=1.0))
    others = smooth.truth['id'][smooth.truth['class'] != 'galaxy']
    shape = smooth.xray.shape
    np.testing.assert_array_equal(
        smooth.origin.image(others, shape), uneven.origin.image(others, shape)
    )
    one = smooth.truth['id'][smooth.truth['class'] == 'galaxy']
    assert not np.array_equal(smooth.origin.image(one, shape), uneven.origin.image(one, shape))
    n_smooth, n_uneven = (field.truth['n_counts'][one[0] - 1] for field in (smooth, uneven))
    assert n_uneven == pytest.approx(n_smooth, rel=0.2)


def test_diffuse_structure_is_of_low_latitudes_only():
    n_low = 0
    for seed in range(30):
        config = SimulationConfig(**{**BARE, 'low_latitude_share': 0.5, 'exposure': 3 * u.ks})
        sky = draw_sky(get_mission('chandra'), config, FieldStreams(seed))
        is_low = abs(galactic_latitude(sky.position)) < 15
        n_low += is_low
        truth = sky.sources.sources()
        names = {'diffuse', 'plerion', 'dark cloud'}
        there = names & {SUBCLASS_NAMES[code] for code in truth['subclass']}
        assert is_low or not there
    assert 7 < n_low < 23


def test_clouds_absorb_sky_and_sources_but_no_particles():
    config = SimulationConfig(**BARE, cloud_rate=20.0)
    observation = prepare_observation(get_mission('erosita'), config, np.random.default_rng(1))
    sources = SourceList()
    depth = draw_clouds(sources, field_side=2040.0, config=config, rng=np.random.default_rng(4))
    assert sources.n_sources > 5
    depths = depth(*observation.offsets())
    assert depths.shape == observation.response.shape
    assert depths.max() > 1
    behind = observation.behind(np.exp(-depths))
    np.testing.assert_allclose(behind.response, observation.response * np.exp(-depths))
    particles = observation.background - observation.sky_background
    left = behind.background - observation.sky_background * np.exp(-depths)
    np.testing.assert_allclose(left, particles, rtol=1e-4, atol=1e-6)
    # the exposure that a user gets is that of the telescope
    np.testing.assert_array_equal(behind.exposure, observation.exposure)


def test_cross_section_is_what_the_band_has_for_a_usual_cloud():
    # Morrison & McCammon (1983), table 2, in 1e-24 cm2 and keV
    table = [
        (0.4, 71.4, 66.8, -51.4),
        (0.532, 95.5, 145.8, -61.1),
        (0.707, 308.9, -380.6, 294.0),
        (0.867, 120.6, 169.3, -47.7),
        (1.303, 141.3, 146.8, -31.5),
        (1.84, 202.7, 104.7, -17.0),
    ]
    # as many photons an octave, as in `clustercnn.simulate._pile_up`
    energy = np.geomspace(0.5, 2.0, 4001)
    row = np.searchsorted([low for low, *_ in table], energy, 'right') - 1
    first, second, third = np.array([terms for _, *terms in table])[row].T
    section = (first + second * energy + third * energy**2) / energy**3 * 1e-24
    assert np.interp(1.16, energy, section) == pytest.approx(_CROSS_SECTION, rel=0.03)
    for column, effective in ((1e21, 2.9e-22), (1e22, _CROSS_SECTION), (2.5e22, 1.1e-22)):
        passed = np.exp(-column * section).mean()
        assert -np.log(passed) / column == pytest.approx(effective, rel=0.06)


def test_clouds_hide_stars_on_the_plate():
    settings = {**BARE, 'optical': 'ccd', 'position': PLANE, 'diffuse_rate': 0.0, 'cloud_rate': 4.0}
    settings['optical_pixel_scale'] = 3 * u.arcsec
    dark = simulate_field(seed=2, config=SimulationConfig(**settings))
    clear = simulate_field(seed=2, config=SimulationConfig(**{**settings, 'cloud_rate': 0.0}))
    lost = clear.optical.data - dark.optical.data
    # stars behind are fainter, none is brighter but for the noise
    assert lost.sum() > 0
    assert float(extinction(1.0)) == pytest.approx(2.26, abs=0.01)


def test_bands_show_the_bright_stars_that_the_xrays_know():
    config = SimulationConfig(
        target='none',
        optical='ccd',
        optical_bands='sdss',
        optical_pixel_scale=2 * u.arcsec,
        optical_size=20 * u.arcmin,
        position=PLANE,
        cloud_rate=0.0,
    )
    for seed in range(12):
        x, y, _ = draw_sky(get_mission('xmm'), config, FieldStreams(seed)).stars
        near = (np.abs(x) < 500) & (np.abs(y) < 500)
        if near.any():
            break
    image = simulate_field(seed=seed, config=config).optical_bands['r']
    middle = (np.array(image.shape) - 1) / 2
    rows, columns = np.rint(middle[0] + y[near] / 2), np.rint(middle[1] + x[near] / 2)
    for row, column in zip(rows.astype(int), columns.astype(int), strict=True):
        piece = image.data[row - 4 : row + 5, column - 4 : column + 5]
        assert piece.max() > 3 * np.percentile(image.data, 99.5)


def test_bright_stars_have_the_density_of_the_plate():
    rng = np.random.default_rng(3)
    stars = [draw_bright_stars(half_side=3600.0, latitude=40.0, rng=rng) for _ in range(60)]
    magnitude = np.concatenate([one[2] for one in stars])
    for limit in (6.5, 7.5, BRIGHT_STAR):
        expected = 60 * 4 * star_number_counts(limit, 40.0)
        assert abs((magnitude < limit).sum() - expected) < 4 * np.sqrt(expected)


@pytest.mark.parametrize(
    ('filter_name', 'magnitudes', 'loaded'),
    [('thin', (9.5, 8.0, 6.0), (0, 1, 2)), ('medium', (6.0, 3.0, 1.0), (0, 1, 2))],
)
def test_stars_brighter_than_the_filter_allows_load_the_cameras(filter_name, magnitudes, loaded):
    config = SimulationConfig(**BARE)
    observation = prepare_observation(get_mission('xmm'), config, np.random.default_rng(1))

    def counts(name, magnitude):
        sources = SourceList()
        one = tuple(np.array([value]) for value in (30.0, 40.0, magnitude, 0))
        draw_loading(sources, one, observation=observation, filter_name=name)
        return sources.components()['n_expected'].sum()

    values = [counts(filter_name, magnitude) for magnitude in magnitudes]
    assert values[0] == 0
    assert 0 < values[1] < values[2]
    # a thicker filter lets less through
    thicker = {'thin': 'medium', 'medium': 'thick'}[filter_name]
    assert counts(thicker, magnitudes[1]) == 0


def test_loading_is_a_ring_where_the_star_is_too_bright_for_the_band():
    config = SimulationConfig(**{**BARE, 'cameras': ('mos1',)})
    observation = prepare_observation(get_mission('xmm'), config, np.random.default_rng(1))
    middles = []
    for magnitude in (8.0, 4.0):
        sources = SourceList()
        star = tuple(np.array([value]) for value in (0.0, 0.0, magnitude, 0))
        draw_loading(sources, star, observation=observation, filter_name='thin')
        picture = sources.pictures[0]
        middles.append(picture[59:61, 59:61].mean() / picture.max())
    assert middles[0] > 0.9
    assert middles[1] < 0.1


def test_loading_stands_where_the_plate_shows_a_star():
    config = SimulationConfig(
        **{**BARE, 'optical': 'ccd', 'optical_filter': 'thin'}, optical_pixel_scale=3 * u.arcsec
    )
    for seed in range(12):
        sky = draw_sky(get_mission('xmm'), config, FieldStreams(seed))
        if len(sky.stars[0]) and (np.abs(sky.stars[:2]).max(axis=0) < 700).any():
            break
    field = simulate_field(seed=seed, config=config)
    loaded = field.truth[field.truth['subclass'] == 'optical loading']
    assert len(loaded) > 0
    assert (loaded['class'] == 'other').all()
    assert (loaded['magnitude'] < BRIGHT_STAR).all()
    x, y = field.optical.wcs.world_to_pixel(SkyCoord(loaded['ra'], loaded['dec']))
    ny, nx = field.optical.shape
    inside = (x > 5) & (x < nx - 5) & (y > 5) & (y < ny - 5)
    assert inside.any()
    bright = np.percentile(field.optical.data, 99.9)
    for i, j in zip(x[inside], y[inside], strict=True):
        i, j = round(float(i)), round(float(j))
        assert field.optical.data[j - 3 : j + 4, i - 3 : i + 4].max() > bright


@pytest.mark.parametrize('target', ['group', 'plerion', 'diffuse'])
def test_injection_of_the_new_targets(target):
    injection = inject(tiny_image(), seed=3, mission='xmm', config=SimulationConfig(target=target))
    assert injection.truth['subclass'][0] == target
    assert injection.truth['n_counts'].sum() > 0


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'low_latitude_share': 1.5}, "'low_latitude_share' must be between 0 and 1, got 1.5"),
        ({'optical_filter': 'red'}, "'optical_filter' must be one of"),
        ({'group_rate': -1.0}, "'group_rate' must be finite and at least 0"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        SimulationConfig(**changes)
