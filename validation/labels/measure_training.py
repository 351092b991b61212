# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Train on what a crowd says, in several ways, and score against the truth::

    python validation/labels/measure_training.py [--runs 10] [--keep FOLDER]

Everything is *simulated*: cutouts of XMM-Newton fields, found by the package's own finder, and a
crowd that votes on them. Training and test set come from different fields, the test set is labelled
by the origin of the photons. A run draws the crowd, its votes and the networks' seeds anew; within
a run all ways see the same votes and the same seed. Writes ``results/training.json``.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from astropy.table import Table
from scipy import stats

from clustercnn import Classifier, CutoutMaker, CutoutStack, LabelSet, WaveletFinder, labels
from clustercnn.evaluation import expected_calibration_error, roc_auc
from clustercnn.simulate import SimulationConfig, simulate_training_set

HERE = Path(__file__).resolve().parent
N_FIELDS, MAX_SHARE = 16, 3.0
# the crowd: people, votes an item, mean error, share who vote as if they saw nothing
N_PEOPLE, N_VOTES, ERROR, IDLE = 40, 5, 0.35, 0.2
# scale of the shift of the odds of all votes on an item
HARDNESS = 0.7
N_EPOCHS = 10
# small, because many are trained
NETWORK = {'widths': (16, 32), 'stem_size': 16, 'feature_width': 16, 'dense_width': 32}
# by default; --all adds those that are left out here
WAYS = ('truth', 'majority', 'soft', 'votes')
ALL_WAYS = (*WAYS, 'majority shares', 'soft, difficulty', 'votes, noise')


def cutouts(part, keep):
    """
    Return cutouts and true labels of one part, ``'train'`` or ``'test'``.
    """
    paths = None if keep is None else (keep / f'{part}.h5', keep / f'{part}.ecsv')
    if paths and all(path.exists() for path in paths):
        return CutoutStack.read(paths[0]), LabelSet.read(paths[1])
    made = simulate_training_set(
        n_fields=N_FIELDS,
        # of other seeds no field is the same
        seed={'train': 71, 'test': 72}[part],
        find=WaveletFinder(),
        cut=CutoutMaker(),
        config=SimulationConfig(optical=None),
        max_share=MAX_SHARE,
        progress=False,
    )
    if paths:
        keep.mkdir(parents=True, exist_ok=True)
        made.stack.write(paths[0], overwrite=True)
        made.labels.write(paths[1], overwrite=True)
    return made.stack, made.labels


def vote(truth, *, n_classes, seed):
    """
    Return votes (item, person, class) of a simulated crowd on items of known class.
    """
    rng = np.random.default_rng([seed, 17])
    error = rng.beta(6 * ERROR, 6 * (1 - ERROR), (N_PEOPLE, n_classes))
    matrices = np.empty((N_PEOPLE, n_classes, n_classes))
    for person in range(N_PEOPLE):
        for true in range(n_classes):
            wrong = error[person, true] * rng.dirichlet(np.ones(n_classes - 1))
            matrices[person, true] = np.insert(wrong, true, 1 - error[person, true])
    idle = rng.random(N_PEOPLE) < IDLE
    matrices[idle] = rng.dirichlet(np.full(n_classes, 2.0), idle.sum())[:, None]
    item = np.repeat(np.arange(len(truth)), N_VOTES)
    who = np.concatenate([rng.choice(N_PEOPLE, N_VOTES, replace=False) for _ in truth])
    shift = rng.normal(0, HARDNESS, (len(truth), n_classes))
    odds = matrices[who, truth[item]] * np.exp(shift[item])
    edges = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)[:, :-1]
    return item, who, (rng.random(len(item))[:, None] > edges).sum(axis=1)


def label_sets(ids, truth, *, seed):
    """
    Return labels and training options by way, and how many labels of each are right.
    """
    schema, codes = truth.schema, truth.hard()
    item, who, said = vote(codes, n_classes=schema.n_classes, seed=seed)
    votes = Table(
        {
            'item': np.array(ids)[item],
            'annotator': who,
            'label': np.array(schema.classes)[said],
        }
    )
    found = {
        method: labels.consensus(votes, method=method, schema=schema).select(ids)
        for method in ('majority', 'dawid-skene', 'difficulty')
    }
    # ties of the majority are dealt out at random
    share = found['majority'].soft()
    tie = np.random.default_rng([seed, 1]).random(share.shape) * 1e-6
    hard = LabelSet.from_codes(ids, (share + tie).argmax(axis=1), schema=schema)
    estimated = labels.dawid_skene(item, who, said, n_classes=schema.n_classes)
    confusion = np.average(
        estimated.confusion, axis=0, weights=np.bincount(who, minlength=N_PEOPLE)
    )
    ways = {
        'truth': (truth, {}),
        'majority': (hard, {}),
        'majority shares': (found['majority'], {}),
        'soft': (found['dawid-skene'], {}),
        'soft, difficulty': (found['difficulty'], {}),
        'votes': (found['majority'], {'target': 'votes'}),
        'votes, noise': (
            found['majority'],
            {'target': 'votes', 'confusion': confusion.tolist()},
        ),
    }
    right = {name: float((made.hard() == codes).mean()) for name, (made, _) in ways.items()}
    return ways, right


def one_run(train, test, names, *, seed):
    """
    Return the area under the ROC curve, the calibration error and the right labels of each way.
    """
    stack, truth = train
    ways, right = label_sets(stack.ids, truth, seed=seed)
    known = test[1].binary() > 0.5
    found = {}
    for name in names:
        made, options = ways[name]
        classifier = Classifier(
            network='fusion',
            seed=seed,
            n_epochs=N_EPOCHS,
            dihedral=False,
            training_options=options,
            network_options=NETWORK,
        ).fit(stack, made, progress=False)
        score = classifier.predict(test[0]).p_positive
        found[name] = {
            'auc': float(roc_auc(score, known)),
            'ece': float(expected_calibration_error(score, known)),
            'right_labels': right[name],
        }
    return found


def mean_with_interval(values):
    """
    Return a mean with the 95 % interval of Student (1908).
    """
    values = np.asarray(values, np.float64)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return [float(values.mean()), float(values.mean() - half), float(values.mean() + half)]


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--runs', type=int, default=10)
    parser.add_argument('--all', action='store_true', help='train in all ways')
    parser.add_argument('--keep', type=Path, help='folder that keeps the simulated cutouts')
    parser.add_argument('-o', '--output', type=Path, default=HERE / 'results' / 'training.json')
    options = parser.parse_args()
    train, test = (cutouts(part, options.keep) for part in ('train', 'test'))
    names = ALL_WAYS if options.all else WAYS
    runs = []
    for seed in range(options.runs):
        runs.append(one_run(train, test, names, seed=seed))
        print(seed, {name: round(row['auc'], 4) for name, row in runs[-1].items()}, flush=True)
    results = {
        'simulated': True,
        'runs': options.runs,
        'fields': 2 * N_FIELDS,
        'training_cutouts': train[1].counts(),
        'test_cutouts': test[1].counts(),
        'people': N_PEOPLE,
        'votes_an_item': N_VOTES,
        'mean_error': ERROR,
        'share_idle': IDLE,
        'hardness': HARDNESS,
        'network': 'fusion',
        'epochs': N_EPOCHS,
        'ways': {
            name: {
                'right_labels': float(np.mean([run[name]['right_labels'] for run in runs])),
                'auc': mean_with_interval([run[name]['auc'] for run in runs]),
                'gain_over_majority': mean_with_interval(
                    [run[name]['auc'] - run['majority']['auc'] for run in runs]
                ),
                'ece': mean_with_interval([run[name]['ece'] for run in runs]),
            }
            for name in names
        },
    }
    options.output.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
