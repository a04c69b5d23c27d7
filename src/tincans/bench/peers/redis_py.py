"""redis-py and a Redis server: pub/sub, a stream with a consumer group, a hash; and two bare round trips."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import ANSWER, PATIENCE, Client, Contestant, Serving, broker_port, no_server

NEWS, JOBS, GROUP, KEY = "bench-news", "bench-jobs", "workers", "bench-value"


def opened(place: Path) -> Any:
    import redis

    return redis.Redis(host="127.0.0.1", port=broker_port(place), db=1)


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    with opened(place) as server:
        server.delete(JOBS)
        server.xgroup_create(JOBS, GROUP, id="0", mkstream=True)
        server.hset(KEY, mapping={"speed": 3, "name": "alice"})
        yield Serving(publish=lambda data: server.publish(NEWS, data))


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    with opened(place) as server:

        def put(data: bytes) -> None:
            server.xadd(JOBS, {"item": data})

        def take() -> Any:
            found = server.xreadgroup(GROUP, "bob", {JOBS: ">"}, count=1, block=int(ANSWER * 1000))
            number, fields = found[0][1][0]
            server.xack(JOBS, GROUP, number)
            return fields

        def deliver(data: bytes) -> int:
            server.set("bench-payload", data)
            return int(server.strlen("bench-payload"))

        yield Client(
            deliver=deliver,
            put=put,
            take=take,
            subscribe=lambda: subscribed(server),
            look=lambda: server.hgetall(KEY),
        )


@contextlib.contextmanager
def subscribed(server: Any) -> Iterator[Callable[[], Any]]:
    with server.pubsub(ignore_subscribe_messages=True) as listening:
        listening.subscribe(NEWS)

        def receive() -> Any:
            while (message := listening.get_message(timeout=PATIENCE)) is not None:
                if message["type"] == "message":
                    return message["data"]
            return None

        listening.get_message(timeout=PATIENCE)  # the word that it has begun
        yield receive


@contextlib.contextmanager
def connect_two_trips(place: Path) -> Iterator[Client]:
    with opened(place) as server:

        def call(a: int, b: int) -> Any:
            server.set("bench-request", b"\x92\x02\x05")
            return server.get("bench-request")

        yield Client(call=call)


CONTESTANTS = (
    Contestant(
        name="redis-py",
        kind="other",
        about="`publish` and `pubsub`, a stream with a consumer group (`xadd`, `xreadgroup`, `xack`), a hash; a "
        "payload is `set` in the server, and `strlen` asked",
        can=frozenset({"payload", "publish", "queue", "turn", "state"}),
        serve=serve,
        connect=connect,
        needs=("redis",),
        service="redis",
    ),
    Contestant(
        name="two bare redis-py round trips",
        kind="yardstick",
        about="a `set` and a `get` of the bytes of two ints",
        can=frozenset({"call"}),
        serve=no_server,
        connect=connect_two_trips,
        needs=("redis",),
        service="redis",
    ),
)
