# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Several devices, each of which computes its part of a batch, and several cores of a processor,
each of which computes a batch or a part of one.
"""

import collections
import functools
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

__all__ = ['in_threads', 'spread']

# more batches at a time than this would take memory and save little time
_MOST_AT_ONCE = 8
_GPU_AT_ONCE = 3


@functools.cache
def _sharding(n_items):
    """
    Return how a batch is shared out; None where one device has all of it.
    """
    devices = jax.local_devices()
    # equal parts, of as many devices as divide the batch
    n_devices = max(n for n in range(1, len(devices) + 1) if n_items % n == 0)
    if n_devices == 1:
        return None
    return NamedSharding(Mesh(np.array(devices[:n_devices]), ('items',)), PartitionSpec('items'))


def spread(batch):
    """
    Share out a batch over the devices of this process.

    Parameters
    ----------
    batch : dict
        From `~clustercnn.network.take`.

    Returns
    -------
    batch : dict
        The same where there is one device; otherwise with arrays of which each device holds
        its items, so that what is compiled for them runs on all of them.

    Notes
    -----
    Parameters are copied to each device and gradients are summed over them by the compiler
    (`jax.sharding`). Sums are then taken in another order than on one device. It is GPUs that
    gain: of CPUs each computes the whole batch, since they take it tile by tile.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import take
    >>> from clustercnn.training.devices import spread
    >>> batch = take({'features': np.ones((5, 1))}, np.arange(3), 4)
    >>> spread(batch)['_mask'].tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    sharding = _sharding(len(batch['_mask']))
    return batch if sharding is None else jax.device_put(batch, sharding)


def _n_at_once():
    """
    Return how many batches are computed at a time.
    """
    if len(jax.local_devices()) > 1:
        # devices that share a batch must take them in one order, or they wait for one another
        return 1
    if jax.default_backend() != 'cpu':
        # a GPU has enough to do with one, while others are gathered and copied
        return _GPU_AT_ONCE
    affinity = getattr(os, 'sched_getaffinity', None)
    n_cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(n_cores, _MOST_AT_ONCE)


def in_threads(function, items, *, compiled=False):
    """
    Apply a compiled function to batches, one a core at a time.

    Parameters
    ----------
    function : callable
        Of one item.
    items : list
        What it is applied to.
    compiled : bool, optional
        Whether it has been called before. Otherwise the first item is computed alone, since two
        threads would both compile.

    Yields
    ------
    item : object
        In order.
    result : object
        Of it.

    Notes
    -----
    The tiles of a batch (`clustercnn.network.tiles`) follow one another on one core. No result
    depends on how many are computed at a time.

    Examples
    --------
    >>> from clustercnn.training.devices import in_threads
    >>> [result for _, result in in_threads(abs, [-3, 1, -2])]
    [3, 1, 2]
    """
    items = collections.deque(items)
    if items and not compiled:
        first = items.popleft()
        yield first, function(first)
    n_at_once = min(_n_at_once(), max(1, len(items)))
    with ThreadPoolExecutor(n_at_once) as pool:
        pending = collections.deque()
        while items or pending:
            while items and len(pending) < n_at_once:
                item = items.popleft()
                pending.append((item, pool.submit(function, item)))
            item, job = pending.popleft()
            yield item, job.result()
