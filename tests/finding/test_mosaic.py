# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Large images: in blocks as in one, and in little memory.
"""

import tracemalloc

import astropy.units as u
import numpy as np
import pytest

from clustercnn import WaveletFinder, XrayImage
from clustercnn.finding import _convolve
from clustercnn.finding._fitter import SourceFitter
from clustercnn.finding._planes import peaks_above
from clustercnn.finding.background import BackgroundEstimator
from clustercnn.testing import assert_identical, tiny_wcs

# a stamp of pixels of 10 arcsec is small, and so is a bank of models
PIXEL = 10.0


def pointing(shape, axis, reach):
    """
    Return the exposure of one pointing.
    """
    y, x = (np.arange(size)[:, None] for size in shape)
    distance = np.hypot(x.T - axis[0], y - axis[1]) / reach
    return np.where(distance < 1, 1e4 / (1 + distance**2), 0)


def field(shape, exposure, *, n_sources, seed=1, mission='generic'):
    """
    Return an image of sources of several widths.
    """
    rng = np.random.default_rng(seed)
    expected = 0.2 * exposure / exposure.max()
    for _ in range(n_sources):
        column, row = rng.uniform(15, np.array(shape[::-1]) - 15)
        width = rng.choice([1.0, 1.0, 3.0])
        near = tuple(slice(int(at) - 15, int(at) + 16) for at in (row, column))
        iy, ix = np.mgrid[near]
        profile = np.exp(-((ix - column) ** 2 + (iy - row) ** 2) / (2 * width**2))
        expected[near] += rng.uniform(30, 300) * profile / profile.sum() * (exposure[near] > 0)
    return XrayImage(
        counts=rng.poisson(expected),
        wcs=tiny_wcs(shape=shape, pixel_scale=PIXEL),
        exposure=exposure,
        psf_fwhm=2.3 * PIXEL * u.arcsec,
        mission=mission,
    )


@pytest.mark.parametrize('pointed', [True, False])
def test_many_blocks_give_the_catalogue_of_one(monkeypatch, pointed):
    shape = (260, 330)
    exposure = pointing(shape, (160, 130), 150)
    if not pointed:
        exposure = exposure + pointing(shape, (60, 60), 80) + 2 * pointing(shape, (280, 200), 90)
    image = field(shape, exposure, n_sources=30)
    # rates and classes of coverage are fitted where there is one pointing
    known = BackgroundEstimator(image, psf_pixels=2.3).coverage is not None
    assert known == pointed
    monkeypatch.setattr(_convolve, 'BLOCK', image.counts.size)
    whole = WaveletFinder()(image)
    assert len(whole) >= 12
    monkeypatch.setattr(_convolve, 'BLOCK', 330)
    assert_identical(WaveletFinder()(image), whole)


def test_peaks_in_strips_are_those_of_the_whole(monkeypatch):
    image = np.random.default_rng(2).integers(0, 9, (90, 40)).astype(np.float32)
    whole = peaks_above(image, 4, 3)
    assert whole.shape[1] > 20
    monkeypatch.setattr(_convolve, 'BLOCK', 40)
    np.testing.assert_array_equal(peaks_above(image, 4, 3), whole)


def test_memory_grows_by_few_planes(monkeypatch):
    # beside the image: eight planes of float32, some masks, and what does not grow
    bytes_per_pixel = 40
    shape = (1200, 1500)
    # strips as small beside this image as the usual ones are beside a mosaic
    monkeypatch.setattr(_convolve, 'BLOCK', 2**13)
    exposure = sum(pointing(shape, at, 400) for at in ((400, 400), (1100, 500), (700, 1000)))
    image = field(shape, exposure, n_sources=16)
    tracemalloc.start()
    try:
        catalog = WaveletFinder()(image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(catalog) >= 5
    assert peak < bytes_per_pixel * image.counts.size


@pytest.mark.parametrize(('size', 'grows'), [(260, True), (520, False)])
def test_the_psf_does_not_grow_across_a_mosaic(size, grows):
    # three times 15 arcmin from the middle are more than one pointing of XMM-Newton sees
    shape = (size, size)
    image = field(shape, np.full(shape, 1e4), n_sources=0, mission='XMM')
    fitter = SourceFitter(image, psf_fwhm=8.0)
    assert (fitter.psf.growth(90.0) != 1) == grows
    # dark parts of the frame, of which nothing is known, are no mosaic
    fitter = SourceFitter(image.replace(exposure=None), psf_fwhm=8.0)
    assert fitter.psf.growth(90.0) != 1
