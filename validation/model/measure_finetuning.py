# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fine-tune the shipped model on some hundred labels of another survey, *simulated*::

    python validation/model/measure_finetuning.py [--fields 24] [--tested 20] [--workers 2]

The other survey is the sky of ``score_shifts.py`` on which everything is shifted at once, but for
the number of clusters. Writes
``results/finetuning.json``: for each number of labels the area under the curve and the calibration
error of the model fine-tuned behind a frozen stem, fine-tuned whole, and of the same networks
trained from nothing, all on other fields. Intervals resample these fields.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from score_shifts import ALL

from clustercnn import Classifier
from clustercnn._utils.processes import process_pool
from clustercnn._utils.progress import progress
from clustercnn.core import CutoutStack, LabelSet
from clustercnn.evaluation import expected_calibration_error, resampled_weights, roc_auc
from clustercnn.models.sample import make_field_sample
from clustercnn.simulate import SimulationConfig

HERE = Path(__file__).resolve().parent
FIRST_SEED = 960_000
N_LABELS = (50, 100, 200, 400, 800)
N_RESAMPLES = 400
# with as many clusters as the sky has there would be one among fifty labels
SURVEY = {
    name: value for name, value in ALL.items() if name not in ('cluster_boost', 'cluster_tilt')
}


def one_field(seed):
    """
    Return cutouts and labels of one field; None where nothing was found.
    """
    stack, labels, _ = make_field_sample(seed, mission='xmm', config=SimulationConfig(**SURVEY))
    return None if stack is None else (stack, labels, seed)


def joined(fields):
    """
    Return cutouts, labels and field of each, identifiers made unique.
    """
    stacks, names, label, group = [], [], [], []
    for stack, labels, seed in fields:
        ids = [f'{seed}-{name}' for name in stack.ids]
        stacks.append(stack.replace(ids=ids))
        names += ids
        label += list(labels.select(stack.ids).names())
        group += [seed] * len(ids)
    labels = LabelSet.from_labels(names, label, schema=fields[0][1].schema, source='simulation')
    return CutoutStack.concatenate(stacks), labels, np.array(group)


def describe(probability, before, truth, group):
    """
    Return how good probabilities are, and how much better than those before.
    """
    drawn = list(resampled_weights(len(truth), n_resamples=N_RESAMPLES, seed=1, groups=group))

    def with_interval(statistic):
        values = [statistic(weight) for weight in drawn]
        middle = statistic(np.ones(len(truth)))
        return [round(float(v), 4) for v in (middle, *np.nanpercentile(values, [2.5, 97.5]))]

    return {
        'auc': with_interval(lambda w: roc_auc(probability, truth, weight=w)),
        'gain_in_auc': with_interval(
            lambda w: roc_auc(probability, truth, weight=w) - roc_auc(before, truth, weight=w)
        ),
        'ece': round(float(expected_calibration_error(probability, truth)), 4),
    }


def trained(shipped, stack, labels, group):
    """
    Yield what is compared, by name, trained on some labels.
    """
    settings = {'groups': group, 'progress': False}
    yield 'frozen stem', shipped.fine_tune(stack, labels, **settings)
    yield 'whole', shipped.fine_tune(stack, labels, frozen=None, **settings)
    new = Classifier(
        network='fusion',
        ensemble=len(shipped.networks[1]),
        n_epochs=20,
        seed=shipped.metadata['seed'],
    )
    yield 'from nothing', new.fit(stack, labels, **settings)


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--fields', type=int, default=24, help='fields that are learnt from')
    parser.add_argument('--tested', type=int, default=20, help='fields that are tested on')
    parser.add_argument('--workers', type=int, default=2)
    options = parser.parse_args()
    seeds = [FIRST_SEED + number for number in range(options.fields + options.tested)]
    with process_pool(options.workers) as pool:
        fields = list(
            progress(pool.map(one_field, seeds), total=len(seeds), label='fields', unit='field')
        )
    learnt, tested = fields[: options.fields], fields[options.fields :]
    stack, labels, group = joined([field for field in learnt if field is not None])
    test, known, test_group = joined([field for field in tested if field is not None])
    truth = known.binary() > 0.5
    shipped = Classifier.from_pretrained()
    before = shipped.predict(test).p_positive
    results = {
        'fields': {'learnt from': len(learnt), 'tested on': len(tested)},
        'detections': {'learnt from': len(stack), 'tested on': len(test)},
        'clusters': {
            'learnt from': int((labels.binary() > 0.5).sum()),
            'tested on': int(truth.sum()),
        },
        'shipped': describe(before, before, truth, test_group),
        'rows': [],
    }
    print('shipped', results['shipped'], flush=True)
    for number in N_LABELS:
        if number > len(stack):
            print(f'only {len(stack)} labels, {number} left out')
            continue
        # the first fields, as a survey would begin
        ids = stack.ids[:number]
        some, of_some = stack.select(ids), labels.select(ids)
        row = {'labels': number, 'clusters': int((of_some.binary() > 0.5).sum())}
        for name, classifier in trained(shipped, some, of_some, group[:number]):
            probability = classifier.predict(test).p_positive
            row[name] = describe(probability, before, truth, test_group)
            print(number, name, row[name], flush=True)
        results['rows'].append(row)
    (HERE / 'results' / 'finetuning.json').write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
