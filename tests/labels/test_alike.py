# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How alike annotators are taken to be.
"""

import numpy as np
import pytest

from clustercnn.labels import dawid_skene


def test_people_who_click_at_random_are_not_taken_for_like_the_others():
    gains = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 4, 500)
        item = np.repeat(np.arange(500), 5)
        annotator = np.concatenate([rng.permutation(40)[:5] for _ in range(500)])
        # three in five guess, the others are right nine times in ten
        guesses = annotator < 24
        right = rng.random(len(item)) < np.where(guesses, 0.25, 0.9)
        label = np.where(right, truth[item], (truth[item] + rng.integers(1, 4, len(item))) % 4)
        votes = np.zeros((500, 4))
        np.add.at(votes, (item, label), 1)
        leading = votes == votes.max(axis=1, keepdims=True)
        majority = (leading[np.arange(500), truth] / leading.sum(axis=1)).mean()
        found = dawid_skene(item, annotator, label, n_classes=4)
        gains.append((found.probability.argmax(axis=1) == truth).mean() - majority)
    assert min(gains) > 0.05


def test_people_of_one_vote_each_count_alike():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 200)
    item = np.repeat(np.arange(200), 3)
    label = np.where(rng.random(600) < 0.75, truth[item], 1 - truth[item])
    found = dawid_skene(item, np.arange(600), label, n_classes=2)
    majority = np.bincount(item, label, 200) > 1.5
    np.testing.assert_array_equal(found.probability.argmax(axis=1), majority)


@pytest.mark.parametrize('n_classes', [2, 4])
def test_the_only_vote_on_an_item_is_believed(n_classes):
    label = np.arange(40) % n_classes
    found = dawid_skene(np.arange(40), np.zeros(40, int), label, n_classes=n_classes)
    own = found.probability[np.arange(40), label]
    assert own.min() > 0.5


def test_iterations_are_as_many_as_asked_for():
    rng = np.random.default_rng(2)
    item, label = np.repeat(np.arange(100), 3), rng.integers(0, 2, 300)
    found = dawid_skene(item, np.arange(300), label, n_classes=2, n_iterations=2)
    assert found.n_iterations <= 2


def crowd_with_idle_people(seed, n_idle, *, share, n_items=300):
    """
    Twenty people who are right in 80 %, and others who always say the first class.
    """
    rng = np.random.default_rng(seed)
    truth = (rng.random(n_items) < share).astype(int)
    n_votes = np.where(np.arange(n_items) < 60, 1, 5)
    item = np.repeat(np.arange(n_items), n_votes)
    who = np.concatenate([rng.choice(20 + n_idle, n, replace=False) for n in n_votes])
    right = rng.random(len(item)) < 0.8
    label = np.where(who < 20, np.where(right, truth[item], 1 - truth[item]), 0)
    return truth, item, who, label


@pytest.mark.parametrize(('n_idle', 'share'), [(10, 0.3), (20, 0.3), (20, 0.8)])
def test_the_coin_does_not_believe_those_who_always_say_the_same(n_idle, share):
    gains, alone = [], []
    for seed in range(3):
        truth, item, who, label = crowd_with_idle_people(seed, n_idle, share=share)
        found = dawid_skene(item, who, label, n_classes=2, model='one-coin')
        votes = np.zeros((len(truth), 2))
        np.add.at(votes, (item, label), 1)
        majority = np.where(votes[:, 0] == votes[:, 1], 0.5, votes.argmax(axis=1) == truth).mean()
        gains.append((found.probability.argmax(axis=1) == truth).mean() - majority)
        # of items with one vote, by somebody who does not always say the same
        single = np.isin(item, np.flatnonzero(votes.sum(axis=1) == 1)) & (who < 20)
        alone.append((found.probability.argmax(axis=1)[item] == label)[single].mean())
        np.testing.assert_allclose(found.confusion[20:, 0], found.confusion[20:, 1])
        assert found.confusion[20:, :, 0].min() > 0.9
        np.testing.assert_allclose(found.confusion.sum(axis=2), 1)
        assert np.isfinite(found.confusion_std).all()
    assert np.mean(gains) > 0.02
    assert np.mean(alone) > 0.9 if share < 0.5 else np.mean(alone) > 0.7


@pytest.mark.parametrize('model', ['full', 'one-coin', 'difficulty'])
@pytest.mark.parametrize(
    ('n_idle', 'share'), [(20, 0.3), (40, 0.3), (40, 0.5), (40, 0.7), (20, 0.8), (40, 0.8)]
)
def test_votes_of_those_who_always_say_the_same_are_no_evidence(n_idle, share, model):
    found, majority, best = [], [], []
    for seed in range(4):
        truth, item, who, label = crowd_with_idle_people(seed, n_idle, share=share)
        result = dawid_skene(item, who, label, n_classes=2, model=model)
        votes, telling = np.zeros((2, len(truth), 2))
        np.add.at(votes, (item, label), 1)
        np.add.at(telling, (item[who < 20], label[who < 20]), 1)
        odds = np.log([1 - share, share]) + telling @ np.log([[0.8, 0.2], [0.2, 0.8]])
        found.append((result.probability.argmax(axis=1) == truth).mean())
        best.append((odds.argmax(axis=1) == truth).mean())
        majority.append(
            np.where(votes[:, 0] == votes[:, 1], 0.5, votes.argmax(axis=1) == truth).mean()
        )
    assert np.mean(found) > np.mean(majority) + 0.03
    # who knows who is idle, how good the others are and how frequent classes are is hardly better
    assert np.mean(found) > np.mean(best) - 0.04


@pytest.mark.parametrize('model', ['full', 'one-coin'])
@pytest.mark.parametrize(('share', 'right'), [(0.03, 0.95), (0.05, 0.9), (0.03, 0.85)])
def test_people_who_saw_the_common_class_only_are_believed(share, right, model):
    rng = np.random.default_rng(6)
    truth = (rng.random(300) < share).astype(int)
    item = np.repeat(np.arange(300), 5)
    who = np.concatenate([rng.choice(100, 5, replace=False) for _ in range(300)])
    label = np.where(rng.random(1500) < right, truth[item], 1 - truth[item])
    said = np.bincount(who * 2 + label, minlength=200).reshape(100, 2)
    always = (said.max(axis=1) == said.sum(axis=1)) & (said.sum(axis=1) >= 5)
    assert always.sum() > 5
    found = dawid_skene(item, who, label, n_classes=2, model=model)
    # those who were set apart would have two equal rows
    assert (np.abs(found.confusion[always, 0, 0] - found.confusion[always, 1, 0]) > 0.1).all()
    assert (found.probability.argmax(axis=1) == truth).mean() > 0.96


def test_careful_people_are_not_set_apart_for_a_rare_class():
    rng = np.random.default_rng(4)
    truth = (rng.random(300) < 0.03).astype(int)
    item = np.repeat(np.arange(300), 5)
    who = np.concatenate([rng.choice(100, 5, replace=False) for _ in range(300)])
    label = np.where(rng.random(1500) < 0.95, truth[item], 1 - truth[item])
    found = dawid_skene(item, who, label, n_classes=2, model='one-coin')
    # many have said the first class only
    share = np.bincount(who, label) / np.bincount(who)
    assert (share == 0).sum() > 20
    assert (np.abs(found.confusion[:, 0, 0] - found.confusion[:, 1, 1]) < 1e-12).all()
    assert (found.probability.argmax(axis=1) == truth).mean() > 0.98
