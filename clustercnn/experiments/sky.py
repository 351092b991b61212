# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Candidates of simulated fields, found and selected as extended by the real finder; kept chunk by
chunk, so that an interrupted run goes on where it stopped.
"""

import collections
import concurrent.futures
import contextlib
import math
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table, vstack

from clustercnn._utils.files import atomic_path
from clustercnn._utils.processes import process_pool
from clustercnn._utils.progress import progress
from clustercnn.core import CutoutStack
from clustercnn.cutouts import CutoutMaker
from clustercnn.exceptions import ClusterCNNError, TrainingError
from clustercnn.finding import WaveletFinder
from clustercnn.simulate import SimulationConfig, field_seed, simulate_field

__all__ = ['candidates_of_field', 'collect_candidates', 'executor', 'is_selected']

_COLUMNS = ('id', 'field', 'class', 'subclass', 'redshift', 'counts', 'extent', 'ext_like')
# a selection that passes less than one candidate in so many fields is a mistake
_MOST_FIELDS = 50


def is_selected(catalog, config):
    """
    Say which candidates are extended enough.

    Parameters
    ----------
    catalog : CandidateCatalog
        Of the finder.
    config : Kosiba2020Config
        Has the limits.

    Returns
    -------
    selected : 1D `~numpy.ndarray` of bool
        Shape ``(n,)``.
    """
    extent = u.Quantity(catalog['extent'], u.arcsec).value
    return (extent > config.minimum_extent) & (
        np.asarray(catalog['ext_like']) > config.minimum_ext_like
    )


def candidates_of_field(seed, config):
    """
    Simulate a field, find its sources and cut out those that are extended.

    Parameters
    ----------
    seed : int
        Of the field.
    config : Kosiba2020Config
        Settings.

    Returns
    -------
    stack : CutoutStack or None
        None if no source was selected.
    table : `~astropy.table.Table`
        One row a cutout: id, field (its seed), class, subclass, redshift (NaN if not a
        cluster), counts, extent, ext_like.
    n_found : int
        Sources before the selection.
    """
    rng = np.random.default_rng([seed, 43])
    settings = SimulationConfig(
        exposure=rng.choice(config.exposures) * u.ks,
        optical_depth=float(rng.choice(config.optical_depths)),
        cluster_boost=config.cluster_boost,
        cluster_tilt=config.cluster_tilt,
    )
    field = simulate_field(seed=seed, mission='xmm', config=settings)
    catalog = WaveletFinder()(field.xray)
    n_found = len(catalog)
    # before the selection: which detection is the main one of a source hangs on all of them
    matches = field.match(catalog)
    chosen = np.flatnonzero(is_selected(catalog, config))
    if not len(chosen):
        return None, Table(), n_found
    catalog, matches = catalog[chosen], matches[chosen]
    geometry = {name: (n, scale * u.arcsec) for name, n, scale in config.geometry}
    stack = CutoutMaker(geometry=geometry)(field.images, catalog, progress=False)
    names = [f'{seed}-{name}' for name in catalog.ids]
    redshift = np.concatenate([[np.nan], np.asarray(field.truth['redshift'], float)])
    classes = np.asarray(matches['class'], str)
    table = Table()
    table['id'] = np.array(names)
    table['field'] = np.full(len(names), seed, np.int64)
    table['class'], table['subclass'] = classes, np.asarray(matches['subclass'], str)
    redshift = redshift[np.asarray(matches['source_id'])]
    table['redshift'] = np.where(classes == 'cluster', redshift, np.nan)
    for name in ('counts', 'extent', 'ext_like'):
        table[name] = np.asarray(u.Quantity(catalog[name]).value, float)
    return stack.replace(ids=names), table, n_found


def _make_chunk(folder, name, seeds, config):
    """
    Make the candidates of some fields and keep them.
    """
    target = Path(folder) / f'{name}.ecsv'
    stacks, tables, n_found = [], [], 0
    for seed in seeds:
        stack, table, found = candidates_of_field(seed, config)
        n_found += found
        if stack is not None:
            stacks.append(stack)
            tables.append(table)
    whole = vstack(tables) if tables else Table(names=_COLUMNS)
    whole.meta = {'simulated': True, 'n_fields': len(seeds), 'n_found': n_found}
    if stacks:
        CutoutStack.concatenate(stacks).write(target.with_suffix('.h5'), overwrite=True)
    # written last: a chunk without its table is made again
    with atomic_path(target, overwrite=True) as temporary:
        whole.write(temporary, format='ascii.ecsv')


class _Here:
    """
    An executor without other processes.
    """

    def submit(self, function, *arguments):
        future = concurrent.futures.Future()
        future.set_result(function(*arguments))
        return future


@contextlib.contextmanager
def executor(n_workers, *, initializer=None, arguments=()):
    """
    Give what long work is left to.

    Parameters
    ----------
    n_workers : int
        Processes; with one the work is done here.
    initializer : callable, optional
        What each process calls first.
    arguments : tuple, optional
        Of the initializer.

    Yields
    ------
    pool : object
        Something with ``submit``.

    Raises
    ------
    ClusterCNNError
        If a process ends before its work is done.
    """
    if n_workers == 1:
        if initializer is not None:
            initializer(*arguments)
        yield _Here()
        return
    pool = process_pool(n_workers, initializer=initializer, arguments=arguments)
    try:
        yield pool
    except BrokenProcessPool as error:
        msg = (
            f'one of {n_workers} processes ended before its work was done, most often for want of '
            "memory, or in a script without if __name__ == '__main__'; what is done is kept: start "
            'again, with fewer processes'
        )
        raise ClusterCNNError(msg) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def collect_candidates(folder, group, *, config, wanted, pool, n_ahead=1, quiet=None):
    """
    Make candidates until there are enough of each kind.

    Parameters
    ----------
    folder : path-like
        Where chunks of fields are kept; those already there are not made again.
    group : int
        Number of the piece of sky: fields of different groups share nothing.
    config : Kosiba2020Config
        Settings.
    wanted : dict of str to int
        Candidates wanted: ``'all'``, ``'positive'``, ``'negative'``.
    pool : object
        From `executor`.
    n_ahead : int, optional
        Chunks that are being made at a time.
    quiet : bool, optional
        Whether to hide the progress bar.

    Returns
    -------
    stack : CutoutStack
        In the order of the fields, whatever the number of processes.
    table : `~astropy.table.Table`
        A row a cutout, see `candidates_of_field`; the metadata count fields and sources found.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    have = collections.Counter()
    tables, files, pending = [], [], collections.deque()
    n_submitted = 0
    total = max(wanted.values())
    with progress(total=total, label=f'sky {group}', quiet=quiet, unit='candidates') as bar:
        while any(have[kind] < number for kind, number in wanted.items()):
            while len(pending) < n_ahead:
                first = n_submitted * config.fields_a_chunk
                numbers = range(first, first + config.fields_a_chunk)
                seeds = [field_seed(config.seed * 16 + group, number) for number in numbers]
                name = f'{group}-{n_submitted:04d}'
                # a chunk that is there does not wait for processes to start
                there = (folder / f'{name}.ecsv').exists()
                job = None if there else pool.submit(_make_chunk, str(folder), name, seeds, config)
                pending.append((name, job))
                n_submitted += 1
            # in the order of the fields, so that the number of processes changes nothing
            name, job = pending.popleft()
            if job is not None:
                job.result()
            table = Table.read(folder / f'{name}.ecsv', format='ascii.ecsv')
            if len(table):
                tables.append(table)
                files.append(folder / f'{name}.h5')
                positive = int((np.asarray(table['class'], str) == 'cluster').sum())
                have.update(all=len(table), positive=positive, negative=len(table) - positive)
            share = min(have[kind] / number for kind, number in wanted.items() if number)
            bar.n = min(total, math.floor(share * total))
            bar.refresh()
            have.update(n_fields=table.meta['n_fields'], n_found=table.meta['n_found'])
            if have['n_fields'] > _MOST_FIELDS * (total + config.fields_a_chunk):
                msg = (
                    f'only {have["all"]} candidates pass the selection in {have["n_fields"]} '
                    'simulated fields; lower the limits of extent and likelihood'
                )
                raise TrainingError(msg)
    whole = vstack(tables, metadata_conflicts='silent')
    whole.meta = {
        'simulated': True,
        'n_fields': have['n_fields'],
        'n_found': have['n_found'],
        'n_selected': len(whole),
    }
    return CutoutStack.concatenate([CutoutStack.read(path) for path in files]), whole
