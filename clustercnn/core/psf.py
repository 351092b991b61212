# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What an image of a point spread function is.
"""

import dataclasses

import astropy.units as u
import numpy as np

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import check_angle, check_image, lock

__all__ = ['PsfImage']

# steps within which half of the maximum is looked for, in the largest radius above it
_FINE_STEPS = 12
# pixels beside the part of an image that is refined, so that its ends do no harm
_MARGIN = 4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PsfImage:
    """
    Images of a point source as a telescope makes them, at one or several off-axis angles.

    Parameters
    ----------
    images : 2D or 3D `~numpy.ndarray`
        Shape ``(ny, nx)``, or ``(n_angles, ny, nx)``; the latter is kept, as float64, each
        image with the sum 1. Must be finite and not negative. The axes are those of the X-ray
        images that the PSF belongs to.
    pixel_scale : `~astropy.units.Quantity`
        Size of the square pixels.
    off_axis : 1D `~astropy.units.Quantity`, optional
        Angle of each image, rising; 0 by default. Only one image may go without.
    meta : dict, optional
        Provenance: path, HDU, notes of the reader.

    Raises
    ------
    ValueError
        If shapes differ or values are impossible.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from clustercnn.core import PsfImage
    >>> y, x = np.mgrid[-30:31, -30:31]
    >>> psf = PsfImage(images=np.exp(-(x**2 + y**2) / 18), pixel_scale=1 * u.arcsec)
    >>> psf.images.shape, psf.fwhm.round(2)
    ((1, 61, 61), <Quantity 7.04 arcsec>)
    """

    images: np.ndarray
    pixel_scale: u.Quantity
    off_axis: u.Quantity | None = None
    meta: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        put = object.__setattr__
        images = np.asarray(self.images)
        images = images[None] if images.ndim == 2 else images
        images = check_image('images', images, dtype=np.float64, n_dim=3)
        if 0 in images.shape:
            msg = f"'images' must have at least one pixel, got shape {images.shape}"
            raise ValueError(msg)
        if not (np.isfinite(images).all() and (images >= 0).all()):
            msg = "'images' must be finite and not negative everywhere"
            raise ValueError(msg)
        sums = images.sum(axis=(1, 2))
        if not (sums > 0).all():
            msg = "'images' must each have a pixel above 0"
            raise ValueError(msg)
        put(self, 'images', lock(images / sums[:, None, None]))
        put(self, 'pixel_scale', check_angle('pixel_scale', self.pixel_scale))
        put(self, 'off_axis', _check_off_axis(self.off_axis, len(images)))
        put(self, 'meta', ReadOnlyDict(self.meta))
        centres = np.array([_centroid(image) for image in self.images])
        put(self, '_centres', lock(centres))
        widths = [_width(*pair) for pair in zip(self.images, centres, strict=True)]
        put(self, '_widths', lock(np.array(widths)))

    def __setstate__(self, state):
        # pickling drops the read-only mark of arrays
        for name, value in state.items():
            object.__setattr__(self, name, lock(value) if type(value) is np.ndarray else value)

    @property
    def centres(self):
        """
        Column and row of the centroid of each image, `~numpy.ndarray` of shape (n_angles, 2).
        """
        return self._centres

    @property
    def widths(self):
        """
        Full width at half maximum at each off-axis angle, a `~astropy.units.Quantity` in arcsec.

        Twice the largest radius at which the mean of an image round its centroid is above
        half of the largest such mean.
        """
        return self._widths * self.pixel_scale

    @property
    def fwhm(self):
        """
        Full width at half maximum at the smallest off-axis angle in arcsec.
        """
        return self.widths[0]

    def replace(self, **changes):
        """
        Return a copy with other values.

        Parameters
        ----------
        **changes
            New values by attribute name.

        Returns
        -------
        psf : PsfImage
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def _facts(self):
        n_angles, ny, nx = self.images.shape
        facts = [
            ('size', f'{nx} x {ny} pixels of {self.pixel_scale.value:.3g} arcsec'),
            ('FWHM', ', '.join(f'{width:.3g}' for width in self.widths.value) + ' arcsec'),
        ]
        if n_angles > 1:
            angles = ', '.join(f'{angle:.3g}' for angle in self.off_axis.value)
            facts.append(('off-axis angles', f'{angles} arcmin'))
        if 'path' in self.meta:
            facts.insert(0, ('file', self.meta['path']))
        return facts

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


def _check_off_axis(off_axis, n_images):
    """
    Return rising angles in arcmin, one for each image.
    """
    if off_axis is None:
        if n_images > 1:
            msg = f"'off_axis' must give the angle of each of the {n_images} images, got None"
            raise ValueError(msg)
        off_axis = np.zeros(1) * u.arcmin
    if not isinstance(off_axis, u.Quantity):
        msg = f"'off_axis' must be angles with a unit, such as [0, 6] * u.arcmin, got {off_axis!r}"
        raise TypeError(msg)
    angles = np.atleast_1d(off_axis.to_value(u.arcmin)).astype(np.float64)
    if angles.shape != (n_images,):
        msg = f"'off_axis' must have one angle an image, {n_images}, got shape {angles.shape}"
        raise ValueError(msg)
    if not (np.isfinite(angles).all() and angles[0] >= 0 and (np.diff(angles) > 0).all()):
        msg = f"'off_axis' must be finite, at least 0 and rising, got {off_axis}"
        raise ValueError(msg)
    return u.Quantity(angles, u.arcmin)


def _centroid(image):
    ny, nx = image.shape
    total = image.sum()
    x = (image.sum(axis=0) * np.arange(nx)).sum() / total
    y = (image.sum(axis=1) * np.arange(ny)).sum() / total
    return float(x), float(y)


def _width(image, centre):
    """
    Return the full width at half maximum of the mean round a centre, in pixels.

    The part above half of the maximum is refined by its Fourier series, which also undoes
    the average over a pixel: right to a hundredth from 4 pixels on, to a tenth for 2.
    """
    x, y = centre
    rows, columns = np.nonzero(image >= 0.4 * image.max())
    reach = float(np.hypot(columns - x, rows - y).max()) + 1
    half = int(np.ceil(2 * reach)) + _MARGIN
    left, top = round(x) - half, round(y) - half
    padded = np.pad(image, half + 1)
    part = padded[top + half + 1 : top + 3 * half + 2, left + half + 1 : left + 3 * half + 2]
    zoom = int(np.clip(np.ceil(_FINE_STEPS / reach), 1, _FINE_STEPS))
    fine = _refine(part, zoom) if zoom > 1 else part
    ny, nx = fine.shape
    distance = np.hypot(np.arange(nx) / zoom + left - x, (np.arange(ny) / zoom + top - y)[:, None])
    # each ring takes from its neighbours what lies between their radii
    place = distance.ravel() * zoom
    ring = place.astype(int)
    share = place - ring
    n_rings = ring.max() + 2
    values = fine.ravel()
    weight = np.bincount(ring, 1 - share, n_rings) + np.bincount(ring + 1, share, n_rings)
    light = np.bincount(ring, (1 - share) * values, n_rings)
    light += np.bincount(ring + 1, share * values, n_rings)
    mean_place = np.bincount(ring, (1 - share) * place, n_rings)
    mean_place += np.bincount(ring + 1, share * place, n_rings)
    known = weight > 0
    radius = mean_place[known] / weight[known] / zoom
    profile = light[known] / weight[known]
    half_maximum = profile.max() / 2
    last = int(np.flatnonzero(profile >= half_maximum).max())
    if last == len(profile) - 1:
        return 2 * float(radius[-1])
    fall = (profile[last] - half_maximum) / (profile[last] - profile[last + 1])
    return 2 * float(radius[last] + fall * (radius[last + 1] - radius[last]))


def _refine(image, zoom):
    """
    Return the brightness that pixels are the mean of, at ``zoom`` places a pixel.
    """
    n = len(image)
    frequency = np.fft.fftfreq(n)
    transform = np.fft.fft2(image) / np.outer(np.sinc(frequency), np.sinc(frequency))
    # odd: no frequency stands for two
    places = np.arange((n - 1) * zoom + 1) / zoom
    waves = np.exp(2j * np.pi * places[:, None] * frequency)
    return (waves @ transform @ waves.T).real / n**2
