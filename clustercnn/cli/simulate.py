# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn simulate``.
"""

from clustercnn.cli._common import UsageError, add_common_arguments, positive_number, tell

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
        'simulate',
        help='simulated fields with truth',
        description='Write simulated X-ray and optical fields, each a folder with its images '
        'and the truth.',
    )
    parser.add_argument('directory', metavar='DIR', help='folder to write to')
    parser.add_argument('--mission', default='xmm', metavar='NAME', help='default: %(default)s')
    parser.add_argument(
        '--fields', type=positive_number, default=1, metavar='N', help='number of fields'
    )
    add_common_arguments(parser)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.simulate import MISSIONS, simulate_fields

    if options.mission not in MISSIONS:
        msg = f'--mission {options.mission}: there are {", ".join(MISSIONS)}'
        raise UsageError(msg)
    index = simulate_fields(
        options.directory,
        mission=options.mission,
        n_fields=options.fields,
        seed=options.seed or 0,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    folder = f'{options.directory}/{index["field"][0]}'
    command = f'clustercnn run {folder}/xray.fits --exposure {folder}/exposure.fits'
    if index['optical'][0]:
        command += f' --optical {folder}/optical.fits'
    tell(
        options,
        f'out: {len(index)} simulated fields in {options.directory}',
        f'next: {command}',
    )
