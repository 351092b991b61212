# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Small inputs and batches.
"""

import numpy as np
import pytest

from clustercnn.network import BandArrays, BandSpec, InputSpec, make_dataset, take


@pytest.fixture(scope='package')
def inputs():
    """
    An X-ray and an optical band of the same field, and three features.
    """
    return InputSpec(
        bands=(
            BandSpec(name='xray', kind='xray', shape=(16, 16), pixel_scale=4.0),
            BandSpec(name='optical', kind='optical', shape=(32, 32), pixel_scale=2.0),
        ),
        features=('counts', 'extent', 'ext_like'),
    )


@pytest.fixture(scope='package')
def dataset(inputs):
    """
    Twelve cutouts.
    """
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:16, :16] - 7.5
    profile = 20 * np.exp(-(x**2 + y**2) / 8)
    bands = {
        'xray': BandArrays(
            data=rng.poisson(0.5 + profile, (12, 16, 16)).astype(np.float32),
            pixel_scale=4.0,
            exposure=np.full((12, 16, 16), 2e4, np.float32),
        ),
        'optical': BandArrays(
            data=rng.normal(1000, 10, (12, 32, 32)).astype(np.float32), pixel_scale=2.0
        ),
    }
    features = {'counts': rng.uniform(10, 500, 12), 'extent': np.full(12, np.nan)}
    return make_dataset(inputs, bands, features=features)


@pytest.fixture(scope='package')
def batch(dataset):
    """
    All of them, and four places left empty.
    """
    return take(dataset, np.arange(12), 16)
