# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Reading and writing, one file a format.

Formats are registered here and loaded when they are first used.
"""

import importlib

from clustercnn.core import (
    CandidateCatalog,
    CutoutStack,
    LabelSet,
    MultiBandCutout,
    PredictionSet,
    XrayImage,
)
from clustercnn.core.connect import IO_REGISTRY, register_suffixes

__all__ = [
    'FileReport',
    'check_files',
    'name_classes',
    'read_classifications',
    'read_events',
    'read_image',
    'read_kosiba2020',
    'read_optical',
    'read_psf',
    'read_subjects',
    'read_weights',
]

_LAZY = {
    'FileReport': 'clustercnn.io.check',
    'check_files': 'clustercnn.io.check',
    'read_events': 'clustercnn.io.events',
    'read_image': 'clustercnn.io.images',
    'read_kosiba2020': 'clustercnn.io.kosiba2020',
    'read_optical': 'clustercnn.io.images',
    'read_psf': 'clustercnn.io.psf',
    'name_classes': 'clustercnn.io.zooniverse',
    'read_classifications': 'clustercnn.io.zooniverse',
    'read_subjects': 'clustercnn.io.zooniverse',
    'read_weights': 'clustercnn.io.weights',
}

_SUFFIXES = {
    'ecsv': ('.ecsv',),
    'fits': ('.fits', '.fit', '.fits.gz'),
    'votable': ('.vot', '.votable', '.xml'),
}


def __getattr__(name):
    if name not in _LAZY:
        msg = f'module {__name__!r} has no attribute {name!r}'
        raise AttributeError(msg)
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__():
    return sorted({*globals(), *__all__})


def _later(module, name, *arguments):
    """
    Return a function that loads its module when it is called.
    """

    def call(*args, **kwargs):
        function = getattr(importlib.import_module(f'clustercnn.io.{module}'), name)
        if arguments:
            function = function(*arguments)
        return function(*args, **kwargs)

    return call


def _register():
    for data_class, stem, formats in (
        (CandidateCatalog, '_catalog', ('ecsv', 'fits', 'votable')),
        (LabelSet, '_label', ('ecsv', 'fits')),
        (PredictionSet, '_prediction', ('ecsv', 'fits')),
    ):
        for name in formats:
            reader = _later('tables', f'{stem}_reader', name)
            writer = _later('tables', f'{stem}_writer', name)
            _add(data_class, name, _SUFFIXES[name], reader=reader, writer=writer)
    _add(LabelSet, 'zooniverse', (), reader=_later('zooniverse', 'read_label_set'))
    for name in ('esass', '4xmm', 'emldetect'):
        _add(CandidateCatalog, name, (), reader=_later('surveys', 'survey_reader', name))
    _add(CandidateCatalog, 'ds9', ('.reg',), writer=_later('tables', 'write_regions'))
    _add(
        CutoutStack,
        'hdf5',
        ('.h5', '.hdf5'),
        reader=_later('hdf5', 'read_stack'),
        writer=_later('hdf5', 'write_stack'),
    )
    _add(
        CutoutStack,
        'fits',
        _SUFFIXES['fits'],
        reader=_later('fits', 'read_stack'),
        writer=_later('fits', 'write_stack'),
    )
    _add(
        MultiBandCutout,
        'fits',
        _SUFFIXES['fits'],
        reader=_later('fits', 'read_cutout'),
        writer=_later('fits', 'write_cutout'),
    )
    _add(
        XrayImage,
        'fits',
        ('',),
        reader=_later('images', 'read_image'),
        writer=_later('written', 'write_image'),
    )
    _add(XrayImage, 'events', (), reader=_later('events', 'read_events'))


def _add(data_class, name, suffixes, *, reader=None, writer=None):
    # forced, because the examples are run by a loader that imports this module once more
    if reader is not None:
        IO_REGISTRY.register_reader(name, data_class, reader, force=True)
    if writer is not None:
        IO_REGISTRY.register_writer(name, data_class, writer, force=True)
    register_suffixes(data_class, name, suffixes)


_register()
