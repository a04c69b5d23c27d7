"""Running the other side's requests on an event loop: async functions on the loop, plain ones on threads.

Rules of this file
- An async function is a task of its own; a slow one holds up nobody. A plain function runs on one of the pump's
  threads, so that it may block.
- Whatever the function does (return, raise, yield, await), exactly one answer goes back, or none to a notify.
- A Cancel from the caller cancels the task.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from tincans.aio.background import LoopBackground, on_loop
from tincans.aio.flows import send_out
from tincans.aio.link import AsyncLink
from tincans.core.dispatch import Dispatcher, Exposed
from tincans.core.messages import Reply, Request
from tincans.core.signature import is_async
from tincans.core.streams import WINDOW
from tincans.errors import CallCancelledError, TincansError
from tincans.pump.execution import (
    UNCANCELLABLE,
    Executor,
    PlainRequest,
    Running,
    calling_now,
    may_have_happened,
    request_of,
)
from tincans.pump.link import Link
from tincans.pump.references import CALL_BACK
from tincans.pump.turns import UNBOUNDED

AMONG_THE_LAST = 8
"""Places in a loop's queue, from its end, in which a step that has just been put there is looked for."""


class AsyncExecutor(Executor):
    """Runs requests with the functions of one dispatcher. `execute` is called on the loop."""

    def __init__(self, dispatcher: Dispatcher, background: LoopBackground) -> None:
        super().__init__(dispatcher)
        self.jobs = 0
        self._background = background
        self._on_loop: dict[Exposed, bool] = {}

    def execute(self, link: Link, request: Request[Any]) -> None:
        """Run one request and answer it; never raises."""
        assert isinstance(link, AsyncLink)
        try:
            name = request.name
            if name.startswith(CALL_BACK):
                function = self.function_to_call_back(link, request)
                if belongs_on_loop(function):
                    args, kwargs = self.plain_arguments(link, request)
                    self._begin(link, request, function, args, kwargs)
                    return
            else:
                exposed = self.dispatcher.find(name)
                on_loop = self._on_loop.get(exposed)
                if on_loop is None:
                    on_loop = self._on_loop[exposed] = belongs_on_loop(exposed.function)
                if on_loop:
                    self._run_on_loop(link, request, exposed)
                    return
        except BaseException as error:  # also sys.exit(): its caller waits for an answer
            self.fail(link, request, error)
            return
        self.jobs += 1
        self._background.submit(lambda: self._run_in_thread(link, request))

    def execute_plain(self, link: AsyncLink, found: PlainRequest) -> bool:
        """The same in fewer steps for an async function and arguments that are plain, and as they should be.

        False: it is something else, and nothing of it was run.
        """
        id, name, args, _ = found
        exposed, quick = self.dispatcher.exposed.get(name), link.quick
        if exposed is None or quick is None or not self._on_loop.get(exposed) or not quick.fits(args, exposed.plain):
            return False
        if not id:  # nobody waits for an answer
            return False
        link.session.check_opening(id)
        link.session.running[id] = UNCANCELLABLE
        try:
            result = exposed.function(*args)
            if hasattr(result, "__await__"):
                self._start_task(link, id, self._serve(link, found, result))
            else:
                self.answer(link, request_of(found), result)
        except BaseException as error:  # also sys.exit(): its caller waits for an answer
            self.fail(link, request_of(found), error)
        return True

    def _run_on_loop(self, link: AsyncLink, request: Request[Any], exposed: Exposed) -> None:
        if link.redelivered and not exposed.idempotent:
            raise may_have_happened(request.name)
        args, kwargs = exposed.arguments(link.wire, request, link.references)
        if request.key is not None and not self.is_first(link, request):
            return
        self._begin(link, request, exposed.function, args, kwargs)

    def _run_in_thread(self, link: AsyncLink, request: Request[Any]) -> None:
        try:
            super().execute(link, request)
        finally:
            on_loop(link.loop, self._ended)

    def _ended(self, *_: object) -> None:
        self.jobs -= 1

    # -- on the loop -------------------------------------------------------------------------------------------------

    def _begin(
        self, link: AsyncLink, request: Request[Any], function: Callable[..., Any], args: Any, kwargs: Any
    ) -> None:
        if request.id:
            link.session.running[request.id] = UNCANCELLABLE
        result = function(*args, **kwargs)
        if hasattr(result, "__await__"):
            self._await(link, request, result)
        else:
            self.answer(link, request, result)

    def _await(self, link: Link, request: Request[Any], coroutine: Any) -> None:
        """Also from a thread, for a plain function that returned something to await."""
        assert isinstance(link, AsyncLink)
        on_loop(link.loop, self._start, link, request, coroutine)

    def _start(self, link: AsyncLink, request: Request[Any], awaitable: Awaitable[Any]) -> None:
        self._start_task(link, request.id, self._serve(link, request, awaitable))

    def _start_task(self, link: AsyncLink, id: int, coroutine: Any) -> None:
        self.jobs += 1
        task = eager_task(link.loop, coroutine)
        if task.done():
            self._ended()
            return
        self._background.hold(task)
        task.add_done_callback(self._ended)
        if id and id in link.session.running:
            link.session.running[id] = Running(cast("Callable[[], None]", task.cancel))

    async def _serve(self, link: AsyncLink, asked: Request[Any] | PlainRequest, awaitable: Awaitable[Any]) -> None:
        calling_now.set((link, asked))
        try:
            result = await awaitable
        except asyncio.CancelledError:
            reason = CallCancelledError("The call was cancelled in the serving program.")
            self.fail(link, request_of(asked), reason)
            raise
        except BaseException as error:
            self.fail(link, request_of(asked), error)
        else:
            if not isinstance(asked, tuple) or not self._answer_plainly(link, asked[0], result):
                self._answer_safely(link, request_of(asked), result)

    def _answer_plainly(self, link: AsyncLink, id: int, result: Any) -> bool:
        """Answer a plain request in few steps. False: what it is answered by is not plain, or too large."""
        data = None if link.quick is None else link.quick.reply(id, result)
        if data is None or len(data) > link.connection.max_message:
            return False
        if link.session.running.pop(id, None) is not None:
            link.reply_plain(data)
        return True

    def _stream(self, link: Link, request: Request[Any], result: Any) -> None:
        if not hasattr(result, "__anext__"):
            super()._stream(link, request, result)
            return
        assert isinstance(link, AsyncLink)
        if request.key is not None:
            self._run_anew(self.repeats.forget(request.key))
        on_loop(link.loop, self._stream_out, link, request, result)

    def _stream_out(self, link: AsyncLink, request: Request[Any], result: Any) -> None:
        id = request.id
        if id == 0 or link.session.running.pop(id, None) is None:
            self._background.run(result.aclose())
            return
        context = contextvars.copy_context()
        context.run(calling_now.set, (link, request))
        try:
            link.post(Reply(id, None, stream=True))
        except TincansError as error:  # the wire has no streams
            self._background.run(result.aclose())
            self.fail(link, request, error)
            return
        context.run(partial(send_out, link, id, result, credit=WINDOW if link.turns is None else UNBOUNDED))


def belongs_on_loop(function: Callable[..., Any]) -> bool:
    """Whether a function is async (also an async generator), and so runs on the loop.

    >>> async def later(): ...
    >>> belongs_on_loop(later), belongs_on_loop(len)
    (True, False)
    """
    return is_async(function) or any(
        map(inspect.isasyncgenfunction, (function, getattr(function, "__call__", None)))  # noqa: B004
    )


if sys.version_info >= (3, 12):

    def eager_task(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Task[Any]:
        """A task whose first step is taken at once: a function that never waits is done without a turn of the loop."""
        return asyncio.Task(coroutine, loop=loop, context=contextvars.copy_context(), eager_start=True)

else:

    def eager_task(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Task[Any]:
        """The same, where tasks cannot be told to: the step is taken out of the queue of asyncio's own loop, and run.

        Another loop, and a task that starts this one, leave it to the loop's next turn.
        """
        task = loop.create_task(coroutine, context=contextvars.copy_context())
        ready: Any = getattr(loop, "_ready", ())
        if asyncio.current_task(loop) is None:
            for place in range(1, min(len(ready), AMONG_THE_LAST) + 1):  # other threads put theirs behind it
                step = ready[-place]
                if getattr(step._callback, "__self__", None) is task:
                    ready.remove(step)
                    step._run()
                    break
        return task
