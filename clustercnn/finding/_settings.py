# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What both finders make of their settings and an image before they look for sources.
"""

import dataclasses

import numpy as np

from clustercnn._utils.validation import check_angle, check_positive
from clustercnn.core import CandidateFlag
from clustercnn.finding._false_alarms import places_of, threshold_of
from clustercnn.finding._psf_image import check_psf, describe_psf
from clustercnn.finding.background import BackgroundEstimator, suspect_places

__all__ = ['FinderSettings', 'View']

_DEFAULT_FWHM = 8.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """
    An image as the finders look at it.

    Parameters
    ----------
    fwhm : float
        Of the point spread function in arcsec.
    pixels : float
        The same in pixels.
    counts, background : 2D `~numpy.ndarray` of float32
        Counts, 0 where nothing is valid, and what is expected without sources.
    estimator : BackgroundEstimator
        Estimates the background anew over a model of the sources.
    suspect : 2D `~numpy.ndarray` of bool or None
        Where a background map that was given seems to contain sources; None if nowhere.
    assumed : bool
        Whether nobody has said how wide the point spread function is.
    """

    fwhm: float
    pixels: float
    counts: np.ndarray
    background: np.ndarray
    estimator: BackgroundEstimator
    suspect: np.ndarray | None = None
    assumed: bool = False

    @property
    def scale(self):
        """
        The starlet scale whose width is nearest to the PSF (int).
        """
        return int(np.clip(round(np.log2(max(self.pixels, 1.0))), 1, 5))


class FinderSettings:
    """
    Settings that both finders have.

    Parameters
    ----------
    threshold : float
        In equivalent Gaussian sigma.
    false_alarms : float or None
        Expected number of spurious sources in the field, instead of a threshold.
    psf_fwhm : `~astropy.units.Quantity` or None
        Width of the PSF; by default that of the image, else 8 arcsec.
    psf : PsfImage or None
        The PSF itself, in place of its width.
    """

    def __init__(self, *, threshold, false_alarms, psf_fwhm, psf=None):
        self.threshold = check_positive('threshold', threshold)
        self.false_alarms = check_positive('false_alarms', false_alarms, optional=True)
        self.psf_fwhm = check_angle('psf_fwhm', psf_fwhm, optional=True)
        self.psf = check_psf(psf, psf_fwhm)

    def _asked(self):
        """
        Say in words what decides on a detection.
        """
        if self.false_alarms is None:
            return f'threshold={self.threshold:g}'
        return f'false_alarms={self.false_alarms:g}'

    def view(self, image):
        """
        Return counts, background and PSF of an image.

        Parameters
        ----------
        image : XrayImage
            The image.

        Returns
        -------
        view : View
            What to search.

        Raises
        ------
        ValueError
            If the PSF is wider than the image.
        """
        width = self.psf_fwhm if self.psf_fwhm is not None else image.psf_fwhm
        if self.psf is not None:
            width = self.psf.fwhm
        fwhm = float(_DEFAULT_FWHM if width is None else width.value)
        pixels = fwhm / image.pixel_scale.value
        if pixels > max(image.shape):
            name = 'psf_fwhm' if self.psf is None else 'psf'
            msg = (
                f"'{name}' must be narrower than the image, got {fwhm:g} arcsec, but the image "
                f'has {image.shape[1]} x {image.shape[0]} pixels of '
                f'{image.pixel_scale.value:g} arcsec; give the width in arcsec'
            )
            raise ValueError(msg)
        estimator = BackgroundEstimator(image, psf_pixels=pixels)
        return View(
            fwhm=fwhm,
            pixels=pixels,
            counts=estimator.counts,
            background=estimator.first(),
            estimator=estimator,
            suspect=suspect_places(image, psf_pixels=pixels),
            assumed=width is None,
        )

    def threshold_for(self, image, view, n_scales):
        """
        Return the threshold in sigma that the settings mean for an image.

        Parameters
        ----------
        image : XrayImage
            Gives the exposed area.
        view : View
            From `view`.
        n_scales : int
            Number of scales that are searched.

        Returns
        -------
        threshold : float
            At which noise makes as many sources as asked, or the one that was asked for.
        """
        if self.false_alarms is None:
            return self.threshold
        n_places = places_of(view.background, image.valid, view.scale, n_scales)
        return threshold_of(self.false_alarms, n_places)

    @staticmethod
    def finished(catalog, view):
        """
        Return a catalogue with what is to be said of the background map and the PSF.

        Parameters
        ----------
        catalog : CandidateCatalog
            Of an image.
        view : View
            From `view`.

        Returns
        -------
        catalog : CandidateCatalog
            With the flags set.
        """
        if view.assumed and len(catalog):
            # what was assumed is not known
            catalog = catalog.with_columns(psf_fwhm=np.full(len(catalog), np.nan, np.float32))
        if view.suspect is None or not len(catalog):
            return catalog
        ny, nx = view.suspect.shape
        column = np.clip(np.rint(np.asarray(catalog['x'])).astype(int), 0, nx - 1)
        row = np.clip(np.rint(np.asarray(catalog['y'])).astype(int), 0, ny - 1)
        bit = np.where(view.suspect[row, column], int(CandidateFlag.BACKGROUND_SUSPECT), 0)
        return catalog.with_columns(flags=np.asarray(catalog['flags']) | bit.astype(np.int32))

    def provenance(self, view, threshold, dark):
        """
        Return what a catalogue remembers of its finder.

        Parameters
        ----------
        view : View
            From `view`.
        threshold : float
            In sigma, as it was used.
        dark : float
            Part of the image that was taken for not exposed.

        Returns
        -------
        facts : dict
            For the table's meta data.
        """
        facts = {
            'finder': repr(self),
            'threshold_sigma': round(threshold, 4),
            'psf_fwhm_arcsec': view.fwhm,
            'dropped': {},
        }
        if dark > 0:
            facts['dark_frame_share'] = round(dark, 4)
        return facts | describe_psf(self.psf)
