# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What every class of the data model promises.
"""

import copy
import dataclasses
import pickle

import astropy.units as u
import numpy as np
import pytest

from clustercnn import testing
from clustercnn.core import PsfImage

FACTORIES = {
    'image': testing.tiny_image,
    'catalog': testing.tiny_catalog,
    'candidate': lambda: testing.tiny_catalog()[0],
    'stack': testing.tiny_stack,
    'band_stack': lambda: testing.tiny_stack().band('xray'),
    'cutout': lambda: testing.tiny_stack()[1],
    'band': lambda: testing.tiny_stack()[1]['optical'],
    'labels': testing.tiny_labels,
    'prediction': testing.tiny_prediction,
    'psf': lambda: PsfImage(images=np.eye(9), pixel_scale=4 * u.arcsec),
}
PLURALS = ['catalog', 'stack', 'labels', 'prediction']


@pytest.fixture(params=FACTORIES)
def instance(request):
    return FACTORIES[request.param]()


@pytest.fixture(params=PLURALS)
def plural(request):
    return FACTORIES[request.param]()


def arrays_of(instance):
    if not dataclasses.is_dataclass(instance):
        return []
    values = [getattr(instance, field.name) for field in dataclasses.fields(instance)]
    return [value for value in values if type(value) is np.ndarray]


def test_attributes_cannot_be_set(instance):
    name = dataclasses.fields(instance)[0].name if dataclasses.is_dataclass(instance) else 'table'
    with pytest.raises(AttributeError):
        setattr(instance, name, None)


def test_arrays_are_locked_also_after_pickling(instance):
    for version in (instance, pickle.loads(pickle.dumps(instance))):
        for array in arrays_of(version):
            assert not array.flags.writeable
            with pytest.raises(ValueError, match='read-only'):
                array[...] = 0


def test_pickling_keeps_everything(instance):
    testing.assert_identical(instance, pickle.loads(pickle.dumps(instance)))


def test_copying_keeps_everything(instance):
    testing.assert_identical(instance, copy.deepcopy(instance))
    testing.assert_identical(instance, copy.copy(instance))


def test_replace_without_changes_keeps_everything(instance):
    if hasattr(instance, 'replace'):
        testing.assert_identical(instance, instance.replace())


def test_text_and_html_say_the_same(instance):
    text, html = repr(instance), instance._repr_html_()
    assert type(instance).__name__ in text
    assert text.isascii()
    for name, _ in instance._facts():
        assert name in text
        assert name in html


def test_callers_array_stays_their_own():
    counts = np.ones((4, 4), np.float32)
    image = testing.tiny_image(shape=(4, 4)).replace(counts=counts)
    counts[0, 0] = 7
    assert image.counts[0, 0] == 1
    assert counts.flags.writeable


def test_slicing_agrees_with_picking_rows(plural):
    testing.assert_identical(plural[1:4], plural[[1, 2, 3]])
    mask = np.zeros(len(plural), bool)
    mask[[1, 3]] = True
    testing.assert_identical(plural[mask], plural[[1, 3]])


def test_empty_choice_is_an_empty_container(plural):
    for empty in (plural[:0], plural[[]], plural[np.zeros(len(plural), bool)]):
        assert len(empty) == 0
        assert repr(empty)
        assert empty._repr_html_()


def test_select_follows_the_order_asked_for(plural):
    assert plural.select(['4', '2']).ids == ('4', '2')


def test_select_names_and_counts_what_is_missing(plural):
    with pytest.raises(KeyError, match=r'2 of 3 identifiers are not there: x, y'):
        plural.select(['1', 'x', 'y'])


def test_double_identifiers_are_refused(plural):
    with pytest.raises(ValueError, match='identifiers must be unique|more than one label'):
        plural[[0, 0]]
