# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated candidates of the class ``point``.
"""

from gallery import draw

draw('point')
