# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measures of agreement: published examples, other implementations, intervals, crowds.
"""

import time

import krippendorff
import numpy as np
import pytest
from astropy.table import Table
from scipy import stats

from clustercnn import labels
from clustercnn.cli import main
from clustercnn.pipeline import measure_agreement

UNKNOWN = -1
# what people said, one a row; a star is no vote. Krippendorff (2011), Computing Krippendorff's
# alpha-reliability, sections A and C; the third is the example of Wikipedia's article
PUBLISHED = {
    'two people, two classes': (('0100000010', '1110010000'), 0.095),
    'four people': (('12332141 2***', '1233224125*3', '*33323422 51*', '123324412 51*'), 0.743),
    'three people': (('*****34 1211 33*3', '1*2133 43*******', '**2134 4*2113 3*4'), 0.691),
}


def counts_of(said, n_classes):
    """
    Return votes by item and class of codes by person and item.
    """
    return np.stack([(np.asarray(said) == k).sum(axis=0) for k in range(n_classes)], axis=1)


@pytest.mark.parametrize('name', PUBLISHED)
def test_alpha_is_that_of_published_examples(name):
    texts, alpha = PUBLISHED[name]
    said = [[UNKNOWN if c == '*' else int(c) for c in text.replace(' ', '')] for text in texts]
    assert labels.krippendorff_alpha(counts_of(said, 6)) == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize('seed', range(5))
def test_alpha_is_that_of_its_library(seed):
    rng = np.random.default_rng(seed)
    votes = rng.integers(0, 5, (40, 3)) * (rng.random((40, 1)) < 0.8)
    theirs = krippendorff.alpha(value_counts=votes[votes.any(1)], level_of_measurement='nominal')
    assert labels.krippendorff_alpha(votes) == pytest.approx(theirs, abs=1e-12)


def simulate(n_items, n_people, seed, *, error=0.25, n_classes=3):
    """
    Return codes by person and item of simulated people.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n_items)
    wrong = rng.random((n_people, n_items)) < error
    return np.where(wrong, rng.integers(0, n_classes, wrong.shape), truth)


MEASURES = {
    'krippendorff': labels.krippendorff_alpha,
    'fleiss': labels.fleiss_kappa,
    'cohen': lambda said: labels.cohen_kappa(*said),
}


def data_for(statistic, said):
    return said[:2] if statistic == 'cohen' else counts_of(said, 3)


@pytest.mark.parametrize('statistic', MEASURES)
def test_interval_is_that_of_scipy(statistic):
    said = simulate(60, 4, 1)

    def measure(rows):
        return MEASURES[statistic](data_for(statistic, said[:, rows]))

    theirs = stats.bootstrap(
        (np.arange(60),),
        measure,
        vectorized=False,
        n_resamples=2000,
        method='percentile',
        random_state=np.random.default_rng(2),
    ).confidence_interval
    ours = labels.agreement_interval(
        data_for(statistic, said), statistic=statistic, n_resamples=2000
    )
    # 2000 samples know their percentiles to some 5 % of the width
    np.testing.assert_allclose(ours, theirs, atol=0.1 * (theirs[1] - theirs[0]))


@pytest.mark.parametrize('statistic', MEASURES)
def test_intervals_hold_the_truth_as_often_as_they_say(statistic):
    truth = MEASURES[statistic](data_for(statistic, simulate(200_000, 4, 99)))
    hits = []
    for seed in range(300):
        low, high = labels.agreement_interval(
            data_for(statistic, simulate(100, 4, seed)),
            statistic=statistic,
            n_resamples=400,
            seed=seed,
        )
        hits.append(low <= truth <= high)
    # three sigma of 300 trials at 0.95
    assert abs(np.mean(hits) - 0.95) < 0.038


def test_a_hundred_thousand_items_take_no_longer():
    votes = counts_of(simulate(100_000, 10, 3), 3)
    start = time.process_time()
    low, high = labels.agreement_interval(votes)
    assert time.process_time() - start < 5
    assert low < labels.krippendorff_alpha(votes) < high


def test_the_seed_decides():
    votes = counts_of(simulate(50, 3, 4), 3)
    one, same, other = (labels.agreement_interval(votes, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_unknown_votes_do_not_count():
    one, other = [0, 0, 1, 1, -1, 0], [0, 1, 1, 1, 0, -1]
    assert labels.cohen_kappa(one, other) == pytest.approx(0.5)
    names = np.array(['a', 'b', 'unknown'])
    assert labels.cohen_kappa(names[one], names[other]) == pytest.approx(0.5)
    blank = np.array(['a', 'b', ''])
    assert labels.cohen_kappa(blank[one], blank[other]) == pytest.approx(0.5)
    hidden = np.ma.masked_equal(np.abs(one) + 2 * (np.array(one) < 0), 3)
    assert labels.cohen_kappa(hidden, np.abs(other)[: len(one)]) == pytest.approx(
        labels.cohen_kappa([0, 0, 1, 1, 0], [0, 1, 1, 1, 1])
    )
    assert np.isnan(labels.cohen_kappa([-1, 0], [0, -1]))


# three of eight items are known to neither
ONE = ['a', 'a', 'b', 'b', 'a', None, None, None]
OTHER = ['a', 'a', 'b', 'a', 'a', None, None, None]
KAPPA = 0.545


@pytest.mark.parametrize('silence', ['unknown', 'Unknown', 'UNKNOWN', 'nan', 'NaN', '', ' ', None])
@pytest.mark.parametrize('kind', [list, np.array, 'bytes'])
def test_what_says_nothing_is_no_agreement(silence, kind):
    both = [[silence if name is None else name for name in names] for names in (ONE, OTHER)]
    if kind == 'bytes':
        both = [np.array([(name or '').encode() for name in names]) for names in both]
    else:
        both = [kind(names) for names in both]
    assert labels.cohen_kappa(*both) == pytest.approx(KAPPA, abs=5e-4)
    low, high = labels.agreement_interval(both, statistic='cohen')
    assert low < KAPPA < high
    # the same table for all measures
    votes = Table(
        {
            'item': [*range(8)] * 2,
            'annotator': ['x'] * 8 + ['y'] * 8,
            'label': [name or '' for name in np.concatenate(both)],
        }
    )
    pairs = labels.pairwise_agreement(votes)
    assert pairs['n_items'].tolist() == [5]
    assert pairs['kappa'][0] == pytest.approx(KAPPA, abs=5e-4)
    found = measure_agreement(votes)
    assert found['n_votes'] == 10
    assert found['cohen_kappa'] == pytest.approx(KAPPA, abs=5e-4)


def test_codes_that_are_no_numbers_are_unknown():
    one, other = ([{'a': 0, 'b': 1, None: None}[name] for name in names] for names in (ONE, OTHER))
    assert labels.cohen_kappa(one, other) == pytest.approx(KAPPA, abs=5e-4)
    for hole in (np.nan, -1):
        codes = [np.array([hole if c is None else c for c in said], float) for said in (one, other)]
        assert labels.cohen_kappa(*codes) == pytest.approx(KAPPA, abs=5e-4)
        # whole numbers and others are the same classes
        assert labels.cohen_kappa(codes[0], other) == pytest.approx(KAPPA, abs=5e-4)


def test_pairs_take_what_was_said_last():
    said = [('x', 'cluster'), ('x', 'unknown'), ('y', 'cluster'), ('y', '')]
    rows = [(item, person, name) for item in range(6) for person, name in said]
    rows += [(item, 'z', 'cluster') for item in range(6)]
    votes = Table(rows=rows, names=['item', 'annotator', 'label'])
    pairs = labels.pairwise_agreement(votes)
    # x has taken back every vote, y none
    assert pairs.meta == {'n_annotators': 2, 'n_compared': 2}
    assert list(zip(pairs['one'], pairs['other'], strict=True)) == [('y', 'z')]


@pytest.mark.parametrize('votes', [[[1, 0], [0, 1]], [[3, 0], [2, 0]], np.zeros((0, 3))])
def test_where_there_is_nothing_to_compare_it_is_not_a_number(votes):
    assert np.isnan(labels.krippendorff_alpha(votes))
    assert np.isnan(labels.agreement_interval(votes)).all()


@pytest.mark.parametrize(
    ('votes', 'options', 'message'),
    [
        ([1, 2], {}, '2 dimensions'),
        ([[1, -1]], {}, 'not negative'),
        ([[1, np.nan]], {}, 'finite'),
        ([[1, 1]], {'statistic': 'kappa'}, "'statistic' must be one of"),
        ([[1, 1]], {'confidence': 95}, "'confidence' must be a number above 0 and below 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(votes, options, message):
    with pytest.raises(ValueError, match=message):
        labels.agreement_interval(votes, **options)


def table_of(said, n_people=None):
    """
    Return votes, one a row, of codes by person and item.
    """
    who, item = np.nonzero(np.asarray(said) != UNKNOWN)
    names = np.array(['cluster', 'point', 'galaxy'])[np.asarray(said)[who, item]]
    return Table({'item': item, 'annotator': who, 'label': names})


def test_pairs_are_those_with_most_in_common():
    said = simulate(40, 4, 6)
    said[1, 30:] = said[2, 10:] = said[3, 3:] = UNKNOWN
    votes = table_of(said)
    # said again, and not known
    votes.add_row((0, 0, 'galaxy'))
    votes.add_row((39, 1, 'unknown'))
    pairs = labels.pairwise_agreement(votes, least_in_common=5)
    assert list(zip(pairs['one'], pairs['other'], strict=True)) == [
        ('0', '1'), ('0', '2'), ('1', '2'),
    ]  # fmt: skip
    assert pairs['n_items'].tolist() == [30, 10, 10]
    said[0, 0] = 2
    for row in pairs:
        one, other = said[int(row['one'])], said[int(row['other'])]
        assert row['kappa'] == pytest.approx(labels.cohen_kappa(one, other))
        assert row['low'] <= row['kappa'] <= row['high']
    assert pairs.meta == {'n_annotators': 4, 'n_compared': 4}
    two = labels.pairwise_agreement(votes, most_annotators=2)
    assert (len(two), two.meta['n_compared']) == (1, 2)
    assert len(labels.pairwise_agreement(votes[:0])) == 0


def test_agreement_of_thousands_of_volunteers_is_quick():
    rng = np.random.default_rng(8)
    n_items, n_people, n_votes = 20_000, 5000, 200_000
    truth = rng.integers(0, 3, n_items)
    item, who = rng.integers(0, n_items, n_votes), rng.integers(0, n_people, n_votes)
    said = np.where(rng.random(n_votes) < 0.3, rng.integers(0, 3, n_votes), truth[item])
    votes = Table({'item': item, 'annotator': who, 'label': np.array(list('abc'))[said]})
    start = time.process_time()
    found = measure_agreement(votes)
    assert time.process_time() - start < 20
    assert (found['n_annotators'], found['n_compared']) == (n_people, 50)
    # two people are both right with 0.8 squared, or say the same by chance: alpha is 0.7 squared
    low, high = found['krippendorff_alpha_interval']
    assert low < 0.49 < high
    assert high - low < 0.02


def test_the_command_tells_all_measures(tmp_path, capsys):
    path = tmp_path / 'votes.csv'
    table_of(simulate(80, 2, 9)).write(path)
    assert main(['labels', 'agreement', str(path), '--seed', '3']) == 0
    told = capsys.readouterr().out
    found = measure_agreement(path, seed=3)
    for name, words in (
        ('krippendorff_alpha', "Krippendorff's alpha"),
        ('fleiss_kappa', "Fleiss' kappa"),
        ('cohen_kappa', "Cohen's kappa"),
    ):
        low, high = found[f'{name}_interval']
        assert f'{words} {found[name]:.3f} [{low:.3f}, {high:.3f}]' in told
    table_of(simulate(80, 60, 9)).write(path, overwrite=True)
    assert main(['labels', 'agreement', str(path)]) == 0
    told = capsys.readouterr().out
    assert 'the mean of 1225 pairs' in told
    assert 'only the 50 with most votes were compared' in told
