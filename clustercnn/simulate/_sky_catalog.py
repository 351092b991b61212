# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The small objects of the optical sky under construction. Plain arrays.
"""

import numpy as np

from clustercnn.simulate._colours import POPULATIONS

__all__ = ['SkyCatalog', 'traits_of']

_KINDS = ('point', 'disk', 'bulge')


def traits_of(population, redshift=np.nan, relative=np.nan, distance=np.nan):
    """
    Return what `clustercnn.simulate._colours.draw_magnitudes` asks of objects.
    """
    return POPULATIONS.index(population), redshift, relative, distance


class SkyCatalog:
    """
    Small objects to draw: profile, place, magnitude, shape; and what their colours go by.
    """

    def __init__(self):
        self._rows = {kind: [] for kind in _KINDS}
        self._traits = {kind: [] for kind in _KINDS}

    def add(self, kind, x, y, magnitude, radius=0.0, axis_ratio=1.0, angle=0.0, traits=None):
        columns = np.broadcast_arrays(*np.atleast_1d(x, y, magnitude, radius, axis_ratio, angle))
        self._rows[kind].append(np.stack(columns).astype(float))
        traits = traits_of('field') if traits is None else traits
        self._traits[kind].append(np.stack(np.broadcast_arrays(*traits, columns[0])[:-1]))

    def add_galaxies(self, x, y, magnitude, radius, bulge_fraction, rng, traits=None):
        n = len(x)
        traits = traits_of('field') if traits is None else traits
        traits = np.stack(np.broadcast_arrays(*traits, x)[:-1])
        bulge = rng.random(n) < bulge_fraction
        axis_ratio = np.where(bulge, rng.uniform(0.55, 1, n), rng.uniform(0.2, 1, n))
        angle = rng.uniform(0, np.pi, n)
        for kind, chosen in (('bulge', bulge), ('disk', ~bulge)):
            columns = (c[chosen] for c in (x, y, magnitude, radius, axis_ratio, angle))
            self.add(kind, *columns, traits=traits[:, chosen])

    def drop_brighter(self, magnitude):
        rows, traits = self.rows('point'), self.traits('point')
        kept = rows[2] >= magnitude
        self._rows['point'], self._traits['point'] = [rows[:, kept]], [traits[:, kept]]

    def dim(self, magnitudes):
        for kind in self._rows:
            rows = self.rows(kind)
            rows[2] += magnitudes(rows[0], rows[1])
            self._rows[kind] = [rows]

    def rows(self, kind):
        return np.concatenate([np.zeros((6, 0)), *self._rows.get(kind, ())], axis=1)

    def traits(self, kind):
        return np.concatenate([np.zeros((4, 0)), *self._traits[kind]], axis=1)
