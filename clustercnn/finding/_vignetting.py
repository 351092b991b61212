# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What an exposure map tells of the telescope: the optical axis, the vignetting, and which
part of the detectors looked at each place. Plain arrays.
"""

import numpy as np
from scipy import ndimage

from clustercnn.finding._planes import strips

__all__ = ['axis_of', 'profile_of', 'reach_of', 'vignetting_of']

# of the exposed pixels, this part at least must lie on the profile, to this fraction of it: an
# image of one pointing does, with gaps or with cameras of other coverage on half of it; a mosaic
# or a scan does not
_LEAST_PART = 0.35
_TOLERANCE = 0.12
# an exposure that falls by less to the edge is flat
_LEAST_FALL = 0.15
_N_RINGS = 40
# per cent of the exposed pixels between which the axis of one pointing lies
_MIDDLE = (20, 80)


def axis_of(response):
    """
    Return where the optical axis lies, judged by the vignetting.

    Parameters
    ----------
    response : 2D `~numpy.ndarray`
        Exposure, 0 where nothing was seen.

    Returns
    -------
    x, y : float
        The middle of the best exposed part, or of all that is exposed if the exposure
        is flat to a tenth.
    """
    # the shape of the vignetting is much wider than a pixel of a large image
    step = max(1, min(response.shape) // 400)
    response = np.asarray(response[::step, ::step], np.float64)
    seen = response > 0
    size = max(3, min(response.shape) // 16)
    cover = ndimage.uniform_filter(seen.astype(np.float64), size, mode='constant')
    mean = ndimage.uniform_filter(response, size, mode='constant')
    mean = np.where(cover > 0.3, mean / np.maximum(cover, 1e-9), 0)
    most = mean.max()
    best = mean > 0.93 * most
    if most <= 0 or best.sum() > 0.7 * (mean > 0).sum():
        best = seen if seen.any() else np.ones_like(seen)
    n = best.sum()
    x, y = (best.sum(axis=axis) @ np.arange(best.shape[1 - axis]) / n for axis in (0, 1))
    return float(x) * step, float(y) * step


def reach_of(response, axis):
    """
    Return how far from the axis the most distant exposed place is.

    Parameters
    ----------
    response : 2D `~numpy.ndarray`
        Exposure, 0 where nothing was seen.
    axis : tuple of float
        Column and row of the optical axis.

    Returns
    -------
    distance : float
        In pixels.
    """
    step = max(1, min(response.shape) // 400)
    y, x = np.nonzero(response[::step, ::step] > 0)
    return float(np.hypot(x * step - axis[0], y * step - axis[1]).max(initial=0))


def profile_of(response, axis):
    """
    Return the vignetting by the distance from the axis, if the exposure is that of one pointing.

    The upper envelope of the exposure in rings round the axis, made to fall outwards. What
    lies below it was not looked at by all detectors.

    Parameters
    ----------
    response : 2D `~numpy.ndarray`
        Exposure, 0 where nothing was seen.
    axis : tuple of float
        Column and row of the optical axis.

    Returns
    -------
    profile : 2-tuple of 1D `~numpy.ndarray` or None
        Distances in pixels, and the exposure there; None where the exposure is flat, or no
        function of the distance from the axis.
    """
    step = max(1, min(response.shape) // 300)
    y, x = (np.arange(0, size, step) for size in response.shape)
    sample = np.asarray(response[::step, ::step], np.float64)
    distance = np.hypot(y[:, None] - axis[1], x - axis[0])
    seen = sample > 0
    if seen.sum() < 20 * _N_RINGS:
        return None
    rows, columns = np.nonzero(seen)
    for place, where in ((axis[0], x[columns]), (axis[1], y[rows])):
        low, high = np.percentile(where, _MIDDLE)
        # a scan, or a mosaic, that is exposed best at one end
        if not low < place < high:
            return None
    value, distance = sample[seen], distance[seen]
    if not _falls_on_all_sides(value, distance, x[columns] - axis[0], y[rows] - axis[1]):
        return None
    ring = np.minimum(distance / (distance.max() / _N_RINGS), _N_RINGS - 1).astype(np.uint8)
    order = np.argsort(ring, kind='stable')
    ends = np.cumsum(np.bincount(ring, minlength=_N_RINGS))[:-1]
    middle, height = [], []
    for far, values in zip(
        np.split(distance[order], ends), np.split(value[order], ends), strict=True
    ):
        if len(far) >= 10:
            middle.append(far.mean())
            height.append(np.percentile(values, 90))
    height = np.maximum.accumulate(height[::-1])[::-1]
    profile = np.interp(distance, middle, height)
    on_profile = np.abs(value / profile - 1) < _TOLERANCE
    low, high = np.percentile(profile, [5, 95])
    if on_profile.mean() < _LEAST_PART or low > (1 - _LEAST_FALL) * high:
        return None
    return middle, height


def _falls_on_all_sides(value, distance, dx, dy):
    """
    Return whether the exposure falls from the axis outwards in each quadrant.

    That of a scan falls across its track only.
    """
    up, right = dy >= 0, dx >= 0
    for here in (up & right, up & ~right, ~up & ~right, ~up & right):
        if not here.any():
            return False
        far = distance / distance[here].max()
        inner, outer = value[here & (far < 0.4)], value[here & (far > 0.7)]
        if not len(inner) or not len(outer):
            return False
        if np.percentile(outer, 75) > (1 - _LEAST_FALL / 2) * np.percentile(inner, 75):
            return False
    return True


def vignetting_of(response, axis):
    """
    Return the vignetting that an exposure map shows, if it is that of one pointing.

    Parameters
    ----------
    response : 2D `~numpy.ndarray`
        Exposure, 0 where nothing was seen.
    axis : tuple of float
        Column and row of the optical axis.

    Returns
    -------
    vignetting : 2D `~numpy.ndarray` of float32 or None
        `profile_of` at each pixel, in the units of the exposure and positive everywhere.
    """
    profile = profile_of(response, axis)
    if profile is None:
        return None
    rows, columns = (np.arange(size, dtype=np.float32) for size in response.shape)
    columns = columns - np.float32(axis[0])
    vignetting = np.empty(response.shape, np.float32)
    for strip in strips(response.shape):
        distance = np.hypot(rows[strip, None] - np.float32(axis[1]), columns)
        vignetting[strip] = np.interp(distance, *profile)
    return vignetting
