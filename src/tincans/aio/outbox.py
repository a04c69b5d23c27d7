"""What a link has to send, without ever blocking the event loop.

Rules of this file
- The common case is one `send` that takes the whole message at once; nothing is queued then.
- What the other end does not take now waits here, in order: for the socket to be writable, or, where the connection is
  no socket, on a thread of its own. A large message is sent by a thread from the start.
- Short messages of a burst are corked: they leave together, at the loop's next turn.
- A waiting message may be withdrawn as long as nothing of it has left.
- An accepting link that has much to send is not read until it has left: a caller that takes no answers gives no work.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import deque
from typing import TYPE_CHECKING, Any

from tincans.aio.background import on_loop
from tincans.aio.waiting import forget, within
from tincans.contracts import Buffer
from tincans.core.sizes import size_of, too_large
from tincans.errors import ClosedError, DisconnectedError, ProtocolError, TincansError, WaitTimeoutError
from tincans.pump.reactor import spawn
from tincans.pump.sending import CLOGGED_AFTER

if TYPE_CHECKING:
    from tincans.aio.link import AsyncLink

LARGE = 256 * 1024
"""Bytes: from here on a thread sends, for the kernel takes no more at once (net.core.wmem_default is 208 KiB)."""

SMALL = 4096
TOGETHER = 64
"""Messages of a burst that leave together at most."""

MANY = 1000
STRING_ERRORS = (DisconnectedError, ClosedError, ProtocolError)
"""Errors of the string itself; any other is about one message only."""


class Entry:
    """One message, or several that leave together, on its way out. `begun`: it can no longer be withdrawn."""

    __slots__ = ("begun", "future", "large", "messages")

    def __init__(self, messages: list[list[Buffer]], *, large: bool = False, begun: bool = False) -> None:
        self.messages: list[list[Buffer]] | None = messages
        self.large = large
        self.begun = begun
        self.future: asyncio.Future[bool] | None = None

    def settle(self, error: BaseException | None = None) -> None:
        if self.future is not None and not self.future.done():
            if error is None:
                self.future.set_result(True)
            else:
                self.future.set_exception(error)


class Outbox:
    """The sending half of an AsyncLink. On the loop only."""

    def __init__(self, link: AsyncLink, fd: int | None) -> None:
        self._link = link
        self._connection = link.connection
        self._loop = link.loop
        self._send_many = getattr(self._connection, "send_many", None)
        self._corked: list[list[Buffer]] = []
        self._fd = fd if fd is not None and stat.S_ISSOCK(os.fstat(fd).st_mode) else None
        self._entries: deque[Entry] = deque()
        self._away = False
        self._watching = False
        self._progress = 0.0
        self._patience: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def busy(self) -> bool:
        """Whether anything has not left."""
        return bool(self._entries or self._corked)

    def cork(self, parts: list[Buffer]) -> bool:
        """Keep a small message back until `uncork`, which is called soon. False: it is not one."""
        if self._entries or len(parts) != 1 or len(parts[0]) > min(SMALL, self._connection.max_message):
            return False
        corked = self._corked
        if not corked:
            self._loop.call_soon(self.uncork)
        corked.append(parts)
        if len(corked) >= TOGETHER:
            self.uncork()
        return True

    def uncork(self) -> None:
        """Send what was kept back."""
        corked, self._corked = self._corked, []
        if corked and self._link.dead is None:
            try:
                self._add(Entry(corked))
            except STRING_ERRORS as error:
                self._link.lost(error)

    def add(self, parts: list[Buffer]) -> Entry | None:
        """Send a message now if possible: None when it has left, else its entry. TooLargeError; the string's errors."""
        large = False
        if len(parts) != 1 or len(parts[0]) > LARGE:
            total, copied = weigh(self._connection, parts)
            if total > self._connection.max_message:
                raise too_large(total, self._connection.max_message)
            large = total > LARGE or copied > LARGE
        if self._corked:
            self.uncork()
        if not self._entries and not large:
            try:
                self._connection.send(parts, timeout=0)
                if self._connection.flush(timeout=0):
                    return None
                return self._keep(Entry([parts], begun=True))
            except WaitTimeoutError:
                pass
        return self._keep(Entry([parts], large=large))

    def _add(self, entry: Entry) -> None:
        if self._entries or not self._leaves(entry):
            self._keep(entry)

    def _leaves(self, entry: Entry) -> bool:
        """Send now as much as possible of an entry that is not large; True when all of it has left."""
        messages = entry.messages
        try:
            if not entry.begun and messages is not None:
                self._send(messages, 0)
                entry.begun = True
            return self._connection.flush(timeout=0)
        except WaitTimeoutError:
            return False

    def _send(self, messages: list[list[Buffer]], timeout: float) -> None:
        if len(messages) == 1:
            self._connection.send(messages[0], timeout=timeout)
        elif self._send_many is not None:
            self._send_many(messages, timeout=timeout)
        else:
            while messages:
                self._connection.send(messages[0], timeout=timeout)
                del messages[0]

    def _keep(self, entry: Entry) -> Entry:
        self._entries.append(entry)
        if len(self._entries) == 1:
            self._push()
        elif len(self._entries) == MANY:
            self._link.pause()
        return entry

    async def left(self, entry: Entry, timeout: float | None) -> None:
        """Until an entry has left; WaitTimeoutError, with nothing sent, when none of it has within `timeout`."""
        entry.future = self._loop.create_future()
        try:
            done = await within(entry.future, timeout)
        except asyncio.CancelledError:
            self._withdraw(entry)
            forget(entry.future)
            raise
        if not done and self._withdraw(entry):
            raise WaitTimeoutError(f"The other end took nothing for {timeout:g} s; nothing of this message was sent.")

    def _withdraw(self, entry: Entry) -> bool:
        if entry.begun:
            return False
        entry.messages = None
        return True

    # -- sending what waits --------------------------------------------------------------------------------------

    def _push(self) -> None:
        """Send what can leave now. Called again when the connection can take more."""
        self._progress = self._loop.time()
        try:
            while self._entries and not self._away:
                if not self._push_one(self._entries[0]):
                    return
                self._entries.popleft().settle()
        except TincansError as error:
            self._link.lost(error)
            return
        if not self._away:
            self._rest()

    def _push_one(self, entry: Entry) -> bool:
        if entry.messages is None:
            return True
        if entry.large and not entry.begun:
            self._send_away(entry)
            return False
        try:
            if self._leaves(entry):
                return True
        except STRING_ERRORS:
            raise
        except TincansError as error:
            entry.settle(error)
            return True
        self._wait(entry)
        return False

    def _rest(self) -> None:
        if self._watching and self._fd is not None:
            self._watching = False
            self._loop.remove_writer(self._fd)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._link.resume()

    def _wait(self, entry: Entry) -> None:
        if self._fd is None:
            self._send_away(entry)
        elif not self._watching:
            self._watching = True
            self._loop.add_writer(self._fd, self._push)
            self._patience = self._loop.call_later(CLOGGED_AFTER, self._lose_patience)

    def _lose_patience(self) -> None:
        left = self._progress + CLOGGED_AFTER - self._loop.time()
        if left > 0:
            self._patience = self._loop.call_later(left, self._lose_patience)
        elif not self._away:
            self._link.lost(clogged())

    # -- by a thread -----------------------------------------------------------------------------------------------

    def _send_away(self, entry: Entry) -> None:
        self._away = True
        begun, entry.begun = entry.begun, True
        spawn(lambda: self._send_blocking(entry, begun), "tincans-send")

    def _send_blocking(self, entry: Entry, begun: bool) -> None:
        failure: TincansError | None = None
        try:
            if not begun and entry.messages is not None:
                self._send(entry.messages, CLOGGED_AFTER)
            if not self._connection.flush(timeout=CLOGGED_AFTER):
                failure = clogged()
        except WaitTimeoutError:
            failure = clogged()
        except TincansError as error:
            failure = error
        on_loop(self._loop, self._came_back, failure)

    def _came_back(self, failure: TincansError | None) -> None:
        self._away = False
        if self._link.dead is not None:
            return
        entry = self._entries.popleft()
        entry.settle(failure)
        if isinstance(failure, STRING_ERRORS):
            self._link.lost(failure)
        else:
            self._push()

    # -- the end -----------------------------------------------------------------------------------------------------

    def end(self, unsent: TincansError, unknown: TincansError) -> None:
        """The link is dead: what those hear whose message had not left, and those whose message may have."""
        self._watching = False
        entries, self._entries = self._entries, deque()
        for entry in entries:
            entry.settle(unknown if entry.begun else unsent)
        if self._patience is not None:
            self._patience.cancel()


def weigh(connection: Any, parts: list[Buffer]) -> tuple[int, int]:
    """The bytes that count against `max_message`, and those that are copied when the message is sent: memory that is
    passed on is neither."""
    weigh = getattr(connection, "weigh", None)
    if weigh is not None:
        weighed: tuple[int, int] = weigh(parts)
        return weighed
    total = size_of(parts)
    return total, total


def clogged() -> DisconnectedError:
    return DisconnectedError(f"The other end took nothing for {CLOGGED_AFTER:g} s and was cut.")
