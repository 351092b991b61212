# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The optical sky over an X-ray field: field galaxies, stars, cluster members,
counterparts, drawn on a photographic plate or a CCD frame.
"""

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData

from clustercnn.core import pixel_scale_of
from clustercnn.simulate import _cosmology as cosmology
from clustercnn.simulate._added_light import add_light
from clustercnn.simulate._colours import POPULATIONS
from clustercnn.simulate._plate import (
    add_bright_stars,
    add_large_galaxy,
    ccd_frame,
    plate_scan,
)
from clustercnn.simulate._sky_catalog import SkyCatalog, traits_of
from clustercnn.simulate._sources import CLASS_NAMES, SUBCLASS_NAMES
from clustercnn.simulate._stamps import MIXTURES, add_gaussians, profile_gaussians
from clustercnn.simulate._wcs import check_frame, place_on, tangent_header
from clustercnn.simulate.galactic import extinction

__all__ = [
    'characteristic_magnitude',
    'galaxy_number_counts',
    'simulate_optical',
    'star_number_counts',
]

SKY_BRIGHTNESS = 20.8
"""R magnitude of a square arcsec of dark sky."""

BRIGHT_STAR = 8.5
"""R magnitude down to which the X-ray side knows the stars of a field."""

STAR_SHAPE = ((0.82, 1.0), (0.18, 2.3))
"""
Weights and widths, in units of the core, of the Gaussians that make up a star.
"""

# magnitudes beyond the depth to which objects are drawn: together they still make a texture
_BEYOND_DEPTH = 1.2

# log10 of galaxies per deg2 and mag in R, rounded from the compilations of Yasuda et al. 2001
# (bright) and Metcalfe et al. 2001 (faint), whose bins are half a magnitude wide
_GALAXY_COUNTS = {
    'magnitude': np.arange(12.0, 26.0),
    'log_number': np.array(
        [-1.25, -0.65, -0.05, 0.55, 1.16, 1.74, 2.27, 2.77, 3.21, 3.60, 3.97, 4.32, 4.64, 4.92]
    ),
}
# log10 of stars per deg2 brighter than R at Galactic latitudes 10, 30, 90 deg: the shapes of
# star-count models (Bahcall & Soneira 1980; Allen's Astrophysical Quantities), which are for
# bluer bands, raised to the densities of Tycho-2 (Hog et al. 2000, A&A 355, L27: 150, 50 and 25
# at 0, 30 and 90 deg, complete to V of about 11.5) and of the SDSS (Juric et al. 2008)
_STAR_COUNTS = {
    'magnitude': np.array([4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 22.0, 24.0]),
    'sine': np.array([0.17, 0.5, 1.0]),
    'log_number': np.array(
        [
            [-1.5, -0.6, 0.35, 1.35, 2.2, 2.95, 3.6, 4.2, 4.67, 5.05, 5.25],
            [-1.7, -0.8, 0.1, 1.05, 1.8, 2.45, 3.0, 3.45, 3.82, 4.1, 4.3],
            [-1.9, -1.0, -0.1, 0.8, 1.5, 2.05, 2.55, 2.95, 3.32, 3.6, 3.85],
        ]
    ),
}


def galaxy_number_counts(magnitude):
    """
    Return the surface density of field galaxies.

    Parameters
    ----------
    magnitude : array-like
        R magnitude, 12 to 25.

    Returns
    -------
    number : `~numpy.ndarray`
        Of the shape of ``magnitude``.
        Per deg2 and magnitude.

    Examples
    --------
    >>> from clustercnn.simulate import galaxy_number_counts
    >>> round(float(galaxy_number_counts(20.0)))
    1622
    """
    log_number = np.interp(magnitude, _GALAXY_COUNTS['magnitude'], _GALAXY_COUNTS['log_number'])
    return 10**log_number


def star_number_counts(magnitude, latitude):
    """
    Return how many stars a square degree are brighter than a magnitude.

    Parameters
    ----------
    magnitude : array-like
        R magnitude, 4 to 24.
    latitude : float
        Galactic latitude in deg.

    Returns
    -------
    number : `~numpy.ndarray`
        Of the shape of ``magnitude``.
        Per deg2.

    Examples
    --------
    >>> from clustercnn.simulate import star_number_counts
    >>> float(star_number_counts(20.0, 30.0)) > float(star_number_counts(20.0, 80.0))
    True
    """
    sine = abs(np.sin(np.deg2rad(latitude)))
    per_latitude = [
        np.interp(magnitude, _STAR_COUNTS['magnitude'], row) for row in _STAR_COUNTS['log_number']
    ]
    nodes = _STAR_COUNTS['sine']
    sine = float(np.clip(sine, nodes[0], nodes[-1]))
    upper = int(np.clip(np.searchsorted(nodes, sine), 1, len(nodes) - 1))
    weight = (sine - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1])
    return 10 ** (per_latitude[upper - 1] * (1 - weight) + per_latitude[upper] * weight)


def characteristic_magnitude(redshift):
    """
    Return the R magnitude of an L* early-type galaxy.

    ``M* = -21.3`` with the K correction of an elliptical (Fukugita et al. 1995,
    rounded) and passive brightening by 0.9 mag a unit redshift.

    Parameters
    ----------
    redshift : array-like
        Up to 1.6.

    Returns
    -------
    magnitude : `~numpy.ndarray`
        Of the shape of ``redshift``.
        In R.

    Examples
    --------
    >>> from clustercnn.simulate import characteristic_magnitude
    >>> characteristic_magnitude([0.1, 0.5]).round(1).tolist()
    [17.0, 21.4]
    """
    redshift = np.asarray(redshift, dtype=float)
    correction = np.interp(
        redshift,
        [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.3, 1.6],
        [0, 0.1, 0.22, 0.38, 0.6, 0.85, 1.4, 2.0, 2.7, 3.3],
    )
    modulus = 5 * np.log10(cosmology.luminosity_distance(redshift)) + 25
    return -21.3 + modulus + correction - 0.9 * redshift


def _draw_from(cumulative, values, n, rng):
    total = np.concatenate([[0.0], np.cumsum(cumulative)])
    return np.interp(rng.random(n) * total[-1], total, values)


def add_field_galaxies(catalog, half_side, faintest, rng, counts=galaxy_number_counts):
    area = (2 * half_side / 3600) ** 2
    edges = np.linspace(12.5, faintest, 101)
    middle = (edges[1:] + edges[:-1]) / 2
    number = counts(middle) * (edges[1] - edges[0]) * area
    n = rng.poisson(number.sum())
    magnitude = _draw_from(number, edges, n, rng)
    x, y = rng.uniform(-half_side, half_side, (2, n))
    # a third of them in loose groups: the galaxy distribution is not Poisson
    grouped = np.flatnonzero(rng.random(n) < 0.35)
    n_groups = max(1, len(grouped) // 7)
    group = rng.integers(0, n_groups, len(grouped))
    group_x, group_y = rng.uniform(-half_side, half_side, (2, n_groups))
    spread = 10 ** rng.uniform(1.5, 2.5, n_groups)
    x[grouped] = group_x[group] + spread[group] * rng.standard_normal(len(grouped))
    y[grouped] = group_y[group] + spread[group] * rng.standard_normal(len(grouped))
    catalog.add_galaxies(x, y, magnitude, _half_light_radius(magnitude, rng), 0.35, rng)


def _half_light_radius(magnitude, rng):
    # arcsec: about 2 at R = 18 and 1 at R = 20 (Shen et al. 2003), 0.2 dex scatter
    log_radius = 0.30 - 0.15 * (magnitude - 18) + 0.2 * rng.standard_normal(len(magnitude))
    return np.clip(10**log_radius, 0.15, 40.0)


def add_stars(catalog, half_side, faintest, latitude, rng):
    area = (2 * half_side / 3600) ** 2
    edges = np.linspace(4.0, faintest, 161)
    number = np.diff(star_number_counts(edges, latitude)) * area
    n = rng.poisson(number.sum())
    magnitude = _draw_from(number, edges, n, rng)
    x, y = rng.uniform(-half_side, half_side, (2, n))
    catalog.add('point', x, y, magnitude, traits=traits_of('star'))


def add_cluster_members(catalog, cluster, faintest, rng):
    redshift, outer = float(cluster['redshift']), float(cluster['radius_500'])
    bright = float(characteristic_magnitude(redshift))
    # the brightest galaxy: 2 mag above L*, brighter in heavier clusters (Lin & Mohr 2004)
    magnitude = bright - 1.9 - 0.6 * np.log10(cluster['mass'] / 2e14)
    magnitude = magnitude + 0.3 * rng.standard_normal()
    shift = 0.02 * outer * rng.standard_normal(2)
    radius = float(cosmology.angular_size(0.022, redshift)) * 10 ** (0.15 * rng.standard_normal())
    angle = cluster['angle'] + 0.3 * rng.standard_normal()
    ratio = rng.uniform(0.6, 0.95)
    place = cluster['x'] + shift[0], cluster['y'] + shift[1]
    if magnitude < faintest:
        traits = traits_of('red', redshift, magnitude - bright)
        catalog.add('bulge', *place, magnitude, radius, ratio, angle, traits)

    # Schechter function of slope -1; richness counts the galaxies above 0.2 L*
    dimmest = max(10 ** (-0.4 * (faintest - bright)), 0.005)
    edges = np.linspace(np.log(dimmest), np.log(8.0), 201)
    middle = (edges[1:] + edges[:-1]) / 2
    density = np.exp(-np.exp(middle)) * (edges[1] - edges[0]) if dimmest < 8 else np.zeros(200)
    rich = np.linspace(np.log(0.2), np.log(8.0), 201)
    norm = np.exp(-np.exp((rich[1:] + rich[:-1]) / 2)).sum() * (rich[1] - rich[0])
    # members are counted inside about 0.8 r500, the profile is drawn to 2 r500
    n = rng.poisson(1.6 * cluster['richness'] * density.sum() / norm)
    luminosity = np.exp(_draw_from(density, edges, n, rng)) if n else np.zeros(0)
    radii = np.linspace(0, 2, 201)
    scaled = radii * 2.7
    profile = np.log(1 + scaled) - scaled / (1 + scaled)
    distance = np.interp(rng.random(n) * profile[-1], profile, radii) * outer
    cosine = rng.uniform(-1, 1, n)
    distance = distance * np.sqrt(1 - cosine**2)
    turn = rng.uniform(0, 2 * np.pi, n)
    stretch = np.sqrt(cluster['axis_ratio'])
    along, across = distance * np.cos(turn) / stretch, distance * np.sin(turn) * stretch
    cos, sin = np.cos(cluster['angle']), np.sin(cluster['angle'])
    size = float(cosmology.angular_size(0.0045, redshift))
    radius = size * luminosity**0.5 * 10 ** (0.2 * rng.standard_normal(n))
    relative = -2.5 * np.log10(np.maximum(luminosity, 1e-6))
    catalog.add_galaxies(
        cluster['x'] + along * cos - across * sin,
        cluster['y'] + along * sin + across * cos,
        bright + relative,
        np.maximum(radius, 0.2),
        0.75,
        rng,
        traits_of('member', redshift, relative, distance / outer),
    )


def fill_catalog(
    rows,
    half_side,
    faintest,
    latitude,
    rng,
    counts=galaxy_number_counts,
    *,
    bright_stars=None,
    depth=None,
):
    catalog = SkyCatalog()
    add_field_galaxies(catalog, half_side, faintest, rng, counts)
    add_stars(catalog, half_side, faintest, latitude, rng)
    if bright_stars is not None:
        catalog.drop_brighter(BRIGHT_STAR)
        catalog.add('point', *bright_stars, traits=traits_of('star'))
    add_counterparts(catalog, rows, faintest, rng)
    if depth is not None:
        catalog.dim(lambda x, y: extinction(depth(x, y)))
    return catalog


def add_counterparts(catalog, rows, faintest, rng):
    # injected clusters may come without a redshift, of which the optical sky knows nothing
    known = (rows['class'] == CLASS_NAMES.index('cluster')) & np.isfinite(rows['mass'])
    for cluster in rows[known & np.isfinite(rows['redshift'])]:
        add_cluster_members(catalog, cluster, faintest, rng)
    point = rows[rows['class'] == CLASS_NAMES.index('point')]
    seen = point[point['magnitude'] < faintest]
    coronal = seen['subclass'] == SUBCLASS_NAMES.index('star')
    # a nucleus of unknown redshift has the colours of a usual one
    traits = traits_of('nucleus', np.nan_to_num(seen['redshift'], nan=1.0))
    traits = (np.where(coronal, POPULATIONS.index('coronal'), traits[0]), *traits[1:])
    catalog.add('point', seen['x'], seen['y'], seen['magnitude'], traits=traits)
    # active members off the centre sit in a galaxy of their own
    members = point[np.isnan(point['magnitude']) & (point['redshift'] > 0)]
    if len(members):
        relative = rng.normal(0, 0.7, len(members))
        magnitude = characteristic_magnitude(members['redshift']) + relative
        parents = rows[members['parent'] - 1]
        away = np.hypot(members['x'] - parents['x'], members['y'] - parents['y']) > 3
        chosen = away & (magnitude < faintest)
        columns = members['x'], members['y'], magnitude
        traits = traits_of('red', members['redshift'][chosen], relative[chosen])
        catalog.add('bulge', *(c[chosen] for c in columns), 0.8, 0.8, traits=traits)


def simulate_optical(
    sources, *, config, position, field, latitude, rng, bright_stars=None, depth=None
):
    """
    Draw the optical image that belongs to a list of X-ray sources.

    Parameters
    ----------
    sources : structured `~numpy.ndarray`
        Rows of `~clustercnn.simulate._sources.SourceList`.
    config : `~clustercnn.simulate.SimulationConfig`
        Kind, depth, pixel scale, seeing, contrast and astrometric error.
    position : tuple of float
        Right ascension and declination of the tangent point in deg.
    field : float
        Side in arcmin.
    latitude : float
        Galactic latitude in deg.
    rng : `~numpy.random.Generator`
        Source of the draws.
    bright_stars : tuple of (n,) `~numpy.ndarray`, optional
        Offsets in arcsec and magnitudes of the stars that the X-ray side knows; those of the
        same brightness that are drawn here give way to them.
    depth : callable, optional
        Takes offsets in arcsec and returns the optical depth of clouds in X-rays.

    Returns
    -------
    image : `~astropy.nddata.CCDData`
        In adu, with a TAN WCS.
    """
    pixel = float(config.optical_pixel_scale.value)
    n = pixels_of(config, field)
    half_side = n * pixel / 2
    look = _look(config, pixel)
    faintest = config.optical_depth + _BEYOND_DEPTH

    catalog = fill_catalog(
        sources,
        half_side + 20,
        faintest,
        latitude,
        rng,
        bright_stars=bright_stars,
        depth=depth,
    )
    offset = config.optical_offset * rng.standard_normal(2)
    center = (n - 1) / 2
    image = np.zeros((n, n))

    def place(x, y, angle):
        return (x + offset[0]) / pixel + center, (y + offset[1]) / pixel + center, angle

    draw_sky(image, catalog, large_galaxies(sources, rng), place=place, rng=rng, **look)
    noise = look['noise']
    if config.optical == 'plate':
        data = plate_scan(image, noise=noise, contrast=config.optical_contrast, rng=rng)
    else:
        data = ccd_frame(image, noise=noise, rng=rng)
    wcs, header = tangent_header(position, (center, center), pixel)
    header['SURVEY'] = ('SIMULATED', 'not a picture of the sky')
    header['BANDPASS'] = ('R', config.optical)
    return CCDData(data, unit=u.adu, wcs=wcs, meta=header)


def pixels_of(config, field):
    """
    Return how many pixels an optical image has along a side.

    Parameters
    ----------
    config : `~clustercnn.simulate.SimulationConfig`
        Pixel scale and largest side.
    field : float
        Side of the X-ray field in arcmin.

    Returns
    -------
    n : int
        Pixels.
    """
    side = min(field, float(config.optical_size.to_value(u.arcmin))) * 60
    return int(np.ceil(side / float(config.optical_pixel_scale.value)))


def _look(config, pixel):
    """
    Return the pixel, the width of a star in pixels, and the noise a pixel that gives the depth.
    """
    width = float(config.optical_seeing.value) / 2.3548 / pixel
    # three sigma on a plate is what the eye sees; CCD depths are quoted at five
    limit = 3.0 if config.optical == 'plate' else 5.0
    faint_flux = 10 ** (-0.4 * (config.optical_depth - SKY_BRIGHTNESS)) / pixel**2
    noise = faint_flux / (limit * np.sqrt(4 * np.pi * (width**2 + 1 / 12)))
    return {'pixel': pixel, 'width': width, 'noise': noise}


def large_galaxies(sources, rng):
    """
    Return the nearby galaxies among X-ray sources, for `draw_sky`.

    Parameters
    ----------
    sources : structured `~numpy.ndarray`
        Rows of `~clustercnn.simulate._sources.SourceList`.
    rng : `~numpy.random.Generator` or None
        Source of the draws of their arms.

    Returns
    -------
    galaxies : list of dict
        One each.
    """
    return [
        {
            'x': row['x'],
            'y': row['y'],
            'angle': row['angle'],
            'magnitude': row['magnitude'],
            'radius': row['size'],
            'axis_ratio': row['axis_ratio'],
            'elliptical': bool(row['flavour']),
            'rng': rng,
        }
        for row in sources[sources['class'] == CLASS_NAMES.index('galaxy')]
    ]


def draw_sky(
    image,
    catalog,
    galaxies,
    *,
    place,
    pixel,
    width,
    noise,
    rng,
    sky=SKY_BRIGHTNESS,
    wings=None,
    sizes=None,
):
    """
    Add a catalogue, the wings of its bright stars, and nearby galaxies to an image.

    Parameters
    ----------
    image : (ny, nx) `~numpy.ndarray` of float
        Changed in place; 1 is the sky.
    catalog : object
        Its ``rows(kind)`` gives x, y, magnitude, radius in arcsec, axis ratio and angle for each
        profile of `~clustercnn.simulate._stamps.MIXTURES`.
    galaxies : sequence of dict
        Arguments of `~clustercnn.simulate._plate.add_large_galaxy`, with a magnitude instead of
        a flux.
    place : callable
        From x, y in arcsec and an angle to pixels and the angle in the image.
    pixel : float
        In arcsec.
    width : float
        Of a star in pixels.
    noise : float
        A pixel, in units of the sky.
    rng : `~numpy.random.Generator`
        Source of the draws.
    sky : float, optional
        Magnitude of a square arcsec of it.
    wings : dict, optional
        How the wings of bright stars end, see `~clustercnn.simulate._plate.add_bright_stars`.
    sizes : sequence of int, optional
        Of the stamps, see `~clustercnn.simulate._stamps.add_gaussians`.
    """
    gaussians = []
    bright = None
    for kind in MIXTURES:
        x, y, magnitude, radius, axis_ratio, angle = catalog.rows(kind)
        x, y, angle = place(x, y, angle)
        flux = 10 ** (-0.4 * (magnitude - sky))
        if kind == 'point':
            chosen = magnitude < 15.5
            bright = x[chosen], y[chosen], flux[chosen]
            seeing = STAR_SHAPE
        else:
            seeing = ((1.0, 1.1),)
        seeing = [(weight, scale * width) for weight, scale in seeing]
        gaussians.append(
            profile_gaussians(
                kind, x, y, flux / pixel**2, radius / pixel, axis_ratio, angle, seeing=seeing
            )
        )
    stamps = {} if sizes is None else {'sizes': sizes}
    add_gaussians(image, *np.concatenate(gaussians, axis=1), faintest=0.15 * noise, **stamps)
    spikes = rng.normal(0, 0.05)
    add_bright_stars(image, *bright, pixel=pixel, angle=spikes, **(wings or {}))
    for galaxy in galaxies:
        shape = dict(galaxy)
        x, y, angle = place(*(shape.pop(name) for name in ('x', 'y', 'angle')))
        flux = 10 ** (-0.4 * (shape.pop('magnitude') - sky))
        add_large_galaxy(image, x, y, flux, angle=angle, pixel=pixel, **shape)


def inject_optical(frame, sources, *, config, position, rng):
    """
    Draw the optical counterparts of X-ray sources into an image of the sky.

    Brightness goes by the noise of the image: its spread about the median stands for the
    noise that ``config.optical_depth`` has at ``config.optical_seeing``. On a plate the
    light is added to the intensity that the characteristic curve of
    `~clustercnn.simulate._plate.plate_scan`, through the sky level and below the largest
    value, gives for each pixel; its steepness follows from the noise. On a CCD it is added to the
    values.

    Parameters
    ----------
    frame : `~astropy.nddata.CCDData`
        With a celestial WCS.
    sources : structured `~numpy.ndarray`
        Rows of `~clustercnn.simulate._sources.SourceList`, offsets from ``position``.
    config : `~clustercnn.simulate.SimulationConfig`
        Kind, depth and seeing.
    position : tuple of float
        Right ascension and declination in deg.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    frame : `~astropy.nddata.CCDData`
        A copy; pixels that no source reaches are as they were.
    """
    check_frame('optical', frame)
    pixel = float(pixel_scale_of(frame.wcs.celestial).value)
    look = _look(config, pixel)
    catalog = SkyCatalog()
    add_counterparts(catalog, sources, config.optical_depth + _BEYOND_DEPTH, rng)
    light = np.zeros(frame.shape)

    def place(x, y, angle):
        return place_on(frame.wcs, position, x, y, angle)

    draw_sky(light, catalog, large_galaxies(sources, rng), place=place, rng=rng, **look)
    return add_light(frame, light, look['noise'], config.optical)
