# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What makes a picture of the sky look like a photographic plate or a CCD frame,
on plain arrays: halos and spikes, large galaxies, the response of the
emulsion, grain, scratches, trails. Intensities are in units of the night sky.
"""

import numpy as np
from scipy import ndimage, special

__all__ = [
    'add_bright_stars',
    'add_large_galaxy',
    'add_to_ccd',
    'add_to_plate',
    'ccd_frame',
    'coadded_frame',
    'plate_scan',
]

_FULL_SCALE = 13000.0
_SKY_DENSITY = 0.28
# a star of the SDSS saturates at r = 14, where its peak is some 300 times the sky
_COADD_FULL_WELL = 300.0


def _box(x, y, reach, shape):
    x0, x1 = max(0, int(x - reach)), min(shape[1], int(x + reach) + 2)
    y0, y1 = max(0, int(y - reach)), min(shape[0], int(y + reach) + 2)
    if x0 >= x1 or y0 >= y1:
        return None
    dx = np.arange(x0, x1)[np.newaxis, :] - x
    dy = np.arange(y0, y1)[:, np.newaxis] - y
    return (slice(y0, y1), slice(x0, x1)), dx, dy


def add_bright_stars(image, x, y, flux, *, pixel, angle, faintest=0.01, fade=False):
    """
    Add the wings, diffraction spikes and ghost halos of bright stars.

    Parameters
    ----------
    image : (ny, nx) `~numpy.ndarray` of float
        Changed in place; 1 is the sky.
    x, y : (n,) `~numpy.ndarray`
        Pixel coordinates.
    flux : (n,) `~numpy.ndarray`
        In units of one square arcsec of sky.
    pixel : float
        Pixel size in arcsec.
    angle : float
        Angle of the spikes in rad.
    faintest : float, optional
        Intensity at which the wings end; the spikes end at three times that.
    fade : bool, optional
        Let them fade to nothing there, so that no edge is seen.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    for star_x, star_y, star_flux in zip(x, y, flux, strict=True):
        # wings: 8 % of the light in a profile that falls with the third power
        peak = 0.08 * star_flux * 0.5 / (np.pi * 16)
        reach = 4 * np.cbrt(max(peak / faintest, 1)) / pixel
        box = _box(star_x, star_y, reach, image.shape)
        if box is not None:
            where, dx, dy = box
            squared = (dx * dx + dy * dy) * (pixel / 4) ** 2
            wing = peak / (1 + squared) ** 1.5
            image[where] += np.maximum(wing - faintest, 0) if fade else wing
        strength = 6e-4 * star_flux
        length = 3 * np.sqrt(max(strength / (3 * faintest), 0)) / pixel
        if length * pixel > 12 and (box := _box(star_x, star_y, length, image.shape)):
            where, dx, dy = box
            along, across = dx * cos + dy * sin, -dx * sin + dy * cos
            spikes = np.zeros_like(along)
            for u, v in ((along, across), (across, along)):
                distance = np.abs(u) * (pixel / 3)
                spikes += np.exp(-0.5 * (v / 1.1) ** 2) / (1 + distance * distance)
            spikes *= strength
            image[where] += np.maximum(spikes - 3 * faintest, 0) if fade else spikes
        if star_flux > 3e5:
            radius = 110 / pixel
            box = _box(star_x, star_y, radius * 1.1, image.shape)
            if box is not None:
                where, dx, dy = box
                distance = np.sqrt(dx * dx + dy * dy) / radius
                disc = 1 / (1 + np.exp((distance - 1) * 40)) * (0.7 + 0.3 * distance**2)
                image[where] += 1.2e-7 * star_flux * disc


def add_large_galaxy(
    image, x, y, flux, *, radius, axis_ratio, angle, elliptical, pixel, rng, bulge_ratio=1.0
):
    """
    Add a nearby galaxy: a disk with arms, knots and a bulge, or an elliptical.

    Parameters
    ----------
    image : (ny, nx) `~numpy.ndarray` of float
        Changed in place; 1 is the sky.
    x, y : float
        Pixel coordinates.
    flux : float
        In units of one square arcsec of sky, were all of it a disk.
    radius : float
        Isophotal semi-major axis in arcsec.
    axis_ratio, angle : float
        Shape, and angle of the major axis from the x axis in rad.
    elliptical : bool
        Whether there is no disk.
    pixel : float
        Pixel size in arcsec.
    rng : `~numpy.random.Generator`
        Source of the draws.
    bulge_ratio : float, optional
        How much brighter the bulge is in this band for what it is in R.
    """
    arms, pitch = rng.choice([2, 2, 3, 4]), rng.uniform(0.18, 0.5) * rng.choice([-1, 1])
    contrast, phase, bulge = rng.uniform(0.2, 0.8), rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.4)
    n_knots = 24
    knots = rng.random((4, n_knots))
    if _box(x, y, 2.2 * radius / pixel, image.shape) is None:
        return
    # drawn whole, also beyond the border, so that the flux is that of the whole galaxy
    ny, nx = image.shape
    reach = int(2.2 * radius / pixel) + 2
    left, low = int(np.rint(x)) - reach, int(np.rint(y)) - reach
    side = 2 * reach + 1
    dx = np.arange(left, left + side)[np.newaxis, :] - x
    dy = np.arange(low, low + side)[:, np.newaxis] - y
    cos, sin = np.cos(angle), np.sin(angle)
    u = (dx * cos + dy * sin) * (pixel / radius)
    v = (-dx * sin + dy * cos) * (pixel / radius) / axis_ratio
    r = np.sqrt(u * u + v * v)
    fade = np.clip((2.1 - r) / 0.8, 0, 1)
    if elliptical:
        profile = np.exp(-7.67 * ((np.sqrt(r * r + 1e-4) / 0.45) ** 0.25 - 1)) * fade
    else:
        disk = np.exp(-3.3 * r) * fade
        turn = arms * (np.arctan2(v, u) - np.log(r + 0.05) / np.tan(pitch)) + phase
        ramp = np.clip((r - 0.08) / 0.25, 0, 1)
        wave = np.exp(1.2 * (np.cos(turn) - 1))
        disk = disk * (1 - 0.5 * contrast * ramp + 2.2 * contrast * ramp * wave)
        knot_r, knot_turn = 0.2 + 0.7 * np.sqrt(knots[0]), 2 * np.pi * knots[1]
        width = np.maximum(0.015 + 0.02 * knots[2], 0.8 * pixel / radius)
        for i in range(n_knots):
            squared = (u - knot_r[i] * np.cos(knot_turn[i])) ** 2
            squared = squared + (v - knot_r[i] * np.sin(knot_turn[i])) ** 2
            disk += (
                contrast
                * knots[3, i]
                * 0.5
                * np.exp(-3.3 * knot_r[i] - 0.5 * squared / width[i] ** 2)
            )
        core = np.exp(-7.67 * ((np.sqrt(r * r + 1e-4) / 0.12) ** 0.25 - 1)) * fade
        profile = disk / disk.sum() * (1 - bulge) + core / core.sum() * (bulge * bulge_ratio)
        flux = flux * (1 + bulge * (bulge_ratio - 1))
    x0, x1, y0, y1 = max(0, left), min(nx, left + side), max(0, low), min(ny, low + side)
    if x0 < x1 and y0 < y1:
        part = profile[y0 - low : y1 - low, x0 - left : x1 - left]
        image[y0:y1, x0:x1] += flux / pixel**2 / profile.sum() * part


def _smooth_background(shape, amplitude, rng, n_nodes=5):
    # a slowly varying surface: cubic interpolation of a few random nodes
    nodes = amplitude * rng.standard_normal((n_nodes, n_nodes))
    ny, nx = shape
    lines = np.linspace(0, n_nodes - 1, ny)
    columns = np.linspace(0, n_nodes - 1, nx)
    coefficients = ndimage.spline_filter(nodes, order=3)
    grid = np.meshgrid(lines[:: max(1, ny // 64)], columns[:: max(1, nx // 64)], indexing='ij')
    coarse = ndimage.map_coordinates(coefficients, grid, order=3, prefilter=False, mode='nearest')
    # bilinear from the coarse surface to all pixels
    y = np.linspace(0, coarse.shape[0] - 1, ny)
    x = np.linspace(0, coarse.shape[1] - 1, nx)
    y0 = np.minimum(y.astype(int), coarse.shape[0] - 2)
    x0 = np.minimum(x.astype(int), coarse.shape[1] - 2)
    wy, wx = (y - y0)[:, np.newaxis], (x - x0)[np.newaxis, :]
    top = coarse[y0][:, x0] * (1 - wx) + coarse[y0][:, x0 + 1] * wx
    bottom = coarse[y0 + 1][:, x0] * (1 - wx) + coarse[y0 + 1][:, x0 + 1] * wx
    return top * (1 - wy) + bottom * wy


def _line(shape, rng, length=None):
    # distance from a random line in pixels, and where along it
    ny, nx = shape
    x0, y0, turn = rng.uniform(0, nx), rng.uniform(0, ny), rng.uniform(0, np.pi)
    dx = np.arange(nx)[np.newaxis, :] - x0
    dy = np.arange(ny)[:, np.newaxis] - y0
    across = -dx * np.sin(turn) + dy * np.cos(turn)
    if length is not None:
        along = dx * np.cos(turn) + dy * np.sin(turn)
        across = np.where(np.abs(along) < length / 2, across, 1e3)
    return across


def plate_scan(image, *, noise, contrast, rng):
    """
    Expose, develop and scan a photographic plate.

    The density follows a characteristic curve that saturates; grain grows with
    the density and is correlated over the aperture of the scanner.

    Parameters
    ----------
    image : (ny, nx) `~numpy.ndarray` of float
        Intensity without the sky; 1 is the sky.
    noise : float
        Uncorrelated noise a pixel near the sky level, in units of the sky.
    contrast : float
        Steepness of the characteristic curve.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    scan : (ny, nx) `~numpy.ndarray` of float32
        Whole numbers, as the scanner writes them; sky about 3600.
    """
    shape = image.shape
    total = image + 1 + _smooth_background(shape, 0.012, rng, n_nodes=3)
    if rng.random() < 0.07:
        # a satellite or a meteor
        total += rng.uniform(0.2, 2) * np.exp(-0.5 * (_line(shape, rng) / rng.uniform(1, 2.5)) ** 2)
    power = np.maximum(total, 0.05) ** contrast
    half = (1 - _SKY_DENSITY) / _SKY_DENSITY
    density = power / (power + half)

    grain = rng.standard_normal(shape)
    grain = ndimage.gaussian_filter(grain, rng.uniform(0.7, 0.95), mode='wrap', truncate=3)
    slope = contrast * _SKY_DENSITY * (1 - _SKY_DENSITY)
    density = density + grain * (noise * slope) * np.sqrt(density / _SKY_DENSITY)

    for _ in range(rng.poisson(0.2)):
        scratch = _line(shape, rng, length=10 ** rng.uniform(1.2, 2.8))
        depth = rng.uniform(-0.12, 0.2)
        density = density + depth * np.exp(-0.5 * (scratch / rng.uniform(0.6, 1.2)) ** 2)
    for _ in range(rng.poisson(3)):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        size, depth = rng.uniform(0.6, 2.5), rng.uniform(-0.2, 0.25)
        box = _box(x, y, 4 * size, shape)
        if box is not None:
            where, dx, dy = box
            density[where] += depth * np.exp(-0.5 * (dx * dx + dy * dy) / size**2)
    return np.rint(_FULL_SCALE * np.clip(density, 0.01, 1.0)).astype(np.float32)


def add_to_plate(scan, light, sky, scale, ceiling):
    """
    Add light to a scan of a plate, through its characteristic curve.

    The curve is that of `plate_scan`, ``ceiling * p / (p + h)`` with
    ``p = intensity ** contrast``: the level of the sky gives h, its slope at the sky,
    which is ``scale``, gives the contrast.

    Parameters
    ----------
    scan : (n,) `~numpy.ndarray`
        Values of the scan.
    light : (n,) `~numpy.ndarray`
        To add, in units of the sky.
    sky, scale, ceiling : float
        Value of the sky, change of the value a unit of light near the sky, largest value.

    Returns
    -------
    scan : (n,) `~numpy.ndarray`
        Not below what they were; whole numbers if they were.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.simulate._plate import add_to_plate
    >>> add_to_plate(np.full(3, 3600.0), np.array([0.0, 0.1, 100.0]), 3600.0, 4000.0, 13000.0)
    array([ 3600.,  3993., 12972.])
    """
    half = ceiling / sky - 1
    contrast = scale / (ceiling * half / (1 + half) ** 2)
    share = np.clip(scan / ceiling, 1e-3, 1 - 1e-6)
    # in logarithms: powers of a faint sky below a bright ceiling overflow
    intensity = np.log(half * share / (1 - share)) / contrast
    with np.errstate(divide='ignore'):
        power = contrast * np.logaddexp(intensity, np.log(light))
    exposed = ceiling * special.expit(power - np.log(half))
    if (scan == np.rint(scan)).all():
        exposed = np.rint(exposed)
    return np.maximum(scan, exposed)


def add_to_ccd(frame, light, sky, scale, ceiling):
    """
    Add light to a linear frame.

    Parameters
    ----------
    frame : (n,) `~numpy.ndarray`
        Values of the frame.
    light : (n,) `~numpy.ndarray`
        To add, in units of the sky.
    sky, scale, ceiling : float
        As for `add_to_plate`; only ``scale`` matters.

    Returns
    -------
    frame : (n,) `~numpy.ndarray`
        The sum.
    """
    return frame + light * scale


def _expose(image, full_well):
    """
    Return what is below saturation, with bleeding columns.
    """
    total = np.maximum(image, 0)
    saturated = total > full_well
    if saturated.any():
        excess = np.where(saturated, total - full_well, 0.0).sum(axis=0)
        for column in np.flatnonzero(excess > 10 * full_well):
            lines = np.flatnonzero(saturated[:, column])
            middle, reach = int(lines.mean()), len(lines) // 2 + int(excess[column] / full_well / 8)
            total[max(0, middle - reach) : middle + reach + 1, column] = full_well
    return np.minimum(total, full_well)


def ccd_frame(image, *, noise, rng):
    """
    Expose a CCD: linear, with sky noise, saturation and bleeding columns.

    Parameters
    ----------
    image : (ny, nx) `~numpy.ndarray` of float
        Intensity without the sky; 1 is the sky.
    noise : float
        Noise a pixel near the sky level, in units of the sky.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    frame : (ny, nx) `~numpy.ndarray` of float32
        Whole numbers; sky 1000 before its subtraction, here about 0.
    """
    total = _expose(image, 60.0)
    sigma = noise * np.sqrt(1 + total)
    total = total + sigma * rng.standard_normal(image.shape)
    total = total + _smooth_background(image.shape, 0.002, rng)
    return np.rint(1000 * total).astype(np.float32)


def coadded_frame(image, *, noise, rng):
    """
    Expose a stack of CCD frames, as surveys publish them: linear, calibrated, the sky taken away.

    Parameters
    ----------
    image : (ny, nx) `~numpy.ndarray` of float
        Intensity without the sky; 1 is the sky.
    noise : float
        Noise a pixel near the sky level, in units of the sky.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    frame : (ny, nx) `~numpy.ndarray` of float32
        In units of the sky, which lies about 0 to a tenth of the noise.
    """
    total = _expose(image, _COADD_FULL_WELL).astype(np.float32)
    sigma = np.float32(noise) * np.sqrt(1 + total)
    sigma *= rng.standard_normal(image.shape, dtype=np.float32)
    total += sigma
    # what the subtraction of the sky has left: a few waves as long as the frame
    waves = 0.015 * noise * rng.standard_normal((4, 4))
    lines, columns = (np.cos(np.pi * np.outer(np.arange(n) / n, np.arange(4))) for n in image.shape)
    total += (lines @ waves).astype(np.float32) @ columns.T.astype(np.float32)
    return total
