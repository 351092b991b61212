# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure the consensus on real crowds with known truth and on simulated ones::

    python validation/labels/measure_crowds.py [--data FOLDER]

Writes ``results/crowds.json``. What is simulated says so.
"""

import argparse
import json
import os
import re
import resource
import sys
import time
from pathlib import Path

import numpy as np
from astropy.table import Table
from scipy import stats

from clustercnn import LabelSet, evaluation, labels

HERE = Path(__file__).resolve().parent
METHODS = ('majority', 'dawid-skene', 'one-coin')
# of the simulated crowds: mean error, the votes an item has, people, items, repetitions
ERRORS, N_VOTES, N_PEOPLE, N_ITEMS, N_CROWDS = (0.1, 0.2, 0.4), 10, 100, 400, 25
# how far people differ: the number of votes that a beta distribution of their errors is worth
SPREAD = 6.0


def bluebirds(data):
    """
    Return truth by item and votes of Welinder et al. 2010: 108 pictures, 39 people, two classes.
    """
    folder = data / 'crowd'
    text = (folder / 'welinder_bluebirds_gt.yaml').read_text()
    truth = dict(re.findall(r'(\d+): (true|false)', text))
    text = (folder / 'welinder_bluebirds_labels.yaml').read_text()
    rows = []
    for person, body in re.findall(r'(\d+): \{([^}]*)\}', text):
        rows += [(item, person, said) for item, said in re.findall(r'(\d+): (true|false)', body)]
    return truth, Table(rows=rows, names=['item', 'annotator', 'label'])


def faces(data):
    """
    Return truth by item and votes of Mozafari et al. 2014: 584 pictures, 27 people, four classes.
    """
    folder = data / 'crowd'
    votes = Table.read(folder / 'faces4_answer.csv', format='ascii.csv')
    votes.rename_columns(['question', 'worker', 'answer'], ['item', 'annotator', 'label'])
    table = Table.read(folder / 'faces4_truth.csv', format='ascii.csv')
    truth = {str(row['question']): str(row['truth']) for row in table}
    return truth, votes


def interval(n_right, n):
    """
    Return a share with the 95 % interval of Wilson (1927).
    """
    low, high = stats.binomtest(int(n_right), int(n)).proportion_ci(method='wilson')
    return [float(n_right / n), float(low), float(high)]


def top_calibration(probability, right):
    """
    Return the expected calibration error of the probability of the likeliest class.
    """
    return float(evaluation.expected_calibration_error(probability, right))


def on_real_crowds(data):
    """
    Return the share of right labels and the calibration of each method.
    """
    results = {}
    for name, read in {'bluebirds': bluebirds, 'faces': faces}.items():
        truth, votes = read(data)
        results[name] = {'items': len(truth), 'votes': len(votes)}
        for method in METHODS:
            found = labels.consensus(votes, method=method)
            right = np.array(
                [said == truth[item] for item, said in zip(found.ids, found.names(), strict=True)]
            )
            results[name][method] = {
                'right': interval(right.sum(), len(right)),
                'ece': top_calibration(found.soft().max(axis=1), right),
            }
    return results


def with_known_items(data, *, share=0.2, n_splits=12):
    """
    Return what a share of known items, drawn at random, does to the others, over many draws.
    """
    results = {}
    for name, read in {'bluebirds': bluebirds, 'faces': faces}.items():
        truth, votes = read(data)
        ids = np.array(sorted(truth))
        classes = tuple(sorted(set(truth.values())))
        results[name] = {'share_known': share, 'splits': n_splits}
        for method in METHODS[1:]:
            right, confidence = [], []
            for split in range(n_splits):
                drawn = np.random.default_rng([split, 3]).random(len(ids)) < share
                known = LabelSet.from_labels(
                    ids[drawn], [truth[item] for item in ids[drawn]], schema=classes
                )
                found = labels.consensus(votes, method=method, truth=known, schema=classes)
                others = found.select(ids[~drawn])
                right.append(
                    [
                        truth[item] == said
                        for item, said in zip(ids[~drawn], others.names(), strict=True)
                    ]
                )
                confidence.append(others.soft().max(axis=1))
            hits = np.concatenate(right)
            results[name][method] = {
                # the draws share their items: the interval is that of one
                'right': interval(round(hits.mean() * len(ids)), len(ids)),
                'ece': top_calibration(np.concatenate(confidence), hits),
            }
    return results


def simulate_crowd(error, *, n_classes, seed):
    """
    Return truth, matrices of annotators and votes of a simulated crowd.
    """
    rng = np.random.default_rng([seed, round(100 * error), n_classes])
    truth = rng.integers(0, n_classes, N_ITEMS)
    errors = rng.beta(SPREAD * error, SPREAD * (1 - error), N_PEOPLE)
    matrices = np.empty((N_PEOPLE, n_classes, n_classes))
    for person, own in enumerate(errors):
        # wrong votes are not spread evenly
        wrong = rng.dirichlet(np.full(n_classes - 1, 3.0), n_classes)
        for true in range(n_classes):
            matrices[person, true] = np.insert(own * wrong[true], true, 1 - own)
    item = np.repeat(np.arange(N_ITEMS), N_VOTES)
    who = np.concatenate([rng.choice(N_PEOPLE, N_VOTES, replace=False) for _ in range(N_ITEMS)])
    edges = np.cumsum(matrices[who, truth[item]], axis=1)
    said = np.minimum((rng.random(len(item))[:, None] > edges).sum(axis=1), n_classes - 1)
    return truth, matrices, item, who, said


def on_simulated_crowds(*, n_classes):
    """
    Return what the methods make of simulated crowds, with intervals over crowds.
    """
    results = {}
    for error in ERRORS:
        right = {method: [] for method in METHODS}
        confidence = {method: [] for method in METHODS}
        pulls = []
        for seed in range(N_CROWDS):
            truth, matrices, item, who, said = simulate_crowd(error, n_classes=n_classes, seed=seed)
            votes = np.bincount(item * n_classes + said, minlength=N_ITEMS * n_classes)
            votes = votes.reshape(N_ITEMS, n_classes)
            # ties are dealt out at random
            shares = votes / N_VOTES
            tied = votes + np.random.default_rng(seed).random(votes.shape) * 1e-6
            estimates = {'majority': (shares, tied.argmax(axis=1))}
            for method, model in (('dawid-skene', 'full'), ('one-coin', 'one-coin')):
                found = labels.dawid_skene(item, who, said, n_classes=n_classes, model=model)
                estimates[method] = found.probability, found.probability.argmax(axis=1)
                if model == 'full':
                    pulls.append(((found.confusion - matrices) / found.confusion_std).ravel())
            for method, (probability, code) in estimates.items():
                right[method].append(code == truth)
                confidence[method].append(probability[np.arange(N_ITEMS), code])
        rows = {}
        for method in METHODS:
            hits = np.array(right[method])
            rows[method] = {
                'right': interval(hits.sum(), hits.size),
                'ece': top_calibration(np.concatenate(confidence[method]), hits.ravel()),
            }
            if method != 'majority':
                gain = hits.mean(axis=1) - np.mean(right['majority'], axis=1)
                half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
                rows[method]['gain_over_majority'] = [
                    float(gain.mean()),
                    float(gain.mean() - half),
                    float(gain.mean() + half),
                ]
        rows['dawid-skene']['pull_of_matrices'] = float(np.sqrt(np.mean(np.square(pulls))))
        results[f'{error:.0%} error'] = rows
    return {
        'simulated': True,
        'crowds': N_CROWDS,
        'items': N_ITEMS,
        'people': N_PEOPLE,
        'votes_an_item': N_VOTES,
        'classes': n_classes,
        'errors': results,
    }


def reference(item, who, said, n_items, n_people, n_classes, n_iterations):
    """
    Plain Dawid-Skene as one would write it with NumPy, for the speed.
    """
    posterior = np.zeros((n_items, n_classes))
    np.add.at(posterior, (item, said), 1.0)
    posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), 1e-12)
    for _ in range(n_iterations):
        matrices = np.full((n_people, n_classes, n_classes), 0.01)
        np.add.at(matrices.transpose(0, 2, 1), (who, said), posterior[item])
        matrices /= matrices.sum(axis=2, keepdims=True)
        logarithm = np.tile(np.log(posterior.mean(axis=0)), (n_items, 1))
        np.add.at(logarithm, item, np.log(matrices.transpose(0, 2, 1)[who, said]))
        posterior = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
    return posterior


def at_size(n_votes=1_000_000, n_items=100_000, n_people=10_000, n_classes=4):
    """
    Return how long a million simulated votes take, and the largest memory of the process.
    """
    rng = np.random.default_rng(5)
    truth = rng.integers(0, n_classes, n_items)
    error = rng.beta(2, 6, n_people)
    item = np.concatenate([np.arange(n_items), rng.integers(0, n_items, n_votes - n_items)])
    who = rng.integers(0, n_people, n_votes)
    wrong = rng.random(n_votes) < error[who]
    said = np.where(wrong, rng.integers(0, n_classes, n_votes), truth[item])
    start = time.perf_counter()
    found = labels.dawid_skene(item, who, said, n_classes=n_classes)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    reference(item, who, said, n_items, n_people, n_classes, 5)
    peer = (time.perf_counter() - start) / 5
    table = Table({'item': item, 'annotator': who, 'label': said})
    start = time.perf_counter()
    labels.consensus(table, method='dawid-skene', schema=[str(k) for k in range(n_classes)])
    whole = time.perf_counter() - start
    # in kilobytes, on macOS in bytes
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        'simulated': True,
        'votes': n_votes,
        'items': n_items,
        'people': n_people,
        'right': float((found.probability.argmax(axis=1) == truth).mean()),
        'iterations': found.n_iterations,
        'seconds': seconds,
        'seconds_from_a_table': whole,
        'seconds_an_iteration': seconds / found.n_iterations,
        'seconds_an_iteration_of_the_reference': peer,
        'largest_memory_gigabytes': memory * (1 if sys.platform == 'darwin' else 1024) / 1e9,
    }


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path, default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    parser.add_argument('-o', '--output', type=Path, default=HERE / 'results' / 'crowds.json')
    options = parser.parse_args()
    # first, so that the memory is that of the task
    results = {'size': at_size()}
    results['simulated_crowds'] = [on_simulated_crowds(n_classes=number) for number in (2, 4)]
    if options.data is not None:
        results['real_crowds'] = on_real_crowds(Path(options.data))
        results['with_known_items'] = with_known_items(Path(options.data))
    text = json.dumps(results, indent=2)
    options.output.write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    main()
