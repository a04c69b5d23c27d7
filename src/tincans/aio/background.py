"""An event loop as the pump's background: timers on the loop, blocking jobs on the pump's threads.

Rules of this file
- `on_loop` is the one way from a thread to the loop; a loop that is closed takes nothing more, and nobody minds.
- A task that nobody else holds is held here until it ends.
- What may wait long gets a thread of its own, so that the pool's threads stay free for handlers.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import _get_running_loop as running_loop
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from tincans.pump.reactor import Attended, Job, Timer, reactor, spawn

T = TypeVar("T")
Loop = asyncio.AbstractEventLoop


def on_loop(loop: Loop, job: Callable[..., object], *args: Any) -> None:
    """Run `job` on the loop: at once when we are on it, else soon."""
    if running_loop() is loop:
        job(*args)
        return
    try:
        loop.call_soon_threadsafe(job, *args)
    except RuntimeError:
        pass  # the loop is closed: whoever waited there is gone


class LoopTimer(Timer):
    """A timer that the loop keeps."""

    __slots__ = ("_handle", "_loop")

    def __init__(self, when: float, job: Job, loop: Loop) -> None:
        super().__init__(when, job)
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        if not self.cancelled:
            self._handle = self._loop.call_later(max(0.0, self.when - time.monotonic()), self.job)

    def cancel(self) -> None:
        super().cancel()
        if self._handle is not None:
            on_loop(self._loop, self._handle.cancel)


class LoopBackground:
    """pump.reactor.Background on an event loop. `call_at` and `submit` may be called by any thread."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.attended: dict[Attended, None] = {}  # the loop watches every link
        self._tasks: set[asyncio.Task[Any]] = set()

    def submit(self, job: Job) -> None:
        """Run a job that may block, on one of the pump's threads."""
        reactor().submit(job)

    def call_at(self, when: float, job: Job) -> Timer:
        """Run `job` on the loop at `when` (time.monotonic)."""
        timer = LoopTimer(when, job, self.loop)
        on_loop(self.loop, timer.arm)
        return timer

    @property
    def queued(self) -> Mapping[Attended, None]:
        """Nobody queues: the loop takes its turns."""
        return self.attended

    def queue(self, link: Attended) -> None:
        self.loop.call_soon(link.ready)

    def step_out(self) -> None:
        """The loop reads on in any case."""

    def step_aside(self) -> None:
        """Threads that wait to send do so on the loop's terms (link.py)."""

    def step_back(self) -> None:
        """After `step_aside`."""

    def attend(self, link: Attended) -> None:
        link.rest()

    def arm(self, fd: int, link: Attended) -> None:
        self.loop.add_reader(fd, link.ready)

    def forget(self, fd: int | None, link: Attended) -> None:
        if fd is not None and not self.loop.is_closed():
            self.loop.remove_reader(fd)
            self.loop.remove_writer(fd)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task for work that nobody waits for."""
        task = self.loop.create_task(coroutine)
        return self.hold(task)

    def hold(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever wanted to know has been told elsewhere


def _call(function: Callable[[T], object], value: T) -> None:
    function(value)


async def in_thread(
    function: Callable[[], T], *, long: bool = False, discard: Callable[[T], object] | None = None
) -> T:
    """The result of a function that blocks, run on a thread: one of the pool's, or its own when it may take `long`.

    When the waiting task is cancelled the function runs on; its result is given to `discard`.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(value)
        elif error is None and discard is not None:
            spawn(partial(_call, discard, value), "tincans-discard")

    def job() -> None:
        try:
            value = function()
        except BaseException as error:
            on_loop(loop, settle, None, error)
        else:
            on_loop(loop, settle, value, None)

    if long:
        spawn(job, "tincans-wait")
    else:
        reactor().submit(job)
    try:
        return await future
    except asyncio.CancelledError:
        if future.done() and not future.cancelled() and future.exception() is None:
            settle(future.result(), None)  # it came at the very moment of the cancelling
        raise


class Strand:
    """Jobs that block, one after the other in the order of `submit`, on whatever thread of the pool is free."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._jobs: deque[Job] = deque()
        self._running = False

    def submit(self, job: Job) -> None:
        """May be called by any thread."""
        on_loop(self._loop, self._add, job)

    def _add(self, job: Job) -> None:
        self._jobs.append(job)
        self._go_on(self._running)

    def _go_on(self, running: bool) -> None:
        if not running:
            self._running = bool(self._jobs)
            if self._running:
                reactor().submit(self._run)

    def _run(self) -> None:
        try:
            while self._jobs:
                self._jobs.popleft()()
        finally:
            on_loop(self._loop, self._go_on, False)
