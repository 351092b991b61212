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
    path = _RESULTS / 'kosiba2020.json'
    if not path.exists():
        plt.figure(figsize=(5, 0.6)).text(0.5, 0.5, 'not run for this version yet', ha='center')
        return
    figure = FIGURES[name](json.loads(path.read_text(encoding='utf-8')))
    # pyplot does not know figures that it has not made
    manager = plt.figure(figsize=figure.get_size_inches()).canvas.manager
    manager.canvas.figure = figure
    figure.set_canvas(manager.canvas)
