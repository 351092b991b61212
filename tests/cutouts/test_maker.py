# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cutouts agree with another implementation, keep flux, and say what they lack.
"""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS, FITSFixedWarning, Sip

from clustercnn import CandidateCatalog, CutoutMaker, XrayImage
from clustercnn.core import CandidateFlag, tangent_wcs
from clustercnn.cutouts import coverage_flags
from clustercnn.testing import assert_identical, tiny_image, tiny_wcs


def catalog_at(ra, dec, **columns):
    return CandidateCatalog.from_columns(
        ra=np.atleast_1d(ra).astype(float), dec=np.atleast_1d(dec).astype(float), **columns
    )


def smooth_image(shape, *, seed=3):
    """
    Values with structure on scales of some pixels, never near zero.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    data = 50 + 20 * np.sin(x / 5.1) * np.cos(y / 6.3) + rng.normal(0, 1, shape)
    return data.astype(np.float32)


def rotated_wcs(*, projection='TAN', ra=150.0, dec=2.0, scale=4.0, angle=33.0, frame=None):
    wcs = WCS(naxis=2)
    axes = ('GLON', 'GLAT') if frame == 'galactic' else ('RA--', 'DEC-')
    wcs.wcs.ctype = [f'{name}-{projection}' for name in axes]
    wcs.wcs.cunit = ['deg', 'deg']
    wcs.wcs.crpix = [70.3, 61.7]
    middle = SkyCoord(ra, dec, unit='deg')
    if frame == 'galactic':
        wcs.wcs.crval = [middle.galactic.l.deg, middle.galactic.b.deg]
    else:
        wcs.wcs.crval = [ra, dec]
        wcs.wcs.radesys = 'ICRS' if frame is None else frame
        if frame == 'FK4':
            wcs.wcs.equinox = 1950.0
    turn = np.deg2rad(angle)
    wcs.wcs.cd = (
        np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale / 3600
    )
    wcs.wcs.set()
    return wcs


CASES = {
    'tangential': {},
    'sine': {'projection': 'SIN'},
    'zenithal equal area': {'projection': 'ZEA'},
    'plate carree': {'projection': 'CAR', 'dec': 0.0},
    'galactic': {'frame': 'galactic'},
    'FK5': {'frame': 'FK5'},
    'FK4': {'frame': 'FK4'},
    'across right ascension 0': {'ra': 359.995},
    'at the north pole': {'dec': 89.98},
    'at the south pole': {'dec': -89.99, 'ra': 200.0},
}


def reprojected(image, wcs, position, n_pixels, scale):
    reproject = pytest.importorskip('reproject')
    target = tangent_wcs(position, scale, (n_pixels, n_pixels))
    return reproject.reproject_interp((image, wcs), target, shape_out=(n_pixels, n_pixels))


def relative_difference(ours, theirs):
    return np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1.0)


@pytest.mark.parametrize('options', CASES.values(), ids=CASES)
def test_resampling_agrees_with_reproject(options):
    wcs = rotated_wcs(**options)
    data = smooth_image((130, 140))
    ccd = CCDData(data, unit='adu', wcs=wcs)
    middle = SkyCoord(wcs.pixel_to_world(68.4, 60.2)).icrs
    catalog = catalog_at(middle.ra.deg, middle.dec.deg)
    maker = CutoutMaker(geometry={'optical': (40, 3.7 * u.arcsec)})
    band = maker({'optical': ccd}, catalog).band('optical')
    theirs, footprint = reprojected(data, wcs, middle, 40, 3.7 * u.arcsec)
    assert footprint.all()
    assert not band.mask.any()
    assert relative_difference(band.data[0], theirs).max() < 1e-5


def test_edge_of_the_image_is_where_reproject_has_it():
    wcs = rotated_wcs()
    data = smooth_image((130, 140))
    position = wcs.pixel_to_world(1.3, 64.0).icrs
    maker = CutoutMaker(geometry={'optical': (50, 4 * u.arcsec)})
    stack = maker(
        {'optical': CCDData(data, unit='adu', wcs=wcs)},
        catalog_at(position.ra.deg, position.dec.deg),
    )
    band = stack.band('optical')
    theirs, footprint = reprojected(data, wcs, position, 50, 4 * u.arcsec)
    np.testing.assert_array_equal(band.mask[0], footprint == 0)
    assert 0.3 < band.coverage[0] < 0.7
    good = footprint > 0
    assert relative_difference(band.data[0][good], theirs[good]).max() < 1e-5
    assert (band.data[0][~good] == 0).all()


def test_distorted_projection_agrees_with_reproject():
    wcs = rotated_wcs()
    wcs.wcs.ctype = ['RA---TAN-SIP', 'DEC--TAN-SIP']
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], a[0, 2], b[1, 1] = 3e-4, -2e-4, 4e-4
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    data = smooth_image((130, 140))
    position = SkyCoord(*wcs.all_pix2world(60, 50, 0), unit='deg')
    maker = CutoutMaker(geometry={'optical': (40, 4 * u.arcsec)})
    stack = maker(
        {'optical': CCDData(data, unit='adu', wcs=wcs)},
        catalog_at(position.ra.deg, position.dec.deg),
    )
    theirs, _ = reprojected(data, wcs, position, 40, 4 * u.arcsec)
    # both invert the polynomial by iteration, to 1e-4 pixel
    assert relative_difference(stack['optical'][0], theirs).max() < 1e-4


def test_counts_exposure_and_background_of_a_tangential_image_agree_with_reproject():
    wcs = rotated_wcs(angle=0.0)
    counts = smooth_image((130, 140))
    exposure = smooth_image((130, 140), seed=4) * 100
    image = XrayImage(counts=counts, wcs=wcs, exposure=exposure, background=counts / 3)
    position = image.pixel_to_sky(70.0, 60.0)
    # pixels as large and as turned as those of the image are one sample each
    scale = 4 * u.arcsec
    maker = CutoutMaker(geometry={'xray': (40, scale)})
    band = maker({'xray': image}, catalog_at(position.ra.deg, position.dec.deg)).band('xray')
    for ours, plane in (
        (band.data, counts),
        (band.background, counts / 3),
        (band.exposure, exposure),
    ):
        theirs, _ = reprojected(plane, wcs, position, 40, scale)
        assert relative_difference(ours[0], theirs).max() < 1e-5


@pytest.mark.parametrize('scale', [0.51, 0.55, 0.72, 2.667, 2.952, 3.5, 4.0, 4.1, 6.0, 15.0])
@pytest.mark.parametrize('angle', [0.0, 20.0, 33.0])
def test_counts_of_a_single_pixel_are_kept_wherever_it_lies(scale, angle):
    wcs = rotated_wcs(scale=scale, angle=angle)
    rng = np.random.default_rng(3)
    for _ in range(6):
        counts = np.zeros((130, 140))
        x, y = np.array([70, 61]) + rng.integers(-3, 4, 2)
        counts[y, x] = 1000
        image = XrayImage(counts=counts, wcs=wcs)
        at = image.pixel_to_sky(x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5))
        maker = CutoutMaker(geometry={'xray': (24, 4 * u.arcsec)})
        band = maker({'xray': image}, catalog_at(at.ra.deg, at.dec.deg)).band('xray')
        assert band.data.sum() == pytest.approx(1000, rel=0.035)


@pytest.mark.parametrize('scale', [2.0, 4.0, 7.3, 11.0, 40.0])
def test_counts_of_a_source_are_kept_at_every_pixel_scale(scale):
    shape = (300, 300)
    y, x = np.mgrid[:300, :300]
    expected = 1000 / (2 * np.pi * 9) * np.exp(-((x - 150.3) ** 2 + (y - 149.2) ** 2) / 18)
    image = XrayImage(counts=expected, wcs=tiny_wcs(shape=shape), exposure=np.full(shape, 5.0))
    position = image.pixel_to_sky(150.3, 149.2)
    n_pixels = int(400 / scale)
    maker = CutoutMaker(geometry={'xray': (n_pixels, scale * u.arcsec)})
    band = maker({'xray': image}, catalog_at(position.ra.deg, position.dec.deg)).band('xray')
    assert not band.mask.any()
    assert band.data.sum() == pytest.approx(1000, rel=2e-3)
    np.testing.assert_allclose(band.exposure, 5.0, rtol=1e-6)


@pytest.mark.parametrize('ratio', [2.0, 3.3, 9.0])
def test_noise_averages_down_instead_of_aliasing(ratio):
    rng = np.random.default_rng(5)
    data = rng.normal(100, 10, (600, 600)).astype(np.float32)
    wcs = tiny_wcs(shape=(600, 600), pixel_scale=1.0)
    maker = CutoutMaker(geometry={'optical': (50, ratio * u.arcsec)})
    band = maker({'optical': CCDData(data, unit='adu', wcs=wcs)}, catalog_at(150.0, 2.0))
    scatter = band['optical'][0].std()
    assert 0.6 * 10 / ratio < scatter < 1.2 * 10 / ratio


def test_star_is_centred_in_both_bands():
    rng = np.random.default_rng(6)
    # far enough from each other that no neighbour pulls
    ra, dec = 150 + np.array([-0.06, -0.031, 0.002, 0.033, 0.059]), rng.uniform(1.95, 2.05, 5)
    stars = SkyCoord(ra, dec, unit='deg')
    images = {}
    for name, scale, angle, width in (('xray', 4.0, 12.0, 2.0), ('optical', 1.1, -40.0, 2.2)):
        wcs = rotated_wcs(scale=scale, angle=angle)
        size = int(800 / scale)
        wcs.wcs.crpix = [size / 2, size / 2]
        y, x = np.mgrid[:size, :size]
        data = np.zeros((size, size))
        for column, row in zip(*wcs.world_to_pixel(stars), strict=True):
            data += 1e3 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * width**2))
        images[name] = (
            XrayImage(counts=data, wcs=wcs)
            if name == 'xray'
            else CCDData(data, unit='adu', wcs=wcs)
        )
    geometry = {'xray': (16, 4 * u.arcsec), 'optical': (32, 2 * u.arcsec)}
    stack = CutoutMaker(geometry=geometry)(images, catalog_at(ra, dec))
    for name in stack.band_names:
        data = stack[name].astype(float)
        middle = (data.shape[1] - 1) / 2
        y, x = np.mgrid[: data.shape[1], : data.shape[2]] - middle
        core = data * (np.hypot(x, y) < 5)
        total = core.sum(axis=(1, 2))
        assert np.abs((core * x).sum(axis=(1, 2)) / total).max() < 0.1
        assert np.abs((core * y).sum(axis=(1, 2)) / total).max() < 0.1


def test_north_is_up_and_east_is_left():
    image = tiny_image(source_counts=0, background=0)
    counts = np.zeros(image.shape)
    column, row = image.sky_to_pixel(SkyCoord(150 + 40 / 3600, 2 + 60 / 3600, unit='deg'))
    counts[round(float(row)), round(float(column))] = 100
    stack = CutoutMaker()({'xray': image.replace(counts=counts)}, catalog_at(150.0, 2.0))
    y, x = np.unravel_index(stack['xray'][0].argmax(), (64, 64))
    assert (x - 31.5) * 4 == pytest.approx(-40, abs=4)
    assert (y - 31.5) * 4 == pytest.approx(60, abs=4)
    # and the WCS of the single cutout says the same
    sky = stack[0]['xray'].wcs.pixel_to_world(x, y)
    assert sky.separation(SkyCoord(150 + 40 / 3600, 2 + 60 / 3600, unit='deg')).arcsec < 6


def test_bad_pixels_are_masked_and_leave_no_trace():
    data = np.full((80, 80), 10.0)
    data[40, 40] = np.nan
    data[50, 20] = 1e6
    mask = np.zeros(data.shape, bool)
    mask[50, 20] = True
    ccd = CCDData(data, unit='adu', wcs=tiny_wcs(shape=(80, 80), pixel_scale=2.0), mask=mask)
    maker = CutoutMaker(geometry={'optical': (60, 2 * u.arcsec)})
    band = maker({'optical': ccd}, catalog_at(150.0001, 2.0001)).band('optical')
    assert 2 <= band.mask.sum() <= 4
    np.testing.assert_allclose(band.data[~band.mask], 10.0, rtol=1e-6)
    assert (band.data[band.mask] == 0).all()


def test_pixels_without_exposure_are_masked_and_rates_hold_to_the_edge():
    shape = (64, 64)
    exposure = np.full(shape, 200.0)
    exposure[:, 40:] = 0
    counts = exposure * 0.01
    image = XrayImage(counts=counts, wcs=tiny_wcs(shape=shape), exposure=exposure)
    band = CutoutMaker()({'xray': image}, catalog_at(150.00037, 2.00021)).band('xray')
    assert band.mask[0, 32, 50:].all()
    good = ~band.mask[0]
    np.testing.assert_allclose(band.data[0][good] / band.exposure[0][good], 0.01, rtol=1e-4)
    assert (band.exposure[0][~good] == 0).all()


def test_candidates_off_the_optical_image_are_flagged_not_filled():
    image = tiny_image(shape=(200, 200))
    optical = CCDData(
        np.full((150, 150), 7.0), unit='adu', wcs=tiny_wcs(shape=(150, 150), pixel_scale=2.0)
    )
    catalog = catalog_at([150.0, 150.04, 150.09, 330.0], [2.0, 2.0, 2.0, -2.0])
    stack = CutoutMaker()({'xray': image, 'optical': optical}, catalog)
    coverage = stack.band('optical').coverage
    assert coverage[0] == 1
    assert 0 < coverage[1] < 0.95
    assert (coverage[2:] == 0).all()
    assert (stack['optical'][2:] == 0).all()
    flags = coverage_flags(stack)
    expected = [
        0,
        int(CandidateFlag.PARTIAL_OPTICAL),
        int(CandidateFlag.NO_OPTICAL),
        int(CandidateFlag.NO_OPTICAL | CandidateFlag.NO_XRAY),
    ]
    assert (flags & ~int(CandidateFlag.PARTIAL_XRAY))[:3].tolist() == expected[:3]
    assert flags[3] == expected[3]


def test_stack_without_optical_band_says_so():
    stack = CutoutMaker()({'xray': tiny_image()}, catalog_at([150.0, 150.01], [2.0, 2.0]))
    assert (coverage_flags(stack) & int(CandidateFlag.NO_OPTICAL)).all()


@pytest.mark.parametrize('ra', [0.0, 359.99999, 1e-6])
def test_right_ascension_wraps(ra):
    shape = (100, 100)
    image = XrayImage(counts=smooth_image(shape), wcs=tiny_wcs(ra=0.003, dec=-30.0, shape=shape))
    stack = CutoutMaker()({'xray': image}, catalog_at(ra, -30.0))
    assert stack.band('xray').coverage[0] == 1
    shifted = image.replace(wcs=tiny_wcs(ra=50.003, dec=-30.0, shape=shape))
    there = CutoutMaker()({'xray': shifted}, catalog_at(50.0 + (ra + 180) % 360 - 180, -30.0))
    np.testing.assert_allclose(stack['xray'], there['xray'], rtol=1e-4)


def test_empty_catalogue_gives_an_empty_stack():
    images = {'xray': tiny_image(), 'optical': CCDData(np.ones((9, 9)), unit='adu', wcs=tiny_wcs())}
    stack = CutoutMaker()(images, CandidateCatalog.empty())
    assert len(stack) == 0
    assert stack['xray'].shape == (0, 64, 64)
    assert stack['optical'].shape == (0, 128, 128)
    assert coverage_flags(stack).shape == (0,)


def test_features_are_the_numbers_of_the_catalogue():
    catalog = catalog_at(150.0, 2.0, counts=[12.5], extent=[3.0], flags=[9])
    stack = CutoutMaker()({'xray': tiny_image()}, catalog)
    assert stack.features['counts'][0] == 12.5
    assert stack.features['extent'][0] == 3
    assert stack.features['flags'][0] == 9
    assert np.isnan(stack.features['ext_like'][0])
    assert stack.features['psf_fwhm'][0] == 8
    assert stack.band('xray').psf_fwhm[0] == 8


def test_result_does_not_depend_on_the_company():
    image = tiny_image(shape=(128, 128))
    rng = np.random.default_rng(7)
    catalog = catalog_at(rng.uniform(149.97, 150.03, 60), rng.uniform(1.97, 2.03, 60))
    whole = CutoutMaker()({'xray': image}, catalog)
    alone = CutoutMaker()({'xray': image}, catalog[37:38])
    np.testing.assert_allclose(whole['xray'][37], alone['xray'][0], rtol=1e-5, atol=1e-7)
    assert_identical(whole, CutoutMaker()({'xray': image}, catalog))


def test_wrong_arguments_are_named():
    catalog = catalog_at(150.0, 2.0)
    with pytest.raises(ValueError, match='at least one band'):
        CutoutMaker()({}, catalog)
    with pytest.raises(TypeError, match=r"band 'g' must be an XrayImage or a CCDData.*ndarray"):
        CutoutMaker()({'g': np.ones((4, 4))}, catalog)
    with pytest.raises(ValueError, match="band 'g' has no celestial WCS"):
        CutoutMaker()({'g': CCDData(np.ones((4, 4)), unit='adu')}, catalog)
    with pytest.raises(ValueError, match="along a side of 'g' must be a whole number"):
        CutoutMaker(geometry={'g': (0, 1 * u.arcsec)})
    with pytest.raises(TypeError, match=r"pixel scale of 'g'.*unit"):
        CutoutMaker(geometry={'g': (10, 1.0)})
    with pytest.raises(ValueError, match='pixels along a side and the pixel scale'):
        CutoutMaker(geometry={'g': 10})


def test_plate_solution_of_the_digitised_sky_survey(shared_data):
    reproject = pytest.importorskip('reproject')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', FITSFixedWarning)
        with fits.open(shared_data / 'optical' / 'dss_hd219829.fits.gz') as hdus:
            data, wcs = hdus[0].data.astype(float), WCS(hdus[0].header)
    ny, nx = data.shape
    position = wcs.pixel_to_world(0.48 * nx, 0.55 * ny).icrs
    stack = CutoutMaker(geometry={'optical': (64, 1.7 * u.arcsec)})(
        {'optical': CCDData(data, unit='adu', wcs=wcs)},
        catalog_at(position.ra.deg, position.dec.deg),
    )
    target = tangent_wcs(position, 1.7 * u.arcsec, (64, 64))
    theirs, _ = reproject.reproject_interp((data, wcs), target, shape_out=(64, 64))
    assert relative_difference(stack['optical'][0], theirs).max() < 1e-5


def test_the_dark_frame_of_an_image_without_exposure_map_is_missing_and_not_dark():
    y, x = np.mgrid[-64:64, -64:64]
    seen = np.hypot(x, y) < 55
    counts = np.random.default_rng(1).poisson(np.where(seen, 1.5, 0.0))
    image = XrayImage(counts=counts, wcs=tiny_wcs(shape=(128, 128)))
    at = image.pixel_to_sky(np.array([64.0, 64.0]), np.array([64.0, 112.0]))
    maker = CutoutMaker(geometry={'xray': (32, 4 * u.arcsec)})
    stack = maker({'xray': image}, catalog_at(at.ra.deg, at.dec.deg))
    band = stack.band('xray')
    assert band.coverage[0] == 1 and 0.4 < band.coverage[1] < 0.8
    assert 0.35 < stack.meta['dark_frame_share']['xray'] < 0.5
    with_map = image.replace(exposure=np.where(seen, 1e4, 0))
    known = maker({'xray': with_map}, catalog_at(at.ra.deg, at.dec.deg))
    assert (known.band('xray').mask != band.mask).mean() < 0.05
    assert 'dark_frame_share' not in known.meta
