# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure how fast fields and labelled cutouts are made::

    python validation/simulator/measure_speed.py [--fields N] [--cutouts N]

Writes ``results/speed.json``. Times are given as CPU seconds of all threads and as time on the
clock; on a machine with other work only the first say something about the code.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from clustercnn.models.sample import write_sample
from clustercnn.simulate import SimulationConfig, simulate_field

HERE = Path(__file__).resolve().parent
FIRST_SEED = 950_000
# fields made in one go
N_TOGETHER = 40


def timed(task):
    """
    Return what a task returns, its CPU seconds and its time on the clock.
    """
    cpu, clock = time.process_time(), time.perf_counter()
    result = task()
    return result, time.process_time() - cpu, time.perf_counter() - clock


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


def cutouts(n_wanted):
    """
    Return the seconds of labelled cutouts through the finder on two cores, and the memory of each.
    """
    rows, n_cutouts, first = [], 0, FIRST_SEED
    with tempfile.TemporaryDirectory() as folder:
        while n_cutouts < n_wanted:
            seeds = range(first, first + N_TOGETHER)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            started = time.perf_counter()
            n_cutouts += write_sample(folder, seeds=seeds, mission='xmm', n_workers=2)
            clock = time.perf_counter() - started
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            rows.append((cpu, clock, n_cutouts, after.ru_maxrss / 1024))
            first += N_TOGETHER
        written = sum(path.stat().st_size for path in Path(folder).iterdir())
    cpu, clock = (sum(row[column] for row in rows) for column in (0, 1))
    return {
        'fields': len(rows) * N_TOGETHER,
        'cutouts': n_cutouts,
        'cpu_seconds': round(cpu, 1),
        'clock_minutes_on_2_cores': round(clock / 60, 1),
        'cpu_minutes_over_2': round(cpu / 120, 1),
        'written_mb': round(written / 1e6),
        'largest_process_mb': {
            f'after {rows[0][2]} cutouts': round(rows[0][3]),
            'after all': round(rows[-1][3]),
        },
    }


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--fields', type=int, default=12)
    parser.add_argument('--cutouts', type=int, default=10_000)
    options = parser.parse_args()
    results = {
        'cores': os.cpu_count(),
        'load_at_start': round(os.getloadavg()[0], 1),
        'field with plate': fields(options.fields),
        'labelled cutouts': cutouts(options.cutouts),
    }
    (HERE / 'results' / 'speed.json').write_text(json.dumps(results, indent=1) + '\n')
    print(json.dumps(results, indent=1))


if __name__ == '__main__':
    main()
