# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a cutout is: one candidate in several bands, each on its own pixel grid.
"""

import dataclasses
from typing import ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.registry import UnifiedReadWriteMethod
from astropy.wcs import WCS

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import check_angle, check_image, lock
from clustercnn.core.connect import make_reader, make_writer

__all__ = ['Band', 'MultiBandCutout', 'tangent_wcs']


def tangent_wcs(position, pixel_scale, shape):
    """
    Return the WCS of a north-up tangential grid round a position.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord`
        Scalar position of the middle of the grid.
    pixel_scale : `~astropy.units.Quantity`
        Side of a pixel.
    shape : 2-tuple of int
        ``(ny, nx)``.

    Returns
    -------
    wcs : `~astropy.wcs.WCS`
        East is left; the position falls on pixel ``((nx - 1) / 2, (ny - 1) / 2)``.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> import astropy.units as u
    >>> from clustercnn.core import tangent_wcs
    >>> wcs = tangent_wcs(SkyCoord(10, 20, unit='deg'), 4 * u.arcsec, (64, 64))
    >>> wcs.pixel_to_world(31.5, 31.5).to_string()
    '10 20'
    """
    ny, nx = shape
    step = check_angle('pixel_scale', pixel_scale).to_value(u.deg)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.cunit = ['deg', 'deg']
    wcs.wcs.cdelt = [-step, step]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.crval = [position.icrs.ra.deg, position.icrs.dec.deg]
    wcs.wcs.radesys = 'ICRS'
    wcs.array_shape = (ny, nx)
    return wcs


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Band:
    """
    One band of one cutout.

    Parameters
    ----------
    name : str
        Such as ``'xray'``, ``'optical'``, ``'g'``.
    data : 2D `~numpy.ndarray`
        Shape ``(ny, nx)``, kept as float32.
    pixel_scale : `~astropy.units.Quantity`
        Side of a pixel.
    unit : `~astropy.units.Unit`, optional
        Unit of the data.
    wcs : `~astropy.wcs.WCS`, optional
        World coordinates of this band's own grid.
    mask : 2D `~numpy.ndarray` of bool, optional
        True marks bad pixels and those off the image.
    exposure, background : 2D `~numpy.ndarray`, optional
        On the same grid; the background in the unit of the data.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the point spread function here.

    Raises
    ------
    ValueError
        If shapes differ, the WCS is not celestial, or an unmasked value is not finite.

    Examples
    --------
    >>> import numpy as np, astropy.units as u
    >>> from clustercnn import Band
    >>> band = Band(name='xray', data=np.ones((8, 8)), pixel_scale=4 * u.arcsec, unit=u.ct)
    >>> band.coverage
    1.0
    """

    name: str
    data: np.ndarray
    pixel_scale: u.Quantity
    unit: u.UnitBase = u.dimensionless_unscaled
    wcs: WCS | None = None
    mask: np.ndarray | None = None
    exposure: np.ndarray | None = None
    background: np.ndarray | None = None
    psf_fwhm: u.Quantity | None = None

    def __post_init__(self):
        put = object.__setattr__
        put(self, 'name', _band_name(self.name))
        data = check_image('data', self.data)
        mask = np.zeros(data.shape, bool) if self.mask is None else self.mask
        mask = check_image('mask', mask, dtype=bool, shape=data.shape)
        put(self, 'data', _finite(f"band '{self.name}'", data, mask))
        put(self, 'mask', mask)
        for name in ('exposure', 'background'):
            plane = check_image(name, getattr(self, name), shape=data.shape, optional=True)
            put(self, name, _finite(f"{name} of band '{self.name}'", plane, mask))
        if self.wcs is not None:
            if not isinstance(self.wcs, WCS) or not self.wcs.has_celestial:
                msg = f"'wcs' must be a celestial astropy WCS, got {type(self.wcs).__name__}"
                raise ValueError(msg)
            # a copy: a WCS can be changed by whoever holds it
            put(self, 'wcs', self.wcs.deepcopy())
        put(self, 'pixel_scale', check_angle('pixel_scale', self.pixel_scale))
        put(self, 'psf_fwhm', check_angle('psf_fwhm', self.psf_fwhm, optional=True))
        put(self, 'unit', u.Unit(self.unit))

    def __setstate__(self, state):
        _restore(self, state)

    @property
    def shape(self):
        """
        Number of rows and columns.
        """
        return self.data.shape

    @property
    def coverage(self):
        """
        Fraction of the pixels that are not masked.
        """
        return float(1.0 - self.mask.mean()) if self.mask.size else 0.0

    def replace(self, **changes):
        """
        Return a copy with other values.

        Parameters
        ----------
        **changes
            New values by attribute name.

        Returns
        -------
        band : Band
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def _facts(self):
        ny, nx = self.shape
        return [
            ('name', self.name),
            ('size', f'{nx} x {ny} pixels of {self.pixel_scale.value:.3g} arcsec'),
            ('unit', self.unit.to_string() or 'none'),
            ('coverage', f'{self.coverage:.0%}'),
            ('exposure', 'none' if self.exposure is None else f'up to {self.exposure.max():.4g}'),
            ('background', 'none' if self.background is None else 'given'),
        ]

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MultiBandCutout:
    """
    One candidate seen in several bands.

    Parameters
    ----------
    id : str
        Identifier of the candidate.
    bands : dict of str to Band, or iterable of Band
        The bands; each keeps its own grid, WCS, unit and mask.
    position : `~astropy.coordinates.SkyCoord`, optional
        Scalar sky position.
    features : dict of str to float, optional
        The finder's numbers for this candidate.

    Raises
    ------
    ValueError
        If there is no band, or two have one name.

    Examples
    --------
    >>> from clustercnn.testing import tiny_stack
    >>> cutout = tiny_stack()[0]
    >>> cutout.band_names, cutout['optical'].shape
    (('xray', 'optical'), (32, 32))
    """

    id: str
    bands: dict
    position: SkyCoord | None = None
    features: dict = dataclasses.field(default_factory=dict)

    read: ClassVar = UnifiedReadWriteMethod(make_reader('Read a cutout.'))
    write: ClassVar = UnifiedReadWriteMethod(make_writer('Write a cutout.'))

    def __post_init__(self):
        put = object.__setattr__
        put(self, 'id', str(self.id))
        bands = list(self.bands.values() if isinstance(self.bands, dict) else self.bands)
        if not bands:
            msg = f"cutout '{self.id}' has no band; at least one is needed"
            raise ValueError(msg)
        for band in bands:
            if not isinstance(band, Band):
                msg = f"'bands' must hold Band objects, got {type(band).__name__}"
                raise TypeError(msg)
        names = [band.name for band in bands]
        if len(set(names)) != len(names):
            msg = f'the names of the bands must differ, got {names}'
            raise ValueError(msg)
        put(self, 'bands', ReadOnlyDict(zip(names, bands, strict=True)))
        if self.position is not None:
            if not isinstance(self.position, SkyCoord) or not self.position.isscalar:
                msg = f"'position' must be one SkyCoord, got {self.position!r}"
                raise TypeError(msg)
            put(self, 'position', self.position.icrs)
        features = {str(name): float(value) for name, value in self.features.items()}
        put(self, 'features', ReadOnlyDict(features))

    @property
    def band_names(self):
        """
        Names of the bands, tuple of str.
        """
        return tuple(self.bands)

    def __getitem__(self, name):
        if name not in self.bands:
            msg = f"there is no band '{name}'; there are {', '.join(self.bands)}"
            raise KeyError(msg)
        return self.bands[name]

    def __len__(self):
        return len(self.bands)

    def __iter__(self):
        return iter(self.bands.values())

    def replace(self, **changes):
        """
        Return a copy with other values.

        Parameters
        ----------
        **changes
            New values by attribute name.

        Returns
        -------
        cutout : MultiBandCutout
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def _facts(self):
        where = 'none' if self.position is None else self.position.to_string('hmsdms', precision=1)
        facts = [('id', self.id), ('position', where)]
        for band in self:
            ny, nx = band.shape
            scale = band.pixel_scale.value
            facts.append(
                (f'band {band.name}', f'{nx} x {ny} of {scale:.3g} arcsec, {band.coverage:.0%}')
            )
        return facts

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


def _band_name(name):
    known = isinstance(name, str) and all(c.isalnum() or c in '_-.' for c in name)
    if not known or not name.strip('.'):
        msg = (
            f"the name of a band must be letters, digits, '_', '-' or '.', and more than dots, got "
            f'{name!r}; it becomes the name of a dataset in files'
        )
        raise ValueError(msg)
    return name


def _finite(what, data, mask):
    """
    Return planes that are finite throughout, 0 below the mask, or say where they are not.
    """
    if data is None:
        return None
    finite = np.isfinite(data)
    if finite.all():
        return data
    wrong = ~finite & ~mask
    if wrong.any():
        *index, row, column = np.argwhere(wrong)[0]
        where = f'in cutout {index[0]} ' if index else ''
        msg = (
            f'{what} has {wrong.sum()} values that are not finite, the first {where}at '
            f'(x, y) = ({column}, {row}); mask them'
        )
        raise ValueError(msg)
    return lock(np.where(finite, data, np.float32(0)))


def _restore(instance, state):
    """
    Set the state of a frozen object; pickling drops the read-only mark of arrays.
    """
    for name, value in state.items():
        object.__setattr__(instance, name, lock(value) if isinstance(value, np.ndarray) else value)
