"""Several connections behind one peer of the async face; what is spread, and how, is said in pump/spread_way.py.

Rules of this file
- Everything happens on the loop of the peer.
"""

from __future__ import annotations

from typing import Any

from tincans.aio.channel import AsyncChannel
from tincans.pump.spread_way import Spread

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class AsyncSpreadWay(Spread[AsyncChannel]):
    """aio.way.AsyncWay over several channels to the same address."""

    async def call(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        with self._one() as channel:
            return await channel.call(name, args, kwargs, timeout=timeout)

    async def call_again(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        with self._one() as channel:
            return await channel.call_again(name, args, kwargs, timeout=timeout)

    async def notify(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> None:
        with self._one() as channel:
            await channel.notify(name, args, kwargs, timeout=timeout)
