# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Photons pile up as published, and none is lost without being counted.
"""

import dataclasses
import math

import astropy.units as u
import numpy as np
import pytest

from clustercnn.simulate import SimulatedField, SimulationConfig, get_mission, simulate_field
from clustercnn.simulate._photons import COMPONENT_DTYPE, POINT, draw_photons
from clustercnn.simulate._pile_up import (
    GRADE,
    ISLAND,
    event_fraction,
    expected_events,
    survivors,
)
from clustercnn.simulate.xray import Readout


def _readout(*, mission='chandra', camera=0, time=40_000.0, share=1.0, **changes):
    one = dataclasses.replace(get_mission(mission).cameras[camera], **changes)
    return Readout(camera=one, share=share, time=time)


def _in_one_cell(per_frame, readout, *, seed=1):
    n = np.random.default_rng(seed).poisson(per_frame * readout.n_frames)
    inside = np.full(n, 0.3)
    kept = survivors(
        np.ones(n, int), inside, inside, readouts=[readout], rng=np.random.default_rng(seed)
    )
    return n, kept


@pytest.mark.parametrize('per_frame', [0.02, 0.1, 0.5, 1.0, 3.0, 8.0])
def test_events_of_one_cell_follow_the_formula(per_frame):
    readout = _readout(time=400_000.0)
    n, kept = _in_one_cell(per_frame, readout)
    expected = float(expected_events(n / readout.n_frames)) * readout.n_frames
    # frames are independent, each with at most one event
    assert abs(kept.sum() - expected) < 4 * np.sqrt(expected) + 2


def test_formula_against_a_sum_over_frames():
    # the same physics written out: frames one by one, photon by photon
    rng = np.random.default_rng(8)
    n_frames, mean = 60_000, 1.3
    events = 0
    for n in rng.poisson(mean, n_frames):
        energy = (0.5 * 4 ** rng.random(n)).sum()
        events += n > 0 and (n == 1 or (energy <= 2.0 and rng.random() < GRADE ** (n - 1)))
    expected = float(expected_events(mean)) * n_frames
    assert abs(events - expected) < 4 * np.sqrt(expected)


def test_without_loss_from_the_band_it_is_the_formula_of_davis(monkeypatch):
    # exp(-m) (exp(a m) - 1) / a, the closed sum of exp(-m) m**p / p! a**(p - 1)
    from clustercnn.simulate import _pile_up

    monkeypatch.setattr(_pile_up, 'event_fraction', lambda p: GRADE ** (p - 1))
    monkeypatch.setattr(_pile_up, '_BAND', (0.05, 2.0))
    mean = np.array([0.01, 0.3, 2.0])
    closed = np.exp(-mean) * (np.exp(GRADE * mean) - 1) / GRADE
    np.testing.assert_allclose(_pile_up.expected_events(mean), closed, rtol=1e-6)


def test_few_photons_lose_half_as_many_as_meet():
    # to first order in m the loss is m - m / 2 * event_fraction(2)
    mean = 1e-4
    loss = 1 - float(expected_events(mean)) / mean
    assert loss == pytest.approx(mean * (1 - event_fraction(2) / 2), rel=1e-3)


@pytest.mark.parametrize(
    ('camera', 'rate'),
    [(0, 2.0), (1, 0.5)],
    ids=['pn', 'mos1'],
)
def test_losses_at_the_published_limits_of_epic(camera, rate):
    # full frame: 2 (pn) and 0.5 (MOS) counts a second are the limits of the Users Handbook after
    # Jethwa et al. 2015, chosen for a loss of flux of 2.5 %
    psf = get_mission('xmm').psf
    one = get_mission('xmm').cameras[camera]
    size = ISLAND * one.detector_pixel
    # 121 x 121 cells, each averaged over 8 x 8 points
    side = ((np.arange(121 * 8) + 0.5) / 8 - 60.5) * size
    squared = side[np.newaxis, :] ** 2 + side[:, np.newaxis] ** 2
    value = (1 + squared / psf.core_radius**2) ** -psf.slope
    value = value.reshape(121, 8, 121, 8).mean(axis=(1, 3))
    norm = (psf.slope - 1) / (math.pi * psf.core_radius**2) * size**2
    mean = rate * one.frame_time * norm * value
    lost, total = (mean - expected_events(mean)).sum(), mean.sum()
    assert 0.01 < lost / total < 0.05


def test_a_piled_core_is_flat_or_hollow_and_the_wings_are_not():
    readout = _readout(time=4000.0)
    component = np.zeros(1, COMPONENT_DTYPE)
    component['source'], component['kind'] = 1, POINT
    component['n_expected'], component['axis_ratio'] = 200_000, 1.0
    flat = np.ones((161, 161))

    def image(keep):
        _, index = draw_photons(
            component,
            psf=get_mission('chandra').psf,
            response=flat,
            live=flat,
            pixel=0.492,
            center=(80.0, 80.0),
            rng=np.random.default_rng(2),
            keep=keep,
        )
        return np.bincount(index, minlength=flat.size).reshape(flat.shape)

    rng = np.random.default_rng(3)
    whole = image(None)
    piled = image(lambda source, x, y: survivors(source, x, y, readouts=[readout], rng=rng))
    y, x = np.indices(flat.shape) - 80
    radius = np.hypot(x, y) * 0.492
    assert (piled <= whole).all()
    # 50 photons a second, most of them in a few cells
    assert piled[radius < 0.7].sum() < 0.1 * whole[radius < 0.7].sum()
    assert piled[80, 80] < piled[radius < 4].max() / 2
    wings = radius > 12
    assert whole[wings].sum() > 250
    assert piled[wings].sum() == whole[wings].sum()


def test_nothing_is_drawn_where_nothing_is_bright():
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    source = np.repeat(np.arange(1, 101), 20)
    places = np.linspace(-400, 400, len(source))
    kept = survivors(source, places, places, readouts=[_readout()], rng=rng)
    assert kept.all()
    assert rng.bit_generator.state == before


def test_detectors_without_frames_lose_nothing():
    readout = _readout(mission='rosat')
    assert readout.n_frames == 0
    n = 10_000
    kept = survivors(
        np.ones(n, int), np.zeros(n), np.zeros(n), readouts=[readout], rng=np.random.default_rng(1)
    )
    assert kept.all()


@pytest.mark.parametrize('mission', ['xmm', 'chandra', 'ep'])
def test_lost_photons_are_counted(mission, tmp_path):
    config = SimulationConfig(
        target='point',
        bright_point_share=1.0,
        optical=None,
        position=(150.0, 2.0),
        optical_filter='thick',
        uneven_gas_share=0.0,
    )
    seed = 4
    field = simulate_field(seed=seed, mission=mission, config=config)
    without = simulate_field(seed=seed, mission=mission, config=config.replace(pile_up=False))
    truth = field.truth
    assert without.truth['n_lost'].sum() == 0
    assert truth['n_lost'][0] > 0
    # every photon is an event or lost
    np.testing.assert_array_equal(truth['n_counts'] + truth['n_lost'], without.truth['n_counts'])
    n_lost = (without.xray.counts - field.xray.counts).astype(int)
    assert n_lost.min() >= 0
    assert n_lost.sum() == truth['n_lost'].sum()
    # and what is left still has its source
    assert field.origin.n.sum() == truth['n_counts'].sum()
    # nothing is lost far from what is bright
    y, x = np.nonzero(n_lost)
    bright = truth[truth['n_lost'] > 0]
    near = np.min(np.hypot(x[:, None] - bright['x'], y[:, None] - bright['y']), axis=1)
    assert (near * field.xray.pixel_scale).max() < 60 * u.arcsec
    field.write(tmp_path / 'field')
    back = SimulatedField.read(tmp_path / 'field')
    np.testing.assert_array_equal(back.truth['n_lost'], truth['n_lost'])


def test_brightened_targets_are_brighter():
    config = SimulationConfig(target='point', optical=None, position=(150.0, 2.0))
    plain, bright = (
        simulate_field(seed=6, mission='ep', config=config.replace(bright_point_share=share))
        for share in (0.0, 1.0)
    )
    ratio = bright.truth['flux'][0] / plain.truth['flux'][0]
    assert 10**0.5 <= ratio <= 10**1.7
    assert bright.truth['magnitude'][0] == pytest.approx(
        plain.truth['magnitude'][0] - 2.5 * np.log10(ratio)
    )
    assert bright.truth['n_expected'][0] == pytest.approx(ratio * plain.truth['n_expected'][0])
    np.testing.assert_array_equal(bright.truth['flux'][1:40], plain.truth['flux'][1:40])
