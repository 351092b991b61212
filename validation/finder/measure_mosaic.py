# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure time and memory of the finders on a large *simulated* mosaic::

    python validation/finder/measure_mosaic.py [--size PIXELS] [-o FILE]

Writes ``results/mosaic.json``: the wavelet finder in processes of its own, once with images worked
on in blocks of rows, and once with each image in one block; whether both catalogues are the
same in every column; and the segmentation finder in a process of its own. The memory is all that
is resident, the image and Python included.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import astropy.units as u
import numpy as np

from clustercnn import SegmentationFinder, WaveletFinder, XrayImage
from clustercnn.finding import _convolve
from clustercnn.simulate import get_mission
from clustercnn.testing import tiny_wcs

HERE = Path(__file__).resolve().parent
FINDERS = {'wavelet': WaveletFinder, 'segmentation': SegmentationFinder}
PIXEL = 4.0  # arcsec
# of one pointing: reach of the exposure and where its vignetting is a half, in arcmin
_REACH, _HALF_LIGHT = 14.0, 13.0
_EXPOSURE, _BACKGROUND, _MISSING = 2e4, 0.15, 0.1
# on a million pixels, and the share of them that are clusters
_SOURCES, _CLUSTERS = 60, 0.2
_ROWS = 256
_MOST_MEMORY = 2e9


def mosaic(folder, size, seed=1):
    """
    Make a mosaic of overlapping pointings and write it as arrays.

    Parameters
    ----------
    folder : `pathlib.Path`
        Where to.
    size : int
        Pixels on a side.
    seed : int, optional
        For everything.

    Returns
    -------
    n_sources : int
        How many were drawn.
    """
    rng = np.random.default_rng(seed)
    exposure = _exposure(size, rng)
    response = exposure / exposure.max()
    expected = _BACKGROUND * response
    n_sources = round(_SOURCES * size**2 / 1e6)
    stamps = {}
    for _ in range(n_sources):
        place = rng.integers(0, size, 2)
        counts = 25 * (1 - rng.random()) ** (-1 / 1.4)
        radius = 0.0
        if rng.random() < _CLUSTERS:
            # of twelve sizes, behind the PSF
            radius = 8.0 * 1.2 ** rng.integers(0, 12)
            counts *= 4
        if radius not in stamps:
            stamps[radius] = _stamp(radius)
        _add(expected, min(counts, 3e4) * stamps[radius], place, response)
    counts = np.empty_like(expected)
    for start in range(0, size, _ROWS):
        counts[start : start + _ROWS] = rng.poisson(expected[start : start + _ROWS])
    np.save(folder / 'counts.npy', counts)
    np.save(folder / 'exposure.npy', exposure)
    return n_sources


def _exposure(size, rng):
    """
    Return the exposure of pointings on a loose grid that overlap; some are missing.
    """
    exposure = np.zeros((size, size), np.float32)
    reach = round(_REACH * 60 / PIXEL)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * PIXEL / 60
    distance = np.hypot(x, y)
    pointing = np.where(distance < _REACH, 1 / (1 + (distance / _HALF_LIGHT) ** 2), 0)
    pointing = pointing.astype(np.float32)
    step = round(1.3 * reach)
    for row in range(0, size + step, step):
        for column in range(0, size + step, step):
            if rng.random() < _MISSING:
                continue
            place = np.array([row, column]) + rng.integers(-reach // 8, reach // 8 + 1, 2)
            _add(exposure, _EXPOSURE * rng.uniform(0.5, 1.5) * pointing, place)
    return exposure


def _stamp(radius):
    """
    Return a beta model of a core radius in arcsec behind the PSF of XMM-Newton.
    """
    psf = get_mission('xmm').psf
    half = int(np.ceil((60 + 8 * radius) / PIXEL))
    # pixels are divided into three
    y, x = np.mgrid[-3 * half - 1 : 3 * half + 2, -3 * half - 1 : 3 * half + 2] * PIXEL / 3
    squared = x**2 + y**2
    image = (1 + squared / psf.core_radius**2) ** -psf.slope
    if radius > 0:
        beta = (1 + squared / radius**2) ** -1.5
        padded = [2 * size for size in beta.shape]
        image = np.fft.irfft2(np.fft.rfft2(beta, padded) * np.fft.rfft2(image, padded), padded)
        low = 3 * half + 1
        image = image[low : low + len(x), low : low + len(x)]
    image = image.reshape(2 * half + 1, 3, 2 * half + 1, 3).sum(axis=(1, 3))
    return (image / image.sum()).astype(np.float32)


def _add(image, stamp, place, response=None):
    """
    Add a stamp about a row and a column to that part of an image that it covers.
    """
    here, there = [], []
    for middle, side, size in zip(place, stamp.shape, image.shape, strict=True):
        start = int(middle) - side // 2
        low, high = max(start, 0), min(start + side, size)
        if high <= low:
            return
        here.append(slice(low, high))
        there.append(slice(low - start, high - start))
    here, there = tuple(here), tuple(there)
    image[here] += stamp[there] if response is None else stamp[there] * response[here]


def _loaded(folder):
    """
    Return the mosaic as an image.
    """
    planes = {name: np.load(folder / f'{name}.npy') for name in ('counts', 'exposure')}
    for plane in planes.values():
        # what cannot be changed is not copied
        plane.flags.writeable = False
    shape = planes['counts'].shape
    return XrayImage(
        **planes,
        wcs=tiny_wcs(shape=shape, pixel_scale=PIXEL),
        psf_fwhm=get_mission('xmm').psf.fwhm * u.arcsec,
        mission='XMM',
    )


def _resident():
    """
    Return how much memory is resident, and the most that ever was, in bytes.
    """
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize(), peak * 1024


def find(folder, name, block):
    """
    Find the sources of the mosaic in this process and write what that took.

    Parameters
    ----------
    folder : `pathlib.Path`
        Holds the mosaic, and gets the catalogue.
    name : str
        Of the finder.
    block : int or None
        Pixels of a block; None for the usual number.
    """
    if block is not None:
        _convolve.BLOCK = block
    image = _loaded(folder)
    before, _ = _resident()
    start = time.perf_counter()
    catalog = FINDERS[name]()(image)
    seconds = time.perf_counter() - start
    _, peak = _resident()
    columns = {name: np.asarray(catalog[name]) for name in catalog.column_names}
    np.savez(folder / 'catalogue.npz', **columns)
    row = {
        'sources': len(catalog),
        'extended': int(catalog.extended().sum()),
        'seconds': round(seconds),
        'image_loaded_GB': round(before / 1e9, 3),
        'peak_GB': round(peak / 1e9, 3),
    }
    (folder / 'found.json').write_text(json.dumps(row))


def _in_a_process(folder, finder, block=None):
    """
    Return what the finder takes in a fresh process, and its catalogue.
    """
    command = [sys.executable, __file__, '--find', str(folder), '--finder', finder]
    if block is not None:
        command += ['--block', str(block)]
    subprocess.run(command, check=True)
    with np.load(folder / 'catalogue.npz') as stored:
        columns = dict(stored)
    return json.loads((folder / 'found.json').read_text()), columns


def different(one, other):
    """
    Return the names of columns in which two catalogues differ.

    Parameters
    ----------
    one, other : dict of str to 1D `~numpy.ndarray`
        Columns by name.

    Returns
    -------
    names : list of str
        Empty if they are the same to the last bit.
    """
    return [
        name
        for name in sorted({*one, *other})
        if name not in one
        or name not in other
        or one[name].dtype != other[name].dtype
        or not np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == 'f')
    ]


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--size', type=int, default=6000, help='pixels on a side')
    parser.add_argument('-o', '--output', type=Path, default=HERE / 'results' / 'mosaic.json')
    parser.add_argument('--find', type=Path, help=argparse.SUPPRESS)
    parser.add_argument('--finder', choices=FINDERS, default='wavelet', help=argparse.SUPPRESS)
    parser.add_argument('--block', type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.find is not None:
        find(options.find, options.finder, options.block)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_sources = mosaic(folder, options.size)
        in_blocks, one = _in_a_process(folder, 'wavelet')
        print('in blocks', in_blocks, flush=True)
        whole, other = _in_a_process(folder, 'wavelet', options.size**2)
        print('in one block', whole, flush=True)
        segmentation, _ = _in_a_process(folder, 'segmentation')
        print('segmentation', segmentation, flush=True)
    names = different(one, other)
    results = {
        'simulated': True,
        'size': options.size,
        'sources_drawn': n_sources,
        'in blocks': in_blocks,
        'in one block': whole,
        'segmentation': segmentation,
        'identical': not names,
        'columns': len(one),
        'columns_that_differ': names,
        'below_2_GB': in_blocks['peak_GB'] * 1e9 < _MOST_MEMORY,
    }
    text = json.dumps(results, indent=1)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(text + '\n')
    print(text)
    if names or not results['below_2_GB']:
        sys.exit('the catalogues differ, or the memory is beyond 2 GB')


if __name__ == '__main__':
    main()
