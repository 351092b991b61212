# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The simulated field of the figures, run through the chain once a build.
"""

import functools

import numpy as np
from scipy import ndimage

from clustercnn import Classifier, CutoutMaker, WaveletFinder
from clustercnn.cutouts import coverage_flags
from clustercnn.pipeline import rank_candidates
from clustercnn.simulate import simulate_field

# that of `clustercnn demo`
SEED = 20201


@functools.cache
def demo_field():
    """
    Return the simulated field, its ranked catalogue and the cutouts in that order.
    """
    field = simulate_field(seed=SEED)
    found = WaveletFinder()(field.xray)
    stack = CutoutMaker()({'xray': field.xray, 'optical': field.optical}, found, progress=False)
    prediction = Classifier.from_pretrained().predict(stack)
    catalog = rank_candidates(found, prediction, flags=coverage_flags(stack))
    return field, catalog, stack.select(catalog.ids)


def stretched(counts, *, width=1.0):
    """
    Return counts smoothed a little and compressed, for the eye only.
    """
    smooth = ndimage.gaussian_filter(np.asarray(counts, float), width)
    high = max(np.percentile(smooth, 99.7), 1e-6)
    return np.arcsinh(8 * np.clip(smooth / high, 0, 1)) / np.arcsinh(8)
