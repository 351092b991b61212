# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Many small galaxies and stars drawn at once, on plain arrays.

Every profile is a sum of Gaussians, so that the convolution with the seeing is
exact (covariances add) and thousands of objects are a few array operations.
"""

import numpy as np
from scipy import ndimage

__all__ = ['MIXTURES', 'WIDE_SIZES', 'add_gaussians', 'add_round', 'profile_gaussians']

MIXTURES = {
    # weights and standard deviations in half-light radii: least-squares fits to the Sersic
    # profiles of index 1 (fading out by 4 half-light radii) and 4 (by 8, softened at 0.03)
    'point': ((1.0,), (0.0,)),
    'disk': ((0.0093, 0.0755, 0.3448, 0.5704), (0.1337, 0.3134, 0.6193, 1.1681)),
    'bulge': (
        (0.0174, 0.0613, 0.1322, 0.2174, 0.2809, 0.2908),
        (0.0371, 0.0927, 0.2119, 0.4666, 1.0347, 2.5952),
    ),
    # for galaxies that the seeing blurs: the inner Gaussians of the above as one with their mean
    # variance; and for those it hides, the Gaussian with the same half-light radius
    'blurred disk': ((0.4296, 0.5704), (0.5705, 1.1681)),
    'blurred bulge': ((0.2109, 0.2174, 0.2809, 0.2908), (0.1754, 0.4666, 1.0347, 2.5952)),
    'compact': ((1.0,), (0.849,)),
}
"""Profiles as sums of Gaussians; the weights of each add up to 1."""

_SIZES = (3, 5, 8, 12, 18, 27, 40, 60, 90)
WIDE_SIZES = (2, *_SIZES, 135, 200, 300, 450)
"""
Half sides of stamps for images so deep that the wings of galaxies fill them.
"""


def add_gaussians(image, x, y, flux, var_xx, var_xy, var_yy, *, faintest, sizes=_SIZES):
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
    sizes : sequence of int, optional
        Half sides of the stamps, growing; the last one cuts what is wider.
    """
    ny, nx = image.shape
    var_xx, var_yy = var_xx + 1 / 12, var_yy + 1 / 12
    determinant = var_xx * var_yy - var_xy * var_xy
    peak = flux / (2 * np.pi * np.sqrt(determinant))
    widest = (var_xx + var_yy) / 2 + np.sqrt(((var_xx - var_yy) / 2) ** 2 + var_xy**2)
    reach = np.sqrt(2 * widest * np.log(np.maximum(peak / faintest, 1.0)))
    seen = (reach > 0.4) & (x > -reach) & (x < nx - 1 + reach) & (y > -reach) & (y < ny - 1 + reach)
    lower = 0
    for size in sizes:
        last = size == sizes[-1]
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
    # a margin that takes what of a stamp lies outside, so that no pixel has to be picked
    margin = 2 * size + 1
    width, height = nx + 2 * margin, ny + 2 * margin
    offsets = np.arange(-size, size + 1)
    middle_x, middle_y = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    near = (abs(2 * middle_x - nx) < nx + margin) & (abs(2 * middle_y - ny) < ny + margin)
    x, y, peak, var_xx, var_xy, var_yy, determinant, middle_x, middle_y = (
        values[near]
        for values in (x, y, peak, var_xx, var_xy, var_yy, determinant, middle_x, middle_y)
    )
    column, line = middle_x[:, np.newaxis] + offsets, middle_y[:, np.newaxis] + offsets
    dx = (column - x[:, np.newaxis])[:, np.newaxis, :]
    dy = (line - y[:, np.newaxis])[:, :, np.newaxis]
    a, b, c = (v[:, np.newaxis, np.newaxis] for v in (var_yy, -2 * var_xy, var_xx))
    exponent = (a * dx * dx + b * dx * dy + c * dy * dy) / (
        2 * determinant[:, np.newaxis, np.newaxis]
    )
    value = peak[:, np.newaxis, np.newaxis] * np.exp(-exponent)
    index = ((line + margin) * width)[:, :, np.newaxis] + (column + margin)[:, np.newaxis, :]
    flat = np.bincount(index.ravel(), weights=value.ravel(), minlength=width * height)
    image += flat.reshape(height, width)[margin : margin + ny, margin : margin + nx]


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


def add_round(image, x, y, flux, width):
    """
    Add many faint round Gaussians of one width to an image.

    They are shared out among the four nearest pixels and then smoothed together, which takes
    as long for a million of them as for one. The width is right on average: it grows by up to
    a quarter of a pixel squared with the distance from the middle of a pixel.

    Parameters
    ----------
    image : (ny, nx) `~numpy.ndarray` of float
        Changed in place.
    x, y, flux : (n,) `~numpy.ndarray`
        Pixel coordinates, 0-based, which may lie outside, and sums over all pixels.
    width : float
        Standard deviation in pixels; the pixel's own width is added here.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.simulate._stamps import add_round
    >>> image = np.zeros((32, 32))
    >>> add_round(image, np.array([15.0, 16.5]), np.array([15.0, 14.2]), np.ones(2), 1.5)
    >>> round(float(image.sum()), 6)
    2.0
    """
    ny, nx = image.shape
    inside = (x > -1) & (x < nx) & (y > -1) & (y < ny)
    x, y, flux = x[inside], y[inside], flux[inside]
    left, low = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right_share, upper_share = x - left, y - low
    layer = np.zeros((ny + 2) * (nx + 2))
    for up, share in ((0, 1 - upper_share), (1, upper_share)):
        for right, part in ((0, 1 - right_share), (1, right_share)):
            index = (low + up + 1) * (nx + 2) + left + right + 1
            layer += np.bincount(index, flux * share * part, minlength=layer.size)
    layer = layer.reshape(ny + 2, nx + 2).astype(np.float32)
    # the sharing out widens by a sixth of a pixel squared on average
    variance = width**2 + 1 / 12 - 1 / 6
    if variance > 0:
        layer = ndimage.gaussian_filter(layer, np.sqrt(variance), mode='constant', truncate=3.5)
    image += layer[1:-1, 1:-1]
