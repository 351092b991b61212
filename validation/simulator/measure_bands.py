# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure simulated CCD surveys in several bands, beside published numbers and real colours::

    python validation/simulator/measure_bands.py [--data FOLDER] [--only PART ...]

Writes ``results/bands.json``: depth, red sequence, members by redshift, stars, galaxy counts,
colours of real galaxies, and CPU time. What is measured in images is measured by apertures or
profiles at the places where objects were drawn, as no finder is part of this.
"""

import argparse
import json
import time
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table
from fields import data_folder
from measure_sky import _against, _poisson_interval
from scipy.spatial import cKDTree

from clustercnn.simulate import OPTICAL_SURVEYS, OpticalBand, SimulationConfig
from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate._colours import BANDS, POPULATIONS, blue_fraction, early_type_colours
from clustercnn.simulate._multiband import (
    ZERO_POINT,
    band_catalog,
    deep_galaxy_counts,
    faintest_red,
    noise_of,
    observe_bands,
    simulate_optical_bands,
)
from clustercnn.simulate._plate import coadded_frame
from clustercnn.simulate._sources import SourceList
from clustercnn.simulate._stamps import add_gaussians, profile_gaussians
from clustercnn.simulate.clusters import radius_500, richness_from_mass
from clustercnn.simulate.optical import (
    STAR_SHAPE,
    SkyCatalog,
    add_cluster_members,
    add_field_galaxies,
    fill_catalog,
)

HERE = Path(__file__).resolve().parent
COLOURS = ('g-r', 'r-i', 'i-z')
MASS = 4e14


def median_interval(values):
    """
    Return a median with the 95 % interval of 400 resamplings, and the number of values.
    """
    values = np.asarray(values, float)
    n = len(values)
    if n < 5:
        return [None, None, None, n]
    rng = np.random.default_rng(3)
    medians = np.median(values[rng.integers(n, size=(400, n))], axis=1)
    ends = np.percentile(medians, [2.5, 97.5])
    return [round(float(v), 3) for v in (np.median(values), *ends)] + [n]


def width(values):
    """
    Return half the range that holds the middle 68 %.
    """
    low, high = np.percentile(values, [16, 84])
    return float(high - low) / 2


def depths(n_stars=900):
    """
    Return the signal to noise of point sources of the stated depth, by survey, band and pixel.

    Each is drawn into a frame of its own and measured with its own profile; the interval is that
    of the spread of as many draws.
    """
    rows = []
    for survey, bands in OPTICAL_SURVEYS.items():
        for band in bands:
            for pixel in (0.4, 1.01):
                rows.append({'survey': survey, 'band': band.name, 'pixel': pixel})
                rows[-1].update(_depth(band, pixel, n_stars))
    return rows


def _depth(band, pixel, n_stars):
    rng = np.random.default_rng(11)
    n = 2 * int(5 / pixel) + 1
    wide, noise = noise_of(band, pixel)
    flux = 10 ** (-0.4 * (band.depth - band.sky_brightness)) / pixel**2
    seeing = [(weight, scale * wide) for weight, scale in STAR_SHAPE]
    fluxes = []
    for _ in range(n_stars):
        star = np.zeros((n, n))
        place = n // 2 + rng.uniform(-0.5, 0.5, 2)
        columns = (np.array([value]) for value in (*place, flux, 0.0, 1.0, 0.0))
        shape = profile_gaussians('point', *columns, seeing=seeing)
        add_gaussians(star, *shape, faintest=0.01 * noise)
        frame = coadded_frame(star, noise=noise, rng=rng)
        fluxes.append((frame * star).sum() / (star * star).sum())
    ratio = np.mean(fluxes) / np.std(fluxes)
    # the relative error of a standard deviation
    error = 1.96 / np.sqrt(2 * n_stars)
    values = (ratio, ratio * (1 - error), ratio * (1 + error))
    return {'signal to noise': [round(float(v), 2) for v in values]}


def cluster(redshift, mass=MASS):
    """
    Return a list of sources with one cluster in the middle.
    """
    listed = SourceList()
    listed.add(
        'cluster',
        'low-z',
        x=0.0,
        y=0.0,
        flux=1e-13,
        redshift=redshift,
        mass=mass,
        radius_500=float(cosmology.angular_size(radius_500(mass, redshift), redshift)),
        richness=float(richness_from_mass(mass, redshift)),
        core_radius=20.0,
        axis_ratio=0.8,
        angle=0.5,
    )
    return listed.sources()


class Frame:
    """
    One piece of sky with everything that was drawn in it, and its images.
    """

    def __init__(self, sources, *, survey, side, pixel, seed):
        self.config = SimulationConfig(
            optical='ccd',
            optical_bands=survey,
            optical_pixel_scale=pixel * u.arcsec,
            optical_offset=0.0,
        )
        self.pixel, self.n = pixel, int(side / pixel)
        depth = faintest_red(self.config.optical_bands)
        rng, own = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
        self.catalog = fill_catalog(sources, side / 2 + 20, depth, 60.0, rng, deep_galaxy_counts)
        self.magnitudes = band_catalog(self.catalog, np.random.default_rng([seed, 2]))
        observed = observe_bands(
            self.catalog, sources, config=self.config, n=self.n, position=(150.0, 2.0), colours=own
        )
        self.images = {name: np.asarray(image.data, float) for name, image in observed.items()}

    def measure(self, kind, chosen, radius=1.2):
        """
        Return aperture magnitudes and drawn ones of objects without a bright neighbour.
        """
        rows = self.catalog.rows(kind)
        everything = np.concatenate(
            [
                np.concatenate([self.catalog.rows(k)[:2], m[1:2]])
                for k, m in self.magnitudes.items()
            ],
            axis=1,
        )
        tree = cKDTree(everything[:2].T)
        centre = (self.n - 1) / 2
        edge = self.n * self.pixel / 2 - 8
        kept, measured = [], []
        for index in np.flatnonzero(chosen):
            x, y = rows[:2, index]
            if max(abs(x), abs(y)) > edge:
                continue
            near = tree.query_ball_point((x, y), 3.5)
            own = self.magnitudes[kind][1, index]
            # itself, and nothing else that adds much
            if (everything[2, near] < own + 3).sum() > 1:
                continue
            fluxes = [
                _aperture(
                    image, x / self.pixel + centre, y / self.pixel + centre, radius / self.pixel
                )
                for image in self.images.values()
            ]
            if min(fluxes) > 0:
                kept.append(index)
                measured.append(ZERO_POINT - 2.5 * np.log10(fluxes))
        return np.array(kept, int), np.array(measured).reshape(-1, len(self.images)).T


def _aperture(image, x, y, radius):
    # over a tenth of a pixel, with the median of a ring taken off
    reach = int(4 * radius) + 3
    x0, y0 = round(x) - reach, round(y) - reach
    stamp = image[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
    row, column = np.indices(stamp.shape)
    distance = np.hypot(column + x0 - x, row + y0 - y)
    weight = np.clip(radius - distance + 0.5, 0, 1)
    ring = (distance > 2.5 * radius) & (distance < 4 * radius)
    return float(((stamp - np.median(stamp[ring])) * weight).sum())


# one seeing and no shift in all bands, so that apertures measure colours
_SHARP = tuple(
    OpticalBand(
        name=band.name,
        depth=band.depth,
        seeing=0.8 * u.arcsec,
        sky_brightness=band.sky_brightness,
        offset=0.0,
    )
    for band in OPTICAL_SURVEYS['lsst']
)


def red_sequence(n_frames=3):
    """
    Return colours of members measured in images, beside the tables that they are drawn from.
    """
    rows = []
    tables = json.loads((HERE / 'results' / 'colours.json').read_text(encoding='utf-8'))
    for redshift in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4):
        differences = []
        table = early_type_colours(np.array([redshift]))[:, 0]
        for seed in range(n_frames):
            frame = Frame(cluster(redshift, 8e14), survey=_SHARP, side=240.0, pixel=0.4, seed=seed)
            population, _, relative, _ = frame.catalog.traits('bulge')
            member = np.isin(population, [POPULATIONS.index(n) for n in ('member', 'red')])
            kept, measured = frame.measure('bulge', member & (abs(relative) < 1.5))
            colours = -np.diff(measured, axis=0)
            # the blue ones are told by the colours about the break, as in a real cluster
            about = slice(0, 1) if redshift < 0.35 else slice(1, 2 if redshift < 0.75 else 3)
            red = (abs(colours - table[:, np.newaxis])[about] < 0.3).all(axis=0)
            differences.append(np.vstack([colours[:, red], relative[kept][red]]))
        found = np.concatenate(differences, axis=1)
        row = {'redshift': redshift}
        for number, name in enumerate(COLOURS):
            row[name] = {
                'recovered': median_interval(found[number]),
                'table': round(float(table[number]), 3),
            }
            index = tables['redshift'].index(redshift)
            row[name]['elliptical of Coleman et al.'] = tables['E'][index][number]
            if index < len(tables['redMaPPer']):
                row[name]['start of redMaPPer'] = tables['redMaPPer'][index][number]
            calibrated = tables['redMaPPer in the SDSS']
            if redshift in calibrated['redshift']:
                place = calibrated['redshift'].index(redshift)
                row[name]['redMaPPer in the SDSS'] = calibrated['colours'][place][number]
        row['scatter in g-r'] = round(width(found[0]), 3) if found.shape[1] > 20 else None
        rows.append(row)
    return rows


def members(n_draws=40):
    """
    Return how many members a cluster shows above the depth, and how many of them are blue.
    """
    rows = []
    for redshift in (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.1, 1.4):
        source = cluster(redshift)[0]
        counts = {name: [] for name in (*OPTICAL_SURVEYS, 'plate')}
        blue = []
        for seed in range(n_draws):
            catalog = SkyCatalog()
            add_cluster_members(catalog, source, 28.0, np.random.default_rng([seed, 5]))
            magnitudes = band_catalog(catalog, np.random.default_rng([seed, 6]))
            inside, red, drawn, relative = [], [], [], []
            for kind in ('disk', 'bulge'):
                rows_of = catalog.rows(kind)
                inside.append(np.hypot(*rows_of[:2]) < source['radius_500'])
                drawn.append(magnitudes[kind])
                red.append(rows_of[2])
                relative.append(catalog.traits(kind)[2])
            inside, red = np.concatenate(inside), np.concatenate(red)
            drawn, relative = np.concatenate(drawn, axis=1), np.concatenate(relative)
            for name, bands in OPTICAL_SURVEYS.items():
                seen = np.zeros(len(red), bool)
                for band in bands:
                    # a galaxy is seen where a point source would be, half a magnitude earlier
                    limit = band.depth - 0.5
                    seen |= drawn[BANDS.index(band.name)] < limit
                counts[name].append(int((seen & inside).sum()))
            counts['plate'].append(int((inside & (red < 20.8)).sum()))
            table = early_type_colours(np.array([redshift]))[0, 0]
            bright = inside & (relative < 1.5)
            blue.append(float(((drawn[0] - drawn[1])[bright] < table - 0.2).mean()))
        row = {'redshift': redshift, 'richness': round(float(source['richness']), 1)}
        for name, values in counts.items():
            low, high = np.percentile(values, [2.5, 97.5])
            row[name] = [round(float(v), 1) for v in (np.mean(values), low, high)]
        row['blue'] = [
            round(float(v), 3)
            for v in (np.mean(blue), *(np.mean(blue) + np.array([-1.96, 1.96]) * _error(blue)))
        ]
        core = blue_fraction([redshift], [0.0])[0]
        row['Butcher & Oemler'] = round(float(core), 3)
        rows.append(row)
    return rows


def _error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values))


# the locus as published (Covey et al. 2007): g-i, r-i and its spread there
_LOCUS = (
    (0.5, 0.13, 0.02),
    (1.0, 0.27, 0.03),
    (1.5, 0.42, 0.03),
    (2.02, 0.66, 0.03),
    (2.5, 1.08, 0.05),
)


def stars(n_frames=6):
    """
    Return the place and the width of the locus in images.
    """
    colours = []
    for seed in range(n_frames):
        frame = Frame(SourceList().sources(), survey=_SHARP, side=600.0, pixel=0.5, seed=100 + seed)
        magnitude = frame.magnitudes['point'][1]
        _, measured = frame.measure('point', (magnitude > 17.5) & (magnitude < 22.0))
        colours.append(-np.diff(measured, axis=0))
    green_red, red_infrared, _ = np.concatenate(colours, axis=1)
    whole = green_red + red_infrared
    rng = np.random.default_rng(23)
    rows = []
    for colour, published, spread in _LOCUS:
        near = np.flatnonzero(abs(whole - colour) < 0.15)
        draws = near[rng.integers(len(near), size=(401, len(near)))]
        draws[0] = near
        values = []
        for chosen in draws:
            # the locus goes on within the bin
            line = np.polyfit(whole[chosen] - colour, red_infrared[chosen], 1)
            across = red_infrared[chosen] - np.polyval(line, whole[chosen] - colour)
            values.append((line[1], width(across)))
        ends = np.percentile(values, [2.5, 97.5], axis=0)
        place, wide = ([round(float(v), 3) for v in (values[0][k], *ends[:, k])] for k in (0, 1))
        rows.append({'g-i': colour, 'stars': len(near), 'r-i': place, 'spread': wide})
        rows[-1].update({'published r-i': published, 'published spread': spread})
    return rows


def counts():
    """
    Return galaxies a deg2 in the bands, beside numbers that the counts in R are not made from.
    """
    rng = np.random.default_rng(21)
    half_side = 3600.0
    area = (2 * half_side / 3600) ** 2
    catalog = SkyCatalog()
    add_field_galaxies(catalog, half_side, 25.6, rng, deep_galaxy_counts)
    drawn = band_catalog(catalog, np.random.default_rng(22))
    magnitudes = np.concatenate([drawn['disk'], drawn['bulge']], axis=1)
    rows = []
    published = [
        # Strauss et al. 2002; Baldry et al. 2010; LSST Science Book, section 3.7.2
        ('r', 17.77, 92, 'SDSS main sample'),
        ('r', 19.8, 1050, 'GAMA'),
        *(
            ('i', limit, 46 * 10 ** (0.31 * (limit - 25)) * 3600, 'LSST Science Book')
            for limit in (23.5, 24.0, 24.5)
        ),
    ]
    for band, limit, number, source in published:
        n = int((magnitudes[BANDS.index(band)] < limit).sum())
        ours = [value / area for value in _poisson_interval(n)]
        rows.append({'band': band, **_against(f'{band} < {limit:g}', number, ours, source)})
    by_band = [
        {
            'band': band,
            'brighter than': limit,
            'per_deg2': round(float((magnitudes[number] < limit).sum() / area), 1),
        }
        for number, band in enumerate(BANDS)
        for limit in (18.0, 20.0, 22.0, 24.0)
    ]
    return {'published': rows, 'by band': by_band}


def real_colours(data):
    """
    Return g-r of the galaxies of a real field at the Perseus cluster by r.

    The catalogue of Wittmann et al. 2019, ApJS 245, 10: those called early types of the cluster,
    at redshift 0.018, against simulated ones there; all others against simulated ones of the
    field.
    """
    table = Table.read(data / 'bench_perseus_sdss' / 'pcc_sdss_rgb64.csv')
    red, colour = (
        np.array([np.nan if str(v) == 'N/A' else float(v) for v in table[name]])
        for name in ('r_mag', 'g_r')
    )
    early = table['cls7'] == 'likely_cluster_dE_ETG'
    rng = np.random.default_rng(31)
    catalog = SkyCatalog()
    add_field_galaxies(catalog, 2700.0, 23.0, rng, deep_galaxy_counts)
    drawn = band_catalog(catalog, np.random.default_rng(32))
    field = np.concatenate([drawn['disk'], drawn['bulge']], axis=1)
    rows = []
    for low, high in ((19.0, 20.0), (20.0, 21.0), (21.0, 22.0)):
        real = colour[~early & (red >= low) & (red < high) & np.isfinite(colour)]
        chosen = (field[1] >= low) & (field[1] < high)
        rows.append({'what': 'others, mostly of the field', 'r': [low, high]})
        rows[-1].update(_beside(real, (field[0] - field[1])[chosen]))
    catalog = SkyCatalog()
    for seed in range(20):
        add_cluster_members(catalog, cluster(0.018)[0], 20.0, np.random.default_rng([seed, 33]))
    drawn = band_catalog(catalog, np.random.default_rng(34))['bulge']
    for low, high in ((14.0, 16.0), (16.0, 17.0), (17.0, 18.0)):
        real = colour[early & (red >= low) & (red < high) & np.isfinite(colour)]
        chosen = (drawn[1] >= low) & (drawn[1] < high)
        rows.append({'what': 'early types of Perseus', 'r': [low, high]})
        rows[-1].update(_beside(real, (drawn[0] - drawn[1])[chosen]))
    return rows


def _beside(real, simulated):
    return {
        'real': median_interval(real),
        'simulated': median_interval(simulated),
        'real 16 to 84 %': [round(float(v), 2) for v in np.percentile(real, [16, 84])],
        'simulated 16 to 84 %': [round(float(v), 2) for v in np.percentile(simulated, [16, 84])],
    }


def speed(n_runs=5):
    """
    Return CPU seconds a band of 2000 x 2000 pixels of one arcsec, drawing the sky included.
    """
    rows = []
    for survey, bands in OPTICAL_SURVEYS.items():
        config = SimulationConfig(
            optical='ccd', optical_bands=survey, optical_pixel_scale=1.0 * u.arcsec
        )
        seconds = []
        for seed in range(n_runs + 1):
            started = time.process_time()
            simulate_optical_bands(
                cluster(0.3),
                config=config,
                position=(150.0, 2.0),
                field=2000 / 60,
                latitude=60.0,
                rng=np.random.default_rng([seed, 41]),
                colours=np.random.default_rng([seed, 42]),
            )
            seconds.append((time.process_time() - started) / len(bands))
        seconds = seconds[1:]
        values = (np.median(seconds), min(seconds), max(seconds))
        rows.append({'survey': survey, 'seconds a band': [round(float(v), 2) for v in values]})
    return rows


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parts = {
        'depth': depths,
        'red sequence': red_sequence,
        'members': members,
        'stars': stars,
        'galaxies': counts,
        'real colours': lambda: real_colours(data_folder(options.data)),
        'speed': speed,
    }
    parser.add_argument('--data')
    parser.add_argument('--only', nargs='+', choices=parts, help='leave the other results')
    options = parser.parse_args()
    file = HERE / 'results' / 'bands.json'
    results = json.loads(file.read_text(encoding='utf-8')) if options.only else {}
    results.update({name: parts[name]() for name in options.only or parts})
    file.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
    print(json.dumps(results, indent=1))


if __name__ == '__main__':
    main()
