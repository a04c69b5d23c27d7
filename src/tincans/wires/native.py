"""The native wire: msgpack, one array per message, large buffers as parts of their own.

Rules of this file
- A plain message costs one msgspec encode; what msgpack lacks is an extension type (core/values.py has the codes).
- The envelope is decoded at once, its bodies when the function that wants them is known, straight into its types.
- Whatever arrives, only ProtocolError, msgspec.ValidationError and MissingLibraryError come out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.msgpack import Decoder, Encoder, Ext

from tincans.contracts import Buffer, Parts, Reader, References
from tincans.core.annotations import accept, converter, readable
from tincans.core.carried import Carried
from tincans.core.envelope import to_parts
from tincans.core.framing import Frames
from tincans.core.kinds import BY_TYPE, LOOKERS, REBUILDERS, handler
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
from tincans.facts import Facts

FACTS = Facts(
    "msgpack with extension types: every value, functions and streams, large buffers without a copy",
    reach="network",
    one_memory=True,
)

_encode = Encoder().encode
_FRAMES = Frames()
_ONE_PART = _FRAMES.frame(b"")[:4]
_PLAIN: Final = frozenset({NoneType, bool, int, float, str})
_NO_NAMES = Raw(b"\x80")
_NIL = Raw(b"\xc0")
_BUILT_IN = (bytes, bytearray, memoryview)
"""What msgpack says itself: a text is no base64 here. (Of the rest, a text is the plain form.)"""

_Envelope = (
    Request[Raw]
    | Reply[Raw]
    | Failure
    | Item[Raw]
    | Credit
    | End
    | Cancel
    | Publication[Raw]
    | Ping
    | Pong
    | Hello
    | Proof
    | Goodbye
)
_envelope: Callable[[Any], Message] = Decoder(_Envelope).decode


def _wrap(code: Code, payload: Any) -> Ext:
    return Ext(code.value, _encode(payload))


FORM = Form(
    plain=_PLAIN,
    keys=_PLAIN | {bytes},
    ints=range(-(2**63), 2**64),
    finite=False,
    tag="",
    parts=True,
    wrap=_wrap,
    handler=handler,
    quick=BY_TYPE,
)


def _write(message: Message, low: Lowering) -> bytes:
    return _encode(message)


def _is_plain(message: Any) -> bool:
    kind = type(message)
    if kind is Request:
        names = message.kwargs
        return _PLAIN.issuperset(map(type, message.args)) and (
            not names or _PLAIN.issuperset(map(type, names.values()))
        )
    if kind is Reply or kind is Item or kind is Publication:
        return type(message.value) in _PLAIN
    return kind is not Failure


class NativeWire:
    """A contracts.Wire: msgpack.

    >>> parts = WIRE.encode(Request(1, "add", (2, 5)))
    >>> request = WIRE.decode(parts)
    >>> WIRE.reader(tuple[int, int])(request.args, request)
    (2, 5)
    """

    name = "native"
    facts = FACTS
    framing = "frames"
    greets = True
    plain = True
    """See contracts.Wire."""

    def encode(self, message: Message, references: References | None = None) -> list[Buffer]:
        """The envelope, then the large buffers of its values. UnsendableError with the path to a bad value."""
        try:
            if _is_plain(message):
                return [_encode(message)]
        except (OverflowError, TypeError, ValueError):  # a large whole number, an odd text, an undecoded body
            pass
        return to_parts(message, FORM, references, _write)

    def decode(self, parts: Parts) -> Message:
        """The message, its bodies as msgspec.Raw. ProtocolError for anything that is not one."""
        try:
            message = _envelope(parts[0])
            if type(message) is Request and message.kwargs == _NIL:
                message.kwargs = None
            if len(parts) > 1:
                message.buffers = parts[1:]  # type: ignore[union-attr]
            return message
        except Exception as error:
            raise ProtocolError(f"The other end sent what is no message of the native wire: {error}") from None

    def carried(self, body: Raw, buffers: Sequence[Buffer]) -> Carried:
        """A body to be passed on as it is, to several, when it was found to be one. ValidationError otherwise."""
        up = Rebuilding(LOOKERS, buffers, None)
        try:
            _rebuilt(body, up)
        except (msgspec.ValidationError, TincansError):
            raise
        except Exception as error:
            raise msgspec.ValidationError(f"The value cannot be read: {error or type(error).__name__}") from error
        return Carried(body, buffers, FORM, lambda: _read_rich(body, buffers, None, None), gaps=up.met_gaps)

    def forwarded(self, id: int, topic: str, value: Carried) -> list[Buffer]:
        """The parts of a Publication of what was carried, before which nothing was lost."""
        return [_encode(Publication(id, topic, value.body, 0, True)), *value.buffers]

    def split(self, body: Raw) -> list[Raw]:
        """The arguments of a request, each by itself."""
        return _split(body)

    def reader(self, type: Any, references: References | None = None) -> Reader:
        """A function that reads a body as `type`; Any as it is. It raises msgspec.ValidationError with the path."""
        plain, convert = _reading(type)

        def read(body: Any, message: Any) -> Any:
            try:
                if message.rich:
                    return _read_rich(body, message.buffers, references, convert)
                return plain(_NO_NAMES if body is None else body)
            except (msgspec.ValidationError, TincansError):
                raise
            except Exception as error:
                raise msgspec.ValidationError(f"The value cannot be read: {error or type(error).__name__}") from error

        return read

    def pack(self, value: Any) -> bytes:
        """One value alone, in one piece: a frame with all its parts."""
        return b"".join(_FRAMES.encode(self.encode(Reply(0, value))))

    def unpack(self, data: Buffer) -> Any:
        """The value that `pack` wrote. ProtocolError for anything else."""
        message: Any
        if type(data) is bytes and data[:4] == _ONE_PART and int.from_bytes(data[4:8], "little") == len(data) - 8:
            message = self.decode([data[8:]])  # a frame of one part, as most are
        else:
            deframer = _FRAMES.decoder(len(data))
            deframer.feed(data)
            message = self.decode(deframer.next() or [b""])
        try:
            return _read_any(message.value, message)
        except (AttributeError, msgspec.ValidationError) as error:
            raise ProtocolError(f"This is no value of the native wire: {error}") from None


Reading = tuple[Callable[[Any], Any], Callable[[Any], Any] | None]


def _reading(annotation: Any) -> Reading:
    try:
        return _cached_reading(annotation)
    except TypeError:  # an annotation without a hash
        return _new_reading(annotation)


def _new_reading(annotation: Any) -> Reading:
    if annotation is Any:
        return Decoder(ext_hook=_refuse_mark).decode, None
    wanted = readable(annotation, builtin_types=_BUILT_IN)
    return Decoder(wanted, dec_hook=accept, ext_hook=_refuse_mark).decode, converter(
        annotation, builtin_types=_BUILT_IN
    )


def _refuse_mark(code: int, data: memoryview) -> Any:
    raise msgspec.ValidationError(f"A body that is said to be plain has a marked value in it (code {code}).")


_cached_reading = lru_cache(maxsize=1024)(_new_reading)


def _read_rich(body: Any, buffers: Any, references: References | None, convert: Callable[[Any], Any] | None) -> Any:
    """Rebuild first, then fit into the annotation. numpy scalars may stand in for Python's own numbers."""
    up = Rebuilding(REBUILDERS, buffers, references)
    value = _rebuilt(body, up)
    if convert is None:
        return value
    try:
        return convert(value)
    except msgspec.ValidationError:
        if not up.met_scalar:
            raise
    again = Rebuilding(REBUILDERS, buffers, references, python_scalars=True)
    again.imports = up.imports  # a stream can be taken in once only
    return convert(_rebuilt(body, again))


class _Extension:
    """Rebuilds rich values. Not a nested function: that would be in a cycle with itself, and keep large buffers."""

    __slots__ = ("_up",)

    def __init__(self, up: Rebuilding) -> None:
        self._up = up

    def __call__(self, code: int, data: memoryview) -> Any:
        up = self._up
        up.enter()
        value = up.rebuild(code, msgspec.msgpack.decode(data, ext_hook=self))
        up.depth -= 1
        return value


_split: Callable[[Any], list[Raw]] = Decoder(list[Raw]).decode


def _rebuilt(body: Any, up: Rebuilding) -> Any:
    return msgspec.msgpack.decode(_NO_NAMES if body is None else body, ext_hook=_Extension(up))


WIRE = NativeWire()
_read_any = WIRE.reader(Any)
