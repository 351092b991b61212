# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Where labels come from: votes brought together, agreement, honest splits.
"""

from clustercnn.labels.agreement import cohen_kappa, fleiss_kappa
from clustercnn.labels.consensus import DawidSkeneResult, consensus, dawid_skene
from clustercnn.labels.precedence import combine_labels
from clustercnn.labels.spectroscopy import label_by_catalogue, match_catalogue
from clustercnn.labels.split import split_by_group, split_by_sky

__all__ = [
    'DawidSkeneResult',
    'cohen_kappa',
    'combine_labels',
    'consensus',
    'dawid_skene',
    'fleiss_kappa',
    'label_by_catalogue',
    'match_catalogue',
    'split_by_group',
    'split_by_sky',
]
