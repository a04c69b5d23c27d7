"""Messages over the limit, on a loop: only they fail, and all that were said beside them arrive."""

from __future__ import annotations

import asyncio

import pytest
from aio_stage import address, play

import tincans
from tincans import aio


def test_a_message_over_the_limit_is_refused_and_the_peer_lives_on() -> None:
    async def length(data: bytes) -> int:
        return len(data)

    async def main() -> None:
        async with aio.serve(address("unix")) as alice:
            alice.expose(length)
            async with aio.connect(f"{alice.url}?max_message=1M&descriptors=no") as bob:
                with pytest.raises(tincans.TooLargeError):
                    await bob.call.length(b"x" * 2_000_000)
                assert await bob.call.length(b"x" * 900_000) == 900_000

    play(main)


@pytest.mark.parametrize("method", ["local", "unix"])
def test_of_many_at_once_only_what_is_too_large_fails(method: str) -> None:
    async def filled(size: int, data: str) -> str:
        await asyncio.sleep(0.01)
        return "x" * size

    async def at_once(size: int) -> str:
        return "x" * size

    async def main() -> None:
        async with aio.serve(f"{address(method)}?max_message=1000") as alice:
            alice.expose(filled)
            alice.expose(at_once)
            async with aio.connect(alice.url) as connected:
                bob = connected.with_options(timeout=5.0)
                for _ in range(3):  # the first one goes another way than those that follow
                    with pytest.raises(tincans.TooLargeError):
                        await bob.call.at_once(2000)
                for sizes in ((2000, 1), (1, 2000)):  # the answer, then the request
                    asked = [(1, "y")] * 5 + [(sizes[0], "y" * sizes[1])] + [(1, "y")] * 4
                    results = await asyncio.gather(*[bob.call.filled(*each) for each in asked], return_exceptions=True)
                    kinds = [type(result).__name__ for result in results]
                    assert kinds == ["str"] * 5 + ["TooLargeError"] + ["str"] * 4

    play(main)
