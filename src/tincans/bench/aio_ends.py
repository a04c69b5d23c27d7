"""Alice and Bob over one of our methods, by the async face: each end is one event loop.

Rules of this file
- A call is timed inside the loop: nothing but `await` stands between two looks at the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tincans import aio
from tincans.bench.contestant import IN_FLIGHT, Client, CrowdRun, Serving, address_file, awaited_times_of, in_background
from tincans.bench.crowd import Tally, span


async def add(a: int, b: int) -> int:
    """The sum, on the loop."""
    return a + b


def serving(url: Callable[[Path], str]) -> Callable[[Path], Any]:
    """Alice on a loop of her own."""

    @contextlib.contextmanager
    def serve(place: Path) -> Iterator[Serving]:
        loop = asyncio.new_event_loop()
        server: Any = loop.run_until_complete(_entered(aio.serve(url(place))))
        server.expose(add)
        address_file(place).write_text(server.url)
        with in_background(loop.run_forever):
            yield Serving()
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)

    return serve


@contextlib.contextmanager
def connected(place: Path) -> Iterator[Client]:
    """Bob on an event loop."""
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    peer = run(_entered(aio.connect(address_file(place).read_text())))

    async def pipeline(count: int) -> None:
        await asyncio.gather(*[peer.start.add(n, 1) for n in range(count)])

    try:
        yield Client(
            call=lambda a, b: run(peer.call.add(a, b)),
            times=lambda count: run(awaited_times_of(lambda a, b: peer.call.add(a, b), count)),
            pipeline=lambda count: run(pipeline(count)),
        )
    finally:
        run(peer.close())
        loop.close()


async def _entered(opening: Any) -> Any:
    return await opening


@contextlib.contextmanager
def crowd(place: Path, count: int) -> Iterator[CrowdRun]:
    """Many clients on one event loop."""
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    url = address_file(place).read_text()
    peers = [run(_entered(aio.connect(url))) for _ in range(count)]

    async def one(peer: Any, when: tuple[int, int]) -> float:
        tally = Tally(when)
        while tally.goes_on():
            await asyncio.gather(*[peer.start.add(n, 1) for n in range(IN_FLIGHT)])
            tally.made += IN_FLIGHT
        return tally.rate()

    async def all_of_them(seconds: float) -> list[float]:
        when = span(seconds)
        return await asyncio.gather(*[one(peer, when) for peer in peers])

    try:
        yield lambda seconds: run(all_of_them(seconds))
    finally:
        for peer in peers:
            run(peer.close())
        loop.close()
