"""Who is still there: one thread that asks Redis, for all connections of a listener or of one client.

Rules of this file
- Redis knows: a connection listens to its own channel as long as its program lives. One script each LOOK seconds asks
  for all, and prolongs the boxes.
- A connection whose other end is gone is cut; whoever waits on it hears of it then. While Redis is away nothing is
  said: the connections notice that by themselves.
- The thread ends when there is nobody to look after.
"""

from __future__ import annotations

import contextlib
import threading

from tincans.errors import TincansError
from tincans.toolkit.redis.client import RedisClient, Script
from tincans.toolkit.redis.mail import LIVES_MS, RedisConnection

LOOK = 0.5
"""Seconds between two looks: so late is a death noticed."""

AT_ONCE = 500

_LOOK = Script(
    """
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
local counts = redis.call('PUBSUB', 'NUMSUB', unpack(KEYS))
local found = {}
for i = 2, #counts, 2 do found[#found + 1] = tonumber(counts[i]) end
return found
"""
)


class Presence:
    """Looks after connections until each is closed. Thread-safe."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._connections: set[RedisConnection] = set()
        self._changed = threading.Condition()
        self._running = self._finishing = False

    def finish(self) -> None:
        """No more will be added: the client is closed when the last connection is."""
        with self._changed:
            self._finishing = True
            if not self._connections:
                self._client.close()

    def add(self, connection: RedisConnection) -> None:
        """Look after it from now on."""
        connection.on_close = lambda: self._remove(connection)
        with self._changed:
            self._connections.add(connection)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="tincans-redis-presence", daemon=True).start()
        if connection.closed:
            self._remove(connection)

    def _remove(self, connection: RedisConnection) -> None:
        with self._changed:
            self._connections.discard(connection)
            if not self._connections:
                self._changed.notify_all()
                if self._finishing:
                    self._client.close()

    def is_there(self, box: str) -> bool:
        """Whether the owner of a box is there now."""
        counts = self._client.ask("PUBSUB", "NUMSUB", box, timeout=None, again=True)
        return bool(int(counts[1]))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(LOOK)
                if not self._connections:
                    self._running = False
                    return
                connections = list(self._connections)
            for start in range(0, len(connections), AT_ONCE):
                self._look(connections[start : start + AT_ONCE])

    def _look(self, connections: list[RedisConnection]) -> None:
        for connection in connections:
            try:
                connection.drain()
            except TincansError:
                connection.cut()
        boxes = [box for connection in connections for box in (connection.other, connection.mine)]
        with contextlib.suppress(TincansError):  # Redis is away, or we are: the next look will tell
            counts = self._client.run(_LOOK, boxes, LIVES_MS, timeout=LOOK)
            for connection, count in zip(connections, counts[::2], strict=True):
                if not count:
                    connection.cut()
