# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Experts' tables with a column an annotator, and votes on what is no candidate.
"""

import json

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from clustercnn import LabelSet, labels
from clustercnn.cli import main
from clustercnn.pipeline import label_votes, measure_agreement
from clustercnn.testing import tiny_catalog, tiny_stack


def wide():
    """
    Return what three experts said of four candidates, with blank and unknown cells.
    """
    return Table(
        {
            'candidate': ['c1', 'c2', 'c3', 'c4'],
            'ra': [1.0, 2.0, 3.0, 4.0],
            'ann': ['cluster', 'point', 'cluster', 'unknown'],
            'bob': ['cluster', '', 'point', ''],
            'cy': MaskedColumn(['cluster', 'point', 'x', 'galaxy'], mask=[0, 0, 1, 0]),
        }
    )


PEOPLE = ['ann', 'bob', 'cy']
FORMATS = {'csv': 'ascii.csv', 'ecsv': 'ascii.ecsv', 'fits': 'fits', 'vot': 'votable'}


def test_every_cell_is_a_row():
    votes = labels.votes_from_columns(wide(), PEOPLE, item='candidate')
    assert votes['item'].tolist() == np.repeat(['c1', 'c2', 'c3', 'c4'], 3).tolist()
    assert votes['annotator'].tolist() == PEOPLE * 4
    assert votes['label'].tolist() == [
        'cluster', 'cluster', 'cluster', 'point', '', 'point',
        'cluster', 'point', '', 'unknown', '', 'galaxy',
    ]  # fmt: skip


@pytest.mark.parametrize('suffix', FORMATS)
def test_a_column_an_expert_is_read_from_any_table(suffix, tmp_path, capsys):
    path, output = tmp_path / f'experts.{suffix}', tmp_path / 'labels.ecsv'
    wide().write(path, format=FORMATS[suffix])
    command = ['labels', 'consensus', str(path), '--item', 'candidate', '-o', str(output)]
    assert main([*command, '--annotator-columns', *PEOPLE]) == 0
    told = capsys.readouterr().out
    assert '12 votes in' in told
    assert '4 left out: empty or unknown' in told
    assert 'from 8 votes of 3 people' in told
    found = LabelSet.read(output)
    assert found.ids == ('c1', 'c2', 'c3', 'c4')
    np.testing.assert_array_equal(
        found.votes, [[3, 0, 0, 0], [0, 2, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
    )
    agree = ['labels', 'agreement', str(path), '--item', 'candidate', '--annotator-columns']
    assert main([*agree, *PEOPLE]) == 0
    alpha = labels.krippendorff_alpha(found.votes)
    assert f"Krippendorff's alpha {alpha:.3f}" in capsys.readouterr().out


def test_codes_are_classes_too():
    table = Table({'item': [1, 2, 3], 'a': [0, 1, 1], 'b': [0.0, np.nan, 1.0]})
    votes = labels.votes_from_columns(table, ['a', 'b'])
    assert votes['item'].tolist() == ['1', '1', '2', '2', '3', '3']
    assert votes['label'].tolist() == ['0', '0.0', '1', '', '1', '1.0']


def test_cells_may_be_bytes():
    table = wide()
    for name in ('candidate', *PEOPLE[:2]):
        table[name] = np.char.encode(table[name], 'utf-8')
    table['cy'] = MaskedColumn(np.char.encode(table['cy'].data.data), mask=table['cy'].mask)
    found = labels.votes_from_columns(table, PEOPLE, item='candidate')
    expected = labels.votes_from_columns(wide(), PEOPLE, item='candidate')
    for name in expected.colnames:
        assert found[name].tolist() == expected[name].tolist()
    table['bob'] = [b'cluster', b'', b'\xff', b'']
    with pytest.raises(ValueError, match=r"column 'bob' holds b'\\xff' in row 3, .* UTF-8"):
        labels.votes_from_columns(table, PEOPLE, item='candidate')


def test_cells_that_say_nothing_are_allowed_whatever_the_classes():
    table = wide()
    table['ann'] = ['UNKNOWN', 'point', 'NaN', 'cluster']
    votes = labels.votes_from_columns(
        table, PEOPLE, item='candidate', classes=['cluster', 'point', 'galaxy']
    )
    assert labels.consensus(votes).meta['dropped']['empty or unknown'] == 5


@pytest.mark.parametrize(
    ('changes', 'people', 'message'),
    [
        ({}, ['ann', 'dee'], 'lacks the columns dee; there are candidate, ra, ann, bob, cy'),
        ({}, [], 'an item and at least one annotator need a column each'),
        ({}, ['ann', 'ann'], 'need a column each'),
        ({}, ['candidate'], 'need a column each'),
        ({'candidate': ['c1', 'c2', 'c1', 'c4']}, PEOPLE, "'c1' is in row 3 again, as in row 1"),
        ({'candidate': ['c1', ' ', 'c3', 'c4']}, PEOPLE, 'row 2 has nothing in the column'),
    ],
)
def test_what_is_wrong_is_named(changes, people, message, tmp_path):
    table = wide()
    for name, values in changes.items():
        table[name] = values
    with pytest.raises((KeyError, ValueError), match=message):
        labels.votes_from_columns(table, people, item='candidate')
    path = tmp_path / 'experts.ecsv'
    table.write(path)
    with pytest.raises(OSError, match=rf'experts\.ecsv: .*{message}'):
        label_votes(path, item='candidate', annotator_columns=people)


def test_a_cell_that_is_no_class_is_named(tmp_path, capsys):
    table = wide()
    table['bob'][2] = 'star'
    path = tmp_path / 'experts.csv'
    table.write(path)
    command = ['labels', 'consensus', str(path), '--item', 'candidate', '-o', str(tmp_path / 'l')]
    command = [*command[:-1], str(tmp_path / 'l.ecsv'), '--annotator-columns', *PEOPLE]
    assert main([*command, '--classes', 'cluster,point,galaxy']) == 1
    error = capsys.readouterr().err
    assert "1 cells hold no class, the first 'star' in row 3 ('c3'), column 'bob'" in error
    assert main([*command, '--label', 'class']) == 2
    assert 'give --annotator-columns, or' in capsys.readouterr().err


def test_agreement_takes_columns_too():
    found = measure_agreement(wide(), item='candidate', annotator_columns=PEOPLE)
    assert (found['n_votes'], found['n_annotators'], found['n_items']) == (8, 3, 4)


@pytest.mark.parametrize('kind', ['catalogue', 'cutouts', 'names'])
def test_votes_on_what_is_no_candidate_are_counted(kind, tmp_path, capsys):
    votes = Table(
        rows=[('1', 'a', 'cluster'), ('2', 'a', 'point'), ('77', 'a', 'point'), ('78', 'b', 'x')],
        names=['item', 'annotator', 'label'],
    )
    if kind == 'names':
        found = label_votes(votes, candidates=['1', '2', '3', '4'])
    else:
        path = tmp_path / ('c.ecsv' if kind == 'catalogue' else 'c.h5')
        (tiny_catalog(4) if kind == 'catalogue' else tiny_stack(4)).write(path)
        votes.write(tmp_path / 'v.csv')
        command = ['labels', 'consensus', str(tmp_path / 'v.csv'), '--candidates', str(path)]
        assert main([*command, '-o', str(tmp_path / 'l.ecsv')]) == 0
        told = capsys.readouterr().out
        assert "2 left out: on what is no candidate, the first '77' in row 3" in told
        assert '2 candidates have no vote' in told
        found = LabelSet.read(tmp_path / 'l.ecsv')
        # candidates that are read are not written over
        assert main([*command, '-o', str(path), '--overwrite']) == 1
        assert main([*command, '--item', 'annotator', '-o', str(tmp_path / 'm.ecsv')]) == 1
        error = capsys.readouterr().err
        assert "none of the 4 votes is on a candidate, the first 'a' in row 1" in error
    assert found.ids == ('1', '2')
    assert found.meta['n_candidates_without_votes'] == 2


def test_votes_of_an_export_on_what_is_no_candidate_are_counted(tmp_path, capsys):
    path = tmp_path / 'export.csv'
    rows = ['classification_id,user_name,workflow_id,annotations,subject_ids']
    for number, (subject, said) in enumerate((('1', 'Yes'), ('1', 'No'), ('9', 'Yes'))):
        cell = json.dumps([{'task': 'T0', 'value': said}]).replace('"', '""')
        rows.append(f'{number},u{number},7,"{cell}",{subject}')
    path.write_text('\n'.join(rows) + '\n')
    tiny_catalog(3).write(tmp_path / 'c.ecsv')
    command = ['labels', 'read', str(path), '--candidates', str(tmp_path / 'c.ecsv'), '-o']
    assert main([*command, str(tmp_path / 'l.ecsv')]) == 0
    told = capsys.readouterr().out
    assert "1 left out: on what is no candidate, the first '9' in row 3 of the votes" in told
    assert '2 candidates have no vote' in told
    # an answer that is no class of the schema
    assert main([*command, str(tmp_path / 'm.ecsv'), '--classes', 'Yes,Maybe']) == 1
    error = capsys.readouterr().err
    assert (
        "export.csv: 1 votes have answers that are no classes: 'No' (1), the first in classific"
        in error
    )
