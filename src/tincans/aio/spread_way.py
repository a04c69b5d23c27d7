"""Several connections behind one peer of the async face; what is spread, and how, is said in pump/spread_way.py.

Rules of this file
- Everything happens on the loop of the peer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tincans.aio.board import Board
from tincans.aio.channel import AsyncChannel
from tincans.pump.spread_way import Shares

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class AsyncSpreadWay:
    """aio.way.AsyncWay over several channels to the same address."""

    def __init__(self, channels: Sequence[AsyncChannel]) -> None:
        self._channels = channels
        self._shares = Shares(len(channels))
        first = channels[0]
        self.url = first.url
        self.reach = first.reach
        self.describe = first.describe
        self.written = first.written
        self.answer_in = first.answer_in

    @contextmanager
    def _one(self) -> Iterator[AsyncChannel]:
        place = self._shares.begin()
        try:
            yield self._channels[place]
        finally:
            self._shares.end(place)

    async def call(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        with self._one() as channel:
            return await channel.call(name, args, kwargs, timeout=timeout)

    async def call_again(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        with self._one() as channel:
            return await channel.call_again(name, args, kwargs, timeout=timeout)

    def start(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> asyncio.Future[Any]:
        place = self._shares.begin()
        try:
            future = self._channels[place].start(name, args, kwargs, timeout=timeout)
        except BaseException:
            self._shares.end(place)
            raise
        future.add_done_callback(lambda _: self._shares.end(place))
        return future

    async def notify(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> None:
        with self._one() as channel:
            await channel.notify(name, args, kwargs, timeout=timeout)

    async def board(self, timeout: float) -> Board:
        return await self._channels[0].board(timeout)

    def expose(self, function: Callable[..., Any], **options: Any) -> None:
        """On each connection, for each may be called back."""
        for channel in self._channels:
            channel.expose(function, **options)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
