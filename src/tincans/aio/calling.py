"""One call on one link, awaited: send the request, wait for its answer, read the result.

Rules of this file
- This is the hot path: one encode, one send, one future, one decode, and as little as possible between.
- The deadline bounds everything: sending, waiting and, for a stream, each element. It is kept by the link's one timer.
- A task that is cancelled while it waits says Cancel; what was granted to it at that moment is taken back over there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tincans.aio.flows import Stream
from tincans.aio.link import AsyncLink
from tincans.aio.outbox import Entry
from tincans.aio.waiting import Answer, CallFuture
from tincans.core.failures import error_of
from tincans.core.messages import Cancel, Failure, Reply, Request
from tincans.errors import CallTimeoutError, TincansError, WaitTimeoutError
from tincans.pump.calling import PLAIN, Reading, as_promised
from tincans.pump.waiter import PlainReply


async def call(
    link: AsyncLink,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    timeout: float | None,
    operation: str = "",
    key: str | None = None,
    reading: Reading = PLAIN,
    wait_there: bool = True,
) -> Any:
    """Call `name` at the other end and return its result (a Stream when it gives one).

    RemoteError when it raised, CallTimeoutError at the deadline, DisconnectedError when the other end is gone.
    """
    session = link.session
    id = session.new_id()
    answer = session.calls[id] = Answer(link.loop, operation or name)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        entry = _put_out(link, Request(id, name, args, kwargs or None, timeout if wait_there else 0, key))
        if entry is not None:
            await link.outbox.left(entry, timeout)
        if deadline is None:
            link.mind()
        else:
            answer.deadline = deadline
            link.deadlines.expect(deadline)
        if link.looks and len(session.calls) == 1:
            link.look()
        message = await answer
    except WaitTimeoutError:
        session.calls.pop(id, None)
        raise _not_taken(operation or name, timeout) from None
    except TincansError:
        session.calls.pop(id, None)
        raise
    except BaseException:  # the waiting task was cancelled: the other side should stop as well
        _give_up(link, id)
        raise
    if not reading.types:
        if type(message) is PlainReply:
            return message.value
        if type(message) is Reply and not message.stream:
            return link.read_any(message.value, message)
    return result_of(link, message, name, operation or name, timeout, reading)


def start(
    link: AsyncLink,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    timeout: float | None,
    reading: Reading = PLAIN,
) -> CallFuture:
    """Send a call and return its future at once."""
    id = link.session.new_id()
    future = CallFuture(loop=link.loop)
    future.operation = name
    future.reads = lambda message: result_of(link, message, name, name, timeout, reading)
    future.on_cancel = lambda: _give_up(link, id)
    link.session.calls[id] = future
    try:
        _put_out(link, Request(id, name, args, kwargs or None, timeout))
    except BaseException:
        link.session.calls.pop(id, None)
        raise
    if timeout is not None:
        future.deadline = time.monotonic() + timeout
        link.deadlines.expect(future.deadline)
    return future


def _put_out(link: AsyncLink, request: Request[Any]) -> Entry | None:
    """Send a request if possible; a plain one is written by the C core."""
    quick, timeout = link.quick, request.timeout
    data = None
    if quick is not None and request.kwargs is None and request.key is None:
        data = quick.request(request.id, request.name, request.args, None if timeout is None else float(timeout))
    return link.put_out(request) if data is None else link.put_out_plain(data)


def result_of(link: AsyncLink, message: Any, name: str, operation: str, timeout: float | None, reading: Reading) -> Any:
    """The value of a Reply; raises what a Failure says."""
    if type(message) is PlainReply:
        return as_promised(link.wire, message.value, name, reading)
    if type(message) is Reply:
        read = link.wire.reader(reading.types[name]) if name in reading.types else link.read_any
        if not message.stream:
            return read(message.value, message)
        return Stream(message.value, _element_reader(read), operation, timeout)
    assert type(message) is Failure
    raise error_of(message, reading.errors, operation=operation)


def _element_reader(read: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    return lambda message: read(message.value, message)


def _give_up(link: AsyncLink, id: int) -> None:
    """Nobody waits for the answer any more, whether it has come or not."""
    link.session.calls.pop(id, None)
    inlet = link.session.inlets.get(id)
    if inlet is not None:
        inlet.close()
    else:
        link.post(Cancel(id))


def _not_taken(operation: str, timeout: float | None) -> CallTimeoutError:
    return CallTimeoutError(
        f"{operation}: the other end took no request for {timeout:g} s; nothing was sent.", operation=operation
    )
