# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Accuracy of every run, of the experiment of Kosiba et al. (2020).
"""

from _paper_again import show

show('accuracy')
