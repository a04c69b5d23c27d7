"""Plain Redis programs as the other side: redis-cli, and the protocol over a bare socket.

Rules of this file
- The other side is always a program of its own, and knows nothing of Tincans.
- `json+redis://HOST/DB` and `text+redis://HOST/DB` have the plain names: a topic is a channel, a queue a list, a value
  a string key.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.needed import installed, needed
from servers.redis import RedisServer, redis_server

import tincans
from tincans.errors import LeaseLostError, ProtocolError, UnsupportedError, WaitTimeoutError

BARE = Path(__file__).with_name("bare_redis.py")
CLIENTS = ["bare", "redis-cli"]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with needed(redis_server) as running:
        yield running


@pytest.fixture(params=CLIENTS)
def stranger(request: pytest.FixtureRequest, server: RedisServer) -> list[str]:
    """The words that start a plain Redis program in database 0."""
    if request.param == "redis-cli":
        return [installed("redis-cli", "redis-tools"), "--raw", "-p", str(server.port)]
    return [sys.executable, str(BARE), str(server.port)]


def say(stranger: list[str], *words: str) -> str:
    """One command by a program of its own; what it printed."""
    done = subprocess.run([*stranger, *words], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


@pytest.fixture
def json(server: RedisServer) -> Iterator[Any]:
    with tincans.connect(f"json+redis://{server.place}/0") as peer:
        yield peer


@pytest.fixture
def text(server: RedisServer) -> Iterator[Any]:
    with tincans.connect(f"text+redis://{server.place}/0") as peer:
        yield peer


def test_what_redis_cli_publishes_arrives(stranger: list[str], json: Any, text: Any, name: str) -> None:
    with json.subscribe(f"{name}.*") as notes, text.subscribe(f"{name}.a") as lines:
        say(stranger, "PUBLISH", f"{name}.a", '{"n": 1}')
        assert [(n.topic, n.value) for n in [notes.receive(timeout=5)]] == [(f"{name}.a", {"n": 1})]
        assert lines.receive(timeout=5).value is not None


def test_what_we_publish_is_plain_for_redis_cli(stranger: list[str], json: Any, name: str) -> None:
    listener = subprocess.Popen([*stranger, "SUBSCRIBE", name], stdout=subprocess.PIPE, text=True)
    try:
        assert listener.stdout is not None
        assert [listener.stdout.readline().strip() for _ in range(3)] == ["subscribe", name, "1"]
        json.publish(name, {"n": [1, "two"]})
        assert [listener.stdout.readline().strip() for _ in range(3)] == ["message", name, '{"n":[1,"two"]}']
    finally:
        listener.kill()
        listener.wait()
        listener.stdout.close()


def test_what_redis_cli_pushes_is_a_job(stranger: list[str], json: Any, name: str) -> None:
    queue = json.queue(name, max_deliveries=2)
    say(stranger, "RPUSH", name, '{"job": 1}', '{"job": 2}')
    say(stranger, "LPUSH", name, '"first"')
    assert queue.count() == 3
    with queue.take(timeout=5) as job:
        assert (job.value, job.deliveries) == ("first", 1)
    queue.take(timeout=5).give_back()
    with queue.take(timeout=5) as job:
        assert (job.value, job.deliveries) == ({"job": 1}, 2)


def test_a_waiting_taker_wakes_when_redis_cli_pushes(stranger: list[str], json: Any, name: str) -> None:
    threading.Timer(0.2, say, [stranger, "LPUSH", name, "1"]).start()
    began = time.monotonic()
    with json.queue(name).take(timeout=10) as job:
        assert job.value == 1
    assert time.monotonic() - began < 5


def test_what_we_put_can_be_taken_by_redis_cli(stranger: list[str], json: Any, text: Any, name: str) -> None:
    json.queue(name).put({"a": 1})
    text.queue(name).put("two words")
    assert say(stranger, "LPOP", name) == '{"a":1}'
    assert "two words" in say(stranger, "LPOP", name)
    with pytest.raises(WaitTimeoutError):
        json.queue(name).take(timeout=0)


def test_a_job_that_is_no_json_is_told_and_becomes_a_dead_letter(stranger: list[str], json: Any, name: str) -> None:
    queue = json.queue(name, max_deliveries=2)
    say(stranger, "RPUSH", name, "{not json", "7")
    for _ in range(2):
        with pytest.raises(ProtocolError):
            queue.take(timeout=5)
    with queue.take(timeout=5) as job:
        assert job.value == 7
    with queue.dead.take(timeout=5) as letter:
        assert letter.value["value"] == "{not json"


def test_a_job_on_lease_cannot_be_taken_by_redis_cli(stranger: list[str], json: Any, name: str) -> None:
    json.queue(name).put(1)
    with json.queue(name).take(timeout=5):
        assert say(stranger, "LLEN", name) == "0"


def test_a_returned_job_that_redis_cli_took_is_gone(stranger: list[str], json: Any, name: str) -> None:
    queue = json.queue(name)
    queue.put(1)
    job = queue.take(timeout=5)
    job.give_back()
    assert say(stranger, "LPOP", name) == "1"
    with pytest.raises(LeaseLostError):
        job.done()


def test_state_is_a_plain_key(stranger: list[str], json: Any, text: Any, name: str) -> None:
    json.state[name] = {"a": [1, 2]}
    assert say(stranger, "GET", name) == '{"a":[1,2]}'
    say(stranger, "SET", name, '"theirs"')
    assert json.state[name] == "theirs"
    assert name in json.state.keys()  # noqa: SIM118
    say(stranger, "DEL", name)
    assert json.state.get(name) is None
    json.flag(name).set()
    assert say(stranger, "GET", f"flag:{name}") == "true"


def test_a_watch_sees_what_redis_cli_sets_with_a_version_that_grows(stranger: list[str], json: Any, name: str) -> None:
    json.state[name] = 1
    with json.state.watch(name) as changes:
        first = changes.receive(timeout=5)
        say(stranger, "SET", name, "2")
        second = changes.receive(timeout=5)
        say(stranger, "DEL", name)
        third = changes.receive(timeout=5)
    assert (first.value, second.value, third.deleted) == (1, 2, True)
    assert first.version < second.version < third.version


def test_a_payload_that_is_no_json_is_told_and_the_next_one_arrives(stranger: list[str], json: Any, name: str) -> None:
    with json.subscribe(name) as notes:
        say(stranger, "PUBLISH", name, "{not json")
        say(stranger, "PUBLISH", name, "7")
        with pytest.raises(ProtocolError):
            notes.receive(timeout=5)
        assert notes.receive(timeout=5).value == 7


def test_without_a_name_a_call_is_refused_with_the_reason(json: Any) -> None:
    with pytest.raises(UnsupportedError, match="NAME"):
        json.call.add(2, 5)


def test_the_plain_names_hide_our_own(server: RedisServer, json: Any, name: str) -> None:
    json.state[name] = 1
    json.queue(f"{name}q").put(1)
    assert [key for key in json.state.keys() if key.startswith("tincans")] == []  # noqa: SIM118
    with contextlib.suppress(WaitTimeoutError), json.subscribe(">") as notes:
        json.state[name] = 2
        assert not notes.receive(timeout=0.2).topic.startswith("tincans")
