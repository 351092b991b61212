# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Explain the shipped model's score of the cluster A1835 in the image of XMM MOS2::

    python validation/networks/explain_cluster.py

Writes ``results/a1835.json`` and ``results/a1835.png`` beside this file. The real fields are
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
IMAGE = 'xmm_a1835_mos2/P0098010101M2U009IMAGE_3000.FTZ'
EXPOSURE = 'xmm_a1835_mos2/P0098010101M2U009EXPMAP3000.FTZ'
POSITION = (210.2586, 2.8786)  # deg


def main():
    """
    Find the cluster, explain its score, write both files.
    """
    data = Path(os.environ['CLUSTERCNN_SHARED_DATA'])
    result = run_field(data / IMAGE, exposure=data / EXPOSURE, quiet=True)
    target = SkyCoord(*POSITION, unit='deg')
    separation = result.catalog.positions.separation(target).arcsec
    row = int(np.argmin(separation))
    one = result.stack.select([result.catalog['id'][row]])
    classifier = Classifier.from_pretrained()
    attributions = [
        explain(classifier, one) for explain in (integrated_gradients, occlusion, grad_cam)
    ]
    gradients = attributions[0]
    found = {
        'separation_arcsec': float(separation[row]),
        'p_cluster': float(result.catalog['p_cluster'][row]),
        'rank': int(result.catalog['rank'][row]),
        'log_odds': float(gradients.score[0]),
        'log_odds_of_nothing': float(gradients.baseline[0]),
        'bands': {name: float(x.sum()) for name, x in gradients.bands.items()},
        'features': {name: float(x[0]) for name, x in gradients.features.items()},
        'gap': float(gradients.gap[0]),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / 'a1835.json').write_text(json.dumps(found, indent=2) + '\n')
    title = f'A1835, XMM MOS2: log-odds of a cluster {gradients.score[0]:+.2f}'
    figure = plot_attributions(one, attributions, title=title)
    figure.savefig(RESULTS / 'a1835.png', dpi=110, metadata={'Software': None})


if __name__ == '__main__':
    main()
