# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The classifier as users meet it.
"""

import json
import pickle
import re
import struct
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest

from clustercnn import Classifier, CutoutStack, LabelSchema, LabelSet
from clustercnn._classifier_data import choose_validation
from clustercnn.exceptions import ModelFileError, TrainingError
from clustercnn.testing import assert_identical, tiny_labels, tiny_stack
from clustercnn.training import loop, prediction_steps, read_arrays, write_arrays

N = 64
OPTIONS = {
    'network': 'fusion',
    'seed': 3,
    'n_epochs': 12,
    'batch_size': 32,
    'learning_rate': 3e-3,
    'validation_fraction': 0.25,
    'network_options': {'widths': (16, 16), 'dense_width': 16},
}


@pytest.fixture(scope='module')
def data():
    return tiny_stack(N), tiny_labels(N)


@pytest.fixture(scope='module')
def fresh():
    return tiny_stack(40, seed=2)


@pytest.fixture(scope='module')
def fitted(data):
    return Classifier(ensemble=2, **OPTIONS).fit(*data)


@pytest.fixture(scope='module')
def prediction(fitted, fresh):
    return fitted.predict(fresh)


@pytest.fixture(scope='module')
def model_path(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp('models') / 'model.safetensors'
    fitted.save(path, card={'intended use': 'tests'})
    return path


def test_it_learns_and_says_so(prediction, fitted, fresh):
    truth = np.arange(40) % 2 == 0
    assert prediction.ids == fresh.ids
    assert (prediction.p_positive[truth].mean() - prediction.p_positive[~truth].mean()) > 0.3
    np.testing.assert_allclose(prediction.probability.sum(axis=1), 1, atol=1e-5)
    assert prediction.std.shape == (40,) and (prediction.std >= 0).all()
    assert prediction.std.max() > 0
    assert np.isfinite(prediction.ood).all() and prediction.logits.shape == (40, 4)
    assert len(fitted.history) == 2 and len(fitted.history[0]) == 12
    text = repr(fitted)
    assert 'fusion' in text and 'temperature' in text and '<table>' in fitted._repr_html_()


def test_metadata_states_prior_data_and_split(fitted):
    meta = fitted.metadata
    assert meta['counts'] == {'cutouts': N, 'used': N, 'unlabelled': 0, 'unknown': 0}
    assert meta['validation'] == {'split': 'random', 'n': 16, 'fraction': 0.25}
    assert sum(meta['class_prior']) == pytest.approx(1)
    assert meta['class_prior'][2:] == [0, 0]
    assert len(meta['data_digest']) == 64
    assert {'jax', 'flax', 'numpy', 'clustercnn'} <= set(meta['versions'])


def test_order_and_number_of_cutouts_change_no_bit(fitted, prediction, fresh):
    order = np.random.default_rng(1).permutation(40)
    assert_identical(fitted.predict(fresh[order]), prediction[order])
    one = fitted.predict(fresh[7:8])
    np.testing.assert_array_equal(one.logits, prediction.logits[7:8])
    np.testing.assert_array_equal(one.probability, prediction.probability[7:8])
    steps = prediction_steps(fitted._fitted()['network'], fitted.metadata['dihedral'])
    assert steps.n_traces['predict'] == 1


def test_ids_never_matter(fitted, prediction, fresh):
    renamed = fresh.replace(ids=[f'{2**62 + n}' for n in range(40)])
    np.testing.assert_array_equal(fitted.predict(renamed).logits, prediction.logits)


def test_saved_and_loaded_is_the_same(fitted, prediction, model_path, fresh, tmp_path):
    loaded = Classifier.load(model_path)
    assert_identical(loaded.predict(fresh), prediction)
    assert loaded.metadata['card'] == {'intended use': 'tests'}
    assert loaded.schema == fitted.schema and loaded.history == fitted.history
    again = tmp_path / 'again.safetensors'
    loaded.save(again)
    assert again.read_bytes() == model_path.read_bytes()
    with pytest.raises(FileExistsError):
        loaded.save(again)


def test_pickled_classifier_predicts_the_same(fitted, prediction, fresh):
    assert_identical(pickle.loads(pickle.dumps(fitted)).predict(fresh), prediction)


def test_loading_imports_no_pickle_and_works_in_another_process(model_path, prediction):
    code = (
        'import sys; from clustercnn import Classifier; from clustercnn.testing import tiny_stack;'
        f'p = Classifier.load({str(model_path)!r}).predict(tiny_stack(40, seed=2));'
        'sys.stdout.write(p.logits.tobytes().hex())'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout == prediction.logits.tobytes().hex()


def test_same_seed_same_bits(data, fresh):
    one, other = (Classifier(**OPTIONS).fit(*data).predict(fresh) for _ in range(2))
    assert_identical(one, other)


def test_missing_optical_band(fitted, prediction, fresh):
    without = fresh.replace(bands=[fresh.band('xray')])
    alone = fitted.predict(without)
    assert alone.meta['missing_bands'] == 'optical'
    masked = fresh.band('optical')
    masked = masked.replace(mask=np.ones_like(masked.mask))
    np.testing.assert_array_equal(
        fitted.predict(fresh.replace(bands=[fresh.band('xray'), masked])).logits, alone.logits
    )
    assert abs(alone.logits - prediction.logits).max() > 1e-3
    # trained to do without, hence not stranger than the rest
    assert np.median(alone.ood) < 2


def test_missing_features_exposure_and_background(fitted, fresh):
    band = fresh.band('xray').replace(exposure=None, background=None, psf_fwhm=None)
    bare = fresh.replace(bands=[band], features={})
    probability = fitted.predict(bare).probability
    truth = np.arange(40) % 2 == 0
    assert probability[truth, 0].mean() > probability[~truth, 0].mean()


def test_other_geometry_is_brought_to_the_models(fitted, fresh):
    band = fresh.band('xray')
    fine = band.replace(
        data=band.data.repeat(2, axis=1).repeat(2, axis=2) / 4,
        mask=band.mask.repeat(2, axis=1).repeat(2, axis=2),
        exposure=band.exposure.repeat(2, axis=1).repeat(2, axis=2),
        background=band.background.repeat(2, axis=1).repeat(2, axis=2) / 4,
        pixel_scale=2 * u.arcsec,
    )
    other = fitted.predict(fresh.replace(bands=[fine, fresh.band('optical')]))
    np.testing.assert_allclose(other.logits, fitted.predict(fresh).logits, atol=1e-4)


def test_strange_cutouts_have_a_high_ood(fitted, prediction, fresh):
    odd = fresh.band('xray').replace(data=np.full((40, 16, 16), 1e4) * (np.arange(16) % 5 == 0))
    strange = fitted.predict(fresh.replace(bands=[odd, fresh.band('optical')]))
    assert np.median(strange.ood) > 2 * np.median(prediction.ood)


def test_empty_stack(fitted, fresh):
    empty = fitted.predict(fresh[:0])
    assert len(empty) == 0 and empty.probability.shape == (0, 4)
    assert empty.std.shape == (0,) and empty.ood.shape == (0,)


def test_arbitrary_bands_and_own_schema():
    rng = np.random.default_rng(1)
    code = np.arange(40) % 3
    arrays = {
        name: rng.normal(100, 5, (40, 16, 16)) + 40 * (code == n)[:, None, None] * np.eye(16)
        for n, name in enumerate('gri')
    }
    stack = CutoutStack.from_arrays(arrays, pixel_scale=0.4 * u.arcsec)
    names = np.array(['spiral', 'elliptical', 'merger'])[code]
    labels = LabelSet.from_labels(
        stack.ids, names, schema=LabelSchema(('spiral', 'elliptical', 'merger'), ('merger',))
    )
    options = OPTIONS | {'n_epochs': 15, 'learning_rate': 1e-2, 'validation_fraction': 0}
    classifier = Classifier(**options).fit(stack, labels)
    assert {band.kind for band in classifier.inputs.bands} == {'optical'}
    assert (classifier.predict(stack).hard() == code).mean() > 0.8
    assert classifier.predict(stack).std is None
    with pytest.raises(ValueError, match="the stack has the bands .'xray',., but the model needs"):
        classifier.predict(tiny_stack(2, optical=False))


def test_counts_in_any_band_name_are_xrays():
    stack = CutoutStack.from_arrays(
        {'soft': np.ones((4, 8, 8)), 'hard': np.ones((4, 8, 8))},
        unit={'soft': u.ct, 'hard': u.ct},
        pixel_scale=4 * u.arcsec,
    )
    from clustercnn._classifier_data import inputs_of

    assert [band.kind for band in inputs_of(stack).bands] == ['xray', 'xray']


def test_unknown_labels_are_dropped_and_counted():
    labels = tiny_labels(74)
    codes = labels.hard()
    codes[:10] = -1
    some = LabelSet.from_codes(labels.ids, codes)
    classifier = Classifier(**OPTIONS).fit(tiny_stack(88), some)
    assert classifier.metadata['counts'] == {
        'cutouts': 88,
        'used': N,
        'unlabelled': 14,
        'unknown': 10,
    }


def test_killed_training_resumes_to_the_same_bits(data, fresh, tmp_path, monkeypatch):
    options = OPTIONS | {'ensemble': 2}
    whole = Classifier(**options).fit(*data).predict(fresh)
    save, written = loop.save_checkpoint, []

    def save_and_die(*args):
        save(*args)
        written.append(1)
        if len(written) == 15:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, 'save_checkpoint', save_and_die)
        with pytest.raises(KeyboardInterrupt):
            Classifier(**options).fit(*data, checkpoint=tmp_path / 'run')
    resumed = Classifier(**options).fit(*data, checkpoint=tmp_path / 'run')
    assert_identical(resumed.predict(fresh), whole)
    with pytest.raises(TrainingError, match='training.learning_rate: 0.003 in the checkpoint'):
        Classifier(**options | {'learning_rate': 0.5}).fit(*data, checkpoint=tmp_path / 'run')


def test_groups_are_kept_whole():
    codes = np.arange(200) % 3
    groups = np.repeat(np.arange(20), 10)
    held = choose_validation(codes, groups, fraction=0.2, seed=1)
    assert 0.1 < held.mean() < 0.35
    assert not set(groups[held]) & set(groups[~held])
    assert set(codes[held]) == {0, 1, 2}
    assert choose_validation(codes, np.zeros(200), fraction=0.2, seed=1) is None
    assert choose_validation(codes[:20], None, fraction=0.2, seed=1) is None


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (
            lambda s, y: (s, LabelSet.from_labels(s.ids, ['cluster'] * N)),
            TrainingError,
            "all 64 labels are 'cluster'",
        ),
        (
            lambda s, y: (s, LabelSet.from_labels(s.ids, ['unknown'] * N)),
            TrainingError,
            'none of the 64 training cutouts has a known label',
        ),
        (
            lambda s, y: (s, LabelSet.from_labels(['x', '1'], ['cluster', 'point'])),
            ValueError,
            "1 of 2 labels have no cutout in the training stack, the first 'x'",
        ),
        (lambda s, y: (y, s), TypeError, 'needs a CutoutStack and a LabelSet, got LabelSet'),
        (
            lambda s, y: (s, LabelSet.from_labels(s.ids, ['a', 'b'] * 32, schema=('a', 'b'))),
            ValueError,
            'the labels have the classes',
        ),
    ],
)
def test_labels_that_do_not_fit(data, change, error, message):
    classifier = Classifier(schema=LabelSchema.default(), **OPTIONS)
    with pytest.raises(error, match=message):
        classifier.fit(*change(*data))
    with pytest.raises(TrainingError, match='not trained yet'):
        classifier.predict(data[0])


def test_validation_and_groups_that_do_not_fit(data):
    stack, labels = data
    classifier = Classifier(**OPTIONS)
    lacking = tiny_stack(20, optical=False)
    with pytest.raises(ValueError, match='the validation stack has the bands'):
        classifier.fit(stack, labels, validation=(lacking, tiny_labels(20)))
    with pytest.raises(ValueError, match="'groups' must have one value a cutout, 64, got 3"):
        classifier.fit(stack, labels, groups=[1, 2, 3])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'network': 'resnet'}, "there is no network 'resnet'; there are cn, fusion, mobilenet"),
        ({'ensemble': 0}, "'ensemble' must be a whole number"),
        ({'seed': -1}, "'seed' must be a whole number"),
        ({'validation_fraction': 0.9}, "'validation_fraction'"),
        ({'network_options': {'wdith': 3}}, "no option 'wdith'"),
        ({'n_epochs': 0}, "'n_epochs'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Classifier(**options)


def test_shipped_models_are_listed_on_error():
    with pytest.raises(ValueError, match=r"no shipped model 'nope'; there are: "):
        Classifier.from_pretrained('nope')
    with pytest.raises(ValueError, match='no shipped model'):
        Classifier.from_pretrained('../../etc/passwd')


def tamper(path, target, change):
    """
    Write a model file with something else in it.
    """
    arrays, description = read_arrays(path)
    change(arrays, description)
    write_arrays(target, arrays, description)
    return target


def put(*keys, value):
    def change(arrays, description):
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = value

    return change


def in_arrays(name, value):
    def change(arrays, description):
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value

    return change


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (put('kind', value='checkpoint'), 'is not a model of clustercnn'),
        (put('version', value=99), 'has version 99 of the format'),
        (put('shell', value='rm'), "missing or unknown entries: 'shell'"),
        (put('ood_unit', value=0.0), "'ood_unit' must be above 0"),
        (put('calibration', value={'thresholds': 5}), "'calibration' does not make sense"),
        (
            put('calibration', value={'thresholds': [{'purity': 'x'}]}),
            "'calibration' does not make sense",
        ),
        (
            put(
                'calibration',
                value={'thresholds': [], 'conformal': {'coverage': [0.9], 'limit': [[0.1]]}},
            ),
            "'calibration' does not make sense",
        ),
        (put('temperature', value=0.0), "'temperature' is out of range"),
        (put('temperature', value='1'), "'temperature' must be a float"),
        (put('n_members', value=10**9), "'n_members' must be 1 to"),
        (put('n_members', value=3), "'member2.hidden.bias' is missing"),
        (put('schema', 'classes', value=['a', 'b']), 'positive classes'),
        (put('schema', value={'classes': ['a', 'b'], 'positive': ['a']}), 'do not fit together'),
        (put('network', 'config', 'dense_width', value=10**12), "'dense_width' must be between"),
        (put('network', 'config', 'dense_width', value=4096), 'must be float32'),
        (put('network', 'config', 'eval', value='1'), "no option 'eval'"),
        (put('network', 'name', value='os'), "no network 'os'"),
        (put('network', 'inputs', 'bands', value=[]), '1 to 64 BandSpec'),
        (put('network', 'inputs', 'bands', 0, 'shape', value=[10**9, 2]), 'between 1 and 4096'),
        (put('network', 'n_classes', value=10**9), 'between 2 and 127'),
        (put('training', 'batch_size', value=-1), 'settings do not make sense'),
        (put('training', value={}), 'settings do not make sense'),
        (in_arrays('member0.logits.bias', None), "'member0.logits.bias' is missing"),
        (in_arrays('member0.logits.bias', np.zeros(5, np.float32)), 'must be float32'),
        (in_arrays('member0.logits.bias', np.full(4, np.nan, np.float32)), 'not finite'),
        (in_arrays('extra', np.zeros(3)), "no network needs, such as 'extra'"),
        (in_arrays('reference0.0.unit', np.float32(-1)), 'must be positive'),
        (in_arrays('reference0.0.axes', np.zeros((1, 1), np.float32)), 'unexpected shape'),
        (in_arrays('statistics.xray.mean', np.zeros(3, np.float32)), 'unexpected shape'),
        (in_arrays('statistics.xray.unit', np.float32(-1)), 'must be positive'),
        (in_arrays('statistics.xray.precision', None), "'statistics.xray.precision' is missing"),
        (in_arrays('reference1.1.mean', None), "'reference1.1.mean' is missing"),
    ],
)
def test_hostile_models_are_refused(model_path, tmp_path, change, message):
    path = tamper(model_path, tmp_path / 'bad.safetensors', change)
    with pytest.raises(ModelFileError, match=re.escape(message)) as caught:
        Classifier.load(path)
    assert 'bad.safetensors' in str(caught.value)


def test_damaged_model_files(model_path, tmp_path):
    content = model_path.read_bytes()
    path = tmp_path / 'cut.safetensors'
    for size in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            Classifier.load(path)
    size = struct.unpack('<Q', content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    header['__metadata__'] = {'clustercnn': 'null'}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', len(text)) + text + content[8 + size :])
    with pytest.raises(ModelFileError, match='expected an object'):
        Classifier.load(path)
    with pytest.raises(FileNotFoundError):
        Classifier.load(tmp_path / 'none.safetensors')


def test_a_loss_that_is_not_finite_names_the_batch(data, monkeypatch):
    def fail(*args, **options):
        error = TrainingError('the loss is not finite in epoch 1')
        error.result, error.rows = 'last good', np.array([2, 0])
        raise error

    monkeypatch.setattr('clustercnn._classifier_training.train', fail)
    with pytest.raises(TrainingError, match='epoch 1; the batch held 3, 1, ...') as caught:
        Classifier(**OPTIONS | {'validation_fraction': 0}).fit(*data)
    assert caught.value.result == 'last good'


def test_narrow_numbers_say_nearly_the_same(fitted, prediction, fresh):
    narrow = fitted.predict(fresh, precision='bfloat16')
    change = np.abs(narrow.probability - prediction.probability).max()
    assert 0 < change < 0.05
    np.testing.assert_allclose(narrow.ood, prediction.ood, rtol=0.1)
    assert_identical(fitted.predict(fresh, precision='float32'), prediction)


@pytest.mark.parametrize(
    ('precision', 'backend'), [('half', 'jax'), (None, 'jax'), ('bfloat16', 'onnxruntime')]
)
def test_unknown_precision(fitted, fresh, precision, backend):
    with pytest.raises(ValueError, match=r"'precision' must be one of \('auto', 'float32'"):
        fitted.predict(fresh, precision=precision, backend=backend)
