"""The serving program's end on an event loop: what the pump's Host is, with listeners and links on the loop.

Rules of this file
- Listening may block (a broker, a file), so it has a thread; accepting and greeting happen on the loop.
- Listeners without a descriptor cost a thread each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from tincans.aio.background import Loop, LoopBackground, in_thread, on_loop
from tincans.aio.execution import AsyncExecutor
from tincans.aio.link import AsyncLink
from tincans.aio.local_hub import LoopHub
from tincans.contracts import Connection, Wire
from tincans.errors import ClosedError, TincansError
from tincans.pump.host import ACCEPTS_AT_ONCE, DRAIN_SECONDS, Door, Host, log
from tincans.pump.link import Link
from tincans.pump.reactor import spawn
from tincans.toolkit.keep import Keep

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

    async def open_soon(self, url: str) -> str:
        """Listen on one more URL; the URL to connect to."""
        door = await in_thread(lambda: self.listen(url), long=True, discard=lambda door: door.listener.close())
        keeper = DoorKeeper(self, door)
        self.doors.append(keeper)
        keeper.begin()
        return door.listener.address

    def is_draining(self) -> bool:
        return bool(self.executor.jobs) or super().is_draining()

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
            log.warning("Could not accept on %s: %s", self._door.listener.address, error)
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
                log.warning("Could not accept on %s: %s", self._door.listener.address, error)
                self._host.closed.wait(TRY_AGAIN)
                continue
            if connection is not None:
                on_loop(self._host.loop, self._admit, connection)

    def _admit(self, connection: Connection) -> None:
        try:
            self._host.admit(self._door, connection)
        except TincansError as error:
            log.warning("Could not accept on %s: %s", self._door.listener.address, error)

    def _stop(self) -> None:
        if self._fd is not None and not self._host.loop.is_closed():
            self._host.loop.remove_reader(self._fd)

    def close(self) -> None:
        self._stop()
        self._door.listener.close()
