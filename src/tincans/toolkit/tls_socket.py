"""TLS on a socket, in the shape that `byte_stream.ByteStream` needs.

Rules of this file
- The handshake happens inside the first receive or send, so that accepting never waits for a silent stranger.
- OpenSSL's state is touched only under `_lock` and never blocks there; all waiting is done outside, by poll.
- A record that OpenSSL has begun must be offered again unchanged: MessageBegun says so.
- Strangers' nonsense is a ProtocolError, a certificate that does not hold a DeniedError, never an ssl error.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from tincans.errors import AddressError, DeniedError, ProtocolError, TincansError, UnreachableError
from tincans.toolkit.outgoing import MessageBegun

_RECORD = 16 * 1024  # the most plain bytes in one record (RFC 8446, 5.1)
_HANDSHAKE_POLL = 0.05  # seconds; another thread may finish the handshake that a sender waits for
_MOST_WAIT = 3600.0
_DONT_WAIT = socket.MSG_DONTWAIT

T = TypeVar("T")


@dataclass(frozen=True)
class Tls:
    """How one end does TLS; `of` makes it from the options of `tcp:`."""

    context: ssl.SSLContext
    url: str
    serving: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any], url: str, *, serving: bool) -> Tls:
        """From the options `cert`, `cert_key`, `ca` and `tls_verify`; AddressError says which of them is wrong."""
        if serving and not settings["cert"]:
            raise AddressError("A server with tls=yes shows a certificate: add cert=FILE (and cert_key=FILE).", url=url)
        try:
            if serving:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                if settings["ca"]:
                    context.load_verify_locations(settings["ca"])
                    context.verify_mode = ssl.CERT_REQUIRED
            else:
                context = ssl.create_default_context(cafile=settings["ca"] or None)
                if not settings["tls_verify"]:
                    context.check_hostname = False
                    context.verify_mode = ssl.CERT_NONE
            if settings["cert"]:
                context.load_cert_chain(settings["cert"], settings["cert_key"] or None, password=_no_password)
        except (OSError, ValueError) as error:
            raise AddressError(
                f"The files for TLS (cert, cert_key, ca) cannot be used: {error}. They must be readable PEM files that"
                " belong together, the private key without a password.",
                url=url,
            ) from error
        return cls(context, url, serving)

    def wrap(self, stream: socket.socket, *, server_name: str = "") -> TlsSocket:
        """`stream`, which belongs to the result from now on, with TLS to be agreed upon. OSError when it is broken."""
        stream.setblocking(False)
        secure = self.context.wrap_socket(
            stream,
            server_side=self.serving,
            server_hostname=server_name or None,
            do_handshake_on_connect=False,
        )
        # Early 3.11 would read on without TLS from a connection that was reset just now (CVE-2023-40217).
        if getattr(secure, "_sslobj", True) is None:
            secure.close()
            raise ConnectionResetError(errno.ECONNRESET, "reset before TLS began")
        return TlsSocket(secure, self.url)


def _no_password() -> str:
    raise ValueError("the private key needs a password")


class TlsSocket:
    """A socket whose bytes are encrypted. One thread may send while another receives."""

    def __init__(self, secure: ssl.SSLSocket, url: str) -> None:
        self._secure = secure
        self._url = url
        self._lock = threading.Lock()
        self._timeout: float | None = None
        self._sender_waits_for = select.POLLOUT

    def shake_hands(self, seconds: float) -> None:
        """Agree now, for a client that wants to know. UnreachableError when it takes longer."""
        self._timeout = seconds
        try:
            self._waiting(self._secure.do_handshake, monotonic() + seconds)
        except BlockingIOError as error:
            raise UnreachableError(
                "The server did not answer the TLS handshake in time. Check that it has tls=yes.", url=self._url
            ) from error

    def recv(self, count: int, flags: int = 0, /) -> bytes:
        return self._waiting(lambda: self._secure.recv(count), self._deadline(flags))

    def recv_into(self, buffer: Any, count: int = 0, flags: int = 0, /) -> int:
        return self._waiting(lambda: self._secure.recv_into(buffer, count or None), self._deadline(flags))

    def pending(self) -> int:
        """Bytes that are decrypted already and that no poll tells of."""
        with self._lock:
            return self._secure.pending()

    def send(self, data: Any, flags: int = 0, /) -> int:
        return self._write(memoryview(data)[:_RECORD])

    def sendmsg(self, buffers: Any, ancillary: Any = (), flags: int = 0, /) -> int:
        record: Any = memoryview(buffers[0])[:_RECORD]
        if len(record) < _RECORD and len(buffers) > 1:
            record = b"".join((record, *(part[:_RECORD] for part in buffers[1:17])))[:_RECORD]
        return self._write(record)

    def _write(self, record: Any) -> int:
        with self._lock:
            try:
                return self._secure.send(record)
            except ssl.SSLWantWriteError:
                self._sender_waits_for = select.POLLOUT
                raise MessageBegun(errno.EAGAIN, "a record is half written") from None
            except ssl.SSLWantReadError:
                self._sender_waits_for = select.POLLIN
                raise BlockingIOError(errno.EAGAIN, "the handshake goes on") from None
            except ssl.SSLError as error:
                raise self._failed(error) from error

    def poll_for(self) -> tuple[int, float]:
        """What a sender who could not go on polls for, and for how many seconds at most."""
        return self._sender_waits_for, (_MOST_WAIT if self._sender_waits_for == select.POLLOUT else _HANDSHAKE_POLL)

    def set_receive_timeout(self, seconds: float | None) -> None:
        """How long `recv` may wait; None: as long as it takes."""
        self._timeout = seconds

    def _deadline(self, flags: int) -> float:
        if flags & _DONT_WAIT:
            return 0.0
        return monotonic() + (_MOST_WAIT if self._timeout is None else self._timeout)

    def _waiting(self, step: Callable[[], T], deadline: float) -> T:
        """What `step` gives as soon as OpenSSL can do it; BlockingIOError when that is not before the deadline."""
        while True:
            with self._lock:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except ssl.SSLWantWriteError:
                    event = select.POLLOUT
                except ssl.SSLError as error:
                    raise self._failed(error) from error
            left = deadline - monotonic()
            if left <= 0:
                raise BlockingIOError(errno.EAGAIN, "nothing yet")
            poll = select.poll()
            poll.register(self._secure.fileno(), event)
            poll.poll(max(1.0, left * 1000))

    def _failed(self, error: ssl.SSLError) -> TincansError | OSError:
        reason = error.reason or str(error)
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return ConnectionResetError(errno.ECONNRESET, "the other end ended the connection")
        if isinstance(error, ssl.SSLCertVerificationError):
            return DeniedError(
                f"The other end's certificate does not hold: {error.verify_message}. Check ca=FILE, and the host"
                " name in the URL against the certificate.",
                url=self._url,
            )
        if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
            return DeniedError(
                f"The other end did not accept this end's certificate ({reason}). Check cert and cert_key.",
                url=self._url,
            )
        return ProtocolError(f"TLS failed ({reason}). Both ends need tls=yes, or neither.", url=self._url)

    def fileno(self) -> int:
        return self._secure.fileno()

    def shutdown(self, how: int, /) -> None:
        socket.socket.shutdown(self._secure, how)  # SSLSocket's own would go on in plain text

    def close(self) -> None:
        self._secure.close()
