# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Catalogues, labels and predictions come back from files as they were written.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.ucd import check_ucd
from astropy.table import MaskedColumn, Table

from clustercnn import CandidateCatalog, LabelSchema, LabelSet, PredictionSet
from clustercnn.core.columns import CANDIDATE_COLUMNS, PREDICTION_COLUMNS
from clustercnn.exceptions import TableReadError
from clustercnn.pipeline import rank_candidates
from clustercnn.testing import assert_identical, tiny_catalog, tiny_labels, tiny_prediction

CATALOG_SUFFIXES = ('.ecsv', '.fits', '.vot')
SET_SUFFIXES = ('.ecsv', '.fits')


def ranked(n_rows=6):
    return rank_candidates(tiny_catalog(n_rows), tiny_prediction(n_rows))


@pytest.mark.parametrize('suffix', CATALOG_SUFFIXES)
@pytest.mark.parametrize('n_rows', [0, 1, 6])
def test_catalogue_comes_back(tmp_path, suffix, n_rows):
    catalog = ranked(n_rows)
    path = tmp_path / f'a{suffix}'
    catalog.write(path)
    again = CandidateCatalog.read(path)
    assert again.column_names == catalog.column_names
    for name in catalog.column_names:
        assert getattr(again[name], 'unit', None) == getattr(catalog[name], 'unit', None), name
        np.testing.assert_array_equal(np.asarray(again[name]), np.asarray(catalog[name]))
        assert again[name].dtype.kind == catalog[name].dtype.kind, name
        if catalog[name].dtype.kind == 'f':
            assert again[name].dtype.itemsize == catalog[name].dtype.itemsize, name
    # what was empty can take rows again
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize('suffix', CATALOG_SUFFIXES)
def test_further_columns_and_masks_come_back(tmp_path, suffix):
    mask = [False, True, False, False, True, False]
    catalog = tiny_catalog().with_columns(
        tile=MaskedColumn([1, 2, 3, 4, 5, 6], mask=mask),
        redshift=np.array([0.1, np.nan, 0.3, 0.4, 0.5, 0.6]),
        seen=MaskedColumn([True, False, True, False, True, False], mask=mask),
        field=np.array(['a', 'bb', 'c', 'd', 'e', 'f']),
        flux=np.arange(6.0) * u.W / u.m**2,
    )
    catalog.write(tmp_path / f'a{suffix}')
    again = CandidateCatalog.read(tmp_path / f'a{suffix}')
    for name in ('tile', 'seen'):
        np.testing.assert_array_equal(np.ma.getmaskarray(np.ma.asarray(again[name])), mask)
    np.testing.assert_array_equal(np.asarray(again['redshift']), np.asarray(catalog['redshift']))
    assert list(again['field']) == list(catalog['field'])
    assert u.Unit(again['flux'].unit) == u.W / u.m**2


def test_identifiers_stay_text(tmp_path):
    for suffix in CATALOG_SUFFIXES:
        catalog = CandidateCatalog.from_columns(ra=[1.0, 2.0], dec=[0.0, 0.0], id=['007', '1e5'])
        catalog.write(tmp_path / f'a{suffix}')
        assert CandidateCatalog.read(tmp_path / f'a{suffix}').ids == ('007', '1e5')


def test_positions_across_the_origin_come_back(tmp_path):
    ra = [359.9999999999, 0.0, 1e-10]
    for suffix in CATALOG_SUFFIXES:
        catalog = CandidateCatalog.from_columns(ra=ra, dec=[-89.9999999, 0.0, 90.0])
        catalog.write(tmp_path / f'a{suffix}')
        np.testing.assert_array_equal(
            CandidateCatalog.read(tmp_path / f'a{suffix}')['ra'].value, ra
        )


def test_ucds_and_units_are_written(tmp_path):
    catalog = ranked()
    want = {d.name: d for d in CANDIDATE_COLUMNS + PREDICTION_COLUMNS}
    catalog.write(tmp_path / 'a.fits')
    with fits.open(tmp_path / 'a.fits', checksum=True) as hdus:
        header = hdus['CATALOG'].header
        for number, name in enumerate(catalog.column_names, start=1):
            assert header[f'TTYPE{number}'] == name
            ucd = header[f'TUCD{number}']
            assert check_ucd(ucd, check_controlled_vocabulary=True), ucd
            if name in want:
                assert ucd == want[name].ucd
                assert header[f'TCOMM{number}'] == want[name].description
                if want[name].unit is not None:
                    assert u.Unit(header[f'TUNIT{number}'], format='fits') == want[name].unit
    catalog.write(tmp_path / 'a.vot')
    votable = parse(tmp_path / 'a.vot')
    assert votable.resources[0].coordinate_systems[0].system == 'ICRS'
    fields = {field.name: field for field in votable.get_first_table().fields}
    assert fields['ra'].ucd == 'pos.eq.ra;meta.main' and fields['ra'].unit == u.deg
    for name, definition in want.items():
        assert fields[name].ucd == definition.ucd
        assert ' '.join(fields[name].description.split()) == definition.description


@pytest.mark.parametrize('suffix', CATALOG_SUFFIXES)
def test_existing_catalogue_is_kept_unless_asked(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    tiny_catalog().write(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match='exists already'):
        tiny_catalog(2).write(path)
    assert path.read_bytes() == before
    tiny_catalog(2).write(path, overwrite=True)
    assert len(CandidateCatalog.read(path)) == 2


def test_text_that_fits_cannot_keep(tmp_path):
    catalog = tiny_catalog(2).with_columns(note=np.array(['é', 'b']))
    with pytest.raises(ValueError, match='write ECSV'):
        catalog.write(tmp_path / 'a.fits')
    assert not list(tmp_path.iterdir())
    for suffix in ('.ecsv', '.vot'):
        catalog.write(tmp_path / f'a{suffix}')
        assert list(CandidateCatalog.read(tmp_path / f'a{suffix}')['note']) == ['é', 'b']


@pytest.mark.parametrize('suffix', CATALOG_SUFFIXES)
def test_damaged_catalogue_is_one_line(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    tiny_catalog().write(path)
    content = path.read_bytes()
    for damaged in (b'', b'<html></html>', content[: len(content) // 2], content[:200]):
        path.write_bytes(damaged)
        with pytest.raises(TableReadError, match=f'a{suffix}') as caught:
            CandidateCatalog.read(path)
        assert '\n' not in str(caught.value)
    with pytest.raises(TableReadError, match='no such file'):
        CandidateCatalog.read(tmp_path / f'none{suffix}')


def test_wrong_tables(tmp_path):
    Table({'a': [1]}).write(tmp_path / 'a.fits')
    with pytest.raises(TableReadError, match='lacks the columns id, name, ra'):
        CandidateCatalog.read(tmp_path / 'a.fits')
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / 'b.fits')
    with pytest.raises(TableReadError, match='no table in any HDU'):
        CandidateCatalog.read(tmp_path / 'b.fits')
    table = tiny_catalog(2).table
    table['id'] = ['1', '1']
    table.write(tmp_path / 'c.ecsv')
    with pytest.raises(TableReadError, match="'1' occurs more than once"):
        CandidateCatalog.read(tmp_path / 'c.ecsv')
    with pytest.raises(ValueError, match='cannot tell the format'):
        CandidateCatalog.read(tmp_path / 'c.xyz')


def test_what_a_table_lacks_of_a_catalogue_is_said(tmp_path):
    path = tmp_path / 'a.ecsv'
    Table({'id': ['1'], 'ra': [1.0], 'dec': [2.0]}).write(path)
    words = 'lacks the columns name, pos_err, .*flags; expected a catalogue of candidates as clust'
    with pytest.raises(TableReadError, match=words):
        CandidateCatalog.read(path)


@pytest.mark.parametrize('suffix', CATALOG_SUFFIXES)
def test_a_catalogue_of_ours_is_taken_for_no_survey(tmp_path, suffix):
    # eSASS calls the likelihood of the extent as we do
    path = tmp_path / f'a{suffix}'
    for name, values, words in (
        ('id', ['1', '1'], "'1' occurs more than once"),
        ('ra', [np.nan, 1.0] * u.deg, "'ra' of row 0 is not finite"),
        ('extent', [1.0, 2.0] * u.m, 'are not convertible'),
    ):
        table = Table(tiny_catalog(2).table)
        table[name] = values
        kind = {'.ecsv': 'ascii.ecsv', '.vot': 'votable'}.get(suffix)
        table.write(path, format=kind, overwrite=True)
        with pytest.raises(TableReadError, match=words) as caught:
            CandidateCatalog.read(path)
        assert 'format=' not in str(caught.value)


def test_table_behind_other_hdus_is_found(tmp_path):
    tiny_catalog(2).write(tmp_path / 'a.fits')
    with fits.open(tmp_path / 'a.fits') as hdus:
        hdus.insert(1, fits.ImageHDU(np.ones((4, 4))))
        hdus.writeto(tmp_path / 'b.fits')
    assert len(CandidateCatalog.read(tmp_path / 'b.fits')) == 2


# labels and predictions


def labels_of_every_kind():
    schema = LabelSchema(('low-z', 'hi-z', 'galaxy'), ('low-z', 'hi-z'))
    nan = np.nan
    return LabelSet(
        ids=['a', 'b', 'c d', '007'],
        schema=schema,
        probability=[[1, 0, 0], [nan, nan, nan], [0.3, 0.2, 0.5], [0, 1, 0]],
        votes=[[5, 0, 0], [0, 0, 0], [3, 2, 5], [0, 1, 0]],
        weight=[1, 0, 0.1, 2],
        source=['expert', '', 'crowd', 'spectroscopy'],
        meta={'by': "it's us", 'n': 3},
    )


@pytest.mark.parametrize('suffix', SET_SUFFIXES)
@pytest.mark.parametrize(
    'labels',
    [labels_of_every_kind(), labels_of_every_kind()[1], labels_of_every_kind()[:0], tiny_labels()],
    ids=['every', 'unknown', 'none', 'plain'],
)
def test_labels_come_back(tmp_path, suffix, labels):
    labels.write(tmp_path / f'a{suffix}')
    again = LabelSet.read(tmp_path / f'a{suffix}')
    assert_identical(again, labels)
    np.testing.assert_array_equal(again.known, labels.known)


def test_labels_from_a_plain_table(tmp_path):
    table = Table({'id': ['1', '2', '3'], 'label': ['cluster', 'unknown', '']})
    table.write(tmp_path / 'a.ecsv')
    assert LabelSet.read(tmp_path / 'a.ecsv').names() == ['cluster', 'unknown', 'unknown']
    table['label'] = ['cluster', 'star', 'point']
    table.write(tmp_path / 'b.ecsv')
    with pytest.raises(TableReadError, match="b.ecsv: 1 labels are not classes, the first 'star'"):
        LabelSet.read(tmp_path / 'b.ecsv')
    Table({'id': ['1', '1'], 'label': ['cluster', 'point']}).write(tmp_path / 'c.ecsv')
    with pytest.raises(TableReadError, match='more than one label'):
        LabelSet.read(tmp_path / 'c.ecsv')
    Table({'x': [1]}).write(tmp_path / 'd.ecsv')
    with pytest.raises(TableReadError, match="no column 'id'; there are x"):
        LabelSet.read(tmp_path / 'd.ecsv')
    Table({'id': ['1'], 'x': [1]}).write(tmp_path / 'e.ecsv')
    with pytest.raises(TableReadError, match="neither a column 'label'"):
        LabelSet.read(tmp_path / 'e.ecsv')


def test_labels_of_a_plain_table_keep_weight_and_source(tmp_path):
    table = Table({'id': ['1', '2'], 'label': ['cluster', 'point'], 'weight': [0.5, 3.0]})
    table['source'] = ['expert', 'crowd']
    table.write(tmp_path / 'a.ecsv')
    labels = LabelSet.read(tmp_path / 'a.ecsv')
    assert labels.weight.tolist() == [0.5, 3.0]
    assert labels.source == ('expert', 'crowd')
    table['weight'] = MaskedColumn([0.5, 3.0], mask=[False, True])
    table.write(tmp_path / 'b.ecsv')
    with pytest.raises(TableReadError, match="b.ecsv: 'weight' must be finite"):
        LabelSet.read(tmp_path / 'b.ecsv')


@pytest.mark.parametrize('suffix', SET_SUFFIXES)
def test_a_label_added_to_predictions_counts(tmp_path, suffix):
    catalog = ranked()
    path = tmp_path / f'a{suffix}'
    catalog.write(path)
    # what a classifier said is no label
    with pytest.raises(TableReadError, match=r'columns .*ood.*rank.*which is no label; add a col'):
        LabelSet.read(path)
    names = ['point', 'cluster', '', 'other', 'unknown', 'galaxy']
    catalog.with_columns(label=names, weight=np.arange(6.0)).write(path, overwrite=True)
    labels = LabelSet.read(path)
    assert labels.ids == catalog.ids
    assert labels.schema == LabelSchema.default()
    assert labels.names() == ['point', 'cluster', 'unknown', 'other', 'unknown', 'galaxy']
    assert labels.weight.tolist() == list(range(6))


def test_a_single_column_of_probabilities_is_not_all_there_is(tmp_path):
    columns = {'id': ['1', '2'], 'label': ['point', 'cluster']}
    for number, more in enumerate(('p_cluster', 'p_cluster_std', 'p_value')):
        path = tmp_path / f'{number}.ecsv'
        Table({**columns, more: [0.9, 0.1]}).write(path)
        assert LabelSet.read(path).names() == ['point', 'cluster']
    # a spread is no probability of a class
    columns |= {'p_cluster': [0.2, 0.7], 'p_point': [0.8, 0.3], 'p_cluster_std': [0.3, 0.2]}
    Table(columns).write(tmp_path / 'a.ecsv')
    assert LabelSet.read(tmp_path / 'a.ecsv').schema == LabelSchema.default()


def test_labels_that_contradict_their_probabilities_are_refused(tmp_path):
    path = tmp_path / 'a.ecsv'
    names = ('p_cluster', 'p_point', 'p_galaxy')
    rows = [('a', 0.7, 0.2, 0.1), ('b', 0.4, 0.4, 0.2), ('c', *[np.nan] * 3), ('d', 0, 0, 1)]

    def read(*said):
        table = Table(rows=rows, names=('id', *names))
        table['label'] = said
        table.write(path, overwrite=True)
        return LabelSet.read(path)

    # one of equals, and cells that say nothing
    for said in (('cluster', 'point', 'unknown', 'galaxy'), ('', '', '', 'galaxy')):
        assert read(*said).probability.tolist()[0] == pytest.approx([0.7, 0.2, 0.1])
    for said, words in (
        (
            ('point', 'cluster', 'unknown', 'galaxy'),
            r"row 0 \('a'\) has the label 'point', but its columns p_cluster, p_point, p_galaxy "
            r"say 'cluster' \(p_cluster = 0.7\); remove the column 'label' or these columns",
        ),
        (('cluster', 'galaxy', 'unknown', 'galaxy'), r"row 1 \('b'\) has the label 'galaxy'"),
        (('cluster', 'point', 'point', 'galaxy'), r"row 2 \('c'\) .* hold no numbers; remove"),
        (('cluster', 'point', 'unknown', 'other'), r"row 3 \('d'\) has the label 'other'"),
        (('cluster', 'point', 'unknown', 'unknown'), r"row 3 \('d'\) has the label 'unknown'"),
    ):
        with pytest.raises(TableReadError, match=words):
            read(*said)


def prediction_of(classes, positive, n_rows=5):
    rng = np.random.default_rng(2)
    probability = rng.dirichlet(np.ones(len(classes)), n_rows)
    return PredictionSet(
        ids=[f'{row:03d}' for row in range(n_rows)],
        schema=LabelSchema(classes, positive),
        probability=probability,
        logits=np.log(probability),
        std=rng.uniform(0, 1, n_rows),
        ood=np.full(n_rows, np.nan),
        meta={'model': 'default', 'long': 'word ' * 60},
    )


@pytest.mark.parametrize('suffix', SET_SUFFIXES)
@pytest.mark.parametrize(
    'prediction',
    [
        tiny_prediction(),
        tiny_prediction(1),
        tiny_prediction(0),
        prediction_of(('low-z', 'hi-z', 'other'), ('low-z', 'hi-z')),
        prediction_of(('cluster', 'group', 'other'), ('cluster', 'group')),
    ],
    ids=['plain', 'one', 'none', 'two positive', 'cluster among positive'],
)
def test_predictions_come_back(tmp_path, suffix, prediction):
    prediction.write(tmp_path / f'a{suffix}')
    assert_identical(PredictionSet.read(tmp_path / f'a{suffix}'), prediction)


def test_other_tables_are_no_predictions(tmp_path):
    tiny_catalog().write(tmp_path / 'a.ecsv')
    with pytest.raises(TableReadError, match='is it a prediction'):
        PredictionSet.read(tmp_path / 'a.ecsv')


@pytest.mark.parametrize('suffix', ['.ecsv', '.fits'])
def test_names_of_classes_may_hold_commas(suffix, tmp_path):
    schema = LabelSchema(('No, nothing', 'Yes, a large one', 'Yes, a small one'))
    labels = LabelSet.from_codes(['a', 'b'], [1, 0], schema=schema)
    labels.write(tmp_path / f'l{suffix}')
    assert LabelSet.read(tmp_path / f'l{suffix}').schema == schema
    prediction = PredictionSet(ids=['a'], probability=[[0.2, 0.5, 0.3]], schema=schema)
    prediction.write(tmp_path / f'p{suffix}')
    assert PredictionSet.read(tmp_path / f'p{suffix}').schema == schema
