"""A large value on its way through the serving program: written down once, however many get it.

Rules of this file
- It is kept in the native wire's own bytes, beside its buffers; whoever speaks that wire gets them as they are.
- Whoever does not, and the serving program itself, opens it: a value of its own each time.
- It was looked at when it came in: bad arrays are refused there, and only a table's content is left to its receiver.
- Nothing in it means something on one connection only: functions and streams are not carried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw

from tincans.contracts import Buffer
from tincans.core.values import Form, Lowering


class Carried:
    """A body of the wire with this `form`, and the buffers that it refers to by number, all of them its own.

    `gaps` says that a buffer holds more than the value needs: only those may get it who see our memory anyway.
    """

    __slots__ = ("body", "buffers", "form", "gaps", "open")

    def __init__(
        self, body: Raw, buffers: Sequence[Buffer], form: Form, open_: Callable[[], Any], *, gaps: bool
    ) -> None:
        self.body = body
        self.buffers = buffers
        self.form = form
        self.gaps = gaps
        self.open = open_


def lower_carried(value: Carried, low: Lowering) -> Any:
    """As it is when it can be: its buffers must be the first parts, for it names them by number."""
    as_it_is = low.form is value.form and not low.parts and not low.careful
    if as_it_is and value.gaps:
        as_it_is = getattr(low.references, "shares_memory", False)
    if not as_it_is:
        return low.lower(value.open())
    low.parts.extend(value.buffers)
    low.rich = True
    return value.body


def opened(value: Any) -> Any:
    """What the serving program itself gets: the value, or the answer with the value in it.

    >>> opened([1, "sweep", 1, 30.0])
    [1, 'sweep', 1, 30.0]
    """
    if type(value) is Carried:
        return value.open()
    if type(value) is list and any(type(each) is Carried for each in value):
        return [opened(each) for each in value]
    return value
