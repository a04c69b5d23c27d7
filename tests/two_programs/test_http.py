"""HTTP between two programs that live and die apart: what is in flight, what comes back, who starts first.

Rules of this file
- Alice is a program of her own, really killed; Bob is this one, through his own client, in both faces.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tincans
import tincans.aio
from tincans.conformance.patience import eventually
from tincans.conformance.plugin import start_alice, stop
from tincans.errors import DisconnectedError, TincansError, UnreachableError
from tincans.toolkit.files.runtime_directory import services

PROMPTLY = 2.0


@pytest.fixture
def url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@contextlib.contextmanager
def alice_at(url: str) -> Iterator[Any]:
    """Alice; killed at the end if she still runs."""
    process, _ = start_alice(url)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        stop(process)
        services()  # what a killed one said of itself is swept away


def ending(wait: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """A wait on a thread of its own, and how it ends."""
    ended: list[Any] = []

    def work() -> None:
        try:
            ended.append(wait())
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, ended


def test_killing_the_server_wakes_every_waiter_with_an_unknown_outcome(url: str) -> None:
    with alice_at(url) as alice, tincans.connect(url) as bob, bob.subscribe("news") as notes:
        bob.publish("news", 1)
        assert notes.receive(timeout=5).value == 1
        stream = bob.call.count(10**9)
        assert next(stream) == 0
        waits = [
            ending(lambda: bob.call.note_and_sleep("begun", 60)),
            ending(lambda: bob.queue("jobs").take(timeout=60)),
            ending(lambda: notes.receive(timeout=60)),
            ending(lambda: bob.start.sleep(60).result()),
            ending(lambda: sum(stream)),
        ]
        eventually(lambda: "begun" in bob.call.noted())
        alice.send_signal(signal.SIGKILL)
        began = time.monotonic()
        for thread, _ in waits:
            thread.join(10)
        assert time.monotonic() - began < PROMPTLY
        outcomes = [ended[0] for _, ended in waits]
        assert all(isinstance(each, DisconnectedError) for each in outcomes), outcomes
        assert {outcomes[0].outcome, outcomes[1].outcome, outcomes[3].outcome} == {"unknown"}


def test_a_call_waits_for_a_server_that_is_started_again(url: str) -> None:
    with alice_at(url):
        bob = tincans.connect(url)
        assert bob.call.add(1, 1) == 2
    with bob:
        thread, ended = ending(lambda: bob.with_options(timeout=20).call.add(2, 2))
        with pytest.raises(UnreachableError):
            bob.with_options(timeout=0.3).call.add(2, 2)
        with alice_at(url):
            thread.join(20)
        assert ended == [4]


def test_a_restart_is_a_gap_in_a_subscription_and_nothing_more(url: str) -> None:
    with alice_at(url) as alice:
        bob = tincans.connect(url)
        notes = bob.subscribe("news")
        bob.publish("news", 1)
        assert notes.receive(timeout=5).value == 1
        alice.send_signal(signal.SIGKILL)
        alice.wait(10)
        with bob, alice_at(url):
            got: list[Any] = []

            def heard() -> bool:
                with contextlib.suppress(TincansError):
                    bob.publish("news", 2)
                    got.append(notes.receive(timeout=0.2))
                return bool(got)

            eventually(heard)
            assert (got[0].value, got[0].missed) == (2, None)


def test_who_connects_first_waits_for_the_server(url: str) -> None:
    thread, ended = ending(lambda: tincans.connect(url, timeout=20))
    with alice_at(url):
        thread.join(20)
        with ended[0] as bob:
            assert bob.call.add(2, 5) == 7


def test_nobody_there_is_told_at_the_timeout(url: str) -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="127"):
        tincans.connect(url, timeout=0.3)
    assert time.monotonic() - began < PROMPTLY


def test_a_stopped_server_costs_the_timeout_and_no_more(url: str) -> None:
    with alice_at(url) as alice, tincans.connect(url) as bob:
        assert bob.call.add(1, 1) == 2
        alice.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(tincans.CallTimeoutError):
            bob.with_options(timeout=0.5).call.add(1, 1)
        assert 0.4 < time.monotonic() - began < PROMPTLY
        alice.send_signal(signal.SIGCONT)
        assert bob.call.add(2, 2) == 4


def test_a_server_that_is_asked_to_end_does_so_though_clients_stay(url: str) -> None:
    with alice_at(url) as alice, tincans.connect(url) as bob, bob.subscribe("news") as notes:
        bob.publish("news", 1)
        assert notes.receive(timeout=5).value == 1
        stream = bob.call.count(10**9)
        assert next(stream) == 0
        thread, ended = ending(lambda: bob.queue("jobs").take(timeout=60))
        answer = bob.start.sleep(0.5)
        eventually(lambda: bob.call.add(1, 1) == 2)
        alice.send_signal(signal.SIGTERM)
        assert alice.wait(15) == 0
        assert answer.result(5) == "awake"
        thread.join(5)
        assert isinstance(ended[0], TincansError)


def test_a_job_of_a_client_that_died_while_it_waited_goes_to_another(url: str) -> None:
    with alice_at(url), tincans.connect(url) as bob:
        with contextlib.closing(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))) as dying:
            line = b'{"id":1,"call":"$take","args":["jobs",30.0,3],"timeout":20}'
            head = b"POST /-/call HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
            dying.sendall(head + b"%d\r\n\r\n%b" % (len(line), line))
            eventually(lambda: bob.call.add(1, 1) == 2)
        bob.queue("jobs").put("x")
        with bob.queue("jobs").take(timeout=10) as job:
            assert job.value == "x"


FORKING_CLIENT = """
import os, sys, tincans
bob = tincans.connect(sys.argv[1])
assert bob.call.add(1, 1) == 2 and bob.start.add(1, 1).result(10) == 2
child = os.fork()
if not child:
    os._exit(0 if bob.call.add(2, 2) == 4 and bob.start.add(2, 3).result(10) == 5 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert bob.call.add(3, 3) == 6
"""

FORKING_SERVER = """
import os, sys, time, tincans
alice = tincans.serve(sys.argv[1])
alice.expose(os.fork, name="fork")
alice.expose(os.getpid, name="pid")
print(alice.url, flush=True)
alice.run()
"""


def test_a_forked_child_makes_connections_of_its_own(url: str) -> None:
    with alice_at(url):
        done = subprocess.run([sys.executable, "-c", FORKING_CLIENT, url], timeout=60, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_child_of_the_server_does_not_hold_its_connections_open(url: str) -> None:
    server = subprocess.Popen([sys.executable, "-c", FORKING_SERVER, url], stdout=subprocess.PIPE, text=True)
    child = 0
    try:
        assert server.stdout is not None
        server.stdout.readline()
        bob = tincans.connect(url)
        with bob, contextlib.closing(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))) as silent:
            child = bob.call.fork()
            server.kill()
            server.wait(10)
            silent.settimeout(5)
            with contextlib.suppress(ConnectionError):
                assert silent.recv(1) == b""
            with alice_at(url):
                assert bob.call.add(2, 2) == 4
    finally:
        stop(server)
        services()
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def test_the_async_face_notices_a_death_too(url: str) -> None:
    async def main() -> None:
        async with tincans.aio.connect(url) as bob:
            assert await bob.call.add(1, 1) == 2
            waiting = asyncio.ensure_future(bob.call.sleep(60))
            await asyncio.sleep(0.3)
            alice.send_signal(signal.SIGKILL)
            with pytest.raises(DisconnectedError):
                await asyncio.wait_for(waiting, 10)

    with alice_at(url) as alice:
        asyncio.run(main())
