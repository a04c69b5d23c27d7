"""What a contestant is: a name, a way to serve, a way to connect, and what it can do. All have this one shape.

Rules of this file
- `serve` runs in Alice's program, `connect` in Bob's; both get the same fresh directory, their place, in which they may
  leave each other a file (an address) and which is their current directory.
- What a contestant cannot do is absent from `can`, and None in its `Client`. Bytes are bytes, times are nanoseconds.
- A contestant loses nothing on purpose: where a library drops what a slow reader does not take, it is told not to.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Literal

Kind = Literal["ours", "other", "yardstick"]
Ability = Literal["call", "pipeline", "payload", "publish", "queue", "turn", "state", "crowd", "share"]
"""What is worth measuring; `share`: a large array can be passed on without a copy."""

CALLS: frozenset[Ability] = frozenset({"call", "pipeline", "payload", "crowd"})
"""What most libraries that call a function can do."""

IN_FLIGHT = 100
"""Calls that a library without a limit of its own has under way at once, in `pipeline`."""

ANSWER = 30.0
"""Seconds that anything may take which is sure to come: an answer, an item that was put."""

PATIENCE = 2.0
"""Seconds that a subscriber waits for the next message before it says that there is none."""


@dataclass(frozen=True)
class Serving:
    """What Alice can do besides answering."""

    publish: Callable[[Any], object] | None = None
    shared: Callable[[Any], Any] | None = None
    """An array in memory that is passed on without a copy."""


@dataclass(frozen=True)
class Client:
    """What Bob can do with his end."""

    call: Callable[[int, int], Any] | None = None
    times: Callable[[int], list[int]] | None = None
    """So many calls one after the other, the nanoseconds of each; only for who needs a loop of its own."""
    pipeline: Callable[[int], object] | None = None
    """So many calls, many of them under way at once."""
    prepare: Callable[[Any], Any] = bytes
    """An array of bytes in the form that the library takes as it is; not measured."""
    shared: Callable[[Any], Any] | None = None
    """An array in memory that is passed on without a copy; not measured."""
    deliver: Callable[[Any], int] | None = None
    """Give the other program what `prepare` made; it answers with the number of bytes that it got."""
    put: Callable[[bytes], object] | None = None
    take: Callable[[], object] | None = None
    """Take one item and acknowledge it."""
    produce: Callable[[int, int], object] | None = None
    """Let a child of this program put so many items of so many bytes: for queues that only relatives share."""
    subscribe: Callable[[], AbstractContextManager[Callable[[], Any]]] | None = None
    """A subscription: each call gives the next message, or None when none came in PATIENCE."""
    publish: Callable[[Any], object] | None = None
    """For a client of a server that is not ours to tell."""
    look: Callable[[], object] | None = None
    """Read one named value."""
    others: Callable[[], list[int]] = list
    """The programs that work for this client besides Alice, by pid."""


CrowdRun = Callable[[float], list[float]]
"""Let all clients call for so many seconds; the calls per second of each of them."""


@dataclass(frozen=True)
class Contestant:
    """One way to reach another program."""

    name: str
    kind: Kind
    about: str
    """How it is used here, in a line."""
    can: frozenset[Ability]
    serve: Callable[[Path], AbstractContextManager[Serving]]
    connect: Callable[[Path], AbstractContextManager[Client]]
    needs: tuple[str, ...] = ()
    """Modules that must be installed."""
    service: str = ""
    """A server that must run: "redis" or nothing."""
    crowd: Callable[[Path, int], AbstractContextManager[CrowdRun]] | None = None
    """Many clients in one program; None: one thread each."""
    most_clients: int = 0
    """How many can be connected at once on a usual system; 0: as many as anybody wants."""
    leaves: str = ""
    """A pattern for the files in shared memory that its library leaves; "{root}" is the start of all places' names."""
    home: str = ""
    """The module it stands in; line_up.py fills it in."""
    obstacle: str = ""
    """Why it cannot take part on this machine."""

    def why_not(self) -> str:
        """Why it is left out, or "" when it is here."""
        lacking = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return self.obstacle or (f"not installed: {', '.join(lacking)}" if lacking else "")


def times_of(call: Callable[[int, int], Any], count: int) -> list[int]:
    """Nanoseconds of `count` calls of two ints, one after the other.

    >>> len(times_of(lambda a, b: a + b, 3))
    3
    """
    times = []
    for _ in range(count):
        began = perf_counter_ns()
        call(2, 5)
        times.append(perf_counter_ns() - began)
    return times


async def awaited_times_of(call: Callable[[int, int], Awaitable[Any]], count: int) -> list[int]:
    """The same of calls that are awaited: timed inside the loop."""
    times = []
    for _ in range(count):
        began = perf_counter_ns()
        await call(2, 5)
        times.append(perf_counter_ns() - began)
    return times


@contextmanager
def in_background(loop: Callable[[], object]) -> Iterator[threading.Thread]:
    """The serving loop of a library, on a thread, so that Alice can hear what she is told."""
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    yield thread


@contextmanager
def no_server(place: Path) -> Iterator[Serving]:
    """For who has none, or one that is started elsewhere."""
    yield Serving()


def address_file(place: Path) -> Path:
    """Where Alice writes how she is reached, when that is known only once she serves."""
    return place / "address"


def unique(place: Path) -> str:
    """A word that no other program on this machine has, for what is not kept in the place itself."""
    return f"{place.parent.name[-8:]}-{place.name}"


def broker_port(place: Path) -> int:
    """The port of the Redis server that was started for this run."""
    return int((place / "broker").read_text())
