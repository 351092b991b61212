# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The list of simulated sources under construction: one row a source for the
truth catalogue, one row a component for the photons. Plain arrays.
"""

import numpy as np

from clustercnn.simulate._photons import COMPONENT_DTYPE

__all__ = ['CLASS_NAMES', 'SUBCLASS_NAMES', 'SourceList']

CLASS_NAMES = ('cluster', 'point', 'galaxy', 'other')
SUBCLASS_NAMES = (
    'low-z',
    'hi-z',
    'cluster+AGN',
    'agn',
    'AGN pair',
    'AGN+cluster',
    'star',
    'galaxy',
    'shell',
    'streak',
    'hot pixel',
    'hot column',
    'stray light',
    'spurious',
    'fragment',
    'group',
    'diffuse',
    'plerion',
    'dark cloud',
    'optical loading',
)

_SOURCE_DTYPE = np.dtype(
    [
        ('class', np.int8),
        ('subclass', np.int8),
        ('parent', np.int32),
        ('x', float),
        ('y', float),
        ('flux', float),
        ('n_expected', float),
        ('core_radius', float),
        ('axis_ratio', float),
        ('angle', float),
        ('redshift', float),
        ('luminosity', float),
        ('mass', float),
        ('radius_500', float),
        ('richness', float),
        ('magnitude', float),
        ('size', float),
        ('flavour', np.int8),
    ]
)
_NAN_FIELDS = ('core_radius', 'redshift', 'luminosity', 'mass', 'radius_500', 'richness')


class SourceList:
    """
    Collects sources, their components, and the pictures of those that have one.

    Source numbers start at 1: 0 stands for the background.
    """

    def __init__(self):
        self._sources = []
        self._components = []
        self.pictures = []
        self.n_sources = 0

    def add(self, name, subclass, *, n=1, **columns):
        """
        Add n sources of one class and return their numbers.

        Parameters
        ----------
        name, subclass : str
            Class names; ``subclass`` may be a sequence of n.
        n : int, optional
            How many.
        **columns : float or (n,) array
            Values by column; absent ones are NaN or 0.

        Returns
        -------
        numbers : (n,) `~numpy.ndarray` of int32
            Numbers of the new sources.
        """
        rows = np.zeros(n, dtype=_SOURCE_DTYPE)
        for field in (*_NAN_FIELDS, 'magnitude', 'size'):
            rows[field] = np.nan
        rows['axis_ratio'] = 1.0
        rows['class'] = CLASS_NAMES.index(name)
        names = [subclass] * n if isinstance(subclass, str) else subclass
        rows['subclass'] = [SUBCLASS_NAMES.index(one) for one in names]
        for field, value in columns.items():
            rows[field] = value
        numbers = np.arange(self.n_sources + 1, self.n_sources + n + 1, dtype=np.int32)
        self.n_sources += n
        self._sources.append(rows)
        return numbers

    def add_components(self, source, kind, x, y, n_expected, **columns):
        """
        Add one component for each number in ``source``.

        Parameters
        ----------
        source : (n,) array of int
            Numbers of the sources.
        kind : int
            Shape, as in `clustercnn.simulate._photons`.
        x, y : float or (n,) array
            Place in arcsec.
        n_expected : float or (n,) array
            Counts for a perfect on-axis exposure.
        **columns : float or (n,) array
            Further columns of `COMPONENT_DTYPE`.
        """
        source = np.atleast_1d(source)
        rows = np.zeros(len(source), dtype=COMPONENT_DTYPE)
        rows['axis_ratio'] = 1.0
        rows['source'], rows['kind'] = source, kind
        rows['x'], rows['y'], rows['n_expected'] = x, y, n_expected
        for field, value in columns.items():
            rows[field] = value
        self._components.append(rows)

    def brighten(self, number, factor):
        """
        Multiply the flux of one source, in X-rays and in visible light.

        Parameters
        ----------
        number : int
            Of the source.
        factor : float
            Above 0.
        """
        first = 1
        for rows in self._sources:
            here = slice(max(0, number - first), max(0, number - first + 1))
            rows['flux'][here] *= factor
            rows['n_expected'][here] *= factor
            rows['magnitude'][here] -= 2.5 * np.log10(factor)
            first += len(rows)
            if number < first:
                break
        for rows in self._components:
            rows['n_expected'][rows['source'] == number] *= factor

    def reshape(self, numbers, kind, choose):
        """
        Give components of one kind the shape of a picture.

        Parameters
        ----------
        numbers : array of int
            Numbers of the sources they belong to.
        kind : int
            As in `clustercnn.simulate._photons`.
        choose : callable
            Takes a component, returns the number of its picture, 0 for none.
        """
        for rows in self._components:
            chosen = (rows['kind'] == kind) & np.isin(rows['source'], numbers)
            for i in np.flatnonzero(chosen):
                rows['picture'][i] = choose(rows[i])

    def add_picture(self, picture):
        """
        Add what components may look like and return its number.

        Parameters
        ----------
        picture : (m, m) `~numpy.ndarray`
            Surface brightness, not negative, in any unit; y first.

        Returns
        -------
        number : int
            From 1, for the column ``picture`` of components.
        """
        # whole numbers, so that the last bit of a Fourier transform decides on no photon
        steps = 2**20 / float(np.max(picture))
        self.pictures.append(np.rint(np.asarray(picture) * steps).astype(np.int64))
        return len(self.pictures)

    def add_pictured(self, source, kind, place, n_expected, picture, *, half_side, angle=0.0):
        """
        Add a component that looks like a picture.

        Parameters
        ----------
        source : (1,) array of int
            Number of the source.
        kind : int
            `PICTURE` or `PRINT` of `clustercnn.simulate._photons`.
        place : tuple of float
            Middle in arcsec.
        n_expected : float
            Counts for a perfect on-axis exposure.
        picture : (m, m) `~numpy.ndarray`
            As for `add_picture`.
        half_side : float
            Of the picture, in arcsec.
        angle : float, optional
            By which it is turned, in rad.
        """
        number = self.add_picture(picture)
        self.add_components(
            source, kind, *place, n_expected, c=half_side, angle=angle, picture=number
        )

    def sources(self):
        """
        Return all sources.

        Returns
        -------
        rows : (n,) structured `~numpy.ndarray`
            Row ``i`` is the source number ``i + 1``.
        """
        return np.concatenate([np.zeros(0, _SOURCE_DTYPE), *self._sources])

    def components(self):
        """
        Return all components.

        Returns
        -------
        rows : (n,) structured `~numpy.ndarray`
            In the order they were added.
        """
        return np.concatenate([np.zeros(0, COMPONENT_DTYPE), *self._components])
