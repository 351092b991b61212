# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Everything in the X-ray sky but clusters: active nuclei, coronal stars, nearby
galaxies, shells, and what detectors and telescopes add of their own.
"""

import functools

import numpy as np

from clustercnn.simulate._photons import ARC, BETA, LINE, POINT, RAW, SHELL
from clustercnn.simulate._sources import SUBCLASS_NAMES

__all__ = [
    'agn_number_counts',
    'draw_artefacts',
    'draw_galaxies',
    'draw_point_sources',
    'draw_shells',
    'draw_streaks',
    'optical_magnitude',
]

_FLUX_RANGE = (1e-17, 1e-11)


def agn_number_counts(flux):
    """
    Return how many point-like sources a square degree are brighter than a flux.

    The fit of Moretti et al. (2003, ApJ 588, 696) to six surveys in 0.5-2 keV:
    ``N(>S) = 6150 (2e-15)**1.82 / (S**1.82 + (1.48e-14)**1.22 S**0.60)``.

    Parameters
    ----------
    flux : array-like
        0.5-2 keV in erg/s/cm2.

    Returns
    -------
    number : `~numpy.ndarray`
        Of the shape of ``flux``.
        Per deg2.

    Examples
    --------
    >>> from clustercnn.simulate import agn_number_counts
    >>> agn_number_counts([1e-15, 1e-14]).round().astype(int).tolist()
    [782, 126]
    """
    # in units of 1e-15, so that the powers stay of order one
    scaled = np.asarray(flux, dtype=float) / 1e-15
    return 6150 * 2**1.82 / (scaled**1.82 + 14.8**1.22 * scaled**0.60)


@functools.cache
def _count_table():
    flux = np.logspace(np.log10(_FLUX_RANGE[0]), np.log10(_FLUX_RANGE[1]), 3001)
    return flux, agn_number_counts(flux)


def draw_fluxes(n, faintest, rng):
    """
    Draw fluxes that follow `agn_number_counts`.

    Parameters
    ----------
    n : int
        How many.
    faintest : float
        Lower limit in erg/s/cm2.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    flux : (n,) `~numpy.ndarray`
        In erg/s/cm2.
    """
    flux, number = _count_table()
    top = float(agn_number_counts(_FLUX_RANGE[1]))
    wanted = top + rng.random(n) * (float(agn_number_counts(faintest)) - top)
    return np.interp(wanted, number[::-1], flux[::-1])


def optical_magnitude(flux, ratio):
    """
    Return the R magnitude for an X-ray-to-optical flux ratio.

    ``log10(fX / fR) = log10(fX) + 5.5 + R / 2.5`` with fX in 0.5-2 keV
    (Maccacaro et al. 1988 for V; Hornschemeier et al. 2001 for R). AGN lie
    between -1 and 1, stars below -1, nearby galaxies below -2.

    Parameters
    ----------
    flux : array-like
        0.5-2 keV in erg/s/cm2.
    ratio : array-like
        Logarithm of the ratio.

    Returns
    -------
    magnitude : `~numpy.ndarray`
        Of the shape of ``ratio``.
        In R.

    Examples
    --------
    >>> from clustercnn.simulate.populations import optical_magnitude
    >>> float(optical_magnitude(1e-14, 0))
    21.25
    """
    return 2.5 * (np.asarray(ratio) - 5.5 - np.log10(flux))


def draw_point_sources(
    sources, *, area, half_side, counts_per_flux, latitude, config, rng, target=False
):
    """
    Add active nuclei and coronal stars.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    area : float
        In deg2, for the mean number.
    half_side : float
        Half of the side of the square they are spread over, in arcsec.
    counts_per_flux : float
        On-axis counts of the exposure for 1 erg/s/cm2.
    latitude : float
        Galactic latitude in deg: stars are commoner near the plane.
    config : `~clustercnn.simulate.SimulationConfig`
        Density and pairs.
    rng : `~numpy.random.Generator`
        Source of the draws.
    target : bool, optional
        Add one bright source near the axis instead.
    """
    # below two expected counts a source is part of the unresolved background
    faintest = np.clip(2 / counts_per_flux, 1e-16, 1e-12)
    if target:
        flux = np.array([np.clip(10 ** rng.uniform(2.3, 4.3) / counts_per_flux, 3e-14, 8e-12)])
        x, y = rng.uniform(-60, 60, (2, 1))
    else:
        flux = draw_fluxes(
            rng.poisson(float(agn_number_counts(faintest)) * area * config.agn_factor),
            faintest,
            rng,
        )
        x, y = rng.uniform(-half_side, half_side, (2, len(flux)))
    star = rng.random(len(flux)) < np.clip(
        (0.07 + 0.5 * np.exp(-abs(latitude) / 18)) * (flux / 1e-14) ** 0.15, 0.03, 0.7
    )
    paired = (rng.random(len(flux)) < config.agn_pair_fraction) & ~star
    n_pairs = int(paired.sum())
    apart, turn = rng.uniform(5, 30, n_pairs), rng.uniform(0, 2 * np.pi, n_pairs)
    pair_x, pair_y = x[paired] + apart * np.cos(turn), y[paired] + apart * np.sin(turn)
    pair_flux = np.maximum(flux[paired] * 10 ** rng.uniform(-0.7, 0.0, n_pairs), faintest)
    x, y = np.concatenate([x, pair_x]), np.concatenate([y, pair_y])
    flux = np.concatenate([flux, pair_flux])
    star = np.concatenate([star, np.zeros(n_pairs, bool)])

    n = len(flux)
    # an obscured quarter is fainter in the optical than the unobscured rest
    ratio = np.where(
        rng.random(n) < 0.25,
        0.8 + 0.4 * rng.standard_normal(n),
        0.05 + 0.5 * rng.standard_normal(n),
    )
    ratio = np.where(star, -2.8 + 0.8 * rng.standard_normal(n), ratio)
    redshift = np.where(star, np.nan, np.clip(rng.gamma(2.3, 0.5, n), 0.05, 3.0))
    numbers = sources.add(
        'point',
        [('agn', 'star')[int(is_star)] for is_star in star],
        n=n,
        x=x,
        y=y,
        flux=flux,
        n_expected=flux * counts_per_flux,
        redshift=redshift,
        magnitude=np.clip(optical_magnitude(flux, ratio), 4.5, 27.0),
    )
    sources.add_components(numbers, POINT, x, y, flux * counts_per_flux)


def draw_galaxies(sources, *, area, half_side, counts_per_flux, config, rng, target=False):
    """
    Add nearby galaxies: soft gas, and binaries scattered over the disk.

    Magnitudes follow from an X-ray-to-optical ratio of about -2.3, diameters
    from magnitudes as for the galaxies of the RC3 (2.2 arcmin at R = 12.5,
    constant surface brightness). They are commoner than in the real sky.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    area : float
        In deg2, for the mean number.
    half_side : float
        Half of the side of the square they are spread over, in arcsec.
    counts_per_flux : float
        On-axis counts of the exposure for 1 erg/s/cm2.
    config : `~clustercnn.simulate.SimulationConfig`
        Density.
    rng : `~numpy.random.Generator`
        Source of the draws.
    target : bool, optional
        Add one bright source near the axis instead.
    """
    n = 1 if target else rng.poisson(config.galaxy_rate * area / 0.25)
    for _ in range(n):
        spread = 90.0 if target else half_side
        x, y = rng.uniform(-spread, spread, 2)
        counts = 10 ** rng.uniform(1.5, 4.0 if target else 3.3)
        flux = float(np.clip(counts / counts_per_flux, 2e-15, 5e-12))
        magnitude = optical_magnitude(flux, -2.3 + 0.45 * rng.standard_normal())
        magnitude = float(np.clip(magnitude, 8.5, 17.0))
        log_size = 0.2 * (12.5 - magnitude) + 0.34 + 0.12 * rng.standard_normal()
        radius = 30 * 10**log_size
        elliptical = rng.random() < 0.35
        inclination = rng.random()
        axis_ratio = float(np.sqrt(inclination**2 + (1 - inclination**2) * 0.15**2))
        if elliptical:
            axis_ratio = rng.uniform(0.6, 1.0)
        angle = rng.uniform(0, np.pi)
        gas = rng.uniform(0.6, 0.95) if elliptical else rng.uniform(0.25, 0.8)
        number = sources.add(
            'galaxy',
            'galaxy',
            x=x,
            y=y,
            flux=flux,
            n_expected=flux * counts_per_flux,
            core_radius=radius * (0.08 if elliptical else 0.3),
            axis_ratio=axis_ratio,
            angle=angle,
            redshift=float(np.clip(10 ** (0.2 * (magnitude - 12.0) - 2.3), 0.0008, 0.05)),
            magnitude=magnitude,
            size=radius,
            flavour=int(elliptical),
        )
        sources.add_components(
            number,
            BETA,
            x,
            y,
            flux * gas * counts_per_flux,
            a=radius * (0.08 if elliptical else 0.3),
            b=0.55 if elliptical else 0.8,
            c=radius * (2.0 if elliptical else 1.2),
            axis_ratio=1 - 0.6 * (1 - axis_ratio),
            angle=angle,
        )
        n_binaries = 1 + rng.poisson(4)
        share = rng.exponential(1, n_binaries)
        along = rng.standard_normal((2, n_binaries)) * radius * 0.4
        # half of the galaxies have a nucleus that outshines their binaries
        along[:, 0] = 0
        share[0] *= 3 * rng.random()
        cos, sin = np.cos(angle), np.sin(angle)
        sources.add_components(
            np.repeat(number, n_binaries),
            POINT,
            x + along[0] * cos - axis_ratio * along[1] * sin,
            y + along[0] * sin + axis_ratio * along[1] * cos,
            flux * (1 - gas) * counts_per_flux * share / share.sum(),
        )


def draw_shells(sources, *, area, half_side, counts_per_flux, config, rng, target=False):
    """
    Add shells like those of supernova remnants.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    area : float
        In deg2, for the mean number.
    half_side : float
        Half of the side of the square they are spread over, in arcsec.
    counts_per_flux : float
        On-axis counts of the exposure for 1 erg/s/cm2.
    config : `~clustercnn.simulate.SimulationConfig`
        Density.
    rng : `~numpy.random.Generator`
        Source of the draws.
    target : bool, optional
        Add one bright source near the axis instead.
    """
    n = 1 if target else rng.poisson(config.shell_rate * area / 0.25)
    for _ in range(n):
        spread = 60.0 if target else half_side
        x, y = rng.uniform(-spread, spread, 2)
        outer = 10 ** rng.uniform(1.3, 2.4)
        counts = 10 ** rng.uniform(2.2, 4.2)
        filled = rng.random() < 0.3
        angle = rng.uniform(0, 2 * np.pi)
        axis_ratio = rng.uniform(0.7, 1.0)
        number = sources.add(
            'other',
            'shell',
            x=x,
            y=y,
            flux=counts / counts_per_flux,
            n_expected=counts,
            core_radius=outer,
            axis_ratio=axis_ratio,
            angle=angle,
        )
        shell_share = 0.5 if filled else 1.0
        sources.add_components(
            number,
            SHELL,
            x,
            y,
            counts * shell_share,
            a=outer * rng.uniform(0.75, 0.93),
            b=outer,
            c=rng.uniform(0, 0.9),
            axis_ratio=axis_ratio,
            angle=angle,
        )
        if filled:
            sources.add_components(
                number, BETA, x, y, counts * 0.5, a=outer * 0.3, b=0.9, c=outer * 0.95
            )


def draw_artefacts(sources, *, half_side, pixel, roll, area, config, rng):
    """
    Add hot pixels, hot columns and arcs of stray light.

    The angle of a hot column is that in which it runs, from west to north, as that of the major
    axis of a cluster; the counts of a hot pixel are those of its neighbour too, where it has one.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    half_side : float
        Half of the side of the field in arcsec.
    pixel : float
        Pixel size in arcsec.
    roll : float
        Angle of the detector rows in rad, from west to north; columns are at right angles to it.
    area : float
        In deg2, for the mean number.
    config : `~clustercnn.simulate.SimulationConfig`
        Density.
    rng : `~numpy.random.Generator`
        Source of the draws.
    """
    rate = config.artefact_rate
    for _ in range(rng.poisson(0.5 * rate)):
        x, y = rng.uniform(-0.65, 0.65, 2) * half_side
        counts = 10 ** rng.uniform(0.9, 2.3)
        beside = counts * rng.random() if rng.random() < 0.3 else 0.0
        number = sources.add('other', 'hot pixel', x=x, y=y, n_expected=counts + beside)
        sources.add_components(number, RAW, x, y, counts)
        if beside > 0:
            sources.add_components(number, RAW, x + pixel, y, beside)
    for _ in range(rng.poisson(0.15 * rate)):
        x, y = rng.uniform(-0.6, 0.6, 2) * half_side
        counts = 10 ** rng.uniform(1.5, 2.6)
        along = roll + np.pi / 2
        number = sources.add('other', 'hot column', x=x, y=y, n_expected=counts, angle=along)
        sources.add_components(
            number,
            LINE,
            x,
            y,
            counts,
            a=rng.uniform(40, 400),
            b=0.6 * pixel,
            angle=along,
        )
    for _ in range(rng.poisson(0.15 * rate)):
        # rays reflected once, from a bright source half a degree or more outside the field
        turn = rng.uniform(0, 2 * np.pi)
        distance = half_side * rng.uniform(1.8, 3.5)
        reach = distance - half_side * rng.uniform(0.1, 0.8)
        number = sources.add(
            'other',
            'stray light',
            x=(distance - reach) * np.cos(turn),
            y=(distance - reach) * np.sin(turn),
            n_expected=np.nan,
        )
        counts = 10 ** rng.uniform(2.2, 3.5)
        for step in range(rng.integers(1, 5)):
            sources.add_components(
                number,
                ARC,
                distance * np.cos(turn),
                distance * np.sin(turn),
                counts * rng.uniform(0.3, 1.0),
                a=reach - step * half_side * rng.uniform(0.08, 0.2),
                b=rng.uniform(8, 40),
                c=rng.uniform(0.08, 0.35),
                angle=turn + np.pi,
            )


def draw_streaks(sources, *, out_of_time, chips, roll, rng):
    """
    Add the readout streaks of bright sources.

    Events that arrive during the readout are spread over the column of the
    chip on which the source lies; streaks of fewer than 25 photons are left
    to the background. The angle of a streak is that in which it runs, from west to north, as
    that of the major axis of a cluster.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place; what it holds so far is what can streak.
    out_of_time : float
        Fraction of the photons registered during the readout.
    chips : sequence of tuple of float
        Centre and sides in arcmin, in the detector frame.
    roll : float
        Angle of the detector frame in rad.
    rng : `~numpy.random.Generator`
        Source of the draws.
    """
    rows = sources.sources()
    # wide as the field, a streak is no streak
    without = np.isin(
        rows['subclass'], [SUBCLASS_NAMES.index(n) for n in ('hot pixel', 'hot column', 'diffuse')]
    )
    expected = np.where(without, 0.0, np.nan_to_num(rows['n_expected'])) * out_of_time
    cos, sin = np.cos(roll), np.sin(roll)
    for i in np.flatnonzero(expected > 25):
        x, y = rows['x'][i], rows['y'][i]
        # detector frame in arcsec
        across, along = x * cos + y * sin, -x * sin + y * cos
        for x0, y0, width, height in chips:
            if abs(across / 60 - x0) < width / 2 and abs(along / 60 - y0) < height / 2:
                middle = y0 * 60
                centre = across * cos - middle * sin, across * sin + middle * cos
                number = sources.add(
                    'other',
                    'streak',
                    x=centre[0],
                    y=centre[1],
                    parent=i + 1,
                    n_expected=expected[i],
                    angle=roll + np.pi / 2,
                )
                # as wide as the source: the streak is the source smeared along the column
                extent = np.nan_to_num(rows['core_radius'][i])
                sources.add_components(
                    number,
                    LINE,
                    *centre,
                    expected[i],
                    a=height * 60,
                    b=8 + 2 * extent,
                    angle=roll + np.pi / 2,
                )
                break
