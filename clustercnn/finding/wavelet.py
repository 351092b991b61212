# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Finding sources with the starlet's scales and Poisson significance.
"""

import warnings

import numpy as np

from clustercnn._utils.validation import check_whole
from clustercnn.exceptions import DataQualityWarning
from clustercnn.finding._fitter import closest_distance
from clustercnn.finding._planes import Expected, peaks_above
from clustercnn.finding._psf_image import source_fitter
from clustercnn.finding._settings import FinderSettings
from clustercnn.finding._starlet import (
    brightest_near,
    poisson_sigma,
    poisson_sigma_at,
    smooth_at,
    step_of,
)
from clustercnn.finding._threads import at_once
from clustercnn.finding.characterise import characterise
from clustercnn.footprint import without_dark_frame

__all__ = ['WaveletFinder']

# gain in the statistic from which a halo left round a source is itself found
_HALO_GAIN = 1000.0
# of the significance of a peak that of the nearest pixel of those looked at first has at least
_BESIDE_PEAK = 0.94


class WaveletFinder(FinderSettings):
    """
    Find sources by their Poisson significance at the starlet's scales.

    Parameters
    ----------
    threshold : float, optional
        In equivalent Gaussian sigma.
    false_alarms : float, optional
        Expected number of spurious sources in the field, instead of a threshold: as many
        as were counted in simulated noise, by background and area.
    n_scales : int, optional
        Number of scales from that of the PSF on, each twice as wide.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the PSF; by default that of the image or of its mission, else 8 arcsec.
    psf : PsfImage, optional
        The PSF itself, in place of its width; see `~clustercnn.io.read_psf`.

    Examples
    --------
    >>> from clustercnn import WaveletFinder
    >>> from clustercnn.testing import tiny_image
    >>> catalog = WaveletFinder(threshold=5)(tiny_image())
    >>> len(catalog)
    1
    """

    def __init__(self, *, threshold=5.0, false_alarms=None, n_scales=4, psf_fwhm=None, psf=None):
        super().__init__(threshold=threshold, false_alarms=false_alarms, psf_fwhm=psf_fwhm, psf=psf)
        self.n_scales = check_whole('n_scales', n_scales)

    def __repr__(self):
        return f'WaveletFinder({self._asked()}, n_scales={self.n_scales})'

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
        threshold = self.threshold_for(image, view, self.n_scales)
        fitter = source_fitter(image, psf_fwhm=view.fwhm, psf=self.psf)
        x, y, sigma, fits, dropped = self._detect(image, view, threshold, fitter)
        meta = self.provenance(view, threshold, dark) | {'dropped': dropped}
        catalog = characterise(
            image,
            x,
            y,
            sigma,
            view.background,
            psf_fwhm=view.fwhm,
            psf=self.psf,
            fits=fits,
            fitter=fitter,
            meta=meta,
            refine=view.estimator.over,
        )
        return self.finished(catalog, view)

    def _detect(self, image, view, threshold, fitter):
        """
        Return positions, significances and first fits of the sources, and what was left out.
        """
        peaks, reasons = self._peaks(image, view, threshold)
        kept, n_explained = self._accept(fitter, view.counts, view.background, peaks, threshold)
        if n_explained:
            reasons['peaks that the models of other sources explain'] = n_explained
        if not kept:
            return np.zeros(0), np.zeros(0), np.zeros(0), [], reasons
        fits = [fit for fit, _ in kept]
        x, y = np.array([(fit.x, fit.y) for fit in fits]).T
        return x, y, np.array([value for _, value in kept]), fits, reasons

    def _peaks(self, image, view, threshold):
        """
        Return significance, scale, column and row of each peak, and what was left out.
        """
        valid = image.valid
        scales = [
            scale
            for scale in range(view.scale, view.scale + self.n_scales)
            if 2 ** (scale + 1) <= min(image.shape) / 2
        ]
        n_skipped = self.n_scales - len(scales)

        def look(scale):
            rows, columns, values = self._peaks_at(view, scale, threshold)
            exposed = smooth_at(valid, scale, columns, rows) >= 0.5
            found = zip(values[exposed], columns[exposed], rows[exposed], strict=True)
            peaks = [(float(value), scale, int(column), int(row)) for value, column, row in found]
            return peaks, len(exposed) - len(peaks)

        found = at_once(look, scales, image.counts.size)
        peaks = [peak for some, _ in found for peak in some]
        n_edge = sum(n for _, n in found)
        # small scales first (as Kaefer et al. 2020, A&A 634, A8): a wide one takes neighbours
        # for one extended source, while the core of a cluster shows at small scales, too
        peaks.sort(key=lambda peak: (peak[1], -peak[0]))
        if n_skipped == self.n_scales:
            ny, nx = image.shape
            warnings.warn(
                f'nothing was looked for: the narrowest scale is wider than a quarter of the image '
                f'of {nx} x {ny} pixels of {image.pixel_scale.value:g} arcsec, the PSF being '
                f'{view.fwhm:g} arcsec wide; give a larger image, or the width of the PSF',
                DataQualityWarning,
                stacklevel=4,
            )
        reasons = {
            'scales wider than a quarter of the image, not searched': n_skipped,
            'peaks with less than half of their surroundings exposed': n_edge,
        }
        return peaks, {reason: n for reason, n in reasons.items() if n}

    @staticmethod
    def _peaks_at(view, scale, threshold):
        """
        Return row, column and significance of the peaks at a scale.
        """
        step = step_of(scale)
        # first among few pixels, of which that nearest to a peak may be fainter
        least = threshold if step == 1 else _BESIDE_PEAK * threshold
        sigma = poisson_sigma(view.counts, view.background, scale, floor=least, step=step)
        rows, columns = peaks_above(sigma, least, 2 ** (scale - 1) // step)
        if step == 1:
            return rows, columns, sigma[rows, columns]
        # planes of a mosaic are large
        del sigma
        rows, columns, sigma = brightest_near(
            view.counts, view.background, scale, step * rows, step * columns, step // 2
        )
        high = sigma > threshold
        return rows[high], columns[high], sigma[high]

    def _accept(self, fitter, counts, background, peaks, threshold):
        """
        Take the peaks in their order; each must stand out over the models of those before.

        One object is one source that way: what its own model explains, such as ripples in a
        bright halo or the same object at another scale, is not taken again, while a point
        source upon a cluster is.
        """
        model = np.zeros(counts.shape, np.float32)
        # models are not exact; a fifth of their brightness is granted to them on top
        doubt = np.zeros(counts.shape, np.float32)
        rest = Expected(background, model)
        kept = []
        # column, row and reach of those
        places = np.empty((3, len(peaks)))
        for _, scale, column, row in peaks:
            value = poisson_sigma_at(counts, background, doubt, scale, column, row)
            if value <= threshold:
                continue
            x, y = self._centre(counts, background, model, scale, column, row)
            fit = fitter.fit(counts, rest, x, y)
            others_x, others_y, reach = places[:, : len(kept)]
            if (np.hypot(fit.x - others_x, fit.y - others_y) < reach).any():
                continue
            if fit.radius > 0 and fit.gain > _HALO_GAIN:
                # what a point source in the middle hides would be found again round it
                fit = fitter.with_core(counts, rest, fit)
            places[:, len(kept)] = fit.x, fit.y, closest_distance(fit.fwhm)
            kept.append((fit, value))
            fitter.paint(model, fit)
            fitter.paint(doubt, fit, factor=1.2)
        scales = sorted({peak[1] for peak in peaks})
        for number, (fit, value) in enumerate(kept):
            fitter.paint(model, fit, factor=-1)
            place = round(fit.x), round(fit.y)
            values = [
                poisson_sigma_at(counts, background, model, scale, *place) for scale in scales
            ]
            fitter.paint(model, fit)
            # at the scale where it stands out best over all others
            kept[number] = fit, max(value, *values)
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
