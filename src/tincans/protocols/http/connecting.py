"""Which caller fits a server: the dialect of the URL decides, then what the server says of itself.

Rules of this file
- Nothing is guessed: a server that has no OpenAPI document at the known place is an error that says where one was
  looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from tincans.contracts.protocol import Caller
from tincans.core.address import Address
from tincans.errors import AddressError, DisconnectedError, ProtocolError, UnreachableError
from tincans.protocols.http.client import HttpClient
from tincans.protocols.http.line_caller import LineCaller
from tincans.protocols.http.openapi import MARK
from tincans.protocols.http.openapi_caller import OpenApiCaller
from tincans.protocols.http.problems import error_from
from tincans.protocols.http.rpc_callers import JsonSpeech, RpcCaller, Speech, XmlSpeech

DOCUMENT = "/openapi.json"
_PATHS = {"jsonrpc": "/jsonrpc", "xmlrpc": "/RPC2"}


def connect(
    address: Address,
    settings: Mapping[str, Any],
    keys: Mapping[str, bytes],
    errors: Mapping[str, type[BaseException]],
    timeout: float,
) -> Caller:
    """A caller of the server that is there. UnreachableError when there is none."""
    if not address.port:
        raise AddressError(f"To connect takes a port, such as {address.method}://127.0.0.1:8000.", url=str(address))
    client = HttpClient(address, settings, next(iter(keys.values()), None))
    path = quote(address.path, safe="/%:@!$&'()*+,;=-._~")
    if address.wire:
        client.try_out(timeout=timeout)
        speech: Speech = JsonSpeech() if address.wire == "jsonrpc" else XmlSpeech()
        return RpcCaller(client, path or _PATHS[address.wire], speech, errors)
    base = path.rstrip("/")
    try:
        document = _document(client, base, settings["openapi"], timeout)
        if isinstance(document, dict) and MARK in (document.get("info") or {}) and not settings["openapi"]:
            return LineCaller(client, base, errors)
        return OpenApiCaller(client, "" if settings["openapi"] else base, document, errors)
    except BaseException:
        client.close()
        raise


def _document(client: HttpClient, base: str, told: str, timeout: float) -> Any:
    target = told or base + DOCUMENT
    if not target.startswith("/"):
        raise AddressError(f"The option openapi is a path on the server, such as {DOCUMENT}, not {told!r}.")
    head = client.head_of("GET", target)
    try:
        response, connection = client.send(head, b"", timeout=timeout, operation="connect")
    except DisconnectedError as error:
        raise UnreachableError(str(error), url=client.url) from error
    if connection.is_stream(response):
        client.drop(connection)
    if response.status == 401:
        raise error_from(401, response.body, {}, url=client.url, operation="connect")
    if response.status != 200:
        raise ProtocolError(
            f"{client.url} has no OpenAPI document at {target} (it answered {response.status}). Say where it is with"
            " ?openapi=PATH, or connect by jsonrpc+http:// or xmlrpc+http://.",
            url=client.url,
        )
    try:
        return msgspec.json.decode(response.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"What {client.url} has at {target} is no JSON: {error}", url=client.url) from None
