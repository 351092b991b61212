# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What each band is worth, of the experiment of Kosiba et al. (2020).
"""

from _paper_again import show

show('bands')
