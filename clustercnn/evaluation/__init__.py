# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How good predictions are: ranking, purity, calibration, with intervals.
"""

from clustercnn.evaluation.calibration import (
    ReliabilityCurve,
    brier_score,
    calibration_interval,
    expected_calibration_error,
    reliability_curve,
)
from clustercnn.evaluation.joining import JoinedScores, join
from clustercnn.evaluation.metrics import (
    PurityCurve,
    RocCurve,
    accuracy,
    average_precision,
    confusion_matrix,
    mcnemar_exact,
    purity_completeness,
    roc_auc,
    roc_auc_interval,
    roc_curve,
    shifted_purity,
    wilson_interval,
)
from clustercnn.evaluation.plots import (
    plot_history,
    plot_purity_completeness,
    plot_reliability,
    plot_roc,
    plot_score_histogram,
)
from clustercnn.evaluation.resampling import resampled_weights
from clustercnn.evaluation.summary import EvaluationResult, evaluate

__all__ = [
    'EvaluationResult',
    'JoinedScores',
    'PurityCurve',
    'ReliabilityCurve',
    'RocCurve',
    'accuracy',
    'average_precision',
    'brier_score',
    'calibration_interval',
    'confusion_matrix',
    'evaluate',
    'expected_calibration_error',
    'join',
    'mcnemar_exact',
    'plot_history',
    'plot_purity_completeness',
    'plot_reliability',
    'plot_roc',
    'plot_score_histogram',
    'purity_completeness',
    'reliability_curve',
    'resampled_weights',
    'roc_auc',
    'roc_auc_interval',
    'roc_curve',
    'shifted_purity',
    'wilson_interval',
]
