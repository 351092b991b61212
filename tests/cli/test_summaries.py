# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What commands say at the end, what they call wrong usage, and odd surroundings.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from clustercnn import LabelSet
from clustercnn.cli import main
from clustercnn.core import CandidateFlag
from clustercnn.cutouts import coverage_flags
from clustercnn.io import check_files
from clustercnn.pipeline import run_field
from clustercnn.testing import tiny_image, tiny_labels, tiny_stack, tiny_wcs
from clustercnn.training import loop


@pytest.fixture
def folder(tmp_path):
    """
    A count image, cutouts, and labels of which one is unknown and two are absent.
    """
    image = tiny_image()
    fits.writeto(tmp_path / 'xray.fits', image.counts.astype(np.int32), tiny_wcs().to_header())
    tiny_stack(40).write(tmp_path / 'cutouts.h5')
    labels = tiny_labels(40)[:38]
    names = ['unknown', *labels.names()[1:]]
    LabelSet.from_labels(labels.ids, names).write(tmp_path / 'labels.ecsv')
    return tmp_path


def training(folder, *more):
    files = [str(folder / name) for name in ('cutouts.h5', 'labels.ecsv')]
    return ['train', *files, '-o', str(folder / 'm.safetensors'), *more]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['run', 'x.fits', '--seed', '-1'], 'whole number from 0'),
        (['run', 'x.fits', '--seed', 'one'], 'whole number from 0'),
        (['simulate', 'sky', '--fields', '0'], 'at least 1'),
        (['simulate', 'sky', '--mission', 'hubble'], 'there are xmm'),
        (['train', 'a.h5', 'b.ecsv', '-o', 'm.safetensors', '--network', 'vgg'], 'there are'),
        (['train', 'a.h5', 'b.ecsv', '-o', 'm.safetensors', '--runs', '0'], 'at least 1'),
        (['train', 'a.h5', 'b.ecsv', '-o', 'm.safetensors', '--epochs', '0'], 'at least 1'),
    ],
)
def test_wrong_values_are_wrong_usage(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_summaries_say_in_out_and_what_next(folder, capsys):
    def said(*arguments):
        assert main([*map(str, arguments)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith('in:  ')
        assert any(line.startswith('out: ') for line in lines)
        assert lines[-1].startswith('next: ')
        return '\n'.join(lines)

    xray, catalog, cutouts = folder / 'xray.fits', folder / 'c.ecsv', folder / 'c.h5'
    assert 'no exposure map' in said('find', xray, '-o', catalog)
    assert 'candidates of' in said('cut', catalog, '--band', f'xray={xray}', '-o', cutouts)
    assert 'none was left out' in said('classify', cutouts, '-o', folder / 'r.ecsv')
    text = said(*training(folder, '--epochs', '1'))
    assert '2 left out: without a label' in text
    assert '1 left out: labelled unknown' in text
    assert said('run', xray, '-o', folder / 'out').endswith('report.html')


def test_interrupted_training_goes_on_to_the_same_bits(folder, capsys, monkeypatch):
    arguments = training(folder, '--epochs', '3', '--seed', '4', '-q')
    assert main(arguments) == 0
    model = folder / 'm.safetensors'
    whole = model.read_bytes()
    model.unlink()
    save, n_saved = loop.save_checkpoint, []

    def save_and_be_stopped(*args):
        save(*args)
        n_saved.append(1)
        if len(n_saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, 'save_checkpoint', save_and_be_stopped)
        assert main(arguments) == 130
    assert not model.exists()
    assert (folder / 'm.safetensors.checkpoint').is_dir()
    n_before = len(n_saved)
    assert main(arguments) == 0
    assert n_before == 2
    assert model.read_bytes() == whole
    assert not (folder / 'm.safetensors.checkpoint').exists()


def run_elsewhere(arguments, *, cwd, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in {'HOME', 'LANG'}}
    kept |= {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(
        [sys.executable, '-m', 'clustercnn', *arguments],
        cwd=cwd,
        env=kept,
        capture_output=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(
    'environment',
    [
        {'HOME': None},
        {'HOME': '/nowhere'},
        {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'},
        {'PYTHONWARNINGS': 'error'},
    ],
    ids=['no-home', 'home-nowhere', 'ascii', 'warnings'],
)
def test_odd_surroundings(environment, folder):
    done = run_elsewhere(['run', 'xray.fits'], cwd=folder, **environment)
    assert done.returncode == 0, done.stderr.decode()
    assert b'Traceback' not in done.stderr
    assert (folder / 'clustercnn-run' / 'report.html').stat().st_size > 0


@pytest.mark.skipif(
    not Path('/proc/self').is_dir(),
    reason='no /proc here, the one folder that root cannot write to either',
)
def test_folder_that_cannot_be_written_to(folder):
    done = run_elsewhere(['run', str(folder / 'xray.fits')], cwd='/proc')
    assert done.returncode == 1
    assert done.stderr.count(b'\n') == 1
    assert b'clustercnn-run' in done.stderr
    # where the results may go is all that matters
    target = str(folder / 'out')
    done = run_elsewhere(['run', str(folder / 'xray.fits'), '-o', target], cwd='/proc')
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.skipif(os.name != 'posix', reason='pipes are those of POSIX')
@pytest.mark.parametrize('argument', ['--help', 'info'])
def test_reader_that_goes_away(argument):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, '-m', 'clustercnn', argument],
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert done.stderr == b''
    # done before the reader was missed, or ended by the signal as other commands are
    assert done.returncode in {0, -signal.SIGPIPE}


def test_labels_of_other_fields_are_left_out_and_counted(folder, capsys):
    labels = LabelSet.read(folder / 'labels.ecsv')
    more = LabelSet.from_labels(
        [*labels.ids, 'elsewhere-1', 'elsewhere-2'], [*labels.names(), 'cluster', 'point']
    )
    more.write(folder / 'labels.ecsv', overwrite=True)
    assert main(training(folder, '--epochs', '1', '--network', 'cn')) == 0
    assert '2 labels without a cutout left out' in capsys.readouterr().out
    assert main(training(folder, '--epochs', '1', '--overwrite', '--stream')) == 0
    assert '2 labels without a cutout left out' in capsys.readouterr().out


def test_the_next_command_has_the_columns(tmp_path, capsys):
    path = tmp_path / 'my experts.csv'
    path.write_text('id,ann,bob\n1,cluster,cluster\n2,point,cluster\n3,point,unknown\n')
    columns = ['--item', 'id', '--annotator-columns', 'ann', 'bob']
    assert main(['labels', 'agreement', str(path), *columns]) == 0
    out = capsys.readouterr().out
    assert 'in:  6 votes of 2 people' in out
    (command,) = (line.split('next: ')[1] for line in out.splitlines() if 'next:' in line)
    wanted = ['clustercnn', 'labels', 'consensus', str(path), *columns, '-o', 'labels.ecsv']
    assert shlex.split(command) == wanted


def test_what_the_finder_warns_of_is_noted(tmp_path, monkeypatch):
    image = tiny_image()
    header = tiny_wcs().to_header()
    fits.writeto(tmp_path / 'xray.fits', image.counts.astype(np.int32), header)
    # a map that holds the source, too
    background = np.full(image.shape, 0.1) + 0.8 * image.counts
    fits.writeto(tmp_path / 'background.fits', background.astype(np.float32), header)
    command = ['run', str(tmp_path / 'xray.fits'), '-o', str(tmp_path / 'field'), '-q']
    assert main([*command, '--background', str(tmp_path / 'background.fits')]) == 0
    notes = json.loads((tmp_path / 'field' / 'run.json').read_text())['notes']
    assert any('the background map' in note for note in notes)
    assert 'the background map' in (tmp_path / 'field' / 'report.html').read_text()


def test_a_band_that_the_model_does_not_know_is_no_optical_band(tmp_path):
    stack = tiny_stack(3)
    other = stack.band('optical').replace(name='g')
    stack = stack.replace(bands=[stack.band('xray'), other])
    assert not (coverage_flags(stack) & CandidateFlag.NO_OPTICAL).any()
    flags = coverage_flags(stack, bands=('xray', 'optical'))
    assert (flags & CandidateFlag.NO_OPTICAL).all()


def test_tables_that_are_no_catalogue_say_what_they_may_be(tmp_path):
    (tmp_path / 'places.csv').write_text('RA,Dec,name\n10.5,2.5,a\n')
    (report,) = check_files([tmp_path / 'places.csv'])
    assert 'from_columns' in report.problems[0]
    (tmp_path / 'experts.csv').write_text('id,ann,bob\n1,cluster,point\n')
    (report,) = check_files([tmp_path / 'experts.csv'])
    assert '--annotator-columns' in report.problems[0]


@pytest.mark.skipif(
    sys.platform in ('win32', 'darwin'), reason='names of files must be Unicode on this platform'
)
@pytest.mark.parametrize('encoding', ['utf-8:strict', 'ascii:strict'])
def test_names_that_the_terminal_cannot_show_are_no_failure(folder, encoding):
    # as older systems wrote them, which is no UTF-8
    name = os.fsdecode(b'M\xfcller.fits')
    (folder / 'xray.fits').rename(folder / name)
    done = run_elsewhere(['run', name, '-o', 'Fläche'], cwd=folder, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr.decode()
    assert b'out: ' in done.stdout
    page = (folder / 'Fläche' / 'report.html').read_text(encoding='utf-8')
    assert 'M\\udcfcller.fits' in page


def test_next_commands_survive_spaces(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)

    def following(*arguments):
        assert main(list(arguments)) == 0
        (line,) = (t for t in capsys.readouterr().out.splitlines() if t.startswith('next: '))
        return shlex.split(line.removeprefix('next: '))

    assert following('run', 'xray.fits', '-o', 'my field')[-1] == 'my field/report.html'
    source = ['cut', 'my field/catalog.ecsv', '--band', 'xray=xray.fits']
    assert 'my cutouts.h5' in following(*source, '-o', 'my cutouts.h5')
    assert 'my list.ecsv' in following('classify', 'my cutouts.h5', '-o', 'my list.ecsv')


@pytest.mark.filterwarnings('default::clustercnn.exceptions.DataQualityWarning')
def test_a_band_that_is_not_looked_at_is_told(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    stack = tiny_stack(4)
    more = stack.band('optical').replace(name='r')
    stack.replace(bands=[*stack.bands.values(), more]).write('more.h5')
    assert main(['classify', 'more.h5', '-o', 'list.ecsv']) == 0
    told = capsys.readouterr().err
    assert "warning: band 'r' was cut out but the model does not know it" in told


def test_prefix_that_a_file_cannot_hold_is_told_before_the_work(folder):
    with pytest.raises(ValueError, match="'prefix' must be plain ASCII"):
        run_field(folder / 'no-such.fits', prefix='Fläche', output=folder / 'out')
    assert not (folder / 'out').exists()
