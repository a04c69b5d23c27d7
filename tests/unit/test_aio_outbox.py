"""What an async link has to send: never blocking the loop, in order, withdrawn only before it has begun."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from aio_stage import play, until

from tincans.aio.outbox import LARGE, MANY, Entry, Outbox
from tincans.errors import DisconnectedError, TincansError, TooLargeError, WaitTimeoutError


class FakeConnection:
    """A connection whose other end takes `room` messages, and of the next one half."""

    def __init__(self, *, room: int = 10**9, halves: bool = False) -> None:
        self.max_message = 10**9
        self.sent: list[bytes] = []
        self.threads: list[str] = []
        self.room = room
        self.halves = halves
        self.kept = False
        self.error: TincansError | None = None
        self.changed = threading.Condition()

    def send(self, parts: list[bytes], *, timeout: float | None) -> None:
        with self.changed:
            self.threads.append(threading.current_thread().name)
            there = self.changed.wait_for(lambda: self.room > 0 or self.error is not None, timeout)
            if self.error is not None:
                raise self.error
            if not there:
                if not self.halves or self.kept:
                    raise WaitTimeoutError("no room")
                self.kept = True
            self.room -= 1
            self.sent.append(b"".join(parts))

    def flush(self, *, timeout: float | None) -> bool:
        with self.changed:
            if not self.kept:
                return True
            if not self.changed.wait_for(lambda: self.room > -1, timeout):
                return False
            self.kept = False
            return True

    def make_room(self, count: int) -> None:
        with self.changed:
            self.room += count
            self.changed.notify_all()


class FakeLink:
    """What an outbox needs of its link."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.loop = asyncio.get_running_loop()
        self.dead: TincansError | None = None
        self.paused = 0
        self.resumed = 0

    def lost(self, error: TincansError) -> None:
        self.dead = error

    def pause(self) -> None:
        self.paused += 1

    def resume(self) -> None:
        self.resumed += 1


def outbox(connection: Any, fd: int | None = None) -> tuple[Outbox, FakeLink]:
    link = FakeLink(connection)
    return Outbox(link, fd), link  # type: ignore[arg-type]


def test_a_message_that_leaves_at_once_is_not_kept() -> None:
    async def main() -> None:
        connection = FakeConnection()
        box, _ = outbox(connection)
        assert box.add([b"a"]) is None
        assert connection.sent == [b"a"] and len(box) == 0

    play(main)


def test_what_cannot_leave_waits_in_order_and_a_thread_sends_it() -> None:
    async def main() -> None:
        connection = FakeConnection(room=1)
        box, _ = outbox(connection)
        entries = [box.add([bytes([i])]) for i in range(5)]
        assert entries[0] is None
        assert all(isinstance(entry, Entry) for entry in entries[1:])
        connection.make_room(4)
        await until(lambda: len(box) == 0)
        assert connection.sent == [bytes([i]) for i in range(5)]

    play(main)


def test_a_large_message_is_sent_by_a_thread_from_the_start() -> None:
    async def main() -> None:
        connection = FakeConnection()
        box, _ = outbox(connection)
        entry = box.add([b"x" * (LARGE + 1)])
        assert entry is not None
        await box.left(entry, 5)
        assert threading.current_thread().name not in connection.threads
        box.add([b"small"])
        assert connection.threads[-1] == threading.current_thread().name

    play(main)


def test_a_message_too_large_is_refused_before_anything_leaves() -> None:
    async def main() -> None:
        connection = FakeConnection()
        connection.max_message = 10
        box, _ = outbox(connection)
        with pytest.raises(TooLargeError):
            box.add([b"12345", b"67890", b"1"])
        assert connection.sent == [] and len(box) == 0

    play(main)


def test_a_message_of_which_nothing_has_left_is_withdrawn_at_the_timeout() -> None:
    async def main() -> None:
        connection = FakeConnection(room=0)
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            clog(near)
            box, _ = outbox(connection, near.fileno())
            entry = box.add([b"a"])
            assert entry is not None
            with pytest.raises(WaitTimeoutError):
                await box.left(entry, 0.01)
            connection.make_room(5)
            unclog(far)
            await until(lambda: len(box) == 0)
            assert connection.sent == []

    play(main)


def test_a_message_that_has_begun_is_finished_before_the_next() -> None:
    async def main() -> None:
        connection = FakeConnection(room=0, halves=True)
        box, _ = outbox(connection)
        first, second = box.add([b"a"]), box.add([b"b"])
        assert first is not None and first.begun and second is not None
        await box.left(first, 0.01)  # it is on its way: no error
        connection.make_room(2)
        await box.left(second, 5)
        assert connection.sent == [b"a", b"b"]

    play(main)


def test_a_cancelled_sender_withdraws_its_message() -> None:
    async def main() -> None:
        connection = FakeConnection(room=0, halves=True)
        box, _ = outbox(connection)
        box.add([b"a"])
        entry = box.add([b"b"])
        assert entry is not None
        sending = asyncio.create_task(box.left(entry, None))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait({sending})
        connection.make_room(5)
        await until(lambda: len(box) == 0)
        assert connection.sent == [b"a"]

    play(main)


@pytest.mark.parametrize("in_a_thread", [True, False])
def test_an_error_of_the_string_ends_the_link(in_a_thread: bool) -> None:
    async def main() -> None:
        connection = FakeConnection(room=0)
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            clog(near)
            box, link = outbox(connection, None if in_a_thread else near.fileno())
            box.add([b"a"])
            connection.error = DisconnectedError("gone")
            connection.make_room(0)
            unclog(far)
            await until(lambda: link.dead is connection.error)
            box.end(DisconnectedError("unsent"), DisconnectedError("unknown"))

    play(main)


def test_the_end_tells_every_waiting_sender_what_became_of_its_message() -> None:
    async def main() -> None:
        connection = FakeConnection(room=0, halves=True)
        box, link = outbox(connection)
        entries = [box.add([b"a"]), box.add([b"b"])]
        waiting = [asyncio.create_task(box.left(entry, None)) for entry in entries if entry is not None]
        await asyncio.sleep(0)
        link.dead = DisconnectedError("gone")
        box.end(DisconnectedError("unsent"), DisconnectedError("unknown"))
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["unknown", "unsent"]
        connection.make_room(5)

    play(main)


def test_a_crowded_outbox_stops_the_receiving_until_it_is_empty() -> None:
    async def main() -> None:
        connection = FakeConnection(room=0)
        box, link = outbox(connection)
        for _ in range(MANY):
            box.add([b"a"])
        assert (link.paused, link.resumed) == (1, 0)
        connection.make_room(MANY)
        await until(lambda: len(box) == 0)
        assert link.resumed >= 1

    play(main)


def clog(near: socket.socket) -> None:
    """Fill a socket, so that it is not writable."""
    with pytest.raises(BlockingIOError):
        while True:
            near.send(b"x" * 65536)


def unclog(far: socket.socket) -> None:
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            far.recv(65536)
