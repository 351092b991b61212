# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tables of the experiment as headings and cells of text, for the command line, the page of results
and the documentation alike.
"""

__all__ = ['TABLES', 'describe_sample', 'headline']


def _percent(value, digits=1):
    return '-' if value is None else f'{100 * value:.{digits}f}'


def _interval(values, digits=1):
    low, high = (f'{100 * value:.{digits}f}' for value in values)
    return f'{low} to {high}'


def _open_interval(values):
    """
    Write an interval whose ends are None where they are infinite.
    """
    low, high = values
    if low is None:
        return '-'
    return f'above {low:.2f}' if high is None else f'{low:.2f} to {high:.2f}'


def _p_value(value):
    return f'{value:.1e}' if value < 1e-3 else f'{value:.3f}'


def _accuracy(results):
    heads = (
        'test sample', 'curve', 'runs', 'accuracy [%]', 'sd over runs', 'Wilson 95 %',
        'by field 95 %', 'AUC', 'completeness [%]', 'false positives [%]',
    )  # fmt: skip
    rows = [
        (key, curve['name'], str(curve['n_runs']), *_cells(curve, key))
        for key in results['tests']
        for curve in results['curves']
        if curve['main']
    ]
    return heads, rows


def _cells(curve, key):
    test = curve['tests'][key]
    accuracy, auc = test['accuracy'], test['auc']
    by_field = accuracy['by_field']
    return (
        _percent(accuracy['mean']),
        _percent(accuracy['deviation']),
        _interval(accuracy['wilson']),
        '-' if by_field is None else _interval(by_field),
        '-' if auc['mean'] is None else f'{auc["mean"]:.4f}',
        _percent(test['completeness']['mean']),
        _percent(test['false_positive_rate']['mean']),
    )


def _bands(results):
    heads = (
        'learnt from', 'runs', 'test sample', 'accuracy [%]', 'sd over runs', 'by field 95 %', 'AUC'
    )  # fmt: skip
    rows = []
    curves = [c for c in results['curves'] if c['labels'] in ('E', 'published')]
    for curve in sorted(curves, key=lambda c: c['name']):
        for key in results['tests']:
            cells = _cells(curve, key)
            by_field = cells[3] if cells[3] != '-' else cells[2]
            rows.append((curve['name'], str(curve['n_runs']), key, *cells[:2], by_field, cells[4]))
    return heads, rows


def _comparisons(results):
    heads = (
        'test sample', 'one', 'other', 'errors [%]', 'ratio', 'ratio 95 %', 'median p of runs',
        'errors of mean scores [%]', 'only one right', 'only other right', 'p of mean scores',
    )  # fmt: skip
    rows = [
        (
            entry['test'],
            entry['one'],
            entry['other'],
            ' and '.join(_percent(value) for value in entry['errors']),
            '-' if entry['ratio'] is None else f'{entry["ratio"]:.2f}',
            _open_interval(entry['ratio_by_field']),
            _p_value(entry['run_by_run']['median_p']),
            ' and '.join(_percent(value) for value in entry['mean_of_runs']['errors']),
            str(entry['mean_of_runs']['only_one_right']),
            str(entry['mean_of_runs']['only_other_right']),
            _p_value(entry['mean_of_runs']['p']),
        )
        for entry in results['comparisons']
    ]
    return heads, rows


def _people(results):
    heads = (
        'who', 'candidates', 'no answer', 'accuracy [%]', 'completeness [%]', 'false positives [%]'
    )  # fmt: skip

    def cell(values):
        return '-' if values is None else f'{_percent(values[0])} ({_interval(values[1:])})'

    rows = [
        (
            person['name'],
            str(person['n']),
            str(person['n_without_answer']),
            cell(person['accuracy']),
            cell(person['completeness']),
            cell(person['false_positive_rate']),
        )
        for person in results['people']
    ]
    return heads, rows


def _subclasses(results):
    names = [curve['name'] for curve in results['curves'] if curve['main']]
    rows = [
        (
            entry['name'],
            str(entry['n']),
            str(entry['n_clusters']),
            *(_percent(entry['right'][name][0], 0) for name in names),
        )
        for entry in results['by'].get('subclass', ())
    ]
    return ('what it is', 'candidates', 'clusters', *(f'{name} [%]' for name in names)), rows


def _effort(results):
    effort = results['effort']
    heads = ('curve', 'a run [s of a core]', 'one candidate [ms]', '100 000 candidates')
    expert = effort['expert_seconds']
    rows = [
        (
            f'an expert ({expert:g} s a candidate, assumed)',
            '-',
            f'{1000 * expert:.0f}',
            f'{expert * 1e5 / 3600:.0f} h',
        )
    ]
    for curve in results['curves']:
        if curve['main']:
            seconds = effort['machine_seconds'][curve['name']]
            rows.append(
                (
                    curve['name'],
                    f'{effort["processor_seconds"][curve["name"]]:.0f}',
                    f'{1000 * seconds:.1f}',
                    f'{seconds * 1e5 / 3600:.2f} h',
                )
            )
    return heads, rows


TABLES = {
    'accuracy': ('Accuracy', _accuracy),
    'people': ('Experts and volunteers on the spectroscopic sample', _people),
    'comparisons': ('Paired comparisons: McNemar, exact', _comparisons),
    'bands': ('X-rays only, optical only, both', _bands),
    'subclasses': ('Right answers by what the candidate is', _subclasses),
    'effort': ('Time', _effort),
}
"""
Title and maker of each table, by name; a maker takes the results.
"""


def describe_sample(results):
    """
    Say what was learnt from and tested on.

    Parameters
    ----------
    results : dict
        Of `~clustercnn.experiments.run_kosiba2020`.

    Returns
    -------
    lines : list of str
        A sentence each.
    """
    sample = results['sample']
    if results['kind'] == 'real':
        return [
            f'Published image set: {part["n"]} pictures to {verb} '
            f'({", ".join(f"{n} {name}" for name, n in part["classes"].items())}).'
            for part, verb in (
                (sample['parts']['train'], 'learn from'),
                (sample['parts']['test'], 'test on'),
            )
        ]
    lines = []
    for name, part in sample['sky'].items():
        classes = ', '.join(f'{number} {key}' for key, number in part['classes'].items())
        lines.append(
            f'Simulated sky, {name}: {part["n_fields"]} fields, {part["n_found"]} sources found, '
            f'{part["n_selected"]} selected as extended ({classes}).'
        )
    lines.append(
        f'Labels: {sample["n_expert_labels"]} of two simulated experts (Cohen kappa '
        f'{sample["expert_kappa"]:.2f}), {sample["n_crowd_labels"]} of '
        f'{sample["n_volunteers"]} simulated volunteers ({sample["n_votes"]} votes), '
        f'{sample["n_both"]} of both; the {results["tests"]["spectroscopic"]["n"]} of the '
        'spectroscopic sample are tested on and not learnt from.'
    )
    asked = sample['spectroscopic']
    lines.append(
        f'The spectroscopic sample holds only what experts and volunteers both answered: of '
        f'{asked["n_asked"]} that they were asked about, {asked["n_dropped"]} were dropped, '
        f'{asked["n_without_experts"]} without an answer of the experts and '
        f'{asked["n_without_volunteers"]} without one of the volunteers.'
    )
    for name, part in sample['training'].items():
        lines.append(
            f'{name}: {part["n"]} to learn from, {part["clusters"]} clusters; the label says '
            f'rightly whether it is a cluster for {_percent(part["right_side"])} %, the right '
            f'class for {_percent(part["right_class"])} %; {part["n_ties"]} have two likeliest '
            'classes.'
        )
    return lines


def headline(results):
    """
    Say the main results in a few lines.

    Parameters
    ----------
    results : dict
        Of `~clustercnn.experiments.run_kosiba2020`.

    Returns
    -------
    lines : list of str
        A line a curve and test sample, and the first comparison on each.
    """
    lines = []
    for key, test in results['tests'].items():
        lines.append(f'{results["kind"]} {key} sample of {test["n"]}:')
        for curve in results['curves']:
            if curve['main']:
                accuracy = curve['tests'][key]['accuracy']
                low, high = accuracy['wilson']
                deviation = accuracy['deviation']
                spread = '' if deviation is None else f' +- {100 * deviation:.1f} over runs'
                lines.append(
                    f'  {curve["name"]:<12} accuracy {100 * accuracy["mean"]:5.1f} %{spread}, '
                    f'sampling {100 * low:.1f} to {100 * high:.1f}'
                )
        first = next((c for c in results['comparisons'] if c['test'] == key), None)
        together = None if first is None else first['mean_of_runs']
        if together is not None and together['ratio'] is not None:
            lines.append(
                f'  {first["one"]} makes {together["ratio"]:.2f} times the errors of '
                f'{first["other"]}, both by the mean scores of their runs, McNemar p = '
                f'{_p_value(together["p"])}'
            )
    return lines
