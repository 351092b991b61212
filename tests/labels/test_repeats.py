# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Of several votes of one person on an item the latest counts, whatever the order of the rows.
"""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from astropy.time import Time

from clustercnn.cli import main
from clustercnn.labels import consensus, pairwise_agreement
from clustercnn.pipeline import label_votes, measure_agreement

TIMES = ['2026-03-01T10:00:00.5', '2026-03-01T10:00:00.25', '2026-01-01T00:00:00']


def votes_at(times, name='when'):
    table = Table({'item': ['a'] * 3, 'annotator': ['ann', 'ann', 'bob']})
    table['label'] = ['cluster', 'point', 'cluster']
    table[name] = times
    return table


@pytest.mark.parametrize(
    'times',
    [
        TIMES,
        [time.replace('T', ' ') + ' UTC' for time in TIMES],
        [f'{time}Z' for time in TIMES],
        ['2026-03-01 12:00:00.5 +0200', '2026-03-01 12:00:00.25+02:00', ''],
        [time.encode() for time in TIMES],
        Time(TIMES),
        np.array(TIMES, 'M8[ms]'),
        Time(TIMES).mjd,
        [2, 1, 0],
        ['10', '9', ''],
        [2.5, 2.25, np.nan],
        MaskedColumn(['10', '9', 'x'], mask=[False, False, True]),
        # more digits than a float has
        [1_700_000_000_000_000_001, 1_700_000_000_000_000_000, 0],
        ['1700000000000000001', '1700000000000000000', ''],
        np.array(TIMES, 'M8[ns]') + np.array([0, 249_999_999, 0], 'm8[ns]'),
        # a scale that has no way to another
        Time(TIMES, scale='local'),
        # two parts of a Julian date
        np.stack([Time(TIMES).jd1, Time(TIMES).jd2], axis=1),
        # a day in a zone
        ['2026-03-01 -02:00', '2026-03-01+02:00', '2026-01-01'],
    ],
)
def test_the_latest_vote_counts(times):
    labels = consensus(votes_at(times), time='when')
    np.testing.assert_array_equal(labels.votes[:, :2], [[2, 0]])
    assert labels.meta['repeated'] == {'by time': 1, 'by row': 0}
    assert labels.meta['dropped']['repeated by the same annotator'] == 1
    # nobody has said which column it is
    assert consensus(votes_at(times)).votes[0, :2].tolist() == [1, 1]
    if not isinstance(times, Time):
        assert consensus(votes_at(times, 'created_at')).votes[0, :2].tolist() == [2, 0]


@pytest.mark.parametrize(
    ('times', 'decided'),
    [
        (['2026-03-01', '', '2026-01-01'], {'by time': 0, 'by row': 1}),
        ([2.0, np.nan, 1.0], {'by time': 0, 'by row': 1}),
        (['2026-03-01', '2026-03-01 00:00', '2026-01-01'], {'by time': 0, 'by row': 1}),
        (Time(Time(TIMES).mjd, format='mjd')[[0, 0, 1]], {'by time': 0, 'by row': 1}),
    ],
)
def test_the_last_row_counts_where_times_do_not_tell(times, decided):
    labels = consensus(votes_at(times), time='when')
    np.testing.assert_array_equal(labels.votes[:, :2], [[1, 1]])
    assert labels.meta['repeated'] == decided


@pytest.mark.parametrize('suffix', ['.fits', '.ecsv'])
def test_times_come_back_from_files(suffix, tmp_path):
    votes_at(Time(TIMES), 'created_at').write(tmp_path / f'votes{suffix}')
    labels = label_votes(tmp_path / f'votes{suffix}')
    np.testing.assert_array_equal(labels.votes[:, :2], [[2, 0]])
    assert labels.meta['repeated'] == {'by time': 1, 'by row': 0}


def test_cells_of_several_values_are_no_times_and_no_names():
    votes = votes_at(np.zeros((3, 4)))
    with pytest.raises(
        ValueError, match=r"column 'when' hold no time, the first '\[0. 0. 0. 0.\]'"
    ):
        consensus(votes, time='when')
    votes.rename_column('when', 'created_at')
    assert consensus(votes).meta['repeated'] == {'by time': 0, 'by row': 1}
    votes['label'] = np.full((3, 2), 'cluster')
    with pytest.raises(ValueError, match="column 'label' holds several values in each row"):
        consensus(votes)


def test_equal_times_decide_nothing_unless_all_say_the_same():
    votes = votes_at(['2026-03-01', '2026-03-01', '2026-01-01'])
    votes['label'] = ['point', 'point', 'cluster']
    assert consensus(votes, time='when').meta['repeated'] == {'by time': 1, 'by row': 0}
    votes['label'] = ['unknown', 'Unknown', 'cluster']
    assert consensus(votes, time='when').meta['repeated'] == {'by time': 1, 'by row': 0}
    votes['label'] = ['unknown', 'point', 'cluster']
    assert consensus(votes, time='when').meta['repeated'] == {'by time': 0, 'by row': 1}
    # an earlier one is no matter
    votes.add_row(['a', 'ann', 'cluster', '2026-03-02'])
    assert consensus(votes, time='when').meta['repeated'] == {'by time': 1, 'by row': 0}


def test_masked_times_are_not_known():
    times = Time(TIMES)
    times[1] = np.ma.masked
    labels = consensus(votes_at(times), time='when')
    assert labels.meta['repeated'] == {'by time': 0, 'by row': 1}


def test_the_latest_vote_can_be_for_nothing():
    votes = votes_at(['2026-03-02', '2026-03-01', '2026-01-01'])
    votes['label'] = ['unknown', 'cluster', 'point']
    labels = consensus(votes, time='when')
    np.testing.assert_array_equal(labels.votes[:, :2], [[0, 1]])
    assert labels.meta['dropped']['withdrawn by the same annotator'] == 1
    # an empty cell is no vote, and its time no matter
    votes['label'][0], votes['when'][0] = '', 'never'
    assert consensus(votes, time='when').votes[0, :2].tolist() == [1, 1]


def test_who_votes_when_does_not_change_the_rest():
    rng = np.random.default_rng(5)
    votes = Table(
        {
            'item': rng.integers(0, 30, 400),
            'annotator': rng.integers(0, 5, 400),
            'label': rng.choice(['cluster', 'point', 'unknown'], 400),
            'when': rng.permutation(400),
        }
    )
    shuffled = consensus(votes, time='when', method='majority')
    in_order = votes[np.argsort(votes['when'])]
    plain = consensus(in_order['item', 'annotator', 'label'], method='majority')
    places = [plain.ids.index(name) for name in shuffled.ids]
    np.testing.assert_array_equal(shuffled.votes, plain.votes[places])
    assert shuffled.meta['dropped'] == plain.meta['dropped']


def test_pairs_take_the_latest_vote():
    rows = [('ann', k, 'cluster' if k % 2 else 'point', 5) for k in range(6)]
    rows += [('ann', 1, 'point', 3)]
    rows += [('bob', *row[1:]) for row in rows[:6]]
    votes = Table(rows=rows, names=['annotator', 'item', 'label', 'created_at'])
    assert pairwise_agreement(votes)['kappa'].tolist() == [1.0]
    assert measure_agreement(votes)['unanimous'] == 1.0
    votes.rename_column('created_at', 'when')
    assert measure_agreement(votes)['unanimous'] < 1
    assert measure_agreement(votes, time='when')['unanimous'] == 1.0


def test_what_is_no_time_is_named(tmp_path, capsys):
    path = tmp_path / 'votes.csv'
    votes_at(['2026-03-01', 'yesterday', '2026-01-01']).write(path, format='ascii.csv')
    command = ['labels', 'consensus', str(path), '-o', str(tmp_path / 'l.ecsv'), '--time']
    assert main([*command, 'when']) == 1
    error = capsys.readouterr().err
    assert "column 'when' hold no time, the first 'yesterday' in row 2; write times such" in error
    assert main([*command, 'then']) == 1
    assert "lack the column 'then' for their times" in capsys.readouterr().err
    assert main([*command, 'label']) == 1
    assert "need a column each, got 'item', 'annotator', 'label', and 'label'" in (
        capsys.readouterr().err
    )
    assert main([*command, 'when', '--annotator-columns', 'ann', 'bob']) == 2
    assert 'nobody votes twice' in capsys.readouterr().err
    wide = Table({'item': ['a'], 'ann': ['cluster'], 'bob': ['point']})
    with pytest.raises(ValueError, match='one vote a row'):
        label_votes(wide, annotator_columns=['ann', 'bob'], time='when')


def test_the_command_says_where_rows_decide(tmp_path, capsys):
    path = tmp_path / 'votes.csv'
    votes_at(TIMES).write(path, format='ascii.csv')
    command = ['labels', 'consensus', str(path), '-o', str(tmp_path / 'l.ecsv')]
    assert main(command) == 0
    told = '1 times the last row of somebody with several votes on an item counts'
    assert told in capsys.readouterr().out
    assert main([*command, '--time', 'when', '--overwrite']) == 0
    assert told not in capsys.readouterr().out
    assert main(['labels', 'agreement', str(path), '--time', 'when']) == 0
    assert f'labels consensus {path} --time when -o' in capsys.readouterr().out
