# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Separable convolutions of large images in blocks that fit a processor's cache.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

__all__ = ['BandedKernel', 'b3_cascade', 'row_blocks']

# pixels a block; its temporary arrays are what is needed beyond input and output
_BLOCK = 2**20
# rows of a tile of the cascade, which then stays in the second-level cache
_TILE_ROWS = 32
# from so many pixels on the cascade is worth a thread a core, and not more than these
_THREADED, _MOST_THREADS = 2**20, 8


class BandedKernel:
    """
    A symmetric kernel as a banded matrix, to convolve both axes by matrix products.

    A product of a dense block does more arithmetic than the sum over the kernel and is several
    times faster all the same; nothing is approximated.

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
        # wide enough for what is zero in the block not to outweigh what is not
        self.size = max(64, self.half // 2)
        self._rows = np.zeros((self.size, self.size + 2 * self.half), self.dtype)
        for number, row in enumerate(self._rows):
            row[number : number + len(kernel)] = kernel
        self._columns = np.ascontiguousarray(self._rows.T)

    def __call__(self, rows, first, last):
        """
        Return some rows of a convolved image.

        Parameters
        ----------
        rows : 2D `~numpy.ndarray`
            A piece of the image as wide as it, with all rows within half the kernel of those
            asked for, and finite. Beyond its edges all is zero.
        first, last : int
            The rows that are asked for, counted in ``rows``.

        Returns
        -------
        convolved : 2D `~numpy.ndarray`
            Shape ``(last - first, nx)``.
        """
        nx = rows.shape[1]
        vertical = np.empty((last - first, nx), self.dtype)
        for start, stop, source, band in self._bands(first, last, len(rows)):
            matrix = self._rows[: stop - start, band]
            np.matmul(matrix, rows[source], out=vertical[start - first : stop - first])
        convolved = np.empty_like(vertical)
        for start, stop, source, band in self._bands(0, nx, nx):
            matrix = self._columns[band, : stop - start]
            np.matmul(vertical[:, source], matrix, out=convolved[:, start:stop])
        return convolved

    def _bands(self, first, last, length):
        """
        Yield where each block starts and stops, what it is made from, and by what of the matrix.
        """
        for start in range(first, last, self.size):
            stop = min(start + self.size, last)
            low, high = max(start - self.half, 0), min(stop + self.half, length)
            offset = low - start + self.half
            yield start, stop, slice(low, high), slice(offset, offset + high - low)


def row_blocks(shape, kernel):
    """
    Divide an image into blocks of rows.

    Parameters
    ----------
    shape : 2-tuple of int
        Of the image.
    kernel : BandedKernel
        Tells how far the rows of a block look.

    Yields
    ------
    block, needed : slice
        Rows of the block, and the rows that they are made from.
    """
    ny, nx = shape
    # whole multiples of the matrix, but for the last
    size = kernel.size * max(_BLOCK // (max(nx, 1) * kernel.size), 1)
    for start in range(0, ny, size):
        stop = min(start + size, ny)
        yield slice(start, stop), slice(max(start - kernel.half, 0), min(stop + kernel.half, ny))


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
    threads = 1
    if image.size >= _THREADED:
        affinity = getattr(os, 'sched_getaffinity', None)
        n_cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        threads = min(n_cores, _MOST_THREADS)
    with ThreadPoolExecutor(threads) as executor:
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
                executor.submit(
                    _smooth_tiles, current, following, planes[level], step, tiles[k : k + share]
                )
                for k in range(0, len(tiles), share)
            ]
            for job in jobs:
                job.result()
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
