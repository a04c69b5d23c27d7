"""Lies told to the handshake of `mp:`: `python tests/fuzz/mp_handshake.py COUNT [SEED]`.

Rules of this file
- The liar sees everything that a network sees, but does not have the key: he is never let in.
- Nothing but ProtocolError and DeniedError may come out.
"""

from __future__ import annotations

import random
import sys

from tincans.core.mp_handshake import LIMIT, NONCE_BYTES, Handshake
from tincans.errors import DeniedError, ProtocolError

KEY = b"the real one"
WORDS = [b"#CHALLENGE#", b"#WELCOME#", b"#FAILURE#", b"{sha256}", b"{md5}", b"{sha3_384}", b"{", b"}", b""]


def fuzz(count: int, seed: int) -> int:
    """Try `count` handshakes; how many lies were told."""
    chance = random.Random(seed)
    told = 0
    for number in range(count):
        side = Handshake(
            KEY, chance.randbytes(NONCE_BYTES), listens=chance.random() < 0.5, strict=chance.random() < 0.3
        )
        heard = side.start()
        try:
            for _ in range(4):
                told += 1
                heard += side.receive(_lie(chance, heard))
                assert not side.done, f"seed {seed}, round {number}: let in"
        except (ProtocolError, DeniedError):
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {number}") from error
    return told


def _lie(chance: random.Random, heard: list[bytes]) -> bytes:
    """Words of the protocol, chance, what was heard before, and what an impostor with another key would say."""
    kind = chance.randrange(4)
    if kind == 0 and heard:
        other = Handshake(b"another", chance.randbytes(NONCE_BYTES), listens=False)
        try:
            return other.receive(chance.choice(heard))[0]
        except (ProtocolError, DeniedError):
            return chance.choice(heard)
    if kind == 1 and heard:
        return chance.choice(heard)[chance.randrange(2) * 11 :]
    parts = [chance.choice(WORDS), chance.choice(WORDS), chance.randbytes(chance.choice((0, 16, 20, 32, 40, 200)))]
    return b"".join(parts)[:LIMIT]


if __name__ == "__main__":
    amount = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    start = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"mp handshake: {amount} handshakes, {fuzz(amount, start)} lies, nobody let in, seed {start}")
