# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Score the shipped model on *simulated* skies that differ from those it was trained on::

    python validation/model/score_shifts.py [--fields 24] [--workers 2]

Writes ``results/shifts.json``: for each shift of the XMM-Newton sky, and for all at once, the
area under the curve and the calibration error; then, over all of them, what the images, the
optical band and the numbers of the finder each are worth. Intervals resample fields.
"""

import argparse
import functools
import json
from pathlib import Path

import astropy.units as u
import numpy as np

from clustercnn import Classifier
from clustercnn._utils.processes import process_pool
from clustercnn._utils.progress import progress
from clustercnn.evaluation import (
    expected_calibration_error,
    purity_completeness,
    resampled_weights,
    roc_auc,
)
from clustercnn.models.sample import make_field_sample
from clustercnn.simulate import SimulationConfig

HERE = Path(__file__).resolve().parent
FIRST_SEED = 940_000
N_RESAMPLES = 400
ALL = {
    # a profile with hardly any wings, like a Gaussian
    'psf_slope_factor': 4.0,
    'pixel_scale': 6 * u.arcsec,
    'exposure': 10 * u.ks,
    'optical_contrast': 0.8,
    'optical_depth': 19.0,
    'exposure_map': False,
    # as many clusters of each flux as the sky has, and a fifth more AGN
    'cluster_tilt': 0.0,
    'cluster_boost': 1.0,
    'agn_factor': 1.2,
}
SHIFTS = {
    'none': {},
    'point spread of another family': {'psf_slope_factor': 4.0},
    'pixels of 1.5 arcsec': {'pixel_scale': 1.5 * u.arcsec},
    'pixels of 6 arcsec': {'pixel_scale': 6 * u.arcsec},
    'half the exposure': {'exposure': 10 * u.ks},
    'three times the exposure': {'exposure': 60 * u.ks},
    'other plates': {'optical_contrast': 0.8, 'optical_depth': 19.0},
    'no exposure map': {'exposure_map': False},
    'no optical image': {'optical': None},
    'other numbers of clusters and AGN': {
        'cluster_tilt': 0.0,
        'cluster_boost': 1.0,
        'agn_factor': 1.2,
    },
    'all at once': ALL,
}


@functools.cache
def shipped():
    """
    Return the shipped model, compiled once a process.
    """
    return Classifier.from_pretrained()


def one_field(task):
    """
    Return labels and scores of one field.
    """
    seed, changes = task
    stack, labels, matched = make_field_sample(
        seed, mission='xmm', config=SimulationConfig(**changes)
    )
    if stack is None:
        return None
    classifier = shipped()
    scores = {'model': classifier.predict(stack).p_positive}
    scores['images alone'] = classifier.predict(stack.replace(features={})).p_positive
    xray = stack.replace(bands=[stack.bands['xray']])
    scores['X-rays and numbers'] = classifier.predict(xray).p_positive
    scores['ext_like'] = np.nan_to_num(np.asarray(stack.features['ext_like'], float))
    return {
        'scores': {name: values.tolist() for name, values in scores.items()},
        'truth': (labels.binary() > 0.5).tolist(),
        'matched': (np.asarray(matched['source_id']) > 0).tolist(),
    }


def _joined(fields):
    truth = np.concatenate([field['truth'] for field in fields])
    number = np.concatenate([np.full(len(f['truth']), k) for k, f in enumerate(fields)])
    matched = np.concatenate([field['matched'] for field in fields])
    scores = {
        name: np.concatenate([field['scores'][name] for field in fields])
        for name in fields[0]['scores']
    }
    return truth, number, matched, scores


def _with_interval(statistic, number):
    drawn = resampled_weights(len(number), n_resamples=N_RESAMPLES, seed=1, groups=number)
    values = [statistic(weight) for weight in drawn]
    middle = statistic(np.ones(len(number)))
    return [round(float(v), 4) for v in (middle, *np.nanpercentile(values, [2.5, 97.5]))]


def purity_at(score, truth, weight, completeness):
    """
    Return the purity of the smallest sample that holds a share of the positive ones.
    """
    curve = purity_completeness(score, truth, weight=weight)
    enough = np.flatnonzero(curve.completeness >= completeness)
    return curve.purity[enough[0]] if len(enough) else np.nan


def describe(fields):
    """
    Return the figures of one shift.
    """
    truth, number, matched, scores = _joined(fields)
    score = scores['model']

    def contamination(weight):
        return 1 - purity_at(score, truth, weight, 0.97)

    return {
        'detections': len(truth),
        'clusters': int(truth.sum()),
        'auc': _with_interval(lambda w: roc_auc(score, truth, weight=w), number),
        'auc_of_matched': _with_interval(
            lambda w: roc_auc(score[matched], truth[matched], weight=w[matched]), number
        ),
        'ece': round(float(expected_calibration_error(score, truth)), 4),
        'contamination_at_97_percent': _with_interval(contamination, number),
    }


def compare(fields):
    """
    Return the gains of the whole model over parts of it, all skies together.
    """
    truth, number, _, scores = _joined(fields)
    results = {}
    for name in list(scores)[1:]:

        def gain_in_auc(weight, name=name):
            return roc_auc(scores['model'], truth, weight=weight) - roc_auc(
                scores[name], truth, weight=weight
            )

        def gain_in_purity(weight, name=name):
            own, other = (purity_at(scores[one], truth, weight, 0.95) for one in ('model', name))
            return own - other

        results[name] = {
            'auc': round(float(roc_auc(scores[name], truth)), 4),
            'gain_in_auc': _with_interval(gain_in_auc, number),
            'gain_in_purity_at_95_percent': _with_interval(gain_in_purity, number),
        }
    return results


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--fields', type=int, default=24, help='fields a shift')
    parser.add_argument('--workers', type=int, default=2)
    options = parser.parse_args()
    tasks = [
        (FIRST_SEED + 1000 * number + field, changes)
        for number, changes in enumerate(SHIFTS.values())
        for field in range(options.fields)
    ]
    with process_pool(options.workers) as pool:
        fields = list(
            progress(pool.map(one_field, tasks), total=len(tasks), label='fields', unit='field')
        )
    results = {'fields': options.fields, 'shifts': {}}
    shifted, with_optical = [], []
    for number, name in enumerate(SHIFTS):
        own = fields[number * options.fields : (number + 1) * options.fields]
        own = [field for field in own if field is not None]
        results['shifts'][name] = describe(own)
        print(name, results['shifts'][name], flush=True)
        if name != 'none':
            shifted += own
        if name not in ('none', 'no optical image'):
            with_optical += own
    results['shifted skies with an optical image'] = compare(with_optical)
    results['all shifted skies'] = describe(shifted)
    for name, values in results['shifted skies with an optical image'].items():
        print(name, values)
    (HERE / 'results' / 'shifts.json').write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
