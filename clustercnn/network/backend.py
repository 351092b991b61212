# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the device asks of the layers: which formulations, and which type of numbers.

Both are settled while a function is traced.
"""

import contextlib
import contextvars
import functools

import jax
import jax.numpy as jnp

__all__ = [
    'PRECISIONS',
    'computing_in',
    'narrowed',
    'native_formulations',
    'native_wanted',
    'on_cpu',
    'tracing_in',
    'widened',
]

PRECISIONS = ('auto', 'float32', 'bfloat16')
"""
What maps and convolutions may be computed in; the first is the second on a CPU and the third
elsewhere.
"""

_ALWAYS_NATIVE = contextvars.ContextVar('always_native', default=False)

_HALF = contextvars.ContextVar('half', default=False)


@contextlib.contextmanager
def native_formulations():
    """
    Trace with one operation a layer, whatever the backend, as other runtimes want it.

    Yields
    ------
    nothing : None
        What is traced inside is written with the native operations.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.backend import native_formulations
    >>> from clustercnn.network.layers import pool
    >>> with native_formulations():
    ...     traced = jax.make_jaxpr(pool)(jnp.ones((1, 4, 4, 1)))
    >>> [equation.primitive.name for equation in traced.eqns]
    ['reduce_window_max']
    """
    token = _ALWAYS_NATIVE.set(True)
    try:
        yield
    finally:
        _ALWAYS_NATIVE.reset(token)


def on_cpu():
    """
    Tell whether formulations for a CPU are wanted.

    Returns
    -------
    answer : bool
        Whether JAX runs on one and `native_formulations` is not in force.

    Examples
    --------
    >>> from clustercnn.network.backend import native_formulations, on_cpu
    >>> with native_formulations():
    ...     on_cpu()
    False
    """
    return jax.default_backend() == 'cpu' and not native_wanted()


def native_wanted():
    """
    Tell whether `native_formulations` is in force.

    Returns
    -------
    answer : bool
        Whether it is.

    Examples
    --------
    >>> from clustercnn.network.backend import native_wanted
    >>> native_wanted()
    False
    """
    return _ALWAYS_NATIVE.get()


@contextlib.contextmanager
def computing_in(precision):
    """
    Trace with maps and convolutions of a number type.

    Parameters
    ----------
    precision : {'auto', 'float32', 'bfloat16'}
        Parameters are kept in float32 in any case; statistics, sums over maps, and all that
        follows the last ones are computed in it.

    Yields
    ------
    nothing : None
        What is traced inside computes so.

    Raises
    ------
    ValueError
        If there is no such precision.

    Notes
    -----
    A GPU multiplies bfloat16 many times as fast as float32, and would quietly round the
    factors of float32 products to ten bits (TF32); here float32 means float32.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.backend import computing_in
    >>> from clustercnn.network.layers import conv
    >>> with computing_in('bfloat16'):
    ...     y = conv(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 1)))
    >>> y.dtype.name
    'bfloat16'
    """
    if precision not in PRECISIONS:
        msg = f"'precision' must be one of {PRECISIONS}, got {precision!r}"
        raise ValueError(msg)
    accelerated = jax.default_backend() != 'cpu'
    half = precision == 'bfloat16' or (precision == 'auto' and accelerated)
    exact = jax.default_matmul_precision('highest') if accelerated else contextlib.nullcontext()
    token = _HALF.set(half)
    try:
        with exact:
            yield
    finally:
        _HALF.reset(token)


def tracing_in(function, precision):
    """
    Return a function that is traced within `computing_in`, in whatever thread.

    Parameters
    ----------
    function : callable
        To be compiled.
    precision : {'auto', 'float32', 'bfloat16'}
        See `computing_in`.

    Returns
    -------
    traced : callable
        Takes what the function takes.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.backend import narrowed, tracing_in
    >>> jax.jit(tracing_in(narrowed, 'bfloat16'))(jnp.ones(1)).dtype.name
    'bfloat16'
    """

    @functools.wraps(function)
    def traced(*args, **kwargs):
        with computing_in(precision):
            return function(*args, **kwargs)

    return traced


def narrowed(x):
    """
    Bring a map or a kernel to the number type that `computing_in` asks for.

    Parameters
    ----------
    x : `~jax.Array`
        Any shape.

    Returns
    -------
    y : `~jax.Array`
        Itself unless that is bfloat16.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.backend import narrowed
    >>> narrowed(jnp.ones(2)).dtype.name
    'float32'
    """
    return x.astype(jnp.bfloat16) if _HALF.get() and not native_wanted() else x


def widened(x):
    """
    Bring a map to float32, in which it is summed.

    Parameters
    ----------
    x : `~jax.Array`
        Any shape.

    Returns
    -------
    y : `~jax.Array`
        Itself unless it is of bfloat16.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.backend import widened
    >>> widened(jnp.ones(2, jnp.bfloat16)).dtype.name
    'float32'
    """
    return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x
