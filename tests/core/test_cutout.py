# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from clustercnn import Band, CutoutStack, MultiBandCutout
from clustercnn.core import tangent_wcs
from clustercnn.exceptions import DataQualityWarning
from clustercnn.testing import assert_identical, tiny_stack


def test_stack_of_its_own_cutouts_is_the_stack():
    stack = tiny_stack()
    again = CutoutStack.from_cutouts(list(stack))
    assert again.ids == stack.ids
    for name in stack.band_names:
        assert_identical(again.band(name), stack.band(name))
    np.testing.assert_allclose(again.positions.ra.deg, stack.positions.ra.deg, rtol=1e-14)


def test_band_that_some_lack_is_masked_for_those():
    full = tiny_stack(2)
    cutouts = [full[0], full[1].replace(bands=[full[1]['xray']])]
    stack = CutoutStack.from_cutouts(cutouts)
    np.testing.assert_array_equal(stack.band('optical').present, [True, False])
    assert stack.band('optical').mask[1].all()


def test_bands_keep_their_own_grids():
    cutout = tiny_stack()[2]
    for band in cutout:
        ny, nx = band.shape
        middle = band.wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2)
        assert middle.separation(cutout.position) < 1e-6 * u.arcsec
    assert cutout['xray'].pixel_scale != cutout['optical'].pixel_scale


def test_tangent_grid_has_north_up_and_east_left():
    wcs = tangent_wcs(SkyCoord(0.0, 60.0, unit='deg'), 2 * u.arcsec, (11, 11))
    middle, up, left = wcs.pixel_to_world([5, 5, 4], [5, 6, 5])
    assert up.dec > middle.dec
    assert middle.spherical_offsets_to(left)[0] > 0


def test_concatenation_undoes_slicing():
    stack = tiny_stack()
    again = CutoutStack.concatenate([stack[:2], stack[2:]])
    assert_identical(again, stack)


def test_concatenation_refuses_other_bands():
    with pytest.raises(ValueError, match='stack 1 has the bands'):
        CutoutStack.concatenate([tiny_stack(), tiny_stack(optical=False)])


def test_planes_that_only_some_have_are_left_out_with_a_warning():
    stack = tiny_stack()
    xray = stack.band('xray')
    assert xray.exposure is not None
    other = stack.replace(
        ids=[f'b{name}' for name in stack.ids],
        bands=[xray.replace(exposure=None), stack.band('optical')],
    )
    with pytest.warns(DataQualityWarning, match="exposure of band 'xray' .* 1 of 2 stacks lack it"):
        both = CutoutStack.concatenate([stack, other])
    assert both.band('xray').exposure is None and len(both) == 2 * len(stack)


def test_values_that_are_not_finite_are_masked_from_arrays():
    array = np.ones((2, 4, 4))
    array[1, 2, 3] = np.nan
    stack = CutoutStack.from_arrays({'g': array})
    assert stack.band('g').mask.sum() == 1
    assert np.isfinite(stack['g']).all()


def test_values_that_are_not_finite_are_refused_without_mask():
    band = tiny_stack().band('optical')
    data = band.data.copy()
    data[3, 1, 2] = np.inf
    with pytest.raises(ValueError, match=r'in cutout 3 at \(x, y\) = \(2, 1\)'):
        band.replace(data=data)


@pytest.mark.parametrize('name', ['', 'a/b', '../x', 3, '.', '..'])
def test_names_of_bands_are_fit_for_files(name):
    with pytest.raises(ValueError, match='the name of a band'):
        Band(name=name, data=np.ones((2, 2)), pixel_scale=1 * u.arcsec)


def test_lengths_must_agree():
    stack = tiny_stack()
    with pytest.raises(ValueError, match='lengths must agree'):
        stack.replace(ids=['1', '2'])
    with pytest.raises(ValueError, match="feature 'x'"):
        stack.replace(features={'x': np.ones(2)})


def test_cutout_needs_a_band():
    with pytest.raises(ValueError, match='at least one is needed'):
        MultiBandCutout(id='1', bands=[])


def test_unknown_band_lists_what_there_is():
    with pytest.raises(KeyError, match='there are xray, optical'):
        tiny_stack().band('radio')
    with pytest.raises(KeyError, match='there are xray, optical'):
        tiny_stack()[0]['radio']
