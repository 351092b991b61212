# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Pictures of what no formula of one radius describes: gas with edges and cavities, and
the diffuse Galactic sky. Plain square arrays of surface brightness in any unit,
``N_CELLS`` on a side, y first; coordinates run from -1 to 1.

The shapes are descriptions of what is seen, not solutions of an equation: random fields
with power-law spectra for turbulence, their level lines for filaments and outlines.
"""

import numpy as np

__all__ = [
    'N_CELLS',
    'dark_cloud',
    'filaments',
    'partial_shell',
    'patch',
    'plerion',
    'uneven_gas',
]

N_CELLS = 256


def _grid():
    side = (np.arange(N_CELLS) + 0.5) / N_CELLS * 2 - 1
    return side[np.newaxis, :], side[:, np.newaxis]


def random_field(slope, rng):
    """
    Return a Gaussian random field.

    Parameters
    ----------
    slope : float
        The power falls with wave number to this power; 11/3 is that of Kolmogorov's
        turbulence seen in two dimensions.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    values : (N_CELLS, N_CELLS) `~numpy.ndarray`
        Of mean 0 and standard deviation 1; opposite sides do not continue each other.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.simulate._pictures import random_field
    >>> values = random_field(3.0, np.random.default_rng(1))
    >>> values.shape, abs(float(values.mean())) < 1e-9, round(float(values.std()), 6)
    ((256, 256), True, 1.0)
    """
    # half of a larger periodic field
    n = N_CELLS * 3 // 2
    wave = np.hypot(np.fft.fftfreq(n)[:, np.newaxis], np.fft.rfftfreq(n)[np.newaxis, :])
    wave[0, 0] = np.inf
    noise = np.fft.rfft2(rng.standard_normal((n, n)))
    values = np.fft.irfft2(noise * wave ** (-slope / 2), s=(n, n))[:N_CELLS, :N_CELLS]
    return (values - values.mean()) / values.std()


def _step(values, width):
    # from 0 to 1 about 0
    return 1 / (1 + np.exp(np.clip(-values / width, -50, 50)))


def _turned(angle):
    x, y = _grid()
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _within_frame():
    # fades before the border, so that no picture shows its frame
    x, y = _grid()
    return _step(0.88 - np.hypot(x, y), 0.035)


def patch(rng):
    """
    Return an irregular patch of uneven brightness.

    Parameters
    ----------
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    picture : (N_CELLS, N_CELLS) `~numpy.ndarray`
        Surface brightness.
    """
    x, y = _turned(rng.uniform(0, np.pi))
    radius = np.hypot(x, y / rng.uniform(0.5, 1.0))
    outline = rng.uniform(0.35, 0.6) + 0.15 * random_field(rng.uniform(3.0, 4.5), rng)
    brightness = np.exp(rng.uniform(0.3, 0.9) * random_field(rng.uniform(2.3, 3.7), rng))
    return brightness * _step(outline - radius, rng.uniform(0.03, 0.2)) * _within_frame()


def filaments(rng):
    """
    Return filaments side by side in a fainter haze, as in the old remnants of supernovae.

    Parameters
    ----------
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    picture : (N_CELLS, N_CELLS) `~numpy.ndarray`
        Surface brightness.
    """
    # arcs about a far centre, bent by a smooth random field
    x, y = _turned(rng.uniform(0, 2 * np.pi))
    bend = rng.uniform(0.7, 4.0)
    across = np.hypot(x + bend, y) - bend + rng.uniform(0.05, 0.2) * random_field(4.0, rng)
    knots = np.exp(rng.uniform(0.5, 1.1) * random_field(rng.uniform(2.3, 3.3), rng))
    picture = np.zeros((N_CELLS, N_CELLS))
    for _ in range(rng.integers(1, 8)):
        width = 10 ** rng.uniform(-2.1, -1.0)
        # sharp on the side of the shock, slow behind it
        distance = across - rng.uniform(-0.6, 0.6)
        profile = np.exp(-np.abs(distance) / np.where(distance > 0, width, width * 4))
        along = np.exp(-(((y - rng.uniform(-0.6, 0.6)) / rng.uniform(0.2, 0.8)) ** 2))
        picture += rng.uniform(0.2, 1.0) * profile * along
    haze = np.exp(0.6 * random_field(3.5, rng)) * np.exp(-((across / rng.uniform(0.3, 0.8)) ** 2))
    return (picture * knots + rng.uniform(0.02, 0.4) * haze) * _within_frame()


def partial_shell(rng):
    """
    Return a part of a shell seen from outside, limb-brightened and broken.

    Parameters
    ----------
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    picture : (N_CELLS, N_CELLS) `~numpy.ndarray`
        Surface brightness; the shell reaches to about 0.75.
    """
    x, y = _turned(rng.uniform(0, 2 * np.pi))
    wiggle = 1 + rng.uniform(0.02, 0.1) * random_field(4.0, rng)
    radius = np.hypot(x, y / rng.uniform(0.7, 1.0)) * wiggle / 0.75
    inner = rng.uniform(0.7, 0.95)
    depth = np.sqrt(np.maximum(1 - radius**2, 0)) - np.sqrt(np.maximum(inner**2 - radius**2, 0))
    sector = np.cos(np.arctan2(y, x)) - np.cos(rng.uniform(0.4, 2.2))
    clumps = np.exp(rng.uniform(0.3, 1.0) * random_field(rng.uniform(2.3, 3.5), rng))
    filled = rng.uniform(0, 0.15) * (radius < 1)
    return (depth * _step(sector, rng.uniform(0.15, 0.5)) + filled) * clumps * _within_frame()


def plerion(rng):
    """
    Return a nebula about a pulsar: a bright middle, a clumpy body, a faint halo.

    Parameters
    ----------
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    picture : (N_CELLS, N_CELLS) `~numpy.ndarray`
        Surface brightness; the body reaches to about 0.4, the halo to the frame.
    """
    x, y = _turned(rng.uniform(0, np.pi))
    shift = rng.normal(0, 0.04, 2)
    radius = np.hypot(x, y / rng.uniform(0.7, 1.0))
    torus = np.hypot(x - shift[0], (y - shift[1]) / rng.uniform(0.3, 1.0))
    core = np.exp(-torus / rng.uniform(0.02, 0.08)) * rng.uniform(1.0, 12.0)
    outline = 0.4 + rng.uniform(0.03, 0.09) * random_field(3.3, rng)
    clumps = np.exp(rng.uniform(0.1, 0.5) * random_field(rng.uniform(2.3, 3.3), rng))
    fall = np.exp(-radius / rng.uniform(0.15, 0.6))
    body = fall * clumps * _step(outline - radius, rng.uniform(0.01, 0.05))
    # dust on the way scatters photons, and some have a shell of their own
    halo = 10 ** rng.uniform(-2.6, -1.3) * np.exp(-radius / rng.uniform(0.25, 0.6))
    rim = rng.choice([0.0, 10 ** rng.uniform(-2.7, -1.9)], p=[0.7, 0.3])
    rim = rim * clumps**2 * np.exp(-(((radius * (1.1 - 0.25 * outline) - 0.65) / 0.08) ** 2))
    return (core + body + halo + rim) * _within_frame()


def dark_cloud(rng):
    """
    Return the column of a cloud over its largest.

    Parameters
    ----------
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    column : (N_CELLS, N_CELLS) `~numpy.ndarray`
        0 to 1.
    """
    column = patch(rng)
    return column / column.max()


def uneven_gas(*, core, beta, axis_ratio, unevenness, rng):
    """
    Return the gas of a group or a galaxy that is not at rest.

    A beta model with a core off its centre, a lopsided outskirt, the spiral edge of
    sloshing gas (bright inside, faint outside: a cold front; Markevitch & Vikhlinin 2007,
    Phys. Rep. 443, 1), pairs of cavities with rims (McNamara & Nulsen 2007, ARA&A 45,
    117), and a ridge; each in a part of the pictures.

    Parameters
    ----------
    core : float
        Core radius.
    beta : float
        Slope: the brightness falls as ``(1 + (r / core)**2) ** (0.5 - 3 beta)``.
    axis_ratio : float
        Of the smooth gas; the major axis is that of x.
    unevenness : float
        Multiplies every departure from the smooth gas; 1 for what is usual, 0 for none.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    picture : (N_CELLS, N_CELLS) `~numpy.ndarray`
        Surface brightness inside a circle of radius 1.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.simulate._pictures import uneven_gas
    >>> shape = {'core': 0.1, 'beta': 0.5, 'axis_ratio': 1.0}
    >>> smooth = uneven_gas(unevenness=0, rng=np.random.default_rng(1), **shape)
    >>> uneven = uneven_gas(unevenness=1, rng=np.random.default_rng(1), **shape)
    >>> [bool(np.allclose(gas, gas[::-1, ::-1])) for gas in (smooth, uneven)]
    [True, False]
    """
    root = np.sqrt(axis_ratio)
    x, y = _grid()
    power = 0.5 - 3 * beta

    def model(x0, y0, width):
        return (1 + (((x - x0) * root) ** 2 + ((y - y0) / root) ** 2) / width**2) ** power

    gas = model(0, 0, core)
    # the densest gas moves against the rest
    turn, away = rng.uniform(0, 2 * np.pi), unevenness * core * rng.uniform(0, 0.6)
    share, width = rng.uniform(0, 4), core * rng.uniform(0.15, 0.4)
    gas = gas + share * model(away * np.cos(turn), away * np.sin(turn), width)
    radius, azimuth = np.hypot(x, y) + 1e-6, np.arctan2(y, x)
    lopsided = unevenness * rng.uniform(0, 0.35)
    gas = gas * (1 + lopsided * np.cos(azimuth - rng.uniform(0, 6.3)) * radius / (radius + core))
    if rng.random() < 0.7:
        # brightest just inside the edge, which winds outwards
        winding = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.5)
        phase = (np.log(radius / core) / 0.9 - winding * azimuth / np.pi + rng.random() * 4) % 2
        inside = phase / 2 * _step(2 - phase, 0.05) * 2 - 0.9
        reach = np.exp(-((radius / (core * rng.uniform(1.5, 5))) ** 2))
        # one turn only: the azimuth jumps where the spiral is faded out
        fade = 0.5 + 0.5 * np.cos(azimuth - rng.uniform(-0.8, 0.8))
        gas = gas * (1 + unevenness * rng.uniform(0.1, 0.45) * inside * reach * fade)
    if rng.random() < 0.6:
        axis = rng.uniform(0, np.pi)
        ragged = 1 + 0.12 * random_field(3.5, rng)
        for _ in range(rng.integers(1, 3)):
            distance = core * 10 ** rng.uniform(-0.5, 0.35)
            for side in (0, np.pi):
                where = axis + side + rng.normal(0, 0.25)
                size = distance * rng.uniform(0.3, 0.65)
                along = (x - distance * np.cos(where)) * np.cos(where)
                along = along + (y - distance * np.sin(where)) * np.sin(where)
                across = y * np.cos(where) - x * np.sin(where)
                hole = np.hypot(along / size, across / size / rng.uniform(0.8, 1.6)) * ragged
                rim = unevenness * rng.uniform(0, 0.15) * np.exp(-(((hole - 1.2) / 0.3) ** 2))
                depth = min(0.8, unevenness * rng.uniform(0.15, 0.5))
                gas = gas * (1 - depth * _step(1 - hole, 0.15) + rim)
    if rng.random() < 0.4:
        turned_x, turned_y = _turned(rng.uniform(0, 2 * np.pi))
        length, width = core * rng.uniform(1, 4), core * rng.uniform(0.08, 0.3)
        ridge = np.exp(-(((turned_y / width) ** 2) + (turned_x / length - 0.7) ** 2))
        gas = gas * (1 + unevenness * 10 ** rng.uniform(-0.5, 0.4) * ridge)
    gas = gas * np.exp(unevenness * rng.uniform(0.05, 0.2) * random_field(11 / 3, rng))
    return gas * (radius < 1)
