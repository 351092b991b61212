# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Votes become labels; splits share nothing; agreement is what the textbooks say.
"""

import re

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table

from clustercnn import LabelSet, evaluation, labels
from clustercnn.labels.annotators import _names_by_votes
from clustercnn.labels.consensus import MODELS


def simulate_votes(*, seed, n_items=400, n_people=30, n_votes=8, n_classes=3, error=None):
    """
    Votes of people who err at random, each to a degree of their own.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n_items)
    errors = rng.beta(2, 3, n_people) if error is None else np.full(n_people, error)
    matrices = np.full((n_people, n_classes, n_classes), 0.0)
    for person in range(n_people):
        matrices[person] = errors[person] / (n_classes - 1)
        np.fill_diagonal(matrices[person], 1 - errors[person])
    item = np.repeat(np.arange(n_items), n_votes)
    who = np.concatenate([rng.choice(n_people, n_votes, replace=False) for _ in range(n_items)])
    draw = rng.random(len(item))
    said = (draw[:, None] > np.cumsum(matrices[who, truth[item]], axis=1)).sum(axis=1)
    return truth, matrices, item, who, np.minimum(said, n_classes - 1)


def naive_step(posterior, item, who, said, n_people, n_classes, strength):
    """
    One EM step written with loops.
    """
    counts = np.zeros((n_people, n_classes, n_classes))
    for i, w, s in zip(item, who, said, strict=True):
        counts[w, :, s] += posterior[i]
    everybody = counts.sum(0) + np.eye(n_classes) + 1 / n_classes
    everybody /= everybody.sum(1, keepdims=True)
    confusion = counts + strength * everybody
    confusion /= confusion.sum(2, keepdims=True)
    prior = (posterior.sum(0) + 1) / (posterior.sum() + n_classes)
    new = np.tile(prior, (len(posterior), 1))
    for i, w, s in zip(item, who, said, strict=True):
        new[i] *= confusion[w, :, s]
    return new / new.sum(1, keepdims=True)


def test_iterations_are_those_of_the_definition():
    _, _, item, who, said = simulate_votes(seed=1, n_items=40, n_people=6, n_votes=4)
    votes = np.stack([np.bincount(said[item == i], minlength=3) for i in range(40)])
    leading = votes == votes.max(axis=1, keepdims=True)
    posterior = leading / leading.sum(axis=1, keepdims=True)
    for _ in range(3):
        posterior = naive_step(posterior, item, who, said, 6, 3, 2.0)
    result = labels.dawid_skene(item, who, said, n_classes=3, prior_strength=2.0, n_iterations=3)
    np.testing.assert_allclose(result.probability, posterior, rtol=1e-9)
    assert not result.converged


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_uneven_crowds_are_seen_through(seed):
    truth, matrices, item, who, said = simulate_votes(seed=seed)
    result = labels.dawid_skene(item, who, said, n_classes=3)
    shares = np.stack([np.bincount(said[item == i], minlength=3) for i in range(len(truth))])
    majority = (shares.argmax(1) == truth).mean()
    estimated = (result.probability.argmax(1) == truth).mean()
    assert result.converged
    assert estimated > majority + 0.02
    # some 36 votes a row: a sigma of 0.08 at most
    assert np.abs(result.confusion - matrices).mean() < 0.06


@pytest.mark.parametrize(
    ('error', 'n_items'), [(0.1, 100), (0.1, 400), (0.2, 100), (0.2, 400), (0.4, 400)]
)
def test_even_crowds_are_not_made_worse(error, n_items):
    gains = []
    for seed in range(8):
        truth, _, item, who, said = simulate_votes(
            seed=seed, n_items=n_items, n_votes=10, n_classes=2, error=error
        )
        probability = labels.dawid_skene(item, who, said, n_classes=2).probability
        votes = np.stack([np.bincount(said[item == i], minlength=2) for i in range(n_items)])
        gains.append((probability.argmax(1) == truth).mean() - (votes.argmax(1) == truth).mean())
    assert np.mean(gains) > -0.01


def test_result_does_not_depend_on_the_order_of_votes():
    _, _, item, who, said = simulate_votes(seed=6, n_items=50)
    order = np.random.default_rng(1).permutation(len(item))
    one = labels.dawid_skene(item, who, said, n_classes=3)
    other = labels.dawid_skene(item[order], who[order], said[order], n_classes=3)
    np.testing.assert_allclose(one.probability, other.probability, rtol=1e-7, atol=1e-10)


def test_many_votes_do_not_underflow():
    item, who = np.zeros(3000, int), np.arange(3000)
    said = np.r_[np.zeros(2000, int), np.ones(1000, int)]
    result = labels.dawid_skene(item, who, said, n_classes=2)
    assert np.isfinite(result.probability).all()
    assert result.probability[0, 0] > 0.99


def test_no_votes_at_all():
    result = labels.dawid_skene([], [], [], n_classes=3, n_items=2, n_annotators=1)
    assert np.isnan(result.probability).all()
    assert result.confusion.shape == (1, 3, 3)


def test_one_number_an_annotator_is_enough_where_votes_are_few():
    gains = {'full': [], 'one-coin': []}
    for seed in range(8):
        truth, _, item, who, said = simulate_votes(seed=seed, n_items=120, n_people=40, n_votes=5)
        votes = np.stack([np.bincount(said[item == i], minlength=3) for i in range(len(truth))])
        majority = (votes.argmax(1) == truth).mean()
        for model, gain in gains.items():
            result = labels.dawid_skene(item, who, said, n_classes=3, model=model)
            gain.append((result.probability.argmax(1) == truth).mean() - majority)
    assert np.mean(gains['one-coin']) > 0.02
    assert np.mean(gains['one-coin']) > np.mean(gains['full'])


def test_the_coin_is_the_share_of_right_votes():
    # each annotator errs at one rate, 300 votes each
    _, matrices, item, who, said = simulate_votes(seed=4, n_items=600, n_people=20, n_votes=10)
    result = labels.dawid_skene(item, who, said, n_classes=3, model='one-coin')
    share, expected = result.confusion[:, 0, 0], matrices[:, 0, 0]
    np.testing.assert_allclose(result.confusion.sum(axis=2), 1)
    np.testing.assert_allclose(result.confusion[:, 1, 2], (1 - share) / 2)
    pull = (share - expected) / result.confusion_std[:, 0, 0]
    assert np.sqrt((pull**2).mean()) < 1.5


@pytest.mark.parametrize('model', ['full', 'one-coin'])
def test_errors_of_the_matrices_are_those_that_are_made(model):
    pulls = []
    for seed in range(10):
        _, matrices, item, who, said = simulate_votes(seed=seed, n_items=500, n_people=25)
        result = labels.dawid_skene(item, who, said, n_classes=3, model=model)
        pulls.append((result.confusion - matrices) / result.confusion_std)
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.3


def test_known_items_are_kept_and_annotators_judged_by_them():
    # most have it backwards, which nothing but truth can tell
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 200)
    item, who = np.repeat(np.arange(200), 5), np.tile(np.arange(5), 200)
    said = np.where(who < 4, 1 - truth[item], truth[item])
    wrong = rng.random(len(item)) < 0.1
    said = np.where(wrong, 1 - said, said)
    misled = labels.dawid_skene(item, who, said, n_classes=2).probability.argmax(1)
    assert (misled == truth).mean() < 0.2
    known = np.where(np.arange(200) < 60, truth, -1)
    result = labels.dawid_skene(item, who, said, n_classes=2, truth=known)
    np.testing.assert_array_equal(result.probability[:60], np.eye(2)[truth[:60]])
    assert (result.probability.argmax(1) == truth)[60:].mean() > 0.95
    assert result.confusion[0, 0, 1] > 0.8


def test_classes_that_changed_their_names_get_them_back():
    # estimated in rows, said in columns: the first three went round
    counts = np.array([[2, 30, 1, 0], [3, 2, 25, 1], [28, 1, 3, 0], [0, 1, 1, 9]])
    order = _names_by_votes(counts)
    np.testing.assert_array_equal(counts[order].argmax(axis=1), [0, 1, 2, 3])
    np.testing.assert_array_equal(_names_by_votes(counts[order]), [0, 1, 2, 3])


@pytest.mark.parametrize('share', [0.5, 1.0])
@pytest.mark.parametrize('model', ['full', 'one-coin'])
def test_known_items_of_one_class_do_not_turn_the_others(model, share):
    # a catalogue of clusters knows clusters only
    for seed in range(3):
        rng = np.random.default_rng(seed)
        truth = (rng.random(1000) < 0.05).astype(int)
        item = np.repeat(np.arange(1000), 3)
        who = rng.integers(0, 60, 3000)
        said = np.where(rng.random(3000) < 0.25, 1 - truth[item], truth[item])
        known = np.where((truth == 1) & (rng.random(1000) < share), 1, -1)
        result = labels.dawid_skene(item, who, said, n_classes=2, truth=known, model=model)
        others = known < 0
        right = result.probability.argmax(axis=1)[others] == truth[others]
        assert right.mean() > 0.9
        assert result.prior[1] < 0.2


def test_truth_must_be_classes():
    votes = [0, 1], [0, 0], [0, 1]
    for truth, message in (([0], '2 whole numbers'), ([0, 2], 'got 2'), ([-2, 0], 'got -2')):
        with pytest.raises(ValueError, match=message):
            labels.dawid_skene(*votes, n_classes=2, truth=truth)
    with pytest.raises(ValueError, match="'model'"):
        labels.dawid_skene(*votes, n_classes=2, model='two-coin')


def test_consensus_is_anchored_by_what_is_known():
    said = ['point', 'point', *['cluster', 'point'] * 5]
    rows = [(f'i{k}', person, said[k]) for k in range(12) for person in 'abc']
    votes = Table(rows=rows, names=['item', 'annotator', 'label'])
    known = LabelSet.from_labels(['i0', 'i1', 'x', 'i2'], ['cluster', 'unknown', 'point', 'point'])
    soft = known.replace(probability=[[1, 0, 0, 0], [np.nan] * 4, [0, 1, 0, 0], [0.1, 0.9, 0, 0]])
    for method in ('dawid-skene', 'one-coin'):
        result = labels.consensus(votes, method=method, truth=soft)
        assert result.names() == ['cluster', *said[1:]]
        # 0.9 is not certain, and what nobody voted on is no item
        assert result.meta['n_known'] == 1
        assert len(result) == 12
    with pytest.raises(ValueError, match="not for 'majority'"):
        labels.consensus(votes, method='majority', truth=known)
    other = LabelSet.from_labels(['i0'], ['a'], schema=('a', 'b'))
    with pytest.raises(ValueError, match="'truth' has the classes a, b, the votes cluster"):
        labels.consensus(votes, method='one-coin', truth=other)


def _misled_crowd(seed, *, n_items=400, n_people=30, n_votes=12):
    """
    Return truth and votes of a simulated crowd that a fifth of the items misleads.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n_items)
    error = np.where(rng.random(n_items) < 0.2, 0.75, 0.15)
    item = np.repeat(np.arange(n_items), n_votes)
    who = np.concatenate([rng.choice(n_people, n_votes, replace=False) for _ in range(n_items)])
    said = np.where(rng.random(len(item)) < error[item], 1 - truth[item], truth[item])
    names = np.array(['cluster', 'point'])
    votes = Table({'item': item, 'annotator': who, 'label': names[said]})
    return names[truth], votes


@pytest.mark.parametrize('method', ['dawid-skene', 'one-coin'])
def test_known_items_correct_the_confidence_of_the_others(method):
    confidence, right, correlation = {'raw': [], 'corrected': []}, [], []
    for seed in range(6):
        truth, votes = _misled_crowd(seed)
        known = LabelSet.from_labels([str(k) for k in range(80)], truth[:80])
        options = {'method': method, 'schema': known.schema}
        corrected = labels.consensus(votes, truth=known, **options)
        others = [str(k) for k in range(80, len(truth))]
        who, said = np.unique(votes['annotator'], return_inverse=True)[1], votes['label'] == 'point'
        raw = labels.dawid_skene(
            votes['item'].data, who, said.astype(int), n_classes=2, model=MODELS[method]
        )
        confidence['raw'].append(raw.probability[80:].max(axis=1))
        confidence['corrected'].append(corrected.select(others).soft().max(axis=1))
        right.append(np.array(corrected.select(others).names()) == truth[80:])
        correlation.append(corrected.meta['correlation'])
        np.testing.assert_array_equal(corrected.select(known.ids).soft(), known.soft())
    right = np.concatenate(right)
    error = {
        name: evaluation.expected_calibration_error(np.concatenate(values), right)
        for name, values in confidence.items()
    }
    assert min(correlation) > 0.2
    assert error['raw'] > 0.12
    assert error['corrected'] < 0.05


def test_independent_votes_are_hardly_corrected():
    truth, _, item, who, said = simulate_votes(seed=3, n_items=400, n_votes=6, error=0.3)
    names = np.array(['a', 'b', 'c'])
    votes = Table({'item': item, 'annotator': who, 'label': names[said]})
    known = LabelSet.from_labels(
        [str(k) for k in range(100)], names[truth[:100]], schema=tuple('abc')
    )
    raw = labels.dawid_skene(item, who, said, n_classes=3).probability
    blind = labels.consensus(votes, schema=known.schema)
    assert blind.meta['correlation'] < 0.1
    assert np.abs(blind.probability - raw).max() < 0.1
    told = labels.consensus(votes, truth=known, schema=known.schema)
    assert told.meta['correlation'] < blind.meta['correlation'] + 0.02


def bluebirds(folder):
    text = (folder / 'crowd' / 'welinder_bluebirds_gt.yaml').read_text()
    truth = {key: value == 'true' for key, value in re.findall(r'(\d+): (true|false)', text)}
    text = (folder / 'crowd' / 'welinder_bluebirds_labels.yaml').read_text()
    rows = []
    for person, body in re.findall(r'(\d+): \{([^}]*)\}', text):
        rows += [(i, person, said) for i, said in re.findall(r'(\d+): (true|false)', body)]
    return truth, Table(rows=rows, names=['item', 'annotator', 'label'])


def test_bluebirds(shared_data):
    truth, votes = bluebirds(shared_data)
    assert (len(truth), len(votes)) == (108, 108 * 39)
    right = {}
    for method in ('majority', 'dawid-skene', 'one-coin'):
        result = labels.consensus(votes, method=method)
        right[method] = np.mean(
            [
                (name == 'true') == truth[i]
                for i, name in zip(result.ids, result.names(), strict=True)
            ]
        )
    assert right['majority'] == pytest.approx(0.759, abs=0.001)
    assert right['dawid-skene'] >= 0.89


def test_faces(shared_data):
    votes = Table.read(shared_data / 'crowd' / 'faces4_answer.csv', format='ascii.csv')
    table = Table.read(shared_data / 'crowd' / 'faces4_truth.csv', format='ascii.csv')
    truth = {str(row['question']): str(row['truth']) for row in table}
    right = {}
    for method in ('majority', 'dawid-skene'):
        result = labels.consensus(
            votes, item='question', annotator='worker', label='answer', method=method
        )
        right[method] = np.mean(
            [name == truth[i] for i, name in zip(result.ids, result.names(), strict=True)]
        )
    # ties go to the first class; dealt out at random they give 0.637
    assert right['majority'] == pytest.approx(0.630, abs=0.001)
    assert right['dawid-skene'] >= 0.65


def vote_table(**changes):
    columns = {
        'item': ['b', 'b', 'a', 'a', 'a', 'c'],
        'annotator': ['x', 'y', 'x', 'y', 'x', 'z'],
        'label': ['point', 'cluster', 'cluster', 'point', 'galaxy', 'unknown'],
    }
    return Table(columns | changes)


@pytest.mark.parametrize('method', ['majority', 'dawid-skene'])
def test_repeated_and_empty_votes_are_counted(method):
    result = labels.consensus(vote_table(), method=method)
    assert result.ids == ('b', 'a', 'c')
    # the second vote of x on a replaces the first
    assert result.votes.tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert result.known.tolist() == [True, True, False]
    assert result.meta['dropped'] == {
        'empty or unknown': 1,
        'repeated by the same annotator': 1,
        'withdrawn by the same annotator': 0,
    }
    assert result.meta['n_votes'] == 4


# what somebody said of one item, one after the other, and which votes are left
@pytest.mark.parametrize(
    ('said', 'votes', 'dropped'),
    [
        (['cluster', 'Unknown'], [0, 0, 0, 0], [1, 0, 1]),
        (['cluster', 'point', 'unknown'], [0, 0, 0, 0], [1, 1, 1]),
        (['cluster', 'unknown', 'point'], [0, 1, 0, 0], [1, 1, 0]),
        (['unknown', 'point'], [0, 1, 0, 0], [1, 0, 0]),
        # where nothing is said nothing is taken back
        (['cluster', ''], [1, 0, 0, 0], [1, 0, 0]),
        (['cluster', 'nan', ''], [1, 0, 0, 0], [2, 0, 0]),
        (['cluster', 'unknown', ''], [0, 0, 0, 0], [2, 0, 1]),
    ],
)
def test_the_last_vote_counts_also_if_it_is_unknown(said, votes, dropped):
    # somebody else, and the same one on another item, have nothing to do with it
    rows = [('a', 'u', 'cluster'), *(('b', 'u', name) for name in said), ('a', 'v', 'unknown')]
    table = Table(rows=rows, names=['item', 'annotator', 'label'])
    result = labels.consensus(table, method='majority')
    assert result.votes.tolist() == [[1, 0, 0, 0], votes]
    dropped[0] += 1
    assert list(result.meta['dropped'].values()) == dropped
    assert result.meta['n_votes'] + sum(dropped) == len(rows)


def as_bytes(table):
    """
    Return a table whose texts are bytes, as astropy reads them from FITS files.
    """
    return Table({name: np.char.encode(table[name], 'utf-8') for name in table.colnames})


@pytest.mark.parametrize('method', ['majority', 'dawid-skene'])
def test_votes_may_be_bytes(method, tmp_path):
    table = vote_table(annotator=['x', 'Zoë', 'x', 'Zoë', 'x', 'z'])
    expected = labels.consensus(table, method=method)
    as_bytes(table).write(tmp_path / 'votes.fits')
    for votes in (as_bytes(table), Table.read(tmp_path / 'votes.fits')):
        assert votes['label'].dtype.kind == 'S'
        found = labels.consensus(votes, method=method)
        assert found.ids == expected.ids == ('b', 'a', 'c')
        assert found.schema == expected.schema
        np.testing.assert_array_equal(found.votes, expected.votes)
        assert found.meta['dropped'] == expected.meta['dropped']
    # names that come from such a column, too
    weight = {b'x': 3, 'Zoë'.encode(): 1}
    heavy = labels.consensus(as_bytes(table), method='weighted', weight=weight)
    np.testing.assert_allclose(heavy.probability[0], [0.25, 0.75, 0, 0])


def test_bytes_that_are_no_text_are_named():
    latin = np.array([b'x', b'Zo\xeb', b'x', b'y', b'x', b'z'])
    words = r"column 'annotator' holds b'Zo\\xeb' in row 2, which is no text in UTF-8; decode"
    with pytest.raises(ValueError, match=words):
        labels.consensus(vote_table(annotator=latin))
    # unless nothing is meant to be there
    hidden = MaskedColumn(np.char.replace(latin, b'x', b'\xeb'), mask=latin == b'x')
    votes = vote_table(label=hidden)
    assert labels.consensus(votes[[0, 2, 3, 5]]).votes.sum() == 2


def test_numbers_that_are_none_are_no_votes():
    for codes in ([0.0, 1.0, np.nan, 1.0, np.nan, 0.0], np.array([0, 1, None, 1, None, 0])):
        result = labels.consensus(vote_table(label=codes), method='majority')
        assert result.schema.n_classes == 2
        assert result.meta['dropped']['empty or unknown'] == 2
    with pytest.raises(ValueError, match="row 2 of the votes has nothing in the column 'item'"):
        labels.consensus(vote_table(item=[1.0, np.nan, 1.0, 1.0, 2.0, 2.0]))


def test_masked_votes_are_left_out():
    label = MaskedColumn(vote_table()['label'], mask=[False, True, False, False, False, False])
    result = labels.consensus(vote_table(label=label))
    assert result.votes[0].tolist() == [0, 1, 0, 0]


def test_weights_tip_the_balance():
    result = labels.consensus(vote_table(), method='weighted', weight={'x': 3})
    np.testing.assert_allclose(result.probability[0], [0.25, 0.75, 0, 0])
    nobody = labels.consensus(vote_table(), method='weighted', weight={'x': 0, 'y': 0})
    assert not nobody.known.any()
    with pytest.raises(ValueError, match='must be finite and not negative'):
        labels.consensus(vote_table(), method='weighted', weight={'x': -1})


def test_a_weight_for_nobody_is_refused():
    words = "1 names that are not among the annotators: 'typo'; there are 'x', 'y', 'z'; correct"
    with pytest.raises(ValueError, match=words):
        labels.consensus(vote_table(), method='weighted', weight={'x': 2, 'typo': 5})
    many = {f'n{k}': 1 for k in range(12)}
    with pytest.raises(ValueError, match=r"12 names .* 'n4' and 7 more; there are 'x'"):
        labels.consensus(vote_table(), method='weighted', weight=many)
    with pytest.raises(ValueError, match="'x'; there are none"):
        labels.consensus(vote_table()[:0], method='weighted', weight={'x': 2})


def test_classes_come_from_the_votes_where_they_are_not_ours():
    result = labels.consensus(vote_table(label=['no', 'yes', 'no', 'no', 'no', 'yes']))
    assert result.schema.classes == ('no', 'yes')
    result = labels.consensus(vote_table(), schema=('point', 'cluster', 'galaxy'))
    assert result.schema.classes == ('point', 'cluster', 'galaxy')
    with pytest.raises(ValueError, match="the first 'cluster' in row 2, column 'label'"):
        labels.consensus(vote_table(), schema=('point', 'galaxy'))
    with pytest.raises(ValueError, match="all votes are for 'star'"):
        labels.consensus(vote_table(label=['star'] * 6))


def test_wrong_tables_are_refused():
    with pytest.raises(KeyError, match='lack the columns who'):
        labels.consensus(vote_table(), annotator='who')
    with pytest.raises(ValueError, match="row 3 of the votes has nothing in the column 'item'"):
        labels.consensus(vote_table(item=['b', 'b', '', 'a', 'a', 'c']))
    with pytest.raises(ValueError, match="'method' must be one of"):
        labels.consensus(vote_table(), method='oracle')
    with pytest.raises(ValueError, match=r'weight.*is for the method'):
        labels.consensus(vote_table(), weight={'x': 1})


def test_no_rows_give_no_labels():
    result = labels.consensus(vote_table()[:0])
    assert len(result) == 0


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_split_keeps_cells_and_objects_together(seed):
    rng = np.random.default_rng(seed)
    dec = np.rad2deg(np.arcsin(rng.uniform(-1, 1, 3000)))
    sky = SkyCoord(rng.uniform(0, 360, 3000), dec, unit='deg')
    objects = np.arange(3000)
    objects[::100] = objects[1::100]  # seen in two places
    part = labels.split_by_sky(sky, cell_size=5 * u.deg, objects=objects, seed=seed)
    shares = np.bincount(part, minlength=3) / 3000
    np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.02)
    for name in np.unique(objects[::100]):
        assert len(set(part[objects == name])) == 1
    np.testing.assert_array_equal(
        part, labels.split_by_sky(sky, cell_size=5 * u.deg, objects=objects, seed=seed)
    )


@pytest.mark.parametrize('nameless', ['', b'', None, np.nan, 'Unknown', 'masked'], ids=repr)
def test_objects_without_a_name_are_not_one_object(nameless):
    # one a cell; the first two are one object, as the next two are
    sky = SkyCoord(np.arange(0, 360, 3.0), np.zeros(120), unit='deg')
    known = [b'A1835', b'A1835 ', b'A2', b'A2'] if nameless == b'' else ['A1', 'A1 ', 'A2', 'A2']
    if nameless == 'masked':
        objects = np.ma.array(known + ['X'] * 116, mask=np.arange(120) >= 4)
    else:
        objects = known + [nameless] * 116
    for seed in range(5):
        part = labels.split_by_sky(sky, objects=objects, fractions=(0.5, 0.5), seed=seed)
        # all nameless ones together would be 116 to 4
        assert np.bincount(part).tolist() == [60, 60]
        assert part[0] == part[1] and part[2] == part[3]
    with pytest.raises(ValueError, match=r"'objects' must have length 120, got shape \(4,\)"):
        labels.split_by_sky(sky, objects=known)


def test_close_positions_never_part():
    rng = np.random.default_rng(3)
    one = SkyCoord(rng.uniform(0, 360, 500), rng.uniform(-80, 80, 500), unit='deg')
    other = one.directional_offset_by(rng.uniform(0, 360, 500) * u.deg, 20 * u.arcsec)
    sky = SkyCoord(np.r_[one.ra.deg, other.ra.deg], np.r_[one.dec.deg, other.dec.deg], unit='deg')
    part = labels.split_by_sky(sky, cell_size=2 * u.deg, separation=30 * u.arcsec)
    np.testing.assert_array_equal(part[:500], part[500:])
    # without the rule some pairs straddle a border of cells, so the test can fail
    apart = labels.split_by_sky(sky, cell_size=1 * u.arcmin)
    assert (apart[:500] != apart[500:]).any()


def test_splits_that_cannot_be_are_refused():
    sky = SkyCoord([1.0, 1.1, 1.2], [0.0, 0.0, 0.0], unit='deg')
    with pytest.raises(ValueError, match='1 groups cannot be divided into 3 parts'):
        labels.split_by_sky(sky, cell_size=10 * u.deg)
    with pytest.raises(ValueError, match='sum to 1'):
        labels.split_by_group([1, 2], fractions=(0.5, 0.6))
    assert set(labels.split_by_group([1, 2, 3], fractions=(0.98, 0.01, 0.01))) == {0, 1, 2}
    assert labels.split_by_group([]).shape == (0,)


def test_kappa_agrees_with_the_textbook_and_scikit_learn():
    # Fleiss (1971), the table of 14 raters, 10 subjects, 5 categories; kappa 0.210
    votes = np.array(
        [
            [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
        ]
    )  # fmt: skip
    assert labels.fleiss_kappa(votes) == pytest.approx(0.210, abs=5e-4)
    metrics = pytest.importorskip('sklearn.metrics')
    rng = np.random.default_rng(1)
    one = rng.integers(0, 4, 200)
    other = np.where(rng.random(200) < 0.6, one, rng.integers(0, 4, 200))
    assert labels.cohen_kappa(one, other) == pytest.approx(metrics.cohen_kappa_score(one, other))


def test_agreement_of_nothing_is_not_a_number():
    assert np.isnan(labels.fleiss_kappa([[1, 0], [0, 1]]))
    assert np.isnan(labels.cohen_kappa([1, 1], [1, 1]))
    with pytest.raises(ValueError, match='same items'):
        labels.cohen_kappa([], [])


def test_rare_classes_are_kept_apart():
    rng = np.random.default_rng(7)
    truth = (rng.random(400) < 0.1).astype(int)
    errors = rng.beta(2, 3, 30)
    item = np.repeat(np.arange(400), 10)
    who = np.concatenate([rng.choice(30, 10, replace=False) for _ in range(400)])
    said = np.where(rng.random(4000) < errors[who], 1 - truth[item], truth[item])
    votes = np.stack([np.bincount(said[item == i], minlength=2) for i in range(400)])
    result = labels.dawid_skene(item, who, said, n_classes=2)
    gain = (result.probability.argmax(1) == truth).mean() - (votes.argmax(1) == truth).mean()
    assert gain > 0.05
    assert result.prior[1] == pytest.approx(0.1, abs=0.05)
