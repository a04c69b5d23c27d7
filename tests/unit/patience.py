"""Waiting in tests, for a condition or a thread's outcome, with a deadline and without sleeping for luck; and a look
at what is still open afterwards."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from typing import Any

PATIENCE = 10.0
"""Seconds until a test that waits in vain fails."""


def in_thread(step: Callable[[], Any]) -> Future[Any]:
    """The outcome of `step`, which runs in a thread of its own."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(step())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        os.sched_yield()


def open_descriptors() -> set[str]:
    """The descriptors of this program, each with what it is open on."""
    gc.collect()
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was the listing's own
            found.add(f"{link.name} {link.readlink()}")
    return found
