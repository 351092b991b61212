# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Accuracy by counts, completeness by redshift, of the experiment of Kosiba et al. (2020).
"""

from _paper_again import show

show('properties')
