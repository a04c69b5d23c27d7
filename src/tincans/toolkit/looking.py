"""How a receiver waits on a plain socket: it looks for a moment while that pays, then the kernel waits (SO_RCVTIMEO).

Rules of this file
- By the C core, which looks without the GIL and learns from wait to wait; without the core the kernel waits at once.
- The descriptor is known by its number here: only who is inside may wait, for nobody closes it under him.
- Several messages that one `recv` has brought are taken apart in C as well, and put together for one `send`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from tincans import _speed
from tincans.core.deframing import RECEIVE_AT_MOST, FrameReader
from tincans.core.framing import Frames
from tincans.toolkit.stream import Stream

SPIN = 50e-6
"""Seconds that a receiver looks at most before it sleeps: about twice what sleeping and waking costs."""


def waiting(stream: Stream) -> Callable[[], bytes | None]:
    """A function that gives what comes within the kernel's wait: b"" at the end, None when nothing does.

    >>> here, there = socket.socketpair()
    >>> there.send(b"hello"), waiting(here)()
    (5, b'hello')
    >>> here.close(); there.close()
    """
    if not isinstance(stream, socket.socket) or _speed.why_not():
        return partial(_sleep, stream.recv)
    from tincans._speed import _core

    return partial(_core.receive_waiting, stream.fileno(), _core.Patience(SPIN))


def _sleep(receive: Callable[..., bytes]) -> bytes | None:
    try:
        return receive(RECEIVE_AT_MOST)
    except BlockingIOError:
        return None


def take_apart(reader: Any) -> None:
    """Let a reader of frames find all whole messages at once, by the C core."""
    if isinstance(reader, FrameReader) and not _speed.why_not():
        from tincans._speed import _core

        reader.split = _core.split


def joining(framing: Any) -> Callable[[tuple[Any, ...]], bytes]:
    """A function that makes one piece of several small messages of one part, which are bytes.

    >>> from tincans.core.framing import LINES
    >>> joining(LINES)((b"one", b"two"))
    b'one\\ntwo\\n'
    """
    if isinstance(framing, Frames) and not _speed.why_not():
        from tincans._speed import _core

        return _core.join
    return lambda messages: b"".join([buffer for message in messages for buffer in framing.encode([message])])
