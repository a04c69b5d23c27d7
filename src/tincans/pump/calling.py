"""One call on one link: send the request, wait for its answer, read the result.

Rules of this file
- This is the hot path: one encode, one send, one receive, one decode, and as little as possible between.
- The deadline bounds everything: sending, waiting and, for a stream, each element. Whoever gives up says Cancel.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from tincans.contracts import Buffer, Parts, Reader, Wire
from tincans.core.failures import error_of
from tincans.core.messages import Cancel, Failure, Reply, Request
from tincans.errors import CallTimeoutError, UnsupportedError, WaitTimeoutError
from tincans.pump.deadlines import NEVER
from tincans.pump.flows import Stream
from tincans.pump.link import Link
from tincans.pump.waiter import PlainReply, Waiter

if TYPE_CHECKING:
    from tincans.pump.future import CallFuture


class Reading(Struct, frozen=True):
    """How answers are read: types by function name (a contract), and the user's own error classes by name."""

    types: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, type[BaseException]] = field(default_factory=dict)


PLAIN = Reading()
BURST = 1
"""With more calls out than this, a further started one may wait a moment to leave together with the next."""

CROSSING = 1.0
"""Seconds for another thread to finish handing us an answer that it has already taken from the table."""


def call(
    link: Link,
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
    calls = session.calls
    id = session.new_id()
    operation = operation or name
    request = Request(id, name, args, kwargs or None, timeout if wait_there else 0, key)
    calls[id] = waiter = Waiter(operation)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        if timeout is None:
            link.mind()
        link.send(request, timeout=timeout)  # without the reading role: the other side may have to be read meanwhile
        # Alone on the link, nobody else's messages are expected: then receiving needs no more than this.
        if len(calls) == 1 and link.direct and not session.inlets and link.reading.acquire(False):
            try:  # unless somebody has read our answer before we had the role
                message = None if waiter.settled else link.receive_answer(id, _left(deadline))
            finally:
                link.pass_on()
            if message is not None:
                calls.pop(id, None)
                if not reading.types:
                    return link.read_any(message.value, message)
                return result_of(link.wire, message, name, operation, timeout, reading)
    except WaitTimeoutError:
        calls.pop(id, None)
        raise CallTimeoutError(
            f"{operation}: the other end took no request for {timeout:g} s; nothing was sent.", operation=operation
        ) from None
    except BaseException as error:
        calls.pop(id, None)
        if not isinstance(error, Exception) and link.dead is None:
            link.post(Cancel(id))  # Ctrl-C: the other side should stop as well
        raise
    try:
        answered = link.wait(waiter, _left(deadline))
    except BaseException:  # Ctrl-C: the other side should stop as well
        give_up(link, id)
        raise
    if not answered and not (waiter.settled or crossed(link, id, waiter)):
        raise timed_out(operation, timeout)
    if waiter.error is not None:
        raise waiter.error
    return result_of(link.wire, waiter.message, name, operation, timeout, reading)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def start(
    link: Link,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    timeout: float | None,
    reading: Reading = PLAIN,
) -> CallFuture:
    """Send a call and return its Future at once. The deadline is kept by a timer."""
    id = link.session.new_id()
    deadline = NEVER if timeout is None else time.monotonic() + timeout
    future = future_class()(link, id, name, deadline, timeout, reading)
    link.session.calls[id] = future
    request = Request(id, name, args, kwargs or None, timeout, None)
    try:
        if len(link.session.calls) > BURST:
            link.send_in_burst(request, timeout=timeout)
        else:
            link.send(request, timeout=timeout)
    except BaseException:
        link.session.calls.pop(id, None)
        raise
    if deadline < link.deadlines.due:
        link.deadlines.expect(deadline)
    if not link.background:
        link.attend()
    return future


@cache
def future_class() -> type[CallFuture]:
    """Imported by the first started call: the standard class it extends costs a tenth of the whole import."""
    from tincans.pump.future import CallFuture

    return CallFuture


def give_up(link: Link, id: int) -> bool:
    """We wait no longer: tell the other side, which takes back what it may have granted us meanwhile.

    False when the answer has just come.
    """
    if link.session.calls.pop(id, None) is None:
        return False
    link.post(Cancel(id))
    return True


def crossed(link: Link, id: int, waiter: Waiter) -> bool:
    """Give up at the deadline; True when the answer was being handed to us at that very moment."""
    return not give_up(link, id) and link.wait(waiter, CROSSING)


def timed_out(operation: str, timeout: float | None) -> CallTimeoutError:
    return CallTimeoutError(
        f"{operation} was not answered within {timeout:g} s; it was asked to stop, but may have happened.",
        operation=operation,
    )


def result_of(wire: Wire, message: Any, name: str, operation: str, timeout: float | None, reading: Reading) -> Any:
    """The value of a Reply; raises what a Failure says."""
    if type(message) is PlainReply:
        return as_promised(wire, message.value, name, reading)
    if type(message) is Reply:
        expected = reading.types.get(name, Any) if reading.types else Any
        read: Reader = wire.reader(expected)
        if not message.stream:
            return read(message.value, message)
        return Stream(message.value, _element_reader(read), operation, timeout)
    assert type(message) is Failure
    raise error_of(message, reading.errors, operation=operation)


def as_promised(wire: Wire, value: Any, name: str, reading: Reading) -> Any:
    """A plain result in the type that the caller's contract has for it."""
    expected = reading.types.get(name, Any)
    if expected is Any or type(value) is expected:
        return value
    return result_of(wire, wire.decode(wire.encode(Reply(1, value))), name, name, None, reading)


def _element_reader(read: Reader) -> Callable[[Any], Any]:
    return lambda message: read(message.value, message)


def request_left(wire: Wire, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Buffer]:
    """A request to be left for later, with a key by which a repetition is known."""
    return wire.encode(Request(1, name, args, kwargs or None, None, os.urandom(16).hex()))


def answer_left(wire: Wire, parts: Parts, name: str, reading: Reading) -> Any:
    """The value in the answer to a call that was left; raises what a Failure says."""
    message: Any = wire.decode(parts)
    if getattr(message, "stream", False):
        raise UnsupportedError(f"The answer of {name or 'this call'} is a stream: call it while both programs run.")
    return result_of(wire, message, name, name or "the call", None, reading)
