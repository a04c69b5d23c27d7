"""Bob is killed: what he held in Alice is free again at once, and nothing of him stays.

Rules of this file
- Two Bobs: one holds and is killed, the other one wants what he held.
"""

from __future__ import annotations

import time

import pytest
from two_programs.programs import FACES, METHODS, Program, Stage, method_id

from tincans.conformance.patience import eventually

served = pytest.mark.parametrize("method", METHODS, ids=method_id)
both_faces = pytest.mark.parametrize("face", FACES)


def two_bobs(stage: Stage) -> tuple[Program, Program]:
    """Both are connected."""
    bobs = stage.bob(), stage.bob()
    stage.alice()
    for bob in bobs:
        bob.ask("connect", stage.url)
    return bobs


@served
@both_faces
def test_the_lock_of_a_killed_holder_goes_to_the_next_at_once(stage: Stage) -> None:
    holder, waiter = two_bobs(stage)
    assert holder.ask("lock", "held")
    order = waiter.do("lock", "held")
    eventually(lambda: waiter.ask("call", "open") == [1, 0])
    killed = holder.kill()
    report = order.wait()
    assert report["result"] is True
    assert report["at"] - killed < 1.0


@served
@both_faces
def test_the_job_of_a_killed_taker_is_given_back_and_its_deliveries_counted(stage: Stage) -> None:
    taker, other = two_bobs(stage)
    other.ask("put", "jobs", "x")
    assert taker.ask("take", "jobs") == ["x", 1]
    taker.kill()
    assert other.ask("take", "jobs") == ["x", 2]


@served
@both_faces
def test_a_killed_subscriber_and_its_waits_vanish(stage: Stage) -> None:
    listener, other = two_bobs(stage)
    orders = [listener.do("subscribe", "news"), listener.do("watch", "key"), listener.do("take", "jobs")]
    eventually(lambda: listener.ask("call", "open") == [1, 2])
    listener.kill()
    eventually(lambda: other.ask("call", "links") == 1)
    other.ask("publish", "news", 1)
    other.ask("put", "jobs", "for somebody who lives")
    assert other.ask("take", "jobs") == ["for somebody who lives", 1]
    assert not any(order.is_done for order in orders)


@served
@both_faces
def test_a_stopped_holder_keeps_its_lock_however_long(stage: Stage) -> None:
    from two_programs.programs import stop

    holder, other = two_bobs(stage)
    assert holder.ask("lock", "held")
    stop(holder.pid)
    began = time.monotonic()
    assert other.ask("lock", "held", 0.5) is False
    assert time.monotonic() - began >= 0.5
