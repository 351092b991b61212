# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The directive that tables what reading a large export takes.
"""

import json

from generated_tables import ROOT, Generated, table


class LabelExport(Generated):
    """
    What ``validation/labels/measure_export.py`` measured, where it was run.
    """

    path = ROOT / 'validation' / 'labels' / 'results' / 'export.json'
    depends_on = (path,)

    def lines(self):
        """
        Return a row for each way to read the file.
        """
        if not self.path.exists():
            return ['It has not been measured for this version yet.']
        results = json.loads(self.path.read_text(encoding='utf-8'))
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
    app.add_directive('label-export', LabelExport)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
