"""REST: `POST /add` with named or positional arguments as JSON, `GET /add?a=2&b=5` where nothing is changed.

Rules of this file
- A result is JSON; a stream is server-sent events; an error is a problem (problems.py).
- What it takes is what openapi.py says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from tincans.contracts.protocol import Service
from tincans.core.exposed import Exposed
from tincans.core.failures import failure_of
from tincans.core.interface import Function
from tincans.core.messages import Request
from tincans.errors import ArgumentError
from tincans.protocols.http.events import event_text
from tincans.protocols.http.flow import Flow, Iteration
from tincans.protocols.http.openapi import openapi
from tincans.protocols.http.page import POLICY, page
from tincans.protocols.http.problems import Problem, failure_problem
from tincans.protocols.http.query import can_be_asked, named_arguments
from tincans.protocols.http.running import Runner
from tincans.protocols.http.visit import JSON, Visit
from tincans.wires._plain_json import plain
from tincans.wires.json import WIRE

_NOTHING = Raw(b"[]")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class RestDoor:
    """The functions of one service."""

    def __init__(self, service: Service, runner: Runner, *, title: str) -> None:
        self._service = service
        self._runner = runner
        self._title = title
        self._functions: dict[str, tuple[Exposed, Function]] = {}

    async def visited(self, visit: Visit) -> None:
        """POST /NAME."""
        name = visit.path[1:]
        await self._runner.find(name)  # a wrong name is told before a wrong body
        if visit.content_type() != JSON and (visit.content_type() or visit.has_body()):
            raise Problem(415, "The arguments come as JSON: send the header 'Content-Type: application/json'.")
        body = await visit.body()
        args, kwargs = _arguments(body)
        await self._run(visit, Request(1, name, args, kwargs, visit.timeout()), body)

    async def asked(self, visit: Visit) -> None:
        """GET /NAME?..."""
        name = visit.path[1:]
        function = self._function(name)
        if not can_be_asked(function):
            raise Problem(
                405,
                f"{name} takes POST: it is not exposed as safe, or not all its parameters have names.",
                allow="POST",
            )
        named = named_arguments(function, visit.query)
        await self._run(visit, Request(1, name, _NOTHING, Raw(named), visit.timeout()), named)

    def _function(self, name: str) -> Function:
        """The description, made once."""
        exposed = self._service.dispatcher.find(name)
        known = self._functions.get(name)
        if known is None or known[0] is not exposed:
            known = self._functions[name] = exposed, exposed.description
        return known[1]

    async def _run(self, visit: Visit, request: Request[Any], body: bytes) -> None:
        try:
            written = await self._runner.call(request, WIRE, visit.caller, _written, request.timeout)
        except ArgumentError as error:
            again = self._read_again(request, body)
            if again is None:
                raise _malformed(body) or error from None
            written = await self._runner.call(again, WIRE, visit.caller, _written, request.timeout)
        if isinstance(written, bytes):
            await visit.answer(200, written)
        else:
            await visit.stream(Flow(Iteration(written, _element, _failure), self._runner))

    def _read_again(self, request: Request[Any], body: bytes) -> Request[Any] | None:
        """To JSON, 5.0 is a whole number too. None when that was not what was wrong, so that nothing runs twice."""
        exposed = self._service.dispatcher.find(request.name)
        try:
            args, kwargs = _arguments(_encode(_whole(_decode(body))))
            again = Request(request.id, request.name, args, kwargs, request.timeout)
            exposed.arguments(WIRE, again)
        except Exception:
            return None
        try:
            exposed.arguments(WIRE, request)
        except ArgumentError:
            return again
        return None

    async def show_page(self, visit: Visit) -> None:
        """GET /"""
        text = page(self._service.dispatcher.interface, title=self._title)
        await visit.answer(200, text, b"text/html; charset=utf-8", [(b"content-security-policy", POLICY)])

    async def show_document(self, visit: Visit) -> None:
        """GET /openapi.json"""
        interface = self._service.dispatcher.interface
        document = openapi(interface, title=self._title, keyed=bool(visit.settings.keys), base=visit.base or "/")
        await visit.answer(200, _encode(document))

    async def not_allowed(self, visit: Visit) -> None:
        """Another method than GET and POST."""
        allowed = self._methods(visit.path[1:])
        raise Problem(405, f"{visit.path[1:]} takes {allowed}, not {visit.method}.", allow=allowed)

    async def show_methods(self, visit: Visit) -> None:
        """OPTIONS. A browser that asks whether it may call is answered whatever the name is."""
        if b"access-control-request-method" in visit.headers:
            await visit.nothing(204)
        else:
            await visit.nothing(204, [(b"allow", self._methods(visit.path[1:]).encode())])

    def _methods(self, name: str) -> str:
        return "GET, HEAD, POST" if can_be_asked(self._function(name)) else "POST"


def _arguments(body: bytes) -> tuple[Raw, Raw | None]:
    text = body.lstrip()
    first = text[:1]
    if first == b"{":
        return _NOTHING, Raw(text)
    if first == b"[":
        return Raw(text), None
    if not text:
        return _NOTHING, None
    raise Problem(400, "The body is a JSON object of named arguments, or a JSON array of positional ones.")


def _whole(value: Any) -> Any:
    """The same with whole numbers as such."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {key: _whole(each) for key, each in value.items()} if isinstance(value, dict) else value


def _malformed(body: bytes) -> Problem | None:
    """Whether the body was no JSON at all."""
    try:
        _decode(body or b"[]")
    except Exception as error:
        return Problem(400, f"The body is no JSON: {error}.")
    return None


def _written(result: Any) -> bytes | Iterator[Any]:
    return result if hasattr(result, "__next__") else plain(result)


def _element(element: Any) -> bytes:
    return event_text(plain(element))


def _failure(error: Exception) -> bytes:
    return event_text(failure_problem(failure_of(1, error))[1], "error")
