# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Layers with formulations or gradients of their own, which are fast on a CPU; some are on a GPU, too.

`clustercnn.network.layers` chooses between them and the native ones.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ['conv_of_few', 'halved', 'normalised', 'pointwise', 'shifted_depthwise']


def _windows(x, size, stride, shape):
    """
    Yield for each tap of a filter its place and what it sees of a padded map.
    """
    for row in range(size[0]):
        for column in range(size[1]):
            stop_y, stop_x = row + (shape[0] - 1) * stride + 1, column + (shape[1] - 1) * stride + 1
            yield row, column, x[:, row:stop_y:stride, column:stop_x:stride]


def _output_shape(x, kernel, pads, stride):
    return tuple(
        (n + low + high - size) // stride + 1
        for n, size, (low, high) in zip(x.shape[1:3], kernel.shape[:2], pads, strict=True)
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def shifted_depthwise(x, kernel, pads, stride):
    """
    Convolve every channel with a filter of its own as a sum of shifted maps.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    kernel : 4D `~jax.Array`
        Shape ``(height, width, 1, n_channels)``.
    pads : 2-tuple of 2-tuple of int
        Zeros before and after each axis.
    stride : int
        Pixels from one place of the filter to the next.

    Returns
    -------
    y : 4D `~jax.Array`
        Of as many channels.
    """
    shape = _output_shape(x, kernel, pads, stride)
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    return sum(
        window * kernel[row, column, 0]
        for row, column, window in _windows(padded, kernel.shape[:2], stride, shape)
    )


def _shifted_forward(x, kernel, pads, stride):
    return shifted_depthwise(x, kernel, pads, stride), (x, kernel)


def _shifted_backward(pads, stride, saved, gradient):
    """
    Gradients, in shifted maps as well: what JAX would derive adds padded maps instead.
    """
    x, kernel = saved
    # settled in memory once, else each of the uses below computes it anew
    x, gradient = lax.optimization_barrier((x, gradient))
    height, width = gradient.shape[1:3]
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))

    def add(totals, one):
        windows = _windows(one[0][None], kernel.shape[:2], stride, (height, width))
        return [
            total + window[0] * one[1]
            for total, (_, _, window) in zip(totals, windows, strict=True)
        ], None

    # maps are added over the pictures and summed once: XLA's sums over all of a batch
    # take several times longer on a CPU
    wide = jnp.promote_types(x.dtype, jnp.float32)
    nothing = [jnp.zeros(gradient.shape[1:], wide)] * (kernel.shape[0] * kernel.shape[1])
    totals, _ = lax.scan(add, nothing, (padded, gradient))
    of_kernel = jnp.stack([total.sum((0, 1)) for total in totals]).reshape(kernel.shape)
    of_kernel = of_kernel.astype(kernel.dtype)
    # the transpose of a convolution is one of the gradient, spread out by the stride,
    # with the kernel turned round
    spread = [
        (size - 1 - low, n + low - 1 - (n_out - 1) * stride, stride - 1)
        for n, size, n_out, (low, _) in zip(
            x.shape[1:3], kernel.shape[:2], (height, width), pads, strict=True
        )
    ]
    zero = jnp.zeros((), gradient.dtype)
    dilated = lax.pad(gradient, zero, ((0, 0, 0), *spread, (0, 0, 0)))
    none = ((0, 0), (0, 0))
    return shifted_depthwise(dilated, kernel[::-1, ::-1], none, 1), of_kernel


shifted_depthwise.defvjp(_shifted_forward, _shifted_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_of_few(x, kernel, pads):
    """
    Convolve with stride one, with a gradient that is fast for a few items.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    kernel : 4D `~jax.Array`
        Shape ``(height, width, n_channels, n_filters)``.
    pads : 2-tuple of 2-tuple of int
        Zeros before and after each axis.

    Returns
    -------
    y : 4D `~jax.Array`
        The library's own.

    Notes
    -----
    The library's convolution for the gradient of the kernel sums over the items of the batch
    in its innermost loop, which a few do not fill; a matrix product sums over pixels.
    """
    return lax.conv_general_dilated(
        x, kernel, (1, 1), pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


def _few_forward(x, kernel, pads):
    return conv_of_few(x, kernel, pads), (x, kernel)


def _seen(padded, size, shape):
    """
    What each tap of a filter of a size sees of a padded map, side by side, as a row a pixel.
    """
    seen = [window for _, _, window in _windows(padded, size, 1, shape)]
    return jnp.concatenate(seen, axis=-1).reshape(-1, len(seen) * padded.shape[-1])


def _few_backward(pads, saved, gradient):
    x, kernel = saved
    height, width, n_in, n_out = kernel.shape
    turned_pads = tuple(
        (size - 1 - low, size - 1 - high)
        for size, (low, high) in zip((height, width), pads, strict=True)
    )
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    of_x = lax.conv_general_dilated(
        gradient, turned, (1, 1), turned_pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    size = (height, width)
    around = ((0, 0), *turned_pads, (0, 0))
    if height * width * min(n_in, n_out) >= width * n_in + height * n_out:
        # the map moved along its rows, the gradient along its columns: one product has all pairs
        shape = (x.shape[1], gradient.shape[2])
        across = _seen(jnp.pad(x, ((0, 0), (0, 0), pads[1], (0, 0))), (1, width), shape)
        down = _seen(jnp.pad(gradient, (*around[:2], (0, 0), (0, 0))), (height, 1), shape)
        product = (down.T @ across).reshape(height, n_out, width, n_in)
        return of_x, product[::-1].transpose(0, 2, 3, 1)
    # where either has few channels, all taps of it are fewer copies
    if n_out < n_in:
        seen = _seen(jnp.pad(gradient, around), size, x.shape[1:3])
        product = (x.reshape(-1, n_in).T @ seen).reshape(n_in, height, width, n_out)
        return of_x, product[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    seen = _seen(jnp.pad(x, ((0, 0), *pads, (0, 0))), size, gradient.shape[1:3])
    return of_x, (seen.T @ gradient.reshape(-1, n_out)).reshape(kernel.shape)


conv_of_few.defvjp(_few_forward, _few_backward)


@jax.custom_vjp
def pointwise(x, kernel):
    """
    Multiply the channels of every pixel by a matrix.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    kernel : 2D `~jax.Array`
        Shape ``(n_channels, n_filters)``.

    Returns
    -------
    y : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_filters)``.
    """
    return x @ kernel


def _pointwise_forward(x, kernel):
    return x @ kernel, (x, kernel)


def _pointwise_backward(saved, gradient):
    x, kernel = saved
    # settled in memory once, else the compiler transposes them to sum over pixels, which takes
    # many times as long as the product
    x, gradient = lax.optimization_barrier((x, gradient))
    rows, seeds = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    # the narrower one is transposed
    of_kernel = rows.T @ seeds if kernel.shape[0] <= kernel.shape[1] else (seeds.T @ rows).T
    # the product may be of a wider type than one of its factors
    return (gradient @ kernel.T).astype(x.dtype), of_kernel.astype(kernel.dtype)


pointwise.defvjp(_pointwise_forward, _pointwise_backward)


@jax.custom_vjp
def halved(x):
    """
    Maximum over blocks of 2 x 2 pixels.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)`` of even ``ny`` and ``nx``.

    Returns
    -------
    y : 4D `~jax.Array`
        Shape ``(n, ny // 2, nx // 2, n_channels)``.

    Notes
    -----
    The gradient goes to the first of equal pixels, as that of ``reduce_window`` does, and to none
    of a block that holds NaN. What JAX would derive counts equal ones, and takes three times as
    long.
    """
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def _halved_forward(x):
    y = halved(x)
    return y, (x, y)


def _halved_backward(saved, gradient):
    x, y = saved
    n, height, width, channels = y.shape
    blocks = x.reshape(n, height, 2, width, 2, channels)
    left, rows = jnp.ones(y.shape, bool), []
    for row in range(2):
        parts = []
        for column in range(2):
            largest = left & (blocks[:, :, row, :, column] == y)
            left &= ~largest
            parts.append(jnp.where(largest, gradient, 0))
        rows.append(jnp.stack(parts, 3))
    return (jnp.stack(rows, 2).reshape(x.shape),)


halved.defvjp(_halved_forward, _halved_backward)


@jax.custom_vjp
def normalised(x, scale, bias, weight, epsilon):
    """
    Normalise each channel by its mean and variance over all pixels of a batch.

    Parameters
    ----------
    x : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_channels)``.
    scale, bias : 1D `~jax.Array`
        Standard deviation and mean afterwards, by channel.
    weight : 1D `~jax.Array`
        By item: one over the number of pixels that count, or zero for an item that does not.
    epsilon : float
        Added to the variance.

    Returns
    -------
    y : 4D `~jax.Array`
        As ``x``.
    mean, variance : 1D `~jax.Array`
        By channel, of the items that count; no gradient passes through these two.

    Notes
    -----
    The gradient is that of Ioffe & Szegedy (2015, arXiv:1502.03167, section 3), written as one
    linear function of ``x`` and of the gradient of ``y``. What JAX would derive reads all pixels
    once more, for a sum that is zero.
    """
    kind = x.dtype
    # sums of many are not for narrow numbers
    x = x.astype(jnp.promote_types(kind, scale.dtype))
    mean = weight @ x.sum((1, 2))
    variance = weight @ jnp.square(x - mean).sum((1, 2))
    factor = scale * lax.rsqrt(variance + epsilon)
    return (x * factor + (bias - mean * factor)).astype(kind), mean, variance


def _normalised_forward(x, scale, bias, weight, epsilon):
    y, mean, variance = normalised(x, scale, bias, weight, epsilon)
    return (y, mean, variance), (x, scale, bias, weight, mean, lax.rsqrt(variance + epsilon))


def _normalised_backward(saved, gradients):
    x, scale, bias, weight, mean, inverse = saved
    kinds = x.dtype, scale.dtype, bias.dtype
    x, gradient = (
        one.astype(jnp.promote_types(one.dtype, scale.dtype)) for one in (x, gradients[0])
    )
    of_bias = gradient.sum((0, 1, 2))
    of_scale = (gradient * (x - mean)).sum((0, 1, 2)) * inverse
    factor = scale * inverse
    slope = -factor * inverse * of_scale
    level = -factor * of_bias - mean * slope
    of_x = gradient * factor + (x * slope + level) * weight[:, None, None, None]
    made = zip((of_x, of_scale, of_bias), kinds, strict=True)
    return *(one.astype(kind) for one, kind in made), None, None


normalised.defvjp(_normalised_forward, _normalised_backward)
