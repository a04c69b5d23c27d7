"""A server of our own at one address: the socket, the application, the engine.

Rules of this file
- On this machine only the machine's own names are answered, unless a key is asked for: a page in a browser cannot reach
  the port by a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tincans.contracts.protocol import Service
from tincans.core.address import Address
from tincans.errors import AddressError
from tincans.protocols.http.application import Application
from tincans.protocols.http.engine import Engine
from tincans.protocols.http.visit import Settings
from tincans.toolkit.tcp_socket import listen, public, tls_of

_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class HttpServer:
    """contracts.protocol.Served."""

    def __init__(self, address: str, engine: Engine) -> None:
        self.address = address
        self._engine = engine

    def close(self) -> None:
        """See contracts.protocol.Served."""
        self._engine.close()


def serve(address: Address, settings: Mapping[str, Any], service: Service) -> HttpServer:
    """Listen and begin."""
    url = str(address)
    if address.path not in ("", "/") and not address.wire:
        raise AddressError(f"A server has the whole port: remove {address.path!r}. To mount it use asgi().", url=url)
    tls = tls_of(settings, url, serving=True)
    listening, local = listen(address, settings)
    try:
        listening.setblocking(False)
        told = Settings(
            max_message=settings["max_message"],
            call_timeout=settings["call_timeout"],
            client_timeout=settings["client_timeout"],
            cors=tuple(origin.strip() for origin in settings["cors"].split(",") if origin.strip()),
            hosts=_hosts(address) if local and not service.keys else None,
            keys=service.keys,
        )
        engine = Engine(
            listening,
            Application(service, told, direct=True),
            tls=None if tls is None else tls.context,
            client_timeout=settings["client_timeout"],
        )
        engine.begin()
    except BaseException:
        listening.close()
        raise
    return HttpServer(public(address, listening, address.path if address.wire else ""), engine)


def _hosts(address: Address) -> frozenset[str]:
    host = address.host.lower()
    return _OWN_NAMES | ({f"[{host}]" if ":" in host else host} if host else set())
