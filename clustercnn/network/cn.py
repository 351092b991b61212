# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The custom network of Kosiba et al. (2020, MNRAS 496, 4141): pictures of all
bands stacked on one grid, six convolutions, one hidden dense layer.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from clustercnn.network.backend import widened
from clustercnn.network.config import CNConfig, register_network
from clustercnn.network.layers import Conv, Dense, dropout, pool
from clustercnn.network.transforms import stack_on_one_grid

__all__ = ['CN', 'cn_plan']


def cn_plan(shape, *, n_stages=5, padding='auto'):
    """
    Return how the network copes with pictures of a size.

    Parameters
    ----------
    shape : 2-tuple of int
        ``(ny, nx)`` of the pictures.
    n_stages : int, optional
        Number of convolutions after the first.
    padding : {'auto', 'valid', 'same'}, optional
        See `~clustercnn.network.CNConfig`.

    Returns
    -------
    padding : {'valid', 'same'}
        What is used.
    pools : tuple of bool
        For each convolution whether pooling follows: it stops when a map is
        smaller than two pixels.
    shape : 2-tuple of int
        Of the last map.

    Raises
    ------
    ValueError
        If ``'valid'`` is demanded and the pictures are too small.

    Examples
    --------
    The paper's pictures, and smaller ones:

    >>> from clustercnn.network.cn import cn_plan
    >>> cn_plan((356, 356))
    ('valid', (True, True, True, True, True, True), (3, 3))
    >>> cn_plan((128, 128))
    ('same', (True, True, True, True, True, True), (2, 2))
    >>> cn_plan((16, 16))
    ('same', (True, True, True, True, False, False), (1, 1))
    """
    if padding == 'auto':
        try:
            return cn_plan(shape, n_stages=n_stages, padding='valid')
        except ValueError:
            padding = 'same'
    height, width = shape
    pools = []
    for _ in range(n_stages + 1):
        if padding == 'valid':
            height, width = height - 2, width - 2
            if min(height, width) < 1:
                msg = (
                    f'pictures of {shape[1]} x {shape[0]} pixels are too small for padding '
                    f"'valid' and {n_stages} stages; use 'same' or fewer"
                )
                raise ValueError(msg)
        pools.append(min(height, width) >= 2)
        if pools[-1]:
            height, width = height // 2, width // 2
    return padding, tuple(pools), (height, width)


@register_network('cn', CNConfig, dihedral=False)
class CN(nnx.Module):
    """
    The custom network.

    Parameters
    ----------
    config : CNConfig
        Options.
    inputs : InputSpec
        Bands; those of a coarser grid are interpolated onto the finest one. The
        finder's numbers are not used.
    n_classes : int
        Number of logits.
    rng : `~numpy.random.Generator` or None
        For the initial parameters; None for their shapes.

    Notes
    -----
    Rectifiers follow the pooling rather than precede it, which is the same
    function at a quarter of the work.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, InputSpec, build_network
    >>> band = BandSpec(name='picture', kind='optical', shape=(356, 356), pixel_scale=1.0)
    >>> build_network('cn', InputSpec(bands=(band,)), n_classes=2).n_parameters
    130594
    """

    HEAD = ('hidden', 'logits')

    def __init__(self, config, inputs, n_classes, *, rng):
        finest = min(inputs.bands, key=lambda spec: spec.pixel_scale)
        padding, pools, last = cn_plan(
            finest.shape, n_stages=config.n_stages, padding=config.padding
        )
        n_in = sum(config.preprocessing.n_planes(spec.kind) for spec in inputs.bands)
        for number in range(len(pools)):
            n_out = config.width if number else config.first_width
            setattr(self, f'conv{number}', Conv(n_in, n_out, padding=padding, rng=rng))
            n_in = n_out
        self.hidden = Dense(n_in * math.prod(last), config.dense_width, rng=rng)
        self.logits = Dense(config.dense_width, n_classes, scale=1.0, rng=rng)
        self.pools = pools
        self.rate = config.dropout
        self.l1 = config.l1
        self.inputs = inputs

    def __call__(self, planes, *, key=None, mask=None):
        """
        Compute class scores.

        Parameters
        ----------
        planes : dict
            From `~clustercnn.network.make_planes`.
        key : `~jax.Array`, optional
            Random key of the dropout; none is done without it.
        mask : `~jax.Array`, optional
            Which rows count; nothing here depends on others than its own.

        Returns
        -------
        logits : `~jax.Array`
            Shape ``(n, n_classes)``.
        features : `~jax.Array`
            Shape ``(n, n_hidden)``, what the last layer sees.
        """
        return self.head(self.maps(planes, mask=mask), planes, key=key)

    def maps(self, planes, *, mask=None):
        """
        Compute the last maps of features.

        Parameters
        ----------
        planes : dict
            From `~clustercnn.network.make_planes`.
        mask : `~jax.Array`, optional
            As in the call.

        Returns
        -------
        maps : dict of str to `~jax.Array`
            ``'all'``: of all bands, shape ``(n, ny, nx, n_channels)``.
        """
        x = stack_on_one_grid(planes['pictures'], self.inputs)
        for number, pooled in enumerate(self.pools):
            x = getattr(self, f'conv{number}')(x)
            x = jax.nn.relu(pool(x) if pooled else x)
        return {'all': x}

    def head(self, maps, planes, *, key=None):
        """
        Compute class scores from the last maps.

        Parameters
        ----------
        maps : dict
            From `maps`.
        planes : dict
            What they were made of.
        key : `~jax.Array`, optional
            As in the call.

        Returns
        -------
        logits, features : `~jax.Array`
            As of the call.
        """
        x = widened(maps['all'])
        features = jax.nn.relu(self.hidden(x.reshape(x.shape[0], -1)))
        return self.logits(dropout(features, self.rate, key)), features

    def penalty(self):
        """
        Return the L1 penalty on the dense kernel.

        Returns
        -------
        penalty : `~jax.Array`
            Scalar.
        """
        return self.l1 * jnp.abs(self.hidden.kernel[...]).sum()
