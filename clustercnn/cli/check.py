# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn check``.
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
        'check',
        help='what is wrong with these files, and what to do',
        description='Say what each file is, what is wrong with it and what to do. The status is '
        '1 if anything is wrong.',
    )
    parser.add_argument('files', nargs='+', metavar='FILE', help='files of any kind')
    add_common_arguments(parser, seed=False, overwrite=False)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.exceptions import ClusterCNNError
    from clustercnn.io import check_files

    reports = check_files(options.files)
    for report in reports:
        facts = ', '.join(f'{name} {value}' for name, value in report.facts.items())
        print(f'{report.path}: {report.kind}' + (f' ({facts})' if facts else ''))
        for problem in report.problems:
            print(f'  problem: {problem}')
    bad = sum(not report.ok for report in reports)
    if bad:
        msg = f'{bad} of {len(reports)} files have problems'
        raise ClusterCNNError(msg)
