# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Finds galaxy-cluster candidates in X-ray images, cuts them out, and classifies them.
"""

import importlib

from clustercnn.core import (
    Band,
    BandStack,
    Candidate,
    CandidateCatalog,
    CandidateFlag,
    CutoutStack,
    LabelSchema,
    LabelSet,
    MultiBandCutout,
    PredictionSet,
    XrayImage,
)

# registers the file formats behind read() and write(); light, nothing heavy is loaded
from clustercnn import io  # isort: skip

__version__ = '0.1.0.dev0'

# what needs photutils, scipy, jax or matplotlib is loaded when it is first used
_LAZY = {
    'Classifier': 'clustercnn.classifier',
    'CutoutMaker': 'clustercnn.cutouts',
    'SegmentationFinder': 'clustercnn.finding',
    'WaveletFinder': 'clustercnn.finding',
    'cutouts': None,
    'evaluation': None,
    'finding': None,
    'labels': None,
    'pipeline': None,
    'report': None,
    'simulate': None,
}

__all__ = [
    'Band',
    'BandStack',
    'Candidate',
    'CandidateCatalog',
    'CandidateFlag',
    'Classifier',
    'CutoutMaker',
    'CutoutStack',
    'LabelSchema',
    'LabelSet',
    'MultiBandCutout',
    'PredictionSet',
    'SegmentationFinder',
    'WaveletFinder',
    'XrayImage',
    '__version__',
    'cutouts',
    'evaluation',
    'finding',
    'io',
    'labels',
    'pipeline',
    'report',
    'simulate',
]


def __getattr__(name):
    if name not in _LAZY:
        msg = f'module {__name__!r} has no attribute {name!r}'
        raise AttributeError(msg)
    if _LAZY[name] is None:
        return importlib.import_module(f'{__name__}.{name}')
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
