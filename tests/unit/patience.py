"""Waiting in tests, for a condition or a thread's outcome, with a deadline and without sleeping for luck; and a look
at what is still open afterwards."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
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


def open_descriptors() -> set[str]:
    """The descriptors of this program, each with what it is open on."""
    gc.collect()
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was the listing's own
            found.add(f"{link.name} {link.readlink()}")
    return found


@contextlib.contextmanager
def forked_child() -> Iterator[int]:
    """A child of this program that lives during the block and does nothing; its pid."""
    ready, leave = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(leave[1])
        os.write(ready[1], b"x")
        os.read(leave[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        yield child
    finally:
        for descriptor in (*ready, *leave):
            os.close(descriptor)
        os.waitpid(child, 0)
