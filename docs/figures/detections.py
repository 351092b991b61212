# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the wavelet finder measures on a simulated field, by what the sources are.
"""

import matplotlib.pyplot as plt
import numpy as np
from _field import demo_field

COLOURS = {'cluster': '#c8372d', 'point': '#2b6cb0', 'galaxy': '#2f855a', 'other': '#6b7280'}
MARKERS = {'cluster': 'o', 'point': '.', 'galaxy': 's', 'other': 'x'}

field, catalog, _ = demo_field()
truth = np.array([str(name) for name in field.match(catalog)['class']])
counts = catalog['counts'].value
likelihood = np.nan_to_num(np.asarray(catalog['ext_like']))
figure, axes = plt.subplots(figsize=(6.5, 3.9))
for name, colour in COLOURS.items():
    rows = truth == name
    axes.scatter(
        counts[rows],
        np.maximum(likelihood[rows], 0.05),
        color=colour,
        marker=MARKERS[name],
        s=36,
        label=f'{name} ({rows.sum()})',
    )
axes.set(xscale='log', yscale='log', xlabel='counts', ylabel='ext_like (0.05 stands for 0)')
axes.grid(alpha=0.25)
axes.legend(title='simulated truth')
figure.tight_layout()
