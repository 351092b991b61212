# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The data model: what images, candidates, cutouts, labels and predictions are.
"""

from clustercnn.core.band_stack import BandStack
from clustercnn.core.candidate import Candidate, CandidateCatalog
from clustercnn.core.cutout import Band, MultiBandCutout, tangent_wcs
from clustercnn.core.designation import designations
from clustercnn.core.flags import FLAG_DESCRIPTIONS, CandidateFlag, decode_flags
from clustercnn.core.image import XrayImage, pixel_scale_of
from clustercnn.core.label import UNKNOWN, UNKNOWN_NAME, LabelSchema, LabelSet
from clustercnn.core.prediction import PredictionSet
from clustercnn.core.psf import PsfImage
from clustercnn.core.stack import CutoutStack

__all__ = [
    'FLAG_DESCRIPTIONS',
    'UNKNOWN',
    'UNKNOWN_NAME',
    'Band',
    'BandStack',
    'Candidate',
    'CandidateCatalog',
    'CandidateFlag',
    'CutoutStack',
    'LabelSchema',
    'LabelSet',
    'MultiBandCutout',
    'PredictionSet',
    'PsfImage',
    'XrayImage',
    'decode_flags',
    'designations',
    'pixel_scale_of',
    'tangent_wcs',
]
