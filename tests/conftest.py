# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fixtures for the whole suite.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# folder of compiled networks that the processes of one run share, and what is worth keeping;
# JAX reads both when it is imported
CACHE = 'JAX_COMPILATION_CACHE_DIR'
SHORTEST = 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'


def pytest_configure(config):
    """
    Let a network that several tests train be compiled once a run; nothing outlives the run.
    """
    if CACHE not in os.environ:
        config._folder_of_compiled = tempfile.mkdtemp(prefix='compiled-networks-')
        os.environ[CACHE] = config._folder_of_compiled
        os.environ.setdefault(SHORTEST, '0.2')


def pytest_unconfigure(config):
    """
    Throw the compiled networks away; workers have inherited the folder and leave it alone.
    """
    folder = getattr(config, '_folder_of_compiled', None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _shared_data_folder():
    """
    Return where the real data are, or None.
    """
    stated = os.environ.get('CLUSTERCNN_SHARED_DATA')
    if stated:
        return Path(stated)
    beside = Path(__file__).resolve().parents[2] / 'shared' / 'data'
    return beside if beside.is_dir() else None


@pytest.fixture(scope='session')
def shared_data():
    """
    Folder of the real fields and labels; tests that need it skip where it is absent.
    """
    folder = _shared_data_folder()
    if folder is None or not folder.is_dir():
        pytest.skip('real data not found; set CLUSTERCNN_SHARED_DATA to their folder')
    return folder
