# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Stacks of cutouts in HDF5 files.
"""

import io
import json
from pathlib import Path

import astropy.units as u
from astropy.coordinates import SkyCoord

from clustercnn._utils.files import atomic_path
from clustercnn.core import BandStack, CutoutStack
from clustercnn.exceptions import TableReadError

__all__ = ['read_stack', 'stack_ids', 'stack_length', 'write_stack']

_KIND = 'clustercnn cutouts'
_VERSION = 1
_LARGEST_UNPACKED = 256 << 20
_PLANES = ('data', 'mask', 'exposure', 'background', 'psf_fwhm')
_ROWS_IN_CHUNK = 64


class _ForgivingFile(io.FileIO):
    """
    A file that keeps the first error of writing for later: HDF5 crashes where closing fails.
    """

    def __init__(self, path):
        super().__init__(path, 'w+')
        self.error = None

    def write(self, content):
        """
        Write all of something, or nothing any more once there was an error.
        """
        left = memoryview(content).cast('B')
        n_bytes = len(left)
        try:
            while self.error is None and len(left):
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return n_bytes

    def truncate(self, size=None):
        """
        Change the length, unless there was an error.
        """
        try:
            if self.error is None:
                super().truncate(size)
        except OSError as error:
            self.error = error
        return self.tell() if size is None else size

    def check(self):
        """
        Raise what went wrong, if anything did.
        """
        if self.error is not None:
            raise self.error


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

    with atomic_path(path, overwrite=overwrite) as temporary, _ForgivingFile(temporary) as raw:
        try:
            with h5py.File(raw, 'w') as file:
                _write_members(file, stack, raw.check)
        finally:
            # what HDF5 says of what it does not find again is no reason
            raw.check()


def _write_members(file, stack, check):
    """
    Write all that a stack holds; ``check`` raises once the disk is full.
    """
    import h5py

    file.attrs['kind'] = _KIND
    file.attrs['version'] = _VERSION
    file.attrs['meta'] = json.dumps(dict(stack.meta), default=str)
    file.create_dataset('ids', data=list(stack.ids), dtype=h5py.string_dtype())
    if stack.positions is not None:
        file['ra'] = stack.positions.ra.deg
        file['dec'] = stack.positions.dec.deg
    features = file.create_group('features')
    for number, (name, values) in enumerate(stack.features.items()):
        # a slash would make a folder
        dataset = features.create_dataset(name.replace('/', '|'), data=values)
        dataset.attrs['name'] = name
        dataset.attrs['order'] = number
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
                options['chunks'] = (min(_ROWS_IN_CHUNK, len(values)), *values.shape[1:])
                options['compression'] = 'lzf'
            dataset = group.create_dataset(plane, values.shape, values.dtype, **options)
            # piece by piece, so that not much is written once nothing can be
            for low in range(0, len(values), _ROWS_IN_CHUNK):
                rows = slice(low, low + _ROWS_IN_CHUNK)
                dataset[rows] = values[rows]
                check()


class _SafeFile:
    """
    An HDF5 file of which nothing is followed to elsewhere and nothing huge is believed.
    """

    def __init__(self, path, file, rows=slice(None)):
        self._path = path
        self._file = file
        self._rows = rows

    def has(self, group, name):
        return group.id.links.exists(name.encode())

    def member(self, group, name, kind):
        """
        Return a group or dataset that lies in this file.
        """
        import h5py

        if not self.has(group, name):
            raise TableReadError(self._path, f"has no '{name}' in '{group.name}'")
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            reason = f"'{name}' in '{group.name}' is a link, which is not followed; copy the data"
            raise TableReadError(self._path, reason)
        member = group[name]
        if not isinstance(member, kind):
            raise TableReadError(self._path, f"'{member.name}' is no {kind.__name__.lower()}")
        return member

    def group(self, group, name):
        import h5py

        return self.member(group, name, h5py.Group)

    def read(self, group, name, *, kinds='iufb', n_rows=None):
        """
        Return the wanted rows of a dataset, which must be as large as it says.
        """
        import h5py

        dataset = self.member(group, name, h5py.Dataset)
        if dataset.is_virtual or dataset.external:
            reason = f"'{dataset.name}' keeps its data in another file, which is not followed"
            raise TableReadError(self._path, reason)
        if dataset.dtype.kind not in kinds:
            reason = f"'{dataset.name}' holds {dataset.dtype}, expected other values"
            raise TableReadError(self._path, reason)
        if n_rows is not None and dataset.shape[:1] != (n_rows,):
            reason = f"'{dataset.name}' has shape {dataset.shape}, but there are {n_rows} ids"
            raise TableReadError(self._path, reason)
        stored = max(dataset.id.get_storage_size(), 1)
        if dataset.nbytes > _LARGEST_UNPACKED and dataset.nbytes > 1000 * stored:
            reason = f"'{dataset.name}' claims {dataset.nbytes} bytes but stores {stored}"
            raise TableReadError(self._path, reason)
        return dataset[self._rows]

    def in_order(self, group):
        """
        List the names in a group in the order in which they were written.
        """
        import h5py

        orders = {}
        for name in group:
            member = self.member(group, name, (h5py.Group, h5py.Dataset))
            orders[name] = int(member.attrs.get('order', 0))
        return sorted(orders, key=orders.get)


def read_stack(path, *, rows=slice(None)):
    """
    Read a stack of cutouts.

    Parameters
    ----------
    path : str or path-like
        The file.
    rows : slice, optional
        Which cutouts, in the order of the file; nothing of the others is read. All by default.

    Returns
    -------
    stack : CutoutStack
        As it was written.

    Raises
    ------
    ValueError
        If the rows are anything but a slice with a step from 1.
    TableReadError
        If it is not such a file, or keeps its data elsewhere.
    """
    try:
        step = rows.indices(0)[2]
    except (AttributeError, TypeError, ValueError):
        step = 0
    if step < 1:
        msg = (
            f"'rows' must be a slice of whole numbers with a step from 1, got {rows!r}; choose "
            f'others from the stack that was read: stack[rows]'
        )
        raise ValueError(msg)
    return _opened(path, lambda file: _read_stack(path, file, rows))


def stack_length(path):
    """
    Return the number of cutouts in a file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    length : int
        Its length.

    Raises
    ------
    TableReadError
        If it is not such a file, or keeps its data elsewhere.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from clustercnn.io.hdf5 import stack_length, write_stack
    >>> from clustercnn.testing import tiny_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'cutouts.h5'
    ...     write_stack(tiny_stack(5), path)
    ...     stack_length(path)
    5
    """

    def length(file):
        import h5py

        _check_kind(path, file)
        shape = _SafeFile(path, file).member(file, 'ids', h5py.Dataset).shape
        return shape[0] if shape else 0

    return _opened(path, length)


def stack_ids(path):
    """
    Return the identifiers of the cutouts in a file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ids : list of str
        In its order.

    Raises
    ------
    TableReadError
        If it is not such a file, or keeps its data elsewhere.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from clustercnn.io.hdf5 import stack_ids, write_stack
    >>> from clustercnn.testing import tiny_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'cutouts.h5'
    ...     write_stack(tiny_stack(2), path)
    ...     stack_ids(path) == list(tiny_stack(2).ids)
    True
    """

    def read(file):
        _check_kind(path, file)
        return _ids(_SafeFile(path, file), file)

    return _opened(path, read)


def _ids(safe, file):
    return [bytes(name).decode() for name in safe.read(file, 'ids', kinds='O')]


def _opened(path, function):
    import h5py

    if not Path(path).is_file():
        words = 'is a folder' if Path(path).is_dir() else 'no such file; check the name'
        raise TableReadError(path, words)
    try:
        with h5py.File(path, 'r') as file:
            return function(file)
    except TableReadError:
        raise
    except Exception as error:
        reason = (
            f'cannot be read as HDF5 cutouts ({type(error).__name__}: {error}); it is truncated, '
            f'damaged or of another format'
        )
        raise TableReadError(path, ' '.join(reason.split())) from error


def _check_kind(path, file):
    if file.attrs.get('kind') != _KIND:
        reason = 'is an HDF5 file, but not one of cutouts; make them with clustercnn cut'
        raise TableReadError(path, reason)
    if file.attrs.get('version', 0) > _VERSION:
        reason = f'has layout {file.attrs["version"]}, newer than this program; update clustercnn'
        raise TableReadError(path, reason)


def _read_stack(path, file, rows):
    _check_kind(path, file)
    safe = _SafeFile(path, file, rows)
    ids = _ids(safe, file)
    # whole arrays are compared with whole arrays, whatever part of them is wanted
    n_rows = file['ids'].shape[0]
    bands = []
    groups = safe.group(file, 'bands')
    for name in safe.in_order(groups):
        group = safe.group(groups, name)
        planes = {
            plane: safe.read(group, plane, n_rows=n_rows)
            for plane in _PLANES
            if safe.has(group, plane)
        }
        bands.append(
            BandStack(
                name=name,
                pixel_scale=float(group.attrs['pixel_scale_arcsec']) * u.arcsec,
                unit=u.Unit(group.attrs['unit']),
                **planes,
            )
        )
    positions = None
    if safe.has(file, 'ra'):
        ra, dec = (safe.read(file, name, n_rows=n_rows) for name in ('ra', 'dec'))
        positions = SkyCoord(ra, dec, unit='deg')
    features = {}
    group = safe.group(file, 'features')
    for name in safe.in_order(group):
        full_name = str(group[name].attrs.get('name', name))
        features[full_name] = safe.read(group, name, n_rows=n_rows)
    return CutoutStack(
        ids=ids,
        bands=bands,
        positions=positions,
        features=features,
        meta=json.loads(file.attrs['meta']),
    )
