# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A folder of samples holds those of one version and of one set of options.
"""

import json

import numpy as np
import pytest
from astropy.table import Table

from clustercnn.core import CutoutStack, LabelSet
from clustercnn.models import sample
from clustercnn.models.sample import (
    files_of_sample,
    labels_of_sample,
    make_field_sample,
    make_sample,
    write_sample,
)
from clustercnn.simulate import SimulationConfig
from clustercnn.testing import tiny_stack

OPTIONS = {'mission': 'xmm', 'n_point_max': 20, 'config': SimulationConfig(agn_factor=1.2)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """
    Return a folder with the samples of two fields in which nothing was found.
    """

    def nothing(seed, **options):
        return None, None, None

    nothing.__kwdefaults__ = make_field_sample.__kwdefaults__
    monkeypatch.setattr(sample, 'make_field_sample', nothing)
    for seed in (1, 2):
        sample._make_and_write(seed, tmp_path, OPTIONS)
    return tmp_path


def test_fields_of_the_same_kind_are_not_made_again(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    same = OPTIONS | {'randomised': None, 'n_point_max': np.int64(20)}
    assert write_sample(folder, seeds=[1, 2], **same) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    'change',
    [
        {'mission': 'rosat'},
        {'n_point_max': None},
        {'config': None},
        {'config': SimulationConfig(agn_factor=1.3)},
    ],
)
def test_other_options_are_refused(folder, change):
    names = sorted(folder.iterdir())
    found, now = (sample._origin_of(o)['options'] for o in (OPTIONS, OPTIONS | change))
    assert found != now
    with pytest.raises(ValueError, match=f'1.json: .* options {found}, now by .* {now}; choose'):
        write_sample(folder, seeds=[3, 1], **OPTIONS | change)
    assert sorted(folder.iterdir()) == names


def test_files_and_labels_are_in_the_order_of_the_whole(tmp_path, monkeypatch):
    def some(seed, **options):
        if seed == 2:
            return None, None, None
        stack = tiny_stack(seed + 2, seed=seed)
        ids = [f'{seed}-{name}' for name in stack.ids]
        labels = LabelSet.from_labels(ids, ['cluster', *['point'] * (len(ids) - 1)])
        return stack.replace(ids=ids), labels, Table({'subclass': ['agn'] * len(ids)})

    some.__kwdefaults__ = make_field_sample.__kwdefaults__
    monkeypatch.setattr(sample, 'make_field_sample', some)
    seeds = (1, 2, 3)
    for seed in seeds:
        sample._make_and_write(seed, tmp_path, OPTIONS)
    stack, label_set, groups, subclasses = make_sample(tmp_path, seeds=seeds, **OPTIONS)
    paths = files_of_sample(tmp_path, seeds)
    assert [path.name for path in paths] == ['1.h5', '3.h5']
    in_files = [name for path in paths for name in CutoutStack.read(path).ids]
    labels = labels_of_sample(tmp_path, seeds)
    assert in_files == list(labels.ids) == list(label_set.ids) == list(stack.ids)
    assert groups.tolist() == [1] * 3 + [3] * 5
    assert labels.hard().tolist() == label_set.hard().tolist()
    assert len(subclasses) == 8


def test_fields_in_which_nothing_was_found_are_told(tmp_path):
    (tmp_path / '1.json').write_text(json.dumps({'n': 0} | sample._origin_of(OPTIONS)))
    for read in (
        labels_of_sample,
        lambda folder, seeds: make_sample(folder, seeds=seeds, **OPTIONS),
    ):
        for seeds in ((1,), ()):
            with pytest.raises(ValueError, match='nothing was found in any of these fields'):
                read(tmp_path, seeds)
    assert files_of_sample(tmp_path, (1,)) == []


def test_another_version_is_refused(folder, monkeypatch):
    monkeypatch.setattr(sample, '__version__', '99.1')
    with pytest.raises(ValueError, match=r'by clustercnn 0.* with .*, now by clustercnn 99\.1 '):
        write_sample(folder, seeds=[1], **OPTIONS)


@pytest.mark.parametrize('content', [json.dumps({'n': 3}), '', '[]', '{"n": 3', 'null'])
def test_a_field_that_does_not_say_how_it_was_made_is_refused(folder, content):
    (folder / '2.json').write_text(content)
    with pytest.raises(ValueError, match='2.json: .*it does not say by what'):
        write_sample(folder, seeds=[1, 2], **OPTIONS)


def test_settings_are_drawn_or_given():
    with pytest.raises(ValueError, match="'randomised' chooses .* 'config' gives"):
        make_field_sample(1, randomised=False, config=SimulationConfig())
