# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
From raw planes to what the first layer sees, under jit.

X-ray counts become planes of significance against the background on several
scales, so that exposure, background level and pixel scale are divided out;
other bands become sky-subtracted pictures in units of the sky's scatter.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ['make_planes', 'masked_median', 'stack_on_one_grid', 'xray_background']

# blocks of this many pixels a side, in whose counts a background is looked for
_BLOCK = 8

# but a small cutout is divided into this many along each side all the same, else it
# would have no outskirts and its background would depend on where the source lies
_FEWEST_BLOCKS = 8

# the outskirts of a cutout begin at this fraction of its half side
_OUTSKIRTS = 0.6


def _gaussian_matrix(n_pixels, sigma):
    """
    Smoothing along one axis as a matrix, and the effective length of the kernel.
    """
    offset = np.arange(n_pixels)
    if sigma < 0.2:
        return np.eye(n_pixels, dtype=np.float32), 1.0
    reach = math.ceil(6 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    norm = kernel.sum()
    matrix = np.exp(-0.5 * ((offset[:, None] - offset[None]) / sigma) ** 2) / norm
    return matrix.astype(np.float32), float(norm**2 / (kernel**2).sum())


def _smooth(x, sigma):
    rows, length = _gaussian_matrix(x.shape[1], sigma)
    columns, _ = _gaussian_matrix(x.shape[2], sigma)
    return jnp.asarray(rows) @ x @ jnp.asarray(columns), length**2


def _block_matrix(n_pixels):
    n_blocks = max(1, n_pixels // _BLOCK, min(_FEWEST_BLOCKS, n_pixels // 2))
    edges = np.linspace(0, n_pixels, n_blocks + 1).round().astype(int)
    position = np.arange(n_pixels)
    return (
        ((position >= edges[:-1, None]) & (position < edges[1:, None])).astype(np.float32),
        ((edges[:-1] + edges[1:]) / 2 - n_pixels / 2) / (n_pixels / 2),
    )


def xray_background(counts, exposure):
    """
    Background rate of each cutout from its own outskirts.

    Parameters
    ----------
    counts : 3D `~jax.Array`
        Shape ``(n, ny, nx)``, zero where not valid.
    exposure : 3D `~jax.Array`
        Relative exposure of the same shape, zero where not valid.

    Returns
    -------
    rate : 1D `~jax.Array`
        Counts per pixel of exposure one, shape ``(n,)``.

    Notes
    -----
    A mean over blocks of 8 x 8 pixels (smaller ones in a small cutout) in the outskirts,
    from which blocks more than three sigma above it are removed, five times. A median
    would be zero at the low rates of X-ray images. A source that fills the cutout raises it.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.transforms import xray_background
    >>> xray_background(jnp.full((1, 32, 32), 0.5), jnp.ones((1, 32, 32))).tolist()
    [0.5]
    """
    rows, y = _block_matrix(counts.shape[1])
    columns, x = _block_matrix(counts.shape[2])
    radius = np.maximum(abs(y)[:, None], abs(x)[None])
    outer = jnp.asarray((radius > _OUTSKIRTS) | (radius.max() <= _OUTSKIRTS), jnp.float32)
    n = jnp.asarray(rows) @ counts @ jnp.asarray(columns.T)
    e = jnp.asarray(rows) @ exposure @ jnp.asarray(columns.T)
    # nothing exposed in the outskirts: the whole cutout has to do
    exposed = (outer * e).sum((1, 2), keepdims=True) > 0
    weight = jnp.where(exposed, outer, 1.0)
    region = weight
    for _ in range(5):
        rate = (weight * n).sum((1, 2), keepdims=True) / jnp.maximum(
            (weight * e).sum((1, 2), keepdims=True), 1e-6
        )
        expected = rate * e
        weight = region * (n <= expected + 3 * jnp.sqrt(expected) + 1)
    return jnp.squeeze(rate, (1, 2))


def _softened(x, softening):
    """
    Inverse hyperbolic sine of ``x / softening``.

    Written out, since the library's version, exact to the last bit for tiny values
    that do not matter here, takes several times longer.
    """
    x = x / softening
    return jnp.sign(x) * jnp.log(jnp.abs(x) + jnp.sqrt(x * x + 1))


def _middle(n_pixels):
    """
    The middle quarter, where the candidate is, but at least eight pixels: a shifted
    source must not have its peak outside.
    """
    half = max(n_pixels // 8, min(4, n_pixels // 2))
    return slice(n_pixels // 2 - half, n_pixels - n_pixels // 2 + half)


def _over_peak(net, spec):
    """
    Return pictures over their peak in the middle, so that only the shape is left.
    """
    core = np.zeros(spec.shape, np.float32)
    core[tuple(_middle(size) for size in spec.shape)] = 1
    peak = (net * core).max((1, 2), keepdims=True)
    return jnp.clip(jnp.where(peak > 0, net / jnp.where(peak > 0, peak, 1), 0), -1, 2)


def _xray(band, spec, settings):
    valid = band['valid'] * (band['exposure'] > 0)
    counts = jnp.maximum(band['counts'], 0) * valid
    exposure = band['exposure'] * valid
    exposure = exposure / jnp.maximum(exposure.max((1, 2), keepdims=True), 1e-30)
    rate = xray_background(counts, exposure)[:, None, None]
    given = jnp.maximum(band['background'], 0) * valid
    level = xray_background(given, exposure)[:, None, None]
    given = jnp.minimum(given, settings.background_cap * level * exposure)
    has_background = (band['has_background'][:, None, None] > 0) & (level > 0)
    background = jnp.where(has_background, given, rate * exposure)
    planes = []
    for scale in settings.xray_scales:
        # the kernel holds `area` pixels' worth of independent counts, so that these are
        # counts in an aperture; their root is the transform of Anscombe (1948)
        n, area = _smooth(counts, scale / spec.pixel_scale)
        b, _ = _smooth(background, scale / spec.pixel_scale)
        sigma = 2 * (jnp.sqrt(area * n + 0.375) - jnp.sqrt(area * b + 0.375))
        planes.append(_softened(sigma, settings.xray_softening))
    if settings.xray_shape_scale > 0:
        net, _ = _smooth(counts - background, settings.xray_shape_scale / spec.pixel_scale)
        planes.append(_over_peak(net, spec))
    picture = jnp.stack(planes, axis=-1)
    picture = jnp.clip(picture, -settings.clip, settings.clip) * valid[..., None]
    return picture, exposure[..., None]


def masked_median(x, valid, *, n_steps=26):
    """
    Median of the valid pixels of each cutout, without sorting.

    Parameters
    ----------
    x : 3D `~jax.Array`
        Shape ``(n, ny, nx)``.
    valid : 3D `~jax.Array`
        1 for pixels that count, 0 for others.
    n_steps : int, optional
        Halvings of the range of the values; sorting is what costs on every backend.

    Returns
    -------
    median : 1D `~jax.Array`
        Shape ``(n,)``, the lower one of two, right to the range over
        ``2**n_steps``; zero where no pixel is valid.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network.transforms import masked_median
    >>> x = jnp.array([[[1.0, 2.0, 3.0, 1000.0]]])
    >>> round(float(masked_median(x, jnp.array([[[1.0, 1.0, 1.0, 0.0]]]))[0]), 4)
    2.0
    """
    good = valid > 0
    there = good.any((1, 2))
    low = jnp.where(there, jnp.where(good, x, jnp.inf).min((1, 2)), 0)
    high = jnp.where(there, jnp.where(good, x, -jnp.inf).max((1, 2)), 0)
    half = good.sum((1, 2)) * 0.5

    def step(_, limits):
        low, high = limits
        middle = low + 0.5 * (high - low)
        below = (good & (x <= middle[:, None, None])).sum((1, 2))
        return jnp.where(below >= half, low, middle), jnp.where(below >= half, middle, high)

    # the minimum itself may be the median, and the upper limit ends on it
    return lax.fori_loop(0, n_steps, step, (low, high))[1]


def _masked_size(size, valid, share, rms, *, n_steps):
    """
    Return the size that a share of the valid pixels keep to; 0 where it is below 1e-5 rms.

    The sizes are halved by ratio and from the rms, of which the largest one is no measure:
    four times the rms is beyond any share up to 0.93 (Chebyshev's inequality).
    """
    good = valid > 0
    wanted = good.sum((1, 2), keepdims=True) * share
    least = math.log(1e-5)

    def step(_, limits):
        low, high = limits
        middle = 0.5 * (low + high)
        below = (good & (size <= jnp.exp(middle) * rms)).sum((1, 2), keepdims=True)
        return jnp.where(below >= wanted, low, middle), jnp.where(below >= wanted, middle, high)

    ends = jnp.full_like(rms, least), jnp.full_like(rms, math.log(4.0))
    low, high = lax.fori_loop(0, n_steps, step, ends)
    return jnp.where(low > least, jnp.exp(high) * rms, 0)


def _optical(band, spec, settings):
    data, valid = band['data'], band['valid']
    # a quarter of a large picture gives sky and scatter well enough
    step = 2 if min(spec.shape) >= 96 else 1

    def thinned(x):
        return lax.slice(x, (0, 0, 0), x.shape, (1, step, step))

    some, good = thinned(data), thinned(valid)
    sky = masked_median(some, good)[:, None, None]
    deviation = jnp.abs(data - sky)
    n_valid = jnp.maximum(valid.sum((1, 2), keepdims=True), 1)
    rms = jnp.sqrt((valid * deviation**2).sum((1, 2), keepdims=True) / n_valid)
    some = thinned(deviation)
    # 1.4826 turns the median deviation of a Gaussian into its sigma
    scatter = 1.4826 * _masked_size(some, good, 0.5, rms, n_steps=18)
    # plates and integers may have more than half of the pixels at one value. The rms, which
    # one star or hot pixel drives up at will, only counts where nine tenths have one value
    wide = _masked_size(some, good, 0.9, rms, n_steps=8)
    scatter = jnp.maximum(scatter, 0.05 * jnp.where(wide > 0, wide, rms))
    scaled = (data - sky) / jnp.where(scatter > 0, scatter, 1)
    planes = [
        jnp.clip(_softened(scaled, settings.optical_softening), -settings.clip, settings.clip)
    ]
    if settings.optical_shape:
        planes.append(_over_peak(valid * (data - sky), spec))
    return jnp.stack(planes, axis=-1) * valid[..., None], valid[..., None]


def make_planes(batch, inputs, settings):
    """
    Turn raw planes into what a network sees.

    Parameters
    ----------
    batch : dict
        From `~clustercnn.network.take`.
    inputs : InputSpec
        Bands and features.
    settings : Preprocessing
        How.

    Returns
    -------
    planes : dict
        ``'pictures'`` by band, shape ``(n, ny, nx, n_planes)``, zero where not
        valid or missing; ``'coverage'`` by band, shape ``(n, ny, nx, 1)``: exposure
        relative to its maximum, or valid pixels; ``'present'`` by band, shape
        ``(n,)``; ``'features'`` and ``'known'``, shape ``(n, n_features)``.

    Notes
    -----
    X-ray: for each scale the counts ``N`` and background ``B`` in a Gaussian
    aperture give ``2 sqrt(N + 3/8) - 2 sqrt(B + 3/8)``, which has unit variance
    where there is only background (F. J. Anscombe 1948, Biometrika 35, 246), and
    whose arcsinh is taken. Other bands: ``arcsinh((x - median) / scatter)`` with
    the scatter from the median absolute deviation, and beside it, if asked for, the picture
    over its peak in the middle: faint wings are lost in the one, and bright structure in the other.
    Bright is positive in both:
    photographic plates digitised as densities fit, a picture with dark sources
    has to be turned round first.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import (BandArrays, BandSpec, InputSpec, Preprocessing,
    ...                                 make_dataset, make_planes, take)
    >>> spec = BandSpec(name='xray', kind='xray', shape=(16, 16), pixel_scale=4.0)
    >>> inputs = InputSpec(bands=(spec,))
    >>> counts = np.random.default_rng(1).poisson(1.0, (3, 16, 16))
    >>> data = make_dataset(inputs, {'xray': BandArrays(data=counts, pixel_scale=4.0)})
    >>> planes = make_planes(take(data, np.arange(3), 4), inputs, Preprocessing())
    >>> planes['pictures']['xray'].shape
    (4, 16, 16, 6)
    """
    pictures, coverage, present = {}, {}, {}
    for spec in inputs.bands:
        band = batch['bands'][spec.name]
        convert = _xray if spec.kind == 'xray' else _optical
        picture, cover = convert(band, spec, settings)
        here = band['present']
        pictures[spec.name] = picture * here[:, None, None, None]
        coverage[spec.name] = cover * here[:, None, None, None]
        present[spec.name] = here
    return {
        'pictures': pictures,
        'coverage': coverage,
        'present': present,
        'features': batch['features'],
        'known': batch['known'],
    }


def _linear_matrix(n_in, scale_in, n_out, scale_out):
    """
    Linear interpolation along one axis as a matrix, averaging where pixels grow.
    """
    x_in = (np.arange(n_in) - (n_in - 1) / 2) * scale_in
    x_out = (np.arange(n_out) - (n_out - 1) / 2) * scale_out
    reach = max(scale_in, scale_out)
    weight = np.clip(1 - abs(x_out[:, None] - x_in[None]) / reach, 0, None)
    total = weight.sum(axis=1, keepdims=True)
    weight = weight / np.where(total > 0, total, 1)
    outside = abs(x_out) > n_in * scale_in / 2
    weight[outside] = 0
    return weight.astype(np.float32)


def stack_on_one_grid(pictures, inputs, *, resolution=1.0):
    """
    Put the pictures of all bands on the grid of the finest band, or a multiple of it.

    Parameters
    ----------
    pictures : dict of str to 4D `~jax.Array`
        From `make_planes`.
    inputs : InputSpec
        The bands.
    resolution : float, optional
        Pixels along a side for each of the finest band.

    Returns
    -------
    stacked : 4D `~jax.Array`
        Shape ``(n, ny, nx, n_planes)`` over all bands, in their order.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network import BandSpec, InputSpec
    >>> from clustercnn.network.transforms import stack_on_one_grid
    >>> inputs = InputSpec(bands=(
    ...     BandSpec(name='xray', kind='xray', shape=(8, 8), pixel_scale=4.0),
    ...     BandSpec(name='optical', kind='optical', shape=(16, 16), pixel_scale=2.0)))
    >>> pictures = {'xray': jnp.ones((1, 8, 8, 1)), 'optical': jnp.ones((1, 16, 16, 1))}
    >>> stack_on_one_grid(pictures, inputs).shape
    (1, 16, 16, 2)
    """
    finest = min(inputs.bands, key=lambda spec: spec.pixel_scale)
    shape = tuple(max(1, round(resolution * size)) for size in finest.shape)
    pixel_scale = finest.pixel_scale * finest.shape[0] / shape[0]
    stacked = []
    for spec in inputs.bands:
        picture = pictures[spec.name]
        if (spec.shape, spec.pixel_scale) != (shape, pixel_scale):
            rows, columns = (
                jnp.asarray(_linear_matrix(n_in, spec.pixel_scale, n_out, pixel_scale))
                for n_in, n_out in zip(spec.shape, shape, strict=True)
            )
            picture = jnp.einsum('yj,njkc,xk->nyxc', rows, picture, columns)
        stacked.append(picture)
    return jnp.concatenate(stacked, axis=-1)
