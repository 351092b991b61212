# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
One label an item from the votes of many people.
"""

import decimal
import re
import unicodedata

import numpy as np

from clustercnn._utils.validation import check_one_of
from clustercnn.core import LabelSchema, LabelSet
from clustercnn.labels._columns import last_votes, says_nothing, text_of, time_of, word_of
from clustercnn.labels._confidence import (
    effective_votes,
    expected_correlation,
    find_correlation,
    learn_correlation,
    soften,
    vote_correlation,
)
from clustercnn.labels.annotators import dawid_skene

__all__ = ['consensus']

# of a label that counts as known; matches with a catalogue have their probability for weight
_LEAST_WEIGHT = 0.95
# of those that estimate, the model of `dawid_skene`
MODELS = {'dawid-skene': 'full', 'one-coin': 'one-coin', 'difficulty': 'difficulty'}
_CONTROL = re.compile(r'[\x00-\x1f\x7f]')
# key of the metadata of votes
ROW_NUMBERS = 'row_numbers'
METHODS = ('majority', 'weighted', *MODELS)


def consensus(
    votes,
    *,
    item='item',
    annotator='annotator',
    label='label',
    time=None,
    method='dawid-skene',
    schema=None,
    positive=None,
    weight=None,
    truth=None,
    prior_strength=None,
):
    """
    Bring votes together to one label an item.

    Parameters
    ----------
    votes : `~astropy.table.Table`
        One vote a row; text may be bytes in UTF-8, as in tables from FITS files.
    item, annotator, label : str, optional
        Names of its columns.
    time : str, optional
        Name of the column with the time of each vote, by default ``'created_at'`` if there is
        one: text as in ISO 8601, UTC where it names no zone, `~astropy.time.Time`, or numbers.
        It is asked where an annotator has voted more than once for an item.
    method : {'dawid-skene', 'one-coin', 'difficulty', 'majority', 'weighted'}, optional
        `dawid_skene` with one of its models, shares of votes, or shares with a weight for each
        annotator.
    schema : LabelSchema or iterable of str, optional
        The classes. By default the package's own if all votes fit it, else the classes
        that were voted for, in alphabetical order.
    positive : str or iterable of str, optional
        The classes that count as a find; by default those of the schema, see `LabelSchema`.
    weight : dict of str to float, optional
        For ``'weighted'``: weight of each annotator, 1 for those not named. All named ones must
        be in the table.
    truth : LabelSet, optional
        For the models of `dawid_skene`: what is known of some items, by which annotators and the
        confidence are judged. Only its certain labels count, those of one class with a
        probability of 1 and a weight of 0.95 or more; items without votes are left out.
    prior_strength : float, optional
        For the models of `dawid_skene`, see there.

    Returns
    -------
    labels : LabelSet
        Soft labels with the votes counted, items in the order of their first vote; its
        metadata say what was left out. Votes that are empty, masked, NaN, ``'nan'`` or
        ``'unknown'``, in any case, are left out and counted; if an annotator has voted more than
        once for an item, the last vote counts: the latest, or the last row where times are equal
        or one of them is missing (``meta['repeated']`` says how often times decided, and how
        often rows). If that is ``'unknown'`` the annotator has no vote on the item, and the one
        before is counted as withdrawn; empty, masked and NaN ones withdraw nothing. An item with
        no vote left is unknown.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If a vote is for a class that the schema lacks, or a name is empty or damaged; names row,
        counted from 1, and column. If a cell of ``time`` that is needed holds no time. If a
        weight is for somebody who is not in the table, or is negative or not finite.

    Notes
    -----
    The models take votes on one item for independent, given its class and the matrices. Those of
    real crowds are not: a hard item misleads many, and twenty votes tell as much as one to three.
    Votes with a correlation ``r`` therefore count as ``n / (1 + (n - 1) r)``, ``n`` being their
    number by Kish (1965, Survey Sampling) where some tell more than others; the estimated shares
    of the classes count in full unless they would outweigh the weaker evidence: the likeliest
    class stays. Whether votes are correlated at
    all shows in what they have in common beyond the model. How far is not told by votes, since
    what all take for right is taken for right: the mean is taken over the correlations that real
    crowds with known truth need, until known items (``truth``), each held out in turn, say which
    of them fit. The expected one is in the
    metadata, ``correlation``. The model ``'difficulty'`` has one of its own, and is corrected
    where items are known only.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from clustercnn.labels import consensus
    >>> votes = Table({'item': ['a', 'a', 'a', 'b'], 'annotator': [1, 2, 3, 1],
    ...                'label': ['cluster', 'cluster', 'point', 'galaxy']})
    >>> result = consensus(votes)
    >>> result.names(), result.votes[0].tolist()
    (['cluster', 'galaxy'], [2.0, 1.0, 0.0, 0.0])
    """
    check_one_of('method', method, METHODS)
    if weight is not None and method != 'weighted':
        msg = f"'weight' is for the method 'weighted', not for {method!r}"
        raise ValueError(msg)
    if truth is not None and method not in MODELS:
        msg = f"'truth' is for the methods {', '.join(MODELS)}, not for {method!r}"
        raise ValueError(msg)
    if len({item, annotator, label}) < 3 or time in (item, annotator, label):
        msg = (
            f"item, annotator and label need a column each, got '{item}', '{annotator}', '{label}'"
            + (f", and '{time}' for the time" if time else '')
        )
        raise ValueError(msg)
    missing = [name for name in (item, annotator, label) if name not in votes.colnames]
    if missing:
        msg = f'the votes lack the columns {", ".join(missing)}; there are {votes.colnames}'
        raise KeyError(msg)
    # as people count, from 1, and as in the file, where the pipeline has left out some
    place = votes.meta.get(ROW_NUMBERS, range(1, len(votes) + 1))
    items, people, names = (text_of(votes[name], name, place) for name in (item, annotator, label))
    for name, values in ((item, items), (annotator, people)):
        empty = np.flatnonzero(values == '')
        if empty.size:
            msg = f"row {place[empty[0]]} of the votes has nothing in the column '{name}'"
            raise ValueError(msg)
    # what people said has far fewer values than there are votes
    values, number = np.unique(names, return_inverse=True)
    number = number.reshape(-1)
    # what is parted by number must not depend on the order of the rows
    ids, first, item_code = np.unique(items, return_index=True, return_inverse=True)
    annotators, person_code = np.unique(people, return_inverse=True)
    item_code, person_code = item_code.reshape(-1), person_code.reshape(-1)
    ids, annotators = ids.tolist(), annotators.tolist()
    for name, distinct, code in (
        (item, ids, item_code),
        (annotator, annotators, person_code),
        (label, values.tolist(), number),
    ):
        _check_names(name, distinct, code, place)
    cast = ~says_nothing(values)[number]
    schema = _schema_of(schema, names[cast], positive)
    known = {name: code for code, name in enumerate(schema.classes)}
    codes = np.array([known.get(value, -1) for value in values.tolist()], np.intp)[number]
    wrong = np.flatnonzero(cast & (codes < 0))
    if wrong.size:
        msg = (
            f"{wrong.size} votes are for no class of the schema, the first '{names[wrong[0]]}' "
            f"in row {place[wrong[0]]}, column '{label}'; the classes are "
            f'{", ".join(schema.classes)}'
        )
        raise ValueError(msg)
    times = time_of(votes, time, (item, annotator, label))
    rows, dropped, decided = last_votes(item_code, person_code, names, times, place)
    # nor must sums
    rows = rows[np.lexsort((person_code[rows], item_code[rows]))]
    index, who, said = item_code[rows], person_code[rows], codes[rows]
    shape = (len(ids), schema.n_classes)
    counted = np.bincount(index * shape[1] + said, minlength=shape[0] * shape[1])
    counted = counted.reshape(shape).astype(np.float64)
    meta = {
        'method': method,
        'n_votes': len(rows),
        'n_annotators': len(np.unique(who)),
        'dropped': dropped,
        'repeated': decided,
    }
    if method in MODELS:
        anchors = _truth_of(truth, ids, schema)

        def estimate(known):
            return dawid_skene(
                index,
                who,
                said,
                n_classes=shape[1],
                n_items=shape[0],
                n_annotators=len(annotators),
                model=MODELS[method],
                truth=known,
                prior_strength=prior_strength,
            )

        result = estimate(anchors)
        probability = result.probability
        meta['n_iterations'] = result.n_iterations
        meta['converged'] = result.converged
        known = np.full(len(ids), -1) if anchors is None else anchors
        if anchors is not None:
            meta['n_known'] = int((known >= 0).sum())
        # the model of difficult items has a correlation of its own
        if len(rows) and (method != 'difficulty' or meta.get('n_known')):
            worth = effective_votes(index, who, result, n_items=len(ids))
            correlation = expected_correlation()
            if method != 'difficulty':
                correlation = find_correlation(*vote_correlation(index, who, said, result))
            if meta.get('n_known'):
                correlation = learn_correlation(correlation, estimate, known, worth)
            softened = soften(probability, worth, correlation, prior=result.prior)
            probability = np.where(known[:, None] >= 0, probability, softened)
            meta['correlation'] = correlation.mean
    else:
        factors = _weights_of(weight, annotators)
        mass = np.bincount(index * shape[1] + said, factors[who], shape[0] * shape[1])
        mass = mass.reshape(shape)
        total = mass.sum(axis=1, keepdims=True)
        probability = np.where(total > 0, mass / np.where(total > 0, total, 1.0), np.nan)
    order = np.argsort(first)
    return LabelSet(
        ids=[ids[number] for number in order],
        probability=probability[order],
        schema=schema,
        votes=counted[order],
        source='crowd',
        meta=meta,
    )


def _check_names(column, distinct, code, place):
    """
    Refuse what is no name but a sign of a quote that was not closed, or of damage.
    """
    broken = [number for number, name in enumerate(distinct) if _CONTROL.search(name)]
    if broken:
        first = int(np.flatnonzero(np.isin(code, broken))[0])
        msg = (
            f'row {place[first]} of the votes has a line break or another control character in '
            f"the column '{column}': {distinct[code[first]][:60]!r}; a quote may not be closed"
        )
        raise ValueError(msg)


def _truth_of(truth, ids, schema):
    """
    Return the code of the class of each item, -1 where it is not known; None without truth.
    """
    if truth is None:
        return None
    if truth.schema.classes != schema.classes:
        msg = (
            f"'truth' has the classes {', '.join(truth.schema.classes)}, the votes "
            f'{", ".join(schema.classes)}; give both the same schema'
        )
        raise ValueError(msg)
    certain = np.nan_to_num(truth.probability).max(axis=1, initial=0) >= 1
    certain &= truth.weight >= _LEAST_WEIGHT
    codes = dict(zip(truth.ids, np.where(certain, truth.hard(), -1).tolist(), strict=True))
    return np.array([codes.get(name, -1) for name in ids], dtype=np.int64)


def _weights_of(weight, annotators):
    """
    Return the weight of each annotator, 1 for those who are not named.
    """
    factors = np.ones(len(annotators))
    number = {name: code for code, name in enumerate(annotators)}
    named = {word_of(name): factor for name, factor in (weight or {}).items()}
    strange = [name for name in named if name not in number]
    if strange:
        msg = (
            f"'weight' has {len(strange)} names that are not among the annotators: "
            f'{_listing(strange)}; there are {_listing(annotators)}; correct these names or leave '
            f'them out'
        )
        raise ValueError(msg)
    for name, factor in named.items():
        factors[number[name]] = factor
    if not (np.isfinite(factors).all() and (factors >= 0).all()):
        msg = "'weight' must be finite and not negative"
        raise ValueError(msg)
    return factors


def _listing(names, most=5):
    """
    Return the first of many names for a message, and how many more there are.
    """
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return (', '.join(f"'{name}'" for name in names[:most]) or 'none') + more


def _schema_of(schema, names, positive=None):
    if positive is not None:
        return LabelSchema(_schema_of(schema, names).classes, positive)
    if isinstance(schema, LabelSchema):
        return schema
    if schema is not None:
        return LabelSchema(tuple(schema))
    default = LabelSchema.default()
    voted = sorted(set(names.tolist()))
    if set(voted) <= set(default.classes):
        return default
    if len(voted) < 2:
        msg = (
            f"all votes are for '{voted[0]}', which says nothing about the other classes; "
            f"name them with 'schema' (--classes)"
        )
        raise ValueError(msg)
    folded = {}
    for name in voted:
        other = folded.setdefault(_plain(name), name)
        if other != name:
            how = 'case' if other.casefold() == name.casefold() else 'how they are written'
            msg = (
                f"'{other}' and '{name}' differ by {how} only; make them one, or name both with "
                f"'schema' (--classes)"
            )
            raise ValueError(msg)
    return LabelSchema(tuple(voted))


def _plain(name):
    """
    Return what names that mean the same have in common.

    Beside their case: accents in one sign or two, signs without width, blanks, and numbers with
    decimals, as which tables with empty cells write whole ones.
    """
    try:
        return str(decimal.Decimal(name).normalize())
    except decimal.DecimalException:
        pass
    seen = ''.join(letter for letter in name if unicodedata.category(letter) != 'Cf')
    return unicodedata.normalize('NFC', ' '.join(seen.casefold().split()))
