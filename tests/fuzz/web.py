"""Mutated XML-RPC, queries and Redis replies into their readers: `python tests/fuzz/web.py [NAME] COUNT [SEED]`.

Rules of this file
- Nothing but the errors that each reader promises may come out (Allowed).
- Reproducible: a failure names reader, seed, round and the text.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from tincans.core.interface import Function, Parameter
from tincans.errors import ProtocolError, TincansError, UnsendableError
from tincans.protocols.http.problems import Problem
from tincans.protocols.http.query import named_arguments
from tincans.protocols.http.xml_rpc import Fault, call_text, fault_text, parsed_call, parsed_response, result_text
from tincans.toolkit.redis.resp import Replies, command

LIMIT = 10_000
VALUES: list[Any] = [0, -1, 2**40, 1.5, "text & <more>", b"bytes", None, True, [1, [2, {}]], {"a": {"b": [()]}}]
_ASKED = Function(
    "f",
    "f(a, b, c, d)",
    parameters=tuple(
        Parameter(name, schema=schema)
        for name, schema in {
            "a": {"type": "integer"},
            "b": {"type": "string"},
            "c": {"type": "array", "items": {"type": "number"}},
            "d": {"type": "object"},
        }.items()
    ),
)


class Reader(NamedTuple):
    """One parser: what is mutated, what it is fed to, and what it may raise."""

    seeds: list[bytes]
    pieces: list[bytes]
    read: Callable[[random.Random, bytes], None]
    allowed: tuple[type[Exception], ...]


def _read_xml(chance: random.Random, text: bytes) -> None:
    _name, params = parsed_call(text)
    try:
        call_text("again", tuple(params))
    except UnsendableError:  # the reader takes more than the writer says
        pass


def _read_answer(chance: random.Random, text: bytes) -> None:
    try:
        parsed_response(text)
    except Fault:
        pass


def _read_query(chance: random.Random, text: bytes) -> None:
    named_arguments(_ASKED, text)


def _read_replies(chance: random.Random, text: bytes) -> None:
    replies, at = Replies(LIMIT), 0
    while at < len(text):
        step = chance.choice((1, 7, 100, 100_000))
        replies.feed(text[at : at + step])
        at += step
        while (reply := replies.next()) is not None:
            assert sum(len(word) for word in reply if isinstance(word, bytes)) <= len(text)


READERS = {
    "xml-rpc calls": Reader(
        [call_text("add", tuple(VALUES)), *(call_text("f", (value,)) for value in VALUES)],
        [b"<value>", b"</value>", b"<array><data>", b"<struct><member><name>x</name>", b"<i4>", b"<int>9</int>",
         b"<double>1e999</double>", b"<double>nan</double>", b"<base64>a</base64>", b"<nil/>", b"&lt;", b"&#0;", b"&x;",
         b"<!DOCTYPE x [<!ENTITY y 'z'>]>", b"<?xml version='1.0' encoding='utf-16'?>", b"<![CDATA[", b"]]>", b"\xff",
         b"<?xml version='1.0' encoding='zip'?>", b"<dateTime.iso8601>20240230T99:99:99</dateTime.iso8601>",
         b"<int>\xd9\xa3</int>", b"<value>" * 500, b"<params>", b"</param>", b"<member>", b"</member>", b"<x:int>"],
        _read_xml,
        (ProtocolError,),
    ),
    "xml-rpc answers": Reader(
        [*(result_text(value) for value in VALUES), fault_text(4, "too bad")],
        [b"<fault>", b"</fault>", b"<value>", b"faultCode", b"<string>", b"<int>x</int>", b"<struct>", b"</struct>"],
        _read_answer,
        (ProtocolError,),
    ),
    "queries": Reader(
        [b"a=1&b=x&c=1&c=2.5&d=%7B%7D", b"", b"a=%31", b"b=%C3%A4", b"x=1"],
        [b"&", b"=", b"%", b"%00", b"%FF", b"+", b";", b"\xff", b"9" * 5000, b"1e999", b"NaN", b"[" * 3000, b"&a=1",
         b"%5B" * 2000, b"&" * 2000, b"-0", b'"', b"%ED%A0%80"],
        _read_query,
        (Problem,),
    ),
    "redis replies": Reader(
        [b"+OK\r\n", b":7\r\n", b"$5\r\nhello\r\n", b"$-1\r\n", b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", b"%1\r\n+a\r\n_\r\n",
         b"-ERR x\r\n", b",1.5\r\n", b"#t\r\n", b"(9999\r\n", b"!5\r\nERR x\r\n", b"=5\r\ntxt:a\r\n", b">1\r\n+m\r\n",
         b"~1\r\n+a\r\n", command("SET", "k", b"\0\r\n")],
        [b"\r\n", b"*", b"$", b"%", b"-", b"9" * 20, b"9" * 5000, b"*1\r\n" * 100, b"*1000000000\r\n", b"_", b"\xff",
         b"$99999999\r\n", b":", b" 1", b"1_0"],
        _read_replies,
        (TincansError,),
    ),
}  # fmt: skip


def fuzz(name: str, count: int, seed: int) -> int:
    """Feed `count` mutated texts to one reader; how many of them were refused."""
    chance, reader, refused = random.Random(seed), READERS[name], 0
    for number in range(count):
        text = _mutated(chance, reader)
        try:
            reader.read(chance, text)
        except reader.allowed:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}, round {number}: {text[:2000]!r}") from error
    return refused


def _mutated(chance: random.Random, reader: Reader) -> bytes:
    data = bytearray(chance.choice(reader.seeds))
    if chance.random() < 0.2:
        data += chance.choice(reader.seeds)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 5))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at:at] = chance.choice(reader.pieces)
            case 1:
                del data[at : at + chance.randrange(12)]
            case 2:
                data[at : at + 1] = chance.randbytes(1)
            case _:
                other = chance.choice(reader.seeds)
                start = chance.randrange(len(other) + 1)
                data[at:at] = other[start : start + chance.randrange(30)]
    return bytes(data)


def main() -> None:
    """All readers, or one."""
    words = sys.argv[1:]
    names = [words.pop(0)] if words and words[0] in READERS else list(READERS)
    amount = int(words[0]) if words else 1_000_000
    seed = int(words[1]) if len(words) > 1 else random.SystemRandom().randrange(1 << 32)
    for name in names:
        print(f"{name}: {amount} texts, {fuzz(name, amount, seed)} refused, seed {seed}", flush=True)


if __name__ == "__main__":
    main()
