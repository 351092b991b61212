# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Confusion by class, of the experiment of Kosiba et al. (2020).
"""

from _paper_again import show

show('confusion')
