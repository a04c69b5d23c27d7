"""Many clients that are connected and say nothing: what each costs the server.

    python tests/faults/idle.py [CLIENTS]          (`make faults` connects 2000)

Rules of this file
- The clients greet as any client does, from one program with a descriptor each; the server is a program of its own.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tincans.conformance.patience import eventually

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from two_programs.programs import Stage

import tincans
from tincans.finder import method_of
from tincans.pump.dialing import Dialer

METHOD = "unix:{name}"


@dataclass(frozen=True)
class Cost:
    """Of each idle client: bytes; threads in all; processor seconds of a second in which nobody says anything."""

    memory: float
    threads: int
    processor: float


def cost_of(stage: Stage, clients: int) -> Cost:
    """Connect so many, and look."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    alice = stage.alice()
    method = method_of(stage.url)
    assert method.transport is not None
    dialer = Dialer(method.address, method.transport, method.wire)
    with tincans.connect(stage.url) as bob, contextlib.ExitStack() as crowd:
        bob.call.add(2, 5)
        before = bob.call.memory()
        for _ in range(clients):
            crowd.callback(dialer.dial(5.0).close)
        eventually(lambda: bob.call.links() == clients + 1)
        memory = (bob.call.memory() - before) / clients
        threads = bob.call.threads()
        return Cost(memory, threads, _processor_seconds(alice.pid))


def _processor_seconds(pid: int) -> float:
    """Used in one second."""

    def used() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    over = time.monotonic() + 0.2  # what the last call left to do is not idleness
    eventually(lambda: time.monotonic() > over)
    before, over = used(), time.monotonic() + 1.0
    eventually(lambda: time.monotonic() > over)
    return used() - before


def main() -> None:
    """As many as asked for."""
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory(prefix="tincans-faults-") as place:
        os.environ["TINCANS_RUNTIME_DIR"] = place
        for face in ("sync", "aio"):
            stage = Stage(METHOD, face)
            cost = cost_of(stage, clients)
            stage.close()
            print(
                f"{clients} idle clients ({face}): {cost.memory / 1024:.1f} KiB each, {cost.threads} threads in all, "
                f"{cost.processor * 100:.0f} % of a processor"
            )
            assert cost.memory <= 64 * 1024
            assert cost.threads < 16


if __name__ == "__main__":
    main()
