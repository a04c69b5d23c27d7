"""XML-RPC: calls and answers as XML, and back. What arrives is parsed without entities, within limits.

Rules of this file
- Pure. A document type, an entity, too much depth or too many values end the parsing with ProtocolError: no "billion
  laughs", no file of ours in a text of theirs.
- Ours are the common extensions too: `nil`, and `i8` for whole numbers beyond 32 bits. Bytes are base64, dates
  dateTime.iso8601. Faults: see FAULTS. See http://xmlrpc.com/spec.md.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any
from xml.parsers import expat

from tincans.core.messages import Failure
from tincans.errors import ArgumentError, NotExposedError, ProtocolError, UnsendableError

MOST_DEPTH = 100
MOST_VALUES = 1_000_000
FAULTS = {NotExposedError.code: -32601, ArgumentError.code: -32602, "protocol": -32700, "remote": 1}
"""The codes that XML-RPC servers agree upon (http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php)."""
OTHER_FAULT = -32500
NOT_WELL_FORMED, INVALID_CALL = -32700, -32600

_CODES = {code: word for word, code in FAULTS.items() if word != "remote"}
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_CONTAINERS = frozenset({"array", "struct"})
_I4 = range(-(2**31), 2**31)
_I8 = range(-(2**63), 2**63)


class Fault(Exception):
    """A fault that came, or is to be sent."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def call_text(name: str, params: tuple[Any, ...]) -> bytes:
    """A methodCall. UnsendableError with the path to what cannot travel.

    >>> call_text("add", (2,))
    b'<?xml version="1.0"?><methodCall><methodName>add</methodName><params><param><value><int>2</int>...
    """
    if _FORBIDDEN.search(name):
        raise UnsendableError(f"XML has no way to write the name {name!r}.")
    written = "".join(f"<param>{_value(each, f'args[{n}]')}</param>" for n, each in enumerate(params))
    return _document(f"<methodCall><methodName>{_escaped(name)}</methodName><params>{written}</params></methodCall>")


def result_text(value: Any) -> bytes:
    """A methodResponse with a result."""
    return _document(f"<methodResponse><params><param>{_value(value, 'result')}</param></params></methodResponse>")


def fault_text(code: int, text: str) -> bytes:
    """A methodResponse with a fault."""
    fault = {"faultCode": code, "faultString": _FORBIDDEN.sub("?", text)}
    return _document(f"<methodResponse><fault>{_value(fault, 'fault')}</fault></methodResponse>")


def fault_of(failure: Failure) -> tuple[int, str]:
    """The code and the text for a call that failed; the text begins with the class's name.

    >>> fault_of(Failure(1, "remote", "ValueError", "too bad"))
    (1, 'ValueError: too bad')
    """
    if failure.code == "remote":
        return FAULTS["remote"], f"{failure.type_name}: {failure.message}"
    return FAULTS.get(failure.code, OTHER_FAULT), failure.message


def failure_of_fault(code: int, text: str) -> Failure:
    """What a fault means: Python's own servers and ours write `ClassName: text` or `<class 'X'>:text`.

    >>> failure_of_fault(1, "ValueError: too bad")
    Failure(id=0, code='remote', type_name='ValueError', message='too bad', traceback='')
    """
    if code in _CODES:
        return Failure(0, _CODES[code], "Exception", text)
    found = re.fullmatch(r"(?:<class '(?:\w+\.)*(\w+)'>:|(\w+): )(.*)", text, re.DOTALL)
    if code == 1 and found is not None:
        if "is not supported" in text and 'method "' in text:  # SimpleXMLRPCServer has no code for it
            return Failure(0, NotExposedError.code, "Exception", text)
        return Failure(0, "remote", found.group(1) or found.group(2), found.group(3))
    return Failure(0, "remote", f"XML-RPC fault {code}", text)


def _document(body: str) -> bytes:
    return b'<?xml version="1.0"?>' + body.encode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _value(value: Any, path: str, depth: int = 0) -> str:
    if depth > MOST_DEPTH // 2:
        raise UnsendableError(f"{path} cannot be sent: it is nested too deeply, or holds itself.")
    if isinstance(value, list | tuple | set | frozenset | range):
        items = "".join(_value(each, f"{path}[{n}]", depth + 1) for n, each in enumerate(value))
        return f"<value><array><data>{items}</data></array></value>"
    if isinstance(value, Mapping):
        return f"<value><struct>{''.join(_member(k, v, path, depth) for k, v in value.items())}</struct></value>"
    written = _scalar(value, path)
    if written is not None:
        return f"<value>{written}</value>"
    from tincans.wires._plain_json import plainer

    return _value(plainer(value, path), path, depth + 1)


def _member(key: Any, value: Any, path: str, depth: int) -> str:
    if not isinstance(key, str):
        raise UnsendableError(f"{path} cannot be sent: the keys of an XML-RPC struct are texts, unlike {key!r}.")
    where = f"{path}[{key!r}]"
    return f"<member><name>{_text(key, where)}</name>{_value(value, where, depth + 1)}</member>"


def _scalar(value: Any, path: str) -> str | None:
    if value is None:
        return "<nil/>"
    if isinstance(value, bool):
        return f"<boolean>{value:d}</boolean>"
    if isinstance(value, int):
        return _whole(int(value), path)
    if isinstance(value, float):
        if not isfinite(value):
            raise UnsendableError(f"{path} cannot be sent: XML-RPC has no {value}.")
        return f"<double>{value!r}</double>"
    if isinstance(value, str):
        return f"<string>{_text(value, path)}</string>"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<base64>{base64.b64encode(value).decode()}</base64>"
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        return f"<dateTime.iso8601>{value:%Y%m%dT%H:%M:%S}</dateTime.iso8601>"
    return None


def _whole(value: int, path: str) -> str:
    if value in _I4:
        return f"<int>{value}</int>"
    if value in _I8:
        return f"<i8>{value}</i8>"
    raise UnsendableError(f"{path} cannot be sent: XML-RPC's whole numbers have 64 bits at most.")


def _text(text: str, path: str) -> str:
    bad = _FORBIDDEN.search(text)
    if bad is not None:
        raise UnsendableError(f"{path} cannot be sent: XML has no way to write the character {bad.group()!r}.")
    return _escaped(text)


def parsed_call(text: bytes) -> tuple[str, list[Any]]:
    """The name and the parameters of a methodCall. ProtocolError for anything else.

    >>> parsed_call(call_text("add", (2, [None, "<&"])))
    ('add', [2, [None, '<&']])
    """
    reader = _Reader("methodCall")
    reader.read_all(text)
    if reader.name is None:
        raise ProtocolError("The methodCall has no methodName.")
    return reader.name, reader.params


def parsed_response(text: bytes) -> Any:
    """The result of a methodResponse; Fault when it is one. ProtocolError for anything else."""
    reader = _Reader("methodResponse")
    reader.read_all(text)
    if reader.fault:
        fault = reader.params[0] if reader.params else None
        if not isinstance(fault, dict) or not isinstance(fault.get("faultCode"), int):
            raise ProtocolError("The fault has no faultCode.")
        raise Fault(fault["faultCode"], str(fault.get("faultString", "")))
    if len(reader.params) != 1:
        raise ProtocolError(f"A methodResponse has one value, not {len(reader.params)}.")
    return reader.params[0]


class _Reader:
    """Builds values from the parser's events: a stack of containers, and the text of the innermost element."""

    def __init__(self, root: str) -> None:
        self.name: str | None = None
        self.params: list[Any] = []
        self.fault = False
        self._root = root
        self._path: list[str] = []
        self._stack: list[Any] = []
        self._keys: list[str] = []
        self._text: list[str] = []
        self._value: Any = None
        self._typed = False
        self._values = 0

    def read_all(self, text: bytes) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        for forbidden in ("StartDoctypeDeclHandler", "EntityDeclHandler", "ExternalEntityRefHandler"):
            setattr(parser, forbidden, _refuse)
        try:
            parser.Parse(text, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise ProtocolError(f"This is no XML-RPC: {error}.") from None

    def _start(self, tag: str, attributes: Any) -> None:
        if not self._path and tag != self._root:
            raise ProtocolError(f"A {self._root} was expected, not {tag[:40]!r}.")
        self._path.append(tag)
        if len(self._path) > MOST_DEPTH * 4:
            raise ProtocolError("The values are nested too deeply.")
        if tag == "value":
            self._values += 1
            if self._values > MOST_VALUES:
                raise ProtocolError(f"There are more than {MOST_VALUES} values.")
            self._typed = False
        elif tag in _CONTAINERS:
            self._stack.append([] if tag == "array" else {})
        elif tag == "fault":
            self.fault = True
        self._text.clear()

    def _end(self, tag: str) -> None:
        self._path.pop()
        text = "".join(self._text)
        self._text.clear()
        if tag == "value":
            self._end_value(text)
        elif tag in _CONTAINERS:
            self._value, self._typed = self._stack.pop(), True
        elif tag == "name" and self._path and self._path[-1] == "member":
            self._keys.append(text)
        elif tag == "methodName":
            self.name = text.strip()
        elif self._path and self._path[-1] == "value":
            self._value, self._typed = _typed(tag, text), True

    def _end_value(self, text: str) -> None:
        value = self._value if self._typed else text
        self._typed = False
        parent = self._path[-1] if self._path else ""
        if parent == "data" and self._stack and isinstance(self._stack[-1], list):
            self._stack[-1].append(value)
        elif parent == "member" and self._stack and isinstance(self._stack[-1], dict) and self._keys:
            self._stack[-1][self._keys.pop()] = value
        elif parent in ("param", "fault") and not self._stack:
            self.params.append(value)
        else:
            raise ProtocolError(f"A value cannot stand in {parent[:40]!r}.")


def _typed(tag: str, text: str) -> Any:
    read = _TYPES.get(tag.rpartition(":")[2])
    if read is None:
        raise ProtocolError(f"There is no XML-RPC type {tag[:40]!r}.")
    try:
        return read(text)
    except ValueError:
        raise ProtocolError(f"{text[:40]!r} is no {tag}.") from None


def _integer(text: str) -> int:
    if len(text) > 100:
        raise ValueError(text)
    return int(text.strip())


def _boolean(text: str) -> bool:
    if text.strip() not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text.strip()]


def _date(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.strip())


_BOOLEANS = {"1": True, "0": False, "true": True, "false": False}
_TYPES: dict[str, Callable[[str], Any]] = {
    "int": _integer,
    "i1": _integer,
    "i2": _integer,
    "i4": _integer,
    "i8": _integer,
    "biginteger": _integer,
    "boolean": _boolean,
    "double": float,
    "float": float,
    "string": str,
    "base64": lambda text: base64.b64decode("".join(text.split()), validate=True),
    "dateTime.iso8601": _date,
    "nil": lambda text: None,
}


def _refuse(*about: Any) -> None:
    raise ProtocolError("A document type or an entity has no place in XML-RPC.")
