# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Colours of stars, galaxies and active nuclei in the bands of the SDSS, on plain arrays.

Objects are drawn by their R magnitude; these colours say what the other bands show of them.
"""

import numpy as np

__all__ = [
    'BANDS',
    'POPULATIONS',
    'blue_fraction',
    'draw_magnitudes',
    'early_type_colours',
    'nearby_galaxy_magnitudes',
]

BANDS = ('g', 'r', 'i', 'z')

POPULATIONS = ('field', 'star', 'member', 'red', 'nucleus', 'coronal')
"""
What an object is: a field galaxy, a star, a member of a cluster, one that is always red, an
active nucleus, a star that is bright in X-rays.
"""

# g-r, r-i, i-z of early types by redshift. From 0.05 to 0.5 the red sequence that redMaPPer (Rykoff
# et al. 2014, ApJ 785, 104) found in the SDSS (test_dr8_pars.fit of its code); below, with the
# change of the elliptical of Coleman, Wu & Weedman (1980, ApJS 43, 393). From 0.7 to 0.9 the
# passively evolving model (Bruzual & Charlot 2003) that redMaPPer starts from, the mean of the two
# at 0.6: nearer by, such models are too red in g-r by 0.1 (Maraston et al. 2009, MNRAS 394, L107).
# The stars of the model are of one age and so too young and blue beyond; from 1.1 the elliptical,
# the mean of the two at 1.0.
_EARLY = np.array(
    [
        # redshift, g-r, r-i, i-z
        [0.01, 0.74, 0.36, 0.32],
        [0.05, 0.81, 0.39, 0.30],
        [0.10, 0.94, 0.41, 0.32],
        [0.15, 1.08, 0.44, 0.33],
        [0.20, 1.24, 0.48, 0.33],
        [0.25, 1.39, 0.52, 0.33],
        [0.30, 1.52, 0.55, 0.35],
        [0.35, 1.62, 0.58, 0.37],
        [0.40, 1.64, 0.64, 0.39],
        [0.45, 1.65, 0.73, 0.42],
        [0.50, 1.63, 0.85, 0.44],
        [0.60, 1.63, 1.10, 0.49],
        [0.70, 1.79, 1.31, 0.62],
        [0.80, 2.21, 1.14, 0.82],
        [0.90, 2.41, 1.06, 0.99],
        [1.00, 2.37, 1.07, 1.15],
        [1.10, 2.19, 1.18, 1.27],
        [1.20, 1.81, 1.51, 1.04],
        [1.30, 1.41, 1.74, 0.96],
        [1.40, 1.05, 1.96, 0.97],
        [1.50, 0.81, 2.03, 1.05],
    ]
).T
# the same of Sbc, Scd and Im galaxies: the spectra of Coleman, Wu & Weedman (1980), extended by
# Bolzonella et al. (2000, A&A 363, 476), through the bands of the SDSS
_LATE = np.array(
    [
        # redshift; g-r, r-i, i-z of Sbc; of Scd; of Im
        [0.01, 0.51, 0.34, 0.31, 0.38, 0.21, 0.16, 0.17, 0.22, 0.22],
        [0.10, 0.60, 0.32, 0.31, 0.49, 0.23, 0.17, 0.26, 0.20, 0.20],
        [0.20, 0.80, 0.32, 0.30, 0.69, 0.23, 0.18, 0.45, 0.10, 0.19],
        [0.30, 1.04, 0.35, 0.28, 0.89, 0.25, 0.19, 0.62, 0.06, 0.18],
        [0.40, 1.27, 0.39, 0.28, 1.02, 0.33, 0.21, 0.66, 0.22, 0.10],
        [0.50, 1.36, 0.53, 0.30, 1.04, 0.46, 0.20, 0.72, 0.31, 0.04],
        [0.60, 1.35, 0.69, 0.31, 0.96, 0.61, 0.22, 0.64, 0.40, 0.04],
        [0.70, 1.21, 0.88, 0.35, 0.82, 0.74, 0.31, 0.50, 0.45, 0.25],
        [0.80, 1.04, 0.99, 0.47, 0.69, 0.80, 0.41, 0.34, 0.54, 0.30],
        [0.90, 0.87, 1.04, 0.59, 0.59, 0.78, 0.51, 0.22, 0.61, 0.29],
        [1.00, 0.72, 1.03, 0.72, 0.49, 0.70, 0.62, 0.17, 0.51, 0.38],
        [1.10, 0.63, 0.95, 0.85, 0.40, 0.61, 0.71, 0.14, 0.40, 0.46],
        [1.20, 0.57, 0.82, 0.92, 0.30, 0.54, 0.73, 0.12, 0.27, 0.54],
        [1.35, 0.52, 0.65, 0.93, 0.22, 0.47, 0.65, 0.12, 0.17, 0.50],
        [1.50, 0.48, 0.50, 0.87, 0.18, 0.38, 0.55, 0.15, 0.12, 0.35],
        [1.75, 0.44, 0.41, 0.63, 0.20, 0.21, 0.45, 0.21, 0.08, 0.18],
        [2.00, 0.37, 0.35, 0.45, 0.22, 0.11, 0.34, 0.26, 0.08, 0.10],
    ]
).T
# the median locus of stars by g-i: g-r, i-z (r-i is the rest), the share of the stars that are
# bluer, from their numbers, and the spread of g-r and r-i at one g-i (Covey et al. 2007, AJ 134,
# 2398, table of the locus)
_LOCUS = np.array(
    [
        # g-i, g-r, i-z, share, spread
        [0.20, 0.18, -0.02, 0.000, 0.03],
        [0.42, 0.32, 0.01, 0.005, 0.02],
        [0.62, 0.46, 0.05, 0.071, 0.02],
        [0.82, 0.60, 0.09, 0.171, 0.02],
        [1.02, 0.74, 0.13, 0.262, 0.03],
        [1.22, 0.89, 0.16, 0.330, 0.03],
        [1.42, 1.03, 0.20, 0.389, 0.03],
        [1.66, 1.18, 0.25, 0.456, 0.03],
        [1.90, 1.31, 0.32, 0.532, 0.03],
        [2.14, 1.39, 0.40, 0.625, 0.03],
        [2.38, 1.41, 0.51, 0.733, 0.04],
        [2.62, 1.41, 0.63, 0.848, 0.05],
        [2.86, 1.44, 0.75, 0.940, 0.05],
        [3.10, 1.50, 0.85, 0.978, 0.05],
        [3.34, 1.55, 0.97, 0.993, 0.05],
        [3.70, 1.62, 1.13, 1.000, 0.05],
    ]
).T
# of i-z
_LOCUS_SCATTER = 0.03
# medians of quasars by redshift (Richards et al. 2001, AJ 121, 2308, table of the medians), and
# half of the range that holds 68 % of them if their limits are two sigma
_QUASAR = np.array(
    [
        # redshift, g-r, r-i, i-z
        [0.10, 0.36, 0.45, 0.14],
        [0.20, 0.40, 0.36, 0.09],
        [0.30, 0.38, 0.15, 0.49],
        [0.40, 0.10, 0.12, 0.37],
        [0.50, -0.06, 0.21, 0.10],
        [0.60, -0.07, 0.16, -0.04],
        [0.70, 0.02, 0.02, 0.13],
        [0.80, 0.04, -0.07, 0.14],
        [0.90, 0.12, -0.07, 0.13],
        [1.00, 0.24, -0.04, 0.03],
        [1.20, 0.27, 0.03, -0.07],
        [1.40, 0.25, 0.09, -0.03],
        [1.60, 0.07, 0.22, 0.00],
        [1.80, 0.04, 0.27, 0.03],
        [2.00, 0.06, 0.17, 0.18],
        [2.20, 0.07, 0.12, 0.22],
        [2.60, 0.17, 0.08, 0.25],
        [3.00, 0.25, 0.09, 0.11],
    ]
).T
_QUASAR_SCATTER = 0.14
# the obscured ones, of which one sees the galaxy: as many as in the X-ray population
_OBSCURED = 0.25

# change of a red-sequence colour with magnitude, and scatter about it, in g-r, r-i, i-z:
# Hao et al. 2009, ApJ 702, 745, for g-r; smaller where the break is not between the bands
_TILT = np.array([[-0.025], [-0.012], [-0.010]])
_SCATTER = np.array([[0.04], [0.025], [0.025]])
_LATE_SCATTER = 0.06

# median redshift of galaxies of an R magnitude: main sample of the SDSS (Strauss et al. 2002),
# GAMA (Driver et al. 2011), zCOSMOS (Lilly et al. 2007), VVDS (Le Fevre et al. 2005), rounded
_MEDIAN_REDSHIFT = np.array(
    [
        [12.0, 17.5, 19.6, 22.8, 24.3, 25.5, 28.0],
        np.log([0.008, 0.10, 0.20, 0.60, 0.76, 0.90, 1.3]),
    ]
)
# share of red galaxies in the field by R: half of the bright ones (Baldry et al. 2004, ApJ 600,
# 681), falling as the depth grows (Wolf et al. 2003, A&A 401, 73), rounded
_RED_SHARE = np.array([[16.0, 18.0, 20.0, 22.0, 24.0, 26.0], [0.52, 0.48, 0.38, 0.25, 0.12, 0.06]])
# of the galaxies of the field that have the profile of a bulge, see the optical sky
_FIELD_BULGES, _MEMBER_BULGES = 0.35, 0.75


def early_type_colours(redshift):
    """
    Return the colours of a bright early-type galaxy.

    Parameters
    ----------
    redshift : (n,) `~numpy.ndarray`
        Up to 1.5; beyond, the colours of 1.5.

    Returns
    -------
    colours : (3, n) `~numpy.ndarray`
        g-r, r-i and i-z in mag.
    """
    return np.stack([np.interp(redshift, _EARLY[0], row) for row in _EARLY[1:]])


def _late_type_colours(redshift, lateness):
    # between Sbc at 0, Scd at 0.5 and Im at 1
    types = np.stack([np.interp(redshift, _LATE[0], row) for row in _LATE[1:]]).reshape(3, 3, -1)
    first = np.clip(1 - 2 * lateness, 0, 1)
    last = np.clip(2 * lateness - 1, 0, 1)
    return first * types[0] + (1 - first - last) * types[1] + last * types[2]


def blue_fraction(redshift, distance):
    """
    Return the fraction of blue members of a cluster.

    Butcher & Oemler (1984, ApJ 285, 426): 0.03 in the core of near clusters, 0.25 at
    redshift 0.5; rising outwards by 0.12 an r500, roughly as Ellingson et al. (2001, ApJ 547,
    609) find.

    Parameters
    ----------
    redshift : (n,) `~numpy.ndarray`
        Of the cluster.
    distance : (n,) `~numpy.ndarray`
        From its centre in r500, projected.

    Returns
    -------
    fraction : (n,) `~numpy.ndarray`
        At most 0.85.

    Examples
    --------
    >>> from clustercnn.simulate._colours import blue_fraction
    >>> blue_fraction([0.05, 0.5], [0.0, 1.0]).round(2).tolist()
    [0.03, 0.37]
    """
    core = 0.03 + 0.55 * np.clip(np.asarray(redshift, dtype=float) - 0.1, 0, None)
    return np.minimum(core + 0.12 * np.asarray(distance, dtype=float), 0.85)


def _is_red(share, bulge, bulge_share, rng):
    # red galaxies are those with bulges first, so that colour and shape go together
    chance = share / bulge_share if bulge else (share - bulge_share) / (1 - bulge_share)
    return rng.random(len(share)) < np.clip(chance, 0.05, 0.97)


def _galaxies(red, redshift, relative, lateness, rng):
    n = len(redshift)
    early = early_type_colours(redshift) + _TILT * relative
    early = early + _SCATTER * rng.standard_normal((3, n))
    late = _late_type_colours(redshift, lateness) + _LATE_SCATTER * rng.standard_normal((3, n))
    return np.where(red, early, late)


def _field(kind, magnitude, redshift, relative, distance, rng):
    n = len(magnitude)
    # p(z) goes as z**2 exp(-(z / z0)**1.5) (Smail et al. 1994, MNRAS 270, 245)
    middle = np.exp(np.interp(magnitude, *_MEDIAN_REDSHIFT))
    redshift = middle / 1.412 * rng.gamma(2.0, size=n) ** (2 / 3)
    share = np.interp(magnitude, *_RED_SHARE)
    red = _is_red(share, kind == 'bulge', _FIELD_BULGES, rng) & (redshift < 1.5)
    # fainter ones form more stars for their mass
    lateness = np.clip((magnitude - 15) / 14 + 0.25 * rng.standard_normal(n), 0, 1)
    return _galaxies(red, redshift, 0.0, lateness, rng)


def _members(kind, magnitude, redshift, relative, distance, rng):
    n = len(magnitude)
    share = 1 - blue_fraction(redshift, distance)
    red = _is_red(share, kind == 'bulge', _MEMBER_BULGES, rng)
    return _galaxies(red, redshift, relative, rng.uniform(0, 0.8, n), rng)


def _red(kind, magnitude, redshift, relative, distance, rng):
    return _galaxies(True, redshift, relative, np.zeros(len(magnitude)), rng)


def _locus(colour, rng):
    green_red, infrared, spread = (np.interp(colour, _LOCUS[0], row) for row in _LOCUS[[1, 2, 4]])
    green_red = green_red + spread * rng.standard_normal(len(colour))
    infrared = infrared + _LOCUS_SCATTER * rng.standard_normal(len(colour))
    return np.stack([green_red, colour - green_red, infrared])


def _stars(kind, magnitude, redshift, relative, distance, rng):
    # the numbers of Covey et al. are for stars of about R = 16; among fainter ones there are more
    # M dwarfs, among brighter ones fewer
    power = 2.0 ** np.clip((16 - magnitude) / 4, -1, 1)
    return _locus(np.interp(rng.random(len(magnitude)) ** power, _LOCUS[3], _LOCUS[0]), rng)


def _coronal(kind, magnitude, redshift, relative, distance, rng):
    # from F to M stars, most of them late
    return _locus(np.clip(rng.normal(1.8, 0.7, len(magnitude)), 0.3, 3.4), rng)


def _nuclei(kind, magnitude, redshift, relative, distance, rng):
    n = len(magnitude)
    quasar = np.stack([np.interp(redshift, _QUASAR[0], row) for row in _QUASAR[1:]])
    quasar = quasar + _QUASAR_SCATTER * rng.standard_normal((3, n))
    galaxy = _galaxies(rng.random(n) < 0.5, redshift, 0.0, np.zeros(n), rng)
    return np.where(rng.random(n) < _OBSCURED, galaxy, quasar)


_DRAWERS = dict(zip(POPULATIONS, (_field, _stars, _members, _red, _nuclei, _coronal), strict=True))


def _magnitudes(red_magnitude, colours):
    # Lupton (2005, SDSS DR4 and later, 'Transformations between ugriz and UBVRcIc')
    green_red, red_infrared, infrared = colours
    red = red_magnitude + 0.1837 * green_red + 0.0971
    return np.stack([red + green_red, red, red - red_infrared, red - red_infrared - infrared])


def draw_magnitudes(kind, magnitude, population, redshift, relative, distance, rng):
    """
    Draw the magnitudes of objects in all bands.

    Parameters
    ----------
    kind : str
        Their profile: ``'point'``, ``'disk'`` or ``'bulge'``.
    magnitude : (n,) `~numpy.ndarray`
        In R.
    population : (n,) `~numpy.ndarray`
        Indices of `POPULATIONS`.
    redshift : (n,) `~numpy.ndarray`
        Known of members and nuclei; that of a field galaxy is drawn from its magnitude.
    relative : (n,) `~numpy.ndarray`
        Magnitude of a member less that of an L* galaxy.
    distance : (n,) `~numpy.ndarray`
        Of a member from the centre in r500.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    magnitudes : (4, n) `~numpy.ndarray`
        AB, in the order of `BANDS`; R is Vega.
    """
    colours = np.zeros((3, len(magnitude)))
    for code, name in enumerate(POPULATIONS):
        chosen = np.flatnonzero(population == code)
        if len(chosen):
            known = (values[chosen] for values in (magnitude, redshift, relative, distance))
            colours[:, chosen] = _DRAWERS[name](kind, *known, rng)
    return _magnitudes(magnitude, colours)


def nearby_galaxy_magnitudes(magnitude, elliptical, rng):
    """
    Draw the magnitudes of the disk and the bulge of a nearby galaxy, were each all of it.

    Parameters
    ----------
    magnitude : float
        In R.
    elliptical : bool
        Whether all of it is as red as a bulge.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    disk, bulge : (4,) `~numpy.ndarray`
        AB, in the order of `BANDS`.
    """
    near = np.array([0.01])
    early = early_type_colours(near) + 0.03 * rng.standard_normal((3, 1))
    late = _late_type_colours(near, rng.uniform(0.1, 0.9, 1))
    disk = early if elliptical else late
    return _magnitudes(magnitude, disk)[:, 0], _magnitudes(magnitude, early)[:, 0]
