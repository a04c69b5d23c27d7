"""What tasks wait on: an answer, a started call's answer, the next element; and results that are awaited or entered.

Rules of this file
- Everything here belongs to one event loop and is touched on it only, except where a method says otherwise.
- A future is settled once; whoever comes second finds it done and leaves it alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from tincans.pump.waiter import Waiter

T = TypeVar("T")


class Answer:
    """The wait for one answer, in the session's table of calls."""

    __slots__ = ("future", "operation")

    def __init__(self, future: asyncio.Future[Any], operation: str) -> None:
        self.future = future
        self.operation = operation

    def deliver(self, message: Any) -> None:
        if not self.future.done():
            self.future.set_result(message)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class CallFuture(asyncio.Future):  # type: ignore[type-arg]  # generic only for type checkers
    """The answer of a started call. Cancelling it tells the other side to stop.

    It stands in the session's table of calls itself. An error that nobody asks for is not reported: as in
    the sync face, whoever starts a call may leave its outcome alone.
    """

    operation = ""
    reads: Callable[[Any], Any]
    on_cancel: Callable[[], object]

    def deliver(self, message: Any) -> None:
        if self.done():
            return
        try:
            self.set_result(self.reads(message))
        except Exception as error:
            self.fail(error)

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
            if not future.done():
                future.set_result(True)
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
    timer = future.get_loop().call_later(max(0.0, timeout), _end_wait, future)
    try:
        return await future
    finally:
        timer.cancel()


def forget(future: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: its error, if it has one, is no news."""
    if future.done() and not future.cancelled():
        future.exception()


def _end_wait(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)


class Opening(Generic[T]):
    """Something that takes a while to come: `x = await opening`, or `async with opening as x:` to have it closed too.

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
