"""eclipse-zenoh: peers on a loopback port, a queryable for calls, a publisher and a subscriber; msgpack for values."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import IN_FLIGHT, PATIENCE, Client, Contestant, Serving, address_file
from tincans.bench.service import add

ADD, SIZE, NEWS = "bench/add", "bench/size", "bench/news"


def session(**endpoints: str) -> Any:
    """A peer that talks to these endpoints only; nobody is looked for on the network."""
    import zenoh

    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("listen/endpoints", json.dumps([endpoints["listen"]] if "listen" in endpoints else []))
    if "connect" in endpoints:
        config.insert_json5("connect/endpoints", json.dumps([endpoints["connect"]]))
    return zenoh.open(config)


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import msgpack
    import zenoh

    def answer_add(query: Any) -> None:
        query.reply(ADD, msgpack.packb(add(*msgpack.unpackb(query.payload.to_bytes()))))

    def answer_size(query: Any) -> None:
        query.reply(SIZE, msgpack.packb(len(query.payload.to_bytes())))

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp/127.0.0.1:{probe.getsockname()[1]}"
    with session(listen=endpoint) as peer:
        address_file(place).write_text(endpoint)
        peer.declare_queryable(ADD, answer_add)
        peer.declare_queryable(SIZE, answer_size)
        news = peer.declare_publisher(NEWS, congestion_control=zenoh.CongestionControl.BLOCK)
        yield Serving(publish=news.put)


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import msgpack

    with session(connect=address_file(place).read_text()) as peer:
        adding, sizing = peer.declare_querier(ADD), peer.declare_querier(SIZE)

        def call(a: int, b: int) -> Any:
            for reply in adding.get(payload=msgpack.packb((a, b))):
                return msgpack.unpackb(reply.ok.payload.to_bytes())
            raise RuntimeError("nobody answered")

        def pipeline(count: int) -> None:
            for begin in range(0, count, IN_FLIGHT):
                some = range(min(IN_FLIGHT, count - begin))
                for replies in [adding.get(payload=msgpack.packb((n, 1))) for n in some]:
                    for reply in replies:
                        msgpack.unpackb(reply.ok.payload.to_bytes())

        def deliver(data: bytes) -> int:
            for reply in sizing.get(payload=data):
                return int(msgpack.unpackb(reply.ok.payload.to_bytes()))
            raise RuntimeError("nobody answered")

        yield Client(call=call, pipeline=pipeline, deliver=deliver, subscribe=lambda: subscribed(peer))


@contextlib.contextmanager
def subscribed(peer: Any) -> Iterator[Callable[[], Any]]:
    """The callback of a subscriber, and a queue to the thread that waits."""
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    subscriber = peer.declare_subscriber(NEWS, lambda sample: heard.put(sample.payload.to_bytes()))

    def receive() -> Any:
        try:
            return heard.get(timeout=PATIENCE)
        except queue.Empty:
            return None

    yield receive
    subscriber.undeclare()


CONTESTANTS = (
    Contestant(
        name="eclipse-zenoh",
        kind="other",
        about="two peers on loopback TCP without scouting, a queryable and a querier, a publisher that blocks instead "
        "of dropping; msgpack for values",
        can=frozenset({"call", "pipeline", "payload", "publish"}),
        serve=serve,
        connect=connect,
        needs=("zenoh", "msgpack"),
        leaves="*.zenoh",
    ),
)
