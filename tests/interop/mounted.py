"""A web application that is not ours, with a tincans server mounted at /api: `python tests/interop/mounted.py`.

Rules of this file
- uvicorn runs it, as its user would; it prints its port.
"""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

import tincans

alice = tincans.serve("memory:mounted")


@alice.expose(safe=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


api = alice.asgi()


async def live(receive: Any, send: Any) -> None:
    """Alice ends with the application."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    alice.close()
    await send({"type": "lifespan.shutdown.complete"})


async def site(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The application around it, in the way that Starlette's `mount` passes a request on."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    if scope["type"] == "http" and scope["path"].startswith("/api"):
        await api({**scope, "root_path": scope.get("root_path", "") + "/api"}, receive, send)
        return
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"not here"})


def main() -> None:
    """Serve until told to stop."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(site, log_level="error", lifespan="on")).run(sockets=[listening])


if __name__ == "__main__":
    main()
