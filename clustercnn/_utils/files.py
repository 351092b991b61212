# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Files written whole or not at all, and their fingerprints.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

__all__ = ['atomic_path', 'sha256']


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
    path = Path(path)
    if path.is_dir():
        msg = f'{path}: is a folder, expected a file name to write to'
        raise IsADirectoryError(msg)
    if path.exists() and not overwrite:
        msg = f'{path}: exists already; choose another name or ask to overwrite it'
        raise FileExistsError(msg)
    if not path.parent.is_dir():
        msg = f'{path}: the folder {path.parent} does not exist; create it first'
        raise FileNotFoundError(msg)
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
    finally:
        temporary.unlink(missing_ok=True)


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
