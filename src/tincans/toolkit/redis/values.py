"""Values of a Redis: string keys, each change with a number that grows, told on a channel of our own.

Rules of this file
- What a key is now is read again after each word of a change, so that news which was lost loses nothing.
- With the place's name "" the keys are the plain ones, and other programs write them as they like: each look compares
  what stands there with what we wrote, and counts a change that was somebody else's.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from tincans.contracts import Change, Wire
from tincans.core.hub import arguments
from tincans.errors import ClosedError, DisconnectedError
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.redis.client import RedisClient, Script
from tincans.toolkit.redis.topics import OURS, Listening

LOOK = 0.25
"""Seconds between two looks at a plain key, for what other programs change is not told."""

_LONG = 3600.0

# KEYS: the value, the versions. ARGV: the key's name, the channel, "1" for plain keys.
_NOTE = """
local function changed(mark)
  local version = redis.call('HINCRBY', KEYS[2], '', 1)
  if mark then redis.call('HSET', KEYS[2], ARGV[1], version .. ' ' .. mark)
  else redis.call('HDEL', KEYS[2], ARGV[1]) end
  redis.call('PUBLISH', ARGV[2], version)
  return version
end
local function mark(value) return ARGV[3] == '1' and redis.sha1hex(value) or '' end
"""
_SET = Script(_NOTE + "redis.call('SET', KEYS[1], ARGV[4]) return changed(mark(ARGV[4]))")
_DELETE = Script(_NOTE + "if redis.call('DEL', KEYS[1]) == 0 then return 0 end changed(false) return 1")
_GET = Script(
    _NOTE
    + """
local value = redis.call('GET', KEYS[1])
local known = redis.call('HGET', KEYS[2], ARGV[1])
if not value then
  if known then return {false, changed(false)} end
  return {false, tonumber(redis.call('HGET', KEYS[2], '') or '0')}
end
local now = mark(value)
if known then
  local version, before = string.match(known, '^(%d+) (.*)$')
  if before == now then return {value, tonumber(version)} end
end
return {value, changed(now)}
"""
)


class RedisValues:
    """contracts.Values by string keys."""

    def __init__(self, client: RedisClient, wire: Wire) -> None:
        self._client, self._place, self._wire = client, client.place, wire
        self._plain = not client.place.name
        self._versions = client.place.key("versions")

    def _where(self, key: str) -> tuple[list[str], tuple[str, str, str]]:
        arguments.name("key", key)
        place = self._place.key("state", key) if not self._plain else key
        return [place, self._versions], (key, self.channel(key), "1" if self._plain else "0")

    def channel(self, key: str) -> str:
        """Where the changes of a key are told."""
        return self._place.channel("changed", key)

    def look(self, key: str, *, timeout: float | None) -> Change:
        """What a key is now; `deleted` when it has no value."""
        keys, args = self._where(key)
        value, version = self._client.run(_GET, keys, *args, timeout=timeout, again=True)
        if value is None:
            return Change(key, None, version, deleted=True)
        return Change(key, self._wire.unpack(value), version)

    def get(self, key: str, *, timeout: float | None) -> Change | None:
        """See contracts.Values."""
        change = self.look(key, timeout=timeout)
        return None if change.deleted else change

    def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        """See contracts.Values."""
        keys, args = self._where(key)
        self._client.run(_SET, keys, *args, self._wire.pack(value), timeout=timeout, again=True)

    def delete(self, key: str, *, timeout: float | None) -> bool:
        """See contracts.Values."""
        keys, args = self._where(key)
        return bool(self._client.run(_DELETE, keys, *args, timeout=timeout))

    def keys(self, *, timeout: float | None) -> list[str]:
        """See contracts.Values."""
        if not self._plain:
            found = self._client.ask("HKEYS", self._versions, timeout=timeout, again=True)
            return [key.decode() for key in found if key]
        return [key for key in self._plain_keys(timeout) if not key.startswith(OURS)]

    def _plain_keys(self, timeout: float | None) -> list[str]:
        keys: set[str] = set()
        cursor: Any = 0
        while True:
            words = ("SCAN", cursor, "COUNT", 1000, "TYPE", "string")
            cursor, found = self._client.ask(*words, timeout=timeout, again=True)
            keys.update(key.decode(errors="replace") for key in found)
            if int(cursor) == 0:
                return sorted(keys)

    def watch(self, key: str, *, timeout: float | None) -> RedisWatch:
        """See contracts.Values."""
        arguments.name("key", key)
        return RedisWatch(self, key, self._place, self._plain, timeout)


class RedisWatch:
    """contracts.Subscription to one key: only the latest is kept, for it is read when it is asked for."""

    dropped = 0

    def __init__(self, values: RedisValues, key: str, place: Any, plain: bool, timeout: float | None) -> None:
        self._values, self._key = values, key
        self._plain = plain
        self._listening = Listening(place, values.channel(key), patterns=False, timeout=timeout)
        self._version = 0
        self._is_there = False
        self._stale = True
        self._closed = False

    def receive(self, *, timeout: float | None) -> Change | None:
        """See contracts.Subscription."""
        deadline = deadline_of(timeout)
        while True:
            if self._closed:
                raise ClosedError("This watch was closed.")
            self._stale = self._listening.open(timeout=timeout) or self._stale
            change = self._changed() if self._stale else None
            if change is not None or (deadline is not None and monotonic() >= deadline):
                return change
            self._wait(_LONG if deadline is None else max(0.0, deadline - monotonic()))

    def _wait(self, left: float) -> None:
        """Until there may be something new, for at most `left` seconds; for a plain key at most LOOK."""
        try:
            heard = self._listening.receive(timeout=min(left, LOOK) if self._plain else left)
            while heard is not None and self._listening.receive(timeout=0) is not None:
                pass  # only the latest counts
        except DisconnectedError:
            self._stale = True
            raise
        self._stale = heard is not None or self._plain

    def _changed(self) -> Change | None:
        """What the key is now, if that is news."""
        self._stale = False
        change = self._values.look(self._key, timeout=None)
        was_there, self._is_there = self._is_there, not change.deleted
        if (change.deleted and not was_there) or change.version <= self._version:
            return None
        self._version = change.version
        return change

    def close(self) -> None:
        """See contracts.Subscription."""
        self._closed = True
        self._listening.close()
