# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Small helpers that know nothing about X-rays or clusters.
"""

__all__ = []
