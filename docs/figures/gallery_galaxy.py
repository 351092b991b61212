# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated candidates of the class ``galaxy``.
"""

from gallery import draw

draw('galaxy')
