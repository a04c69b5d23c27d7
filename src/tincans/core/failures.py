"""Errors across the string: an exception into a Failure message, and a Failure into the error to raise.

Rules of this file
- A class is never looked up by a name from the wire: only the built-in exceptions, our own errors, and those the
  user named in `errors=` can come back as themselves; everything else is a RemoteError.
- An error raised by a function of the other program is a RemoteError, also when it is an instance of ValueError.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from tincans import errors
from tincans.core.log import log
from tincans.core.messages import Failure
from tincans.errors import DisconnectedError, RemoteError, TincansError

_BY_CODE: dict[str, type[TincansError]] = {
    cls.code: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, TincansError) and cls is not RemoteError
}
CODES: dict[str, str] = {
    name: cls.code for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, TincansError)
}
"""The stable word of each of our errors, by its class's name: for wires that say no more of a failure than that."""
_BUILTIN: dict[str, type[BaseException]] = {
    name: cls
    for name, cls in vars(builtins).items()
    if isinstance(cls, type) and issubclass(cls, Exception) and cls.__name__ == name
}
_FOREIGN_LAYOUT = (UnicodeError, SyntaxError, StopIteration, StopAsyncIteration, BaseExceptionGroup)
"""Built-in errors whose constructors want more than a text, or that would end a loop of the caller's."""

MAX_TRACEBACK = 16_000
_made: dict[tuple[type, str], type[RemoteError]] = {}


def sayable(text: str) -> str:
    r"""The text with what no JSON can hold escaped: a failure always travels.

    >>> sayable("\ud800x")
    '\\ud800x'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def survivable(error: BaseException) -> Exception:
    """The error as an Exception, of the same name and text.

    A function that says sys.exit() is in trouble with its caller; it must end no thread and no event loop of ours.

    >>> survivable(SystemExit(3))
    SystemExit(3)
    >>> isinstance(_, Exception)
    True
    """
    if isinstance(error, Exception):
        return error
    exception: Exception = type(type(error).__name__, (Exception,), {})(*error.args)
    return exception.with_traceback(error.__traceback__)


def failure_of(id: int, error: BaseException) -> Failure:
    """The message that tells the caller what went wrong. For an id of 0 nobody waits: it is logged."""
    if id == 0:
        log().error("A function called without an answer raised.", exc_info=error)
    if isinstance(error, TincansError) and not isinstance(error, RemoteError):
        return Failure(id, error.code, type(error).__name__, str(error))
    import traceback  # slow to import, and most programs see no failure

    text = "".join(traceback.format_exception(error))
    if len(text) > MAX_TRACEBACK:
        text = f"... {len(text) - MAX_TRACEBACK} characters cut\n" + text[-MAX_TRACEBACK:]
    try:
        message = str(error)
    except Exception:
        message = "(its text could not be made)"
    return Failure(id, "remote", type(error).__name__, message, text)


def error_of(
    failure: Failure, known: Mapping[str, type[BaseException]] = {}, *, url: str | None = None, operation: str = ""
) -> TincansError:
    """The error to raise for a Failure. `known` are the user's own classes by name.

    >>> error = error_of(Failure(1, "remote", "ZeroDivisionError", "division by zero"))
    >>> isinstance(error, RemoteError), isinstance(error, ZeroDivisionError)
    (True, True)
    """
    own = _BY_CODE.get(failure.code)
    if own is not None:
        error = own(failure.message, url=url, operation=operation or None)
        if isinstance(error, DisconnectedError):
            error.outcome = "unknown"  # an answer: the call was taken, by a program that lost what it needed
        return error
    cls = known.get(failure.type_name) or _BUILTIN.get(failure.type_name)
    kind = RemoteError if cls is None or issubclass(cls, _FOREIGN_LAYOUT) else _both(cls)
    text = f"{operation}: {failure.type_name}: {failure.message}" if operation else failure.message
    try:
        error = kind(text, type_name=failure.type_name, remote_traceback=failure.traceback)
    except TypeError:  # the user's class has a constructor of its own
        error = RemoteError(text, type_name=failure.type_name, remote_traceback=failure.traceback)
    error.url, error.operation = url, operation or None
    if failure.traceback:
        error.add_note(f"The traceback in the other program:\n{failure.traceback.rstrip()}")
    return error


def _both(cls: type[BaseException]) -> type[RemoteError]:
    """A class that is a RemoteError and `cls` at once."""
    key = (cls, cls.__name__)
    made = _made.get(key)
    if made is None:
        namespace: dict[str, Any] = {"__doc__": cls.__doc__, "__module__": "tincans.errors"}
        try:
            made = type(f"Remote{cls.__name__}", (RemoteError, cls), namespace)
        except TypeError:  # the layouts do not fit together
            made = RemoteError
        _made[key] = made
    return made
