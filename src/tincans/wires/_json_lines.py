"""The lines of the json wire: each message as a JSON object, and back.

Rules of this file
- Bodies stay as they are: lowered values on the way out, msgspec.Raw on the way in.
- Each line has exactly one telling key (call, result, error, item, credit, end, cancel, topic, ping, pong, hello,
  proof, goodbye); a key that no line has is refused, so a mistyped one is never passed over in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tincans.core.messages import (
    Cancel,
    Credit,
    End,
    Failure,
    Goodbye,
    Hello,
    Item,
    Message,
    Ping,
    Pong,
    Proof,
    Publication,
    Reply,
    Request,
)

_NO_ARGS = Raw(b"[]")
_NULL = Raw(b"null")


class _Error(Struct):
    code: str = "remote"
    type: str = "Exception"
    message: str = ""
    traceback: str = ""


_Greeting: Any = msgspec.defstruct(
    "_Greeting",
    [
        (field.name, field.type) if field.required else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(Hello)
    ],
)


class _Line(Struct, forbid_unknown_fields=True):
    """Every key that a line may have."""

    id: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    call: str | UnsetType = UNSET
    args: Raw = _NO_ARGS
    kwargs: Raw | UnsetType = UNSET
    timeout: float | None = None
    key: str | None = None
    result: Raw | UnsetType = UNSET
    stream: bool = False
    error: _Error | UnsetType = UNSET
    item: Raw | UnsetType = UNSET
    credit: int | UnsetType = UNSET
    end: bool | UnsetType = UNSET
    cancel: bool | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    value: Raw | UnsetType = UNSET
    dropped: int = 0
    ping: int | UnsetType = UNSET
    pong: int | UnsetType = UNSET
    hello: _Greeting | UnsetType = UNSET
    proof: bytes | UnsetType = UNSET
    goodbye: str | UnsetType = UNSET


_TELLING = (
    "call",
    "result",
    "error",
    "item",
    "credit",
    "end",
    "cancel",
    "topic",
    "ping",
    "pong",
    "hello",
    "proof",
    "goodbye",
)
_telling = attrgetter(*_TELLING)
_decode: Callable[[Any], _Line] = msgspec.json.Decoder(_Line).decode


class _Call(Struct, omit_defaults=True, gc=False):
    id: int
    call: str
    args: Any
    kwargs: Any = None
    timeout: float | None = None
    key: str | None = None


class _Notice(Struct, omit_defaults=True, gc=False):
    call: str
    args: Any
    kwargs: Any = None
    timeout: float | None = None
    key: str | None = None


class _Result(Struct, omit_defaults=True, gc=False):
    id: int
    result: Any
    stream: bool = False


def said(message: Message) -> Any:
    """The object for a message, with lowered bodies."""
    kind = type(message)
    if kind is Request:
        return _said_call(message)  # type: ignore[arg-type]
    if kind is Reply:
        return _Result(message.id, message.value, message.stream)  # type: ignore[union-attr]
    match message:
        case Failure():
            error = {"code": message.code, "type": message.type_name, "message": message.message}
            return {"id": message.id, "error": error | ({"traceback": message.traceback} if message.traceback else {})}
        case Item():
            return {"id": message.id, "item": message.value}
        case Publication():
            said = {"id": message.id, "topic": message.topic, "value": message.value}
            return said | {"dropped": message.dropped} if message.dropped else said
        case _:
            return _said_briefly(message)


def _said_call(request: Request[Any]) -> _Call | _Notice:
    rest = (request.name, request.args, request.kwargs or None, request.timeout, request.key)
    return _Call(request.id, *rest) if request.id else _Notice(*rest)


def _said_briefly(message: Message) -> dict[str, Any]:
    match message:
        case Credit():
            return {"id": message.id, "credit": message.count}
        case End():
            return {"id": message.id, "end": True}
        case Cancel():
            return {"id": message.id, "cancel": True}
        case Ping():
            return {"ping": message.token}
        case Pong():
            return {"pong": message.token}
        case Hello():
            return {"hello": msgspec.structs.asdict(message)}
        case Proof():
            return {"proof": message.proof}
        case Goodbye():
            return {"goodbye": message.reason}
    raise TypeError(f"{type(message).__name__} is no message")


def heard(text: Any, rich: bool) -> Message:
    """The message that a line is; msgspec.DecodeError or ValueError when it is none."""
    line = _decode(text)
    if _telling(line).count(UNSET) != len(_TELLING) - 1:
        raise ValueError(f"an object needs exactly one of the keys {', '.join(_TELLING)}")
    if line.call is not UNSET:
        kwargs = None if line.kwargs is UNSET or line.kwargs == _NULL else line.kwargs
        return Request(line.id, line.call, line.args, kwargs, line.timeout, line.key, rich)
    if line.result is not UNSET:
        return Reply(line.id, line.result, rich, line.stream)
    if line.error is not UNSET:
        error = line.error
        return Failure(line.id, error.code, error.type, error.message, error.traceback)
    if line.item is not UNSET:
        return Item(line.id, line.item, rich)
    if line.topic is not UNSET:
        if line.value is UNSET:
            raise ValueError('a line with "topic" needs a "value"')
        return Publication(line.id, line.topic, line.value, line.dropped, rich)
    return _heard_briefly(line)


def _heard_briefly(line: _Line) -> Message:
    if line.end is False or line.cancel is False:
        raise ValueError('"end" and "cancel" can only be true')
    if line.credit is not UNSET:
        return Credit(line.id, line.credit)
    if line.end is not UNSET:
        return End(line.id)
    if line.cancel is not UNSET:
        return Cancel(line.id)
    if line.ping is not UNSET:
        return Ping(line.ping)
    if line.pong is not UNSET:
        return Pong(line.pong)
    if line.hello is not UNSET:
        return Hello(**msgspec.structs.asdict(line.hello))
    if line.proof is not UNSET:
        return Proof(line.proof)
    return Goodbye(str(line.goodbye))
