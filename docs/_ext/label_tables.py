# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Directives that write tables of what was measured on labels.
"""

import json

from generated_tables import ROOT, Generated, table

RESULTS = ROOT / 'validation' / 'labels' / 'results'


def _with_interval(values, *, sign=''):
    return '{:{s}.3f} [{:{s}.3f}, {:{s}.3f}]'.format(*values, s=sign)


class Measured(Generated):
    """
    A table from a file of results, or a line that says that there is none.
    """

    def lines(self):
        """
        Return the table.
        """
        (path,) = self.depends_on
        if not path.exists():
            return ['They have not been measured for this version yet.']
        return self.rows_of(json.loads(path.read_text(encoding='utf-8')))


class LabelCrowds(Measured):
    """
    What ``validation/labels/measure_crowds.py`` measured: ``real``, ``known``, ``simulated`` or
    ``families``.
    """

    required_arguments = 1
    depends_on = (RESULTS / 'crowds.json',)

    def rows_of(self, results):
        """
        Return a row for each crowd and method.
        """
        which = self.arguments[0]
        if which == 'real':
            crowds = {
                f'{name}: {entry["items"]} items, {entry["votes"]} votes': entry
                for name, entry in results.get('real_crowds', {}).items()
            }
        elif which == 'known':
            crowds = {
                f'{name.rpartition(",")[0]}: {entry["known"]} of {entry["items"]} known': entry
                for name, entry in results.get('with_known_items', {}).items()
            }
        elif which == 'families':
            families = results['simulated_families']['families']
            crowds = {
                f'*{name}*: {entry["is"]}': entry['methods'] for name, entry in families.items()
            }
        else:
            crowds = {
                f'{found["classes"]} classes, {error}': entry
                for found in results['simulated_crowds']
                for error, entry in found['errors'].items()
            }
        rows = []
        for crowd, entry in crowds.items():
            methods = {key: value for key, value in entry.items() if isinstance(value, dict)}
            for number, (method, row) in enumerate(methods.items()):
                gain = row.get('gain_over_majority')
                ece = f'{row["ece"]:.3f}'
                if 'ece_interval' in row:
                    ece = _with_interval([row['ece'], *row['ece_interval']])
                plain = row.get('ece_if_independent')
                rows.append(
                    (
                        crowd if number == 0 else '',
                        method,
                        _with_interval(row['right']),
                        '' if gain is None else _with_interval(gain, sign='+'),
                        ece,
                        '' if plain is None else f'{plain:.3f}',
                        _with_interval(row['ece_if_calibrated']),
                    )
                )
        heads = (
            'crowd',
            'method',
            'right',
            'more than majority',
            'ECE',
            'if independent',
            'at best',
        )
        # real crowds have no repetitions, and only they tell what votes as independent ones give
        columns, widths = {
            'real': ((0, 1, 2, 4, 5, 6), '20 11 18 18 17 16'),
            'known': ((0, 1, 2, 4, 6), '26 16 22 18 18'),
        }.get(which, ((0, 1, 2, 3, 4, 6), '22 14 20 20 8 16'))
        return table(
            tuple(heads[column] for column in columns),
            [tuple(row[column] for column in columns) for row in rows],
            widths=widths,
        )


class LabelCorrelation(Measured):
    """
    What ``validation/labels/measure_correlation.py`` measured.
    """

    depends_on = (RESULTS / 'correlation.json',)

    def rows_of(self, results):
        """
        Return a row for each crowd.
        """
        rows = [
            (
                f'{name}: {entry["items"]} items',
                f'{entry["effective_votes"]:.1f}',
                f'{entry["left"]:.3f} ± {entry["left_error"]:.3f}',
                f'{entry["needed"]:.2f}',
                f'{entry["right"]:.3f}',
                f'{entry["ece_if_independent"]:.3f}',
                f'{entry["ece_from_the_others"]:.3f}',
            )
            for name, entry in results['crowds'].items()
        ]
        heads = (
            'crowd',
            'votes, as equal ones',
            'correlation left',
            'needed',
            'right',
            'ECE, independent',
            'ECE, from the others',
        )
        return table(heads, rows, widths='28 11 18 10 10 11 12')


class LabelMatrices(Measured):
    """
    How far the matrices of annotators were from the true ones in units of their errors.
    """

    depends_on = LabelCrowds.depends_on

    def rows_of(self, results):
        """
        Return a row for each kind of simulated crowd.
        """
        crowds = {
            f'{found["classes"]} classes, {error}': entry['dawid-skene']
            for found in results['simulated_crowds']
            for error, entry in found['errors'].items()
        }
        crowds['volunteers of ``simulate --votes``'] = results['simulated_volunteers']
        rows = [
            (
                crowd,
                f'{entry["pull_of_matrices"]:.2f}',
                f'{entry["largest_pull_of_a_crowd"]:.2f}',
                f'{entry["matrices_within_one_sigma"]:.0%}',
                f'{entry["matrices_within_two_sigma"]:.0%}',
            )
            for crowd, entry in crowds.items()
        ]
        heads = ('crowd', 'rms pull', 'worst crowd', 'within one sigma', 'within two')
        return table(heads, rows, widths='32 17 17 17 17')


class LabelSpeed(Measured):
    """
    What ``benchmarks/bench_labels.py`` measured, where it was run.
    """

    depends_on = (RESULTS / 'speed.json',)

    def rows_of(self, results):
        """
        Return a row for each case.
        """

        def side(row, name):
            if row[name] is None:
                return 'none', '', ''
            memory = row.get(f'{name}_gigabytes')
            return (
                f'{row[f"{name}_seconds"]:.2f} s',
                f'{row[f"{name}_right"]:.3f}',
                '' if memory is None else f'{memory:.2f} GB',
            )

        rows = [
            (
                row['case'],
                *side(row, 'ours'),
                row['peer_name'] or '',
                *side(row, 'peer')[:2],
                '' if row['ratio'] is None else f'{row["ratio"]:.1f}',
            )
            for row in results
        ]
        heads = ('crowd, method', 'ours', 'right', 'memory', 'peer', 'time', 'right', 'ratio')
        return table(heads, rows, widths='26 10 9 11 20 10 9 8')


class LabelTraining(Measured):
    """
    What ``validation/labels/measure_training.py`` measured, where it was run.
    """

    depends_on = (RESULTS / 'training.json',)

    def rows_of(self, results):
        """
        Return a row for each way to train.
        """
        rows = [
            (
                _WAYS[name],
                f'{entry["right_labels"]:.3f}',
                _with_interval(entry['auc']),
                '' if name == 'majority' else _with_interval(entry['gain_over_majority'], sign='+'),
                _with_interval(entry['ece']),
            )
            for name, entry in results['ways'].items()
        ]
        heads = ('trained on', 'labels right', 'AUC', 'gain over majority', 'ECE')
        trained, tested = (
            ', '.join(f'{n} {name}' for name, n in results[key].items() if n)
            for key in ('training_cutouts', 'test_cutouts')
        )
        return [
            *table(heads, rows, widths='26 12 20 22 20'),
            f'*Simulated*, {results["runs"]} runs of a small ``{results["network"]}``, '
            f'{results["epochs"]} epochs, X-rays only; trained on {trained}, tested on {tested}, '
            f'found in {results["fields"]} fields of which no two are the same. '
            f'{results["votes_an_item"]} votes an item of {results["people"]} people who err in '
            f'{results["mean_error"]:.0%} of the items on average, differently in each class; '
            f'{results["share_idle"]:.0%} of them vote without looking, and each item shifts the '
            f'log odds of its votes by a normal deviate of {results["hardness"]}. In square '
            'brackets 95 % intervals over runs, each of which has another crowd and other seeds; '
            'gains are paired by run.',
            '',
        ]


class LabelExport(Measured):
    """
    What ``validation/labels/measure_export.py`` measured, where it was run.
    """

    depends_on = (RESULTS / 'export.json',)

    def rows_of(self, results):
        """
        Return a row for each way to read the file.
        """
        rows = [
            (
                words,
                f'{results["gigabytes"]:.2f} GB',
                str(results[part]['rows']),
                f'{results[part]["processor_seconds"]:.0f} s',
                f'{results[part]["largest_memory_gigabytes"]:.2f} GB',
            )
            for part, words in (
                ('votes', '``read_classifications``'),
                ('labels', '``labels read --method dawid-skene``'),
            )
        ]
        heads = ('*simulated* export', 'size', 'rows', 'processor', 'largest memory')
        return table(heads, rows, widths='36 14 14 16 20')


_WAYS = {
    'truth': 'the truth, out of reach',
    'majority': 'majority, hard',
    'majority shares': 'shares of votes',
    'soft': "``'dawid-skene'``, soft",
    'soft, difficulty': "``'difficulty'``, soft",
    'votes': 'counts of votes',
    'votes, noise': 'counts of votes with the mean matrix',
}


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
    app.add_directive('label-correlation', LabelCorrelation)
    app.add_directive('label-crowds', LabelCrowds)
    app.add_directive('label-export', LabelExport)
    app.add_directive('label-matrices', LabelMatrices)
    app.add_directive('label-speed', LabelSpeed)
    app.add_directive('label-training', LabelTraining)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
