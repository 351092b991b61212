# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fits with an image of the point spread function in place of a King profile.
"""

import functools

import numpy as np
from scipy import interpolate

from clustercnn.core import PsfImage
from clustercnn.finding._fitter import SourceFitter
from clustercnn.finding._profiles import TemplateBank

__all__ = ['ImageFitter', 'ImageShape', 'check_psf', 'describe_psf', 'source_fitter']

# between two off-axis angles the images are mixed in so many steps
_STEPS = 4
# samples of the PSF along a pixel beyond which more add nothing
_FINEST = 8


class ImageShape:
    """
    The PSF at one place, from its image: what any square of the sky sees of it.

    The light below and to the left of every point is interpolated with cubic splines; what
    a pixel of any size and place sees is then the sum of four values, and no light is lost.

    Parameters
    ----------
    images : list of (float, 2D `~numpy.ndarray`, 2-tuple of float)
        Weight, values, and column and row of the centre.
    step : float
        Size of their pixels in pixels of the X-ray image.
    reach : float
        Where the PSF ends, in pixels of the X-ray image.
    """

    def __init__(self, images, *, step, reach):
        # every so many pixels, where they are much finer than needed
        every = max(1, int(1 / (_FINEST * step)))
        half = int(np.ceil(reach / (step * every))) + 2
        self._splines = [], [], []
        for weight, image, (x, y) in images:
            ny, nx = image.shape
            squared = (np.arange(nx) - x) ** 2 + (np.arange(ny) - y)[:, None] ** 2
            inside = np.where(squared <= (reach / step) ** 2, image, 0)
            edges, lights = [], np.pad(inside, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
            for axis, (size, centre) in enumerate(((ny, y), (nx, x))):
                # number of an edge is that of the pixel behind it; beyond the image all is dark
                middle = round(centre)
                wanted = middle + every * np.arange(-half, half + 1)
                wanted = wanted[(wanted > -3 * every) & (wanted < size + 3 * every)]
                lights = np.take(lights, np.clip(wanted, 0, size), axis=axis)
                edges.append((wanted - 0.5 - centre) * step)
            lights *= weight / lights[-1, -1]
            spline = interpolate.RectBivariateSpline(*edges, lights, s=0)
            # as it is, and its change along x and y
            for number, orders in enumerate(((0, 0), (0, 1), (1, 0))):
                self._splines[number].append(spline.partial_derivative(*orders))

    def _between(self, number, rows, columns):
        """
        Return what lies between each four corners.
        """
        corners = sum(spline(rows, columns) for spline in self._splines[number])
        return np.diff(np.diff(corners, axis=0), axis=1)

    def squares(self, offsets):
        """
        Return what the squares of a grid see.

        Parameters
        ----------
        offsets : 1D `~numpy.ndarray`
            Of their centres along each axis, from the source, rising and evenly spaced.

        Returns
        -------
        image : 2D `~numpy.ndarray`
            Of a point source of one count.
        """
        step = offsets[1] - offsets[0]
        edges = np.append(offsets - step / 2, offsets[-1] + step / 2)
        # where the PSF has a sharp edge the splines swing a little below nothing
        return np.maximum(self._between(0, edges, edges), 0)

    def image(self, dx, dy, response):
        """
        Return what pixels see of a point source of one count, and its slopes.

        Parameters
        ----------
        dx : 1D `~numpy.ndarray`
            Columns, from the source.
        dy : 1D `~numpy.ndarray`
            Rows, from the source.
        response : 2D `~numpy.ndarray`
            Relative exposure of these pixels.

        Returns
        -------
        planes : 3D `~numpy.ndarray`
            The image, and its change as the source moves along x and along y.
        """
        columns, rows = (np.append(place - 0.5, place[-1] + 0.5) for place in (dx, dy))
        image = np.maximum(self._between(0, rows, columns), 0)
        slopes = (-self._between(number, rows, columns) for number in (1, 2))
        return np.stack([image, *slopes]) * response


@functools.lru_cache(maxsize=16)
def _shape(psf, step, scale, reach):
    """
    Return the shape of a PSF at a step between its off-axis angles.
    """
    number, part = divmod(step, _STEPS)
    share = part / _STEPS
    parts = [(1 - share, number)] + ([(share, number + 1)] if part else [])
    images = [(weight, psf.images[k], tuple(psf.centres[k])) for weight, k in parts]
    return ImageShape(images, step=psf.pixel_scale.value / scale, reach=reach)


@functools.lru_cache(maxsize=8)
def _bank(psf, step, scale, radii, half):
    """
    Return a bank of templates, that made before for the same arguments if there is one.
    """
    shape = _shape(psf, step, scale, half + 1)
    return TemplateBank(np.array(radii), half=half, point=shape.squares)


class ImageFitter(SourceFitter):
    """
    Fits sources behind a PSF that is known as an image.

    Parameters
    ----------
    image : XrayImage
        Gives exposure and pixel size.
    psf : PsfImage
        The PSF; one of a single off-axis angle is the same everywhere.
    """

    def __init__(self, image, *, psf):
        super().__init__(image, psf_fwhm=float(psf.fwhm.value))
        self._psf = psf
        self._scale = float(image.pixel_scale.value)
        self._angles = psf.off_axis.value * 60 / self._scale
        self._widths = psf.widths.value / self._scale

    def _step(self, x, y):
        distance = np.hypot(x - self.axis[0], y - self.axis[1])
        place = np.interp(distance, self._angles, np.arange(len(self._angles)))
        return round(_STEPS * float(place))

    def _bank(self, step):
        if step not in self._banks:
            fwhm = float(np.interp(step / _STEPS, np.arange(len(self._widths)), self._widths))
            radii = self._radii(max(fwhm, 1.5))
            bank = _bank(self._psf, step, self._scale, tuple(radii.tolist()), 2 * self.half)
            self._banks[step] = bank, radii, fwhm
        return self._banks[step]

    def _point(self, x, y):
        return _shape(self._psf, self._step(x, y), self._scale, 2 * self.half + 1)


def source_fitter(image, *, psf_fwhm=None, psf=None):
    """
    Return what fits the sources of an image.

    Parameters
    ----------
    image : XrayImage
        The image.
    psf_fwhm : float, optional
        Width of a King profile on axis, in arcsec.
    psf : PsfImage, optional
        The PSF itself, which goes before its width.

    Returns
    -------
    fitter : SourceFitter
        For this image.
    """
    if psf is not None:
        return ImageFitter(image, psf=check_psf(psf))
    if psf_fwhm is None:
        msg = "'psf_fwhm' or 'psf' must be given, got neither"
        raise TypeError(msg)
    return SourceFitter(image, psf_fwhm=psf_fwhm)


def check_psf(psf, psf_fwhm=None):
    """
    Return the image of a PSF, or refuse what is none.

    Parameters
    ----------
    psf : PsfImage or None
        The argument.
    psf_fwhm : object, optional
        The other argument, which excludes this one.

    Returns
    -------
    psf : PsfImage or None
        Unchanged.
    """
    if psf is None:
        return None
    if not isinstance(psf, PsfImage):
        msg = (
            f"'psf' must be a PsfImage, as clustercnn.io.read_psf makes it, got "
            f'{type(psf).__name__}'
        )
        raise TypeError(msg)
    if psf_fwhm is not None:
        msg = "give 'psf' or 'psf_fwhm', not both: the width of an image is measured from it"
        raise ValueError(msg)
    return psf


def describe_psf(psf):
    """
    Return what a catalogue remembers of the image of a PSF.

    Parameters
    ----------
    psf : PsfImage or None
        The image.

    Returns
    -------
    facts : dict
        For the table's meta data; empty without an image.
    """
    return {} if psf is None else {'psf_image': str(psf.meta.get('path', 'not from a file'))}
