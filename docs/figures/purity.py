# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Purity and completeness of simulated scores, at their own share of clusters and at a rarer one.
"""

from scores import score, truth

from clustercnn import evaluation

figure = evaluation.plot_purity_completeness(score, truth, priors=[0.02])
