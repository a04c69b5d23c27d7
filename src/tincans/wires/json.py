"""The json wire: one readable object per line, for programs in any language.

Rules of this file
- `{"id":1,"call":"add","args":[2,5]}` is answered by `{"id":1,"result":7}` or `{"id":1,"error":{...}}`. A call without
  an id wants no answer. Each message has exactly one telling key (call, result, error, item, credit, end,
  cancel, topic, ping, pong, hello, proof, goodbye).
- What JSON lacks is an object with one key that starts with "$": `{"$tuple":[1,2]}`, `{"$bytes":"aGk="}`, by the
  names in core/values.py. A dict that only looks like one is written `{"$dict":[[key,value],...]}`.
- Of a key that stands twice in an object the last one counts, as in most JSON readers.
- Whatever arrives, only ProtocolError, msgspec.ValidationError and MissingLibraryError come out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from types import NoneType
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder

from tincans.contracts import Buffer, Parts, Reader, References
from tincans.core.annotations import accept, converter, readable
from tincans.core.envelope import to_parts
from tincans.core.kinds import BY_TYPE, REBUILDERS, handler
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
from tincans.core.values import Code, Form, Lowering, Rebuilding
from tincans.errors import ProtocolError, TincansError
from tincans.facts import Facts, Yes

FACTS = Facts(
    "one JSON object per line, for programs in any language: every value, functions and streams",
    reach="network",
    share=Yes("native", "copied, as base64 text inside the line"),
)

_encode = Encoder().encode
_PLAIN: Final = frozenset({NoneType, bool, int, str})
_MOST_BITS = 13_000
"""Of a whole number that is written in digits. Readers of JSON, Python's among them, stop at 4,300 digits."""
_NO_ARGS = Raw(b"[]")
_NO_NAMES = Raw(b"{}")


def _wrap(code: Code, payload: Any) -> dict[str, Any]:
    return {_NAMES[code]: payload}


_NAMES = {code: f"${code.name.lower()}" for code in Code}
_CODES = {name: code.value for code, name in _NAMES.items()}

FORM = Form(
    plain=_PLAIN,
    keys=frozenset({str}),
    ints=range(-(1 << _MOST_BITS), 1 << _MOST_BITS),
    finite=True,
    tag="$",
    parts=False,
    wrap=_wrap,
    handler=handler,
    quick=BY_TYPE,
)


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

    id: int = 0
    call: str | UnsetType = UNSET
    args: Raw = _NO_ARGS
    kwargs: Raw | None = None
    timeout: float | None = None
    key: str | None = None
    result: Raw | UnsetType = UNSET
    stream: bool = False
    error: _Error | UnsetType = UNSET
    item: Raw | UnsetType = UNSET
    credit: int | UnsetType = UNSET
    end: Literal[True] | UnsetType = UNSET
    cancel: Literal[True] | UnsetType = UNSET
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
_line: Callable[[Any], _Line] = Decoder(_Line).decode


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


def _said(message: Message) -> Any:
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


def write(message: Message, low: Lowering) -> bytes:
    """The line for a message whose bodies are lowered, without its newline."""
    line = _encode(_said(message))
    return msgspec.json.format(line, indent=-1) if b"\n" in line else line


def _heard(line: _Line, rich: bool) -> Message:
    """The message that a line is; ValueError when it is none."""
    if _telling(line).count(UNSET) != len(_TELLING) - 1:
        raise ValueError(f"an object needs exactly one of the keys {', '.join(_TELLING)}")
    if line.call is not UNSET:
        kwargs = None if line.kwargs is None or bytes(line.kwargs) == b"null" else line.kwargs
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


class JsonWire:
    """A contracts.Wire: JSON lines.

    >>> WIRE.encode(Request(1, "add", (2, 5)))
    [b'{"id":1,"call":"add","args":[2,5]}']
    >>> reply = WIRE.decode([b'{"id":1,"result":7}'])
    >>> WIRE.reader(int)(reply.value, reply)
    7
    """

    name = "json"
    facts = FACTS
    framing = "lines"
    greets = False

    def encode(self, message: Message, references: References | None = None) -> list[Buffer]:
        """One line, without its newline. UnsendableError with the path to a bad value."""
        kind = type(message)
        if kind is Reply and type(message.value) in _PLAIN:  # type: ignore[union-attr]
            plain = True
        elif kind is Request:
            plain = _PLAIN.issuperset(map(type, message.args)) and not message.kwargs  # type: ignore[union-attr]
        else:
            plain = False
        if plain:
            try:
                return [_encode(_said(message))]
            except (OverflowError, ValueError):
                pass
        return to_parts(message, FORM, references, write)

    def decode(self, parts: Parts) -> Message:
        """The message, its bodies as msgspec.Raw. ProtocolError for anything that is not one."""
        try:
            (line,) = parts
            if type(line) is memoryview:
                line = bytes(line)
            return _heard(_line(line), looks_rich(line))
        except Exception as error:
            raise ProtocolError(f"The other end sent what is no message of the json wire: {error}") from None

    def reader(self, type: Any, references: References | None = None) -> Reader:
        """A function that reads a body as `type`; Any as it is. It raises msgspec.ValidationError with the path."""
        plain, convert = _reading(type)

        def read(body: Any, message: Any) -> Any:
            try:
                if not message.rich:
                    return plain(_NO_NAMES if body is None else body)
                return _read_rich(_NO_NAMES if body is None else body, references, convert)
            except (msgspec.ValidationError, TincansError):
                raise
            except Exception as error:
                raise msgspec.ValidationError(f"The value cannot be read: {error or repr(error)}") from error

        return read


def looks_rich(line: Any) -> bool:
    r"""Whether a line may hold marked values.

    >>> looks_rich(b'{"result":{"$tuple":[1]}}'), looks_rich(b'{"result":"5 $"}')
    (True, False)
    """
    return b'"$' in line or b'"\\u0024' in line


Reading = tuple[Callable[[Any], Any], Callable[[Any], Any] | None]


def _reading(annotation: Any) -> Reading:
    try:
        return _cached_reading(annotation)
    except TypeError:  # an annotation without a hash
        return _new_reading(annotation)


def _new_reading(annotation: Any) -> Reading:
    if annotation is Any:
        return Decoder().decode, None
    wanted = readable(annotation, str_keys=True)
    return Decoder(wanted, dec_hook=accept).decode, converter(annotation, str_keys=True)


_cached_reading = lru_cache(maxsize=1024)(_new_reading)


def _read_rich(body: Any, references: References | None, convert: Callable[[Any], Any] | None) -> Any:
    """Rebuild first, then fit into the annotation. numpy scalars may stand in for Python's own numbers."""
    tree = msgspec.json.decode(body)
    up = Rebuilding(REBUILDERS, None, references)
    value = _rebuilt(tree, up)
    if convert is None:
        return value
    try:
        return convert(value)
    except msgspec.ValidationError:
        if not up.met_scalar:
            raise
    again = Rebuilding(REBUILDERS, None, references, python_scalars=True)
    again.imports = up.imports  # a stream can be taken in once only
    return convert(_rebuilt(tree, again))


def _rebuilt(node: Any, up: Rebuilding) -> Any:
    """A tree of lists and dicts, with the marked values in it rebuilt."""
    if type(node) is list:
        return [_rebuilt(item, up) if type(item) in _CONTAINERS else item for item in node]
    if type(node) is not dict:
        return node
    if len(node) == 1:
        (name,) = node
        if name.startswith("$"):
            return _rebuilt_mark(name, node[name], up)
    return {key: _rebuilt(item, up) if type(item) in _CONTAINERS else item for key, item in node.items()}


def _rebuilt_mark(name: str, payload: Any, up: Rebuilding) -> Any:
    code = _CODES.get(name)
    if code is None:
        raise msgspec.ValidationError(
            f'There is no marked value {name[:40]!r}. Write a dict with only such a key as {{"$dict": [[key, value]]}}'
        )
    up.enter()
    value = up.rebuild(code, _rebuilt(payload, up))
    up.depth -= 1
    return value


_CONTAINERS = frozenset({list, dict})

WIRE = JsonWire()
