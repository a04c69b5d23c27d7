"""Running what a request asks for, for an event loop that must not be blocked.

Rules of this file
- A function runs on a thread. One that was always quick so far runs on the loop itself, where that is allowed: a change
  of threads costs more than it does. Once it was slow there, it never runs there again; one that was slow on a thread
  has to be quick for longer first.
- Whatever waits (a question to the hub, a stream) has threads of its own, so that functions do not wait for them.
- Every wait ends at its timeout; a function that runs on then is nobody's business any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

from tincans.contracts import Identity, Wire
from tincans.contracts.protocol import Service
from tincans.core.exposed import Exposed
from tincans.core.messages import Request
from tincans.errors import CallTimeoutError, ClosedError, FullError
from tincans.toolkit.daemon_threads import DaemonThreads

T = TypeVar("T")
FUNCTIONS_AT_ONCE = 64
WAITS_AT_ONCE = 512
QUICK = 0.0005
"""Seconds: what takes longer is slow."""
TRIALS = 16
"""So many runs, all of them quick, before a function may run on the loop."""
GRACE = 0.1
"""Seconds for the function's own side to notice the deadline first: it can cancel an async one."""
GRACE_OF_HUB = 4.0
"""The hub keeps its deadlines itself, and what it has granted must not be given up here because a thread came late."""
log = logging.getLogger("tincans")


class Runner:
    """Runs functions and waits for one application. On its event loop only."""

    def __init__(self, service: Service, *, direct: bool) -> None:
        self._service = service
        self._direct = direct
        self._quick: dict[Exposed, int] = {}
        self.news: set[Any] = set()
        """Open streams of the hub (flow.Flow), which would not end by themselves."""
        self._waiting: set[asyncio.Future[Any]] = set()
        self._functions = DaemonThreads(FUNCTIONS_AT_ONCE, "tincans-http")
        self._waits = DaemonThreads(WAITS_AT_ONCE, "tincans-http-wait", waiting=0)

    async def call(
        self, request: Request[Any], wire: Wire, caller: Identity, write: Callable[[Any], T], timeout: float | None
    ) -> T:
        """What `write` makes of the function's result. The errors of contracts.protocol.Service.call; FullError."""
        exposed = await self.find(request.name)
        if self._direct and self._quick.get(exposed, 0) >= TRIALS and not exposed.slow:
            began = perf_counter()
            try:
                return write(self._service.call(request, wire=wire, caller=caller))
            finally:
                if perf_counter() - began > QUICK:
                    self._quick[exposed] = -(10**9)

        def job() -> T:
            began = perf_counter()
            try:
                return write(self._service.call(request, wire=wire, caller=caller))
            finally:
                self._judge(exposed, perf_counter() - began)

        return await self._on_thread(self._functions, job, request.name, timeout)

    async def find(self, name: str) -> Exposed:
        """The function of this name; NotExposedError."""
        if self._service.dispatcher.knows(name):
            return self._service.dispatcher.find(name)
        return await self._on_thread(self._functions, lambda: self._service.find(name), name, None)

    def _judge(self, exposed: Exposed, seconds: float) -> None:
        if not self._direct:
            return
        if seconds > QUICK or exposed.is_async or exposed.streams:
            self._quick[exposed] = -TRIALS
        else:
            self._quick[exposed] = self._quick.get(exposed, 0) + 1

    async def leave(self, request: Request[Any], wire: Wire, caller: Identity) -> None:
        """Run it; nobody wants an answer. FullError, NotExposedError."""
        await self.find(request.name)

        def job() -> None:
            try:
                self._service.call(request, wire=wire, caller=caller)
            except Exception as error:
                log.error("%s, called without an answer, raised.", request.name, exc_info=error)

        if not self._functions.submit(job):
            raise _full()

    async def wait(self, job: Callable[[], T], name: str, timeout: float | None) -> T:
        """The result of something that may wait long."""
        return await self._on_thread(self._waits, job, name, timeout)

    def end_waits(self) -> None:
        """The server closes: what waits for something of the hub's waits in vain."""
        for flow in list(self.news):
            flow.close()
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(ClosedError("The server was closed."))

    def keep_busy(self, job: Callable[[], object]) -> bool:
        """Work for a stream, on a thread."""
        return self._waits.submit(job)

    async def _on_thread(self, threads: DaemonThreads, job: Callable[[], T], name: str, timeout: float | None) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(result)
            elif hasattr(result, "close") and hasattr(result, "__next__"):
                self.keep_busy(result.close)  # a stream that nobody waited for any more

        def work() -> None:
            result, problem = _outcome(job, name)
            try:
                loop.call_soon_threadsafe(settle, result, problem)
            except RuntimeError:
                pass  # the loop is closed: whoever waited there is gone

        if not threads.submit(work):
            raise _full()
        grace = GRACE_OF_HUB if threads is self._waits else GRACE
        timer = None if timeout is None else loop.call_later(timeout + grace, _give_up, future, name, timeout)
        if threads is self._waits:
            self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)
            if timer is not None:
                timer.cancel()


def _outcome(job: Callable[[], Any], name: str) -> tuple[Any, BaseException | None]:
    """What became of a job: its result, or the error for a future."""
    try:
        return job(), None
    except StopIteration as error:  # it cannot be set in a future
        return None, RuntimeError(f"{name} raised StopIteration: {error}")
    except BaseException as error:
        return None, error


def _give_up(future: asyncio.Future[Any], name: str, timeout: float) -> None:
    if not future.done():
        future.set_exception(CallTimeoutError(f"{name} was not done within {timeout:g} s.", operation=name))


def _full() -> FullError:
    return FullError("The server is busy with other requests. Try again in a moment.")
