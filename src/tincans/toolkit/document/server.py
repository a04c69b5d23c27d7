"""The serving end of a JSON document (connection.py): hands out commands, writes down their outcomes.

Rules of this file
- Nothing that stands in the file may end the service: a command that is none gets its fault as its outcome, and a file
  that is damaged, or a disk that is full, is waited for.
- An outcome that cannot be written is kept and tried again, for somebody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from tincans.core.log import log
from tincans.errors import ClosedError, TincansError, WaitTimeoutError
from tincans.toolkit.document.connection import GIVEN_UP, GRACE, DocumentConnection, is_answered
from tincans.toolkit.document.json_document import Content

AT_ONCE = 256
"""Commands that are handed out to the serving program before the first of them is answered."""

TRY_AGAIN = 0.1
"""Seconds after which what could not be written is tried again."""

LONG = 5.0
"""Seconds for which others hold the lock, after which that is worth a warning."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class ServingConnection(DocumentConnection):
    """The end that serves: commands that wait, each once, and the outcomes it puts there."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self._numbers: dict[int, str] = {}
        self._taken: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._next = 1
        self._is_in_trouble = False
        self.at_end: Callable[[], object] = _nothing
        """Called when it is closed: until then nobody else may serve."""

    def close(self) -> None:
        """See contracts.Connection."""
        super().close()
        self.at_end()

    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._watch.closed

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
        except WaitTimeoutError as error:
            if timeout >= LONG:
                self._complain(error)
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
        if self._out and not self._writing.locked():
            self._could_write(TRY_AGAIN)
        try:
            return self._document.now()
        except ClosedError:
            raise
        except TincansError as error:
            self._complain(error)
            return None

    def _complain(self, error: TincansError) -> None:
        if not self._is_in_trouble:
            self._is_in_trouble = True
            log().warning("Serving goes on when this is mended: %s", error)

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


def _nothing() -> None:
    """Nobody waits for its end."""


def _fault(entry: Any) -> str:
    """What is wrong with a command that another program has written; "" when nothing is."""
    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
        return 'ProtocolError: a command is an object with the name of a function as its "command"'
    if not isinstance(entry.get("args", []), list) or not isinstance(entry.get("kwargs") or {}, dict):
        return 'ProtocolError: "args" is a list, and "kwargs" an object'
    if entry["command"].startswith("$") and entry["command"] != "$describe":
        return "NotExposedError: names that begin with $ are reserved"
    return ""
