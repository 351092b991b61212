# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Panoptes exports: the real ones, every kind of task, and what may be wrong with them.
"""

import csv
import gzip
import json
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from astropy.table import Table

from clustercnn import LabelSet
from clustercnn.exceptions import DataQualityWarning, TableReadError
from clustercnn.io import _panoptes as panoptes
from clustercnn.io import name_classes, read_classifications, read_subjects
from clustercnn.labels import consensus
from clustercnn.pipeline import label_export

HEADER = [
    'classification_id',
    'user_name',
    'user_id',
    'user_ip',
    'workflow_id',
    'workflow_name',
    'workflow_version',
    'created_at',
    'gold_standard',
    'expert',
    'metadata',
    'annotations',
    'subject_data',
    'subject_ids',
]
QUESTION = 'What do you see?'


def _annotation(value, *, task='T0', question=QUESTION):
    return {'task': task, 'task_label': question, 'value': value}


def _row(number, user, subject, *annotations, **changes):
    values = {
        'classification_id': number,
        'user_name': user,
        'user_ip': '0123abcd',
        'workflow_id': 7,
        'workflow_name': 'Clusters',
        'workflow_version': '3.1',
        'created_at': '2026-01-01 00:00:00 UTC',
        'annotations': json.dumps(annotations),
        'subject_data': json.dumps({str(subject): {'#candidate': f'cand-{subject}'}}),
        'subject_ids': subject,
    }
    return values | changes


def _write(path, rows, *, header=HEADER, encoding='utf-8', newline='\n'):
    with path.open('w', newline='', encoding=encoding) as stream:
        writer = csv.DictWriter(stream, header, lineterminator=newline, extrasaction='ignore')
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def export(tmp_path):
    rows = [
        _row(1, 'ann', 42, _annotation('A cluster')),
        _row(2, 'bob', 42, _annotation('A point')),
        _row(3, 'not-logged-in-9f', 42, _annotation('A cluster')),
        _row(4, 'ann', 43, _annotation('A point'), gold_standard='true', expert='owner'),
    ]
    return _write(tmp_path / 'export.csv', rows)


def test_a_vote_is_a_row(export):
    votes = read_classifications(export)
    assert votes['item'].tolist() == ['42', '42', '42', '43']
    assert votes['annotator'].tolist() == ['ann', 'bob', 'not-logged-in-9f', 'ann']
    assert votes['label'].tolist() == ['A cluster', 'A point', 'A cluster', 'A point']
    assert votes['gold'].tolist() == [0, 0, 0, 1]
    assert votes['expert'].tolist() == ['', '', '', 'owner']
    assert votes['classification_id'].tolist() == [1, 2, 3, 4]
    assert votes.meta['n_rows'] == votes.meta['n_answers'] == 4
    assert votes.meta['questions'] == {'7 T0': {QUESTION: 4}}
    assert votes.meta['dropped'] == {}
    # addresses are not kept
    assert not any('0123abcd' in str(value) for row in votes for value in row)


def test_labels_are_shares_of_votes(export):
    classes = {'a cluster': 'cluster', 'a point': 'point'}
    labels = LabelSet.read(export, format='zooniverse', classes=classes)
    assert labels.ids == ('42', '43')
    np.testing.assert_array_equal(labels.votes, [[2, 1, 0, 0], [0, 1, 0, 0]])
    assert set(labels.source) == {'crowd'}
    same = consensus(name_classes(read_classifications(export), classes))
    np.testing.assert_array_equal(same.votes, labels.votes)


def test_answers_can_be_the_classes_themselves(export):
    labels = LabelSet.read(export, format='zooniverse')
    assert labels.schema.classes == ('A cluster', 'A point')
    with pytest.raises(ValueError, match=r"2 votes have answers without a class: 'A point' \(2\)"):
        LabelSet.read(export, format='zooniverse', classes={'a cluster': 'cluster'})
    half = {'a cluster': 'cluster', 'a point': 'unknown'}
    labels = LabelSet.read(export, format='zooniverse', classes=half)
    assert (labels.ids, labels.names()) == (('42', '43'), ['cluster', 'unknown'])
    assert labels.meta['dropped']['answers: unknown'] == 2
    same = consensus(name_classes(read_classifications(export), half))
    assert (same.ids, same.names()) == (labels.ids, labels.names())


def test_names_can_be_hashed(export):
    plain, hashed = (read_classifications(export, hash_names=flag) for flag in (False, True))
    names = hashed['annotator'].tolist()
    assert not set(names) & set(plain['annotator'].tolist())
    assert names[0] == names[3] != names[1]


def test_items_can_be_named_by_the_metadata_of_subjects(export, tmp_path):
    for key in ('#candidate', 'candidate', 'Candidate'):
        votes = read_classifications(export, item=key)
        assert votes['item'].tolist() == ['cand-42', 'cand-42', 'cand-42', 'cand-43']
    votes = read_classifications(export, item='name')
    assert len(votes) == 0
    assert votes.meta['dropped'] == {"rows of subjects without 'name' in their metadata": 4}


def test_a_name_of_several_subjects_is_warned_of(tmp_path):
    # finders number the candidates of every field from 1
    rows = [
        _row(
            number,
            user,
            subject,
            _annotation('Yes'),
            subject_data=json.dumps({str(subject): {'#candidate': name}}),
        )
        for number, (user, subject, name) in enumerate(
            [('ann', 101, '1'), ('ann', 201, '1'), ('bob', 101, '1'), ('ann', 102, '2')]
            + [('ann', 500 + k, '7') for k in range(9)]
        )
    ]
    # nobody said anything of this one
    rows.append(_row(99, 'cy', 300, subject_data=json.dumps({'300': {'#candidate': '2'}})))
    path = _write(tmp_path / 'two.csv', rows)
    words = (
        r"two.csv: 2 item\(s\) stand for more than one subject each, the first '1' for 101, 201, "
        r'and their votes .*names must differ: find candidates with --prefix TEXT'
    )
    with pytest.warns(DataQualityWarning, match=words) as caught:
        votes = read_classifications(path, item='candidate')
    assert len(caught) == 1
    assert set(votes['item']) == {'1', '2', '7'}
    # by the numbers of the subjects there is no doubt
    assert len(set(read_classifications(path)['item'])) == 12


def test_every_kind_of_task_is_understood(tmp_path):
    drawing = {'x': 1, 'y': 2, 'tool': 0, 'tool_label': 'A galaxy', 'frame': 0, 'details': []}
    rows = [
        _row(1, 'ann', 1, _annotation(['Blue', 'Red'])),
        _row(2, 'ann', 2, _annotation([{'choice': 'LION', 'answers': {}, 'filters': {}}])),
        _row(3, 'ann', 3, _annotation([drawing, drawing])),
        _row(4, 'ann', 4, _annotation([_annotation('Yes', task='T1'), _annotation(3, task='T2')])),
        _row(5, 'ann', 5, _annotation([{'value': 'France', 'option': True}])),
        _row(6, 'ann', 6, _annotation(None), _annotation('', task='T1')),
        _row(7, 'ann', 7, _annotation([]), 'what?'),
        _row(8, 'ann', 8, _annotation(True)),
        _row(9, 'ann', 9, _annotation('  two \n lines ')),
    ]
    votes = read_classifications(_write(tmp_path / 'export.csv', rows))
    columns = (votes[name].tolist() for name in ('item', 'task', 'label'))
    got = list(zip(*columns, strict=True))
    assert got == [
        ('1', 'T0', 'Blue'),
        ('1', 'T0', 'Red'),
        ('2', 'T0', 'LION'),
        ('4', 'T1', 'Yes'),
        ('4', 'T2', '3'),
        ('5', 'T0.1', 'France'),
        ('8', 'T0', 'True'),
        ('9', 'T0', 'two lines'),
    ]
    assert votes.meta['dropped'] == {
        'rows without an answer': 3,
        'answers: drawings': 2,
        'answers: empty': 3,
        'answers: annotations that are not understood': 1,
    }


def test_workflows_versions_and_tasks_are_chosen(tmp_path):
    rows = [
        _row(1, 'ann', 1, _annotation('Yes'), _annotation('Sand', task='T1')),
        _row(2, 'ann', 2, _annotation('Yes'), workflow_version='12.3'),
        _row(3, 'ann', 3, _annotation('No'), workflow_id=8),
        _row(4, 'ann', 4, _annotation('No', question='Is it red?'), workflow_version='3.2'),
    ]
    path = _write(tmp_path / 'export.csv', rows)
    votes = read_classifications(path, workflow_id=7, task='T0')
    assert votes['item'].tolist() == ['1', '2', '4']
    assert votes.meta['dropped'] == {'rows of other workflows': 1, 'answers: to other tasks': 1}
    assert read_classifications(path, workflow_version='3')['item'].tolist() == ['1', '1', '3', '4']
    assert read_classifications(path, workflow_version='3.2')['item'].tolist() == ['4']
    with pytest.raises(
        ValueError, match=r'3 questions: T0 of workflow 7 .* choose one workflow and task'
    ):
        LabelSet.read(path, format='zooniverse')
    # the question differs between versions
    only = {'workflow_id': 7, 'task': 'T0', 'format': 'zooniverse'}
    with pytest.raises(ValueError, match=r"differs .*'What do you see\?' \(2 .*'Is it red\?' \(1"):
        LabelSet.read(path, **only)
    assert len(LabelSet.read(path, same_question=True, **only)) == 3
    with pytest.raises(TableReadError, match='holds no vote: 4 rows of other workflows'):
        LabelSet.read(path, format='zooniverse', workflow_id=99)


def test_of_a_volunteer_who_votes_twice_the_last_vote_counts(tmp_path):
    rows = [_row(k, 'ann', 1, _annotation(answer)) for k, answer in enumerate(['Yes', 'No'])]
    rows.append(_row(5, 'bob', 1, _annotation('Yes')))
    labels = LabelSet.read(_write(tmp_path / 'e.csv', rows), format='zooniverse')
    assert labels.schema.classes == ('No', 'Yes') and labels.schema.positive == ('Yes',)
    np.testing.assert_array_equal(labels.votes, [[1, 1]])
    assert labels.meta['dropped'] == {
        'answers: unknown': 0,
        'answers: repeated by the same annotator': 1,
        'answers: withdrawn by the same annotator': 0,
    }


def test_the_last_vote_is_that_of_the_latest_time(tmp_path):
    times = ['2026-03-01 10:00:00 UTC', '2026-02-28 23:59:59 UTC', '2026-02-01 00:00:00 UTC']
    said = [('ann', 'Yes'), ('ann', 'No'), ('bob', 'Yes')]
    rows = [
        _row(k, who, 1, _annotation(answer), created_at=time)
        for k, ((who, answer), time) in enumerate(zip(said, times, strict=True))
    ]
    path = _write(tmp_path / 'e.csv', rows)
    labels = LabelSet.read(path, format='zooniverse')
    np.testing.assert_array_equal(labels.votes, [[0, 2]])
    assert labels.meta['repeated'] == {'by time': 1, 'by row': 0}
    assert labels.meta['dropped']['answers: repeated by the same annotator'] == 1
    np.testing.assert_array_equal(consensus(read_classifications(path)).votes, [[0, 2]])
    np.testing.assert_array_equal(label_export(path).votes, [[0, 2]])
    # of others the time is no matter
    rows[2]['created_at'] = ''
    path = _write(tmp_path / 'f.csv', rows)
    np.testing.assert_array_equal(LabelSet.read(path, format='zooniverse').votes, [[0, 2]])
    # who does not always say when, has said the last row last
    for said_when in ('', 'yesterday', times[0]):
        rows[1]['created_at'] = said_when
        path = _write(tmp_path / 'g.csv', rows)
        labels = LabelSet.read(path, format='zooniverse')
        np.testing.assert_array_equal(labels.votes, [[1, 1]])
        assert labels.meta['repeated'] == {'by time': 0, 'by row': 1}
        np.testing.assert_array_equal(label_export(path).votes, [[1, 1]])


def test_each_list_of_a_menu_is_a_question(tmp_path):
    def menu(*chosen):
        lists = zip(('Shape', 'Colour'), chosen, strict=False)
        return [{'select_label': name, 'label': label, 'value': 'f3a'} for name, label in lists]

    rows = [
        _row(1, 'ann', 1, _annotation(menu('Round', 'Blue'))),
        _row(2, 'bob', 1, _annotation(menu('Flat', 'Red'))),
        _row(3, 'cy', 1, _annotation(menu('Round'))),
    ]
    path = _write(tmp_path / 'e.csv', rows)
    votes = read_classifications(path, task='T0.Shape')
    assert votes['label'].tolist() == ['Round', 'Flat', 'Round']
    assert read_classifications(path, task='T0.Colour')['label'].tolist() == ['Blue', 'Red']
    assert len(read_classifications(path, task='T0')) == 5
    with pytest.raises(ValueError, match="T0.Colour.*T0.Shape.*such as 'T0.Colour' .*--task"):
        LabelSet.read(path, format='zooniverse')


def test_lists_of_a_menu_without_names_of_their_own_are_numbered(tmp_path):
    one = {'value': 'a', 'option': True}
    named = {'select_label': 'Shape', 'label': 'Round', 'value': 'f3a'}
    nothing = {'select_label': 'Colour', 'value': None, 'option': False}
    rows = [
        _row(1, 'ann', 1, _annotation([one, {**one, 'value': 'b'}])),
        _row(2, 'bob', 1, _annotation([named, nothing, {**named, 'label': 'Flat'}])),
        # no list of T0, but a question about what was drawn
        _row(3, 'cy', 1, _annotation('Yes', task='T0.0.0')),
        _row(4, 'dee', 1, _annotation([_annotation([named], task='T1')], task='T9')),
        # who went no further than the first list
        _row(5, 'eve', 1, _annotation([one])),
    ]
    path = _write(tmp_path / 'e.csv', rows)
    votes = read_classifications(path)
    assert list(zip(votes['task'].tolist(), votes['label'].tolist(), strict=True)) == [
        ('T0.1', 'a'),
        ('T0.2', 'b'),
        ('T0.Shape', 'Round'),
        ('T0.Shape (3)', 'Flat'),
        ('T0.0.0', 'Yes'),
        ('T1.Shape', 'Round'),
        ('T0.1', 'a'),
    ]
    assert votes.meta['dropped'] == {'answers: empty': 1}
    assert read_classifications(path, task='T0')['label'].tolist() == [
        'a',
        'b',
        'Round',
        'Flat',
        'a',
    ]
    assert read_classifications(path, task='T1')['label'].tolist() == ['Round']


def test_a_last_vote_for_no_class_takes_the_one_before_back(tmp_path):
    answers = [('ann', 'Yes'), ('ann', 'Unknown'), ('bob', 'Unknown'), ('bob', 'Yes')]
    rows = [_row(k, who, 1, _annotation(said)) for k, (who, said) in enumerate(answers)]
    classes = {'yes': 'cluster', 'unknown': 'unknown'}
    path = _write(tmp_path / 'e.csv', rows)
    labels = LabelSet.read(path, format='zooniverse', classes=classes)
    assert labels.votes.sum() == 1
    assert labels.meta['dropped'] == {
        'answers: unknown': 2,
        'answers: repeated by the same annotator': 0,
        'answers: withdrawn by the same annotator': 1,
    }


@pytest.mark.parametrize('newline', ['\n', '\r\n'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_byte_order_marks_line_ends_and_unnamed_columns(tmp_path, encoding, newline):
    rows = [_row(1, 'Zoë', 1, _annotation('Größer')), _row(2, 'bob', 2, _annotation('No'))]
    header = ['', *HEADER[:5], ' ', *HEADER[5:], '']
    path = tmp_path / 'export.csv'
    with path.open('w', newline='', encoding=encoding) as stream:
        writer = csv.writer(stream, lineterminator=newline)
        writer.writerow(header)
        for row in rows:
            writer.writerow([row.get(name, '') for name in header])
            writer.writerow([])
    votes = read_classifications(path)
    assert votes['annotator'].tolist() == ['Zoë', 'bob']
    assert votes['label'].tolist() == ['Größer', 'No']
    assert votes.meta['n_rows'] == 2


def test_compressed_files_are_read(export, tmp_path):
    path = tmp_path / 'export.csv.gz'
    path.write_bytes(gzip.compress(export.read_bytes()))
    assert len(read_classifications(path)) == 4
    # cut short, it gives what is there
    long = _write(
        tmp_path / 'long.csv', [_row(k, f'u{k}', k, _annotation('Yes')) for k in range(5000)]
    )
    path.write_bytes(gzip.compress(long.read_bytes())[:-20_000])
    with pytest.warns(DataQualityWarning, match='after which the file cannot be read'):
        votes = read_classifications(path)
    assert 100 < len(votes) < 5000


def test_a_truncated_export_says_where(export):
    text = export.read_text()
    export.write_text(text[:-140])
    with pytest.warns(DataQualityWarning, match=r'1 row\(s\) cut short.* the first row 4 \(line 5'):
        votes = read_classifications(export)
    assert len(votes) == 3
    assert sum(votes.meta['dropped'].values()) == 1


def test_damaged_cells_are_counted_and_named(tmp_path):
    rows = [
        _row(1, 'ann', 1, _annotation('Yes')),
        _row(2, 'ann', 2, annotations='[{"task": "T0"'),
        _row(3, 'ann', 3, annotations='{"task": "T0"}'),
        _row(4, 'ann', '4;5', _annotation('Yes')),
        _row(5, 'ann', '', _annotation('Yes')),
        _row(6, '', 6, _annotation('Yes')),
    ]
    path = _write(tmp_path / 'export.csv', rows)
    pattern = r"2 row\(s\) whose column 'annotations' does not hold a list in JSON, the first row 2"
    with pytest.warns(DataQualityWarning, match=pattern):
        votes = read_classifications(path)
    assert votes['item'].tolist() == ['1']
    assert votes.meta['dropped'] == {
        "rows whose column 'annotations' does not hold a list in JSON": 2,
        'rows of several subjects at once': 1,
        'rows without a subject': 1,
        'rows without a user': 1,
    }


def test_mixed_encodings_are_counted(tmp_path):
    rows = [
        _row(1, 'Zo\u00eb \u4e2d', 1, _annotation('\u4e2d \u00fc')),
        _row(2, 'bob', 2, _annotation('No')),
    ]
    path = _write(tmp_path / 'export.csv', rows)
    # one name in Latin-1 in a line that is otherwise UTF-8
    path.write_bytes(path.read_bytes().replace('\u00eb'.encode(), b'\xeb'))
    pattern = r'1 line\(s\) not all in UTF-8, the rest read as Latin-1, the first line 2'
    with pytest.warns(DataQualityWarning, match=pattern):
        votes = read_classifications(path)
    assert votes['annotator'].tolist() == ['Zo\u00eb \u4e2d', 'bob']
    assert votes['label'][0] == '\u4e2d \u00fc'
    assert votes.meta['n_recoded'] == 1
    # nothing was left out
    assert votes.meta['dropped'] == {}
    path.write_bytes(path.read_bytes().decode('latin-1').encode('utf-16'))
    with pytest.raises(TableReadError, match='is text in UTF-16; save it as CSV in UTF-8'):
        read_classifications(path)


def test_a_cell_of_40_megabytes_is_counted_and_named(export):
    with export.open('a', newline='') as stream:
        writer = csv.DictWriter(stream, HEADER)
        writer.writerow(_row(9, 'di', 49, _annotation('A point'), metadata='x' * 40_000_000))
        writer.writerow(_row(10, 'cy', 50, _annotation('A point')))
    pattern = r"1 row.* larger than 32 MB, which ends in the column 'metadata', the first row 5 \("
    with pytest.warns(DataQualityWarning, match=pattern):
        votes = read_classifications(export)
    assert votes['item'].tolist() == ['42', '42', '42', '43', '50']
    assert sum(votes.meta['dropped'].values()) == 1
    assert csv.field_size_limit() < panoptes._LARGEST_ROW


@pytest.mark.parametrize(
    'cell', ['"' + 'x' * 1_000_000, '"' + 'x"\n' * 300_000], ids=['one line', 'lines']
)
def test_a_cell_without_end_is_no_trap(cell, export, monkeypatch):
    monkeypatch.setattr(panoptes, '_LARGEST_ROW', 100_000)
    with export.open('a', newline='') as stream:
        stream.write(f'9,{cell}\n')
        csv.DictWriter(stream, HEADER).writerow(_row(10, 'cy', 50, _annotation('A point')))
    start = time.process_time()
    with pytest.warns(DataQualityWarning):
        votes = read_classifications(export)
    assert time.process_time() - start < 20
    assert votes['item'].tolist() == ['42', '42', '42', '43', '50']


def _many(tmp_path):
    """
    Return the lines of an export, and the vote that each of them but the first holds.
    """
    rows = [_row(k, f'user {k}', 100 + k, _annotation(f'Answer {k}')) for k in range(8)]
    lines = _write(tmp_path / 'whole.csv', rows).read_text().splitlines(keepends=True)
    return lines, [(str(100 + k), f'user {k}', f'Answer {k}') for k in range(8)]


def _votes_of(path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        votes = read_classifications(path)
    columns = (votes[name].tolist() for name in ('item', 'annotator', 'label'))
    told = [str(warning.message) for warning in caught]
    return list(zip(*columns, strict=True)), votes.meta, told


def test_a_stray_quote_costs_its_own_row_only(tmp_path):
    lines, whole = _many(tmp_path)
    path, n_lost = tmp_path / 'export.csv', 0
    hit = lines[4]
    for place in range(len(hit)):
        path.write_text(''.join([*lines[:4], hit[:place] + '"' + hit[place:], *lines[5:]]))
        votes, meta, told = _votes_of(path)
        others = [vote for vote in votes if vote not in whole]
        # what is read of the row itself may have the quote in it, no other row may suffer
        assert [vote for vote in whole if vote in votes or vote == whole[3]] == whole
        assert len(votes) + sum(meta['dropped'].values()) == meta['n_rows'] == 8
        assert all(vote[0] == '103' for vote in others)
        # rows without a subject or a user are counted only
        assert all('the first row 4 (line 5' in text for text in told)
        n_lost += len(told)
    assert n_lost > len(hit) / 4


def test_a_file_that_is_cut_anywhere_gives_no_wrong_vote(tmp_path):
    lines, whole = _many(tmp_path)
    path, last = tmp_path / 'export.csv', lines[-1]
    for place in range(1, len(last)):
        path.write_text(''.join([*lines[:-1], last[:place]]))
        votes, meta, told = _votes_of(path)
        if place == len(last) - 1:
            # only the line break is missing
            assert (votes, told) == (whole, [])
        else:
            assert votes == whole[:-1]
            assert sum(meta['dropped'].values()) == 1
            assert 'the first row 8 (line 9)' in told[0]
    # without the cell that repeats the number of the subject nothing tells whether it is whole
    header = [name for name in HEADER if name != 'subject_data']
    rows = [_row(k, 'ann', 100 + k, _annotation('Yes')) for k in range(2)]
    text = _write(path, rows, header=header).read_text()
    path.write_text(text.removesuffix('\n'))
    with pytest.warns(DataQualityWarning, match=r'the file ends, maybe within a cell.* row 2'):
        assert read_classifications(path)['item'].tolist() == ['100']


def test_cells_with_line_breaks_are_read(tmp_path):
    rows = [
        _row(k, 'ann', k, workflow_name='two "quoted"\n\nlines, 5\n', annotations=text)
        for k, text in enumerate([json.dumps([_annotation('Yes')], indent=1)] * 3)
    ]
    votes, meta, told = _votes_of(_write(tmp_path / 'export.csv', rows, newline='\r\n'))
    assert votes == [(str(k), 'ann', 'Yes') for k in range(3)]
    assert (meta['n_rows'], meta['dropped'], told) == (3, {}, [])


def test_rows_that_are_too_long_are_counted(export):
    with export.open('a') as stream:
        stream.write(export.read_text().splitlines()[1] + ',,\n')
        stream.write(export.read_text().splitlines()[1] + ',more\n')
    with pytest.warns(DataQualityWarning, match=r'1 row.* more than the 14 columns.* row 6'):
        votes = read_classifications(export)
    assert len(votes) == 5


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'lacks the columns classification_id'),
        ('<html><body>Sign in</body></html>', 'is no Zooniverse export of classifications'),
        ('a,b,c\n1,2,3\n', 'there are a, b, c'),
        (','.join([*HEADER, 'expert']) + '\n', "has the column 'expert' more than once"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / 'export.csv'
    path.write_text(text)
    with pytest.raises(TableReadError, match=message):
        read_classifications(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TableReadError, match='cannot be opened: No such file'):
        read_classifications(tmp_path / 'none.csv')


def test_subjects_have_a_column_for_each_key(tmp_path):
    header = ['subject_id', 'workflow_id', 'subject_set_id', 'metadata', 'retired_at']
    rows = [
        {'subject_id': 1, 'subject_set_id': 9, 'metadata': '{"#id": "a", "retired": 1}'},
        {'subject_id': 2, 'subject_set_id': 9, 'metadata': '{"!ra": 1.5}', 'retired_at': '2026'},
        {'subject_id': 1, 'subject_set_id': 8, 'metadata': '{"#id": "a"}', 'retired_at': '2026'},
        {'subject_id': 3, 'subject_set_id': 9, 'metadata': 'oops'},
    ]
    path = _write(tmp_path / 'subjects.csv', rows, header=header)
    with pytest.warns(DataQualityWarning, match=r"1 row.*'metadata'.*the first row 4"):
        subjects = read_subjects(path)
    assert subjects['subject_id'].tolist() == ['1', '2']
    assert subjects['subject_set_id'].tolist() == ['9;8', '9']
    assert subjects['retired'].tolist() == [1, 1]
    assert subjects['#id'].tolist() == ['a', '']
    assert subjects['!ra'].tolist() == ['', '1.5']
    assert subjects['metadata retired'].tolist() == ['1', '']


REAL = {
    # rows, answers
    'andromeda-aas229.csv': (63, 2),
    'caesar_cls_export.csv': (7, 10),
    'cat-project-classifications.csv': (153, 0),
    'fossil-finder-test.csv': (41, 55),
    'pmason_example_classifications.csv': (163, 196),
}


@pytest.mark.parametrize('name', REAL)
def test_real_exports_are_read_and_every_row_is_accounted_for(name, shared_data):
    path = shared_data / 'zooniverse' / name
    votes = read_classifications(path)
    assert (votes.meta['n_rows'], len(votes)) == REAL[name]
    with path.open(newline='', encoding='utf-8') as stream:
        rows = list(csv.DictReader(stream))
    n_voting = len(set(votes['classification_id'].tolist()))
    n_left_out = sum(n for reason, n in votes.meta['dropped'].items() if reason[:4] == 'rows')
    assert n_voting + n_left_out == len(rows)
    assert set(votes['annotator'].tolist()) <= {row['user_name'] for row in rows}


def test_a_real_export_becomes_labels(shared_data):
    path = shared_data / 'zooniverse' / 'fossil-finder-test.csv'
    labels = LabelSet.read(path, format='zooniverse', workflow_id=371, task='T5')
    assert labels.votes.sum() > 10
    subjects = read_subjects(shared_data / 'zooniverse' / 'cat-project-subjects.csv')
    assert len(subjects) == 30
    assert set(subjects['origin'].tolist()) == {'Flickr'}


def test_a_large_export_is_streamed(tmp_path):
    # 40 MB in a process that may use little more than what the imports take
    rows = (
        _row(k, f'u{k % 500}', k % 900, _annotation('Yes'), metadata='m' * 4000)
        for k in range(10_000)
    )
    path = _write(tmp_path / 'export.csv', rows)
    assert path.stat().st_size > 40e6
    program = (
        'import resource, sys\n'
        'from clustercnn.io import read_classifications\n'
        'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        'votes = read_classifications(sys.argv[1])\n'
        'print(len(votes), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n'
    )
    command = [sys.executable, '-c', program, str(path)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    n_votes, kilobytes = map(int, result.stdout.split())
    assert n_votes == 10_000
    # in kilobytes, on macOS in bytes
    assert kilobytes * (1 if sys.platform == 'darwin' else 1024) < 20e6


def test_answers_are_matched_by_whole_words(tmp_path):
    said = ['Yes', 'Yes, many', 'No', 'Not sure', 'None of these', 'no  doubt']
    rows = [_row(k, 'ann', k, _annotation(answer)) for k, answer in enumerate(said)]
    votes = read_classifications(_write(tmp_path / 'e.csv', rows))
    with pytest.raises(ValueError, match=r"2 votes .*'None of these' \(1\), 'Not sure' \(1\)"):
        name_classes(votes, {'yes': 'cluster', 'no': 'other'})
    classes = {'yes': 'cluster', 'no': 'other', 'no doubt': 'cluster', 'no  ': 'other'}
    classes |= {'not': 'unknown', 'none': 'galaxy'}
    made = name_classes(votes, classes)['label'].tolist()
    assert made == ['cluster', 'cluster', 'other', 'unknown', 'galaxy', 'cluster']


def test_several_classes_in_one_classification_say_nothing(tmp_path):
    rows = [
        _row(1, 'ann', 1, _annotation(['cluster', 'point'])),
        _row(2, 'bob', 1, _annotation(['cluster', 'cluster'])),
        _row(3, 'cy', 1, _annotation('Unknown')),
    ]
    labels = LabelSet.read(_write(tmp_path / 'e.csv', rows), format='zooniverse')
    np.testing.assert_array_equal(labels.votes, [[1, 0, 0, 0]])


def test_what_says_nothing_contradicts_nothing(tmp_path):
    rows = [
        _row(number, f'user {number}', 7, _annotation(['Cluster', 'Also an artefact']))
        for number in range(5)
    ]
    rows.append(_row(5, 'user 5', 7, _annotation(['Also an artefact'])))
    _write(tmp_path / 'a.csv', rows)
    votes = read_classifications(tmp_path / 'a.csv')
    made = name_classes(votes, {'cluster': 'cluster', 'also an artefact': 'unknown'})
    assert made['label'].tolist() == ['cluster'] * 5 + ['unknown']
    assert [n for reason, n in made.meta['dropped'].items() if 'beside' in reason] == [5]
    assert len(made) + 5 == len(votes)


def test_odd_numbers_and_texts_do_no_harm(tmp_path):
    rows = [
        _row('\u00b2', 'ann', 1, _annotation('Yes')),
        _row('9' * 25, 'bob', 1, _annotation('x' * 5000)),
        _row(3, 'cy', '\u00b9', _annotation('Yes')),
        _row(4, 'di', 4, _annotation('\ud800 half')),
    ]
    votes = read_classifications(_write(tmp_path / 'e.csv', rows))
    assert votes['classification_id'].tolist() == [-1, 4]
    assert votes['label'].tolist() == ['Yes', '? half']
    assert votes.meta['dropped']['answers: free text'] == 1
    assert votes.meta['dropped']['rows without a subject'] == 1


def test_halves_of_letters_are_replaced(tmp_path):
    rows = [
        _row(
            number,
            'ann',
            number,
            _annotation('Yes', task='T\ud800'),
            subject_data=json.dumps({str(number): {'#candidate': f'a{number}\ud83d'}}),
        )
        for number in (1, 2)
    ]
    path = _write(tmp_path / 'e.csv', rows)
    votes = tmp_path / 'votes.ecsv'
    labels = label_export(path, item='candidate', schema=('Yes', 'No'), votes_output=votes)
    assert labels.ids == ('a1?', 'a2?')
    assert Table.read(votes)['task'].tolist() == ['T?', 'T?']


def test_answers_that_are_no_classes_are_named_and_counted(tmp_path):
    said = ['Yes, many', 'Yes, many', 'No', 'Unknown']
    rows = [_row(k, f'u{k}', 1, _annotation(answer)) for k, answer in enumerate(said)]
    path = _write(tmp_path / 'e.csv', rows)
    with pytest.raises(TableReadError, match=r"e.csv: 2 votes .* 'Yes, many' \(2\), .*cation 0;"):
        label_export(path, schema=('Yes', 'No'))
    assert label_export(path, schema=('Yes, many', 'No')).votes.tolist() == [[2, 1]]
