# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fit elliptical King profiles to the brightest lone point source of the A1835 field::

    python validation/simulator/measure_point_source.py [--data FOLDER]

Writes ``results/point_source.json``: tangential core radius and axis ratio for the slopes 1.5 and
1.75, the difference in the Cash statistic, and how much worse other core radii are.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from fields import FIELDS, data_folder, find, read_field
from scipy.optimize import minimize

from clustercnn.simulate import get_mission

HERE = Path(__file__).resolve().parent
FIELD = 'A1835, XMM MOS2'
# arcsec
STAMP, CLEAR = 70.0, 45.0
SLOPES = (1.5, 1.75)
# pixels are averaged over a grid of this many points a side
N_POINTS = 3


def lone_source(image, catalog):
    """
    Return the row of the brightest point source that nothing else is near to.
    """
    x, y = np.asarray(catalog['x']), np.asarray(catalog['y'])
    scale = float(image.pixel_scale.value)
    away = np.hypot(x[:, None] - x, y[:, None] - y) * scale
    np.fill_diagonal(away, np.inf)
    point = np.nan_to_num(np.asarray(catalog['extent'], float)) == 0
    counts = np.where(point & (away.min(axis=1) > 2 * CLEAR), np.asarray(catalog['counts']), 0)
    return int(np.argmax(counts))


def stamp_of(image, x, y):
    """
    Return counts and exposure near a source, and offsets along and across its radius, in arcsec.
    """
    scale = float(image.pixel_scale.value)
    rows, columns = np.indices(image.shape)
    # the axis of this observation is near the middle of the field
    axis = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
    angle = np.arctan2(y - axis[1], x - axis[0])
    dx, dy = (columns - x) * scale, (rows - y) * scale
    exposure = image.exposure / image.exposure[round(y), round(x)]
    near = (np.hypot(dx, dy) < STAMP) & (exposure > 0.3)
    radial = dx * np.cos(angle) + dy * np.sin(angle)
    tangential = dy * np.cos(angle) - dx * np.sin(angle)
    off_axis = np.hypot(x - axis[0], y - axis[1]) * scale / 60
    return image.counts[near], exposure[near], radial[near], tangential[near], off_axis


def cash(parameters, slope, counts, exposure, radial, tangential, pixel):
    """
    Return the Cash statistic of an elliptical King profile with the best amplitude and background.
    """
    core, ratio = np.exp(parameters)
    steps = (np.arange(N_POINTS) - (N_POINTS - 1) / 2) * pixel / N_POINTS
    shape = np.mean(
        [
            (1 + ((radial + a) / (core * ratio)) ** 2 + ((tangential + b) / core) ** 2) ** -slope
            for a, b in itertools.product(steps, steps)
        ],
        axis=0,
    )
    shape = shape * exposure
    amplitude, level = counts.sum() / 2 / shape.sum(), counts.sum() / 2 / exposure.sum()
    # expectation maximisation: both stay positive
    for _ in range(100):
        share = counts / (amplitude * shape + level * exposure)
        amplitude *= (shape * share).sum() / shape.sum()
        level *= (exposure * share).sum() / exposure.sum()
    model = amplitude * shape + level * exposure
    return 2 * float((model - counts * np.log(model)).sum())


def measure(data):
    """
    Return the fits.
    """
    image = read_field(FIELDS[FIELD], data)
    catalog = find(image)
    row = lone_source(image, catalog)
    x, y = (float(np.asarray(catalog[name])[row]) for name in ('x', 'y'))
    *stamp, off_axis = stamp_of(image, x, y)
    pixel = float(image.pixel_scale.value)
    psf = get_mission('xmm').psf
    tangential = 1 + psf.stretch * (off_axis / psf.reference) ** 2
    ratio = 1 - psf.flattening * off_axis / psf.reference
    result = {
        'field': FIELD,
        'counts': round(float(np.asarray(catalog['counts'])[row])),
        'off_axis': round(off_axis, 1),
        'simulated': {
            'slope': psf.slope,
            'core_radius': round(psf.core_radius * tangential, 2),
            'axis_ratio': round(ratio, 2),
        },
        'fits': [],
    }
    for slope in SLOPES:
        best = minimize(cash, np.log([6.0, 0.8]), args=(slope, *stamp, pixel), method='Nelder-Mead')
        core, axis_ratio = np.exp(best.x)
        result['fits'].append(
            {
                'slope': slope,
                'core_radius': round(float(core), 2),
                'axis_ratio': round(float(axis_ratio), 2),
                'cash': round(float(best.fun), 1),
            }
        )
    least = min(fit['cash'] for fit in result['fits'])
    for fit in result['fits']:
        fit['cash_above_best'] = round(fit.pop('cash') - least, 1)
    own = np.log([psf.core_radius * tangential, ratio])
    result['simulated']['cash_above_best'] = round(cash(own, psf.slope, *stamp, pixel) - least, 1)
    # three times the growth, as circles of the calibrated semi-major axes would need
    own[0] = np.log(psf.core_radius * (3 * (tangential - 1) + 1))
    result['simulated']['cash_above_best_with_three_times_the_growth'] = round(
        cash(own, psf.slope, *stamp, pixel) - least, 1
    )
    return result


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path)
    options = parser.parse_args()
    result = measure(data_folder(options.data))
    text = json.dumps(result, indent=1)
    print(text)
    (HERE / 'results' / 'point_source.json').write_text(text + '\n')


if __name__ == '__main__':
    main()
