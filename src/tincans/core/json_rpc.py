"""JSON-RPC 2.0: texts into calls and answers, and back. The method that carries them does not matter.

Rules of this file
- Pure: the text is given, the text is returned; who runs the calls is not said here. See the specification,
  https://www.jsonrpc.org/specification.
- Parameters and results stay undecoded (msgspec.Raw) on the way in, to be read into the annotated types.
- Whatever arrives, `heard` and `answered` raise ProtocolError or nothing at all: a bad call is a `Bad` with its code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tincans.core.failures import sayable
from tincans.core.messages import Failure, Request
from tincans.errors import ArgumentError, NotExposedError, ProtocolError, TincansError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
RAISED = -32000
"""The function raised. The codes from -32000 down to -32099 are the implementation's own."""
OTHER = -32001
"""One of our own errors that the specification has no code for; `data.code` says which."""
MOST_IN_A_BATCH = 1000

_NULL = Raw(b"null")
_NO_PARAMS = Raw(b"[]")
_NOT_JSON = "Parse error: this is no JSON text"
_encode = msgspec.json.Encoder().encode


class Call(Struct):
    """One request. `id` is None for a notification, which is never answered."""

    name: str
    params: Raw
    id: Raw | None


class Bad(Struct):
    """What came in place of a request, and is answered by this error."""

    code: int
    message: str
    id: Raw = _NULL


class Heard(Struct):
    """What one text held, in order."""

    calls: list[Call | Bad]
    batch: bool = False


class Answer(Struct):
    """One response: `error` is None when there is a result. `id` is undecoded."""

    id: Raw
    result: Raw = _NULL
    error: Failure | None = None


class _Object(Struct):
    """A request or a response, each of its members or UNSET."""

    jsonrpc: Any = UNSET
    method: Any = UNSET
    params: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Any = UNSET


_raws = msgspec.json.Decoder(list[Raw]).decode
_object = msgspec.json.Decoder(_Object).decode


def heard(text: Any) -> Heard:
    """The requests in a text.

    >>> heard(b'{"jsonrpc": "2.0", "method": "add", "params": [2, 5], "id": 1}').calls[0].name
    'add'
    >>> heard(b'[1]').calls
    [Bad(code=-32600, message='Invalid Request: a request is an object', id=...)]
    """
    text = bytes(text).strip()
    if text[:1] != b"[":
        return Heard([_call(text)])
    members = members_of(text)
    if isinstance(members, Bad):
        return Heard([members])
    return Heard([_call(bytes(member)) for member in members], batch=True)


def members_of(text: bytes) -> list[Raw] | Bad:
    """The members of a batch, each undecoded; or what is wrong with the whole of it.

    >>> members_of(b"[]")
    Bad(code=-32600, message='Invalid Request: the batch is empty', id=...)
    """
    try:
        members = _raws(text)
    except Exception:
        return Bad(PARSE_ERROR, _NOT_JSON)
    if not members:
        return Bad(INVALID_REQUEST, "Invalid Request: the batch is empty")
    if len(members) > MOST_IN_A_BATCH:
        return Bad(INVALID_REQUEST, f"Invalid Request: at most {MOST_IN_A_BATCH} requests in a batch")
    return members


def _call(text: bytes) -> Call | Bad:
    try:
        found = _object(text)
    except msgspec.ValidationError:
        return Bad(INVALID_REQUEST, "Invalid Request: a request is an object")
    except Exception:
        return Bad(PARSE_ERROR, _NOT_JSON)
    id = None if found.id is UNSET else Raw(bytes(found.id))
    if id is not None and bytes(id)[:1] in (b"{", b"[", b"t", b"f"):
        return Bad(INVALID_REQUEST, "Invalid Request: an id is a text, a number or null")
    problem = _problem_of(found)
    if problem:
        return Bad(INVALID_REQUEST, f"Invalid Request: {problem}", id or _NULL)
    params = _NO_PARAMS if found.params is UNSET else Raw(bytes(found.params))
    return Call(found.method, params, id)


def _problem_of(found: _Object) -> str:
    if found.jsonrpc != "2.0":
        return 'the member "jsonrpc" must be "2.0"'
    if not isinstance(found.method, str):
        return 'the member "method" must be a text'
    if found.params is not UNSET and bytes(found.params)[:1] not in (b"[", b"{"):
        return "params are an array or an object"
    return ""


def request_of(call: Call, *, timeout: float | None) -> Request[Any]:
    """The call as a message to be dispatched: its body is what the json wire reads."""
    number = 0 if call.id is None else 1
    if bytes(call.params)[:1] == b"{":
        return Request(number, call.name, _NO_PARAMS, call.params, timeout)
    return Request(number, call.name, call.params, None, timeout)


def result_text(id: Raw, result: bytes) -> bytes:
    """The response with a result that is JSON already.

    >>> result_text(Raw(b"1"), b"7")
    b'{"jsonrpc":"2.0","result":7,"id":1}'
    """
    return b'{"jsonrpc":"2.0","result":%b,"id":%b}' % (result, bytes(id))


def error_text(id: Raw, code: int, message: str, data: Any = None) -> bytes:
    """The response with an error.

    >>> error_text(Raw(b"null"), -32600, "Invalid Request")
    b'{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}'
    """
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return b'{"jsonrpc":"2.0","error":%b,"id":%b}' % (_encode(error), bytes(id))


def failure_text(id: Raw, failure: Failure) -> bytes:
    """The response for a call that failed; `data` has the error's stable word and its class's name."""
    code = _CODES.get(failure.code, OTHER)
    data = {"code": failure.code, "type": sayable(failure.type_name)}
    return error_text(id, code, sayable(failure.message or failure.type_name), data)


_CODES = {NotExposedError.code: METHOD_NOT_FOUND, ArgumentError.code: INVALID_PARAMS, "remote": RAISED}
_CODES |= {TincansError.code: INTERNAL_ERROR}


def together(answers: Iterable[bytes], *, batch: bool) -> bytes:
    """The text to send back; empty when nobody waits for an answer."""
    texts = list(answers)
    if not texts:
        return b""
    return b"[%b]" % b",".join(texts) if batch else texts[0]


def request_text(id: int | None, name: str, params: bytes) -> bytes:
    """A request; a notification when `id` is None. `params` is a JSON array or object.

    >>> request_text(None, "log", b'["hello"]')
    b'{"jsonrpc":"2.0","method":"log","params":["hello"]}'
    """
    number = b"" if id is None else b',"id":%d' % id
    return b'{"jsonrpc":"2.0","method":%b,"params":%b%b}' % (_encode(name), params, number)


def answered(text: Any) -> Answer:
    """The response that a text is. ProtocolError when it is none.

    >>> bytes(answered(b'{"jsonrpc": "2.0", "result": 7, "id": 1}').result)
    b'7'
    """
    try:
        found = _object(bytes(text))
    except Exception as error:
        raise ProtocolError(f"This is no JSON-RPC response: {error}") from None
    id = _NULL if found.id is UNSET else Raw(bytes(found.id))
    if found.error is UNSET or found.error is None:
        if found.result is UNSET:
            raise ProtocolError('A JSON-RPC response needs a "result" or an "error".')
        return Answer(id, Raw(bytes(found.result)))
    return Answer(id, error=_failure(found.error))


def _failure(error: Any) -> Failure:
    if not isinstance(error, dict):
        return Failure(0, "remote", "Exception", str(error))
    code, message, data = error.get("code"), str(error.get("message", "")), error.get("data")
    if isinstance(data, dict) and isinstance(data.get("code"), str) and isinstance(data.get("type"), str):
        return Failure(0, data["code"], data["type"], message)
    own = {METHOD_NOT_FOUND: NotExposedError.code, INVALID_PARAMS: ArgumentError.code}
    more = f" ({data})" if data is not None else ""
    if isinstance(code, int) and code in own:
        return Failure(0, own[code], "Exception", message + more)
    return Failure(0, "remote", f"JSON-RPC error {code}", message + more)
