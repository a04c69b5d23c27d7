"""pyzmq over ipc: REQ and ROUTER for calls, DEALER for many at once, PUB and SUB, PUSH and PULL; msgpack for values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import ANSWER, IN_FLIGHT, PATIENCE, Client, Contestant, Serving, in_background
from tincans.bench.service import add, size

CALLS, NEWS, ITEMS = "calls", "news", "items"
NO_MSGPACK = 0xC1
"""No message of msgpack begins with it, so that it can mark a payload."""


def address(place: Path, what: str) -> str:
    return f"ipc://{place}/{what}"


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import msgpack
    import zmq

    def answer() -> None:
        while True:
            *envelope, body = calls.recv_multipart(copy=False)
            data = body.buffer
            told = size(data[1:]) if data[0] == NO_MSGPACK else add(*msgpack.unpackb(data))
            calls.send_multipart([*envelope, msgpack.packb(told)])

    context = zmq.Context()
    calls, news = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
    calls.bind(address(place, CALLS))
    news.setsockopt(zmq.SNDHWM, 0)
    news.bind(address(place, NEWS))
    with in_background(answer):
        yield Serving(publish=lambda data: news.send(data))


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import msgpack
    import zmq

    context = zmq.Context()

    def socket(kind: int, what: str, *, bind: bool = False) -> Any:
        made = context.socket(kind)
        for option in (zmq.SNDHWM, zmq.RCVHWM):
            made.setsockopt(option, 0)
        made.setsockopt(zmq.RCVTIMEO, int((PATIENCE if kind == zmq.SUB else ANSWER) * 1000))
        (made.bind if bind else made.connect)(address(place, what))
        return made

    def call(a: int, b: int) -> Any:
        request.send(msgpack.packb((a, b)))
        return msgpack.unpackb(request.recv())

    def pipeline(count: int) -> None:
        for begin in range(0, count, IN_FLIGHT):
            some = min(IN_FLIGHT, count - begin)
            for n in range(some):
                dealer.send_multipart([b"", msgpack.packb((n, 1))])
            for _ in range(some):
                msgpack.unpackb(dealer.recv_multipart()[1])

    def deliver(data: bytes) -> int:
        request.send(data, copy=False)
        return int(msgpack.unpackb(request.recv()))

    request, dealer = socket(zmq.REQ, CALLS), socket(zmq.DEALER, CALLS)
    yield Client(
        call=call,
        pipeline=pipeline,
        prepare=lambda array: bytes([NO_MSGPACK]) + bytes(array),
        deliver=deliver,
        subscribe=lambda: subscribed(socket),
        **queue_ends(socket),
    )
    context.destroy(0)


def queue_ends(socket: Callable[..., Any]) -> dict[str, Any]:
    """PUSH binds, PULL connects; each is made when first used, for a client is only one of the two."""
    made: dict[str, Any] = {}

    def put(data: bytes) -> None:
        import zmq

        if "push" not in made:
            made["push"] = socket(zmq.PUSH, ITEMS, bind=True)
        made["push"].send(data)

    def take() -> Any:
        import zmq

        if "pull" not in made:
            made["pull"] = socket(zmq.PULL, ITEMS)
        return made["pull"].recv()

    return {"put": put, "take": take}


@contextlib.contextmanager
def subscribed(socket: Callable[..., Any]) -> Iterator[Callable[[], Any]]:
    import zmq

    listening = socket(zmq.SUB, NEWS)
    listening.setsockopt(zmq.SUBSCRIBE, b"")

    def receive() -> Any:
        try:
            return listening.recv()
        except zmq.Again:
            return None

    yield receive
    listening.close(0)


CONTESTANTS = (
    Contestant(
        name="pyzmq",
        kind="other",
        about="`ipc://`: REQ to a ROUTER (DEALER for pipelined calls) with msgpack, PUB/SUB and PUSH/PULL without a "
        "high-water mark; items are not acknowledged",
        can=frozenset({"call", "pipeline", "payload", "publish", "queue", "crowd"}),
        serve=serve,
        connect=connect,
        needs=("zmq", "msgpack"),
    ),
)
