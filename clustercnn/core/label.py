# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a label is: a class of a schema, a probability over classes, or unknown.
"""

import dataclasses
from typing import ClassVar

import numpy as np
from astropy.io.registry import UnifiedReadWriteMethod

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import check_image, check_rows, plain_texts
from clustercnn.core._positive import usual_positive
from clustercnn.core.candidate import _rows_of
from clustercnn.core.connect import make_reader, make_writer
from clustercnn.core.cutout import _restore

__all__ = ['UNKNOWN', 'UNKNOWN_NAME', 'LabelSchema', 'LabelSet', 'names_nothing']

# a state of its own, never a class: a masked boolean comes back from FITS as True
UNKNOWN = -1
UNKNOWN_NAME = 'unknown'
# tables of numbers write 'nan' for what is not there
_NO_NAMES = ('', 'nan', UNKNOWN_NAME)


def names_nothing(text):
    """
    Say whether a text of a table names no class and no object.

    Parameters
    ----------
    text : str
        The text, without blanks around.

    Returns
    -------
    nothing : bool
        True for the empty text, ``'nan'`` and ``'unknown'``, in any case.

    Examples
    --------
    >>> from clustercnn.core.label import names_nothing
    >>> names_nothing('Unknown'), names_nothing('cluster')
    (True, False)
    """
    return text.casefold() in _NO_NAMES


@dataclasses.dataclass(frozen=True)
class LabelSchema:
    """
    The classes there are, and which of them are what one looks for.

    Parameters
    ----------
    classes : tuple of str
        Names; the order gives the codes 0, 1, ...
    positive : tuple of str, optional
        The classes that count as a find; by default ``'cluster'``, else what is called so, such
        as Galaxy cluster, else what begins with yes, true, y or positive, else the first one
        that is neither a denial, such as No, 0 or Not a cluster, nor what is left over, such as
        other.

    Raises
    ------
    ValueError
        If there are fewer than two classes, a name occurs twice or is reserved,
        or a positive class is not among them.

    Examples
    --------
    >>> from clustercnn import LabelSchema
    >>> schema = LabelSchema.default()
    >>> schema.classes, schema.positive
    (('cluster', 'point', 'galaxy', 'other'), ('cluster',))
    >>> schema.code('galaxy')
    2
    """

    classes: tuple
    positive: tuple = ()

    def __post_init__(self):
        put = object.__setattr__
        if isinstance(self.classes, str):
            msg = f"'classes' must be several names, got the text {self.classes!r}"
            raise TypeError(msg)
        classes = tuple(str(name) for name in self.classes)
        if len(classes) < 2 or len(set(classes)) != len(classes):
            msg = f'a schema needs at least two classes with different names, got {classes}'
            raise ValueError(msg)
        if len(classes) > 127:
            msg = f'codes are kept in 8 bits, so 127 classes are the most, got {len(classes)}'
            raise ValueError(msg)
        if any(names_nothing(name.strip()) for name in classes):
            msg = (
                f"'{UNKNOWN_NAME}', 'nan', in any case, and the empty name are states of a label, "
                f'not classes'
            )
            raise ValueError(msg)
        positive = (self.positive,) if isinstance(self.positive, str) else tuple(self.positive)
        positive = positive or usual_positive(classes)[0]
        outside = [name for name in positive if name not in classes]
        if outside:
            msg = f'the positive classes {outside} are not among {classes}'
            raise ValueError(msg)
        if 'cluster' in classes and 'cluster' not in positive:
            msg = (
                f"'cluster' is a class but not among the positive ones, {positive}; the column "
                f"'p_cluster' is the probability of these, so name the class otherwise"
            )
            raise ValueError(msg)
        put(self, 'classes', classes)
        put(self, 'positive', tuple(name for name in classes if name in positive))

    @classmethod
    def default(cls):
        """
        Return the package's own schema.

        Returns
        -------
        schema : LabelSchema
            With the classes cluster, point, galaxy and other.
        """
        return cls(('cluster', 'point', 'galaxy', 'other'), ('cluster',))

    @property
    def n_classes(self):
        """
        Number of classes.
        """
        return len(self.classes)

    @property
    def positive_codes(self):
        """
        Codes of the positive classes, tuple of int.
        """
        return tuple(self.classes.index(name) for name in self.positive)

    def code(self, name):
        """
        Return the code of a class.

        Parameters
        ----------
        name : str
            Name of the class, or ``'unknown'``.

        Returns
        -------
        code : int
            ``UNKNOWN`` for ``'unknown'``.

        Raises
        ------
        ValueError
            If there is no such class.
        """
        if name == UNKNOWN_NAME:
            return UNKNOWN
        if name not in self.classes:
            msg = f"there is no class '{name}'; there are {', '.join(self.classes)}"
            raise ValueError(msg)
        return self.classes.index(name)

    def _facts(self):
        return [('classes', ', '.join(self.classes)), ('positive', ', '.join(self.positive))]

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LabelSet:
    """
    Labels of many candidates, hard or soft, with where they come from.

    Parameters
    ----------
    ids : iterable of str
        Identifiers, unique.
    probability : 2D `~numpy.ndarray`
        Shape ``(n, n_classes)``; rows sum to one. A row of NaN means unknown.
    schema : LabelSchema, optional
        The classes.
    votes : 2D `~numpy.ndarray`, optional
        Number of votes for each class, where people voted.
    weight : 1D `~numpy.ndarray`, optional
        How much a label counts in training; 1 by default.
    source : iterable of str, optional
        Where each label comes from, such as ``'expert'``.
    meta : dict, optional
        Provenance.

    Raises
    ------
    ValueError
        If shapes differ, identifiers occur twice, or a row is not a probability.

    Examples
    --------
    >>> from clustercnn import LabelSet
    >>> labels = LabelSet.from_labels(['a', 'b', 'c'], ['cluster', 'unknown', 'point'])
    >>> labels.hard()
    array([ 0, -1,  1], dtype=int8)
    >>> labels.names()
    ['cluster', 'unknown', 'point']
    """

    ids: tuple
    probability: np.ndarray
    schema: LabelSchema = dataclasses.field(default_factory=LabelSchema.default)
    votes: np.ndarray | None = None
    weight: np.ndarray | None = None
    source: tuple | None = None
    meta: dict = dataclasses.field(default_factory=dict)

    read: ClassVar = UnifiedReadWriteMethod(make_reader('Read labels.'))
    write: ClassVar = UnifiedReadWriteMethod(make_writer('Write labels.'))

    def __post_init__(self):
        put = object.__setattr__
        if isinstance(self.ids, str | bytes):
            msg = f"'ids' must be several identifiers, got the text {self.ids!r}"
            raise TypeError(msg)
        ids = plain_texts(self.ids)
        if len(set(ids)) != len(ids):
            seen = set()
            double = next(name for name in ids if name in seen or seen.add(name))
            msg = (
                f"'{double}' has more than one label; bring votes together with "
                f'labels.consensus() first'
            )
            raise ValueError(msg)
        put(self, 'ids', ids)
        put(self, 'schema', _as_schema(self.schema))
        shape = (len(ids), self.schema.n_classes)
        probability = self.probability
        if np.ma.is_masked(probability):
            # a class of a row without a number says nothing of the others
            probability = np.ma.filled(np.ma.asarray(probability).astype(float), np.nan)
        probability = check_image('probability', probability, shape=shape)
        known = np.isfinite(probability).all(axis=1)
        partly = ~np.isnan(probability).all(axis=1) & ~known
        with np.errstate(invalid='ignore'):
            wrong = partly | (
                known
                & ((probability < 0).any(axis=1) | (np.abs(probability.sum(axis=1) - 1.0) > 1e-4))
            )
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            msg = (
                f"row {row} ('{ids[row]}') is not a probability over the classes: "
                f'{probability[row].tolist()}; rows sum to 1, unknown rows are all NaN'
            )
            raise ValueError(msg)
        put(self, 'probability', probability)
        votes = check_image('votes', self.votes, shape=shape, optional=True)
        if votes is not None and not (np.isfinite(votes).all() and (votes >= 0).all()):
            msg = "'votes' must be finite and not negative"
            raise ValueError(msg)
        put(self, 'votes', votes)
        weight = np.ones(len(ids)) if self.weight is None else self.weight
        weight = check_image('weight', weight, n_dim=1, shape=shape[:1])
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            msg = "'weight' must be finite and not negative"
            raise ValueError(msg)
        put(self, 'weight', weight)
        source = ('',) * len(ids) if self.source is None else self.source
        source = (source,) * len(ids) if isinstance(source, str) else tuple(map(str, source))
        if len(source) != len(ids):
            msg = f"'source' must have length {len(ids)}, got {len(source)}"
            raise ValueError(msg)
        put(self, 'source', source)
        put(self, 'meta', ReadOnlyDict(self.meta))

    def __setstate__(self, state):
        _restore(self, state)

    @classmethod
    def from_labels(cls, ids, names, *, schema=None, weight=None, source='', meta=None):
        """
        Make labels from names of classes.

        Parameters
        ----------
        ids : iterable of str
            Identifiers.
        names : iterable of str
            A class each, or ``'unknown'``; masked ones, None, ``'nan'`` and the empty text are
            unknown, too.
        schema : LabelSchema or iterable of str, optional
            The classes; the package's own by default.
        weight : 1D `~numpy.ndarray`, optional
            How much each label counts.
        source : str or iterable of str, optional
            Where the labels come from.
        meta : dict, optional
            Provenance.

        Returns
        -------
        labels : LabelSet
            With probabilities of 0 and 1.

        Raises
        ------
        ValueError
            If a name is not a class; says which rows.
        """
        schema = _as_schema(schema)
        names = [
            UNKNOWN_NAME
            if name is np.ma.masked or name is None or names_nothing(text.strip())
            else text
            for name, text in ((name, *plain_texts([name])) for name in names)
        ]
        allowed = {*schema.classes, UNKNOWN_NAME}
        wrong = [row for row, name in enumerate(names) if name not in allowed]
        if wrong:
            msg = (
                f"{len(wrong)} labels are not classes, the first '{names[wrong[0]]}' in row "
                f'{wrong[0]}; the classes are {", ".join(schema.classes)}'
            )
            raise ValueError(msg)
        codes = [schema.code(name) for name in names]
        return cls.from_codes(ids, codes, schema=schema, weight=weight, source=source, meta=meta)

    @classmethod
    def from_codes(cls, ids, codes, *, schema=None, weight=None, source='', meta=None):
        """
        Make labels from codes of classes.

        Parameters
        ----------
        ids : iterable of str
            Identifiers.
        codes : 1D array-like of int
            A code each, ``UNKNOWN`` where there is no label; masked ones are unknown, too.
        schema : LabelSchema or iterable of str, optional
            The classes; the package's own by default.
        weight : 1D `~numpy.ndarray`, optional
            How much each label counts.
        source : str or iterable of str, optional
            Where the labels come from.
        meta : dict, optional
            Provenance.

        Returns
        -------
        labels : LabelSet
            With probabilities of 0 and 1.
        """
        schema = _as_schema(schema)
        codes, hidden = np.asarray(codes), np.ma.getmaskarray(codes)
        if codes.size == 0:
            codes = codes.astype(int)
        if codes.ndim != 1 or codes.dtype.kind not in 'iu':
            msg = f"'codes' must be whole numbers in one dimension, got {codes.dtype} {codes.shape}"
            raise TypeError(msg)
        # not `filled`, which unsigned integers cannot be with a number below 0
        codes = np.where(hidden, UNKNOWN, codes.astype(np.int64))
        wrong = (codes < UNKNOWN) | (codes >= schema.n_classes)
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            msg = (
                f'{wrong.sum()} codes are out of range, the first {codes[row]} in row {row}; '
                f'expected {UNKNOWN} to {schema.n_classes - 1}'
            )
            raise ValueError(msg)
        probability = np.eye(schema.n_classes, dtype=np.float32)[np.maximum(codes, 0)]
        probability[codes == UNKNOWN] = np.nan
        return cls(
            ids=ids,
            probability=probability,
            schema=schema,
            weight=weight,
            source=source,
            meta=meta or {},
        )

    @classmethod
    def from_votes(cls, ids, votes, *, schema=None, source='crowd', meta=None):
        """
        Make soft labels from counts of votes, each class by its share.

        Parameters
        ----------
        ids : iterable of str
            Identifiers.
        votes : 2D array-like
            Number of votes, shape ``(n, n_classes)``; a row of zeros is unknown.
        schema : LabelSchema or iterable of str, optional
            The classes; the package's own by default.
        source : str or iterable of str, optional
            Where the labels come from.
        meta : dict, optional
            Provenance.

        Returns
        -------
        labels : LabelSet
            With the votes kept.
        """
        schema = _as_schema(schema)
        votes = np.asarray(np.ma.filled(votes, 0), dtype=np.float64)
        if votes.size == 0:
            votes = votes.reshape(0, schema.n_classes)
        if votes.ndim != 2 or votes.shape[1] != schema.n_classes:
            msg = f"'votes' must have shape (n, {schema.n_classes}), got {votes.shape}"
            raise ValueError(msg)
        total = votes.sum(axis=1, keepdims=True)
        probability = np.where(total > 0, votes / np.where(total > 0, total, 1.0), np.nan)
        return cls(
            ids=ids,
            probability=probability,
            schema=schema,
            votes=votes,
            source=source,
            meta=meta or {},
        )

    @property
    def known(self):
        """
        Whether a label is known, 1D `~numpy.ndarray` of bool.
        """
        return np.isfinite(self.probability).all(axis=1)

    def hard(self):
        """
        Return the likeliest class of each.

        Returns
        -------
        codes : 1D `~numpy.ndarray` of int8
            ``UNKNOWN`` where there is no label; the first of equals.
        """
        codes = np.where(self.known, np.argmax(np.nan_to_num(self.probability), axis=1), UNKNOWN)
        return codes.astype(np.int8)

    def soft(self):
        """
        Return the probabilities.

        Returns
        -------
        probability : 2D `~numpy.ndarray` of float32
            Shape ``(n, n_classes)``, rows of NaN where unknown; a copy.
        """
        return self.probability.copy()

    def binary(self):
        """
        Return the probability of a positive class.

        Returns
        -------
        probability : 1D `~numpy.ndarray` of float32
            NaN where unknown.
        """
        # sums of single precision may end a little above 1
        total = self.probability[:, list(self.schema.positive_codes)].sum(axis=1)
        return np.clip(total, 0.0, 1.0)

    def names(self):
        """
        Return the likeliest class of each by name.

        Returns
        -------
        names : list of str
            ``'unknown'`` where there is no label.
        """
        classes = (*self.schema.classes, UNKNOWN_NAME)
        return [classes[code] for code in self.hard()]

    def counts(self):
        """
        Return how many labels each class has.

        Returns
        -------
        counts : dict of str to int
            By class, and ``'unknown'``.
        """
        names = self.names()
        return {name: names.count(name) for name in (*self.schema.classes, UNKNOWN_NAME)}

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, item):
        # one label is a set, too; the index error ends loops
        rows = [range(len(self))[item]] if isinstance(item, (int, np.integer)) else item
        rows = check_rows(rows, len(self))
        return self.replace(
            ids=[self.ids[row] for row in rows],
            probability=self.probability[rows],
            votes=None if self.votes is None else self.votes[rows],
            weight=self.weight[rows],
            source=[self.source[row] for row in rows],
        )

    def select(self, ids):
        """
        Return the labels with these identifiers, in this order.

        Parameters
        ----------
        ids : iterable of str
            Identifiers.

        Returns
        -------
        labels : LabelSet
            As many as identifiers.

        Raises
        ------
        KeyError
            If some are not in the set; names and counts them.
        """
        return self[_rows_of(self.ids, ids)]

    def replace(self, **changes):
        """
        Return a copy with other values.

        Parameters
        ----------
        **changes
            New values by attribute name.

        Returns
        -------
        labels : LabelSet
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def _facts(self):
        facts = [('labels', len(self))]
        facts += [(name, count) for name, count in self.counts().items()]
        facts.append(('positive', ', '.join(self.schema.positive)))
        facts.append(('votes', 'none' if self.votes is None else f'{self.votes.sum():.0f}'))
        sources = sorted({name for name in self.source if name})
        facts.append(('sources', ', '.join(sources) or 'not stated'))
        return facts

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


def _as_schema(schema):
    """
    Return a schema from a schema, names of classes, or None.
    """
    if schema is None:
        return LabelSchema.default()
    return schema if isinstance(schema, LabelSchema) else LabelSchema(tuple(schema))
