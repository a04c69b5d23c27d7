"""FastAPI on uvicorn with httpx in front: a POST with a validated body on a kept connection."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import Client, Contestant, Serving, address_file, in_background


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import uvicorn
    from fastapi import FastAPI, Request
    from pydantic import create_model

    pair = create_model("Pair", a=(int, ...), b=(int, ...))
    app = FastAPI()

    async def size(request: Request) -> int:
        return len(await request.body())

    async def add_pair(body: Any) -> int:
        return int(body.a + body.b)

    add_pair.__annotations__ = {"body": pair, "return": int}  # the model is made here, so no annotation can name it
    size.__annotations__ = {"request": Request, "return": int}
    app.post("/add")(add_pair)
    app.post("/size")(size)
    # With its protocol said, for only then the event loop turns Nagle's algorithm off.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        address_file(place).write_text(f"http://127.0.0.1:{listening.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        with in_background(lambda: server.run(sockets=[listening])):
            yield Serving()
        server.should_exit = True


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import httpx

    transport = httpx.HTTPTransport(retries=5)
    with httpx.Client(base_url=address_file(place).read_text(), timeout=30, transport=transport) as http:

        def call(a: int, b: int) -> Any:
            return http.post("/add", json={"a": a, "b": b}).raise_for_status().json()

        def deliver(data: bytes) -> int:
            return int(http.post("/size", content=data).raise_for_status().json())

        yield Client(call=call, deliver=deliver)


CONTESTANTS = (
    Contestant(
        name="FastAPI + httpx",
        kind="other",
        about="a route with a pydantic body on uvicorn, an `httpx.Client` that keeps its connection",
        can=frozenset({"call", "payload", "crowd"}),
        serve=serve,
        connect=connect,
        needs=("fastapi", "uvicorn", "httpx", "pydantic"),
    ),
)
