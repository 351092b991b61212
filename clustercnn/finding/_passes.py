# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compiled passes over whole images, each of which reads every plane once.
"""

import numpy as np

from clustercnn.finding._compiled import compiled

__all__ = [
    'classify',
    'expect',
    'mark_near',
    'mixture',
    'peaks_in',
    'sums_in_cells',
    'sums_of_numbers',
    'times_between_cells',
]

# pixels of a row that are passed over together, or not
_CHUNK = 64


@compiled
def sums_of_numbers(used, numbers, counts, exposure, coverage, most, sums):
    """
    Add counts, response and coverage of pixels to the sums of their number.

    One pixel after the other, so that parts of an image add up as the whole does.

    Parameters
    ----------
    used : 2D `~numpy.ndarray` of bool
        Which pixels to sum.
    numbers : 2D `~numpy.ndarray` of int
        Of each pixel.
    counts, exposure, coverage : 2D `~numpy.ndarray`
        What to sum, the exposure relative to the largest.
    most : float
        The largest exposure.
    sums : 2D `~numpy.ndarray` of float64
        Three rows, one column for each number; added to.
    """
    ny, nx = used.shape
    for row in range(ny):
        for begin in range(0, nx, _CHUNK):
            end = min(begin + _CHUNK, nx)
            if not used[row, begin:end].any():
                continue
            for k in range(begin, end):
                if used[row, k]:
                    number = numbers[row, k]
                    sums[0, number] += counts[row, k]
                    sums[1, number] += exposure[row, k] / most
                    sums[2, number] += coverage[row, k]


@compiled
def expect(valid, exposure, coverage, numbers, most, rates, factors, out):
    """
    Fill an image with the expected counts of two components.

    Parameters
    ----------
    valid : 2D `~numpy.ndarray` of bool
        Elsewhere nothing is expected of the first component.
    exposure, coverage : 2D `~numpy.ndarray` of float32
        The components; the first is relative to its largest.
    numbers : 2D `~numpy.ndarray` of int
        Of each pixel.
    most : float
        The largest exposure.
    rates : 1D `~numpy.ndarray` of float32
        Of the components.
    factors : 1D `~numpy.ndarray` of float32
        By which pixels of each number are multiplied.
    out : 2D `~numpy.ndarray` of float32
        Filled.
    """
    ny, nx = out.shape
    for row in range(ny):
        line = out[row]
        for k in range(nx):
            first = exposure[row, k] / most if valid[row, k] else np.float32(0)
            line[k] = first * rates[0] + coverage[row, k] * rates[1]
        # apart, so that a processor takes several pixels at a time before
        for k in range(nx):
            line[k] *= factors[numbers[row, k]]


@compiled
def mixture(made, sums, n_steps):
    """
    Return the rates of components that make counts most likely, by expectation maximisation.

    Parameters
    ----------
    made : 1D `~numpy.ndarray`
        Counts in each cell, at least 0.
    sums : 2D `~numpy.ndarray`
        What each component makes at a rate of one, one row a component.
    n_steps : int
        How many steps to take.

    Returns
    -------
    rates : 1D `~numpy.ndarray`
        None of them negative.
    """
    n, n_cells = sums.shape
    totals = np.empty(n)
    for k in range(n):
        totals[k] = max(sums[k].sum(), 1e-30)
    rates = 0.5 * made.sum() / totals
    gained = np.empty(n)
    for _ in range(n_steps):
        gained[:] = 0
        for cell in range(n_cells):
            expected = 0.0
            for k in range(n):
                expected += rates[k] * sums[k, cell]
            ratio = made[cell] / max(expected, 1e-30)
            for k in range(n):
                gained[k] += sums[k, cell] * ratio
        for k in range(n):
            rates[k] *= gained[k] / totals[k]
    return rates


@compiled
def sums_in_cells(counts, background, good, step):
    """
    Return the sums of two images over square cells, of the pixels that are good.

    Parameters
    ----------
    counts, background : 2D `~numpy.ndarray`
        The images.
    good : 2D `~numpy.ndarray` of bool
        Which pixels to sum.
    step : int
        Size of a cell.

    Returns
    -------
    sums : 3D `~numpy.ndarray` of float64
        Of each image; the last cells may reach beyond it.
    """
    ny, nx = good.shape
    sums = np.zeros((2, (ny + step - 1) // step, (nx + step - 1) // step))
    # down the rows of a cell first, where a processor takes several columns at a time
    first, second = np.zeros(nx), np.zeros(nx)
    for row in range(ny):
        for k in range(nx):
            first[k] += counts[row, k] if good[row, k] else 0
        for k in range(nx):
            second[k] += background[row, k] if good[row, k] else 0
        if row % step == step - 1 or row == ny - 1:
            made, expected = sums[0, row // step], sums[1, row // step]
            for k in range(nx):
                made[k // step] += first[k]
                expected[k // step] += second[k]
            first[:] = 0
            second[:] = 0
    return sums


@compiled
def times_between_cells(plane, cells, step):
    """
    Multiply an image by values that are linear between the middles of cells; in place.

    Parameters
    ----------
    plane : 2D `~numpy.ndarray` of float32
        The image.
    cells : 2D `~numpy.ndarray` of float32
        The values.
    step : int
        Size of a cell in pixels.
    """
    ny, nx = plane.shape
    n_rows, n_columns = cells.shape
    left, along = np.empty(nx, np.int64), np.empty(nx, np.float32)
    for k in range(nx):
        place = min(max((k + 0.5) / step - 0.5, 0.0), n_columns - 1.0)
        left[k] = min(int(place), max(n_columns - 2, 0))
        along[k] = place - left[k]
    # rows of values at every pixel, which are those of step rows
    first, change = np.empty(nx, np.float32), np.empty(nx, np.float32)
    known = -1
    for row in range(ny):
        place = min(max((row + 0.5) / step - 0.5, 0.0), n_rows - 1.0)
        low = min(int(place), max(n_rows - 2, 0))
        if low != known:
            above, beneath = cells[low], cells[min(low + 1, n_rows - 1)]
            for k in range(nx):
                at, after = left[k], min(left[k] + 1, n_columns - 1)
                first[k] = above[at] + (above[after] - above[at]) * along[k]
                change[k] = beneath[at] + (beneath[after] - beneath[at]) * along[k] - first[k]
            known = low
        line, down = plane[row], np.float32(place - low)
        for k in range(nx):
            line[k] *= first[k] + change[k] * down


@compiled
def _any_above(values, threshold):
    """
    Return whether one of some values is above a threshold, which a processor tells of several.
    """
    n = 0
    for k in range(len(values)):
        n += values[k] > threshold
    return n > 0


@compiled
def _mark(is_near, half, step, line):
    """
    Mark the pixels of a row to which one that is near is the nearest of those there are.

    The others are not written, as another thread may do.
    """
    last = len(is_near) - 1
    for begin in range(0, last + 1, _CHUNK):
        end = min(begin + _CHUNK, last + 1)
        if not is_near[begin:end].any():
            continue
        for k in range(begin, end):
            if is_near[k]:
                stop = len(line) if k == last else min(k * step - half + step, len(line))
                for one in range(max(k * step - half, 0), stop):
                    line[one] = True


@compiled
def mark_near(image, threshold, reach, step, marked):
    """
    Mark the pixels that have one above a threshold within a distance along both axes.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        The image, or one of so many of its rows and columns.
    threshold : float
        The value that must be exceeded.
    reach : int
        The distance, in pixels of that image.
    step : int
        Of so many rows and columns it has one; what is marked has all.
    marked : 2D `~numpy.ndarray` of bool
        What is marked already; added to.
    """
    ny, nx = image.shape
    half = step // 2
    # the last row so far in which a pixel within reach along the row is above
    last = np.full(nx, -ny - 3 * reach - 3, np.int64)
    is_near = np.zeros(nx, np.bool_)
    for row in range(ny + reach):
        if row < ny:
            until = -1
            for begin in range(0, nx, _CHUNK):
                # as in most places
                if not _any_above(image[row, begin : begin + _CHUNK], threshold):
                    continue
                for k in range(begin, min(begin + _CHUNK, nx)):
                    if image[row, k] > threshold:
                        for near in range(max(k - reach, until + 1), min(k + reach + 1, nx)):
                            last[near] = row
                        until = min(k + reach, nx - 1)
        if row < reach:
            continue
        for k in range(nx):
            is_near[k] = row - last[k] <= 2 * reach
        # the rows and columns to which this one is the nearest of those there are
        middle = (row - reach) * step
        for one in range(max(middle - half, 0), min(middle - half + step, len(marked))):
            _mark(is_near, half, step, marked[one])
    # beyond the last but one
    for one in range(ny * step - half, len(marked)):
        _mark(is_near, half, step, marked[one])


@compiled
def peaks_in(image, threshold, reach):
    """
    Return the pixels above a threshold that no pixel near them exceeds.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        The image.
    threshold : float
        Smallest value.
    reach : int
        How far a pixel looks, along both axes.

    Returns
    -------
    places : list of tuple of int
        Row and column of each, in the order of the image.
    """
    ny, nx = image.shape
    places = [(0, 0) for _ in range(0)]
    for row in range(ny):
        for begin in range(0, nx, _CHUNK):
            if not _any_above(image[row, begin : begin + _CHUNK], threshold):
                continue
            for column in range(begin, min(begin + _CHUNK, nx)):
                value = image[row, column]
                if not value > threshold:
                    continue
                # most are no peaks, as their neighbours tell
                if column > 0 and image[row, column - 1] > value:
                    continue
                if column + 1 < nx and image[row, column + 1] > value:
                    continue
                highest = True
                for other in range(max(row - reach, 0), min(row + reach + 1, ny)):
                    for near in range(max(column - reach, 0), min(column + reach + 1, nx)):
                        highest &= image[other, near] <= value
                    if not highest:
                        break
                if highest:
                    places.append((row, column))
    return places


@compiled
def classify(response, vignetting, edges, n_cells, n_levels, groups, there):
    """
    Tell which pixels have about the same exposure, coverage and vignetting.

    Parameters
    ----------
    response : 2D `~numpy.ndarray` of float32
        Relative exposure.
    vignetting : 2D `~numpy.ndarray` of float32
        Becomes the coverage: the response over it, at most 1.
    edges : 1D `~numpy.ndarray`
        Of the vignetting, between its rings.
    n_cells, n_levels : int
        Into how many steps exposure and coverage are divided, and coverage of a class.
    groups : 2D `~numpy.ndarray` of int
        Filled with a number for all that.
    there : 1D `~numpy.ndarray` of bool
        Which numbers there are; added to.
    """
    ny, nx = response.shape
    ring = np.empty(nx, np.int32)
    # a loop for each, in most of which a processor takes several pixels at a time
    for row in range(ny):
        line, coverage, group = response[row], vignetting[row], groups[row]
        ring[:] = 0
        for edge in edges:
            for k in range(nx):
                ring[k] += coverage[k] >= edge
        for k in range(nx):
            coverage[k] = min(line[k] / coverage[k], np.float32(1))
        for k in range(nx):
            first = min(int(line[k] * np.float32(n_cells)), n_cells - 1)
            second = min(int(coverage[k] * np.float32(n_cells)), n_cells - 1)
            level = min(int(coverage[k] * np.float32(n_levels)), n_levels - 1)
            group[k] = ((first * n_cells + second) * n_levels + level) * (len(edges) + 1) + ring[k]
        for k in range(nx):
            there[group[k]] = True
