# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Labelled cutouts of simulated fields, made by the real finder: what models learn from.
"""

import concurrent.futures
import hashlib
import json
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table

from clustercnn import __version__
from clustercnn._utils.files import atomic_path
from clustercnn._utils.processes import process_pool
from clustercnn._utils.progress import progress
from clustercnn.core import BandStack, CutoutStack, LabelSet
from clustercnn.cutouts import DEFAULT_GEOMETRY, CutoutMaker
from clustercnn.finding import WaveletFinder
from clustercnn.simulate import SimulationConfig, simulate_field

__all__ = [
    'MISSION_SHARES',
    'RANDOMISED_SHARE',
    'files_of_sample',
    'labels_of_sample',
    'make_field_sample',
    'make_sample',
    'mission_of',
    'write_sample',
]

MISSION_SHARES = {
    'xmm': 0.55,
    'erosita': 0.15,
    'erosita-pointed': 0.12,
    'chandra': 0.07,
    'rosat': 0.04,
    'ep': 0.07,
}
"""
Share of the fields that each mission gets; that of the mission most used for
serendipitous clusters is the largest.
"""


RANDOMISED_SHARE = 0.7
"""
Share of the fields whose every nuisance is drawn; the others have the usual settings of
their mission, which most users will have.
"""


def mission_of(seed):
    """
    Return the mission of a field.

    Parameters
    ----------
    seed : int
        Seed of the field.

    Returns
    -------
    mission : str
        Drawn by `MISSION_SHARES`.

    Examples
    --------
    >>> from clustercnn.models.sample import MISSION_SHARES, mission_of
    >>> mission_of(7) in MISSION_SHARES
    True
    """
    draw = np.random.default_rng([seed, 77]).random()
    edges = np.cumsum(list(MISSION_SHARES.values()))
    return list(MISSION_SHARES)[int(np.searchsorted(edges, draw * edges[-1], side='right'))]


def make_field_sample(seed, *, mission=None, randomised=None, config=None, n_point_max=None):
    """
    Simulate a field, find its sources, cut them out and label them by their photons.

    Parameters
    ----------
    seed : int
        Seed of the field.
    mission : str, optional
        Drawn by `mission_of` if not given.
    randomised : bool, optional
        Whether every nuisance is drawn from its wide range, or the mission's usual
        settings are used; drawn by `RANDOMISED_SHARE` if not given.
    config : `~clustercnn.simulate.SimulationConfig`, optional
        Settings to use instead of those.
    n_point_max : int, optional
        Keep at most so many point sources; those kept carry the weight of the others,
        so that the prior of the classes stays that of the sky.

    Returns
    -------
    stack : CutoutStack or None
        None if nothing was found.
    label_set : LabelSet or None
        Labels of the same identifiers.
    matched : `~astropy.table.Table`
        Truth of each detection.

    Raises
    ------
    ValueError
        If both ``randomised`` and ``config`` are given.
    """
    if randomised is not None and config is not None:
        msg = "'randomised' chooses settings and 'config' gives them; give one of the two"
        raise ValueError(msg)
    mission = mission_of(seed) if mission is None else mission
    if config is None:
        if randomised is None:
            randomised = np.random.default_rng([seed, 79]).random() < RANDOMISED_SHARE
        config = SimulationConfig.randomised(seed, mission=mission) if randomised else None
    field = simulate_field(seed=seed, mission=mission, config=config)
    catalog = WaveletFinder()(field.xray)
    matched = field.match(catalog)
    if not len(catalog):
        return None, None, matched
    classes = np.array([str(name) for name in matched['class']])
    weight = np.ones(len(catalog))
    keep = np.ones(len(catalog), bool)
    points = np.flatnonzero(classes == 'point')
    if n_point_max is not None and len(points) > n_point_max:
        chosen = np.random.default_rng([seed, 78]).choice(points, n_point_max, replace=False)
        keep[points] = False
        keep[chosen] = True
        weight[chosen] = len(points) / n_point_max
    kept = catalog[keep]
    images = {'xray': field.xray}
    if field.optical is not None:
        images['optical'] = field.optical
    stack = CutoutMaker()(images, kept)
    ids = [f'{seed}-{name}' for name in kept.ids]
    label_set = LabelSet.from_labels(
        ids, classes[keep], weight=weight[keep], source=f'simulated {mission}'
    )
    matched['mission'] = mission
    return stack.replace(ids=ids), label_set, matched[keep]


def _origin_of(options):
    """
    Return what the samples of fields made now and with these options have in common.
    """
    options = make_field_sample.__kwdefaults__ | options

    def plain(value):
        return value.item() if isinstance(value, np.generic) else value.to_dict()

    text = json.dumps(options, sort_keys=True, default=plain)
    return {'version': __version__, 'options': hashlib.sha256(text.encode()).hexdigest()[:16]}


def _check_origin(path, origin):
    """
    Raise unless the sample of a field was made by this version and with these options.
    """
    try:
        found = json.loads(path.read_text())
        found = {name: found[name] for name in ('n', *origin)}
    except (ValueError, TypeError, KeyError):
        found = {}
    if all(found.get(name) == value for name, value in origin.items()):
        return
    was = 'it does not say by what'
    if found:
        was = f'by clustercnn {found["version"]} with options {found["options"]}'
    msg = (
        f'{path}: the sample of this field was made otherwise: {was}, now by clustercnn '
        f'{origin["version"]} with options {origin["options"]}; choose another folder, or remove '
        f'this one to make all fields again'
    )
    raise ValueError(msg)


def _make_and_write(seed, folder, options):
    target = Path(folder) / f'{seed}.json'
    if target.exists():
        return
    stack, label_set, matched = make_field_sample(seed, **options)
    if stack is not None:
        stack.write(Path(folder) / f'{seed}.h5', overwrite=True)
        label_set.write(Path(folder) / f'{seed}.ecsv', overwrite=True)
        matched.write(Path(folder) / f'{seed}.truth.ecsv', format='ascii.ecsv', overwrite=True)
    # written last: a field without this file is made again
    content = {'n': 0 if stack is None else len(stack)} | _origin_of(options)
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_text(json.dumps(content))


def _complete(stack):
    """
    Give a stack the planes that others have and it lacks.
    """
    bands = dict(stack.bands)
    xray = bands['xray']
    if xray.exposure is None:
        # an unknown exposure is treated as flat everywhere in the package
        bands['xray'] = xray.replace(exposure=np.where(xray.mask, 0.0, 1.0))
    if 'optical' not in bands:
        n_pixels, pixel_scale = DEFAULT_GEOMETRY['optical']
        shape = (len(stack), n_pixels, n_pixels)
        bands['optical'] = BandStack(
            name='optical',
            data=np.zeros(shape, np.float32),
            mask=np.ones(shape, bool),
            pixel_scale=pixel_scale,
            unit=u.adu,
        )
    return stack.replace(bands=bands)


def write_sample(folder, *, seeds, n_workers=2, quiet=None, **options):
    """
    Make the samples of many fields, in parallel and resumably, and leave them on the disk.

    Parameters
    ----------
    folder : str or path-like
        Where to keep the files of each field; fields already there are not made again.
    seeds : iterable of int
        Seeds of the fields.
    n_workers : int, optional
        Number of processes, each of which holds one field at a time.
    quiet : bool, optional
        Whether to hide the progress bar.
    **options
        See `make_field_sample`.

    Returns
    -------
    n_cutouts : int
        Number of cutouts of all these fields.

    Raises
    ------
    ValueError
        If a field in the folder was made by another version or with other options.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in seeds]
    there = [seed for seed in seeds if (folder / f'{seed}.json').exists()]
    origin = _origin_of(options)
    for seed in there:
        _check_origin(folder / f'{seed}.json', origin)
    missing = [seed for seed in seeds if seed not in set(there)]
    if missing:
        with process_pool(n_workers) as pool:
            jobs = [pool.submit(_make_and_write, seed, str(folder), options) for seed in missing]
            for job in progress(
                concurrent.futures.as_completed(jobs),
                total=len(jobs),
                label='fields',
                quiet=quiet,
                unit='field',
            ):
                job.result()
    return sum(_n_cutouts(folder, seed) for seed in seeds)


def _n_cutouts(folder, seed):
    return json.loads((folder / f'{seed}.json').read_text())['n']


def make_sample(folder, *, seeds, **options):
    """
    Make the samples of many fields and read them.

    Parameters
    ----------
    folder : str or path-like
        Where to keep the files of each field.
    seeds : iterable of int
        Seeds of the fields.
    **options
        See `write_sample`.

    Returns
    -------
    stack : CutoutStack
        Cutouts of all fields.
    label_set : LabelSet
        Their labels.
    groups : 1D `~numpy.ndarray` of int
        Seed of the field of each cutout, to split by sky.
    subclasses : list of str
        What each really is.

    Raises
    ------
    ValueError
        If nothing was found in any of these fields.
    """
    folder, seeds = Path(folder), [int(seed) for seed in seeds]
    write_sample(folder, seeds=seeds, **options)
    filled = [seed for seed in seeds if _n_cutouts(folder, seed)]
    label_set = labels_of_sample(folder, filled)
    stacks = [_complete(CutoutStack.read(path)) for path in files_of_sample(folder, filled)]
    groups = [np.full(len(stack), seed) for stack, seed in zip(stacks, filled, strict=True)]
    subclasses = []
    for seed in filled:
        truth = Table.read(folder / f'{seed}.truth.ecsv', format='ascii.ecsv')
        subclasses += [str(name) for name in truth['subclass']]
    return CutoutStack.concatenate(stacks), label_set, np.concatenate(groups), subclasses


def files_of_sample(folder, seeds):
    """
    Return the files of cutouts that `write_sample` left.

    Parameters
    ----------
    folder : str or path-like
        Folder of the sample.
    seeds : iterable of int
        Seeds of its fields.

    Returns
    -------
    paths : list of `~pathlib.Path`
        One a field in which something was found.
    """
    folder = Path(folder)
    return [folder / f'{seed}.h5' for seed in seeds if _n_cutouts(folder, seed)]


def labels_of_sample(folder, seeds):
    """
    Read the labels that `write_sample` left.

    Parameters
    ----------
    folder : str or path-like
        Folder of the sample.
    seeds : iterable of int
        Seeds of its fields.

    Returns
    -------
    label_set : LabelSet
        In the order of `files_of_sample` and of the cutouts in each file.

    Raises
    ------
    ValueError
        If nothing was found in any of these fields.
    """
    paths = [path.with_suffix('.ecsv') for path in files_of_sample(folder, seeds)]
    if not paths:
        msg = f'{folder}: nothing was found in any of these fields; make the sample of more fields'
        raise ValueError(msg)
    labels = [LabelSet.read(path) for path in paths]
    return LabelSet(
        ids=[name for part in labels for name in part.ids],
        probability=np.concatenate([part.probability for part in labels]),
        weight=np.concatenate([part.weight for part in labels]),
        source=[name for part in labels for name in part.source],
    )
