# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Help for tests, here and in packages that build on this one: tiny objects and comparisons.
"""

import dataclasses

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from clustercnn.core import (
    BandStack,
    CandidateCatalog,
    CutoutStack,
    LabelSet,
    PredictionSet,
    XrayImage,
)

__all__ = [
    'assert_identical',
    'tiny_catalog',
    'tiny_image',
    'tiny_labels',
    'tiny_prediction',
    'tiny_stack',
    'tiny_wcs',
]


def tiny_wcs(*, ra=150.0, dec=2.0, pixel_scale=4.0, shape=(64, 64)):
    """
    Return a north-up tangential WCS.

    Parameters
    ----------
    ra, dec : float, optional
        Position of the middle in degrees.
    pixel_scale : float, optional
        Side of a pixel in arcsec.
    shape : 2-tuple of int, optional
        ``(ny, nx)``.

    Returns
    -------
    wcs : `~astropy.wcs.WCS`
        Celestial.

    Examples
    --------
    >>> from clustercnn.testing import tiny_wcs
    >>> tiny_wcs().has_celestial
    True
    """
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.cunit = ['deg', 'deg']
    wcs.wcs.cdelt = [-pixel_scale / 3600, pixel_scale / 3600]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.set()
    return wcs


def tiny_image(*, seed=1, shape=(64, 64), background=0.1, exposure=1e4, source_counts=200.0):
    """
    Return a simulated count image with one round source in the middle.

    Parameters
    ----------
    seed : int, optional
        For the photons.
    shape : 2-tuple of int, optional
        ``(ny, nx)``.
    background : float, optional
        Expected background counts per pixel.
    exposure : float or None, optional
        Exposure in seconds, None for an image without exposure map.
    source_counts : float, optional
        Expected counts of the source, a Gaussian of 2 pixels.

    Returns
    -------
    image : XrayImage
        With pixels of 4 arcsec.

    Examples
    --------
    >>> from clustercnn.testing import tiny_image
    >>> tiny_image().psf_fwhm
    <Quantity 8. arcsec>
    """
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    profile = np.exp(-((x - (nx - 1) / 2) ** 2 + (y - (ny - 1) / 2) ** 2) / 8.0)
    expected = background + source_counts * profile / profile.sum()
    counts = np.random.default_rng(seed).poisson(expected)
    return XrayImage(
        counts=counts,
        wcs=tiny_wcs(shape=shape),
        exposure=None if exposure is None else np.full(shape, exposure),
        psf_fwhm=8 * u.arcsec,
    )


def tiny_catalog(n_rows=6, *, seed=1):
    """
    Return a catalogue with made-up numbers.

    Parameters
    ----------
    n_rows : int, optional
        Number of candidates.
    seed : int, optional
        For the numbers.

    Returns
    -------
    catalog : CandidateCatalog
        Spread over the field of `tiny_image`.

    Examples
    --------
    >>> from clustercnn.testing import tiny_catalog
    >>> len(tiny_catalog(3))
    3
    """
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(8, 56, (2, n_rows))
    positions = tiny_wcs().pixel_to_world(x, y)
    return CandidateCatalog.from_columns(
        ra=positions.ra,
        dec=positions.dec,
        x=x,
        y=y,
        counts=rng.uniform(20, 500, n_rows),
        counts_err=rng.uniform(4, 20, n_rows),
        significance=rng.uniform(4, 20, n_rows),
        det_like=rng.uniform(10, 200, n_rows),
        extent=rng.uniform(0, 40, n_rows),
        ext_like=rng.uniform(0, 50, n_rows),
        flags=np.arange(n_rows) % 4,
    )


def tiny_stack(n_cutouts=6, *, seed=1, optical=True, noise=True):
    """
    Return cutouts in which every second one holds an extended source.

    Parameters
    ----------
    n_cutouts : int, optional
        Number of cutouts.
    seed : int, optional
        For the photons.
    optical : bool, optional
        Whether there is an optical band.
    noise : bool, optional
        Whether photons are drawn, or their expectation is returned.

    Returns
    -------
    stack : CutoutStack
        X-ray 16 x 16 pixels of 4 arcsec, optical 32 x 32 of 2 arcsec.

    Examples
    --------
    >>> from clustercnn.testing import tiny_stack
    >>> tiny_stack(4, optical=False).band_names
    ('xray',)
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16] - 7.5
    width = np.where(np.arange(n_cutouts) % 2 == 0, 3.0, 0.9)[:, None, None]
    profile = np.exp(-(x**2 + y**2) / (2 * width**2))
    expected = 0.1 + 150 * profile / profile.sum(axis=(1, 2), keepdims=True)
    counts = rng.poisson(expected) if noise else expected
    shape = (n_cutouts, 16, 16)
    bands = [
        BandStack(
            name='xray',
            data=counts,
            pixel_scale=4 * u.arcsec,
            unit=u.ct,
            exposure=np.full(shape, 1e4),
            background=np.full(shape, 0.1),
            psf_fwhm=np.full(n_cutouts, 8.0),
        )
    ]
    if optical:
        sky = rng.normal(1000, 10, (n_cutouts, 32, 32))
        bands.append(BandStack(name='optical', data=sky, pixel_scale=2 * u.arcsec, unit=u.adu))
    extended = np.arange(n_cutouts) % 2 == 0
    return CutoutStack(
        ids=[str(index + 1) for index in range(n_cutouts)],
        bands=bands,
        positions=SkyCoord(
            ra=150 + 0.1 * np.arange(n_cutouts), dec=np.full(n_cutouts, 2.0), unit='deg'
        ),
        features={
            'counts': counts.sum(axis=(1, 2)),
            'extent': np.where(extended, 12.0, 0.0),
            'ext_like': np.where(extended, 20.0, 0.0),
        },
    )


def tiny_labels(n_labels=6):
    """
    Return the labels that fit `tiny_stack`.

    Parameters
    ----------
    n_labels : int, optional
        Number of labels.

    Returns
    -------
    labels : LabelSet
        Cluster and point in turn.

    Examples
    --------
    >>> from clustercnn.testing import tiny_labels
    >>> tiny_labels(2).names()
    ['cluster', 'point']
    """
    names = ['cluster' if index % 2 == 0 else 'point' for index in range(n_labels)]
    return LabelSet.from_labels([str(index + 1) for index in range(n_labels)], names)


def tiny_prediction(n_predictions=6, *, seed=1):
    """
    Return made-up predictions.

    Parameters
    ----------
    n_predictions : int, optional
        Number of predictions.
    seed : int, optional
        For the numbers.

    Returns
    -------
    prediction : PredictionSet
        In the default schema.

    Examples
    --------
    >>> from clustercnn.testing import tiny_prediction
    >>> len(tiny_prediction(3))
    3
    """
    rng = np.random.default_rng(seed)
    return PredictionSet(
        ids=[str(index + 1) for index in range(n_predictions)],
        probability=rng.dirichlet(np.ones(4), n_predictions),
        std=rng.uniform(0, 0.1, n_predictions),
        ood=rng.uniform(0, 3, n_predictions),
    )


def assert_identical(one, other):
    """
    Raise unless two objects of the data model are the same in every value.

    Parameters
    ----------
    one, other : object
        Two objects of one class.

    Raises
    ------
    AssertionError
        Names the first attribute that differs.

    Examples
    --------
    >>> from clustercnn.testing import assert_identical, tiny_stack
    >>> assert_identical(tiny_stack(), tiny_stack())
    """
    _compare(type(one).__name__, one, other)


def _compare(name, one, other):
    if type(one) is not type(other):
        msg = f'{name}: {type(one).__name__} against {type(other).__name__}'
        raise AssertionError(msg)
    if isinstance(one, CandidateCatalog):
        _compare(f'{name}.meta', dict(one.meta), dict(other.meta))
        _compare(f'{name}.column_names', one.column_names, other.column_names)
        for column in one.column_names:
            _compare(f'{name}[{column!r}]', one[column], other[column])
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            _compare(f'{name}.{field.name}', getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, SkyCoord):
        np.testing.assert_array_equal(one.ra.deg, other.ra.deg, err_msg=name)
        np.testing.assert_array_equal(one.dec.deg, other.dec.deg, err_msg=name)
    elif isinstance(one, u.Quantity):
        _compare(f'{name}.unit', one.unit, other.unit)
        np.testing.assert_array_equal(one.value, other.value, err_msg=name)
    elif isinstance(one, np.ndarray):
        if one.dtype.kind != other.dtype.kind:
            msg = f'{name}: dtype {one.dtype} against {other.dtype}'
            raise AssertionError(msg)
        np.testing.assert_array_equal(one, other, err_msg=name)
    elif isinstance(one, WCS):
        if repr(one.to_header(relax=True)) != repr(other.to_header(relax=True)):
            msg = f'{name}: the world coordinates differ'
            raise AssertionError(msg)
    elif isinstance(one, dict):
        if list(one) != list(other):
            msg = f'{name}: keys {list(one)} against {list(other)}'
            raise AssertionError(msg)
        for key in one:
            _compare(f'{name}[{key!r}]', one[key], other[key])
    elif isinstance(one, (list, tuple)):
        if len(one) != len(other):
            msg = f'{name}: length {len(one)} against {len(other)}'
            raise AssertionError(msg)
        for index, pair in enumerate(zip(one, other, strict=True)):
            _compare(f'{name}[{index}]', *pair)
    elif not (one == other or (one != one and other != other)):  # noqa: PLR0124 - NaN
        msg = f'{name}: {one!r} against {other!r}'
        raise AssertionError(msg)
