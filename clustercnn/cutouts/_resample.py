# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Resampling of one image onto many tangential grids, on plain arrays.

Angles are in degrees unless said otherwise, pixel coordinates count from 0 with
pixel centres on integers. The projection is computed for every pixel of every
grid; it is interpolated only between the corners of a pixel, for samples inside it.
"""

import dataclasses

import numpy as np

__all__ = [
    'MINIMUM_WEIGHT',
    'Planes',
    'jacobian_of',
    'local_axes',
    'pixel_area_ratio',
    'prepare_planes',
    'sample_grids',
    'sampling_of',
    'sampling_that_keeps_sums',
    'tangent_grids',
    'tangent_pixels',
]

MINIMUM_WEIGHT = 0.5
"""
Share of the interpolation weight that must lie on good pixels of the image; an
output pixel with less is masked. On the edge of an image a half is the outline
of its outermost pixels.
"""

_COARSE = 1.5  # from this ratio of pixel sides on, one sample a pixel would alias
_MANY = 8.0  # from this ratio on, the image is averaged in blocks first
_PIXELS_A_SIDE = 3  # or blocks of them, that are left of an output pixel of counts, at least
_MOST_SAMPLES = 16  # along the side of an output pixel
_MOST_ORDERS = 20  # of the lattice of samples; ratios near 1 need many
_LOST = 0.03  # part of the counts of one pixel that an output may have more or less
_POINTS = 1 << 16  # pixels handled at a time: their arrays stay in the cache


@dataclasses.dataclass(frozen=True)
class Planes:
    """
    Planes of one image, ready to be sampled.

    Parameters
    ----------
    values : tuple of 1D `~numpy.ndarray` of float32
        Each plane times its weight, with a border of one zero pixel, flattened.
    weight : 1D `~numpy.ndarray` of float32
        Share of each pixel that is good, with the same border.
    shape : 2-tuple of int
        Rows and columns without the border.
    block : int
        Number of original pixels along the side of one pixel.
    whole : bool
        Whether every pixel inside the border is wholly good.
    """

    values: tuple
    weight: np.ndarray
    shape: tuple
    block: int
    whole: bool


def prepare_planes(planes, valid, *, block=1):
    """
    Bring planes of one image into the form that `sample_grids` takes.

    Parameters
    ----------
    planes : sequence of 2D `~numpy.ndarray`
        Shape ``(ny, nx)``; what is not valid may hold anything, NaN included.
    valid : 2D `~numpy.ndarray` of bool
        True marks good pixels.
    block : int, optional
        Average over blocks of so many pixels a side.

    Returns
    -------
    prepared : Planes
        Of ``ceil(ny / block)`` rows and ``ceil(nx / block)`` columns.
    """
    weight = valid.astype(np.float32)
    values = [np.where(valid, plane, 0).astype(np.float32, copy=False) for plane in planes]
    if block > 1:
        weight = _block_mean(weight, block)
        values = [_block_mean(plane, block) for plane in values]
    return Planes(
        values=tuple(np.pad(plane, 1).ravel() for plane in values),
        weight=np.pad(weight, 1).ravel(),
        shape=weight.shape,
        block=block,
        whole=bool(weight.min() == 1.0),
    )


def _block_mean(plane, block):
    ny, nx = plane.shape
    rows, columns = -ny % block, -nx % block
    # what the last blocks lack lies off the image and has no weight
    padded = np.pad(plane, ((0, rows), (0, columns)))
    cells = padded.reshape((ny + rows) // block, block, (nx + columns) // block, block)
    return cells.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)


def sampling_of(ratio):
    """
    Return how an image of brightness is to be averaged, of smaller pixels.

    Parameters
    ----------
    ratio : float
        Side of an output pixel over side of an image pixel.

    Returns
    -------
    block, n_samples : int
        Side of the blocks to average first, and number of samples along the side
        of an output pixel.

    Examples
    --------
    >>> from clustercnn.cutouts._resample import sampling_of
    >>> sampling_of(1.0), sampling_of(2.0), sampling_of(40.0)
    ((1, 1), (1, 2), (10, 4))
    """
    if ratio < _COARSE:
        return 1, 1
    block = int(ratio // 4) if ratio > _MANY else 1
    return block, round(ratio / block)


def sampling_that_keeps_sums(jacobian):
    """
    Return how an image of counts is to be averaged, so that those of any pixel are kept.

    Blocks keep sums exactly. Bilinear interpolation gives a pixel of the image the weight of a
    tent at each sample. By Poisson's summation formula these add up to one but for the tent's
    Fourier transform, a product of two sinc^2, at the reciprocal lattice of the samples: exactly
    to one for as many samples as pixels, and up to a factor of two off between that.

    Parameters
    ----------
    jacobian : 2D `~numpy.ndarray`
        Image pixels a step along the columns and the rows of the grid, from `jacobian_of`.

    Returns
    -------
    block, n_samples : int
        Side of the blocks to average first, and number of samples along the side
        of an output pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.cutouts._resample import sampling_that_keeps_sums
    >>> [sampling_that_keeps_sums(ratio * np.eye(2)) for ratio in (1.0, 2.0, 1.6, 8.0)]
    [(1, 1), (1, 2), (1, 5), (2, 4)]
    """
    # few samples do for what blocks leave
    block = max(1, int(np.sqrt(abs(np.linalg.det(jacobian))) // _PIXELS_A_SIDE))
    along = np.arange(-_MOST_ORDERS, _MOST_ORDERS + 1)
    orders = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    reciprocal = orders[orders.any(axis=1)] @ np.linalg.inv(jacobian / block)
    lost = [
        (np.sinc(n_samples * reciprocal) ** 2).prod(axis=1).sum()
        for n_samples in range(1, _MOST_SAMPLES + 1)
    ]
    good = np.flatnonzero(np.array(lost) < _LOST)
    return block, 1 + int(good[0] if len(good) else np.argmin(lost))


def tangent_grids(ra, dec, *, n_pixels, step, rotation=None, corners=False):
    """
    Return the sky coordinates of north-up tangential grids.

    Parameters
    ----------
    ra, dec : 1D `~numpy.ndarray`
        Middle of each grid in deg, shape ``(n,)``.
    n_pixels : int
        Pixels along a side.
    step : float
        Side of a pixel in deg.
    rotation : 2D `~numpy.ndarray`, optional
        Shape ``(3, 3)``, from ICRS to the frame wanted; none by default.
    corners : bool, optional
        Return the corners of the pixels instead of their centres.

    Returns
    -------
    lon, lat : 3D `~numpy.ndarray`
        In deg, shape ``(n, m, m)`` with m = ``n_pixels``, one more for corners.

    Notes
    -----
    Gnomonic projection, Calabretta & Greisen (2002), A&A 395, 1077, section 5.1.3,
    in vector form: it has no trouble at the poles nor across right ascension 0.
    """
    middle, east, north = local_axes(ra, dec)
    if rotation is not None:
        middle, east, north = rotation @ middle, rotation @ east, rotation @ north
    xi, eta = _plane_offsets(n_pixels, step, corners)
    x, y, z = (
        middle[axis, :, None, None]
        + xi * east[axis, :, None, None]
        + eta * north[axis, :, None, None]
        for axis in range(3)
    )
    lon = np.rad2deg(np.arctan2(y, x))
    lat = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    return lon, lat


def tangent_pixels(ra, dec, camera, *, n_pixels, step, corners=False):
    """
    Return where north-up tangential grids fall on an image that is tangential, too.

    Parameters
    ----------
    ra, dec : 1D `~numpy.ndarray`
        Middle of each grid in deg, shape ``(n,)``.
    camera : 2D `~numpy.ndarray`
        Shape ``(3, 3)``: takes ICRS unit vectors to homogeneous pixel coordinates.
    n_pixels, step, corners
        As for `tangent_grids`.

    Returns
    -------
    x, y : 3D `~numpy.ndarray`
        Image coordinates, NaN on the far side of the sky.

    Notes
    -----
    Two gnomonic projections of one sphere are related by a homography, as two
    photographs taken from one point are: exact, and without trigonometry.
    """
    middle, east, north = local_axes(ra, dec)
    xi, eta = _plane_offsets(n_pixels, step, corners)
    x, y, depth = (
        (camera[axis] @ middle)[:, None, None]
        + xi * (camera[axis] @ east)[:, None, None]
        + eta * (camera[axis] @ north)[:, None, None]
        for axis in range(3)
    )
    if depth.size and depth.min() <= 0:
        depth = np.where(depth > 0, depth, np.nan)
    inverse = np.reciprocal(depth, out=depth)
    x *= inverse
    y *= inverse
    return x, y


def local_axes(lon, lat):
    """
    Return the unit vectors outward, east and north of positions.

    Parameters
    ----------
    lon, lat : 1D `~numpy.ndarray`
        In deg, shape ``(n,)``.

    Returns
    -------
    outward, east, north : 2D `~numpy.ndarray`
        Shape ``(3, n)``.
    """
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    outward = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)])
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    return outward, east, north


def _plane_offsets(n_pixels, step, corners):
    """
    Return standard coordinates of grid points in rad, xi to the east along a row.
    """
    n_points = n_pixels + 1 if corners else n_pixels
    offset = (np.arange(n_points) - (n_points - 1) / 2) * np.deg2rad(step)
    return -offset[None, :], offset[:, None]


def sample_grids(prepared, to_pixel, ra, dec, *, n_pixels, n_samples=1, progress=None):
    """
    Resample one image onto the tangential grids round many positions.

    Parameters
    ----------
    prepared : Planes
        The image.
    to_pixel : callable
        ``to_pixel(ra, dec, corners)`` returns ``x, y`` of the grids round these positions,
        shape ``(n, m, m)``, NaN where the sky is not in the projection.
    ra, dec : 1D `~numpy.ndarray`
        Positions in deg, shape ``(n,)``.
    n_pixels : int
        Pixels along the side of a grid.
    n_samples : int, optional
        Average over so many samples along the side of an output pixel.
    progress : callable, optional
        Called with the number of grids done since the last call.

    Returns
    -------
    values : list of 3D `~numpy.ndarray` of float32
        One array a plane, shape ``(n, n_pixels, n_pixels)``: the mean over what is
        good, 0 where masked.
    mask : 3D `~numpy.ndarray` of bool
        True where less than `MINIMUM_WEIGHT` lies on good pixels.
    density : 1D `~numpy.ndarray`
        Original image pixels a grid pixel covers, at the middle of each grid; NaN off
        the projection.
    """
    shape = (len(ra), n_pixels, n_pixels)
    values = [np.zeros(shape, np.float32) for _ in prepared.values]
    mask = np.ones(shape, bool)
    density = np.full(len(ra), np.nan)
    chunk = max(1, _POINTS // n_pixels**2)
    for start in range(0, len(ra), chunk):
        rows = slice(start, min(start + chunk, len(ra)))
        x, y = to_pixel(ra[rows], dec[rows], n_samples > 1)
        density[rows] = pixel_area_ratio(x, y)
        if prepared.block > 1:
            # the middle of the first block lies (block - 1) / 2 pixels in
            x = (x - (prepared.block - 1) / 2) / prepared.block
            y = (y - (prepared.block - 1) / 2) / prepared.block
        sums, weight = _average(prepared, x, y, n_samples)
        if weight is None:
            mask[rows] = False
            for plane, total in zip(values, sums, strict=True):
                plane[rows] = total
        else:
            bad = weight < MINIMUM_WEIGHT - 1e-6
            mask[rows] = bad
            # a pixel that is masked must not keep a trace of its neighbours
            share = np.where(bad, np.float32(0), 1 / np.where(bad, np.float32(1), weight))
            for plane, total in zip(values, sums, strict=True):
                np.multiply(total, share, out=plane[rows])
        if progress is not None:
            progress(rows.stop - rows.start)
    return values, mask, density


def pixel_area_ratio(x, y):
    """
    Return how many image pixels a grid pixel covers, in the middle of each grid.

    Parameters
    ----------
    x, y : 3D `~numpy.ndarray`
        Image coordinates of neighbouring grid points, shape ``(n, m, m)``.

    Returns
    -------
    ratio : 1D `~numpy.ndarray`
        Absolute value of the Jacobian determinant, NaN where it is not defined.
    """
    (x_i, x_j), (y_i, y_j) = np.moveaxis(jacobian_of(x, y), 0, -1)
    return np.abs(x_i * y_j - x_j * y_i)


def jacobian_of(x, y):
    """
    Return how image coordinates change along a grid, in the middle of each.

    Parameters
    ----------
    x, y : 3D `~numpy.ndarray`
        Image coordinates of neighbouring grid points, shape ``(n, m, m)``.

    Returns
    -------
    jacobian : 3D `~numpy.ndarray`
        Shape ``(n, 2, 2)``: x and y by a step along columns and along rows, NaN where it is not
        defined.
    """
    low = max((x.shape[1] - 1) // 2 - 1, 0)
    high = x.shape[1] - 1 - low
    if high <= low:
        return np.full((len(x), 2, 2), np.nan)
    span = high - low

    def slopes(plane):
        along_x = (plane[:, low, high] - plane[:, low, low]) + (
            plane[:, high, high] - plane[:, high, low]
        )
        along_y = (plane[:, high, low] - plane[:, low, low]) + (
            plane[:, high, high] - plane[:, low, high]
        )
        return np.stack([along_x, along_y], axis=-1) / (2 * span)

    return np.stack([slopes(x), slopes(y)], axis=1)


def _average(prepared, x, y, n_samples):
    """
    Return the mean of weighted planes over the samples of each output pixel.

    The weight is None where it is one for all.
    """
    if n_samples == 1:
        return _bilinear(prepared, x, y)
    sums, weight, n_whole = None, None, 0
    fractions = (np.arange(n_samples) + 0.5) / n_samples
    for v in fractions:
        x_row = x[:, :-1] * (1 - v) + x[:, 1:] * v
        y_row = y[:, :-1] * (1 - v) + y[:, 1:] * v
        for u in fractions:
            part, share = _bilinear(
                prepared,
                x_row[:, :, :-1] * (1 - u) + x_row[:, :, 1:] * u,
                y_row[:, :, :-1] * (1 - u) + y_row[:, :, 1:] * u,
            )
            if share is None:
                n_whole += 1
            else:
                weight = share if weight is None else weight + share
            sums = part if sums is None else [a + b for a, b in zip(sums, part, strict=True)]
    scale = np.float32(1 / n_samples**2)
    sums = [total * scale for total in sums]
    if weight is not None:
        weight = (weight + np.float32(n_whole)) * scale
    return sums, weight


def _bilinear(prepared, x, y):
    """
    Return planes and weight, bilinearly interpolated; the weight is None where it is one.
    """
    ny, nx = prepared.shape
    inside = prepared.whole and (
        x.min() >= 0 and y.min() >= 0 and x.max() <= nx - 1 and y.max() <= ny - 1
    )
    if not inside:
        # NaN and everything off the image go to the border, where all weights are zero
        x = np.clip(np.where(np.isfinite(x), x, -1.0), -1.0, nx)
        y = np.clip(np.where(np.isfinite(y), y, -1.0), -1.0, ny)
    # shifted by the border, all coordinates are positive, and truncation is a floor
    column = np.minimum((x + 1.0).astype(np.intp), nx)
    row = np.minimum((y + 1.0).astype(np.intp), ny)
    right = (x + 1.0 - column).astype(np.float32)
    up = (y + 1.0 - row).astype(np.float32)
    first = row * (nx + 2) + column
    corners = [
        (first, (1 - right) * (1 - up)),
        (first + 1, right * (1 - up)),
        (first + (nx + 2), (1 - right) * up),
        (first + (nx + 3), right * up),
    ]
    planes = prepared.values if inside else (*prepared.values, prepared.weight)
    sums = []
    for plane in planes:
        total = None
        for index, weight in corners:
            # every index is inside by construction; clipping spares numpy the check
            part = plane.take(index, mode='clip')
            part *= weight
            total = part if total is None else np.add(total, part, out=total)
        sums.append(total)
    return (sums, None) if inside else (sums[:-1], sums[-1])
