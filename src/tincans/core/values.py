"""What may travel, and the walk that lowers a value for a wire and rebuilds it on the other side.

Rules of this file
- Wire-neutral: a wire gives a `Form` (which types it says as they are, how it marks the rest) and gets back
  a body that it can encode with one call. A marked value is a `Code` and a payload of plainer values.
- Nothing is looked up by a name from the wire: a code chooses one function out of a fixed table.
- Only the machinery stands here; what each type turns into is in scalars, containers, arrays and tables.
- Code numbers and payload shapes are the protocol: append only.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from math import isfinite
from typing import Any, NoReturn

from msgspec import ValidationError, convert

from tincans.contracts import Buffer, References

DEEPEST = 200
"""Levels of containers; deeper is a cycle or an attack. Python's own limit is 1,000 frames."""

LARGE = 16 * 1024
"""Bytes from which a buffer travels as a part of its own: about where one copy costs more than one more part."""


class Code(IntEnum):
    """The marked kinds of value. The json wire writes the name in small letters: `{"$tuple": [1, 2]}`."""

    TUPLE = 1
    SET = 2
    FROZENSET = 3
    DICT = 4
    INT = 5
    FLOAT = 6
    COMPLEX = 7
    TEXT = 8
    BYTES = 9
    BYTEARRAY = 10
    DATETIME = 11
    DATE = 12
    TIME = 13
    TIMEDELTA = 14
    DECIMAL = 15
    FRACTION = 16
    UUID = 17
    PATH = 18
    RANGE = 20
    SLICE = 21
    BUFFER = 23
    ARRAY = 24
    SCALAR = 25
    TABLE = 26
    FUNCTION = 27
    STREAM = 28
    TENSOR = 29


Lower = Callable[[Any, "Lowering"], Any]
Rebuild = Callable[[Any, "Rebuilding"], Any]


@dataclass(frozen=True)
class Form:
    """How one wire says values.

    `plain`: the exact types it says as they are, apart from containers. `keys`: the same for keys of a dict.
    `ints`: the whole numbers it can say. `finite`: a float is plain when it is finite (JSON).
    `tag`: what the only key of a marked dict starts with, "" where marks are no dicts. `parts`: whether large
    buffers may travel as parts of their own. `wrap` makes the mark, `handler` finds what lowers a type, `quick`
    holds the same for the exact types.
    """

    plain: frozenset[type]
    keys: frozenset[type]
    ints: range
    finite: bool
    tag: str
    parts: bool
    wrap: Callable[[Code, Any], Any]
    handler: Callable[[type], Lower]
    quick: Mapping[type, Lower]


class Refusal(Exception):
    """Why a value cannot travel; the path to it grows while the walk unwinds."""

    def __init__(self, reason: str, culprit: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.culprit = culprit
        self.path: list[str] = []

    def within(self, step: str, container: Any) -> None:
        """Note that the refusal happened at `step` of `container`."""
        self.path.append(step)
        if id(container) == self.culprit:  # met again on the way out: it is inside itself
            self.path.clear()
            self.reason = "it contains itself. Send a copy without the cycle, or send ids in its place"

    def where(self) -> str:
        """The path, outermost step first, shortened in the middle."""
        steps = self.path[::-1]
        return "".join(steps if len(steps) <= 12 else [*steps[:8], "...", *steps[-3:]])


class Lowering:
    """One walk down over the bodies of one message. Collects `parts`, and sets `rich` when it marked something.

    With `careful`, texts and whole numbers are looked at one by one: only needed after the quick way failed.
    """

    __slots__ = ("careful", "depth", "finite", "form", "hashing", "keys", "parts", "plain", "references", "rich")

    def __init__(self, form: Form, references: References | None = None, *, careful: bool = False) -> None:
        self.form = form
        self.references = references
        self.careful = careful
        self.plain = frozenset() if careful else form.plain
        self.keys = frozenset() if careful else form.keys
        self.finite = form.finite and not careful
        self.parts: list[Buffer] = []
        self.rich = False
        self.depth = 0
        self.hashing = 0

    def lower(self, value: Any) -> Any:
        """The value as this form says it; Refusal when it cannot."""
        kind = type(value)
        if kind in self.plain:
            return value
        return (self.form.quick.get(kind) or self.form.handler(kind))(value, self)

    def wrap(self, code: Code, payload: Any) -> Any:
        """Mark a lowered payload."""
        self.rich = True
        return self.form.wrap(code, payload)

    def data(self, buffer: Buffer) -> Any:
        """Bytes inside a payload: in place when small, otherwise the number of their part (no copy)."""
        size = buffer.nbytes if isinstance(buffer, memoryview) else len(buffer)
        if self.form.parts and size >= LARGE:
            return self.part(buffer)
        return bytes(buffer)

    def part(self, buffer: Buffer) -> int:
        """A buffer as a part of its own, whatever its size; its number."""
        self.parts.append(buffer)
        return len(self.parts) - 1

    def are_plain(self, values: Iterable[Any]) -> bool:
        """Whether all of them are said as they are. Runs at C speed; `values` must be iterable twice."""
        if type(values) is list and len(values) > _LONG and self.plain and _is_uniform(values):
            return True
        if not self.finite:
            return self.plain.issuperset(map(type, values))
        kinds = {*map(type, values)}
        if float not in kinds:
            return kinds <= self.plain
        kinds.discard(float)
        return kinds <= self.plain and all(isfinite(value) for value in values if type(value) is float)

    def each(self, values: Iterable[Any]) -> list[Any]:
        """Lower the elements of a container, with the index in the path of a refusal."""
        self.enter(values)
        plain, lower, lowered = self.plain, self.lower, list[Any]()
        try:
            for item in values:
                lowered.append(item if type(item) in plain else lower(item))
        except Refusal as refusal:
            refusal.within(f"[{len(lowered)}]", values)
            raise
        self.depth -= 1
        return lowered

    def fields(self, items: Mapping[Any, Any], owner: Any, step: Callable[[Any], str]) -> dict[Any, Any]:
        """Lower the values of a dict or the fields of a record; `step` names one in the path of a refusal."""
        self.enter(owner)
        plain, lower, lowered, key = self.plain, self.lower, dict[Any, Any](), None
        try:
            for key, item in items.items():
                lowered[key] = item if type(item) in plain else lower(item)
        except Refusal as refusal:
            refusal.within(step(key), owner)
            raise
        self.depth -= 1
        return lowered

    def enter(self, container: Any) -> None:
        """One level deeper; refuses what is too deep."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Refusal(f"it is nested deeper than {DEEPEST} levels. Send it flatter, or as text", id(container))

    def refuse(self, reason: str) -> NoReturn:
        """Refuse the value under hand."""
        raise Refusal(reason)


_LONG = 32


def _is_uniform(values: list[Any]) -> bool:
    """Whether a long list is all text, all whole numbers or finite numbers, four times faster than type by type.

    msgspec.convert takes exact types for text and whole numbers. For floats it would take decimals too, but
    a sum of floats is only a float when nothing else was in it that a wire would say differently.
    """
    try:
        if type(values[0]) is float:
            total = sum(values)
            return type(total) is float and isfinite(total)
        convert(values, _UNIFORM[type(values[0])])
    except Exception:  # any other type, or what its own addition raises: look type by type
        return False
    return True


_UNIFORM: dict[type, Any] = {int: list[int], str: list[str]}


class Rebuilding:
    """One walk up over one received body: marks become values again.

    `python_scalars` turns numpy scalars into Python's own (a second try, for a parameter annotated `float`);
    `met_scalar` says whether there was one, `met_gaps` whether an array came with gaps in its memory, `imports`
    holds the functions and streams that were taken in.
    """

    __slots__ = ("buffers", "depth", "imports", "met_gaps", "met_scalar", "python_scalars", "rebuilders", "references")

    def __init__(
        self,
        rebuilders: Mapping[int, Rebuild],
        buffers: Any,
        references: References | None,
        *,
        python_scalars: bool = False,
    ) -> None:
        self.rebuilders = rebuilders
        self.buffers = buffers or ()
        self.references = references
        self.python_scalars = python_scalars
        self.met_scalar = self.met_gaps = False
        self.depth = 0
        self.imports: dict[tuple[int, int], Any] = {}

    def rebuild(self, code: int, payload: Any) -> Any:
        """The value of a mark; ValidationError for an unknown one."""
        rebuild = self.rebuilders.get(code)
        if rebuild is None:
            raise ValidationError(f"The value has the unknown code {code}; the other end may run a newer version.")
        return rebuild(payload, self)

    def enter(self) -> None:
        """One mark deeper; a hostile body must not use up the stack."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValidationError(f"The value is nested deeper than {DEEPEST} levels.")

    def data(self, place: Any) -> Buffer:
        """The bytes of a payload: given in place (as base64 in JSON), or by the number of their part."""
        if type(place) is bytes:
            return place
        if type(place) is str:
            return a2b_base64(place, strict_mode=True)
        if type(place) is not int or not 0 <= place < len(self.buffers):
            raise ValidationError(f"The value refers to part {place!r} of {len(self.buffers)}.")
        part: Buffer = self.buffers[place]
        return part


def expect(payload: Any, *kinds: type | tuple[type, ...]) -> list[Any]:
    """The payload as a list of exactly these types; ValidationError otherwise.

    >>> expect([1, "a"], int, str)
    [1, 'a']
    """
    if type(payload) is not list or len(payload) != len(kinds) or not all(map(isinstance, payload, kinds)):
        raise ValidationError("A marked value has a payload of the wrong shape.")
    return payload


def elements(payload: Any, kind: type = list) -> Any:
    """The payload, which must be of exactly this type; ValidationError otherwise."""
    if type(payload) is not kind:
        raise ValidationError(f"A marked value has {type(payload).__name__} where {kind.__name__} belongs.")
    return payload
