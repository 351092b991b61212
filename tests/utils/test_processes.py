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


def test_results_and_errors_come_back():
    with process_pool(2, initializer=os.putenv, arguments=('A_VARIABLE', 'x')) as pool:
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
        with pytest.raises(TypeError):
            pool.submit(abs, 'x').result()


def test_they_end_with_a_parent_that_is_killed(tmp_path):
    path = tmp_path / 'program.py'
    path.write_text(PROGRAM)
    parent = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True)
    assert int(parent.stdout.readline()) != parent.pid
    parent.kill()
    # the stream ends when the last process that holds it has ended
    assert parent.communicate(timeout=20) == ('', None)


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


@pytest.mark.skipif(
    not hasattr(os, 'killpg'), reason='groups of processes cannot be signalled here (no os.killpg)'
)
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
