"""Calls that are started through the C core: their futures, who gets which answer, and that nothing is left behind."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from growth import blocks_left_by

import tincans
from tincans.conformance.patience import eventually
from tincans.errors import CallCancelledError, CallTimeoutError, DisconnectedError, RemoteError

core: Any = pytest.importorskip("tincans._speed._core", reason="no C core was built: apt-get install gcc")


class Calculator:
    """What `alice` promises."""

    def add(self, a: int, b: int) -> int: ...
    def same(self, value: float) -> float: ...


@pytest.fixture(params=["shm", "unix", "pipe"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with tincans.serve(f"{request.param}:started") as server:
        server.expose(lambda a, b: a + b, name="add")
        server.expose(lambda value: value, name="same")
        server.expose(time.sleep, name="sleep")
        yield server


@pytest.fixture
def alice(server: Any) -> Iterator[Any]:
    with tincans.connect(server.url) as peer:
        assert peer.start.add(0, 0).result(10) == 0  # from now on the link is read in the background
        yield peer


def _table(peer: Any) -> Any:
    return peer._way.latest.session.calls


def test_a_started_call_is_a_future_of_the_core(alice: Any) -> None:
    assert isinstance(alice.start.add, core.Function)
    future = alice.start.add(2, 5)
    assert isinstance(future, core.Started)
    assert isinstance(future, concurrent.futures.Future)
    assert (future.result(10), future.done(), future.exception(), future.cancelled()) == (7, True, None, False)
    assert not _table(alice)


def test_the_core_takes_the_answers_of_many(server: Any, alice: Any) -> None:
    before = alice._way.line.heard
    for _ in range(5):
        futures = [alice.start.add(number, 1) for number in range(300)]
        assert [future.result(10) for future in futures] == list(range(1, 301))
    # A few may go the other way: when the machine holds us up for long, the link is looked at first.
    assert alice._way.line.heard - before > 1000
    assert not _table(alice)


def test_answers_come_to_their_own_calls_in_whatever_order(alice: Any) -> None:
    slow = alice.start.sleep(0.3)
    quick = [alice.start.add(number, 0) for number in range(50)]
    assert [future.result(10) for future in quick] == list(range(50))
    assert not slow.done()
    assert slow.result(10) is None


def test_an_answer_comes_while_nobody_waits_for_it(alice: Any) -> None:
    futures = [alice.start.add(number, 1) for number in range(20)]
    eventually(lambda: all(future.done() for future in futures))
    assert [future.result(0) for future in futures] == list(range(1, 21))


def test_with_the_first_started_call_the_link_is_read_in_the_background(server: Any) -> None:
    with tincans.connect(server.url) as peer:
        start = peer.start.add
        for _ in range(20):  # until the link was used a moment ago
            peer.call.add(1, 1)
        future = start(1, 2)
        eventually(future.done)
        assert future.result(0) == 3


def test_what_the_standard_library_does_with_futures_works(alice: Any) -> None:
    heard: list[int] = []
    futures = [alice.start.add(number, 1) for number in range(20)]
    for future in futures:
        future.add_done_callback(lambda done: heard.append(done.result()))
    assert {future.result() for future in concurrent.futures.as_completed(futures, 10)} == set(range(1, 21))
    eventually(lambda: sorted(heard) == list(range(1, 21)))
    answered = alice.start.add(1, 1)
    eventually(answered.done)
    assert concurrent.futures.wait([answered], 10).done == {answered}


def test_threads_start_and_wait_at_the_same_time(alice: Any) -> None:
    wrong: list[Any] = []

    def run(number: int) -> None:
        for _ in range(30):
            futures = [alice.start.add(number, other) for other in range(20)]
            if [future.result(20) for future in futures] != [number + other for other in range(20)]:
                wrong.append(number)
            if alice.call.add(number, 1) != number + 1:
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not _table(alice)


def test_a_thread_that_sleeps_for_its_answer_is_woken_by_another_one_that_reads(alice: Any) -> None:
    slow = alice.start.sleep(1.0)
    reader = threading.Thread(target=slow.result)
    reader.start()
    eventually(lambda: alice._way.latest.reading.locked())
    began = time.monotonic()
    assert alice.start.add(1, 2).result(10) == 3
    assert time.monotonic() - began < 0.5
    reader.join()


def test_an_error_over_there_is_raised_here(alice: Any) -> None:
    future = alice.start.add(1, "x")
    with pytest.raises(RemoteError, match="TypeError"):
        future.result(10)
    assert isinstance(future.exception(), RemoteError)


def test_what_is_not_plain_is_started_otherwise(alice: Any) -> None:
    for value in ([1, {"x": 2}], 2**64, "long" * 2000, {1, 2}):
        assert alice.start.same(value).result(10) == value
    assert alice.start.add(a=1, b=2).result(10) == 3


def test_a_result_has_the_promised_type(server: Any) -> None:
    with tincans.connect(server.url, Calculator) as alice:
        for _ in range(3):
            futures = [alice.start.same(number) for number in (1.5, 2.5)]
            assert [future.result(10) for future in futures] == [1.5, 2.5]
            assert alice.start.add(1, 2).result(10) == 3
        converted = alice.start.same(2)  # an int comes, a float was promised
        assert type(converted.result(10)) is float


def test_at_its_deadline_a_call_fails_though_nobody_waits(alice: Any) -> None:
    future = alice.with_options(timeout=0.1).start.sleep(1.0)
    eventually(future.done)
    with pytest.raises(CallTimeoutError):
        future.result(0)
    assert not _table(alice)
    assert alice.start.add(5, 6).result(10) == 11


def test_a_call_can_be_cancelled(alice: Any) -> None:
    future = alice.start.sleep(1.0)
    assert future.cancel()
    with pytest.raises(CallCancelledError):
        future.result(0)
    assert future.cancelled()
    assert not _table(alice)
    assert alice.start.add(5, 6).result(10) == 11


def test_the_end_of_the_server_fails_all_that_wait(server: Any, alice: Any) -> None:
    futures = [alice.start.sleep(5) for _ in range(10)]
    for link in list(server._host.links):
        link.connection.close()
    for future in futures:
        with pytest.raises(DisconnectedError) as caught:
            future.result(10)
        assert caught.value.outcome == "unknown"
    assert alice.start.add(1, 1).result(10) == 2  # over a new connection


def test_a_ring_without_room_is_no_error(alice: Any) -> None:
    text = "x" * 3000
    futures = [alice.start.same(text) for _ in range(2000)]  # several times what the ring takes
    assert all(future.result(30) == text for future in futures)


def test_started_calls_leave_no_object_behind(alice: Any) -> None:
    def calls(times: int) -> None:
        for number in range(times):
            futures = [alice.start.add(number, 1), alice.start.same("text"), alice.start.same([number])]
            for future in futures:
                future.result(10)
            future.add_done_callback(lambda done: None)
            with pytest.raises(RemoteError):
                alice.start.add("x", 1).result(10)

    assert blocks_left_by(calls) < 300


def test_a_future_that_nobody_keeps_is_free_to_go(alice: Any) -> None:
    future = weakref.ref(alice.start.add(1, 2))

    def gone() -> bool:
        gc.collect()
        return future() is None

    eventually(gone)
    assert not _table(alice)


def test_the_class_of_a_future_must_extend_started(alice: Any) -> None:
    class Way:
        probe_after = 0.05
        reading = otherwise = None

    with pytest.raises(TypeError, match="Started"):
        core.Function(None, "add", 1.0, None, Way(), dict)
    with pytest.raises(AttributeError):
        core.Function(None, "add", 1.0, None, object(), core.Started)
