# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is asked of whole images, a strip of rows at a time, so that a large one takes little
memory beside itself. The results are those of the whole to the last bit.
"""

import numpy as np

from clustercnn.finding import _convolve
from clustercnn.finding._compiled import inputs
from clustercnn.finding._passes import peaks_in

__all__ = ['Expected', 'peaks_above', 'relative_exposure', 'strips', 'valid_counts']

# of a strip, in blocks of a convolution
_BLOCKS = 8


class Expected:
    """
    What is expected of the background and of models, summed only where it is asked for.

    Parameters
    ----------
    background, model : 2D `~numpy.ndarray`
        Of the image; the model may change afterwards.
    """

    def __init__(self, background, model):
        self.background = background
        self.model = model

    def __getitem__(self, place):
        # to add them in another type than theirs takes longer
        expected = self.background[place].astype(np.float64)
        expected += self.model[place].astype(np.float64)
        return expected


def strips(shape):
    """
    Return the rows of an image in strips of about a million pixels.

    Parameters
    ----------
    shape : 2-tuple of int
        Of the image.

    Returns
    -------
    strips : list of slice
        From the first row to the last.
    """
    ny, nx = shape
    size = max(_BLOCKS * _convolve.BLOCK // max(nx, 1), 1)
    return [slice(start, min(start + size, ny)) for start in range(0, ny, size)]


def valid_counts(image):
    """
    Return the counts of an image, 0 where nothing is valid.

    Parameters
    ----------
    image : XrayImage
        The image.

    Returns
    -------
    counts : 2D `~numpy.ndarray` of float32
        Those of the image itself, which cannot be changed, where there is nothing to hide.
    """
    valid = image.valid
    hidden = image.counts != 0
    hidden &= ~valid
    return np.where(valid, image.counts, 0) if hidden.any() else image.counts


def relative_exposure(image):
    """
    Return the exposure relative to its largest value, 0 where nothing is valid.

    Parameters
    ----------
    image : XrayImage
        The image; without an exposure map all that is valid has 1.

    Returns
    -------
    response : 2D `~numpy.ndarray` of float32
        From 0 to 1.
    """
    if image.exposure is None:
        return image.valid.astype(np.float32)
    response = image.exposure / np.float32(max(float(image.exposure.max()), 1e-30))
    response[~image.valid] = 0
    return response


def peaks_above(image, threshold, reach):
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
    rows, columns : 1D `~numpy.ndarray` of int
        In the order of the image.
    """
    places = peaks_in(*inputs(image), threshold, reach)
    return np.array(places, int).reshape(-1, 2).T
