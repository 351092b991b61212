# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
All figures of merit of one set of predictions at once.
"""

import dataclasses

import numpy as np

from clustercnn._utils.summary import html_summary, text_summary
from clustercnn.evaluation.calibration import (
    brier_score,
    calibration_interval,
    expected_calibration_error,
)
from clustercnn.evaluation.joining import join
from clustercnn.evaluation.metrics import (
    accuracy,
    average_precision,
    confusion_matrix,
    purity_completeness,
    roc_auc,
    roc_auc_interval,
    wilson_interval,
)
from clustercnn.evaluation.resampling import (
    can_be_resampled,
    percentile_interval,
    resampled_weights,
)

__all__ = ['EvaluationResult', 'evaluate']

PURITIES = (0.9, 0.95, 0.99)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class EvaluationResult:
    """
    Figures of merit, with intervals.

    Parameters
    ----------
    n_used, n_positive : int
        Objects with a prediction and a known label, and how many of them are positive.
    dropped : dict of str to int
        Objects left out, by reason.
    confidence : float
        Level of all intervals.
    auc, ece, brier, accuracy : float
        Area under the ROC curve, expected calibration error and Brier score of the positive
        probability; fraction of right classes (of right sides of 0.5, where the schemas
        differ). All weighted by the labels' weights.
    auc_interval, ece_interval, brier_interval, accuracy_interval : 2-tuple of float
        Their intervals: bootstrap, for the accuracy Wilson's where there are no groups.
    average_precision : float
        Purity averaged over completeness.
    purity, completeness : float
        Of the sample with a probability above 0.5.
    samples : dict
        By purity wanted, the threshold that gives it on these data and the
        completeness there, None where none does.
    classes : tuple of str or None
        Classes of the confusion matrix.
    confusion : tuple of tuple of float or None
        Rows true, columns predicted; None where the schemas differ.
    positive : tuple of str
        Classes of the labels that count as positive.

    Examples
    --------
    >>> from clustercnn.evaluation import evaluate
    >>> from clustercnn.testing import tiny_labels, tiny_prediction
    >>> evaluate(tiny_prediction(), tiny_labels(), n_resamples=50).n_used
    6
    """

    n_used: int
    n_positive: int
    dropped: dict
    confidence: float
    auc: float
    ece: float
    brier: float
    accuracy: float
    auc_interval: tuple
    ece_interval: tuple
    brier_interval: tuple
    accuracy_interval: tuple
    average_precision: float
    purity: float
    completeness: float
    samples: dict
    classes: tuple | None
    confusion: tuple | None
    positive: tuple = ()

    def to_dict(self):
        """
        Return the figures ready for JSON.

        Returns
        -------
        figures : dict
            NaN becomes None, which JSON knows.

        Examples
        --------
        >>> import json
        >>> from clustercnn.evaluation import evaluate
        >>> from clustercnn.testing import tiny_labels, tiny_prediction
        >>> result = evaluate(tiny_prediction(), tiny_labels(), n_resamples=50)
        >>> json.loads(json.dumps(result.to_dict(), allow_nan=False))['n_positive']
        3
        """
        return _jsonable(dataclasses.asdict(self))

    def _facts(self):
        def with_interval(value, interval):
            return f'{value:.4f} ({interval[0]:.4f} to {interval[1]:.4f})'

        which = f' ({", ".join(self.positive)})' if self.positive else ''
        return [
            ('used', f'{self.n_used}, {self.n_positive} positive{which}'),
            ('left out', ', '.join(f'{count} {why}' for why, count in self.dropped.items())),
            ('AUC', with_interval(self.auc, self.auc_interval)),
            ('average precision', f'{self.average_precision:.4f}'),
            ('calibration error', with_interval(self.ece, self.ece_interval)),
            ('Brier score', with_interval(self.brier, self.brier_interval)),
            ('accuracy', with_interval(self.accuracy, self.accuracy_interval)),
            ('purity above 0.5', f'{self.purity:.4f}'),
            ('completeness above 0.5', f'{self.completeness:.4f}'),
            ('intervals', f'{self.confidence:.0%}'),
        ]

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


def _jsonable(value):
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def evaluate(
    prediction, label_set, *, groups=None, n_bins=15, confidence=0.95, n_resamples=1000, seed=0
):
    """
    Compare predictions with labels.

    Parameters
    ----------
    prediction : PredictionSet
        Predictions.
    label_set : LabelSet
        Labels; what is unknown or has no partner is left out and counted.
    groups : dict of str to object, optional
        Group of each identifier, such as its field; groups are resampled whole, since
        detections of one field are not independent. Of a single group there are no intervals.
    n_bins : int, optional
        Bins of the calibration error.
    confidence : float, optional
        Level of the intervals.
    n_resamples : int, optional
        Bootstrap samples.
    seed : int, optional
        Seed of the bootstrap.

    Returns
    -------
    result : EvaluationResult
        NaN where a figure is not defined, as the AUC is without positives.

    Raises
    ------
    ValueError
        If no prediction has a known label, or one that has is in no group.

    Examples
    --------
    >>> from clustercnn.evaluation import evaluate
    >>> from clustercnn.testing import tiny_labels, tiny_prediction
    >>> result = evaluate(tiny_prediction(6), tiny_labels(4), n_resamples=50)
    >>> result.dropped['prediction without label']
    2
    """
    joined = join(prediction, label_set)
    if not joined.ids:
        listing = ', '.join(f'{count} {why}' for why, count in joined.dropped.items())
        msg = (
            f'no prediction has a known label ({listing}); '
            f'do the identifiers belong to the same catalogue?'
        )
        raise ValueError(msg)
    score, truth, weight = joined.score, joined.truth, joined.weight
    own_groups = None
    if groups is not None:
        lost = [name for name in joined.ids if name not in groups]
        if lost:
            msg = f"'groups' lacks {len(lost)} of {len(joined.ids)} identifiers, first {lost[0]!r}"
            raise ValueError(msg)
        own_groups = [str(groups[name]) for name in joined.ids]
    resampling = {
        'weight': weight,
        'groups': own_groups,
        'confidence': confidence,
        'n_resamples': n_resamples,
        'seed': seed,
    }
    same_classes = prediction.schema.classes == label_set.schema.classes
    confusion = None
    if same_classes:
        matrix = confusion_matrix(
            joined.predicted, joined.true, n_classes=label_set.schema.n_classes, weight=weight
        )
        confusion = tuple(tuple(float(cell) for cell in row) for row in matrix)
        right = joined.predicted == joined.true
    else:
        right = (score > 0.5) == truth
    fraction = accuracy(right.astype(int), np.ones(len(right), int), weight=weight)
    curve = purity_completeness(score, truth, weight=weight)
    selected = weight * (score > 0.5)
    hits, total = (selected * truth).sum(), (weight * truth).sum()
    samples = {}
    for purity in PURITIES:
        threshold, completeness = curve.threshold_for(purity)
        samples[f'{purity:g}'] = (
            None if np.isnan(threshold) else {'threshold': threshold, 'completeness': completeness}
        )
    return EvaluationResult(
        n_used=len(joined.ids),
        n_positive=int(truth.sum()),
        dropped=joined.dropped,
        confidence=confidence,
        auc=roc_auc(score, truth, weight=weight),
        auc_interval=roc_auc_interval(score, truth, **resampling),
        average_precision=average_precision(score, truth, weight=weight),
        ece=expected_calibration_error(score, truth, weight=weight, n_bins=n_bins),
        ece_interval=calibration_interval(score, truth, n_bins=n_bins, **resampling),
        brier=brier_score(score, truth, weight=weight),
        brier_interval=calibration_interval(score, truth, statistic='brier', **resampling),
        accuracy=fraction,
        accuracy_interval=_accuracy_interval(right, fraction, **resampling),
        purity=float(hits / selected.sum()) if selected.any() else float('nan'),
        completeness=float(hits / total) if total > 0 else float('nan'),
        samples=samples,
        classes=label_set.schema.classes if same_classes else None,
        confusion=confusion,
        positive=label_set.schema.positive,
    )


def _accuracy_interval(right, fraction, *, weight, groups, confidence, n_resamples, seed):
    """
    Return the interval of an accuracy: Wilson's, or of resampled groups.
    """
    if not weight.any():
        return float('nan'), float('nan')
    if groups is None:
        n_effective = weight.sum() ** 2 / (weight**2).sum()
        return wilson_interval(fraction * n_effective, n_effective, confidence=confidence)
    if not can_be_resampled(weight, groups):
        return float('nan'), float('nan')
    values = []
    for times in resampled_weights(len(right), n_resamples=n_resamples, seed=seed, groups=groups):
        drawn = times * weight
        values.append((drawn * right).sum() / drawn.sum() if drawn.any() else np.nan)
    return percentile_interval(values, confidence=confidence)
