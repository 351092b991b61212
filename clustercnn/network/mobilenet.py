# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381): pictures of all bands on one grid,
seventeen inverted residual blocks, batches normalised.
"""

import dataclasses

import jax.numpy as jnp
from flax import nnx
from jax import lax

from clustercnn.network.backend import widened
from clustercnn.network.config import (
    Preprocessing,
    _check_integer,
    _check_number,
    _nested,
    _picture,
    register_network,
)
from clustercnn.network.layers import BatchNorm, Conv, Dense, Depthwise, dropout
from clustercnn.network.transforms import stack_on_one_grid

__all__ = ['EMPTY_CHANNEL', 'MobileNet', 'MobileNetConfig']

EMPTY_CHANNEL = 'empty'
"""
Name of an input channel without a band.
"""

# pictures of the published weights have red, green and blue
_N_CHANNELS = 3

# table 2 of the paper
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_FIRST_WIDTH, _LAST_WIDTH = 32, 1280


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetConfig:
    """
    MobileNetV2 and how it is fed.

    Parameters
    ----------
    width : float
        Factor on the number of filters; below 1 the last layer keeps its 1280.
    resolution : float
        Pixels along a side for each pixel of the finest band.
    channels : tuple of str
        What the input channels show: names of bands, or ``'empty'``. By default all
        planes of all bands in their order, and empty channels up to three. Kosiba et
        al. (2020) have ``('xray', 'optical', 'empty')``.
    stages : tuple of 4-tuple of int
        Rows of the paper's table 2: expansion, filters, number of blocks, stride of the
        first. Small cutouts may do with fewer.
    dropout : float
        Share of the pooled values dropped in training.
    momentum : float
        What is left of the running means of the normalisation after a step.
    padding : {'same', 'symmetric'}
        Where zeros go before a stride of two, see ``clustercnn.network.layers.conv``.
        Weights from Keras need the first, those from torchvision the second.
    preprocessing : Preprocessing
        One plane a band by default.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> from clustercnn.network import MobileNetConfig
    >>> MobileNetConfig(channels=('xray', 'optical', 'empty')).width
    1.0
    """

    width: float = 1.0
    resolution: float = 1.0
    channels: tuple = ()
    stages: tuple = _STAGES
    dropout: float = 0.2
    momentum: float = 0.9
    padding: str = 'same'
    preprocessing: Preprocessing = dataclasses.field(default_factory=_picture)

    def __post_init__(self):
        put = object.__setattr__
        for name, low, high in (
            ('width', 0.1, 4),
            ('resolution', 0.05, 16),
            ('dropout', 0, 0.99),
            ('momentum', 0, 0.9999),
        ):
            put(self, name, _check_number(name, getattr(self, name), low=low, high=high))
        if self.padding not in ('same', 'symmetric'):
            msg = f"'padding' must be 'same' or 'symmetric', got {self.padding!r}"
            raise ValueError(msg)
        channels = tuple(self.channels)
        if len(channels) > 64 or not all(isinstance(name, str) for name in channels):
            msg = f"'channels' must hold up to 64 names of bands, got {self.channels!r}"
            raise ValueError(msg)
        put(self, 'channels', channels)
        put(self, 'stages', _checked_stages(self.stages))
        _nested(self)


def _checked_stages(stages):
    stages = tuple(tuple(stage) for stage in stages)
    if not 1 <= len(stages) <= 16 or any(len(stage) != 4 for stage in stages):
        msg = (
            "'stages' must hold 1 to 16 rows of expansion, filters, number of blocks and "
            f'stride, got {stages}'
        )
        raise ValueError(msg)
    for stage in stages:
        for name, value, high in zip(
            ('expansion', 'filters', 'number of blocks', 'stride'),
            stage,
            (16, 4096, 16, 2),
            strict=True,
        ):
            _check_integer(f'{name} in stages', value, high=high)
    return stages


def _channel_sources(config, inputs):
    """
    Return for each input channel the number of its plane, None for an empty one.
    """
    counts = [config.preprocessing.n_planes(spec.kind) for spec in inputs.bands]
    if not config.channels:
        return [*range(sum(counts)), *[None] * (_N_CHANNELS - sum(counts))]
    if max(counts) > 1:
        msg = (
            "'channels' names bands, but the preprocessing makes several planes of one; leave "
            "'channels' empty or ask for one plane with xray_scales=(4.0,), xray_shape_scale=0.0"
        )
        raise ValueError(msg)
    known = (*inputs.band_names, EMPTY_CHANNEL)
    strange = [name for name in config.channels if name not in known]
    if strange or set(config.channels) == {EMPTY_CHANNEL}:
        msg = (
            f"'channels' must name bands, of which there are {inputs.band_names}, or "
            f'{EMPTY_CHANNEL!r}, got {config.channels}'
        )
        raise ValueError(msg)
    return [
        None if name == EMPTY_CHANNEL else inputs.band_names.index(name) for name in config.channels
    ]


def _filters(n_filters, width):
    """
    Multiply a number of filters: to a multiple of eight, at most a tenth too small.
    """
    wanted = n_filters * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _relu6(x):
    return jnp.clip(x, 0, 6)


class InvertedResidual(nnx.Module):
    """
    A block: expansion, one filter a channel, and projection without a rectifier.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    expansion : int
        Factor on the channels within the block.
    stride : int
        Of the filters.
    config : MobileNetConfig
        Options.
    rng : `~numpy.random.Generator` or None
        For the initial parameters; None for their shapes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network import MobileNetConfig
    >>> from clustercnn.network.mobilenet import InvertedResidual
    >>> block = InvertedResidual(8, 16, expansion=6, stride=2, config=MobileNetConfig(), rng=None)
    >>> block(jnp.ones((1, 8, 8, 8))).shape
    (1, 4, 4, 16)
    """

    def __init__(self, n_in, n_out, *, expansion, stride, config, rng):
        width = n_in * expansion
        self.expands = expansion > 1
        if self.expands:
            self.expand = Conv(n_in, width, size=1, bias=False, rng=rng)
            self.expand_norm = BatchNorm(width, momentum=config.momentum)
        self.depthwise = Depthwise(width, padding=config.padding, stride=stride, rng=rng)
        self.depthwise_norm = BatchNorm(width, momentum=config.momentum)
        self.project = Conv(width, n_out, size=1, bias=False, rng=rng)
        self.project_norm = BatchNorm(n_out, momentum=config.momentum)
        self.adds = stride == 1 and n_in == n_out

    def __call__(self, x, *, mask=None):
        y = x
        if self.expands:
            y = _relu6(self.expand_norm(self.expand(y), mask=mask))
        y = _relu6(self.depthwise_norm(self.depthwise(y), mask=mask))
        y = self.project_norm(self.project(y), mask=mask)
        return x + y if self.adds else y


@register_network('mobilenet', MobileNetConfig, dihedral=False)
class MobileNet(nnx.Module):
    """
    MobileNetV2.

    Parameters
    ----------
    config : MobileNetConfig
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
    The running statistics of its normalisation are arrays of the model as its kernels are,
    only measured rather than trained; see ``Network.divide``.

    Examples
    --------
    The paper's 2.2 million parameters without the 1000 classes of ImageNet:

    >>> from clustercnn.network import BandSpec, InputSpec, build_network
    >>> band = BandSpec(name='g', kind='optical', shape=(224, 224), pixel_scale=1.0)
    >>> build_network('mobilenet', InputSpec(bands=(band,)), n_classes=2).n_parameters
    2226434
    """

    HEAD = ('logits',)

    def __init__(self, config, inputs, n_classes, *, rng):
        self.sources = tuple(_channel_sources(config, inputs))
        n_in = _filters(_FIRST_WIDTH, config.width)
        self.first = Conv(
            len(self.sources), n_in, padding=config.padding, stride=2, bias=False, rng=rng
        )
        self.first_norm = BatchNorm(n_in, momentum=config.momentum)
        number = 0
        for expansion, n_filters, n_blocks, first_stride in config.stages:
            n_out = _filters(n_filters, config.width)
            for stride in (first_stride, *[1] * (n_blocks - 1)):
                block = InvertedResidual(
                    n_in, n_out, expansion=expansion, stride=stride, config=config, rng=rng
                )
                setattr(self, f'block{number}', block)
                n_in, number = n_out, number + 1
        self.n_blocks = number
        n_last = _filters(_LAST_WIDTH, max(1.0, config.width))
        self.last = Conv(n_in, n_last, size=1, bias=False, rng=rng)
        self.last_norm = BatchNorm(n_last, momentum=config.momentum)
        self.logits = Dense(n_last, n_classes, scale=1.0, rng=rng)
        self.rate = config.dropout
        self.resolution = config.resolution
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
            In training, which rows the statistics of the batch are made of.

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
        stacked = stack_on_one_grid(planes['pictures'], self.inputs, resolution=self.resolution)
        empty = jnp.zeros_like(lax.slice_in_dim(stacked, 0, 1, axis=3))
        x = jnp.concatenate(
            [
                empty if n is None else lax.slice_in_dim(stacked, n, n + 1, axis=3)
                for n in self.sources
            ],
            axis=-1,
        )
        x = _relu6(self.first_norm(self.first(x), mask=mask))
        for number in range(self.n_blocks):
            x = getattr(self, f'block{number}')(x, mask=mask)
        return {'all': _relu6(self.last_norm(self.last(x), mask=mask))}

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
        features = widened(maps['all']).mean((1, 2))
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
