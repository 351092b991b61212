# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn experiment``.
"""

from clustercnn.cli._common import add_common_arguments, positive_number, quiet_of, tell

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
        'experiment',
        help='published experiments, made again',
        description='Make published experiments again with this package.',
    )
    names = parser.add_subparsers(dest='name', metavar='NAME', required=True)
    one = names.add_parser(
        'kosiba2020',
        help='networks and labels compared',
        description='Compare the networks of Kosiba et al. (2020) and the one of this package, '
        'trained on labels of experts and of volunteers. Sky and people are simulated unless '
        '--data names the published image set. An interrupted run goes on where it stopped when '
        'the command is given again. --overwrite removes another experiment from the folder; one '
        'with the same settings is kept and gone on with all the same.',
    )
    one.add_argument('-o', '--output', required=True, metavar='DIR', help='folder to write to')
    one.add_argument(
        '--data', metavar='PATH', help='the published image set, Kosiba2020.zip or its folder'
    )
    one.add_argument(
        '--quick', action='store_true', help='a small version of minutes, not for conclusions'
    )
    one.add_argument(
        '--workers',
        type=positive_number,
        default=2,
        metavar='N',
        help='processes that simulate; default: %(default)s',
    )
    add_common_arguments(one)
    one.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.experiments import Kosiba2020Config, run_kosiba2020
    from clustercnn.experiments.tables import describe_sample, headline

    make = Kosiba2020Config.quick if options.quick else Kosiba2020Config
    results = run_kosiba2020(
        options.output,
        data=options.data,
        config=make(seed=options.seed or 0),
        n_workers=options.workers,
        overwrite=options.overwrite,
        quiet=quiet_of(options),
    )
    tell(
        options,
        *describe_sample(results),
        *headline(results),
        f'out: {options.output}/results.json and figures',
        f'next: open {options.output}/report.html',
    )
