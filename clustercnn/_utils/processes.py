# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Processes that share the work of one.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time

__all__ = ['process_pool']


def process_pool(n_workers, *, initializer=None, arguments=()):
    """
    Return processes that end with this one, even if it is killed.

    Parameters
    ----------
    n_workers : int
        How many.
    initializer : callable, optional
        What each calls first.
    arguments : tuple, optional
        Of the initializer.

    Returns
    -------
    pool : `~concurrent.futures.ProcessPoolExecutor`
        They start afresh and import what they need.
    """
    return concurrent.futures.ProcessPoolExecutor(
        n_workers,
        # fork would deadlock once jax has started its threads
        mp_context=multiprocessing.get_context('spawn'),
        initializer=_begin,
        initargs=(initializer, arguments),
    )


def _begin(initializer, arguments):
    # those of the library wait for ever where the one that gave them work was killed
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # an interrupt is told by the one that gave the work, not with a traceback of each that waits;
    # what runs in the background of a shell is not to hear of any
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end_quietly)
    if initializer is not None:
        initializer(*arguments)


def _end_quietly(number, frame):
    # the other one shall hear of the interrupt before it hears that a process is gone
    time.sleep(1)
    os._exit(128 + number)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
