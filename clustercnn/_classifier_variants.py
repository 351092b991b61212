# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What else is done with a classifier's settings or its model: training it further,
cross-validation, and prediction from files of any length.
"""

import copy
from numbers import Integral
from os import PathLike

import numpy as np

from clustercnn._classifier_data import (
    check_classes,
    check_kinds,
    checked_groups,
    choose_folds,
    join_labels,
    missing_bands,
)
from clustercnn._utils.ahead import ahead
from clustercnn.core import PredictionSet
from clustercnn.io.hdf5 import read_stack, stack_length
from clustercnn.network import to_dict

__all__ = ['Variants']


def _joined(parts, meta, *, logits):
    """
    Return predictions one after the other as one.
    """

    def column(name):
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else np.concatenate(values)

    return PredictionSet(
        ids=tuple(name for part in parts for name in part.ids),
        schema=parts[0].schema,
        probability=column('probability'),
        logits=column('logits') if logits else None,
        std=column('std'),
        ood=column('ood'),
        meta=meta,
    )


class Variants:
    """
    Part of `~clustercnn.Classifier`.
    """

    def fine_tune(
        self,
        stack,
        label_set,
        *,
        frozen='stem',
        n_epochs=20,
        learning_rate=3e-4,
        training_options=None,
        validation=None,
        groups=None,
        checkpoint=None,
        progress=None,
    ):
        """
        Train this model further, on labelled cutouts of another survey.

        Parameters
        ----------
        stack : CutoutStack
            The cutouts; brought to the model's bands, pixel scales and sizes.
        label_set : LabelSet
            Their labels, with the model's classes; some hundred do.
        frozen : {'stem', None}, optional
            What keeps its parameters: all that looks at pictures, or nothing.
        n_epochs : int, optional
            Passes over the training set.
        learning_rate : float, optional
            Highest learning rate.
        training_options : dict, optional
            Other settings than those of the first training, see
            `~clustercnn.training.TrainingConfig`: what was learnt from votes goes on with experts'
            labels by ``{'target': 'probability', 'confusion': None}``.
        validation, groups, checkpoint, progress
            As of `~clustercnn.Classifier.fit`.

        Returns
        -------
        classifier : Classifier
            A new one, calibrated on the new data; this one stays as it is.

        Raises
        ------
        ValueError
            If labels, cutouts and model do not fit.
        TrainingError
            If this classifier is not trained, or there is nothing to learn from.

        Notes
        -----
        All settings that are not given are those of the first training, and every member of an
        ensemble goes on from its own parameters. What the new data lack, such as a band, stays
        missing. The new classifier, fitted again or cross-validated, starts from this model again;
        read from a file, it no longer has it.
        """
        model = self._fitted()
        check_kinds(stack, label_set, 'training')
        missing_bands(model['network'].inputs, stack)
        description = model['description']
        named = {'frozen', 'n_epochs', 'learning_rate'} & set(training_options or {})
        if named:
            msg = f"give {', '.join(sorted(named))} as an argument, not in 'training_options'"
            raise ValueError(msg)
        settings = description['training'] | {
            'frozen': frozen,
            'n_epochs': n_epochs,
            'learning_rate': learning_rate,
            **(training_options or {}),
        }
        first = ('n_epochs', 'batch_size', 'learning_rate')
        tuned = type(self)(
            network=self.network,
            schema=self.schema,
            seed=self.seed,
            ensemble=len(model['members']),
            validation_fraction=self.validation_fraction,
            dihedral=description['dihedral'],
            network_options=to_dict(model['network'].config),
            training_options={k: v for k, v in settings.items() if k not in first},
            **{name: settings[name] for name in first},
        )
        # and keeps it: cross-validated, every fold starts from this model as well
        vars(tuned).update(_origin=model)
        return tuned.fit(
            stack,
            label_set,
            validation=validation,
            groups=groups,
            checkpoint=checkpoint,
            progress=progress,
        )

    def cross_validate(self, stack, label_set, *, n_folds=5, groups=None, progress=None):
        """
        Classify every labelled cutout by a classifier that has not seen it.

        Parameters
        ----------
        stack : CutoutStack
            The cutouts.
        label_set : LabelSet
            Their labels by identifier.
        n_folds : int, optional
            Number of trainings; each leaves out another part.
        groups : 1D array-like, optional
            One value a cutout, such as the region of the sky, which folds keep whole.
        progress : bool, optional
            Whether to show bars; on a terminal by default.

        Returns
        -------
        prediction : PredictionSet
            Of the labelled cutouts, in the order of the stack, without logits, which are not
            comparable between folds.
        fold : 1D `~numpy.ndarray` of int
            The fold of each.

        Raises
        ------
        ValueError
            If labels and cutouts do not fit, or there are fewer groups than folds.
        TrainingError
            If parameters shall be frozen that were never learnt, see `~clustercnn.Classifier.fit`.

        Notes
        -----
        Trained with this classifier's settings, whose own model stays as it is. One that was made
        by `fine_tune` is fine-tuned in each fold, from the same model.
        """
        if isinstance(n_folds, bool) or int(n_folds) != n_folds or n_folds < 2:
            msg = f"'n_folds' must be a whole number from 2, got {n_folds!r}"
            raise ValueError(msg)
        check_kinds(stack, label_set, 'training')
        check_classes(label_set, self.schema, self.training_config)
        rows, labels, _ = join_labels(stack.ids, label_set, 'training', self.training_config)
        groups = np.arange(len(stack)) if groups is None else checked_groups(groups, len(stack))
        order = np.argsort(rows)
        rows, labels = rows[order], labels[order]
        fold = choose_folds(labels.hard(), groups[rows], n_folds=int(n_folds), seed=self.seed)
        parts, places = [], []
        for number in range(int(n_folds)):
            here = fold == number
            one = copy.copy(self)
            vars(one).update(_model=None, _runtime=None)
            kept = rows[~here]
            one.fit(stack[kept], labels[~here], groups=groups[kept], progress=progress)
            precision = self.training_config.precision
            parts.append(one.predict(stack[rows[here]], precision=precision, progress=progress))
            places.append(np.flatnonzero(here))
        back = np.argsort(np.concatenate(places))
        meta = {'network': self.network, 'n_folds': int(n_folds)}
        # what is common to the folds; the shares that each learnt from differ by chance
        shares = labels.soft() * labels.weight[:, None]
        shares = shares.sum(axis=0) / max(labels.weight.sum(), 1e-30)
        meta |= {
            f'prior_{name}': float(share)
            for name, share in zip(labels.schema.classes, shares, strict=True)
        }
        return _joined(parts, meta, logits=False)[back], fold

    def predict_files(
        self, paths, *, n_at_a_time=2048, backend='jax', precision='auto', progress=False
    ):
        """
        Give class probabilities for the cutouts of files of any length.

        Parameters
        ----------
        paths : str, path-like, or iterable of these
            HDF5 files of cutouts.
        n_at_a_time : int, optional
            Cutouts in memory at once, twice: the next ones are read meanwhile.
        backend : {'jax', 'onnxruntime'}, optional
            See `~clustercnn.Classifier.predict`.
        precision : {'auto', 'float32', 'bfloat16'}, optional
            See `~clustercnn.Classifier.predict`.
        progress : bool or None, optional
            Whether to show a bar; None: on a terminal.

        Returns
        -------
        predictions : iterator of PredictionSet
            Each of the next cutouts, in the order of the files: what `predict` says of them.

        Raises
        ------
        ValueError
            If the number of cutouts is not a whole number from 1.
        TableReadError
            If a file cannot be read; all are looked at before the first is classified.
        """
        self._fitted()
        if not isinstance(n_at_a_time, Integral) or n_at_a_time is True or n_at_a_time < 1:
            msg = f"'n_at_a_time' must be a whole number from 1, got {n_at_a_time!r}"
            raise ValueError(msg)
        if isinstance(paths, str | PathLike):
            paths = [paths]
        pieces = [
            (path, slice(start, min(start + n_at_a_time, length)))
            for path in paths
            for length in (stack_length(path),)
            for start in range(0, length, n_at_a_time)
        ]
        return self._predictions_of(pieces, backend=backend, precision=precision, progress=progress)

    def _predictions_of(self, pieces, **options):
        def read(piece):
            path, rows = piece
            return read_stack(path, rows=rows)

        for stack in ahead(read, pieces):
            yield self.predict(stack, **options)
