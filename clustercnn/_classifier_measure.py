# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is measured on trained networks: how sure they may be, where their training data
lie, and how far from there others are.
"""

import dataclasses

import numpy as np

from clustercnn._classifier_data import (
    FEWEST_FOR_VALIDATION,
    class_prior,
    has_no_picture,
    rows_of,
    without_pictures,
)
from clustercnn.network import n_rows
from clustercnn.training import (
    fit_novelty,
    fit_statistics,
    fit_temperature,
    image_statistics,
    novelty,
    predict,
    prior_shift,
    statistics_distance,
    vote_shares,
)

__all__ = ['Measured', 'apply_network', 'measure', 'strangeness']

# this many training items describe where the training data lie
_MOST_FOR_NOVELTY = 2048
# and of so many others a twentieth is a few
_FEWEST_FOR_UNIT = 60
# what a data set says besides what is seen
_LABELS = 'target', 'weight', 'votes'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """
    What `measure` finds out.

    Parameters
    ----------
    temperature : float
        What the logits are divided by; 1 where nothing was held back.
    references : list of list of dict, or None
        Where the training data lie, for each network and for each kind of input: whole
        ones and, if the networks were trained to do without, those without pictures.
    statistics : dict of str to dict
        Where the numbers of the training images lie, by band.
    unit : float
        What the larger distance is divided by, so that one in twenty items that were held back
        at random has more than one; of training items where few were.
    """

    temperature: float
    references: list | None
    statistics: dict
    unit: float


def apply_network(predictor, params, dataset, *, progress=False):
    """
    Predict with one network.

    Parameters
    ----------
    predictor : object
        With a function ``predict`` of parameters and a batch, and with ``prediction_batch``, how
        many a batch has, such as `~clustercnn.training.Steps`.
    params : pytree of `~numpy.ndarray`
        Its parameters.
    dataset : dict
        Inputs, with labels or without.
    progress : bool or None, optional
        Whether to show a bar; None: on a terminal.

    Returns
    -------
    logits : 2D `~numpy.ndarray`
        One row an item.
    features : 2D `~numpy.ndarray`
        What the last layer sees.
    """
    return predict(
        predictor.predict,
        params,
        # labels, if any, would be another structure and another trace
        {name: value for name, value in dataset.items() if name not in _LABELS},
        batch_size=predictor.prediction_batch,
        progress=progress,
        label='classify',
    )


def measure(steps, members, dataset, held, *, config, seed, prior=None):
    """
    Calibrate networks and measure the space of their training data.

    Parameters
    ----------
    steps : `~clustercnn.training.Steps`
        The networks' compiled functions.
    members : list of pytree
        Parameters of each network.
    dataset : dict
        What they were trained on.
    held : dict or None
        What was held back.
    config : `~clustercnn.training.TrainingConfig`
        How they were trained.
    seed : int
        For the choice of the items that stand for the training data.
    prior : list of float, optional
        Share of each class at which the logits hold, where ``held`` was given and may have others;
        None where it was held back at random.

    Returns
    -------
    measured : Measured
        Temperature and references.
    """
    temperature = 1.0
    if held is not None and n_rows(held) >= FEWEST_FOR_VALIDATION:
        logits = np.mean([apply_network(steps, p, held)[0] for p in members], axis=0)
        temperature = fit_temperature(
            logits,
            vote_shares(held, config),
            weight=held['weight'],
            confusion=config.confusion,
            shift=None if prior is None else prior_shift(class_prior(held, config), prior),
        )
    if n_rows(dataset) < 2:
        return Measured(temperature=temperature, references=None, statistics={}, unit=1.0)
    rows = np.random.default_rng([seed, 1]).permutation(n_rows(dataset))
    some = rows_of(dataset, np.sort(rows[:_MOST_FOR_NOVELTY]))
    codes = some['target'].argmax(axis=1)
    alone = without_pictures(some, steps.network.inputs)
    dropped = alone is not None and config.augmentation.band_dropout > 0
    references, hidden = [], []
    for params in members:
        hidden.append(apply_network(steps, params, some)[1])
        reference = [fit_novelty(hidden[-1], codes)]
        # a band that is missing is nothing strange to a network that was trained
        # to do without; it is measured against its own kind
        if dropped:
            reference.append(fit_novelty(apply_network(steps, params, alone)[1], codes))
        references.append(reference)
    statistics = {
        name: fit_statistics(values)
        for name, values in image_statistics(some, steps.network.inputs).items()
    }
    statistics = {name: value for name, value in statistics.items() if value is not None}
    model = {
        'network': steps.network,
        'references': references,
        'statistics': statistics,
        'description': {'ood_unit': 1.0},
    }
    # of others of the same kind, where they are enough: what was learnt by heart is nearer; a set
    # that was given may be of another survey
    if prior is None and held is not None and n_rows(held) >= _FEWEST_FOR_UNIT:
        some = held
        hidden = [apply_network(steps, params, held)[1] for params in members]
    unit = max(float(np.percentile(strangeness(model, some, hidden), 95)), 1e-6)
    return Measured(
        temperature=temperature, references=references, statistics=statistics, unit=unit
    )


def strangeness(model, dataset, features):
    """
    Return how far items are from the training data.

    Parameters
    ----------
    model : dict
        Network and references, as `~clustercnn.Classifier` keeps them.
    dataset : dict
        The items.
    features : list of 2D `~numpy.ndarray`
        What the last layer of each network sees of them.

    Returns
    -------
    distance : 1D `~numpy.ndarray`
        The largest of the mean over the networks and those of the images of each band, in
        units of that of the strangest 5 % of cutouts of the training's kind.
    """
    xray_only = has_no_picture(dataset, model['network'].inputs)
    distances = []
    for values, reference in zip(features, model['references'], strict=True):
        distance = novelty(values, reference[0])
        if len(reference) > 1 and xray_only.any():
            distance = np.where(xray_only, novelty(values, reference[1]), distance)
        distances.append(distance)
    distance = np.mean(distances, axis=0)
    if model['statistics']:
        images = image_statistics(dataset, model['network'].inputs)
        for name, reference in model['statistics'].items():
            distance = np.maximum(distance, statistics_distance(images[name], reference))
    return distance / model['description']['ood_unit']
