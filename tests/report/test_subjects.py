# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Subject sets for Zooniverse: pictures, manifest, and the way back of the votes.
"""

import csv
import struct

import numpy as np
import pytest

from clustercnn import LabelSet
from clustercnn.cli import main
from clustercnn.report import subjects, write_subjects
from clustercnn.simulate import simulate_crowd
from clustercnn.testing import tiny_stack


def _size(path):
    """
    Return width and height of a PNG.
    """
    head = path.read_bytes()[:24]
    assert head[:8] == b'\x89PNG\r\n\x1a\n'
    return struct.unpack('>II', head[16:24])


def test_each_cutout_is_a_picture_and_a_row(tmp_path):
    stack = tiny_stack(3)
    names = write_subjects(stack, tmp_path / 'set', quiet=True)
    with (tmp_path / 'set' / 'manifest.csv').open(newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert [row['image'] for row in rows] == names[:-1]
    assert [row['#candidate'] for row in rows] == list(stack.ids)
    assert float(rows[1]['!ra']) == pytest.approx(stack.positions[1].ra.deg, abs=1e-6)
    for name in names[:-1]:
        width, height = _size(tmp_path / 'set' / name)
        # two panels side by side
        assert width > 1.7 * height > 500
        assert (tmp_path / 'set' / name).stat().st_size < 1_000_000
    assert sorted(path.name for path in (tmp_path / 'set').iterdir()) == sorted(names)


def test_files_are_not_replaced_unasked(tmp_path):
    write_subjects(tiny_stack(1), tmp_path, quiet=True)
    before = (tmp_path / 'manifest.csv').stat().st_mtime_ns
    with pytest.raises(FileExistsError, match=r'manifest\.csv'):
        write_subjects(tiny_stack(1), tmp_path, quiet=True)
    assert (tmp_path / 'manifest.csv').stat().st_mtime_ns == before
    write_subjects(tiny_stack(1), tmp_path, overwrite=True, quiet=True)


def test_pictures_of_an_earlier_set_do_not_stay(tmp_path):
    names = write_subjects(tiny_stack(4), tmp_path, quiet=True)
    (tmp_path / 'subject-0009-mine.png').write_text('no manifest names it')
    (tmp_path / 'notes.txt').write_text('mine')
    outside = tmp_path.parent / 'subject-0001-x.png'
    outside.write_text('elsewhere')
    with (tmp_path / 'manifest.csv').open('a') as stream:
        stream.write('../subject-0001-x.png,x,0,0\nnotes.txt,y,0,0\n')
    fewer = write_subjects(tiny_stack(2), tmp_path, overwrite=True, quiet=True)
    assert set(fewer) < set(names)
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {*fewer, 'subject-0009-mine.png', 'notes.txt'}
    assert outside.exists()
    # what fails removes nothing
    with pytest.raises(ValueError, match="need a band 'xray'"):
        stack = tiny_stack(1)
        write_subjects(stack.replace(bands=[stack.band('optical')]), tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == there
    (tmp_path / 'manifest.csv').write_bytes(b'\xff\x00no table')
    write_subjects(tiny_stack(1), tmp_path, overwrite=True, quiet=True)
    assert (tmp_path / fewer[1]).exists()


def test_odd_identifiers_make_plain_file_names(tmp_path):
    stack = tiny_stack(2).replace(ids=['../../J1401+0252 a', 'Größe:7'])
    names = write_subjects(stack, tmp_path, quiet=True)
    assert names[:2] == ['subject-0001-.._.._J1401+0252_a.png', 'subject-0002-Gr_e_7.png']
    assert (tmp_path / names[0]).exists()
    with (tmp_path / 'manifest.csv').open(newline='', encoding='utf-8') as stream:
        assert [row['#candidate'] for row in csv.DictReader(stream)] == list(stack.ids)


def test_a_band_that_is_not_there_is_said_to_be_missing(tmp_path):
    stack = tiny_stack(1)
    optical = stack.band('optical')
    bands = {**stack.bands, 'optical': optical.replace(mask=np.ones_like(optical.mask))}
    (name, _) = write_subjects(stack.replace(bands=bands), tmp_path, quiet=True)
    assert _size(tmp_path / name)[0] > 500


def test_too_large_pictures_are_drawn_smaller(tmp_path, monkeypatch):
    (name, _) = write_subjects(tiny_stack(1), tmp_path / 'one', quiet=True)
    monkeypatch.setattr(subjects, '_LARGEST_PICTURE', 100)
    write_subjects(tiny_stack(1), tmp_path / 'two', quiet=True)
    one, two = (_size(tmp_path / folder / name)[0] for folder in ('one', 'two'))
    assert two == pytest.approx(one / 2, abs=2)


def test_what_cannot_be_drawn_is_refused(tmp_path):
    stack = tiny_stack(1)
    with pytest.raises(ValueError, match="need a band 'xray'"):
        write_subjects(stack.replace(bands=[stack.band('optical')]), tmp_path)
    with pytest.raises(ValueError, match='no cutouts'):
        write_subjects(stack[:0], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_votes_on_a_subject_set_come_back_to_the_candidates(tmp_path, capsys):
    stack = tiny_stack(6)
    stack.write(tmp_path / 'cutouts.h5')
    folder = tmp_path / 'set'
    assert main(['labels', 'export', str(tmp_path / 'cutouts.h5'), '-o', str(folder), '-q']) == 0
    with (folder / 'manifest.csv').open(newline='') as stream:
        rows = list(csv.DictReader(stream))
    truth = dict(zip(stack.ids, ['cluster', 'point'] * 3, strict=True))
    ids = [row['#candidate'] for row in rows]
    crowd = simulate_crowd([truth[name] for name in ids], [300] * 6, ids=ids, n_votes=9, seed=3)
    export = tmp_path / 'export.csv'
    crowd.write(export, subjects=rows)
    command = ['labels', 'read', str(export), '--item', 'candidate', '-o', str(tmp_path / 'l.ecsv')]
    assert main([*command, '--candidates', str(tmp_path / 'cutouts.h5')]) == 0
    assert '54 classifications in' in capsys.readouterr().out
    labels = LabelSet.read(tmp_path / 'l.ecsv').select(stack.ids)
    assert dict(zip(labels.ids, labels.names(), strict=True)) == truth
