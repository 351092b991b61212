# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The starlet's smoothing on plain arrays, and Poisson significance at each scale.
"""

import functools

import numpy as np
from scipy import special

from clustercnn.finding._compiled import inputs
from clustercnn.finding._convolve import BandedKernel, b3_cascade, for_row_blocks
from clustercnn.finding._sums import (
    PER_COUNT,
    SAFE,
    are_many,
    convolved_at,
    highest_near,
    significances,
)
from clustercnn.finding._sums import tail_of_many as _tail_of_many

__all__ = [
    'brightest_near',
    'poisson_sigma',
    'poisson_sigma_at',
    'scaling_kernel',
    'smooth',
    'smooth_at',
    'starlet_transform',
    'step_of',
]

# B3 spline (Starck & Murtagh 2006, Astronomical Image and Data Analysis, eq. A.13)
_B3 = np.array([1, 4, 6, 4, 1], dtype=np.float64) / 16
# the third power of a wider kernel falls below the smallest float32 at its corners
_WIDEST_SINGLE = 5
# share of what is expected that an excess must have to be one
_LEAST_EXCESS = 0.01


@functools.lru_cache(maxsize=32)
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
        Symmetric, of sum 1, read-only.
    """
    kernel = np.ones(1)
    for level in range(scale):
        dilated = np.zeros(4 * 2**level + 1)
        dilated[:: 2**level] = _B3
        kernel = np.convolve(kernel, dilated)
    kernel.flags.writeable = False
    return kernel


def step_of(scale):
    """
    Return how far apart pixels may be that tell what is seen at a scale.

    A quarter of the width of the scaling function: nowhere between them does what a point makes
    of it differ by more than 6 % from what it is at the nearest of them.

    Parameters
    ----------
    scale : int
        Of the kernel.

    Returns
    -------
    step : int
        1, 2, 4 or 8.
    """
    return 2 ** min(max(scale - 2, 0), 3)


def _precision(scale, *images):
    """
    Return the type to compute in.
    """
    single = all(image.dtype.kind == 'f' and image.dtype.itemsize <= 4 for image in images)
    return np.dtype(np.float32 if single and scale <= _WIDEST_SINGLE else np.float64)


def _power_of_kernel(scale, power, dtype):
    """
    Return a power of the scaling function, relative to its peak, and the peak of the image's.
    """
    kernel = scaling_kernel(scale) ** power
    return BandedKernel(kernel / kernel.max(), dtype), kernel.max() ** 2


def smooth(image, scale, *, power=1):
    """
    Smooth with the scaling function, separably.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        Finite; nothing is assumed beyond its border.
    scale : int
        Scale of the kernel.
    power : int, optional
        Power of the kernel: the cumulant of that order of a weighted sum of Poisson counts
        is their expectation smoothed with it.

    Returns
    -------
    smoothed : 2D `~numpy.ndarray`
        Of the same shape; of float32 if the image is and the scale is at most 5, else of
        float64.
    """
    image = np.asarray(image)
    dtype = _precision(scale, image)
    kernel, peak = _power_of_kernel(scale, power, dtype)
    smoothed = np.empty(image.shape, dtype)

    def smooth_block(block, needed):
        np.multiply(kernel(image, block), peak, out=smoothed[block])

    for_row_blocks(smooth_block, image.shape, kernel)
    return smoothed


def starlet_transform(image, n_scales):
    """
    Return the isotropic undecimated wavelet transform.

    Starck & Murtagh 2006, section 2.3: each plane is the difference of two smoothings,
    so that the planes add up to the image. Large images are shared among the cores.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        The image.
    n_scales : int
        Number of wavelet planes.

    Returns
    -------
    planes : 3D `~numpy.ndarray`
        Shape ``(n_scales + 1, ny, nx)``; the last is the smooth rest. Of float32 if the
        image is, else of float64.
    """
    image = np.asarray(image)
    # one scale more or less makes no difference to what a float can hold
    return b3_cascade(image.astype(_precision(0, image), copy=False), n_scales)


@functools.lru_cache(maxsize=64)
def _critical(sigma):
    """
    Return from which expectation down counts are as significant as asked for, at every 64th of a
    count, up to those whose tail is that of many; not a number where that is not linear between.
    """
    observed = np.arange(31 * PER_COUNT) / PER_COUNT
    if sigma <= 0:
        return np.full_like(observed, np.inf)
    if sigma == np.inf:
        return np.zeros_like(observed)
    tail = special.ndtr(-sigma)
    table = special.gammaincinv(observed, tail)
    between = special.gammaincinv(observed[:-1] + 0.5 / PER_COUNT, tail)
    is_linear = np.abs((table[:-1] + table[1:]) / 2 - between) < SAFE / 2 * between
    table[: len(is_linear) - np.argmin(is_linear[::-1])] = np.nan
    return table


def poisson_sigma(counts, background, scale, *, floor=0.0, ceiling=np.inf, step=1):
    """
    Return how significant an excess of counts is at a scale.

    The counts under the scaling function are a weighted sum of Poisson variables. A Poisson
    variable, scaled and shifted, stands for it that has the same mean, variance and third
    moment; its upper tail, continued to fractional counts by the incomplete gamma function,
    is expressed in Gaussian sigma.

    Parameters
    ----------
    counts, background : 2D `~numpy.ndarray`
        Counts and their expectation without sources, per pixel, finite.
    scale : int
        Scale of the kernel.
    floor : float, optional
        Below it the tail, which is what takes longest, need not be known: values from it on
        are exact, and some below it are 0.
    ceiling : float, optional
        Above it the significance need not be known: some values are infinite.
    step : int, optional
        Only one of so many rows and columns is asked for, from the first on; 1, 2, 4 or 8.

    Returns
    -------
    sigma : 2D `~numpy.ndarray`
        0 where there is no excess. Of float32 if counts and background are and the scale is
        at most 5, else of float64.
    """
    counts, background = np.asarray(counts), np.asarray(background)
    dtype = _precision(scale, counts, background)
    sigma = np.zeros([-(-size // step) for size in counts.shape], dtype)

    kernels, peaks = zip(*(_power_of_kernel(scale, p, dtype) for p in (1, 2, 3)), strict=True)
    values, peaks = np.stack([kernel.values for kernel in kernels]), np.array(peaks)
    # the upper tail of a Poisson variable is never fainter than a Gaussian one; the margin is
    # for what rounding and scipy's tails do
    least = dtype.type((0.98 * max(floor, 0.0)) ** 2 * peaks[1] / peaks[0] ** 2)
    planes = inputs(counts, background)
    tables = np.stack([_critical(float(floor)), _critical(float(ceiling))])
    # Bernstein's inequality bounds the tail of a sum of such variables, of which none weighs more
    # than the peak of the kernel
    nats = -special.log_ndtr(-ceiling)
    sure = 2 * nats * peaks[1] / peaks[0] ** 2, 2 * nats * peaks[2] / (3 * peaks[0] * peaks[1])

    def fill(block, needed):
        # blocks begin at a multiple of eight
        rows = block.start // step, -(-block.stop // step)
        few = significances(*planes, *rows, step, values, peaks, least, sure, tables, sigma)
        row, column = few[:2].astype(np.intp)
        sigma[row, column] = _tail_of_few(*few[2:])

    for_row_blocks(fill, counts.shape, kernels[0])
    return sigma


def brightest_near(counts, background, scale, rows, columns, half):
    """
    Return the pixels near others at which the smoothed excess of counts is most significant.

    Parameters
    ----------
    counts, background : 2D `~numpy.ndarray`
        As for `poisson_sigma`.
    scale : int
        Scale of the kernel.
    rows, columns : 1D `~numpy.ndarray` of int
        The pixels.
    half : int
        How far to look, along both axes.

    Returns
    -------
    rows, columns : 1D `~numpy.ndarray` of int
        One for each.
    sigma : 1D `~numpy.ndarray` of float64
        What `poisson_sigma` says of these.
    """
    rows, columns = np.array(rows), np.array(columns)
    kernels, peaks = zip(*(_power_of_kernel(scale, p, np.float64) for p in (1, 2, 3)), strict=True)
    values = np.stack([kernel.values for kernel in kernels])
    planes = inputs(counts, background)
    sums = highest_near(*planes, values, np.array(peaks), rows, columns, half)
    sigma = np.zeros(len(rows))
    above = sums[0] > 0
    sigma[above] = _tail_sigma(*sums[:, above])
    return rows, columns, sigma


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
        0 if there is no excess. Other than there also 0 if it is less than a hundredth of what
        was expected: no exposure map and no background is known better.
    """
    here, vertical, horizontal = _window(counts.shape, scale, column, row)
    expected = np.add(background[here], model[here], dtype=np.float64)
    excess = vertical @ (counts[here] - expected) @ horizontal
    mean, variance, third = (vertical**p @ expected @ horizontal**p for p in (1, 2, 3))
    if not (excess > _LEAST_EXCESS * mean and third > 0):
        return 0.0
    return float(_tail_sigma(*(np.array([value]) for value in (excess, variance, third)))[0])


def smooth_at(image, scale, column, row):
    """
    Return what `smooth` makes of some pixels.

    Parameters
    ----------
    image : 2D `~numpy.ndarray`
        Finite; nothing is assumed beyond its border.
    scale : int
        Scale of the kernel.
    column, row : int or 1D `~numpy.ndarray` of int
        The pixels.

    Returns
    -------
    value : float or 1D `~numpy.ndarray`
        In double precision.
    """
    kernel = scaling_kernel(scale)
    places = np.atleast_1d(row, column)
    (image,) = inputs(image)
    values = convolved_at(image, kernel[len(kernel) // 2 :], *places)
    return values.reshape(np.shape(row))[()]


def _window(shape, scale, column, row):
    """
    Return the part of an image that a kernel covers, and the part of the kernel along each axis.
    """
    kernel = scaling_kernel(scale)
    half = len(kernel) // 2
    here = tuple(
        slice(max(at - half, 0), min(at + half + 1, size))
        for at, size in zip((row, column), shape, strict=True)
    )
    return here, *(
        kernel[part.start - at + half : part.stop - at + half]
        for part, at in zip(here, (row, column), strict=True)
    )


def _tail_sigma(excess, variance, third):
    """
    Return the Gaussian sigma of the upper tail of a scaled and shifted Poisson variable.

    All three are positive: what is observed beyond the mean, and the second and third moment.
    """
    factor = variance / third
    expected = variance * factor**2
    observed = excess * factor + expected
    sigma = np.empty_like(expected)
    many = are_many(observed, expected)
    sigma[many] = np.maximum(_tail_of_many(observed[many], expected[many]), 0)
    sigma[~many] = _tail_of_few(observed[~many], expected[~many])
    return sigma


def _tail_of_few(observed, expected):
    """
    Return the Gaussian sigma of the upper tail of a Poisson variable, by the incomplete gamma
    function.
    """
    tail = special.gammainc(observed, expected)
    sigma = -special.ndtri(np.maximum(tail, 1e-300))
    # beyond the smallest double the tail follows the likelihood ratio (Li & Ma 1983, eq. 17
    # with a known background)
    far = tail <= 1e-200
    if far.any():
        n, mean = observed[far], expected[far]
        sigma[far] = np.sqrt(2 * np.maximum(n * np.log(n / mean) - n + mean, 0))
    return np.maximum(sigma, 0)
