# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Running statistics of a normalised network: measured in training, stored, and brought back.
"""

import jax
import numpy as np
import pytest

from clustercnn.network import build_network, flatten, take
from clustercnn.training import Steps, TrainingConfig, loop, make_steps, train

# fewer blocks are compiled in a fraction of the time
OPTIONS = {
    'mobilenet': {'stages': ((1, 16, 1, 1), (6, 24, 2, 2)), 'width': 0.5},
    'fusion': {'widths': (16,), 'batch_norm': True},
}


def make(name, network):
    return build_network(name, network.inputs, n_classes=2, options=OPTIONS[name])


@pytest.fixture(scope='module', params=OPTIONS)
def normalised(request, network):
    return make(request.param, network)


@pytest.fixture(scope='module')
def settings():
    return TrainingConfig(n_epochs=3, batch_size=16, learning_rate=3e-3)


@pytest.fixture(scope='module')
def functions(normalised, settings):
    return make_steps(normalised, settings, 40)


def run(normalised, settings, functions, data, **options):
    return train(
        normalised,
        settings,
        data(40, seed=1),
        seed=5,
        steps=functions,
        validation=data(20, seed=2),
        **options,
    )


@pytest.fixture(scope='module')
def whole(normalised, settings, functions, data):
    return run(normalised, settings, functions, data)


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_networks_without_have_none(network):
    assert network.statistics_names == ()
    params = network.init(1)
    trained, statistics = network.divide(params)
    assert statistics == {}
    assert_same(trained, params)


def test_statistics_are_measured_and_not_trained(normalised, whole, functions):
    names = normalised.statistics_names
    start, end = flatten(normalised.init(0)), flatten(whole.params)
    assert len(names) == (20 if normalised.name == 'mobilenet' else 4) and set(names) < set(end)
    assert all(abs(end[name] - start[name]).max() > 0 for name in names)
    assert all((end[name] > 0).all() for name in names if name.endswith('variance'))
    trained, statistics = normalised.divide(whole.params)
    assert_same(normalised.join(trained, statistics), whole.params)
    assert set(flatten(statistics)) == set(names)
    # moments of the optimiser are those of trained values only
    (moments,) = {
        leaf.size for leaf in jax.tree.leaves(functions.initial_state(1)['optimizer']) if leaf.ndim
    }
    assert moments == normalised.n_parameters


def test_a_step_moves_the_statistics_as_the_momentum_says(network, data, calm):
    normalised = make('mobilenet', network)
    steps = Steps(normalised, config=TrainingConfig(augmentation=calm))
    batch = take(data(16, seed=1), np.arange(16), 16)
    state, _ = steps.train(steps.initial_state(1), batch, 3)
    params = normalised.init(1)
    planes = jax.jit(normalised.preprocess)(batch)
    stacked = np.concatenate([np.zeros((16, 16, 16, 2), np.float32)], axis=-1)
    x = np.concatenate([np.asarray(planes['pictures']['xray']), stacked], axis=-1)
    first = jax.lax.conv_general_dilated(
        x,
        params['first']['kernel'],
        (2, 2),
        'SAME',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    values = np.asarray(first, np.float64).reshape(-1, first.shape[-1])
    kept = state['params']['first_norm']
    np.testing.assert_allclose(kept['mean'], 0.1 * values.mean(0), atol=1e-5)
    np.testing.assert_allclose(kept['variance'], 0.9 + 0.1 * values.var(0, ddof=1), rtol=1e-5)


def test_padding_is_no_part_of_the_statistics(normalised, data, calm):
    steps = Steps(normalised, config=TrainingConfig(augmentation=calm))
    batch = take(data(16, seed=1), np.arange(9), 16)
    rubbish = take(data(16, seed=2), np.arange(16), 16) | {'_mask': batch['_mask']}
    mixed = jax.tree.map(lambda one, other: np.concatenate([one[:9], other[9:]]), batch, rubbish)
    results = []
    for each in (batch, mixed):
        state = steps.initial_state(1)
        for _ in range(2):
            state, metrics = steps.train(state, each, 3)
        results.append(jax.tree.map(np.array, (state['params'], metrics['loss'])))
    assert_same(*results)


def killed(path, normalised, settings, functions, data, monkeypatch):
    save = loop.save_checkpoint

    def save_and_die(*args):
        save(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, 'save_checkpoint', save_and_die)
        with pytest.raises(KeyboardInterrupt):
            run(normalised, settings, functions, data, checkpoint=path)


def test_resumed_run_has_the_same_statistics(
    whole, normalised, settings, functions, data, tmp_path, monkeypatch
):
    path = tmp_path / 'state.safetensors'
    killed(path, normalised, settings, functions, data, monkeypatch)
    resumed = run(normalised, settings, functions, data, checkpoint=path)
    assert_same(resumed.params, whole.params)
    assert resumed.history == whole.history


def test_statistics_that_are_not_restored_are_noticed(
    whole, normalised, settings, functions, data, tmp_path, monkeypatch
):
    path = tmp_path / 'state.safetensors'
    killed(path, normalised, settings, functions, data, monkeypatch)
    restore = loop.restore

    def forgetful(template, arrays):
        stored = restore(template, arrays)
        trained, _ = normalised.divide(stored['state']['params'])
        _, fresh = normalised.divide(normalised.init(0))
        params = normalised.join(trained, jax.tree.map(jax.numpy.array, fresh))
        return stored | {'state': stored['state'] | {'params': params}}

    monkeypatch.setattr(loop, 'restore', forgetful)
    resumed = run(normalised, settings, functions, data, checkpoint=path)
    last = [result.history[-1]['validation_loss'] for result in (resumed, whole)]
    assert last[0] != last[1]


def test_training_starts_from_what_it_is_given(normalised, settings, functions, data, tmp_path):
    start = normalised.init(77)
    trained, statistics = normalised.divide(start)
    start = normalised.join(trained, jax.tree.map(lambda x: 0 * x + 3, statistics))
    state = functions.initial_state(1, initial=start)
    assert_same(jax.tree.map(np.array, state['params']), start)
    path = tmp_path / 'state.safetensors'
    one = run(normalised, settings, functions, data, initial=start, checkpoint=path)
    assert_same(start['logits'], normalised.init(77)['logits'])
    other = run(normalised, settings, functions, data)
    assert abs(one.params['logits']['kernel'] - other.params['logits']['kernel']).max() > 0
    with pytest.raises(loop.TrainingError, match='initial_parameters'):
        run(normalised, settings, functions, data, initial=normalised.init(3), checkpoint=path)
