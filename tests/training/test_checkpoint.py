# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Files of arrays, and what is done about those that are not what they should be.
"""

import json
import struct

import numpy as np
import pytest

from clustercnn.exceptions import ModelFileError, TrainingError
from clustercnn.training import (
    digest,
    load_checkpoint,
    read_arrays,
    restore,
    save_checkpoint,
    write_arrays,
)

ARRAYS = {'b': np.arange(6, dtype=np.float32).reshape(2, 3), 'a': np.int32(7)}


def test_round_trip_and_equal_bytes(tmp_path):
    one, other = tmp_path / 'one.safetensors', tmp_path / 'other.safetensors'
    write_arrays(one, ARRAYS, {'x': 1, 'y': [2]})
    write_arrays(other, dict(reversed(ARRAYS.items())), {'y': [2], 'x': 1})
    assert one.read_bytes() == other.read_bytes()
    arrays, description = read_arrays(one)
    assert description == {'x': 1, 'y': [2]}
    assert arrays['a'].shape == ()
    np.testing.assert_array_equal(arrays['b'], ARRAYS['b'])
    with pytest.raises(FileExistsError):
        write_arrays(one, ARRAYS, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ['one.safetensors', 'other.safetensors']


def header(entries, body=b''):
    text = json.dumps(entries).encode()
    return struct.pack('<Q', len(text)) + text + body


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'safetensors'),
        (b'<html>not found</html>', 'safetensors'),
        (struct.pack('<Q', 2**62) + b'{}', 'safetensors'),
        (
            header({'a': {'dtype': 'F32', 'shape': [10**9], 'data_offsets': [0, 4 * 10**9]}}),
            'safetensors',
        ),
        (
            header({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 4]}}, bytes(4)),
            'safetensors',
        ),
        (header({}), 'no description by clustercnn'),
        (header({'__metadata__': {'clustercnn': '{'}}), 'description cannot be read'),
        (header({'__metadata__': {'clustercnn': '[' * 100_000}}), 'description cannot be read'),
        (header({'__metadata__': {'clustercnn': '3'}}), 'expected an object'),
        (b'\x80\x04\x95', 'safetensors'),
    ],
)
def test_hostile_files_give_one_clear_error(content, message, tmp_path):
    path = tmp_path / 'bad.safetensors'
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        read_arrays(path)


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(ModelFileError):
        read_arrays(tmp_path)
    with pytest.raises(FileNotFoundError, match='no such file'):
        read_arrays(tmp_path / 'none.safetensors')


def test_checkpoint_must_be_one_and_whole(tmp_path):
    path = tmp_path / 'state.safetensors'
    save_checkpoint(path, ARRAYS, {'configuration': {'seed': 1}})
    arrays, _ = load_checkpoint(path, configuration={'seed': 1})
    restored = restore(ARRAYS, arrays)
    np.testing.assert_array_equal(restored['b'], ARRAYS['b'])
    with pytest.raises(TrainingError, match='seed: 1 in the checkpoint, 2 now'):
        load_checkpoint(path, configuration={'seed': 2})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(TrainingError, match='not those that were written'):
        load_checkpoint(path, configuration={'seed': 1})
    write_arrays(path, ARRAYS, {}, overwrite=True)
    with pytest.raises(TrainingError, match='is not the checkpoint'):
        load_checkpoint(path, configuration={'seed': 1})


def test_restore_refuses_what_does_not_fit():
    template = {'a': np.zeros(3, np.float32)}
    with pytest.raises(TrainingError, match='one side only'):
        restore(template, {})
    with pytest.raises(TrainingError, match='expected float32'):
        restore(template, {"['a']": np.zeros(4, np.float32)})


def test_digest_sees_names_types_shapes_and_values():
    base = digest({'a': {'b': np.zeros((2, 3, 4))}})
    assert base == digest({'a': {'b': np.zeros((2, 3, 4))}})
    changed = np.zeros((2, 3, 4))
    changed[1, 2, 3] = 1e-300
    others = [
        {'a': {'c': np.zeros((2, 3, 4))}},
        {'a': {'b': np.zeros((2, 4, 3))}},
        {'a': {'b': np.zeros((2, 3, 4), np.float32)}},
        {'a': {'b': changed}},
        {'a': {'b': np.broadcast_to(np.float64(1), (2, 3, 4))}},
    ]
    assert len({base, *map(digest, others)}) == 6
