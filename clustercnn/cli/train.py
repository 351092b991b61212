# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn train``.
"""

from clustercnn.cli._common import add_common_arguments, quiet_of, tell

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
        'where it stopped when the same command is given again.',
    )
    parser.add_argument('cutouts', metavar='CUTOUTS', help='cutouts, HDF5')
    parser.add_argument('labels', metavar='LABELS', help='labels by identifier, ECSV or FITS')
    parser.add_argument('--network', default='cn', metavar='NAME', help='default: %(default)s')
    parser.add_argument(
        '--runs', type=int, default=1, metavar='N', help='trainings that form one ensemble'
    )
    parser.add_argument('--epochs', type=int, metavar='N', help='passes over the data')
    parser.add_argument(
        '-o', '--output', required=True, metavar='MODEL.safetensors', help='model to write'
    )
    add_common_arguments(parser)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.pipeline import train_classifier

    epochs = {} if options.epochs is None else {'n_epochs': options.epochs}
    classifier = train_classifier(
        options.cutouts,
        options.labels,
        network=options.network,
        n_runs=options.runs,
        seed=options.seed or 0,
        output=options.output,
        overwrite=options.overwrite,
        quiet=quiet_of(options),
        **epochs,
    )
    tell(
        options,
        repr(classifier),
        f'next: clustercnn classify CUTOUTS --model {options.output} -o catalog.ecsv',
    )
