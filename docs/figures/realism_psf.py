# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Ellipses that hold 60 and 80 % of the photons of EPIC, calibrated and simulated.
"""

import matplotlib.pyplot as plt
from _realism import SIMULATED, bar, results

COLOURS = {'pn': '#1f3b6f', 'mos1': '#4c8c4a', 'mos2': '#9a7d2e'}

rows = results('xray')['encircled energy']
LABELS = {
    '60%': 'semi-major axis of 60 % [arcsec]',
    '80%': 'semi-major axis of 80 % [arcsec]',
    'axis ratio': 'axis ratio of 60 %',
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharex=True)
for panel, (share, label) in zip(axes, LABELS.items(), strict=True):
    for number, (camera, colour) in enumerate(COLOURS.items()):
        own = [row for row in rows if row['camera'] == camera]
        angle = [sum(row['off_axis']) / 2 + 0.25 * (number - 1) for row in own]
        bar(
            panel,
            angle,
            [row[share]['real'] for row in own],
            colour=colour,
            label=f'real, {camera}',
        )
    ours = [row for row in rows if row['camera'] == 'pn']
    panel.plot(
        [sum(row['off_axis']) / 2 for row in ours],
        [row[share]['simulated'] for row in ours],
        's--',
        color=SIMULATED,
        label='simulated',
    )
    panel.set(xlabel='off axis [arcmin]', ylabel=label, ylim=(0, None))
    panel.grid(alpha=0.25)
axes[0].legend(fontsize=8)
figure.tight_layout()
