# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Whatever the bytes of a file are, reading it raises one family of errors, in bounded time.
"""

import contextlib
import gzip
import io
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustercnn import CandidateCatalog, CutoutStack
from clustercnn.exceptions import ClusterCNNError, ImageReadError, TableReadError
from clustercnn.io import check_files, read_image, read_optical
from clustercnn.testing import tiny_catalog, tiny_stack, tiny_wcs

N_MUTATIONS = 150


def whole_image():
    counts = np.random.default_rng(1).poisson(0.5, (32, 32)).astype(np.int16)
    table = fits.BinTableHDU(Table({'a': np.arange(50)}), name='GTI')
    image = fits.ImageHDU(counts, tiny_wcs(shape=(32, 32)).to_header())
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table, image]).writeto(stream)
    return stream.getvalue()


def mutations(content, seed, n_mutations=N_MUTATIONS, cards=True):
    """
    Yield damaged copies: bytes flipped, blocks dropped or doubled, numbers in cards changed.
    """
    rng = np.random.default_rng(seed)
    numbers = (b'-1', b'0', b'3', b'999999999', b'-9223372036854775808', b'1E400', b"'x'", b'NaN')
    for _ in range(n_mutations):
        damaged = bytearray(content)
        kind = rng.integers(5 if cards else 3)
        if kind == 0:
            for place in rng.integers(len(damaged), size=rng.integers(1, 20)):
                damaged[place] = rng.integers(256)
        elif kind == 1:
            start = rng.integers(len(damaged))
            del damaged[start : start + int(rng.choice([1, 80, 2880, 5000]))]
        elif kind == 2:
            start = rng.integers(len(damaged))
            stop = start + int(rng.choice([80, 2880]))
            damaged[start:start] = damaged[start:stop]
        else:
            cards_there = [
                place
                for place in range(0, len(damaged) - 80, 80)
                if damaged[place + 8 : place + 10] == b'= '
            ]
            place = int(rng.choice(cards_there))
            value = numbers[rng.integers(len(numbers))].rjust(20)
            damaged[place + 10 : place + 30] = value
            if kind == 4:
                damaged[place + 30 : place + 80] = b' ' * 50
        yield bytes(damaged)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('packed', [False, True])
def test_damaged_images(tmp_path, seed, packed):
    path = tmp_path / 'a.fits'
    for damaged in mutations(whole_image(), seed):
        path.write_bytes(gzip.compress(damaged, 1) if packed else damaged)
        for read in (read_image, read_optical):
            with warnings.catch_warnings(), contextlib.suppress(ImageReadError):
                warnings.simplefilter('ignore')
                read(path)


def test_damage_to_the_compressed_bytes(tmp_path):
    path = tmp_path / 'a.fits.gz'
    for damaged in mutations(gzip.compress(whole_image()), 11, cards=False):
        path.write_bytes(damaged)
        with warnings.catch_warnings(), contextlib.suppress(ImageReadError):
            warnings.simplefilter('ignore')
            read_image(path)


def test_noise(tmp_path):
    rng = np.random.default_rng(5)
    path = tmp_path / 'a.fits'
    for _ in range(50):
        noise = rng.bytes(int(rng.integers(1, 10_000)))
        path.write_bytes(b'SIMPLE  =' + noise)
        with pytest.raises(ImageReadError):
            read_image(path)


@pytest.mark.parametrize('suffix', ['.fits', '.ecsv', '.vot'])
def test_damaged_catalogues(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    tiny_catalog().write(path)
    content = path.read_bytes()
    for damaged in mutations(content, 3, n_mutations=60, cards=suffix == '.fits'):
        path.write_bytes(damaged)
        with warnings.catch_warnings(), contextlib.suppress(TableReadError):
            warnings.simplefilter('ignore')
            CandidateCatalog.read(path)


@pytest.mark.parametrize('suffix', ['.h5', '.fits'])
def test_damaged_cutouts(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    tiny_stack(3).write(path)
    content = path.read_bytes()
    for damaged in mutations(content, 4, n_mutations=60, cards=suffix == '.fits'):
        path.write_bytes(damaged)
        with warnings.catch_warnings(), contextlib.suppress(ClusterCNNError):
            warnings.simplefilter('ignore')
            CutoutStack.read(path)


def test_checking_never_fails(tmp_path):
    path = tmp_path / 'a.fits'
    for damaged in mutations(whole_image(), 9, n_mutations=60):
        path.write_bytes(damaged)
        (report,) = check_files([path])
        assert report.path == str(path)
        assert all('\n' not in problem for problem in report.problems)
