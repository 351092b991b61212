# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A simulated cluster at three redshifts as two surveys see it, in colour.
"""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from astropy.visualization import make_lupton_rgb

from clustercnn.simulate import SimulationConfig
from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate._multiband import ZERO_POINT, noise_of, simulate_optical_bands
from clustercnn.simulate._sources import SourceList
from clustercnn.simulate.clusters import radius_500, richness_from_mass

MASS, SIDE = 5e14, 150.0
# title, survey, pixel in arcsec, and the surface brightness that is grey, in units of the noise
SURVEYS = (('SDSS', 'sdss', 0.396, 14.0), ('LSST, ten years', 'lsst', 0.2, 25.0))
REDSHIFTS = (0.2, 0.5, 0.9)


def images(redshift, survey, pixel):
    """
    Return the images of a cluster in the middle of a field.
    """
    listed = SourceList()
    listed.add(
        'cluster',
        'low-z',
        redshift=redshift,
        mass=MASS,
        radius_500=float(cosmology.angular_size(radius_500(MASS, redshift), redshift)),
        richness=float(richness_from_mass(MASS, redshift)),
        axis_ratio=0.8,
        angle=0.5,
    )
    config = SimulationConfig(
        optical='ccd',
        optical_bands=survey,
        optical_pixel_scale=pixel * u.arcsec,
        optical_size=SIDE * u.arcsec,
    )
    drawn = simulate_optical_bands(
        listed.sources(),
        config=config,
        position=(150.0, 2.0),
        field=30.0,
        latitude=60.0,
        rng=np.random.default_rng(6),
        colours=np.random.default_rng(7),
    )
    return drawn, next(band for band in config.optical_bands if band.name == 'r')


figure, axes = plt.subplots(2, 3, figsize=(10, 7.1))
for line, (title, survey, pixel, grey) in zip(axes, SURVEYS, strict=True):
    for panel, redshift in zip(line, REDSHIFTS, strict=True):
        drawn, band = images(redshift, survey, pixel)
        noise = noise_of(band, pixel)[1] * 10 ** (0.4 * (ZERO_POINT - band.sky_brightness))
        green, red, infrared = (drawn[name].data / pixel**2 for name in 'gri')
        picture = make_lupton_rgb(
            0.7 * infrared, red, 1.4 * green, minimum=-2 * noise, stretch=grey * noise, Q=8
        )
        panel.imshow(picture, origin='lower')
        panel.set_title(f'simulated: {title}, redshift {redshift:g}', fontsize=10)
        panel.set_axis_off()
figure.tight_layout(pad=0.4, h_pad=1.4)
