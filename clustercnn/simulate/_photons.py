# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Photons on plain arrays: sampled from the shape of each source, scattered by
the point spread at their place, kept with the probability that the detector
has there. Offsets are arcsec from the optical axis, x to the right (west),
y up (north). Every photon keeps the number of its source.
"""

import numpy as np

__all__ = [
    'ARC',
    'BETA',
    'COMPONENT_DTYPE',
    'LINE',
    'PICTURE',
    'POINT',
    'PRINT',
    'RAW',
    'SHELL',
    'draw_photons',
    'pack_origin',
]

POINT, BETA, SHELL, ARC, LINE, RAW, PICTURE, PRINT = range(8)
# POINT: no extent. BETA: a = core radius, b = beta, c = outer radius, all through the axis ratio.
# SHELL: a = inner, b = outer radius, c = depth of the modulation along the rim.
# ARC: annulus sector about (x, y): a = radius, b = width, c = half opening in rad; no PSF.
# LINE: a = length, b = width, no PSF. RAW: one place on the detector, no PSF, no vignetting.
# PICTURE: as bright as the picture number `picture`, c = half of its side. PRINT: the same on the
# detector, no PSF, no vignetting.

COMPONENT_DTYPE = np.dtype(
    [
        ('source', np.int32),
        ('kind', np.int8),
        ('x', float),
        ('y', float),
        ('n_expected', float),
        ('a', float),
        ('b', float),
        ('c', float),
        ('axis_ratio', float),
        ('angle', float),
        ('picture', np.int32),
    ]
)
"""
One row a component: a source has one or several. A `BETA` component with a ``picture`` above 0
has the shape of that picture instead, drawn from a generator of its own.
"""

_NOT_FOCUSED = (RAW, LINE, ARC, PRINT)


def _shape_offsets(rows, kind, rng):
    n = len(rows)
    u = rng.random(n)
    turn = 2 * np.pi * rng.random(n)
    if kind == BETA:
        power = 1.5 - 3 * rows['b']
        scaled = rows['c'] / rows['a']
        norm = 1 - (1 + scaled * scaled) ** power
        radius = rows['a'] * np.sqrt((1 - u * norm) ** (1 / power) - 1)
    elif kind == SHELL:
        inner, outer = rows['a'] ** 3, rows['b'] ** 3
        radius = np.cbrt(inner + u * (outer - inner)) * np.sqrt(1 - (2 * rng.random(n) - 1) ** 2)
        # bright and faint parts of the rim: pull azimuths towards the bright side
        turn = turn + rows['c'] * np.sin(turn) + rows['angle']
    elif kind == ARC:
        radius = rows['a'] + rows['b'] * rng.standard_normal(n)
        turn = rows['angle'] + rows['c'] * (2 * u - 1)
        return radius * np.cos(turn), radius * np.sin(turn)
    elif kind == LINE:
        along = rows['a'] * (u - 0.5)
        across = rows['b'] * (rng.random(n) - 0.5)
        cos, sin = np.cos(rows['angle']), np.sin(rows['angle'])
        return along * cos - across * sin, along * sin + across * cos
    else:
        return np.zeros(n), np.zeros(n)
    root = np.sqrt(rows['axis_ratio'])
    along, across = radius * np.cos(turn) / root, radius * np.sin(turn) * root
    cos, sin = np.cos(rows['angle']), np.sin(rows['angle'])
    return along * cos - across * sin, along * sin + across * cos


def _scatter(x, y, psf, rng):
    n = len(x)
    u = rng.random(n)
    turn = 2 * np.pi * rng.random(n)
    radius = psf.core_radius * np.sqrt((1 - u * psf.norm) ** (1 / (1 - psf.slope)) - 1)
    off_axis = np.sqrt(x * x + y * y)
    relative = off_axis / (60 * psf.reference)
    tangential = 1 + psf.stretch * relative * relative
    radial = tangential * np.clip(1 - psf.flattening * relative, 0.3, 1)
    along, across = radius * np.cos(turn) * radial, radius * np.sin(turn) * tangential
    safe = np.where(off_axis > 0, off_axis, 1.0)
    cos, sin = np.where(off_axis > 0, x / safe, 1.0), y / safe
    return x + along * cos - across * sin, y + along * sin + across * cos


def _picture_offsets(rows, pictures, rng):
    """
    Return places on the pictures of the photons, uniform within a cell.
    """
    x, y = np.zeros(len(rows)), np.zeros(len(rows))
    for number in np.unique(rows['picture']):
        chosen = np.flatnonzero(rows['picture'] == number)
        picture = pictures[number - 1]
        total = np.cumsum(picture.ravel(), dtype=float)
        cell = np.searchsorted(total, rng.random(len(chosen)) * total[-1], side='right')
        line, column = np.divmod(np.minimum(cell, picture.size - 1), picture.shape[1])
        x[chosen] = (column + rng.random(len(chosen))) / picture.shape[1] * 2 - 1
        y[chosen] = (line + rng.random(len(chosen))) / picture.shape[0] * 2 - 1
    cos, sin = np.cos(rows['angle']), np.sin(rows['angle'])
    x, y = rows['c'] * x, rows['c'] * y
    return x * cos - y * sin, x * sin + y * cos


def draw_photons(
    components, *, psf, response, live, pixel, center, rng, pictures=(), picture_rng=None, keep=None
):
    """
    Draw the detected photons of all components.

    Parameters
    ----------
    components : (n,) `~numpy.ndarray` of `COMPONENT_DTYPE`
        ``n_expected`` counts for a perfect on-axis exposure.
    psf : object
        With ``core_radius``, ``slope``, ``norm``, ``stretch``,
        ``flattening`` and ``reference``.
    response : (ny, nx) `~numpy.ndarray`
        Probability (0..1) that a photon landing on a pixel is registered.
    live : (ny, nx) `~numpy.ndarray`
        The same without vignetting, for what does not come through the mirror.
    pixel : float
        Pixel size in arcsec.
    center : tuple of float
        Pixel coordinates (x, y) of the optical axis, 0-based.
    rng : `~numpy.random.Generator`
        Source of the draws.
    pictures : sequence of (m, m) `~numpy.ndarray`, optional
        What the components with a ``picture`` look like.
    picture_rng : `~numpy.random.Generator`, optional
        Where the photons fall on the pictures of components of kind `BETA`; so that those of
        all other components are as they would be without pictures.
    keep : callable, optional
        Takes the sources and the places (x, y in arcsec) of the registered photons that came
        through the mirror, and says of each whether it makes an event of its own.

    Returns
    -------
    source : (n_photons,) `~numpy.ndarray` of int64
        Number of the source of each registered photon.
    index : (n_photons,) `~numpy.ndarray` of int64
        Flat pixel index of each.
    """
    n_drawn = rng.poisson(components['n_expected'])
    rows = components[np.repeat(np.arange(len(components)), n_drawn)]
    x, y = rows['x'].copy(), rows['y'].copy()
    for kind in (BETA, SHELL, ARC, LINE):
        chosen = np.flatnonzero(rows['kind'] == kind)
        dx, dy = _shape_offsets(rows[chosen], kind, rng)
        x[chosen] += dx
        y[chosen] += dy
    # after the draws for the smooth profile, so that nothing that follows is drawn otherwise
    for chosen, one_rng in (
        (np.flatnonzero((rows['kind'] == BETA) & (rows['picture'] > 0)), picture_rng),
        (np.flatnonzero(np.isin(rows['kind'], (PICTURE, PRINT))), rng),
    ):
        if len(chosen):
            dx, dy = _picture_offsets(rows[chosen], pictures, one_rng)
            x[chosen], y[chosen] = rows['x'][chosen] + dx, rows['y'][chosen] + dy
    focused = np.flatnonzero(~np.isin(rows['kind'], _NOT_FOCUSED))
    x[focused], y[focused] = _scatter(x[focused], y[focused], psf, rng)

    ny, nx = response.shape
    column = np.floor(x / pixel + center[0] + 0.5)
    line = np.floor(y / pixel + center[1] + 0.5)
    inside = (column >= 0) & (column < nx) & (line >= 0) & (line < ny)
    index = np.where(inside, line * nx + column, 0).astype(np.int64)
    unfocused = np.isin(rows['kind'], _NOT_FOCUSED)
    chance = np.where(unfocused, live.ravel()[index], response.ravel()[index])
    kept = inside & (rng.random(len(rows)) < chance)
    if keep is not None:
        through = np.flatnonzero(kept & ~unfocused)
        kept[through] = keep(rows['source'][through], x[through], y[through])
    return rows['source'][kept].astype(np.int64), index[kept]


def pack_origin(source, index, n_pixels):
    """
    Sort photons by source and pixel and count them.

    Parameters
    ----------
    source, index : (n_photons,) `~numpy.ndarray` of int64
        As from `draw_photons`.
    n_pixels : int
        Number of pixels of the image.

    Returns
    -------
    source, index, n : (n_entries,) `~numpy.ndarray`
        int32, int32 and int32: ``n`` photons of ``source`` in pixel ``index``,
        in ascending order of source, then pixel.
    """
    key, n = np.unique(source * n_pixels + index, return_counts=True)
    return (
        (key // n_pixels).astype(np.int32),
        (key % n_pixels).astype(np.int32),
        n.astype(np.int32),
    )
