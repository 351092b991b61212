# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cutouts a second against reproject, which is given every image cropped first::

    python benchmarks/bench_cutouts.py [--json FILE]

Both sides run in turn, in one process on one core; the best of the rounds counts. The
results are compared as well, since speed without agreement is worth nothing.
"""

import argparse
import json
import os
import time

import numpy as np
from astropy.nddata import CCDData, Cutout2D

from clustercnn import CandidateCatalog, CutoutMaker, XrayImage
from clustercnn.core import tangent_wcs
from clustercnn.testing import tiny_wcs

CASES = {
    'X-ray TAN 4" to 64x64 of 4"': ('xray', 'TAN', 648, 4.0),
    'X-ray SIN 4" to 64x64 of 4"': ('xray', 'SIN', 648, 4.0),
    'optical TAN 1.7" to 128x128 of 2"': ('optical', 'TAN', 1500, 1.7),
    'optical TAN 1" to 128x128 of 2"': ('optical', 'TAN', 2600, 1.0),
}


def make_case(band, projection, n_pixels, scale, *, n_cutouts):
    """
    Return an image, a catalogue on it, and the geometry of the cutouts.
    """
    rng = np.random.default_rng(1)
    wcs = tiny_wcs(shape=(n_pixels, n_pixels), pixel_scale=scale)
    wcs.wcs.ctype = [f'RA---{projection}', f'DEC--{projection}']
    wcs.wcs.set()
    data = rng.poisson(3.0, (n_pixels, n_pixels)).astype(np.float32)
    if band == 'xray':
        image = XrayImage(counts=data, wcs=wcs)
    else:
        image = CCDData(data, unit='adu', wcs=wcs)
    margin = 150 / scale
    sky = wcs.pixel_to_world(*rng.uniform(margin, n_pixels - margin, (2, n_cutouts)))
    return image, data, wcs, CandidateCatalog.from_columns(ra=sky.icrs.ra, dec=sky.icrs.dec)


def with_reproject(data, wcs, catalog, n_pixels, scale):
    """
    Return the cutouts of `reproject.reproject_interp`, each from a piece just large enough.
    """
    from reproject import reproject_interp

    width = 1.1 * n_pixels * scale
    cutouts = []
    for position in catalog.positions:
        piece = Cutout2D(data, position, width, wcs=wcs)
        target = tangent_wcs(position, scale, (n_pixels, n_pixels))
        cutouts.append(
            reproject_interp(
                (piece.data, piece.wcs),
                target,
                shape_out=(n_pixels, n_pixels),
                return_footprint=False,
            )
        )
    return np.array(cutouts)


def run_case(name, *, n_cutouts, n_peer, n_rounds):
    """
    Return one row of the table.
    """
    band = CASES[name][0]
    image, data, wcs, catalog = make_case(*CASES[name], n_cutouts=n_cutouts)
    maker = CutoutMaker()
    n_pixels, scale = maker.geometry_of(band)
    ours, peer = [], []
    for _ in range(n_rounds):
        started = time.perf_counter()
        stack = maker({band: image}, catalog, progress=False)
        ours.append(n_cutouts / (time.perf_counter() - started))
        started = time.perf_counter()
        theirs = with_reproject(data, wcs, catalog[:n_peer], n_pixels, scale)
        peer.append(n_peer / (time.perf_counter() - started))
    row = {
        'case': name,
        'ours': round(max(ours), 1),
        'peer_name': 'reproject_interp, cropped first',
        'peer': round(max(peer), 1),
        'ratio': round(max(ours) / max(peer), 2),
        'unit': 'cutouts/s',
    }
    # averaging is meant to differ from interpolation where image pixels are much finer
    if CASES[name][3] * 1.5 > scale.value:
        factor = (scale.value / CASES[name][3]) ** 2 if band == 'xray' else 1.0
        row['largest_difference'] = float(np.abs(stack[band][:n_peer] - factor * theirs).max())
    return row


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--json', metavar='FILE', help='write the rows there as well')
    parser.add_argument('--cutouts', type=int, default=1000, help='ours, a round')
    parser.add_argument('--peer-cutouts', type=int, default=60, help="the peer's, a round")
    parser.add_argument('--rounds', type=int, default=3)
    options = parser.parse_args()
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    print(f'{"case":36} {"ours":>9} {"peer":>9} {"ratio":>7}  unit')
    for name in CASES:
        row = run_case(
            name,
            n_cutouts=options.cutouts,
            n_peer=options.peer_cutouts,
            n_rounds=options.rounds,
        )
        rows.append(row)
        print(
            f'{name:36} {row["ours"]:9.1f} {row["peer"]:9.1f} {row["ratio"]:7.2f}  '
            f'{row["unit"]} ({row["peer_name"]})'
        )
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as stream:
            json.dump({'stage': 'cutouts', 'rows': rows}, stream, indent=2)


if __name__ == '__main__':
    main()
