"""Calls in a JSON document: `"commands": {"<uuid>": {"command": "add", "args": [2, 5], "result": 7}}`.

Rules of this file
- A command without "result" and "error" is to be done; whoever serves puts one of the two there. No other program need
  be ours: whoever follows this layout and takes the lock may be either side.
- Of a message only the first part is looked at, the number by which the two ends of a connection know a call; here it
  stands for the command's uuid.
- When a command was done stands apart, under "finished" (seconds since 1970), so that old ones can be cleaned up.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import msgspec

from tincans.contracts import Buffer, Identity, Parts
from tincans.errors import ClosedError, TincansError, TooLargeError, WaitTimeoutError
from tincans.toolkit.change_watch import ChangeWatch
from tincans.toolkit.descriptor_writer import size
from tincans.toolkit.json_document import Content, Draft, JsonDocument

AT_ONCE = 256
"""Commands that are handed out to the serving program before the first of them is answered."""

GRACE = 60.0
"""Seconds that a result stays at least: its caller may not have looked yet."""

TRY_AGAIN = 0.1
"""Seconds after which what could not be written is tried again."""

GIVEN_UP = b"null"
_OUTCOMES = ("result", "error")
_REMOVED = b'{"error":"DisconnectedError: its command was removed from the file before it was answered"}'
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
log = logging.getLogger("tincans")


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
        self._watch = ChangeWatch(document.path.parent)
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
            if (total := size(parts)) > self.max_message:
                raise TooLargeError(f"A message of {total:,} bytes was not sent; the limit is {self.max_message:,}.")
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
        deadline = None if timeout is None else time.monotonic() + timeout
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
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._watch.wait(left)

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


class CallingConnection(DocumentConnection):
    """The end that calls: its commands, and their outcomes when somebody has put them there."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self._waiting: dict[str, int] = {}
        self._written: set[str] = set()
        self._collected: set[str] = set()

    def _write_or_take_back(self, added: list[tuple[int, bytes]], timeout: float | None) -> None:
        try:
            self._write(timeout)
        except BaseException:
            for each in added:
                if each in self._out:
                    self._out.remove(each)
            raise

    def _write(self, timeout: float | None) -> None:
        with self._writing:
            taken, asked = list(self._out), dict[str, int]()
            try:
                with self._document.changing(timeout=timeout) as draft:
                    self._enter(draft.section("commands"), taken, asked)
                    self._keeping.clean(draft, self._collected)
                    self._collected.intersection_update(draft.section("commands"))
                    self._waiting.update(asked)  # before anybody can see, and answer, them
            except BaseException:
                for id in asked:
                    self._waiting.pop(id, None)
                raise
            self._written.update(asked)
            for _ in taken:
                self._out.popleft()

    def _enter(self, commands: Content, taken: list[tuple[int, bytes]], asked: dict[str, int]) -> None:
        for number, text in taken:
            if text == GIVEN_UP:
                for waiting in (self._waiting, asked):
                    for id in [id for id, each in list(waiting.items()) if each == number]:
                        waiting.pop(id, None)
                        if not is_answered(commands.get(id)):
                            commands.pop(id, None)
                continue
            id = str(uuid.uuid4())
            commands[id] = _decode(text)
            if number:
                asked[id] = number

    def _take_in(self, content: Content) -> None:
        commands = content.get("commands", {})
        for id, number in list(self._waiting.items()):
            entry = commands.get(id)
            if is_answered(entry):
                text = outcome(entry)
            elif entry is None and id in self._written and id not in self._document.now().get("commands", {}):
                text = _REMOVED
            else:
                continue
            if self._waiting.pop(id, None) is not None:
                self._written.discard(id)
                self._collected.add(id)
                self._ready.append([str(number).encode(), text])


class ServingConnection(DocumentConnection):
    """The end that serves: commands that wait, each once, and the outcomes it puts there."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self._numbers: dict[int, str] = {}
        self._taken: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._next = 1
        self._is_in_trouble = False

    def _write_or_take_back(self, added: list[tuple[int, bytes]], timeout: float | None) -> None:
        """Nothing is taken back, for somebody waits for it: it is tried again as long as there is time, and later."""
        self.flush(timeout=timeout)

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection. A full disk, or a file that is damaged for a while, is waited for."""
        deadline = time.monotonic() + (GRACE if timeout is None else timeout)
        while self._out and timeout != 0 and not self._watch.closed:
            left = deadline - time.monotonic()
            if self._could_write(left) or left <= 0:
                break
            time.sleep(min(TRY_AGAIN, left))
        return not self._out

    def _could_write(self, timeout: float) -> bool:
        try:
            self._write(timeout)
        except ClosedError:
            return False
        except TincansError as error:
            self._complain(error)
            return False
        return True

    def _write(self, timeout: float | None) -> None:
        with self._writing:
            taken, refused = list(self._out), dict(self._refused)
            if not taken and not refused:
                return
            with self._document.changing(timeout=timeout) as draft:
                self._answer(draft.section("commands"), taken, refused)
                self._keeping.clean(draft, set())
            for number, _ in taken:
                self._out.popleft()
                self._taken.pop(self._numbers.pop(number, ""), None)
            for id in refused:
                self._refused.pop(id, None)
            self._is_in_trouble = False

    def _answer(self, commands: Content, taken: list[tuple[int, bytes]], refused: dict[str, str]) -> None:
        for number, text in taken:
            entry = commands.get(self._numbers.get(number, ""))
            if isinstance(entry, dict) and not is_answered(entry):
                entry.update(_decode(text))
        for id, reason in refused.items():
            if id in commands and not is_answered(commands[id]):
                entry = commands[id] if isinstance(commands[id], dict) else {"command": commands[id]}
                commands[id] = entry | {"error": reason}

    def _look(self) -> Content | None:
        """A file that is damaged for a while must not end the service: it is looked at again after each change."""
        try:
            if self._out and not self._writing.locked():
                self._write(0.05)
            return self._document.now()
        except ClosedError:
            raise
        except TincansError as error:
            self._complain(error)
            return None

    def _complain(self, error: TincansError) -> None:
        if not self._is_in_trouble:
            self._is_in_trouble = True
            log.warning("Serving goes on when this is mended: %s", error)

    def _take_in(self, content: Content) -> None:
        commands = content.get("commands", {})
        for id, number in list(self._taken.items()):
            if id not in commands and self._taken.pop(id, None) is not None:  # given up by its caller
                self._numbers.pop(number, None)
                self._ready.append([str(number).encode(), GIVEN_UP])
        for id, entry in commands.items():
            if len(self._taken) >= AT_ONCE:
                break
            if id not in self._taken and not is_answered(entry):
                self._take(id, entry)
        if self._refused:
            self._could_write(TRY_AGAIN)

    def _take(self, id: str, entry: Any) -> None:
        fault = _fault(entry)
        if fault:
            self._refused[id] = fault
            return
        number = self._next
        self._next += 2
        self._numbers[number], self._taken[id] = id, number
        self._ready.append([str(number).encode(), _encode(entry)])


def _fault(entry: Any) -> str:
    """What is wrong with a command that another program has written; "" when nothing is."""
    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
        return 'ProtocolError: a command is an object with the name of a function as its "command"'
    if not isinstance(entry.get("args", []), list) or not isinstance(entry.get("kwargs") or {}, dict):
        return 'ProtocolError: "args" is a list, and "kwargs" an object'
    if entry["command"].startswith("$") and entry["command"] != "$describe":
        return "NotExposedError: names that begin with $ are reserved"
    return ""


class DocumentAnswers:
    """contracts.Answers: a ticket is the command's uuid."""

    def __init__(self, document: JsonDocument) -> None:
        self._document = document

    def leave(self, parts: Parts, *, timeout: float | None) -> str:
        """See contracts.Answers."""
        id = str(uuid.uuid4())
        with self._document.changing(timeout=timeout) as draft:
            draft.section("commands")[id] = _decode(bytes(parts[1]))
        return id

    def collect(self, ticket: str, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Answers."""
        found = self._found(ticket)
        if found is not None or timeout == 0:
            return found
        deadline = None if timeout is None else time.monotonic() + timeout
        watch = ChangeWatch(self._document.path.parent)
        try:
            while (found := self._found(ticket)) is None:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                watch.wait(left)
        finally:
            watch.close()
        return found

    def _found(self, ticket: str) -> list[Buffer] | None:
        entry = self._document.now().get("commands", {}).get(ticket)
        if entry is None:
            raise LookupError(f"{self._document.path} has no command {ticket!r}: it never had, or it was cleaned up.")
        return [b"1", outcome(entry)] if is_answered(entry) else None
