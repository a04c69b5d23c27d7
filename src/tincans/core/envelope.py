"""A message on its way to a wire: its bodies lowered, its parts collected, its refusals explained.

Rules of this file
- The quick way is the wire's own; this is the thorough one, for a message that is not plain through and through.
- Functions and streams are only exported once everything else in the message is known to travel.
- A failure always travels: text that cannot be said is escaped, for the other end waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from tincans.contracts import Buffer, References
from tincans.core.messages import Failure, Item, Message, Publication, Reply, Request
from tincans.core.values import Form, Lowering, Refusal
from tincans.errors import TincansError, UnsendableError

Write = Callable[[Message, Lowering], bytes]

_BODY_NAMES = {Reply: "result", Item: "item", Publication: "value"}


class Trial:
    """References that hand out nothing: for the first walk, which only finds out whether all can travel."""

    def __init__(self, references: References | None) -> None:
        self.used = False
        self._real = references

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)  # memory may be handed out at once: `place`, `room`, `shares_memory`

    def export_function(self, function: Any) -> int:
        self.used = True
        return 0

    export_stream = export_function

    def import_function(self, number: int) -> Any:
        raise NotImplementedError("A trial sends only.")

    import_stream = import_function


def to_parts(message: Message, form: Form, references: References | None, write: Write) -> list[Buffer]:
    """The message's envelope, as `write` says it, and its further parts; UnsendableError with the path.

    `write` is given the message with lowered bodies, and the walk, whose `rich` and `parts` are then known.
    """
    try:
        if isinstance(message, Failure):
            message = _sayable(message)
        trial = Trial(references)
        stand_in = None if references is None else trial
        try:
            low = Lowering(form, stand_in)
            envelope = write(_lowered(message, low), low)
        except (OverflowError, TypeError, ValueError):  # a large number, an odd text or class: look closely
            low = Lowering(form, stand_in, careful=True)
            envelope = write(_lowered(message, low), low)
        if trial.used:
            low = Lowering(form, references, careful=low.careful)
            envelope = write(_lowered(message, low), low)
    except TincansError:
        raise
    except Exception as error:  # a property or iterator of the user's own class, or a text in a name
        raise UnsendableError(
            f"This {type(message).__name__} cannot be sent: {type(error).__name__}: {error}",
            operation=_operation(message),
        ) from error
    return [envelope, *low.parts]


def _lowered(message: Message, low: Lowering) -> Message:
    if isinstance(message, Request):
        args, kwargs = message.args, message.kwargs
        if type(args) is not Raw:
            args = _body(list(args), low, "args", message)
        if kwargs is not None and type(kwargs) is not Raw:
            kwargs = _body(dict(kwargs), low, "kwargs", message)
        return replace(message, args=args, kwargs=kwargs, rich=_rich(message, low), buffers=None)
    if isinstance(message, Reply | Item | Publication):
        value = message.value
        if type(value) is not Raw:
            value = _body(value, low, _BODY_NAMES[type(message)], message)
        return replace(message, value=value, rich=_rich(message, low), buffers=None)
    return message


def _body(value: Any, low: Lowering, name: str, message: Message) -> Any:
    """One body, lowered. The arguments of a call are a plain list, never a marked one."""
    try:
        if name == "args":
            return value if low.are_plain(value) else low.each(value)
        return low.lower(value)
    except Refusal as refusal:
        raise UnsendableError(
            f"{name}{refusal.where()} cannot be sent: {refusal.reason}.", operation=_operation(message)
        ) from None


def _rich(message: Any, low: Lowering) -> bool:
    """A body that is passed on undecoded (Raw) keeps its buffers and what was said about it."""
    if Raw in (type(getattr(message, "args", None)), type(getattr(message, "value", None))):
        low.parts.extend(message.buffers or ())
        return bool(message.rich)
    return low.rich


def _operation(message: Message) -> str | None:
    return f"call {message.name}" if isinstance(message, Request) else None


def _sayable(failure: Failure) -> Failure:
    texts = {name: getattr(failure, name) for name in ("code", "type_name", "message", "traceback")}
    return replace(failure, **{name: text.encode("utf-8", "backslashreplace").decode() for name, text in texts.items()})
