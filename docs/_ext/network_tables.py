# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Directives that write tables of what was measured on networks.
"""

from generated_tables import ROOT, table
from label_tables import Measured

RESULTS = ROOT / 'validation' / 'networks' / 'results'


def _span(values, *, sign='', digits=3):
    """
    Return a value with its interval, if it has one.
    """
    middle, low, high = values
    text = f'{middle:{sign}.{digits}f}'
    return text if low is None else f'{text} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]'


class NetworkImages(Measured):
    """
    What ``validation/networks/measure_images.py`` measured, of one set.
    """

    required_arguments = 1
    depends_on = (RESULTS / 'images.json',)

    def rows_of(self, results):
        """
        Return a row for each method.
        """
        found = results['sets'].get(self.arguments[0])
        if found is None:
            return ['This set has not been measured for this version yet.']
        rows = []
        for way, entry in found['methods'].items():
            more = entry.get('more_than_forest')
            n_folds = len(entry['folds'])
            part = (
                ''
                if n_folds == results['n_folds']
                else f', {n_folds} of {results["n_folds"]} folds'
            )
            rows.append(
                (
                    f'{_WAYS.get(way, way)}{part}',
                    '' if entry['parameters'] is None else str(entry['parameters']),
                    _span(entry['balanced_accuracy']),
                    '' if more is None else _span(more, sign='+'),
                    f'{min(entry["by_fold"]):.3f} to {max(entry["by_fold"]):.3f}',
                    f'{entry["accuracy"]:.3f}',
                    f'{entry["beyond_frequency"]:.3f}',
                )
            )
        heads = (
            'method',
            'parameters',
            'balanced accuracy',
            'more than the forest',
            'by fold',
            'accuracy',
            'by ratio',
        )
        classes = ', '.join(f'{n} {name}' for name, n in found['classes'].items())
        ny, nx = found['shape']
        return [
            *table(heads, rows, widths='auto'),
            f'{found["pictures"]} pictures of {nx} x {ny} pixels, bands '
            f'{", ".join(found["bands"])}: {classes.replace("_", " ")}.',
            '',
        ]


class NetworkAblation(Measured):
    """
    What ``validation/networks/measure_ablation.py`` measured, where it was run.
    """

    depends_on = (RESULTS / 'ablation.json',)

    def rows_of(self, results):
        """
        Return a row for each difference.
        """
        kinds = ('whole', 'X-rays alone', 'short')
        rows = []
        for name, entry in results['rows'].items():
            cells = []
            for kind in kinds:
                found = entry['tests'].get(kind)
                if found is None:
                    cells.append('')
                elif 'difference' in found:
                    cells.append(_span(found['difference'], sign='+', digits=4))
                else:
                    cells.append(_span(found['auc'], digits=4))
            label = '``fusion``, small: AUC' if name == 'fusion' else name
            rows.append((label, str(entry['parameters']), *cells))
        heads = ('difference', 'parameters', 'complete', 'X-rays alone', 'short exposure')
        seeds = max(entry['seeds'] for entry in results['rows'].values())
        first = results['rows'].get('fusion')
        many = '' if first is None else f'{first["tests"]["whole"]["auc_of_the_mean"]:.4f}'
        trained, tested = (
            ', '.join(f'{n} {name}' for name, n in results['cutouts'][part].items() if n)
            for part in ('training', 'test')
        )
        return [
            *table(heads, rows, widths='auto'),
            f'*Simulated*: trained on {trained}, in {results["fields"]["training"]} fields, for '
            f'{results["epochs"]} passes; tested on {tested}, in {results["fields"]["test"]} '
            f'others, of which {results["with_picture"]:.0%} have a picture. The first row is the '
            'area under the ROC curve, the others are differences from it, paired by seed: '
            f'means over {seeds} seeds, in square brackets 95 % intervals over seeds. They say how '
            'much training varies; the fields are the same throughout. '
            f'The mean probability of the {seeds} networks of the first row has {many}.',
            '',
        ]


_WAYS = {
    'random forest': 'random forest on 16 x 16 pixels',
    'fusion': "``'fusion'``, default settings",
    'fusion, without shapes': "``'fusion'``, ``optical_shape=False``",
    'fusion, batches of 64': "``'fusion'``, ``batch_size=64``",
    'fusion, normalised maps': "``'fusion'``, ``batch_norm=True``",
    'cn': "``'cn'``, default settings",
    'torch': 'plain network in PyTorch',
}


class PrecisionTable(Measured):
    """
    What ``validation/networks/measure_precision.py`` measured.
    """

    depends_on = (RESULTS / 'precision.json',)

    def rows_of(self, found):
        """
        Return a row for each figure.
        """
        gain, low, high = found['auc_change']
        change = found['p_cluster_change']
        rows = [
            ('AUC', f'{found["auc"]["float32"]:.4f}', f'{found["auc"]["bfloat16"]:.4f}'),
            (
                'change, with 95 % interval over fields',
                '',
                f'{gain:+.1e} [{low:+.1e}, {high:+.1e}]',
            ),
            ('ECE', f'{found["ece"]["float32"]:.4f}', f'{found["ece"]["bfloat16"]:.4f}'),
            (
                'change of ``p_cluster``: median, 99th percentile, largest',
                '',
                f'{change["median"]:.1e}, {change["99 %"]:.1e}, {change["largest"]:.1e}',
            ),
            (
                'other side of one half',
                '',
                f'{found["crosses_one_half"]} of {found["detections"]}',
            ),
            (
                'other side of ``ood`` = 1',
                '',
                f'{found["ood_crosses_one"]} of {found["detections"]}',
            ),
        ]
        heads = (
            f'{found["detections"]} detections of {found["fields"]} fields, '
            f'{found["clusters"]} of clusters',
            'float32',
            'bfloat16',
        )
        return table(heads, rows, widths='50 20 30')


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
    app.add_directive('network-images', NetworkImages)
    app.add_directive('network-ablation', NetworkAblation)
    app.add_directive('precision-table', PrecisionTable)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
