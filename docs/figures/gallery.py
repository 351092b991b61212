# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated candidates of each class as the classifier sees them: X-rays above, the plate below.
"""

import functools

import matplotlib.pyplot as plt
import numpy as np
from _field import stretched

from clustercnn import CutoutMaker, WaveletFinder
from clustercnn.simulate import SimulationConfig, simulate_field

CLASSES = ('cluster', 'point', 'galaxy', 'other')
COLUMNS, PAIRS = 8, 5
# fields of each target, so that rare classes are there; fixed seeds, nothing is picked by hand
TARGETS = ('cluster', 'galaxy', 'shell', 'point', 'galaxy', 'shell', 'none', 'galaxy')


@functools.cache
def candidates():
    """
    Return cutouts by class: the first ones that the finder found, with their sub-class.
    """
    found = {name: [] for name in CLASSES}
    wanted = COLUMNS * PAIRS
    for seed in range(400):
        if all(len(rows) >= wanted for rows in found.values()):
            break
        config = SimulationConfig(
            target=TARGETS[seed % len(TARGETS)], galaxy_rate=6.0, shell_rate=1.5, artefact_rate=3.0
        )
        field = simulate_field(seed=2600 + seed, config=config)
        catalog = WaveletFinder()(field.xray)
        matches = field.match(catalog)
        # no more than eight a field, so that one field does not fill a page
        keep = []
        for name in CLASSES:
            rows = np.flatnonzero(matches['class'] == name)
            keep += list(rows[: min(8, wanted - len(found[name]))])
        if not keep:
            continue
        stack = CutoutMaker()(field.images, catalog[np.sort(keep)], progress=False)
        names = {row['id']: (row['class'], row['subclass']) for row in matches}
        for number, identifier in enumerate(stack.ids):
            name, subclass = names[identifier]
            found[name].append((stack['xray'][number], stack['optical'][number], subclass))
    return found


def plate(cutout):
    """
    Return a cutout of a plate as grey levels, dark stars on a bright sky.
    """
    good = cutout[cutout > 0]
    if not len(good):
        return np.ones_like(cutout)
    sky, spread = np.median(good), 1.48 * np.median(np.abs(good - np.median(good)))
    return -np.arcsinh(np.clip((cutout - sky) / max(spread, 1e-6), -2, 60) / 3)


def draw(name):
    """
    Draw 5 rows of 8 pairs of one class.

    Parameters
    ----------
    name : str
        One of the classes.
    """
    figure, axes = plt.subplots(
        2 * PAIRS,
        COLUMNS,
        figsize=(9, 2 * PAIRS * 1.16),
        gridspec_kw={'wspace': 0.03, 'hspace': 0.03},
    )
    for panel in axes.flat:
        panel.set_axis_off()
    for number, (xray, optical, subclass) in enumerate(candidates()[name][: COLUMNS * PAIRS]):
        row, column = divmod(number, COLUMNS)
        above, below = axes[2 * row, column], axes[2 * row + 1, column]
        above.imshow(stretched(xray), origin='lower', cmap='inferno')
        below.imshow(plate(optical), origin='lower', cmap='gray')
        above.text(0.04, 0.86, subclass, color='white', fontsize=6.5, transform=above.transAxes)
    figure.subplots_adjust(0, 0, 1, 0.975)
    figure.suptitle(f'simulated: {name}', fontsize=10, y=0.995)
