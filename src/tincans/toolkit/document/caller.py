"""The calling end of a JSON document (connection.py): writes commands, waits for their outcomes.

Rules of this file
- A call that is given up is taken out of the file, unless it is done already.
- What a live caller has collected goes first when the file holds too many finished commands.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from tincans.toolkit.document.connection import GIVEN_UP, DocumentConnection, is_answered, outcome
from tincans.toolkit.document.json_document import Content

_REMOVED = b'{"error":"DisconnectedError: its command was removed from the file before it was answered"}'
_decode = msgspec.json.Decoder().decode


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
