# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Explain what the shipped model says of real fields::

    python validation/networks/explain_fields.py

For each field the cluster that is known, or else the candidate that ranks first, is explained.
Writes ``results/<field>.json`` and ``results/<field>.png`` beside this file. The real fields are
found through the environment variable ``CLUSTERCNN_SHARED_DATA``.
"""

import json
import os
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord

from clustercnn import Classifier
from clustercnn.explanation import (
    grad_cam,
    integrated_gradients,
    occlusion,
    plot_attributions,
)
from clustercnn.pipeline import run_field

RESULTS = Path(__file__).parent / 'results'
# name, title, image and further options of run_field, position of a known cluster in deg
FIELDS = (
    (
        'a1835',
        'A1835, XMM MOS2',
        {
            'xray': 'xmm_a1835_mos2/P0098010101M2U009IMAGE_3000.FTZ',
            'exposure': 'xmm_a1835_mos2/P0098010101M2U009EXPMAP3000.FTZ',
        },
        (210.2586, 2.8786),
    ),
    ('ngc5044', 'NGC 5044, Chandra', {'xray': 'chandra/NGC5044_9399_img.fits.gz'}, None),
    ('3c273', '3C 273, Chandra', {'xray': 'chandra/3c273.fits.gz'}, None),
    ('g21', 'G21.5, Chandra', {'xray': 'chandra/image2.fits.gz'}, None),
    (
        'cygnus',
        'Cygnus, ROSAT',
        {'xray': 'rosat_skyview/pspc_skyview.fits.gz', 'allow_flux': True},
        None,
    ),
)
N_FIRST = 3


def _row(candidate):
    extra = candidate.extra
    return {
        'rank': int(extra['rank']),
        'p_cluster': round(float(extra['p_cluster']), 4),
        'p_other': round(float(extra['p_other']), 4),
        'ood': round(float(extra['ood']), 2),
        'counts': round(float(candidate.counts.value)),
        'extent_arcsec': round(float(candidate.extent.value), 1),
        'flags': list(candidate.flag_names),
    }


def explain(name, title, source, position, data):
    """
    Run a field, explain one candidate, write both files.
    """
    paths = {key: data / value for key, value in source.items() if isinstance(value, str)}
    result = run_field(**(source | paths), quiet=True)
    catalog, separation = result.catalog, None
    row = int(np.argmin(catalog['rank']))
    if position is not None:
        target = SkyCoord(*position, unit='deg')
        separation = catalog.positions.separation(target).arcsec
        row = int(np.argmin(separation))
    one = result.stack.select([catalog['id'][row]])
    classifier = Classifier.from_pretrained()
    attributions = [
        method(classifier, one) for method in (integrated_gradients, occlusion, grad_cam)
    ]
    gradients = attributions[0]
    score = np.asarray(catalog['p_cluster'])
    found = {
        'title': title,
        'candidates': len(catalog),
        'p_cluster_above_0.5': int((score > 0.5).sum()),
        'of_these_stranger_than_95_percent': int(
            ((score > 0.5) & (np.asarray(catalog['ood']) > 1)).sum()
        ),
        'first': [_row(catalog[index]) for index in range(min(N_FIRST, len(catalog)))],
        'separation_arcsec': None if separation is None else float(separation[row]),
        'p_cluster': float(score[row]),
        'rank': int(catalog['rank'][row]),
        'log_odds': float(gradients.score[0]),
        'log_odds_of_nothing': float(gradients.baseline[0]),
        'bands': {band: float(x.sum()) for band, x in gradients.bands.items()},
        'features': {feature: float(x[0]) for feature, x in gradients.features.items()},
        'gap': float(gradients.gap[0]),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f'{name}.json').write_text(json.dumps(found, indent=2) + '\n')
    text = f'{title}: log-odds of a cluster {gradients.score[0]:+.2f}'
    figure = plot_attributions(one, attributions, title=text)
    figure.savefig(RESULTS / f'{name}.png', dpi=100, metadata={'Software': None})
    return found


def main():
    """
    Explain all fields.
    """
    data = Path(os.environ['CLUSTERCNN_SHARED_DATA'])
    for field in FIELDS:
        found = explain(*field, data)
        keys = ('candidates', 'p_cluster_above_0.5', 'p_cluster', 'rank')
        print(field[1], {key: found[key] for key in keys}, flush=True)


if __name__ == '__main__':
    main()
