"""A child is started without a shell, its end is told, and it is always reaped."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest
from descriptor_ends import descriptors

from tincans.conformance.patience import eventually
from tincans.errors import AddressError, UnreachableError
from tincans.toolkit import child_process
from tincans.toolkit.child_process import end_child, how_it_ended, split_command, start_child


def started(code: str) -> child_process.subprocess.Popen[bytes]:
    """A Python child that has said something; its streams are closed here, and its own stay open for it."""
    child, read_fd, write_fd = start_child([sys.executable, "-c", code])
    os.read(read_fd, 1)
    os.close(read_fd)
    os.close(write_fd)
    return child


STUBBORN = "import os, signal, time; signal.signal(signal.SIGTERM, {what}); os.write(1, b'1'); time.sleep(60)"


@pytest.mark.parametrize("command", ["", "  ", "python 'worker.py", 'say "hello', "a\0b"])
def test_what_is_no_command_is_refused(command: str) -> None:
    with pytest.raises(AddressError):
        split_command(command)


def test_words_mean_no_shell() -> None:
    assert split_command("echo $HOME; rm -rf '*' | x > y") == ["echo", "$HOME;", "rm", "-rf", "*", "|", "x", ">", "y"]


def test_a_command_that_is_not_there_is_told_with_what_to_do() -> None:
    before = descriptors()
    with pytest.raises(UnreachableError, match="There is no command 'no-such-command'") as caught:
        start_child(["no-such-command"])
    assert not caught.value.temporary
    assert sys.executable in str(caught.value)
    assert descriptors() == before


def test_a_directory_that_is_not_there_is_told() -> None:
    with pytest.raises(UnreachableError, match="directory /no/such"):
        start_child([sys.executable], "/no/such")


def test_a_file_that_is_no_program_is_told() -> None:
    with pytest.raises(UnreachableError, match="cannot be started"):
        start_child([__file__])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os.write(1, b'1')", "exited with status 0"),
        ("import os; os.write(1, b'1'); raise SystemExit(3)", "exited with status 3"),
        ("import os; os.write(1, b'1'); os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
    ],
)
def test_how_it_ended_is_told(code: str, told: str) -> None:
    child = started(code)
    child.wait()
    assert told in how_it_ended(child, "worker")


def test_a_child_that_only_closed_its_output_is_told() -> None:
    child, read_fd, write_fd = start_child([sys.executable, "-c", "import os; os.close(1); os.read(0, 1)"])
    assert os.read(read_fd, 1) == b""
    assert "still runs" in how_it_ended(child, "worker")
    os.close(write_fd)
    os.close(read_fd)
    end_child(child)
    eventually(lambda: child.returncode is not None)


def test_a_child_that_has_ended_is_reaped_at_once() -> None:
    child, read_fd, write_fd = start_child([sys.executable, "-c", ""])
    os.read(read_fd, 1)
    os.close(read_fd)
    os.close(write_fd)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    threads = threading.active_count()
    end_child(child)
    assert child.returncode == 0
    assert threading.active_count() == threads


def test_a_child_that_ignores_the_end_of_its_input_is_terminated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "END_SECONDS", 0.05)
    child = started(STUBBORN.format(what="signal.SIG_DFL"))
    end_child(child)
    eventually(lambda: child.returncode is not None)
    assert child.returncode == -signal.SIGTERM


def test_a_child_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "END_SECONDS", 0.05)
    monkeypatch.setattr(child_process, "TERM_SECONDS", 0.05)
    child = started(STUBBORN.format(what="signal.SIG_IGN"))
    end_child(child)
    eventually(lambda: child.returncode is not None)
    assert child.returncode == -signal.SIGKILL
