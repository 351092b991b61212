# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is asked of whole images, a strip of rows at a time, so that a large one takes little
memory beside itself. The results are those of the whole to the last bit.
"""

import numpy as np

from clustercnn.finding import _convolve

__all__ = ['peaks_above', 'relative_exposure', 'strips', 'sums_by_number', 'valid_counts']

# of a strip, in blocks of a convolution
_BLOCKS = 8


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


def sums_by_number(shape, n_numbers, number_of, *planes):
    """
    Return the sums over the pixels of each number, as `numpy.bincount` does.

    Parameters
    ----------
    shape : 2-tuple of int
        Of the image.
    n_numbers : int
        How many numbers there are.
    number_of : callable
        Takes a slice of rows, and returns which of their pixels to use and the numbers of these.
    *planes : 2D `~numpy.ndarray`
        What to sum.

    Returns
    -------
    sums : list of 1D `~numpy.ndarray` of float64
        One for each plane.
    """
    sums = [np.zeros(n_numbers) for _ in planes]
    before = np.arange(n_numbers)
    for rows in strips(shape):
        used, numbers = number_of(rows)
        numbers = np.concatenate([before, numbers])
        # summed one after the other, and hence as if there were no strips
        sums = [
            np.bincount(numbers, np.concatenate([total, plane[rows][used]]))
            for total, plane in zip(sums, planes, strict=True)
        ]
    return sums


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
    found = []
    for strip in strips(image.shape):
        row, column = np.nonzero(image[strip] > threshold)
        row += strip.start
        # most are no peaks, as their neighbours tell
        for rows, columns in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            beside = (
                np.clip(row + rows, 0, image.shape[0] - 1),
                np.clip(column + columns, 0, image.shape[1] - 1),
            )
            top = image[row, column] >= image[beside]
            row, column = row[top], column[top]
        for place in zip(row.tolist(), column.tolist(), strict=True):
            near = image[tuple(slice(max(at - reach, 0), at + reach + 1) for at in place)]
            if image[place] == near.max():
                found.append(place)
    return np.array(found, int).reshape(-1, 2).T
