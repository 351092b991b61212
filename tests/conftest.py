# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fixtures for the whole suite.
"""

import os
from pathlib import Path

import pytest


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
