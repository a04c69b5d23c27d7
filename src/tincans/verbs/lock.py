"""One holder at a time among all programs.

Rules of this file
- A lock ends with its `with` block, its connection or its program; never by age.
- Each acquiring has an owner's name of its own, so that two threads of one program exclude each other too.
"""

from __future__ import annotations

import itertools
import threading

from tincans.contracts import Locks
from tincans.core.patience import patience
from tincans.errors import LeaseLostError, TincansError, WaitTimeoutError

_holders = itertools.count(1)


class Lock:
    """One holder at a time among all programs: `with p.lock("update", timeout=5) as lock:`.

    Released when the block ends and when the holder's program or connection dies; never by age. `token` grows with
    each grant, so that whoever is written to can refuse an older holder.
    """

    def __init__(self, locks: Locks, name: str, timeout: float | None = None) -> None:
        self._locks = locks
        self.name = name
        self.timeout = patience(timeout)
        self.token: int | None = None
        self._owner = ""

    def acquire(self, *, timeout: float | None = None) -> bool:
        """True when we hold it; False when `timeout` seconds have passed first."""
        owner = f"{threading.get_ident()}-{next(_holders)}"
        token = self._locks.acquire(self.name, owner, timeout=self.timeout if timeout is None else patience(timeout))
        if token is None:
            return False
        self.token, self._owner = token, owner
        return True

    def release(self) -> None:
        """LeaseLostError when we did not hold it (any more)."""
        if self.token is None:
            raise LeaseLostError(f"The lock {self.name!r} is not held by this object.")
        self.token = None
        self._locks.release(self.name, self._owner, timeout=30.0)

    def __enter__(self) -> Lock:
        if not self.acquire():
            raise WaitTimeoutError(f"The lock {self.name!r} was not free within {self.timeout or 0:g} s.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            self.release()
        except TincansError:
            if kind is None:
                raise
