# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Bright stars, and the false X-rays that their light makes on a CCD behind a thin filter.
"""

import math

import numpy as np
from scipy import special

from clustercnn.simulate._photons import PRINT
from clustercnn.simulate._pile_up import ISLAND
from clustercnn.simulate.optical import BRIGHT_STAR, star_number_counts

__all__ = ['choose_filter', 'draw_bright_stars', 'draw_loading', 'false_events']

_BRIGHTEST = 4.0
# of observations: assumed
_FILTERS = ('thin', 'medium', 'thick')
_FILTER_SHARES = (0.45, 0.45, 0.1)
# observers who see a bright star in their field take the filter that it needs: assumed
_HEEDED = 0.8
# keV for each electron, and the band
_ELECTRON = 3.65e-3
_BAND = (0.5, 2.0)
# assumptions: how unlike the charges of the same light are, in the logarithm (where in its pixel
# the star lies, shot noise, offsets), and how often they make an accepted pattern
_SPREAD = 0.5
_ACCEPTED = 0.02
_N_CELLS, _HALF_SIDE = 120, 90.0
_FEWEST_COUNTS = 5.0


def draw_bright_stars(*, half_side, latitude, rng):
    """
    Draw the bright stars of a field.

    Parameters
    ----------
    half_side : float
        Half of the side of the square they are spread over, in arcsec.
    latitude : float
        Galactic latitude in deg.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    x, y, magnitude : (n,) `~numpy.ndarray`
        Offsets in arcsec and R magnitudes, of the published number counts of stars.
    """
    edges = np.linspace(_BRIGHTEST, BRIGHT_STAR, 91)
    number = star_number_counts(edges, latitude) * (half_side / 1800) ** 2
    n = rng.poisson(number[-1])
    magnitude = np.interp(rng.random(n) * number[-1], number, edges)
    return *rng.uniform(-half_side, half_side, (2, n)), magnitude


def false_events(brightness):
    """
    Return how many false events in the band an island of pixels makes in a frame.

    Charges scatter by 0.5 in the logarithm about the mean, and one in fifty of those
    that lie in 0.5-2 keV makes an accepted pattern: assumptions, since only the magnitudes at
    which loading begins are published.

    Parameters
    ----------
    brightness : array-like
        Electrons a frame in the pixel.

    Returns
    -------
    n_events : `~numpy.ndarray`
        Of the shape of ``brightness``.

    Examples
    --------
    >>> from clustercnn.simulate.loading import false_events
    >>> false_events([1, 137, 300, 1e4]).round(3).tolist()
    [0.0, 0.01, 0.017, 0.0]
    """
    middle = np.log(np.maximum(np.asarray(brightness, dtype=float) * _ELECTRON, 1e-12))
    below, within = (special.ndtr((math.log(edge) - middle) / _SPREAD) for edge in _BAND)
    return _ACCEPTED * (within - below)


def choose_filter(observation, magnitudes, config, rng):
    """
    Choose the optical filter of an observation.

    Parameters
    ----------
    observation : `~clustercnn.simulate.xray.Observation`
        Gives the cameras.
    magnitudes : (n,) `~numpy.ndarray`
        Of the stars in the field.
    config : `~clustercnn.simulate.SimulationConfig`
        May name the filter.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    name : str
        By default thin or medium in nine observations of ten; eight of ten observers take the
        thinnest filter that no star in the field outshines, where there is one.
    """
    drawn = _FILTERS[rng.choice(len(_FILTERS), p=_FILTER_SHARES)]
    heeds = rng.random() < _HEEDED
    if config.optical_filter is not None:
        return config.optical_filter
    brightest = np.min(magnitudes, initial=np.inf)
    for name in _FILTERS[_FILTERS.index(drawn) :]:
        onset = [
            limit + 2.5 * math.log10(_ELECTRON / _BAND[0])
            for readout in observation.readouts
            for known, limit in readout.camera.star_limits
            if known == name
        ]
        if not heeds or not onset or brightest > max(onset):
            return name
    return _FILTERS[-1]


def draw_loading(sources, stars, *, observation, filter_name):
    """
    Add the false counts of the stars that are too bright for the filter.

    The light of a star that leaves one electron a frame in its brightest pixel is that of the
    limit of the camera; it spreads like X-rays on the axis, wider further out. The
    innermost pixels of the brightest stars hold more than the band allows, so that these
    make rings.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place: a source of the class ``other`` for each star that gives five counts,
        with the coronal source of that star, if there is one, as its parent.
    stars : tuple of (n,) `~numpy.ndarray`
        Offsets x, y in arcsec, magnitudes, and numbers of the sources they are, 0 for none.
    observation : `~clustercnn.simulate.xray.Observation`
        Gives cameras and point spread.
    filter_name : str
        The filter; a camera for which it has no limit is not loaded.
    """
    psf = observation.psf
    side = (np.arange(_N_CELLS) + 0.5) / _N_CELLS * 2 - 1
    radius = _HALF_SIDE * np.hypot(side[np.newaxis, :], side[:, np.newaxis])
    cell = (2 * _HALF_SIDE / _N_CELLS) ** 2
    for x, y, magnitude, parent in zip(*stars, strict=True):
        stretch = 1 + psf.stretch * (x * x + y * y) / (60 * psf.reference) ** 2
        light = (1 + (radius / stretch / psf.core_radius) ** 2) ** -psf.slope / stretch**2
        picture = np.zeros_like(light)
        for readout in observation.readouts:
            limits = dict(readout.camera.star_limits)
            # a camera with one filter has that one
            limit = limits.get(filter_name) if len(limits) != 1 else next(iter(limits.values()))
            if limit is None:
                continue
            islands = cell / (ISLAND * readout.camera.detector_pixel) ** 2
            frames = readout.n_frames * readout.camera.n_telescopes
            picture += false_events(10 ** (0.4 * (limit - magnitude)) * light) * islands * frames
        counts = float(picture.sum())
        if counts < _FEWEST_COUNTS:
            continue
        number = sources.add(
            'other',
            'optical loading',
            x=x,
            y=y,
            parent=parent,
            n_expected=counts,
            magnitude=magnitude,
        )
        sources.add_pictured(number, PRINT, (x, y), counts, picture, half_side=_HALF_SIDE)
