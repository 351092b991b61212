# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare what the shipped model says in float32 and in bfloat16::

    python validation/networks/measure_precision.py [--fields 24]

On fresh *simulated* fields, none of which was used in training or calibration, half of them with
usual settings and half with every nuisance drawn. Runs on whatever device JAX sees, which is noted;
XLA is told to round where the numbers are narrow, which on a CPU it leaves out if it can. Writes
``results/precision.json``.
"""

import argparse
import json
import os
from pathlib import Path

os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} --xla_allow_excess_precision=false'

import jax
import numpy as np

from clustercnn import Classifier, evaluation
from clustercnn._utils.files import atomic_path
from clustercnn._utils.progress import progress
from clustercnn.evaluation.metrics import resampled_weights
from clustercnn.models.sample import make_field_sample
from clustercnn.training import binary_auc

RESULTS = Path(__file__).resolve().parent / 'results' / 'precision.json'
FIRST_SEED = 970_000
N_RESAMPLES = 1000


def difference_with_interval(truth, one, other, fields):
    """
    Return by how much the area under the ROC curve differs, with an interval over fields.
    """
    values = []
    drawn = resampled_weights(len(truth), n_resamples=N_RESAMPLES, seed=1, groups=fields)
    for times in drawn:
        rows = np.repeat(np.arange(len(truth)), times.astype(int))
        before, after = (binary_auc(score[rows], truth[rows]) for score in (one, other))
        values.append(after - before)
    whole = binary_auc(other, truth) - binary_auc(one, truth)
    return [whole, *np.percentile(values, [2.5, 97.5]).tolist()]


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--fields', type=int, default=24)
    parser.add_argument('-o', '--output', type=Path, default=RESULTS)
    options = parser.parse_args()
    classifier = Classifier.from_pretrained()
    found = {name: [] for name in ('float32', 'bfloat16')}
    strange = {name: [] for name in found}
    truth, fields = [], []
    with progress(total=options.fields, label='fields', unit='fields') as bar:
        for number in range(options.fields):
            seed = FIRST_SEED + number
            stack, labels, _ = make_field_sample(seed, randomised=bool(number % 2))
            bar.update()
            if stack is None:
                continue
            for name, scores in found.items():
                prediction = classifier.predict(stack, precision=name)
                scores.append(prediction.p_positive)
                strange[name].append(prediction.ood)
            truth.append(labels.binary() > 0.5)
            fields.append(np.full(len(stack), seed))
    wide, narrow = (np.concatenate(found[name]) for name in ('float32', 'bfloat16'))
    odd = [np.concatenate(strange[name]) for name in ('float32', 'bfloat16')]
    truth, fields = np.concatenate(truth), np.concatenate(fields)
    change = np.abs(wide - narrow)
    results = {
        'device': jax.devices()[0].device_kind,
        'fields': len(np.unique(fields)),
        'first_seed': FIRST_SEED,
        'detections': len(truth),
        'clusters': int(truth.sum()),
        'auc': {'float32': binary_auc(wide, truth), 'bfloat16': binary_auc(narrow, truth)},
        'auc_change': difference_with_interval(truth, wide, narrow, fields),
        'ece': {
            name: float(evaluation.expected_calibration_error(score, truth))
            for name, score in (('float32', wide), ('bfloat16', narrow))
        },
        'p_cluster_change': {
            'median': float(np.median(change)),
            '99 %': float(np.percentile(change, 99)),
            'largest': float(change.max()),
        },
        'crosses_one_half': int(((wide > 0.5) != (narrow > 0.5)).sum()),
        'ood_change_99': float(np.percentile(np.abs(odd[0] - odd[1]), 99)),
        'ood_crosses_one': int(((odd[0] > 1) != (odd[1] > 1)).sum()),
    }
    print(json.dumps(results, indent=2))
    with atomic_path(options.output, overwrite=True) as temporary:
        temporary.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
