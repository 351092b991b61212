# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Many cutouts of one geometry, as arrays: what is stored, and what networks see.
"""

import dataclasses
import warnings
from typing import ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.registry import UnifiedReadWriteMethod

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import (
    check_identifiers,
    check_image,
    check_rows,
    check_same_length,
    lock,
)
from clustercnn.core.band_stack import PLANES, BandStack
from clustercnn.core.candidate import _rows_of
from clustercnn.core.columns import column_definition
from clustercnn.core.connect import make_reader, make_writer
from clustercnn.core.cutout import (
    Band,
    MultiBandCutout,
    _restore,
    tangent_wcs,
)
from clustercnn.exceptions import DataQualityWarning

__all__ = ['CutoutStack']


def _plain(name, values):
    """
    Return the numbers of a feature, in the unit of the catalogue, NaN where masked.
    """
    unit, hidden = getattr(values, 'unit', None), np.ma.is_masked(values)
    if unit is None and not hidden:
        return values
    numbers = np.ma.filled(np.ma.asarray(np.ma.array(values, subok=False), float), np.nan)
    definition = column_definition(str(name))
    # what is not of the finder is in whatever unit its owner wants
    if unit is None or unit == u.dimensionless_unscaled or definition is None:
        return numbers
    wanted = definition.unit or u.dimensionless_unscaled
    unit = u.ct if unit == u.ph else unit
    try:
        return numbers * unit.to(wanted)
    except (u.UnitConversionError, ValueError, TypeError) as error:
        msg = f"feature '{name}' is in {unit}, expected {wanted.to_string() or 'a plain number'}"
        raise ValueError(msg) from error


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CutoutStack:
    """
    Cutouts of many candidates, band by band.

    Parameters
    ----------
    ids : iterable of str
        Identifiers, unique.
    bands : dict of str to BandStack, or iterable of BandStack
        One entry a band, each of the length of ``ids``.
    positions : `~astropy.coordinates.SkyCoord`, optional
        One position a cutout.
    features : dict of str to 1D `~numpy.ndarray`, optional
        The finder's numbers, one value a cutout, NaN if not known.
    meta : dict, optional
        Provenance.

    Raises
    ------
    ValueError
        If lengths differ or identifiers occur twice.

    Examples
    --------
    >>> from clustercnn.testing import tiny_stack
    >>> stack = tiny_stack()
    >>> len(stack), stack.band_names, stack['optical'].shape
    (6, ('xray', 'optical'), (6, 32, 32))
    >>> stack[1:3].ids
    ('2', '3')
    """

    ids: tuple
    bands: dict
    positions: SkyCoord | None = None
    features: dict = dataclasses.field(default_factory=dict)
    meta: dict = dataclasses.field(default_factory=dict)

    read: ClassVar = UnifiedReadWriteMethod(make_reader('Read a stack of cutouts.'))
    write: ClassVar = UnifiedReadWriteMethod(make_writer('Write a stack of cutouts.'))

    def __post_init__(self):
        put = object.__setattr__
        ids = check_identifiers(self.ids)
        put(self, 'ids', ids)
        bands = list(self.bands.values() if isinstance(self.bands, dict) else self.bands)
        for band in bands:
            if not isinstance(band, BandStack):
                msg = f"'bands' must hold BandStack objects, got {type(band).__name__}"
                raise TypeError(msg)
        names = [band.name for band in bands]
        if not bands or len(set(names)) != len(names):
            msg = f'at least one band is needed and their names must differ, got {names}'
            raise ValueError(msg)
        check_same_length(ids=ids, **{band.name: band for band in bands})
        put(self, 'bands', ReadOnlyDict(zip(names, bands, strict=True)))
        if self.positions is not None:
            if not isinstance(self.positions, SkyCoord) or self.positions.shape != (len(ids),):
                msg = f"'positions' must be a SkyCoord of length {len(ids)}"
                raise ValueError(msg)
            put(self, 'positions', self.positions.icrs)
        features = {
            str(name): check_image(
                f"feature '{name}'", _plain(name, values), n_dim=1, shape=(len(ids),)
            )
            for name, values in self.features.items()
        }
        put(self, 'features', ReadOnlyDict(features))
        put(self, 'meta', ReadOnlyDict(self.meta))

    def __setstate__(self, state):
        features = {name: lock(values) for name, values in state['features'].items()}
        _restore(self, {**state, 'features': ReadOnlyDict(features)})

    @classmethod
    def from_arrays(
        cls,
        arrays,
        *,
        ids=None,
        pixel_scale=1 * u.arcsec,
        unit=None,
        masks=None,
        positions=None,
        features=None,
        meta=None,
    ):
        """
        Make a stack from plain arrays.

        Parameters
        ----------
        arrays : dict of str to 3D `~numpy.ndarray`
            Shape ``(n, ny, nx)`` by band; sizes may differ between bands.
        ids : iterable of str, optional
            Identifiers; 1, 2, ... by default.
        pixel_scale : `~astropy.units.Quantity` or dict, optional
            Side of a pixel, for all bands or by band.
        unit : `~astropy.units.Unit` or dict, optional
            Unit, for all bands or by band; counts for ``'xray'`` by default.
        masks : dict of str to 3D `~numpy.ndarray` of bool, optional
            True marks bad pixels. Values that are not finite, or masked in their array, are masked
            in any case.
        positions : `~astropy.coordinates.SkyCoord`, optional
            One position a cutout.
        features : dict of str to 1D `~numpy.ndarray`, optional
            The finder's numbers; masked ones are not known. Quantities are brought to the units of
            the catalogue.
        meta : dict, optional
            Provenance.

        Returns
        -------
        stack : CutoutStack
            Of the length of the arrays.

        Examples
        --------
        >>> import numpy as np, astropy.units as u
        >>> from clustercnn import CutoutStack
        >>> stack = CutoutStack.from_arrays({'g': np.ones((3, 8, 8)), 'r': np.ones((3, 4, 4))},
        ...                                 pixel_scale={'g': 1 * u.arcsec, 'r': 2 * u.arcsec})
        >>> stack.ids
        ('1', '2', '3')
        """
        hidden = {
            name: np.ma.getmaskarray(array)
            for name, array in arrays.items()
            if np.ma.is_masked(array)
        }
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        bands = []
        for name, array in arrays.items():
            scale = pixel_scale[name] if isinstance(pixel_scale, dict) else pixel_scale
            band_unit = unit.get(name) if isinstance(unit, dict) else unit
            if band_unit is None:
                band_unit = u.ct if name == 'xray' else u.dimensionless_unscaled
            mask = None if masks is None else masks.get(name)
            if name in hidden:
                mask = hidden[name] if mask is None else hidden[name] | np.asarray(mask, bool)
            if array.dtype.kind == 'f' and not np.isfinite(array).all():
                wrong = ~np.isfinite(array)
                mask = wrong if mask is None else wrong | np.asarray(mask, bool)
            bands.append(
                BandStack(name=name, data=array, pixel_scale=scale, unit=band_unit, mask=mask)
            )
        if ids is None and bands:
            ids = [str(index + 1) for index in range(len(bands[0]))]
        return cls(
            ids=ids if ids is not None else (),
            bands=bands,
            positions=positions,
            features=features or {},
            meta=meta or {},
        )

    @classmethod
    def from_cutouts(cls, cutouts):
        """
        Make a stack from single cutouts of one geometry.

        Parameters
        ----------
        cutouts : iterable of MultiBandCutout
            At least one. A band that some lack is masked for those.

        Returns
        -------
        stack : CutoutStack
            In the order given.

        Raises
        ------
        ValueError
            If there is none, a band has several shapes or scales, or lies on another grid
        than the north-up one that positions stand for in a stack.
        """
        cutouts = list(cutouts)
        if not cutouts:
            msg = 'a stack is made from at least one cutout, got none'
            raise ValueError(msg)
        for cutout in cutouts:
            _check_grids(cutout)
        names = list(dict.fromkeys(name for cutout in cutouts for name in cutout.band_names))
        bands = [_stack_band(name, cutouts) for name in names]
        features = {}
        for name in dict.fromkeys(name for cutout in cutouts for name in cutout.features):
            features[name] = np.array([cutout.features.get(name, np.nan) for cutout in cutouts])
        positions = None
        if all(cutout.position is not None for cutout in cutouts):
            positions = SkyCoord(
                ra=[cutout.position.ra.deg for cutout in cutouts],
                dec=[cutout.position.dec.deg for cutout in cutouts],
                unit='deg',
            )
        return cls(
            ids=[cutout.id for cutout in cutouts],
            bands=bands,
            positions=positions,
            features=features,
        )

    @classmethod
    def concatenate(cls, stacks):
        """
        Join stacks of the same bands.

        Parameters
        ----------
        stacks : iterable of CutoutStack
            At least one; their identifiers must differ.

        Returns
        -------
        stack : CutoutStack
            All cutouts, in the order given. Planes and features that only some
            have are kept only if all have them, and warned of.

        Raises
        ------
        ValueError
            If bands, shapes, scales or units differ.
        """
        stacks = list(stacks)
        if not stacks:
            msg = 'at least one stack is needed'
            raise ValueError(msg)
        first = stacks[0]
        for number, stack in enumerate(stacks):
            if stack.band_names != first.band_names:
                msg = f'stack {number} has the bands {stack.band_names}, not {first.band_names}'
                raise ValueError(msg)
        bands = []
        for name in first.band_names:
            members = [stack.bands[name] for stack in stacks]
            kinds = {(m.shape[1:], m.pixel_scale.value, m.unit.to_string()) for m in members}
            if len(kinds) > 1:
                msg = f"band '{name}' has several shapes, scales or units: {sorted(kinds)}"
                raise ValueError(msg)
            planes = {}
            for plane in (*PLANES, 'psf_fwhm'):
                there = [getattr(member, plane) for member in members]
                if all(one is not None for one in there):
                    planes[plane] = np.concatenate(there)
                else:
                    _warn_of_lost(f"{plane} of band '{name}'", there)
            bands.append(
                BandStack(
                    name=name, pixel_scale=members[0].pixel_scale, unit=members[0].unit, **planes
                )
            )
        shared = []
        for name in dict.fromkeys(name for stack in stacks for name in stack.features):
            there = [stack.features.get(name) for stack in stacks]
            if all(one is not None for one in there):
                shared.append(name)
            else:
                _warn_of_lost(f"feature '{name}'", there)
        positions = None
        if all(stack.positions is not None for stack in stacks):
            positions = SkyCoord(
                ra=np.concatenate([stack.positions.ra.deg for stack in stacks]),
                dec=np.concatenate([stack.positions.dec.deg for stack in stacks]),
                unit='deg',
            )
        return cls(
            ids=[name for stack in stacks for name in stack.ids],
            bands=bands,
            positions=positions,
            features={
                name: np.concatenate([stack.features[name] for stack in stacks]) for name in shared
            },
            meta=first.meta,
        )

    @property
    def band_names(self):
        """
        Names of the bands, tuple of str.
        """
        return tuple(self.bands)

    def band(self, name):
        """
        Return a band with all its planes.

        Parameters
        ----------
        name : str
            Name of the band.

        Returns
        -------
        band : BandStack
            As stored.

        Raises
        ------
        KeyError
            If there is no such band.
        """
        if name not in self.bands:
            msg = f"there is no band '{name}'; there are {', '.join(self.bands)}"
            raise KeyError(msg)
        return self.bands[name]

    def __len__(self):
        return len(self.ids)

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def __getitem__(self, item):
        if isinstance(item, str):
            return self.band(item).data
        if isinstance(item, (int, np.integer)):
            return self._cutout(range(len(self))[item])
        rows = check_rows(item, len(self))
        return self.replace(
            ids=[self.ids[row] for row in rows],
            bands=[band[rows] for band in self.bands.values()],
            positions=None if self.positions is None else self.positions[rows],
            features={name: values[rows] for name, values in self.features.items()},
        )

    def _cutout(self, row):
        position = None if self.positions is None else self.positions[row]
        bands = []
        for name, band in self.bands.items():
            width = None if band.psf_fwhm is None else float(band.psf_fwhm[row])
            wcs = None
            if position is not None:
                wcs = tangent_wcs(position, band.pixel_scale, band.shape[1:])
            bands.append(
                Band(
                    name=name,
                    data=band.data[row],
                    mask=band.mask[row],
                    exposure=None if band.exposure is None else band.exposure[row],
                    background=None if band.background is None else band.background[row],
                    unit=band.unit,
                    pixel_scale=band.pixel_scale,
                    wcs=wcs,
                    psf_fwhm=width * u.arcsec if width is not None and width > 0 else None,
                )
            )
        return MultiBandCutout(
            id=self.ids[row],
            bands=bands,
            position=position,
            features={name: values[row] for name, values in self.features.items()},
        )

    def select(self, ids):
        """
        Return the cutouts with these identifiers, in this order.

        Parameters
        ----------
        ids : iterable of str
            Identifiers.

        Returns
        -------
        stack : CutoutStack
            As many cutouts as identifiers.

        Raises
        ------
        KeyError
            If some are not in the stack; names and counts them.
        """
        return self[_rows_of(self.ids, ids)]

    def replace(self, **changes):
        """
        Return a copy with other values.

        Parameters
        ----------
        **changes
            New values by attribute name.

        Returns
        -------
        stack : CutoutStack
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def _facts(self):
        facts = [('cutouts', len(self))]
        for name, band in self.bands.items():
            _, ny, nx = band.shape
            size = f'{nx} x {ny} of {band.pixel_scale.value:.3g} arcsec'
            facts.append((f'band {name}', f'{size}, {int(band.present.sum())} with data'))
        facts.append(('features', ', '.join(self.features) or 'none'))
        return facts

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


def _check_grids(cutout):
    """
    Refuse what a stack could not give back: a stack keeps positions, not every WCS.
    """
    for band in cutout:
        if band.wcs is None or cutout.position is None:
            continue
        ny, nx = band.shape
        x, y = np.array([0, nx - 1, 0, nx - 1]), np.array([0, 0, ny - 1, ny - 1])
        sky = tangent_wcs(cutout.position, band.pixel_scale, band.shape).pixel_to_world(x, y)
        offset = np.hypot(*(np.array(band.wcs.world_to_pixel(sky)) - [x, y])).max()
        if not offset < 0.1:
            msg = (
                f"band '{band.name}' of cutout '{cutout.id}' lies up to {offset:.2f} pixels off "
                f'the north-up grid round its position; expected less than 0.1. Make cutouts '
                f'with CutoutMaker, or drop what is known of the grid with replace(wcs=None)'
            )
            raise ValueError(msg)


def _warn_of_lost(what, there):
    """
    Warn of what is left out because not all stacks that are joined have it.
    """
    n_without = sum(one is None for one in there)
    if n_without < len(there):
        warnings.warn(
            f'the {what} is left out of all cutouts: {n_without} of {len(there)} stacks lack it',
            DataQualityWarning,
            stacklevel=3,
        )


def _stack_band(name, cutouts):
    """
    Stack one band of several cutouts; those without it are masked throughout.
    """
    members = [cutout.bands.get(name) for cutout in cutouts]
    there = [band for band in members if band is not None]
    kinds = {(band.shape, band.pixel_scale.value, band.unit.to_string()) for band in there}
    if len(kinds) > 1:
        msg = f"band '{name}' has several shapes, scales or units: {sorted(kinds)}"
        raise ValueError(msg)
    model = there[0]
    planes = {
        'data': np.stack([np.zeros(model.shape) if b is None else b.data for b in members]),
        'mask': np.stack([np.ones(model.shape, bool) if b is None else b.mask for b in members]),
    }
    for plane in ('exposure', 'background'):
        if all(getattr(band, plane) is not None for band in there):
            planes[plane] = np.stack(
                [np.zeros(model.shape) if b is None else getattr(b, plane) for b in members]
            )
    if any(band.psf_fwhm is not None for band in there):
        planes['psf_fwhm'] = np.array(
            [
                np.nan if band is None or band.psf_fwhm is None else band.psf_fwhm.value
                for band in members
            ]
        )
    return BandStack(name=name, pixel_scale=model.pixel_scale, unit=model.unit, **planes)
