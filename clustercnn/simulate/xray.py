# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
From a list of sources to a counts image: exposure, background, photons.
"""

import dataclasses

import numpy as np

from clustercnn.simulate._detector import live_fraction
from clustercnn.simulate._photons import draw_photons, pack_origin
from clustercnn.simulate._pile_up import survivors

__all__ = ['Observation', 'Readout', 'Streams', 'observe', 'prepare_observation']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Readout:
    """
    How one camera of an observation is read out.

    Parameters
    ----------
    camera : `~clustercnn.simulate.missions.Camera`
        The camera.
    share : float
        Its part of the photons, 0 to 1.
    time : float
        On-axis exposure in s.
    """

    camera: object
    share: float
    time: float

    @property
    def n_frames(self):
        """
        Frames of the exposure (int); 0 for a detector that reads every photon by itself.
        """
        frame_time = self.camera.frame_time
        return int(self.time / frame_time) if frame_time else 0

    @property
    def photons_per_frame(self):
        """
        Photons in a frame of one telescope for each photon in the image (float).
        """
        if self.n_frames == 0:
            return 0.0
        return self.share / (self.n_frames * self.camera.n_telescopes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Streams:
    """
    Generators of the photons; one a purpose, so that none changes what another draws.

    Parameters
    ----------
    photons : `~numpy.random.Generator`
        Photons of the sources, and background.
    pictures : `~numpy.random.Generator`, optional
        Places of the photons of uneven gas, where there is any.
    frames : `~numpy.random.Generator`, optional
        Frames of the photons, where they pile up.
    """

    photons: object
    pictures: object = None
    frames: object = None


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
    sky_background : (ny, nx) `~numpy.ndarray` or None
        The part of ``background`` that came through the mirror; None where it is not known.
    readouts : tuple of `Readout`
        The cameras; none where the photons pile up with nothing.
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
    sky_background: np.ndarray | None = None
    readouts: tuple = ()

    def behind(self, transmission):
        """
        Return the observation of a sky with something dark before it.

        Parameters
        ----------
        transmission : (ny, nx) `~numpy.ndarray`
            Part of the photons that pass, 0 to 1; what does not come through the mirror stays.

        Returns
        -------
        observation : `Observation`
            Fewer photons of sources and sky for the same exposure.
        """
        lost = self.sky_background * (1 - transmission)
        return dataclasses.replace(
            self,
            response=self.response * transmission,
            background=(self.background - lost).astype(np.float32),
        )

    def under_haze(self, factor):
        """
        Return the observation of a sky that is brighter everywhere.

        Parameters
        ----------
        factor : float
            Multiplies the background that came through the mirror.

        Returns
        -------
        observation : `Observation`
            The same with more background.
        """
        added = self.sky_background * (factor - 1)
        return dataclasses.replace(
            self,
            background=(self.background + added).astype(np.float32),
            sky_background=self.sky_background * factor,
        )

    def offsets(self):
        """
        Return the places of the pixels.

        Returns
        -------
        x, y : (1, nx) and (ny, 1) `~numpy.ndarray`
            Offsets from the axis in arcsec, west and north.
        """
        ny, nx = self.response.shape
        x = (np.arange(nx) - self.center[0]) * self.pixel
        y = (np.arange(ny) - self.center[1]) * self.pixel
        return x[np.newaxis, :], y[:, np.newaxis]

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
    sky_background = np.zeros((n, n))
    kept_times = []
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
        sky = camera.background_sky * config.rate_factor * fraction * vignetting * gradient
        particle = camera.background_particle * config.particle_factor * fraction
        background += kept * (sky + particle) * time * pixel**2
        sky_background += kept * time * pixel**2 * sky
        kept_times.append(kept * time)
        if camera is streaking:
            streak_chips = camera_chips
    background *= config.background_factor
    sky_background *= config.background_factor
    shares = np.array(
        [kept * camera.rate for kept, camera in zip(kept_times, cameras, strict=True)]
    )
    shares = shares / shares.sum()
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
        sky_background=sky_background,
        readouts=tuple(
            Readout(camera=camera, share=float(share), time=float(kept))
            for camera, share, kept in zip(cameras, shares, kept_times, strict=True)
        ),
    )


def observe(sources, observation, streams, *, pile_up=False):
    """
    Draw the counts image of a list of sources.

    Parameters
    ----------
    sources : `~clustercnn.simulate._sources.SourceList`
        What is in the sky.
    observation : `Observation`
        How it is looked at.
    streams : `Streams`
        Sources of the draws.
    pile_up : bool, optional
        Whether photons that reach a cell in the same frame are merged or lost.

    Returns
    -------
    counts : (ny, nx) `~numpy.ndarray` of float32
        Photons of sources and background.
    origin : tuple of (n_entries,) `~numpy.ndarray` of int32
        Source number, flat pixel index and number of photons, sorted; what
        the image holds beyond these is background.
    n_lost : (n,) `~numpy.ndarray` of int64
        By source number, photons that make no event of their own because they piled up.
    """
    n_lost = np.zeros(1, np.int64)

    def keep(source, x, y):
        nonlocal n_lost
        kept = survivors(source, x, y, readouts=observation.readouts, rng=streams.frames)
        n_lost = np.bincount(source[~kept], minlength=1)
        return kept

    source, index = draw_photons(
        sources.components(),
        psf=observation.psf,
        response=observation.response,
        live=observation.live,
        pixel=observation.pixel,
        center=observation.center,
        rng=streams.photons,
        pictures=sources.pictures,
        picture_rng=streams.pictures,
        keep=keep if pile_up else None,
    )
    n_pixels = observation.response.size
    counts = np.bincount(index, minlength=n_pixels).reshape(observation.response.shape)
    # only exposed pixels draw, so that blank borders cost nothing
    exposed = observation.background > 0
    counts[exposed] += streams.photons.poisson(observation.background[exposed].astype(float))
    return counts.astype(np.float32), pack_origin(source, index, n_pixels), n_lost
