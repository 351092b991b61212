# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which part of an image was exposed, where no exposure map says so.
"""

import math

import numpy as np
from scipy import ndimage

__all__ = ['without_dark_frame']

# expected counts in a circle above which it is not empty by chance; where the vignetting leaves
# a quarter of the exposure, one such circle in 20 000 still is
_NEVER_EMPTY = 40.0
# a field of view cannot be told from photons further apart than this part of the image
_SPARSE = 1 / 8
# blocks along each side of the image, from whose counts the density is taken
_N_BLOCKS = 24


def without_dark_frame(image):
    """
    Return an image whose mask covers what was not exposed, if nothing else says so.

    Images often come in a frame that is wider than the detector and without an exposure map.
    The empty frame would pull the background down and the edge of the field of view would make
    sources. Circles so large that they would not be empty by chance are taken for not exposed.

    Parameters
    ----------
    image : XrayImage
        The image.

    Returns
    -------
    image : XrayImage
        The same object if it has an exposure map, if there is no frame, or if there are too few
        photons to tell.
    """
    if image.exposure is not None:
        return image
    exposed = _exposed_part(np.where(image.mask, 0, image.counts), image.valid)
    if exposed is None:
        return image
    return image.replace(mask=image.mask | ~exposed)


def _exposed_part(counts, valid):
    """
    Return the morphological closing of the photons by a circle that is never empty by chance.

    None where that is all of the image.
    """
    density = _typical_density(counts, valid)
    if density <= 0:
        return None
    reach = math.sqrt(_NEVER_EMPTY / (math.pi * density))
    if reach > _SPARSE * min(counts.shape):
        return None
    # a grid of a sixth of the circle is fine enough, and small for a mosaic
    step = max(1, int(reach / 6))
    reach = max(reach / step, 2.0)
    (ny, nx), shape = counts.shape, [-(-size // step) for size in counts.shape]
    # masked pixels inside are no edge
    filled = np.zeros([size * step for size in shape], bool)
    filled[:ny, :nx] = (counts > 0) | ~valid
    filled = filled.reshape(shape[0], step, shape[1], step).any(axis=(1, 3))
    empty = ndimage.distance_transform_edt(~filled) > reach
    if not empty.any():
        return None
    exposed = ndimage.distance_transform_edt(~empty) > reach
    return np.repeat(np.repeat(exposed, step, axis=0), step, axis=1)[:ny, :nx]


def _typical_density(counts, valid):
    """
    Return the counts per pixel that the fainter part of the field of view has.

    The lower quartile of blocks that have any: bright sources raise the others.
    """
    step = [max(1, -(-size // _N_BLOCKS)) for size in counts.shape]
    shape = [-(-size // one) for size, one in zip(counts.shape, step, strict=True)]

    def total(plane):
        padded = np.zeros([n * one for n, one in zip(shape, step, strict=True)], plane.dtype)
        padded[: plane.shape[0], : plane.shape[1]] = plane
        blocks = padded.reshape(shape[0], step[0], shape[1], step[1])
        return blocks.sum(axis=(1, 3), dtype=np.float64)

    made, area = total(counts), total(valid)
    some = (made > 0) & (area > 0)
    if not some.any():
        return 0.0
    return float(np.quantile(made[some] / area[some], 0.25))
