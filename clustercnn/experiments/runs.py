# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The trainings of the experiment, each kept as a JSON file of its own once it is done.
"""

import concurrent.futures
import json
import math
import re
import time
from pathlib import Path

import numpy as np

from clustercnn._utils.files import atomic_path
from clustercnn._utils.progress import progress
from clustercnn.classifier import Classifier
from clustercnn.experiments.config import run_seed
from clustercnn.experiments.sky import executor
from clustercnn.provenance import jax_backend

__all__ = ['json_ready', 'load_runs', 'train_runs', 'write_json']

_KNOWN = {}


def write_json(path, content):
    """
    Write a JSON file whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; replaced if it exists.
    content : dict
        See `json_ready`.
    """
    text = json.dumps(json_ready(content), indent=1, allow_nan=False)
    # lists of numbers on one line each
    text = re.sub(r'\[\s+([-0-9.eE,\s]+?)\s+\]', lambda m: f'[{" ".join(m[1].split())}]', text)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')


def json_ready(value):
    """
    Return what a JSON file of it would hold.

    Parameters
    ----------
    value : object
        Dictionaries, lists, tuples, numbers and texts, nested.

    Returns
    -------
    value : object
        With lists for tuples, and None for what is not a finite number.

    Examples
    --------
    >>> from clustercnn.experiments.runs import json_ready
    >>> json_ready({'interval': (0.5, float('inf'))})
    {'interval': [0.5, None]}
    """
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _path(folder, curve, run):
    name = re.sub(r'[^a-z0-9+]+', '-', curve.name.lower())
    return Path(folder) / f'{name}-{run:02d}.json'


def _seen_by(stack, curve):
    """
    Return the cutouts with the bands and numbers that a curve uses.
    """
    bands = [stack.band(name) for name in curve.bands]
    return stack.replace(bands=bands, features=stack.features if curve.features else {})


def _train_once(curve, run, sample, config):
    """
    Train once and say what the test objects are; JSON-ready.
    """
    labels = sample.label_sets[curve.labels]
    stack = _seen_by(sample.stack.select(labels.ids), curve)
    seed = run_seed(config, run)
    classifier = Classifier(
        network=curve.network,
        seed=seed,
        n_epochs=config.n_epochs,
        batch_size=config.batch_size,
        ensemble=curve.n_members,
        network_options=config.network_options(curve.network),
    )
    started, processor = time.perf_counter(), time.process_time()
    classifier.fit(stack, labels, groups=sample.group_of(stack.ids), progress=False)
    training = time.perf_counter() - started
    started = time.perf_counter()
    found = {}
    for name, ids in sample.tests.items():
        prediction = classifier.predict(_seen_by(sample.stack.select(ids), curve))
        found[name] = {
            'p_positive': [round(float(p), 6) for p in prediction.p_positive],
            'class': [int(code) for code in prediction.hard()],
        }
    seconds = {
        'training': round(training, 2),
        'prediction': round(time.perf_counter() - started, 2),
        'processor': round(time.process_time() - processor, 2),
    }
    n_validation = classifier.metadata['validation']['n']
    return {
        'curve': curve.name,
        'run': run,
        'seed': seed,
        'n_training': classifier.metadata['counts']['used'] - n_validation,
        'n_validation': n_validation,
        'n_parameters': classifier.n_parameters,
        'best_epoch': list(classifier.metadata['best_epoch']),
        'temperature': round(float(classifier.metadata['temperature']), 6),
        'tests': found,
        'device': jax_backend(),
        'seconds': seconds,
    }


def _know(sample, config):
    """
    Let a process know what it trains on, once and not with every run.
    """
    _KNOWN['sample'], _KNOWN['config'] = sample, config


def _keep_run(path, curve, run):
    """
    Train once and keep what came of it; called in the processes.
    """
    write_json(path, _train_once(curve, run, _KNOWN['sample'], _KNOWN['config']))


def train_runs(folder, sample, *, config, n_workers=1, quiet=None):
    """
    Train what is not trained yet.

    Parameters
    ----------
    folder : path-like
        Where the runs are kept.
    sample : ExperimentSample
        Labels, and what is predicted.
    config : Kosiba2020Config
        Settings.
    n_workers : int, optional
        Processes, each of which trains one run at a time: two do more on two cores than one
        training that is spread over both.
    quiet : bool, optional
        Whether to hide the progress bar.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    missing = [
        (curve, run)
        for curve in config.curves(real=sample.kind == 'real')
        for run in range(curve.n_runs)
        if not _path(folder, curve, run).exists()
    ]
    costs = [
        round(config.cost(curve, len(sample.label_sets[curve.labels]))) for curve, _ in missing
    ]
    n_workers = max(1, min(n_workers, len(missing)))
    # by the time that each takes, so that the time left is right
    with (
        progress(total=sum(costs), label='training', quiet=quiet, unit='core s') as bar,
        executor(n_workers, initializer=_know, arguments=(sample, config)) as pool,
    ):
        pending = {}
        for number, ((curve, run), cost) in enumerate(zip(missing, costs, strict=True), 1):
            bar.set_postfix_str(f'{curve.name} {run + 1}/{curve.n_runs}, {number}/{len(missing)}')
            pending[pool.submit(_keep_run, _path(folder, curve, run), curve, run)] = cost
            # no more than are trained at a time, so that the bar tells which
            while len(pending) >= n_workers or (pending and number == len(missing)):
                done, _ = concurrent.futures.wait(pending, return_when='FIRST_COMPLETED')
                for job in done:
                    job.result()
                    bar.update(pending.pop(job))
    _KNOWN.clear()


def load_runs(folder, sample, *, config):
    """
    Read the runs of each curve.

    Parameters
    ----------
    folder : path-like
        Where `train_runs` kept them.
    sample : ExperimentSample
        What was predicted.
    config : Kosiba2020Config
        Settings.

    Returns
    -------
    runs : dict of str to list of dict
        By curve, with arrays for the predictions.

    Raises
    ------
    ValueError
        If a run does not fit the sample.
    """
    found = {}
    for curve in config.curves(real=sample.kind == 'real'):
        found[curve.name] = []
        for run in range(curve.n_runs):
            path = _path(folder, curve, run)
            entry = json.loads(path.read_text(encoding='utf-8'))
            for name, ids in sample.tests.items():
                values = entry['tests'].get(name, {})
                entry['tests'][name] = {key: np.array(value) for key, value in values.items()}
                if [len(value) for value in entry['tests'][name].values()] != [len(ids)] * 2:
                    msg = f'{path}: does not fit the {name} sample; remove it to train it again'
                    raise ValueError(msg)
            found[curve.name].append(entry)
    return found
