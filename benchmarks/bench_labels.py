# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Consensus of many votes against crowd-kit, in turn::

    python benchmarks/bench_labels.py [--json FILE] [--repeats 3] [--data FOLDER]

A row a case: votes a second of ours and of the peer, with the share of right labels of both; the
crowds are *simulated* but for the two real ones of ``FOLDER/crowd``. Both sides start from a table
of votes. Ours ends when nothing changes by 1e-6, the peer when its loss changes by 1e-5 (its
default), each after 200 iterations at most. Seconds are those of the processor, as machines are
shared; both sides use one. Memory is that of a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from astropy.table import Table

from clustercnn import labels

CASES = {'20 k votes': (20_000, 2_000, 200), '1 M votes': (1_000_000, 100_000, 10_000)}
N_CLASSES = 4
METHODS = ('dawid-skene', 'one-coin', 'difficulty')


def simulate(n_votes, n_items, n_people):
    """
    Return truth and votes of a simulated crowd whose people err to different degrees.
    """
    rng = np.random.default_rng(5)
    truth = rng.integers(0, N_CLASSES, n_items)
    error = rng.beta(2, 6, n_people)
    item = np.concatenate([np.arange(n_items), rng.integers(0, n_items, n_votes - n_items)])
    # nobody votes twice on an item
    who = rng.integers(0, n_people, n_votes)
    _, first = np.unique(item * n_people + who, return_index=True)
    item, who = item[first], who[first]
    wrong = rng.random(len(item)) < error[who]
    said = np.where(wrong, rng.integers(0, N_CLASSES, len(item)), truth[item])
    return truth, Table({'item': item, 'annotator': who, 'label': said})


def ours(votes, method):
    """
    Return the label of each item by name.
    """
    schema = sorted({str(name) for name in votes['label']})
    found = labels.consensus(votes, method=method, schema=schema)
    return dict(zip(found.ids, found.names(), strict=True))


def peer_of(method):
    """
    Return the class of crowd-kit for a method and its name, None where there is none.
    """
    try:
        from crowdkit import aggregation
    except ImportError:
        return None, None
    name = {'dawid-skene': 'DawidSkene', 'one-coin': 'OneCoinDawidSkene', 'difficulty': 'GLAD'}[
        method
    ]
    return getattr(aggregation, name), f'crowd-kit {name}'


def peer(votes, aggregator):
    """
    Return the label of each item by name, of the peer.
    """
    frame = votes.to_pandas()
    frame.columns = ['task', 'worker', 'label']
    found = aggregator(n_iter=200).fit_predict(frame)
    return {str(key): str(value) for key, value in found.items()}


def timed(function, *arguments):
    """
    Return the result and the seconds of the processor it took.
    """
    started = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - started


def share_right(found, truth):
    """
    Return the share of the items with the true label.
    """
    return float(np.mean([found[key] == value for key, value in truth.items()]))


def compare(case, truth, votes, method, n_repeats):
    """
    Return the row of one case, both sides in turn.
    """
    aggregator, name = peer_of(method)
    rates = {'ours': [], 'peer': []}
    right = {}
    for _ in range(n_repeats):
        found, seconds = timed(ours, votes, method)
        rates['ours'].append(len(votes) / seconds)
        right['ours'] = share_right(found, truth)
        if aggregator is not None:
            found, seconds = timed(peer, votes, aggregator)
            rates['peer'].append(len(votes) / seconds)
            right['peer'] = share_right(found, truth)
    ratios = [a / b for a, b in zip(rates['ours'], rates['peer'], strict=False)]
    return {
        'case': f'{case}, {method}',
        'votes': len(votes),
        'ours': round(float(np.median(rates['ours']))),
        'ours_seconds': round(len(votes) / float(np.median(rates['ours'])), 2),
        'ours_right': round(right['ours'], 4),
        'peer_name': name,
        'peer': round(float(np.median(rates['peer']))) if ratios else None,
        'peer_seconds': round(len(votes) / float(np.median(rates['peer'])), 2) if ratios else None,
        'peer_right': round(right['peer'], 4) if ratios else None,
        'ratio': round(float(np.median(ratios)), 2) if ratios else None,
        'ratio_min_max': [round(min(ratios), 2), round(max(ratios), 2)] if ratios else None,
    }


def memory_of(side, method):
    """
    Return the largest memory of a process that does the largest case, in GB.
    """
    command = [sys.executable, __file__, '--alone', side, '--method', method]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def alone(side, method):
    """
    Do the largest case and print the largest memory of this process in GB.
    """
    _, votes = simulate(*CASES['1 M votes'])
    if side == 'ours':
        ours(votes, method)
    else:
        peer(votes, peer_of(method)[0])
    # in kilobytes, on macOS in bytes
    unit = 1 if sys.platform == 'darwin' else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9)


def real(data):
    """
    Return truth and votes of the real crowds.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'validation' / 'labels'))
    from crowds import real_crowds

    return real_crowds(Path(data))


def main():
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--json', type=Path, help='file for the rows')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--data', default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    parser.add_argument('--alone', choices=('ours', 'peer'), help=argparse.SUPPRESS)
    parser.add_argument('--method', default='dawid-skene', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(options.alone, options.method)
        return
    rows = []
    for name, size in CASES.items():
        truth, votes = simulate(*size)
        named = {str(key): str(value) for key, value in enumerate(truth)}
        # GLAD of the peer takes hours for a million votes
        methods = ('dawid-skene', 'one-coin') if len(votes) > 1e5 else METHODS
        rows += [
            compare(f'simulated, {name}', named, votes, method, options.repeats)
            for method in methods
        ]
    for name, (truth, votes) in real(options.data).items() if options.data else ():
        rows += [compare(name, truth, votes, method, options.repeats) for method in METHODS]
    for row in rows:
        if '1 M votes' in row['case']:
            method = row['case'].rsplit(', ', 1)[1]
            row['ours_gigabytes'] = round(memory_of('ours', method), 2)
            if row['peer']:
                row['peer_gigabytes'] = round(memory_of('peer', method), 2)
    print_rows(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + '\n')


def print_rows(rows):
    """
    Print the table.
    """
    print(
        f'{"case":36} {"ours [votes/s]":>14} {"right":>6} {"GB":>5}   {"peer":27} '
        f'{"[votes/s]":>9} {"right":>6} {"GB":>5} {"ratio":>6}'
    )
    for row in rows:
        print(
            f'{row["case"]:36} {row["ours"]:14} {row["ours_right"]:6.3f} '
            f'{row.get("ours_gigabytes", "-"):>5}   {row["peer_name"] or "-":27} '
            f'{row["peer"] or "-":>9} {row["peer_right"] or "-":>6} '
            f'{row.get("peer_gigabytes", "-"):>5} {row["ratio"] or "-":>6}'
        )


if __name__ == '__main__':
    main()
