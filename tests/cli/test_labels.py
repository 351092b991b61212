# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``labels``: from exports and tables of votes to labels, and how far people agree.
"""

import csv
import json

import numpy as np
import pytest
from astropy.table import Table

from clustercnn import LabelSet
from clustercnn.cli import main
from clustercnn.pipeline import label_votes, measure_agreement

ANSWERS = {('ann', 1): 'Yes', ('bob', 1): 'Yes', ('cy', 1): 'No', ('ann', 2): 'No', ('bob', 2): '?'}


@pytest.fixture
def export(tmp_path):
    """
    A Panoptes export of five votes on two subjects.
    """
    path = tmp_path / 'export.csv'
    names = ['classification_id', 'user_name', 'workflow_id', 'annotations', 'subject_data']
    with path.open('w', newline='') as stream:
        writer = csv.writer(stream)
        writer.writerow([*names, 'subject_ids'])
        for number, ((user, subject), answer) in enumerate(ANSWERS.items()):
            annotations = json.dumps([{'task': 'T0', 'task_label': 'Is it?', 'value': answer}])
            metadata = json.dumps({str(subject): {'#candidate': f'c{subject}'}})
            writer.writerow([number, user, 7, annotations, metadata, subject])
    return path


def test_an_export_becomes_labels_and_votes(export, tmp_path, capsys):
    output, votes = tmp_path / 'labels.ecsv', tmp_path / 'votes.csv'
    answers = ['--answer', 'yes=cluster', '--answer', 'no=other', '--answer', '?=unknown']
    command = ['labels', 'read', str(export), '-o', str(output), '--votes', str(votes)]
    options = ['--item', 'candidate', '--hash-names', '--method', 'majority']
    assert main([*command, *answers, *options]) == 0
    told = capsys.readouterr().out
    assert '5 classifications' in told
    assert '1 left out: empty or unknown' in told
    assert '2 labels' in told
    labels = LabelSet.read(output)
    assert labels.ids == ('c1', 'c2')
    np.testing.assert_allclose(labels.binary(), [2 / 3, 0], rtol=1e-6)
    table = Table.read(votes, format='ascii.csv')
    assert len(table) == 5
    assert not set(table['annotator'].tolist()) & {'ann', 'bob', 'cy'}
    # nothing is replaced unasked
    assert main([*command, *answers]) == 1
    # what was written is read again
    command = ['labels', 'consensus', str(votes), '-o', str(tmp_path / 'again.ecsv')]
    assert main(command) == 0
    assert ', dawid-skene' in capsys.readouterr().out
    assert len(LabelSet.read(tmp_path / 'again.ecsv')) == 2
    capsys.readouterr()
    assert main(['labels', 'agreement', str(votes)]) == 0
    assert 'all agree on 0.0% of the items with two votes' in capsys.readouterr().out


def test_answers_without_a_class_are_listed(export, tmp_path, capsys):
    command = ['labels', 'read', str(export), '-o', str(tmp_path / 'l.ecsv'), '--answer']
    assert main([*command, 'yes=cluster']) == 1
    assert "3 votes have answers without a class: '?' (1), 'No' (2)" in capsys.readouterr().err
    assert main([*command, 'yes']) == 2
    assert 'expected TEXT=CLASS' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['export.csv']


def test_answers_of_no_class_of_the_schema_are_named(export, tmp_path, capsys):
    command = ['labels', 'read', str(export), '-o', str(tmp_path / 'l.ecsv')]
    answers = ['--answer', 'yes=cluster', '--answer', 'no=othr', '--answer', '?=unknown']
    assert main([*command, *answers, '--classes', 'cluster,other']) == 1
    error = capsys.readouterr().err
    assert "classes that the schema lacks: 'no' is 'othr'; the classes are cluster, other" in error
    assert not (tmp_path / 'l.ecsv').exists()


@pytest.mark.parametrize('suffix', ['csv', 'ecsv', 'fits', 'vot'])
def test_votes_are_read_from_any_table(tmp_path, suffix):
    table = Table({'what': ['a', 'a', 'b'], 'who': [1, 2, 1], 'is': ['x', 'y', 'x']})
    path = tmp_path / f'votes.{suffix}'
    table.write(
        path, format={'ecsv': 'ascii.ecsv', 'csv': 'ascii.csv', 'vot': 'votable'}.get(suffix)
    )
    output = tmp_path / 'labels.fits'
    columns = ['--item', 'what', '--annotator', 'who', '--label', 'is']
    command = ['labels', 'consensus', str(path), *columns, '--classes', 'y,x', '-o', str(output)]
    assert main(command) == 0
    labels = LabelSet.read(output)
    assert labels.schema.classes == ('y', 'x')
    np.testing.assert_array_equal(labels.votes, [[1, 1], [0, 1]])


def test_what_is_wrong_with_votes_names_the_file(tmp_path, capsys):
    path = tmp_path / 'votes.csv'
    path.write_text('item,annotator,label\na,1,cluster\nb,,point\n')
    command = ['labels', 'consensus', str(path), '-o', str(tmp_path / 'l.ecsv')]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert f"{path}: row 2 of the votes has nothing in the column 'annotator'" in error
    assert main([*command, '--label', 'class']) == 1
    assert 'votes lack the columns class' in capsys.readouterr().err
    path = path.rename(tmp_path / 'votes.txt')
    assert main(['labels', 'agreement', str(path)]) == 1
    assert 'is none of the kinds of table' in capsys.readouterr().err
    assert not (tmp_path / 'l.ecsv').exists()


def test_agreement_of_two_is_cohens():
    one, other = 'xxxyyyxxyy', 'xxyyyyxxyx'
    table = Table(
        {
            'item': [*range(10)] * 2,
            'annotator': ['a'] * 10 + ['b'] * 10,
            'label': [*one, *other],
        }
    )
    found = measure_agreement(table)
    # 8 of 10 agree; both say x as often as y
    assert found['cohen_kappa'] == pytest.approx((0.8 - 0.5) / (1 - 0.5))
    assert (found['n_pairs'], found['n_items'], found['n_votes']) == (1, 10, 20)
    assert found['unanimous'] == pytest.approx(0.8)
    alone = measure_agreement(table[:10])
    assert np.isnan(alone['unanimous'])
    assert alone['n_pairs'] == 0
    assert len(label_votes(table)) == 10


def test_identifiers_of_a_csv_stay_text(tmp_path):
    path = tmp_path / 'votes.csv'
    path.write_text('item,annotator,label\n0042,01,cluster\n1.10,1,point\n1.1,01,point\n')
    labels = label_votes(path)
    assert labels.ids == ('0042', '1.10', '1.1')
    assert labels.meta['n_annotators'] == 2


def test_what_is_read_is_not_written_over(export, tmp_path, capsys):
    votes = tmp_path / 'v.ecsv'
    table = Table({'item': ['a'], 'annotator': ['b'], 'label': ['point']})
    table.write(votes, format='ascii.ecsv')
    before = votes.read_bytes()
    command = ['labels', 'consensus', str(votes), '-o', str(votes), '--overwrite']
    assert main(command) == 1
    assert 'is named for more than one of' in capsys.readouterr().err
    assert votes.read_bytes() == before
    same = str(tmp_path / 'same.ecsv')
    assert main(['labels', 'read', str(export), '-o', same, '--votes', same]) == 1


def test_an_answer_has_one_class(export, tmp_path, capsys):
    command = ['labels', 'read', str(export), '-o', str(tmp_path / 'l.ecsv')]
    answers = ['--answer', 'yes=cluster', '--answer', 'Yes=other', '--answer', 'no=other']
    assert main([*command, *answers]) == 2
    assert "--answer Yes=other: that answer is 'cluster' already" in capsys.readouterr().err


def test_what_is_looked_for_is_said_and_can_be_named(export, tmp_path, capsys):
    path = tmp_path / 'labels.ecsv'
    command = ['labels', 'read', str(export), '-o', str(path), '--answer', '?=unknown']
    answers = ['--answer', 'yes=Yes, a cluster', '--answer', 'no=No']
    assert main([*command, *answers]) == 0
    told = capsys.readouterr().out
    assert 'looked for: Yes, a cluster, by its name; --positive names another' in told
    # a comma within a name does not part it
    assert LabelSet.read(path).schema.positive == ('Yes, a cluster',)
    assert LabelSet.read(path).binary()[1] == pytest.approx(0, abs=0.4)
    answers = ['--answer', 'yes=Lens', '--answer', 'no=Galaxy', '--overwrite']
    assert main([*command, *answers]) == 0
    assert 'looked for: Galaxy, the first one, since the names do not' in capsys.readouterr().out
    assert main([*command, *answers, '--positive', 'Lens']) == 0
    assert 'looked for: Lens\n' in capsys.readouterr().out
    assert LabelSet.read(path).schema.positive == ('Lens',)
    assert LabelSet.read(
        export, format='zooniverse', classes={'yes': 'x', 'no': 'y', '?': 'unknown'}, positive='y'
    ).schema.positive == ('y',)
    assert main([*command, *answers, '--positive', 'Lensing']) == 1
    assert "positive classes ['Lensing'] are not among" in capsys.readouterr().err


def test_agreement_takes_classes_as_consensus_does(tmp_path, capsys):
    path = tmp_path / 'votes.csv'
    path.write_text('item,annotator,label\na,1,x\na,2,x\nb,1,x\nb,2,x\n')
    command = ['labels', 'agreement', str(path)]
    assert main(command) == 1
    assert '(--classes)' in capsys.readouterr().err
    assert main([*command, '--classes', 'x,y']) == 0
    told = capsys.readouterr().out
    assert 'all agree on 100.0%' in told
    assert f'next: clustercnn labels consensus {path} --classes x,y -o labels.ecsv' in told
    assert main([*command, '--classes', 'y,z']) == 1
    error = capsys.readouterr().err
    assert "4 votes are for no class of the schema, the first 'x' in row 1" in error
    assert main([*command, '--classes', 'y,y']) == 2
    capsys.readouterr()
    path.write_text('item,annotator,label\na,1,"x, or so"\na,2,y\n')
    assert main([*command, '--classes', ' "x, or so", y, z']) == 0
    again = f'next: clustercnn labels consensus {path} --classes \' "x, or so", y, z\' -o'
    assert again in capsys.readouterr().out
    assert main([*command, '--classes', '"x, or so,y']) == 2
    assert '--classes "x, or so,y: ' in capsys.readouterr().err
    wide = tmp_path / 'wide.csv'
    wide.write_text('item,ann,bob\na,x,x\nb,x,w\n')
    columns = ['--annotator-columns', 'ann', 'bob']
    assert main(['labels', 'agreement', str(wide), *columns, '--classes', 'x,y']) == 1
    assert "the first 'w' in row 2 ('b'), column 'bob'" in capsys.readouterr().err
