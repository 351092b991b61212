# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fine-tuning, cross-validation, and prediction from files.
"""

import numpy as np
import pytest

from clustercnn import Classifier
from clustercnn._classifier_data import choose_folds
from clustercnn.exceptions import TableReadError, TrainingError
from clustercnn.io.hdf5 import read_stack, stack_length
from clustercnn.network import flatten
from clustercnn.testing import assert_identical, tiny_labels, tiny_stack

OPTIONS = {
    'network': 'fusion',
    'seed': 3,
    'n_epochs': 8,
    'batch_size': 16,
    'learning_rate': 3e-3,
    'validation_fraction': 0,
    'network_options': {'widths': (16, 16), 'dense_width': 16},
}


@pytest.fixture(scope='module')
def fitted():
    return Classifier(ensemble=2, **OPTIONS).fit(tiny_stack(48), tiny_labels(48))


@pytest.fixture(scope='module')
def tuned(fitted):
    return fitted.fine_tune(tiny_stack(24, seed=9), tiny_labels(24), n_epochs=3, learning_rate=1e-3)


def loss(classifier, stack, labels):
    probability = classifier.predict(stack).probability
    return -np.log((probability * labels.soft()).sum(1)).mean()


def test_fine_tuning_goes_on_from_every_member(fitted, tuned):
    before, after = fitted.networks[1], tuned.networks[1]
    assert len(after) == 2 and tuned.inputs == fitted.inputs
    for one, other in zip(before, after, strict=True):
        one, other = flatten(one), flatten(other)
        for name in one:
            head = name.split('.')[0] in ('numbers', 'hidden', 'logits')
            assert np.array_equal(one[name], other[name]) != head, name
    stack, labels = tiny_stack(24, seed=9), tiny_labels(24)
    assert loss(tuned, stack, labels) < loss(fitted, stack, labels)


def test_the_card_says_where_it_comes_from(fitted, tuned, tmp_path):
    text = tuned.metadata['card']['fine-tuned']
    assert 'from a model of 48 cutouts' in text and fitted.metadata['data_digest'] in text
    tuned.save(tmp_path / 'tuned.safetensors')
    again = Classifier.load(tmp_path / 'tuned.safetensors')
    assert again.training_config.frozen == 'stem'
    assert_identical(again.predict(tiny_stack(5)), tuned.predict(tiny_stack(5)))


def test_nothing_frozen_and_a_band_that_is_missing(fitted):
    stack = tiny_stack(16)
    stack = stack.replace(bands=[stack.band('xray')])
    moved = fitted.fine_tune(stack, tiny_labels(16), frozen=None, n_epochs=3)
    one, other = flatten(fitted.networks[1][0]), flatten(moved.networks[1][0])
    assert not np.array_equal(one['stem0.conv0.kernel'], other['stem0.conv0.kernel'])
    assert moved.inputs.band_names == fitted.inputs.band_names


def test_an_untrained_one_cannot_be_tuned():
    with pytest.raises(TrainingError, match='not trained yet'):
        Classifier(**OPTIONS).fine_tune(tiny_stack(16), tiny_labels(16))


def test_what_nobody_has_learnt_cannot_be_kept(fitted, tuned, tmp_path):
    stack, labels = tiny_stack(16), tiny_labels(16)
    settings = Classifier(**OPTIONS, training_options={'frozen': 'stem'})
    tuned.save(tmp_path / 'tuned.safetensors')
    for one in (settings, Classifier.load(tmp_path / 'tuned.safetensors')):
        with pytest.raises(TrainingError, match="'frozen' keeps what was learnt before: use fine_"):
            one.fit(stack, labels)
        with pytest.raises(TrainingError, match="'frozen' keeps"):
            one.cross_validate(stack, labels, n_folds=2)


def test_the_folds_of_a_tuned_one_are_tuned_from_the_same_model(fitted, tuned):
    stack, labels = tiny_stack(24, seed=9), tiny_labels(24)
    prediction, fold = tuned.cross_validate(stack, labels, n_folds=2)
    options = {'n_epochs': 3, 'learning_rate': 1e-3}
    for number in range(2):
        kept, here = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        by_hand = fitted.fine_tune(stack[kept], labels[kept], **options)
        np.testing.assert_array_equal(
            prediction.probability[here], by_hand.predict(stack[here]).probability
        )


def test_folds_keep_groups_and_spread_classes():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 40, 400)
    codes = (rng.uniform(size=400) < 0.1).astype(int)
    fold = choose_folds(codes, groups, n_folds=5, seed=1)
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    for code in (0, 1):
        counts = np.bincount(fold[codes == code], minlength=5)
        assert counts.min() > 0.6 * counts.mean() and counts.max() < 1.4 * counts.mean()
    with pytest.raises(ValueError, match='50 folds need as many groups, and there are 40'):
        choose_folds(codes, groups, n_folds=50, seed=1)


@pytest.mark.parametrize(
    ('codes', 'groups', 'n_folds'),
    [
        # one class a group, as many folds as groups, few of each class
        (np.repeat([0, 1], 50), np.repeat(np.arange(10), 10), 10),
        (np.repeat([0, 1, 2], 8), np.repeat(np.arange(6), 4), 3),
        (np.repeat([0, 1, 2, 3], 3), np.arange(12), 5),
    ],
)
def test_no_fold_is_empty(codes, groups, n_folds):
    for seed in range(5):
        fold = choose_folds(codes, groups, n_folds=n_folds, seed=seed)
        assert (np.bincount(fold, minlength=n_folds) > 0).all()


def test_a_model_that_was_read_is_tuned_as_the_one_that_was_written(tmp_path):
    options = OPTIONS | {'validation_fraction': 0}
    model = Classifier(**options).fit(tiny_stack(30), tiny_labels(30))
    model.save(tmp_path / 'model.safetensors')
    read = Classifier.load(tmp_path / 'model.safetensors')
    assert read.validation_fraction == 0
    one, other = (c.fine_tune(tiny_stack(100), tiny_labels(100), n_epochs=1) for c in (model, read))
    assert other.metadata['validation'] == {'split': 'none', 'n': 0, 'fraction': 0}
    assert_identical(one.predict(tiny_stack(5)), other.predict(tiny_stack(5)))


def test_cross_validation_is_by_classifiers_that_have_not_seen_the_cutout():
    stack, labels = tiny_stack(30), tiny_labels(30)
    groups = np.arange(30) // 3
    settings = Classifier(**OPTIONS | {'n_epochs': 2})
    prediction, fold = settings.cross_validate(stack, labels, n_folds=2, groups=groups)
    assert prediction.ids == stack.ids
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    for number in range(2):
        kept, here = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        by_hand = Classifier(**OPTIONS | {'n_epochs': 2}).fit(stack[kept], labels[kept])
        np.testing.assert_array_equal(
            prediction.probability[here], by_hand.predict(stack[here]).probability
        )
    with pytest.raises(TrainingError):
        settings.predict(stack)


def test_files_are_read_in_parts_and_give_what_the_whole_gives(fitted, tmp_path):
    paths = [tmp_path / 'one.h5', tmp_path / 'two.h5']
    stacks = [tiny_stack(37), tiny_stack(5, seed=4)]
    for stack, path in zip(stacks, paths, strict=True):
        stack.write(path)
    parts = list(fitted.predict_files(paths, n_at_a_time=16))
    assert [len(part) for part in parts] == [16, 16, 5, 5]
    whole = [fitted.predict(stack) for stack in stacks]
    for name in ('probability', 'std', 'ood'):
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, name) for part in parts]),
            np.concatenate([getattr(one, name) for one in whole]),
        )
    assert sum((part.ids for part in parts), ()) == stacks[0].ids + stacks[1].ids
    assert list(fitted.predict_files([])) == []


def test_a_missing_file_is_named_before_anything_is_classified(fitted, tmp_path):
    tiny_stack(5).write(tmp_path / 'one.h5')
    with pytest.raises(TableReadError, match='no such file'):
        next(fitted.predict_files([tmp_path / 'one.h5', tmp_path / 'none.h5']))


def test_one_file_is_no_list_of_letters(fitted, tmp_path):
    path = tmp_path / 'one.h5'
    tiny_stack(5).write(path)
    for one in (path, str(path)):
        (part,) = fitted.predict_files(one)
        assert part.ids == tiny_stack(5).ids


@pytest.mark.parametrize('number', [0, -3, 2.5, True, '16', None])
def test_numbers_of_cutouts_are_whole_and_refused_at_once(fitted, number):
    with pytest.raises(ValueError, match="'n_at_a_time' must be a whole number from 1"):
        fitted.predict_files([], n_at_a_time=number)


def test_rows_of_a_file(tmp_path):
    stack, path = tiny_stack(9), tmp_path / 'cutouts.h5'
    stack.write(path)
    assert stack_length(path) == 9
    assert_identical(read_stack(path, rows=slice(3, 7)), stack[3:7])
    assert_identical(read_stack(path, rows=slice(-4, None, 2)), stack[[5, 7]])
    assert len(read_stack(path, rows=slice(20, 30))) == 0


@pytest.mark.parametrize(
    'rows', [3, [1, 2], None, 'all', slice(None, None, -1), slice(0, 4, 0), slice(0.5, 3)]
)
def test_wrong_rows_are_not_the_fault_of_the_file(rows):
    with pytest.raises(ValueError, match="'rows' must be a slice of whole numbers"):
        read_stack('none.h5', rows=rows)
