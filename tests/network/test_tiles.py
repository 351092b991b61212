# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A batch in tiles gives what the whole batch gives.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clustercnn.network.backend import native_formulations
from clustercnn.network.tiles import (
    in_parts,
    in_tiles,
    items_per_tile,
    number_of_parts,
    sum_over_tiles,
)

BATCH = {'x': np.arange(1.0, 15.0, dtype=np.float32).reshape(7, 2), 'none': np.zeros((7, 0))}


def squared(batch):
    return {'squares': batch['x'] ** 2, 'sum': batch['x'].sum(1)}


@pytest.mark.parametrize('size', [1, 2, 3, 6, 7, 100])
def test_items_keep_their_order(size):
    whole, parts = squared(BATCH), jax.jit(lambda b: in_tiles(squared, b, size))(BATCH)
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


@pytest.mark.parametrize('size', [1, 2, 3, 6, 7, 100])
def test_sums_are_those_of_the_whole(size):
    total = jax.jit(lambda b: sum_over_tiles(lambda _, tile: tile['x'].sum(0), b, size))(BATCH)
    np.testing.assert_allclose(total, BATCH['x'].sum(0), rtol=1e-6)


@pytest.mark.parametrize('n_parts', [1, 2, 3, 7])
def test_parts_hold_every_item_once_and_zeros(n_parts):
    parts = in_parts({'x': BATCH['x']}, n_parts)
    assert len({len(part['x']) for part in parts}) == 1
    joined = np.concatenate([part['x'] for part in parts])
    np.testing.assert_array_equal(joined[:7], BATCH['x'])
    assert len(parts) == n_parts and not joined[7:].any()


def test_a_batch_has_as_many_parts_as_tiles_up_to_eight():
    numbers = [number_of_parts(n_items, 4) for n_items in (1, 4, 5, 32, 33, 64, 1000)]
    assert numbers == [1, 1, 2, 8, 5, 8, 8]
    with native_formulations():
        assert number_of_parts(1000, 4) == 1


def test_tiles_are_numbered():
    # so that each can draw its own random numbers
    numbers = sum_over_tiles(lambda number, tile: number * (tile > 0).sum(), jnp.ones(6), 2)
    assert numbers.item() == (0 + 1 + 2) * 2


def test_others_than_cpus_get_the_whole():
    seen = []

    def function(batch):
        seen.append(batch.shape)
        return batch

    with native_formulations():
        in_tiles(function, jnp.ones((6, 3)), 2)
    in_tiles(function, jnp.ones((6, 3)), 2)
    assert seen == [(6, 3), (2, 3)]


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit, jax.checkpoint])
def test_the_largest_map_decides_wherever_it_is_made(wrap):
    # 128 kB an item within, a value an item outside
    function = wrap(lambda x: jnp.broadcast_to(x[:, None], (1, 2**15)).cumsum(1)[:, -1])
    assert items_per_tile(function, jax.ShapeDtypeStruct((1,), jnp.float32)) == 4


def test_an_item_larger_than_a_tile_is_one():
    assert items_per_tile(jnp.cos, jax.ShapeDtypeStruct((1, 2**22), jnp.float32)) == 1
