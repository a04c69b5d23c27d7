"""A bounded queue between two ends in one program, either of which may leave.

Rules of this file
- Nothing is dropped: a sender waits for room, or is told that there was none in time.
- The lock is reentrant, for the end of a forgotten object may come in the middle of anything, also of `put`.
- The descriptor to poll is made only for those who ask for it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from tincans.errors import ClosedError, DisconnectedError, WaitTimeoutError
from tincans.toolkit.doorbell import Doorbell


class BoundedQueue:
    """A bounded queue from one end to the other. Either end may leave; the other is told at once.

    What was put before the sender left is handed out before that is told.

    >>> queue = BoundedQueue(1)
    >>> queue.put("hello", timeout=0)
    >>> queue.leave_sender()
    >>> queue.take(timeout=0)
    'hello'
    """

    def __init__(self, capacity: int) -> None:
        self._changed = threading.Condition()
        self._items: deque[Any] = deque()
        self._capacity = capacity
        self._bell: Doorbell | None = None
        self._sender_left = self._receiver_left = False

    def put(self, item: object, *, timeout: float | None) -> None:
        """ClosedError after `leave_sender`, DisconnectedError after `leave_receiver`, WaitTimeoutError when full."""
        with self._changed:
            self._changed.wait_for(self._can_put, timeout)
            self._check_sender()
            if len(self._items) >= self._capacity:
                raise WaitTimeoutError(
                    f"The other end took nothing for {timeout or 0:g} s: {self._capacity} messages wait."
                    " This one was not sent."
                )
            self._items.append(item)
            self._changed.notify_all()
            if self._bell is not None:
                self._bell.ring()

    def check_sender(self) -> None:
        """The errors of `put`, without putting anything."""
        with self._changed:
            self._check_sender()

    def _check_sender(self) -> None:
        if self._sender_left:
            raise _closed_here()
        if self._receiver_left:
            raise DisconnectedError("The other end in this program was closed.", outcome="not_sent")

    def _can_put(self) -> bool:
        return self._sender_left or self._receiver_left or len(self._items) < self._capacity

    def take(self, *, timeout: float | None) -> Any | None:
        """The next item, None when `timeout` has passed.

        ClosedError after `leave_receiver`, DisconnectedError after `leave_sender`.
        """
        with self._changed:
            self._changed.wait_for(self._can_take, timeout)
            if self._receiver_left:
                raise _closed_here()
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                if self._bell is not None and not self._can_take():
                    self._bell.silence()
                return item
            if self._sender_left:
                raise DisconnectedError("The other end in this program was closed.")
            return None

    def _can_take(self) -> bool:
        return bool(self._items) or self._sender_left or self._receiver_left

    def leave_sender(self) -> None:
        """The sending end closes."""
        with self._changed:
            self._sender_left = True
            self._changed.notify_all()
            if self._bell is not None:
                self._bell.ring()

    def leave_receiver(self) -> list[Any]:
        """The receiving end closes. What nobody will take now, to be let go of."""
        with self._changed:
            self._receiver_left = True
            left, self._items = list(self._items), deque()
            self._changed.notify_all()
            if self._bell is not None:
                self._bell.close()
                self._bell = None
        return left

    def waiting(self) -> bool:
        """Whether something can be taken at once."""
        return bool(self._items)

    def fileno(self) -> int | None:
        """A descriptor, made when first asked for, that polls readable while `take` would not wait."""
        with self._changed:
            if self._bell is None and not self._receiver_left:
                self._bell = Doorbell()
                if self._can_take():
                    self._bell.ring()
            return None if self._bell is None else self._bell.fileno()

    def abandon(self) -> None:
        """In a forked child: count as left by both ends, whatever threads of the parent were doing here."""
        self._changed = threading.Condition()
        self._sender_left = True
        self.leave_receiver()


def _closed_here() -> ClosedError:
    return ClosedError("This was closed on this side; connect, or serve, again to go on.")
