# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The background of a count image, with the sources masked.
"""

import numpy as np
from scipy import ndimage

from clustercnn.finding._starlet import poisson_sigma

__all__ = ['estimate_background']


def estimate_background(image, *, psf_pixels, n_iterations=4):
    """
    Estimate the expected background counts of each pixel.

    The background is a smooth rate times the exposure. Its mean, not its median, is taken
    over wide Gaussians, since most pixels of a faint field hold no count; pixels with an
    excess at two starlet scales are left out and the estimate repeated.

    Parameters
    ----------
    image : XrayImage
        A background map that it brings is returned as it is.
    psf_pixels : float
        FWHM of the point spread function in pixels.
    n_iterations : int, optional
        Rounds of masking.

    Returns
    -------
    background : 2D `~numpy.ndarray` of float64
        Counts per pixel, 0 where nothing was exposed.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.finding import estimate_background
    >>> from clustercnn.testing import tiny_image
    >>> background = estimate_background(tiny_image(), psf_pixels=2)
    >>> bool(0.05 < np.median(background) < 0.2)
    True
    """
    if image.background is not None:
        return np.where(image.valid, image.background, 0).astype(np.float64)
    valid = image.valid
    exposure = np.ones(image.shape) if image.exposure is None else image.exposure
    weight = np.where(valid, exposure, 0).astype(np.float64)
    weight /= max(weight.max(), 1e-30)
    counts = np.where(valid, image.counts, 0).astype(np.float64)
    width = max(12.0, 8.0 * psf_pixels, min(image.shape) / 12)
    scales = [_scale_of(psf_pixels), _scale_of(psf_pixels) + 2]
    good = valid.copy()
    total = counts[good].sum() / max(weight[good].sum(), 1e-30)
    background = total * weight
    for _ in range(n_iterations):
        found = np.zeros(image.shape, bool)
        for scale in scales:
            peak = poisson_sigma(counts, background, scale) > 3.0
            found |= ndimage.binary_dilation(peak, iterations=2**scale)
        # something must be left to measure
        good = valid & ~found if (valid & ~found).sum() > 0.1 * valid.sum() else good
        mean = counts[good].sum() / max(weight[good].sum(), 1e-30)
        seen = ndimage.gaussian_filter(np.where(good, weight, 0), width, mode='constant')
        rate = ndimage.gaussian_filter(np.where(good, counts, 0), width, mode='constant')
        # a few counts' worth of the mean rate steadies places where little is left
        prior = 20.0 / max(mean, 1e-6) / (4 * np.pi * width**2)
        background = (rate + prior * mean) / (seen + prior) * weight
    return background


def _scale_of(psf_pixels):
    """
    Return the starlet scale whose width is nearest to a PSF.
    """
    return int(np.clip(round(np.log2(max(psf_pixels, 1.0))), 1, 4))
