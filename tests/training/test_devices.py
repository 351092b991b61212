# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Batches on several devices, here two that JAX makes of one processor in a process of its own, and
on several cores.
"""

import dataclasses
import json
import os
import subprocess
import sys
import threading

import jax
import numpy as np
import optax
import pytest

from clustercnn import _classifier_measure
from clustercnn.network import BandSpec, InputSpec, build_network, take, tiles
from clustercnn.training import Steps, TrainingConfig, devices

PROGRAM = """
import json, sys
import jax, numpy as np
from clustercnn import Classifier
from clustercnn.network import tiles
from clustercnn.testing import tiny_labels, tiny_stack
from clustercnn.training import devices, loop

if len(jax.local_devices()) > 1:
    # whole batches, as GPUs take them
    tiles.on_cpu = lambda: False


def n_devices(n_items):
    data = {'features': np.ones((n_items, 1), 'f4')}
    ((_, batch),) = loop._batches(data, np.arange(n_items), n_items)
    return len(jax.numpy.asarray(batch['_mask']).devices())


# two devices wait for one another where each has begun another batch
assert len(jax.local_devices()) == 1 or devices._n_at_once() == 1
sizes = {n_items: n_devices(n_items) for n_items in (4, 5)}
options = {'first_width': 8, 'width': 8, 'n_stages': 2, 'dropout': 0.0}
classifier = Classifier(n_epochs=2, batch_size=8, seed=1, network_options=options)
classifier.fit(tiny_stack(24), tiny_labels(24), progress=False)
probability = classifier.predict(tiny_stack(9, seed=4)).probability
json.dump({'devices': len(jax.local_devices()), 'sizes': sizes,
           'loss': [entry['loss'] for entry in classifier.history[0]],
           'probability': probability.tolist()}, sys.stdout)
"""


def run(n_devices):
    flags = f'--xla_force_host_platform_device_count={n_devices}'
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM],
        env=os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_devices_learn_what_one_learns():
    one, two = run(1), run(2)
    assert (one['devices'], two['devices']) == (1, 2)
    # a batch that cannot be halved stays whole
    assert two['sizes'] == {'4': 2, '5': 1}
    assert two['loss'] == pytest.approx(one['loss'], rel=1e-4)
    np.testing.assert_allclose(two['probability'], one['probability'], atol=1e-3)


def test_batches_in_threads_keep_their_order_and_their_errors(monkeypatch):
    monkeypatch.setattr(devices, '_n_at_once', lambda: 3)
    barrier = threading.Barrier(3, timeout=20)

    def slowly(number):
        # the first is alone, the others three at a time
        if number:
            barrier.wait()
        return -number

    results = list(devices.in_threads(slowly, list(range(7))))
    assert results == [(number, -number) for number in range(7)]
    with pytest.raises(ZeroDivisionError):
        list(devices.in_threads(lambda number: 1 // number, [1, 2, 0, 3]))
    assert list(devices.in_threads(abs, [])) == []


def learnt(network, batch, calm):
    steps = Steps(network, config=TrainingConfig(augmentation=calm))
    state = steps.initial_state(1)
    for _ in range(3):
        state, metrics = steps.train(state, batch, 9)
    return steps, jax.tree.map(np.array, (state, metrics))


def test_no_bit_of_a_step_depends_on_the_number_of_threads(network, data, calm, monkeypatch):
    batch = take(data(40, seed=1), np.arange(38), 40)
    results = []
    for n_threads in (1, 2, 5):
        monkeypatch.setattr(devices, '_n_at_once', lambda n_threads=n_threads: n_threads)
        results.append(learnt(network, batch, calm)[1])
    for other in results[1:]:
        jax.tree.map(np.testing.assert_array_equal, other, results[0])


def test_a_step_takes_its_parts_at_a_time(network, data, calm, monkeypatch):
    monkeypatch.setattr(devices, '_n_at_once', lambda: 2)
    batch = take(data(32, seed=1), np.arange(32), 32)
    steps, _ = learnt(network, batch, calm)
    part, numbers = steps._part, []
    barrier = threading.Barrier(2, timeout=20)

    def together(params, key, number, *arguments, **options):
        # nobody gets through alone
        barrier.wait()
        numbers.append(number)
        return part(params, key, number, *arguments, **options)

    monkeypatch.setattr(steps, '_part', together)
    steps.train(steps.initial_state(1), batch, 9)
    assert sorted(numbers) == [0, 1, 2, 3]


def test_parts_learn_what_the_whole_learns(network, data, calm, monkeypatch):
    still = dataclasses.replace(network, config=dataclasses.replace(network.config, dropout=0.0))
    batch = take(data(32, seed=1), np.arange(30), 32)
    moments = []
    for most in (8, 1):
        monkeypatch.setattr(tiles, '_MOST_PARTS', most)
        steps, (state, _) = learnt(still, batch, calm)
        assert ('train' in steps.n_traces) == (most == 1)
        moments.append(optax.tree.get(state['optimizer'], 'mu'))
    parts, whole = moments
    assert abs(whole).max() > 0
    np.testing.assert_allclose(parts, whole, atol=1e-4 * abs(whole).max())


def test_a_part_that_fails_leaves_the_state_to_be_used_again(network, data, calm, monkeypatch):
    monkeypatch.setattr(devices, '_n_at_once', lambda: 2)
    batch = take(data(32, seed=1), np.arange(32), 32)
    steps = Steps(network, config=TrainingConfig(augmentation=calm))
    state, _ = steps.train(steps.initial_state(1), batch, 9)
    before, part = jax.tree.map(np.array, state), steps._part

    def failing(params, key, number, *arguments, **options):
        if number == 2:
            raise InterruptedError
        return part(params, key, number, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(steps, '_part', failing)
        with pytest.raises(InterruptedError):
            steps.train(state, batch, 9)
    jax.tree.map(np.testing.assert_array_equal, state, before)
    assert steps.train(state, batch, 9)[1]['finite']


def test_a_gpu_gets_batches_while_others_are_gathered(monkeypatch):
    monkeypatch.setattr(jax, 'local_devices', lambda: ['one'])
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    assert devices._n_at_once() > 1
    # those that share a batch take one after the other
    monkeypatch.setattr(jax, 'local_devices', lambda: ['one', 'two'])
    assert devices._n_at_once() == 1


@pytest.mark.parametrize(('backend', 'wanted'), [('cpu', 32), ('gpu', 1024)])
def test_batches_of_predictions(monkeypatch, backend, wanted):
    band = BandSpec(name='g', kind='optical', shape=(16, 16), pixel_scale=1.0)
    network = build_network('fusion', InputSpec(bands=(band,)), n_classes=2)
    monkeypatch.setattr(jax, 'default_backend', lambda: backend)
    steps = Steps(network)
    assert steps.prediction_batch == wanted
    sizes = []
    monkeypatch.setattr(
        _classifier_measure, 'predict', lambda *args, batch_size, **kwargs: sizes.append(batch_size)
    )
    _classifier_measure.apply_network(steps, None, {})
    assert sizes == [wanted]
