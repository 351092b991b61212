# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The order of the rows of a table of votes is no matter.
"""

import numpy as np
import pytest
from astropy.table import Table

from clustercnn import LabelSet
from clustercnn.labels import consensus, pairwise_agreement

CLASSES = ('a', 'b', 'c')


def crowd(seed, *, n_items=60, n_people=20, n_votes=3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n_items)
    right = rng.uniform(0.4, 0.9, n_people)
    item = np.repeat(np.arange(n_items), n_votes)
    who = np.concatenate([rng.choice(n_people, n_votes, replace=False) for _ in range(n_items)])
    wrong = (truth[item] + rng.integers(1, 3, len(item))) % 3
    said = np.where(rng.random(len(item)) < right[who], truth[item], wrong)
    votes = Table({'item': item, 'annotator': who, 'label': np.array(CLASSES)[said]})
    return votes, np.array(CLASSES)[truth]


def assert_same(votes, seed, **options):
    before = consensus(votes, schema=CLASSES, **options)
    shuffled = votes[np.random.default_rng(seed).permutation(len(votes))]
    after = consensus(shuffled, schema=CLASSES, **options)
    # items stay in the order of their first vote
    assert after.ids == tuple(dict.fromkeys(map(str, shuffled['item'])))
    after = after.select(before.ids)
    np.testing.assert_array_equal(after.votes, before.votes)
    np.testing.assert_allclose(after.probability, before.probability, atol=1e-6)


@pytest.mark.parametrize('method', ['dawid-skene', 'one-coin', 'difficulty'])
def test_known_items_are_held_out_whatever_the_order(method):
    votes, truth = crowd(5)
    known = LabelSet.from_labels(list(map(str, range(15))), truth[:15], schema=CLASSES)
    for seed in range(3):
        assert_same(votes, seed, method=method, truth=known)


def test_votes_are_held_back_whatever_the_order():
    # in some of these crowds it is a near thing which way to count the votes
    for seed in range(12):
        votes, _ = crowd(seed, n_items=200, n_people=40, n_votes=5)
        assert_same(votes, seed)


def test_the_same_people_are_compared_whatever_the_order():
    # all have voted as often
    votes, _ = crowd(3, n_items=30, n_people=12, n_votes=12)
    found = pairwise_agreement(votes, most_annotators=5)
    shuffled = votes[np.random.default_rng(1).permutation(len(votes))]
    for name in ('one', 'other', 'kappa', 'low', 'high'):
        assert pairwise_agreement(shuffled, most_annotators=5)[name].tolist() == (
            found[name].tolist()
        )
