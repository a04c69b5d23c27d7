"""What only Redis can break: passwords, TLS, age, size, a slow reader, memory that runs out, strange queues.

Rules of this file
- Each test that needs a special Redis starts one; the others share one.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import certificates
from servers.needed import needed
from servers.redis import RedisServer, redis_server

import tincans
from tincans.core.address import parse
from tincans.errors import (
    AddressError,
    ClosedError,
    DeniedError,
    FullError,
    LeaseLostError,
    MissingLibraryError,
    TincansError,
    UnreachableError,
    VersionError,
    WaitTimeoutError,
)
from tincans.toolkit.redis.client import RedisClient
from tincans.toolkit.redis.line import OPTIONS, place_of

CERTIFICATES = certificates()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with needed(lambda: redis_server("--appendonly", "no")) as running:
        yield running


@pytest.fixture
def url(server: RedisServer, name: str) -> str:
    return f"redis://{server.place}/0/{name}"


@pytest.fixture
def board(url: str) -> Iterator[Any]:
    """A serving program's own words, which need no caller."""
    with tincans.serve(url) as alice:
        yield alice


# -- the address ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/x/alice", "/0/alice/bob", "/-1/alice"])
def test_a_path_that_is_not_db_and_name_is_refused_with_an_example(path: str) -> None:
    with pytest.raises(AddressError, match="redis://localhost/0/alice"):
        tincans.connect(f"redis://localhost{path}")


def test_a_redis_that_is_not_there_is_said_to_be_missing(name: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    for url in (f"redis://{place}/0/{name}", f"json+redis://{place}/0"):
        with pytest.raises(UnreachableError, match="redis-server"):
            tincans.connect(url, timeout=0.3)
    with pytest.raises(UnreachableError, match="redis-server"):
        tincans.serve(f"redis://{place}/0/{name}")


def test_without_redis_py_the_command_that_brings_it_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'tincans\[redis\]'"):
        tincans.connect(url, timeout=1)


def test_too_many_connections_are_refused(url: str) -> None:
    with pytest.raises(AddressError, match="connections"):
        tincans.connect(f"{url}?connections=0")


def test_a_password_is_needed_and_never_shown(name: str) -> None:
    with needed(lambda: redis_server("--requirepass", "secret word", "--appendonly", "no")) as locked:
        good = f"redis://:secret%20word@{locked.place}/0/{name}"
        with tincans.serve(good) as alice:
            alice.expose(lambda a, b: a + b, name="add")
            with tincans.connect(good) as bob:
                assert bob.call.add(2, 5) == 7
                bob.state["key"] = 1
                assert "secret" not in bob.url
            for bad in (f"redis://:wrong@{locked.place}/0/{name}", f"redis://{locked.place}/0/{name}"):
                with pytest.raises(DeniedError) as caught:
                    tincans.connect(bad, timeout=1)
                assert "wrong" not in str(caught.value)


def test_tls_and_a_certificate_that_is_not_trusted(name: str) -> None:
    with needed(lambda: redis_server("--appendonly", "no", certificates=CERTIFICATES)) as secure:
        good = f"redis://{secure.place}/0/{name}?tls=yes&ca={CERTIFICATES}/authority.pem"
        with tincans.serve(good) as alice:
            alice.expose(lambda a, b: a + b, name="add")
            with tincans.connect(good) as bob:
                assert bob.call.add(2, 5) == 7
                with bob.subscribe("news") as notes:
                    bob.publish("news", bytes(100_000))
                    assert len(notes.receive(timeout=5).value) == 100_000
                bob.queue("jobs").put(1)
                with bob.queue("jobs").take(timeout=5) as job:
                    assert job.value == 1
        with pytest.raises(TincansError, match="certificate"):
            tincans.connect(f"redis://{secure.place}/0/{name}?tls=yes", timeout=1)


def old_redis(answer: bytes) -> int:
    """The port of something that answers every command so."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer_all() -> None:
        for _ in range(4):
            line, _ = listening.accept()
            with line:
                while line.recv(4096):
                    line.sendall(answer * 3)

    threading.Thread(target=answer_all, daemon=True).start()
    port: int = listening.getsockname()[1]
    return port


@pytest.mark.parametrize(
    "answer",
    [
        b"-ERR unknown command 'HELLO'\r\n",
        b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n6.0.9\r\n",
    ],
)
def test_a_redis_that_is_too_old_says_so(answer: bytes, name: str) -> None:
    with pytest.raises(VersionError, match=r"too old.*6\.2"):
        tincans.connect(f"redis://127.0.0.1:{old_redis(answer)}/0/{name}", timeout=2)


# -- messages ----------------------------------------------------------------------------------------------------


def test_large_messages_go_both_ways(url: str) -> None:
    with tincans.serve(url) as alice:
        alice.expose(lambda value: value, name="echo")
        with tincans.connect(url) as bob:
            data = bytes(range(256)) * 4 * 1024 * 48
            assert bob.call.echo(data) == data


def test_a_slow_reader_holds_the_sender_back_and_loses_nothing(server: RedisServer, url: str) -> None:
    import redis

    got: list[int] = []
    go_on = threading.Event()

    def slow(number: int, data: bytes) -> int:
        go_on.wait(30)
        got.append(number)
        return number

    with tincans.serve(url) as alice, redis.Redis(port=server.port) as client:
        alice.expose(slow)
        with tincans.connect(url) as bob:
            before = client.info("memory")["used_memory"]
            futures = []

            def flood() -> None:
                futures.extend(bob.with_options(timeout=60).start.slow(i, bytes(1024 * 1024)) for i in range(300))

            thread = threading.Thread(target=flood)
            thread.start()
            thread.join(2)
            held = client.info("memory")["used_memory"] - before
            go_on.set()
            thread.join(60)
            assert [future.result(60) for future in futures] == list(range(300))
            assert held < 250 * 1024 * 1024


def test_a_redis_without_memory_refuses_and_nobody_hangs(name: str) -> None:
    options = ("--maxmemory", "20mb", "--maxmemory-policy", "noeviction", "--appendonly", "no")
    with needed(lambda: redis_server(*options)) as small:
        url = f"redis://{small.place}/0/{name}"
        with tincans.serve(url) as alice:
            alice.expose(lambda value: len(value), name="size")
            with tincans.connect(url) as bob:
                queue = bob.queue("jobs")
                with pytest.raises(FullError, match="memory"):
                    for _ in range(100):
                        queue.put(bytes(1024 * 1024))
                began = time.monotonic()
                with pytest.raises((TincansError, TimeoutError)):
                    bob.with_options(timeout=4).call.size(bytes(1024 * 1024))
                assert time.monotonic() - began < 5


def test_a_redis_that_stands_still_costs_a_bounded_wait(name: str) -> None:
    with needed(lambda: redis_server("--appendonly", "no")) as stopped:
        url = f"redis://{stopped.place}/0/{name}?timeout=0.5"
        with tincans.serve(url) as alice:
            alice.expose(lambda a, b: a + b, name="add")
            with tincans.connect(url) as bob:
                assert bob.call.add(2, 5) == 7
                os.kill(stopped.pid, signal.SIGSTOP)
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    bob.with_options(timeout=0.5).call.add(2, 5)
                assert time.monotonic() - began < 2
                with pytest.raises((TimeoutError, UnreachableError)):
                    bob.state.get("key")
                assert time.monotonic() - began < 12
                os.kill(stopped.pid, signal.SIGCONT)
                assert bob.call.add(2, 5) == 7


# -- queues --------------------------------------------------------------------------------------------------------


def test_jobs_of_the_same_content_are_each_delivered_and_counted(board: Any) -> None:
    queue = board.queue("jobs")
    for _ in range(3):
        queue.put("same")
    first = queue.take(timeout=5)
    first.give_back()
    counts = []
    for _ in range(3):
        with queue.take(timeout=5) as job:
            counts.append(job.deliveries)
    assert counts == [2, 1, 1]
    with pytest.raises(WaitTimeoutError):
        queue.take(timeout=0)


def test_a_delayed_job_comes_when_its_time_has_come(board: Any) -> None:
    queue = board.queue("jobs")
    began = time.monotonic()
    queue.put("later", delay=0.5)
    queue.put("now")
    assert queue.count() == 2
    with queue.take(timeout=5) as job:
        assert job.value == "now"
    with queue.take(timeout=5) as job:
        assert job.value == "later"
    assert 0.5 <= time.monotonic() - began < 2


def test_a_job_given_back_with_a_delay_keeps_its_count(board: Any) -> None:
    queue = board.queue("jobs")
    queue.put("x")
    queue.take(timeout=5).give_back(delay=0.2)
    with pytest.raises(WaitTimeoutError):
        queue.take(timeout=0)
    with queue.take(timeout=5) as job:
        assert job.deliveries == 2


def test_a_dead_letter_says_what_it_was(board: Any) -> None:
    queue = board.queue("jobs", max_deliveries=2)
    queue.put({"poison": True})
    queue.take(timeout=5).give_back()
    queue.take(timeout=5).give_back()
    assert (queue.count(), queue.dead.count()) == (0, 1)
    with queue.dead.take(timeout=5) as letter:
        assert (letter.value["queue"], letter.value["value"]) == ("jobs", {"poison": True})
        assert letter.value["deliveries"] == 2


def test_a_job_whose_last_lease_ends_becomes_a_dead_letter(board: Any) -> None:
    queue = board.queue("jobs", max_deliveries=1, lease=0.1, renew=False)
    queue.put("x")
    job = queue.take(timeout=5)
    with pytest.raises(WaitTimeoutError):
        queue.take(timeout=0.5)
    assert queue.dead.count() == 1
    with pytest.raises(LeaseLostError):
        job.done()


def test_a_putter_that_waits_for_room_gets_it(board: Any) -> None:
    queue = board.queue("jobs", max_items=1)
    queue.put(1)
    taker = threading.Timer(0.2, lambda: queue.take(timeout=5).done())
    taker.start()
    queue.put(2, timeout=5)
    taker.join(5)
    with queue.take(timeout=5) as job:
        assert job.value == 2


def test_many_takers_share_the_jobs_and_none_is_taken_twice(board: Any) -> None:
    queue = board.queue("jobs")
    got: list[int] = []

    def take() -> None:
        while True:
            try:
                with queue.take(timeout=1) as job:
                    got.append(job.value)
            except WaitTimeoutError:
                return

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for i in range(300):
        queue.put(i)
    for thread in threads:
        thread.join(30)
    assert sorted(got) == list(range(300))


def test_an_emptied_queue_leaves_nothing_in_redis(server: RedisServer, board: Any, name: str) -> None:
    import redis

    queue = board.queue("jobs")
    queue.put(1)
    queue.take(timeout=5).give_back()
    queue.take(timeout=5).done()
    with redis.Redis(port=server.port) as client:
        assert client.keys(f"tincans:{name}:*jobs") == []


@pytest.mark.parametrize("wait", ["take", "lock", "watch", "subscribe"])
def test_closing_wakes_who_waits(url: str, wait: str) -> None:
    ended: list[BaseException] = []
    alice = tincans.serve(url)
    held = tincans.serve(url)
    assert held.lock("update").acquire(timeout=1)
    waits = {
        "take": lambda: alice.queue("jobs").take(),
        "lock": lambda: alice.lock("update").acquire(),
        "watch": lambda: watch.receive(),
        "subscribe": lambda: notes.receive(),
    }
    watch, notes = alice.state.watch("key"), alice.subscribe("news")

    waiting = threading.Event()

    def run() -> None:
        waiting.set()
        try:
            waits[wait]()
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert waiting.wait(5)
    watch.close()
    notes.close()
    alice.close()
    thread.join(5)
    assert [type(error) for error in ended] == [ClosedError]
    held.close()


def test_closing_while_a_connection_is_fetched_is_told_as_that(server: RedisServer, monkeypatch: Any) -> None:
    place = place_of(parse(f"redis://127.0.0.1:{server.port}/0/closing"), OPTIONS)
    client = RedisClient(place)

    def fetch() -> None:
        client.close()
        raise TypeError("argument must be an int, or have a fileno() method.")  # as redis-py's select does then

    monkeypatch.setattr(client._pool, "get_connection", fetch)
    with pytest.raises(ClosedError):
        client.ask("PING", timeout=1)


# -- topics, values, locks ------------------------------------------------------------------------------------------


def test_a_wildcard_matches_as_everywhere_and_not_as_redis_would(board: Any) -> None:
    with board.subscribe("news.*") as words, board.subscribe("news.>") as rest, board.subscribe("a[bc]") as exact:
        board.publish("news.a.b", 1)
        board.publish("news.a", 2)
        board.publish("ab", 3)
        board.publish("a[bc]", 4)
        assert words.receive(timeout=5).value == 2
        assert [rest.receive(timeout=5).value for _ in range(2)] == [1, 2]
        assert exact.receive(timeout=5).value == 4


def test_a_subscriber_with_the_policy_refuse_is_told_that_it_lost_some(board: Any) -> None:
    with board.subscribe("news", limit=3, on_full="refuse") as notes:
        for i in range(100):
            board.publish("news", i)
        got: list[int] = []
        with pytest.raises(FullError):
            while True:
                got.append(notes.receive(timeout=5).value)
        assert got == list(range(len(got)))
        assert 3 <= len(got) < 100
        board.publish("news", "after")
        note = notes.receive(timeout=5)  # the first that found room again
        assert note.missed is None
        while note.value != "after":
            note = notes.receive(timeout=5)


def test_a_version_never_falls_also_when_a_key_was_deleted(board: Any) -> None:
    with board.state.watch("key") as changes:
        versions = []
        for value in (1, None, 2):
            if value is None:
                board.state.delete("key")
            else:
                board.state["key"] = value
            versions.append(changes.receive(timeout=5).version)
    assert versions == sorted(set(versions))


def test_tokens_grow_from_holder_to_holder(url: str, board: Any) -> None:
    tokens = []
    for _ in range(3):
        with tincans.serve(url) as other, other.lock("update", timeout=5) as lock:
            tokens.append(lock.token)
    assert tokens == sorted(set(tokens))


def test_a_released_lock_wakes_who_waits(board: Any) -> None:
    lock = board.lock("update")
    assert lock.acquire(timeout=1)
    releaser = threading.Timer(0.3, lock.release)
    releaser.start()
    began = time.monotonic()
    assert board.lock("update").acquire(timeout=10)
    assert time.monotonic() - began < 2
    releaser.join(5)
