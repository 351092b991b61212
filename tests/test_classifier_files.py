# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Training on files of cutouts, of which few are in memory at a time.
"""

import numpy as np
import pytest

from clustercnn import Classifier, _classifier_spool, pipeline
from clustercnn.exceptions import TableReadError
from clustercnn.network import flatten
from clustercnn.testing import tiny_labels, tiny_stack

OPTIONS = {
    'network': 'cn',
    'seed': 3,
    'n_epochs': 2,
    'batch_size': 16,
    'network_options': {'first_width': 8, 'width': 8, 'n_stages': 2},
}


def write(stack, folder, *places):
    paths = []
    for number, (start, stop) in enumerate(places):
        paths.append(folder / f'{number}.h5')
        stack[np.arange(start, stop)].write(paths[-1])
    return paths


def equal(one, other):
    first, second = (flatten(classifier.networks[1][0]) for classifier in (one, other))
    return all(np.array_equal(first[name], second[name]) for name in first)


def test_files_teach_what_the_whole_teaches(tmp_path, monkeypatch):
    stack, labels = tiny_stack(60), tiny_labels(60)
    # in another order than the cutouts, and not of all of them
    labels = labels[np.random.default_rng(2).permutation(60)[:50]]
    groups = np.arange(60) // 2
    # no label, no number: one that is known of no cutout is left out
    features = stack.features | {'extent': np.full(60, np.nan)}
    stack = stack.replace(features=features)
    paths = write(stack, tmp_path, (0, 13), (13, 40), (40, 60))
    seen = []
    read = _classifier_spool.read_stack

    def count(path, *, rows):
        seen.append(len(range(*rows.indices(60))))
        return read(path, rows=rows)

    monkeypatch.setattr(_classifier_spool, 'read_stack', count)
    monkeypatch.setattr(_classifier_spool, '_AT_A_TIME', 11)
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    whole = Classifier(**OPTIONS).fit(stack, labels, groups=groups, progress=False)
    parts = Classifier(**OPTIONS).fit_files(
        paths, labels, groups=groups, scratch=scratch, progress=False
    )
    assert equal(whole, parts)
    assert whole.metadata == parts.metadata
    assert whole.inputs == parts.inputs and 'extent' not in parts.inputs.features
    assert max(seen) <= 11
    # nothing is left behind
    assert not list(scratch.iterdir())


def test_a_band_of_some_files_is_missing_in_the_others(tmp_path):
    stack, labels = tiny_stack(40), tiny_labels(40)
    alone = stack.replace(bands=[stack.band('xray')])
    paths = write(alone, tmp_path, (0, 20))
    stack[np.arange(20, 40)].write(tmp_path / 'both.h5')
    classifier = Classifier(**OPTIONS).fit_files([*paths, tmp_path / 'both.h5'], labels)
    assert set(classifier.inputs.band_names) == set(stack.band_names)
    assert classifier.metadata['counts']['used'] == 40


def test_held_back_cutouts_can_be_given(tmp_path):
    stack, labels = tiny_stack(40), tiny_labels(40)
    (path,) = write(stack, tmp_path, (0, 28))
    held = stack[np.arange(28, 40)], labels[np.arange(28, 40)]
    labels = labels[np.arange(28)]
    whole = Classifier(**OPTIONS).fit(stack[np.arange(28)], labels, validation=held)
    assert equal(whole, Classifier(**OPTIONS).fit_files(path, labels, validation=held))


def test_a_model_that_was_trained_goes_on_with_files(tmp_path):
    stack, labels = tiny_stack(40), tiny_labels(40)
    model = Classifier(**OPTIONS).fit(stack, labels)
    tuned = model.fine_tune(stack, labels, n_epochs=1)
    paths = write(stack, tmp_path, (0, 25), (25, 40))
    again = model.fine_tune(stack, labels, n_epochs=1).fit_files(paths, labels)
    assert equal(tuned, again)


def test_cutouts_must_be_there_once_and_files_be_cutouts(tmp_path):
    stack, labels = tiny_stack(12), tiny_labels(12)
    one, two = write(stack, tmp_path, (0, 8), (6, 12))
    with pytest.raises(ValueError, match=r'1\.h5 is in .*0\.h5 as well'):
        Classifier(**OPTIONS).fit_files([one, two], labels)
    with pytest.raises(TableReadError, match='no such file'):
        Classifier(**OPTIONS).fit_files([one, tmp_path / 'none.h5'], labels)
    with pytest.raises(TableReadError, match='no cutout'):
        Classifier(**OPTIONS).fit_files([], labels)
    with pytest.raises(ValueError, match='have no cutout'):
        Classifier(**OPTIONS).fit_files(one, labels)
    with pytest.raises(TypeError, match='LabelSet'):
        Classifier(**OPTIONS).fit_files(one, [])


def test_several_files_are_streamed_and_one_where_asked_for(tmp_path, monkeypatch):
    stack, labels = tiny_stack(40), tiny_labels(40)
    paths = write(stack, tmp_path, (0, 25), (25, 40))
    stack.write(tmp_path / 'all.h5')
    called = []
    for name in ('fit', 'fit_files'):
        original = getattr(Classifier, name)

        def note(self, *arguments, original=original, name=name, **options):
            called.append(name)
            return original(self, *arguments, **options)

        monkeypatch.setattr(Classifier, name, note)
    made = [
        pipeline.train_classifier(cutouts, labels, stream=stream, quiet=True, **OPTIONS)
        for cutouts, stream in (
            (paths, None), (paths, False), (tmp_path / 'all.h5', None), (tmp_path / 'all.h5', True),
        )
    ]  # fmt: skip
    assert called == ['fit_files', 'fit', 'fit', 'fit_files']
    assert all(equal(made[0], other) for other in made[1:])
    with pytest.raises(TypeError, match='stream'):
        pipeline.train_classifier(stack, labels, stream=True, **OPTIONS)
