# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Separable convolutions of large images in blocks that fit a processor's cache.
"""

import numpy as np

from clustercnn.finding._compiled import inputs
from clustercnn.finding._sums import convolve
from clustercnn.finding._threads import in_threads, n_threads

__all__ = ['BLOCK', 'BandedKernel', 'b3_cascade', 'for_row_blocks']

# blocks have a multiple of so many rows
_ROWS = 8
# pixels and bytes that are worked on at a time, beyond input and output
BLOCK, _MEMORY = 2**17, 400e6
# rows of a tile of the cascade, which then stays in the second-level cache
_TILE_ROWS = 32


class BandedKernel:
    """
    A symmetric kernel, to be summed along both axes; as a matrix it would be a banded one.

    Parameters
    ----------
    kernel : 1D `~numpy.ndarray`
        Of odd length.
    dtype : dtype
        In which to compute.
    """

    def __init__(self, kernel, dtype):
        self.half = len(kernel) // 2
        self.dtype = np.dtype(dtype)
        # from the middle on
        self.values = kernel[self.half :].astype(self.dtype)

    def __call__(self, image, block):
        """
        Return some rows of a convolved image.

        Parameters
        ----------
        image : 2D `~numpy.ndarray`
            Finite; beyond its edges all is zero.
        block : slice
            The rows that are asked for.

        Returns
        -------
        convolved : 2D `~numpy.ndarray`
            Of these rows.
        """
        convolved = np.empty((block.stop - block.start, image.shape[1]), self.dtype)
        (image,) = inputs(image)
        convolve(image, block.start, block.stop, self.values, convolved)
        return convolved


def for_row_blocks(function, shape, kernel):
    """
    Call a function for one block of rows of an image after another, on all cores.

    Parameters
    ----------
    function : callable
        Takes two slices: the rows of a block, and the rows that they are made from.
    shape : 2-tuple of int
        Of the image.
    kernel : BandedKernel
        Tells how far the rows of a block look.
    """
    ny, nx = shape
    size = max(BLOCK // max(nx, 1), kernel.half // 4, 1)
    # as many blocks as every thread gets the same share of
    rounds = n_threads(ny * nx) * -(-ny // (n_threads(ny * nx) * size))
    size = min(size, -(-ny // rounds))
    size = -(-size // _ROWS) * _ROWS
    blocks = []
    for start in range(0, ny, size):
        stop = min(start + size, ny)
        needed = slice(max(start - kernel.half, 0), min(stop + kernel.half, ny))
        blocks.append((slice(start, stop), needed))
    # two planes of what is needed, and some six of the block
    memory = (8 * size + 4 * kernel.half) * nx * kernel.dtype.itemsize
    threads = int(min(n_threads(ny * nx), max(_MEMORY // max(memory, 1), 1)))
    in_threads(function, blocks, threads)


def b3_cascade(image, n_scales):
    """
    Return the differences of an image smoothed again and again by the dilated B3 spline.

    The spline is the fourth power of a sum of two neighbours, so that four additions an axis
    do. Rows a step apart are taken together, whence tiles are small at any scale.

    Parameters
    ----------
    image : 2D `~numpy.ndarray` of float32 or float64
        Mirrored at its borders.
    n_scales : int
        How often it is smoothed.

    Returns
    -------
    planes : 3D `~numpy.ndarray`
        Shape ``(n_scales + 1, ny, nx)``, of the image's type; the last is the smooth rest.
    """
    ny, nx = image.shape
    planes = np.empty((n_scales + 1, ny, nx), image.dtype)
    if n_scales == 0:
        planes[0] = image
        return planes
    between = [np.empty_like(planes[0]) for _ in range(min(n_scales - 1, 2))]
    threads = n_threads(image.size)
    current = image
    for level in range(n_scales):
        step = 2**level
        last = level == n_scales - 1
        following = planes[-1] if last else between[level % 2]
        tiles = [
            (phase, start, min(start + _TILE_ROWS, n_rows))
            for phase in range(min(step, ny))
            for n_rows in [len(range(phase, ny, step))]
            for start in range(0, n_rows, _TILE_ROWS)
        ]
        share = -(-len(tiles) // threads)
        jobs = [
            (current, following, planes[level], step, tiles[number : number + share])
            for number in range(0, len(tiles), share)
        ]
        in_threads(_smooth_tiles, jobs, threads)
        current = following
    return planes


def _smooth_tiles(current, following, plane, step, tiles):
    """
    Smooth some tiles of rows that lie a step apart, and take the difference.
    """
    ny, nx = current.shape
    rows, columns = (np.pad(np.arange(n), 2 * step, mode='reflect') for n in (ny, nx))
    left, right = columns[: 2 * step], columns[2 * step + nx :]
    narrow = [np.empty((_TILE_ROWS + 3, nx), current.dtype) for _ in range(2)]
    wide = [np.empty((_TILE_ROWS, nx + 4 * step), current.dtype) for _ in range(2)]
    for phase, start, stop in tiles:
        n = stop - start
        low, high = phase + step * (start - 2), phase + step * (stop + 1)
        if low >= 0 and high < ny:
            part = current[low : high + 1 : step]
        else:
            part = current[rows[low + 2 * step : high + 2 * step + 1 : step]]
        first, second = narrow
        np.add(part[:-1], part[1:], out=first[: n + 3])
        np.add(first[: n + 2], first[1 : n + 3], out=second[: n + 2])
        np.add(second[: n + 1], second[1 : n + 2], out=first[: n + 1])
        first_wide, second_wide = (array[:n] for array in wide)
        inner = first_wide[:, 2 * step : 2 * step + nx]
        np.add(first[:n], first[1 : n + 1], out=inner)
        # of both axes
        np.multiply(inner, 1 / 256, out=inner)
        first_wide[:, : 2 * step] = inner[:, left]
        first_wide[:, 2 * step + nx :] = inner[:, right]
        one, two, three = (nx + k * step for k in (3, 2, 1))
        np.add(first_wide[:, :one], first_wide[:, step:], out=second_wide[:, :one])
        np.add(second_wide[:, :two], second_wide[:, step : two + step], out=first_wide[:, :two])
        np.add(
            first_wide[:, :three], first_wide[:, step : three + step], out=second_wide[:, :three]
        )
        here = slice(phase + step * start, phase + step * (stop - 1) + 1, step)
        np.add(second_wide[:, :nx], second_wide[:, step : nx + step], out=following[here])
        np.subtract(current[here], following[here], out=plane[here])
