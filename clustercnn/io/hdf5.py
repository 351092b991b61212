# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Stacks of cutouts in HDF5 files.
"""

import json

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from clustercnn._utils.files import atomic_path
from clustercnn.core import BandStack, CutoutStack
from clustercnn.exceptions import TableReadError

__all__ = ['read_stack', 'write_stack']

_KIND = 'clustercnn cutouts'
_PLANES = ('data', 'mask', 'exposure', 'background', 'psf_fwhm')


def write_stack(stack, path, *, overwrite=False):
    """
    Write a stack of cutouts.

    Parameters
    ----------
    stack : CutoutStack
        The cutouts.
    path : str or path-like
        The file.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    """
    import h5py

    with atomic_path(path, overwrite=overwrite) as temporary, h5py.File(temporary, 'w') as file:
        file.attrs['kind'] = _KIND
        file.attrs['version'] = 1
        file.attrs['meta'] = json.dumps(dict(stack.meta), default=str)
        file.create_dataset('ids', data=list(stack.ids), dtype=h5py.string_dtype())
        if stack.positions is not None:
            file['ra'] = stack.positions.ra.deg
            file['dec'] = stack.positions.dec.deg
        features = file.create_group('features')
        for name, values in stack.features.items():
            features[name] = values
        bands = file.create_group('bands')
        for number, (name, band) in enumerate(stack.bands.items()):
            group = bands.create_group(name)
            group.attrs['order'] = number
            group.attrs['pixel_scale_arcsec'] = band.pixel_scale.value
            group.attrs['unit'] = band.unit.to_string()
            for plane in _PLANES:
                values = getattr(band, plane)
                if values is None:
                    continue
                options = {}
                if values.ndim == 3 and values.size:
                    options = {'chunks': (min(64, len(values)), *values.shape[1:])}
                    options['compression'] = 'lzf'
                group.create_dataset(plane, data=values, **options)


def _plain(path, group, name):
    """
    Return a dataset that lies in this file and is as large as it says.
    """
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise TableReadError(path, f"'{name}' is a link to elsewhere, which is not followed")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise TableReadError(path, f"'{name}' keeps its data elsewhere, which is not followed")
    stored = max(dataset.id.get_storage_size(), 1)
    if dataset.nbytes > 1 << 30 and dataset.nbytes > 1000 * stored:
        raise TableReadError(path, f"'{name}' claims {dataset.nbytes} bytes but stores {stored}")
    return dataset[()]


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
        If it is not such a file, or keeps its data elsewhere.
    """
    import h5py

    try:
        with h5py.File(path, 'r') as file:
            if file.attrs.get('kind') != _KIND:
                raise TableReadError(path, 'is an HDF5 file, but not of cutouts')
            bands = []
            groups = file['bands']
            for name in sorted(groups, key=lambda item: groups[item].attrs['order']):
                group = groups[name]
                planes = {p: _plain(path, group, p) for p in _PLANES if p in group}
                bands.append(
                    BandStack(
                        name=name,
                        pixel_scale=float(group.attrs['pixel_scale_arcsec']) * u.arcsec,
                        unit=u.Unit(group.attrs['unit']),
                        **planes,
                    )
                )
            positions = None
            if 'ra' in file:
                positions = SkyCoord(
                    _plain(path, file, 'ra'), _plain(path, file, 'dec'), unit='deg'
                )
            features = {name: _plain(path, file['features'], name) for name in file['features']}
            ids = [np.asarray(i).item().decode() for i in _plain(path, file, 'ids')]
            return CutoutStack(
                ids=ids,
                bands=bands,
                positions=positions,
                features=features,
                meta=json.loads(file.attrs['meta']),
            )
    except FileNotFoundError as error:
        raise TableReadError(path, 'no such file; check the name') from error
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, TableReadError):
            raise
        reason = f'cannot be read as HDF5 cutouts ({" ".join(str(error).split())})'
        raise TableReadError(path, reason) from error
