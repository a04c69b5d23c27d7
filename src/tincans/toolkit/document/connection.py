"""Calls in a JSON document: `"commands": {"<uuid>": {"command": "add", "args": [2, 5], "result": 7}}`.

Rules of this file
- A command without "result" and "error" is to be done; whoever serves puts one of the two there. No other program need
  be ours: whoever follows this layout and takes the lock may be either side.
- Of a message only the first part is looked at, the number by which the two ends of a connection know a call; here it
  stands for the command's uuid.
- When a command was done stands apart, under "finished" (seconds since 1970), so that old ones can be cleaned up.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import msgspec

from tincans.contracts import Buffer, Identity, Parts
from tincans.core.sizes import size_of, too_large
from tincans.errors import ClosedError, WaitTimeoutError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.document.json_document import Content, Draft, JsonDocument
from tincans.toolkit.files.change_watch import watch_path

GRACE = 60.0
"""Seconds that a result stays at least: its caller may not have looked yet."""

GIVEN_UP = b"null"
_OUTCOMES = ("result", "error")
_encode = msgspec.json.Encoder().encode


def is_answered(entry: Any) -> bool:
    """Whether a command is done."""
    return isinstance(entry, dict) and any(word in entry for word in _OUTCOMES)


def outcome(entry: dict[str, Any]) -> bytes:
    """What became of it, as JSON."""
    return _encode({word: entry[word] for word in _OUTCOMES if word in entry})


class Keeping:
    """How many finished commands stay, and for how many seconds."""

    def __init__(self, count: int, seconds: float) -> None:
        self.count = count
        self.seconds = seconds

    def clean(self, draft: Draft, collected: set[str]) -> None:
        """Remove those that are too old, and the oldest that are too many. `collected`: nobody waits for these."""
        commands, finished = draft.section("commands"), draft.section("finished")
        now = time.time()
        for id in [id for id in finished if id not in commands]:
            del finished[id]
        done = [id for id, entry in commands.items() if is_answered(entry)]
        for id in done:
            finished.setdefault(id, now)
        too_many = len(done) - self.count
        for id in done:
            age = now - _time(finished[id], now)
            if age > self.seconds or (too_many > 0 and (age > GRACE or id in collected)):
                del commands[id], finished[id]
                too_many -= 1


def _time(value: Any, now: float) -> float:
    return value if isinstance(value, (int, float)) else now


class DocumentConnection(ABC):
    """See contracts.Connection: what both ends have in common."""

    def __init__(self, document: JsonDocument, keeping: Keeping, url: str, max_message: int, uid: int) -> None:
        self.identity = Identity(uid=uid, address=url)
        self.max_message = max_message
        self._document = document
        self._keeping = keeping
        self._watch = watch_path(document.path.parent)
        self._out: deque[tuple[int, bytes]] = deque()
        self._ready: deque[list[Buffer]] = deque()
        self._has_looked = False
        self._writing = threading.Lock()

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        self.send_many([parts], timeout=timeout)

    def send_many(self, messages: list[Parts], *, timeout: float | None) -> None:
        """See contracts.Connection. With a timeout of 0 nothing is written yet: `flush` does it."""
        self._check_open()
        for parts in messages:
            if (total := size_of(parts)) > self.max_message:
                raise too_large(total, self.max_message)
        added = [(int(bytes(number)), bytes(text)) for number, text in messages]
        self._out.extend(added)
        if timeout != 0:
            self._write_or_take_back(added, timeout)

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        if timeout != 0 and self._out:
            try:
                self._write(timeout)
            except WaitTimeoutError:
                return False
        return not self._out

    @abstractmethod
    def _write_or_take_back(self, added: list[tuple[int, bytes]], timeout: float | None) -> None:
        """Write what waits; `added` is the last of it, which must not stay when that raises."""

    @abstractmethod
    def _write(self, timeout: float | None) -> None:
        """Write what waits."""

    @abstractmethod
    def _take_in(self, content: Content) -> None:
        """Put what concerns us into `_ready`."""

    def _look(self) -> Content | None:
        return self._document.now()

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        deadline = deadline_of(timeout)
        while True:
            self._check_open()
            if not self._ready:
                self._watch.silence()
                self._has_looked = True
                content = self._look()
                if content is not None:
                    self._take_in(content)
            if self._ready:
                return self._ready.popleft()
            left = left_of(deadline)
            if left is not None and left <= 0:
                return None
            self._watch.wait(timeout=left)

    def pending(self) -> bool:
        """See contracts.Connection."""
        return bool(self._ready) or not self._has_looked

    def close(self) -> None:
        """See contracts.Connection."""
        self._watch.close()
        self._document.close()

    def abandon(self) -> None:
        """See contracts.Connection."""
        self._watch.abandon()
        self._document.abandon()

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return self._watch.fileno()

    def _check_open(self) -> None:
        if self._watch.closed:
            raise ClosedError("This was closed on this side; connect, or serve, again to go on.")
