# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A trained model in ONNX Runtime says what it says in JAX, to a hundred-thousandth.
"""

import builtins
import json
import pickle

import numpy as np
import onnx
import pytest

from clustercnn import Classifier
from clustercnn._classifier_data import arrays_of, raw_features
from clustercnn.cli import main
from clustercnn.core import CandidateCatalog
from clustercnn.exceptions import MissingDependencyError
from clustercnn.testing import tiny_labels, tiny_stack

# those of test_explanation.py, so that they are compiled once
SMALL = {
    'cn': {'width': 8, 'first_width': 8, 'n_stages': 2},
    'fusion': {'widths': (16,), 'dense_width': 16},
    'mobilenet': {'stages': ((1, 16, 1, 1), (6, 24, 2, 2))},
}


@pytest.fixture(scope='module')
def fresh():
    return tiny_stack(21, seed=2)


@pytest.fixture(scope='module', params=[*SMALL, 'fusion, an ensemble', 'fusion, normalised'])
def fitted(request):
    name, _, variant = request.param.partition(', ')
    options = {'batch_norm': True} if variant == 'normalised' else {}
    classifier = Classifier(
        network=name,
        seed=3,
        n_epochs=2,
        batch_size=32,
        learning_rate=5e-3,
        validation_fraction=0.25,
        ensemble=2 if variant == 'an ensemble' else 1,
        dihedral=name != 'cn',
        network_options=SMALL[name] | options,
    )
    return classifier.fit(tiny_stack(64), tiny_labels(64))


def assert_agree(one, other):
    np.testing.assert_allclose(one.probability, other.probability, rtol=0, atol=1e-5)
    np.testing.assert_allclose(one.logits, other.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(one.ood, other.ood, rtol=1e-3)
    assert (one.std is None) == (other.std is None)
    if one.std is not None:
        np.testing.assert_allclose(one.std, other.std, rtol=0, atol=1e-5)
    assert one.ids == other.ids and one.meta == other.meta


def test_probabilities_agree(fitted, fresh):
    ours = fitted.predict(fresh)
    assert ours.probability.std() > 1e-3
    assert_agree(fitted.predict(fresh, backend='onnxruntime'), ours)
    xray_only = fresh.replace(bands=[fresh.band('xray')])
    assert_agree(fitted.predict(xray_only, backend='onnxruntime'), fitted.predict(xray_only))
    bare = fresh.band('xray').replace(exposure=None, background=None, psf_fwhm=None)
    bare = fresh.replace(bands=[bare, fresh.band('optical')], features={})
    assert_agree(fitted.predict(bare, backend='onnxruntime'), fitted.predict(bare))


def test_neither_order_nor_number_matter(fitted, fresh):
    whole = fitted.predict(fresh, backend='onnxruntime')
    few = fitted.predict(fresh[5:8], backend='onnxruntime')
    np.testing.assert_array_equal(few.logits, whole.logits[5:8])
    assert len(fitted.predict(fresh[:0], backend='onnxruntime')) == 0


def test_file_serves_a_program_that_knows_nothing_of_us(fitted, fresh, tmp_path):
    import onnxruntime

    path = tmp_path / 'model.onnx'
    fitted.export_onnx(path)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    facts = json.loads(session.get_modelmeta().custom_metadata_map['clustercnn'])
    names = [given.name for given in session.get_inputs()]
    assert set(names) <= set(facts['inputs'])
    # from the arrays of the cutouts alone, with what is not known filled as the file says
    raw = {}
    for name, band in arrays_of(fresh).items():
        good = np.ones(band.data.shape, bool) if band.valid is None else band.valid
        raw[f'{name}.valid'] = good
        raw[f'{name}.counts' if name == 'xray' else f'{name}.data'] = band.data
        zeros = np.zeros(band.data.shape)
        raw[f'{name}.exposure'] = zeros + 1 if band.exposure is None else band.exposure
        raw[f'{name}.background'] = zeros if band.background is None else band.background
    raw['features'] = raw_features(fitted.inputs, fresh)
    given = {name: np.asarray(raw[name], np.float32) for name in names}
    probability, positive, std = session.run(['probability', 'p_positive', 'p_positive_std'], given)
    ours = fitted.predict(fresh)
    np.testing.assert_allclose(probability, ours.probability, rtol=0, atol=1e-5)
    np.testing.assert_allclose(positive, ours.p_positive, rtol=0, atol=1e-5)
    np.testing.assert_allclose(std, 0 if ours.std is None else ours.std, rtol=0, atol=1e-5)
    # any number of them
    one = session.run(['probability'], {name: x[:1] for name, x in given.items()})[0]
    np.testing.assert_allclose(one, probability[:1], rtol=0, atol=1e-5)
    assert facts['classes'] == list(fitted.schema.classes)
    assert facts['temperature'] == fitted.metadata['temperature']
    for entry in onnx.load(path).graph.input:
        assert entry.doc_string == facts['inputs'][entry.name] and 'shape (n' in entry.doc_string


def test_files_are_written_whole_and_never_over_another(fitted, tmp_path):
    path = tmp_path / 'model.onnx'
    fitted.export_onnx(path)
    with pytest.raises(FileExistsError):
        fitted.export_onnx(path)
    again = tmp_path / 'again.onnx'
    pickle.loads(pickle.dumps(fitted)).export_onnx(again)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['again.onnx', 'model.onnx']


def test_shipped_model_agrees():
    classifier, stack = Classifier.from_pretrained(), tiny_stack(6)
    assert_agree(classifier.predict(stack, backend='onnxruntime'), classifier.predict(stack))


def test_new_training_is_not_answered_by_the_old_graph(fresh):
    classifier = Classifier(seed=1, n_epochs=1, validation_fraction=0, network_options=SMALL['cn'])
    classifier.fit(tiny_stack(24), tiny_labels(24)).predict(fresh, backend='onnxruntime')
    classifier.fit(tiny_stack(24, seed=5), tiny_labels(24))
    assert_agree(classifier.predict(fresh, backend='onnxruntime'), classifier.predict(fresh))


def test_command(fresh, tmp_path):
    fresh.write(tmp_path / 'cutouts.h5')
    tables = []
    for backend in ('jax', 'onnxruntime'):
        path = tmp_path / f'{backend}.ecsv'
        arguments = ['classify', str(tmp_path / 'cutouts.h5'), '--backend', backend]
        assert main([*arguments, '-o', str(path), '-q']) == 0
        tables.append(CandidateCatalog.read(path))
    by_id = [dict(zip(t['id'], t['p_cluster'], strict=True)) for t in tables]
    assert by_id[0].keys() == by_id[1].keys()
    assert max(abs(by_id[0][name] - by_id[1][name]) for name in by_id[0]) < 1e-5


def test_wrong_backend(fresh):
    classifier = Classifier.from_pretrained()
    with pytest.raises(ValueError, match="'backend' must be one of .'jax', 'onnxruntime'.*'torch'"):
        classifier.predict(fresh, backend='torch')


@pytest.mark.parametrize('name', ['onnx', 'onnxruntime'])
def test_absent_packages_are_named(name, fresh, tmp_path, monkeypatch):
    load = builtins.__import__

    def without(module, *args, **options):
        if module == name:
            raise ImportError(module)
        return load(module, *args, **options)

    monkeypatch.setattr(builtins, '__import__', without)
    classifier = Classifier.from_pretrained()
    with pytest.raises(MissingDependencyError, match=r"pip install 'clustercnn\[onnx\]'"):
        if name == 'onnx':
            classifier.export_onnx(tmp_path / 'model.onnx')
        else:
            classifier.predict(fresh, backend='onnxruntime')
    assert not list(tmp_path.iterdir())


def test_infinite_numbers_of_the_finder_are_high_ones_for_both():
    stack = tiny_stack(8)
    classifier = Classifier(network='fusion', n_epochs=1, validation_fraction=0)
    classifier.fit(stack, tiny_labels(8))
    features = {name: np.array(values) for name, values in stack.features.items()}
    features['ext_like'][:3] = np.inf
    stack = stack.replace(features=features)
    ours = classifier.predict(stack).probability
    theirs = classifier.predict(stack, backend='onnxruntime').probability
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
