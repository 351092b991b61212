# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The starlet's smoothing on plain arrays, and Poisson significance at each scale.
"""

import numpy as np
from scipy import ndimage, special

__all__ = ['poisson_sigma', 'poisson_sigma_at', 'scaling_kernel', 'smooth', 'starlet_transform']

# B3 spline (Starck & Murtagh 2006, Astronomical Image and Data Analysis, eq. A.13)
_B3 = np.array([1, 4, 6, 4, 1], dtype=np.float64) / 16


def _dilated(step):
    kernel = np.zeros(4 * step + 1)
    kernel[::step] = _B3
    return kernel


def scaling_kernel(scale):
    """
    Return the one-dimensional scaling function of a scale.

    Parameters
    ----------
    scale : int
        0 is a single pixel; each scale doubles the width.

    Returns
    -------
    kernel : 1D `~numpy.ndarray` of float64
        Symmetric, of sum 1.
    """
    kernel = np.ones(1)
    for level in range(scale):
        kernel = np.convolve(kernel, _dilated(2**level))
    return kernel


def smooth(image, scale, *, power=1):
    """
    Smooth with the scaling function, separably.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        Nothing is assumed beyond its border.
    scale : int
        Scale of the kernel.
    power : int, optional
        Power of the kernel: the cumulant of that order of a weighted sum of Poisson counts
        is their expectation smoothed with it.

    Returns
    -------
    smoothed : 2D `~numpy.ndarray` of float64
        Of the same shape.
    """
    kernel = scaling_kernel(scale)
    kernel = kernel**power
    rows = ndimage.convolve1d(np.asarray(image, np.float64), kernel, axis=0, mode='constant')
    return ndimage.convolve1d(rows, kernel, axis=1, mode='constant')


def starlet_transform(image, n_scales):
    """
    Return the isotropic undecimated wavelet transform.

    Starck & Murtagh 2006, section 2.3: each plane is the difference of two smoothings,
    so that the planes add up to the image.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        The image.
    n_scales : int
        Number of wavelet planes.

    Returns
    -------
    planes : 3D `~numpy.ndarray` of float64
        Shape ``(n_scales + 1, ny, nx)``; the last is the smooth rest.
    """
    current = np.asarray(image, np.float64)
    planes = []
    for level in range(n_scales):
        kernel = _dilated(2**level)
        following = ndimage.convolve1d(current, kernel, axis=0, mode='mirror')
        following = ndimage.convolve1d(following, kernel, axis=1, mode='mirror')
        planes.append(current - following)
        current = following
    return np.stack([*planes, current])


def poisson_sigma(counts, background, scale):
    """
    Return how significant an excess of counts is at a scale.

    The counts under the scaling function are a weighted sum of Poisson variables. A Poisson
    variable, scaled and shifted, stands for it that has the same mean, variance and third
    moment; its upper tail, continued to fractional counts by the incomplete gamma function,
    is expressed in Gaussian sigma.

    Parameters
    ----------
    counts, background : 2D `~numpy.ndarray`
        Counts and their expectation without sources, per pixel.
    scale : int
        Scale of the kernel.

    Returns
    -------
    sigma : 2D `~numpy.ndarray` of float64
        0 where there is no excess.
    """
    cumulants = [smooth(background, scale, power=power) for power in (1, 2, 3)]
    return _tail_sigma(smooth(counts, scale), *cumulants)


def poisson_sigma_at(counts, background, model, scale, column, row):
    """
    Return the significance of `poisson_sigma` at one pixel.

    Parameters
    ----------
    counts, background, model : 2D `~numpy.ndarray`
        As there; the model of other sources adds to the background.
    scale, column, row : int
        Scale of the kernel and the pixel.

    Returns
    -------
    sigma : float
        0 if there is no excess.
    """
    kernel = scaling_kernel(scale)
    half = len(kernel) // 2
    ny, nx = counts.shape
    rows = slice(max(row - half, 0), min(row + half + 1, ny))
    columns = slice(max(column - half, 0), min(column + half + 1, nx))
    vertical = kernel[rows.start - row + half : rows.stop - row + half]
    horizontal = kernel[columns.start - column + half : columns.stop - column + half]
    weight = vertical[:, None] * horizontal
    expected = background[rows, columns] + model[rows, columns]
    sums = [
        np.atleast_1d((plane * factor).sum())
        for plane, factor in (
            (counts[rows, columns], weight),
            (expected, weight),
            (expected, weight**2),
            (expected, weight**3),
        )
    ]
    return float(_tail_sigma(*sums)[0])


def _tail_sigma(observed, mean, variance, third):
    """
    Return the Gaussian sigma of the upper tail of a scaled and shifted Poisson variable.
    """
    factor = variance / np.maximum(third, 1e-30)
    expected = np.where(third > 0, variance * factor**2, 0)
    observed = (observed - mean) * factor + expected
    excess = (observed > expected) & (expected > 0)
    sigma = np.zeros_like(expected)
    tail = special.gammainc(np.maximum(observed[excess], 1e-12), expected[excess])
    # beyond the smallest double the tail follows the likelihood ratio (Li & Ma 1983, eq. 17
    # with a known background)
    ratio = observed[excess] * np.log(observed[excess] / expected[excess])
    ratio = np.sqrt(2 * np.maximum(ratio - observed[excess] + expected[excess], 0))
    exact = -special.ndtri(np.maximum(tail, 1e-300))
    sigma[excess] = np.where(tail > 1e-200, exact, ratio)
    return np.maximum(sigma, 0)
