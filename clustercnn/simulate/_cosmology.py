# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Distances and volumes in one flat cosmology, tabulated once with plain numpy.

Plain floats: redshifts in, Mpc out. A table and linear interpolation keep the
draws the same on every version of the numerical libraries.
"""

import functools

import numpy as np

__all__ = [
    'HUBBLE_CONSTANT',
    'OMEGA_MATTER',
    'angular_size',
    'comoving_distance',
    'comoving_volume_per_redshift',
    'expansion_rate',
    'luminosity_distance',
]

HUBBLE_CONSTANT = 70.0
"""Hubble constant in km/s/Mpc."""

OMEGA_MATTER = 0.3
"""Matter density of the flat universe."""

SPEED_OF_LIGHT = 299792.458


def expansion_rate(redshift):
    """
    Return E(z) = H(z) / H0 of the flat universe.

    Parameters
    ----------
    redshift : array-like
        Redshifts.

    Returns
    -------
    rate : `~numpy.ndarray`
        Without unit.
    """
    redshift = np.asarray(redshift, dtype=float)
    return np.sqrt(OMEGA_MATTER * (1 + redshift) ** 3 + 1 - OMEGA_MATTER)


@functools.cache
def _distance_table():
    redshift = np.linspace(0, 3, 6001)
    inverse = 1 / expansion_rate(redshift)
    step = redshift[1] - redshift[0]
    integral = np.concatenate([[0.0], np.cumsum((inverse[1:] + inverse[:-1]) / 2) * step])
    return redshift, SPEED_OF_LIGHT / HUBBLE_CONSTANT * integral


def comoving_distance(redshift):
    """
    Return the line-of-sight comoving distance.

    Parameters
    ----------
    redshift : array-like
        Between 0 and 3.

    Returns
    -------
    distance : `~numpy.ndarray`
        In Mpc.
    """
    return np.interp(redshift, *_distance_table())


def luminosity_distance(redshift):
    """
    Return the luminosity distance.

    Parameters
    ----------
    redshift : array-like
        Between 0 and 3.

    Returns
    -------
    distance : `~numpy.ndarray`
        In Mpc.
    """
    return comoving_distance(redshift) * (1 + np.asarray(redshift, dtype=float))


def angular_size(length, redshift):
    """
    Return the angle under which a length is seen.

    Parameters
    ----------
    length : array-like
        Proper length in Mpc.
    redshift : array-like
        Between 0 and 3.

    Returns
    -------
    angle : `~numpy.ndarray`
        In arcsec.
    """
    distance = comoving_distance(redshift) / (1 + np.asarray(redshift, dtype=float))
    return np.asarray(length, dtype=float) / distance * 206264.80624709636


def comoving_volume_per_redshift(redshift):
    """
    Return dV/dz of one square degree.

    Parameters
    ----------
    redshift : array-like
        Between 0 and 3.

    Returns
    -------
    volume : `~numpy.ndarray`
        In Mpc3 per unit redshift and square degree.
    """
    distance = comoving_distance(redshift)
    square_degree = (np.pi / 180) ** 2
    hubble_distance = SPEED_OF_LIGHT / HUBBLE_CONSTANT
    return square_degree * hubble_distance * distance**2 / expansion_rate(redshift)
