# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare the X-ray side of the simulator with real fields::

    python validation/simulator/measure_xray.py [--data FOLDER] [--fields N] [--only PART]

Writes ``results/xray.json``, part by part: pixel counts and wavelet power of simulated fields
beside real ones, encircled energy beside the calibration tables of EPIC, the number counts of
AGN that the finder recovers from simulated fields.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from astropy.table import Table
from fields import FIELDS, data_folder, field_rows, find, quiet_part, read_field, source_mask, twin

from clustercnn.evaluation import wilson_interval
from clustercnn.finding._starlet import smooth
from clustercnn.simulate import SimulationConfig, agn_number_counts, get_mission, simulate_field
from clustercnn.simulate._photons import COMPONENT_DTYPE, POINT, draw_photons

HERE = Path(__file__).resolve().parent
N_SCALES = 5
# sides of the blocks of sky that are resampled, in arcsec
BLOCK = 200.0
N_RESAMPLES = 400
CAMERAS = {'pn': 'EPN', 'mos1': 'EMOS1', 'mos2': 'EMOS2'}
SHARES = {'EEF60': 0.6, 'EEF70': 0.7, 'EEF80': 0.8}
RINGS = (0.0, 3.0, 6.0, 9.0, 12.0, 15.0)
FLUXES = (3e-15, 5e-15, 8e-15, 1.3e-14, 2e-14, 4e-14, 1e-13)


def blocks_of(part, scale):
    """
    Number the blocks of sky that the pixels of a part lie in, and count those.
    """
    side = max(1, round(BLOCK / scale))
    row, column = np.nonzero(part)
    name = (row // side) * 10_000 + column // side
    _, number = np.unique(name, return_inverse=True)
    return number, int(number.max()) + 1


def pixel_sums(counts):
    """
    Return for each pixel what `pixel_statistics` needs the sums of, shape (n_pixels, 7).
    """
    few = [counts == n for n in range(4)]
    return np.stack([counts, counts**2, *few, counts >= 4], axis=1).astype(float)


def pixel_statistics(sums, n_pixels):
    """
    Return the shares of pixels with 0, 1, ... counts, and variance over mean.
    """
    mean, square, *shares = sums / n_pixels
    names = [*(f'share with {n}' for n in range(4)), 'share with 4 or more']
    ratio = (square - mean**2) / mean
    return {'mean': mean, **dict(zip(names, shares, strict=True)), 'variance / mean': ratio}


def wavelet_planes(image, part):
    """
    Return squared wavelet coefficients over those of Poisson noise, and where they are known.

    The rate is smoothed as counts over exposure, so that gaps and masked sources make no power.
    The expected power is that of the smoothing kernels for the mean rate of the part.
    """
    exposure = image.exposure.astype(float) / image.exposure.max() * part
    counts = image.counts * part
    rate = counts.sum() / exposure.sum()
    planes = []
    noise = np.random.default_rng(1).poisson(rate * exposure, (3, *counts.shape))
    for scale in range(N_SCALES):
        known = part & (_smooth(part.astype(float), scale + 1) > 0.6)
        fine, coarse = (_smooth(exposure, scale + step) for step in (0, 1))

        def wavelet(data, scale=scale, known=known, fine=fine, coarse=coarse):
            result = np.zeros(data.shape)
            ratio = _smooth(data, scale)[known] / fine[known]
            result[known] = ratio - _smooth(data, scale + 1)[known] / coarse[known]
            return result

        expected = np.mean([np.mean(wavelet(one)[known] ** 2) for one in noise.astype(float)])
        planes.append((wavelet(counts) ** 2 / expected, known))
    return planes


def _smooth(data, scale):
    # the scaling function of scale 0 is a pixel
    return np.asarray(smooth(data, scale), float) if scale else np.asarray(data, float)


def resampled(values, blocks, n_blocks, statistic, rng):
    """
    Return a statistic of sums over pixels with a 95 % interval from resampling blocks of sky.
    """
    values = np.asarray(values, float).reshape(len(values), -1)
    sums = np.stack([np.bincount(blocks, column, n_blocks) for column in values.T], axis=1)
    sizes = np.bincount(blocks, minlength=n_blocks)
    drawn = []
    for _ in range(N_RESAMPLES):
        chosen = rng.integers(0, n_blocks, n_blocks)
        drawn.append(statistic(sums[chosen].sum(axis=0), sizes[chosen].sum()))
    middle = statistic(values.sum(axis=0), len(values))
    return {
        name: [
            round(float(v), 5)
            for v in (middle[name], *np.percentile([one[name] for one in drawn], [2.5, 97.5]))
        ]
        for name in middle
    }


def _mean_of(name):
    return lambda sums, n_pixels: {name: float(sums[0]) / n_pixels}


def one_image(image, field, catalog, *, intervals):
    """
    Return pixel statistics and wavelet power of one image, with sources and without.

    Intervals by block if asked for, else plain values.
    """
    rng = np.random.default_rng(2)
    scale = float(image.pixel_scale.value)
    quiet = quiet_part(image, field)
    result = {}
    for name, part in (
        ('with sources', quiet),
        ('without sources', quiet & ~source_mask(image, catalog)),
    ):
        values = pixel_sums(image.counts[part])
        entry = {}
        if intervals:
            number, n_blocks = blocks_of(part, scale)
            entry['pixels'] = resampled(values, number, n_blocks, pixel_statistics, rng)
        else:
            entry['pixels'] = pixel_statistics(values.sum(axis=0), len(values))
        power = {}
        for step, (plane, known) in enumerate(wavelet_planes(image, part)):
            label = f'{scale * 2**step:.0f} arcsec'
            values = plane[known]
            if intervals:
                number, n_blocks = blocks_of(known, scale)
                power |= resampled(values, number, n_blocks, _mean_of(label), rng)
            else:
                power |= _mean_of(label)([values.sum()], len(values))
        entry['wavelet power'] = power
        result[name] = entry
    result['sources'] = int(quiet[_pixels(catalog)].sum())
    return result


def _pixels(catalog):
    return tuple(np.rint(np.asarray(catalog[name])).astype(int) for name in ('y', 'x'))


def match_background(field, image, catalog):
    """
    Return the factor that gives the simulated field the level of the real one between sources.
    """
    part = quiet_part(image, field) & ~source_mask(image, catalog)
    wanted = image.counts[part].sum() / image.exposure[part].sum() * image.exposure.max()
    factor = 1.0
    for _ in range(2):
        levels = []
        for seed in (901, 902):
            other = twin(field, image, seed, background_factor=factor)
            part = quiet_part(other, field) & ~source_mask(other, find(other))
            exposure = other.exposure[part].sum() / other.exposure.max()
            levels.append(other.counts[part].sum() / exposure)
        factor *= wanted / np.mean(levels)
    return round(float(factor), 3)


def compare_fields(data, n_fields):
    """
    Return the statistics of real and simulated fields.
    """
    results = {}
    for name, field in FIELDS.items():
        if field.mission == 'chandra':
            # all of that chip is gas: there is no sky to compare
            continue
        image = read_field(field, data)
        catalog = find(image)
        factor = match_background(field, image, catalog)
        rows = []
        for seed in range(n_fields):
            other = twin(field, image, seed, background_factor=factor)
            rows.append(one_image(other, field, find(other), intervals=False))
        real = one_image(image, field, catalog, intervals=True)
        results[name] = {
            'background_factor': factor,
            'fields': n_fields,
            'real': real,
            'simulated': _together(rows),
        }
        print(name, factor, real['sources'], results[name]['simulated']['sources'], flush=True)
    return results


def _together(rows):
    first = rows[0]
    if not isinstance(first, dict):
        return field_rows(rows)
    return {name: _together([row[name] for row in rows]) for name in first}


def encircled_energy(data, n_photons=200_000):
    """
    Return ellipses that hold 60 to 80 % of the photons at 1.5 keV, simulated and as calibrated.

    The tables hold for each place the semi-major axis, the ellipticity and the angle.
    """
    psf = get_mission('xmm').psf
    rng = np.random.default_rng(3)
    rows = []
    for low, high in itertools.pairwise(RINGS):
        for camera, code in CAMERAS.items():
            table = Table.read(data / 'sim_support' / f'psf_{code}_1500.fits.gz', hdu=1)
            # detector coordinates are in 0.05 arcsec
            away = np.hypot(table['DETX'], table['DETY']) * 0.05 / 60
            here = (away >= low) & (away < high) & (table['EEF60'][:, 0] > 0)
            if here.sum() < 3:
                continue
            simulated = _ellipses(psf, float(np.median(away[here])), n_photons)
            row = {'camera': camera, 'off_axis': [low, high], 'places': int(here.sum())}
            real = {
                f'{share:.0%}': np.asarray(table[name][here, 0], float)
                for name, share in SHARES.items()
            }
            real['axis ratio'] = 1 - np.asarray(table['EEF60'][here, 1], float)
            for name, values in real.items():
                drawn = np.median(rng.choice(values, (N_RESAMPLES, len(values))), axis=1)
                interval = np.percentile(drawn, [2.5, 97.5])
                row[name] = {
                    'real': [round(float(v), 2) for v in (np.median(values), *interval)],
                    'simulated': round(float(simulated[name]), 2),
                }
            rows.append(row)
    return rows


def _ellipses(psf, angle, n_photons):
    """
    Return the semi-major axes that hold shares of the photons, and their axis ratio.
    """
    component = np.zeros(1, COMPONENT_DTYPE)
    component['source'], component['kind'] = 1, POINT
    component['n_expected'], component['x'] = n_photons, angle * 60
    pixel, half = 0.5, 700
    flat = np.ones((2 * half + 1, 2 * half + 1))
    _, index = draw_photons(
        component,
        psf=psf,
        response=flat,
        live=flat,
        pixel=pixel,
        center=(half - angle * 60 / pixel, float(half)),
        rng=np.random.default_rng(4),
    )
    line, column = np.divmod(index, 2 * half + 1)
    # radial is along x
    radial, tangential = (column - half) * pixel, (line - half) * pixel
    ratio = np.median(np.abs(radial)) / np.median(np.abs(tangential))
    radius = np.hypot(radial / ratio, tangential)
    return {f'{share:.0%}': np.quantile(radius, share) for share in SHARES.values()} | {
        'axis ratio': ratio
    }


def agn_recovered(n_fields):
    """
    Return the number counts of AGN that went into fields and that the finder gives back.

    Fluxes are those of the counts of the finder over the exposure at the place.
    """
    config = SimulationConfig(
        target='none', cluster_boost=1.0, cluster_tilt=0.0, optical=None, artefact_rate=0.0
    )
    mission = get_mission('xmm')
    rate = sum(camera.rate for camera in mission.cameras)
    truth, found, area, ratios = [], [], 0.0, []
    for seed in range(7000, 7000 + n_fields):
        field = simulate_field(seed=seed, config=config)
        catalog = find(field.xray)
        matches = field.match(catalog)
        seen = field.exposure > 0.3 * field.exposure.max()
        area += seen.sum() * (float(field.xray.pixel_scale.value) / 3600) ** 2
        # counts are those on the detector
        # a candidate in a gap has no exposure, and is not in the area either
        exposure = np.maximum(np.asarray(catalog['exposure'], float), 1.0)
        flux = np.asarray(catalog['counts'], float) / exposure / rate
        inside = seen[_pixels(catalog)]
        point = np.nan_to_num(np.asarray(catalog['extent'], float)) == 0
        found.append(flux[inside & point])
        rows = field.truth
        x, y = (np.rint(rows[name]).astype(int) for name in ('x', 'y'))
        ny, nx = seen.shape
        within = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
        within[within] &= seen[y[within], x[within]]
        agn = within & (rows['class'] == 'point')
        source = np.asarray(matches['source_id'])
        truth.append(
            np.stack(
                [
                    rows['flux'].value[agn],
                    np.isin(rows['id'][agn], source[np.asarray(matches['primary'])]),
                ]
            )
        )
        best = np.flatnonzero(matches['primary'] & (matches['class'] == 'point') & inside)
        ratios.append(np.stack([rows['flux'].value[source[best] - 1], flux[best]], axis=1))
    truth, found, ratios = (
        np.concatenate(truth, axis=1),
        np.concatenate(found),
        np.concatenate(ratios),
    )
    result = {'fields': n_fields, 'area_deg2': round(area, 3), 'exposure_ks': 20.0, 'bins': []}
    for low, high in itertools.pairwise(FLUXES):
        here = (truth[0] >= low) & (truth[0] < high)
        n_in, n_found = int(here.sum()), int(((found >= low) & (found < high)).sum())
        pair = ratios[(ratios[:, 0] >= low) & (ratios[:, 0] < high)]
        measured = ratios[(ratios[:, 1] >= low) & (ratios[:, 1] < high)]
        n_seen = int(truth[1][here].sum())
        result['bins'].append(
            {
                'flux': [low, high],
                'published': round(
                    float(agn_number_counts(low) - agn_number_counts(high)) * area, 1
                ),
                'in': n_in,
                'found': n_found,
                # of a Poisson number
                'found_interval': [
                    round(n_found + s * 1.96 * np.sqrt(max(n_found, 1)), 1) for s in (-1, 1)
                ],
                'detected': [
                    n_seen / max(n_in, 1),
                    *map(float, wilson_interval(n_seen, max(n_in, 1))),
                ],
                'flux_out_over_in': _median(pair[:, 1] / pair[:, 0]),
                'flux_in_over_out': _median(measured[:, 0] / measured[:, 1]),
            }
        )
    return result


def _median(values):
    """
    Return the median with the 95 % interval of the order statistics.
    """
    if len(values) < 6:
        return None
    values = np.sort(values)
    half = 0.98 * np.sqrt(len(values))
    places = (len(values) / 2 - half, len(values) / 2 + half)
    low, high = (int(np.clip(round(p), 0, len(values) - 1)) for p in places)
    return [round(float(v), 3) for v in (np.median(values), values[low], values[high])]


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path)
    parser.add_argument('--fields', type=int, default=6, help='simulated fields a comparison')
    parser.add_argument('--only', choices=('fields', 'encircled energy', 'agn'))
    options = parser.parse_args()
    data = data_folder(options.data)
    parts = {
        'fields': lambda: compare_fields(data, options.fields),
        'encircled energy': lambda: encircled_energy(data),
        'agn': lambda: agn_recovered(options.fields + 2),
    }
    path = HERE / 'results' / 'xray.json'
    path.parent.mkdir(exist_ok=True)
    for name, measure in parts.items():
        if options.only in (None, name):
            part = measure()
            results = json.loads(path.read_text()) if path.exists() else {}
            results[name] = part
            path.write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
