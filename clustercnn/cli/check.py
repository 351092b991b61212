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
        help='what these files are, what is wrong with them, and what to do',
        description='Say what each file is, what is wrong with it and what to do. Exposure and '
        'background maps are compared with the first counts image. The status is 1 if any file '
        'cannot be used.',
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
        if not options.quiet:
            for doubt in report.doubts:
                print(f'  note: {doubt}')
    bad = [report.path for report in reports if not report.ok]
    if bad:
        msg = f'{len(bad)} of {len(reports)} files have problems: {", ".join(bad)}'
        raise ClusterCNNError(msg)
