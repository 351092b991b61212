# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The shipped weights, and the command that makes them:
``python -m clustercnn.models.make_default``.
"""

__all__ = []
