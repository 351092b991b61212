# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tables of votes as spreadsheets write them, and what may be wrong with them.
"""

import csv

import pytest

from clustercnn import LabelSet
from clustercnn.cli import main
from clustercnn.exceptions import TableReadError
from clustercnn.io.tables import read_table
from clustercnn.testing import tiny_catalog

GOOD = 'item,annotator,label\na,ann,cluster\na,bob,cluster\nb,ann,point\n'


def consensus_of(content, folder, *options):
    path = folder / 'votes.csv'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    output = folder / 'labels.ecsv'
    command = ['labels', 'consensus', str(path), '-o', str(output), '--overwrite', *options]
    return main(command), output


@pytest.mark.parametrize(
    'content',
    [
        b'\xef\xbb\xbf' + GOOD.replace('\n', '\r\n').encode(),
        GOOD.replace('\n', '\n\n').encode(),
        GOOD.replace('a,ann', '"a" , ann').replace('"a" ', '"a"').encode(),
        GOOD.replace('a,ann', 'a,Ren\xe9').replace('bob', 'Zo\xeb').encode('latin-1'),
        # one line in one encoding, the next in another
        GOOD.encode().replace(b'a,ann', b'a,Ren\xe9', 1).replace(b'bob', 'Zo\xeb'.encode(), 1),
        GOOD.replace('label', 'label,').replace('cluster', 'cluster,').encode(),
        b',' + GOOD.rstrip().replace('\n', '\n7,').encode(),
    ],
    ids=['spreadsheet', 'blank lines', 'blanks', 'Latin-1', 'mixed', 'more commas', 'index'],
)
def test_tables_of_spreadsheets_are_read(content, tmp_path):
    code, output = consensus_of(content, tmp_path)
    assert code == 0
    labels = LabelSet.read(output)
    assert labels.ids == ('a', 'b')
    assert labels.names() == ['cluster', 'point']


def test_one_long_cell_takes_no_memory_for_all_rows(tmp_path):
    path = tmp_path / 't.csv'
    lines = ['item,note', *(f'{row},' for row in range(1500)), f'x,{"y" * 90_000}']
    path.write_text('\n'.join(lines) + '\n')
    reason = "row 1501 has a cell of 90000 characters in the column 'note', too many for a table"
    with pytest.raises(TableReadError, match=reason) as caught:
        read_table(path, 'csv')
    assert 'of 1501 rows; expected at most 66622,' in str(caught.value)
    # what it takes for fewer rows is read
    path.write_text('\n'.join(lines[:1000] + lines[-1:]) + '\n')
    assert len(read_table(path, 'csv')['note'][-1]) == 90_000


def test_text_stays_text_and_short_rows_are_filled(tmp_path):
    path = tmp_path / 't.csv'
    path.write_text('id,x,y\n0042,1.10,\n7,"a ""b"", c"\n')
    table = read_table(path, 'csv')
    assert table.as_array().tolist() == [('0042', '1.10', ''), ('7', 'a "b", c', '')]
    path.write_text('id,x\n')
    empty = read_table(path, 'csv')
    assert (empty.colnames, len(empty)) == (['id', 'x'], 0)


BAD = {
    'a quote that is not closed': (
        GOOD + 'c,ann,"point\nd,ann,point\n',
        'is no CSV from row 4 on, which ends in line 6',
    ),
    'a quote that another closes': (
        GOOD + 'c,ann,"point\nd,ann,point"\n',
        "row 4 of the votes has a line break or another control character in the column 'label'",
    ),
    'a huge cell': (
        GOOD + f'c,{"x" * (40 << 20)},point\n',
        "row 4 has a cell of 41943040 characters in the column 'annotator'",
    ),
    'too many cells': (GOOD + 'c,ann,point,sure\n', 'row 4 has 4 cells, the header 3'),
    'a column twice': ('item,' + GOOD, "has the column 'item' more than once"),
    'semicolons': (GOOD.replace(',', ';'), 'separate the cells by commas'),
    'UTF-16': (GOOD.encode('utf-16'), 'is text in UTF-16; save it as UTF-8'),
    'a byte of zero': (
        GOOD.replace('point', 'po\x00int'),
        "row 3 has a NUL character in the column 'label'",
    ),
    'a byte of zero in the header': (
        GOOD.replace('annotator', 'anno\x00tator'),
        'has a NUL character in the name of column 2',
    ),
    'UTF-16 without a mark': (GOOD.encode('utf-16-be'), 'text in UTF-16: save it as UTF-8'),
    'a name that stands for none': (
        GOOD.replace('item,annotator', 'item,,column 2'),
        "has the column 'column 2' more than once, once for a column without a name",
    ),
    'cut short': (GOOD + 'c', "row 4 of the votes has nothing in the column 'annotator'"),
    'no header': ('\n\n', 'has no header'),
    'classes in two cases': (
        GOOD.replace('point', 'Cluster'),
        "'Cluster' and 'cluster' differ by case only",
    ),
    'classes in letters and accents': (
        GOOD.replace('cluster', 'caf\u00e9').replace('point', 'cafe\u0301'),
        'differ by how they are written only',
    ),
    'classes with signs that are not seen': (
        GOOD.replace('point', 'cluster\u200b'),
        'differ by how they are written only',
    ),
    'numbers of classes with decimals': (
        GOOD.replace('cluster', '1').replace('point', '1.0'),
        "'1' and '1.0' differ by how they are written only",
    ),
}


@pytest.mark.parametrize('kind', BAD)
def test_what_is_wrong_with_a_table_is_named(kind, tmp_path, capsys):
    content, reason = BAD[kind]
    limit = csv.field_size_limit()
    code, output = consensus_of(content, tmp_path)
    assert code == 1
    error = capsys.readouterr().err
    assert reason in error
    assert 'votes.csv: ' in error
    assert error.count('\n') == 1
    assert not output.exists()
    assert csv.field_size_limit() == limit


def test_what_is_no_number_and_unknown_in_any_case_are_counted(tmp_path, capsys):
    code, output = consensus_of(GOOD + 'b,bob,NaN\nb,cy,Unknown\nc,ann,nan\n', tmp_path)
    assert code == 0
    assert '3 left out: empty or unknown' in capsys.readouterr().out
    labels = LabelSet.read(output)
    assert labels.names() == ['cluster', 'point', 'unknown']
    assert 'nan' not in labels.schema.classes


def test_one_column_has_one_part(tmp_path, capsys):
    assert consensus_of(GOOD, tmp_path, '--annotator', 'item')[0] == 1
    assert "need a column each, got 'item', 'item', 'label'" in capsys.readouterr().err


@pytest.mark.parametrize('classes', ['x', 'x,x', 'x,', 'x,unknown'])
def test_classes_that_are_none_are_wrong_usage(classes, tmp_path, capsys):
    assert consensus_of(GOOD, tmp_path, '--classes', classes)[0] == 2
    assert f'--classes {classes}: ' in capsys.readouterr().err


def test_rows_are_those_of_the_file(tmp_path, capsys):
    candidates = tmp_path / 'candidates.ecsv'
    tiny_catalog(2).write(candidates)
    rows = ['item,annotator,label', '9,ann,point', '1,ann,point', '9,bob,point', '1,bob,star']
    options = ('--candidates', str(candidates), '--classes', 'cluster,point')
    assert consensus_of('\n'.join(rows) + '\n', tmp_path, *options)[0] == 1
    assert "the first 'star' in row 4, column 'label'" in capsys.readouterr().err
    # of a table with an item a row the row of the item
    wide = 'id,ann,bob\n1,point,point\n2,point,cluster\n9,point,point\n'
    options = ('--candidates', str(candidates), '--item', 'id', '--annotator-columns', 'ann', 'bob')
    assert consensus_of(wide, tmp_path, *options)[0] == 0
    assert "2 left out: on what is no candidate, the first '9' in row 3" in capsys.readouterr().out


def test_the_reader_is_for_files(tmp_path):
    with pytest.raises(TableReadError, match='no such file'):
        read_table(tmp_path / 'none.csv', 'csv')
