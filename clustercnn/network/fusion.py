# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The package's own network: every band has its own stem at its own resolution,
and what the stems found is fused late, with the finder's numbers beside it.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustercnn.network.backend import narrowed, widened
from clustercnn.network.config import FusionConfig, register_network
from clustercnn.network.layers import BatchNorm, Conv, Dense, dropout, fold, pool

__all__ = ['Fusion', 'Stem']

# what is left of the running statistics after a step
_MOMENTUM = 0.9


def _centre_weight(shape):
    """
    Gaussian weight of a map around its centre, a sixth of the side wide, of sum one.
    """
    y, x = (np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (size / 6)) ** 2) for size in shape)
    weight = y[:, None] * x[None]
    return (weight / weight.sum()).astype(np.float32)


def _ring_weight(shape):
    """
    Weights that average a picture over rings around its centre, of sum one each.

    Returns
    -------
    weight : 3D `~numpy.ndarray`
        Shape ``(ny, nx, n_rings)``; rings widen outwards, from one pixel of radius.
    """
    y, x = (np.arange(size) - (size - 1) / 2 for size in shape)
    radius = np.hypot(y[:, None], x[None])
    outermost = max(shape) / 2
    n_rings = max(2, min(10, round(2 * math.log2(outermost))))
    edges = np.geomspace(1.0, outermost, n_rings)
    ring = np.searchsorted(edges, radius)
    # the corners, beyond the last edge, would be a ring of their own
    weight = (ring[..., None] == np.arange(n_rings)).astype(np.float32)
    return weight / np.maximum(weight.sum((0, 1)), 1)


def _products(planes, weight):
    """
    Sum over the pixels of planes with each of some weights, as one product of matrices.
    """
    rows = jnp.swapaxes(planes.reshape(planes.shape[0], -1, planes.shape[-1]), 1, 2)
    return jnp.swapaxes(rows @ weight, 1, 2)


class Stem(nnx.Module):
    """
    From the planes of one band to a vector.

    Blocks of pixels become vectors on a map of about ``stem_size``, so that no
    convolution runs on a large map of few channels, the slowest kind on a CPU. The
    last map is summarised by its mean, its maximum and its mean near the centre, where
    the candidate is. Beside it goes the radial profile of the planes, means over rings,
    which tells extended from pointlike sources before any filter is learnt.

    Parameters
    ----------
    config : FusionConfig
        Options.
    spec : BandSpec
        The band.
    rng : `~numpy.random.Generator` or None
        For the initial parameters; None for their shapes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network import BandSpec, FusionConfig
    >>> from clustercnn.network.fusion import Stem
    >>> spec = BandSpec(name='g', kind='optical', shape=(64, 64), pixel_scale=1.0)
    >>> stem = Stem(FusionConfig(), spec, rng=None)
    >>> stem(jnp.ones((2, 64, 64, 1)), jnp.ones((2, 64, 64, 1))).shape
    (2, 256)
    """

    def __init__(self, config, spec, *, rng):
        size = max(spec.shape)
        self.factor = 2 ** max(0, round(math.log2(size / config.stem_size)))
        # one more channel: the coverage, averaged over the block
        n_in = self.factor**2 * config.preprocessing.n_planes(spec.kind) + 1
        bias = not config.batch_norm
        self.embedding = Conv(n_in, config.embedding, size=1, bias=bias, rng=rng)
        n_in = config.embedding
        for number, n_out in enumerate(config.widths):
            setattr(self, f'conv{number}', Conv(n_in, n_out, bias=bias, rng=rng))
            n_in = n_out
        if config.batch_norm:
            self.norm = BatchNorm(config.embedding, momentum=_MOMENTUM)
            for number, n_out in enumerate(config.widths):
                setattr(self, f'norm{number}', BatchNorm(n_out, momentum=_MOMENTUM))
        self.is_normalised = config.batch_norm
        self.n_stages = len(config.widths)
        self.shape = spec.shape
        n_rings = _ring_weight(spec.shape).shape[-1]
        n_planes = config.preprocessing.n_planes(spec.kind) + 1
        self.profile = Dense(n_rings * n_planes, config.widths[-1], rng=rng)

    def __call__(self, picture, coverage, *, mask=None):
        return self.summary(self.map(picture, coverage, mask=mask), picture, coverage)

    def _normalised(self, x, name, mask):
        return getattr(self, name)(x, mask=mask) if self.is_normalised else x

    def map(self, picture, coverage, *, mask=None):
        """
        Compute the last map.

        Parameters
        ----------
        picture, coverage : `~jax.Array`
            Planes of the band, shape ``(n, ny, nx, n_planes)``.
        mask : `~jax.Array`, optional
            In training, which rows the statistics of the batch are made of.

        Returns
        -------
        x : `~jax.Array`
            Shape ``(n, height, width, n_channels)``.
        """
        covered = narrowed(fold(coverage, self.factor).mean(-1, keepdims=True))
        x = jnp.concatenate([fold(narrowed(picture), self.factor), covered], axis=-1)
        x = jax.nn.relu(self._normalised(self.embedding(x), 'norm', mask))
        for number in range(self.n_stages):
            x = getattr(self, f'conv{number}')(x)
            x = pool(x) if min(x.shape[1:3]) >= 4 else x
            x = jax.nn.relu(self._normalised(x, f'norm{number}', mask))
        return x

    def summary(self, x, picture, coverage):
        """
        Summarise the last map, with the radial profile beside it.

        Parameters
        ----------
        x : `~jax.Array`
            From `map`.
        picture, coverage : `~jax.Array`
            What it was made of.

        Returns
        -------
        vector : `~jax.Array`
            Shape ``(n, n_values)``.
        """
        weight = _ring_weight(self.shape).reshape(math.prod(self.shape), -1)
        rings = jnp.concatenate([_products(one, weight) for one in (picture, coverage)], axis=-1)
        profile = jax.nn.relu(self.profile(rings.reshape(rings.shape[0], -1)))
        centre, x = jnp.asarray(_centre_weight(x.shape[1:3])), widened(x)
        middle = (x * centre[None, :, :, None]).sum((1, 2))
        return jnp.concatenate([x.mean((1, 2)), x.max((1, 2)), middle, profile], axis=-1)


@register_network('fusion', FusionConfig, dihedral=True)
class Fusion(nnx.Module):
    """
    Stems, fused late.

    Parameters
    ----------
    config : FusionConfig
        Options.
    inputs : InputSpec
        Bands and features.
    n_classes : int
        Number of logits.
    rng : `~numpy.random.Generator` or None
        For the initial parameters; None for their shapes.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, InputSpec, build_network
    >>> bands = (BandSpec(name='xray', kind='xray', shape=(64, 64), pixel_scale=4.0),
    ...          BandSpec(name='optical', kind='optical', shape=(128, 128), pixel_scale=2.0))
    >>> inputs = InputSpec(bands=bands, features=('counts', 'ext_like'))
    >>> build_network('fusion', inputs, n_classes=4).n_parameters < 400_000
    True
    """

    HEAD = ('numbers', 'hidden', 'logits')

    def __init__(self, config, inputs, n_classes, *, rng):
        for number, spec in enumerate(inputs.bands):
            setattr(self, f'stem{number}', Stem(config, spec, rng=rng))
        n_fused = len(inputs.bands) * (4 * config.widths[-1] + 1)
        if inputs.features:
            self.numbers = Dense(2 * len(inputs.features), config.feature_width, rng=rng)
            n_fused += config.feature_width
        self.hidden = Dense(n_fused, config.dense_width, rng=rng)
        self.logits = Dense(config.dense_width, n_classes, scale=1.0, rng=rng)
        self.rate = config.dropout
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
            In training, which rows the statistics of the batch are made of, if the maps are
            normalised by them. Rows without a band count as empty maps of it, unless all of
            the batch are without.

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
            By band, shape ``(n, ny, nx, n_channels)``.
        """
        maps = {}
        for number, spec in enumerate(self.inputs.bands):
            measured = mask
            if mask is not None:
                # a batch in which nobody has the band says nothing of it
                measured = mask * ((mask * planes['present'][spec.name]).max() > 0)
            maps[spec.name] = getattr(self, f'stem{number}').map(
                planes['pictures'][spec.name], planes['coverage'][spec.name], mask=measured
            )
        return maps

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
        parts = []
        for number, spec in enumerate(self.inputs.bands):
            present = planes['present'][spec.name][:, None]
            stem = getattr(self, f'stem{number}')
            vector = stem.summary(
                maps[spec.name], planes['pictures'][spec.name], planes['coverage'][spec.name]
            )
            # a missing band says nothing, not even through the biases
            parts += [vector * present, present]
        if self.inputs.features:
            known = planes['known']
            numbers = jnp.concatenate([planes['features'] * known, known], axis=-1)
            parts.append(jax.nn.relu(self.numbers(numbers)))
        features = jax.nn.relu(self.hidden(jnp.concatenate(parts, axis=-1)))
        return self.logits(dropout(features, self.rate, key)), features

    def penalty(self):
        """
        Return no penalty: the weights decay in the optimiser.

        Returns
        -------
        penalty : float
            Zero.
        """
        return 0.0
