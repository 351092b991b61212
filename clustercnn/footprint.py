# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which part of an image was exposed, where no exposure map says so.
"""

import math

import numpy as np
from scipy import ndimage

from clustercnn.core.image import block_sums

__all__ = ['without_dark_frame']

# expected counts in a circle of typical brightness above which it is not empty by chance; where
# the vignetting leaves a quarter of that, one such circle in 20 000 still is
_COUNTS_IN_CIRCLE = 40.0
# a field of view cannot be told from photons further apart than this part of the image
_WIDEST_CIRCLE = 1 / 8
# blocks along each side of the image, from whose counts the density is taken
_N_BLOCKS = 24
# of fewer blocks with photons a source may be all there is
_LEAST_BLOCKS = 0.25
# a frame has no more photons than that, relative to the field of view; a faint sky has
_DARK = 0.02
# a mosaic is looked at in steps that leave so many along its side
_FINEST_GRID = 1500


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
        The same object if it has an exposure map, if there is no frame, or if it cannot be told.
    share : float
        The part of the valid pixels that is now masked.

    Notes
    -----
    Finders and `~clustercnn.CutoutMaker` do this by themselves. How large a circle is follows from
    the fainter part of the field of view: forty counts are expected in it.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.footprint import without_dark_frame
    >>> from clustercnn.testing import tiny_image
    >>> y, x = np.mgrid[-64:64, -64:64]
    >>> counts = np.random.default_rng(1).poisson(np.where(np.hypot(x, y) < 50, 2.0, 0.0))
    >>> image = tiny_image(shape=(128, 128)).replace(counts=counts, exposure=None)
    >>> masked, share = without_dark_frame(image)
    >>> bool(masked.mask[2, 2]), bool(masked.mask[64, 64]), 0.4 < share < 0.6
    (True, False, True)
    """
    if image.exposure is not None:
        return image, 0.0
    valid = image.valid
    exposed = _exposed_part(np.where(valid, image.counts, 0), valid)
    if exposed is None:
        return image, 0.0
    share = 1 - float((valid & exposed).sum() / valid.sum())
    return image.replace(mask=image.mask | ~exposed), share


def _exposed_part(counts, valid):
    """
    Return what is left when the photons are closed, then opened, by a circle that is never empty.

    None where that is all of the image, or where the rest is not dark.
    """
    density = _typical_density(counts, valid)
    if density <= 0:
        return None
    reach = math.sqrt(_COUNTS_IN_CIRCLE / (math.pi * density))
    if reach > _WIDEST_CIRCLE * min(counts.shape):
        return None
    # a grid of a sixth of the circle is fine enough
    step = max(1, int(reach / 6), min(counts.shape) // _FINEST_GRID)
    reach = max(reach / step, 2.0)
    made, known = (block_sums(plane, step) for plane in (counts, valid))
    # masked pixels inside are no edge
    empty = ndimage.distance_transform_edt((made <= 0) & (known > 0)) > reach
    if not empty.any():
        return None
    exposed = ndimage.distance_transform_edt(~empty) > reach
    # single photons in the frame are no field of view
    inner = ndimage.distance_transform_edt(np.pad(exposed, 1, mode='edge'))[1:-1, 1:-1] > reach / 2
    if not inner.any():
        return None
    exposed &= ndimage.distance_transform_edt(~inner) <= reach / 2
    if made[~exposed].sum() > _DARK * density * known[~exposed].sum():
        return None
    ny, nx = counts.shape
    return np.repeat(np.repeat(exposed, step, axis=0), step, axis=1)[:ny, :nx]


def _typical_density(counts, valid):
    """
    Return the counts per pixel that the fainter part of the field of view has.

    The lower quartile of blocks that have any: bright sources raise the others. 0 where these
    are too few.
    """
    step = [max(1, -(-size // _N_BLOCKS)) for size in counts.shape]
    made, area = (block_sums(plane, step) for plane in (counts, valid))
    some = (made > 0) & (area > 0)
    if some.sum() < max(_LEAST_BLOCKS * (area > 0).sum(), 1):
        return 0.0
    return float(np.quantile(made[some] / area[some], 0.25))
