# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How many sources noise makes at a threshold: from counted ones in simulated noise.
"""

import numpy as np
from scipy import optimize, special

__all__ = ['places_of', 'threshold_of']

# peaks of a smooth Gaussian field in the plane are as frequent as t**2 times the upper tail (Adler
# 1981, The Geometry of Random Fields, theorem 6.9.3, for high t); the factor, by the counts that
# are expected in a square of the finest scale and by that scale, is that of
# ``python validation/finder/calibrate_false_alarms.py``; of few counts, and on few pixels, there
# are fewer peaks
_COUNTS = np.array([0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0])
_FACTOR = {
    1: np.array([0.09, 0.1, 0.115, 0.125, 0.15, 0.17, 0.185, 0.205, 0.22]),
    2: np.array([0.145, 0.145, 0.15, 0.17, 0.18, 0.195, 0.215, 0.235, 0.255]),
}
# they were counted with so many scales; each has a quarter of the places of the one before
_N_SCALES = 4
# below it noise is one source beside the other
_LEAST_THRESHOLD = 2.0


def places_of(background, valid, scale, n_scales):
    """
    Return in how many places noise can make a source.

    Parameters
    ----------
    background : 2D `~numpy.ndarray`
        Expected counts per pixel.
    valid : 2D `~numpy.ndarray` of bool
        What is searched.
    scale, n_scales : int
        The finest scale, and how many there are.

    Returns
    -------
    n_places : float
        Times ``t**2`` and the upper tail of a Gaussian at ``t``: the false alarms.
    """
    counts = background[valid] * 4.0**scale
    factor = np.interp(np.log(np.maximum(counts, 1e-6)), np.log(_COUNTS), _FACTOR[min(scale, 2)])
    share = sum(4.0**-k for k in range(n_scales)) / sum(4.0**-k for k in range(_N_SCALES))
    return float(factor.sum(dtype=np.float64) * share / 4.0**scale)


def threshold_of(false_alarms, n_places):
    """
    Return the threshold at which noise makes so many sources.

    Parameters
    ----------
    false_alarms : float
        Expected in the field.
    n_places : float
        From `places_of`.

    Returns
    -------
    threshold : float
        In equivalent Gaussian sigma, at least 2.
    """

    def too_many(threshold):
        logarithm = special.log_ndtr(-threshold) + 2 * np.log(threshold)
        return logarithm + np.log(max(n_places, 1e-30)) - np.log(false_alarms)

    if too_many(_LEAST_THRESHOLD) <= 0:
        return _LEAST_THRESHOLD
    return float(optimize.brentq(too_many, _LEAST_THRESHOLD, 40.0))
