# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How much longer than wide an extended source is.
"""

import dataclasses

import numpy as np

__all__ = ['Shape', 'measure_shape', 'shape_of_shear']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """
    The shape of a source.

    Parameters
    ----------
    ellipticity, ellipticity_err : float
        One less the ratio of the minor and the major axis, and its error; NaN if not measured.
    angle : float
        Of the major axis, in rad from the x axis of the image to its y axis; NaN where the
        ellipticity is 0.
    """

    ellipticity: float = np.nan
    ellipticity_err: float = np.nan
    angle: float = np.nan


def measure_shape(counts, expected, response, planes):
    """
    Measure the shape from what a round model leaves.

    A step of Fisher scoring from the round model in the two components of the shear, the only
    parameters to which they are not orthogonal being each other.

    Parameters
    ----------
    counts, expected : 2D `~numpy.ndarray`
        Counts, and what is expected of them with the round model of the source.
    response : 2D `~numpy.ndarray`
        Relative exposure, 0 where nothing is known.
    planes : 3D `~numpy.ndarray`
        How the expectation changes with the shear, see `TemplateBank.sheared`.

    Returns
    -------
    shape : Shape
        Of the source itself, before the PSF.
    """
    seen = (response > 0) & (expected > 0)
    counts, expected, planes = counts[seen], expected[seen].astype(float), planes[:, seen]
    score = (planes * (counts / expected - 1)).sum(axis=1)
    information = (planes[:, None] * planes[None] / expected).sum(axis=2)
    # of a source nearly all of which is hidden
    if not np.linalg.cond(information) < 1e6:
        return Shape()
    covariance = np.linalg.inv(information)
    return shape_of_shear(covariance @ score, np.trace(covariance) / 2)


def shape_of_shear(shear, variance):
    """
    Return the shape that a shear means.

    Parameters
    ----------
    shear : 1D `~numpy.ndarray`
        Logarithm of the stretching along x and along the diagonal.
    variance : float
        Of each.

    Returns
    -------
    shape : Shape
        Without the ellipticity that noise makes (Wardle & Kronberg 1974, ApJ 194, 249).
    """
    squared = float(shear @ shear) - variance
    if squared <= 0:
        return Shape(ellipticity=0.0, ellipticity_err=2 * float(np.sqrt(variance)))
    ratio = float(np.exp(-2 * np.sqrt(squared)))
    return Shape(
        ellipticity=1 - ratio,
        ellipticity_err=2 * ratio * float(np.sqrt(variance)),
        angle=0.5 * float(np.arctan2(shear[1], shear[0])),
    )
