"""Memory that is shared by descriptor: sealed, checked, owned by its view."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import open_descriptors

from tincans.errors import FullError, ProtocolError, UnsendableError
from tincans.toolkit import sealed_memory
from tincans.toolkit.live_memory import segment_of
from tincans.toolkit.memory_pool import POOL
from tincans.toolkit.sealed_memory import SEAL_GROW, SEAL_SHRINK, SEAL_WRITE, attach, frozen_copy, share


def memory(content: bytes, seals: int) -> int:
    descriptor = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    sealed_memory.seal(descriptor, seals)
    return descriptor


def test_what_was_copied_in_is_what_is_seen() -> None:
    content = bytes(range(256)) * 100
    assert bytes(attach(frozen_copy(content), offset=0, length=len(content), frozen=True)) == content


@pytest.mark.parametrize("offset", [1, 4095, 4096, 4097, 10_000])
def test_any_offset_can_be_attached(offset: int) -> None:
    content = os.urandom(20_000)
    view = attach(frozen_copy(content), offset=offset, length=5000, frozen=True)
    assert bytes(view) == content[offset : offset + 5000]


def test_a_view_cannot_be_written_to() -> None:
    view = share(b"x" * 5000)
    with pytest.raises(TypeError):
        view[0] = 1
    with pytest.raises(TypeError):
        view.obj[0] = 1  # type: ignore[index]
    assert not np.frombuffer(view, np.uint8).flags.writeable


def test_a_frozen_copy_cannot_be_changed_by_its_maker() -> None:
    descriptor = frozen_copy(b"x" * 5000)
    for change in (
        lambda: os.pwrite(descriptor, b"y", 0),
        lambda: os.ftruncate(descriptor, 0),
        lambda: os.ftruncate(descriptor, 9000),
        lambda: mmap.mmap(descriptor, 5000),
        lambda: fcntl.fcntl(descriptor, sealed_memory.ADD_SEALS, 0),
    ):
        with pytest.raises(OSError):
            change()
    os.close(descriptor)


@pytest.mark.parametrize("seals", [0, SEAL_SHRINK, SEAL_SHRINK | SEAL_WRITE, SEAL_SHRINK | SEAL_GROW])
def test_memory_that_could_be_pulled_away_is_refused_and_closed(seals: int) -> None:
    before = open_descriptors()
    with pytest.raises(ProtocolError, match="sealed"):
        attach(memory(b"x" * 5000, seals), offset=0, length=5000, frozen=False)
    assert open_descriptors() == before


def test_memory_that_its_maker_can_still_write_is_refused_where_it_must_be_frozen() -> None:
    descriptor = memory(b"x" * 5000, SEAL_SHRINK | SEAL_GROW | sealed_memory.SEAL_FUTURE_WRITE)
    with pytest.raises(ProtocolError):
        attach(os.dup(descriptor), offset=0, length=5000, frozen=True)
    assert attach(descriptor, offset=0, length=5000, frozen=False)[0] == ord("x")


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 5001), (1, 5000), (5000, 1), (1 << 62, 1 << 62), (0, (1 << 63) - 1)]
)
def test_memory_smaller_than_promised_is_refused(offset: int, length: int) -> None:
    with pytest.raises(ProtocolError, match="promised"):
        attach(frozen_copy(b"x" * 5000), offset=offset, length=length, frozen=True)


def test_a_pipe_or_a_file_is_no_sealed_memory(tmp_path: Path) -> None:
    end, other = os.pipe()
    os.close(other)
    place = tmp_path / "file"
    place.write_bytes(b"x" * 5000)
    for descriptor in (end, os.open(place, os.O_RDWR)):
        with pytest.raises(ProtocolError):
            attach(descriptor, offset=0, length=10, frozen=False)
        with pytest.raises(OSError):
            os.fstat(descriptor)


def test_the_memory_lives_as_long_as_a_view_and_no_longer() -> None:
    before = open_descriptors()
    array = np.frombuffer(attach(frozen_copy(b"\1" * 5000), offset=0, length=5000, frozen=True), np.uint8)[10:20]
    assert array.sum() == 10
    assert open_descriptors() != before
    del array
    assert open_descriptors() == before


def test_shared_arrays_are_found_through_views_of_any_kind() -> None:
    array = np.frombuffer(share(np.arange(10_000, dtype=np.int64).data), np.int64).reshape(100, 100)
    found = segment_of(array)
    assert found is not None and found[1:] == (0, 80_000)
    for part, offset, length in (
        (memoryview(array), 0, 80_000),
        (memoryview(array).cast("B")[16:32], 16, 16),
        (array[2:4], 1600, 1600),
        (memoryview(array[1]).cast("B"), 800, 800),
        (array.view(np.uint8), 0, 80_000),
    ):
        there: Any = segment_of(part)
        assert there[0] == found[0] and there[1:] == (offset, length)


def test_what_lies_elsewhere_is_not_found() -> None:
    for data in (b"bytes", bytearray(5), np.arange(5), memoryview(b"view"), np.frombuffer(b"12345678", np.int64)):
        assert segment_of(data) is None


def test_an_attached_view_can_be_passed_on_without_a_copy() -> None:
    view = attach(frozen_copy(b"0123456789" * 1000), offset=5000, length=100, frozen=True)
    found = segment_of(view[10:20])
    assert found is not None and found[1:] == (5010, 10)


def test_sharing_nothing_gives_an_empty_view() -> None:
    assert bytes(share(b"")) == b""


def test_sharing_what_is_not_contiguous_is_refused() -> None:
    with pytest.raises(UnsendableError):
        share(memoryview(b"123456")[::2])


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
def test_running_out_is_a_clear_error_and_leaks_nothing(reason: int, monkeypatch: pytest.MonkeyPatch) -> None:
    POOL.clear()  # what is warm there would do
    before = open_descriptors()

    def refuse(*_: object) -> int:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("tincans.toolkit.raw_buffer.fill_fresh", refuse)
    with pytest.raises(FullError, match=os.strerror(reason)):
        share(b"x" * 3_000_000)
    monkeypatch.setattr("tincans.toolkit.sealed_memory.os.memfd_create", refuse)
    with pytest.raises(FullError, match=os.strerror(reason)):
        share(b"x" * 3_000_000)
    assert open_descriptors() == before
