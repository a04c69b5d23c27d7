"""An event loop on a thread of its own, for async handlers and async iterators inside a sync program.

Rules of this file
- One loop a program, started when first needed, on a daemon thread; a forked child starts its own.
- Nothing here blocks the loop: callers block in their own threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from tincans.core.failures import survivable

_loop: asyncio.AbstractEventLoop | None = None
_starting = threading.Lock()


def loop() -> asyncio.AbstractEventLoop:
    """The background loop."""
    global _loop
    with _starting:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="tincans-asyncio", daemon=True).start()
        return _loop


def _after_fork_in_child() -> None:
    global _loop, _starting
    _loop, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def run(
    coroutine: Coroutine[Any, Any, Any],
    then: Callable[[Any, BaseException | None], None],
    on: asyncio.AbstractEventLoop | None = None,
) -> Callable[[], None]:
    """Run a coroutine on the loop `on`, or the background loop; `then(result, error)` is called there.

    Returns what cancels it.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, on or loop())

    def finished(done: Any) -> None:
        error: BaseException | None
        try:
            error = done.exception()
        except BaseException as cancelled:
            error = cancelled
        then(None if error is not None else done.result(), error)

    future.add_done_callback(finished)

    def cancel() -> None:
        future.cancel()

    return cancel


def iterate(elements: AsyncIterator[Any], on: asyncio.AbstractEventLoop | None = None) -> Iterator[Any]:
    """A sync iterator over an async one; each element is awaited on the loop `on`, or on the background loop.

    >>> async def count():
    ...     yield 1
    ...     yield 2
    >>> list(iterate(count()))
    [1, 2]
    """
    on = on or loop()
    try:
        while True:
            try:
                yield asyncio.run_coroutine_threadsafe(_next(elements), on).result()
            except StopAsyncIteration:
                return
    finally:
        close = getattr(elements, "aclose", None)
        if close is not None:
            asyncio.run_coroutine_threadsafe(_close(close), on).result()


async def _next(elements: AsyncIterator[Any]) -> Any:
    try:
        return await elements.__anext__()
    except (SystemExit, KeyboardInterrupt) as error:
        raise survivable(error) from None  # it would end the loop


async def _close(close: Callable[[], Any]) -> None:
    await close()
