# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cutouts a second in prediction, on the default geometry::

    python benchmarks/bench_predict.py [--json FILE] [--repeats 5] [--batch 32]

A row a network, once as it is and once averaged over flips and quarter turns, which
`fusion` does by default; filling the batch and making the planes are included.
"""

import argparse
import time

import jax
import numpy as np
from bench_train import INPUTS, make_data, print_rows, summary

from clustercnn.network import build_network, take
from clustercnn.training import Steps


def measure(name, *, dihedral, batch_size, n_repeats, n_steps):
    """
    Return the row of one network.
    """
    network = build_network(name, INPUTS, n_classes=4)
    steps = Steps(network, dihedral=dihedral)
    dataset = make_data(batch_size)
    params, rows = network.init(1), np.arange(batch_size)
    started = time.perf_counter()
    jax.block_until_ready(steps.predict(params, take(dataset, rows, batch_size)))
    compilation = time.perf_counter() - started
    seconds = []
    for _ in range(n_repeats):
        started = time.perf_counter()
        for _ in range(n_steps):
            result = steps.predict(params, take(dataset, rows, batch_size))
        jax.block_until_ready(result)
        seconds.append((time.perf_counter() - started) / n_steps)
    views = '8 views' if dihedral else '1 view'
    case = f'{name}, prediction, batch {batch_size}, {views}'
    return summary(case, batch_size, seconds, compilation)


def main():
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--json', help='file for the rows')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--steps', type=int, default=5, help='batches a repeat')
    parser.add_argument('--batch', type=int, default=32)
    options = parser.parse_args()
    rows = [
        measure(
            name,
            dihedral=dihedral,
            batch_size=options.batch,
            n_repeats=options.repeats,
            n_steps=options.steps,
        )
        for name, dihedral in (('fusion', False), ('fusion', True), ('cn', False))
    ]
    print_rows(rows, options.json)


if __name__ == '__main__':
    main()
