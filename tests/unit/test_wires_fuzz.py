"""A little of the fuzzing on every run; `TINCANS_FUZZ=1000000` does more, as `make fuzz` does.

Rules of this file
- The seed is new each time and printed; `TINCANS_FUZZ_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import resource

import pytest
from fuzz.wires import corpus, fuzz

from tincans.contracts import Wire
from tincans.wires.commands import WIRE as COMMANDS
from tincans.wires.json import WIRE as JSON
from tincans.wires.jsonrpc import WIRE as JSONRPC
from tincans.wires.native import WIRE as NATIVE
from tincans.wires.text import WIRE as TEXT

COUNT = int(os.environ.get("TINCANS_FUZZ", "20000"))
SEED = int(os.environ.get("TINCANS_FUZZ_SEED", random.SystemRandom().randrange(2**32)))
MEMORY = 300 * 1024
"""KiB by which the process may grow: a frame here has 30 KiB at most, so any real bomb is far beyond."""


@pytest.mark.parametrize(
    "wire",
    [NATIVE, JSON, TEXT, TEXT.for_caller, COMMANDS, JSONRPC],
    ids=["native", "json", "text", "answers", "commands", "jsonrpc"],
)
def test_hostile_frames_give_our_own_errors_and_take_no_memory(wire: Wire) -> None:
    print(f"TINCANS_FUZZ_SEED={SEED}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fuzz(wire, COUNT, SEED)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


def test_the_fuzzing_starts_from_every_kind_of_message() -> None:
    for wire, kinds in ((NATIVE, 13), (JSON, 13)):
        assert len({type(wire.decode(frame)) for frame in corpus(wire)}) == kinds
