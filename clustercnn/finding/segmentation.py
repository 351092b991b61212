# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Finding sources with photutils: all its calls are in this file.
"""

import numpy as np
from astropy.utils import minversion
from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources

from clustercnn._utils.validation import check_angle, check_positive
from clustercnn.finding._starlet import poisson_sigma
from clustercnn.finding.background import estimate_background
from clustercnn.finding.characterise import characterise
from clustercnn.finding.wavelet import threshold_of

__all__ = ['SegmentationFinder']

# photutils 3.1 has no bar any more and warns of who speaks of it
_WITHOUT_BAR = {} if minversion('photutils', '3.1') else {'progress_bar': False}


class SegmentationFinder:
    """
    Find sources as connected regions above a threshold, deblended.

    Parameters
    ----------
    threshold : float, optional
        In equivalent Gaussian sigma of the counts smoothed at the scale of the PSF.
    false_alarms : float, optional
        Expected number of spurious sources in the field, instead of a threshold;
        approximate, from the number of independent places.
    n_pixels : int, optional
        Smallest size of a region.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the PSF; by default that of the image, else 8 arcsec.

    Examples
    --------
    >>> from clustercnn import SegmentationFinder
    >>> from clustercnn.testing import tiny_image
    >>> len(SegmentationFinder()(tiny_image()))
    1
    """

    def __init__(self, *, threshold=5.0, false_alarms=None, n_pixels=4, psf_fwhm=None):
        self.threshold = check_positive('threshold', threshold)
        self.false_alarms = check_positive('false_alarms', false_alarms, optional=True)
        self.n_pixels = int(check_positive('n_pixels', n_pixels))
        self.psf_fwhm = check_angle('psf_fwhm', psf_fwhm, optional=True)

    def __repr__(self):
        return f'SegmentationFinder(threshold={self.threshold:g}, n_pixels={self.n_pixels})'

    def __call__(self, image):
        """
        Find the sources of an image.

        Parameters
        ----------
        image : XrayImage
            The image.

        Returns
        -------
        catalog : CandidateCatalog
            In the order of significance; of no rows if nothing is found.
        """
        width = self.psf_fwhm if self.psf_fwhm is not None else image.psf_fwhm
        fwhm = 8.0 if width is None else width.value
        pixels = fwhm / image.pixel_scale.value
        background = estimate_background(image, psf_pixels=pixels)
        counts = np.where(image.valid, image.counts, 0).astype(np.float64)
        scale = int(np.clip(round(np.log2(max(pixels, 1.0))), 1, 5))
        sigma = poisson_sigma(counts, background, scale)
        threshold = threshold_of(self, image, pixels, 1)
        meta = {'finder': repr(self), 'psf_fwhm_arcsec': float(fwhm), 'dropped': {}}
        none = np.zeros(0)
        if not (sigma > threshold).any():
            return characterise(image, none, none, none, background, psf_fwhm=fwhm, meta=meta)
        segments = detect_sources(sigma, threshold, self.n_pixels)
        if segments is None:
            return characterise(image, none, none, none, background, psf_fwhm=fwhm, meta=meta)
        segments = deblend_sources(sigma, segments, self.n_pixels, **_WITHOUT_BAR)
        found = SourceCatalog(np.maximum(counts - background, 0), segments)
        x, y = np.atleast_1d(found.x_centroid), np.atleast_1d(found.y_centroid)
        peak = np.array([sigma[segments.data == label].max() for label in segments.labels])
        good = np.isfinite(x) & np.isfinite(y)
        if not good.all():
            meta['dropped'] = {'segments without a centroid': int((~good).sum())}
        return characterise(
            image, x[good], y[good], peak[good], background, psf_fwhm=fwhm, meta=meta
        )
