# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Optical surveys in several bands: as deep as they say, with the colours of the tables, and good
for cutting out and learning from.
"""

import dataclasses
import json
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.table import Table

from clustercnn import Classifier, CutoutMaker, LabelSet, WaveletFinder
from clustercnn.cli import main
from clustercnn.io import check_files
from clustercnn.simulate import (
    OPTICAL_SURVEYS,
    OpticalBand,
    SimulatedField,
    SimulationConfig,
    characteristic_magnitude,
    inject,
    simulate_field,
    simulate_fields,
)
from clustercnn.simulate import _multiband as multiband
from clustercnn.simulate._colours import (
    _EARLY,
    _LATE,
    BANDS,
    POPULATIONS,
    _late_type_colours,
    draw_magnitudes,
    early_type_colours,
    nearby_galaxy_magnitudes,
)
from clustercnn.simulate._field_files import write_optical
from clustercnn.simulate._plate import add_large_galaxy, coadded_frame
from clustercnn.simulate._stamps import add_gaussians, add_round, profile_gaussians
from clustercnn.simulate.optical import STAR_SHAPE

SMALL = {'optical': 'ccd', 'optical_bands': 'sdss', 'optical_size': 6 * u.arcmin}


@pytest.fixture(scope='module')
def field():
    return simulate_field(seed=7, config=SimulationConfig(target='cluster', **SMALL))


def _draw(population, magnitude, *, kind='bulge', redshift=np.nan, relative=0.0, distance=0.0):
    n = len(magnitude)
    code = np.full(n, POPULATIONS.index(population))
    columns = (np.full(n, float(value)) for value in (redshift, relative, distance))
    return draw_magnitudes(kind, magnitude, code, *columns, np.random.default_rng(8))


def test_bands_are_checked():
    band = OPTICAL_SURVEYS['lsst'][0]
    assert OpticalBand(**band.to_dict()) == band
    with pytest.raises(ValueError, match="'depth' of band g must be 10 to 32, got nan"):
        dataclasses.replace(band, depth=np.nan)
    with pytest.raises(ValueError, match="'name' must be one of"):
        dataclasses.replace(band, name='K')
    with pytest.raises(ValueError, match="'depth' of band r must be 10 to 32, got '24'"):
        OpticalBand(name='r', depth='24', seeing=1 * u.arcsec, sky_brightness=21.0)
    with pytest.raises(ValueError, match="'optical_bands' must be the name of a survey.*got 5"):
        SimulationConfig(optical='ccd', optical_bands=5)
    with pytest.raises(ValueError, match="'optical_bands' must be one of.*got 'panstars'"):
        SimulationConfig(optical='ccd', optical_bands='panstars')
    for bands in ((), (band, band), ('g',)):
        with pytest.raises(ValueError, match='with different names out of g, r, i, z'):
            SimulationConfig(optical='ccd', optical_bands=bands)
    with pytest.raises(ValueError, match="set optical='ccd' as well, or optical_bands=None"):
        SimulationConfig(optical_bands='sdss')


def test_settings_come_back_from_plain_values():
    for survey in OPTICAL_SURVEYS:
        config = SimulationConfig(optical='ccd', optical_bands=survey)
        assert SimulationConfig.from_dict(config.to_dict()) == config
    old = SimulationConfig().to_dict()
    del old['optical_bands']
    assert SimulationConfig.from_dict(old) == SimulationConfig()


@pytest.mark.parametrize('survey', list(OPTICAL_SURVEYS))
def test_a_point_source_of_the_depth_has_a_signal_to_noise_of_five(survey):
    pixel, n = 0.5, 25
    for band in OPTICAL_SURVEYS[survey]:
        width, noise = multiband.noise_of(band, pixel)
        flux = 10 ** (-0.4 * (band.depth - band.sky_brightness)) / pixel**2
        seeing = [(weight, scale * width) for weight, scale in STAR_SHAPE]
        columns = (np.array([value]) for value in (n // 2, n // 2, flux, 0.0, 1.0, 0.0))
        star = np.zeros((n, n))
        gaussians = profile_gaussians('point', *columns, seeing=seeing)
        add_gaussians(star, *gaussians, faintest=1e-4 * noise)
        shape = star / flux
        rng = np.random.default_rng(4)
        blank = np.array(
            [coadded_frame(np.zeros((n, n)), noise=noise, rng=rng) for _ in range(600)]
        )
        scatter = (blank * shape).sum(axis=(1, 2)).std() / (shape**2).sum()
        # the spread of 600 draws is known to 3 %, the residual sky adds a little
        assert flux / scatter == pytest.approx(5, rel=0.12)

        # and the star is as wide as the seeing, but for the pixel
        def height(radius, seeing=seeing):
            return sum(a / s**2 * np.exp(-((radius / pixel / s) ** 2) / 2) for a, s in seeing)

        assert height(band.seeing.value / 2) / height(0.0) == pytest.approx(0.5, rel=0.01)


def test_colours_leave_red_magnitudes_as_they_are():
    magnitude = np.linspace(15, 24, 200)
    for name in POPULATIONS:
        g, r, _, _ = _draw(name, magnitude, redshift=0.4)
        # Lupton (2005)
        np.testing.assert_allclose(r - 0.1837 * (g - r) - 0.0971, magnitude, atol=1e-9)


@pytest.mark.parametrize('redshift', [0.1, 0.35, 0.6, 0.95, 1.3, 1.5])
def test_red_sequence_is_narrow_and_tilted(redshift):
    magnitudes = _draw('red', np.full(4000, 20.0), redshift=redshift)
    colours = -np.diff(magnitudes, axis=0)
    expected = early_type_colours(np.array([redshift]))[:, 0]
    np.testing.assert_allclose(np.median(colours, axis=1), expected, atol=0.005)
    assert 0.03 < colours[0].std() < 0.05
    fainter = _draw('red', np.full(4000, 20.0), redshift=redshift, relative=2.0)
    assert (np.median(-np.diff(fainter, axis=0), axis=1) < expected - 0.01).all()


def test_members_are_bluer_outside_and_long_ago():
    def blue(redshift, distance):
        magnitude = np.full(4000, 20.0)
        known = {'redshift': redshift, 'distance': distance}
        shares = []
        for kind in ('bulge', 'disk'):
            colour = -np.diff(_draw('member', magnitude, kind=kind, **known), axis=0)[0]
            limit = early_type_colours(np.array([redshift]))[0, 0] - 0.2
            shares.append((colour < limit).mean())
        assert shares[1] > shares[0]
        return 0.75 * shares[0] + 0.25 * shares[1]

    near, far, outside = blue(0.1, 0.2), blue(0.5, 0.2), blue(0.1, 1.5)
    assert near < 0.1
    assert 0.2 < far < 0.35
    assert near + 0.08 < outside < 0.35


def test_stars_follow_the_locus():
    magnitudes = _draw('star', np.full(8000, 16.0), kind='point')
    green_red, red_infrared, _ = -np.diff(magnitudes, axis=0)
    # Covey et al. 2007: r-i of 0.13, 0.27 and 0.59 where g-r is 0.37, 0.73 and 1.31
    for colour, expected in ((0.37, 0.13), (0.73, 0.27), (1.31, 0.59)):
        near = red_infrared[abs(green_red - colour) < 0.03]
        assert np.median(near) == pytest.approx(expected, abs=0.06)
    faint = -np.diff(_draw('star', np.full(8000, 21.0), kind='point'), axis=0)
    assert (faint[1] > 0.8).mean() > (red_infrared > 0.8).mean()


def test_nuclei_are_bluer_than_galaxies():
    magnitude = np.full(3000, 21.0)
    nuclei = -np.diff(_draw('nucleus', magnitude, kind='point', redshift=1.5), axis=0)
    # Richards et al. 2001: the median of quasars at 1.5 is 0.15
    assert np.percentile(nuclei[0], 40) == pytest.approx(0.15, abs=0.1)
    assert nuclei[0].std() > 0.14


def test_field_galaxies_are_red_and_blue_and_fainter_ones_bluer():
    medians = []
    for magnitude in (22.0, 24.0, 26.0):
        draws = [
            -np.diff(_draw('field', np.full(4000, magnitude), kind=kind), axis=0)
            for kind in ('bulge', 'disk')
        ]
        assert np.median(draws[0][0]) > np.median(draws[1][0])
        medians.append(np.median(draws[1][0]))
    assert medians[0] > medians[1] > medians[2]


def test_disks_of_nearby_galaxies_are_bluer_than_their_bulges():
    disk, bulge = nearby_galaxy_magnitudes(12.0, False, np.random.default_rng(1))
    assert disk[0] - disk[1] < bulge[0] - bulge[1] - 0.1
    disk, bulge = nearby_galaxy_magnitudes(12.0, True, np.random.default_rng(1))
    np.testing.assert_array_equal(disk, bulge)


def test_a_bulge_keeps_its_place_and_colour_in_the_images():
    disk, bulge = nearby_galaxy_magnitudes(12.0, False, np.random.default_rng(1))
    images = []
    for index in (0, 1):
        image = np.zeros((241, 241))
        add_large_galaxy(
            image,
            120.0,
            120.0,
            10 ** (-0.4 * disk[index]),
            radius=50.0,
            axis_ratio=0.8,
            angle=0.3,
            elliptical=False,
            pixel=1.0,
            rng=np.random.default_rng(5),
            bulge_ratio=10 ** (-0.4 * (bulge[index] - disk[index])),
        )
        images.append(image)
    row, column = np.indices(image.shape)
    distance = np.hypot(column - 120, row - 120)
    inner, outer = distance < 1.5, (distance > 40) & (distance < 80)
    colours = [-2.5 * np.log10(images[0][p].sum() / images[1][p].sum()) for p in (inner, outer)]
    assert colours[1] == pytest.approx(disk[0] - disk[1], abs=0.03)
    assert colours[0] > colours[1] + 0.1
    # the light of both bands is shared out in the same way
    shares = [
        (image.sum() - 10 ** (-0.4 * d)) / (10 ** (-0.4 * b) - 10 ** (-0.4 * d))
        for image, d, b in zip(images, disk, bulge, strict=False)
    ]
    assert 0 < shares[0] < 0.4
    assert shares[0] == pytest.approx(shares[1], rel=0.01)


def test_bands_leave_photons_alone_and_do_not_depend_on_each_other(field):
    plate = simulate_field(seed=7, config=SimulationConfig(target='cluster'))
    np.testing.assert_array_equal(plate.xray.counts, field.xray.counts)
    assert not plate.optical_bands
    assert field.optical is None
    two = tuple(band for band in OPTICAL_SURVEYS['sdss'] if band.name in 'gi')
    other = simulate_field(seed=7, config=field.config.replace(optical_bands=two))
    assert list(other.images) == ['xray', 'g', 'i']
    for name in 'gi':
        np.testing.assert_array_equal(other.images[name].data, field.images[name].data)


def test_images_say_what_they_are(field):
    for name, image in field.optical_bands.items():
        assert image.unit == u.nmgy
        assert image.header['SURVEY'] == 'SIMULATED'
        assert (image.header['BANDPASS'], image.header['MAGZERO']) == (name, 22.5)
        band = next(band for band in OPTICAL_SURVEYS['sdss'] if band.name == name)
        noise = multiband.noise_of(band, 1.01)[1]
        noise *= 10 ** (0.4 * (22.5 - band.sky_brightness)) * 1.01**2
        darker = image.data[image.data < np.median(image.data)]
        spread = 1.4826 * np.median(np.median(image.data) - darker)
        # undetected galaxies add to it
        assert noise < spread < 1.4 * noise
    assert 'ccd g r i z' in repr(field)


def test_a_folder_reads_back_and_keeps_no_old_bands(field, tmp_path):
    folder = tmp_path / 'field'
    field.write(folder)
    back = SimulatedField.read(folder)
    assert back.config == field.config
    assert list(back.images) == ['xray', *BANDS]
    for name, image in field.optical_bands.items():
        np.testing.assert_array_equal(back.images[name].data, image.data)
        assert back.images[name].header == image.header
        assert back.images[name].unit == u.nmgy
    (report,) = check_files([folder / 'optical_r.fits'])
    assert (report.kind, report.facts['unit']) == ('optical image', 'nmgy')
    small = SimulationConfig(target='cluster', optical_size=4 * u.arcmin)
    simulate_field(seed=7, config=small).write(folder, overwrite=True)
    assert [path.name for path in folder.glob('optical*')] == ['optical.fits']


def test_bands_are_shifted_against_each_other():
    bands = tuple(
        dataclasses.replace(band, offset=1.5, depth=band.depth + 3)
        for band in OPTICAL_SURVEYS['sdss'][:2]
    )
    config = SimulationConfig(
        optical='ccd', optical_bands=bands, optical_size=4 * u.arcmin, target='none'
    )
    shifts = []
    for seed in range(4):
        images = simulate_field(seed=seed, config=config).optical_bands.values()
        a, b = (np.arcsinh(image.data / image.data.std()) for image in images)
        power = np.fft.ifft2(np.fft.fft2(a - a.mean()) * np.conj(np.fft.fft2(b - b.mean()))).real
        y, x = np.unravel_index(np.argmax(power), power.shape)
        half = power.shape[0] // 2
        shifts.append([(v + half) % power.shape[0] - half for v in (x, y)])
    # two bands of 1.5 arcsec each: about two pixels
    assert 0.8 < np.std(shifts) < 4


def test_many_faint_round_gaussians_are_those_of_the_stamps():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-1, 61, (2, 4000))
    flux = rng.uniform(0.5, 1.5, 4000)
    together, one_by_one = np.zeros((60, 60)), np.zeros((60, 60))
    add_round(together, x, y, flux, 1.2)
    variance = np.full(4000, 1.2**2)
    add_gaussians(one_by_one, x, y, flux, variance, 0 * variance, variance, faintest=1e-6)
    inner = slice(4, -4), slice(4, -4)
    assert together[inner].sum() == pytest.approx(one_by_one[inner].sum(), rel=2e-3)
    spread = (together - one_by_one)[inner].std() / one_by_one[inner].std()
    assert spread < 0.1


def test_survey_to_classifier(field):
    catalog = WaveletFinder()(field.xray)
    geometry = {'xray': (32, 8 * u.arcsec), **dict.fromkeys(BANDS, (32, 4 * u.arcsec))}
    stack = CutoutMaker(geometry=geometry)(field.images, catalog)
    assert stack.band_names == ('xray', *BANDS)
    inside = np.flatnonzero(stack.band('g').coverage > 0.9)
    assert len(inside) > 2
    matches = field.match(catalog)
    names = np.where(matches['class'] == 'cluster', 'cluster', 'point')
    names[:2] = 'cluster', 'point'
    labels = LabelSet.from_labels(list(catalog.ids), list(names), schema=('cluster', 'point'))
    classifier = Classifier(network='fusion', seed=1, n_epochs=1, batch_size=8)
    classifier.fit(stack, labels)
    probability = classifier.predict(stack).probability
    assert probability.shape == (len(stack), 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)


def test_injection_into_several_bands(field):
    image = field.xray
    place = image.center
    sources = Table(
        {
            'ra': [place.ra.deg],
            'dec': [place.dec.deg + 0.02],
            'flux': [3e-13],
            'core_radius': [20.0],
            'redshift': [0.15],
        }
    )
    options = {'seed': 5, 'config': field.config}
    injection = inject(image, sources, optical=field.optical_bands, **options)
    assert list(injection.images) == ['xray', *BANDS]
    assert injection.optical is None
    added = {
        name: injection.images[name].data - field.images[name].data for name in ('g', 'r', 'i')
    }
    for name, light in added.items():
        data = field.images[name].data
        assert light.max() > 5 * np.median(abs(data - np.median(data)))
        assert (light >= -1e-6).all()
    # the light is that of early types at the redshift
    colour = -2.5 * np.log10(added['g'].sum() / added['r'].sum())
    assert colour == pytest.approx(early_type_colours(np.array([0.15]))[0, 0], abs=0.2)
    with pytest.raises(ValueError, match="the band 'y', of which 'optical_bands'"):
        inject(image, sources, optical={'y': field.images['g']}, **options)
    assert list(inject(image, sources, optical={}, **options).images) == ['xray']
    with pytest.raises(TypeError, match=r"optical\['g'\]' must be a CCDData, got NoneType"):
        inject(image, sources, optical={'g': None}, **options)
    bare = CCDData(field.images['g'].data, unit=u.nmgy)
    with pytest.raises(ValueError, match='must have a celestial WCS'):
        inject(image, sources, optical={'g': bare}, **options)
    with pytest.raises(ValueError, match='must have a celestial WCS'):
        inject(image, sources, optical=bare, **options)


def test_files_of_others_stay_in_the_folder(tmp_path, field):
    for name in ('optical.fits', 'optical_mine.fits'):
        (tmp_path / name).touch()
    write_optical(tmp_path, {'g': field.images['g']})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['optical_g.fits', 'optical_mine.fits']


def test_command_writes_bands(tmp_path, capsys):
    sky = tmp_path / 'sky'
    assert main(['simulate', str(sky), '--bands', 'sdss', '--seed', '3', '-q']) == 0
    names = sorted(path.name for path in (sky / 'field_00000').glob('optical*'))
    assert names == [f'optical_{name}.fits' for name in 'girz']
    assert main(['simulate', str(sky), '--bands', 'palomar']) == 2
    assert '--bands palomar: there are sdss, decals, lsst' in capsys.readouterr().err


def test_older_folders_are_gone_on_with(tmp_path):
    options = {
        'n_fields': 1,
        'seed': 2,
        'progress': False,
        'config': SimulationConfig(optical=None),
    }
    first = simulate_fields(tmp_path, **options)
    file = tmp_path / 'field_00000' / 'field.json'
    facts = json.loads(file.read_text())
    # as written before there were bands
    del facts['config']['optical_bands']
    file.write_text(json.dumps(facts))
    again = simulate_fields(tmp_path, **options)
    assert again['seed'][0] == first['seed'][0]
    assert 'optical_bands' not in json.loads(file.read_text())['config']


def test_red_sequence_of_a_near_cluster_is_that_of_a_real_one(shared_data):
    # early types of Perseus at redshift 0.018 (Wittmann et al. 2019, ApJS 245, 10), which the
    # table of colours was not made from
    table = Table.read(shared_data / 'bench_perseus_sdss' / 'pcc_sdss_rgb64.csv')
    early = table[table['cls7'] == 'likely_cluster_dE_ETG']
    red, real = (
        np.array([np.nan if str(v) == 'N/A' else float(v) for v in early[name]])
        for name in ('r_mag', 'g_r')
    )
    bright = float(characteristic_magnitude(0.018))
    for low, high in ((14.0, 16.0), (16.0, 17.0), (17.0, 18.0)):
        chosen = (red >= low) & (red < high) & np.isfinite(real)
        # r is fainter than R by about 0.23 in these
        magnitude = red[chosen] - 0.23
        drawn = _draw('red', magnitude, redshift=0.018, relative=magnitude.mean() - bright)
        assert chosen.sum() > 10
        assert np.median(drawn[0] - drawn[1]) == pytest.approx(np.median(real[chosen]), abs=0.05)


def test_tables_of_galaxies_are_those_of_the_published_spectra():
    file = Path(__file__).parents[2] / 'validation' / 'simulator' / 'results' / 'colours.json'
    published = json.loads(file.read_text(encoding='utf-8'))
    redshift = np.array(published['redshift'])
    start, elliptical = (
        dict(zip(published['redshift'], np.array(published[name]), strict=False))
        for name in ('redMaPPer', 'E')
    )
    sequence = published['redMaPPer in the SDSS']
    found = dict(zip(sequence['redshift'], np.array(sequence['colours']), strict=True))
    for z, *row in _EARLY.T.round(2).tolist():
        if z < 0.05:
            expected = found[0.05] + elliptical[z] - elliptical[0.05]
        elif z < 0.55:
            expected = found[z]
        elif z < 0.65:
            expected = (found[z] + start[z]) / 2
        elif z < 1.05:
            expected = start[z] if z < 0.95 else (start[z] + elliptical[z]) / 2
        else:
            expected = elliptical[z]
        np.testing.assert_allclose(row, expected, atol=0.011)
    for lateness, name in ((0.0, 'Sbc'), (0.5, 'Scd'), (1.0, 'Im')):
        known = np.isin(redshift, _LATE[0].round(2))
        own = _late_type_colours(redshift[known], lateness).T
        np.testing.assert_allclose(own, np.array(published[name])[known], atol=0.011)
