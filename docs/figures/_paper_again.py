# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What ``clustercnn experiment kosiba2020`` found, for the figures.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt

from clustercnn.experiments.figures import FIGURES

_RESULTS = Path(__file__).resolve().parents[2] / 'validation' / 'experiment' / 'results'


def show(name):
    """
    Draw a figure where pyplot finds it.

    Parameters
    ----------
    name : str
        Its name.
    """
    results = json.loads((_RESULTS / 'kosiba2020.json').read_text(encoding='utf-8'))
    figure = FIGURES[name](results)
    width, height = figure.get_size_inches()
    manager = plt.figure(figsize=(width, height)).canvas.manager
    manager.canvas.figure = figure
    figure.set_canvas(manager.canvas)
