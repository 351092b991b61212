# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Galaxy clusters: how many of which luminosity at which redshift, and what each
looks like in X-rays.
"""

import functools

import numpy as np

from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate._photons import BETA, POINT

__all__ = ['cluster_number_counts', 'draw_clusters', 'mass_from_luminosity', 'radius_500']

REDSHIFT_RANGE = (0.03, 1.5)
LOW_REDSHIFT = 0.3
"""Clusters below this redshift are of the sub-class low-z: visible on a plate."""

_LUMINOSITY_RANGE = (2e41, 5e45)
_SCHECHTER = {'slope': 1.69, 'luminosity': 2.6e44, 'density': 2.94e-7}
_SOFT_SHARE = 0.62
_COOL_CORE_SHARE = 0.3
_MERGER_SHARE = 0.12
_EVOLUTION = {
    'linear': 1.121,
    'square': -0.069,
    'bright_linear': 1.268,
    'bright_square': 0.419,
    'power': 0.2,
}


def luminosity_function(luminosity, redshift):
    """
    Return the density of clusters per unit natural log of luminosity.

    A Schechter function with the parameters of REFLEX (Boehringer et al.
    2002) brought to H0 = 70 km/s/Mpc and 0.5-2 keV, times `density_evolution`.

    Parameters
    ----------
    luminosity : array-like
        0.5-2 keV rest frame, in erg/s.
    redshift : array-like
        Redshifts.

    Returns
    -------
    density : `~numpy.ndarray`
        Per comoving Mpc3.
    """
    scaled = np.asarray(luminosity, dtype=float) / _SCHECHTER['luminosity']
    local = _SCHECHTER['density'] * scaled ** (1 - _SCHECHTER['slope']) * np.exp(-scaled)
    return local * density_evolution(luminosity, redshift)


def density_evolution(luminosity, redshift):
    """
    Return how the comoving density of clusters of a luminosity changes with redshift.

    Clusters grow: the luminous ones are rarer at high redshift. The ratio of
    the mass functions of Tinker et al. (2008, ApJ 688, 709) at the redshift and
    at 0.1, through the mass relation of `mass_from_luminosity` and its scatter
    (flat universe, matter 0.3, sigma8 0.8, masses 20 % low), as a formula that
    holds to 7 % for 1e42 to 2e45 erg/s and redshifts to 1.5;
    ``validation/simulator/fit_evolution.py`` makes its constants.

    Parameters
    ----------
    luminosity : array-like
        0.5-2 keV rest frame, in erg/s.
    redshift : array-like
        Redshifts to 1.5.

    Returns
    -------
    ratio : `~numpy.ndarray`
        1 at redshift 0.1, where the local samples are.

    Examples
    --------
    >>> from clustercnn.simulate.clusters import density_evolution
    >>> density_evolution([1e43, 1e45], 0.9).round(2).tolist()
    [0.99, 0.27]
    """
    c = _EVOLUTION
    redshift = np.asarray(redshift, dtype=float)
    linear, square = redshift - 0.1, redshift**2 - 0.01
    power = (np.asarray(luminosity, dtype=float) / 1e44) ** c['power']
    log_ratio = c['linear'] * linear + c['square'] * square
    return np.exp(log_ratio - (c['bright_linear'] * linear + c['bright_square'] * square) * power)


def mass_from_luminosity(luminosity, redshift):
    """
    Return the mass M500 for a luminosity.

    The relation of REXCESS as used for MCXC (Pratt et al. 2009; Piffaretti
    et al. 2011, equation 2): ``E(z)**(-7/3) L / 1e44 = 10**0.274 (M / 3e14)**1.64``
    with L in 0.1-2.4 keV, of which 62 % fall in 0.5-2 keV.

    Parameters
    ----------
    luminosity : array-like
        0.5-2 keV, inside r500, in erg/s.
    redshift : array-like
        Redshifts.

    Returns
    -------
    mass : `~numpy.ndarray`
        In solar masses.

    Examples
    --------
    >>> from clustercnn.simulate.clusters import mass_from_luminosity
    >>> round(float(mass_from_luminosity(2e44, 0.1)) / 1e14, 1)
    3.9
    """
    scaled = np.asarray(luminosity, dtype=float) / _SOFT_SHARE / 1e44
    scaled = scaled * cosmology.expansion_rate(redshift) ** (-7 / 3)
    return 3e14 * (scaled / 10**0.274) ** (1 / 1.64)


def radius_500(mass, redshift):
    """
    Return r500 in Mpc.

    Parameters
    ----------
    mass : array-like
        M500 in solar masses.
    redshift : array-like
        Redshifts.

    Returns
    -------
    radius : `~numpy.ndarray`
        In Mpc, for a critical density of 1.36e11 E(z)**2 solar masses a Mpc3.
    """
    critical = 2.775e11 * (cosmology.HUBBLE_CONSTANT / 100) ** 2
    density = 500 * critical * cosmology.expansion_rate(redshift) ** 2
    return np.cbrt(3 * np.asarray(mass, dtype=float) / (4 * np.pi * density))


def richness_from_mass(mass, redshift):
    """
    Return the mean number of members above 0.2 L*.

    The relation of McClintock et al. (2019, MNRAS 482, 1352) for redMaPPer with
    M200m = 1.8 M500.

    Parameters
    ----------
    mass : array-like
        M500 in solar masses.
    redshift : array-like
        Redshifts.

    Returns
    -------
    richness : `~numpy.ndarray`
        As redMaPPer counts it.

    Examples
    --------
    >>> from clustercnn.simulate.clusters import richness_from_mass
    >>> round(float(richness_from_mass(1.71e14, 0.35)))
    40
    """
    return 40 * (1.8 * mass / 3.08e14) ** (1 / 1.356) * ((1 + redshift) / 1.35) ** 0.22


@functools.cache
def _grid():
    """
    Cells of equal width in ln L and in z: luminosity, redshift, number a deg2, flux.
    """
    n_luminosity, n_redshift = 240, 294
    edges = np.linspace(*np.log(_LUMINOSITY_RANGE), n_luminosity + 1)
    log_luminosity = (edges[1:] + edges[:-1]) / 2
    z_edges = np.linspace(*REDSHIFT_RANGE, n_redshift + 1)
    redshift = (z_edges[1:] + z_edges[:-1]) / 2
    luminosity, redshift = np.meshgrid(np.exp(log_luminosity), redshift, indexing='ij')
    number = luminosity_function(luminosity, redshift) * cosmology.comoving_volume_per_redshift(
        redshift
    )
    number = number * (edges[1] - edges[0]) * (z_edges[1] - z_edges[0])
    flux = _flux(luminosity, redshift)
    return (
        luminosity.ravel(),
        redshift.ravel(),
        number.ravel(),
        flux.ravel(),
        edges[1] - edges[0],
        z_edges[1] - z_edges[0],
    )


def _flux(luminosity, redshift):
    # thermal spectra above 2 keV are flat enough that the K correction stays within 15 %
    distance = cosmology.luminosity_distance(redshift) * 3.0857e24
    return luminosity / (4 * np.pi * distance * distance)


def cluster_number_counts(flux, *, redshift_range=REDSHIFT_RANGE):
    """
    Return how many clusters a square degree are brighter than a flux.

    Parameters
    ----------
    flux : array-like
        0.5-2 keV in erg/s/cm2.
    redshift_range : tuple of float, optional
        Lowest and highest redshift.

    Returns
    -------
    number : `~numpy.ndarray`
        Of the shape of ``flux``.
        Per deg2, for luminosities above 2e41 erg/s.

    Examples
    --------
    >>> from clustercnn.simulate import cluster_number_counts
    >>> bool(4 < cluster_number_counts(1e-14) < 14)
    True
    """
    _, redshift, number, cell_flux, _, _ = _grid()
    number = np.where((redshift >= redshift_range[0]) & (redshift < redshift_range[1]), number, 0)
    order = np.argsort(cell_flux, kind='stable')
    above = np.cumsum(number[order][::-1])[::-1]
    index = np.searchsorted(cell_flux[order], np.asarray(flux, dtype=float))
    return np.append(above, 0.0)[index]


def draw_clusters(sources, *, area, half_side, counts_per_flux, config, rng, target=False):
    """
    Add clusters with all their components to a list of sources.

    Each is a beta model with beta scattered about 2/3 and a core radius
    scattered about 0.15 r500 (Pacaud et al. 2006), elliptical; a part have a
    cool core (a second, narrow beta model), a central AGN, AGN among their
    members, or a smaller cluster falling in, which is a source of its own with
    the larger one as its parent. Fluxes are those inside r500; the profile goes
    on to 2.5 r500.

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
        Boost and tilt.
    rng : `~numpy.random.Generator`
        Source of the draws.
    target : bool, optional
        Add one bright cluster near the axis instead.
    """
    luminosity, redshift, number, flux, step_luminosity, step_redshift = _grid()
    reference = 100 / counts_per_flux
    if target:
        # pointed clusters: bright ones, spread in redshift
        weight = number * flux**0.9 * (flux > 8 * reference) * (flux < 2e-11)
        n = 1
    else:
        tilt = np.clip(flux / reference, 1, 300) ** config.cluster_tilt
        weight = number * tilt * (flux > 0.12 * reference) * (flux < 5e-12)
        n = rng.poisson(weight.sum() * area * config.cluster_boost)
    total = np.cumsum(weight)
    if n == 0 or total[-1] <= 0:
        return
    cell = np.searchsorted(total, rng.random(n) * total[-1], side='right')
    cell = np.minimum(cell, len(total) - 1)
    luminosity = luminosity[cell] * np.exp((rng.random(n) - 0.5) * step_luminosity)
    redshift = redshift[cell] + (rng.random(n) - 0.5) * step_redshift
    spread = 120.0 if target else half_side
    x, y = rng.uniform(-spread, spread, (2, n))
    for i in range(n):
        _add_cluster(sources, luminosity[i], redshift[i], x[i], y[i], counts_per_flux, rng)


def _add_cluster(sources, luminosity, redshift, x, y, counts_per_flux, rng):
    has_agn = rng.random() < 0.14
    agn_ratio = 10 ** rng.uniform(-1.1, 0.4)
    kind, share = rng.random(), rng.uniform(0.15, 0.5)
    common = {'redshift': redshift, 'counts_per_flux': counts_per_flux, 'rng': rng}
    merging = _COOL_CORE_SHARE <= kind < _COOL_CORE_SHARE + _MERGER_SHARE
    number, outer = _add_halo(
        sources,
        luminosity * (1 - share if merging else 1),
        (x, y),
        has_agn=has_agn,
        cool_core=share if kind < _COOL_CORE_SHARE else 0.0,
        **common,
    )
    if merging:
        # the smaller of the two is a cluster of its own, on its way into the other
        distance, turn = rng.uniform(0.25, 0.9) * outer, rng.uniform(0, 2 * np.pi)
        place = x + distance * np.cos(turn), y + distance * np.sin(turn)
        _add_halo(sources, luminosity * share, place, parent=number, **common)

    flux = float(_flux(luminosity, redshift))
    n_members = rng.poisson(0.25)
    places = rng.standard_normal((n_members, 2)) * outer * 0.5
    brightness = flux * 10 ** rng.uniform(-1.5, -0.2, n_members)
    agn = [(x + dx, y + dy, f) for (dx, dy), f in zip(places, brightness, strict=True)]
    if has_agn:
        agn.insert(0, (x, y, flux * agn_ratio))
    for agn_x, agn_y, agn_brightness in agn:
        agn_number = sources.add(
            'point',
            'agn',
            x=agn_x,
            y=agn_y,
            parent=number,
            flux=agn_brightness,
            n_expected=agn_brightness * counts_per_flux,
            redshift=redshift,
            # its light is that of a member galaxy, which the optical image draws
            magnitude=np.nan,
        )
        sources.add_components(agn_number, POINT, agn_x, agn_y, agn_brightness * counts_per_flux)


def _add_halo(
    sources,
    luminosity,
    place,
    *,
    redshift,
    counts_per_flux,
    rng,
    has_agn=False,
    cool_core=0.0,
    parent=0,
):
    """
    Add the gas of one cluster, ``cool_core`` of its light in the core, and return its
    number and r500 in arcsec.
    """
    flux = float(_flux(luminosity, redshift))
    # 0.18 dex of luminosity at fixed mass (Pratt et al. 2009)
    scatter = 10 ** (0.18 * rng.standard_normal())
    mass = float(mass_from_luminosity(luminosity / scatter, redshift))
    outer = float(cosmology.angular_size(radius_500(mass, redshift), redshift))
    core = outer * 0.15 * np.exp(0.35 * rng.standard_normal())
    beta = float(np.clip(rng.normal(2 / 3, 0.05), 0.55, 0.85))
    axis_ratio = float(np.clip(rng.normal(0.82, 0.12), 0.45, 1.0))
    angle = rng.uniform(0, np.pi)
    # 25 % scatter
    richness = richness_from_mass(mass, redshift) * np.exp(0.25 * rng.standard_normal())
    visible = 'low-z' if redshift < LOW_REDSHIFT else 'hi-z'
    number = sources.add(
        'cluster',
        'cluster+AGN' if has_agn else visible,
        x=place[0],
        y=place[1],
        parent=parent,
        flux=flux,
        n_expected=flux * counts_per_flux,
        core_radius=core,
        axis_ratio=axis_ratio,
        angle=angle,
        redshift=redshift,
        luminosity=luminosity,
        mass=mass,
        radius_500=outer,
        richness=richness,
    )[0]
    shape = {'outer': outer, 'beta': beta, 'axis_ratio': axis_ratio, 'angle': angle}
    counts = flux * (1 - cool_core) * counts_per_flux
    add_gas(sources, number, place, counts, core_radius=core, **shape)
    if cool_core > 0:
        centre = np.asarray(place) + 0.15 * core * rng.standard_normal(2)
        width = core * rng.uniform(0.12, 0.35)
        counts = flux * cool_core * counts_per_flux
        add_gas(sources, number, centre, counts, core_radius=width, **shape)
    return number, outer


def add_gas(sources, number, place, counts, *, core_radius, outer, beta, axis_ratio, angle):
    """
    Add a beta model whose counts are quoted inside r500 and drawn to 2.5 r500.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    number : int
        Of the source it belongs to.
    place : sequence of float
        Offsets in arcsec.
    counts : float
        Expected on axis inside ``outer``.
    core_radius, outer : float
        Core radius and r500 in arcsec.
    beta : float
        Above 0.5.
    axis_ratio, angle : float
        Shape, and angle of the major axis in rad.
    """
    power = 1.5 - 3 * beta
    inner = 1 - (1 + (outer / core_radius) ** 2) ** power
    whole = 1 - (1 + (2.5 * outer / core_radius) ** 2) ** power
    sources.add_components(
        number,
        BETA,
        *place,
        counts * whole / inner,
        a=core_radius,
        b=beta,
        c=2.5 * outer,
        axis_ratio=axis_ratio,
        angle=angle,
    )
