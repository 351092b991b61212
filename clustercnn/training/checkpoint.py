# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
States of a training on disk, written whole or not at all, from which a killed
run goes on to the same bits; and arrays with a description in one safe file.
"""

import hashlib
import json

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clustercnn._utils.files import atomic_path
from clustercnn.exceptions import ModelFileError, TrainingError

__all__ = [
    'differences',
    'digest',
    'load_checkpoint',
    'read_arrays',
    'restore',
    'save_checkpoint',
    'write_arrays',
]

_KEY = 'clustercnn'


def digest(arrays):
    """
    Return the SHA-256 digest of named arrays.

    Parameters
    ----------
    arrays : dict
        Arrays by name, possibly nested.

    Returns
    -------
    digest : str
        64 hexadecimal digits, of names, types, shapes and values.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.training import digest
    >>> digest({'a': np.zeros(2)}) == digest({'a': np.zeros(3)})
    False
    """
    found = hashlib.sha256()

    def walk(tree, prefix):
        for name in sorted(tree):
            value = tree[name]
            if isinstance(value, dict):
                walk(value, f'{prefix}{name}.')
                continue
            array = np.asarray(value)
            found.update(f'{prefix}{name}|{array.dtype.str}|{array.shape}|'.encode())
            if array.ndim and array.size and not any(array.strides):
                # one value seen many times, as planes that are missing
                array = array.reshape(-1)[:1]
            for part in array if array.ndim > 2 else (array,):
                found.update(np.ascontiguousarray(part).data)

    walk(arrays, '')
    return found.hexdigest()


def write_arrays(path, arrays, description, *, overwrite=False):
    """
    Write named arrays and a description to one file, the same bytes every time.

    Parameters
    ----------
    path : str or path-like
        The file, ``.safetensors``.
    arrays : dict of str to `~numpy.ndarray`
        Arrays.
    description : dict
        Values for JSON.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from clustercnn.training import read_arrays, write_arrays
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.safetensors'
    ...     write_arrays(path, {'a': np.zeros(2)}, {'made by': 'hand'})
    ...     read_arrays(path)
    ({'a': array([0., 0.])}, {'made by': 'hand'})
    """
    # the format keeps several entries in no fixed order, hence a single one
    text = json.dumps(description, sort_keys=True, allow_nan=False)
    # not ascontiguousarray, which would give scalars an axis
    arrays = {name: np.asarray(array, order='C') for name, array in arrays.items()}
    content = save(arrays, metadata={_KEY: text})
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def read_arrays(path):
    """
    Read what `write_arrays` wrote; nothing in the file is executed.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    arrays : dict of str to `~numpy.ndarray`
        Arrays.
    description : dict
        The description.

    Raises
    ------
    ModelFileError
        If the file is damaged or of another kind.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from clustercnn.training import read_arrays, write_arrays
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.safetensors'
    ...     write_arrays(path, {'a': np.ones(1)}, {'epoch': 3})
    ...     arrays, description = read_arrays(path)
    >>> description['epoch']
    3
    """
    try:
        with safe_open(str(path), framework='numpy') as stream:
            text = (stream.metadata() or {}).get(_KEY)
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except FileNotFoundError:
        msg = f'{path}: there is no such file'
        raise FileNotFoundError(msg) from None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f'{path}: cannot be read as safetensors ({error}); was it written completely?'
        raise ModelFileError(msg) from error
    if text is None:
        msg = f'{path}: has no description by clustercnn; it holds something else'
        raise ModelFileError(msg)
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f'{path}: its description cannot be read ({error})'
        raise ModelFileError(msg) from error
    if not isinstance(description, dict):
        msg = f'{path}: its description is a {type(description).__name__}, expected an object'
        raise ModelFileError(msg)
    return arrays, description


def differences(stored, wanted, *, prefix=''):
    """
    Return where two nested configurations differ.

    Parameters
    ----------
    stored, wanted : dict
        Plain values.
    prefix : str, optional
        Put before every name.

    Returns
    -------
    lines : list of str
        One a difference: name, stored and wanted value.

    Examples
    --------
    >>> from clustercnn.training import differences
    >>> differences({'a': {'b': 1}}, {'a': {'b': 2}})
    ['a.b: 1 in the checkpoint, 2 now']
    """
    lines = []
    for name in sorted({*stored, *wanted}):
        old, new = stored.get(name, 'nothing'), wanted.get(name, 'nothing')
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, prefix=f'{prefix}{name}.')
        elif old != new:
            lines.append(f'{prefix}{name}: {old} in the checkpoint, {new} now')
    return lines


def _flat_leaves(tree):
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}, structure


def save_checkpoint(path, state, record):
    """
    Write the state of a training, replacing an older one.

    Parameters
    ----------
    path : str or path-like
        The file.
    state : pytree
        Arrays.
    record : dict
        Values for JSON; ``'configuration'`` is compared on resumption.

    Raises
    ------
    OSError
        If it cannot be written; an older state is then still there.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from clustercnn.training import load_checkpoint, save_checkpoint
    >>> configuration = {'seed': 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'state.safetensors'
    ...     save_checkpoint(path, {'step': np.array(7)}, {'configuration': configuration})
    ...     arrays, record = load_checkpoint(path, configuration=configuration)
    >>> list(arrays)
    ["['step']"]
    """
    arrays, _ = _flat_leaves(state)
    # copies: a view of a donated buffer would change under our hands
    arrays = {name: np.array(leaf, copy=True) for name, leaf in arrays.items()}
    record = {'kind': 'checkpoint', 'digest': digest(arrays), **record}
    write_arrays(path, arrays, record, overwrite=True)


def load_checkpoint(path, *, configuration):
    """
    Read the state of a training.

    Parameters
    ----------
    path : str or path-like
        The file.
    configuration : dict
        What the run at hand is; must be that of the stored one.

    Returns
    -------
    arrays : dict of str to `~numpy.ndarray`
        For `restore`.
    record : dict
        As stored.

    Raises
    ------
    TrainingError
        If the configuration differs (says where), or the file is no checkpoint
        or not what was written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from clustercnn.training import load_checkpoint, save_checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'state.safetensors'
    ...     save_checkpoint(path, {'step': np.array(7)}, {'configuration': {'seed': 1}})
    ...     load_checkpoint(path, configuration={'seed': 2})
    Traceback (most recent call last):
        ...
    clustercnn.exceptions.TrainingError: ... seed: 1 in the checkpoint, 2 now
    """
    try:
        arrays, record = read_arrays(path)
    except ModelFileError as error:
        msg = f'{error}; delete it to train from the start'
        raise TrainingError(msg) from error
    if record.get('kind') != 'checkpoint' or not isinstance(record.get('configuration'), dict):
        msg = f'{path}: is not the checkpoint of a training; choose another name'
        raise TrainingError(msg)
    lines = differences(record['configuration'], configuration)
    if lines:
        msg = (
            f'{path}: belongs to another training; delete it to start anew, or go back to its '
            f'settings: {"; ".join(lines)}'
        )
        raise TrainingError(msg)
    if digest(arrays) != record.get('digest'):
        msg = f'{path}: its arrays are not those that were written; delete it to start anew'
        raise TrainingError(msg)
    return arrays, record


def restore(template, arrays):
    """
    Fill a state with stored arrays.

    Parameters
    ----------
    template : pytree
        A state of the same structure.
    arrays : dict of str to `~numpy.ndarray`
        From `load_checkpoint`.

    Returns
    -------
    state : pytree
        With the stored values.

    Raises
    ------
    TrainingError
        If an array is missing, left over, or of another shape or type.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.training import restore
    >>> int(restore({'step': np.int32(0)}, {"['step']": np.int32(7)})['step'])
    7
    """
    wanted, structure = _flat_leaves(template)
    if set(wanted) != set(arrays):
        odd = sorted(set(wanted) ^ set(arrays))
        msg = f'the stored state does not fit: {", ".join(odd[:5])} on one side only'
        raise TrainingError(msg)
    leaves = []
    for name, leaf in wanted.items():
        array = arrays[name]
        if array.shape != leaf.shape or array.dtype != leaf.dtype:
            msg = (
                f"the stored array '{name}' is {array.dtype} {array.shape}, expected "
                f'{leaf.dtype} {leaf.shape}'
            )
            raise TrainingError(msg)
        leaves.append(jax.numpy.asarray(array))
    return jax.tree_util.tree_unflatten(structure, leaves)
