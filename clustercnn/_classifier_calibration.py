# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a classifier says of its own reliability: temperature, thresholds of a purity, and
sets of classes with a coverage, all from candidates that it never trained on.
"""

import warnings

import numpy as np

from clustercnn._classifier_data import FEWEST_FOR_VALIDATION, check_kinds, checked_groups
from clustercnn.core import PredictionSet
from clustercnn.evaluation import purity_completeness, resampled_weights, wilson_interval
from clustercnn.exceptions import DataQualityWarning, TrainingError
from clustercnn.training import (
    conformal_limits,
    conformal_sets,
    fit_temperature,
    prior_shift,
    softmax,
)

__all__ = ['PURITIES', 'Calibrated']

PURITIES = (0.9, 0.95, 0.99)
"""Purities that thresholds are kept for."""

_N_RESAMPLES = 500


def _thresholds(probability, truth, weight, groups):
    """
    Return for each purity the threshold, and purity and completeness above it with intervals.

    What is drawn again from a sample without a wrong one has none either, whatever its size:
    intervals reach at least as far as those of Wilson (1927) for so many.
    """
    curve = purity_completeness(probability, truth, weight=weight)
    drawn = list(
        resampled_weights(len(truth), n_resamples=_N_RESAMPLES, seed=0, groups=groups),
    )
    rows = []
    for wanted in PURITIES:
        threshold, _ = curve.threshold_for(wanted)
        if np.isnan(threshold):
            continue
        chosen = probability >= threshold
        values = []
        for times in (1.0, *drawn):
            mass = times * weight
            selected, positive = (mass * chosen).sum(), (mass * truth).sum()
            both = (mass * chosen * truth).sum()
            values.append(
                (both / selected if selected else np.nan, both / positive if positive else np.nan)
            )
        low, high = np.nanpercentile(values[1:], [2.5, 97.5], axis=0)
        for number, those in enumerate((chosen, truth)):
            # as many of equal weight as tell as much (Kish 1965)
            n = weight[those].sum() ** 2 / max((weight[those] ** 2).sum(), 1e-300)
            wilson = wilson_interval(values[0][number] * n, n)[:2]
            low[number] = min(low[number], wilson[0])
            high[number] = max(high[number], wilson[1])
        row = {'purity': wanted, 'threshold': float(threshold)}
        for number, name in enumerate(('measured_purity', 'completeness')):
            row[name] = [float(v) for v in (values[0][number], low[number], high[number])]
        rows.append(row)
    return rows


class Calibrated:
    """
    The part of `~clustercnn.Classifier` that calibrates.
    """

    def calibrate(self, stack, label_set, *, groups=None):
        """
        Calibrate on candidates that were not trained on, such as those of one's own survey.

        Parameters
        ----------
        stack : CutoutStack
            Their cutouts.
        label_set : LabelSet
            Their labels by identifier, with weights. Unknown ones are left out.
        groups : 1D array-like, optional
            One value a cutout, such as the field: the intervals resample whole groups, of which
            there must be two at least.

        Returns
        -------
        classifier : Classifier
            This object itself, with a new temperature, new `thresholds` and new limits for
            `conformal_sets` in place of those it had. The networks are as they were.

        Raises
        ------
        ValueError
            If labels and cutouts do not fit, all labels are of one group, or an X-ray band is not
            in counts.
        TrainingError
            If fewer than ten labels of a weight above zero are known, or all are of the positive
            classes or none is.

        Warns
        -----
        DataQualityWarning
            If no threshold gives one of the purities.

        Notes
        -----
        The temperature (Guo et al. 2017, arXiv:1706.04599) does not move the prior, and is fitted
        with what another share of clusters among the labels does to probabilities allowed for:
        predictions for a survey with another share need `PredictionSet.at_prior` besides.
        """
        check_kinds(stack, label_set, 'calibration')
        model = self._fitted()
        groups = None if groups is None else checked_groups(groups, len(stack))
        if label_set.schema != self.schema:
            msg = (
                f'the labels have the classes {label_set.schema.classes}, the classifier '
                f'{self.schema.classes}'
            )
            raise ValueError(msg)
        known = label_set[label_set.known & (label_set.weight > 0)]
        absent = sorted(set(known.ids) - set(stack.ids))
        if absent:
            msg = (
                f'{len(absent)} of {len(known)} labels have no cutout, the first {absent[0]!r}; '
                f'choose the others with label_set.select(ids)'
            )
            raise ValueError(msg)
        truth = known.binary() > 0.5
        if len(known) < FEWEST_FOR_VALIDATION or truth.all() or not truth.any():
            msg = (
                f'calibration needs {FEWEST_FOR_VALIDATION} known labels at least, positive and '
                f'negative ones; got {len(known)}, of them {int(truth.sum())} positive'
            )
            raise TrainingError(msg)
        prediction = self.predict(stack).select(known.ids)
        weight = np.asarray(known.weight, np.float64)
        if groups is not None:
            row_of = {name: row for row, name in enumerate(stack.ids)}
            groups = groups[[row_of[name] for name in known.ids]]
            if len(np.unique(groups)) < 2:
                msg = (
                    f"all {len(known)} known labels are of one of the 'groups', so that there is "
                    f"nothing to resample; give labels of two at least, or no 'groups'"
                )
                raise ValueError(msg)
        shares = (weight[:, None] * known.soft()).sum(axis=0) / weight.sum()
        temperature = fit_temperature(
            prediction.logits,
            known.soft(),
            weight=weight,
            shift=prior_shift(shares, model['description']['class_prior']),
        )
        probability = softmax(prediction.logits, temperature=temperature)
        positive = probability[:, list(self.schema.positive_codes)].sum(axis=1)
        model['description'] |= {
            'temperature': temperature,
            'calibration': {
                'cutouts': len(known),
                'positive': int(truth.sum()),
                'groups': None if groups is None else len(np.unique(groups)),
                'thresholds': _thresholds(positive, truth, weight, groups),
                'conformal': conformal_limits(probability, known.hard(), weight=weight),
            },
        }
        self._runtime = None
        kept = [row['purity'] for row in self.thresholds]
        absent = [f'{purity:g}' for purity in PURITIES if purity not in kept]
        if absent:
            warnings.warn(
                f'no threshold gives these {len(known)} candidates a purity of '
                f'{" or ".join(absent)}: thresholds of that are gone; calibrate on more of them to '
                f'have some',
                DataQualityWarning,
                stacklevel=2,
            )
        return self

    @property
    def thresholds(self):
        """
        Thresholds of ``p_cluster`` by purity wanted, from `calibrate`, a tuple of dict.

        Each has ``'purity'``, ``'threshold'``, and ``'measured_purity'`` and
        ``'completeness'`` as value, lower and upper end of the 95 % interval, of the very
        candidates that the threshold was chosen on, so that the purity is a little too good:
        of few candidates above it, by more than the interval says.
        They hold at the class prior of the calibration, not after `PredictionSet.at_prior`; a
        purity that no threshold gave is missing.
        """
        return tuple(self._fitted()['description']['calibration'].get('thresholds', ()))

    def threshold(self, purity):
        """
        Return the threshold of ``p_cluster`` that gives a sample of a purity.

        Parameters
        ----------
        purity : float
            One of those of `thresholds`.

        Returns
        -------
        threshold : float
            Candidates at or above it make the sample.

        Raises
        ------
        ValueError
            If there is none for this purity; lists those that exist.
        """
        kept = {row['purity']: row['threshold'] for row in self.thresholds}
        for known, threshold in kept.items():
            if np.isclose(known, purity):
                return threshold
        names = ', '.join(f'{known:g}' for known in kept) or 'none; see Classifier.calibrate()'
        msg = f'there is no threshold for a purity of {purity}; there are: {names}'
        raise ValueError(msg)

    def conformal_sets(self, prediction, *, coverage=0.9):
        """
        Return which classes cannot be excluded.

        Parameters
        ----------
        prediction : PredictionSet
            From this classifier, at its own prior.
        coverage : float, optional
            Share of the candidates of each class whose set shall hold that class.

        Returns
        -------
        sets : 2D `~numpy.ndarray` of bool
            Shape ``(n, n_classes)``. Some may be empty: candidates unlike those of any class.

        Raises
        ------
        ValueError
            If the coverage is not between 0 and 1, the predictions hold at another prior, or
            the classifier was never calibrated.

        Notes
        -----
        Split conformal sets with a limit for each class (Sadinle, Lei & Wasserman 2019,
        J. Am. Stat. Assoc. 114, 223): whatever the network is, they cover, about, if the
        candidates are like those of the calibration, whose shares of classes do not matter.
        """
        limits = self._fitted()['description']['calibration'].get('conformal')
        if limits is None:
            msg = 'this classifier has no conformal limits; call calibrate() first'
            raise ValueError(msg)
        if not isinstance(prediction, PredictionSet) or prediction.schema != self.schema:
            msg = "'prediction' must be a PredictionSet with the classes of this classifier"
            raise ValueError(msg)
        shares = zip(self.schema.classes, self.metadata['class_prior'], strict=True)
        if not all(
            np.isclose(float(prediction.meta.get(f'prior_{name}', share)), share)
            for name, share in shares
        ):
            msg = 'these predictions hold at another prior than those of the calibration'
            raise ValueError(msg)
        return conformal_sets(prediction.probability, limits, coverage=coverage)
