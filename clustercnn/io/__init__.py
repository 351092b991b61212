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
    PredictionSet,
    XrayImage,
)
from clustercnn.core.connect import IO_REGISTRY, register_suffixes

__all__ = ['FileReport', 'check_files', 'read_image', 'read_optical']

_LAZY = {
    'FileReport': 'clustercnn.io.check',
    'check_files': 'clustercnn.io.check',
    'read_image': 'clustercnn.io.images',
    'read_optical': 'clustercnn.io.images',
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
            IO_REGISTRY.register_reader(name, data_class, reader)
            IO_REGISTRY.register_writer(name, data_class, writer)
            register_suffixes(data_class, name, _SUFFIXES[name])
    IO_REGISTRY.register_writer('ds9', CandidateCatalog, _later('tables', 'write_regions'))
    register_suffixes(CandidateCatalog, 'ds9', ('.reg',))
    IO_REGISTRY.register_reader('hdf5', CutoutStack, _later('hdf5', 'read_stack'))
    IO_REGISTRY.register_writer('hdf5', CutoutStack, _later('hdf5', 'write_stack'))
    register_suffixes(CutoutStack, 'hdf5', ('.h5', '.hdf5'))
    IO_REGISTRY.register_reader('fits', XrayImage, _later('images', 'read_image'))
    register_suffixes(XrayImage, 'fits', ('',))


_register()
