# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The door to the networks: plain arrays of many cutouts become a data set on one
geometry, and rows of it become batches of fixed shape for jitted functions.

Nothing with a unit, a world coordinate system or a name of a candidate passes.
"""

import dataclasses

import numpy as np

__all__ = ['FEATURES', 'BandArrays', 'Feature', 'make_dataset', 'n_rows', 'regrid', 'take']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """
    How one of the finder's numbers is brought to order one.

    The value is ``(log(1 + x / unit) - centre) / spread``, limited to four either way;
    numbers below zero count as zero, or as minus their logarithm if they are signed.

    Parameters
    ----------
    unit : float
        Where the logarithm sets in, in the unit of the number.
    centre, spread : float
        Typical value and range of the logarithm for detected sources.
    signed : bool
        Whether numbers below zero mean something.

    Examples
    --------
    >>> from clustercnn.network import FEATURES
    >>> round(float(FEATURES['counts'].standardise(200.0)), 2)
    0.2
    """

    unit: float
    centre: float
    spread: float
    signed: bool = False

    def standardise(self, values):
        """
        Return values of order one.

        Parameters
        ----------
        values : array-like
            The finder's numbers.

        Returns
        -------
        values : `~numpy.ndarray`
            Float32; NaN stays NaN.
        """
        return self.scale(np.asarray(values, np.float64)).astype(np.float32)

    def scale(self, values, *, namespace=np):
        """
        Return values of order one in the precision they have.

        Parameters
        ----------
        values : array
            The finder's numbers.
        namespace : module, optional
            Whose functions are called, numpy or `jax.numpy`.

        Returns
        -------
        values : array
            Of the same type.
        """
        size = namespace.abs(values) if self.signed else namespace.maximum(values, 0)
        logarithm = namespace.log1p(size / self.unit)
        if self.signed:
            logarithm = namespace.sign(values) * logarithm
        return namespace.clip((logarithm - self.centre) / self.spread, -4, 4)


# Fixed numbers rather than statistics of a training set: two models trained on
# different data then see the same inputs. Centres are those of sources of about
# 150 counts, 10 sigma and 20 arcsec, which is where surveys select.
FEATURES = {
    'counts': Feature(unit=1.0, centre=5.0, spread=1.5),
    'significance': Feature(unit=1.0, centre=2.4, spread=0.8),
    'det_like': Feature(unit=1.0, centre=4.0, spread=1.5),
    'extent': Feature(unit=4.0, centre=1.0, spread=1.0),  # arcsec
    'ext_like': Feature(unit=1.0, centre=1.5, spread=1.7),
    'psf_fwhm': Feature(unit=1.0, centre=2.6, spread=0.5),  # arcsec
    'pair_like': Feature(unit=1.0, centre=0.0, spread=2.0, signed=True),
    'core_like': Feature(unit=1.0, centre=0.0, spread=2.0, signed=True),
    'core_counts': Feature(unit=1.0, centre=0.0, spread=3.0),
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BandArrays:
    """
    One band of many cutouts as plain arrays.

    Parameters
    ----------
    data : 3D `~numpy.ndarray`
        Shape ``(n, ny, nx)``; counts for an X-ray band.
    pixel_scale : float
        Side of a pixel in arcsec.
    valid : 3D `~numpy.ndarray` of bool, optional
        False marks bad pixels; all are good by default.
    exposure : 3D `~numpy.ndarray`, optional
        Any unit, only ratios within a cutout matter; flat by default.
    background : 3D `~numpy.ndarray`, optional
        Expected counts per pixel; estimated from each cutout by default.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import BandArrays
    >>> BandArrays(data=np.ones((3, 8, 8), 'f4'), pixel_scale=4.0).data.shape
    (3, 8, 8)
    """

    data: np.ndarray
    pixel_scale: float
    valid: np.ndarray | None = None
    exposure: np.ndarray | None = None
    background: np.ndarray | None = None

    def __post_init__(self):
        if np.ndim(self.data) != 3:
            msg = f"'data' must have shape (n, ny, nx), got {np.shape(self.data)}"
            raise ValueError(msg)
        for name in ('valid', 'exposure', 'background'):
            plane = getattr(self, name)
            if plane is not None and np.shape(plane) != np.shape(self.data):
                msg = (
                    f"'{name}' must have the shape of the data, {np.shape(self.data)}, "
                    f'got {np.shape(plane)}'
                )
                raise ValueError(msg)


def _overlap(n_in, scale_in, n_out, scale_out):
    """
    Share of each input pixel that falls into each output pixel, both grids centred.
    """
    edges_in = (np.arange(n_in + 1) - n_in / 2) * scale_in
    edges_out = (np.arange(n_out + 1) - n_out / 2) * scale_out
    low = np.maximum(edges_out[:-1, None], edges_in[None, :-1])
    high = np.minimum(edges_out[1:, None], edges_in[None, 1:])
    return (np.clip(high - low, 0, None) / scale_in).astype(np.float32)


def regrid(band, *, shape, pixel_scale, counts):
    """
    Bring a band to another grid of pixels with the same centre.

    Parameters
    ----------
    band : BandArrays
        The band.
    shape : 2-tuple of int
        ``(ny, nx)`` of the new grid.
    pixel_scale : float
        Side of its pixels in arcsec.
    counts : bool
        Whether the data are counts, which are shared out by area and conserved;
        otherwise they are averaged by area. A background always goes with the
        counts. An exposure is averaged over the whole of each new pixel, what is not valid
        counting as not exposed, since no photons come from there.

    Returns
    -------
    band : BandArrays
        The same object where the grids agree to a thousandth. Pixels of which
        less than half is covered by good ones are not valid.

    Notes
    -----
    Where the new pixels are smaller, counts are split into fractions: the sum
    over a region is right, but neighbouring pixels are no longer independent.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import BandArrays, regrid
    >>> band = BandArrays(data=np.ones((1, 8, 8), 'f4'), pixel_scale=2.0)
    >>> regrid(band, shape=(4, 4), pixel_scale=4.0, counts=True).data[0, 0]
    array([4., 4., 4., 4.], dtype=float32)
    """
    _, height, width = band.data.shape
    if (height, width) == tuple(shape) and abs(band.pixel_scale / pixel_scale - 1) < 1e-3:
        return band
    rows = _overlap(height, band.pixel_scale, shape[0], pixel_scale)
    columns = _overlap(width, band.pixel_scale, shape[1], pixel_scale).T
    valid = np.ones(band.data.shape, bool) if band.valid is None else band.valid

    def total(plane):
        return rows @ np.where(valid, plane, 0).astype(np.float32) @ columns

    area = rows @ valid.astype(np.float32) @ columns
    covered = area * (band.pixel_scale / pixel_scale) ** 2 > 0.5

    def share(plane):
        return None if plane is None else np.where(covered, total(plane), 0)

    def mean(plane):
        return np.where(covered, total(plane) / np.where(covered, area, 1), 0)

    exposure = band.exposure
    if counts:
        share_seen = np.where(covered, area, 0) * (band.pixel_scale / pixel_scale) ** 2
        if exposure is not None:
            exposure = mean(exposure) * share_seen
        elif not np.allclose(share_seen[covered], 1, atol=1e-3):
            # a flat one is not flat any more
            exposure = share_seen
    elif exposure is not None:
        exposure = mean(exposure)
    return BandArrays(
        data=share(band.data) if counts else mean(band.data),
        pixel_scale=pixel_scale,
        valid=covered,
        exposure=exposure,
        background=share(band.background),
    )


def _missing(n_rows, shape):
    # a view of one value: a missing band costs no memory
    return np.broadcast_to(np.float32(0), (n_rows, *shape))


def _xray_planes(spec, band, n_items):
    if band is None:
        zero = _missing(n_items, spec.shape)
        return {
            'counts': zero,
            'exposure': zero,
            'background': zero,
            'valid': zero,
            'has_background': np.zeros(n_items, np.float32),
            'present': np.zeros(n_items, np.float32),
        }
    shape = band.data.shape
    valid = np.broadcast_to(True, shape) if band.valid is None else band.valid
    flat = np.broadcast_to(np.float32(1), shape)
    has_background = band.background is not None
    return {
        'counts': band.data,
        'exposure': flat if band.exposure is None else band.exposure,
        'background': band.background if has_background else _missing(n_items, spec.shape),
        'valid': valid,
        'has_background': np.full(n_items, has_background, np.float32),
        'present': valid.any(axis=(1, 2)).astype(np.float32),
    }


def _optical_planes(spec, band, n_items):
    if band is None:
        zero = _missing(n_items, spec.shape)
        return {'data': zero, 'valid': zero, 'present': np.zeros(n_items, np.float32)}
    valid = np.broadcast_to(True, band.data.shape) if band.valid is None else band.valid
    return {
        'data': band.data,
        'valid': valid,
        'present': valid.any(axis=(1, 2)).astype(np.float32),
    }


def _finite(name, band):
    """
    Return a band without values that are not finite where it is not valid.

    Masks are factors later, and nothing times NaN is not nothing.
    """
    good = np.asarray(True if band.valid is None else band.valid, bool)
    changes = {}
    for plane in ('data', 'exposure', 'background'):
        values = getattr(band, plane)
        finite = np.isfinite(values) if values is not None else np.True_
        if finite.all():
            continue
        if not (finite | ~good).all():
            what = '' if plane == 'data' else f' in its {plane}'
            msg = f"band '{name}' has values that are not finite{what}; mark them not valid"
            raise ValueError(msg)
        changes[plane] = np.where(finite, values, 0).astype(np.asarray(values).dtype)
    return dataclasses.replace(band, **changes) if changes else band


def make_dataset(inputs, bands, *, features=None):
    """
    Bring many cutouts to the geometry of a network.

    Parameters
    ----------
    inputs : InputSpec
        What the network sees.
    bands : dict of str to BandArrays
        Bands by name. Those the network does not know are ignored; those that are
        missing are marked as such for all cutouts.
    features : dict of str to 1D array-like, optional
        The finder's numbers, NaN where not known.

    Returns
    -------
    dataset : dict
        ``'bands'``, by name: the planes ``counts``, ``exposure``, ``background``,
        ``valid`` of an X-ray band or ``data``, ``valid`` of another, each of shape
        ``(n, ny, nx)``, with ``present`` (and ``has_background``) of shape ``(n,)``;
        ``'features'`` and ``'known'``, shape ``(n, n_features)``. Planes that need
        no regridding are not copied.

    Raises
    ------
    ValueError
        If lengths differ, no band is known, or a valid pixel is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import BandArrays, BandSpec, InputSpec, make_dataset
    >>> inputs = InputSpec(bands=(BandSpec(name='g', kind='optical', shape=(8, 8),
    ...                                    pixel_scale=1.0),))
    >>> band = BandArrays(data=np.ones((3, 8, 8), 'f4'), pixel_scale=1.0)
    >>> make_dataset(inputs, {'g': band})['bands']['g']['present'].tolist()
    [1.0, 1.0, 1.0]
    """
    features = {} if features is None else features
    here = [name for name in inputs.band_names if name in bands]
    if not here:
        msg = (
            f'none of the bands {list(bands)} is known to the network, which sees '
            f'{list(inputs.band_names)}'
        )
        raise ValueError(msg)
    lengths = {name: len(bands[name].data) for name in here}
    lengths |= {name: len(features[name]) for name in inputs.features if name in features}
    n_items = lengths[here[0]]
    if len(set(lengths.values())) > 1:
        msg = f'bands and features must have one length, got {lengths}'
        raise ValueError(msg)
    planes = {}
    for spec in inputs.bands:
        band = bands.get(spec.name)
        xray = spec.kind == 'xray'
        if band is not None:
            band = _finite(spec.name, band)
            band = regrid(band, shape=spec.shape, pixel_scale=spec.pixel_scale, counts=xray)
        planes[spec.name] = (_xray_planes if xray else _optical_planes)(spec, band, n_items)
    columns = np.full((n_items, len(inputs.features)), np.nan, np.float32)
    for column, name in enumerate(inputs.features):
        if name not in FEATURES:
            msg = f"there is no feature '{name}'; there are {', '.join(FEATURES)}"
            raise ValueError(msg)
        if name in features:
            columns[:, column] = FEATURES[name].standardise(features[name])
    known = np.isfinite(columns)
    return {
        'bands': planes,
        'features': np.where(known, columns, 0).astype(np.float32),
        'known': known.astype(np.float32),
    }


def n_rows(dataset):
    """
    Return the number of cutouts of a data set.

    Parameters
    ----------
    dataset : dict
        From `make_dataset`.

    Returns
    -------
    n_rows : int
        Its length.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import (BandArrays, BandSpec, InputSpec, make_dataset,
    ...                                 n_rows)
    >>> inputs = InputSpec(bands=(BandSpec(name='g', kind='optical', shape=(8, 8),
    ...                                    pixel_scale=1.0),))
    >>> band = BandArrays(data=np.ones((3, 8, 8), 'f4'), pixel_scale=1.0)
    >>> n_rows(make_dataset(inputs, {'g': band}))
    3
    """
    return len(dataset['features'])


def take(dataset, rows, batch_size):
    """
    Return rows of a data set as a batch of fixed size.

    Parameters
    ----------
    dataset : dict
        From `make_dataset`, possibly with further arrays of the same length.
    rows : 1D `~numpy.ndarray` of int
        Which cutouts, at most ``batch_size``.
    batch_size : int
        Length of the batch; what is not filled is zero.

    Returns
    -------
    batch : dict
        Nested as the data set, all float32, with ``'_mask'`` of shape
        ``(batch_size,)``: 1 for rows, 0 for padding.

    Raises
    ------
    ValueError
        If there are more rows than places.
    IndexError
        If a row does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import take
    >>> take({'features': np.ones((5, 1))}, np.arange(3), 4)['_mask'].tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    rows = np.asarray(rows, np.intp)
    n_taken = len(rows)
    if n_taken > batch_size:
        msg = f'{n_taken} rows do not fit into a batch of {batch_size}'
        raise ValueError(msg)

    def gather(array):
        out = np.zeros((batch_size, *array.shape[1:]), np.float32)
        out[:n_taken] = array[rows]
        return out

    def walk(node):
        if isinstance(node, dict):
            return {name: walk(child) for name, child in node.items()}
        return gather(node)

    batch = walk(dataset)
    batch['_mask'] = (np.arange(batch_size) < n_taken).astype(np.float32)
    return batch
