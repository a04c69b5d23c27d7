"""DaemonThreads: as many threads as jobs need, never more than allowed, none for ever."""

from __future__ import annotations

import threading
import time

import pytest

from tincans.conformance.patience import eventually
from tincans.toolkit import daemon_threads
from tincans.toolkit.daemon_threads import DaemonThreads

PATIENCE = 10.0


def test_jobs_that_block_run_at_the_same_time() -> None:
    threads = DaemonThreads(8, "test")
    together = threading.Barrier(8)
    passed: list[int] = []
    for _ in range(8):
        assert threads.submit(lambda: passed.append(together.wait(PATIENCE)))
    eventually(lambda: len(passed) == 8)


def test_a_job_never_waits_behind_one_that_blocks_while_a_thread_may_be_made() -> None:
    threads = DaemonThreads(64, "test")
    for _ in range(200):
        gate, done = threading.Event(), threading.Event()
        threads.submit(lambda gate=gate: gate.wait(PATIENCE))
        threads.submit(done.set)
        assert done.wait(PATIENCE)
        gate.set()


def test_no_more_threads_than_allowed_and_no_more_jobs_than_allowed_wait() -> None:
    threads = DaemonThreads(2, "test-most", waiting=3)
    gate = threading.Event()
    ran: list[int] = []

    def job() -> None:
        gate.wait(PATIENCE)
        ran.append(1)

    assert [threads.submit(job) for _ in range(6)] == [True] * 5 + [False]
    assert sum(thread.name == "test-most" for thread in threading.enumerate()) == 2
    gate.set()
    eventually(lambda: len(ran) == 5)


def test_a_thread_without_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_threads, "IDLE", 0.05)
    threads = DaemonThreads(4, "test-idle")
    for _ in range(20):
        done = threading.Event()
        threads.submit(done.set)
        assert done.wait(PATIENCE)
        time.sleep(0.04)  # around the end of a thread is where a job could be lost
    eventually(lambda: not any(thread.name == "test-idle" for thread in threading.enumerate()))


def test_the_end_of_the_program_does_not_wait_for_a_job() -> None:
    threads = DaemonThreads(1, "test-daemon")
    gate = threading.Event()
    threads.submit(lambda: gate.wait(PATIENCE))
    eventually(lambda: any(thread.name == "test-daemon" for thread in threading.enumerate()))
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "test-daemon")
    gate.set()
