"""Streams on a link: elements that come in, iterators that are sent out, news that is pushed out.

Rules of this file
- The receiver consumes in one thread; elements arrive on whichever thread reads the connection.
- An iterator is advanced only with credit, by a worker, and no thread is held while there is none.
- News (publications, changes) never blocks the publisher: each subscriber has its own bounded outlet. A thread that
  publishes faster than it is heard gives way for a moment, so that the subscriber's credit is read.
- A receiver that loses interest says Cancel; a generator at the other end is closed then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tincans.contracts import Policy
from tincans.core.failures import error_of, failure_of
from tincans.core.messages import Cancel, Credit, End, Failure, Item, Publication
from tincans.core.streams import ENDED, WINDOW, Inlet, Outlet, news_window
from tincans.errors import CallTimeoutError, ClosedError, DisconnectedError, TincansError
from tincans.pump.waiter import Waiter

if TYPE_CHECKING:
    from tincans.pump.link import Link
    from tincans.pump.quick import Quick

SEND_TIMEOUT = 30.0
SILENCE = 0.001
"""Seconds after which a subscriber that waits grants what it owes: its publisher may wait for that."""

GIVE_WAY = {"wait": 0.1, "drop_oldest": 0.002, "refuse": 0.002}
"""Seconds that a program which publishes waits for a subscriber with this policy, once for each credit it gets."""


class Incoming:
    """Elements of one stream as messages, until consumed."""

    def __init__(self, link: Link, id: int) -> None:
        self.link = link
        self.id = id
        self.inlet = Inlet()
        self.waiter = Waiter()

    def deliver(self, message: Any) -> None:
        inlet = self.inlet
        if type(message) is not tuple or not is_small(message[2]):
            inlet.hurry()
        elif inlet.make is not None:
            message = inlet.make(message[1], message[2])
        inlet.add(message)
        self.waiter.wake()

    def deliver_end(self) -> None:
        self.inlet.ended = True
        self.waiter.wake()

    def deliver_failure(self, failure: Failure) -> None:
        self.fail(error_of(failure))

    def fail(self, error: BaseException) -> None:
        self.inlet.error = error
        self.waiter.wake()

    def receive(self, *, timeout: float | None) -> Any:
        """The next message, None at the timeout, ENDED at the end. Raises what ended it otherwise."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self.waiter.settled = False
            if self.inlet.items:
                message = self.inlet.next()
                if owed := self.inlet.owed():
                    self.grant(owed)
                return message
            if self.inlet.error is not None:
                raise self.inlet.error
            if self.inlet.ended:
                return ENDED
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self.inlet.is_behind() and (left is None or left > SILENCE):
                if not self.link.wait(self.waiter, SILENCE):
                    self.grant(self.inlet.taken())
            elif not self.link.wait(self.waiter, left):
                return None
            if self.waiter.error is not None and not self.inlet.items:
                raise self.waiter.error

    def grant(self, count: int) -> None:
        """Allow so many more."""
        try:
            self.link.send(Credit(self.id, count), timeout=SEND_TIMEOUT)
        except DisconnectedError:
            pass  # what has arrived is still handed out; the end is noticed after it

    def close(self) -> None:
        """No more of it, thank you."""
        if self.link.session.inlets.pop(self.id, None) is not None:
            self.inlet.error = ClosedError("This stream was closed on this side.")
            self.link.post(Cancel(self.id))
            self.waiter.wake()


class Stream:
    """What a call to a generator function gives: iterate over it; `close` (or leaving `with`) ends it early.

    Each element is waited for at most the call's timeout. If the stream is dropped, the generator at the
    other end is closed.
    """

    def __init__(self, incoming: Incoming, read: Callable[[Any], Any], operation: str, timeout: float | None) -> None:
        self._incoming = incoming
        self._read = read
        self._operation = operation
        self._timeout = timeout
        self._finished = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._finished:
            raise StopIteration
        message = self._incoming.receive(timeout=self._timeout)
        if message is None:
            self.close()
            raise CallTimeoutError(
                f"{self._operation} gave no further element within {self._timeout:g} s; the stream was closed.",
                operation=self._operation,
            )
        if message is ENDED:
            self._finished = True
            raise StopIteration
        return self._read(message)

    def detach(self) -> Incoming:
        """The messages themselves; the stream is done with them."""
        self._finished = True
        return self._incoming

    def close(self) -> None:
        """End the stream; the generator at the other end is closed."""
        self._finished = True
        self._incoming.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._finished:
            self.close()


class Pull:
    """An iterator that is sent out, element by element, as far as the credit goes."""

    def __init__(self, link: Link, id: int, iterator: Iterator[Any], credit: int = WINDOW) -> None:
        self.link = link
        self.id = id
        self._iterator = iterator
        self._credit = 0
        self._stepping = False
        self._cancelled = False
        self._lock = threading.Lock()
        if credit:
            self.grant(credit)

    def grant(self, count: int) -> None:
        with self._lock:
            self._credit += count
            if self._stepping:
                return
            self._stepping = True
        self.link.reactor.submit(self._step)

    def cancel(self) -> None:
        self._cancelled = True
        self.grant(0)

    def _may_go_on(self) -> bool:
        with self._lock:
            if self._credit > 0 and not self._cancelled:
                self._credit -= 1
                return True
            self._stepping = False
        if self._cancelled:
            self._close()
        return False

    def _step(self) -> None:
        while self._may_go_on():
            try:
                value = next(self._iterator)
                self.link.send(Item(self.id, value), timeout=SEND_TIMEOUT)
            except StopIteration:
                self._finish(End(self.id))
                return
            except TincansError as error:
                if self.link.dead is None:
                    self._finish(failure_of(self.id, error))
                self._close()
                return
            except BaseException as error:  # also sys.exit(): who consumes it waits
                self._finish(failure_of(self.id, error))
                return

    def _finish(self, message: End | Failure) -> None:
        self._cancelled = True
        if self.link.session.outlets.pop(self.id, None) is not None:
            self.link.post(message)

    def _close(self) -> None:
        self.link.session.outlets.pop(self.id, None)
        close = getattr(self._iterator, "close", None)
        if close is not None:
            try:
                close()
            except Exception as error:
                failure_of(self.id, error)  # logged there: nobody waits for it any more


class News:
    """A subscription or watch of the other side: pushed out as far as the credit goes, then kept, then dropped.

    `push(topic, value)` is one more, and never blocks; it gives this object when its publisher should `give_way` before
    the next one. Over a ring it is one step of the C core, `_tap`, while that has the credit: nothing was kept or lost.
    """

    def __init__(self, link: Link, id: int, *, limit: int, policy: Policy, on_cancel: Callable[[], None]) -> None:
        self.link = link
        self.id = id
        self._outlet = Outlet(limit=limit, policy=policy, credit=news_window(limit))
        self._on_cancel = on_cancel
        self._lock = threading.Lock()
        self._room = Waiter()
        self._in_vain = False
        quick = link.quick if link.sends_whole else None
        self._tap: Any = None if quick is None else quick.tap(link, id, self._push, self)
        self.push: Callable[[str, Any], News | None] = self._push if self._tap is None else self._tap.push
        self._lend()

    def _lend(self) -> None:
        """With the lock: the tap may send, in the same order as we would."""
        outlet = self._outlet
        if self._tap is not None and not outlet.waiting and not outlet.dropped:
            self._tap.credit, outlet.credit = outlet.credit, 0

    def _take_back(self) -> Outlet:
        """With the lock: the tap is shut, and the credit here."""
        if self._tap is not None:
            self._outlet.credit += self._tap.take_back()
        return self._outlet

    def _push(self, topic: str, value: Any) -> News | None:
        with self._lock:
            outlet = self._take_back()
            outlet.keep((topic, value))
            self._flow()
            if outlet.overflowed:
                self._end_overflowed()
            is_full = outlet.credit <= 0
            self._lend()
            return self if is_full and not self._in_vain else None

    def give_way(self) -> None:
        """Called by a thread without any lock: wait a moment for credit, reading the connection if nobody does."""
        with self._lock:
            outlet = self._take_back()
            has_credit = outlet.credit > 0
            self._lend()
            if has_credit or self._in_vain:
                return
            room = self._room = Waiter()
        if not self.link.wait(room, GIVE_WAY[outlet.policy]):
            self._in_vain = True

    def _sent(self, topic: str, value: Any) -> bool:
        """Whether it has left the short way."""
        link = self.link
        quick = link.quick
        if quick is None or not link.sends_whole or self._outlet.dropped:
            return False
        data = quick.publication(self.id, topic, value)
        if data is None:
            return self._sent_beside(link, quick, topic, value)
        if link.posted or link.corked or quick.string.owes_word:
            return False
        try:
            return quick.send(data)
        except TincansError as error:
            self._lose(error)
            return True

    def _sent_beside(self, link: Link, quick: Quick, topic: str, value: Any) -> bool:
        """The same for a large array, or a value with large buffers: their memory goes beside the ring."""
        from tincans.core.carried import Carried  # `import tincans` is short without it

        if link.posted or link.corked or quick.string.owes_word:
            return False
        parts: list[Any] | None
        if type(value) is not Carried:
            parts = quick.publication_beside(self.id, topic, value)
        elif value.gaps and not link.references.shares_memory:
            return False
        else:
            wire: Any = link.wire  # the native one: only that has plain messages
            parts = wire.forwarded(self.id, topic, value)
        try:
            return parts is not None and quick.send_beside(parts)
        except TincansError as error:
            self._lose(error)
            return True

    def _lose(self, error: TincansError) -> None:
        """By a thread without our lock: whoever ends the link has the hub's, before or after."""
        self.link.reactor.submit(lambda: self.link.lost(error))

    def grant(self, count: int) -> None:
        """The other side has room for so many more."""
        with self._lock:
            self._take_back().grant(count)
            self._flow()
            self._lend()
            self._in_vain = False
            self._room.wake()

    def _flow(self) -> None:
        outlet, link = self._outlet, self.link
        while (kept := outlet.next(_is_small)) is not None:
            topic, value = kept
            if not self._sent(topic, value):
                link.post(Publication(self.id, topic, value, outlet.dropped))

    def _end_overflowed(self) -> None:
        self.link.session.outlets.pop(self.id, None)
        text = f"The subscriber fell {self._outlet.limit} messages behind."
        self.link.post(Failure(self.id, "full", "FullError", text))
        self._on_cancel()

    def cancel(self) -> None:
        self._room.wake()
        self._on_cancel()


_NUMBERS = frozenset({type(None), bool, int, float})
SMALL_VALUE = 1024
"""Bytes or characters."""


def is_small(value: Any) -> bool:
    """Whether many of it may be under way."""
    kind = type(value)
    return kind in _NUMBERS or (kind in (str, bytes) and len(value) <= SMALL_VALUE)


def _is_small(kept: tuple[str, Any]) -> bool:
    return is_small(kept[1])
