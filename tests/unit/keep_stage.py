"""A hub that is kept, as a server keeps it, and its file: for the tests of the keep."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub_desk import Desk
from keep_kills import open_keep

from tincans.core.hub import Limits
from tincans.toolkit.files.keep import Keep


class KeptDesk(Desk):
    """A desk whose hub is kept, as a server does it."""

    def __init__(self, keep: Keep, limits: Limits | None = None) -> None:
        super().__init__(keep.load(), limits)
        self.keep = keep

    def ask(self, owner: str, name: str, *args: Any) -> int:
        self.ticket += 1
        outcomes = self.hub.request(owner, self.ticket, name, args, self.now)
        self.seen += self.keep.settle(self.hub, outcomes)
        return self.ticket


Restart = Callable[[], KeptDesk]


@contextmanager
def restarting(keep: Keep) -> Iterator[Restart]:
    """Close the file and open it again, as a server's next start does."""
    keeps = [keep]

    def again() -> KeptDesk:
        keeps[-1].close()
        keeps.append(open_keep(keep.path))
        return KeptDesk(keeps[-1])

    yield again
    for each in keeps:
        each.close()


def database(keep: Keep) -> sqlite3.Connection:
    assert keep._database is not None
    return keep._database


def run_script(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run `script` with `path` as a program of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.db"


@pytest.fixture
def keep(path: Path) -> Iterator[Keep]:
    keep = open_keep(path)
    yield keep
    keep.close()


@pytest.fixture
def restart(keep: Keep) -> Iterator[Restart]:
    with restarting(keep) as again:
        yield again
