# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Many simulated fields: as folders on disk, and as labelled cutouts that went
through a real finder.
"""

import collections
import dataclasses
import json
from pathlib import Path

import numpy as np
from astropy.table import Table

from clustercnn._utils.files import atomic_path
from clustercnn._utils.progress import progress as progress_bar
from clustercnn._utils.validation import check_positive
from clustercnn.core import BandStack, CutoutStack, LabelSet
from clustercnn.exceptions import TrainingError
from clustercnn.simulate._sources import CLASS_NAMES
from clustercnn.simulate.config import SimulationConfig
from clustercnn.simulate.field import simulate_field
from clustercnn.simulate.missions import get_mission

__all__ = ['TrainingSet', 'field_seed', 'simulate_fields', 'simulate_training_set']


def field_seed(seed, index):
    """
    Return the seed of one field of a set.

    Parameters
    ----------
    seed : int
        Seed of the set.
    index : int
        Number of the field in the set, from 0.

    Returns
    -------
    seed : int
        The same for the same arguments, whatever the size of the set; below
        2**62.

    Examples
    --------
    >>> from clustercnn.simulate import field_seed
    >>> field_seed(1, 0) == field_seed(1, 0), field_seed(1, 0) == field_seed(1, 1)
    (True, False)
    """
    state = np.random.SeedSequence([int(seed), int(index), 11]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(2))


def _configuration(config, seed, mission):
    # one configuration for all, a function of the seed, or randomised
    if config is None:
        return SimulationConfig.randomised(seed, mission=mission)
    return config(seed) if callable(config) else config


def _check_count(n_fields):
    if int(check_positive('n_fields', n_fields)) != n_fields:
        msg = f"'n_fields' must be a whole number, got {n_fields!r}"
        raise ValueError(msg)
    return int(n_fields)


def simulate_fields(
    directory, *, mission='xmm', n_fields, seed, config=None, overwrite=False, progress=True
):
    """
    Simulate fields into folders, going on where an earlier run stopped.

    Each field is a folder ``field_00000``, ... as
    `~clustercnn.simulate.SimulatedField.write` makes it; ``fields.ecsv`` lists
    those that are complete and is replaced whole after each.

    Parameters
    ----------
    directory : str or path-like
        Where to write; created if it does not exist.
    mission : str or `Mission`, optional
        Telescope.
    n_fields : int
        How many.
    seed : int
        Seed of the set; field ``i`` has the seed ``field_seed(seed, i)``.
    config : `SimulationConfig` or callable, optional
        Settings of all fields, or a function from the seed of a field to its
        settings; by default every field is randomised.
    overwrite : bool, optional
        Make complete fields anew instead of keeping them, and replace fields
        that were made with another seed, mission or configuration.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    index : `~astropy.table.Table`
        One row a field: field (name of the folder), seed, mission, instrument,
        exposure, pixel_scale, n_counts, n_<class> (sources with 10 counts or
        more), optical.

    Raises
    ------
    FileExistsError
        If a folder holds a field of another seed, mission or configuration.

    Examples
    --------
    >>> import tempfile
    >>> from clustercnn.simulate import SimulationConfig, simulate_fields
    >>> config = SimulationConfig(optical=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     index = simulate_fields(folder, n_fields=1, seed=2, config=config, progress=False)
    >>> index.colnames[:3]
    ['field', 'seed', 'mission']
    """
    n_fields = _check_count(n_fields)
    mission = get_mission(mission)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    rows = []
    steps = range(n_fields)
    quiet = None if progress else True
    for index in progress_bar(steps, label='simulating', quiet=quiet, unit='field'):
        name = f'field_{index:05d}'
        one_seed = field_seed(seed, index)
        settings = _configuration(config, one_seed, mission)
        row = None if overwrite else _finished(directory / name, one_seed, mission, settings)
        if row is None:
            field = simulate_field(seed=one_seed, mission=mission, config=settings)
            field.write(directory / name, overwrite=overwrite)
            row = _index_row(name, field, mission)
            with atomic_path(directory / name / 'summary.json', overwrite=True) as temporary:
                temporary.write_text(json.dumps(row) + '\n')
        rows.append(row)
        table = Table(rows=rows)
        table.meta = {'simulated': True, 'seed': int(seed), 'mission': mission.name}
        with atomic_path(directory / 'fields.ecsv', overwrite=True) as temporary:
            table.write(temporary, format='ascii.ecsv')
    return table


def _finished(folder, seed, mission, config):
    if not (folder / 'field.json').exists() or not (folder / 'summary.json').exists():
        (folder / 'field.json').unlink(missing_ok=True)
        return None
    facts = json.loads((folder / 'field.json').read_text())
    row = json.loads((folder / 'summary.json').read_text())
    # settings that are newer than the folder have their defaults there
    settings = SimulationConfig.from_dict(facts['config'])
    if (facts['seed'], row['mission'], settings) != (seed, mission.name, config):
        msg = (
            f'{folder}: holds a field of another seed, mission or configuration; '
            f'choose another folder, or overwrite it (--overwrite, overwrite=True)'
        )
        raise FileExistsError(msg)
    return row


def _index_row(name, field, mission):
    bright = field.truth['n_counts'] >= 10
    classes = [str(value) for value in field.truth['class'][bright]]
    return {
        'field': name,
        'seed': field.seed,
        'mission': mission.name,
        'instrument': field.xray.instrument,
        'exposure': round(float(field.exposure.max()), 1),
        'pixel_scale': round(float(field.xray.pixel_scale.value), 4),
        'n_counts': int(field.xray.n_counts),
        **{f'n_{class_name}': classes.count(class_name) for class_name in CLASS_NAMES},
        'optical': field.config.optical or 'none',
    }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TrainingSet:
    """
    Labelled cutouts of simulated fields.

    Unpacks as ``stack, labels, field = training_set``.

    Parameters
    ----------
    stack : `~clustercnn.core.CutoutStack`
        Cutouts of the detections that were kept; ids are
        ``<field>-<detection>``.
    labels : `~clustercnn.core.LabelSet`
        Class of each by the origin of its photons.
    field : (n,) `~numpy.ndarray` of int32
        Number of the field each comes from: split by it, so that cutouts of
        one field never lie on both sides.
    matches : `~astropy.table.Table`
        Rows of `~clustercnn.simulate.SimulatedField.match` of all detections,
        with columns field, id and kept.
    summary : dict
        How many fields and detections there were, how many were kept and
        left out, by class and sub-class.

    See Also
    --------
    simulate_training_set : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from clustercnn.simulate import TrainingSet
    >>> from clustercnn.testing import tiny_labels, tiny_stack
    >>> training_set = TrainingSet(stack=tiny_stack(), labels=tiny_labels(),
    ...                            field=np.zeros(6, 'i4'), matches=Table(), summary={})
    >>> stack, labels, field = training_set
    >>> len(stack), labels.schema.positive
    (6, ('cluster',))
    """

    stack: CutoutStack
    labels: LabelSet
    field: np.ndarray
    matches: Table
    summary: dict

    def __iter__(self):
        return iter((self.stack, self.labels, self.field))

    def __len__(self):
        return len(self.stack)

    def __repr__(self):
        kept = ', '.join(f'{n} {name}' for name, n in self.summary['n_kept'].items())
        return (
            f'<TrainingSet of {len(self)} simulated cutouts from '
            f'{self.summary["n_fields"]} fields: {kept}>'
        )


def simulate_training_set(
    *,
    n_fields,
    seed,
    find,
    cut,
    mission='xmm',
    config=None,
    max_share=None,
    radius=None,
    cluster_share=0.5,
    progress=True,
):
    """
    Simulate fields, find and cut their sources, and label them by photon origin.

    Parameters
    ----------
    n_fields : int
        How many fields.
    seed : int
        Seed of the set.
    find : callable
        Takes an `~clustercnn.core.XrayImage`, returns a
        `~clustercnn.core.CandidateCatalog`.
    cut : callable
        Takes a mapping of images (``'xray'``, and ``'optical'`` where there is
        one) and a catalogue, returns a `~clustercnn.core.CutoutStack` with
        the ids of the catalogue.
    mission : str, `Mission` or sequence of them, optional
        Telescope; of several, field ``i`` takes number ``i`` modulo their
        number.
    config : `SimulationConfig` or callable, optional
        As for `simulate_fields`; by default every field is randomised.
    max_share : float, optional
        Thin every other class out, at random (with the seed) and field by
        field, so that it has at most this many times the number of clusters
        so far. Point sources outnumber the rest in any real field. By
        default all are kept.
    radius : `~astropy.units.Quantity`, optional
        As for `~clustercnn.simulate.SimulatedField.match`.
    cluster_share : float, optional
        As for `~clustercnn.simulate.SimulatedField.match`.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    training_set : `TrainingSet`
        Unpacks as stack, labels, field numbers; its summary says what was
        left out and why.

    Raises
    ------
    TrainingError
        If not one source was found.

    Examples
    --------
    A finder and a cutter are any two functions; here they take the middle of
    the image and the pixels about it.

    >>> import astropy.units as u
    >>> from clustercnn.core import BandStack, CandidateCatalog, CutoutStack
    >>> from clustercnn.simulate import SimulationConfig, simulate_training_set
    >>> def find(image):
    ...     sky = image.center
    ...     return CandidateCatalog.from_columns(ra=[sky.ra.deg], dec=[sky.dec.deg])
    >>> def cut(images, catalog):
    ...     image = images['xray']
    ...     x, y = (int(v[0]) for v in image.sky_to_pixel(catalog.positions))
    ...     data = image.counts[None, y - 8 : y + 8, x - 8 : x + 8]
    ...     band = BandStack(name='xray', data=data, pixel_scale=image.pixel_scale, unit=u.ct)
    ...     return CutoutStack(ids=catalog.ids, bands=[band])
    >>> stack, labels, field = simulate_training_set(
    ...     n_fields=2, seed=1, find=find, cut=cut, config=SimulationConfig(optical=None),
    ...     progress=False)
    >>> stack['xray'].shape, len(labels), field.tolist()
    ((2, 16, 16), 2, [0, 1])
    """
    n_fields = _check_count(n_fields)
    missions = [mission] if isinstance(mission, str) or hasattr(mission, 'psf') else list(mission)
    stacks, tables = [], []
    n_kept = collections.Counter()
    bar = progress_bar(
        range(n_fields), label='training set', quiet=None if progress else True, unit='field'
    )
    n_detections = n_without_cutout = 0
    for index in bar:
        one_mission = get_mission(missions[index % len(missions)])
        one_seed = field_seed(seed, index)
        settings = _configuration(config, one_seed, one_mission)
        field = simulate_field(seed=one_seed, mission=one_mission, config=settings)
        catalog = find(field.xray)
        n_detections += len(catalog)
        if len(catalog) == 0:
            continue
        matches = field.match(catalog, radius=radius, cluster_share=cluster_share)
        stack = cut(field.images, catalog)
        rows = {name: row for row, name in enumerate(matches['id'])}
        n_without_cutout += len(catalog) - len(stack)
        if len(stack) == 0:
            continue
        matches = matches[[rows[name] for name in stack.ids]]
        names = [f'{index:05d}-{name}' for name in stack.ids]
        matches['id'] = names
        matches['field'] = np.full(len(stack), index, dtype=np.int32)
        # thinned out field by field, so that the memory holds only what is kept
        matches['kept'] = _thin(matches['class'], n_kept, max_share, [int(seed), index, 13])
        chosen = np.flatnonzero(matches['kept'])
        n_kept.update(str(name) for name in matches['class'][chosen])
        stacks.append(_with_flat_exposure(stack.replace(ids=tuple(names))[chosen]))
        tables.append(matches)
        bar.set_postfix_str(f'{n_kept.total()} cutouts')
    if not n_kept:
        msg = (
            f'no source was found in {n_fields} simulated fields; lower the threshold of the '
            f'finder or simulate longer exposures'
        )
        raise TrainingError(msg)
    table = _stack_tables(tables)
    chosen = np.flatnonzero(table['kept'])
    stack = CutoutStack.concatenate(_with_all_bands([stack for stack in stacks if len(stack)]))
    labels = LabelSet.from_labels(
        list(stack.ids), [str(name) for name in table['class'][chosen]], source='simulation'
    )
    summary = {
        'simulated': True,
        'seed': int(seed),
        'n_fields': n_fields,
        'n_detections': n_detections,
        'n_without_cutout': n_without_cutout,
        'n_kept': _tally(table['class'][chosen]),
        'n_thinned_out': _tally(table['class'][~table['kept']]),
        'n_kept_subclass': _tally(table['subclass'][chosen]),
    }
    return TrainingSet(
        stack=stack,
        labels=labels,
        field=np.asarray(table['field'][chosen]),
        matches=table,
        summary=summary,
    )


def _stack_tables(tables):
    columns = {
        name: np.concatenate([np.asarray(table[name]) for table in tables])
        for name in tables[0].colnames
    }
    table = Table(columns)
    for name in ('radius', 'separation'):
        table[name].unit = 'arcsec'
    return table


def _tally(names):
    values, numbers = np.unique(np.asarray(names, str), return_counts=True)
    return {str(value): int(number) for value, number in zip(values, numbers, strict=True)}


def _thin(names, n_kept, max_share, seed):
    names = np.asarray(names, str)
    kept = np.ones(len(names), dtype=bool)
    if max_share is None:
        return kept
    n_clusters = n_kept['cluster'] + int((names == 'cluster').sum())
    limit = int(np.ceil(check_positive('max_share', max_share) * max(1, n_clusters)))
    rng = np.random.default_rng(seed)
    for name in CLASS_NAMES[1:]:
        order = rng.permutation(np.flatnonzero(names == name))
        kept[order[max(0, limit - n_kept[name]) :]] = False
    return kept


def _with_all_bands(stacks):
    # a field without an optical image has a band of which nothing was seen
    known = {name: band for stack in stacks for name, band in stack.bands.items()}
    complete = []
    for stack in stacks:
        bands = []
        for name, model in known.items():
            shape = (len(stack), *model.data.shape[1:])
            missing = BandStack(
                name=name,
                data=np.zeros(shape, np.float32),
                mask=np.ones(shape, bool),
                pixel_scale=model.pixel_scale,
                unit=model.unit,
            )
            bands.append(stack.bands.get(name, missing))
        complete.append(stack.replace(bands=bands))
    return complete


def _with_flat_exposure(stack):
    # fields without an exposure map would take the map away from all others when joined;
    # an unknown exposure is treated as flat everywhere else too
    bands = []
    for band in stack.bands.values():
        if band.name == 'xray' and band.exposure is None:
            band = band.replace(exposure=(~band.mask).astype(np.float32))
        bands.append(band)
    return stack.replace(bands=bands)
