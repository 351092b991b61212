# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Where labels come from: votes brought together, agreement, honest splits.
"""

from clustercnn.labels.agreement import cohen_kappa, fleiss_kappa
from clustercnn.labels.consensus import DawidSkeneResult, consensus, dawid_skene
from clustercnn.labels.split import split_by_group, split_by_sky

__all__ = [
    'DawidSkeneResult',
    'cohen_kappa',
    'consensus',
    'dawid_skene',
    'fleiss_kappa',
    'split_by_group',
    'split_by_sky',
]
