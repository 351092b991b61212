# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure how fast fields and labelled cutouts are made::

    python validation/simulator/measure_speed.py [--fields N]

Writes ``results/speed.json``. Times are given as CPU seconds of all threads and as time on the
clock; on a machine with other work only the first say something about the code.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np

from clustercnn import CutoutMaker, WaveletFinder
from clustercnn.simulate import SimulationConfig, simulate_field, simulate_training_set

HERE = Path(__file__).resolve().parent
N_WANTED = 10_000


def timed(task):
    """
    Return what a task returns, its CPU seconds and its time on the clock.
    """
    cpu, clock = time.process_time(), time.perf_counter()
    result = task()
    return result, time.process_time() - cpu, time.perf_counter() - clock


def memory():
    """
    Return the largest memory the process has had, in MB.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fields(n_fields):
    """
    Return the seconds of XMM fields with a plate, without the first.
    """
    config = SimulationConfig(target='none')
    rows = [
        timed(lambda seed=seed: simulate_field(seed=seed, config=config))
        for seed in range(n_fields + 1)
    ]
    cpu = np.array([row[1] for row in rows[1:]])
    clock = np.array([row[2] for row in rows[1:]])
    return {
        'fields': n_fields,
        'plate_pixels': list(rows[0][0].optical.shape),
        'cpu_seconds': [round(float(v), 3) for v in (np.median(cpu), cpu.min(), cpu.max())],
        'clock_seconds': [round(float(v), 3) for v in (np.median(clock), clock.min(), clock.max())],
    }


def cutouts(n_fields):
    """
    Return the seconds of labelled cutouts through the finder, and the memory on the way.
    """
    options = {'find': WaveletFinder(), 'cut': CutoutMaker(), 'seed': 1, 'progress': False}
    # the first field compiles
    simulate_training_set(n_fields=1, **options)
    marks = []

    def find(image):
        catalog = options['find'](image)
        marks.append(memory())
        return catalog

    def make():
        return simulate_training_set(n_fields=n_fields, **{**options, 'find': find})

    result, cpu, clock = timed(make)
    n_cutouts = len(result.stack)
    held = sum(band.data.nbytes for band in result.stack.bands.values())
    return {
        'fields': n_fields,
        'cutouts': n_cutouts,
        'cpu_seconds': round(cpu, 1),
        'clock_seconds': round(clock, 1),
        'cpu_seconds_a_cutout': round(cpu / n_cutouts, 4),
        'minutes_for_10000_on_2_cores_by_cpu': round(cpu / n_cutouts * N_WANTED / 2 / 60, 1),
        'memory_mb': {
            'after 3 fields': round(marks[2]),
            'after all': round(marks[-1]),
            'cutouts': round(held / 1e6),
        },
    }


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--fields', type=int, default=12)
    options = parser.parse_args()
    results = {
        'cores': os.cpu_count(),
        'load_at_start': round(os.getloadavg()[0], 1),
        'field with plate': fields(options.fields),
        'labelled cutouts': cutouts(options.fields),
    }
    (HERE / 'results' / 'speed.json').write_text(json.dumps(results, indent=1) + '\n')
    print(json.dumps(results, indent=1))


if __name__ == '__main__':
    main()
