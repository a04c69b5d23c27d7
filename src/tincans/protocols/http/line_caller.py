"""The caller for a tincans server: lines of the json wire, so that every value comes back as it was.

Rules of this file
- A call, and a question to the hub, is one request each; a wait without end is asked for again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tincans.contracts.protocol import Elements
from tincans.core.failures import error_of
from tincans.core.messages import Failure, Item, Publication, Reply, Request
from tincans.errors import ProtocolError, TincansError, WaitTimeoutError
from tincans.protocols.http import LINES
from tincans.protocols.http.client import HttpClient
from tincans.protocols.http.connection import HttpConnection, Response
from tincans.protocols.http.problems import error_from, refuse_locks
from tincans.protocols.http.streams import EventStream, RemoteNews, RemoteStream
from tincans.wires.json import WIRE

GRACE = 5.0
"""Seconds for an answer to come back after a wait of the hub's has ended at its timeout."""
LONG_WAIT = 30.0
ASK_TIMEOUT = 30.0
_any = WIRE.reader(Any)


class LineCaller:
    """contracts.protocol.Caller for a server of ours."""

    def __init__(self, client: HttpClient, base: str, errors: Mapping[str, type[BaseException]]) -> None:
        self._client = client
        self._errors = errors
        self._head = client.head_of("POST", base + LINES, "application/json")

    def call(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, timeout: float | None) -> Any:
        """See contracts.protocol.Caller."""
        return self._answer(Request(1, name, args, dict(kwargs) or None, timeout), timeout, name)

    def _answer(self, request: Request[Any], timeout: float | None, operation: str) -> Any:
        response, connection = self._send(request, timeout, operation)
        if connection.is_stream(response):
            return RemoteStream(EventStream(self._client, connection), _item, self._failed)
        message = WIRE.decode([response.body])
        if type(message) is Reply:
            return _any(message.value, message)
        raise self._error(message, operation)

    def _send(self, request: Request[Any], timeout: float | None, operation: str) -> tuple[Response, HttpConnection]:
        body = bytes(WIRE.encode(request)[0])
        response, connection = self._client.send(self._head, body, timeout=timeout, operation=operation)
        if response.status >= 300:
            url = self._client.url
            raise error_from(response.status, response.body, self._errors, url=url, operation=operation)
        return response, connection

    def _error(self, message: Any, operation: str = "") -> TincansError:
        if isinstance(message, Failure):
            return error_of(message, self._errors, url=self._client.url, operation=operation)
        return ProtocolError(f"{self._client.url} answered with a {type(message).__name__}.", url=self._client.url)

    def _failed(self, data: bytes) -> TincansError:
        return self._error(WIRE.decode([data]))

    def notify(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, timeout: float | None) -> None:
        """See contracts.protocol.Caller."""
        request = Request(0, name, args, dict(kwargs) or None)
        response, _ = self._send(request, timeout, name)
        if response.body:
            raise self._error(WIRE.decode([response.body]), name)

    def describe(self, *, timeout: float | None) -> dict[str, Any]:
        """See contracts.protocol.Caller."""
        described: dict[str, Any] = self._answer(Request(1, "$describe", ()), timeout, "describe")
        return described

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        """See contracts.protocol.Caller."""
        refuse_locks(name)
        while True:
            wait = LONG_WAIT if timeout is None else timeout
            try:
                return self._answer(Request(1, name, args, None, wait), wait + GRACE, name)
            except WaitTimeoutError:
                if timeout is not None:
                    raise

    def tell(self, name: str, *args: Any) -> None:
        """See contracts.protocol.Caller."""
        refuse_locks(name)
        self._send(Request(0, name, args), ASK_TIMEOUT, name)

    def open(self, name: str, *args: Any, timeout: float | None) -> Elements:
        """See contracts.protocol.Caller."""
        wait = ASK_TIMEOUT if timeout is None else timeout + GRACE
        response, connection = self._send(Request(1, name, args, None, timeout), wait, name)
        if not connection.is_stream(response):
            raise self._error(WIRE.decode([response.body]), name)
        return RemoteNews(EventStream(self._client, connection), _publication, self._failed)

    def close(self) -> None:
        """See contracts.protocol.Caller."""
        self._client.close()


def _item(data: bytes) -> Any:
    message = WIRE.decode([data])
    if not isinstance(message, Item):
        raise ProtocolError("An element of the stream cannot be read.")
    return _any(message.value, message)


def _publication(data: bytes) -> Any:
    message = WIRE.decode([data])
    if not isinstance(message, Publication):
        raise ProtocolError("A note of the subscription cannot be read.")
    return message.topic, _any(message.value, message), message.dropped
