"""A client that is stopped with many calls under way: its answers cannot leave, and nobody else may wait for that.

Rules of this file
- The client floods until the kernel's buffers are full, and is then stopped; how much that is depends on the method.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from two_programs.programs import FACES, METHODS, method_id, stop

import tincans
from tincans.conformance.patience import eventually
from tincans.conformance.plugin import fresh

SOON = 3.0
"""Seconds for one call, behind all that the flood has left to do."""

SERVER = {
    "sync": """
import sys, tincans
server = tincans.serve(sys.argv[1])
@server.expose
def wide(size: int) -> bytes: return bytes(size)
print(server.url, flush=True)
server.run()
""",
    "aio": """
import asyncio, sys
from tincans import aio
async def main():
    server = await aio.serve(sys.argv[1])
    @server.expose
    async def wide(size: int) -> bytes: return bytes(size)
    print(server.url, flush=True)
    await server.run()
asyncio.run(main())
""",
}

FLOOD = """
import sys, tincans
peer = tincans.connect(sys.argv[1])
size = int(sys.argv[2])
peer.call.wide(size)
print("flooding", flush=True)
started = []
while True:
    started += [peer.start.wide(size) for _ in range(50)]
    if len(started) == 1000:
        print("enough", flush=True)
"""


@contextlib.contextmanager
def program(code: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program, and its first line."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running, running.stdout.readline().strip()
        finally:
            running.send_signal(signal.SIGCONT)
            running.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(5)
            running.kill()


@pytest.mark.parametrize("size", [10, 3000])
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("method", [*METHODS, "jsonrpc+unix:{name}"], ids=method_id)
def test_a_stopped_client_with_many_calls_under_way_holds_up_nobody_else(method: str, face: str, size: int) -> None:
    with program(SERVER[face], fresh(method)) as (_, url), contextlib.ExitStack() as stack:
        floods = [stack.enter_context(program(FLOOD, url, str(size)))[0] for _ in range(3)]
        for flood in floods:
            assert flood.stdout is not None
            flood.stdout.readline()
            stop(flood.pid)
        flooded = time.monotonic()
        eventually(lambda: time.monotonic() > flooded + 0.5)  # whoever is going to be held up is by now
        with tincans.connect(url, timeout=SOON) as peer:
            quick = peer.with_options(timeout=SOON)
            assert [len(quick.call.wide(5)) for _ in range(20)] == [5] * 20
