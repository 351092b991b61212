# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The house stands as it was drawn: layers, worlds, light import, and rules on every file.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clustercnn

PACKAGE = Path(clustercnn.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
LICENCE = '# Licensed under a 3-clause BSD style license - see LICENSE.rst'
N_LINES_MAX = 600

# from the ground up; what stands side by side does not know each other
LAYERS = (
    ('exceptions',),
    ('_utils',),
    ('core',),
    ('footprint', 'io', 'testing'),
    ('cutouts', 'evaluation', 'finding', 'labels', 'simulate'),
    ('network',),
    ('training',),
    ('classifier', 'report'),
    ('provenance',),
    ('explanation', 'pipeline', 'selection', 'survey'),
    ('demo', 'experiments', 'inspect', 'models'),
    ('cli',),
)
RANK = {unit: rank for rank, layer in enumerate(LAYERS) for unit in layer}

# modules beside a unit that are parts of it, kept apart for their length
PARTS = {
    '__main__': 'cli',
    '_classifier_calibration': 'classifier',
    '_classifier_data': 'classifier',
    '_classifier_file': 'classifier',
    '_classifier_measure': 'classifier',
    '_classifier_onnx': 'classifier',
    '_classifier_spool': 'classifier',
    '_classifier_training': 'classifier',
    '_classifier_variants': 'classifier',
    '_pipeline_labels': 'pipeline',
    '_pipeline_record': 'pipeline',
    '_pipeline_training': 'pipeline',
}

# The network and its training see arrays: what they use of ours must not bring the sky in.
ARRAY_WORLD = {'network', 'training'}
ARRAY_WORLD_MAY_USE = {'_utils', 'exceptions', 'network', 'training'}

_ASTROPY_WORLD = {'astropy', 'numpy'}
_SCIENCE = _ASTROPY_WORLD | {'scipy'}
_ARRAYS = {'flax', 'jax', 'numpy', 'optax', 'safetensors'}
_FRONT_END = _SCIENCE | {'photutils'}

THIRD_PARTIES = {
    'exceptions': {'astropy'},
    '_utils': _ASTROPY_WORLD | {'tqdm'},
    'core': _ASTROPY_WORLD,
    'testing': _ASTROPY_WORLD,
    'footprint': _SCIENCE,
    'io': _ASTROPY_WORLD | {'PIL', 'h5py', 'regions', 'safetensors'},
    'cutouts': _FRONT_END,
    'finding': _FRONT_END,
    'evaluation': _SCIENCE,
    'labels': _SCIENCE,
    'simulate': _SCIENCE,
    'network': _ARRAYS,
    'training': _ARRAYS,
    'classifier': _ASTROPY_WORLD | _ARRAYS,
    'report': _SCIENCE,
    'provenance': {'numpy'},
    'explanation': _ASTROPY_WORLD | _ARRAYS,
    'pipeline': _ASTROPY_WORLD,
    'selection': _ASTROPY_WORLD,
    'survey': _ASTROPY_WORLD,
    'demo': _ASTROPY_WORLD,
    'experiments': _SCIENCE,
    'inspect': _ASTROPY_WORLD,
    'models': _ASTROPY_WORLD,
    'cli': set(),
}
# further ones where they are imported inside a function
THIRD_PARTIES_INSIDE_FUNCTIONS = {
    'evaluation': {'matplotlib'},
    'labels': {'matplotlib'},
    'simulate': {'matplotlib'},
    'network': {'onnx'},
    'classifier': {'onnxruntime'},
    # contourpy is the part of matplotlib that traces contours, and comes with it
    'report': {'contourpy', 'matplotlib'},
    'explanation': {'matplotlib'},
    'provenance': {'jax'},
    'experiments': {'matplotlib'},
    'survey': {'dask', 'distributed'},
    'inspect': {'jinja2', 'starlette', 'uvicorn'},
    'cli': _ASTROPY_WORLD,
}
# further ones in the private files that compute on plain arrays
THIRD_PARTIES_IN_KERNELS = {'cutouts': {'jax'}, 'finding': {'numba'}, 'simulate': {'jax'}}

FILES = sorted(PACKAGE.rglob('*.py'))


def name_of(path):
    """
    Return a file's place in the package, such as ``core/image.py``.
    """
    return path.relative_to(PACKAGE).as_posix()


def unit_of(path):
    """
    Return the unit of the layer table that a file belongs to.
    """
    first = Path(name_of(path)).parts[0].removesuffix('.py')
    return PARTS.get(first, first)


def imports_of(source):
    """
    List what a file imports: dotted name, whether inside a function, line.
    """
    tree = ast.parse(source)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f'{"." * node.level}{node.module or ""}']
            if names == ['clustercnn']:
                names = [f'clustercnn.{alias.name}' for alias in node.names]
        elif (
            # after `import clustercnn`, every `clustercnn.name` is an import of that name
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == 'clustercnn'
        ):
            names = [f'clustercnn.{node.attr}']
        else:
            continue
        found += [(name, id(node) in inside, node.lineno) for name in names]
    return found


def breaches_of(unit, is_kernel, source):
    """
    List the imports of a file that the layer table does not allow.
    """
    found = []
    for name, inside, line in imports_of(source):
        first, _, rest = name.partition('.')
        if first in sys.stdlib_module_names:
            continue
        if first == '':
            found.append(f'line {line}: relative import')
        elif first == 'clustercnn':
            target = rest.partition('.')[0]
            target = PARTS.get(target, target)
            if target in ('', unit) or target.startswith('__'):
                continue
            if target not in RANK:
                found.append(f'line {line}: {name} is not in the table of layers')
            elif RANK[target] >= RANK[unit]:
                found.append(f'line {line}: {unit} must not know {target}')
            elif unit in ARRAY_WORLD and target not in ARRAY_WORLD_MAY_USE:
                found.append(f'line {line}: {target} would bring the sky into {unit}')
        else:
            allowed = set(THIRD_PARTIES[unit])
            if inside:
                allowed |= THIRD_PARTIES_INSIDE_FUNCTIONS.get(unit, set())
            if is_kernel:
                allowed |= THIRD_PARTIES_IN_KERNELS.get(unit, set())
            if first not in allowed:
                found.append(f'line {line}: {unit} must not use {first} here')
    return found


def test_files_are_found():
    names = {name_of(path) for path in FILES}
    assert {'__init__.py', 'core/image.py', 'network/batch.py'} <= names


def test_every_unit_has_a_layer():
    units = {unit_of(path) for path in FILES} - {'__init__'}
    assert sorted(units - set(RANK)) == []
    assert set(THIRD_PARTIES) == set(RANK)


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_imports_point_down(path):
    unit = unit_of(path)
    if unit == '__init__':
        eager = {name for name, inside, _ in imports_of(path.read_text()) if not inside}
        allowed = {'importlib', 'clustercnn.core', 'clustercnn.io'}
        assert eager <= allowed, 'only the data model and the formats are loaded at once'
        return
    is_kernel = path.name.startswith('_') and path.name != '__init__.py'
    assert breaches_of(unit, is_kernel, path.read_text()) == []


@pytest.mark.parametrize(
    ('unit', 'is_kernel', 'source', 'message'),
    [
        ('core', False, 'import scipy.ndimage', 'core must not use scipy'),
        ('core', False, 'from clustercnn.io import fits', 'core must not know io'),
        ('core', False, 'def f():\n    import jax', 'core must not use jax'),
        ('finding', False, 'from clustercnn import cutouts', 'finding must not know cutouts'),
        ('finding', False, 'import jax', 'finding must not use jax'),
        ('network', False, 'import astropy.units', 'network must not use astropy'),
        ('training', False, 'from clustercnn.core import Band', 'would bring the sky'),
        ('labels', False, 'import matplotlib.pyplot', 'labels must not use matplotlib'),
        ('io', False, 'from . import hdf5', 'relative import'),
        ('io', False, 'from clustercnn.nowhere import x', 'not in the table'),
        ('io', False, 'import clustercnn\nx = clustercnn.pipeline', 'must not know pipeline'),
    ],
)
def test_a_breach_is_seen(unit, is_kernel, source, message):
    (breach,) = breaches_of(unit, is_kernel, source)
    assert message in breach


@pytest.mark.parametrize(
    ('unit', 'is_kernel', 'source'),
    [
        ('finding', True, 'import numba'),
        ('evaluation', False, 'def plot():\n    import matplotlib.pyplot'),
        ('classifier', False, 'from clustercnn._classifier_data import arrays'),
        ('training', False, 'from clustercnn.network import build'),
        ('cli', False, 'import os, sys'),
    ],
)
def test_what_is_allowed_passes(unit, is_kernel, source):
    assert breaches_of(unit, is_kernel, source) == []


def run_python(code):
    """
    Run code in a fresh interpreter and return what it prints.
    """
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_heavy():
    heavy = ('flax', 'h5py', 'jax', 'matplotlib', 'optax', 'photutils', 'regions', 'scipy')
    code = f'import sys, clustercnn; print([n for n in {heavy!r} if n in sys.modules])'
    assert run_python(code) == '[]'


def test_import_is_quick():
    # the time of the processor, in turn, and the best of each, because machines are shared
    code = 'import time; start = time.process_time(); import {}; print(time.process_time() - start)'
    ours, theirs = [], []
    for _ in range(5):
        theirs.append(float(run_python(code.format('astropy.table'))))
        ours.append(float(run_python(code.format('clustercnn'))))
    assert min(ours) - min(theirs) < 0.3


def test_help_does_not_load_jax():
    code = (
        'import contextlib, io, sys\n'
        'from clustercnn.cli import main\n'
        'with contextlib.redirect_stdout(io.StringIO()):\n'
        '    status = main(["--help"])\n'
        'print(status, [n for n in ("jax", "matplotlib", "scipy") if n in sys.modules])'
    )
    assert run_python(code) == '0 []'


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_head_of_file(path):
    lines = path.read_text().splitlines()
    assert lines[0] == LICENCE
    assert len(lines) <= N_LINES_MAX, 'split it by subject'
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), 'say what belongs in the module'
    if path.name != '__main__.py':
        assigned = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert '__all__' in assigned


_UNSAFE_MODULES = {'cloudpickle', 'dill', 'joblib', 'marshal', 'pickle', 'shelve'}


def unsafe_in(source):
    """
    List what could execute the contents of a file or of a string.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, 'module', None) or '', *(alias.name for alias in node.names)]
            found += [f'line {node.lineno}: {n}' for n in names if n in _UNSAFE_MODULES]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in {'eval', 'exec', 'compile', 'yaml.load', 'yaml.unsafe_load', 'os.system'}:
            found.append(f'line {node.lineno}: {called}')
        for keyword in node.keywords:
            is_off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg in {'allow_pickle', 'shell'} and not is_off:
                found.append(f'line {node.lineno}: {keyword.arg}')
    return found


# tests pickle objects of their own making, so they are not among these
SOURCES = sorted(
    [
        *FILES,
        *(
            path
            for folder in ('benchmarks', 'docs', 'validation')
            for path in (ROOT / folder).rglob('*.py')
        ),
    ]
)


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_nothing_read_is_executed(path):
    assert unsafe_in(path.read_text()) == []


@pytest.mark.parametrize(
    'source',
    [
        'import pickle',
        'from pickle import loads',
        'import numpy as np\nnp.load(path, allow_pickle=True)',
        'yaml.load(text)',
        'eval(text)',
        'subprocess.run(text, shell=True)',
    ],
)
def test_unsafe_code_is_seen(source):
    assert len(unsafe_in(source)) == 1


def files_of_the_repository():
    """
    List the files that belong to the repository, without what git ignores.
    """
    try:
        listed = subprocess.run(
            ['git', '-C', ROOT, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split('\0')
        paths = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        # an unpacked archive
        passed = {'.git', '.tox', '.venv', 'build', '_build', '__pycache__'}
        paths = [p for p in ROOT.rglob('*') if not passed & set(p.relative_to(ROOT).parts)]
    return sorted(path for path in paths if path.is_file())


def test_no_path_of_a_machine():
    pattern = re.compile(r'(?<![\w.:/])/(work|tmp|root|home|Users)/\w|\b[A-Z]:\\\\?\w')
    found = []
    for path in files_of_the_repository():
        if path.suffix in {'.fits', '.h5', '.npz', '.png', '.safetensors'}:
            continue
        for number, line in enumerate(path.read_text(errors='replace').splitlines(), 1):
            if pattern.search(line) and path != Path(__file__).resolve():
                found.append(f'{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}')
    assert not found, '\n' + '\n'.join(found)
