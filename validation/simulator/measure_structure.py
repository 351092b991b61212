# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure pile-up, uneven gas and the diffuse Galactic sky of the simulator::

    python validation/simulator/measure_structure.py [--data FOLDER]

Writes ``results/structure.json``: photons lost to pile-up against the formula; how many fields
hold what is rare; structure of *simulated* fields, nebulae and groups beside the real ROSAT
mosaic in Cygnus, G21.5-0.9 and NGC 5044. Nothing in the simulator was fitted to these three.
"""

import argparse
import json
import math
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from fields import data_folder
from scipy import ndimage, stats

from clustercnn.simulate import SimulationConfig, get_mission, simulate_field
from clustercnn.simulate._photons import COMPONENT_DTYPE, POINT, draw_photons
from clustercnn.simulate._pile_up import ISLAND, expected_events, survivors
from clustercnn.simulate._sky import FieldStreams, draw_sky
from clustercnn.simulate._sources import SUBCLASS_NAMES
from clustercnn.simulate.xray import Readout

HERE = Path(__file__).resolve().parent
CYGNUS, PLANE = (304.75, 45.7), (278.4, -10.6)
# mission, camera, counts a second; the limit of the handbook of XMM-Newton where there is one
PILED = (
    ('xmm', 'pn', 2.0),
    ('xmm', 'mos1', 0.5),
    ('chandra', 'acis-i', None),
    ('erosita-pointed', 'tm0', None),
    ('ep', 'fxta', None),
)
RATES = (0.02, 0.1, 0.5, 2.0, 10.0, 50.0)
N_PHOTONS = 100_000
RARE = ('group', 'diffuse', 'plerion', 'dark cloud', 'optical loading')
N_DRAWN = 150
N_SIMULATED = 20
# the exposure of the mosaic is not known; this is long enough that noise does not matter, and
# what is commoner in the simulator than in the sky is left out
MOSAIC = {
    'optical': None,
    'target': 'none',
    'position': CYGNUS,
    'pixel_scale': 12 * u.arcsec,
    'exposure': 150 * u.ks,
    'cluster_boost': 1.0,
    'cluster_tilt': 0.0,
    'galaxy_rate': 0.0,
    'shell_rate': 0.0,
    'group_rate': 0.0,
}
# arcsec
MOSAIC_SCALES = (96, 192, 384, 768)
# over the radius that holds half of the photons
RELATIVE_SCALES = (0.125, 0.25, 0.5)


def share(k, n):
    """
    Return k of n with the 95 % interval of Wilson.
    """
    interval = stats.binomtest(int(k), int(n)).proportion_ci(method='wilson')
    return [round(float(value), 5) for value in (k / n, interval.low, interval.high)]


def pile_up(mission, name, rate):
    """
    Return the photons that a lone source on the axis loses, all and in the core, and the formula.
    """
    mission = get_mission(mission)
    camera = next(one for one in mission.cameras if one.name == name)
    readout = Readout(camera=camera, share=1.0, time=N_PHOTONS / rate)
    psf, size = mission.psf, ISLAND * camera.detector_pixel
    component = np.zeros(1, COMPONENT_DTYPE)
    component['source'], component['kind'], component['axis_ratio'] = 1, POINT, 1.0
    component['n_expected'] = N_PHOTONS
    # photons that a cell about the source would get, so that it lies in the middle of one
    component['x'] = component['y'] = size / 2
    counted = {}

    def keep(source, x, y):
        kept = survivors(source, x, y, readouts=[readout], rng=np.random.default_rng(7))
        core = np.hypot(x - size / 2, y - size / 2) < psf.fwhm / 2
        counted['all'] = share((~kept).sum(), len(kept))
        counted['core'] = share((~kept & core).sum(), core.sum())
        return kept

    flat = np.ones((3, 3))
    draw_photons(
        component,
        psf=psf,
        response=flat,
        live=flat,
        pixel=4 * psf.max_radius,
        center=(1.0, 1.0),
        rng=np.random.default_rng(5),
        keep=keep,
    )
    return {'rate': rate, **counted, 'formula': round(formula(psf, size, rate, camera), 5)}


def formula(psf, size, rate, camera):
    """
    Return the share that is lost by the formula of Davis (2001), summed over the cells.
    """
    n_cells, n_points = 201, 10
    side = ((np.arange(n_cells * n_points) + 0.5) / n_points - n_cells / 2) * size
    squared = side[np.newaxis, :] ** 2 + side[:, np.newaxis] ** 2
    inside = squared < psf.max_radius**2
    value = inside * (1 + squared / psf.core_radius**2) ** -psf.slope
    value = value.reshape(n_cells, n_points, n_cells, n_points).mean(axis=(1, 3)) * size**2
    value *= (psf.slope - 1) / (math.pi * psf.core_radius**2 * psf.norm)
    mean = rate * camera.frame_time / camera.n_telescopes * value
    return float((mean - expected_events(mean)).sum() / mean.sum())


def rare_fields(randomised):
    """
    Return how many of many XMM-Newton fields hold what is rare.
    """
    found = dict.fromkeys((*RARE, 'low latitude'), 0)
    for seed in range(N_DRAWN):
        config = SimulationConfig.randomised(seed) if randomised else SimulationConfig()
        sky = draw_sky(get_mission('xmm'), config, FieldStreams(seed))
        names = {SUBCLASS_NAMES[code] for code in sky.sources.sources()['subclass']}
        found['low latitude'] += abs(sky.latitude) < 15
        for name in RARE:
            found[name] += name in names
    return {name: share(n, N_DRAWN) for name, n in found.items()}


def mosaic_power(intensity, known, pixel):
    """
    Return the mean of an image, and its spread at each scale over the mean.

    Half of the range of 68 % of the differences of two Gaussians, which single sources and
    the noise of single pixels leave alone at these scales.
    """
    mean = intensity[known].mean()
    # ct/s/arcsec2
    power = {'mean': float(f'{mean / pixel**2:.3g}')}
    for scale in MOSAIC_SCALES:
        planes = []
        for width in (scale / 2 / pixel, scale / pixel):
            norm = ndimage.gaussian_filter(known.astype(float), width)
            planes.append(
                ndimage.gaussian_filter(np.where(known, intensity, 0.0), width)
                / np.maximum(norm, 0.1)
            )
        inner = ndimage.gaussian_filter(known.astype(float), scale / pixel) > 0.9
        low, high = np.percentile((planes[0] - planes[1])[inner & known], [16, 84])
        power[f'{scale} arcsec'] = round(float((high - low) / 2 / mean), 4)
    return power


def mosaics(data):
    """
    Return structure of the real mosaic and of simulated ROSAT fields at the same place.
    """
    image = np.nan_to_num(fits.getdata(data / 'rosat_skyview' / 'pspc_skyview.fits.gz'))
    image = image.squeeze().astype(float)
    known = ndimage.binary_erosion(image > 0, iterations=3)
    result = {'real': mosaic_power(image, known, 24.0)}
    for name, settings in (('simulated', {}), ('without', {'diffuse_rate': 0, 'cloud_rate': 0})):
        rows, alone = [], []
        for seed in range(N_SIMULATED):
            config = SimulationConfig(**MOSAIC, **settings)
            field = simulate_field(seed=seed, mission='rosat', config=config)
            rows.append(_field_power(field, field.xray.counts))
            diffuse = field.truth['id'][field.truth['subclass'] == 'diffuse']
            gas = field.origin.image(diffuse, field.xray.shape)
            alone.append(_field_power(field, field.background + gas))
        result[name] = _together(rows)
        if name == 'simulated':
            result['simulated, without point sources and noise'] = _together(alone)
    return result


def _field_power(field, counts):
    # in pixels of the real mosaic
    ny, nx = (size // 2 * 2 for size in counts.shape)
    counts, exposure = (
        plane[:ny, :nx].reshape(ny // 2, 2, nx // 2, 2).sum(axis=(1, 3), dtype=float)
        for plane in (counts, field.exposure / 4)
    )
    seen = exposure > 0.2 * exposure.max()
    return mosaic_power(counts / np.where(seen, exposure, 1), seen, 24.0)


def _together(rows):
    # the middle, and the range of the middle nine in ten
    return {
        name: [float(f'{v:.4g}') for v in np.percentile([row[name] for row in rows], [50, 5, 95])]
        for name in rows[0]
    }


def shape(counts, x, y, aperture):
    """
    Return structure of one object that stands out of its background.

    Parameters
    ----------
    counts : (ny, nx) `~numpy.ndarray`
        Image.
    x, y, aperture : float
        Middle and radius of the circle that is looked at, in pixels.

    Returns
    -------
    statistics : dict of float
        Concentration (radius of 20 over that of 80 % of the photons), departure from the mirror
        image through the middle, and power at scales relative to the radius of half of the
        photons: variance of the image over its radial profile, less that of the noise.
    """
    rows, columns = np.indices(counts.shape)
    for _ in range(3):
        near = np.hypot(columns - x, rows - y) < aperture
        x, y = (np.average(axis[near], weights=counts[near]) for axis in (columns, rows))
    radius = np.hypot(columns - x, rows - y)
    ring = (radius > aperture) & (radius < 1.25 * aperture)
    level = float(counts[ring].mean())
    order = np.argsort(radius[near])
    total = np.cumsum(counts[near][order] - level)
    edges = [
        float(np.interp(part * total[-1], total, radius[near][order])) for part in (0.2, 0.5, 0.8)
    ]
    half = edges[1]
    bins = (radius / max(half / 8, 1.0)).astype(int)
    profile = np.bincount(bins.ravel(), counts.ravel()) / np.bincount(bins.ravel())
    # between the rings by interpolation, so that steps of the profile are no structure
    places = np.bincount(bins.ravel(), radius.ravel()) / np.bincount(bins.ravel())
    model = np.interp(radius, places, profile)
    inside = radius < edges[2]
    result = {'concentration': edges[0] / edges[2]}
    for relative in RELATIVE_SCALES:
        width = relative * half
        smooth = ndimage.gaussian_filter(counts.astype(float), width)
        expected = ndimage.gaussian_filter(model, width)
        # the variance of counts smoothed with a Gaussian is their mean over 4 pi width**2
        noise = ndimage.gaussian_filter(model, width / math.sqrt(2)) / (4 * math.pi * width**2)
        excess = ((smooth - expected) ** 2 - noise) / np.maximum(expected - level, 1e-3) ** 2
        result[f'power at {relative:g} radii'] = float(excess[inside].mean())
    turned = ndimage.map_coordinates(
        ndimage.gaussian_filter(counts.astype(float), 0.25 * half),
        [2 * y - rows, 2 * x - columns],
        order=1,
    )
    smooth = ndimage.gaussian_filter(counts.astype(float), 0.25 * half)
    lopsided = np.abs(smooth - turned)[inside].sum() / (smooth - level)[inside].sum()
    result['mirror image'] = float(lopsided)
    return {name: round(value, 4) for name, value in result.items()}


def objects(data, kind):
    """
    Return the structure of one real object and of simulated ones of its kind.
    """
    file, exposure, pixel, aperture, n_counts = {
        'plerion': ('image2.fits.gz', 7.85, 0.984, None, 3000),
        'group': ('NGC5044_9399_img.fits.gz', 82.7, 1.968, 180.0, 30_000),
    }[kind]
    real = fits.getdata(data / 'chandra' / file).astype(float)
    smooth = ndimage.gaussian_filter(real, 3)
    y, x = np.unravel_index(np.argmax(smooth), real.shape)
    result = {'real': shape(real, x, y, (aperture or 60.0) / pixel)}
    rows, seed = [], 0
    while len(rows) < N_SIMULATED:
        config = SimulationConfig(
            optical=None,
            target=kind,
            position=PLANE if kind == 'plerion' else None,
            exposure=exposure * u.ks,
            pixel_scale=pixel * u.arcsec,
            diffuse_rate=0,
            cloud_rate=0,
        )
        field = simulate_field(seed=seed, mission='chandra', config=config)
        seed += 1
        row = field.truth[0]
        radius = aperture or 1.4 * float(row['core_radius'].value)
        if row['n_counts'] >= n_counts:
            # alone, since gaps between the chips are not in the real images
            alone = field.origin.image([row['id']], field.xray.shape).astype(float)
            weight = np.where(field.exposure > 0, field.exposure / field.exposure.max(), 1.0)
            covered = field.exposure[_circle(field, row, radius)] > 0
            if covered.mean() > 0.93:
                image = alone / weight
                rows.append(shape(image, row['x'], row['y'], radius / pixel))
    result['simulated'] = _together(rows)
    result['fields looked at'] = seed
    return result


def _circle(field, row, radius):
    y, x = np.indices(field.xray.shape)
    reach = radius / float(field.xray.pixel_scale.value)
    return np.hypot(x - row['x'], y - row['y']) < reach


def main():
    """
    Measure all and write the results.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--data', type=Path)
    data = data_folder(parser.parse_args().data)
    results = {
        'pile-up': {
            name: {'limit': limit, 'rows': [pile_up(mission, name, rate) for rate in RATES]}
            for mission, name, limit in PILED
        },
        'fields': {
            'default': rare_fields(randomised=False),
            'randomised': rare_fields(randomised=True),
        },
        'mosaic': mosaics(data),
        'plerion': objects(data, 'plerion'),
        'group': objects(data, 'group'),
    }
    path = HERE / 'results' / 'structure.json'
    path.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
