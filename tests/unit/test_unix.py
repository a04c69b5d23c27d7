"""The method unix: found by name or path, for one user, and nothing left that blocks; and where local differs."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE, in_thread, open_descriptors

from tincans.conformance.patience import eventually
from tincans.contracts import Connection, Listener, Transport
from tincans.core.address import parse
from tincans.core.framing import FRAMES
from tincans.errors import AddressError, ClosedError, DeniedError, DisconnectedError, NameInUseError, UnreachableError
from tincans.toolkit.live_memory import segment_of
from tincans.transports import local, unix

SERVER = """
import sys
from tincans.core.address import parse
from tincans.core.framing import FRAMES
from tincans.transports import unix
listener = unix.TRANSPORT.listen(parse(sys.argv[1]), framing=FRAMES)
print("listening", flush=True)
connection = listener.accept(timeout=None)
while True:
    connection.send(connection.receive(timeout=None), timeout=5)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture(params=["unix:alice", "path"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"unix:{tmp_path}/own.sock" if request.param == "path" else request.param


@pytest.fixture
def listener(url: str) -> Iterator[Listener]:
    made = listen(url)
    yield made
    made.close()


def transport(url: str) -> Transport:
    return {"unix": unix.TRANSPORT, "local": local.TRANSPORT}[parse(url).method]


def listen(url: str) -> Listener:
    return transport(url).listen(parse(url), framing=FRAMES)


def connect(url: str, timeout: float = 1) -> Connection:
    return transport(url).connect(parse(url), timeout=timeout, framing=FRAMES)


def serve(url: str) -> subprocess.Popen[str]:
    """Another program that echoes for one connection."""
    program = subprocess.Popen([sys.executable, "-c", SERVER, url], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None and program.stdout.readline() == "listening\n"
    return program


def end(program: subprocess.Popen[str]) -> None:
    program.kill()
    program.communicate()


def accepted(listener: Listener) -> Connection:
    connection = listener.accept(timeout=PATIENCE)
    assert connection is not None
    return connection


def test_messages_go_both_ways(url: str, listener: Listener) -> None:
    here = connect(url)
    there = accepted(listener)
    here.send([b"hello", b"x" * 2_000_000], timeout=PATIENCE)
    assert [bytes(part) for part in there.receive(timeout=PATIENCE) or ()] == [b"hello", b"x" * 2_000_000]
    there.send([b"welcome"], timeout=1)
    assert here.receive(timeout=1) == [b"welcome"]
    here.close()
    there.close()


def test_the_kernel_says_who_is_at_the_other_end(url: str) -> None:
    program = serve(f"unix:{Path(os.environ['TINCANS_RUNTIME_DIR']).parent}/other.sock")
    connection = connect(f"unix:{Path(os.environ['TINCANS_RUNTIME_DIR']).parent}/other.sock")
    assert (connection.identity.pid, connection.identity.uid) == (program.pid, os.geteuid())
    assert connection.identity.key_name == ""
    connection.close()
    end(program)


def test_the_address_to_copy_is_the_one_that_was_asked_for(url: str, listener: Listener) -> None:
    connection = connect(listener.address)
    accepted(listener).close()
    connection.close()


def test_nobody_there_is_said_at_once(url: str) -> None:
    with pytest.raises(UnreachableError, match="Start the server") as refusal:
        connect(url, timeout=PATIENCE)
    assert refusal.value.temporary and refusal.value.url


def test_a_name_in_use_is_refused_with_the_holders_pid(url: str, listener: Listener) -> None:
    with pytest.raises(NameInUseError, match=str(os.getpid())):
        listen(url)
    connection = connect(url)
    accepted(listener).close()
    connection.close()


def test_a_killed_server_is_noticed_and_does_not_block_the_next_one(place: Path) -> None:
    program = serve("unix:alice")
    connection = connect("unix:alice")
    waiting = in_thread(lambda: connection.receive(timeout=None))
    eventually(lambda: connection._receiving)  # type: ignore[attr-defined]
    end(program)
    with pytest.raises(DisconnectedError):
        waiting.result(PATIENCE)
    assert (place / "alice.sock").exists()
    with pytest.raises(UnreachableError):
        connect("unix:alice")
    listen("unix:alice").close()
    connection.close()


def test_one_clean_start_removes_what_many_killed_servers_left(place: Path) -> None:
    for program in [serve(f"unix:{name}") for name in ("alice", "bob", "carol")]:
        end(program)
    assert len(list(place.iterdir())) == 6
    listener = listen("unix:dave")
    assert sorted(path.name for path in place.iterdir()) == ["dave.sock", "dave.sock.lock"]
    listener.close()


def test_closing_leaves_no_file_and_no_descriptor(url: str, tmp_path: Path) -> None:
    before = open_descriptors()
    listener = listen(url)
    connection = connect(url)
    accepted(listener).close()
    connection.close()
    listener.close()
    listener.close()
    assert open_descriptors() == before
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_closing_does_not_remove_what_somebody_else_has_put_there(place: Path) -> None:
    listener = listen("unix:alice")
    (place / "alice.sock").unlink()
    (place / "alice.sock").write_text("precious")
    listener.close()
    assert (place / "alice.sock").read_text() == "precious"


def test_a_refused_listener_lets_go_of_the_name(tmp_path: Path) -> None:
    path = tmp_path / "own.sock"
    path.write_text("precious")
    before = open_descriptors()
    with pytest.raises(DeniedError):
        listen(f"unix:{path}")
    assert open_descriptors() == before
    path.unlink()
    listen(f"unix:{path}").close()


@pytest.mark.parametrize("plant", ["file", "directory", "link", "pipe"])
def test_what_is_no_socket_is_never_removed(tmp_path: Path, plant: str) -> None:
    path = tmp_path / "own.sock"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    {
        "file": lambda: path.write_text("precious"),
        "directory": path.mkdir,
        "link": lambda: path.symlink_to(victim),
        "pipe": lambda: os.mkfifo(path),
    }[plant]()
    before = path.lstat()
    with pytest.raises(DeniedError, match="left alone"):
        listen(f"unix:{path}")
    assert os.path.samestat(path.lstat(), before)
    assert victim.read_text() == "precious"


def test_a_program_that_does_not_know_of_the_lock_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "own.sock"
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(path))
        stranger.listen(1)
        with pytest.raises(NameInUseError):
            listen(f"unix:{path}")
        assert stat.S_ISSOCK(path.lstat().st_mode)


def test_the_socket_is_for_this_user_only_whatever_the_umask(url: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        listener = listen(url)
    finally:
        os.umask(before)
    sockets = [path for path in tmp_path.rglob("*") if path.is_socket()]
    assert [path.stat().st_mode & 0o777 for path in sockets] == [0o600]
    listener.close()


def test_another_user_is_turned_away_by_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = listen("unix:alice")
    connection = connect("unix:alice")
    monkeypatch.setattr("tincans.toolkit.socket_platform.peer_of", lambda stream: (1, 54321))
    assert listener.accept(timeout=0.05) is None
    assert listener.refused == 1  # type: ignore[attr-defined]
    with pytest.raises(DisconnectedError):
        connection.receive(timeout=PATIENCE)
    connection.close()
    listener.close()


def test_another_users_server_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = listen("unix:alice")
    monkeypatch.setattr("tincans.toolkit.socket_platform.peer_of", lambda stream: (1, 54321))
    with pytest.raises(DeniedError, match="54321"):
        connect("unix:alice")
    connect("unix:alice?users=any").close()
    listener.close()


def test_any_user_may_come_where_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = listen(f"unix:{tmp_path}/own.sock?users=any")
    assert (tmp_path / "own.sock").stat().st_mode & 0o777 == 0o666
    connection = connect(f"unix:{tmp_path}/own.sock")
    monkeypatch.setattr("tincans.toolkit.socket_platform.peer_of", lambda stream: (1, 54321))
    there = accepted(listener)
    assert there.identity.uid == 54321
    for one in (there, connection, listener):
        one.close()


def test_a_path_too_long_for_a_socket_says_so(tmp_path: Path) -> None:
    long = f"unix:{tmp_path}/{'x' * 108}"
    for attempt in (listen, connect):
        with pytest.raises(AddressError, match="107"):
            attempt(long)


@pytest.mark.parametrize(
    "bad", ["unix:", "unix:a/b", "unix:../alice", "unix://host/alice", "unix:alice?color=red", "unix:alice?users=some"]
)
def test_an_address_that_makes_no_sense_says_what_would(bad: str) -> None:
    for attempt in (listen, connect):
        with pytest.raises(AddressError):
            attempt(bad)


@pytest.mark.parametrize("bad", ["local:", "local:a/b", "local:/a/path", "local://host"])
def test_a_local_address_is_a_name(bad: str) -> None:
    with pytest.raises(AddressError):
        connect(bad)


def test_a_missing_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="Make it first"):
        listen(f"unix:{tmp_path}/missing/own.sock")


def test_one_name_can_be_served_by_both_methods() -> None:
    listeners = [listen("unix:alice"), listen("alice"), listen("unix:alice.local")]
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(("options", "shared"), [("", True), ("?descriptors=no", False)])
def test_large_buffers_travel_as_shared_memory_unless_told_otherwise(options: str, shared: bool) -> None:
    listener = listen("unix:alice")
    here, there = connect("unix:alice" + options), accepted(listener)
    sending = in_thread(lambda: here.send([b"", b"x" * 2_000_000], timeout=PATIENCE))
    received = there.receive(timeout=PATIENCE)
    assert received is not None and (segment_of(received[1]) is not None) is shared
    sending.result(PATIENCE)
    for one in (here, there, listener):
        one.close()


def test_the_limit_of_the_url_holds() -> None:
    listener = listen("unix:alice?max_message=1k")
    here, there = connect("unix:alice?max_message=2k"), accepted(listener)
    assert (here.max_message, there.max_message) == (2048, 1024)
    for one in (here, there, listener):
        one.close()


def test_a_thousand_can_wait_to_be_accepted() -> None:
    listener = listen("unix:alice")
    callers = [connect("unix:alice") for _ in range(1000)]
    for caller in callers:
        caller.send([b"x"], timeout=1)
    connections = [accepted(listener) for _ in callers]
    assert all(connection.receive(timeout=1) == [b"x"] for connection in connections)
    for one in (*callers, *connections, listener):
        one.close()


def test_a_closed_listener_says_so() -> None:
    listener = listen("unix:alice")
    listener.close()
    with pytest.raises(ClosedError):
        listener.accept(timeout=1)
