"""Plain calls take the short way and mean the same as all others; what is not plain goes on as before."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

import tincans
from tincans.conformance.patience import eventually
from tincans.core.binding import Parameters
from tincans.core.signature import signature_of
from tincans.pump import calling, plain_calls

pytest.importorskip("tincans._speed._core", reason="no C core was built: apt-get install gcc")

METHODS = ["unix:plain", "shm:plain", "memory:plain", "pipe:plain", "tcp://127.0.0.1:0"]


class Functions:
    """What Alice offers here."""

    def add(self, a: int, b: int = 10) -> int:
        return a + b

    def half(self, a: float) -> float:
        return a / 2

    def anything(self, value: Any) -> Any:
        return value

    def who(self) -> int | None:
        return tincans.caller().pid

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def refuse(self) -> None:
        raise tincans.DisconnectedError("on purpose")

    def wait(self, seconds: float) -> str:
        time.sleep(seconds)
        return "waited"

    def count(self, n: int) -> Iterator[int]:
        return iter(range(n))

    async def later(self, n: int) -> int:
        return n


@pytest.fixture(params=METHODS, ids=lambda url: url.partition(":")[0])
def alice(request: pytest.FixtureRequest) -> Iterator[Any]:
    with tincans.serve(request.param) as server:
        server.expose_object(Functions())
        with tincans.connect(server.url) as peer:
            peer.call.add(0, 0)  # from now on the link is in use
            yield peer


@pytest.fixture
def only_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The common way of a call is closed."""
    monkeypatch.setattr(calling, "call", lambda *args, **kwargs: pytest.fail("This call did not take the short way."))


@pytest.mark.usefixtures("only_plain")
def test_a_call_of_numbers_and_texts_takes_the_short_way(alice: Any) -> None:
    assert [alice.call.add(2, 5), alice.call.add(2), alice.call.anything("text"), alice.call.half(3.0)] == [
        7, 12, "text", 1.5,
    ]  # fmt: skip


def test_what_a_plain_call_cannot_be_is_called_as_ever(alice: Any) -> None:
    assert alice.call.add(a=1, b=2) == 3
    assert alice.call.half(3) == 1.5
    assert alice.call.anything([1, (2, 3)]) == [1, (2, 3)]
    assert alice.call.anything(2**70) == 2**70
    assert list(alice.call.count(3)) == [0, 1, 2]
    assert alice.call.later(5) == 5
    assert alice.call.anything(b"x" * 100_000) == b"x" * 100_000


def test_arguments_are_checked_as_ever(alice: Any) -> None:
    for args in [("one", 2), (True, 2), (1.5, 2), (None,), (), (1, 2, 3)]:
        with pytest.raises(tincans.ArgumentError):
            alice.call.add(*args)
    assert alice.call.add(1, 2) == 3


def test_an_error_of_the_function_ends_nothing(alice: Any) -> None:
    with pytest.raises(ValueError, match="too bad"):
        alice.call.fail("too bad")
    with pytest.raises(tincans.DisconnectedError, match="on purpose"):
        alice.call.refuse()
    link = alice._way.latest
    assert alice.call.add(1, 2) == 3 and alice._way.latest is link


def test_a_function_that_is_called_the_short_way_knows_its_caller(alice: Any) -> None:
    assert alice.call.who() == alice.call("who")


def test_at_the_deadline_a_plain_call_is_given_up_and_its_late_answer_is_nobodys(alice: Any) -> None:
    with pytest.raises(tincans.CallTimeoutError):
        alice.with_options(timeout=0.05).call.wait(0.3)
    assert [alice.call.add(i, i) for i in range(50)] == [2 * i for i in range(50)]


def test_threads_and_started_calls_mix_with_plain_ones(alice: Any) -> None:
    wrong: list[Any] = []

    def work(k: int) -> None:
        for i in range(200):
            if alice.call.add(k, i) != k + i or (i % 20 == 0 and alice.start.add(k, i).result(10) != k + i):
                wrong.append((k, i))

    threads = [threading.Thread(target=work, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(map(threading.Thread.is_alive, threads))


def test_news_that_comes_before_the_answer_is_handed_on(alice: Any) -> None:
    with alice.subscribe("news") as news:
        for i in range(20):
            alice.publish("news", i)
            assert alice.call.add(i, 1) == i + 1
        assert [news.receive(timeout=5).value for _ in range(20)] == list(range(20))


class Promised(Protocol):
    """What Bob believes of Alice."""

    def anything(self, value: int) -> float: ...
    def add(self, a: int, b: int) -> int: ...


def test_a_contract_holds_for_plain_results() -> None:
    with tincans.serve("unix:plain-typed") as server:
        server.expose_object(Functions())
        with tincans.connect(server.url, Promised) as peer:
            for _ in range(2):
                assert type(peer.call.anything(5)) is float
                assert peer.call.add(1, 2) == 3


def test_a_server_that_dies_is_noticed_by_a_plain_call() -> None:
    server = tincans.serve("unix:plain-death")
    server.expose_object(Functions())
    with tincans.connect(server.url) as peer:
        peer.call.add(1, 1)
        failed: list[Exception] = []

        def wait() -> None:
            try:
                peer.call.wait(5.0)
            except tincans.TincansError as error:
                failed.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        eventually(lambda: server._host.executor.is_busy(list(server._host.links)))
        server.close(drain=0)
        thread.join(5)
        assert isinstance(failed[0], tincans.DisconnectedError) and failed[0].outcome == "unknown"


def test_a_function_that_was_held_up_once_is_quick_again_soon() -> None:
    with tincans.serve("memory:plain-slow") as server:
        server.expose_object(Functions())
        with tincans.connect(server.url) as peer:
            exposed = server._host.dispatcher.exposed["wait"]
            peer.call.wait(0.01)
            peer.call.wait(0.01)
            assert exposed.slow
            eventually(lambda: peer.call.wait(0.0) == "waited" and not exposed.slow)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda a, b=1: None, ((None, None), 1)),
        (Functions().add, ((int, int), 1)),
        (lambda *rest: None, None),
        (lambda *, a: None, None),
        (lambda: None, ((), 0)),
    ],
)
def test_the_shape_of_a_plain_call_is_known_from_the_signature(function: Any, shape: Any) -> None:
    assert Parameters(signature_of(function)).plain == shape


def test_a_parameter_of_another_kind_ends_what_is_plain() -> None:
    def mixed(a: int, b: list[int], c: int = 1) -> None: ...
    def optional(a: int, b: list[int] | None = None) -> None: ...

    assert Parameters(signature_of(mixed)).plain is None
    assert Parameters(signature_of(optional)).plain == ((int,), 1)


def test_the_short_way_is_one_function_for_each_name(alice: Any) -> None:
    assert alice.call.add is alice.call.add
    assert plain_calls.function_of(alice._way, "add", None)(1, 2) == 3


def test_calls_started_in_a_burst_are_answered_although_nobody_waits_for_them(alice: Any) -> None:
    futures = [alice.start.add(n, 1) for n in range(70)]
    eventually(lambda: all(future.done() for future in futures))
    assert [future.result() for future in futures] == [n + 1 for n in range(70)]


def test_a_burst_of_calls_is_answered_also_when_its_last_is_waited_for_first(alice: Any) -> None:
    for _ in range(20):
        futures = [alice.start.anything(n) for n in range(50)]
        assert [future.result() for future in reversed(futures)] == list(reversed(range(50)))


def test_a_burst_of_calls_of_mixed_kinds_loses_none(alice: Any) -> None:
    values = [[n, "text", {"key": n}][n % 3] for n in range(60)]
    futures = [alice.start.anything(value) for value in values]
    assert [future.result() for future in futures] == values


def test_the_standard_ways_to_wait_see_the_answers_of_a_burst(alice: Any) -> None:
    called: list[int] = []
    futures = [alice.start.add(n, 0) for n in range(40)]
    for future in futures:
        future.add_done_callback(lambda done: called.append(done.result()))
    assert len(concurrent.futures.wait(futures, timeout=10).done) == 40
    eventually(lambda: sorted(called) == list(range(40)))
