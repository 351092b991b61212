# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
One simulated example each of what is rare or hard in X-ray images.
"""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from _field import stretched

from clustercnn.simulate import SimulationConfig, simulate_field

# Galactic latitude of about 1 deg
PLANE = (278.4, -10.6)
# title, mission, half width of the piece in arcmin, counts that it has to show, settings
PANELS = (
    (
        'pile-up',
        'chandra',
        0.25,
        3000,
        {'target': 'point', 'bright_point_share': 1.0, 'pixel_scale': 0.984 * u.arcsec},
    ),
    ('optical loading', 'xmm', 2.0, 300, {'target': 'none', 'optical_filter': 'thin'}),
    ('group', 'chandra', 8.0, 30_000, {'target': 'group'}),
    ('diffuse', 'rosat', 58.0, 10_000, {'target': 'diffuse', 'position': PLANE}),
    ('plerion', 'chandra', 3.0, 3000, {'target': 'plerion', 'position': PLANE}),
    (
        'dark cloud',
        'erosita',
        16.0,
        0,
        {'target': 'none', 'position': PLANE, 'cloud_rate': 3.0, 'diffuse_rate': 0.0},
    ),
)
SUBCLASSES = {'pile-up': ('agn', 'star')}
FIRST_SEED, LAST_SEED = 50, 80


def example(title, mission, half_width, n_counts, settings):
    """
    Return the counts about the first source of its kind that is bright enough; none is picked.
    """
    config = SimulationConfig(optical=None, exposure=40 * u.ks, **settings)
    for seed in range(FIRST_SEED, LAST_SEED):
        field = simulate_field(seed=seed, mission=mission, config=config)
        rows = field.truth[np.isin(field.truth['subclass'], SUBCLASSES.get(title, (title,)))]
        if title == 'pile-up':
            rows = rows[rows['n_lost'] > 2 * rows['n_counts']]
        rows = rows[rows['n_counts'] >= n_counts]
        if len(rows):
            break
    counts = field.xray.counts
    half = round(half_width * 60 / field.xray.pixel_scale.value)
    if 2 * half > 0.8 * counts.shape[1]:
        return counts
    x, y = round(float(rows['x'][0])), round(float(rows['y'][0]))
    return counts[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]


figure, axes = plt.subplots(2, 3, figsize=(9, 6.6))
for panel, settings in zip(axes.flat, PANELS, strict=True):
    title, mission, half_width = settings[:3]
    counts = example(*settings)
    shown = (
        np.log10(counts + 1)
        if half_width < 3
        else stretched(counts, width=1.2 if half_width < 10 else 2)
    )
    panel.imshow(shown, origin='lower', cmap='inferno')
    panel.set_title(f'simulated: {title}, {mission}', fontsize=10)
    panel.set_xticks([])
    panel.set_yticks([])
figure.tight_layout(pad=0.6)
