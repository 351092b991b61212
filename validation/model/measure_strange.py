# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure how well ``ood`` tells what the shipped model was never trained on::

    python validation/model/measure_strange.py [--fields 12]

Writes ``results/strange.json``. Ordinary candidates are detections of fresh *simulated* fields.
Each strange kind is made from them: the X-ray or optical image is replaced or spoilt, and the
numbers of the finder stay or are taken away on both sides. Shells are also given as the finder
sees them, in fields whose target is a supernova remnant.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from clustercnn import Classifier, CutoutStack, evaluation
from clustercnn.cutouts import CutoutMaker
from clustercnn.evaluation import roc_auc
from clustercnn.finding import WaveletFinder
from clustercnn.models.sample import make_field_sample
from clustercnn.simulate import SimulationConfig, simulate_field

HERE = Path(__file__).resolve().parent
FIRST_SEED = 930_000
FIRST_SHELL_SEED = 931_000


def radius_map(shape):
    """
    Return the distance of each pixel from the middle of a cutout, in pixels.
    """
    y, x = (np.arange(size) - (size - 1) / 2 for size in shape)
    return np.hypot(y[:, None], x)


def projected_shell(shape, outer, thickness):
    """
    Return the image of a thin shell, of sum one (its emission per volume is uniform).
    """
    radius = radius_map(shape)
    inner = outer * (1 - thickness)
    image = np.sqrt(np.clip(outer**2 - radius**2, 0, None))
    image -= np.sqrt(np.clip(inner**2 - radius**2, 0, None))
    return image / image.sum()


def _background(band):
    """
    Return the level of each cutout between its sources: of the darker half of its blocks.
    """
    data = np.where(band.mask, np.nan, band.data)
    n, ny, nx = data.shape
    blocks = data[:, : ny // 8 * 8, : nx // 8 * 8].reshape(n, ny // 8, 8, nx // 8, 8)
    means = np.nanmean(blocks, axis=(2, 4)).reshape(n, -1)
    return np.maximum(np.nanpercentile(means, 40, axis=1), 1e-3)


def _with(stack, name, data):
    band = stack.bands[name]
    data = np.where(band.mask, 0, data).astype(np.float32)
    return stack.replace(
        bands=[*(b for n, b in stack.bands.items() if n != name), band.replace(data=data)]
    )


def strange_kinds(stack, rng):
    """
    Yield a name and a stack for each strange kind.
    """
    xray, optical = stack.bands['xray'], stack.bands['optical']
    n, ny, nx = xray.data.shape
    scale = float(xray.pixel_scale.value)
    level = _background(xray)[:, None, None]
    shells = np.stack(
        [
            rng.uniform(200, 2000)
            * projected_shell((ny, nx), size / scale, rng.uniform(0.08, 0.25))
            for size in rng.uniform(30, 0.4 * nx * scale, n)
        ]
    )
    yield 'shells of supernova remnants', _with(stack, 'xray', rng.poisson(level + shells))
    scale = float(optical.pixel_scale.value)
    own = np.where(optical.mask, np.nan, optical.data)
    sky = np.nanmedian(own, axis=(1, 2))[:, None, None]
    scatter = np.nanmedian(abs(own - sky), axis=(1, 2))[:, None, None]
    sky, scatter = np.nan_to_num(sky), np.maximum(np.nan_to_num(scatter), 1e-3)
    rings = []
    for _ in range(n):
        size, width = rng.uniform(10, 40) / scale, rng.uniform(2, 5) / scale
        ring = np.exp(-0.5 * ((radius_map(optical.data.shape[1:]) - size) / width) ** 2)
        rings.append(rng.uniform(10, 60) * ring)
    yield (
        'rings of planetary nebulae',
        _with(stack, 'optical', optical.data + scatter * np.stack(rings)),
    )
    noise = _with(stack, 'xray', rng.poisson(np.broadcast_to(level, xray.data.shape)))
    plain = sky + 1.5 * scatter * rng.standard_normal(optical.data.shape)
    yield 'pure noise', _with(noise, 'optical', plain)
    exposure = np.maximum(xray.exposure.max(axis=(1, 2)), 1.0)[:, None, None]
    yield 'rates for counts', _with(stack, 'xray', xray.data / exposure)
    yield 'counts times 1000', _with(stack, 'xray', 1000 * xray.data)
    yield 'flipped sign, X-rays', _with(stack, 'xray', -xray.data)
    yield 'flipped sign, both', _with(_with(stack, 'xray', -xray.data), 'optical', -optical.data)


def shells_as_found(n_fields):
    """
    Return cutouts of the detections of supernova remnants, of fields that point at them.
    """
    stacks = []
    for seed in range(FIRST_SHELL_SEED, FIRST_SHELL_SEED + n_fields):
        field = simulate_field(seed=seed, config=SimulationConfig(target='shell'))
        catalog = WaveletFinder()(field.xray)
        matched = field.match(catalog)
        chosen = np.flatnonzero(np.asarray(matched['subclass']) == 'shell')
        if len(chosen):
            stack = CutoutMaker()(field.images, catalog[chosen])
            stacks.append(stack.replace(ids=[f'{seed}-{name}' for name in stack.ids]))
    return CutoutStack.concatenate(stacks)


def _auc(ordinary, strange):
    truth = np.concatenate([np.zeros(len(ordinary)), np.ones(len(strange))])
    score = np.concatenate([ordinary, strange])
    interval = evaluation.roc_auc_interval(score, truth)
    return [round(float(v), 4) for v in (roc_auc(score, truth), *interval)]


def measure(classifier, n_fields):
    """
    Return the areas under the curve by kind, with the finder's numbers and without.
    """
    stacks = []
    for seed in range(FIRST_SEED, FIRST_SEED + n_fields):
        stack, _, _ = make_field_sample(seed, mission='xmm', n_point_max=20)
        if (
            stack is not None
            and 'optical' in stack.bands
            and stack.bands['xray'].exposure is not None
        ):
            stacks.append(stack)
    stack = CutoutStack.concatenate(stacks)
    found = shells_as_found(n_fields)
    results = {
        'fields': n_fields,
        'ordinary': len(stack),
        'shells as found': len(found),
        'kinds': {},
    }
    for features in ('with the numbers of the finder', 'without'):
        one, other = stack, found
        if features == 'without':
            one, other = stack.replace(features={}), found.replace(features={})
        ordinary = classifier.predict(one).ood
        rng = np.random.default_rng(5)
        kinds = {name: classifier.predict(kind).ood for name, kind in strange_kinds(one, rng)}
        kinds['shells as the finder sees them'] = classifier.predict(other).ood
        results['kinds'][features] = {
            name: _auc(ordinary, values) for name, values in kinds.items()
        }
    return results


def main():
    """
    Measure and write.
    """
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--fields', type=int, default=12, help='simulated fields')
    options = parser.parse_args()
    results = measure(Classifier.from_pretrained(), options.fields)
    for features, kinds in results['kinds'].items():
        for name, values in kinds.items():
            print(f'{features:32} {name:32} {values}', flush=True)
    (HERE / 'results' / 'strange.json').write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
