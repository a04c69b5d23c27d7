"""Alice and Bob through Redis: who serves whom, who notices which death, and what stays in Redis.

Rules of this file
- Each test has a Redis of its own kind of run: the programs, and sometimes Redis itself, are really killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from servers.needed import needed
from servers.redis import RedisServer, redis_server
from two_programs.programs import FACES, Program, Stage

from tincans.conformance.patience import eventually

NOTICED = 1.5
"""Seconds until a death is noticed: what toolkit/redis/presence.py promises (LOOK), and time for a busy machine."""

RESUMES = 2.0
both_faces = pytest.mark.parametrize("face", FACES)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with needed(redis_server) as running:
        yield running


@pytest.fixture
def stage(server: RedisServer, face: str) -> Iterator[Stage]:
    made = Stage(f"redis://{server.place}/0/{{name}}", face)
    yield made
    made.close()


def keys(server: RedisServer, url: str) -> set[str]:
    """What is in Redis of the name in a URL."""
    import redis

    with redis.Redis(port=server.port) as client:
        return {key.decode() for key in client.keys(f"tincans*{url.rpartition('/')[2]}*")}


def wait_for_start(bob: Program) -> Any:
    order = bob.do("call", "sleep", 600)
    eventually(lambda: bob.ask("call", "open") == [1, 0])
    return order


@both_faces
def test_a_killed_server_is_noticed_by_its_waiting_callers(stage: Stage) -> None:
    _alice, bob, pid = stage.pair()
    order = wait_for_start(bob)
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    report = order.wait()
    assert (report["error"], report["outcome"]) == ("DisconnectedError", "unknown")
    assert report["at"] - killed < NOTICED


@both_faces
def test_a_killed_client_is_noticed_and_its_connection_ended(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    other = stage.bob()
    other.ask("connect", stage.url)
    assert bob.ask("call", "links") == 2
    other.kill()
    killed = time.monotonic()
    eventually(lambda: bob.ask("call", "links") == 1)
    assert time.monotonic() - killed < 2 * NOTICED


@both_faces
def test_start_order_does_not_matter(stage: Stage) -> None:
    bob = stage.bob()
    order = bob.do("connect", stage.url, 10.0)
    stage.alice()
    order.result()
    assert bob.ask("call", "add", 2, 5) == 7


@both_faces
def test_connections_spread_over_the_serving_programs(stage: Stage) -> None:
    alices = {stage.alice().pid for _ in range(2)}
    served = []
    for _ in range(4):
        bob = stage.bob()
        bob.ask("connect", stage.url)
        served.append(bob.ask("call", "pid"))
    assert {pid: served.count(pid) for pid in alices} == dict.fromkeys(alices, 2)


@both_faces
def test_a_peer_with_several_connections_is_served_by_several_programs(stage: Stage) -> None:
    alices = {stage.alice().pid for _ in range(2)}
    bob = stage.bob()
    bob.ask("connect", f"{stage.url}?connections=2")
    assert len({bob.ask("call", "pid") for _ in range(4)}) == 1
    slow = bob.do("start", "sleep", 3)
    eventually(lambda: slow.is_done or bob.ask("call", "links") == 1)
    served = set()
    eventually(lambda: served.add(bob.ask("call", "pid")) or len(served) == 2 or slow.is_done)
    assert served <= alices
    orders = [bob.do("start", "pid") for _ in range(40)]
    assert {order.result() for order in orders} == alices


@both_faces
def test_a_lock_is_still_held_when_redis_has_restarted(server: RedisServer, stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    other = stage.bob()
    other.ask("connect", stage.url)
    assert other.ask("lock", "update")
    server.kill()
    server.start()
    assert bob.ask("lock", "update", 3.0) is False
    other.ask("unlock", "update")
    assert bob.ask("lock", "update", 5.0) is True


@both_faces
def test_when_one_of_two_servers_is_killed_the_other_serves_on(stage: Stage) -> None:
    alices = {alice.pid: alice for alice in (stage.alice(), stage.alice())}
    bob = stage.bob()
    bob.ask("connect", stage.url)
    first = bob.ask("call", "pid")
    order = wait_for_start(bob)
    alices[first].kill()
    assert order.wait()["error"] == "DisconnectedError"
    second = bob.ask("call", "pid")
    assert second in alices
    assert second != first


@both_faces
def test_a_lock_of_a_killed_program_comes_free_and_its_token_grows(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    other = stage.bob()
    other.ask("connect", stage.url)
    assert other.ask("lock", "update")
    assert bob.ask("lock", "update", 0.3) is False
    other.kill()
    killed = time.monotonic()
    assert bob.ask("lock", "update", 10.0) is True
    assert time.monotonic() - killed < 2 * NOTICED


@pytest.mark.parametrize("face", ["sync"])
def test_a_stopped_program_keeps_its_lock_however_long(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    other = stage.bob()
    other.ask("connect", stage.url)
    assert other.ask("lock", "update")
    other.signal(signal.SIGSTOP)
    assert bob.ask("lock", "update", 4.0) is False
    other.signal(signal.SIGCONT)
    other.ask("unlock", "update")
    assert bob.ask("lock", "update", 5.0) is True


@both_faces
def test_nothing_of_ended_connections_stays_in_redis(server: RedisServer, stage: Stage) -> None:
    alice, bob, _pid = stage.pair()
    assert alice is not None
    bob.ask("close")
    alice.signal(signal.SIGTERM)
    alice.ended()
    eventually(lambda: not keys(server, stage.url))


@pytest.mark.parametrize("face", ["sync"])
def test_what_a_kill_leaves_in_redis_has_an_end(server: RedisServer, stage: Stage) -> None:
    import redis

    alice, bob, _pid = stage.pair()
    assert alice is not None
    alice.signal(signal.SIGSTOP)
    for _ in range(100):
        bob.do("call_within", 1, "add", 2, 5)
    with redis.Redis(port=server.port) as client:
        eventually(lambda: client.keys("tincans@0:*"))
        alice.kill()
        bob.kill()
        alice.ended(), bob.ended()
        left = client.keys("tincans@0:*")
        forever, gone = -1, -2
        eventually(lambda: forever not in map(client.pttl, left))  # what they sent last is being done
        assert all(client.pttl(key) in range(gone, 300_001) for key in left)
        for key in left:
            client.delete(key)


@both_faces
def test_calls_resume_within_two_seconds_of_the_restart_of_redis(server: RedisServer, stage: Stage) -> None:
    alice, bob, _pid = stage.pair()
    assert alice is not None
    order = wait_for_start(bob)
    server.kill()
    assert order.wait()["error"] == "DisconnectedError"
    server.start()
    back = time.monotonic()
    assert bob.ask("call", "add", 2, 5) == 7
    assert time.monotonic() - back < RESUMES


@both_faces
def test_a_subscription_comes_back_after_the_restart_of_redis_and_marks_the_gap(
    server: RedisServer, stage: Stage
) -> None:
    _alice, bob, _pid = stage.pair()
    order = bob.do("subscribe", "news")
    eventually(lambda: bob.ask("publish", "news", 1) is None and order.is_done)
    server.kill()
    while (report := bob.do("next_note").wait())["error"] is None:
        pass  # what had come before is handed out first
    assert report["error"] == "DisconnectedError"
    server.start()
    again = bob.do("next_note")
    eventually(lambda: bob.do("publish", "news", 2).wait() and again.is_done)
    assert again.result() == ["news", 2, None]


@both_faces
def test_without_redis_every_verb_ends_with_a_clear_error_in_bounded_time(face: str) -> None:
    with needed(redis_server) as server:
        stage = Stage(f"redis://{server.place}/0/{{name}}", face)
        try:
            _alice, bob, _pid = stage.pair()
            bob.ask("set", "key", 1)
            server.kill()
            orders = [
                bob.do("call_within", 1.0, "add", 2, 5),
                bob.do("set", "key", 2),
                bob.do("get", "key"),
                bob.do("put", "jobs", 1),
                bob.do("take", "jobs", 1.0),
                bob.do("publish", "news", 1),
                bob.do("lock", "update", 1.0),
            ]
            for order in orders:
                report = order.wait(timeout=15)
                assert report["error"] in ("UnreachableError", "DisconnectedError"), report
                assert report["at"] - report["began"] < 7
                assert "127.0.0.1" in report["text"]
        finally:
            server.start()
            stage.close()


@pytest.mark.parametrize("face", ["sync"])
def test_a_forked_child_makes_connections_of_its_own(stage: Stage) -> None:
    import tincans

    stage.alice()
    with tincans.connect(stage.url) as alice:
        alice.state["key"] = 1
        assert alice.lock("update", timeout=1).acquire()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                right = alice.call.add(2, 5) == 7 and alice.state["key"] == 1
                code = 0 if right and not alice.lock("update").acquire(timeout=0.3) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert alice.call.add(2, 5) == 7
        assert alice.lock("update").acquire(timeout=0.3) is False
