"""A connection through Redis: two boxes of letters (lists), and who is there as Redis itself knows it.

Rules of this file
- A letter is one whole message, pushed onto the other's box by one command. A reader has WINDOW requests for letters
  standing at Redis, which answers each as soon as there is a letter: receiving is one system call, and can be polled.
- Two lines: letters come on one, for Redis answers nothing else on a line that waits; they leave on the other.
- A connection listens to a channel of its own. When nobody listens to the other's any more, the other is gone;
  presence.py looks, for all connections of a program.
- Every box has a time to live, which whoever is there prolongs; so nothing stays when both are killed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Literal, cast

from tincans.contracts import Buffer, Framing, Parts
from tincans.errors import DisconnectedError, ProtocolError, TincansError, WaitTimeoutError
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.redis.line import Place, dial
from tincans.toolkit.redis.resp import Replies, command

LARGEST = 500 * 1024**2
"""Bytes: Redis takes at most 512 MiB in one piece (proto-max-bulk-len)."""

LIVES_MS = 300_000
"""Milliseconds that a box stays when neither end is there any more."""

WINDOW = 64
ROOM = 4 * 1024**2
"""Bytes that may be pushed before the sender makes sure that the box is empty again."""

LETTER = 4096
"""Bytes that a letter counts for, besides its own."""

_MOST_WAIT = 1.0
_WAIT_FOR_ROOM = 0.002
GOODBYE = b""
WELCOME = b"\x01"

_LEAVE = """
if ARGV[1] ~= '' and tonumber(redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2]) > 0 then
  redis.call('RPUSH', KEYS[1], '')
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else redis.call('DEL', KEYS[1]) end
redis.call('DEL', KEYS[2])
"""


class AsItIs(list[Buffer]):
    """A command of our own, in place of a message."""


class Letters:
    """The framing of the line that letters leave on: a message is a command that pushes it."""

    def __init__(self, box: str, inner: Framing) -> None:
        self.name = inner.name
        self._inner = inner
        self._lines = inner.name == "lines"
        self._head = command("RPUSH", box, "")[: -len(b"$0\r\n\r\n")]
        self._tail = b"\r\n" + command("PEXPIRE", box, LIVES_MS)
        if hasattr(inner, "frame"):
            self._inner_frame: Callable[[bytes], bytes] = inner.frame
            self.frame = self._frame

    def _frame(self, envelope: bytes) -> bytes:
        letter = self._inner_frame(envelope)
        return b"%b$%d\r\n%b%b" % (self._head, len(letter), letter, self._tail)

    def letter(self, letter: bytes) -> AsItIs:
        """A letter as it is."""
        return AsItIs([memoryview(b"%b$%d\r\n%b%b" % (self._head, len(letter), letter, self._tail))])

    def encode(self, parts: Parts) -> list[Buffer]:
        if isinstance(parts, AsItIs):
            return parts
        buffers = self._inner.encode(parts)
        if self._lines:
            buffers = [b"".join(buffers)[:-1]]
        size = sum(len(buffer) for buffer in buffers)
        return [b"%b$%d\r\n" % (self._head, size), *buffers, self._tail]

    def decoder(self, max_message: int) -> Receipts:
        return Receipts(max_message)


class Receipts(Replies):
    """What comes back on the line that letters leave on: numbers, counted and not handed out, but for one `wanted`."""

    def __init__(self, max_message: int) -> None:
        super().__init__(max_message)
        self.count = 0
        self.wanted = 0

    def next(self) -> list[Any] | None:
        while (reply := super().next()) is not None:
            self.count += 1
            if self.count == self.wanted:
                return reply
        return None


class Requests:
    """The framing of the line that letters come on: what is sent is sent as it is."""

    name = "frames"

    def frame(self, envelope: bytes) -> bytes:
        return envelope

    def encode(self, parts: Parts) -> list[Buffer]:
        return list(parts)

    def decoder(self, max_message: int) -> Arrivals:
        return Arrivals(max_message)


class Arrivals(Replies):
    """Answers to requests for a letter: [box, letter]."""

    prefix = b"\xff"

    def take(self, data: bytes) -> list[Any] | None:
        """Quicker for exactly one small letter out of the box that `prefix` names."""
        prefix = self.prefix
        if data.startswith(prefix) and self.idle:
            end = data.find(b"\r\n", len(prefix))
            if end > 0 and len(data) == end + 4 + int(data[len(prefix) : end]):
                return [b"", data[end + 2 : -2]]
        return super().take(data)


class RedisConnection:
    """contracts.Connection over two boxes: letters come from `mine` and go to `other`."""

    sends_apart = True
    """It cannot be polled for room to send: what is sent leaves on another line."""

    def __init__(self, place: Place, framing: Framing, mine: str, other: str, *, timeout: float) -> None:
        self.place, self.mine, self.other = place, mine, other
        self.on_close: Callable[[], object] = _nothing
        self.closed = False
        self._reader = framing.decoder(LARGEST)
        self._open: Callable[[bytes], list[Buffer] | None] = getattr(self._reader, "take", self._feed_and_next)
        self._lines = framing.name == "lines"
        self._over = False
        self._letters_out = self._questions = 0
        self._room = ROOM
        self._draining = threading.Lock()
        most: int = place.settings["max_message"]
        self._most = most
        self._letters, requests = Letters(other, framing), Requests()
        self._out = dial(place, self._letters, presence=mine, max_message=most, timeout=timeout)
        try:
            self._in = dial(place, requests, max_message=most, timeout=timeout)
        except BaseException:
            self._out.close()
            raise
        self._send, self._receive = self._out.send, self._in.receive
        self._receipts = cast(Receipts, self._out.reader)
        cast(Arrivals, self._in.reader).prefix = b"*2\r\n$%d\r\n%b\r\n$" % (len(mine), mine.encode())
        self._request = command("BLPOP", mine, 0)
        self.identity = self._out.identity
        self._requests = 0
        self._request_letters(WINDOW)

    def _request_letters(self, count: int) -> None:
        self._requests += count
        self._in.send([self._request * count], timeout=self.place.timeout)

    @property
    def max_message(self) -> int:
        """The largest message in bytes, both ways."""
        return self._most

    @max_message.setter
    def max_message(self, size: int) -> None:
        self._most = self._in.max_message = self._out.max_message = self._reader.max_message = size

    # -- sending -------------------------------------------------------------------------------------------

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection. Waits while more stands in the other's box than it can keep up with."""
        if self._room <= 0 or self._over:
            self._make_room(timeout)
        self._send(parts, timeout=timeout)
        self._letters_out += 1
        self._room -= LETTER + (len(parts[0]) if len(parts) == 1 else sum(memoryview(part).nbytes for part in parts))

    def send_many(self, messages: Sequence[Parts], *, timeout: float | None) -> None:
        """Several short messages in one go."""
        if self._room <= 0 or self._over:
            self._make_room(timeout)
        self._out.send_many(messages, timeout=timeout)
        self._letters_out += len(messages)
        self._room -= sum(LETTER + len(parts[0]) for parts in messages)

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        return self._out.flush(timeout=timeout)

    def put(self, letter: bytes, *, timeout: float | None) -> None:
        """Push a letter that is no message."""
        self._send(self._letters.letter(letter), timeout=timeout)
        self._letters_out += 1

    def _make_room(self, timeout: float | None) -> None:
        deadline = deadline_of(timeout)
        while True:
            if self._over:
                raise self._gone("not_sent")
            if not self._count_waiting(deadline):
                break
        self._room = ROOM

    def _count_waiting(self, deadline: float | None) -> int:
        """How many letters stand in the other's box. WaitTimeoutError when that is not known in time, or not none."""
        receipts = self._receipts
        with self._draining:
            if not receipts.wanted:
                self._out.send(AsItIs([memoryview(command("LLEN", self.other))]), timeout=0)
                self._questions += 1
                receipts.wanted = 2 * self._letters_out + self._questions
            left = _MOST_WAIT if deadline is None else max(0.0, deadline - monotonic())
            reply = self._reply(min(left, _MOST_WAIT))
        late = deadline is not None and monotonic() >= deadline
        if reply is not None:
            receipts.wanted = 0
            if reply[0] and not late:
                threading.Event().wait(_WAIT_FOR_ROOM)
        if late and (reply is None or reply[0]):
            raise WaitTimeoutError("The other end takes nothing out of its box. This was not sent; it may be busy.")
        return 1 if reply is None else int(reply[0])

    def drain(self) -> None:
        """Take in what Redis said about letters that were sent: DisconnectedError when it refused one."""
        if self._draining.acquire(False):
            try:
                if not self._receipts.wanted:
                    self._reply(0)
            finally:
                self._draining.release()

    def _reply(self, timeout: float) -> list[int] | None:
        try:
            return cast("list[int] | None", self._out.receive(timeout=timeout))
        except (DisconnectedError, ProtocolError):
            raise
        except TincansError as error:
            raise DisconnectedError(f"A message was lost: {error}", outcome="unknown", url=self.place.url) from error

    # -- receiving -----------------------------------------------------------------------------------------

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        reply = self._receive(timeout=timeout)
        if reply is None:
            return None
        self._requests -= 1
        if self._requests <= WINDOW // 2:
            self._request_letters(WINDOW // 2)
        letter = cast(bytes, reply[1])
        if letter == GOODBYE:
            self._over = True
            self._in.end_receiving()
            raise self._gone()
        message = self._open(letter + b"\n" if self._lines else letter)
        if message is None:
            raise ProtocolError("Half a message came through Redis.", url=self.place.url)
        return message

    def _feed_and_next(self, letter: bytes) -> list[Buffer] | None:
        self._reader.feed(letter)
        return self._reader.next()

    def take(self, *, timeout: float | None) -> bytes | None:
        """The next letter as it is, while a connection begins."""
        reply = self._receive(timeout=timeout)
        if reply is None:
            return None
        self._requests -= 1
        return cast(bytes, reply[1])

    def pending(self) -> bool:
        """See contracts.Connection."""
        return self._in.pending()

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return self._in.fileno()

    # -- the end -------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """The other is gone: what it sent before is handed out, then `receive` says so."""
        self._over = True
        self._in.end_receiving()

    def _gone(self, outcome: Literal["not_sent"] | None = None) -> DisconnectedError:
        return DisconnectedError(
            "The program at the other end has ended, or closed the connection.", outcome=outcome, url=self.place.url
        )

    def close(self) -> None:
        """See contracts.Connection."""
        if self.closed:
            return
        self.closed = True
        try:
            self.drain()  # a socket closed with something unread takes back what it sent last
            if not self._out.is_sending and self._out.flush(timeout=0):
                self._out.send(AsItIs(self._last_words()), timeout=0)
        except TincansError:
            pass  # the other looks whether we are there
        self._out.close()
        self._in.close()
        self.on_close()

    def _last_words(self) -> list[Buffer]:
        """Nobody listens here any more; a goodbye, if somebody still does there; and nothing is left of the boxes."""
        words = command("UNSUBSCRIBE", self.mine)
        words += command("EVAL", _LEAVE, 2, self.other, self.mine, b"" if self._over else b"1", LIVES_MS)
        return [memoryview(words)]

    def abandon(self) -> None:
        """See contracts.Connection."""
        self.closed = True
        self._out.abandon()
        self._in.abandon()


def _nothing() -> None:
    """Nobody minds."""
