"""The ASGI application: REST at /NAME, OpenAPI, a page, JSON-RPC, XML-RPC, events, and the door of our own clients.

Rules of this file
- It finds the room for each request and turns whatever goes wrong into an answer; the rooms do the rest.
- It runs on any server's event loop, ours or a user's; functions run where running.py says.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from tincans.contracts.protocol import Service
from tincans.core.failures import failure_of
from tincans.protocols.http import LINES, gate
from tincans.protocols.http.lines import LineDoor
from tincans.protocols.http.problems import CONTENT_TYPE, Problem, failure_problem
from tincans.protocols.http.rest import RestDoor
from tincans.protocols.http.rpc import JsonRpcDoor, XmlRpcDoor
from tincans.protocols.http.running import Runner
from tincans.protocols.http.visit import Gone, Receive, Scope, Send, Settings, Visit

Room = Callable[[Visit], Awaitable[None]]
_NAME = re.compile(r"[\w.-]+")


class Application:
    """An ASGI 3 application: `await application(scope, receive, send)`."""

    def __init__(self, service: Service, settings: Settings, *, direct: bool = False) -> None:
        self._settings = settings
        runner = Runner(service, direct=direct)
        self.end_waits = runner.end_waits
        """To be called on the loop when the server closes: what would not end by itself ends."""
        rest = RestDoor(service, runner, title=service.name if _NAME.fullmatch(service.name) else "Tincans")
        self._rest = rest
        lines, json_rpc, xml_rpc = LineDoor(service, runner), JsonRpcDoor(service, runner), XmlRpcDoor(service, runner)
        self._post: dict[str, Room] = {
            LINES: lines.visited,
            "/jsonrpc": json_rpc.visited,
            "/xmlrpc": xml_rpc.visited,
            "/RPC2": xml_rpc.visited,
        }
        self._get: dict[str, Room] = {
            "/": rest.show_page,
            "/openapi.json": rest.show_document,
            "/-/events": lines.show_events,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        visit = Visit(scope, receive, send, self._settings)
        try:
            gate.admit(visit, self._settings)
            await self._room(visit)(visit)
        except Problem as problem:
            await visit.refuse(problem)
        except Gone:
            return
        except Exception as error:
            status, body = failure_problem(failure_of(1, error))
            await visit.answer(status, body, CONTENT_TYPE)

    def _room(self, visit: Visit) -> Room:
        method, path = visit.method, visit.path
        if method == "POST":
            return self._post.get(path) or (self._only("GET, HEAD") if path in self._get else self._rest.visited)
        if method in ("GET", "HEAD"):
            return self._get.get(path) or (self._only("POST") if path in self._post else self._rest.asked)
        if method == "OPTIONS":
            return self._rest.show_methods if path not in self._post | self._get else self._options
        if path in self._post or path in self._get:
            return self._only("POST" if path in self._post else "GET, HEAD")
        return self._rest.not_allowed

    def _only(self, methods: str) -> Room:
        async def refuse(visit: Visit) -> None:
            raise Problem(405, f"{visit.path} takes {methods} only.", allow=methods)

        return refuse

    async def _options(self, visit: Visit) -> None:
        await visit.nothing(204, [(b"allow", b"POST" if visit.path in self._post else b"GET, HEAD")])


async def _other(scope: Scope, receive: Receive, send: Send) -> None:
    """What is no request: the life of the server around us, or a WebSocket, which there is none of."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1003})
        return
    while scope["type"] == "lifespan":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
