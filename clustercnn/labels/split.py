# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Training, validation and test parts that do not share a piece of sky.
"""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from clustercnn._utils.validation import check_angle
from clustercnn.labels._columns import says_nothing, text_of

__all__ = ['split_by_group', 'split_by_sky']


def split_by_group(groups, *, fractions=(0.7, 0.15, 0.15), seed=0):
    """
    Divide rows into parts; rows of one group stay together.

    Parameters
    ----------
    groups : 1D array-like
        Group of each row, such as its field or its object, shape ``(n,)``.
    fractions : tuple of float, optional
        Share of the rows in each part; must sum to 1.
    seed : int, optional
        Seed.

    Returns
    -------
    part : 1D `~numpy.ndarray` of int
        Number of the part of each row. Groups are dealt out at random, each to the part
        that lacks most; shares are met as far as the groups allow.

    Raises
    ------
    ValueError
        If fractions do not sum to 1, or there are fewer groups than parts.

    Examples
    --------
    >>> from clustercnn.labels import split_by_group
    >>> part = split_by_group([7, 7, 8, 8, 9, 9], fractions=(0.5, 0.5))
    >>> bool(part[0] == part[1] and part[2] == part[3] and part[4] == part[5])
    True
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-9:
        msg = f"'fractions' must be positive and sum to 1, got {tuple(fractions)}"
        raise ValueError(msg)
    groups = np.asarray(groups)
    if groups.ndim != 1:
        msg = f"'groups' must have one dimension, got shape {groups.shape}"
        raise ValueError(msg)
    names, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if 0 < len(names) < len(shares):
        msg = (
            f'{len(names)} groups cannot be divided into {len(shares)} parts; '
            f'take smaller groups (cells) or fewer parts'
        )
        raise ValueError(msg)
    order = np.random.default_rng(seed).permutation(len(names))
    # large ones first, so that what is left can even out; equal ones stay in random order
    order = order[np.argsort(-sizes[order], kind='stable')]
    lacking = shares * len(groups)
    part_of_group = np.zeros(len(names), np.intp)
    empty = np.ones(len(shares), bool)
    for place, group in enumerate(order):
        open_parts = np.arange(len(shares))
        if empty.sum() >= len(order) - place:
            # the last groups go where there is nothing yet
            open_parts = np.flatnonzero(empty)
        chosen = open_parts[np.argmax(lacking[open_parts])]
        part_of_group[group] = chosen
        lacking[chosen] -= sizes[group]
        empty[chosen] = False
    return part_of_group[number.reshape(-1)]


def split_by_sky(
    positions,
    *,
    fractions=(0.7, 0.15, 0.15),
    cell_size=1 * u.deg,
    objects=None,
    separation=None,
    seed=0,
):
    """
    Divide positions into parts by cells of the sky.

    Parameters
    ----------
    positions : `~astropy.coordinates.SkyCoord`
        Shape ``(n,)``.
    fractions : tuple of float, optional
        Share of the positions in each part; must sum to 1.
    cell_size : `~astropy.units.Quantity`, optional
        Side of the cells, of equal area all over the sky. Should exceed the field of
        view, so that few fields are cut.
    objects : 1D array-like, optional
        Name of the object that each position belongs to, such as a known cluster seen
        in two fields. Cells that share an object stay together. Where the name is empty,
        masked, None, NaN, ``'nan'`` or ``'unknown'``, in any case, the position belongs to no
        object that is known and is joined to no other by its name.
    separation : `~astropy.units.Quantity`, optional
        Positions closer than this are taken for one object, and their cells stay
        together.
    seed : int, optional
        Seed.

    Returns
    -------
    part : 1D `~numpy.ndarray` of int
        Number of the part of each position.

    Raises
    ------
    ValueError
        If one object connects so many cells that fewer groups than parts are left; or
        fractions do not sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from clustercnn.labels import split_by_sky
    >>> sky = SkyCoord(ra=np.arange(0, 360, 10.0), dec=np.zeros(36), unit='deg')
    >>> np.bincount(split_by_sky(sky, fractions=(0.5, 0.5), seed=1)).tolist()
    [18, 18]
    """
    if not isinstance(positions, SkyCoord) or positions.ndim != 1:
        msg = "'positions' must be a one-dimensional SkyCoord"
        raise TypeError(msg)
    cells = _sky_cells(positions, check_angle('cell_size', cell_size))
    first, second = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    if objects is not None:
        if np.shape(objects) != positions.shape:
            msg = f"'objects' must have length {len(positions)}, got shape {np.shape(objects)}"
            raise ValueError(msg)
        names = text_of(objects, 'objects')
        # those without a name are not one object
        named = np.flatnonzero(~says_nothing(names))
        order = named[np.argsort(names[named], kind='stable')]
        same = names[order][1:] == names[order][:-1]
        first.append(order[:-1][same])
        second.append(order[1:][same])
    if separation is not None and len(positions) > 1:
        one, other, _, _ = positions.search_around_sky(
            positions, check_angle('separation', separation)
        )
        first.append(one)
        second.append(other)
    groups = _connect(cells, np.concatenate(first), np.concatenate(second))
    return split_by_group(groups, fractions=fractions, seed=seed)


def _sky_cells(positions, cell_size):
    """
    Return a number for the cell of each position: belts of declination, cut into
    cells about as long as the belt is high.
    """
    side = cell_size.to_value(u.deg)
    dec, ra = positions.icrs.dec.deg, positions.icrs.ra.deg
    n_belts = max(1, round(180 / side))
    belt = np.minimum(((dec + 90) / 180 * n_belts).astype(np.intp), n_belts - 1)
    middle = np.deg2rad((belt + 0.5) * 180 / n_belts - 90)
    n_cells = np.maximum(1, np.round(360 * np.cos(middle) / side)).astype(np.intp)
    cell = np.minimum((ra % 360 / 360 * n_cells).astype(np.intp), n_cells - 1)
    return belt * (int(360 / side) + 2) + cell


def _connect(cells, first, second):
    """
    Return a group for each row: cells that the pairs of rows connect, taken together.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, number = np.unique(cells, return_inverse=True)
    number = number.reshape(-1)
    if not len(names):
        return number
    links = coo_array(
        (np.ones(len(first), np.int8), (number[first], number[second])),
        shape=(len(names), len(names)),
    )
    return connected_components(links, directed=False)[1][number]
