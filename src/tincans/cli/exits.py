"""Exit codes, and which error gives which: what a shell script may rely on.

Rules of this file
- The codes are a public promise: a number never changes its meaning.
- Pure: no output here.
"""

from __future__ import annotations

from enum import IntEnum

from tincans import errors


class Exit(IntEnum):
    """How a command ended.

    >>> int(Exit.TIMEOUT)
    4
    """

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMEOUT = 4
    UNSUPPORTED = 5
    INTERRUPTED = 130
    READER_GONE = 141


MEANINGS = {
    Exit.OK: "it worked",
    Exit.FAILED: "the called function raised, or what was asked for is not there",
    Exit.USAGE: "a command, option, address, function or argument that does not fit",
    Exit.UNREACHABLE: "nobody serves this address, it does not let us in, or the string was cut",
    Exit.TIMEOUT: "no answer in time",
    Exit.UNSUPPORTED: "this method cannot do that, or its library is missing",
    Exit.INTERRUPTED: "Ctrl-C",
    Exit.READER_GONE: "the program that read our output has ended",
}

# The first that fits counts. A failure over there comes first, for it may also be a TimeoutError, say.
_CODES: tuple[tuple[type[Exception], Exit], ...] = (
    (errors.RemoteError, Exit.FAILED),
    (errors.CallTimeoutError, Exit.TIMEOUT),
    (errors.WaitTimeoutError, Exit.TIMEOUT),
    (errors.UnsupportedError, Exit.UNSUPPORTED),
    (errors.MissingLibraryError, Exit.UNSUPPORTED),
    (errors.UnreachableError, Exit.UNREACHABLE),
    (errors.DisconnectedError, Exit.UNREACHABLE),
    (errors.NameInUseError, Exit.UNREACHABLE),
    (errors.ProtocolError, Exit.UNREACHABLE),
    (errors.DeniedError, Exit.UNREACHABLE),
    (errors.ClosedError, Exit.UNREACHABLE),
    (errors.AddressError, Exit.USAGE),
    (errors.NotExposedError, Exit.USAGE),
    (errors.ArgumentError, Exit.USAGE),
    (errors.UnsendableError, Exit.USAGE),
    (errors.TooLargeError, Exit.USAGE),
)


def code_for(error: errors.TincansError) -> Exit:
    """The exit code for an error of the library.

    >>> code_for(errors.UnreachableError("nobody there"))
    <Exit.UNREACHABLE: 3>
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
