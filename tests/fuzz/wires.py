"""Mutated and random frames into the wires: whatever arrives, only our own errors come out.

Rules of this file
- `fuzz(wire, count, seed)` is the whole interface: the unit tests run a little of it, `make fuzz` a lot
  (`python tests/fuzz/wires.py native 1000000`). The seed is printed with a failure, so that it can be run again.
- A frame is decoded, each of its bodies is read in several types, and what was read is sent again.
- Allowed: ProtocolError from decode; msgspec.ValidationError, ProtocolError and MissingLibraryError from a reader;
  UnsendableError when sending again. Anything else, a crash of the interpreter included, is a fault of the wire.
"""

from __future__ import annotations

import random
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from tincans.contracts import Wire
from tincans.core import messages as m
from tincans.core.values import Code
from tincans.errors import MissingLibraryError, ProtocolError, UnsendableError
from tincans.finder import find_wire
from tincans.wires.json import FORM as JSON_FORM
from tincans.wires.native import FORM as NATIVE_FORM


@dataclass
class Record:
    name: str
    sizes: tuple[int, ...] = ()
    grid: np.ndarray | None = None


READ_AS: tuple[Any, ...] = (
    Any,
    tuple[int, int],
    Record,
    list[Record | str | Path],
    dict[str, Decimal],
    np.ndarray,
    float,
    tuple[Any, ...],
    set[datetime | date],
    bytes,
    Callable[[int], int],
    Iterator[int],
)

VALUES: tuple[Any, ...] = (
    (2, 5),
    "text",
    b"bytes",
    b"x" * 17_000,
    2**70,
    -1.5,
    float("nan"),
    1 + 2j,
    [1, [2, (3, {4})]],
    {1: (2,), None: "x"},
    {"$x": 1},
    {(1, 2): [3]},
    datetime(2024, 1, 2, tzinfo=UTC),
    date(2024, 1, 2),
    timedelta(1),
    Decimal("1.5"),
    Fraction(1, 3),
    UUID(int=7),
    Path("a/b"),
    range(5),
    slice(1, 2),
    bytearray(b"xy"),
    memoryview(b"abc"),
    Record("n", (1, 2), np.arange(4)),
    np.zeros((3, 4), order="F"),
    np.zeros(2, [("a", "i4"), ("b", "f8", (2,))]),
    np.array(["2024"], "M8[Y]"),
    np.float32(1.5),
    np.arange(3000.0),
    np.array(["ab"]),
    frozenset({1}),
    "\ud800",
    print,
    iter([1]),
    [{"a": i, "b": 1.5} for i in range(5)],
)


class Desk:
    """References to nothing."""

    def export_function(self, function: Any) -> int:
        return 1

    def export_stream(self, iterator: Any) -> int:
        return 2

    def import_function(self, number: int) -> Callable[..., Any]:
        return print

    def import_stream(self, number: int) -> Any:
        return iter([number])


def corpus(wire: Wire) -> list[list[bytes]]:
    """Honest frames to start from: every kind of message, and every kind of value."""
    sent: list[m.Message] = [m.Request(1, "f", (value, 5), {"k": value}, 1.5, "key") for value in VALUES]
    sent += [m.Request(1, "f", (value, "word")) for value in VALUES]
    sent += [kind(3, value) for kind in (m.Reply, m.Item) for value in VALUES]
    sent += [m.Publication(3, "news", value, 1) for value in VALUES]
    sent += [
        m.Failure(3, "remote", "ValueError", "x", "y"),
        m.Credit(3, 9),
        m.End(3),
        m.Cancel(3),
        m.Ping(1),
        m.Pong(1),
    ]
    sent += [
        m.Hello(1, "x", 5, "y", 9, b"n", b"p", "k", ("a",)),
        m.Proof(b"p"),
        m.Goodbye("x"),
        m.Reply(1, None, stream=True),
    ]
    frames = []
    for message in sent:
        try:
            frames.append([bytes(part) for part in wire.encode(message, Desk())])
        except UnsendableError:  # the text wire says little
            continue
    return frames


LENGTHS = [0, 1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
WORDS = [
    b'{"$tuple":',
    b'"$',
    b"[[",
    b"]]",
    b"null",
    b"1e999",
    b"-",
    b'\\ud800"',
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"=",
    b"\n",
]


def mutate(part: bytes, chance: random.Random, others: list[list[bytes]]) -> bytes:
    """One part, damaged in one to four places."""
    data = bytearray(part)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(8):
            case 0 if data:
                data[place % len(data)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[place % len(data)] = chance.randrange(256)
            case 2:
                del data[place : place + chance.randint(1, 8)]
            case 3:
                data[place:place] = chance.randbytes(chance.randint(1, 8))
            case 4:
                size = chance.choice([1, 2, 4, 8])
                data[place : place + size] = (chance.choice(LENGTHS) % 256**size).to_bytes(size, "big")
            case 5:
                del data[place:]
            case 6:
                other = chance.choice(others)[0]
                start = chance.randrange(len(other) + 1)
                data[place : place + 20] = other[start : start + chance.randint(1, 40)]
            case _:
                data[place:place] = chance.choice(WORDS) * chance.choice([1, 1, 1, 50])
    return bytes(data)


TEXTS = [
    "<f8",
    "|O",
    "U",
    "S",
    "<U2",
    "M8[ns]",
    "2024-01-01",
    "01:02",
    "Europe/Berlin",
    "../x",
    "",
    "1.5",
    "nan",
    "d",
    "B",
]
TEXTS += ["table", "pandas", "series", "polars", "aGk=", "AAAAAAAAAAA=", "windows", "1E999999", "\0", "$tuple"]
NUMBERS = [0, 1, 2, 8, -1, 255, 2**31, 2**62, 2**63, 1.5, -1e308, True, None]
BYTES = [b"", b"x", b"x" * 8, b"\xff" * 16, b"\xff\xff\xff\xff\x08\0\0\0" + b"\x01" * 16]

PLAIN: list[Any] = [*TEXTS, *NUMBERS, *BYTES]


def forge(chance: random.Random, wrap: Callable[[Code, Any], Any], depth: int = 0) -> Any:
    """A tree that a wire could have written, with marks whose payloads are of nearly the right shape."""
    kind = chance.randrange(9 if depth < 4 else 4)
    if kind < 4:
        return chance.choice(PLAIN)

    def more() -> Any:
        return forge(chance, wrap, depth + 1)

    if kind == 4:
        return [more() for _ in range(chance.randrange(5))]
    if kind == 5:
        return {chance.choice(TEXTS): more() for _ in range(chance.randrange(3))}
    code = chance.choice(list(Code))
    if chance.random() < 0.2:
        return wrap(code, more())
    return wrap(code, SHAPES[code](chance, more) if code in SHAPES else more())


def _one_of(pool: list[Any]) -> Callable[[random.Random, Any], Any]:
    return lambda chance, more: chance.choice(pool)


def _list_of(*pools: list[Any] | None) -> Callable[[random.Random, Any], Any]:
    """A list with one element of each pool; None stands for another tree."""
    return lambda chance, more: [
        more() if pool is None or chance.random() < 0.05 else chance.choice(pool) for pool in pools
    ]


def _lists(chance: random.Random, more: Any) -> Any:
    return [more() for _ in range(chance.randrange(4))]


def _pairs(chance: random.Random, more: Any) -> Any:
    return [[more(), more()] for _ in range(chance.randrange(4))]


_SHAPE: list[Any] = [[], [0], [1], [2], [8], [1, 1], [2, 4], [0, 2**62], [2**62, 2**62], [-1], [1.0], 5]
_DTYPE: list[Any] = [
    *TEXTS,
    ["<f8", [2]],
    [["a"], ["<f8"], [0], 8],
    [["a", "b"], ["i1", "|O"], [0, 1], 9],
    [[], [], [], 0],
]
_SMALL: list[Any] = [*NUMBERS, *TEXTS]
SHAPES: dict[Code, Callable[[random.Random, Any], Any]] = {
    Code.TUPLE: _lists,
    Code.SET: _lists,
    Code.FROZENSET: _lists,
    Code.DICT: _pairs,
    Code.COMPLEX: _list_of(NUMBERS, NUMBERS),
    Code.DATETIME: _list_of(TEXTS, TEXTS, NUMBERS),
    Code.TIME: _list_of(TEXTS, TEXTS, NUMBERS),
    Code.TIMEDELTA: _list_of(NUMBERS, NUMBERS, NUMBERS),
    Code.FRACTION: _list_of(NUMBERS, NUMBERS),
    Code.PATH: _list_of(TEXTS, TEXTS),
    Code.RANGE: _list_of(NUMBERS, NUMBERS, NUMBERS),
    Code.SLICE: _list_of(None, None, None),
    Code.BUFFER: _list_of(TEXTS, _SHAPE, [*BYTES, *_SMALL]),
    Code.ARRAY: _list_of(_DTYPE, _SHAPE, [True, False], [*BYTES, *_SMALL]),
    Code.SCALAR: _list_of(_DTYPE, [*BYTES, *_SMALL]),
    Code.TABLE: _list_of(TEXTS, _SMALL, [*BYTES, *_SMALL]),
    Code.DECIMAL: _one_of(TEXTS),
    Code.DATE: _one_of(TEXTS),
    Code.BYTES: _one_of([*BYTES, *_SMALL]),
    Code.INT: _one_of([*BYTES, *_SMALL]),
}


def forged(wire: Wire, chance: random.Random) -> list[bytes]:
    """A well-formed frame around a forged tree."""
    native = wire.name == "native"
    tree = forge(chance, NATIVE_FORM.wrap if native else JSON_FORM.wrap)
    try:
        body = msgspec.Raw(msgspec.msgpack.encode(tree) if native else msgspec.json.encode(tree))
    except OverflowError:
        return [b""]
    parts = [chance.choice(BYTES) for _ in range(chance.randrange(3))] if native else []
    return [bytes(part) for part in wire.encode(m.Reply(1, body, rich=True, buffers=parts))]


def hostile(wire: Wire, chance: random.Random, frames: list[list[bytes]]) -> list[bytes]:
    """One frame: damaged, forged, or noise."""
    choice = chance.random()
    if choice < 0.02:
        return [chance.randbytes(chance.randrange(60)) for _ in range(chance.randrange(3))]
    if choice < 0.4:
        return forged(wire, chance)
    frame = list(chance.choice(frames))
    place = 0 if chance.random() < 0.8 else chance.randrange(len(frame))
    frame[place] = mutate(frame[place], chance, frames)
    if len(frame) > 1 and chance.random() < 0.1:
        chance.shuffle(frame)
    return frame


def digest(wire: Wire, frame: list[bytes], read_as: Any) -> None:
    """Take a frame the whole way: decode it, read its bodies, send them again."""
    desk = Desk()
    try:
        message: Any = wire.decode(frame)
    except ProtocolError:
        return
    for name in ("args", "kwargs", "value"):
        body = getattr(message, name, None)
        if body is None:
            continue
        for kind in (Any, read_as):
            try:
                value = wire.reader(kind, desk)(body, message)
            except (msgspec.ValidationError, ProtocolError, MissingLibraryError):
                continue
            try:
                wire.encode(m.Reply(1, value), desk)
            except UnsendableError:
                continue


def fuzz(wire: Wire, count: int, seed: int) -> None:
    """`count` hostile frames. The first fault ends it, with the frame, its number and the seed in the text."""
    chance = random.Random(seed)
    frames = corpus(wire)
    for number in range(count):
        frame = hostile(wire, chance, frames)
        read_as = chance.choice(READ_AS)
        try:
            digest(wire, frame, read_as)
        except BaseException as error:
            error.add_note(f"fuzz({wire.name}, seed={seed}): frame {number}, read as {read_as}: {frame!r:.2000}")
            raise


MOST_MEMORY = 1 << 30
"""Bytes that the program may grow by: a frame that wants more is a fault, and is shown."""


def main() -> None:
    """`wires.py NAME COUNT [SEED]`."""
    name, count, *rest = sys.argv[1:]
    seed = int(rest[0]) if rest else random.SystemRandom().randrange(2**32)
    print(f"fuzz {name}: {count} frames, seed {seed}", flush=True)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, resource.RLIM_INFINITY))
    fuzz(find_wire("" if name == "native" else name), int(count), seed)
    print("no fault found")


if __name__ == "__main__":
    main()
