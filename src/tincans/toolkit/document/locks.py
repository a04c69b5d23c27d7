"""Locks for the programs that share a JSON document.

Rules of this file
- The locks are kernel locks in PATH.locks; their tokens are counted in the document.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

from tincans.core.hub import arguments
from tincans.errors import LeaseLostError
from tincans.toolkit.document.json_document import JsonDocument
from tincans.toolkit.files.byte_lock import ByteLock
from tincans.toolkit.files.range_lock import RangeLocks


class DocumentLocks:
    """contracts.Locks. A holder that dies, however it dies, has given back what it held."""

    def __init__(self, document: JsonDocument) -> None:
        self._document = document
        self._locks = RangeLocks(document.path.with_name(f"{document.path.name}.locks"))
        self._grants: dict[tuple[str, Hashable], ByteLock] = {}
        self._guard = threading.Lock()
        self.close = self._locks.close

    def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None:
        """See contracts.Locks."""
        grant = self._locks.acquire(arguments.name("lock", name), timeout=timeout)
        if grant is None:
            return None
        try:
            with self._document.changing(timeout=None) as draft:
                token = draft.next_number()
        except BaseException:
            self._locks.release(grant)
            raise
        with self._guard:
            self._grants[name, owner] = grant
        return token

    def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None:
        """See contracts.Locks."""
        with self._guard:
            grant = self._grants.pop((name, owner), None)
        if grant is None:
            raise LeaseLostError(f"The lock {name!r} is not held by {owner!r} of this program any more.")
        self._locks.release(grant)
