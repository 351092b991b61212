# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure false alarms and the likelihood of extent of the wavelet finder::

    python validation/finder/measure_finder.py [--data FOLDER]

Writes ``results/finder.json``.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

from clustercnn import WaveletFinder, evaluation
from clustercnn.io import read_image
from clustercnn.models.sample import mission_of
from clustercnn.simulate import SimulationConfig, simulate_field
from clustercnn.testing import tiny_image

HERE = Path(__file__).resolve().parent
SIDE = 256
REAL = {
    'A1835, XMM MOS2': (
        'xmm_a1835_mos2/P0098010101M2U009IMAGE_3000.FTZ',
        'xmm_a1835_mos2/P0098010101M2U009EXPMAP3000.FTZ',
    ),
    'eFEDS patch, 0.6-1.1 keV': (
        'erosita_efeds_patch/img_0600_1100.fits.gz',
        'erosita_efeds_patch/expmap_norm_0600_1100.fits.gz',
    ),
}


def false_alarms(n_fields=12):
    """
    Return spurious sources a field of flat simulated background, asked and made.
    """
    rows = []
    for level in (0.02, 0.2, 2.0):
        for asked in (0.3, 3, 30):
            total = 0
            for seed in range(n_fields):
                rng = np.random.default_rng([seed, int(level * 100)])
                counts = rng.poisson(level, (SIDE, SIDE))
                image = tiny_image(shape=(SIDE, SIDE)).replace(counts=counts)
                total += len(WaveletFinder(false_alarms=asked)(image))
            rows.append(
                {
                    'counts_per_pixel': level,
                    'asked': asked,
                    'made': total / n_fields,
                    'error': np.sqrt(total) / n_fields,
                }
            )
    return rows


def extents(first_seed, n_fields, *, randomised):
    """
    Return how well the likelihood of extent tells simulated clusters from all else.
    """
    likelihood, classes = [], []
    for seed in range(first_seed, first_seed + n_fields):
        mission = mission_of(seed) if randomised else 'xmm'
        config = SimulationConfig.randomised(seed, mission=mission) if randomised else None
        field = simulate_field(seed=seed, mission=mission, config=config)
        catalog = WaveletFinder()(field.xray)
        likelihood.append(np.asarray(catalog['ext_like']))
        classes += [str(name) for name in field.match(catalog)['class']]
    likelihood, classes = np.concatenate(likelihood), np.array(classes)
    return {
        'fields': n_fields,
        'first_seed': first_seed,
        'detections': len(classes),
        'clusters': int((classes == 'cluster').sum()),
        'auc_ext_like': float(evaluation.roc_auc(likelihood, classes == 'cluster')),
        'point_sources_above_6': float((likelihood[classes == 'point'] > 6).mean()),
    }


def real_fields(data):
    """
    Return how many sources are found in real fields, and how many are extended.
    """
    results = {}
    for name, (xray, exposure) in REAL.items():
        catalog = WaveletFinder()(read_image(data / xray, exposure=data / exposure))
        results[name] = {
            'sources': len(catalog),
            'extended': int(catalog.extended().sum()),
            'extended_above_6': int((np.asarray(catalog['ext_like']) > 6).sum()),
        }
    return results


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path, default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    options = parser.parse_args()
    results = {
        'simulated': {
            'false_alarms': false_alarms(),
            'xmm, usual settings': extents(950_000, 6, randomised=False),
            'all missions, randomised': extents(951_000, 8, randomised=True),
        }
    }
    if options.data is not None:
        results['real'] = real_fields(Path(options.data))
    text = json.dumps(results, indent=1)
    (HERE / 'results').mkdir(exist_ok=True)
    (HERE / 'results' / 'finder.json').write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    main()
