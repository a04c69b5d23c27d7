"""The jsonrpc wire: JSON-RPC 2.0 over any connection, with programs that have never heard of Tincans.

Options: `framing`: auto (by the other side's first byte; a client says lines), lines, or content-length, as language
servers do.

Rules of this file
- One JSON-RPC text is one message, with ids that are numbers; foreign ids, batches and framing are the conversation's
  (core/json_rpc_conversation.py), which each connection has one of.
- Values are written as in the json wire: plain JSON; what JSON lacks is an object with one key that begins with "$".
- Positional and named arguments together are `{"$args": [...], "name": ...}`, for JSON-RPC has the one or the other.
- A stream is the result `{"$stream":true}`, then notifications `$/item` and `$/end`; `$/credit` asks for more, and
  `$/cancelRequest` ends it. Who does not know these may pass them over, as all that begins with `$/`.
- Deadlines, tracebacks and keys of repeated calls are not said; but who asks the hub and would not wait says
  `"$timeout": 0` beside `$args`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tincans.contracts import Buffer, Parts, Reader, References
from tincans.core.address import Option
from tincans.core.envelope import to_parts
from tincans.core.json_rpc import answered, failure_text, request_text, result_text
from tincans.core.json_rpc_conversation import CANCEL, STREAM, Conversation
from tincans.core.messages import (
    Cancel,
    Credit,
    End,
    Failure,
    Item,
    Message,
    Ping,
    Pong,
    Publication,
    Reply,
    Request,
)
from tincans.core.values import Lowering
from tincans.errors import ProtocolError, UnsendableError
from tincans.facts import Facts, Yes
from tincans.wires.json import FORM, looks_rich
from tincans.wires.json import WIRE as JSON_WIRE

FACTS = Facts(
    "JSON-RPC 2.0, both ways, with lines or Content-Length headers: for any JSON-RPC program and language servers",
    reach="network",
    share=Yes("native", "copied, as base64 text inside the message"),
)

OPTIONS = {
    "framing": Option(str, "auto", "how messages are told apart", choices=("auto", "lines", "content-length")),
}

_NO_ARGS = Raw(b"[]")
_encode = msgspec.json.Encoder().encode


class _Params(Struct):
    """Of the notifications that begin with `$/`."""

    id: int = 0
    value: Raw = Raw(b"null")
    count: int = 0
    token: int = 0
    topic: str = ""
    dropped: int = 0


class _Text(Struct):
    method: str | UnsetType = UNSET
    params: Raw = _NO_ARGS
    id: int | UnsetType = UNSET


_text = msgspec.json.Decoder(_Text).decode
_params = msgspec.json.Decoder(_Params).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class JsonRpcWire(Struct, frozen=True):
    """A contracts.Wire: JSON-RPC 2.0.

    >>> WIRE.encode(Request(1, "add", (2, 5)))
    [b'{"jsonrpc":"2.0","method":"add","params":[2,5],"id":1}']
    >>> reply = WIRE.decode([b'{"jsonrpc":"2.0","result":7,"id":1}'])
    >>> WIRE.reader(int)(reply.value, reply)
    7
    """

    apart: Literal["auto", "lines", "content-length"] = "auto"
    name = "jsonrpc"
    facts = FACTS
    framing = "none"
    greets = False
    options = OPTIONS

    def configured(self, settings: Any) -> JsonRpcWire:
        """This wire with the options of a URL."""
        return JsonRpcWire(settings["framing"])

    def conversation(self, *, connecting: bool) -> Conversation:
        """What one connection must remember."""
        return Conversation(connecting=connecting, framing=self.apart)

    def encode(self, message: Message, references: References | None = None) -> list[Buffer]:
        """One text. UnsendableError with the path to a bad value."""
        return to_parts(message, FORM, references, _write)

    def decode(self, parts: Parts) -> Message:
        """The message, its bodies as msgspec.Raw. ProtocolError for anything that is not one."""
        try:
            (text,) = parts
            found = _text(text)
            if found.method is UNSET:
                return _answer(text)
            return _notice(found) if found.method.startswith("$/") else _request(found)
        except ProtocolError:
            raise
        except Exception as error:
            raise ProtocolError(f"The other end sent what is no message of the jsonrpc wire: {error}") from None

    def reader(self, type: Any, references: References | None = None) -> Reader:
        """As in the json wire: `read(body, message)` gives the body as `type`."""
        return JSON_WIRE.reader(type, references)

    def pack(self, value: Any) -> bytes:
        """One value alone, as plain JSON."""
        return JSON_WIRE.pack(value)

    def unpack(self, data: Buffer) -> Any:
        """The value of a JSON text. ProtocolError when it is none."""
        return JSON_WIRE.unpack(data)


def _write(message: Message, low: Lowering) -> bytes:
    """The text for a message whose bodies are lowered."""
    match message:
        case Request():
            return request_text(message.id or None, message.name, _said_arguments(message))
        case Reply(stream=True):
            return result_text(Raw(b"%d" % message.id), STREAM)
        case Reply():
            return result_text(Raw(b"%d" % message.id), _encode(message.value))
        case Failure():
            return failure_text(Raw(b"%d" % message.id), message)
        case Item():
            return _said("$/item", {"id": message.id, "value": message.value})
        case Publication():
            rest = {"id": message.id, "topic": message.topic, "value": message.value, "dropped": message.dropped}
            return _said("$/publication", rest)
        case Credit():
            return _said("$/credit", {"id": message.id, "count": message.count})
        case End():
            return _said("$/end", {"id": message.id})
        case Cancel():
            return _said(CANCEL, {"id": message.id})
        case Ping():
            return _said("$/ping", {"token": message.token})
        case Pong():
            return _said("$/pong", {"token": message.token})
    raise UnsendableError(
        f"JSON-RPC cannot say {type(message).__name__}: it greets nobody and knows no keys. Use the json wire, or tls."
    )


def _said(name: str, params: dict[str, Any]) -> bytes:
    return request_text(None, name, _encode(params))


def _said_arguments(request: Request[Any]) -> bytes:
    if request.name.startswith("$/"):
        raise UnsendableError(f"{request.name} cannot be called: names that begin with '$/' are the protocol's.")
    args = _encode(request.args)
    if request.timeout == 0 and request.name.startswith("$"):
        return _encode({"$args": Raw(args), "$timeout": 0, **(request.kwargs or {})})
    if not request.kwargs:
        return args
    return _encode(request.kwargs if args == b"[]" else {"$args": Raw(args), **request.kwargs})


def _request(found: _Text) -> Request[Any]:
    number = 0 if found.id is UNSET else found.id
    rich = looks_rich(bytes(found.params))
    if bytes(found.params)[:1] != b"{":
        return Request(number, str(found.method), found.params, None, rich=rich)
    args, kwargs, timeout = _NO_ARGS, found.params, None
    if rich and b'"$args"' in bytes(found.params):
        fields = _fields(found.params)
        args = fields.pop("$args", _NO_ARGS)
        timeout = 0 if bytes(fields.pop("$timeout", b"")) == b"0" else None
        kwargs = Raw(_encode(fields))
        rich = looks_rich(bytes(args)) or looks_rich(bytes(kwargs))
    return Request(number, str(found.method), Raw(bytes(args)), kwargs, timeout, rich=rich)


def _answer(text: Any) -> Message:
    answer = answered(text)
    number = int(bytes(answer.id))
    if answer.error is not None:
        return msgspec.structs.replace(answer.error, id=number)
    if bytes(answer.result) == STREAM:
        return Reply(number, Raw(b"null"), stream=True)
    return Reply(number, answer.result, looks_rich(bytes(answer.result)))


def _notice(found: _Text) -> Message:
    params = _params(found.params)
    match found.method:
        case "$/item":
            return Item(params.id, params.value, looks_rich(bytes(params.value)))
        case "$/publication":
            value = params.value
            return Publication(params.id, params.topic, value, params.dropped, looks_rich(bytes(value)))
        case "$/credit":
            return Credit(params.id, params.count)
        case "$/end":
            return End(params.id)
        case "$/ping":
            return Ping(params.token)
        case "$/pong":
            return Pong(params.token)
    if found.method != CANCEL:
        raise ProtocolError(f"There is no {found.method} here.")
    return Cancel(params.id)


WIRE = JsonRpcWire()
