# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What lies near the Galactic plane: patches, filaments and partial shells of hot gas,
nebulae about pulsars, and clouds that absorb what is behind them.
"""

import numpy as np
from scipy import ndimage

from clustercnn.simulate import _pictures as pictures
from clustercnn.simulate._photons import PICTURE, POINT

__all__ = [
    'HAZE',
    'LOW_LATITUDE',
    'column_transmission',
    'draw_clouds',
    'draw_diffuse',
    'draw_plerions',
    'extinction',
]

LOW_LATITUDE = 15.0
"""Galactic latitude in deg below which there is diffuse structure."""

HAZE = (1.0, 4.0)
"""
Range of the sky background near the plane over that of high latitudes, evenly in the logarithm:
assumed, with the maps of the ROSAT survey at 0.75 keV in mind (Snowden et al. 1997, ApJ 485,
125), which are brighter towards the bulge and old remnants than elsewhere.
"""

# cm2, of cold gas at 1.16 keV (Morrison & McCammon 1983, ApJ 270, 119). One number for the band is
# an approximation: of photons spread evenly over its octaves, 1e22 atoms per cm2 take what they
# would with 1.6e-22, 1e21 with 2.9e-22 and 2.5e22 with 1.1e-22
_CROSS_SECTION = 1.6e-22
# cm-2, of the whole Galaxy towards its pole (Dickey & Lockman 1990, ARA&A 28, 215)
_POLAR_COLUMN = 3e20
_KINDS = ('patch', 'filaments', 'partial_shell')
_PLERION_FLUXES = (1e-13, 5e-11)
_MOST_COUNTS = 3e5


def column_transmission(latitude):
    """
    Return the part of the photons from beyond the Galaxy that its gas lets through.

    The column is that towards the pole over the sine of the latitude; the rates of the missions
    are meant for the column towards the pole.

    Parameters
    ----------
    latitude : float
        Galactic latitude in deg.

    Returns
    -------
    transmission : float
        0 to 1; 1 beyond `LOW_LATITUDE`, where the rates hold a typical column already.

    Examples
    --------
    >>> from clustercnn.simulate.galactic import column_transmission
    >>> [round(column_transmission(latitude), 2) for latitude in (40, 10, 3, 1)]
    [1.0, 0.8, 0.42, 0.07]
    """
    if abs(latitude) >= LOW_LATITUDE:
        return 1.0
    sine = max(np.sin(np.deg2rad(abs(latitude))), 0.01)
    return float(np.exp(-_CROSS_SECTION * _POLAR_COLUMN * (1 / sine - 1)))


def draw_diffuse(sources, *, field_side, level, counts_per_flux, config, rng, target=False):
    """
    Add patches, filaments and partial shells of any size up to that of the field and beyond.

    Their surface brightness is 0.2 to 6 times that of the sky background: fainter ones are
    lost in it, and brighter ones are few.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    field_side : float
        Side of the field in arcsec.
    level : float
        Sky background on axis in ct/arcsec2.
    counts_per_flux : float
        On-axis counts of the exposure for 1 erg/s/cm2.
    config : `~clustercnn.simulate.SimulationConfig`
        Mean number of structures in a field.
    rng : `~numpy.random.Generator`
        Source of the draws.
    target : bool, optional
        Add one near the axis instead, that stands out.
    """
    for _ in range(1 if target else rng.poisson(config.diffuse_rate)):
        kind = _KINDS[rng.integers(len(_KINDS))]
        picture = getattr(pictures, kind)(rng)
        half_side = field_side / 2 * 10 ** rng.uniform(-0.7, 0.25)
        x, y = rng.uniform(-0.5, 0.5, 2) * (120.0 if target else field_side)
        contrast = 10 ** (rng.uniform(0.0, 0.8) if target else rng.uniform(-0.7, 0.8))
        # the area that would give as many counts at the mean brightness of its photons
        area = picture.sum() ** 2 / (picture**2).sum() * (2 * half_side / len(picture)) ** 2
        counts = min(contrast * level * area, _MOST_COUNTS)
        angle = rng.uniform(0, 2 * np.pi)
        number = sources.add(
            'other',
            'diffuse',
            x=x,
            y=y,
            flux=counts / counts_per_flux,
            n_expected=counts,
            core_radius=np.sqrt(area / np.pi),
            angle=angle,
        )
        sources.add_pictured(
            number, PICTURE, (x, y), counts, picture, half_side=half_side, angle=angle
        )


def draw_plerions(sources, *, field_side, counts_per_flux, config, rng, target=False):
    """
    Add nebulae about pulsars, most of them with the pulsar itself as a point source inside.

    Radii of the bright body are 8 to 130 arcsec, fluxes 1e-13 to 5e-11 erg/s/cm2, both
    spread evenly in the logarithm: those of the catalogue of Kargaltsev & Pavlov (2008,
    AIP Conf. Proc. 983, 171) lie there.

    Parameters
    ----------
    sources, field_side, counts_per_flux, config, rng, target : object
        As for `draw_diffuse`.
    """
    for _ in range(1 if target else rng.poisson(config.diffuse_rate * 0.2)):
        picture = pictures.plerion(rng)
        x, y = rng.uniform(-0.5, 0.5, 2) * (120.0 if target else field_side)
        faintest = 300 / counts_per_flux if target else _PLERION_FLUXES[0]
        faintest = min(faintest, _PLERION_FLUXES[1])
        flux = float(np.exp(rng.uniform(np.log(faintest), np.log(_PLERION_FLUXES[1]))))
        flux = min(flux, _MOST_COUNTS / counts_per_flux)
        radius = 10 ** rng.uniform(0.9, 2.1)
        pulsar = rng.choice([0.0, rng.uniform(0.005, 0.15)], p=[0.3, 0.7])
        angle = rng.uniform(0, 2 * np.pi)
        counts = flux * counts_per_flux
        number = sources.add(
            'other',
            'plerion',
            x=x,
            y=y,
            flux=flux,
            n_expected=counts,
            core_radius=radius,
            angle=angle,
        )
        sources.add_pictured(
            number,
            PICTURE,
            (x, y),
            counts * (1 - pulsar),
            picture,
            half_side=radius / 0.4,
            angle=angle,
        )
        sources.add_components(number, POINT, x, y, counts * pulsar)


def draw_clouds(sources, *, field_side, config, rng):
    """
    Add dark clouds and return what they let through.

    Optical depths in the band are 0.3 to 4, which is 2e21 to 2.5e22 hydrogen atoms per cm2
    (cross section of 1.6e-22 cm2 at 1.16 keV; Morrison & McCammon 1983, ApJ 270, 119).
    All sources and all of the sky background are taken to lie behind.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place: each cloud is a source without photons.
    field_side : float
        Side of the field in arcsec.
    config : `~clustercnn.simulate.SimulationConfig`
        Mean number of clouds in a field.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    depth : callable
        Takes offsets in arcsec, west and north, and returns optical depths; None without clouds.
    """
    clouds = []
    for _ in range(rng.poisson(config.cloud_rate)):
        column = pictures.dark_cloud(rng) * 10 ** rng.uniform(-0.5, 0.6)
        half_side = field_side / 2 * 10 ** rng.uniform(-0.6, 0.1)
        x, y = rng.uniform(-0.5, 0.5, 2) * field_side
        clouds.append((x, y, half_side, column))
        sources.add('other', 'dark cloud', x=x, y=y, n_expected=0.0, core_radius=half_side * 0.5)
    if not clouds:
        return None

    def depth(x, y):
        total = np.zeros(np.broadcast(x, y).shape)
        for x0, y0, half_side, column in clouds:
            n = len(column)
            places = np.broadcast_arrays(
                ((y - y0) / half_side + 1) / 2 * n - 0.5, ((x - x0) / half_side + 1) / 2 * n - 0.5
            )
            total += ndimage.map_coordinates(column, places, order=1, mode='constant')
        return total

    return depth


def extinction(depth):
    """
    Return how many magnitudes a cloud takes away in R.

    ``A_V = N_H / 2.21e21`` (Guever & Oezel 2009, MNRAS 400, 2050) and ``A_R = 0.8 A_V``, with the
    cross section of `draw_clouds`.

    Parameters
    ----------
    depth : array-like
        Optical depth in the X-ray band.

    Returns
    -------
    magnitudes : `~numpy.ndarray`
        Of the shape of ``depth``.

    Examples
    --------
    >>> from clustercnn.simulate.galactic import extinction
    >>> round(float(extinction(1.0)), 2)
    2.26
    """
    return np.asarray(depth) / _CROSS_SECTION / 2.21e21 * 0.8
