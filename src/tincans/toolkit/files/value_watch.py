"""Changes of one value that stands in a file: look, compare with what was told last, sleep until the file changes.

Rules of this file
- The first look tells the present value. Between two looks only the latest change counts.
- A program that does not know of versions may have changed the value: then it is the value that tells.
"""

from __future__ import annotations

from collections.abc import Callable

from tincans.contracts import Change
from tincans.errors import ClosedError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.files.change_watch import ChangeWatch

Look = Callable[[], Change | None]


class ValueWatch:
    """contracts.Subscription for one key. `look` gives its present value, `watch` notices changes of the file."""

    def __init__(self, key: str, look: Look, watch: ChangeWatch) -> None:
        self.dropped = 0
        self._key = key
        self._look = look
        self._watch = watch
        self._told: Change | None = None
        self._version = 0

    def receive(self, *, timeout: float | None) -> Change | None:
        """The next change, None when there is none within `timeout`. ClosedError after `close`."""
        deadline = deadline_of(timeout)
        while not self._watch.closed:
            change = self._changed(self._look())
            if change is not None:
                return change
            left = left_of(deadline)
            if left is not None and left <= 0:
                return None
            self._watch.wait(timeout=left)
        raise ClosedError(f"This watch of {self._key!r} was closed.")

    def _changed(self, found: Change | None) -> Change | None:
        told = self._told
        if found is None:
            if told is None:
                return None
            self._told, self._version = None, self._version + 1
            return Change(self._key, None, self._version, deleted=True)
        if told is not None and (told.version, told.value) == (found.version, found.value):
            return None
        self._told = found
        self._version = max(found.version, self._version + 1)
        return Change(self._key, found.value, self._version)

    def close(self) -> None:
        """End it; a waiting `receive` raises ClosedError."""
        self._watch.close()
