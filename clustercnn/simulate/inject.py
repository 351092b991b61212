# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated sources added to the images a user has, with truth.
"""

import dataclasses
import math
import warnings
from collections.abc import Mapping

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import check_one_of, check_positive
from clustercnn.core import XrayImage
from clustercnn.exceptions import DataQualityWarning
from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate._added_light import kind_of_frame, why_not_a_plate
from clustercnn.simulate._instrument import (
    mission_of_image,
    point_spread_of,
    rate_of,
    why_no_rate,
)
from clustercnn.simulate._matching import match_detections
from clustercnn.simulate._multiband import inject_optical_bands
from clustercnn.simulate._photons import POINT
from clustercnn.simulate._sky import populate, truth_table
from clustercnn.simulate._sources import CLASS_NAMES, SourceList
from clustercnn.simulate._wcs import galactic_latitude, offsets_to_sky, place_on, sky_to_offsets
from clustercnn.simulate.clusters import (
    LOW_REDSHIFT,
    add_gas,
    mass_from_luminosity,
    radius_500,
    richness_from_mass,
)
from clustercnn.simulate.config import SimulationConfig
from clustercnn.simulate.field import PhotonOrigin
from clustercnn.simulate.optical import inject_optical
from clustercnn.simulate.xray import Observation, Streams, observe

__all__ = ['Injection', 'inject']

_CORE_OVER_R500 = 0.15
# what a table may say of a source, and the unit of it
_COLUMNS = {
    'flux': u.erg / u.s / u.cm**2,
    'counts': u.one,
    'core_radius': u.arcsec,
    'radius_500': u.arcsec,
    'beta': u.one,
    'axis_ratio': u.one,
    'angle': u.deg,
    'redshift': u.one,
    'mass': u.Msun,
    'richness': u.one,
    'magnitude': u.one,
}
_ALLOWED = {
    # the lowest and the highest value, both allowed
    'flux': (0, 1e-6),
    'counts': (0, 1e9),
    'core_radius': (1e-3, 1e5),
    'radius_500': (1e-3, 1e5),
    'beta': (0.51, 2.0),
    'axis_ratio': (0.05, 1.0),
    'angle': (-1e4, 1e4),
    'redshift': (1e-3, 3.0),
    'mass': (1e11, 1e17),
    'richness': (0, 1e4),
    'magnitude': (-5, 40),
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Injection:
    """
    Images with injected sources, and the truth about these.

    Parameters
    ----------
    xray : `~clustercnn.core.XrayImage`
        The image with the photons of the sources added.
    optical : `~astropy.nddata.CCDData` or None
        The optical image with their light added.
    truth : `~astropy.table.QTable`
        One row a source, as in `SimulatedField`.
    origin : `PhotonOrigin`
        The injected photons; what the image holds beyond them was there before.
    seed : int
        Seed.
    psf_half_energy_width : float
        On axis, in arcsec.
    optical_bands : dict of str to `~astropy.nddata.CCDData`
        The optical images by band, where there were several.

    See Also
    --------
    inject : Makes one.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from clustercnn.simulate import inject
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> sources = Table({'ra': [image.center.ra.deg], 'dec': [image.center.dec.deg],
    ...                  'counts': [300.0]})
    >>> injection = inject(image, sources, seed=1)
    >>> before = injection.xray.counts - injection.origin.image([1], image.shape)
    >>> bool((before == image.counts).all())
    True
    """

    xray: XrayImage
    optical: CCDData | None
    truth: QTable
    origin: PhotonOrigin
    seed: int
    psf_half_energy_width: float
    optical_bands: ReadOnlyDict = dataclasses.field(default_factory=ReadOnlyDict)

    def __post_init__(self):
        object.__setattr__(self, 'optical_bands', ReadOnlyDict(self.optical_bands))

    @property
    def images(self):
        """
        The images by band name, as the cutout maker takes them (dict).
        """
        plain = {} if self.optical is None else {'optical': self.optical}
        return {'xray': self.xray, **plain, **self.optical_bands}

    def match(self, catalog, *, radius=None, cluster_share=0.5):
        """
        Label detections by the injected photons they stand on.

        As `SimulatedField.match`, with all that was in the image before as background: a real
        source is ``other`` and ``spurious`` here, which says only that it was not injected.

        Parameters
        ----------
        catalog : `~clustercnn.core.CandidateCatalog`
            Detections in ``xray``.
        radius : `~astropy.units.Quantity`, optional
            As for `SimulatedField.match`.
        cluster_share : float, optional
            As for `SimulatedField.match`.

        Returns
        -------
        matches : `~astropy.table.QTable`
            In the order of the catalogue.

        Examples
        --------
        >>> from clustercnn.core import CandidateCatalog
        >>> from clustercnn.simulate import SimulationConfig, inject
        >>> from clustercnn.testing import tiny_image
        >>> config = SimulationConfig(target='cluster')
        >>> injection = inject(tiny_image(), seed=3, config=config, mission='xmm')
        >>> target = injection.truth[:1]
        >>> catalog = CandidateCatalog.from_columns(ra=target['ra'], dec=target['dec'])
        >>> injection.match(catalog)['class'].tolist()
        ['cluster']
        """
        return match_detections(self, catalog, radius=radius, cluster_share=cluster_share)

    def _facts(self):
        classes = [str(name) for name in self.truth['class']]
        listing = ', '.join(f'{classes.count(name)} {name}' for name in CLASS_NAMES)
        return [
            ('image', f'{self.xray.mission} {self.xray.instrument}'.strip()),
            ('injected (simulated)', listing),
            ('photons injected', int(self.origin.n.sum())),
            ('without a photon', int((self.truth['n_counts'] == 0).sum())),
            ('optical', ', '.join(list(self.images)[1:]) or 'none'),
            ('seed', self.seed),
        ]

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


def inject(
    image,
    sources=None,
    *,
    seed,
    config=None,
    optical=None,
    optical_kind=None,
    mission=None,
    psf=None,
    counts_per_flux=None,
    axis=None,
):
    """
    Add simulated sources to an X-ray image, and to the optical image beside it.

    Photons are drawn as for a simulated field: Poisson numbers, beta models, a point spread
    that grows off axis, and the exposure map of the image, so that masked pixels, gaps and
    what lies outside the field of view get none. Nothing else in the image changes.

    Parameters
    ----------
    image : `~clustercnn.core.XrayImage`
        Of any celestial projection and orientation. Without an exposure map the exposure is
        taken as flat.
    sources : `~astropy.table.Table`, optional
        One row a source: ``ra``, ``dec`` in deg, and ``counts`` (expected where the exposure
        is largest) or ``flux`` (0.5-2 keV, erg/s/cm2). A row with a finite ``core_radius``
        (arcsec) is a cluster, a beta model whose counts are those inside ``radius_500``, any
        other one a point source. Further columns: ``radius_500`` (arcsec; by default from
        redshift and flux, else the core radius over 0.15), ``beta`` (2/3), ``axis_ratio`` (1),
        ``angle`` (deg, of the major axis from west to north), ``redshift``, ``mass`` (Msun) and
        ``richness`` of a cluster and ``magnitude`` (R) of a point source, for the optical image.
        Values without a unit are in these units; NaN or masked stands for not given.
        By default clusters, point sources, galaxies and shells are drawn as ``config`` says.
    seed : int
        Same image, sources and seed: same bits.
    config : `SimulationConfig`, optional
        The densities of what is drawn where no ``sources`` are given; the rate and width
        factors; and the kind, depth and seeing of the optical image. Its exposure, cameras and
        pixel scale do not matter. A target is drawn only if one is named.
    optical : `~astropy.nddata.CCDData` or dict of them, optional
        With a celestial WCS; of several bands a mapping from the names of
        ``config.optical_bands``, which say how deep they are. Members of clusters that have a
        redshift, counterparts of point sources that have a magnitude, and nearby galaxies are
        drawn into copies; integers are rounded, and end at the limits of their type.
    optical_kind : {'plate', 'ccd'}, optional
        Whether the one optical image is the scan of a plate, which saturates, or a CCD frame,
        whose values are linear in the light; several bands are always CCD frames. By default an
        image with values below 0, in a unit of flux, of electrons or of a rate, or with a zero
        point of magnitudes in its header is a CCD frame, and any other one what ``config`` says.
    mission : str or `Mission`, optional
        Gives the point spread and the rate; by default the mission of the image, for
        eROSITA its survey (name ``'erosita-pointed'`` for a pointing). The figures are those of
        its main instrument: none are taken for ROSAT's HRI, Einstein Probe's WXT and ART-XC,
        unless a `Mission` of your own has them.
    psf : `PointSpread` or `~astropy.units.Quantity`, optional
        Point spread, or its full width at half maximum on axis. By default that of the mission,
        as wide as the image says.
    counts_per_flux : float, optional
        Counts for 1 erg/s/cm2 where the exposure is largest. By default the rate of the
        cameras named by the image, or of all cameras of the mission, times the largest exposure;
        a seventh of it for one telescope module of eROSITA. Chandra's HRC has none.
    axis : 2-tuple of float, optional
        Column and row of the optical axis. By default where the exposure map says that it is,
        or the middle of the image.

    Returns
    -------
    injection : `Injection`
        New images, truth, and the origin of the injected photons.

    Raises
    ------
    TypeError, ValueError
        If a value of the table is missing or impossible (says which), if fluxes cannot be
        turned into counts, or if an optical image has no WCS or cannot be the plate that
        ``optical_kind`` says it is.

    Warns
    -----
    DataQualityWarning
        If a ``config`` is given that says plate, and the optical image can be none.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from clustercnn.simulate import inject
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> place = image.pixel_to_sky([20, 45], [30, 40])
    >>> sources = Table({'ra': place.ra.deg, 'dec': place.dec.deg, 'counts': [500.0, 200.0],
    ...                  'core_radius': [12.0, np.nan]})
    >>> injection = inject(image, sources, seed=4)
    >>> injection.truth['class'].tolist()
    ['cluster', 'point']
    >>> bool((injection.xray.counts >= image.counts).all())
    True
    """
    seed = int(seed)
    optical_kind = check_one_of('optical_kind', optical_kind, ('plate', 'ccd', None))
    if optical_kind == 'plate' and isinstance(optical, Mapping):
        msg = (
            "optical_kind='plate' is for one optical image: those of several bands are CCD "
            'frames; leave it out, or give the scan of the plate alone'
        )
        raise ValueError(msg)
    if isinstance(optical, CCDData):
        optical_kind = _kind_of(optical, optical_kind, config)
    config = SimulationConfig() if config is None else config
    streams = np.random.SeedSequence([seed, 31]).spawn(3)
    sky, photons, light = (np.random.default_rng(stream) for stream in streams)
    mission = mission_of_image(image, mission)
    observation = _observation_of(image, mission, psf, config, axis)
    center = image.pixel_to_sky(*observation.center)
    position = float(center.ra.deg), float(center.dec.deg)
    rate = counts_per_flux
    if rate is None:
        rate = rate_of(image, mission, config)
    else:
        rate = check_positive('counts_per_flux', counts_per_flux)
    listed = SourceList()
    if sources is None:
        if rate is None:
            raise ValueError(why_no_rate(image, mission))
        _draw_population(listed, image, observation, position, rate, config, sky)
    else:
        _read_table(listed, sources, position, rate, why_no_rate(image, mission))
    rows = listed.sources()
    placed = _OnImage(listed, image, position, observation)
    counts, packed, n_lost = observe(placed, observation, Streams(photons=photons))
    origin = PhotonOrigin(source_id=packed[0], pixel=packed[1], n=packed[2])
    x, y, _ = place_on(image.wcs, position, rows['x'], rows['y'], 0.0)
    truth = truth_table(
        rows,
        origin,
        n_lost,
        sky=offsets_to_sky(position, rows['x'], rows['y']),
        pixels=(x, y),
        mission='generic' if mission is None else mission.name,
        seed=seed,
    )
    bands = {}
    if isinstance(optical, Mapping):
        seen = {'config': config, 'position': position, 'rng': light}
        bands, optical = inject_optical_bands(optical, rows, **seen), None
    elif optical is not None:
        optical = inject_optical(
            optical,
            rows,
            config=config.replace(optical=optical_kind, optical_bands=None),
            position=position,
            rng=light,
        )
    notes = (*image.meta.get('notes', ()), 'holds simulated sources')
    return Injection(
        xray=image.replace(counts=image.counts + counts, meta={**image.meta, 'notes': notes}),
        optical=optical,
        optical_bands=bands,
        truth=truth,
        origin=origin,
        seed=seed,
        psf_half_energy_width=round(observation.psf.half_energy_width, 6),
    )


def _kind_of(frame, asked, config):
    """
    Return what an optical image is, and warn where the settings that are given say another thing.
    """
    default = (SimulationConfig() if config is None else config).optical
    kind = kind_of_frame(frame, asked=asked, default=default)
    if config is not None and asked is None and default == 'plate' and kind == 'ccd':
        msg = (
            "'optical' is taken as a CCD frame, not as the plate that 'config' has (the default): "
            f"{why_not_a_plate(frame)}; set optical='ccd' there with the depth and seeing of the "
            'image'
        )
        warnings.warn(msg, DataQualityWarning, stacklevel=3)
    return kind


class _OnImage:
    """
    The components of a list of sources in the frame of an image: `observe` asks for no more.
    """

    def __init__(self, sources, image, position, observation):
        self.pictures = sources.pictures
        self._rows = sources.components()
        x, y, self._rows['angle'] = place_on(
            image.wcs, position, self._rows['x'], self._rows['y'], self._rows['angle']
        )
        self._rows['x'] = (x - observation.center[0]) * observation.pixel
        self._rows['y'] = (y - observation.center[1]) * observation.pixel

    def components(self):
        # some projections have no pixel for what is far away
        there = np.isfinite(self._rows['x']) & np.isfinite(self._rows['y'])
        return self._rows[there]


def _observation_of(image, mission, psf, config, axis):
    """
    Describe how the image looks at the sky, in the terms of a simulated observation.
    """
    exposure = np.ones(image.shape) if image.exposure is None else image.exposure.astype(float)
    exposure = np.where(image.mask, 0.0, exposure)
    if axis is None:
        axis = _axis_of(exposure)
    response = exposure / exposure.max() if exposure.max() > 0 else exposure
    return Observation(
        pixel=float(image.pixel_scale.value),
        center=(float(axis[0]), float(axis[1])),
        response=response,
        live=(exposure > 0).astype(float),
        exposure=exposure.astype(np.float32),
        # the image has its background already
        background=np.zeros(image.shape, np.float32),
        # the sources bring their counts along
        rate=math.nan,
        time=math.nan,
        roll=0.0,
        out_of_time=0.0,
        chips=(),
        psf=point_spread_of(image, mission, psf)
        .scaled(config.psf_factor)
        .sloped(config.psf_slope_factor),
        instrument=image.instrument,
    )


def _axis_of(exposure):
    """
    Return where the exposure is largest, from 1 / (1 + (t / t0)**2) fitted to the whole map.

    The inverse of that is linear in 1, x, y and x**2 + y**2. Gaps and dead columns, which lie
    below it, are left out step by step. The middle of what is exposed if it does not fall.
    """
    step = max(1, min(exposure.shape) // 200)
    sample = exposure[::step, ::step]
    y, x = np.nonzero(sample > 0)
    if len(x) == 0:
        return tuple((size - 1) / 2 for size in exposure.shape[::-1])
    middle = (x.min() + x.max()) / 2 * step, (y.min() + y.max()) / 2 * step
    value = sample[y, x] / sample.max()
    x, y = x * step - middle[0], y * step - middle[1]
    terms = np.stack([np.ones(len(x)), x, y, x * x + y * y], axis=1)
    kept = value > 0.2
    for _ in range(6):
        if kept.sum() < 50:
            return middle
        a, b, c, d = np.linalg.lstsq(terms[kept], 1 / value[kept], rcond=None)[0]
        excess = 1 / value - terms @ (a, b, c, d)
        kept = (value > 0.2) & (excess < 1.5 * np.std(excess[kept]))
    reach = float(np.hypot(x, y).max())
    # flat: it must fall by a tenth to the edge at least
    if not d * reach * reach > 0.1 * a > 0:
        return middle
    place = middle[0] - b / (2 * d), middle[1] - c / (2 * d)
    inside = all(0 <= p <= size - 1 for p, size in zip(place, exposure.shape[::-1], strict=True))
    return tuple(float(p) for p in place) if inside else middle


def _draw_population(listed, image, observation, position, rate, config, rng):
    (ny, nx), (x, y) = image.shape, observation.center
    # a square about the axis that holds the whole image and what scatters into it
    half_side = max(x, nx - 1 - x, y, ny - 1 - y) * observation.pixel + 90.0
    populate(
        listed,
        target='none' if config.target == 'random' else config.target,
        level=float(image.counts[observation.response > 0.5].mean()) / observation.pixel**2,
        latitude=galactic_latitude(position),
        area=(2 * half_side / 3600) ** 2,
        half_side=half_side,
        counts_per_flux=rate,
        config=config,
        rng=rng,
    )


def _column(table, name, *, needed=False):
    """
    Return a column in its unit, NaN where it is masked, or all NaN where there is none.
    """
    unit = _COLUMNS.get(name, u.deg)
    if name not in table.colnames:
        if needed:
            msg = f"'sources' has no column {name!r}; it has {', '.join(table.colnames)}"
            raise ValueError(msg)
        return np.full(len(table), np.nan)
    try:
        values = np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)
        own = table[name].unit
        values = np.asarray(values, float)
        if own is not None and own != unit:
            values = (values * own).to_value(unit)
    except (TypeError, ValueError, u.UnitConversionError) as error:
        msg = f'column {name!r} of the sources must hold numbers in {unit or "plain"}: {error}'
        raise ValueError(msg) from error
    low, high = _ALLOWED.get(name, (-360, 360))
    wrong = np.isinf(values) | (values < low) | (values > high)
    if needed:
        wrong |= np.isnan(values)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        msg = (
            f'sources, row {row}, column {name!r}: {values[row]:g} is not between {low:g} and '
            f'{high:g}' + ('' if needed else ', nor NaN for not given')
        )
        raise ValueError(msg)
    return values


def _read_table(listed, table, position, rate, no_rate):
    """
    Add the rows of a table to a list of sources.
    """
    ra, dec = (_column(table, name, needed=True) for name in ('ra', 'dec'))
    if (np.abs(dec) > 90).any():
        row = int(np.flatnonzero(np.abs(dec) > 90)[0])
        msg = f"sources, row {row}, column 'dec': {dec[row]:g} is not between -90 and 90"
        raise ValueError(msg)
    values = {name: _column(table, name) for name in _COLUMNS}
    flux, counts = values['flux'], values.pop('counts')
    if rate is None and (np.isfinite(flux) & np.isnan(counts)).any():
        raise ValueError(no_rate)
    counts = np.where(np.isnan(counts), flux * (0.0 if rate is None else rate), counts)
    values['flux'] = np.where(np.isnan(flux) & (rate is not None), counts / (rate or 1.0), flux)
    unknown = np.flatnonzero(np.isnan(counts))
    if len(unknown):
        msg = f"sources, row {unknown[0]}: neither 'counts' nor 'flux' is given"
        raise ValueError(msg)
    x, y = sky_to_offsets(position, ra, dec)
    far = np.flatnonzero(np.isnan(x) | np.isnan(y))
    if len(far):
        msg = (
            f'sources, row {far[0]}: (ra, dec) = ({ra[far[0]]:g}, {dec[far[0]]:g}) is a quarter of '
            f'the sky away from the image; are the columns in deg?'
        )
        raise ValueError(msg)
    for row in range(len(table)):
        one = {name: float(column[row]) for name, column in values.items()}
        place = float(x[row]), float(y[row])
        if np.isfinite(one['core_radius']):
            _add_cluster(listed, place, float(counts[row]), one)
        else:
            number = listed.add(
                'point',
                'agn',
                x=place[0],
                y=place[1],
                flux=one['flux'],
                n_expected=counts[row],
                redshift=one['redshift'],
                # fainter than any image shows
                magnitude=99.0 if math.isnan(one['magnitude']) else one['magnitude'],
            )
            listed.add_components(number, POINT, *place, counts[row])


def _add_cluster(listed, place, counts, one):
    redshift, mass, outer = one['redshift'], one['mass'], one['radius_500']
    luminosity = np.nan
    if math.isfinite(redshift) and one['flux'] > 0:
        distance = float(cosmology.luminosity_distance(redshift)) * 3.0857e24
        luminosity = one['flux'] * 4 * math.pi * distance**2
        if math.isnan(mass):
            mass = float(mass_from_luminosity(luminosity, redshift))
    if math.isnan(outer):
        if math.isfinite(mass):
            outer = float(cosmology.angular_size(radius_500(mass, redshift), redshift))
        else:
            outer = one['core_radius'] / _CORE_OVER_R500
    richness = one['richness']
    if math.isnan(richness) and math.isfinite(mass):
        richness = float(richness_from_mass(mass, redshift))
    shape = {
        'core_radius': one['core_radius'],
        'axis_ratio': 1.0 if math.isnan(one['axis_ratio']) else one['axis_ratio'],
        'angle': 0.0 if math.isnan(one['angle']) else math.radians(one['angle']),
    }
    far = math.isfinite(redshift) and redshift >= LOW_REDSHIFT
    number = listed.add(
        'cluster',
        'hi-z' if far else 'low-z',
        x=place[0],
        y=place[1],
        flux=one['flux'],
        n_expected=counts,
        redshift=redshift,
        luminosity=luminosity,
        mass=mass,
        radius_500=outer,
        richness=richness,
        **shape,
    )[0]
    beta = 2 / 3 if math.isnan(one['beta']) else one['beta']
    add_gas(listed, number, place, counts, outer=outer, beta=beta, **shape)
