# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
One band of many cutouts of one geometry, as arrays.
"""

import dataclasses

import astropy.units as u
import numpy as np

from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import check_angle, check_image, check_rows, lock
from clustercnn.core.cutout import _band_name, _finite, _restore

__all__ = ['PLANES', 'BandStack']

PLANES = ('data', 'mask', 'exposure', 'background')


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BandStack:
    """
    The same band of many cutouts.

    Parameters
    ----------
    name : str
        Name of the band.
    data : 3D `~numpy.ndarray`
        Shape ``(n, ny, nx)``, kept as float32.
    pixel_scale : `~astropy.units.Quantity`
        Side of a pixel, the same for all.
    unit : `~astropy.units.Unit`, optional
        Unit of the data.
    mask : 3D `~numpy.ndarray` of bool, optional
        True marks bad pixels and those off the image. A band that is missing for a
        cutout is masked throughout.
    exposure, background : 3D `~numpy.ndarray`, optional
        Of the same shape; the background in the unit of the data.
    psf_fwhm : 1D `~numpy.ndarray`, optional
        Width of the point spread function at each cutout in arcsec, NaN if not known.

    Raises
    ------
    ValueError
        If shapes or lengths differ, or an unmasked value is not finite.

    Examples
    --------
    >>> from clustercnn.testing import tiny_stack
    >>> band = tiny_stack().band('xray')
    >>> band.data.shape, band.present.all()
    ((6, 16, 16), np.True_)
    """

    name: str
    data: np.ndarray
    pixel_scale: u.Quantity
    unit: u.UnitBase = u.dimensionless_unscaled
    mask: np.ndarray | None = None
    exposure: np.ndarray | None = None
    background: np.ndarray | None = None
    psf_fwhm: np.ndarray | None = None

    def __post_init__(self):
        put = object.__setattr__
        put(self, 'name', _band_name(self.name))
        data = check_image(f'{self.name} data', self.data, n_dim=3)
        mask = self.mask
        mask = lock(np.zeros(data.shape, bool)) if mask is None else mask
        mask = check_image(f'{self.name} mask', mask, dtype=bool, n_dim=3, shape=data.shape)
        put(self, 'data', _finite(f"band '{self.name}'", data, mask))
        put(self, 'mask', mask)
        for name in ('exposure', 'background'):
            plane = check_image(
                f'{self.name} {name}',
                getattr(self, name),
                n_dim=3,
                shape=data.shape,
                optional=True,
            )
            put(self, name, _finite(f"{name} of band '{self.name}'", plane, mask))
        put(
            self,
            'psf_fwhm',
            check_image('psf_fwhm', self.psf_fwhm, n_dim=1, shape=data.shape[:1], optional=True),
        )
        put(self, 'pixel_scale', check_angle('pixel_scale', self.pixel_scale))
        put(self, 'unit', u.Unit(self.unit))

    def __setstate__(self, state):
        _restore(self, state)

    def __len__(self):
        return len(self.data)

    @property
    def shape(self):
        """
        Number of cutouts, rows and columns.
        """
        return self.data.shape

    @property
    def coverage(self):
        """
        Fraction of unmasked pixels of each cutout, 1D `~numpy.ndarray`.
        """
        return 1.0 - self.mask.mean(axis=(1, 2), dtype=np.float64)

    @property
    def present(self):
        """
        Whether a cutout has any pixel in this band, 1D `~numpy.ndarray` of bool.
        """
        return ~self.mask.all(axis=(1, 2))

    def replace(self, **changes):
        """
        Return a copy with other values.

        Parameters
        ----------
        **changes
            New values by attribute name.

        Returns
        -------
        band : BandStack
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def __getitem__(self, item):
        rows = check_rows(item, len(self))
        changes = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in (*PLANES, 'psf_fwhm')
        }
        return self.replace(**changes)

    def _facts(self):
        n_cutouts, ny, nx = self.shape
        return [
            ('name', self.name),
            ('cutouts', f'{n_cutouts}, {int(self.present.sum())} with data'),
            ('size', f'{nx} x {ny} pixels of {self.pixel_scale.value:.3g} arcsec'),
            ('unit', self.unit.to_string() or 'none'),
        ]

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())
