"""The greeting: which version, which limits, and the mutual proof of a shared key.

Rules of this file
- No I/O and no randomness of its own: messages in, messages out; the caller gives the nonce.
- With a key, both sides prove that they have it, over both nonces and bound to the direction, so that a proof
  can be neither replayed nor reflected. HMAC-SHA256, compared in constant time.
- The connecting side proves first in time but last in order: Hello, Hello + proof, Proof. A server without a
  valid proof never learns one.
- Until the greeting is done a message may have `GREETING_LIMIT` bytes, and all of it has one deadline.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from tincans.core.messages import PROTOCOL_VERSION, Hello, Message, Proof
from tincans.errors import DeniedError, ProtocolError, VersionError

GREETING_LIMIT = 64 * 1024
GREETING_TIMEOUT = 5.0
NONCE_BYTES = 32


class Me(Struct, frozen=True):
    """What this side says of itself. `keys` (name to secret) is what it accepts or, connecting, the one it uses."""

    pid: int
    name: str = ""
    software: str = ""
    max_message: int = 0
    keys: Mapping[str, bytes] = field(default_factory=dict)
    idempotent: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Me(pid={self.pid}, name={self.name!r}, {len(self.keys)} keys)"


def _proof(secret: bytes, direction: bytes, own: bytes, other: bytes) -> bytes:
    import hmac  # with hashlib and OpenSSL behind it, a tenth of the import of everything; only keys need it

    text = b"tincans-1\0" + direction + b"\0" + own + other
    return hmac.digest(secret, text, "sha256")


def _same(good: bytes, given: bytes) -> bool:
    """In constant time."""
    import hmac

    return hmac.compare_digest(good, given)


def _check_version(hello: Hello, where: str) -> None:
    if hello.version != PROTOCOL_VERSION:
        raise VersionError(
            f"The program at {where} speaks version {hello.version} of the protocol (tincans {hello.software}), "
            f"this one version {PROTOCOL_VERSION}: install the same tincans release on both sides.",
            url=where,
        )


class Connecting:
    """The connecting side. `start()` is sent first; `receive` gives what to send next, None when done."""

    def __init__(self, me: Me, nonce: bytes, where: str) -> None:
        self.me = me
        self.where = where
        self.other: Hello | None = None
        self._nonce = nonce
        self._key_name, self._secret = next(iter(me.keys.items()), ("", b""))

    def start(self) -> Hello:
        me = self.me
        return Hello(PROTOCOL_VERSION, me.software, me.pid, me.name, me.max_message, self._nonce, b"", self._key_name)

    def receive(self, message: Message) -> Proof | None:
        """DeniedError when the other side cannot prove the key; VersionError; ProtocolError."""
        if not isinstance(message, Hello):
            raise ProtocolError(f"The program at {self.where} answered the greeting with something else.")
        _check_version(message, self.where)
        self.other = message
        if not self._secret:
            if message.key_name == REQUIRED:
                raise DeniedError(f"{self.where} asks for a key: add ?key=... or ?key_file=... to the URL.")
            return None
        good = _proof(self._secret, b"accepting", message.nonce, self._nonce)
        if len(message.nonce) != NONCE_BYTES or not _same(good, message.proof):
            raise DeniedError(f"The program at {self.where} does not have our key: both sides need the same one.")
        return Proof(_proof(self._secret, b"connecting", self._nonce, message.nonce))


REQUIRED = "?"
"""As a Hello's key name from the accepting side: a key is required here."""


class Accepting:
    """The accepting side. `receive` gives what to send next; `done` when the other side is in."""

    def __init__(self, me: Me, nonce: bytes, where: str) -> None:
        self.me = me
        self.where = where
        self.done = False
        self.other: Hello | None = None
        self.key_name = ""
        self._nonce = nonce

    def receive(self, message: Message) -> Hello | None:
        """DeniedError for a wrong or missing key; VersionError; ProtocolError for anything else."""
        if self.other is None:
            return self._greet(message)
        if not isinstance(message, Proof):
            raise ProtocolError(f"{self.where} spoke before it had proved its key.")
        secret = self.me.keys.get(self.key_name)
        if secret is None:
            raise ProtocolError(f"{self.where} went on after it had been told that its version is another one.")
        good = _proof(secret, b"connecting", self.other.nonce, self._nonce)
        if not _same(good, message.proof):
            raise DeniedError(f"{self.where} has a wrong key.")
        self.done = True
        return None

    def _greet(self, message: Message) -> Hello | None:
        if not isinstance(message, Hello):
            raise ProtocolError(f"{self.where} did not begin with a greeting.")
        self.other = message
        me = self.me
        answer = Hello(PROTOCOL_VERSION, me.software, me.pid, me.name, me.max_message, idempotent=me.idempotent)
        if message.version != PROTOCOL_VERSION or not me.keys:
            self.done = message.version == PROTOCOL_VERSION
            return answer
        self.key_name = message.key_name
        secret = me.keys.get(message.key_name)
        if secret is None or len(message.nonce) != NONCE_BYTES:
            # The other side learns that a key is needed, and nothing else; its Proof, if any, cannot be right.
            self.me = replace(me, keys={message.key_name: self._nonce})
            return Hello(PROTOCOL_VERSION, me.software, nonce=self._nonce, key_name=REQUIRED)
        answer.nonce = self._nonce
        answer.proof = _proof(secret, b"accepting", self._nonce, message.nonce)
        answer.key_name = REQUIRED
        return answer
