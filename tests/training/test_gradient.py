# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The gradient of a step: the same from tiles, and none where parameters are frozen.
"""

import jax
import numpy as np
import pytest

from clustercnn.network import build_network, flatten, take
from clustercnn.training import Steps, TrainingConfig, train

OPTIONS = {
    'cn': {'n_stages': 2, 'dense_width': 16},
    'fusion': {'widths': (16, 16), 'dense_width': 16},
    'mobilenet': {'stages': ((1, 16, 1, 1), (2, 24, 1, 2)), 'width': 0.5},
}


def make(name, network, **options):
    return build_network(
        name, network.inputs, n_classes=2, options=OPTIONS[name] | {'dropout': 0.0} | options
    )


@pytest.mark.parametrize('name', ['cn', 'fusion'])
def test_tiles_sum_to_the_gradient_of_the_batch(name, network, data, calm):
    learner = make(name, network)
    batch = take(data(7, seed=1), np.arange(7), 8)
    results = []
    for size in (8, 3):
        # in place of what is found from the size of the maps
        learner.__dict__['tile'] = size
        steps = Steps(learner, config=TrainingConfig(augmentation=calm))
        trained, statistics = learner.divide(learner.init(1))
        value, total, _, gradient = jax.jit(steps.gradient)(
            trained, statistics, batch, jax.random.key(0)
        )
        results.append({'value': value, 'total': total} | flatten(gradient))
    whole, tiled = results
    for key, expected in whole.items():
        scale = np.abs(expected).max()
        assert scale > 0, key
        np.testing.assert_allclose(tiled[key], expected, atol=2e-5 * scale, err_msg=key)


@pytest.mark.parametrize('name', ['cn', 'fusion'])
def test_no_loop_of_a_gradient_holds_the_slow_convolution(name, network, data, calm):
    learner = make(name, network)
    learner.__dict__['tile'] = 32
    batch = take(data(64, seed=1), np.arange(64), 64)
    steps = Steps(learner, config=TrainingConfig(augmentation=calm))
    trained, statistics = learner.divide(learner.init(1))
    traced = jax.make_jaxpr(steps.gradient)(trained, statistics, batch, jax.random.key(0))
    scans = [one for one in traced.jaxpr.eqns if one.primitive.name == 'scan']
    loops = [one for one in scans if 'conv_general_dilated' in str(one.params['jaxpr'])]
    assert loops
    for loop in loops:
        # with the items of the batch in the place of channels
        assert 'lhs_spec=(3, 0, 1, 2)' not in str(loop.params['jaxpr'])


@pytest.mark.parametrize('name', ['cn', 'fusion', 'mobilenet'])
def test_a_frozen_stem_stays_bit_by_bit_and_the_head_learns(name, network, data, calm):
    learner = make(name, network)
    # statistics must not be summed over tiles
    learner.__dict__['tile'] = 3
    config = TrainingConfig(n_epochs=2, batch_size=16, frozen='stem', augmentation=calm)
    first = learner.init(3)
    after = flatten(train(learner, config, data(16, seed=1), seed=1, initial=first).params)
    kept = {name for name in after if name.split('.')[0] not in learner.head_names}
    assert {name.split('.')[0] for name in set(after) - kept} == set(learner.head_names)
    for key, value in flatten(first).items():
        same = np.array_equal(after[key], value)
        assert same == (key in kept), key


def test_frozen_is_stem_or_nothing():
    with pytest.raises(ValueError, match="'frozen' must be None or 'stem', got 'all'"):
        TrainingConfig(frozen='all')
