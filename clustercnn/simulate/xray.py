# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
From a list of sources to a counts image: exposure, background, photons.
"""

import dataclasses

import numpy as np

from clustercnn.simulate._detector import live_fraction
from clustercnn.simulate._photons import draw_photons, pack_origin

__all__ = ['Observation', 'observe', 'prepare_observation']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observation:
    """
    How one observation looks at the sky, before any source.

    Parameters
    ----------
    pixel : float
        Pixel size in arcsec.
    center : tuple of float
        Pixel coordinates of the optical axis, 0-based.
    response : (ny, nx) `~numpy.ndarray`
        Effective area times time over its on-axis value, 0 to 1.
    live : (ny, nx) `~numpy.ndarray`
        The same without vignetting.
    exposure : (ny, nx) `~numpy.ndarray` of float32
        Vignetted exposure in s.
    background : (ny, nx) `~numpy.ndarray` of float32
        Expected background counts a pixel.
    rate : float
        Counts per second for 1 erg/s/cm2 of all cameras, on axis.
    time : float
        On-axis exposure in s, the mean of the cameras weighted by rate.
    roll : float
        Position angle of the detector in rad.
    out_of_time : float
        Fraction of the photons registered during the readout.
    chips : tuple
        Chips of the camera whose streaks matter.
    psf : `~clustercnn.simulate.missions.PointSpread`
        Point spread.
    instrument : str
        Names of the cameras.
    """

    pixel: float
    center: tuple
    response: np.ndarray
    live: np.ndarray
    exposure: np.ndarray
    background: np.ndarray
    rate: float
    time: float
    roll: float
    out_of_time: float
    chips: tuple
    psf: object
    instrument: str

    @property
    def counts_per_flux(self):
        """
        On-axis counts for 1 erg/s/cm2 in 0.5-2 keV (float).
        """
        return self.rate * self.time


def prepare_observation(mission, config, rng):
    """
    Draw the detector, exposure and background of one observation.

    Parameters
    ----------
    mission : `~clustercnn.simulate.missions.Mission`
        The telescope.
    config : `~clustercnn.simulate.SimulationConfig`
        Exposure, pixel scale, cameras and factors.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    observation : `Observation`
        Everything but the sky.

    Raises
    ------
    ValueError
        If the configuration names a camera that the mission lacks.
    """
    names = [camera.name for camera in mission.cameras]
    wanted = names if config.cameras is None else list(config.cameras)
    if not wanted or set(wanted) - set(names):
        msg = (
            f"'cameras' must be among {', '.join(map(repr, names))} for mission "
            f'{mission.name!r}, got {config.cameras!r}'
        )
        raise ValueError(msg)
    cameras = [camera for camera in mission.cameras if camera.name in wanted]
    usual = mission.pixel_scale if config.pixel_scale is None else config.pixel_scale.value
    pixel = float(usual)
    time = mission.exposure if config.exposure is None else float(config.exposure.value)
    drawn_roll = rng.uniform(0, 2 * np.pi)
    roll = drawn_roll if config.roll is None else float(np.deg2rad(config.roll.to_value('deg')))

    n = int(np.ceil(mission.field * 60 / pixel))
    center = ((n - 1) / 2 + rng.uniform(-1.5, 1.5), (n - 1) / 2 + rng.uniform(-1.5, 1.5))
    x = (np.arange(n) - center[0])[np.newaxis, :] * (pixel / 60)
    y = (np.arange(n) - center[1])[:, np.newaxis] * (pixel / 60)
    squared = x * x + y * y
    tilt = rng.normal(0, 0.07, 2) / (mission.field / 2)
    gradient = np.clip(1 + tilt[0] * x + tilt[1] * y, 0.5, 1.5)

    response = np.zeros((n, n))
    live = np.zeros((n, n))
    background = np.zeros((n, n))
    total_rate = sum(camera.rate for camera in cameras)
    effective = 0.0
    streaking = max(cameras, key=lambda camera: camera.rate * camera.out_of_time)
    streak_chips = ()
    for index, camera in enumerate(cameras):
        # cameras lie at angles of 90 degrees to each other and lose different times to flares
        angle = roll + (np.pi / 2 if camera.layout == 'mos1' else 0.0)
        cos, sin = np.cos(angle), np.sin(angle)
        fraction, camera_chips = live_fraction(
            camera.layout,
            x * cos + y * sin,
            -x * sin + y * cos,
            pixel=pixel / 60,
            n_dead_columns=config.n_dead_columns,
            rng=rng,
        )
        kept = 1.0 if index == 0 else rng.uniform(0.85, 1.15)
        vignetting = 1 / (1 + squared / camera.vignetting**2) if camera.vignetting else 1.0
        weight = kept * camera.rate / total_rate
        effective += weight
        response += weight * fraction * vignetting
        live += weight * fraction
        sky = camera.background_sky * config.rate_factor * fraction * vignetting
        particle = camera.background_particle * config.particle_factor * fraction
        background += kept * (sky * gradient + particle) * time * pixel**2
        if camera is streaking:
            streak_chips = camera_chips
    background *= config.background_factor
    response /= effective
    live /= effective
    time *= effective
    out_of_time = sum(camera.rate * camera.out_of_time for camera in cameras) / total_rate
    return Observation(
        pixel=pixel,
        center=center,
        response=response,
        live=live,
        exposure=(response * time).astype(np.float32),
        background=background.astype(np.float32),
        rate=total_rate * config.rate_factor,
        time=time,
        roll=roll + (np.pi / 2 if streaking.layout == 'mos1' else 0.0),
        out_of_time=out_of_time,
        chips=streak_chips,
        psf=mission.psf.scaled(config.psf_factor).sloped(config.psf_slope_factor),
        instrument='+'.join(camera.name for camera in cameras),
    )


def observe(sources, observation, rng):
    """
    Draw the counts image of a list of sources.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        What is in the sky.
    observation : `Observation`
        How it is looked at.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    counts : (ny, nx) `~numpy.ndarray` of float32
        Photons of sources and background.
    origin : tuple of (n_entries,) `~numpy.ndarray` of int32
        Source number, flat pixel index and number of photons, sorted; what
        the image holds beyond these is background.
    """
    source, index = draw_photons(
        sources.components(),
        psf=observation.psf,
        response=observation.response,
        live=observation.live,
        pixel=observation.pixel,
        center=observation.center,
        rng=rng,
    )
    n_pixels = observation.response.size
    counts = np.bincount(index, minlength=n_pixels).reshape(observation.response.shape)
    # only exposed pixels draw, so that blank borders cost nothing
    exposed = observation.background > 0
    counts[exposed] += rng.poisson(observation.background[exposed].astype(float))
    return counts.astype(np.float32), pack_origin(source, index, n_pixels)
