"""One connection's JSON-RPC: whose id is whose, which batch an answer belongs to, and how messages are told apart.

Rules of this file
- No I/O: chunks go in by `hear`, texts for the wire come out of `messages`, what must be said at once stands in `owed`.
- The other side's ids may be any JSON value; inside they are numbers (those that a Tincans program would use stay as
  they are, others become one above _FIRST), and go back as they came.
- A batch is answered as one batch, when the last of its calls is.
- What `say` gives may fail to leave: what `saying` gave then makes it unsaid, and it is said again later.
- Nonsense in a text is answered with its error and harms no other call; nonsense around texts ends the connection.
- Lines or headers: by the option, else by the other side's first byte; who speaks first without knowing says lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tincans.contracts import Buffer, Deframer, Framing
from tincans.core.content_length import ContentLength
from tincans.core.framing import LINES
from tincans.core.json_rpc import INVALID_REQUEST, Bad, Call, error_text, heard, members_of, request_text, together
from tincans.core.sizes import too_large

CANCELLED: Final = -32800
"""RequestCancelled, as language servers say."""
CANCEL: Final = "$/cancelRequest"
ABOUT_CALLS: Final = frozenset({CANCEL, "$/item", "$/credit", "$/end", "$/publication"})
"""Notifications about a call that is open; its id stands in their params. Those of Tincans are its streams."""
OTHERS: Final = frozenset({"$/ping", "$/pong"})
_HEADERS: Final = ContentLength()
_FIRST: Final = 1 << 40


class _Look(Struct):
    """What tells a request from an answer."""

    id: Raw | UnsetType = UNSET
    method: Raw | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _About(Struct):
    id: Raw | UnsetType = UNSET


_look = msgspec.json.Decoder(_Look).decode
_about = msgspec.json.Decoder(_About).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_number = msgspec.json.Decoder(int).decode
_name = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class _Batch:
    """The answers of one batch, until all are there."""

    __slots__ = ("answers", "missing")

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.missing = 0


class _Open(Struct):
    """A call of the other side: its own id, its batch, and whether a stream follows its answer."""

    id: Raw
    batch: _Batch | None = None
    stream: bool = False


class Conversation:
    """One connection. `hear` and `say` are called by one thread at a time.

    >>> conversation = Conversation(connecting=False)
    >>> conversation.hear(b'{"jsonrpc":"2.0","method":"add","params":[2,5],"id":"a"}\\n')
    >>> conversation.messages.popleft()
    b'{"jsonrpc":"2.0","method":"add","params":[2,5],"id":1099511627777}'
    >>> conversation.say(b'{"jsonrpc":"2.0","result":7,"id":1099511627777}')
    b'{"jsonrpc":"2.0","result":7,"id":"a"}\\n'
    """

    def __init__(self, *, connecting: bool, framing: str = "auto", max_message: int = 2**30) -> None:
        self.messages: deque[bytes] = deque()
        self.owed: deque[bytes] = deque()
        self._framing: Framing | None = _HEADERS if framing == "content-length" else None
        if framing == "lines" or (self._framing is None and connecting):
            self._framing = LINES
        self._reader: Deframer | None = None
        self._max_message = max_message
        self._parity = 0 if connecting else 1  # theirs (core/session.py)
        self._next = _FIRST + self._parity
        self._open: dict[int, _Open] = {}
        self._numbers: dict[bytes, int] = {}
        self._unsay: Callable[[], None] = _nothing

    @property
    def max_message(self) -> int:
        """Bytes of the largest text."""
        return self._max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        self._max_message = size
        if self._reader is not None:
            self._reader.max_message = size

    @property
    def idle(self) -> bool:
        """Whether nothing has been taken in that is not handed out yet."""
        return not self.messages and (self._reader is None or bool(getattr(self._reader, "idle", True)))

    # -- hearing -----------------------------------------------------------------------------------------------

    def hear(self, chunk: Buffer) -> None:
        """Take in bytes as they came. ProtocolError when no message can begin so."""
        data = bytes(chunk)
        if self._reader is None:
            data = data.lstrip(b" \t\r\n")
            if not data:
                return
            if self._framing is None:
                self._framing = _HEADERS if data[:1] in b"Cc" else LINES
            self._reader = self._framing.decoder(self._max_message)
        self._reader.feed(data)
        while (message := self._reader.next()) is not None:
            text = bytes(message[0]).strip()
            if text:
                self._hear_text(text)

    def _hear_text(self, text: bytes) -> None:
        if text[:1] != b"[":
            self._hear_member(text, None)
            return
        members = members_of(text)
        if isinstance(members, Bad):
            self._owe(self._refusal(members))
            return
        batch = _Batch()
        batch.missing = 1  # until all are looked at
        for member in members:
            self._hear_member(bytes(member).strip(), batch)
        self._answered(batch, b"")

    def _hear_member(self, text: bytes, batch: _Batch | None) -> None:
        try:
            look = _look(text)
        except Exception:  # the answer says what is wrong with it
            look = _Look()
        if look.method is UNSET and (look.result is not UNSET or look.error is not UNSET):
            if _is_number(look.id):
                self.messages.append(text)
            return  # else an answer to nothing that we asked
        call: Call | Bad = Bad(INVALID_REQUEST, "Invalid Request: a request is an object")
        if not text.startswith(b"["):  # a batch has no batches in it
            (call,) = heard(text).calls
        if isinstance(call, Bad):
            if batch is None:
                self._owe(self._refusal(call))
            else:
                batch.answers.append(self._refusal(call))
        elif call.name.startswith("$/") and call.id is None:
            self._hear_about(call.name, bytes(call.params))
        elif call.id is None:
            self.messages.append(request_text(None, call.name, bytes(call.params)))
        else:
            self.messages.append(request_text(self._number_of(call.id, batch), call.name, bytes(call.params)))

    @staticmethod
    def _refusal(bad: Bad) -> bytes:
        return error_text(bad.id, bad.code, bad.message)

    def _number_of(self, id: Raw, batch: _Batch | None) -> int:
        number = _number(bytes(id)) if _is_number(id) else 0
        if not number or number & 1 != self._parity or number >= _FIRST or number in self._open:
            number = self._next
            self._next += 2
        self._open[number] = _Open(id, batch)
        self._numbers[bytes(id)] = number
        if batch is not None:
            batch.missing += 1
        return number

    def _hear_about(self, name: str, params: bytes) -> None:
        """A notification about an open call, with our number in place of their id. Others are passed over."""
        if name in OTHERS:
            self.messages.append(request_text(None, name, params))
            return
        if name not in ABOUT_CALLS:
            return
        try:
            fields = _fields(params)
        except Exception:
            return
        id = bytes(fields.get("id", b""))
        number = self._numbers.get(id)
        if number is not None:
            if name == CANCEL:
                self._cancelled(number)
            fields["id"] = Raw(b"%d" % number)
        elif not _is_number(id) or (name in (CANCEL, "$/credit") and _number(id) & 1 == self._parity):
            return  # about a call of theirs that is answered already
        self.messages.append(request_text(None, name, _encode(fields)))

    def _cancelled(self, number: int) -> None:
        """Every request is answered, one that was cancelled too."""
        call = self._open[number]
        self._forget(number)
        if not call.stream:
            self._deliver(call, error_text(call.id, CANCELLED, "The request was cancelled"))

    # -- saying ------------------------------------------------------------------------------------------------

    def say(self, text: bytes) -> bytes:
        """The bytes that leave for a text of the wire; none for what waits for its batch, or nobody waits for."""
        self._unsay = _nothing
        look = _look(text)
        if look.method is UNSET:
            return self._say_answer(look)
        if look.id is UNSET and _name(look.method) in ABOUT_CALLS and look.params is not UNSET:
            number = _id_in(bytes(look.params))
            if number is not None and number & 1 == self._parity:
                return self._say_about(_name(look.method), number, bytes(look.params))
        return self._framed(text)

    def saying(self) -> Callable[[], None]:
        """What makes unsaid what was said last, if nothing of it has left: an answer that is forgotten is lost."""
        return self._unsay

    def _say_answer(self, look: _Look) -> bytes:
        number = _number(bytes(look.id)) if look.id is not UNSET and _is_number(look.id) else 0
        call = self._open.get(number)
        if call is None:
            return b""  # it was cancelled
        body: Any = look.result if look.error is UNSET else look.error
        member = (b'"result":%b' if look.error is UNSET else b'"error":%b') % bytes(body)
        answer = b'{"jsonrpc":"2.0",%b,"id":%b}' % (member, bytes(call.id))
        framed = self._framed(answer) if call.batch is None else b""
        if len(framed) > self.max_message:
            raise too_large(len(framed), self.max_message)  # before the call is forgotten: it is answered with this
        batch, stream = call.batch, call.stream

        def unsay() -> None:
            call.batch, call.stream = batch, stream
            self._remember(number, call)
            if batch is not None:
                batch.missing += 1
                batch.answers.remove(answer)

        self._unsay = unsay
        if bytes(body) == STREAM:
            call.stream = True
        else:
            self._forget(number)
        if batch is None:
            return framed
        call.batch = None
        return self._added(batch, answer)

    def _say_about(self, name: str, number: int, params: bytes) -> bytes:
        call = self._open.get(number)
        if call is None:  # a stream that they have passed as an argument; or a call of theirs that they cancelled
            return b"" if number >= _FIRST else self._framed(request_text(None, name, params))
        if name == "$/end":
            self._unsay = partial(self._remember, number, call)
            self._forget(number)
        fields = _fields(params)
        fields["id"] = call.id
        return self._framed(request_text(None, name, _encode(fields)))

    def _forget(self, number: int) -> None:
        call = self._open.pop(number)
        if self._numbers.get(bytes(call.id)) == number:
            del self._numbers[bytes(call.id)]

    def _remember(self, number: int, call: _Open) -> None:
        self._open[number] = call
        self._numbers.setdefault(bytes(call.id), number)

    def _deliver(self, call: _Open, answer: bytes) -> None:
        if call.batch is None:
            self._owe(answer)
        else:
            self._answered(call.batch, answer)

    def _answered(self, batch: _Batch, answer: bytes) -> None:
        data = self._added(batch, answer)
        if data:
            self.owed.append(data)

    def _added(self, batch: _Batch, answer: bytes) -> bytes:
        """The whole batch when this was its last answer."""
        batch.missing -= 1
        if answer:
            batch.answers.append(answer)
        return b"" if batch.missing else self._framed(together(batch.answers, batch=True))

    def _owe(self, answer: bytes) -> None:
        self.owed.append(self._framed(answer))

    def _framed(self, text: bytes) -> bytes:
        if not text:
            return b""
        if self._framing is _HEADERS:
            return b"".join(bytes(part) for part in _HEADERS.encode([text]))
        if b"\n" in text:
            text = msgspec.json.format(text, indent=-1)
        return text + b"\n"


STREAM: Final = b'{"$stream":true}'
"""The result of a call that is answered by a stream: its elements follow as `$/item`, its end as `$/end`."""


def _nothing() -> None:
    """What changes nothing may be said again just so."""


def _is_number(id: Any) -> bool:
    return id is not UNSET and bytes(id).isdigit() and len(bytes(id)) < 19


def _id_in(params: bytes) -> int | None:
    id = _about(params).id
    return _number(bytes(id)) if id is not UNSET and _is_number(id) else None
