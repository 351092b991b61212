# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is in the sky of one field, its photons, and the truth about them.
"""

import dataclasses

import astropy.units as u
import numpy as np
from astropy.table import QTable

from clustercnn.simulate import galactic, groups, loading, populations
from clustercnn.simulate._sources import CLASS_NAMES, SUBCLASS_NAMES, SourceList
from clustercnn.simulate._wcs import galactic_latitude
from clustercnn.simulate.clusters import draw_clusters
from clustercnn.simulate.optical import BRIGHT_STAR
from clustercnn.simulate.xray import Streams, observe, prepare_observation

__all__ = [
    'SINGLE_TARGETS',
    'FieldStreams',
    'Sky',
    'draw_sky',
    'draw_structure',
    'populate',
    'take_photons',
    'truth_table',
]

_TARGET_CHANCES = {'none': 0.45, 'cluster': 0.25, 'point': 0.15, 'galaxy': 0.11, 'shell': 0.04}
# of the fields that point at something of their own choice
_LOW_LATITUDE_TARGETS = {'diffuse': 0.15, 'plerion': 0.15}
_GROUP_TARGETS = 0.2
# how much brighter the brightest pointed point sources are, in the logarithm
_BRIGHTER = (0.5, 1.7)
_MOST_COUNTS = 3e5
# targets drawn from a generator of their own
SINGLE_TARGETS = ('group', 'diffuse', 'plerion')


class FieldStreams:
    """
    The generators of one field, each for one part, so that no part changes another.

    Parameters
    ----------
    seed : int
        Seed of the field.
    """

    def __init__(self, seed):
        first = np.random.SeedSequence([seed, 20]).spawn(6)
        self.setup, self.detector, self.sky, photons, *optical = _generators(first)
        self.plate, self.colours = optical
        # what came later has a seed sequence of its own: fields without it are as they were
        later = np.random.SeedSequence([seed, 21]).spawn(7)
        self.place, self.structure, self.gas, self.stars, *photon_streams = _generators(later)
        pictures, frames, self.haze = photon_streams
        self.xray = Streams(photons=photons, pictures=pictures, frames=frames)


def _generators(sequences):
    return [np.random.default_rng(sequence) for sequence in sequences]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sky:
    """
    A field before its photons.

    Parameters
    ----------
    position : tuple of float
        Right ascension and declination of the axis in deg.
    latitude : float
        Galactic latitude in deg.
    observation : `~clustercnn.simulate.xray.Observation`
        How it is looked at, behind its clouds.
    sources : `~clustercnn.simulate._sources.SourceList`
        What is in it.
    stars : tuple of (n,) `~numpy.ndarray`
        Offsets in arcsec and magnitudes of the bright stars.
    depth : callable or None
        Optical depth of the clouds at offsets in arcsec.
    """

    position: tuple
    latitude: float
    observation: object
    sources: object
    stars: tuple
    depth: object


def draw_sky(mission, config, streams):
    """
    Draw the position, the detector and all sources of a field.

    Parameters
    ----------
    mission : `~clustercnn.simulate.missions.Mission`
        The telescope.
    config : `~clustercnn.simulate.SimulationConfig`
        Settings.
    streams : `FieldStreams`
        Sources of the draws.

    Returns
    -------
    sky : `Sky`
        All but the photons.
    """
    position, draw = _draw_position(streams.setup, low=False), streams.setup.random()
    if streams.place.random() < config.low_latitude_share:
        position = _draw_position(streams.place, low=True)
    position = position if config.position is None else config.position
    latitude = galactic_latitude(position)
    is_low = abs(latitude) < galactic.LOW_LATITUDE
    observation = prepare_observation(mission, config, streams.detector)
    if is_low:
        factor = np.exp(streams.haze.uniform(*np.log(galactic.HAZE)))
        observation = observation.under_haze(factor)
    half_side = mission.field * 30 + 90.0
    target = _choose_target(mission, config, draw, is_low, streams.place.random())
    sources = SourceList()
    common = {'field_side': mission.field * 60, 'config': config, 'rng': streams.structure}
    structure = {
        'level': float(observation.sky_background.max()) / observation.pixel**2,
        'counts_per_flux': observation.counts_per_flux,
        **common,
    }
    if target in SINGLE_TARGETS:
        draw_structure(sources, target, target=True, **structure)
    populate(
        sources,
        target='none' if target in SINGLE_TARGETS else target,
        latitude=latitude,
        area=(2 * half_side / 3600) ** 2,
        half_side=half_side,
        # nearly all of these are beyond the Galaxy
        counts_per_flux=observation.counts_per_flux * galactic.column_transmission(latitude),
        config=config,
        rng=streams.sky,
    )
    if target == 'point' and streams.place.random() < config.bright_point_share:
        wanted = 10 ** streams.place.uniform(*_BRIGHTER)
        counts = float(sources.sources()['n_expected'][0])
        sources.brighten(1, min(wanted, max(1.0, _MOST_COUNTS / counts)))
    populations.draw_streaks(
        sources,
        out_of_time=observation.out_of_time,
        chips=observation.chips,
        roll=observation.roll,
        rng=streams.sky,
    )
    populations.draw_artefacts(
        sources,
        half_side=mission.field * 30,
        pixel=observation.pixel,
        roll=observation.roll,
        area=(2 * half_side / 3600) ** 2,
        config=config,
        rng=streams.sky,
    )
    groups.roughen_galaxies(sources, config=config, rng=streams.gas)
    draw_structure(sources, 'group', **structure)
    depth = None
    if is_low:
        draw_structure(sources, 'diffuse', **structure)
        draw_structure(sources, 'plerion', **structure)
        depth = galactic.draw_clouds(sources, **common)
        if depth is not None:
            observation = observation.behind(np.exp(-depth(*observation.offsets())))
    stars = _add_stars(sources, observation, half_side, latitude, config, streams.stars)
    return Sky(
        position=position,
        latitude=latitude,
        observation=observation,
        sources=sources,
        stars=stars,
        depth=depth,
    )


def draw_structure(sources, name, *, level, target=False, **common):
    """
    Draw nearby groups, diffuse structure or nebulae about pulsars.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    name : str
        One of `SINGLE_TARGETS`.
    level : float
        Sky background on axis in ct/arcsec2.
    target : bool, optional
        Draw one, near the axis.
    **common : object
        Arguments of every drawer: field_side, counts_per_flux, config, rng.
    """
    if name == 'group':
        groups.draw_groups(sources, target=target, **common)
    elif name == 'diffuse':
        galactic.draw_diffuse(sources, level=level, target=target, **common)
    else:
        galactic.draw_plerions(sources, target=target, **common)


def _add_stars(sources, observation, half_side, latitude, config, rng):
    """
    Add what bright stars do to the cameras, and return the stars.
    """
    x, y, magnitude = loading.draw_bright_stars(half_side=half_side, latitude=latitude, rng=rng)
    rows = sources.sources()
    # coronal sources that are as bright are stars too, which the optical image has already
    coronal = np.flatnonzero(
        (rows['subclass'] == SUBCLASS_NAMES.index('star')) & (rows['magnitude'] < BRIGHT_STAR)
    )
    known = (
        np.concatenate([x, rows['x'][coronal]]),
        np.concatenate([y, rows['y'][coronal]]),
        np.concatenate([magnitude, rows['magnitude'][coronal]]),
        np.concatenate([np.zeros(len(x), int), coronal + 1]),
    )
    name = loading.choose_filter(observation, known[2], config, rng)
    loading.draw_loading(sources, known, observation=observation, filter_name=name)
    return x, y, magnitude


def take_photons(sky, config, streams):
    """
    Draw the counts image of a field.

    Parameters
    ----------
    sky : `Sky`
        What is there.
    config : `~clustercnn.simulate.SimulationConfig`
        Whether photons pile up.
    streams : `FieldStreams`
        Sources of the draws.

    Returns
    -------
    counts, origin, n_lost : object
        As from `~clustercnn.simulate.xray.observe`.
    """
    return observe(sky.sources, sky.observation, streams.xray, pile_up=config.pile_up)


def _draw_position(rng, *, low):
    # uniform on the sky beyond 15 degrees from the Galactic plane, or nearer than that
    while True:
        position = rng.uniform(0, 360), float(np.rad2deg(np.arcsin(rng.uniform(-1, 1))))
        latitude = abs(galactic_latitude(position))
        if latitude < galactic.LOW_LATITUDE if low else latitude > galactic.LOW_LATITUDE:
            return position


def _choose_target(mission, config, draw, is_low, second_draw):
    if config.target != 'random':
        return config.target
    if mission.cameras[0].layout == 'survey':
        draw *= _TARGET_CHANCES['none'] + _TARGET_CHANCES['cluster']
    elif is_low:
        for name, chance in _LOW_LATITUDE_TARGETS.items():
            second_draw -= chance
            if second_draw < 0:
                return name
    elif second_draw < _GROUP_TARGETS * config.group_rate:
        return 'group'
    total = 0.0
    for name, chance in _TARGET_CHANCES.items():
        total += chance
        if draw < total:
            return name
    return 'none'


def populate(sources, *, target, latitude, level=0.0, **common):
    """
    Draw clusters, point sources, galaxies and shells.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        Changed in place.
    target : str
        What lies near the axis, or ``'none'``.
    latitude : float
        Galactic latitude in deg.
    level : float, optional
        Sky background on axis in ct/arcsec2, for diffuse structure as the target; what an
        image holds per area is near enough where no more is known.
    **common : object
        Arguments of every drawer: area, half_side, counts_per_flux, config, rng.
    """
    drawers = {
        'cluster': draw_clusters,
        'point': lambda *args, **options: populations.draw_point_sources(
            *args, latitude=latitude, **options
        ),
        'galaxy': populations.draw_galaxies,
        'shell': populations.draw_shells,
    }
    if target in SINGLE_TARGETS:
        names = ('counts_per_flux', 'config', 'rng')
        options = {name: common[name] for name in names}
        options['field_side'] = 2 * common['half_side']
        draw_structure(sources, target, level=level, target=True, **options)
    elif target != 'none':
        drawers[target](sources, target=True, **common)
    for drawer in drawers.values():
        drawer(sources, **common)


def truth_table(rows, origin, n_lost, *, sky, pixels, mission, seed):
    """
    Return the truth catalogue of a list of sources.

    Parameters
    ----------
    rows : structured `~numpy.ndarray`
        Of `~clustercnn.simulate._sources.SourceList`.
    origin : `PhotonOrigin`
        Their photons.
    n_lost : (n,) `~numpy.ndarray` of int
        Photons lost to pile-up by source number, as from `~clustercnn.simulate.xray.observe`.
    sky : 2-tuple of `~numpy.ndarray`
        Right ascension and declination in deg.
    pixels : 2-tuple of `~numpy.ndarray`
        Pixel coordinates, 0-based.
    mission : str
        Name of the mission.
    seed : int
        Seed.

    Returns
    -------
    truth : `~astropy.table.QTable`
        One row a source.
    """
    n_counts = np.bincount(origin.source_id, origin.n, minlength=len(rows) + 1)[1:]
    truth = QTable()
    truth['id'] = np.arange(1, len(rows) + 1, dtype=np.int32)
    truth['parent'] = rows['parent']
    truth['ra'], truth['dec'] = (angle * u.deg for angle in sky)
    truth['x'], truth['y'] = pixels
    truth['class'] = np.array(CLASS_NAMES)[rows['class']]
    truth['subclass'] = np.array(SUBCLASS_NAMES)[rows['subclass']]
    truth['flux'] = rows['flux'] * u.erg / u.s / u.cm**2
    truth['n_expected'] = rows['n_expected']
    truth['n_counts'] = n_counts.astype(np.int64)
    truth['n_lost'] = np.bincount(np.arange(len(n_lost)), n_lost, minlength=len(rows) + 1)[
        1:
    ].astype(np.int64)
    truth['core_radius'] = rows['core_radius'] * u.arcsec
    truth['axis_ratio'] = rows['axis_ratio']
    truth['angle'] = np.rad2deg(rows['angle']) * u.deg
    truth['redshift'] = rows['redshift']
    truth['luminosity'] = rows['luminosity'] * u.erg / u.s
    truth['mass'] = rows['mass'] * u.Msun
    truth['radius_500'] = rows['radius_500'] * u.arcsec
    truth['richness'] = rows['richness']
    truth['magnitude'] = rows['magnitude']
    truth.meta = {'simulated': True, 'mission': mission, 'seed': seed}
    return truth
