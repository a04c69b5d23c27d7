"""Callers for JSON-RPC 2.0 and XML-RPC servers, ours and others.

Rules of this file
- Neither protocol has what Python has: names beside positions (JSON-RPC), names at all (XML-RPC). A server of ours
  describes its parameters, so that all arguments find their places; at another one it is an error that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

import msgspec

from tincans.core import json_rpc
from tincans.core.failures import error_of
from tincans.core.interface import Function, Interface, Parameter
from tincans.core.messages import Failure
from tincans.errors import (
    ArgumentError,
    NotExposedError,
    ProtocolError,
    RemoteError,
    UnsupportedError,
)
from tincans.protocols.http import CALLS_ONLY, xml_rpc
from tincans.protocols.http.client import HttpClient
from tincans.protocols.http.problems import error_from
from tincans.wires._plain_json import plain_arguments

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Describe = Callable[[str, str], tuple[Parameter, ...]]
"""`describe(name, why)`: a function's parameters; UnsupportedError with `why` at a server that does not tell."""

_NUMBER = 1
"""Every request's: there is one at a time on a connection."""
DESCRIBE_TIMEOUT = 10.0
_decode = msgspec.json.Decoder().decode


class Speech(Protocol):
    """One of the two protocols: pure."""

    content_type: str
    describe_name: str

    def written(self, name: str, args: Args, kwargs: Kwargs, describe: Describe, *, answered: bool) -> bytes:
        """The text of a call. `describe` gives a function's parameters, at a server of ours."""
        ...

    def result(self, body: bytes) -> Any:
        """The result; Failed when it is none."""
        ...


class Failed(Exception):
    """What the server says went wrong."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class JsonSpeech:
    """JSON-RPC 2.0."""

    content_type = "application/json"
    describe_name = "rpc.describe"

    def written(self, name: str, args: Args, kwargs: Kwargs, describe: Describe, *, answered: bool) -> bytes:
        if args and kwargs:
            parameters = describe(name, "JSON-RPC takes arguments by position or by name, not both.")
            kwargs, args = _all_named(name, args, kwargs, parameters), ()
        by_position, by_name = plain_arguments(name, args, kwargs)
        return json_rpc.request_text(_NUMBER if answered else None, name, by_name if kwargs else by_position)

    def result(self, body: bytes) -> Any:
        answer = json_rpc.answered(body)
        if answer.error is not None:
            raise Failed(answer.error)
        if bytes(answer.id) != b"%d" % _NUMBER:
            raise ProtocolError("The answer is one to another request.")
        return _decode(answer.result)


class XmlSpeech:
    """XML-RPC."""

    content_type = "text/xml"
    describe_name = "system.describe"

    def written(self, name: str, args: Args, kwargs: Kwargs, describe: Describe, *, answered: bool) -> bytes:
        if kwargs:
            args = _all_placed(name, args, kwargs, describe(name, "XML-RPC has no names for arguments."))
        return xml_rpc.call_text(name, args)

    def result(self, body: bytes) -> Any:
        try:
            return xml_rpc.parsed_response(body)
        except xml_rpc.Fault as fault:
            raise Failed(xml_rpc.failure_of_fault(fault.code, fault.text)) from None


class RpcCaller:
    """contracts.protocol.Caller for one of the two."""

    def __init__(
        self, client: HttpClient, path: str, speech: Speech, errors: Mapping[str, type[BaseException]]
    ) -> None:
        self._client = client
        self._speech = speech
        self._errors = errors
        self._head = client.head_of("POST", path, speech.content_type)
        self._interface: Interface | None = None

    def call(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> Any:
        """See contracts.protocol.Caller."""
        body = self._post(self._speech.written(name, args, kwargs, self._parameters, answered=True), timeout, name)
        try:
            return self._speech.result(body)
        except Failed as failed:
            failure = failed.failure
        except ProtocolError as error:
            raise ProtocolError(f"{self._client.url}: {error}", url=self._client.url, operation=name) from None
        raise error_of(failure, self._errors, url=self._client.url, operation=name)

    def notify(self, name: str, args: Args, kwargs: Kwargs, *, timeout: float | None) -> None:
        """See contracts.protocol.Caller. XML-RPC answers every call; nobody looks at it."""
        self._post(self._speech.written(name, args, kwargs, self._parameters, answered=False), timeout, name)

    def _post(self, text: bytes, timeout: float | None, operation: str) -> bytes:
        response, connection = self._client.send(self._head, text, timeout=timeout, operation=operation)
        if connection.is_stream(response):
            self._client.drop(connection)
            raise ProtocolError(f"{self._client.url} answered with events.", url=self._client.url)
        is_ours = bool(response.body) and response.content_type == self._speech.content_type
        if response.status == 401 or (
            response.status >= 300 and not is_ours
        ):  # some send their errors with a status of their own
            raise error_from(response.status, response.body, self._errors, url=self._client.url, operation=operation)
        return response.body

    def describe(self, *, timeout: float | None) -> dict[str, Any]:
        """See contracts.protocol.Caller. UnsupportedError at a server that is not ours."""
        try:
            described: dict[str, Any] = self.call(self._speech.describe_name, (), {}, timeout=timeout)
        except (RemoteError, NotExposedError, ArgumentError) as error:
            raise UnsupportedError(f"{self._client.url} does not describe its functions: {error}") from None
        return described

    def _parameters(self, name: str, why: str) -> tuple[Parameter, ...]:
        """Of one function of a server of ours."""
        if self._interface is None:
            try:
                self._interface = Interface.parse(self.describe(timeout=DESCRIBE_TIMEOUT))
            except (UnsupportedError, ProtocolError):
                raise UnsupportedError(f"{why} Give the arguments of {name} by position.", operation=name) from None
        function = self._interface.find(name) or Function(name, name)
        return function.parameters or ()

    def ask(self, name: str, *args: Any, timeout: float | None = None) -> NoReturn:
        """There is no hub behind these protocols."""
        raise UnsupportedError(f"{CALLS_ONLY.reason}. A method that can: {CALLS_ONLY.instead}.", operation=name)

    tell = open = ask

    def close(self) -> None:
        """See contracts.protocol.Caller."""
        self._client.close()


def _all_named(name: str, args: Args, kwargs: Kwargs, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """Positional arguments by the names of their places."""
    places = [each.name for each in parameters if each.kind == "positional"]
    named = dict(zip(places, args, strict=False))
    twice = named.keys() & kwargs.keys()
    if len(args) > len(places) or twice:
        what = f"{sorted(twice)[0]} is given twice" if twice else f"takes {len(places)} by position"
        raise ArgumentError(f"{name}: {what}.", operation=name)
    return named | dict(kwargs)


def _all_placed(name: str, args: Args, kwargs: Kwargs, parameters: tuple[Parameter, ...]) -> Args:
    """Named arguments in their places; what is left out between them has its default."""
    placed, left = list(args), dict(kwargs)
    for parameter in [each for each in parameters if each.kind == "positional"][len(args) :]:
        if parameter.name in left:
            placed.append(left.pop(parameter.name))
        elif "default" in parameter.schema or parameter.default == "None":
            placed.append(parameter.schema.get("default"))
        else:
            break
        if not left:
            break
    if left:
        wrong = ", ".join(sorted(left))
        raise ArgumentError(f"{name}: XML-RPC cannot say {wrong} by name.", operation=name)
    return tuple(placed)
