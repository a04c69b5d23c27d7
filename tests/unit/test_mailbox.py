"""A pair of boxes is a connection: order, ends, pieces, lines; on a post that is a dictionary."""

from __future__ import annotations

import threading
from collections import deque

import pytest

from tincans.core.framing import FRAMES, LINES
from tincans.errors import ClosedError, DisconnectedError, TooLargeError
from tincans.toolkit.mailbox import MailConnection, MailListener, connect


class Shelf:
    """toolkit.mailbox.Post in one program."""

    def __init__(self, largest: int = 1000) -> None:
        self.largest = largest
        self.boxes: dict[str, deque[bytes]] = {}
        self.dead: set[str] = set()
        self._changed = threading.Condition()

    def put(self, box: str, letter: bytes, *, timeout: float | None) -> None:
        with self._changed:
            self.boxes.setdefault(box, deque()).append(letter)
            self._changed.notify_all()

    def take(self, box: str, *, timeout: float | None) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self.boxes.get(box), timeout)
            return self.boxes[box].popleft() if self.boxes.get(box) else None

    def own(self, box: str) -> None:
        self.dead.discard(box)

    def disown(self, box: str) -> None:
        self.dead.add(box)
        self.boxes.pop(box, None)

    def gone(self, box: str) -> bool:
        return box in self.dead

    def wake(self, box: str) -> None:
        with self._changed:
            self._changed.notify_all()

    def fileno(self, box: str) -> int | None:
        return None


def pair(shelf: Shelf, framing: object = FRAMES) -> tuple[MailConnection, MailConnection]:
    listener = MailListener(shelf, "alice", framing, address="shelf:alice")  # type: ignore[arg-type]
    client = connect(shelf, "alice", framing, url="shelf:alice", timeout=1)  # type: ignore[arg-type]
    server = listener.accept(timeout=1)
    assert server is not None
    return client, server


def test_messages_arrive_whole_and_in_order_both_ways() -> None:
    client, server = pair(Shelf())
    client.send([b"one", b"part"], timeout=1)
    client.send([b"two"], timeout=1)
    assert [server.receive(timeout=1), server.receive(timeout=1)] == [[b"one", b"part"], [b"two"]]
    server.send([b"three"], timeout=1)
    assert client.receive(timeout=1) == [b"three"]
    assert client.receive(timeout=0.01) is None


def test_what_was_sent_before_the_server_came_waits_for_it() -> None:
    shelf = Shelf()
    client = connect(shelf, "alice", FRAMES, url="shelf:alice", timeout=1)
    client.send([b"early"], timeout=1)
    server = MailListener(shelf, "alice", FRAMES, address="shelf:alice").accept(timeout=1)
    assert server is not None
    assert server.receive(timeout=1) == [b"early"]


def test_a_message_larger_than_a_letter_is_cut_and_arrives_whole() -> None:
    client, server = pair(Shelf(largest=100))
    client.send([b"x" * 1234, b"y" * 99], timeout=1)
    got = server.receive(timeout=1)
    assert got is not None
    assert [bytes(part) for part in got] == [b"x" * 1234, b"y" * 99]


def test_a_line_is_plain_text_in_the_box() -> None:
    shelf = Shelf()
    client, server = pair(shelf, LINES)
    client.send([b"add 2 5"], timeout=1)
    assert [box for name, box in shelf.boxes.items() if name.endswith(".server")] == [deque([b"add 2 5"])]
    assert server.receive(timeout=1) == [b"add 2 5"]


def test_a_close_is_told_after_what_was_sent_before() -> None:
    client, server = pair(Shelf())
    client.send([b"last words"], timeout=1)
    client.close()
    client.close()
    assert server.receive(timeout=1) == [b"last words"]
    with pytest.raises(DisconnectedError):
        server.receive(timeout=1)
    with pytest.raises(ClosedError):
        client.receive(timeout=0)


def test_the_death_of_the_other_program_ends_a_wait_within_a_second() -> None:
    shelf = Shelf()
    client, server = pair(shelf)
    threading.Timer(0.1, lambda: shelf.dead.add(server._mine)).start()
    with pytest.raises(DisconnectedError):
        client.receive(timeout=5)


def test_closing_wakes_who_waits() -> None:
    client, _server = pair(Shelf())
    threading.Timer(0.1, client.close).start()
    with pytest.raises(ClosedError):
        client.receive(timeout=5)


def test_too_large_a_message_is_refused() -> None:
    client, _server = pair(Shelf())
    client.max_message = 10
    with pytest.raises(TooLargeError):
        client.send([b"x" * 11], timeout=1)


def test_a_client_that_has_gone_again_is_not_accepted() -> None:
    shelf = Shelf()
    connect(shelf, "alice", FRAMES, url="shelf:alice", timeout=1).close()
    listener = MailListener(shelf, "alice", FRAMES, address="shelf:alice")
    assert listener.accept(timeout=0.01) is None
    listener.close()
    with pytest.raises(ClosedError):
        listener.accept(timeout=1)
