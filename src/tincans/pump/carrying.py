"""Large values on their way into the hub: taken in as they come, or written down once.

Rules of this file
- What a connected program sends is not even opened: its body and its buffers are kept as they are.
- What the serving program itself says is copied once, into memory that can be passed on; its own it may change then.
- Small values, and what another wire sends, go their ordinary way.
"""

from __future__ import annotations

from typing import Any

from tincans.core.carried import Carried
from tincans.core.messages import Reply, Request
from tincans.errors import UnsendableError
from tincans.finder import find_wire
from tincans.toolkit import sealed_memory
from tincans.toolkit.array_places import WORTH_IT, array_place, room

VALUES = frozenset({"$publish", "$put", "$set"})
"""Those whose second argument is somebody's value."""

_SMALL = frozenset({type(None), bool, int, float, complex})
_SIZED = frozenset({bytes, bytearray, str})
_LISTS = frozenset({list, tuple, set, frozenset})


def taken_in(wire: Any, request: Request[Any]) -> tuple[Any, ...] | None:
    """The arguments of a request with a large value in it, the value unopened; None when there is nothing to gain."""
    if not request.buffers or request.name not in VALUES or not hasattr(wire, "carried"):
        return None
    topic, *more = wire.split(request.args)
    if not more:
        return None
    read, plain = wire.reader(Any), Request(0, "", None)
    return (read(topic, plain), wire.carried(more[0], request.buffers), *(read(each, plain) for each in more[1:]))


def written_down(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with the serving program's own large value as it can be passed on to many.

    FullError when there is no memory for it: nothing has been said then.
    """
    if name not in VALUES or len(args) < 2 or not may_be_large(args[1]):
        return args
    return (args[0], _carry(find_wire(""), args[1]), *args[2:])


def may_be_large(value: Any) -> bool:
    """Whether it is worth a closer look.

    >>> may_be_large({"a": [1, 2.0, "text"]}), may_be_large([bytes(2_000_000)])
    (False, True)
    """
    kind = type(value)
    if kind in _SMALL:
        return False
    if kind in _SIZED:
        return kind is not str and len(value) >= WORTH_IT
    if kind in _LISTS:
        return any(map(may_be_large, value))
    if kind is dict:
        return any(map(may_be_large, value.values()))
    size = getattr(value, "nbytes", WORTH_IT)
    return not isinstance(size, int) or size >= WORTH_IT


def _carry(wire: Any, value: Any) -> Any:
    try:
        parts = wire.encode(Reply(0, value), _Offer())
    except UnsendableError:
        return value  # whoever it is sent to will say what is wrong with it
    if all(memoryview(part).nbytes < WORTH_IT for part in parts[1:]):
        return value
    buffers = [sealed_memory.share(part) if memoryview(part).nbytes >= WORTH_IT else bytes(part) for part in parts[1:]]
    reply: Any = wire.decode(parts)
    carried: Carried = wire.carried(reply.value, buffers)
    return carried


class _Offer:
    """contracts.References for a value that may go to several: memory, but nothing that only one link knows."""

    place = staticmethod(array_place)
    room = staticmethod(room)

    def export_function(self, function: Any) -> int:
        """Refused."""
        raise UnsendableError("Functions and streams cannot go through topics, queues and state.")

    export_stream = import_function = import_stream = export_function
