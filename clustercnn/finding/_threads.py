# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Parts of an image worked on at the same time by threads that stay.
"""

import functools
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

__all__ = ['at_once', 'for_rows', 'in_threads', 'n_threads']

# from so many pixels on there is a thread a core, and not more than these
_THREADED, _MOST_THREADS = 2**17, 8
# up to so many, several things may be made of an image at once: planes of a mosaic are large
_AT_ONCE = 2**22


@functools.cache
def _helpers(n):
    """
    Return threads beside the one that asks; to start them takes as long as a small image does.
    """
    return ThreadPoolExecutor(n, thread_name_prefix='clustercnn')


if hasattr(os, 'register_at_fork'):
    # of a forked process the threads are not there
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def n_threads(n_pixels):
    """
    Return how many threads to use for an image.

    Parameters
    ----------
    n_pixels : int
        Of the image.

    Returns
    -------
    n : int
        1 for a small one, else a thread a core, and not more than eight.
    """
    if n_pixels < _THREADED:
        return 1
    affinity = getattr(os, 'sched_getaffinity', None)
    n_cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(n_cores, _MOST_THREADS)


def in_threads(function, jobs, threads):
    """
    Call a function with the arguments of each job.

    The thread that asks works, too: where all others are busy it does everything itself, so that
    a job may ask in turn.

    Parameters
    ----------
    function : callable
        Should release the interpreter's lock.
    jobs : sequence of tuple
        Arguments, of one call each.
    threads : int
        How many threads work at most.
    """
    waiting = deque(jobs)

    def work():
        try:
            while waiting:
                try:
                    job = waiting.popleft()
                except IndexError:
                    # another thread was faster
                    return
                function(*job)
        finally:
            # after an error nothing more is begun
            waiting.clear()

    others = []
    try:
        try:
            while len(others) < min(threads, len(jobs)) - 1:
                others.append(_helpers(threads - 1).submit(work))
        except RuntimeError:
            # no thread is to be had, as while the interpreter ends; nor may what was asked for stay
            _helpers.cache_clear()
        work()
    finally:
        waiting.clear()
        for other in others:
            if not other.cancel():
                other.exception()
    for other in others:
        if not other.cancelled():
            other.result()


def for_rows(function, shape):
    """
    Call a function for parts of an image that share no row, on all cores.

    Parameters
    ----------
    function : callable
        Takes a slice of rows; should release the interpreter's lock.
    shape : 2-tuple of int
        Of the image.
    """
    ny, nx = shape
    threads = n_threads(ny * nx)
    size = max(-(-ny // threads), 1)
    parts = [(slice(start, min(start + size, ny)),) for start in range(0, ny, size)]
    in_threads(function, parts, threads)


def at_once(function, things, n_pixels):
    """
    Return what a function makes of each thing, several at a time if the image is not large.

    Parameters
    ----------
    function : callable
        Takes a thing; may share its own work among the threads, which helps where the image is
        large or few things are left.
    things : sequence
        Of which those that take longest come first.
    n_pixels : int
        Of the image.

    Returns
    -------
    made : list
        In the order of the things.
    """
    made = [None] * len(things)

    def make(number):
        made[number] = function(things[number])

    threads = n_threads(n_pixels) if n_pixels <= _AT_ONCE else 1
    in_threads(make, [(number,) for number in range(len(things))], threads)
    return made
