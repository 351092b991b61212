# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A trained model as an ONNX graph, from raw cutouts to calibrated probabilities, and the runtime
that carries it out.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np

from clustercnn.exceptions import MissingDependencyError
from clustercnn.network import FEATURES, make_onnx

__all__ = ['BACKENDS', 'RuntimeSession', 'as_onnx']

BACKENDS = ('jax', 'onnxruntime')

_FEATURES = 'features'
_PLANES = {
    'xray': {
        'counts': 'counts per pixel',
        'exposure': 'exposure per pixel in any unit; only ratios within a cutout matter',
        'background': 'expected counts per pixel; zero everywhere where it is not known',
        'valid': '1 for good pixels, 0 for others; 0 everywhere where the band is missing',
    },
    'optical': {
        'data': 'surface brightness in any unit, linear or a density; bright is positive',
        'valid': '1 for good pixels, 0 for others; 0 everywhere where the band is missing',
    },
}
_FEATURE_UNITS = {
    'counts': 'ct',
    'core_counts': 'ct',
    'extent': 'arcsec',
    'psf_fwhm': 'arcsec',
}
_OUTPUTS = {
    'probability': 'calibrated probabilities of the classes, shape (n, n_classes)',
    'p_positive': 'their sum over the positive classes, shape (n,)',
    'p_positive_std': 'spread of that over the networks of the ensemble, shape (n,)',
    'logits': 'of each network, shape (n, n_networks, n_classes)',
    'hidden': 'what the last layer of each network sees, shape (n, n_networks, n_hidden)',
}


def _inputs_of(inputs):
    """
    Return shape and description of each input of the graph, by name.
    """
    shapes, texts = {}, {}
    for spec in inputs.bands:
        for plane, text in _PLANES[spec.kind].items():
            shapes[f'{spec.name}.{plane}'] = spec.shape
            texts[f'{spec.name}.{plane}'] = (
                f'{text}; finite everywhere; pixels of {spec.pixel_scale:.6g} arcsec, the '
                'candidate in the middle, shape (n, ny, nx)'
            )
    if inputs.features:
        columns = ', '.join(
            f'{name} [{_FEATURE_UNITS[name]}]' if name in _FEATURE_UNITS else name
            for name in inputs.features
        )
        shapes[_FEATURES] = (len(inputs.features),)
        texts[_FEATURES] = f'columns {columns}; NaN where not known; shape (n, n_features)'
    return shapes, texts


def _batch_of(arrays, inputs):
    """
    Return what `~clustercnn.network.Network.preprocess` takes, from raw arrays.
    """
    bands = {}
    for spec in inputs.bands:
        planes = {plane: arrays[f'{spec.name}.{plane}'] for plane in _PLANES[spec.kind]}
        present = planes['valid'].max((1, 2))
        planes['present'] = present
        if spec.kind == 'xray':
            # one that is zero everywhere is replaced by the outskirts of the cutout
            planes['has_background'] = jnp.ones_like(present)
        bands[spec.name] = planes
    n_items = next(iter(arrays.values())).shape[0]
    if not inputs.features:
        none = jnp.zeros((n_items, 0), jnp.float32)
        return {'bands': bands, 'features': none, 'known': none}
    raw = arrays[_FEATURES]
    # an infinite likelihood is a high one, as it is for the other backend
    known = ~jnp.isnan(raw)
    largest = jnp.finfo(jnp.float32).max
    filled = jnp.where(known, jnp.clip(raw, -largest, largest), 0)
    columns = [
        FEATURES[name].scale(jax.lax.index_in_dim(filled, number, axis=1), namespace=jnp)
        for number, name in enumerate(inputs.features)
    ]
    return {
        'bands': bands,
        'features': jnp.where(known, jnp.concatenate(columns, axis=1), 0),
        'known': known.astype(jnp.float32),
    }


def _function_of(model, schema):
    network, description = model['network'], model['description']
    apply = network.apply_averaged if description['dihedral'] else network.apply
    positive = np.zeros(schema.n_classes, np.float32)
    positive[list(schema.positive_codes)] = 1

    def softmax(logits):
        odds = jnp.exp(logits - logits.max(-1, keepdims=True))
        return odds / odds.sum(-1, keepdims=True)

    def function(arrays):
        planes = network.preprocess(_batch_of(arrays, network.inputs))
        results = [apply(params, planes) for params in model['members']]
        logits, hidden = (jnp.stack(parts, axis=1) for parts in zip(*results, strict=True))
        probability = softmax(logits.mean(1) / description['temperature'])
        each = softmax(logits / description['temperature']) @ positive
        return {
            'probability': probability,
            'p_positive': probability @ positive,
            'p_positive_std': jnp.sqrt(((each - each.mean(1, keepdims=True)) ** 2).mean(1)),
            'logits': logits,
            'hidden': hidden,
        }

    return function


def as_onnx(model, schema):
    """
    Return a model as the contents of an ONNX file.

    Parameters
    ----------
    model : dict
        As `~clustercnn.Classifier` keeps it.
    schema : `~clustercnn.LabelSchema`
        The classes.

    Returns
    -------
    content : bytes
        The file.
    """
    network, description = model['network'], model['description']
    shapes, texts = _inputs_of(network.inputs)
    facts = {
        'kind': 'clustercnn classifier',
        'version': 1,
        'network': network.to_dict(),
        'classes': list(schema.classes),
        'positive': list(schema.positive),
        'n_networks': len(model['members']),
        'dihedral': description['dihedral'],
        'temperature': description['temperature'],
        'class_prior': description['class_prior'],
        'inputs': texts,
        'outputs': _OUTPUTS,
    }
    return make_onnx(
        _function_of(model, schema),
        shapes,
        documentation=texts | _OUTPUTS,
        metadata={'clustercnn': json.dumps(facts, sort_keys=True)},
    )


class RuntimeSession:
    """
    A model in ONNX Runtime, called as the jitted functions are; always on a CPU.

    Parameters
    ----------
    model : dict
        As `~clustercnn.Classifier` keeps it.
    schema : `~clustercnn.LabelSchema`
        The classes.
    """

    prediction_batch = 32

    def __init__(self, model, schema):
        try:
            import onnxruntime
        except ImportError as error:
            msg = (
                "backend 'onnxruntime' needs the package onnxruntime: "
                "pip install 'clustercnn[onnx]'"
            )
            raise MissingDependencyError(msg) from error
        self._session = onnxruntime.InferenceSession(
            as_onnx(model, schema), providers=['CPUExecutionProvider']
        )
        self._names = [given.name for given in self._session.get_inputs()]

    def predict(self, params, batch):
        """
        Return logits and hidden values of each network.

        Parameters
        ----------
        params : None
            They are in the graph.
        batch : dict
            From `~clustercnn.network.take`, with raw features.

        Returns
        -------
        logits, hidden : 3D `~numpy.ndarray`
            Shape ``(n, n_networks, ...)``.
        """
        arrays = {_FEATURES: batch['raw_features']}
        for band, planes in batch['bands'].items():
            present = planes['present'][:, None, None]
            for plane, values in planes.items():
                # a band that is marked as missing has no valid pixel
                arrays[f'{band}.{plane}'] = values * present if plane == 'valid' else values
        given = {name: arrays[name] for name in self._names}
        return tuple(self._session.run(['logits', 'hidden'], given))
