"""The commands wire: calls as they stand in the JSON file of `file:`, for any program that can read and write JSON.

Rules of this file
- `{"command": "add", "args": [2, 5]}` is answered by `{"result": 7}` or `{"error": "ValueError: too bad"}`; `kwargs`
  stands there where there are any. What JSON lacks is written as in the json wire.
- A message has two parts: its number, which only the connection needs (it turns it into the command's uuid), and the
  JSON. A call that is given up has the JSON `null`.
- Deadlines, tracebacks, streams and functions are not said.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tincans.contracts import Buffer, Parts, Reader, References
from tincans.core.envelope import to_parts
from tincans.core.failures import CODES
from tincans.core.messages import Cancel, Failure, Message, Reply, Request
from tincans.core.values import Lowering
from tincans.errors import ProtocolError, UnsendableError
from tincans.facts import Facts, No
from tincans.wires.json import FORM, looks_rich
from tincans.wires.json import WIRE as JSON_WIRE

_ONE_WAY = "commands in a file are answered once, and nobody can be told anything meanwhile"

FACTS = Facts(
    "commands and their results in a JSON file, for any program that can read and write one",
    publish=No(_ONE_WAY, "json"),
    queue=No(_ONE_WAY, "json"),
    state=No(_ONE_WAY, "json"),
    flag=No(_ONE_WAY, "json"),
    lock=No(_ONE_WAY, "json"),
    share=No("a JSON file that people read is no place for large buffers", "json"),
    two_way=False,
)


class _Command(Struct, omit_defaults=True):
    command: str
    args: Any
    kwargs: Any = None


class _Heard(Struct):
    command: str | UnsetType = UNSET
    args: Raw = Raw(b"[]")
    kwargs: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Heard).decode


class CommandsWire:
    """A contracts.Wire: one JSON object for a command, one for its outcome.

    >>> WIRE.encode(Request(1, "add", (2, 5)))
    [b'1', b'{"command":"add","args":[2,5]}']
    >>> WIRE.decode([b"1", b'{"error": "ValueError: too bad"}']).message
    'too bad'
    """

    name = "commands"
    facts = FACTS
    framing = "frames"
    greets = False

    def encode(self, message: Message, references: References | None = None) -> list[Buffer]:
        """Number and JSON. UnsendableError for what does not stand in such a file."""
        number = getattr(message, "id", 0)
        return [str(number).encode(), *to_parts(message, FORM, None, _write)]

    def decode(self, parts: Parts) -> Message:
        """A command or its outcome, bodies as msgspec.Raw. ProtocolError for anything else."""
        try:
            number, text = parts
            return _heard(int(bytes(number)), bytes(text))
        except Exception as error:
            raise ProtocolError(f"This is no command and no outcome of one: {error}") from None

    def reader(self, type: Any, references: References | None = None) -> Reader:
        """As in the json wire."""
        return JSON_WIRE.reader(type)

    def pack(self, value: Any) -> bytes:
        """One value alone, as plain JSON.

        >>> WIRE.pack((1, 2)), WIRE.unpack(b"[1, 2]")
        (b'{"$tuple":[1,2]}', [1, 2])
        """
        return JSON_WIRE.pack(value)

    def unpack(self, data: Buffer) -> Any:
        """The value of a JSON text. ProtocolError when it is none."""
        return JSON_WIRE.unpack(data)


def _write(message: Message, low: Lowering) -> bytes:
    match message:
        case Request():
            return _encode(_Command(message.name, message.args, message.kwargs or None))
        case Reply(stream=False):
            return _encode({"result": message.value})
        case Failure():
            return _encode({"error": f"{message.type_name}: {message.message}"})
        case Cancel():
            return b"null"
    what = "a stream" if isinstance(message, Reply) else type(message).__name__
    raise UnsendableError(
        f"The file of commands cannot hold {what}: {_ONE_WAY}. Return a list, or use a method like unix:..."
    )


def _heard(number: int, text: bytes) -> Message:
    if text == b"null":
        return Cancel(number)
    heard = _decode(text)
    if heard.result is not UNSET:
        return Reply(number, heard.result, looks_rich(bytes(heard.result)))
    if heard.error is not UNSET:
        return _failure(number, msgspec.json.decode(heard.error))
    if heard.command is UNSET:
        raise ValueError("an object needs one of the keys command, result, error")
    kwargs = None if heard.kwargs is UNSET or bytes(heard.kwargs) == b"null" else heard.kwargs
    rich = looks_rich(bytes(heard.args)) or (kwargs is not None and looks_rich(bytes(kwargs)))
    return Request(number, heard.command, heard.args, kwargs, rich=rich)


def _failure(number: int, error: Any) -> Failure:
    """`"Kind: text"`, or any other JSON value that a program has put there."""
    text = error if isinstance(error, str) else _encode(error).decode()
    kind, colon, rest = text.partition(": ")
    if not colon or not kind.replace(".", "").replace("_", "").isalnum():
        kind, rest = "Exception", text
    return Failure(number, CODES.get(kind, "remote"), kind, rest)


WIRE = CommandsWire()
