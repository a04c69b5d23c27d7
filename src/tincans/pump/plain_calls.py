"""Plain calls, the shortest way: a few numbers and texts to a function, one of them back, through a ring.

Rules of this file
- The same meaning as calling.py and receiving.py in as few steps as Python can; over a ring, all of it is C
  (_speed/ask.c). Whatever is not plain goes the common way, before anything of it was sent.
- A caller is alone on its link for this: it has the reading role from before it sends until it leaves, so that its call
  needs no place in the table. It never blocks in sending, for the other side may have to be read first.
- Long functions are the price of no step in between; nothing that is not on the way of every call belongs in them.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tincans.contracts import Buffer
from tincans.core.messages import Cancel
from tincans.errors import ClosedError, DisconnectedError, ProtocolError, TincansError
from tincans.pump.calling import BURST, Reading, as_promised, future_class, result_of, timed_out
from tincans.pump.quick import Quick, core_of
from tincans.pump.sending import CORK_MESSAGES, CORK_SECONDS
from tincans.pump.waiter import Waiter

if TYPE_CHECKING:
    from tincans.pump.channel import Channel
    from tincans.pump.link import Link

PASS: Final = object()
"""Not so simple; nothing was sent."""

FOREVER = 9e9
"""Seconds: from here on a timeout is none."""

PROBE_AFTER = 0.05
"""Seconds of silence after which a link is looked at before it is used: a restarted server is noticed then."""


def function_of(channel: Channel, name: str, timeout: float | None) -> Callable[..., Any]:
    """A function that calls `name` at the other end: the short way when it can, else as `Channel.call` does."""
    seconds = -1.0 if timeout is None else float(timeout)
    core = core_of(channel.wire)

    def function(*args: Any, **kwargs: Any) -> Any:
        link, now = channel.latest, monotonic()
        if link is None or link.dead is not None or link.leaving or now - channel.used > PROBE_AFTER:
            return channel.call(name, args, kwargs, timeout=timeout)  # it needs a closer look
        channel.used = now
        quick = None if kwargs or name in channel.dialer.idempotent else link.quick
        if quick is not None and seconds >= 0:
            try:
                answer = ask(link, quick, name, args, seconds, channel.reading)
            except DisconnectedError as error:
                if error.outcome != "not_sent":
                    raise channel.located(error) from None
            except TincansError as error:
                raise channel.located(error) from None
            else:
                if answer is not PASS:
                    return answer
        return channel.call(name, args, kwargs, timeout=timeout)

    if core is None or not 0 <= seconds < FOREVER:
        return function
    way = Way(channel, name, seconds, function)
    quickest: Callable[..., Any] = core.Function(channel, name, seconds, _expected(channel, name), way)
    return quickest


def _expected(channel: Channel, name: str) -> Any:
    """The exact class of a result that needs no conversion, or None for any."""
    expected = channel.reading.types.get(name, Any)
    return None if expected is Any else expected


class Way:
    """What becomes of a call that the C core (ask.c) does not do alone.

    `otherwise` calls from the beginning; so does a call after `probe_after` seconds of silence. The others end a call
    that was sent, with the reading role, which the core gives back then.
    """

    __slots__ = ("_channel", "_name", "_seconds", "otherwise")
    probe_after = PROBE_AFTER

    def __init__(self, channel: Channel, name: str, seconds: float, otherwise: Callable[..., Any]) -> None:
        self._channel = channel
        self._name = name
        self._seconds = seconds
        self.otherwise = otherwise

    def promised(self, value: Any) -> Any:
        """A plain result in the type that the caller's contract has for it."""
        return as_promised(self._channel.dialer.wire, value, self._name, self._channel.reading)

    def more(self, link: Link, id: int, came: Any) -> Any:
        """Something else than a plain answer came, or nothing in time (None)."""
        quick = link.quick
        assert quick is not None
        call = PlainCall(id, self._name, self._seconds, self._channel.reading)
        try:
            return _ended(link, quick, came, call)
        except TincansError as error:
            raise self._channel.located(error) from None

    def failed(self, link: Link, id: int, error: BaseException) -> Any:
        """Sending or receiving raised. NotImplemented: nothing was sent, and it may be called otherwise."""
        try:
            _failed(link, id, self._name, error)
        except DisconnectedError as gone:
            if gone.outcome == "not_sent":
                return NotImplemented
            raise self._channel.located(gone) from None
        except TincansError as gone:
            raise self._channel.located(gone) from None


def starter_of(channel: Channel, name: str, timeout: float | None) -> Callable[..., Any]:
    """A function that starts a call of `name` and gives its future: the short way, or as `Channel.start` does."""
    seconds = -1.0 if timeout is None else float(timeout)
    core, make = core_of(channel.wire), future_class()

    def function(*args: Any, **kwargs: Any) -> Any:
        link, now = channel.latest, monotonic()
        if link is None or link.dead is not None or link.leaving or now - channel.used > PROBE_AFTER:
            return channel.start(name, args, kwargs, timeout=timeout)
        burst, channel.used = now - channel.used < CORK_SECONDS, now
        quick = link.quick
        if quick is None or kwargs or seconds < 0 or not link.background:
            return channel.start(name, args, kwargs, timeout=timeout)
        id = link.session.new_id()
        data = quick.request(id, name, args, seconds)
        future = make(link, id, name, now + seconds, seconds, channel.reading)
        calls = link.session.calls
        calls[id] = future
        if data is None or link.posted or quick.string.owes_word:
            sent = False
        elif link.sends_whole or not burst or len(calls) <= BURST:
            sent = not link.corked and _sent(link, quick, data, id)
        else:  # several leave in one go
            sent = link.dead is None and len(data) < link.short
            if sent:
                link.corked.append([data])
                if len(link.corked) >= CORK_MESSAGES:
                    link.uncork()
                elif link not in link.reactor.attended:
                    link.reactor.attend(link)
        if not sent:
            calls.pop(id, None)
            return channel.start(name, args, kwargs, timeout=timeout)
        if future.deadline < link.deadlines.due:
            link.deadlines.expect(future.deadline)
        return future

    if core is None or not 0 <= seconds < FOREVER:
        return function
    way = StartingWay(channel, function)
    quickest: Callable[..., Any] = core.Function(channel, name, seconds, _expected(channel, name), way, make)
    return quickest


class StartingWay:
    """What the C core (start.c) needs besides: what it does not do alone is done `otherwise`."""

    __slots__ = ("otherwise", "reading")
    probe_after = PROBE_AFTER

    def __init__(self, channel: Channel, otherwise: Callable[..., Any]) -> None:
        self.reading = channel.reading
        self.otherwise = otherwise


def _sent(link: Link, quick: Quick, data: bytes, id: int) -> bool:
    try:
        return quick.send(data)
    except (DisconnectedError, ClosedError, ProtocolError) as error:
        link.session.calls.pop(id, None)
        link.lost(error)
        return False


def ask(link: Link, quick: Quick, name: str, args: tuple[Any, ...], timeout: float, reading: Reading) -> Any:
    """The result of a call, or PASS. The errors are those of `calling.call`."""
    session = link.session
    if session.calls or session.inlets or link.dropped or link.posted or link.corked:
        return PASS
    if not link.reading.acquire(False):
        return PASS
    try:
        if quick.string.owes_word:
            return PASS
        id = session.new_id()
        data = quick.request(id, name, args, timeout)
        try:
            answer = _exchange_beside(quick, id, name, args, timeout) if data is None else quick.exchange(data, timeout)
        except (DisconnectedError, ClosedError, ProtocolError, KeyboardInterrupt) as error:
            _failed(link, id, name, error)
        if answer is False:
            return PASS
        if type(answer) is bytes:
            found = quick.read(answer)
            if found is not None and found[0] == id and len(found) == 2:
                link.heard += 1
                return found[1] if not reading.types else as_promised(link.wire, found[1], name, reading)
        return _ended(link, quick, answer, PlainCall(id, name, timeout, reading))
    finally:
        if link.background:
            link.pass_on()
        else:  # the same, without a step in between
            link.reading.release()
            if link.parked:
                link.nudge_next()


def _failed(link: Link, id: int, name: str, error: BaseException) -> NoReturn:
    """Sending or receiving raised: the end of the link, or of the caller's patience."""
    if isinstance(error, (DisconnectedError, ClosedError, ProtocolError)):
        link.lost(error)
        raise link.gone(getattr(error, "outcome", None) or "unknown", name) from None
    if isinstance(error, KeyboardInterrupt):
        link.post(Cancel(id))  # the other side should stop as well
    raise error


def _ended(link: Link, quick: Quick, answer: Any, call: PlainCall) -> Any:
    """The result of a call for which something else than bytes with its plain answer came, or nothing (None)."""
    if type(answer) is list:
        try:
            answer = quick.parts_of(answer)
        except TincansError as error:
            _failed(link, call.id, call.name, error)
        found = quick.read(answer)
        if found is not None and found[0] == call.id and len(found) == 2:
            link.heard += 1
            return as_promised(link.wire, found[1], call.name, call.reading)
    return _wait_on(link, quick, answer, call)


def _exchange_beside(quick: Quick, id: int, name: str, args: tuple[Any, ...], timeout: float) -> Any:
    """`exchange` for a call with large arrays; False when nothing was sent."""
    parts = quick.request_beside(id, name, args, timeout)
    return quick.receive(timeout) if parts is not None and quick.send_beside(parts) else False


class PlainCall:
    """A call that something else was received for first."""

    __slots__ = ("id", "name", "reading", "timeout")

    def __init__(self, id: int, name: str, timeout: float, reading: Reading) -> None:
        self.id = id
        self.name = name
        self.timeout = timeout
        self.reading = reading


def _wait_on(link: Link, quick: Quick, answer: Any, call: PlainCall) -> Any:
    """What came is handled, and the answer waited for in the common way; its place in the table is taken late."""
    link.session.calls[call.id] = waiter = Waiter(call.name)
    deadline = monotonic() if answer is None else monotonic() + call.timeout
    parts: list[Buffer] | None = None
    unread = answer
    while True:
        try:
            if unread is not None:
                parts, unread = quick.parts_of(unread), None
            if parts:
                link.handle(link.wire.decode(parts))
            left = deadline - monotonic()
            if not waiter.settled and left > 0:
                parts = link.connection.receive(timeout=left)
        except TincansError as error:
            link.lost(error)
            waiter.fail(link.gone("unknown", call.name))
        if waiter.settled:
            if waiter.error is not None:
                raise waiter.error
            return result_of(link.wire, waiter.message, call.name, call.name, call.timeout, call.reading)
        if left <= 0:
            link.session.calls.pop(call.id, None)
            link.post(Cancel(call.id))
            raise timed_out(call.name, call.timeout)
