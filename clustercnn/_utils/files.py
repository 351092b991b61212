# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Files written whole or not at all, and their fingerprints.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ['atomic_path', 'check_output', 'output_folder', 'sha256']

# of the disk, of what is allowed to a user, and of a single file
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# astropy and numpy give no number
_WORDS_OF_FULL = ('Not enough space on disk', ' requested and ')


def check_output(path, *, overwrite=False):
    """
    Return a path that can be written, or say why it cannot.

    To be called before long work, which must not end in a name that is taken.

    Parameters
    ----------
    path : str or path-like
        The file to write.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Returns
    -------
    path : `~pathlib.Path`
        The file.

    Raises
    ------
    OSError
        If it is a folder, exists, or its folder is missing or closed to us.
    """
    path = Path(path)
    if path.is_dir():
        msg = f'{path}: is a folder, expected a file name to write to'
        raise IsADirectoryError(msg)
    if path.exists() and not overwrite:
        msg = (
            f'{path}: exists already; choose another name, or overwrite it (--overwrite, '
            f'overwrite=True)'
        )
        raise FileExistsError(msg)
    if not path.parent.is_dir():
        msg = f'{path}: the folder {path.parent} does not exist; create it first'
        raise FileNotFoundError(msg)
    if not os.access(path.parent, os.W_OK):
        msg = f'{path}: the folder {path.parent} cannot be written to; check its permissions'
        raise PermissionError(msg)
    return path


@contextlib.contextmanager
def atomic_path(path, *, overwrite=False):
    """
    Give a temporary path that becomes the wanted file when the block succeeds.

    Parameters
    ----------
    path : str or path-like
        The file to write.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Yields
    ------
    temporary : `~pathlib.Path`
        In the same folder and with the same suffixes, so that writers that
        look at the extension do the same thing and the final rename is atomic.
    """
    path = check_output(path, overwrite=overwrite)
    handle, name = tempfile.mkstemp(
        prefix='.' + path.name.split('.')[0][:40] + '-',
        suffix=''.join(path.suffixes),
        dir=path.parent,
    )
    os.close(handle)
    temporary = Path(name)
    try:
        # writers that refuse to overwrite must find nothing there
        temporary.unlink()
        yield temporary
        with temporary.open('rb') as stream:
            os.fsync(stream.fileno())
        # mkstemp and most writers differ in permissions; give what open() would have given
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if _is_of_full_disk(error):
            raise OSError(_no_room(path, error)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_of_full_disk(error):
    if error.errno is not None:
        return error.errno in _FULL
    return any(words in str(error) for words in _WORDS_OF_FULL)


def _no_room(path, error):
    reason = os.strerror(error.errno or errno.ENOSPC)
    return f'{path}: cannot be written whole ({reason}); make room there, or name another folder'


@contextlib.contextmanager
def output_folder(path, names, *, overwrite=False):
    """
    Give a temporary folder whose files move to the wanted one when the block succeeds.

    Parameters
    ----------
    path : str or path-like
        The folder to fill; it is created, and may hold other files.
    names : iterable of str
        What will be written.
    overwrite : bool, optional
        Whether existing files of these names may be replaced.

    Yields
    ------
    temporary : `~pathlib.Path`
        On the same file system, so that every move is atomic.

    Raises
    ------
    OSError
        If the folder is a file, holds such files already, or cannot be written to.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        msg = f'{path}: is a file, expected the name of a folder'
        raise NotADirectoryError(msg)
    taken = [name for name in names if (path / name).exists()]
    if taken and not overwrite:
        more = f' and {len(taken) - 5} more' if len(taken) > 5 else ''
        msg = (
            f'{path}: holds {", ".join(taken[:5])}{more} already; choose another folder, or '
            f'overwrite them (--overwrite, overwrite=True)'
        )
        raise FileExistsError(msg)
    made = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix='.unfinished-', dir=path))
    done = False
    try:
        yield temporary
        for item in sorted(temporary.iterdir()):
            if item.is_dir() and (path / item.name).is_dir():
                shutil.rmtree(path / item.name)
            item.replace(path / item.name)
        done = True
    except OSError as error:
        if _is_of_full_disk(error):
            raise OSError(_no_room(path, error)) from error
        if error.errno is None and str(temporary) in str(error):
            # the folder that is known outside, in what files say of themselves
            raise OSError(str(error).replace(str(temporary), str(path))) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if made and not done:
            # what others may have put there meanwhile stays
            with contextlib.suppress(OSError):
                path.rmdir()


def sha256(path):
    """
    Return the SHA-256 digest of a file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    digest : str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with Path(path).open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
