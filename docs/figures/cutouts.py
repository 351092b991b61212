# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The first candidates of the ranking in both bands.
"""

import matplotlib.pyplot as plt
import numpy as np
from _field import demo_field, stretched

N_SHOWN = 6

_, catalog, stack = demo_field()
figure, axes = plt.subplots(2, N_SHOWN, figsize=(10, 3.9))
for row in range(N_SHOWN):
    xray = stack['xray'][row]
    optical = np.where(stack.band('optical').mask[row], np.nan, stack['optical'][row])
    axes[0, row].imshow(stretched(xray, width=1.2), origin='lower', cmap='inferno')
    low, high = np.nanpercentile(optical, [5, 99.5])
    axes[1, row].imshow(optical, origin='lower', cmap='gray_r', vmin=low, vmax=high)
    axes[0, row].set_title(f'{row + 1}: p_cluster {catalog["p_cluster"][row]:.2f}', fontsize=9)
    for panel in axes[:, row]:
        panel.set_xticks([])
        panel.set_yticks([])
axes[0, 0].set_ylabel('xray')
axes[1, 0].set_ylabel('optical')
figure.tight_layout(pad=0.4)
