# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compiled statistics of an exposure map in boxes, in rings and in quadrants.
"""

import numpy as np

from clustercnn.finding._compiled import compiled

__all__ = [
    'best_exposed',
    'falls_on_all_sides',
    'furthest',
    'in_rings',
    'quantile',
    'quantiles',
    'radial',
    'seen_places',
]

_N_BINS = 1024


@compiled
def best_exposed(image, size, least_cover, least_part):
    """
    Return how large the best exposed part of an image is, and its middle.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        The exposure; beyond its borders all is 0.
    size : int
        Side of the boxes over which it is averaged, which reach half of it before a pixel.
    least_cover : float
        Share of a box that must be exposed.
    least_part : float
        Of the best exposure.

    Returns
    -------
    n_best, n_seen : int
        Pixels of the best part, and those with a mean.
    x, y : float
        Sums of columns and rows over the best part.
    """
    ny, nx = image.shape
    before, after = size // 2, size - size // 2
    share, total = np.zeros(nx), np.zeros(nx)
    mean = np.zeros((ny, nx))
    most = 0.0
    for row in range(1 - after, ny):
        entering, leaving = row + after - 1, row - before - 1
        if entering < ny:
            for k in range(nx):
                share[k] += image[entering, k] > 0
                total[k] += image[entering, k]
        if leaving >= 0:
            for k in range(nx):
                share[k] -= image[leaving, k] > 0
                total[k] -= image[leaving, k]
        if row < 0:
            continue
        seen, summed = 0.0, 0.0
        for k in range(1 - after, nx):
            if k + after - 1 < nx:
                seen += share[k + after - 1]
                summed += total[k + after - 1]
            if k - before - 1 >= 0:
                seen -= share[k - before - 1]
                summed -= total[k - before - 1]
            if k >= 0 and seen > least_cover * size**2:
                value = summed / seen
                mean[row, k] = value
                most = max(most, value)
    n_best, n_seen, x, y = 0, 0, 0.0, 0.0
    for row in range(ny):
        for k in range(nx):
            n_seen += mean[row, k] > 0
            if mean[row, k] > least_part * most:
                n_best += 1
                x += k
                y += row
    return n_best, n_seen, x, y


@compiled
def seen_places(response, step, axis_x, axis_y):
    """
    Return exposed pixels and where they lie.

    Parameters
    ----------
    response : 2D `~numpy.ndarray`
        Exposure, 0 where nothing was seen.
    step : int
        Of so many rows and columns one is looked at.
    axis_x, axis_y : float
        The optical axis.

    Returns
    -------
    values, dx, dy : 1D `~numpy.ndarray` of float64
        Exposure, and columns and rows from the axis, in the order of the image.
    """
    ny, nx = response.shape
    size = ((ny + step - 1) // step) * ((nx + step - 1) // step)
    values, dx, dy = np.empty(size), np.empty(size), np.empty(size)
    n = 0
    for row in range(0, ny, step):
        for column in range(0, nx, step):
            if response[row, column] > 0:
                values[n] = response[row, column]
                dx[n], dy[n] = column - axis_x, row - axis_y
                n += 1
    return values[:n], dx[:n], dy[:n]


@compiled
def furthest(response, step, axis_x, axis_y):
    """
    Return the distance of the exposed pixel that is furthest from a point.

    Parameters
    ----------
    response : 2D `~numpy.ndarray`
        Exposure, 0 where nothing was seen.
    step : int
        Of so many rows and columns one is looked at.
    axis_x, axis_y : float
        The point, in pixels.

    Returns
    -------
    distance : float
        In pixels; 0 where nothing is exposed.
    """
    ny, nx = response.shape
    squared = 0.0
    for row in range(0, ny, step):
        # the first and the last exposed one of a row are those that matter
        for begin, end, sign in ((0, nx, 1), ((nx - 1) // step * step, -1, -1)):
            for column in range(begin, end, sign * step):
                if response[row, column] > 0:
                    squared = max(squared, (column - axis_x) ** 2 + (row - axis_y) ** 2)
                    break
    return np.sqrt(squared)


@compiled
def quantiles(values, shares):
    """
    Return quantiles as `numpy.quantile` does.

    Parameters
    ----------
    values : 1D `~numpy.ndarray`
        At least one.
    shares : 1D `~numpy.ndarray`
        From 0 to 1.

    Returns
    -------
    found : 1D `~numpy.ndarray` of float64
        Each linear between the two values next to it.
    """
    least, most = values.min(), values.max()
    found = np.full(len(shares), float(least))
    if most == least:
        return found
    # sorted roughly by counting, and only those that matter in earnest
    scale = (_N_BINS - 1e-6) / (float(most) - float(least))
    if scale == np.inf:
        # as good as equal, and too near each other to be counted
        return found
    ends = np.zeros(_N_BINS, np.int64)
    for value in values:
        ends[min(int((value - least) * scale), _N_BINS - 1)] += 1
    ends = np.cumsum(ends)
    for number in range(len(shares)):
        place = shares[number] * (len(values) - 1)
        low = int(place)
        first = np.searchsorted(ends, low, side='right')
        last = np.searchsorted(ends, min(low + 1, len(values) - 1), side='right')
        before = ends[first - 1] if first > 0 else 0
        chosen, n = np.empty(ends[last] - before), 0
        for value in values:
            if first <= min(int((value - least) * scale), _N_BINS - 1) <= last:
                chosen[n] = value
                n += 1
        chosen.sort()
        found[number] = chosen[low - before]
        if place > low:
            found[number] += (chosen[low + 1 - before] - found[number]) * (place - low)
    return found


@compiled
def quantile(values, share):
    """
    Return a quantile as `numpy.quantile` does.

    Parameters
    ----------
    values : 1D `~numpy.ndarray`
        At least one.
    share : float
        From 0 to 1.

    Returns
    -------
    value : float
        Linear between the two values next to it.
    """
    return quantiles(values, np.array([share]))[0]


@compiled
def falls_on_all_sides(values, dx, dy, most):
    """
    Return whether values fall from the middle outwards in each quadrant.

    Parameters
    ----------
    values, dx, dy : 1D `~numpy.ndarray`
        From `seen_places`.
    most : float
        Share of the inner ones that the outer ones have at most.

    Returns
    -------
    falls : bool
        False also where one of the quadrants, or its inner or outer part, is empty.
    """
    n = len(values)
    distance, quadrant = np.sqrt(dx**2 + dy**2), 2 * (dy >= 0) + (dx >= 0)
    furthest = np.zeros(4)
    for k in range(n):
        furthest[quadrant[k]] = max(furthest[quadrant[k]], distance[k])
    inner, outer = np.empty(n), np.empty(n)
    for number in range(4):
        n_inner, n_outer = 0, 0
        for k in range(n):
            if quadrant[k] == number:
                far = distance[k] / furthest[number]
                if far < 0.4:
                    inner[n_inner] = values[k]
                    n_inner += 1
                elif far > 0.7:
                    outer[n_outer] = values[k]
                    n_outer += 1
        if n_inner == 0 or n_outer == 0:
            return False
        if quantile(outer[:n_outer], 0.75) > most * quantile(inner[:n_inner], 0.75):
            return False
    return True


@compiled
def in_rings(values, dx, dy, n_rings, share):
    """
    Return a quantile of values in rings.

    Parameters
    ----------
    values, dx, dy : 1D `~numpy.ndarray`
        From `seen_places`.
    n_rings : int
        Of the same width, out to the most distant.
    share : float
        Which quantile, from 0 to 1.

    Returns
    -------
    distances, heights : 1D `~numpy.ndarray`
        Mean distance and quantile in each ring with at least ten values; none where all
        values lie on the axis.
    """
    distance = np.sqrt(dx**2 + dy**2)
    if len(distance) == 0 or not distance.max() > 0:
        return np.empty(0), np.empty(0)
    width = distance.max() / n_rings
    ring = np.minimum(distance / width, n_rings - 1).astype(np.int64)
    ends = np.zeros(n_rings + 1, np.int64)
    for one in ring:
        ends[one + 1] += 1
    ends = np.cumsum(ends)
    filled, total = ends[:-1].copy(), np.zeros(n_rings)
    ordered = np.empty_like(values)
    for k in range(len(values)):
        ordered[filled[ring[k]]] = values[k]
        filled[ring[k]] += 1
        total[ring[k]] += distance[k]
    distances, heights, n_made = np.empty(n_rings), np.empty(n_rings), 0
    for k in range(n_rings):
        n = ends[k + 1] - ends[k]
        if n >= 10:
            distances[n_made] = total[k] / n
            heights[n_made] = quantile(ordered[ends[k] : ends[k + 1]], share)
            n_made += 1
    return distances[:n_made], heights[:n_made]


@compiled
def radial(axis_x, axis_y, distances, values, start, out):
    """
    Fill rows of an image with a function of the distance from a point.

    Parameters
    ----------
    axis_x, axis_y : float
        The point, in pixels.
    distances, values : 1D `~numpy.ndarray`
        Rising distances and the values there; linear in between and constant beyond.
    start : int
        The first row.
    out : 2D `~numpy.ndarray` of float32
        Filled.
    """
    ny, nx = out.shape
    last = len(distances) - 1
    slopes = (values[1:] - values[:-1]) / (distances[1:] - distances[:-1])
    distance = np.empty(nx)
    for row in range(ny):
        k = 0
        for column in range(nx):
            distance[column] = np.sqrt((column - axis_x) ** 2 + (start + row - axis_y) ** 2)
        line = out[row]
        for column in range(nx):
            # that of the pixel before is near
            while k < last and distances[k + 1] <= distance[column]:
                k += 1
            while k > 0 and distances[k] > distance[column]:
                k -= 1
            if k == last or distance[column] <= distances[0]:
                line[column] = values[k]
            else:
                line[column] = slopes[k] * (distance[column] - distances[k]) + values[k]
