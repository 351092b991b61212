# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Finding sources with the starlet's scales and Poisson significance.
"""

import numpy as np
from scipy import ndimage, special

from clustercnn._utils.validation import check_angle, check_positive
from clustercnn.finding._starlet import poisson_sigma, poisson_sigma_at, smooth
from clustercnn.finding.background import estimate_background
from clustercnn.finding.characterise import SourceFitter, characterise

__all__ = ['WaveletFinder', 'threshold_of']

_DEFAULT_FWHM = 8.0


def threshold_of(finder, image, psf_pixels, n_scales):
    """
    Return the threshold in sigma that a finder's settings mean for an image.

    Parameters
    ----------
    finder : WaveletFinder or SegmentationFinder
        Has ``threshold`` and ``false_alarms``.
    image : XrayImage
        Gives the exposed area.
    psf_pixels : float
        FWHM of the point spread function in pixels; its square is one independent place.
    n_scales : int
        Number of scales that are searched.

    Returns
    -------
    threshold : float
        Gaussian sigma whose upper tail times the number of places gives the false alarms.
    """
    if finder.false_alarms is None:
        return finder.threshold
    n_places = max(image.valid.sum() / max(psf_pixels, 1.0) ** 2, 1.0) * n_scales
    return float(max(special.ndtri(1 - min(finder.false_alarms / n_places, 0.4)), 1.0))


class WaveletFinder:
    """
    Find sources by their Poisson significance at the starlet's scales.

    Parameters
    ----------
    threshold : float, optional
        In equivalent Gaussian sigma.
    false_alarms : float, optional
        Expected number of spurious sources in the field, instead of a threshold;
        approximate, from the number of independent places and scales.
    n_scales : int, optional
        Number of scales from that of the PSF on, each twice as wide.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the PSF; by default that of the image, else 8 arcsec.

    Examples
    --------
    >>> from clustercnn import WaveletFinder
    >>> from clustercnn.testing import tiny_image
    >>> catalog = WaveletFinder(threshold=5)(tiny_image())
    >>> len(catalog)
    1
    """

    def __init__(self, *, threshold=5.0, false_alarms=None, n_scales=4, psf_fwhm=None):
        self.threshold = check_positive('threshold', threshold)
        self.false_alarms = check_positive('false_alarms', false_alarms, optional=True)
        self.n_scales = int(check_positive('n_scales', n_scales))
        self.psf_fwhm = check_angle('psf_fwhm', psf_fwhm, optional=True)

    def __repr__(self):
        return f'WaveletFinder(threshold={self.threshold:g}, n_scales={self.n_scales})'

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
        fwhm = _DEFAULT_FWHM if width is None else width.value
        pixels = fwhm / image.pixel_scale.value
        background = estimate_background(image, psf_pixels=pixels)
        counts = np.where(image.valid, image.counts, 0).astype(np.float64)
        x, y, sigma, fits, dropped = self._detect(image, counts, background, pixels)
        meta = {'finder': repr(self), 'psf_fwhm_arcsec': float(fwhm), 'dropped': dropped}
        return characterise(image, x, y, sigma, background, psf_fwhm=fwhm, fits=fits, meta=meta)

    def _detect(self, image, counts, background, pixels):
        """
        Return positions and significances of the sources, and what was left out.
        """
        first = int(np.clip(round(np.log2(max(pixels, 1.0))), 1, 5))
        coverage = image.valid.astype(np.float64)
        threshold = threshold_of(self, image, pixels, self.n_scales)
        peaks = []
        for scale in range(first, first + self.n_scales):
            if 2 ** (scale + 1) > min(image.shape) / 2:
                break
            sigma = poisson_sigma(counts, background, scale)
            footprint = 2 * 2 ** (scale - 1) + 1
            top = (sigma == ndimage.maximum_filter(sigma, footprint)) & (sigma > threshold)
            half_exposed = smooth(coverage, scale) < 0.5
            for row, column in np.argwhere(top):
                peaks.append((sigma[row, column], scale, column, row, half_exposed[row, column]))
        peaks.sort(key=lambda peak: -peak[0])
        n_edge = sum(bool(peak[-1]) for peak in peaks)
        peaks = [peak for peak in peaks if not peak[-1]]
        kept, n_explained = self._accept(image, counts, background, peaks, pixels, threshold)
        reasons = {}
        if n_edge:
            reasons['peaks with less than half of their surroundings exposed'] = n_edge
        if n_explained:
            reasons['peaks that the models of brighter sources explain'] = n_explained
        if not kept:
            return np.zeros(0), np.zeros(0), np.zeros(0), [], reasons
        fits = [fit for fit, _ in kept]
        x, y = np.array([(fit.x, fit.y) for fit in fits]).T
        return x, y, np.array([value for _, value in kept]), fits, reasons

    def _accept(self, image, counts, background, peaks, pixels, threshold):
        """
        Take the peaks by significance; each must stand out over the models of those before.

        One object is one source that way: what its own model explains, such as ripples in a
        bright halo or the same object at another scale, is not taken again, while a point
        source upon a cluster is.
        """
        fitter = SourceFitter(image, psf_fwhm=pixels * image.pixel_scale.value)
        model = np.zeros(image.shape)
        # models are not exact; a fifth of their brightness is granted to them on top
        doubt = np.zeros(image.shape)
        kept = []
        for _, scale, column, row, _ in peaks:
            value = poisson_sigma_at(counts, background, doubt, scale, column, row)
            if value <= threshold:
                continue
            x, y = self._centre(counts, background, model, scale, column, row)
            fit = fitter.fit(counts, background + model, x, y)
            if any(np.hypot(fit.x - o.x, fit.y - o.y) < 0.7 * pixels for o, _ in kept):
                continue
            kept.append((fit, value))
            fitter.paint(model, fit)
            fitter.paint(doubt, fit, factor=1.2)
        return kept, len(peaks) - len(kept)

    @staticmethod
    def _centre(counts, background, model, scale, column, row):
        """
        Return the centroid of the excess round a peak within its scale.
        """
        ny, nx = counts.shape
        half = 2 ** (scale - 1)
        rows = slice(max(row - half, 0), min(row + half + 1, ny))
        columns = slice(max(column - half, 0), min(column + half + 1, nx))
        place = (rows, columns)
        part = np.maximum(counts[place] - background[place] - model[place], 0)
        total = part.sum()
        iy, ix = np.mgrid[rows, columns]
        if total <= 0:
            return float(column), float(row)
        return (part * ix).sum() / total, (part * iy).sum() / total
