"""HTTP: `http://HOST:PORT`, one port for REST with OpenAPI, JSON-RPC, XML-RPC, events, and programs of ours.

URL: `http://127.0.0.1:8000`, `http://[::1]:8000`; without a host 127.0.0.1; port 0 listens on any free one. To connect,
    a path is where the server is mounted. `jsonrpc+http://HOST:PORT/PATH` (path `/jsonrpc` without one) and
    `xmlrpc+http://HOST:PORT/PATH` (`/RPC2`) call any server of those kinds; whatever is served, all are answered.
Options: `max_message` bytes of a body (default 16 MiB); `call_timeout` seconds for a call that names none (30);
    `client_timeout` seconds that a client may take to say or to hear something (20; a head 5 at most); `cors` origins
    whose pages may call, with commas, or `*` (default none); `openapi` where a foreign server's document is
    (`/openapi.json`); `key`,
    `key_file`, `key_name`: the key is shown as `Authorization: Bearer KEY`; `tls`, `cert`, `cert_key`, `ca`,
    `tls_verify` as for tcp.
Delivery: a call is answered, fails, or its outcome is reported unknown. Each call may take a connection of its own, so
    two calls of one program may overtake each other.
Leaves behind: nothing.
Limits: to listen beyond loopback takes a key, or TLS with client certificates. A bearer key is readable on the way
    without TLS. Functions cannot be called back, and there are no locks. A head has 64 KiB and 100 lines at most. At
    most 512 streams and waits at a time, 64 functions that run; more are refused (503). 4000 connections (3 of 4 that
    ulimit -n allows); of more, the one goes that has waited longest without a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tincans.contracts.protocol import Caller, PublicProtocol, Served, Service
from tincans.core.address import Address, Option
from tincans.facts import HUB, NATIVE, Facts, No, Yes
from tincans.toolkit.tcp_socket import KEY_OPTIONS, TLS_OPTIONS

_CALLS_ONLY = No("JSON-RPC and XML-RPC know calls only", "http")

FACTS = Facts(
    summary="HTTP: REST with OpenAPI, JSON-RPC, XML-RPC and server-sent events on one port, for programs and browsers",
    call=NATIVE,
    publish=HUB,
    queue=HUB,
    state=HUB,
    flag=HUB,
    lock=No("an HTTP request ends before its lock would", "tcp"),
    share=Yes("native", "copied, as base64 text inside JSON"),
    order="none between two calls",
    reach="network",
    library="uvicorn, httptools",
    extra="http",
    callbacks=False,
)


def _calls_only(summary: str) -> Facts:
    return Facts(
        summary=summary,
        publish=_CALLS_ONLY,
        queue=_CALLS_ONLY,
        state=_CALLS_ONLY,
        flag=_CALLS_ONLY,
        lock=_CALLS_ONLY,
        share=_CALLS_ONLY,
        order=FACTS.order,
        reach="network",
        library=FACTS.library,
        extra="http",
        two_way=False,
        callbacks=False,
    )


DIALECTS = {
    "jsonrpc": _calls_only("JSON-RPC 2.0 over HTTP, with servers and clients that are not ours too"),
    "xmlrpc": _calls_only("XML-RPC, with servers and clients that are not ours too"),
}

OPTIONS = {
    "max_message": Option(int, 16 * 1024 * 1024, "largest body in bytes"),
    "call_timeout": Option(float, 30.0, "seconds for a call that names none itself"),
    "client_timeout": Option(float, 20.0, "seconds that a client may take to say or to hear something"),
    "cors": Option(str, "", "origins whose pages may call, separated by commas; * for all"),
    "openapi": Option(str, "", "where a foreign server's OpenAPI document is, such as /v3/openapi.json"),
    **KEY_OPTIONS,
    **TLS_OPTIONS,
}


class HttpProtocol:
    """The protocol. Stateless; one instance serves all."""

    facts: Facts = FACTS
    options: Mapping[str, Option] = OPTIONS
    dialects: Mapping[str, Facts] = DIALECTS

    def serve(self, address: Address, service: Service) -> Served:
        from tincans.protocols.http.serving import serve

        return serve(address, address.settings(OPTIONS), service)

    def connect(
        self,
        address: Address,
        *,
        keys: Mapping[str, bytes],
        errors: Mapping[str, type[BaseException]],
        timeout: float,
    ) -> Caller:
        from tincans.protocols.http.connecting import connect

        return connect(address, address.settings(OPTIONS), keys, errors, timeout)

    def asgi(self, service: Service, **settings: Any) -> Any:
        """The application, for a server that is not ours; `settings` are those of visit.Settings."""
        from tincans.protocols.http.application import Application
        from tincans.protocols.http.visit import Settings

        return Application(service, Settings(**settings))


PROTOCOL: PublicProtocol = HttpProtocol()
