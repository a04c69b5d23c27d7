"""HTTP served from an event loop: async functions run on that loop, plain ones do not hold it up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import tincans
import tincans.aio
from tincans.conformance.patience import eventually

URL = "http://127.0.0.1:0"


def run(url: str, order: Any) -> Any:
    """What a sync client on a thread of its own gets while this loop serves."""

    def there() -> Any:
        with tincans.connect(url, timeout=10) as peer:
            return order(peer)

    return asyncio.to_thread(there)


def test_async_functions_run_on_the_loop_and_plain_ones_beside_it() -> None:
    async def main() -> None:
        async with tincans.aio.serve(URL) as alice:
            mine = threading.current_thread()

            @alice.expose
            async def here(x: int) -> list[Any]:
                await asyncio.sleep(0)
                return [x, threading.current_thread() is mine, tincans.aio.caller().key_name]

            @alice.expose
            def elsewhere() -> bool:
                time.sleep(0.05)
                return threading.current_thread() is not mine

            @alice.expose
            async def count(n: int) -> AsyncIterator[int]:
                for i in range(n):
                    yield i

            assert await run(alice.url, lambda peer: peer.call.here(5)) == [5, True, ""]
            assert await run(alice.url, lambda peer: peer.call.elsewhere()) is True
            assert await run(alice.url, lambda peer: list(peer.call.count(100))) == list(range(100))

    asyncio.run(main())


def test_an_async_call_that_takes_too_long_is_cancelled() -> None:
    async def main() -> None:
        async with tincans.aio.serve(URL) as alice:
            cancelled = asyncio.Event()

            @alice.expose
            async def nap() -> None:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    cancelled.set()
                    raise

            def call(peer: Any) -> None:
                with pytest.raises(tincans.CallTimeoutError):
                    peer.with_options(timeout=0.3).call.nap()

            await run(alice.url, call)
            await asyncio.wait_for(cancelled.wait(), 10)

    asyncio.run(main())


def test_the_hub_of_an_async_server_is_reached() -> None:
    async def main() -> None:
        async with tincans.aio.serve(URL) as alice, tincans.aio.connect(alice.url) as bob:
            await bob.state.set("k", {"a": 1})
            assert await alice.state["k"] == {"a": 1}
            await alice.queue("jobs").put("x")
            async with bob.queue("jobs").take(timeout=5) as job:
                assert job.value == "x"
            async with bob.subscribe("news") as notes:
                await alice.publish("news", 7)
                assert (await notes.receive(timeout=5)).value == 7
            with pytest.raises(tincans.UnsupportedError, match="ends before its lock"):
                await bob.lock("x", timeout=1).acquire()

    asyncio.run(main())


def test_closing_an_async_server_lets_a_running_call_end() -> None:
    async def main() -> None:
        alice = await tincans.aio.serve(URL)
        begun = asyncio.Event()

        @alice.expose
        async def nap() -> str:
            begun.set()
            await asyncio.sleep(0.5)
            return "awake"

        answer = asyncio.ensure_future(run(alice.url, lambda peer: peer.call.nap()))
        await begun.wait()
        await alice.close()
        assert await answer == "awake"

    asyncio.run(main())


def test_one_server_has_several_methods_at_once() -> None:
    with tincans.serve("memory:http-and-more", URL) as alice:

        @alice.expose
        def count(n: int) -> Iterator[int]:
            yield from range(n)

        with tincans.connect(alice.urls[0]) as near, tincans.connect(alice.urls[1]) as far:
            assert list(near.call.count(3)) == list(far.call.count(3)) == [0, 1, 2]
            near.state["k"] = 1
            assert far.state["k"] == 1
            with near.subscribe("news") as notes:
                far.publish("news", 5)
                eventually(lambda: notes.receive(timeout=5).value == 5)
