"""A connection whose wire must remember what was said: foreign ids, batches, how messages are told apart.

Rules of this file
- Only wires with a `conversation` pay for it; the conversation does no I/O, and is used by one thread at a time.
- What the conversation owes (an error for nonsense) is sent by whoever is not kept waiting by it: the receiver when
  nobody sends, else the sender after his own.
- Who asks much nonsense and reads no answer is cut.
"""

from __future__ import annotations

import threading
from typing import Any

from tincans.contracts import Buffer, Connection, Parts, Wire
from tincans.errors import DisconnectedError, WaitTimeoutError
from tincans.toolkit.deadline import deadline_of, left_of

MOST_OWED = 1000


def conversing(connection: Connection, wire: Wire, *, connecting: bool) -> Connection:
    """The connection as the wire needs it."""
    begin = getattr(wire, "conversation", None)
    return connection if begin is None else ConversingConnection(connection, begin(connecting=connecting))


class ConversingConnection:
    """contracts.Connection: texts of the wire this side, a conversation on the other."""

    def __init__(self, inner: Connection, conversation: Any) -> None:
        self.identity = inner.identity
        self._inner = inner
        self._conversation = conversation
        self._guard = threading.Lock()
        self._sending = threading.Lock()
        conversation.max_message = inner.max_message
        prepare = getattr(inner, "prepare_wait", None)
        if prepare is not None:
            self.prepare_wait = lambda: bool(conversation.messages) or prepare()

    @property
    def max_message(self) -> int:
        """Bytes of the largest text, both ways."""
        return self._inner.max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        self._inner.max_message = self._conversation.max_message = size

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        with self._guard:
            data = self._conversation.say(b"".join(parts))
            unsay = self._conversation.saying()
        if data:
            try:
                with self._sending:
                    self._inner.send([data], timeout=timeout)
            except WaitTimeoutError:  # nothing left: it is said again, or something in its place
                with self._guard:
                    unsay()
                raise
        self._say_owed(0)

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        with self._sending:
            return self._inner.flush(timeout=timeout)

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        messages = self._conversation.messages
        deadline = deadline_of(timeout)
        while not messages:
            parts = self._inner.receive(timeout=left_of(deadline))
            if parts is None:
                return None
            with self._guard:
                for part in parts:
                    self._conversation.hear(part)
            self._say_owed(timeout)
        return [messages.popleft()]

    def _say_owed(self, timeout: float | None) -> None:
        owed = self._conversation.owed
        while owed and self._sending.acquire(False):
            try:
                while owed:
                    self._inner.send([owed[0]], timeout=min(1.0, timeout or 0.0))
                    owed.popleft()
                self._inner.flush(timeout=0)
            except WaitTimeoutError:
                if len(owed) > MOST_OWED:
                    raise DisconnectedError(
                        "The other end asked much that makes no sense and read no answer."
                    ) from None
                return
            finally:
                self._sending.release()

    def pending(self) -> bool:
        """See contracts.Connection."""
        return bool(self._conversation.messages) or self._inner.pending()

    def finish(self) -> None:
        """See contracts.Connection."""
        self._inner.finish()  # type: ignore[attr-defined]

    def close(self) -> None:
        """See contracts.Connection."""
        self._inner.close()

    def abandon(self) -> None:
        """See contracts.Connection."""
        self._guard, self._sending = threading.Lock(), threading.Lock()
        self._inner.abandon()

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return self._inner.fileno()
