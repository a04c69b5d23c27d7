"""The Future of a started call.

Rules of this file
- It is a `concurrent.futures.Future`, whose `result` reads the connection itself, as a call does.
- The standard class's state costs more than a whole call, so it is made only when somebody asks for it.
- Where it can, the C core (_speed/start.c and started.c) makes it, and puts a plain answer there.
- It stands in the link's table of calls itself, in the place of a Waiter (waiter.py).
- Imported by the first started call only: the standard class is slow to import.
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any

from tincans.core.messages import Reply
from tincans.core.patience import patience
from tincans.errors import CallCancelledError
from tincans.pump.calling import Reading, give_up, result_of
from tincans.pump.quick import started
from tincans.pump.waiter import PlainReply, Waiter

if TYPE_CHECKING:
    from tincans.pump.link import Link


class Started:
    """What the C core's class of this name has, where there is none."""

    settled = False
    error: BaseException | None = None
    lock: threading.Lock | None = None
    _value: Any = None
    _full: bool = False
    _published: bool = False
    wait_for_result: Any

    def result(self, timeout: float | None = None) -> Any:
        return self.wait_for_result(timeout)


if TYPE_CHECKING:
    _Started = Started
else:
    _Started = started() or Started
_FULL_STATE = frozenset({"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"})


class CallFuture(_Started, concurrent.futures.Future):  # type: ignore[type-arg]  # generic only for type checkers
    """The answer of a started call: a `concurrent.futures.Future` whose `result` reads the connection itself.

    The standard class costs more than a whole call, so its state is made only when somebody asks for it
    (callbacks, `as_completed`, `wait`, `asyncio.wrap_future`).
    """

    nudge: Any = Waiter.nudge
    prepare_to_sleep: Any = Waiter.prepare_to_sleep
    sleep: Any = Waiter.sleep

    def __init__(self, link: Link, id: int, operation: str, deadline: float, timeout: float | None, reading: Reading):
        self._link = link
        self._id = id
        self.operation = operation
        self.deadline = deadline
        self._timeout = timeout
        self._reading = reading

    def __getattr__(self, name: str) -> Any:
        if name not in _FULL_STATE:
            raise AttributeError(name)
        with _futures_lock:
            if not self._full:
                self._full = True  # before the look at `settled`: `_settle` does these in the other order
                super().__init__()
                if self.settled and not self._published:
                    self._published = True
                    self._publish()
        self._link.uncork_at_once()
        self._link.attend()
        return self.__dict__[name]

    def _publish(self) -> None:
        if self.error is not None:
            super().set_exception(self.error)
        else:
            super().set_result(self._value)

    def deliver(self, message: Any) -> None:
        """The answer came."""
        error: BaseException | None = None
        reading, wire = self._reading, self._link.wire
        try:
            if type(message) is PlainReply and not reading.types:
                self._value = message.value
            elif type(message) is Reply and not message.stream and not reading.types:
                self._value = self._link.read_any(message.value, message)
            else:
                self._value = result_of(wire, message, self.operation, self.operation, self._timeout, reading)
        except Exception as failure:
            error = failure
        self._settle(error)

    def deliver_plain(self, value: Any) -> None:
        """The answer came, and is a plain value."""
        if self._reading.types:
            self.deliver(PlainReply(value))
            return
        self._value = value
        self.settled = True
        if self._full or self.lock is not None:
            self._tell()

    def fail(self, error: BaseException) -> None:
        """It never will."""
        self._settle(error)

    def _settle(self, error: BaseException | None) -> None:
        self.error = error
        self.settled = True
        if self._full or self.lock is not None:
            self._tell()

    def _tell(self) -> None:
        """Whoever waits for it, in our way or in the standard one."""
        if self._full:
            with _futures_lock:
                first, self._published = not self._published, True
            if first:
                self._publish()
        if self.lock is not None:
            self.nudge()

    def done(self) -> bool:
        return self.settled

    def wait_for_result(self, timeout: float | None = None) -> Any:
        """What `result` does, unless the result is there already."""
        if not self.settled and not self._link.wait(self, patience(timeout)):
            raise TimeoutError(f"{self.operation} has no answer yet")
        if self.error is not None:
            raise self.error
        return self._value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self.settled and not self._link.wait(self, patience(timeout)):
            raise TimeoutError(f"{self.operation} has no answer yet")
        return self.error

    def cancel(self) -> bool:
        if self.settled:
            return False
        give_up(self._link, self._id)
        self.fail(CallCancelledError(f"{self.operation} was cancelled", operation=self.operation))
        return True

    def cancelled(self) -> bool:
        return isinstance(self.error, CallCancelledError)

    def running(self) -> bool:
        return not self.settled


_futures_lock = threading.Lock()
