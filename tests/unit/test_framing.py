"""Framing: what goes in comes out, however the bytes are cut, and lies about lengths cost no memory."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from tincans.contracts import Buffer
from tincans.core.deframing import FrameReader, Passed
from tincans.core.framing import FRAMES, LINES, RECEIVE_AT_MOST, framing
from tincans.errors import AddressError, ProtocolError, UnsendableError

LIMIT = 1 << 20
MESSAGES: list[list[Buffer]] = [
    [b""],
    [b"x"],
    [b"envelope", b"part", b"", b"another"],
    [b"", b""],
    [b"e" * 300, b"p" * 70_000],
    [b"e" * 20_000],
]


def header(further: int = 0, envelope: int = 0, magic: int = 0xCA, version: int = 1) -> bytes:
    return struct.pack("<BBHI", magic, version, further, envelope)


def plain(message: list[Buffer] | None) -> list[bytes] | None:
    return None if message is None else [bytes(part) for part in message]


def wire_form(message: list[Buffer]) -> bytes:
    return b"".join(FRAMES.encode(message))


@pytest.mark.parametrize("step", [1, 2, 7, 8, 9, 1000, RECEIVE_AT_MOST, 1 << 20])
def test_messages_come_out_whole_however_the_stream_is_cut(step: int) -> None:
    stream = b"".join(map(wire_form, MESSAGES[:4] if step < 7 else MESSAGES))
    reader, found = FRAMES.decoder(LIMIT), []
    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        while (message := reader.next()) is not None:
            found.append(plain(message))
    assert found == (MESSAGES[:4] if step < 7 else MESSAGES)


def test_take_gives_what_feed_and_next_would() -> None:
    reader = FRAMES.decoder(LIMIT)
    assert reader.take(wire_form([b"one"])) == [b"one"]
    assert reader.take(wire_form([b"two"]) + wire_form([b"three"])[:9]) == [b"two"]
    assert reader.take(wire_form([b"three"])[9:] + wire_form([b"four"])) == [b"three"]
    assert reader.next() == [b"four"]
    assert reader.idle


def test_a_part_that_looks_like_a_frame_is_still_a_part() -> None:
    reader, inner = FRAMES.decoder(LIMIT), wire_form([b"inner"])
    frame = wire_form([b"envelope", inner])
    assert reader.take(frame[: -len(inner)]) is None
    assert reader.take(inner) == [b"envelope", inner]


@pytest.mark.parametrize("chunk", [1, 1000, 100_000])
def test_a_large_part_is_received_straight_into_its_memory(chunk: int) -> None:
    size = 5_000 if chunk == 1 else 300_000
    content = bytes(range(256)) * (size // 256)
    stream = wire_form([b"envelope", content])
    reader = FRAMES.decoder(LIMIT)
    reader.feed(stream[:1000])
    at, message = 1000, reader.next()
    while message is None:
        view = reader.space()
        if view is None:
            reader.feed(stream[at : at + chunk])
            at += chunk
        else:
            count = min(len(view), chunk, len(stream) - at)
            view[:count] = stream[at : at + count]
            reader.filled(count)
            at += count
        message = reader.next()
    assert plain(message) == [b"envelope", content]


def test_a_frame_has_the_documented_layout() -> None:
    assert wire_form([b"ab"]) == b"\xca\x01\x00\x00\x02\x00\x00\x00ab"
    assert wire_form([b"ab", b"c"]) == b"\xca\x01\x01\x00\x02\x00\x00\x00" + struct.pack("<Q", 1) + b"abc"


def test_a_small_message_is_one_buffer_and_a_large_part_is_not_copied() -> None:
    assert len(FRAMES.encode([b"envelope", b"part"])) == 1
    large = b"x" * 100_000
    assert FRAMES.encode([b"envelope", large])[-1] is large


@pytest.mark.parametrize("length", [LIMIT + 1, (1 << 31) - 1, (1 << 32) - 1])
def test_a_lie_about_the_envelope_is_refused_before_memory_is_taken(length: int) -> None:
    reader = FRAMES.decoder(LIMIT)
    reader.feed(header(envelope=length))
    with pytest.raises(ProtocolError, match=str(length)):
        reader.next()


@pytest.mark.parametrize("length", [LIMIT + 1, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_lie_about_a_part_is_refused_before_memory_is_taken(length: int) -> None:
    reader = FRAMES.decoder(LIMIT)
    reader.feed(header(further=1) + struct.pack("<Q", length))
    with pytest.raises(ProtocolError):
        reader.next()


def test_parts_that_are_too_large_only_together_are_refused() -> None:
    reader = FRAMES.decoder(LIMIT)
    reader.feed(header(further=2, envelope=1) + struct.pack("<QQ", LIMIT // 2, LIMIT // 2))
    with pytest.raises(ProtocolError):
        reader.next()


def test_a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    reader = FRAMES.decoder(100)
    reader.feed(wire_form([b"x" * 60, b"y" * 40]))
    assert plain(reader.next()) == [b"x" * 60, b"y" * 40]
    reader.feed(wire_form([b"x" * 101]))
    with pytest.raises(ProtocolError):
        reader.next()


def test_memory_follows_the_bytes_and_not_the_header() -> None:
    reader = FRAMES.decoder(1 << 40)
    tracemalloc.start()
    try:
        reader.feed(header(further=1) + struct.pack("<Q", 1 << 39) + b"some bytes")
        assert reader.next() is None
        assert reader.space() is not None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_lowered_limit_holds_for_the_next_message() -> None:
    reader = FRAMES.decoder(LIMIT)
    reader.feed(wire_form([b"x" * 50]) * 2)
    assert reader.next() is not None
    reader.max_message = 10
    with pytest.raises(ProtocolError):
        reader.next()


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n", header(magic=0xCB), header(version=2), header(further=1025), b"\xff" * 8]
)
def test_garbage_is_a_protocol_error_after_the_messages_before_it(garbage: bytes) -> None:
    reader = FRAMES.decoder(LIMIT)
    reader.feed(wire_form([b"fine"]) + garbage)
    assert reader.next() == [b"fine"]
    with pytest.raises(ProtocolError):
        reader.next()


def test_parts_are_refused_beyond_1024_and_below_one() -> None:
    assert wire_form([b""] * 1025)
    for parts in ([b""] * 1026, []):
        with pytest.raises(UnsendableError):
            FRAMES.encode(parts)


def test_typed_views_travel_as_their_bytes() -> None:
    doubles = memoryview(struct.pack("3d", 1, 2, 3)).cast("d")
    reader = FRAMES.decoder(LIMIT)
    assert reader.take(wire_form([b"", doubles])) == [b"", struct.pack("3d", 1, 2, 3)]
    assert wire_form([b"", memoryview(b"").cast("I")]) == wire_form([b"", b""])


@pytest.mark.parametrize("part", [memoryview(b"123456")[::2], "text", 5, None])
def test_what_is_not_bytes_in_a_row_is_refused_at_the_sender(part: object) -> None:
    with pytest.raises(UnsendableError, match="bytes"):
        FRAMES.encode([b"envelope", part])  # type: ignore[list-item]


def passed_frame() -> list[Buffer]:
    return FRAMES.encode([b"envelope", Passed(100, 4096), b"inline", Passed(5, 0)])


def test_parts_beside_the_stream_are_put_where_they_belong() -> None:
    reader = FRAMES.decoder(LIMIT)
    reader.passing = True
    head, _carrier, *rest = passed_frame()
    reader.feed(head)
    assert reader.next() is None
    assert (reader.limit(), reader.wanted()) == (0, [Passed(100, 4096), Passed(5, 0)])
    reader.give([b"first", b"second"])
    reader.feed(b"".join(rest))
    assert reader.next() == [b"envelope", b"first", b"inline", b"second"]
    assert reader.limit() == RECEIVE_AT_MOST


def test_a_message_of_nothing_but_passed_parts_is_whole_without_more_bytes() -> None:
    reader = FRAMES.decoder(LIMIT)
    reader.passing = True
    reader.feed(FRAMES.encode([b"", Passed(9, 0)])[0])
    assert reader.next() is None
    reader.give([b"memory"])
    assert reader.next() == [b"", b"memory"]


@pytest.mark.parametrize("before", [0, 1, 5000])
def test_a_plain_receive_never_reaches_the_byte_that_carries_descriptors(before: int) -> None:
    stream = wire_form([b"x" * before]) + b"".join(passed_frame())
    carrier = len(stream) - len(b"envelopeinline") - 1
    for step in (1, 100, RECEIVE_AT_MOST):
        reader, at = FRAMES.decoder(LIMIT), 0
        reader.passing = True
        while reader.limit():
            taken = stream[at : at + min(step, reader.limit())]
            at += len(taken)
            reader.feed(taken)
            while reader.next() is not None:
                pass
        assert at == carrier


def test_passed_parts_are_refused_where_they_cannot_travel() -> None:
    reader = FRAMES.decoder(LIMIT)
    reader.feed(passed_frame()[0])
    with pytest.raises(ProtocolError, match="descriptors"):
        reader.next()


def test_passed_parts_do_not_count_against_the_limit_but_the_others_do() -> None:
    head = FRAMES.encode([b"envelope", Passed(1 << 40, 4096), bytes(1 << 20)])[0]
    for limit, right in ((1 << 20, False), ((1 << 20) + 8, True)):
        reader = FrameReader(limit)
        reader.passing = True
        reader.feed(head)
        if right:
            assert reader.next() is None
        else:
            with pytest.raises(ProtocolError, match="limit"):
                reader.next()


def test_who_may_say_little_may_pass_no_memory() -> None:
    reader = FrameReader(64 * 1024)
    reader.passing = True
    reader.feed(passed_frame()[0])
    with pytest.raises(ProtocolError, match="descriptors"):
        reader.next()


def test_lines_are_messages_with_either_line_end() -> None:
    reader = LINES.decoder(LIMIT)
    found = []
    for byte in b"add 2 5\r\n\nsch\xc3\xb6n\nrest":
        reader.feed(bytes([byte]))
        while (message := reader.next()) is not None:
            found.append(message)
    assert found == [[b"add 2 5"], [b""], ["schön".encode()]]
    assert not reader.idle


def test_several_lines_in_one_go_are_several_messages() -> None:
    reader = LINES.decoder(LIMIT)
    assert reader.take(b"one\ntwo\n") == [b"one"]
    assert (reader.next(), reader.next(), reader.idle) == ([b"two"], None, True)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not(end: bytes) -> None:
    reader = LINES.decoder(10)
    reader.feed(b"x" * 10 + end)
    assert reader.next() == [b"x" * 10]
    reader.feed(b"x" * 11 + end)
    with pytest.raises(ProtocolError):
        reader.next()


def test_an_endless_line_is_refused_and_not_collected() -> None:
    reader = LINES.decoder(1000)
    reader.feed(b"x" * 900)
    assert reader.next() is None
    reader.feed(b"x" * 900)
    with pytest.raises(ProtocolError):
        reader.next()


def test_a_line_that_is_not_text_is_a_protocol_error() -> None:
    reader = LINES.decoder(LIMIT)
    reader.feed(b"\xff\xfe\n")
    with pytest.raises(ProtocolError, match="UTF-8"):
        reader.next()


@pytest.mark.parametrize("parts", [[b"two\nlines"], [b"\xff"], [b"one", b"two"], [b"ends in\r"], []])
def test_what_is_no_line_is_refused_at_the_sender(parts: list[bytes]) -> None:
    with pytest.raises(UnsendableError):
        LINES.encode(parts)


def test_framings_are_found_by_name() -> None:
    assert framing("frames") is FRAMES
    assert framing("lines") is LINES
    with pytest.raises(AddressError, match="lines"):
        framing("words")
