# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Training as pure steps and a loop one can read, with checkpoints and calibration.
"""

from clustercnn.training.calibration import (
    conformal_limits,
    conformal_sets,
    fit_novelty,
    fit_temperature,
    novelty,
    prior_shift,
    softmax,
)
from clustercnn.training.checkpoint import (
    differences,
    digest,
    load_checkpoint,
    read_arrays,
    restore,
    save_checkpoint,
    write_arrays,
)
from clustercnn.training.config import TrainingConfig
from clustercnn.training.loop import (
    TrainingResult,
    binary_auc,
    evaluate,
    make_steps,
    predict,
    prediction_steps,
    train,
)
from clustercnn.training.losses import label_loss, probability_loss, vote_loss, vote_shares
from clustercnn.training.steps import Steps, make_optimizer
from clustercnn.training.strangeness import (
    fit_statistics,
    image_statistics,
    n_statistics,
    statistics_distance,
)

__all__ = [
    'Steps',
    'TrainingConfig',
    'TrainingResult',
    'binary_auc',
    'conformal_limits',
    'conformal_sets',
    'differences',
    'digest',
    'evaluate',
    'fit_novelty',
    'fit_statistics',
    'fit_temperature',
    'image_statistics',
    'label_loss',
    'load_checkpoint',
    'make_optimizer',
    'make_steps',
    'n_statistics',
    'novelty',
    'predict',
    'prediction_steps',
    'prior_shift',
    'probability_loss',
    'read_arrays',
    'restore',
    'save_checkpoint',
    'softmax',
    'statistics_distance',
    'train',
    'vote_loss',
    'vote_shares',
    'write_arrays',
]
