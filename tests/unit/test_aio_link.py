"""A link on an event loop: who may use it from where, and in which order messages leave."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from aio_stage import address, play, until

from tincans import aio
from tincans.aio.background import LoopBackground
from tincans.aio.link import BURST, LOOKS_IN_A_ROW, AsyncLink
from tincans.aio.waiting import Answer
from tincans.contracts import Identity
from tincans.core.messages import Item, Message, Ping, Reply
from tincans.errors import ClosedError, DisconnectedError, TooLargeError
from tincans.pump.waiter import Waiter
from tincans.wires.native import WIRE


class FakeConnection:
    """Keeps what is sent; receives what is put into `inbox`. It has no descriptor: a thread receives."""

    identity = Identity()

    def __init__(self) -> None:
        self.max_message = 10_000
        self.sent: list[Message] = []
        self.together: list[int] = []
        self.inbox: list[Message] = []
        self.closed = False
        self.changed = threading.Condition()

    def send(self, parts: list[bytes], *, timeout: float | None) -> None:
        self.sent.append(WIRE.decode(parts))

    def send_many(self, messages: list[list[bytes]], *, timeout: float | None) -> None:
        self.together.append(len(messages))
        for parts in messages:
            self.send(parts, timeout=timeout)

    def flush(self, *, timeout: float | None) -> bool:
        return True

    def receive(self, *, timeout: float | None) -> list[Any] | None:
        with self.changed:
            self.changed.wait_for(lambda: bool(self.inbox) or self.closed, timeout)
            if self.closed:
                raise ClosedError("closed")
            return WIRE.encode(self.inbox.pop(0)) if self.inbox else None

    def hear(self, message: Message) -> None:
        with self.changed:
            self.inbox.append(message)
            self.changed.notify_all()

    def pending(self) -> bool:
        return bool(self.inbox)

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def fileno(self) -> int | None:
        return None


class FakeOwner:
    """Whose link it is."""

    def __init__(self) -> None:
        self.lost_links: list[Any] = []

    def lost(self, link: Any, error: Any) -> None:
        self.lost_links.append(link)


def link() -> tuple[AsyncLink, FakeConnection, FakeOwner]:
    connection, owner = FakeConnection(), FakeOwner()
    background = LoopBackground(asyncio.get_running_loop())
    made: Any = AsyncLink(connection, WIRE, owner, background, connecting=True)  # type: ignore[arg-type]
    return made, connection, owner


def in_a_thread(job: Any) -> None:
    """Run a job in a thread and hold up the loop until it is done: what it hands to the loop waits meanwhile."""
    thread = threading.Thread(target=job)
    thread.start()
    thread.join(10)


def test_what_a_thread_said_first_leaves_first() -> None:
    async def main() -> None:
        ours, connection, _ = link()
        in_a_thread(lambda: ours.post(Ping(1)))
        ours.post(Ping(2))
        in_a_thread(lambda: ours.post(Ping(3)))
        await ours.send_on_loop(Ping(4), timeout=5)
        assert [message.token for message in connection.sent] == [1, 2, 3, 4]  # type: ignore[union-attr]

    play(main)


def test_the_messages_of_a_burst_leave_together() -> None:
    async def main() -> None:
        ours, connection, _ = link()
        for id in range(BURST + 1):
            ours.session.running[id] = None
        for id in range(10):
            ours.post(Item(id, "value"))
        assert connection.sent == []
        await until(lambda: len(connection.sent) == 10)
        assert connection.together == [10]
        assert not ours.has_unsent()

    play(main)


def test_a_message_that_is_not_short_does_not_overtake_a_burst() -> None:
    async def main() -> None:
        ours, connection, _ = link()
        for id in range(BURST + 1):
            ours.session.running[id] = None
        ours.post(Item(1, "short"))
        ours.post(Item(2, "x" * 9000))
        assert [message.id for message in connection.sent] == [1, 2]  # type: ignore[union-attr]

    play(main)


def test_a_thread_hears_at_once_that_its_message_is_too_large() -> None:
    async def main() -> None:
        ours, connection, _ = link()

        def post() -> None:
            with pytest.raises(TooLargeError):
                ours.reply(Reply(1, b"x" * 20_000), timeout=1)

        await asyncio.to_thread(post)
        assert connection.sent == []

    play(main)


def test_a_thread_sleeps_until_its_answer_comes() -> None:
    async def main() -> None:
        ours, connection, _ = link()
        ours.rest()
        waiter = ours.session.calls[1] = Waiter("test")
        waiting = asyncio.create_task(asyncio.to_thread(ours.wait, waiter, 10))
        connection.hear(Reply(1, "answer"))
        assert await waiting is True
        assert waiter.message.value == "answer"  # plain, and read already
        assert ours.wait(Waiter("never"), 0.01) is False
        ours.lost(DisconnectedError("over"))

    play(main)


def test_a_thread_may_end_the_link_and_everybody_hears_once() -> None:
    async def main() -> None:
        ours, connection, owner = link()
        await asyncio.to_thread(ours.lost, DisconnectedError("over"))
        await asyncio.to_thread(ours.lost, DisconnectedError("again"))
        await until(lambda: bool(owner.lost_links))
        assert connection.closed and owner.lost_links == [ours] and "over" in str(ours.dead)

    play(main)


def test_many_messages_without_a_descriptor_arrive_in_order() -> None:
    async def main() -> None:
        ours, connection, _ = link()
        ours.rest()
        inlet = ours.session.inlets[1] = ours.new_inlet(1)
        for i in range(500):
            connection.hear(Item(1, i))
        got = []
        while len(got) < 500:
            message = await inlet.receive_soon(timeout=5)
            got.append(ours.read_any(message.value, message))
        assert got == list(range(500))
        ours.lost(DisconnectedError("over"))

    play(main)


class RingLike(FakeConnection):
    """A connection in memory, whose answers may come before the loop turns."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def receive(self, *, timeout: float | None) -> list[Any] | None:
        self.waits.append(timeout)
        return super().receive(timeout=0)

    def prepare_wait(self) -> bool:
        return bool(self.inbox)


def ring_link() -> tuple[AsyncLink, RingLike]:
    connection = RingLike()
    background = LoopBackground(asyncio.get_running_loop())
    made: Any = AsyncLink(connection, WIRE, FakeOwner(), background, connecting=True)  # type: ignore[arg-type]
    made.looks = True
    return made, connection


def test_looking_that_does_not_pay_is_left_off_soon() -> None:
    async def main() -> None:
        ours, connection = ring_link()
        for _ in range(200):
            ours.look()
        assert len(connection.waits) < 12

    play(main)


def test_looking_that_pays_takes_the_answer_at_once_and_rests_sometimes() -> None:
    async def main() -> None:
        ours, connection = ring_link()
        got = 0
        for id in range(1, 2 * LOOKS_IN_A_ROW):
            answer = ours.session.calls[id] = Answer(ours.loop, "test")
            connection.inbox = [Reply(id, f"now {id}")]
            ours.look()
            if connection.inbox:
                assert id == LOOKS_IN_A_ROW + 1
            else:
                got += (await answer).value == f"now {id}"
        assert got == 2 * LOOKS_IN_A_ROW - 2

    play(main)


def test_what_came_with_the_greeting_is_not_left_lying() -> None:
    async def main() -> None:
        ours, connection, _ = link()
        near, far = socket.socketpair()
        with near, far:
            ours._fd = near.fileno()  # never readable: what there is has been taken in already
            inlet = ours.session.inlets[1] = ours.new_inlet(1)
            connection.hear(Item(1, "early"))
            ours.rest()
            assert ours.read_any((await inlet.receive_soon(timeout=5)).value, Item(1, None)) == "early"
            ours.lost(DisconnectedError("over"))

    play(main)


def test_a_line_of_text_can_call_and_be_answered() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    async def count(n: int) -> Any:
        for i in range(n):
            yield i

    async def main() -> None:
        url = f"text+{address('unix')}"
        async with aio.serve(url) as alice:
            alice.expose(add)
            alice.expose(count)
            async with aio.connect(url) as bob:
                assert await bob.call.add(2, 5) == 7
                assert await asyncio.gather(*[bob.call.add(i, i) for i in range(20)]) == [2 * i for i in range(20)]
                assert [n async for n in await bob.call.count(200)] == list(range(200))

    play(main)
