# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The figures of trainings and of scores.
"""

import pytest

from clustercnn.evaluation import (
    plot_history,
    plot_purity_completeness,
    plot_score_histogram,
)


def epochs(*losses, **more):
    rows = [{'epoch': number, 'loss': loss} for number, loss in enumerate(losses, 1)]
    for name, values in more.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


def test_each_network_is_a_line():
    held = {'validation_loss': (0.8, 0.7), 'validation_auc': (None, 0.9)}
    figure = plot_history([epochs(1.0, 0.5, **held), epochs(0.9, 0.4, **held)])
    losses, auc = figure.axes
    assert [line.get_ydata().tolist() for line in losses.lines] == [
        [1.0, 0.5], [0.9, 0.4], [0.8, 0.7], [0.8, 0.7],
    ]  # fmt: skip
    assert [text.get_text() for text in losses.get_legend().get_texts()] == [
        'training', 'validation',
    ]  # fmt: skip
    # where it is not known there is no point
    assert [line.get_xdata().tolist() for line in auc.lines] == [[2], [2]]


def test_nothing_held_back_is_one_panel():
    figure = plot_history([epochs(1.0, 0.5)], title='cn')
    (axes,) = figure.axes
    assert len(axes.lines) == 1 and axes.get_title() == 'cn'


def test_what_only_a_later_network_has_is_named():
    held = {'validation_loss': (0.8, 0.7)}
    axes = plot_history([[], epochs(1.0, 0.5), epochs(0.9, 0.4, **held)]).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        'training', 'validation',
    ]  # fmt: skip


def test_the_history_of_one_network_belongs_into_a_list():
    with pytest.raises(TypeError, match='put one into a list'):
        plot_history(epochs(1.0, 0.5))


@pytest.mark.parametrize('history', [[], [[]]])
def test_no_epoch_is_said(history):
    with pytest.raises(ValueError, match='no epoch'):
        plot_history(history)


def test_nothing_with_a_weight_is_drawn():
    axes = plot_purity_completeness([0.2, 0.4], [1, 0], weight=[0, 0]).axes[0]
    assert axes.get_ylabel() == 'purity'


@pytest.mark.parametrize('score', [[-3.0, 0.2, 5.0], [0.2, float('nan'), 0.4]])
@pytest.mark.parametrize('truth', [None, [1, 0, 1]])
def test_scores_without_a_bar_are_refused(score, truth):
    with pytest.raises(ValueError, match='from 0 to 1|not finite'):
        plot_score_histogram(score, truth)
    assert plot_score_histogram([0.0, 1.0], None if truth is None else [0, 1]).axes
