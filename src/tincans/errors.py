"""Every error a user can meet: one root, few leaves.

Rules of this file
- A text says what happened, where, and what to do next; it never shows a password.
- A leaf also inherits the built-in error that a careful user would catch anyway.
- `code` is a stable word for programs; `temporary` says whether trying again may help.
- This file imports nothing of Tincans: everybody may import it.
"""

from __future__ import annotations

from typing import ClassVar, Literal


class TincansError(Exception):
    """The root of all errors that Tincans raises.

    Attributes: `code` (a stable word), `url` (with masked passwords, or None), `operation` (what was
    tried, such as "call add"), `temporary` (whether the same thing may work later).
    """

    code: ClassVar[str] = "error"
    temporary: bool = False

    def __init__(
        self,
        message: str = "",
        *,
        url: str | None = None,
        operation: str | None = None,
        temporary: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.url = url
        self.operation = operation
        if temporary is not None:
            self.temporary = temporary


class AddressError(TincansError, ValueError):
    """A URL that cannot be understood: an unknown method, option or value."""

    code = "address"


class MissingLibraryError(TincansError, ImportError):
    """A method or wire needs a library that is not installed; the text has the pip command."""

    code = "missing_library"


class UnsupportedError(TincansError, ValueError):
    """A method cannot do this, and its facts say why; the text names a method that can."""

    code = "unsupported"


class UnreachableError(TincansError, ConnectionError):
    """Nobody serves this address, even after waiting for `timeout`."""

    code = "unreachable"
    temporary = True


class NameInUseError(TincansError, ConnectionError):
    """Another live program already serves this address."""

    code = "name_in_use"


class DisconnectedError(TincansError, ConnectionError):
    """The other end is gone.

    `outcome` says what became of the operation: "not_sent" (it never left), "unknown" (it may or may not
    have happened), or None when nothing was in flight. `cut`: it ended in the middle of a message.
    """

    code = "disconnected"
    temporary = True
    cut: bool = False

    def __init__(
        self,
        message: str = "",
        *,
        outcome: Literal["not_sent", "unknown"] | None = None,
        url: str | None = None,
        operation: str | None = None,
        temporary: bool | None = None,
    ) -> None:
        super().__init__(message, url=url, operation=operation, temporary=temporary)
        self.outcome = outcome


class ProtocolError(TincansError, ConnectionError):
    """The other end said something that is not our protocol; that connection is closed."""

    code = "protocol"


class VersionError(ProtocolError):
    """The other end speaks a version of the protocol that this one does not."""

    code = "version"


class DeniedError(TincansError, PermissionError):
    """The other end, or the operating system, does not let us in: wrong user, wrong or missing key."""

    code = "denied"


class ClosedError(TincansError, ValueError):
    """This object was closed on this side and used afterwards."""

    code = "closed"


class CallTimeoutError(TincansError, TimeoutError):
    """A call got no answer before its deadline. It may still have happened; it was asked to stop."""

    code = "call_timeout"
    temporary = True


class WaitTimeoutError(TincansError, TimeoutError):
    """A wait (take, lock, next message, connect) ended at its timeout with nothing done."""

    code = "wait_timeout"
    temporary = True


class CallCancelledError(TincansError):
    """A call was cancelled before it was answered."""

    code = "call_cancelled"


class NotExposedError(TincansError, LookupError):
    """The server exposes no function of this name."""

    code = "not_exposed"


class ArgumentError(TincansError, ValueError, TypeError):
    """The arguments do not fit the function's parameters; the text names the parameter."""

    code = "argument"


class ResultError(TincansError, ValueError, TypeError):
    """A result does not fit the type that the caller's contract promises."""

    code = "result"


class UnsendableError(TincansError, ValueError, TypeError):
    """A value cannot travel; the text has the path to it (`args[0]['x'][3]`) and what to do."""

    code = "unsendable"


class TooLargeError(TincansError, ValueError):
    """A message is larger than the limit; nothing of it was sent."""

    code = "too_large"


class FullError(TincansError):
    """A bounded buffer with the policy `refuse` is full; nothing was added."""

    code = "full"
    temporary = True


class LeaseLostError(TincansError, LookupError):
    """A job's lease or a lock had already been given to somebody else."""

    code = "lease_lost"


class KeepError(TincansError, OSError):
    """The file that keeps queues and state cannot be used: full, read-only, damaged, too new; the text says which.

    When it comes from an operation, that operation was refused and nothing of it happened.
    """

    code = "keep"


class RemoteError(TincansError):
    """The called function raised.

    `type_name` is the class's name over there, `remote_traceback` its traceback as text. When this side
    knows the class too (a built-in one, or one named in `errors=`), the raised error is also an instance
    of it: `except ValueError` works across programs.
    """

    code = "remote"

    def __init__(
        self,
        message: str = "",
        *,
        type_name: str = "Exception",
        remote_traceback: str = "",
        url: str | None = None,
        operation: str | None = None,
        temporary: bool | None = None,
    ) -> None:
        TincansError.__init__(self, message, url=url, operation=operation, temporary=temporary)
        self.type_name = type_name
        self.remote_traceback = remote_traceback
