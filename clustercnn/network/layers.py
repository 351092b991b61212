# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Layers: one interface for convolution and pooling, whose formulation depends on
the backend, and the small modules made of them.

What is fast on a CPU is not what is fast on a GPU: the gradient of
``reduce_window`` is several times slower on a CPU than that of a maximum over a
reshaped array. Formulations are chosen here and nowhere else, and tested to agree.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

__all__ = ['Conv', 'Dense', 'conv', 'dropout', 'fold', 'pool']


def _reshaped_pool(x):
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return x.max(axis=(2, 4))


def _window_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')


def _native_conv(x, kernel, padding):
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=padding.upper(),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def pool(x, *, formulation=None):
    """
    Maximum over 2 x 2 pixels; an odd last row or column is dropped.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    formulation : {'reshape', 'window'}, optional
        How it is computed; by the backend by default.

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
        formulation = 'reshape' if jax.default_backend() == 'cpu' else 'window'
    return {'reshape': _reshaped_pool, 'window': _window_pool}[formulation](x)


def conv(x, kernel, *, padding='same'):
    """
    Convolution with stride one.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    kernel : 4D `~jax.Array`
        Shape ``(height, width, n_channels, n_filters)``.
    padding : {'same', 'valid'}, optional
        Zeros around the map, or a smaller map.

    Returns
    -------
    y : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_filters)``, smaller where ``padding`` is ``'valid'``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import conv
    >>> conv(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 1)), padding='valid').shape
    (1, 2, 2, 1)
    """
    if kernel.shape[:2] == (1, 1):
        return x @ kernel[0, 0]
    return _native_conv(x, kernel, padding)


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
    Square convolution with bias.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    size : int, optional
        Side of the filter.
    padding : {'same', 'valid'}, optional
        See `conv`.
    rng : `~numpy.random.Generator` or None
        For the initial kernel (He et al. 2015, arXiv:1502.01852); None for zeros.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.layers import Conv
    >>> Conv(2, 5, rng=None)(jnp.ones((1, 6, 6, 2))).shape
    (1, 6, 6, 5)
    """

    def __init__(self, n_in, n_out, *, size=3, padding='same', rng):
        shape = (size, size, n_in, n_out)
        self.kernel = _draw(rng, shape, 2 / (size * size * n_in))
        self.bias = nnx.Param(jnp.zeros((n_out,), jnp.float32))
        self.padding = padding

    def __call__(self, x):
        return conv(x, self.kernel[...], padding=self.padding) + self.bias[...]


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
