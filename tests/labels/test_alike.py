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
