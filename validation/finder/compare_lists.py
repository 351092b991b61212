# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare what the finders find in real fields with the lists that come with these::

    python validation/finder/compare_lists.py [--data FOLDER] [-o FOLDER]

Writes ``results/lists.json``, and a figure of every field into the folder of ``-o``. Two of
the fields are real, one is *simulated* by others, with SIXTE. The lists are no truth: they are
what somebody else made of the same photons.
"""

import argparse
import csv
import dataclasses
import json
import os
import re
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from scipy import ndimage, special

from clustercnn import SegmentationFinder, WaveletFinder
from clustercnn.io import read_image

HERE = Path(__file__).resolve().parent
DEFAULT = 'wavelet, threshold 5'
FINDERS = {
    DEFAULT: WaveletFinder(),
    'wavelet, 0.5 false alarms': WaveletFinder(false_alarms=0.5),
    'wavelet, 2 false alarms': WaveletFinder(false_alarms=2.0),
    'wavelet, 8 false alarms': WaveletFinder(false_alarms=8.0),
    'wavelet, 30 false alarms': WaveletFinder(false_alarms=30.0),
    'segmentation, threshold 5': SegmentationFinder(),
}
# how far a list is moved to see what matches by chance, in arcsec
SHIFTS = [
    (length * np.cos(angle), length * np.sin(angle))
    for length in (60.0, 120.0)
    for angle in np.deg2rad(np.arange(8) * 45.0)
]
# no second extended source may stand closer to a known cluster, in arcsec
_FRAGMENTS = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """
    An image and what somebody found in it.

    Parameters
    ----------
    image : XrayImage
        The image.
    positions : `~astropy.coordinates.SkyCoord`
        Sources of the list.
    radius : float or 1D `~numpy.ndarray`
        How far from one a candidate may be and still be the same, in arcsec.
    aperture : float
        In which counts are taken at a source that is missed, in arcsec.
    clusters : dict of str to tuple of float
        Name to right ascension, declination in degrees and reach in arcsec.
    columns : `~astropy.table.Table`
        The list, in the order of ``positions``.
    counts : 1D `~numpy.ndarray` or None
        Counts of the sources on the detector as the list has them.
    errors : 1D `~numpy.ndarray` or None
        Their errors.
    position_errors : 1D `~numpy.ndarray` or None
        Errors of the positions along one axis in arcsec.
    """

    image: object
    positions: SkyCoord
    radius: float | np.ndarray
    aperture: float
    clusters: dict
    columns: Table
    counts: np.ndarray | None = None
    errors: np.ndarray | None = None
    position_errors: np.ndarray | None = None


def a1835(data, *, background=False):
    """
    Return A1835 with XMM-Newton MOS2 and 20 excesses of point-like shape.
    """
    folder = data / 'xmm_a1835_mos2'
    image = read_image(
        folder / 'P0098010101M2U009IMAGE_3000.FTZ',
        exposure=folder / 'P0098010101M2U009EXPMAP3000.FTZ',
        background=folder / 'P0098010101M2X000BKGMAP3000.FTZ' if background else None,
    )
    listed = Table.read(folder / 'bright_points_derived.csv', format='ascii.csv')
    return Field(
        image=image,
        positions=SkyCoord(listed['ra'], listed['dec'], unit='deg'),
        radius=12.0,
        aperture=12.0,
        clusters={'A1835': (210.2586, 2.8786, 20.0)},
        columns=listed,
    )


def efeds(data, *, bands=('0600_1100',), mission=None):
    """
    Return a patch of eFEDS and 69 masked sources.

    The exposure of several bands is their mean, weighted with the counts in each.
    """
    folder = data / 'erosita_efeds_patch'
    images = [
        read_image(
            folder / f'img_{band}.fits.gz',
            exposure=folder / f'expmap_norm_{band}.fits.gz',
            mission=mission,
        )
        for band in bands
    ]
    counts = np.array([image.counts for image in images], float)
    exposure = np.average(
        [image.exposure for image in images], axis=0, weights=counts.sum(axis=(1, 2))
    )
    listed = Table.read(folder / 'masked_sources_derived.csv', format='ascii.csv')
    with (data / 'catalogues' / 'eFEDS_clusters_542.csv').open() as lines:
        clusters = {
            row['ID']: (float(row['RA']), float(row['DEC']), 45.0)
            for row in csv.DictReader(lines)
            if row['ID'] in ('eFEDS J092121.2+031726', 'eFEDS J092022.0+030107')
        }
    return Field(
        image=images[0].replace(counts=counts.sum(axis=0), exposure=exposure),
        positions=SkyCoord(listed['ra'], listed['dec'], unit='deg'),
        # blended sources share one mask, of which only the middle is listed
        radius=np.maximum(0.6 * np.asarray(listed['r_eq_arcsec'], float), 30.0),
        aperture=30.0,
        clusters=clusters,
        columns=listed,
    )


def statix(data):
    """
    Return a field of XMM-Newton pn simulated with SIXTE and 13 sources of emldetect.

    Counts are the rate (``PN_1``) times the exposure (``PN_1_EXP``).
    """
    stem = data / 'sim_support' / 'SIMULATED_statix_pnevt'
    image = read_image(f'{stem}-img.fits.gz', exposure=f'{stem}-imgexp.fits.gz')
    with warnings.catch_warnings():
        # of units that no standard knows
        warnings.simplefilter('ignore')
        listed = Table.read(f'{stem}-summarylist_DETML6.fits.gz')
    rate, error, seconds = (
        np.asarray(listed[name], float) for name in ('PN_1', 'PN_1_ERR', 'PN_1_EXP')
    )
    return Field(
        image=image,
        positions=SkyCoord(np.asarray(listed['RA']), np.asarray(listed['DEC']), unit='deg'),
        radius=12.0,
        aperture=12.0,
        clusters={},
        columns=listed,
        counts=rate * seconds,
        errors=error * seconds,
        # emldetect gives the radial error, the square root of the sum over both axes
        position_errors=np.asarray(listed['RADEC_ERR'], float) / np.sqrt(2),
    )


FIELDS = {
    'A1835, XMM-Newton MOS2, 1-2 keV': a1835,
    'A1835 with the background map of the pipeline': lambda data: a1835(data, background=True),
    'eFEDS patch, 0.6-1.1 keV, mission unknown': efeds,
    'eFEDS patch, 0.6-1.1 keV': lambda data: efeds(data, mission='eROSITA'),
    'eFEDS patch, 0.3-2.2 keV': lambda data: efeds(
        data, bands=('0300_0600', '0600_1100', '1100_1600', '1600_2200'), mission='eROSITA'
    ),
    'simulated with SIXTE, XMM-Newton pn, 0.5-2 keV': statix,
}


def match(positions, others, radius):
    """
    Pair positions with the nearest of others, closest pairs first and each once.

    Parameters
    ----------
    positions, others : `~astropy.coordinates.SkyCoord`
        What to pair.
    radius : float or 1D `~numpy.ndarray`
        In arcsec, one for all positions or one for each.

    Returns
    -------
    partner : 1D `~numpy.ndarray` of int
        Number among the others for each position, -1 where there is none.
    """
    partner = np.full(len(positions), -1)
    if not len(positions) or not len(others):
        return partner
    apart = positions[:, None].separation(others).arcsec
    apart = np.where(apart <= np.reshape(radius, (-1, 1)), apart, np.inf)
    for number in np.argsort(apart, axis=None, kind='stable'):
        one, other = np.unravel_index(number, apart.shape)
        if np.isinf(apart[one, other]):
            break
        if partner[one] < 0 and other not in partner:
            partner[one] = other
    return partner


def rate(hits, n):
    """
    Return a share with its 95 per cent interval (Wilson 1927).

    Parameters
    ----------
    hits, n : int
        How many, and out of how many.

    Returns
    -------
    share : dict
        Numbers and bounds.
    """
    if n == 0:
        return {'hits': 0, 'n': 0, 'share': None, 'from': 0.0, 'to': 1.0}
    share, z = hits / n, 1.96
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return {
        'hits': int(hits),
        'n': int(n),
        'share': round(share, 4),
        'from': round(float(max(centre - half, 0)), 4),
        'to': round(float(min(centre + half, 1)), 4),
    }


def by_chance(field, catalog):
    """
    Return how many sources of the list have a partner when the list is moved.
    """
    hits = n = 0
    for east, north in SHIFTS:
        moved = field.positions.spherical_offsets_by(east * u.arcsec, north * u.arcsec)
        exposed = _exposed(field.image, moved)
        hits += int((match(moved, catalog.positions, field.radius)[exposed] >= 0).sum())
        n += int(exposed.sum())
    return rate(hits, n)


def _pixels(image, positions):
    return (np.asarray(at, float) for at in image.wcs.world_to_pixel(positions))


def _exposed(image, positions):
    """
    Return which positions lie on exposed pixels.
    """
    x, y = (np.rint(at).astype(int) for at in _pixels(image, positions))
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    inside[inside] = image.valid[y[inside], x[inside]]
    return inside


def known_cluster(name, place, catalog):
    """
    Return what stands at a known cluster, and how many extended sources are near.
    """
    ra, dec, reach = place
    apart = catalog.positions.separation(SkyCoord(ra, dec, unit='deg')).arcsec
    extended = catalog.extended()
    near = np.flatnonzero((apart < reach) & extended)
    others = int(((apart < _FRAGMENTS) & extended).sum()) - len(near)
    row = {
        'name': name,
        'within_arcsec': reach,
        'extended_within': len(near),
        'extended_beside': others,
        'point_like_within_60_arcsec': int(((apart < _FRAGMENTS) & ~extended).sum()),
        'one_extended_source': len(near) == 1 and others == 0,
    }
    at_all = near if len(near) else np.flatnonzero(apart < reach)
    if len(at_all):
        nearest = at_all[np.argmin(apart[at_all])]
        row['separation_arcsec'] = round(float(apart[nearest]), 1)
        row |= _numbers(catalog, nearest, ('counts', 'extent', 'det_like', 'ext_like'))
    return row


def _numbers(catalog, index, names):
    return {name: round(float(np.asarray(catalog[name])[index]), 1) for name in names}


def at_missed(field, catalog, index, background):
    """
    Say what is seen at a source of the list that was not found.

    Parameters
    ----------
    field : Field
        The field.
    catalog : CandidateCatalog
        What was found.
    index : int
        Number of the source in the list.
    background : 2D `~numpy.ndarray`
        Expected counts per pixel.

    Returns
    -------
    row : dict
        Counts in the aperture, what is expected there, and the most probable reason.
    """
    image = field.image
    scale = image.pixel_scale.value
    position = field.positions[index]
    x, y = _pixels(image, position)
    rows, columns = np.indices(image.shape)
    inside = np.hypot(rows - y, columns - x) * scale <= field.aperture
    counts = float(image.counts[inside & image.valid].sum())
    expected = float(background[inside & image.valid].sum())
    area = np.pi * (field.aperture / scale) ** 2
    exposed = min(float((inside & image.valid).sum() / area), 1.0)
    sigma = 0.0
    if counts > expected > 0:
        sigma = float(-special.ndtri(max(special.gammainc(counts, expected), 1e-300)))
    row = {
        'number': index + 1,
        'ra': round(float(position.ra.deg), 5),
        'dec': round(float(position.dec.deg), 5),
        'counts': counts,
        'expected': round(expected, 1),
        'sigma': round(sigma, 1),
        'exposed': round(exposed, 2),
    }
    apart = position.separation(catalog.positions).arcsec
    reason = 'stands out, not found'
    if sigma < catalog.meta['threshold_sigma']:
        reason = 'below the threshold'
    if exposed < 0.75:
        reason = 'at an edge'
    if len(apart):
        nearest = int(np.argmin(apart))
        row['nearest_arcsec'] = round(float(apart[nearest]), 1)
        row |= {
            f'nearest_{name}': value
            for name, value in _numbers(catalog, nearest, ('counts', 'extent')).items()
        }
        reach = np.maximum(2 * field.aperture, 2 * np.asarray(catalog['extent']))
        if (apart < reach).any():
            reason = 'beside or within another source'
        # as far as the models of extended sources go
        elif (apart < 12 * np.asarray(catalog['extent'])).any() and reason.startswith('stands'):
            reason = 'on the halo of an extended source'
    return row | {'reason': reason}


def beyond(field, catalog, partner, background):
    """
    Return what was found that is not in the list, and where it stands.
    """
    taken = np.zeros(len(catalog), bool)
    taken[partner[partner >= 0]] = True
    places = [SkyCoord(ra, dec, unit='deg') for ra, dec, _ in field.clusters.values()]
    for place, (_, _, reach) in zip(places, field.clusters.values(), strict=True):
        taken |= catalog.positions.separation(place).arcsec < reach
    scale = field.image.pixel_scale.value
    edge = ndimage.distance_transform_edt(np.pad(field.image.valid, 1))[1:-1, 1:-1] * scale
    rows = []
    for index in np.flatnonzero(~taken):
        x, y = (round(float(np.asarray(catalog[axis])[index])) for axis in 'xy')
        row = _numbers(
            catalog,
            index,
            ('x', 'y', 'counts', 'counts_err', 'significance', 'det_like', 'extent', 'ext_like'),
        )
        row['edge_arcsec'] = round(float(edge[y, x]), 1)
        row['background'] = round(float(background[y, x]), 3)
        row['flags'] = list(catalog[int(index)].flag_names)
        if places:
            row['to_cluster_arcsec'] = round(
                min(float(catalog.positions[index].separation(place).arcsec) for place in places)
            )
        rows.append(row)
    return rows


def _shared_numbers(field, catalog, partner):
    """
    Return how counts and positions of the sources in both compare.
    """
    rows = []
    for index in np.flatnonzero(partner >= 0):
        other = partner[index]
        apart = float(field.positions[index].separation(catalog.positions[other]).arcsec)
        error = np.hypot(field.position_errors[index], np.asarray(catalog['pos_err'])[other])
        rows.append(
            {
                'number': int(index) + 1,
                'counts_of_list': round(float(field.counts[index]), 1),
                **_numbers(catalog, other, ('counts', 'counts_err', 'det_like', 'extent')),
                'counts_ratio': round(
                    float(np.asarray(catalog['counts'])[other] / field.counts[index]), 2
                ),
                'offset_arcsec': round(apart, 1),
                'offset_in_errors': round(apart / float(error), 2),
            }
        )
    return rows


def compare(field):
    """
    Return how each finder compares with the list of a field.

    Parameters
    ----------
    field : Field
        The field.

    Returns
    -------
    results : dict
        Numbers by finder.
    catalogs : dict of str to CandidateCatalog
        What each finder found.
    """
    radius = np.unique(field.radius)
    results = {'list': len(field.positions), 'radius_arcsec': [radius[0], radius[-1]]}
    catalogs = {}
    background = FINDERS[DEFAULT].view(field.image).background
    for name, finder in FINDERS.items():
        catalogs[name] = catalog = finder(field.image)
        partner = match(field.positions, catalog.positions, field.radius)
        found = partner >= 0
        point_like = ~catalog.extended()[partner[found]]
        others = beyond(field, catalog, partner, background)
        row = {
            'sources': len(catalog),
            'extended': int(catalog.extended().sum()),
            'threshold_sigma': round(float(catalog.meta['threshold_sigma']), 2),
            'recovered': rate(int(found.sum()), len(found)),
            'point_like': int(point_like.sum()),
            'by_chance': by_chance(field, catalog),
            'clusters': [known_cluster(*one, catalog) for one in field.clusters.items()],
            'not_listed': len(others),
            'not_listed_at_edge_or_gap': sum(
                bool({'EDGE', 'GAP'} & set(other['flags'])) for other in others
            ),
        }
        if name == DEFAULT:
            row['missed'] = [
                at_missed(field, catalog, int(index), background)
                for index in np.flatnonzero(~found)
            ]
            row['others'] = others
        if field.counts is not None:
            row['shared'] = _shared_numbers(field, catalog, partner)
        results[name] = row
    return results, catalogs


def _written(outcome):
    """
    Return results as JSON with a line for every source.
    """
    text = json.dumps(outcome, indent=1)
    # what holds nothing further goes on one line
    return re.sub(r'[{\[][^{}\[\]]*[}\]]', lambda part: ' '.join(part[0].split()), text)


def show(name, results):
    """
    Print what was found in a field.
    """
    low, high = results['radius_arcsec']
    print(f'\n{name}: {results["list"]} listed, matched within {low:g} to {high:g} arcsec')
    print(f'{"finder":28s} {"sources":>7s} {"ext.":>5s} {"recovered, 95 % interval":>28s}'
          f' {"point":>5s} {"chance":>7s} {"extra":>5s} {"at gap":>6s}')  # fmt: skip
    rows = {key: value for key, value in results.items() if isinstance(value, dict)}
    for key, row in rows.items():
        share = row['recovered']
        text = f'{share["hits"]}/{share["n"]} {share["share"]:.2f} ({share["from"]:.2f}-'
        print(f'{key:28s} {row["sources"]:7d} {row["extended"]:5d} '
              f'{text + format(share["to"], ".2f") + ")":>28s} {row["point_like"]:5d} '
              f'{row["by_chance"]["share"]:7.3f} {row["not_listed"]:5d} '
              f'{row["not_listed_at_edge_or_gap"]:6d}')  # fmt: skip
        for cluster in row['clusters']:
            state = 'one extended source' if cluster['one_extended_source'] else (
                f'{cluster["extended_within"]} extended, {cluster["extended_beside"]} beside'
            )  # fmt: skip
            print(f'    {cluster["name"]}: {state}, ext_like {cluster.get("ext_like", "-")}')
        for one in row.get('missed', ()):
            print('    missed', ', '.join(f'{k} {v}' for k, v in one.items()))
        if key == DEFAULT:
            for one in row.get('shared', ()):
                print('    shared', ', '.join(f'{k} {v}' for k, v in one.items()))
            for one in row['others']:
                print('    extra ', ', '.join(f'{k} {v}' for k, v in one.items()))


def draw(name, field, catalog, path):
    """
    Draw a field with what was found and what was listed.

    Parameters
    ----------
    name : str
        Of the field.
    field : Field
        The field.
    catalog : CandidateCatalog
        What was found.
    path : `~pathlib.Path`
        Where the figure goes.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle

    image = field.image
    scale = image.pixel_scale.value
    smooth = ndimage.gaussian_filter(
        np.where(image.valid, image.counts, 0).astype(float), 7.0 / scale
    )
    low, high = np.percentile(smooth[image.valid], [30, 99.8])
    low = max(low, high / 300)
    shown = np.where(image.valid, np.log10(np.clip(smooth, low, None)), np.nan)
    rows, columns = np.nonzero(image.valid)
    height = 7.0 * np.ptp(rows) / np.ptp(columns) + 1.2
    figure = Figure(figsize=(7.5, height), layout='constrained')
    axes = figure.subplots()
    axes.set_facecolor('0.85')
    axes.imshow(shown, origin='lower', cmap='Greys', vmin=np.log10(low), vmax=np.log10(high),
                interpolation='nearest', rasterized=True)  # fmt: skip
    drawn = (np.asarray(catalog[key]) for key in ('x', 'y', 'extent'))
    for x, y, extent, wide in zip(*drawn, catalog.extended(), strict=True):
        # points get a circle that can be seen
        radius, colour = (extent, 'tab:green') if wide else (14.0, 'tab:red')
        radius = max(radius, 10.0) / scale
        axes.add_patch(Circle((x, y), radius=radius, fill=False, color=colour, lw=1.4))
    axes.plot(*_pixels(image, field.positions), ls='', marker='x', ms=6, mew=1.1, c='tab:blue')
    for ra, dec, _ in field.clusters.values():
        place = _pixels(image, SkyCoord(ra, dec, unit='deg'))
        axes.plot(*([at] for at in place), ls='', marker='+', ms=15, mew=1.3, c='tab:orange')
    axes.set(xlim=(columns.min() - 5, columns.max() + 5), ylim=(rows.min() - 5, rows.max() + 5))
    axes.set(xlabel=f'column, pixels of {scale:.3g} arcsec', ylabel='row')
    axes.set_title(f'{name}\n{DEFAULT}: {len(catalog)} sources', fontsize=10)

    def mark(marker, colour, **kwargs):
        return Line2D([], [], ls='', marker=marker, color=colour, **kwargs)

    handles = {
        'found, point-like': mark('o', 'tab:red', mfc='none', ms=9),
        'found, extended (core radius)': mark('o', 'tab:green', mfc='none', ms=9),
        f'listed ({len(field.positions)})': mark('x', 'tab:blue', ms=7),
        'known cluster': mark('+', 'tab:orange', ms=12, mew=1.3),
    }
    if not field.clusters:
        del handles['known cluster']
    figure.legend(handles.values(), handles.keys(), loc='outside lower center', ncols=4, fontsize=8)
    figure.savefig(path, dpi=100, bbox_inches='tight')


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path, default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    parser.add_argument('-o', '--output', type=Path, help='folder for the figures')
    parser.add_argument(
        '--json', type=Path, default=HERE / 'results' / 'lists.json', help='for the numbers'
    )
    options = parser.parse_args()
    if options.data is None:
        parser.error('the fields are needed: name their folder with --data')
    outcome = {}
    for number, (name, make) in enumerate(FIELDS.items()):
        field = make(Path(options.data))
        outcome[name], catalogs = compare(field)
        show(name, outcome[name])
        if options.output is not None:
            options.output.mkdir(parents=True, exist_ok=True)
            draw(name, field, catalogs[DEFAULT], options.output / f'lists_{number + 1}.png')
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(_written(outcome) + '\n')


if __name__ == '__main__':
    main()
