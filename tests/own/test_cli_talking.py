"""The command line from end to end: real programs, started as a shell would start them.

Rules of this file
- One server program for the whole file; each test uses names of its own on it.
- stdout is compared whole: a stray word there breaks somebody's script.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import tincans
from tincans.cli import boards
from tincans.conformance.patience import eventually

SHOP = '''
import collections.abc, sys, time

def add(a: int, b: int = 10) -> int:
    """The sum of two numbers."""
    return a + b

def greet(name: str, loud: bool = False) -> str:
    return f"hello {name}!" if loud else f"hello {name}"

def count_to(last: int) -> collections.abc.Iterator[int]:
    yield from range(1, last + 1)

def nothing() -> None: ...

def picture() -> bytes:
    return bytes([0, 255, 10])

def refuse() -> None:
    raise ValueError("not today")

def nap(seconds: float) -> None:
    time.sleep(seconds)

def shout() -> str:
    print("a stray word")
    return "done"
'''

PATIENCE = 20.0


class Shell:
    """Runs `tincans` in one runtime directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {**os.environ, "TINCANS_RUNTIME_DIR": str(place / "run"), "NO_COLOR": "1"}
        self.started: list[subprocess.Popen[str]] = []

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "tincans", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            env=self.environment,
            cwd=self.place,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """One command that goes on."""
        program = subprocess.Popen(
            [sys.executable, "-m", "tincans", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.place,
        )
        self.started.append(program)
        return program

    def end(self) -> None:
        for program in self.started:
            program.kill()
            program.communicate()


def first_line(stream: IO[str] | None) -> str:
    """The next line of a program, which must come in time."""
    assert stream is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(stream, selectors.EVENT_READ)
        assert waiting.select(PATIENCE), "the program said nothing in time"
    return stream.readline()


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """A shell beside a program that serves SHOP as `unix:shop`."""
    with tempfile.TemporaryDirectory(prefix="tincans-cli-") as place:
        opened = Shell(Path(place))
        (opened.place / "shop.py").write_text(SHOP)
        try:
            server = opened.start("serve", "shop", "--on", "unix:shop")
            assert first_line(server.stderr) == "tincans: serving shop at unix:shop\n"
            yield opened
        finally:
            opened.end()


def test_a_result_is_printed_and_nothing_else(shell: Shell) -> None:
    done = shell.run("call", "unix:shop", "add", "2", "5")
    assert (done.stdout, done.stderr, done.returncode) == ("7\n", "", 0)


def test_the_promise_of_the_readme_holds_for_the_standard_library(shell: Shell) -> None:
    server = shell.start("serve", "statistics", "--on", "unix:stats")
    first_line(server.stderr)
    assert shell.run("call", "unix:stats", "mean", "[1,2,3,4]").stdout == "2.5\n"


@pytest.mark.parametrize(
    ("words", "stdout"),
    [
        (["add", "-5"], "5\n"),
        (["add", "2", "b=3"], "5\n"),
        (["greet", "Bob"], "hello Bob\n"),
        (["greet", "name=Bob", "loud=true"], "hello Bob!\n"),
        (["greet", '"5"', "--json"], '"hello 5"\n'),
        (["nothing"], ""),
        (["nothing", "--json"], "null\n"),
        (["shout"], "done\n"),
    ],
)
def test_words_become_arguments_and_results_become_lines(shell: Shell, words: list[str], stdout: str) -> None:
    done = shell.run("call", "unix:shop", *words)
    assert (done.stdout, done.returncode) == (stdout, 0), done.stderr


def test_a_stream_is_printed_element_by_element(shell: Shell) -> None:
    assert shell.run("call", "unix:shop", "count_to", "3").stdout == "1\n2\n3\n"


def test_a_reader_that_leaves_early_ends_a_stream_without_complaint(shell: Shell) -> None:
    program = shell.start("call", "unix:shop", "count_to", "100000000")
    assert first_line(program.stdout) == "1\n"
    assert program.stdout is not None
    program.stdout.close()
    assert program.wait(PATIENCE) == 141
    assert program.stderr is not None
    assert program.stderr.read() == ""


def test_bytes_can_be_redirected_into_a_file(shell: Shell) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tincans", "call", "unix:shop", "picture"],
        capture_output=True,
        env=shell.environment,
        check=True,
    )
    assert done.stdout == bytes([0, 255, 10])


def test_a_function_that_raises_ends_with_1_and_its_text_on_stderr(shell: Shell) -> None:
    done = shell.run("call", "unix:shop", "refuse")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "tincans: refuse: ValueError: not today\n")


def test_the_remote_traceback_is_shown_when_asked_for(shell: Shell) -> None:
    done = shell.run("call", "unix:shop", "refuse", "--traceback")
    assert "shop.py" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["unix:shop", "ad", "2"], 2, "add"),
        (["unix:shop", "add", "two"], 2, "a"),
        (["unix:shop", "add", "1", "2", "3"], 2, "add"),
        (["unix:shop", "nap", "60", "--timeout", "0.3"], 4, ""),
        (["unix:nobody", "add", "--timeout", "0.2"], 3, "nobody"),
        (["unxi:shop", "add"], 2, "unix"),
    ],
)
def test_what_goes_wrong_has_its_exit_code(shell: Shell, words: list[str], code: int, text: str) -> None:
    done = shell.run("call", *words)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("tincans: ")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_a_waiting_command_with_130_and_no_traceback(shell: Shell) -> None:
    program = shell.start("watch", "unix:shop", "interrupted")
    shell.run("set", "unix:shop", "interrupted", "1")
    assert first_line(program.stdout) == "1\n"
    program.send_signal(signal.SIGINT)
    _, complaints = program.communicate(timeout=PATIENCE)
    assert program.returncode == 130
    assert complaints.strip() == ""


def test_a_server_that_dies_ends_a_waiting_command_with_3(shell: Shell) -> None:
    server = shell.start("serve", "shop", "--on", "unix:mortal")
    first_line(server.stderr)
    shell.run("set", "unix:mortal", "alive", "1")
    program = shell.start("watch", "unix:mortal", "alive")
    first_line(program.stdout)
    server.kill()
    _, complaints = program.communicate(timeout=PATIENCE)
    assert program.returncode == 3
    assert complaints.startswith("tincans: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_ends_well_when_it_is_told_to(shell: Shell, number: signal.Signals) -> None:
    server = shell.start("serve", "shop", "--on", f"unix:obedient{number}")
    first_line(server.stderr)
    server.send_signal(number)
    out, complaints = server.communicate(timeout=PATIENCE)
    assert (server.returncode, out, complaints) == (0, "", "")


def test_a_second_server_of_the_same_name_is_refused_with_3(shell: Shell) -> None:
    done = shell.run("serve", "shop", "--on", "unix:shop")
    assert (done.returncode, done.stdout) == (3, "")


def test_addresses_are_printed_when_asked_for(shell: Shell) -> None:
    server = shell.start("serve", "shop", "--on", "tcp://127.0.0.1:0", "--print-url")
    url = first_line(server.stdout).strip()
    assert shell.run("call", url, "add", "1", "1").stdout == "2\n"


def test_published_values_reach_a_subscriber_with_their_topics(shell: Shell) -> None:
    program = shell.start("sub", "unix:shop", "weather.*", "--topics", "--count", "2")
    lines: list[str] = []

    def heard() -> bool:  # the subscriber may come a moment later: say it until it is heard
        shell.run("pub", "unix:shop", "weather.rain", '{"mm": 3}')
        return program.poll() is not None

    eventually(heard)
    lines = program.communicate(timeout=PATIENCE)[0].splitlines()
    assert lines == ['weather.rain\t{"mm": 3}'] * 2


def test_a_subscriber_that_hears_nothing_ends_with_4(shell: Shell) -> None:
    done = shell.run("sub", "unix:shop", "silence", "--timeout", "0.2")
    assert (done.returncode, done.stdout) == (4, "")


def test_jobs_are_taken_in_order_once_each(shell: Shell) -> None:
    assert shell.run("put", "unix:shop", "jobs", "1", "-", stdin='two\n{"three": 3}\n').returncode == 0
    assert shell.run("take", "unix:shop", "jobs").stdout == "1\n"
    rest = shell.run("take", "unix:shop", "jobs", "--all", "--timeout", "0.2")
    assert (rest.stdout, rest.returncode) == ('two\n{"three": 3}\n', 0)
    assert shell.run("take", "unix:shop", "jobs", "--all", "--timeout", "0.2").returncode == 4


def test_a_value_that_was_set_can_be_got_by_another_program(shell: Shell) -> None:
    assert shell.run("set", "unix:shop", "motto", "two words").stdout == ""
    assert shell.run("get", "unix:shop", "motto").stdout == "two words\n"
    assert shell.run("get", "unix:shop", "motto", "--json").stdout == '"two words"\n'


def test_a_watcher_hears_of_a_deletion_but_not_as_data(shell: Shell) -> None:
    program = shell.start("watch", "unix:shop", "moon", "--count", "3")
    with tincans.connect(f"unix:{shell.place}/run/shop.sock") as other:
        other.state["moon"] = 1
        assert first_line(program.stdout) == "1\n"
        del other.state["moon"]
        assert first_line(program.stderr) == "tincans: 'moon' was deleted\n"
        other.state["moon"] = 2
    assert program.communicate(timeout=PATIENCE)[0] == "2\n"


def test_what_a_subscriber_missed_is_said_beside_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    for missed in (0, 3, None):
        boards.say_missed(missed)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "tincans: 3 missed before this one\ntincans: some missed before this one\n"


def test_a_key_without_a_value_ends_with_1(shell: Shell) -> None:
    done = shell.run("get", "unix:shop", "nokey")
    assert (done.returncode, done.stdout) == (1, "")
    assert "tincans set unix:shop nokey" in done.stderr


def test_a_watcher_sees_the_present_value_and_the_next(shell: Shell) -> None:
    shell.run("set", "unix:shop", "tide", "1")
    program = shell.start("watch", "unix:shop", "tide", "--count", "2")
    assert first_line(program.stdout) == "1\n"
    shell.run("set", "unix:shop", "tide", "2")
    assert program.communicate(timeout=PATIENCE)[0] == "2\n"


def test_kept_values_survive_the_server(shell: Shell) -> None:
    for step in ("set", "get"):
        server = shell.start("serve", "shop", "--on", "unix:kept", "--keep", "kept.db")
        first_line(server.stderr)
        done = shell.run(step, "unix:kept", "k", *(["5"] if step == "set" else []))
        server.kill()
        server.wait(PATIENCE)
    assert done.stdout == "5\n"


def test_describe_shows_signatures_and_what_they_are_for(shell: Shell) -> None:
    done = shell.run("describe", "unix:shop")
    rows = dict(line.split("\t") for line in done.stdout.splitlines())
    assert rows["add(a: int, b: int = 10) -> int"] == "The sum of two numbers."


def test_describe_as_json_is_the_servers_own_description(shell: Shell) -> None:
    described = json.loads(shell.run("describe", "unix:shop", "--json").stdout)
    assert "add" in {function["name"] for function in described["functions"]}


def test_ps_lists_the_service_with_its_process_and_functions(shell: Shell) -> None:
    rows = json.loads(shell.run("ps", "--json").stdout)
    shop = next(row for row in rows if row["urls"] == ["unix:shop"])
    assert shop["pid"] == shell.started[0].pid
    assert shop["functions"] == 8


def test_services_and_functions_complete_on_tab(shell: Shell) -> None:
    def offered(words: str) -> list[str]:
        environment = {
            **shell.environment,
            "_TINCANS_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        command = [sys.executable, "-m", "tincans"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert offered("tincans call unix:shop cou") == ["count_to"]
