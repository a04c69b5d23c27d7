"""A connection as a pair of boxes of letters, for methods that keep letters: a database, a broker.

Rules of this file
- Each connection has an id and two boxes, `ID.client` and `ID.server`; each side takes from its own and puts into the
  other's. A client makes itself known by a letter with its id in the lobby of the server's name; whichever serving
  program takes that letter has the connection. Nobody waits for the other to be there: the letters do.
- What travels is what the framing writes, cut into pieces where the post has a largest letter. An empty letter is a
  goodbye. A line travels without its line end, so that a foreign program finds plain text in the box.
- The post says who is gone; a party that nobody has seen yet is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from tincans.contracts import Buffer, Framing, Identity, Parts
from tincans.errors import ClosedError, DisconnectedError, TincansError, TooLargeError
from tincans.toolkit.fork_guard import abandon_in_child

LOOK = 0.5
"""Seconds between two looks at whether the other party still lives, while nothing comes."""

MAX_MESSAGE = 1024**3
_GOODBYE = b""


class Post(Protocol):
    """One program's way to the boxes of one place. One thread may put while another takes.

    A box is made by the first letter. A kill of a program leaves at most its boxes, which the post cleans up by itself.
    """

    largest: int
    """The largest letter in bytes; longer messages are cut into several."""

    def put(self, box: str, letter: bytes, *, timeout: float | None) -> None:
        """Put a letter into a box, behind all others. WaitTimeoutError when there was no room in time (nothing was
        put then), DisconnectedError when the post itself is gone."""
        ...

    def take(self, box: str, *, timeout: float | None) -> bytes | None:
        """The oldest letter of a box, which no one else gets; None when none came in time.

        A waiting one is woken by `wake`, and may return None early. DisconnectedError when the post itself is gone."""
        ...

    def own(self, box: str) -> None:
        """This program takes from this box from now on, until `disown` or its death."""
        ...

    def disown(self, box: str) -> None:
        """No more of this box; the letters in it go. Never raises; may be called twice."""
        ...

    def gone(self, box: str) -> bool:
        """Whether the owner of a box has died or disowned it. False while it never had an owner."""
        ...

    def wake(self, box: str) -> None:
        """End a waiting `take` of this box."""
        ...

    def fileno(self, box: str) -> int | None:
        """A descriptor that polls readable when `take(box, timeout=0)` may get a letter, or None."""
        ...


class MailConnection:
    """contracts.Connection over two boxes of a post: letters come from `mine` and go to `other`."""

    def __init__(
        self,
        post: Post,
        framing: Framing,
        mine: str,
        other: str,
        *,
        url: str | None = None,
        max_message: int = MAX_MESSAGE,
        on_close: Callable[[], object] = lambda: None,
    ) -> None:
        self.identity = Identity(address=other)
        self._post = post
        self._encode = framing.encode
        self._reader = framing.decoder(max_message)
        self._lines = framing.name == "lines"
        self._mine, self._other, self._url = mine, other, url
        self._on_close = on_close
        self._max_message = max_message
        self._closed = False
        self._over = False
        self._look_at = monotonic() + LOOK
        self._ahead: list[Buffer] | None = None
        post.own(mine)
        abandon_in_child(self)

    @property
    def max_message(self) -> int:
        """The largest message in bytes, both ways."""
        return self._max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        self._max_message = self._reader.max_message = size

    # -- sending -------------------------------------------------------------------------------------------

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection. A message that is cut is put whole, however long its last pieces take."""
        self._check_open()
        size = sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts)
        if size > self._max_message:
            raise TooLargeError(
                f"A message of {size} bytes is larger than the limit of {self._max_message} (max_message)."
                " Nothing was sent. Raise the option on both sides or send it in pieces.",
                url=self._url,
            )
        if self._over:
            raise self._gone(outcome="not_sent")
        letter = b"".join(self._encode(parts))
        if self._lines:
            letter = letter[:-1]
        most = self._post.largest
        if self._lines and len(letter) > most:
            raise TooLargeError(f"A line of {len(letter)} bytes: a letter has at most {most}.", url=self._url)
        self._post.put(self._other, letter[:most], timeout=timeout)
        for start in range(most, len(letter), most):
            self._post.put(self._other, letter[start : start + most], timeout=None)

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection. Nothing is ever kept."""
        self._check_open()
        return True

    # -- receiving -----------------------------------------------------------------------------------------

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        self._check_open()
        message, self._ahead = self._ahead, None
        if message is not None:
            return message
        deadline = None if timeout is None else monotonic() + timeout
        while (message := self._reader.next()) is None:
            if self._over:
                raise self._gone()
            left = LOOK if deadline is None else max(0.0, deadline - monotonic())
            letter = self._post.take(self._mine, timeout=min(left, LOOK))
            self._check_open()
            if letter is not None:
                self._open(letter)
            elif monotonic() >= self._look_at:
                self._look_after_other()
            elif deadline is not None and monotonic() >= deadline:
                return None
        return message

    def _open(self, letter: bytes) -> None:
        if letter == _GOODBYE:
            self._over = True
        else:
            self._reader.feed(letter + b"\n" if self._lines else letter)

    def _look_after_other(self) -> None:
        """Notice its death; what it put before is handed out first."""
        self._look_at = monotonic() + LOOK
        if self._post.gone(self._other):
            while (letter := self._post.take(self._mine, timeout=0)) is not None:
                self._open(letter)
            self._over = True

    def pending(self) -> bool:
        """See contracts.Connection."""
        if self._ahead is None and not self._closed:
            self._ahead = self._reader.next()
        return self._ahead is not None

    def _gone(self, outcome: str | None = None) -> DisconnectedError:
        return DisconnectedError(
            "The program at the other end has ended, or closed the connection.",
            outcome="not_sent" if outcome else None,
            url=self._url,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("This connection was closed on this side; connect again to go on.", url=self._url)

    # -- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See contracts.Connection."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._over:
                self._post.put(self._other, _GOODBYE, timeout=0)
        except TincansError:
            pass  # it notices that this box has no owner any more
        self._post.wake(self._mine)
        self._post.disown(self._mine)
        self._on_close()

    def abandon(self) -> None:
        """See contracts.Connection. The boxes are the parent's."""
        self._closed = True

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return self._post.fileno(self._mine)


class MailListener:
    """contracts.Listener at a lobby."""

    def __init__(
        self,
        post: Post,
        name: str,
        framing: Framing,
        *,
        address: str,
        max_message: int = MAX_MESSAGE,
        on_close: Callable[[], object] = lambda: None,
    ) -> None:
        self.address = address
        self._post, self._framing, self._max_message = post, framing, max_message
        self._lobby = lobby(name)
        self._on_close = on_close
        self._closed = False
        abandon_in_child(self)

    def accept(self, *, timeout: float | None) -> MailConnection | None:
        """See contracts.Listener. A client that has gone again costs nothing."""
        deadline = None if timeout is None else monotonic() + timeout
        while not self._closed:
            left = LOOK if deadline is None else max(0.0, deadline - monotonic())
            letter = self._post.take(self._lobby, timeout=min(left, LOOK))
            if letter is not None and not self._closed:
                id = letter.decode(errors="replace")
                if not self._post.gone(f"{id}.client"):
                    return self._connection(id)
            elif deadline is not None and monotonic() >= deadline:
                return None
        raise ClosedError(f"This listener at {self.address} was closed.", url=self.address)

    def _connection(self, id: str) -> MailConnection:
        mine, other = f"{id}.server", f"{id}.client"
        return MailConnection(self._post, self._framing, mine, other, url=self.address, max_message=self._max_message)

    def close(self) -> None:
        """See contracts.Listener. Other programs may take from the lobby; its letters stay."""
        if not self._closed:
            self._closed = True
            self._post.wake(self._lobby)
            self._on_close()

    def fileno(self) -> int | None:
        """See contracts.Listener."""
        return self._post.fileno(self._lobby)

    def abandon(self) -> None:
        """In a forked child: count as closed."""
        self._closed = True


def lobby(name: str) -> str:
    """The box where the clients of a name make themselves known."""
    return f"{name}.lobby"


def connect(
    post: Post,
    name: str,
    framing: Framing,
    *,
    url: str,
    timeout: float | None,
    max_message: int = MAX_MESSAGE,
    on_close: Callable[[], object] = lambda: None,
) -> MailConnection:
    """A connection whose server may come later; the letter in the lobby waits for it."""
    id = os.urandom(12).hex()
    connection = MailConnection(
        post, framing, f"{id}.client", f"{id}.server", url=url, max_message=max_message, on_close=on_close
    )
    try:
        post.put(lobby(name), id.encode(), timeout=timeout)
    except BaseException:
        connection.close()
        raise
    return connection
