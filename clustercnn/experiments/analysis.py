# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the runs of the experiment show, as numbers for tables and figures.
"""

import itertools

import numpy as np

from clustercnn.evaluation import (
    confusion_matrix,
    mcnemar_exact,
    roc_auc,
    roc_auc_interval,
    roc_curve,
    wilson_interval,
)
from clustercnn.evaluation.resampling import resampled_weights
from clustercnn.experiments.config import OWN, PAPER, SINGLE

__all__ = ['COUNT_EDGES', 'REDSHIFT_EDGES', 'ROC_GRID', 'analyse']

COUNT_EDGES = (0.0, 50.0, 100.0, 200.0, 400.0, float('inf'))
REDSHIFT_EDGES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.5)
# finer where the curves are steep
ROC_GRID = np.concatenate([np.linspace(0, 0.2, 41), np.linspace(0.2, 1, 33)[1:]])
# never chosen on anything tested on
THRESHOLD = 0.5
_N_RESAMPLES = 1000


def analyse(sample, runs, *, config):
    """
    Compare the runs with the truth.

    Parameters
    ----------
    sample : ExperimentSample
        What was predicted.
    runs : dict of str to list of dict
        From `~clustercnn.experiments.runs.load_runs`.
    config : Kosiba2020Config
        Settings.

    Returns
    -------
    results : dict
        JSON-ready, the same for the same runs.

    Notes
    -----
    A candidate is called a cluster if the probability is above 0.5. Scatter over runs is the
    standard deviation of the ten; it says nothing of the size of the test sample, of which
    Wilson's interval of the mean accuracy and, where fields are known, a bootstrap of whole
    fields tell. Two curves are compared on the same objects by McNemar's exact test: of the
    mean probabilities of their runs, and run by run.
    """
    curves = {curve.name: curve for curve in config.curves(real=sample.kind == 'real')}
    tests = {name: _Test(sample, ids, config) for name, ids in sample.tests.items()}
    described = []
    for name, curve in curves.items():
        first = runs[name][0]
        described.append(
            {
                'name': name,
                'network': curve.network,
                'labels': curve.labels,
                'bands': list(curve.bands),
                'main': curve.main,
                'n_runs': len(runs[name]),
                'n_parameters': first['n_parameters'],
                'n_learnt_from': len(sample.label_sets[curve.labels]),
                'tests': {key: test.describe(key, runs[name]) for key, test in tests.items()},
                'seconds': {
                    key: float(np.mean([run['seconds'][key] for run in _timed(runs[name])]))
                    for key in ('training', 'prediction', 'processor')
                },
            }
        )
    largest = max(tests, key=lambda key: tests[key].n)
    main = [name for name, curve in curves.items() if curve.main]
    return {
        'kind': sample.kind,
        'small': config.is_small(real=sample.kind == 'real'),
        'config': config.to_dict(),
        'sample': sample.facts,
        'tests': {
            key: {'n': test.n, 'n_positive': int(test.positive.sum()), 'fields': test.n_groups}
            for key, test in tests.items()
        },
        'classes': list(sample.truth.schema.classes),
        'roc_grid': ROC_GRID.tolist(),
        'curves': described,
        'people': _people(sample),
        'comparisons': [
            {'test': key, **test.compare(key, one, other, runs)}
            for key, test in tests.items()
            for one, other in _pairs(curves)
        ],
        'finder': {key: test.finder() for key, test in tests.items() if test.ext_like is not None},
        'largest': largest,
        'by': tests[largest].by_properties(largest, {name: runs[name] for name in main}),
        'effort': _effort(runs, tests, config),
    }


class _Test:
    """
    A test sample: what is there, and what runs make of it.
    """

    def __init__(self, sample, ids, config):
        truth = sample.truth.select(ids)
        self.n = len(ids)
        self.positive = truth.binary() > 0.5
        self.code = truth.hard().astype(int)
        self.n_classes = truth.schema.n_classes
        self.groups = sample.group_of(ids)
        self.n_groups = None if self.groups is None else len(np.unique(self.groups))
        self.seed = config.seed
        columns = [sample.columns.get(name) for name in ids]
        known = all(columns)
        self.ext_like = np.array([row['ext_like'] for row in columns]) if known else None
        self.counts = np.array([row['counts'] for row in columns]) if known else None
        self.redshift = np.array([row['redshift'] for row in columns]) if known else None
        self.subclass = np.array([row['subclass'] for row in columns]) if known else None

    def scores(self, key, runs):
        """
        Return the probabilities of all runs, shape ``(n_runs, n)``.
        """
        return np.stack([run['tests'][key]['p_positive'] for run in runs])

    def describe(self, key, runs):
        """
        Return the figures of one curve.
        """
        scores = self.scores(key, runs)
        called = scores > THRESHOLD
        right = called == self.positive
        accuracy = right.mean(axis=1)
        mean = float(accuracy.mean())
        curves = np.stack([self._on_grid(score) for score in scores])
        auc = np.array([roc_auc(score, self.positive) for score in scores])
        matrix = np.mean(
            [
                confusion_matrix(run['tests'][key]['class'], self.code, n_classes=self.n_classes)
                for run in runs
            ],
            axis=0,
        )
        return {
            'accuracy': {
                'mean': mean,
                'deviation': _deviation(accuracy),
                'runs': accuracy.tolist(),
                'wilson': list(wilson_interval(mean * self.n, self.n)),
                'by_field': self._bootstrap(right.mean(axis=0)),
            },
            'auc': {'mean': float(auc.mean()), 'deviation': _deviation(auc)},
            'completeness': self._rate(called, self.positive),
            'false_positive_rate': self._rate(called, ~self.positive),
            'roc': {
                'mean': curves.mean(axis=0).tolist(),
                'low': np.percentile(curves, 16, axis=0).tolist(),
                'high': np.percentile(curves, 84, axis=0).tolist(),
            },
            'confusion': matrix.tolist(),
        }

    def _on_grid(self, score):
        curve = roc_curve(score, self.positive)
        # the completeness that is reached without more false positives
        place = np.searchsorted(curve.false_positive_rate, ROC_GRID + 1e-12, side='right') - 1
        return curve.true_positive_rate[place]

    def _rate(self, called, chosen):
        if not chosen.any():
            return {'mean': None, 'deviation': None, 'wilson': [0.0, 1.0]}
        share = called[:, chosen].mean(axis=1)
        mean, number = float(share.mean()), int(chosen.sum())
        return {
            'mean': mean,
            'deviation': _deviation(share),
            'wilson': list(wilson_interval(mean * number, number)),
        }

    def _bootstrap(self, values):
        """
        Return the interval of a mean under resampling of whole fields, None without fields.
        """
        if self.groups is None:
            return None
        drawn = [
            np.average(values, weights=times)
            for times in resampled_weights(
                self.n, n_resamples=_N_RESAMPLES, seed=self.seed, groups=self.groups
            )
        ]
        return np.percentile(drawn, [2.5, 97.5]).tolist()

    def compare(self, key, one, other, runs):
        """
        Compare two curves on the same objects.
        """
        number = min(len(runs[one]), len(runs[other]))
        pairs = [self.scores(key, runs[name][:number]) for name in (one, other)]
        single = [(scores > THRESHOLD) == self.positive for scores in pairs]
        together = [(scores.mean(axis=0) > THRESHOLD) == self.positive for scores in pairs]
        p_values = [mcnemar_exact(a, b) for a, b in zip(*single, strict=True)]
        errors = [float(1 - right.mean()) for right in single]
        errors_of_mean = [float(1 - right.mean()) for right in together]
        return {
            'one': one,
            'other': other,
            'n_runs': number,
            'errors': errors,
            'ratio': _ratio(*errors),
            'ratio_by_field': self._ratio_interval(*single),
            'mean_of_runs': {
                'only_one_right': int((together[0] & ~together[1]).sum()),
                'only_other_right': int((together[1] & ~together[0]).sum()),
                'p': mcnemar_exact(*together),
                'errors': errors_of_mean,
                'ratio': _ratio(*errors_of_mean),
            },
            'run_by_run': {'median_p': float(np.median(p_values)), 'largest_p': max(p_values)},
        }

    def _ratio_interval(self, one, other):
        """
        Return the interval of the ratio of mean errors, resampling fields, or objects.

        The end is infinite where too many samples hold no error of the other; a sample without
        errors of either allows any ratio.
        """
        wrong, wrong_other = 1 - one.mean(axis=0), 1 - other.mean(axis=0)
        lows, highs = [], []
        for times in resampled_weights(
            self.n, n_resamples=_N_RESAMPLES, seed=self.seed, groups=self.groups
        ):
            above, below = (times * wrong).sum(), (times * wrong_other).sum()
            highs.append(above / below if below > 0 else np.inf)
            lows.append(highs[-1] if above > 0 or below > 0 else 0.0)
        # between a number and infinity there is nothing to interpolate
        return [
            float(np.percentile(lows, 2.5, method='lower')),
            float(np.percentile(highs, 97.5, method='higher')),
        ]

    def finder(self):
        """
        Return how well the finder's likelihood of extension does alone.
        """
        if not self.positive.any() or self.positive.all():
            return {'auc': None, 'interval': None}
        interval = roc_auc_interval(
            self.ext_like, self.positive, groups=self.groups, seed=self.seed
        )
        return {'auc': roc_auc(self.ext_like, self.positive), 'interval': list(interval)}

    def by_properties(self, key, runs):
        """
        Return accuracy by counts, completeness by redshift, and what is accepted by sub-class.
        """
        if self.counts is None:
            return {}
        found = {'counts': [], 'redshift': [], 'subclass': []}
        right = {
            name: ((self.scores(key, some) > THRESHOLD) == self.positive).mean(axis=0)
            for name, some in runs.items()
        }
        for values, edges, name, among in (
            (self.counts, COUNT_EDGES, 'counts', np.ones(self.n, bool)),
            (self.redshift, REDSHIFT_EDGES, 'redshift', self.positive),
        ):
            for low, high in itertools.pairwise(edges):
                chosen = among & (values >= low) & (values < high)
                found[name].append(
                    {
                        'from': low,
                        'to': high if np.isfinite(high) else None,
                        'n': int(chosen.sum()),
                        'right': {curve: _share(each[chosen]) for curve, each in right.items()},
                    }
                )
        for name in sorted(set(self.subclass.tolist())):
            chosen = self.subclass == name
            found['subclass'].append(
                {
                    'name': name,
                    'n': int(chosen.sum()),
                    'n_clusters': int((chosen & self.positive).sum()),
                    'right': {curve: _share(each[chosen]) for curve, each in right.items()},
                }
            )
        return found


def _ratio(value, other):
    """
    Return the ratio of two errors, None if the other is none.
    """
    return value / other if other > 0 else None


def _deviation(values):
    """
    Return the standard deviation over runs, None for a single one.
    """
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _share(values):
    if not len(values):
        return None
    mean = float(values.mean())
    return [mean, *wilson_interval(mean * len(values), len(values))]


def _pairs(curves):
    """
    Return the pairs of curves that are compared, those of the claim first.
    """
    wanted = [
        (SINGLE, PAPER), (OWN, PAPER), (OWN, SINGLE),
        ('fusion-E', 'CN-E'), ('fusion-Z', 'CN-Z'), ('fusion-E+Z', 'fusion-E'),
        ('fusion-E', 'fusion-E, pictures only'), ('fusion-E, pictures only', 'CN-E'),
        ('MN-E', 'CN-E'), ('MN-Z', 'CN-Z'), ('CN-Z', 'CN-E'), ('MN-Z', 'MN-E'),
        ('fusion', 'CN'), ('fusion, ensemble', 'CN'), ('fusion, ensemble', 'fusion'), ('MN', 'CN'),
    ]  # fmt: skip
    for name in list(curves):
        wanted += [(name, f'{name}, {words}') for words in ('X-rays only', 'optical only')]
    return [pair for pair in wanted if set(pair) <= set(curves)]


def _people(sample):
    """
    Return where experts and volunteers lie in the plane of the ROC.
    """
    found = []
    for person in sample.people:
        ids = list(person['positive'])
        share = np.array([person['positive'][name] for name in ids])
        positive = sample.truth.select(ids).binary() > 0.5
        # the share of one volunteer on average is a rate itself; labels are for or against
        called = share if person['kind'] == 'one volunteer' else (share > THRESHOLD).astype(float)
        n_test = len(sample.tests['spectroscopic'])
        found.append(
            {
                'name': person['name'],
                'kind': person['kind'],
                'n': len(ids),
                'n_without_answer': n_test - len(ids),
                # None for who answered for nothing of a side
                'completeness': _share(called[positive]),
                'false_positive_rate': _share(called[~positive]),
                'accuracy': _share(np.where(positive, called, 1 - called)),
            }
        )
    return found


def _effort(runs, tests, config):
    """
    Return the time of an expert and of the machine.
    """
    n_predicted = sum(test.n for test in tests.values())
    machine = {}
    for name, some in runs.items():
        # the first run compiles
        timed = _timed(some)
        warm = timed[1:] or timed
        machine[name] = float(np.median([run['seconds']['prediction'] for run in warm]))
        machine[name] /= n_predicted
    processor = {
        name: float(np.median([run['seconds']['processor'] for run in _timed(some)]))
        for name, some in runs.items()
    }
    return {
        'expert_seconds': config.expert_seconds,
        'expert_hours_per_1000': config.expert_seconds * 1000 / 3600,
        'machine_seconds': machine,
        # by the clock a run that had to wait for other programs would count as long
        'processor_seconds': processor,
        'processor_hours': sum(processor[name] * len(some) for name, some in runs.items()) / 3600,
        'n_runs': sum(len(some) for some in runs.values()),
        # their times are not those of a processor
        'n_elsewhere': sum(_elsewhere(run) for some in runs.values() for run in some),
    }


def _elsewhere(run):
    """
    Tell whether a run was computed on another device than a processor.
    """
    return run.get('device', 'cpu') != 'cpu'


def _timed(some):
    """
    Return the runs whose times are those of a processor, or all if none are.
    """
    return [run for run in some if not _elsewhere(run)] or some
