# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Event lists of several missions become images of counts.
"""

import gzip
import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs.utils import proj_plane_pixel_scales

from clustercnn import XrayImage
from clustercnn.cli import main
from clustercnn.exceptions import DataQualityWarning, ImageMismatchError, ImageReadError
from clustercnn.io import read_events, read_image

N = 4000
SKY = {'ra': 150.0, 'dec': 2.0}


def write_events(
    path, *, convention='columns', drop=(), unit='eV', mission='XMM', instrument='EPN', **extra
):
    """
    Write events over 400 x 400 sky pixels of 1 arcsec, 50 of them at one place.
    """
    rng = np.random.default_rng(5)
    data = {
        'TIME': np.arange(N, dtype=float),
        'X': rng.uniform(1000.5, 1400.5, N).astype('f4'),
        'Y': rng.uniform(1000.5, 1400.5, N).astype('f4'),
        'PI': rng.integers(200, 5000, N).astype('i2'),
    }
    data['X'][:50], data['Y'][:50], data['PI'][:50] = 1250.0, 1150.0, 1000
    data.update(extra)
    columns = [
        fits.Column(
            name,
            {'f8': 'D', 'f4': 'E', 'i2': 'I', 'i4': 'J'}[values.dtype.str[1:]],
            unit=unit if name == 'PI' else None,
            array=values,
        )
        for name, values in data.items()
        if name not in drop
    ]
    table = fits.BinTableHDU.from_columns(columns, name='EVENTS')
    header = table.header
    header['TELESCOP'], header['INSTRUME'] = mission, instrument
    for axis, kind, value, step in (('X', 'RA---TAN', 150.0, -1), ('Y', 'DEC--TAN', 2.0, 1)):
        number = list(data).index(axis) + 1
        words = {
            'columns': ('TCTYP{}', 'TCRVL{}', 'TCRPX{}', 'TCDLT{}'),
            # a column before X and Y is gone, its number is not
            'stale': ('TCTYP{}', 'TCRVL{}', 'TCRPX{}', 'TCDLT{}'),
            'reference': ('REF{}CTYP', 'REF{}CRVL', 'REF{}CRPX', 'REF{}CDLT'),
            'none': (),
        }[convention]
        place = {'columns': number, 'stale': number + 9, 'reference': axis}.get(convention)
        for word, content in zip(words, (kind, value, 1200.5, step / 3600), strict=False):
            header[word.format(place)] = content
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return data


@pytest.mark.parametrize('convention', ['columns', 'stale', 'reference'])
def test_every_event_of_the_band_is_in_its_pixel(tmp_path, convention):
    data = write_events(tmp_path / 'a.fits', convention=convention)
    image = read_events(tmp_path / 'a.fits')
    taken = (data['PI'] >= 500) & (data['PI'] < 2000)
    assert image.n_counts == taken.sum() == image.meta['events']['taken']
    assert image.meta['events']['outside 500 to 2000 eV'] == N - taken.sum()
    assert image.mission == 'XMM' and image.psf_fwhm == 7.7 * u.arcsec
    np.testing.assert_allclose(proj_plane_pixel_scales(image.wcs) * 3600, 4.0)
    row, column = np.unravel_index(image.counts.argmax(), image.shape)
    sky = image.pixel_to_sky(column, row)
    # the 50 events lie 49.5 pixels west and 50.5 south of the reference
    assert sky.dec.deg == pytest.approx(2.0 - 50.5 / 3600, abs=2.9 / 3600)
    east = (sky.ra.deg - 150.0) * np.cos(np.deg2rad(2.0))
    assert east == pytest.approx(-49.5 / 3600, abs=2.9 / 3600)


def test_energies_and_pixels_as_asked(tmp_path):
    data = write_events(tmp_path / 'a.fits')
    image = read_events(tmp_path / 'a.fits', energy_band=(1, 4) * u.keV, pixel_scale=10 * u.arcsec)
    assert image.n_counts == ((data['PI'] >= 1000) & (data['PI'] < 4000)).sum()
    assert image.pixel_scale.value == pytest.approx(10)
    again = XrayImage.read(tmp_path / 'a.fits', format='events', energy_band=(1, 4) * u.keV)
    assert again.n_counts == image.n_counts
    # what is no image but holds events is binned
    assert read_image(tmp_path / 'a.fits').n_counts == read_events(tmp_path / 'a.fits').n_counts


def test_flags_and_patterns_leave_events_out_and_say_so(tmp_path):
    rng = np.random.default_rng(6)
    flag = np.where(rng.random(N) < 0.1, 1 << 3, 0).astype('i4')
    pattern = rng.integers(0, 8, N).astype('i2')
    data = write_events(tmp_path / 'a.fits', FLAG=flag, PATTERN=pattern)
    good = (data['PI'] >= 500) & (data['PI'] < 2000)
    image = read_events(tmp_path / 'a.fits')
    events = image.meta['events']
    assert image.n_counts == (good & (flag == 0) & (pattern <= 4)).sum()
    assert events['flagged'] == (good & (flag != 0)).sum()
    assert events['of another pattern'] == (good & (flag == 0) & (pattern > 4)).sum()
    assert sum(n for reason, n in events.items() if reason != 'in the file') == N
    assert read_events(tmp_path / 'a.fits', all_events=True).n_counts == good.sum()


def test_mos_leaves_out_what_lies_outside_the_field_of_view(tmp_path):
    flag = np.zeros(N, 'i4')
    flag[:100], flag[100:300] = 1 << 16, 1 << 8
    data = write_events(tmp_path / 'a.fits', instrument='EMOS1', FLAG=flag)
    good = (data['PI'] >= 500) & (data['PI'] < 2000)
    image = read_events(tmp_path / 'a.fits')
    # beside a dead pixel is good enough, outside the field of view is not
    assert image.n_counts == (good & (flag != 1 << 16)).sum()


def test_flags_as_bits_and_missing_energies(tmp_path):
    bits = np.zeros((N, 16), bool)
    bits[:200, 15 - 3] = True
    data = write_events(tmp_path / 'a.fits')
    with fits.open(tmp_path / 'a.fits') as hdus:
        columns = hdus[1].columns + fits.ColDefs([fits.Column('FLAG', '16X', array=bits)])
        table = fits.BinTableHDU.from_columns(columns, header=hdus[1].header)
        number = columns.names.index('PI') + 1
        table.header[f'TNULL{number}'] = 1000
        table.columns['PI'].null = 1000
        table.writeto(tmp_path / 'b.fits')
    good = (data['PI'] >= 500) & (data['PI'] < 2000) & (data['PI'] != 1000)
    assert read_events(tmp_path / 'b.fits').n_counts == (good & ~bits[:, 15 - 3]).sum()


def test_galactic_map_and_long_history(tmp_path):
    write_events(tmp_path / 'a.fits')
    with fits.open(tmp_path / 'a.fits', mode='update') as hdus:
        for number in range(3000):
            hdus[1].header['HISTORY'] = f'step {number}'
    centre = SkyCoord(150.0, 2.0, unit='deg').galactic
    header = fits.Header()
    header['CTYPE1'], header['CTYPE2'] = 'GLON-TAN', 'GLAT-TAN'
    header['CRVAL1'], header['CRVAL2'] = centre.l.deg, centre.b.deg
    header['CRPIX1'] = header['CRPIX2'] = 100.5
    header['CDELT1'], header['CDELT2'] = -4 / 3600, 4 / 3600
    fits.writeto(tmp_path / 'exposure.fits', np.full((200, 200), 1e4), header)
    alone = read_events(tmp_path / 'a.fits')
    image = read_events(tmp_path / 'a.fits', exposure=tmp_path / 'exposure.fits')
    assert image.n_counts == alone.n_counts
    peaks = [
        one.pixel_to_sky(*np.unravel_index(one.counts.argmax(), one.shape)[::-1])
        for one in (alone, image)
    ]
    assert peaks[0].separation(peaks[1]).arcsec < 6


def test_events_fall_onto_the_grid_of_the_exposure_map(tmp_path):
    data = write_events(tmp_path / 'a.fits')
    header = fits.Header()
    header['CTYPE1'], header['CTYPE2'] = 'RA---TAN', 'DEC--TAN'
    header['CRVAL1'], header['CRVAL2'] = 150.0, 2.0
    header['CRPIX1'] = header['CRPIX2'] = 30.5
    header['CDELT1'], header['CDELT2'] = -5 / 3600, 5 / 3600
    fits.writeto(tmp_path / 'exposure.fits', np.full((60, 60), 1e4), header)
    image = read_events(tmp_path / 'a.fits', exposure=tmp_path / 'exposure.fits')
    good = (data['PI'] >= 500) & (data['PI'] < 2000)
    inside = good & (abs(data['X'] - 1200.5) < 150) & (abs(data['Y'] - 1200.5) < 150)
    assert image.shape == (60, 60)
    assert image.exposure.max() == 1e4
    assert abs(image.n_counts - inside.sum()) <= 2
    assert image.meta['events']['outside the grid'] == good.sum() - image.n_counts
    small = np.zeros((60, 60))
    small[25:35, 25:35] = 1e4
    fits.writeto(tmp_path / 'small.fits', small, header)
    with pytest.warns(DataQualityWarning, match=r'\d\d% of the events .*small\.fits has nothing'):
        image = read_events(tmp_path / 'a.fits', exposure=tmp_path / 'small.fits')
    assert 'has nothing' in image.meta['notes'][1]
    header['CRVAL1'] = 151.0
    fits.writeto(tmp_path / 'elsewhere.fits', np.full((60, 60), 1e4), header)
    with pytest.raises(ImageReadError, match='outside .*elsewhere'):
        read_events(tmp_path / 'a.fits', exposure=tmp_path / 'elsewhere.fits')
    with pytest.raises(ImageMismatchError):
        read_events(
            tmp_path / 'a.fits',
            exposure=tmp_path / 'exposure.fits',
            background=tmp_path / 'elsewhere.fits',
        )
    with pytest.raises(ValueError, match='pixel_scale'):
        read_events(
            tmp_path / 'a.fits', exposure=tmp_path / 'exposure.fits', pixel_scale=4 * u.arcsec
        )


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'convention': 'none'}, 'no world coordinates'),
        ({'drop': ('PI',)}, 'no column'),
        ({'drop': ('X',)}, 'no event list'),
        ({'unit': 'chan', 'mission': 'NEW'}, "in 'chan'"),
        ({'unit': None, 'mission': 'NEW'}, 'no unit'),
        ({'mission': 'ROSAT', 'instrument': 'HRI'}, 'no energies'),
        ({'unit': 'chan', 'mission': 'EP', 'instrument': 'FXT'}, "in 'chan'; expected eV or keV"),
        ({'unit': None, 'mission': 'EP', 'instrument': 'FXT'}, 'that of Einstein Probe FXT is not'),
        # beside eROSITA, whose channels are of 1 eV
        ({'unit': 'chan', 'mission': 'SRG', 'instrument': 'ART-XC'}, "in 'chan'; expected eV"),
    ],
)
def test_what_is_missing_is_said(tmp_path, options, words):
    write_events(tmp_path / 'a.fits', **options)
    with pytest.raises(ImageReadError, match=words):
        read_events(tmp_path / 'a.fits')


@pytest.mark.parametrize(
    ('key', 'value'),
    [('TCROT3', 30.0), ('TP2_3', 0.1), ('TC3_2', -0.1), ('TCD2_3', 0.1), ('TP2_2', 2.0)],
)
def test_columns_that_are_turned_are_refused(tmp_path, key, value):
    write_events(tmp_path / 'a.fits')
    fits.setval(tmp_path / 'a.fits', key, value=value, ext=1)
    with pytest.raises(ImageReadError, match=f'{key} = .*turns or shears'):
        read_events(tmp_path / 'a.fits')


def test_columns_that_say_they_are_not_turned_are_read(tmp_path):
    write_events(tmp_path / 'a.fits')
    for key, value in (('TCROT3', 0.0), ('TP2_2', 1.0), ('TP2_3', 0.0)):
        fits.setval(tmp_path / 'a.fits', key, value=value, ext=1)
    assert read_events(tmp_path / 'a.fits').n_counts > 0


def test_nothing_left_and_wrong_bands(tmp_path):
    write_events(tmp_path / 'a.fits')
    with pytest.raises(ImageReadError, match='no event is left'):
        read_events(tmp_path / 'a.fits', energy_band=(8, 9) * u.keV)
    for band in ((2, 1) * u.keV, 5, (1, 2) * u.s):
        with pytest.raises(ValueError, match='energy_band'):
            read_events(tmp_path / 'a.fits', energy_band=band)
    with pytest.raises(ImageReadError, match='larger pixels'):
        read_events(tmp_path / 'a.fits', pixel_scale=0.001 * u.arcsec)


def test_a_real_list_with_stale_column_numbers(shared_data):
    path = shared_data / 'chandra' / '333_5_evt2_05_8keV.fits.gz'
    image = read_events(path)
    assert image.mission == 'Chandra'
    assert image.meta['events']['in the file'] == 194347
    assert image.n_counts == 131181
    # chip 5 of a pointing at NGC 1275
    centre = image.pixel_to_sky(image.shape[1] / 2, image.shape[0] / 2)
    assert centre.separation(image.pixel_to_sky(0, 0)).arcmin < 12
    assert abs(centre.ra.deg - 49.95) < 0.5 and abs(centre.dec.deg - 41.5) < 0.5


def test_the_commands_take_event_lists(tmp_path, capsys):
    write_events(tmp_path / 'a.fits')
    assert main(['find', str(tmp_path / 'a.fits'), '-o', str(tmp_path / 'c.ecsv')]) == 0
    assert (tmp_path / 'c.ecsv').exists()
    assert main(['check', str(tmp_path / 'a.fits')]) == 0
    assert 'event list' in capsys.readouterr().out


def add_good_times(path, intervals, name='STDGTI', **cards):
    """
    Add a table of good time intervals to a file.
    """
    rows = np.array(intervals, float).reshape(-1, 2)
    columns = [
        fits.Column(word, 'D', unit='s', array=values)
        for word, values in zip(('START', 'STOP'), rows.T, strict=True)
    ]
    table = fits.BinTableHDU.from_columns(columns, name=name)
    table.header.update(cards)
    with fits.open(path, mode='append') as hdus:
        hdus.append(table)


def n_in(data, inside):
    return (inside & (data['PI'] >= 500) & (data['PI'] < 2000)).sum()


def test_events_outside_the_good_times_do_not_count(tmp_path):
    path = tmp_path / 'a.fits'
    data = write_events(path)
    # in no order, overlapping, and without flares in a table that is not for these
    add_good_times(path, [(2000, 3500), (100, 900), (500, 1400)])
    add_good_times(path, [(0, 10)], name='FLAREGTI')
    inside = (data['TIME'] >= 100) & (data['TIME'] <= 1400)
    inside |= (data['TIME'] >= 2000) & (data['TIME'] <= 3500)
    image = read_events(path)
    assert image.n_counts == n_in(data, inside)
    assert image.meta['events']['outside the good times'] == n_in(data, ~inside)
    for option in ({'all_events': True}, {'good_time_intervals': False}):
        whole = read_events(path, **option)
        assert whole.n_counts == n_in(data, True)
        assert 'outside the good times' not in whole.meta['events']


@pytest.mark.parametrize(
    ('column', 'tables'),
    [
        ('CCDNR', [('STDGTI01', {}), ('STDGTI02', {})]),
        ('TM_NR', [('GTI1', {}), ('GTI2', {})]),
        ('CCD_ID', [('GTI', {'CCD_ID': 1}), ('GTI', {'CCD_ID': 2})]),
    ],
)
def test_each_detector_has_its_good_times(tmp_path, column, tables):
    path = tmp_path / 'a.fits'
    detector = (1 + np.arange(N) % 2).astype('i2')
    data = write_events(path, **{column: detector})
    for (name, cards), interval in zip(tables, [(0, 2999), (1000, 9999)], strict=True):
        add_good_times(path, [interval], name=name, **cards)
    inside = np.where(detector == 1, data['TIME'] <= 2999, data['TIME'] >= 1000)
    assert read_events(path).n_counts == n_in(data, inside)


def test_detectors_without_good_times_keep_their_events_and_say_so(tmp_path):
    path = tmp_path / 'a.fits'
    detector = (1 + np.arange(N) % 2).astype('i2')
    data = write_events(path, CCDNR=detector)
    add_good_times(path, [(0, 2999)], name='STDGTI01')
    with pytest.warns(DataQualityWarning, match='2000 events are of detectors without good time'):
        image = read_events(path)
    assert image.n_counts == n_in(data, (detector == 2) | (data['TIME'] <= 2999))


def test_good_times_are_counted_from_their_own_zero(tmp_path):
    path = tmp_path / 'a.fits'
    data = write_events(path)
    with fits.open(path, mode='update') as hdus:
        hdus[1].header.update(TIMEZERO=50.0, MJDREFI=51543, MJDREFF=0.5)
    # a day later, and 300 s before its own zero
    add_good_times(path, [(0, 3000)], MJDREF=51544.5, TIMEZERO=350.0 - 86400.0)
    time = data['TIME'] - 300
    assert read_events(path).n_counts == n_in(data, (time >= 0) & (time <= 3000))


def test_good_times_that_cannot_be_right(tmp_path):
    data = write_events(tmp_path / 'a.fits')
    for name in 'bcde':
        (tmp_path / f'{name}.fits').write_bytes((tmp_path / 'a.fits').read_bytes())
    add_good_times(tmp_path / 'a.fits', [(0, 9), (30, 20)])
    with pytest.raises(ImageReadError, match=r'HDU 2 STDGTI: the interval in row 2 starts at 30'):
        read_events(tmp_path / 'a.fits')
    assert read_events(tmp_path / 'a.fits', all_events=True).n_counts == n_in(data, True)
    add_good_times(tmp_path / 'b.fits', [(1e6, 2e6)])
    with pytest.raises(ImageReadError, match='outside the good times.*belong together'):
        read_events(tmp_path / 'b.fits')
    add_good_times(tmp_path / 'c.fits', [(0, 1000)])
    with pytest.warns(DataQualityWarning, match='events are outside the good times: check whether'):
        read_events(tmp_path / 'c.fits')
    # two tables, and nothing that says of which detector an event is
    add_good_times(tmp_path / 'd.fits', [(0, 10)], name='STDGTI01')
    add_good_times(tmp_path / 'd.fits', [(0, 10)], name='STDGTI02')
    with pytest.warns(DataQualityWarning, match='differ by detector, and the events have none'):
        assert read_events(tmp_path / 'd.fits').n_counts == n_in(data, True)
    add_good_times(tmp_path / 'e.fits', np.zeros((0, 2)))
    with pytest.raises(ImageReadError, match='no event is left'):
        read_events(tmp_path / 'e.fits')


def test_good_times_without_times_are_not_applied_and_that_is_said(tmp_path):
    data = write_events(tmp_path / 'a.fits', drop=('TIME',), convention='reference')
    add_good_times(tmp_path / 'a.fits', [(0, 10)])
    with pytest.warns(DataQualityWarning, match='the events have no TIME'):
        assert read_events(tmp_path / 'a.fits').n_counts == n_in(data, True)


def test_of_several_event_lists_the_others_are_named(tmp_path):
    write_events(tmp_path / 'a.fits')
    with fits.open(tmp_path / 'a.fits') as hdus:
        fits.HDUList([*hdus, hdus[1].copy()]).writeto(tmp_path / 'b.fits')
    with pytest.warns(DataQualityWarning, match='the first of 2 event lists.*: HDU 2 EVENTS$'):
        read_events(tmp_path / 'b.fits')
    assert read_events(tmp_path / 'b.fits', hdu=2).meta['hdu'] == 2
    # which of them is meant is told by a number alone
    with pytest.warns(DataQualityWarning, match='hdu=NUMBER'):
        read_events(tmp_path / 'b.fits', hdu='events')
    with fits.open(tmp_path / 'b.fits', mode='update') as hdus:
        hdus[1].header['HDUCLAS2'] = 'REJECTED'
    assert read_events(tmp_path / 'b.fits').meta['hdu'] == 2
    with fits.open(tmp_path / 'b.fits', mode='update') as hdus:
        del hdus[2]
    with pytest.raises(ImageReadError, match='rejected events are taken if asked for, with hdu=1'):
        read_events(tmp_path / 'b.fits')


def refer(path, **cards):
    """
    Let the header of the events say by which tables they were chosen.
    """
    with fits.open(path, mode='update') as hdus:
        hdus[1].header.update({key.lstrip('_'): value for key, value in cards.items()})


def test_the_header_of_the_events_says_which_table_is_of_which_detector(tmp_path):
    # as the SAS writes them: the numbers in the names are not those of the CCDs
    path = tmp_path / 'a.fits'
    detector = (1 + np.arange(N) % 3).astype('i2')
    data = write_events(path, CCDNR=detector)
    refer(path, DSTYP1='CCDNR', DSVAL1='1', DSTYP3='TIME', DSVAL3='TABLE', DSREF3=':GTI00003')
    refer(path, **{'2DSVAL1': '2', '2DSREF3': ':GTI00103', '3DSVAL1': '3', '3DSREF3': ':GTI00203'})
    for name, interval in (('00003', (0, 999)), ('00103', (500, 1999)), ('00203', (3000, 3999))):
        add_good_times(path, [interval], name=f'GTI{name}')
    # what they were chosen from
    for number in (1, 2, 3):
        add_good_times(path, [(0, 9999)], name=f'STDGTI{number:02}')
    time = data['TIME']
    inside = (detector == 1) & (time <= 999) | (detector == 3) & (time >= 3000)
    inside |= (detector == 2) & (time >= 500) & (time <= 1999)
    with pytest.warns(DataQualityWarning, match='events are outside the good times'):
        assert read_events(path).n_counts == n_in(data, inside)


def test_chandra_names_tables_by_another_keyword(tmp_path):
    path = tmp_path / 'a.fits'
    detector = (np.arange(N) % 2 * 7).astype('i2')
    data = write_events(path, ccd_id=detector)
    refer(path, DSTYP1='time', DSVAL1='TABLE', DSREF1=':GTI7', DSTYP2='ccd_id', DSVAL2='7:7')
    refer(path, **{'2DSREF1': ':GTI0', '2DSVAL2': '0:0'})
    add_good_times(path, [(0, 2999)], name='GTI', HDUNAME='GTI7')
    add_good_times(path, [(1500, 3999)], name='GTI', HDUNAME='GTI0')
    inside = np.where(detector == 7, data['TIME'] <= 2999, data['TIME'] >= 1500)
    assert read_events(path).n_counts == n_in(data, inside)


def test_a_table_that_two_keywords_name_alike_is_one(tmp_path):
    path = tmp_path / 'a.fits'
    data = write_events(path)
    refer(path, DSTYP1='TIME', DSREF1=':SELECTED')
    add_good_times(path, [(0, 2999)], name='SELECTED', HDUNAME='SELECTED')
    add_good_times(path, [(0, 9999)])
    assert read_events(path).n_counts == n_in(data, data['TIME'] <= 2999)


def test_events_of_a_merged_list_whose_table_is_lacking_are_kept(tmp_path):
    path = tmp_path / 'a.fits'
    data = write_events(path)
    refer(path, DSTYP1='TIME', DSREF1=':GTI00001', **{'2DSREF1': ':GTI00101'})
    add_good_times(path, [(0, 999)], name='GTI00001')
    with pytest.warns(DataQualityWarning, match='3000 events are of detectors without good time'):
        assert read_events(path).n_counts == n_in(data, True)


def test_numbers_of_the_sas_are_taken_for_no_detector(tmp_path):
    path = tmp_path / 'a.fits'
    detector = (1 + np.arange(N) % 3).astype('i2')
    data = write_events(path, CCDNR=detector)
    add_good_times(path, [(0, 2999)], name='GTI00003')
    assert read_events(path).n_counts == n_in(data, data['TIME'] <= 2999)
    add_good_times(path, [(0, 10)], name='GTI00103')
    with pytest.warns(DataQualityWarning, match='HDU 2 GTI00003, HDU 3 GTI00103 is'):
        assert read_events(path).n_counts == n_in(data, True)


def test_both_ends_of_an_interval_count_and_other_tables_do_not(tmp_path):
    path = tmp_path / 'a.fits'
    data = write_events(path, PI=np.full(N, 1000, 'i2'))
    add_good_times(path, [(0, 9999)], name='GTI', HDUCLAS2='ALL')
    add_good_times(path, [(100, 3500)], HDUCLAS2='STANDARD')
    # that one cannot be right, but is not for these
    add_good_times(path, [(np.nan, 10)], name='FLAREGTI')
    assert read_events(path).n_counts == 3401 == n_in(data, True) - 599


@pytest.mark.parametrize(
    ('of_events', 'of_intervals', 'match'),
    [
        ({'TIMESYS': 'TT'}, {'TIMESYS': 'UTC'}, 'HDU 1: TIMESYS = TT, HDU 2 STDGTI: TIMESYS = UTC'),
        ({'TIMEREF': 'SOLARSYSTEM'}, {'TIMEREF': 'LOCAL'}, 'TIMEREF = LOCAL; expected the same'),
        ({'TIMEZERO': 'noon'}, {}, "HDU 1: TIMEZERO = 'noon'; expected a number"),
        ({'TIMEUNIT': 'm'}, {}, "HDU 1: times are in 'm'; expected s"),
    ],
)
def test_times_that_cannot_be_compared_are_refused(tmp_path, of_events, of_intervals, match):
    data = write_events(tmp_path / 'a.fits')
    refer(tmp_path / 'a.fits', **of_events)
    add_good_times(tmp_path / 'a.fits', [(0, 9999)], **of_intervals)
    with pytest.raises(ImageReadError, match=match):
        read_events(tmp_path / 'a.fits')
    whole = read_events(tmp_path / 'a.fits', good_time_intervals=False)
    assert whole.n_counts == n_in(data, True)


def test_zeros_and_times_are_in_their_units(tmp_path):
    path = tmp_path / 'a.fits'
    data = write_events(path)
    refer(path, TIMESYS='TDT', TIMEUNIT='sec', TIMEZERO=1000)
    # of the columns in s, of the zero in days
    add_good_times(path, [(0, 3500.5)], TIMESYS='TT', TIMEUNIT='d', TIMEZERO=500 / 86400)
    assert read_events(path).n_counts == n_in(data, data['TIME'] + 500 <= 3500.5)


def test_a_detector_whose_table_is_empty_is_named(tmp_path):
    path = tmp_path / 'a.fits'
    detector = (1 + np.arange(N) % 4 // 3).astype('i2')
    data = write_events(path, CCDNR=detector)
    add_good_times(path, [(0, 9999)], name='STDGTI01')
    add_good_times(path, [], name='STDGTI02')
    with pytest.warns(DataQualityWarning, match='HDU 3 STDGTI02 has no interval.*the 1000 events'):
        assert read_events(path).n_counts == n_in(data, detector == 1)


@pytest.mark.parametrize(
    ('name', 'column', 'key'),
    [
        ('xmm_a1835_mos2/P0098010101M2U009IMAGE_3000.FTZ', 'CCDNR', 'CCDID'),
        ('chandra/image2.fits.gz', 'ccd_id', 'CCD_ID'),
        ('sim_support/SIMULATED_statix_pnevt-img.fits.gz', 'CCDNR', None),
    ],
)
def test_tables_and_references_of_real_files(shared_data, tmp_path, name, column, key):
    # events made up, by the header and with the tables of real images of such
    rng = np.random.default_rng(8)
    with fits.open(shared_data / name) as hdus:
        tables = [fits.BinTableHDU(hdu.data, hdu.header) for hdu in hdus[1:]]
        words = re.compile(r'\d*DS(TYP|VAL|REF)\d+|MJDREF|TIME(SYS|REF|ZERO|UNIT)')
        cards = {k: v for k, v in hdus[0].header.items() if words.fullmatch(k)}
    of = [table.header[key] if key else number for number, table in enumerate(tables, start=1)]
    detector = rng.choice([*of, 9] if key == 'CCDID' else of, N).astype('i2')
    start = min(table.data['START'].min() for table in tables)
    stop = max(table.data['STOP'].max() for table in tables)
    data = write_events(
        tmp_path / 'a.fits',
        **{column: detector, 'TIME': rng.uniform(start - 50, stop + 50, N)},
        PI=np.full(N, 1000, 'i2'),
    )
    inside = ~np.isin(detector, of)
    for one, table in zip(of, tables, strict=True):
        for first, last in table.data:
            inside |= (detector == one) & (data['TIME'] >= first) & (data['TIME'] <= last)
    with fits.open(tmp_path / 'a.fits', mode='append') as hdus:
        for table in tables:
            hdus.append(table)
    refer(tmp_path / 'a.fits', **{f'_{k}': v for k, v in cards.items()})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        assert read_events(tmp_path / 'a.fits').n_counts == inside.sum() < N
    assert len(told) == (key == 'CCDID')


@pytest.mark.parametrize('card', ["DSREF1  = ':STDGTI", 'TIMEZERO=  zero', 'MJDREF  =  5 0 0'])
def test_cards_that_cannot_be_read(tmp_path, card):
    paths = [tmp_path / 'a.fits', tmp_path / 'b.fits']
    for path in paths:
        data = write_events(path)
        with fits.open(path, mode='update') as hdus:
            hdus[1].header['HOLDER'] = 'x'
    add_good_times(paths[1], [(0, 3000)])
    for path in paths:
        content = path.read_bytes()
        holder = content.index(b'HOLDER')
        path.write_bytes(content[:holder] + card.ljust(80).encode() + content[holder + 80 :])
    # without intervals nobody needs them
    assert read_events(paths[0]).n_counts == n_in(data, True)
    if card.startswith('DSREF'):
        assert read_events(paths[1]).n_counts == n_in(data, data['TIME'] <= 3000)
        return
    with pytest.raises(ImageReadError, match=rf'HDU 1: the card {card[:8].strip()} cannot be read'):
        read_events(paths[1])
    assert read_events(paths[1], good_time_intervals=False).n_counts == n_in(data, True)


def test_damage_behind_the_events_is_said_and_costs_no_event(tmp_path):
    path = tmp_path / 'a.fits'
    data = write_events(path)
    add_good_times(path, [(0, 2000)])
    path.write_bytes(path.read_bytes()[:-2870])
    with pytest.warns(DataQualityWarning, match='what lies behind cannot be read.*promises data'):
        image = read_events(path)
    assert image.n_counts == n_in(data, True)


def test_intervals_within_others_end_nothing(tmp_path):
    data = write_events(tmp_path / 'a.fits')
    add_good_times(tmp_path / 'a.fits', [(0, 3000), (500, 900)])
    assert read_events(tmp_path / 'a.fits').n_counts == n_in(data, data['TIME'] <= 3000)


def test_times_that_are_no_numbers_are_none(tmp_path):
    path = tmp_path / 'a.fits'
    data = write_events(path)
    with fits.open(path) as hdus:
        table = hdus[1]
        text = fits.Column('TIME', '8A', array=np.full(N, 'noon'))
        columns = fits.ColDefs([text, *(table.columns[name] for name in ('X', 'Y', 'PI'))])
        made = fits.BinTableHDU.from_columns(columns, header=table.header)
        made.writeto(tmp_path / 'b.fits')
    assert read_events(tmp_path / 'b.fits').n_counts == n_in(data, True)
    add_good_times(tmp_path / 'b.fits', [(0, 3000)])
    with pytest.warns(DataQualityWarning, match='the events have no TIME'):
        read_events(tmp_path / 'b.fits')


def test_a_file_that_is_read_in_part_says_so(tmp_path, monkeypatch):
    path = tmp_path / 'a.fits'
    data = write_events(path)
    filler = fits.BinTableHDU.from_columns([fits.Column('A', 'D', array=np.zeros(100_000))])
    with fits.open(path, mode='append') as hdus:
        hdus.append(filler)
    add_good_times(path, [(0, 2000)])
    (tmp_path / 'a.fits.gz').write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr('clustercnn.io.planes.LimitedStream.most', 300_000)
    with pytest.warns(DataQualityWarning, match='beyond .* GiB nothing was read'):
        image = read_events(tmp_path / 'a.fits.gz')
    assert image.n_counts == n_in(data, True)
