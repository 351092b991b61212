# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Where a result comes from: inputs, versions, options, timings.
"""

import contextlib
import datetime as dt
import importlib.metadata
import os
import platform
import time
from pathlib import Path

import clustercnn
from clustercnn._utils.files import sha256

__all__ = ['Stopwatch', 'jax_backend', 'make_record', 'software_versions', 'system_information']

_PACKAGES = (
    'numpy',
    'scipy',
    'astropy',
    'photutils',
    'regions',
    'h5py',
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'safetensors',
    'matplotlib',
)


class Stopwatch:
    """
    Measure the stages of a piece of work.

    Examples
    --------
    >>> from clustercnn.provenance import Stopwatch
    >>> clock = Stopwatch()
    >>> with clock('add'):
    ...     total = sum(range(10))
    >>> list(clock.seconds)
    ['add']
    """

    def __init__(self):
        self._seconds = {}

    @contextlib.contextmanager
    def __call__(self, stage):
        """
        Measure one stage.

        Parameters
        ----------
        stage : str
            Its name; a stage that comes again adds up.

        Yields
        ------
        None
            Nothing.
        """
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self._seconds[stage] = self._seconds.get(stage, 0.0) + spent

    @property
    def seconds(self):
        """
        Wall-clock seconds by stage, rounded to milliseconds.
        """
        return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}


def software_versions():
    """
    Return the versions of this package and of those it stands on.

    Returns
    -------
    versions : dict of str to str
        By package, and of Python.

    Examples
    --------
    >>> from clustercnn.provenance import software_versions
    >>> sorted(software_versions())[:3]
    ['astropy', 'clustercnn', 'flax']
    """
    versions = {'clustercnn': clustercnn.__version__, 'python': platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = 'not installed'
    return versions


def jax_backend():
    """
    Return the kind of device that networks are computed on.

    Returns
    -------
    name : str
        Such as ``'cpu'`` or ``'gpu'``.

    Examples
    --------
    >>> from clustercnn.provenance import jax_backend
    >>> isinstance(jax_backend(), str)
    True
    """
    import jax

    return jax.default_backend()


def system_information():
    """
    Return what the package runs on: versions, processors, devices of jax, models.

    Returns
    -------
    information : dict
        JSON-ready.

    Examples
    --------
    >>> from clustercnn.provenance import system_information
    >>> system_information()['processors'] >= 1
    True
    """
    import jax

    from clustercnn.classifier import Classifier

    return {
        'versions': software_versions(),
        'platform': platform.platform(),
        'processors': len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count(),
        'jax_backend': jax_backend(),
        'jax_devices': [str(device) for device in jax.devices()],
        'models': list(Classifier.pretrained_names()),
        'package': str(Path(clustercnn.__file__).parent),
    }


def make_record(*, inputs, options, seed, timings, counts, notes=()):
    """
    Return the record of a run.

    Parameters
    ----------
    inputs : dict of str to str or path-like
        Files by role; objects that are not files are named by their type.
    options : dict
        Settings.
    seed : int
        Seed of everything random.
    timings : dict of str to float
        Seconds by stage.
    counts : dict
        What went in and came out.
    notes : iterable of str, optional
        What a reader should know.

    Returns
    -------
    record : dict
        JSON-ready.

    Examples
    --------
    >>> from clustercnn.provenance import make_record
    >>> record = make_record(inputs={}, options={}, seed=1, timings={}, counts={'found': 2})
    >>> record['counts']
    {'found': 2}
    """
    return {
        'created': dt.datetime.now(dt.UTC).isoformat(timespec='seconds'),
        'inputs': {name: _describe_input(source) for name, source in inputs.items()},
        'versions': software_versions(),
        'options': dict(options),
        'seed': seed,
        'timings': dict(timings),
        'counts': dict(counts),
        'notes': [str(note) for note in notes],
    }


def _describe_input(source):
    if not isinstance(source, (str, Path)):
        return {'object': type(source).__name__}
    path = Path(source)
    return {'path': str(path), 'bytes': path.stat().st_size, 'sha256': sha256(path)}
