# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Changes of a training batch that leave the truth as it is, under jit.

All bands of a cutout are turned and shifted alike; counts stay counts.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import lax

from clustercnn.network.config import _check_number

__all__ = ['Augmentation', 'augment', 'dihedral', 'thin_counts']

_PLANES = ('counts', 'exposure', 'background', 'data', 'valid')

# below this number of counts in a pixel the binomial law is followed exactly
_EXACT = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """
    What is changed at random in training.

    Parameters
    ----------
    dihedral : bool
        Flips and quarter turns.
    shift : float
        Largest shift along each axis in arcsec, the same on the sky for all bands: whole pixels of
        the coarsest, so that less than one of these moves nothing.
        Off by default: cutouts of a finder's candidates are off centre as they are, and
        more of it blurs what tells a point source from a small cluster.
    band_dropout : float
        How often a band other than X-rays is taken away, where there are X-rays,
        so that the network can do without.
    band_exchange : float
        How often such a band is that of another cutout, so that no picture alone rules anything
        out: on another sky than that of the training it may show less. Together with
        ``band_dropout`` at most 1.
    feature_dropout : float
        How often the finder's numbers are taken away, all at once.
    background_dropout : float
        How often a background map is taken away, so that it is estimated.
    thinning : float
        Share of a batch, rounded up, whose exposure is shortened by dropping counts.
        The finder's numbers, which hold for the full exposure, are then taken away.
    thinning_floor : float
        Smallest share of the counts that is kept.

    Examples
    --------
    >>> from clustercnn.network import Augmentation
    >>> Augmentation.none().dihedral
    False
    """

    dihedral: bool = True
    shift: float = 0.0
    band_dropout: float = 0.2
    band_exchange: float = 0.0
    feature_dropout: float = 0.2
    background_dropout: float = 0.5
    thinning: float = 0.1
    thinning_floor: float = 0.3

    def __post_init__(self):
        put = object.__setattr__
        if not isinstance(self.dihedral, bool):
            msg = f"'dihedral' must be true or false, got {self.dihedral!r}"
            raise TypeError(msg)
        put(self, 'shift', _check_number('shift', self.shift, low=0, high=1e4))
        for name in (
            'band_dropout',
            'band_exchange',
            'feature_dropout',
            'background_dropout',
            'thinning',
        ):
            put(self, name, _check_number(name, getattr(self, name), low=0, high=1))
        if self.band_dropout + self.band_exchange > 1:
            msg = (
                f"'band_dropout' and 'band_exchange' must be at most 1 together, got "
                f'{self.band_dropout!r} and {self.band_exchange!r}'
            )
            raise ValueError(msg)
        put(
            self,
            'thinning_floor',
            _check_number('thinning_floor', self.thinning_floor, low=0, high=1, open_low=True),
        )

    @classmethod
    def none(cls):
        """
        Return a setting that changes nothing.

        Returns
        -------
        augmentation : Augmentation
            With all options off.
        """
        return cls(
            dihedral=False,
            shift=0.0,
            band_dropout=0.0,
            band_exchange=0.0,
            feature_dropout=0.0,
            background_dropout=0.0,
            thinning=0.0,
        )


def dihedral(x, index):
    """
    Apply one of the eight flips and quarter turns.

    Parameters
    ----------
    x : `~jax.Array`
        Shape ``(n, ny, nx)`` or ``(n, ny, nx, n_channels)``.
    index : int
        0 to 7; 0 changes nothing, from 4 on rows and columns are exchanged.

    Returns
    -------
    y : `~jax.Array`
        Of the same shape, but for exchanged sizes from 4 on.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.network import dihedral
    >>> dihedral(jnp.array([[[1, 2], [3, 4]]]), 2).tolist()
    [[[3, 4], [1, 2]]]
    """
    if index & 1:
        x = lax.rev(x, (2,))
    if index & 2:
        x = lax.rev(x, (1,))
    return jnp.swapaxes(x, 1, 2) if index & 4 else x


def _random_dihedral(x, choice, square):
    shape = (-1, 1, 1)
    x = jnp.where((choice & 1).reshape(shape) > 0, x[:, :, ::-1], x)
    x = jnp.where((choice & 2).reshape(shape) > 0, x[:, ::-1], x)
    if square:
        x = jnp.where((choice & 4).reshape(shape) > 0, jnp.swapaxes(x, 1, 2), x)
    return x


def _shift(x, offset, reach):
    """
    Shift each cutout by its own whole number of pixels, -reach to reach, filling zeros.
    """
    _, height, width = x.shape
    padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach)))
    start = reach - offset
    return jax.vmap(lambda image, y, x: lax.dynamic_slice(image, (y, x), (height, width)))(
        padded, start[0], start[1]
    )


def thin_counts(key, counts, share):
    """
    Keep each count with a given probability.

    Parameters
    ----------
    key : `~jax.Array`
        Random key.
    counts : 3D `~jax.Array`
        Shape ``(n, ny, nx)``, not negative. Fractions of counts, which regridding
        makes, are scaled.
    share : 1D `~jax.Array`
        Probability for each cutout, above 0; 1 keeps all.

    Returns
    -------
    counts : 3D `~jax.Array`
        Binomial deviates: exact up to 20 counts in a pixel, rounded normal
        deviates of the same mean and variance above.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from clustercnn.network import thin_counts
    >>> counts = jnp.full((1, 64, 64), 4.0)
    >>> mean = thin_counts(jax.random.key(0), counts, jnp.array([0.25])).mean()
    >>> bool(abs(mean - 1.0) < 0.1)
    True
    """
    p = share.reshape(-1, 1, 1)
    whole = jnp.floor(counts)
    rest = (counts - whole) * p
    u = jax.random.uniform(key, counts.shape, minval=1e-7, maxval=1 - 1e-7)
    # inversion: count how many terms of the distribution function lie below u
    odds = p / jnp.maximum(1 - p, 1e-7)
    term = jnp.maximum(1 - p, 1e-7) ** jnp.minimum(whole, _EXACT)
    total = term
    kept = jnp.zeros_like(counts)
    for k in range(_EXACT):
        kept = kept + (u > total)
        term = term * (whole - k) / (k + 1) * odds
        total = total + jnp.maximum(term, 0)
    spread = jnp.sqrt(whole * p * (1 - p))
    normal = jnp.round(whole * p + spread * jax.scipy.special.ndtri(u))
    drawn = jnp.clip(jnp.where(whole > _EXACT, normal, kept), 0, whole)
    return jnp.where(p >= 1, counts, drawn + rest)


def _exchanged(plane, which):
    """
    Give some rows that of the row before.
    """
    return jnp.where(which.reshape(-1, *[1] * (plane.ndim - 1)), jnp.roll(plane, 1, axis=0), plane)


def augment(key, batch, inputs, settings):
    """
    Change a batch at random without changing what is true of it.

    Parameters
    ----------
    key : `~jax.Array`
        Random key.
    batch : dict
        From `~clustercnn.network.take`.
    inputs : InputSpec
        Bands and features.
    settings : Augmentation
        What to change, and how often.

    Returns
    -------
    batch : dict
        Of the same structure and shapes.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from clustercnn.network import (Augmentation, BandArrays, BandSpec, InputSpec, augment,
    ...                                 make_dataset, take)
    >>> spec = BandSpec(name='xray', kind='xray', shape=(16, 16), pixel_scale=4.0)
    >>> inputs = InputSpec(bands=(spec,))
    >>> counts = np.random.default_rng(1).poisson(1.0, (4, 16, 16))
    >>> data = make_dataset(inputs, {'xray': BandArrays(data=counts, pixel_scale=4.0)})
    >>> batch = take(data, np.arange(4), 4)
    >>> turned = augment(jax.random.key(0), batch, inputs, Augmentation(shift=0, thinning=0))
    >>> bool(turned['bands']['xray']['counts'].sum() == counts.sum())
    True
    """
    n_items = batch['_mask'].shape[0]
    n_bands = len(inputs.bands)
    key_decisions, key_counts = jax.random.split(key)
    # all decisions in one draw, since each draw in a program costs a second of compilation
    draw = iter(lax.optimization_barrier(jax.random.uniform(key_decisions, (5 + n_bands, n_items))))
    bands = {name: dict(planes) for name, planes in batch['bands'].items()}

    def whole(low, high):
        return jnp.floor(low + (high - low + 1) * next(draw)).astype(jnp.int32)

    # rows come in random order, so that the first ones are a random choice, and only
    # they need the work
    n_thinned = math.ceil(settings.thinning * n_items) if inputs.has_xray else 0
    thinned = jnp.arange(n_items) < n_thinned
    share = jnp.where(thinned, settings.thinning_floor ** next(draw), 1.0)
    n_seen = sum(bands[spec.name]['present'] for spec in inputs.bands if spec.kind == 'xray')
    for number, spec in enumerate(inputs.bands):
        planes, chance = bands[spec.name], next(draw)
        if spec.kind == 'xray':
            if n_thinned:
                own = jax.random.fold_in(key_counts, number)
                counts = jnp.maximum(planes['counts'], 0)
                some = thin_counts(own, counts[:n_thinned], share[:n_thinned])
                # else the compiler repeats the drawing in every step that follows
                planes['counts'] = lax.optimization_barrier(
                    jnp.concatenate([some, counts[n_thinned:]])
                )
                planes['background'] = planes['background'] * share[:, None, None]
            keep = chance >= settings.background_dropout
            planes['has_background'] = planes['has_background'] * keep
        elif inputs.has_xray:
            # never all that there is of a cutout
            kept = (chance >= settings.band_dropout) | (n_seen == 0)
            if settings.band_exchange > 0:
                exchanged = (
                    kept & (n_seen > 0) & (chance < settings.band_dropout + settings.band_exchange)
                )
                # rows come in random order, so that the one before is any other; that of the first
                # may be a row that fills up the batch, without the band
                planes = {name: _exchanged(plane, exchanged) for name, plane in planes.items()}
                bands[spec.name] = planes
            planes['present'] = planes['present'] * kept
    lost = thinned | (next(draw) < settings.feature_dropout)
    known = batch['known'] * ~lost[:, None]
    turn = whole(0, 7)
    square = all(spec.shape[0] == spec.shape[1] for spec in inputs.bands)
    # one shift on the sky for all bands, in whole pixels of the coarsest
    coarsest = max(spec.pixel_scale for spec in inputs.bands)
    n_steps = int(settings.shift // coarsest)
    move = jnp.stack([whole(-n_steps, n_steps), whole(-n_steps, n_steps)])
    for spec in inputs.bands:
        planes = bands[spec.name]
        ratio = coarsest / spec.pixel_scale
        reach = min(round(n_steps * ratio), min(spec.shape) - 1)
        offset = jnp.clip(jnp.round(move * ratio).astype(jnp.int32), -reach, reach)
        for name in _PLANES:
            if name not in planes:
                continue
            if settings.dihedral:
                planes[name] = _random_dihedral(planes[name], turn, square)
            if reach > 0:
                planes[name] = _shift(planes[name], offset, reach)
    return batch | {'bands': bands, 'known': known, 'features': batch['features'] * known}
