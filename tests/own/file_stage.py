"""Alice at a JSON file, and what stands in it: for the tests of the method `file`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tincans


@contextmanager
def alice_at(path: Path) -> Iterator[Any]:
    """A server with some functions; `calls` are the first arguments of `add`."""
    with tincans.serve(f"file:{path}") as server:
        calls: list[int] = []

        @server.expose
        def add(a: int, b: int = 10) -> int:
            calls.append(a)
            return a + b

        @server.expose
        def fail(text: str) -> None:
            raise ValueError(text)

        @server.expose
        def sleep(seconds: float) -> str:
            time.sleep(seconds)
            return "awake"

        @server.expose
        def count(n: int) -> Iterator[int]:
            yield from range(n)

        server.calls = calls
        yield server


def content_of(path: Path) -> Any:
    return json.loads(path.read_bytes())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "board.json"


@pytest.fixture
def alice(path: Path) -> Iterator[Any]:
    with alice_at(path) as server:
        yield server
