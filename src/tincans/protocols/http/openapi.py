"""OpenAPI 3.1 from the interface: each function a path, its parameters a body, and a query too when it is safe.

Rules of this file
- Pure: plain data in, plain data out. What it says of a request is exactly what rest.py takes.
- See https://spec.openapis.org/oas/v3.1.0.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from tincans.core.interface import Function, Interface, Parameter
from tincans.core.schema import Schema
from tincans.protocols.http.query import can_be_asked, form_of
from tincans.version import VERSION

PROBLEM = "Problem"
MARK = "x-tincans"
"""Tells our own clients that this server is one of ours."""

_OWN = "#/definitions/"
_THEIRS = "#/components/schemas/"


def openapi(interface: Interface, *, title: str, keyed: bool, base: str = "/") -> dict[str, Any]:
    """The document. `keyed`: callers must show a key. `base`: where it is mounted.

    >>> openapi(Interface((Function("add", "add()", summary="Add."),)), title="t", keyed=False)["paths"]["/add"].keys()
    dict_keys(['post'])
    """
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", MARK: VERSION},
        "servers": [{"url": base}],
        "paths": {f"/{function.name}": _path(function) for function in interface.functions},
        "components": {"schemas": {name: moved(schema) for name, schema in interface.definitions.items()}},
    }
    document["components"]["schemas"][PROBLEM] = _PROBLEM
    if keyed:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def moved(schema: Any) -> Any:
    """The schema with its references pointing to where OpenAPI keeps classes.

    >>> moved({"items": {"$ref": "#/definitions/Point"}})
    {'items': {'$ref': '#/components/schemas/Point'}}
    """
    if isinstance(schema, dict):
        if schema.get("contentEncoding") == "base64" and "pattern" not in schema:
            schema = schema | {"pattern": _BASE64}  # few readers look at the encoding
        return {key: _reference(value) if key == "$ref" else moved(value) for key, value in schema.items()}
    if isinstance(schema, list | tuple):
        return [moved(each) for each in schema]
    return schema


def _reference(value: Any) -> Any:
    return value.replace(_OWN, _THEIRS) if isinstance(value, str) else moved(value)


def _path(function: Function) -> dict[str, Any]:
    operations = {"post": _operation(function) | {"requestBody": _body(function)}}
    if can_be_asked(function):
        operations["get"] = _operation(function) | {"parameters": [_asked(each) for each in function.parameters or ()]}
        operations["get"]["operationId"] = f"get_{function.name}"
    return operations


def _operation(function: Function) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": function.name}
    if function.summary:
        operation["summary"] = function.summary
    if function.text and function.text != function.summary:
        operation["description"] = function.text
    schema = moved(function.result_schema)
    content = {"text/event-stream": {"schema": _events(schema)}} if function.streams else {_JSON: {"schema": schema}}
    answer = {"description": function.result_about or f"{function.result_type}", "content": content}
    operation["responses"] = {"200": answer, "default": _DEFAULT}
    return operation


def _events(schema: Schema) -> Schema:
    """One event of a stream: its data is an element as JSON, null at the end, or the problem that broke it."""
    content = {"anyOf": [schema, {"type": "null"}, {"$ref": f"{_THEIRS}{PROBLEM}"}]}
    data = {"type": "string", "contentMediaType": _JSON, "contentSchema": content}
    return {"type": "object", "properties": {"data": data, "event": {"type": "string"}}, "required": ["data"]}


def _asked(parameter: Parameter) -> dict[str, Any]:
    """One query parameter."""
    form, schema = form_of(parameter.schema)
    said: dict[str, Any] = {"name": parameter.name, "in": "query", "required": parameter.required}
    if parameter.about:
        said["description"] = parameter.about
    if form == "json":
        return said | {"content": {_JSON: {"schema": moved(schema)}}}
    return said | {"schema": moved(schema)}


def _body(function: Function) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": body_schema(function)}
    examples = dict(_examples(function))
    if examples:
        content["examples"] = examples
    return {"required": _is_needed(function), "content": {_JSON: content}}


def _is_needed(function: Function) -> bool:
    return any(each.required for each in function.parameters or ())


def body_schema(function: Function) -> Schema:
    """The arguments as an object by name, or as an array by position; only what the function really takes."""
    if function.parameters is None:
        return {"type": "array"}
    ways = [way for way in (_by_name(function.parameters), _by_position(function.parameters)) if way is not None]
    return ways[0] if len(ways) == 1 else {"anyOf": ways}


def _by_name(parameters: tuple[Parameter, ...]) -> Schema | None:
    """None when some must be given by position."""
    if any(each.kind == "positional_only" and each.required for each in parameters):
        return None
    named = [each for each in parameters if each.kind in ("positional", "keyword_only")]
    extra = next((moved(each.schema) for each in parameters if each.kind == "extra"), False)
    schema: Schema = {
        "type": "object",
        "properties": {each.name: _described(each) for each in named},
        "additionalProperties": extra,
    }
    required = [each.name for each in named if each.required]
    return schema | {"required": required} if required else schema


def _by_position(parameters: tuple[Parameter, ...]) -> Schema | None:
    """None when some must be given by name."""
    if any(each.kind == "keyword_only" and each.required for each in parameters):
        return None
    placed = [each for each in parameters if each.kind in ("positional_only", "positional")]
    rest = next((moved(each.schema) for each in parameters if each.kind == "rest"), False)
    schema: Schema = {"type": "array", "minItems": sum(each.required for each in placed), "items": rest}
    if rest is False:
        schema["maxItems"] = len(placed)
    if placed:
        schema["prefixItems"] = [_described(each) for each in placed]
    return schema


def _described(parameter: Parameter) -> Schema:
    schema = moved(parameter.schema)
    return {**schema, "description": parameter.about} if parameter.about else schema


def _examples(function: Function) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calls in the docstring's examples (`>>> add(2, 5)`) whose arguments are plain values."""
    parameters = {each.name for each in function.parameters or () if each.kind in ("positional", "keyword_only")}
    for number, line in enumerate(function.text.splitlines()):
        source = line.strip().removeprefix(">>> ")
        if source == line.strip():
            continue
        try:
            call = ast.parse(source, mode="eval").body
            if not isinstance(call, ast.Call) or ast.unparse(call.func) != function.name:
                continue
            args = [ast.literal_eval(each) for each in call.args]
            kwargs = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
        except (SyntaxError, ValueError):
            continue
        if not (args and kwargs) and parameters.issuperset(kwargs):
            yield f"example{number}", {"summary": source, "value": args or kwargs}


_JSON = "application/json"
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "A stable word for programs."},
        "error": {"type": "string", "description": "The class of the error."},
        "parameter": {"type": "string", "description": "The parameter whose value does not fit."},
    },
    "required": ["type", "title", "status", "detail", "code"],
}
_DEFAULT = {
    "description": "It failed.",
    "content": {"application/problem+json": {"schema": {"$ref": f"{_THEIRS}{PROBLEM}"}}},
}
