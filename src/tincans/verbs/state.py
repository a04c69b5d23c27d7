"""Named values, and flags, which are values that are true or false.

Rules of this file
- Every read asks the board: nothing is kept here that could be old.
- A flag's key has a prefix of its own, so that it is no key of the user's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tincans.contracts import Values
from tincans.core.patience import patience
from tincans.verbs.messages import Messages

FLAG_PREFIX = "flag:"


class State:
    """Named values: `state["k"] = v`, `state["k"]`, `del state["k"]`, `"k" in state`, `state.watch("k")`."""

    def __init__(self, values: Values, timeout: float | None = 30.0) -> None:
        self._values = values
        self._timeout = timeout

    def __getitem__(self, key: str) -> Any:
        change = self._values.get(key, timeout=self._timeout)
        if change is None:
            raise KeyError(key)
        return change.value

    def __setitem__(self, key: str, value: Any) -> None:
        self._values.set(key, value, timeout=self._timeout)

    def __delitem__(self, key: str) -> None:
        if not self._values.delete(key, timeout=self._timeout):
            raise KeyError(key)

    def __contains__(self, key: str) -> bool:
        return self._values.get(key, timeout=self._timeout) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """All keys, without those of flags."""
        return [k for k in self._values.keys(timeout=self._timeout) if not k.startswith(FLAG_PREFIX)]

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        change = self._values.get(key, timeout=self._timeout)
        return default if change is None else change.value

    def set(self, key: str, value: Any) -> None:
        """The same as `state[key] = value`."""
        self[key] = value

    def delete(self, key: str) -> bool:
        """Take the key's value away; False when it had none."""
        return self._values.delete(key, timeout=self._timeout)

    def watch(self, key: str) -> Messages:
        """Changes of one key as `Change`s (key, value, version, deleted); the present value comes first."""
        return Messages(self._values.watch(key, timeout=self._timeout))


class Flag:
    """A boolean shared by programs, in the shape of `threading.Event`."""

    def __init__(self, values: Values, name: str, timeout: float | None = 30.0) -> None:
        self._values = values
        self._key = FLAG_PREFIX + name
        self._timeout = timeout

    def set(self) -> None:
        self._values.set(self._key, True, timeout=self._timeout)

    def clear(self) -> None:
        self._values.set(self._key, False, timeout=self._timeout)

    def is_set(self) -> bool:
        change = self._values.get(self._key, timeout=self._timeout)
        return change is not None and bool(change.value)

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is set; False when `timeout` seconds have passed first."""
        deadline = None if timeout is None else time.monotonic() + patience(timeout)
        watch = self._values.watch(self._key, timeout=self._timeout)
        try:
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                change = watch.receive(timeout=left)
                if change is None:
                    return False
                if change.value and not change.deleted:
                    return True
        finally:
            watch.close()
