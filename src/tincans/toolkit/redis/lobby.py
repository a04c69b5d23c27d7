"""Where connections through Redis begin: a client's letter in the lobby of a name, and whoever serves that name.

Rules of this file
- The lobby is a list: Redis gives each letter to the serving program that has waited longest, so connections spread.
- Whoever serves listens to the lobby's channel; when nobody does, a client is told at once.
- A listener outlives its Redis: it comes back with backoff and waits in the lobby again.
"""

from __future__ import annotations

import os
import threading
from time import monotonic

from tincans.contracts import Framing
from tincans.errors import ClosedError, DeniedError, TincansError, UnreachableError, VersionError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.redis.client import RedisClient, Script
from tincans.toolkit.redis.line import Line, Place, dial
from tincans.toolkit.redis.mail import WELCOME, RedisConnection, Requests
from tincans.toolkit.redis.presence import Presence
from tincans.toolkit.redis.resp import command

LETTER_MS = 10_000
"""Milliseconds that a letter waits in the lobby; its client has given up long before."""

MOST_WAIT = 2.0
"""Seconds for a serving program to welcome a client; then the client tries again, perhaps with another."""

FIRST_PAUSE, LAST_PAUSE = 0.02, 0.25

_ENTER = Script(
    """
if tonumber(redis.call('PUBSUB', 'NUMSUB', ARGV[1])[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
)


def connect(place: Place, framing: Framing, *, timeout: float) -> RedisConnection:
    """A connection to whichever program serves the name; UnreachableError when none does."""
    client = RedisClient(place)
    id = os.urandom(12).hex()
    lobby = place.key("lobby")
    deadline = monotonic() + min(timeout, MOST_WAIT)
    try:
        connection = RedisConnection(
            place, framing, place.channel("mail", id, "client"), place.channel("mail", id, "server"), timeout=timeout
        )
    except BaseException:
        client.close()
        raise
    try:
        if not client.run(_ENTER, [lobby], place.channel("serving"), id, LETTER_MS, timeout=timeout):
            raise _nobody(place, "no program waits in its lobby")
        if connection.take(timeout=max(0.0, deadline - monotonic())) != WELCOME:
            client.ask("LREM", lobby, 1, id, timeout=timeout)
            raise _nobody(place, "it did not answer in time")
    except BaseException:
        connection.close()
        client.close()
        raise
    presence = Presence(client)
    presence.add(connection)
    presence.finish()
    return connection


def _nobody(place: Place, why: str) -> UnreachableError:
    return UnreachableError(
        f"Nobody serves {place.name!r} at the Redis {place.host}:{place.port} ({why}). Start the serving program.",
        url=place.url,
    )


class RedisListener:
    """contracts.Listener in the lobby of a name."""

    def __init__(self, place: Place, framing: Framing, address: str) -> None:
        self.address = address
        self._place, self._framing = place, framing
        self._request = command("BLPOP", place.key("lobby"), 0)
        self._client = RedisClient(place)
        self._presence = Presence(self._client)
        self._closed = threading.Event()
        self._pause = FIRST_PAUSE
        self._line: Line | None = self._dial()
        abandon_in_child(self)

    def _dial(self) -> Line:
        place = self._place
        line = dial(place, Requests(), presence=place.channel("serving"), max_message=1 << 20, timeout=place.timeout)
        line.send([self._request], timeout=place.timeout)
        return line

    def accept(self, *, timeout: float | None) -> RedisConnection | None:
        """See contracts.Listener."""
        deadline = deadline_of(timeout)
        while not self._closed.is_set():
            left = left_of(deadline)
            try:
                connection = self._accept_one(left)
            except (DeniedError, VersionError):
                raise
            except TincansError:
                self._rest(left)
                connection = None
            if connection is not None or (deadline is not None and monotonic() >= deadline):
                return connection
        raise ClosedError(f"This listener at {self.address} was closed.", url=self.address)

    def _accept_one(self, timeout: float | None) -> RedisConnection | None:
        """The next client; a line that is broken is made anew."""
        if self._line is None:
            self._line = self._dial()
            if self._closed.is_set():
                self._line.close()
        try:
            reply = self._line.receive(timeout=timeout)
            if reply is None:
                return None
            self._line.send([self._request], timeout=self._place.timeout)
        except TincansError:
            self._line.close()
            self._line = None
            raise
        self._pause = FIRST_PAUSE
        return self._welcome(bytes(reply[1]).decode(errors="replace"))

    def _welcome(self, id: str) -> RedisConnection | None:
        """None for a client that has gone again."""
        place = self._place
        mine, other = place.channel("mail", id, "server"), place.channel("mail", id, "client")
        if not self._presence.is_there(other):
            return None
        connection = RedisConnection(place, self._framing, mine, other, timeout=place.timeout)
        try:
            connection.put(WELCOME, timeout=place.timeout)
        except BaseException:
            connection.close()
            raise
        self._presence.add(connection)
        return connection

    def _rest(self, left: float | None) -> None:
        pause = self._pause if left is None else min(self._pause, left)
        self._closed.wait(pause)
        self._pause = min(2 * self._pause, LAST_PAUSE)

    def close(self) -> None:
        """See contracts.Listener."""
        self._closed.set()
        if self._line is not None:
            self._line.close()
        self._presence.finish()

    def fileno(self) -> int | None:
        """See contracts.Listener. None, for the line may be another one after a while."""
        return None

    def abandon(self) -> None:
        """In a forked child: count as closed. The line is let go by itself."""
        self._closed = threading.Event()
        self._closed.set()
