"""What a server offers, described once from annotations and docstrings, as plain data.

Rules of this file
- Everything that shows or translates functions reads this: `tincans describe`, stubs, OpenAPI, .proto, WSDL, help.
- Plain data only, no Python types, so that it travels and is the same when it has come back (`Interface.parse`).
- Fields are added at the end, with a default, so that an older description can still be parsed.
"""

from __future__ import annotations

import collections.abc as abc
import inspect
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

from tincans.core.docstring import Docs, docs_of
from tincans.core.hints import expected, returned, spoken
from tincans.core.schema import Schema, schemas
from tincans.core.signature import EMPTY, Kind, default_text, signature_of
from tincans.errors import ArgumentError, ProtocolError

if TYPE_CHECKING:  # it stands above this file
    from tincans.core.exposed import Exposed

ParameterKind = Literal["positional_only", "positional", "keyword_only", "rest", "extra"]
_KINDS: dict[Any, ParameterKind] = {
    Kind.POSITIONAL_ONLY: "positional_only",
    Kind.POSITIONAL_OR_KEYWORD: "positional",
    Kind.KEYWORD_ONLY: "keyword_only",
    Kind.VAR_POSITIONAL: "rest",
    Kind.VAR_KEYWORD: "extra",
}


class Parameter(Struct, frozen=True):
    """One parameter. `kind` "positional" may be given by name too; "rest" is `*args`, "extra" `**kwargs`.

    `type` is the annotation as Python writes it, `schema` the same as JSON Schema (with "default" where JSON can
    say it), `default` the default as Python writes it, None when there is none.
    """

    name: str
    kind: ParameterKind = "positional"
    type: str = "Any"
    schema: Schema = {}
    required: bool = True
    default: str | None = None
    about: str = ""


class Function(Struct, frozen=True):
    """One exposed function. With `streams`, `result_type` and `result_schema` are those of each element.

    `parameters` is None for a C function that does not tell: it takes what it takes, by position.
    """

    name: str
    signature: str
    summary: str = ""
    parameters: tuple[Parameter, ...] | None = ()
    result_type: str = "Any"
    result_schema: Schema = {}
    result_about: str = ""
    text: str = ""
    streams: bool = False
    is_async: bool = False
    idempotent: bool = False
    safe: bool = False


class Interface(Struct, frozen=True):
    """All exposed functions. `definitions` holds the classes that the schemas refer to as "#/definitions/NAME"."""

    functions: tuple[Function, ...] = ()
    definitions: dict[str, Schema] = {}

    def find(self, name: str) -> Function | None:
        """The function of this name."""
        return next((function for function in self.functions if function.name == name), None)

    def describe(self) -> dict[str, Any]:
        """The interface as dicts, lists and texts: what JSON can say.

        >>> Interface((Function("add", "add(a, b)", parameters=(Parameter("a"),)),)).describe()["functions"][0]["name"]
        'add'
        """
        described: dict[str, Any] = msgspec.to_builtins(self)
        # The lists of plain data are lists on this side of the wire too.
        described["functions"] = [_listed(function) for function in described["functions"]]
        return described

    @classmethod
    def parse(cls, description: Any) -> Interface:
        """The interface that was described. ProtocolError for anything else; unknown fields are ignored.

        >>> Interface.parse(Interface().describe()) == Interface()
        True
        """
        try:
            return msgspec.convert(description, cls)
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            raise ProtocolError(f"This is no description of an interface: {error}") from None


def _listed(function: dict[str, Any]) -> dict[str, Any]:
    parameters = function["parameters"]
    return function if parameters is None else {**function, "parameters": list(parameters)}


def describe(exposed: Iterable[Exposed]) -> Interface:
    """Describe functions together, so that a class which several of them use is defined once."""
    functions = list(exposed)
    wanted: list[Any] = []
    for each in functions:
        wanted += [parameter.annotation for parameter in _parameters_of(each)]
        wanted.append(each.result_type)
    made, definitions = schemas(wanted)
    remaining = iter(made)
    described = [_described(each, list(islice(remaining, len(_parameters_of(each)) + 1))) for each in functions]
    return Interface(tuple(described), definitions)


def _parameters_of(exposed: Exposed) -> list[inspect.Parameter]:
    return [] if exposed.signature is None else list(exposed.signature.parameters.values())


def _described(exposed: Exposed, made: list[Schema]) -> Function:
    docs = docs_of(exposed.function)
    parameters = tuple(
        _parameter(parameter, schema, docs) for parameter, schema in zip(_parameters_of(exposed), made, strict=False)
    )
    return Function(
        exposed.name,
        str(exposed),
        summary=docs.summary,
        parameters=None if exposed.signature is None else parameters,
        result_type=spoken(exposed.result_type),
        result_schema=made[-1],
        result_about=docs.result,
        text=docs.text,
        streams=exposed.streams,
        is_async=exposed.is_async,
        idempotent=exposed.idempotent,
        safe=exposed.safe,
    )


def _parameter(parameter: inspect.Parameter, schema: Schema, docs: Docs) -> Parameter:
    has_default = parameter.default is not EMPTY
    return Parameter(
        parameter.name,
        _KINDS[parameter.kind],
        "Any" if parameter.annotation is EMPTY else spoken(parameter.annotation),
        _with_default(schema, parameter.default) if has_default else schema,
        required=not has_default and parameter.kind not in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD),
        default=default_text(parameter.default) if has_default else None,
        about=docs.parameters.get(parameter.name, "") or schema.get("description", ""),
    )


def _with_default(schema: Schema, default: Any) -> Schema:
    """JSON's own values only: a default of another kind is told in Python's words, beside the schema."""
    if default is None or type(default) in (bool, int, float, str):
        return {**schema, "default": default}
    return schema


def contract(cls: type[Any]) -> Mapping[str, Any]:
    """The result type of each public method of a class or Protocol: what a caller may expect.

    An `async def` counts as what it brings, an Iterator as what it yields.

    >>> class Calculator:
    ...     def add(self, a: int, b: int) -> int: ...
    >>> contract(Calculator)
    {'add': <class 'int'>}
    """
    if not isinstance(cls, type):
        raise ArgumentError(f"A contract is a class or a Protocol with annotated methods, not {cls!r}")
    found = {name: _promised(getattr(cls, name)) for name in dir(cls) if _is_method(cls, name)}
    if not found:
        raise ArgumentError(f"The contract {cls.__name__} has no public methods; write one for each function to call")
    return found


def _is_method(cls: type[Any], name: str) -> bool:
    return not name.startswith("_") and inspect.isroutine(getattr(cls, name, None))


def _promised(method: Any) -> Any:
    signature = signature_of(method)
    annotation, streams = returned(EMPTY if signature is None else signature.return_annotation)
    items = get_args(annotation)
    if get_origin(annotation) is abc.Iterable and not streams and items:
        annotation = list[items[0]] | items[0]  # type: ignore[valid-type]  # a list, or each element of a stream
    return expected(annotation).type
