# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The layers of the package, drawn from the table that the test of the imports keeps.
"""

import ast
from pathlib import Path

import matplotlib.pyplot as plt

import clustercnn

PACKAGE = Path(clustercnn.__file__).parent
ARRAYS = {'network', 'training'}
JOINS = {'classifier'}
DATA = {'exceptions', '_utils', 'core', 'io', 'testing'}
# Sphinx runs this in its own folder and without __file__
source = Path.cwd().parents[1] / 'tests' / 'test_architecture.py'
layers = next(
    ast.literal_eval(node.value)
    for node in ast.parse(source.read_text(encoding='utf-8')).body
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'LAYERS'
)
present = {path.name.removesuffix('.py') for path in PACKAGE.iterdir()}
layers = [[unit for unit in layer if unit in present] for layer in layers]
layers = [layer for layer in layers if layer]


def colour_of(unit):
    """
    Return the colour of the world that a unit lives in.
    """
    if unit in ARRAYS:
        return '#f6c8a0'
    if unit in JOINS:
        return '#d9c2ee'
    return '#cfe3c9' if unit in DATA else '#bcd7f0'


figure, axes = plt.subplots(figsize=(9, 0.56 * len(layers) + 0.7))
for number, layer in enumerate(layers):
    width = 10 / len(layer)
    for place, unit in enumerate(layer):
        axes.add_patch(
            plt.Rectangle(
                (place * width + 0.06, number + 0.1),
                width - 0.12,
                0.8,
                facecolor=colour_of(unit),
                edgecolor='#444444',
                linewidth=0.8,
            )
        )
        axes.text(
            (place + 0.5) * width, number + 0.5, unit, ha='center', va='center', family='monospace'
        )
axes.annotate(
    '',
    xy=(-0.35, 0.1),
    xytext=(-0.35, len(layers) - 0.1),
    arrowprops={'arrowstyle': '-|>', 'color': '#444444'},
)
axes.text(-0.6, len(layers) / 2, 'may import', rotation=90, ha='center', va='center')
for place, (text, colour) in enumerate(
    (
        ('data and files', '#cfe3c9'),
        ('sky: units, WCS', '#bcd7f0'),
        ('arrays under jit', '#f6c8a0'),
        ('joins the two', '#d9c2ee'),
    )
):
    axes.add_patch(plt.Rectangle((place * 2.5 + 0.06, -0.75), 0.3, 0.4, facecolor=colour))
    axes.text(place * 2.5 + 0.45, -0.55, text, va='center', fontsize=8)
axes.set(xlim=(-0.9, 10.05), ylim=(-0.9, len(layers) + 0.05))
axes.axis('off')
