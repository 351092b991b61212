# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn classify``.
"""

import shlex

from clustercnn.cli._common import add_common_arguments, fraction, quiet_of, tell

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
        'classify',
        help='classify cutouts with a model',
        description='Classify cutouts and write the catalogue ranked by the probability of '
        'being a galaxy cluster.',
    )
    parser.add_argument('cutouts', metavar='CUTOUTS', help='cutouts, HDF5')
    parser.add_argument(
        '--model', default='default', metavar='NAME|PATH', help='shipped model or model file'
    )
    parser.add_argument(
        '--backend',
        choices=('jax', 'onnxruntime'),
        default='jax',
        help='what computes the networks (default: %(default)s)',
    )
    parser.add_argument(
        '--prior',
        type=fraction,
        metavar='SHARE',
        help="share of clusters among these candidates (default: that of the model's training, "
        'at which alone the thresholds of its card hold)',
    )
    parser.add_argument(
        '-o',
        '--output',
        required=True,
        metavar='CATALOG',
        help='catalogue to write: .ecsv, .fits, .vot or .reg',
    )
    add_common_arguments(parser, seed=False)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.core import PredictionSet
    from clustercnn.pipeline import classify_cutouts

    result = classify_cutouts(
        options.cutouts,
        model=options.model,
        backend=options.backend,
        prior=options.prior,
        output=options.output,
        overwrite=options.overwrite,
        quiet=quiet_of(options),
    )
    predicted = result.columns() if isinstance(result, PredictionSet) else result
    accepted = int((predicted['p_cluster'] > 0.5).sum())
    missing = result.meta.get('missing_bands', '')
    tell(
        options,
        f'in:  {len(result)} cutouts in {options.cutouts}',
        f'out: {len(result)} classified in {options.output}, {accepted} with p_cluster above 0.5; '
        f'none was left out',
        *(
            f"     band '{name}' is not there: the model judged without it"
            for name in missing.split(', ')
            if name
        ),
        f'next: {"ds9 IMAGE -regions" if options.output.endswith(".reg") else "topcat"} '
        f'{shlex.quote(options.output)}',
    )
