# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a prediction is: probabilities over the classes of a schema.
"""

import dataclasses
import numbers
from typing import ClassVar

import numpy as np
from astropy.io.registry import UnifiedReadWriteMethod
from astropy.table import Column, QTable

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import check_identifiers, check_image, check_rows
from clustercnn.core.candidate import _rows_of
from clustercnn.core.columns import column_definition
from clustercnn.core.connect import make_reader, make_writer
from clustercnn.core.cutout import _restore
from clustercnn.core.label import LabelSchema, _as_schema

__all__ = ['PredictionSet']


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PredictionSet:
    """
    Class probabilities of many candidates.

    Parameters
    ----------
    ids : iterable of str
        Identifiers, unique.
    probability : 2D `~numpy.ndarray`
        Shape ``(n, n_classes)``; rows sum to one.
    schema : LabelSchema, optional
        The classes.
    std : 1D `~numpy.ndarray`, optional
        Spread of the positive probability over an ensemble.
    ood : 1D `~numpy.ndarray`, optional
        Distance from the training data, higher = stranger.
    logits : 2D `~numpy.ndarray`, optional
        Values before calibration, so that others can calibrate anew.
    meta : dict, optional
        Provenance, such as the model's name.

    Raises
    ------
    ValueError
        If shapes differ, identifiers occur twice, or a row is not a probability.

    Examples
    --------
    >>> from clustercnn import PredictionSet
    >>> prediction = PredictionSet(ids=['a'], probability=[[0.7, 0.1, 0.1, 0.1]])
    >>> prediction.p_positive
    array([0.7], dtype=float32)
    >>> prediction.to_table().colnames
    ['id', 'p_cluster', 'p_point', 'p_galaxy', 'p_other']
    """

    ids: tuple
    probability: np.ndarray
    schema: LabelSchema = dataclasses.field(default_factory=LabelSchema.default)
    std: np.ndarray | None = None
    ood: np.ndarray | None = None
    logits: np.ndarray | None = None
    meta: dict = dataclasses.field(default_factory=dict)

    read: ClassVar = UnifiedReadWriteMethod(make_reader('Read predictions.'))
    write: ClassVar = UnifiedReadWriteMethod(make_writer('Write predictions.'))

    def __post_init__(self):
        put = object.__setattr__
        ids = check_identifiers(self.ids)
        put(self, 'ids', ids)
        put(self, 'schema', _as_schema(self.schema))
        shape = (len(ids), self.schema.n_classes)
        probability = np.asarray(self.probability)
        if probability.size == 0 and not ids:
            probability = np.zeros(shape)
        probability = check_image('probability', probability, shape=shape)
        wrong = ~(
            np.isfinite(probability).all(axis=1)
            & (probability >= 0).all(axis=1)
            & (np.abs(probability.sum(axis=1) - 1.0) <= 1e-3)
        )
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            msg = (
                f"row {row} ('{ids[row]}') is not a probability over the classes: "
                f'{probability[row].tolist()}'
            )
            raise ValueError(msg)
        put(self, 'probability', probability)
        for name in ('std', 'ood'):
            values = check_image(name, getattr(self, name), n_dim=1, shape=shape[:1], optional=True)
            put(self, name, values)
        put(self, 'logits', check_image('logits', self.logits, shape=shape, optional=True))
        put(self, 'meta', ReadOnlyDict(self.meta))

    def __setstate__(self, state):
        _restore(self, state)

    @property
    def p_positive(self):
        """
        Probability of a positive class, 1D `~numpy.ndarray` of float32.
        """
        codes = list(self.schema.positive_codes)
        return np.clip(self.probability[:, codes].sum(axis=1), 0.0, 1.0)

    def hard(self):
        """
        Return the likeliest class of each.

        Returns
        -------
        codes : 1D `~numpy.ndarray` of int8
            Codes of the schema.
        """
        return np.argmax(self.probability, axis=1).astype(np.int8)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, item):
        # one prediction is a set, too; the index error ends loops
        rows = [range(len(self))[item]] if isinstance(item, (int, np.integer)) else item
        rows = check_rows(rows, len(self))
        return self.replace(
            ids=[self.ids[row] for row in rows],
            **{
                name: None if getattr(self, name) is None else getattr(self, name)[rows]
                for name in ('probability', 'std', 'ood', 'logits')
            },
        )

    def select(self, ids):
        """
        Return the predictions with these identifiers, in this order.

        Parameters
        ----------
        ids : iterable of str
            Identifiers.

        Returns
        -------
        prediction : PredictionSet
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
        prediction : PredictionSet
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def at_prior(self, prior):
        """
        Return the probabilities where classes are commoner or rarer.

        Parameters
        ----------
        prior : float or dict of str to float
            Share of the positive classes, among which and among the others the proportions
            stay; or the share of each class, of sum one.

        Returns
        -------
        prediction : PredictionSet
            Probabilities times new over old shares, of sum one (Saerens, Latinne & Decaestecker
            2002, Neural Computation 14, 21, equation 2.4). The spread over the ensemble is half
            of where one sigma up and down are moved to; distances and logits stay.

        Raises
        ------
        ValueError
            If the predictions do not carry the prior that they hold at, ``meta['prior_<class>']``,
            the new one is not a probability, or gives a share to a class that had none.

        Notes
        -----
        Right if candidates of each class look alike there and here, which is all that may
        differ: a survey of another depth is another matter.

        Examples
        --------
        >>> from clustercnn import PredictionSet
        >>> prediction = PredictionSet(ids=['a'], probability=[[0.5, 0.5]],
        ...                            schema=('cluster', 'point'),
        ...                            meta={'prior_cluster': 0.5, 'prior_point': 0.5})
        >>> prediction.at_prior(0.1).p_positive
        array([0.1], dtype=float32)
        """
        classes, positive = self.schema.classes, list(self.schema.positive_codes)
        missing = [name for name in classes if f'prior_{name}' not in self.meta]
        if missing:
            msg = (
                'these predictions do not say at which prior they hold: meta lacks '
                f'{", ".join(f"prior_{name}" for name in missing)}'
            )
            raise ValueError(msg)
        old = np.array([float(self.meta[f'prior_{name}']) for name in classes])
        if isinstance(prior, dict):
            if set(prior) != set(classes):
                msg = f"'prior' must name the classes {', '.join(classes)}, got {sorted(prior)}"
                raise ValueError(msg)
            new = np.array([float(prior[name]) for name in classes])
        else:
            share = float(prior) if isinstance(prior, numbers.Real) else np.nan
            is_positive = np.isin(np.arange(len(classes)), positive)
            side = np.where(is_positive, old[positive].sum(), old[~is_positive].sum())
            new = old / np.where(side > 0, side, 1) * np.where(is_positive, share, 1 - share)
        if not (np.isfinite(new).all() and (new >= 0).all() and abs(new.sum() - 1) < 1e-3):
            msg = f"'prior' must be from 0 to 1, or shares of sum one, got {prior!r}"
            raise ValueError(msg)
        unseen = [name for name, was, now in zip(classes, old, new, strict=True) if now > was == 0]
        if unseen:
            msg = f'nothing is known of the class {unseen[0]!r}: its share was 0 in training'
            raise ValueError(msg)
        factor = new / np.where(old > 0, old, 1)

        def moved(probability):
            raised = probability * factor
            total = raised.sum(axis=1, keepdims=True)
            # nothing that the new prior allows: left as it was
            return np.where(total > 0, raised / np.where(total > 0, total, 1), probability)

        probability = moved(self.probability.astype(float))
        std = self.std
        if std is not None:
            one, other = (
                moved(self._with_positive(self.p_positive + sign * std))[:, positive].sum(axis=1)
                for sign in (-1, 1)
            )
            std = (other - one) / 2
        meta = dict(self.meta) | {
            f'prior_{name}': float(share) for name, share in zip(classes, new, strict=True)
        }
        return self.replace(probability=probability, std=std, meta=meta)

    def _with_positive(self, p_positive):
        """
        Return the probabilities with another sum over the positive classes.
        """
        is_positive = np.isin(np.arange(self.schema.n_classes), self.schema.positive_codes)
        wanted = np.clip(np.asarray(p_positive, float), 0, 1)[:, None]
        sides = np.where(is_positive, wanted, 1 - wanted)
        sums = np.where(
            is_positive, self.p_positive[:, None], self.probability[:, ~is_positive].sum(1)[:, None]
        )
        # where a side had nothing its classes share alike
        even = np.where(is_positive, 1 / is_positive.sum(), 1 / max((~is_positive).sum(), 1))
        within = np.where(sums > 0, self.probability / np.where(sums > 0, sums, 1), even)
        return sides * within

    def columns(self):
        """
        Return the columns that the predictions add to a catalogue.

        Returns
        -------
        columns : dict of str to 1D `~numpy.ndarray`
            ``p_cluster``, the probability of the positive classes, first; then
            ``p_<class>`` for every other name, ``p_cluster_std`` and ``ood``.
        """
        columns = {'p_cluster': self.p_positive}
        for code, name in enumerate(self.schema.classes):
            # a class called cluster beside other positive ones would take the sum's name
            columns.setdefault(f'p_{name}', self.probability[:, code])
        if self.std is not None:
            columns['p_cluster_std'] = self.std
        if self.ood is not None:
            columns['ood'] = self.ood
        return columns

    def to_table(self):
        """
        Return the predictions as a table.

        Returns
        -------
        table : `~astropy.table.QTable`
            With the identifiers and the columns of `columns`.
        """
        table = QTable(meta=dict(self.meta))
        table['id'] = Column(list(self.ids), dtype='U16' if not self.ids else None)
        for name, values in self.columns().items():
            table[name] = Column(np.array(values))
            definition = column_definition(name)
            table[name].description = '' if definition is None else definition.description
        return table

    def _facts(self):
        facts = [('predictions', len(self)), ('classes', ', '.join(self.schema.classes))]
        if len(self):
            accepted = int((self.p_positive > 0.5).sum())
            facts.append(('p_cluster above 0.5', accepted))
        facts += [(name, value) for name, value in self.meta.items() if np.isscalar(value)]
        return facts

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())
