"""iceoryx2: slices in shared memory, request and response, publish and subscribe; both sides look again and again.

Its examples wait for a fixed time between two looks; here a side that was busy a moment ago looks at once (a spinning
reader is what the library is fast with), and one that was not looks every few milliseconds, so that it disturbs nobody.
"""

from __future__ import annotations

import contextlib
import ctypes
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from tincans.bench.contestant import PATIENCE, Client, Contestant, Serving, in_background, unique
from tincans.bench.service import add, size

BUSY = 0.02
"""Seconds after the last message in which a side looks at once."""
LOOKS = 64
"""Looks between two at the clock."""
PAUSE = 5
"""Milliseconds between two looks of a side that is not busy."""
BUFFER = 1024
"""Messages a subscriber may be behind; then the publisher waits."""
PAIR = struct.Struct("<qq")


def node_of(place: Path) -> Any:
    """A node whose files are all in the place."""
    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    config = iceoryx2.config.default()
    config.global_cfg.prefix = iceoryx2.FileName.new(f"{unique(place)}_")
    config.global_cfg.root_path = iceoryx2.Path.new(str(place))
    return iceoryx2.NodeBuilder.new().config(config).create(iceoryx2.ServiceType.Ipc)


def calls_of(node: Any) -> Any:
    """The service for calls: bytes there and back."""
    import iceoryx2

    kind = iceoryx2.Slice[ctypes.c_uint8]
    builder = node.service_builder(iceoryx2.ServiceName.new("bench/calls")).request_response(kind, kind)
    return builder.max_clients(8).max_nodes(8).open_or_create()


def news_of(node: Any) -> Any:
    """The service for messages."""
    import iceoryx2

    kind = iceoryx2.Slice[ctypes.c_uint8]
    builder = node.service_builder(iceoryx2.ServiceName.new("bench/news")).publish_subscribe(kind)
    builder = builder.max_subscribers(8).max_nodes(16).subscriber_max_buffer_size(BUFFER).enable_safe_overflow(False)
    return builder.open_or_create()


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import iceoryx2

    node = node_of(place)
    calls, news = calls_of(node), news_of(node)
    server = growing(calls.server_builder(), 64).create()
    waiting = iceoryx2.BackpressureStrategy.RetryUntilDelivered
    publisher = growing(news.publisher_builder(), 64).backpressure_strategy(waiting).create()
    stopping: list[bool] = []

    def answer() -> None:
        for request in looked(server.receive, node, lambda: bool(stopping)):
            data = request.payload().as_memory_view().cast("B")
            told = add(*PAIR.unpack(data)) if len(data) == PAIR.size else size(data)
            send(request, told.to_bytes(8, "little"))
            request.delete()

    with in_background(answer) as answering:
        yield Serving(publish=lambda data: send(publisher, data))
        stopping.append(True)
        answering.join(2)
    for port in (server, publisher):
        port.delete()


def growing(builder: Any, size: int) -> Any:
    """A port that takes more memory when a message needs it."""
    import iceoryx2

    return builder.initial_max_slice_len(size).allocation_strategy(iceoryx2.AllocationStrategy.PowerOfTwo)


def send(port: Any, data: Any) -> Any:
    """Loan a slice, fill it, send it."""
    loan = port.loan_slice_uninit(len(data))
    loan.payload().as_memory_view().cast("B")[:] = data
    return loan.assume_init().send()


def looked(receive: Callable[[], Any], node: Any, over: Callable[[], bool]) -> Iterator[Any]:
    """All that comes: looked for at once while something came a moment ago, every few milliseconds otherwise."""
    import iceoryx2

    pause, quiet_since, looks = iceoryx2.Duration.from_millis(PAUSE), monotonic(), LOOKS
    while True:
        came = False
        for _ in range(looks):
            if (found := receive()) is not None:
                came = True
                yield found
        if came:
            quiet_since, looks = monotonic(), LOOKS
        elif monotonic() > quiet_since + BUSY:
            if over():
                return
            looks = 1
            node.wait(pause)


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    node = node_of(place)
    client = growing(calls_of(node).client_builder(), 64).create()

    def ask(data: bytes) -> int:
        pending = send(client, data)
        deadline = perf_counter() + 30
        while (response := pending.receive()) is None:
            if perf_counter() > deadline:
                raise TimeoutError("no response")
        told = int.from_bytes(response.payload().as_memory_view(), "little")
        response.delete()
        pending.delete()
        return told

    yield Client(
        call=lambda a, b: ask(PAIR.pack(a, b)),
        deliver=ask,
        subscribe=lambda: subscribed(node),
    )
    client.delete()


@contextlib.contextmanager
def subscribed(node: Any) -> Iterator[Callable[[], Any]]:
    subscriber = news_of(node).subscriber_builder().buffer_size(BUFFER).create()
    last = [0.0]
    heard = looked(subscriber.receive, node, lambda: monotonic() > last[0] + PATIENCE)

    def receive() -> Any:
        nonlocal heard
        last[0] = monotonic()
        sample = next(heard, None)
        if sample is None:
            heard = looked(subscriber.receive, node, lambda: monotonic() > last[0] + PATIENCE)
            return None
        data = bytes(sample.payload().as_memory_view())
        sample.delete()
        return data

    yield receive
    subscriber.delete()


CONTESTANTS = (
    Contestant(
        name="iceoryx2",
        kind="other",
        about="request/response and publish/subscribe of byte slices, looked for without a pause while busy (it "
        "spins), a publisher that waits instead of dropping",
        can=frozenset({"call", "payload", "publish"}),
        serve=serve,
        connect=connect,
        needs=("iceoryx2",),
        leaves="{root}*",
    ),
)
