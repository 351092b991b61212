# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Losses of soft labels and of votes are those of the textbooks.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import dirichlet_multinomial

from clustercnn.training import TrainingConfig, fit_temperature, probability_loss, vote_loss

CONFUSION = ((0.8, 0.15, 0.05), (0.1, 0.7, 0.2), (0.25, 0.25, 0.5))


def cases(*, scale=1.0, n=40):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.5, (n, 3)) + scale
    votes = rng.multinomial(rng.integers(1, 41, n), [0.5, 0.3, 0.2]).astype(np.float64)
    return logits, votes


def textbook(logits, votes, confusion=None):
    concentration = np.exp(logits)
    if confusion is not None:
        concentration = concentration @ np.array(confusion)
    return -np.array(
        [
            dirichlet_multinomial.logpmf(row, alpha, int(row.sum()))
            for row, alpha in zip(votes, concentration, strict=True)
        ]
    )


@pytest.mark.parametrize('confusion', [None, CONFUSION])
@pytest.mark.parametrize('scale', [0.0, 2.0, 6.0])
def test_votes_have_their_dirichlet_multinomial_probability(scale, confusion):
    logits, votes = cases(scale=scale)
    # the sum of the concentrations stays within its limits
    logits -= np.maximum(np.log(np.exp(logits).sum(axis=1, keepdims=True)) - np.log(9e3), 0)
    found = vote_loss(jnp.float32(logits), jnp.float32(votes), confusion=confusion)
    np.testing.assert_allclose(found, textbook(logits, votes, confusion), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize('confusion', [None, CONFUSION])
def test_gradient_of_votes_is_that_of_the_textbook(confusion):
    logits, votes = cases(n=12)
    function = jax.grad(
        lambda values: vote_loss(values, jnp.float32(votes), confusion=confusion).sum()
    )
    found = np.asarray(function(jnp.float32(logits)))
    step = 1e-5
    for column in range(3):
        moved = np.eye(3)[column] * step
        difference = textbook(logits + moved, votes, confusion) - textbook(
            logits - moved, votes, confusion
        )
        np.testing.assert_allclose(found[:, column], difference / (2 * step), atol=3e-3)


def test_large_concentrations_lose_no_digits():
    # the plain difference of log gamma functions is off by 0.01 here
    share = np.array([[0.6, 0.3, 0.1]])
    votes = np.array([[20.0, 15.0, 5.0]])
    logits = np.log(share * 9e3)
    found = float(vote_loss(jnp.float32(logits), jnp.float32(votes))[0])
    assert found == pytest.approx(textbook(logits, votes)[0], abs=1e-3)
    gradient = jax.grad(lambda z: vote_loss(z, jnp.float32(votes)).sum())(jnp.float32(logits))
    # of many concentrations nearly the multinomial distribution: shares against votes
    np.testing.assert_allclose(gradient[0], 40 * share[0] - votes[0], atol=0.1)


def test_no_votes_no_loss_and_no_gradient():
    logits = jnp.array([[0.3, -0.2, 4.0], [50.0, -50.0, 0.0]])
    votes = jnp.zeros((2, 3))
    value, gradient = jax.value_and_grad(lambda z: vote_loss(z, votes).sum())(logits)
    assert abs(float(value)) < 1e-5
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize('size', [-60.0, 60.0])
def test_extreme_logits_stay_finite(size):
    logits = jnp.array([[size, -size, 0.0]])
    votes = jnp.array([[0.0, 7.0, 1.0]])
    for confusion in (None, CONFUSION):
        value, gradient = jax.value_and_grad(
            lambda z, matrix=confusion: vote_loss(z, votes, confusion=matrix).sum()
        )(logits)
        assert np.isfinite(float(value))
        assert np.isfinite(np.asarray(gradient)).all()


def test_soft_labels_go_through_the_noise():
    logits, _ = cases()
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = np.random.default_rng(1).dirichlet(np.ones(3), len(logits))
    plain = probability_loss(jnp.float32(logits), jnp.float32(target))
    np.testing.assert_allclose(plain, -(target * np.log(share)).sum(axis=1), rtol=1e-4)
    noisy = probability_loss(jnp.float32(logits), jnp.float32(target), confusion=CONFUSION)
    said = share @ np.array(CONFUSION)
    np.testing.assert_allclose(noisy, -(target * np.log(said)).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize('kind', ['probability', 'votes'])
def test_what_is_true_is_learned_behind_known_noise(kind):
    # two kinds of items, each said by rows of the matrix in the long run
    truth = np.array([[0.9, 0.1, 0.0], [0.0, 0.3, 0.7]]) * 0.98 + 0.02 / 3
    said = truth @ np.array(CONFUSION)

    def loss(logits):
        if kind == 'votes':
            draws = jnp.float32(np.round(said * 4000))
            return vote_loss(logits, draws, confusion=CONFUSION).mean()
        return probability_loss(logits, jnp.float32(said), confusion=CONFUSION).mean()

    step = jax.jit(lambda z, rate: z - rate * jax.grad(loss)(z))
    logits = jnp.zeros((2, 3))
    for number in range(4000):
        logits = step(logits, 2.0 if kind == 'probability' else 0.02 / (1 + number / 400))
    np.testing.assert_allclose(jax.nn.softmax(logits), truth, atol=0.04)


def test_temperature_looks_through_the_noise():
    rng = np.random.default_rng(2)
    truth = rng.dirichlet(np.ones(3), 4000)
    said = truth @ np.array(CONFUSION)
    blind = fit_temperature(2 * np.log(truth), said)
    found = fit_temperature(2 * np.log(truth), said, confusion=CONFUSION)
    assert found == pytest.approx(2.0, abs=0.05)
    assert blind > 2.5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'target': 'counts'}, "'target' must be 'probability' or 'votes', got 'counts'"),
        ({'confusion': [[0.9, 0.1]]}, 'a row and a column for each class'),
        ({'confusion': [[0.9, 0.1], [0.3]]}, 'a row and a column for each class'),
        ({'confusion': 'much'}, 'a row and a column for each class'),
        ({'confusion': [[0.9, 0.2], [0.1, 0.9]]}, "row 0 of 'confusion' must hold"),
        ({'confusion': [[0.9, 0.1], [1.1, -0.1]]}, "row 1 of 'confusion' must hold"),
        ({'confusion': [[0.5, 0.5], [0.5, 0.5]]}, 'nothing could tell them apart'),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**options)
    assert TrainingConfig(confusion=CONFUSION) == TrainingConfig(
        confusion=[list(row) for row in CONFUSION]
    )
