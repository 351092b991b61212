# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Directives that write what a benchmark measured, where its results are kept.
"""

import json

from generated_tables import ROOT, Generated, table

__all__ = ['Benchmark', 'GPUBenchmark']


class Benchmark(Generated):
    """
    What ``benchmarks/bench_<stage>.py`` measured; the argument is the stage.
    """

    required_arguments = 1

    @property
    def path(self):
        """
        Where the results are kept (`pathlib.Path`).
        """
        return ROOT / 'benchmarks' / 'results' / f'{self.arguments[0]}.json'

    @property
    def depends_on(self):
        """
        Files from which the table is made (tuple).
        """
        return (self.path,)

    def lines(self):
        """
        Return a row for each case.
        """
        if not self.path.exists():
            return ['It has not been measured for this version yet.']
        results = json.loads(self.path.read_text(encoding='utf-8'))
        rows = []
        for row in results['rows']:
            compared = ('', '', '', '')
            if row['peer'] is not None:
                ratio = f'{row["ratio"]:.2g}'
                if 'ratio_min_max' in row:
                    ratio += ' ({:.2g} to {:.2g})'.format(*row['ratio_min_max'])
                wanted = row.get('at_least')
                compared = (
                    f'{row["peer_name"]}: {row["peer"]:.3g}',
                    ratio,
                    f'{row["processor_ratio"]:.2g}',
                    '' if wanted is None else f'{wanted:g}, aim {row["aim"]:g}',
                )
            rows.append((row['case'], f'{row["ours"]:.3g} {row["unit"]}', *compared))
        heads = (
            'case',
            f'ours, on {results["n_cores"]} cores',
            'peer',
            'ratio (least to most)',
            'processor',
            'wanted at least',
        )
        return table(heads, rows, widths='30 16 22 14 8 10')


class GPUBenchmark(Benchmark):
    """
    What ``benchmarks/bench_gpu.py`` measured; the argument is the name of the file.
    """

    def lines(self):
        """
        Return a row for each case.
        """
        results = json.loads(self.path.read_text(encoding='utf-8'))
        rows = []
        for row in results['rows']:
            low, middle, high = row.get('cutouts_s', (None,) * 3)
            share = row.get('share_of_roof')
            rows.append(
                (
                    row['case'],
                    row['side'],
                    row['precision'],
                    f'{row["batch"]}',
                    row.get('failed')
                    or f'{_thousands(middle)} ({_thousands(low)} to {_thousands(high)})',
                    '' if share is None else f'{share:.1%}',
                )
            )
        heads = (
            'case',
            'side',
            'numbers',
            'batch',
            'thousand cutouts a second (least to most)',
            f'share of {results["roof_tflop_s"]:.0f} TFLOP/s',
        )
        return [
            f'{results["device"]}, JAX {results["jax"]}; processor: '
            f'{results["processor"] or "not stated"}. {results.get("note", "")}'.rstrip(),
            '',
            *table(heads, rows, widths='30 14 10 8 24 14'),
        ]


def _thousands(rate):
    rate /= 1000
    return f'{rate:.0f}' if rate >= 100 else f'{rate:.3g}'


def setup(app):
    """
    Register the directive.

    Parameters
    ----------
    app : `~sphinx.application.Sphinx`
        The application.

    Returns
    -------
    metadata : dict
        For Sphinx.
    """
    app.add_directive('benchmark', Benchmark)
    app.add_directive('gpu-benchmark', GPUBenchmark)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
