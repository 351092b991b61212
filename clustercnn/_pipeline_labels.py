# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The verbs that make labels of what people said, part of `clustercnn.pipeline`.
"""

from pathlib import Path

import numpy as np
from astropy.table import Table

from clustercnn import labels as people
from clustercnn._utils.files import atomic_path, check_output
from clustercnn.core import UNKNOWN_NAME, CandidateCatalog, CutoutStack, LabelSet
from clustercnn.core.connect import guess_format
from clustercnn.exceptions import TableReadError
from clustercnn.io.tables import read_table, write_table
from clustercnn.io.zooniverse import read_votes
from clustercnn.labels._columns import says_nothing
from clustercnn.labels.consensus import ROW_NUMBERS
from clustercnn.report import write_subjects

__all__ = ['export_subjects', 'label_export', 'label_votes', 'measure_agreement']

_TABLES = {'.ecsv': 'ecsv', '.csv': 'csv', '.fits': 'fits', '.fit': 'fits', '.vot': 'votable'}


def export_subjects(cutouts, folder, *, overwrite=False, quiet=None):
    """
    Write cutouts as a subject set for a Zooniverse project.

    Parameters
    ----------
    cutouts : str, path-like or CutoutStack
        The cutouts.
    folder : str or path-like
        Folder for the pictures and the manifest.
    overwrite : bool, optional
        Whether existing files may be replaced.
    quiet : bool, optional
        Whether to hide the progress bar.

    Returns
    -------
    names : list of str
        Names of the files, the manifest last; see `~clustercnn.report.write_subjects`.

    Examples
    --------
    >>> import tempfile
    >>> from clustercnn.pipeline import export_subjects
    >>> from clustercnn.testing import tiny_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = export_subjects(tiny_stack(1), folder, quiet=True)
    >>> names[-1]
    'manifest.csv'
    """
    stack = cutouts if isinstance(cutouts, CutoutStack) else CutoutStack.read(cutouts)
    return write_subjects(stack, folder, overwrite=overwrite, quiet=quiet)


def label_export(
    export,
    *,
    classes=None,
    method='dawid-skene',
    schema=None,
    positive=None,
    votes_output=None,
    same_question=False,
    candidates=None,
    output=None,
    overwrite=False,
    quiet=None,
    **options,
):
    """
    Make labels of a Zooniverse classification export.

    Parameters
    ----------
    export : str or path-like
        Panoptes classification export.
    classes : dict of str to str, optional
        Class of each answer; see `~clustercnn.io.name_classes`.
    method : {'dawid-skene', 'one-coin', 'difficulty', 'majority', 'weighted'}, optional
        See `~clustercnn.labels.consensus`.
    schema : LabelSchema or iterable of str, optional
        The classes.
    positive : str or iterable of str, optional
        The classes that count as a find; by default those of the schema, see `LabelSchema`.
    votes_output : str or path-like, optional
        File for the votes, one a row: ECSV, CSV or FITS.
    same_question : bool, optional
        Take questions whose wording differs between versions for the same.
    candidates : str, path-like, or iterable of str, optional
        A catalogue of candidates, their cutouts (HDF5), or their identifiers: votes on anything
        else are left out and counted.
    output : str or path-like, optional
        File for the labels, ECSV or FITS.
    overwrite : bool, optional
        Whether existing files may be replaced.
    quiet : bool, optional
        Whether to hide the progress bar.
    **options
        Of `~clustercnn.io.read_classifications`.

    Returns
    -------
    labels : LabelSet
        One label an item. The metadata say what was left out.

    Raises
    ------
    TableReadError
        If the file is no such export or holds no vote.
    ValueError
        If there are several questions, or an answer has no class.

    Examples
    --------
    >>> import csv, tempfile
    >>> from pathlib import Path
    >>> from clustercnn.pipeline import label_export
    >>> header = ['classification_id', 'user_name', 'workflow_id', 'annotations', 'subject_ids']
    >>> answer = '[{"task": "T0", "value": "Yes"}]'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'export.csv'
    ...     with path.open('w', newline='') as stream:
    ...         csv.writer(stream).writerows([header, [1, 'ann', 7, answer, 42]])
    ...     labels = label_export(path, classes={'yes': 'cluster'})
    >>> labels.ids, labels.names()
    (('42',), ['cluster'])
    """
    _check_outputs((export, candidates), output, votes_output, overwrite=overwrite)
    _check_classes(classes, schema)
    if schema is not None and not hasattr(schema, 'classes'):
        schema = tuple(schema)
    votes = read_votes(export, classes=classes, same_question=same_question, quiet=quiet, **options)
    try:
        known, facts = _of_candidates(votes, candidates)
        # on candidates, since what was said of anything else is left out
        _check_answers(known, schema)
        slim = known['item', 'label']
        slim['annotator'] = _as_numbers(known['annotator'])
        if any(known['created_at']):
            slim['created_at'] = known['created_at']
        labels = people.consensus(slim, method=method, schema=schema, positive=positive)
    except ValueError as error:
        raise TableReadError(export, str(error)) from error
    dropped = votes.meta['dropped'] | facts.pop('dropped') | labels.meta['dropped']
    facts |= {key: votes.meta[key] for key in ('path', 'n_rows', 'n_answers')}
    labels = labels.replace(meta={**labels.meta, **facts, 'dropped': dropped})
    if votes_output is not None:
        _write_votes(votes, votes_output, overwrite=overwrite)
    if output is not None:
        labels.write(output, overwrite=overwrite)
    return labels


def label_votes(
    votes,
    *,
    item='item',
    annotator='annotator',
    label='label',
    time=None,
    annotator_columns=None,
    method='dawid-skene',
    schema=None,
    positive=None,
    candidates=None,
    output=None,
    overwrite=False,
):
    """
    Make labels of a table of votes.

    Parameters
    ----------
    votes : str, path-like or `~astropy.table.Table`
        One vote a row, or one item a row: CSV, ECSV, FITS or VOTable.
    item, annotator, label : str, optional
        Names of its columns.
    time : str, optional
        Name of the column with the time of each vote, by default ``'created_at'`` if there is
        one; see `~clustercnn.labels.consensus`.
    annotator_columns : iterable of str, optional
        For a table with one item a row: the columns with what each annotator said; see
        `~clustercnn.labels.votes_from_columns`.
    method : {'dawid-skene', 'one-coin', 'difficulty', 'majority', 'weighted'}, optional
        See `~clustercnn.labels.consensus`.
    schema : LabelSchema or iterable of str, optional
        The classes.
    positive : str or iterable of str, optional
        The classes that count as a find; by default those of the schema, see `LabelSchema`.
    candidates : str, path-like, or iterable of str, optional
        A catalogue of candidates, their cutouts (HDF5), or their identifiers: votes on anything
        else are left out and counted.
    output : str or path-like, optional
        File for the labels, ECSV or FITS.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Returns
    -------
    labels : LabelSet
        One label an item. The metadata say what was left out.

    Raises
    ------
    TableReadError
        If the file cannot be read, lacks a column, or a vote is for no class.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from clustercnn.pipeline import label_votes
    >>> votes = Table({'item': ['a', 'a'], 'annotator': [1, 2], 'label': ['point', 'point']})
    >>> label_votes(votes).names()
    ['point']
    """
    _check_outputs((votes, candidates), output, overwrite=overwrite)

    def make(table):
        table, columns = _one_a_row(
            table, annotator_columns, schema, time, item=item, annotator=annotator, label=label
        )
        known, facts = _of_candidates(table, candidates, column=columns['item'])
        labels = people.consensus(known, **columns, method=method, schema=schema, positive=positive)
        dropped = facts.pop('dropped') | labels.meta['dropped']
        return labels.replace(meta={**labels.meta, **facts, 'dropped': dropped})

    labels = _of_votes(votes, make)
    if output is not None:
        labels.write(output, overwrite=overwrite)
    return labels


def measure_agreement(
    votes,
    *,
    item='item',
    annotator='annotator',
    label='label',
    time=None,
    annotator_columns=None,
    schema=None,
    seed=0,
):
    """
    Say how far those who voted agree.

    Parameters
    ----------
    votes : str, path-like or `~astropy.table.Table`
        One vote a row, or one item a row: CSV, ECSV, FITS or VOTable.
    item, annotator, label : str, optional
        Names of its columns.
    time : str, optional
        Name of the column with the time of each vote; as for `label_votes`.
    annotator_columns : iterable of str, optional
        As for `label_votes`.
    schema : LabelSchema or iterable of str, optional
        The classes; a vote for another one is an error. By default what was voted for.
    seed : int, optional
        Seed of the intervals.

    Returns
    -------
    agreement : dict
        ``n_items``, ``n_annotators``, ``n_votes``, ``dropped``, ``repeated``; ``unanimous``, the
        share of the items with two votes or more on which all agree; ``krippendorff_alpha`` and
        ``fleiss_kappa`` of everybody; ``cohen_kappa``, the mean over the ``n_pairs`` pairs of
        people with five items or more in common, and its ``cohen_kappa_range``, lowest and
        highest. Of a crowd only the ``n_compared`` people with most votes are
        compared in pairs. Each measure has its 95 % interval over items, such as
        ``fleiss_kappa_interval``, Cohen's if there is one pair. NaN where there is nothing to
        compare.

    Raises
    ------
    TableReadError
        If the file cannot be read, lacks a column, or a vote is for no class.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from clustercnn.pipeline import measure_agreement
    >>> votes = Table({'item': ['a', 'a', 'b'], 'annotator': [1, 2, 1],
    ...                'label': ['point', 'point', 'cluster']})
    >>> measure_agreement(votes)['unanimous']
    1.0
    """

    def measure(table):
        table, columns = _one_a_row(
            table, annotator_columns, schema, time, item=item, annotator=annotator, label=label
        )
        labels = people.consensus(table, **columns, method='majority', schema=schema)
        counted = labels.votes[labels.votes.sum(axis=1) >= 2]
        unanimous = (counted.max(axis=1) == counted.sum(axis=1)).mean() if len(counted) else np.nan
        pairs = people.pairwise_agreement(table, **columns, seed=seed)
        n_compared = pairs.meta['n_compared']
        pairs = pairs[np.isfinite(pairs['kappa'])]
        found = {
            'n_items': len(labels),
            'n_annotators': labels.meta['n_annotators'],
            'n_votes': labels.meta['n_votes'],
            'dropped': dict(labels.meta['dropped']),
            'repeated': dict(labels.meta['repeated']),
            'unanimous': float(unanimous),
            'krippendorff_alpha': people.krippendorff_alpha(labels.votes),
            'fleiss_kappa': people.fleiss_kappa(labels.votes),
            'n_compared': n_compared,
            'n_pairs': len(pairs),
            'cohen_kappa': float(pairs['kappa'].mean()) if len(pairs) else float('nan'),
            'cohen_kappa_interval': (float('nan'),) * 2,
            'cohen_kappa_range': (float('nan'),) * 2,
        }
        for name, statistic in (('krippendorff_alpha', 'krippendorff'), ('fleiss_kappa', 'fleiss')):
            found[f'{name}_interval'] = people.agreement_interval(
                labels.votes, statistic=statistic, seed=seed
            )
        if len(pairs):
            found['cohen_kappa_range'] = float(pairs['kappa'].min()), float(pairs['kappa'].max())
        if len(pairs) == 1:
            found['cohen_kappa_interval'] = float(pairs['low'][0]), float(pairs['high'][0])
        return found

    return _of_votes(votes, measure)


def _one_a_row(table, annotator_columns, schema, time, **columns):
    """
    Return a table with one vote a row, and the names of its columns.
    """
    if annotator_columns is None:
        return table, {**columns, 'time': time}
    if time is not None:
        msg = (
            f"'time' ('{time}') is for tables with one vote a row: where each annotator has a "
            f'column there is one vote on an item; leave it out'
        )
        raise ValueError(msg)
    classes = getattr(schema, 'classes', schema)
    votes = people.votes_from_columns(
        table, annotator_columns, item=columns['item'], classes=classes
    )
    return votes, {name: name for name in columns}


def _of_candidates(votes, candidates, *, column='item'):
    """
    Return the votes on known candidates, and what is to be told of the others.
    """
    if candidates is None:
        return votes, {'dropped': {}}
    ids = set(_ids_of(candidates) if _is_path(candidates) else map(str, candidates))
    if column not in votes.colnames:
        msg = f"the votes lack the column '{column}'; there are {votes.colnames}"
        raise KeyError(msg)
    items = [str(name).strip() for name in votes[column]]
    known = np.array([name in ids for name in items], bool)
    facts = {'n_candidates_without_votes': len(ids - set(items)), 'dropped': {}}
    if not known.all():
        place = votes.meta.get(ROW_NUMBERS, range(1, len(votes) + 1))
        row = int(np.flatnonzero(~known)[0])
        first = f"the first '{items[row]}' in row {place[row]} of the votes"
        if not known.any():
            one = min(ids, default='none')
            msg = (
                f'none of the {len(items)} votes is on a candidate, {first}; candidates are named '
                f"such as '{one}', so name another column or key for the item"
            )
            raise ValueError(msg)
        facts['dropped'] = {f'on what is no candidate, {first}': int((~known).sum())}
    place = votes.meta.get(ROW_NUMBERS, np.arange(1, len(votes) + 1))
    votes = votes[known]
    votes.meta[ROW_NUMBERS] = np.asarray(place)[known]
    return votes, facts


def _as_numbers(names):
    """
    Return a number for each name, which takes less memory where all that counts is who is who.
    """
    # whatever the order of the rows
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([numbers[name] for name in names], np.int64)


def _ids_of(path):
    name = Path(path).name.lower()
    kind = CutoutStack if name.endswith(('.h5', '.hdf5')) else CandidateCatalog
    return kind.read(path).ids


def _of_votes(votes, function):
    """
    Call a function with a table of votes, and name the file in its errors.
    """
    if isinstance(votes, Table):
        return function(votes)
    path = Path(votes)
    kind = next((kind for end, kind in _TABLES.items() if path.name.lower().endswith(end)), None)
    if kind is None:
        raise TableReadError(path, f'is none of the kinds of table {", ".join(_TABLES)}')
    table = read_table(path, kind)
    try:
        return function(table)
    except (KeyError, ValueError) as error:
        reason = str(error.args[0]) if error.args else type(error).__name__
        raise TableReadError(path, reason) from error


def _check_classes(classes, schema):
    """
    Refuse classes of answers that the schema lacks before the export is read.
    """
    if classes is None or schema is None:
        return
    allowed = {*getattr(schema, 'classes', schema), UNKNOWN_NAME}
    wrong = [f"'{answer}' is '{name}'" for answer, name in classes.items() if name not in allowed]
    if wrong:
        msg = (
            f'answers have classes that the schema lacks: {", ".join(wrong)}; the classes are '
            f'{", ".join(sorted(allowed))}'
        )
        raise ValueError(msg)


def _check_answers(votes, schema):
    """
    Refuse answers that are no class of the schema, of which the rows of the export tell nothing.
    """
    if schema is None:
        return
    classes = [str(name) for name in getattr(schema, 'classes', schema)]
    answers, number = np.unique(np.asarray(votes['label']).astype(str), return_counts=True)
    wrong = ~np.isin(answers, classes) & ~says_nothing(answers)
    if wrong.any():
        listing = ', '.join(
            f"'{answer}' ({n})" for answer, n in zip(answers[wrong], number[wrong], strict=True)
        )
        first = np.flatnonzero(np.isin(np.asarray(votes['label']), answers[wrong]))[0]
        msg = (
            f'{number[wrong].sum()} votes have answers that are no classes: {listing[:300]}, the '
            f'first in classification {votes["classification_id"][first]}; name the class of each '
            f'(--answer), or them as classes beside {", ".join(classes)}'
        )
        raise ValueError(msg)


def _check_outputs(sources, output, votes_output=None, *, overwrite):
    """
    Refuse names of files before the work begins.
    """
    files = [Path(one).resolve() for one in (*sources, output, votes_output) if _is_path(one)]
    if len(set(files)) < len(files):
        double = next(one for one in files if files.count(one) > 1)
        msg = f'{double}: is named for more than one of votes, labels and what is read'
        raise ValueError(msg)
    if output is not None:
        guess_format(LabelSet, output)
        check_output(output, overwrite=overwrite)
    if votes_output is not None:
        if Path(votes_output).suffix.lower() not in ('.ecsv', '.csv', '.fits'):
            msg = f'{votes_output}: votes are written as .ecsv, .csv or .fits'
            raise ValueError(msg)
        check_output(votes_output, overwrite=overwrite)


def _is_path(thing):
    return isinstance(thing, str | Path)


def _write_votes(votes, path, *, overwrite):
    kind = _TABLES[Path(path).suffix.lower()]
    if kind == 'csv':
        with atomic_path(path, overwrite=overwrite) as temporary:
            votes.write(temporary, format='ascii.csv', overwrite=True)
        return
    table = votes.copy()
    # what became of the rows is told with the labels
    table.meta = {'n_rows': votes.meta['n_rows'], 'n_answers': votes.meta['n_answers']}
    write_table(table, path, kind, overwrite=overwrite)
