# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The answers of a classification, and what they say together.
"""

import numpy as np

__all__ = [
    'answers_of',
    'beside_a_class',
    'contradicts_itself',
    'name_of',
    'plain_text',
    'writable_text',
]

# what is longer has been written, not chosen
_LONGEST_ANSWER = 300


def beside_a_class(votes, says):
    """
    Return which answers say nothing in classifications that say something of the item in another.

    Parameters
    ----------
    votes : `~astropy.table.Table`
        One answer a row.
    says : 1D `~numpy.ndarray` of bool
        Which of them name a class.

    Returns
    -------
    beside : 1D `~numpy.ndarray` of bool
        None of them if the votes do not tell their classifications.
    """
    if 'classification_id' not in votes.colnames:
        return np.zeros(len(votes), bool)
    numbers = np.asarray(votes['classification_id'])
    _, item = np.unique(np.asarray(votes['item']).astype(str), return_inverse=True)
    # of the same item, of which a classification may have several
    pairs = numbers * (item.max(initial=0) + 1) + item
    return ~says & (numbers >= 0) & np.isin(pairs, pairs[says])


def contradicts_itself(labels, votes):
    """
    Return which labels share a classification with another class.

    Parameters
    ----------
    labels : 1D `~numpy.ndarray` of str
        Names of classes.
    votes : `~astropy.table.Table`
        One label a row.

    Returns
    -------
    unsure : 1D `~numpy.ndarray` of bool
        All labels of such a classification.
    """
    if 'classification_id' not in votes.colnames or not len(votes):
        return np.zeros(len(labels), bool)
    numbers = np.asarray(votes['classification_id'])
    order = np.argsort(numbers, kind='stable')
    begin = np.append(True, np.diff(numbers[order]) != 0)
    first = np.maximum.accumulate(np.where(begin, np.arange(len(order)), 0))
    # whoever differs from the first of its classification makes all of these unsure
    differs = labels[order] != labels[order][first]
    unsure = np.unique(numbers[order][differs])
    return np.isin(numbers, unsure[unsure >= 0])


def name_of(task, part):
    """
    Return what a question is called.

    Parameters
    ----------
    task : str
        The task, such as ``'T0'``.
    part : str
        The list of a menu, such as ``'Colour'``; empty for other tasks.

    Returns
    -------
    name : str
        Such as ``'T0.Colour'``.
    """
    return f'{task}.{part}' if part else task


def answers_of(annotations, rows):
    """
    Yield what a list of annotations answers.

    Parameters
    ----------
    annotations : list
        Of a classification, from JSON.
    rows : Rows
        Where what is no answer is counted.

    Yields
    ------
    task, part, question, text : str
        The part is the list of a menu, empty for other tasks.
    """
    for annotation in annotations:
        if not isinstance(annotation, dict):
            rows.drop_answers('annotations that are not understood')
            continue
        task = writable_text(annotation.get('task', ''))
        question = plain_text(annotation.get('task_label'))
        yield from _values(task, question, annotation.get('value'), rows)


def _values(task, question, value, rows):
    values = value if isinstance(value, list) else [value]
    if not values:
        rows.drop_answers('empty')
    # of several even where only the first was answered
    parts = _lists_of_menu(values, numbered=isinstance(value, list))
    for one, part in zip(values, parts, strict=True):
        if isinstance(one, dict):
            text = plain_text(
                one['label'] if isinstance(one.get('label'), str) else one.get('value')
            )
            if 'task' in one and 'value' in one:
                # a task made of several
                yield from answers_of([one], rows)
            elif isinstance(one.get('choice'), str):
                yield task, '', question, plain_text(one['choice'])
            elif 'tool' in one or isinstance(one.get('value'), dict | list) or not _is_menu(one):
                rows.drop_answers('drawings')
            elif text:
                yield task, part, question, text
            else:
                rows.drop_answers('empty')
            continue
        text = '' if one is None or isinstance(one, list) else plain_text(one)
        if len(text) > _LONGEST_ANSWER:
            rows.drop_answers('free text')
        elif text:
            yield task, '', question, text
        else:
            rows.drop_answers('empty')


def _is_menu(one):
    return 'label' in one or 'value' in one


def _lists_of_menu(values, *, numbered):
    """
    Return the name of the list that each value of an annotation was chosen from, empty for none.

    Lists without a name, and further ones of the same, are told by their number.
    """
    parts = []
    for number, one in enumerate(values, 1):
        part = plain_text(one.get('select_label')) if isinstance(one, dict) else ''
        if part and part in parts:
            part = f'{part} ({number})'
        elif not part and isinstance(one, dict) and numbered:
            part = str(number)
        parts.append(part)
    return parts


def plain_text(value):
    """
    Return a text without line breaks and blanks around; numbers and truth values as text.

    Parameters
    ----------
    value : object
        From JSON.

    Returns
    -------
    text : str
        Empty for None.
    """
    if value is None:
        return ''
    return ' '.join(writable_text(value).split())


def writable_text(value):
    """
    Return a text that can be written to files.

    Parameters
    ----------
    value : object
        From JSON, which may hold halves of surrogate pairs.

    Returns
    -------
    text : str
        With a question mark for each half, and without NUL.
    """
    return str(value).encode('utf-8', 'replace').decode('utf-8').replace('\x00', '')
