# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The tables of the page of the shipped model that ``validation/model`` measured on shifted skies
and on strange images.
"""

import json

from generated_tables import ROOT, Generated, table

RESULTS = ROOT / 'validation' / 'model' / 'results'
EXPLAINED = ROOT / 'validation' / 'networks' / 'results'
_UNMEASURED = 'This has not been measured for this version yet.'
FIELDS = ('a1835', 'ngc5044', '3c273', 'g21', 'cygnus')


def _span(values, form='.3f'):
    middle, low, high = (format(value, form) for value in values)
    return f'{middle} [{low}, {high}]'


class ModelTable(Generated):
    """
    One table on the shipped model.
    """

    required_arguments = 1

    def lines(self):
        """
        Return the table that the argument names.
        """
        file, make = _PARTS[self.arguments[0]]
        path = RESULTS / file
        self.env.note_dependency(str(path))
        if not path.exists():
            return [_UNMEASURED, '']
        return make(json.loads(path.read_text(encoding='utf-8')))


def _shifts(results):
    entries = dict(results['shifts'])
    entries['all shifted skies together'] = results['all shifted skies']
    rows = [
        (
            name,
            f'{entry["clusters"]} of {entry["detections"]}',
            _span(entry['auc']),
            _span(entry['auc_of_matched']),
            f'{entry["ece"]:.3f}',
            _span(entry['contamination_at_97_percent'], '.2f'),
        )
        for name, entry in entries.items()
    ]
    heads = (
        'shift (*simulated*)',
        'clusters of detections',
        'AUC',
        'AUC of what stands on a source',
        'ECE',
        'contamination at 97 % completeness',
    )
    return table(heads, rows, widths='24 14 20 20 8 18')


def _parts(results):
    rows = [
        (
            name,
            f'{entry["auc"]:.3f}',
            _span(entry['gain_in_auc']),
            _span(entry['gain_in_purity_at_95_percent'], '.2f'),
        )
        for name, entry in results['shifted skies with an optical image'].items()
    ]
    heads = (
        'part (*simulated*, shifted skies)',
        'its AUC',
        'gain of the whole model in AUC',
        'gain in purity at 95 % completeness',
    )
    return table(heads, rows, widths='26 12 30 32')


def _strange(results):
    kinds = results['kinds']
    rows = [
        (name, _span(values), _span(kinds['without'][name]))
        for name, values in kinds['with the numbers of the finder'].items()
    ]
    heads = ('kind (*simulated*)', 'AUC of ``ood``', 'AUC without the numbers of the finder')
    return table(heads, rows, widths='36 32 32')


def _tuning(results):
    ways = ('frozen stem', 'whole', 'from nothing')
    first = results['shipped']
    rows = [('none', '', f'{_span(first["auc"])}, ECE {first["ece"]:.3f}', '', '')]
    for entry in results['rows']:
        cells = [
            f'{_span(entry[way]["auc"])}, gain {_span(entry[way]["gain_in_auc"])}, '
            f'ECE {entry[way]["ece"]:.3f}'
            for way in ways
        ]
        rows.append((str(entry['labels']), str(entry['clusters']), *cells))
    heads = (
        'labels (*simulated*)',
        'of clusters',
        'AUC, frozen stem',
        'AUC, nothing frozen',
        'AUC, trained from nothing',
    )
    return table(heads, rows, widths='10 9 27 27 27')


def _counts(results):
    rows = []
    for name, entry in results.items():
        bins = entry.get('by_counts', [])
        for number, row in enumerate(bins):
            last = number + 1 == len(bins)
            rows.append(
                (
                    name if number == 0 else '',
                    f'{row["from"]} and more'
                    if last
                    else f'{row["from"]} to {bins[number + 1]["from"]}',
                    f'{row["clusters"]} of {row["detections"]}',
                    _span(row['auc']) if 'auc' in row else 'one class only',
                )
            )
    heads = ('*simulated* fields', 'counts of the finder', 'clusters of detections', 'AUC')
    return table(heads, rows, widths='28 24 22 26') if rows else [_UNMEASURED, '']


def _kinds(results):
    named = {name: entry['by_kind'] for name, entry in results.items() if 'by_kind' in entry}
    kinds = sorted(
        {(not kind['cluster'], name) for entry in named.values() for name, kind in entry.items()}
    )
    rows = []
    for other, kind in kinds:
        found = [entry.get(kind) for entry in named.values()]
        rows.append(
            (
                kind if other else f'cluster: {kind}',
                *(
                    f'{one["auc"]:.3f}, {one["accepted"]:.0%} of {one["detections"]}' if one else ''
                    for one in found
                ),
            )
        )
    return (
        table(('kind (*simulated*)', *named), rows, widths='30 35 35')
        if rows
        else [_UNMEASURED, '']
    )


class ExplainedFields(Generated):
    """
    What the shipped model accepts in real fields.
    """

    def lines(self):
        """
        Return a table with a row a field.
        """
        rows = []
        for name in FIELDS:
            path = EXPLAINED / f'{name}.json'
            self.env.note_dependency(str(path))
            if not path.exists():
                continue
            found = json.loads(path.read_text(encoding='utf-8'))
            first = found['first'][0]
            accepted = found['p_cluster_above_0.5']
            strange = found['of_these_stranger_than_95_percent']
            rows.append(
                (
                    found['title'],
                    str(found['candidates']),
                    f'{accepted}, of them {strange} with ``ood`` above 1',
                    f'{first["p_cluster"]:.2f}, other {first["p_other"]:.2f}, '
                    f'ood {first["ood"]:.1f}',
                    f'{first["counts"]} counts, {first["extent_arcsec"]:.0f} arcsec',
                )
            )
        heads = ('real field', 'candidates', 'accepted', 'first: p_cluster', 'first: size')
        return table(heads, rows, widths='22 12 24 24 18') if rows else []


_PARTS = {
    'shifts': ('shifts.json', _shifts),
    'counts': ('simulated_fields.json', _counts),
    'kinds': ('simulated_fields.json', _kinds),
    'parts': ('shifts.json', _parts),
    'strange': ('strange.json', _strange),
    'fine-tuning': ('finetuning.json', _tuning),
}


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
    app.add_directive('model-table', ModelTable)
    app.add_directive('explained-fields', ExplainedFields)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
