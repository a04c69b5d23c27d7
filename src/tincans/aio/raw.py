"""A string without the cans, for asyncio: the same names as `tincans.raw`, with `await`.

    async with tincans.aio.raw.connect("tcp://127.0.0.1:9000?framing=lines") as bob:
        await bob.send("hello")
        print(await bob.receive())

Rules of this file
- Received on the event loop itself where the connection has a descriptor, else by a thread.
- A message that fits into the connection's buffers is sent at once; a thread sends what does not fit.
- Nothing here blocks the loop, and a task that is cancelled loses no message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tincans import contracts
from tincans.aio.background import in_thread
from tincans.aio.waiting import Opening, forget, settle, within
from tincans.contracts import Identity
from tincans.core.raw_framing import NOTHING, Framing
from tincans.errors import ClosedError, DisconnectedError, TincansError, WaitTimeoutError
from tincans.pump.dialing import Attempts
from tincans.pump.raw_string import RawMethod, RawString, raw_method
from tincans.raw import CONNECT_TIMEOUT, WAIT
from tincans.toolkit.deadline import deadline_of, left_of

__all__ = ["Connection", "Framing", "Listener", "connect", "listen"]

LARGE = 256 * 1024
"""Bytes: from here on a thread sends, for the kernel takes no more at once."""

SLICE = 1.0
"""Seconds that a thread waits for a message at a time, where there is no descriptor to watch."""

GRACE = 0.05
"""Seconds that a thread may be late with its word that nothing came."""


class Readiness:
    """Waits of one event loop for one descriptor, which `end` ends."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Future[bool]] = set()

    async def wait(self, fd: int, timeout: float | None) -> bool:
        """Until the descriptor is readable or `end` was called; False when `timeout` has passed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waits.add(future)
        loop.add_reader(fd, settle, future)
        try:
            return await within(future, timeout)
        finally:
            if future in self._waits:
                self._waits.discard(future)
                loop.remove_reader(fd)

    def end(self, fd: int | None) -> None:
        """Before the descriptor is closed."""
        waits, self._waits = self._waits, set()
        if waits and fd is not None:
            asyncio.get_running_loop().remove_reader(fd)
        for future in waits:
            settle(future)


class Connection:
    """One string. Several tasks may use it. Iterate to get every message until the other end has closed.

    A message is bytes; `send` also takes a text, as UTF-8. With a framing of your own it is whatever that gives.
    """

    def __init__(self, string: RawString) -> None:
        self._string = string
        self._readiness = Readiness()
        self._sending = asyncio.Lock()
        self._receiving = asyncio.Lock()
        self._away: asyncio.Future[Any] | None = None
        self._taking: asyncio.Future[Any] | None = None

    @property
    def url(self) -> str:
        """The address, with masked secrets."""
        return self._string.url

    @property
    def identity(self) -> Identity:
        """Who is at the other end, as the operating system says."""
        return self._string.connection.identity

    async def send(self, message: Any, *, timeout: float | None = WAIT) -> None:
        """Send one message, waiting at most `timeout` seconds while the other end does not read.

        WaitTimeoutError says whether nothing or a part has left. DisconnectedError, ClosedError, TooLargeError.
        """
        data = self._string.packed(message)
        async with self._turn(self._sending, timeout) as left:
            rest: Callable[..., bool] = partial(self._string.push, data)
            if len(data) <= LARGE and (self._away is None or self._away.done()):
                try:
                    if self._string.push(data, timeout=0):
                        return
                    rest = self._string.flush
                except WaitTimeoutError:
                    pass
            if not await self._by_thread(partial(rest, timeout=left)):
                raise self._string.half_sent(timeout)

    async def flush(self, *, timeout: float | None = WAIT) -> bool:
        """Send the rest of a message of which only a part had left; True when nothing is left."""
        async with self._turn(self._sending, timeout) as left:
            done: bool = await self._by_thread(partial(self._string.flush, timeout=left))
            return done

    async def finish(self, *, timeout: float | None = WAIT) -> None:
        """Say that nothing more comes from here, and go on receiving; for programs that read to the end first."""
        async with self._turn(self._sending, timeout) as left:
            await self._by_thread(partial(self._string.finish, timeout=left))

    async def _by_thread(self, job: Callable[[], Any]) -> Any:
        """A job of the sending half. When its task is cancelled it runs on, and the next one waits for it."""
        self._away = asyncio.ensure_future(in_thread(job, long=True))
        self._away.add_done_callback(forget)
        return await asyncio.shield(self._away)

    async def receive(self, *, timeout: float | None = WAIT) -> Any:
        """The next message; WaitTimeoutError when none came within `timeout` seconds (None: wait for ever).

        DisconnectedError when the other end is gone, after all that came before; its `cut` says whether that was in
        the middle of a message. ProtocolError for what is no message.
        """
        async with self._turn(self._receiving, timeout) as left:
            message = await self._take(left)
        if message is NOTHING:
            raise self._string.nothing_came(timeout)
        return message

    async def _take(self, timeout: float | None) -> Any:
        string, deadline = self._string, deadline_of(timeout)
        if string.connection.fileno() is None:
            return await self._taken_by_thread(timeout)
        while (message := string.take(timeout=0)) is NOTHING:
            left = left_of(deadline)
            if left is not None and left <= 0:
                return NOTHING
            fd = string.connection.fileno()  # it may change when a string is decided
            prepare: Callable[[], bool] | None = getattr(string.connection, "prepare_wait", None)
            if fd is not None and (prepare is None or not prepare()):
                await self._readiness.wait(fd, left)
        return message

    async def _taken_by_thread(self, timeout: float | None) -> Any:
        """One thread waits; a task that is cancelled leaves what it gets to the next one."""
        deadline = deadline_of(timeout)
        while True:
            left = left_of(deadline)
            if self._taking is None:
                wait = SLICE if left is None else min(left, SLICE)
                self._taking = asyncio.ensure_future(in_thread(partial(self._string.take, timeout=wait), long=True))
                self._taking.add_done_callback(forget)
            taking = self._taking
            await asyncio.wait([taking], timeout=None if left is None else left + GRACE)
            if taking.done():
                self._taking = None
                message = taking.result()
                if message is not NOTHING:
                    return message
            if left is not None and left <= 0:
                return NOTHING

    async def poll(self, *, timeout: float | None = 0.0) -> bool:
        """Whether `receive` would give a message (or raise) at once; waits at most `timeout` seconds for that."""
        async with self._turn(self._receiving, timeout) as left:
            string = self._string
            if string.connection.fileno() is not None and string.poll(timeout=0):
                return True
            try:
                message = await self._take(left)
            except TincansError as error:
                string.fail(error)
                return True
            string.put_back(message)
            return message is not NOTHING

    def fileno(self) -> int | None:
        """A descriptor that polls readable when `poll()` may be true, or None where the method has none."""
        return self._string.connection.fileno()

    async def close(self) -> None:
        """End it; whoever waits gets ClosedError. May be called twice."""
        try:
            self._readiness.end(self._string.connection.fileno())
        except ClosedError:
            pass  # for the second time
        self._string.close()

    @asynccontextmanager
    async def _turn(self, lock: asyncio.Lock, timeout: float | None) -> AsyncIterator[float | None]:
        """Be the only task inside; what is left of the timeout then."""
        deadline = deadline_of(timeout)
        if lock.locked():
            try:
                await asyncio.wait_for(lock.acquire(), timeout)
            except TimeoutError:
                raise WaitTimeoutError(
                    f"Another task used this string for all of {timeout:g} s.", url=self.url
                ) from None
        else:
            await lock.acquire()
        try:
            yield left_of(deadline)
        finally:
            lock.release()

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Every message, until the other end has closed. DisconnectedError when that cut a message in two."""
        while True:
            try:
                message = await self.receive(timeout=None)
            except DisconnectedError as error:
                if error.cut:
                    raise
                return
            yield message

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<raw Connection {self.url}>"


class Listener:
    """Where connections come in. Iterate to accept every one until it is closed."""

    def __init__(self, method: RawMethod, listener: contracts.Listener) -> None:
        self._method = method
        self._listener = listener
        self._readiness = Readiness()
        self._accepting = asyncio.Lock()

    @property
    def url(self) -> str:
        """What to connect to, with the real port or path."""
        return self._listener.address

    async def accept(self, *, timeout: float | None = None) -> Connection | None:
        """The next connection; None when none came within `timeout` seconds (None: wait for ever)."""
        deadline = deadline_of(timeout)
        async with self._accepting:
            accepted = await self._accepted(deadline)
        return None if accepted is None else Connection(self._method.string(accepted))

    async def _accepted(self, deadline: float | None) -> contracts.Connection | None:
        fd = self._listener.fileno()
        while True:
            left = left_of(deadline)
            if fd is None:
                job = partial(self._listener.accept, timeout=left)
                return await in_thread(job, long=True, discard=_close)
            accepted = self._listener.accept(timeout=0)
            if accepted is not None or left == 0:
                return accepted
            await self._readiness.wait(fd, left)

    def fileno(self) -> int | None:
        """A descriptor that polls readable when somebody may have come, or None where the method has none."""
        return self._listener.fileno()

    async def close(self) -> None:
        """Stop listening and remove every name. Connections that were accepted stay. May be called twice."""
        try:
            self._readiness.end(self._listener.fileno())
        except ClosedError:
            pass  # for the second time
        self._listener.close()

    async def __aiter__(self) -> AsyncIterator[Connection]:
        """Every connection, until this is closed."""
        while True:
            try:
                accepted = await self.accept()
            except ClosedError:
                return
            if accepted is not None:
                yield accepted

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<raw Listener {self.url}>"


def _close(connection: contracts.Connection | None) -> None:
    if connection is not None:
        connection.close()


def connect(url: str, *, framing: str | Framing | None = None, timeout: float = CONNECT_TIMEOUT) -> Opening[Connection]:
    """A string to the program that listens at `url`; waits up to `timeout` seconds for it to come.

    `bob = await connect(...)`, or `async with connect(...) as bob:`. See `tincans.raw.connect`.
    """

    async def make() -> Connection:
        method = raw_method(url, framing)
        attempts = Attempts(str(method.address), timeout)
        while True:
            try:
                job = partial(method.connect, timeout=attempts.left())
                return Connection(await in_thread(job, long=True, discard=lambda made: made.close()))
            except TincansError as error:
                await asyncio.sleep(attempts.pause(error))

    return Opening(make)


def listen(url: str, *, framing: str | Framing | None = None) -> Opening[Listener]:
    """Let programs connect to `url`: `async with listen(...) as listener:`. See `tincans.raw.listen`."""

    async def make() -> Listener:
        method = raw_method(url, framing)
        return Listener(method, await in_thread(method.listen, discard=lambda made: made.close()))

    return Opening(make)
