"""One line to a Redis: a socket that has said hello, chosen its database and perhaps begun to listen.

Rules of this file
- A line carries what Redis sends by itself (letters, news), so one thread can wait on it and it can be polled.
  Questions with answers go through redis-py (client.py).
- Redis itself knows who holds a line, by the channel that the line listens to (`presence`); when a program is killed
  the system closes its lines, and Redis forgets them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from time import monotonic
from typing import Any

from msgspec import Struct

from tincans.contracts import Deframer, Framing, Identity
from tincans.core.address import Address, Option
from tincans.errors import AddressError, ProtocolError, TincansError, UnreachableError, VersionError
from tincans.toolkit.byte_stream import ByteStream
from tincans.toolkit.redis.resp import OLDEST, Replies, command, refusal, too_old
from tincans.toolkit.tcp_socket import tune

OPTIONS: dict[str, Option] = {
    "timeout": Option(float, 5.0, "seconds to wait for Redis itself, to connect and for each answer"),
    "tls": Option(bool, False, "encrypt (what others write as rediss)"),
    "cert": Option(str, "", "PEM file with this end's certificate, where Redis asks for one"),
    "cert_key": Option(str, "", "PEM file with its private key, when it is not in cert"),
    "ca": Option(str, "", "PEM file with those who may sign the certificate of Redis"),
    "tls_verify": Option(bool, True, "whether the certificate and name of Redis are checked"),
}
DEFAULT_HOST, DEFAULT_PORT = "localhost", 6379


class Place(Struct, frozen=True):
    """One database of one Redis, and the name in it ("" for the plain names that other programs use)."""

    host: str
    port: int
    database: int
    name: str
    user: str
    password: str
    settings: Mapping[str, Any]
    url: str

    @property
    def timeout(self) -> float:
        """Seconds to wait for Redis itself."""
        seconds: float = self.settings["timeout"]
        return seconds

    def key(self, *words: str) -> str:
        """A key of ours in this database."""
        return ":".join(["tincans", *([self.name] if self.name else []), *words])

    def channel(self, *words: str) -> str:
        """A channel of ours. Channels know no databases, so this one names it."""
        return f"tincans@{self.database}{self.key(*words)[len('tincans') :]}"


class Line(ByteStream):
    """A stream whose owner may say that nothing more is expected on it."""

    __slots__ = ()

    @property
    def reader(self) -> Deframer:
        """What makes messages of the bytes that come."""
        return self._reader

    @property
    def is_sending(self) -> bool:
        """Whether somebody is in `send` now."""
        return self._sending

    def end_receiving(self) -> None:
        """`receive` hands out what has come, then raises DisconnectedError. Never blocks."""
        with contextlib.suppress(OSError):  # it may be gone already
            self._stream.shutdown(socket.SHUT_RD)


def place_of(address: Address, options: Mapping[str, Option]) -> Place:
    """The place in a URL `redis://[USER:PASSWORD@]HOST[:PORT]/DB[/NAME]`; AddressError says what is wrong with it."""
    settings = address.settings(options)
    words = [word for word in address.path.split("/") if word]
    database = words.pop(0) if words else "0"
    if not (database.isdecimal() and database.isascii()) or len(words) > 1:
        raise AddressError(
            f"The path {address.path!r} is not /DB or /DB/NAME with a number for DB, as in redis://localhost/0/alice.",
            url=str(address),
        )
    return Place(
        address.host or DEFAULT_HOST,
        address.port or DEFAULT_PORT,
        int(database),
        words[0] if words else "",
        address.user,
        address.password,
        settings,
        str(address),
    )


def dial(
    place: Place, framing: Framing, *, presence: str = "", patterns: bool = False, max_message: int, timeout: float
) -> Line:
    """A new line, listening to the channel (or pattern) `presence`.

    UnreachableError when Redis is not there, DeniedError, VersionError when it is too old.
    """
    deadline = monotonic() + min(timeout, place.timeout)
    stream = _connect(place, deadline)
    try:
        for word in _greet(stream, place, presence, patterns, deadline):
            if isinstance(word, str):
                raise refusal(word, place.url)
        return Line(stream, framing, identity=Identity(address=place.url), url=place.url, max_message=max_message)
    except OSError as error:
        stream.close()
        if isinstance(error, TincansError):
            raise
        raise UnreachableError(f"Redis at {place.host}:{place.port} broke off: {error}.", url=place.url) from error
    except BaseException:
        stream.close()
        raise


def _connect(place: Place, deadline: float) -> Any:
    left = max(0.001, deadline - monotonic())
    try:
        stream = socket.create_connection((place.host, place.port), left)
        tune(stream)
    except OSError as error:
        raise unreachable(place, error) from error
    if not place.settings["tls"]:
        return stream
    from tincans.toolkit.tls_socket import Tls

    tls = Tls.of(place.settings, place.url, serving=False)
    secure = tls.wrap(stream, server_name=place.host)
    try:
        secure.shake_hands(max(0.001, deadline - monotonic()))
    except BaseException:
        secure.close()
        raise
    return secure


def unreachable(place: Place, error: object) -> UnreachableError:
    """No Redis is there."""
    return UnreachableError(
        f"No Redis answers at {place.host}:{place.port} ({error}). Start redis-server or valkey-server there, or check"
        " host and port.",
        url=place.url,
    )


def _greet(stream: Any, place: Place, presence: str, patterns: bool, deadline: float) -> list[Any]:
    """Hello, the database, the channel, all in one go; the answers."""
    login: list[str] = ["AUTH", place.user or "default", place.password] if place.password else []
    commands = command("HELLO", 3, *login) + command("SELECT", place.database)
    count = 2
    if presence:
        commands += command("PSUBSCRIBE" if patterns else "SUBSCRIBE", presence)
        count += 1
    _send_all(stream, commands)
    replies = Replies(1 << 20)
    answers: list[Any] = []
    while len(answers) < count:
        answer = replies.next()
        if answer is not None:
            answers.append(answer)
            if len(answers) == 1:
                check_version(answer, place)
            continue
        _wait_at_most(stream, deadline - monotonic(), place)
        try:
            data = stream.recv(16384)
        except (BlockingIOError, TimeoutError):
            raise unreachable(place, "it does not answer") from None
        if not data:
            raise ConnectionResetError("it closed the connection")
        replies.feed(data)
    return answers


def _send_all(stream: Any, data: bytes) -> None:
    """So little always fits into a new socket."""
    if isinstance(stream, socket.socket):
        stream.sendall(data)
        return
    while data:
        data = data[stream.send(data) :]


def _wait_at_most(stream: Any, left: float, place: Place) -> None:
    if left <= 0:
        raise unreachable(place, "it does not answer")
    if isinstance(stream, socket.socket):
        stream.settimeout(left)
    else:
        stream.set_receive_timeout(left)


def check_version(hello: list[Any], place: Place) -> None:
    """VersionError for a Redis that is too old. Valkey says hello the same way."""
    said = dict(zip(hello[::2], hello[1::2], strict=False))
    version = said.get(b"version")
    if not isinstance(version, bytes):
        raise ProtocolError(f"{place.host}:{place.port} did not say hello as a Redis does.", url=place.url)
    numbers = tuple(int(word) for word in version.split(b".")[:2] if word.isdigit())
    if numbers < OLDEST:
        raise VersionError(too_old(f"it is {version.decode(errors='replace')}"), url=place.url)
