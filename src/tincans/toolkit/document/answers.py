"""Calls left in a JSON document for a program that may not run now; a ticket is the command's uuid."""

from __future__ import annotations

import uuid

import msgspec

from tincans.contracts import Buffer, Parts
from tincans.toolkit.document.connection import is_answered, outcome
from tincans.toolkit.document.json_document import JsonDocument
from tincans.toolkit.files.change_watch import until

_decode = msgspec.json.Decoder().decode


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
        return until(lambda: self._found(ticket), self._document.path.parent, timeout=timeout)

    def _found(self, ticket: str) -> list[Buffer] | None:
        entry = self._document.now().get("commands", {}).get(ticket)
        if entry is None:
            raise LookupError(f"{self._document.path} has no command {ticket!r}: it never had, or it was cleaned up.")
        return [b"1", outcome(entry)] if is_answered(entry) else None
