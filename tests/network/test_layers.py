# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Formulations agree with the reference, forward and backward.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from clustercnn.network.formulations import halved, normalised, pointwise
from clustercnn.network.layers import conv, depthwise, dropout, fold, pool


def reference_conv(x, kernel, padding):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding.upper(), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


def normal(seed, shape):
    # drawn by numpy: each draw by jax is compiled anew for its shape
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('formulation', ['native', 'columns'])
@pytest.mark.parametrize('padding', ['same', 'valid'])
@pytest.mark.parametrize(
    ('size', 'n_in', 'n_out'), [(3, 2, 7), (3, 7, 2), (3, 16, 8), (2, 3, 3), (1, 5, 4), (1, 4, 5)]
)
def test_conv(size, n_in, n_out, padding, formulation):
    x, kernel = normal(0, (2, 9, 8, n_in)), normal(1, (size, size, n_in, n_out))
    shrink = 0 if padding == 'same' else size - 1
    seed = normal(2, (2, 9 - shrink, 8 - shrink, n_out))

    @jax.jit
    def both(x, kernel, seed):
        def forward_and_back(function):
            y, pull = jax.vjp(function, x, kernel)
            return y, pull(seed)

        return (
            forward_and_back(lambda a, b: conv(a, b, padding=padding, formulation=formulation)),
            forward_and_back(lambda a, b: reference_conv(a, b, padding)),
        )

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        *both(x, kernel, seed),
    )


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('padding', ['same', 'symmetric', 'valid'])
@pytest.mark.parametrize('shape', [(2, 7, 8, 5), (2, 8, 9, 3)])
def test_depthwise(shape, padding, stride):
    x, kernel = normal(0, shape), normal(1, (3, 3, 1, shape[-1]))
    pads = ((1, 1), (1, 1)) if padding == 'symmetric' else padding.upper()

    def reference(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            pads,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
            feature_group_count=shape[-1],
        )

    @jax.jit
    def all_of_them(x, kernel):
        def forward_and_back(function):
            y, pull = jax.vjp(function, x, kernel)
            return y, pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

        return forward_and_back(reference), *(
            forward_and_back(
                lambda a, b, name=name: depthwise(
                    a, b, padding=padding, stride=stride, formulation=name
                )
            )
            for name in ('native', 'shifted')
        )

    expected, *results = all_of_them(x, kernel)
    for result in results:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), result, expected
        )


@pytest.mark.parametrize('padding', ['same', 'symmetric'])
@pytest.mark.parametrize('shape', [(2, 7, 8, 3), (2, 6, 6, 3)])
def test_conv_with_a_stride(shape, padding):
    x, kernel = normal(0, shape), normal(1, (3, 3, 3, 4))
    whole = np.asarray(conv(x, kernel))
    # with as many zeros before as after, a stride of two leaves every other pixel of
    # the whole map; with the odd one at the end it starts a pixel later
    even = [padding == 'same' and size % 2 == 0 for size in shape[1:3]]
    expected = whole[:, even[0] :: 2, even[1] :: 2]
    strided = conv(x, kernel, padding=padding, stride=2)
    np.testing.assert_allclose(strided, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('shape', [(2, 8, 8, 3), (1, 7, 9, 2)])
def test_pool(shape):
    seed = normal(1, (shape[0], shape[1] // 2, shape[2] // 2, shape[3]))

    @jax.jit
    def both(x, seed):
        results = []
        for name in ('reshape', 'window'):
            y, pull = jax.vjp(lambda a, name=name: pool(a, formulation=name), x)
            results.append((y, pull(seed)[0]))
        return results

    one, other = both(normal(0, shape), seed)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert one[0].shape == seed.shape
    assert (np.array(one[1]) != 0).sum() == seed.size


@pytest.mark.parametrize('values', [(0.0, 1.0), (-0.0, 0.0), (-np.inf, 2.0)])
def test_gradient_of_a_maximum_goes_to_the_first_of_equal_pixels(values):
    x = jnp.asarray(np.random.default_rng(2).choice(np.float32(values), (2, 6, 8, 3)))
    gradient = normal(3, (2, 3, 4, 3))

    def windows(x):
        window = (1, 2, 2, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, 'VALID')

    ours, theirs = (jax.vjp(function, x)[1](gradient)[0] for function in (halved, windows))
    np.testing.assert_array_equal(ours, theirs)


def test_gradients_of_a_product_are_of_the_types_of_its_factors():
    x, kernel = normal(0, (2, 3, 3, 4)), normal(1, (4, 5))
    for types in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.bfloat16)):
        factors = x.astype(types[0]), kernel.astype(types[1])
        gradients = jax.grad(lambda *pair: pointwise(*pair).sum(), (0, 1))(*factors)
        assert tuple(one.dtype for one in gradients) == types


def test_gradients_of_a_normalisation_are_those_of_its_formula():
    x, scale, bias = 3 + 2 * normal(0, (5, 6, 4, 3)), normal(1, (3,)), normal(2, (3,))
    # the last row is padding
    weight = jnp.array([1, 1, 1, 1, 0]) / (4 * 6 * 4)

    def by_formula(x, scale, bias):
        mean = weight @ x.sum((1, 2))
        variance = weight @ ((x - mean) ** 2).sum((1, 2))
        return scale * (x - mean) / jnp.sqrt(variance + 1e-5) + bias

    y, pull = jax.vjp(lambda *given: normalised(*given, weight, 1e-5)[0], x, scale, bias)
    expected, pull_expected = jax.vjp(by_formula, x, scale, bias)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    seed = normal(3, x.shape)
    for one, other in zip(pull(seed), pull_expected(seed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind', [jnp.bfloat16, jnp.float32])
def test_gradients_of_a_normalisation_are_of_the_types_of_what_is_given(kind):
    given = normal(0, (4, 6, 6, 3)).astype(kind), normal(1, (3,)), normal(2, (3,)).astype(kind)
    weight = jnp.full(4, 1 / 144)
    gradients = jax.grad(lambda *args: normalised(*args, weight, 1e-5)[0].sum(), (0, 1, 2))(*given)
    assert [one.dtype for one in gradients] == [one.dtype for one in given]


def test_fold_keeps_every_pixel_once():
    x = np.arange(2 * 6 * 5 * 2, dtype=np.float32).reshape(2, 6, 5, 2) + 1
    folded = np.array(fold(jnp.asarray(x), 4))
    assert folded.shape == (2, 2, 2, 32)
    assert sorted(folded[folded > 0].tolist()) == sorted(x.ravel().tolist())


def test_dropout_keeps_the_expectation():
    x = jnp.ones((100, 100))
    dropped = np.array(dropout(x, 0.65, jax.random.key(0)))
    assert abs((dropped == 0).mean() - 0.65) < 0.02
    assert abs(dropped.mean() - 1) < 0.05
