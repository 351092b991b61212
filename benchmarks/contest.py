# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the benchmarks of the networks share: the cases, both sides of each, and the contest.

Both sides get planes that are ready, so that the network alone is compared: augmentation and
preprocessing have no counterpart in PyTorch.
"""

import dataclasses
import importlib
import json
import os
import time

import jax
import numpy as np

from clustercnn.network import FEATURES, BandSpec, InputSpec, build_network

N_CLASSES = 4

# the default geometry
INPUTS = InputSpec(
    bands=(
        BandSpec(name='xray', kind='xray', shape=(64, 64), pixel_scale=4.0),
        BandSpec(name='optical', kind='optical', shape=(128, 128), pixel_scale=2.0),
    ),
    features=tuple(FEATURES),
)


def _pictures(n_bands):
    return InputSpec(
        bands=tuple(
            BandSpec(name=f'band{number}', kind='optical', shape=(128, 128), pixel_scale=2.0)
            for number in range(n_bands)
        )
    )


def make_case(name):
    """
    Return a network and what its case is called.
    """
    if name == 'fusion':
        return build_network(name, INPUTS, n_classes=N_CLASSES), 'fusion, 64x64x6 and 128x128x1'
    n_bands = {'cn': 2, 'mobilenet': 3}[name]
    # torchvision's padding: PyTorch has no other in one operation
    options = {'padding': 'symmetric'} if name == 'mobilenet' else None
    network = build_network(name, _pictures(n_bands), n_classes=N_CLASSES, options=options)
    return network, f'{name}, 128x128x{n_bands}'


def make_params(network):
    """
    Return parameters with statistics and biases that are not zero, so that all of them count.
    """
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: (
            np.asarray(leaf)
            if leaf.ndim > 1
            else np.asarray(leaf) + rng.uniform(0, 0.1, leaf.shape).astype(np.float32)
        ),
        network.init(1),
    )


def make_planes(network, n_items):
    """
    Return planes of noise and labels.
    """
    rng = np.random.default_rng(2)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    pictures, coverage, present = {}, {}, {}
    for spec in network.inputs.bands:
        n_planes = network.config.preprocessing.n_planes(spec.kind)
        pictures[spec.name] = normal(n_items, *spec.shape, n_planes)
        coverage[spec.name] = rng.uniform(size=(n_items, *spec.shape, 1)).astype(np.float32)
        present[spec.name] = np.ones(n_items, np.float32)
    planes = {
        'pictures': pictures,
        'coverage': coverage,
        'present': present,
        'features': normal(n_items, len(network.inputs.features)),
        'known': np.ones((n_items, len(network.inputs.features)), np.float32),
    }
    return planes, rng.integers(0, N_CLASSES, n_items)


@dataclasses.dataclass
class Contestant:
    """
    One side of a comparison.

    Parameters
    ----------
    name : str
        What it is called.
    call : callable
        Does one batch and waits until it is done.
    first_s : float
        What the first call took, compilation included.
    seconds, processor : list of float
        A batch, by the clock and of all processors, of each round.
    """

    name: str
    call: object
    first_s: float = 0.0
    seconds: list = dataclasses.field(default_factory=list)
    processor: list = dataclasses.field(default_factory=list)

    def rates(self, amount):
        """
        Return least, median and most work a second.
        """
        rates = amount / np.array(self.seconds)
        return [
            round(float(value), 4 - int(np.log10(value)))
            for value in (rates.min(), np.median(rates), rates.max())
        ]


def contest(contestants, *, n_rounds, seconds=1.0):
    """
    Let all sides take turns; how many batches a turn has is fixed by a first trial.
    """
    numbers = []
    for one in contestants:
        started = time.perf_counter()
        one.call()
        one.first_s = time.perf_counter() - started
        one.call()
        busy = time.process_time()
        one.call()
        # by the processors' time: the clock's is another matter on a busy machine
        numbers.append(max(1, round(n_cores() * seconds / (time.process_time() - busy))))
    for _ in range(n_rounds):
        for one, number in zip(contestants, numbers, strict=True):
            # threads of the one before may still be spinning
            time.sleep(0.1)
            started, busy = time.perf_counter(), time.process_time()
            for _ in range(number):
                one.call()
            one.seconds.append((time.perf_counter() - started) / number)
            one.processor.append((time.process_time() - busy) / number)


def compared(case, ours, peer, *, amount, unit='cutouts/s', wanted=None, aim=None):
    """
    Return the row of two sides that took turns.

    The ratio of each round is one of neighbours in time, which a busy machine disturbs less
    than that of two medians.
    """
    row = {
        'case': case,
        'unit': unit,
        'ours': None,
        'peer_name': None,
        'peer': None,
        'ratio': None,
        'processor_ratio': None,
        'at_least': wanted,
        'aim': aim,
    }
    low, middle, high = ours.rates(amount)
    row |= {'ours': middle, 'ours_min_max': [low, high], 'first_call_s': round(ours.first_s, 2)}
    if peer is not None:
        low, middle, high = peer.rates(amount)
        ratios = np.array(peer.seconds) / np.array(ours.seconds)
        busy = np.array(peer.processor) / np.array(ours.processor)
        row |= {
            'peer_name': peer.name,
            'peer': middle,
            'peer_min_max': [low, high],
            'peer_first_call_s': round(peer.first_s, 2),
            'ratio': round(float(np.median(ratios)), 3),
            'ratio_min_max': [round(float(ratios.min()), 3), round(float(ratios.max()), 3)],
            'processor_ratio': round(float(np.median(busy)), 3),
        }
    return row


def fastest(contestants):
    """
    Return the side with the least median time on the clock, None if there is no side.
    """
    return min(contestants, key=lambda one: np.median(one.seconds), default=None)


def optional(name):
    """
    Return a peer's module, or None after saying that it is missing.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed, so not compared; pip install 'clustercnn[bench]'")
        return None


def add_options(parser, *, networks):
    """
    Add what both benchmarks can be told.
    """
    parser.add_argument('--json', metavar='FILE', help='write the rows there as well')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=1.0, help='of a turn, about')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--cores', type=int, help='how many to use, all by default')
    parser.add_argument('--networks', nargs='+', default=list(networks), choices=list(networks))


def keep_to(number):
    """
    Keep this process to the last cores, before any library counts them.
    """
    if number is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-number:])


def n_cores():
    """
    Return how many cores may be used.
    """
    affinity = getattr(os, 'sched_getaffinity', None)
    return len(affinity(0)) if affinity else os.cpu_count()


def print_rows(rows):
    """
    Print the table.
    """
    print(f'{"case":50} {"ours":>8} {"peer":>8} {"ratio":>6} {"min - max":>13} {"cpu":>6}  wanted')
    for row in rows:
        line = f'{row["case"]:50} {row["ours"]:8.4g}'
        if row['peer'] is not None:
            low, high = row['ratio_min_max']
            line += f' {row["peer"]:8.4g} {row["ratio"]:6.2f} {low:6.2f} - {high:4.2f}'
            line += f' {row["processor_ratio"]:6.2f}  {row["at_least"]} ({row["peer_name"]})'
        print(f'{line}  first call {row["first_call_s"]} s')


def write(path, stage, rows, **facts):
    """
    Write the results for the documentation.
    """
    results = {'stage': stage, 'n_cores': n_cores(), **facts, 'rows': rows}
    with open(path, 'w', encoding='utf-8') as stream:
        json.dump(results, stream, indent=2)
        stream.write('\n')
