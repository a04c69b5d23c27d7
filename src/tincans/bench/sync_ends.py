"""Alice and Bob over one of our methods, by the sync face.

Rules of this file
- Only the public face is used, as a user would.
- A method that nobody serves (a child of Bob's, a mapped file) is left to the clients.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import tincans
from tincans.bench import service
from tincans.bench.contestant import ANSWER, IN_FLIGHT, PATIENCE, Client, Serving, address_file, broker_port, unique
from tincans.errors import TincansError, UnsupportedError, WaitTimeoutError

FUNCTIONS = (service.add, service.size, service.pid)
TOPIC, QUEUE, KEY = "bench.topic", "bench-queue", "bench-key"


def filled(url: str, place: Path) -> str:
    """The address with what is known only now."""
    child = shlex.join([sys.executable, "-m", "tincans.bench.sync_ends"])
    broker = broker_port(place) if "{broker}" in url else 0
    return url.format(place=place, unique=unique(place), broker=broker, child=quote(child, safe=" /"))


def known(url: str) -> Callable[[Path], Any]:
    """No server of ours: only its address is left for the clients."""

    @contextlib.contextmanager
    def serve(place: Path) -> Iterator[Serving]:
        address_file(place).write_text(url)
        yield Serving()

    return serve


@contextlib.contextmanager
def serving(url: str, place: Path) -> Iterator[Serving]:
    """Alice. A method that nobody serves (a child of Bob's, a mapped file) is left to the clients."""
    address_file(place).write_text(url)
    if url.startswith("stdio:"):
        yield Serving()
        return
    try:
        server = tincans.serve(url)
    except UnsupportedError:
        yield Serving()
        return
    with server:
        for function in FUNCTIONS:
            server.expose(function)
        if "***" not in server.url:  # with a secret in it, it is not shown
            address_file(place).write_text(server.url)
        yield Serving(lambda data: server.publish(TOPIC, data), server.share)


@contextlib.contextmanager
def connected(place: Path) -> Iterator[Client]:
    """Bob, sync."""
    url = address_file(place).read_text()
    with tincans.connect(url) as peer:
        look = looker(peer)
        yield client(peer, look, child=url.startswith("stdio:"))
        look(over=True)


def client(peer: tincans.Peer[Any], look: Callable[..., object], *, child: bool) -> Client:
    """All that can be asked of a peer."""
    start, size = peer.start, peer.call.size
    numbers = range(IN_FLIGHT * 10)

    def pipeline(count: int) -> None:
        for future in [start.add(n, 1) for n in numbers[:count]]:
            future.result()

    def take() -> object:
        with jobs().take(timeout=ANSWER) as job:
            return job.value

    @functools.cache
    def jobs() -> tincans.Queue:
        return peer.queue(QUEUE)  # when first used, for not every method has one

    return Client(
        call=peer.call.add,
        pipeline=pipeline,
        prepare=lambda array: bytes(array) if len(array) < 1024 else array,
        shared=peer.share,
        deliver=size,
        put=lambda data: jobs().put(data),
        take=take,
        subscribe=lambda: subscribed(peer),
        publish=lambda data: peer.publish(TOPIC, data),
        look=look,
        others=lambda: [peer.call.pid()] if child else [],
    )


def looker(peer: tincans.Peer[Any]) -> Callable[..., object]:
    """Read one value, which is put there first; the last look takes it away."""
    there: list[Any] = []

    def look(*, over: bool = False) -> object:
        if over:
            with contextlib.suppress(TincansError):
                return there and there[0].delete(KEY)
        if not there:
            peer.state[KEY] = {"speed": 3, "name": "alice"}
            there.append(peer.state)
        return there[0][KEY]

    return look


@contextlib.contextmanager
def subscribed(peer: tincans.Peer[Any]) -> Iterator[Callable[[], Any]]:
    """Every message, in order; a slow subscriber holds the publisher up."""
    try:
        listening = peer.subscribe(TOPIC, on_full="wait")
    except UnsupportedError:  # this method drops; then as late as it can
        listening = peer.subscribe(TOPIC, limit=1_000_000)
    with listening as messages:

        def receive() -> Any:
            try:
                return messages.receive(timeout=PATIENCE).value
            except WaitTimeoutError:
                return None

        yield receive


def main() -> None:
    """Alice as Bob's child: the serving end of `stdio:`."""
    server = tincans.serve("stdio:")
    for function in FUNCTIONS:
        server.expose(function)
    server.run()


if __name__ == "__main__":
    main()
