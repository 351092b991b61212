# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure what the wavelet finder makes of sources of one kind at a time, and of none::

    python validation/finder/measure_sources.py [--data FOLDER] [--quick]

Writes ``results/sources.json``. The fields are *simulated*: real detector masks of
XMM-Newton where they are at hand, Poisson background, sources behind the point spread of
the simulator.
"""

import argparse
import itertools
import json
import os
from pathlib import Path

import numpy as np
from skies import draw_places, epic_sky, mission_sky, photograph

from clustercnn import WaveletFinder, evaluation

HERE = Path(__file__).resolve().parent
EXPOSURES = (3e3, 1e4, 3e4, 6e4)
FALSE_ALARMS = (0.5, 2.0, 8.0)


class Sample:
    """
    Fields of one kind of source, and the candidates at each of them.

    Parameters
    ----------
    sky : Sky
        How the fields are looked at.
    draw : callable
        Takes a generator, returns the sources at one place (a list of dictionaries without
        place, but with offsets ``dx``, ``dy`` where wanted); the first is the main one.
    n_fields, n_sources : int
        Fields, and places in each.
    apart, reach : float
        Distance of the places, and how far from one a candidate belongs to it, in arcsec.
    finder : callable
        The finder.
    seed : int
        Of the first field.
    """

    def __init__(self, sky, draw, *, n_fields, n_sources, apart, reach, finder, seed):
        self.rows = []
        self.n_spurious = 0
        for number in range(n_fields):
            rng = np.random.default_rng([seed, number])
            groups = []
            for x, y in zip(*draw_places(sky, n_sources, apart=apart, rng=rng), strict=True):
                group = draw(rng)
                for source in group:
                    source['x'] = x + source.get('dx', 0.0)
                    source['y'] = y + source.get('dy', 0.0)
                groups.append(group)
            image, seen, expected = photograph(sky, list(itertools.chain(*groups)), rng)
            catalog = finder(image)
            self._collect(sky, groups, seen, expected, catalog, reach)

    def _collect(self, sky, groups, seen, expected, catalog, reach):
        x = (np.asarray(catalog['x']) - sky.centre[0]) * sky.pixel
        y = (np.asarray(catalog['y']) - sky.centre[1]) * sky.pixel
        taken = np.zeros(len(catalog), bool)
        first = 0
        for group in groups:
            photons = seen[first : first + len(group)]
            mean = expected[first : first + len(group)].sum()
            first += len(group)
            main = group[0]
            distance = np.hypot(x - main['x'], y - main['y'])
            near = distance < reach
            taken |= near
            here = np.flatnonzero(near)
            nearest = here[np.argmin(distance[here])] if len(here) else -1
            row = {
                'photons': int(photons.sum()),
                'expected': float(mean),
                'core_radius': main.get('core_radius', 0.0),
                'n_candidates': len(here),
                'n_extended': int(catalog.extended()[here].sum()),
                'ext_like': float(np.asarray(catalog['ext_like'])[here].max(initial=0.0)),
                'found': bool(len(here)),
            }
            if nearest >= 0:
                row |= {
                    name: float(np.asarray(catalog[name])[nearest])
                    for name in ('counts', 'counts_err', 'extent', 'extent_err', 'pos_err')
                }
                row |= {'dx': x[nearest] - main['x'], 'dy': y[nearest] - main['y']}
            self.rows.append(row)
        self.n_spurious += int((~taken).sum())

    def column(self, name):
        """
        Return one number of every source, NaN where nothing was found.
        """
        return np.array([row.get(name, np.nan) for row in self.rows], float)


def _rate(hits):
    """
    Return a share with its 95 per cent interval (Wilson 1927).
    """
    hits = np.asarray(hits, bool)
    n, share, z = len(hits), hits.mean(), 1.96
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return {'share': round(float(share), 4), 'from': round(float(centre - half), 4),
            'to': round(float(centre + half), 4), 'n': n}  # fmt: skip


def spurious(make_sky, n_fields):
    """
    Return spurious sources a field without sources, asked and made.
    """
    rows = []
    for exposure in EXPOSURES:
        for factor in (1.0, 3.0):
            sky = make_sky(exposure=exposure, background_factor=factor)
            images = [
                photograph(sky, [], np.random.default_rng([7, n, int(exposure), int(factor)]))[0]
                for n in range(n_fields)
            ]
            for asked in FALSE_ALARMS:
                finder = WaveletFinder(false_alarms=asked)
                total = sum(len(finder(image)) for image in images)
                rows.append(
                    {
                        'exposure': exposure,
                        'background': factor,
                        'asked': asked,
                        'made': round(total / n_fields, 3),
                        'error': round(np.sqrt(max(total, 1)) / n_fields, 3),
                    }
                )
                print(rows[-1], flush=True)
    return rows


def _log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _shape(rng):
    return {'axis_ratio': rng.uniform(0.7, 1.0), 'angle': rng.uniform(0, np.pi)}


def small_cluster(rng):
    """
    Return a cluster of 80 counts.
    """
    return [{'counts': 80, 'core_radius': rng.uniform(10, 20), **_shape(rng)}]


def faint_point(_):
    """
    Return a point source of 40 counts.
    """
    return [{'counts': 40}]


def bright_cluster(rng):
    """
    Return a cluster of more than 1000 counts.
    """
    core = _log_uniform(rng, 10, 60)
    return [{'counts': _log_uniform(rng, 1e3, 2e4), 'core_radius': core, **_shape(rng)}]


def bright_cluster_with_agn(rng):
    """
    Return one with a point source in its centre.
    """
    cluster = bright_cluster(rng)
    agn = {'counts': cluster[0]['counts'] * _log_uniform(rng, 0.05, 0.5)}
    return [*cluster, agn]


def wide_cluster(rng):
    """
    Return a nearby cluster that spans the field, wider than any model.
    """
    core = _log_uniform(rng, 120, 330)
    return [{'counts': _log_uniform(rng, 3e4, 3e5), 'core_radius': core, **_shape(rng)}]


def middle_cluster(rng):
    """
    Return a cluster of 100 to 1000 counts.
    """
    core = _log_uniform(rng, 10, 40)
    return [{'counts': _log_uniform(rng, 100, 1000), 'core_radius': core, **_shape(rng)}]


def middle_point(rng):
    """
    Return a point source of 100 to 1000 counts.
    """
    return [{'counts': _log_uniform(rng, 100, 1000)}]


def agn_pair(rng):
    """
    Return two point sources 10 arcsec apart.
    """
    angle = rng.uniform(0, 2 * np.pi)
    total, share = _log_uniform(rng, 100, 1000), rng.uniform(0.3, 0.7)
    return [
        {'counts': total * share},
        {'counts': total * (1 - share), 'dx': 10 * np.cos(angle), 'dy': 10 * np.sin(angle)},
    ]


def measured(clusters, points):
    """
    Return bias and width of the pulls of counts, extent and position above 200 counts.
    """
    results = {}
    for name, sample in (('cluster', clusters), ('point', points)):
        bright = sample.column('photons') > 200
        expected, counts = sample.column('expected')[bright], sample.column('counts')[bright]
        found = np.isfinite(counts)
        pull = ((counts - expected) / sample.column('counts_err')[bright])[found]
        results[name] = {
            'n': int(found.sum()),
            'counts_bias': round(float(np.median((counts / expected)[found]) - 1), 4),
            'counts_pull_width': round(_width(pull), 3),
            'position_pull_width': round(
                _width(
                    np.concatenate(
                        [
                            (sample.column(axis) / sample.column('pos_err'))[bright][found]
                            for axis in ('dx', 'dy')
                        ]
                    )
                ),
                3,
            ),
        }
        if name == 'cluster':
            extent, truth = sample.column('extent')[bright], sample.column('core_radius')[bright]
            pull = ((extent - truth) / sample.column('extent_err')[bright])[found]
            results[name] |= {
                'extent_bias': round(float(np.median((extent / truth)[found]) - 1), 4),
                'extent_pull_width': round(_width(pull), 3),
            }
    return results


def _width(pull):
    return float(np.subtract(*np.percentile(pull, [84.13, 15.87])) / 2)


def sources(sky, n_fields, seed):
    """
    Return completeness, splits, extents and pulls in one kind of field.
    """
    few = {'finder': WaveletFinder(false_alarms=0.5), 'n_fields': n_fields}
    small = Sample(sky, small_cluster, n_sources=14, apart=200, reach=25, seed=seed, **few)
    faint = Sample(sky, faint_point, n_sources=14, apart=200, reach=15, seed=seed + 1, **few)
    middle = Sample(sky, middle_cluster, n_sources=10, apart=280, reach=30, seed=seed + 2, **few)
    points = Sample(sky, middle_point, n_sources=14, apart=200, reach=20, seed=seed + 3, **few)
    pairs = Sample(sky, agn_pair, n_sources=14, apart=200, reach=25, seed=seed + 4, **few)
    bright = Sample(sky, bright_cluster, n_sources=3, apart=560, reach=200, seed=seed + 5, **few)
    agn = Sample(
        sky, bright_cluster_with_agn, n_sources=3, apart=560, reach=200, seed=seed + 6, **few
    )
    wide = Sample(sky, wide_cluster, n_sources=1, apart=900, reach=900, seed=seed + 7, **few)
    likelihood = np.concatenate([middle.column('ext_like'), points.column('ext_like')])
    truth = np.repeat([True, False], [len(middle.rows), len(points.rows)])
    return {
        'clusters of 80 counts found': _rate(small.column('found')),
        'points of 40 counts found': _rate(faint.column('found')),
        'bright clusters: one extended source': _rate(bright.column('n_extended') == 1),
        'bright clusters with AGN: one extended source': _rate(agn.column('n_extended') == 1),
        'clusters that span the field: one extended source': _rate(wide.column('n_extended') == 1),
        'bright clusters: candidates within 200 arcsec': round(
            float(bright.column('n_candidates').mean()), 2
        ),
        'AUC of ext_like, clusters against points of 100 to 1000 counts': round(
            float(evaluation.roc_auc(likelihood, truth)), 4
        ),
        'AGN pairs called extended': _rate(pairs.column('n_extended') > 0),
        'AGN pairs called extended, ext_like above 15': _rate(pairs.column('ext_like') > 15),
        'pulls': measured(middle, points),
        'spurious sources in those fields': small.n_spurious + faint.n_spurious,
    }


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path, default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    parser.add_argument('--quick', action='store_true', help='a fifth of the fields')
    parser.add_argument('-o', '--output', type=Path, default=HERE / 'results' / 'sources.json')
    options = parser.parse_args()
    if options.data is None:
        parser.error('the masks are needed: name the folder that holds sim_support with --data')
    folder = Path(options.data) / 'sim_support'
    n_fields = 10 if options.quick else 50

    def make_sky(**settings):
        return epic_sky(folder, **settings)

    results = {'fields': n_fields}
    results['xmm 10 ks'] = sources(make_sky(exposure=1e4), n_fields, 100)
    print(json.dumps(results, indent=1), flush=True)
    others = {
        'erosita, 4 arcsec': mission_sky('erosita-pointed', pixel=4.0, size=700, exposure=3e3),
        'chandra, 2 arcsec': mission_sky('chandra', pixel=2.0, size=500, exposure=3e4),
    }
    for number, (name, sky) in enumerate(others.items()):
        results[name] = sources(sky, max(n_fields // 2, 3), 200 + 100 * number)
        print(name, json.dumps(results[name], indent=1), flush=True)
    results['spurious'] = spurious(make_sky, n_fields)
    text = json.dumps(results, indent=1)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    main()
