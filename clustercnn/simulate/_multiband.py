# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The optical sky in several bands: drawn once with its colours, seen in each band with its own
depth, seeing, sky and astrometric error.
"""

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData

from clustercnn.core import pixel_scale_of
from clustercnn.simulate._added_light import add_light
from clustercnn.simulate._colours import BANDS, draw_magnitudes, nearby_galaxy_magnitudes
from clustercnn.simulate._plate import coadded_frame
from clustercnn.simulate._sky_catalog import SkyCatalog
from clustercnn.simulate._stamps import WIDE_SIZES, add_round
from clustercnn.simulate._wcs import check_frame, place_on, tangent_header
from clustercnn.simulate.optical import (
    STAR_SHAPE,
    add_counterparts,
    draw_sky,
    fill_catalog,
    galaxy_number_counts,
    large_galaxies,
    pixels_of,
)

__all__ = [
    'ZERO_POINT',
    'band_catalog',
    'deep_galaxy_counts',
    'faintest_red',
    'inject_optical_bands',
    'noise_of',
    'observe_bands',
    'simulate_optical_bands',
]

ZERO_POINT = 22.5
"""AB magnitude of one nanomaggy, the unit of the images."""

# the full width at half maximum of a star in widths of its core
_FWHM = 2.41
# magnitudes beyond the depth of a band to which objects are drawn in it
_BEYOND_DEPTH = 0.7
# R less the magnitude in a band of all but the reddest objects
_RED_EXCESS = {'g': -0.1, 'r': -0.1, 'i': 0.9, 'z': 1.6}
# half-light radii below this, in widths of a star, that the seeing hides in faint galaxies
_COMPACT = 1.0
# magnitudes above the depth from which on small galaxies show their profile, and their shape
_HIDDEN, _FAINT = 2.5, 0.5


def deep_galaxy_counts(magnitude):
    """
    Return the surface density of field galaxies, also beyond R = 25.

    There the counts go on with a slope of 0.25 (Metcalfe et al. 2001, MNRAS 323, 795).

    Parameters
    ----------
    magnitude : (n,) `~numpy.ndarray`
        R magnitude, 12 to 29.

    Returns
    -------
    number : (n,) `~numpy.ndarray`
        Per deg2 and magnitude.

    Examples
    --------
    >>> from clustercnn.simulate import galaxy_number_counts
    >>> from clustercnn.simulate._multiband import deep_galaxy_counts
    >>> round(float(deep_galaxy_counts(27.0) / galaxy_number_counts(25.0)), 2)
    3.16
    """
    beyond = np.clip(np.asarray(magnitude, dtype=float) - 25.0, 0, None)
    return galaxy_number_counts(magnitude) * 10 ** (0.25 * beyond)


def faintest_red(bands):
    """
    Return the R magnitude to which the sky is drawn so that no band misses objects.

    Parameters
    ----------
    bands : sequence of `~clustercnn.simulate.OpticalBand`
        The bands.

    Returns
    -------
    magnitude : float
        In R.
    """
    return max(band.depth + _RED_EXCESS[band.name] for band in bands) + _BEYOND_DEPTH


def noise_of(band, pixel):
    """
    Return the width of a star and the noise that gives the depth of a band.

    A point source of the depth has a signal to noise of 5 if its pixels are weighted by its
    profile: the noise of the sum over the effective area, 1 / sum(P**2).

    Parameters
    ----------
    band : `~clustercnn.simulate.OpticalBand`
        The band.
    pixel : float
        In arcsec.

    Returns
    -------
    width : float
        Of the core of a star in pixels.
    noise : float
        A pixel, in units of the sky.
    """
    width = float(band.seeing.to_value(u.arcsec)) / _FWHM / pixel
    variances = [(weight, (scale * width) ** 2 + 1 / 12) for weight, scale in STAR_SHAPE]
    squared = sum(a * b / (2 * np.pi * (v + w)) for a, v in variances for b, w in variances)
    flux = 10 ** (-0.4 * (band.depth - band.sky_brightness)) / pixel**2
    return width, flux * np.sqrt(squared) / 5.0


class _OneBand:
    """
    What of a catalogue can be seen in one band.
    """

    def __init__(self):
        self._rows = {}

    def add(self, kind, rows):
        held = self._rows.get(kind)
        self._rows[kind] = rows if held is None else np.concatenate([held, rows], axis=1)

    def rows(self, kind):
        return self._rows.get(kind, np.zeros((6, 0)))


def band_catalog(catalog, rng):
    """
    Draw the magnitudes of all objects in all bands.

    Parameters
    ----------
    catalog : object
        With ``rows(kind)`` and ``traits(kind)``, of the optical sky.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    magnitudes : dict of str to (4, n) `~numpy.ndarray`
        By profile, AB, in the order of `~clustercnn.simulate._colours.BANDS`.
    """
    return {
        kind: draw_magnitudes(kind, catalog.rows(kind)[2], *catalog.traits(kind), rng)
        for kind in ('point', 'disk', 'bulge')
    }


def _seen_in(band, catalog, magnitudes):
    """
    Return what can be seen in a band, small galaxies as compact ones, below the depth as faint.
    """
    seen = _OneBand()
    sigma = float(band.seeing.to_value(u.arcsec)) / _FWHM
    for kind, by_band in magnitudes.items():
        magnitude = by_band[BANDS.index(band.name)]
        bright = magnitude < band.depth + _BEYOND_DEPTH
        rows = catalog.rows(kind)[:, bright]
        rows[2] = magnitude[bright]
        if kind == 'point':
            seen.add(kind, rows)
            continue
        radius = rows[3] / sigma
        compact = (radius < _COMPACT) & (rows[2] > band.depth - _HIDDEN)
        faint = compact & (rows[2] > band.depth - _FAINT)
        blurred = (radius < 2 * _COMPACT) & ~compact
        seen.add(kind, rows[:, ~(compact | blurred)])
        seen.add(f'blurred {kind}', rows[:, blurred])
        seen.add('compact', rows[:, compact & ~faint])
        seen.add('faint', rows[:, faint])
    return seen


def _galaxies_in(band, galaxies, pairs, seeds):
    """
    Return nearby galaxies as a band shows them, with the same arms in all bands.
    """
    index = BANDS.index(band.name)
    rows = []
    for galaxy, (disk, bulge), seed in zip(galaxies, pairs, seeds, strict=True):
        ratio = 10 ** (-0.4 * (bulge[index] - disk[index]))
        drawn = {'magnitude': disk[index], 'bulge_ratio': ratio}
        rows.append({**galaxy, **drawn, 'rng': np.random.default_rng(seed)})
    return rows


def _see(bands, catalog, sources, rng):
    """
    Yield each band with what is seen in it, its nearby galaxies, its place and its own draws.
    """
    magnitudes = band_catalog(catalog, rng)
    galaxies = large_galaxies(sources, None)
    pairs = [
        nearby_galaxy_magnitudes(galaxy['magnitude'], galaxy['elliptical'], rng)
        for galaxy in galaxies
    ]
    seeds = rng.integers(2**62, size=len(galaxies))
    # a stream for each band of the system, so that leaving one out changes no other
    streams = dict(zip(BANDS, rng.spawn(len(BANDS)), strict=True))
    for band in bands:
        stream = streams[band.name]
        offset = band.offset * stream.standard_normal(2)
        large = _galaxies_in(band, galaxies, pairs, seeds)
        yield band, _seen_in(band, catalog, magnitudes), large, offset, stream


def simulate_optical_bands(
    sources, *, config, position, field, latitude, rng, colours, bright_stars=None, depth=None
):
    """
    Draw the optical images in several bands that belong to a list of X-ray sources.

    Parameters
    ----------
    sources : structured `~numpy.ndarray`
        Rows of `~clustercnn.simulate._sources.SourceList`.
    config : `~clustercnn.simulate.SimulationConfig`
        Bands, pixel scale, and astrometric error against the X-rays.
    position : tuple of float
        Right ascension and declination of the tangent point in deg.
    field : float
        Side in arcmin.
    latitude : float
        Galactic latitude in deg.
    rng : `~numpy.random.Generator`
        Source of the draws of the sky in R.
    colours : `~numpy.random.Generator`
        Source of the draws of the colours and of what the bands do to them.
    bright_stars, depth : object, optional
        As for `~clustercnn.simulate.optical.simulate_optical`; clouds dim all bands alike.

    Returns
    -------
    images : dict of str to `~astropy.nddata.CCDData`
        By band, in nanomaggies a pixel, with one TAN WCS.
    """
    pixel = float(config.optical_pixel_scale.value)
    n = pixels_of(config, field)
    catalog = fill_catalog(
        sources,
        n * pixel / 2 + 20,
        faintest_red(config.optical_bands),
        latitude,
        rng,
        deep_galaxy_counts,
        bright_stars=bright_stars,
        depth=depth,
    )
    common = config.optical_offset * rng.standard_normal(2)
    return observe_bands(
        catalog, sources, config=config, n=n, position=position, colours=colours, common=common
    )


def observe_bands(catalog, sources, *, config, n, position, colours, common=(0.0, 0.0)):
    """
    Take the images of a sky that is drawn already.

    Parameters
    ----------
    catalog : object
        With ``rows(kind)`` and ``traits(kind)``, of the optical sky.
    sources : structured `~numpy.ndarray`
        Rows of `~clustercnn.simulate._sources.SourceList`, for the nearby galaxies.
    config : `~clustercnn.simulate.SimulationConfig`
        Bands and pixel scale.
    n : int
        Pixels along a side.
    position : tuple of float
        Right ascension and declination of the tangent point in deg.
    colours : `~numpy.random.Generator`
        Source of the draws.
    common : sequence of float, optional
        Astrometric error of all bands in arcsec.

    Returns
    -------
    images : dict of str to `~astropy.nddata.CCDData`
        As for `simulate_optical_bands`.
    """
    pixel = float(config.optical_pixel_scale.value)
    center = (n - 1) / 2
    wcs, _ = tangent_header(position, (center, center), pixel)
    images = {}
    for band, seen, large, own, stream in _see(config.optical_bands, catalog, sources, colours):
        offset = common + own

        def place(x, y, angle, offset=offset):
            return (x + offset[0]) / pixel + center, (y + offset[1]) / pixel + center, angle

        light, noise = _light((n, n), band, seen, large, place, pixel, stream)
        data = coadded_frame(light, noise=noise, rng=stream)
        data *= np.float32(10 ** (0.4 * (ZERO_POINT - band.sky_brightness)) * pixel**2)
        _, header = tangent_header(position, (center, center), pixel)
        header['SURVEY'] = ('SIMULATED', 'not a picture of the sky')
        header['BANDPASS'] = (band.name, 'ccd')
        header['MAGZERO'] = (ZERO_POINT, 'AB magnitude of 1')
        images[band.name] = CCDData(data, unit=u.nmgy, wcs=wcs, meta=header)
    return images


def _light(shape, band, seen, large, place, pixel, rng):
    width, noise = noise_of(band, pixel)
    light = np.zeros(shape)
    draw_sky(
        light,
        seen,
        large,
        place=place,
        pixel=pixel,
        width=width,
        noise=noise,
        rng=rng,
        sky=band.sky_brightness,
        wings={'faintest': min(0.01, 2 * noise), 'fade': True},
        sizes=WIDE_SIZES,
    )
    x, y, magnitude, radius, _, angle = seen.rows('faint')
    if len(x):
        x, y, _ = place(x, y, angle)
        flux = 10 ** (-0.4 * (magnitude - band.sky_brightness)) / pixel**2
        # the half-light radius of a Gaussian is 1.177 standard deviations
        spread = np.hypot(1.1 * width, np.median(radius) / 1.177 / pixel)
        add_round(light, x, y, flux, spread)
    return light, noise


def inject_optical_bands(frames, sources, *, config, position, rng):
    """
    Draw the optical counterparts of X-ray sources into images of several bands.

    Brightness goes by the noise of each image, as for one optical image, with the depth and
    seeing of the band in ``config.optical_bands``.

    Parameters
    ----------
    frames : dict of str to `~astropy.nddata.CCDData`
        By band; each with a celestial WCS of its own.
    sources : structured `~numpy.ndarray`
        Rows of `~clustercnn.simulate._sources.SourceList`, offsets from ``position``.
    config : `~clustercnn.simulate.SimulationConfig`
        The bands.
    position : tuple of float
        Right ascension and declination in deg.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    frames : dict of str to `~astropy.nddata.CCDData`
        Copies.

    Raises
    ------
    TypeError, ValueError
        If an image is none or has no WCS, or the settings do not have its band.
    """
    if not frames:
        return {}
    for name, frame in frames.items():
        check_frame(f'optical[{name!r}]', frame)
    bands = [band for band in config.optical_bands or () if band.name in frames]
    unknown = sorted(set(frames) - {band.name for band in bands})
    if unknown:
        have = ', '.join(band.name for band in config.optical_bands or ()) or 'none'
        msg = (
            f"'optical' has the band {unknown[0]!r}, of which 'optical_bands' of the configuration "
            f"says no depth (it has {have}); name bands or a survey there, with optical='ccd'"
        )
        raise ValueError(msg)
    catalog = SkyCatalog()
    add_counterparts(catalog, sources, faintest_red(bands), rng)
    injected = {}
    for band, seen, large, _, stream in _see(bands, catalog, sources, rng):
        frame = frames[band.name]
        pixel = float(pixel_scale_of(frame.wcs.celestial).value)

        def place(x, y, angle, wcs=frame.wcs):
            return place_on(wcs, position, x, y, angle)

        light, noise = _light(frame.shape, band, seen, large, place, pixel, stream)
        injected[band.name] = add_light(frame, light, noise, 'ccd')
    return {name: injected[name] for name in frames}
