# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Images as others write them: blank pixels of unsigned numbers, lost keywords, units of maps.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from clustercnn.exceptions import DataQualityWarning, ImageReadError, NoImageError
from clustercnn.io import read_image, read_optical, read_psf
from clustercnn.io.missions import unit_of
from clustercnn.io.planes import read_plane
from clustercnn.testing import tiny_image, tiny_wcs


def counts_of(seed=1):
    return np.random.default_rng(seed).poisson(1.0, (64, 64))


@pytest.mark.parametrize('dtype', [np.uint16, np.int16])
def test_blank_pixels_are_masked_whatever_the_numbers(tmp_path, dtype):
    counts = counts_of()
    header = tiny_wcs().to_header()
    hdu = fits.PrimaryHDU(counts.astype(dtype), header)
    blank = 32767 if dtype is np.uint16 else -1
    hdu.writeto(tmp_path / 'a.fits')
    with fits.open(tmp_path / 'a.fits', mode='update', do_not_scale_image_data=True) as hdus:
        hdus[0].data[:5] = blank
        hdus[0].header['BLANK'] = blank
    with pytest.warns(UserWarning, match='not finite and were masked'):
        image = read_image(tmp_path / 'a.fits')
    assert image.mask.sum() == 5 * 64 and image.mask[:5].all()
    assert image.n_counts == counts[5:].sum()
    assert read_optical(tmp_path / 'a.fits').mask.sum() == 5 * 64


@pytest.mark.parametrize('word', ['CRVAL1', 'CRVAL2', 'CRPIX1', 'CRPIX2'])
@pytest.mark.parametrize('value', [None, '10:00:00'])
def test_reference_point_must_be_stated(tmp_path, word, value):
    header = tiny_wcs().to_header()
    del header[word]
    if value is not None:
        header[word] = value
    fits.writeto(tmp_path / 'a.fits', counts_of(), header)
    with pytest.raises(ImageReadError, match=rf'a\.fits: HDU 0.*{word}.*expected a number'):
        read_image(tmp_path / 'a.fits')


@pytest.mark.parametrize('unit', ['count/s', 'counts/s', 'ct/s/arcsec2', 'erg/cm2/s', 's', 'deg'])
def test_backgrounds_in_other_units_are_refused(tmp_path, unit):
    header = tiny_wcs().to_header()
    fits.writeto(tmp_path / 'a.fits', counts_of(), header)
    header['BUNIT'] = unit
    fits.writeto(tmp_path / 'b.fits', np.full((64, 64), 0.5), header)
    with pytest.raises(ImageReadError, match=r'b\.fits: HDU 0.*BUNIT.*counts per pixel'):
        read_image(tmp_path / 'a.fits', background=tmp_path / 'b.fits')


@pytest.mark.parametrize(
    'unit',
    ['', 'count', 'counts', 'ct/pix', 'counts/pixel', 'photons', 'cts', 'count/bin', '1/pix'],
)
def test_backgrounds_in_counts_are_taken(tmp_path, unit):
    header = tiny_wcs().to_header()
    fits.writeto(tmp_path / 'a.fits', counts_of(), header)
    header['BUNIT'] = unit
    fits.writeto(tmp_path / 'b.fits', np.full((64, 64), 0.5), header)
    image = read_image(tmp_path / 'a.fits', background=tmp_path / 'b.fits')
    assert image.background.mean() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ('text', 'unit'),
    [
        ('counts/s', u.ct / u.s),
        ('COUNTS/S', u.ct / u.s),
        ('Counts/S', u.ct / u.s),
        ('counts/sec', u.ct / u.s),
        ('electrons/s', u.electron / u.s),
        ('Counts', u.ct),
        ('MJy/sr', u.MJy / u.sr),
        ('S', u.S),
        ('Primary Array', None),
    ],
)
def test_words_for_units(text, unit):
    assert unit_of({'BUNIT': text}) == unit


@pytest.mark.parametrize('spelling', ['CD', 'PC', 'CDELT'])
def test_scale_of_a_psf_however_it_is_written(tmp_path, spelling):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.crval, wcs.wcs.crpix = [10, 20], [16, 16]
    if spelling == 'CDELT':
        wcs.wcs.cdelt = [-1 / 3600, 1 / 3600]
    else:
        wcs.wcs.cd = np.diag([-1, 1]) / 3600
    # a CD matrix comes out as PC, with CDELT of 1
    header = wcs.to_header()
    if spelling == 'CD':
        header.update({'CD1_1': -1 / 3600, 'CD2_2': 1 / 3600})
        for key in ('PC1_1', 'PC2_2', 'CDELT1', 'CDELT2'):
            header.remove(key, ignore_missing=True)
    y, x = np.mgrid[-15:16, -15:16]
    fits.writeto(tmp_path / 'psf.fits', np.exp(-0.5 * (x**2 + y**2) / 9), header)
    psf = read_psf(tmp_path / 'psf.fits')
    assert psf.pixel_scale.to_value(u.arcsec) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize('name', ['Soft', 'soft', 'SOFT', 1])
def test_hdus_are_found_by_name_in_any_letters(tmp_path, name):
    hdu = fits.ImageHDU(counts_of(), tiny_wcs().to_header(), name='Soft')
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / 'a.fits')
    assert read_image(tmp_path / 'a.fits', hdu=name).n_counts == counts_of().sum()


def test_counts_of_our_own_image_copied_elsewhere_are_read(tmp_path):
    tiny_image().write(tmp_path / 'ours.fits')
    with fits.open(tmp_path / 'ours.fits') as hdus:
        copied = fits.ImageHDU(hdus[0].data, hdus[0].header)
        fits.HDUList([fits.PrimaryHDU(), copied]).writeto(tmp_path / 'a.fits')
    with pytest.warns(DataQualityWarning, match='other planes are not read'):
        image = read_image(tmp_path / 'a.fits')
    assert image.n_counts == tiny_image().n_counts


def test_of_several_images_the_others_are_named(tmp_path):
    header = tiny_wcs().to_header()
    counts = np.random.default_rng(1).poisson(0.5, (64, 64)).astype(np.int16)

    def write(*names):
        images = [fits.ImageHDU(counts, header, name=name) for name in names]
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / 'a.fits', overwrite=True)
        return tmp_path / 'a.fits'

    with pytest.warns(
        DataQualityWarning, match='the first of 3 images.*: HDU 2 HARD, HDU 3 BROAD$'
    ):
        read_image(write('SOFT', 'HARD', 'BROAD'))
    assert read_image(tmp_path / 'a.fits', hdu='hard').meta['hdu'] == 2
    # what comes with an image is no other one, unless it comes first
    assert read_image(write('SCI', 'ERR', 'DQ', 'EXPOSURE')).meta['hdu'] == 1
    with pytest.warns(DataQualityWarning, match='HDU 1 is taken.*: HDU 2 SCI$'):
        read_image(write('WEIGHT', 'SCI'))
    with pytest.warns(DataQualityWarning, match='the first of many images.*: HDU 2 B,.* and more$'):
        read_image(write(*'ABCDEFGHIJ'))
    # what lies behind is not needed
    whole = write('SCI', 'OTHER').read_bytes()
    (tmp_path / 'b.fits').write_bytes(whole[:-3000])
    assert read_image(tmp_path / 'b.fits').n_counts == counts.sum()


def test_images_that_cannot_be_meant_are_not_named(tmp_path):
    header = tiny_wcs().to_header()
    counts = np.random.default_rng(1).poisson(0.5, (64, 64)).astype(np.int16)
    seconds, detector = header.copy(), fits.Header({'CTYPE1': 'DETX', 'CTYPE2': 'DETY'})
    seconds['BUNIT'] = 's'
    beside = [
        fits.ImageHDU(counts, seconds, name='TIME'),
        fits.ImageHDU(counts, detector, name='CHIP'),
        fits.ImageHDU(counts, name='PLAIN'),
        fits.ImageHDU(counts[None], header, name='CTX'),
        fits.CompImageHDU(counts, header, name='WGT'),
    ]
    fits.HDUList([fits.PrimaryHDU(counts, header), *beside]).writeto(tmp_path / 'a.fits')
    assert read_image(tmp_path / 'a.fits').meta['hdu'] == 0
    # of a map, too, the others are named
    maps = [fits.ImageHDU(np.ones((64, 64)), seconds, name=name) for name in ('PN', 'MOS')]
    fits.HDUList([fits.PrimaryHDU(), *maps]).writeto(tmp_path / 'b.fits')
    with pytest.warns(DataQualityWarning, match='b.fits: HDU 1 is taken, the first of 2 images'):
        read_image(tmp_path / 'a.fits', exposure=tmp_path / 'b.fits')


def test_no_real_file_has_an_image_that_could_be_meant_as_well(shared_data):
    paths = [path for kind in ('*.fits*', '*.FTZ') for path in shared_data.rglob(kind)]
    n_images = 0
    for path in sorted(paths):
        try:
            plane = read_plane(path)
        except NoImageError:
            continue
        n_images += 1
        assert not [doubt for doubt in plane.doubts if 'is taken' in doubt], path
    assert n_images >= 40
