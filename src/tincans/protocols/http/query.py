"""The query of a GET as named arguments: `?name=bob&n=3&tag=a&tag=b`.

Rules of this file
- Pure. What is a text in the schema is a text; numbers and booleans are written as in JSON; a list of those is
  repeated; everything else is JSON.
- Only functions that change nothing, and whose parameters all have names, can be asked so.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from tincans.core.interface import Function
from tincans.core.schema import Schema
from tincans.protocols.http.problems import Problem

Form = Literal["text", "number", "texts", "numbers", "json"]
MOST_FIELDS = 1000
_NUMBERS = frozenset({"integer", "number", "boolean"})
_FORMS_OF_LISTS: dict[Form, Form] = {"text": "texts", "number": "numbers"}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def can_be_asked(function: Function) -> bool:
    """Whether a function can be called by GET."""
    kinds = {each.kind for each in function.parameters or ()}
    return function.safe and function.parameters is not None and kinds <= {"positional", "keyword_only"}


def form_of(schema: Schema) -> tuple[Form, Schema]:
    """How a value of this schema is written in a query, and what schema the written value has.

    >>> form_of({"type": "array", "items": {"type": "integer"}})[0], form_of({"anyOf": [{"type": "string"}]})[0]
    ('numbers', 'text')
    """
    schema = _without_null(schema)
    kind = schema.get("type")
    if kind == "array" and isinstance(schema.get("items"), dict):
        return _FORMS_OF_LISTS.get(_scalar_form(schema["items"]), "json"), schema
    return _scalar_form(schema), schema


def _scalar_form(schema: Schema) -> Form:
    choices = schema.get("enum")
    if schema.get("type") == "string" or (choices and all(isinstance(each, str) for each in choices)):
        return "text"
    return "number" if schema.get("type") in _NUMBERS else "json"


def _without_null(schema: Schema) -> Schema:
    """A parameter that may be null is left out instead."""
    choices = schema.get("anyOf")
    if not isinstance(choices, list | tuple):
        return schema
    others = [each for each in choices if each.get("type") != "null"]
    if len(others) != 1:
        return schema
    kept = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    return {**others[0], **kept}


def named_arguments(function: Function, query: bytes) -> bytes:
    """The arguments as a JSON object. Problem for a query that cannot be read.

    >>> from tincans.core.interface import Parameter
    >>> named_arguments(Function("f", "f(n)", parameters=(Parameter("n", schema={"type": "integer"}),)), b"n=3&m=x")
    b'{"n":3,"m":"x"}'
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as error:
        raise Problem(400, f"The query cannot be read: {error}. Write ?name=value&name=value.") from None
    forms = {each.name: form_of(each.schema)[0] for each in function.parameters or ()}
    named: dict[str, Any] = {}
    for name, text in pairs:
        form = forms.get(name, "text")
        value = text if form in ("text", "texts") else _number(text)
        if form in ("texts", "numbers"):
            named.setdefault(name, []).append(value)
        elif name in named:
            raise Problem(400, f"The parameter {name[:60]!r} stands twice in the query.")
        else:
            named[name] = value
    return _encode(named)


def _number(text: str) -> Any:
    """As in JSON; a text that is none stays one, and is refused with the parameter's name later."""
    try:
        return msgspec.Raw(_encode(_decode(text))) if text == text.strip() else text
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
