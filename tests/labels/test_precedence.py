# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which of several labels has the say, and which contradict each other.
"""

import time

import numpy as np
import pytest

from clustercnn import LabelSet
from clustercnn.labels import combine_labels

SPECTRA = LabelSet.from_labels(['a', 'b', 'c'], ['cluster', 'unknown', 'point'])
EXPERTS = LabelSet.from_labels(['b', 'c', 'd'], ['galaxy', 'cluster', 'other'], weight=[2, 2, 2])
CROWD = LabelSet.from_votes(
    ['a', 'd', 'e', 'f'], [[3, 7, 0, 0], [5, 5, 0, 0], [9, 1, 0, 0], [0] * 4]
)
ALL = {'spectroscopy': SPECTRA, 'expert': EXPERTS, 'crowd': CROWD}


def test_the_first_source_that_knows_an_item_has_the_say():
    labels, conflicts = combine_labels(ALL, on_conflict='first')
    assert labels.ids == ('a', 'b', 'c', 'd', 'e', 'f')
    assert labels.names() == ['cluster', 'galaxy', 'point', 'other', 'cluster', 'unknown']
    assert labels.source == (
        'spectroscopy',
        'expert',
        'spectroscopy',
        'expert',
        'crowd',
        'unknown',
    )
    assert labels.weight.tolist() == [1, 2, 1, 2, 1, 1]
    np.testing.assert_array_equal(labels.votes[4], [9, 1, 0, 0])
    np.testing.assert_array_equal(labels.votes[3], 0)
    # a tie of the crowd says nothing against the expert
    assert sorted(zip(conflicts['id'], conflicts['other_source'], strict=True)) == [
        ('a', 'crowd'),
        ('c', 'expert'),
    ]
    assert conflicts['other_probability'][conflicts['id'] == 'a'] == pytest.approx(0.7)


def test_contradictions_are_a_state_of_their_own():
    labels, conflicts = combine_labels(ALL)
    assert labels.names() == ['unknown', 'galaxy', 'unknown', 'other', 'cluster', 'unknown']
    assert labels.source[0] == labels.source[2] == 'conflict'
    assert labels.meta['sources'] == {
        'spectroscopy': 0,
        'expert': 2,
        'crowd': 1,
        'conflict': 2,
        'unknown': 1,
    }
    assert len(conflicts) == labels.meta['n_contradictions'] == 2
    # nothing is counted twice or lost
    assert sum(labels.meta['sources'].values()) == len(labels) == 6


def soft(*rows):
    """
    Return labels of the items a, b, ... with these probabilities, unknown where there are none.
    """
    probability = [[np.nan] * 4 if row is None else row for row in rows]
    return LabelSet(ids=tuple('abcdefgh')[: len(rows)], probability=probability)


def test_sources_contradict_each_other_whichever_has_the_say():
    cluster, point, galaxy = np.eye(4)[:3]
    unsure = [0.4, 0.3, 0.2, 0.1]
    sources = {
        'spectroscopy': soft(unsure, cluster, cluster, unsure, None, cluster),
        'expert': soft(cluster, cluster, point, cluster, cluster, unsure),
        'crowd': soft(point, point, galaxy, cluster, unsure, point),
    }
    labels, conflicts = combine_labels(sources)
    pairs = [('spectroscopy', 'expert'), ('spectroscopy', 'crowd'), ('expert', 'crowd')]
    found = list(zip(*(conflicts[name] for name in conflicts.colnames[:5]), strict=True))
    assert found == [
        ('a', 'expert', 'cluster', 'crowd', 'point'),
        ('b', 'spectroscopy', 'cluster', 'crowd', 'point'),
        ('b', 'expert', 'cluster', 'crowd', 'point'),
        *(
            ('c', one, said, other, too)
            for (one, other), (said, too) in zip(
                pairs,
                [('cluster', 'point'), ('cluster', 'galaxy'), ('point', 'galaxy')],
                strict=True,
            )
        ),
        ('f', 'spectroscopy', 'cluster', 'crowd', 'point'),
    ]
    assert conflicts.colnames[5:] == ['probability', 'other_probability']
    assert set(conflicts['probability']) == set(conflicts['other_probability']) == {1.0}
    assert labels.source == ('conflict',) * 3 + ('spectroscopy', 'expert', 'conflict')
    # the first source has the say where asked, certain or not
    labels, same = combine_labels(sources, on_conflict='first')
    assert len(same) == len(conflicts) == labels.meta['n_contradictions'] == 7
    assert labels.source[:4] == ('spectroscopy',) * 4
    np.testing.assert_allclose(labels.probability[0], unsure, rtol=1e-6)
    # the same two alone
    del sources['spectroscopy']
    assert combine_labels(sources)[1]['id'].tolist() == ['a', 'b', 'c']


def test_a_hundred_thousand_items_are_compared_quickly():
    rng = np.random.default_rng(5)
    ids = np.arange(100_000).astype(str)
    codes = rng.integers(-1, 4, (4, len(ids)))
    sets = {f's{k}': LabelSet.from_codes(ids, codes[k]) for k in range(4)}
    start = time.process_time()
    labels, conflicts = combine_labels(sets)
    assert time.process_time() - start < 10
    both = (codes[:, None] >= 0) & (codes[None] >= 0) & (codes[:, None] != codes[None])
    assert len(conflicts) == both.sum() // 2
    assert labels.meta['sources']['conflict'] == both.any(axis=(0, 1)).sum()


def test_what_counts_as_certain_can_be_set():
    labels, conflicts = combine_labels(ALL, certain=0.8)
    assert conflicts['id'].tolist() == ['c']
    assert labels.names()[0] == 'cluster'
    # as many as that are not more, also in single precision
    pair = {'crowd': soft([0.2, 0.8, 0, 0]), 'expert': soft([1, 0, 0, 0])}
    assert not len(combine_labels(pair, certain=0.8)[1])
    assert len(combine_labels(pair, certain=0.79)[1]) == 1


def test_another_order_is_another_rule():
    labels, _ = combine_labels({'crowd': CROWD, 'spectroscopy': SPECTRA}, on_conflict='first')
    assert labels.names()[0] == 'point'
    assert labels.ids == ('a', 'd', 'e', 'f', 'b', 'c')


def test_without_votes_there_are_none_and_without_contradictions_no_rows():
    labels, conflicts = combine_labels({'expert': EXPERTS})
    assert labels.votes is None
    assert len(conflicts) == 0
    assert 'other_label' in conflicts.colnames


def test_what_cannot_be_combined_is_refused():
    other = LabelSet.from_labels(['a'], ['star'], schema=('star', 'cloud'))
    with pytest.raises(ValueError, match="labels of 'expert' have the classes star, cloud"):
        combine_labels({'crowd': CROWD, 'expert': other})
    with pytest.raises(ValueError, match='no labels to combine'):
        combine_labels({})
    with pytest.raises(ValueError, match="'conflict' is a state"):
        combine_labels({'conflict': CROWD})
    with pytest.raises(ValueError, match="'on_conflict' must be"):
        combine_labels(ALL, on_conflict='mean')
    with pytest.raises(ValueError, match="'certain' must lie"):
        combine_labels(ALL, certain=0.2)
