# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Train classifiers to tell real X-ray stamps from simulated ones::

    python validation/simulator/tell_apart.py [--data FOLDER] [--twins N]

Writes ``results/stamps.json``. ``measure_xray.py`` has to be run first: it measures the
background of the real fields.

Stamps of candidates of the wavelet finder, and of places without any, from real fields and
from simulated ones that look at the sky in the same way. Each real stamp is paired with the
simulated one of the same kind that is nearest in counts and exposure. The fields are divided
into regions; a region of the real field and the same region of the simulated ones are always
on the same side of the cross-validation.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from fields import FIELDS, data_folder, find, quiet_part, read_field, twin
from scipy import ndimage, stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from clustercnn import Classifier, CutoutStack, LabelSet, evaluation
from clustercnn.finding._starlet import starlet_transform

HERE = Path(__file__).resolve().parent
SIDE = 32
N_REGIONS = 3  # along each side of a field
N_BLANK = 150
N_FOLDS = 3
# of one kind in one field; fewer say nothing
LEAST_STAMPS = 40
# factor of the point spread that a classifier should notice
TOO_WIDE = 2.0
KINDS = ('candidate', 'blank')
# stamps may differ by this much in log10 of the counts, and in exposure as a fraction
LARGEST_DISTANCE = 0.1


class Stamps:
    """
    Stamps of one image: counts, exposure relative to the best, place.
    """

    def __init__(self, image, field, rng):
        self.counts, self.kind, self.region, self.exposure = [], [], [], []
        relative = image.exposure / image.exposure.max()
        part = quiet_part(image, field, least_exposure=0.25)
        if field.mission == 'chandra':
            # the group itself is what that field shows
            part = image.valid
        exposed = ndimage.uniform_filter((relative > 0.2).astype(float), SIDE)
        usable = part & (exposed > 0.95)
        half = SIDE // 2
        usable[:half] = usable[-half:] = usable[:, :half] = usable[:, -half:] = False
        catalog = find(image)
        places = np.stack(
            [np.rint(np.asarray(catalog[name])).astype(int) for name in ('y', 'x')], axis=1
        )
        free = np.ones(image.shape, bool)
        for y, x in places:
            free[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7] = False
        everywhere = np.argwhere(usable & free)
        n_blank = min(N_BLANK, len(everywhere))
        blank = everywhere[rng.choice(len(everywhere), n_blank, replace=False)]
        extent = np.argwhere(part)
        low, size = extent.min(axis=0), np.ptp(extent, axis=0) + 1
        for kind, list_of_places in zip(KINDS, (places, blank), strict=True):
            for y, x in list_of_places:
                if not usable[y, x]:
                    continue
                box = np.s_[y - half : y + half, x - half : x + half]
                row, column = ((np.array((y, x)) - low) * N_REGIONS // size).astype(int)
                self.counts.append(image.counts[box])
                self.exposure.append(float(relative[box].mean()))
                self.kind.append(kind)
                self.region.append(row * N_REGIONS + column)


def pair(real, simulated):
    """
    Return pairs of stamps of the same kind, nearest in counts and exposure.

    Every simulated stamp is used once; the brightest real stamps choose first. Those without a
    partner are left out and counted.
    """
    pairs, alone = [], dict.fromkeys(KINDS, 0)
    taken = set()
    totals = [np.array([np.log10(1 + s.sum()) for s in one.counts]) for one in (real, simulated)]
    exposures = [np.array(one.exposure) for one in (real, simulated)]
    kinds = np.array(simulated.kind)
    for i in np.argsort(-totals[0], kind='stable'):
        distance = np.hypot(totals[1] - totals[0][i], np.log10(exposures[1] / exposures[0][i]))
        distance[kinds != real.kind[i]] = np.inf
        distance[list(taken)] = np.inf
        best = int(np.argmin(distance))
        if distance[best] > LARGEST_DISTANCE:
            alone[real.kind[i]] += 1
            continue
        taken.add(best)
        pairs.append((int(i), best))
    return pairs, alone


def statistics_of(stamp):
    """
    Return hand-made statistics of a stamp, by name.
    """
    stamp = np.asarray(stamp, float)
    total = max(stamp.sum(), 1.0)
    row, column = np.indices(stamp.shape) - (SIDE - 1) / 2
    radius = np.hypot(row, column)
    smooth = ndimage.gaussian_filter(stamp, 1.5)
    outer = stamp[radius > 11]
    mean = max(outer.mean(), 1 / outer.size)
    planes = np.asarray(starlet_transform(stamp.astype(np.float32), 4)[0])
    values = {
        'counts': np.log10(1 + stamp.sum()),
        'brightest pixel': stamp.max() / total,
        'share of empty pixels': (stamp == 0).mean(),
        'share of pixels with 2 or more': (stamp >= 2).mean(),
        'outskirts: variance / mean': outer.var() / mean,
        'outskirts: skewness': float(stats.skew(outer)) if outer.std() > 0 else 0.0,
        'share within 2 pixels': stamp[radius < 2.5].sum() / total,
        'share within 4 pixels': stamp[radius < 4.5].sum() / total,
        'share within 8 pixels': stamp[radius < 8.5].sum() / total,
        'asymmetry under half a turn': np.abs(smooth - smooth[::-1, ::-1]).sum() / smooth.sum()
        if smooth.sum() > 0
        else 0.0,
        'gradient along rows': abs(stamp[:, : SIDE // 2].sum() / total - 0.5),
        'gradient along columns': abs(stamp[: SIDE // 2].sum() / total - 0.5),
    }
    for step, plane in enumerate(planes[:4]):
        # of Poisson noise this is a constant
        values[f'wavelet power, {2**step} pixels'] = np.log10((plane**2).mean() / total + 1e-9)
    centred = stamp - stamp.mean()
    norm = max((centred**2).mean(), 1e-9)
    for name, other in (
        ('next pixel in a row', centred[:, :-1] * centred[:, 1:]),
        ('next pixel in a column', centred[:-1] * centred[1:]),
        ('pixel after next', centred[:, :-2] * centred[:, 2:]),
    ):
        values[f'correlation, {name}'] = other.mean() / norm
    return values


def models():
    """
    Return the classifiers on statistics, by name.
    """
    return {
        'boosted trees': HistGradientBoostingClassifier(
            max_iter=120, learning_rate=0.06, max_leaf_nodes=8, min_samples_leaf=10, random_state=1
        ),
        'logistic regression': make_pipeline(StandardScaler(), LogisticRegression(C=0.3)),
    }


def network_scores(stamps, truth, train, test, pixel_scale):
    """
    Return scores of a small `cn` network for the test stamps.
    """
    names = np.where(truth, 'real', 'simulated')
    ids = [f'{i}' for i in range(len(stamps))]

    def stack(rows):
        return CutoutStack.from_arrays(
            {'xray': np.stack([stamps[i] for i in rows])},
            ids=[ids[i] for i in rows],
            pixel_scale=pixel_scale,
        )

    labels = LabelSet.from_labels(
        [ids[i] for i in train], [str(names[i]) for i in train], schema=('real', 'simulated')
    )
    classifier = Classifier(network='cn', n_epochs=12, seed=1, validation_fraction=0.15)
    prediction = classifier.fit(stack(train), labels).predict(stack(test))
    return prediction.probability[:, 0]


def tell_apart(stamps, truth, region):
    """
    Return AUC with intervals of each classifier, and what the trees go by.
    """
    table = [statistics_of(stamp) for stamp in stamps]
    names = list(table[0])
    x = np.array([[row[name] for name in names] for row in table])
    region = np.asarray(region)
    folds = list(GroupKFold(N_FOLDS).split(x, truth, region))
    scores = {name: np.zeros(len(truth)) for name in models()}
    drops = []
    for train, test in folds:
        for name, model in models().items():
            model.fit(x[train], truth[train])
            scores[name][test] = model.predict_proba(x[test])[:, 1]
            if name == 'boosted trees':
                importance = permutation_importance(
                    model, x[test], truth[test], scoring='roc_auc', n_repeats=5, random_state=1
                )
                drops.append(importance.importances_mean)
    result = {'stamps': len(truth), 'regions': len(np.unique(region)), 'auc': {}}
    for name, score in scores.items():
        result['auc'][name] = _area(score, truth, region)
    # real minus simulated, in units of the spread of both
    spread = np.maximum(x.std(axis=0), 1e-9)
    shift = (x[truth].mean(axis=0) - x[~truth].mean(axis=0)) / spread
    order = np.argsort(-np.mean(drops, axis=0))
    result['goes by'] = [
        {
            'statistic': names[i],
            'auc_lost': round(float(np.mean(drops, axis=0)[i]), 4),
            'real_minus_simulated': round(float(shift[i]), 3),
        }
        for i in order[:8]
    ]
    return result


def _area(score, truth, region):
    low, high = evaluation.roc_auc_interval(score, truth, groups=region)
    return [round(float(v), 3) for v in (evaluation.roc_auc(score, truth), low, high)]


def network_area(stamps, truth, region, pixel_scale):
    """
    Return the AUC of a small `cn` network with its interval, from the same folds.
    """
    region = np.asarray(region)
    score = np.zeros(len(truth))
    for train, test in GroupKFold(N_FOLDS).split(score, truth, region):
        score[test] = network_scores(stamps, truth, train, test, pixel_scale)
    return _area(score, truth, region)


def gather(field, image, seeds, **options):
    """
    Return the stamps of simulated fields together; options are those of `fields.twin`.
    """
    together = None
    for seed in seeds:
        one = Stamps(twin(field, image, seed, **options), field, np.random.default_rng([2, seed]))
        if together is None:
            together = one
            continue
        for name in ('counts', 'kind', 'region', 'exposure'):
            getattr(together, name).extend(getattr(one, name))
    return together


def paired(first, second):
    """
    Return paired stamps of two sets: stamps, which are of the first, regions, kinds, and how
    many had no partner.
    """
    pairs, alone = pair(first, second)
    sides = [first] * len(pairs) + [second] * len(pairs)
    rows = [i for i, _ in pairs] + [j for _, j in pairs]
    stamps = [side.counts[row] for side, row in zip(sides, rows, strict=True)]
    region = [side.region[row] for side, row in zip(sides, rows, strict=True)]
    kind = np.array([side.kind[row] for side, row in zip(sides, rows, strict=True)])
    return stamps, np.arange(len(rows)) < len(pairs), region, kind, alone


def by_kind(stamps, truth, region, kind):
    """
    Return what is measured of all stamps, and of each kind of which there are enough.
    """
    result = {'all': tell_apart(stamps, truth, region)}
    for one in KINDS:
        rows = np.flatnonzero(kind == one)
        if len(rows) < LEAST_STAMPS or len({region[i] for i in rows}) < N_FOLDS:
            continue
        result[one] = tell_apart([stamps[i] for i in rows], truth[rows], [region[i] for i in rows])
    return result


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--data', type=Path)
    parser.add_argument('--twins', type=int, default=4, help='simulated fields a real one')
    options = parser.parse_args()
    data = data_folder(options.data)
    measured = HERE / 'results' / 'xray.json'
    if not measured.exists():
        msg = f'{measured}: not there; run measure_xray.py first'
        raise SystemExit(msg)
    factors = {
        name: entry['background_factor']
        for name, entry in json.loads(measured.read_text())['fields'].items()
    }
    results = {'twins': options.twins}
    path = HERE / 'results' / 'stamps.json'
    samples, controls = {}, {}
    # small trees on a few hundred rows: threads would only wait for each other
    with threadpool_limits(limits=1, user_api='openmp'):
        for name, field in FIELDS.items():
            if field.by_others:
                continue
            image = read_field(field, data)
            factor = factors.get(name, 1.0)
            real = Stamps(image, field, np.random.default_rng(1))
            first, second, third = (
                gather(
                    field,
                    image,
                    range(start, start + options.twins),
                    background_factor=factor,
                    psf_factor=psf_factor,
                )
                for start, psf_factor in ((4000, 1.0), (5000, 1.0), (6000, TOO_WIDE))
            )
            *sample, alone = paired(real, first)
            samples[name] = (*sample, image.pixel_scale)
            controls[name] = {
                'both simulated': paired(second, first)[:4],
                'simulated, PSF too wide': paired(second, third)[:4],
            }
            kinds = sample[3][sample[1]]
            results[name] = {
                'pairs': {one: int((kinds == one).sum()) for one in KINDS},
                'without a partner': alone,
                **by_kind(*sample),
            }
            print(name, results[name]['pairs'], results[name]['all']['auc'], flush=True)
        results['pooled'] = by_kind(*pool({name: one[:4] for name, one in samples.items()}))
        for control in next(iter(controls.values())):
            results[f'control: {control}'] = by_kind(
                *pool({name: entry[control] for name, entry in controls.items()})
            )
    path.write_text(json.dumps(results, indent=1) + '\n')
    for name, (stamps, truth, region, _, scale) in samples.items():
        results[name]['all']['auc']['cn network'] = network_area(stamps, truth, region, scale)
        path.write_text(json.dumps(results, indent=1) + '\n')
        print(name, results[name]['all']['auc'], flush=True)


def pool(samples):
    """
    Return the stamps of several fields together; the regions keep apart.
    """
    stamps = [stamp for sample in samples.values() for stamp in sample[0]]
    truth = np.concatenate([sample[1] for sample in samples.values()])
    region = [f'{name} {one}' for name, sample in samples.items() for one in sample[2]]
    kind = np.concatenate([sample[3] for sample in samples.values()])
    return stamps, truth, region, kind


if __name__ == '__main__':
    main()
