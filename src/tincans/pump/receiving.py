"""The receiving half of a link: who reads the connection, and how nobody's message is left lying.

Rules of this file
- The caller does the reading: a thread that waits for its answer holds the reading role, hands other people's
  messages on, and passes the role to another waiter when it leaves. In the background the reactor reads.
- Only who holds the reading role (`reading`) touches the receiving half of the connection: `receive`, `pending` and
  `prepare_wait`. A look without it takes a message away from under the one who reads.
- The role is released before a handler runs: a slow handler holds up nobody.
- Who does not take its answers is not served on: its requests wait, however many, and the workers are for others. But
  who connects always reads, so that two ends never wait for each other.
- A background link whose role is free is armed, by the one who gave the role back, or attended. Whoever has read since
  it was armed attends it again: what he received together with his answer, and the ring that he woke, rouse nobody.
- Who leaves wakes one who may want the role; a nudge that is not used goes on to the next.
- Who leaves with news from a ring takes what one look has found, and rouses nobody for what came since: he is back
  soon, or the next ticks see to it. Two who take turns, or chase the writer, would be slower than one who reads.
- Before a message is received `more_here` is put out and what was corked meanwhile leaves: nobody else would see to it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tincans.contracts import Buffer, Connection
from tincans.core.log import log
from tincans.core.messages import Reply, Request
from tincans.core.session import Session
from tincans.errors import DisconnectedError, ProtocolError, TincansError
from tincans.pump.quick import Quick, role
from tincans.pump.reactor import Background, reactor
from tincans.pump.sending import Sending
from tincans.pump.waiter import Waiting

if TYPE_CHECKING:
    from tincans.pump.flows import Incoming

LINGER = 0.1
"""Seconds that a worker stays with a connection after a message, so that a busy one is read without epoll."""

SHARE = 200
"""Requests that a worker runs on one link while others queue."""

STAY = 3600.0
"""Seconds that a reader stays with a connection that has no descriptor to wait for."""

ELSEWHERE: Final[Request[Any]] = Request(0, "", ())
"""Instead of a request: somebody else has the reading role by now."""


class Receiving(Sending):
    """What a Link receives with. What a message does is the link's business."""

    session: Session
    greeted: bool
    quick: Quick | None
    direct: bool
    """Whether requests are run as they come: greeted, and with ids."""

    def __init__(self, connection: Connection, reactor: Background, *, accepting: bool) -> None:
        super().__init__(connection)
        self.reactor = reactor
        self.dead: TincansError | None = None
        self.heard = 0
        self.background = False
        self.reading = role()
        self._accepting = accepting  # callers read for themselves; only who serves waits for more
        self._fd = connection.fileno()
        self._dying = threading.Lock()
        self.parked: deque[Waiting] = deque()
        """Those who sleep until their answer comes, or the reading role is theirs."""
        self._heard_before = 0
        self._news_came = False
        """Whether news came through the ring: who listens reads on soon, and nobody else is roused for more of it."""

    def handle(self, message: Any) -> None:
        """What one message does."""
        raise NotImplementedError

    def _run(self, request: Request[Any]) -> None:
        """Run a request for one of our functions; called without the reading role, may take long."""
        raise NotImplementedError

    def _serve_plain(self, linger: float) -> list[Buffer] | None:
        """With the reading role: run plain requests as they come (plain_serving.serve)."""
        raise NotImplementedError

    def mind(self) -> None:
        """Something is awaited that may take for ever."""
        raise NotImplementedError

    def take_in(self, parts: list[Buffer]) -> None:
        """With the reading role: what one message does."""
        if not self._takes_plain(parts):
            self.handle(self.wire.decode(parts))

    def _takes_plain(self, parts: list[Buffer]) -> bool:
        """Whether it was a plain Reply or Publication: then whoever waits for it has it now."""
        found = self.read_plain(parts)
        if found is None or len(found) == 4:
            return False
        self.hand_on_plain(found)
        return True

    def read_plain(self, parts: list[Buffer]) -> tuple[Any, ...] | None:
        """What a message says that is plain: a Reply two things, a Publication three, a Request four. Else None."""
        if self.quick is None or len(parts) != 1 or not self.greeted:
            return None
        found: tuple[Any, ...] | None = self.quick.read(parts[0])
        return found

    def hand_on_plain(self, found: tuple[Any, ...]) -> None:
        """With the reading role: what a plain Reply (id, value) or Publication (id, topic, value) says."""
        self.heard += 1
        if len(found) == 2:
            waiter = self.session.calls.pop(found[0], None)
            if waiter is not None:
                waiter.deliver_plain(found[1])
        else:
            self._news_came = self.quick is not None and self.quick.take_news is not None
            inlet = self.session.inlets.get(found[0])
            if inlet is not None:
                inlet.deliver(found)

    # -- waiting for one thing -------------------------------------------------------------------------------------

    def receive_answer(self, id: int, timeout: float | None) -> Any | None:
        """With the reading role: the next message, if it is the plain answer to our call `id`: the shortest way.

        None: something else came, and was handled, or nothing; the caller waits on.
        """
        if self.more_here:
            self.put_out_more_here()
        try:
            parts = self.connection.receive(timeout=timeout)
            if parts is None:
                return None
            message: Any = self.wire.decode(parts)
            if type(message) is Reply and message.id == id and not message.stream:
                self.heard += 1
                return message
            self.handle(message)
        except TincansError as error:
            self.lost(error)
        return None

    def wait(self, waiter: Waiting, timeout: float | None) -> bool:
        """Until `waiter.settled`, reading the connection ourselves if nobody else does. False when the time is up."""
        if self.corked:
            self.uncork_at_once()
        deadline = None if timeout is None else time.monotonic() + timeout
        left = timeout
        slept = False
        if timeout is None:
            self.mind()
        try:
            while not waiter.settled:
                if self.reading.acquire(False):
                    try:
                        self._read_until(waiter, deadline, left)
                    finally:
                        self.pass_on()
                else:
                    slept = True
                    self._sleep(waiter, left)
                if deadline is not None and not waiter.settled:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return waiter.settled
            return True
        finally:
            if slept and self.parked and not self.reading.locked():
                self.nudge_next()  # we leave, perhaps without reading: the nudge that may have been ours is the next's

    def _read_until(self, waiter: Waiting, deadline: float | None, left: float | None) -> None:
        receive = self.connection.receive if self.line is None else self._receive_beside_answers
        self._news_came = False
        while not waiter.settled:
            if self.dead is not None:
                waiter.fail(self.gone("unknown"))
                return
            try:
                if self.more_here:
                    self.put_out_more_here()
                parts = receive(timeout=left)
                if parts is None:
                    return
                if parts:
                    self.take_in(parts)
                if waiter.settled:  # what has come along is handed on while we are at it
                    self._hand_on_the_rest()
            except TincansError as error:
                self.lost(error)
                if not waiter.settled:
                    waiter.fail(self.gone("unknown"))
                return
            if deadline is not None and not waiter.settled:
                left = max(0.0, deadline - time.monotonic())

    def _receive_beside_answers(self, *, timeout: float | None) -> list[Buffer] | None:
        """With the reading role: the next message; but plain answers are handed on, and then it is []."""
        assert self.quick is not None
        came = self.quick.line.take_answers(timeout)
        return [] if came is True else self.quick.parts_of(came)

    def receive_no_answer(self, linger: float) -> list[Buffer]:
        """With the reading role: the next message that is no plain answer, as far as the C core hands those on. [] when
        nothing came for `linger` seconds."""
        if self.line is None:
            data = None if self.flow is None else self.flow.take_ready()
            return [data] if data is not None else self.connection.receive(timeout=linger) or []
        while (parts := self._receive_beside_answers(timeout=linger)) == []:
            pass
        return parts or []

    def _hand_on_the_rest(self) -> None:
        """With the reading role: what has come along."""
        quick = self.quick
        while (parts := self._after_news()) is not None:
            self.take_in(parts)
        if self._news_came:
            return  # who listens comes back when he has consumed it
        if quick is not None and quick.ready and self.greeted:
            while self.dead is None and (data := quick.flow.take_ready()) is not None:
                self.take_in([data])
        while self.connection.pending() and (parts := self.connection.receive(timeout=0)) is not None:
            self.take_in(parts)

    def _after_news(self) -> list[Buffer] | None:
        """With the reading role: hand on the small news that is here. What else came then, or None."""
        quick = self.quick
        if quick is None or quick.take_news is None or not self.greeted:
            return None
        touched: list[Incoming] = []
        try:
            count, data = quick.take_news(self.session.inlets, touched)
            self.heard += count
        finally:
            for incoming in touched:
                incoming.waiter.wake()
        if touched:
            self._news_came = True
        return quick.parts_of(data)

    def _sleep(self, waiter: Waiting, left: float | None) -> None:
        waiter.prepare_to_sleep()
        self.parked.append(waiter)
        try:
            # Between our look and now the reader may have left without seeing us: then look again ourselves.
            if not waiter.settled and self.reading.locked():
                waiter.sleep(left)
        finally:
            with contextlib.suppress(ValueError):
                self.parked.remove(waiter)

    def pass_on(self) -> None:
        """Give the reading role back, and wake one who may want it. The background has what is left."""
        more = self.background and not self._news_came and self._has_whole_message()
        self._news_came = False
        self.reading.release()
        if self.parked:
            self.nudge_next()
        if self.background and self.dead is None:
            self.reactor.attend(self)
            if more:
                self.reactor.queue(self)

    def _has_whole_message(self) -> bool:
        """With the reading role: whether a message has come along that nobody would be woken for."""
        try:
            return self.dead is None and self.connection.pending()
        except TincansError:
            return False  # closed meanwhile

    def nudge_next(self) -> None:
        """Wake the first of those who sleep: the reading role is free."""
        while self.parked:
            try:
                waiter = self.parked.popleft()
            except IndexError:
                return
            if not waiter.settled:
                waiter.nudge()
                return

    def put_out_more_here(self) -> None:
        """Before we receive: what was corked for the sake of the message that we take now must not stay behind."""
        self.more_here = False
        if self.corked:
            self.uncork_at_once()

    def probe(self) -> None:
        """Look, without waiting, whether something has come meanwhile: news, a goodbye, or the end."""
        if self.reading.acquire(False):
            try:
                if self.more_here:
                    self.put_out_more_here()
                while (parts := self.connection.receive(timeout=0)) is not None:
                    self.take_in(parts)
            except TincansError as error:
                self.lost(error)
            finally:
                self.pass_on()

    # -- in the background -----------------------------------------------------------------------------------------

    def heard_in_all(self) -> int:
        """How many messages have been received."""
        line = self.line or self.flow
        return self.heard if line is None else self.heard + int(line.heard)

    @property
    def line(self) -> Any:
        """The C core's way over a ring (Quick), or None."""
        return None if self.quick is None else self.quick.line

    @property
    def flow(self) -> Any:
        """The same for a string that shows what has come along, or None."""
        return None if self.quick is None else self.quick.flow

    def attend(self) -> None:
        """See to it that the connection is read even while no thread waits for anything."""
        self.background = True
        if (line := self.line or self.flow) is not None:
            line.background = True
        self.mind()
        if self.dead is None:
            self.reactor.attend(self)

    def look_soon(self) -> None:
        if self not in self.reactor.attended:
            self.reactor.attend(self)

    def ready(self) -> None:
        """A worker's job: receive what is there, and stay a while if more may come."""
        if self._accepting and self.is_stuck():
            self.reactor.attend(self)
            return
        if not self.reading.acquire(False):
            return  # somebody reads, who sees to the rest when he leaves
        if self._fd is None:
            self.reactor.step_out()
            self._read_on(STAY)
        elif self._accepting and not self.reactor.queued and (pool := reactor()).take_seat():
            self.reactor.step_out()
            try:
                self._read_on(LINGER)
            finally:
                pool.leave_seat()
        else:
            self._read_on(0.0)

    def _read_on(self, linger: float) -> None:
        """With the reading role: receive and handle until nothing comes for `linger` seconds, or another one reads."""
        count = 0
        while True:
            try:
                request = None if (count := count + 1) > SHARE and self.reactor.queued else self._next_request(linger)
            except TincansError as error:
                self.lost(error)
                self.pass_on()
                return
            except Exception as error:  # a fault of ours must not leave a link that is read no more
                log().exception("A message could not be handled; its connection is closed. Please report this.")
                self.lost(ProtocolError(f"A message could not be handled: {error!r}"))
                self.pass_on()
                return
            if request is None:
                self._arm()
                return
            if request is ELSEWHERE:
                return
            self.reading.release()
            if self.parked:
                self.nudge_next()
            self.reactor.attend(self)
            self._run(request)
            if not self.reading.acquire(False):
                return
            del request  # a waiting thread must not keep the memory of the last request

    def _next_request(self, linger: float) -> Request[Any] | None:
        """The next request for one of our functions; what else comes before it is handled. None: nothing came."""
        connection, decode = self.connection, self.wire.decode
        parts: list[Buffer] | None = None
        while True:
            self.more_here = False  # before the look at what is corked: `reply` does these in the other order
            if self.corked and not connection.pending():
                self.uncork_at_once()
            if parts is not None:
                pass  # it came behind news
            elif self.quick is None or not self.direct:
                parts = connection.receive(timeout=0.0 if linger == LINGER and self.reactor.queued else linger)
            elif (parts := self._serve_plain(linger)) is None:
                return ELSEWHERE
            if not parts:
                return None
            if self._takes_plain(parts):
                parts = self._after_news()
                continue
            message: Any = decode(parts)
            parts = None
            if type(message) is Request and message.name[:1] != "$" and self.direct:
                self.session.check_opening(message.id)
                self.heard += 1
                self.more_here = not self.sends_whole and connection.pending()
                return message
            self.handle(message)
            del message

    def rest(self) -> bool:
        """The reactor's look at a link that was being read: arm it when nobody has read it since the last look."""
        if self.dead is not None:
            return True
        if self.corked:
            self.drain_soon()
        if self.line is not None:
            self.line.wake()
        if (heard := self.heard_in_all()) != self._heard_before:
            self._heard_before = heard
            return self._fd is None and self.reading.locked()
        return self._rearm()

    def _rearm(self) -> bool:
        """Have it read in the background. False: look again, for somebody reads, or there is something already."""
        if self._fd is None:
            if self.dead is None and not self.reading.locked():
                threading.Thread(target=self.ready, name="tincans-reader", daemon=True).start()
            return True  # who reads attends it when he leaves
        if self._accepting and self.is_stuck():
            return False
        return self.reading.acquire(False) and self._arm()

    def _arm(self) -> bool:
        """With the reading role, which is given back: let the kernel say when there is more. False: there is."""
        self.put_out_more_here()
        there = False
        try:
            with self._dying:  # who ends the link waits: a closed descriptor's number may be another connection's
                if self.dead is None and self._fd is not None:
                    there = self._prepare_wait()
                    if not there:
                        self._watch_right_descriptor()
                        self.reactor.arm(self._fd, self)
        except OSError as error:
            self.lost(DisconnectedError(f"It cannot be watched in the background: {error}."))
        finally:
            self.reading.release()
            if self.parked:
                self.nudge_next()
        if self._fd is None:
            self.reactor.attend(self)
        elif there:
            self.reactor.attend(self)
            self.reactor.queue(self)
        return not there

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
        if self.corked:
            self.uncork_at_once()
        self.reactor.step_out()
        if self.dead is None:
            self._rearm()
