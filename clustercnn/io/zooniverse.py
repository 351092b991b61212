# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Votes and subjects of Zooniverse projects, as Panoptes exports them.
"""

import json
import warnings

import numpy as np
from astropy.table import Table

from clustercnn._utils.times import order_in_time
from clustercnn.core import UNKNOWN_NAME, LabelSchema, LabelSet
from clustercnn.exceptions import DataQualityWarning, TableReadError
from clustercnn.io._classifications import (
    answers_of,
    beside_a_class,
    contradicts_itself,
    name_of,
    plain_text,
    writable_text,
)
from clustercnn.io._panoptes import Rows, Votes, is_number

__all__ = ['name_classes', 'read_classifications', 'read_label_set', 'read_subjects', 'read_votes']

# every export of classifications has these; a few others are used where they are there
_NEEDED = ('classification_id', 'user_name', 'workflow_id', 'annotations', 'subject_ids')
_SUBJECT_NEEDED = ('subject_id', 'metadata')


def read_classifications(
    path,
    *,
    workflow_id=None,
    workflow_version=None,
    task=None,
    item=None,
    hash_names=False,
    quiet=True,
):
    """
    Read the votes of a Panoptes classification export, one answer a row.

    The file is read row by row, so that its size is no matter. Addresses of users are not
    kept.

    Parameters
    ----------
    path : str or path-like
        CSV file, which may be compressed with gzip or bzip2.
    workflow_id : int, optional
        Only votes of this workflow.
    workflow_version : str, optional
        Only votes of this version, such as ``'44.19'``, or of all versions that begin with
        it, such as ``'44'``.
    task : str, optional
        Only answers to this task, such as ``'T0'``.
    item : str, optional
        Key of the subjects' metadata that names the item; by default the number of the
        subject does. The signs ``#``, ``!`` and ``/`` that hide a key from volunteers may be
        left out.
    hash_names : bool, optional
        Replace the names of users by the beginning of their SHA-256.
    quiet : bool or None, optional
        Whether to hide the progress bar; None lets the terminal decide.

    Returns
    -------
    votes : `~astropy.table.Table`
        Columns ``classification_id``, ``item``, ``annotator``, ``workflow_id``,
        ``workflow_version``, ``task``, ``label``, ``created_at`` (text), ``gold`` (1 where the
        row is marked as gold standard) and ``expert``. Ready for
        `~clustercnn.labels.consensus`. The metadata hold ``n_rows``, ``dropped`` with reasons
        and counts, ``n_recoded``, lines that were not all in UTF-8, and ``questions``:
        texts and numbers of answers by task. Texts have fixed width, as is usual, but for
        columns that would take more than 32 MB; those hold Python's strings.

    Raises
    ------
    TableReadError
        If the file is no such export; names the missing columns.

    Warns
    -----
    DataQualityWarning
        If rows could not be read; says how many, which was the first, and why. If a name of an
        item stands for more than one subject, whose votes are then counted together.

    Notes
    -----
    Answers are the texts that volunteers saw. A task in which several answers may be chosen
    gives as many rows; a survey gives one a choice; a combined task gives those of its parts, and
    a menu those of its lists, whose tasks are called after them: ``T0.Colour``.
    Drawings, empty values and sliders that were not moved are no answers, and are counted.

    Examples
    --------
    >>> import csv, tempfile
    >>> from pathlib import Path
    >>> from clustercnn.io import read_classifications
    >>> row = {'classification_id': 1, 'user_name': 'ann', 'workflow_id': 7,
    ...        'annotations': '[{"task": "T0", "task_label": "What is it?", "value": "A star"}]',
    ...        'subject_ids': 42}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'export.csv'
    ...     with path.open('w', newline='') as stream:
    ...         csv.writer(stream).writerows([row.keys(), row.values()])
    ...     votes = read_classifications(path)
    >>> votes['item'].tolist(), votes['annotator'].tolist(), votes['label'].tolist()
    (['42'], ['ann'], ['A star'])
    """
    votes, subjects = Votes(hash_names=hash_names), {}
    selected = (None if workflow_id is None else str(workflow_id), workflow_version, task)
    with Rows(
        path, _NEEDED, what='classifications', quiet=quiet, is_whole=_names_its_subject
    ) as rows:
        for row in rows:
            _add_row(votes, rows, row, selected, item, subjects)
    _warn_of_several(path, subjects)
    return votes.table(rows)


def _warn_of_several(path, subjects):
    """
    Warn of items that stand for several subjects, as one object uploaded twice rightly does.
    """
    several = {item: numbers for item, numbers in subjects.items() if len(numbers) > 1}
    if several:
        item, numbers = next(iter(several.items()))
        more = f' and {len(numbers) - 5} more' if len(numbers) > 5 else ''
        warnings.warn(
            f'{path}: {len(several)} item(s) stand for more than one subject each, the first '
            f"'{item}' for {', '.join(list(numbers)[:5])}{more}, and their votes are counted "
            'together. Unless one object was uploaded more than once, names must differ: find '
            'candidates with --prefix TEXT, another one for each field, or leave --item away, '
            'which tells subjects apart',
            DataQualityWarning,
            stacklevel=3,
        )


def _add_row(votes, rows, row, selected, item_key, subjects):
    """
    Add the answers of one classification, or count why there are none.
    """
    workflow, version, task = selected
    if workflow is not None and row['workflow_id'] != workflow:
        rows.drop('of other workflows')
        return
    if version is not None and not _is_version(row.get('workflow_version', ''), str(version)):
        rows.drop('of other versions of the workflow')
        return
    annotations = rows.json(row, 'annotations', list)
    if annotations is None:
        return
    item = _item_of(rows, row, item_key)
    if item is None:
        return
    if not row['user_name']:
        rows.drop('without a user')
        return
    answers = list(answers_of(annotations, rows))
    if task is not None:
        # by the task all lists of a menu, by its name one of them
        wanted = [answer for answer in answers if task in (answer[0], name_of(*answer[:2]))]
        rows.drop_answers('to other tasks', len(answers) - len(wanted))
        answers = wanted
    if not answers:
        rows.drop('without an answer' if task is None else f'without an answer to {task}')
        return
    for name, part, question, label in answers:
        votes.add(row, item, name_of(name, part), question, label)
    if item_key is not None:
        subjects.setdefault(item, {})[row['subject_ids']] = None


def _names_its_subject(row):
    """
    Return whether the subject, in the last cell of a row, is that of the cell before.
    """
    try:
        data = json.loads(row.get('subject_data') or 'null')
    except (ValueError, RecursionError):
        return False
    subjects = [part.strip() for part in row['subject_ids'].split(';')]
    return isinstance(data, dict) and set(subjects) == set(data)


def _is_version(version, wanted):
    return version == wanted or version.startswith(f'{wanted}.')


def _item_of(rows, row, key):
    """
    Return what the vote is on, or None if the row says nothing of it.
    """
    subjects = row['subject_ids'].strip()
    if not all(is_number(part.strip()) for part in subjects.split(';')):
        rows.drop('without a subject')
        return None
    if ';' in subjects:
        rows.drop('of several subjects at once')
        return None
    if key is None:
        return subjects
    data = rows.json(row, 'subject_data', dict)
    if data is None:
        return None
    metadata = data.get(subjects, next(iter(data.values()), None) if len(data) == 1 else None)
    value = _find(metadata, key) if isinstance(metadata, dict) else None
    if value is None:
        rows.drop(f"of subjects without '{key}' in their metadata")
        return None
    return value


def _find(metadata, key):
    """
    Return a value of a subject's metadata as text; None if there is none.
    """
    plain = key.lstrip('#!/ ').lower()
    for name in (key, *metadata):
        if name in metadata and (name == key or name.lstrip('#!/ ').lower() == plain):
            value = metadata[name]
            nothing = value is None or isinstance(value, dict | list)
            return (not nothing and writable_text(value).strip()) or None
    return None


def read_subjects(path, *, quiet=True):
    """
    Read a Panoptes subject export.

    Parameters
    ----------
    path : str or path-like
        CSV file, which may be compressed.
    quiet : bool or None, optional
        Whether to hide the progress bar.

    Returns
    -------
    subjects : `~astropy.table.Table`
        One row a subject: ``subject_id`` (text), ``subject_set_id`` (text, several joined by
        a semicolon), ``retired`` (1 or 0), and a column of text for every key of the metadata;
        empty where a subject lacks it. A subject in several workflows or sets has one row.

    Raises
    ------
    TableReadError
        If the file is no such export, or a key of the metadata has the name of a column.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from clustercnn.io import read_subjects
    >>> text = 'subject_id,subject_set_id,metadata,retired_at\\n7,1,"{""#id"": ""A 1835""}",\\n'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'subjects.csv'
    ...     _ = path.write_text(text)
    ...     subjects = read_subjects(path)
    >>> subjects['subject_id'].tolist(), subjects['#id'].tolist(), subjects['retired'].tolist()
    (['7'], ['A 1835'], [0])
    """
    found, keys = {}, {}
    with Rows(path, _SUBJECT_NEEDED, what='subjects', quiet=quiet) as rows:
        for row in rows:
            metadata = rows.json(row, 'metadata', dict)
            if metadata is None:
                continue
            if not row['subject_id'].isdigit():
                rows.drop('without a subject')
                continue
            sets, retired, known = found.setdefault(row['subject_id'], ({}, [], {}))
            sets[row.get('subject_set_id', '')] = None
            retired.append(bool(row.get('retired_at', '')))
            for key, value in metadata.items():
                keys[key] = None
                text = json.dumps(value) if isinstance(value, dict | list) else plain_text(value)
                known.setdefault(key, text)
    clash = {'subject_id', 'subject_set_id', 'retired'} & set(keys)
    table = Table(meta=rows.facts())
    table['subject_id'] = np.array(list(found), dtype=str)
    table['subject_set_id'] = np.array(
        [';'.join(filter(None, sets)) for sets, _, _ in found.values()], dtype=str
    )
    table['retired'] = np.array([any(retired) for _, retired, _ in found.values()], np.int8)
    for key in keys:
        values = [known.get(key, '') for _, _, known in found.values()]
        table[f'metadata {key}' if key in clash else key] = np.array(values, dtype=str)
    return table


def name_classes(votes, classes=None):
    """
    Replace the answers of votes by names of classes.

    Parameters
    ----------
    votes : `~astropy.table.Table`
        From `read_classifications`, of one task.
    classes : dict of str to str, optional
        Class of each answer, ``'unknown'`` for those that say nothing. An answer is found by
        its text, else by whole words at its beginning, whatever the case. By default answers are
        classes.

    Returns
    -------
    votes : `~astropy.table.Table`
        A copy. A classification whose answers name several classes says nothing: its label is
        ``'unknown'``. Answers that say nothing, beside one of the same classification and item
        that names a class, are left out and counted in ``meta['dropped']``.

    Raises
    ------
    ValueError
        If the votes belong to several tasks or questions, or an answer has no class; says
        which there are.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from clustercnn.io import name_classes
    >>> votes = Table({'item': ['a', 'b'], 'workflow_id': ['1', '1'], 'task': ['T0', 'T0'],
    ...                'label': ['Yes, many', 'No']})
    >>> name_classes(votes, {'yes': 'cluster', 'no': 'other'})['label'].tolist()
    ['cluster', 'other']
    """
    _check_one_question(votes)
    answers, place, number = np.unique(
        np.asarray(votes['label']).astype(str), return_inverse=True, return_counts=True
    )
    if classes is None:
        known = {name.lower(): name for name in (*LabelSchema.default().classes, UNKNOWN_NAME)}
        named = [known.get(answer.lower(), answer) for answer in answers]
    else:
        named = [_class_of(answer, classes) for answer in answers]
        nameless = [row for row, name in enumerate(named) if name is None]
        if nameless:
            listing = ', '.join(f"'{answers[row]}' ({number[row]})" for row in nameless[:10])
            msg = (
                f'{number[nameless].sum()} votes have answers without a class: {listing}; name '
                f"the class of each, '{UNKNOWN_NAME}' for answers that say nothing"
            )
            raise ValueError(msg)
    names, code = np.unique(np.array([*named, ''], dtype=str), return_inverse=True)
    labels = names[code[place.reshape(-1)]]
    # columns are shared, since only that of the label is another one
    made = votes.copy(copy_data=False)
    # what says nothing contradicts nothing
    says = labels != UNKNOWN_NAME
    unsure = np.zeros(len(labels), bool)
    unsure[says] = contradicts_itself(labels[says], votes[says])
    made['label'] = np.where(unsure, UNKNOWN_NAME, labels)
    beside = beside_a_class(votes, says)
    if beside.any():
        reason = f'{UNKNOWN_NAME}, beside an answer of the same classification that names a class'
        made = made[~beside]
        made.meta['dropped'] = {**made.meta.get('dropped', {}), reason: int(beside.sum())}
    return made


def _class_of(answer, classes):
    """
    Return the class of an answer, or that of the longest key of whole words it begins with.
    """
    lowered = answer.lower()
    keys = {plain_text(key).lower(): str(name) for key, name in classes.items()}
    if lowered in keys:
        return keys[lowered]
    begun = [
        key
        for key in keys
        if key and lowered.startswith(key) and not (key[-1] + lowered[len(key)]).isalnum()
    ]
    return keys[max(begun, key=len)] if begun else None


def _check_one_question(votes):
    # each column has few different values, whatever the number of votes
    flows, tasks = (
        np.unique(np.asarray(votes[name]).astype(str), return_inverse=True)
        for name in ('workflow_id', 'task')
    )
    cells = np.unique(flows[1] * max(len(tasks[0]), 1) + tasks[1])
    pairs = [
        (str(flows[0][cell // len(tasks[0])]), str(tasks[0][cell % len(tasks[0])]))
        for cell in cells.tolist()
    ]
    questions = votes.meta.get('questions', {})
    if len(pairs) > 1:
        told = [f'{task} of workflow {flow}' for flow, task in pairs]
        texts = [next(iter(questions.get(f'{flow} {task}', {'': 0}))) for flow, task in pairs]
        listing = '; '.join(
            f'{name} ({text})' if text else name for name, text in zip(told, texts, strict=True)
        )
        msg = (
            f'the votes answer {len(pairs)} questions: {listing[:800]}; choose one workflow '
            f"and task, such as '{pairs[0][1]}' (--workflow, --task)"
        )
        raise ValueError(msg)
    for key, texts in questions.items():
        asked = [text for text in texts if text]
        if len(asked) > 1 and pairs and key == ' '.join(pairs[0]):
            listing = '; '.join(f"'{text}' ({texts[text]} answers)" for text in asked[:6])
            msg = (
                f'the question of {key} differs between versions of the workflow: {listing}; '
                f'choose a version'
            )
            raise ValueError(msg)


def read_votes(path, *, classes=None, same_question=False, **options):
    """
    Read the votes of an export with the names of classes for answers.

    Parameters
    ----------
    path : str or path-like
        Panoptes classification export.
    classes : dict of str to str, optional
        Class of each answer; see `name_classes`.
    same_question : bool, optional
        Take questions whose wording differs between versions for the same.
    **options
        Of `read_classifications`.

    Returns
    -------
    votes : `~astropy.table.Table`
        From `name_classes`, at least one.

    Raises
    ------
    TableReadError
        If the file is no such export or holds no vote.
    ValueError
        If there are several questions, or an answer has no class.
    """
    votes = read_classifications(path, **options)
    if not len(votes):
        reasons = '; '.join(f'{n} {reason}' for reason, n in votes.meta['dropped'].items())
        raise TableReadError(path, f'holds no vote: {reasons or "it has no rows"}')
    if same_question:
        votes.meta['questions'] = {}
    return name_classes(votes, classes)


def read_label_set(
    path, *, classes=None, schema=None, positive=None, same_question=False, **options
):
    """
    Read the votes of an export as labels, each class by its share.

    This is what ``LabelSet.read(path, format='zooniverse')`` calls. To weigh the volunteers,
    give the votes of `read_classifications` to `~clustercnn.labels.consensus`.

    Parameters
    ----------
    path : str or path-like
        Panoptes classification export.
    classes : dict of str to str, optional
        Class of each answer; see `name_classes`.
    schema : LabelSchema or iterable of str, optional
        The classes; by default the package's own if all answers fit it, else the answers.
    positive : str or iterable of str, optional
        The classes that count as a find; by default those of the schema.
    same_question : bool, optional
        Take questions whose wording differs between versions for the same.
    **options
        Of `read_classifications`.

    Returns
    -------
    labels : LabelSet
        With the votes counted; of a volunteer who voted more than once on an item the last
        vote counts, by the time of the classification, or by row where one of these times is
        missing, and if that is for no class the volunteer has none on it. Items that got no
        vote for a class are unknown. The metadata say what was left out.

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
    >>> from clustercnn import LabelSet
    >>> header = ['classification_id', 'user_name', 'workflow_id', 'annotations', 'subject_ids']
    >>> answer = '[{"task": "T0", "value": "%s"}]'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'export.csv'
    ...     with path.open('w', newline='') as stream:
    ...         csv.writer(stream).writerows([header, [1, 'ann', 7, answer % 'Yes', 42],
    ...                                       [2, 'bob', 7, answer % 'No', 42]])
    ...     labels = LabelSet.read(path, format='zooniverse',
    ...                            classes={'yes': 'cluster', 'no': 'other'})
    >>> labels.ids, labels.binary().tolist()
    (('42',), [0.5])
    """
    every = read_votes(path, classes=classes, same_question=same_question, **options)
    ids = {name: number for number, name in enumerate(dict.fromkeys(every['item'].tolist()))}
    votes = every[np.asarray(every['label']) != UNKNOWN_NAME]
    schema = _schema_of(schema, votes['label'])
    schema = schema if positive is None else LabelSchema(schema.classes, positive)
    last, with_class = {}, set()
    who = list(zip(every['item'].tolist(), every['annotator'].tolist(), strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(who))}
    order, decided = order_in_time(
        np.array([numbers[pair] for pair in who], np.intp),
        every['created_at'],
        lenient=True,
        said=np.asarray(every['label']),
    )
    for pair, label in zip(who, every['label'][order].tolist(), strict=True):
        last[pair] = label
        if label != UNKNOWN_NAME:
            with_class.add(pair)
    counted = np.zeros((len(ids), schema.n_classes))
    for (item, _), label in last.items():
        if label != UNKNOWN_NAME:
            counted[ids[item], schema.code(label)] += 1
    meta = {key: votes.meta[key] for key in ('path', 'n_rows')} | {'repeated': decided}
    meta['dropped'] = votes.meta['dropped'] | {
        'answers: unknown': len(every) - len(votes),
        'answers: repeated by the same annotator': len(votes) - len(with_class),
        'answers: withdrawn by the same annotator': len(with_class) - int(counted.sum()),
    }
    return LabelSet.from_votes(list(ids), counted, schema=schema, source='crowd', meta=meta)


def _schema_of(schema, labels):
    if isinstance(schema, LabelSchema):
        return schema
    if schema is not None:
        return LabelSchema(tuple(schema))
    default = LabelSchema.default()
    voted = sorted(set(np.asarray(labels).tolist()))
    return default if set(voted) <= set(default.classes) else LabelSchema(tuple(voted))
