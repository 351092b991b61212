# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is shipped, what is promised beside it, and that the two agree.
"""

import ast
import configparser
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import clustercnn

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())
MIB = 1024**2
# where a package is imported by another name than it is installed by
PACKAGE_OF = {'PIL': 'pillow'}


def tracked_files():
    """
    List the files of the repository; skip where git does not know.
    """
    try:
        listed = subprocess.run(
            ['git', '-C', ROOT, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip('not a git checkout')
    return [ROOT / name for name in sorted(listed.split('\0')) if (ROOT / name).is_file()]


def readme_commands():
    """
    List the one-line commands of the README that set an environment up.
    """
    text = (ROOT / 'README.md').read_text()
    blocks = re.findall(r'^```sh\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL)
    return [block.strip() for block in blocks if 'venv' in block]


def test_version_is_stated_once():
    assert 'version' in PROJECT['project']['dynamic']
    assert PROJECT['tool']['setuptools']['dynamic']['version'] == {'attr': 'clustercnn.__version__'}
    assert re.fullmatch(r'\d+\.\d+\.\d+(\.dev\d+|rc\d+)?', clustercnn.__version__)


def test_changes_has_the_version():
    title, rule = (ROOT / 'CHANGES.rst').read_text().splitlines()[:2]
    released = re.sub(r'\.dev\d+$', '', clustercnn.__version__)
    assert re.fullmatch(rf'{re.escape(released)} \((unreleased|\d{{4}}-\d\d-\d\d)\)', title)
    assert ('unreleased' in title) == ('.dev' in clustercnn.__version__)
    assert rule == '=' * len(title)


def test_citation_has_the_version():
    (stated,) = re.findall(r'^version: (.*)$', (ROOT / 'CITATION.cff').read_text(), re.MULTILINE)
    assert stated == clustercnn.__version__


def test_setup_cfg_holds_two_sections():
    # any other section would silently take the place of what pyproject.toml says
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    assert config.sections() == ['flake8', 'pycodestyle']
    assert int(config['flake8']['max-line-length']) == PROJECT['tool']['ruff']['line-length']


@pytest.mark.parametrize('name', ['setup.py', 'pytest.ini', '.coveragerc', 'ruff.toml'])
def test_no_second_place_for_settings(name):
    assert not (ROOT / name).exists()


def test_readme_has_two_commands():
    tested, shown = sorted(readme_commands(), key=lambda command: 'demo' in command)
    for command in (tested, shown):
        assert len(command.splitlines()) == 1
        assert command.startswith('python3 -m venv .venv && .venv/bin/pip install ')
    assert tested.endswith(' && .venv/bin/python -m pytest')
    assert shown.endswith(' && .venv/bin/clustercnn demo')


def test_continuous_integration_runs_what_the_readme_says():
    lines = [line.strip() for line in (ROOT / '.ci' / 'run').read_text().splitlines()]
    ran = [line for line in lines if line.startswith('python3 -m venv')]
    assert sorted(ran) == sorted(readme_commands())


def test_continuous_integration_is_sound():
    script = ROOT / '.ci' / 'run'
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.splitlines()[0] == '#!/usr/bin/env bash'
    assert 'set -euo pipefail' in text
    subprocess.run(['bash', '-n', script], check=True)


def test_readme_order():
    # the order that reviewers of pyOpenSci ask for
    text = (ROOT / 'README.md').read_text()
    headings = re.findall(
        r'^#+ (.*)$', re.sub(r'```.*?```', '', text, flags=re.DOTALL), re.MULTILINE
    )
    assert headings == [
        'clustercnn',
        'Install',
        'Use',
        'Documentation',
        'Similar packages',
        'Citation',
    ]


def test_links_of_the_readme_lead_somewhere():
    targets = re.findall(r'\]\(([^)]+)\)', (ROOT / 'README.md').read_text())
    local = [target for target in targets if not target.startswith('https://')]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


@pytest.mark.parametrize(
    'name',
    [
        'CITATION.cff',
        'CODE_OF_CONDUCT.md',
        'CONTRIBUTING.md',
        'LICENSE.rst',
        'SECURITY.md',
        'tox.ini',
    ],
)
def test_file_is_there(name):
    assert (ROOT / name).stat().st_size > 0


def floors():
    """
    Map the hard dependencies to the oldest versions that are supported.
    """
    return dict(re.split('>=', line) for line in PROJECT['project']['dependencies'])


def test_oldest_constraints_are_the_floors():
    lines = (ROOT / 'oldest-constraints.txt').read_text().splitlines()
    pins = dict(line.split('==') for line in lines if line and not line.startswith('#'))
    # jax alone lets pip take any newer jaxlib
    assert pins.pop('jaxlib') == pins['jax']
    # and matplotlib any newer pyparsing, which warns of what the oldest one calls
    pins.pop('pyparsing')

    def numbers(version):
        return [int(part) for part in version.split('.') if int(part)]

    assert {name: numbers(pin) for name, pin in pins.items()} == {
        name: numbers(floor) for name, floor in floors().items()
    }


def test_what_is_imported_is_declared():
    used = set()
    for path in Path(clustercnn.__file__).parent.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add(node.module.partition('.')[0])
    used -= {*sys.stdlib_module_names, 'clustercnn'}
    extras = PROJECT['project']['optional-dependencies']
    declared = {
        re.match(r'[\w-]+', line)[0].lower()
        for lines in (
            PROJECT['project']['dependencies'],
            *(extras[n] for n in ('onnx', 'survey', 'web', 'vo')),
        )
        for line in lines
    }
    # a part of matplotlib with a name of its own
    assert {PACKAGE_OF.get(name, name) for name in used} - declared <= {'contourpy'}


def test_python_is_stated_alike_everywhere():
    assert PROJECT['project']['requires-python'] == '>=3.11'
    assert PROJECT['tool']['ruff']['target-version'] == 'py311'
    assert 'Python 3.11' in (ROOT / 'README.md').read_text()


def test_no_large_file():
    weights = [path for path in tracked_files() if path.suffix == '.safetensors']
    large = [p for p in tracked_files() if p.stat().st_size > MIB and p not in weights]
    assert large == []
    assert sum(path.stat().st_size for path in weights) <= 5 * MIB


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """
    Return the wheel built from the files of the repository, opened.
    """
    # without build isolation, so that nothing is fetched
    pytest.importorskip('setuptools', minversion='77')
    source = tmp_path_factory.mktemp('source')
    for path in tracked_files():
        copy = source / path.relative_to(ROOT)
        if copy.relative_to(source).parts[0] not in {'clustercnn', *TOP}:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    target = tmp_path_factory.mktemp('wheel')
    command = ['pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '--no-index']
    done = subprocess.run(
        [sys.executable, '-m', *command, '--wheel-dir', target, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = target.glob('*.whl')
    with zipfile.ZipFile(path) as archive:
        yield archive


TOP = ('LICENSE.rst', 'README.md', 'pyproject.toml', 'setup.cfg', 'tests')


def test_wheel_holds_the_package_and_nothing_else(wheel):
    inside = {name for name in wheel.namelist() if '.dist-info/' not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if path.is_relative_to(ROOT / 'clustercnn')
    }
    assert inside == wanted


def test_wheel_holds_the_model(wheel):
    (info,) = [i for i in wheel.infolist() if i.filename == 'clustercnn/models/default.safetensors']
    assert info.file_size > 10_000


def test_wheel_holds_the_mark_of_types(wheel):
    assert 'clustercnn/py.typed' in wheel.namelist()


def test_metadata_of_the_wheel(wheel):
    folder = f'clustercnn-{clustercnn.__version__}.dist-info'
    metadata = wheel.read(f'{folder}/METADATA').decode()
    assert f'\nVersion: {clustercnn.__version__}\n' in metadata
    assert '\nRequires-Python: >=3.11\n' in metadata
    assert '\nLicense-Expression: BSD-3-Clause\n' in metadata
    assert f'{folder}/licenses/LICENSE.rst' in wheel.namelist()
    assert 'clustercnn = clustercnn.cli:main' in wheel.read(f'{folder}/entry_points.txt').decode()


def test_version_of_the_command(capsys):
    from clustercnn.cli import main

    assert main(['--version']) == 0
    assert capsys.readouterr().out.strip() == f'clustercnn {clustercnn.__version__}'
