# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What becomes of sources that touch or lie upon each other: one simulated image a rule.
"""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from _field import stretched
from scipy import signal

from clustercnn import WaveletFinder, XrayImage
from clustercnn.testing import tiny_wcs

SIZE, PIXEL, FWHM = 121, 4.0, 8.0  # pixels, arcsec, arcsec
MIDDLE = (SIZE - 1) / 2
BACKGROUND = 0.1  # counts a pixel
EXTENDED, POINT = '#c8372d', '#2b6cb0'
# what was put in: x and y in arcsec from the middle, counts, core radius in arcsec (0: a point)
CASES = {
    'a point source upon a cluster': [(0, 0, 1500, 30), (56, 24, 150, 0)],
    'a cluster round an active nucleus': [(0, 0, 800, 32), (2, -1, 350, 0)],
    'two active nuclei': [(-8, -3, 400, 0), (8, 3, 260, 0)],
    'two clusters': [(-56, -20, 700, 20), (60, 30, 500, 26)],
    'a cluster with a bright core': [(0, 0, 3000, 60), (0, 0, 2000, 10)],
    'a cluster wider than any model': [(-40, -10, 60_000, 150), (40, 30, 3000, 60)],
}


def profile(x, y, radius):
    """
    Return (1 + (r / radius)**2)**-1.5 of sum 1 within the image, a beta model and a King profile.
    """
    rows, columns = np.indices((SIZE, SIZE))
    squared = (columns - MIDDLE - x / PIXEL) ** 2 + (rows - MIDDLE - y / PIXEL) ** 2
    plane = (1 + squared / (radius / PIXEL) ** 2) ** -1.5
    return plane / plane.sum()


def make_image(sources, *, seed=1):
    """
    Return the simulated image of sources.
    """
    # the King profile falls to a half at 0.766 core radii
    core = 0.5 * FWHM / 0.766
    psf = profile(0, 0, core)
    expected = np.full((SIZE, SIZE), BACKGROUND)
    for x, y, counts, radius in sources:
        source = profile(x, y, radius or core)
        if radius:
            source = signal.fftconvolve(source, psf, mode='same')
        expected += counts * source
    return XrayImage(
        counts=np.random.default_rng(seed).poisson(expected),
        wcs=tiny_wcs(shape=(SIZE, SIZE), pixel_scale=PIXEL),
        exposure=np.full((SIZE, SIZE), 1e4),
        psf_fwhm=FWHM * u.arcsec,
    )


def in_words(n_extended, n_points):
    """
    Return what was found in words.
    """
    parts = []
    if n_extended:
        parts.append(f'{n_extended} extended')
    if n_points:
        parts.append(f'{n_points} point' + 's' * (n_points > 1))
    return 'found: ' + ', '.join(parts)


figure, panels = plt.subplots(2, 3, figsize=(9, 6.6))
for panel, (name, sources) in zip(panels.flat, CASES.items(), strict=True):
    image = make_image(sources)
    catalog = WaveletFinder()(image)
    side = MIDDLE * PIXEL
    panel.imshow(
        stretched(image.counts),
        origin='lower',
        cmap='gray_r',
        extent=(-side, side, -side, side),
    )
    x, y = ((np.asarray(catalog[axis].value) - MIDDLE) * PIXEL for axis in ('x', 'y'))
    extent, core = catalog['extent'].value, np.nan_to_num(np.asarray(catalog['core_counts']))
    for number, radius in enumerate(extent):
        colour = EXTENDED if radius > 0 else POINT
        size = max(radius, 12)
        panel.add_patch(plt.Circle((x[number], y[number]), size, fill=False, color=colour, lw=1.8))
        if core[number] > 0:
            panel.plot(x[number], y[number], '+', color=EXTENDED, ms=11, mew=1.8)
    n_extended = int((extent > 0).sum())
    panel.set_title(f'{name}\n{in_words(n_extended, len(catalog) - n_extended)}', fontsize=10)
    half = side if 'wider' in name else 150
    panel.set(xlim=(-half, half), ylim=(-half, half), xticks=[-100, 0, 100], yticks=[-100, 0, 100])
for panel in panels[1]:
    panel.set_xlabel('arcsec')
for panel in panels[:, 0]:
    panel.set_ylabel('arcsec')
figure.tight_layout()
