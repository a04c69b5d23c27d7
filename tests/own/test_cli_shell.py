"""The command as a shell meets it: help, usage errors, completion, a missing library.

Rules of this file
- Data is on stdout or nothing is; every complaint is on stderr.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tincans.cli import program
from tincans.version import VERSION

COMMANDS = sorted(program.tincans.commands)


def test_the_commands_are_those_that_are_documented() -> None:
    documented = "bench call completion demo describe doctor get methods ps pub put serve set sub take watch which"
    assert documented.split() == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples" in shown
    assert f"tincans {command}" in shown


def test_the_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "130  Ctrl-C" in shown
    assert "4  no answer in time" in shown


def test_the_version_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["--version"]) == 0
    assert capsys.readouterr().out == f"{VERSION}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["cal"],
        ["call"],
        ["call", "alice"],
        ["which", "dance"],
        ["take", "alice", "jobs", "--count", "0"],
        ["call", "alice", "add", "--timeout", "soon"],
        ["call", "alice", "add", "--verbos"],
        ["call", "alice", "add", "[1"],
        ["demo", "--only", "smoke"],
        ["serve", "no_such_module_for_cli"],
        ["call", "nomethod:alice", "add"],
    ],
)
def test_a_usage_error_ends_with_2_and_says_so_on_stderr(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.strip()


def test_no_command_shows_the_help() -> None:
    done = subprocess.run([sys.executable, "-m", "tincans"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage" in done.stdout + done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["completion", shell]) == 0
    assert f"_TINCANS_COMPLETE={shell}_complete" in capsys.readouterr().out


def completed(words: str) -> list[str]:
    """What a shell would be offered after these words."""
    done = subprocess.run(
        [sys.executable, "-m", "tincans"],
        env={
            "_TINCANS_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
            "PATH": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_complete() -> None:
    assert completed("tincans de") == ["demo", "describe"]


def test_verbs_complete() -> None:
    assert completed("tincans which sha") == ["share"]


@pytest.mark.parametrize("library", ["click", "rich_click"])
def test_a_missing_library_is_named_with_the_command_that_brings_it(library: str) -> None:
    missing = f"import sys; sys.modules[{library!r}] = None; from tincans.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", missing], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert done.stdout == ""
    assert "pip install 'tincans[cli]'" in done.stderr
