"""A large copy, past the caches and with two hands: every byte, wherever it begins and ends."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from tincans import _speed
from tincans.conformance.patience import eventually
from tincans.toolkit import raw_buffer

pytestmark = pytest.mark.skipif(bool(_speed.why_not()), reason=_speed.why_not())
PIECE = 4 << 20
TWO_HANDS = 33 << 20


def copy_large(target: object, source: object) -> None:
    from tincans._speed._core import copy_large

    copy_large(target, source)  # type: ignore[arg-type]


def threads_now() -> int:
    """All threads of this program, also those that Python does not know."""
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("size", [0, 1, 15, 63, 64, 65, 200, 4096, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 77])
@pytest.mark.parametrize("begin", [0, 1, 16, 63])
def test_every_byte_is_copied_and_none_beside_them(size: int, begin: int) -> None:
    source = random.Random(size).randbytes(size + begin)
    target = bytearray(b"\xaa" * (size + begin + 64))
    copy_large(memoryview(target)[begin : begin + size], memoryview(source)[begin:])
    assert target[begin : begin + size] == source[begin:]
    assert target[:begin] == b"\xaa" * begin and target[begin + size :] == b"\xaa" * 64


@pytest.mark.parametrize("size", [TWO_HANDS, TWO_HANDS + 5])
def test_two_hands_copy_what_one_does(size: int) -> None:
    source = os.urandom(1 << 20) * (size >> 20) + b"12345"
    target = bytearray(size)
    copy_large(target, memoryview(source)[:size])
    assert target == memoryview(source)[:size]


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not say which CPUs a program may use"
)
def test_a_program_with_one_cpu_copies_with_one_hand() -> None:
    before = os.sched_getaffinity(0)
    threads = threads_now()
    os.sched_setaffinity(0, {min(before)})
    try:
        source, target = bytes(1) * TWO_HANDS, bytearray(b"x") * TWO_HANDS
        copy_large(target, source)
    finally:
        os.sched_setaffinity(0, before)
    assert target == source
    eventually(lambda: threads_now() <= threads)  # the kernel lists a thread that has ended a little longer


def test_the_second_hand_is_gone_afterwards() -> None:
    threads = threads_now()
    copy_large(bytearray(TWO_HANDS), bytes(TWO_HANDS))
    eventually(lambda: threads_now() <= threads)  # the kernel lists a thread that has ended a little longer


def test_what_does_not_fit_is_refused_before_anything_is_written() -> None:
    target = bytearray(3)
    with pytest.raises(ValueError, match="4 bytes do not fit into 3"):
        copy_large(target, b"1234")
    assert target == bytearray(3)
    with pytest.raises((TypeError, BufferError)):
        copy_large(b"never", b"1")


def test_others_run_meanwhile() -> None:
    source, target = bytes(8 * TWO_HANDS), bytearray(8 * TWO_HANDS)
    ended = threading.Event()

    def work() -> None:
        copy_large(target, source)
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    steps = 0
    while not ended.is_set():
        steps += 1
    thread.join()
    assert steps > 100


def test_the_pool_uses_it_for_what_no_cache_holds() -> None:
    source = random.Random(1).randbytes(1 << 20) * 40
    target = bytearray(len(source) + 1)
    raw_buffer.copy(target, source)
    assert target[:-1] == source
    with pytest.raises(ValueError, match="do not fit"):
        raw_buffer.copy(bytearray(len(source) - 1), source)
