# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command line: one file a command, no logic.
"""

import argparse
import importlib
import os
import signal
import sys
import traceback
import warnings

import clustercnn
from clustercnn.cli._common import UsageError

__all__ = ['build_parser', 'main']

_COMMANDS = (
    'demo',
    'run',
    'find',
    'cut',
    'labels',
    'train',
    'classify',
    'simulate',
    'experiment',
    'check',
    'info',
)


def build_parser():
    """
    Return the parser of the whole command line.

    Returns
    -------
    parser : `~argparse.ArgumentParser`
        With a sub-parser a command.

    Examples
    --------
    >>> from clustercnn.cli import build_parser
    >>> build_parser().parse_args(['info']).command
    'info'
    """
    parser = argparse.ArgumentParser(
        prog='clustercnn',
        description='Find and classify galaxy-cluster candidates in X-ray images.',
        epilog='Exit status: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.',
    )
    parser.add_argument(
        '--version', action='version', version=f'clustercnn {clustercnn.__version__}'
    )
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name in _COMMANDS:
        importlib.import_module(f'clustercnn.cli.{name}').add_parser(commands)
    return parser


def main(args=None):
    """
    Run one command.

    Parameters
    ----------
    args : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    status : int
        0 done, 1 the work failed, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> from clustercnn.cli import main
    >>> main(['find', 'no-such-image.fits', '-o', 'x.ecsv'])
    1
    """
    try:
        options = build_parser().parse_args(args)
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print('clustercnn: interrupted', file=sys.stderr)
        return 130
    # preallocation would take most of a GPU for a program that needs little of it
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
    if hasattr(signal, 'SIGPIPE') and args is None:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            if options.quiet:
                warnings.simplefilter('ignore')
            options.execute(options)
    except KeyboardInterrupt:
        print('clustercnn: interrupted', file=sys.stderr)
        return 130
    except UsageError as error:
        print(f'clustercnn {options.command}: {error}', file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001 - a command line must not show tracebacks
        if options.verbose:
            traceback.print_exc()
        print(f'clustercnn {options.command}: {_one_line(error)}', file=sys.stderr)
        return 1
    return 0


def _one_line(error):
    """
    Return an error's message on one line; name its kind where we did not write it.
    """
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = ' '.join(text.split())
    if isinstance(error, (clustercnn.exceptions.ClusterCNNError, OSError, ValueError, KeyError)):
        return text or type(error).__name__
    return (
        f'{type(error).__name__}: {text} (not foreseen: please report it with the output of '
        f'the same command with -v)'
    )


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """
    Show a warning as one line without the place in the code.
    """
    print(f'clustercnn: warning: {" ".join(str(message).split())}', file=sys.stderr)
