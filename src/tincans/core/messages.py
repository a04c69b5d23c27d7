"""The messages that two programs exchange, each a small typed struct.

Rules of this file
- Structs only: no I/O, no behaviour. A wire turns them into bytes, a session gives them meaning.
- The fields marked `B` are bodies. On the way out they hold Python values. On the way in they hold whatever the
  wire left undecoded (the native and json wires: `msgspec.Raw`), to be read once, straight into the
  annotated types, by `Wire.reader(type)`.
- `rich` says that a body holds values beyond plain msgpack/JSON (a tuple, a date, an array, a buffer part,
  a stream, a function), so that the common case skips all that.
- `buffers` never travels inside the envelope: the wire moves it to and from the message's further parts.
- Ids: each message about a call, stream or subscription carries the id its opener gave it. The connecting side
  uses odd ids, the accepting side even ones, so both sides may open at will.
- Field order is the protocol: append only, and raise PROTOCOL_VERSION when an old peer would misread.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from tincans.contracts import Buffer

PROTOCOL_VERSION = 1

B = TypeVar("B")
if TYPE_CHECKING:
    Buffers = Sequence[Buffer]
else:  # what a decoder sees: an envelope that carries buffers of its own is refused
    Buffers = NoneType


class Request(Struct, Generic[B], array_like=True, tag=1):
    """Call `name`. `id` 0 means notify: no answer. `timeout` is what is left of the caller's deadline, in seconds.

    `key` identifies a repeated (idempotent) call across connections. `kwargs` is None when there are none (not
    `B | None`: msgspec reads `Raw | None` as null and nothing else).
    """

    id: int
    name: str
    args: B
    kwargs: B = None  # type: ignore[assignment]
    timeout: float | None = None
    key: str | None = None
    rich: bool = False
    buffers: Buffers | None = None


class Reply(Struct, Generic[B], array_like=True, tag=2):
    """The result of a call. `stream` says that `value` is null and items follow under the same id."""

    id: int
    value: B
    rich: bool = False
    stream: bool = False
    buffers: Buffers | None = None


class Failure(Struct, array_like=True, tag=3):
    """A call, or a stream, failed. `code` is a TincansError code, "remote" for an exception in the function."""

    id: int
    code: str
    type_name: str
    message: str
    traceback: str = ""


class Item(Struct, Generic[B], array_like=True, tag=4):
    """One element of a stream."""

    id: int
    value: B
    rich: bool = False
    buffers: Buffers | None = None


class Credit(Struct, array_like=True, tag=5):
    """The receiver of a stream allows `count` more items."""

    id: int
    count: int


class End(Struct, array_like=True, tag=6):
    """A stream ended well."""

    id: int


class Cancel(Struct, array_like=True, tag=7):
    """The opener of a call, or the receiver of a stream, has lost interest. Not answered."""

    id: int


class Publication(Struct, Generic[B], array_like=True, tag=8):
    """A published value for the subscription `id`; `dropped` counts what this subscription lost so far."""

    id: int
    topic: str
    value: B
    dropped: int = 0
    rich: bool = False
    buffers: Buffers | None = None


class Ping(Struct, array_like=True, tag=9):
    """Are you there? Answered by a Pong with the same token."""

    token: int = 0


class Pong(Struct, array_like=True, tag=10):
    """Yes."""

    token: int = 0


class Hello(Struct, array_like=True, tag=11):
    """The first message each way: who speaks, in which version, with which limits.

    `nonce` is fresh randomness and `proof` an HMAC over both nonces when a key is used (core/handshake.py).
    `idempotent` names the functions that may be repeated after a reconnect.
    """

    version: int
    software: str = ""
    pid: int = 0
    name: str = ""
    max_message: int = 0
    nonce: bytes = b""
    proof: bytes = b""
    key_name: str = ""
    idempotent: tuple[str, ...] = ()


class Proof(Struct, array_like=True, tag=12):
    """The connecting side's half of the mutual proof."""

    proof: bytes


class Goodbye(Struct, array_like=True, tag=13):
    """The sender will close in an orderly way; `reason` is for people."""

    reason: str = ""


Message = (
    Request[Any]
    | Reply[Any]
    | Failure
    | Item[Any]
    | Credit
    | End
    | Cancel
    | Publication[Any]
    | Ping
    | Pong
    | Hello
    | Proof
    | Goodbye
)
