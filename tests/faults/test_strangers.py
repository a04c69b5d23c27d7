"""Strangers at the door, in short; `make faults` has thousands of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults.strangers import Siege, besiege, pelt, with_certificates
from two_programs.programs import FACES, Stage, method_id

from tincans.core.handshake import GREETING_TIMEOUT
from tincans.pump.reactor import MAX_WORKERS

SILENT, TRICKLING, GARBAGE = 200, 200, 2000
CUTTING = {
    "unix:{name}": "sync",
    "tcp://127.0.0.1:{port}": "aio",
    "http://127.0.0.1:{port}": "sync",
}
doors = pytest.mark.parametrize(
    ("method", "face"), CUTTING.items(), ids=[method.partition(":")[0] + method[-8:] for method in CUTTING]
)
every_door = pytest.mark.parametrize("method", ["unix:{name}", "tcp://127.0.0.1:{port}", "pipe:{name}"], ids=method_id)
other_doors = pytest.mark.parametrize(
    "method",
    [
        "{name}", "mq:{name}", "mp:{name}", "mp://127.0.0.1:{port}?authkey=secret", "http://127.0.0.1:{port}",
        "tcp://127.0.0.1:{port}?key=secret&key_name=bob", "tcp://127.0.0.1:{port}?tls=yes",
        "jsonrpc+tcp://127.0.0.1:{port}", "text+tcp://127.0.0.1:{port}",
    ],
)  # fmt: skip
both_faces = pytest.mark.parametrize("face", FACES)


@pytest.fixture
def stage(method: str, face: str) -> Iterator[Stage]:
    """The programs of one test."""
    made = Stage(with_certificates(method), face)
    yield made
    made.close()


@pytest.mark.alone
@doors
def test_silent_and_trickling_strangers_are_cut_in_time_and_cost_little(stage: Stage) -> None:
    siege: Siege = besiege(stage, SILENT, TRICKLING)
    assert siege.first_cut > GREETING_TIMEOUT - 1
    assert siege.last_cut < GREETING_TIMEOUT + 3
    assert siege.ratio < 3  # promised is 2, which a machine with other work to do cannot show in so short a time
    assert siege.memory < 64 * 1024
    assert siege.threads <= MAX_WORKERS + 2  # the pool, which a crowd may fill for a moment; never one each


@every_door
@both_faces
def test_garbage_neither_crashes_the_server_nor_costs_it_memory(stage: Stage) -> None:
    _before, _meanwhile, grown = pelt(stage, GARBAGE)
    assert grown < 16  # MiB; kept until their time to greet is over, they would take 25


@other_doors
@pytest.mark.parametrize("face", ["sync"])
def test_garbage_at_other_doors_does_neither(stage: Stage) -> None:
    _before, _meanwhile, grown = pelt(stage, GARBAGE // 8)
    assert grown < 16
