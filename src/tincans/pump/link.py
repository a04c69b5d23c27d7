"""One live connection: what becomes of each message, and what its death does.

Rules of this file
- Who sends and who reads is said in sending.py and receiving.py; here is what a message that was read means.
- Handling runs under the reading role, so it never blocks: what may take long is left to a worker.
- Whatever ends the connection goes through `lost`, once: every waiter, stream and running call learns of it.
"""

from __future__ import annotations

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
from tincans.pump.quick import quick_of
from tincans.pump.reactor import Background
from tincans.pump.receiving import Receiving
from tincans.pump.references import LinkReferences
from tincans.pump.sending import CORK_BYTES
from tincans.pump.turns import Turns

ANSWERS = frozenset({Reply, Failure, Item, End})


class Link(Receiving):
    """A connection, its session, and the threads that meet there."""

    def __init__(self, connection: Connection, wire: Wire, owner: Owner, reactor: Background, *, connecting: bool):
        super().__init__(connection, reactor, accepting=not connecting)
        self.wire = wire
        self.owner = owner
        self.session = Session(connecting=connecting)
        self.identity: Identity = connection.identity
        self.redelivered: bool = getattr(connection, "redelivered", False)
        """Whether a serving program took this one's request before, and died before its answer."""
        self.patience: float = getattr(connection, "patience", 0.0)
        """Seconds that its requests may wait longer than others for a name that is not exposed yet."""
        self.greeted = True
        self.leaving = False
        self.software = ""
        self.where = ""
        """The URL by which it was reached, for errors; a serving program has none."""
        self.deadlines = Deadlines(self)
        self.know_connection()
        self.references = LinkReferences(self)
        self.read_any = wire.reader(Any, self.references)
        self.turns = Turns(self) if getattr(wire, "in_order", False) else None
        self.heartbeat = Heartbeat(self) if connecting and wire.greets else None
        self.direct = self.turns is None

    def call_there(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, timeout: float) -> Any:
        """Call a function that the other side exposes, whichever side connected."""
        from tincans.pump.calling import call

        return call(self, name, args, kwargs, timeout=timeout)

    def is_awaited(self) -> bool:
        """Whether anybody waits for something to come: a lone caller is in no table, but has the reading role."""
        return bool(self.session.calls or self.session.inlets or self.reading.locked())

    def mind(self) -> None:
        """Something is awaited that may take for ever: notice when the other end falls silent."""
        if self.heartbeat is not None:
            self.heartbeat.begin()

    # -- what becomes of a message ---------------------------------------------------------------------------------

    def handle(self, message: Any) -> None:
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
            self.session.check_opening(message.id)
            if not self.owner.execute_at_once(self, message):
                self.run_later(message)
        else:
            if self.turns is not None and kind in ANSWERS:
                self.turns.belongs(message)
            HANDLERS[kind](self, message)

    def _run(self, request: Request[Any]) -> None:
        self.owner.execute(self, request)

    def know_connection(self) -> None:
        """Which quick ways the connection has; again after the greeting, for some find out with the first message."""
        self.sends_whole = getattr(self.connection, "sends_whole", False)
        self.short = min(CORK_BYTES, self.connection.max_message + 1)
        self.quick = quick_of(self)

    def _serve_plain(self, linger: float) -> list[Buffer] | None:
        return self.owner.serve_plain(self, linger)

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
        self.posted.clear()
        while self.parked:
            try:
                self.parked.popleft().nudge()
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
        where = f" ({self.where})" if self.where else ""
        return DisconnectedError(
            f"{what}the other end{where} is gone: {cause}{after.get(outcome, '')}",
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
