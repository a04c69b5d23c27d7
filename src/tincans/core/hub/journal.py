"""What of the hub outlives the serving program, as records, and the way back when they cannot be written.

Rules of this file
- A change is noted when it has been made in memory; the hub's owner writes it down before it delivers the outcomes.
- Each note comes with the step that takes it back. Steps are taken in reverse order, so each finds what it left.
- Times in records are seconds from now on: the hub's clock means nothing to another run.
- A hub that keeps nothing notes nothing and pays one test per change.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from msgspec import Struct

Step = Callable[[], object]


class JobPut(Struct, frozen=True):
    """A new job; in `Kept` also how a job is found again, as ready, with its count."""

    id: int
    queue: str
    value: Any
    deliveries: int = 0
    delay: float = 0.0


class JobCounted(Struct, frozen=True):
    """A job was handed out: it has had `deliveries` so far."""

    id: int
    deliveries: int


class JobDelayed(Struct, frozen=True):
    """A job was given back, to be ready in `delay` seconds."""

    id: int
    delay: float


class JobBuried(Struct, frozen=True):
    """A job became a dead letter: another queue, another value, counted anew."""

    id: int
    queue: str
    value: Any


class JobRemoved(Struct, frozen=True):
    """A job was acknowledged, or dropped by a queue's policy."""

    id: int


class ValueSet(Struct, frozen=True):
    """A key has this value."""

    key: str
    version: int
    value: Any


class ValueDeleted(Struct, frozen=True):
    """A key has no value; its version is remembered."""

    key: str
    version: int


class ValueForgotten(Struct, frozen=True):
    """A deleted key's version is no longer remembered; unknown keys start above `floor`."""

    key: str
    floor: int


KeptChange = JobPut | JobCounted | JobDelayed | JobBuried | JobRemoved | ValueSet | ValueDeleted | ValueForgotten


class Kept(Struct, frozen=True):
    """What a keeper found: `run` is higher at each start, `changes` rebuild queues and values, jobs by rising id."""

    run: int
    changes: Iterable[KeptChange] = ()
    floor: int = 0


class Notes(Struct):
    """The changes since the last look, how to take them back, and whose answers hang on them."""

    changes: list[KeptChange]
    back: list[Step]
    tickets: set[Hashable]


class Journal:
    """Collects changes while `on`; the hub's parts write, the hub hands out."""

    def __init__(self) -> None:
        self.on = False
        self._notes = Notes([], [], set())

    def note(self, change: KeptChange, back: Step | None, ticket: Hashable = None) -> None:
        """Note a change and its way back, if it needs one; `ticket`'s answer is not true unless it is written down."""
        self._notes.changes.append(change)
        self.depends(back, ticket)

    def depends(self, back: Step | None, ticket: Hashable = None) -> None:
        """Note a step in memory, or an answer, that must be taken back when a change noted near it fails."""
        if back is not None:
            self._notes.back.append(back)
        if ticket is not None:
            self._notes.tickets.add(ticket)

    def take(self) -> Notes:
        """Hand out what was noted, and begin anew."""
        notes = self._notes
        if notes.changes or notes.back or notes.tickets:
            self._notes = Notes([], [], set())
        return notes
