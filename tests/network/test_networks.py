# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The networks: what is known of the paper's one, and what ours promises.
"""

import dataclasses
import re

import jax
import numpy as np
import pytest

from clustercnn.network import (
    FEATURES,
    BandSpec,
    CNConfig,
    FusionConfig,
    InputSpec,
    MobileNetConfig,
    Network,
    Preprocessing,
    build_network,
    flatten,
    from_dict,
    network_names,
    take,
    to_dict,
    unflatten,
)

FIELD = (
    BandSpec(name='xray', kind='xray', shape=(64, 64), pixel_scale=4.0),
    BandSpec(name='optical', kind='optical', shape=(128, 128), pixel_scale=2.0),
)


def pictures(shape, n_bands=1):
    return InputSpec(
        bands=tuple(
            BandSpec(name=f'b{n}', kind='optical', shape=shape, pixel_scale=1.0)
            for n in range(n_bands)
        )
    )


# fewer blocks are compiled in a fraction of the time
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2))
NETWORKS = {
    'cn': ('cn', {}),
    'fusion': ('fusion', {}),
    'fusion, normalised': ('fusion', {'batch_norm': True}),
    'mobilenet': ('mobilenet', {'stages': STAGES}),
}


@pytest.fixture(scope='module', params=NETWORKS)
def made(request, inputs):
    name, options = NETWORKS[request.param]
    network = build_network(name, inputs, n_classes=4, options=options)
    return network, network.init(1)


@pytest.fixture(scope='module')
def planes(made, batch):
    network, _ = made
    return jax.jit(network.preprocess)(batch)


@pytest.fixture(scope='module')
def apply(made):
    network, _ = made
    return jax.jit(lambda params, planes, key=None: network.apply(params, planes, key=key)[0])


@pytest.fixture(scope='module')
def logits(made):
    """
    Jitted, from raw batch to logits.
    """
    network, _ = made
    return jax.jit(lambda params, batch: network.apply(params, network.preprocess(batch))[0])


def test_cn_is_the_papers_on_the_papers_pictures():
    # 3 x 3 x 3 x 64 + 64, 64 x 9 x 32 + 32, 4 (32 x 9 x 32 + 32), 288 x 256 + 256, 256 x 2 + 2
    network = build_network('cn', pictures((356, 356), 3), n_classes=2)
    assert network.n_parameters == 1792 + 18464 + 4 * 9248 + 73984 + 514 == 131746
    assert network.template['hidden']['kernel'].shape == (288, 256)


@pytest.mark.parametrize(('shape', 'n_flat'), [((64, 64), 32), ((128, 128), 128), ((16, 16), 32)])
def test_cn_copes_with_smaller_pictures(shape, n_flat):
    network = build_network('cn', pictures(shape, 2), n_classes=2)
    assert network.template['hidden']['kernel'].shape == (n_flat, 256)
    assert sum(name.startswith('conv') for name in network.template) == 6


def test_cn_says_when_pictures_are_too_small_for_valid_padding():
    network = build_network('cn', pictures((64, 64)), n_classes=2, options={'padding': 'valid'})
    with pytest.raises(ValueError, match="too small for padding 'valid'"):
        _ = network.template


def test_cn_penalises_the_dense_kernel(inputs):
    network = build_network('cn', inputs, n_classes=2, options={'l1': 0.5})
    params = network.init(0)
    expected = 0.5 * np.abs(params['hidden']['kernel']).sum()
    assert float(network.penalty(params)) == pytest.approx(float(expected), rel=1e-5)


def test_fusion_is_small():
    network = build_network('fusion', InputSpec(bands=FIELD, features=tuple(FEATURES)), n_classes=4)
    assert network.n_parameters < 400_000


def test_dropout_is_really_applied(made, planes, apply):
    _, params = made
    calm = [np.array(apply(params, planes)) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    one, other = (np.array(apply(params, planes, jax.random.key(n))) for n in range(2))
    assert abs(one - other).max() > 1e-4 and abs(one - calm[0]).max() > 1e-4


def test_average_does_not_change_when_the_sky_is_turned(made, planes, apply):
    network, params = made
    function = jax.jit(network.apply_averaged)
    turned = planes | {
        kind: {name: x[:, ::-1].swapaxes(1, 2) for name, x in planes[kind].items()}
        for kind in ('pictures', 'coverage')
    }
    one, other = function(params, planes)[0], function(params, turned)[0]
    np.testing.assert_allclose(one, other, atol=1e-5)
    plain, also = apply(params, planes), apply(params, turned)
    assert abs(plain - also).max() > 1e-4


def test_neighbours_and_padding_do_not_matter(made, dataset, logits):
    _, params = made
    whole = np.array(logits(params, take(dataset, np.arange(12), 16)))
    order = np.random.default_rng(1).permutation(12)
    mixed = np.array(logits(params, take(dataset, order, 16)))
    np.testing.assert_array_equal(mixed[:12], whole[order])
    some = np.array(logits(params, take(dataset, np.arange(3), 16)))
    np.testing.assert_array_equal(some[:3], whole[:3])


def test_what_a_missing_band_would_show_does_not_matter(made, batch, logits):
    _, params = made
    optical = batch['bands']['optical'] | {'present': np.zeros(16, np.float32)}
    gone = batch | {'bands': batch['bands'] | {'optical': optical}}
    other = optical | {'data': optical['data'][::-1] * 3}
    first = logits(params, gone)
    second = logits(params, gone | {'bands': gone['bands'] | {'optical': other}})
    np.testing.assert_array_equal(first, second)
    assert abs(first - logits(params, batch)).max() > 1e-4


def test_normalised_fusion_has_no_biases_that_the_normalisation_would_take_away(inputs):
    network = build_network('fusion', inputs, n_classes=2, options={'batch_norm': True})
    for name in ('stem0', 'stem1'):
        stem = network.template[name]
        assert set(stem['norm']) == {'scale', 'bias', 'mean', 'variance'}
        convolutions = {layer for layer in stem if layer.startswith(('embedding', 'conv'))}
        assert len(convolutions) == 4
        assert all(set(stem[layer]) == {'kernel'} for layer in convolutions)
        assert set(stem['profile']) == {'kernel', 'bias'}


def test_a_batch_without_a_band_says_nothing_of_it(inputs, batch):
    network = build_network('fusion', inputs, n_classes=2, options={'batch_norm': True})
    trained, statistics = network.divide(network.init(0))
    step = jax.jit(
        lambda planes: network.apply_training(
            trained, statistics, planes, key=jax.random.key(0), mask=batch['_mask']
        )[1]
    )
    planes = jax.jit(network.preprocess)(batch)
    seen = step(planes)
    without = planes['present'] | {'optical': np.zeros(16, np.float32)}
    gone = step(planes | {'present': without})
    for name, start in flatten(statistics).items():
        assert abs(flatten(seen)[name] - start).max() > 0
        if name.startswith('stem1'):
            np.testing.assert_array_equal(flatten(gone)[name], start)
        else:
            np.testing.assert_array_equal(flatten(gone)[name], flatten(seen)[name])


def test_fusion_is_normalised_or_not():
    with pytest.raises(TypeError, match="'batch_norm' must be True or False, got 1"):
        FusionConfig(batch_norm=1)


def test_fusion_uses_the_finders_numbers(inputs, batch):
    network = build_network('fusion', inputs, n_classes=2)
    params = network.init(0)
    apply = jax.jit(network.apply)
    planes = jax.jit(network.preprocess)(batch)
    unknown = planes | {'known': np.zeros_like(planes['known'])}
    changed = unknown | {'features': planes['features'] + 1}
    one, two, three = (apply(params, p)[0] for p in (planes, unknown, changed))
    assert abs(one - two).max() > 1e-4
    np.testing.assert_array_equal(two, three)


def test_initial_parameters_depend_on_the_seed_only(made):
    network, params = made
    jax.tree.map(np.testing.assert_array_equal, params, network.init(1))
    other = network.init(2)
    assert any(
        abs(a - b).max() > 0
        for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True)
    )


def test_description_round_trip(made):
    network, params = made
    again = Network.from_dict(network.to_dict())
    assert again == network
    jax.tree.map(np.testing.assert_array_equal, unflatten(again.template, flatten(params)), params)


def test_pictures_without_xrays_have_a_plane_of_their_shape(inputs):
    alone = pictures((32, 32), 2)
    for options, is_there in (
        (None, True),
        ({'dropout': 0.5}, True),
        ({'preprocessing': {'clip': 5.0}}, True),
        ({'preprocessing': {'optical_shape': False}}, False),
        (FusionConfig(), False),
    ):
        network = build_network('fusion', alone, n_classes=3, options=options)
        assert network.config.preprocessing.optical_shape is is_there
        assert Network.from_dict(network.to_dict()) == network
    assert build_network(
        'fusion', alone, n_classes=3, options={'preprocessing': {'clip': 5.0}}
    ).config.preprocessing == Preprocessing(clip=5.0, optical_shape=True)
    # elsewhere nothing changes, and a model that was saved before knows nothing of it
    for name, seen in (('fusion', inputs), ('cn', alone), ('mobilenet', alone)):
        network = build_network(name, seen, n_classes=3)
        assert not network.config.preprocessing.optical_shape
        saved = network.to_dict()
        del saved['config']['preprocessing']['optical_shape']
        assert Network.from_dict(saved) == network
    saved = build_network('fusion', alone, n_classes=3, options=FusionConfig()).to_dict()
    del saved['config']['preprocessing']['optical_shape']
    assert not Network.from_dict(saved).config.preprocessing.optical_shape
    with pytest.raises(TypeError, match="'optical_shape' must be True or False, got 1"):
        Preprocessing(optical_shape=1)


@pytest.mark.parametrize('config', [CNConfig, FusionConfig, MobileNetConfig, Preprocessing])
def test_unknown_options_fail(config):
    assert from_dict(config, to_dict(config())) == config()
    with pytest.raises(ValueError, match=re.escape(f"{config.__name__} has no option 'wdith'")):
        from_dict(config, {'wdith': 3})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().preprocessing = 3


@pytest.mark.parametrize(
    ('config', 'values'),
    [
        (CNConfig, {'width': 10**9}),
        (CNConfig, {'width': 0}),
        (CNConfig, {'dropout': 1.0}),
        (CNConfig, {'dropout': float('nan')}),
        (CNConfig, {'padding': 'reflect'}),
        (CNConfig, {'n_stages': 10**6}),
        (MobileNetConfig, {'width': 0.0}),
        (MobileNetConfig, {'resolution': 1e9}),
        (MobileNetConfig, {'momentum': 1.0}),
        (MobileNetConfig, {'padding': 'valid'}),
        (MobileNetConfig, {'channels': (1,)}),
        (MobileNetConfig, {'stages': ((1, 16, 1),)}),
        (MobileNetConfig, {'stages': ((1, 16, 1, 3),)}),
        (FusionConfig, {'widths': ()}),
        (FusionConfig, {'widths': (8,) * 100}),
        (Preprocessing, {'xray_scales': (-1.0,)}),
        (Preprocessing, {'clip': 0.0}),
    ],
)
def test_absurd_options_fail(config, values):
    with pytest.raises(ValueError, match=next(iter(values))):
        config(**values)


def test_unknown_network():
    with pytest.raises(ValueError, match=f'there are {", ".join(network_names())}'):
        build_network('resnet', pictures((8, 8)), n_classes=2)


def test_arrays_that_do_not_fit_are_named(made):
    network, params = made
    flat = flatten(params)
    name = next(iter(flat))
    with pytest.raises(ValueError, match=f"'{re.escape(name)}' is missing"):
        unflatten(network.template, {k: v for k, v in flat.items() if k != name})
    with pytest.raises(ValueError, match=f"'{re.escape(name)}' must be float32"):
        unflatten(network.template, flat | {name: np.zeros(3)})
