"""A Connection over a pair of message queues: a stream of bytes, cut into the queue's small messages.

Rules of this file
- Each end holds the kernel lock of the queue that it reads; before an end sleeps it looks whether the other still does.
- A sleeper is woken by a message, by room, by the other program's death (its pidfd), or by `close`.
- An end that closes gives up its lock first, then says so by an empty message, if there is room; and it takes one
  message out, so that a sender who waits for room looks up. So nobody sleeps on.
- What arrived before the end is handed out first.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Sequence
from typing import Literal

from tincans.contracts import Buffer, Framing, Identity, Parts
from tincans.core.sizes import size_of, too_large
from tincans.errors import ClosedError, DisconnectedError, ProtocolError, WaitTimeoutError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.mq.message_queue import MessageQueue

BYE = b""
_AT_ONCE = 256
"""Queue messages that one receive goes on after its time: a bounded number, so that nobody holds up an event loop."""
_LOOK_EVERY = 0.05
"""Seconds between two looks at the other end, where the system gives no pidfd."""


def watch(pid: int | None) -> int:
    """A descriptor that is readable when the program has ended, -1 where there is none."""
    try:
        return os.pidfd_open(pid) if pid else -1
    except (OSError, AttributeError):
        return -1


class QueueConnection:
    """See contracts.Connection. Both queues, and the descriptor of `watch`, belong to this object from now on."""

    def __init__(
        self,
        inbox: MessageQueue,
        outbox: MessageQueue,
        *,
        framing: Framing,
        identity: Identity,
        max_message: int,
        watched: int,
    ) -> None:
        self.identity = identity
        self._inbox = inbox
        self._outbox = outbox
        self._encode = framing.encode
        self._decoder = framing.decoder(max_message)
        self._max_message = max_message
        self._watched = watched
        self._kept = memoryview(b"")
        self._ahead: list[Buffer] | None = None
        self._over = False
        self._garbage = ""
        self._closed = self._closing = self._sending = self._receiving = self._disposed = False
        self._bell = Doorbell()
        self._events = select.epoll()
        for fd in (inbox.fd, self._bell.fileno(), watched):
            if fd >= 0:
                self._events.register(fd, select.EPOLLIN)
        abandon_in_child(self)

    @property
    def max_message(self) -> int:
        """The largest message in bytes, both ways."""
        return self._max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        self._max_message = self._decoder.max_message = size

    # -- sending ---------------------------------------------------------------------------------------------

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        self.send_many([parts], timeout=timeout)

    def send_many(self, messages: Sequence[Parts], *, timeout: float | None) -> None:
        """See contracts.Connection: a queue has few places, and as many messages as fit share one."""
        for parts in messages:
            if (total := size_of(parts)) > self._max_message:
                raise too_large(total, self._max_message)
        data = memoryview(b"".join([buffer for parts in messages for buffer in self._encode(parts)]))
        deadline = deadline_of(timeout)
        self._sending = True
        try:
            self._check_open()
            self._kept, left = self._written(self._kept, deadline)
            if left:
                rest, left = self._written(data, deadline)
                if left or len(rest) < len(data):
                    self._kept = rest
                    return
            raise WaitTimeoutError(
                f"The other end did not take a message within {timeout} s; nothing of it was sent. It may be busy."
            )
        finally:
            self._sending = False
            self._leave()

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        deadline = deadline_of(timeout)
        self._sending = True
        try:
            self._check_open()
            self._kept, left = self._written(self._kept, deadline)
            return left
        finally:
            self._sending = False
            self._leave()

    def _written(self, data: memoryview, deadline: float | None) -> tuple[memoryview, bool]:
        """What has not left by the deadline, and whether all has."""
        if data and not self._lives():
            raise self._gone("not_sent")
        while data:
            if self._outbox.send(bytes(data[: self._outbox.size])):
                data = data[self._outbox.size :]
                continue
            left = left_of(deadline)
            if left is not None and left <= 0:
                return data, False
            self._wait_for_room(left)
            self._check_open()
            if not self._lives():
                raise self._gone("unknown")
        return data, True

    def _wait_for_room(self, seconds: float | None) -> None:
        poll = select.poll()
        poll.register(self._outbox.fd, select.POLLOUT)
        poll.register(self._bell.fileno(), select.POLLIN)
        if self._watched >= 0:
            poll.register(self._watched, select.POLLIN)
        poll.poll(self._slice(seconds) * 1000)

    def _slice(self, seconds: float | None) -> float:
        if self._watched < 0:
            return min(seconds or _LOOK_EVERY, _LOOK_EVERY)
        return 3600.0 if seconds is None else max(0.001, seconds)

    # -- receiving -------------------------------------------------------------------------------------------

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        deadline = deadline_of(timeout)
        self._receiving = True
        try:
            return self._receive(deadline)
        except ProtocolError as error:
            self._garbage = str(error)
            raise
        finally:
            self._receiving = False
            self._leave()

    def _receive(self, deadline: float | None) -> list[Buffer] | None:
        taken = 0
        while True:
            self._check_open()
            if self._garbage:
                raise ProtocolError(self._garbage)
            message, self._ahead = self._ahead, None
            if message is None:
                message = self._decoder.next()
            if message is not None:
                return message
            left = left_of(deadline)
            if self._take_in():
                taken += left is not None and left <= 0
                if taken > _AT_ONCE:
                    return None
                continue
            if left is not None and left <= 0:
                return None
            self._events.poll(self._slice(left), 1)

    def _take_in(self) -> bool:
        """Whether a message of the queue came in. DisconnectedError when none will any more."""
        over = self._over or not self._lives()  # looked at before the queue: what it sent before it left is there
        data = self._inbox.receive()
        if data:
            self._decoder.feed(data)
            return True
        if data == BYE or over:
            self._over = True
            raise self._gone(None)
        return False

    def _lives(self) -> bool:
        """Whether the other end still reads."""
        if not self._outbox.owned():
            return False
        if self._watched < 0:
            return True
        poll = select.poll()
        poll.register(self._watched, select.POLLIN)
        return not poll.poll(0)

    def pending(self) -> bool:
        """See contracts.Connection."""
        if self._ahead is None and not self._receiving and not self._garbage:
            try:
                self._ahead = self._decoder.next()
            except ProtocolError as error:
                self._garbage = str(error)
        return self._ahead is not None or bool(self._garbage)

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See contracts.Connection."""
        if not self._closed:
            self._closing = self._closed = True  # whoever leaves meanwhile lets us ring before he gives anything back
            self._bell.ring()
            self._inbox.disown()
            with contextlib.suppress(Exception):  # the kernel may refuse whatever it likes now
                self._outbox.send(BYE)
                self._inbox.receive()
            self._closing = False
        self._leave()

    def abandon(self) -> None:
        """See contracts.Connection. The locks stay the parent's."""
        self._closed = True
        self._sending = self._receiving = self._closing = False
        self._leave()

    def _leave(self) -> None:
        """Give the descriptors back when nobody is inside any more."""
        if self._closed and not (self._sending or self._receiving or self._closing or self._disposed):
            self._disposed = True
            self._events.close()
            self._bell.close()
            self._inbox.close()
            self._outbox.close()
            if self._watched >= 0:
                os.close(self._watched)

    def fileno(self) -> int | None:
        """See contracts.Connection. None where the system cannot tell of the other program's death by a descriptor."""
        self._check_open()
        return self._events.fileno() if self._watched >= 0 else None

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("This connection was closed on this side. Connect again to go on.")

    def _gone(self, outcome: Literal["not_sent", "unknown"] | None) -> DisconnectedError:
        gone = DisconnectedError(f"The other end at {self.identity.address} is gone.", outcome=outcome)
        gone.cut = outcome is None and not getattr(self._decoder, "idle", True)
        return gone
