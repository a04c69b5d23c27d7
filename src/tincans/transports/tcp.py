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

import ipaddress
import socket
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tincans.contracts import Board, Connection, Framing, Identity, Listener, Transport, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError, TincansError, UnreachableError
from tincans.facts import Facts, Yes
from tincans.toolkit import tcp_socket
from tincans.toolkit.byte_stream import MAX_MESSAGE, ByteStream
from tincans.toolkit.socket_listener import SocketListener

if TYPE_CHECKING:  # ssl takes a while to import, and most never need it
    from tincans.toolkit.tls_socket import Tls

FACTS = Facts(
    summary="TCP: over a network, or loopback; with a key and TLS when asked",
    share=Yes("native", "beside the message, without a copy in this library"),
    reach="network",
    untested=("macos",),
)

OPTIONS = {
    "max_message": Option(int, MAX_MESSAGE, "largest message in bytes"),
    "key": Option(str, "", "a shared secret that both ends prove to have"),
    "key_file": Option(str, "", "a file with that secret"),
    "key_name": Option(str, "", "which key it is, for people and logs"),
    "tls": Option(bool, False, "encrypt, and show a certificate"),
    "cert": Option(str, "", "PEM file with this end's certificate (a server with tls=yes needs one)"),
    "cert_key": Option(str, "", "PEM file with its private key, when it is not in cert"),
    "ca": Option(str, "", "PEM file with those who may sign the other end's certificate; a server then asks for one"),
    "tls_verify": Option(bool, True, "whether a client checks the server's certificate and name"),
}


class TcpTransport:
    """The method. Stateless; one instance serves all."""

    facts: Facts = FACTS
    options: Mapping[str, Option] = OPTIONS

    def connect(self, address: Address, *, timeout: float, framing: Framing) -> Connection:
        settings = address.settings(OPTIONS)
        deadline = monotonic() + timeout
        url = str(address)
        if not address.port:
            raise AddressError("To connect takes a port, such as tcp://127.0.0.1:9000.", url=url)
        tls = _tls(settings, url, serving=False)
        stream: Any = tcp_socket.connect(address, deadline)
        try:
            tcp_socket.tune(stream)
            name = tcp_socket.show(stream.getpeername())
            if tls is not None:
                stream = tls.wrap(stream, server_name=address.host or tcp_socket.DEFAULT_HOST)
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
        if address.port is None:
            raise AddressError("To listen takes a port, such as tcp://127.0.0.1:9000; 0 is any free one.", url=url)
        tls = _tls(settings, url, serving=True)
        family, place = tcp_socket.resolve(address)[0]
        if not ipaddress.ip_address(place[0].partition("%")[0]).is_loopback:
            _demand_key(settings, url)
        listening = tcp_socket.listen(family, place, url)
        url = _public(address, listening)

        def admit(stream: socket.socket) -> Connection:
            tcp_socket.tune(stream)
            name = tcp_socket.show(stream.getpeername())
            return _byte_stream(stream if tls is None else tls.wrap(stream), name, settings, framing, url)

        return SocketListener(listening, url, admit)

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        return None


def _byte_stream(stream: Any, name: str, settings: Mapping[str, Any], framing: Framing, url: str) -> ByteStream:
    return ByteStream(stream, framing, identity=Identity(address=name), url=url, max_message=settings["max_message"])


def _demand_key(settings: Mapping[str, Any], url: str) -> None:
    """Whoever reaches the port can call everything; so beyond this machine a caller must prove something."""
    if settings["key"] or settings["key_file"] or (settings["tls"] and settings["ca"]):
        return
    raise AddressError(
        "Listening beyond this machine needs a key, or everybody on the network could call. Add ?key_file=FILE"
        " (both ends), or tls=yes with ca=FILE for client certificates, or listen on 127.0.0.1.",
        url=url,
    )


def _tls(settings: Mapping[str, Any], url: str, *, serving: bool) -> Tls | None:
    if not settings["tls"]:
        for name in ("cert", "cert_key", "ca"):
            if settings[name]:
                raise AddressError(f"The option {name} does nothing without tls=yes. Add that.", url=url)
        return None
    from tincans.toolkit.tls_socket import Tls

    return Tls.of(settings, url, serving=serving)


def _public(address: Address, listening: socket.socket) -> str:
    """The URL to connect to: the real port, a host that others can use, and only the options they need as well."""
    port = listening.getsockname()[1]
    host = address.host or tcp_socket.DEFAULT_HOST
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    options = {name: text for name, text in address.options.items() if name in ("tls", "key", "key_name", "key_file")}
    return str(replace(address, host=host, port=port, path="", options=options))


TRANSPORT: Transport = TcpTransport()
