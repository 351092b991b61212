# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
PSF-convolved beta models against a point source on small stamps, plain arrays.
"""

import numpy as np
from scipy import ndimage, special

__all__ = ['fit_stamps', 'model_templates']


def model_templates(radii, psf_sigma, half):
    """
    Return normalised images of beta models behind the PSF.

    Parameters
    ----------
    radii : 1D `~numpy.ndarray`
        Core radii in pixels, 0 for a point source. The surface brightness is
        (1 + (r / radius)**2)**-1.5: beta = 2/3 (Cavaliere & Fusco-Femiano 1976).
    psf_sigma : float
        Gaussian width of the PSF in pixels.
    half : int
        Half the side of a stamp.

    Returns
    -------
    templates : 3D `~numpy.ndarray` of float64
        Each of sum 1 over a square of side ``4 * half + 1``, twice that of a stamp, so that
        wings beyond the stamp count.
    """
    size = 2 * half
    y, x = np.mgrid[-size : size + 1, -size : size + 1]
    templates = []
    for radius in radii:
        if radius > 0:
            image = (1 + (x**2 + y**2) / radius**2) ** -1.5
        else:
            image = ((x == 0) & (y == 0)).astype(float)
        image = ndimage.gaussian_filter(image, psf_sigma, mode='constant')
        templates.append(image / image.sum())
    return np.stack(templates)


def fit_stamps(counts, background, response, templates):
    """
    Fit the amplitude of each template to each stamp by Cash likelihood.

    Cash 1979, ApJ 228, 939, with a known background; Newton's steps in the amplitude.

    Parameters
    ----------
    counts, background : 3D `~numpy.ndarray`
        Stamps, shape ``(n, ny, nx)``.
    response : 3D `~numpy.ndarray`
        Relative exposure, 0 where nothing is known.
    templates : 3D `~numpy.ndarray`
        Shape ``(k, ny, nx)``.

    Returns
    -------
    statistic : 2D `~numpy.ndarray`
        Improvement of the Cash statistic over background alone, shape ``(n, k)``.
    amplitude : 2D `~numpy.ndarray`
        Source counts at the stamp's best exposure.
    error : 2D `~numpy.ndarray`
        One sigma, from the curvature.
    """
    n_stamps, n_models = len(counts), len(templates)
    floor = np.maximum(background, 1e-6)
    excess = ((counts - background) * (response > 0)).sum(axis=(1, 2))
    start = np.maximum(excess, 1.0)
    statistic = np.zeros((n_stamps, n_models))
    amplitude = np.zeros((n_stamps, n_models))
    error = np.zeros((n_stamps, n_models))
    for index, template in enumerate(templates):
        shape = template * response
        norm = shape.sum(axis=(1, 2))
        value = start.copy()
        for _ in range(15):
            model = floor + value[:, None, None] * shape
            slope = norm - (counts * shape / model).sum(axis=(1, 2))
            curvature = (counts * (shape / model) ** 2).sum(axis=(1, 2))
            step = slope / np.maximum(curvature, 1e-12)
            # half the value at most, so that the amplitude stays positive
            value = np.maximum(value - np.clip(step, -2 * value, 0.5 * value), 1e-6)
        model = floor + value[:, None, None] * shape
        gain = 2 * (special.xlogy(counts, model / floor)).sum(axis=(1, 2)) - 2 * value * norm
        statistic[:, index] = gain
        amplitude[:, index] = value
        error[:, index] = 1 / np.sqrt(np.maximum(curvature, 1e-12))
    return statistic, amplitude, error
