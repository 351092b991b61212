# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Make the tables of galaxy colours of ``clustercnn/simulate/_colours.py``::

    python validation/simulator/fit_colours.py --spectra FOLDER --redmapper FOLDER

Writes ``results/colours.json``. The first folder holds the spectra of Coleman, Wu & Weedman
(1980) as GalSim ships them (``share/SEDs``), the second is a checkout of the redMaPPer code: the
model in ``redmapper/data``, and the red sequence that it found in the SDSS, which its tests use.
The bands are those of ``speclite``, which must be installed.
"""

import argparse
import json
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table
from scipy.interpolate import CubicSpline

from clustercnn.simulate import characteristic_magnitude
from clustercnn.simulate._colours import early_type_colours

HERE = Path(__file__).resolve().parent
REDSHIFTS = (0.01, 0.05, *(round(0.1 * step, 1) for step in range(1, 16)), 1.35, 1.75, 2.0)
TYPES = ('E', 'Sbc', 'Scd', 'Im')
# the last redshift of the tables of redMaPPer for the SDSS
LAST = 1.2
# where its red sequence has nodes: g-r, r-i and i-z are its colours 1 to 3
FOUND = tuple(round(0.05 * step, 2) for step in range(1, 13))


def colours_of(spectrum, redshift, bands):
    """
    Return g-r, r-i and i-z of a spectrum at a redshift.
    """
    wavelength, flux = np.loadtxt(spectrum, unpack=True)
    magnitudes = bands.get_ab_magnitudes(
        flux * u.erg / u.s / u.cm**2 / u.AA, wavelength * (1 + redshift) * u.AA
    )[0]
    values = [float(magnitudes[f'sdss2010-{name}']) for name in 'griz']
    return [round(float(value), 3) for value in -np.diff(values)]


def found_colours(parameters):
    """
    Return g-r, r-i and i-z of the red sequence of redMaPPer at the redshifts of `FOUND`.

    They are those of galaxies of the magnitude that it refers slopes to.
    """
    row = Table.read(parameters)[0]
    splines = [CubicSpline(row[f'Z0{k}'], row[f'C0{k}']) for k in (1, 2, 3)]
    return [[round(float(spline(z)), 3) for spline in splines] for z in FOUND]


def main():
    """
    Run the command.
    """
    from speclite import filters

    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--spectra', type=Path, required=True)
    parser.add_argument('--redmapper', type=Path, required=True)
    options = parser.parse_args()
    bands = filters.load_filters(*(f'sdss2010-{name}' for name in 'griz'))
    data = options.redmapper / 'redmapper' / 'data'
    model = Table.read(data / 'initcolors' / 'bc03_colors_sdss.fit')
    found = options.redmapper / 'tests' / 'data_for_tests' / 'test_dr8_pars.fit'
    start = [z for z in REDSHIFTS if z <= LAST]
    light = Table.read(data / 'mstar' / 'mstar_sdss_i03.fit')
    results = {
        'redshift': REDSHIFTS,
        **{
            name: [
                colours_of(options.spectra / f'CWW_{name}_ext.sed', redshift, bands)
                for redshift in REDSHIFTS
            ]
            for name in TYPES
        },
        'redMaPPer': [
            [round(float(np.interp(z, model['Z'], model['COLOR'][:, k])), 3) for k in range(3)]
            for z in start
        ],
        'redMaPPer in the SDSS': {'redshift': FOUND, 'colours': found_colours(found)},
        'characteristic i': [],
    }
    for z in (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.1):
        green_red, red_infrared, _ = early_type_colours(np.array([z]))[:, 0]
        ours = float(characteristic_magnitude(z)) + 0.1837 * green_red + 0.0971 - red_infrared
        row = {'redshift': z, 'simulated': round(float(ours), 2)}
        row['redMaPPer'] = round(float(np.interp(z, light['Z'], light['MSTAR'])), 2)
        results['characteristic i'].append(row)
    (HERE / 'results' / 'colours.json').write_text(json.dumps(results, indent=1) + '\n')
    print(json.dumps(results, indent=1))


if __name__ == '__main__':
    main()
