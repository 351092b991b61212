# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Several devices: each computes its part of a batch.
"""

import functools

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

__all__ = ['spread']


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
