"""Promises of publish, queue, state, flag and lock."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tincans.conformance.needs import needs
from tincans.conformance.patience import eventually
from tincans.errors import FullError, LeaseLostError, WaitTimeoutError
from tincans.facts import Facts, No


@needs("publish")
def test_a_subscriber_gets_what_is_published(alice: Any, facts: Facts, name: str) -> None:
    with alice.subscribe(name) as notes:
        for i in range(100):
            alice.publish(name, {"n": i})
        got = [notes.receive(timeout=5) for _ in range(100)]
    assert [(note.topic, note.value["n"], note.missed) for note in got] == [(name, i, 0) for i in range(100)]


@needs("publish")
def test_another_topic_is_not_heard(alice: Any, facts: Facts, name: str) -> None:
    with alice.subscribe(name) as notes:
        alice.publish(f"{name}x", 1)
        alice.publish(name, 2)
        assert notes.receive(timeout=5).value == 2


@needs("publish")
def test_every_subscriber_gets_its_own_copy(alice: Any, facts: Facts, name: str) -> None:
    with alice.subscribe(name) as first, alice.subscribe(name) as second:
        alice.publish(name, [1])
        assert first.receive(timeout=5).value == second.receive(timeout=5).value == [1]


@needs("publish")
def test_waiting_for_news_ends_at_the_timeout(alice: Any, facts: Facts, name: str) -> None:
    with alice.subscribe(name) as notes:
        began = time.monotonic()
        with pytest.raises(WaitTimeoutError):
            notes.receive(timeout=0.1)
        assert 0.09 < time.monotonic() - began < 0.5


@needs("publish")
def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many(peer: Any, facts: Facts, name: str) -> None:
    with peer.subscribe(name, limit=10) as notes:
        for i in range(500):
            peer.publish(name, i)
        peer.publish(name, "end")
        if not isinstance(facts.call, No):
            peer.call.add(1, 1)
        got: list[Any] = []
        while not got or got[-1].value != "end":
            got.append(notes.receive(timeout=5))
        assert sum(note.missed for note in got) + len(got) == 501
        assert notes.dropped == 501 - len(got)


@needs("publish")
def test_a_function_follows_a_topic(alice: Any, facts: Facts, name: str) -> None:
    heard: list[Any] = []
    follow = alice.on(name)
    follow(heard.append)
    eventually(lambda: alice.publish(name, 1) or heard)
    assert heard[0].value == 1


@needs("queue")
def test_a_job_is_taken_once_in_order(alice: Any, facts: Facts, name: str) -> None:
    queue = alice.queue(name)
    for i in range(10):
        queue.put(i)
    assert queue.count() == 10
    got: list[Any] = []
    for _ in range(10):
        with queue.take(timeout=5) as job:
            got.append(job.value)
            assert job.deliveries == 1
    assert got == list(range(10))
    with pytest.raises(WaitTimeoutError):
        queue.take(timeout=0.05)


@needs("queue")
def test_a_take_without_waiting_finds_nothing_or_something(alice: Any, facts: Facts, name: str) -> None:
    queue = alice.queue(name)
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError):
        queue.take(timeout=0)
    assert time.monotonic() - began < 3
    queue.put("x")
    with queue.take(timeout=0) as job:
        assert job.value == "x"


@needs("queue")
def test_a_job_whose_block_raises_is_given_back_and_counted(alice: Any, facts: Facts, name: str) -> None:
    queue = alice.queue(name)
    queue.put("x")
    with pytest.raises(RuntimeError), queue.take(timeout=5):
        raise RuntimeError("could not do it")
    with queue.take(timeout=5) as job:
        assert (job.value, job.deliveries) == ("x", 2)


@needs("queue")
def test_a_job_that_fails_too_often_becomes_a_dead_letter(alice: Any, facts: Facts, name: str) -> None:
    queue = alice.queue(name, max_deliveries=2)
    queue.put("poison")
    for _ in range(2):
        queue.take(timeout=5).give_back()
    with pytest.raises(WaitTimeoutError):
        queue.take(timeout=0.1)
    assert queue.dead.count() == 1


@needs("queue")
def test_a_lease_that_is_not_renewed_ends_and_the_job_goes_to_another(peer: Any, facts: Facts, name: str) -> None:
    queue = peer.queue(name, lease=0.3, renew=False)
    queue.put("x")
    job = queue.take(timeout=5)
    with queue.take(timeout=5) as again:
        assert again.deliveries == 2
        again.done()
    with pytest.raises(LeaseLostError):
        job.done()


@needs("queue")
def test_a_lease_is_renewed_while_the_block_runs(peer: Any, facts: Facts, name: str) -> None:
    queue = peer.queue(name, lease=0.9)
    queue.put("x")
    with queue.take(timeout=5), pytest.raises(WaitTimeoutError):
        queue.take(timeout=1.3)


@needs("queue")
def test_a_full_queue_refuses_waits_or_drops_as_asked(alice: Any, facts: Facts, name: str) -> None:
    refusing = alice.queue(name, max_items=2, on_full="refuse")
    refusing.put(1)
    refusing.put(2)
    with pytest.raises(FullError):
        refusing.put(3)
    waiting = alice.queue(name, max_items=2, on_full="wait")
    with pytest.raises(WaitTimeoutError):
        waiting.put(3, timeout=0.1)
    alice.queue(name, max_items=2, on_full="drop_oldest").put(3)
    with refusing.take(timeout=1) as job:
        assert job.value == 2


@needs("queue")
def test_a_waiting_taker_gets_the_job_when_it_comes(peer: Any, facts: Facts, name: str) -> None:
    queue = peer.queue(name)
    putter = threading.Timer(0.1, queue.put, ["late"])
    putter.start()
    with queue.take(timeout=5) as job:
        assert job.value == "late"
    putter.join(5)


@needs("state")
def test_a_value_is_what_was_written_last(alice: Any, facts: Facts, name: str) -> None:
    with pytest.raises(KeyError):
        alice.state[name]
    assert alice.state.get(name, "none") == "none"
    alice.state[name] = {"a": [1, 2]}
    alice.state[name] = {"a": [1, 2, 3]}
    assert alice.state[name] == {"a": [1, 2, 3]}
    assert name in alice.state.keys()  # noqa: SIM118
    del alice.state[name]
    assert alice.state.get(name) is None


@needs("state")
def test_a_watch_shows_the_present_value_and_then_changes(alice: Any, facts: Facts, name: str) -> None:
    alice.state[name] = 1
    with alice.state.watch(name) as changes:
        assert changes.receive(timeout=5).value == 1
        alice.state[name] = 2
        assert changes.receive(timeout=5).value == 2
        del alice.state[name]
        assert changes.receive(timeout=5).deleted


@needs("flag")
def test_a_flag_is_set_and_cleared_for_everybody(alice: Any, facts: Facts, name: str) -> None:
    flag = alice.flag(name)
    assert not flag.is_set()
    flag.set()
    assert alice.flag(name).is_set()
    assert flag.wait(timeout=1)
    flag.clear()
    assert not flag.is_set()


@needs("flag")
def test_waiting_for_a_flag_ends_when_it_is_set_or_at_the_timeout(peer: Any, facts: Facts, name: str) -> None:
    flag = peer.flag(name)
    began = time.monotonic()
    assert flag.wait(timeout=0.1) is False
    assert 0.09 < time.monotonic() - began < 0.5
    setter = threading.Timer(0.1, flag.set)
    setter.start()
    assert flag.wait(timeout=5) is True
    setter.join(5)


@needs("lock")
def test_a_lock_has_one_holder(alice: Any, facts: Facts, name: str) -> None:
    with alice.lock(name, timeout=1) as first:
        assert alice.lock(name).acquire(timeout=0.1) is False
        token = first.token
    with alice.lock(name, timeout=1) as second:
        assert second.token > token


@needs("lock")
def test_a_waiting_locker_gets_it_when_it_is_free(peer: Any, facts: Facts, name: str) -> None:
    first = peer.lock(name)
    assert first.acquire(timeout=1)
    releaser = threading.Timer(0.1, first.release)
    releaser.start()
    assert peer.lock(name).acquire(timeout=5)
    releaser.join(5)


@needs("lock")
def test_the_lock_of_a_connection_that_ended_is_free(running: Any, peer: Any, facts: Facts, name: str) -> None:
    other = running.connect()
    assert other.lock(name).acquire(timeout=1)
    other.close()
    assert not running.shared or peer.lock(name).acquire(timeout=5)


@needs("lock")
def test_releasing_what_is_not_held_is_an_error(alice: Any, facts: Facts, name: str) -> None:
    with pytest.raises(LeaseLostError):
        alice.lock(name).release()
