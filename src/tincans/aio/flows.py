"""Streams on an event loop: elements that come in, async generators that are sent out.

Rules of this file
- A stream that comes in may be consumed by tasks (`receive_soon`) or by a thread (`receive`).
- An async generator is advanced by one task, only with credit; without credit the task sleeps.
- A stream that is dropped, closed or cancelled says Cancel; the generator at the other end is closed then.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from tincans.aio.waiting import ElementWaiter
from tincans.core.failures import failure_of
from tincans.core.messages import Credit, End, Failure, Item
from tincans.core.streams import ENDED, WINDOW
from tincans.errors import CallTimeoutError, TincansError
from tincans.pump.flows import SEND_TIMEOUT, Incoming

if TYPE_CHECKING:
    from tincans.aio.link import AsyncLink


class AsyncIncoming(Incoming):
    """Elements of one stream as messages, until consumed."""

    def __init__(self, link: AsyncLink, id: int) -> None:
        super().__init__(link, id)
        self._loop = link.loop
        self._waiter = self.waiter = ElementWaiter()

    async def receive_soon(self, *, timeout: float | None) -> Any:
        """The next message, None at the timeout, ENDED at the end. Raises what ended it otherwise."""
        deadline = None
        while True:
            inlet = self.inlet
            if inlet.items:
                message = inlet.next()
                if owed := inlet.owed():
                    self.grant(owed)
                return message
            if inlet.error is not None:
                raise inlet.error
            if inlet.ended:
                return ENDED
            if timeout is not None:
                deadline = deadline or time.monotonic() + timeout
                timeout = deadline - time.monotonic()
            if not await self._waiter.woken(self._loop, timeout):
                return None

    def grant(self, count: int) -> None:
        if self.link.dead is None:
            self.link.post(Credit(self.id, count))


class Stream:
    """What a call to a generator function gives: `async for`; `close` (or leaving `async with`) ends it early.

    Each element is waited for at most the call's timeout. If the stream is dropped, the generator at the other end is
    closed.
    """

    def __init__(
        self, incoming: AsyncIncoming, read: Callable[[Any], Any], operation: str, timeout: float | None
    ) -> None:
        self._incoming = incoming
        self._read = read
        self._operation = operation
        self._timeout = timeout
        self._finished = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._finished:
            raise StopAsyncIteration
        message = await self._incoming.receive_soon(timeout=self._timeout)
        if message is None:
            self._end()
            raise CallTimeoutError(
                f"{self._operation} gave no further element within {self._timeout:g} s; the stream was closed.",
                operation=self._operation,
            )
        if message is ENDED:
            self._finished = True
            raise StopAsyncIteration
        return self._read(message)

    def detach(self) -> AsyncIncoming:
        """The messages themselves; the stream is done with them."""
        self._finished = True
        return self._incoming

    def _end(self) -> None:
        self._finished = True
        self._incoming.close()

    async def close(self) -> None:
        """End the stream; the generator at the other end is closed."""
        self._end()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._end()

    def __del__(self) -> None:
        if not self._finished:
            self._end()


class AsyncPull:
    """An async iterator that is sent out, element by element, as far as the credit goes."""

    def __init__(self, link: AsyncLink, id: int, iterator: AsyncIterator[Any]) -> None:
        self.link = link
        self.id = id
        self._iterator = iterator
        self._credit = 0
        self._sent = 0
        self._more: asyncio.Future[bool] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._context = contextvars.copy_context()

    def grant(self, count: int) -> None:
        """The receiver allows `count` more. On the loop."""
        self._credit += count
        if self._task is None:
            task = self.link.loop.create_task(self._run(), context=self._context)
            self._task = self.link.tasks.hold(task)
        elif self._more is not None and not self._more.done():
            self._more.set_result(True)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        last: End | Failure = End(self.id)
        try:
            while True:
                while self._credit <= 0:
                    self._more = self.link.loop.create_future()
                    await self._more
                self._credit -= 1
                value = await self._iterator.__anext__()
                await self.link.send_on_loop(Item(self.id, value), timeout=SEND_TIMEOUT)
                self._sent += 1
                if self._sent % WINDOW == 0:
                    await asyncio.sleep(0)  # a generator that never waits must let others have their turn
        except StopAsyncIteration:
            pass
        except TincansError as error:
            last = failure_of(self.id, error) if self.link.dead is None else last
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            last = failure_of(self.id, error)
        finally:
            if self.link.session.outlets.pop(self.id, None) is not None:
                self.link.post(last)
            await self._close()

    async def _close(self) -> None:
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            try:
                await close()
            except Exception as error:
                failure_of(self.id, error)  # nobody waits for it any more


def send_out(link: AsyncLink, id: int, iterator: AsyncIterator[Any], *, credit: int) -> None:
    """Send an async iterator as the stream `id`."""
    pull = AsyncPull(link, id, iterator)
    link.session.outlets[id] = pull
    if credit:
        pull.grant(credit)
