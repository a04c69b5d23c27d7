"""The connecting program's end on an event loop: one link at a time, made again when it is lost.

Rules of this file
- Start order does not matter: `link` waits for the server within the caller's timeout, with backoff and jitter.
- Connecting blocks, so each attempt has a thread; everything after the greeting happens on the loop.
- What was in flight when a link died fails with "outcome unknown"; it is repeated only when nothing had been sent, or
  the function is idempotent (same key, so that the server's journal answers a repetition).
"""

from __future__ import annotations

import asyncio
import os
import time
from asyncio import _get_running_loop as running_loop
from collections.abc import Callable
from functools import partial
from typing import Any

from tincans.aio import calling
from tincans.aio.background import LoopBackground, in_thread
from tincans.aio.board import Board, Elements
from tincans.aio.execution import AsyncExecutor
from tincans.aio.flows import AsyncIncoming
from tincans.aio.link import AsyncLink
from tincans.aio.native_board import whole_board
from tincans.contracts import Buffer, Parts, Transport, Wire
from tincans.core.address import Address
from tincans.core.dispatch import Dispatcher
from tincans.core.handshake import GREETING_TIMEOUT
from tincans.core.messages import Message, Request
from tincans.core.streams import ENDED
from tincans.errors import (
    ClosedError,
    DisconnectedError,
    NotExposedError,
    TincansError,
    UnreachableError,
    UnsupportedError,
    WaitTimeoutError,
)
from tincans.pump import plain_serving
from tincans.pump.calling import PLAIN, Reading, answer_left, request_left
from tincans.pump.dialing import FIRST_BACKOFF, Attempts, Dialer, backoffs
from tincans.pump.execution import PlainRequest, release
from tincans.pump.link import Link
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.fork_guard import abandon_in_child

COME_BACK_AT_MOST = 5.0
"""Seconds between two attempts to come back in the background."""


class AsyncChannel:
    """The string to one server, whatever becomes of single connections. It belongs to the loop it was made on."""

    def __init__(self, address: Address, transport: Transport, wire: Wire, reading: Reading = PLAIN) -> None:
        self.url = str(address)
        self.wire = wire
        self.reading = reading
        self.dispatcher = Dispatcher()
        self.loop = asyncio.get_running_loop()
        self.background = LoopBackground(self.loop)
        self._dialer = Dialer(address, transport, wire)
        self._executor = AsyncExecutor(self.dispatcher, self.background)
        self._link: AsyncLink | None = None
        self._making = asyncio.Lock()
        self._closed = False
        abandon_in_child(self)

    # -- the link ------------------------------------------------------------------------------------------------

    def live(self) -> AsyncLink | None:
        """The link, when it can be used at once."""
        if running_loop() is not self.loop:
            raise UnsupportedError(
                f"This peer of {self.url} belongs to another event loop; connect again on this one.", url=self.url
            )
        link = self._link
        return link if link is not None and link.dead is None and not link.leaving else None

    async def link(self, timeout: float | None) -> AsyncLink:
        """A live link; connects, and waits for the server, within `timeout`."""
        link = self.live()
        if link is not None:
            return link
        attempts = Attempts(self.url, timeout)
        try:
            async with asyncio.timeout(timeout):
                await self._making.acquire()
        except TimeoutError:
            raise UnreachableError(f"No connection to {self.url} within {timeout:g} s.", url=self.url) from None
        try:
            link = self.live()
            if link is None:
                link = self._link = await self._connect(attempts)
            return link
        finally:
            self._making.release()

    async def _connect(self, attempts: Attempts) -> AsyncLink:
        while not self._closed:
            try:
                dial = partial(self._dialer.dial, attempts.left())
                connection = await in_thread(dial, long=True, discard=lambda made: made.close())
                link = AsyncLink(connection, self._dialer.wire, self, self.background, connecting=True)
                link.where = self.url
            except TincansError as error:
                await asyncio.sleep(attempts.pause(error))
            else:
                link.rest()
                if not self._closed:
                    return link
                link.close("the peer was closed")
        raise ClosedError(f"This peer of {self.url} was closed.", url=self.url)

    # -- Owner of the link -----------------------------------------------------------------------------------------

    def execute(self, link: Link, request: Request[Any]) -> None:
        self._executor.execute(link, request)

    def execute_plain(self, link: AsyncLink, found: PlainRequest) -> bool:
        """See AsyncExecutor."""
        return self._executor.execute_plain(link, found)

    def serve_plain(self, link: Link, linger: float) -> list[Buffer] | None:
        assert link.quick is not None
        return plain_serving.serve(link, link.quick, self._executor, linger)

    def execute_at_once(self, link: Link, request: Request[Any]) -> bool:
        return request.name.startswith("$") and release(link, request)

    def greet(self, link: Link, message: Message) -> None:
        """Never called: the connecting side greets before there is a link."""

    def cancelled(self, link: Link, id: int) -> None:
        """Nothing is granted on this side."""

    def goodbye(self, link: Link) -> None:
        """The server is leaving; the next call makes a new link."""

    def lost(self, link: Link, error: TincansError) -> None:
        if self.dispatcher.names() and not self._closed:
            self.background.run(self._come_back())

    async def _come_back(self) -> None:
        """In the background, while the other side may want to call our functions."""
        for pause in backoffs(FIRST_BACKOFF, COME_BACK_AT_MOST):
            await asyncio.sleep(pause)
            try:
                await self.link(GREETING_TIMEOUT)
                return
            except ClosedError:
                return
            except TincansError:
                pass  # the next pause is longer

    # -- calls -------------------------------------------------------------------------------------------------------

    async def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None) -> Any:
        """One call; see calling.py."""
        link = self.live() or await self.link(timeout)
        if name in self._dialer.idempotent:
            return await self.call_again(name, args, kwargs, timeout=timeout)
        try:
            return await calling.call(link, name, args, kwargs, timeout=timeout, reading=self.reading)
        except DisconnectedError as error:
            if error.outcome != "not_sent":
                raise self._located(error) from None
        except TincansError as error:
            self._located(error)
            raise
        link = await self.link(timeout)
        return await calling.call(link, name, args, kwargs, timeout=timeout, reading=self.reading)

    async def call_again(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None
    ) -> Any:
        """A call that may be repeated: after a reconnect it is sent again under the same key, until the deadline."""
        key = os.urandom(16).hex()
        deadline = deadline_of(timeout)
        while True:
            left = left_of(deadline, least=0.001)
            try:
                link = await self.link(left)
                return await calling.call(link, name, args, kwargs, timeout=left, key=key, reading=self.reading)
            except DisconnectedError as error:
                if deadline is not None and time.monotonic() >= deadline:
                    raise self._located(error) from None
            except TincansError as error:
                self._located(error)
                raise

    def start(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None
    ) -> asyncio.Future[Any]:
        """A call whose answer is awaited later."""
        link = self.live()
        if link is not None and name not in self._dialer.idempotent:
            try:
                return calling.start(link, name, args, kwargs, timeout=timeout, reading=self.reading)
            except DisconnectedError:
                pass  # nothing was sent: as when there is no link
        return self.background.run(self.call(name, args, kwargs, timeout=timeout))

    async def notify(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None) -> None:
        """A call without an answer: returns when it has left."""
        link = self.live() or await self.link(timeout)
        await link.send_on_loop(Request(0, name, args, kwargs or None, timeout), timeout=timeout)

    async def describe(self, *, timeout: float | None) -> dict[str, Any]:
        """The other program's functions with types and docs."""
        description: dict[str, Any] = await self.call("$describe", (), {}, timeout=timeout)
        return description

    def written(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Buffer]:
        """A request as it is left for later."""
        return request_left(self.wire, name, args, kwargs)

    def answer_in(self, parts: Parts, name: str) -> Any:
        """What an answer says: its value, or the error that it raises."""
        return answer_left(self._dialer.wire, parts, name, self.reading)

    async def reach(self, timeout: float) -> None:
        """Reach the server now; UnreachableError when nobody comes within `timeout`."""
        await self.link(timeout)

    def expose(self, function: Callable[..., Any], **options: Any) -> None:
        """Let the other program call a function of this one."""
        self.dispatcher.expose(function, **options)

    def _located(self, error: TincansError) -> TincansError:
        if error.url is None:
            error.url = self.url
        return error

    # -- board.Asker ---------------------------------------------------------------------------------------------------

    async def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        wait_there = timeout != 0
        bound = timeout if wait_there else GREETING_TIMEOUT
        link = self.live() or await self.link(bound)
        try:
            return await calling.call(link, name, args, {}, timeout=bound, operation=name[1:], wait_there=wait_there)
        except TimeoutError as error:
            raise WaitTimeoutError(str(error), url=self.url, operation=name[1:]) from None
        except NotExposedError:
            raise NotExposedError(f"{self.url} is no tincans server with a hub: it does not know {name!r}.") from None

    async def tell(self, name: str, *args: Any) -> None:
        link = self.live() or await self.link(GREETING_TIMEOUT)
        await link.send_on_loop(Request(0, name, args), timeout=GREETING_TIMEOUT)

    async def open(self, name: str, *args: Any, timeout: float | None) -> Elements:
        bound = GREETING_TIMEOUT if timeout is None else max(timeout, 1.0)
        link = self.live() or await self.link(bound)
        stream = await calling.call(link, name, args, {}, timeout=bound, operation=name[1:])
        return _LinkElements(link, stream.detach())

    async def board(self, timeout: float) -> Board:
        """The method's own board, completed by the hub of the other program."""
        make: Callable[[], Any] = partial(
            self._dialer.transport.board, self._dialer.address, wire=self.wire, timeout=timeout
        )
        own = await in_thread(make, long=True, discard=lambda made: made and made.close())
        return whole_board(self, own)

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Say goodbye and end; anyone waiting gets ClosedError."""
        self._closed = True
        link = self._link
        if link is not None:
            link.close("the peer was closed")

    def abandon(self) -> None:
        """In a forked child, whose parent's loop this is."""
        link, self._link = self._link, None
        if link is not None:
            link.connection.abandon()


class _LinkElements:
    """board.Elements over a link."""

    def __init__(self, link: AsyncLink, incoming: AsyncIncoming) -> None:
        self._incoming = incoming
        self._read = link.read_any

    async def receive_soon(self, *, timeout: float | None) -> Any:
        message = await self._incoming.receive_soon(timeout=timeout)
        if message is None or message is ENDED:
            return message
        if type(message) is tuple:  # plain, and read already
            return message[1], message[2], 0
        return message.topic, self._read(message.value, message), message.dropped

    def close(self) -> None:
        self._incoming.close()
