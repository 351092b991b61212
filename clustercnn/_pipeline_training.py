# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The verb that makes a model of cutouts and labels, part of `clustercnn.pipeline`.
"""

import contextlib
from os import PathLike
from pathlib import Path

from clustercnn._classifier_spool import in_order
from clustercnn._utils.files import check_output
from clustercnn.classifier import Classifier
from clustercnn.core import CutoutStack, LabelSchema, LabelSet

__all__ = ['train_classifier']


def _remove_states(folder):
    """
    Remove what a training left in its folder, and the folder if nothing else lies in it.
    """
    for state in folder.glob('member-*.safetensors'):
        state.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def train_classifier(
    cutouts,
    labels,
    *,
    positive=None,
    network='cn',
    n_runs=1,
    seed=0,
    output=None,
    overwrite=False,
    checkpoint=None,
    stream=None,
    scratch=None,
    quiet=None,
    **options,
):
    """
    Train a classifier on labelled cutouts.

    Parameters
    ----------
    cutouts : str, path-like, CutoutStack, or list of paths
        The cutouts.
    labels : str, path-like or LabelSet
        Labels by identifier; cutouts without one are left out and counted.
    positive : str or iterable of str, optional
        The classes that count as a find; by default those of the labels.
    network : str, optional
        Name of the network.
    n_runs : int, optional
        Number of trainings, which become the members of one ensemble.
    seed : int, optional
        For initial weights, shuffling and augmentation.
    output : str or path-like, optional
        Model file to write.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    checkpoint : str or path-like, optional
        Folder for the state after each epoch, from which a killed training goes on when
        it is called again with the same arguments; removed once the model is written.
    stream : bool, optional
        Whether what networks see is kept on disk instead of in memory; by default if there are
        several files.
    scratch : str or path-like, optional
        Folder on that disk; by default that of the system.
    quiet : bool, optional
        Whether to hide the progress bar.
    **options
        See `~clustercnn.Classifier`.

    Returns
    -------
    classifier : Classifier
        Trained.

    Examples
    --------
    >>> from clustercnn.pipeline import train_classifier
    >>> from clustercnn.testing import tiny_labels, tiny_stack
    >>> classifier = train_classifier(tiny_stack(), tiny_labels(), n_epochs=1, quiet=True,
    ...                               validation_fraction=0)
    >>> classifier.schema.positive
    ('cluster',)
    """
    several = not isinstance(cutouts, CutoutStack | str | PathLike)
    stream = several if stream is None else stream
    if stream and isinstance(cutouts, CutoutStack):
        msg = "'stream' is for cutouts in files, got a CutoutStack"
        raise TypeError(msg)
    if scratch is not None and not stream:
        msg = "'scratch' is for cutouts that are kept on disk: set stream=True as well"
        raise ValueError(msg)
    if output is not None:
        check_output(output, overwrite=overwrite)
    paths = list(cutouts) if several else [cutouts]
    stack = cutouts
    if not (stream or isinstance(cutouts, CutoutStack)):
        stack = CutoutStack.concatenate([CutoutStack.read(path) for path in paths])
    label_set = labels if isinstance(labels, LabelSet) else LabelSet.read(labels)
    if positive is not None:
        schema = LabelSchema(label_set.schema.classes, positive)
        label_set = label_set.replace(schema=schema)
    ids = [name for here in in_order(paths)[0] for name in here] if stream else stack.ids
    there = set(ids)
    common = [name for name in label_set.ids if name in there]
    n_without = len(label_set) - len(common)
    # labels of a whole survey are given with some of its fields
    label_set = label_set.select(common) if common else label_set
    classifier = Classifier(
        network=network, schema=label_set.schema, seed=seed, ensemble=n_runs, **options
    )
    settings = {'checkpoint': checkpoint, 'progress': None if quiet is None else not quiet}
    if stream:
        classifier.fit_files(paths, label_set, scratch=scratch, **settings)
    else:
        classifier.fit(stack, label_set, **settings)
    classifier.metadata['counts']['without_cutout'] = n_without
    if output is not None:
        classifier.save(output, overwrite=overwrite)
        if checkpoint is not None:
            _remove_states(Path(checkpoint))
    return classifier
