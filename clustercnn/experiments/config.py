# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is compared in the experiment of Kosiba et al. (2020), and on how much of what.
"""

import dataclasses
import math

import numpy as np

from clustercnn._classifier_file import MOST_MEMBERS
from clustercnn._utils.validation import check_one_of

__all__ = [
    'OWN',
    'PAPER',
    'PUBLISHED',
    'SINGLE',
    'XRAY_PICTURE',
    'Curve',
    'Kosiba2020Config',
    'run_seed',
]

PAPER = 'CN-E'
"""
The paper's own network on the labels of experts: what the others are compared with.
"""

SINGLE = 'fusion-E+Z'
"""
The package's own network, named before anything was measured, so that no test set chooses it.
"""

OWN = 'fusion-E+Z, ensemble'
"""
An ensemble of them, as the model that comes with the package is one; named afterwards.
"""

PUBLISHED = 'published'
"""
Labels and test part of the published image set.
"""

XRAY_PICTURE = 'xray-picture'
"""
Its X-ray band: grey levels, which must not be taken for counts.
"""

_SHORT = {'cn': 'CN', 'mobilenet': 'MN', 'fusion': 'fusion'}
# samples a second of one processor core in training, as measured; for the time left only
_SPEED = {'cn': 300.0, 'mobilenet': 260.0, 'fusion': 230.0}
# of MobileNetV2: a block of each of the first rows of its table
_FEW_BLOCKS = ((1, 16, 1, 1), (6, 24, 1, 2), (6, 32, 1, 2), (6, 64, 1, 2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """
    One network trained on one set of labels, several times.

    Parameters
    ----------
    name : str
        What tables and figures call it.
    network : str
        Name of the network.
    labels : str
        ``'E'``, ``'Z'``, ``'E+Z'`` or ``'published'``.
    n_runs : int
        Trainings.
    n_members : int
        Networks that a training makes, the mean of which counts.
    bands : tuple of str
        Bands it sees.
    features : bool
        Whether it is given the finder's numbers; networks that do not use them do not care.
    main : bool
        Whether it is one of the curves of the figure, and not of the side tables.

    Examples
    --------
    >>> from clustercnn.experiments import Curve
    >>> Curve(name='CN-E', network='cn', labels='E', n_runs=10).bands
    ('xray', 'optical')
    """

    name: str
    network: str
    labels: str
    n_runs: int
    n_members: int = 1
    bands: tuple = ('xray', 'optical')
    features: bool = True
    main: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kosiba2020Config:
    """
    Sizes and settings of the experiment.

    Parameters
    ----------
    seed : int
        Of sky, people and trainings.
    n_expert, n_crowd, n_both : int
        Candidates with a label of the experts, of the volunteers, and of both; as in the paper.
    n_test_positive, n_test_negative : int
        Clusters and others of the spectroscopic test sample, which both label sets hold.
    n_large : int
        Candidates of the large test sample, at least.
    exposures : tuple of float
        Exposure times in ks, drawn with equal chances: X-CLASS cuts its observations to these.
    optical_depths : tuple of float
        Magnitude limits of the plates, drawn with equal chances.
    cluster_boost, cluster_tilt : float
        See `~clustercnn.simulate.SimulationConfig`; 1 and 0 are the real counts.
    minimum_extent : float
        Candidates are more extended than this, in arcsec.
    minimum_ext_like : float
        And have a larger likelihood of being extended.
    geometry : tuple of 3-tuple
        Band, pixels along a side and their scale in arcsec.
    n_votes : int
        Votes of volunteers on each candidate.
    n_volunteers : int
        How many there are.
    ambiguity : float
        Standard deviation, from candidate to candidate of a class and brightness, of how hard it
        is to tell, in logit and for experts and volunteers alike: an assumption.
    consensus : str
        How the votes of the volunteers become labels; see `~clustercnn.labels.consensus`.
    expert_seconds : float
        Time that an expert needs for a candidate: an assumption.
    networks : tuple of str
        Which networks are trained.
    options : tuple of 2-tuple
        Options of each network, a tuple of names and values.
    n_epochs : int
        Passes over the training set.
    batch_size : int or None
        Cutouts a training step; None: by the size of the training set, see
        `~clustercnn.training.TrainingConfig`.
    n_runs : int
        Trainings of each main curve.
    n_side_runs : int
        Trainings of each curve of the side tables, which are left out at 0.
    n_members : int
        Networks of the ensemble of the package's own, which is left out at 1.
    fields_a_chunk : int
        Simulated fields that are made and kept together.
    binning : int
        Pixels of the published pictures that are averaged along each side.

    Raises
    ------
    ValueError
        If the numbers do not fit together.

    Examples
    --------
    >>> from clustercnn.experiments import Kosiba2020Config
    >>> config = Kosiba2020Config()
    >>> config.n_expert, config.n_crowd, config.n_both, config.n_training
    (1707, 1600, 404, 2733)
    >>> [curve.name for curve in config.curves() if curve.main]
    ['CN-E', 'MN-E', 'CN-Z', 'MN-Z', 'fusion-E', 'fusion-Z', 'fusion-E+Z', 'fusion-E+Z, ensemble']
    """

    seed: int = 0
    n_expert: int = 1707
    n_crowd: int = 1600
    n_both: int = 404
    n_test_positive: int = 85
    n_test_negative: int = 85
    n_large: int = 2000
    exposures: tuple = (10.0, 20.0)
    optical_depths: tuple = (20.8, 21.5)
    cluster_boost: float = 1.0
    cluster_tilt: float = 0.0
    minimum_extent: float = 5.0
    minimum_ext_like: float = 15.0
    geometry: tuple = (('xray', 64, 4.0), ('optical', 64, 4.0))
    n_votes: int = 30
    n_volunteers: int = 3000
    ambiguity: float = 1.5
    consensus: str = 'dawid-skene'
    expert_seconds: float = 30.0
    networks: tuple = ('cn', 'mobilenet', 'fusion')
    options: tuple = (
        ('mobilenet', (('width', 0.35),)),
        ('fusion', (('batch_norm', True),)),
    )
    n_epochs: int = 30
    batch_size: int | None = None
    n_runs: int = 10
    n_side_runs: int = 2
    n_members: int = 3
    fields_a_chunk: int = 8
    binning: int = 4

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name in ('seed', 'n_side_runs') else 1
            whole = field.type is int or (field.name == 'batch_size' and value is not None)
            if whole and (int(value) != value or value < lowest):
                msg = f"'{field.name}' must be a whole number from {lowest}, got {value!r}"
                raise ValueError(msg)
        strange = sorted(set(self.networks) - set(_SHORT))
        if strange or not self.networks:
            msg = f"'networks' must be some of {', '.join(_SHORT)}, got {self.networks}"
            raise ValueError(msg)
        if self.n_members > MOST_MEMBERS:
            msg = f"'n_members' must be at most {MOST_MEMBERS}, got {self.n_members}"
            raise ValueError(msg)
        n_test = self.n_test_positive + self.n_test_negative
        if not n_test < self.n_both <= min(self.n_expert, self.n_crowd):
            msg = (
                f"'n_both' must lie above the {n_test} of the test sample and not above "
                f'{min(self.n_expert, self.n_crowd)}, got {self.n_both}'
            )
            raise ValueError(msg)
        if self.n_votes > self.n_volunteers:
            msg = f'{self.n_votes} votes on a candidate need more than {self.n_volunteers} people'
            raise ValueError(msg)
        if not 0 <= self.ambiguity < math.inf:
            msg = f"'ambiguity' must be 0 or above, got {self.ambiguity}"
            raise ValueError(msg)
        check_one_of('consensus', self.consensus, ('majority', 'dawid-skene', 'difficulty'))
        if not all(math.isfinite(time) and time > 0 for time in self.exposures):
            msg = f"'exposures' must be above 0, got {self.exposures}"
            raise ValueError(msg)

    @classmethod
    def quick(cls, **changes):
        """
        Return a configuration for a first look, of minutes.

        Parameters
        ----------
        **changes
            Other settings.

        Returns
        -------
        config : Kosiba2020Config
            Too small for any conclusion.

        Examples
        --------
        >>> from clustercnn.experiments import Kosiba2020Config
        >>> Kosiba2020Config.quick().n_runs
        2
        """
        small = {
            'n_expert': 72,
            'n_crowd': 72,
            'n_both': 36,
            'n_test_positive': 10,
            'n_test_negative': 10,
            'n_large': 40,
            'n_votes': 20,
            'n_volunteers': 200,
            'geometry': (('xray', 32, 8.0), ('optical', 48, 16 / 3)),
            # seventeen blocks take longer to compile than this to run
            'options': (
                ('mobilenet', (('width', 0.35), ('stages', _FEW_BLOCKS))),
                ('fusion', (('batch_norm', True),)),
            ),
            'n_epochs': 20,
            'batch_size': 32,
            'n_runs': 2,
            'n_side_runs': 1,
            # an ensemble would take it beyond its minutes
            'n_members': 1,
            'fields_a_chunk': 4,
        }
        return cls(**{**small, **changes})

    @property
    def n_training(self):
        """
        Candidates with a label of anybody that are not in the test sample.
        """
        n_test = self.n_test_positive + self.n_test_negative
        return self.n_expert + self.n_crowd - self.n_both - n_test

    def is_small(self, *, real=False):
        """
        Return whether this is less than the whole experiment.

        Parameters
        ----------
        real : bool, optional
            Whether on the published image set, the size of which is not a setting.

        Returns
        -------
        small : bool
            Fewer candidates, epochs or runs than by default: not for conclusions.

        Examples
        --------
        >>> from clustercnn.experiments import Kosiba2020Config
        >>> Kosiba2020Config().is_small(), Kosiba2020Config.quick().is_small()
        (False, True)
        """
        names = ('n_epochs', 'n_runs') if real else ('n_epochs', 'n_runs', 'n_expert', 'n_large')
        whole = {field.name: field.default for field in dataclasses.fields(self)}
        return any(getattr(self, name) < whole[name] for name in names)

    def network_options(self, network):
        """
        Return the options of a network.

        Parameters
        ----------
        network : str
            Its name.

        Returns
        -------
        options : dict
            Empty for the defaults.

        Examples
        --------
        >>> from clustercnn.experiments import Kosiba2020Config
        >>> Kosiba2020Config().network_options('mobilenet')
        {'width': 0.35}
        """
        return dict(dict(self.options).get(network, ()))

    def curves(self, *, real=False):
        """
        Return what is trained.

        Parameters
        ----------
        real : bool, optional
            Whether on the published image set, which has one set of labels and no numbers of
            the finder.

        Returns
        -------
        curves : tuple of Curve
            Those of the figure first.

        Examples
        --------
        >>> from clustercnn.experiments import Kosiba2020Config
        >>> [curve.name for curve in Kosiba2020Config().curves(real=True)][:3]
        ['CN', 'MN', 'fusion']
        """
        if real:
            main = [
                Curve(
                    name=short,
                    network=network,
                    labels=PUBLISHED,
                    bands=(XRAY_PICTURE, 'optical'),
                    n_runs=self.n_runs,
                )
                for network, short in _SHORT.items()
                if network in self.networks
            ]
        else:
            plan = [
                ('cn', 'E'), ('mobilenet', 'E'), ('cn', 'Z'), ('mobilenet', 'Z'),
                ('fusion', 'E'), ('fusion', 'Z'), ('fusion', 'E+Z'),
            ]  # fmt: skip
            main = [
                Curve(
                    name=f'{_SHORT[network]}-{labels}',
                    network=network,
                    labels=labels,
                    n_runs=self.n_runs,
                )
                for network, labels in plan
                if network in self.networks
            ]
        if self.n_members > 1:
            main += [
                dataclasses.replace(curve, name=f'{curve.name}, ensemble', n_members=self.n_members)
                for curve in main
                if curve.name in (SINGLE, 'fusion')
            ]
        if not self.n_side_runs:
            return tuple(main)
        side = []
        for curve in main:
            if curve.labels not in ('E', PUBLISHED) or curve.n_members > 1:
                continue
            for band, words in zip(curve.bands, ('X-rays only', 'optical only'), strict=True):
                side.append(
                    dataclasses.replace(
                        curve,
                        name=f'{curve.name}, {words}',
                        bands=(band,),
                        # the finder's numbers are measured in X-rays
                        features=band != 'optical',
                        n_runs=self.n_side_runs,
                        main=False,
                    )
                )
            if curve.network == 'fusion' and not real:
                side.append(
                    dataclasses.replace(
                        curve,
                        name=f'{curve.name}, pictures only',
                        features=False,
                        n_runs=self.n_side_runs,
                        main=False,
                    )
                )
        return (*main, *side)

    def cost(self, curve, n_items):
        """
        Return about how many seconds of a processor core one training takes.

        Parameters
        ----------
        curve : Curve
            What is trained.
        n_items : int
            Candidates it learns from.

        Returns
        -------
        seconds : float
            For the time left in the progress bar.

        Examples
        --------
        >>> from clustercnn.experiments import Kosiba2020Config
        >>> config = Kosiba2020Config()
        >>> curves = {curve.name: curve for curve in config.curves()}
        >>> config.cost(curves['CN-E'], 3000) > config.cost(curves['CN-E'], 1500)
        True
        """
        return 5 + curve.n_members * self.n_epochs * n_items / _SPEED[curve.network]

    def to_dict(self):
        """
        Return the settings as plain values for JSON.

        Returns
        -------
        settings : dict
            With lists for tuples.

        Examples
        --------
        >>> from clustercnn.experiments import Kosiba2020Config
        >>> Kosiba2020Config().to_dict()['exposures']
        [10.0, 20.0]
        """

        def plain(value):
            return [plain(item) for item in value] if isinstance(value, tuple) else value

        return {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def run_seed(config, run):
    """
    Return the seed of one training.

    Parameters
    ----------
    config : Kosiba2020Config
        Settings.
    run : int
        Number of the run, from 0; all curves have the same seeds.

    Returns
    -------
    seed : int
        Below 2**32.

    Examples
    --------
    >>> from clustercnn.experiments import Kosiba2020Config
    >>> from clustercnn.experiments.config import run_seed
    >>> len({run_seed(Kosiba2020Config(), run) for run in range(10)})
    10
    """
    return int(np.random.SeedSequence([config.seed, 41, run]).generate_state(1)[0])
