# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The examples of the pages run, in a folder that is thrown away; scripts are not collected.
"""

import pytest

collect_ignore_glob = ['*.py', '_ext/*', 'figures/*', '_build/*']


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
