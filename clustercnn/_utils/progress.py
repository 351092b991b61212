# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Progress bars: shown to a person at a terminal, silent in a log.
"""

import sys

__all__ = ['progress']


def progress(iterable=None, *, total=None, label='', quiet=None, unit='it'):
    """
    Wrap an iterable in a progress bar with the time left.

    Parameters
    ----------
    iterable : iterable, optional
        What to go through; ``None`` for a bar that is moved by hand.
    total : int, optional
        Number of steps, where the iterable has no length.
    label : str, optional
        What is being done.
    quiet : bool, optional
        True: no bar; False: a bar; None: a bar if standard error is a terminal.
    unit : str, optional
        What is counted.

    Returns
    -------
    bar : `~tqdm.tqdm`
        Iterable, with ``update``, ``set_postfix_str`` and ``close``.
    """
    from tqdm.auto import tqdm

    if quiet is None:
        quiet = not sys.stderr.isatty()
    return tqdm(iterable, total=total, desc=label, disable=quiet, unit=unit, dynamic_ncols=True)
