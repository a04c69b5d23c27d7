"""mq: what only message queues can break: kills of either side, leftovers that no `ls` shows, full queues, limits.

Rules of this file
- Whoever is killed is a program of its own. A queue is looked for by its name in the kernel, not by a file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tincans
from tincans import raw
from tincans.conformance.patience import eventually
from tincans.errors import (
    AddressError,
    DeniedError,
    DisconnectedError,
    MissingLibraryError,
    NameInUseError,
    UnreachableError,
    WaitTimeoutError,
)
from tincans.toolkit.files.runtime_directory import runtime_directory
from tincans.toolkit.mq import message_queue, orphans
from tincans.toolkit.mq import rendezvous as queue_rendezvous

PROMPTLY = 0.1
"""Seconds within which a death is felt."""

SERVER = """
import sys, tincans
server = tincans.serve("mq:" + sys.argv[1])
@server.expose
def echo(value): return value
@server.expose
def nap(seconds: float):
    import time
    time.sleep(seconds)
print("ready", flush=True)
server.run()
"""

CLIENT = """
import sys, time, tincans
peer = tincans.connect("mq:" + sys.argv[1])
assert peer.call.echo(5) == 5
print("ready", flush=True)
time.sleep(600)
"""

MANY = """
import sys, threading, time, tincans
over = time.monotonic() + float(sys.argv[2])
done = []
def one():
    with tincans.connect("mq:" + sys.argv[1]) as peer:
        while time.monotonic() < over:
            for number, started in enumerate([peer.start.echo(number) for number in range(32)]):
                assert started.result(10) == number
    done.append(1)
threads = [threading.Thread(target=one, daemon=True) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join(max(0, over - time.monotonic()) + 8)
print(len(done), flush=True)
"""

HALF_WAY = """
import os, sys, time
from tincans.toolkit.mq import rendezvous as queue_rendezvous
with queue_rendezvous.new_pair(sys.argv[1], messages=2, size=64) as (token, down, up):
    print(token, flush=True)
    time.sleep(600)
"""


LARGE_HALF_WAY = HALF_WAY.replace("messages=2, size=64", "messages=10, size=8192")


@pytest.fixture(autouse=True)
def place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody will ever start there again, so the queues of those who were killed are removed here: the kernel would
    keep them, and a user may have few."""
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path / "run"))
    yield
    queue_rendezvous.sweep()


@contextlib.contextmanager
def program(code: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program of its own, and the first line that it said."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running, running.stdout.readline().strip()
        finally:
            with contextlib.suppress(ProcessLookupError):
                running.kill()


def kill(running: subprocess.Popen[str]) -> float:
    """Kill it; when."""
    now = time.monotonic()
    os.kill(running.pid, signal.SIGKILL)
    return now


def is_there(name: str) -> bool:
    """Whether the kernel has a queue of this name."""
    try:
        message_queue.open_queue(name).close()
    except FileNotFoundError:
        return False
    return True


def markers() -> list[str]:
    return sorted(path.name for path in runtime_directory().glob("*.mq*"))


@pytest.mark.alone
def test_a_waiting_caller_hears_of_the_servers_death_at_once() -> None:
    took = []
    for _ in range(3):
        with program(SERVER, "alice") as (server, _), tincans.connect("mq:alice") as peer:
            waiting = peer.start.nap(600)
            assert peer.call.echo(1) == 1
            killed = kill(server)
            with pytest.raises(DisconnectedError):
                waiting.result(10)
            took.append(time.monotonic() - killed)
    assert min(took) < PROMPTLY


@pytest.mark.alone
def test_a_sender_that_waits_for_room_hears_of_the_death_too() -> None:
    took = []
    code = "import sys, time; from tincans import raw\nwith raw.listen('mq:' + sys.argv[1]) as listener:\n"
    code += "    print('ready', flush=True)\n    there = listener.accept()\n    time.sleep(600)"
    for _ in range(3):
        with program(code, "full") as (server, _), raw.connect("mq:full") as here:
            with pytest.raises(WaitTimeoutError):
                here.send(b"x" * 100_000, timeout=0.05)
            outcome: list[Any] = []

            def push(here: raw.Connection = here, outcome: list[Any] = outcome) -> None:
                try:
                    here.send(b"more", timeout=10)
                except DisconnectedError:
                    outcome.append(time.monotonic())

            sender = threading.Thread(target=push)
            sender.start()
            time.sleep(0.05)
            killed = kill(server)
            sender.join(10)
            took.append(outcome[0] - killed)
    assert min(took) < PROMPTLY


def test_a_server_forgets_a_client_that_was_killed_and_serves_on() -> None:
    with tincans.serve("mq:alice") as server:
        server.expose(lambda value: value, name="echo")
        for _ in range(5):
            with program(CLIENT, "alice") as (client, _):
                eventually(lambda: len(server._host.links) == 1)
                killed = kill(client)
                eventually(lambda: not server._host.links)
                assert time.monotonic() - killed < 2
        with tincans.connect("mq:alice") as peer:
            assert peer.call.echo(5) == 5


def test_what_a_killed_server_leaves_blocks_nobody_and_goes_at_one_clean_start() -> None:
    with program(SERVER, "alice") as (server, _):
        kill(server)
        server.wait(10)
    assert is_there(queue_rendezvous.queue_name("alice"))
    with pytest.raises(UnreachableError):
        tincans.connect("mq:alice", timeout=0.2)
    with tincans.serve("mq:alice") as again:
        again.expose(len)
        with tincans.connect("mq:alice") as peer:
            assert peer.call.len("four") == 4
    assert not is_there(queue_rendezvous.queue_name("alice"))
    assert markers() == []


def test_a_start_by_another_name_removes_what_was_left_as_well() -> None:
    with program(SERVER, "alice") as (server, _):
        kill(server)
        server.wait(10)
    with tincans.serve("mq:another"):
        assert not is_there(queue_rendezvous.queue_name("alice"))
        assert markers() == ["another.mqdoor"]
    assert markers() == []


def test_what_a_client_leaves_that_was_killed_while_it_connected_goes_too() -> None:
    with program(HALF_WAY, "alice") as (client, token):
        names = queue_rendezvous.pair_names("alice", token)
        assert all(map(is_there, names))
        queue_rendezvous.sweep()
        assert all(map(is_there, names)), "it lives"
        kill(client)
        client.wait(10)
    assert all(map(is_there, names))
    with tincans.serve("mq:alice"):
        assert not any(map(is_there, names))
        assert markers() == ["alice.mqdoor"]


def test_a_client_that_finds_no_room_removes_what_dead_ones_left() -> None:
    with program(SERVER, "alice"):
        for _ in range(20):
            with program(LARGE_HALF_WAY, "alice") as (client, token):
                kill(client)
                client.wait(10)
            if not token:
                break  # the user has no room left
        with tincans.connect("mq:alice", timeout=1) as peer:
            assert peer.call.echo(5) == 5


def test_queues_whose_runtime_directory_is_gone_are_removed_and_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "mqueue"  # as the kernel would list them, which it does not on every machine
    listed.mkdir()
    names: dict[str, list[str]] = {}
    with contextlib.ExitStack() as stack:
        for who in ("dead", "alive"):
            monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path / who))
            server, _ = stack.enter_context(program(SERVER, "alice"))
            client, token = stack.enter_context(program(HALF_WAY, "alice"))
            names[who] = [queue_rendezvous.queue_name("alice"), *queue_rendezvous.pair_names("alice", token)]
            for name in names[who]:
                (listed / name[1:]).touch()
            if who == "dead":
                kill(server)
                kill(client)
                server.wait(10)
                client.wait(10)
        shutil.rmtree(tmp_path / "dead")
        (listed / "not-ours").touch()
        assert orphans.sweep_all(listed) == 0, "they are young: their makers may be about to lock them"
        assert orphans.sweep_all(listed, unused_for=0) == 3
        assert not any(map(is_there, names["dead"]))
        assert all(map(is_there, names["alive"]))
    queue_rendezvous.sweep(tmp_path / "alive")


def test_many_kills_of_both_sides_leave_nothing_after_one_clean_start() -> None:
    for _ in range(10):
        with program(SERVER, "alice") as (server, _), program(CLIENT, "alice") as (client, _):
            kill(server)
            kill(client)
    with tincans.serve("mq:alice") as clean:
        clean.expose(len)
        with tincans.connect("mq:alice") as peer:
            assert peer.call.len("abc") == 3
    assert markers() == []
    assert not is_there(queue_rendezvous.queue_name("alice"))


def test_a_name_is_held_by_one_live_server() -> None:
    with tincans.serve("mq:alice"), pytest.raises(NameInUseError):
        tincans.serve("mq:alice")


def test_a_server_that_is_stopped_does_not_hold_a_client_beyond_its_timeout() -> None:
    with program(SERVER, "alice") as (server, _):
        os.kill(server.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            tincans.connect("mq:alice", timeout=0.5)
        assert time.monotonic() - began < 3
        os.kill(server.pid, signal.SIGCONT)
        with tincans.connect("mq:alice") as peer:
            assert peer.call.echo(1) == 1


def test_a_message_much_larger_than_the_queue_arrives_whole() -> None:
    with program(SERVER, "alice") as (_, _), tincans.connect("mq:alice") as peer:
        data = os.urandom(3_000_000)
        assert peer.call.echo(data) == data


def test_a_full_queue_holds_the_sender_back_and_loses_nothing() -> None:
    with raw.listen("mq:alice") as listener:
        here, there = _pair(listener)
        with here, there:
            sent = 0
            with pytest.raises(WaitTimeoutError):
                for sent in range(10_000):
                    here.send(sent.to_bytes(4, "big"), timeout=0.02)
            got = [int.from_bytes(there.receive(timeout=5), "big") for _ in range(sent)]
            assert got == list(range(sent))
            here.send(b"after")
            assert there.receive(timeout=5)[-5:] == b"after"


def _pair(listener: raw.Listener, options: str = "") -> tuple[raw.Connection, raw.Connection]:
    accepted: list[Any] = []
    server = threading.Thread(target=lambda: accepted.append(listener.accept(timeout=10)))
    server.start()
    here = raw.connect(listener.url + options)
    server.join(10)
    return here, accepted[0]


def test_closing_is_noticed_by_a_peer_with_a_full_queue() -> None:
    with raw.listen("mq:alice") as listener:
        here, there = _pair(listener)
        with here, there:
            with pytest.raises(WaitTimeoutError):
                here.send(b"x" * 100_000, timeout=0.05)
            threading.Timer(0.1, there.close).start()
            began = time.monotonic()
            with pytest.raises(DisconnectedError):
                here.send(b"more", timeout=10)
            assert time.monotonic() - began < 2
            with pytest.raises(DisconnectedError):
                here.receive(timeout=10)


def test_many_clients_talk_at_once_and_one_too_many_is_told_why() -> None:
    with program(SERVER, "alice") as (_, _), contextlib.ExitStack() as stack:
        peers = []
        with pytest.raises(
            UnreachableError, match=r"RLIMIT_MSGQUEUE.*ulimit -q.*needs [\d,]+, and each connection has"
        ):
            for _ in range(100):
                peers.append(stack.enter_context(tincans.connect("mq:alice?message_size=2048", timeout=0.2)))
        assert len(peers) >= 10
        assert [peer.call.echo(n) for n, peer in enumerate(peers)] == list(range(len(peers)))
        peers.pop().close()
        with tincans.connect("mq:alice?message_size=2048") as next_one:
            assert next_one.call.echo("room again") == "room again"


def test_many_clients_with_many_calls_under_way_wait_for_nobody() -> None:
    """Both sides' queues are full again and again; whoever had to read was waiting for room, once."""
    with program(SERVER, "alice"):
        many = [subprocess.Popen([sys.executable, "-c", MANY, "alice", "3"], stdout=subprocess.PIPE) for _ in range(2)]
        assert [one.communicate(timeout=30)[0].split() for one in many] == [[b"20"]] * 2


@pytest.mark.parametrize("url", ["mq:alice?messages=100000", "mq:alice?message_size=100000000", "mq:alice?messages=0"])
def test_more_than_the_kernel_allows_is_said(url: str) -> None:
    with pytest.raises(AddressError, match="/proc/sys/fs/mqueue"):
        tincans.connect(url)


@pytest.mark.parametrize("url", ["mq:", "mq:/alice", "mq:a/b", "mq://host/x", "mq:..", "mq:" + "x" * 101])
def test_what_is_no_name_is_refused(url: str) -> None:
    for open_one in (tincans.connect, tincans.serve):
        with pytest.raises(AddressError):
            open_one(url)


def test_garbage_at_the_door_is_passed_over() -> None:
    with tincans.serve("mq:alice") as server:
        server.expose(len)
        door = message_queue.open_queue(queue_rendezvous.queue_name("alice"))
        for data in (b"", b"garbage", b"tincan1 " + b"0" * 32 + b" 1", b"tincan1 ../../etc 5"):
            assert door.send(data)
        door.close()
        with tincans.connect("mq:alice") as peer:
            assert peer.call.len("abc") == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user: sudo make test")
def test_another_user_can_open_no_queue() -> None:
    with tincans.serve("mq:alice"):
        code = (
            "import os, sys, posix_ipc\nfrom tincans.toolkit.mq import message_queue\nos.setuid(65534)\n"
            "try: message_queue.open_queue(sys.argv[1])\nexcept Exception as error: print(type(error).__name__)"
        )
        with program(code, queue_rendezvous.queue_name("alice")) as (_, said):
            assert said == "DeniedError"


def test_a_queue_that_others_may_open_is_not_used() -> None:
    import posix_ipc

    name = queue_rendezvous.queue_name("alice")
    before = os.umask(0)
    try:
        planted = posix_ipc.MessageQueue(name, posix_ipc.O_CREX, mode=0o666, max_messages=2, max_message_size=64)
    finally:
        os.umask(before)
    try:
        with pytest.raises(DeniedError):
            tincans.serve("mq:alice")
    finally:
        planted.close()
        posix_ipc.unlink_message_queue(name)


def test_an_idle_connection_uses_no_processor() -> None:
    with tincans.serve("mq:alice") as server:
        server.expose(lambda value: value, name="echo")
        with program(CLIENT, "alice") as (client, said):
            assert said == "ready"
            eventually(lambda: wakes_within(client.pid, 0.2) == 0, timeout=10)
            assert wakes_within(client.pid, 1.0) <= 1, "the heartbeat may look once"


def wakes_within(pid: int, seconds: float) -> int:
    """How often a thread of it went to sleep: however busy the machine is with other programs, who idles does not."""

    def so_far() -> int:
        states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
        return sum(int(state.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for state in states)

    before = so_far()
    time.sleep(seconds)
    return so_far() - before


def test_a_forked_child_lets_go_of_its_parents_queues() -> None:
    with tincans.serve("mq:alice") as server:
        server.expose(os.getpid)
        with tincans.connect("mq:alice") as peer:
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            assert peer.call.getpid() == os.getpid()


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "posix_ipc", None)
    for open_one in (tincans.connect, tincans.serve):
        with pytest.raises(MissingLibraryError, match=r"tincans\[mq\]"):
            open_one("mq:alice")
