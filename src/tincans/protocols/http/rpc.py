"""JSON-RPC 2.0 and XML-RPC, for programs that speak them already: other words for the same functions.

Rules of this file
- The requests of a batch (JSON-RPC) run at the same time, those of a `system.multicall` one after the other.
- `rpc.describe` and `system.describe` give our own clients the interface; a stream becomes a list, of bounded length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any

from tincans.contracts.protocol import Service
from tincans.core import json_rpc
from tincans.core.failures import failure_of
from tincans.core.interface import Function, Interface
from tincans.core.messages import Failure, Request
from tincans.core.schema import Schema
from tincans.errors import ArgumentError, NotExposedError, ProtocolError, TooLargeError
from tincans.protocols.http import xml_rpc
from tincans.protocols.http.problems import Problem
from tincans.protocols.http.running import Runner
from tincans.protocols.http.visit import JSON, Visit
from tincans.wires._plain_json import plain
from tincans.wires.json import WIRE

MOST_ELEMENTS = 100_000
"""Of a stream that must become a list here."""
DESCRIBE = "$describe"
_JSON_TYPES = frozenset({JSON, b"application/json-rpc", b"application/jsonrequest"})
_XML = b"text/xml"
_XML_TYPES = frozenset({_XML, b"application/xml"})


class JsonRpcDoor:
    """POST /jsonrpc."""

    def __init__(self, service: Service, runner: Runner) -> None:
        self._service = service
        self._runner = runner

    async def visited(self, visit: Visit) -> None:
        """One text: a request or a batch."""
        if visit.content_type() not in _JSON_TYPES:
            raise Problem(415, "JSON-RPC is JSON: send the header 'Content-Type: application/json'.")
        heard = json_rpc.heard(await visit.body())
        timeout = visit.timeout()
        if len(heard.calls) == 1:
            answers = [await self._answer(visit, heard.calls[0], timeout)]
        else:
            answers = await asyncio.gather(*(self._answer(visit, each, timeout) for each in heard.calls))
        text = json_rpc.together([each for each in answers if each], batch=heard.batch)
        if text:
            await visit.answer(200, text)
        else:
            await visit.nothing(204)

    async def _answer(self, visit: Visit, call: json_rpc.Call | json_rpc.Bad, timeout: float) -> bytes:
        if isinstance(call, json_rpc.Bad):
            return json_rpc.error_text(call.id, call.code, call.message)
        request = json_rpc.request_of(call, timeout=timeout)
        request.name = DESCRIBE if call.name == "rpc.describe" else _public(call.name)
        try:
            if call.id is None:
                await self._runner.leave(request, WIRE, visit.caller)
                return b""
            id = call.id
            write: Callable[[Any], bytes] = lambda result: json_rpc.result_text(id, plain(_listed(result)))  # noqa: E731
            return await self._runner.call(request, WIRE, visit.caller, write, timeout)
        except Exception as error:
            return b"" if call.id is None else json_rpc.failure_text(call.id, failure_of(1, error))


class XmlRpcDoor:
    """POST /xmlrpc and /RPC2."""

    def __init__(self, service: Service, runner: Runner) -> None:
        self._service = service
        self._runner = runner
        self._system: dict[str, Callable[..., Any]] = {
            "system.listMethods": self._list_methods,
            "system.methodHelp": self._method_help,
            "system.methodSignature": self._method_signature,
            "system.describe": lambda: self._service.dispatcher.interface.describe(),
        }

    async def visited(self, visit: Visit) -> None:
        """One methodCall."""
        if visit.content_type() not in _XML_TYPES:
            raise Problem(415, "XML-RPC is XML: send the header 'Content-Type: text/xml'.")
        try:
            name, params = xml_rpc.parsed_call(await visit.body())
        except ProtocolError as error:
            await visit.answer(200, xml_rpc.fault_text(xml_rpc.NOT_WELL_FORMED, str(error)), _XML)
            return
        if name == "system.multicall":
            text = await self._multicall(visit, params)
        else:
            text = await self._answer(visit, name, params, xml_rpc.result_text, _fault_text)
        await visit.answer(200, text, _XML)

    async def _answer(
        self,
        visit: Visit,
        name: str,
        params: list[Any],
        write: Callable[[Any], Any],
        fail: Callable[[Failure], Any],
    ) -> Any:
        timeout = visit.timeout()
        try:
            if name in self._system:
                return write(_applied(self._system[name], name, params))
            request: Any = WIRE.decode(WIRE.encode(Request(1, _public(name), tuple(params), None, timeout)))
            return await self._runner.call(request, WIRE, visit.caller, lambda result: write(_listed(result)), timeout)
        except Exception as error:
            return fail(failure_of(1, error))

    async def _multicall(self, visit: Visit, params: list[Any]) -> bytes:
        """Each result in an array of one, each fault as a struct."""
        calls = params[0] if len(params) == 1 else None
        if not isinstance(calls, list) or len(calls) > json_rpc.MOST_IN_A_BATCH:
            wanted = f"system.multicall takes an array of at most {json_rpc.MOST_IN_A_BATCH} structs"
            return xml_rpc.fault_text(xml_rpc.INVALID_CALL, wanted)
        results = [await self._one_of_many(visit, call) for call in calls]
        return await self._runner.wait(lambda: xml_rpc.result_text(results), "system.multicall", visit.timeout())

    async def _one_of_many(self, visit: Visit, call: Any) -> Any:
        if not isinstance(call, dict) or not isinstance(call.get("methodName"), str):
            return _fault(Failure(1, "protocol", "ProtocolError", "A call is a struct of methodName and params."))
        name, params = call["methodName"], call.get("params", [])
        if name == "system.multicall" or not isinstance(params, list):
            return _fault(Failure(1, "protocol", "ProtocolError", "This cannot stand in a system.multicall."))
        return await self._answer(visit, name, params, _alone, _fault)

    def _list_methods(self) -> list[str]:
        return sorted([*self._service.dispatcher.names(), *self._system, "system.multicall"])

    def _method_help(self, name: str) -> str:
        return "" if name.startswith("system.") else self._function(name).text

    def _method_signature(self, name: str) -> Any:
        if name.startswith("system."):
            return "signatures not supported"
        return signatures(self._function(name), self._service.dispatcher.interface)

    def _function(self, name: str) -> Function:
        return self._service.dispatcher.find(_public(name)).description


def _public(name: str) -> str:
    """A name that may be called from here: not one of our own."""
    if name.startswith("$"):
        raise NotExposedError(f"No function {name[:60]!r} is exposed here.")
    return name


def _listed(result: Any) -> Any:
    """A stream as a list."""
    if not hasattr(result, "__next__"):
        return result
    try:
        elements = list(islice(result, MOST_ELEMENTS + 1))
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    if len(elements) > MOST_ELEMENTS:
        raise TooLargeError(f"The stream has more than {MOST_ELEMENTS} elements. Call it over REST, as events.")
    return elements


def _applied(function: Callable[..., Any], name: str, params: list[Any]) -> Any:
    try:
        return function(*params)
    except (TypeError, AttributeError):
        raise ArgumentError(f"{name} was given the wrong parameters.") from None


def _alone(result: Any) -> list[Any]:
    xml_rpc.result_text(result)  # what cannot be written fails alone, not with all the others
    return [result]


def _fault(failure: Failure) -> dict[str, Any]:
    code, text = xml_rpc.fault_of(failure)
    return {"faultCode": code, "faultString": text}


def _fault_text(failure: Failure) -> bytes:
    return xml_rpc.fault_text(*xml_rpc.fault_of(failure))


_NAMES = {
    "integer": "int",
    "number": "double",
    "boolean": "boolean",
    "string": "string",
    "array": "array",
    "object": "struct",
    "null": "nil",
}


def signatures(function: Function, interface: Interface) -> list[list[str]]:
    """The types of the result and the parameters, once for each number of parameters that it takes.

    >>> from tincans.core.interface import Parameter
    >>> signatures(Function("f", "f(a)", parameters=(Parameter("a", schema={"type": "integer"}),)), Interface())
    [['undef', 'int']]
    """
    result = "array" if function.streams else _type_name(function.result_schema, interface)
    placed = [each for each in function.parameters or () if each.kind in ("positional_only", "positional")]
    types = [_type_name(each.schema, interface) for each in placed]
    least = sum(each.required for each in placed)
    return [[result, *types[:count]] for count in range(least, len(types) + 1)]


def _type_name(schema: Schema, interface: Interface) -> str:
    if isinstance(schema.get("$ref"), str):
        schema = interface.definitions.get(schema["$ref"].rpartition("/")[2], {})
    if schema.get("contentEncoding") == "base64":
        return "base64"
    if schema.get("format") == "date-time":
        return "dateTime.iso8601"
    return _NAMES.get(str(schema.get("type")), "undef")
