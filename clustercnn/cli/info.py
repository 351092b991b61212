# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn info``.
"""

from clustercnn.cli._common import add_common_arguments

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
        'info',
        help='versions and devices',
        description='Print the versions of the package and of what it stands on, the devices '
        'that computations run on, and the shipped models.',
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    add_common_arguments(parser, seed=False, overwrite=False)
    parser.set_defaults(execute=_execute)


def _execute(options):
    import json

    from clustercnn.provenance import system_information

    information = system_information()
    if options.json:
        print(json.dumps(information, indent=2))
        return
    versions = information.pop('versions')
    for name, value in {**versions, **information}.items():
        text = ', '.join(value) if isinstance(value, list) else value
        print(f'{name:14s} {text}')
