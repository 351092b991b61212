# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is computed in narrow numbers agrees with what is not, and what must be wide stays so.
"""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from clustercnn.network import BandSpec, InputSpec, build_network, layers
from clustercnn.network.backend import computing_in, narrowed, native_formulations, widened
from clustercnn.network.layers import BatchNorm, Conv, conv, depthwise, pool
from clustercnn.training import Steps, TrainingConfig

SPECS = (
    BandSpec(name='xray', kind='xray', shape=(32, 32), pixel_scale=4.0),
    BandSpec(name='optical', kind='optical', shape=(32, 32), pixel_scale=4.0),
)
INPUTS = InputSpec(bands=SPECS, features=('counts', 'ext_like'))
FEW_BLOCKS = {'stages': ((1, 16, 1, 1), (6, 24, 1, 2)), 'width': 0.35}


def make_network(name):
    options = FEW_BLOCKS if name == 'mobilenet' else {}
    return build_network(name, INPUTS, n_classes=3, options=options)


def make_batch(network, n_items=8):
    rng = np.random.default_rng(3)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    n_planes = network.config.preprocessing.n_planes
    ones = jnp.ones(n_items)
    planes = {
        'pictures': {s.name: normal(n_items, *s.shape, n_planes(s.kind)) for s in SPECS},
        'coverage': {s.name: jnp.ones((n_items, *s.shape, 1)) for s in SPECS},
        'present': {s.name: ones for s in SPECS},
        'features': normal(n_items, 2),
        'known': jnp.ones((n_items, 2)),
    }
    # the first pixels say which class it is
    codes = rng.integers(0, 3, n_items)
    target = np.eye(3, dtype=np.float32)[codes]
    planes['pictures']['xray'] = (
        planes['pictures']['xray'].at[..., 0].add(3.0 * codes[:, None, None])
    )
    return {'planes': planes, 'target': jnp.asarray(target), 'weight': ones, '_mask': ones}


def dtypes(tree):
    return {leaf.dtype.name for leaf in jax.tree.leaves(tree)}


def convolutions(jaxpr):
    """
    Yield the types of the factors of all convolutions and large products.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == 'conv_general_dilated':
            yield tuple(one.aval.dtype.name for one in equation.invars)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, 'jaxpr', inner)
                if hasattr(inner, 'eqns'):
                    yield from convolutions(inner)


@pytest.mark.parametrize('name', ['cn', 'fusion', 'mobilenet'])
def test_maps_are_narrow_and_logits_wide(name):
    network = make_network(name)
    params, planes = network.init(1), make_batch(network)['planes']

    def maps_and_logits(precision):
        with computing_in(precision):
            maps = network.maps(params, planes)
            return maps, network.head(params, maps, planes)

    (wide, logits), (narrow, others) = map(maps_and_logits, ('float32', 'bfloat16'))
    assert dtypes(wide) == {'float32'}
    assert dtypes(narrow) == {'bfloat16'}
    assert logits.dtype == others.dtype == jnp.float32
    # eight bits of a number
    spread = float(jnp.std(logits))
    assert 0 < float(jnp.abs(logits - others).max()) < 0.1 * spread


@pytest.mark.parametrize('name', ['cn', 'fusion', 'mobilenet'])
def test_training_in_narrow_numbers(name):
    network = make_network(name)
    batch = make_batch(network, 16)
    losses = {}
    for precision in ('float32', 'bfloat16'):
        config = TrainingConfig(batch_size=16, precision=precision, warmup=0.0)
        steps = Steps(network, config=config)
        state = steps.initial_state(1)
        losses[precision] = []
        for _ in range(30):
            state, metrics = steps.train(state, batch, 100)
            losses[precision].append(float(metrics['loss']))
        # master copies, their statistics and the optimiser's are never narrow
        assert dtypes(state['params']) == {'float32'}
        assert 'bfloat16' not in dtypes(state['optimizer'])
    assert losses['bfloat16'] != losses['float32']
    for values in losses.values():
        assert np.mean(values[-3:]) < 0.5 * values[0]


def test_precision_holds_within_threads():
    # what is set for the thread that calls does not reach the one that traces, nor does it matter
    network = make_network('fusion')
    steps = Steps(network, precision='bfloat16')
    batch = {k: v for k, v in make_batch(network).items() if k == '_mask'}
    batch |= {
        'bands': {
            'xray': dict.fromkeys(
                ('counts', 'exposure', 'background', 'valid'), jnp.ones((8, 32, 32))
            )
            | {'has_background': jnp.ones(8), 'present': jnp.ones(8)},
            'optical': dict.fromkeys(('data', 'valid'), jnp.ones((8, 32, 32)))
            | {'present': jnp.ones(8)},
        },
        'features': jnp.ones((8, 2)),
        'known': jnp.ones((8, 2)),
    }

    def types(steps):
        traced = jax.make_jaxpr(steps.predict)(network.init(1), batch)
        return set(convolutions(traced.jaxpr))

    with computing_in('float32'), ThreadPoolExecutor(1) as pool:
        assert pool.submit(types, steps).result() == {('bfloat16', 'bfloat16')}
    with computing_in('bfloat16'):
        assert types(Steps(network, precision='float32')) == {('float32', 'float32')}


def test_automatic_precision_follows_the_device(monkeypatch):
    with computing_in('auto'):
        assert narrowed(jnp.ones(1)).dtype == jnp.float32
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    with computing_in('auto'):
        assert narrowed(jnp.ones(1)).dtype == jnp.bfloat16
    with computing_in('float32'):
        assert narrowed(jnp.ones(1)).dtype == jnp.float32
        # or a GPU would round the factors of products
        traced = jax.make_jaxpr(lambda x: x @ x)(jnp.ones((2, 2)))
    assert 'HIGHEST' in str(traced.jaxpr.eqns[0].params['precision'])


def test_other_runtimes_get_wide_numbers():
    with computing_in('bfloat16'), native_formulations():
        assert narrowed(jnp.ones(1)).dtype == jnp.float32


def test_outside_of_a_context_nothing_is_narrow():
    with pytest.raises(RuntimeError, match='stop'), computing_in('bfloat16'):
        raise RuntimeError('stop')
    assert narrowed(jnp.ones(1)).dtype == jnp.float32
    # other types pass
    assert widened(jnp.ones(1, jnp.int32)).dtype == jnp.int32


@pytest.mark.parametrize('value', ['half', 'float16', None])
def test_unknown_precision(value):
    with pytest.raises(ValueError, match="'precision' must be one of"), computing_in(value):
        pass
    with pytest.raises(ValueError, match="'precision' must be one of"):
        TrainingConfig(precision=value)


@pytest.mark.parametrize('formulation', ['reshape', 'window'])
def test_pool_of_narrow_numbers(formulation):
    x = jnp.arange(32.0, dtype=jnp.bfloat16).reshape(1, 4, 4, 2) - 20
    y = pool(x, formulation=formulation)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y.astype(np.float32), pool(x.astype(jnp.float32)))
    gradient = jax.grad(lambda x: pool(x, formulation=formulation).sum())(x)
    assert gradient.dtype == jnp.bfloat16
    assert float(gradient.sum()) == 8


def test_gradients_of_narrow_layers():
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(4, 8, 8, 16)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 16, 8)), jnp.float32)
    single = jnp.asarray(rng.normal(size=(1, 1, 16, 8)), jnp.float32)
    each = jnp.asarray(rng.normal(size=(3, 3, 1, 16)), jnp.float32)
    for layer, weights in ((conv, kernel), (conv, single), (depthwise, each)):

        def objective(x, weights, layer=layer):
            return jnp.square(widened(layer(x, weights))).mean()

        wide = jax.grad(objective, argnums=(0, 1))(x, weights)
        with computing_in('bfloat16'):
            narrow = jax.grad(objective, argnums=(0, 1))(x, weights)
        assert dtypes(narrow) == {'float32'}
        for one, other in zip(wide, narrow, strict=True):
            assert (
                0
                < float(jnp.linalg.norm((one - other).ravel()))
                < 0.02 * float(jnp.linalg.norm(one.ravel()))
            )


def test_gradient_of_a_bias_is_summed_in_wide_numbers(monkeypatch):
    # not tile by tile: 256 thousand values of one sign, which eight bits cannot count
    monkeypatch.setattr(layers, 'on_cpu', lambda: False)
    x = jnp.asarray(np.random.default_rng(4).normal(size=(256, 32, 32, 4)), jnp.float32)
    layer = Conv(4, 8, size=1, rng=np.random.default_rng(5))
    definition, params = nnx.split(layer)

    def objective(params, x):
        return jax.nn.relu(widened(nnx.merge(definition, params)(x))).sum()

    wide = jax.grad(objective)(params, x)['bias'][...]
    with computing_in('bfloat16'):
        narrow = jax.grad(objective)(params, x)['bias'][...]
    np.testing.assert_allclose(narrow, wide, rtol=0.01)


@pytest.mark.parametrize('name', ['cn', 'fusion'])
def test_tiles_do_not_hang_on_what_was_asked_first(name):
    # else the bits of a float32 prediction would
    with computing_in('bfloat16'):
        first = make_network(name).tile
    assert first == make_network(name).tile


def test_batches_of_a_gpu_fit_into_it():
    network = make_network('fusion')
    assert network.most_at_once(averaged=False) == 1024
    large = InputSpec(
        bands=(BandSpec(name='g', kind='optical', shape=(356, 356), pixel_scale=1.0),)
    )
    large = build_network('cn', large, n_classes=2)
    one, eight = (large.most_at_once(averaged=value) for value in (False, True))
    # 356 x 356 pixels of the first filters are some 16 or 32 MB
    width = large.template['conv0']['kernel'].shape[-1]
    assert one * 356 * 356 * width * 4 <= 2**30
    assert 8 * eight == one >= 16


def test_normalisation_sums_in_wide_numbers():
    # noise of one on 100: in eight bits neither mean nor variance would survive a sum
    rng = np.random.default_rng(2)
    x = jnp.asarray(100 + rng.normal(size=(64, 16, 16, 1)), jnp.bfloat16)
    norm = BatchNorm(1, momentum=0.0)
    y = norm(x, mask=jnp.ones(64))
    assert y.dtype == jnp.bfloat16
    exact = np.asarray(x, np.float64)
    np.testing.assert_allclose(norm.mean[...], exact.mean(), rtol=1e-5)
    np.testing.assert_allclose(norm.variance[...], exact.var(), rtol=1e-3)
    assert dtypes((norm.mean[...], norm.variance[...])) == {'float32'}
    assert norm(x).dtype == jnp.bfloat16
