# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Data sets larger than memory: what networks see of the cutouts of files, kept on disk.
"""

import dataclasses
from pathlib import Path

import numpy as np

from clustercnn._classifier_data import arrays_of, features_of, inputs_of
from clustercnn._utils.progress import progress as progress_bar
from clustercnn.exceptions import TableReadError
from clustercnn.io.hdf5 import read_stack, stack_ids
from clustercnn.network import FEATURES, InputSpec, make_dataset

__all__ = ['in_order', 'spool', 'without_unknown']

# cutouts that are in memory at a time
_AT_A_TIME = 1024


def in_order(paths):
    """
    Return what files of cutouts hold, one after the other.

    Parameters
    ----------
    paths : list of path-like
        HDF5 files.

    Returns
    -------
    ids : tuple of str
        Of all cutouts.
    inputs : InputSpec
        All bands, as the first file has them that has one, and all numbers of the finder.

    Raises
    ------
    ValueError
        If a cutout is in two files.
    TableReadError
        If a file cannot be read, or there is no cutout in any.
    """
    ids, first, bands, features = [], {}, {}, set()
    for path in paths:
        here = stack_ids(path)
        for name in here:
            if name in first:
                where = 'twice' if first[name] == path else f'in {first[name]} as well'
                msg = f"cutout '{name}' of {path} is {where}; a cutout must be there once"
                raise ValueError(msg)
            first[name] = path
        ids += here
        if here:
            one = read_stack(path, rows=slice(0, 1))
            bands = {spec.name: spec for spec in inputs_of(one).bands} | bands
            features |= set(features_of(one))
    if not ids:
        raise TableReadError(paths[0] if paths else 'cutouts', 'there is no cutout to learn from')
    names = tuple(name for name in FEATURES if name in features)
    return tuple(ids), InputSpec(bands=tuple(bands.values()), features=names)


class _Planes:
    """
    Arrays of a data set that are filled row by row, those of pictures on disk.
    """

    def __init__(self, folder, n_items):
        self.folder = Path(folder)
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
            if path not in self.arrays:
                self.arrays[path] = self._array(path, value)
            self.arrays[path][places] = value

    def _array(self, path, value):
        shape = (self.n_items, *value.shape[1:])
        if value.ndim < 3:
            return np.zeros(shape, value.dtype)
        file = self.folder / f'{len(self.arrays)}.npy'
        return np.lib.format.open_memmap(file, mode='w+', dtype=value.dtype, shape=shape)

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


def spool(paths, inputs, wanted, *, folder, progress=None):
    """
    Make data sets of the cutouts of files, a piece at a time.

    Parameters
    ----------
    paths : list of path-like
        HDF5 files.
    inputs : InputSpec
        What the networks see.
    wanted : list of 1D `~numpy.ndarray` of int
        For each data set the rows of all files together, in its order.
    folder : path-like
        Where planes are kept.
    progress : bool or None, optional
        Whether to show a bar; None: on a terminal.

    Returns
    -------
    datasets : list of dict
        See `~clustercnn.network.make_dataset`; None for one without rows.
    known : set of str
        The numbers that are finite for any cutout.
    """
    planes = []
    for number, rows in enumerate(wanted):
        part = Path(folder) / str(number)
        part.mkdir()
        planes.append(_Planes(part, len(rows)))
    known, start = set(), 0
    lengths = [len(stack_ids(path)) for path in paths]
    quiet = None if progress is None else not progress
    with progress_bar(total=sum(lengths), label='read', quiet=quiet, unit='cutouts') as bar:
        for path, length in zip(paths, lengths, strict=True):
            for low in range(0, length, _AT_A_TIME):
                stack = read_stack(path, rows=slice(low, min(low + _AT_A_TIME, length)))
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
