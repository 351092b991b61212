# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Votes that err together count as fewer, and nobody's skill is averaged away.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from scipy import integrate, special, stats

from clustercnn import LabelSet, evaluation, labels
from clustercnn.labels._confidence import (
    SCATTER,
    SCATTER_LEFT,
    TYPICAL,
    TYPICAL_LEFT,
    Correlation,
    effective_votes,
    expected_correlation,
    find_correlation,
    learn_correlation,
    soften,
    vote_correlation,
)
from clustercnn.labels._matrices import LAST_AT_FIRST, STRENGTHS, likeliest_strength


def crowd(seed, *, hardness, n_items=400, n_people=40, n_votes=9, error=0.25):
    """
    Return truth and votes of a simulated crowd of equals whose items shift the odds of all.
    """
    rng = np.random.default_rng([seed, round(10 * hardness)])
    truth = rng.integers(0, 3, n_items)
    item = np.repeat(np.arange(n_items), n_votes)
    who = np.concatenate([rng.choice(n_people, n_votes, replace=False) for _ in range(n_items)])
    odds = np.full((n_items, 3), np.log(error / 2))
    odds[np.arange(n_items), truth] = np.log(1 - error)
    odds += hardness * rng.normal(size=odds.shape)
    said = (odds[item] + rng.gumbel(size=(len(item), 3))).argmax(axis=1)
    return truth, item, who, said


def result_of(confusion, probability, prior=None):
    confusion = np.asarray(confusion, float)
    n_classes = confusion.shape[1]
    return labels.DawidSkeneResult(
        probability=np.asarray(probability, float),
        confusion=confusion,
        confusion_std=np.zeros_like(confusion),
        prior=np.full(n_classes, 1 / n_classes) if prior is None else prior,
        n_iterations=1,
        converged=True,
    )


def test_correlation_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    item, who, said = (
        np.repeat(np.arange(30), 4),
        np.tile(np.arange(4), 30),
        rng.integers(0, 2, 120),
    )
    matrices = rng.dirichlet([3, 2], (4, 2))
    probability = rng.dirichlet([1, 1], 30)
    common = most = 0
    for row in range(120):
        for other in range(120):
            if row == other or item[row] != item[other]:
                continue
            for true in range(2):
                share = probability[item[row], true]
                for k in range(2):
                    one, two = matrices[who[row], true, k], matrices[who[other], true, k]
                    common += share * ((said[row] == k) - one) * ((said[other] == k) - two)
                    most += share * np.sqrt(one * (1 - one) * two * (1 - two))
    found, error = vote_correlation(item, who, said, result_of(matrices, probability))
    assert found == pytest.approx(common / most, rel=1e-9)
    assert 0 < error < 0.2


def test_the_error_of_the_correlation_is_its_scatter():
    pulls = []
    for seed in range(25):
        truth, item, who, said = crowd(seed, hardness=0)
        matrices = np.full((40, 3, 3), 0.125) + 0.625 * np.eye(3)
        found, error = vote_correlation(item, who, said, result_of(matrices, np.eye(3)[truth]))
        pulls.append(found / error)
    assert 0.7 < np.std(pulls) < 1.4
    assert abs(np.mean(pulls)) < 0.7


def test_constants_are_those_that_were_measured():
    path = Path(__file__).parents[2] / 'validation' / 'labels' / 'results' / 'correlation.json'
    measured = json.loads(path.read_text())
    for name, value in (
        ('typical', TYPICAL),
        ('scatter', SCATTER),
        ('typical_left', TYPICAL_LEFT),
        ('scatter_left', SCATTER_LEFT),
    ):
        assert value == pytest.approx(measured[name], rel=0.02)
    # neither of the crowds of the shared data had a part in them
    assert not {'bluebirds', 'faces'} & set(measured['crowds'])


def test_votes_of_equals_count_by_number_and_idle_ones_not_at_all():
    item, who = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 3, 3])
    matrices = np.array([[[0.8, 0.2], [0.2, 0.8]]] * 3 + [[[0.5, 0.5]] * 2])
    result = result_of(matrices, np.full((3, 2), 0.5))
    np.testing.assert_allclose(effective_votes(item, who, result, n_items=3), [3, 1, 0])
    idle = result_of(matrices[3:].repeat(4, axis=0), np.full((3, 2), 0.5))
    np.testing.assert_allclose(effective_votes(item, who, idle, n_items=3), [3, 3, 0])


def test_softened_is_the_mean_over_what_the_correlation_may_be():
    probability = np.array([[0.97, 0.02, 0.01], [np.nan] * 3])
    votes, prior = np.array([10.0, 0.0]), np.array([0.5, 0.3, 0.2])
    found = soften(probability, votes, expected_correlation(0.7), prior=prior)

    def mixed(logarithm):
        power = 1 / (1 + 9 * TYPICAL * np.exp(SCATTER * logarithm))
        # Bayes' theorem with likelihoods to that power
        made = prior * (probability[0] / prior) ** power
        return stats.norm.pdf(logarithm) * made[0] / made.sum()

    exact = 0.3 * 0.97 + 0.7 * integrate.quad(mixed, -8, 8)[0]
    assert found[0, 0] == pytest.approx(exact, abs=1e-4)
    np.testing.assert_allclose(found[0].sum(), 1)
    assert np.isnan(found[1]).all()
    # one vote is as good as it is
    np.testing.assert_allclose(
        soften(probability[:1], votes[1:], expected_correlation(1), prior=prior), probability[:1]
    )


def test_labels_stay_whatever_the_shares_of_the_classes_are():
    rng = np.random.default_rng(4)
    probability = special.softmax(rng.normal(0, 3, (4000, 3)), axis=1)
    likeliest = probability.argmax(axis=1)
    one = expected_correlation(1)
    for prior in ([0.7, 0.25, 0.05], [0.4, 0.35, 0.25], [1 / 3] * 3):
        prior = np.array(prior)
        found = soften(probability, np.full(4000, 8.0), one, prior=prior)
        np.testing.assert_array_equal(found.argmax(axis=1), likeliest)
        # where the label is the most frequent class the shares count in full
        plain = 1 / (1 + 7 * one.values[1:, None, None])
        plain = special.softmax(np.log(prior) + plain * np.log(probability / prior), axis=2)
        plain = np.tensordot(one.weight[1:], plain, 1)
        frequent = likeliest == 0
        np.testing.assert_allclose(found[frequent], plain[frequent], rtol=1e-9)


def rare(seed, *, error, spread=0, n_items=1500, n_people=40, n_votes=20):
    """
    Return truth and votes of a simulated crowd, a class of 3 %; errors may belong to the item.
    """
    rng = np.random.default_rng([seed, 7])
    truth = (rng.random(n_items) < 0.03).astype(int)
    item = np.repeat(np.arange(n_items), n_votes)
    who = np.concatenate([rng.choice(n_people, n_votes, replace=False) for _ in range(n_items)])
    own = np.full(n_items, error)
    if spread:
        own = rng.beta(spread * error, spread * (1 - error), n_items)
    wrong = rng.random(len(item)) < own[item]
    return truth, item, who, np.where(wrong, 1 - truth[item], truth[item])


def test_votes_against_a_rare_class_do_not_make_it_likelier():
    _, item, who, said = rare(1, error=0.1, spread=10)
    names = np.array(['no', 'yes'])
    votes = Table({'item': item, 'annotator': who, 'label': names[said]})
    found = labels.consensus(votes, schema=('no', 'yes'))
    assert found.meta['correlation'] > 0.5
    nobody = np.bincount(item, said) == 0
    assert nobody.sum() > 100
    prior = labels.dawid_skene(item, who, said, n_classes=2).prior[1]
    assert found.soft()[nobody, 1].max() < prior / 2
    assert prior < 0.1
    # whatever the correlation is
    probability = np.array([[1 - 1e-9, 1e-9], [0.98, 0.02]])
    for value in (0.1, 1.0, 10.0):
        one = Correlation(values=np.array([value]), weight=np.ones(1))
        soft = soften(probability, np.full(2, 20.0), one, prior=np.array([0.97, 0.03]))
        assert (soft[:, 1] < 0.03).all()


def test_independent_votes_on_a_rare_class_stay_as_good_as_they_are():
    soft, raw, truths = [], [], []
    for seed in range(4):
        truth, item, who, said = rare(seed, error=0.25, n_votes=10)
        names = np.array(['no', 'yes'])
        votes = Table({'item': item, 'annotator': who, 'label': names[said]})
        soft.append(labels.consensus(votes, schema=('no', 'yes')).soft())
        raw.append(labels.dawid_skene(item, who, said, n_classes=2).probability)
        truths.append(truth)
    truth = np.concatenate(truths)
    rows = np.arange(len(truth))
    losses, errors = [], []
    for probability in (np.concatenate(soft), np.concatenate(raw)):
        right = probability.argmax(axis=1) == truth
        losses.append(-np.log(probability[rows, truth]).mean())
        errors.append(evaluation.expected_calibration_error(probability.max(axis=1), right))
    # the model is the true one: nothing can be better, and doubt of it must cost next to nothing
    assert losses[1] > 0.02
    assert losses[0] < 1.01 * losses[1]
    assert errors[0] < errors[1] + 0.0005


def test_what_is_left_of_it_tells_whether_votes_are_independent():
    assert find_correlation(0.0, 0.005).weight[0] > 0.95
    assert find_correlation(0.04, 0.005).weight[0] < 0.01
    # with few items nobody knows
    assert 0.3 < find_correlation(0.0, 0.5).weight[0] < 0.7
    assert find_correlation(np.nan, np.nan).weight[0] == pytest.approx(0.5)
    nothing = result_of(np.full((1, 2, 2), 0.5), np.full((2, 2), 0.5))
    assert np.isnan(
        vote_correlation(np.array([0, 1]), np.array([0, 0]), np.array([0, 1]), nothing)
    ).all()


def test_confidence_means_what_it_says_of_hard_items_and_of_plain_ones():
    for hardness in (0.0, 1.5):
        found, raw, right = [], [], []
        for seed in range(6):
            truth, item, who, said = crowd(seed, hardness=hardness)
            # names in the order of the numbers, by which votes are held back
            names = np.char.zfill(item.astype(str), 4)
            votes = Table({'item': names, 'annotator': who, 'label': np.array(list('abc'))[said]})
            soft = labels.consensus(votes, schema=tuple('abc'))
            found.append(soft.soft().max(axis=1))
            plain = labels.dawid_skene(item, who, said, n_classes=3).probability
            raw.append(plain.max(axis=1))
            right.append(soft.hard() == truth)
            # softening changes no label, but of ties any is as good
            own = plain[np.arange(len(plain)), soft.hard()]
            np.testing.assert_allclose(own, plain.max(axis=1), rtol=1e-9)
        right = np.concatenate(right)
        error = evaluation.expected_calibration_error(np.concatenate(found), right)
        before = evaluation.expected_calibration_error(np.concatenate(raw), right)
        if hardness:
            assert before > 0.2
            assert error < before / 2
        else:
            assert error < 0.02


def test_known_items_say_how_far_votes_are_correlated():
    truth, item, who, said = crowd(3, hardness=0)
    # everybody takes four in ten for another class, which no vote can tell
    odd = np.random.default_rng(1).random(400) < 0.4
    truth = np.where(odd, (truth + 1) % 3, truth)
    names = np.array(list('abc'))
    votes = Table({'item': item, 'annotator': who, 'label': names[said]})
    blind = labels.consensus(votes, schema=tuple('abc'))
    found = []
    for n_known in (5, 60):
        known = labels_of(names[truth[:n_known]])
        found.append(labels.consensus(votes, schema=tuple('abc'), truth=known).meta['correlation'])
    assert blind.meta['correlation'] < 0.05
    assert min(found) > 0.4


def test_known_items_are_heard_whatever_votes_say():
    # so many items that votes seem to exclude any correlation
    sure = find_correlation(0.0, 1e-5)
    assert sure.weight[0] == 1
    truth = np.arange(40) % 2
    # four in ten of those that look certain are wrong
    said = np.where(np.arange(40) % 5 < 2, 1 - truth, truth)
    probability = np.where(np.eye(2)[said] > 0, 0.999, 0.001)

    def estimate(known):
        return result_of(np.full((1, 2, 2), 0.5), probability)

    found = learn_correlation(sure, estimate, truth, np.full(40, 10.0))
    assert found.mean > TYPICAL
    plain = learn_correlation(sure, estimate, said, np.full(40, 10.0))
    assert plain.mean < 0.1


def labels_of(names):
    return LabelSet.from_labels([str(k) for k in range(len(names))], names, schema=tuple('abc'))


@pytest.mark.parametrize('n_classes', [2, 4])
def test_matrices_of_people_who_differ_in_skill_alone(n_classes):
    pulls, worst = [], []
    for seed in range(6):
        rng = np.random.default_rng([seed, n_classes])
        truth = rng.integers(0, n_classes, 600)
        # one in ten guesses
        error = np.where(np.arange(40) % 10 == 0, 1 - 1 / n_classes, rng.beta(4, 16, 40))
        matrices = np.empty((40, n_classes, n_classes))
        for person, own in enumerate(error):
            matrices[person] = own / (n_classes - 1)
            np.fill_diagonal(matrices[person], 1 - own)
        item = np.repeat(np.arange(600), 10)
        who = np.concatenate([rng.choice(40, 10, replace=False) for _ in range(600)])
        edges = np.cumsum(matrices[who, truth[item]], axis=1)[:, :-1]
        said = (rng.random(len(item))[:, None] > edges).sum(axis=1)
        result = labels.dawid_skene(item, who, said, n_classes=n_classes)
        np.testing.assert_allclose(result.confusion.sum(axis=2), 1)
        pull = (result.confusion - matrices) / result.confusion_std
        pulls.append(pull)
        worst.append(pull[::10])
    assert 0.8 < np.sqrt(np.mean(np.square(pulls))) < 1.2
    # nor are those who guess drawn to the others
    assert np.sqrt(np.mean(np.square(worst))) < 1.4


def test_strength_is_that_from_which_counts_were_drawn():
    rng = np.random.default_rng(5)
    for number in (4, 10):
        shares = rng.dirichlet(STRENGTHS[number] * np.array([0.6, 0.3, 0.1]), 400)
        counts = np.array([rng.multinomial(40, share) for share in shares])[:, None].astype(float)
        found = likeliest_strength(
            counts, np.array([[0.6, 0.3, 0.1]]), LAST_AT_FIRST, len(STRENGTHS) - 1
        )
        assert abs(found - number) <= 1
