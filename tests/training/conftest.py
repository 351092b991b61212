# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A data set that is easy to learn, and networks small enough to train in a test.
"""

import numpy as np
import pytest

from clustercnn.network import (
    Augmentation,
    BandArrays,
    BandSpec,
    InputSpec,
    build_network,
    make_dataset,
)
from clustercnn.training import TrainingConfig, make_steps

INPUTS = InputSpec(
    bands=(BandSpec(name='xray', kind='xray', shape=(16, 16), pixel_scale=4.0),),
    features=('counts',),
)


def make_data(n_items, *, seed, labels=None):
    """
    Wide and narrow sources in turn, labelled 0 and 1 unless labels are given.
    """
    rng = np.random.default_rng(seed)
    truth = np.arange(n_items) % 2
    width = np.where(truth == 0, 3.0, 0.9)[:, None, None]
    y, x = np.mgrid[:16, :16] - 7.5
    profile = np.exp(-(x**2 + y**2) / (2 * width**2))
    counts = rng.poisson(0.1 + 150 * profile / profile.sum((1, 2), keepdims=True))
    made = make_dataset(
        INPUTS,
        {'xray': BandArrays(data=counts.astype(np.float32), pixel_scale=4.0)},
        features={'counts': counts.sum((1, 2))},
    )
    codes = truth if labels is None else labels
    return made | {
        'target': np.eye(2, dtype=np.float32)[codes],
        'weight': np.ones(n_items, np.float32),
    }


@pytest.fixture(scope='package')
def data():
    """
    The function that makes data.
    """
    return make_data


@pytest.fixture(scope='package')
def network():
    """
    A small fusion network.
    """
    return build_network(
        'fusion', INPUTS, n_classes=2, options={'widths': (16, 16), 'dense_width': 16}
    )


@pytest.fixture(scope='package')
def config():
    """
    Some epochs with all kinds of randomness.
    """
    return TrainingConfig(n_epochs=12, batch_size=16, learning_rate=3e-3)


@pytest.fixture(scope='package')
def steps(network, config):
    """
    Functions for 40 items, compiled once for the whole folder.
    """
    return make_steps(network, config, 40)


@pytest.fixture(scope='package')
def calm():
    """
    No augmentation.
    """
    return Augmentation.none()
