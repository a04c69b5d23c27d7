"""Redis, and Valkey: `redis://HOST[:PORT]/DB/NAME`, programs on any machine that reach the same server.

URL: `redis://localhost/0/alice`; without a host localhost, without a port 6379. USER:PASSWORD before the host. Without
    a NAME there are no calls, but the plain names that every other Redis program uses: a topic is a channel, a queue a
    list, a value a string key; `json+redis://localhost/0` and `text+redis://localhost/0` are for those.
Options: `timeout` seconds for Redis itself (default 5); `max_message` bytes (default and at most 500 MiB);
    `connections` that one peer may open to share its calls among the serving programs (default 1); `tls` yes or no
    (default), `cert`, `cert_key`, `ca` PEM files, `tls_verify` yes (default) or no.
Delivery: a call is answered, fails, or its outcome is reported unknown. News reach who listens now. A queued job is
    delivered at least once, and counts its deliveries.
Leaves behind: queues and values, until they are emptied; one number for each lock; after a kill of both ends a box, for
    five minutes.
Limits: programs that can reach the Redis and know its password can all call, and each can read everything. What a
    foreign program takes out of a list is gone from the queue, without a lease. Not for a Redis Cluster.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from tincans.contracts import Board, Connection, Framing, Listener, Transport, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError
from tincans.facts import NATIVE, Facts, No, Yes
from tincans.toolkit.redis import line as redis_line
from tincans.toolkit.redis.line import Place, place_of
from tincans.toolkit.redis.mail import LARGEST

FACTS = Facts(
    summary="Redis or Valkey: calls shared by several servers, durable queues, topics, state and locks",
    publish=NATIVE,
    queue=NATIVE,
    state=NATIVE,
    flag=NATIVE,
    lock=NATIVE,
    share=Yes("native", "copied through Redis"),
    order="per sender; a job that comes back goes first",
    delivery="calls: answered, failed, or outcome unknown; news at most once, gaps reported; jobs at least once",
    survives="queues, values and locks outlive the programs, and Redis itself as far as it persists (appendonly)",
    reach="network",
    leaves_behind="queues and values until emptied, one number for each lock; for five minutes what a kill left",
    service="redis-server 6.2 or newer, or Valkey",
    extra="redis",
    library="redis-py",
    largest_message=LARGEST,
)

OPTIONS = {
    "max_message": Option(int, LARGEST, "largest message in bytes"),
    "connections": Option(int, 1, "connections that one peer may open, so that several programs work for it"),
    **redis_line.OPTIONS,
}

_NO_CALLS = No("without a NAME in the URL it is not said whose functions are meant", "redis")


class RedisTransport:
    """The method. Stateless; one instance serves all."""

    facts: Facts = FACTS
    options: Mapping[str, Option] = OPTIONS

    def facts_at(self, address: Address) -> Facts:
        """Without a name there is nobody to call, only the plain names of other Redis programs."""
        return FACTS if place_of(address, OPTIONS).name else replace(FACTS, call=_NO_CALLS, share=_NO_CALLS)

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> Connection:
        """See contracts.Transport."""
        from tincans.toolkit.redis.lobby import connect

        return connect(_place(address), framing, timeout=timeout)

    def listen(self, address: Address, *, framing: Framing) -> Listener:
        """See contracts.Transport."""
        from tincans.toolkit.redis.lobby import RedisListener

        return RedisListener(_place(address), framing, str(address))

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        """See contracts.Transport."""
        from tincans.toolkit.redis.board import redis_board

        return redis_board(_place(address), wire, timeout=timeout)


def _place(address: Address) -> Place:
    place = place_of(address, OPTIONS)
    if place.settings["max_message"] > LARGEST:
        raise AddressError(f"max_message is at most {LARGEST} here: Redis takes no more in one piece.", url=place.url)
    return place


TRANSPORT: Transport = RedisTransport()
