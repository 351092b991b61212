# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Training on votes: saved, resumed, weighted, and refused where there are none.
"""

import astropy.units as u
import numpy as np
import pytest

from clustercnn import Classifier, CutoutStack, LabelSet
from clustercnn.exceptions import TrainingError

SCHEMA = ('a', 'b')
NOISE = [[0.8, 0.2], [0.3, 0.7]]


def data(n=48, *, seed=1):
    """
    Pictures of two kinds, and noisy votes on them.
    """
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    pictures = rng.normal(0, 1, (n, 16, 16)).astype(np.float32)
    pictures[truth == 1, 4:12, 4:12] += 2.5
    ids = [f'i{k}' for k in range(n)]
    stack = CutoutStack.from_arrays({'g': pictures}, ids=ids, pixel_scale=1 * u.arcsec)
    votes = np.array([rng.multinomial(6, NOISE[code]) for code in truth])
    return stack, LabelSet.from_votes(ids, votes, schema=SCHEMA), truth


def classifier(**options):
    return Classifier(
        network='cn',
        seed=2,
        n_epochs=options.pop('n_epochs', 2),
        batch_size=24,
        validation_fraction=options.pop('validation_fraction', 0),
        training_options=options,
    )


def test_votes_are_learned_saved_and_read(tmp_path):
    stack, votes, truth = data()
    made = classifier(n_epochs=12, validation_fraction=0.25, target='votes', confusion=NOISE).fit(
        stack, votes
    )
    prediction = made.predict(stack)
    assert (prediction.hard() == truth).mean() > 0.9
    path = tmp_path / 'model.safetensors'
    made.save(path)
    again = Classifier.load(path)
    assert again.training_config.target == 'votes'
    assert again.training_config.confusion == tuple(map(tuple, NOISE))
    np.testing.assert_array_equal(again.predict(stack).probability, prediction.probability)
    assert made.metadata['counts']['without_votes'] == 0


def test_a_killed_training_on_votes_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    stack, votes, _ = data(24)
    whole = classifier(target='votes', n_epochs=3).fit(stack, votes).predict(stack)
    from clustercnn.training import loop

    save = loop.save_checkpoint

    def save_and_die(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, 'save_checkpoint', save_and_die)
    with pytest.raises(KeyboardInterrupt):
        classifier(target='votes', n_epochs=3).fit(stack, votes, checkpoint=tmp_path)
    monkeypatch.setattr(loop, 'save_checkpoint', save)
    other = LabelSet.from_votes(votes.ids, 2 * votes.votes, schema=SCHEMA)
    # shares are the same, counts are not
    with pytest.raises(TrainingError, match='training_data'):
        classifier(target='votes', n_epochs=3).fit(stack, other, checkpoint=tmp_path)
    with pytest.raises(TrainingError, match='training.target: votes in the checkpoint'):
        classifier(n_epochs=3).fit(stack, votes, checkpoint=tmp_path)
    resumed = classifier(target='votes', n_epochs=3).fit(stack, votes, checkpoint=tmp_path)
    np.testing.assert_array_equal(resumed.predict(stack).probability, whole.probability)


def test_items_of_no_weight_do_not_count():
    stack, votes, _ = data(24)
    weight = np.r_[np.ones(12), np.zeros(12)]
    turned = votes.votes.copy()
    turned[12:] = turned[12:, ::-1]
    found = [
        classifier(target='votes')
        .fit(stack, LabelSet.from_votes(votes.ids, counts, schema=SCHEMA).replace(weight=weight))
        .predict(stack)
        .probability
        for counts in (votes.votes, turned)
    ]
    np.testing.assert_array_equal(*found)
    even = classifier(target='votes').fit(stack, votes).predict(stack).probability
    assert not np.array_equal(even, found[0])


def test_labels_without_votes_are_counted_or_refused():
    stack, votes, truth = data(24)
    counts = votes.votes.copy()
    counts[3] = 0
    some = LabelSet(ids=votes.ids, probability=votes.probability, votes=counts, schema=votes.schema)
    made = classifier(target='votes', n_epochs=1).fit(stack, some)
    assert made.metadata['counts'] == {
        'cutouts': 24, 'used': 23, 'unlabelled': 0, 'unknown': 0, 'without_votes': 1,
    }  # fmt: skip
    hard = LabelSet.from_codes(votes.ids, truth, schema=SCHEMA)
    with pytest.raises(TrainingError, match="target='votes' needs counts of votes, and none of"):
        classifier(target='votes').fit(stack, hard)


def test_the_class_prior_is_that_behind_the_noise():
    stack, votes, truth = data(24)
    exact = LabelSet.from_votes(votes.ids, 10 * np.array(NOISE)[truth], schema=SCHEMA)
    for noise, expected in ((NOISE, [0.5, 0.5]), (None, [0.55, 0.45])):
        made = classifier(target='votes', n_epochs=1, confusion=noise).fit(stack, exact)
        np.testing.assert_allclose(made.metadata['class_prior'], expected, atol=1e-6)


def test_noise_must_fit_the_classes():
    stack, votes, _ = data(24)
    three = np.eye(3).tolist()
    with pytest.raises(ValueError, match="'confusion' has 3 rows, but there are 2 classes: a, b"):
        classifier(confusion=three).fit(stack, votes)
