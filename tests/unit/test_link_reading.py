"""Who reads a link: no message is left lying, whoever receives it and whoever leaves. Each of these was lost once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from link_stage import SOON, Stage, bob, staged
from patience import in_thread

import tincans
from tincans.conformance.patience import eventually
from tincans.core.messages import Reply, Request
from tincans.errors import ClosedError
from tincans.pump import calling
from tincans.pump.link import Link
from tincans.pump.waiter import Waiter

__all__ = ["bob"]


@pytest.fixture
def alice() -> Iterator[Stage]:
    """The serving end."""
    stage = staged(connecting=False)
    stage[0].background = True
    yield stage
    stage[0].lost(ClosedError("The test is over."))


def call(link: Link, timeout: float = SOON) -> Any:
    return calling.call(link, "add", (1, 2), {}, timeout=timeout)


def test_a_look_before_a_wait_in_the_kernel_is_never_taken_while_another_thread_receives(bob: Stage) -> None:
    link, connection, _ = bob
    looking, go_on = threading.Event(), threading.Event()

    def look() -> None:
        looking.set()
        assert go_on.wait(5)

    connection.on_look = look
    link.attend()
    assert looking.wait(5)  # the reactor is about to arm it
    waiter = Waiter("add")
    waiting = in_thread(lambda: link.wait(waiter, SOON))
    eventually(lambda: link.parked or connection.intruders)
    connection.on_look = lambda: None
    go_on.set()
    link.session.calls[1] = waiter
    connection.hear(Reply(1, 3))
    assert waiting.result(5)
    assert connection.intruders == 0


def test_what_comes_along_with_an_answer_is_handled_by_the_background(bob: Stage) -> None:
    link, connection, owner = bob
    link.background = True
    link.rest()  # armed: only the descriptor rouses anybody from here on
    connection.on_sent = lambda m: connection.hear(Reply(m.id, 3), Request(0, "tell", ()), ring=False)
    assert call(link) == 3
    eventually(lambda: owner.ran == ["tell"], timeout=SOON)


def test_a_caller_that_leaves_has_the_background_look_at_a_connection_that_it_woke(bob: Stage) -> None:
    link, connection, _ = bob
    link.background = True
    link.rest()
    connection.on_sent = lambda message: connection.hear(Reply(message.id, 3))
    eventually(lambda: link not in link.reactor.attended, timeout=SOON)
    assert call(link) == 3
    assert link in link.reactor.attended  # a ring's writer rings only for who said since that it sleeps


def test_a_request_that_came_along_is_not_held_up_by_the_one_before(alice: Stage) -> None:
    link, connection, owner = alice
    second = threading.Event()
    in_time = []
    owner.functions["first"] = lambda link, request: in_time.append(second.wait(SOON))
    owner.functions["second"] = lambda link, request: second.set()
    connection.hear(Request(1, "first", ()), Request(3, "second", ()))
    link.ready()  # a worker that the reactor does not look after any more
    assert in_time == [True]


def test_an_answer_is_not_kept_back_for_a_request_that_a_waiting_handler_has_read(alice: Stage) -> None:
    link, connection, owner = alice
    asked, slow, answered = threading.Event(), threading.Event(), threading.Event()
    in_time = []

    def ask(link: Link, request: Request[Any]) -> None:
        calling.call(link, "back", (), {}, timeout=SOON)  # reads the slow request while it waits
        asked.set()
        in_time.append(answered.wait(SOON))

    def sent(message: Any) -> None:
        if type(message) is Request:
            connection.hear(Reply(message.id, "asked"))
        elif message.id == 3:
            answered.set()

    owner.functions["ask"] = ask
    owner.functions["slow"] = lambda link, request: slow.wait(SOON)
    connection.on_sent = sent
    connection.hear(Request(1, "ask", ()), Request(3, "slow", ()))
    link.rest()
    assert asked.wait(SOON)
    eventually(lambda: link not in link.reactor.attended, timeout=SOON)
    slow.set()  # nobody looks after the link now
    eventually(lambda: in_time, timeout=2 * SOON)
    assert in_time == [True]


def test_who_sends_much_does_not_keep_the_link_from_being_read(bob: Stage) -> None:
    link, connection, _ = bob
    link.attend()
    eventually(lambda: link not in link.reactor.attended, timeout=SOON)

    def send(message: Any) -> None:
        """The other side takes more only when it has been read itself."""
        connection.received.clear()
        connection.hear(Request(0, "tell", ()))
        assert connection.received.wait(SOON)
        connection.hear(Reply(message.id, 3))

    connection.on_sent = send
    assert call(link, 2 * SOON) == 3


def test_a_link_without_a_descriptor_is_read_in_the_background_after_a_call() -> None:
    link, connection, owner = staged(connecting=True, descriptor=False)
    try:
        link.background = True
        connection.on_sent = lambda message: connection.hear(Reply(message.id, 3))
        assert call(link) == 3
        connection.hear(Request(2, "tell", ()))
        eventually(lambda: owner.ran == ["tell"], timeout=SOON)
    finally:
        link.lost(ClosedError("The test is over."))


def test_a_wait_that_is_interrupted_takes_nobodys_turn(bob: Stage) -> None:
    class Interrupted(Waiter):
        __slots__ = ()

        def sleep(self, timeout: float | None) -> None:
            raise KeyboardInterrupt

    link = bob[0]
    assert link.reading.acquire(False)
    with pytest.raises(KeyboardInterrupt):
        link.wait(Interrupted("ctrl-c"), 5.0)
    assert not link.parked


def test_a_message_that_cannot_be_handled_ends_the_link_and_gives_the_role_back(alice: Stage) -> None:
    link, connection, owner = alice
    link.handle = lambda message: 1 / 0  # type: ignore[method-assign]
    connection.hear(Reply(2, None))
    link.ready()
    assert owner.ends
    assert not link.reading.locked()


@pytest.mark.parametrize("method", ["unix", "shm", "local", "pipe"])
def test_a_peer_that_calls_can_be_called_at_any_time(method: str) -> None:
    name = f"reach-{time.monotonic_ns()}"
    kept: list[Any] = []
    with tincans.serve(name if method == "local" else f"{method}:{name}") as alice:
        alice.expose(lambda: kept.append(tincans.caller().call), name="here")
        alice.expose(lambda: 7, name="seven")
        with tincans.connect(alice.url) as bob:
            bob.expose(lambda n: n, name="echo")
            bob.call.here()
            for number in range(100):
                assert bob.call.seven() == 7  # Bob reads for himself, then leaves
                assert kept[0].echo(number) == number
