"""Mutated frames into the C core's reader of plain messages: what it reads, the native wire reads to the same values.

    python tests/fuzz/plain.py [COUNT] [SEED]

Rules of this file
- Seeds are good messages; each round cuts, flips, doubles or splices them. Nothing may be raised.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy

from tincans._speed import _core
from tincans.core.arrays import plain_array
from tincans.core.messages import Publication, Reply, Request
from tincans.core.streams import Inlet
from tincans.wires.native import WIRE

PLAIN: list[Any] = [0, -1, 127, 2**40, -(2**40), 1.5, "", "text", "ä" * 40, b"", b"bytes" * 60, None, True, False]
ARRAYS = [numpy.arange(3, dtype="i4"), numpy.zeros((2, 3), "f8"), numpy.array(7, "u1"), numpy.zeros((0, 2), "?")]
VALUES = [*PLAIN, *ARRAYS]
SEEDS = [
    *(_core.request(7, "add", (value, 5), 30.0) for value in VALUES),
    *(_core.reply(300, value) for value in VALUES),
    *(_core.publication(70000, "news", value) for value in VALUES),
    *(WIRE.encode(Request(9, "f", tuple(PLAIN[:9]), None, 1.0))),
    *(WIRE.encode(Reply(9, [1, 2]))),
    *(WIRE.encode(Publication(9, "topic", 1, 4))),
]


def mutated(rng: random.Random) -> bytes:
    """One frame."""
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randint(0, 3)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                del data[place:]
            case 1:
                data[place : place + 1] = rng.randbytes(1)
            case 2:
                data[place:place] = rng.randbytes(rng.randint(1, 9))
            case 3:
                data[place:] = rng.choice(SEEDS)[place:]
            case _:
                data[place:place] = data[: rng.randint(0, 8)]
        if not data:
            break
    return bytes(data)


class Incoming:
    """A subscriber of take_news."""

    def __init__(self) -> None:
        self.inlet = Inlet()


def check_news(data: bytes, message: Any, value: Any) -> None:
    """What `take_news` hands on is the same; AssertionError otherwise."""
    incoming, waiting = Incoming(), [data]
    inlets = {message.id: incoming}
    count, last = _core.take_news(lambda look: waiting.pop() if waiting else None, inlets, [])
    assert (count, last) in ((1, None), (0, data)), data
    for found in incoming.inlet.items:
        assert repr(found) == repr((message.id, message.topic, value)), data


def check(data: bytes) -> bool:
    """Whether it was read; AssertionError when the native wire reads something else."""
    found = _core.read_with(plain_array, data)
    if found is None:
        assert _core.take_news(lambda look: data, {}, []) == (0, data), data
        return False
    message: Any = WIRE.decode([data])
    body = message.args if type(message) is Request else message.value
    value: Any = WIRE.reader(Any)(body, message)
    value = tuple(value) if type(message) is Request else value
    assert message.id == found[0], data
    if type(message) is Publication:
        check_news(data, message, value)
    assert repr(value) == repr(found[2] if len(found) > 2 else found[1]), data
    return True


def main() -> None:
    """As many as asked for."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    rng = random.Random(seed)
    read = sum(check(mutated(rng)) for _ in range(count))
    print(f"plain messages: {count} frames (seed {seed}), {read} of them read, and read alike by the native wire")


if __name__ == "__main__":
    main()
