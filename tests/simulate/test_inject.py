# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Injected photons are all there are, and lie where they should on any image.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.table import Table
from astropy.wcs import WCS

from clustercnn import WaveletFinder, XrayImage
from clustercnn.exceptions import DataQualityWarning
from clustercnn.io import read_image
from clustercnn.simulate import PointSpread, SimulationConfig, get_mission, inject, simulate_field
from clustercnn.simulate._added_light import add_light
from clustercnn.simulate._plate import add_to_plate
from clustercnn.simulate.inject import _axis_of
from clustercnn.testing import tiny_image


def _wcs(projection='TAN', *, shape, pixel=4.0, turn=0.0, parity=-1, at=(150.0, 2.0)):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f'RA---{projection}', f'DEC--{projection}']
    wcs.wcs.crval = at
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    step = pixel / 3600
    wcs.wcs.cd = [[parity * step * cos, -parity * step * sin], [step * sin, step * cos]]
    wcs.wcs.cunit = ['deg', 'deg']
    wcs.wcs.radesys = 'ICRS'
    wcs.wcs.set()
    return wcs


def _empty(shape=(301, 301), exposure=None, **options):
    return XrayImage(
        counts=np.zeros(shape, np.float32),
        wcs=_wcs(shape=shape, **options),
        exposure=np.full(shape, 1e4, np.float32) if exposure is None else exposure,
        psf_fwhm=7.7 * u.arcsec,
        mission='XMM',
    )


def _at(image, x, y, **columns):
    place = image.pixel_to_sky(np.atleast_1d(x), np.atleast_1d(y))
    return Table({'ra': place.ra.deg, 'dec': place.dec.deg, **columns})


def _centroid(counts):
    y, x = np.indices(counts.shape)
    return (x * counts).sum() / counts.sum(), (y * counts).sum() / counts.sum()


def test_photons_are_kept():
    image = simulate_field(seed=3, config=SimulationConfig(optical=None)).xray
    x, y = [200.0, 300.0, 250.0], [240.0, 180.0, 330.0]
    sources = _at(image, x, y, counts=[4000, 900, 300], core_radius=[20.0, np.nan, np.nan])
    injection = inject(image, sources, seed=5)
    added = injection.xray.counts - image.counts
    ids = injection.truth['id']
    np.testing.assert_array_equal(added, injection.origin.image(ids, image.shape))
    assert (added >= 0).all()
    assert (added[image.exposure == 0] == 0).all()
    assert added.sum() == injection.truth['n_counts'].sum() > 1500
    for name in ('exposure', 'background', 'mask'):
        np.testing.assert_array_equal(getattr(injection.xray, name), getattr(image, name))
    assert 'holds simulated sources' in injection.xray.meta['notes']


def test_number_of_photons_follows_the_exposure():
    shape = (201, 201)
    exposure = np.full(shape, 1e4, np.float32)
    exposure[:, :100] = 2.5e3
    image = _empty(shape, exposure)
    x, y = np.tile([30.0, 60.0, 140.0, 170.0], 5), np.repeat(np.arange(30, 180, 30), 4)
    sources = _at(image, x, y, counts=np.full(20, 1000.0))
    psf = PointSpread(core_radius=2.0, slope=3.0, max_radius=20.0)
    n = inject(image, sources, seed=1, psf=psf).truth['n_counts']
    dim = x < 100
    # 10 sources each: 5 standard deviations of a Poisson mean
    assert n[dim].mean() == pytest.approx(250, abs=5 * np.sqrt(250 / 10))
    assert n[~dim].mean() == pytest.approx(1000, abs=5 * np.sqrt(1000 / 10))


@pytest.mark.parametrize('projection', ['TAN', 'SIN'])
@pytest.mark.parametrize(('turn', 'parity'), [(0, -1), (37, -1), (200, 1)])
def test_place_and_direction(projection, turn, parity):
    image = _empty(projection=projection, turn=turn, parity=parity, at=(150.0, 60.0))
    psf = PointSpread(core_radius=8.0, slope=3.0, max_radius=40.0)
    sources = _at(
        image,
        [80.3, 210.7],
        [95.6, 190.2],
        counts=[20_000, 20_000],
        core_radius=[np.nan, 25.0],
        axis_ratio=[1.0, 0.5],
        angle=[0.0, 25.0],
        beta=[np.nan, 1.5],
    )
    injection = inject(image, sources, seed=2, psf=psf)
    np.testing.assert_allclose(injection.truth['x'], [80.3, 210.7], atol=1e-3)
    np.testing.assert_allclose(injection.truth['ra'].value, sources['ra'], atol=1e-9)
    for row in injection.truth:
        own = injection.origin.image([row['id']], image.shape)
        assert _centroid(own) == pytest.approx((row['x'], row['y']), abs=0.1)
    # 25 degrees from west to north on the sky, whatever the image does
    own = injection.origin.image([2], image.shape)
    y, x = np.nonzero(own)
    sky = image.pixel_to_sky(x, y)
    middle = image.pixel_to_sky(*_centroid(own))
    east, north = middle.spherical_offsets_to(sky)
    weight = own[y, x]
    a, b, c = (
        np.sum(weight * p * q)
        for p, q in (
            (east.arcsec, east.arcsec),
            (east.arcsec, north.arcsec),
            (north.arcsec, north.arcsec),
        )
    )
    angle = np.rad2deg(0.5 * np.arctan2(-2 * b, a - c))
    assert angle == pytest.approx(25, abs=3)


def test_point_spread_grows_off_axis():
    image = _empty((1001, 201), pixel=1.0)
    sources = _at(image, [100.0, 100.0], [100.0, 880.0], counts=[40_000, 40_000])
    injection = inject(image, sources, seed=2, axis=(100, 100))
    rng = np.random.default_rng(1)
    widths = []
    for row in injection.truth:
        own = injection.origin.image([row['id']], image.shape)
        places = np.repeat(np.argwhere(own), own[own > 0].astype(int), axis=0)
        # anywhere within its pixel, so that the median is not a whole number
        places = places + rng.uniform(-0.5, 0.5, places.shape)
        widths.append(np.median(np.abs(places - (row['y'], row['x'])), axis=0)[::-1])
    # 13 arcmin above the axis: x is tangential
    psf = get_mission('xmm').psf
    growth = 1 + psf.stretch * (13 / psf.reference) ** 2
    assert widths[1][0] / widths[0][0] == pytest.approx(growth, abs=0.12)
    radial = growth * (1 - psf.flattening * 13 / psf.reference)
    assert widths[1][1] / widths[0][1] == pytest.approx(radial, abs=0.12)


def test_axis_from_the_exposure_map():
    field = simulate_field(seed=8, config=SimulationConfig(optical=None, cameras=('mos1',)))
    shape = field.xray.shape
    y, x = np.indices(shape)
    vignetting = 1 / (1 + ((x - 230.0) ** 2 + (y - 262.0) ** 2) / (10.5 * 15) ** 2)
    exposure = np.where(field.exposure > 0, vignetting, 0)
    assert _axis_of(exposure) == pytest.approx((230, 262), abs=1)
    flat = np.zeros((100, 80))
    flat[10:60, 20:60] = 3.0
    assert _axis_of(flat) == (39.5, 34.5)
    assert _axis_of(np.zeros((5, 7))) == (3.0, 2.0)


def test_same_seed_same_bits():
    image = _empty()
    config = SimulationConfig(target='cluster')
    first, second, other = (inject(image, seed=s, config=config) for s in (4, 4, 5))
    np.testing.assert_array_equal(first.xray.counts, second.xray.counts)
    np.testing.assert_array_equal(first.origin.pixel, second.origin.pixel)
    assert not np.array_equal(first.xray.counts, other.xray.counts)
    assert {'cluster', 'point'} <= set(first.truth['class'])


def test_population_has_the_density_of_the_sky():
    image = _empty((450, 450))
    config = SimulationConfig(agn_pair_fraction=0, galaxy_rate=0, shell_rate=0, cluster_boost=0)
    n = [len(inject(image, seed=s, config=config, counts_per_flux=1e16).truth) for s in range(6)]
    from clustercnn.simulate import agn_number_counts

    area = ((449 * 4 + 180) / 3600) ** 2
    expected = 6 * area * float(agn_number_counts(2e-16))
    assert sum(n) == pytest.approx(expected, abs=5 * np.sqrt(expected))


def test_outside_the_field_and_masked_nothing_is_added():
    shape = (101, 101)
    mask = np.zeros(shape, bool)
    mask[:, 60:] = True
    image = _empty(shape).replace(mask=mask)
    sources = _at(image, [80.0, -400.0, 60.0], [50.0, 50.0, 50.0], counts=[500, 500, 5000])
    injection = inject(image, sources, seed=1)
    assert (injection.xray.counts[mask] == 0).all()
    assert injection.truth['n_counts'][1] == 0
    assert injection.truth['n_counts'].sum() == injection.xray.counts.sum()


@pytest.mark.parametrize('kind', ['plate', 'ccd'])
def test_optical_image_shows_the_cluster(kind):
    config = SimulationConfig(target='none', optical=kind, cluster_boost=0, optical_depth=21.0)
    field = simulate_field(seed=12, config=config)
    x, y = 240.0, 250.0
    columns = {'flux': [5e-12], 'core_radius': [60.0], 'redshift': [0.1]}
    sources = _at(field.xray, x, y, **columns)
    frame = field.optical
    new = inject(field.xray, sources, seed=1, config=config, optical=frame).optical
    change = new.data - frame.data
    assert (change >= 0).all()
    column, line = frame.wcs.world_to_pixel(field.xray.pixel_to_sky(x, y))
    i, j = round(float(column)), round(float(line))
    spread = np.percentile(frame.data, 84) - np.median(frame.data)
    # the brightest galaxy, of R = 15, is far above the noise; most of the frame is untouched
    assert change[j - 15 : j + 16, i - 15 : i + 16].max() > 10 * spread
    assert (change == 0).mean() > 0.9
    assert new.data.max() <= frame.data.max() or kind == 'ccd'
    without = Table(sources)
    without.remove_column('redshift')
    same = inject(field.xray, without, seed=1, config=config, optical=frame).optical
    np.testing.assert_array_equal(same.data, frame.data)


def test_star_in_an_optical_image_of_any_orientation():
    shape = (200, 220)
    rng = np.random.default_rng(1)
    frame = CCDData(
        rng.normal(500, 10, shape).astype(np.float32),
        unit=u.adu,
        wcs=_wcs('SIN', shape=shape, pixel=1.0, turn=120, parity=1),
    )
    image = _empty((101, 101))
    place = frame.wcs.pixel_to_world(150.3, 60.8)
    sources = Table(
        {'ra': [place.ra.deg], 'dec': [place.dec.deg], 'counts': [50], 'magnitude': [17]}
    )
    new = inject(
        image, sources, seed=1, optical=frame, config=SimulationConfig(optical='ccd')
    ).optical
    change = (new.data - frame.data).astype(float)
    assert _centroid(change) == pytest.approx((150.3, 60.8), abs=0.1)


def _star(frame, magnitude=12.0, at=(30.0, 32.0)):
    place = frame.wcs.pixel_to_world(*at)
    return Table(
        {'ra': [place.ra.deg], 'dec': [place.dec.deg], 'counts': [50], 'magnitude': [magnitude]}
    )


def _frame(level, spread, *, unit='adu', dtype=np.float32, **options):
    data = np.random.default_rng(1).normal(level, spread, (64, 64)).astype(dtype)
    return CCDData(data, unit=unit, wcs=_wcs(shape=(64, 64), pixel=1.0), **options)


@pytest.mark.parametrize(
    ('frame', 'reason'),
    [
        # a sky that was taken away and has left a little
        (_frame(0.001, 1.0, unit='nmgy'), 'its unit is nmgy'),
        (_frame(0.001, 1.0), 'of its pixels are below 0, the first one x = '),
        (_frame(20.0, 1.0, unit='uJy'), 'its unit is uJy'),
        (_frame(500.0, 10.0, unit='electron / s'), 'its unit is electron / s'),
        (_frame(500.0, 10.0, meta={'MAGZERO': 25.0}), 'MAGZERO of its header'),
    ],
)
def test_what_is_no_plate_is_a_linear_frame(frame, reason):
    image, sources = _empty((101, 101)), _star(frame)
    given = {'seed': 1, 'optical': frame}
    by_default = inject(image, sources, **given).optical.data
    linear = inject(image, sources, **given, config=SimulationConfig(optical='ccd')).optical.data
    np.testing.assert_array_equal(by_default, linear)
    assert np.isfinite(by_default).all()
    # it does not end where the image did
    assert by_default.max() > 2 * frame.data.max()
    with pytest.warns(DataQualityWarning, match=reason):
        same = inject(image, sources, **given, config=SimulationConfig(target='cluster'))
    np.testing.assert_array_equal(same.optical.data, linear)
    with pytest.raises(ValueError, match=f"as 'optical_kind' says: .*{reason}.*optical_kind='ccd'"):
        inject(image, sources, **given, optical_kind='plate')


def test_what_the_user_says_an_image_is():
    frame = _frame(3600.0, 60.0, dtype=np.int16)
    frame.data[0, 0] = 13000
    image, sources = _empty((101, 101)), _star(frame)
    given = {'seed': 1, 'optical': frame}
    plate = inject(image, sources, **given).optical.data
    assert frame.data.max() * 0.99 < plate.max() <= frame.data.max()
    settings = SimulationConfig(optical='ccd')
    asked = inject(image, sources, **given, config=settings, optical_kind='plate').optical.data
    np.testing.assert_array_equal(asked, plate)
    linear = inject(image, sources, **given, optical_kind='ccd').optical.data
    assert linear.max() > frame.data.max()
    with pytest.raises(ValueError, match='optical_kind'):
        inject(image, sources, **given, optical_kind='film')
    with pytest.raises(ValueError, match='those of several bands are CCD'):
        inject(image, sources, seed=1, optical={'g': frame}, optical_kind='plate')
    flat = CCDData(np.full((64, 64), 7.0), unit='adu', wcs=frame.wcs)
    with pytest.raises(ValueError, match='its median, 7, is not between 0 and its largest value'):
        inject(image, sources, seed=1, optical=flat, optical_kind='plate')


def test_plate_of_any_range_stays_finite():
    # the powers of the characteristic curve are beyond doubles here
    new = add_to_plate(np.array([0.01, 3.5, 90.0]), np.array([5.0, 1e5, 0.1]), 0.01, 3.0, 90.0)
    assert np.isfinite(new).all()
    assert (new <= 90).all()
    # fractions stay fractions
    density = add_to_plate(np.array([0.3, 0.35]), np.array([0.1, 0.2]), 0.3, 0.3, 2.5)
    assert ((density > 0.31) & (density < 0.5)).all()


def test_frame_of_masked_pixels_stays_as_it_is():
    frame = _frame(500.0, 10.0)
    frame.mask = np.ones((64, 64), bool)
    new = inject(_empty((101, 101)), _star(frame), seed=1, optical=frame).optical
    np.testing.assert_array_equal(new.data, frame.data)


@pytest.mark.parametrize('dtype', ['i2', '>i2', 'u2', 'i4', 'u1'])
def test_integers_end_at_the_limits_of_their_type(dtype):
    level, spread = (100, 5) if dtype == 'u1' else (1000, 10)
    frame = _frame(level, spread, dtype=dtype)
    config = SimulationConfig(optical='ccd')
    given = {'seed': 1, 'config': config}
    image, sources = _empty((101, 101)), _star(frame, 9.0)
    new = inject(image, sources, optical=frame, **given).optical.data
    exact = CCDData(frame.data.astype(float), unit='adu', wcs=frame.wcs)
    exact = inject(image, sources, optical=exact, **given).optical.data
    limits = np.iinfo(np.dtype(dtype))
    assert new.dtype == frame.data.dtype
    assert exact.max() > 66_000
    np.testing.assert_array_equal(new, np.rint(exact).clip(limits.min, limits.max))
    assert (new >= frame.data).all()


def test_integers_of_64_bits_are_kept():
    data = 1024 * np.arange(64, dtype=np.int64).reshape(8, 8) + 2**60 + 1
    light = np.zeros((8, 8))
    light[4, 4] = 1e300
    new = add_light(CCDData(data, unit='adu'), light, 1e-3, 'ccd').data
    # a double has no such number, and one that was touched is as large as there is
    assert new[0, 1] == 2**60 + 1025
    assert new[4, 4] > 2**62


def _bad(column, value):
    table = Table({'ra': [150.0, 150.0], 'dec': [2.0, 2.0], 'counts': [10.0, 10.0]})
    table[column] = [table[column][0] if column in table.colnames else np.nan, value]
    return table


@pytest.mark.parametrize(
    ('table', 'message'),
    [
        (_bad('counts', -3.0), "row 1, column 'counts': -3 is not between 0 and"),
        (_bad('counts', np.nan), "row 1: neither 'counts' nor 'flux' is given"),
        (_bad('ra', np.nan), "row 1, column 'ra'"),
        (_bad('dec', 91.0), "row 1, column 'dec': 91 is not between -90 and 90"),
        (_bad('ra', 330.0), 'row 1: (ra, dec) = (330, 2) is a quarter of the sky away'),
        (_bad('core_radius', 0.0), "row 1, column 'core_radius': 0 is not between"),
        (_bad('axis_ratio', 1.2), "row 1, column 'axis_ratio'"),
        (Table({'ra': [1.0]}), "no column 'dec'; it has ra"),
        (Table({'ra': ['x'], 'dec': [2.0]}), "column 'ra' of the sources must hold numbers"),
    ],
)
def test_wrong_tables_are_named(table, message):
    with pytest.raises(ValueError, match=message.replace('(', r'\(').replace(')', r'\)')):
        inject(_empty((50, 50)), table, seed=1)


def test_fluxes_need_a_rate():
    image = _empty((50, 50)).replace(mission='generic')
    sources = _at(image, 25, 25, flux=[1e-13])
    with pytest.raises(ValueError, match="give 'counts_per_flux'"):
        inject(image, sources, seed=1)
    with pytest.raises(ValueError, match="give 'counts_per_flux'"):
        inject(image, seed=1)
    truth = inject(image, sources, seed=1, counts_per_flux=1e15).truth
    assert truth['n_expected'][0] == pytest.approx(100)
    with pytest.raises(ValueError, match='does not state the width of its point spread'):
        inject(image.replace(psf_fwhm=None), sources, seed=1, counts_per_flux=1e15)


def _expected(mission, instrument, /, **options):
    image = _empty((50, 50)).replace(mission=mission, instrument=instrument)
    return inject(image, _at(image, 25, 25, flux=[1e-13]), seed=1, **options).truth


@pytest.mark.parametrize(
    ('mission', 'instrument', 'name', 'rate'),
    [
        ('Einstein Probe', '', 'ep', 3.4e11),
        ('Einstein Probe', 'FXTA', 'ep', 1.7e11),
        ('EP', 'FXTB', 'ep', 1.7e11),
        ('XMM-Newton', 'EMOS1+EMOS2', 'xmm', 4.2e11),
        ('ROSAT', 'PSPCB', 'rosat', 8.3e10),
        ('Chandra', 'ACIS', 'chandra', 1.6e11),
        ('eROSITA', 'TM0', 'erosita', 1.19e12),
        ('SRG/eROSITA', '', 'erosita', 1.19e12),
        ('eROSITA', 'TM1', 'erosita', 1.7e11),
        ('eROSITA', 'TM3+TM4', 'erosita', 3.4e11),
        ('eROSITA', 'TM8', 'erosita', 8.5e11),
        ('erosita-pointed', 'TM5', 'erosita-pointed', 1.7e11),
    ],
)
def test_rate_is_that_of_the_instrument(mission, instrument, name, rate):
    truth = _expected(mission, instrument)
    assert truth.meta['mission'] == name
    assert truth['n_expected'][0] == pytest.approx(1e-13 * 1e4 * rate)


@pytest.mark.parametrize(
    ('mission', 'instrument', 'name'),
    [('ROSAT', 'HRI', 'rosat'), ('Einstein Probe', 'WXT', 'ep'), ('SRG', 'ART-XC', 'erosita')],
)
def test_other_instruments_of_a_mission_have_no_figures(mission, instrument, name):
    known = {'counts_per_flux': 1e15, 'psf': 5 * u.arcsec}
    told = f'the rate of {mission} {instrument} is not known; give .counts_per_flux'
    for options in ({}, {'mission': name}):
        with pytest.raises(ValueError, match=told):
            _expected(mission, instrument, psf=5 * u.arcsec, **options)
        assert _expected(mission, instrument, **known, **options).meta['mission'] == 'generic'
        image = _empty((50, 50)).replace(mission=mission, instrument=instrument, psf_fwhm=None)
        with pytest.raises(ValueError, match=f'and for {mission} {instrument} none is known') as no:
            inject(image, seed=1, counts_per_flux=1e15, **options)
        assert 'or the mission' not in str(no.value)
    # a table of the user's own is taken
    own = get_mission(name)
    assert _expected(mission, instrument, mission=own).meta['mission'] == name


def test_why_a_flux_has_no_counts():
    with pytest.raises(ValueError, match="the mission, 'Suzaku', is not one whose rate is known"):
        _expected('Suzaku', 'XIS0', psf=100 * u.arcsec)
    # behind the same mirrors, so the point spread is known
    with pytest.raises(ValueError, match='the rate of Chandra HRC-I is not known'):
        _expected('Chandra', 'HRC-I')
    image = _empty((50, 50)).replace(exposure=None)
    with pytest.raises(ValueError, match='the image has no exposure map in s'):
        inject(image, _at(image, 25, 25, flux=[1e-13]), seed=1)


def test_units_of_columns():
    image = _empty((101, 101))
    sources = _at(image, 50, 50, counts=[200.0])
    sources['core_radius'] = [0.5] * u.arcmin
    truth = inject(image, sources, seed=1).truth
    assert truth['core_radius'][0] == 30 * u.arcsec
    assert truth['class'][0] == 'cluster'


def test_labels_of_detections():
    image = tiny_image()
    sources = _at(image, 40.0, 20.0, counts=[800.0], core_radius=[15.0])
    injection = inject(image, sources, seed=3)
    catalog = WaveletFinder()(injection.xray)
    matches = injection.match(catalog)
    best = np.flatnonzero(matches['primary'] & (matches['class'] == 'cluster'))
    assert len(best) == 1
    found = catalog[best]
    assert np.hypot(found['x'][0].value - 40, found['y'][0].value - 20) < 2


def test_bright_cluster_is_found_in_the_real_image(shared_data):
    folder = shared_data / 'xmm_a1835_mos2'
    image = read_image(
        folder / 'P0098010101M2U009IMAGE_3000.FTZ',
        exposure=folder / 'P0098010101M2U009EXPMAP3000.FTZ',
    )
    x, y = 250.0, 430.0
    sources = _at(image, x, y, counts=[900.0], core_radius=[20.0])
    injection = inject(image, sources, seed=1)
    # vignetting, gaps, and what lies beyond r500
    assert 300 < injection.truth['n_counts'][0] < 1100
    found = {}
    for name, one in (('before', image), ('after', injection.xray)):
        catalog = WaveletFinder()(one)
        away = np.hypot(catalog['x'].value - x, catalog['y'].value - y)
        found[name] = catalog[np.flatnonzero((away < 4) & (catalog['extent'].value > 0))]
    assert len(found['before']) == 0
    assert len(found['after']) == 1
    assert found['after']['ext_like'][0] > 6


def test_real_plate(shared_data):
    from clustercnn.io import read_optical

    frame = read_optical(shared_data / 'optical' / 'dss_hd219829.fits.gz')
    place = frame.wcs.pixel_to_world(100, 30)
    sources = Table(
        {'ra': [place.ra.deg], 'dec': [place.dec.deg], 'counts': [1], 'magnitude': [16.0]}
    )
    new = inject(_empty(at=(349.7, 5.4)), sources, seed=1, optical=frame).optical
    change = np.asarray(new.data, float) - frame.data
    assert _centroid(np.maximum(change, 0)) == pytest.approx((100, 30), abs=0.5)
    assert 200 < change.max() < 12833
