# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Clusters of eFEDS by flux and redshift, and those simulated on as much sky.
"""

import matplotlib.pyplot as plt
import numpy as np
from _realism import REAL, SIMULATED, bar, results

rows = results('sky')['cluster counts']
redshifts = sorted({tuple(row['redshift']) for row in rows})
figure, axes = plt.subplots(1, len(redshifts), figsize=(9, 3.2), sharey=True)
for panel, (low, high) in zip(axes, redshifts, strict=True):
    own = [row for row in rows if tuple(row['redshift']) == (low, high)]
    place = np.arange(len(own))
    bar(panel, place, [row['real'] for row in own], colour=REAL, label='real (eFEDS)')
    panel.plot(place, [row['simulated'] for row in own], 's', color=SIMULATED, label='simulated')
    panel.set_yscale('symlog', linthresh=1)
    labels = [f'{row["flux"][0]:.0e}'.replace('e-', '$\\cdot10^{-') + '}$' for row in own]
    panel.set_xticks(place, labels, fontsize=8)
    panel.set_title(f'redshift {low:g}-{high:g}', fontsize=10)
    panel.set_xlabel('flux from [erg/s/cm2]')
    panel.grid(alpha=0.25)
axes[0].set_ylabel('clusters on 140 deg2')
axes[0].legend(fontsize=8)
figure.tight_layout()
