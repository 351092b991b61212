# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Work that is done while its last result is used.
"""

from concurrent.futures import ThreadPoolExecutor

__all__ = ['ahead']


def ahead(function, items):
    """
    Apply a function to items, to each one while the result before it is used.

    Parameters
    ----------
    function : callable
        Takes an item; called in another thread, in the order of the items.
    items : sequence
        What it is applied to.

    Yields
    ------
    result : object
        Of each item in turn; two results exist at a time. What the function raises is raised
        where its result would come.
    """
    with ThreadPoolExecutor(1) as worker:
        coming = [worker.submit(function, item) for item in items[:1]]
        for number in range(1, len(items) + 1):
            result = coming.pop().result()
            coming = [worker.submit(function, item) for item in items[number : number + 1]]
            yield result
