# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Where labels come from: votes brought together, agreement, honest splits.
"""

from clustercnn.labels.agreement import (
    agreement_interval,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    pairwise_agreement,
)
from clustercnn.labels.annotators import DawidSkeneResult, dawid_skene
from clustercnn.labels.consensus import consensus
from clustercnn.labels.precedence import combine_labels
from clustercnn.labels.spectroscopy import label_by_catalogue, match_catalogue
from clustercnn.labels.split import split_by_group, split_by_sky
from clustercnn.labels.votes import votes_from_columns

__all__ = [
    'DawidSkeneResult',
    'agreement_interval',
    'cohen_kappa',
    'combine_labels',
    'consensus',
    'dawid_skene',
    'fleiss_kappa',
    'krippendorff_alpha',
    'label_by_catalogue',
    'match_catalogue',
    'pairwise_agreement',
    'split_by_group',
    'split_by_sky',
    'votes_from_columns',
]
