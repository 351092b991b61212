# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Find the constants of `clustercnn.simulate.clusters.density_evolution`::

    pip install "clustercnn[bench]"
    python validation/simulator/fit_evolution.py [--data FOLDER]

Mass functions of Tinker et al. (2008) from colossus (Diemer 2018, ApJS 239, 35) become
luminosity functions by the mass relation that the simulator uses, with its scatter; their
ratio to that of redshift 0.1 is fitted. Prints the constants and how well they hold, and, with
the real data, how many clusters there are with and without growth beside those of eFEDS.
"""

import argparse
import itertools
import os
from pathlib import Path

import numpy as np
from astropy.table import Table
from colossus.cosmology import cosmology as colossus_cosmology
from colossus.lss import mass_function
from scipy.optimize import least_squares

from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate.clusters import (
    _flux,
    density_evolution,
    luminosity_function,
    mass_from_luminosity,
)

REDSHIFTS = np.arange(0.0, 1.51, 0.05)
LUMINOSITIES = np.geomspace(1e42, 2e45, 80)
SIGMA_8 = 0.8
MASS_BIAS = 0.2
SCATTER = 0.18 * np.log(10)


def luminosity_functions():
    """
    Return the density per Mpc3 and unit log luminosity, shape (n_redshifts, n_luminosities).
    """
    colossus_cosmology.setCosmology(
        'validation',
        params={
            'flat': True,
            'H0': cosmology.HUBBLE_CONSTANT,
            'Om0': cosmology.OMEGA_MATTER,
            'Ob0': 0.046,
            'sigma8': SIGMA_8,
            'ns': 0.965,
        },
        persistence='',
    )
    small_h = cosmology.HUBBLE_CONSTANT / 100
    mass = np.geomspace(5e11, 2e16, 600)
    deviation = np.linspace(-3, 3, 31)
    weight = np.exp(-0.5 * deviation**2)
    weight /= weight.sum()
    # ln M of the relation is linear in ln L
    lowest, highest = mass_from_luminosity(np.array([1e43, 1e45]), 0.0)
    slope = np.log(highest / lowest) / np.log(100)
    functions = []
    for redshift in REDSHIFTS:
        density = mass_function.massFunction(
            mass * small_h, redshift, mdef='500c', model='tinker08', q_out='dndlnM'
        )
        measured = mass * (1 - MASS_BIAS)
        reference = float(mass_from_luminosity(1e44, redshift))
        log_luminosity = np.log(1e44) + np.log(measured / reference) / slope
        # colossus counts in units of the small h
        functions.append(
            small_h**3
            * sum(
                w * np.interp(np.log(LUMINOSITIES), log_luminosity + SCATTER * d, density * slope)
                for d, w in zip(deviation, weight, strict=True)
            )
        )
    return np.array(functions)


def compare(functions, data, limit=5e-14):
    """
    Print clusters a square degree above a flux in bins of redshift, by three models and in eFEDS.
    """
    table = Table.read(data / 'catalogues' / 'eFEDS_clusters_542.csv')
    flux, redshift = np.asarray(table['F_500kpc'], float), np.asarray(table['z'], float)
    edges = (0.03, 0.3, 0.6, 0.8, 1.5)
    fine = np.linspace(0.03, 1.5, 295)
    middle, step = (fine[1:] + fine[:-1]) / 2, fine[1] - fine[0]
    bright = _flux(LUMINOSITIES[None], middle[:, None]) > limit
    log_step = np.log(LUMINOSITIES[1] / LUMINOSITIES[0])
    volume = cosmology.comoving_volume_per_redshift(middle)[:, None] * step
    growing = luminosity_function(LUMINOSITIES[None], middle[:, None])
    models = {
        'local function': growing / density_evolution(LUMINOSITIES[None], middle[:, None]),
        'with growth': growing,
        'mass function alone': np.array(
            [np.interp(middle, REDSHIFTS, column) for column in functions.T]
        ).T,
    }
    print(f'clusters a square degree above {limit:g} erg/s/cm2')
    for low, high in itertools.pairwise(edges):
        inside = (middle >= low) & (middle < high)
        counts = ', '.join(
            f'{name} {(bright * model * volume * log_step)[inside].sum():.3f}'
            for name, model in models.items()
        )
        observed = np.sum((flux > limit) & (redshift >= low) & (redshift < high)) / 140
        print(f'redshift {low} to {high}: {counts}, eFEDS {observed:.3f}')


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description='Find the constants of the growth of clusters')
    parser.add_argument('--data', type=Path, default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    options = parser.parse_args()
    functions = luminosity_functions()
    log_ratio = np.log(functions / functions[np.argmin(abs(REDSHIFTS - 0.1))])
    redshift, scaled = np.meshgrid(REDSHIFTS, LUMINOSITIES / 1e44, indexing='ij')
    linear, square = redshift - 0.1, redshift**2 - 0.01

    def residual(p):
        power = scaled ** p[4]
        model = p[0] * linear + p[1] * square - (p[2] * linear + p[3] * square) * power
        return (model - log_ratio).ravel()

    fit = least_squares(residual, [1.0, 0.0, 1.0, 0.5, 0.2])
    names = ('linear', 'square', 'bright_linear', 'bright_square', 'power')
    for name, value in zip(names, fit.x, strict=True):
        print(f'{name:14s} {value:8.3f}')
    inside = density_evolution(1e44 * scaled, redshift) / np.exp(log_ratio) - 1
    print(f'the formula in the package: largest deviation {abs(inside).max():.3f}, ', end='')
    print(f'rms {inside.std():.3f}')
    if options.data is not None:
        compare(functions, Path(options.data))


if __name__ == '__main__':
    main()
