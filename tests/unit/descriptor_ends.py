"""Two DescriptorStreams joined by two pipes, and waiting for a condition: for the tests of pipes and children.

Rules of this file
- Nothing sleeps for a fixed time: `eventually` looks until its deadline.
- Whatever a test leaves open here is closed by `ends`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tincans.contracts import Buffer, Framing
from tincans.core.framing import Frames
from tincans.toolkit.descriptor_stream import DescriptorStream

DEADLINE = 10.0


@contextmanager
def ends(framing: Framing | None = None, **options: Any) -> Iterator[tuple[DescriptorStream, DescriptorStream]]:
    """Two ends of one string. `options` go to both."""
    first_in, second_out = os.pipe()
    second_in, first_out = os.pipe()
    first = DescriptorStream(first_in, first_out, framing=framing or Frames(), **options)
    second = DescriptorStream(second_in, second_out, framing=framing or Frames(), **options)
    try:
        yield first, second
    finally:
        first.close()
        second.close()


def as_bytes(parts: list[Buffer] | None) -> list[bytes]:
    """The parts of a message that has come."""
    assert parts is not None
    return [bytes(part) for part in parts]


class Outcome:
    """What a function did in a thread of its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._function()
        except BaseException as error:
            self.error = error

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def asleep(self) -> bool:
        """Whether its thread sleeps in the kernel."""
        status = Path(f"/proc/self/task/{self._thread.native_id}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "S"

    def join(self) -> Outcome:
        self._thread.join(DEADLINE)
        assert self.over, "the thread is still waiting"
        return self


def descriptors() -> int:
    """How many this program has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
