"""Wire: a message, or one value alone, into bytes and back.

Rules of this file
- Protocols and small records only, no code. A wire does no I/O, and one instance serves all threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tincans.contracts.connection import Buffer, Parts
from tincans.facts import Facts

if TYPE_CHECKING:  # core stands above this room; only the names of its types are needed here
    from tincans.core.messages import Message

Reader = Callable[[Any, Any], Any]
"""`reader(body, message) -> value`: the body as read by `Wire.reader`, with the message's buffers at hand."""


class References(Protocol):
    """Turns things that stay where they are into numbers and back: functions and streams passed as arguments.

    The session's owner gives one to `encode` and `reader`; None where nothing of the kind can travel. Where memory is
    passed on without a copy it also has `place(array)`, which says how an array lies there, and `room(size)`, which
    gives memory to write to (both may give None; toolkit/array_places.py), and `shares_memory`.
    """

    def export_function(self, function: Callable[..., Any]) -> int: ...
    def export_stream(self, iterator: Any) -> int: ...
    def import_function(self, number: int) -> Callable[..., Any]: ...
    def import_stream(self, number: int) -> Any: ...


class Wire(Protocol):
    """A message into bytes and back. Pure; one instance serves all threads.

    Its file is `wires/<name>.py` and has one instance named WIRE.
    """

    name: str
    facts: Facts
    framing: str
    """The framing that fits it on a byte stream: "frames" or "lines"."""
    greets: bool
    """Whether a Hello goes first each way. A wire for foreign programs does not ask for one.

    A wire with options in its URL has `options`, and `configured(settings)`, which gives the wire with them; one that
    must remember what was said on a connection has `conversation(connecting=...)` (pump/conversing.py).
    A wire that cannot say ids has two more: `in_order = True`, and `for_caller`, the wire that takes what it hears for
    answers (pump/turns.py). `plain = True`: a message of a few numbers and texts has the form that the
    C core writes and reads (_speed/plain_write.c)."""

    def encode(self, message: Message, references: References | None = None) -> list[Buffer]:
        """The message's parts. UnsendableError with the path to a value that cannot travel."""
        ...

    def decode(self, parts: Parts) -> Message:
        """The message, bodies left undecoded. ProtocolError for anything that is not one."""
        ...

    def reader(self, type: Any, references: References | None = None) -> Reader:
        """A function that reads a body as `type` (Any: as it is). Made once per function and parameter list.

        It raises msgspec.ValidationError with the path when the body does not fit.
        """
        ...

    def pack(self, value: Any) -> bytes:
        """One value alone, as a board keeps it. UnsendableError with the path to what cannot travel."""
        ...

    def unpack(self, data: Buffer) -> Any:
        """The value that `pack` wrote, or a foreign program in the same format. ProtocolError for anything else."""
        ...
