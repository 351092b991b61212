# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Many small galaxies and stars drawn at once, on plain arrays.

Every profile is a sum of Gaussians, so that the convolution with the seeing is
exact (covariances add) and thousands of objects are a few array operations.
"""

import numpy as np

__all__ = ['MIXTURES', 'add_gaussians', 'profile_gaussians']

MIXTURES = {
    # weights and standard deviations in half-light radii: least-squares fits to the Sersic
    # profiles of index 1 (fading out by 4 half-light radii) and 4 (by 8, softened at 0.03)
    'point': ((1.0,), (0.0,)),
    'disk': ((0.0093, 0.0755, 0.3448, 0.5704), (0.1337, 0.3134, 0.6193, 1.1681)),
    'bulge': (
        (0.0174, 0.0613, 0.1322, 0.2174, 0.2809, 0.2908),
        (0.0371, 0.0927, 0.2119, 0.4666, 1.0347, 2.5952),
    ),
}
"""Profiles as sums of Gaussians; the weights of each add up to 1."""

_SIZES = (3, 5, 8, 12, 18, 27, 40, 60, 90)


def add_gaussians(image, x, y, flux, var_xx, var_xy, var_yy, *, faintest):
    """
    Add elliptical Gaussians to an image.

    Parameters
    ----------
    image : (ny, nx) `~numpy.ndarray` of float
        Changed in place.
    x, y : (n,) `~numpy.ndarray`
        Pixel coordinates, 0-based; may lie outside.
    flux : (n,) `~numpy.ndarray`
        Sum over all pixels.
    var_xx, var_xy, var_yy : (n,) `~numpy.ndarray`
        Covariance in pixel2; the pixel's own width is added here.
    faintest : float
        Value a pixel below which the wings are cut.
    """
    ny, nx = image.shape
    var_xx, var_yy = var_xx + 1 / 12, var_yy + 1 / 12
    determinant = var_xx * var_yy - var_xy * var_xy
    peak = flux / (2 * np.pi * np.sqrt(determinant))
    widest = (var_xx + var_yy) / 2 + np.sqrt(((var_xx - var_yy) / 2) ** 2 + var_xy**2)
    reach = np.sqrt(2 * widest * np.log(np.maximum(peak / faintest, 1.0)))
    seen = (reach > 0.4) & (x > -reach) & (x < nx - 1 + reach) & (y > -reach) & (y < ny - 1 + reach)
    lower = 0
    for size in _SIZES:
        last = size == _SIZES[-1]
        chosen = np.flatnonzero(seen & (reach > lower) & ((reach <= size) | last))
        lower = size
        # blocks bound the memory: about a million pixels at a time
        step = max(1, 1_000_000 // (2 * size + 1) ** 2)
        for start in range(0, len(chosen), step):
            _add_block(
                image,
                size,
                *(
                    a[chosen[start : start + step]]
                    for a in (x, y, peak, var_xx, var_xy, var_yy, determinant)
                ),
            )


def _add_block(image, size, x, y, peak, var_xx, var_xy, var_yy, determinant):
    ny, nx = image.shape
    offsets = np.arange(-size, size + 1)
    column = np.rint(x).astype(np.int64)[:, np.newaxis] + offsets
    line = np.rint(y).astype(np.int64)[:, np.newaxis] + offsets
    dx = (column - x[:, np.newaxis])[:, np.newaxis, :]
    dy = (line - y[:, np.newaxis])[:, :, np.newaxis]
    a, b, c = (v[:, np.newaxis, np.newaxis] for v in (var_yy, -2 * var_xy, var_xx))
    exponent = (a * dx * dx + b * dx * dy + c * dy * dy) / (
        2 * determinant[:, np.newaxis, np.newaxis]
    )
    value = peak[:, np.newaxis, np.newaxis] * np.exp(-exponent)
    good_x = (column >= 0) & (column < nx)
    good_y = (line >= 0) & (line < ny)
    good = good_y[:, :, np.newaxis] & good_x[:, np.newaxis, :]
    index = line[:, :, np.newaxis] * nx + column[:, np.newaxis, :]
    flat = np.bincount(index[good], weights=value[good], minlength=image.size)
    image += flat.reshape(image.shape)


def profile_gaussians(kind, x, y, flux, radius, axis_ratio, angle, *, seeing):
    """
    Return the Gaussians that make up objects of one profile behind the seeing.

    Parameters
    ----------
    kind : str
        One of `MIXTURES`.
    x, y, flux : (n,) `~numpy.ndarray`
        Pixel coordinates and total flux.
    radius, axis_ratio, angle : (n,) `~numpy.ndarray`
        Half-light semi-major axis in pixels, ratio of minor to major, and
        angle from the x axis in rad.
    seeing : sequence of (float, float)
        Weights and standard deviations in pixels of the Gaussians that make
        up the image of a star.

    Returns
    -------
    gaussians : (6, n * n_gaussians) `~numpy.ndarray`
        Rows x, y, flux, var_xx, var_xy, var_yy, for `add_gaussians`.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    xx = cos**2 + (axis_ratio * sin) ** 2
    yy = sin**2 + (axis_ratio * cos) ** 2
    xy = cos * sin * (1 - axis_ratio**2)
    parts = []
    for weight, width in zip(*MIXTURES[kind], strict=True):
        scale = (width * radius) ** 2
        for star_weight, star_width in seeing:
            variances = scale * xx + star_width**2, scale * xy, scale * yy + star_width**2
            parts.append(np.stack([x, y, flux * (weight * star_weight), *variances]))
    return np.concatenate(parts, axis=1)
