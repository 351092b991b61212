# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Source lists of surveys are read under our names and in our units.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from clustercnn import CandidateCatalog
from clustercnn.exceptions import TableReadError
from clustercnn.io.surveys import SURVEYS, likely_survey


def erass1():
    return Table(
        {
            'IAUNAME': ['1eRASS J092121.2+031726', '1eRASS J000000.0+000000'],
            'DETUID': ['em01_1', 'em01_2'],
            'ID_SRC': [1, 2],
            'RA': [140.33848, 359.99999],
            'DEC': [3.2906, -0.1],
            'RADEC_ERR': [2.0, 4.0],
            'POS_ERR': [1.5, 3.0],
            'EXT': [30.0, 0.0],
            'EXT_ERR': [2.0, 0.0],
            'EXT_LIKE': [479.0, 0.0],
            'DET_LIKE_0': [900.0, 12.0],
            'ML_CTS_1': MaskedColumn([1500.0, 20.0], mask=[False, True], dtype=np.float32),
            'ML_CTS_ERR_1': [40.0, 5.0],
            'ML_BKG_1': [3.6, 7.2],
            'ML_EXP_1': [1200.0, 1100.0],
            'FLAG_SP_SNR': [0, 1],
        }
    )


@pytest.mark.parametrize('suffix', ['.fits', '.ecsv', '.csv', '.vot'])
def test_erass1_catalogue(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    kind = {'.fits': 'fits', '.ecsv': 'ascii.ecsv', '.csv': 'ascii.csv', '.vot': 'votable'}
    erass1().write(path, format=kind[suffix])
    catalog = CandidateCatalog.read(path, format='esass', keep=['FLAG_SP_SNR'])
    assert catalog.ids == ('em01_1', 'em01_2')
    assert catalog[0].name == '1eRASS J092121.2+031726'
    assert catalog[0].extent == 30 * u.arcsec
    assert catalog[0].pos_err == 1.5 * u.arcsec
    assert catalog[0].background.value == pytest.approx(0.001)
    assert catalog[0].ext_like == 479 and catalog[0].det_like == 900
    assert np.isnan(catalog[1].counts) and catalog[0].counts == 1500 * u.ct
    assert np.isnan(catalog[0].x) and np.isnan(catalog[0].significance)
    assert list(catalog['FLAG_SP_SNR']) == [0, 1]
    assert catalog.meta['origin'] == 'esass'
    catalog.write(tmp_path / 'again.fits')
    assert CandidateCatalog.read(tmp_path / 'again.fits').ids == catalog.ids


def test_ermldet_list_keeps_the_summary_rows(tmp_path):
    table = Table(
        {
            'ID_SRC': [1, 1, 1, 2],
            'ID_INST': [0, 1, 0, 0],
            'ID_BAND': [0, 1, 1, 0],
            'RA': [10.0, 10.0, 10.0, 11.0],
            'DEC': [0.0] * 4,
            'RADEC_ERR': [2.0] * 4,
            'X_IMA': [1.0, 1.0, 1.0, 5.5],
            'Y_IMA': [1.0, 1.0, 1.0, 6.5],
            'ML_CTS': [100.0, 50.0, 50.0, 7.0],
            'EXT_LIKE': [0.0] * 4,
        }
    )
    table.write(tmp_path / 'a.fits')
    catalog = CandidateCatalog.read(tmp_path / 'a.fits', format='esass')
    assert catalog.ids == ('1', '2')
    assert (catalog[1].x, catalog[1].y) == (4.5, 5.5)
    assert catalog[0].counts == 100 * u.ct
    assert catalog[0].pos_err.value == pytest.approx(np.sqrt(2))
    assert catalog[0].name.startswith('CCNN J0040')


def test_4xmm_detections_and_sources(tmp_path):
    detections = Table(
        {
            'DETID': np.array([104037603010001, 2], np.int64),
            'IAUNAME': ['4XMM J140101.9+025239', '4XMM J140000.0+020000'],
            'RA': [210.2586, 210.0],
            'DEC': [2.8786, 2.0],
            'POSERR': [1.0, 2.0],
            'EP_8_CTS': [5000.0, 30.0],
            'EP_8_CTS_ERR': [80.0, 7.0],
            'EP_8_DET_ML': [20000.0, 10.0],
            'EP_EXTENT': [22.0, 0.0],
            'EP_EXTENT_ERR': [0.3, np.nan],
            'EP_EXTENT_ML': [9000.0, -0.5],
            'EP_ONTIME': [26000.0, 26000.0],
        }
    )
    detections.write(tmp_path / 'a.fits')
    catalog = CandidateCatalog.read(tmp_path / 'a.fits', format='4xmm')
    assert catalog.ids == ('104037603010001', '2')
    assert catalog[0].extent == 22 * u.arcsec and catalog[0].ext_like == 9000
    assert catalog[0].pos_err.value == pytest.approx(np.sqrt(0.5))
    assert catalog[0].exposure == 26000 * u.s
    slim = Table({'SRCID': [5], 'SC_RA': [1.0], 'SC_DEC': [2.0], 'SC_EXTENT': [9.0]})
    slim['SC_EXT_ML'] = [40.0]
    slim.write(tmp_path / 'b.fits')
    (source,) = CandidateCatalog.read(tmp_path / 'b.fits', format='4xmm')
    assert source.extent == 9 * u.arcsec and source.ext_like == 40
    assert likely_survey(slim.colnames) == '4xmm'


def test_list_of_emldetect(shared_data):
    path = shared_data / 'sim_support' / 'SIMULATED_statix_pnevt-summarylist_DETML6.fits.gz'
    catalog = CandidateCatalog.read(path, format='emldetect', pixel_scale=4.35 * u.arcsec)
    assert len(catalog) == 13
    assert catalog[0].id == '1'
    assert catalog[0].position.ra.deg == pytest.approx(359.864434)
    assert catalog[0].x == pytest.approx(409.62924, abs=1e-4)
    assert catalog[0].det_like == pytest.approx(7.2182775)
    assert catalog[0].pos_err.value == pytest.approx(2.969219 / np.sqrt(2))
    assert np.isnan(catalog[0].counts)
    # the positions and the image that the list was made from agree
    from clustercnn.io import read_image

    image = read_image(shared_data / 'sim_support' / 'SIMULATED_statix_pnevt-img.fits.gz')
    x, y = image.sky_to_pixel(catalog.positions)
    np.testing.assert_allclose(x, catalog['x'].value, atol=0.05)
    np.testing.assert_allclose(y, catalog['y'].value, atol=0.05)


def test_emldetect_in_pixels(tmp_path):
    table = Table(
        {
            'ML_ID_SRC': [3],
            'RA': [1.0],
            'DEC': [2.0],
            'EXT': [5.0],
            'EXT_ML': [30.0],
            'DET_ML': [60.0],
            'BG_MAP': [1.6],
            'SCTS': [70.0],
            'RADEC_ERR': [1.0],
        }
    )
    table.write(tmp_path / 'a.fits')
    (source,) = CandidateCatalog.read(tmp_path / 'a.fits', format='emldetect')
    assert source.extent == 20 * u.arcsec
    assert source.background.value == pytest.approx(0.1)


@pytest.mark.parametrize('survey', SURVEYS)
def test_no_rows(tmp_path, survey):
    columns = SURVEYS[survey]
    table = Table({columns[name].names[0]: np.zeros(0) for name in ('ra', 'dec', 'extent')})
    table.write(tmp_path / 'a.fits')
    assert len(CandidateCatalog.read(tmp_path / 'a.fits', format=survey)) == 0


def test_wrong_lists_are_refused_with_a_hint(tmp_path):
    erass1().write(tmp_path / 'a.fits')
    with pytest.raises(TableReadError, match="read it with format='esass'"):
        CandidateCatalog.read(tmp_path / 'a.fits')
    Table({'x': [1]}).write(tmp_path / 'b.fits')
    with pytest.raises(TableReadError, match='is no list of 4xmm: it lacks RA or SC_RA'):
        CandidateCatalog.read(tmp_path / 'b.fits', format='4xmm')
    table = erass1()
    table['DETUID'] = ['a', 'a']
    table.write(tmp_path / 'c.fits')
    with pytest.raises(TableReadError, match="'a' occurs more than once"):
        CandidateCatalog.read(tmp_path / 'c.fits', format='esass')
    with pytest.raises(TableReadError, match="no column 'nope'"):
        CandidateCatalog.read(tmp_path / 'a.fits', format='esass', keep=['nope'])
    with pytest.raises(OSError, match='no such file'):
        CandidateCatalog.read(tmp_path / 'none.fits', format='esass')


def test_a_list_of_emldetect_without_summary_rows_is_refused(tmp_path):
    table = Table({'RA': [150.0, 151.0], 'DEC': [2.0, 2.1], 'RADEC_ERR': [1.0, 1.0]})
    table['ID_INST'], table['ID_BAND'] = [2, 2], [1, 1]
    table.write(tmp_path / 'a.fits')
    with pytest.raises(TableReadError, match='none of its 2 rows sums over instruments'):
        CandidateCatalog.read(tmp_path / 'a.fits', format='emldetect')
    table['ID_INST'], table['ID_BAND'] = [0, 2], [0, 1]
    table.write(tmp_path / 'b.fits')
    assert len(CandidateCatalog.read(tmp_path / 'b.fits', format='emldetect')) == 1
