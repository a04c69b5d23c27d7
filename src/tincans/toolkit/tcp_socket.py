"""TCP sockets as methods over a network use them: found, connected, listened on, with TLS when asked.

Rules of this file
- Loopback unless told otherwise; whoever listens beyond this machine must ask callers for a proof.
- What is shown and what is said in errors is the same for every method.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tincans.core.address import Address, Option
from tincans.errors import AddressError, DeniedError, NameInUseError, UnreachableError
from tincans.toolkit import socket_platform
from tincans.toolkit.socket_listener import BACKLOG

if TYPE_CHECKING:  # ssl takes a while to import, and most never need it
    from tincans.toolkit.tls_socket import Tls

DEFAULT_HOST = "127.0.0.1"
TLS_OPTIONS = {
    "tls": Option(bool, False, "encrypt, and show a certificate"),
    "cert": Option(str, "", "PEM file with this end's certificate (a server with tls=yes needs one)"),
    "cert_key": Option(str, "", "PEM file with its private key, when it is not in cert"),
    "ca": Option(str, "", "PEM file with those who may sign the other end's certificate; a server then asks for one"),
    "tls_verify": Option(bool, True, "whether a client checks the server's certificate and name"),
}
KEY_OPTIONS = {
    "key": Option(str, "", "a shared secret that both ends prove to have"),
    "key_file": Option(str, "", "a file with such secrets, a line each: name secret"),
    "key_name": Option(str, "", "which key it is, for people and logs"),
}
_GONE_AFTER = 20
"""Seconds, as gRPC's keepalive (20 s); shorter cuts people off who change networks."""


def listen(address: Address, settings: Mapping[str, Any]) -> tuple[socket.socket, bool]:
    """A listening socket, and whether it can be reached from this machine only. NameInUseError, DeniedError."""
    url = str(address)
    if address.port is None:
        raise AddressError(
            f"To listen takes a port, such as {address.method}://127.0.0.1:9000; 0 is any free one.", url=url
        )
    family, place = _resolve(address)[0]
    local = ipaddress.ip_address(place[0].partition("%")[0]).is_loopback
    if not local:
        _demand_key(settings, url)
    return _listen(family, place, url), local


def _resolve(address: Address) -> list[tuple[int, Any]]:
    """The addresses behind the host, as (family, socket address)."""
    try:
        found = socket.getaddrinfo(address.host or DEFAULT_HOST, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(
            f"The host {address.host!r} cannot be found ({error}). Check its name.", url=str(address)
        ) from error
    return [(family, place) for family, _type, _protocol, _name, place in found]


def connect(address: Address, deadline: float) -> socket.socket:
    """A connected socket: the first of the host's addresses that answers in time."""
    problem: OSError | None = None
    for family, place in _resolve(address):
        stream = socket.socket(family, socket.SOCK_STREAM)
        try:
            stream.settimeout(max(0.001, deadline - monotonic()))
            stream.connect(place)
            if stream.getsockname() != stream.getpeername():
                return stream
            # Nobody listens, and the kernel gave us that very port as our own: we have reached ourselves.
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
        except OSError as error:
            stream.close()
            problem = error
    why = "no answer in time" if isinstance(problem, TimeoutError) else getattr(problem, "strerror", None)
    raise UnreachableError(
        f"No program answers at {address.host or DEFAULT_HOST}:{address.port} ({why})."
        " Start the server, or check host, port and firewall.",
        url=str(address),
    ) from problem


def _listen(family: int, place: Any, url: str) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not to wait for old connections' last packets
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(error, place, url) from error
    return listening


def _cannot_listen(error: OSError, place: Any, url: str) -> Exception:
    where = show(place)
    if error.errno == errno.EADDRINUSE:
        return NameInUseError(f"Another program listens on {where}. Choose another port, or 0 for a free one.", url=url)
    if error.errno in (errno.EACCES, errno.EPERM):
        return DeniedError(f"This user may not listen on {where}. Choose a port above 1023.", url=url)
    return AddressError(f"Cannot listen on {where}: {error.strerror}. Use an address of this machine.", url=url)


def _demand_key(settings: Mapping[str, Any], url: str) -> None:
    """Whoever reaches the port can call everything; so beyond this machine a caller must prove something."""
    if settings["key"] or settings["key_file"] or (settings["tls"] and settings["ca"]):
        return
    raise AddressError(
        "Listening beyond this machine needs a key, or everybody on the network could call. Add ?key_file=FILE"
        " (both ends), or tls=yes with ca=FILE for client certificates, or listen on 127.0.0.1.",
        url=url,
    )


def tune(stream: socket.socket) -> None:
    """No waiting to fill packets; a machine that has gone is noticed."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    socket_platform.keep_alive(stream, _GONE_AFTER)


def tls_of(settings: Mapping[str, Any], url: str, *, serving: bool) -> Tls | None:
    """What the options say of TLS; None without it."""
    if not settings["tls"]:
        for name in ("cert", "cert_key", "ca"):
            if settings[name]:
                raise AddressError(f"The option {name} does nothing without tls=yes. Add that.", url=url)
        return None
    from tincans.toolkit.tls_socket import Tls

    return Tls.of(settings, url, serving=serving)


def show(place: Any) -> str:
    """A socket address for people."""
    host, port = place[0], place[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def public(address: Address, listening: socket.socket, path: str = "") -> str:
    """The URL to connect to: the real port, a host that others can use, and only the options they need as well."""
    port = listening.getsockname()[1]
    host = address.host or DEFAULT_HOST
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    options = {name: text for name, text in address.options.items() if name in ("tls", "key", "key_name", "key_file")}
    return str(replace(address, host=host, port=port, path=path, options=options))
