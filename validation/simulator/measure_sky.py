# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare the populations of the simulator with catalogues and published numbers::

    python validation/simulator/measure_sky.py [--data FOLDER]

Writes ``results/sky.json``: galaxies and stars by magnitude, optical brightness of AGN,
richness of clusters, their numbers by flux and redshift, their core radii.
"""

import argparse
import itertools
import json
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from fields import FIELDS, data_folder, find, read_field
from scipy import stats

from clustercnn.evaluation import wilson_interval
from clustercnn.simulate import (
    SimulationConfig,
    cluster_number_counts,
    galaxy_number_counts,
    simulate_field,
    star_number_counts,
)
from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate._sources import SourceList
from clustercnn.simulate.clusters import mass_from_luminosity, radius_500, richness_from_mass
from clustercnn.simulate.optical import SkyCatalog, add_field_galaxies, add_stars
from clustercnn.simulate.populations import draw_point_sources

HERE = Path(__file__).resolve().parent
EFEDS_AREA = 140.0
# of R (Vega) to i (AB), for field galaxies; a guess with a width that covers all types
R_MINUS_I = (0.0, 0.3, 0.6)
SMALL_R_MINUS_R = (0.35, 0.25, 0.15)
SOFT_SHARE = 0.62


def drawn_densities():
    """
    Return galaxies and stars a deg2 as drawn, by magnitude, beside the tables they are from.
    """
    rng = np.random.default_rng(1)
    half_side, faintest = 5400.0, 22.0
    area = (2 * half_side / 3600) ** 2
    rows = {}
    for name, fill, table in (
        (
            'galaxies',
            lambda catalog: add_field_galaxies(catalog, half_side, faintest, rng),
            lambda low, high: _integral(galaxy_number_counts, low, high),
        ),
        (
            'stars at latitude 45',
            lambda catalog: add_stars(catalog, half_side, faintest, 45.0, rng),
            lambda low, high: float(np.diff(star_number_counts([low, high], 45.0))[0]),
        ),
    ):
        catalog = SkyCatalog()
        fill(catalog)
        magnitude = np.concatenate([catalog.rows(kind)[2] for kind in ('point', 'disk', 'bulge')])
        rows[name] = []
        for low, high in itertools.pairwise((14.0, 16.0, 18.0, 20.0, 22.0)):
            n = int(((magnitude >= low) & (magnitude < high)).sum())
            rows[name].append(
                {
                    'R': [low, high],
                    'drawn': [round(v / area, 2) for v in _poisson_interval(n)],
                    'table': round(table(low, high), 2),
                }
            )
    return rows


def _integral(density, low, high):
    edges = np.linspace(low, high, 201)
    return float(np.sum(density((edges[1:] + edges[:-1]) / 2)) * (edges[1] - edges[0]))


def _poisson_interval(n):
    """
    Return a number with its exact 95 % interval.
    """
    low = stats.chi2.ppf(0.025, 2 * n) / 2 if n else 0.0
    return float(n), float(low), float(stats.chi2.ppf(0.975, 2 * n + 2) / 2)


def _against(limit, published, ours, source):
    return {
        'limit': limit,
        'published_per_deg2': round(published),
        'source': source,
        'simulated_per_deg2': [round(v) for v in ours],
        'simulated_over_published': [round(v / published, 2) for v in ours],
    }


def published_densities():
    """
    Return the tables of the simulator beside numbers that they are not made from.
    """
    galaxies = []
    for i in (23.5, 24.0, 24.5):
        # LSST Science Book (arXiv:0912.0201), section 3.7.2: N(<i) an arcmin2 near i = 25
        published = 46 * 10 ** (0.31 * (i - 25)) * 3600
        ours = [_integral(galaxy_number_counts, 12.0, i + colour) for colour in R_MINUS_I]
        galaxies.append(_against(f'i < {i:g}', published, ours, 'LSST Science Book'))
    for limit, published, source in (
        # targets of the main galaxy sample, Strauss et al. 2002, AJ 124, 1810
        (17.77, 92, 'SDSS main sample'),
        # Baldry et al. 2010, MNRAS 404, 86
        (19.8, 1050, 'GAMA'),
    ):
        # r is AB, R is Vega
        ours = [_integral(galaxy_number_counts, 12.0, limit - colour) for colour in SMALL_R_MINUS_R]
        galaxies.append(_against(f'r < {limit:g}', published, ours, source))
    # Juric et al. 2008, ApJ 673, 864: 48 million stars of 15 < r < 21.5 on 6500 deg2, mostly at
    # latitudes beyond 25 deg; r (AB) is about R (Vega) + 0.3. Those left out of their sample make
    # it a lower limit
    latitude = np.rad2deg(np.arcsin(np.linspace(np.sin(np.deg2rad(25)), 1, 50)))
    ours = np.mean([np.diff(star_number_counts([14.7, 21.2], b))[0] for b in latitude])
    stars = {
        'published_per_deg2': round(48e6 / 6500),
        'simulated_per_deg2': round(float(ours)),
        'simulated_over_published': round(float(ours) * 6500 / 48e6, 2),
    }
    return {'galaxies': galaxies, 'stars': stars}


def active_nuclei(n_draws=40):
    """
    Return how bright the AGN of the simulator are in the optical.
    """
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(n_draws):
        sources = SourceList()
        draw_point_sources(
            sources,
            area=1.0,
            half_side=1800.0,
            counts_per_flux=2e15,
            latitude=50.0,
            config=SimulationConfig(),
            rng=rng,
        )
        rows.append(sources.sources())
    rows = np.concatenate(rows)
    agn = np.isfinite(rows['redshift']) & (rows['flux'] > 1e-15)
    flux, magnitude = rows['flux'][agn], rows['magnitude'][agn]
    ratio = np.log10(flux) + 5.5 + magnitude / 2.5
    n = len(ratio)

    def share(condition):
        k = int(condition.sum())
        return [round(float(v), 4) for v in (k / n, *wilson_interval(k, n))]

    return {
        'agn': n,
        'stars_share': round(1 - n / int((rows['flux'] > 1e-15).sum()), 4),
        'share with ratio from -1 to 1': share(np.abs(ratio) < 1),
        'share with ratio above 1': share(ratio >= 1),
        # I (AB) of 25 is R (Vega) of about 25.2
        'share brighter than I 25': share(magnitude < 25.2),
        'published share brighter than I 25': [
            round(float(v), 4) for v in (626 / 695, *wilson_interval(626, 695))
        ],
        'share brighter than R 20.8': share(magnitude < 20.8),
        'median R at 1e-14': round(
            float(np.median(magnitude[(flux > 7e-15) & (flux < 1.4e-14)])), 2
        ),
    }


def _coordinates(table, ra, dec):
    return SkyCoord(np.asarray(table[ra], float), np.asarray(table[dec], float), unit='deg')


def richness(data):
    """
    Return the richness of real clusters over that of simulated ones of the same luminosity.
    """
    red = Table.read(data / 'catalogues' / 'splus_redmapper_lambda.csv.gz', format='ascii.csv')
    red_sky = _coordinates(red, 'RAJ2000', 'DEJ2000')
    mcxc = Table(fits.getdata(data / 'catalogues' / 'MCXC_Piffaretti2011.fits.gz', 1))
    efeds = Table.read(data / 'catalogues' / 'eFEDS_clusters_542.csv')
    samples = {
        'MCXC': (
            _coordinates(mcxc, 'RAdeg', 'DEdeg'),
            np.asarray(mcxc['z'], float),
            np.asarray(mcxc['L500'], float) * 1e44 * SOFT_SHARE,
        ),
        'eFEDS': (
            _coordinates(efeds, 'RA', 'DEC'),
            np.asarray(efeds['z'], float),
            np.asarray(efeds['L_500kpc'], float),
        ),
    }
    results = {}
    rng = np.random.default_rng(3)
    for name, (sky, redshift, luminosity) in samples.items():
        match, apart, _ = sky.match_to_catalog_sky(red_sky)
        # redMaPPer counts are complete to about this redshift
        near = (redshift > 0.1) & (redshift < 0.33) & (luminosity > 0)
        bright = near & (luminosity > (5e43 if name == 'eFEDS' else 1.2e44))
        # inside the area that redMaPPer covers: some cluster of it within 1.5 deg
        covered = apart < 1.5 * u.deg
        # one Mpc, and redshifts that agree
        reach = cosmology.angular_size(1.0, np.maximum(redshift, 0.01))
        same = (apart.arcsec < reach) & (
            np.abs(np.asarray(red['zlambda'])[match] - redshift) < 0.05 * (1 + redshift)
        )
        here = bright & covered
        pair = here & same
        mass = mass_from_luminosity(luminosity[pair], redshift[pair])
        ours = richness_from_mass(mass, redshift[pair])
        ratio = np.log(np.asarray(red['lambda'], float)[match][pair] / ours)
        drawn = [np.median(rng.choice(ratio, len(ratio))) for _ in range(500)]
        results[name] = {
            'clusters': int(here.sum()),
            'matched': int(pair.sum()),
            'real_over_simulated': [
                round(float(np.exp(v)), 3)
                for v in (np.median(ratio), *np.percentile(drawn, [2.5, 97.5]))
            ],
            'scatter_real': round(float(1.4826 * np.median(np.abs(ratio - np.median(ratio)))), 3),
            # 25 % of richness, and 0.18 dex of luminosity through the slopes of both relations
            'scatter_simulated': round(float(np.hypot(0.25, 0.18 * np.log(10) / 1.64 / 1.356)), 3),
        }
    return results


def cluster_counts(data):
    """
    Return the numbers of eFEDS clusters by flux and redshift beside those of the simulator.
    """
    table = Table.read(data / 'catalogues' / 'eFEDS_clusters_542.csv')
    flux, redshift = np.asarray(table['F_500kpc'], float), np.asarray(table['z'], float)
    rows = []
    for faint, bright in ((2e-14, 5e-14), (5e-14, 1e-13), (1e-13, 3e-13), (3e-13, 1e-11)):
        for low, high in itertools.pairwise((0.03, 0.3, 0.6, 1.5)):
            here = (flux >= faint) & (flux < bright) & (redshift >= low) & (redshift < high)
            counts = cluster_number_counts([faint, bright], redshift_range=(low, high))
            rows.append(
                {
                    'flux': [faint, bright],
                    'redshift': [low, high],
                    'real': [round(v, 1) for v in _poisson_interval(int(here.sum()))],
                    'simulated': round(float(counts[0] - counts[1]) * EFEDS_AREA, 1),
                }
            )
    return rows


def core_radii(data):
    """
    Return core radii that the finder measures, real and simulated, relative to r500.

    Both through the same finder; of simulated clusters those with 200 counts and more.
    """
    rows = []
    mcxc = Table(fits.getdata(data / 'catalogues' / 'MCXC_Piffaretti2011.fits.gz', 1))
    sky = _coordinates(mcxc, 'RAdeg', 'DEdeg')
    image = read_field(FIELDS['A1835, XMM MOS2'], data)
    place = SkyCoord(210.2586, 2.8786, unit='deg')
    number = int(place.separation(sky).argmin())
    rows.append(
        _measured('A1835 (cool core)', image, place, mcxc['L500'][number] * 0.62e44, 0.2528)
    )
    efeds = Table.read(data / 'catalogues' / 'eFEDS_clusters_542.csv')
    number = int(np.flatnonzero([str(n).startswith('eFEDS J092121') for n in efeds['ID']])[0])
    image = read_field(FIELDS['eFEDS patch, 0.6-2.2 keV'], data)
    place = SkyCoord(efeds['RA'][number], efeds['DEC'][number], unit='deg')
    rows.append(
        _measured(
            'eFEDS J092121.2+031726', image, place, efeds['L_500kpc'][number], efeds['z'][number]
        )
    )
    ratios, widths = [], []
    for seed in range(8100, 8110):
        config = SimulationConfig(target='cluster', optical=None)
        field = simulate_field(seed=seed, config=config)
        catalog = find(field.xray)
        matches = field.match(catalog)
        good = np.flatnonzero(matches['primary'] & (matches['class'] == 'cluster'))
        for row in good:
            source = field.truth[matches['source_id'][row] - 1]
            if matches['n_counts'][row] > 200 and catalog['extent'][row].value > 0:
                ratios.append(float(catalog['extent'][row] / source['radius_500']))
                widths.append(float(source['core_radius'] / source['radius_500']))
    ratios = np.sort(ratios)
    return {
        'real': rows,
        'simulated_clusters': len(ratios),
        'simulated_measured': [round(float(v), 3) for v in np.percentile(ratios, [50, 2.5, 97.5])],
        'simulated_true': [round(float(v), 3) for v in np.percentile(widths, [50, 2.5, 97.5])],
        'real_among_simulated': [
            round(float((ratios < row['core_over_r500']).mean()), 2) for row in rows
        ],
    }


def _measured(name, image, place, luminosity, redshift):
    catalog = find(image)
    row = int(catalog.positions.separation(place).argmin())
    mass = mass_from_luminosity(luminosity, redshift)
    outer = float(cosmology.angular_size(radius_500(mass, redshift), redshift))
    extent = float(catalog['extent'][row].value)
    return {
        'cluster': name,
        'extent_arcsec': round(extent, 1),
        'r500_arcsec': round(outer, 1),
        'core_over_r500': round(extent / outer, 3),
    }


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path)
    data = data_folder(parser.parse_args().data)
    results = {
        'drawn': drawn_densities(),
        'published': published_densities(),
        'active nuclei': active_nuclei(),
        'richness': richness(data),
        'cluster counts': cluster_counts(data),
        'core radii': core_radii(data),
    }
    (HERE / 'results' / 'sky.json').write_text(json.dumps(results, indent=1) + '\n')
    print(json.dumps(results, indent=1))


if __name__ == '__main__':
    main()
