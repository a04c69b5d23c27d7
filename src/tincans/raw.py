"""A string without the cans: bytes and lines to and from a program that is not ours, over any connection method.

    bob = tincans.raw.connect("tcp://127.0.0.1:9000?framing=lines")
    bob.send("hello")
    print(bob.receive())

Rules of this file
- Sync; `tincans.aio.raw` has the same names and signatures with `await` (a test compares them).
- Nothing is sent but what the user sends: no greeting, no key. Who may connect is the method's own business.
- What a method says by itself stays: `pipe` and `mq` announce a client at their rendezvous, a bare name and `shm` agree
  on memory, `mp` asks for its authkey. On `tcp`, `unix` and `stdio` there is nothing at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tincans import contracts
from tincans.contracts import Identity
from tincans.core.patience import patience
from tincans.core.raw_framing import Framing
from tincans.errors import ClosedError, DisconnectedError, TincansError
from tincans.pump.dialing import Attempts
from tincans.pump.raw_string import RawMethod, RawString, raw_method

__all__ = ["Connection", "Framing", "Listener", "connect", "listen"]

WAIT = 30.0
CONNECT_TIMEOUT = 5.0


class Connection:
    """One string. Several threads may use it. Iterate to get every message until the other end has closed.

    A message is bytes; `send` also takes a text, as UTF-8. With a framing of your own it is whatever that gives.
    """

    def __init__(self, string: RawString) -> None:
        self._string = string

    @property
    def url(self) -> str:
        """The address, with masked secrets."""
        return self._string.url

    @property
    def identity(self) -> Identity:
        """Who is at the other end, as the operating system says."""
        return self._string.connection.identity

    def send(self, message: Any, *, timeout: float | None = WAIT) -> None:
        """Send one message, waiting at most `timeout` seconds while the other end does not read.

        WaitTimeoutError says whether nothing or a part has left. DisconnectedError, ClosedError, TooLargeError.
        """
        self._string.send(message, timeout=patience(timeout))

    def flush(self, *, timeout: float | None = WAIT) -> bool:
        """Send the rest of a message of which only a part had left; True when nothing is left."""
        return self._string.flush(timeout=patience(timeout))

    def finish(self, *, timeout: float | None = WAIT) -> None:
        """Say that nothing more comes from here, and go on receiving; for programs that read to the end first."""
        self._string.finish(timeout=patience(timeout))

    def receive(self, *, timeout: float | None = WAIT) -> Any:
        """The next message; WaitTimeoutError when none came within `timeout` seconds (None: wait for ever).

        DisconnectedError when the other end is gone, after all that came before; its `cut` says whether that was in
        the middle of a message. ProtocolError for what is no message.
        """
        return self._string.receive(timeout=patience(timeout))

    def poll(self, *, timeout: float | None = 0.0) -> bool:
        """Whether `receive` would give a message (or raise) at once; waits at most `timeout` seconds for that."""
        return self._string.poll(timeout=patience(timeout))

    def fileno(self) -> int | None:
        """A descriptor that polls readable when `poll()` may be true, or None where the method has none."""
        return self._string.connection.fileno()

    def close(self) -> None:
        """End it; whoever waits gets ClosedError. May be called twice."""
        self._string.close()

    def __iter__(self) -> Iterator[Any]:
        """Every message, until the other end has closed. DisconnectedError when that cut a message in two."""
        while True:
            try:
                message = self._string.receive(timeout=None)
            except DisconnectedError as error:
                if error.cut:
                    raise
                return
            yield message

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<raw Connection {self.url}>"


class Listener:
    """Where connections come in. Iterate to accept every one until it is closed."""

    def __init__(self, method: RawMethod, listener: contracts.Listener) -> None:
        self._method = method
        self._listener = listener

    @property
    def url(self) -> str:
        """What to connect to, with the real port or path."""
        return self._listener.address

    def accept(self, *, timeout: float | None = None) -> Connection | None:
        """The next connection; None when none came within `timeout` seconds (None: wait for ever)."""
        accepted = self._listener.accept(timeout=patience(timeout))
        return None if accepted is None else Connection(self._method.string(accepted))

    def fileno(self) -> int | None:
        """A descriptor that polls readable when somebody may have come, or None where the method has none."""
        return self._listener.fileno()

    def close(self) -> None:
        """Stop listening and remove every name. Connections that were accepted stay. May be called twice."""
        self._listener.close()

    def __iter__(self) -> Iterator[Connection]:
        """Every connection, until this is closed."""
        while True:
            try:
                accepted = self.accept()
            except ClosedError:
                return
            if accepted is not None:
                yield accepted

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<raw Listener {self.url}>"


def connect(url: str, *, framing: str | Framing | None = None, timeout: float = CONNECT_TIMEOUT) -> Connection:
    """A string to the program that listens at `url`; waits up to `timeout` seconds for it to come.

    `?framing=frames` (Tincans' own, for two programs that use this), `lines` (UTF-8 text) or `none` (bytes as they
    come); or a framing of your own as `framing=`. UnreachableError, DeniedError, AddressError.

    >>> with listen("memory:doc-raw?framing=lines") as there:
    ...     with connect("memory:doc-raw?framing=lines") as bob, there.accept(timeout=1) as alice:
    ...         bob.send("hello")
    ...         print(alice.receive(), alice.poll())
    b'hello' False
    """
    method = raw_method(url, framing)
    attempts = Attempts(str(method.address), patience(timeout))
    while True:
        try:
            return Connection(method.connect(timeout=attempts.left()))
        except TincansError as error:
            time.sleep(attempts.pause(error))


def listen(url: str, *, framing: str | Framing | None = None) -> Listener:
    """Let programs connect to `url`. `framing` as in `connect`. NameInUseError, DeniedError, AddressError."""
    method = raw_method(url, framing)
    return Listener(method, method.listen())
