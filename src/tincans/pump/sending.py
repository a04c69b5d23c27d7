"""The sending half of a link: at once, without blocking, or several messages in one go.

Rules of this file
- `send` blocks its thread, for the thread's own messages. `post` never blocks, for messages to other people: what
  cannot leave now is sent by a worker, and a peer that takes nothing for long is cut.
- Nobody blocks in sending who has the reading role, or looks after others: two ends that both wait for room, and do not
  read meanwhile, would wait for each other.
- In a burst (answers while further requests are here already, calls while earlier ones are out) short messages are
  corked: they leave together, CORK_MESSAGES at the latest, before anything is waited for or sent later, and with the
  next tick (reactor.py): a timer for them would cost more than sending them one by one.
- Messages of one thread leave in the order in which it said them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import Any

from tincans.contracts import Buffer, Connection, Wire
from tincans.core.messages import Message, Request
from tincans.errors import ClosedError, DisconnectedError, ProtocolError, TincansError, WaitTimeoutError
from tincans.pump.reactor import Background, spawn
from tincans.pump.turns import Turns

RELEASE = "$drop"
CORK_MESSAGES = 16
CORK_BYTES = 4096
CORK_SECONDS = 0.0003
"""A call that is started so soon after the one before it is one of a burst."""
A_BLINK = 0.001
"""Seconds that another thread usually needs at most to send its message."""
A_MOMENT = 0.02
"""Seconds that a worker of the pool waits to send what was posted."""
STUCK_AFTER = 0.01
"""Seconds after which an answer that has not left holds up the requests behind it."""

CLOGGED_AFTER = 30.0
"""Seconds after which a peer that takes nothing we post to it is cut."""


class Sending:
    """What a Link sends with. `lost` and `gone` are the link's."""

    wire: Wire
    references: Any
    turns: Turns | None
    dead: TincansError | None
    reactor: Background

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._send_many = getattr(connection, "send_many", None)
        self.short = min(CORK_BYTES, connection.max_message + 1)
        """A message of one part that is shorter may be corked."""
        self.sends_whole: bool = getattr(connection, "sends_whole", False)
        self.sending = threading.Lock()
        self.posted: deque[list[Buffer]] = deque()
        """What was posted and has not left."""
        self._draining = False
        self._answering: deque[float] = deque()
        """Since when those answers that are being sent are."""
        self.corked: deque[list[Buffer]] = deque()
        """Short messages that leave together."""
        self.dropped: deque[int] = deque()
        """Functions of the other side that nobody here holds any more; it is told with the next message."""
        self.more_here = False
        """Whether, when the last request was received, the next one had come as well."""

    def lost(self, error: TincansError) -> None:
        """The connection is over."""
        raise NotImplementedError

    def look_soon(self) -> None:
        """See to it that what is corked leaves with the next tick."""
        raise NotImplementedError

    def gone(self, outcome: Any, operation: str = "") -> TincansError:
        """The error for whoever needed the connection."""
        raise NotImplementedError

    # -- one message -------------------------------------------------------------------------------------------

    def send(self, message: Message, *, timeout: float | None) -> None:
        """Encode and send; blocks at most `timeout`. An error of the string ends the link."""
        if self.dropped:
            self.say_dropped()
        if self.turns is None:
            self.send_parts(self.wire.encode(message, self.references), timeout=timeout)
        elif self.turns.may_send(message):
            parts = self.wire.encode(message, self.references)
            with self.turns.order:
                self.turns.asked(message)
                try:
                    self.send_parts(parts, timeout=timeout)
                except WaitTimeoutError:
                    self.turns.not_asked(message)
                    raise

    def send_parts(self, parts: list[Buffer], *, timeout: float | None) -> None:
        """Send one message; blocks at most `timeout`."""
        if self.dead is not None:
            raise self.gone("not_sent")
        if not self.sending.acquire(True, -1 if timeout is None else timeout):
            raise WaitTimeoutError("Other threads' messages took all the time to send.")
        try:
            if self.posted or self.corked:
                self._send_kept(timeout)
            self.connection.send(parts, timeout=timeout)
            if (len(parts) == 1 and len(parts[0]) < CORK_BYTES) or self.connection.flush(timeout=0):
                return
        except WaitTimeoutError:
            self.drain_soon()  # what was kept back for others has to leave all the same
            raise
        except (DisconnectedError, ClosedError, ProtocolError) as error:
            self.lost(error)
            raise self.gone("not_sent") from error
        finally:
            self.sending.release()
        self.drain_soon()  # the time was up in the middle of a large message: nobody else might finish it

    def post(self, message: Message) -> None:
        """Send without ever blocking. Nothing is raised for a dead link."""
        if self.turns is None:
            self.post_parts(self.wire.encode(message, self.references))
        elif self.turns.may_send(message):
            self.post_parts(self.wire.encode(message, self.references))
            self.turns.after_sending(message)

    def post_parts(self, parts: list[Buffer]) -> None:
        """Send one message, now or by a worker."""
        if self.dead is not None:
            return
        may_send = not self.posted and not self.corked and self.sending.acquire(False)
        self.posted.append(parts)
        if may_send:
            self._send_kept_at_once()
        else:
            self.drain_soon()

    def has_unsent(self) -> bool:
        """Whether something is still on its way out."""
        return self.dead is None and bool(self.posted or self.corked or self._draining)

    def drain_soon(self) -> None:
        """One job at a time: however much is posted to a peer that takes nothing, it holds up one worker at most."""
        if not self._draining:
            self._draining = True
            self.reactor.submit(self._drain)

    def _drain(self) -> None:
        """A worker's job: send what `post` had to keep. For a peer that is slow to take it a thread waits."""
        if not self._drained(A_MOMENT):
            spawn(self._drain_patiently, "tincans-drain")

    def _drain_patiently(self) -> None:
        while self.dead is None and not self._drained(CLOGGED_AFTER):
            pass  # a message that has begun, ours or another thread's, may take as long as it takes

    def _drained(self, timeout: float) -> bool:
        """Whether what was kept has left, or never will; False when it may still. Each step may take `timeout`."""
        if not self.sending.acquire(True, timeout):
            return False
        try:
            self._send_kept(timeout)
            if not self.connection.flush(timeout=timeout):
                return False
            self._draining = False  # before the look at the outbox: `post` does these in the other order
        except WaitTimeoutError:
            if timeout < CLOGGED_AFTER:
                return False
            self.lost(_clogged())
        except TincansError as error:
            self.lost(error)
        finally:
            self.sending.release()
        if self.dead is None and (self.posted or self.corked):
            self.drain_soon()
        return True

    # -- several in one go -----------------------------------------------------------------------------------------

    def reply(self, message: Message, *, timeout: float | None) -> None:
        """Send an answer; while further requests are already here, keep it back to send several at once."""
        if self.dropped:
            self.say_dropped()
        self.reply_parts(self.wire.encode(message, self.references), timeout=timeout)
        if self.turns is not None:
            self.turns.after_sending(message)

    def reply_parts(self, parts: list[Buffer], *, timeout: float | None) -> None:
        """The same for an answer that is encoded already."""
        if self.more_here and self._may_be_corked(parts):
            self.corked.append(parts)
            if not self.more_here or len(self.corked) >= CORK_MESSAGES:
                self.uncork_answers()  # the reader waits for something new by now, or there are enough
        else:
            began = self._begin_answer()
            try:
                self.send_parts(parts, timeout=timeout)
            finally:
                self._end_answer(began)

    def uncork_answers(self) -> None:
        """Let answers leave that were kept back."""
        began = self._begin_answer()
        try:
            self.uncork()
        finally:
            self._end_answer(began)

    def _begin_answer(self) -> float:
        """From now on a worker may be held up by the other end."""
        self._answering.append(began := time.monotonic())
        self.reactor.step_aside()
        return began

    def _end_answer(self, began: float) -> None:
        self._answering.remove(began)
        self.reactor.step_back()

    def is_stuck(self) -> bool:
        """Whether the other end does not take its answers: then it gets no more workers for its requests."""
        try:
            return bool(self._answering) and time.monotonic() - self._answering[0] > STUCK_AFTER
        except IndexError:  # it has just left
            return False

    def send_in_burst(self, message: Message, *, timeout: float | None) -> None:
        """Send a message that others follow soon: it may wait a tick for them."""
        parts = self.wire.encode(message, self.references)
        if self.turns is not None or self.dead is not None or not self._may_be_corked(parts):
            self.send_parts(parts, timeout=timeout)
            return
        self.corked.append(parts)
        if len(self.corked) >= CORK_MESSAGES:
            self.uncork()
        else:
            self.look_soon()

    def _may_be_corked(self, parts: list[Buffer]) -> bool:
        """Only what is short, and certainly no trouble to send: nobody is there any more to hear of it."""
        return len(parts) == 1 and len(parts[0]) < self.short and len(parts[0]) <= self.connection.max_message

    def say_dropped(self) -> None:
        """Tell the other side which of its functions are no longer held."""
        numbers = []
        while self.dropped:
            numbers.append(self.dropped.popleft())
        if self.turns is None:
            self.post(Request(0, RELEASE, tuple(numbers)))

    def uncork(self) -> None:
        """Let what was kept back leave now; blocks while the other end takes nothing. An error ends the link."""
        if not self.corked:
            return
        with self.sending:
            try:
                self._send_kept(CLOGGED_AFTER)
            except WaitTimeoutError:
                self.lost(_clogged())
            except TincansError as error:
                self.lost(error)

    def uncork_at_once(self) -> None:
        """The same without blocking: what cannot leave now is sent by a worker. For whoever has to read on."""
        if not self.corked:
            return
        if self.sending.acquire(True, A_BLINK):
            self._send_kept_at_once()
        else:
            self.drain_soon()

    def _send_kept_at_once(self) -> None:
        """With the sending lock, which is given back: what was kept leaves now, or by a worker."""
        try:
            self._send_kept(0)
            if self.connection.flush(timeout=0):
                return
        except WaitTimeoutError:
            pass
        except TincansError as error:
            self.lost(error)
            return
        finally:
            self.sending.release()
        self.drain_soon()

    def _send_kept(self, timeout: float | None) -> None:
        """What was corked, then what was posted. With the sending lock. WaitTimeoutError: some of it stays."""
        while self.corked:
            self._send_batch(timeout)
        while self.posted:
            with contextlib.suppress(IndexError):  # the end of the link empties it
                self.connection.send(self.posted[0], timeout=timeout)
                self.posted.popleft()

    def _send_batch(self, timeout: float | None) -> None:
        """The first of what was corked. It stays there until it has left: nothing overtakes it."""
        count = min(len(self.corked), CORK_MESSAGES) if self._send_many is not None else 1
        try:
            if self._send_many is None or count == 1:
                self.connection.send(self.corked[0], timeout=timeout)
            else:
                self._send_many([self.corked[number] for number in range(count)], timeout=timeout)
        except WaitTimeoutError:  # none of it has left
            raise
        except BaseException:
            self._forget_corked(count)
            raise
        self._forget_corked(count)

    def _forget_corked(self, count: int) -> None:
        for _ in range(count):
            self.corked.popleft()


def _clogged() -> DisconnectedError:
    return DisconnectedError(f"The other end took nothing for {CLOGGED_AFTER:g} s and was cut.")
