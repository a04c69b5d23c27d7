"""One POSIX message queue: opened without waiting, checked to be ours alone, and locked by the program that reads it.

Rules of this file
- The only file that knows posix_ipc. On Linux a queue is a descriptor: it can be polled, locked, and asked whose it is.
- What is checked is what is open (fstat): another user's queue, or one that others may open, is DeniedError.
- The reader of a queue holds its kernel lock (flock): a queue without one has no living reader. A queue itself does not
  tell of a dead peer.
- Nothing here blocks. A queue is the kernel's until it is removed and closed by all: no file system, no size on disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
from pathlib import Path
from typing import Any, Final

from tincans.errors import DeniedError, MissingLibraryError, NameInUseError, UnreachableError, UnsupportedError

_LIMITS: Final = Path("/proc/sys/fs/mqueue")
_OVERHEAD: Final = 96
"""Bytes that the kernel counts for each message beside its own: struct msg_msg and a node of its tree, 48 each."""


def kernel_limits() -> tuple[int, int]:
    """The most messages in a queue, and the most bytes in a message, that this user may have (mq_overview(7)).

    >>> messages, size = kernel_limits()
    >>> messages > 0 and size > 0
    True
    """
    try:
        return int((_LIMITS / "msg_max").read_text()), int((_LIMITS / "msgsize_max").read_text())
    except (OSError, ValueError):
        raise UnsupportedError("This system has no POSIX message queues. Use pipe or unix.") from None


def library() -> Any:
    """posix_ipc; MissingLibraryError when it is not installed."""
    try:
        import posix_ipc
    except ModuleNotFoundError:
        raise MissingLibraryError("The method mq needs the library posix_ipc: pip install 'tincans[mq]'") from None
    return posix_ipc


class MessageQueue:
    """An open queue that belongs to this object from now on. `size` is in bytes, of the largest message.

    >>> name = f"/tincans-doc-{os.getpid()}"
    >>> queue = create(name, messages=2, size=100)
    >>> queue.send(b"one"), queue.send(b"two"), queue.send(b"three")
    (True, True, False)
    >>> queue.receive()
    b'one'
    >>> remove(name); queue.close()
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._open = True
        self.fd: int = queue.mqd
        self.size: int = queue.max_message_size
        self._busy: type[Exception] = library().BusyError
        queue.block = False

    def send(self, data: bytes) -> bool:
        """Put one message in; False when the queue is full."""
        try:
            self._queue.send(data)
        except self._busy:
            return False
        return True

    def receive(self) -> bytes | None:
        """Take the first message out; None when there is none."""
        try:
            data: bytes = self._queue.receive()[0]
        except self._busy:
            return None
        return data

    def own(self) -> bool:
        """Become its reader. False when a living program is."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def disown(self) -> None:
        """Read it no more."""
        with contextlib.suppress(OSError):
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def owned(self) -> bool:
        """Whether somebody else, who lives, is its reader."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return False

    def owner_uid(self) -> int:
        return os.fstat(self.fd).st_uid

    def used_at(self) -> float:
        """When it was made, or a message last put in or taken out, in seconds since 1970."""
        return os.fstat(self.fd).st_ctime

    def close(self) -> None:
        """Let go of it; the queue stays. May be called twice."""
        if self._open:
            self._open = False
            os.close(self.fd)


def create(name: str, *, messages: int, size: int) -> MessageQueue:
    """A new queue that only this user can open. NameInUseError when there is one; UnreachableError without room."""
    posix_ipc = library()
    try:
        queue = posix_ipc.MessageQueue(name, posix_ipc.O_CREX, mode=0o600, max_messages=messages, max_message_size=size)
    except posix_ipc.ExistentialError:
        raise NameInUseError(f"The message queue {name} was made by somebody else just now. Try again.") from None
    except (OSError, MemoryError, posix_ipc.Error) as error:
        if isinstance(error, OSError) and _out_of_descriptors():
            raise UnreachableError("This program has too many files open (ulimit -n). Close some.") from None
        raise UnreachableError(_no_more(messages, size)) from None
    return MessageQueue(queue)


def _out_of_descriptors() -> bool:
    """The kernel has one error for a program without descriptors and a user without room for queues."""
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError:
        return True
    return False


def _no_more(messages: int, size: int) -> str:
    limit = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[0] if hasattr(resource, "RLIMIT_MSGQUEUE") else 0
    takes = messages * (size + _OVERHEAD)
    return (
        f"The kernel makes no more message queues for this user: all of his together may take {limit:,} bytes"
        f" (RLIMIT_MSGQUEUE, see ulimit -q), and there may be no more of them than {_LIMITS}/queues_max says. This one"
        f" needs {takes:,}, and each connection has two. Close other connections, ask for smaller queues"
        " (?messages=4&message_size=512), or raise the limit."
    )


def open_queue(name: str) -> MessageQueue:
    """The queue of this name. FileNotFoundError when there is none, DeniedError when it is not ours alone."""
    posix_ipc = library()
    try:
        queue = MessageQueue(posix_ipc.MessageQueue(name))
    except posix_ipc.ExistentialError:
        raise FileNotFoundError(name) from None
    except posix_ipc.PermissionsError:
        raise _planted(name, "belongs to another user") from None
    except (OSError, posix_ipc.Error) as error:
        raise UnreachableError(f"The message queue {name} cannot be opened now: {error}.") from None
    status = os.fstat(queue.fd)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        queue.close()
        raise _planted(name, f"belongs to user {status.st_uid} or can be opened by others")
    return queue


def _planted(name: str, what: str) -> DeniedError:
    return DeniedError(f"The message queue {name} {what}, and was not used. Choose another name, or remove it.")


def remove(name: str) -> None:
    """Take the name away; nothing there is fine. Who has it open keeps it."""
    posix_ipc = library()
    with contextlib.suppress(posix_ipc.ExistentialError, posix_ipc.PermissionsError):
        posix_ipc.unlink_message_queue(name)
