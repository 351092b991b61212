# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The training loop, to be read from top to bottom, and the loop over batches of a
prediction.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np

from clustercnn._utils.ahead import ahead
from clustercnn._utils.progress import progress as progress_bar
from clustercnn.exceptions import TrainingError
from clustercnn.network import n_rows, take, to_dict
from clustercnn.training.checkpoint import digest, load_checkpoint, restore, save_checkpoint
from clustercnn.training.devices import in_threads, spread
from clustercnn.training.steps import Steps

__all__ = [
    'TrainingResult',
    'binary_auc',
    'evaluate',
    'make_steps',
    'predict',
    'prediction_steps',
    'train',
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """
    What a training leaves behind.

    Parameters
    ----------
    params : dict
        Parameters of the epoch that is kept, nested, of `~numpy.ndarray`.
    history : tuple of dict
        One entry an epoch: ``epoch``, ``loss``, and ``validation_loss`` and
        ``validation_auc`` where there is a validation set.
    best_epoch : int
        The epoch that is kept, from 1.

    Examples
    --------
    >>> from clustercnn.training import TrainingResult
    >>> TrainingResult(params={}, history=({'epoch': 1, 'loss': 0.4},), best_epoch=1).best_epoch
    1
    """

    params: dict
    history: tuple
    best_epoch: int


def binary_auc(score, truth, *, weight=None):
    """
    Return the area under the ROC curve.

    Parameters
    ----------
    score : 1D array-like
        Higher means more likely positive.
    truth : 1D array-like of bool
        What is positive.
    weight : 1D array-like, optional
        Of each item; a pair counts as the product of both.

    Returns
    -------
    auc : float or None
        The share of pairs in the right order, ties counted half (Mann & Whitney
        1947); None where one side is empty, or has no weight.

    Examples
    --------
    >>> from clustercnn.training import binary_auc
    >>> binary_auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    score, truth = np.asarray(score, np.float64), np.asarray(truth, bool)
    weight = np.ones(len(score)) if weight is None else np.asarray(weight, np.float64)
    n_positive, n_negative = float(weight[truth].sum()), float(weight[~truth].sum())
    if not n_positive > 0 or not n_negative > 0:
        return None
    order = np.argsort(score[~truth])
    negative, mass = score[~truth][order], np.r_[0.0, np.cumsum(weight[~truth][order])]
    below = mass[np.searchsorted(negative, score[truth], side='left')]
    not_above = mass[np.searchsorted(negative, score[truth], side='right')]
    return float((weight[truth] * (below + not_above)).sum() / 2 / n_positive / n_negative)


# compilation takes longer than many an epoch: runs that differ in seed, data or length only
# share
@functools.lru_cache(maxsize=8)
def _training_steps(network, config):
    return Steps(network, config=config)


def make_steps(network, config, n_items):
    """
    Return the jitted functions for a training set of a size.

    Parameters
    ----------
    network : Network
        The network.
    config : TrainingConfig
        Settings.
    n_items : int
        Length of the training set.

    Returns
    -------
    steps : Steps
        The same object for trainings that differ in seed, data and length only, so that each
        function is traced once for all members of an ensemble, folds and repetitions.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, InputSpec, build_network
    >>> spec = BandSpec(name='g', kind='optical', shape=(16, 16), pixel_scale=1.0)
    >>> network = build_network('cn', InputSpec(bands=(spec,)), n_classes=2)
    >>> from clustercnn.training import TrainingConfig, make_steps
    >>> make_steps(network, TrainingConfig(), 100) is make_steps(network, TrainingConfig(), 90)
    True
    """
    batch_size = config.batch_for(n_items)
    # for how long, and by what an epoch is chosen, is not compiled in
    alike = dataclasses.replace(config, batch_size=batch_size, n_epochs=1, monitor='loss')
    return _training_steps(network, alike)


@functools.lru_cache(maxsize=8)
def _prediction_steps(network, dihedral, precision):
    return Steps(network, dihedral=dihedral, precision=precision)


def prediction_steps(network, dihedral, precision='auto'):
    """
    Return the jitted functions for prediction.

    Parameters
    ----------
    network : Network
        The network.
    dihedral : bool
        Whether to average over flips and quarter turns.
    precision : {'auto', 'float32', 'bfloat16'}, optional
        What maps are computed in: float32 on a CPU and bfloat16 on a GPU by default.

    Returns
    -------
    steps : Steps
        The same object for equal arguments.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, InputSpec, build_network
    >>> spec = BandSpec(name='g', kind='optical', shape=(16, 16), pixel_scale=1.0)
    >>> network = build_network('cn', InputSpec(bands=(spec,)), n_classes=2)
    >>> from clustercnn.training import prediction_steps
    >>> prediction_steps(network, False) is prediction_steps(network, False)
    True
    """
    # a default that is spelt out would be another key
    return _prediction_steps(network, dihedral, precision)


def predict(function, params, dataset, *, batch_size=64, progress=False, label='predict'):
    """
    Apply a jitted function to a whole data set in batches of fixed size.

    Parameters
    ----------
    function : callable
        ``function(params, batch)`` that returns a pytree of arrays with one row an
        item, such as `Steps.predict`.
    params : dict
        Parameters.
    dataset : dict
        From `~clustercnn.network.make_dataset`.
    batch_size : int, optional
        Cutouts at a time; the last batch is filled up.
    progress : bool or None, optional
        Whether to show a bar; None: on a terminal.
    label : str, optional
        What the bar says.

    Returns
    -------
    result : pytree of `~numpy.ndarray`
        In the order of the data set, or None if that is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import BandArrays, BandSpec, InputSpec, build_network, make_dataset
    >>> spec = BandSpec(name='g', kind='optical', shape=(16, 16), pixel_scale=1.0)
    >>> network = build_network('cn', InputSpec(bands=(spec,)), n_classes=2)
    >>> picture = np.random.default_rng(1).normal(size=(4, 16, 16))
    >>> data = make_dataset(network.inputs, {'g': BandArrays(data=picture, pixel_scale=1.0)})
    >>> from clustercnn.training import predict, prediction_steps
    >>> steps = prediction_steps(network, False)
    >>> logits, features = predict(steps.predict, network.init(0), data, batch_size=3)
    >>> logits.shape
    (4, 2)
    """
    n_items = n_rows(dataset)
    parts = []
    quiet = None if progress is None else not progress
    with progress_bar(total=n_items, label=label, quiet=quiet, unit='cutouts') as bar:

        def predicted(rows):
            result = function(params, spread(take(dataset, rows, batch_size)))
            return jax.tree.map(lambda leaf: np.array(leaf)[: len(rows)], result)

        for rows, result in in_threads(predicted, _parts(np.arange(n_items), batch_size)):
            parts.append(result)
            bar.update(len(rows))
    if not parts:
        return None
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def evaluate(steps, params, dataset, *, positive, batch_size=64):
    """
    Return loss and area under the ROC curve of a labelled data set.

    Parameters
    ----------
    steps : Steps
        Jitted functions.
    params : dict
        Parameters.
    dataset : dict
        With ``'target'`` and ``'weight'``.
    positive : tuple of int
        Codes of the positive classes.
    batch_size : int, optional
        Cutouts at a time.

    Returns
    -------
    loss : float
        Weighted mean of what the steps were configured for, the cross-entropy by default.
    auc : float or None
        None where all are positive or none is.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import BandArrays, BandSpec, InputSpec, build_network, make_dataset
    >>> spec = BandSpec(name='g', kind='optical', shape=(16, 16), pixel_scale=1.0)
    >>> network = build_network('cn', InputSpec(bands=(spec,)), n_classes=2)
    >>> picture = np.random.default_rng(1).normal(size=(4, 16, 16))
    >>> data = make_dataset(network.inputs, {'g': BandArrays(data=picture, pixel_scale=1.0)})
    >>> data |= {'target': np.eye(2, dtype='f4')[[0, 1, 0, 1]], 'weight': np.ones(4, 'f4')}
    >>> from clustercnn.training import evaluate, prediction_steps
    >>> steps = prediction_steps(network, False)
    >>> loss, auc = evaluate(steps, network.init(0), data, positive=(0,))
    >>> loss > 0, 0 <= auc <= 1
    (True, True)
    """
    n_items = n_rows(dataset)
    loss = weight = 0.0
    logits = []

    def evaluated(rows):
        result = steps.evaluate(params, spread(take(dataset, rows, batch_size)))
        return jax.tree.map(np.array, result)

    for rows, result in in_threads(evaluated, _parts(np.arange(n_items), batch_size)):
        loss += float(result['loss'])
        weight += float(result['weight'])
        logits.append(result['logits'][: len(rows)])
    logits = np.concatenate(logits).astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    score = odds[:, list(positive)].sum(axis=1) / odds.sum(axis=1)
    truth = dataset['target'][:, list(positive)].sum(axis=1) > 0.5
    return loss / max(weight, 1e-12), binary_auc(score, truth, weight=dataset['weight'])


def _configuration(network, config, seed, positive, dataset, validation, initial):
    start = {} if initial is None else {'initial_parameters': digest(initial)}
    return start | {
        'network': network.to_dict(),
        'training': to_dict(config),
        'seed': seed,
        'positive': list(positive),
        'training_data': digest(dataset),
        'validation_data': None if validation is None else digest(validation),
    }


def _copied(params):
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), params)


def _parts(rows, size):
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _batches(dataset, order, batch_size):
    """
    Return an iterator of rows and batch, each gathered while the one before is learnt from.
    """

    def gather(rows):
        return rows, spread(take(dataset, rows, batch_size))

    return ahead(gather, _parts(order, batch_size))


def _is_better(config, entry, best):
    if best is None:
        return True
    if config.monitor == 'auc' and entry['validation_auc'] is not None:
        # equal areas are common on small sets; the loss decides between them
        return (entry['validation_auc'], -entry['validation_loss']) > (
            best['validation_auc'],
            -best['validation_loss'],
        )
    return entry['validation_loss'] < best['validation_loss']


def train(
    network,
    config,
    dataset,
    *,
    seed,
    positive=(0,),
    validation=None,
    initial=None,
    checkpoint=None,
    steps=None,
    progress=False,
    label='train',
):
    """
    Train a network.

    Parameters
    ----------
    network : Network
        The network.
    config : TrainingConfig
        Settings.
    dataset : dict
        From `~clustercnn.network.make_dataset`, with ``'target'`` of shape
        ``(n, n_classes)`` and ``'weight'`` of shape ``(n,)``; with ``'votes'`` of the
        shape of the target where the configuration asks for them.
    seed : int
        For initial parameters, order, dropout and augmentation.
    positive : tuple of int, optional
        Codes of the positive classes, for the area under the ROC curve.
    validation : dict, optional
        As ``dataset``. The epoch that is best on it is kept; the last one without.
    initial : dict, optional
        Parameters to start from, instead of random ones.
    checkpoint : str or path-like, optional
        File for the state after each epoch. If it exists, the run goes on from there.
    steps : Steps, optional
        From `make_steps`, to share compiled functions between trainings.
    progress : bool or None, optional
        Whether to show a bar; None: on a terminal.
    label : str, optional
        What the bar says.

    Returns
    -------
    result : TrainingResult
        Parameters and history.

    Raises
    ------
    TrainingError
        If a loss is not finite: ``error.result`` then holds the last good state,
        ``error.rows`` the batch. If the checkpoint is of another training.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import BandArrays, BandSpec, InputSpec, build_network, make_dataset
    >>> spec = BandSpec(name='g', kind='optical', shape=(16, 16), pixel_scale=1.0)
    >>> network = build_network('cn', InputSpec(bands=(spec,)), n_classes=2)
    >>> picture = np.random.default_rng(1).normal(size=(4, 16, 16))
    >>> data = make_dataset(network.inputs, {'g': BandArrays(data=picture, pixel_scale=1.0)})
    >>> data |= {'target': np.eye(2, dtype='f4')[[0, 1, 0, 1]], 'weight': np.ones(4, 'f4')}
    >>> from clustercnn.training import TrainingConfig, train
    >>> result = train(network, TrainingConfig(n_epochs=2, batch_size=4), data, seed=1)
    >>> [entry['epoch'] for entry in result.history]
    [1, 2]
    """
    n_items = n_rows(dataset)
    batch_size, per_epoch = config.batch_for(n_items), config.steps_per_epoch(n_items)
    n_steps = config.n_epochs * per_epoch
    steps = make_steps(network, config, n_items) if steps is None else steps
    mean_weight = float(np.mean(dataset['weight'], dtype=np.float64))
    if not mean_weight > 0:
        msg = 'all training weights are zero'
        raise TrainingError(msg)
    if validation is not None and not np.any(validation['weight'] > 0):
        msg = 'all validation weights are zero, so that no epoch is better than another'
        raise TrainingError(msg)
    # weights of mean one: the loss is a mean, and a last batch that is not full
    # pulls no harder than its share
    dataset = dataset | {'weight': (dataset['weight'] / mean_weight).astype(np.float32)}

    state = steps.initial_state(seed, initial=initial)
    # a copy, here and below: the buffers of the state are given away at each step
    history, best, best_params = [], None, _copied(state['params'])
    first_epoch = 0
    if checkpoint is not None:
        configuration = _configuration(
            network, config, seed, positive, dataset, validation, initial
        )
        if Path(checkpoint).exists():
            arrays, record = load_checkpoint(checkpoint, configuration=configuration)
            stored = restore({'state': state, 'best': best_params}, arrays)
            state, best_params = stored['state'], stored['best']
            history, best = record['history'], record['best']
            first_epoch = len(history)

    def result():
        params = _copied(best_params if validation is not None else state['params'])
        epoch = best['epoch'] if best is not None else len(history)
        return TrainingResult(params=params, history=tuple(history), best_epoch=epoch)

    quiet = None if progress is None else not progress
    with progress_bar(total=n_steps, label=label, quiet=quiet, unit='steps') as bar:
        bar.update(first_epoch * per_epoch)
        for epoch in range(first_epoch, config.n_epochs):
            order = np.random.default_rng([seed, epoch]).permutation(n_items)
            loss = weight = 0.0
            for number, (rows, batch) in enumerate(_batches(dataset, order, batch_size), 1):
                state, metrics = steps.train(state, batch, n_steps)
                if not metrics['finite']:
                    msg = (
                        f'the loss or its gradient is not finite in epoch {epoch + 1}, step '
                        f'{number} of {per_epoch}; lower the learning rate '
                        f'({config.learning_rate:g}) or look for absurd values in the data'
                    )
                    error = TrainingError(msg)
                    error.result, error.rows = result(), rows
                    raise error
                loss += float(metrics['loss'])
                weight += float(metrics['weight'])
                bar.update()
            entry = {'epoch': epoch + 1, 'loss': loss / max(weight, 1e-12)}
            text = f'loss {entry["loss"]:.4f}'
            if validation is not None:
                entry['validation_loss'], entry['validation_auc'] = evaluate(
                    steps, state['params'], validation, positive=positive, batch_size=batch_size
                )
                text += f', validation {entry["validation_loss"]:.4f}'
                if entry['validation_auc'] is not None:
                    text += f', AUC {entry["validation_auc"]:.4f}'
                if np.isfinite(entry['validation_loss']) and _is_better(config, entry, best):
                    best = entry
                    best_params = _copied(state['params'])
            history.append(entry)
            bar.set_postfix_str(text)
            if checkpoint is not None:
                save_checkpoint(
                    checkpoint,
                    {'state': state, 'best': best_params},
                    {'configuration': configuration, 'history': history, 'best': best},
                )
    return result()
