# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A classifier that starts from published weights says so, and really starts from them.
"""

import hashlib

import numpy as np
import pytest

from clustercnn import Classifier
from clustercnn.network import BandSpec, InputSpec, build_network, flatten
from clustercnn.network.mobilenet_weights import _layers
from clustercnn.testing import tiny_labels, tiny_stack

OPTIONS = {
    'network': 'mobilenet',
    'n_epochs': 1,
    'batch_size': 32,
    'validation_fraction': 0,
    'network_options': {'padding': 'symmetric', 'stages': ((1, 16, 1, 1),)},
}


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """
    Weights of a small network in the layout of torchvision.
    """
    spec = BandSpec(name='g', kind='optical', shape=(32, 32), pixel_scale=1.0)
    network = build_network(
        'mobilenet', InputSpec(bands=(spec,)), n_classes=2, options=OPTIONS['network_options']
    )
    params = network.init(42)
    flat, arrays = flatten(params), {}
    for path, layer, norm in _layers(params):
        arrays[f'{layer}.weight'] = np.asarray(flat[f'{path}.kernel']).transpose(3, 2, 0, 1)
        for ours, theirs in (
            ('scale', 'weight'),
            ('bias', 'bias'),
            ('mean', 'running_mean'),
            ('variance', 'running_var'),
        ):
            arrays[f'{norm}.{theirs}'] = np.asarray(flat[f'{path}_norm.{ours}'])
    path = tmp_path_factory.mktemp('published') / 'weights.npz'
    np.savez(path, **arrays)
    return path, params


def test_training_starts_from_published_weights(published, tmp_path):
    path, params = published
    stack, labels = tiny_stack(32), tiny_labels(32)
    gentle = OPTIONS | {'learning_rate': 1e-7}
    classifier = Classifier(weights=path, **gentle).fit(stack, labels)
    _, (member,) = classifier.networks
    np.testing.assert_allclose(
        member['first']['kernel'], params['first']['kernel'], atol=1e-5, rtol=0
    )
    other = Classifier(**gentle).fit(stack, labels)
    _, (member,) = other.networks
    assert abs(member['first']['kernel'] - params['first']['kernel']).max() > 0.1
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert classifier.metadata['card'] == {'initial weights': f'weights.npz, SHA-256 {digest}'}
    classifier.save(tmp_path / 'model.safetensors', card={'use': 'tests'})
    loaded = Classifier.load(tmp_path / 'model.safetensors')
    assert loaded.metadata['card'].keys() == {'initial weights', 'use'}
    np.testing.assert_array_equal(loaded.predict(stack).logits, classifier.predict(stack).logits)


def test_weights_that_do_not_fit_are_named_with_their_file(published):
    path, _ = published
    stack, labels = tiny_stack(32), tiny_labels(32)
    padded = OPTIONS | {'network_options': {'stages': ((1, 16, 1, 1),)}}
    with pytest.raises(ValueError, match=r'weights\.npz: weights of torchvision need'):
        Classifier(weights=path, **padded).fit(stack, labels)
    with pytest.raises(ValueError, match=r"weights\.npz: only 'mobilenet' starts"):
        Classifier(network='cn', weights=path, n_epochs=1).fit(stack, labels)
    with pytest.raises(FileNotFoundError, match='none.h5: there is no such file'):
        Classifier(weights=path.parent / 'none.h5', **OPTIONS).fit(stack, labels)
