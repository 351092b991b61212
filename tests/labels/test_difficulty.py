# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Items that divide the crowd are less certain, and nobody is taken for an average too early.
"""

import numpy as np
import pytest
from astropy.table import Table

from clustercnn import LabelSet, evaluation, labels
from clustercnn.labels._difficulty import SCALES, judge_items, log_evidence


def shifted_crowd(seed, *, scale, n_items=300, n_people=30, n_votes=10, error=0.2):
    """
    Return truth and votes of a simulated crowd of equals whose items shift the odds.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n_items)
    odds = np.log(1 / error - 1) + rng.normal(0, scale * np.sqrt(2), n_items)
    item = np.repeat(np.arange(n_items), n_votes)
    who = np.concatenate([rng.choice(n_people, n_votes, replace=False) for _ in range(n_items)])
    right = rng.random(len(item)) < 1 / (1 + np.exp(-odds[item]))
    return truth, item, who, np.where(right, truth[item], 1 - truth[item]), odds


@pytest.mark.parametrize('n_votes', [1, 3, 30])
def test_evidence_is_the_integral_over_the_shift(n_votes):
    # of two classes only the difference of the shifts counts, normal of sqrt(2) times the scale
    rng = np.random.default_rng(n_votes)
    matrices = rng.dirichlet([3.0, 1.5], (n_votes, 2))
    matrices[:, 1] = matrices[:, 1, ::-1]
    said = rng.integers(0, 2, n_votes)
    found = log_evidence(np.zeros(n_votes, int), said, np.log(matrices), n_items=1)[:, 0]
    nodes = np.linspace(-9, 9, 4001)
    for number, scale in enumerate(SCALES):
        shift = np.exp(np.sqrt(2) * scale * nodes)[:, None]
        for true in range(2):
            first = matrices[:, true, 0] * shift
            share = first / (first + matrices[:, true, 1])
            likelihood = np.where(said == 0, share, 1 - share).prod(axis=1)
            exact = np.trapezoid(likelihood * np.exp(-(nodes**2) / 2), nodes) / np.sqrt(2 * np.pi)
            # Laplace's approximation is within 12 % even where all is skewed
            assert found[number, true] == pytest.approx(np.log(exact), abs=0.12)


def test_hard_items_are_less_certain_and_are_told():
    before, after, hits, sizes, told = [], [], [], [], []
    for seed in range(5):
        truth, item, who, said, odds = shifted_crowd(seed, scale=1.0)
        full = labels.dawid_skene(item, who, said, n_classes=2)
        result = labels.dawid_skene(item, who, said, n_classes=2, model='difficulty')
        before.append(full.probability.max(axis=1))
        after.append(result.probability.max(axis=1))
        hits.append([r.probability.argmax(axis=1) == truth for r in (full, result)])
        sizes.append(np.abs(odds - np.log(4)))
        told.append(result.difficulty)
        np.testing.assert_array_equal(full.confusion, result.confusion)
        assert full.difficulty is None
    hits = np.concatenate(hits, axis=1)
    error = evaluation.expected_calibration_error
    raw, better = (error(np.concatenate(p), h) for p, h in zip((before, after), hits, strict=True))
    assert raw > 0.1
    assert better < raw / 2
    assert hits[1].mean() > hits[0].mean() - 0.01
    assert np.corrcoef(np.concatenate(told), np.concatenate(sizes))[0, 1] > 0.3


def test_an_even_crowd_stays_certain():
    truth, item, who, said, _ = shifted_crowd(1, scale=0.0)
    full = labels.dawid_skene(item, who, said, n_classes=2)
    result = labels.dawid_skene(item, who, said, n_classes=2, model='difficulty')
    assert result.difficulty.max() < 1.0
    assert np.abs(full.probability - result.probability).mean() < 0.03
    right = [(r.probability.argmax(axis=1) == truth).mean() for r in (full, result)]
    assert right[1] >= right[0] - 0.01 > 0.95


def test_evidence_is_bounded_where_items_mislead():
    # one more item, on which a thousand agree
    _, item, who, said, _ = shifted_crowd(2, scale=1.0)
    item = np.r_[item, np.full(1000, 300)]
    who, said = np.r_[who, 30 + np.arange(1000)], np.r_[said, np.zeros(1000, int)]
    full = labels.dawid_skene(item, who, said, n_classes=2)
    result = labels.dawid_skene(item, who, said, n_classes=2, model='difficulty')
    assert full.probability[300, 0] > 1 - 1e-12
    # shifts of 1.4 of the odds take a sixth of the items past the border
    assert 0.5 < result.probability[300, 0] < 0.99


def test_known_items_tell_that_others_mislead():
    # a quarter of the items look to all as the other class does
    truth = np.arange(200) % 2
    looks = np.where(np.arange(200) % 4 < 1, 1 - truth, truth)
    item, who = np.repeat(np.arange(200), 8), np.tile(np.arange(8), 200)
    wrong = np.random.default_rng(1).random(1600) < 0.1
    said = np.where(wrong, 1 - looks[item], looks[item])
    matrices = np.tile([[0.9, 0.1], [0.1, 0.9]], (8, 1, 1))
    known = np.where(np.arange(200) < 80, truth, -1)
    options = {'confusion': matrices, 'prior': np.array([0.5, 0.5]), 'n_items': 200}
    blind, _ = judge_items(item, who, said, **options)
    told, _ = judge_items(item, who, said, truth=known, **options)
    assert np.median(blind[80:].max(axis=1)) > 0.97
    assert np.median(told[80:].max(axis=1)) < 0.9
    np.testing.assert_allclose(told[:80], np.eye(2)[truth[:80]], atol=1e-12)


def test_items_without_votes_and_no_votes_at_all():
    result = labels.dawid_skene([0, 2], [0, 1], [0, 1], n_classes=2, n_items=4, model='difficulty')
    assert np.isnan(result.probability[[1, 3]]).all()
    assert np.isnan(result.difficulty).tolist() == [False, True, False, True]
    empty = labels.dawid_skene([], [], [], n_classes=2, n_items=1, model='difficulty')
    assert np.isnan(empty.difficulty).all()


def test_parts_of_many_votes_are_those_of_all(monkeypatch):
    _, item, who, said, _ = shifted_crowd(3, scale=1.0, n_items=60)
    whole = labels.dawid_skene(item, who, said, n_classes=2, model='difficulty')
    monkeypatch.setattr('clustercnn.labels._difficulty._VOTES_AT_A_TIME', 70)
    parts = labels.dawid_skene(item, who, said, n_classes=2, model='difficulty')
    np.testing.assert_allclose(parts.probability, whole.probability, rtol=1e-6)


def test_difficulty_is_a_method_of_the_consensus():
    truth, item, who, said, _ = shifted_crowd(4, scale=1.0)
    names = np.array(['cluster', 'point'])
    votes = Table({'item': item, 'annotator': who, 'label': names[said]})
    schema = tuple(names)
    result = labels.consensus(votes, method='difficulty', schema=schema)
    np.testing.assert_allclose(
        result.soft(),
        labels.dawid_skene(item, who, said, n_classes=2, model='difficulty').probability,
        rtol=1e-5,
    )
    known = LabelSet.from_labels([str(k) for k in range(60)], names[truth[:60]], schema=schema)
    # the model has a correlation of its own, until known items say otherwise
    assert 'correlation' not in result.meta
    anchored = labels.consensus(votes, method='difficulty', schema=schema, truth=known)
    np.testing.assert_array_equal(anchored.select(known.ids).soft(), known.soft())
    assert 0 < anchored.meta['correlation'] < 1


def uneven_crowd(seed, *, n_items=400, n_people=100, n_votes=10):
    """
    Return truth, matrices and votes of a simulated crowd of which most are nearly guessing.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n_items)
    error = rng.beta(6 * 0.4, 6 * 0.6, n_people)
    matrices = np.stack([[1 - error, error], [error, 1 - error]]).transpose(2, 0, 1)
    item = np.repeat(np.arange(n_items), n_votes)
    who = np.concatenate([rng.choice(n_people, n_votes, replace=False) for _ in range(n_items)])
    said = np.where(rng.random(len(item)) < error[who], 1 - truth[item], truth[item])
    return truth, matrices, item, who, said


def test_who_is_better_is_found_where_most_are_guessing():
    right, gain, pulls = [], [], []
    for seed in range(12):
        truth, matrices, item, who, said = uneven_crowd(seed)
        result = labels.dawid_skene(item, who, said, n_classes=2)
        majority = np.bincount(item, said) > 5
        right.append((result.probability.argmax(axis=1) == truth).mean())
        gain.append(right[-1] - (majority == truth).mean())
        pulls.append((result.confusion - matrices) / result.confusion_std)
    # with all taken for equals at first, a quarter of these crowds ended below the majority
    assert min(gain) > 0.05
    assert np.mean(right) > 0.88
    assert 0.8 < np.sqrt(np.mean(np.square(pulls))) < 1.25


def test_a_doubtful_class_widens_the_errors():
    truth, _, item, who, said = uneven_crowd(3)
    errors = []
    for known in (truth, np.full(len(truth), -1)):
        for model in ('full', 'one-coin'):
            result = labels.dawid_skene(
                item, who, said, n_classes=2, truth=known, model=model, prior_strength=4.0
            )
            errors.append(result.confusion_std.mean())
    assert errors[2] > 1.02 * errors[0]
    assert errors[3] > 1.02 * errors[1]
