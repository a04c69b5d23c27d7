"""Waiting for a DescriptorStream: its descriptor, what has come already, how long it spins, both ways at once."""

from __future__ import annotations

import os
import select
import threading
import time

import pytest
from descriptor_ends import DEADLINE, Outcome, as_bytes, ends

from tincans.conformance.patience import eventually
from tincans.toolkit import descriptor_reader


def test_the_descriptor_polls_readable_when_a_message_is_there() -> None:
    with ends() as (here, there):
        assert not select.select([here.fileno()], [], [], 0)[0]
        there.send([b"x"], timeout=1)
        assert select.select([here.fileno()], [], [], 1)[0]
        here.receive(timeout=0)
        assert not select.select([here.fileno()], [], [], 0)[0]
        there.close()
        assert select.select([here.fileno()], [], [], 1)[0]


def test_pending_tells_of_messages_already_taken_in() -> None:
    with ends() as (here, there):
        assert not here.pending()
        there.send_many([[b"one"], [b"two"]], timeout=1)
        assert as_bytes(here.receive(timeout=1)) == [b"one"]
        assert here.pending()
        assert here.pending()
        assert as_bytes(here.receive(timeout=0)) == [b"two"]
        assert not here.pending()


def test_an_idle_receiver_uses_no_processor() -> None:
    with ends() as (here, _):
        receiver = Outcome(lambda: here.receive(timeout=0.5))
        eventually(receiver.asleep)
        start = time.process_time()
        receiver.join()
        assert time.process_time() - start < 0.1


def test_vain_spinning_is_left_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_reader, "useful_spin", lambda wanted: wanted)
    with ends(spin=0.02) as (here, _):
        start = time.process_time()
        for _ in range(100):
            assert here.receive(timeout=0.0001) is None
        assert time.process_time() - start < 0.7  # spun in all of them it would be 2 s


def test_with_one_processor_nobody_spins() -> None:
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        assert descriptor_reader.useful_spin(1.0) == 0.0
    finally:
        os.sched_setaffinity(0, all_of_them)


def test_both_ways_at_once_nothing_is_mixed() -> None:
    data = os.urandom(5_000_000)
    threads = threading.active_count()  # those of earlier tests, which may still rest here
    with ends() as (here, there):
        senders = [Outcome(lambda end=end: end.send([b"e", data], timeout=DEADLINE)) for end in (here, there)]
        receivers = [Outcome(lambda end=end: end.receive(timeout=DEADLINE)) for end in (here, there)]
        assert all(as_bytes(receiver.join().value) == [b"e", data] for receiver in receivers)
        assert all(sender.join().error is None for sender in senders)
    assert threading.active_count() <= threads
