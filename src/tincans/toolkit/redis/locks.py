"""Locks of a Redis: who holds one is written there, and Redis itself knows whether the holder still lives.

Rules of this file
- A holder listens to a channel of its own as long as it lives. A lock is taken from a holder only when nobody has
  listened there for GRACE_MS, which a holder whose Redis restarts needs to come back; never because of its age.
- Tokens come from one counter for each lock, which stays.
- A lock that nobody wants any more is not found dead by anybody; it goes after a day (LIVES_MS).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Hashable
from time import monotonic, sleep

from tincans.core.hub import arguments
from tincans.errors import ClosedError, LeaseLostError, TincansError
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.redis.client import RedisClient, Script
from tincans.toolkit.redis.topics import Listening

GRACE_MS = 1500
LIVES_MS = 24 * 3600 * 1000
PROLONG = 3600.0
LOOK = 0.1
"""Seconds between two tries of a waiting one; a release wakes it at once."""

_ACQUIRE = Script(
    """
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder then
  if tonumber(redis.call('PUBSUB', 'NUMSUB', holder)[2]) > 0 then
    redis.call('HDEL', KEYS[1], 'absent')
    return 0
  end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local absent = redis.call('HGET', KEYS[1], 'absent')
  if not absent then redis.call('HSET', KEYS[1], 'absent', string.format('%.0f', now)) return 0 end
  if now - absent < tonumber(ARGV[5]) then return 0 end
end
local token = redis.call('HINCRBY', KEYS[2], ARGV[3], 1)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'owner', ARGV[2], 'token', token)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return token
"""
)
_RELEASE = Script(
    """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('LPUSH', KEYS[2], 1)
redis.call('LTRIM', KEYS[2], 0, 0)
redis.call('PEXPIRE', KEYS[2], 1000)
return 1
"""
)


class Holder:
    """This program as a holder of locks: an id that Redis knows as long as we live."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self.pid = os.getpid()
        self.id = client.place.channel("holder", os.urandom(12).hex())
        self.held: dict[tuple[str, str], str] = {}
        self._listening = Listening(client.place, self.id, patterns=False, timeout=None)
        threading.Thread(target=self._stay, name="tincans-redis-holder", daemon=True).start()

    def _stay(self) -> None:
        """Come back when Redis does, and prolong what is held for very long."""
        while True:
            try:
                self._listening.open(timeout=None)
                self._listening.receive(timeout=PROLONG)
            except ClosedError:
                return
            except TincansError:
                sleep(LOOK)
                continue
            for key in list(self.held.values()):
                with contextlib.suppress(TincansError):
                    self._client.ask("PEXPIRE", key, LIVES_MS, timeout=None, again=True)

    def close(self) -> None:
        """Let go: what is still held is free after the grace."""
        self._listening.close()


class RedisLocks:
    """contracts.Locks."""

    def __init__(self, client: RedisClient) -> None:
        self._client, self._place = client, client.place
        self._holder: Holder | None = None
        self._making = threading.Lock()
        self._closed = False

    def _me(self) -> Holder:
        with self._making:
            if self._closed:
                raise ClosedError("This was closed on this side; connect again to go on.", url=self._place.url)
            if self._holder is None or self._holder.pid != os.getpid():  # a forked child holds nothing of its parent's
                self._holder = Holder(self._client)
            return self._holder

    def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None:
        """See contracts.Locks. The order of those who wait is not kept."""
        arguments.name("lock", name)
        deadline = deadline_of(timeout)
        me, key = self._me(), self._place.key("lock", name)
        args = (me.id, str(owner), name, LIVES_MS, GRACE_MS)
        while True:
            token: int = self._client.run(_ACQUIRE, [key, self._place.key("tokens")], *args, timeout=timeout)
            if token:
                me.held[name, str(owner)] = key
                return token
            left = LOOK if deadline is None else min(LOOK, deadline - monotonic())
            if left <= 0:
                return None
            self._client.ask("BLPOP", f"{key}:free", f"{max(left, 0.001):.3f}", timeout=timeout, again=True)

    def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None:
        """See contracts.Locks."""
        me = self._me()
        key = me.held.pop((name, str(owner)), None)
        if key is None or not self._client.run(_RELEASE, [key, f"{key}:free"], me.id, str(owner), timeout=timeout):
            raise LeaseLostError(f"The lock {name!r} is not held by this object (any more).", url=self._place.url)

    def close(self) -> None:
        """Release what is held."""
        with self._making:
            self._closed = True
            holder, self._holder = self._holder, None
        if holder is None or holder.pid != os.getpid():
            return
        for (_, owner), key in holder.held.items():
            with contextlib.suppress(TincansError):  # it is free after the grace
                self._client.run(_RELEASE, [key, f"{key}:free"], holder.id, owner, timeout=0.5)
        holder.close()
