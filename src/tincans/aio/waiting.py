"""What tasks wait on: an answer, a started call's answer, the next element; and results that are awaited or entered.

Rules of this file
- Everything here belongs to one event loop and is touched on it only, except where a method says otherwise.
- A future is settled once; whoever comes second finds it done and leaves it alone.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from tincans.pump.deadlines import NEVER
from tincans.pump.waiter import PlainReply, Waiter

T = TypeVar("T")


class Answer:
    """The wait for one answer, in the session's table of calls; awaited by one task.

    It is what asyncio asks of a future and no more. A delivered answer lets its task run at once, inside the callback
    that received it, as an eager task does: a turn of the loop, with its system call, would cost a third of the call.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_context",
        "_loop",
        "_state",
        "_value",
        "deadline",
        "operation",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, operation: str) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._state = 0  # 1: an answer, 2: an error, 3: cancelled
        self._value: Any = None
        self._callback: Callable[[Any], object] | None = None
        self.operation = operation
        self.deadline = NEVER

    def deliver(self, message: Any) -> None:
        """On the loop, outside of any task."""
        if self._state == 0:
            self._state, self._value = 1, message
            if self._callback is not None:
                self._context.run(self._callback, self)

    def deliver_plain(self, value: Any) -> None:
        self.deliver(PlainReply(value))

    def fail(self, error: BaseException) -> None:
        if self._state == 0:
            self._end(2, error)

    def cancel(self, msg: Any | None = None) -> bool:
        """Called by the waiting task's own `cancel`."""
        if self._state:
            return False
        self._end(3, asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True

    def _end(self, state: int, error: BaseException) -> None:
        self._state, self._value = state, error
        if self._callback is not None:
            self._loop.call_soon(self._callback, self, context=self._context)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: contextvars.Context) -> None:
        """Called by the task that awaits it; there is only one."""
        self._callback, self._context = callback, context
        if self._state:
            self._loop.call_soon(callback, self, context=context)

    def result(self) -> Any:
        if self._state == 1:
            return self._value
        raise self._value

    def __await__(self) -> Generator[Any, None, Any]:
        if not self._state:
            self._asyncio_future_blocking = True
            yield self
        return self.result()


class CallFuture(asyncio.Future):  # type: ignore[type-arg]  # generic only for type checkers
    """The answer of a started call. Cancelling it tells the other side to stop.

    It stands in the session's table of calls itself. An error that nobody asks for is not reported: as in
    the sync face, whoever starts a call may leave its outcome alone.
    """

    operation = ""
    deadline = NEVER
    reads: Callable[[Any], Any]
    on_cancel: Callable[[], object]

    def deliver(self, message: Any) -> None:
        if self.done():
            return
        try:
            self.set_result(self.reads(message))
        except Exception as error:
            self.fail(error)

    def deliver_plain(self, value: Any) -> None:
        self.deliver(PlainReply(value))

    def fail(self, error: BaseException) -> None:
        if not self.done():
            self.set_exception(error)
            self.exception()

    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        self.on_cancel()
        return True


class ElementWaiter(Waiter):
    """The wait for elements: one thread may sleep on it, and any number of tasks."""

    __slots__ = ("futures",)

    def __init__(self) -> None:
        super().__init__()
        self.futures: list[asyncio.Future[bool]] = []

    def nudge(self) -> None:
        """On the loop."""
        futures, self.futures = self.futures, []
        for future in futures:
            settle(future)
        super().nudge()

    async def woken(self, loop: asyncio.AbstractEventLoop, timeout: float | None) -> bool:
        """Until `wake`; False when `timeout` seconds have passed first."""
        future: asyncio.Future[bool] = loop.create_future()
        self.futures.append(future)
        try:
            return await within(future, timeout)
        finally:
            if future in self.futures:
                self.futures.remove(future)


async def within(future: asyncio.Future[bool], timeout: float | None) -> bool:
    """The future's result, or False after `timeout` seconds; the future is done either way."""
    if timeout is None or future.done():
        return await future
    timer = future.get_loop().call_later(max(0.0, timeout), settle, future, False)
    try:
        return await future
    finally:
        timer.cancel()


def forget(future: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: its error, if it has one, is no news."""
    if future.done() and not future.cancelled():
        future.exception()


def settle(future: asyncio.Future[bool], result: bool = True) -> None:
    """Unless it is settled already."""
    if not future.done():
        future.set_result(result)


class Opening(Generic[T]):
    """Something that takes a while to come: `x = await opening`, or `async with opening as x:` to have it closed too.

    >>> import contextlib
    >>> async def make() -> contextlib.AsyncExitStack:
    ...     return contextlib.AsyncExitStack()
    >>> async def main() -> None:
    ...     async with Opening(make) as stack:
    ...         stack.callback(print, "closed")
    >>> asyncio.run(main())
    closed
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._make = make
        self._made: Any = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._make().__await__()

    async def __aenter__(self) -> T:
        self._made = await self._make()
        entered: T = await self._made.__aenter__()
        return entered

    async def __aexit__(self, *exc: Any) -> bool | None:
        left: bool | None = await self._made.__aexit__(*exc)
        return left
