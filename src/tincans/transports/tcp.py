"""TCP: `tcp://HOST:PORT`, over loopback unless told otherwise.

URL: `tcp://127.0.0.1:9000`, `tcp://[::1]:9000`; without a host 127.0.0.1; port 0 listens on any free one.
Options: `max_message` bytes (default 1 GiB); `key`, `key_file`, `key_name` for the mutual proof of a shared key; `tls`
    yes or no (default), `cert`, `cert_key`, `ca` PEM files, `tls_verify` yes (default) or no (believe anyone).
Delivery: whole messages in order; a call is answered, fails, or its outcome is reported unknown.
Leaves behind: nothing.
Limits: to listen beyond loopback takes a key, or TLS with client certificates (`ca`). A name is resolved by the
    system, for as long as that takes. A peer whose machine or network dies is noticed after 20 s.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from time import monotonic
from typing import Any

from tincans.contracts import Board, Connection, Framing, Identity, Listener, Transport, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError, TincansError, UnreachableError
from tincans.facts import Facts, Yes
from tincans.toolkit.byte_stream import MAX_MESSAGE, ByteStream
from tincans.toolkit.socket_listener import SocketListener
from tincans.toolkit.tcp_socket import (
    DEFAULT_HOST,
    KEY_OPTIONS,
    TLS_OPTIONS,
    connect,
    listen,
    public,
    show,
    tls_of,
    tune,
)

FACTS = Facts(
    summary="TCP over a network or loopback, with a key and TLS when asked",
    share=Yes("native", "beside the message, without a copy in this library"),
    reach="network",
    untested=("macos",),
)

OPTIONS = {
    "max_message": Option(int, MAX_MESSAGE, "largest message in bytes"),
    **KEY_OPTIONS,
    **TLS_OPTIONS,
}


class TcpTransport:
    """The method. Stateless; one instance serves all."""

    facts: Facts = FACTS
    options: Mapping[str, Option] = OPTIONS

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> Connection:
        settings = address.settings(OPTIONS)
        deadline = monotonic() + timeout
        url = str(address)
        if not address.port:
            raise AddressError("To connect takes a port, such as tcp://127.0.0.1:9000.", url=url)
        tls = tls_of(settings, url, serving=False)
        _demand_no_path(address)
        stream: Any = connect(address, deadline)
        try:
            tune(stream)
            name = show(stream.getpeername())
            if tls is not None:
                stream = tls.wrap(stream, server_name=address.host or DEFAULT_HOST)
                stream.shake_hands(max(0.0, deadline - monotonic()))
            return _byte_stream(stream, name, settings, framing, url)
        except TincansError:
            stream.close()
            raise
        except OSError as error:
            stream.close()
            raise UnreachableError(f"The connection broke while it was made: {error.strerror}.", url=url) from error

    def listen(self, address: Address, *, framing: Framing) -> Listener:
        settings = address.settings(OPTIONS)
        url = str(address)
        _demand_no_path(address)
        tls = tls_of(settings, url, serving=True)
        listening, _ = listen(address, settings)
        url = public(address, listening)

        def admit(stream: socket.socket) -> Connection:
            tune(stream)
            name = show(stream.getpeername())
            return _byte_stream(stream if tls is None else tls.wrap(stream), name, settings, framing, url)

        return SocketListener(listening, url, admit)

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        return None


def _byte_stream(stream: Any, name: str, settings: Mapping[str, Any], framing: Framing, url: str) -> ByteStream:
    return ByteStream(stream, framing, identity=Identity(address=name), url=url, max_message=settings["max_message"])


def _demand_no_path(address: Address) -> None:
    if address.path not in ("", "/"):
        raise AddressError(f"A tcp address has no path: remove {address.path!r}.", url=str(address))


TRANSPORT: Transport = TcpTransport()
