# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Settings of a training, frozen and checked.
"""

import dataclasses

import numpy as np

from clustercnn.network import Augmentation, from_dict
from clustercnn.network.backend import PRECISIONS
from clustercnn.network.config import _check_integer, _check_number

__all__ = ['TrainingConfig']


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """
    How a network is trained.

    Parameters
    ----------
    n_epochs : int
        Passes over the training set.
    batch_size : int or None
        Cutouts a step. None: 64, or, so that a pass over a small set has some 32 steps,
        32 below 2048 cutouts and 16 below 1024.
    learning_rate : float
        At its highest, after the warm-up.
    warmup : float
        Share of the steps in which the rate rises from zero; it falls as a cosine
        to zero afterwards.
    weight_decay : float
        Of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), on kernels only.
    clip_norm : float
        Largest norm of a gradient.
    monitor : {'loss', 'auc'}
        What decides on the validation set which epoch is kept.
    target : {'probability', 'votes'}
        What the labels are: probabilities of the classes, hard or soft, compared by cross-entropy;
        or counts of votes, compared by their Dirichlet-multinomial likelihood (`vote_loss`).
    confusion : sequence of sequence of float, optional
        Noise of the labels or votes: the probability that the class of the column is said where
        that of the row is true, rows in the order of the schema. The network then learns what is
        true (`probability_loss`); by default what is said counts as true.
    frozen : {None, 'stem'}
        What keeps its initial parameters: nothing, or all that makes the last maps of the
        pictures, with its running statistics; the layers after it are trained all the same.
    augmentation : Augmentation
        Random changes of the training cutouts.
    precision : {'auto', 'float32', 'bfloat16'}
        What maps are computed in: float32 on a CPU and bfloat16 on a GPU by default. Parameters,
        optimiser and loss are of float32 in any case.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> from clustercnn.training import TrainingConfig
    >>> TrainingConfig(n_epochs=3).steps_per_epoch(10_000)
    157
    """

    n_epochs: int = 30
    batch_size: int | None = None
    learning_rate: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    monitor: str = 'loss'
    target: str = 'probability'
    confusion: tuple | None = None
    frozen: str | None = None
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    precision: str = 'auto'

    def __post_init__(self):
        put = object.__setattr__
        put(self, 'n_epochs', _check_integer('n_epochs', self.n_epochs, high=10**6))
        if self.batch_size is not None:
            put(self, 'batch_size', _check_integer('batch_size', self.batch_size, high=2**16))
        for name, high, open_low in (
            ('learning_rate', 10, True),
            ('warmup', 0.9, False),
            ('weight_decay', 10, False),
            ('clip_norm', 1e6, True),
        ):
            value = _check_number(name, getattr(self, name), low=0, high=high, open_low=open_low)
            put(self, name, value)
        if self.monitor not in ('loss', 'auc'):
            msg = f"'monitor' must be 'loss' or 'auc', got {self.monitor!r}"
            raise ValueError(msg)
        if self.target not in ('probability', 'votes'):
            msg = f"'target' must be 'probability' or 'votes', got {self.target!r}"
            raise ValueError(msg)
        if self.precision not in PRECISIONS:
            msg = f"'precision' must be one of {PRECISIONS}, got {self.precision!r}"
            raise ValueError(msg)
        if self.frozen not in (None, 'stem'):
            msg = f"'frozen' must be None or 'stem', got {self.frozen!r}"
            raise ValueError(msg)
        if self.confusion is not None:
            put(self, 'confusion', _check_confusion(self.confusion))
        augmentation = self.augmentation
        if isinstance(augmentation, dict):
            augmentation = from_dict(Augmentation, augmentation)
        if not isinstance(augmentation, Augmentation):
            msg = f"'augmentation' must be an Augmentation, got {augmentation!r}"
            raise TypeError(msg)
        put(self, 'augmentation', augmentation)

    def batch_for(self, n_items):
        """
        Return the number of cutouts a step for a training set of a size.

        Parameters
        ----------
        n_items : int
            Length of the training set.

        Returns
        -------
        batch_size : int
            At most the length of the set.
        """
        batch_size = self.batch_size
        if batch_size is None:
            # an epoch of a few steps is hardly any training, and small steps cost no more
            batch_size = next((size for size in (64, 32) if n_items >= 32 * size), 16)
        return min(batch_size, n_items)

    def steps_per_epoch(self, n_items):
        """
        Return the number of steps of a pass over a training set of a size.

        Parameters
        ----------
        n_items : int
            Length of the training set.

        Returns
        -------
        n_steps : int
            The last one may be filled up.
        """
        return -(-n_items // self.batch_for(n_items))


def _check_confusion(values):
    """
    Return a confusion matrix as nested tuples, which can be compared and stored.
    """
    try:
        matrix = np.array(values, np.float64)
    except (ValueError, TypeError):
        matrix = np.zeros(0)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        msg = f"'confusion' must have a row and a column for each class, got {values!r}"
        raise ValueError(msg)
    sums = matrix.sum(axis=1)
    wrong = ~((matrix >= 0).all(axis=1) & (np.abs(sums - 1) < 1e-3))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        msg = (
            f"row {row} of 'confusion' must hold probabilities that sum to 1, got "
            f'{matrix[row].tolist()}'
        )
        raise ValueError(msg)
    if np.linalg.matrix_rank(matrix, tol=1e-3) < len(matrix):
        msg = (
            "'confusion' says the same of different classes, so that nothing could tell them "
            f'apart: {matrix.tolist()}'
        )
        raise ValueError(msg)
    return tuple(tuple((row / total).tolist()) for row, total in zip(matrix, sums, strict=True))
