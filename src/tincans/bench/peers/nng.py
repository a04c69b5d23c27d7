"""pynng over ipc: Req0 and Rep0 for calls, Pub0 and Sub0, Push0 and Pull0; msgpack for values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import ANSWER, PATIENCE, Client, Contestant, Serving, in_background
from tincans.bench.service import add, size

NO_MSGPACK = 0xC1
"""No message of msgpack begins with it, so that it can mark a payload."""
BUFFER = 8192
"""Messages a subscriber may be behind; the library's largest."""


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import msgpack
    import pynng

    def answer() -> None:
        while True:
            data = memoryview(calls.recv())
            told = size(data[1:]) if data[0] == NO_MSGPACK else add(*msgpack.unpackb(data))
            calls.send(msgpack.packb(told))

    with (
        pynng.Rep0(listen=f"ipc://{place}/calls", recv_max_size=0) as calls,
        pynng.Pub0(listen=f"ipc://{place}/news", send_buffer_size=BUFFER) as news,
        in_background(answer),
    ):
        yield Serving(publish=news.send)


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import msgpack
    import pynng

    with (
        pynng.Req0(dial=f"ipc://{place}/calls", recv_timeout=int(ANSWER * 1000)) as calls,
        contextlib.ExitStack() as stack,
    ):

        def call(a: int, b: int) -> Any:
            calls.send(msgpack.packb((a, b)))
            return msgpack.unpackb(calls.recv())

        def deliver(data: bytes) -> int:
            calls.send(data)
            return int(msgpack.unpackb(calls.recv()))

        yield Client(
            call=call,
            prepare=lambda array: bytes([NO_MSGPACK]) + bytes(array),
            deliver=deliver,
            subscribe=lambda: subscribed(place),
            **queue_ends(place, stack),
        )


def queue_ends(place: Path, stack: contextlib.ExitStack) -> dict[str, Any]:
    """Each end is made when first used, for a client is only one of the two."""
    import pynng

    made: dict[str, Any] = {}

    def put(data: bytes) -> None:
        if "push" not in made:
            made["push"] = stack.enter_context(pynng.Push0(listen=f"ipc://{place}/items"))
        made["push"].send(data)

    def take() -> Any:
        if "pull" not in made:
            pull = pynng.Pull0(dial=f"ipc://{place}/items", block_on_dial=False, recv_timeout=int(ANSWER * 1000))
            made["pull"] = stack.enter_context(pull)
        return made["pull"].recv()

    return {"put": put, "take": take}


@contextlib.contextmanager
def subscribed(place: Path) -> Iterator[Callable[[], Any]]:
    import pynng

    timeout = int(PATIENCE * 1000)
    with pynng.Sub0(dial=f"ipc://{place}/news", topics=b"", recv_buffer_size=BUFFER, recv_timeout=timeout) as news:

        def receive() -> Any:
            try:
                return news.recv()
            except pynng.Timeout:
                return None

        yield receive


CONTESTANTS = (
    Contestant(
        name="pynng",
        kind="other",
        about="`ipc://`: Req0/Rep0 with msgpack, Pub0/Sub0 with the largest buffers (it drops when they are full), "
        "Push0/Pull0; items are not acknowledged",
        can=frozenset({"call", "payload", "publish", "queue", "crowd"}),
        serve=serve,
        connect=connect,
        needs=("pynng", "msgpack"),
    ),
)
