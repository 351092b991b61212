# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The door: geometry, missing bands, features, padding.
"""

import numpy as np
import pytest

from clustercnn.network import FEATURES, BandArrays, BandSpec, InputSpec, make_dataset, regrid, take


@pytest.mark.parametrize('scale', [1.0, 3.0, 4.0, 5.5])
def test_regridding_conserves_counts_inside_the_new_field(scale):
    counts = np.zeros((2, 24, 24), np.float32)
    counts[:, 9:15, 10:14] = np.random.default_rng(1).poisson(5, (2, 6, 4))
    band = BandArrays(data=counts, pixel_scale=2.0, background=counts)
    new = regrid(band, shape=(24, 24), pixel_scale=scale, counts=True)
    inside = counts
    if scale == 1.0:
        inside = counts[:, 6:18, 6:18]
    np.testing.assert_allclose(new.data.sum((1, 2)), inside.sum((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(new.background, new.data)


def test_regridding_bins_whole_pixels_exactly():
    counts = np.random.default_rng(1).poisson(5, (2, 16, 16)).astype(np.float32)
    new = regrid(
        BandArrays(data=counts, pixel_scale=2.0, exposure=counts),
        shape=(8, 8),
        pixel_scale=4.0,
        counts=True,
    )
    blocks = counts.reshape(2, 8, 2, 8, 2)
    np.testing.assert_allclose(new.data, blocks.sum((2, 4)), rtol=1e-6)
    np.testing.assert_allclose(new.exposure, blocks.mean((2, 4)), rtol=1e-6)
    assert new.valid.all()


def test_regridding_keeps_masks_and_marks_what_lies_outside():
    data = np.ones((1, 8, 8), np.float32)
    valid = np.ones(data.shape, bool)
    valid[0, :4] = False
    data[0, :4] = np.nan
    new = regrid(
        BandArrays(data=data, pixel_scale=1.0, valid=valid),
        shape=(8, 8),
        pixel_scale=2.0,
        counts=False,
    )
    assert new.valid[0].sum() == 8
    assert new.valid[0, 4:6, 2:6].all()
    np.testing.assert_array_equal(new.data[0, 4:6, 2:6], 1)
    assert np.isfinite(new.data).all()


def test_equal_grids_are_not_copied(inputs):
    data = np.zeros((3, 16, 16), np.float32)
    made = make_dataset(inputs, {'xray': BandArrays(data=data, pixel_scale=4.001)})
    assert made['bands']['xray']['counts'] is data


def test_missing_band_and_features_are_marked(inputs):
    band = BandArrays(data=np.ones((3, 16, 16), np.float32), pixel_scale=4.0)
    made = make_dataset(inputs, {'xray': band}, features={'counts': [1.0, np.nan, 100.0]})
    assert made['bands']['optical']['present'].tolist() == [0, 0, 0]
    assert made['bands']['xray']['present'].tolist() == [1, 1, 1]
    assert made['bands']['xray']['has_background'].tolist() == [0, 0, 0]
    assert made['known'].tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert made['features'][1].tolist() == [0, 0, 0]


def test_a_cutout_without_a_good_pixel_is_missing(inputs):
    valid = np.ones((2, 16, 16), bool)
    valid[1] = False
    band = BandArrays(data=np.ones((2, 16, 16)), pixel_scale=4.0, valid=valid)
    made = make_dataset(inputs, {'xray': band})
    assert made['bands']['xray']['present'].tolist() == [1, 0]


def test_padding_is_masked_and_everything_is_float32(dataset):
    batch = take(dataset, np.array([5, 2]), 4)
    assert batch['_mask'].tolist() == [1, 1, 0, 0]
    xray = batch['bands']['xray']
    np.testing.assert_array_equal(xray['counts'][0], dataset['bands']['xray']['counts'][5])
    assert not xray['counts'][2:].any() and not xray['valid'][2:].any()
    for plane in (*xray.values(), *batch['bands']['optical'].values(), batch['features']):
        assert plane.dtype == np.float32


def test_features_are_of_order_one():
    typical = {'counts': 150, 'significance': 10, 'det_like': 50, 'extent': 10, 'ext_like': 4}
    for name, value in typical.items():
        assert abs(FEATURES[name].standardise(value)) < 1, name
    assert FEATURES['counts'].standardise(-5.0) == FEATURES['counts'].standardise(0.0)
    assert abs(FEATURES['counts'].standardise(1e30)) <= 4


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda i: make_dataset(i, {}), 'none of the bands'),
        (
            lambda i: make_dataset(
                i,
                {
                    'xray': BandArrays(data=np.ones((2, 4, 4)), pixel_scale=1.0),
                    'optical': BandArrays(data=np.ones((3, 4, 4)), pixel_scale=1.0),
                },
            ),
            'one length',
        ),
        (
            lambda i: make_dataset(
                i, {'xray': BandArrays(data=np.full((2, 4, 4), np.nan), pixel_scale=1.0)}
            ),
            'not finite',
        ),
        (lambda i: BandArrays(data=np.ones((4, 4)), pixel_scale=1.0), 'shape'),
        (
            lambda i: BandArrays(data=np.ones((1, 4, 4)), valid=np.ones((4, 4)), pixel_scale=1.0),
            "'valid' must have the shape",
        ),
        (
            lambda i: make_dataset(
                InputSpec(bands=i.bands, features=('colour',)),
                {'xray': BandArrays(data=np.ones((2, 4, 4)), pixel_scale=1.0)},
            ),
            "no feature 'colour'",
        ),
        (lambda i: take({'features': np.ones((9, 1))}, np.arange(9), 8), 'do not fit'),
        (
            lambda i: BandSpec(name='x', kind='radio', shape=(4, 4), pixel_scale=1.0),
            'must be one of',
        ),
    ],
)
def test_wrong_input_is_refused(inputs, make, message):
    with pytest.raises(ValueError, match=message):
        make(inputs)


@pytest.mark.parametrize('exposed', [True, False])
def test_pixels_that_a_mask_covers_in_part_are_exposed_in_part(exposed):
    counts = np.full((1, 20, 20), 4.0, np.float32)
    valid = np.ones(counts.shape, bool)
    valid[0, :, 7] = False
    exposure = np.full(counts.shape, 1e4, np.float32) if exposed else None
    band = BandArrays(data=counts, pixel_scale=4.0, valid=valid, exposure=exposure)
    new = regrid(band, shape=(16, 16), pixel_scale=5.0, counts=True)
    rate = (new.data / np.where(new.valid, new.exposure, 1))[new.valid]
    # as many counts an exposure as elsewhere
    np.testing.assert_allclose(rate, 4 * (5 / 4) ** 2 / (1e4 if exposed else 1), rtol=1e-5)
    assert new.exposure.max() > 1.5 * new.exposure[new.valid].min()
    # whole pixels stay as flat as they were
    whole = regrid(
        BandArrays(data=counts, pixel_scale=4.0), shape=(10, 10), pixel_scale=8.0, counts=True
    )
    assert whole.exposure is None


def test_what_lies_below_a_mask_has_no_say():
    spec = BandSpec(name='g', kind='optical', shape=(8, 8), pixel_scale=1.0)
    inputs = InputSpec(bands=(spec,))
    data = np.random.default_rng(1).normal(size=(2, 8, 8)).astype(np.float32)
    valid = np.ones(data.shape, bool)
    valid[:, 3, 4] = False
    hidden = np.where(valid, data, np.nan)
    made = make_dataset(inputs, {'g': BandArrays(data=hidden, pixel_scale=1.0, valid=valid)})
    assert np.isfinite(made['bands']['g']['data']).all()
    exposure = np.where(valid, 1.0, np.nan)
    band = BandArrays(data=data, pixel_scale=1.0, valid=valid, exposure=exposure)
    spec = BandSpec(name='g', kind='xray', shape=(8, 8), pixel_scale=1.0)
    made = make_dataset(InputSpec(bands=(spec,)), {'g': band})
    assert np.isfinite(made['bands']['g']['exposure']).all()
    band = BandArrays(data=data, pixel_scale=1.0, exposure=exposure)
    with pytest.raises(ValueError, match="band 'g' has values that are not finite in its exposure"):
        make_dataset(InputSpec(bands=(spec,)), {'g': band})
