# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn labels``.
"""

import csv
import shlex

from clustercnn.cli._common import (
    UsageError,
    add_common_arguments,
    check_catalogue_name,
    looked_for,
    quiet_of,
    tell,
)

__all__ = ['add_parser']

_METHODS = ('dawid-skene', 'one-coin', 'difficulty', 'majority')


def add_parser(commands):
    """
    Add the command to the parser.

    Parameters
    ----------
    commands : object
        What ``add_subparsers`` returned.
    """
    parser = commands.add_parser(
        'labels',
        help='labels of what people said',
        description='Make labels of the votes of experts and volunteers, and say how far these '
        'agree.',
    )
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', required=True)
    _add_read(verbs)
    _add_consensus(verbs)
    _add_agreement(verbs)
    _add_export(verbs)


def _add_read(verbs):
    parser = verbs.add_parser(
        'read',
        help='labels of a Zooniverse export',
        description='Read a Panoptes classification export, bring its votes together and write '
        'one label an item.',
    )
    parser.add_argument('export', metavar='EXPORT', help='classification export, CSV')
    parser.add_argument('--task', metavar='T', help='the task, such as T0, if there are several')
    parser.add_argument('--workflow', metavar='ID', help='number of the workflow')
    parser.add_argument(
        '--workflow-version', metavar='V', help='version, such as 44.19, or 44 for all of 44'
    )
    parser.add_argument(
        '--same-question',
        action='store_true',
        help='take questions whose wording differs between versions for the same',
    )
    parser.add_argument(
        '--answer',
        action='append',
        metavar='TEXT=CLASS',
        help='class of the answers that begin with a text, or unknown; repeatable',
    )
    parser.add_argument(
        '--item', metavar='KEY', help="key of the subjects' metadata that names the candidate"
    )
    parser.add_argument(
        '--hash-names', action='store_true', help='replace names of volunteers by their hash'
    )
    parser.add_argument('--votes', metavar='VOTES', help='also write the votes: ECSV, CSV, FITS')
    _add_rest(parser)
    parser.set_defaults(execute=_read)


def _add_columns(parser):
    parser.add_argument(
        'votes', metavar='VOTES', help='one vote or one item a row: CSV, ECSV, FITS, VOTable'
    )
    for name in ('item', 'annotator', 'label'):
        parser.add_argument(
            f'--{name}', default=name, metavar='C', help='its column; default: %(default)s'
        )
    parser.add_argument(
        '--time',
        metavar='C',
        help='the column with the time of each vote, for people who voted more than once on an '
        'item; default: created_at, if there is one, else the last row counts',
    )
    parser.add_argument(
        '--annotator-columns',
        nargs='+',
        metavar='C',
        help='for a table with one item a row: the columns with what each annotator said, in '
        'place of --annotator and --label',
    )


def _columns_of(options):
    if options.annotator_columns and (options.annotator, options.label) != ('annotator', 'label'):
        msg = 'give --annotator-columns, or --annotator and --label, not both'
        raise UsageError(msg)
    if options.annotator_columns and options.time:
        msg = 'give --annotator-columns, or --time, not both: in such a table nobody votes twice'
        raise UsageError(msg)
    names = ('item', 'annotator', 'label', 'time', 'annotator_columns')
    return {name: getattr(options, name) for name in names}


def _columns_again(options):
    """
    Return the options that name columns and classes as they were given, for the next command.
    """
    said = []
    for name in ('item', 'annotator', 'label', 'time', 'classes'):
        if getattr(options, name) not in (name, None):
            said += [f'--{name}', getattr(options, name)]
    if options.annotator_columns:
        said += ['--annotator-columns', *options.annotator_columns]
    return ''.join(f' {shlex.quote(part)}' for part in said)


def _add_classes(parser):
    parser.add_argument(
        '--classes',
        metavar='A,B,...',
        help='the classes in their order, separated by commas, with quotes round names that hold '
        'commas',
    )


def _add_rest(parser):
    parser.add_argument(
        '--method', choices=_METHODS, default=_METHODS[0], help='default: %(default)s'
    )
    _add_classes(parser)
    parser.add_argument(
        '--positive',
        action='append',
        metavar='CLASS',
        help='the class that is looked for, repeatable; default: cluster, or what the names tell, '
        'such as Yes rather than No',
    )
    parser.add_argument(
        '--candidates',
        metavar='F',
        help='catalogue or cutouts: votes on anything else are left out and counted',
    )
    parser.add_argument('-o', '--output', required=True, metavar='L.ecsv', help='labels to write')
    add_common_arguments(parser, seed=False)


def _add_consensus(verbs):
    parser = verbs.add_parser(
        'consensus',
        help='labels of a table of votes',
        description='Bring the votes of a table together and write one label an item.',
    )
    _add_columns(parser)
    _add_rest(parser)
    parser.set_defaults(execute=_consensus)


def _add_agreement(verbs):
    parser = verbs.add_parser(
        'agreement',
        help='how far people agree',
        description='Say how far those who voted agree beyond chance.',
    )
    _add_columns(parser)
    _add_classes(parser)
    add_common_arguments(parser, overwrite=False)
    parser.set_defaults(execute=_agreement)


def _add_export(verbs):
    parser = verbs.add_parser(
        'export',
        help='a subject set for Zooniverse',
        description='Write a picture of each cutout and a manifest, ready to be uploaded to a '
        'Zooniverse project.',
    )
    parser.add_argument('cutouts', metavar='CUTOUTS', help='cutouts, HDF5')
    parser.add_argument('-o', '--output', required=True, metavar='FOLDER', help='folder to fill')
    add_common_arguments(parser, seed=False)
    parser.set_defaults(execute=_export)


def _answers(options):
    """
    Return the class of each answer, None if none was given.
    """
    if not options.answer:
        return None
    classes, said = {}, {}
    for text in options.answer:
        answer, separator, name = text.rpartition('=')
        if not separator or not answer.strip() or not name.strip():
            msg = f"--answer {text}: expected TEXT=CLASS, such as 'Yes=cluster'"
            raise UsageError(msg)
        answer, name = answer.strip(), name.strip()
        lowered = ' '.join(answer.lower().split())
        if said.setdefault(lowered, name) != name:
            msg = (
                f"--answer {text}: that answer is '{said[lowered]}' already; name one class for it"
            )
            raise UsageError(msg)
        classes[answer] = name
    return classes


def _candidates(options):
    """
    Return the file of candidates, None if none was given.
    """
    path = options.candidates
    if path is not None and not path.lower().endswith(('.h5', '.hdf5')):
        check_catalogue_name(path)
    return path


def _schema(options):
    if options.classes is None:
        return None
    from clustercnn.core import LabelSchema

    try:
        # names with commas stand in quotes, as in tables
        names = next(csv.reader([options.classes], skipinitialspace=True, strict=True))
        return LabelSchema(tuple(name.strip() for name in names))
    except (ValueError, csv.Error) as error:
        msg = f'--classes {options.classes}: {error}'
        raise UsageError(msg) from error


def _tell_labels(options, labels, source):
    dropped = [f'     {n} left out: {reason}' for reason, n in labels.meta['dropped'].items() if n]
    counts = ', '.join(f'{n} {name}' for name, n in labels.counts().items() if n)
    dropped += _by_row(labels.meta['repeated'])
    if labels.meta.get('n_candidates_without_votes'):
        dropped.append(f'     {labels.meta["n_candidates_without_votes"]} candidates have no vote')
    tell(
        options,
        f'in:  {source}',
        *dropped,
        f'out: {len(labels)} labels in {options.output}: {counts}',
        f'     from {labels.meta["n_votes"]} votes of {labels.meta["n_annotators"]} people, '
        f'{options.method}',
        *looked_for(labels.schema, options.positive),
        *([] if labels.meta.get('converged', True) else ['     not settled after all iterations']),
        f'next: clustercnn train CUTOUTS {options.output} -o model.safetensors',
    )


def _by_row(repeated):
    """
    Return the line that says where rows had to decide which of several votes was the last.
    """
    if not repeated['by row']:
        return []
    n_times = f' ({repeated["by time"]} times the time decided)' if repeated['by time'] else ''
    return [
        f'     {repeated["by row"]} times the last row of somebody with several votes on an item '
        f'counts, since times are equal, missing or not understood{n_times}'
    ]


def _read(options):
    from clustercnn.pipeline import label_export

    labels = label_export(
        options.export,
        workflow_id=options.workflow,
        workflow_version=options.workflow_version,
        task=options.task,
        item=options.item,
        hash_names=options.hash_names,
        classes=_answers(options),
        same_question=options.same_question,
        schema=_schema(options),
        positive=options.positive,
        candidates=_candidates(options),
        method=options.method,
        votes_output=options.votes,
        output=options.output,
        overwrite=options.overwrite,
        quiet=quiet_of(options),
    )
    _tell_labels(options, labels, f'{labels.meta["n_rows"]} classifications in {options.export}')


def _consensus(options):
    from clustercnn.pipeline import label_votes

    labels = label_votes(
        options.votes,
        **_columns_of(options),
        method=options.method,
        schema=_schema(options),
        positive=options.positive,
        candidates=_candidates(options),
        output=options.output,
        overwrite=options.overwrite,
    )
    n_rows = labels.meta['n_votes'] + sum(labels.meta['dropped'].values())
    _tell_labels(options, labels, f'{n_rows} votes in {options.votes}')


def _agreement(options):
    from clustercnn.pipeline import measure_agreement

    found = measure_agreement(
        options.votes, **_columns_of(options), schema=_schema(options), seed=options.seed or 0
    )
    dropped = [f'     {n} left out: {reason}' for reason, n in found['dropped'].items() if n]
    dropped += _by_row(found['repeated'])
    tell(
        options,
        f'in:  {found["n_votes"] + sum(found["dropped"].values())} votes of '
        f'{found["n_annotators"]} people on {found["n_items"]} items in {options.votes}',
        *dropped,
        *_in_words(found),
        f'next: clustercnn labels consensus {shlex.quote(options.votes)}{_columns_again(options)} '
        f'-o labels.ecsv',
    )


def _in_words(found):
    """
    Return the lines that say what was found; a number that is not known is not printed.
    """
    if not found['unanimous'] >= 0:
        return ['out: no item has two votes, so there is nothing to compare']
    lines = [f'out: all agree on {found["unanimous"]:.1%} of the items with two votes or more']
    for name, words in (
        ('krippendorff_alpha', "Krippendorff's alpha"),
        ('fleiss_kappa', "Fleiss' kappa"),
    ):
        if found[name] > -2:
            lines.append(f'     {words} {found[name]:.3f}{_range_of(found, f"{name}_interval")}')
    if found['n_pairs'] == 1:
        interval = _range_of(found, 'cohen_kappa_interval')
        lines.append(f"     Cohen's kappa {found['cohen_kappa']:.3f}{interval}")
    elif found['n_pairs']:
        low, high = found['cohen_kappa_range']
        lines.append(
            f"     Cohen's kappa {found['cohen_kappa']:.3f}, the mean of {found['n_pairs']} pairs "
            f'with five items or more in common, {low:.3f} to {high:.3f}'
        )
    if found['n_compared'] < found['n_annotators']:
        lines.append(f'     in pairs only the {found["n_compared"]} with most votes were compared')
    return lines


def _range_of(found, name):
    low, high = found[name]
    return f' [{low:.3f}, {high:.3f}]' if low <= high else ''


def _export(options):
    from clustercnn.pipeline import export_subjects

    names = export_subjects(
        options.cutouts, options.output, overwrite=options.overwrite, quiet=quiet_of(options)
    )
    tell(
        options,
        f'in:  {len(names) - 1} cutouts in {options.cutouts}',
        f'out: {len(names) - 1} pictures and {names[-1]} in {options.output}; none was left out',
        'next: upload the folder as a subject set; later, clustercnn labels read EXPORT '
        '--item candidate -o labels.ecsv',
    )
