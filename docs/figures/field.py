# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A simulated XMM-Newton field and its plate, with what was found.
"""

import matplotlib.pyplot as plt
import numpy as np
from _field import demo_field, stretched

field, catalog, _ = demo_field()
figure = plt.figure(figsize=(10, 5.0))
left = figure.add_subplot(121, projection=field.xray.wcs)
left.imshow(stretched(field.xray.counts), origin='lower', cmap='inferno')
likely = np.asarray(catalog['p_cluster']) > 0.5
x, y = catalog['x'].value, catalog['y'].value
left.scatter(x, y, s=60, facecolors='none', edgecolors='#9fd0ff', linewidths=0.7, label='found')
left.scatter(
    x[likely],
    y[likely],
    s=260,
    facecolors='none',
    edgecolors='#7CFC7C',
    linewidths=1.6,
    label='p_cluster > 0.5',
)
left.legend(loc='lower right', facecolor='black', labelcolor='white', framealpha=0.9)
left.set_title('simulated X-ray counts')

right = figure.add_subplot(122, projection=field.optical.wcs)
data = np.ma.filled(np.ma.array(field.optical.data, mask=field.optical.mask), np.nan)
low, high = np.nanpercentile(data, [5, 99.5])
right.imshow(data, origin='lower', cmap='gray_r', vmin=low, vmax=high)
where = field.optical.wcs.world_to_pixel(catalog.positions[likely])
right.scatter(*where, s=260, facecolors='none', edgecolors='#1a8f1a', linewidths=1.6)
right.set_title('simulated plate')
for axes in (left, right):
    axes.coords[0].set_axislabel('right ascension')
    axes.coords[1].set_axislabel('declination' if axes is left else ' ')
    axes.coords[0].set_major_formatter('hh:mm')
    axes.coords[1].set_major_formatter('dd:mm')
figure.tight_layout()
