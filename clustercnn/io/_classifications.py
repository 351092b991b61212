# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the answers of one classification say together.
"""

import numpy as np

__all__ = ['beside_a_class', 'contradicts_itself']


def beside_a_class(votes, says):
    """
    Return which answers say nothing in classifications that say something of the item in another.

    Parameters
    ----------
    votes : `~astropy.table.Table`
        One answer a row.
    says : 1D `~numpy.ndarray` of bool
        Which of them name a class.

    Returns
    -------
    beside : 1D `~numpy.ndarray` of bool
        None of them if the votes do not tell their classifications.
    """
    if 'classification_id' not in votes.colnames:
        return np.zeros(len(votes), bool)
    numbers = np.asarray(votes['classification_id'])
    _, item = np.unique(np.asarray(votes['item']).astype(str), return_inverse=True)
    # of the same item, of which a classification may have several
    pairs = numbers * (item.max(initial=0) + 1) + item
    return ~says & (numbers >= 0) & np.isin(pairs, pairs[says])


def contradicts_itself(labels, votes):
    """
    Return which labels share a classification with another class.

    Parameters
    ----------
    labels : 1D `~numpy.ndarray` of str
        Names of classes.
    votes : `~astropy.table.Table`
        One label a row.

    Returns
    -------
    unsure : 1D `~numpy.ndarray` of bool
        All labels of such a classification.
    """
    if 'classification_id' not in votes.colnames or not len(votes):
        return np.zeros(len(labels), bool)
    numbers = np.asarray(votes['classification_id'])
    order = np.argsort(numbers, kind='stable')
    begin = np.append(True, np.diff(numbers[order]) != 0)
    first = np.maximum.accumulate(np.where(begin, np.arange(len(order)), 0))
    # whoever differs from the first of its classification makes all of these unsure
    differs = labels[order] != labels[order][first]
    unsure = np.unique(numbers[order][differs])
    return np.isin(numbers, unsure[unsure >= 0])
