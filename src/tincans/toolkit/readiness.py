"""Which descriptors can be received from: one-shot, so that exactly one thread is told of each.

Rules of this file
- `arm(fd, token)` asks once; after `wait` has returned the token, the descriptor is silent until armed again.
- Threads may arm, forget and wake while another one waits.
- epoll on Linux; kqueue elsewhere, written from its documentation and untested (see the facts' `untested`).
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from typing import Any, Protocol


class Readiness(Protocol):
    """The two kernels' ways behind one face."""

    def arm(self, fd: int, token: Any) -> None: ...
    def forget(self, fd: int) -> None: ...
    def wait(self, timeout: float | None) -> list[Any]: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...


class _Bell:
    """A descriptor that a thread can make readable to end another thread's wait."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.fd, self._write_fd = os.pipe()
            os.set_blocking(self.fd, False)
            os.set_blocking(self._write_fd, False)

    def ring(self) -> None:
        try:
            os.write(self._write_fd, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            pass  # it rings already

    def silence(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)

    def close(self) -> None:
        for fd in {self.fd, self._write_fd}:
            os.close(fd)


if sys.platform == "linux":

    class SystemReadiness:
        """epoll with EPOLLONESHOT."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._tokens: dict[int, Any] = {}
            self._bell = _Bell()
            self._epoll.register(self._bell.fd, select.EPOLLIN)

        def arm(self, fd: int, token: Any) -> None:
            flags = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
            self._tokens[fd] = token
            try:
                self._epoll.modify(fd, flags)
            except FileNotFoundError:
                self._epoll.register(fd, flags)

        def forget(self, fd: int) -> None:
            self._tokens.pop(fd, None)
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass  # closing the descriptor has removed it already

        def wait(self, timeout: float | None) -> list[Any]:
            found = []
            for fd, _ in self._epoll.poll(-1 if timeout is None else timeout):
                if fd == self._bell.fd:
                    self._bell.silence()
                elif (token := self._tokens.get(fd)) is not None:
                    found.append(token)
            return found

        def wake(self) -> None:
            self._bell.ring()

        def close(self) -> None:
            self._epoll.close()
            self._bell.close()

else:

    class SystemReadiness:
        """kqueue with EV_ONESHOT."""

        def __init__(self) -> None:
            self._queue = select.kqueue()
            self._tokens: dict[int, Any] = {}
            self._bell = _Bell()
            self._change(self._bell.fd, select.KQ_EV_ADD)

        def _change(self, fd: int, flags: int) -> None:
            self._queue.control([select.kevent(fd, select.KQ_FILTER_READ, flags)], 0)

        def arm(self, fd: int, token: Any) -> None:
            self._tokens[fd] = token
            self._change(fd, select.KQ_EV_ADD | select.KQ_EV_ONESHOT)

        def forget(self, fd: int) -> None:
            self._tokens.pop(fd, None)
            with contextlib.suppress(OSError):
                self._change(fd, select.KQ_EV_DELETE)

        def wait(self, timeout: float | None) -> list[Any]:
            found = []
            for event in self._queue.control(None, 256, timeout):
                if event.ident == self._bell.fd:
                    self._bell.silence()
                elif (token := self._tokens.get(event.ident)) is not None:
                    found.append(token)
            return found

        def wake(self) -> None:
            self._bell.ring()

        def close(self) -> None:
            self._queue.close()
            self._bell.close()
