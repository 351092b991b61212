# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command line: one file a command, no logic.
"""

import _thread
import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
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
        0 done, 1 the work failed, 2 wrong usage, 130 interrupted or terminated. Without ``args``,
        as the program itself, an interrupt ends the process at once with this status.

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
        return _interrupted(args)
    # preallocation would take most of a GPU for a program that needs little of it
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
    if args is None:
        _show_every_name()
        sys.unraisablehook = _deliver_again
        if hasattr(signal, 'SIGPIPE'):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # so batch systems end what has run for long enough: it cleans up, too
            signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            if options.quiet:
                warnings.simplefilter('ignore')
            options.execute(options)
    except KeyboardInterrupt:
        return _interrupted(args)
    except UsageError as error:
        print(f'clustercnn {options.command}: {error}', file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001 - a command line must not show tracebacks
        if _is_interrupt(error):
            return _interrupted(args)
        if options.verbose:
            traceback.print_exc()
        print(f'clustercnn {options.command}: {_one_line(error)}', file=sys.stderr)
        return 1
    return 0


def _show_every_name():
    """
    Write names of files that the terminal has no signs for with escapes, instead of failing.
    """
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, 'errors', None) == 'strict':
            stream.reconfigure(errors='backslashreplace')


def _interrupted(args):
    """
    Say that the work was interrupted and return the status of that.

    The program itself, which is given no ``args``, leaves here: what it began is cleaned up,
    but threads of compiled code may still be at work, and crash while the interpreter takes
    itself apart.
    """
    with contextlib.suppress(OSError, ValueError):
        print('clustercnn: interrupted', file=sys.stderr)
    if args is None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(130)
    return 130


def _deliver_again(lost):
    """
    Interrupt once more where the first time hit what cannot be interrupted.

    Python drops what is raised in its garbage collection, where JAX has work done too.
    """
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    # a signal also wakes what sleeps; not at once, which would be dropped again
    call, arguments = _thread.interrupt_main, ()
    if hasattr(signal, 'pthread_kill'):
        call, arguments = signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)
    again = threading.Timer(0.1, call, arguments)
    again.daemon = True
    again.start()


def _is_interrupt(error):
    """
    Return whether an error came of an interrupt that compiled code made another one of.
    """
    found, reached = [error], set()
    while found:
        one = found.pop()
        if one is None or id(one) in reached:
            continue
        if isinstance(one, KeyboardInterrupt):
            return True
        reached.add(id(one))
        found += [one.__cause__, one.__context__]
    return False


def _one_line(error):
    """
    Return an error's message on one line; name its kind where we did not write it.
    """
    from clustercnn.exceptions import ClusterCNNError

    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = ' '.join(text.split())
    if isinstance(error, (ClusterCNNError, OSError, ValueError, KeyError)):
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
