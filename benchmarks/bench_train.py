# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cutouts a second in training, on the default geometry: X-ray 64 x 64, optical 128 x 128::

    python benchmarks/bench_train.py [--json FILE] [--repeats 5] [--batch 64]

A row a network; the step includes filling the batch, augmentation and planes.
Compilation is timed apart. The peer's columns are empty where there is none.
"""

import argparse
import json
import time

import jax
import numpy as np

from clustercnn.network import (
    FEATURES,
    BandArrays,
    BandSpec,
    InputSpec,
    build_network,
    make_dataset,
    take,
)
from clustercnn.training import Steps, TrainingConfig

INPUTS = InputSpec(
    bands=(
        BandSpec(name='xray', kind='xray', shape=(64, 64), pixel_scale=4.0),
        BandSpec(name='optical', kind='optical', shape=(128, 128), pixel_scale=2.0),
    ),
    features=tuple(FEATURES),
)


def make_data(n_items, *, seed=1):
    """
    Return a labelled data set of noise.
    """
    rng = np.random.default_rng(seed)
    made = make_dataset(
        INPUTS,
        {
            'xray': BandArrays(
                data=rng.poisson(0.3, (n_items, 64, 64)).astype(np.float32), pixel_scale=4.0
            ),
            'optical': BandArrays(
                data=rng.normal(1000, 10, (n_items, 128, 128)).astype(np.float32),
                pixel_scale=2.0,
            ),
        },
        features={name: rng.uniform(1, 100, n_items) for name in FEATURES},
    )
    target = np.eye(4, dtype=np.float32)[rng.integers(0, 4, n_items)]
    return made | {'target': target, 'weight': np.ones(n_items, np.float32)}


def summary(case, n_items, seconds, compilation):
    """
    Return a row of the table.
    """
    rates = sorted(n_items / s for s in seconds)
    return {
        'case': case,
        'ours': round(float(np.median(rates)), 1),
        'ours_min_max': [round(rates[0], 1), round(rates[-1], 1)],
        'compile_s': round(compilation, 1),
        'peer': None,
        'peer_name': None,
        'ratio': None,
    }


def print_rows(rows, path):
    """
    Print the table, and write it where asked for.
    """
    print(f'{"case":42} {"ours [1/s]":>10} {"min - max":>17} {"compile [s]":>11} {"peer":>6}')
    for row in rows:
        low, high = row['ours_min_max']
        spread = f'{low} - {high}'
        print(
            f'{row["case"]:42} {row["ours"]:10} {spread:>17} {row["compile_s"]:11} '
            f'{row["peer"] or "-":>6}'
        )
    if path:
        with open(path, 'w') as stream:
            json.dump(rows, stream, indent=2)


def measure(name, *, batch_size, n_repeats, n_steps):
    """
    Return the row of one network.
    """
    network = build_network(name, INPUTS, n_classes=4)
    config = TrainingConfig(batch_size=batch_size)
    steps = Steps(network, config=config, n_steps=1000)
    dataset = make_data(2 * batch_size)
    state = steps.initial_state(1)
    started = time.perf_counter()
    state, _ = steps.train(state, take(dataset, np.arange(batch_size), batch_size))
    jax.block_until_ready(state)
    compilation = time.perf_counter() - started
    rng, seconds = np.random.default_rng(1), []
    for _ in range(n_repeats):
        started = time.perf_counter()
        for _ in range(n_steps):
            rows = rng.permutation(2 * batch_size)[:batch_size]
            state, metrics = steps.train(state, take(dataset, rows, batch_size))
        jax.block_until_ready(metrics)
        seconds.append((time.perf_counter() - started) / n_steps)
    case = f'{name}, training, batch {batch_size}'
    return summary(case, batch_size, seconds, compilation)


def main():
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--json', help='file for the rows')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--steps', type=int, default=3, help='steps a repeat')
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--networks', nargs='+', default=['fusion', 'cn', 'mobilenet'])
    options = parser.parse_args()
    rows = [
        measure(name, batch_size=options.batch, n_repeats=options.repeats, n_steps=options.steps)
        for name in options.networks
    ]
    print_rows(rows, options.json)


if __name__ == '__main__':
    main()
