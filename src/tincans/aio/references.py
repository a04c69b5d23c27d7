"""Functions and iterators passed as values, on an event loop.

Rules of this file
- What is read on the loop becomes something to await; what a thread reads, for a plain function, becomes something
  that blocks that thread, as in the sync face.
- An async generator passed to the other side is advanced on the loop, any other iterator on the pump's threads.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from tincans.aio.flows import Stream, send_out
from tincans.core.messages import Credit
from tincans.core.streams import WINDOW
from tincans.errors import ProtocolError
from tincans.pump.references import CALL_BACK, LinkReferences, say_released

if TYPE_CHECKING:
    from tincans.aio.link import AsyncLink

CALL_BACK_TIMEOUT = 30.0


class AsyncReferences(LinkReferences):
    """contracts.References for one AsyncLink."""

    def _here(self) -> AsyncLink:
        return cast("AsyncLink", self._there())

    def export_stream(self, iterator: Any) -> int:
        if not hasattr(iterator, "__anext__"):
            return super().export_stream(iterator)
        link = self._here()
        number = link.session.new_id()
        send_out(link, number, iterator, credit=0)
        return number

    def import_function(self, number: int) -> Callable[..., Any]:
        link = self._here()
        return RemoteFunction(link, number) if link.on_loop() else super().import_function(number)

    def import_stream(self, number: int) -> Any:
        link = self._here()
        if not link.on_loop():
            return super().import_stream(number)
        if number in link.session.inlets:
            raise ProtocolError(f"The stream {number} was passed twice.")
        incoming = link.new_inlet(number)
        link.session.inlets[number] = incoming
        link.post(Credit(number, WINDOW))
        read = link.read_any
        return Stream(
            incoming, lambda message: read(message.value, message), "a stream passed as argument", CALL_BACK_TIMEOUT
        )


class RemoteFunction:
    """A function of the other program, passed to us as an argument: `await` it like any other."""

    def __init__(self, link: AsyncLink, number: int) -> None:
        self._link = link
        self._name = f"{CALL_BACK}{number}"
        self._finalizer = weakref.finalize(self, say_released, weakref.ref(link), number)
        self._finalizer.atexit = False

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from tincans.aio.calling import call

        return await call(self._link, self._name, args, kwargs, timeout=CALL_BACK_TIMEOUT, operation="call back")

    def __repr__(self) -> str:
        return "<a function of the other program>"
