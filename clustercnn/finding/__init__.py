# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Finding sources in X-ray count images.
"""

from clustercnn.finding.background import estimate_background
from clustercnn.finding.characterise import characterise
from clustercnn.finding.segmentation import SegmentationFinder
from clustercnn.finding.wavelet import WaveletFinder

__all__ = ['SegmentationFinder', 'WaveletFinder', 'characterise', 'estimate_background']
