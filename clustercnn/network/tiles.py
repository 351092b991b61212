# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A batch in tiles of a few items, on CPUs.

The maps of a whole batch do not fit into a cache, and XLA asks the system for them anew in every
call, so that every page of them is touched for the first time again and again. The maps of a tile
are small, stay where they are and are used again.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from clustercnn.network.backend import computing_in, on_cpu

__all__ = ['in_parts', 'in_tiles', 'items_per_tile', 'number_of_parts', 'sum_over_tiles']

# bytes of the largest map of a tile: some of them fit into the second cache of a core
_LARGEST_MAP = 1 << 19
# more would ask more memory for what they sum than most processors have cores to compute it
_MOST_PARTS = 8
# with more items at a time some products of matrices on CPUs go through kernels in which the last
# bits of a row depend on its place
_MOST_ITEMS = 32


def _inner(value):
    """
    Return what is traced within a parameter of an operation.
    """
    if hasattr(value, 'eqns'):
        return [value]
    if hasattr(value, 'jaxpr'):
        return [value.jaxpr]
    return [one for item in value for one in _inner(item)] if isinstance(value, tuple) else []


def _largest(jaxpr):
    largest = 0
    for equation in jaxpr.eqns:
        sizes = [one.aval.size * one.aval.dtype.itemsize for one in equation.outvars]
        inner = [_largest(one) for value in equation.params.values() for one in _inner(value)]
        largest = max([largest, *sizes, *inner])
    return largest


def items_per_tile(function, *arguments, largest_map=_LARGEST_MAP, most=_MOST_ITEMS):
    """
    Return how many items a tile should hold.

    Parameters
    ----------
    function : callable
        What is done with a batch.
    *arguments : pytree of `~jax.ShapeDtypeStruct`
        Its arguments for one item.
    largest_map : int, optional
        Bytes that the largest array on the way may have, 512 kB by default.
    most : int, optional
        Most items.

    Returns
    -------
    size : int
        A power of two.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from clustercnn.network.tiles import items_per_tile
    >>> items_per_tile(jnp.cos, jax.ShapeDtypeStruct((1, 512, 64), jnp.float32))
    4
    """
    # whatever is asked for where this is called: the size must not depend on it
    with computing_in('float32'):
        largest = _largest(jax.make_jaxpr(function)(*arguments).jaxpr)
    return min(most, 2 ** int(math.log2(max(1, largest_map // max(1, largest)))))


def _rows(batch):
    return jax.tree.leaves(batch)[0].shape[0]


def _divided(batch, n_tiles):
    """
    Return tiles of equal size, the last ones filled with zeros.
    """
    n_items = _rows(batch)
    size = -(-n_items // n_tiles)

    def divide(leaf):
        filling = jnp.zeros((n_tiles * size - n_items, *leaf.shape[1:]), leaf.dtype)
        return jnp.concatenate([leaf, filling]).reshape(n_tiles, size, *leaf.shape[1:])

    return jax.tree.map(divide, batch)


def _n_tiles(n_items, size):
    """
    Return how many tiles a batch has; one where it is taken at once.
    """
    return -(-n_items // size) if on_cpu() else 1


def number_of_parts(n_items, size):
    """
    Return into how many parts a batch is divided, each of which a core may take.

    Parameters
    ----------
    n_items : int
        Length of the batch.
    size : int
        Most items of a tile; a GPU takes all at once.

    Returns
    -------
    n_parts : int
        Up to eight, of a few tiles each. It depends on nothing but the sizes, so that no bit of
        a sum over parts depends on how many are computed at a time.

    Examples
    --------
    >>> from clustercnn.network.tiles import number_of_parts
    >>> [number_of_parts(n_items, 4) for n_items in (4, 9, 32, 33)]
    [1, 3, 8, 5]
    """
    n_tiles = _n_tiles(n_items, size)
    return -(-n_tiles // -(-n_tiles // _MOST_PARTS))


def in_parts(batch, n_parts):
    """
    Divide a batch into parts.

    Parameters
    ----------
    batch : pytree of `~jax.Array`
        With a row an item.
    n_parts : int
        From `number_of_parts`.

    Returns
    -------
    parts : tuple
        Batches of equal size, the last ones filled with zeros.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.tiles import in_parts
    >>> [part.tolist() for part in in_parts(jnp.arange(1, 6), 3)]
    [[1, 2], [3, 4], [5, 0]]
    """
    parts = _divided(batch, n_parts)
    return tuple(jax.tree.map(lambda leaf, n=n: leaf[n], parts) for n in range(n_parts))


def in_tiles(function, batch, size):
    """
    Apply a function that looks at every item on its own, some items at a time.

    Parameters
    ----------
    function : callable
        Takes a batch and returns a pytree of arrays with a row an item.
    batch : pytree of `~jax.Array`
        With a row an item.
    size : int
        Most items at a time; a GPU takes all at once.

    Returns
    -------
    results : pytree of `~jax.Array`
        As of the whole batch.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.tiles import in_tiles
    >>> in_tiles(lambda x: 2 * x, jnp.arange(5), 2).tolist()
    [0, 2, 4, 6, 8]
    """
    n_items = _rows(batch)
    n_tiles = _n_tiles(n_items, size)
    if n_tiles == 1:
        return function(batch)
    tiles = _divided(batch, n_tiles)
    return jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:n_items], lax.map(function, tiles)
    )


def sum_over_tiles(function, batch, size):
    """
    Sum what a function makes of the tiles of a batch, such as a gradient.

    Parameters
    ----------
    function : callable
        Takes a number and a tile and returns a pytree of arrays of fixed shape, to which
        items that are zero in all their arrays must add nothing.
    batch : pytree of `~jax.Array`
        With a row an item.
    size : int
        Most items at a time; a GPU takes all at once.

    Returns
    -------
    total : pytree of `~jax.Array`
        The sum.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.tiles import sum_over_tiles
    >>> sum_over_tiles(lambda number, x: (x**2).sum(), jnp.arange(5), 2).item()
    30
    """
    n_tiles = _n_tiles(_rows(batch), size)
    if n_tiles == 1:
        return function(0, batch)
    tiles = _divided(batch, n_tiles)
    first = jax.tree.map(lambda leaf: leaf[0], tiles)
    nothing = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(function, 0, first)
    )

    def add(carried, tile):
        number, total = carried
        return (number + 1, jax.tree.map(jnp.add, total, function(number, tile))), None

    (_, total), _ = lax.scan(add, (jnp.zeros((), jnp.int32), nothing), tiles)
    return total
