"""What `tincans serve MODULE[:OBJECT]` finds, and how it says that it finds nothing.

Rules of this file
- Modules are written into the test's own directory under names that nobody else uses.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich_click as click

import tincans
from tincans.cli import program, serving

CALCULATOR = """
class Calculator:
    memory = 0
    def add(self, a: int, b: int) -> int:
        return a + b

class Picky:
    def __init__(self, key): ...

def double(x: int) -> int:
    return 2 * x
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with one module, as the current one; nothing imported here stays."""
    (tmp_path / "till_for_cli.py").write_text(CALCULATOR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_in_the_current_directory_is_found() -> None:
    assert serving.find("till_for_cli").double(4) == 8


def test_a_file_is_found_by_its_path() -> None:
    assert serving.find("./till_for_cli.py").double(4) == 8


def test_a_class_is_made_into_an_object() -> None:
    assert serving.find("till_for_cli:Calculator").add(2, 5) == 7


def test_an_installed_module_is_found() -> None:
    assert serving.find("statistics").mean([1, 2, 3, 4]) == 2.5


def test_a_file_may_import_its_neighbour(here: Path) -> None:
    (here / "shop").mkdir()
    (here / "shop" / "prices_for_cli.py").write_text("apple = 3\n")
    (here / "shop" / "counter_for_cli.py").write_text("import prices_for_cli\n")
    assert serving.find("shop/counter_for_cli.py").prices_for_cli.apple == 3


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere_for_cli", "no module 'nowhere_for_cli'"),
        ("till_for_cli.deeper", "no module 'till_for_cli.deeper'"),
        ("./nowhere.py", "no file"),
        ("till_for_cli:Calculater", "It has: Calculator, Picky, double"),
        ("till_for_cli:Picky", "cannot be made without arguments"),
    ],
)
def test_what_is_not_there_is_a_usage_error_that_helps(target: str, text: str) -> None:
    with pytest.raises(click.UsageError, match=text):
        serving.find(target)


@pytest.mark.parametrize("program", ["1 / 0\n", "import not_installed_for_cli\n"])
def test_a_module_that_raises_shows_its_own_traceback(
    here: Path, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    (here / "broken_for_cli.py").write_text(program)
    with pytest.raises(click.ClickException) as raised:
        serving.find("broken_for_cli")
    assert raised.value.exit_code == 1
    assert "broken_for_cli.py" in capsys.readouterr().err


class Interrupted:
    """A server that is told to end while it is still being announced."""

    def __init__(self) -> None:
        self.closed = False

    def __enter__(self) -> Interrupted:
        return self

    def __exit__(self, *exc: object) -> None:
        self.closed = True

    def expose_object(self, thing: object) -> None: ...

    @property
    def urls(self) -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        return ["unix:never"]


def test_a_server_told_to_end_before_it_runs_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Interrupted()
    monkeypatch.setattr(tincans, "serve", lambda *urls, keep: server)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert program.run(["serve", "statistics"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert server.closed
