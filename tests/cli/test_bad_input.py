# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Bad input through the command line: one line, status 1, no traceback, nothing half-written.
"""

import gzip
import json
import shlex

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustercnn import CandidateCatalog, CutoutStack
from clustercnn.cli import main
from clustercnn.testing import tiny_catalog, tiny_image, tiny_stack, tiny_wcs

HEADER = tiny_wcs().to_header()
COUNTS = np.random.default_rng(1).poisson(0.5, (64, 64)).astype(np.int32)


def write_truncated(path):
    fits.writeto(path, COUNTS, HEADER)
    path.write_bytes(path.read_bytes()[:5000])


def write_claim(path):
    fits.writeto(path, COUNTS, HEADER)
    content = path.read_bytes()
    for axis in (b'NAXIS1', b'NAXIS2'):
        content = content.replace(
            axis + b'  =' + b'64'.rjust(21), axis + b'  =' + b'1000000'.rjust(21)
        )
    path.write_bytes(content)


BAD_IMAGES = {
    'truncated': (write_truncated, 'truncated'),
    'html': (lambda path: path.write_text('<!DOCTYPE html><html>404</html>'), 'HTML'),
    'no bytes': (lambda path: path.write_bytes(b''), 'the file is empty'),
    'no pixels': (lambda path: fits.PrimaryHDU().writeto(path), 'HDU 0 image empty'),
    'all zero': (lambda path: fits.writeto(path, COUNTS * 0, HEADER), 'every pixel is zero'),
    'table only': (lambda path: fits.BinTableHDU(Table({'a': [1]})).writeto(path), 'HDU 1 table'),
    'no wcs': (lambda path: fits.writeto(path, COUNTS), 'CTYPE1 = absent'),
    'all nan': (lambda path: fits.writeto(path, COUNTS * np.nan, HEADER), 'every pixel is NaN'),
    'negative': (lambda path: fits.writeto(path, COUNTS - 3, HEADER), 'at (x, y) ='),
    'flux': (lambda path: fits.writeto(path, COUNTS * 1e-9, HEADER), '--allow-flux'),
    'cube': (lambda path: fits.writeto(path, np.stack([COUNTS] * 3), HEADER), 'cube'),
    'gzip cut off': (lambda path: path.write_bytes(gzip.compress(bytes(9000))[:15]), 'fetch it'),
    'claims too much': (write_claim, '1000000 x 1000000'),
    'folder': (lambda path: path.mkdir(), 'is a folder'),
    'absent': (lambda path: None, 'no such file'),
}


def one_line(capsys):
    """
    Return the only line of an error, which must be one of ours.
    """
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if ': warning: ' not in line]
    assert len(lines) == 1, captured.err
    assert 'Traceback' not in captured.err + captured.out
    assert 'not foreseen' not in captured.err + captured.out
    return lines[0], captured.out


@pytest.mark.parametrize('command', ['run', 'find'])
@pytest.mark.parametrize('kind', BAD_IMAGES)
def test_bad_image(kind, command, tmp_path, capsys):
    path = tmp_path / 'image.fits'
    write, words = BAD_IMAGES[kind]
    write(path)
    before = set(tmp_path.iterdir())
    out = tmp_path / ('out' if command == 'run' else 'out.ecsv')
    assert main([command, str(path), '-o', str(out)]) == 1
    line, _ = one_line(capsys)
    assert 'image.fits' in line and words in line
    assert set(tmp_path.iterdir()) == before


# a table may be one of ours, and what is no counts may be an optical image
@pytest.mark.parametrize('kind', sorted(set(BAD_IMAGES) - {'flux', 'negative', 'table only'}))
def test_check_of_a_bad_image(kind, tmp_path, capsys):
    path = tmp_path / 'image.fits'
    write, words = BAD_IMAGES[kind]
    write(path)
    assert main(['check', str(path)]) == 1
    line, out = one_line(capsys)
    assert '1 of 1 files have problems' in line and 'image.fits' in line
    assert 'problem: ' in out and words in out


@pytest.fixture
def field(tmp_path):
    image = tiny_image(source_counts=400)
    fits.writeto(tmp_path / 'xray.fits', image.counts.astype(np.int32), HEADER)
    return tmp_path


def write_map(path, kind):
    shape, wcs, value = (64, 64), tiny_wcs(), 1e4
    if kind == 'shape':
        shape, wcs = (63, 64), tiny_wcs(shape=(63, 64))
    if kind == 'shifted':
        wcs.wcs.crpix = wcs.wcs.crpix + np.array([1.0, 0.0])
    value = {'zero': 0.0, 'nan': np.nan, 'negative': -1.0}.get(kind, value)
    fits.writeto(path, np.full(shape, value, np.float32), wcs.to_header())


WORDS_OF_MAPS = {
    'shape': '64 x 63',
    'shifted': '1.00 pixels off',
    'zero': 'zero everywhere',
    'nan': 'zero everywhere',
    'negative': '-1 at (x, y) = (0, 0)',
}


@pytest.mark.parametrize('command', ['run', 'find'])
@pytest.mark.parametrize('role', ['exposure', 'background'])
@pytest.mark.parametrize('kind', WORDS_OF_MAPS)
def test_bad_map(kind, role, command, field, capsys):
    write_map(field / 'bad.fits', kind)
    before = set(field.iterdir())
    out = field / ('out' if command == 'run' else 'out.fits')
    arguments = [command, str(field / 'xray.fits'), f'--{role}', str(field / 'bad.fits')]
    assert main([*arguments, '-o', str(out)]) == 1
    line, _ = one_line(capsys)
    assert 'bad.fits' in line and WORDS_OF_MAPS[kind] in line
    assert set(field.iterdir()) == before


@pytest.mark.parametrize('kind', ['shape', 'shifted', 'zero'])
def test_check_of_maps_together(kind, field, capsys):
    write_map(field / 'expmap.fits', kind)
    assert main(['check', str(field / 'expmap.fits'), str(field / 'xray.fits')]) == 1
    line, out = one_line(capsys)
    assert '1 of 2 files' in line
    assert WORDS_OF_MAPS[kind] in out and 'counts image' in out
    write_map(field / 'expmap_good.fits', 'good')
    assert main(['check', str(field / 'expmap_good.fits'), str(field / 'xray.fits')]) == 0
    assert 'on the grid of' in capsys.readouterr().out


@pytest.mark.filterwarnings('default')
def test_nan_pixels_are_masked_and_told(field, capsys):
    counts = fits.getdata(field / 'xray.fits').astype(np.float32)
    counts[:, :10] = np.nan
    fits.writeto(field / 'nan.fits', counts, HEADER)
    assert main(['find', str(field / 'nan.fits'), '-o', str(field / 'c.ecsv')]) == 0
    assert '640 pixels are not finite' in capsys.readouterr().err
    assert len(CandidateCatalog.read(field / 'c.ecsv')) >= 1


@pytest.mark.parametrize('suffix', ['.ecsv', '.fits', '.vot', '.reg'])
def test_no_detections_is_a_result(tmp_path, suffix):
    counts = np.random.default_rng(5).poisson(0.1, (64, 64)).astype(np.int32)
    fits.writeto(tmp_path / 'quiet.fits', counts, HEADER)
    out = tmp_path / f'c{suffix}'
    arguments = ['find', str(tmp_path / 'quiet.fits'), '-o', str(out), '--threshold', '8']
    assert main(arguments) == 0
    assert out.stat().st_size > 0
    if suffix != '.reg':
        assert len(CandidateCatalog.read(out)) == 0


def test_no_detections_replace_an_earlier_run(field):
    out = field / 'out'
    arguments = ['run', str(field / 'xray.fits'), '-o', str(out), '-q']
    assert main(arguments) == 0
    assert len(CutoutStack.read(out / 'cutouts.h5')) >= 1
    names = {item.name for item in out.iterdir()}
    assert main([*arguments, '--overwrite', '--threshold', '1000']) == 0
    assert len(CandidateCatalog.read(out / 'catalog.fits')) == 0
    assert len(CutoutStack.read(out / 'cutouts.h5')) == 0
    assert {item.name for item in out.iterdir()} == names


def test_regions_are_not_read_and_a_line_says_so(field, capsys):
    regions, xray = str(field / 'c.reg'), str(field / 'xray.fits')
    assert main(['find', xray, '-o', regions]) == 0
    assert 'next: ds9 ' in capsys.readouterr().out
    assert main(['cut', regions, '--band', f'xray={xray}', '-o', str(field / 'c.h5')]) == 1
    line, _ = one_line(capsys)
    assert 'c.reg' in line and 'written, not read' in line and 'not foreseen' not in line


def test_candidates_of_another_kind_are_told_what_is_read(field, capsys):
    (field / 'c.csv').write_text('id,ra,dec\n1,150.0,2.0\n')
    (field / 'v.csv').write_text('item,annotator,label\n1,ann,point\n')
    cut = ['cut', str(field / 'c.csv'), '--band', f'xray={field / "xray.fits"}']
    known = ['labels', 'consensus', str(field / 'v.csv'), '--candidates', str(field / 'c.csv')]
    for arguments in (cut, known):
        assert main([*arguments, '-o', str(field / 'out.h5')]) == 1
        line, _ = one_line(capsys)
        assert 'c.csv: expected a catalogue of candidates, .ecsv, .fits' in line
        assert '.reg' not in line and '.vot' in line
    Table({'id': ['1'], 'ra': [150.0], 'dec': [2.0]}).write(field / 'c.ecsv')
    cut[1] = str(field / 'c.ecsv')
    assert main([*cut, '-o', str(field / 'out.h5')]) == 1
    line, _ = one_line(capsys)
    assert 'lacks the columns name, pos_err' in line and 'clustercnn find' in line


@pytest.mark.parametrize('command', ['find', 'cut', 'classify'])
def test_a_name_without_a_format_is_told_before_the_work(field, capsys, monkeypatch, command):
    def work(*args, **kwargs):
        raise AssertionError

    for name in ('WaveletFinder.__call__', 'CutoutMaker.__call__', 'Classifier.predict'):
        monkeypatch.setattr(f'clustercnn.{name}', work)
    xray, stack = str(field / 'xray.fits'), field / 'stack.h5'
    tiny_stack().write(stack)
    tiny_catalog().write(field / 'c.ecsv')
    arguments = {
        'find': ['find', xray],
        'cut': ['cut', str(field / 'c.ecsv'), '--band', f'xray={xray}'],
        'classify': ['classify', str(stack)],
    }
    assert main([*arguments[command], '-o', str(field / 'out.xyz')]) == 1
    line, _ = one_line(capsys)
    assert 'cannot tell the format' in line


def test_find_hands_the_maps_on_to_the_next_command(field, capsys):
    exposure = field / 'the exposure.fits'
    fits.writeto(exposure, np.full((64, 64), 1e4, np.float32), HEADER)
    arguments = ['find', str(field / 'xray.fits'), '--exposure', str(exposure)]
    assert main([*arguments, '-o', str(field / 'c.ecsv')]) == 0
    following = capsys.readouterr().out.split('next: clustercnn ')[1].split('\n')[0]
    words = shlex.split(following)
    assert words[words.index('--exposure') + 1] == str(exposure)
    assert main([*words[:-1], str(field / 'cutouts.h5')]) == 0


@pytest.mark.parametrize('ra', [0.0, 0.01, 359.995])
def test_across_the_origin(tmp_path, ra):
    image = tiny_image(source_counts=400)
    wcs = tiny_wcs(ra=ra, dec=-10.0)
    fits.writeto(tmp_path / 'xray.fits', image.counts.astype(np.int32), wcs.to_header())
    out = tmp_path / 'c.fits'
    assert main(['find', str(tmp_path / 'xray.fits'), '-o', str(out)]) == 0
    catalog = CandidateCatalog.read(out)
    assert ((catalog['ra'].value >= 0) & (catalog['ra'].value < 360)).all()
    middle = wcs.pixel_to_world(31.5, 31.5)
    assert catalog.positions.separation(middle).arcsec.min() < 6


def test_candidate_off_the_optical_image_is_flagged(field):
    far = tiny_wcs(ra=151.0)
    sky = np.random.default_rng(2).normal(1000, 10, (64, 64)).astype(np.float32)
    fits.writeto(field / 'far.fits', sky, far.to_header())
    out = field / 'out'
    arguments = ['run', str(field / 'xray.fits'), '--optical', str(field / 'far.fits')]
    assert main([*arguments, '-o', str(out), '-q']) == 0
    catalog = CandidateCatalog.read(out / 'catalog.fits')
    assert len(catalog) >= 1
    assert catalog.flagged('NO_OPTICAL').all()
    assert np.isfinite(np.asarray(catalog['p_cluster'])).all()
    notes = json.loads((out / 'run.json').read_text())['notes']
    assert any("band 'optical' has no pixel at any candidate" in note for note in notes)


@pytest.mark.parametrize('name', ['xray', 'exposure', 'background', 'optical'])
def test_a_band_replaces_no_other_input(field, capsys, name):
    before = set(field.iterdir())
    xray = str(field / 'xray.fits')
    arguments = ['run', xray, '--optical', xray, '--band', f'{name}={xray}']
    assert main([*arguments, '-o', str(field / 'out')]) == 1
    line, _ = one_line(capsys)
    assert f"band '{name}'" in line and 'argument of its own' in line
    assert set(field.iterdir()) == before


def test_bad_optical_image_leaves_nothing(field, capsys):
    (field / 'page.fits').write_text('<html></html>')
    before = set(field.iterdir())
    arguments = ['run', str(field / 'xray.fits'), '--optical', str(field / 'page.fits')]
    assert main([*arguments, '-o', str(field / 'out')]) == 1
    line, _ = one_line(capsys)
    assert 'page.fits' in line and 'HTML' in line
    assert set(field.iterdir()) == before


@pytest.mark.parametrize('name', ['no-such-folder/c.ecsv', 'c.xyz', 'c'])
def test_output_that_cannot_be_is_told(field, capsys, name):
    before = set(field.iterdir())
    assert main(['find', str(field / 'xray.fits'), '-o', str(field / name)]) == 1
    one_line(capsys)
    assert set(field.iterdir()) == before


def test_existing_catalogue_is_kept(field, capsys):
    out = field / 'c.ecsv'
    out.write_text('precious')
    assert main(['find', str(field / 'xray.fits'), '-o', str(out)]) == 1
    line, _ = one_line(capsys)
    assert 'exists already' in line
    assert out.read_text() == 'precious'
