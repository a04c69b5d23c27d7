"""Way: what a Peer of the async face talks through, and the ways that block, each call of them on a thread.

Rules of this file
- A connection has a way of its own on the loop (AsyncChannel). Boards and public protocols are the pump's ways
  (pump/way.py) on threads: their libraries block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from tincans.aio.background import in_thread
from tincans.aio.board import Board
from tincans.aio.channel import AsyncChannel
from tincans.aio.native_board import threaded_board
from tincans.aio.spread_way import AsyncSpreadWay
from tincans.contracts import Buffer, Parts
from tincans.core.streams import ENDED
from tincans.pump import way
from tincans.pump.calling import Reading

if TYPE_CHECKING:
    from tincans.finder import Method

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class AsyncWay(Protocol):
    """pump.way.Way, awaited."""

    url: str

    async def reach(self, timeout: float) -> None: ...
    async def call(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any: ...
    async def call_again(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any: ...
    def start(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> asyncio.Future[Any]: ...
    async def notify(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> None: ...
    async def describe(self, *, timeout: float | None) -> dict[str, Any]: ...
    def written(self, name: str, args: Args, kwargs: Kwargs) -> list[Buffer]: ...
    def answer_in(self, parts: Parts, name: str) -> Any: ...
    async def board(self, timeout: float) -> Board: ...
    def expose(self, function: Callable[..., Any], **options: Any) -> None: ...
    def close(self) -> None: ...


class ThreadedWay:
    """A way of the pump's, whose every wait has a thread."""

    def __init__(self, inner: way.Way) -> None:
        self.url = inner.url
        self._inner = inner
        self.written = inner.written
        self.answer_in = inner.answer_in
        self.expose = inner.expose
        self.close = inner.close

    async def reach(self, timeout: float) -> None:
        await in_thread(partial(self._inner.reach, timeout), long=True)

    async def call(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        return await self._called(self._inner.call, name, args, kwargs, timeout)

    async def call_again(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        return await self._called(self._inner.call_again, name, args, kwargs, timeout)

    async def _called(
        self, how: Callable[..., Any], name: str, args: Args, kwargs: Kwargs, timeout: float | None
    ) -> Any:
        result = await in_thread(partial(how, name, args, kwargs, timeout=timeout), long=True)
        return ThreadedStream(result) if hasattr(result, "__next__") else result

    def start(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self.call(name, args, kwargs, timeout=timeout))

    async def notify(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> None:
        await in_thread(partial(self._inner.notify, name, args, kwargs, timeout=timeout), long=True)

    async def describe(self, *, timeout: float | None) -> dict[str, Any]:
        return await in_thread(partial(self._inner.describe, timeout=timeout), long=True)

    async def board(self, timeout: float) -> Board:
        return threaded_board(await in_thread(partial(self._inner.board, timeout), long=True))


class ThreadedStream:
    """A stream that blocks, as an async iterator; each element is waited for by a thread."""

    def __init__(self, elements: Any) -> None:
        self._elements = elements

    def __aiter__(self) -> ThreadedStream:
        return self

    async def __anext__(self) -> Any:
        element = await in_thread(partial(next, self._elements, ENDED), long=True)
        if element is ENDED:
            raise StopAsyncIteration
        return element

    async def close(self) -> None:
        """Nobody wants more of it."""
        await in_thread(self._elements.close, long=True)


def way_of(method: Method, reading: Reading) -> AsyncWay:
    """The right kind of way; nothing is reached yet."""
    if method.calls and method.transport is not None:
        count = way.strings_of(method)
        channels = [AsyncChannel(method.address, method.transport, method.wire, reading) for _ in range(count)]
        return channels[0] if count == 1 else AsyncSpreadWay(channels)
    return ThreadedWay(way.way_of(method, reading))
