# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The threshold that a number of false alarms means.
"""

import numpy as np
import pytest
from scipy import special

from clustercnn.finding._false_alarms import places_of, threshold_of


@pytest.mark.parametrize('asked', [1e-20, 1e-3, 0.5, 8.0])
@pytest.mark.parametrize('n_places', [10.0, 1e4, 1e7])
def test_as_many_as_asked_pass_the_threshold(asked, n_places):
    threshold = threshold_of(asked, n_places)
    made = n_places * threshold**2 * special.ndtr(-threshold)
    if threshold > 2.0:
        np.testing.assert_allclose(made, asked, rtol=1e-6)
    else:
        assert made <= asked


@pytest.mark.parametrize('n_places', [0.0, 1.0])
def test_never_below_two_sigma(n_places):
    assert threshold_of(50.0, n_places) == 2.0


def test_places_grow_with_area_and_background():
    valid = np.ones((40, 60), bool)
    few = places_of(np.full((40, 60), 0.01), valid, 2, 4)
    many = places_of(np.full((40, 60), 10.0), valid, 2, 4)
    assert 0 < few < many
    half = valid.copy()
    half[:20] = False
    np.testing.assert_allclose(places_of(np.full((40, 60), 10.0), half, 2, 4), many / 2)
    # a wider PSF has fewer places, one scale fewer than four
    assert places_of(np.full((40, 60), 10.0), valid, 3, 4) < many
    assert places_of(np.full((40, 60), 10.0), valid, 2, 1) < many
    assert places_of(np.zeros((40, 60)), valid, 2, 4) > 0
