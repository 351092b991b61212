# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from clustercnn import Candidate, CandidateCatalog, CandidateFlag
from clustercnn.core import decode_flags, designations
from clustercnn.core.columns import CANDIDATE_COLUMNS
from clustercnn.testing import tiny_catalog


@pytest.mark.parametrize(
    ('ra', 'dec', 'expected'),
    [
        (299.41898333, 33.64110, 'J195740.5+333827'),  # the example of the specification
        (0.0, 0.0, 'J000000.0+000000'),
        (360.0, -90.0, 'J000000.0-900000'),
        (359.9999999, 89.9999999, 'J235959.9+895959'),
        (0.0, -0.9 / 3600, 'J000000.0-000000'),
        (-1e-9, 1.0, 'J235959.9+010000'),
    ],
)
def test_designations_are_truncated(ra, dec, expected):
    assert designations([ra], [dec], acronym='A') == [f'A {expected}']


def test_positions_on_a_tick_stay_on_it():
    ticks = np.arange(0, 864000, 97)
    names = designations(ticks / 2400.0, np.zeros(len(ticks)))
    seconds = [
        int(n[6:8]) * 36000 + int(n[8:10]) * 600 + int(n[10:12]) * 10 + int(n[13]) for n in names
    ]
    np.testing.assert_array_equal(seconds, ticks)


def test_equal_designations_get_letters():
    names = designations([10.0] * 28, [1.0] * 28)
    assert len(set(names)) == 28
    assert names[0].endswith('+010000a')
    assert names[27].endswith('+010000ab')


def test_zero_rows_have_every_column():
    catalog = CandidateCatalog.empty()
    assert catalog.column_names == tuple(d.name for d in CANDIDATE_COLUMNS)
    assert len(catalog.positions) == 0
    assert list(catalog) == []


def test_columns_have_their_units_and_types():
    catalog = tiny_catalog()
    for definition in CANDIDATE_COLUMNS:
        column = catalog[definition.name]
        assert getattr(column, 'unit', None) == definition.unit
        if definition.dtype is not str:
            assert column.dtype == np.dtype(definition.dtype)


def test_other_units_are_converted():
    catalog = CandidateCatalog.from_columns(
        ra=[600] * u.arcmin, dec=[1] * u.deg, extent=[0.5] * u.arcmin
    )
    assert catalog['ra'][0] == 10 * u.deg
    assert catalog['extent'][0] == 30 * u.arcsec


def test_wrong_units_are_refused():
    with pytest.raises(u.UnitConversionError):
        CandidateCatalog.from_columns(ra=[1] * u.s, dec=[1.0])
    with pytest.raises(u.UnitsError, match='pure number'):
        CandidateCatalog.from_columns(ra=[1.0], dec=[1.0], det_like=[1] * u.s)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match='ra: 1, dec: 2'):
        CandidateCatalog.from_columns(ra=[1.0], dec=[1.0, 2.0])


def test_missing_columns_are_named():
    table = tiny_catalog().table
    table.remove_columns(['extent', 'flags'])
    with pytest.raises(ValueError, match='lacks the columns extent, flags'):
        CandidateCatalog(table)


def test_positions_must_be_finite():
    with pytest.raises(ValueError, match="'ra' of row 1 is not finite"):
        CandidateCatalog.from_columns(ra=[1.0, np.nan], dec=[1.0, 2.0], name=['a', 'b'])


def test_row_becomes_a_candidate_and_keeps_extra_columns():
    catalog = tiny_catalog().with_columns(p_cluster=np.linspace(0, 1, 6), mine=np.arange(6))
    candidate = catalog[3]
    assert isinstance(candidate, Candidate)
    assert candidate.extra['mine'] == 3
    assert candidate.extra['p_cluster'] == pytest.approx(0.6)
    assert candidate.flag_names == decode_flags(candidate.flags)


def test_table_is_a_copy():
    catalog = tiny_catalog()
    catalog.table['counts'][:] = 0 * u.ct
    catalog['counts'][:] = 0 * u.ct
    assert (catalog['counts'] > 0 * u.ct).all()


def test_sorting_is_stable_and_puts_nan_last():
    catalog = tiny_catalog(4).with_columns(p_cluster=[0.5, np.nan, 0.5, 0.9])
    assert catalog.sort_by('p_cluster', descending=True).ids == ('4', '1', '3', '2')
    assert catalog.sort_by('p_cluster').ids == ('1', '3', '4', '2')
    assert catalog.sort_by('flags', descending=True).ids == ('4', '3', '2', '1')


def test_flagged_rows():
    catalog = tiny_catalog()  # flags 0, 1, 2, 3, 0, 1
    np.testing.assert_array_equal(catalog.flagged('EDGE'), [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(catalog.flagged('EDGE', CandidateFlag.GAP), [0, 1, 1, 1, 0, 1])


def test_flags_without_meaning_are_refused():
    with pytest.raises(ValueError, match='bits without a meaning'):
        decode_flags(1 << 30)
    with pytest.raises(ValueError, match='bits without a meaning'):
        Candidate(id='1', position=SkyCoord(1, 2, unit='deg'), flags=1 << 30)


def test_flag_bits_are_distinct_powers_of_two_and_described():
    from clustercnn.core import FLAG_DESCRIPTIONS

    assert [int(flag) for flag in CandidateFlag] == [1 << k for k in range(len(CandidateFlag))]
    assert set(FLAG_DESCRIPTIONS) == set(CandidateFlag)


def test_candidate_needs_one_position():
    with pytest.raises(TypeError, match='must be a SkyCoord'):
        Candidate(id='1', position=(1, 2))
    with pytest.raises(ValueError, match='single position'):
        Candidate(id='1', position=SkyCoord([1], [2], unit='deg'))


def test_unknown_column_lists_what_there_is():
    with pytest.raises(KeyError, match="no column 'colour'"):
        tiny_catalog()['colour']
