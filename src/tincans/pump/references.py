"""Functions and iterators passed as values: they stay where they are, and a number travels.

Rules of this file
- A number means something on one connection only; when that ends, so do its references.
- A function passed to the other side can be called back until the other side drops it or the connection ends.
- A stream passed as an argument starts without credit: the receiver grants it when it has the number.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tincans.core.messages import Credit
from tincans.core.streams import WINDOW
from tincans.errors import DisconnectedError, ProtocolError, UnsendableError

if TYPE_CHECKING:
    from tincans.pump.link import Link

CALL_BACK = "$back:"
MAX_FUNCTIONS = 100_000


class LinkReferences:
    """contracts.References for one link."""

    def __init__(self, link: Link) -> None:
        self._link = weakref.ref(link)

    def place(self, array: Any) -> Any:
        """How an array lies in memory that is passed on; None where it had better travel as bytes."""
        if not self.shares_memory:
            return None
        from tincans.toolkit.array_places import array_place  # nobody else needs it

        return array_place(array)

    def room(self, size: int) -> memoryview | None:
        """Memory to write to that is passed on; None where memory is not."""
        if not self.shares_memory:
            return None
        from tincans.toolkit.array_places import room

        return room(size)

    @property
    def shares_memory(self) -> bool:
        """Whether the other end may look at the very memory that this program uses."""
        link = self._link()
        return link is not None and getattr(link.connection, "shares_memory", False)

    def _there(self) -> Link:
        link = self._link()
        if link is None:
            raise DisconnectedError("The connection that this reference belongs to is gone.")
        return link

    def export_function(self, function: Callable[..., Any]) -> int:
        link = self._there()
        if len(link.session.functions) >= MAX_FUNCTIONS:
            raise UnsendableError(f"The other side holds {MAX_FUNCTIONS} of our functions already.")
        number = link.session.new_id()
        link.session.functions[number] = function
        link.attend()
        return number

    def export_stream(self, iterator: Any) -> int:
        from tincans.pump.flows import Pull

        link = self._there()
        number = link.session.new_id()
        link.session.outlets[number] = Pull(link, number, synchronous(iterator), credit=0)
        link.attend()
        return number

    def import_function(self, number: int) -> Callable[..., Any]:
        return RemoteFunction(self._there(), number)

    def import_stream(self, number: int) -> Any:
        from tincans.pump.flows import Stream

        link = self._there()
        if number in link.session.inlets:
            raise ProtocolError(f"The stream {number} was passed twice.")
        incoming = link.new_inlet(number)
        link.session.inlets[number] = incoming
        link.post(Credit(number, WINDOW))
        read = link.wire.reader(Any)
        return Stream(incoming, lambda message: read(message.value, message), "a stream passed as argument", 30.0)


class RemoteFunction:
    """A function of the other program, passed to us as an argument: call it like any other."""

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._name = f"{CALL_BACK}{number}"
        self._finalizer = weakref.finalize(self, say_released, weakref.ref(link), number)
        self._finalizer.atexit = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from tincans.pump.calling import call

        return call(self._link, self._name, args, kwargs, timeout=30.0, operation="call back")

    def __repr__(self) -> str:
        return "<a function of the other program>"


def say_released(link: weakref.ref[Link], number: int) -> None:
    """Only noted here: a finalizer may run anywhere, also where this thread holds the locks of sending."""
    there = link()
    if there is not None:
        there.dropped.append(number)


def synchronous(iterator: Any) -> Any:
    """An iterator over whatever can be iterated: also over an async generator, driven by the loop thread."""
    if hasattr(iterator, "__anext__"):
        from tincans.toolkit.asyncio_bridge import iterate

        return iterate(iterator)
    return iter(iterator)
