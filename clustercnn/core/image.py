# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What an X-ray image is: counts on the sky with exposure and background.
"""

import dataclasses
from typing import ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.registry import UnifiedReadWriteMethod
from astropy.wcs import WCS, Sip
from astropy.wcs.utils import proj_plane_pixel_scales

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import (
    check_angle,
    check_image,
    check_one_of,
    check_whole,
    lock,
)
from clustercnn.core.connect import make_reader, make_writer
from clustercnn.core.flags import decode_flags

__all__ = ['XrayImage', 'block_sums', 'pixel_scale_of']


def pixel_scale_of(wcs):
    """
    Return the size of a pixel.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        Celestial and two-dimensional.

    Returns
    -------
    scale : `~astropy.units.Quantity`
        Geometric mean of both sides at the reference pixel, in arcsec.

    Examples
    --------
    >>> from clustercnn.core import pixel_scale_of
    >>> from clustercnn.testing import tiny_wcs
    >>> pixel_scale_of(tiny_wcs(pixel_scale=4.0))
    <Quantity 4. arcsec>
    """
    scales = proj_plane_pixel_scales(wcs)
    return u.Quantity(round(float(np.sqrt(np.prod(scales))) * 3600.0, 9), u.arcsec)


def _binned_wcs(wcs, factor, shape):
    """
    Return where pixels lie of which each was so many along a side.

    Steps through a WCS by a slice, as astropy offers them, only change CDELT, which a CD matrix
    overrides, and leave SIP polynomials as they are.
    """
    binned = wcs.deepcopy()
    binned.wcs.crpix = (wcs.wcs.crpix - 0.5) / factor + 0.5
    if wcs.wcs.has_cd():
        binned.wcs.cd = wcs.wcs.cd * factor
    else:
        binned.wcs.cdelt = wcs.wcs.cdelt * factor
    if wcs.sip is not None:
        tables = (wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp)
        crpix = (wcs.sip.crpix - 0.5) / factor + 0.5
        binned.sip = Sip(*(_binned_polynomial(table, factor) for table in tables), crpix)
    binned.wcs.set()
    binned.array_shape = shape
    return binned


def _binned_polynomial(table, factor):
    """
    Return the coefficients of a SIP polynomial of offsets in larger pixels.

    Shupe et al. 2005, ASP Conf. Ser. 347, 491, eq. 1: term p, q multiplies u^p v^q.
    """
    if table is None:
        return None
    order = np.add.outer(*(np.arange(size) for size in table.shape))
    return table * float(factor) ** (order - 1)


def block_sums(plane, factor):
    """
    Return the sums over square blocks of pixels, those at the upper edges as far as they go.

    Parameters
    ----------
    plane : 2D `~numpy.ndarray`
        Any numbers, shape ``(ny, nx)``.
    factor : int or 2-tuple of int
        Pixels along each side of a block, rows first.

    Returns
    -------
    sums : 2D `~numpy.ndarray`
        Float64, shape ``(ceil(ny / factor), ceil(nx / factor))``.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.core.image import block_sums
    >>> block_sums(np.ones((4, 5)), 2)
    array([[4., 4., 2.],
           [4., 4., 2.]])
    """
    steps = np.broadcast_to(factor, 2)
    rows, columns = (np.arange(0, *one) for one in zip(plane.shape, steps, strict=True))
    sums = np.add.reduceat(plane, rows, axis=0, dtype=np.float64)
    return np.add.reduceat(sums, columns, axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class XrayImage:
    """
    Counts of an X-ray telescope on the sky, with what is known beside them.

    Parameters
    ----------
    counts : 2D `~numpy.ndarray`
        Counts per pixel, shape ``(ny, nx)``, kept as float32. Must not be negative;
        must be finite where not masked.
    wcs : `~astropy.wcs.WCS`
        Celestial, two-dimensional.
    exposure : 2D `~numpy.ndarray`, optional
        Exposure on the same grid, 0 where the sky was not seen. None: unknown,
        treated as flat.
    exposure_unit : `~astropy.units.Unit`, optional
        Seconds, or cm2 s where the map includes the effective area.
    background : 2D `~numpy.ndarray`, optional
        Expected background counts per pixel.
    mask : 2D `~numpy.ndarray` of bool, optional
        True marks bad pixels. Their counts are set to 0.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Full width at half maximum of the point spread function on axis.
    energy_band : 2 `~astropy.units.Quantity`, optional
        Lower and upper energy.
    mission, instrument : str, optional
        Where the image comes from; ``'generic'`` if not known.
    flags : int, optional
        Bits of `~clustercnn.core.CandidateFlag` that hold for every source in the image.
    meta : dict, optional
        Provenance: path, HDU, notes of the reader.

    Raises
    ------
    ValueError
        If shapes differ, the WCS is not celestial, or values are impossible.

    Examples
    --------
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> image.shape, image.pixel_scale
    ((64, 64), <Quantity 4. arcsec>)
    >>> image[10:30, 20:60].shape
    (20, 40)
    """

    counts: np.ndarray
    wcs: WCS
    exposure: np.ndarray | None = None
    exposure_unit: u.UnitBase = u.s
    background: np.ndarray | None = None
    mask: np.ndarray | None = None
    psf_fwhm: u.Quantity | None = None
    energy_band: tuple | None = None
    mission: str = 'generic'
    instrument: str = ''
    flags: int = 0
    meta: dict = dataclasses.field(default_factory=dict)

    read: ClassVar = UnifiedReadWriteMethod(make_reader('Read an X-ray image.'))
    write: ClassVar = UnifiedReadWriteMethod(make_writer('Write an X-ray image.'))

    def __post_init__(self):
        put = object.__setattr__
        counts = check_image('counts', self.counts)
        if 0 in counts.shape:
            msg = f"'counts' must have at least one pixel, got shape {counts.shape}"
            raise ValueError(msg)
        mask = self.mask
        mask = (
            lock(np.zeros(counts.shape, bool))
            if mask is None
            else check_image('mask', mask, dtype=bool, shape=counts.shape)
        )
        wrong = ~np.isfinite(counts) & ~mask
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            msg = (
                f"'counts' has {wrong.sum()} values that are not finite, the first at "
                f'(x, y) = ({column}, {row}); mask them'
            )
            raise ValueError(msg)
        negative = (counts < 0) & ~mask
        if negative.any():
            row, column = np.argwhere(negative)[0]
            msg = (
                f"'counts' has {negative.sum()} negative values, the first "
                f'{counts[row, column]:g} at (x, y) = ({column}, {row}); '
                f'counts cannot be negative: is a background subtracted?'
            )
            raise ValueError(msg)
        if mask.any():
            counts = np.where(mask, np.float32(0), counts)
        put(self, 'counts', lock(counts))
        put(self, 'mask', mask)
        for name in ('exposure', 'background'):
            plane = check_image(name, getattr(self, name), shape=counts.shape, optional=True)
            if plane is not None and not (np.isfinite(plane).all() and (plane >= 0).all()):
                msg = f"'{name}' must be finite and not negative everywhere"
                raise ValueError(msg)
            put(self, name, plane)
        if not isinstance(self.wcs, WCS) or not self.wcs.has_celestial:
            msg = f"'wcs' must be a celestial astropy WCS, got {type(self.wcs).__name__}"
            raise ValueError(msg)
        # a copy: a WCS can be changed by whoever holds it
        put(self, 'wcs', self.wcs.deepcopy() if self.wcs.naxis == 2 else self.wcs.celestial)
        unit = u.Unit(self.exposure_unit)
        check_one_of('exposure_unit', unit, (u.Unit('s'), u.Unit('cm2 s')))
        put(self, 'exposure_unit', unit)
        put(self, 'psf_fwhm', check_angle('psf_fwhm', self.psf_fwhm, optional=True))
        if self.energy_band is not None:
            try:
                low, high = (u.Quantity(edge).to(u.keV) for edge in self.energy_band)
                rising = bool(0 <= low < high)
            except (TypeError, ValueError):
                rising = False
            if not rising:
                msg = f"'energy_band' must be two rising energies, got {self.energy_band}"
                raise ValueError(msg)
            put(self, 'energy_band', (low, high))
        decode_flags(self.flags)
        put(self, 'flags', int(self.flags))
        put(self, 'meta', ReadOnlyDict(self.meta))

    def __setstate__(self, state):
        # pickling drops the read-only mark of arrays
        for name, value in state.items():
            object.__setattr__(self, name, lock(value) if isinstance(value, np.ndarray) else value)

    @property
    def shape(self):
        """
        Number of rows and columns.
        """
        return self.counts.shape

    @property
    def pixel_scale(self):
        """
        Size of a pixel as a `~astropy.units.Quantity` in arcsec.
        """
        return pixel_scale_of(self.wcs)

    @property
    def valid(self):
        """
        Pixels that are exposed and not masked, 2D `~numpy.ndarray` of bool.
        """
        valid = ~self.mask
        return valid if self.exposure is None else valid & (self.exposure > 0)

    @property
    def n_counts(self):
        """
        Sum of the counts.
        """
        return float(self.counts.sum(dtype=np.float64))

    @property
    def center(self):
        """
        Sky position of the middle of the image.
        """
        ny, nx = self.shape
        return self.pixel_to_sky((nx - 1) / 2, (ny - 1) / 2)

    def pixel_to_sky(self, x, y):
        """
        Return sky positions.

        Parameters
        ----------
        x, y : float or array-like
            Pixel coordinates from 0, pixel centres on integers.

        Returns
        -------
        positions : `~astropy.coordinates.SkyCoord`
            In ICRS.
        """
        sky = self.wcs.pixel_to_world(x, y)
        # frames such as FK5 and Galactic are turned into the catalogue's ICRS
        return SkyCoord(sky.icrs)

    def sky_to_pixel(self, positions):
        """
        Return pixel coordinates.

        Parameters
        ----------
        positions : `~astropy.coordinates.SkyCoord`
            Sky positions in any frame.

        Returns
        -------
        x, y : `~numpy.ndarray`
            Pixel coordinates from 0.
        """
        return self.wcs.world_to_pixel(positions)

    def replace(self, **changes):
        """
        Return a copy with other values.

        Parameters
        ----------
        **changes
            New values by attribute name.

        Returns
        -------
        image : XrayImage
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def __getitem__(self, item):
        if (
            not isinstance(item, tuple)
            or len(item) != 2
            or not all(isinstance(part, slice) for part in item)
            or any(part.step not in (None, 1) for part in item)
        ):
            msg = f'an image is cut with two plain slices, image[y0:y1, x0:x1], got {item!r}'
            raise TypeError(msg)
        changes = {
            name: None if getattr(self, name) is None else getattr(self, name)[item]
            for name in ('counts', 'exposure', 'background', 'mask')
        }
        starts = [slice(*part.indices(size)) for part, size in zip(item, self.shape, strict=True)]
        return self.replace(wcs=self.wcs[starts[0], starts[1]], **changes)

    def binned(self, factor):
        """
        Return the image in larger pixels.

        Parameters
        ----------
        factor : int
            How many pixels along each side become one.

        Returns
        -------
        image : XrayImage
            Sums of counts and background, means of the exposure, in which what is masked or
            beyond the edge counts as not exposed. Without exposure map, pixels of which half or
            more is masked are masked. ``meta['binned']`` tells the factor.

        Raises
        ------
        ValueError
            If the factor is no whole number of at least 1.

        Examples
        --------
        >>> from clustercnn.testing import tiny_image
        >>> image = tiny_image()
        >>> binned = image.binned(2)
        >>> binned.shape, binned.pixel_scale, binned.n_counts == image.n_counts
        ((32, 32), <Quantity 8. arcsec>, True)
        """
        factor = check_whole('factor', factor)
        if factor == 1:
            return self
        seen = ~self.mask
        covered = block_sums(seen, factor) / factor**2
        changes = {'counts': block_sums(self.counts, factor)}
        if self.background is not None:
            changes['background'] = block_sums(self.background * seen, factor)
        if self.exposure is None:
            changes['mask'] = covered <= 0.5
        else:
            changes['exposure'] = block_sums(self.exposure * seen, factor) / factor**2
            changes['mask'] = covered == 0
        changes['meta'] = {**self.meta, 'binned': factor * self.meta.get('binned', 1)}
        return self.replace(wcs=_binned_wcs(self.wcs, factor, changes['counts'].shape), **changes)

    def _facts(self):
        ny, nx = self.shape
        band = (
            'not stated'
            if self.energy_band is None
            else f'{self.energy_band[0].value:g}-{self.energy_band[1].value:g} keV'
        )
        exposure = 'none'
        if self.exposure is not None:
            exposure = f'up to {self.exposure.max():.4g} {self.exposure_unit}'
        facts = [
            ('mission', f'{self.mission} {self.instrument}'.strip()),
            ('size', f'{nx} x {ny} pixels of {self.pixel_scale.value:.3g} arcsec'),
            ('centre', self.center.to_string('hmsdms', precision=0)),
            ('energy band', band),
            ('counts', f'{self.n_counts:.0f}'),
            ('exposure', exposure),
            ('background map', 'none' if self.background is None else 'given'),
            ('masked pixels', int(self.mask.sum())),
            ('PSF FWHM', 'not stated' if self.psf_fwhm is None else f'{self.psf_fwhm:.3g}'),
        ]
        if 'path' in self.meta:
            facts.insert(0, ('file', self.meta['path']))
        return facts

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())
