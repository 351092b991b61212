# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Figures of the experiment, drawn from its results alone; each says whether they are simulated.
"""

import numpy as np

from clustercnn.experiments.config import OWN, SINGLE

__all__ = [
    'FIGURES',
    'draw_accuracy',
    'draw_bands',
    'draw_confusion',
    'draw_properties',
    'draw_roc',
]

_COLOURS = {
    'CN-E': '#1f3b6f', 'CN-Z': '#6f9bd8', 'MN-E': '#8a4b08', 'MN-Z': '#e0a050',
    'fusion-E': '#1b7837', 'fusion-Z': '#7fbf7b', 'fusion-E+Z': '#a50f15',
    'fusion-E+Z, ensemble': '#000000', 'fusion, ensemble': '#a50f15',
    'CN': '#1f3b6f', 'MN': '#8a4b08', 'fusion': '#1b7837',
}  # fmt: skip
_STYLES = {'Z': '--', 'E+Z': '-.'}
_PEOPLE = {
    'expert': ('*', '#000000'),
    'volunteers': ('s', '#7b3294'),
    'one volunteer': ('^', '#7b3294'),
}
_GREY = '#777777'


def _new(results, n_panels, *, width, height, title):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    panels = figure.subplots(1, n_panels, squeeze=False)[0]
    small = ', small run' if results['small'] else ''
    figure.suptitle(f'{title} ({results["kind"]}{small})', fontsize=11)
    for panel in panels:
        panel.grid(alpha=0.25, linewidth=0.6)
        panel.set_axisbelow(True)
    return figure, panels


def _main(results):
    return [curve for curve in results['curves'] if curve['main']]


def _words(results, key):
    test = results['tests'][key]
    return f'{key} sample: {test["n_positive"]} clusters, {test["n"] - test["n_positive"]} others'


def draw_roc(results):
    """
    Draw completeness against false positives, with bands over runs and people as points.

    Parameters
    ----------
    results : dict
        Of `~clustercnn.experiments.run_kosiba2020`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        A panel a test sample.
    """
    figure, panels = _new(
        results,
        len(results['tests']),
        width=5.2 * len(results['tests']) + 0.6,
        height=6.2,
        title='ROC: mean over runs, the middle 68 % of them as bands',
    )
    grid = np.asarray(results['roc_grid'])
    for panel, key in zip(panels, results['tests'], strict=True):
        panel.plot([0, 1], [0, 1], color=_GREY, linestyle=':', linewidth=1, label='chance')
        for curve in _main(results):
            test = curve['tests'][key]
            colour = _COLOURS[curve['name']]
            panel.fill_between(
                grid, test['roc']['low'], test['roc']['high'], color=colour, alpha=0.18, lw=0
            )
            auc = test['auc']['mean']
            panel.plot(
                grid,
                test['roc']['mean'],
                color=colour,
                linestyle=_STYLES.get(curve['labels'], '-'),
                linewidth=1.5,
                label=f'{curve["name"]} (AUC {auc:.3f})' if auc is not None else curve['name'],
            )
        if key == 'spectroscopic':
            for person in results['people']:
                _draw_person(panel, person)
        panel.set(xlabel='false positive rate', ylabel='true positive rate (completeness)')
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panel.set_title(_words(results, key), fontsize=9.5)
        panel.legend(loc='lower right', frameon=True, framealpha=0.9, fontsize=7.5)
    return figure


def _draw_person(panel, person):
    marker, colour = _PEOPLE[person['kind']]
    x, y = person['false_positive_rate'], person['completeness']
    if x is None or y is None:
        return
    # two experts, or two ways to bring votes together, are told apart
    hollow = person['name'].endswith('2') or (
        person['kind'] == 'volunteers' and 'majority' not in person['name']
    )
    marker = 'D' if 'difficulty' in person['name'] else marker
    panel.errorbar(
        [x[0]],
        [y[0]],
        xerr=_bars([x]),
        yerr=_bars([y]),
        fmt=marker,
        color=colour,
        mfc='white' if hollow else colour,
        ms=8 if marker == '*' else 6,
        elinewidth=0.7,
        alpha=0.85,
        label=person['name'],
        zorder=5,
    )


def _bars(values):
    """
    Return the lengths of error bars, shape ``(2, n)``.
    """
    middle, low, high = np.transpose(values)
    return np.maximum([middle - low, high - middle], 0)


def draw_accuracy(results):
    """
    Draw the accuracy of each curve with both kinds of error.

    Parameters
    ----------
    results : dict
        Of `~clustercnn.experiments.run_kosiba2020`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        A panel a test sample.
    """
    return _draw_dots(results, _main(results), 'Accuracy: every run, mean, 95 % sampling interval')


def draw_bands(results):
    """
    Draw what each band is worth to each network.

    Parameters
    ----------
    results : dict
        Of `~clustercnn.experiments.run_kosiba2020`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        A panel a test sample.
    """
    learnt = [curve for curve in results['curves'] if curve['labels'] in ('E', 'published')]
    order = sorted(learnt, key=lambda curve: curve['name'])
    return _draw_dots(results, order, 'X-rays, optical images and both')


def _draw_dots(results, curves, title):
    figure, panels = _new(
        results,
        len(results['tests']),
        width=4.6 * len(results['tests']) + 0.8,
        height=1.4 + 0.32 * len(curves),
        title=title,
    )
    for number, (panel, key) in enumerate(zip(panels, results['tests'], strict=True)):
        for row, curve in enumerate(curves):
            accuracy = curve['tests'][key]['accuracy']
            colour = _COLOURS[curve['name'].split(',')[0]]
            panel.plot(
                accuracy['runs'], [row + 0.18] * len(accuracy['runs']), '|', color=colour, ms=7
            )
            intervals = [accuracy['wilson'], accuracy['by_field'] or accuracy['wilson']]
            # resampling does not know what it has not seen: without an error it has no width
            bars = _bars([(accuracy['mean'], min(intervals)[0], max(i[1] for i in intervals))])
            panel.errorbar(
                [accuracy['mean']], [row], xerr=bars, fmt='o', ms=5, color=colour, capsize=3
            )
        panel.set_yticks(range(len(curves)), [curve['name'] for curve in curves])
        panel.tick_params(axis='y', labelleft=number == 0, labelsize=8.5)
        panel.set_ylim(len(curves) - 0.5, -0.5)
        panel.set_xlabel('accuracy')
        panel.set_title(_words(results, key), fontsize=9.5)
    return figure


def draw_properties(results):
    """
    Draw accuracy against counts, and completeness against redshift.

    Parameters
    ----------
    results : dict
        Of `~clustercnn.experiments.run_kosiba2020`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure` or None
        None where neither is known.
    """
    if not results['by']:
        return None
    title = f'By counts and redshift, {results["largest"]} sample'
    figure, panels = _new(results, 2, width=10.2, height=4.3, title=title)
    for panel, name, words in (
        (panels[0], 'counts', ('counts', 'accuracy, clusters and others')),
        (panels[1], 'redshift', ('redshift of the cluster', 'completeness of clusters')),
    ):
        bins = [entry for entry in results['by'][name] if entry['n']]
        labels = [
            f'{e["from"]:g}-{e["to"]:g}\n({e["n"]})' if e['to'] else f'> {e["from"]:g}\n({e["n"]})'
            for e in bins
        ]
        curves = _main(results)
        for number, curve in enumerate(curves):
            values = [entry['right'][curve['name']] for entry in bins]
            shift = (number - (len(curves) - 1) / 2) * 0.09
            panel.errorbar(
                np.arange(len(bins)) + shift,
                [value[0] for value in values],
                yerr=_bars(values),
                fmt='o',
                ms=4,
                lw=1,
                color=_COLOURS[curve['name']],
                mfc='white' if curve['labels'] == 'Z' else _COLOURS[curve['name']],
                label=curve['name'],
            )
        panel.set_xticks(range(len(bins)), labels, fontsize=8.5)
        panel.set(xlabel=f'{words[0]} (number of candidates)', ylabel=words[1])
    # beside the panels, where it hides no interval
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc='outside right center', frameon=False, fontsize=8)
    return figure


def draw_confusion(results):
    """
    Draw how often each class is taken for each, for the paper's network and the package's own.

    Parameters
    ----------
    results : dict
        Of `~clustercnn.experiments.run_kosiba2020`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        A panel a curve.
    """
    names = [curve['name'] for curve in _main(results)]
    wanted = {'CN-E', 'MN-E', 'CN', 'MN'}
    # of the package's own the ensemble, where there is one
    for ensemble, single in ((OWN, SINGLE), ('fusion, ensemble', 'fusion')):
        wanted.add(ensemble if ensemble in names else single)
    chosen = [curve for curve in _main(results) if curve['name'] in wanted]
    key, classes = results['largest'], results['classes']
    title = f'Confusion by class, {key} sample, mean of runs'
    figure, panels = _new(results, len(chosen), width=3.9 * len(chosen), height=4.2, title=title)
    for panel, curve in zip(panels, chosen, strict=True):
        matrix = np.asarray(curve['tests'][key]['confusion'])
        total = matrix.sum(axis=1, keepdims=True)
        share = np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)
        panel.grid(visible=False)
        panel.imshow(share, cmap='Greens', vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(share):
            panel.text(
                column,
                row,
                f'{100 * value:.0f} %\n{matrix[row, column]:.0f}',
                ha='center',
                va='center',
                fontsize=8,
                color='white' if value > 0.6 else 'black',
            )
        panel.set_xticks(range(len(classes)), classes, rotation=35, ha='right', fontsize=8.5)
        panel.set_yticks(range(len(classes)), classes, fontsize=8.5)
        panel.set(xlabel='called', ylabel='truth')
        panel.set_title(curve['name'], fontsize=9.5)
    return figure


FIGURES = {
    'roc': draw_roc,
    'accuracy': draw_accuracy,
    'bands': draw_bands,
    'properties': draw_properties,
    'confusion': draw_confusion,
}
"""
What is drawn, by the name of the file.
"""
