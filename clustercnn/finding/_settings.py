# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What both finders make of their settings and an image before they look for sources.
"""

import dataclasses
import warnings

import numpy as np
from astropy.wcs.utils import proj_plane_pixel_scales

from clustercnn._utils.validation import check_angle, check_positive
from clustercnn.core import CandidateFlag
from clustercnn.exceptions import DataQualityWarning
from clustercnn.finding._false_alarms import places_of, threshold_of
from clustercnn.finding._psf_image import check_psf, describe_psf
from clustercnn.finding.background import BackgroundEstimator, suspect_places
from clustercnn.io.missions import psf_fwhm_of

__all__ = ['FinderSettings', 'View']

_DEFAULT_FWHM = 8.0
# in smaller pixels than both of these nothing more is seen, and stamps, which are of so many
# pixels, would hold little of a wide source
_PIXELS_A_WIDTH = 2.5
_COARSEST = 3.75  # arcsec
_FEWEST_PIXELS = 16
_MOST_OBLONG = 1.1


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
    binned : int
        How many pixels of the image that was given became one, along each side.
    """

    fwhm: float
    pixels: float
    counts: np.ndarray
    background: np.ndarray
    estimator: BackgroundEstimator
    suspect: np.ndarray | None = None
    assumed: bool = False
    binned: int = 1

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
        Width of the PSF; by default that of the image or of its mission, else 8 arcsec.
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

    def _width(self, image):
        """
        Return the width of the PSF in arcsec, and whether nobody has said it.
        """
        known = (
            None if self.psf is None else self.psf.fwhm,
            self.psf_fwhm,
            image.psf_fwhm,
            psf_fwhm_of(image.mission, {'INSTRUME': image.instrument}),
        )
        for width in known:
            if width is not None:
                return float(width.value), False
        return _DEFAULT_FWHM, True

    def binned(self, image):
        """
        Return an image whose pixels are no finer than is of use.

        Parameters
        ----------
        image : XrayImage
            The image.

        Returns
        -------
        image : XrayImage
            The same, or binned.
        factor : int
            How many pixels along each side became one.
        """
        sides = proj_plane_pixel_scales(image.wcs) * 3600
        if max(sides) > _MOST_OBLONG * min(sides):
            warnings.warn(
                f'pixels of {sides[0]:g} x {sides[1]:g} arcsec are not square, as the finders take '
                f'them to be: round sources are not round in them, and may be split; make the '
                f'image again in square ones',
                DataQualityWarning,
                stacklevel=3,
            )
        useful = min(self._width(image)[0] / _PIXELS_A_WIDTH, _COARSEST)
        factor = int(useful / image.pixel_scale.value)
        # something must be left to look for sources in
        factor = max(min(factor, min(image.shape) // _FEWEST_PIXELS), 1)
        return image.binned(factor), factor

    def view(self, image, *, binned=1):
        """
        Return counts, background and PSF of an image.

        Parameters
        ----------
        image : XrayImage
            The image.
        binned : int, optional
            How many pixels of the image that was given became one, along each side.

        Returns
        -------
        view : View
            What to search.

        Raises
        ------
        ValueError
            If the PSF is wider than the image.
        """
        fwhm, assumed = self._width(image)
        pixels = fwhm / image.pixel_scale.value
        if pixels > max(image.shape):
            name = 'psf_fwhm' if self.psf is None else 'psf'
            how = 'is assumed to have' if assumed else 'has'
            msg = (
                f"'{name}' must be narrower than the image: the PSF {how} {fwhm:g} arcsec, the "
                f'image {image.shape[1]} x {image.shape[0]} pixels of '
                f'{image.pixel_scale.value:g} arcsec; give the width in arcsec, or a larger image'
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
            assumed=assumed,
            binned=binned,
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
            With the flags set, and positions in the pixels that were given.
        """
        if view.assumed and len(catalog):
            # what was assumed is not known
            catalog = catalog.with_columns(psf_fwhm=np.full(len(catalog), np.nan, np.float32))
        if view.suspect is not None and len(catalog):
            catalog = _with_suspects(catalog, view.suspect)
        if view.binned > 1 and len(catalog):
            catalog = catalog.with_columns(
                **{name: _unbinned(np.asarray(catalog[name]), view.binned) for name in 'xy'}
            )
        return catalog

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
        if view.binned > 1:
            facts['binned'] = view.binned
        if dark > 0:
            facts['dark_frame_share'] = round(dark, 4)
        return facts | describe_psf(self.psf)


def _with_suspects(catalog, suspect):
    """
    Return a catalogue whose sources are flagged where the background map holds sources itself.
    """
    ny, nx = suspect.shape
    column = np.clip(np.rint(np.asarray(catalog['x'])).astype(int), 0, nx - 1)
    row = np.clip(np.rint(np.asarray(catalog['y'])).astype(int), 0, ny - 1)
    bit = np.where(suspect[row, column], int(CandidateFlag.BACKGROUND_SUSPECT), 0)
    return catalog.with_columns(flags=np.asarray(catalog['flags']) | bit.astype(np.int32))


def _unbinned(place, factor):
    """
    Return places in pixels of which so many had become one.
    """
    return place * factor + (factor - 1) / 2
