# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Count the sources that the wavelet finder makes of *simulated* noise on a known background::

    python validation/finder/calibrate_false_alarms.py [--quick]

Writes ``results/false_alarms.json``: for each number of counts expected in a square of the
finest scale, false alarms over ``t**2`` times the upper tail of a Gaussian at ``t``, a place.
The finder uses these for PSFs of two and of four pixels, made smooth by hand.
"""

import argparse
import json
from pathlib import Path

import astropy.units as u
import numpy as np
from scipy import special

from clustercnn import WaveletFinder, XrayImage
from clustercnn.testing import tiny_wcs

HERE = Path(__file__).resolve().parent
COUNTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
# higher thresholds are rarer to be passed
FIELDS = {3.5: 1, 4.0: 3, 4.5: 6}
# side of a field for each finest scale
SIZES = {1: 600, 2: 800}
PIXEL = 2.5


def false_alarms(scale, counts, size, times):
    """
    Return how many sources were made, and at how many places times their rarity.
    """
    wcs = tiny_wcs(shape=(size, size), pixel_scale=PIXEL)
    expected = np.full((size, size), counts / 4**scale, np.float32)
    made = weight = 0
    for threshold, n_fields in FIELDS.items():
        finder = WaveletFinder(threshold=threshold)
        for number in range(times * n_fields):
            rng = np.random.default_rng([scale, round(100 * counts), number])
            image = XrayImage(
                counts=rng.poisson(expected).astype(np.float32),
                wcs=wcs,
                background=expected,
                psf_fwhm=2.0**scale * PIXEL * u.arcsec,
            )
            made += len(finder(image))
        rarity = threshold**2 * special.ndtr(-threshold)
        weight += times * n_fields * size**2 / 4**scale * rarity
    return made, weight


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--quick', action='store_true', help='a quarter of the fields')
    parser.add_argument('-o', '--output', type=Path, default=HERE / 'results' / 'false_alarms.json')
    options = parser.parse_args()
    times = 1 if options.quick else 4
    rows = []
    for counts in COUNTS:
        row = {'counts': counts}
        totals = np.zeros(2)
        for scale, size in SIZES.items():
            made, weight = false_alarms(scale, counts, size, times)
            totals += made, weight
            row[f'factor, PSF of {2**scale} pixels'] = round(made / weight, 4)
        row['factor'] = round(totals[0] / totals[1], 4)
        row['error'] = round(np.sqrt(totals[0]) / totals[1], 4)
        rows.append(row)
        print(row, flush=True)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
    main()
