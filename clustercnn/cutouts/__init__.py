# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cutting candidates out of images, each band onto its own north-up grid.
"""

from clustercnn.cutouts.maker import (
    DEFAULT_GEOMETRY,
    PARTIAL_COVERAGE,
    CutoutMaker,
    coverage_flags,
)

__all__ = ['DEFAULT_GEOMETRY', 'PARTIAL_COVERAGE', 'CutoutMaker', 'coverage_flags']
