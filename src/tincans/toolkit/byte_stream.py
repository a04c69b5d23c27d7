"""A `Connection` over a stream socket: Unix, TCP, TLS.

Rules of this file
- The common message costs one system call to send and one to receive: the kernel does the waiting of a receive
  (SO_RCVTIMEO, set only when it must change), and a send tries first and polls only when it has to.
- While it pays, a receive looks for a moment before it sleeps (in C, without the GIL); only who receives looks.
- `_sending` and `_receiving` say who is inside; `close` shuts the socket down, which wakes them, and the
  descriptor itself is closed by whoever leaves last, so its number is never reused under a waiter.
- A message is never sent half: what the time did not suffice for is kept and goes first next time.
- A blocked `recv` is asked for 16 KiB at most, and an idle connection holds no buffer at all.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from types import SimpleNamespace
from typing import Any, Literal

from tincans.contracts import Buffer, Framing, Identity, Parts
from tincans.core.deframing import PASSING_FROM, RECEIVE_AT_MOST, FrameReader
from tincans.core.framing import SMALL
from tincans.core.sizes import too_large
from tincans.errors import ClosedError, DisconnectedError, ProtocolError, TincansError, WaitTimeoutError
from tincans.toolkit import socket_platform
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.looking import joining, take_apart, waiting
from tincans.toolkit.outgoing import MessageBegun, Outgoing, close_all, size_of
from tincans.toolkit.socket_platform import SEND_FLAGS
from tincans.toolkit.stream import Passing, Stream, nothing_held

MAX_MESSAGE = 1024**3
_TOLERANCE = 0.01  # seconds that a receive may last longer, to save a system call for each slightly other timeout
_AT_ONCE = 64  # system calls that one receive(timeout=0) makes at most, so that one peer cannot hold up an event loop
_MOST_WAIT = 3600.0
_DONT_WAIT = int(socket.MSG_DONTWAIT)
_FOR_EVER = float("inf")
_UNKNOWN = SimpleNamespace(idle=False)  # stands in for a deframer that does not say whether it is idle


class ByteStream:
    """Messages over a connected stream socket, which belongs to this object from now on.

    >>> from tincans.core.framing import FRAMES
    >>> here, there = (ByteStream(end, FRAMES) for end in socket.socketpair())
    >>> here.send([b"hello"], timeout=1)
    >>> there.receive(timeout=1)
    [b'hello']
    >>> here.close(); there.close()
    """

    __slots__ = (
        "__weakref__", "_ahead", "_await", "_closed", "_encode", "_framed_up_to", "_held", "_high",
        "_join", "_kept", "_low", "_max_message", "_next", "_passing", "_poll_for", "_reader", "_receiving", "_recv",
        "_send", "_sending", "_set_timeout", "_small", "_state", "_stream", "_take", "_url", "identity", "ready",
    )  # fmt: skip

    def __init__(
        self,
        stream: Stream,
        framing: Framing,
        *,
        identity: Identity | None = None,
        url: str | None = None,
        max_message: int = MAX_MESSAGE,
        passing: Passing | None = None,
    ) -> None:
        self.identity = identity or Identity()
        self._stream = stream
        self._send, self._recv = stream.send, stream.recv
        self._encode = framing.encode
        self._reader = framing.decoder(max_message)
        self._url = url
        self._passing = passing if isinstance(self._reader, FrameReader) else None
        if self._passing is not None and isinstance(self._reader, FrameReader):
            self._reader.passing = True
        take_apart(self._reader)
        self.ready: deque[bytes] = getattr(self._reader, "ready", deque())
        """Messages that have come along with the last one. Who receives may take them here; they are next."""
        self._kept: Outgoing | None = None
        self._ahead: list[Buffer] | ProtocolError | None = None
        self._state: Any = self._reader if hasattr(self._reader, "idle") else _UNKNOWN
        self._next = self._reader.next
        self._take: Callable[[bytes], list[Buffer] | None] = getattr(self._reader, "take", self._feed_and_next)
        self._join = joining(framing)
        self._framed_up_to = SMALL if hasattr(framing, "frame") else -1
        self.max_message = max_message
        self._closed = self._sending = self._receiving = False
        self._prepare()
        abandon_in_child(self)

    def _prepare(self) -> None:
        """Let the kernel do the waiting. A TLS socket does its own."""
        self._set_timeout: Callable[[float | None], None]
        self._poll_for: Callable[[], tuple[int, float]]
        if isinstance(self._stream, socket.socket):
            stream = self._stream
            stream.settimeout(None)
            socket_platform.never_signal(stream)
            self._set_timeout = lambda seconds: socket_platform.set_receive_timeout(stream, seconds)
            self._poll_for = lambda: (select.POLLOUT, _MOST_WAIT)
        else:
            self._set_timeout = self._stream.set_receive_timeout  # type: ignore[attr-defined]
            self._poll_for = self._stream.poll_for  # type: ignore[attr-defined]
        self._await = waiting(self._stream)
        self._held: Callable[[], int] = getattr(self._stream, "pending", nothing_held)
        self._low, self._high = -1.0, -1.0  # the waits that the present SO_RCVTIMEO serves; none fits at first

    @property
    def max_message(self) -> int:
        """The largest message in bytes, both ways."""
        return self._max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        self._max_message = self._reader.max_message = size
        self._small = min(size, self._framed_up_to)

    def _feed_and_next(self, data: bytes) -> list[Buffer] | None:
        self._reader.feed(data)
        return self._reader.next()

    # -- sending -------------------------------------------------------------------------------------------

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        self._sending = True
        try:
            if self._kept is None and len(parts) == 1:
                part = parts[0]
                if type(part) is bytes and len(part) <= self._small:
                    return self._send_frames(self._join((part,)), timeout)
            return self._send_any(parts, timeout)
        except TincansError:
            raise
        except OSError as error:
            raise self._gone(error, outcome="not_sent") from error
        finally:
            self._sending = False
            if self._closed:
                self._dispose()

    def send_many(self, messages: Sequence[Parts], *, timeout: float | None) -> None:
        """Send several short messages of one part each in one go; together they are like one for `send`."""
        self._sending = True
        try:
            self._check_open()
            small = self._small
            if self._kept is None and all(type(parts[0]) is bytes and len(parts[0]) <= small for parts in messages):
                self._send_frames(self._join(tuple([parts[0] for parts in messages])), timeout)
            elif self._flush(timeout):
                buffers = [buffer for parts in messages for buffer in self._encode(self.passed(parts)[0])]
                self._finish(Outgoing(buffers), timeout)
            else:
                raise self._too_slow(timeout)
        except TincansError:
            raise
        except OSError as error:
            raise self._gone(error, outcome="not_sent") from error
        finally:
            self._sending = False
            if self._closed:
                self._dispose()

    def _send_frames(self, frames: bytes, timeout: float | None) -> None:
        try:
            sent = self._send(frames, SEND_FLAGS)
        except BlockingIOError as refusal:
            return self._finish(Outgoing([frames], begun=isinstance(refusal, MessageBegun)), timeout)
        return None if sent == len(frames) else self._finish(Outgoing([memoryview(frames)[sent:]], begun=True), timeout)

    def _send_any(self, parts: Parts, timeout: float | None) -> None:
        """The general case: several parts, other buffers than bytes, something kept from before."""
        self._check_open()
        started = monotonic()
        if not self._flush(timeout):
            raise self._too_slow(timeout)
        if timeout:
            timeout = max(0.0, timeout - (monotonic() - started))
        parts, descriptors = self.passed(parts)
        try:
            rest = Outgoing(self._encode(parts), descriptors)
        except BaseException:
            close_all(descriptors)
            raise
        return self._finish(rest, timeout)

    def passed(self, parts: Parts) -> tuple[Sequence[Any], list[int]]:
        """The parts, large ones replaced by `Passed` and the descriptors of their memory, which the caller closes.
        TooLargeError when what is left is more than `max_message`; what is passed does not count."""
        descriptors: list[int] = []
        if self.passes_memory and len(parts) > 1:
            parts, descriptors = self._passing.outgoing(parts)  # type: ignore[union-attr]
        size = sum(map(size_of, parts))
        if size > self._max_message:
            close_all(descriptors)
            raise too_large(size, self._max_message, self._url)
        return parts, descriptors

    @property
    def passes_memory(self) -> bool:
        """Whether large parts go by descriptor."""
        return self._passing is not None and self._max_message >= PASSING_FROM

    @property
    def shares_memory(self) -> bool:
        """Whether the other end may look at the very memory that this program uses."""
        return self._passing is not None and self._passing.trusted and self.passes_memory

    def weigh(self, parts: Parts) -> tuple[int, int]:
        """Of these parts, the bytes that count against `max_message`, and those that sending will copy."""
        if self._passing is None or not self.passes_memory:
            size = sum(map(size_of, parts))
            return size, size
        return self._passing.weigh(parts)

    def _finish(self, rest: Outgoing, timeout: float | None) -> None:
        """Send the rest of a message. Once it has begun it is kept at the timeout, before that it is refused."""
        try:
            if self._write(rest, timeout):
                return
            if not rest.begun:
                raise self._too_slow(timeout)
            self._keep(rest)
        except BaseException as error:
            if rest.begun and not isinstance(error, OSError):  # a KeyboardInterrupt: the message must still end
                self._keep(rest)
            else:
                rest.close()
            raise

    def _keep(self, rest: Outgoing) -> None:
        rest.keep()
        self._kept = rest

    def _write(self, rest: Outgoing, timeout: float | None) -> bool:
        """Write until all has left (True) or the time is up (False)."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            try:
                if rest.write(self._stream):
                    return True
            except BlockingIOError:
                if not self._wait_writable(deadline):
                    return False

    def _wait_writable(self, deadline: float | None) -> bool:
        """Wait until more may leave; False when it is too late. A closed or dead socket counts as writable."""
        left = _MOST_WAIT if deadline is None else deadline - monotonic()
        if left <= 0:
            return False
        event, most = self._poll_for()
        poll = select.poll()
        poll.register(self._stream.fileno(), event)
        poll.poll(max(1.0, min(left, most) * 1000))
        return True

    def flush(self, *, timeout: float | None) -> bool:
        self._sending = True
        try:
            self._check_open()
            return self._flush(timeout)
        except TincansError:
            raise
        except OSError as error:
            raise self._gone(error, outcome="unknown") from error
        finally:
            self._sending = False
            if self._closed:
                self._dispose()

    def _flush(self, timeout: float | None) -> bool:
        if self._kept is not None and self._write(self._kept, timeout):
            self._kept = None
        return self._kept is None

    # -- receiving -----------------------------------------------------------------------------------------

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        self._receiving = True
        try:
            if self.ready and not self._closed:
                return [self.ready.popleft()]
            if timeout is None or self._ahead is not None or not self._state.idle or self._closed:
                return self._receive_any(timeout)
            if timeout <= 0:
                return self._receive_at_once()
            if not self._low <= timeout <= self._high:
                self._wait_at_most(timeout)
            deadline = monotonic() + timeout
            data = self._await()
            if data:
                return self._take(data) or self._receive_until(deadline)
            if data is None:
                return self._receive_until(deadline)
            raise self._gone()
        except TincansError as error:
            self._check_garbage(error)
            raise
        except OSError as error:
            raise self._gone(error) from error
        finally:
            self._receiving = False
            if self._closed:
                self._dispose()

    def _receive_at_once(self) -> list[Buffer] | None:
        """The common case of an event loop: nothing has begun to arrive, and nobody waits."""
        try:
            data = self._recv(RECEIVE_AT_MOST, _DONT_WAIT)
        except BlockingIOError:
            return None
        if not data:
            raise self._gone()
        return self._take(data) or self._receive_until(monotonic())

    def _receive_any(self, timeout: float | None) -> list[Buffer] | None:
        """The general case: a message set aside, or one that has begun to arrive."""
        self._check_open()
        if isinstance(self._ahead, ProtocolError):
            raise ProtocolError(str(self._ahead), url=self._url)
        if self._ahead is not None:
            message, self._ahead = self._ahead, None
            return message
        return self._receive_until(_FOR_EVER if timeout is None else monotonic() + timeout)

    def _receive_until(self, deadline: float) -> list[Buffer] | None:
        """After the deadline it still takes what is there, within bounds, but waits no more."""
        late = 0
        while (message := self._next()) is None:
            left = deadline - monotonic()
            try:
                if left > 0:
                    if not self._low <= left <= self._high:
                        self._wait_at_most(left)
                    self._take_in(0)
                else:
                    late += 1
                    self._take_in(_DONT_WAIT)
            except BlockingIOError:
                if left <= 0:
                    return None
            if late == _AT_ONCE:
                return self._next()
        return message

    def _take_in(self, flags: int) -> None:
        """One system call's worth of bytes into the reader."""
        reader = self._reader
        view = reader.space()
        if view is not None:
            count = 0
            try:
                count = self._stream.recv_into(view, 0, flags)
            finally:
                reader.filled(count)
            if not count:
                raise self._gone()
            return
        limit = reader.limit() if isinstance(reader, FrameReader) else RECEIVE_AT_MOST
        if not limit and self._passing is not None and isinstance(reader, FrameReader):
            self._passing.incoming(reader, self._stream, flags)
            return
        data = self._recv(limit, flags)
        if not data:
            raise self._gone()
        reader.feed(data)

    def _wait_at_most(self, seconds: float) -> None:
        """Have the kernel wait, and remember which other waits this serves as well: not later than _TOLERANCE, and not
        so early that it would wake in vain often. A long wait is begun shorter, so as to serve its neighbours too."""
        if 1 < seconds < _FOR_EVER:
            seconds *= 0.75
        self._set_timeout(None if seconds == _FOR_EVER else seconds)
        self._low, self._high = seconds - _TOLERANCE, seconds * 2

    def pending(self) -> bool:
        if not self.ready and self._ahead is None and not self._state.idle:
            try:
                self._ahead = self._next()
                while self._ahead is None and self._held():
                    self._take_in(_DONT_WAIT)
                    self._ahead = self._next()
            except ProtocolError as error:
                self._check_garbage(error)
            except (TincansError, OSError):
                return True  # `receive` will say what is wrong
            if self.ready and self._ahead is not None:  # what was set aside is the first of several
                self.ready.extendleft(self._ahead)  # type: ignore[arg-type]  # bytes, alone in their message
                self._ahead = None
        return self._ahead is not None or bool(self.ready)

    # -- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._shut_down()
        self._dispose()

    def finish(self) -> None:
        """Tell the other end that nothing more comes, and go on receiving. UnsupportedError where TLS is between."""
        self._check_open()
        socket_platform.close_half(self._stream)

    def abandon(self) -> None:
        self._closed = True
        self._sending = self._receiving = False  # the threads that were inside did not come along into the child
        self._dispose()

    def fileno(self) -> int | None:
        self._check_open()
        return self._stream.fileno()

    def _shut_down(self) -> None:
        with suppress(OSError):  # it may be gone already
            self._stream.shutdown(socket.SHUT_RDWR)

    def _dispose(self) -> None:
        """Close the descriptor when nobody is inside any more."""
        if not (self._sending or self._receiving):
            self._stream.close()
            if self._kept is not None:
                self._kept.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("This connection was closed on this side. Connect again to go on.", url=self._url)

    def _check_garbage(self, error: TincansError) -> None:
        """After garbage nothing on this stream can be believed: nobody shall wait for it any more."""
        if isinstance(error, ProtocolError) and not isinstance(self._ahead, ProtocolError):
            error.url = error.url or self._url
            self._ahead = ProtocolError(str(error))  # without its traceback, which would hold on to buffers
            self._shut_down()

    def _too_slow(self, timeout: float | None) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"The other end did not take a message within {timeout} s; nothing of it was sent."
            " It may be busy or stopped: try again, or allow more time.",
            url=self._url,
        )

    def _gone(
        self, error: OSError | None = None, *, outcome: Literal["not_sent", "unknown"] | None = None
    ) -> TincansError:
        if self._closed:
            return ClosedError("This connection was closed on this side while it was used.", url=self._url)
        why = f" ({error.strerror})" if error is not None and error.strerror else ""
        cut = " in the middle of a message" if not self._state.idle else ""
        gone = DisconnectedError(
            f"The other end closed the connection or ended{cut}{why}.", url=self._url, outcome=outcome
        )
        gone.cut = bool(cut)
        return gone
