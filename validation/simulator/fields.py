# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Real X-ray fields, and simulated ones that look at the sky in the same way.
"""

import dataclasses
import os
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table
from scipy import ndimage
from scipy.optimize import least_squares

from clustercnn import WaveletFinder, XrayImage
from clustercnn.io import read_image
from clustercnn.simulate import SimulationConfig, get_mission, inject, simulate_field

__all__ = [
    'FIELDS',
    'Field',
    'data_folder',
    'field_rows',
    'find',
    'quiet_part',
    'read_field',
    'source_mask',
    'twin',
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """
    A real field and the settings with which it is simulated.

    Parameters
    ----------
    name : str
        As in the results.
    image : tuple of str
        Files whose counts are summed.
    exposure : str or None
        File of the exposure map.
    mission : str
        Of the simulator.
    settings : dict
        Of `SimulationConfig`.
    target : float or None
        Radius in arcsec within which the cluster in the middle of the field outshines the sky.
    by_others : bool
        Whether the field is itself simulated, with other software.
    """

    name: str
    image: tuple
    exposure: str | None
    mission: str
    settings: dict
    target: float | None = None
    by_others: bool = False


_BLANK = {'target': 'none', 'cluster_boost': 1.0, 'cluster_tilt': 0.0, 'optical': None}
_EFEDS = 'erosita_efeds_patch/{}_{}.fits.gz'
FIELDS = {
    field.name: field
    for field in (
        Field(
            name='A1835, XMM MOS2',
            image=('xmm_a1835_mos2/P0098010101M2U009IMAGE_3000.FTZ',),
            exposure='xmm_a1835_mos2/P0098010101M2U009EXPMAP3000.FTZ',
            mission='xmm',
            # 1-2 keV holds about 0.6 of the counts of 0.5-2 keV behind the thin filter
            settings={
                'exposure': 28.2 * u.ks,
                'cameras': ('mos2',),
                'rate_factor': 0.6,
                'pixel_scale': 4 * u.arcsec,
            },
            target=360.0,
        ),
        Field(
            name='eFEDS patch, 0.6-2.2 keV',
            image=tuple(
                _EFEDS.format('img', band) for band in ('0600_1100', '1100_1600', '1600_2200')
            ),
            exposure=_EFEDS.format('expmap_norm', '1100_1600'),
            mission='erosita',
            settings={'pixel_scale': 4 * u.arcsec},
            target=240.0,
        ),
        Field(
            name='SIXTE pn field (simulated by others)',
            image=('sim_support/SIMULATED_statix_pnevt-img.fits.gz',),
            exposure='sim_support/SIMULATED_statix_pnevt-imgexp.fits.gz',
            mission='xmm',
            settings={
                'exposure': 100 * u.ks,
                'cameras': ('pn',),
                'pixel_scale': 4.35 * u.arcsec,
            },
            by_others=True,
        ),
        Field(
            name='NGC 5044, Chandra ACIS-S3',
            image=('chandra/NGC5044_9399_img_fov.fits.gz',),
            exposure=None,
            mission='chandra',
            settings={},
            target=600.0,
        ),
    )
}


def data_folder(given=None):
    """
    Return the folder of the real data.

    Parameters
    ----------
    given : str or path-like, optional
        By default ``CLUSTERCNN_SHARED_DATA``.

    Returns
    -------
    folder : `pathlib.Path`
        The folder.
    """
    folder = given or os.environ.get('CLUSTERCNN_SHARED_DATA')
    if folder is None:
        msg = 'the real data are needed: set CLUSTERCNN_SHARED_DATA or give --data'
        raise SystemExit(msg)
    return Path(folder)


def read_field(field, data):
    """
    Read a real field.

    Parameters
    ----------
    field : Field
        Which.
    data : `pathlib.Path`
        Folder of the real data.

    Returns
    -------
    image : XrayImage
        With exposure; for NGC 5044 one where its chip is.
    """
    exposure = None if field.exposure is None else data / field.exposure
    images = [read_image(data / name, exposure=exposure) for name in field.image]
    image = images[0].replace(counts=sum(one.counts for one in images))
    mission = get_mission(field.mission)
    image = image.replace(
        mission=mission.telescope, psf_fwhm=mission.psf.fwhm * u.arcsec, instrument=''
    )
    if field.exposure is None:
        image = image.replace(exposure=_chip(image.counts) * np.float32(82_685))
    return image


def _chip(counts):
    # the square chip S3: where a wide mean of the counts is not zero, without its ragged rim
    seen = ndimage.uniform_filter(counts.astype(float), 9) > 0.15
    return ndimage.binary_erosion(ndimage.binary_fill_holes(seen), iterations=6).astype(np.float32)


def quiet_part(image, field, least_exposure=0.35):
    """
    Return the pixels that are well exposed and away from the cluster that was pointed at.

    Parameters
    ----------
    image : XrayImage
        Real or simulated.
    field : Field
        Says how far the cluster reaches; as much is left out of the simulated image.
    least_exposure : float, optional
        Relative to the largest.

    Returns
    -------
    part : 2D `~numpy.ndarray` of bool
        The pixels.
    """
    exposure = image.exposure
    part = image.valid & (exposure > least_exposure * exposure.max())
    if field.target is not None:
        row, column = np.indices(image.shape)
        seen = np.argwhere(image.valid)
        y, x = (seen.min(axis=0) + seen.max(axis=0)) / 2
        away = np.hypot(column - x, row - y) * float(image.pixel_scale.value)
        part &= away > field.target
    return part


def find(image, **options):
    """
    Return the candidates of the wavelet finder.

    Parameters
    ----------
    image : XrayImage
        The image.
    **options
        Of `WaveletFinder`.

    Returns
    -------
    catalog : CandidateCatalog
        The candidates.
    """
    return WaveletFinder(**options)(image)


def source_mask(image, catalog, *, width=3.0):
    """
    Return the pixels of sources: circles that grow with the PSF, the extent and the counts.

    Parameters
    ----------
    image : XrayImage
        The image.
    catalog : CandidateCatalog
        Its candidates.
    width : float, optional
        Smallest radius in FWHM of the PSF.

    Returns
    -------
    mask : 2D `~numpy.ndarray` of bool
        True at sources.
    """
    mask = np.zeros(image.shape, bool)
    if not len(catalog):
        return mask
    scale = float(image.pixel_scale.value)
    row, column = np.indices(image.shape)
    for x, y, counts, extent, fwhm in zip(
        *(np.asarray(catalog[name]) for name in ('x', 'y', 'counts', 'extent', 'psf_fwhm')),
        strict=True,
    ):
        # the wings of brighter sources reach further
        radius = width * fwhm * max(1.0, (max(counts, 1.0) / 50) ** 0.33) + 3 * np.nan_to_num(
            extent
        )
        mask |= np.hypot(column - x, row - y) * scale < radius
    return mask


def twin(field, image, seed, *, background_factor=1.0, psf_factor=1.0):
    """
    Return a simulated image that looks at the sky as the real one does.

    Parameters
    ----------
    field : Field
        Its settings.
    image : XrayImage
        The real image; NGC 5044 is simulated into an empty copy of it, with its chip.
    seed : int
        Seed.
    background_factor : float, optional
        See `match_background` of ``measure_xray.py``.
    psf_factor : float, optional
        Makes the point spread wider than it should be, as a control.

    Returns
    -------
    image : XrayImage
        Simulated.
    """
    if field.mission == 'chandra':
        return _group_on_a_chip(image, seed, psf_factor)
    factors = {'background_factor': background_factor, 'psf_factor': psf_factor}
    config = SimulationConfig(**_BLANK, **field.settings, **factors)
    return simulate_field(seed=seed, mission=field.mission, config=config).xray


def _group_on_a_chip(image, seed, psf_factor):
    """
    Return a smooth group with the radial profile of the real one on the same chip, and AGN.
    """
    rng = np.random.default_rng([seed, 5044])
    seen = image.exposure > 0
    centre, level, group = _group_profile(image)
    place = image.pixel_to_sky(*centre)
    table = Table(group)
    table['ra'], table['dec'] = place.ra.deg, place.dec.deg
    empty = XrayImage(
        counts=(rng.poisson(level, image.shape) * seen).astype(np.float32),
        wcs=image.wcs,
        exposure=image.exposure,
        psf_fwhm=image.psf_fwhm,
        mission=image.mission,
    )
    filled = inject(empty, table, seed=seed).xray
    config = SimulationConfig(**_BLANK, galaxy_rate=0.0, shell_rate=0.0, psf_factor=psf_factor)
    return inject(filled, seed=seed, config=config, mission='chandra').xray


_R500 = 2000.0  # arcsec; of NGC 5044, 0.38 Mpc at redshift 0.009


def _group_profile(image):
    """
    Return the centre, the level of counts a pixel, and two beta models of the light of a group.
    """
    counts, seen = image.counts.astype(float), image.exposure > 0
    scale = float(image.pixel_scale.value)
    smooth = ndimage.gaussian_filter(counts, 8)
    y, x = np.unravel_index(np.argmax(smooth * seen), smooth.shape)
    row, column = np.indices(counts.shape)
    radius = np.hypot(column - x, row - y) * scale
    edges = np.geomspace(6, radius[seen].max(), 25)
    ring = np.digitize(radius, edges)
    rings = [seen & (ring == number) for number in range(25) if (seen & (ring == number)).any()]
    middle = np.array([radius[part].mean() for part in rings])
    # medians, which the point sources do not lift
    height = np.array([np.median(ndimage.uniform_filter(counts, 5)[part]) for part in rings])

    def model(p):
        inner, outer = (
            np.exp(p[i]) * (1 + (middle / np.exp(p[i + 1])) ** 2) ** -1.5 for i in (1, 3)
        )
        return np.exp(p[0]) + inner + outer

    start = np.log([height.min(), height.max(), 25.0, height.max() / 5, 80.0])
    fit = least_squares(lambda p: np.log(model(p) / height), start).x
    core = np.exp(fit[[2, 4]])
    # the integral of a beta model of 2/3 out to r500
    inside = 2 * np.pi * core**2 * (1 - 1 / np.sqrt(1 + (_R500 / core) ** 2)) / scale**2
    group = {
        'counts': np.exp(fit[[1, 3]]) * inside,
        'core_radius': core,
        'radius_500': np.full(2, _R500),
    }
    return (float(x), float(y)), float(np.exp(fit[0])), group


def field_rows(values):
    """
    Return the mean of values of many simulated fields, and 1.96 standard deviations about it.

    Parameters
    ----------
    values : sequence of float
        One a field.

    Returns
    -------
    summary : list of float
        Mean, and the ends; what follows the brightest source is skewed, so that the lower
        end may lie below 0.
    """
    values = np.asarray(values, float)
    half = 1.96 * values.std(ddof=1)
    middle = values.mean()
    return [round(float(value), 5) for value in (middle, middle - half, middle + half)]
