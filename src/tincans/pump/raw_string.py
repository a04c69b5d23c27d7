"""A connection without the cans: what both faces of `tincans.raw` do with it, and how a URL is read for them.

Rules of this file
- Nothing is said to the other end but what the user sends: no greeting, no key, no heartbeat.
- Several threads may send and receive: one at a time is inside, the others wait their turn within their timeout.
- A message that `poll` has found, or that nobody took any more, is kept for the next `receive`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tincans import contracts
from tincans.contracts import Connection, Parts, Transport
from tincans.core import framing as framings
from tincans.core.address import Address, parse
from tincans.core.raw_framing import NOTHING, Framing, Unpacking, packed
from tincans.errors import (
    AddressError,
    ClosedError,
    DisconnectedError,
    ProtocolError,
    TincansError,
    UnsupportedError,
    WaitTimeoutError,
)
from tincans.facts import No
from tincans.finder import find_transport, is_protocol
from tincans.toolkit.deadline import deadline_of, left_of

_FRAMINGS = ("frames", "lines", "none")
_KEY_OPTIONS = ("key", "key_file", "key_name")


class RawMethod(Struct, frozen=True):
    """A URL as a raw string reads it. `own` is the framing of a user's own, or None."""

    address: Address
    transport: Transport
    framing: contracts.Framing
    own: Framing | None
    max_message: int
    keeps_messages: bool = False
    """The method has messages of its own, so that an empty one is one too."""
    hint: str = ""
    """Why only bytes travel."""

    def connect(self, *, timeout: float) -> RawString:
        """One attempt."""
        return self.string(self.transport.connect(self.address, timeout=timeout, framing=self.framing))

    def listen(self) -> contracts.Listener:
        return self.transport.listen(self.address, framing=self.framing)

    def string(self, connection: Connection) -> RawString:
        connection.max_message = self.max_message
        keeps_empty = self.keeps_messages or self.framing is not framings.CHUNKS
        return RawString(connection, self.own, str(self.address), keeps_empty=keeps_empty, hint=self.hint)


def raw_method(url: str, framing: str | Framing | None) -> RawMethod:
    """What a URL stands for. AddressError or UnsupportedError when it is no string between two programs.

    >>> raw_method("tcp://127.0.0.1:9000?framing=lines", None).framing.name
    'lines'
    """
    address = parse(url)
    options = dict(address.options)
    chosen: Any = options.pop("framing", None)
    if chosen is not None and framing is not None:
        raise AddressError("Give the framing once: in the URL or as framing=.", url=str(address))
    chosen = framing if chosen is None else chosen
    _check(address)
    address = replace(address, options=options)
    transport = find_transport(address.method)
    facts = transport.facts
    if facts.stored or not facts.two_way or isinstance(facts.call, No):
        raise UnsupportedError(
            f"{address.method} is no string between two programs, so it has no raw face. Use unix, pipe or tcp.",
            url=str(address),
        )
    if chosen is None and hasattr(transport, "raw_framing"):
        chosen = transport.raw_framing(address)
    settings = address.settings(transport.options)
    own = None if chosen is None or isinstance(chosen, str) else chosen
    keeps = getattr(transport, "keeps_messages", False)
    name = "none" if own is not None else _known(chosen or ("none" if keeps else "frames"), address)
    max_message, hint = int(settings.get("max_message") or 2**30), getattr(transport, "no_objects", "")
    return RawMethod(address, transport, framings.framing(name), own, max_message, keeps, hint)


def _known(name: str, address: Address) -> str:
    if name not in _FRAMINGS:
        raise AddressError(
            f"There is no framing {name!r}. Use {', '.join(_FRAMINGS)}, or pass one of your own as framing=.",
            url=str(address),
        )
    return name


def _check(address: Address) -> None:
    if address.wire:
        raise AddressError(
            f"A raw string has no wire: leave out {address.wire!r} and the '+', or use tincans.connect.",
            url=str(address),
        )
    if is_protocol(address.method):
        raise UnsupportedError(
            f"{address.method} is a protocol of calls, so it has no raw face. Use unix, pipe or tcp.", url=str(address)
        )
    for name in _KEY_OPTIONS:
        if name in address.options:
            raise AddressError(
                f"A raw string greets nobody, so {name} would prove nothing. Use tls=yes with ca=FILE, or"
                " tincans.connect and tincans.serve.",
                url=str(address),
            )


class RawString:
    """One connection and what is read ahead of it. May be used by several threads."""

    def __init__(self, connection: Connection, own: Framing | None, url: str, *, keeps_empty: bool, hint: str) -> None:
        self.connection = connection
        self.url = url
        self._own = own
        self._keeps_empty = keeps_empty
        self._hint = hint
        self._unpacking = None if own is None else Unpacking(own, connection.max_message)
        self._ahead: list[Any] = []
        self._broken: TincansError | None = None
        self._finished = False
        self._sending = threading.Lock()
        self._receiving = threading.Lock()

    # -- sending ---------------------------------------------------------------------------------------------

    def packed(self, message: Any) -> bytes:
        """The bytes of one message. UnsendableError, TooLargeError, or what the user's framing raises."""
        if self._finished:
            raise ClosedError("finish() was called: nothing more can be sent.", url=self.url)
        return packed(self._own, message, self.connection.max_message, self._hint)

    def push(self, data: bytes, *, timeout: float | None) -> bool:
        """Send; False when a part has left and the rest is kept (see `flush`). WaitTimeoutError: nothing has left."""
        if not data and not self._keeps_empty:
            return True
        deadline = deadline_of(timeout)
        with self._turn(self._sending, timeout):
            self.connection.send([data], timeout=left_of(deadline))
            return self.connection.flush(timeout=left_of(deadline))

    def send(self, message: Any, *, timeout: float | None) -> None:
        """Send one whole message."""
        if not self.push(self.packed(message), timeout=timeout):
            raise self.half_sent(timeout)

    def half_sent(self, timeout: float | None) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"The other end took only a part of a message within {timeout:g} s. The rest goes first with the next"
            " send() or flush(); do not send this one again.",
            url=self.url,
        )

    def flush(self, *, timeout: float | None) -> bool:
        """Send what an earlier `send` had to keep; True when nothing is left."""
        with self._turn(self._sending, timeout):
            return self.connection.flush(timeout=timeout)

    def finish(self, *, timeout: float | None) -> None:
        """Say that nothing more comes from here."""
        end = getattr(self.connection, "finish", None)
        if end is None:
            raise UnsupportedError(
                "Half of this string cannot be closed. Close it all, or say the end in a message.", url=self.url
            )
        if not self.flush(timeout=timeout):
            raise self.half_sent(timeout)
        self._finished = True
        end()

    # -- receiving -------------------------------------------------------------------------------------------

    def take(self, *, timeout: float | None) -> Any:
        """The next message, or NOTHING when `timeout` has passed without a whole one."""
        with self._turn(self._receiving, timeout) as left:
            return self._ahead.pop() if self._ahead else self._next(left)

    def receive(self, *, timeout: float | None) -> Any:
        """The next message, or WaitTimeoutError."""
        message = self.take(timeout=timeout)
        if message is NOTHING:
            raise self.nothing_came(timeout)
        return message

    def nothing_came(self, timeout: float | None) -> WaitTimeoutError:
        return WaitTimeoutError(f"No message came within {timeout:g} s. Try again, or allow more time.", url=self.url)

    def poll(self, *, timeout: float | None) -> bool:
        """Whether a `receive` would give a message, or raise, at once; waits at most `timeout` for that."""
        with self._turn(self._receiving, timeout) as left:
            if self._ahead or self._broken is not None:
                return True
            try:
                message = self._next(left)
            except TincansError as error:
                self._broken = error
                return True
            if message is NOTHING:
                return False
            self._ahead.append(message)
            return True

    def put_back(self, message: Any) -> None:
        """Nobody took it any more: it is the next again."""
        if message is not NOTHING:
            self._ahead.append(message)

    def fail(self, error: TincansError) -> None:
        """What the next `receive` raises."""
        self._broken = error

    def _next(self, timeout: float | None) -> Any:
        if self._broken is not None:
            raise self._broken.with_traceback(None)
        try:
            return self._whole(timeout) if self._unpacking is None else self._unpacked(self._unpacking, timeout)
        except ProtocolError as error:
            self._broken = error
            self.connection.close()
            raise

    def _whole(self, timeout: float | None) -> Any:
        parts = self.connection.receive(timeout=timeout)
        return NOTHING if parts is None else self._one(parts)

    def _one(self, parts: Parts) -> bytes:
        if len(parts) != 1:
            raise ProtocolError(
                f"A message of {len(parts)} parts came: a Tincans program speaks there. Use tincans.connect for it.",
                url=self.url,
            )
        return bytes(parts[0])

    def _unpacked(self, unpacking: Unpacking, timeout: float | None) -> Any:
        deadline = deadline_of(timeout)
        while (message := unpacking.next()) is NOTHING:
            try:
                parts = self.connection.receive(timeout=0)
                if parts is None:
                    unpacking.hurry()
                    if (message := unpacking.next()) is not NOTHING:
                        return message
                    parts = self.connection.receive(timeout=left_of(deadline))
            except DisconnectedError as error:
                return self._last(unpacking, error)
            if parts is None:
                return NOTHING
            unpacking.feed(self._one(parts))
        return message

    def _last(self, unpacking: Unpacking, error: DisconnectedError) -> Any:
        """The other end is gone: what came before is handed out first."""
        unpacking.hurry()
        message = unpacking.next()
        if message is NOTHING:
            error.cut = error.cut or not unpacking.idle
            raise error
        return message

    # -- turns -----------------------------------------------------------------------------------------------

    @contextmanager
    def _turn(self, lock: threading.Lock, timeout: float | None) -> Iterator[float | None]:
        """Be the only one inside; what is left of the timeout then."""
        deadline = deadline_of(timeout)
        if not lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise WaitTimeoutError(f"Another thread used this string for all of {timeout:g} s.", url=self.url)
        try:
            yield left_of(deadline)
        finally:
            lock.release()

    def close(self) -> None:
        """End it; whoever waits gets ClosedError."""
        self.connection.close()
