"""A stage for tests of the async face: a loop that must end without complaints, and Alice and Bob on it.

Rules of this file
- `play` fails a test for anything that the event loop would only have logged: an error never retrieved, a task
  destroyed while pending, an exception in a callback.
- Names are new each time, so that tests may run in any order and side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from tincans import aio

PATIENCE = 20.0
"""Seconds after which a test is taken to hang."""

everywhere = pytest.mark.parametrize("method", ["memory", "memory without descriptor", "unix", "pipe", "local"])
_numbers = itertools.count(1)


def address(method: str) -> str:
    """A URL that nobody else uses."""
    scheme, _, without = method.partition(" ")
    return f"{scheme}:stage-{os.getpid()}-{next(_numbers)}" + ("?descriptor=no" if without else "")


def play(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run `main` on a loop of its own; what the loop complains about fails the test."""
    complaints: list[dict[str, Any]] = []

    async def bounded() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        async with asyncio.timeout(PATIENCE):
            result = await main()
        gc.collect()
        await asyncio.sleep(0)
        return result

    result = asyncio.run(bounded())
    gc.collect()
    assert complaints == []
    return result


@contextlib.asynccontextmanager
async def alice_and_bob(method: str, *functions: Callable[..., Any]) -> AsyncIterator[tuple[aio.Server, aio.Peer[Any]]]:
    """A server that exposes the functions, and a peer connected to it."""
    async with aio.serve(address(method)) as alice:
        for function in functions:
            alice.expose(function)
        url = alice.url + ("?descriptor=no" if method.endswith("without descriptor") else "")
        async with aio.connect(url) as bob:
            yield alice, bob


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for a condition; `play` bounds it."""
    while True:
        holds = condition()
        if await holds if isinstance(holds, Awaitable) else holds:
            return
        await asyncio.sleep(0.001)
