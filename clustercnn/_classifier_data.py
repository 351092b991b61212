# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Between the two worlds: cutouts and labels with their names and units on one side,
the networks' plain arrays on the other.
"""

import logging
import warnings

import astropy.units as u
import numpy as np

from clustercnn._classifier_file import MOST_MEMBERS
from clustercnn.core import CutoutStack, LabelSet, PredictionSet
from clustercnn.exceptions import DataQualityWarning, TrainingError
from clustercnn.io import read_weights
from clustercnn.network import (
    FEATURES,
    BandArrays,
    BandSpec,
    InputSpec,
    import_mobilenet,
    make_dataset,
    n_rows,
    network_names,
)
from clustercnn.training import vote_shares

__all__ = [
    'FEWEST_FOR_VALIDATION',
    'arrays_of',
    'check_apart',
    'check_classes',
    'check_counts',
    'check_kinds',
    'check_settings',
    'check_start',
    'check_validation',
    'checked_groups',
    'choose_folds',
    'choose_validation',
    'class_prior',
    'empty_prediction',
    'features_of',
    'has_no_picture',
    'initial_parameters',
    'inputs_of',
    'join_labels',
    'labelled',
    'labelled_dataset',
    'missing_bands',
    'raw_features',
    'rows_of',
    'warn_of_unseen',
    'without_pictures',
]

_LOGGER = logging.getLogger(__name__)

# fewer items than this neither choose an epoch nor a temperature
FEWEST_FOR_VALIDATION = 10
# groups make a validation set larger than wanted, but not by more than this factor if smaller ones
# are there
_TOO_MANY = 1.5
# probabilities that differ by less are one label
_ALIKE = 1e-3


def check_settings(network, seed, ensemble, validation_fraction):
    if network not in network_names():
        msg = f'there is no network {network!r}; there are {", ".join(network_names())}'
        raise ValueError(msg)
    for name, value, low, high in (
        ('seed', seed, 0, 2**32 - 1),
        ('ensemble', ensemble, 1, MOST_MEMBERS),
    ):
        if isinstance(value, bool) or int(value) != value or not low <= value <= high:
            msg = f"'{name}' must be a whole number from {low} to {high}, got {value!r}"
            raise ValueError(msg)
    if not 0 <= validation_fraction <= 0.5:
        msg = f"'validation_fraction' must be from 0 to 0.5, got {validation_fraction!r}"
        raise ValueError(msg)


def check_classes(label_set, schema, config):
    """
    Return the classes of a training, which labels, classifier and settings must agree on.
    """
    schema = label_set.schema if schema is None else schema
    if schema != label_set.schema:
        msg = (
            f'the labels have the classes {label_set.schema.classes} (positive '
            f'{label_set.schema.positive}), the classifier {schema.classes} (positive '
            f'{schema.positive}); give labels of its classes, in their order, such as '
            f'LabelSet.from_labels(ids, names, schema=classifier.schema), or train a new Classifier'
        )
        raise ValueError(msg)
    if config.confusion is not None and len(config.confusion) != schema.n_classes:
        msg = (
            f"'confusion' has {len(config.confusion)} rows, but there are {schema.n_classes} "
            f'classes: {", ".join(schema.classes)}'
        )
        raise ValueError(msg)
    return schema


def check_start(config, weights, origin):
    """
    Raise if parameters shall be kept that nobody has learnt.
    """
    if config.frozen is not None and weights is None and origin is None:
        msg = "'frozen' keeps what was learnt before: use fine_tune, or give 'weights'"
        raise TrainingError(msg)


def check_kinds(stack, label_set, what):
    """
    Raise unless these are cutouts and labels.
    """
    if not isinstance(stack, CutoutStack) or not isinstance(label_set, LabelSet):
        msg = (
            f'{what} needs a CutoutStack and a LabelSet, got {type(stack).__name__} and '
            f'{type(label_set).__name__}'
        )
        raise TypeError(msg)


def check_validation(validation, schema):
    """
    Raise unless cutouts and labels of these classes are given to validate with.
    """
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        msg = (
            f"'validation' must be a CutoutStack and its LabelSet, two of them, got "
            f'{type(validation).__name__}'
        )
        raise TypeError(msg)
    check_kinds(*validation, 'validation')
    if schema != validation[1].schema:
        msg = f'the validation labels have other classes: {validation[1].schema.classes}'
        raise ValueError(msg)


def check_apart(stack, labels, held, held_labels):
    """
    Raise if labelled cutouts are both learnt from and validated with.

    Candidates of two fields may have the same names; their pictures differ.
    """
    place = {name: row for row, name in enumerate(stack.ids)}
    held_place = {name: row for row, name in enumerate(held.ids)}
    names = {labels.ids[row] for row in np.flatnonzero(labels.known)}
    bands = [name for name in stack.band_names if name in held.band_names]
    same = []
    for row in np.flatnonzero(held_labels.known):
        name = held_labels.ids[row]
        if name not in names or name not in place or name not in held_place:
            continue
        pairs = (
            (stack.band(band).data[place[name]], held.band(band).data[held_place[name]])
            for band in bands
        )
        if all(np.array_equal(*pair) for pair in pairs):
            same.append(name)
    if same:
        msg = (
            f'{len(same)} of {len(held_labels)} labels for validation are of cutouts that are '
            f"trained on, the first '{same[0]}': they would choose the epoch and the temperature "
            f'by what was learnt by heart; give others, or none'
        )
        raise ValueError(msg)


def checked_groups(groups, n_items):
    """
    Return the groups of cutouts as an array, one value each.
    """
    if len(groups) != n_items:
        msg = f"'groups' must have one value a cutout, {n_items}, got {len(groups)}"
        raise ValueError(msg)
    hidden = np.ma.getmaskarray(groups) if np.ma.is_masked(groups) else np.zeros(n_items, bool)
    groups = np.asarray(groups)
    if groups.dtype.kind == 'O':
        hidden = hidden | np.array([group is None for group in groups], bool)
    if hidden.any():
        without = np.flatnonzero(hidden)
        msg = f"'groups' has no value for {len(without)} cutouts, the first in row {without[0]}"
        raise ValueError(msg)
    return groups


def join_labels(ids, label_set, what, config):
    """
    Return rows of the cutouts with a known label, their labels, and what was left out.

    Where the configuration asks for votes, labels without any are left out, too.
    """
    place = {name: row for row, name in enumerate(ids)}
    strange = [name for name in label_set.ids if name not in place]
    if strange:
        msg = (
            f'{len(strange)} of {len(label_set)} labels have no cutout in the {what} stack, the '
            f"first '{strange[0]}'; choose the others with label_set.select(ids)"
        )
        raise ValueError(msg)
    usable = label_set.known
    if config.target == 'votes':
        voted = np.zeros(len(label_set), bool)
        if label_set.votes is not None:
            voted = label_set.votes.sum(axis=1) > 0
        if not (usable & voted).any():
            msg = (
                f"target='votes' needs counts of votes, and none of the {len(label_set)} {what} "
                'labels has any; make them with labels.consensus() or LabelSet.from_votes()'
            )
            raise TrainingError(msg)
        usable = usable & voted
    known = label_set[usable]
    rows = np.array([place[name] for name in known.ids], dtype=np.intp)
    counts = {
        'cutouts': len(ids),
        'used': len(known),
        'unlabelled': len(ids) - len(label_set),
        'unknown': int((~label_set.known).sum()),
    }
    if config.target == 'votes':
        counts['without_votes'] = int((label_set.known & ~usable).sum())
    if not len(known):
        msg = f'none of the {len(ids)} {what} cutouts has a known label'
        raise TrainingError(msg)
    said = known.soft() if config.target != 'votes' else known.votes
    said = said / said.sum(axis=1, keepdims=True)
    if what == 'training' and np.ptp(said, axis=0).max() < _ALIKE:
        codes = known.hard()
        msg = (
            f"all {len(known)} labels are '{known.schema.classes[codes[0]]}', equally certain; a "
            f'classifier needs at least two classes to tell apart'
        )
        raise TrainingError(msg)
    _LOGGER.info('%s: %s', what, ', '.join(f'{n} {name}' for name, n in counts.items()))
    return rows, known, counts


def _is_xray(band):
    return band.name == 'xray' or band.unit == u.ct


def check_counts(stack, names):
    """
    Raise unless bands of a stack that are looked at as X-rays hold counts.
    """
    for name in names:
        unit = stack.band(name).unit
        if unit not in (u.ct, u.ph, u.dimensionless_unscaled):
            msg = (
                f"the X-ray band '{name}' is in {unit}, expected counts: networks weigh photons, "
                f'so that rates and fluxes would be misread without a word; cut it out of the '
                f'image of counts, with its exposure map'
            )
            raise ValueError(msg)


def arrays_of(stack):
    return {
        name: BandArrays(
            data=band.data,
            pixel_scale=band.pixel_scale.value,
            valid=~band.mask,
            exposure=band.exposure,
            background=band.background,
        )
        for name, band in stack.bands.items()
    }


def features_of(stack):
    features = {name: stack.features[name] for name in FEATURES if name in stack.features}
    widths = [b.psf_fwhm for b in stack.bands.values() if _is_xray(b) and b.psf_fwhm is not None]
    if widths:
        features['psf_fwhm'] = widths[0]
    return features


def inputs_of(stack):
    check_counts(stack, [name for name, band in stack.bands.items() if _is_xray(band)])
    bands = tuple(
        BandSpec(
            name=name,
            kind='xray' if _is_xray(band) else 'optical',
            shape=band.shape[1:],
            pixel_scale=float(band.pixel_scale.value),
        )
        for name, band in stack.bands.items()
    )
    features = features_of(stack)
    known = [name for name in FEATURES if name in features and np.isfinite(features[name]).any()]
    return InputSpec(bands=bands, features=tuple(known))


def labelled(labels, config):
    """
    Return what of a data set is learnt.
    """
    found = {'target': labels.soft(), 'weight': np.asarray(labels.weight, np.float32)}
    if config.target == 'votes':
        found['votes'] = np.asarray(labels.votes, np.float32)
    return found


def labelled_dataset(inputs, stack, labels, config):
    dataset = make_dataset(inputs, arrays_of(stack), features=features_of(stack))
    return dataset | labelled(labels, config)


def choose_validation(codes, groups, *, fraction, seed):
    """
    Return which items validate, or None where there are too few for that.

    Groups are kept whole; one that is much larger than the part that is wanted is left in the
    training. Of twenty draws the first is taken in which either side has all classes that more
    than one group has.
    """
    wanted = fraction * len(codes)
    if round(wanted) < FEWEST_FOR_VALIDATION:
        return None
    groups = np.arange(len(codes)) if groups is None else groups
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    sizes = np.bincount(member)
    shared = {code for code in np.unique(codes) if len(np.unique(member[codes == code])) > 1}
    chosen = None
    for attempt in range(20):
        order = np.random.default_rng([seed, 2, attempt]).permutation(len(names))
        draw = np.isin(member, _whole_groups(order, sizes, wanted))
        if not FEWEST_FOR_VALIDATION <= draw.sum() < len(codes):
            continue
        chosen = draw if chosen is None else chosen
        if shared <= set(codes[draw]) and shared <= set(codes[~draw]):
            return draw
    return chosen


def _whole_groups(order, sizes, wanted):
    """
    Return the first groups of an order that together have about as many items as wanted.
    """
    n_before = np.cumsum(sizes[order]) - sizes[order]
    held = order[n_before < wanted]
    if sizes[held].sum() <= _TOO_MANY * wanted:
        return held
    held, n_held = [], 0
    for group in order:
        if n_held < wanted and n_held + sizes[group] <= _TOO_MANY * wanted:
            held.append(group)
            n_held += sizes[group]
    if held:
        return np.array(held)
    # all are larger than that
    smallest = order[np.argmin(sizes[order])]
    return order[order == smallest] if 2 * sizes[smallest] <= sizes.sum() else order[:0]


def choose_folds(codes, groups, *, n_folds, seed):
    """
    Return the number of the fold of each item, groups whole and classes evenly spread.

    The largest groups are placed first, each where its classes are rarest, and of several such
    folds in the one that has the fewest items, so that none stays empty.
    """
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < n_folds:
        msg = f'{n_folds} folds need as many groups, and there are {len(names)}'
        raise ValueError(msg)
    _, codes = np.unique(codes, return_inverse=True)
    held = np.zeros((len(names), codes.max() + 1))
    np.add.at(held, (member, codes), 1)
    share = held / held.sum(axis=0)
    order = np.random.default_rng([seed, 3]).permutation(len(names))
    order = order[np.argsort(-held.sum(axis=1)[order], kind='stable')]
    filled, n_items = np.zeros((n_folds, share.shape[1])), np.zeros(n_folds)
    fold = np.zeros(len(names), np.intp)
    for group in order:
        # in this sum of squares a class counts as much as another, however rare
        cost = ((filled + share[group]) ** 2 - filled**2).sum(axis=1)
        cheapest = np.flatnonzero(cost <= cost.min() * (1 + 1e-9))
        fold[group] = cheapest[np.argmin(n_items[cheapest])]
        filled[fold[group]] += share[group]
        n_items[fold[group]] += held[group].sum()
    return fold[member]


def missing_bands(inputs, stack):
    """
    Return the names of a model's bands that a stack lacks; raise if it cannot do without.
    """
    missing = [name for name in inputs.band_names if name not in stack.band_names]
    needed = [b.name for b in inputs.bands if b.kind == 'xray' and b.name in missing]
    if len(missing) == len(inputs.bands) or needed:
        msg = (
            f'the stack has the bands {stack.band_names}, but the model needs '
            f'{tuple(needed) or inputs.band_names}; it was trained on {inputs.band_names}'
        )
        raise ValueError(msg)
    check_counts(stack, [b.name for b in inputs.bands if b.kind == 'xray'])
    return missing


def warn_of_unseen(inputs, stack):
    """
    Warn of cutouts without a single pixel of the X-ray bands, of which no image says anything.
    """
    bands = [band.name for band in inputs.bands if band.kind == 'xray']
    unseen = np.array([stack.band(name).coverage == 0 for name in bands])
    rows = np.flatnonzero(unseen.all(axis=0)) if bands else ()
    if len(rows):
        warnings.warn(
            f'{len(rows)} of {len(stack)} cutouts, the first {stack.ids[rows[0]]!r}, have no pixel '
            f'of {" or ".join(repr(name) for name in bands)}: their scores say nothing of an '
            f'image; are they of this field?',
            DataQualityWarning,
            stacklevel=3,
        )


def empty_prediction(model, schema, meta):
    """
    Return what a model says of no cutouts.
    """
    shape, none = (0, schema.n_classes), np.zeros(0)
    return PredictionSet(
        ids=(),
        schema=schema,
        probability=np.zeros(shape),
        logits=np.zeros(shape),
        std=none if len(model['members']) > 1 else None,
        ood=none if model['references'] is not None else None,
        meta=meta,
    )


def raw_features(inputs, stack):
    """
    Return the finder's numbers as they are, NaN where not known, shape ``(n, n_features)``.
    """
    found = features_of(stack)
    unknown = np.full(len(stack), np.nan)
    columns = [np.asarray(found.get(name, unknown), np.float32) for name in inputs.features]
    return np.stack(columns, axis=1) if columns else np.zeros((len(stack), 0), np.float32)


def initial_parameters(network, path, origin):
    """
    Return the function that gives a member, by number and seed, what it starts from.

    That is None for random parameters, those of a file of published weights, or those of
    the same member of a model that is trained further.
    """
    if origin is not None:
        return lambda number, seed: origin['members'][number]
    if path is None:
        return lambda number, seed: None
    arrays = read_weights(path)

    def start(number, seed):
        try:
            return import_mobilenet(network, network.init(seed), arrays)
        except ValueError as error:
            msg = f'{path}: {error}'
            raise ValueError(msg) from error

    return start


def class_prior(dataset, config):
    """
    Return the share of each class: of what was said, or of what is true behind known noise.
    """
    weight = dataset['weight'].astype(np.float64)
    total = (vote_shares(dataset, config) * weight[:, None]).sum(axis=0)
    share = total / total.sum()
    if config.confusion is not None:
        # sampling noise may lead below zero
        share = np.maximum(np.linalg.solve(np.transpose(config.confusion), share), 0.0)
    return (share / share.sum()).tolist()


def rows_of(dataset, rows):
    return {
        name: rows_of(value, rows) if isinstance(value, dict) else value[rows]
        for name, value in dataset.items()
    }


def without_pictures(dataset, inputs):
    """
    Return the data set as if only its X-ray bands were there, or None if so it is.
    """
    pictures = [spec.name for spec in inputs.bands if spec.kind != 'xray']
    if not pictures or not inputs.has_xray:
        return None
    bands = dict(dataset['bands'])
    for name in pictures:
        bands[name] = bands[name] | {'present': np.zeros_like(bands[name]['present'])}
    return dataset | {'bands': bands}


def has_no_picture(dataset, inputs):
    present = [
        dataset['bands'][spec.name]['present'] for spec in inputs.bands if spec.kind != 'xray'
    ]
    if not present or not inputs.has_xray:
        return np.zeros(n_rows(dataset), bool)
    return np.max(present, axis=0) == 0
