"""Lies told to the greeting of our own wire: `python tests/fuzz/handshake.py COUNT [SEED]`.

Rules of this file
- The liar hears everything but does not have the key: he is never let in, on either side.
- Nothing but TincansError may come out.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from tincans.core.handshake import NONCE_BYTES, REQUIRED, Accepting, Connecting, Me
from tincans.core.messages import PROTOCOL_VERSION, Hello, Ping, Proof, Reply
from tincans.errors import TincansError

KEYED = Me(1, "alice", keys={"bob": b"the real one"})


def fuzz(count: int, seed: int) -> int:
    """Try `count` greetings; how many lies were told."""
    chance, told = random.Random(seed), 0
    for number in range(count):
        listens = chance.random() < 0.6
        kind: Any = Accepting if listens else Connecting
        side, heard = kind(KEYED, chance.randbytes(NONCE_BYTES), "here"), []
        if not listens:
            heard.append(side.start())
        try:
            for _ in range(chance.randrange(1, 4)):
                told += 1
                answer = side.receive(_lie(chance, heard))
                heard += [] if answer is None else [answer]
                assert listens, f"seed {seed}, round {number}: believed a server without the key"
                assert not side.done, f"seed {seed}, round {number}: let in"
        except TincansError:
            pass
    return told


def _lie(chance: random.Random, heard: list[Any]) -> Any:
    """A message of the greeting with what was heard before, or chance, in its fields."""
    nonces = [one.nonce for one in heard if isinstance(one, Hello)]
    proofs = [one.proof for one in heard if isinstance(one, (Hello, Proof))]
    found = [*nonces, *proofs, b"", chance.randbytes(32), chance.randbytes(chance.randrange(80))]
    match chance.randrange(6):
        case 0:
            return Proof(chance.choice(found))
        case 1:
            return chance.choice([Ping(1), Reply(1, None)])
        case 2 if heard:
            return chance.choice(heard)
        case _:
            version = chance.choice([PROTOCOL_VERSION, PROTOCOL_VERSION, PROTOCOL_VERSION, 0, -1, 2**70])
            name = chance.choice(["bob", "bob", "eve", REQUIRED, "", "\ud800"])
            return Hello(version, "x", 1, "y", 9, chance.choice(found), chance.choice(found), name)


if __name__ == "__main__":
    amount = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    start = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"greeting: {amount} greetings, {fuzz(amount, start)} lies, nobody let in, seed {start}")
