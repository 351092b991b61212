# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Finding sources with photutils: all its calls are in this file.
"""

import warnings

import numpy as np
from astropy.utils import minversion
from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources
from scipy import ndimage

from clustercnn._utils.validation import check_whole
from clustercnn.finding._settings import FinderSettings
from clustercnn.finding._starlet import poisson_sigma
from clustercnn.finding.characterise import characterise
from clustercnn.footprint import without_dark_frame

__all__ = ['SegmentationFinder']

# photutils 3.1 has no bar any more and warns of who speaks of it
_WITHOUT_BAR = {} if minversion('photutils', '3.1') else {'progress_bar': False}


class SegmentationFinder(FinderSettings):
    """
    Find sources as connected regions above a threshold, deblended.

    Parameters
    ----------
    threshold : float, optional
        In equivalent Gaussian sigma of the counts smoothed at the scale of the PSF.
    false_alarms : float, optional
        Expected number of spurious sources in the field, instead of a threshold: as many
        as were counted in simulated noise, by background and area.
    n_pixels : int, optional
        Smallest size of a part into which a region is deblended.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the PSF; by default that of the image or of its mission, else 8 arcsec.
    psf : PsfImage, optional
        The PSF itself, in place of its width; see `~clustercnn.io.read_psf`.

    Examples
    --------
    >>> from clustercnn import SegmentationFinder
    >>> from clustercnn.testing import tiny_image
    >>> len(SegmentationFinder()(tiny_image()))
    1
    """

    def __init__(self, *, threshold=5.0, false_alarms=None, n_pixels=4, psf_fwhm=None, psf=None):
        super().__init__(threshold=threshold, false_alarms=false_alarms, psf_fwhm=psf_fwhm, psf=psf)
        self.n_pixels = check_whole('n_pixels', n_pixels)

    def __repr__(self):
        return f'SegmentationFinder({self._asked()}, n_pixels={self.n_pixels})'

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
        image, binned = self.binned(image)
        image, dark = without_dark_frame(image)
        view = self.view(image, binned=binned)
        threshold = self.threshold_for(image, view, 1)
        sigma = poisson_sigma(view.counts, view.background, view.scale, floor=threshold)
        meta = self.provenance(view, threshold, dark)
        x = y = peak = np.zeros(0)
        # photutils warns where there is nothing
        segments = None
        if (sigma > threshold).any():
            # smoothed at the scale of the PSF, one pixel tells as much as several
            segments = detect_sources(sigma, threshold, 1)
        if segments is not None:
            with warnings.catch_warnings():
                # where the contrast is large photutils falls back to linear levels, and says so
                warnings.filterwarnings('ignore', message='The deblending mode')
                segments = deblend_sources(sigma, segments, self.n_pixels, **_WITHOUT_BAR)
            found = SourceCatalog(np.maximum(view.counts - view.background, 0), segments)
            x, y = (
                np.array(place, float, ndmin=1) for place in (found.x_centroid, found.y_centroid)
            )
            peak = ndimage.maximum(sigma, segments.data, segments.labels)
            # a small segment may lie between its photons; its most significant pixel is near them
            for number in np.flatnonzero(~(np.isfinite(x) & np.isfinite(y))):
                rows, columns = place = segments.slices[number]
                own = segments.data[place] == segments.labels[number]
                at = np.argmax(np.where(own, sigma[place], -np.inf))
                row, column = np.unravel_index(at, own.shape)
                x[number], y[number] = columns.start + column, rows.start + row
            peak = np.asarray(peak)
            # planes of a mosaic are large
            del found
        del sigma, segments
        catalog = characterise(
            image,
            x,
            y,
            peak,
            view.background,
            psf_fwhm=view.fwhm,
            psf=self.psf,
            meta=meta,
            refine=view.estimator.over,
        )
        return self.finished(catalog, view)
