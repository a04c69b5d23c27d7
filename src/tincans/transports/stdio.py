"""stdio: a child process, spoken to over its standard input and output.

URL: `stdio:COMMAND` to connect (starts it; words are split as a shell splits them, no shell is run; write %3F for a `?`
in a command and %25 for a `%`), `stdio:` to serve (in the program that was started so).
Options: `max_message` (bytes, default 1G), `spin` (microseconds that a receiver looks before it sleeps, default 50),
`cwd` (connect only: the directory to start the command in).
Delivery: in order, while both programs live.
Leaves behind: nothing. The child's input ends when its parent closes or dies, however it dies; the parent reaps it,
after 2 s with SIGTERM, after one more with SIGKILL.
Limits: one child a connection, one connection a child; when that connection ends, its server ends.

Rules of this file
- The serving side moves the real standard output away first: what the program prints goes to standard error.
- Standard error is never touched: what a child says there appears where its parent's does.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tincans.contracts import Board, Framing, Identity, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError, UnreachableError
from tincans.facts import Facts, Yes
from tincans.toolkit.child_process import end_child, how_it_ended, split_command, start_child
from tincans.toolkit.descriptor_stream import DescriptorStream
from tincans.toolkit.single_connection import SingleConnection

FACTS = Facts(
    summary="a child process, over its standard input and output",
    share=Yes("native", "a large buffer goes through the pipe beside the message, copied once each way"),
)

OPTIONS: Mapping[str, Option] = {
    "max_message": Option(int, 1024**3, "largest message in bytes"),
    "spin": Option(float, 50.0, "microseconds that a receiver looks before it sleeps; 0 saves processor time"),
    "cwd": Option(str, "", "directory to start the command in"),
}


class StdioTransport:
    """The method `stdio`."""

    facts = FACTS
    options = OPTIONS

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> DescriptorStream:
        """See contracts.Transport. Starts the command; it never waits for anything that the command does."""
        settings, words = address.settings(OPTIONS), split_command(_command(address))
        if "\0" in settings["cwd"]:
            raise AddressError(f"{settings['cwd']!r} is no directory.", url=str(address))
        child, read_fd, write_fd = start_child(words, settings["cwd"])
        return _stream(
            read_fd,
            write_fd,
            framing,
            settings,
            identity=Identity(child.pid, os.geteuid(), str(replace(address, options={}))),
            why_gone=partial(how_it_ended, child, words[0]),
            closed=partial(end_child, child),
        )

    def listen(self, address: Address, *, framing: Framing) -> SingleConnection:
        """See contracts.Transport. From here on `print` writes to standard error, and standard input is empty."""
        settings = address.settings(OPTIONS)
        if _command(address) or settings["cwd"]:
            raise AddressError(
                f"Serve on 'stdio:' alone: the command belongs to the other program, which connects to {address}.",
                url=str(address),
            )
        _check_streams(framing)
        read_fd, write_fd = _take_streams()
        identity = Identity(uid=os.fstat(read_fd).st_uid, address="stdio:")

        def make(closed: Callable[[], object]) -> DescriptorStream:
            return _stream(read_fd, write_fd, framing, settings, identity=identity, closed=closed)

        return SingleConnection("stdio:", make)

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        """None: a child's streams keep nothing."""
        return None


TRANSPORT = StdioTransport()


def _command(address: Address) -> str:
    if address.host or address.port is not None:
        raise AddressError(f"A child has no host: say stdio:COMMAND, not {address}.", url=str(address))
    return address.path


def _check_streams(framing: Framing) -> None:
    """UnreachableError when there can be nobody at the other end of the standard streams."""
    try:
        status = os.fstat(0)
        os.fstat(1)
    except OSError:
        raise _nobody("is closed") from None
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == Path(os.devnull).stat().st_rdev:
        raise _nobody("is empty (or this program serves stdio: already)")
    if os.isatty(0) and framing.name not in ("lines", "none"):
        raise _nobody("is a terminal")


def _nobody(what: str) -> UnreachableError:
    return UnreachableError(
        f"This program's standard input {what}: nobody speaks to it there. It is meant to be started by another one,"
        " with tincans.connect('stdio:COMMAND').",
        url="stdio:",
        temporary=False,
    )


def _take_streams() -> tuple[int, int]:
    """Our own copies of the standard input and output; what uses these afterwards does no harm."""
    read_fd, write_fd = _copy(0, os.O_RDONLY), _copy(1, os.O_WRONLY)
    empty = os.open(os.devnull, os.O_RDWR)
    os.dup2(empty, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # no standard error either
        os.dup2(empty, 1)
    os.close(empty)
    if sys.stdout is not None:
        sys.stdout.flush()  # only now, so that what was printed before does not get into the stream
    return read_fd, write_fd


def _copy(fd: int, mode: int) -> int:
    """A copy that programs we start do not get. A terminal is opened anew: ours will be non-blocking, its not."""
    if os.isatty(fd):
        return os.open(os.ttyname(fd), mode | os.O_NOCTTY | os.O_CLOEXEC)
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _stream(
    read_fd: int, write_fd: int, framing: Framing, settings: Mapping[str, Any], **more: Any
) -> DescriptorStream:
    return DescriptorStream(
        read_fd,
        write_fd,
        framing=framing,
        max_message=settings["max_message"],
        spin=settings["spin"] / 1e6,
        **more,
    )
