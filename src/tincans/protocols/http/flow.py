"""A stream on its way out: elements made on a thread, taken by the event loop as fast as the client takes them.

Rules of this file
- At most WINDOW elements and MOST_BYTES wait; then the thread is given back until there is room.
- An element leaves as soon as it is there; those that came meanwhile leave together with it.
- However it ends, the iterator is closed, once, and never while it runs.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tincans.contracts.protocol import Elements
from tincans.core.streams import ENDED
from tincans.protocols.http.events import ALIVE, ALIVE_EVERY, END
from tincans.protocols.http.running import Runner

WINDOW = 64
MOST_BYTES = 256 * 1024
TRY_AGAIN = 0.05
log = logging.getLogger("tincans")


class Source(Protocol):
    """Where elements come from."""

    def next(self) -> bytes | None:
        """The next piece of text; None after the last. Blocks."""
        ...

    def close(self) -> None: ...


class _Written(ABC):
    """Elements as text: each written by `write`, an error by `fail`, and `end` after the last."""

    def __init__(self, write: Callable[[Any], bytes], fail: Callable[[Exception], bytes]) -> None:
        self._write = write
        self._fail = fail
        self._over = False

    def next(self) -> bytes | None:
        if self._over:
            return None
        try:
            return self._piece()
        except StopIteration:
            self._over = True
            return END
        except Exception as error:
            self._over = True
            return self._fail(error)

    @abstractmethod
    def _piece(self) -> bytes:
        """The next element, written. StopIteration after the last."""


class Iteration(_Written):
    """An iterator as a Source."""

    def __init__(
        self, elements: Iterator[Any], write: Callable[[Any], bytes], fail: Callable[[Exception], bytes]
    ) -> None:
        super().__init__(write, fail)
        self._elements = elements

    def _piece(self) -> bytes:
        return self._write(next(self._elements))

    def close(self) -> None:
        close = getattr(self._elements, "close", None)
        if close is not None:
            close()


class News(_Written):
    """A stream of the hub as a Source, with a sign of life now and then."""

    def __init__(self, elements: Elements, write: Callable[[Any], bytes], fail: Callable[[Exception], bytes]) -> None:
        super().__init__(write, fail)
        self._elements = elements

    def _piece(self) -> bytes:
        element = self._elements.receive(timeout=ALIVE_EVERY)
        if element is None:
            return ALIVE
        if element is ENDED:
            raise StopIteration
        return self._write(element)

    def interrupt(self) -> None:
        """End a `next` that waits."""
        self._elements.close()

    def close(self) -> None:
        self._elements.close()


class Flow:
    """One stream. On the loop, but for `_produce`."""

    def __init__(self, source: Source, runner: Runner) -> None:
        self._source = source
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._ready: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._size = 0
        self._running = False
        self._over = False
        self._closing = False
        self._closed = False
        self._told = False
        if isinstance(source, News):
            runner.news.add(self)

    async def take(self) -> bytes | None:
        """What is there, as soon as there is something; None after the last."""
        while True:
            over = self._over
            if not self._running and not over and not self._closing:
                self._running = self._runner.keep_busy(self._produce)
                if not self._running:
                    await asyncio.sleep(TRY_AGAIN)
                    continue
            if self._ready:
                return self._all()
            if over or self._closing:
                return None
            await self._changed.wait()
            self._changed.clear()

    def _all(self) -> bytes:
        self._told = False
        pieces = []
        while self._ready:
            pieces.append(self._ready.popleft())
        self._size = 0
        return b"".join(pieces)

    def _produce(self) -> None:
        """Make elements until there are enough."""
        try:
            while not self._closing and len(self._ready) < WINDOW and self._size < MOST_BYTES:
                piece = self._source.next()
                if piece is None:
                    self._over = True
                    break
                self._size += len(piece)
                self._ready.append(piece)
                if not self._told:
                    self._told = True
                    self._tell(self._changed.set)
        except BaseException:
            self._over = True
            log.exception("A stream broke.")
        finally:
            self._tell(self._produced)

    def _produced(self) -> None:
        self._running = False
        self._changed.set()
        if self._closing:
            self._close_source()

    def _tell(self, job: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(job)
        except RuntimeError:  # the loop is closed: nobody takes any more
            self._closing = True
            self._source.close()

    def close(self) -> None:
        """Nobody wants more."""
        self._runner.news.discard(self)
        self._closing = True
        self._changed.set()
        if self._running:
            interrupt = getattr(self._source, "interrupt", None)
            if interrupt is not None:
                interrupt()
        else:
            self._close_source()

    def _close_source(self) -> None:
        self._over = True
        if not self._closed:
            self._closed = self._runner.keep_busy(self._source.close)
            if not self._closed:
                self._loop.call_later(TRY_AGAIN, self._close_source)
