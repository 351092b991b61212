# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The background of a count image, with the sources masked.
"""

import warnings

import numpy as np
from scipy import ndimage

from clustercnn.exceptions import DataQualityWarning
from clustercnn.finding._compiled import inputs
from clustercnn.finding._convolve import BandedKernel
from clustercnn.finding._passes import (
    classify,
    expect,
    mark_near,
    mixture,
    sums_in_cells,
    sums_of_numbers,
    times_between_cells,
)
from clustercnn.finding._planes import valid_counts
from clustercnn.finding._rings import quantiles
from clustercnn.finding._starlet import poisson_sigma, smooth, step_of
from clustercnn.finding._threads import at_once, for_rows
from clustercnn.finding._vignetting import axis_of, vignetting_of

__all__ = ['BackgroundEstimator', 'estimate_background', 'suspect_places']

# a mask at so many sigma takes little of pure noise, and so many counts steady a class
# of few pixels
_MASK_SIGMA = 3.8
_STEADY_COUNTS = 15.0
# share of the pixels; what changes with fewer is a tenth of a percent of the background
_SETTLED = 0.004
# widest smoothing in arcsec: the sky varies over the field, not over a mosaic
_WIDEST = 240.0
_N_LEVELS = 8
_N_RINGS = 3
_N_CLASSES = _N_LEVELS * _N_RINGS
# of exposure, and of coverage
_N_CELLS = 60
# of expectation maximisation
_MIXING_STEPS = 300
# times the background
_OUTSHINES = 1.0
_SUSPECT_RATIO = 1.5
_SUSPECT_SIGMA = 5.0


def estimate_background(image, *, psf_pixels, n_iterations=8):
    """
    Estimate the expected background counts of each pixel.

    Where the exposure map shows the vignetting of one pointing, two components are fitted: sky
    photons, which are vignetted, and particles, which are not (as in Lumb et al. 2002, A&A 389,
    93); what is left at places that not all detectors look at is fitted for each degree of their
    coverage. Else the background goes with the exposure. Over that, a smooth factor is fitted.
    Means, not medians, are taken, since most pixels of a faint field hold no count; pixels with
    an excess at two starlet scales are left out and the estimate repeated.

    Parameters
    ----------
    image : XrayImage
        A background map that it brings is taken as it is, filled where it is zero on exposed
        pixels.
    psf_pixels : float
        FWHM of the point spread function in pixels.
    n_iterations : int, optional
        Rounds of masking at most; most images need three or four.

    Returns
    -------
    background : 2D `~numpy.ndarray` of float32
        Counts per pixel, 0 where nothing was exposed.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.finding import estimate_background
    >>> from clustercnn.testing import tiny_image
    >>> background = estimate_background(tiny_image(), psf_pixels=2)
    >>> bool(0.05 < np.median(background) < 0.2)
    True
    """
    return BackgroundEstimator(image, psf_pixels=psf_pixels).first(n_iterations)


class BackgroundEstimator:
    """
    Estimates the background of an image without a model of its sources, and with one.

    Parameters
    ----------
    image : XrayImage
        A background map that it brings is taken as it is, filled where it is zero on exposed
        pixels.
    psf_pixels : float
        FWHM of the point spread function in pixels.
    """

    def __init__(self, image, *, psf_pixels):
        self.valid = image.valid
        self.n_valid = np.count_nonzero(self.valid)
        self.given = image.background
        self.counts = valid_counts(image)
        self.exposure = self.valid if image.exposure is None else image.exposure
        self.most = np.float32(max(self.exposure.max(initial=0, where=self.valid), 1e-30))
        self.coverage, self.numbers, self.groups = _coverage(self._response())
        if self.coverage is not None:
            self.totals = self._sums(self.valid, self.counts)
        widest = min(min(image.shape) / 12, _WIDEST / image.pixel_scale.value)
        self.width = max(12.0, 8.0 * psf_pixels, widest)
        self.scale = _scale_of(psf_pixels)

    def first(self, n_iterations=8):
        """
        Return the background with pixels masked that have an excess.

        Parameters
        ----------
        n_iterations : int, optional
            Rounds of masking at most; most images need three or four.

        Returns
        -------
        background : 2D `~numpy.ndarray` of float32
            Counts per pixel, 0 where nothing was exposed.
        """
        if self.given is not None:
            return self._completed(np.where(self.valid, self.given, 0).astype(np.float32))
        good = self.valid
        background = self._fitted(self.counts, good)
        for _ in range(n_iterations):
            before, good = good, self._enough(self._beside_excess(background), good)
            if np.count_nonzero(before != good) <= _SETTLED * self.n_valid:
                break
            # of a large image two would be one too many
            del background
            background = self._fitted(self.counts, good)
        return background

    def _beside_excess(self, background):
        """
        Return the pixels far from any with an excess over a background at two scales.
        """
        found = np.zeros(background.shape, bool)

        def look(scale):
            step = step_of(scale)
            sigma = poisson_sigma(
                self.counts, background, scale, floor=_MASK_SIGMA, ceiling=_MASK_SIGMA, step=step
            )
            mark_near(sigma, _MASK_SIGMA, 2**scale // step, step, found)

        at_once(look, (self.scale + 2, self.scale), found.size)
        return np.logical_not(found, out=found)

    def _completed(self, given):
        """
        Return a map that was given, with pixels filled where it says that none is exposed.

        Maps of some pipelines end a few pixels before the exposure does; over a background of
        nothing every photon there would be a source. Far from all that the map covers, its mean
        is taken.
        """
        empty = self.valid & (given <= 0)
        if not empty.any():
            return given
        known = self.valid & ~empty
        if not known.any():
            warnings.warn(
                'the background map is zero wherever the image is exposed; it was estimated from '
                'the image instead',
                DataQualityWarning,
                stacklevel=5,
            )
            self.given = None
            return self.first()
        response = self._response()
        mean = given[known].sum(dtype=np.float64) / response[known].sum(dtype=np.float64)
        # a millionth of the steadying of the image's own background, at its level
        ratio = _smooth_ratio(given / np.float32(mean), response, known, self.width, steady=2e-5)
        response *= np.float32(mean)
        times_between_cells(response, *ratio)
        np.copyto(given, response, where=empty)
        return given

    def over(self, model, background):
        """
        Return the background under sources whose counts are known.

        The faint wings of extended sources, which no mask covers, count as background without.

        Parameters
        ----------
        model : 2D `~numpy.ndarray`
            Expected counts of all sources.
        background : 2D `~numpy.ndarray`
            From `first`.

        Returns
        -------
        background : 2D `~numpy.ndarray` of float32
            The new estimate.
        """
        if self.given is not None:
            return background
        # where a source outshines the background an error of its model would go into that
        good = self._enough(model <= self._outshone(model, background) * background, self.valid)
        return self._fitted(self.counts - model, good)

    def _outshone(self, model, background):
        """
        Return by how much sources may outshine the background where that is measured.

        Of an image full of a source the darkest fifth is left.
        """
        # some rows of a mosaic tell as much as all of them
        rows = slice(None, None, max(1, model.size // 1_000_000))
        valid = self.valid[rows]
        ratio = model[rows][valid] / np.maximum(background[rows][valid], 1e-30)
        return max(_OUTSHINES, np.quantile(ratio, 0.2)) if ratio.size else _OUTSHINES

    def _response(self):
        """
        Return the exposure relative to its best, 0 where nothing is valid; made anew, since
        planes of a mosaic are large.
        """
        return np.where(self.valid, self.exposure / self.most, np.float32(0))

    def _enough(self, wanted, otherwise):
        """
        Return the valid pixels that are wanted, if they are enough to measure.
        """
        wanted = self.valid & wanted
        return wanted if np.count_nonzero(wanted) > 0.1 * self.n_valid else otherwise

    def _fitted(self, counts, good):
        """
        Return the background fitted to the good pixels.
        """
        if self.coverage is None:
            background = self._response()
            n = max(counts[good].sum(dtype=np.float64), 0.0)
            background *= np.float32(n / max(background[good].sum(dtype=np.float64), 1e-30))
        else:
            rates, factors = self._mix(self._good_sums(counts, good))
            planes = inputs(self.valid, self.exposure, self.coverage, self.numbers)
            background = np.empty(counts.shape, np.float32)
            for_rows(
                lambda rows: expect(
                    *(plane[rows] for plane in planes), self.most, rates, factors, background[rows]
                ),
                counts.shape,
            )
        times_between_cells(background, *_smooth_ratio(counts, background, good, self.width))
        return background

    def _good_sums(self, counts, good):
        """
        Return sums of counts, response and coverage over the good pixels of each number.
        """
        if counts is not self.counts:
            return self._sums(good, counts)
        # most pixels are good
        return self.totals - self._sums(self.valid & ~good, counts)

    def _sums(self, used, counts):
        """
        Return sums of counts, response and coverage over pixels of each number.
        """
        sums = np.zeros((3, len(self.groups)))
        planes = inputs(used, self.numbers, counts, self.exposure, self.coverage)
        sums_of_numbers(*planes, self.most, sums)
        return sums

    def _mix(self, sums):
        """
        Return the rates of response and coverage that make the counts most likely, and a factor for
        each number, which is that of its class.
        """
        cells = np.unique(self.groups // _N_CLASSES, return_inverse=True)[1]
        classes = self.groups % _N_CLASSES
        rates = _mixture(*(np.bincount(cells, part) for part in sums))
        expected = rates[0] * sums[1] + rates[1] * sums[2]
        made, expected = (
            np.bincount(classes, part, minlength=_N_CLASSES) for part in (sums[0], expected)
        )
        ratio = np.maximum(made + _STEADY_COUNTS, 0.1) / (expected + _STEADY_COUNTS)
        return rates.astype(np.float32), ratio[classes].astype(np.float32)


def suspect_places(image, *, psf_pixels):
    """
    Return where a background map that was given seems to contain sources, and warn of it.

    Parameters
    ----------
    image : XrayImage
        With its background map.
    psf_pixels : float
        FWHM of the point spread function in pixels.

    Returns
    -------
    suspect : 2D `~numpy.ndarray` of bool or None
        Where the map is half as high again as a background with the sources masked, and the
        image has a source; None if nowhere, or without a map.
    """
    if image.background is None or not (image.background > 0).any():
        return None
    own = BackgroundEstimator(image.replace(background=None), psf_pixels=psf_pixels)
    expected = own.first()
    scale = min(own.scale + 2, 5)
    given = smooth(np.where(image.valid, image.background, 0), scale)
    excess = poisson_sigma(own.counts, expected, scale, floor=_SUSPECT_SIGMA) > _SUSPECT_SIGMA
    smoothed = smooth(expected, scale)
    # by its level beside sources, so that a wrong unit is not taken for a source
    beside = image.valid & ~excess & (image.background > 0)
    level = given[beside].sum(dtype=np.float64) / max(smoothed[beside].sum(dtype=np.float64), 1e-30)
    if not 1 / _SUSPECT_RATIO < level < _SUSPECT_RATIO:
        warnings.warn(
            f'the background map has {level:.3g} times the counts that the image has beside its '
            'sources; expected counts per pixel: check its unit and its energy band',
            DataQualityWarning,
            stacklevel=4,
        )
    suspect = excess & (given > _SUSPECT_RATIO * max(level, 1e-30) * smoothed)
    if not suspect.any():
        return None
    n_places = ndimage.label(suspect)[1]
    row, column = ndimage.maximum_position(np.where(suspect, given, 0))
    place = image.pixel_to_sky(column, row).to_string('decimal', precision=4)
    warnings.warn(
        f'the background map seems to contain sources: at {n_places} place(s), most of all at '
        f'{place} (RA Dec), it is more than {_SUSPECT_RATIO:g} times the background beside '
        'them, and what it contains is not found; to find them, leave the map out',
        DataQualityWarning,
        stacklevel=4,
    )
    return suspect


def _coverage(response):
    """
    Return how much of the detectors looked at each pixel, and which pixels are alike.

    The coverage is the exposure without the vignetting that it shows. Pixels of one number have
    about the same exposure and coverage, their cell, and are of one class, of which coverage and
    vignetting are about the same; the last is cell times the number of classes plus class, by
    number. All are None where nothing is known of the vignetting.
    """
    vignetting = vignetting_of(response, axis_of(response))
    if vignetting is None:
        return None, None, None
    # some rows tell as much as all of them
    some = slice(None, None, max(1, min(response.shape) // 150))
    if not response[some].any():
        some = slice(None)
    shares = np.linspace(0, 1, _N_RINGS + 1)[1:-1]
    edges = quantiles(vignetting[some][response[some] > 0], shares)
    # the vignetting is not needed any more
    coverage, groups = vignetting, np.empty(response.shape, np.int32)
    there = np.zeros(_N_CELLS**2 * _N_CLASSES, bool)
    (response,) = inputs(response)
    for_rows(
        lambda rows: classify(
            response[rows], coverage[rows], edges, _N_CELLS, _N_LEVELS, groups[rows], there
        ),
        response.shape,
    )
    number_of = np.cumsum(there).astype(np.uint16) - np.uint16(1)
    numbers = np.empty(response.shape, np.uint16)
    for_rows(
        lambda rows: np.take(number_of, groups[rows], out=numbers[rows], mode='clip'),
        response.shape,
    )
    return coverage, numbers, np.flatnonzero(there)


def _mixture(made, *sums):
    """
    Return the rates of two components that make the counts most likely, none of them negative.

    Expectation maximisation on counts summed in cells of equal components, which for a sum of
    Poisson rates never lowers the likelihood (Richardson 1972; Lucy 1974, AJ 79, 745).
    """
    sums = np.array(sums)
    if made.sum() <= 0:
        return np.zeros(len(sums))
    # a model taken away may leave less than nothing
    return mixture(np.maximum(made, 0), sums, _MIXING_STEPS)


def _smooth_ratio(counts, background, good, width, *, steady=20.0):
    """
    Return counts over background in cells, both smoothed with a Gaussian of a width in pixels.

    The Gaussian is much wider than the cells, into which the pixels are summed first.
    """
    step = max(1, int(width // 8))
    sums = sums_in_cells(*inputs(counts, background, good), step)
    made, expected = (_gaussian(plane, width / step) for plane in sums)
    # a few counts' worth of the mean steadies places where little is left
    steady = steady / (4 * np.pi * (width / step) ** 2)
    ratio = np.maximum(made + steady, 0.1 * steady) / np.maximum(expected + steady, 1e-30)
    return ratio.astype(np.float32), step


def _gaussian(plane, width):
    """
    Return a plane smoothed with a Gaussian that ends at four times its width.
    """
    half = int(4 * width + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / width) ** 2)
    return BandedKernel(kernel / kernel.sum(), np.float64)(plane, slice(0, len(plane)))


def _scale_of(psf_pixels):
    """
    Return the starlet scale whose width is nearest to a PSF.
    """
    return int(np.clip(round(np.log2(max(psf_pixels, 1.0))), 1, 4))
