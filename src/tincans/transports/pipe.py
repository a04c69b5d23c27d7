"""pipe: two programs on one machine talk through named pipes (FIFOs).

URL: `pipe:NAME` (in the private runtime directory) or `pipe:/absolute/path`.
Options: `max_message` (bytes, default 1G), `spin` (microseconds that a receiver looks before it sleeps, default 100).
Delivery: in order, while both programs live; what was on its way to a killed program is lost with it.
Leaves behind: nothing. FIFOs of programs that were killed while they connected go at the server's next accept or start.
Limits: this machine, this user. Two descriptors a connection, three while it sleeps. A pipe holds 64 KiB (256 KiB
once a larger message was sent); beyond that the sender waits for the receiver.

Rules of this file
- One FIFO, read by the server, where clients announce themselves by one record, written whole (at most PIPE_BUF).
- Each client makes a pair of FIFOs of its own and opens it first; both names go as soon as both ends are open.
- A client locks (flock) the pair's first FIFO before it makes the second: a pair without that lock is a dead one's.
- Nothing that a record says is believed but a token, which can only name a file beside the rendezvous.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tincans.contracts import Board, Framing, Identity, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError, ClosedError, DeniedError, TincansError, UnreachableError
from tincans.facts import Facts, Yes
from tincans.toolkit.descriptor_end import DescriptorEnd
from tincans.toolkit.descriptor_stream import DescriptorStream
from tincans.toolkit.fifo_pair import FifoPair, join_pair, remove_dead_pairs
from tincans.toolkit.files import name_lock
from tincans.toolkit.files.name_lock import NameLock
from tincans.toolkit.files.private_file import same_file
from tincans.toolkit.files.runtime_directory import path_of
from tincans.toolkit.private_fifo import make_fifo, open_fifo

FACTS = Facts(
    summary="named pipes (FIFOs) between two programs of one user",
    share=Yes("native", "a large buffer goes through the pipe beside the message, copied once each way"),
    leaves_behind="nothing; what a kill while connecting leaves goes at the server's next accept or start",
)

OPTIONS: Mapping[str, Option] = {
    "max_message": Option(int, 1024**3, "largest message in bytes"),
    "spin": Option(float, 100.0, "microseconds that a receiver looks before it sleeps; 0 saves processor time"),
}

_RECORD = re.compile(rb"\ntincan1 ([0-9a-f]{32}) ([0-9]{10})\n")
_RECORD_SIZE = 53
_WELCOME = b"\x06"
_PIECES_AT_ONCE = 2000
"""Records, or pieces of garbage, that one look of `accept` goes through: more than a pipe can hold."""
_SWEEP_SECONDS = 10.0


class PipeTransport:
    """The method `pipe`."""

    facts = FACTS
    options = OPTIONS

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> DescriptorStream:
        """See contracts.Transport."""
        settings, place = address.settings(OPTIONS), _place(address)
        deadline = time.monotonic() + timeout
        door = _knock(place, address)
        try:
            pair = FifoPair.make(place)
            try:
                _announce(door, pair.token, address)
                _await_welcome(pair.read_fd, door, deadline, address)
            except BaseException:
                pair.close()
                raise
            finally:
                pair.remove()
            identity = Identity(uid=os.fstat(door).st_uid, address=_plain(address))
        finally:
            os.close(door)
        return _stream(*pair.take(), framing, identity, settings)

    def listen(self, address: Address, *, framing: Framing) -> PipeListener:
        """See contracts.Transport."""
        settings, place = address.settings(OPTIONS), _place(address)
        lock = name_lock.acquire(place.with_name(f"{place.name}.lock"), {"method": "pipe"})
        try:
            return PipeListener(_plain(address), place, _rendezvous(place), lock, framing, settings)
        except BaseException:
            lock.release()
            raise

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        """None: a pipe keeps nothing."""
        return None


class PipeListener:
    """See contracts.Listener."""

    def __init__(
        self, url: str, place: Path, fd: int, lock: NameLock, framing: Framing, settings: Mapping[str, Any]
    ) -> None:
        self.address = url
        self._place = place
        self._lock = lock
        self._framing = framing
        self._settings = settings
        self._end = DescriptorEnd(fd, select.POLLIN)
        self._begun = b""
        self._held = ""
        self._swept = time.monotonic()

    def accept(self, *, timeout: float | None) -> DescriptorStream | None:
        """See contracts.Listener."""
        end = self._end
        end.busy = True
        try:
            return self._accept(timeout)
        finally:
            end.busy = False
            if end.closed:
                end.leave()

    def _accept(self, timeout: float | None) -> DescriptorStream | None:
        end, deadline = self._end, None
        while not end.closed:
            for _ in range(_PIECES_AT_ONCE):
                record = self._next_record()
                if record is None:
                    break
                if (connection := self._join(*record)) is not None:
                    return connection
            if timeout is not None:
                deadline = deadline or time.monotonic() + timeout
                timeout = max(0.0, deadline - time.monotonic())
            if timeout == 0 or not end.wait(timeout):
                return None
        raise ClosedError(f"{self.address} is no longer served here.", url=self.address)

    def _next_record(self) -> tuple[str, str] | None:
        """The next announcement's token and pid ("" for garbage), None when there is nothing more now.

        Never takes more than one record out of the FIFO, so that what is left keeps it readable for a poller.
        """
        if self._held:
            token, self._held = self._held, ""
            return token, ""
        try:
            self._begun += os.read(self._end.fd, _RECORD_SIZE - len(self._begun))
        except BlockingIOError:
            return None
        found = _RECORD.fullmatch(self._begun)
        if found is not None:
            self._begun = b""
            return found[1].decode(), found[2].decode().lstrip("0")
        if len(self._begun) == _RECORD_SIZE:  # garbage, maybe with the beginning of a record in it
            at = self._begun.find(b"\n", 1)
            self._begun = self._begun[at:] if at > 0 else b""
        return "", ""

    def _join(self, token: str, pid: str) -> DescriptorStream | None:
        """The announced connection; None for garbage, and for a client that is gone or was never there."""
        self._sweep()
        if not token:
            return None
        try:
            read_fd, write_fd = join_pair(self._place, token)
        except (FileNotFoundError, BrokenPipeError, DeniedError):
            return None
        except TincansError:  # out of descriptors: keep it, and stay readable, until some are free
            self._held = token
            with contextlib.suppress(OSError):
                os.write(self._end.fd, b"\n")
            raise
        who = f"{self.address} (says it has pid {pid})" if pid else self.address
        identity = Identity(uid=os.fstat(write_fd).st_uid, address=who)
        with contextlib.suppress(OSError):  # a client that left meanwhile is told by the first receive
            os.write(write_fd, _WELCOME)
        return _stream(read_fd, write_fd, self._framing, identity, self._settings)

    def _sweep(self) -> None:
        if time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept = time.monotonic()
            remove_dead_pairs(self._place)

    def close(self) -> None:
        """See contracts.Listener."""
        with contextlib.suppress(OSError):
            if not self._end.closed and same_file(self._place, self._end.fd):
                self._place.unlink()
        if self._end.close():
            self._lock.release()

    def fileno(self) -> int | None:
        """The rendezvous, readable when somebody announces himself."""
        return self._end.fd


TRANSPORT = PipeTransport()


def _place(address: Address) -> Path:
    if address.host or address.port is not None:
        raise AddressError(
            f"A pipe is on this machine, so {address} can have no host. Say pipe:NAME or pipe:/path.", url=str(address)
        )
    if not address.path.startswith("/"):
        return path_of(address.path, ".fifo")
    if "\0" in address.path or not Path(address.path).name:
        raise AddressError(f"{address.path!r} names no file. Say pipe:/directory/name.", url=str(address))
    return Path(address.path)


def _plain(address: Address) -> str:
    """The URL without the options that are this side's own business."""
    return str(replace(address, options={}))


def _rendezvous(place: Path) -> int:
    """A new FIFO at `place`. What a killed server left is removed; its lock is ours, so nobody uses it."""
    with contextlib.suppress(FileNotFoundError):
        os.close(open_fifo(place, os.O_RDWR))  # DeniedError for anything but a FIFO of ours
        place.unlink()
    remove_dead_pairs(place)
    make_fifo(place)
    return open_fifo(place, os.O_RDWR)  # also for writing, so that it never ends when a client leaves


def _knock(place: Path, address: Address) -> int:
    try:
        return open_fifo(place, os.O_WRONLY)
    except (FileNotFoundError, BrokenPipeError):
        raise UnreachableError(
            f"Nobody serves {_plain(address)}. Start the program that does: tincans.serve({_plain(address)!r}).",
            url=str(address),
        ) from None


def _announce(door: int, token: str, address: Address) -> None:
    record = f"\ntincan1 {token} {os.getpid():010d}\n".encode()
    try:
        os.write(door, record)
    except OSError as error:
        raise UnreachableError(
            f"The server of {_plain(address)} takes no announcements now ({error.strerror}). Try again.",
            url=str(address),
        ) from None


def _await_welcome(read_fd: int, door: int, deadline: float, address: Address) -> None:
    """Until the server has joined the pair. The door tells of its death: it has no reader any more."""
    poll = select.poll()
    poll.register(read_fd, select.POLLIN)
    poll.register(door, 0)
    why = "did not answer in time: it is stopped, or very busy"
    if poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        with contextlib.suppress(BlockingIOError):
            if os.read(read_fd, len(_WELCOME)) == _WELCOME:
                return
        why = "ended before it answered"
    raise UnreachableError(f"The server of {_plain(address)} {why}. Try again.", url=str(address))


def _stream(
    read_fd: int, write_fd: int, framing: Framing, identity: Identity, settings: Mapping[str, Any]
) -> DescriptorStream:
    return DescriptorStream(
        read_fd,
        write_fd,
        framing=framing,
        identity=identity,
        max_message=settings["max_message"],
        spin=settings["spin"] / 1e6,
    )
