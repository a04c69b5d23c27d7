"""A child process spoken to over its standard input and output: how it starts, how it ended, and its certain end.

Rules of this file
- No shell: the command line is split into words as a shell would, and nothing else of a shell happens.
- A child is always reaped. It is asked by the end of its input, then by SIGTERM, then SIGKILL, each with its time.
- Nobody waits for that: `end_child` returns at once. The thread it starts is no daemon, so that the program's exit
  leaves no child behind; it ends within END_SECONDS and TERM_SECONDS.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading

from tincans.errors import AddressError, UnreachableError

END_SECONDS = 2.0
TERM_SECONDS = 1.0
_LAST_BREATH = 0.05
"""Seconds that a child whose output has ended is given to exit, so that its status can be told."""


def split_command(command: str) -> list[str]:
    """The words of a command line. AddressError when it has none, or an open quote.

    >>> split_command("python 'my worker.py' -v")
    ['python', 'my worker.py', '-v']
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise AddressError(f"The command {command!r} cannot be read: {error}.") from None
    if not words or "\0" in command:
        raise AddressError("There is no command to start. Say stdio:COMMAND, such as 'stdio:python worker.py'.")
    return words


def start_child(words: list[str], directory: str = "") -> tuple[subprocess.Popen[bytes], int, int]:
    """Start it; the process, the descriptor to read its output from, and the one to write its input to.

    UnreachableError, not temporary, when it cannot be started. Its standard error is ours.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as its:
        try:
            its_input, our_output = os.pipe()
            its.callback(os.close, its_input)
            ours.callback(os.close, our_output)
            our_input, its_output = os.pipe()
            its.callback(os.close, its_output)
            ours.callback(os.close, our_input)
            child = subprocess.Popen(words, stdin=its_input, stdout=its_output, cwd=directory or None)
        except OSError as error:
            raise UnreachableError(_why_not(words, directory, error), temporary=False) from None
        ours.pop_all()
    return child, our_input, our_output


def _why_not(words: list[str], directory: str, error: OSError) -> str:
    if directory and error.filename == directory:
        return f"The directory {directory} for the command {words[0]!r} cannot be used: {error.strerror}."
    if isinstance(error, FileNotFoundError):
        return (
            f"There is no command {words[0]!r}. Check its spelling and PATH, or give its whole path;"
            f" the Python that runs this program is {sys.executable}."
        )
    return f"The command {words[0]!r} cannot be started: {error.strerror}. Check that it is a program that you may run."


def how_it_ended(child: subprocess.Popen[bytes], name: str) -> str:
    """A sentence on the exit of a child whose output has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_LAST_BREATH)
    status = child.returncode
    if status is None:
        return f" The command {name!r} closed its standard output but still runs."
    if status < 0:
        return f" The command {name!r} was killed by {_signal_name(-status)}."
    return f" The command {name!r} exited with status {status}; what it said on standard error is above."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_child(child: subprocess.Popen[bytes]) -> None:
    """See to it that the child, whose input has been closed, ends and is reaped. Returns at once."""
    if child.poll() is not None or sys.is_finalizing():  # an ending program starts no threads: the closed input must do
        return
    with contextlib.suppress(RuntimeError):  # the same, as newer Pythons say it
        threading.Thread(target=_end, args=(child,), name="tincans-child", daemon=False).start()


def _end(child: subprocess.Popen[bytes]) -> None:
    for ask, seconds in ((None, END_SECONDS), (child.terminate, TERM_SECONDS), (child.kill, None)):
        if ask is not None:
            ask()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            return
