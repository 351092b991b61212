# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
From positions to candidates: likelihoods, extent, counts, flags.
"""

import numpy as np
from scipy import ndimage, special

from clustercnn.core import CandidateCatalog, CandidateFlag
from clustercnn.finding._profiles import fit_stamps, model_templates

__all__ = ['StampFitter', 'characterise']

_RADII_ARCSEC = np.array([0.0, 3, 5, 7, 10, 14, 20, 28, 40, 56, 80])
_SATURATED_COUNTS = 60_000


def characterise(image, x, y, significance, background, *, psf_fwhm, meta=None):
    """
    Fit a point source and beta models at given positions and make a catalogue.

    Parameters
    ----------
    image : XrayImage
        The image.
    x, y : 1D `~numpy.ndarray`
        Positions in pixels.
    significance : 1D `~numpy.ndarray`
        Of the detection, in sigma.
    background : 2D `~numpy.ndarray`
        Expected background counts per pixel.
    psf_fwhm : float
        In arcsec.
    meta : dict, optional
        Provenance.

    Returns
    -------
    catalog : CandidateCatalog
        In the order of significance.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.finding import characterise, estimate_background
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> catalog = characterise(image, np.array([31.5]), np.array([31.5]), np.array([9.0]),
    ...                        estimate_background(image, psf_pixels=2.0), psf_fwhm=8.0)
    >>> len(catalog), catalog['counts'].unit
    (1, Unit("ct"))
    """
    if len(x) == 0:
        return CandidateCatalog.empty(meta=meta)
    order = np.argsort(-np.asarray(significance), kind='stable')
    x, y, significance = np.asarray(x)[order], np.asarray(y)[order], significance[order]
    scale = image.pixel_scale.value
    fitter = StampFitter(image, psf_pixels=psf_fwhm / scale)
    counts_plane = np.where(image.valid, image.counts, 0).astype(np.float64)
    # in the order of significance, each over the models of those before it; then every one
    # over the models of all others
    model = np.zeros(image.shape)
    parts = [fitter.add(model, counts_plane, background, *at) for at in zip(x, y, strict=True)]
    fits = []
    for index, at in enumerate(zip(x, y, strict=True)):
        fitter.paint(model, *at, parts[index], sign=-1)
        fits.append(fitter.fit(counts_plane, background, model, *at))
        parts[index] = fits[-1][3:]
        fitter.paint(model, *at, parts[index])
    statistic, amplitude, error = (np.stack([fit[part] for fit in fits]) for part in range(3))
    best = np.array([fit[3] for fit in fits])
    rows_all = np.arange(len(x))
    extended = statistic[rows_all, best] - statistic[:, 0]
    # -ln P for the improvement by the fitted parameters (Wilks 1938); a position counts two
    det_like = _likelihood(statistic[rows_all, best], 3 + (best > 0))
    ext_like = np.where(best > 0, _likelihood(extended, 1), 0.0)
    radius = np.where(best > 0, _RADII_ARCSEC[best], 0.0)
    inside = statistic > statistic.max(axis=1, keepdims=True) - 1.0
    low = np.where(inside, _RADII_ARCSEC, np.inf).min(axis=1)
    high = np.where(inside, _RADII_ARCSEC, -np.inf).max(axis=1)
    step = np.gradient(_RADII_ARCSEC)[best]
    ix = np.clip(np.rint(x).astype(int), 0, image.shape[1] - 1)
    iy = np.clip(np.rint(y).astype(int), 0, image.shape[0] - 1)
    value = amplitude[rows_all, best]
    positions = image.pixel_to_sky(x, y)
    size = np.hypot(psf_fwhm / 2.3548, radius)
    exposure = np.full(len(x), np.nan)
    if image.exposure is not None and image.exposure_unit.to_string() == 's':
        exposure = image.exposure[iy, ix]
    return CandidateCatalog.from_columns(
        ra=positions.ra,
        dec=positions.dec,
        pos_err=size / np.sqrt(np.maximum(value, 1.0)),
        x=x,
        y=y,
        counts=value,
        counts_err=error[rows_all, best],
        background=background[iy, ix] / scale**2,
        exposure=exposure,
        significance=significance,
        det_like=det_like,
        extent=radius,
        extent_err=np.maximum((high - low) / 2, step / 2),
        ext_like=ext_like,
        flags=_flags(image, x, y, ix, iy, size / scale, best, value, psf_fwhm / scale),
        meta=meta,
    )


def _relative(image):
    """
    Return the exposure relative to its largest value, 0 where nothing is valid.
    """
    if image.exposure is None:
        return image.valid.astype(np.float64)
    return np.where(image.valid, image.exposure, 0) / max(float(image.exposure.max()), 1e-30)


def _likelihood(gain, n_parameters):
    """
    Return -ln P of a chi-square gain, also where P is below the smallest double.
    """
    gain = np.maximum(gain, 0.0)
    tail = special.gammaincc(np.asarray(n_parameters) / 2, gain / 2)
    with np.errstate(divide='ignore'):
        exact = -np.log(np.maximum(tail, 1e-300))
    return np.where(tail > 1e-250, exact, gain / 2)


class StampFitter:
    """
    Fits one position after another and keeps what the models add to the image.

    Parameters
    ----------
    image : XrayImage
        Gives exposure and pixel size.
    psf_pixels : float
        FWHM of the point spread function in pixels.
    """

    def __init__(self, image, *, psf_pixels):
        scale = image.pixel_scale.value
        self.half = int(np.clip(round(150 / scale), 12, 40))
        self.response = _relative(image)
        sigma = max(psf_pixels / 2.3548, 0.6)
        self.templates = model_templates(_RADII_ARCSEC / scale, sigma, self.half)

    def _overlap(self, x, y, half):
        """
        Return the slices of image and stamp that lie over each other.
        """
        pairs = []
        for centre, size in zip((y, x), self.response.shape, strict=True):
            start = int(np.rint(centre)) - half
            low, high = max(start, 0), min(start + 2 * half + 1, size)
            pairs.append((slice(low, high), slice(low - start, high - start)))
        return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)

    def fit(self, counts, background, model, x, y):
        """
        Fit all models at a position.

        Parameters
        ----------
        counts, background, model : 2D `~numpy.ndarray`
            Counts, background, and what other sources add to it.
        x, y : float
            Position in pixels.

        Returns
        -------
        statistic, amplitude, error : 1D `~numpy.ndarray`
            As those of `fit_stamps`, one value a model.
        best : int
            The model that fits best.
        value : float
            Its amplitude.
        """
        here, there = self._overlap(x, y, self.half)
        inner = self.templates[:, self.half : -self.half, self.half : -self.half]
        statistic, amplitude, error = fit_stamps(
            counts[here][None],
            (background[here] + model[here])[None],
            self.response[here][None],
            inner[:, there[0], there[1]],
        )
        best = int(np.argmax(statistic[0]))
        return statistic[0], amplitude[0], error[0], best, float(amplitude[0, best])

    def paint(self, model, x, y, part, *, sign=1):
        """
        Add a fitted source to the image of all models, or take it away.

        Parameters
        ----------
        model : 2D `~numpy.ndarray`
            Changed in place.
        x, y : float
            Position in pixels.
        part : tuple
            Number of the model and its amplitude.
        sign : int, optional
            -1 takes it away.
        """
        best, value = part
        here, there = self._overlap(x, y, 2 * self.half)
        model[here] += sign * value * self.templates[best][there] * self.response[here]
        np.maximum(model[here], 0, out=model[here])

    def add(self, model, counts, background, x, y):
        """
        Fit a position and add what was found to the image of all models.

        Parameters
        ----------
        model : 2D `~numpy.ndarray`
            Changed in place.
        counts, background : 2D `~numpy.ndarray`
            As in `fit`.
        x, y : float
            Position in pixels.

        Returns
        -------
        part : tuple
            Number of the model and its amplitude.
        """
        part = self.fit(counts, background, model, x, y)[3:]
        self.paint(model, x, y, part)
        return part


def _flags(image, x, y, ix, iy, radius, best, amplitude, psf_pixels):
    """
    Return the quality bits of each source.
    """
    flags = np.full(len(x), image.flags, dtype=np.int32)
    valid = image.valid
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(valid, 12), iterations=8))
    filled = filled[12:-12, 12:-12]
    inside = ndimage.distance_transform_edt(np.pad(filled, 1))[1:-1, 1:-1]
    hole = filled & ~valid
    gap = ndimage.distance_transform_edt(~hole) if hole.any() else np.full(image.shape, np.inf)
    reach = np.maximum(2 * psf_pixels, radius)
    flags |= np.where(inside[iy, ix] < 2 * psf_pixels, int(CandidateFlag.EDGE), 0)
    flags |= np.where(gap[iy, ix] < reach, int(CandidateFlag.GAP), 0)
    peak = ndimage.maximum_filter(image.counts, 3)[iy, ix]
    flags |= np.where(peak > _SATURATED_COUNTS, int(CandidateFlag.SATURATED), 0)
    if image.exposure is None:
        flags |= int(CandidateFlag.NO_EXPOSURE)
    flags |= np.where(
        best == len(_RADII_ARCSEC) - 1, int(CandidateFlag.EXTENT_AT_LIMIT), 0
    )
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(distance, np.inf)
    close = distance < reach[:, None] + reach
    flags |= np.where(close.any(axis=1), int(CandidateFlag.BLENDED), 0)
    bright = (distance < 6 * reach) & (amplitude > 30 * amplitude[:, None])
    flags |= np.where(bright.any(axis=1), int(CandidateFlag.NEAR_BRIGHT), 0)
    return flags
