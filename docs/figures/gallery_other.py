# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated candidates of the class ``other``.
"""

from gallery import draw

draw('other')
