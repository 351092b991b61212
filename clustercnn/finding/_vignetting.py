# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What an exposure map tells of the telescope: the optical axis, the vignetting, and which
part of the detectors looked at each place. Plain arrays.
"""

import numpy as np

from clustercnn.finding._compiled import inputs
from clustercnn.finding._rings import (
    best_exposed,
    falls_on_all_sides,
    furthest,
    in_rings,
    quantile,
    radial,
    seen_places,
)
from clustercnn.finding._threads import for_rows

__all__ = ['axis_of', 'profile_of', 'reach_of', 'vignetting_of']

# of the exposed pixels, this part at least must lie on the profile, to this fraction of it: an
# image of one pointing does, with gaps or with cameras of other coverage on half of it; a mosaic
# or a scan does not
_LEAST_PART = 0.35
_TOLERANCE = 0.12
# an exposure that falls by less to the edge is flat
_LEAST_FALL = 0.15
_N_RINGS = 40
# so many on average in a ring
_LEAST_PLACES = 20 * _N_RINGS
# share of the exposed pixels on one side of the axis of a pointing
_MIDDLE = (0.2, 0.8)


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
    step = max(1, min(response.shape) // 300)
    response = np.asarray(response[::step, ::step], np.float64)
    size = max(3, min(response.shape) // 16)
    n, n_seen, x, y = best_exposed(*inputs(response), size, 0.3, 0.93)
    if n_seen == 0 or n > 0.7 * n_seen:
        seen = response > 0
        best = seen if seen.any() else np.ones_like(seen)
        n = best.sum()
        x, y = (best.sum(axis=axis) @ np.arange(best.shape[1 - axis]) for axis in (0, 1))
    return float(x / n) * step, float(y / n) * step


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
    return float(furthest(*inputs(response), step, *axis))


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
    profile : 2-tuple of 1D `~numpy.ndarray` of float64 or None
        Distances in pixels, and the exposure there; None where the exposure is flat, or no
        function of the distance from the axis.
    """
    step = max(1, min(response.shape) // 150)
    (response,) = inputs(response)
    value, dx, dy = seen_places(response, step, *axis)
    while step > 1 and len(value) < _LEAST_PLACES:
        # little of the image is exposed
        step //= 2
        value, dx, dy = seen_places(response, step, *axis)
    if len(value) < _LEAST_PLACES:
        return None
    for offset in (dx, dy):
        # a scan, or a mosaic, that is exposed best at one end
        if not _MIDDLE[0] < np.mean(offset < 0) < _MIDDLE[1]:
            return None
    # that of a scan falls across its track only
    if not falls_on_all_sides(value, dx, dy, 1 - _LEAST_FALL / 2):
        return None
    middle, height = in_rings(value, dx, dy, _N_RINGS, 0.9)
    height = np.maximum.accumulate(height[::-1])[::-1]
    profile = np.interp(np.hypot(dx, dy), middle, height)
    on_profile = np.abs(value / profile - 1) < _TOLERANCE
    low, high = (quantile(profile, share) for share in (0.05, 0.95))
    if on_profile.mean() < _LEAST_PART or low > (1 - _LEAST_FALL) * high:
        return None
    return middle, height


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
    vignetting = np.empty(response.shape, np.float32)
    for_rows(lambda rows: radial(*axis, *profile, rows.start, vignetting[rows]), vignetting.shape)
    return vignetting
