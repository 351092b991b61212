# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command line: exit status, one-line errors, nothing half-written.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustercnn import CandidateCatalog, Classifier, CutoutStack, LabelSet
from clustercnn.cli import build_parser, main
from clustercnn.testing import tiny_image, tiny_labels, tiny_stack, tiny_wcs

OUTPUTS = {
    'catalog.ecsv',
    'catalog.fits',
    'catalog.vot',
    'candidates.reg',
    'cutouts.h5',
    'report.html',
    'run.json',
}


@pytest.fixture
def field(tmp_path):
    """
    Counts and exposure of a small field with one bright source.
    """
    image = tiny_image(shape=(96, 96), source_counts=400)
    header = tiny_wcs(shape=(96, 96)).to_header()
    fits.writeto(tmp_path / 'xray.fits', image.counts.astype(np.int32), header)
    header['BUNIT'] = 's'
    fits.writeto(tmp_path / 'exposure.fits', image.exposure, header)
    return tmp_path


def commands(parser=None, words=()):
    """
    Return the words of every command, and their parsers; commands may have commands.
    """
    parser = build_parser() if parser is None else parser
    if parser._subparsers is None:
        return {words: parser}
    found = {}
    for name, part in parser._subparsers._group_actions[0].choices.items():
        found |= commands(part, (*words, name))
    return found


@pytest.mark.parametrize('words', sorted(commands()), ids=' '.join)
def test_every_command_has_help_and_the_common_options(words, capsys):
    assert main([*words, '--help']) == 0
    text = capsys.readouterr().out
    for option in ('--help', '--verbose', '--quiet'):
        assert option in text
    known = {name for action in commands()[words]._actions for name in action.option_strings}
    assert {'-v', '-q', '--seed', '--overwrite'} <= known


def test_wrong_usage_is_status_2(capsys, field):
    assert main([]) == 2
    assert main(['fly']) == 2
    xray = str(field / 'xray.fits')
    out = str(field / 'c.ecsv')
    assert main(['find', xray, '-o', out, '--psf', 'wide']) == 2
    assert main(['find', xray, '-o', out, '--psf', '-3']) == 2
    assert main(['find', xray, '-o', out, '--threshold', '5', '--false-alarms', '1']) == 2
    assert main(['find', xray, '-o', out, '--threshold', '0']) == 2
    for prefix in ('', 'a b', 'a/b', 'é'):
        assert main(['find', xray, '-o', out, '--prefix', prefix]) == 2
    assert main(['cut', out, '--band', 'xray', '-o', 'x.h5']) == 2
    assert 'expected NAME=FILE' in capsys.readouterr().err
    assert not (field / 'c.ecsv').exists()


def write_psf(path, sigma=4.0, **keywords):
    y, x = np.mgrid[-50:51, -50:51]
    header = fits.Header({'CDELT1': 1.0, 'CUNIT1': 'arcsec'} | keywords)
    fits.writeto(path, np.exp(-0.5 * (x**2 + y**2) / sigma**2), header)
    return str(path)


@pytest.mark.parametrize('method', ['wavelet', 'segmentation'])
def test_psf_as_an_image(method, field):
    psf = write_psf(field / 'psf.fits')
    command = ['find', str(field / 'xray.fits'), '--method', method, '-o']
    assert main([*command, str(field / 'c.ecsv'), '--psf', psf]) == 0
    catalog = CandidateCatalog.read(field / 'c.ecsv')
    assert len(catalog) >= 1
    assert catalog.meta['psf_image'] == psf
    assert catalog.meta['psf_fwhm_arcsec'] == pytest.approx(9.42, rel=0.01)
    assert main([*command, str(field / 'w.ecsv'), '--psf', '0.15arcmin']) == 0
    catalog = CandidateCatalog.read(field / 'w.ecsv')
    assert catalog.meta['psf_fwhm_arcsec'] == pytest.approx(9)
    assert 'psf_image' not in catalog.meta


@pytest.mark.filterwarnings('default')
def test_run_records_the_image_of_the_psf(field):
    psf = write_psf(field / 'psf.fits', THETA=6.0)
    out = field / 'out'
    assert main(['run', str(field / 'xray.fits'), '--psf', psf, '-o', str(out)]) == 0
    record = json.loads((out / 'run.json').read_text())
    assert record['inputs']['psf']['path'] == psf and record['inputs']['psf']['sha256']
    assert record['options']['psf_fwhm'] is None
    assert any('6 arcmin off axis; it is used everywhere' in note for note in record['notes'])


@pytest.mark.parametrize('command', ['run', 'find'])
def test_psf_that_is_none_is_one_line(command, field, capsys):
    start = [command, str(field / 'xray.fits'), '-o', str(field / 'out.ecsv'), '--psf']
    small = write_psf(field / 'small.fits', sigma=20.0)
    for text, status, words in (
        ('wide', 2, '--psf wide: expected a width in arcsec such as 8, or 0.2arcmin, or a FITS'),
        ('inf', 2, '--psf inf: expected a width'),
        ('0', 2, '--psf 0: the width must be finite and above 0'),
        (str(field / 'absent.fits'), 1, 'absent.fits: no such file'),
        (str(field), 1, 'is a folder'),
        (small, 1, 'small.fits: HDU 0: 101 x 101 pixels of 1 arcsec, but the PSF is 47'),
    ):
        assert main([*start, text]) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
        assert not (field / 'out.ecsv').exists()


def test_find_cut_classify_hang_together(field, capsys):
    xray, exposure = str(field / 'xray.fits'), str(field / 'exposure.fits')
    candidates, cutouts = str(field / 'c.ecsv'), str(field / 'cutouts.h5')
    catalog = str(field / 'catalog.fits')
    assert main(['find', xray, '--exposure', exposure, '-o', candidates]) == 0
    assert main(['cut', candidates, '--band', f'xray={xray}', '-o', cutouts]) == 0
    assert main(['classify', cutouts, '--model', 'default', '-o', catalog]) == 0
    found = CandidateCatalog.read(candidates)
    ranked = CandidateCatalog.read(catalog)
    assert len(found) == len(ranked) == len(CutoutStack.read(cutouts)) >= 1
    assert set(found.ids) == set(ranked.ids)
    assert (np.diff(np.asarray(ranked['p_cluster'])) <= 0).all()
    assert ranked.flagged('NO_OPTICAL').all()
    assert 'next: clustercnn' in capsys.readouterr().out


def test_run_writes_everything_and_says_what_is_missing(field, capsys):
    out = field / 'out'
    assert main(['run', str(field / 'xray.fits'), '-o', str(out)]) == 0
    text = capsys.readouterr().out
    assert {item.name for item in out.iterdir()} == OUTPUTS
    record = json.loads((out / 'run.json').read_text())
    assert record['inputs']['xray']['sha256']
    assert record['counts']['found'] == record['counts']['classified'] >= 1
    assert any("band 'optical' is not there" in note for note in record['notes'])
    assert "band 'optical' is not there" in text
    catalog = CandidateCatalog.read(out / 'catalog.ecsv')
    assert catalog.flagged('NO_OPTICAL').all()
    assert catalog.flagged('NO_EXPOSURE').all()
    for name in ('catalog.fits', 'catalog.vot'):
        other = CandidateCatalog.read(out / name)
        np.testing.assert_allclose(other['ra'].value, catalog['ra'].value)
        assert list(other['name']) == list(catalog['name'])


def test_a_prefix_names_the_candidates_of_a_field(field):
    xray, candidates, cutouts = (str(field / n) for n in ('xray.fits', 'c.fits', 'c.h5'))
    assert main(['find', xray, '-o', str(field / 'plain.ecsv')]) == 0
    assert main(['find', xray, '-o', candidates, '--prefix', 'A1835']) == 0
    plain, named = CandidateCatalog.read(field / 'plain.ecsv'), CandidateCatalog.read(candidates)
    assert plain.ids[0] == '1'
    assert named.ids == tuple(f'A1835-{name}' for name in plain.ids)
    assert main(['cut', candidates, '--band', f'xray={xray}', '-o', cutouts]) == 0
    assert CutoutStack.read(cutouts).ids == named.ids


def test_a_run_with_a_prefix_is_the_same_but_for_names(field, capsys):
    arguments = ['run', str(field / 'xray.fits'), '-q']
    assert main([*arguments, '-o', str(field / 'plain')]) == 0
    named = field / 'named'
    arguments += ['--prefix', 'f_1', '-o', str(named)]
    assert main(arguments) == 0
    assert {item.name for item in named.iterdir()} == OUTPUTS
    plain = CandidateCatalog.read(field / 'plain' / 'catalog.ecsv')
    ids = tuple(f'f_1-{name}' for name in plain.ids)
    for name in ('catalog.ecsv', 'catalog.fits', 'catalog.vot'):
        catalog = CandidateCatalog.read(named / name)
        assert catalog.ids == ids
        assert catalog['p_cluster'].tolist() == plain['p_cluster'].tolist()
    assert CutoutStack.read(named / 'cutouts.h5').ids == ids
    assert json.loads((named / 'run.json').read_text())['options']['prefix'] == 'f_1'
    before = {item.name: item.read_bytes() for item in named.iterdir()}
    capsys.readouterr()
    assert main(arguments) == 1
    assert 'named: holds catalog.ecsv' in capsys.readouterr().err
    assert before == {item.name: item.read_bytes() for item in named.iterdir()}
    assert main([*arguments, '--overwrite']) == 0


def test_run_without_detections_is_a_result(tmp_path):
    counts = np.random.default_rng(5).poisson(0.1, (64, 64)).astype(np.int32)
    fits.writeto(tmp_path / 'empty.fits', counts, tiny_wcs().to_header())
    out = tmp_path / 'out'
    assert main(['run', str(tmp_path / 'empty.fits'), '-o', str(out), '--threshold', '8']) == 0
    assert len(CandidateCatalog.read(out / 'catalog.ecsv')) == 0
    assert len(Table.read(out / 'catalog.fits')) == 0
    assert (out / 'report.html').stat().st_size > 0


def test_existing_results_are_kept_unless_asked(field, capsys):
    out = field / 'out'
    arguments = ['run', str(field / 'xray.fits'), '-o', str(out), '-q']
    assert main(arguments) == 0
    before = (out / 'run.json').read_bytes()
    assert main(arguments) == 1
    assert 'catalog.ecsv' in capsys.readouterr().err
    assert (out / 'run.json').read_bytes() == before
    assert main([*arguments, '--overwrite']) == 0
    assert {item.name for item in out.iterdir()} == OUTPUTS


def write_truncated(path):
    whole = path.with_suffix('.whole')
    fits.writeto(whole, np.ones((64, 64), np.int32), tiny_wcs().to_header())
    path.write_bytes(whole.read_bytes()[:5000])


def write_flux(path):
    fits.writeto(path, np.random.default_rng(1).gamma(2, 1e-9, (64, 64)), tiny_wcs().to_header())


BAD = {
    'truncated': write_truncated,
    'html': lambda path: path.write_text('<!DOCTYPE html><html>404</html>'),
    'empty': lambda path: path.write_bytes(b''),
    'no_wcs': lambda path: fits.writeto(path, np.ones((64, 64), np.int32)),
    'negative': lambda path: fits.writeto(
        path, np.full((64, 64), -1, np.int32), tiny_wcs().to_header()
    ),
    'all_zero': lambda path: fits.writeto(
        path, np.zeros((64, 64), np.int32), tiny_wcs().to_header()
    ),
    'table_only': lambda path: fits.BinTableHDU(Table({'a': [1]})).writeto(path),
    'flux': write_flux,
    'folder': lambda path: path.mkdir(),
    'absent': lambda path: None,
}


@pytest.mark.parametrize('kind', BAD)
def test_bad_input_is_one_line_and_leaves_nothing(kind, tmp_path, capsys):
    path = tmp_path / 'image.fits'
    BAD[kind](path)
    before = set(tmp_path.iterdir())
    out = tmp_path / 'out'
    assert main(['run', str(path), '-o', str(out)]) == 1
    captured = capsys.readouterr()
    error = [line for line in captured.err.splitlines() if 'warning' not in line]
    assert len(error) == 1
    assert 'image.fits' in error[0]
    assert 'Traceback' not in captured.err
    assert 'not foreseen' not in captured.err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize('kind', ['shape', 'shifted', 'all_zero'])
def test_exposure_that_does_not_fit_is_refused(kind, field, capsys):
    shape, wcs = (96, 96), tiny_wcs(shape=(96, 96))
    if kind == 'shape':
        shape, wcs = (95, 96), tiny_wcs(shape=(95, 96))
    if kind == 'shifted':
        wcs = tiny_wcs(shape=(96, 96), ra=150.01)
    value = 0.0 if kind == 'all_zero' else 1e4
    fits.writeto(field / 'bad.fits', np.full(shape, value, np.float32), wcs.to_header())
    out = field / 'out'
    arguments = ['run', str(field / 'xray.fits'), '--exposure', str(field / 'bad.fits')]
    assert main([*arguments, '-o', str(out)]) == 1
    assert 'bad.fits' in capsys.readouterr().err
    assert not out.exists()


def test_train_writes_a_model_that_classifies(tmp_path):
    tiny_stack(40).write(tmp_path / 'cutouts.h5')
    tiny_labels(40).write(tmp_path / 'labels.ecsv')
    model = str(tmp_path / 'model.safetensors')
    arguments = ['train', str(tmp_path / 'cutouts.h5'), str(tmp_path / 'labels.ecsv')]
    assert main([*arguments, '--epochs', '2', '-o', model, '-q']) == 0
    assert main([*arguments, '--epochs', '2', '-o', model, '-q']) == 1
    catalog = tmp_path / 'catalog.ecsv'
    assert (
        main(['classify', str(tmp_path / 'cutouts.h5'), '--model', model, '-o', str(catalog)]) == 0
    )
    assert len(CandidateCatalog.read(catalog)) == 40


def test_train_says_what_is_looked_for_and_takes_another(tmp_path, capsys):
    tiny_stack(12).write(tmp_path / 'cutouts.h5')
    labels = tiny_labels(12)
    share = labels.binary()
    # as people make such a table, without a header that says what is positive
    table = Table({'id': labels.ids, 'p_No': 1 - share, 'p_Yes': share})
    table.write(tmp_path / 'labels.ecsv')
    model = tmp_path / 'model.safetensors'
    arguments = ['train', str(tmp_path / 'cutouts.h5'), str(tmp_path / 'labels.ecsv')]
    arguments += ['--epochs', '1', '-o', str(model), '--overwrite']
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert 'looked for: Yes, by its name; --positive names another' in told
    assert Classifier.load(model).schema.positive == ('Yes',)
    assert main([*arguments, '--positive', 'No']) == 0
    assert 'looked for: No\n' in capsys.readouterr().out
    assert Classifier.load(model).schema.positive == ('No',)
    assert main([*arguments, '--positive', 'Maybe']) == 1
    assert "['Maybe'] are not among ('No', 'Yes')" in capsys.readouterr().err


def test_train_says_which_labels_fit_nothing(tmp_path, capsys):
    tiny_stack(8).write(tmp_path / 'cutouts.h5')
    labels = tiny_labels(8)
    labels.replace(ids=[f'x{name}' for name in labels.ids]).write(tmp_path / 'labels.ecsv')
    arguments = ['train', str(tmp_path / 'cutouts.h5'), str(tmp_path / 'labels.ecsv')]
    assert main([*arguments, '-o', str(tmp_path / 'm.safetensors'), '-q']) == 1
    assert capsys.readouterr().err.count('\n') == 1
    assert not (tmp_path / 'm.safetensors').exists()


def test_train_says_how_to_tell_the_candidates_of_two_fields_apart(tmp_path, capsys):
    for name in ('a', 'b'):
        tiny_stack(8).write(tmp_path / f'{name}.h5')
    tiny_labels(8).write(tmp_path / 'labels.ecsv')
    files = [str(tmp_path / name) for name in ('a.h5', 'b.h5', 'labels.ecsv')]
    assert main(['train', *files, '-o', str(tmp_path / 'm.safetensors'), '-q']) == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert 'a.h5 as well' in error and '--prefix TEXT of clustercnn find' in error


def test_check_names_the_problem_and_fails(field, capsys):
    assert main(['check', str(field / 'xray.fits'), str(field / 'exposure.fits')]) == 0
    (field / 'page.fits').write_text('<html></html>')
    assert main(['check', str(field / 'page.fits')]) == 1
    captured = capsys.readouterr()
    assert 'problem' in captured.out
    assert '1 of 1 files have problems' in captured.err


def test_info_names_versions_and_models(capsys):
    assert main(['info', '--json']) == 0
    information = json.loads(capsys.readouterr().out)
    assert information['versions']['clustercnn']
    assert 'default' in information['models']


def test_simulate_and_run_with_optical(tmp_path, capsys):
    assert main(['simulate', str(tmp_path / 'sky'), '--seed', '3', '-q']) == 0
    folder = next(item for item in (tmp_path / 'sky').iterdir() if item.is_dir())
    arguments = ['run', str(folder / 'xray.fits'), '--exposure', str(folder / 'exposure.fits')]
    arguments += ['--optical', str(folder / 'optical.fits'), '-o', str(tmp_path / 'out')]
    assert main(arguments) == 0
    catalog = CandidateCatalog.read(tmp_path / 'out' / 'catalog.ecsv')
    assert len(catalog) > 5
    assert not catalog.flagged('NO_OPTICAL').all()


@pytest.mark.filterwarnings('default')
def test_simulated_votes_can_be_learned_from(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulate = ['simulate', 'a sky', '--seed', '3', '--votes', '5']
    assert main(simulate) == 0
    said = capsys.readouterr().out
    assert 'voted.ecsv of each field' in said
    commands = [shlex.split(line)[1:] for line in said.split('next: ')[1].splitlines()]
    assert [words[0] for words in commands] == ['labels', 'cut', 'train']
    for words in commands[:2]:
        assert main(words) == 0
    labels, stack = LabelSet.read('l.ecsv'), CutoutStack.read('field_00000.h5')
    assert len(stack) > 10
    assert set(stack.ids) == set(labels.ids)
    assert stack.band_names == ('xray', 'optical')
    assert main([*commands[2], '--epochs', '1']) == 0
    assert f'in:  {len(stack)} cutouts' in capsys.readouterr().out
    # nothing is replaced unasked
    before = (tmp_path / 'a sky' / 'field_00000' / 'voted.ecsv').read_bytes()
    (tmp_path / 'a sky' / 'votes.csv').unlink()
    assert main(simulate) == 1
    assert 'voted.ecsv: exists already' in capsys.readouterr().err
    assert (tmp_path / 'a sky' / 'field_00000' / 'voted.ecsv').read_bytes() == before
    assert not (tmp_path / 'a sky' / 'votes.csv').exists()


@pytest.mark.skipif(os.name != 'posix', reason='signals are those of POSIX')
def test_interrupt_is_status_130(tmp_path):
    # a shell's background jobs ignore the signal, and their children would, too
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sky = str(tmp_path / 'sky')
        process = subprocess.Popen(
            [sys.executable, '-m', 'clustercnn', 'simulate', sky, '--fields', '500'],
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not (tmp_path / 'sky').exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    process.send_signal(2)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'interrupted' in error
    assert 'Traceback' not in error
