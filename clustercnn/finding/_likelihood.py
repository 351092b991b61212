# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compiled sums of the Cash statistic and its derivatives, and the King profile on pixels.
"""

import numpy as np

from clustercnn.finding._compiled import compiled_sums

__all__ = [
    'add_template',
    'newton_amplitudes',
    'normal_equations',
    'point_image',
    'scored_position',
    'statistic_of',
]


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
def scored_position(template, slopes, amplitude, lit, photons, dark, background, response):
    """
    Return the shift that a model wants by Fisher scoring, and the information in it.

    Parameters
    ----------
    template : 1D `~numpy.ndarray`
        The model.
    slopes : 2D `~numpy.ndarray`
        Its change along x and along y, one row each.
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
    n = len(template)
    source, changes = np.empty(n), np.empty((2, n))
    lost_x, lost_y = 0.0, 0.0
    for pixel in range(n):
        scale = amplitude * np.float64(response[pixel])
        source[pixel] = template[pixel] * scale
        along, across = slopes[0, pixel] * scale, slopes[1, pixel] * scale
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
def statistic_of(source, lit, photons, dark):
    """
    Return the improvement of the Cash statistic over background alone.

    Parameters
    ----------
    source : 1D `~numpy.ndarray`
        Counts that are expected of the source.
    lit : 1D `~numpy.ndarray` of int
        Pixels that hold photons.
    photons, dark : 1D `~numpy.ndarray`
        Counts and background of these.

    Returns
    -------
    gain : float
        Twice the logarithm of the ratio of likelihoods.
    """
    seen, total = 0.0, 0.0
    for number in range(len(lit)):
        seen += photons[number] * np.log1p(source[lit[number]] / dark[number])
    for pixel in range(len(source)):
        total += source[pixel]
    return 2 * (seen - total)


@compiled_sums
def normal_equations(parts, amplitude, source, counts, background):
    """
    Return Fisher's information and the score of amplitudes and positions of components.

    Parameters
    ----------
    parts : 3D `~numpy.ndarray`
        Shape ``(3, n, n_pixels)``: components of unit amplitude, their changes along x and y.
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
    n, n_pixels = parts.shape[1:]
    information, score = np.empty((3 * n, 3 * n)), np.empty(3 * n)
    weight, weighted = np.empty(n_pixels), np.empty(n_pixels)
    for pixel in range(n_pixels):
        weight[pixel] = 1 / (background[pixel] + source[pixel])
    for first in range(3 * n):
        scale = amplitude[first % n] if first >= n else 1.0
        row, total = parts[first // n, first % n], 0.0
        for pixel in range(n_pixels):
            weighted[pixel] = scale * row[pixel] * weight[pixel]
            total += weighted[pixel] * (counts[pixel] - background[pixel] - source[pixel])
        score[first] = total
        for second in range(first + 1):
            scale = amplitude[second % n] if second >= n else 1.0
            other, total = parts[second // n, second % n], 0.0
            for pixel in range(n_pixels):
                total += weighted[pixel] * other[pixel]
            information[first, second] = information[second, first] = scale * total
    return information, score


@compiled_sums
def _pixel_means(dx, dy, nodes, weights, radial, tangential, slope, cos, sin, norm, out):
    """
    Fill an image and its slopes with means over pixels, from points in each.

    ``nodes`` and ``weights`` are of an integral from -1 to 1 along each side.
    """
    n = len(nodes)
    for row in range(len(dy)):
        for column in range(len(dx)):
            first, second, third = 0.0, 0.0, 0.0
            for k in range(n):
                y = dy[row] + nodes[k] / 2
                for other in range(n):
                    x = dx[column] + nodes[other] / 2
                    along = (x * cos + y * sin) / radial
                    across = (y * cos - x * sin) / tangential
                    inverse = 1 / (1 + along * along + across * across)
                    power = inverse * np.sqrt(inverse) if slope == 1.5 else inverse**slope
                    value = weights[k] * weights[other] * power
                    along /= radial
                    across /= tangential
                    steep = 2 * slope * value * inverse
                    first += value
                    second += steep * (along * cos - across * sin)
                    third += steep * (along * sin + across * cos)
            out[0, row, column] = first / (4 * norm)
            out[1, row, column] = second / (4 * norm)
            out[2, row, column] = third / (4 * norm)


@compiled_sums
def _pixel_middles(dx, dy, radial, tangential, slope, cos, sin, norm, out):
    """
    Do the same from the value and the curvature in the middle of each pixel.
    """
    trace = radial**-2 + tangential**-2
    for row in range(len(dy)):
        for column in range(len(dx)):
            along = (dx[column] * cos + dy[row] * sin) / radial
            across = (dy[row] * cos - dx[column] * sin) / tangential
            inverse = 1 / (1 + along * along + across * across)
            power = inverse * np.sqrt(inverse) if slope == 1.5 else inverse**slope
            steep = 2 * slope * power * inverse / norm
            step = steep * inverse * ((slope + 1) / 12)
            along /= radial
            across /= tangential
            gradient_x, gradient_y = along * cos - across * sin, along * sin + across * cos
            squared = gradient_x * gradient_x + gradient_y * gradient_y
            # what the gradient is to the place this is to the gradient
            along /= radial * radial
            across /= tangential * tangential
            further_x, further_y = along * cos - across * sin, along * sin + across * cos
            common = trace - 2 * (slope + 2) * squared * inverse
            out[0, row, column] = power / norm + step * squared - steep * (trace / 24)
            out[1, row, column] = steep * gradient_x - step * (gradient_x * common + 2 * further_x)
            out[2, row, column] = steep * gradient_y - step * (gradient_y * common + 2 * further_y)


@compiled_sums
def point_image(
    dx,
    dy,
    radial,
    tangential,
    slope,
    cos,
    sin,
    norm,
    far,
    near,
    two,
    two_weights,
    many,
    many_weights,
    out,
):
    """
    Fill images with the mean of a King profile over each pixel, and its changes with the position.

    Parameters
    ----------
    dx, dy : 1D `~numpy.ndarray`
        Columns and rows from the source, rising.
    radial, tangential, slope : float
        Core radii and slope of the profile.
    cos, sin : float
        Of the direction of the radial one.
    norm : float
        By which the profile is divided.
    far, near : float
        Distances along either axis within which two and many points along a side of a pixel are
        taken; beyond the first the middle and the curvature there will do.
    two, two_weights, many, many_weights : 1D `~numpy.ndarray`
        Where these are, from -1 to 1, and their weights.
    out : 3D `~numpy.ndarray`
        Filled with the profile, and its changes as the source moves along x and along y.
    """
    shape = radial, tangential, slope, cos, sin, norm
    low, high = np.searchsorted(dy, -far), np.searchsorted(dy, far)
    left, right = np.searchsorted(dx, -far), np.searchsorted(dx, far)
    if high - low < len(dy) or right - left < len(dx):
        _pixel_middles(dx, dy, *shape, out)
    part = out[:, low:high, left:right]
    _pixel_means(dx[left:right], dy[low:high], two, two_weights, *shape, part)
    if near > 0:
        low, high = np.searchsorted(dy, -near), np.searchsorted(dy, near)
        left, right = np.searchsorted(dx, -near), np.searchsorted(dx, near)
        part = out[:, low:high, left:right]
        _pixel_means(dx[left:right], dy[low:high], many, many_weights, *shape, part)


@compiled_sums
def add_template(plane, template, response, amplitude):
    """
    Add a model times the response to an image; where it is taken away nothing below 0 is left.

    Parameters
    ----------
    plane : 2D `~numpy.ndarray` of float32
        The image, changed in place.
    template, response : 2D `~numpy.ndarray` of float32
        Of the same shape.
    amplitude : float
        Of the model.
    """
    scale = np.float32(amplitude)
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            value = plane[row, column] + template[row, column] * response[row, column] * scale
            # a rounding error
            if amplitude < 0 and value < 0:
                value = np.float32(0)
            plane[row, column] = value
