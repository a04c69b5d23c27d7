"""Values as the JSON that anybody expects: a tuple is a list, bytes are base64 text, a date is its ISO text.

Rules of this file
- For programs that are not ours: nothing is marked as in the json wire, so not everything comes back as it was.
- It is what the JSON Schemas of core/interface.py describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tincans.core.messages import Reply, Request
from tincans.errors import UnsendableError
from tincans.wires.json import WIRE


def plain(value: Any) -> bytes:
    """The JSON text of a value. UnsendableError with the path to what cannot travel.

    >>> plain({"a": (1, b"hi", None)})
    b'{"a":[1,"aGk=",null]}'
    """
    try:
        return _encode(value)
    except Exception:  # look closely: it says where and why, or has a way to write it
        return bytes(_said_by_the_wire(Reply(1, value)).value)


def plain_arguments(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Positional and named arguments, a JSON array and a JSON object. UnsendableError as for a call."""
    try:
        return _encode(args), _encode(kwargs)
    except Exception:
        request = _said_by_the_wire(Request(1, name, args, dict(kwargs) or None))
        return bytes(request.args), b"{}" if request.kwargs is None else bytes(request.kwargs)


def plainer(value: Any, path: str) -> Any:
    """A value of another kind as JSON's own values. UnsendableError when it is none."""
    try:
        return msgspec.to_builtins(value, enc_hook=_hook)
    except Exception as error:
        raise UnsendableError(f"{path} cannot be sent: {error}.") from None


def _said_by_the_wire(message: Any) -> Any:
    return WIRE.decode(WIRE.encode(message))


def _hook(value: Any) -> Any:
    """What msgspec does not know: numpy's numbers and arrays, ranges, complex numbers, paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, range):
        return list(value)
    if isinstance(value, complex):
        return [value.real, value.imag]
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    raise TypeError(f"{type(value).__name__} is no JSON value")


_encode = msgspec.json.Encoder(enc_hook=_hook).encode
