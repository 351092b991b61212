# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A trained model as one file: arrays, and a description that is checked before
any of it is believed.
"""

import hashlib
import platform
from pathlib import Path

import numpy as np

from clustercnn.core import LabelSchema
from clustercnn.exceptions import ModelFileError
from clustercnn.network import Network, flatten, unflatten
from clustercnn.training import n_statistics, read_arrays, write_arrays

__all__ = ['MOST_MEMBERS', 'complete', 'read_model', 'write_model']

MOST_MEMBERS = 64
_VERSION = 2
_REFERENCE = ('axes', 'axes_unit', 'centres', 'mean', 'rest', 'unit')
_STATISTICS = ('mean', 'precision', 'quantiles', 'unit')
_WANTED = {
    'kind': str,
    'version': int,
    'name': str,
    'network': dict,
    'schema': dict,
    'n_members': int,
    'n_references': int,
    'dihedral': bool,
    'temperature': float,
    'calibration': dict,
    'ood_unit': float,
    'seed': int,
    'training': dict,
    'history': list,
    'best_epoch': list,
    'counts': dict,
    'classes': dict,
    'class_prior': list,
    'data_digest': str,
    'validation': dict,
    'versions': dict,
    'card': dict,
}


def complete(description, *, weights=None, origin=None):
    """
    Add versions and an empty card to a description.

    Parameters
    ----------
    description : dict
        What the training knows.
    weights : str or path-like, optional
        File of the weights it started from, whose name and SHA-256 go on the card.
    origin : dict, optional
        Model it started from, whose data go on the card.

    Returns
    -------
    description : dict
        A new one.
    """
    import flax
    import jax
    import optax

    import clustercnn

    versions = {
        'python': platform.python_version(),
        'numpy': np.__version__,
        **{module.__name__: module.__version__ for module in (jax, flax, optax, clustercnn)},
    }
    card = {}
    if weights is not None:
        content = Path(weights).read_bytes()
        found = hashlib.sha256(content).hexdigest()
        card = {'initial weights': f'{Path(weights).name}, SHA-256 {found}'}
    if origin is not None:
        first = origin['description']
        card = first['card'] | {
            'fine-tuned': (
                f'from a model of {first["counts"]["used"]} cutouts, digest '
                f'{first["data_digest"]}; what else this card says holds for that one'
            )
        }
    return description | {'versions': versions, 'card': card}


def write_model(path, model, *, name, schema, overwrite):
    """
    Write a model.

    Parameters
    ----------
    path : str or path-like
        The file.
    model : dict
        With ``network``, ``members``, ``references``, ``statistics``, ``description``.
    name : str
        Name of the network.
    schema : LabelSchema
        The classes.
    overwrite : bool
        Whether an existing file may be replaced.
    """
    arrays, references = {}, model['references'] or []
    for number, params in enumerate(model['members']):
        arrays |= flatten(params, prefix=f'member{number}.')
    for number, group in enumerate(references):
        for kind, reference in enumerate(group):
            arrays |= flatten(reference, prefix=f'reference{number}.{kind}.')
    for band, reference in model['statistics'].items():
        arrays |= flatten(reference, prefix=f'statistics.{band}.')
    description = model['description'] | {
        'kind': 'clustercnn model',
        'version': _VERSION,
        'name': name,
        'network': model['network'].to_dict(),
        'schema': {'classes': list(schema.classes), 'positive': list(schema.positive)},
        'n_members': len(model['members']),
        'n_references': len(references[0]) if references else 0,
    }
    write_arrays(path, arrays, description, overwrite=overwrite)


def _bad(path, reason):
    msg = f'{path}: {reason}'
    return ModelFileError(msg)


def _checked(path, description):
    if description.get('kind') != 'clustercnn model':
        raise _bad(path, 'is not a model of clustercnn')
    if description.get('version') != _VERSION:
        version = description.get('version')
        reason = (
            f'has version {version!r} of the format, expected {_VERSION}; update clustercnn, or '
            'train anew if the file is older'
        )
        raise _bad(path, reason)
    odd = sorted(set(_WANTED) ^ set(description))
    if odd:
        reason = f'its description has missing or unknown entries: {", ".join(map(repr, odd[:5]))}'
        raise _bad(path, reason)
    for name, kind in _WANTED.items():
        if type(description[name]) is not kind:
            got = type(description[name]).__name__
            raise _bad(path, f"'{name}' must be a {kind.__name__}, is a {got}")
    if not 1 <= description['n_members'] <= MOST_MEMBERS:
        raise _bad(path, f"'n_members' must be 1 to {MOST_MEMBERS}")
    if not 0 <= description['n_references'] <= 2:
        raise _bad(path, "'n_references' must be 0 to 2")
    if not description['ood_unit'] > 0:
        raise _bad(path, "'ood_unit' must be above 0")
    if not 0.01 <= description['temperature'] <= 100:
        raise _bad(path, "'temperature' is out of range")
    return description


def _check_calibration(path, calibration, n_classes):
    if not calibration:
        return
    fits = False
    try:
        rows = [
            [row['purity'], row['threshold'], *row['measured_purity'], *row['completeness']]
            for row in calibration['thresholds']
        ]
        numbers = np.array(rows, float).reshape(len(rows), 8)
        coverage, limit = (
            np.array(calibration['conformal'][name], float) for name in ('coverage', 'limit')
        )
        fits = limit.shape == (n_classes, len(coverage))
        fits &= all(np.isfinite(values).all() for values in (numbers, coverage, limit))
    except (TypeError, KeyError, ValueError):
        pass
    if not fits:
        raise _bad(path, "'calibration' does not make sense")


def _reference(path, arrays, prefix):
    reference = {name: arrays.get(f'{prefix}{name}') for name in _REFERENCE}
    missing = [name for name, value in reference.items() if value is None]
    if missing:
        raise _bad(path, f"the array '{prefix}{missing[0]}' is missing")
    n_hidden = reference['mean'].size
    n_axes = len(reference['axes']) if reference['axes'].ndim == 2 else 0
    shapes = {
        'mean': (n_hidden,),
        'axes': (n_axes, n_hidden),
        'axes_unit': (n_axes, n_hidden),
        'centres': (len(np.atleast_1d(reference['centres'])), n_axes),
        'rest': (),
        'unit': (),
    }
    for name, shape in shapes.items():
        if reference[name].shape != shape or reference[name].dtype != np.float32:
            raise _bad(path, f"the array '{prefix}{name}' has an unexpected shape or type")
    if not (reference['rest'] > 0 and reference['unit'] > 0):
        raise _bad(path, f"the scales of '{prefix}' must be positive")
    return reference


def _band_statistics(path, arrays, prefix, n):
    reference = {name: arrays.get(f'{prefix}{name}') for name in _STATISTICS}
    missing = [name for name, value in reference.items() if value is None]
    if missing:
        raise _bad(path, f"the array '{prefix}{missing[0]}' is missing")
    shapes = {'mean': (n,), 'precision': (n, n), 'quantiles': (3, n), 'unit': ()}
    for name, shape in shapes.items():
        if reference[name].shape != shape or reference[name].dtype != np.float32:
            raise _bad(path, f"the array '{prefix}{name}' has an unexpected shape or type")
    if not reference['unit'] > 0:
        raise _bad(path, f"the scale of '{prefix}' must be positive")
    return reference


def read_model(path):
    """
    Read a model.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    model : dict
        As `write_model` takes it.
    name : str
        Name of the network.
    schema : LabelSchema
        The classes.

    Raises
    ------
    ModelFileError
        If anything in the file is not as it must be.
    """
    arrays, description = read_arrays(path)
    description = _checked(path, description)
    try:
        schema = LabelSchema(
            tuple(description['schema']['classes']), tuple(description['schema']['positive'])
        )
        network = Network.from_dict(description['network'])
        template = network.template
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise _bad(path, f'its description does not make sense ({error})') from error
    _check_calibration(path, description['calibration'], schema.n_classes)
    if network.name != description['name'] or network.n_classes != schema.n_classes:
        raise _bad(path, 'its network and its classes do not fit together')
    members, references, used = [], [], set()
    try:
        for number in range(description['n_members']):
            prefix = f'member{number}.'
            members.append(unflatten({f'member{number}': template}, arrays)[f'member{number}'])
            used |= set(flatten(template, prefix=prefix))
    except ValueError as error:
        raise _bad(path, str(error)) from error
    for number in range(description['n_members'] if description['n_references'] else 0):
        group = []
        for kind in range(description['n_references']):
            prefix = f'reference{number}.{kind}.'
            group.append(_reference(path, arrays, prefix))
            used |= {f'{prefix}{name}' for name in _REFERENCE}
        references.append(group)
    statistics = {}
    for spec in network.inputs.bands:
        prefix = f'statistics.{spec.name}.'
        if f'{prefix}mean' in arrays:
            statistics[spec.name] = _band_statistics(path, arrays, prefix, n_statistics(spec))
            used |= {f'{prefix}{name}' for name in _STATISTICS}
    if set(arrays) != used:
        extra = sorted(set(arrays) - used)
        raise _bad(path, f"holds arrays that no network needs, such as '{extra[0]}'")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise _bad(path, f"the array '{name}' has values that are not finite")
        if name.endswith('.variance') and (array < 0).any():
            raise _bad(path, f"the array '{name}' has variances below zero")
    kept = {
        name: value
        for name, value in description.items()
        if name not in ('kind', 'version', 'name', 'network', 'schema', 'n_members', 'n_references')
    }
    model = {
        'network': network,
        'members': members,
        'references': references or None,
        'statistics': statistics,
        'description': kept,
    }
    return model, network.name, schema
