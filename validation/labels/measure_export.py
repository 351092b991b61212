# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure how long a large *simulated* Zooniverse export takes to read, and how much memory::

    python validation/labels/measure_export.py [--gigabytes 1.0] [-o FILE]

Writes the export into a temporary folder, reads it in processes of their own, once as votes and
once as labels by Dawid-Skene, and writes ``results/export.json``.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from clustercnn.simulate._export import COLUMNS

HERE = Path(__file__).resolve().parent
N_PEOPLE, N_VOTES_AN_ITEM = 10_000, 10
ANSWERS = {
    'cluster': 'A galaxy cluster',
    'point': 'A point source',
    'galaxy': 'A nearby galaxy',
    'other': 'Something else',
}
READ_VOTES = 'table = read_classifications(path, item="candidate")'
READ_LABELS = (
    f'table = label_export(path, item="candidate", method="dawid-skene", classes='
    f'{ {text: name for name, text in ANSWERS.items()} })'
)
PROGRAM = """
import json, resource, sys, time
from clustercnn.io import read_classifications
from clustercnn.pipeline import label_export
path = sys.argv[1]
start = time.process_time()
{read}
seconds = time.process_time() - start
# in kilobytes, on macOS in bytes
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
memory *= 1 if sys.platform == 'darwin' else 1024
print(json.dumps({{
    'rows': table.meta['n_rows'], 'answers': table.meta['n_answers'],
    'left_out': sum(table.meta['dropped'].values()), 'items_or_votes': len(table),
    'processor_seconds': seconds, 'largest_memory_gigabytes': memory / 1e9,
}}))
"""


def write_export(path, n_bytes, *, seed):
    """
    Write rows of the size of real ones until the file is large enough.
    """
    rng = np.random.default_rng(seed)
    metadata = json.dumps(
        {
            'source': 'api',
            'session': 'c1d5' * 16,
            'viewport': {'width': 1440, 'height': 780},
            'started_at': '2026-01-01T10:00:00.000Z',
            'user_agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0',
            'utc_offset': '-3600',
            'finished_at': '2026-01-01T10:00:08.000Z',
            'live_project': True,
            'user_language': 'en',
            'subject_dimensions': [{'naturalWidth': 1008, 'naturalHeight': 540}],
            'subject_selection_state': {'retired': False, 'already_seen': False},
        }
    )
    texts = list(ANSWERS.values())
    # a row has about 1.6 kB; the number of items follows from that of votes
    n_items = max(100, int(n_bytes / 1600 / N_VOTES_AN_ITEM))
    truth = rng.integers(0, len(texts), n_items)
    number = 0
    with path.open('w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        while stream.tell() < n_bytes:
            for item, person, wrong, other in zip(
                rng.integers(0, n_items, 5000),
                rng.integers(0, N_PEOPLE, 5000),
                rng.random(5000) < 0.25,
                rng.integers(0, len(texts), 5000),
                strict=True,
            ):
                subject = 70_000_000 + int(item)
                said = texts[other if wrong else truth[item]]
                annotation = {'task': 'T0', 'task_label': 'What is this source?', 'value': said}
                data = {
                    'retired': None,
                    'image': f'subject-{item:06d}.png',
                    '#candidate': f'field_{item // 40:05d}-{item % 40}',
                    '!ra': f'{item * 0.001:.6f}',
                    '!dec': f'{-item * 0.0005:.6f}',
                }
                name = f'volunteer {person}' if person % 5 else f'not-logged-in-{person:040x}'
                seconds = number % 60
                writer.writerow(
                    [
                        500_000_000 + number, name, person if person % 5 else '',
                        f'{person:020x}', 24_680, 'Clusters', '12.34',
                        f'2026-01-{1 + number // 40_000 % 28:02d} 10:{number // 60 % 60:02d}:'
                        f'{seconds:02d} UTC',
                        '', '', metadata, json.dumps([annotation]),
                        json.dumps({subject: data}), subject,
                    ]
                )  # fmt: skip
                number += 1
    return number


def read(path, program):
    """
    Return what a process of its own says of reading the file.
    """
    code = PROGRAM.format(read=program)
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', code, str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--gigabytes', type=float, default=1.0)
    parser.add_argument('-o', '--output', type=Path, default=HERE / 'results' / 'export.json')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'export.csv'
        start = time.perf_counter()
        n_rows = write_export(path, options.gigabytes * 1e9, seed=1)
        print(f'{n_rows} rows written in {time.perf_counter() - start:.0f} s', flush=True)
        results = {
            'simulated': True,
            'gigabytes': path.stat().st_size / 1e9,
            'rows': n_rows,
            'people': N_PEOPLE,
            'votes': read(path, READ_VOTES),
            'labels': read(path, READ_LABELS),
        }
    for part in ('votes', 'labels'):
        if (results[part]['rows'], results[part]['left_out']) != (n_rows, 0):
            # repeated votes are left out of the labels
            assert part == 'labels', results
    text = json.dumps(results, indent=2)
    options.output.write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    main()
