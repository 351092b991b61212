# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Processes that end with the one that started them.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from clustercnn._utils.processes import process_pool

PROGRAM = """
import os, time
from clustercnn._utils.processes import process_pool

if __name__ == '__main__':
    with process_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    # one that is dead and not yet collected by anybody counts as dead
    with open(f'/proc/{number}/stat', encoding='utf-8') as stat:
        return stat.read().rsplit(')', 1)[1].split()[0] != 'Z'


def test_results_and_errors_come_back():
    with process_pool(2, initializer=os.putenv, arguments=('A_VARIABLE', 'x')) as pool:
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
        with pytest.raises(TypeError):
            pool.submit(abs, 'x').result()


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_they_end_with_a_parent_that_is_killed(tmp_path):
    path = tmp_path / 'program.py'
    path.write_text(PROGRAM)
    parent = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    assert is_alive(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(worker)


INTERRUPTED = """
import os, signal, sys, time
# whoever runs the tests in the background of a shell has them ignore it
signal.signal(signal.SIGINT, signal.SIG_IGN if 'ignore' in sys.argv else signal.default_int_handler)
from clustercnn._utils.processes import process_pool

if __name__ == '__main__':
    pool = process_pool(2)
    try:
        # both have started; one has nothing to do when it is interrupted, the other has
        seen = set()
        while len(seen) < 2:
            seen.update(job.result() for job in [pool.submit(os.getpid) for _ in range(8)])
        job = pool.submit(time.sleep, 3 if 'ignore' in sys.argv else 60)
        print('started', flush=True)
        job.result()
        print('went on')
    except KeyboardInterrupt:
        print('interrupted')
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='signals a group of processes')
@pytest.mark.parametrize(('argument', 'said'), [('hear', 'interrupted'), ('ignore', 'went on')])
def test_an_interrupt_ends_them_without_a_traceback(argument, said, tmp_path):
    path = tmp_path / 'program.py'
    path.write_text(INTERRUPTED)
    parent = subprocess.Popen(
        [sys.executable, str(path), argument],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # as a terminal does it: all of them get the signal
        start_new_session=True,
    )
    assert parent.stdout.readline() == 'started\n'
    # the work reaches the process
    time.sleep(0.5)
    os.killpg(parent.pid, signal.SIGINT)
    output, errors = parent.communicate(timeout=40)
    assert (output, errors, parent.returncode) == (f'{said}\n', '', 0)
