"""The board of a Redis: topics, queues, values and locks, over one pool of connections.

Rules of this file
- A wrong place, a wrong password and a Redis that is too old are told when the board is made.
"""

from __future__ import annotations

from tincans.contracts import Board, Wire
from tincans.toolkit.redis.client import RedisClient
from tincans.toolkit.redis.line import Place, check_version
from tincans.toolkit.redis.locks import RedisLocks
from tincans.toolkit.redis.queues import RedisQueues
from tincans.toolkit.redis.topics import RedisTopics
from tincans.toolkit.redis.values import RedisValues


def redis_board(place: Place, wire: Wire, *, timeout: float) -> Board:
    """A whole board. UnreachableError when there is no Redis within `timeout`."""
    client = RedisClient(place)
    try:
        check_version(client.ask("HELLO", timeout=timeout, again=True), place)
    except BaseException:
        client.close()
        raise
    locks = RedisLocks(client)

    def close() -> None:
        locks.close()
        client.close()

    return Board(
        topics=RedisTopics(client, wire),
        queues=RedisQueues(client, wire),
        values=RedisValues(client, wire),
        locks=locks,
        close=close,
    )
