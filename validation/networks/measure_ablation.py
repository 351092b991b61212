# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Leave out one ingredient of ``fusion`` at a time, or add one, and score on other fields::

    python validation/networks/measure_ablation.py [--sample FOLDER] [--keep FOLDER]
        [--seeds 5] [--rows ROW ...] [--whole]

Everything is *simulated*: cutouts of the fields that the shipped model learns from, found by the
package's own finder and labelled by the origin of the photons. Training and test fields differ;
the epoch is chosen on training fields kept apart. A row is trained from several seeds, the same
in all rows, so that differences are paired. Small networks trained for a few epochs stand for the
shipped one (``--whole`` takes its size).

Each network is scored three times: on the test cutouts as they are; with X-rays alone, for surveys
without pictures; and at three tenths of the exposure, by thinning the counts, without the finder's
numbers, which hold for the full exposure.

Writes ``results/ablation.json`` from the rows there are. With ``--sample`` fields are kept in that
folder, and one that ``python -m clustercnn.models.make_default`` has filled is used as it is; with
``--keep`` each finished training is kept, and a killed run goes on from there.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy import stats

from clustercnn import Classifier, LabelSet
from clustercnn._utils.files import atomic_path
from clustercnn.evaluation import roc_auc
from clustercnn.models.make_default import N_POINT_MAX, TRAINING_SEEDS
from clustercnn.models.sample import make_sample
from clustercnn.network import FusionConfig, to_dict
from clustercnn.network.config import register_network
from clustercnn.network.fusion import Fusion
from clustercnn.network.transforms import stack_on_one_grid

RESULTS = Path(__file__).resolve().parent / 'results' / 'ablation.json'
N_FIELDS = {'training': 60, 'test': 30}
N_EPOCHS = 8
# small, because many are trained
SMALL = {'widths': (16, 32), 'stem_size': 16, 'feature_width': 16, 'dense_width': 32}
# exposure that is left in the third test
SHORT = 0.3


@register_network('fusion-early', FusionConfig, dihedral=True)
class EarlyFusion(nnx.Module):
    """
    As ``fusion``, but all planes go through one stem, on the grid of the finest band.

    Parameters
    ----------
    config : FusionConfig
        Options.
    inputs : InputSpec
        Bands and features.
    n_classes : int
        Number of logits.
    rng : `~numpy.random.Generator` or None
        For the initial parameters; None for their shapes.
    """

    def __init__(self, config, inputs, n_classes, *, rng):
        finest = min(inputs.bands, key=lambda spec: spec.pixel_scale)
        self.joint = dataclasses.replace(finest, name='joint', kind='xray')
        n_planes = sum(config.preprocessing.n_planes(spec.kind) for spec in inputs.bands)
        # a stem asks for the number of planes only, and there are as many as scales
        one = dataclasses.replace(
            config.preprocessing, xray_scales=(0.0,) * n_planes, xray_shape_scale=0.0
        )
        specs = dataclasses.replace(inputs, bands=(self.joint,))
        self.fusion = Fusion(
            dataclasses.replace(config, preprocessing=one), specs, n_classes, rng=rng
        )
        self.inputs = inputs

    def __call__(self, planes, *, key=None, mask=None):
        """
        Compute class scores, as `~clustercnn.network.fusion.Fusion`.
        """
        joined = {
            kind: {'joint': stack_on_one_grid(planes[kind], self.inputs)}
            for kind in ('pictures', 'coverage')
        }
        joined['coverage']['joint'] = joined['coverage']['joint'].max(-1, keepdims=True)
        present = jnp.stack(list(planes['present'].values())).max(0)
        return self.fusion({**planes, **joined, 'present': {'joint': present}}, key=key, mask=mask)

    def penalty(self):
        """
        Return no penalty.
        """
        return 0.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """
    Cutouts, labels and field of each.
    """

    stack: object
    labels: LabelSet
    fields: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """
    What is different from ``fusion`` as it is.
    """

    network: str = 'fusion'
    options: dict = dataclasses.field(default_factory=dict)  # of the network
    augmentation: dict = dataclasses.field(default_factory=dict)
    dihedral: bool | None = None
    stack: object = None  # function of the cutouts, for training and test
    training: object = None  # function of the training sample and a seed


def _without_numbers(stack):
    bands = [band.replace(psf_fwhm=None) for band in stack.bands.values()]
    return stack.replace(features={}, bands=bands)


def _without_exposure(stack):
    return stack.replace(bands=[band.replace(exposure=None) for band in stack.bands.values()])


def _only_xrays(stack):
    return stack.replace(bands=[stack.band('xray')])


def _only_pictures(stack):
    # the finder's numbers are of X-rays
    return stack.replace(bands=[stack.band('optical')], features={})


def shortened(stack, seed):
    """
    Return X-ray cutouts as a shorter exposure would have seen them, without the finder's numbers.
    """
    band = stack.band('xray')
    counts = np.random.default_rng([seed, 5]).binomial(
        np.round(np.maximum(band.data, 0)).astype(np.int64), SHORT
    )
    background = None if band.background is None else SHORT * band.background
    changed = band.replace(data=counts.astype(np.float32), background=background)
    return _without_numbers(stack.replace(bands=[changed, *list(stack.bands.values())[1:]]))


def balanced_classes(sample, seed):
    """
    Return the sample with weights such that all classes weigh the same.
    """
    labels, codes = sample.labels, sample.labels.hard()
    total = np.bincount(codes, labels.weight, minlength=labels.schema.n_classes)
    weight = labels.weight / total[codes]
    weight = weight * len(labels) / weight.sum()
    return dataclasses.replace(sample, labels=labels.replace(weight=weight))


def smoothed_labels(sample, seed, share=0.1):
    """
    Return the sample with a tenth of each label spread over all classes (Szegedy et al. 2016).
    """
    labels = sample.labels
    soft = (1 - share) * labels.soft() + share / labels.schema.n_classes
    return dataclasses.replace(sample, labels=labels.replace(probability=soft))


def mixed(sample, seed):
    """
    Return the sample and as many mixtures of two of its cutouts (Zhang et al. 2018, ``mixup``).

    Counts are thinned and added, so that they stay counts; pictures are averaged. The finder's
    numbers of a mixture are not known.
    """
    rng = np.random.default_rng([seed, 6])
    stack, labels = sample.stack, sample.labels
    n_items = len(stack)
    other = rng.permutation(n_items)
    share = rng.beta(0.2, 0.2, n_items)
    bands = []
    for band in stack.bands.values():
        one, two = (band.data[rows] for rows in (np.arange(n_items), other))
        part = share[:, None, None]

        def average(plane, part=part):
            return None if plane is None else part * plane + (1 - part) * plane[other]

        if band.name == 'xray':
            first, second = (np.round(np.maximum(x, 0)).astype(np.int64) for x in (one, two))
            data = rng.binomial(first, part) + rng.binomial(second, 1 - part)
        else:
            data = average(band.data)
        mask = band.mask | band.mask[other]
        bands.append(
            band.replace(
                data=np.where(mask, 0, data),
                mask=mask,
                exposure=average(band.exposure),
                background=average(band.background),
            )
        )
    ids = [f'{name}-mixed' for name in stack.ids]
    both = {name: np.full(n_items, np.nan, np.float32) for name in stack.features}
    made = stack.replace(ids=ids, bands=bands, features=both)
    soft = share[:, None] * labels.soft() + (1 - share[:, None]) * labels.soft()[other]
    weight = share * labels.weight + (1 - share) * labels.weight[other]
    made_labels = LabelSet(
        ids=ids, schema=labels.schema, probability=soft, weight=weight, source=labels.source
    )
    joined = LabelSet(
        ids=[*labels.ids, *ids],
        schema=labels.schema,
        probability=np.concatenate([labels.soft(), made_labels.soft()]),
        weight=np.concatenate([labels.weight, made_labels.weight]),
        source=[*labels.source, *labels.source],
    )
    return dataclasses.replace(
        sample,
        stack=type(stack).concatenate([stack, made]),
        labels=joined,
        fields=np.concatenate([sample.fields, sample.fields]),
    )


ROWS = {
    'fusion': Row(),
    'without the numbers of the finder': Row(stack=_without_numbers),
    'without the exposure map': Row(stack=_without_exposure),
    'one smoothed picture of the counts': Row(
        options={'preprocessing': {'xray_scales': (4.0,), 'xray_shape_scale': 0.0}}
    ),
    'without the plane of the shape': Row(options={'preprocessing': {'xray_shape_scale': 0.0}}),
    'bands fused early': Row(network='fusion-early'),
    'without average over flips and turns': Row(dihedral=False),
    'without flips and turns at all': Row(dihedral=False, augmentation={'dihedral': False}),
    'never without pictures in training': Row(augmentation={'band_dropout': 0.0}),
    'never without numbers in training': Row(augmentation={'feature_dropout': 0.0}),
    'no thinned counts in training': Row(augmentation={'thinning': 0.0}),
    'X-rays only': Row(stack=_only_xrays),
    'pictures only': Row(stack=_only_pictures),
    'plus normalised maps': Row(options={'batch_norm': True}),
    'plus mixup': Row(training=mixed),
    'plus label smoothing': Row(training=smoothed_labels),
    'plus class weights': Row(training=balanced_classes),
}


def read_sample(folder, n_fields):
    """
    Return training and test sample of different fields.
    """
    parts = {}
    for part, seeds in (
        ('training', TRAINING_SEEDS[: n_fields['training']]),
        ('test', TRAINING_SEEDS[-n_fields['test'] :]),
    ):
        stack, labels, fields, _ = make_sample(
            Path(folder) / 'training', seeds=seeds, n_point_max=N_POINT_MAX
        )
        parts[part] = Sample(stack=stack, labels=labels, fields=fields)
    return parts


def one_training(row, sample, *, seed, network):
    """
    Return the scores of the test cutouts by a network that was trained with one difference.
    """
    training, test = sample['training'], sample['test']
    if row.training is not None:
        training = row.training(training, seed)
    change = row.stack or (lambda stack: stack)
    # mixtures double the set: the same number of steps, not of passes
    n_epochs = max(1, round(N_EPOCHS * len(sample['training'].stack) / len(training.stack)))
    classifier = Classifier(
        network=row.network,
        seed=seed,
        n_epochs=n_epochs,
        dihedral=row.dihedral,
        network_options=network | row.options,
        training_options={'augmentation': row.augmentation},
    )
    classifier.fit(change(training.stack), training.labels, groups=training.fields, progress=False)
    tests = {'whole': test.stack}
    if 'xray' in classifier.inputs.band_names:
        tests |= {'X-rays alone': _only_xrays(test.stack), 'short': shortened(test.stack, seed)}
    scores = {
        name: classifier.predict(change(stack) if name == 'whole' else stack).p_positive.tolist()
        for name, stack in tests.items()
    }
    return {'scores': scores, 'parameters': classifier.n_parameters}


def mean_with_interval(values):
    """
    Return a mean with the 95 % interval of Student (1908); of one value there is none.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return [float(values.mean()), None, None]
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return [float(values.mean()), float(values.mean() - half), float(values.mean() + half)]


def areas(found, test):
    """
    Return the area under the ROC curve by test and seed, and that of the mean over the seeds.
    """
    truth, weight = test.labels.binary() > 0.5, test.labels.weight
    made = {}
    for name in found[0]['scores']:
        scores = np.array([entry['scores'][name] for entry in found])
        made[name] = {
            'auc': [float(roc_auc(score, truth, weight=weight)) for score in scores],
            'auc_of_the_mean': float(roc_auc(scores.mean(axis=0), truth, weight=weight)),
        }
    return made


def summary(trained, test):
    """
    Return the figures of each row, and their paired differences from the first.
    """
    rows, whole = {}, areas(trained['fusion'], test) if 'fusion' in trained else None
    for name, found in trained.items():
        entry = {'parameters': found[0]['parameters'], 'seeds': len(found), 'tests': {}}
        for kind, area in areas(found, test).items():
            entry['tests'][kind] = {
                'auc': mean_with_interval(area['auc']),
                'auc_of_the_mean': area['auc_of_the_mean'],
            }
            if whole is not None and name != 'fusion':
                pairs = min(len(area['auc']), len(whole[kind]['auc']))
                difference = np.subtract(area['auc'][:pairs], whole[kind]['auc'][:pairs])
                entry['tests'][kind]['difference'] = mean_with_interval(difference)
        rows[name] = entry
    return rows


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--sample', type=Path, help='folder that keeps the simulated fields')
    parser.add_argument('--keep', type=Path, help='folder that keeps finished trainings')
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--rows', nargs='+', choices=ROWS, default=list(ROWS), metavar='ROW')
    parser.add_argument('--whole', action='store_true', help='networks of the shipped size')
    parser.add_argument('-o', '--output', type=Path, default=RESULTS)
    options = parser.parse_args()
    network = {} if options.whole else SMALL
    with tempfile.TemporaryDirectory() as temporary:
        sample = read_sample(options.sample or temporary, N_FIELDS)
    training, test = sample['training'], sample['test']
    trained = {}
    for name in options.rows:
        trained[name] = []
        for seed in range(options.seeds):
            size = 'whole' if options.whole else 'small'
            path = None
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                path = options.keep / f'{size}-{name.replace(" ", "-")}-{seed}.json'
            if path is not None and path.exists():
                found = json.loads(path.read_text(encoding='utf-8'))
            else:
                found = one_training(ROWS[name], sample, seed=seed, network=network)
                if path is not None:
                    with atomic_path(path, overwrite=True) as unfinished:
                        unfinished.write_text(json.dumps(found), encoding='utf-8')
            trained[name].append(found)
            auc = areas([found], test)['whole']['auc'][0]
            print(f'{name}, seed {seed}: {auc:.4f}', flush=True)
        results = {
            'simulated': True,
            'fields': {part: len(set(made.fields.tolist())) for part, made in sample.items()},
            'cutouts': {part: made.labels.counts() for part, made in sample.items()},
            'with_picture': float(test.stack.band('optical').present.mean()),
            'network': to_dict(FusionConfig(**network)),
            'epochs': N_EPOCHS,
            'exposure_left': SHORT,
            'rows': summary(trained, test),
        }
        with atomic_path(options.output, overwrite=True) as unfinished:
            unfinished.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')
    print(f'{len(training.stack)} cutouts trained on, {len(test.stack)} scored', flush=True)


if __name__ == '__main__':
    main()
