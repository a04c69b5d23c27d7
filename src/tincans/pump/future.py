"""The Future of a started call.

Rules of this file
- It is a `concurrent.futures.Future`, whose `result` reads the connection itself, as a call does.
- The standard class's state costs more than a whole call, so it is made only when somebody asks for it.
- Imported by the first started call only: the standard class is slow to import.
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any

from tincans.core.messages import Reply
from tincans.errors import CallCancelledError
from tincans.pump.calling import Reading, give_up, result_of
from tincans.pump.waiter import Waiter

if TYPE_CHECKING:
    from tincans.pump.link import Link

_FULL_STATE = frozenset({"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"})


class CallFuture(concurrent.futures.Future):  # type: ignore[type-arg]  # generic only for type checkers
    """The answer of a started call: a `concurrent.futures.Future` whose `result` reads the connection itself.

    The standard class costs more than a whole call, so its state is made only when somebody asks for it
    (callbacks, `as_completed`, `wait`, `asyncio.wrap_future`).
    """

    def __init__(self, link: Link, id: int, operation: str, name: str, timeout: float | None, reading: Reading) -> None:
        self.waiter = _FutureWaiter(operation, self)
        self._link = link
        self._id = id
        self._read = (name, operation, timeout, reading)
        self._value: Any = None
        self._failed: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        if name not in _FULL_STATE:
            raise AttributeError(name)
        with _futures_lock:
            if "_condition" not in self.__dict__:
                super().__init__()
                if self.waiter.done:
                    self._publish()
        self._link.attend()
        return self.__dict__[name]

    def _publish(self) -> None:
        if self._failed is not None:
            super().set_exception(self._failed)
        else:
            super().set_result(self._value)

    def settle(self, message: Any, error: BaseException | None) -> None:
        """The answer came, or never will."""
        if error is None:
            try:
                if type(message) is Reply and not message.stream and not self._read[3].types:
                    self._value = self._link.read_any(message.value, message)
                else:
                    self._value = result_of(self._link.wire, message, *self._read)
            except Exception as failure:
                error = failure
        self._failed = error
        with _futures_lock:
            self.waiter.done = True
            full = "_condition" in self.__dict__
        if full and not super().done():
            self._publish()

    def done(self) -> bool:
        return self.waiter.done

    def result(self, timeout: float | None = None) -> Any:
        if not self.waiter.done and not self._link.wait(self.waiter, timeout):
            raise TimeoutError(f"{self.waiter.operation} has no answer yet")
        if self._failed is not None:
            raise self._failed
        return self._value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self.waiter.done and not self._link.wait(self.waiter, timeout):
            raise TimeoutError(f"{self.waiter.operation} has no answer yet")
        return self._failed

    def cancel(self) -> bool:
        if self.waiter.done:
            return False
        give_up(self._link, self._id)
        self.waiter.fail(CallCancelledError(f"{self.waiter.operation} was cancelled", operation=self.waiter.operation))
        return True

    def cancelled(self) -> bool:
        return isinstance(self._failed, CallCancelledError)

    def running(self) -> bool:
        return not self.waiter.done


class _FutureWaiter(Waiter):
    __slots__ = ("future",)

    def __init__(self, operation: str, future: CallFuture) -> None:
        super().__init__(operation)
        self.future = future

    def deliver(self, message: Any) -> None:
        self.future.settle(message, None)
        self.nudge()

    def fail(self, error: BaseException) -> None:
        self.future.settle(None, error)
        self.nudge()


_futures_lock = threading.Lock()
