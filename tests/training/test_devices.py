# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Batches on several devices, here two that JAX makes of one processor in a process of its own, and
on several cores.
"""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from clustercnn.training import devices

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
