# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Purity and completeness of simulated scores, at their own share of clusters and at rarer ones.
"""

import matplotlib.pyplot as plt
from scores import score, truth

from clustercnn import evaluation

curve = evaluation.roc_curve(score, truth)
figure, axes = plt.subplots(figsize=(5.5, 3.6))
for prior, style in ((float(truth.mean()), '-'), (0.02, '--'), (0.005, ':')):
    purity = evaluation.shifted_purity(
        curve.true_positive_rate, curve.false_positive_rate, prior=prior
    )
    axes.plot(
        curve.true_positive_rate, purity, style, color='#1f6f4a', label=f'{100 * prior:.3g} %'
    )
axes.set(xlabel='completeness', ylabel='purity', xlim=(0, 1), ylim=(0, 1.02))
axes.grid(alpha=0.25)
axes.legend(title='share of clusters', loc='upper left', bbox_to_anchor=(1.0, 1.0))
figure.tight_layout()
