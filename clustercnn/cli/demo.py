# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn demo``.
"""

from clustercnn.cli._common import add_common_arguments, quiet_of, tell
from clustercnn.cli.run import describe

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
        'demo',
        help='the whole chain on a simulated field, offline',
        description='Simulate a survey field, find and classify its sources with the shipped '
        'model, and write catalogue and report. Needs no network and no GPU.',
    )
    parser.add_argument(
        '-o', '--output', default='clustercnn-demo', metavar='DIR', help='default: %(default)s'
    )
    add_common_arguments(parser)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.demo import run_demo

    seed = {} if options.seed is None else {'seed': options.seed}
    result, truth = run_demo(
        options.output, overwrite=options.overwrite, quiet=quiet_of(options), **seed
    )
    tell(
        options,
        *describe(result),
        f'simulated truth: {truth["clusters_accepted"]} of {truth["clusters_found"]} clusters '
        f'found have p_cluster above 0.5, and {truth["others_accepted"]} of '
        f'{truth["others_found"]} other sources',
        f'open {result.files["report.html"]}',
    )
