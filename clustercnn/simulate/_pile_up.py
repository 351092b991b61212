# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Pile-up on plain arrays: photons that a CCD cannot tell apart because they reach
the same cell during one frame.

Each photon is given a frame. The cell is the island of 3 x 3 detector pixels whose
pattern makes an event (Davis 2001, ApJ 562, 575; Jethwa et al. 2015, A&A 581, A104).
Photons together become one event with the sum of their energies; it is kept with the
probability ``GRADE ** (p - 1)`` for p photons, as in the first of these papers, and if the sum is
still in the band. Photons outside the band, which would pile up too, are left out.
"""

import functools
import math

import numpy as np

__all__ = ['GRADE', 'event_fraction', 'expected_events', 'survivors']

GRADE = 0.5
"""Chance that a second photon leaves a pattern that is accepted; fits find 0 to 1, often 0.5."""

ISLAND = 3
"""Detector pixels on a side of a cell."""

CROWDED = 0.01
"""Photons a cell and frame from which photons are looked at; below, half as many are lost."""

_BAND = (0.5, 2.0)
# energies are drawn with as many photons an octave: a power law of index 1.7-2 through an
# effective area that rises and a column that absorbs the softest


def _energies(n, rng):
    low, high = _BAND
    return low * (high / low) ** rng.random(n)


@functools.cache
def event_fraction(n_photons):
    """
    Return how often photons that arrive together make an accepted event in the band.

    Parameters
    ----------
    n_photons : int
        From 1.

    Returns
    -------
    fraction : float
        ``GRADE ** (n_photons - 1)`` times the probability that the sum of the energies stays
        in the band.

    Examples
    --------
    >>> from clustercnn.simulate._pile_up import event_fraction
    >>> [round(event_fraction(n), 3) for n in (1, 2, 3, 4)]
    [1.0, 0.211, 0.008, 0.0]
    """
    low, high = _BAND
    n_cells = 1500
    step = (high - low) / n_cells
    # cells start at 0 keV above n_photons * low, so that the convolution stays short
    one = np.diff(np.log(low + step * np.arange(n_cells + 1))) / math.log(high / low)
    total = one
    for _ in range(n_photons - 1):
        total = np.convolve(total, one)[:n_cells]
    room = (high - n_photons * low) / step - (n_photons - 1) / 2
    return float(GRADE ** (n_photons - 1) * total[: max(0, round(room))].sum())


def expected_events(n_photons):
    """
    Return the mean number of events of a cell in a frame.

    ``exp(-m) * sum(m**p / p! * event_fraction(p))`` over p from 1: Davis (2001), with
    the loss of piled events from the band.

    Parameters
    ----------
    n_photons : array-like
        Mean number of photons m of a cell in a frame.

    Returns
    -------
    n_events : `~numpy.ndarray`
        Of the shape of ``n_photons``.

    Examples
    --------
    >>> from clustercnn.simulate._pile_up import expected_events
    >>> (expected_events([0.01, 0.1, 1.0]) / [0.01, 0.1, 1.0]).round(3).tolist()
    [0.991, 0.914, 0.407]
    """
    mean = np.asarray(n_photons, dtype=float)
    low, high = _BAND
    # more photons than this cannot have a sum in the band
    most = int(high / low)
    series = sum(mean**p / math.factorial(p) * event_fraction(p) for p in range(1, most + 1))
    return np.exp(-mean) * series


def survivors(source, x, y, *, readouts, rng):
    """
    Say which photons make an event of their own.

    Parameters
    ----------
    source : (n,) `~numpy.ndarray` of int
        Their sources.
    x, y : (n,) `~numpy.ndarray`
        Their places in arcsec.
    readouts : sequence of `~clustercnn.simulate.xray.Readout`
        The detectors and their shares of the photons.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    kept : (n,) `~numpy.ndarray` of bool
        False for photons that were lost, or that were merged into the event of another one.
    """
    kept = np.ones(len(source), dtype=bool)
    if len(source) == 0:
        return kept
    brightest = np.bincount(source).max()
    # of a source that gives fewer photons a frame no cell can be crowded
    if not any(brightest * one.photons_per_frame > CROWDED for one in readouts):
        return kept
    camera = np.searchsorted(np.cumsum([one.share for one in readouts]), rng.random(len(source)))
    for number, readout in enumerate(readouts):
        own = np.flatnonzero(camera == number)
        if readout.n_frames == 0 or len(own) == 0:
            continue
        size = ISLAND * readout.camera.detector_pixel
        column, line = np.floor(x[own] / size), np.floor(y[own] / size)
        width = column.max() - column.min() + 1
        key = ((line - line.min()) * width + column - column.min()).astype(np.int64)
        _, cell, n = np.unique(key, return_inverse=True, return_counts=True)
        crowded = n / (readout.n_frames * readout.camera.n_telescopes) > CROWDED
        chosen = np.flatnonzero(crowded[cell])
        if len(chosen) == 0:
            continue
        # shuffled, so that of each pile a photon of any of its sources may stay
        chosen = rng.permutation(chosen)
        n_bins = readout.n_frames * readout.camera.n_telescopes
        together = cell[chosen] * n_bins + rng.integers(0, n_bins, len(chosen))
        kept[own[chosen]] = _first_of_good_piles(together, rng)
    return kept


def _first_of_good_piles(key, rng):
    """
    Return True for the first of those with the same key, if they make a good event.
    """
    _, first, pile, n = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    energy = np.bincount(pile, _energies(len(key), rng))
    good = (n == 1) | ((energy <= _BAND[1]) & (rng.random(len(n)) < GRADE ** (n - 1.0)))
    kept = np.zeros(len(key), dtype=bool)
    kept[first[good]] = True
    return kept
