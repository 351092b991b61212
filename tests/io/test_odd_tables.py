# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tables as others write them: units, text, missing names, positions and times as columns.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time

from clustercnn import CandidateCatalog
from clustercnn.exceptions import DataQualityWarning, TableReadError
from clustercnn.testing import tiny_catalog


def write_with_unit(path, table, name, text):
    # astropy writes no unit that it does not know, but others do
    hdu = fits.BinTableHDU(table)
    hdu.header[f'TUNIT{table.colnames.index(name) + 1}'] = text
    hdu.writeto(path)


def esass_list(**changes):
    columns = {
        'ID_SRC': [7, 8],
        'RA': [140.3, 140.4],
        'DEC': [3.3, 3.4],
        'EXT': [30.0, 0.0],
        'EXT_LIKE': [479.0, 0.0],
        'DET_LIKE': [900.0, 20.0],
    }
    return Table(columns | changes)


@pytest.mark.parametrize('name', ['list.fits', 'list.ecsv', 'list.vot'])
def test_units_that_a_list_states_hold(tmp_path, name):
    table = esass_list(EXT=[0.5, 0.0] * u.arcmin, RA=np.deg2rad([140.3, 140.4]) * u.rad)
    table['POS_ERR'] = [3.0, 4.0] * u.arcsec
    table['ML_CTS'] = [100.0, 20.0] * u.ct
    table.write(tmp_path / name, **({'format': 'votable'} if name.endswith('vot') else {}))
    catalog = CandidateCatalog.read(tmp_path / name, format='esass')
    np.testing.assert_allclose(catalog.table['extent'].value, [30, 0], rtol=1e-6)
    np.testing.assert_allclose(catalog.table['ra'].value, [140.3, 140.4])
    np.testing.assert_allclose(catalog.table['pos_err'].value, [3, 4])
    np.testing.assert_allclose(catalog.table['counts'].value, [100, 20])


def test_extents_of_emldetect_are_in_pixels_unless_it_says_otherwise(tmp_path):
    table = Table({'ML_ID_SRC': [1], 'RA': [1.0], 'DEC': [2.0], 'RADEC_ERR': [1.0]})
    for number, (unit, expected) in enumerate(
        [(None, 48), (u.pix, 48), (u.arcsec, 12), (u.arcmin, 720)]
    ):
        table['EXT'] = [12.0] * unit if unit else [12.0]
        path = tmp_path / f'{number}.fits'
        table.write(path)
        catalog = CandidateCatalog.read(path, format='emldetect')
        assert catalog.table['extent'][0].value == pytest.approx(expected)


def test_units_that_cannot_be_are_refused(tmp_path):
    esass_list(EXT=[3.0, 0.0] * u.s).write(tmp_path / 'a.fits')
    with pytest.raises(TableReadError, match=r"a\.fits.*'EXT' is in s; expected arcsec"):
        CandidateCatalog.read(tmp_path / 'a.fits', format='esass')


def test_text_in_place_of_degrees_names_the_column(tmp_path):
    esass_list(RA=['09:21:12', '09:21:13']).write(tmp_path / 'a.fits')
    with pytest.raises(TableReadError, match=r"a\.fits.*'RA' holds text.*degrees"):
        CandidateCatalog.read(tmp_path / 'a.fits', format='esass')


def test_names_made_of_digits_stay_as_they_are(tmp_path):
    (tmp_path / 'a.csv').write_text('ID_SRC,RA,DEC,EXT_LIKE\n0042,1,2,3\n1e5,1.1,2,3\n')
    catalog = CandidateCatalog.read(tmp_path / 'a.csv', format='esass')
    assert catalog.ids == ('0042', '1e5')


def test_missing_identifiers_are_no_identifiers(tmp_path):
    table = esass_list(ID_SRC=MaskedColumn([7, 8], mask=[False, True]))
    table.write(tmp_path / 'a.fits')
    with pytest.raises(TableReadError, match=r"'ID_SRC' is empty in row 1"):
        CandidateCatalog.read(tmp_path / 'a.fits', format='esass')
    ours = Table(tiny_catalog().table)
    ours['id'] = MaskedColumn(np.arange(len(ours)), mask=np.arange(len(ours)) == 2)
    ours.write(tmp_path / 'b.ecsv')
    with pytest.raises(TableReadError, match=r'b\.ecsv.*empty'):
        CandidateCatalog.read(tmp_path / 'b.ecsv')
    with pytest.raises(ValueError, match='empty'):
        CandidateCatalog.from_columns(ra=[1, 2], dec=[1, 2], id=table['ID_SRC'])


def test_our_own_names_in_capitals_are_not_those_of_a_survey(tmp_path):
    table = Table(tiny_catalog().table)
    for name in table.colnames:
        table.rename_column(name, name.upper())
    table.write(tmp_path / 'a.ecsv')
    with pytest.raises(TableReadError) as caught:
        CandidateCatalog.read(tmp_path / 'a.ecsv')
    assert 'esass' not in str(caught.value)


@pytest.mark.parametrize('name', ['a.ecsv', 'a.fits'])
def test_positions_and_times_beside_our_columns_become_text(tmp_path, name):
    table = QTable(tiny_catalog().table)
    table['coord'] = SkyCoord(table['ra'], table['dec'])
    if name == 'a.ecsv':
        table['seen'] = Time(2460000.5 + np.arange(len(table)), format='jd')
    table.write(tmp_path / name)
    catalog = CandidateCatalog.read(tmp_path / name)
    assert len(catalog) == len(table)
    catalog.write(tmp_path / f'again-{name}')
    again = CandidateCatalog.read(tmp_path / f'again-{name}')
    assert again.ids == tiny_catalog().ids
    if name == 'a.ecsv':
        assert str(again.table['coord'][0]).startswith('09h59m59.7')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('ARCMIN', 30), ('arcmins', 30), ('Arcsec', 0.5), ('DEG', 1800), ('arcseconds', 0.5)],
)
def test_units_are_understood_in_any_letters(tmp_path, text, expected):
    table = esass_list(EXT=[0.5, 0.0])
    write_with_unit(tmp_path / 'a.fits', table, 'EXT', text)
    catalog = CandidateCatalog.read(tmp_path / 'a.fits', format='esass')
    assert catalog.table['extent'][0].value == pytest.approx(expected)


@pytest.mark.parametrize('text', ['1/arcmin2', 'ct/arcmin2', 'ph/arcmin2', 'cts/arcmin**2'])
def test_counts_may_be_left_out_of_units(tmp_path, text):
    table = esass_list(ML_BKG=[3.6, 3.6])
    write_with_unit(tmp_path / 'a.fits', table, 'ML_BKG', text)
    catalog = CandidateCatalog.read(tmp_path / 'a.fits', format='esass')
    assert catalog.table['background'][0].value == pytest.approx(1e-3)


def test_units_that_are_not_understood_are_warned_of(tmp_path):
    table = esass_list()
    write_with_unit(tmp_path / 'a.fits', table, 'EXT', 'sides')
    with pytest.warns(DataQualityWarning, match=r"'sides' of column 'EXT' is not understood"):
        CandidateCatalog.read(tmp_path / 'a.fits', format='esass')


def test_unsigned_numbers_stay_what_they_are(tmp_path):
    big = np.array([2**63 + 7, 2**63 + 8], np.uint64)
    Table(esass_list(ID_SRC=big)).write(tmp_path / 'a.fits')
    catalog = CandidateCatalog.read(tmp_path / 'a.fits', format='esass')
    assert catalog.ids == tuple(str(number) for number in big.tolist())
