# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Data sets larger than memory: what networks see of the cutouts of files, kept on disk.
"""

import dataclasses
import errno
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from clustercnn._classifier_data import arrays_of, features_of, inputs_of
from clustercnn._utils.progress import progress as progress_bar
from clustercnn.exceptions import TableReadError
from clustercnn.io.hdf5 import read_stack, stack_ids
from clustercnn.network import FEATURES, InputSpec, make_dataset

__all__ = ['in_order', 'scratch_folder', 'spool', 'without_unknown']

# cutouts that are in memory at a time
_AT_A_TIME = 1024


def scratch_folder(path):
    """
    Return the folder for what is kept on disk, which must be there.

    Parameters
    ----------
    path : str, path-like or None
        The folder; None for that of the system.

    Returns
    -------
    folder : `~pathlib.Path`
        The folder.

    Raises
    ------
    OSError
        If there is no such folder, or nothing can be written there.
    """
    folder = Path(tempfile.gettempdir() if path is None else path)
    if not folder.is_dir():
        msg = f"'scratch' must be a folder that exists, got {folder}; create it first"
        raise NotADirectoryError(msg)
    if not os.access(folder, os.W_OK):
        msg = f"'scratch' must be a folder that can be written to, got {folder}"
        raise PermissionError(msg)
    return folder


def in_order(paths):
    """
    Return what files of cutouts hold, one after the other.

    Parameters
    ----------
    paths : list of path-like
        HDF5 files.

    Returns
    -------
    ids : list of list of str
        Of the cutouts of each file.
    inputs : InputSpec
        All bands, as the first file has them that has one, and all numbers of the finder.

    Raises
    ------
    ValueError
        If a cutout is in two files, or a band has several units.
    TableReadError
        If a file cannot be read, or there is no cutout in any.
    """
    ids, first, bands, units, features = [], {}, {}, {}, set()
    for path in paths:
        here = stack_ids(path)
        for name in here:
            if name in first:
                where = 'twice' if first[name] == path else f'in {first[name]} as well'
                msg = f"cutout '{name}' of {path} is {where}; a cutout must be there once"
                raise ValueError(msg)
            first[name] = path
        ids.append(here)
        if here:
            one = read_stack(path, rows=slice(0, 1))
            for name, band in one.bands.items():
                unit, where = units.setdefault(name, (band.unit, path))
                if band.unit != unit:
                    msg = (
                        f"band '{name}' is in '{band.unit}' in {path}, but in '{unit}' in {where}; "
                        f'a network learns from one unit'
                    )
                    raise ValueError(msg)
            bands = {spec.name: spec for spec in inputs_of(one).bands} | bands
            features |= set(features_of(one))
    if not first:
        raise TableReadError(paths[0] if paths else 'cutouts', 'there is no cutout to learn from')
    names = tuple(name for name in FEATURES if name in features)
    return ids, InputSpec(bands=tuple(bands.values()), features=names)


class _Planes:
    """
    Arrays of a data set that are filled row by row, those of pictures on disk.
    """

    def __init__(self, folder, n_items):
        self.folder = folder
        self.n_items = n_items
        self.arrays = {}

    def put(self, places, dataset, name=()):
        """
        Fill some rows.
        """
        for key, value in dataset.items():
            path = (*name, key)
            if isinstance(value, dict):
                self.put(places, value, path)
                continue
            array = self.arrays.get(path)
            if _is_one_value(value) and (array is None or _is_one_value(array)):
                one = value.flat[0]
                if array is None:
                    self.arrays[path] = np.broadcast_to(one, self._shape(value))
                    continue
                if one == array.flat[0]:
                    continue
            if array is None or _is_one_value(array):
                self.arrays[path] = self._filled(value, array)
            self.arrays[path][places] = value

    def _shape(self, value):
        return self.n_items, *value.shape[1:]

    def _filled(self, value, before):
        """
        Return an array for such values, with what was the same of all so far.
        """
        if value.ndim < 3:
            return np.zeros(self._shape(value), value.dtype)
        if before is None:
            return self._on_disk(self._shape(value), value.dtype)
        array = self._on_disk(self._shape(value), np.result_type(before, value))
        if before.flat[0]:
            array[...] = before.flat[0]
        return array

    def _on_disk(self, shape, dtype):
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        # without a name: nothing is left behind, however the process ends
        with tempfile.TemporaryFile(prefix='clustercnn-', dir=self.folder) as file:
            _reserve(file, n_bytes, self.folder)
            return np.memmap(file, dtype, mode='r+', shape=shape)

    def nested(self):
        """
        Return the data set.
        """
        dataset = {}
        for path, array in self.arrays.items():
            node = dataset
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = array
        return dataset


def _is_one_value(array):
    # seen many times, as planes that are missing
    return array.ndim > 2 and not any(array.strides)


def _reserve(file, n_bytes, folder):
    """
    Take the room for a file: later a full disk would end the process without a word.
    """
    free = shutil.disk_usage(folder).free
    reason = None if n_bytes <= free else f'{free / 1e6:.0f} MB are free'
    if reason is None and hasattr(os, 'posix_fallocate'):
        try:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError as error:
            # others mean that this file system cannot do it
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                reason = error.strerror
    if reason is not None:
        msg = (
            f'{folder}: there is no room for {n_bytes / 1e6:.1f} MB more of what networks see of '
            f"the cutouts ({reason}); give a folder on a larger disk as 'scratch'"
        )
        raise OSError(msg)


def spool(paths, ids, inputs, wanted, *, folder, progress=None):
    """
    Make data sets of the cutouts of files, a piece at a time.

    Parameters
    ----------
    paths : list of path-like
        HDF5 files.
    ids : list of list of str
        From `in_order`.
    inputs : InputSpec
        What the networks see.
    wanted : list of 1D `~numpy.ndarray` of int
        For each data set the rows of all files together, in its order.
    folder : `~pathlib.Path`
        Where planes are kept, in files without a name that go with the last use of the arrays.
    progress : bool or None, optional
        Whether to show a bar; None: on a terminal.

    Returns
    -------
    datasets : list of dict
        See `~clustercnn.network.make_dataset`; None for one without rows.
    known : set of str
        The numbers that are finite for any cutout.

    Raises
    ------
    TableReadError
        If a file is not what it was when the identifiers were read.
    OSError
        If the disk is full.
    """
    planes = [_Planes(folder, len(rows)) for rows in wanted]
    known, start = set(), 0
    quiet = None if progress is None else not progress
    n_items = sum(len(here) for here in ids)
    with progress_bar(total=n_items, label='read', quiet=quiet, unit='cutouts') as bar:
        for path, here in zip(paths, ids, strict=True):
            for low in range(0, len(here), _AT_A_TIME):
                expected = here[low : low + _AT_A_TIME]
                stack = read_stack(path, rows=slice(low, low + len(expected)))
                if list(stack.ids) != expected:
                    reason = 'was changed while it was read; train again once it is complete'
                    raise TableReadError(path, reason)
                known |= {k for k, v in features_of(stack).items() if np.isfinite(v).any()}
                for rows, part in zip(wanted, planes, strict=True):
                    places = np.flatnonzero((rows >= start) & (rows < start + len(stack)))
                    if len(places):
                        chosen = stack[rows[places] - start]
                        features = features_of(chosen)
                        part.put(places, make_dataset(inputs, arrays_of(chosen), features=features))
                start += len(stack)
                bar.update(len(stack))
    datasets = [part.nested() or None for part in planes]
    return datasets, known


def without_unknown(inputs, datasets, known):
    """
    Leave out the numbers of the finder that no cutout has.

    Parameters
    ----------
    inputs : InputSpec
        What the data sets hold.
    datasets : list of dict
        From `spool`; changed.
    known : set of str
        From `spool`.

    Returns
    -------
    inputs : InputSpec
        What is left.
    """
    columns = [column for column, name in enumerate(inputs.features) if name in known]
    for dataset in datasets:
        if dataset is not None:
            dataset |= {name: dataset[name][:, columns] for name in ('features', 'known')}
    return dataclasses.replace(inputs, features=tuple(inputs.features[c] for c in columns))
