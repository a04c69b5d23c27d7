"""Random and mutated bytes for the framings: `python tests/fuzz/framing.py COUNT [SEED]`.

Rules of this file
- Nothing but ProtocolError may come out, and memory stays in proportion to the bytes that went in.
- Reproducible: the same seed does the same; a failure names seed and round.
"""

from __future__ import annotations

import random
import struct
import sys

from tincans.core.content_length import ContentLength
from tincans.core.framing import CHUNKS, FRAMES, LINES, Passed
from tincans.core.mp_framing import LengthFraming
from tincans.errors import ProtocolError

LIMIT = 1 << 20
FRAMINGS = {
    "frames": FRAMES,
    "lines": LINES,
    "mp": LengthFraming(FRAMES),
    "mp of bytes": LengthFraming(CHUNKS),
    "content-length": ContentLength(),
}


def fuzz(name: str, count: int, seed: int) -> int:
    """Feed `count` mutated streams to the framing `name`; how many of them were refused."""
    chance = random.Random(seed)
    refused = 0
    for number in range(count):
        stream = _mutated(chance, _stream(chance, name))
        try:
            refused += _feed(chance, name, stream)
        except Exception as error:
            raise AssertionError(f"framing {name}, seed {seed}, round {number}: {stream!r}") from error
    return refused


def _stream(chance: random.Random, name: str) -> bytes:
    if name == "lines":
        return b"\n".join(chance.randbytes(chance.randrange(9)) for _ in range(chance.randrange(5))) + b"\r\n"
    if name in ("mp of bytes", "content-length"):
        return b"".join(FRAMINGS[name].encode([chance.randbytes(chance.randrange(40))]) * 2)
    parts = [chance.randbytes(chance.randrange(40)) for _ in range(chance.randrange(1, 5))]
    if name == "mp":
        return b"".join(LengthFraming(FRAMES).encode(parts) * 2)
    frames = b"".join(FRAMES.encode(parts))
    if chance.random() < 0.1:
        frames += FRAMES.encode([b"e", Passed(chance.getrandbits(40), chance.getrandbits(40))])[0]
    return frames + b"".join(FRAMES.encode([b"after"]))


def _mutated(chance: random.Random, stream: bytes) -> bytes:
    data = bytearray(stream)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = chance.randbytes(1)
            case 1:
                del data[at : at + chance.randrange(20)]
            case 2:
                data[at:at] = chance.randbytes(chance.randrange(20))
            case 3:
                data[at : at + 8] = struct.pack(
                    "<Q", chance.choice((0, 1, LIMIT, LIMIT + 1, 2**31 - 1, 2**32 - 1, 2**63))
                )
            case _:
                order = chance.choice("<>")
                data[at : at + 4] = struct.pack(
                    order + "I", chance.choice((0, 1, 9, LIMIT, LIMIT + 1, 2**31 - 1, 2**32 - 1))
                )
    return bytes(data)


def _feed(chance: random.Random, name: str, stream: bytes) -> bool:
    """True when the stream was refused."""
    reader = FRAMINGS[name].decoder(LIMIT)
    if name == "frames":
        reader.passing = chance.random() < 0.5  # type: ignore[attr-defined]
    at = 0
    try:
        while at < len(stream):
            view = reader.space()
            step = chance.choice((1, 3, 8, 100, 16384))
            if view is not None:
                assert len(view) <= max(2 * len(stream), 4 << 20)
                taken = stream[at : at + min(step, len(view))]
                view[: len(taken)] = taken
                reader.filled(len(taken))
            else:
                taken = stream[at : at + step]
                reader.feed(taken)
            at += len(taken)
            while (message := reader.next()) is not None:
                assert sum(map(len, message)) <= LIMIT + (1 << 14)
    except ProtocolError:
        return True
    return False


if __name__ == "__main__":
    amount = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    start = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    for known in FRAMINGS:
        print(f"{known}: {amount} streams, {fuzz(known, amount, start)} refused, seed {start}")
