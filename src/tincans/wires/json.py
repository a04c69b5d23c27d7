"""The json wire: one readable object per line, for programs in any language.

Rules of this file
- `{"id":1,"call":"add","args":[2,5]}` is answered by `{"id":1,"result":7}` or `{"id":1,"error":{...}}`. A call without
  an id wants no answer. wires/_json_lines.py has all the objects.
- What JSON lacks is an object with one key that starts with "$": `{"$tuple":[1,2]}`, `{"$bytes":"aGk="}`, by the
  names in core/values.py. A dict that only looks like one is written `{"$dict":[[key,value],...]}`.
- Of a key that stands twice in an object the last one counts, as in most JSON readers.
- Whatever arrives, only ProtocolError, msgspec.ValidationError and MissingLibraryError come out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import NoneType
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.json import Decoder, Encoder

from tincans.contracts import Buffer, Parts, Reader, References
from tincans.core.annotations import accept, converter, readable
from tincans.core.envelope import to_parts
from tincans.core.kinds import BY_TYPE, REBUILDERS, handler
from tincans.core.messages import Message, Reply, Request
from tincans.core.values import Code, Form, Lowering, Rebuilding
from tincans.errors import ProtocolError, TincansError
from tincans.facts import Facts, Yes
from tincans.wires._json_lines import heard, said

FACTS = Facts(
    "one JSON object per line, for programs in any language: every value, functions and streams",
    reach="network",
    share=Yes("native", "copied, as base64 text inside the line"),
)

_encode = Encoder().encode
_PLAIN: Final = frozenset({NoneType, bool, int, str})
_MOST_BITS = 13_000
"""Of a whole number that is written in digits. Readers of JSON, Python's among them, stop at 4,300 digits."""
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


def write(message: Message, low: Lowering) -> bytes:
    """The line for a message whose bodies are lowered, without its newline."""
    line = _encode(said(message))
    return msgspec.json.format(line, indent=-1) if b"\n" in line else line


def _is_plain(message: Any) -> bool:
    kind = type(message)
    if kind is Request:
        return _PLAIN.issuperset(map(type, message.args)) and not message.kwargs
    return kind is Reply and type(message.value) in _PLAIN


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
        try:
            if _is_plain(message):
                return [_encode(said(message))]
        except (TypeError, ValueError):  # an odd text, too many digits, an undecoded body
            pass
        return to_parts(message, FORM, references, write)

    def decode(self, parts: Parts) -> Message:
        """The message, its bodies as msgspec.Raw. ProtocolError for anything that is not one."""
        try:
            (line,) = parts
            if type(line) is memoryview:
                line = bytes(line)
            return heard(line, looks_rich(line))
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

    def pack(self, value: Any) -> bytes:
        """One value alone, as plain JSON.

        >>> WIRE.pack({"a": 1}), WIRE.unpack(b'{"a": 1}')
        (b'{"a":1}', {'a': 1})
        """
        message: Any = self.decode(self.encode(Reply(1, value)))
        return bytes(message.value)

    def unpack(self, data: Buffer) -> Any:
        """The value of a JSON text. ProtocolError when it is none."""
        line = bytes(data)
        try:
            return self.reader(Any)(Raw(line), Reply(1, Raw(line), rich=looks_rich(line)))
        except msgspec.ValidationError as error:
            raise ProtocolError(f"This is no JSON value: {error}") from None


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
    """A tree of lists and dicts, with the marked values in it rebuilt. One frame per level: the stack is short."""
    if type(node) is list:
        items = []
        for item in node:
            items.append(_rebuilt(item, up) if type(item) in _CONTAINERS else item)
        return items
    if type(node) is not dict:
        return node
    fields = {}
    for key, item in node.items():
        fields[key] = _rebuilt(item, up) if type(item) in _CONTAINERS else item
    if len(fields) != 1 or not key.startswith("$"):
        return fields
    return up.rebuild(_code(key), fields[key])


def _code(name: str) -> int:
    code = _CODES.get(name)
    if code is None:
        raise msgspec.ValidationError(
            f'There is no marked value {name[:40]!r}. Write a dict with only such a key as {{"$dict": [[key, value]]}}'
        )
    return code


_CONTAINERS = frozenset({list, dict})

WIRE = JsonWire()
