"""The rest of a message, with a stream that takes little at a time."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from patience import open_descriptors

from tincans.toolkit.outgoing import MessageBegun, Outgoing


class Narrow:
    """A stream that takes at most `width` bytes in one call, and what a test prepared instead."""

    def __init__(self, width: int, *instead: BaseException) -> None:
        self.width = width
        self.instead = list(instead)
        self.taken = b""
        self.rights_at: list[tuple[int, int]] = []

    def sendmsg(self, buffers: Any, ancillary: Any = (), flags: int = 0) -> int:
        if self.instead:
            raise self.instead.pop(0)
        for _level, _kind, descriptors in ancillary:
            self.rights_at.append((len(self.taken), len(descriptors)))
        data = b"".join(buffers)[: self.width]
        self.taken += data
        return len(data)


def write_all(rest: Outgoing, stream: Narrow) -> int:
    for calls in range(1, 1000):
        if rest.write(stream):
            return calls
    raise AssertionError("it never ended")


@pytest.mark.parametrize("width", [1, 2, 3, 5, 100])
def test_all_leaves_in_order_however_little_at_a_time(width: int) -> None:
    stream = Narrow(width)
    calls = write_all(Outgoing([b"ab", b"", b"cde", b"f"]), stream)
    assert stream.taken == b"abcdef"
    assert calls == -(-6 // width)


def test_what_is_kept_is_a_copy_of_what_has_not_left() -> None:
    buffer = bytearray(b"abcdef")
    rest, stream = Outgoing([buffer, b"gh"]), Narrow(4)
    assert not rest.write(stream)
    rest.keep()
    buffer[:] = b"------"
    write_all(rest, stream)
    assert stream.taken == b"abcdefgh"


def test_it_knows_whether_something_has_left() -> None:
    rest = Outgoing([b"abc"])
    with pytest.raises(BlockingIOError):
        rest.write(Narrow(1, BlockingIOError()))
    assert not rest.begun
    rest.write(Narrow(1))
    assert rest.begun


def test_a_record_that_was_begun_counts_as_having_left() -> None:
    rest = Outgoing([b"abc"])
    with pytest.raises(MessageBegun):
        rest.write(Narrow(1, MessageBegun()))
    assert rest.begun


@pytest.mark.parametrize("width", [1, 3, 100])
def test_descriptors_go_with_the_byte_after_the_head_and_once(width: int) -> None:
    before = open_descriptors()
    rest, stream = Outgoing([b"head", b"\0", b"rest"], [os.dup(0), os.dup(0)]), Narrow(width)
    write_all(rest, stream)
    assert stream.taken == b"head\0rest"
    assert stream.rights_at == [(4, 2)]
    assert open_descriptors() == before


def test_too_many_descriptors_in_flight_is_a_reason_to_wait() -> None:
    rest, stream = Outgoing([b"head", b"\0"], [os.dup(0)]), Narrow(100)
    rest.write(stream)
    stream.instead = [OSError(errno.ETOOMANYREFS, "too many")]
    with pytest.raises(BlockingIOError):
        rest.write(stream)
    assert rest.write(stream)


def test_closing_closes_the_descriptors_that_have_not_left() -> None:
    before = open_descriptors()
    rest = Outgoing([b"head", b"\0"], [os.dup(0)])
    rest.close()
    rest.close()
    assert open_descriptors() == before
