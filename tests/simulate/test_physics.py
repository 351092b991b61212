# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is drawn has the distributions it claims.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustercnn.finding._psf import point_spread_of
from clustercnn.io.missions import PSF_FWHM
from clustercnn.simulate import (
    MISSIONS,
    PointSpread,
    SimulationConfig,
    agn_number_counts,
    cluster_number_counts,
    galaxy_number_counts,
    get_mission,
    simulate_field,
    star_number_counts,
)
from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate._photons import BETA, COMPONENT_DTYPE, POINT, draw_photons
from clustercnn.simulate._stamps import MIXTURES, add_gaussians, profile_gaussians
from clustercnn.simulate.clusters import density_evolution, mass_from_luminosity, radius_500


def _photons(kind, *, x=0.0, n=40_000, psf=None, seed=3, **columns):
    component = np.zeros(1, COMPONENT_DTYPE)
    component['source'], component['kind'], component['n_expected'] = 1, kind, n
    component['axis_ratio'], component['x'] = 1.0, x
    for name, value in columns.items():
        component[name] = value
    n_pixels = 1201
    flat = np.ones((n_pixels, n_pixels))
    _, index = draw_photons(
        component,
        psf=get_mission('xmm').psf if psf is None else psf,
        response=flat,
        live=flat,
        pixel=0.5,
        center=(600.0, 600.0),
        rng=np.random.default_rng(seed),
    )
    line, column = np.divmod(index, n_pixels)
    return (column - 600) * 0.5 - x, (line - 600) * 0.5


@pytest.mark.parametrize('name', ['xmm', 'erosita', 'rosat'])
def test_encircled_energy_on_axis(name):
    psf = get_mission(name).psf
    dx, dy = _photons(POINT, psf=psf)
    radius = np.hypot(dx, dy)
    for wanted in (10.0, 20.0, 60.0):
        expected = psf.enclosed_fraction(wanted)
        measured = np.sum(radius < wanted) / 40_000
        assert measured == pytest.approx(expected, abs=0.012)
    assert psf.enclosed_fraction(psf.half_energy_width / 2) == pytest.approx(0.5)


def test_point_spread_stretches_off_axis():
    # radial is x here: tangential widths grow by 49 %, radial ones by 49 % less 35 %
    psf = PointSpread(
        core_radius=8.0, slope=1.8, max_radius=60.0, stretch=0.49, flattening=0.35, reference=4.0
    )
    on_axis = [np.abs(v).mean() for v in _photons(POINT, psf=psf)]
    off_axis = [np.abs(v).mean() for v in _photons(POINT, psf=psf, x=240.0)]
    assert off_axis[1] / on_axis[1] == pytest.approx(1.49, abs=0.03)
    assert off_axis[0] / on_axis[0] == pytest.approx(1.49 * 0.65, abs=0.03)


def test_rosat_grows_off_axis_as_published():
    # Hasinger et al. 1994 at 1 keV: 0.29 arcsec t**1.74 in quadrature with the width on axis; half
    # of the photons inside 13.2 arcsec, 90 % inside 27
    psf = get_mission('rosat').psf
    assert psf.fwhm == pytest.approx(np.sqrt(409.65 + 69.28 + 66.29), rel=0.1)
    assert psf.enclosed_fraction(13.2) == pytest.approx(0.5, abs=0.06)
    assert psf.enclosed_fraction(27.0) == pytest.approx(0.9, abs=0.06)
    angle = np.array([20.0, 30.0, 40.0, 50.0, 57.0])
    published = np.hypot(psf.fwhm, 0.29 * angle**1.74)
    relative = angle / psf.reference
    mean = np.sqrt(1 - psf.flattening * relative)
    np.testing.assert_allclose(
        psf.fwhm * (1 + psf.stretch * relative**2) * mean, published, rtol=0.1
    )


@pytest.mark.parametrize('name', ['xmm', 'erosita', 'chandra', 'rosat', 'ep'])
def test_finders_assume_the_point_spread_of_the_simulator(name):
    psf = get_mission(name).psf
    assumed = point_spread_of(name, psf.fwhm, 1.0, pointed=name != 'erosita')
    assert assumed.core_radius == pytest.approx(psf.core_radius)
    assert assumed.stretch == pytest.approx(psf.stretch)
    assert assumed.flattening == pytest.approx(psf.flattening)
    words = {'xmm': 'XMM', 'erosita': 'eROSITA', 'chandra': 'Chandra', 'rosat': 'ROSAT'}
    assert PSF_FWHM[words.get(name, 'Einstein Probe')] == pytest.approx(psf.fwhm, abs=0.06)


def test_slope_changes_the_wings_and_not_the_core():
    psf = get_mission('xmm').psf
    steep = psf.sloped(1.6)
    assert steep.fwhm == pytest.approx(psf.fwhm)
    assert steep.slope == pytest.approx(2.4)
    dx, dy = _photons(POINT, psf=steep)
    share = np.mean(np.hypot(dx, dy) < 15)
    assert share == pytest.approx(steep.enclosed_fraction(15), abs=0.012)
    assert share > psf.enclosed_fraction(15) + 0.1


def test_ellipses_off_axis_against_calibration(shared_data):
    # the tables give the semi-major axis that holds 60 %, and the ellipticity
    psf = get_mission('xmm').psf
    for code in ('EPN', 'EMOS1', 'EMOS2'):
        table = Table.read(shared_data / 'sim_support' / f'psf_{code}_1500.fits.gz', hdu=1)
        angle = np.hypot(table['DETX'], table['DETY']) * 0.05 / 60
        known = table['EEF60'][:, 0] > 0
        here = (angle > 12) & (angle < 14.5) & known
        relative = np.median(angle[here]) / psf.reference
        on_axis = np.median(table['EEF60'][(angle < 3) & known, 0])
        growth = np.median(table['EEF60'][here, 0]) / on_axis
        assert 1 + psf.stretch * relative**2 == pytest.approx(growth, rel=0.15)
        ratio = 1 - np.median(table['EEF60'][here, 1])
        assert 1 - psf.flattening * relative == pytest.approx(ratio, abs=0.1)


def test_beta_model_follows_its_profile():
    narrow = get_mission('chandra').psf.scaled(0.1)
    dx, dy = _photons(BETA, psf=narrow, a=20.0, b=2 / 3, c=1e6, n=60_000)
    radius = np.hypot(dx, dy)
    for wanted in (10.0, 20.0, 60.0, 150.0):
        expected = 1 - (1 + (wanted / 20) ** 2) ** -0.5
        assert np.sum(radius < wanted) / 60_000 == pytest.approx(expected, abs=0.012)


def test_encircled_energy_against_calibration(shared_data):
    # 60 and 80 % radii of the EPIC pn tables at 1.5 keV, the four places nearest to the axis
    table = Table.read(shared_data / 'sim_support' / 'psf_EPN_1500.fits.gz', hdu=1)
    radii = {name: np.asarray(table[name])[:, 0] for name in ('EEF60', 'EEF80')}
    nearest = np.argsort(np.where(radii['EEF60'] > 0, radii['EEF60'], 99))[:4]
    psf = get_mission('xmm').psf
    assert psf.enclosed_fraction(np.median(radii['EEF60'][nearest])) == pytest.approx(0.6, abs=0.05)
    assert psf.enclosed_fraction(np.median(radii['EEF80'][nearest])) == pytest.approx(0.8, abs=0.05)


def test_agn_counts_are_recovered():
    config = SimulationConfig(
        optical=None, agn_pair_fraction=0, cluster_boost=0, target='none', exposure=100 * u.ks
    )
    fluxes = []
    for seed in range(8):
        truth = simulate_field(seed=seed, config=config).truth
        fluxes.append(truth['flux'][truth['class'] == 'point'].value)
    area = 8 * (2 * (33 * 30 + 90) / 3600) ** 2
    fluxes = np.concatenate(fluxes)
    for limit in (1e-15, 3e-15, 1e-14, 3e-14):
        expected = float(agn_number_counts(limit)) * area
        assert abs(np.sum(fluxes > limit) - expected) < 4 * np.sqrt(expected)


def test_agn_counts_of_the_paper():
    # Moretti et al. 2003 normalise at 2e-15, where the two slopes meet the normalisation
    expected = 6150 / (1 + (14.8 / 2) ** 1.22)
    assert float(agn_number_counts(2e-15)) == pytest.approx(expected)


def test_cluster_counts_against_efeds(shared_data):
    # above 5e-14 the eFEDS list of 140 deg2 is nearly complete to redshift 0.6; beyond, it
    # loses part of the compact ones
    table = Table.read(shared_data / 'catalogues' / 'eFEDS_clusters_542.csv')
    flux, redshift = np.asarray(table['F_500kpc'], float), np.asarray(table['z'], float)
    edges = (0.03, 0.3, 0.6, 1.5)
    for limit, bounds in ((5e-14, (1.4, 1.4, 2.5)), (1e-13, (1.4, 1.4, 4.0))):
        for low, high, bound in zip(edges[:-1], edges[1:], bounds, strict=True):
            observed = np.sum((flux > limit) & (redshift >= low) & (redshift < high)) / 140
            expected = float(cluster_number_counts(limit, redshift_range=(low, high)))
            assert 1 / bound < expected / observed < bound


def test_luminous_clusters_are_rarer_in_the_past():
    local = density_evolution([1e42, 1e44, 2e45], 0.1)
    np.testing.assert_allclose(local, 1)
    redshift = np.linspace(0.1, 1.5, 20)
    assert (np.diff(density_evolution(3e44, redshift)) < 0).all()
    assert (np.diff(density_evolution(np.geomspace(1e42, 2e45, 20), 1.0)) < 0).all()


def test_masses_against_mcxc(shared_data):
    table = fits.getdata(shared_data / 'catalogues' / 'MCXC_Piffaretti2011.fits.gz', 1)
    luminosity, redshift = np.asarray(table['L500']) * 1e44, np.asarray(table['z'])
    mass = mass_from_luminosity(0.62 * luminosity, redshift)
    # a few rows of the catalogue carry masses from elsewhere
    away = np.abs(mass / 1e14 / np.asarray(table['M500']) - 1)
    assert np.percentile(away, 97) < 2e-3
    away = np.abs(radius_500(mass, redshift) / np.asarray(table['R500']) - 1)
    assert np.percentile(away, 97) < 1e-2


def test_distances_against_astropy():
    from astropy.cosmology import FlatLambdaCDM

    reference = FlatLambdaCDM(H0=cosmology.HUBBLE_CONSTANT, Om0=cosmology.OMEGA_MATTER, Tcmb0=0)
    redshift = np.array([0.03, 0.3, 1.0, 1.5])
    np.testing.assert_allclose(
        cosmology.luminosity_distance(redshift),
        reference.luminosity_distance(redshift).value,
        rtol=1e-5,
    )


def test_optical_counts_rise():
    magnitude = np.arange(13, 24, 0.5)
    assert np.all(np.diff(galaxy_number_counts(magnitude)) > 0)
    # the SDSS main sample and GAMA: 92 and 1050 a square degree to r of 17.77 and 19.8
    for limit, published in ((17.77, 92), (19.8, 1050)):
        edges = np.linspace(12, limit - 0.25, 500)
        ours = np.sum(galaxy_number_counts(edges[1:])) * (edges[1] - edges[0])
        assert ours == pytest.approx(published, rel=0.2)
    assert np.all(np.diff(star_number_counts(magnitude, 45)) > 0)
    assert star_number_counts(18, 20) > star_number_counts(18, 80)
    # Tycho-2 near the pole and at 30 deg, complete to V of about 11.5
    assert 10 < star_number_counts(11.1, 90) < 25
    assert 20 < star_number_counts(11.1, 30) < 50


@pytest.mark.parametrize('kind', list(MIXTURES))
def test_profiles_keep_their_flux_and_half_light_radius(kind):
    image = np.zeros((401, 401))
    one = np.ones(1)
    gaussians = profile_gaussians(
        kind, 200.2 * one, 199.7 * one, 1e4 * one, 12 * one, one, 0 * one, seeing=((1.0, 0.8),)
    )
    add_gaussians(image, *gaussians, faintest=1e-4)
    assert image.sum() == pytest.approx(1e4, rel=0.02)
    if kind != 'point':
        y, x = np.indices(image.shape)
        inside = image[np.hypot(x - 200.2, y - 199.7) < 12].sum()
        assert inside / image.sum() == pytest.approx(0.5, abs=0.04)


def test_mixture_weights():
    for weights, widths in MIXTURES.values():
        assert sum(weights) == pytest.approx(1, abs=2e-4)
        assert len(weights) == len(widths)


def test_stamps_at_the_border_and_outside():
    image = np.zeros((20, 30))
    x, y = np.array([0.0, -50.0, 29.4]), np.array([0.0, 5.0, 19.4])
    v = np.full(3, 2.0)
    add_gaussians(image, x, y, np.full(3, 100.0), v, 0 * v, v, faintest=1e-3)
    assert np.isfinite(image).all()
    assert image[0, 0] > 0
    assert image[-1, -1] > 0
    assert image.sum() < 200


@pytest.mark.parametrize('mission', list(MISSIONS.values()), ids=lambda m: m.name)
def test_mission_tables_are_sane(mission):
    low, high = mission.exposure_range
    assert low <= mission.exposure <= high
    low, high = mission.pixel_scale_range
    assert low <= mission.pixel_scale <= high
    assert mission.psf.norm > 0.9
    assert mission.source


def test_background_level_of_a_real_mos_image(shared_data):
    # mean counts a pixel beyond 8 arcmin in the real image (1-2 keV, hence the rate factor)
    folder = shared_data / 'xmm_a1835_mos2'
    image = fits.getdata(folder / 'P0098010101M2U009IMAGE_3000.FTZ')
    exposure = fits.getdata(folder / 'P0098010101M2U009EXPMAP3000.FTZ')
    y, x = np.indices(image.shape)
    real = image[(exposure > 0) & (np.hypot(x - 328, y - 343) > 120)].mean()
    config = SimulationConfig(
        exposure=28 * u.ks,
        cameras=('mos2',),
        rate_factor=0.6,
        cluster_boost=1,
        cluster_tilt=0,
        target='none',
        optical=None,
    )
    field = simulate_field(seed=11, config=config)
    ny, nx = field.xray.shape
    y, x = np.indices((ny, nx))
    outer = (field.exposure > 0) & (np.hypot(x - nx / 2, y - ny / 2) > 120)
    assert field.xray.counts[outer].mean() == pytest.approx(real, rel=0.35)
