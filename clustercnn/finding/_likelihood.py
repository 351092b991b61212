# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compiled sums of the Cash statistic and its derivatives, and the King profile on pixels.
"""

import numpy as np

from clustercnn.finding._compiled import compiled, compiled_sums

__all__ = [
    'add_template',
    'lit_pixels',
    'moved_template',
    'newton_amplitudes',
    'normal_equations',
    'point_image',
    'score_test',
    'scored_position',
    'summed',
]


@compiled
def lit_pixels(counts, background, response):
    """
    Return which pixels hold photons that count.

    Parameters
    ----------
    counts, background, response : 1D `~numpy.ndarray`
        Of all pixels; the last is their relative exposure.

    Returns
    -------
    lit : 1D `~numpy.ndarray` of int
        Their numbers.
    photons, dark : 1D `~numpy.ndarray`
        Counts and background of these.
    """
    lit, n = np.empty(len(counts), np.int64), 0
    for pixel in range(len(counts)):
        lit[n] = pixel
        n += (counts[pixel] > 0) & (response[pixel] > 0)
    lit = lit[:n].copy()
    return lit, counts[lit], background[lit]


@compiled
def moved_template(around, model, top, left, shift_x, shift_y, step, out):
    """
    Fill images with a model a little off the place that it is known at, and its slopes.

    Parameters
    ----------
    around : 5-tuple of 3D `~numpy.ndarray` of float32
        All models at that place, and at those a step after and before it along x and along y.
    model : int
        Number of the one.
    top, left : int
        Row and column of the first pixel that is asked for.
    shift_x, shift_y : float
        How far off, in pixels.
    step : float
        Of the places, in pixels.
    out : 3D `~numpy.ndarray` of float32
        Filled with the model, nowhere below 0, and its changes along x and along y.
    """
    middle, after, before, above, below = around
    per_step = np.float32(0.5 / step)
    shift_x, shift_y = np.float32(shift_x), np.float32(shift_y)
    right = left + out.shape[2]
    for row in range(out.shape[1]):
        image, slope_x, slope_y = out[0, row], out[1, row], out[2, row]
        first, second = after[model, top + row, left:right], before[model, top + row, left:right]
        for k in range(len(image)):
            slope_x[k] = (first[k] - second[k]) * per_step
        first, second = above[model, top + row, left:right], below[model, top + row, left:right]
        for k in range(len(image)):
            slope_y[k] = (first[k] - second[k]) * per_step
        first = middle[model, top + row, left:right]
        for k in range(len(image)):
            moved = first[k] + shift_x * slope_x[k] + shift_y * slope_y[k]
            image[k] = max(moved, np.float32(0))


@compiled_sums
def newton_amplitudes(templates, lit, photons, floor, response, start, n_steps):
    """
    Fit the amplitude of each template, by Newton's steps.

    Parameters
    ----------
    templates : 2D `~numpy.ndarray`
        One row each.
    lit : 1D `~numpy.ndarray` of int
        Pixels that hold photons.
    photons, floor : 1D `~numpy.ndarray` of float64
        Counts and background of these.
    response : 1D `~numpy.ndarray`
        Relative exposure of all pixels.
    start : 1D `~numpy.ndarray` of float64
        Amplitudes to begin with, positive.
    n_steps : int
        The most steps.

    Returns
    -------
    statistic, amplitude, curvature : 1D `~numpy.ndarray`
        One value for each template.
    """
    n, n_lit = len(templates), len(lit)
    norm, value = np.empty(n), start.copy()
    shape, curvature = np.empty((n, n_lit)), np.ones(n)
    for k in range(n):
        total = 0.0
        for pixel in range(len(response)):
            total += np.float64(templates[k, pixel]) * np.float64(response[pixel])
        norm[k] = total
        for number in range(n_lit):
            shape[k, number] = templates[k, lit[number]] * response[lit[number]]
    for _ in range(n_steps):
        done = True
        for k in range(n):
            seen, curved, row, amplitude = 0.0, 0.0, shape[k], value[k]
            for number in range(n_lit):
                ratio = row[number] / (floor[number] + amplitude * row[number])
                weighted = ratio * photons[number]
                seen += weighted
                curved += weighted * ratio
            curvature[k] = max(curved, 1e-12)
            # half the value at most, so that the amplitude stays positive
            step = min(max((norm[k] - seen) / curvature[k], -2 * amplitude), 0.5 * amplitude)
            value[k] = max(amplitude - step, 1e-6)
            done &= abs(value[k] - amplitude) <= 1e-4 * amplitude + 1e-5
        if done:
            break
    statistic = np.empty(n)
    for k in range(n):
        gain, row = 0.0, shape[k]
        for number in range(n_lit):
            gain += photons[number] * np.log1p(value[k] * row[number] / floor[number])
        statistic[k] = 2 * (gain - value[k] * norm[k])
    return statistic, value, curvature


@compiled_sums
def _information(source, changes, background, shift):
    """
    Return the information in a model that moves linearly.
    """
    first, second = 0.0, 0.0
    for pixel in range(len(source)):
        along, across = changes[0, pixel], changes[1, pixel]
        moved = max(source[pixel] + shift[0] * along + shift[1] * across, 0.0)
        weight = 1 / (background[pixel] + moved)
        first += along * along * weight
        second += across * across * weight
    return max(first, 1e-12), max(second, 1e-12)


@compiled_sums
def scored_position(planes, amplitude, lit, photons, dark, background, response):
    """
    Return the shift that a model wants by Fisher scoring, and the information in it.

    Parameters
    ----------
    planes : 2D `~numpy.ndarray`
        The model, and its change along x and along y, one row each.
    amplitude : float
        Its counts.
    lit : 1D `~numpy.ndarray` of int
        Pixels that hold photons.
    photons, dark : 1D `~numpy.ndarray`
        Counts and background of these.
    background, response : 1D `~numpy.ndarray`
        Of all pixels.

    Returns
    -------
    shift, information : tuple of float
        Along x and y.
    """
    template, slope_x, slope_y = planes[0], planes[1], planes[2]
    n = len(template)
    source, changes = np.empty(n), np.empty((2, n))
    lost_x, lost_y = 0.0, 0.0
    for pixel in range(n):
        scale = amplitude * np.float64(response[pixel])
        source[pixel] = template[pixel] * scale
        along, across = slope_x[pixel] * scale, slope_y[pixel] * scale
        changes[0, pixel], changes[1, pixel] = along, across
        lost_x += along
        lost_y += across
    shift, reach = np.zeros(2), 1.0
    known_x, known_y = _information(source, changes, background, shift)
    for _ in range(6):
        seen_x, seen_y = 0.0, 0.0
        for number in range(len(lit)):
            pixel = lit[number]
            along, across = changes[0, pixel], changes[1, pixel]
            moved = max(source[pixel] + shift[0] * along + shift[1] * across, 0.0)
            weight = photons[number] / (dark[number] + moved)
            seen_x += along * weight
            seen_y += across * weight
        step_x, step_y = (seen_x - lost_x) / known_x, (seen_y - lost_y) / known_y
        # where the PSF is not that of the model steps are too long; halving ends that
        shift[0] += min(max(step_x, -reach), reach)
        shift[1] += min(max(step_y, -reach), reach)
        shift[0] = min(max(shift[0], -0.5), 0.5)
        shift[1] = min(max(shift[1], -0.5), 0.5)
        if max(abs(step_x), abs(step_y)) < 0.01:
            break
        reach *= 0.5
    return (shift[0], shift[1]), _information(source, changes, background, shift)


@compiled_sums
def summed(parts, amplitude, lit, photons, dark):
    """
    Return what components make together, and how it improves the Cash statistic.

    Parameters
    ----------
    parts : 3D `~numpy.ndarray`
        Shape ``(n, 3, n_pixels)``: for each component its image of unit amplitude, and the
        changes of that along x and along y.
    amplitude : 1D `~numpy.ndarray`
        Of each component.
    lit : 1D `~numpy.ndarray` of int
        Pixels that hold photons.
    photons, dark : 1D `~numpy.ndarray`
        Counts and background of these.

    Returns
    -------
    source : 1D `~numpy.ndarray`
        Counts that are expected of all components.
    gain : float
        Twice the logarithm of the ratio of likelihoods, over background alone.
    """
    source = np.zeros(parts.shape[2])
    for number in range(len(parts)):
        image, factor = parts[number, 0], amplitude[number]
        for pixel in range(len(source)):
            source[pixel] += factor * image[pixel]
    seen, total = 0.0, 0.0
    for number in range(len(lit)):
        seen += photons[number] * np.log1p(source[lit[number]] / dark[number])
    for pixel in range(len(source)):
        total += source[pixel]
    return source, 2 * (seen - total)


@compiled_sums
def normal_equations(parts, amplitude, source, counts, background):
    """
    Return Fisher's information and the score of amplitudes and positions of components.

    Parameters
    ----------
    parts : 3D `~numpy.ndarray`
        As for `summed`.
    amplitude : 1D `~numpy.ndarray`
        Of each component.
    source, counts, background : 1D `~numpy.ndarray`
        What is expected of all, counts, and background.

    Returns
    -------
    information : 2D `~numpy.ndarray`
        Shape ``(3 n, 3 n)``.
    score : 1D `~numpy.ndarray`
        Shape ``(3 n,)``: of amplitudes, columns and rows.
    """
    n, n_pixels = len(parts), parts.shape[2]
    information, score = np.empty((3 * n, 3 * n)), np.empty(3 * n)
    weight, weighted = np.empty(n_pixels), np.empty(n_pixels)
    for pixel in range(n_pixels):
        weight[pixel] = 1 / (background[pixel] + source[pixel])
    for first in range(3 * n):
        scale = amplitude[first % n] if first >= n else 1.0
        row, total = parts[first % n, first // n], 0.0
        for pixel in range(n_pixels):
            weighted[pixel] = scale * row[pixel] * weight[pixel]
            total += weighted[pixel] * (counts[pixel] - background[pixel] - source[pixel])
        score[first] = total
        for second in range(first + 1):
            scale = amplitude[second % n] if second >= n else 1.0
            other, total = parts[second % n, second // n], 0.0
            for pixel in range(n_pixels):
                total += weighted[pixel] * other[pixel]
            information[first, second] = information[second, first] = scale * total
    return information, score


@compiled_sums
def _king(x, y, shift_x, shift_y, shape, to_x, to_y, inverse, power):
    """
    Fill arrays with the King profile at places that are shifted.

    That is half the gradient of the squared distance in core radii, one over the sum of one and
    that distance, and this to the power of the slope. A processor does several places at a time in
    long loops that write few arrays; divisions take it longest.
    """
    radial, tangential, slope, cos, sin, _ = shape
    radial, tangential = radial**-2, tangential**-2
    in_x, in_y = radial * cos * cos + tangential * sin * sin, (radial - tangential) * cos * sin
    last = radial + tangential - in_x
    for k in range(len(x)):
        to_x[k] = in_x * (x[k] + shift_x) + in_y * (y[k] + shift_y)
        to_y[k] = in_y * (x[k] + shift_x) + last * (y[k] + shift_y)
    for k in range(len(x)):
        squared = to_x[k] * (x[k] + shift_x) + to_y[k] * (y[k] + shift_y)
        inverse[k] = 1 / (1 + squared)
    if slope == 1.5:
        for k in range(len(x)):
            power[k] = inverse[k] * np.sqrt(inverse[k])
    else:
        for k in range(len(x)):
            power[k] = inverse[k] ** slope


@compiled_sums
def _grid(dx, dy):
    """
    Return columns and rows of each pixel.
    """
    x, y = np.empty(len(dx) * len(dy)), np.empty(len(dx) * len(dy))
    for row in range(len(dy)):
        for column in range(len(dx)):
            x[row * len(dx) + column], y[row * len(dx) + column] = dx[column], dy[row]
    return x, y


@compiled_sums
def _pixel_means(x, y, nodes, weights, shape):
    """
    Return means over pixels and their slopes, from points in each.

    ``nodes`` and ``weights`` are of an integral from -1 to 1 along each side.
    """
    slope, norm = shape[2], shape[5]
    image, slope_x, slope_y = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    work = np.empty((4, len(x)))
    to_x, to_y, inverse, power = work[0], work[1], work[2], work[3]
    for row in range(len(nodes)):
        for column in range(len(nodes)):
            shift_x, shift_y = nodes[column] / 2, nodes[row] / 2
            _king(x, y, shift_x, shift_y, shape, to_x, to_y, inverse, power)
            weight = weights[row] * weights[column] / (4 * norm)
            for k in range(len(x)):
                power[k] *= weight
                image[k] += power[k]
                inverse[k] *= 2 * slope * power[k]
            for k in range(len(x)):
                slope_x[k] += inverse[k] * to_x[k]
            for k in range(len(x)):
                slope_y[k] += inverse[k] * to_y[k]
    return image, slope_x, slope_y


@compiled_sums
def _pixel_middles(x, y, shape):
    """
    Return means over pixels and their slopes, from value and curvature in the middle of each.
    """
    radial, tangential, slope, cos, sin, norm = shape
    radial, tangential, norm = radial**-2, tangential**-2, 1 / norm
    trace = radial + tangential
    # what the gradient is to the place, a matrix, is the curvature to the gradient
    in_x, in_y = radial * cos * cos + tangential * sin * sin, (radial - tangential) * cos * sin
    image, slope_x, slope_y = np.empty(len(x)), np.empty(len(x)), np.empty(len(x))
    work = np.empty((4, len(x)))
    to_x, to_y, inverse, power = work[0], work[1], work[2], work[3]
    _king(x, y, 0.0, 0.0, shape, to_x, to_y, inverse, power)
    for k in range(len(x)):
        squared = to_x[k] * to_x[k] + to_y[k] * to_y[k]
        steep = 2 * slope * norm * power[k] * inverse[k]
        step = steep * inverse[k] * ((slope + 1) / 12)
        image[k] = power[k] * norm + step * squared - steep * (trace / 24)
        # by what the gradient and the curvature along it are multiplied
        power[k] = steep - step * (trace - 2 * (slope + 2) * squared * inverse[k])
        inverse[k] = 2 * step
    for k in range(len(x)):
        slope_x[k] = power[k] * to_x[k] - inverse[k] * (in_x * to_x[k] + in_y * to_y[k])
    for k in range(len(x)):
        further = in_y * to_x[k] + (trace - in_x) * to_y[k]
        slope_y[k] = power[k] * to_y[k] - inverse[k] * further
    return image, slope_x, slope_y


@compiled_sums
def point_image(dx, dy, shape, far, near, two, two_weights, many, many_weights, response, out):
    """
    Fill images with the mean of a King profile over each pixel, and its changes with the position.

    Parameters
    ----------
    dx, dy : 1D `~numpy.ndarray`
        Columns and rows from the source, rising.
    shape : 6-tuple of float
        Core radii along both axes and slope of the profile, cosine and sine of the direction of
        the first axis, and by what the profile is divided.
    far, near : float
        Distances along either axis within which two and many points along a side of a pixel are
        taken; beyond the first the middle and the curvature there will do.
    two, two_weights, many, many_weights : 1D `~numpy.ndarray`
        Where these are, from -1 to 1, and their weights.
    response : 2D `~numpy.ndarray`
        By which the images are multiplied.
    out : 3D `~numpy.ndarray`
        Filled with the profile, and its changes as the source moves along x and along y.
    """
    for number in range(3):
        distance = np.array([np.inf, far, near])[number]
        nodes, weights = (many, many_weights) if number == 2 else (two, two_weights)
        low, high = np.searchsorted(dy, -distance), np.searchsorted(dy, distance)
        left, right = np.searchsorted(dx, -distance), np.searchsorted(dx, distance)
        if (number == 0 and far == np.inf) or low >= high or left >= right:
            continue
        x, y = _grid(dx[left:right], dy[low:high])
        if number == 0:
            parts = _pixel_middles(x, y, shape)
        else:
            parts = _pixel_means(x, y, nodes, weights, shape)
        width = right - left
        for plane in range(3):
            for row in range(low, high):
                line, seen = out[plane, row, left:right], response[row, left:right]
                part = parts[plane][(row - low) * width : (row - low + 1) * width]
                for k in range(width):
                    line[k] = part[k] * seen[k]


@compiled_sums
def score_test(source, amplitude, counts, background, response, templates, top, left):
    """
    Return what each of some further components would gain, judged by its first derivative.

    Parameters
    ----------
    source : 1D `~numpy.ndarray`
        A source that is there, of unit amplitude.
    amplitude : float
        Its counts; left free.
    counts, background : 1D `~numpy.ndarray`
        Of the pixels.
    response : 2D `~numpy.ndarray`
        Relative exposure of the pixels.
    templates : 3D `~numpy.ndarray`
        The components, on a wider part of the image.
    top, left : int
        Row and column of that part at which the pixels begin.

    Returns
    -------
    gain : 1D `~numpy.ndarray`
        Of the Cash statistic; 0 where the component would be negative.
    """
    ny, nx = response.shape
    weight, excess = np.empty(len(source)), np.empty(len(source))
    own, slope_own = 1e-30, 0.0
    for pixel in range(len(source)):
        weight[pixel] = 1 / (background[pixel] + amplitude * source[pixel])
        excess[pixel] = counts[pixel] * weight[pixel] - 1
        own += source[pixel] * source[pixel] * weight[pixel]
        slope_own += source[pixel] * excess[pixel]
    gain, added = np.zeros(len(templates)), np.empty(len(source))
    for number in range(len(templates)):
        for row in range(ny):
            line, seen = templates[number, top + row, left : left + nx], response[row]
            part = added[row * nx : (row + 1) * nx]
            for column in range(nx):
                part[column] = line[column] * seen[column]
        shared, slope, information = 0.0, 0.0, 0.0
        for pixel in range(len(source)):
            weighted = added[pixel] * weight[pixel]
            shared += weighted * source[pixel]
            slope += added[pixel] * excess[pixel]
            information += weighted * added[pixel]
        slope -= shared / own * slope_own
        information -= shared / own * shared
        if slope > 0 and information > 1e-12:
            gain[number] = slope * slope / information
    return gain


@compiled
def add_template(plane, top, left, template, response, amplitude):
    """
    Add a model times the response to an image; where it is taken away nothing below 0 is left.

    Parameters
    ----------
    plane : 2D `~numpy.ndarray` of float32
        The image, changed in place.
    top, left : int
        Row and column of the first pixel of the model, which may reach beyond the image.
    template : 2D `~numpy.ndarray` of float32
        The model.
    response : 2D `~numpy.ndarray` of float32
        Of the shape of the image.
    amplitude : float
        Of the model.
    """
    scale = np.float32(amplitude)
    low, high = max(left, 0), min(left + template.shape[1], plane.shape[1])
    for row in range(max(top, 0), min(top + len(template), len(plane))):
        line, seen = plane[row, low:high], response[row, low:high]
        part = template[row - top, low - left : high - left]
        if amplitude < 0:
            for k in range(len(line)):
                # a rounding error
                line[k] = max(line[k] + part[k] * seen[k] * scale, np.float32(0))
        else:
            for k in range(len(line)):
                line[k] += part[k] * seen[k] * scale
