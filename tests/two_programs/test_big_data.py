"""Big data between really separate programs: nothing is copied that need not be, and nothing stays behind.

Rules of this file
- This program is Bob; Alice and the subscribers are programs of their own. Which memory an array lies in is said by the
  kernel: the inode of its segment.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from two_programs.programs import FACES, HERE, Program, Stage, method_id

import tincans
import tincans.aio
from tincans.conformance.patience import eventually
from tincans.toolkit.live_memory import segment_of
from tincans.toolkit.memory_pool import POOL

MEBI = 1 << 20
SHARING = ["{name}", "shm:{name}", "unix:{name}"]
BIG = str(HERE / "big_alice.py")

sharing = pytest.mark.parametrize("method", SHARING, ids=method_id)
local = pytest.mark.parametrize("method", SHARING[:1], ids=method_id)
both_faces = pytest.mark.parametrize("face", FACES)
sync = pytest.mark.parametrize("face", FACES[:1])


@pytest.fixture(autouse=True)
def pool() -> Iterator[None]:
    """This program's pool, empty, and as it was afterwards."""
    gc.collect()
    limit = POOL.limit
    POOL.clear()
    yield
    POOL.limit = limit
    gc.collect()
    POOL.clear()


@pytest.fixture
def alice(stage: Stage) -> Program:
    program = stage.start(BIG, stage.face, stage.url)
    program.said("serving")
    return program


@pytest.fixture
def bob(stage: Stage, alice: Program) -> Iterator[Callable[..., Any]]:
    """Calls to Alice, in the face under test."""
    if stage.face == "sync":
        with tincans.connect(stage.url) as peer:
            yield peer.call
        return
    with asyncio.Runner() as loop:
        peer_there = loop.run(opened(stage.url))
        yield lambda *words, **named: loop.run(asked(peer_there, *words, **named))
        loop.run(peer_there.close())


async def opened(url: str) -> Any:
    return await tincans.aio.connect(url)


async def asked(peer: Any, *words: Any, **named: Any) -> Any:
    return await peer.call(*words, **named)


def inode(array: Any) -> int:
    found = segment_of(array)
    return 0 if found is None else os.fstat(found[0]).st_ino


def filled(shape: Any, dtype: Any = "int64", **how: Any) -> Any:
    array = tincans.empty(shape, dtype, **how)
    array[...] = np.arange(array.size, dtype=dtype).reshape(array.shape)
    return array


@sharing
@both_faces
def test_an_array_in_shareable_memory_is_not_copied_and_arrives_read_only(bob: Any) -> None:
    array = filled(MEBI)
    seen = bob("look", array)
    assert seen["segment"] == inode(array) != 0
    assert (seen["sum"], seen["writable"]) == (int(array.sum()), False)


@sharing
@both_faces
def test_a_plain_array_is_copied_once(bob: Any) -> None:
    for letter in (1, 2, 3):
        seen = bob("look", np.full(MEBI, letter))
        assert seen["segment"] != 0 and seen["sum"] == letter * MEBI
        eventually(lambda: POOL.in_use() == 0)  # she drops it when she has answered
        assert len(POOL._segments) == 1


VIEWS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda a: a[100:900],
    "columns": lambda a: a[:, 100:900],
    "every other": lambda a: a[::2, ::2],
    "backwards": lambda a: a[::-1, ::-1],
    "transposed": lambda a: a.T,
    "cut into cubes": lambda a: a.reshape(16, 64, 1024).transpose(2, 0, 1)[5:],
    "other type": lambda a: a.view("int32")[:, 1::2],
}


@sharing
@both_faces
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_of_shareable_memory_is_not_copied_whatever_its_strides(bob: Any, view: Any) -> None:
    whole = filled((1024, 1024))
    part = view(whole)
    seen = bob("look", part)
    assert seen["segment"] == inode(whole) != 0
    assert seen["sum"] == int(part.sum())
    assert len(POOL._segments) == 1
    assert (bob("back", part) == part).all()


@local
@sync
def test_repeated_elements_and_gaps_in_plain_memory_are_copied_and_right(bob: Any) -> None:
    row, plain = filled(1024), np.arange(4 * MEBI).reshape(2048, 2048)
    for part in (np.broadcast_to(row, (1024, 1024)), plain[:, ::2], plain[::-3, 7:]):
        seen = bob("look", part)
        assert seen["sum"] == int(part.sum())
        assert seen["segment"] not in (0, inode(row))


@sharing
@both_faces
@pytest.mark.parametrize("size", [1, 1000, 3000, MEBI])
def test_writable_memory_is_shared_both_ways_whatever_its_size(bob: Any, size: int) -> None:
    array = tincans.empty(size, "int64", writable=True)
    array[:] = 1
    assert bob("hold", array) == 1
    bob("poke", array, 5)
    assert set(array.tolist()) == {5}
    array[0] = 6
    assert bob("held", 0) == 6


@local
@sync
def test_share_for_writing_is_one_copy_that_both_see(stage: Stage, alice: Program) -> None:
    with tincans.connect(stage.url) as peer:
        array = peer.share(np.ones(1000, dtype="int64"), writable=True)
        peer.call.poke(array[10:20], 7)
        assert array.sum() == 990 + 70


@pytest.mark.parametrize("method", ["tcp://127.0.0.1:{port}", "json+unix:{name}"], ids=method_id)
@both_faces
def test_where_memory_cannot_be_shared_for_writing_it_is_refused(stage: Stage, alice: Program) -> None:
    with tincans.connect(stage.url) as peer, pytest.raises(tincans.UnsupportedError, match="bare name"):
        peer.share(np.ones(10), writable=True)


@local
@sync
def test_a_read_only_array_cannot_be_written_to_at_the_other_end(bob: Any) -> None:
    with pytest.raises(ValueError, match="read-only"):
        bob("poke", filled(MEBI), 1)


@sharing
@both_faces
def test_a_plain_array_published_by_the_server_is_copied_once_for_all(stage: Stage, alice: Program, bob: Any) -> None:
    listeners = [stage.start(BIG, "listen", stage.url) for _ in range(4)]
    for each in listeners:
        each.said("listening")
    publish = "publish" if stage.face == "sync" else "publish_on_loop"
    assert bob(publish, "big.news", MEBI) == 1
    heard = [each.said("heard") for each in listeners]
    assert {each["sum"] for each in heard} == {MEBI * (MEBI - 1) // 2}
    assert len({each["segment"] for each in heard}) == 1 and heard[0]["segment"] != 0


@sharing
@sync
def test_an_array_published_by_a_client_goes_to_all_without_a_further_copy(stage: Stage, alice: Program) -> None:
    listeners = [stage.start(BIG, "listen", stage.url) for _ in range(4)]
    for each in listeners:
        each.said("listening")
    array = filled(MEBI)
    with tincans.connect(stage.url) as peer:
        peer.publish("big.news", {"plain": array})
        heard = [each.said("heard") for each in listeners]
        assert {each["segment"] for each in heard} == {inode(array)}
        assert peer.call.memory()["taken"] == 0


@sharing
@sync
def test_queues_and_state_hold_the_memory_itself(stage: Stage, alice: Program) -> None:
    array = filled((1024, 2048))
    with tincans.connect(stage.url) as peer, tincans.connect(stage.url) as other:
        peer.queue("jobs").put({"picture": array[:, ::2]})
        peer.state["picture"] = array
        with other.queue("jobs").take(timeout=10) as job:
            assert (job.value["picture"] == array[:, ::2]).all()
            assert not job.value["picture"].flags.writeable
        assert inode(other.state["picture"]) == inode(array)
        assert peer.call.memory()["taken"] == 0


@local
@both_faces
def test_a_full_pool_says_so_and_nothing_is_sent(bob: Any) -> None:
    POOL.limit = 20 * MEBI
    plain = np.zeros(MEBI, dtype="int64")
    assert [bob("hold", plain) for _ in range(2)] == [1, 2]
    for refused in (lambda: bob("hold", plain), lambda: tincans.empty(MEBI, "int64")):
        with pytest.raises(tincans.FullError, match=r"bounded to 20,971,520 bytes.*\?pool="):
            refused()
    assert bob("hold", plain[:1000]) == 3
    bob("drop")
    assert bob("hold", plain) == 1


@pytest.mark.parametrize("method", ["local:{name}?pool=16M", "unix:{name}?pool=16M"], ids=method_id)
@sync
def test_the_option_pool_bounds_the_program_that_gives_it(stage: Stage, alice: Program, bob: Any) -> None:
    assert POOL.limit == 16 * MEBI
    with pytest.raises(tincans.FullError):
        tincans.empty(17 * MEBI, "uint8")


@local
@sync
def test_after_a_thousand_arrays_memory_is_what_it_was_after_a_few(bob: Any) -> None:
    plain = np.zeros(MEBI, dtype="int64")
    for _ in range(10):
        bob("last", plain)
    taken = POOL._taken
    for _ in range(990):
        assert bob("last", plain) == 0
    assert POOL._taken <= max(taken, 3 * plain.nbytes)
    for _ in range(1000):
        assert bob("last", filled(MEBI)[:0:-1]) == 1
    assert POOL._taken <= max(taken, 4 * plain.nbytes)


@sharing
@sync
def test_the_memory_that_a_killed_receiver_held_comes_back(bob: Any, alice: Program) -> None:
    for _ in range(5):
        bob("hold", np.zeros(MEBI, dtype="int64"))
    mine = filled(MEBI)
    bob("hold", mine)
    del mine
    assert POOL.in_use() >= 6 * 8 * MEBI
    alice.kill()
    eventually(lambda: POOL.in_use() == 0)


def holders(number: int) -> set[int]:
    """The programs that hold a segment: by a descriptor or a mapping."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            open_ = {each.stat().st_ino for each in process.glob("fd/*") if "tincans" in str(each.readlink())}
            maps = [line.split() for line in (process / "maps").read_text().splitlines() if "memfd:tincans" in line]
        except OSError:
            continue
        if number in open_ or any(int(line[4]) == number for line in maps):
            found.add(int(process.name))
    return found


@local
@sync
def test_nothing_is_left_when_both_programs_were_killed(stage: Stage, alice: Program) -> None:
    before = set(Path("/dev/shm").iterdir())
    listener = stage.start(BIG, "listen", stage.url)
    listener.said("listening")
    with tincans.connect(stage.url) as peer:
        peer.call.publish("big.news", MEBI)
    number = listener.said("heard")["segment"]
    assert holders(number) == {alice.pid, listener.pid}
    for program in (alice, listener):
        program.kill()
        program.ended()
    assert holders(number) == set()
    assert set(Path("/dev/shm").iterdir()) == before


@local
@both_faces
def test_a_gibibyte_in_one_argument(bob: Any) -> None:
    shared = tincans.empty(128 * MEBI, "int64")
    shared[-1] = 7
    assert bob("last", shared) == 7
    del shared
    assert bob("last", np.full(128 * MEBI, 8)) == 8


KINDS = ["pyarrow", "pandas", "polars"]


@sharing
@sync
@pytest.mark.parametrize("kind", KINDS)
def test_a_table_is_mapped_at_the_receiver_and_not_copied(bob: Any, kind: str) -> None:
    numbers = np.arange(MEBI)
    library = pytest.importorskip(kind, reason=f"pip install {kind}")
    made = library.table({"n": numbers}) if kind == "pyarrow" else library.DataFrame({"n": numbers})
    seen = bob("table", made)
    assert seen == {"segment": seen["segment"], "sum": int(numbers.sum()), "kind": kind}
    assert seen["segment"] != 0 and len(POOL._segments) == 1


@local
@sync
def test_an_arrow_table_that_was_received_is_passed_on_without_a_copy(stage: Stage, alice: Program, bob: Any) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pip install pyarrow")
    with tincans.connect(stage.url) as peer:
        shared = peer.share(arrow.table({"n": np.arange(MEBI)}))
    there = bob("table", shared)["segment"]
    assert there != 0
    again = bob("back", shared)
    assert again.equals(shared)
    assert bob("table", again)["segment"] == there
    assert len(POOL._segments) == 1
