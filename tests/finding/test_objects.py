# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tests of what is one object and what is two where no model is wide enough.
"""

import astropy.units as u
import numpy as np
import pytest

from clustercnn import WaveletFinder, XrayImage
from clustercnn.core import CandidateFlag
from clustercnn.testing import tiny_wcs

SIDE, PIXEL, FWHM = 320, 4.0, 8.0
PARTS = (
    'detections on the flank of a brighter extended source, without a peak of their own',
    'detections that are part of a brighter extended source',
)


def _look(clusters, *, seed=1, points=(), background=0.1):
    """
    Return a field with beta models, given as column, row, core in pixels, beta, counts, axis ratio
    squared; and point sources.
    """
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    response = 1 / (1 + (rows**2 + columns**2) / (0.7 * SIDE) ** 2)
    expected = np.full((SIDE, SIDE), background)
    for x, y, core, beta, counts, ratio in clusters:
        squared = (columns - x) ** 2 / ratio + (rows - y) ** 2 * ratio
        profile = (1 + squared / core**2) ** (0.5 - 3 * beta)
        expected += counts * profile / profile.sum()
    for x, y, counts in points:
        # XMM-Newton's King profile
        profile = (1 + ((columns - x) ** 2 + (rows - y) ** 2) / 1.305**2) ** -1.5
        expected += counts * profile / profile.sum()
    return XrayImage(
        counts=np.random.default_rng(seed).poisson(expected * response).astype(np.float32),
        wcs=tiny_wcs(shape=(SIDE, SIDE), pixel_scale=PIXEL),
        exposure=(1e4 * response).astype(np.float32),
        psf_fwhm=FWHM * u.arcsec,
    )


def _extended(catalog):
    """
    Return columns and rows from the middle of the field, and the catalogue, of extended sources.
    """
    found = catalog[catalog.extended()]
    middle = (SIDE - 1) / 2
    return np.array(found['x']) - middle, np.array(found['y']) - middle, found


@pytest.mark.parametrize(
    'cluster',
    [
        (0, 0, 40, 0.67, 1e5, 1),
        (40, -30, 60, 0.55, 1e5, 1),
        (10, 0, 20, 0.45, 2e5, 1),
        (0, 10, 40, 0.6, 1e5, 2.5),
    ],
    ids=['round', 'off axis', 'flat', 'long'],
)
def test_a_cluster_wider_than_any_model_is_one_source(cluster):
    catalog = WaveletFinder(false_alarms=0.5)(_look([cluster]))
    x, y, found = _extended(catalog)
    assert len(found) == 1
    assert np.hypot(x[0] - cluster[0], y[0] - cluster[1]) < 0.25 * cluster[2]
    assert found['flags'][0] & CandidateFlag.EXTENT_AT_LIMIT
    assert sum(catalog.meta['dropped'].get(reason, 0) for reason in PARTS) >= 2
    # its counts are those of all its parts, a part is taken for background
    assert 0.2 * cluster[4] < found['counts'][0].value < cluster[4]


def test_what_has_a_peak_of_its_own_stays_a_source():
    giants = [(-75, 0, 25, 0.67, 4e4, 1), (75, 0, 25, 0.67, 4e4, 1)]
    x, _, _ = _extended(WaveletFinder(false_alarms=0.5)(_look(giants)))
    assert len(x) == 2
    np.testing.assert_allclose(sorted(x), [-75, 75], atol=6)


def test_a_small_cluster_before_a_wide_one_stays_a_source():
    clusters = [(0, 0, 50, 0.6, 1e5, 1), (50, 0, 5, 0.67, 1500, 1)]
    x, y, found = _extended(WaveletFinder(false_alarms=0.5)(_look(clusters)))
    small = np.hypot(x - 50, y) < 4
    assert small.sum() == 1
    assert found['extent'][small][0].value < 40
    assert len(found) == 2


def test_point_sources_before_a_wide_cluster_stay():
    points = [(40, 30, 800), (-50, 20, 1500)]
    catalog = WaveletFinder(false_alarms=0.5)(_look([(0, 0, 50, 0.6, 1e5, 1)], points=points))
    x, y = (np.array(catalog[name]) - (SIDE - 1) / 2 for name in ('x', 'y'))
    for column, row, _ in points:
        assert np.hypot(x - column, y - row).min() < 1.0
    assert catalog.extended().sum() == 1


def test_two_faint_sources_at_the_limit_far_from_each_other_are_two():
    clusters = [(-80, 0, 22, 0.67, 1500, 1), (80, 10, 22, 0.67, 1500, 1)]
    x, _, _ = _extended(WaveletFinder(false_alarms=0.5)(_look(clusters)))
    assert len(x) == 2


def test_two_clusters_on_either_side_of_a_gap_are_two():
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    seen = abs(columns) >= 60
    expected = np.full((SIDE, SIDE), 0.1)
    for x in (-90, 90):
        expected += 15 * (1 + ((columns - x) ** 2 + rows**2) / 30**2) ** -1.5
    counts = np.random.default_rng(1).poisson(expected) * seen
    image = XrayImage(
        counts=counts.astype(np.float32),
        wcs=tiny_wcs(shape=(SIDE, SIDE), pixel_scale=PIXEL),
        exposure=(1e4 * seen).astype(np.float32),
        psf_fwhm=FWHM * u.arcsec,
    )
    x, _, _ = _extended(WaveletFinder(false_alarms=0.5)(image))
    assert (x < -60).sum() == (x > 60).sum() == 1
    assert len(x) == 2


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_without_an_exposure_map_two_clusters_are_two(seed):
    clusters = [(-60, 0, 22, 0.67, 1500, 1), (60, 0, 22, 0.67, 1500, 1)]
    image = _look(clusters, seed=seed, background=0.5).replace(exposure=None)
    x, _, _ = _extended(WaveletFinder(false_alarms=0.5)(image))
    assert len(x) == 2
    np.testing.assert_allclose(sorted(x), [-60, 60], atol=12)


@pytest.mark.parametrize('seed', range(4))
def test_a_nucleus_of_a_wide_cluster_keeps_its_place(seed):
    rng = np.random.default_rng(seed)
    points = [(*rng.uniform(-70, 70, 2), 2500) for _ in range(6)]
    image = _look([(0, 0, 50, 0.6, 1e5, 1)], points=points, seed=seed)
    catalog = WaveletFinder(false_alarms=0.5)(image)
    x, y = (np.array(catalog[name]) - (SIDE - 1) / 2 for name in ('x', 'y'))
    lost = [point for point in points if np.hypot(x - point[0], y - point[1]).min() > 1.5]
    assert not lost
