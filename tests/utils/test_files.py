# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Files are written whole or not at all.
"""

import errno
import hashlib
import os

import pytest

from clustercnn._utils.files import atomic_path, output_folder, sha256
from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.progress import progress


def test_file_appears_only_at_the_end(tmp_path):
    target = tmp_path / 'out.tar.gz'
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith('.tar.gz')
        temporary.write_text('whole')
        assert not target.exists()
    assert target.read_text() == 'whole'
    assert list(tmp_path.iterdir()) == [target]


def test_failure_leaves_nothing_and_keeps_the_old(tmp_path):
    target = tmp_path / 'out.txt'
    target.write_text('old')
    with (
        pytest.raises(RuntimeError, match='half way'),
        atomic_path(target, overwrite=True) as temporary,
    ):
        temporary.write_text('half')
        raise RuntimeError('half way')
    assert target.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [target]


def test_existing_file_is_kept(tmp_path):
    target = tmp_path / 'out.txt'
    target.write_text('old')
    with pytest.raises(FileExistsError, match='exists already'), atomic_path(target):
        pytest.fail('the block must not run')
    with pytest.raises(IsADirectoryError, match='is a folder'), atomic_path(tmp_path):
        pytest.fail('the block must not run')
    with (
        pytest.raises(FileNotFoundError, match='does not exist'),
        atomic_path(tmp_path / 'a' / 'b.txt'),
    ):
        pytest.fail('the block must not run')


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    plain = tmp_path / 'plain'
    plain.write_text('x')
    with atomic_path(tmp_path / 'atomic') as temporary:
        temporary.write_text('x')
    assert os.stat(tmp_path / 'atomic').st_mode == os.stat(plain).st_mode


@pytest.mark.parametrize(
    'error',
    [
        OSError(errno.ENOSPC, 'No space left on device'),
        OSError(errno.EFBIG, 'File too large'),
        OSError('Not enough space on disk: requested 102819, available 0. '),
        OSError('20480 requested and 2460 written'),
    ],
)
def test_full_disk_names_the_file(tmp_path, error):
    target = tmp_path / 'out.fits'
    with pytest.raises(OSError, match='cannot be written whole') as told, atomic_path(target):
        raise error
    assert str(told.value).startswith(f'{target}: ')
    field = tmp_path / 'field'
    with pytest.raises(OSError, match='whole') as told, output_folder(field, ['a']):
        raise error
    assert str(told.value).startswith(f'{field}: ')
    # as it is known outside, not as it is called meanwhile
    with (
        pytest.raises(OSError, match='whole') as told,
        output_folder(field, ['a']) as folder,
        atomic_path(folder / 'a'),
    ):
        raise error
    assert str(told.value).startswith(f'{field / "a"}: ')
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_as_they_are(tmp_path):
    error = PermissionError(errno.EACCES, 'Permission denied')
    with pytest.raises(PermissionError) as told, atomic_path(tmp_path / 'a'):
        raise error
    assert told.value is error


def test_digest(tmp_path):
    (tmp_path / 'a').write_bytes(b'abc' * 1000)
    assert sha256(tmp_path / 'a') == hashlib.sha256(b'abc' * 1000).hexdigest()


def test_read_only_mapping_refuses_every_change():
    mapping = ReadOnlyDict(a=1)
    for change in (
        lambda: mapping.__setitem__('a', 2),
        lambda: mapping.update(b=1),
        lambda: mapping.pop('a'),
        mapping.clear,
    ):
        with pytest.raises(TypeError, match='read-only'):
            change()
    assert mapping == {'a': 1}


def test_progress_passes_everything_through(capsys):
    assert list(progress(range(3), quiet=True)) == [0, 1, 2]
    assert capsys.readouterr().err == ''
