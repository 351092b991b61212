# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated people: experts and volunteers who look at candidates and err as people do, more on
faint sources and on some classes than on others.
"""

import csv
import dataclasses
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack
from scipy import special

from clustercnn._utils.files import atomic_path, check_output
from clustercnn._utils.validation import check_same_length, lock
from clustercnn.simulate._export import COLUMNS, classification_row, user_name
from clustercnn.simulate._sources import CLASS_NAMES

__all__ = ['EXPERTS', 'VOLUNTEERS', 'People', 'SimulatedCrowd', 'simulate_crowd', 'simulate_votes']

UNSURE = 'Unknown'
# how much easier or harder than a cluster a class is to tell, in logit
_EASE = np.array([0.0, 0.5, -0.3, -0.7])
# what a wrong answer is, by true class: faint clusters look like points, points of a crowded
# core like clusters
_MISTAKEN_FOR = np.array(
    [
        [0.0, 0.55, 0.2, 0.25],
        [0.6, 0.0, 0.2, 0.2],
        [0.5, 0.3, 0.0, 0.2],
        [0.4, 0.4, 0.2, 0.0],
    ]
)
_TYPICAL_COUNTS = 50.0
_FEWEST_COUNTS = 10
# spread of the logarithm of how often people classify
_ACTIVITY = 1.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class People:
    """
    How a kind of people errs.

    Parameters
    ----------
    skill : float
        Logit of the share of right answers to a cluster with 50 counts, of the mean person.
    spread : float
        Standard deviation of that from person to person.
    slope : float
        What a factor e in counts adds to it.
    unsure : float
        Share of the answers that would be wrong that are ``'Unknown'`` instead.
    lapse : float
        Share of answers given at random, however bright the source.

    Notes
    -----
    These numbers are **assumptions**. The paper that this package follows (Kosiba et al. 2020,
    MNRAS 496, 4141) had two experts and thousands of volunteers; what is accessible of it does not
    say how often either were right, or how many votes a candidate got. What is published of
    others bounds them loosely: experts differ among each other so much that six or more are wanted
    for one label (Rojas et al. 2023, arXiv:2301.03670, 55 experts on lens candidates),
    and what contaminates lists of extended sources is mostly point sources (Liu et al. 2022, A&A
    661, A2). Right answers are modelled as in a logistic item-response model (Rasch 1960).

    Examples
    --------
    >>> from clustercnn.simulate import VOLUNTEERS
    >>> faint, bright = VOLUNTEERS.confusion(VOLUNTEERS.skill, [10, 1000])
    >>> bool(faint[0, 0] < bright[0, 0]), faint.shape
    (True, (4, 5))
    """

    skill: float
    spread: float
    slope: float
    unsure: float
    lapse: float

    def confusion(self, skill, counts):
        """
        Return the probability of each answer for each true class.

        Parameters
        ----------
        skill : float or 1D array-like
            Of one person, or of each of ``n``.
        counts : float or 1D array-like
            Counts of the source, or of each of ``n``.

        Returns
        -------
        probability : `~numpy.ndarray`
            Shape ``(n, 4, 5)``, true classes in rows; the last answer is ``'Unknown'``. Rows sum
            to 1.
        """
        n_classes = len(CLASS_NAMES)
        bright = self.slope * np.log(np.maximum(counts, 1.0) / _TYPICAL_COUNTS)
        ability = np.atleast_1d(np.asarray(skill) + bright)[:, np.newaxis] + _EASE
        right = (1 - self.lapse) * special.expit(ability)
        wrong = 1 - self.lapse - right
        answers = np.empty((len(ability), n_classes, n_classes + 1))
        answers[..., :-1] = (1 - self.unsure) * wrong[..., np.newaxis] * _MISTAKEN_FOR
        answers[..., :-1] += self.lapse / n_classes
        answers[:, range(n_classes), range(n_classes)] += right
        answers[..., -1] = self.unsure * wrong
        return answers


EXPERTS = People(skill=2.5, spread=0.3, slope=0.7, unsure=0.4, lapse=0.01)
VOLUNTEERS = People(skill=0.8, spread=0.8, slope=0.6, unsure=0.2, lapse=0.05)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SimulatedCrowd:
    """
    What simulated people said of candidates, and what would be known of them if they were asked.

    Parameters
    ----------
    votes : `~astropy.table.Table`
        One vote a row, in the order of time: item, annotator, label (a class or
        ``'Unknown'``), and the numbers of both, item_number and annotator_number.
    ids : tuple of str
        The items.
    truth : tuple of str
        Class of each.
    annotators : tuple of str
        Names.
    confusion : 3D `~numpy.ndarray`
        Shape ``(n_annotators, 4, 4)``: probability that an annotator says the second class where
        the first is true, if not unsure, over the items that the annotator saw; NaN for
        classes of which there was none.

    See Also
    --------
    simulate_crowd : Makes one.

    Examples
    --------
    >>> from clustercnn.simulate import simulate_crowd
    >>> crowd = simulate_crowd(['cluster', 'point'], [200, 30], n_votes=3, seed=1)
    >>> crowd
    <SimulatedCrowd of 6 votes by 12 people on 2 items>
    """

    votes: Table
    ids: tuple
    truth: tuple
    annotators: tuple
    confusion: np.ndarray

    def __repr__(self):
        return (
            f'<SimulatedCrowd of {len(self.votes)} votes by {len(self.annotators)} people on '
            f'{len(self.ids)} items>'
        )

    def write(self, path, *, subjects=None, overwrite=False):
        """
        Write the votes as a Panoptes classification export.

        Parameters
        ----------
        path : str or path-like
            CSV file with the fourteen columns of an export and JSON in its cells, as the reader
            of Zooniverse exports takes it.
        subjects : sequence of dict, optional
            Metadata of each item beside ``'#candidate'``, its identifier: the other columns of a
            manifest.
        overwrite : bool, optional
            Whether an existing file may be replaced.
        """
        subjects = [{}] * len(self.ids) if subjects is None else list(subjects)
        check_same_length(ids=self.ids, subjects=subjects)
        columns = (self.votes[n].tolist() for n in ('item_number', 'annotator_number', 'label'))
        with (
            atomic_path(path, overwrite=overwrite) as temporary,
            temporary.open('w', newline='', encoding='utf-8') as stream,
        ):
            writer = csv.writer(stream, lineterminator='\n')
            writer.writerow(COLUMNS)
            for number, (item, person, label) in enumerate(zip(*columns, strict=True)):
                subject = {**subjects[item], '#candidate': self.ids[item]}
                answer = label.capitalize()
                writer.writerow(
                    classification_row(
                        number, person=person, item=item, answer=answer, subject=subject
                    )
                )


def simulate_crowd(
    truth,
    counts,
    *,
    n_votes,
    seed,
    ids=None,
    ease=None,
    people=VOLUNTEERS,
    n_people=None,
    votes_each=40,
):
    """
    Simulate what people say of candidates.

    Parameters
    ----------
    truth : iterable of str
        Class of each item, of the package's own schema.
    counts : 1D array-like
        X-ray counts of each: faint sources are told less well.
    n_votes : int
        Votes an item gets, each of another person.
    seed : int
        Seed.
    ids : iterable of str, optional
        Identifiers; 1, 2, ... by default.
    ease : 1D array-like, optional
        How much easier each item is to tell than others of its class and counts, in logit, for
        everybody who looks at it; by default none is.
    people : People, optional
        How they err.
    n_people : int, optional
        How many there are. By default so many that each has ``votes_each`` votes on average, at
        least four times ``n_votes``.
    votes_each : float, optional
        See ``n_people``.

    Returns
    -------
    crowd : SimulatedCrowd
        Votes, and the confusion matrix of everybody.

    Raises
    ------
    ValueError
        If lengths differ, a class is not known, or there are fewer people than votes on an item.

    Notes
    -----
    People differ in skill, by a Gaussian, and in how often they classify, by a log-normal
    distribution with a width of 1.2: a few give most votes. Given class, counts and ease of a
    source the votes on it are independent. Those of real people on a picture are correlated beyond
    its brightness: give the same scattered ``ease`` to all kinds of people to simulate that. See
    `People` for what else is assumed.

    Examples
    --------
    >>> from clustercnn.simulate import EXPERTS, simulate_crowd
    >>> truth = ['cluster', 'point', 'galaxy', 'other'] * 25
    >>> crowd = simulate_crowd(truth, [300] * 100, n_votes=2, n_people=2, seed=3, people=EXPERTS)
    >>> right = crowd.votes['label'] == [truth[k] for k in crowd.votes['item_number']]
    >>> bool(right.mean() > 0.9)
    True
    """
    truth = tuple(str(name) for name in truth)
    counts = np.asarray(counts, dtype=float)
    ids = tuple(str(k + 1) for k in range(len(truth))) if ids is None else tuple(map(str, ids))
    ease = np.zeros(len(ids)) if ease is None else np.asarray(ease, dtype=float)
    check_same_length(truth=truth, counts=counts, ids=ids, ease=ease)
    if not np.isfinite(ease).all():
        msg = "'ease' must be finite, in logit"
        raise ValueError(msg)
    strange = sorted(set(truth) - set(CLASS_NAMES))
    if strange:
        msg = f'people are simulated for {", ".join(CLASS_NAMES)}, got {", ".join(strange)}'
        raise ValueError(msg)
    if n_people is None:
        n_people = max(4 * n_votes, round(len(ids) * n_votes / votes_each))
    if not 1 <= n_votes <= n_people:
        msg = f"'n_votes' must lie from 1 to the number of people, {n_people}, got {n_votes}"
        raise ValueError(msg)
    rng = np.random.default_rng([int(seed), 31])
    skill = rng.normal(people.skill, people.spread, n_people)
    activity = np.exp(rng.normal(0.0, _ACTIVITY, n_people))
    activity /= activity.sum()
    item = np.repeat(np.arange(len(ids)), n_votes)
    who = [rng.choice(n_people, n_votes, replace=False, p=activity) for _ in ids]
    who = np.concatenate(who) if who else np.zeros(0, np.intp)
    code = np.array([CLASS_NAMES.index(name) for name in truth], np.intp)[item]
    rows = np.arange(len(item))
    answers = people.confusion(skill[who] + ease[item], counts[item])[rows, code]
    said = (rng.random(len(item))[:, np.newaxis] > np.cumsum(answers, axis=1)).sum(axis=1)
    said = np.minimum(said, len(CLASS_NAMES))
    # volunteers come when they like, and each sees the items in another order
    order = rng.permutation(len(item))
    names = tuple(user_name(person) for person in range(n_people))
    votes = Table(meta={'simulated': True, 'seed': int(seed)})
    votes['item'] = np.array(ids, dtype=str)[item[order]]
    votes['annotator'] = np.array(names, dtype=str)[who[order]]
    votes['label'] = np.array([*CLASS_NAMES, UNSURE])[said[order]]
    votes['item_number'], votes['annotator_number'] = item[order], who[order]
    return SimulatedCrowd(
        votes=votes,
        ids=ids,
        truth=truth,
        annotators=names,
        confusion=lock(_mean_confusion(answers, who, code, n_people)),
    )


def _mean_confusion(answers, who, code, n_people):
    """
    Return the matrix of each person over the items seen, of the answers that name a class.
    """
    n_classes = len(CLASS_NAMES)
    cell = who * n_classes + code
    sums = np.stack(
        [
            np.bincount(cell, answers[:, said], minlength=n_people * n_classes)
            for said in range(n_classes)
        ],
        axis=1,
    ).reshape(n_people, n_classes, n_classes)
    total = sums.sum(axis=2, keepdims=True)
    return np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan)


def simulate_votes(directory, *, n_votes, seed, n_experts=2, overwrite=False):
    """
    Simulate what volunteers and experts say of the sources of simulated fields.

    Parameters
    ----------
    directory : str or path-like
        Folder that `simulate_fields` filled.
    n_votes : int
        Votes of volunteers on each source.
    seed : int
        Seed.
    n_experts : int, optional
        Experts, who see every source; two in Kosiba et al. (2020).
    overwrite : bool, optional
        Whether existing files may be replaced.

    Returns
    -------
    items : `~astropy.table.Table`
        The sources with 10 counts or more: id, ``<field>-<number in its truth>``, label, counts,
        ra, dec.

    Raises
    ------
    FileNotFoundError
        If there are no simulated fields.
    FileExistsError
        If there are votes already.

    Notes
    -----
    Writes ``votes.csv``, a Panoptes classification export whose subjects name the source as
    ``#candidate``; ``experts.csv``, one source a row and a column for each expert; and
    ``truth.ecsv``, the items with their true class, which are read as labels. Everything in
    them is simulated, by the assumptions of `People`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from clustercnn.simulate import SimulationConfig, simulate_fields, simulate_votes
    >>> config = SimulationConfig(optical=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = simulate_fields(folder, n_fields=1, seed=2, config=config, progress=False)
    ...     items = simulate_votes(folder, n_votes=5, seed=2)
    ...     files = sorted(path.name for path in Path(folder).glob('*.*'))
    >>> files
    ['experts.csv', 'fields.ecsv', 'truth.ecsv', 'votes.csv']
    """
    directory = Path(directory)
    index = directory / 'fields.ecsv'
    if not index.exists():
        msg = f'{directory}: holds no simulated fields; simulate some first'
        raise FileNotFoundError(msg)
    paths = [directory / name for name in ('votes.csv', 'experts.csv', 'truth.ecsv')]
    for path in paths:
        check_output(path, overwrite=overwrite)
    fields = Table.read(index, format='ascii.ecsv')['field'].tolist()
    items = vstack(
        [_items_of(directory / name, name) for name in fields], metadata_conflicts='silent'
    )
    items.meta = {'simulated': True, 'seed': int(seed)}
    truth, counts, ids = items['label'].tolist(), items['counts'], items['id'].tolist()
    crowd = simulate_crowd(truth, counts, ids=ids, n_votes=n_votes, seed=seed)
    subjects = [
        {'!ra': f'{ra:.6f}', '!dec': f'{dec:.6f}'}
        for ra, dec in zip(items['ra'].tolist(), items['dec'].tolist(), strict=True)
    ]
    crowd.write(paths[0], subjects=subjects, overwrite=overwrite)
    experts = Table({'id': ids}, meta={'simulated': True})
    for number in range(n_experts):
        # everybody sees everything, each alone
        one = simulate_crowd(
            truth, counts, ids=ids, n_votes=1, n_people=1, seed=seed + 1 + number, people=EXPERTS
        )
        said = Table(one.votes[np.argsort(one.votes['item_number'])])['label']
        experts[f'expert_{number + 1}'] = [label.lower() for label in said]
    with atomic_path(paths[1], overwrite=overwrite) as temporary:
        experts.write(temporary, format='ascii.csv')
    with atomic_path(paths[2], overwrite=overwrite) as temporary:
        items.write(temporary, format='ascii.ecsv')
    return items


def _items_of(folder, name):
    """
    Return the sources of a field that people could be asked about.
    """
    truth = Table.read(folder / 'truth.ecsv', format='ascii.ecsv')
    truth = truth[truth['n_counts'] >= _FEWEST_COUNTS]
    items = Table()
    items['id'] = np.array([f'{name}-{number}' for number in truth['id']], dtype=str)
    items['label'] = np.asarray(truth['class'], dtype=str)
    items['counts'] = np.asarray(truth['n_counts'], np.int64)
    items['ra'], items['dec'] = truth['ra'], truth['dec']
    return items
