# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Photons lost to pile-up against the count rate, simulated and by the formula.
"""

import matplotlib.pyplot as plt
from _realism import bar, results

COLOURS = {
    'pn': '#1f3b6f',
    'mos1': '#4c8c4a',
    'acis-i': '#c8372d',
    'tm0': '#9a7d2e',
    'fxta': '#7b4b94',
}
NAMES = {'tm0': 'eROSITA, seven telescopes', 'fxta': 'Einstein Probe FXT A'}

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True, sharey=True)
for camera, entry in results('structure')['pile-up'].items():
    rows, colour = entry['rows'], COLOURS[camera]
    rates = [row['rate'] for row in rows]
    for panel, part in zip(axes, ('all', 'core'), strict=True):
        label = NAMES.get(camera, camera)
        bar(panel, rates, [row[part] for row in rows], colour=colour, label=label)
    axes[0].plot(rates, [row['formula'] for row in rows], color=colour, lw=1, ls='--')
    if entry['limit']:
        axes[0].axvline(entry['limit'], color=colour, lw=0.8, ls=':')
axes[0].set(xscale='log', ylabel='share of the photons lost', title='simulated: all photons')
axes[1].set_title('simulated: inside the FWHM')
for panel in axes:
    panel.set_xlabel('counts a second')
    panel.grid(alpha=0.25)
axes[0].legend(fontsize=7, loc='upper left')
figure.tight_layout()
