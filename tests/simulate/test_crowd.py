# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated people: what is assumed of them, their export as the reader reads it, and the way back.
"""

import csv

import numpy as np
import pytest

from clustercnn import LabelSet, labels
from clustercnn.cli import main
from clustercnn.io import name_classes, read_classifications
from clustercnn.pipeline import label_export, measure_agreement
from clustercnn.simulate import EXPERTS, VOLUNTEERS, simulate_crowd, simulate_votes

CLASSES = ('cluster', 'point', 'galaxy', 'other')


def items(n_items, seed=1):
    """
    Return classes and counts as sources of a survey have them: many are faint.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(CLASSES, n_items, p=[0.35, 0.4, 0.1, 0.15])
    return truth, 10 * (1 + rng.pareto(1.2, n_items))


def test_bright_sources_and_experts_err_less():
    counts = np.array([10, 30, 100, 1000])
    for people in (EXPERTS, VOLUNTEERS):
        answers = people.confusion(people.skill, counts)
        np.testing.assert_allclose(answers.sum(axis=2), 1, rtol=1e-12)
        right = np.diagonal(answers, axis1=1, axis2=2)
        assert (np.diff(right, axis=0) > 0).all()
        # points are told best, artefacts worst
        assert (right[:, 1] > right[:, 0]).all()
        assert (right[:, 3] < right[:, 0]).all()
    assert (
        EXPERTS.confusion(EXPERTS.skill, counts)[:, 0, 0]
        > VOLUNTEERS.confusion(VOLUNTEERS.skill, counts)[:, 0, 0]
    ).all()


def test_votes_are_drawn_from_what_is_assumed():
    truth, counts = items(3000)
    crowd = simulate_crowd(truth, counts, n_votes=20, n_people=200, seed=5)
    votes = crowd.votes
    # nobody votes twice on an item, and each has as many votes
    pairs = votes['item_number'] * 200 + votes['annotator_number']
    assert len(np.unique(pairs)) == len(votes) == 60_000
    assert set(np.bincount(votes['item_number'])) == {20}
    told = votes[votes['label'] != 'Unknown']
    code = {name: k for k, name in enumerate(CLASSES)}
    true = np.array([code[truth[k]] for k in told['item_number']])
    said = np.array([code[name] for name in told['label']])
    cell = (told['annotator_number'] * 4 + true) * 4 + said
    counted = np.bincount(cell, minlength=200 * 16).reshape(200, 4, 4)
    total = counted.sum(axis=2, keepdims=True)
    seen = total[..., 0] >= 30
    expected = crowd.confusion[seen]
    spread = np.sqrt(expected * (1 - expected) / total[seen])
    pull = (counted[seen] / total[seen] - expected) / spread
    # who is unsure is so more often on faint sources, which shifts the shares a little
    assert seen.sum() > 100
    assert 0.8 < np.sqrt((pull**2).mean()) < 1.2


def test_the_seed_decides():
    truth, counts = items(50)
    one, same, other = (simulate_crowd(truth, counts, n_votes=3, seed=seed) for seed in (1, 1, 2))
    assert one.votes['label'].tolist() == same.votes['label'].tolist()
    assert one.votes['label'].tolist() != other.votes['label'].tolist()


def test_the_export_is_read_as_a_real_one(tmp_path):
    truth, counts = items(80)
    ids = [f'field_00000-{k}' for k in range(80)]
    crowd = simulate_crowd(truth, counts, ids=ids, n_votes=6, seed=2)
    path = tmp_path / 'votes.csv'
    crowd.write(path, subjects=[{'image': f'{name}.png', '!ra': '1.5'} for name in ids])
    with path.open(newline='') as stream:
        header = next(csv.reader(stream))
    assert len(header) == 14
    votes = read_classifications(path, item='candidate')
    for name in ('item', 'annotator'):
        assert votes[name].tolist() == crowd.votes[name].tolist()
    assert [text.lower() for text in votes['label']] == [t.lower() for t in crowd.votes['label']]
    assert votes.meta['n_rows'] == 480
    assert votes.meta['dropped'] == {}
    anonymous = {name for name in crowd.annotators if name.startswith('not-logged-in-')}
    assert 0 < len(anonymous) < len(crowd.annotators) / 4
    with pytest.raises(FileExistsError):
        crowd.write(path)


@pytest.mark.parametrize('method', ['majority', 'dawid-skene'])
def test_what_people_said_comes_back(method, tmp_path):
    truth, counts = items(600)
    path = tmp_path / 'votes.csv'
    simulate_crowd(truth, counts, n_votes=10, seed=4).write(path)
    found = label_export(path, item='candidate', method=method)
    found = found.select([str(k + 1) for k in range(600)])
    right = np.array(found.names()) == truth
    # always the commonest class would be right in 40 %, with 2 % of error
    assert right.mean() > 0.75
    faint = counts < 20
    assert right[~faint].mean() > right[faint].mean()


def test_confusion_matrices_come_back_within_their_errors(tmp_path):
    pulls = []
    for seed in range(4):
        truth, _ = items(800, seed)
        # one brightness for all, the only one that the model of the consensus knows
        crowd = simulate_crowd(truth, np.full(800, 80.0), n_votes=10, n_people=40, seed=seed)
        path = tmp_path / f'{seed}.csv'
        crowd.write(path)
        votes = name_classes(read_classifications(path, item='candidate'))
        votes = votes[votes['label'] != 'unknown']
        place = {name: k for k, name in enumerate(crowd.annotators)}
        result = labels.dawid_skene(
            [int(name) - 1 for name in votes['item']],
            [place[name] for name in votes['annotator']],
            [CLASSES.index(name) for name in votes['label']],
            n_classes=4,
            n_items=800,
            n_annotators=40,
        )
        known = np.isfinite(crowd.confusion)
        pulls.append(((result.confusion - crowd.confusion) / result.confusion_std)[known])
    pulls = np.concatenate(pulls)
    assert 0.8 < np.sqrt((pulls**2).mean()) < 1.2
    assert (np.abs(pulls) < 2).mean() > 0.9


def test_fields_get_votes_experts_and_truth(tmp_path, capsys):
    sky = tmp_path / 'sky'
    command = ['simulate', str(sky), '--votes', '7', '--seed', '3']
    assert main(command) == 0
    told = capsys.readouterr().out
    assert '7 simulated votes on each of' in told
    (line,) = [line for line in told.splitlines() if line.startswith('next: ')]
    # what is told to be next works
    read = line.removeprefix('next: clustercnn ').replace(' l.ecsv', f' {tmp_path / "l.ecsv"}')
    assert main(read.split()) == 0
    truth, found = LabelSet.read(sky / 'truth.ecsv'), LabelSet.read(tmp_path / 'l.ecsv')
    assert sorted(found.ids) == sorted(truth.ids)
    right = np.array(found.select(truth.ids).names()) == np.array(truth.names())
    assert right.mean() > 0.6
    people = ['expert_1', 'expert_2']
    agreed = measure_agreement(sky / 'experts.csv', item='id', annotator_columns=people)
    assert agreed['n_pairs'] == 1
    assert agreed['krippendorff_alpha'] > 0.2
    before = (sky / 'votes.csv').read_bytes()
    assert main(command) == 1
    assert 'votes.csv: exists already' in capsys.readouterr().err
    simulate_votes(sky, n_votes=7, seed=3, overwrite=True)
    assert (sky / 'votes.csv').read_bytes() == before


def test_what_cannot_be_asked_is_refused(tmp_path):
    with pytest.raises(ValueError, match='people are simulated for .* got star'):
        simulate_crowd(['star'], [10], n_votes=1, seed=1)
    with pytest.raises(ValueError, match="'n_votes' must lie from 1 to the number of people, 3"):
        simulate_crowd(['point'], [10], n_votes=4, n_people=3, seed=1)
    with pytest.raises(ValueError, match='the lengths must agree'):
        simulate_crowd(['point'], [10, 20], n_votes=1, seed=1)
    with pytest.raises(FileNotFoundError, match='holds no simulated fields'):
        simulate_votes(tmp_path, n_votes=1, seed=1)
    assert len(simulate_crowd([], [], n_votes=2, seed=1).votes) == 0


def test_what_misleads_one_misleads_all():
    truth, counts = ['cluster'] * 400, np.full(400, 80.0)
    ease = np.random.default_rng(3).normal(0, 2, 400)
    said = {}
    for kind, people, seed in (('experts', EXPERTS, 6), ('volunteers', VOLUNTEERS, 7)):
        for name, values in (('alike', None), ('scattered', ease)):
            crowd = simulate_crowd(
                truth, counts, ease=values, n_votes=20, n_people=100, seed=seed, people=people
            )
            right = np.zeros(400)
            rows = crowd.votes['label'] == 'cluster'
            np.add.at(right, crowd.votes['item_number'][rows], 1)
            said[kind, name] = right / 20
    assert np.corrcoef(said['experts', 'alike'], said['volunteers', 'alike'])[0, 1] < 0.2
    assert np.corrcoef(said['experts', 'scattered'], said['volunteers', 'scattered'])[0, 1] > 0.6
    # no number of votes settles such an item
    assert (said['volunteers', 'alike'] < 0.5).mean() < 0.02
    assert 0.1 < (said['volunteers', 'scattered'] < 0.5).mean() < 0.5
    with pytest.raises(ValueError, match="'ease'"):
        simulate_crowd(['point'], [10], ease=[np.nan], n_votes=1, seed=1)
