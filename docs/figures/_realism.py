# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What ``validation/simulator`` measured, for the figures.
"""

import json
from pathlib import Path

REAL, SIMULATED = '#1f3b6f', '#c8372d'
_RESULTS = Path(__file__).resolve().parents[2] / 'validation' / 'simulator' / 'results'


def results(name):
    """
    Return the contents of a file of results.

    Parameters
    ----------
    name : str
        Without the ending.

    Returns
    -------
    results : dict
        As measured.
    """
    return json.loads((_RESULTS / f'{name}.json').read_text(encoding='utf-8'))


def bar(panel, x, values, *, colour, label=None, marker='o'):
    """
    Draw values with their intervals.

    Parameters
    ----------
    panel : `~matplotlib.axes.Axes`
        Where.
    x : sequence of float
        Places.
    values : sequence of list of float
        Middle, lower and upper end of each.
    colour, label, marker : str
        Looks.
    """
    middle, low, high = zip(*values, strict=True)
    below = [max(m - v, 0) for m, v in zip(middle, low, strict=True)]
    above = [max(v - m, 0) for m, v in zip(middle, high, strict=True)]
    panel.errorbar(
        x,
        middle,
        [below, above],
        fmt=marker,
        ms=5,
        capsize=3,
        lw=1.4,
        color=colour,
        label=label,
    )
