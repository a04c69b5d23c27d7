"""The caller for any server that has an OpenAPI document: operations as functions, by their operationId.

Rules of this file
- Arguments are placed in the order of the document: parameters (path, query, header), then the members of the body.
- The document says paths only; host, port and key are those of our URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from tincans.core.interface import Function, Interface, Parameter
from tincans.errors import ArgumentError, NotExposedError, ProtocolError, TincansError, UnsupportedError
from tincans.protocols.http.client import HttpClient
from tincans.protocols.http.connection import Response
from tincans.protocols.http.problems import error_from
from tincans.protocols.http.streams import EventStream, RemoteStream
from tincans.wires._plain_json import plain

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
NO_HUB = "a foreign server has no topics, queues or values of ours"
MOST_REFERENCES = 50
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json")
_decode = msgspec.json.Decoder().decode


class Place(Struct, frozen=True):
    """Where one argument goes: "path", "query", "header", "cookie", "member" of the body, or the "body" itself."""

    name: str
    where: str
    required: bool = False
    schema: dict[str, Any] = {}
    as_json: bool = False


class Operation(Struct, frozen=True):
    """One operation of the document."""

    name: str
    method: str
    path: str
    places: tuple[Place, ...]
    body_type: str = ""
    summary: str = ""
    result_schema: dict[str, Any] = {}


def operations(document: Any) -> dict[str, Operation]:
    """All operations, by operationId, and by a name that Python can say. ProtocolError for what is no document.

    >>> sorted(operations({"paths": {"/x/{id}": {"get": {"operationId": "get-x"}}}}))
    ['get-x', 'get_x']
    """
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise ProtocolError("This is no OpenAPI document: it has no paths.")
    try:
        return _operations(document)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, ProtocolError):
            raise
        raise ProtocolError(f"This OpenAPI document cannot be understood: {error!r}.") from error


def _operations(document: dict[str, Any]) -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for path, item in document["paths"].items():
        item = _resolved(document, item)
        for method in METHODS:
            if isinstance(item.get(method), dict):
                operation = _operation(document, base_of(document) + path, method, item)
                found[operation.name] = operation
                found.setdefault(re.sub(r"\W", "_", operation.name), operation)
    return found


def base_of(document: Mapping[str, Any]) -> str:
    """The path before all paths, as the document's first server says."""
    servers = document.get("servers") or [{"url": document.get("basePath", "/")}]
    return urlsplit(str(servers[0].get("url", "/"))).path.rstrip("/")


def _resolved(document: Any, thing: Any) -> Any:
    """What a reference within the document stands for."""
    for _ in range(MOST_REFERENCES):
        if not isinstance(thing, dict):
            return {}
        reference = thing.get("$ref")
        if not isinstance(reference, str):
            return thing
        thing = document
        for word in reference.removeprefix("#/").split("/"):
            thing = thing.get(word.replace("~1", "/").replace("~0", "~")) if isinstance(thing, dict) else None
    raise ProtocolError("The OpenAPI document has references in a circle.")


def _operation(document: Any, path: str, method: str, item: dict[str, Any]) -> Operation:
    said = item[method]
    parameters = [_resolved(document, each) for each in [*item.get("parameters", []), *said.get("parameters", [])]]
    places = {(each.get("in"), each.get("name")): _place(document, each) for each in parameters if each.get("name")}
    body = _resolved(document, said.get("requestBody", {}))
    body_type, body_places = _body_places(document, body)
    taken = {place.name for place in places.values()}
    return Operation(
        str(said.get("operationId") or f"{method}_{re.sub(r'[^A-Za-z0-9]+', '_', path).strip('_')}"),
        method.upper(),
        path,
        (*places.values(), *(each for each in body_places if each.name not in taken)),
        body_type,
        str(said.get("summary") or said.get("description") or ""),
        _result_schema(document, said),
    )


def _place(document: Any, parameter: dict[str, Any]) -> Place:
    content = parameter.get("content", {})
    schema: Any = parameter.get("schema") or next((each.get("schema", {}) for each in content.values()), {})
    where = str(parameter.get("in"))
    required = bool(parameter.get("required")) or where == "path"
    return Place(parameter["name"], where, required, _resolved(document, schema), as_json=bool(content))


def _body_places(document: Any, body: dict[str, Any]) -> tuple[str, list[Place]]:
    """How the body is written, and its members as arguments of their own where it is an object."""
    content = body.get("content", {})
    kind = next((each for each in content if _JSON.fullmatch(each.partition(";")[0])), None)
    kind = kind or next(iter(content), "")
    if not kind:
        return "", []
    schema: dict[str, Any] = _resolved(document, content[kind].get("schema", {}))
    for way in schema.get("anyOf") or schema.get("oneOf") or []:  # ours: an object by name, or an array by position
        if "properties" in (way := _resolved(document, way)):
            schema = way
            break
    members = schema.get("properties")
    if not isinstance(members, dict) or not members:
        return kind, [Place("body", "body", bool(body.get("required")), schema)]
    required = set(schema.get("required", ()))
    return kind, [Place(name, "member", name in required, _resolved(document, s)) for name, s in members.items()]


def _result_schema(document: Any, said: dict[str, Any]) -> dict[str, Any]:
    for status, answer in said.get("responses", {}).items():
        if str(status).startswith("2"):
            for content in _resolved(document, answer).get("content", {}).values():
                schema: dict[str, Any] = _resolved(document, content.get("schema", {}))
                return schema
    return {}


def placed(operation: Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Each argument with its place. ArgumentError names what does not fit."""
    if len(args) > len(operation.places):
        raise ArgumentError(f"{operation.name} takes {len(operation.places)} arguments, not {len(args)}.")
    given = {place.name: value for place, value in zip(operation.places, args, strict=False)}
    known = {place.name for place in operation.places}
    for name, value in kwargs.items():
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise ArgumentError(f"{operation.name} has no parameter {name}. It has: {there}.")
        if name in given:
            raise ArgumentError(f"{operation.name} was given the parameter {name} twice.")
        given[name] = value
    for place in operation.places:
        if place.name in given:
            yield place, given[place.name]
        elif place.required:
            raise ArgumentError(f"{operation.name} needs the parameter {place.name}.")


class OpenApiCaller:
    """contracts.protocol.Caller for one document."""

    def __init__(self, client: HttpClient, base: str, document: Any, errors: Mapping[str, type[BaseException]]) -> None:
        self._client = client
        self._base = base
        self._errors = errors
        self._operations = operations(document)

    def call(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, timeout: float | None) -> Any:
        """See contracts.protocol.Caller."""
        operation = self._operations.get(name)
        if operation is None:
            there = ", ".join(sorted(self._operations)[:20])
            raise NotExposedError(f"{self._client.url} has no operation {name!r}. It has: {there}", operation=name)
        head, body = self._written(operation, args, kwargs)
        response, connection = self._client.send(head, body, timeout=timeout, operation=name)
        if connection.is_stream(response):
            return RemoteStream(EventStream(self._client, connection), _value, self._failed)
        return self._read(response, name)

    def _written(self, operation: Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bytes, bytes]:
        path, query, headers, members = operation.path, [], {}, {}
        body: Any = None
        for place, value in placed(operation, args, kwargs):
            if place.where == "path":
                path = path.replace(f"{{{place.name}}}", quote(_text(value, place), safe=""))
            elif place.where == "query":
                query += [(place.name, each) for each in _texts(value, place)]
            elif place.where == "header":
                headers[place.name] = _header(value, place)
            elif place.where == "member":
                members[place.name] = value
            elif place.where == "body":
                body = value
        target = self._base + path + (f"?{urlencode(query)}" if query else "")
        has_body = bool(operation.body_type) and (bool(members) or body is not None)
        head = self._client.head_of(operation.method, target, operation.body_type if has_body else "", **headers)
        return head, _body_text(operation, members if members else body) if has_body else b""

    def _read(self, response: Response, name: str) -> Any:
        if response.status >= 300:
            raise error_from(response.status, response.body, self._errors, url=self._client.url, operation=name)
        if not response.body:
            return None
        if _JSON.fullmatch(response.content_type):
            return _value(response.body)
        is_text = response.content_type.startswith("text/")
        return response.body.decode("utf-8", "replace") if is_text else response.body

    def _failed(self, data: bytes) -> TincansError:
        return error_from(500, data, self._errors, url=self._client.url, operation="stream")

    def notify(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, timeout: float | None) -> None:
        """HTTP answers every request; this one's answer is not looked at."""
        result = self.call(name, args, kwargs, timeout=timeout)
        if isinstance(result, RemoteStream):
            result.close()

    def describe(self, *, timeout: float | None) -> dict[str, Any]:
        """See contracts.protocol.Caller."""
        functions = {each.name: _function(each) for each in self._operations.values()}
        return Interface(tuple(functions.values())).describe()

    def ask(self, name: str, *args: Any, timeout: float | None = None) -> NoReturn:
        """There is no hub in a foreign server."""
        raise UnsupportedError(f"{self._client.url}: {NO_HUB}.", operation=name)

    tell = open = ask

    def close(self) -> None:
        """See contracts.protocol.Caller."""
        self._client.close()


def _function(operation: Operation) -> Function:
    parameters = tuple(
        Parameter(re.sub(r"\W", "_", place.name), schema=place.schema, required=place.required)
        for place in operation.places
    )
    shown = ", ".join(each.name if each.required else f"{each.name}=..." for each in parameters)
    return Function(
        operation.name,
        f"{operation.name}({shown})",
        operation.summary,
        parameters,
        result_schema=operation.result_schema,
        safe=operation.method == "GET",
        idempotent=operation.method in ("GET", "PUT", "DELETE", "HEAD"),
    )


def _value(data: bytes) -> Any:
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"The answer is no JSON: {error}.") from None


def _text(value: Any, place: Place) -> str:
    if isinstance(value, str) and not place.as_json:
        return value
    return plain(value).decode()


def _texts(value: Any, place: Place) -> list[str]:
    if isinstance(value, list | tuple) and not place.as_json:
        return [_text(each, place) for each in value]
    return [_text(value, place)]


def _header(value: Any, place: Place) -> str:
    text = _text(value, place)
    if not text.isprintable() or not text.isascii():
        raise ArgumentError(f"The parameter {place.name} goes into a header, which cannot hold {text!r}.")
    return text


def _body_text(operation: Operation, value: Any) -> bytes:
    kind = operation.body_type.partition(";")[0]
    if _JSON.fullmatch(kind):
        return plain(value)
    if kind == "application/x-www-form-urlencoded" and isinstance(value, dict):
        return urlencode(value, doseq=True).encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    raise UnsupportedError(f"{operation.name} wants its body as {kind}: give a text or bytes.")
