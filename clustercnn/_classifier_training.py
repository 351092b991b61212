# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How a classifier is trained: on cutouts in memory, or on files of them.
"""

import dataclasses
from os import PathLike
from pathlib import Path

import numpy as np

from clustercnn import _classifier_file as model_file
from clustercnn._classifier_data import (
    check_apart,
    check_classes,
    check_counts,
    check_kinds,
    check_start,
    check_validation,
    checked_groups,
    choose_validation,
    class_prior,
    initial_parameters,
    inputs_of,
    join_labels,
    labelled,
    labelled_dataset,
)
from clustercnn._classifier_measure import measure
from clustercnn._classifier_spool import in_order, scratch_folder, spool, without_unknown
from clustercnn.core import CutoutStack, LabelSchema, LabelSet
from clustercnn.exceptions import TrainingError
from clustercnn.network import build_network, n_rows, to_dict
from clustercnn.training import digest, make_steps, prediction_steps, train

__all__ = ['Training']


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """
    Which cutouts are learnt from, and which are held back.

    Parameters
    ----------
    schema : LabelSchema
        The classes.
    rows, held_rows : 1D `~numpy.ndarray` of int
        Of the cutouts.
    labels, held_labels : LabelSet
        Their labels.
    counts : dict
        Cutouts in and out.
    split : str
        How it was decided.
    """

    schema: LabelSchema
    rows: np.ndarray
    labels: LabelSet
    held_rows: np.ndarray
    held_labels: LabelSet
    counts: dict
    split: str


class Training:
    """
    Part of `~clustercnn.Classifier`.
    """

    def fit(
        self, stack, label_set, *, validation=None, groups=None, checkpoint=None, progress=None
    ):
        """
        Train.

        Parameters
        ----------
        stack : CutoutStack
            The cutouts.
        label_set : LabelSet
            Their labels by identifier, hard or soft, with weights, and with votes where
            ``training_options={'target': 'votes'}``. Cutouts without a label, with an unknown
            one, or then without votes, are left out and counted.
        validation : 2-tuple of CutoutStack and LabelSet, optional
            What chooses the epoch and calibrates.
        groups : 1D array-like, optional
            One value a cutout, such as the field or the region of the sky; the split
            into training and validation then keeps groups whole, as it must be where
            neighbouring cutouts overlap.
        checkpoint : str or path-like, optional
            Folder for the state after each epoch; a killed run called again with the
            same arguments goes on from there to the same bits.
        progress : bool, optional
            Whether to show bars; on a terminal by default.

        Returns
        -------
        classifier : Classifier
            This object.

        Raises
        ------
        ValueError
            If labels and cutouts, or the bands of the two stacks, do not fit, an X-ray band is not
            in counts, or labelled cutouts of ``stack`` are among those for validation.
        TrainingError
            If there is nothing to learn from, or to keep frozen, a loss is not finite, or the
            checkpoint belongs to another training.
        """
        check_kinds(stack, label_set, 'training')
        plan = self._plan(stack.ids, label_set, groups=groups, validation=validation)
        network = self._network_for(plan, inputs_of(stack))
        held = self._validation(network, plan, validation, stack.band_names)
        if validation is not None:
            check_apart(stack, label_set, *validation)
        config = self.training_config
        if len(plan.held_rows):
            held = labelled_dataset(network.inputs, stack[plan.held_rows], plan.held_labels, config)
        dataset = labelled_dataset(network.inputs, stack[plan.rows], plan.labels, config)
        return self._learn(network, plan, dataset, held, stack.ids, checkpoint, progress)

    def fit_files(
        self,
        paths,
        label_set,
        *,
        validation=None,
        groups=None,
        checkpoint=None,
        progress=None,
        scratch=None,
    ):
        """
        Train on cutouts in files, of which few are in memory at a time.

        Parameters
        ----------
        paths : str, path-like, or iterable of these
            HDF5 files of cutouts.
        label_set, validation, checkpoint, progress
            As of `fit`, but whether a cutout is both trained on and validated with is not looked
            at.
        groups : 1D array-like, optional
            As of `fit`: one value a cutout, in the order of the files.
        scratch : str or path-like, optional
            Folder for what is made of the cutouts, up to 13 bytes a pixel of X-rays and 5 of
            another band, in files without a name that go when this process ends; by default that
            of the system, which may be in memory.

        Returns
        -------
        classifier : Classifier
            This object, the same as if `fit` had been given all at once.

        Raises
        ------
        ValueError
            If labels and cutouts do not fit, a cutout is in two files, or a band has two units.
        TableReadError
            If a file cannot be read, or changes meanwhile.
        OSError
            If there is no folder for scratch files, or no room in it.
        TrainingError
            As of `fit`.

        Notes
        -----
        The planes of the network are kept on disk, in the order of the labels, and each batch
        is read while the one before is learnt from. Bands and numbers of the finder are all
        those of any file; the first file with a band decides its geometry.
        """
        if not isinstance(label_set, LabelSet):
            msg = f'training needs a LabelSet, got {type(label_set).__name__}'
            raise TypeError(msg)
        if isinstance(paths, CutoutStack):
            msg = "'paths' must name files, got a CutoutStack, for which there is fit()"
            raise TypeError(msg)
        folder = scratch_folder(scratch)
        paths = [paths] if isinstance(paths, str | PathLike) else list(paths)
        by_file, found = in_order(paths)
        ids = [name for here in by_file for name in here]
        plan = self._plan(ids, label_set, groups=groups, validation=validation)
        inputs = found if self._origin is None else self._origin['network'].inputs
        wanted = [plan.rows, plan.held_rows]
        (dataset, held), known = spool(
            paths, by_file, inputs, wanted, folder=folder, progress=progress
        )
        if self._origin is None:
            inputs = without_unknown(inputs, [dataset, held], known)
        network = self._network_for(plan, inputs)
        config = self.training_config
        dataset |= labelled(plan.labels, config)
        if len(plan.held_rows):
            held |= labelled(plan.held_labels, config)
        else:
            held = self._validation(network, plan, validation, found.band_names)
        return self._learn(network, plan, dataset, held, ids, checkpoint, progress)

    def _plan(self, ids, label_set, *, groups, validation):
        """
        Settle what is learnt from before anything of it is looked at.
        """
        config = self.training_config
        check_start(config, self._weights, self._origin)
        schema = check_classes(label_set, self.schema, config)
        if validation is not None:
            check_validation(validation, schema)
        rows, labels, counts = join_labels(ids, label_set, 'training', config)
        chosen, kind = None, 'given'
        if validation is None:
            groups = None if groups is None else checked_groups(groups, len(ids))[rows]
            chosen = choose_validation(
                labels.hard(), groups, fraction=self.validation_fraction, seed=self.seed
            )
            kind = 'none' if chosen is None else 'groups' if groups is not None else 'random'
        chosen = np.zeros(len(rows), bool) if chosen is None else chosen
        return _Plan(
            schema=schema,
            rows=rows[~chosen],
            labels=labels[~chosen],
            held_rows=rows[chosen],
            held_labels=labels[chosen],
            counts=counts,
            split=kind,
        )

    def _network_for(self, plan, inputs):
        """
        Return the network that is trained: another one, or that of the model started from.
        """
        if self._origin is not None:
            return self._origin['network']
        n_classes = plan.schema.n_classes
        return build_network(
            self.network, inputs, n_classes=n_classes, options=self._network_options
        )

    def _validation(self, network, plan, validation, band_names):
        """
        Return the data set that was given for validation, if any.
        """
        if validation is None:
            return None
        stack, label_set = validation
        used = [name for name in network.inputs.band_names if name in band_names]
        missing = [name for name in used if name not in stack.band_names]
        if missing:
            msg = (
                f'the validation stack has the bands {stack.band_names}, but training '
                f'uses {tuple(used)}'
            )
            raise ValueError(msg)
        check_counts(stack, [spec.name for spec in network.inputs.bands if spec.kind == 'xray'])
        config = self.training_config
        rows, labels, _ = join_labels(stack.ids, label_set, 'validation', config)
        return labelled_dataset(network.inputs, stack[rows], labels, config)

    def _learn(self, network, plan, dataset, held, ids, checkpoint, progress):
        """
        Train the members, calibrate them, and keep what came of it.
        """
        config = self.training_config
        names = [ids[row] for row in plan.rows]
        members = self._train(network, plan.schema, dataset, held, names, checkpoint, progress)
        self.schema = plan.schema
        dihedral = network.dihedral if self._dihedral is None else bool(self._dihedral)
        steps = prediction_steps(network, dihedral, config.precision)
        params = [member.params for member in members]
        prior = class_prior(dataset, config)
        measured = measure(
            steps,
            params,
            dataset,
            held,
            config=config,
            seed=self.seed,
            # what is held back at random has the same shares but for chance, and is of one survey
            prior=prior if plan.split == 'given' else None,
        )
        classes = plan.labels.counts()
        description = {
            'dihedral': dihedral,
            'history': [list(member.history) for member in members],
            'best_epoch': [member.best_epoch for member in members],
            'seed': self.seed,
            'training': to_dict(config),
            'counts': plan.counts,
            'classes': {k: v for k, v in classes.items() if k in plan.schema.classes},
            'class_prior': prior,
            'data_digest': digest(dataset),
            'validation': {
                'split': plan.split,
                'n': 0 if held is None else n_rows(held),
                'fraction': self.validation_fraction,
            },
            'temperature': measured.temperature,
            'calibration': {},
            'ood_unit': measured.unit,
        }
        self._model = {
            'network': network,
            'members': params,
            'references': measured.references,
            'statistics': measured.statistics,
            'description': model_file.complete(
                description, weights=self._weights, origin=self._origin
            ),
        }
        self._runtime = None
        return self

    def _train(self, network, schema, dataset, held, names, checkpoint, progress):
        if checkpoint is not None:
            Path(checkpoint).mkdir(parents=True, exist_ok=True)
        steps = make_steps(network, self.training_config, n_rows(dataset))
        start = initial_parameters(network, self._weights, self._origin)
        members = []
        for number in range(self.ensemble):
            label = 'train' if self.ensemble == 1 else f'train {number + 1}/{self.ensemble}'
            path = Path(checkpoint) / f'member-{number}.safetensors' if checkpoint else None
            # another network for each member and for each seed
            seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            try:
                members.append(
                    train(
                        network,
                        self.training_config,
                        dataset,
                        seed=seed,
                        initial=start(number, seed),
                        positive=schema.positive_codes,
                        validation=held,
                        checkpoint=path,
                        steps=steps,
                        progress=progress,
                        label=label,
                    )
                )
            except TrainingError as error:
                if getattr(error, 'rows', None) is None:
                    raise
                some = [names[row] for row in error.rows[:8]]
                msg = f'{error}; the batch held {", ".join(some)}, ...'
                named = TrainingError(msg)
                named.result, named.rows = error.result, error.rows
                raise named from error
        return members
