# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How unlike those of the training the images themselves are, whatever the network makes of them.

A network maps what it was never shown into the space that it knows: images of noise, in
another unit or of the other sign look ordinary to its last layer. A few plain numbers of each
image do not.
"""

import numpy as np

__all__ = ['fit_statistics', 'image_statistics', 'n_statistics', 'statistics_distance']

# edges of rings round the candidate in units of the half side of the cutout
_XRAY_EDGES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
_HOLLOW_WIDTH = 1 / 8
_N_OCTANTS = 8
_PICTURE_EDGES = (1 / 40, 1 / 20, 1 / 12, 1 / 8, 1 / 5, 1 / 3, 1 / 2)
_BLOCK = 8
# cutouts that are worked on together, which bounds the memory
_CHUNK = 256
_SIDES = (0.025, 0.5, 0.975)
# whose square double precision still holds
_LARGEST = 1e100


def image_statistics(dataset, inputs):
    """
    Return plain numbers that describe the images of each band.

    Parameters
    ----------
    dataset : dict
        From `~clustercnn.network.make_dataset`.
    inputs : InputSpec
        Bands.

    Returns
    -------
    statistics : dict of str to 2D `~numpy.ndarray`
        By band, shape ``(n, n_numbers)``, float64; rows of cutouts without the band are NaN,
        and so are single numbers for which no pixel is there.

    Notes
    -----
    X-rays: the logarithm of the counts, the share of negative ones, the logarithm of the scatter
    between neighbouring pixels over their mean (one for Poisson counts), the significance
    ``2 sqrt(N + 3/8) - 2 sqrt(B + 3/8)`` (Anscombe 1948) of the counts in rings round the
    candidate, and by how many sigma, at most, the darker octants of a ring are brighter than all
    within it: those of a shell are, those of a ring with a neighbour in it are not. Pictures: the
    medians of rings, third moment and percentiles in units of the robust scatter of the sky, the
    correlation of neighbouring pixels, and by how much an outer ring is brighter than the middle.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import BandArrays, BandSpec, InputSpec, make_dataset
    >>> from clustercnn.training import image_statistics
    >>> inputs = InputSpec(bands=(BandSpec(name='xray', kind='xray', shape=(32, 32),
    ...                                    pixel_scale=4.0),))
    >>> counts = np.random.default_rng(1).poisson(1.0, (3, 32, 32))
    >>> data = make_dataset(inputs, {'xray': BandArrays(data=counts, pixel_scale=4.0)})
    >>> image_statistics(data, inputs)['xray'].shape
    (3, 9)
    """
    result = {}
    for spec in inputs.bands:
        band = dataset['bands'][spec.name]
        measure = _of_counts if spec.kind == 'xray' else _of_picture
        n = len(band['present'])
        parts = []
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            # values that are far too large are among those to be found
            part = {
                name: np.clip(np.asarray(values[rows], np.float64), -_LARGEST, _LARGEST)
                for name, values in band.items()
            }
            with np.errstate(invalid='ignore', divide='ignore'):
                values = np.stack(measure(part, spec.shape), axis=1)
            values[part['present'] == 0] = np.nan
            parts.append(values)
        result[spec.name] = np.concatenate([np.zeros((0, n_statistics(spec))), *parts])
    return result


def n_statistics(spec):
    """
    Return how many numbers describe an image of a band.

    Parameters
    ----------
    spec : BandSpec
        The band.

    Returns
    -------
    n_numbers : int
        Depends on the kind and, for small cutouts, on the shape.

    Examples
    --------
    >>> from clustercnn.network import BandSpec
    >>> from clustercnn.training import n_statistics
    >>> n_statistics(BandSpec(name='g', kind='optical', shape=(64, 64), pixel_scale=1.0))
    12
    """
    xray = spec.kind == 'xray'
    n_rings = len(_rings(spec.shape, _XRAY_EDGES if xray else _PICTURE_EDGES))
    return n_rings + (3 if xray else 4) + (n_rings > 2)


def _rings(shape, edges):
    """
    Return which pixels lie in each ring, shape ``(n_rings, n_pixels)``; no ring is empty.
    """
    half = min(shape) / 2
    y, x = (np.arange(size) - (size - 1) / 2 for size in shape)
    radius = np.hypot(y[:, None], x).ravel()
    inner, rings = 0.0, []
    for edge in edges:
        # a ring is at least a pixel wide
        outer = max(edge * half, inner + 1.0)
        ring = (radius >= inner) & (radius < outer)
        if ring.any():
            rings.append(ring)
        inner = outer
    return np.array(rings)


def _of_counts(band, shape):
    valid = band['valid'] * (band['exposure'] > 0)
    counts = band['counts'] * valid
    exposure = band['exposure'] * valid
    exposure = exposure / np.maximum(exposure.max((1, 2), keepdims=True), 1e-30)
    n, ny, nx = counts.shape
    height, width = (max(1, size // _BLOCK) for size in (ny, nx))
    cut = (slice(None), slice(0, height * (ny // height)), slice(0, width * (nx // width)))
    blocks, seen = (
        plane[cut].reshape(n, height, ny // height, width, nx // width).sum((2, 4)).reshape(n, -1)
        for plane in (counts, exposure)
    )
    rate = np.where(
        seen > 0.1 * seen.max(1, keepdims=True), blocks / np.maximum(seen, 1e-9), np.nan
    )
    # half of the blocks hold no source worth speaking of
    level = np.maximum(np.nan_to_num(_quantile(rate, 0.5)), 0)
    total = np.abs(counts).sum((1, 2))
    negative = np.maximum(-counts, 0).sum((1, 2)) / np.maximum(total, 1e-9)
    both = valid[:, :, 1:] * valid[:, :, :-1]
    jump = ((counts[:, :, 1:] - counts[:, :, :-1]) ** 2 * both).sum((1, 2)) / 2
    scatter = jump / np.maximum((np.abs(counts[:, :, 1:]) * both).sum((1, 2)), 1e-9)
    rings = _rings(shape, _XRAY_EDGES)
    # not a product of matrices, whose last bits depend on the number of cutouts
    inside, area = (
        np.stack([plane.reshape(n, -1)[:, ring].sum(axis=1) for ring in rings], axis=1)
        for plane in (counts, exposure)
    )
    expected = level[:, None] * area
    significance = 2 * (
        np.sqrt(np.maximum(inside, 0) + 0.375) - np.sqrt(np.maximum(expected, 0) + 0.375)
    )
    numbers = [np.log10(total + 1), negative, np.log10(scatter + 1e-6)]
    numbers += list(np.arcsinh(significance).T)
    if len(rings) > 2:
        numbers.append(np.arcsinh(_hollowness(counts, exposure)))
    return numbers


def _cells(shape):
    """
    Return the pixels ordered by ring and octant, where each cell begins, its ring, its octant.
    """
    half = min(shape) / 2
    # a ring is at least a pixel wide
    width = max(_HOLLOW_WIDTH * half, 1.0)
    y, x = (np.arange(size) - (size - 1) / 2 for size in shape)
    radius = np.hypot(y[:, None], x).ravel()
    octant = np.floor((np.arctan2(y[:, None], x).ravel() / np.pi + 1) * _N_OCTANTS / 2)
    octant = octant.astype(int) % _N_OCTANTS
    ring = (radius / width).astype(int)
    inside = np.flatnonzero(radius < int(half / width) * width)
    cell = (ring * _N_OCTANTS + octant)[inside]
    order = inside[np.argsort(cell, kind='stable')]
    cells, starts = np.unique(np.sort(cell), return_index=True)
    return order, starts, cells // _N_OCTANTS, cells % _N_OCTANTS


def _hollowness(counts, exposure):
    """
    Return by how many sigma, at most, the darker octants of a ring are brighter than all within.

    A neighbour makes some octants of a ring bright, a shell all of them.
    """
    order, starts, rings, octants = _cells(counts.shape[1:])
    shape = (len(counts), rings[-1] + 1, _N_OCTANTS)
    number, area = np.zeros(shape), np.zeros(shape)
    for total, plane in ((number, counts), (area, exposure)):
        flat = plane.reshape(len(plane), -1)[:, order]
        total[:, rings, octants] = np.add.reduceat(flat, starts, axis=1)
    # what is not seen is among the brighter half, which does not count
    rate = np.where(area > 0, number / np.maximum(area, 1e-9), np.inf)
    darker = np.argsort(rate, axis=2, kind='stable')[:, :, : _N_OCTANTS // 2]
    ring, ring_area = (np.take_along_axis(v, darker, 2).sum(2)[:, 1:] for v in (number, area))
    within, area_within = (v.sum(2).cumsum(1)[:, :-1] for v in (number, area))
    ring_area = np.where(ring_area > 0, ring_area, np.nan)
    area_within = np.where(area_within > 0, area_within, np.nan)
    error = np.hypot(
        np.sqrt(np.maximum(ring, 1)) / ring_area, np.sqrt(np.maximum(within, 1)) / area_within
    )
    excess = (ring / ring_area - within / area_within) / error
    return np.fmax.reduce(excess, axis=1)


def _quantile(values, share):
    """
    Return a quantile of each row, without those that are NaN.
    """
    ordered = np.sort(values, axis=1)
    known = np.isfinite(ordered).sum(axis=1)
    place = np.clip(np.round(share * (known - 1)), 0, None).astype(int)
    return ordered[np.arange(len(values)), place]


def _mean(values):
    known = np.isfinite(values)
    return np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _of_picture(band, shape):
    data = np.where(band['valid'] > 0, band['data'], np.nan)
    n = len(data)
    # a quarter of a large picture gives sky and scatter well enough
    step = 2 if min(shape) >= 96 else 1
    some = data[:, ::step, ::step].reshape(n, -1)
    sky = _quantile(some, 0.5)
    deviation = np.abs(some - sky[:, None])
    scatter = 1.4826 * _quantile(deviation, 0.5)
    # the floor of a picture whose pixels mostly have one value is that of what the network sees
    rms = np.sqrt(_mean(deviation**2))
    wide = _quantile(deviation, 0.9)
    floor = 0.05 * np.where(wide > 1e-5 * rms, wide, rms)
    scatter = np.maximum(np.maximum(scatter, floor), 1e-30)
    picture = (data - sky[:, None, None]) / scatter[:, None, None]
    some = (some - sky[:, None]) / scatter[:, None]
    flat = picture.reshape(n, -1)
    middles = [np.arcsinh(_quantile(flat[:, ring], 0.5)) for ring in _rings(shape, _PICTURE_EDGES)]
    third = _mean(np.clip(some, -30, 30) ** 3)
    near = np.clip(picture, -5, 5)
    left, right = near[:, :, 1:], near[:, :, :-1]
    there = np.isfinite(left) & np.isfinite(right)
    mean = _mean(near.reshape(n, -1))[:, None, None]
    product = np.where(there, (left - mean) * (right - mean), 0).sum((1, 2))
    square = np.where(there, (left - mean) ** 2, 0).sum((1, 2))
    numbers = [*middles, np.arcsinh(third)]
    numbers += [np.arcsinh(_quantile(some, share)) for share in (0.01, 0.99)]
    numbers.append(product / np.maximum(square, 1e-9))
    if len(middles) > 2:
        numbers.append(np.max(middles[2:], axis=0) - np.max(middles[:2], axis=0))
    return numbers


def fit_statistics(values):
    """
    Describe where the statistics of the training images lie.

    Parameters
    ----------
    values : 2D array-like
        Of one band, from `image_statistics`; rows with any NaN are left out.

    Returns
    -------
    reference : dict of str to `~numpy.ndarray`, or None
        Float32 arrays for `statistics_distance`; None with fewer than two rows.

    Notes
    -----
    Each number is scaled by the distance of its 2.5th or 97.5th percentile from its median, then
    a Mahalanobis distance is taken and divided by its own 95th percentile.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.training import fit_statistics, statistics_distance
    >>> x = np.random.default_rng(1).normal(size=(400, 3))
    >>> reference = fit_statistics(x)
    >>> bool(statistics_distance([[9.0, 0.0, 0.0]], reference)[0] > 2)
    True
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values).all(axis=1)] if values.size else values
    if len(values) < 2:
        return None
    reference = {'quantiles': np.quantile(values, _SIDES, axis=0)}
    scaled = _scaled(values, reference['quantiles'])
    reference['mean'] = scaled.mean(axis=0)
    # a number that never changes in training, such as the share of negative counts, gets
    # the least width
    covariance = np.cov(scaled, rowvar=False).reshape(scaled.shape[1], -1)
    reference['precision'] = np.linalg.inv(covariance + 0.01 * np.eye(len(covariance)))
    reference['unit'] = np.array(1.0)
    reference = {name: np.asarray(value, np.float32) for name, value in reference.items()}
    unit = float(np.percentile(statistics_distance(values, reference), 95))
    reference['unit'] = np.asarray(max(unit, 1e-6), np.float32)
    return reference


def _scaled(values, quantiles):
    low, middle, high = np.asarray(quantiles, np.float64)
    side = np.where(values > middle, high - middle, middle - low)
    return (values - middle) / np.maximum(side, 0.01)


def statistics_distance(values, reference):
    """
    Return how far images are from those of the training.

    Parameters
    ----------
    values : 2D array-like
        Of one band, from `image_statistics`.
    reference : dict of str to `~numpy.ndarray`
        From `fit_statistics`.

    Returns
    -------
    distance : 1D `~numpy.ndarray` of float64
        One for what is stranger than 95 % of the training images; zero where the band is
        missing. Single numbers that are NaN count as those of the middle of the training.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.training import fit_statistics, statistics_distance
    >>> x = np.random.default_rng(1).normal(size=(400, 3))
    >>> float((statistics_distance(x, fit_statistics(x)) > 1).mean())
    0.05
    """
    values = np.asarray(values, np.float64)
    missing = ~np.isfinite(values).any(axis=1)
    values = np.where(np.isnan(values), reference['quantiles'][1], values)
    offset = _scaled(values, reference['quantiles']) - reference['mean']
    precision = np.asarray(reference['precision'], np.float64)
    squared = np.einsum('ni,ij,nj->n', offset, precision, offset)
    distance = np.sqrt(np.maximum(squared, 0)) / float(reference['unit'])
    return np.where(missing, 0.0, distance)
