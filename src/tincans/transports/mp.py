"""mp: Python's own `multiprocessing.connection`, so that its Client or Listener can be the other end.

URL: `mp://HOST:PORT` (loopback without a host; port 0 listens on any free one), `mp:/path/of.sock` or `mp:NAME` (a Unix
socket at a path, or in the private runtime directory). The authkey may stand in the password: `mp://:secret@host:9`.
Options: `max_message` (bytes, default 1G); `authkey`, `authkey_file`; `digest` (any; sha256 refuses the HMAC-MD5 of
    Python 3.11 and before); `users` as for unix; `objects` and `unsafe_pickle` for objects (tincans.raw only).
Delivery: whole messages in order; a call is answered, fails, or its outcome is reported unknown.
Leaves behind: nothing over TCP; at a path, after kill -9, a socket file and a lock file that block nobody.
Limits: to listen beyond loopback, or for pickles over TCP, takes an authkey. Nothing is encrypted. The handshake is
    Python's own: it is bound to no direction, and Python 3.11 and before know only MD5.

Rules of this file
- Messages are those of `send_bytes` and `recv_bytes`. Objects (`send`, `recv`) are pickles, and whoever sends a pickle
  runs what he likes in the program that reads it: so nothing is unpickled without `unsafe_pickle=1`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec.structs import replace

from tincans.contracts import Board, Connection, Framing, Identity, Listener, Wire
from tincans.core.address import Address, Option
from tincans.core.mp_framing import LengthFraming
from tincans.core.mp_handshake import NONCE_BYTES, Handshake
from tincans.core.raw_framing import Framing as RawFraming
from tincans.errors import AddressError, TincansError, UnreachableError, UnsendableError, UnsupportedError
from tincans.facts import Facts, Yes
from tincans.toolkit import tcp_socket, unix_socket
from tincans.toolkit.byte_stream import MAX_MESSAGE, ByteStream
from tincans.toolkit.files.private_file import open_private
from tincans.toolkit.files.runtime_directory import path_of
from tincans.toolkit.mp_proof import PROOF_SECONDS, Proof
from tincans.toolkit.proving_listener import ProvingListener
from tincans.toolkit.socket_listener import Admit, SocketListener

FACTS = Facts(
    summary="Python's own multiprocessing.connection, also to its Client and Listener",
    share=Yes("native", "inside the message, copied once each way"),
    reach="network",
    leaves_behind="at a path, after kill -9, a socket file and a lock file, which block nobody",
)

OPTIONS: Mapping[str, Option] = {
    "max_message": Option(int, MAX_MESSAGE, "largest message in bytes"),
    "authkey": Option(str, "", "a shared secret that both ends prove to have"),
    "authkey_file": Option(str, "", "a file with that secret, and nothing else"),
    "digest": Option(str, "any", "which proofs are taken", choices=("any", "sha256")),
    "users": Option(str, "same", "who may be at the other end of a path", choices=("same", "any")),
    "unsafe_pickle": Option(bool, False, "send and receive objects: whoever is there can run code in this program"),
    "objects": Option(str, "", "yes: objects (needs unsafe_pickle), no: bytes", choices=("yes", "no")),
}

_WHY_NOT = (
    "multiprocessing.connection carries objects as pickles, and a pickle can run any code in the program that reads it."
    " If you trust whoever is at the other end as you trust this program, add ?unsafe_pickle=1; or send bytes"
)


class MpTransport:
    """The method `mp`. Stateless; one instance serves all."""

    facts = FACTS
    options = OPTIONS
    keeps_messages = True
    no_objects = f" {_WHY_NOT}."

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> Connection:
        """See contracts.Transport."""
        settings, url = address.settings(OPTIONS), str(address)
        deadline = monotonic() + timeout
        if _is_network(address):
            if not address.port:
                raise AddressError("To connect takes a port, such as mp://127.0.0.1:9000.", url=url)
            stream = tcp_socket.connect(address, deadline)
            identity = Identity(address=tcp_socket.show(stream.getpeername()))
        else:
            stream, identity = unix_socket.connect(_path(address), url=url, users=settings["users"], timeout=timeout)
        try:
            if address.port is not None:
                tcp_socket.tune(stream)
            _prove(stream, address, settings, deadline)
            return _byte_stream(stream, identity, settings, framing, url)
        except TincansError as error:
            stream.close()
            error.url = error.url or url
            raise
        except OSError as error:
            stream.close()
            raise UnreachableError(f"The connection broke while it was made: {error.strerror}.", url=url) from error

    def listen(self, address: Address, *, framing: Framing) -> Listener:
        """See contracts.Transport."""
        settings, url = address.settings(OPTIONS), str(address)
        key = _key(address, settings)

        def admit(stream: socket.socket) -> Any:
            if _is_network(address):
                tcp_socket.tune(stream)
            elif not unix_socket.admitted(unix_socket.identity_of(stream), settings["users"]):
                return None
            return proof_of(stream) if key else connection_of(stream)

        def proof_of(stream: socket.socket) -> Proof:
            strict = settings["digest"] != "any"
            return Proof(stream, Handshake(key, os.urandom(NONCE_BYTES), listens=True, strict=strict))

        def connection_of(stream: socket.socket) -> Connection:
            identity = _identity(stream, _is_network(address))
            return _byte_stream(stream, identity, settings, framing, listener.address)

        listener = _listener(address, settings, admit, has_key=bool(key), url=url)
        return ProvingListener(listener, lambda proof: connection_of(proof.stream)) if key else listener

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        """None: a connection keeps nothing."""
        return None

    def raw_framing(self, address: Address) -> RawFraming | None:
        """Pickles, where the user has said that she wants them; None for bytes."""
        settings = address.settings(OPTIONS)
        if settings["objects"] == "yes" and not settings["unsafe_pickle"]:
            raise UnsupportedError(f"{_WHY_NOT}, which needs no such word.", url=str(address))
        return Pickles() if settings["unsafe_pickle"] and settings["objects"] != "no" else None


class Pickles:
    """A framing of objects (core/raw_framing.py): one pickle in each message."""

    def encode(self, message: Any) -> bytes:
        import pickle

        try:
            return pickle.dumps(message)
        except Exception as error:
            raise UnsendableError(f"This {type(message).__name__} cannot be pickled: {error}") from error

    def decode(self, buffer: bytes) -> tuple[Any, int] | None:
        import pickle

        return pickle.loads(buffer), len(buffer)


TRANSPORT = MpTransport()


def _is_network(address: Address) -> bool:
    return bool(address.host) or address.port is not None


def _path(address: Address) -> Path:
    if address.path.startswith("/") and "\0" not in address.path:
        return Path(address.path)
    return path_of(address.path, ".mp")


def _key(address: Address, settings: Mapping[str, Any]) -> bytes:
    given = [address.password.encode(), settings["authkey"].encode()]
    if settings["authkey_file"]:
        with os.fdopen(open_private(Path(settings["authkey_file"]), create=False), "rb") as file:
            given.append(file.read(65536).strip())
    keys = [key for key in given if key]
    if len(keys) > 1:
        raise AddressError("Give the authkey once: as password, authkey or authkey_file.", url=str(address))
    return keys[0] if keys else b""


def _prove(stream: socket.socket, address: Address, settings: Mapping[str, Any], deadline: float) -> None:
    key = _key(address, settings)
    if key:
        strict = settings["digest"] != "any"
        handshake = Handshake(key, os.urandom(NONCE_BYTES), listens=False, strict=strict)
        Proof(stream, handshake, seconds=min(PROOF_SECONDS, deadline - monotonic())).wait(str(address))


def _listener(
    address: Address, settings: Mapping[str, Any], admit: Admit, *, has_key: bool, url: str
) -> SocketListener:
    if not _is_network(address):
        return unix_socket.listen(_path(address), url=_plain(address), users=settings["users"], admit=admit)
    if address.path not in ("", "/"):
        raise AddressError(f"An mp address with a port has no path: remove {address.path!r}.", url=url)
    listening, near = tcp_socket.listen(address, {"key": "an authkey, as is seen to below"})
    if not has_key and (settings["unsafe_pickle"] or not near):
        listening.close()
        who = "Every user of this machine" if near else "Everybody on the network"
        raise AddressError(f"{who} could connect here. Add ?authkey_file=FILE (both ends).", url=url)
    return SocketListener(listening, _plain(replace(address, port=listening.getsockname()[1])), admit)


def _plain(address: Address) -> str:
    """The URL to connect to, without what is this side's own business."""
    host = "" if not _is_network(address) else address.host or tcp_socket.DEFAULT_HOST
    options = {name: text for name, text in address.options.items() if name.startswith("authkey")}
    return str(replace(address, host=host, options=options))


def _identity(stream: socket.socket, network: bool) -> Identity:
    return Identity(address=tcp_socket.show(stream.getpeername())) if network else unix_socket.identity_of(stream)


def _byte_stream(
    stream: socket.socket, identity: Identity, settings: Mapping[str, Any], framing: Framing, url: str
) -> ByteStream:
    return ByteStream(stream, LengthFraming(framing), identity=identity, url=url, max_message=settings["max_message"])
