# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn train``.
"""

import shlex

from clustercnn.cli._common import (
    UsageError,
    add_common_arguments,
    looked_for,
    positive_number,
    quiet_of,
    tell,
)

__all__ = ['add_parser']


def add_parser(commands):
    """
    Add the command to the parser.

    Parameters
    ----------
    commands : object
        What ``add_subparsers`` returned.
    """
    parser = commands.add_parser(
        'train',
        help='train a classifier on labelled cutouts',
        description='Train a classifier on labelled cutouts. An interrupted training goes on '
        'where it stopped when the same command is given again; its state lies beside the '
        'model, in a folder MODEL.checkpoint that is removed when all is done.',
    )
    parser.add_argument('cutouts', nargs='+', metavar='CUTOUTS', help='cutouts, HDF5')
    parser.add_argument('labels', metavar='LABELS', help='labels by identifier, ECSV or FITS')
    parser.add_argument('--network', default='cn', metavar='NAME', help='default: %(default)s')
    parser.add_argument(
        '--runs',
        type=positive_number,
        default=1,
        metavar='N',
        help='trainings that form one ensemble',
    )
    parser.add_argument(
        '--target',
        choices=('probability', 'votes'),
        default='probability',
        help='what of the labels is learned: probabilities, or counts of votes; '
        'default: %(default)s',
    )
    parser.add_argument(
        '--positive',
        action='append',
        metavar='CLASS',
        help='the class that is looked for, repeatable; default: that of the labels',
    )
    parser.add_argument(
        '--stream',
        action='store_true',
        default=None,
        help='keep what networks see on disk, for more cutouts than fit into memory; done in any '
        'case with several files of them',
    )
    parser.add_argument(
        '--scratch',
        metavar='FOLDER',
        help='where that is kept, up to 13 bytes a pixel of X-rays and 5 of another band; default: '
        'the folder of the system for temporary files',
    )
    parser.add_argument('--epochs', type=positive_number, metavar='N', help='passes over the data')
    parser.add_argument(
        '-o', '--output', required=True, metavar='MODEL.safetensors', help='model to write'
    )
    add_common_arguments(parser)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.network import network_names

    if options.network not in network_names():
        msg = f'--network {options.network}: there are {", ".join(network_names())}'
        raise UsageError(msg)
    if options.scratch and not options.stream and len(options.cutouts) == 1:
        msg = '--scratch is for several files of cutouts, or for one with --stream'
        raise UsageError(msg)
    try:
        classifier = _train(options)
    except ValueError as error:
        if 'as well; a cutout must be there once' not in str(error):
            raise
        msg = (
            f'{error}: name the candidates of each field after it, with --prefix TEXT of '
            f'clustercnn find and run, and cut them out again'
        )
        raise ValueError(msg) from error
    counts, validation = classifier.metadata['counts'], classifier.metadata['validation']['n']
    without = []
    if 'without_votes' in counts:
        without = [f'     {counts["without_votes"]} left out: without votes']
    tell(
        options,
        f'in:  {counts["cutouts"]} cutouts in {", ".join(options.cutouts)}',
        f'out: {options.output}, trained on {counts["used"] - validation} and calibrated on '
        f'{validation}',
        *looked_for(classifier.schema, options.positive),
        f'     {counts["unlabelled"]} left out: without a label',
        f'     {counts["unknown"]} left out: labelled unknown',
        *without,
        f'     {counts["without_cutout"]} labels without a cutout left out',
        repr(classifier),
        f'next: clustercnn classify CUTOUTS --model {shlex.quote(options.output)} -o catalog.ecsv',
    )


def _train(options):
    from clustercnn.pipeline import train_classifier

    epochs = {} if options.epochs is None else {'n_epochs': options.epochs}
    return train_classifier(
        options.cutouts if len(options.cutouts) > 1 else options.cutouts[0],
        options.labels,
        positive=options.positive,
        network=options.network,
        n_runs=options.runs,
        seed=options.seed or 0,
        output=options.output,
        overwrite=options.overwrite,
        checkpoint=f'{options.output}.checkpoint',
        stream=options.stream,
        scratch=options.scratch,
        quiet=quiet_of(options),
        training_options={'target': options.target},
        **epochs,
    )
