"""The mutual proof of an authkey that Python's `multiprocessing.connection` asks for, in all its forms.

Rules of this file
- No I/O and no randomness of its own: messages in, messages out; the caller gives the nonce.
- Who listens challenges first; then the other way round. Who failed is told so once, and nothing more.
- A challenge of ours is always of the new form (`{sha256}` and 40 bytes of chance, Python 3.12 and later). A Python
  before that answers it with HMAC-MD5, which is taken unless `strict`; it asks us with 20 bytes, and gets the same.
- Answers are compared in constant time. They are not bound to a direction (that is the protocol's, not ours), so a
  server that does not know the key could pass a challenge on to one that does: use it on loopback or inside TLS.
"""

from __future__ import annotations

import hmac
from typing import Final

from tincans.errors import DeniedError, ProtocolError

LIMIT: Final = 256
"""Bytes of a message of the handshake, as in multiprocessing/connection.py."""
NONCE_BYTES: Final = 40
_CHALLENGE: Final = b"#CHALLENGE#"
_WELCOME: Final = b"#WELCOME#"
_FAILURE: Final = b"#FAILURE#"
_OLD_LENGTHS: Final = (20, 16)
"""Bytes of a challenge and of an answer before Python 3.12, which knew only MD5."""
_DIGESTS: Final = frozenset({"md5", "sha256", "sha384", "sha3_256", "sha3_384"})


class Handshake:
    """One side of one handshake. `done` when both have proven the key.

    >>> listening = Handshake(b"secret", b"1" * NONCE_BYTES, listens=True)
    >>> connecting = Handshake(b"secret", b"2" * NONCE_BYTES, listens=False)
    >>> waiting = listening.start()
    >>> for side in [connecting, listening, connecting, listening, connecting, listening]:
    ...     waiting = [answer for message in waiting for answer in side.receive(message)]
    >>> listening.done, connecting.done
    (True, True)
    """

    def __init__(self, authkey: bytes, nonce: bytes, *, listens: bool, strict: bool = False) -> None:
        self.done = False
        self.failure: DeniedError | None = None
        """Set when the other end does not have the key; what `receive` returned then is still to be sent."""
        self._key = authkey
        self._challenge = b"{sha256}" + nonce
        self._strict = strict
        self._listens = listens
        self._state = "asked" if listens else "asking"

    def start(self) -> list[bytes]:
        """What to send before anything is received."""
        return [_CHALLENGE + self._challenge] if self._listens else []

    def receive(self, message: bytes) -> list[bytes]:
        """What to send now. ProtocolError for what is no handshake, DeniedError when our key was refused."""
        match self._state:
            case "asking":  # the other end asks us
                self._state = "answered"
                return [self._answer(message)]
            case "answered":
                return self._heard_verdict(message)
            case "asked":  # we have asked
                return self._judge(message)
        raise ProtocolError("The handshake is over.")

    def _answer(self, message: bytes) -> bytes:
        if not message.startswith(_CHALLENGE):
            raise ProtocolError(
                "The other end did not ask for the authkey: it has none, or is no multiprocessing.connection."
            )
        challenge = message[len(_CHALLENGE) :]
        if len(challenge) < _OLD_LENGTHS[0]:
            raise ProtocolError(f"The other end's challenge has only {len(challenge)} bytes.")
        name = self._digest_of(challenge)
        proof = self._proof(challenge, name or "md5")
        return b"{%s}%s" % (name.encode(), proof) if name else proof

    def _heard_verdict(self, message: bytes) -> list[bytes]:
        if message != _WELCOME:
            raise DeniedError("The other end has another authkey. Give both programs the same one.")
        if self._listens:
            self.done = True
            return []
        self._state = "asked"
        return [_CHALLENGE + self._challenge]

    def _judge(self, message: bytes) -> list[bytes]:
        if not self._is_proof(message):
            self._state = "over"
            self.failure = DeniedError("The other end does not have our authkey.")
            return [_FAILURE]
        if self._listens:
            self._state = "asking"
        else:
            self.done = True
        return [_WELCOME]

    def _is_proof(self, message: bytes) -> bool:
        try:
            name = self._digest_of(message)
        except (ProtocolError, DeniedError):
            return False
        proof = message[len(name) + 2 :] if name else message
        if (name or "md5") == "md5" and self._strict:
            return False
        return hmac.compare_digest(self._proof(self._challenge, name or "md5"), proof)

    def _digest_of(self, message: bytes) -> str:
        """The digest that a challenge or an answer names; "" for the old form, which is MD5."""
        if len(message) in _OLD_LENGTHS:
            if self._strict:
                raise DeniedError(
                    "The other end wants HMAC-MD5, and digest=sha256 forbids that. Use Python 3.12 there."
                )
            return ""
        end = message.find(b"}", 1, 20)
        name = message[1:end].decode("ascii", "replace") if message[:1] == b"{" and end > 0 else ""
        if name not in _DIGESTS:
            raise ProtocolError("The other end names no digest that multiprocessing.connection knows.")
        if name == "md5" and self._strict:
            raise DeniedError("The other end wants HMAC-MD5, and digest=sha256 forbids that.")
        return name

    def _proof(self, challenge: bytes, name: str) -> bytes:
        return hmac.new(self._key, challenge, name).digest()
