"""A public protocol as a way to a server: its own calls, and the hub of a tincans server by them.

Rules of this file
- The protocol's Caller does the talking; here are waiting for the server, results in their types, and futures.
- A call that failed on a lost connection is repeated only when it never left, or may be repeated.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tincans.contracts import Board, Buffer, Parts
from tincans.contracts.protocol import Caller, Elements, PublicProtocol
from tincans.core.annotations import converter
from tincans.errors import ClosedError, DisconnectedError, ResultError, TincansError, UnsupportedError
from tincans.pump.calling import Reading
from tincans.pump.dialing import Attempts
from tincans.pump.hub_board import hub_board
from tincans.pump.keys import keys_of
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.fork_guard import abandon_in_child

if TYPE_CHECKING:
    from tincans.finder import Method

REPEAT_AFTER = 0.05
STARTED_AT_ONCE = 32
TELL_TIMEOUT = 5.0
T = TypeVar("T")


class ProtocolWay:
    """way.Way over a public protocol."""

    def __init__(self, method: Method, protocol: PublicProtocol, reading: Reading) -> None:
        self.url = str(method.address)
        self._method = method
        self._protocol = protocol
        self._reading = reading
        self._keys = keys_of(method.address)
        self._caller: Caller | None = None
        self._making = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        abandon_in_child(self)

    def abandon(self) -> None:
        """In a forked child: the threads and whoever held the lock are the parent's."""
        self._making = threading.Lock()
        self._pool = None

    def reach(self, timeout: float | None) -> None:
        self._there(timeout)

    def _there(self, timeout: float | None) -> Caller:
        """The caller; waits for the server within `timeout` when it is first needed."""
        attempts = Attempts(self.url, timeout)
        with self._making:
            while self._caller is None:
                if self._closed:
                    raise ClosedError(f"This peer of {self.url} was closed.", url=self.url)
                try:
                    self._caller = self._protocol.connect(
                        self._method.address, keys=self._keys, errors=self._reading.errors, timeout=attempts.left()
                    )
                except TincansError as error:
                    time.sleep(attempts.pause(error))
            return self._caller

    def call(self, name: str, args: Any, kwargs: Any, *, timeout: float | None) -> Any:
        return self._until_sent(lambda left: self._call_once(name, args, kwargs, left), timeout)

    def _until_sent(self, step: Callable[[float | None], T], timeout: float | None) -> T:
        """What `step` gives, given the seconds that are left. One that never left is taken again until the deadline."""
        attempts = Attempts(self.url, timeout)
        deadline = deadline_of(timeout)
        left = timeout
        while True:
            try:
                return step(left)
            except DisconnectedError as error:
                if error.outcome != "not_sent" or self._closed:
                    raise
                time.sleep(attempts.pause(error))
            left = left_of(deadline, least=0.001)

    def call_again(self, name: str, args: Any, kwargs: Any, *, timeout: float | None) -> Any:
        """A call that may be repeated until its deadline."""
        deadline = deadline_of(timeout)
        while True:
            left = left_of(deadline, least=0.001)
            try:
                return self._call_once(name, args, kwargs, left)
            except DisconnectedError:
                if deadline is not None and time.monotonic() + REPEAT_AFTER >= deadline:
                    raise
                time.sleep(REPEAT_AFTER)

    def _call_once(self, name: str, args: Any, kwargs: Any, timeout: float | None) -> Any:
        if self._closed:
            raise ClosedError(f"This peer of {self.url} was closed.", url=self.url)
        result = self._there(timeout).call(name, args, kwargs, timeout=timeout)
        expected = self._reading.types.get(name, Any)
        return result if expected is Any or hasattr(result, "__next__") else _as_type(result, expected, name)

    def start(self, name: str, args: Any, kwargs: Any, *, timeout: float | None) -> Future[Any]:
        """A call on a thread; `STARTED_AT_ONCE` at the same time, the rest in turn."""
        with self._making:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(STARTED_AT_ONCE, "tincans-start")
        return self._pool.submit(self.call, name, args, kwargs, timeout=timeout)

    def notify(self, name: str, args: Any, kwargs: Any, *, timeout: float | None) -> None:
        self._until_sent(lambda left: self._there(left).notify(name, args, kwargs, timeout=left), timeout)

    def describe(self, *, timeout: float | None) -> dict[str, Any]:
        return self._there(timeout).describe(timeout=timeout)

    def board(self, timeout: float) -> Board:
        """The hub of the other program."""
        self._there(timeout)
        return hub_board(self)

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        """See hub_board.Asker."""
        caller = self._there(timeout)
        if timeout == 0:
            return caller.ask(name, *args, timeout=0)
        return self._until_sent(lambda left: caller.ask(name, *args, timeout=left), timeout)

    def tell(self, name: str, *args: Any) -> None:
        """See hub_board.Asker."""
        self._until_sent(lambda left: self._there(left).tell(name, *args), TELL_TIMEOUT)

    def open(self, name: str, *args: Any, timeout: float | None) -> Elements:
        """See hub_board.Asker."""
        return self._until_sent(lambda left: self._there(left).open(name, *args, timeout=left), timeout)

    def written(self, name: str, args: Any, kwargs: Any) -> list[Buffer]:
        raise UnsupportedError(f"{self.url} keeps no calls for later.", url=self.url)

    def answer_in(self, parts: Parts, name: str) -> Any:
        raise UnsupportedError(f"{self.url} keeps no answers.", url=self.url)

    def expose(self, function: Callable[..., Any], **options: Any) -> None:
        raise UnsupportedError(
            f"{self.url} carries calls one way only: the server cannot call functions of this program."
            " A method that can: unix, or tcp over a network.",
            url=self.url,
            operation="expose",
        )

    def close(self) -> None:
        self._closed = True
        if self._caller is not None:
            self._caller.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _as_type(value: Any, expected: Any, name: str) -> Any:
    try:
        return converter(expected)(value)
    except msgspec.ValidationError as error:
        raise ResultError(f"{name} gave what its contract does not promise: {error}", operation=name) from None
