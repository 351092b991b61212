# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Augmentation: the same for all bands, true to Poisson statistics, and nothing else.
"""

import jax
import numpy as np
import pytest
from scipy import stats

from clustercnn.network import (
    Augmentation,
    BandArrays,
    BandSpec,
    InputSpec,
    augment,
    make_dataset,
    take,
    thin_counts,
)

THIN = jax.jit(thin_counts)
ONLY = dict.fromkeys(('band_dropout', 'feature_dropout', 'background_dropout'), 0.0)


def moved(batch, inputs, **options):
    settings = Augmentation(**{'thinning': 0.0, **ONLY, **options})
    return jax.jit(lambda key, b: augment(key, b, inputs, settings))(jax.random.key(3), batch)


def test_nothing_asked_for_is_nothing_done(batch, inputs):
    after = moved(batch, inputs, shift=0.0, dihedral=False)
    jax.tree.map(np.testing.assert_array_equal, after, dict(batch))


def test_bands_are_turned_and_shifted_alike(inputs):
    # the optical picture is the X-ray one in pixels of half the size
    rng = np.random.default_rng(1)
    counts = rng.poisson(3.0, (16, 16, 16)).astype(np.float32) + 1
    fine = counts.repeat(2, axis=1).repeat(2, axis=2)
    made = make_dataset(
        inputs,
        {
            'xray': BandArrays(data=counts, pixel_scale=4.0),
            'optical': BandArrays(data=fine, pixel_scale=2.0),
        },
    )
    bands = moved(take(made, np.arange(16), 16), inputs, shift=8.0)['bands']
    after = np.array(bands['xray']['counts'])
    np.testing.assert_array_equal(
        after.repeat(2, axis=1).repeat(2, axis=2), bands['optical']['data']
    )
    np.testing.assert_array_equal(after > 0, np.array(bands['xray']['valid']) > 0)
    # all eight positions and several shifts do occur
    assert len({picture.tobytes() for picture in after}) == 16
    assert any((picture[:2] == 0).all() for picture in after)
    assert (abs(after - counts).sum((1, 2)) > 0).sum() > 10


def test_turns_lose_no_count(batch, inputs):
    after = moved(batch, inputs, shift=0.0)
    before = batch['bands']['xray']['counts']
    np.testing.assert_array_equal(
        np.sort(np.array(after['bands']['xray']['counts']).reshape(16, -1)),
        np.sort(before.reshape(16, -1)),
    )


@pytest.mark.parametrize(('n', 'share'), [(1, 0.5), (3, 0.2), (20, 0.9)])
def test_thinning_follows_the_binomial_law(n, share):
    counts = np.full((4, 64, 64), n, np.float32)
    thinned = np.array(THIN(jax.random.key(1), counts, np.full(4, share)))
    observed = np.bincount(thinned.astype(int).ravel(), minlength=n + 1)
    expected = stats.binom.pmf(np.arange(n + 1), n, share) * counts.size
    likely = expected > 5
    chi2 = ((observed - expected) ** 2 / expected)[likely].sum()
    assert chi2 < stats.chi2.ppf(0.9999, likely.sum())
    assert not thinned[:, :0].any() and set(np.unique(thinned)) <= set(range(n + 1))


def test_thinning_of_many_counts_keeps_mean_and_variance():
    counts = np.full((4, 64, 64), 1000, np.float32)
    thinned = np.array(THIN(jax.random.key(1), counts, np.full(4, 0.3)))
    assert abs(thinned.mean() - 300) < 0.6
    assert abs(thinned.var() / 210 - 1) < 0.05


def test_thinned_cutouts_lose_their_numbers_and_background_follows(inputs):
    counts = np.full((10, 16, 16), 50.0, np.float32)
    made = make_dataset(
        inputs,
        {'xray': BandArrays(data=counts, pixel_scale=4.0, background=counts)},
        features={'counts': np.full(10, 100.0)},
    )
    after = moved(take(made, np.arange(10), 10), inputs, thinning=0.4, dihedral=False, shift=0.0)
    xray = after['bands']['xray']
    ratio = np.array(xray['counts']).mean((1, 2)) / 50
    assert (ratio[:4] < 1).all() and (ratio[:4] > 0.28).all()
    np.testing.assert_array_equal(ratio[4:], 1)
    np.testing.assert_allclose(np.array(xray['background']).mean((1, 2)) / 50, ratio, rtol=0.05)
    assert np.array(after['known'])[:, 0].tolist() == [0] * 4 + [1] * 6


def test_dropouts_hit_the_stated_share(inputs):
    n = 400
    band = BandArrays(data=np.ones((n, 16, 16)), pixel_scale=4.0, background=np.ones((n, 16, 16)))
    picture = BandArrays(data=np.ones((n, 32, 32)), pixel_scale=2.0)
    made = make_dataset(inputs, {'xray': band, 'optical': picture}, features={'counts': np.ones(n)})
    after = moved(
        take(made, np.arange(n), n),
        inputs,
        band_dropout=0.25,
        feature_dropout=0.5,
        background_dropout=0.75,
    )
    assert np.array(after['bands']['xray']['present']).all()
    assert abs(np.mean(after['bands']['optical']['present']) - 0.75) < 0.1
    assert abs(np.mean(after['known'][:, 0]) - 0.5) < 0.1
    assert abs(np.mean(after['bands']['xray']['has_background']) - 0.25) < 0.1


def test_bands_stay_where_there_are_no_xrays():
    inputs = InputSpec(
        bands=tuple(
            BandSpec(name=name, kind='optical', shape=(8, 8), pixel_scale=1.0) for name in 'gr'
        )
    )
    bands = {name: BandArrays(data=np.ones((50, 8, 8)), pixel_scale=1.0) for name in 'gr'}
    batch = take(make_dataset(inputs, bands), np.arange(50), 50)
    after = moved(batch, inputs, band_dropout=0.9)
    assert np.array(after['bands']['g']['present']).all()


def test_some_pictures_are_those_of_another_cutout(inputs):
    n_items = 200
    number = np.arange(n_items, dtype=np.float32)[:, None, None] + 1
    made = make_dataset(
        inputs,
        {
            'xray': BandArrays(data=np.ones((n_items, 16, 16)) * number, pixel_scale=4.0),
            'optical': BandArrays(data=np.ones((n_items, 32, 32)) * number, pixel_scale=2.0),
        },
    )
    batch = take(made, np.arange(n_items), n_items)
    after = moved(batch, inputs, band_exchange=0.3, band_dropout=0.2)['bands']
    np.testing.assert_array_equal(after['xray']['counts'], batch['bands']['xray']['counts'])
    optical = np.array(after['optical']['data'])
    assert (optical == optical[:, :1, :1]).all()
    own = optical[:, 0, 0] == number[:, 0, 0]
    np.testing.assert_array_equal(optical[~own, 0, 0], np.roll(number[:, 0, 0], 1)[~own])
    assert 0.2 < np.mean(~own) < 0.4
    # what is taken away is not exchanged as well
    assert own[np.array(after['optical']['present']) == 0].all()
    with pytest.raises(ValueError, match='at most 1 together'):
        Augmentation(band_dropout=0.6, band_exchange=0.5)


def test_same_key_same_bits(batch, inputs):
    function = jax.jit(lambda key, b: augment(key, b, inputs, Augmentation()))
    one, other = (function(jax.random.key(7), batch) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_cutout_whose_xrays_are_missing_keeps_its_picture(inputs):
    counts = np.ones((8, 16, 16), np.float32)
    valid = np.ones(counts.shape, bool)
    valid[:4] = False
    made = make_dataset(
        inputs,
        {
            'xray': BandArrays(data=counts, pixel_scale=4.0, valid=valid),
            'optical': BandArrays(data=np.ones((8, 32, 32)), pixel_scale=2.0),
        },
    )
    after = moved(take(made, np.arange(8), 8), inputs, band_dropout=1.0)['bands']
    np.testing.assert_array_equal(after['optical']['present'], [1, 1, 1, 1, 0, 0, 0, 0])
