# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Directives that write what ``clustercnn experiment kosiba2020`` found.
"""

import json

from generated_tables import ROOT, Generated, _plain, table

from clustercnn.experiments.tables import TABLES, describe_sample

RESULTS = ROOT / 'validation' / 'experiment' / 'results' / 'kosiba2020.json'


class _Experiment(Generated):
    """
    A directive that reads the results, where there are any.
    """

    depends_on = (RESULTS,)

    def lines(self):
        """
        Return the contents, or that there are none.
        """
        if not RESULTS.exists():
            return ['It has not been run for this version yet.', '']
        return self.lines_of(json.loads(RESULTS.read_text(encoding='utf-8')))


class ExperimentSample(_Experiment):
    """
    What was learnt from and tested on, and with which settings.
    """

    def lines_of(self, results):
        """
        Return a warning where these are no results of the full size, and a list.
        """
        config = results['config']
        lines = []
        if results['small']:
            lines += [
                '.. warning::',
                '',
                f'   The figures on this page are of a small run: {config["n_runs"]} trainings of '
                f'{config["n_epochs"]} epochs a curve, {config["n_expert"]} candidates of the '
                f'experts, at least {config["n_large"]} in the large test sample. They show what '
                'the command makes, and allow no conclusion.',
                '',
            ]
        for line in describe_sample(results):
            lines += [f'* {_plain(line)}']
        bands = ', '.join(
            f'{name} {n} x {n} pixels of {scale:.2f}"' for name, n, scale in config['geometry']
        )
        options = {name: dict(values) for name, values in config['options']}
        normalised = ''
        if options.get('fusion', {}).get('batch_norm'):
            normalised = ' The maps of ``fusion`` are normalised by the batch (``batch_norm``).'
        return [
            *lines,
            f'* Cutouts: {bands}. Every network sees the same, learns for {config["n_epochs"]} '
            f'epochs and keeps the one that is best on 15 % of the fields. MobileNetV2 has '
            f'{options.get("mobilenet", {}).get("width", 1)} times its usual '
            f'width and starts from random weights.{normalised}',
            _effort_of(results['effort']),
            '',
        ]


def _effort_of(effort):
    """
    Return what the trainings cost, and what that is measured on.
    """
    text = f'* Trainings and predictions take {effort["processor_hours"]:.1f} hours of a core'
    if effort.get('n_elsewhere'):
        return (
            f'{text}: the medians of each curve, times its runs. {effort["n_elsewhere"]} of the '
            f'{effort["n_runs"]} were computed on a GPU, in float32, and are not in the medians '
            'where others are.'
        )
    return f'{text}.'


class ExperimentTable(_Experiment):
    """
    One of the tables.
    """

    required_arguments = 1

    def lines_of(self, results):
        """
        Return the table.
        """
        heads, rows = TABLES[self.arguments[0]][1](results)
        if not rows:
            return ['There is nothing to show.', '']
        cells = [[_plain(cell) for cell in row] for row in rows]
        heads = [f'*{results["kind"]}*: {heads[0]}', *heads[1:]]
        # as wide as their words; the page lets a wide table be moved
        return table(heads, cells, widths='auto')


def setup(app):
    """
    Register the directives.

    Parameters
    ----------
    app : `~sphinx.application.Sphinx`
        The application.

    Returns
    -------
    metadata : dict
        For Sphinx.
    """
    app.add_directive('experiment-sample', ExperimentSample)
    app.add_directive('experiment-table', ExperimentTable)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
