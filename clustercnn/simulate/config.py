# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The settings of a simulated field, and the ranges they are drawn from.
"""

import dataclasses
import math

import astropy.units as u
import numpy as np

from clustercnn._utils.validation import check_angle, check_one_of
from clustercnn.simulate.bands import check_bands
from clustercnn.simulate.missions import get_mission

__all__ = ['RANDOMISED_RANGES', 'SimulationConfig']

RANDOMISED_RANGES = {
    'background_factor': (0.3, 3.0),
    'particle_factor': (0.5, 4.0),
    'rate_factor': (0.5, 1.3),
    'psf_factor': (0.7, 1.6),
    'psf_slope_factor': (0.93, 1.6),
    'psf_stated_factor': (0.85, 1.2),
    'optical_depth': (19.3, 21.7),
    'optical_depth_ccd': (21.5, 24.5),
    'optical_seeing': (1.8, 4.5),
    'optical_seeing_ccd': (0.9, 2.2),
    'optical_contrast': (0.9, 2.6),
    'optical_offset': (0.1, 1.5),
    'n_dead_columns': (0.0, 6.0),
    'probability_no_optical': 0.08,
    'probability_no_exposure_map': 0.08,
    'probability_ccd': 0.35,
    'probability_one_camera': 0.45,
    'low_latitude_share': 0.15,
    'bright_point_share': 0.25,
    'group_rate': (0.02, 0.3),
}
"""
Ranges of `SimulationConfig.randomised`: factors, depths and widths are drawn
log-uniformly (magnitudes uniformly) between the two numbers; exposure and
pixel scale use the ranges of the mission. Shares are the same for every draw.
"""

_TARGETS = (
    'random',
    'none',
    'cluster',
    'point',
    'galaxy',
    'shell',
    'group',
    'diffuse',
    'plerion',
)
_FILTERS = ('thin', 'medium', 'thick', None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """
    Settings of a simulated field.

    Parameters
    ----------
    exposure : `~astropy.units.Quantity`, optional
        On-axis exposure time; by default the usual one of the mission.
    pixel_scale : `~astropy.units.Quantity`, optional
        X-ray pixel; by default the usual one of the mission.
    roll : `~astropy.units.Quantity`, optional
        Position angle of the detector; drawn if not given.
    position : tuple of float, optional
        Right ascension and declination of the axis in deg; drawn if not given, mostly at
        Galactic latitudes beyond 15 deg.
    cameras : tuple of str, optional
        Names of the cameras to sum; by default all of the mission.
    background_factor : float
        Multiplies the whole background.
    particle_factor : float
        Multiplies the unvignetted part: residual soft-proton flares.
    rate_factor : float
        Multiplies the counts for a given flux: absorption, filter, band.
    psf_factor : float
        Multiplies the widths of the point spread.
    psf_slope_factor : float
        Multiplies the slope of its wings; the full width at half maximum stays.
    psf_stated_factor : float
        The width that the image states, over the true one.
    agn_factor : float
        Multiplies the published surface density of AGN; 1 is the real sky.
    agn_pair_fraction : float
        Fraction of AGN with a physical or chance companion within 30 arcsec,
        beyond what chance alignments of the uniform sky give.
    cluster_boost : float
        Multiplies the surface density of clusters; 1 is the real sky. With
        the default a field holds several detectable clusters.
    cluster_tilt : float
        The boost grows with flux to this power, from the flux that gives 100
        counts, so that more of them can be seen; 0 keeps the real counts.
    galaxy_rate, shell_rate : float
        Mean number of nearby galaxies and of shells in a field of 0.25 deg2.
    artefact_rate : float
        Multiplies the frequency of hot pixels, columns and stray light.
    low_latitude_share : float
        Share of the fields, of those without a given position, that lie within 15 deg of the
        Galactic plane. Only these hold diffuse structure, nebulae about pulsars and clouds.
    diffuse_rate : float
        Mean number of patches, filaments and partial shells in such a field; nebulae about
        pulsars are a fifth as many.
    cloud_rate : float
        Mean number of dark clouds in such a field.
    group_rate : float
        Mean number of nearby groups with uneven gas in a field of 0.25 deg2; a fifth of it is
        the chance that such a group is pointed at. The default is what the luminosity function
        of the clusters gives below redshift 0.03.
    uneven_gas_share : float
        Share of the nearby galaxies whose gas is uneven.
    bright_point_share : float
        Share of the pointed point sources that are 3 to 50 times brighter than the others, so
        that a CCD piles them up.
    pile_up : bool
        Whether photons that reach the same pixels of a CCD in one frame are merged or lost.
    optical_filter : str or None
        ``'thin'``, ``'medium'`` or ``'thick'`` filter of XMM-Newton, which decides on optical
        loading by bright stars; drawn if None.
    target : str
        What the telescope points at: ``'none'`` for a blank field,
        ``'cluster'``, ``'point'``, ``'galaxy'``, ``'shell'``, ``'group'``, ``'diffuse'``,
        ``'plerion'``, or ``'random'``.
    n_dead_columns : float
        Mean number of dead column segments a chip.
    optical : str or None
        ``'plate'``, ``'ccd'`` or None for no optical image.
    optical_bands : str or sequence of `OpticalBand`, optional
        Several images instead of one, with ``optical='ccd'``: the bands of a survey of
        `OPTICAL_SURVEYS`, or others. Depth and seeing are then theirs.
    optical_depth : float
        R magnitude of a star at 3 sigma on a plate, at 5 sigma on a CCD. Red plates reach
        20.0 (first Palomar survey, scanned at 1.7 arcsec), 20.8 (second, at 1.01
        arcsec; Reid et al. 1991, PASP 103, 661) and 21.5 (United Kingdom Schmidt).
    optical_pixel_scale, optical_seeing : `~astropy.units.Quantity`
        Pixel and FWHM of the optical image.
    optical_contrast : float
        Steepness of the characteristic curve of the plate.
    optical_offset : float
        Astrometric error between the bands in arcsec, one sigma per axis.
    optical_size : `~astropy.units.Quantity`
        Largest side of the optical image; outside there is none.
    exposure_map, background_map : bool
        Whether the X-ray image carries them. The finder usually has to
        estimate the background, so that one is off by default.

    Examples
    --------
    >>> import astropy.units as u
    >>> from clustercnn.simulate import SimulationConfig
    >>> config = SimulationConfig(exposure=10 * u.ks, target='cluster')
    >>> config.exposure
    <Quantity 10000. s>
    >>> config == SimulationConfig.from_dict(config.to_dict())
    True
    """

    exposure: u.Quantity | None = None
    pixel_scale: u.Quantity | None = None
    roll: u.Quantity | None = None
    position: tuple | None = None
    cameras: tuple | None = None
    background_factor: float = 1.0
    particle_factor: float = 1.0
    rate_factor: float = 1.0
    psf_factor: float = 1.0
    psf_slope_factor: float = 1.0
    psf_stated_factor: float = 1.0
    agn_factor: float = 1.0
    agn_pair_fraction: float = 0.05
    cluster_boost: float = 1.5
    cluster_tilt: float = 0.3
    galaxy_rate: float = 0.7
    shell_rate: float = 0.06
    artefact_rate: float = 1.0
    low_latitude_share: float = 0.02
    diffuse_rate: float = 1.2
    cloud_rate: float = 0.5
    group_rate: float = 0.003
    uneven_gas_share: float = 0.5
    bright_point_share: float = 0.1
    pile_up: bool = True
    optical_filter: str | None = None
    target: str = 'random'
    n_dead_columns: float = 2.0
    optical: str | None = 'plate'
    optical_bands: tuple | None = None
    optical_depth: float = 20.8
    optical_pixel_scale: u.Quantity = 1.01 * u.arcsec
    optical_seeing: u.Quantity = 3.0 * u.arcsec
    optical_contrast: float = 1.8
    optical_offset: float = 0.7
    optical_size: u.Quantity = 66 * u.arcmin
    exposure_map: bool = True
    background_map: bool = False

    def __post_init__(self):
        check_one_of('target', self.target, _TARGETS)
        check_one_of('optical_filter', self.optical_filter, _FILTERS)
        check_one_of('optical', self.optical, ('plate', 'ccd', None))
        if self.optical_bands is not None:
            object.__setattr__(self, 'optical_bands', check_bands(self.optical_bands))
            if self.optical != 'ccd':
                msg = (
                    "'optical_bands' are those of a CCD survey: set optical='ccd' as well, or "
                    f'optical_bands=None, got optical={self.optical!r}'
                )
                raise ValueError(msg)
        if self.exposure is not None:
            exposure = u.Quantity(self.exposure, u.s)
            if not (exposure.isscalar and np.isfinite(exposure) and exposure > 0):
                msg = f"'exposure' must be one time above 0, got {self.exposure!r}"
                raise ValueError(msg)
            object.__setattr__(self, 'exposure', exposure)
        for name in ('pixel_scale', 'optical_pixel_scale', 'optical_seeing', 'optical_size'):
            value = check_angle(name, getattr(self, name), optional=name == 'pixel_scale')
            object.__setattr__(self, name, value)
        if self.roll is not None:
            object.__setattr__(self, 'roll', u.Quantity(self.roll, u.deg))
        for name in ('position', 'cameras'):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.position is not None:
            ra, dec = self.position
            if not (math.isfinite(ra) and -90 <= dec <= 90):
                msg = f"'position' must be right ascension and declination in deg, got {ra}, {dec}"
                raise ValueError(msg)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is float and not (math.isfinite(value) and value >= 0):
                msg = f"'{field.name}' must be finite and at least 0, got {value!r}"
                raise ValueError(msg)
            if field.name.endswith('_share') and value > 1:
                msg = f"'{field.name}' must be between 0 and 1, got {value!r}"
                raise ValueError(msg)

    def replace(self, **changes):
        """
        Return a copy with some settings changed.

        Parameters
        ----------
        **changes : object
            New values by name.

        Returns
        -------
        config : `SimulationConfig`
            The copy.
        """
        return dataclasses.replace(self, **changes)

    @classmethod
    def randomised(cls, seed, *, mission='xmm', **changes):
        """
        Draw every nuisance from its wide range.

        Parameters
        ----------
        seed : int
            Same seed, same configuration.
        mission : str or `Mission`, optional
            Gives the ranges of exposure and pixel scale and the cameras.
        **changes : object
            Settings to keep fixed.

        Returns
        -------
        config : `SimulationConfig`
            The draw; see `RANDOMISED_RANGES`.

        Examples
        --------
        >>> from clustercnn.simulate import SimulationConfig
        >>> a = SimulationConfig.randomised(3)
        >>> a == SimulationConfig.randomised(3), a == SimulationConfig.randomised(4)
        (True, False)
        """
        mission = get_mission(mission)
        rng = np.random.default_rng([int(seed), 7])

        def log_uniform(low, high):
            return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))), 6)

        ranges = RANDOMISED_RANGES
        factors = ('background_factor', 'particle_factor', 'rate_factor', 'psf_factor')
        drawn = {name: log_uniform(*ranges[name]) for name in factors}
        # long archival exposures are rarer than short ones; log-uniform says so
        drawn['exposure'] = log_uniform(*mission.exposure_range) * u.s
        usual = rng.random() < 0.6
        scale = round(float(rng.uniform(*mission.pixel_scale_range)), 3)
        drawn['pixel_scale'] = (mission.pixel_scale if usual else scale) * u.arcsec
        if len(mission.cameras) > 1 and rng.random() < ranges['probability_one_camera']:
            chosen = mission.cameras[rng.integers(len(mission.cameras))]
            drawn['cameras'] = (chosen.name,)
        draws = rng.random(4)
        ccd = draws[0] < ranges['probability_ccd']
        drawn['optical'] = 'ccd' if ccd else 'plate'
        ending = '_ccd' if ccd else ''
        depth = ranges['optical_depth' + ending]
        drawn['optical_depth'] = round(float(rng.uniform(*depth)), 3)
        drawn['optical_seeing'] = log_uniform(*ranges['optical_seeing' + ending]) * u.arcsec
        drawn['optical_contrast'] = log_uniform(*ranges['optical_contrast'])
        drawn['optical_offset'] = log_uniform(*ranges['optical_offset'])
        drawn['optical_pixel_scale'] = (1.7 if rng.random() < 0.5 else 1.01) * u.arcsec
        drawn['n_dead_columns'] = round(float(rng.uniform(*ranges['n_dead_columns'])), 3)
        drawn['exposure_map'] = bool(draws[1] >= ranges['probability_no_exposure_map'])
        if draws[2] < ranges['probability_no_optical']:
            drawn['optical'] = None
        for name in ('psf_slope_factor', 'psf_stated_factor', 'group_rate'):
            drawn[name] = log_uniform(*ranges[name])
        for name in ('low_latitude_share', 'bright_point_share'):
            drawn[name] = ranges[name]
        return cls(**{**drawn, **changes})

    def to_dict(self):
        """
        Return the settings as plain values that JSON can hold.

        Returns
        -------
        settings : dict
            Times in s, angles in arcsec, roll in deg.
        """
        settings = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, u.Quantity):
                value = float(value.value)
            elif isinstance(value, tuple):
                value = [getattr(item, 'to_dict', lambda item=item: item)() for item in value]
            settings[field.name] = value
        return settings

    @classmethod
    def from_dict(cls, settings):
        """
        Return the configuration that `to_dict` described.

        Parameters
        ----------
        settings : dict
            Plain values by name.

        Returns
        -------
        config : `SimulationConfig`
            The configuration.
        """
        units = {'exposure': u.s, 'roll': u.deg, 'pixel_scale': u.arcsec}
        units |= dict.fromkeys(('optical_pixel_scale', 'optical_seeing', 'optical_size'), u.arcsec)
        values = {}
        for name, value in settings.items():
            if value is not None and name in units:
                value = value * units[name]
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)
