# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compiled sums over symmetric kernels along the rows and the columns of an image, and what they say
of an excess of counts.
"""

import numpy as np

from clustercnn.finding._compiled import compiled

__all__ = [
    'are_many',
    'convolve',
    'convolved_at',
    'highest_near',
    'significances',
    'tail_of_many',
]

# from so many on the tail is that of an expansion
_MANY_COUNTS = 30.0
# values of a table for each count, and the share by which an expectation must differ from what lies
# between two of them to be told by it
PER_COUNT, SAFE = 64, 1e-3
# rows and columns at a time, so that what they are made from stays in the second-level cache
_ROWS, _COLUMNS = 64, 1024
# pixels of a row that are passed over together, or not
_CHUNK = 32


@compiled
def _across(rows, middle, kernel, out):
    """
    Sum over rows on both sides of one.

    ``kernel`` are its values from the middle on.
    """
    n, reach = len(out), len(kernel) - 1
    first = rows[middle]
    for k in range(n):
        out[k] = kernel[0] * first[k]
    step = 1
    # so many at a time that the sum is rarely loaded and stored
    while step + 3 <= reach:
        a, b, c, d = kernel[step], kernel[step + 1], kernel[step + 2], kernel[step + 3]
        up_a, down_a = rows[middle - step], rows[middle + step]
        up_b, down_b = rows[middle - step - 1], rows[middle + step + 1]
        up_c, down_c = rows[middle - step - 2], rows[middle + step + 2]
        up_d, down_d = rows[middle - step - 3], rows[middle + step + 3]
        for k in range(n):
            out[k] += (
                a * (up_a[k] + down_a[k])
                + b * (up_b[k] + down_b[k])
                + c * (up_c[k] + down_c[k])
                + d * (up_d[k] + down_d[k])
            )
        step += 4
    while step <= reach:
        a, up_a, down_a = kernel[step], rows[middle - step], rows[middle + step]
        for k in range(n):
            out[k] += a * (up_a[k] + down_a[k])
        step += 1


@compiled
def _across_twice(rows, middle, left, kernel, other, out, out_other):
    """
    Sum a part of the same rows, from a column on, with two kernels of the same length.
    """
    n, reach = len(out), len(kernel) - 1
    right = left + n
    first = rows[middle, left:right]
    for k in range(n):
        out[k] = kernel[0] * first[k]
        out_other[k] = other[0] * first[k]
    step = 1
    while step + 1 <= reach:
        a, b, other_a, other_b = kernel[step], kernel[step + 1], other[step], other[step + 1]
        up_a, down_a = rows[middle - step, left:right], rows[middle + step, left:right]
        up_b, down_b = rows[middle - step - 1, left:right], rows[middle + step + 1, left:right]
        for k in range(n):
            both_a, both_b = up_a[k] + down_a[k], up_b[k] + down_b[k]
            out[k] += a * both_a + b * both_b
            out_other[k] += other_a * both_a + other_b * both_b
        step += 2
    while step <= reach:
        a, other_a = kernel[step], other[step]
        up_a, down_a = rows[middle - step, left:right], rows[middle + step, left:right]
        for k in range(n):
            both_a = up_a[k] + down_a[k]
            out[k] += a * both_a
            out_other[k] += other_a * both_a
        step += 1


@compiled
def _along(row, kernel, out):
    """
    Sum over the pixels on both sides of each along a row, which is longer by the kernel.
    """
    n, reach = len(out), len(kernel) - 1
    first = row[reach : reach + n]
    for k in range(n):
        out[k] = kernel[0] * first[k]
    step = 1
    while step + 3 <= reach:
        a, b, c, d = kernel[step], kernel[step + 1], kernel[step + 2], kernel[step + 3]
        left, right = reach - step, reach + step
        left_a, right_a = row[left : left + n], row[right : right + n]
        left_b, right_b = row[left - 1 : left - 1 + n], row[right + 1 : right + 1 + n]
        left_c, right_c = row[left - 2 : left - 2 + n], row[right + 2 : right + 2 + n]
        left_d, right_d = row[left - 3 : left - 3 + n], row[right + 3 : right + 3 + n]
        for k in range(n):
            out[k] += (
                a * (left_a[k] + right_a[k])
                + b * (left_b[k] + right_b[k])
                + c * (left_c[k] + right_c[k])
                + d * (left_d[k] + right_d[k])
            )
        step += 4
    while step <= reach:
        a, left, right = kernel[step], reach - step, reach + step
        left_a, right_a = row[left : left + n], row[right : right + n]
        for k in range(n):
            out[k] += a * (left_a[k] + right_a[k])
        step += 1


@compiled
def _along_every(row, kernel, step, phases, out):
    """
    Sum as `_along` does at one pixel of so many, of which the first is the first.

    ``phases`` has room for the row in as many parts, in each of which such pixels are neighbours.
    """
    if step == 1:
        _along(row, kernel, out)
        return
    n, reach = len(out), len(kernel) - 1
    for phase in range(step):
        part = phases[phase]
        size = (len(row) - phase + step - 1) // step
        for k in range(size):
            part[k] = row[phase + step * k]
    middle = phases[reach % step, reach // step :]
    for k in range(n):
        out[k] = kernel[0] * middle[k]
    for far in range(1, reach + 1):
        a = kernel[far]
        left = phases[(reach - far) % step, (reach - far) // step :]
        right = phases[(reach + far) % step, (reach + far) // step :]
        for k in range(n):
            out[k] += a * (left[k] + right[k])


@compiled
def _fill(plane, top, left, piece):
    """
    Copy the part of a plane that begins at a row and a column, zero where there is none.
    """
    ny, nx = plane.shape
    height, width = piece.shape
    low, high = max(-left, 0), max(min(nx - left, width), 0)
    for k in range(height):
        row = piece[k]
        if top + k < 0 or top + k >= ny:
            row[:] = 0
            continue
        row[:low] = 0
        row[low:high] = plane[top + k, left + low : left + high]
        row[high:] = 0


@compiled
def convolve(image, start, stop, kernel, out):
    """
    Convolve some rows of an image with a symmetric kernel along both axes.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        The image; beyond its borders all is zero.
    start, stop : int
        The rows.
    kernel : 1D `~numpy.ndarray`
        Its values from the middle on.
    out : 2D `~numpy.ndarray`
        Filled with the result; of the type in which to compute.
    """
    nx, reach = image.shape[1], len(kernel) - 1
    for left in range(0, nx, _COLUMNS):
        right = min(left + _COLUMNS, nx)
        piece = np.empty(
            (min(_ROWS, stop - start) + 2 * reach, right - left + 2 * reach), out.dtype
        )
        wide = np.empty(piece.shape[1], out.dtype)
        for top in range(start, stop, _ROWS):
            _fill(image, top - reach, left - reach, piece)
            for row in range(top, min(top + _ROWS, stop)):
                _across(piece, row - top + reach, kernel, wide)
                _along(wide, kernel, out[row - start, left:right])


@compiled
def convolved_at(image, kernel, rows, columns):
    """
    Return what `convolve` makes of some pixels.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        The image; beyond its borders all is zero.
    kernel : 1D `~numpy.ndarray` of float64
        Its values from the middle on.
    rows, columns : 1D `~numpy.ndarray` of int
        The pixels.

    Returns
    -------
    values : 1D `~numpy.ndarray` of float64
        One for each.
    """
    ny, nx = image.shape
    reach = len(kernel) - 1
    values = np.zeros(len(rows))
    for number in range(len(rows)):
        middle, centre = rows[number], columns[number]
        for row in range(max(middle - reach, 0), min(middle + reach + 1, ny)):
            total = 0.0
            for column in range(max(centre - reach, 0), min(centre + reach + 1, nx)):
                total += kernel[abs(column - centre)] * image[row, column]
            values[number] += kernel[abs(row - middle)] * total
    return values


@compiled
def tail_of_many(observed, expected):
    """
    Return the sigma of the upper tail of a Poisson variable where many counts are observed.

    Temme 1992, Math. Comp. 58, 755: the likelihood ratio and two terms in 1 / observed; right
    to 2e-6 from 30 on, and several times faster than the incomplete gamma function.

    Parameters
    ----------
    observed, expected : float or `~numpy.ndarray`
        Counts, and their mean, which differ.

    Returns
    -------
    sigma : float or `~numpy.ndarray`
        Gaussian; negative below the mean.
    """
    distance = (expected - observed) / observed
    eta = -np.sqrt(2 * (distance - np.log1p(distance)))
    ratio = eta / distance
    logarithm = np.log(ratio)
    first = -logarithm / eta
    slope = (logarithm - 1 + (1 + distance) * ratio**2) / eta**2
    second = (slope + 1 / 12 - first**2 / 2) / eta
    return -np.sqrt(observed) * (eta + (first + second / observed) / observed)


@compiled
def are_many(observed, expected):
    """
    Return where `tail_of_many` holds.

    Parameters
    ----------
    observed, expected : float or `~numpy.ndarray`
        Counts, and their mean.

    Returns
    -------
    many : bool or `~numpy.ndarray` of bool
        Whether counts are many, and the expansion, which is in the distance from the mean relative
        to it, does not vanish.
    """
    far = observed - expected > 2e-3 * observed
    return (observed >= _MANY_COUNTS) & far & (expected > 1e-12 * observed)


@compiled
def _beyond(table, observed, factor, mean):
    """
    Return whether an expectation is on the far side of what a table says of the observed counts.

    With a factor above 1 it is larger, with one below 1 smaller than the table's times this.
    """
    place = observed * PER_COUNT
    at = int(place)
    if at + 1 >= len(table):
        return False
    # which is none where the table has none
    critical = table[at] + (table[at + 1] - table[at]) * (place - at)
    if factor > 1:
        return mean > factor * critical
    return mean < factor * critical


@compiled
def _grown(array):
    """
    Return a longer array that begins with this one.
    """
    longer = np.empty((len(array), 2 * array.shape[1]), array.dtype)
    longer[:, : array.shape[1]] = array
    return longer


@compiled
def _any_above(first, bound, least, begin):
    """
    Return whether one of the next pixels has an excess whose square is large beside a bound.
    """
    high, low, n = first[begin : begin + _CHUNK], bound[begin : begin + _CHUNK], 0
    for k in range(len(high)):
        n += (high[k] > 0) & (high[k] * high[k] >= least * low[k])
    return n > 0


@compiled
def highest_near(counts, background, kernels, peaks, rows, columns, half):
    """
    Move pixels to where near them an excess of smoothed counts is least likely by chance.

    That is judged by the likelihood ratio of the Poisson variable that stands for them. The excess
    beside its scatter would be largest where next to nothing is expected, beyond the exposure.

    Parameters
    ----------
    counts, background : 2D `~numpy.ndarray`
        Counts, and their expectation without sources.
    kernels : 2D `~numpy.ndarray` of float64
        The kernel, its square and its cube from the middle on.
    peaks : 1D `~numpy.ndarray`
        By how much the square of each is to be multiplied.
    rows, columns : 1D `~numpy.ndarray` of int
        The pixels; changed, but where there is no excess near.
    half : int
        How far to look, along both axes.

    Returns
    -------
    sums : 2D `~numpy.ndarray` of float64
        Of the excess with the kernel, and of what is expected with its square and its cube, one
        column for each pixel; 0 where there is no excess near.
    """
    ny, nx = counts.shape
    reach, size = kernels.shape[1] - 1, 2 * half + 1
    width = size + 2 * reach
    excess, expected = np.empty((width, width)), np.empty((width, width))
    wide, lines = np.empty(width), np.empty((3, size))
    sums = np.zeros((3, len(rows)))
    for number in range(len(rows)):
        top, left = rows[number] - half, columns[number] - half
        _fill(counts, top - reach, left - reach, excess)
        _fill(background, top - reach, left - reach, expected)
        excess -= expected
        highest = 0.0
        for row in range(max(top, 0), min(top + size, ny)):
            middle = row - top + reach
            for power in range(3):
                _across(excess if power == 0 else expected, middle, kernels[power], wide)
                _along(wide, kernels[power], lines[power])
            for column in range(max(left, 0), min(left + size, nx)):
                first = peaks[0] * lines[0, column - left]
                second = peaks[1] * lines[1, column - left]
                third = peaks[2] * lines[2, column - left]
                if not (first > 0 and second > 0 and third > 0):
                    continue
                factor = second / third
                mean = second * factor**2
                beyond = first * factor
                ratio = (mean + beyond) * np.log1p(beyond / mean) - beyond
                if ratio > highest:
                    highest = ratio
                    rows[number], columns[number] = row, column
                    sums[0, number], sums[1, number], sums[2, number] = first, second, third
    return sums


@compiled
def significances(
    counts, background, start, stop, step, kernels, peaks, least, sure, tables, sigma
):
    """
    Find how significant smoothed counts are in some rows of an image.

    The smoothed counts are replaced by the Poisson variable of the same mean, variance and third
    moment, scaled and shifted.

    Parameters
    ----------
    counts, background : 2D `~numpy.ndarray`
        Counts, and their expectation without sources.
    start, stop : int
        The rows of the result.
    step : int
        Of so many rows and columns of the image, one is in the result; a power of two.
    kernels : 2D `~numpy.ndarray`
        The kernel, its square and its cube from the middle on, in the type in which to compute.
    peaks : 1D `~numpy.ndarray`
        By how much the square of each is to be multiplied.
    least : float
        Smallest ratio of the square of the excess to its variance that is looked at.
    sure : 2-tuple of float
        By which variance and excess are multiplied; from their sum on an excess has a square of
        which nothing more need be known.
    tables : 2D `~numpy.ndarray` of float64
        From which expectation down so many counts are as significant as asked for, and from
        which down nothing more need be known, at every 64th of a count.
    sigma : 2D `~numpy.ndarray`
        Of all rows. Filled where many counts are observed, infinite where it need not be known.

    Returns
    -------
    few : 2D `~numpy.ndarray`
        Row, column, counts and mean of the Poisson variables of few counts.
    """
    nx, reach = counts.shape[1], kernels.shape[1] - 1
    few, n_few = np.empty((4, 1024)), 0
    # rows of the result on both sides of one for which one bound of the variance will do
    beside = (reach + 2) // 16 if step == 1 else (reach + 2) // (8 * step)
    n_rows = max(_ROWS // step, 1)
    for left in range(0, nx, _COLUMNS):
        right = min(left + _COLUMNS, nx)
        width = (right - left + step - 1) // step
        shape = ((min(n_rows, stop - start) - 1) * step + 1 + 2 * reach, right - left + 2 * reach)
        excess, expected = np.empty(shape, kernels.dtype), np.empty(shape, kernels.dtype)
        wide, wider = np.empty(shape[1], kernels.dtype), np.empty(shape[1], kernels.dtype)
        phases = np.empty((step, shape[1] // step + 1), kernels.dtype)
        first, bound = np.empty(width, kernels.dtype), np.empty(width, kernels.dtype)
        second, third = np.empty(width, kernels.dtype), np.empty(width, kernels.dtype)
        for top in range(start, stop, n_rows):
            _fill(counts, top * step - reach, left - reach, excess)
            _fill(background, top * step - reach, left - reach, expected)
            # the difference first: it is as exact in float32 as the counts are
            for k in range(len(excess)):
                above, beneath = excess[k], expected[k]
                for column in range(len(above)):
                    above[column] -= beneath[column]
            for row in range(top, min(top + n_rows, stop)):
                middle = (row - top) * step + reach
                if (row - top) % (2 * beside + 1) == 0:
                    # further from the middle by the distance of these rows the kernel is nowhere
                    # larger than that of one of them is
                    far = beside * step
                    _across(expected, middle + far, kernels[1, far:], wide)
                    _along_every(wide, kernels[1], step, phases, bound)
                _across(excess, middle, kernels[0], wide)
                _along_every(wide, kernels[0], step, phases, first)
                begin = 0
                while begin < width:
                    end = begin
                    while end < width and _any_above(first, bound, least, end):
                        end = min(end + _CHUNK, width)
                    size = end - begin
                    if size == 0:
                        # as most often
                        begin += _CHUNK
                        continue
                    n_used = (size - 1) * step + 1 + 2 * reach
                    across, other = wide[:n_used], wider[:n_used]
                    _across_twice(
                        expected, middle, begin * step, kernels[1], kernels[2], across, other
                    )
                    _along_every(across, kernels[1], step, phases, second[:size])
                    _along_every(other, kernels[2], step, phases, third[:size])
                    for k in range(size):
                        high = first[begin + k]
                        if not (high > 0 and high * high >= least * second[k]) or third[k] <= 0:
                            continue
                        column = left // step + begin + k
                        variance = second[k] * peaks[1]
                        factor = variance / (third[k] * peaks[2])
                        mean = variance * factor**2
                        observed = high * peaks[0] * factor + mean
                        if high * high >= sure[0] * second[k] + sure[1] * high:
                            sigma[row, column] = np.inf
                            continue
                        if are_many(observed, mean):
                            sigma[row, column] = max(tail_of_many(observed, mean), 0)
                            continue
                        if _beyond(tables[0], observed, 1 + SAFE, mean):
                            continue
                        if _beyond(tables[1], observed, 1 - SAFE, mean):
                            sigma[row, column] = np.inf
                            continue
                        if n_few == few.shape[1]:
                            few = _grown(few)
                        few[0, n_few], few[1, n_few] = row, column
                        few[2, n_few], few[3, n_few] = observed, mean
                        n_few += 1
                    begin = end
    return few[:, :n_few]
