# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Images of many origins are read, and what cannot be used is refused in one sentence.
"""

import bz2
import gzip
import lzma
import os

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from clustercnn import XrayImage
from clustercnn.core import CandidateFlag
from clustercnn.exceptions import (
    DataQualityWarning,
    FluxImageError,
    ImageMismatchError,
    ImageReadError,
)
from clustercnn.io import read_image, read_optical
from clustercnn.io.missions import PSF_FWHM
from clustercnn.testing import tiny_image, tiny_wcs


def counts_of(shape=(64, 64), seed=1):
    return np.random.default_rng(seed).poisson(0.5, shape).astype(np.int32)


@pytest.fixture
def image_file(tmp_path):
    path = tmp_path / 'image.fits'
    fits.writeto(path, counts_of(), tiny_wcs().to_header())
    return path


def refusal(error, path, *args, **kwargs):
    """
    Read what must be refused and return the message, which must be one useful line.
    """
    with pytest.raises(error) as caught:
        read_image(path, *args, **kwargs)
    text = str(caught.value)
    assert '\n' not in text
    assert 20 < len(text) < 1000
    return text


# real files


def test_xmm_products(shared_data):
    folder = shared_data / 'xmm_a1835_mos2'
    image = XrayImage.read(
        folder / 'P0098010101M2U009IMAGE_3000.FTZ',
        exposure=folder / 'P0098010101M2U009EXPMAP3000.FTZ',
        background=folder / 'P0098010101M2X000BKGMAP3000.FTZ',
    )
    assert image.shape == (648, 648)
    assert image.n_counts == 36174
    assert image.mission == 'XMM' and image.instrument == 'EMOS2'
    assert image.pixel_scale.value == pytest.approx(4.0)
    assert image.exposure.max() == pytest.approx(28168.115)
    assert image.exposure_unit == u.s
    assert image.background.max() == pytest.approx(0.3034857)
    x, y = image.sky_to_pixel(image.pixel_to_sky(100.0, 200.0))
    assert (x, y) == (pytest.approx(100), pytest.approx(200))


def test_erosita_without_telescope(shared_data):
    folder = shared_data / 'erosita_efeds_patch'
    image = read_image(
        folder / 'img_0600_1100.fits.gz', exposure=folder / 'expmap_norm_0600_1100.fits.gz'
    )
    assert image.n_counts == 4154
    assert image.mission == 'generic'
    assert image.wcs.wcs.ctype[0] == 'RA---SIN'
    assert image.exposure_unit == u.s


@pytest.mark.parametrize(
    ('name', 'n_counts', 'pixel_scale'),
    [
        ('3c273', 150232, 0.492),
        ('NGC5044_9399_img', 486119, 1.968),
        ('NGC5044_9399_img_fov', 486119, 1.968),
        ('acisf07999_000N001_r0035_regevt3_srcimg', 1022, 0.492),
        ('acisf08478_000N001_r0043_regevt3_srcimg', 965, 0.492),
        ('image2', 32300, 0.984),
    ],
)
def test_chandra(shared_data, name, n_counts, pixel_scale):
    image = read_image(shared_data / 'chandra' / f'{name}.fits.gz')
    assert image.mission == 'Chandra'
    assert image.n_counts == n_counts
    assert image.pixel_scale.value == pytest.approx(pixel_scale, rel=1e-6)
    assert image.psf_fwhm == PSF_FWHM['Chandra'] * u.arcsec


def test_chandra_flux_is_refused_unless_insisted(shared_data):
    path = shared_data / 'chandra' / 'ngc2207_chandra_broad_flux.fits.gz'
    with pytest.warns(DataQualityWarning, match='DATASUM does not fit'):
        text = refusal(FluxImageError, path)
    assert '/cm**2 /s' in text and 'allow_flux' in text and 'HDU 0' in text
    with pytest.warns(DataQualityWarning, match='DATASUM'):
        image = read_image(path, allow_flux=True)
    assert image.flags & CandidateFlag.FLUX_IMAGE
    assert any('not counts' in note for note in image.meta['notes'])
    assert image.n_counts < 1e6


def test_rosat_intensity_without_exposure(shared_data):
    path = shared_data / 'rosat_skyview' / 'pspc_skyview.fits.gz'
    assert '97%' in refusal(FluxImageError, path)
    assert read_image(path, allow_flux=True).flags & CandidateFlag.FLUX_IMAGE


def test_list_of_sources(shared_data):
    name = 'SIMULATED_statix_pnevt-summarylist_DETML6.fits.gz'
    assert 'table' in refusal(ImageReadError, shared_data / 'sim_support' / name)
    text = refusal(ImageReadError, shared_data / 'catalogues' / 'abell_and_zwicky.vot.gz')
    assert 'XML' in text


def test_maps_are_not_taken_for_counts(shared_data):
    folder = shared_data / 'xmm_a1835_mos2'
    exposure = folder / 'P0098010101M2U009EXPMAP3000.FTZ'
    background = folder / 'P0098010101M2X000BKGMAP3000.FTZ'
    counts = folder / 'P0098010101M2U009IMAGE_3000.FTZ'
    assert 'an exposure map' in refusal(ImageReadError, exposure)
    assert 'a background map' in refusal(ImageReadError, background)
    text = refusal(ImageReadError, counts, exposure=background)
    assert 'expected the exposure map' in text and 'BKGMAP' in text
    text = refusal(ImageReadError, counts, background=counts)
    assert 'a counts image; expected the background map' in text
    text = refusal(ImageReadError, shared_data / 'sim_support' / 'xmm_PN_mask.fits.gz')
    assert 'detection mask' in text
    # no keyword tells, so that it is only doubted
    with pytest.warns(DataQualityWarning, match='smoother than photons'):
        read_image(shared_data / 'erosita_efeds_patch' / 'expmap_norm_0600_1100.fits.gz')


def test_optical_images(shared_data):
    folder = shared_data / 'optical'
    plate = read_optical(folder / 'dss_hd219829.fits.gz')
    assert plate.shape == (141, 141) and plate.unit == u.adu
    assert plate.wcs.has_celestial
    assert read_optical(folder / 'm13_dss.fits.gz').shape == (300, 300)
    assert read_optical(folder / 'horsehead_serc_er.fits.gz').shape == (893, 891)
    infrared = read_optical(folder / 'ngc2207_spitzer_irac.fits.gz')
    assert infrared.mask.sum() == 578521
    assert infrared.unit == u.MJy / u.sr
    assert np.isfinite(infrared.data).all()


# world coordinates


def header_of(kind):
    """
    Return the same sky grid written in several ways.
    """
    header = tiny_wcs().to_header()
    step = 4 / 3600
    extra = {}
    for name in ('PC1_1', 'PC1_2', 'PC2_1', 'PC2_2', 'CDELT1', 'CDELT2', 'CROTA2'):
        header.remove(name, ignore_missing=True)
    if kind == 'CD':
        extra = {'CD1_1': -step, 'CD1_2': 0.0, 'CD2_1': 0.0, 'CD2_2': step}
    if kind == 'PC':
        extra = {'PC1_1': -1.0, 'PC2_2': 1.0, 'CDELT1': step, 'CDELT2': step}
    if kind == 'CDELT':
        extra = {'CDELT1': -step, 'CDELT2': step}
    if kind == 'CROTA':
        extra = {'CDELT1': -step, 'CDELT2': step, 'CROTA2': 0.0}
    if kind == 'no CUNIT':
        extra = {'CDELT1': -step, 'CDELT2': step}
        del header['CUNIT1'], header['CUNIT2']
    header.update(extra)
    return header


@pytest.mark.parametrize('kind', ['CD', 'PC', 'CDELT', 'CROTA', 'no CUNIT'])
def test_every_way_to_write_a_grid(tmp_path, kind):
    header = fits.Header(header_of(kind))
    fits.writeto(tmp_path / 'a.fits', counts_of(), header)
    image = read_image(tmp_path / 'a.fits')
    assert image.pixel_scale.value == pytest.approx(4.0)
    want = tiny_wcs().pixel_to_world(5, 50)
    assert image.pixel_to_sky(5, 50).separation(want).arcsec < 1e-6


@pytest.mark.parametrize('projection', ['TAN', 'SIN', 'ARC', 'CAR', 'ZEA', 'STG'])
def test_projections(tmp_path, projection):
    header = tiny_wcs().to_header()
    header['CTYPE1'], header['CTYPE2'] = f'RA---{projection}', f'DEC--{projection}'
    header['CRVAL2'] = 0.0 if projection == 'CAR' else 2.0
    del header['LONPOLE'], header['LATPOLE']
    fits.writeto(tmp_path / 'a.fits', counts_of(), header)
    image = read_image(tmp_path / 'a.fits')
    assert np.all(image.sky_to_pixel(image.pixel_to_sky(7.0, 9.0)) == pytest.approx((7, 9)))


def test_galactic_grid_gives_equatorial_positions(tmp_path):
    header = tiny_wcs(ra=120, dec=30).to_header()
    header['CTYPE1'], header['CTYPE2'] = 'GLON-TAN', 'GLAT-TAN'
    header.remove('RADESYS', ignore_missing=True)
    fits.writeto(tmp_path / 'a.fits', counts_of(), header)
    center = read_image(tmp_path / 'a.fits').center
    assert center.galactic.l.deg == pytest.approx(120)
    assert center.frame.name == 'icrs'


@pytest.mark.parametrize(('ra', 'dec'), [(0.0, 0.0), (359.999, -30.0), (180.0, 89.99)])
def test_across_the_origin_and_at_the_pole(tmp_path, ra, dec):
    fits.writeto(tmp_path / 'a.fits', counts_of(), tiny_wcs(ra=ra, dec=dec).to_header())
    image = read_image(tmp_path / 'a.fits', exposure=None)
    assert image.center.separation(tiny_wcs(ra=ra, dec=dec).pixel_to_world(31.5, 31.5)).arcsec < 1
    longitudes = image.pixel_to_sky([0, 63], [31, 31]).ra.deg
    assert ((longitudes >= 0) & (longitudes < 360)).all()


def test_no_wcs(tmp_path):
    fits.writeto(tmp_path / 'a.fits', counts_of())
    text = refusal(ImageReadError, tmp_path / 'a.fits')
    assert 'a.fits' in text and 'HDU 0' in text and 'CTYPE1 = absent' in text
    header = fits.Header({'CTYPE1': 'DETX', 'CTYPE2': 'DETY'})
    fits.writeto(tmp_path / 'b.fits', counts_of(), header)
    assert 'CTYPE1 = DETX' in refusal(ImageReadError, tmp_path / 'b.fits')


def test_pixels_without_a_size(tmp_path):
    header = fits.Header(header_of('none'))
    fits.writeto(tmp_path / 'a.fits', counts_of(), header)
    assert 'CDELT1' in refusal(ImageReadError, tmp_path / 'a.fits')
    header['CD1_1'], header['CD1_2'], header['CD2_1'], header['CD2_2'] = 0.0, 0.0, 0.0, 0.0
    fits.writeto(tmp_path / 'b.fits', counts_of(), header)
    refusal(ImageReadError, tmp_path / 'b.fits')


# forms of FITS


def test_image_in_an_extension(tmp_path):
    image = fits.ImageHDU(counts_of(), tiny_wcs().to_header(), name='IMAGE')
    table = fits.BinTableHDU(Table({'a': [1]}), name='GTI')
    plain = fits.ImageHDU(np.ones((8, 8)), name='DETECTOR')
    fits.HDUList([fits.PrimaryHDU(), table, plain, image]).writeto(tmp_path / 'a.fits')
    assert read_image(tmp_path / 'a.fits').meta['hdu'] == 3
    assert read_image(tmp_path / 'a.fits', hdu='IMAGE').meta['hdu'] == 3
    assert read_image(tmp_path / 'a.fits', hdu=3).n_counts == counts_of().sum()
    assert "HDU 'NOPE'" in refusal(ImageReadError, tmp_path / 'a.fits', hdu='NOPE')
    assert 'HDU 9' in refusal(ImageReadError, tmp_path / 'a.fits', hdu=9)
    assert 'HDU 2' in refusal(ImageReadError, tmp_path / 'a.fits', hdu=2)


def test_only_tables(tmp_path):
    fits.BinTableHDU(Table({'a': [1]})).writeto(tmp_path / 'a.fits')
    text = refusal(ImageReadError, tmp_path / 'a.fits')
    assert 'HDU 1 table' in text and 'event list' in text


@pytest.mark.parametrize('dtype', ['>i2', '<i4', '>i8', '>f4', '<f8', 'u1', 'u2', 'u4'])
def test_types_of_numbers(tmp_path, dtype):
    counts = counts_of().astype(dtype)
    fits.writeto(tmp_path / 'a.fits', counts, tiny_wcs().to_header())
    image = read_image(tmp_path / 'a.fits')
    assert image.counts.dtype == np.float32 and image.counts.dtype.isnative
    np.testing.assert_array_equal(image.counts, counts)


@pytest.mark.parametrize('compression', ['RICE_1', 'GZIP_1', 'HCOMPRESS_1'])
def test_compressed_extension(tmp_path, compression):
    hdu = fits.CompImageHDU(
        counts_of(), tiny_wcs().to_header(), compression_type=compression, name='IMAGE'
    )
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / 'a.fits')
    np.testing.assert_array_equal(read_image(tmp_path / 'a.fits').counts, counts_of())


@pytest.mark.parametrize('suffix', ['.gz', '.bz2', '.xz'])
def test_compressed_file_under_any_name(tmp_path, image_file, suffix):
    module = {'.gz': gzip, '.bz2': bz2, '.xz': lzma}[suffix]
    path = tmp_path / 'renamed.FTZ'
    path.write_bytes(module.compress(image_file.read_bytes()))
    np.testing.assert_array_equal(read_image(path).counts, counts_of())


def test_axes_of_length_one_are_dropped(tmp_path):
    header = tiny_wcs().to_header()
    header.update({'CTYPE3': 'FREQ', 'CRVAL3': 1.0, 'CDELT3': 1.0, 'CRPIX3': 1.0, 'WCSAXES': 4})
    header.update({'CTYPE4': 'STOKES', 'CRVAL4': 1.0, 'CDELT4': 1.0, 'CRPIX4': 1.0})
    header['CUNIT3'] = 'Hz'
    fits.writeto(tmp_path / 'a.fits', counts_of()[None, None], header)
    image = read_image(tmp_path / 'a.fits')
    assert image.shape == (64, 64) and image.wcs.naxis == 2
    cube = np.stack([counts_of(), counts_of()])
    header = tiny_wcs().to_header()
    fits.writeto(tmp_path / 'b.fits', cube, header)
    assert 'cube' in refusal(ImageReadError, tmp_path / 'b.fits')


def test_scaled_and_blank_integers(tmp_path):
    counts = counts_of().astype(np.int16)
    counts[3, 4] = -99
    header = tiny_wcs().to_header()
    header['BLANK'] = -99
    fits.writeto(tmp_path / 'a.fits', counts, header)
    with pytest.warns(DataQualityWarning, match='1 pixels are not finite'):
        assert read_image(tmp_path / 'a.fits').mask[3, 4]


def test_odd_names_of_files(tmp_path, image_file):
    path = tmp_path / 'überstellung 1 (copy).fits'
    path.write_bytes(image_file.read_bytes())
    assert read_image(path).meta['path'] == str(path)
    link = tmp_path / 'link.fits'
    link.symlink_to(path)
    assert read_image(str(link)).n_counts == counts_of().sum()
    path.chmod(0o400)
    assert read_image(path).n_counts == counts_of().sum()


# values


def test_nan_pixels_are_masked_and_told(tmp_path):
    counts = counts_of().astype(np.float32)
    counts[:3] = np.nan
    counts[10, 10] = np.inf
    fits.writeto(tmp_path / 'a.fits', counts, tiny_wcs().to_header())
    with pytest.warns(DataQualityWarning, match='193 pixels are not finite'):
        image = read_image(tmp_path / 'a.fits')
    assert image.mask.sum() == 193
    fits.writeto(tmp_path / 'b.fits', counts * np.nan, tiny_wcs().to_header())
    assert 'every pixel is NaN' in refusal(ImageReadError, tmp_path / 'b.fits')
    with pytest.raises(ImageReadError, match='every pixel is NaN'):
        read_optical(tmp_path / 'b.fits')


def test_negative_counts(tmp_path):
    counts = counts_of()
    counts[5, 7] = -2
    fits.writeto(tmp_path / 'a.fits', counts, tiny_wcs().to_header())
    text = refusal(ImageReadError, tmp_path / 'a.fits')
    assert '1 negative values' in text and '-2 at (x, y) = (7, 5)' in text


@pytest.mark.parametrize('scale', [1e-12, 1e-5, 0.3, 1e4])
def test_flux_is_seen_at_any_scale(tmp_path, scale):
    flux = np.random.default_rng(1).gamma(2, scale, (64, 64))
    fits.writeto(tmp_path / 'a.fits', flux, tiny_wcs().to_header())
    assert 'insist' in refusal(FluxImageError, tmp_path / 'a.fits')
    image = read_image(tmp_path / 'a.fits', allow_flux=True)
    assert image.flags & CandidateFlag.FLUX_IMAGE
    assert np.isfinite(image.n_counts) and image.n_counts > 0


def test_whole_rates_are_doubted(tmp_path):
    header = tiny_wcs().to_header()
    header['BUNIT'] = 'ct/s'
    fits.writeto(tmp_path / 'a.fits', counts_of(), header)
    with pytest.warns(DataQualityWarning, match='BUNIT is ct/s'):
        read_image(tmp_path / 'a.fits')


def test_empty_images(tmp_path):
    fits.writeto(tmp_path / 'zero.fits', np.zeros((64, 64)), tiny_wcs().to_header())
    assert 'every pixel is zero' in refusal(ImageReadError, tmp_path / 'zero.fits')
    fits.PrimaryHDU().writeto(tmp_path / 'none.fits')
    assert 'HDU 0 image empty' in refusal(ImageReadError, tmp_path / 'none.fits')


# maps


def write_map(path, data, *, unit=None, wcs=None):
    header = (wcs or tiny_wcs()).to_header()
    if unit:
        header['BUNIT'] = unit
    fits.writeto(path, data, header)
    return path


@pytest.mark.parametrize(
    ('unit', 'value', 'want', 'factor'),
    [
        (None, 1e4, u.s, 1),
        ('s', 1e4, u.s, 1),
        ('sec', 1e4, u.s, 1),
        ('ks', 10.0, u.s, 1000),
        ('cm2 s', 1e5, u.cm**2 * u.s, 1),
        ('cm**2 ks', 50.0, u.cm**2 * u.s, 1e3),
        ('m2 s', 50.0, u.cm**2 * u.s, 1e4),
        ('cm**2 s', 1e5, u.cm**2 * u.s, 1),
        ('s cm**2 count/photon', 1e5, u.cm**2 * u.s, 1),
        (None, 5e7, u.cm**2 * u.s, 1),
        ('Primary Array', 1e4, u.s, 1),
    ],
)
def test_units_of_exposure(tmp_path, image_file, unit, value, want, factor):
    path = write_map(tmp_path / 'exp.fits', np.full((64, 64), value, np.float32), unit=unit)
    image = read_image(image_file, exposure=path)
    assert image.exposure_unit == want
    assert image.exposure.max() == pytest.approx(value * factor)


def test_exposure_in_a_wrong_unit(tmp_path, image_file):
    path = write_map(tmp_path / 'exp.fits', np.ones((64, 64)), unit='erg')
    text = refusal(ImageReadError, image_file, exposure=path)
    assert 'exp.fits' in text and "BUNIT = 'erg'" in text and 'cm2 s' in text


@pytest.mark.parametrize('role', ['exposure', 'background'])
def test_maps_that_cannot_be(tmp_path, image_file, role):
    zero = write_map(tmp_path / 'zero.fits', np.zeros((64, 64)))
    text = refusal(ImageReadError, image_file, **{role: zero})
    assert 'zero.fits' in text and 'zero everywhere' in text
    nothing = write_map(tmp_path / 'nan.fits', np.full((64, 64), np.nan))
    assert 'zero everywhere' in refusal(ImageReadError, image_file, **{role: nothing})
    data = np.ones((64, 64))
    data[9, 2] = -1
    negative = write_map(tmp_path / 'negative.fits', data)
    text = refusal(ImageReadError, image_file, **{role: negative})
    assert '-1 at (x, y) = (2, 9)' in text
    assert 'no such file' in refusal(ImageReadError, image_file, **{role: tmp_path / 'x.fits'})


def test_nan_outside_the_field_of_view(tmp_path, image_file):
    data = np.full((64, 64), 1e4)
    data[:, :5] = np.nan
    image = read_image(image_file, exposure=write_map(tmp_path / 'exp.fits', data))
    assert (image.exposure[:, :5] == 0).all() and not image.valid[:, :5].any()


def test_single_lit_pixel_is_told(tmp_path, image_file):
    data = np.zeros((64, 64))
    data[32, 32] = 1e4
    with pytest.warns(DataQualityWarning, match='of the counts lie where'):
        read_image(image_file, exposure=write_map(tmp_path / 'exp.fits', data))


@pytest.mark.parametrize('role', ['exposure', 'background'])
def test_maps_of_another_grid(tmp_path, image_file, role):
    other = write_map(tmp_path / 'a.fits', np.ones((63, 64)), wcs=tiny_wcs(shape=(63, 64)))
    text = refusal(ImageMismatchError, image_file, **{role: other})
    assert '64 x 63' in text and '64 x 64' in text and 'a.fits' in text
    wcs = tiny_wcs()
    wcs.wcs.crpix = wcs.wcs.crpix + np.array([1, 0])
    other = write_map(tmp_path / 'b.fits', np.ones((64, 64)), wcs=wcs)
    assert '1.00 pixels off' in refusal(ImageMismatchError, image_file, **{role: other})
    wcs = WCS(tiny_wcs().to_header())
    wcs.wcs.crpix = wcs.wcs.crpix + np.array([0.05, 0])
    other = write_map(tmp_path / 'c.fits', np.ones((64, 64)), wcs=wcs)
    read_image(image_file, **{role: other})


# damage


def test_what_is_no_file_of_images(tmp_path):
    for name, content, words in (
        ('page.fits', b'<!DOCTYPE html><html>404</html>', 'HTML'),
        ('page2.fits', b'\n\n  <HTML>', 'HTML'),
        ('empty.fits', b'', 'empty'),
        ('text.fits', b'x y z\n1 2 3\n', 'SIMPLE'),
        ('zip.fits', b'PK\x03\x04' + bytes(600), 'ZIP'),
        ('picture.fits', b'\x89PNG\r\n' + bytes(600), 'PNG'),
        ('pointer.fits', b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull'),
        ('zeros.fits', bytes(2880 * 3), 'SIMPLE'),
        ('page.fits.gz', gzip.compress(b'<html></html>'), 'HTML'),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        text = refusal(ImageReadError, path)
        assert words in text and name in text
    assert 'no such file' in refusal(ImageReadError, tmp_path / 'absent.fits')
    assert 'no such file' in refusal(ImageReadError, tmp_path / 'text.fits' / 'a.fits')
    assert 'folder' in refusal(ImageReadError, tmp_path)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='there are no named pipes here')
def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'pipe.fits')
    assert 'pipe' in refusal(ImageReadError, tmp_path / 'pipe.fits')


def test_truncated_anywhere(tmp_path):
    table = fits.BinTableHDU(Table({'a': np.arange(5000)}), name='GTI')
    image = fits.ImageHDU(counts_of(), tiny_wcs().to_header())
    whole = tmp_path / 'whole.fits'
    fits.HDUList([fits.PrimaryHDU(), table, image]).writeto(whole, checksum=True)
    content = whole.read_bytes()
    with fits.open(whole) as hdus:
        data_end = hdus[2].fileinfo()['datLoc'] + hdus[2].size
    cuts = {block + shift for block in range(0, len(content), 2880) for shift in (-1, 0, 1)} | {
        data_end - 1,
        100,
        511,
    }
    path = tmp_path / 'cut.fits'
    for cut in sorted(cut for cut in cuts if 0 < cut < data_end):
        path.write_bytes(content[:cut])
        refusal(ImageReadError, path)
    # only the padding is missing
    path.write_bytes(content[:data_end])
    np.testing.assert_array_equal(read_image(path).counts, counts_of())


def test_truncated_while_compressed(tmp_path, image_file):
    packed = gzip.compress(image_file.read_bytes())
    path = tmp_path / 'cut.fits.gz'
    for cut in (1, 5, 20, 100, len(packed) // 2, len(packed) - 9, len(packed) - 1):
        path.write_bytes(packed[:cut])
        refusal(ImageReadError, path)
    flipped = bytearray(packed)
    flipped[-6] ^= 0xFF
    path.write_bytes(flipped)
    refusal(ImageReadError, path)


def test_flipped_bit_under_a_checksum_is_told(tmp_path):
    path = tmp_path / 'a.fits'
    fits.writeto(path, counts_of(), tiny_wcs().to_header(), checksum=True)
    content = bytearray(path.read_bytes())
    content[2880 + 803] ^= 0x01
    path.write_bytes(content)
    with pytest.warns(DataQualityWarning, match='DATASUM does not fit'):
        read_image(path)


def test_header_that_claims_too_much(tmp_path, image_file):
    content = image_file.read_bytes()
    for axis in (b'NAXIS1', b'NAXIS2'):
        content = content.replace(
            axis + b'  =                   64', axis + b'  =              1000000'
        )
    path = tmp_path / 'claim.fits'
    path.write_bytes(content)
    assert '1000000 x 1000000' in refusal(ImageReadError, path)
    path.write_bytes(gzip.compress(content))
    assert '1000000 x 1000000' in refusal(ImageReadError, path)
    # within the limit on pixels, but not there
    small = content.replace(b'1000000', b'  19000')
    path.write_bytes(small)
    assert 'truncated' in refusal(ImageReadError, path)
    path.write_bytes(gzip.compress(small))
    refusal(ImageReadError, path)


def test_header_without_end(tmp_path):
    head = b'SIMPLE  =                    T'.ljust(80)
    path = tmp_path / 'a.fits.gz'
    path.write_bytes(gzip.compress(head + b' ' * (200 << 20), compresslevel=1))
    text = refusal(ImageReadError, path)
    assert 'headers pass 64 MiB' in text


def test_bomb_ends_at_the_limit(tmp_path, monkeypatch):
    # a table that unpacks to far more than the file, before the image; the size that gzip
    # notes at its end is not asked
    monkeypatch.setattr('clustercnn.io.planes.LimitedStream.most', 4 << 20)
    header = fits.BinTableHDU(Table({'a': np.zeros(10)})).header
    header['NAXIS2'] = 10_000_000
    content = fits.PrimaryHDU().header.tostring().encode() + header.tostring().encode()
    path = tmp_path / 'bomb.fits.gz'
    packed = gzip.compress(content + bytes(16 << 20))
    path.write_bytes(packed[:-4] + b'\x00\x0b\x00\x00')
    assert 'GiB nothing was read' in refusal(ImageReadError, path)


def test_errors_can_be_caught_as_one(tmp_path):
    with pytest.raises(OSError, match='no such file'):
        read_optical(tmp_path / 'a.fits')


def test_written_image_of_ours_is_read_again(tmp_path):
    image = tiny_image()
    header = image.wcs.to_header()
    fits.writeto(tmp_path / 'a.fits', image.counts, header)
    again = read_image(tmp_path / 'a.fits')
    np.testing.assert_array_equal(again.counts, image.counts)
    assert again.wcs.wcs.compare(image.wcs.wcs, tolerance=1e-9)
