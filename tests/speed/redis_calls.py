"""A call over `redis:` beside two bare round trips of redis-py, and lists beside channels, in turns in one run.

    python tests/speed/redis_calls.py [ROUNDS]

Rules of this file
- Medians of what ran in turns; only their ratio counts. The bar: a call takes at most 1.5 times two round trips.
- The round trips are what a program does to ask another one by hand: push a request, take an answer.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from servers.redis import redis_server

import tincans
from tincans.toolkit.redis.resp import command

BAR = 1.5
TURN = 50
WINDOW = 32
LETTER = b"x" * 40


class Bare:
    """One end of two bare programs that send each other letters, by lists or by channels."""

    def __init__(self, port: int, how: str, mine: str, other: str) -> None:
        self._in, self._out = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
        for line in (self._in, self._out):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = command("BLPOP", f"{how}-{mine}", 0) * WINDOW if how == "lists" else b""
        self._in.sendall(2 * self._requests or command("SUBSCRIBE", f"{how}-{mine}"))
        if not self._requests:
            self._in.recv(4096)
        words = ("RPUSH" if how == "lists" else "PUBLISH", f"{how}-{other}", LETTER)
        self._push = command(*words)
        self._count = 0

    def send(self) -> None:
        self._out.send(self._push)

    def receive(self) -> bool:
        data = self._in.recv(16384)
        self._count += 1
        if self._count % WINDOW == 0:
            self._in.sendall(self._requests)
            self._out.recv(16384)
        return bool(data)


def echo(port: int, how: str) -> int:
    """A bare program that answers; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        end = Bare(port, how, "alice", "bob")
        while end.receive():
            end.send()
    finally:
        os._exit(0)


def contestants(port: int, alice: tincans.Peer) -> dict[str, Callable[[], object]]:
    import redis

    client = redis.Redis(port=port)
    bobs = {how: Bare(port, how, "bob", "alice") for how in ("lists", "channels")}

    def bare(how: str) -> Callable[[], object]:
        bob = bobs[how]
        return lambda: (bob.send(), bob.receive())

    return {
        "a call over redis:": lambda: alice.call.add(2, 5),
        "two round trips of redis-py": lambda: (client.rpush("request", LETTER), client.lpop("request")),
        "bare programs by lists": bare("lists"),
        "bare programs by channels": bare("channels"),
    }


def measure(rounds: int, each: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Medians in seconds."""
    took: dict[str, list[float]] = {name: [] for name in each}
    for _ in range(rounds):
        for name, do in each.items():
            do()
            for _ in range(TURN):
                began = time.perf_counter()
                do()
                took[name].append(time.perf_counter() - began)
    return {name: statistics.median(all) for name, all in took.items()}


def main() -> int:
    """Print the medians and the ratio; 1 when the bar is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with redis_server("--appendonly", "no") as server:
        echoes = [echo(server.port, how) for how in ("lists", "channels")]
        url = f"redis://{server.place}/0/alice"
        words = [sys.executable, "-m", "tincans.conformance.program", url]
        serving = subprocess.Popen(words, stdout=subprocess.PIPE)
        try:
            with tincans.connect(url) as alice:
                medians = measure(rounds, contestants(server.port, alice))
        finally:
            for pid in echoes:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            serving.terminate()
            serving.communicate(timeout=10)
    for name, median in medians.items():
        print(f"{median * 1e6:8.1f} us  {name}")
    call, trips, *_ = medians.values()
    print(f"{call / trips:8.2f}     of two round trips, at most {BAR}")
    return int(call > BAR * trips)


if __name__ == "__main__":
    sys.exit(main())
