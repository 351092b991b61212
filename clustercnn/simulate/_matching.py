# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Labels for detections from the origin of the photons they stand on.
"""

import astropy.units as u
import numpy as np
from astropy.table import QTable

from clustercnn._utils.validation import check_angle, check_positive

__all__ = ['match_detections']

_LARGEST_RADIUS = 90.0
_MINIMUM_PHOTONS = 3
_MINIMUM_SIGNIFICANCE = 2.0
_MINOR_SHARE = 0.2
_PAIR_SHARE = 0.3


class _PixelIndex:
    """
    The photons of an image in pixel order, for quick look-up in circles.
    """

    def __init__(self, origin, shape):
        self.shape = shape
        order = np.argsort(origin.pixel, kind='stable')
        self.pixel = origin.pixel[order].astype(np.int64)
        self.source = origin.source_id[order].astype(np.int64)
        self.n = origin.n[order].astype(np.int64)

    def circle(self, x, y, radius):
        """
        Return source numbers and photons in a circle of pixels, and its pixels.
        """
        ny, nx = self.shape
        first, last = max(0, int(np.ceil(y - radius))), min(ny - 1, int(np.floor(y + radius)))
        lines = np.arange(first, last + 1)
        half = np.sqrt(np.maximum(radius**2 - (lines - y) ** 2, 0))
        left = np.maximum(np.ceil(x - half), 0).astype(np.int64)
        right = np.minimum(np.floor(x + half), nx - 1).astype(np.int64)
        some = left <= right
        lines, left, right = lines[some], left[some], right[some]
        low = np.searchsorted(self.pixel, lines * nx + left, side='left')
        high = np.searchsorted(self.pixel, lines * nx + right, side='right')
        spans = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
        rows = np.concatenate([np.zeros(0, np.int64), *spans])
        left, right = lines * nx + left, lines * nx + right
        pixels = [np.arange(a, b + 1) for a, b in zip(left, right, strict=True)]
        return self.source[rows], self.n[rows], np.concatenate([np.zeros(0, np.int64), *pixels])


def _default_radius(field, catalog):
    smallest = max(
        0.9 * field.psf_half_energy_width, 1.5 * float(field.xray.pixel_scale.value), 5.0
    )
    extent = np.zeros(len(catalog))
    if 'extent' in catalog.column_names:
        extent = np.nan_to_num(u.Quantity(catalog['extent'], u.arcsec).value)
    return smallest, np.clip(1.5 * extent, smallest, max(smallest, _LARGEST_RADIUS))


def match_detections(field, catalog, *, radius, cluster_share):
    """
    Label detections; see `~clustercnn.simulate.SimulatedField.match`.

    Parameters
    ----------
    field : `~clustercnn.simulate.SimulatedField`
        The field.
    catalog : `~clustercnn.core.CandidateCatalog`
        Detections.
    radius : `~astropy.units.Quantity` or None
        Radius of the circle.
    cluster_share : float
        Share of cluster photons that makes a cluster.

    Returns
    -------
    matches : `~astropy.table.QTable`
        One row a detection.
    """
    cluster_share = check_positive('cluster_share', cluster_share)
    scale = float(field.xray.pixel_scale.value)
    smallest, radii = _default_radius(field, catalog)
    if radius is not None:
        smallest = float(check_angle('radius', radius).value)
        radii = np.full(len(catalog), smallest)
    index = _PixelIndex(field.origin, field.xray.shape)
    counts = field.xray.counts.ravel()
    truth = _Truth(field.truth)
    if len(catalog):
        x, y = (np.atleast_1d(v) for v in field.xray.sky_to_pixel(catalog.positions))
    rows = []
    for i in range(len(catalog)):
        source, n, pixels = index.circle(float(x[i]), float(y[i]), radii[i] / scale)
        by_source = np.bincount(source, n, minlength=truth.n + 1)
        n_source = int(by_source.sum())
        n_background = int(counts[pixels].sum(dtype=float)) - n_source
        best, name, subclass = truth.decide(
            by_source, n_background, (x[i], y[i]), smallest / scale, scale, cluster_share
        )
        apart = truth.distance(best, x[i], y[i]) * scale if best else np.nan
        rows.append((best, name, subclass, int(by_source[best]), n_source, n_background, apart))
    table = QTable()
    table['id'] = np.array(list(catalog.ids), dtype=str)
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    table['source_id'] = np.array(columns[0], dtype=np.int32)
    names, subclasses = list(columns[1]), list(columns[2])
    table['n_counts'] = np.array(columns[3], dtype=np.int64)
    table['n_source'] = np.array(columns[4], dtype=np.int64)
    table['n_background'] = np.array(columns[5], dtype=np.int64)
    table['radius'] = radii * u.arcsec
    table['separation'] = np.array(columns[6], dtype=float) * u.arcsec
    primary = _primary(table)
    for i in np.flatnonzero(~primary & (table['source_id'] > 0)):
        core = truth.core_radius[table['source_id'][i] - 1]
        if table['separation'][i].value > max(1.5 * smallest, core):
            names[i], subclasses[i] = 'other', 'fragment'
    table['primary'] = primary
    table.add_column(np.array(names, dtype='U8'), name='class', index=2)
    table.add_column(np.array(subclasses, dtype='U16'), name='subclass', index=3)
    table.meta = {'simulated': True, 'cluster_share': cluster_share}
    return table


def _primary(table):
    # of the detections of one source, the one with most of its photons; ties go to the first
    primary = np.zeros(len(table), dtype=bool)
    best = {}
    for i, (source, n) in enumerate(zip(table['source_id'], table['n_counts'], strict=True)):
        if source > 0 and (source not in best or n > best[source][0]):
            best[source] = (n, i)
    for _, i in best.values():
        primary[i] = True
    return primary


class _Truth:
    """
    The truth catalogue as plain arrays, with the rules that name a detection.
    """

    def __init__(self, table):
        self.n = len(table)
        self.classes = np.array(table['class'], dtype=str)
        self.subclasses = np.array(table['subclass'], dtype=str)
        self.x, self.y = np.asarray(table['x'], float), np.asarray(table['y'], float)
        self.core_radius = np.nan_to_num(np.asarray(table['core_radius'].value, float))
        self.redshift = np.asarray(table['redshift'], float)
        self.is_cluster = np.concatenate([[False], self.classes == 'cluster'])
        self.is_point = np.concatenate([[False], self.classes == 'point'])

    def distance(self, number, x, y):
        return float(np.hypot(self.x[number - 1] - x, self.y[number - 1] - y))

    def decide(self, by_source, n_background, place, reach, scale, cluster_share):
        """
        Return source number, class and sub-class of one detection.
        """
        n_source = by_source.sum()
        needed = max(_MINIMUM_PHOTONS, _MINIMUM_SIGNIFICANCE * np.sqrt(max(n_background, 0)))
        if n_source < needed:
            return 0, 'other', 'spurious'
        top = int(np.argmax(by_source))
        clusters = np.where(self.is_cluster, by_source, 0)
        points = np.where(self.is_point, by_source, 0)
        if clusters.sum() >= cluster_share * n_source:
            best = int(np.argmax(clusters))
            away = self.distance(best, *place)
            core = self.core_radius[best - 1] / scale
            # an unrelated point source on the outskirts of a cluster stays a point source
            if not (self.is_point[top] and away > max(1.5 * reach, core)):
                if points.sum() >= _MINOR_SHARE * n_source:
                    return best, 'cluster', 'cluster+AGN'
                if self.subclasses[best - 1] == 'group':
                    return best, 'cluster', 'group'
                low = self.redshift[best - 1] < 0.3
                return best, 'cluster', 'low-z' if low else 'hi-z'
        subclass = str(self.subclasses[top - 1])
        if subclass == 'agn':
            others = points.copy()
            others[top] = 0
            if clusters.sum() >= _MINOR_SHARE * n_source:
                subclass = 'AGN+cluster'
            elif others.max() >= _PAIR_SHARE * by_source[top]:
                subclass = 'AGN pair'
        return top, str(self.classes[top - 1]), subclass
