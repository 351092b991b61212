# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure the consensus on real crowds with known truth and on simulated ones::

    python validation/labels/measure_crowds.py [--data FOLDER] [--more FOLDER] [--parts PART ...]

Writes ``results/crowds.json``. What is simulated says so.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from astropy.table import Table
from crowds import FAMILIES, coded, real_crowds, simulate_family
from scipy import stats

from clustercnn import LabelSet, evaluation, labels, simulate

HERE = Path(__file__).resolve().parent
METHODS = ('majority', 'dawid-skene', 'one-coin', 'difficulty')
DEFAULT = 'dawid-skene'
# crowds of more items are left out where everything is repeated
MOST_ITEMS = 1000
# repetitions of each family, and draws of all intervals
N_OF_FAMILY, N_DRAWS = 12, 300
# of the simulated crowds: mean error, the votes an item has, people, items, repetitions
ERRORS, N_VOTES, N_PEOPLE, N_ITEMS, N_CROWDS = (0.1, 0.2, 0.4), 10, 100, 400, 25
# how far people differ: the number of votes that a beta distribution of their errors is worth
SPREAD = 6.0


def share_right(n_right, n):
    """
    Return a share with the 95 % interval of Wilson (1927).
    """
    low, high = stats.binomtest(int(n_right), int(n)).proportion_ci(method='wilson')
    return [float(n_right / n), float(low), float(high)]


def calibration(probability, right, *, interval=False):
    """
    Return the calibration error of the probability of the label, and what it would be at best.

    It cannot be negative: ``ece_if_calibrated`` is that of crowds of the same size and the same
    probabilities that mean what they say, the mean and the range of 95 % of them.
    """
    rng = np.random.default_rng(8)
    error = evaluation.expected_calibration_error
    drawn = [error(probability, rng.random(len(right)) < probability) for _ in range(N_DRAWS)]
    found = {
        'ece': float(error(probability, right)),
        'ece_if_calibrated': [float(np.mean(drawn)), *np.quantile(drawn, [0.025, 0.975]).tolist()],
        'mean_probability': float(np.mean(probability)),
    }
    if interval:
        low, high = evaluation.calibration_interval(probability, right, n_resamples=N_DRAWS, seed=8)
        found['ece_interval'] = [float(low), float(high)]
    return found


def on_real_crowds(crowds):
    """
    Return the share of right labels and the calibration of each method.
    """
    results = {}
    for name, (truth, votes) in crowds.items():
        known, item, who, said, n_classes = coded(truth, votes)
        table = as_votes(item, who, said)
        schema = schema_of(n_classes)
        there = np.flatnonzero(known >= 0)
        results[name] = {'items': len(there), 'votes': len(said)}
        for method in METHODS:
            found = labels.consensus(table, method=method, schema=schema)
            found = found.select([str(number) for number in there])
            right = found.hard() == known[there]
            row = {
                'right': share_right(right.sum(), len(right)),
                **calibration(found.soft().max(axis=1), right, interval=True),
            }
            if 'correlation' in found.meta:
                row['correlation'] = found.meta['correlation']
            if method == DEFAULT:
                plain = labels.dawid_skene(item, who, said, n_classes=n_classes)
                row['ece_if_independent'] = float(
                    evaluation.expected_calibration_error(
                        plain.probability[there].max(axis=1), right
                    )
                )
            results[name][method] = row
    return results


def as_votes(item, who, said):
    """
    Return a table of votes, whose items are named by their numbers.
    """
    names = np.array(schema_of(said.max() + 1))
    return Table({'item': item, 'annotator': who, 'label': names[said]})


def schema_of(n_classes):
    """
    Return names of classes in the order of their codes.
    """
    return tuple(f'class{number:03d}' for number in range(n_classes))


def with_known_items(crowds, *, n_splits=6):
    """
    Return what some known items, drawn at random, do to the others, over many draws.

    Of the crowds of up to a thousand items, all of which are known; these are drawn anew each
    time.
    """
    results = {}
    for name, (truth, votes) in crowds.items():
        known, item, who, said, n_classes = coded(truth, votes)
        there = np.flatnonzero(known >= 0)
        if len(known) > MOST_ITEMS:
            continue
        table, schema = as_votes(item, who, said), schema_of(n_classes)
        for n_known in (10, round(0.2 * len(there))):
            entry = {'known': n_known, 'items': len(there), 'splits': n_splits}
            others = others_of(table, schema, known, there, n_known, n_splits, DEFAULT)
            results[f'{name}, {n_known}'] = entry | {DEFAULT: others}
    return results


def others_of(table, schema, known, there, n_known, n_splits, method):
    """
    Return how right and how calibrated the items are that are not known.
    """
    right, confidence = [], []
    for split in range(n_splits):
        drawn = np.random.default_rng([split, 3]).permutation(there)[:n_known]
        truth = LabelSet.from_labels(
            drawn.astype(str), [schema[code] for code in known[drawn]], schema=schema
        )
        others = np.setdiff1d(there, drawn)
        found = labels.consensus(table, method=method, truth=truth, schema=schema)
        found = found.select(others.astype(str))
        right.append(found.hard() == known[others])
        confidence.append(found.soft().max(axis=1))
    hits = np.concatenate(right)
    return {
        # the draws share their items: the interval is that of one
        'right': share_right(round(hits.mean() * len(there)), len(there)),
        **calibration(np.concatenate(confidence), hits),
    }


def estimates_of(item, who, said, *, n_items, n_classes, seed):
    """
    Return probabilities, codes and, of the default, what is said of the annotators, by method.
    """
    votes = np.bincount(item * n_classes + said, minlength=n_items * n_classes)
    votes = votes.reshape(n_items, n_classes)
    # ties are dealt out at random
    tied = votes + np.random.default_rng(seed).random(votes.shape) * 1e-6
    estimates = {'majority': (votes / votes.sum(axis=1, keepdims=True), tied.argmax(axis=1), None)}
    table = as_votes(item, who, said)
    for method in METHODS[1:]:
        found = labels.consensus(table, method=method, schema=schema_of(n_classes))
        found = found.select([str(number) for number in range(n_items)])
        plain = None
        if method == DEFAULT:
            plain = labels.dawid_skene(item, who, said, n_classes=n_classes)
        estimates[method] = found.soft(), found.hard(), plain
    return estimates


def compare(crowds, n_classes):
    """
    Return what the methods make of simulated crowds (truth, item, person, class), with
    intervals over crowds, and the results of each method.
    """
    right = {method: [] for method in METHODS}
    confidence = {method: [] for method in METHODS}
    matrices = {method: [] for method in METHODS}
    for seed, (truth, item, who, said) in enumerate(crowds):
        rows = np.arange(len(truth))
        found = estimates_of(item, who, said, n_items=len(truth), n_classes=n_classes, seed=seed)
        for method, (probability, code, result) in found.items():
            right[method].append(code == truth)
            confidence[method].append(probability[rows, code])
            matrices[method].append(result)
    rows = {}
    for method in METHODS:
        hits = np.array(right[method])
        rows[method] = {
            'right': share_right(hits.sum(), hits.size),
            **calibration(np.concatenate(confidence[method]), hits.ravel()),
        }
        if method != 'majority':
            gain = hits.mean(axis=1) - np.mean(right['majority'], axis=1)
            half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
            rows[method]['gain_over_majority'] = [
                float(gain.mean()),
                float(gain.mean() - half),
                float(gain.mean() + half),
            ]
    return rows, matrices


def on_families():
    """
    Return what the methods make of crowds that differ in what their models assume.
    """
    results = {}
    for family, text in FAMILIES.items():
        crowds = [simulate_family(family, seed=seed) for seed in range(N_OF_FAMILY)]
        n_classes = 1 + max(truth.max() for truth, *_ in crowds)
        results[family] = {'is': text, 'methods': compare(crowds, n_classes)[0]}
    return {'simulated': True, 'crowds': N_OF_FAMILY, 'families': results}


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
        made = [simulate_crowd(error, n_classes=n_classes, seed=seed) for seed in range(N_CROWDS)]
        rows, found = compare([(truth, *votes) for truth, _, *votes in made], n_classes)
        pulls = np.array(
            [
                (result.confusion - matrices) / result.confusion_std
                for result, (_, matrices, *_) in zip(found['dawid-skene'], made, strict=True)
            ]
        )
        by_crowd = np.sqrt(np.mean(pulls**2, axis=(1, 2, 3)))
        rows['dawid-skene'] |= {
            'pull_of_matrices': float(np.sqrt(np.mean(pulls**2))),
            'largest_pull_of_a_crowd': float(by_crowd.max()),
            'matrices_within_one_sigma': float(np.mean(np.abs(pulls) < 1)),
            'matrices_within_two_sigma': float(np.mean(np.abs(pulls) < 2)),
        }
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


def on_volunteers(*, n_crowds=12, n_items=800, n_people=40):
    """
    Return how well the matrices of the volunteers of ``clustercnn simulate --votes`` come back.

    All items are equally bright, since the matrices hold for one brightness.
    """
    classes = ('cluster', 'point', 'galaxy', 'other')
    pulls = []
    for seed in range(n_crowds):
        truth = np.random.default_rng(seed).choice(classes, n_items, p=[0.35, 0.4, 0.1, 0.15])
        crowd = simulate.simulate_crowd(
            truth, np.full(n_items, 80.0), n_votes=N_VOTES, n_people=n_people, seed=seed
        )
        votes = crowd.votes[crowd.votes['label'] != 'Unknown']
        result = labels.dawid_skene(
            votes['item_number'].data,
            votes['annotator_number'].data,
            [classes.index(name) for name in votes['label']],
            n_classes=len(classes),
            n_items=n_items,
            n_annotators=n_people,
        )
        pull = (result.confusion - crowd.confusion) / result.confusion_std
        pulls.append(pull[np.isfinite(crowd.confusion)])
    by_crowd = [float(np.sqrt(np.mean(pull**2))) for pull in pulls]
    pulls = np.concatenate(pulls)
    return {
        'simulated': True,
        'crowds': n_crowds,
        'pull_of_matrices': float(np.sqrt(np.mean(pulls**2))),
        'largest_pull_of_a_crowd': max(by_crowd),
        'matrices_within_one_sigma': float(np.mean(np.abs(pulls) < 1)),
        'matrices_within_two_sigma': float(np.mean(np.abs(pulls) < 2)),
    }


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path, default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    parser.add_argument('--more', type=Path, help='folder with a folder for each further crowd')
    parser.add_argument('--parts', nargs='+', help='what to measure; default: everything')
    parser.add_argument('-o', '--output', type=Path, default=HERE / 'results' / 'crowds.json')
    options = parser.parse_args()
    parts = {
        'simulated_crowds': lambda: [on_simulated_crowds(n_classes=number) for number in (2, 4)],
        'simulated_families': on_families,
        'simulated_volunteers': on_volunteers,
    }
    if options.data is not None:
        crowds = real_crowds(Path(options.data), options.more)
        parts['real_crowds'] = lambda: on_real_crowds(crowds)
        parts['with_known_items'] = lambda: with_known_items(crowds)
    for name, measure in parts.items():
        if options.parts and name not in options.parts:
            continue
        found = measure()
        # what is not measured again stays
        text = options.output.read_text() if options.output.exists() else '{}'
        options.output.write_text(json.dumps(json.loads(text) | {name: found}, indent=2) + '\n')
        print(name, json.dumps(found, indent=2), flush=True)


if __name__ == '__main__':
    main()
