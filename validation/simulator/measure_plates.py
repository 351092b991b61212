# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare simulated plates with scans of real ones::

    python validation/simulator/measure_plates.py [--data FOLDER] [--fields N]

Writes ``results/plates.json``: skewness, bright and saturated pixels, correlation and power of
the noise, width and number of stars. Every real scan is compared with many pieces of simulated
plates at its Galactic latitude, of its size, pixel and depth, with the same parts left out.
"""

import argparse
import itertools
import json
from pathlib import Path

import astropy.units as u
import numpy as np
from fields import data_folder
from photutils.detection import DAOStarFinder
from scipy import ndimage, stats
from scipy.optimize import curve_fit

from clustercnn.io import read_optical
from clustercnn.simulate import SimulationConfig, simulate_field

HERE = Path(__file__).resolve().parent
LAGS = (1, 2, 3, 5)
# edges in cycles a pixel
FREQUENCIES = (0.02, 0.06, 0.12, 0.25, 0.5)
PLATES = {
    # depth as SimulationConfig quotes it for the survey; pixel in arcsec; what to leave out is
    # a circle about the middle, in pixels; wide structure is taken away where there is a nebula
    'HD 219829, POSS-I E': {
        'file': 'dss_hd219829.fits.gz',
        'position': (349.73, 5.405),
        'pixel': 1.7,
        'depth': 20.0,
        'hole': 42,
        'nebula': False,
    },
    'Horsehead, SERC-ER': {
        'file': 'horsehead_serc_er.fits.gz',
        'position': (85.27, -2.46),
        'pixel': 1.01,
        'depth': 21.5,
        'hole': 0,
        'nebula': True,
    },
    'M13, DSS (outskirts)': {
        'file': 'm13_dss.fits.gz',
        'position': (250.42, 36.46),
        'pixel': 1.0,
        'depth': 20.8,
        'hole': 150,
        'nebula': False,
    },
}


def plate_statistics(data, hole, *, nebula):
    """
    Return the statistics of one scan.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        The scan.
    hole : float
        Radius of the circle about the middle that is left out, in pixels.
    nebula : bool
        Whether to take away what is wider than 65 pixels.

    Returns
    -------
    statistics : dict of float
        By name.
    """
    data = np.asarray(data, float)
    top = data.max()
    row, column = np.indices(data.shape)
    middle = [(size - 1) / 2 for size in data.shape]
    used = np.hypot(row - middle[0], column - middle[1]) > hole
    saturated = (data[used] > 0.95 * top).mean()
    if nebula:
        small = ndimage.median_filter(data[::4, ::4], 17)
        wide = ndimage.zoom(
            small, [n / m for n, m in zip(data.shape, small.shape, strict=True)], order=1
        )
        data = data - wide
    sky = np.median(data[used])
    # from the darker half, which stars do not reach
    sigma = 1.4826 * np.median(sky - data[used & (data <= sky)])
    scaled = (data - sky) / sigma
    values = scaled[used]
    quiet = used & ~ndimage.binary_dilation(ndimage.gaussian_filter(scaled, 1) > 1.5, iterations=3)
    result = {
        'skewness within 5 sigma': float(stats.skew(values[np.abs(values) < 5])),
        'share above 5 sigma': float((values > 5).mean()),
        'share above 20 sigma': float((values > 20).mean()),
        'share saturated': float(saturated),
        'noise over sky': float(sigma / abs(sky)) if not nebula else float(sigma / top),
    }
    for lag in LAGS:
        pair = quiet[:, lag:] & quiet[:, :-lag]
        a, b = scaled[:, lag:][pair], scaled[:, :-lag][pair]
        result[f'noise correlation, {lag} pixels'] = float(np.corrcoef(a, b)[0, 1])
    for name, value in _power(scaled, quiet).items():
        result[f'noise power, {name}'] = value
    widths, n_stars = _stars(scaled, used)
    result['FWHM in pixels'] = float(np.median(widths)) if len(widths) >= 3 else np.nan
    result['stars a Mpixel'] = n_stars / used.sum() * 1e6
    return result


def _power(scaled, quiet):
    """
    Return the shares of the power of the noise by spatial frequency; stars are filled with zeros.
    """
    filled = np.where(quiet, scaled - scaled[quiet].mean(), 0.0)
    power = np.abs(np.fft.fft2(filled)) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in filled.shape), indexing='ij'))
    edges = itertools.pairwise(FREQUENCIES)
    bands = {
        f'{low:g}-{high:g} a pixel': power[(frequency >= low) & (frequency < high)].mean()
        for low, high in edges
    }
    total = sum(bands.values())
    return {name: float(value / total) for name, value in bands.items()}


def _stars(scaled, used):
    """
    Return the widths of unsaturated stars, and how many stars of 8 sigma there are.
    """
    found = DAOStarFinder(threshold=8.0, fwhm=3.0)(scaled)
    if found is None:
        return [], 0
    names = (
        ('x_centroid', 'y_centroid')
        if 'x_centroid' in found.colnames
        else ('xcentroid', 'ycentroid')
    )
    x, y = (np.asarray(found[name]) for name in names)
    inside = used[np.rint(y).astype(int), np.rint(x).astype(int)]
    x, y = x[inside], y[inside]
    peak = scaled[np.rint(y).astype(int), np.rint(x).astype(int)]
    widths = []
    middle = np.flatnonzero((peak > 8) & (peak < 0.4 * scaled.max()))
    for number in middle[:150]:
        left, low = round(x[number]) - 7, round(y[number]) - 7
        box = scaled[low : low + 15, left : left + 15]
        if box.shape != (15, 15) or left < 0 or low < 0:
            continue
        width = _width(box)
        if width is not None:
            widths.append(width)
    return widths, len(x)


def _width(box):
    row, column = np.indices(box.shape)

    def star(places, height, x, y, sigma, level):
        r, c = places
        return level + height * np.exp(-((c - x) ** 2 + (r - y) ** 2) / (2 * sigma**2))

    start = (box.max(), 7.0, 7.0, 1.5, 0.0)
    try:
        fit, _ = curve_fit(star, (row.ravel(), column.ravel()), box.ravel(), start, maxfev=400)
    except RuntimeError:
        return None
    good = abs(fit[1] - 7) < 2 and abs(fit[2] - 7) < 2 and 0.4 < abs(fit[3]) < 5
    return 2.3548 * abs(fit[3]) if good else None


def pieces(data, shape, n, rng):
    """
    Return pieces of an image.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        The image.
    shape : 2-tuple of int
        Of the pieces.
    n : int
        How many.
    rng : `~numpy.random.Generator`
        Source of the places.

    Returns
    -------
    pieces : list of 2D `~numpy.ndarray`
        They may overlap.
    """
    corners = [
        (
            rng.integers(0, data.shape[0] - shape[0] + 1),
            rng.integers(0, data.shape[1] - shape[1] + 1),
        )
        for _ in range(n)
    ]
    return [data[y : y + shape[0], x : x + shape[1]] for y, x in corners]


def _middle_and_range(values):
    """
    Return the median and the range of 19 in 20, NaN where most values are.
    """
    known = [value for value in values if np.isfinite(value)]
    return np.percentile(known, [50, 2.5, 97.5]) if 2 * len(known) > len(values) else [np.nan] * 3


def _rounded(values):
    # JSON has no NaN
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path)
    parser.add_argument('--fields', type=int, default=6, help='simulated plates a real one')
    options = parser.parse_args()
    folder = data_folder(options.data) / 'optical'
    rng = np.random.default_rng(1)
    results = {}
    for name, plate in PLATES.items():
        frame = read_optical(folder / plate['file'])
        how = {'hole': plate['hole'], 'nebula': plate['nebula']}
        real = plate_statistics(frame.data, **how)
        # the seeing is that of the stars on the plate, 3 arcsec where there are too few: it is
        # not what is compared
        seeing = np.nan_to_num(real['FWHM in pixels'] * plate['pixel'], nan=3.0)
        config = SimulationConfig(
            position=plate['position'],
            optical_depth=plate['depth'],
            optical_pixel_scale=plate['pixel'] * u.arcsec,
            optical_seeing=seeing * u.arcsec,
            target='none',
            cluster_boost=1.0,
            exposure=1 * u.ks,
        )
        rows = []
        for seed in range(300, 300 + options.fields):
            data = simulate_field(seed=seed, config=config).optical.data
            shape = tuple(min(a, b) for a, b in zip(frame.shape, data.shape, strict=True))
            n = 4 if shape[0] < 400 else 1
            rows += [plate_statistics(piece, **how) for piece in pieces(data, shape, n, rng)]
        results[name] = {
            'pieces': len(rows),
            'pixel_arcsec': plate['pixel'],
            'depth': plate['depth'],
            'statistics': {
                key: {
                    'real': _rounded([real[key]])[0],
                    'simulated': _rounded(_middle_and_range([row[key] for row in rows])),
                }
                for key in real
            },
        }
        print(name, json.dumps(results[name]['statistics']), flush=True)
    (HERE / 'results' / 'plates.json').write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
