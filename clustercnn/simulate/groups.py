# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Nearby groups of galaxies, so near that their gas shows how it moves, and the uneven
gas of nearby galaxies.
"""

import numpy as np

from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate import _pictures as pictures
from clustercnn.simulate._photons import BETA, PICTURE, POINT
from clustercnn.simulate._sources import CLASS_NAMES
from clustercnn.simulate.clusters import mass_from_luminosity, radius_500, richness_from_mass
from clustercnn.simulate.populations import optical_magnitude

__all__ = ['draw_groups', 'roughen_galaxies']

_REDSHIFTS = (0.004, 0.03)
_LUMINOSITIES = (2e41, 3e43)
_MOST_COUNTS = 3e5


def draw_groups(sources, *, field_side, counts_per_flux, config, rng, target=False):
    """
    Add groups of galaxies below the redshifts of `clustercnn.simulate.clusters`.

    Redshifts of 0.004 to 0.03, evenly in volume; luminosities of 2e41 to 3e43 erg/s, evenly in
    the logarithm; core radii of 0.02 to 0.12 r500 and slopes of 0.4 to 0.6, as of the groups
    of Osmond & Ponman (2004, MNRAS 350, 1511). The gas is uneven
    (`clustercnn.simulate._pictures.uneven_gas`); some members are galaxies with gas of their own,
    some groups have a nucleus. All photons fall inside the smaller of r500 and 0.7 field sides.
    Flux, luminosity and mass of the truth belong together. Of a group too bright for the memory
    300,000 counts are drawn, which is what its ``n_expected`` says, and so much fainter are its
    members and its nucleus, in their fluxes too.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    field_side : float
        Side of the field in arcsec.
    counts_per_flux : float
        On-axis counts of the exposure for 1 erg/s/cm2.
    config : `~clustercnn.simulate.SimulationConfig`
        Mean number of groups in a field of 0.25 deg2.
    rng : `~numpy.random.Generator`
        Source of the draws.
    target : bool, optional
        Add one near the axis instead.
    """
    area = (field_side / 3600) ** 2
    for _ in range(1 if target else rng.poisson(config.group_rate * area / 0.25)):
        low, high = _REDSHIFTS
        redshift = float(np.cbrt(rng.uniform(low**3, high**3)))
        luminosity = float(np.exp(rng.uniform(*np.log(_LUMINOSITIES))))
        distance = float(cosmology.luminosity_distance(redshift)) * 3.0857e24
        flux = luminosity / (4 * np.pi * distance**2)
        # of so many photons, at most, that one field does not fill the memory; the flux stays, as
        # the mass and the galaxies that follow from the luminosity do
        drawn = min(flux, _MOST_COUNTS / counts_per_flux)
        mass = float(mass_from_luminosity(luminosity, redshift))
        outer = float(cosmology.angular_size(radius_500(mass, redshift), redshift))
        half_side = min(outer, 0.7 * field_side)
        core = outer * 10 ** rng.uniform(-1.7, -0.9)
        axis_ratio, angle = rng.uniform(0.6, 1.0), rng.uniform(0, 2 * np.pi)
        x, y = rng.uniform(-0.5, 0.5, 2) * (180.0 if target else field_side)
        counts = drawn * counts_per_flux
        number = sources.add(
            'cluster',
            'group',
            x=x,
            y=y,
            flux=flux,
            n_expected=counts,
            core_radius=core,
            axis_ratio=axis_ratio,
            angle=angle,
            redshift=redshift,
            luminosity=luminosity,
            mass=mass,
            radius_500=outer,
            richness=float(richness_from_mass(mass, redshift)) * np.exp(0.25 * rng.normal()),
        )[0]
        picture = pictures.uneven_gas(
            core=float(np.clip(core / half_side, 0.01, 0.4)),
            beta=rng.uniform(0.4, 0.6),
            axis_ratio=axis_ratio,
            unevenness=rng.uniform(0.3, 1.5),
            rng=rng,
        )
        sources.add_pictured(
            number, PICTURE, (x, y), counts, picture, half_side=half_side, angle=angle
        )
        _add_members(sources, number, (x, y), redshift, drawn, outer, counts_per_flux, rng)


def _add_members(sources, parent, place, redshift, flux, outer, counts_per_flux, rng):
    """
    Add galaxies with gas, and in a third of the groups a nucleus, to a group.
    """
    if rng.random() < 0.35:
        own = flux * 10 ** rng.uniform(-2.5, -0.7)
        number = sources.add(
            'point',
            'agn',
            x=place[0],
            y=place[1],
            parent=parent,
            flux=own,
            n_expected=own * counts_per_flux,
            redshift=redshift,
        )
        sources.add_components(number, POINT, *place, own * counts_per_flux)
    for _ in range(rng.poisson(1.5)):
        x, y = np.asarray(place) + 0.25 * outer * rng.standard_normal(2)
        own = flux * 10 ** rng.uniform(-2.7, -0.9)
        magnitude = float(np.clip(optical_magnitude(own, rng.normal(-2.3, 0.45)), 8.5, 17.0))
        size = 30 * 10 ** (0.2 * (12.5 - magnitude) + 0.34)
        axis_ratio, angle = rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
        number = sources.add(
            'galaxy',
            'galaxy',
            x=x,
            y=y,
            parent=parent,
            flux=own,
            n_expected=own * counts_per_flux,
            core_radius=0.08 * size,
            axis_ratio=axis_ratio,
            angle=angle,
            redshift=redshift,
            magnitude=magnitude,
            size=size,
            flavour=1,
        )
        shape = {'a': 0.08 * size, 'b': 0.55, 'c': size, 'axis_ratio': axis_ratio, 'angle': angle}
        sources.add_components(number, BETA, x, y, own * counts_per_flux, **shape)


def roughen_galaxies(sources, *, config, rng):
    """
    Give the gas of some nearby galaxies an uneven shape.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place: its `BETA` components of galaxies get a picture.
    config : `~clustercnn.simulate.SimulationConfig`
        Share of the galaxies.
    rng : `~numpy.random.Generator`
        Source of the draws.
    """
    galaxies = np.flatnonzero(sources.sources()['class'] == CLASS_NAMES.index('galaxy')) + 1
    if len(galaxies) == 0:
        return

    def shape(component):
        # each galaxy takes its draw, so that the share alone decides how many are uneven
        if rng.random() >= config.uneven_gas_share:
            return 0
        picture = pictures.uneven_gas(
            core=float(np.clip(component['a'] / component['c'], 0.01, 0.4)),
            beta=float(component['b']),
            axis_ratio=float(component['axis_ratio']),
            unevenness=rng.uniform(0.3, 1.5),
            rng=rng,
        )
        return sources.add_picture(picture)

    sources.reshape(galaxies, BETA, shape)
