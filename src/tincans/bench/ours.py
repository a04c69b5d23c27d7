"""Our own methods as contestants: one for each that `tincans.methods()` knows, and a few ways to use `local`.

Rules of this file
- What a method can do is read from its facts; where it is served follows from how far it reaches.
- Only the public face is used, as a user would; a method that refuses to start is left out with its own words.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns
from typing import Any
from urllib.parse import quote

import tincans
from tincans.bench import service
from tincans.bench.contestant import (
    IN_FLIGHT,
    PATIENCE,
    Ability,
    Client,
    Contestant,
    CrowdRun,
    Serving,
    address_file,
    broker_port,
)
from tincans.errors import UnsupportedError, WaitTimeoutError
from tincans.facts import Facts, No
from tincans.finder import facts_of, find_transport, resolve

PLACES = {
    "redis": "redis://127.0.0.1:{broker}/0/bench",
    "stdio": "stdio:{child}",
    "sqlite": "sqlite:{place}/bench.db",
    "file": "file:{place}/bench.json",
    "mmap": "mmap:{place}/bench.map",
}
"""Methods whose address is neither a name nor a host and a port."""

VARIANTS = ("local, not spinning", "local, aio", "unix, aio")
FUNCTIONS = (service.add, service.size, service.pid)
TOPIC, QUEUE, KEY = "bench.topic", "bench-queue", "bench-key"


def contestants() -> list[Contestant]:
    """All of them."""
    known = tincans.methods()
    found = [method(name, facts) for name, facts in sorted(known.items())]
    return found + [variant(name, known[name.partition(",")[0]]) for name in VARIANTS]


def named(name: str) -> Contestant:
    """One of them; no other method is looked at."""
    facts = find_transport(name.partition(",")[0]).facts
    return variant(name, facts) if name in VARIANTS else method(name, facts)


def variant(name: str, facts: Facts) -> Contestant:
    """Another way to use a method."""
    if name.endswith(", aio"):
        return method(name, facts, f"{name.partition(',')[0]}:{{name}}", connect=connect_aio, crowd=crowd_aio)
    return method(name, facts, "local:{name}?spin=0")


def method(name: str, facts: Facts, url: str = "", *, connect: Any = None, crowd: Any = None) -> Contestant:
    """One method, or one way to use it; `connect` and `crowd` for another face than the sync one."""
    url = url or place_of(name, facts)
    can = frozenset({"call", "pipeline", "crowd"}) if connect else abilities(facts)
    return Contestant(
        name=name,
        kind="ours",
        about=f"`{url}`, {facts.summary}" if connect is None else "the client is `tincans.aio`, one task after the other",
        can=can - {"publish", "queue", "turn", "crowd"} if name == "stdio" else can,  # there Alice is Bob's own child
        serve=lambda place: serving(filled(url, place), place),
        connect=connect or connected,
        service="redis" if "{broker}" in url else "",
        crowd=crowd,
        obstacle=obstacle(facts, can),
    )


def at(url: str, *, running: bool = False) -> Contestant:
    """One URL of the user's; `running`: a server of hers answers there."""
    _, transport, wire = resolve(url)
    facts = facts_of(transport, wire)
    can = abilities(facts)
    serve = known(url) if running else lambda place: serving(url, place)
    return Contestant(url, "ours", facts.summary, can, serve, connected, obstacle=obstacle(facts, can))


def known(url: str) -> Callable[[Path], Any]:
    """No server of ours: only its address is left for the clients."""

    @contextlib.contextmanager
    def serve(place: Path) -> Iterator[Serving]:
        address_file(place).write_text(url)
        yield Serving()

    return serve


def abilities(facts: Facts) -> frozenset[Ability]:
    """What is worth measuring, from the facts."""
    can: set[Ability] = set()
    if not isinstance(facts.call, No):
        can |= {"call", "pipeline", "crowd", "payload"}
    if not isinstance(facts.publish, No):
        can.add("publish")
    if not isinstance(facts.queue, No):
        can |= {"queue", "turn"}
    if not isinstance(facts.state, No):
        can.add("state")
    return frozenset(can)


def obstacle(facts: Facts, can: frozenset[Ability]) -> str:
    """Why it cannot be measured between two programs here, or ""."""
    if facts.reach == "one program":
        return "inside one program only"
    if sys.platform not in facts.platforms + facts.untested:
        return f"not on {sys.platform}"
    return "" if can else "has none of the verbs that are measured"


def place_of(name: str, facts: Facts) -> str:
    """Where a method is served."""
    if name in PLACES:
        return PLACES[name]
    return f"{name}://127.0.0.1:0" if facts.reach == "network" else f"{name}:{{name}}"


def filled(url: str, place: Path) -> str:
    """The address with what is known only now."""
    child = shlex.join([sys.executable, "-m", __name__])
    broker = broker_port(place) if "{broker}" in url else 0
    return url.format(place=place, name=place.name, broker=broker, child=quote(child, safe=" /"))


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
        yield client(peer, child=url.startswith("stdio:"))


def client(peer: tincans.Peer[Any], *, child: bool) -> Client:
    """All that can be asked of a peer."""
    start, size = peer.start, peer.call.size
    numbers = range(IN_FLIGHT * 10)

    def pipeline(count: int) -> None:
        for future in [start.add(n, 1) for n in numbers[:count]]:
            future.result()

    def take() -> object:
        with jobs.take(timeout=PATIENCE) as job:
            return job.value

    jobs = peer.queue(QUEUE)
    return Client(
        call=peer.call.add,
        pipeline=pipeline,
        prepare=lambda array: bytes(array) if len(array) < 1024 else array,
        shared=peer.share,
        deliver=size,
        put=jobs.put,
        take=take,
        subscribe=lambda: subscribed(peer),
        publish=lambda data: peer.publish(TOPIC, data),
        look=looker(peer),
        others=lambda: [peer.call.pid()] if child else [],
    )


def looker(peer: tincans.Peer[Any]) -> Callable[[], object]:
    """Read one value, which is there."""
    there: list[object] = []

    def look() -> object:
        if not there:
            peer.state[KEY] = {"speed": 3, "name": "alice"}
            there.append(peer.state)
        return there[0][KEY]  # type: ignore[index]

    return look


@contextlib.contextmanager
def subscribed(peer: tincans.Peer[Any]) -> Iterator[Callable[[], Any]]:
    """Every message, in order; a slow subscriber holds the publisher up."""
    with peer.subscribe(TOPIC, on_full="wait") as messages:

        def receive() -> Any:
            try:
                return messages.receive(timeout=PATIENCE).value
            except WaitTimeoutError:
                return None

        yield receive


@contextlib.contextmanager
def connect_aio(place: Path) -> Iterator[Client]:
    """Bob, on an event loop; Alice is the same."""
    import asyncio

    from tincans import aio

    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    peer = run(_entered(aio.connect(address_file(place).read_text())))

    async def times(count: int) -> list[int]:
        taken = []
        for _ in range(count):
            began = perf_counter_ns()
            await peer.call.add(2, 5)
            taken.append(perf_counter_ns() - began)
        return taken

    async def pipeline(count: int) -> None:
        await asyncio.gather(*[peer.start.add(n, 1) for n in range(count)])

    try:
        yield Client(
            call=lambda a, b: run(peer.call.add(a, b)),
            times=lambda count: run(times(count)),
            pipeline=lambda count: run(pipeline(count)),
        )
    finally:
        run(peer.close())
        loop.close()


async def _entered(opening: Any) -> Any:
    return await opening


@contextlib.contextmanager
def crowd_aio(place: Path, count: int) -> Iterator[CrowdRun]:
    """Many clients on one event loop."""
    import asyncio

    from tincans import aio

    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    url = address_file(place).read_text()
    peers = [run(_entered(aio.connect(url))) for _ in range(count)]

    async def one(peer: Any, until: int) -> float:
        made, began = 0, perf_counter_ns()
        while perf_counter_ns() < until:
            await asyncio.gather(*[peer.start.add(n, 1) for n in range(IN_FLIGHT)])
            made += IN_FLIGHT
        return made * 1e9 / max(1, perf_counter_ns() - began)

    async def all_of_them(seconds: float) -> list[float]:
        until = perf_counter_ns() + int(seconds * 1e9)
        return await asyncio.gather(*[one(peer, until) for peer in peers])

    try:
        yield lambda seconds: run(all_of_them(seconds))
    finally:
        for peer in peers:
            run(peer.close())
        loop.close()


def main() -> None:
    """Alice as Bob's child: the serving end of `stdio:`."""
    server = tincans.serve("stdio:")
    for function in FUNCTIONS:
        server.expose(function)
    server.run()


if __name__ == "__main__":
    main()
