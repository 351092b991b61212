# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Traces as ONNX graphs give what JAX gives, for any number of items.
"""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import lax

from clustercnn.network import make_onnx
from clustercnn.network.backend import native_formulations
from clustercnn.network.layers import conv, depthwise, fold, pool
from clustercnn.network.transforms import masked_median


def run(content, arrays):
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    names = [given.name for given in session.get_inputs()]
    outputs = [given.name for given in session.get_outputs()]
    results = session.run(outputs, {name: arrays[name] for name in names})
    return dict(zip(outputs, results, strict=True))


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def channel(x, number):
    # a plain index is a gather where the batch has no fixed size
    return lax.squeeze(lax.slice_in_dim(x, number, number + 1, axis=3), (3,))


KERNEL = normal(9, (3, 3, 3, 4))
DEPTHWISE = normal(8, (3, 3, 1, 3))
MATRIX = normal(7, (5, 6))

CASES = {
    'elementwise': lambda x: jnp.tanh(x) ** 2 + jnp.abs(x) / (1 + jnp.exp(-x)) - x**3,
    'comparisons': lambda x: jnp.where((x > 0.5) | ~(x >= -0.5), jnp.sign(x), x != 0),
    'logarithms': lambda x: jnp.log1p(jnp.abs(x)) * lax.rsqrt(1 + x * x),
    'not finite': lambda x: jnp.where(jnp.isfinite(jnp.where(x > 0, jnp.nan, x)), x, 7),
    'limits': lambda x: jnp.clip(x, -0.3, 0.4),
    'reductions': lambda x: jnp.stack([x.sum((1, 2)), x.max((1, 2)), x.min((1, 2))], axis=1),
    'any': lambda x: (x > 2).any((1, 2)).astype(jnp.float32),
    'a constant for each item': lambda x: jnp.zeros((x.shape[0], 2)) + 3,
    'smoothing': lambda x: MATRIX @ channel(x, 0) @ MATRIX.T,
    'einsum': lambda x: jnp.einsum('yj,njkc,xk->nyxc', MATRIX, x, MATRIX),
    'items against themselves': lambda x: jnp.einsum('nyxc,nyxd->ncd', x, x),
    'many times the batch': lambda x: jnp.concatenate([x, 2 * x]).reshape(2, -1, 108).mean(0),
    'turned': lambda x: jnp.swapaxes(lax.rev(x, (1,)), 1, 2),
    'thinned': lambda x: lax.slice(x, (0, 1, 0, 0), x.shape, (1, 2, 1, 1)),
    'convolution': lambda x: conv(x, KERNEL),
    'strided': lambda x: conv(x, KERNEL, stride=2, padding='symmetric'),
    'depthwise': lambda x: depthwise(x, DEPTHWISE, stride=2),
    'pool': pool,
    'fold': lambda x: fold(x, 4),
    'median': lambda x: masked_median(channel(x, 0), (channel(x, 1) > 0).astype(jnp.float32)),
}


@pytest.mark.parametrize('case', CASES)
def test_graph_is_the_function(case):
    def function(arrays):
        return {'y': CASES[case](arrays['x'])}

    content = make_onnx(function, {'x': (6, 6, 3)})
    for n_items in (1, 5):
        x = normal(n_items, (n_items, 6, 6, 3))
        with native_formulations():
            expected = jax.jit(function)({'x': x})['y']
        result = run(content, {'x': x})['y']
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_equal_functions_give_equal_bytes_and_names_are_kept():
    def function(arrays):
        return {'sum': arrays['b'] + arrays['a'].sum(1), 'first': arrays['a']}

    options = {'documentation': {'a': 'counts'}, 'metadata': {'key': 'value'}}
    content = make_onnx(function, {'b': (), 'a': (4,), 'unused': (3,)}, **options)
    assert content == make_onnx(function, {'b': (), 'a': (4,), 'unused': (3,)}, **options)
    model = onnx.load_from_string(content)
    assert [given.name for given in model.graph.input] == ['b', 'a']
    assert model.graph.input[1].doc_string == 'counts'
    assert {prop.key: prop.value for prop in model.metadata_props} == {'key': 'value'}
    a, b = normal(1, (3, 4)), normal(2, (3,))
    results = run(content, {'a': a, 'b': b})
    np.testing.assert_array_equal(results['first'], a)
    np.testing.assert_allclose(results['sum'], b + a.sum(1), rtol=1e-6)


@pytest.mark.parametrize(
    ('function', 'message'),
    [
        (lambda arrays: {'y': jnp.sort(arrays['x'])}, "'sort' has no translation to ONNX"),
        (lambda arrays: {'y': jnp.fft.rfft(arrays['x']).real}, "'fft' has no translation"),
    ],
)
def test_what_has_no_translation_is_named(function, message):
    with pytest.raises(ValueError, match=message):
        make_onnx(function, {'x': (4,)})


def test_a_loop_over_slices_is_refused():
    def function(arrays):
        rows = jnp.swapaxes(arrays['x'], 0, 1)
        return {'y': lax.scan(lambda total, row: (total + row, total), rows.sum(0), rows)[1].sum(0)}

    with pytest.raises(ValueError, match='a loop over slices has no translation'):
        make_onnx(function, {'x': (4,)})
