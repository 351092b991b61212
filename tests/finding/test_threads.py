# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Threads that share the work on an image.
"""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from clustercnn.finding import _threads
from clustercnn.finding._threads import at_once, for_rows, in_threads

LARGE = 2**20


def test_every_job_is_done_once():
    done = []
    in_threads(done.append, [(number,) for number in range(100)], 4)
    assert sorted(done) == list(range(100))
    in_threads(done.append, [], 4)
    assert len(done) == 100


def test_two_jobs_run_at_the_same_time():
    met = threading.Barrier(2, timeout=20)
    in_threads(lambda number: met.wait(), [(0,), (1,)], 2)


def test_jobs_may_ask_in_turn_however_few_threads_there_are():
    done = []

    def outer(number):
        in_threads(lambda inner: done.append((number, inner)), [(k,) for k in range(5)], 2)

    in_threads(outer, [(number,) for number in range(6)], 2)
    assert sorted(done) == [(number, inner) for number in range(6) for inner in range(5)]


def test_errors_come_out_and_nothing_more_is_begun():
    done = []

    def job(number):
        if number == 3:
            raise ValueError('the third')
        time.sleep(0.001)
        done.append(number)

    for threads in (1, 2, 3):
        done.clear()
        with pytest.raises(ValueError, match='the third'):
            in_threads(job, [(number,) for number in range(1000)], threads)
        assert len(done) < 100
    # and the threads are still good for something
    test_two_jobs_run_at_the_same_time()


def test_an_error_of_another_thread_comes_out():
    met = threading.Barrier(2, timeout=20)
    me = threading.get_ident()

    def job(number):
        met.wait()
        if threading.get_ident() != me:
            raise ValueError('elsewhere')

    with pytest.raises(ValueError, match='elsewhere'):
        in_threads(job, [(0,), (1,)], 2)


@pytest.mark.parametrize('cores', [1, 2, 3, 100])
@pytest.mark.parametrize('n_rows', [1, 2, 7, 1000])
def test_parts_of_an_image_are_all_its_rows(monkeypatch, cores, n_rows):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(cores)), raising=False)
    parts = []
    for_rows(parts.append, (n_rows, LARGE))
    parts.sort(key=lambda part: part.start)
    rows = [row for part in parts for row in range(n_rows)[part]]
    assert rows == list(range(n_rows))
    assert len(parts) <= min(cores, 8)


@pytest.mark.parametrize('n_pixels', [100, LARGE, 10 * _threads._AT_ONCE])
def test_what_is_made_at_once_keeps_its_order(n_pixels):
    assert at_once(lambda number: -number, range(9), n_pixels) == [-k for k in range(9)]


def test_what_has_no_threads_is_done_alone(monkeypatch):
    def refused(*args, **options):
        raise RuntimeError('cannot schedule new futures after shutdown')

    _threads._helpers.cache_clear()
    monkeypatch.setattr(_threads.ThreadPoolExecutor, 'submit', refused)
    test_every_job_is_done_once()
    monkeypatch.undo()
    test_two_jobs_run_at_the_same_time()


LATE = """
import os, threading
os.sched_getaffinity = lambda _: {0, 1}
from clustercnn.finding._threads import for_rows
parts = []
for_rows(parts.append, (2, 2**20))
def late():
    threading.main_thread().join()
    for_rows(parts.append, (2, 2**20))
    print(len(parts))
threading.Thread(target=late).start()
"""


def test_the_end_of_the_main_program_stops_nothing():
    done = subprocess.run(
        [sys.executable, '-c', LATE], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.stderr) == ('4\n', '')


def _child(queue):
    done = []
    in_threads(done.append, [(number,) for number in range(20)], 3)
    queue.put(sorted(done))


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='this platform cannot fork processes')
@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning', 'ignore:.*fork.*:RuntimeWarning')
def test_a_forked_process_has_threads_of_its_own():
    in_threads(lambda number: None, [(number,) for number in range(20)], 3)
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    process = context.Process(target=_child, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == list(range(20))
    process.join(60)
    assert process.exitcode == 0
