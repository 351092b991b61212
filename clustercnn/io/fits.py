# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cutouts, one or many, in FITS files that other programs can look at.

The primary header says what the file is (``CCNNKIND``) and holds the provenance as JSON
(``CCNNMETA``). ``CANDIDATES`` is a table of identifiers, positions and features, ``BANDS``
one of names, units and pixel scales; each further HDU is one plane of one band, named by
``BAND`` and ``PLANE``. The planes of a stack have the cutouts along their third axis and
offsets from the candidate as coordinates; those of one cutout have its own sky coordinates.
"""

import json

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from clustercnn._utils.files import atomic_path
from clustercnn.core import Band, BandStack, CutoutStack, MultiBandCutout
from clustercnn.exceptions import ImageReadError, TableReadError
from clustercnn.io.planes import open_hdus

__all__ = ['read_cutout', 'read_stack', 'write_cutout', 'write_stack']

_STACK = 'clustercnn cutouts'
_CUTOUT = 'clustercnn cutout'
_VERSION = 1
_PLANES = ('data', 'mask', 'exposure', 'background', 'psf_fwhm')
_TAKEN = ('id', 'ra', 'dec')


def _check_texts(path, ids):
    """
    Refuse text that FITS cannot keep as it is.
    """
    for text in ids:
        if not text.isascii() or not text.isprintable() or text != text.rstrip() or not text:
            msg = (
                f'{path}: FITS keeps plain ASCII text without blanks at its end only, but there '
                f'is the identifier {text!r}; write HDF5 (.h5) or rename it'
            )
            raise ValueError(msg)


def _feature_column(name):
    # the plain names are taken; a prefix that is undone on reading keeps any name exact
    return f'feature_{name}' if name in _TAKEN or name.startswith('feature_') else name


def _feature_name(column):
    return column.removeprefix('feature_')


def _candidates(path, ids, positions, features, kind):
    _check_texts(path, ids)
    _check_texts(path, features)
    columns = [fits.Column('id', f'{max([1, *map(len, ids)])}A', array=np.array(ids, dtype=str))]
    if positions is not None:
        for name in ('ra', 'dec'):
            values = np.atleast_1d(getattr(positions, name).deg)
            columns.append(fits.Column(name, 'D', unit='deg', array=values))
    columns += [
        fits.Column(_feature_column(name), kind, array=np.atleast_1d(values))
        for name, values in features.items()
    ]
    hdu = fits.BinTableHDU.from_columns(columns, nrows=len(ids), name='CANDIDATES')
    hdu.header['N_POS'] = (2 * (positions is not None), 'number of columns of positions')
    ucds = {'id': 'meta.id;meta.main', 'ra': 'pos.eq.ra;meta.main', 'dec': 'pos.eq.dec;meta.main'}
    for number, column in enumerate(columns[: 1 + hdu.header['N_POS']], start=1):
        hdu.header[f'TUCD{number}'] = ucds[column.name]
    return hdu


def _bands_table(bands):
    names, units = list(bands), [band.unit.to_string() for band in bands.values()]
    columns = [
        fits.Column('name', f'{max(map(len, names))}A', array=np.array(names)),
        fits.Column('unit', f'{max([1, *map(len, units)])}A', array=np.array(units, dtype=str)),
        fits.Column(
            'pixel_scale',
            'D',
            unit='arcsec',
            array=np.array([band.pixel_scale.to_value(u.arcsec) for band in bands.values()]),
        ),
    ]
    return fits.BinTableHDU.from_columns(columns, name='BANDS')


def _plane_hdu(name, plane, values, band, header):
    stored = values.astype(np.uint8) if values.dtype == bool else values
    hdu = fits.ImageHDU(stored, header, name=f'{name}_{plane}'.upper())
    hdu.header['BAND'] = name
    hdu.header['PLANE'] = plane
    unit = {'mask': '', 'exposure': '', 'psf_fwhm': 'arcsec'}.get(plane, band.unit.to_string())
    if unit:
        hdu.header['BUNIT'] = unit
    return hdu


def _primary(kind, meta):
    hdu = fits.PrimaryHDU()
    hdu.header['CCNNKIND'] = (kind, 'what this file is')
    hdu.header['CCNNVERS'] = (_VERSION, 'version of the layout')
    hdu.header['CCNNMETA'] = json.dumps(dict(meta), default=str)
    return hdu


def _offsets(band):
    """
    Return a header with offsets from the candidate, seen on the sky, in arcsec.
    """
    _, ny, nx = band.shape
    scale = band.pixel_scale.to_value(u.arcsec)
    header = fits.Header()
    for axis, ctype, size, step in ((1, 'XOFFSET', nx, -scale), (2, 'YOFFSET', ny, scale)):
        header[f'CTYPE{axis}'] = ctype
        header[f'CUNIT{axis}'] = 'arcsec'
        header[f'CRPIX{axis}'] = (size + 1) / 2
        header[f'CRVAL{axis}'] = 0.0
        header[f'CDELT{axis}'] = step
    return header


def write_stack(stack, path, *, overwrite=False):
    """
    Write a stack of cutouts.

    Parameters
    ----------
    stack : CutoutStack
        The cutouts; identifiers and names of features must be ASCII.
    path : str or path-like
        The file.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError
        If FITS cannot keep an identifier.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from clustercnn import CutoutStack
    >>> from clustercnn.testing import assert_identical, tiny_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tiny_stack().write(Path(folder) / 'cutouts.fits')
    ...     assert_identical(CutoutStack.read(Path(folder) / 'cutouts.fits'), tiny_stack())
    """
    hdus = [
        _primary(_STACK, stack.meta),
        _candidates(path, stack.ids, stack.positions, stack.features, 'E'),
        _bands_table(stack.bands),
    ]
    for name, band in stack.bands.items():
        header = _offsets(band)
        for plane in _PLANES:
            values = getattr(band, plane)
            if values is not None:
                own_header = header if values.ndim == 3 else None
                hdus.append(_plane_hdu(name, plane, values, band, own_header))
    with atomic_path(path, overwrite=overwrite) as temporary:
        fits.HDUList(hdus).writeto(temporary, checksum=True)


def write_cutout(cutout, path, *, overwrite=False):
    """
    Write one cutout, every band with its own sky coordinates.

    Parameters
    ----------
    cutout : MultiBandCutout
        The cutout; its identifier and the names of its features must be ASCII.
    path : str or path-like
        The file.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError
        If FITS cannot keep the identifier.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from clustercnn import MultiBandCutout
    >>> from clustercnn.testing import tiny_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tiny_stack()[0].write(Path(folder) / 'cutout.fits')
    ...     MultiBandCutout.read(Path(folder) / 'cutout.fits').band_names
    ('xray', 'optical')
    """
    hdus = [
        _primary(_CUTOUT, {}),
        _candidates(path, [cutout.id], cutout.position, cutout.features, 'D'),
        _bands_table(cutout.bands),
    ]
    for name, band in cutout.bands.items():
        header = None if band.wcs is None else band.wcs.to_header(relax=True)
        for plane in _PLANES:
            values = getattr(band, plane)
            if plane == 'psf_fwhm':
                values = None if values is None else np.array([values.to_value(u.arcsec)])
            if values is not None:
                own_header = header if values.ndim == 2 else None
                hdus.append(_plane_hdu(name, plane, values, band, own_header))
    with atomic_path(path, overwrite=overwrite) as temporary:
        fits.HDUList(hdus).writeto(temporary, checksum=True)


def _read(path, kind, work):
    try:
        return open_hdus(path, lambda hdus: work(_Content(path, kind, hdus)))
    except ImageReadError as error:
        raise TableReadError(path, error.reason) from error


class _Content:
    """
    What a file of cutouts holds, checked against what it says.
    """

    def __init__(self, path, kind, hdus):
        self._path = path
        self.planes, self.headers = {}, {}
        tables = {}
        for number, item in hdus:
            if number == 0:
                self.meta = self._meta_of(item.header, kind)
                continue
            if item.name in ('CANDIDATES', 'BANDS'):
                tables[item.name] = (self._checked(item).copy(), item.header)
                continue
            key = (item.header['BAND'], item.header['PLANE'])
            data = self._checked(item)
            if data is None:
                data = np.zeros(item.shape, np.float32)
            self.planes[key] = np.array(data).astype(bool if key[1] == 'mask' else data.dtype)
            self.headers[key[0]] = self.headers.get(key[0], item.header)
        self.bands = tables['BANDS'][0]
        candidates, header = tables['CANDIDATES']
        n_own = 1 + int(header['N_POS'])
        self.ids = [str(name) for name in candidates['id']]
        self.positions = None
        if n_own == 3:
            self.positions = SkyCoord(
                ra=np.array(candidates['ra'], float),
                dec=np.array(candidates['dec'], float),
                unit='deg',
            )
        self.features = {
            _feature_name(name): np.array(candidates[name], float)
            for name in candidates.names[n_own:]
        }

    def _meta_of(self, header, kind):
        stated = header.get('CCNNKIND')
        if stated != kind:
            what = f'CCNNKIND is {stated!r}' if stated else 'it has no CCNNKIND'
            others = {_STACK: 'CutoutStack', _CUTOUT: 'MultiBandCutout'}
            hint = f'; read it with {others[stated]}.read' if stated in others else ''
            raise ImageReadError(self._path, f'is not a file of {kind}: {what}{hint}')
        if header.get('CCNNVERS', 0) > _VERSION:
            reason = f'CCNNVERS is {header["CCNNVERS"]}, newer than this program; update clustercnn'
            raise ImageReadError(self._path, reason)
        return json.loads(header.get('CCNNMETA', '{}'))

    def _checked(self, item):
        if item.verify_datasum() == 0:
            reason = f'HDU {item.name}: DATASUM does not fit the content; fetch or make it again'
            raise ImageReadError(self._path, reason)
        return item.data

    def band_of(self, row):
        """
        Return name, planes and the plain attributes of a band.
        """
        name = str(row['name'])
        planes = {plane: self.planes.get((name, plane)) for plane in _PLANES}
        if planes['data'] is None:
            raise ImageReadError(self._path, f"the band '{name}' has no HDU with PLANE = 'data'")
        attributes = {
            'name': name,
            'unit': u.Unit(str(row['unit'])),
            'pixel_scale': float(row['pixel_scale']) * u.arcsec,
        }
        return name, planes, attributes


def read_stack(path):
    """
    Read a stack of cutouts.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    stack : CutoutStack
        As it was written.

    Raises
    ------
    TableReadError
        If it is not such a file, or damaged.

    Examples
    --------
    >>> from clustercnn import CutoutStack
    >>> CutoutStack.read('nowhere.fits')
    Traceback (most recent call last):
        ...
    clustercnn.exceptions.TableReadError: nowhere.fits: no such file; check the name
    """

    def build(content):
        bands = []
        for row in content.bands:
            _, planes, attributes = content.band_of(row)
            bands.append(BandStack(**planes, **attributes))
        return CutoutStack(
            ids=content.ids,
            bands=bands,
            positions=content.positions,
            features=content.features,
            meta=content.meta,
        )

    return _read(path, _STACK, build)


def read_cutout(path):
    """
    Read one cutout.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    cutout : MultiBandCutout
        As it was written.

    Raises
    ------
    TableReadError
        If it is not such a file, or damaged.

    Examples
    --------
    >>> from clustercnn import MultiBandCutout
    >>> MultiBandCutout.read('nowhere.fits')
    Traceback (most recent call last):
        ...
    clustercnn.exceptions.TableReadError: nowhere.fits: no such file; check the name
    """

    def build(content):
        bands = []
        for row in content.bands:
            name, planes, attributes = content.band_of(row)
            width = planes.pop('psf_fwhm')
            wcs = WCS(content.headers[name])
            bands.append(
                Band(
                    wcs=wcs if wcs.has_celestial else None,
                    psf_fwhm=None if width is None else float(width[0]) * u.arcsec,
                    **planes,
                    **attributes,
                )
            )
        return MultiBandCutout(
            id=content.ids[0],
            bands=bands,
            position=None if content.positions is None else content.positions[0],
            features={name: values[0] for name, values in content.features.items()},
        )

    return _read(path, _CUTOUT, build)
