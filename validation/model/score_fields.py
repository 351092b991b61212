# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Score the shipped model on fresh simulated fields and on real ones::

    python validation/model/score_fields.py [--fields 40] [--data FOLDER]

Writes ``results/simulated_fields.json`` and ``results/real_fields.json``. The seeds of the
simulated fields were never used in training or calibration.
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord

from clustercnn import Classifier, evaluation
from clustercnn.models.sample import make_field_sample
from clustercnn.pipeline import run_field

HERE = Path(__file__).resolve().parent
FIRST_SEED = 900_000
# of the finder's counts, from the faintest detection to the brightest
COUNT_EDGES = (0, 25, 50, 100, 200, np.inf)
SETTINGS = {
    'xmm, usual settings': {'mission': 'xmm', 'randomised': False},
    'all missions, randomised': {'randomised': True},
}


def score_simulated(n_fields):
    """
    Return AUC and calibration on fresh simulated fields, with intervals over fields.
    """
    classifier = Classifier.from_pretrained()
    results = {}
    for number, (name, options) in enumerate(SETTINGS.items()):
        score, extent, ext_like, truth, field, real = [], [], [], [], [], []
        counts, kinds = [], []
        for seed in range(n_fields):
            seed += FIRST_SEED + 1000 * number
            stack, labels, matched = make_field_sample(seed, **options)
            if stack is None:
                continue
            score.append(classifier.predict(stack).p_positive)
            extent.append(np.nan_to_num(stack.features['extent']))
            ext_like.append(np.nan_to_num(stack.features['ext_like']))
            truth.append(labels.binary())
            field.append(np.full(len(stack), seed))
            # what stands on no source at all has no counterpart in the truth catalogue
            real.append(np.asarray(matched['source_id']) > 0)
            counts.append(np.nan_to_num(stack.features['counts']))
            kinds.append(np.array(matched['subclass'], dtype=str))
        score, extent, ext_like, truth, field, real = map(
            np.concatenate, (score, extent, ext_like, truth, field, real)
        )
        counts, kinds = np.concatenate(counts), np.concatenate(kinds)
        results[name] = {
            'fields': n_fields,
            'first_seed': FIRST_SEED + 1000 * number,
            'detections': len(truth),
            'clusters': int(truth.sum()),
            'matched': int(real.sum()),
            'auc_p_cluster': _with_interval(truth, score, field),
            'auc_p_cluster_of_matched': _with_interval(truth[real], score[real], field[real]),
            'auc_extent_of_matched': _with_interval(truth[real], extent[real], field[real]),
            'auc_ext_like_of_matched': _with_interval(truth[real], ext_like[real], field[real]),
            'auc_extent': _with_interval(truth, extent, field),
            'auc_ext_like': _with_interval(truth, ext_like, field),
            'gain_over_extent': _difference(truth, score, extent, field),
            'gain_over_ext_like': _difference(truth, score, ext_like, field),
            'ece': float(evaluation.expected_calibration_error(score, truth)),
            'by_counts': _by_counts(truth, score, field, counts),
            'by_kind': _by_kind(truth, score, kinds),
        }
    return results


def _by_counts(truth, score, field, counts):
    """
    Return the AUC among detections of about the same number of counts.
    """
    rows = []
    for low, high in itertools.pairwise(COUNT_EDGES):
        inside = (counts >= low) & (counts < high)
        n_clusters = int(truth[inside].sum())
        row = {'from': low, 'detections': int(inside.sum()), 'clusters': n_clusters}
        if 0 < n_clusters < row['detections']:
            row['auc'] = _with_interval(truth[inside], score[inside], field[inside])
        rows.append(row)
    return rows


def _by_kind(truth, score, kinds):
    """
    Return how well each kind is told from the clusters, or a kind of cluster from the others.
    """
    cluster, made = truth > 0.5, {}
    for kind in sorted(set(kinds.tolist())):
        own = kinds == kind
        is_cluster = bool(cluster[own].all())
        used = own | (~cluster if is_cluster else cluster)
        made[kind] = {
            'cluster': is_cluster,
            'detections': int(own.sum()),
            'auc': _auc(truth[used], score[used]),
            'accepted': float((score[own] > 0.5).mean()),
        }
    return made


def _auc(truth, score):
    return float(evaluation.roc_auc(score, truth))


def _resamples(field, n_resamples=500):
    """
    Yield rows of fields drawn with replacement: detections of a field are not independent.
    """
    rng = np.random.default_rng(1)
    seeds = np.unique(field)
    rows = {seed: np.flatnonzero(field == seed) for seed in seeds}
    for _ in range(n_resamples):
        yield np.concatenate([rows[seed] for seed in rng.choice(seeds, len(seeds))])


def _with_interval(truth, score, field):
    # a resample of few detections may hold one class only
    drawn = [rows for rows in _resamples(field) if 0 < truth[rows].mean() < 1]
    values = [_auc(truth[rows], score[rows]) for rows in drawn]
    return [_auc(truth, score), *np.percentile(values, [2.5, 97.5]).tolist()]


def _difference(truth, one, other, field):
    values = [
        _auc(truth[rows], one[rows]) - _auc(truth[rows], other[rows]) for rows in _resamples(field)
    ]
    difference = _auc(truth, one) - _auc(truth, other)
    return [difference, *np.percentile(values, [2.5, 97.5]).tolist()]


REAL = {
    'A1835, XMM MOS2': {
        'xray': 'xmm_a1835_mos2/P0098010101M2U009IMAGE_3000.FTZ',
        'exposure': 'xmm_a1835_mos2/P0098010101M2U009EXPMAP3000.FTZ',
        'position': (210.2586, 2.8786),
    },
    'eFEDS patch, 0.6-1.1 keV': {
        'xray': 'erosita_efeds_patch/img_0600_1100.fits.gz',
        'exposure': 'erosita_efeds_patch/expmap_norm_0600_1100.fits.gz',
        'position': (140.33848, 3.2906),
    },
}


def score_real(data):
    """
    Return what the chain makes of the real fields.
    """
    results = {}
    for name, source in REAL.items():
        started = time.perf_counter()
        result = run_field(data / source['xray'], exposure=data / source['exposure'], quiet=True)
        seconds = time.perf_counter() - started
        target = SkyCoord(*source['position'], unit='deg')
        separation = result.catalog.positions.separation(target).arcsec
        near = np.flatnonzero(separation < 60)
        results[name] = {
            'candidates': len(result.catalog),
            'seconds': round(seconds, 1),
            'within_60_arcsec': [
                {
                    'rank': int(row.extra['rank']),
                    'separation_arcsec': round(float(separation[index]), 1),
                    'p_cluster': round(float(row.extra['p_cluster']), 4),
                    'extent_arcsec': round(float(row.extent.value), 1),
                    'ext_like': round(float(row.ext_like), 1),
                    'counts': round(float(row.counts.value), 1),
                    'flags': list(row.flag_names),
                }
                for index, row in ((index, result.catalog[int(index)]) for index in near)
            ],
            'p_cluster_above_0.5': int((np.asarray(result.catalog['p_cluster']) > 0.5).sum()),
        }
    return results


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--fields', type=int, default=40)
    parser.add_argument('--data', type=Path, default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    options = parser.parse_args()
    (HERE / 'results').mkdir(exist_ok=True)
    outcome = {'simulated_fields': score_simulated(options.fields)}
    if options.data is not None:
        outcome['real_fields'] = score_real(Path(options.data))
    for name, content in outcome.items():
        text = json.dumps(content, indent=2)
        (HERE / 'results' / f'{name}.json').write_text(text + '\n')
        print(name, text)


if __name__ == '__main__':
    main()
