# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Figures of predictions against labels.

Each function returns a new `~matplotlib.figure.Figure` that pyplot does not know of,
so none stays in memory and no display is needed; save it with its ``savefig``.
"""

import numpy as np

from clustercnn._utils.validation import check_whole
from clustercnn.evaluation.calibration import (
    expected_calibration_error,
    probabilities_and_truth,
    reliability_curve,
)
from clustercnn.evaluation.joining import scores_and_truth
from clustercnn.evaluation.metrics import (
    average_precision,
    purity_completeness,
    roc_auc,
    roc_auc_interval,
    roc_curve,
    shifted_purity,
)

__all__ = [
    'plot_history',
    'plot_purity_completeness',
    'plot_reliability',
    'plot_roc',
    'plot_score_histogram',
]

_POSITIVE, _NEGATIVE, _GREY = '#1b7837', '#a50f15', '#777777'


def _new_figure(*, title=None, height=4.2):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, height), layout='constrained')
    axes = figure.add_subplot()
    axes.set_title(title or '')
    axes.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def plot_history(history, *, title=None):
    """
    Draw the losses of a training by epoch.

    Parameters
    ----------
    history : iterable of iterable of dict
        For each network its epochs: ``epoch``, ``loss`` and, if something was held back,
        ``validation_loss`` and ``validation_auc``; what `~clustercnn.Classifier.history` gives.
    title : str, optional
        Title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        With a panel for the losses and, where any is known, one for the area under the ROC
        curve.

    Raises
    ------
    ValueError
        If there is no epoch.
    TypeError
        If it is that of one network without a list around it.

    Examples
    --------
    >>> from clustercnn.evaluation import plot_history
    >>> history = [[{'epoch': 1, 'loss': 0.7}, {'epoch': 2, 'loss': 0.5}]]
    >>> plot_history(history).axes[0].get_xlabel()
    'epoch'
    """
    history = [list(one) for one in history]
    if not any(history):
        msg = 'there is no epoch to draw; train first'
        raise ValueError(msg)
    if not all(isinstance(entry, dict) for one in history for entry in one):
        msg = "'history' must be a list of networks, each a list of dict; put one into a list"
        raise TypeError(msg)

    def known(name):
        return any(entry.get(name) is not None for one in history for entry in one)

    figure, axes = _new_figure(title=title)
    panels = [(axes, [('loss', 'training', _GREY), ('validation_loss', 'validation', _POSITIVE)])]
    if known('validation_auc'):
        figure.set_size_inches(8.4, 3.8)
        axes.remove()
        left, right = figure.subplots(1, 2)
        figure.suptitle(title or '')
        panels = [(left, panels[0][1]), (right, [('validation_auc', None, _POSITIVE)])]
        right.set_ylabel('validation AUC')
    for panel, lines in panels:
        for name, label, color in lines:
            for one in history:
                rows = [(e['epoch'], e[name]) for e in one if e.get(name) is not None]
                if rows:
                    panel.plot(
                        *zip(*rows, strict=True),
                        color=color,
                        alpha=1 if len(history) == 1 else 0.55,
                        label=label,
                        marker='.' if len(rows) == 1 else None,
                    )
                    # named once, however many networks there are
                    label = None
        panel.set_xlabel('epoch')
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.25, linewidth=0.6)
    panels[0][0].set_ylabel('loss')
    panels[0][0].legend(frameon=False)
    return figure


def plot_roc(score, truth, *, weight=None, title=None, seed=0):
    """
    Draw the receiver operating characteristic.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Higher = more likely positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.
    title : str, optional
        Title.
    seed : int, optional
        Of the bootstrap interval in the legend.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        With one panel.

    Examples
    --------
    >>> from clustercnn.evaluation import plot_roc
    >>> plot_roc([0.9, 0.8, 0.3, 0.1], [1, 0, 1, 0]).axes[0].get_xlabel()
    'false positive rate'
    """
    score, truth, weight = scores_and_truth(score, truth, weight)
    curve = roc_curve(score, truth, weight=weight)
    auc = roc_auc(score, truth, weight=weight)
    low, high = roc_auc_interval(score, truth, weight=weight, n_resamples=300, seed=seed)
    figure, axes = _new_figure(title=title)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=':', linewidth=1)
    label = f'AUC {auc:.3f} ({low:.3f} to {high:.3f})'
    axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=_POSITIVE, label=label)
    axes.set(xlabel='false positive rate', ylabel='true positive rate')
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect='equal')
    axes.legend(loc='lower right', frameon=False)
    return figure


def plot_purity_completeness(score, truth, *, weight=None, priors=(), title=None):
    """
    Draw purity against completeness.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Higher = more likely positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.
    priors : iterable of float, optional
        Further curves, for skies with this fraction of positives.
    title : str, optional
        Title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        With one panel.

    Examples
    --------
    >>> from clustercnn.evaluation import plot_purity_completeness
    >>> figure = plot_purity_completeness([0.9, 0.8, 0.1], [1, 0, 1], priors=[0.1])
    >>> len(figure.axes[0].lines)
    2
    """
    score, truth, weight = scores_and_truth(score, truth, weight)
    curve = purity_completeness(score, truth, weight=weight)
    total = weight.sum()
    share = float((weight * truth).sum() / total) if total > 0 else float('nan')
    figure, axes = _new_figure(title=title)
    precision = average_precision(score, truth, weight=weight)
    label = f'these data, {share:.0%} positive (average {precision:.3f})'
    axes.plot(curve.completeness, curve.purity, color=_POSITIVE, label=label)
    roc = roc_curve(score, truth, weight=weight)
    for number, prior in enumerate(priors):
        purity = shifted_purity(roc.true_positive_rate, roc.false_positive_rate, prior=prior)
        style = ('--', ':', '-.')[number % 3]
        axes.plot(
            roc.true_positive_rate,
            purity,
            color=_GREY,
            linestyle=style,
            label=f'{prior:.0%} positive',
        )
    axes.set(xlabel='completeness', ylabel='purity', xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc='lower left', frameon=False, fontsize='small')
    return figure


def plot_reliability(probability, truth, *, weight=None, n_bins=10, title=None):
    """
    Draw the observed against the predicted fraction of positives.

    Parameters
    ----------
    probability : 1D array-like or PredictionSet
        Predicted probability of being positive.
    truth : 1D array-like or LabelSet
        Boolean, or probability of being positive.
    weight : 1D array-like, optional
        Weights.
    n_bins : int, optional
        Bins of equal content.
    title : str, optional
        Title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        With one panel.

    Examples
    --------
    >>> from clustercnn.evaluation import plot_reliability
    >>> plot_reliability([0.1, 0.9], [0, 1]).axes[0].get_ylabel()
    'observed fraction'
    """
    curve = reliability_curve(probability, truth, weight=weight, n_bins=n_bins)
    error = expected_calibration_error(probability, truth, weight=weight)
    figure, axes = _new_figure(title=title)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=':', linewidth=1)
    spread = np.abs(np.stack([curve.observed - curve.low, curve.high - curve.observed]))
    axes.errorbar(
        curve.predicted,
        curve.observed,
        yerr=spread,
        fmt='o-',
        markersize=4,
        linewidth=1,
        capsize=2,
        color=_POSITIVE,
        label=f'calibration error {error:.3f}',
    )
    axes.set(xlabel='predicted probability', ylabel='observed fraction')
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect='equal')
    axes.legend(loc='upper left', frameon=False)
    return figure


def plot_score_histogram(score, truth=None, *, n_bins=20, title=None):
    """
    Draw how scores are distributed, by truth if it is known.

    Parameters
    ----------
    score : 1D array-like or PredictionSet
        Probabilities from 0 to 1.
    truth : 1D array-like or LabelSet, optional
        Boolean, or probability of being positive.
    n_bins : int, optional
        Bins of equal width.
    title : str, optional
        Title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        With one panel; numbers on a logarithmic axis.

    Raises
    ------
    ValueError
        If a score is not from 0 to 1, where there are no bars.

    Examples
    --------
    >>> from clustercnn.evaluation import plot_score_histogram
    >>> plot_score_histogram([0.1, 0.9, 0.8]).axes[0].get_yscale()
    'symlog'
    """
    figure, axes = _new_figure(title=title, height=3.4)
    edges = np.linspace(0, 1, check_whole('n_bins', n_bins) + 1)
    if truth is None:
        values = getattr(score, 'p_positive', score)
        # as if all were of one kind: the same is asked of the scores
        values = probabilities_and_truth(values, np.ones(np.shape(values)))[0]
        axes.hist(values, bins=edges, color=_POSITIVE, alpha=0.8)
    else:
        values, truth, _ = probabilities_and_truth(score, truth)
        for chosen, color, name, style in (
            (truth, _POSITIVE, 'positive', '-'),
            (~truth, _NEGATIVE, 'negative', '--'),
        ):
            axes.hist(
                values[chosen],
                bins=edges,
                histtype='step',
                linewidth=1.5,
                linestyle=style,
                color=color,
                label=f'{name} ({chosen.sum()})',
            )
        axes.legend(frameon=False)
    axes.set_yscale('symlog', linthresh=1)
    axes.set(xlabel='probability of a positive class', ylabel='number', xlim=(0, 1))
    return figure
