# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A simulated field of each of four missions.
"""

import matplotlib.pyplot as plt
from _field import stretched

from clustercnn.simulate import simulate_field

MISSIONS = ('xmm', 'chandra', 'erosita', 'rosat')

figure, axes = plt.subplots(1, len(MISSIONS), figsize=(10, 2.9))
for panel, name in zip(axes, MISSIONS, strict=True):
    image = simulate_field(seed=7, mission=name).xray
    panel.imshow(stretched(image.counts), origin='lower', cmap='inferno')
    width = image.shape[1] * image.pixel_scale.to_value('arcmin')
    panel.set_title(f"{name}, {width:.0f}' wide", fontsize=10)
    panel.set_xticks([])
    panel.set_yticks([])
figure.tight_layout(pad=0.4)
