# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
An interrupt ends a command with status 130, whatever compiled code makes of it.
"""

import subprocess
import sys

import pytest

from clustercnn.cli import info, main


def _made_of(error, how):
    """
    Return what compiled code may make of an error.
    """
    made = SystemError('a built-in returned a result with an exception set')
    if how == 'plain':
        return error
    if how == 'context':
        made.__context__, made.__suppress_context__ = error, True
        return made
    made.__cause__ = error
    if how == 'cause':
        return made
    outer = ValueError('a computation failed')
    outer.__cause__, outer.__context__ = RuntimeError('the last of several'), made
    # chains of errors may be rings
    outer.__cause__.__context__ = outer
    return outer


def _stop_with(error):
    def execute(options):
        raise error

    return execute


@pytest.mark.parametrize('how', ['plain', 'context', 'cause', 'chain'])
def test_what_an_interrupt_becomes_is_an_interrupt(how, monkeypatch, capsys):
    monkeypatch.setattr(info, '_execute', _stop_with(_made_of(KeyboardInterrupt(), how)))
    assert main(['info']) == 130
    assert capsys.readouterr().err == 'clustercnn: interrupted\n'


@pytest.mark.parametrize('how', ['plain', 'context', 'cause', 'chain'])
def test_another_error_is_none(how, monkeypatch, capsys):
    monkeypatch.setattr(info, '_execute', _stop_with(_made_of(KeyError('nothing there'), how)))
    assert main(['info']) == 1
    assert capsys.readouterr().err.startswith('clustercnn info: ')


# what ends the interpreter badly stands for threads of compiled code that are still at work
PROGRAM = """
import atexit, gc, os, signal, sys, time
from clustercnn.cli import info, main
from clustercnn._utils.files import atomic_path

# programs that are started in the background ignore it
signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt():
    if 'terminated' in sys.argv[0]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(40)
    if 'lost' not in sys.argv[0]:
        raise KeyboardInterrupt
    def collecting(phase, facts):
        gc.callbacks.remove(collecting)
        raise KeyboardInterrupt
    gc.callbacks.append(collecting)
    gc.collect()
    time.sleep(40)
    print('not interrupted')

def execute(options):
    print('begun')
    with atomic_path('result.txt') as temporary:
        temporary.write_text('half')
        interrupt()

info._execute = execute
sys.argv = [sys.argv[1], 'info']
atexit.register(os.abort)
sys.exit(main())
"""


@pytest.mark.parametrize('how', ['plain', 'lost', 'terminated'])
def test_the_program_leaves_without_taking_the_interpreter_apart(how, tmp_path):
    # an interrupt in the midst of garbage collection is lost
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, how],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (130, 'begun\n')
    assert done.stderr == 'clustercnn: interrupted\n'
    assert list(tmp_path.iterdir()) == []
