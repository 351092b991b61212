# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Classify real pictures that have nothing to do with X-rays, beside other methods::

    python validation/networks/measure_images.py [--data FOLDER] [--keep FOLDER]
        [--sets mirabest perseus perseus-faint] [--ways 'random forest' fusion torch]
        [--folds 0 1 2 3 4]

Two published sets with expert labels: radio galaxies (MiraBest: FRI or FRII) and galaxies in SDSS
(Wittmann et al. 2019, the Perseus cluster: morphology), brighter than r = 21. Fainter ones, to
21.9, are no test: settings may be chosen on them, and they are taken only when asked for. Five
folds, the same for all methods and stratified by class; pictures that share sky lie in one fold.
Networks have the default settings of `~clustercnn.Classifier`; the epoch is chosen on a part of
the training folds that is kept from training, and nothing at all on the fold that is tested. Writes
``results/images.json`` from the folds there are; with ``--keep`` each finished fold is kept in that
folder and not made again. Methods that are left out keep the figures that they have.

The other network is left out where PyTorch is not installed.
"""

import argparse
import csv
import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
import re
import time
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from clustercnn import Classifier, CutoutStack, LabelSet
from clustercnn._utils.files import atomic_path
from clustercnn.evaluation.metrics import confusion_matrix, resampled_weights

RESULTS = Path(__file__).resolve().parent / 'results' / 'images.json'
N_FOLDS = 5
SEED = 1
N_RESAMPLES = 2000
# pixels along a side of the forest's pictures
FOREST_PIXELS = 16


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """
    A labelled set: pictures by band, the class of each, and who overlaps whom.
    """

    bands: dict
    names: np.ndarray
    groups: np.ndarray
    pixel_scale: float  # arcsec

    @property
    def classes(self):
        """
        Names of the classes, sorted.
        """
        return tuple(sorted(set(self.names.tolist())))

    @property
    def codes(self):
        """
        Class of each picture as a number.
        """
        return np.searchsorted(self.classes, self.names)


def binned(pictures, n_pixels):
    """
    Return pictures averaged over blocks, ``n_pixels`` along a side; what does not fit is cut off.
    """
    factor = pictures.shape[1] // n_pixels
    edge = (pictures.shape[1] - factor * n_pixels) // 2
    middle = slice(edge, edge + factor * n_pixels)
    inner = pictures[:, middle, middle]
    return inner.reshape(len(inner), n_pixels, factor, n_pixels, factor).mean((2, 4))


def overlapping(positions, reach):
    """
    Return a number for each position, the same for all that are linked by less than the reach.
    """
    points = positions.cartesian.xyz.value.T
    pairs = cKDTree(points).query_pairs(
        2 * np.sin(reach.to_value(u.rad) / 2), output_type='ndarray'
    )
    links = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(points), len(points)))
    return connected_components(links, directed=False)[1]


def mirabest(data):
    """
    Return the radio galaxies, averaged over two by two pixels.
    """
    with np.load(data / 'bench_mirabest' / 'mirabest_confident_batches.npz') as file:
        images, labels, files = file['images'], file['labels'], file['filenames']
    # the names of the files are code, right ascension and declination
    ra, dec = np.array([name.removesuffix('.png').split('_')[1:] for name in files], float).T
    scale = 1.8  # arcsec, of FIRST
    return Pictures(
        bands={'radio': binned(images.astype(np.float32), 75)},
        names=np.where(labels == 0, 'FRI', 'FRII'),
        groups=overlapping(SkyCoord(ra, dec, unit='deg'), np.sqrt(2) * 150 * scale * u.arcsec),
        pixel_scale=2 * scale,
    )


def perseus(data, *, least=-np.inf, most=21.0):
    """
    Return the galaxies of some r magnitudes, without the mergers.
    """
    folder = data / 'bench_perseus_sdss'
    with np.load(folder / 'pcc_sdss_rgb64.npz') as file:
        images = file['images']
    with (folder / 'pcc_sdss_rgb64.csv').open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    names = np.array([row['cls7'] for row in rows])
    magnitude = np.array([float(row['r_mag'] or np.inf) for row in rows])
    kept = (magnitude >= least) & (magnitude < most) & (names != 'merger')
    ra, dec = np.array([(row['ra'], row['dec']) for row in rows], float)[kept].T
    scale = 0.396  # arcsec
    return Pictures(
        # red, green and blue of the pictures are these bands
        bands={
            band: images[kept, ..., number].astype(np.float32) for number, band in enumerate('irg')
        },
        names=names[kept],
        groups=overlapping(SkyCoord(ra, dec, unit='deg'), np.sqrt(2) * 64 * scale * u.arcsec),
        pixel_scale=scale,
    )


def random_forest(pictures, train, test, seed):
    """
    Return class probabilities by a forest of 300 trees on binned pixels.
    """
    pixels = [binned(image, FOREST_PIXELS) for image in pictures.bands.values()]
    pixels = np.stack(pixels, axis=-1).reshape(len(pictures.names), -1)
    forest = RandomForestClassifier(300, random_state=seed, n_jobs=1)
    forest.fit(pixels[train], pictures.codes[train])
    return forest.predict_proba(pixels[test]), {}


def package(network, **options):
    """
    Return the function that trains a network of the package, with default settings but for options.
    """

    def classify(pictures, train, test, seed):
        stack = CutoutStack.from_arrays(pictures.bands, pixel_scale=pictures.pixel_scale * u.arcsec)
        labels = LabelSet.from_labels(stack.ids, pictures.names, schema=pictures.classes)
        classifier = Classifier(network=network, seed=seed, **options)
        classifier.fit(stack[train], labels[train], groups=pictures.groups[train], progress=False)
        facts = {
            'parameters': classifier.n_parameters,
            'epochs': len(classifier.history[0]),
            'best_epoch': classifier.metadata['best_epoch'][0],
        }
        return classifier.predict(stack[test]).probability, facts

    return classify


def plain_torch(pictures, train, test, seed):
    """
    Return class probabilities by a plain network of PyTorch of the same size.
    """
    from torch_twin import classify

    return classify(pictures, train, test, seed)


SETS = {
    'mirabest': mirabest,
    'perseus': perseus,
    'perseus-faint': functools.partial(perseus, least=21.0, most=21.9),
}
TESTS = ('mirabest', 'perseus')
WAYS = {
    'random forest': random_forest,
    'fusion': package('fusion'),
    'fusion, without shapes': package(
        'fusion', network_options={'preprocessing': {'optical_shape': False}}
    ),
    'fusion, batches of 64': package('fusion', batch_size=64),
    'fusion, normalised maps': package('fusion', network_options={'batch_norm': True}),
    'cn': package('cn'),
    'torch': plain_torch,
}
# by default; the others take as long again, 'cn' several times longer
USUAL = ('random forest', 'fusion', 'torch')


def folds(pictures):
    """
    Return the rows of training and of test of each fold.
    """
    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=SEED)
    return list(splitter.split(pictures.codes, pictures.codes, pictures.groups))


def one_fold(name, way, number, pictures, keep):
    """
    Return what a method says of one fold, from the folder if it is there.
    """
    train, test = folds(pictures)[number]
    # what was kept for another division of the set is of no use
    division = hashlib.sha256(np.ascontiguousarray(test, '<i8').tobytes()).hexdigest()[:12]
    slug = '-'.join(re.findall(r'\w+', way))
    path = None if keep is None else keep / f'{name}-{slug}-{number}-{division}.json'
    if path is not None and path.exists():
        stored = json.loads(path.read_text(encoding='utf-8'))
        return test, np.array(stored['probability']), stored['facts']
    start = time.process_time()
    probability, facts = WAYS[way](pictures, train, test, SEED)
    share = np.bincount(pictures.codes[train], minlength=len(pictures.classes)) / len(train)
    facts |= {'share': share.tolist(), 'processor_seconds': time.process_time() - start}
    if path is not None:
        keep.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, overwrite=True) as temporary:
            content = {'probability': probability.tolist(), 'facts': facts}
            temporary.write_text(json.dumps(content), encoding='utf-8')
    return test, probability, facts


def balanced(predicted, true, n_classes, weight=None):
    """
    Return the mean over the classes of the share that is recognised.
    """
    cells = confusion_matrix(predicted, true, n_classes=n_classes, weight=weight)
    total = cells.sum(axis=1)
    if weight is not None and (total == 0).any():
        # of a class that a bootstrap sample misses nothing new is known
        whole = confusion_matrix(predicted, true, n_classes=n_classes)
        cells = np.where((total == 0)[:, None], whole, cells)
        total = cells.sum(axis=1)
    return float(np.mean(np.diag(cells)[total > 0] / total[total > 0]))


def measured(pictures, found):
    """
    Return the figures of one method.

    Parameters
    ----------
    pictures : Pictures
        The set.
    found : dict of int to tuple
        By fold: rows, probabilities, facts.

    Returns
    -------
    figures : dict
        With ``'decided'`` and ``'rows'``, which are not for the file.
    """
    n_classes = len(pictures.classes)
    rows = np.concatenate([test for test, _, _ in found.values()])
    by_fold = {number: p.argmax(axis=1) for number, (_, p, _) in found.items()}
    decided = np.concatenate(list(by_fold.values()))
    # the class that is likely beyond its frequency, which balanced accuracy asks for
    beyond = np.concatenate(
        [(p / np.array(facts['share'])).argmax(axis=1) for _, p, facts in found.values()]
    )
    true, groups = pictures.codes[rows], pictures.groups[rows]
    values = [
        balanced(decided, true, n_classes, times)
        for times in resampled_weights(len(rows), n_resamples=N_RESAMPLES, seed=SEED, groups=groups)
    ]
    cells = confusion_matrix(decided, true, n_classes=n_classes)
    facts = [facts for _, _, facts in found.values()]
    return {
        'folds': sorted(found),
        'balanced_accuracy': [
            balanced(decided, true, n_classes),
            *np.percentile(values, [2.5, 97.5]).tolist(),
        ],
        'by_fold': [
            balanced(by_fold[number], pictures.codes[test], n_classes)
            for number, (test, _, _) in found.items()
        ],
        'accuracy': float(np.mean(decided == true)),
        'beyond_frequency': balanced(beyond, true, n_classes),
        'recall': {
            name: float(cells[code, code] / max(cells[code].sum(), 1))
            for code, name in enumerate(pictures.classes)
        },
        'parameters': facts[0].get('parameters'),
        'epochs': facts[0].get('epochs'),
        'best_epochs': [entry.get('best_epoch') for entry in facts],
        'processor_seconds': float(np.sum([entry['processor_seconds'] for entry in facts])),
        'decided': decided,
        'rows': rows,
    }


def gain(pictures, one, other):
    """
    Return by how much one method is better than another on the same pictures, with interval.
    """
    n_classes = len(pictures.classes)
    true, groups = pictures.codes[one['rows']], pictures.groups[one['rows']]

    def difference(weight=None):
        return balanced(one['decided'], true, n_classes, weight) - balanced(
            other['decided'], true, n_classes, weight
        )

    values = [
        difference(times)
        for times in resampled_weights(len(true), n_resamples=N_RESAMPLES, seed=SEED, groups=groups)
    ]
    return [difference(), *np.percentile(values, [2.5, 97.5]).tolist()]


def summary(pictures, found):
    """
    Return the figures of all methods of one set.
    """
    figures = {way: measured(pictures, parts) for way, parts in found.items() if parts}
    floor = figures.get('random forest')
    for way, entry in figures.items():
        if floor is not None and way != 'random forest' and entry['folds'] == floor['folds']:
            entry['more_than_forest'] = gain(pictures, entry, floor)
    arrays = ('decided', 'rows')
    return {
        'pictures': len(pictures.names),
        'classes': {name: int((pictures.names == name).sum()) for name in pictures.classes},
        'groups': len(set(pictures.groups.tolist())),
        'shape': list(next(iter(pictures.bands.values())).shape[1:]),
        'bands': list(pictures.bands),
        'methods': {
            way: {key: value for key, value in entry.items() if key not in arrays}
            for way, entry in figures.items()
        },
    }


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path, default=os.environ.get('CLUSTERCNN_SHARED_DATA'))
    parser.add_argument('--keep', type=Path, help='folder that keeps finished folds')
    parser.add_argument('--sets', nargs='+', choices=SETS, default=list(TESTS))
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=list(USUAL))
    parser.add_argument('--folds', nargs='+', type=int, choices=range(N_FOLDS))
    parser.add_argument('-o', '--output', type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.data is None:
        parser.error('give the folder of the pictures by --data or CLUSTERCNN_SHARED_DATA')
    ways = list(options.ways)
    if 'torch' in ways and importlib.util.find_spec('torch') is None:
        print('PyTorch is not installed: its row is left out', flush=True)
        ways.remove('torch')
    results = {'seed': SEED, 'n_folds': N_FOLDS, 'sets': {}}
    if options.output.exists():
        # sets that are not measured now stay
        results['sets'] |= json.loads(options.output.read_text(encoding='utf-8'))['sets']
    for name in options.sets:
        pictures = SETS[name](Path(options.data))
        found = {way: {} for way in ways}
        for number in range(N_FOLDS) if options.folds is None else options.folds:
            for way in ways:
                found[way][number] = one_fold(name, way, number, pictures, options.keep)
                entry = measured(pictures, {number: found[way][number]})
                print(name, number, way, round(entry['balanced_accuracy'][0], 3), flush=True)
        made = summary(pictures, found)
        known = results['sets'].get(name, {})
        if all(known.get(key) == made[key] for key in made if key != 'methods'):
            # and so do methods, if the pictures are the same
            made['methods'] = known['methods'] | made['methods']
        results['sets'][name] = made
    with atomic_path(options.output, overwrite=True) as temporary:
        temporary.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
