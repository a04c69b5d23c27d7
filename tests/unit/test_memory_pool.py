"""Segments are used again, but never under anybody's eyes."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from patience import PATIENCE, in_thread, open_descriptors

from tincans.errors import FullError
from tincans.toolkit.memory_pool import Pool
from tincans.toolkit.sealed_memory import attach

SIZE = 100_000
PAGE = mmap.PAGESIZE


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(limit=1_000_000)
    yield made
    made.clear()


def content(letter: str, size: int = SIZE) -> bytes:
    return letter.encode() * size


def which(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


def test_a_segment_is_used_again_when_the_last_descriptor_is_gone(pool: Pool) -> None:
    first = pool.lend(content("a"))
    memory = which(first)
    os.close(first)
    again = pool.lend(content("b"))
    assert which(again) == memory
    assert os.pread(again, SIZE, 0) == content("b")
    os.close(again)


def test_a_segment_is_not_touched_while_a_descriptor_is_under_way(pool: Pool) -> None:
    first, second = pool.lend(content("a")), pool.lend(content("b"))
    assert which(first) != which(second)
    assert os.pread(first, SIZE, 0) == content("a")
    os.close(first)
    os.close(second)


def test_a_segment_is_not_touched_while_a_mapping_of_it_lives(pool: Pool) -> None:
    view = attach(pool.lend(content("a")), offset=0, length=SIZE, frozen=False)
    for letter in "bcd":
        os.close(pool.lend(content(letter)))
    assert bytes(view) == content("a")


def test_a_segment_is_not_touched_while_another_program_holds_it(pool: Pool) -> None:
    descriptor = pool.lend(content("a"))
    memory = which(descriptor)
    program = "import sys; sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, pass_fds=[descriptor])
    os.close(descriptor)
    other = pool.lend(content("b"))
    assert which(other) != memory
    os.close(other)
    holder.kill()
    holder.communicate()
    lent = [pool.lend(content("c")) for _ in range(2)]
    freed = {which(descriptor) for descriptor in lent}
    for descriptor in lent:
        os.close(descriptor)
    assert memory in freed


def test_a_smaller_buffer_fits_and_a_much_smaller_one_does_not_waste(pool: Pool) -> None:
    first = pool.lend(content("a"))
    memory = which(first)
    os.close(first)
    for size, same in ((SIZE - 1, True), (SIZE // 2, True), (SIZE // 2 - 2 * PAGE, False), (SIZE + PAGE, False)):
        lent = pool.lend(content("b", size))
        assert (which(lent) == memory) is same
        assert os.pread(lent, size, 0) == content("b", size)
        os.close(lent)


def test_nobody_else_can_write_to_what_was_lent(pool: Pool) -> None:
    lent = pool.lend(content("a"))
    with pytest.raises(OSError):
        os.pwrite(lent, b"x", 0)
    again = os.open(f"/proc/self/fd/{lent}", os.O_RDWR | os.O_CLOEXEC)
    with pytest.raises(PermissionError):
        os.write(again, b"x")
    with pytest.raises(PermissionError):
        mmap.mmap(again, SIZE)
    os.close(again)
    os.close(lent)


def test_idle_memory_stays_within_the_limit(pool: Pool) -> None:
    for descriptor in [pool.lend(content("a")) for _ in range(9)]:
        os.close(descriptor)
    assert 0 < sum(segment.size for segment in pool._segments) <= pool.limit


def test_more_than_the_limit_is_refused_and_says_what_to_do(pool: Pool) -> None:
    lent = [pool.lend(content("a", 300_000)) for _ in range(3)]
    for refused in (lambda: pool.lend(content("b", 300_000)), lambda: pool.take(300_000, writable=False)):
        with pytest.raises(FullError, match=r"bounded to 1,000,000 bytes, and 9\d\d,\d\d\d are in use.*\?pool="):
            refused()
    os.close(lent.pop())
    lent.append(pool.lend(content("c", 300_000)))
    for descriptor in lent:
        os.close(descriptor)


def test_free_memory_of_another_size_makes_room(pool: Pool) -> None:
    for size in (400_000, 900_000, 100_000, 990_000):
        os.close(pool.lend(content("a", size)))
        assert pool._taken <= pool.limit
    assert len(pool._segments) == 1


def test_held_memory_counts_and_comes_back_when_it_is_dropped(pool: Pool) -> None:
    held = pool.take(500_000, writable=False)
    assert pool.in_use() >= 500_000
    again = os.dup(held.descriptor)
    del held
    assert pool.in_use() >= 500_000
    os.close(again)
    assert pool.in_use() == 0


def test_when_descriptors_are_scarce_nothing_is_lent(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincans.toolkit.memory_pool._most_segments", lambda: 2)
    lent = [pool.lend(content("a", 5000)) for _ in range(2)]
    assert pool.lend(content("b", 5000)) is None
    with pytest.raises(FullError, match="ulimit -n"):
        pool.take(5000, writable=False)
    for descriptor in lent:
        os.close(descriptor)
    os.close(pool.lend(content("c", 5000)))


def test_long_unused_segments_are_given_back(pool: Pool) -> None:
    os.close(pool.lend(content("a")))
    old = next(iter(pool._segments))
    old.used -= 61
    pool._looked = 0
    os.close(pool.lend(content("b", 3 * SIZE)))
    assert old not in pool._segments


def test_many_threads_never_get_the_same_segment_at_once(pool: Pool) -> None:
    def lend_often(letter: str) -> int:
        wrong = 0
        for _ in range(200):
            lent = pool.lend(content(letter, 5000))
            wrong += os.pread(lent, 5000, 0) != content(letter, 5000)
            os.close(lent)
        return wrong

    outcomes = [in_thread(lambda letter=letter: lend_often(letter)) for letter in "abcd"]  # type: ignore[misc]
    assert [outcome.result(PATIENCE) for outcome in outcomes] == [0, 0, 0, 0]


def test_a_forked_child_never_writes_into_its_parents_segments(pool: Pool) -> None:
    lent = pool.lend(content("a"))
    memory = which(lent)
    os.close(lent)
    child = os.fork()
    if child == 0:
        os._exit(int(which(pool.lend(content("b"))) == memory))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    again = pool.lend(content("c"))
    assert which(again) == memory
    os.close(again)


def test_without_proc_memory_is_lent_and_never_used_again(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise FileNotFoundError(2, "no /proc")

    monkeypatch.setattr("tincans.toolkit.memory_pool.os.open", refuse)
    lent = pool.lend(content("a"))
    monkeypatch.undo()
    assert os.pread(lent, SIZE, 0) == content("a")
    assert not pool._segments
    os.close(lent)


def test_the_pool_leaves_no_descriptor_open_when_cleared(pool: Pool) -> None:
    before = open_descriptors()
    for size in range(10_000, 100_000, 10_000):
        os.close(pool.lend(content("a", size)))
    pool.clear()
    assert open_descriptors() == before
