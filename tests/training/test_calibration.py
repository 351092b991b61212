# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Probabilities that mean what they say, and distances from the training data.
"""

import numpy as np
import pytest

from clustercnn.training import fit_novelty, fit_temperature, novelty, prior_shift, softmax


@pytest.mark.parametrize('factor', [0.4, 1.0, 3.0])
def test_temperature_undoes_a_factor(factor):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (5000, 3))
    p = softmax(logits)
    codes = (rng.random((5000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    found = fit_temperature(factor * logits, np.eye(3)[codes])
    assert found == pytest.approx(factor, rel=0.06)


def test_few_items_without_error_do_not_give_certainty():
    logits = np.array([[1.0, 0.0], [0.0, 1.0]] * 5)
    assert fit_temperature(logits, logits) > 0.3


def test_softmax_of_large_logits():
    np.testing.assert_array_equal(softmax([[1e4, 0.0], [0.0, -1e4]]), [[1, 0], [1, 0]])


def test_novelty_ranks_strangers_above_the_training_data():
    rng = np.random.default_rng(1)
    centres = rng.normal(0, 5, (2, 40))
    codes = np.arange(600) % 2
    x = centres[codes] + rng.normal(0, 1, (600, 40))
    reference = fit_novelty(x, codes)
    inside = novelty(centres[codes] + rng.normal(0, 1, (600, 40)), reference)
    assert 0.9 < np.percentile(inside, 95) < 1.2
    between = novelty(np.full((50, 40), 15.0) + rng.normal(0, 1, (50, 40)), reference)
    assert between.min() > inside.max()


@pytest.mark.parametrize('n_items', [2, 3])
def test_novelty_of_almost_no_data_is_finite(n_items):
    x = np.random.default_rng(1).normal(size=(n_items, 8))
    reference = fit_novelty(x, np.arange(n_items) % 2)
    assert np.isfinite(novelty(np.ones((4, 8)), reference)).all()
    constant = fit_novelty(np.ones((n_items, 8)), np.zeros(n_items, int))
    assert np.isfinite(novelty(np.ones((4, 8)), constant)).all()


def _scores(n, share, *, seed=1):
    """
    Return logits that are right at equal shares, and codes of which this share is of the first.
    """
    rng = np.random.default_rng(seed)
    codes = (rng.random(n) >= share).astype(int)
    score = np.where(codes == 0, rng.normal(1.5, 2, n), rng.normal(0, 1, n))
    log_ratio = -((score - 1.5) ** 2) / 8 - np.log(2) + score**2 / 2
    return np.stack([log_ratio, np.zeros(n)], axis=1), codes


@pytest.mark.parametrize('share', [0.5, 0.2, 0.05])
def test_the_temperature_does_not_answer_for_the_prior(share):
    logits, codes = _scores(40_000, share)
    shift = prior_shift([share, 1 - share], [0.5, 0.5])
    assert fit_temperature(logits, np.eye(2)[codes], shift=shift) == pytest.approx(1, abs=0.08)
    if share < 0.5:
        assert fit_temperature(logits, np.eye(2)[codes]) < 0.75


def test_a_class_that_is_not_there_shifts_nothing():
    np.testing.assert_allclose(prior_shift([0.4, 0.6, 0], [0.2, 0.3, 0.5]), [np.log(2)] * 2 + [0])


@pytest.mark.parametrize('factor', [100.0, 1.0, 1e-3])
def test_the_scale_of_weights_changes_no_temperature(factor):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (400, 2))
    codes = (rng.random(400) > softmax(logits)[:, 0]).astype(int)
    weight = np.full(400, factor)
    found = fit_temperature(3 * logits, np.eye(2)[codes], weight=weight)
    assert found == pytest.approx(fit_temperature(3 * logits, np.eye(2)[codes]), rel=1e-6)


def test_weights_of_zero_say_nothing_of_the_temperature():
    assert fit_temperature([[1.0, 0.0]] * 20, [[1.0, 0.0]] * 20, weight=np.zeros(20)) == 1.0
