# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Training on files of cutouts, of which few are in memory at a time.
"""

import errno
import os

import astropy.units as u
import numpy as np
import pytest

from clustercnn import Classifier, _classifier_spool, _classifier_training, pipeline
from clustercnn.cli import main
from clustercnn.exceptions import TableReadError, TrainingError
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


def test_a_training_goes_on_from_a_checkpoint_whatever_it_reads(tmp_path):
    stack, labels = tiny_stack(40), tiny_labels(40)
    paths = write(stack, tmp_path, (0, 25), (25, 40))
    state = tmp_path / 'state'
    whole = Classifier(**OPTIONS).fit(stack, labels, checkpoint=state)
    before = (state / 'member-0.safetensors').stat().st_mtime_ns
    again = Classifier(**OPTIONS).fit_files(paths, labels, checkpoint=state)
    # nothing was left to do
    assert (state / 'member-0.safetensors').stat().st_mtime_ns == before
    assert equal(whole, again)
    with pytest.raises(TrainingError, match='training_data'):
        Classifier(**OPTIONS).fit_files(paths, labels[np.arange(39)], checkpoint=state)


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


def test_what_is_the_same_of_all_takes_no_room_and_is_known_as_that(tmp_path, monkeypatch):
    stack, labels = tiny_stack(40), tiny_labels(40)
    model = Classifier(**OPTIONS).fit(stack, labels)
    monkeypatch.setattr(_classifier_spool, '_AT_A_TIME', 11)
    # the model knows a band that is missing here
    alone = stack.replace(bands=[stack.band('xray').replace(exposure=None)])
    tuned = model.fine_tune(alone, labels, n_epochs=1)
    (path,) = write(alone, tmp_path, (0, 40))
    again = model.fine_tune(alone, labels, n_epochs=1).fit_files(path, labels)
    assert equal(tuned, again)
    assert tuned.metadata['data_digest'] == again.metadata['data_digest']


@pytest.mark.parametrize('first', ['with', 'without'])
def test_a_plane_of_some_files_is_flat_in_the_others(tmp_path, first):
    stack = tiny_stack(6)
    band = stack.band('xray')
    exposure = np.arange(1.0, 7.0)[:, None, None] * np.ones(band.shape, 'f4')
    band = band.replace(exposure=exposure)
    stack = stack.replace(bands=[band])
    without = stack.replace(bands=[band.replace(exposure=None)])
    parts = [stack, without] if first == 'with' else [without, stack]
    parts[0][np.arange(3)].write(tmp_path / '0.h5')
    parts[1][np.arange(3, 6)].write(tmp_path / '1.h5')
    paths = [tmp_path / '0.h5', tmp_path / '1.h5']
    ids, inputs = _classifier_spool.in_order(paths)
    wanted = [np.array([5, 0, 3, 2])]
    (dataset,), _ = _classifier_spool.spool(paths, ids, inputs, wanted, folder=tmp_path)
    kept = dataset['bands']['xray']['exposure'][:, 0, 0].tolist()
    assert kept == ([1, 1, 1, 3] if first == 'with' else [6, 1, 4, 1])


def test_a_disk_that_is_full_is_told(tmp_path, monkeypatch):
    (path,) = write(tiny_stack(40), tmp_path, (0, 40))

    def fit(**options):
        return Classifier(**OPTIONS).fit_files(path, tiny_labels(40), **options)

    with pytest.raises(NotADirectoryError, match='create it first'):
        fit(scratch=tmp_path / 'none')
    with pytest.raises(NotADirectoryError, match='must be a folder'):
        fit(scratch=path)

    def refuse(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_classifier_spool.os, 'posix_fallocate', refuse, raising=False)
    with pytest.raises(OSError, match=r'no room .*No space left on device.*scratch'):
        fit(scratch=tmp_path)
    usage = _classifier_spool.shutil.disk_usage(tmp_path)._replace(free=2_000)
    monkeypatch.setattr(_classifier_spool.shutil, 'disk_usage', lambda folder: usage)
    with pytest.raises(OSError, match=r'no room for .* \(0 MB are free\)'):
        fit(scratch=tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_files_must_stay_as_they_are(tmp_path, monkeypatch):
    stack, labels = tiny_stack(40), tiny_labels(40)
    paths = write(stack, tmp_path, (0, 20), (20, 40))

    def look(paths):
        found = _classifier_spool.in_order(paths)
        stack[np.arange(20, 38)].write(paths[1], overwrite=True)
        return found

    monkeypatch.setattr(_classifier_training, 'in_order', look)
    with pytest.raises(TableReadError, match=r'1\.h5: was changed'):
        Classifier(**OPTIONS).fit_files(paths, labels)


def test_a_band_has_one_unit(tmp_path):
    stack, labels = tiny_stack(40), tiny_labels(40)
    paths = write(stack, tmp_path, (0, 20))
    band = stack.band('xray').replace(unit=u.ct / u.s)
    stack.replace(bands=[band])[np.arange(20, 40)].write(tmp_path / 'rate.h5')
    with pytest.raises(ValueError, match=r"'xray' is in 'ct / s' in .*rate\.h5, but in 'ct' in"):
        Classifier(**OPTIONS).fit_files([*paths, tmp_path / 'rate.h5'], labels)


def test_validation_is_looked_at_before_the_files_are_read(tmp_path, monkeypatch):
    stack, labels = tiny_stack(40), tiny_labels(40)
    (path,) = write(stack, tmp_path, (0, 40))
    monkeypatch.delattr(_classifier_training, 'spool')
    with pytest.raises(TypeError, match='validation needs a CutoutStack and a LabelSet'):
        Classifier(**OPTIONS).fit_files(path, labels, validation=(labels, stack))
    with pytest.raises(TypeError, match='name files'):
        Classifier(**OPTIONS).fit_files(stack, labels)


def test_the_command_line_says_where_scratch_files_go(tmp_path, capsys):
    (path,) = write(tiny_stack(40), tmp_path, (0, 40))
    tiny_labels(40).write(tmp_path / 'labels.ecsv')
    arguments = [
        'train',
        str(path),
        str(tmp_path / 'labels.ecsv'),
        '-o',
        str(tmp_path / 'm.safetensors'),
    ]
    assert main([*arguments, '--scratch', str(tmp_path)]) == 2
    assert 'with --stream' in capsys.readouterr().err
    assert main([*arguments, '--stream', '--scratch', str(tmp_path / 'none')]) == 1
    assert 'create it first' in capsys.readouterr().err
    with pytest.raises(ValueError, match='stream=True'):
        pipeline.train_classifier(path, tiny_labels(40), scratch=tmp_path)


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
