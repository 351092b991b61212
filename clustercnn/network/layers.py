# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Layers: one interface for convolution and pooling, whose formulation depends on
the backend, and the small modules made of them.

What is fast on a CPU is not what is fast on a GPU: a convolution of every channel with a
filter of its own is tens of times slower on a CPU, as the library has it, than a sum of
shifted maps. Formulations are chosen here and nowhere else, and tested to agree.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from clustercnn.network.backend import narrowed, native_wanted, on_cpu, widened
from clustercnn.network.formulations import (
    conv_of_few,
    halved,
    normalised,
    pointwise,
    shifted_depthwise,
)

__all__ = [
    'EPSILON',
    'FEW_ITEMS',
    'BatchNorm',
    'Conv',
    'Dense',
    'Depthwise',
    'conv',
    'depthwise',
    'dropout',
    'fold',
    'pool',
]

EPSILON = 1e-5
"""
What is added to variances before they are divided by.
"""

FEW_ITEMS = 16
"""
Below so many, gradients of convolutions are made of matrix products on a CPU. As many float32
fill a vector register.
"""


def _reshaped_pool(x):
    height, width = x.shape[1:3]
    return halved(x[:, : height // 2 * 2, : width // 2 * 2])


def _window_pool(x):
    lowest = np.array(-np.inf, x.dtype)
    return lax.reduce_window(x, lowest, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')


def _native_conv(x, kernel, padding, stride, *, n_groups=1):
    if padding == 'symmetric':
        padding = _explicit_padding(x, kernel, padding, stride)
    else:
        padding = padding.upper()
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=n_groups,
    )


def _explicit_padding(x, kernel, padding, stride):
    """
    Return the number of zeros before and after each axis of a map.
    """
    if padding == 'valid':
        return ((0, 0), (0, 0))
    if padding == 'symmetric':
        return tuple((size // 2, size // 2) for size in kernel.shape[:2])
    extra = [
        max((-(-n // stride) - 1) * stride + size - n, 0)
        for n, size in zip(x.shape[1:3], kernel.shape[:2], strict=True)
    ]
    # an odd one goes to the end
    return tuple((n // 2, n - n // 2) for n in extra)


def pool(x, *, formulation=None):
    """
    Maximum over 2 x 2 pixels; an odd last row or column is dropped.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    formulation : {'reshape', 'window'}, optional
        How it is computed; the first unless `~clustercnn.network.backend.native_formulations`
        is in force, since the gradient of the second is several times slower on every device.

    Returns
    -------
    y : 4D `~jax.Array`
        Shape ``(n, ny // 2, nx // 2, n_channels)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import pool
    >>> pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    if formulation is None:
        formulation = 'window' if native_wanted() else 'reshape'
    return {'reshape': _reshaped_pool, 'window': _window_pool}[formulation](x)


def conv(x, kernel, *, padding='same', stride=1, formulation=None):
    """
    Convolution.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    kernel : 4D `~jax.Array`
        Shape ``(height, width, n_channels, n_filters)``.
    padding : {'same', 'symmetric', 'valid'}, optional
        Zeros around the map, or a smaller map. ``'same'`` puts an odd zero at the end,
        as TensorFlow does, ``'symmetric'`` as many before as after, as PyTorch does; they
        differ where the stride is two and the size even.
    stride : int, optional
        Pixels from one place of the filter to the next.
    formulation : {'native', 'columns'}, optional
        How the gradient is computed; by the backend and the number of items by default. The
        second, for strides of one, makes matrix products of it.

    Returns
    -------
    y : 4D `~jax.Array`
        Shape ``(n, ceil(ny / stride), ceil(nx / stride), n_filters)``, smaller where
        ``padding`` is ``'valid'``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import conv
    >>> conv(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 1)), padding='valid').shape
    (1, 2, 2, 1)
    """
    x, kernel = narrowed(x), narrowed(kernel)
    if kernel.shape[:2] == (1, 1) and stride == 1:
        return pointwise(x, kernel[0, 0]) if on_cpu() else x @ kernel[0, 0]
    if formulation is None:
        few = on_cpu() and stride == 1 and x.shape[0] < FEW_ITEMS
        formulation = 'columns' if few else 'native'
    if formulation == 'native':
        return _native_conv(x, kernel, padding, stride)
    return conv_of_few(x, kernel, _explicit_padding(x, kernel, padding, stride))


def depthwise(x, kernel, *, padding='same', stride=1, formulation=None):
    """
    Convolution of every channel with a filter of its own.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    kernel : 4D `~jax.Array`
        Shape ``(height, width, 1, n_channels)``.
    padding : {'same', 'symmetric', 'valid'}, optional
        See `conv`.
    stride : int, optional
        Pixels from one place of the filter to the next.
    formulation : {'native', 'shifted'}, optional
        How it is computed; by the backend by default. On a CPU the native one is tens
        of times slower than a multiply-add of shifted maps.

    Returns
    -------
    y : 4D `~jax.Array`
        Of as many channels.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import depthwise
    >>> depthwise(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 1, 2)), stride=2)[0, :, :, 0].tolist()
    [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
    """
    x, kernel = narrowed(x), narrowed(kernel)
    if formulation is None:
        formulation = 'shifted' if on_cpu() else 'native'
    if formulation == 'native':
        return _native_conv(x, kernel, padding, stride, n_groups=x.shape[-1])
    pads = _explicit_padding(x, kernel, padding, stride)
    return shifted_depthwise(x, kernel, pads, stride)


def fold(x, factor):
    """
    Turn blocks of pixels into channels (space to depth).

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    factor : int
        Side of a block. Sizes that are no multiple of it are filled with zeros,
        as evenly on both sides as possible.

    Returns
    -------
    y : 4D `~jax.Array`
        Shape ``(n, ceil(ny / factor), ceil(nx / factor), factor**2 * n_channels)``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import fold
    >>> fold(jnp.ones((2, 8, 8, 3)), 4).shape
    (2, 2, 2, 48)
    """
    if factor == 1:
        return x
    n, height, width, channels = x.shape
    extra = [-size % factor for size in (height, width)]
    x = jnp.pad(x, ((0, 0), *((e // 2, e - e // 2) for e in extra), (0, 0)))
    height, width = x.shape[1] // factor, x.shape[2] // factor
    x = x.reshape(n, height, factor, width, factor, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, height, width, factor**2 * channels)


def dropout(x, rate, key):
    """
    Set a share of the values to zero and scale up the others.

    Parameters
    ----------
    x : `~jax.Array`
        Any shape.
    rate : float
        Share to drop, below 1.
    key : `~jax.Array` or None
        Random key; None returns ``x``, as in prediction.

    Returns
    -------
    y : `~jax.Array`
        Of the same expectation.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import dropout
    >>> dropout(jnp.ones(3), 0.5, None).tolist()
    [1.0, 1.0, 1.0]
    """
    if key is None or rate == 0:
        return x
    keep = lax.optimization_barrier(jax.random.uniform(key, x.shape) >= rate)
    return jnp.where(keep, x / (1 - rate), 0)


def _draw(rng, shape, variance):
    """
    Return a normal deviate as parameter; None for the generator gives its shape only.

    Numpy draws, since its bits do not change with the version of jax or the device.
    """
    if rng is None:
        return nnx.Param(jnp.zeros(shape, jnp.float32))
    kernel = math.sqrt(variance) * rng.standard_normal(shape, np.float32)
    return nnx.Param(jnp.asarray(kernel, jnp.float32))


class Conv(nnx.Module):
    """
    Square convolution.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    size : int, optional
        Side of the filter.
    padding : {'same', 'symmetric', 'valid'}, optional
        See `conv`.
    stride : int, optional
        See `conv`.
    bias : bool, optional
        Whether a bias is added; there is no use for one before a normalisation.
    rng : `~numpy.random.Generator` or None
        For the initial kernel (He et al. 2015, arXiv:1502.01852); None for zeros.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import Conv
    >>> Conv(2, 5, rng=None)(jnp.ones((1, 6, 6, 2))).shape
    (1, 6, 6, 5)
    """

    def __init__(self, n_in, n_out, *, size=3, padding='same', stride=1, bias=True, rng):
        shape = (size, size, n_in, n_out)
        self.kernel = _draw(rng, shape, 2 / (size * size * n_in))
        if bias:
            self.bias = nnx.Param(jnp.zeros((n_out,), jnp.float32))
        self.has_bias = bias
        self.padding = padding
        self.stride = stride

    def __call__(self, x):
        y = conv(x, self.kernel[...], padding=self.padding, stride=self.stride)
        if not self.has_bias:
            return y
        # in wide numbers, in which the gradient is then summed over all pixels
        return (widened(y) + self.bias[...]).astype(y.dtype)


class Depthwise(nnx.Module):
    """
    Convolution of every channel with a 3 x 3 filter of its own, without bias.

    Parameters
    ----------
    n_channels : int
        Channels.
    padding : {'same', 'symmetric', 'valid'}, optional
        See `conv`.
    stride : int, optional
        See `conv`.
    rng : `~numpy.random.Generator` or None
        For the initial kernel; None for zeros.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import Depthwise
    >>> Depthwise(5, stride=2, rng=None)(jnp.ones((1, 6, 6, 5))).shape
    (1, 3, 3, 5)
    """

    def __init__(self, n_channels, *, padding='same', stride=1, rng):
        self.kernel = _draw(rng, (3, 3, 1, n_channels), 2 / 9)
        self.padding = padding
        self.stride = stride

    def __call__(self, x):
        return depthwise(x, self.kernel[...], padding=self.padding, stride=self.stride)


class BatchNorm(nnx.Module):
    """
    Normalisation by the mean and variance of each channel (Ioffe & Szegedy 2015,
    arXiv:1502.03167).

    In training these are those of the batch, and running means of them are kept in the
    variables ``mean`` and ``variance``, by which everything else is normalised: a
    prediction does not depend on its neighbours.

    Parameters
    ----------
    n_channels : int
        Channels.
    momentum : float
        What is left of the running means after a step.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import BatchNorm
    >>> norm = BatchNorm(1, momentum=0.5)
    >>> x = jnp.arange(4.0).reshape(2, 2, 1, 1)
    >>> bool(abs(norm(x, mask=jnp.ones(2)).mean()) < 1e-6), norm.mean[...].item()
    (True, 0.75)
    """

    def __init__(self, n_channels, *, momentum):
        self.scale = nnx.Param(jnp.ones((n_channels,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((n_channels,), jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros((n_channels,), jnp.float32))
        self.variance = nnx.BatchStat(jnp.ones((n_channels,), jnp.float32))
        self.momentum = momentum

    def __call__(self, x, *, mask=None):
        """
        Normalise.

        Parameters
        ----------
        x : 4D `~jax.Array`
            Shape ``(n, ny, nx, n_channels)``.
        mask : 1D `~jax.Array`, optional
            In training, 1 for the rows whose statistics count, 0 for padding; the
            running means are used, and left as they are, without. They are left as they are,
            too, where no row counts.

        Returns
        -------
        y : 4D `~jax.Array`
            Of the same shape.
        """
        if mask is None:
            scale = self.scale[...] * lax.rsqrt(self.variance[...] + EPSILON)
            y = widened(x) * scale + (self.bias[...] - self.mean[...] * scale)
            return y.astype(x.dtype)
        n_values = jnp.maximum(mask.sum() * (x.shape[1] * x.shape[2]), 1)
        y, mean, variance = normalised(x, self.scale[...], self.bias[...], mask / n_values, EPSILON)
        # of the whole population, hence one degree of freedom less
        unbiased = variance * n_values / jnp.maximum(n_values - 1, 1)
        any_counts = mask.sum() > 0
        for kept, new in ((self.mean, mean), (self.variance, unbiased)):
            moved = self.momentum * kept[...] + (1 - self.momentum) * new
            kept[...] = jnp.where(any_counts, moved, kept[...])
        return y


class Dense(nnx.Module):
    """
    Fully connected layer with bias.

    Parameters
    ----------
    n_in, n_out : int
        Number of values.
    scale : float, optional
        Factor on the variance of the initial kernel (2 is He's, for what a
        rectifier follows).
    rng : `~numpy.random.Generator` or None
        For the initial kernel; None for zeros.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import Dense
    >>> Dense(3, 2, rng=None)(jnp.ones((4, 3))).shape
    (4, 2)
    """

    def __init__(self, n_in, n_out, *, scale=2.0, rng):
        self.kernel = _draw(rng, (n_in, n_out), scale / n_in)
        self.bias = nnx.Param(jnp.zeros((n_out,), jnp.float32))

    def __call__(self, x):
        return x @ self.kernel[...] + self.bias[...]
