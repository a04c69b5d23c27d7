"""The promises on speed, each a figure of the run and a bar that it must reach.

Rules of this file
- A bar is a line of an issue, in its words; what it measures is read from the results and nothing is judged elsewhere.
- A bar whose method is not there, or failed, is "not measured", never "met".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tincans.bench.plan import BIG
from tincans.bench.rounds import Results

Value = Callable[[Results], float | None]
STANDARD, ZMQ = "multiprocessing.connection", "pyzmq"
LOCAL, QUIET, AIO = "local", "local, not spinning", "local, aio"
SOCKET, PIPES, RING = "bare socket + msgpack", "two bare pipes + msgpack", "bare C ring"


@dataclass(frozen=True)
class Bar:
    """One promise."""

    issue: int
    what: str
    unit: str
    """"x" for a ratio."""
    limit: float
    at_least: bool
    value: Value

    def verdict(self, results: Results) -> dict[str, Any]:
        """The figure, the bar, and whether it is met (None: not measured)."""
        value = self.value(results)
        met = None if value is None else value >= self.limit if self.at_least else value <= self.limit
        return {
            "issue": self.issue,
            "what": self.what,
            "unit": self.unit,
            "bar": self.limit,
            "at_least": self.at_least,
            "value": value,
            "met": met,
        }


def figure(measure: str, name: str, variant: str = "", what: str = "value") -> Value:
    """A figure as it is."""
    return lambda results: results.value(measure, name, variant, what)


def over(one: Value, other: Value) -> Value:
    """One divided by the other."""

    def value(results: Results) -> float | None:
        a, b = one(results), other(results)
        return None if a is None or not b else a / b

    return value


def calls(one: str, other: str) -> Value:
    """How many times longer a call takes over `one`."""
    return over(figure("call", one), figure("call", other))


def faster(issue: int, name: str, than: str, times: float) -> Bar:
    """A call is so many times faster."""
    return Bar(issue, f"a call over {name}: times faster than {than}", "x", times, True, calls(than, name))


def at_most(issue: int, name: str, of: str, times: float) -> Bar:
    """A call takes at most so many times as long."""
    return Bar(issue, f"a call over {name}, relative to {of}", "x", times, False, calls(name, of))


def plain(name: str) -> Value:
    """256 MiB as an argument."""
    return figure("payload", name, str(BIG))


def shared(name: str) -> Value:
    """The same, already shareable."""
    return figure("payload", name, f"{BIG} shared")


CORE = (
    at_most(2, "unix", SOCKET, 1.6),
    at_most(2, "pipe", PIPES, 2.0),
    faster(2, "unix", STANDARD, 1.0),
    faster(2, "pipe", STANDARD, 1.0),
    Bar(
        2,
        "100 started calls over unix: rate relative to calls one after the other",
        "x",
        3.0,
        True,
        lambda r: (
            None
            if (rate := r.value("hundred", "unix")) is None or (call := r.value("call", "unix")) is None
            else rate * call / 1e6
        ),
    ),
    Bar(
        2, f"256 MiB array over unix: times faster than {STANDARD}", "x", 20, True, over(plain(STANDARD), plain("unix"))
    ),
    Bar(2, "server memory per connected client, unix", "KiB", 64, False, figure("memory", "unix")),
    Bar(2, "import tincans", "ms", 60, False, figure("import", "import tincans")),
)

CORNERS = (
    at_most(3, "redis", "two bare redis-py round trips", 1.5),
    faster(3, "http", "FastAPI + httpx", 1.5),
    Bar(
        3,
        "sqlite, a put and take forced to the disk: rate relative to persist-queue",
        "x",
        1.0,
        True,
        over(figure("turn", "sqlite"), figure("turn", "persist-queue")),
    ),
    Bar(
        3,
        "sqlite, a put and take not forced to the disk: rate relative to litequeue",
        "x",
        1.0,
        True,
        over(figure("turn", "sqlite, sync normal"), figure("turn", "litequeue")),
    ),
    Bar(3, "mmap, read a value", "µs", 3, False, figure("state", "mmap")),
)

SHARED_MEMORY = (
    faster(4, LOCAL, STANDARD, 8),
    faster(4, LOCAL, ZMQ, 15),
    faster(4, LOCAL, "RPyC", 30),
    faster(4, LOCAL, "Pyro5", 40),
    faster(4, LOCAL, "grpcio", 100),
    at_most(4, LOCAL, RING, 3.5),
    at_most(4, QUIET, PIPES, 1.4),
    Bar(
        4,
        "a call over local: p99 relative to p50",
        "x",
        10,
        False,
        over(figure("call", LOCAL, "", "p99"), figure("call", LOCAL)),
    ),
    faster(4, AIO, "asyncio streams + msgpack", 2),
    Bar(4, "pipelined calls over local", "calls/s", 300_000, True, figure("pipelined", LOCAL)),
    Bar(
        4,
        f"publish over local to one subscriber: rate relative to {ZMQ} PUB/SUB",
        "x",
        1.0,
        True,
        over(figure("publish1", LOCAL), figure("publish1", ZMQ)),
    ),
    Bar(
        4,
        "publish over local to one subscriber: rate relative to multiprocessing.Queue",
        "x",
        3.0,
        True,
        over(figure("publish1", LOCAL), figure("queue", "multiprocessing.Queue")),
    ),
    Bar(4, "256 MiB array over local, already shareable", "µs", 100, False, shared(LOCAL)),
    Bar(
        4,
        "256 MiB array over local, plain, relative to one memcpy",
        "x",
        1.3,
        False,
        over(plain(LOCAL), plain("one memcpy")),
    ),
    Bar(
        4,
        "256 MiB array published over local to four subscribers, already shareable",
        "µs",
        100,
        False,
        figure("publish_array", LOCAL, "shared 4"),
    ),
    Bar(
        4,
        "256 MiB array published over local to four subscribers, plain, relative to one memcpy",
        "x",
        1.3,
        False,
        over(figure("publish_array", LOCAL, "plain 4"), plain("one memcpy")),
    ),
    Bar(4, "an array of 1 GiB over local (it works, within 10 s)", "µs", 1e7, False, figure("gibibyte", LOCAL)),
    Bar(
        4,
        "64 clients over local from two programs: rate relative to one client's pipelined calls",
        "x",
        0.6,
        True,
        over(figure("clients", LOCAL), figure("pipelined", LOCAL)),
    ),
    Bar(
        4,
        "64 clients over local: the slowest relative to the mean",
        "x",
        0.5,
        True,
        figure("clients", LOCAL, "", "slowest"),
    ),
)

BARS = (*CORE, *CORNERS, *SHARED_MEMORY)


def verdicts(results: Results) -> list[dict[str, Any]]:
    """All of them."""
    return [bar.verdict(results) for bar in BARS]
