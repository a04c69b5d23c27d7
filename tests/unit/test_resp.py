"""Replies of Redis out of bytes, however they are cut; garbage and too much of it."""

from __future__ import annotations

import random

import pytest

from tincans.errors import DeniedError, FullError, ProtocolError, TincansError, VersionError
from tincans.toolkit.redis.resp import Replies, command, refusal

STREAM = b"".join(
    [
        b"*2\r\n$3\r\nbox\r\n$5\r\na\r\nbc\r\n",
        b":-7\r\n",
        b"+OK\r\n",
        b"$-1\r\n",
        b"_\r\n",
        b">3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$0\r\n\r\n",
        b"%1\r\n+proto\r\n:3\r\n",
        b"*2\r\n*1\r\n:1\r\n$2\r\nhi\r\n",
    ]
)
EXPECTED = [
    [b"box", b"a\r\nbc"],
    [-7],
    [b"OK"],
    [None],
    [None],
    [b"message", b"t", b""],
    [b"proto", 3],
    [[1], b"hi"],
]


def replies_in(pieces: list[bytes]) -> list[list[object]]:
    reader, found = Replies(1000), []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next()) is not None:
            found.append(reply)
    assert reader.idle
    return found


def test_replies_come_out_whole_however_the_stream_is_cut() -> None:
    assert replies_in([STREAM]) == EXPECTED
    assert replies_in([STREAM[i : i + 1] for i in range(len(STREAM))]) == EXPECTED
    chance = random.Random(5)
    for _ in range(200):
        cuts = sorted(chance.sample(range(1, len(STREAM)), 6))
        pieces = [STREAM[a:b] for a, b in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
        assert replies_in(pieces) == EXPECTED


def test_a_reply_over_the_limit_is_refused_before_it_has_come() -> None:
    reader = Replies(1000)
    reader.feed(b"$100000000\r\n")
    with pytest.raises(ProtocolError, match="limit"):
        reader.next()


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400\r\n", b"$x\r\n", b"*\r\n", b"\x00\x00\r\n", b"*1\r\n" * 20])
def test_garbage_is_a_protocol_error(garbage: bytes) -> None:
    reader = Replies(1000)
    reader.feed(garbage)
    with pytest.raises(ProtocolError):
        reader.next()


def test_an_endless_line_is_refused() -> None:
    reader = Replies(1000)
    reader.feed(b"+" + b"x" * 100_000)
    with pytest.raises(ProtocolError):
        reader.next()


def test_mutated_streams_raise_nothing_but_our_errors() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        data = bytearray(STREAM)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        reader = Replies(1000)
        reader.feed(bytes(data))
        try:
            while reader.next() is not None:
                pass
        except TincansError:
            pass


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", DeniedError),
        ("NOAUTH Authentication required.", DeniedError),
        ("NOPERM this user has no permissions", DeniedError),
        ("ERR AUTH <password> called without any password configured for the default user.", DeniedError),
        ("ERR unknown command 'HELLO'", VersionError),
        ("OOM command not allowed when used memory > 'maxmemory'.", FullError),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", ProtocolError),
    ],
)
def test_what_redis_refuses_becomes_the_right_error(text: str, kind: type[Exception]) -> None:
    assert type(refusal(text)) is kind


def test_a_command_is_binary_safe() -> None:
    assert command("SET", b"\r\n", 5) == b"*3\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$1\r\n5\r\n"
