"""Way: what a Peer talks through, whatever kind of method is behind it; and which kind a method needs.

Rules of this file
- Three kinds: a Channel (messages over a connection), a BoardWay (a method without calls), a ProtocolWay (a public
  protocol with calls of its own). Only the first is loaded by everybody. Several Channels behind one peer: a SpreadWay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tincans.contracts import Board, Buffer, Parts
from tincans.errors import AddressError
from tincans.pump.calling import Reading
from tincans.pump.channel import Channel

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tincans.finder import Method

MOST_STRINGS = 64
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Way(Protocol):
    """The string to one server. All may be called by several threads at the same time."""

    url: str

    def reach(self, timeout: float) -> None:
        """Make sure that it works: waits for the server, at most `timeout`."""
        ...

    def call(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any: ...
    def call_again(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any: ...
    def start(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Future[Any]: ...
    def notify(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> None: ...
    def describe(self, *, timeout: float | None) -> dict[str, Any]: ...

    def written(self, name: str, args: Args, kwargs: Kwargs) -> list[Buffer]:
        """A request as it is left for later."""
        ...

    def answer_in(self, parts: Parts, name: str) -> Any:
        """What the answer to a request that was left says: its value, or the error that it raises."""
        ...

    def board(self, timeout: float) -> Board: ...
    def expose(self, function: Callable[..., Any], **options: Any) -> None: ...
    def close(self) -> None: ...


def way_of(method: Method, reading: Reading) -> Way:
    """The right kind of way; nothing is reached yet."""
    if method.protocol is not None:
        from tincans.pump.protocol_way import ProtocolWay

        return ProtocolWay(method, method.protocol, reading)
    assert method.transport is not None
    if not method.calls:
        from tincans.pump.board_way import BoardWay

        return BoardWay(method, method.transport)
    channels = [Channel(method.address, method.transport, method.wire, reading) for _ in range(strings_of(method))]
    if len(channels) == 1:
        return channels[0]
    from tincans.pump.spread_way import SpreadWay

    return SpreadWay(channels)


def strings_of(method: Method) -> int:
    """How many connections a peer may have at the same time: the option `connections`, where a method has it."""
    if method.transport is None or "connections" not in method.transport.options:
        return 1
    count: int = method.address.settings(method.transport.options)["connections"]
    if not 1 <= count <= MOST_STRINGS:
        raise AddressError(f"connections is from 1 to {MOST_STRINGS}, not {count}.", url=str(method.address))
    return count
