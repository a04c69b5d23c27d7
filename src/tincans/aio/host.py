"""The serving program's end on an event loop: what the pump's Host is, with listeners and links on the loop.

Rules of this file
- Listening may block (a broker, a file), so it has a thread; accepting and greeting happen on the loop.
- Listeners without a descriptor cost a thread each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tincans.aio.background import Loop, LoopBackground, in_thread, on_loop
from tincans.aio.execution import AsyncExecutor
from tincans.aio.link import AsyncLink
from tincans.aio.local_hub import LoopHub, ThreadAsker
from tincans.contracts import Connection, Wire
from tincans.contracts.protocol import PublicProtocol
from tincans.core.log import log
from tincans.errors import ClosedError, TincansError
from tincans.finder import Method, method_of
from tincans.pump.door import ACCEPTS_AT_ONCE, Door, Keeper
from tincans.pump.execution import PlainRequest, awaited
from tincans.pump.host import DRAIN_SECONDS, Host
from tincans.pump.hub_board import Asker
from tincans.pump.link import Link
from tincans.pump.reactor import spawn
from tincans.toolkit import asyncio_bridge
from tincans.toolkit.files.keep import Keep

TRY_AGAIN = 0.1
"""Seconds after which accepting goes on when the system had no descriptor left."""


class AsyncHost(Host):
    """A serving program on an event loop. On the loop only, but for `__init__`, which may read a file."""

    executor: AsyncExecutor
    hub: LoopHub

    def __init__(
        self, loop: Loop, *, name: str = "", keep: Keep | None = None, keys: Mapping[str, bytes] | None = None
    ) -> None:
        self.loop = loop
        self.background = LoopBackground(loop)
        self.ended = asyncio.Event()
        self.ending = 0
        """Servers of public protocols that are being closed by a thread."""
        super().__init__(name=name, keep=keep, keys=keys)
        self.on_last_door = lambda: self.background.run(self.finish())

    def make_executor(self) -> AsyncExecutor:
        return AsyncExecutor(self.dispatcher, self.background)

    def make_background(self) -> LoopBackground:
        return self.background

    def make_hub(self, keep: Keep | None) -> LoopHub:
        return LoopHub(self.background, keep)

    def make_link(self, connection: Connection, wire: Wire) -> Link:
        return AsyncLink(connection, wire, self, self.background, connecting=False)

    def execute_plain(self, link: AsyncLink, found: PlainRequest) -> bool:
        """See AsyncExecutor."""
        return self.executor.execute_plain(link, found)

    async def open_soon(self, url: str) -> str:
        """Listen on one more URL; the URL to connect to."""
        method = method_of(url)
        protocol = method.protocol
        if protocol is not None:
            return await in_thread(lambda: self.open_protocol(method, protocol), long=True)
        if not method.calls:
            return self.open_board(method)
        door = await in_thread(lambda: self.listen(method), long=True, discard=lambda door: door.listener.close())
        keeper = DoorKeeper(self, door)
        self.methods.append(method)
        self.doors.append(keeper)
        keeper.begin()
        return door.listener.address

    def open_protocol(self, method: Method, protocol: PublicProtocol) -> str:
        address = super().open_protocol(method, protocol)
        self.doors[-1] = ProtocolKeeper(self, self.doors[-1])
        return address

    def asker(self, owner: object) -> Asker:
        return ThreadAsker(self.hub, owner)

    def run_async(
        self, awaitable: Any, visit: Any, then: Callable[[Any, BaseException | None], None]
    ) -> Callable[[], None]:
        return asyncio_bridge.run(awaited(awaitable, visit), then, on=self.loop)

    def driven(self, elements: Any) -> Iterator[Any]:
        return asyncio_bridge.iterate(elements, on=self.loop)

    def is_draining(self) -> bool:
        return bool(self.executor.jobs or self.ending) or super().is_draining()

    async def finish(self, *, drain: float = DRAIN_SECONDS) -> None:
        """Stop listening, say goodbye, let running functions finish within `drain` seconds, end all links."""
        if not self.begin_closing():
            await self.ended.wait()
            return
        deadline = time.monotonic() + drain
        try:
            while self.is_draining() and time.monotonic() < deadline:
                await asyncio.sleep(0.005)
        finally:
            await asyncio.shield(self._end_soon())

    async def _end_soon(self) -> None:
        await self.hub.finish()
        self.end()
        self.ended.set()


class ProtocolKeeper:
    """A public protocol's server: it ends on a thread, for what it still does may need the loop."""

    def __init__(self, host: AsyncHost, served: Keeper) -> None:
        self._host = host
        self._served = served

    def close(self) -> None:
        self._host.ending += 1
        spawn(self._close, "tincans-close")

    def _close(self) -> None:
        try:
            self._served.close()
        finally:
            on_loop(self._host.loop, self._closed)

    def _closed(self) -> None:
        self._host.ending -= 1


class DoorKeeper:
    """Accepts connections on one listener."""

    def __init__(self, host: AsyncHost, door: Door) -> None:
        self._host = host
        self._door = door
        self._fd = door.listener.fileno()

    def begin(self) -> None:
        if self._host.closed.is_set():
            return
        if self._fd is None:
            spawn(self._accept_for_ever, "tincans-accept")
        else:
            self._host.loop.add_reader(self._fd, self._accept)

    def _accept(self) -> None:
        try:
            for _ in range(ACCEPTS_AT_ONCE):
                connection = self._door.listener.accept(timeout=0)
                if connection is None:
                    return
                self._host.admit(self._door, connection)
        except ClosedError:
            self._host.door_over(self)
            return
        except Exception as error:  # out of descriptors or memory: others may leave, so try again
            log().warning("Could not accept on %s: %s", self._door.listener.address, error)
            self._stop()
            self._host.loop.call_later(TRY_AGAIN, self.begin)

    def _accept_for_ever(self) -> None:
        while not self._host.closed.is_set():
            try:
                connection = self._door.listener.accept(timeout=None)
            except ClosedError:
                on_loop(self._host.loop, self._host.door_over, self)
                return
            except Exception as error:
                log().warning("Could not accept on %s: %s", self._door.listener.address, error)
                self._host.closed.wait(TRY_AGAIN)
                continue
            if connection is not None:
                on_loop(self._host.loop, self._admit, connection)

    def _admit(self, connection: Connection) -> None:
        try:
            self._host.admit(self._door, connection)
        except TincansError as error:
            log().warning("Could not accept on %s: %s", self._door.listener.address, error)

    def _stop(self) -> None:
        if self._fd is not None and not self._host.loop.is_closed():
            self._host.loop.remove_reader(self._fd)

    def close(self) -> None:
        self._stop()
        self._door.listener.close()
