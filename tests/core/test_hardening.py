# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What would silently give wrong numbers is refused, or comes out right.
"""

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn

from clustercnn import (
    Band,
    BandStack,
    Candidate,
    CandidateCatalog,
    CutoutStack,
    LabelSchema,
    LabelSet,
    MultiBandCutout,
    PredictionSet,
)
from clustercnn.core import tangent_wcs
from clustercnn.testing import (
    assert_identical,
    tiny_catalog,
    tiny_image,
    tiny_labels,
    tiny_prediction,
    tiny_stack,
)

HERE = SkyCoord(150.0, 2.0, unit='deg')


@pytest.mark.parametrize('make', [tiny_labels, tiny_prediction, tiny_stack, tiny_catalog])
def test_going_through_comes_to_an_end(make):
    assert len(list(make())) == 6
    with pytest.raises(IndexError):
        make()[6]
    with pytest.raises(IndexError):
        make()[-7]


@pytest.mark.parametrize('make', [tiny_labels, tiny_prediction, tiny_stack, tiny_catalog])
@pytest.mark.parametrize(
    ('rows', 'error'),
    [
        (np.zeros((2, 2), int), TypeError),
        ([0.5], TypeError),
        (np.ones(5, bool), IndexError),
        ([7], IndexError),
    ],
)
def test_rows_that_are_none(make, rows, error):
    with pytest.raises(error):
        make()[rows]


@pytest.mark.parametrize('make', [tiny_labels, tiny_prediction])
def test_one_row_of_a_set_is_a_set(make):
    assert make()[2].ids == make()[-4].ids == ('3',)


def test_identifiers_are_no_text():
    with pytest.raises(TypeError, match="several identifiers, got the text 'abc'"):
        LabelSet.from_labels('abc', ['cluster'] * 3)
    with pytest.raises(TypeError, match='several identifiers'):
        PredictionSet(ids='ab', probability=np.full((2, 4), 0.25))
    with pytest.raises(TypeError, match='several identifiers'):
        CutoutStack.from_arrays({'g': np.ones((2, 4, 4))}, ids='ab')


def test_a_turned_table_of_probabilities_is_not_scrambled():
    with pytest.raises(ValueError, match=r"'probability' must have shape \(2, 4\), got \(4, 2\)"):
        PredictionSet(ids=['a', 'b'], probability=np.full((4, 2), 0.25))
    with pytest.raises(ValueError, match=r"'votes' must have shape \(n, 4\), got \(4, 2\)"):
        LabelSet.from_votes(['a', 'b'], np.ones((4, 2)))
    assert len(LabelSet.from_votes([], [])) == 0
    assert len(PredictionSet(ids=[], probability=[])) == 0


def test_masked_labels_are_unknown():
    names = MaskedColumn(['cluster', 'point', 'point'], mask=[False, True, False])
    assert LabelSet.from_labels(['a', 'b', 'c'], names).hard().tolist() == [0, -1, 1]
    for dtype in (np.int64, np.uint8):
        codes = np.ma.array([0, 1, 1], mask=[False, True, False], dtype=dtype)
        assert LabelSet.from_codes(['a', 'b', 'c'], codes).hard().tolist() == [0, -1, 1]
    with pytest.raises(TypeError, match='whole numbers'):
        LabelSet.from_codes(['a'], [True])


def test_infinite_probabilities_are_not_unknown():
    with pytest.raises(ValueError, match='is not a probability'):
        LabelSet(ids=['a'], probability=[[np.inf] * 4])


def test_schema_may_be_given_by_names():
    names = ('cluster', 'point')
    assert PredictionSet(ids=['a'], probability=[[0.5, 0.5]], schema=names).schema.n_classes == 2
    assert LabelSet(ids=['a'], probability=[[0, 1]], schema=names).names() == ['point']


def test_p_cluster_is_never_the_probability_of_something_else():
    schema = LabelSchema(('point', 'cluster'))
    assert schema.positive == ('cluster',)
    prediction = PredictionSet(ids=['a'], probability=[[0.9, 0.1]], schema=schema)
    assert prediction.to_table()['p_cluster'][0] == pytest.approx(0.1)
    with pytest.raises(ValueError, match="'cluster' is a class but not among the positive ones"):
        LabelSchema(('point', 'cluster'), ('point',))
    assert LabelSchema(('spiral', 'merger')).positive == ('spiral',)


def test_schema_introduces_itself():
    html = LabelSchema.default()._repr_html_()
    assert 'galaxy' in html and 'positive' in html


def test_right_ascensions_are_brought_to_one_turn():
    catalog = CandidateCatalog.from_columns(ra=[-0.1, 360.0, 365.0, -1e-20], dec=np.zeros(4))
    assert catalog['ra'].value.tolist() == pytest.approx([359.9, 0.0, 5.0, 0.0])
    assert catalog['ra'].unit == u.deg


def test_positions_beyond_a_pole_are_refused():
    table = tiny_catalog().table
    table['dec'][2] = 95 * u.deg
    with pytest.raises(ValueError, match="'dec' of row 2 is 95 deg, beyond a pole"):
        CandidateCatalog(table)


def test_flags_without_meaning_are_refused():
    with pytest.raises(ValueError, match="'flags' of row 1 is 1048576 and has bits without"):
        CandidateCatalog.from_columns(ra=[1, 2], dec=[1, 2], flags=[1, 1 << 20])
    with pytest.raises(ValueError, match='bits without a meaning'):
        tiny_image().replace(flags=1 << 20)


def test_candidate_names_the_value_that_has_no_unit():
    with pytest.raises(ValueError, match="'extent' must be one value with a unit such as arcsec"):
        Candidate(id='1', position=HERE, extent=3.0)


def test_energies_are_energies():
    for band in ((0.5, 2.0), (2 * u.keV, 0.5 * u.keV), 5 * u.keV):
        with pytest.raises(ValueError, match="'energy_band' must be two rising energies"):
            tiny_image().replace(energy_band=band)


def test_callers_wcs_stays_their_own():
    wcs = tangent_wcs(HERE, 4 * u.arcsec, (64, 64))
    image = tiny_image().replace(wcs=wcs)
    band = Band(name='g', data=np.ones((64, 64)), pixel_scale=4 * u.arcsec, wcs=wcs)
    wcs.wcs.crval = [10, 10]
    assert image.center.separation(HERE) < 1 * u.arcsec
    assert band.wcs.pixel_to_world(31.5, 31.5).separation(HERE) < 1 * u.arcsec


def test_read_only_view_of_a_callers_array_is_copied():
    counts = np.ones((64, 64), np.float32)
    view = counts.view()
    view.setflags(write=False)
    image = tiny_image().replace(counts=view)
    counts[0, 0] = 9
    assert image.counts[0, 0] == 1


def test_features_are_locked_after_pickling():
    stack = pickle.loads(pickle.dumps(tiny_stack()))
    assert_identical(stack, tiny_stack())
    for values in stack.features.values():
        assert not values.flags.writeable


@pytest.mark.parametrize('plane', ['data', 'exposure', 'background'])
def test_values_that_are_not_finite_need_a_mask(plane):
    bad = np.ones((1, 4, 4))
    bad[0, 1, 2] = np.nan
    planes = {'data': np.ones((1, 4, 4)), plane: bad}
    with pytest.raises(ValueError, match=r'1 values that are not finite.*\(x, y\) = \(2, 1\)'):
        BandStack(name='g', pixel_scale=1 * u.arcsec, **planes)
    one = {name: values[0] for name, values in planes.items()}
    with pytest.raises(ValueError, match=r'1 values that are not finite.*\(x, y\) = \(2, 1\)'):
        Band(name='g', pixel_scale=1 * u.arcsec, **one)
    band = Band(name='g', pixel_scale=1 * u.arcsec, mask=np.isnan(bad[0]), **one)
    assert getattr(band, plane)[1, 2] == 0


def test_band_refuses_a_wcs_that_is_none():
    with pytest.raises(ValueError, match="'wcs' must be a celestial astropy WCS, got str"):
        Band(name='g', data=np.ones((4, 4)), pixel_scale=1 * u.arcsec, wcs='here')


def test_a_stack_does_not_lose_the_grid_of_its_cutouts():
    stack = tiny_stack()
    assert_identical(CutoutStack.from_cutouts(list(stack)).band('xray'), stack.band('xray'))
    wcs = tangent_wcs(HERE, 1 * u.arcsec, (8, 8))
    wcs.wcs.pc = [[0, -1], [1, 0]]
    band = Band(name='g', data=np.ones((8, 8)), pixel_scale=1 * u.arcsec, wcs=wcs)
    turned = MultiBandCutout(id='a', bands=[band], position=HERE)
    with pytest.raises(ValueError, match='off the north-up grid round its position'):
        CutoutStack.from_cutouts([turned])
    free = turned.replace(bands=[band.replace(wcs=None)])
    assert len(CutoutStack.from_cutouts([free])) == 1


def test_each_band_keeps_what_is_its_own():
    stack = tiny_stack()
    cutout = stack[2]
    xray, optical = cutout['xray'], cutout['optical']
    assert xray.shape != optical.shape
    assert xray.pixel_scale != optical.pixel_scale
    assert xray.unit != optical.unit
    middle = [(size - 1) / 2 for size in optical.shape[::-1]]
    assert optical.wcs.pixel_to_world(*middle).separation(cutout.position) < 0.001 * u.arcsec
