"""What stands in a shared file, and programs of their own that use it: for the tests of the method `sqlite`."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.needed import installed

import tincans


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """What stands in the file."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(statement).fetchall()


def run(script: str, *words: object, inside: str = "") -> subprocess.CompletedProcess[str]:
    """A program of its own; `inside`: shell commands before it, in a namespace where it may mount."""
    command = [sys.executable, "-c", script, *map(str, words)]
    if inside:
        command = [installed("unshare", "util-linux"), "-Urm", "sh", "-c", f'{inside}; exec "$@"', "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.db"


@pytest.fixture
def bob(path: Path) -> Iterator[Any]:
    with tincans.connect(f"sqlite:{path}") as peer:
        yield peer
