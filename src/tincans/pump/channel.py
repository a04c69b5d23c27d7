"""The connecting program's end: one link at a time, made again when it is lost.

Rules of this file
- Start order does not matter: `link` waits for the server within the caller's timeout, with backoff and jitter.
- What was in flight when a link died fails with "outcome unknown"; it is repeated only when nothing had been sent, or
  the function is idempotent (same key, so that the server's journal answers a repetition).
- A forked child starts without a link and makes its own.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tincans.contracts import Board, Buffer, Note, Parts, Transport, Wire
from tincans.contracts.protocol import Elements
from tincans.core.address import Address
from tincans.core.handshake import GREETING_TIMEOUT
from tincans.core.messages import Message, Request
from tincans.core.streams import ENDED
from tincans.errors import (
    ClosedError,
    DisconnectedError,
    NotExposedError,
    TincansError,
    UnreachableError,
    WaitTimeoutError,
)
from tincans.pump import calling, plain_calls
from tincans.pump.calling import PLAIN, Reading
from tincans.pump.dialing import FIRST_BACKOFF, Attempts, Dialer, jitter
from tincans.pump.execution import Executor, release
from tincans.pump.flows import Incoming
from tincans.pump.hub_board import hub_board
from tincans.pump.link import Link
from tincans.pump.plain_calls import PROBE_AFTER
from tincans.pump.questions import window_of
from tincans.pump.reactor import reactor
from tincans.toolkit.deadline import deadline_of, left_of

if TYPE_CHECKING:
    from tincans.core.dispatch import Dispatcher
    from tincans.pump.future import CallFuture


class Channel:
    """The string to one server, whatever becomes of single connections."""

    def __init__(self, address: Address, transport: Transport, wire: Wire, reading: Reading = PLAIN) -> None:
        self.address = address
        self.url = str(address)
        self.wire = wire
        self.reading = reading
        self.on_lost: Callable[[TincansError], None] | None = None
        self.dialer = Dialer(address, transport, wire)
        self.latest: Link | None = None
        self.line: Any = None
        """The C core's way to call over the latest link, if it has one."""
        self._making = threading.Lock()
        self.used = 0.0
        self._closed = False
        self._over = threading.Event()
        """Wakes who waits between two attempts to reach the server."""
        self._backoff = FIRST_BACKOFF
        _channels.add(self)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """Functions of this program that the other side may call; made when first needed, like its import."""
        from tincans.core.dispatch import Dispatcher

        return Dispatcher()

    @cached_property
    def _executor(self) -> Executor:
        return Executor(self.dispatcher)

    def reach(self, timeout: float) -> None:
        """Reach the server now; UnreachableError when nobody comes within `timeout`."""
        self.link(timeout)

    def expose(self, function: Callable[..., Any], **options: Any) -> None:
        """Let the other program call a function of this one, from now on."""
        self.dispatcher.expose(function, **options)
        self.link(GREETING_TIMEOUT).attend()

    def exposes(self) -> bool:
        """Whether the other side may call anything here."""
        return "dispatcher" in self.__dict__ and bool(self.dispatcher.names())

    # -- the link ------------------------------------------------------------------------------------------

    def link(self, timeout: float | None) -> Link:
        """A live link; connects, and waits for the server, within `timeout`."""
        link = self.latest
        now = time.monotonic()
        if link is not None and link.dead is None and not link.leaving:
            if now - self.used > PROBE_AFTER:
                link.probe()
            self.used = now
            if link.dead is None and not link.leaving:
                return link
        return self._make_link(timeout)

    def _make_link(self, timeout: float | None) -> Link:
        attempts = Attempts(self.url, timeout)
        if not self._making.acquire(True, -1 if timeout is None else timeout):
            raise UnreachableError(f"No connection to {self.url} within {timeout:g} s.", url=self.url)
        try:
            if self._closed:
                raise self._was_closed()
            link = self.latest
            if link is not None and link.dead is None and not link.leaving:
                return link
            self.latest = link = self._connect(attempts)
            self.line = link.line or link.flow
            self.used = time.monotonic()
        finally:
            self._making.release()
        if self.exposes():
            link.attend()
            if link.heartbeat is not None:
                link.heartbeat.begin(steady=True)
        return link

    def _was_closed(self) -> ClosedError:
        return ClosedError(f"This peer of {self.url} was closed.", url=self.url)

    def _connect(self, attempts: Attempts) -> Link:
        while True:
            try:
                connection = self.dialer.dial(attempts.left())
                link = Link(connection, self.dialer.wire, self, reactor(), connecting=True)
                link.where = self.url
                return link
            except TincansError as error:
                if self._over.wait(attempts.pause(error)):
                    raise self._was_closed() from error

    # -- Owner of the link -----------------------------------------------------------------------------------

    def execute(self, link: Link, request: Request[Any]) -> None:
        self._executor.execute(link, request)

    def serve_plain(self, link: Link, linger: float) -> list[Buffer] | None:
        if not self.exposes():
            return link.receive_no_answer(linger)
        from tincans.pump import plain_serving  # most callers are never called

        assert link.quick is not None
        return plain_serving.serve(link, link.quick, self._executor, linger)

    def execute_at_once(self, link: Link, request: Request[Any]) -> bool:
        return request.name.startswith("$") and release(link, request)

    def greet(self, link: Link, message: Message) -> None:
        """Never called: the connecting side greets before there is a link."""

    def cancelled(self, link: Link, id: int) -> None:
        """Nothing is granted on this side."""

    def goodbye(self, link: Link) -> None:
        """The server is leaving; the next call makes a new link."""
        if link is self.latest:
            self.line = None

    def lost(self, link: Link, error: TincansError) -> None:
        if self.on_lost is not None and not self._closed:
            self.on_lost(error)
        if self.exposes() and not self._closed:
            reactor().call_at(time.monotonic() + self._backoff * jitter(), self._come_back)

    def _come_back(self) -> None:
        """In the background, while the other side may want to call our functions."""
        try:
            self._make_link(GREETING_TIMEOUT)
            self._backoff = FIRST_BACKOFF
        except ClosedError:
            pass
        except TincansError:
            self._backoff = min(self._backoff * 2, 5.0)
            reactor().call_at(time.monotonic() + self._backoff, self._come_back)

    # -- calls -------------------------------------------------------------------------------------------------

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None) -> Any:
        """One call; see pump/calling.py."""
        if name in self.dialer.idempotent:
            return self.call_again(name, args, kwargs, timeout=timeout)
        try:
            return calling.call(self.link(timeout), name, args, kwargs, timeout=timeout, reading=self.reading)
        except DisconnectedError as error:
            if error.outcome != "not_sent":
                raise self.located(error) from None
        except TincansError as error:
            self.located(error)
            raise
        return calling.call(self.link(timeout), name, args, kwargs, timeout=timeout, reading=self.reading)

    def call_again(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None) -> Any:
        """A call that may be repeated: after a reconnect it is sent again under the same key, until the deadline."""
        key = os.urandom(16).hex()
        deadline = deadline_of(timeout)
        while True:
            left = left_of(deadline, least=0.001)
            try:
                link = self.link(left)
                return calling.call(link, name, args, kwargs, timeout=left, key=key, reading=self.reading)
            except DisconnectedError as error:
                if deadline is not None and time.monotonic() >= deadline:
                    raise self.located(error) from None
            except TincansError as error:
                self.located(error)
                raise

    def function(self, name: str, timeout: float | None) -> Callable[..., Any]:
        """What `peer.call.name` is."""
        return plain_calls.function_of(self, name, timeout)

    def starter(self, name: str, timeout: float | None) -> Callable[..., Any]:
        """What `peer.start.name` is."""
        return plain_calls.starter_of(self, name, timeout)

    def start(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None) -> CallFuture:
        """A call whose answer is fetched later."""
        return calling.start(self.link(timeout), name, args, kwargs, timeout=timeout, reading=self.reading)

    def notify(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float | None) -> None:
        """A call without an answer: returns when it has left."""
        self.link(timeout).send(Request(0, name, args, kwargs or None, timeout), timeout=timeout)

    def describe(self, *, timeout: float | None) -> dict[str, Any]:
        """The other program's functions with types and docs."""
        description: dict[str, Any] = self.call("$describe", (), {}, timeout=timeout)
        return description

    def written(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Buffer]:
        """A request as it is left for later."""
        return calling.request_left(self.wire, name, args, kwargs)

    def answer_in(self, parts: Parts, name: str) -> Any:
        """What an answer says: its value, or the error that it raises."""
        return calling.answer_left(self.dialer.wire, parts, name, self.reading)

    def located(self, error: TincansError) -> TincansError:
        """The error, which says where."""
        if error.url is None:
            error.url = self.url
        return error

    # -- hub_board.Asker ---------------------------------------------------------------------------------------------

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        wait_there = timeout != 0
        bound = timeout if wait_there else GREETING_TIMEOUT
        link = self.link(bound)

        try:
            return calling.call(
                link,
                name,
                args,
                {},
                timeout=bound,
                operation=name[1:],
                wait_there=wait_there,
            )
        except TimeoutError as error:
            raise WaitTimeoutError(str(error), url=self.url, operation=name[1:]) from None
        except NotExposedError:
            raise NotExposedError(f"{self.url} is no tincans server with a hub: it does not know {name!r}.") from None

    def tell(self, name: str, *args: Any) -> None:
        self.link(GREETING_TIMEOUT).send(Request(0, name, args), timeout=GREETING_TIMEOUT)

    def open(self, name: str, *args: Any, timeout: float | None) -> Elements:
        bound = GREETING_TIMEOUT if timeout is None else max(timeout, 1.0)
        link = self.link(bound)
        stream = calling.call(link, name, args, {}, timeout=bound, operation=name[1:])
        incoming = stream.detach()
        incoming.inlet.widen(window_of(name, args))
        return _LinkElements(link, incoming)

    def board(self, timeout: float) -> Board:
        """The method's own board, completed by the hub of the other program."""
        return hub_board(self, self.dialer.transport.board(self.address, wire=self.wire, timeout=timeout))

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Say goodbye and end; anyone waiting gets ClosedError."""
        self._closed = True
        self._over.set()
        link = self.latest
        if link is not None:
            link.close("the peer was closed")

    def abandon(self) -> None:
        """In a forked child."""
        link, self.latest, self.line = self.latest, None, None
        self._making, self._over = threading.Lock(), threading.Event()
        if link is not None:
            link.connection.abandon()


class _LinkElements:
    """hub_board.Elements over a link."""

    def __init__(self, link: Link, incoming: Incoming) -> None:
        self._incoming = incoming
        self.inlet = incoming.inlet
        self._read = link.wire.reader(Any)
        link.attend()

    def receive(self, *, timeout: float | None) -> Any:
        inlet = self.inlet
        if inlet.items:  # no need to wait
            message = inlet.next()
            if owed := inlet.owed():
                self._incoming.grant(owed)
        else:
            message = self._incoming.receive(timeout=timeout)
        if message is None or message is ENDED:
            return message
        if type(message) is Note:
            return message
        if type(message) is tuple:  # plain, and read already
            return message[1], message[2], 0
        return message.topic, self._read(message.value, message), message.dropped

    def close(self) -> None:
        self._incoming.close()


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for channel in list(_channels):
        channel.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
