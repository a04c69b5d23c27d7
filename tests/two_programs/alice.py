"""Alice as a program of her own: `alice.py sync|aio URL ... [--keep FILE] [--interval SECONDS]`.

Rules of this file
- What the conformance suite's Alice offers, and what the tests of life and death need besides.
- She says "serving" on standard output (nowhere when that is the string), and "ended" when she returned from `run`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tincans
from tincans.conformance.service import Alice, expose_all
from tincans.errors import DisconnectedError


class Mortal(Alice):
    """Alice, with a pid, and strings that can be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.server: Any = None
        self._runs: dict[str, int] = {}
        self._let_go = threading.Event()

    def pid(self) -> int:
        """Her own."""
        return os.getpid()

    def trickle(self) -> Iterator[int]:
        """One element now, and no other for a long time."""
        yield 0
        self._let_go.wait(3600)

    def cut_before_answering(self, name: str) -> int:
        """Run, then lose every connection before the first run's answer can leave."""
        runs = self._runs[name] = self._runs.get(name, 0) + 1
        if runs == 1:
            self.cut()
        return runs

    def cut_while_running(self, name: str) -> int:
        """Lose every connection in the middle of the first run, which goes on until the second attempt is there."""
        runs = self._runs[name] = self._runs.get(name, 0) + 1
        if runs == 1:
            gone = len(self.server._host.links)
            self.cut()
            deadline = time.monotonic() + 5
            while not self.server._host.links and gone and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
        return runs

    def runs(self, name: str) -> int:
        """How often that was really run."""
        return self._runs.get(name, 0)

    def cut(self) -> None:
        """Every connection is lost, as if a cable had broken."""
        for link in list(self.server._host.links):
            link.lost(DisconnectedError("cut by the test"))

    def open(self) -> list[int]:
        """How many other calls of this caller wait for their answer here, and how many streams go to it."""
        session = tincans.caller()._link.session
        return [len(session.running) - 1, len(session.outlets)]

    def links(self) -> int:
        """How many are connected."""
        return len(self.server._host.links)

    def strangers(self) -> int:
        """How many have not greeted."""
        return len(self.server._host.strangers)

    def memory(self) -> int:
        """Her resident memory in bytes."""
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def descriptors(self) -> int:
        """How many files, sockets and pipes she has open."""
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    def threads(self) -> int:
        """How many threads she has."""
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208


IDEMPOTENT = ("cut_before_answering", "cut_while_running")


def say(**what: Any) -> None:
    """One line."""
    print(json.dumps(what), flush=True)


def options(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The addresses, and the options behind them."""
    given: dict[str, Any] = {}
    while "--keep" in words:
        at = words.index("--keep")
        given["keep"] = words[at + 1]
        del words[at : at + 2]
    return words, given


def offer(server: Any) -> None:
    """Expose everything, and say where."""
    alice = Mortal()
    alice.server = server
    expose_all(server, alice)
    for name in IDEMPOTENT:
        server.expose(getattr(alice, name), idempotent=True, name=f"safe_{name}")
    if not server.url.startswith("stdio"):
        say(said="serving", urls=server.urls, pid=os.getpid(), at=time.monotonic())


def serve(urls: list[str], given: dict[str, Any]) -> None:
    """The sync face."""
    server = tincans.serve(*urls, **given)
    offer(server)
    server.run()


async def serve_on_loop(urls: list[str], given: dict[str, Any]) -> None:
    """The async face."""
    import tincans.aio

    server = await tincans.aio.serve(*urls, **given)
    offer(server)
    await server.run()


def main() -> None:
    """Serve until told to stop."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    face, *words = sys.argv[1:]
    urls, given = options(words)
    if face == "aio":
        asyncio.run(serve_on_loop(urls, given))
    else:
        serve(urls, given)
    if not urls[0].startswith("stdio"):
        say(said="ended")


if __name__ == "__main__":
    main()
