# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the networks of the experiment learn from and are tested on: simulated, with simulated
people, or the published image set.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from astropy.table import Table

from clustercnn import labels as people
from clustercnn import pipeline
from clustercnn._utils.files import atomic_path
from clustercnn.core import BandStack, CutoutStack, LabelSet
from clustercnn.exceptions import TableReadError, TrainingError
from clustercnn.experiments.config import PUBLISHED, XRAY_PICTURE
from clustercnn.experiments.sky import collect_candidates, executor
from clustercnn.io import read_kosiba2020
from clustercnn.io.zooniverse import read_votes
from clustercnn.simulate import EXPERTS, simulate_crowd

__all__ = ['ExperimentSample', 'published_sample', 'simulated_sample']

SPECTROSCOPIC, LARGE = 'spectroscopic', 'large'
N_EXPERTS = 2
# more than are wanted, in case nobody can tell what one is
_SPARE = 1.05
_METHODS = ('majority', 'dawid-skene', 'difficulty')


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentSample:
    """
    Candidates, what people say of them, and what they are.

    Parameters
    ----------
    kind : {'simulated', 'real'}
        Where they come from.
    stack : CutoutStack
        All cutouts.
    groups : 1D `~numpy.ndarray` or None
        Field of each, shape ``(n,)``.
    label_sets : dict of str to LabelSet
        What is learnt from: none of the test objects.
    truth : LabelSet
        What the test objects are.
    tests : dict of str to tuple of str
        Identifiers of each test sample.
    columns : dict of str to dict
        Counts, redshift, extension likelihood and subclass of the test objects by identifier.
    people : tuple of dict
        Answers on the spectroscopic sample: name, kind, and the probability of a cluster by
        identifier.
    facts : dict
        Numbers in and out, and how good the labels are; JSON-ready.
    """

    kind: str
    stack: CutoutStack
    groups: np.ndarray | None
    label_sets: dict
    truth: LabelSet
    tests: dict
    columns: dict
    people: tuple
    facts: dict

    def group_of(self, ids):
        """
        Return the fields of some candidates.

        Parameters
        ----------
        ids : iterable of str
            Identifiers.

        Returns
        -------
        groups : 1D `~numpy.ndarray` or None
            None where fields are not known.
        """
        if self.groups is None:
            return None
        place = {name: row for row, name in enumerate(self.stack.ids)}
        return self.groups[[place[name] for name in ids]]

    def digest(self):
        """
        Return a fingerprint of all that networks see and learn, and of what they are tested on.

        Returns
        -------
        digest : str
            Differs if any plane, number, label, group or name does.
        """
        code = hashlib.sha256()
        for band in self.stack.bands.values():
            _add(code, band.name, str(band.unit), float(band.pixel_scale.to_value('arcsec')))
            for name in ('data', 'mask', 'exposure', 'background', 'psf_fwhm'):
                _add(code, name, getattr(band, name))
        _add(code, self.stack.ids)
        for name, values in self.stack.features.items():
            _add(code, name, values)
        _add(code, 'groups', self.groups)
        for name, labels in (*self.label_sets.items(), ('truth', self.truth)):
            _add(code, name, labels.schema.classes, labels.schema.positive, labels.ids)
            _add(code, 'probability', labels.probability, 'weight', labels.weight)
        for name, ids in self.tests.items():
            _add(code, name, tuple(ids))
        return code.hexdigest()


def _add(code, *values):
    """
    Add arrays and texts to a fingerprint, each with its shape or length so that none runs into
    the next.
    """
    for value in values:
        if isinstance(value, np.ndarray):
            code.update(repr((value.shape, value.dtype.str)).encode())
            code.update(np.ascontiguousarray(value))
        else:
            code.update(repr(value).encode())


def _first(ids, known, number, what):
    """
    Return the first so many identifiers that are known.
    """
    chosen = [name for name in ids if name in known][:number]
    if len(chosen) < number:
        msg = f'only {len(chosen)} of the {number} {what} wanted got a label; take another seed'
        raise TrainingError(msg)
    return chosen


def _known(labels):
    return {labels.ids[row] for row in np.flatnonzero(labels.known)}


def simulated_sample(folder, *, config, n_workers=1, quiet=None):
    """
    Simulate the sky and the people, and read back what these say.

    Parameters
    ----------
    folder : path-like
        Where cutouts, ``experts.csv`` and ``votes.csv`` are kept.
    config : Kosiba2020Config
        Settings.
    n_workers : int, optional
        Processes that simulate fields.
    quiet : bool, optional
        Whether to hide progress bars.

    Returns
    -------
    sample : ExperimentSample
        Its three parts, training, spectroscopic and large test sample, are on different fields.
    """
    folder = Path(folder)
    wanted = {
        'positive': round(config.n_test_positive * _SPARE) + 2,
        'negative': round(config.n_test_negative * _SPARE) + 2,
    }
    n_pool = round(config.n_training * _SPARE) + 2
    groups = (
        (SPECTROSCOPIC, wanted),
        ('training', {'all': n_pool}),
        (LARGE, {'all': config.n_large}),
    )
    with executor(n_workers) as pool:
        parts = {
            name: collect_candidates(
                folder / 'sky',
                number,
                config=config,
                wanted=number_wanted,
                pool=pool,
                n_ahead=n_workers,
                quiet=quiet,
            )
            for number, (name, number_wanted) in enumerate(groups, start=1)
        }
    tables = {name: table for name, (_, table) in parts.items()}
    classes, counts = {}, {}
    for table in tables.values():
        classes |= dict(zip(table['id'].tolist(), table['class'].tolist(), strict=True))
        counts |= dict(zip(table['id'].tolist(), table['counts'].tolist(), strict=True))

    spectra = []
    for positive, kind in ((True, 'positive'), (False, 'negative')):
        ids = tables[SPECTROSCOPIC]['id'].tolist()
        spectra += [name for name in ids if (classes[name] == 'cluster') == positive][
            : wanted[kind]
        ]
    pool_ids = tables['training']['id'].tolist()
    n_test = config.n_test_positive + config.n_test_negative
    # the experts see the first of the pool
    n_asked = round((config.n_expert - n_test) * _SPARE) + 2
    # what misleads the experts misleads the volunteers, too
    rng = np.random.default_rng([config.seed, 47])
    names = [*spectra, *pool_ids]
    ease = dict(zip(names, rng.normal(0.0, config.ambiguity, len(names)), strict=True))
    experts, expert_votes = _ask_experts(
        folder, [*spectra, *pool_ids[:n_asked]], classes, counts, ease, config
    )
    by_experts = _known(experts)
    expert_ids = _first(pool_ids[:n_asked], by_experts, config.n_expert - n_test, 'for the experts')
    both = expert_ids[: config.n_both - n_test]
    others = [name for name in pool_ids if name not in set(expert_ids)]
    n_new = config.n_crowd - config.n_both
    asked = [*spectra, *both, *others[: round(n_new * _SPARE) + 2]]
    crowds, votes = _ask_crowd(folder, asked, classes, counts, ease, config, quiet)
    by_crowd = _known(crowds[config.consensus])
    both = _first(both, by_crowd, len(both), 'for both')
    crowd_ids = both + _first(others, by_crowd, n_new, 'for the volunteers')

    in_both = by_experts & by_crowd
    test = []
    for positive, number in ((True, config.n_test_positive), (False, config.n_test_negative)):
        kind = [name for name in spectra if (classes[name] == 'cluster') == positive]
        test += _first(kind, in_both, number, 'of the test sample')
    label_sets = {
        'E': experts.select(expert_ids),
        'Z': crowds[config.consensus].select(crowd_ids),
    }
    answered = {
        'n_asked': len(spectra),
        'n_without_experts': len(set(spectra) - by_experts),
        'n_without_volunteers': len(set(spectra) - by_crowd),
        'n_dropped': len(set(spectra) - in_both),
    }
    together, conflicts = people.combine_labels(
        {'expert': label_sets['E'], 'crowd': label_sets['Z']}, on_conflict='first'
    )
    label_sets['E+Z'] = together
    stacks, fields = zip(
        *((stack, np.asarray(table['field'])) for stack, table in parts.values()), strict=True
    )
    tested = [*test, *tables[LARGE]['id'].tolist()]
    rows = {row['id']: row for table in tables.values() for row in table}
    return ExperimentSample(
        kind='simulated',
        stack=CutoutStack.concatenate(stacks),
        groups=np.concatenate(fields),
        label_sets=label_sets,
        truth=LabelSet.from_labels(tested, [classes[i] for i in tested], source='simulation'),
        tests={SPECTROSCOPIC: tuple(test), LARGE: tuple(tables[LARGE]['id'].tolist())},
        columns={
            name: {
                'subclass': str(rows[name]['subclass']),
                **{key: float(rows[name][key]) for key in ('counts', 'redshift', 'ext_like')},
            }
            for name in tested
        },
        people=_people(test, expert_votes, votes, crowds),
        facts={
            **_facts(config, tables, label_sets, test, classes, crowds, conflicts, expert_votes),
            'spectroscopic': answered,
        },
    )


def _ask_experts(folder, ids, classes, counts, ease, config):
    """
    Let the experts look at candidates, and read back what they wrote down.
    """
    table = Table({'id': ids}, meta={'simulated': True})
    columns = [f'expert_{number + 1}' for number in range(N_EXPERTS)]
    for number, column in enumerate(columns):
        one = simulate_crowd(
            [classes[name] for name in ids],
            [counts[name] for name in ids],
            ids=ids,
            ease=[ease[name] for name in ids],
            n_votes=1,
            n_people=1,
            seed=config.seed * 16 + 11 + number,
            people=EXPERTS,
        )
        said = Table(one.votes[np.argsort(one.votes['item_number'])])['label']
        table[column] = [label.lower() for label in said]
    path = folder / 'experts.csv'
    with atomic_path(path, overwrite=True) as temporary:
        table.write(temporary, format='ascii.csv')
    # two answers do not tell who of the two is better: where they differ each class has half
    labels = pipeline.label_votes(path, item='id', annotator_columns=columns, method='majority')
    return labels.replace(source='expert'), Table.read(path, format='ascii.csv')


def _ask_crowd(folder, ids, classes, counts, ease, config, quiet):
    """
    Let volunteers look at candidates, and read back their export by each method.
    """
    crowd = simulate_crowd(
        [classes[name] for name in ids],
        [counts[name] for name in ids],
        ids=ids,
        ease=[ease[name] for name in ids],
        n_votes=config.n_votes,
        n_people=config.n_volunteers,
        seed=config.seed * 16 + 13,
    )
    path = folder / 'votes.csv'
    crowd.write(path, overwrite=True)
    votes = read_votes(path, item='candidate', quiet=quiet)
    found = {method: people.consensus(votes, method=method) for method in _METHODS}
    return found, votes


def _people(test, expert_votes, votes, crowds):
    """
    Return the answers on the spectroscopic sample.
    """
    wanted = set(test)
    found = []
    for column in expert_votes.colnames[1:]:
        answers = {
            str(name): float(said == 'cluster')
            for name, said in zip(expert_votes['id'], expert_votes[column], strict=True)
            if str(name) in wanted and said != 'unknown'
        }
        name = column.replace('_', ' ')
        found.append({'name': name, 'kind': 'expert', 'positive': answers})
    for method, labels in crowds.items():
        chosen = labels.select(test)
        answers = dict(zip(chosen.ids, chosen.binary().astype(float).tolist(), strict=True))
        found.append({'name': f'volunteers, {method}', 'kind': 'volunteers', 'positive': answers})
    items = np.asarray(votes['item'], str)
    here = np.isin(items, list(wanted)) & (np.asarray(votes['label'], str) != 'unknown')
    said = np.asarray(votes['label'], str)[here] == 'cluster'
    names, number = np.unique(items[here], return_inverse=True)
    share = np.bincount(number, said) / np.bincount(number)
    found.append(
        {
            'name': 'a volunteer on average',
            'kind': 'one volunteer',
            'positive': dict(zip(names.tolist(), share.tolist(), strict=True)),
        }
    )
    return tuple(found)


def _quality(labels, classes):
    """
    Return how often labels are right, of all classes and of cluster or not.
    """
    true = np.array([classes[name] for name in labels.ids])
    named = labels.binary() > 0.5
    # of equals the first, which is the cluster: half for it is not for it
    highest = labels.probability.max(axis=1, keepdims=True)
    tied = (labels.probability == highest).sum(axis=1) > 1
    return {
        'n': len(labels),
        'n_ties': int(tied.sum()),
        'right_class': float((np.array(labels.names()) == true).mean()),
        'right_side': float((named == (true == 'cluster')).mean()),
        'clusters': int((true == 'cluster').sum()),
        'named_clusters': int(named.sum()),
    }


def _facts(config, tables, label_sets, test, classes, crowds, conflicts, expert_votes):
    """
    Return what a reader wants to know of the sample, JSON-ready.
    """
    sky = {}
    for name, table in tables.items():
        values, numbers = np.unique(np.asarray(table['class'], str), return_counts=True)
        sky[name] = {
            **{key: int(table.meta[key]) for key in ('n_fields', 'n_found', 'n_selected')},
            'classes': dict(zip(values.tolist(), numbers.tolist(), strict=True)),
        }
    crowd_ids = label_sets['Z'].ids
    agreement = pipeline.measure_agreement(
        expert_votes, item='id', annotator_columns=expert_votes.colnames[1:], seed=config.seed
    )
    return {
        'sky': sky,
        'training': {name: _quality(labels, classes) for name, labels in label_sets.items()},
        'consensus': {
            method: _quality(labels.select([*test, *crowd_ids]), classes)
            for method, labels in crowds.items()
        },
        'n_expert_labels': len(label_sets['E']) + len(test),
        'n_crowd_labels': len(label_sets['Z']) + len(test),
        'n_both': len(set(label_sets['E'].ids) & set(crowd_ids)) + len(test),
        'n_conflicts': len(conflicts),
        'expert_kappa': agreement['cohen_kappa'],
        'n_votes': crowds[config.consensus].meta['n_votes'],
        'n_volunteers': crowds[config.consensus].meta['n_annotators'],
    }


def published_sample(path, *, config, quiet=None):
    """
    Read the published image set.

    Parameters
    ----------
    path : str or path-like
        See `~clustercnn.io.read_kosiba2020`.
    config : Kosiba2020Config
        Settings.
    quiet : bool, optional
        Whether to hide progress bars.

    Returns
    -------
    sample : ExperimentSample
        Its test part is the one that was published.

    Raises
    ------
    TableReadError
        If the set cannot be read, or a picture is in both parts.
    """
    parts = {}
    for split in ('train', 'test'):
        stack, labels = read_kosiba2020(path, split=split, binning=config.binning, quiet=quiet)
        # grey levels are no counts: the networks shall take them for a picture
        bands = [
            BandStack(name=name, data=stack[band], pixel_scale=stack.band(band).pixel_scale)
            for name, band in ((XRAY_PICTURE, 'xray'), ('optical', 'optical'))
        ]
        parts[split] = stack.replace(bands=bands), labels
    (train, learnt), (test, truth) = parts['train'], parts['test']
    double = sorted(set(train.ids) & set(test.ids))
    if double:
        raise TableReadError(path, f"picture '{double[0]}' is in the training and the test part")
    sides = {
        name: {'n': len(part), 'classes': {k: n for k, n in part.counts().items() if n}}
        for name, part in (('train', learnt), ('test', truth))
    }
    return ExperimentSample(
        kind='real',
        stack=CutoutStack.concatenate([train, test]),
        groups=None,
        label_sets={PUBLISHED: learnt},
        truth=truth,
        tests={PUBLISHED: test.ids},
        columns={},
        people=(),
        facts={'parts': sides, 'n_without_row': train.meta['n_pictures_without_row']},
    )
