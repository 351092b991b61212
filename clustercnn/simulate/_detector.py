# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Chip layouts on plain arrays: which part of the focal plane is alive.

All coordinates are arcmin from the optical axis in the detector's own frame;
chips are ``(x, y, width, height)`` of their centres and sides.
"""

import numpy as np

__all__ = ['CHIP_LAYOUTS', 'chips', 'live_fraction']

_MOS_CHIP = 10.9
_MOS_GAP = 0.2
_PN_WIDTH, _PN_HEIGHT = 4.35, 13.55
_PN_GAP_X, _PN_GAP_Y = 0.12, 0.18


def _mos(missing):
    step = _MOS_CHIP + _MOS_GAP
    layout = {
        1: (0.0, 0.0),
        2: (-step, 0.25),
        5: (step, -0.25),
        3: (-step / 2, -step),
        4: (step / 2, -step),
        6: (-step / 2, step),
        7: (step / 2, step),
    }
    return tuple(
        (x, y, _MOS_CHIP, _MOS_CHIP) for number, (x, y) in layout.items() if number not in missing
    )


def _pn():
    # the optical axis falls on one chip near the centre, about 1.5' from the long gap
    return tuple(
        (
            (column - 2.5) * (_PN_WIDTH + _PN_GAP_X) + 1.9,
            side * (_PN_HEIGHT + _PN_GAP_Y) / 2 + 1.1,
            _PN_WIDTH,
            _PN_HEIGHT,
        )
        for side in (-1, 1)
        for column in range(6)
    )


def _acis():
    step = 8.36 + 0.18
    return tuple(
        (x * step / 2 - 2.0, y * step / 2 + 2.0, 8.36, 8.36) for x in (-1, 1) for y in (-1, 1)
    )


CHIP_LAYOUTS = {
    'mos1': _mos(()),
    'mos2': _mos(()),
    'pn': _pn(),
    'acis-i': _acis(),
    'square61': ((0.0, 0.0, 61.4, 61.4),),
    'circle62': ((0.0, 0.0, 62.0, 62.0),),
    'pspc': ((0.0, 0.0, 114.0, 114.0),),
    'survey': (),
}
"""Chips by layout; a survey has none, since the scan smears them out."""

_FIELD_RADIUS = {'mos1': 14.8, 'mos2': 14.8, 'pn': 15.6, 'circle62': 31.0, 'pspc': 57.0}
_FIELD_CENTRE = {'mos1': (0.0, 0.0), 'mos2': (0.0, 0.0), 'pn': (1.0, 0.7)}


def chips(layout, rng=None):
    """
    Return the live chips of one observation.

    Parameters
    ----------
    layout : str
        One of `CHIP_LAYOUTS`.
    rng : `~numpy.random.Generator`, optional
        Draws whether MOS1 has lost chip 6 (March 2005) and chip 3 (2012).

    Returns
    -------
    chips : tuple of tuple of float
        Centre and sides in arcmin.
    """
    if layout == 'mos1' and rng is not None:
        epoch = rng.random()
        if epoch > 0.65:
            return _mos((3, 6))
        if epoch > 0.3:
            return _mos((6,))
    return CHIP_LAYOUTS[layout]


def live_fraction(layout, x, y, *, pixel, n_dead_columns=2.0, rng):
    """
    Return the live fraction of every pixel.

    Parameters
    ----------
    layout : str
        One of `CHIP_LAYOUTS`.
    x, y : (ny, nx) `~numpy.ndarray`
        Detector coordinates of the pixels in arcmin.
    pixel : float
        Pixel size in arcmin.
    n_dead_columns : float, optional
        Mean number of dead columns or column segments a chip.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    fraction : (ny, nx) `~numpy.ndarray`
        0 in gaps and outside, 1 on good pixels, between on dead columns
        narrower than a pixel.
    chips : tuple of tuple of float
        The chips that were alive.
    """
    if layout == 'survey':
        tilt = rng.normal(0, 0.05, 2) / np.max(np.abs(x))
        wave = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.1), rng.uniform(0, 0.04)
        fraction = 0.9 + tilt[0] * x + tilt[1] * y
        fraction = fraction + wave[2] * np.sin(wave[1] * (x + y) + wave[0])
        return np.clip(fraction, 0.2, 1.0), ()
    layout_chips = chips(layout, rng)
    if layout == 'pspc':
        return _pspc(x, y), layout_chips
    fraction = np.zeros_like(x)
    for x0, y0, width, height in layout_chips:
        inside = (np.abs(x - x0) < width / 2) & (np.abs(y - y0) < height / 2)
        fraction[inside] = 1.0
        for _ in range(rng.poisson(n_dead_columns)):
            column = x0 + rng.uniform(-0.5, 0.5) * width
            column_width = rng.choice([1.1, 2.2, 4.1]) / 60
            end = y0 + height * (0.5 - rng.choice([0.0, 1.0]) * rng.random())
            dead = inside & (np.abs(x - column) < max(pixel, column_width) / 2) & (y < end)
            fraction[dead] *= max(0.0, 1 - column_width / pixel)
    radius = _FIELD_RADIUS.get(layout)
    if radius is not None:
        centre = _FIELD_CENTRE.get(layout, (0.0, 0.0))
        fraction[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 > radius**2] = 0
    return fraction, layout_chips


def _pspc(x, y):
    # the window support: a ring near 20', eight spokes outside it, blurred by the wobble
    radius = np.sqrt(x * x + y * y)
    fraction = (radius < 57).astype(float)
    ring = np.exp(-0.5 * ((radius - 20.5) / 1.6) ** 2)
    angle = np.arctan2(y, x)
    across = np.sin(4 * angle) / 4 * radius
    along = np.clip((radius - 19) / 2, 0, 1)
    spokes = np.exp(-0.5 * (across / 1.2) ** 2) * along
    return fraction * (1 - 0.75 * np.maximum(ring, spokes))
