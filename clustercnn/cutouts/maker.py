# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cutouts of candidates in several bands, from images of any projection.
"""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.nddata import NDData
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.progress import progress as progress_bar
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import check_angle, native
from clustercnn.core import BandStack, CandidateFlag, CutoutStack, XrayImage, pixel_scale_of
from clustercnn.cutouts._resample import (
    jacobian_of,
    local_axes,
    prepare_planes,
    sample_grids,
    sampling_of,
    sampling_that_keeps_sums,
    tangent_grids,
    tangent_pixels,
)
from clustercnn.footprint import without_dark_frame

__all__ = ['DEFAULT_GEOMETRY', 'PARTIAL_COVERAGE', 'CutoutMaker', 'coverage_flags']

DEFAULT_GEOMETRY = ReadOnlyDict(
    xray=(64, 4 * u.arcsec),
    optical=(128, 2 * u.arcsec),
)
"""
Pixels along a side and pixel scale by band; bands of other names have the geometry
of ``'optical'``. Both fields of view are 256 arcsec wide.
"""

PARTIAL_COVERAGE = 0.95
"""
A band of which a smaller fraction of the pixels holds data is flagged as partial.
"""

_FEATURES = (
    'pos_err',
    'x',
    'y',
    'counts',
    'counts_err',
    'background',
    'exposure',
    'significance',
    'det_like',
    'extent',
    'extent_err',
    'ext_like',
    'flags',
    'pair_like',
    'core_like',
    'core_counts',
)
_MAX_PIXELS = 4096


class CutoutMaker:
    """
    Cut candidates out of images, each band onto its own north-up grid.

    Parameters
    ----------
    geometry : dict, optional
        By name of band, the pixels along a side and the pixel scale, such as
        ``{'xray': (64, 4 * u.arcsec)}``. Bands not named have `DEFAULT_GEOMETRY`, and
        bands not named there that of ``'optical'``.

    Raises
    ------
    ValueError
        If a number of pixels is not a whole number from 1 to 4096 or a scale is not
        a positive angle.

    Notes
    -----
    The tangent point of each grid is the position of the candidate. The projection of
    the image is evaluated for every pixel, so any WCS that astropy reads will do, with
    distortions and in any frame. Values are interpolated bilinearly. Where image pixels
    are smaller than grid pixels by more than a factor 1.5, samples spread over the grid
    pixel are averaged, so that nothing is lost between them; of X-ray images as many as keep the
    counts of a single pixel, to about 3 %, wherever it lies.

    What counts photons a pixel (data and background of an `~clustercnn.core.XrayImage`) is
    multiplied by the ratio of the pixel areas and so keeps its sum; exposure and
    images of surface brightness keep their values.

    Of an X-ray image without an exposure map a dark frame round the field of view counts as
    not exposed, see `~clustercnn.footprint.without_dark_frame`.

    A pixel is masked where less than half of the interpolation weight lies on good
    pixels of the image. Not good are masked pixels, values that are not finite, pixels
    without exposure, and everything off the image. Masked pixels hold 0.

    Examples
    --------
    >>> from clustercnn import CutoutMaker
    >>> from clustercnn.testing import tiny_catalog, tiny_image
    >>> import astropy.units as u
    >>> maker = CutoutMaker(geometry={'xray': (16, 4 * u.arcsec)})
    >>> stack = maker({'xray': tiny_image()}, tiny_catalog())
    >>> stack['xray'].shape, stack.band('xray').unit
    ((6, 16, 16), Unit("ct"))
    """

    def __init__(self, *, geometry=None):
        merged = dict(DEFAULT_GEOMETRY)
        for name, entry in (geometry or {}).items():
            merged[str(name)] = _check_geometry(name, entry)
        self._geometry = ReadOnlyDict(merged)

    @property
    def geometry(self):
        """
        Pixels along a side and pixel scale by band, read-only.
        """
        return self._geometry

    def geometry_of(self, band):
        """
        Return the geometry of one band.

        Parameters
        ----------
        band : str
            Name of the band.

        Returns
        -------
        n_pixels : int
            Pixels along a side.
        pixel_scale : `~astropy.units.Quantity`
            Side of a pixel in arcsec.

        Examples
        --------
        >>> from clustercnn import CutoutMaker
        >>> CutoutMaker().geometry_of('g')
        (128, <Quantity 2. arcsec>)
        """
        return self._geometry.get(band, self._geometry['optical'])

    def __call__(self, images, catalog, *, progress=None):
        """
        Cut the candidates out.

        Parameters
        ----------
        images : dict of str to XrayImage or `~astropy.nddata.NDData`
            Image of each band. An `~astropy.nddata.CCDData` must have a celestial WCS;
            its values are taken as surface brightness, its mask marks bad pixels.
        catalog : CandidateCatalog
            What to cut out.
        progress : bool, optional
            Whether to show a progress bar; by default at a terminal.

        Returns
        -------
        stack : CutoutStack
            One cutout a candidate, in their order; a band whose image does not reach a
            candidate is masked throughout there. The features hold the catalogue's
            numbers, and ``psf_fwhm`` in arcsec where it is known.

        Raises
        ------
        TypeError
            If an image is of another kind.
        ValueError
            If there is no image, or one has no celestial WCS.
        """
        images = dict(images)
        if not images:
            msg = "'images' must hold at least one band, got none"
            raise ValueError(msg)
        positions = catalog.positions
        ra, dec = np.atleast_1d(positions.ra.deg), np.atleast_1d(positions.dec.deg)
        features = {
            name: np.asarray(getattr(catalog[name], 'value', catalog[name]), np.float32)
            if name in catalog.column_names
            else np.full(len(catalog), np.nan, np.float32)
            for name in _FEATURES
        }
        # what an X-ray image without an exposure map did not see is not dark but missing
        seen = {
            name: without_dark_frame(image) if isinstance(image, XrayImage) else (image, 0.0)
            for name, image in images.items()
        }
        bands = []
        with progress_bar(
            total=len(images) * len(catalog),
            label='cut',
            quiet=None if progress is None else not progress,
            unit='cutouts',
        ) as bar:
            for name, (image, _) in seen.items():
                cut = _cut_xray if isinstance(image, XrayImage) else _cut_plain
                n_pixels, scale = self.geometry_of(name)
                bands.append(cut(name, image, ra, dec, n_pixels, scale, bar.update))
        widths = _psf_widths(images, catalog)
        if widths is not None:
            features['psf_fwhm'] = widths
            bands = [
                band.replace(psf_fwhm=widths) if isinstance(images[band.name], XrayImage) else band
                for band in bands
            ]
        dark = {name: share for name, (_, share) in seen.items() if share}
        return CutoutStack(
            ids=catalog.ids,
            bands=bands,
            positions=SkyCoord(ra, dec, unit='deg', frame='icrs'),
            features=features,
            meta={'sources': {name: _source_of(image) for name, image in images.items()}}
            | ({'dark_frame_share': dark} if dark else {}),
        )

    def _facts(self):
        return [
            (name, f'{n_pixels} x {n_pixels} pixels of {scale.value:.3g} arcsec')
            for name, (n_pixels, scale) in self._geometry.items()
        ]

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


def coverage_flags(stack, *, bands=None):
    """
    Return the flags that say where bands are missing.

    Parameters
    ----------
    stack : CutoutStack
        The cutouts. Every band but ``'xray'`` counts as optical.
    bands : iterable of str, optional
        Those that a model looks at, which alone count; by default all.

    Returns
    -------
    flags : 1D `~numpy.ndarray` of int32
        Bits of `~clustercnn.core.CandidateFlag`, shape ``(n,)``: ``NO_OPTICAL`` where no
        optical band has a pixel, ``PARTIAL_OPTICAL`` and ``PARTIAL_XRAY`` where one covers
        less than `PARTIAL_COVERAGE` of the cutout, ``NO_XRAY`` where the X-ray band has none.

    Examples
    --------
    >>> from clustercnn.cutouts import coverage_flags
    >>> from clustercnn.core import decode_flags
    >>> from clustercnn.testing import tiny_stack
    >>> decode_flags(coverage_flags(tiny_stack(1, optical=False))[0])
    ('NO_OPTICAL',)
    """
    flags = np.zeros(len(stack), np.int32)
    seen = stack.band_names if bands is None else tuple(bands)
    optical = [
        band.coverage for name, band in stack.bands.items() if name != 'xray' and name in seen
    ]
    optical = np.array(optical).reshape(len(optical), len(stack))
    absent = ~(optical > 0).any(axis=0)
    flags[absent] |= int(CandidateFlag.NO_OPTICAL)
    partial = ~absent & (optical < PARTIAL_COVERAGE).any(axis=0)
    flags[partial] |= int(CandidateFlag.PARTIAL_OPTICAL)
    if 'xray' in stack.bands:
        coverage = stack.band('xray').coverage
        flags[coverage == 0] |= int(CandidateFlag.NO_XRAY)
        flags[(coverage > 0) & (coverage < PARTIAL_COVERAGE)] |= int(CandidateFlag.PARTIAL_XRAY)
    return flags


def _check_geometry(name, entry):
    try:
        n_pixels, scale = entry
    except (TypeError, ValueError):
        msg = (
            f"the geometry of '{name}' must be the pixels along a side and the pixel scale, "
            f'such as (64, 4 * u.arcsec), got {entry!r}'
        )
        raise ValueError(msg) from None
    whole = isinstance(n_pixels, (int, np.integer)) and not isinstance(n_pixels, bool)
    if not whole or not 1 <= n_pixels <= _MAX_PIXELS:
        msg = (
            f"the pixels along a side of '{name}' must be a whole number from 1 to "
            f'{_MAX_PIXELS}, got {n_pixels!r}'
        )
        raise ValueError(msg)
    return int(n_pixels), check_angle(f"pixel scale of '{name}'", scale)


def _cut_xray(name, image, ra, dec, n_pixels, scale, update):
    names = ['counts', *(n for n in ('background', 'exposure') if getattr(image, n) is not None)]
    values, mask, density = _resample(
        name,
        image.wcs,
        [getattr(image, plane) for plane in names],
        image.valid,
        (ra, dec, n_pixels, scale),
        update,
        keep_sums=True,
    )
    planes = dict(zip(names, values, strict=True))
    for plane in ('counts', 'background'):
        if plane in planes:
            planes[plane] *= density[:, None, None]
    planes = {plane: _locked(array) for plane, array in planes.items()}
    return BandStack(
        name=name,
        data=planes.pop('counts'),
        mask=_locked(mask),
        pixel_scale=scale,
        unit=u.ct,
        **planes,
    )


def _cut_plain(name, image, ra, dec, n_pixels, scale, update):
    if not isinstance(image, NDData):
        msg = (
            f"the image of band '{name}' must be an XrayImage or a CCDData with a WCS, "
            f'got {type(image).__name__}'
        )
        raise TypeError(msg)
    if not isinstance(image.wcs, WCS) or not image.wcs.has_celestial:
        msg = f"the image of band '{name}' has no celestial WCS; set its 'wcs'"
        raise ValueError(msg)
    data = np.asarray(image.data)
    if data.ndim != 2:
        msg = f"the image of band '{name}' must have 2 dimensions, got shape {data.shape}"
        raise ValueError(msg)
    # single precision is what is kept, and native order what numpy is fast with
    data = native(data, np.float32)
    valid = np.isfinite(data)
    if image.mask is not None:
        valid &= ~np.broadcast_to(np.asarray(image.mask, bool), data.shape)
    (values,), mask, _ = _resample(
        name, image.wcs, [data], valid, (ra, dec, n_pixels, scale), update
    )
    return BandStack(
        name=name,
        data=_locked(values),
        mask=_locked(mask),
        pixel_scale=scale,
        unit=_unit_of(name, image.unit),
    )


def _unit_of(name, unit):
    """
    Return the unit of a picture: what a CCD calls counts are digital units, and no photons, unless
    it is the X-ray band.
    """
    if unit is None:
        return u.dimensionless_unscaled
    return u.adu if unit == u.ct and name != 'xray' else unit


def _locked(array):
    # fresh arrays that nobody else holds need not be copied
    array.setflags(write=False)
    return array


def _resample(name, wcs, planes, valid, grid, update, *, keep_sums=False):
    """
    Resample planes of one image; the density is that of pixels where undefined.
    """
    ra, dec, n_pixels, scale = grid
    wcs = wcs if wcs.naxis == 2 else wcs.celestial
    shape = planes[0].shape
    ratio = (scale / _side_of_pixel(wcs, shape)).to_value(u.one)
    to_pixel = _projection(name, wcs, shape, n_pixels, scale.to_value(u.deg))
    if keep_sums:
        jacobian = _jacobian_in_the_middle(wcs, shape, to_pixel)
        usable = np.isfinite(jacobian).all() and np.linalg.det(jacobian) != 0
        block, n_samples = sampling_that_keeps_sums(jacobian if usable else ratio * np.eye(2))
    else:
        block, n_samples = sampling_of(ratio)
    values, mask, density = sample_grids(
        prepare_planes(planes, valid, block=block),
        to_pixel,
        ra,
        dec,
        n_pixels=n_pixels,
        n_samples=n_samples,
        progress=update,
    )
    density = np.where(np.isfinite(density), density, ratio**2)
    return values, mask, density.astype(np.float32)


def _side_of_pixel(wcs, shape):
    """
    Return the side of a pixel in the middle of an image, distortions included.
    """
    x, y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    corners = np.array([[x, y], [x + 1, y], [x, y + 1]])
    sky = np.deg2rad(wcs.all_pix2world(corners, 0))
    lon, lat = sky[:, wcs.wcs.lng], sky[:, wcs.wcs.lat]
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
    area = np.linalg.norm(np.cross(vectors[1] - vectors[0], vectors[2] - vectors[0]))
    if not (np.isfinite(area) and area > 0):
        return pixel_scale_of(wcs)
    return u.Quantity(np.sqrt(area), u.rad).to(u.arcsec)


def _jacobian_in_the_middle(wcs, shape, to_pixel):
    """
    Return image pixels a step along a grid in the middle of an image.
    """
    middle = SkyCoord.from_pixel((shape[1] - 1) / 2, (shape[0] - 1) / 2, wcs).icrs
    grid = to_pixel(np.array([middle.ra.deg]), np.array([middle.dec.deg]), corners=True)
    return jacobian_of(*grid)[0]


def _projection(name, wcs, shape, n_pixels, step):
    """
    Return the function from positions to the image coordinates of their grids.
    """
    try:
        frame = wcs_to_celestial_frame(wcs)
    except ValueError as error:
        msg = f"the sky frame of band '{name}' is not known: {error}"
        raise ValueError(msg) from error
    rotation = _rotation_to(frame)
    distorted = any(
        part is not None for part in (wcs.sip, wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2)
    )

    camera = _camera_of(wcs, shape, rotation, distorted=distorted)
    if camera is not None:

        def to_pixel(ra, dec, corners):
            return tangent_pixels(ra, dec, camera, n_pixels=n_pixels, step=step, corners=corners)

        return to_pixel

    def to_pixel(ra, dec, corners):
        lon, lat = tangent_grids(
            ra,
            dec,
            n_pixels=n_pixels,
            step=step,
            corners=corners,
            rotation=rotation,
        )
        if rotation is None:
            sky = SkyCoord(lon, lat, unit='deg', frame='icrs').transform_to(frame)
            lon, lat = sky.spherical.lon.deg, sky.spherical.lat.deg
        world = np.empty((lon.size, 2))
        world[:, wcs.wcs.lng] = lon.ravel()
        world[:, wcs.wcs.lat] = lat.ravel()
        pixel = wcs.wcs_world2pix(world, 0)
        if distorted:
            pixel = _undistort(wcs, world, pixel, shape)
        return pixel[:, 0].reshape(lon.shape), pixel[:, 1].reshape(lon.shape)

    return to_pixel


def _camera_of(wcs, shape, rotation, *, distorted):
    """
    Return the matrix from ICRS vectors to homogeneous pixels, None if there is none.
    """
    plain = all(str(kind).endswith('-TAN') for kind in wcs.wcs.ctype)
    if not plain or distorted or rotation is None or wcs.wcs.lng != 0:
        return None
    scale = wcs.pixel_scale_matrix
    if not np.linalg.det(scale):
        return None
    outward, east, north = local_axes(*(np.array([value]) for value in wcs.wcs.crval))
    to_plane = np.stack([east[:, 0], north[:, 0], outward[:, 0]]) @ rotation
    to_pixel = np.eye(3)
    to_pixel[:2, :2] = np.linalg.inv(scale) * np.rad2deg(1.0)
    to_pixel[:2, 2] = np.asarray(wcs.wcs.crpix) - 1.0
    camera = to_pixel @ to_plane
    # a turned native pole or other rarities: the word of wcslib decides
    ny, nx = shape
    pixels = np.array([[0.0, 0.0], [nx, 0.3 * ny], [0.7 * nx, ny], [-0.2 * nx, 1.3 * ny]])
    sky = wcs.wcs_pix2world(pixels, 0)
    vectors = rotation.T @ local_axes(sky[:, 0], sky[:, 1])[0]
    found = camera @ vectors
    return camera if np.allclose((found[:2] / found[2]).T, pixels, rtol=0, atol=1e-6) else None


def _undistort(wcs, world, pixel, shape):
    """
    Correct pixel coordinates for distortions, near the image only.

    The iteration of astropy need not converge far away, where polynomials run wild.
    """
    ny, nx = shape
    margin = 0.1 * max(ny, nx) + 10
    with np.errstate(invalid='ignore'):
        near = (
            (pixel[:, 0] > -margin)
            & (pixel[:, 0] < nx + margin)
            & (pixel[:, 1] > -margin)
            & (pixel[:, 1] < ny + margin)
        )
    corrected = np.full_like(pixel, np.nan)
    if near.any():
        corrected[near] = wcs.all_world2pix(world[near], 0, quiet=True)
    return corrected


def _rotation_to(frame):
    """
    Return the matrix from ICRS to a frame, None where the way there is no rotation.
    """
    probes = SkyCoord([0, 90, 0, 123.4], [0, 0, 90, -45.6], unit='deg', frame='icrs')
    vectors = probes.transform_to(frame).cartesian.xyz.value
    rotation = vectors[:, :3]
    expected = probes[3].cartesian.xyz.value
    # frames of the FK4 kind bend the sky by the E-terms of aberration
    return rotation if np.allclose(rotation @ expected, vectors[:, 3], rtol=0, atol=1e-12) else None


def _psf_widths(images, catalog):
    """
    Return the width of the point spread function at each candidate, None if not known.
    """
    own = None
    for image in images.values():
        if isinstance(image, XrayImage) and image.psf_fwhm is not None and own is None:
            own = np.full(len(catalog), image.psf_fwhm.value, np.float32)
    if 'psf_fwhm' not in catalog:
        return own
    values = catalog['psf_fwhm']
    if hasattr(values, 'unit') and values.unit is not None:
        values = u.Quantity(values).to_value(u.arcsec)
    values = np.asarray(values, np.float32)
    if own is None or not len(values):
        return values if np.isfinite(values).any() else None
    # the sources may have been found on another image: that has told how the PSF grows
    values = values * (own / np.float32(catalog.meta.get('psf_fwhm_arcsec', own[0])))
    return np.where(np.isfinite(values), values, own)


def _source_of(image):
    meta = getattr(image, 'meta', None) or {}
    return str(meta.get('path', 'in memory'))
