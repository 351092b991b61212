# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Weights of networks that others have published: Keras HDF5, safetensors and npz. Nothing in
a file is executed, so pickled ones have to be converted first.
"""

import math
import zipfile
from pathlib import Path

import h5py
import numpy as np
from safetensors import SafetensorError, safe_open

from clustercnn.exceptions import ModelFileError

__all__ = ['read_weights']

# larger than any network that this package has; a hostile file must not fill the memory
_MOST_VALUES = 500_000_000

_PICKLED = ('.pth', '.pt', '.pkl', '.bin', '.ckpt')
_RECIPE = (
    'is a pickle, which could execute anything; convert it once where PyTorch is installed: '
    "safetensors.torch.save_file(torch.load('{name}', weights_only=True), '{stem}.safetensors')"
)


def _checked(path, shapes):
    n_values = sum(math.prod(shape) for shape in shapes)
    if n_values > _MOST_VALUES:
        msg = f'{path}: holds {n_values} values, at most {_MOST_VALUES} are read'
        raise ModelFileError(msg)


def _texts(values):
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _read_keras(path):
    with h5py.File(path, 'r') as stream:
        group = stream.get('model_weights', stream)
        if 'layer_names' not in group.attrs:
            msg = (
                f"{path}: is no Keras file of weights (there is no attribute 'layer_names'); "
                'files named .weights.h5 by Keras 3 are of another format'
            )
            raise ModelFileError(msg)
        # in the order of the layers, which is how Keras itself matches them
        sets = {
            f'{layer}/{name}': group[layer][name]
            for layer in _texts(group.attrs['layer_names'])
            for name in _texts(group[layer].attrs['weight_names'])
        }
        _checked(path, [data.shape for data in sets.values()])
        return {name: np.asarray(data, np.float32) for name, data in sets.items()}


def _read_safetensors(path):
    with safe_open(str(path), framework='numpy') as stream:
        names = list(stream.keys())
        _checked(path, [stream.get_slice(name).get_shape() for name in names])
        return {name: stream.get_tensor(name) for name in names}


def _read_npz(path):
    with np.load(path, allow_pickle=False) as stream:
        return {name: stream[name] for name in stream.files}


def read_weights(path):
    """
    Read named arrays.

    Parameters
    ----------
    path : str or path-like
        The file: ``.h5`` as Keras applications are published, ``.safetensors`` or
        ``.npz`` with the names of a PyTorch state.

    Returns
    -------
    arrays : dict of str to `~numpy.ndarray`
        In the order of the file; for Keras ``layer/weight``, layers in their order.

    Raises
    ------
    ModelFileError
        If the file is of another kind, damaged, or pickled; says how to convert it.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from clustercnn.io import read_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'weights.npz'
    ...     np.savez(path, **{'features.0.0.weight': np.ones((32, 3, 3, 3))})
    ...     read_weights(path)['features.0.0.weight'].shape
    (32, 3, 3, 3)
    """
    path = Path(path)
    readers = {
        '.h5': _read_keras,
        '.hdf5': _read_keras,
        '.safetensors': _read_safetensors,
        '.npz': _read_npz,
    }
    if not path.exists():
        msg = f'{path}: there is no such file'
        raise FileNotFoundError(msg)
    if path.suffix in _PICKLED:
        msg = f'{path}: {_RECIPE.format(name=path.name, stem=path.stem)}'
        raise ModelFileError(msg)
    if path.suffix not in readers:
        msg = f'{path}: weights are read from {", ".join(readers)}, not {path.suffix!r}'
        raise ModelFileError(msg)
    try:
        return readers[path.suffix](path)
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        msg = f'{path}: cannot be read as {path.suffix} ({error}); was it written completely?'
        raise ModelFileError(msg) from error
