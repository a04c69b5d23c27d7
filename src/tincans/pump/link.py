"""One live connection: who reads it, what becomes of each message, and what its death does.

Rules of this file
- The caller does the reading: a thread that waits for its answer holds the reading role, hands other people's
  messages on, and passes the role to another waiter when it leaves. In the background the reactor reads.
- The reading role (`reading`) is released before a handler runs: a slow handler holds up nobody.
- `send` blocks its thread, for the thread's own messages; `post` never blocks, for messages to other people.
- Whatever ends the connection goes through `lost`, once: every waiter, stream and running call learns of it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tincans.contracts import Buffer, Connection, Identity, Wire
from tincans.core.messages import (
    Cancel,
    Credit,
    End,
    Failure,
    Goodbye,
    Hello,
    Item,
    Ping,
    Pong,
    Proof,
    Publication,
    Reply,
    Request,
)
from tincans.core.session import Session
from tincans.errors import (
    ClosedError,
    DisconnectedError,
    TincansError,
)
from tincans.pump.deadlines import Deadlines
from tincans.pump.flows import Incoming
from tincans.pump.heartbeat import Heartbeat
from tincans.pump.owner import Owner
from tincans.pump.reactor import Background
from tincans.pump.references import LinkReferences
from tincans.pump.sending import Sending
from tincans.pump.turns import Turns
from tincans.pump.waiter import Waiter

LINGER = 0.1
"""Seconds that a worker stays with a connection after a message, so that a busy one is read without epoll."""

MAX_LINGERING = 4
ANSWERS = frozenset({Reply, Failure, Item, End})


class Link(Sending):
    """A connection, its session, and the threads that meet there."""

    lingering = 0

    def __init__(self, connection: Connection, wire: Wire, owner: Owner, reactor: Background, *, connecting: bool):
        super().__init__(connection)
        self.wire = wire
        self.owner = owner
        self.reactor = reactor
        self.session = Session(connecting=connecting)
        self._accepting = not connecting  # callers read for themselves; only who serves waits for more
        self.identity: Identity = connection.identity
        self.greeted = True
        self.dead: TincansError | None = None
        self.leaving = False
        self.heard = 0
        self.background = False
        self.software = ""
        self.references = LinkReferences(self)
        self.read_any = wire.reader(Any, self.references)
        self._fd = connection.fileno()
        self.reading = threading.Lock()
        self._dying = threading.Lock()
        self._parked: deque[Waiter] = deque()
        self._heard_before = 0
        self.deadlines = Deadlines(self)
        self.turns = Turns(self) if getattr(wire, "in_order", False) else None
        self.heartbeat = Heartbeat(self) if connecting and wire.greets else None
        self.direct = self.turns is None
        """Whether requests are run as they come: greeted, and with ids."""

    # -- sending and receiving in one ------------------------------------------------------------------------

    def exchange(self, request: Request[Any], timeout: float | None) -> Any | None:
        """Send a request and receive its answer, when nobody else needs the link meanwhile: the shortest way.

        None: it was sent, but is not answered yet; the caller waits on.
        """
        if self.dropped:
            self.say_dropped()
        self.send_parts(self.wire.encode(request, self.references), timeout=timeout)
        try:
            parts = self.connection.receive(timeout=timeout)
            if parts is None:
                return None
            message: Any = self.wire.decode(parts)
            if type(message) is Reply and message.id == request.id and not message.stream:
                self.heard += 1
                return message
            self._handle(message)
        except TincansError as error:
            self.lost(error)
        return None

    # -- receiving: waiting for one thing ----------------------------------------------------------------------

    def wait(self, waiter: Waiter, timeout: float | None) -> bool:
        """Until `waiter.done`, reading the connection ourselves if nobody else does. False when the time is up."""
        if self._corked:
            self.uncork()
        deadline = None if timeout is None else time.monotonic() + timeout
        left = timeout
        if timeout is None:
            self.mind()
        while not waiter.done:
            if self.reading.acquire(False):
                try:
                    self._read_until(waiter, deadline, left)
                finally:
                    self.pass_on()
                    if self._fd is None and self.background:
                        self.attend()
            elif not self._sleep(waiter, left):
                return waiter.done
            if deadline is not None and not waiter.done:
                left = deadline - time.monotonic()
                if left <= 0:
                    return waiter.done
        return True

    def _read_until(self, waiter: Waiter, deadline: float | None, left: float | None) -> None:
        receive = self.connection.receive
        while not waiter.done:
            if self.dead is not None:
                waiter.fail(self.gone("unknown"))
                return
            try:
                parts = receive(timeout=left)
                if parts is None:
                    return
                self._handle(self.wire.decode(parts))
                while waiter.done and self.connection.pending():  # what has come along is handed on while we are at it
                    if (parts := receive(timeout=0)) is None:
                        break
                    self._handle(self.wire.decode(parts))
            except TincansError as error:
                self.lost(error)
                if not waiter.done:
                    waiter.fail(self.gone("unknown"))
                return
            if deadline is not None and not waiter.done:
                left = max(0.0, deadline - time.monotonic())

    def _sleep(self, waiter: Waiter, left: float | None) -> bool:
        waiter.prepare_to_sleep()
        self._parked.append(waiter)
        if waiter.done or not self.reading.locked():
            # Between our look and now the reader left: it may not have seen us, so look again ourselves.
            self._unpark(waiter)
            return True
        began = time.monotonic()
        waiter.sleep(left)
        self._unpark(waiter)
        leaving = waiter.done or (left is not None and time.monotonic() - began >= left)
        if leaving and self._parked and not self.reading.locked():
            self._nudge_next()  # we leave without reading: the nudge that may have been ours is for the next then
        return left is None or waiter.done or left > 0

    def _unpark(self, waiter: Waiter) -> None:
        with contextlib.suppress(ValueError):
            self._parked.remove(waiter)

    def pass_on(self) -> None:
        """Give the reading role back, and wake one who may want it."""
        self.reading.release()
        if self._parked:
            self._nudge_next()

    def _nudge_next(self) -> None:
        while self._parked:
            try:
                waiter = self._parked.popleft()
            except IndexError:
                return
            if not waiter.done:
                waiter.nudge()
                return

    def call_there(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float) -> Any:
        """Call a function that the other side exposes, whichever side connected."""
        from tincans.pump.calling import call

        return call(self, name, args, kwargs, timeout=timeout)

    def probe(self) -> None:
        """Look, without waiting, whether something has come meanwhile: news, a goodbye, or the end."""
        if self.reading.acquire(False):
            try:
                while (parts := self.connection.receive(timeout=0)) is not None:
                    self._handle(self.wire.decode(parts))
            except TincansError as error:
                self.lost(error)
            finally:
                self.pass_on()

    # -- receiving: in the background ----------------------------------------------------------------------------

    def attend(self) -> None:
        """See to it that the connection is read even while no thread waits for anything."""
        self.background = True
        self.mind()
        if self.dead is None:
            self.reactor.attend(self)

    def is_awaited(self) -> bool:
        """Whether anybody waits for something to come: a lone caller is in no table, but has the reading role."""
        return bool(self.session.calls or self.session.inlets or self.reading.locked())

    def mind(self) -> None:
        """Something is awaited that may take for ever: notice when the other end falls silent."""
        if self.heartbeat is not None:
            self.heartbeat.begin()

    def ready(self) -> None:
        """A worker's job: receive what is there, and stay a while if more may come."""
        if not self.reading.acquire(False):
            return  # somebody reads; the reactor looks again at its next tick
        linger = LINGER if self._accepting and Link.lingering < MAX_LINGERING else 0.0
        if self._fd is None:
            linger = 3600.0
        Link.lingering += 1
        try:
            self._read_on(linger)
        finally:
            Link.lingering -= 1

    def _read_on(self, linger: float) -> None:
        """Receive and handle until nothing comes for `linger` seconds, or somebody else has the reading role."""
        connection, decode = self.connection, self.wire.decode
        parts: list[Buffer] | None
        message: Any
        while True:
            try:
                parts = message = None  # a waiting thread must not keep the memory of the last request
                self.more_here = False  # before the look at what is corked: `reply` does these in the other order
                if self._corked and not connection.pending():
                    self.uncork()
                parts = connection.receive(timeout=linger)
                if parts is None:
                    self.pass_on()
                    self._rearm()
                    return
                message = decode(parts)
                if type(message) is not Request or message.name[:1] == "$" or not self.direct:
                    self._handle(message)
                    continue
                self.session.check_request(message)
                self.more_here = connection.pending()
            except TincansError as error:
                self.pass_on()
                self.lost(error)
                return
            self.heard += 1
            self.reading.release()
            if self._parked:
                self._nudge_next()
            if self._fd is None:
                self.attend()
            self.owner.execute(self, message)
            if not self.reading.acquire(False):
                return

    def rest(self) -> bool:
        """The reactor's look at a link that was being read: arm it when nobody has read it since the last look."""
        if self.dead is not None:
            return True
        if self._corked:
            self.reactor.submit(self.uncork)
        if self.reading.locked() or self.heard != self._heard_before:
            self._heard_before = self.heard
            return self._fd is None and self.reading.locked()
        return self._rearm()

    def _rearm(self) -> bool:
        """Have it read in the background. False: a worker goes there now, whose handler may be slow, so look again."""
        if self.dead is None:
            if self._fd is None:
                if not self.reading.locked():
                    threading.Thread(target=self.ready, name="tincans-reader", daemon=True).start()
            else:
                return self._rearm_descriptor()
        return True

    def _rearm_descriptor(self) -> bool:
        with self._dying:  # who ends the link waits: a closed descriptor's number may be another connection's
            if self.dead is not None:
                return True
            if not self._prepare_wait():
                self._watch_right_descriptor()
                if self._fd is not None:
                    self.reactor.arm(self._fd, self)
                return True
        self.reactor.attend(self)
        self.reactor.submit(self.ready)
        return False

    def _prepare_wait(self) -> bool:
        """Before a wait for the descriptor: whether something can be received already."""
        prepare = getattr(self.connection, "prepare_wait", self.connection.pending)
        ready: bool = prepare()
        return ready

    def _watch_right_descriptor(self) -> None:
        """A connection may change its descriptor once, when both sides have found their best way."""
        fd = self.connection.fileno()
        if fd != self._fd and fd is not None:
            self.reactor.forget(self._fd, self)
            self._fd = fd

    def hand_over(self) -> None:
        """Called before a handler known to be slow: let the background read on at once."""
        if self._corked:
            self.uncork()
        if not self.reading.locked():
            self._rearm()

    # -- what becomes of a message ---------------------------------------------------------------------------------

    def _take(self, parts: list[Buffer]) -> Request[Any] | None:
        """Handle one message; a request for one of our functions is returned, to be run."""
        message: Any = self.wire.decode(parts)
        if type(message) is Request and message.name[:1] != "$" and self.direct:
            self.session.check_request(message)
            self.heard += 1
            return message
        self._handle(message)
        return None

    def _handle(self, message: Any) -> None:
        """What one message does. A request that may take long is left to a worker: this thread reads on."""
        self.heard += 1
        kind = type(message)
        if not self.greeted:
            self.owner.greet(self, message)
        elif kind is Reply and not message.stream and self.turns is None:
            waiter = self.session.calls.pop(message.id, None)
            if waiter is not None:
                waiter.deliver(message)
        elif kind is Request:
            if self.turns is not None:
                self.turns.admit(message)
                return
            self.session.check_request(message)
            if not self.owner.execute_at_once(self, message):
                self.run_later(message)
        else:
            if self.turns is not None and kind in ANSWERS:
                self.turns.belongs(message)
            HANDLERS[kind](self, message)

    def run_later(self, request: Request[Any]) -> None:
        """Let a worker run a request for one of our functions."""
        self.reactor.submit(lambda: self.owner.execute(self, request))

    def _on_answer(self, message: Reply[Any]) -> None:
        waiter = self.session.calls.pop(message.id, None)
        if message.stream and waiter is not None:
            # Before anybody else reads on: the elements may follow at once.
            # The inlet goes along with the answer, for its End may have come before the answer is looked at.
            message.value = self.session.inlets[message.id] = self.new_inlet(message.id)
        if waiter is not None:
            waiter.deliver(message)

    def new_inlet(self, id: int) -> Incoming:
        """Where the elements of a stream are kept until they are consumed."""
        self.mind()
        return Incoming(self, id)

    def _on_failure(self, message: Failure) -> None:
        waiter = self.session.calls.pop(message.id, None)
        if waiter is not None:
            waiter.deliver(message)
        elif (inlet := self.session.inlets.pop(message.id, None)) is not None:
            inlet.deliver_failure(message)

    def _on_element(self, message: Item[Any] | Publication[Any]) -> None:
        inlet = self.session.inlets.get(message.id)
        if inlet is not None:
            inlet.deliver(message)

    def _on_end(self, message: End) -> None:
        inlet = self.session.inlets.pop(message.id, None)
        if inlet is not None:
            inlet.deliver_end()

    def _on_credit(self, message: Credit) -> None:
        outlet = self.session.outlets.get(message.id)
        if outlet is not None:
            outlet.grant(message.count)

    def _on_cancel(self, message: Cancel) -> None:
        running = self.session.running.pop(message.id, None)
        if running is not None:
            running.cancel()
        elif (outlet := self.session.outlets.pop(message.id, None)) is not None:
            outlet.cancel()
        else:
            self.owner.cancelled(self, message.id)

    def _on_ping(self, message: Ping) -> None:
        self.post(Pong(message.token))

    def _on_goodbye(self, message: Goodbye) -> None:
        self.leaving = True
        self.owner.goodbye(self)

    # -- the end ---------------------------------------------------------------------------------------------------

    def lost(self, error: TincansError) -> None:
        """The connection is over. Everybody who waits on it is told at once."""
        with self._dying:
            if self.dead is not None:
                return
            self.dead = error
        self.reactor.forget(self._fd, self)
        self.connection.close()
        calls, running, inlets, outlets = self.session.everything_open()
        for waiter in calls:
            waiter.fail(self.gone("unknown", waiter.operation))
        for inlet in inlets:
            inlet.fail(self.gone(None))
        for task in (*running, *outlets):
            task.cancel()
        self._outbox.clear()
        while self._parked:
            try:
                self._parked.popleft().nudge()
            except IndexError:
                break
        self.owner.lost(self, error)

    def close(self, reason: str = "") -> None:
        """Say goodbye and end."""
        if self.dead is None and self.greeted and self.wire.greets:
            self.post(Goodbye(reason))
        self.lost(ClosedError(f"This connection to {self.identity.address or 'the other end'} was closed here."))

    def gone(self, outcome: Any, operation: str = "") -> TincansError:
        cause = self.dead
        if isinstance(cause, ClosedError):
            return ClosedError(str(cause), operation=operation or None)
        what = f"{operation}: " if operation else ""
        after = {"unknown": " It may or may not have happened (outcome unknown).", "not_sent": " Nothing was sent."}
        return DisconnectedError(
            f"{what}the other end is gone: {cause}{after.get(outcome, '')}",
            outcome=outcome,
            operation=operation or None,
        )

    def _ignore(self, message: Any) -> None:
        """Late or repeated, and harmless."""


HANDLERS: dict[type, Callable[[Link, Any], None]] = {
    Reply: Link._on_answer,
    Failure: Link._on_failure,
    Item: Link._on_element,
    Publication: Link._on_element,
    Credit: Link._on_credit,
    End: Link._on_end,
    Cancel: Link._on_cancel,
    Ping: Link._on_ping,
    Pong: Link._ignore,
    Goodbye: Link._on_goodbye,
    Hello: Link._ignore,
    Proof: Link._ignore,
}
