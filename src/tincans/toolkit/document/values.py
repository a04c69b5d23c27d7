"""Values and flags in a JSON document: `"state": {"mood": "good"}`, `"flags": {"paused": true}`.

Rules of this file
- Versions stand apart, under "versions", so that a person or a script may change a value without them: whoever watches
  sees that by the value.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tincans.contracts import Change, Wire
from tincans.core.hub import arguments
from tincans.toolkit.document.json_document import JsonDocument
from tincans.toolkit.files.change_watch import watch_path
from tincans.toolkit.files.value_watch import ValueWatch

FLAG = "flag:"
_encode = msgspec.json.Encoder().encode


class DocumentValues:
    """contracts.Values in a JsonDocument."""

    def __init__(self, document: JsonDocument, wire: Wire) -> None:
        self._document = document
        self._wire = wire

    def get(self, key: str, *, timeout: float | None = None) -> Change | None:
        """See contracts.Values."""
        content = self._document.now()
        part, name = _place(key)
        values = content.get(part, {})
        if name not in values:
            return None
        version = content.get("versions", {}).get(key, 0)
        return Change(key, self._wire.unpack(_encode(values[name])), version if isinstance(version, int) else 0)

    def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        """See contracts.Values."""
        part, name = _place(arguments.name("key", key))
        plain = msgspec.json.decode(self._wire.pack(value))
        with self._document.changing(timeout=timeout) as draft:
            draft.section(part)[name] = plain
            draft.section("versions")[key] = draft.next_number()

    def delete(self, key: str, *, timeout: float | None) -> bool:
        """See contracts.Values."""
        part, name = _place(key)
        with self._document.changing(timeout=timeout) as draft:
            values = draft.section(part)
            if name not in values:
                draft.unchanged()
                return False
            del values[name]
            draft.section("versions").pop(key, None)
            draft.next_number()
            return True

    def keys(self, *, timeout: float | None) -> list[str]:
        """See contracts.Values."""
        content = self._document.now()
        return sorted([*content.get("state", {}), *(FLAG + name for name in content.get("flags", {}))])

    def watch(self, key: str, *, timeout: float | None) -> ValueWatch:
        """See contracts.Values."""
        return ValueWatch(key, lambda: self.get(key), watch_path(self._document.path.parent))


def _place(key: str) -> tuple[str, str]:
    return ("flags", key[len(FLAG) :]) if key.startswith(FLAG) else ("state", key)
