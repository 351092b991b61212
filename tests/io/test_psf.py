# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Images of a PSF are read, and what cannot be one is refused in one sentence.
"""

import gzip

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustercnn.core import PsfImage
from clustercnn.exceptions import DataQualityWarning, ImageReadError
from clustercnn.io import read_psf

ARCSEC = {'CDELT1': 1.0, 'CDELT2': 1.0, 'CUNIT1': 'arcsec', 'CUNIT2': 'arcsec'}


def gaussian(ny=81, nx=81, sigma=4.0, x=None, y=None):
    x, y = (nx - 1) / 2 if x is None else x, (ny - 1) / 2 if y is None else y
    rows, columns = np.mgrid[:ny, :nx]
    return np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / sigma**2)


def header_of(keywords):
    header = fits.Header()
    for word, value in keywords.items():
        # with a comment, or without
        header[word] = value
    return header


def written(path, data, **keywords):
    fits.writeto(path, data, header_of(keywords), overwrite=True)
    return path


@pytest.mark.parametrize(
    ('keywords', 'scale'),
    [
        (ARCSEC, 1.0),
        ({'CDELT1': 0.5, 'CUNIT1': 'arcsec'}, 0.5),
        ({'CDELT1': -1 / 3600, 'CDELT2': 1 / 3600, 'CUNIT1': 'deg', 'CUNIT2': 'deg'}, 1.0),
        ({'CDELT1': -2 / 3600, 'CDELT2': 2 / 3600, 'CTYPE1': 'RA---TAN'}, 2.0),
        ({'CD1_1': 0.0, 'CD1_2': 3e-4, 'CD2_1': -3e-4, 'CD2_2': 0.0, 'CUNIT1': 'deg'}, 1.08),
        ({'PIXSCALE': 4.0}, 4.0),
        ({'PIXSCALE': (4 / 3600, '[deg] size of a pixel')}, 4.0),
        ({'CDELT1': (0.1, '[arcmin] step')}, 6.0),
    ],
)
def test_pixel_scale_however_it_is_stated(keywords, scale, tmp_path):
    psf = read_psf(written(tmp_path / 'psf.fits', gaussian(), **keywords))
    assert psf.pixel_scale.to_value(u.arcsec) == pytest.approx(scale, rel=1e-6)
    assert psf.fwhm.value == pytest.approx(2.3548 * 4 * scale, rel=0.01)
    assert psf.meta['notes'] == ()


def test_small_steps_without_a_unit_are_degrees(tmp_path):
    path = written(tmp_path / 'psf.fits', gaussian(), CDELT1=1 / 3600)
    with pytest.warns(DataQualityWarning, match='was taken to be in deg'):
        psf = read_psf(path)
    assert psf.pixel_scale.value == pytest.approx(1)
    assert 'taken to be in deg' in psf.meta['notes'][0]


def test_scale_can_be_given(tmp_path):
    path = written(tmp_path / 'psf.fits', gaussian())
    assert read_psf(path, pixel_scale=0.1 * u.arcmin).pixel_scale == 6 * u.arcsec
    with pytest.raises(TypeError, match="'pixel_scale' must be an angle"):
        read_psf(path, pixel_scale=4)


@pytest.mark.parametrize(
    ('shape', 'centre'),
    [((81, 81), (40.0, 40.0)), ((80, 90), (44.5, 39.5)), ((90, 81), (33, 51.3))],
)
def test_the_centroid_is_the_centre(shape, centre, tmp_path):
    data = gaussian(*shape, x=centre[0], y=centre[1]) * 7
    psf = read_psf(written(tmp_path / 'psf.fits', data, **ARCSEC))
    np.testing.assert_allclose(psf.centres[0], centre, atol=1e-3)
    assert psf.images.sum() == pytest.approx(1)
    assert psf.fwhm.value == pytest.approx(2.3548 * 4, rel=0.01)


def test_compressed_files_extensions_and_axes_of_length_one(tmp_path):
    hdu = fits.ImageHDU(gaussian()[None], fits.Header(ARCSEC), name='PSF')
    other = fits.ImageHDU(gaussian(sigma=6), fits.Header(ARCSEC), name='WIDE')
    path = tmp_path / 'psf.fits'
    fits.HDUList([fits.PrimaryHDU(), hdu, other]).writeto(path)
    path.with_suffix('.fits.gz').write_bytes(gzip.compress(path.read_bytes()))
    with pytest.warns(DataQualityWarning, match='1 further images are not used'):
        psf = read_psf(path.with_suffix('.fits.gz'))
    assert psf.fwhm.value == pytest.approx(9.42, rel=0.01)
    assert read_psf(path, hdu='wide').fwhm.value == pytest.approx(14.13, rel=0.01)
    fits.CompImageHDU(gaussian().astype(np.float32), fits.Header(ARCSEC)).writeto(
        tmp_path / 'tiled.fits'
    )
    assert read_psf(tmp_path / 'tiled.fits').fwhm.value == pytest.approx(9.42, rel=0.01)


@pytest.mark.parametrize(
    'state',
    [
        lambda angle: {'THETA': angle},
        lambda angle: {'OFFAXIS': (angle * 60, '[arcsec]')},
        lambda angle: {'EXTNAME': f'E-1500 THETA({angle:g})arcmin'},
        lambda angle: {'CBD30001': f'THETA({angle:g})arcmin'},
    ],
)
def test_images_of_several_angles_are_all_taken(state, tmp_path):
    hdus = [
        fits.ImageHDU(gaussian(81 + 2 * k, 81, sigma), header_of({**ARCSEC, **state(angle)}))
        for k, (angle, sigma) in enumerate(((6.0, 5.0), (0.0, 4.0), (12.0, 7.0)))
    ]
    path = tmp_path / 'psf.fits'
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    psf = read_psf(path)
    np.testing.assert_allclose(psf.off_axis.value, [0, 6, 12])
    np.testing.assert_allclose(psf.widths.value, 2.3548 * np.array([4, 5, 7]), rtol=0.01)
    assert psf.meta['notes'] == ()
    assert '0, 6, 12 arcmin' in repr(psf)


def test_cubes(tmp_path):
    cube = np.stack([gaussian(sigma=sigma) for sigma in (4.0, 5.0, 6.0)])
    axis = {'CTYPE3': 'THETA', 'CUNIT3': 'arcmin', 'CRPIX3': 1, 'CRVAL3': 0, 'CDELT3': 5}
    psf = read_psf(written(tmp_path / 'psf.fits', cube, **ARCSEC, **axis))
    np.testing.assert_allclose(psf.off_axis.value, [0, 5, 10])
    path = written(tmp_path / 'wrong.fits', cube, **ARCSEC, **(axis | {'CDELT3': -5}))
    with pytest.raises(ImageReadError, match='make off-axis angles from -10 arcmin'):
        read_psf(path)
    path = written(tmp_path / 'other.fits', cube, **ARCSEC)
    with pytest.warns(DataQualityWarning, match='2 further images are not used: no off-axis angle'):
        psf = read_psf(path)
    assert psf.images.shape == (1, 81, 81)


def test_what_deserves_a_look_is_told(tmp_path):
    path = written(tmp_path / 'psf.fits', gaussian() + 0.1, PIXSCALE=1.0)
    with pytest.warns(DataQualityWarning, match='the rim has 9% of the largest value'):
        read_psf(path)
    path = written(tmp_path / 'narrow.fits', gaussian(sigma=0.5), PIXSCALE=1.0)
    with pytest.warns(DataQualityWarning, match='its shape within a pixel is not known'):
        read_psf(path)
    path = written(tmp_path / 'angle.fits', gaussian(), PIXSCALE=1.0, THETA=6.0)
    with pytest.warns(DataQualityWarning, match='it is used everywhere'):
        read_psf(path)


def spoilt(value):
    data = gaussian()
    data[3, 7] = value
    return data


BAD = {
    'no scale': (gaussian(), {}, 'HDU 0: states no pixel scale', 'add CDELT1'),
    'no unit': (gaussian(), {'CDELT1': 1.0}, 'without CUNIT1', "CUNIT1 = 'arcsec'"),
    'millimetres': (gaussian(), ARCSEC | {'CUNIT1': 'mm'}, "CUNIT1 = 'mm'", 'expected an angle'),
    'text': (gaussian(), {'CDELT1': 'one'}, "CDELT1 = 'one'", 'expected a number'),
    'zero step': (gaussian(), {'CDELT1': 0.0}, 'pixels of 0 x 0', 'more than 0'),
    'oblong': (gaussian(), ARCSEC | {'CDELT2': 2.0}, 'pixels of 1 x 2', 'resample'),
    'negative': (spoilt(-1), ARCSEC, '1 negative values', '-1 at (x, y) = (7, 3)'),
    'nan': (spoilt(np.nan), ARCSEC, '1 values that are not finite', '(x, y) = (7, 3)'),
    'zero': (0 * gaussian(), ARCSEC, 'every pixel is zero', 'image of a PSF'),
    'small': (gaussian(21, 41, 4.0), ARCSEC, '41 x 21 pixels', 'at least 3 widths'),
    'flat': (np.ones((30, 30)), ARCSEC, '30 x 30 pixels', 'at least 3 widths'),
    'angle': (gaussian(), ARCSEC | {'THETA': -3.0}, 'THETA = -3.0', 'off-axis angle'),
    'one row': (np.ones((1, 50)), ARCSEC, 'no image to take for a PSF', 'HDU 0 image 50 x 1'),
}


@pytest.mark.filterwarnings('default')
@pytest.mark.parametrize('kind', BAD)
def test_what_is_no_psf_is_refused(kind, tmp_path):
    data, keywords, *words = BAD[kind]
    path = written(tmp_path / 'psf.fits', data, **keywords)
    with pytest.raises(ImageReadError) as caught:
        read_psf(path)
    assert caught.value.path == str(path)
    for text in words:
        assert text in str(caught.value)
    assert '\n' not in str(caught.value)


def test_files_that_hold_no_image(tmp_path):
    path = tmp_path / 'table.fits'
    fits.BinTableHDU(Table({'a': [1]})).writeto(path)
    with pytest.raises(ImageReadError, match='HDU 1 table .* give a width instead'):
        read_psf(path)
    with pytest.raises(ImageReadError, match="no image in HDU 'PSF'"):
        read_psf(path, hdu='PSF')
    with pytest.raises(ImageReadError, match='no such file'):
        read_psf(tmp_path / 'nowhere.fits')
    two = [
        fits.ImageHDU(gaussian(), fits.Header(ARCSEC | {'CDELT1': s, 'CDELT2': s, 'THETA': t}))
        for s, t in ((1.0, 0.0), (2.0, 6.0))
    ]
    fits.HDUList([fits.PrimaryHDU(), *two]).writeto(tmp_path / 'two.fits')
    with pytest.raises(ImageReadError, match='expected the same in all images'):
        read_psf(tmp_path / 'two.fits')


def test_real_tables_of_encircled_energy_are_no_images(shared_data):
    files = sorted((shared_data / 'sim_support').glob('psf_*.fits.gz'))
    assert files, 'the real data have lost the PSF files of XMM-Newton'
    for path in files[::8]:
        with pytest.raises(ImageReadError, match='HDU 1 table .* encircled energy'):
            read_psf(path)


def test_psf_images_keep_what_they_promise():
    psf = PsfImage(
        images=[gaussian(), gaussian(sigma=5)], pixel_scale=1 * u.arcsec, off_axis=[0, 6] * u.arcmin
    )
    assert not psf.images.flags.writeable
    with pytest.raises(AttributeError):
        psf.images = None
    assert psf.replace(pixel_scale=2 * u.arcsec).fwhm == 2 * psf.fwhm
    assert '<table' in psf._repr_html_()
    for changes, words in (
        ({'images': -gaussian()}, "'images' must be finite and not negative"),
        ({'images': np.zeros((5, 5)), 'off_axis': None}, 'a pixel above 0'),
        ({'off_axis': None}, "'off_axis' must give the angle"),
        ({'off_axis': [6, 0] * u.arcmin}, 'rising'),
        ({'off_axis': [0] * u.arcmin}, 'one angle an image'),
        ({'images': np.zeros(5)}, 'dimensions'),
        ({'images': np.zeros((0, 5))}, 'at least one pixel'),
        ({'pixel_scale': -1 * u.arcsec}, "'pixel_scale' must be finite"),
    ):
        with pytest.raises(ValueError, match=words):
            psf.replace(**changes)
    with pytest.raises(TypeError, match="'off_axis' must be angles"):
        psf.replace(off_axis=[0, 6])
