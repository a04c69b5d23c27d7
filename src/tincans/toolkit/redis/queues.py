"""Queues of a Redis: what waits is a plain list; leases, delays and counts stand beside it.

Rules of this file
- A job that may be taken now stands in the list as it was written, so that other programs can push to it and take
  from it. Jobs are taken at its left end and put at its right; one that comes back goes to the left end.
- Each move is one script, so it happens whole or not at all. The clock is Redis's.
- A job that comes back is known again by its content: the number of its deliveries is kept under its hash.
- Who waits asks Redis to move the first job onto its own place, which takes nothing and wakes at the first push.
"""

from __future__ import annotations

from time import monotonic, sleep
from typing import Any

from msgspec import Struct

from tincans.contracts import Delivery, Policy, Wire
from tincans.core.hub import arguments
from tincans.core.hub.dead_letter import DEAD, dead_letter
from tincans.core.hub.queue_errors import lease_lost, no_room, queue_full
from tincans.errors import ProtocolError
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.redis.client import RedisClient, Script

WAIT = 0.5
"""Seconds between two looks of a waiting taker at leases and delays that others may have begun."""

ROOM_PAUSE = 0.02
"""Seconds between two tries of a waiting putter."""

BURIES_MS = 10_000
"""Milliseconds in which whoever found a dead letter puts it away; after that the next taker does it."""

# KEYS: the list, the jobs that are not in it (number -> content), leases and delays (number -> when they end, in ms),
# what is known of jobs ("number" -> "deliveries most", hash of the content -> deliveries of those that came back).
_JOBS = """
local ready, jobs, leases, delays, known, numbers = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function about(number)
  local deliveries, most = string.match(redis.call('HGET', known, number) or '0 0', '^(%d+) (%d+)$')
  return tonumber(deliveries), tonumber(most)
end
local function forget(number)
  redis.call('HDEL', jobs, number)
  redis.call('HDEL', known, number)
  redis.call('ZREM', leases, number)
  redis.call('ZREM', delays, number)
end
local function hash(content) return 'h' .. redis.sha1hex(content) end
local function came_back(content)
  local mark = hash(content)
  local line = redis.call('HGET', known, mark)
  if not line then return 0 end
  local first, rest = string.match(line, '^(%d+),?(.*)$')
  if rest == '' then redis.call('HDEL', known, mark) else redis.call('HSET', known, mark, rest) end
  return tonumber(first)
end
local function ready_again(number)
  local content, deliveries = redis.call('HGET', jobs, number), about(number)
  forget(number)
  if not content then return end
  if deliveries == 0 then redis.call('RPUSH', ready, content) return end
  local mark = hash(content)
  local line = redis.call('HGET', known, mark)
  redis.call('HSET', known, mark, line and (deliveries .. ',' .. line) or deliveries)
  redis.call('LPUSH', ready, content)
end
local function hold(number, content, deliveries, most, until_ms)
  redis.call('HSET', jobs, number, content)
  redis.call('HSET', known, number, deliveries .. ' ' .. most)
  redis.call('ZADD', leases, until_ms, number)
end
local function is_held(number, deliveries)
  return redis.call('ZSCORE', leases, number) and about(number) == tonumber(deliveries)
end
"""

# ARGV: content, limit (-1: none), policy, delay in ms. 1: put, 0: full.
_PUT = Script(
    _JOBS
    + """
local limit, waiting = tonumber(ARGV[2]), redis.call('LLEN', ready) + redis.call('ZCARD', delays)
if limit >= 0 and waiting >= limit then
  if ARGV[3] ~= 'drop_oldest' then return 0 end
  for _ = limit, waiting do
    local content = redis.call('LPOP', ready)
    if content then came_back(content)
    else
      local first = redis.call('ZRANGE', delays, 0, 0)[1]
      if first then forget(first) end
    end
  end
end
if tonumber(ARGV[4]) > 0 then
  local number = redis.call('INCR', numbers)
  redis.call('HSET', jobs, number, ARGV[1])
  redis.call('ZADD', delays, now + ARGV[4], number)
else redis.call('RPUSH', ready, ARGV[1]) end
return 1
"""
)

# ARGV: lease in ms, most deliveries (0: no end), how long a burial may take in ms.
# {number, content, deliveries, dead ...}, or {0, ms until something is due (-1: nothing), 0, dead ...}; of each dead
# letter its number, content and deliveries.
_TAKE = Script(
    _JOBS
    + """
local most, dead = tonumber(ARGV[2]), {}
local function bury(number, content, deliveries)
  hold(number, content, deliveries, most, now + ARGV[3])
  dead[#dead + 1] = number
  dead[#dead + 1] = content
  dead[#dead + 1] = deliveries
end
local over = redis.call('ZRANGEBYSCORE', leases, '-inf', now)
table.sort(over, function(a, b) return tonumber(a) > tonumber(b) end)
for _, number in ipairs(over) do
  local deliveries, its_most = about(number)
  if its_most > 0 and deliveries >= its_most then
    local content = redis.call('HGET', jobs, number)
    if content then bury(number, content, deliveries) else forget(number) end
  else ready_again(number) end
end
for _, number in ipairs(redis.call('ZRANGEBYSCORE', delays, '-inf', now)) do ready_again(number) end
while true do
  local content = redis.call('LPOP', ready)
  if not content then break end
  local deliveries, number = came_back(content), redis.call('INCR', numbers)
  if most > 0 and deliveries >= most then bury(number, content, deliveries)
  else
    hold(number, content, deliveries + 1, most, now + ARGV[1])
    return {number, content, deliveries + 1, unpack(dead)}
  end
end
local due = -1
for _, timed in ipairs({leases, delays}) do
  local first = redis.call('ZRANGE', timed, 0, 0, 'WITHSCORES')[2]
  if first and (due < 0 or first - now < due) then due = math.max(0, first - now) end
end
return {0, due, 0, unpack(dead)}
"""
)

# ARGV: number, deliveries.
_ACKNOWLEDGE = Script(_JOBS + "if not is_held(ARGV[1], ARGV[2]) then return 0 end forget(ARGV[1]) return 1")

# ARGV: number, deliveries, lease in ms.
_RENEW = Script(
    _JOBS
    + "if not is_held(ARGV[1], ARGV[2]) then return 0 end redis.call('ZADD', leases, now + ARGV[3], ARGV[1]) return 1"
)

# ARGV: number, deliveries, delay in ms, how long a burial may take in ms. 0: not held, 1: done, 2: to be buried.
_GIVE_BACK = Script(
    _JOBS
    + """
if not is_held(ARGV[1], ARGV[2]) then return 0 end
local deliveries, most = about(ARGV[1])
if most > 0 and deliveries >= most then
  redis.call('ZADD', leases, now + ARGV[4], ARGV[1])
  return 2
end
if tonumber(ARGV[3]) > 0 then
  redis.call('ZREM', leases, ARGV[1])
  redis.call('ZADD', delays, now + ARGV[3], ARGV[1])
else ready_again(ARGV[1]) end
return 1
"""
)

# KEYS and one more: the list of dead letters. ARGV: number, deliveries, the letter.
_BURY = Script(
    _JOBS
    + """
if not is_held(ARGV[1], ARGV[2]) then return 0 end
forget(ARGV[1])
redis.call('RPUSH', KEYS[7], ARGV[3])
return 1
"""
)

_COUNT = Script(
    _JOBS + "return redis.call('LLEN', ready) + redis.call('ZCARD', delays) + redis.call('ZCOUNT', leases, '-inf', now)"
)


class Receipt(Struct, frozen=True):
    """What stands for a job on lease."""

    number: int
    content: bytes


class RedisQueues:
    """contracts.Queues. Who waits for room tries again and again: their order is not kept."""

    def __init__(self, client: RedisClient, wire: Wire) -> None:
        self._client, self._place, self._wire = client, client.place, wire

    def _list(self, queue: str) -> str:
        return self._place.key("queue", queue) if self._place.name else queue

    def _keys(self, queue: str) -> list[str]:
        arguments.name("queue", queue)
        kinds = ("jobs", "leases", "delays", "known")
        return [self._list(queue), *(self._place.key(kind, queue) for kind in kinds), self._place.key("numbers")]

    def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None:
        """See contracts.Queues."""
        arguments.policy(policy)
        arguments.seconds("The delay of a job", delay, zero=True)
        most = -1 if limit is None else arguments.count("The limit of a queue", limit, least=1)
        deadline = deadline_of(timeout)
        args = (self._wire.pack(value), most, policy, round(delay * 1000))
        while not self._client.run(_PUT, self._keys(queue), *args, timeout=timeout):
            if policy == "refuse":
                raise queue_full(queue, most)
            if deadline is not None and monotonic() + ROOM_PAUSE > deadline:
                raise no_room(queue, timeout)
            sleep(ROOM_PAUSE)

    def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None:
        """See contracts.Queues."""
        arguments.seconds("A lease", lease, zero=False)
        arguments.count("max_deliveries", max_deliveries, least=0)
        deadline = deadline_of(timeout)
        keys = self._keys(queue)
        most = 0 if queue.endswith(DEAD) else max_deliveries
        args = (max(1, round(lease * 1000)), most, BURIES_MS)
        while True:
            number, found, deliveries, *dead = self._client.run(_TAKE, keys, *args, timeout=timeout, again=True)
            for start in range(0, len(dead), 3):
                self._bury(queue, dead[start], dead[start + 1], dead[start + 2])
            if number:
                return self._delivered(queue, number, found, deliveries, lease)
            left = WAIT if deadline is None else deadline - monotonic()
            if left <= 0:
                return None
            self._wait(keys[0], min(left, WAIT, self._place.timeout / 2), found)

    def _delivered(self, queue: str, number: int, content: bytes, deliveries: int, lease: float) -> Delivery:
        delivery = Delivery(queue, None, deliveries, lease, Receipt(number, content))
        try:
            delivery.value = self._wire.unpack(content)
        except ProtocolError:  # a foreign program wrote it: tell each taker, until it is a dead letter
            self.give_back(delivery, delay=0.0, timeout=None)
            raise
        return delivery

    def _wait(self, ready: str, seconds: float, due: int) -> None:
        """Until a job stands in the list, for at most `seconds`, and no longer than until something is due."""
        if due >= 0:
            seconds = min(seconds, due / 1000 + 0.001)
        words = ("BLMOVE", ready, ready, "LEFT", "LEFT", f"{max(seconds, 0.001):.3f}")
        self._client.ask(*words, timeout=None, again=True)

    def _bury(self, queue: str, number: int, content: bytes, deliveries: int) -> None:
        try:
            value = self._wire.unpack(content)
        except ProtocolError:
            value = content.decode(errors="replace")
        letter = dead_letter(queue, value, deliveries)
        keys = [*self._keys(queue), self._list(queue + DEAD)]
        self._client.run(_BURY, keys, number, deliveries, self._wire.pack(letter), timeout=None)

    def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:
        """See contracts.Queues."""
        self._settle(_ACKNOWLEDGE, delivery, timeout=timeout)

    def renew(self, delivery: Delivery, *, timeout: float | None) -> None:
        """See contracts.Queues."""
        self._settle(_RENEW, delivery, max(1, round(delivery.lease * 1000)), timeout=timeout, again=True)

    def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None:
        """See contracts.Queues."""
        arguments.seconds("The delay of a job", delay, zero=True)
        if self._settle(_GIVE_BACK, delivery, round(delay * 1000), BURIES_MS, timeout=timeout) == 2:
            self._bury(delivery.queue, delivery.receipt.number, delivery.receipt.content, delivery.deliveries)

    def _settle(
        self, script: Script, delivery: Delivery, *args: int, again: bool = False, timeout: float | None
    ) -> int:
        keys, number = self._keys(delivery.queue), delivery.receipt.number
        done: int = self._client.run(script, keys, number, delivery.deliveries, *args, timeout=timeout, again=again)
        if not done:
            raise lease_lost(delivery.queue, self._place.url)
        return done

    def count(self, queue: str, *, timeout: float | None) -> int:
        """See contracts.Queues."""
        waiting: int = self._client.run(_COUNT, self._keys(queue), timeout=timeout, again=True)
        return waiting
