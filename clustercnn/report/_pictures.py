# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Pictures from plain arrays: stretched, encoded as PNG, with contours as vector paths.

Row 0 of every array is the bottom of the picture, as on the sky.
"""

import base64
import struct
import zlib

import numpy as np
from scipy import ndimage

__all__ = [
    'contour_paths',
    'optical_levels',
    'optical_picture',
    'png_uri',
    'smooth',
    'xray_levels',
    'xray_picture',
]

SMOOTHING = 1.6
"""
Standard deviation in pixels of the Gaussian that X-ray stamps are smoothed with.
"""

# black over violet and orange to a warm white, rising in lightness
_ANCHORS = np.array(
    [(8, 8, 24), (52, 22, 92), (120, 32, 108), (186, 52, 86), (232, 98, 50), (250, 168, 60),
     (253, 246, 214)]
)  # fmt: skip
_MASKED = (104, 112, 122)
_N_COLORS = 255


def _palette():
    place = np.linspace(0, 1, len(_ANCHORS))
    levels = np.linspace(0, 1, _N_COLORS)
    colors = [np.interp(levels, place, _ANCHORS[:, channel]) for channel in range(3)]
    return np.vstack([np.stack(colors, axis=1).round().astype(np.uint8), _MASKED])


def png_uri(codes, *, palette=None):
    """
    Return a PNG as a data URI.

    Parameters
    ----------
    codes : 2D `~numpy.ndarray` of uint8
        Grey values, or numbers of colours.
    palette : 2D `~numpy.ndarray` of uint8, optional
        Colours, shape ``(n, 3)``.

    Returns
    -------
    uri : str
        Starts with ``data:image/png;base64,``.

    Notes
    -----
    PNG (ISO/IEC 15948) is a few chunks round a zlib stream; writing it here keeps
    a page of a hundred stamps a matter of milliseconds.
    """
    ny, nx = codes.shape

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', check)

    rows = np.zeros((ny, nx + 1), np.uint8)  # each row starts with its filter, none
    rows[:, 1:] = codes[::-1]
    kind = 0 if palette is None else 3
    header = struct.pack('>IIBBBBB', nx, ny, 8, kind, 0, 0, 0)
    parts = [b'\x89PNG\r\n\x1a\n', chunk(b'IHDR', header)]
    if palette is not None:
        parts.append(chunk(b'PLTE', np.ascontiguousarray(palette, np.uint8).tobytes()))
    parts += [chunk(b'IDAT', zlib.compress(rows.tobytes(), 9)), chunk(b'IEND', b'')]
    return 'data:image/png;base64,' + base64.b64encode(b''.join(parts)).decode('ascii')


def smooth(data, good, sigma):
    """
    Return data smoothed by a Gaussian, with bad pixels left out of the mean.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        Values.
    good : 2D `~numpy.ndarray` of bool
        True marks good pixels.
    sigma : float
        Standard deviation in pixels.

    Returns
    -------
    smoothed : 2D `~numpy.ndarray`
        0 where nothing good is near.
    """
    total = ndimage.gaussian_filter(np.where(good, data, 0).astype(float), sigma, mode='constant')
    share = ndimage.gaussian_filter(good.astype(float), sigma, mode='constant')
    return np.where(share > 0.05, total / np.maximum(share, 0.05), 0.0)


def xray_levels(data, mask, *, sigma=SMOOTHING):
    """
    Return counts smoothed and compressed.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        Counts per pixel.
    mask : 2D `~numpy.ndarray` of bool
        True marks bad pixels.
    sigma : float, optional
        Smoothing in pixels.

    Returns
    -------
    level : 2D `~numpy.ndarray`
        From 0 to 1.
    """
    good = ~mask
    smoothed = smooth(data, good, sigma)
    low, high = np.percentile(smoothed[good], [35, 99.9]) if good.any() else (0.0, 1.0)
    # an empty stamp must look empty instead of showing its noise at full contrast
    noise = np.sqrt(max(low, 1e-3) / (4 * np.pi * sigma**2))
    high = max(high, low + 8 * noise)
    # linear within the noise and logarithmic above, so that faint sources show beside bright ones
    softness = (high - low) / (4 * noise)
    level = np.clip((smoothed - low) / (high - low), 0, 1)
    return np.arcsinh(softness * level) / np.arcsinh(softness)


def xray_picture(data, mask, *, sigma=SMOOTHING):
    """
    Return a coloured picture of counts.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        Counts per pixel.
    mask : 2D `~numpy.ndarray` of bool
        True marks bad pixels, drawn in grey.
    sigma : float, optional
        Smoothing in pixels.

    Returns
    -------
    uri : str
        The picture.
    """
    level = xray_levels(data, mask, sigma=sigma)
    codes = np.round(level * (_N_COLORS - 1)).astype(np.uint8)
    codes[mask] = _N_COLORS
    return png_uri(codes, palette=_palette())


def optical_levels(data, mask):
    """
    Return an optical image compressed, the sky near 0.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        Values.
    mask : 2D `~numpy.ndarray` of bool
        True marks bad pixels.

    Returns
    -------
    level : 2D `~numpy.ndarray`
        From 0 to 1; 0 where all pixels are bad.
    """
    values = data[~mask].astype(float)
    if values.size == 0:
        return np.zeros(data.shape)
    low, sky, high = np.percentile(values, [2, 50, 99.7])
    spread = max(sky - low, 1e-6 * abs(sky), 1e-12)
    high = max(high, sky + 4 * spread)
    low = sky - 1.5 * spread
    level = np.clip((data.astype(float) - low) / (high - low), 0, 1)
    return np.arcsinh(5 * level) / np.arcsinh(5)


def optical_picture(data, mask):
    """
    Return a grey picture with dark sources on a light sky, as on a plate.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        Values.
    mask : 2D `~numpy.ndarray` of bool
        True marks bad pixels, drawn in middle grey.

    Returns
    -------
    uri : str
        The picture.
    """
    codes = np.round(246 - 240 * optical_levels(data, mask)).astype(np.uint8)
    codes[mask] = 128
    return png_uri(codes)


def contour_paths(data, mask, *, sigma=2.0, levels=(3.0, 6.0, 12.0, 24.0, 48.0, 96.0)):
    """
    Return contours of smoothed counts.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        Counts per pixel.
    mask : 2D `~numpy.ndarray` of bool
        True marks bad pixels.
    sigma : float, optional
        Smoothing in pixels.
    levels : iterable of float, optional
        Heights over the median, in units of the noise of the smoothed background.

    Returns
    -------
    lines : list of 2D `~numpy.ndarray`
        Pixel coordinates x, y from 0, shape ``(n_points, 2)``.
    """
    import contourpy

    good = ~mask
    if not good.any() or min(data.shape) < 2:
        return []
    smoothed = smooth(data, good, sigma)
    middle = float(np.median(smoothed[good]))
    scatter = 1.4826 * float(np.median(np.abs(smoothed[good] - middle)))
    # where most pixels are empty the median deviation is nothing; Poisson knows better
    noise = max(scatter, np.sqrt(max(middle, 1e-4) / (4 * np.pi * sigma**2)))
    # near edges fewer pixels are averaged, and the noise is higher by this much
    share = ndimage.gaussian_filter(good.astype(float), sigma, mode='constant')
    height = (smoothed - middle) / noise * np.sqrt(np.clip(share, 0, 1))
    generator = contourpy.contour_generator(z=height)
    lines = []
    for level in levels:
        if level >= height.max():
            break
        lines += [line for line in generator.lines(level) if len(line) > 6]
    return lines
