# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command that makes the shipped model.

Run it as::

    python -m clustercnn.models.make_default --samples FOLDER

It simulates the training sky, trains, calibrates on fields kept apart, and writes
``default.safetensors`` and its card ``default.md``. Samples and unfinished trainings are kept in
FOLDER, so that an interrupted run goes on where it stopped. Cutouts are read from there batch by
batch: they need some 15 GB of disk, not of memory.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from clustercnn import evaluation
from clustercnn._utils.files import atomic_path, sha256
from clustercnn.classifier import Classifier
from clustercnn.models.sample import (
    MISSION_SHARES,
    RANDOMISED_SHARE,
    files_of_sample,
    labels_of_sample,
    make_sample,
    write_sample,
)
from clustercnn.network import Augmentation

__all__ = ['main', 'make_default']

TRAINING_SEEDS = range(100_000, 101_300)
VALIDATION_SEEDS = range(200_000, 200_060)
CALIBRATION_SEEDS = range(300_000, 300_080)
N_POINT_MAX = 20
NETWORK = 'fusion'
N_MEMBERS = 2
N_EPOCHS = 10
# on other skies than ours X-rays and pictures may go together less well
BAND_EXCHANGE = 0.1


def make_default(output, *, samples, n_workers=2, quiet=None):
    """
    Make the shipped model.

    Parameters
    ----------
    output : str or path-like
        Model file; the card is written beside it with the ending ``.md``.
    samples : str or path-like
        Folder for the simulated samples.
    n_workers : int, optional
        Number of processes that simulate.
    quiet : bool, optional
        Whether to hide progress bars.

    Returns
    -------
    classifier : Classifier
        Trained and calibrated.
    """
    samples = Path(samples)
    options = {'n_workers': n_workers, 'quiet': quiet, 'n_point_max': N_POINT_MAX}
    folder = samples / 'training'
    write_sample(folder, seeds=TRAINING_SEEDS, **options)
    paths = files_of_sample(folder, TRAINING_SEEDS)
    label_set = labels_of_sample(folder, TRAINING_SEEDS)
    validation = make_sample(samples / 'validation', seeds=VALIDATION_SEEDS, **options)[:2]
    classifier = Classifier(
        network=NETWORK,
        seed=1,
        n_epochs=N_EPOCHS,
        ensemble=N_MEMBERS,
        training_options={'augmentation': Augmentation(band_exchange=BAND_EXCHANGE)},
    )
    classifier.fit_files(
        paths,
        label_set,
        validation=validation,
        checkpoint=samples / 'checkpoint',
        scratch=samples,
        progress=quiet is not True,
    )
    del validation
    held = make_sample(samples / 'calibration', seeds=CALIBRATION_SEEDS, **options)
    classifier.calibrate(held[0], held[1], groups=held[2])
    classifier.save(output, overwrite=True)
    card = _card(classifier, output, label_set, held, len(paths))
    with atomic_path(Path(output).with_suffix('.md'), overwrite=True) as temporary:
        temporary.write_text(card)
    return classifier


def _card(classifier, output, label_set, held, n_fields):
    stack, labels, groups, _ = held
    result = evaluation.evaluate(classifier.predict(stack), labels)
    thresholds = '\n'.join(
        f'| {row["purity"]:.0%} | {row["threshold"]:.3f} | {_interval(row["measured_purity"])} | '
        f'{_interval(row["completeness"])} |'
        for row in classifier.thresholds
    )
    shares = ', '.join(f'{name} {share:.0%}' for name, share in MISSION_SHARES.items())
    counts = ', '.join(f'{count} {name}' for name, count in label_set.counts().items() if count)
    weight = label_set.weight / label_set.weight.sum()
    prior = np.nansum(label_set.binary() * weight)
    return f"""# The model "default"

| | |
|---|---|
| network | {classifier.network}, {classifier.n_parameters} parameters, {N_MEMBERS} members |
| SHA-256 of the file | `{sha256(output)}` |
| made by | `python -m clustercnn.models.make_default --samples FOLDER` |
| training data | {n_fields} *simulated* fields, seeds {TRAINING_SEEDS[0]} to {TRAINING_SEEDS[-1]}, {RANDOMISED_SHARE:.0%} of them with every nuisance drawn from a wide range; missions: {shares} |
| training labels | {counts} (from the origin of the photons; point sources beyond {N_POINT_MAX} a field stand in by weight) |
| pictures | {BAND_EXCHANGE:.0%} of them are those of another candidate in each pass, so that none alone rules a cluster out |
| choice of the epoch | on {len(VALIDATION_SEEDS)} other *simulated* fields, seeds {VALIDATION_SEEDS[0]} to {VALIDATION_SEEDS[-1]} |
| temperature, thresholds, conformal limits | on {len(set(groups.tolist()))} more *simulated* fields, seeds {CALIBRATION_SEEDS[0]} to {CALIBRATION_SEEDS[-1]} |
| prior | {prior:.3f} of the detections are clusters, more than on the real sky: the simulator's density of clusters is raised |
| on those fields (*simulated*) | AUC {result.auc:.4f}, ECE {result.ece:.4f}, {result.n_used} detections |

Thresholds of `p_cluster` for samples of a purity, at the prior above (*simulated*, with 95 %
intervals over fields; chosen and measured on the same fields):

| purity | threshold | measured purity | completeness |
|---|---|---|---|
{thresholds}

**Intended use.** Ranking and classifying extended-source candidates that the package's finder
found in X-ray count images of XMM-Newton, eROSITA, Chandra, ROSAT and Einstein Probe, with or
without a red optical image.

**Known limits.** Everything it learned is *simulated*. The probability refers to the prior above.
Supernova remnants, nearby galaxies with hot gas and very bright point sources with readout streaks
are rarer in the training sky than their variety deserves; look at `ood` and at the cutouts.
Figures on fresh fields are in the documentation, page *The shipped model*.
"""  # noqa: E501 - rows of a table


def _interval(values):
    value, low, high = values
    return f'{value:.3f} [{low:.3f}, {high:.3f}]'


def main(args=None):
    """
    Run the command.

    Parameters
    ----------
    args : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    status : int
        0 when done.
    """
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--samples', required=True, help='folder for the simulated samples')
    parser.add_argument('--workers', type=int, default=2, help='processes that simulate')
    parser.add_argument(
        '-o', '--output', default=str(Path(__file__).parent / 'default.safetensors')
    )
    parser.add_argument('-q', '--quiet', action='store_true')
    options = parser.parse_args(args)
    make_default(
        options.output,
        samples=options.samples,
        n_workers=options.workers,
        quiet=options.quiet or None,
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
