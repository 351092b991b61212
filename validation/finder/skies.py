# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fields of known content: exposure with real detector masks, background, and sources of one
kind each at places that keep their distance.
"""

import dataclasses

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from clustercnn.core import XrayImage
from clustercnn.simulate import get_mission
from clustercnn.simulate._photons import BETA, COMPONENT_DTYPE, POINT, draw_photons

__all__ = ['Sky', 'draw_places', 'epic_sky', 'mission_sky', 'photograph']


# of each source, to tell which part of them the detector sees to half a per cent
_MANY_PHOTONS = 4e4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sky:
    """
    How a field is looked at.

    Parameters
    ----------
    mission : Mission
        Gives the point spread.
    pixel : float
        In arcsec.
    response, live : 2D `~numpy.ndarray`
        Exposure relative to its best with and without vignetting.
    background : 2D `~numpy.ndarray`
        Expected counts per pixel.
    exposure : float
        On axis, in s.
    """

    mission: object
    pixel: float
    response: np.ndarray
    live: np.ndarray
    background: np.ndarray
    exposure: float

    @property
    def centre(self):
        """
        Optical axis in pixels (2-tuple of float).
        """
        return tuple((size - 1) / 2 for size in self.response.shape[::-1])


def epic_sky(folder, *, exposure, background_factor=1.0):
    """
    Return the three cameras of XMM-Newton together, with their real masks.

    Parameters
    ----------
    folder : `pathlib.Path`
        Holds ``xmm_PN_mask.fits.gz`` and the like.
    exposure : float
        In s.
    background_factor : float, optional
        Multiplies the quiescent background.

    Returns
    -------
    sky : Sky
        With the pixels of the masks, 2.5 arcsec.
    """
    mission = get_mission('xmm')
    masks = {'pn': 'PN', 'mos1': 'MOS1', 'mos2': 'MOS2'}
    response = live = background = 0.0
    total = sum(camera.rate for camera in mission.cameras)
    for camera in mission.cameras:
        with fits.open(folder / f'xmm_{masks[camera.name]}_mask.fits.gz') as hdus:
            mask = next(hdu.data for hdu in hdus if hdu.data is not None) > 0
            pixel = 2.5
        y, x = np.indices(mask.shape)
        radius = np.hypot(x - mask.shape[1] / 2, y - mask.shape[0] / 2) * pixel / 60
        vignetting = 1 / (1 + (radius / camera.vignetting) ** 2)
        response = response + mask * vignetting * camera.rate / total
        live = live + mask * camera.rate / total
        rate = camera.background_sky * vignetting + camera.background_particle
        background = background + mask * rate * exposure * pixel**2 * background_factor
    return Sky(
        mission=mission,
        pixel=pixel,
        response=response,
        live=live,
        background=background,
        exposure=exposure,
    )


def mission_sky(name, *, pixel, size, exposure):
    """
    Return a square field of a mission without gaps.

    Parameters
    ----------
    name : str
        Of the mission.
    pixel : float
        In arcsec.
    size : int
        Pixels on a side.
    exposure : float
        In s.

    Returns
    -------
    sky : Sky
        Of the mission's first camera alone.
    """
    mission = get_mission(name)
    camera = mission.cameras[0]
    y, x = (np.indices((size, size)) - (size - 1) / 2) * pixel / 60
    vignetting = np.ones((size, size))
    if camera.vignetting:
        vignetting = 1 / (1 + (x**2 + y**2) / camera.vignetting**2)
    rate = camera.background_sky * vignetting + camera.background_particle
    return Sky(
        mission=mission,
        pixel=pixel,
        response=vignetting,
        live=np.ones((size, size)),
        background=rate * exposure * pixel**2,
        exposure=exposure,
    )


def draw_places(sky, n, *, apart, rng, margin=30.0):
    """
    Draw places in the field that keep their distance from each other and from gaps.

    Parameters
    ----------
    sky : Sky
        The field.
    n : int
        How many at most; fewer if the field is full.
    apart : float
        Smallest distance in arcsec.
    rng : `~numpy.random.Generator`
        Source of the draws.
    margin : float, optional
        Side of the square round a place of which nine tenths must be exposed, in arcsec.

    Returns
    -------
    x, y : 1D `~numpy.ndarray`
        Offsets from the optical axis in arcsec.
    """
    seen = sky.response > 0.25 * sky.response.max()
    half = round(margin / 2 / sky.pixel)
    places = []
    for _ in range(400 * n):
        if len(places) == n:
            break
        row, column = (rng.uniform(0, size - 1) for size in seen.shape)
        part = seen[
            max(round(row) - half, 0) : round(row) + half + 1,
            max(round(column) - half, 0) : round(column) + half + 1,
        ]
        if part.size < (2 * half + 1) ** 2 or part.mean() < 0.9:
            continue
        x, y = (column - sky.centre[0]) * sky.pixel, (row - sky.centre[1]) * sky.pixel
        if all(np.hypot(x - a, y - b) > apart for a, b in places):
            places.append((x, y))
    return np.array(places).reshape(-1, 2).T


def photograph(sky, sources, rng):
    """
    Draw an image of sources.

    Parameters
    ----------
    sky : Sky
        The field.
    sources : list of dict
        ``x``, ``y`` in arcsec from the axis, ``counts`` expected on the detector, and
        ``core_radius`` in arcsec for a beta model, 0 for a point; ``axis_ratio``, ``angle``.
    rng : `~numpy.random.Generator`
        Source of the draws.

    Returns
    -------
    image : XrayImage
        With an exposure map.
    seen : 1D `~numpy.ndarray`
        Photons of each source on the detector.
    expected : 1D `~numpy.ndarray`
        How many of them had to be expected, with gaps and vignetting, from a much longer look.
    """
    rows = np.zeros(len(sources), COMPONENT_DTYPE)
    for number, source in enumerate(sources):
        row = rows[number]
        core = source.get('core_radius', 0.0)
        row['source'], row['kind'] = number + 1, BETA if core > 0 else POINT
        row['x'], row['y'] = source['x'], source['y']
        row['a'], row['b'], row['c'] = core, 2 / 3, 12 * core
        row['axis_ratio'], row['angle'] = source.get('axis_ratio', 1), source.get('angle', 0)
        column = round(source['x'] / sky.pixel + sky.centre[0])
        line = round(source['y'] / sky.pixel + sky.centre[1])
        half = max(1, round(8 / sky.pixel))
        near = sky.response[
            max(line - half, 0) : line + half + 1, max(column - half, 0) : column + half + 1
        ]
        # what falls on the detector, not what a perfect one would have caught
        row['n_expected'] = source['counts'] / max(near.mean(), 0.05)
    how = {
        'psf': sky.mission.psf,
        'response': sky.response,
        'live': sky.live,
        'pixel': sky.pixel,
        'center': sky.centre,
    }
    number, index = draw_photons(rows, rng=rng, **how)
    longer = rows.copy()
    times = _MANY_PHOTONS / np.maximum(rows['n_expected'], 1e-9)
    longer['n_expected'] = _MANY_PHOTONS
    many, _ = draw_photons(longer, rng=np.random.default_rng(0), **how)
    expected = np.bincount(many, minlength=len(sources) + 1)[1:] / times
    counts = np.bincount(index, minlength=sky.response.size).reshape(sky.response.shape)
    counts = counts + rng.poisson(sky.background)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.crval = 150.0, 2.0
    wcs.wcs.crpix = sky.centre[0] + 1, sky.centre[1] + 1
    wcs.wcs.cdelt = -sky.pixel / 3600, sky.pixel / 3600
    image = XrayImage(
        counts=counts.astype(np.float32),
        wcs=wcs,
        exposure=(sky.response * sky.exposure).astype(np.float32),
        psf_fwhm=sky.mission.psf.fwhm * u.arcsec,
        mission=sky.mission.telescope,
        meta={'notes': ['simulated']},
    )
    return image, np.bincount(number, minlength=len(sources) + 1)[1:], expected
