"""mp: Python's own `multiprocessing.connection` as the other end, in programs of their own, and those who lie to it.

Rules of this file
- The other program uses the standard library only, in every Python that is on this machine's path.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import pickle
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest
from fuzz.mp_handshake import fuzz

import tincans
from tincans import aio, raw
from tincans.errors import (
    AddressError,
    ClosedError,
    DeniedError,
    DisconnectedError,
    ProtocolError,
    TincansError,
    UnreachableError,
    UnsendableError,
    UnsupportedError,
)

LISTENER = """
import sys
from multiprocessing.connection import Listener
place, key, kind = sys.argv[1], sys.argv[2].encode() or None, sys.argv[3]
with Listener(place or ("127.0.0.1", 0), authkey=key) as listener:
    print(listener.address if place else listener.address[1], flush=True)
    with listener.accept() as other:
        try:
            while True:
                if kind == "objects":
                    other.send(("got", other.recv()))
                else:
                    other.send_bytes(other.recv_bytes()[::-1])
        except EOFError:
            pass
"""

CLIENT = """
import sys
from multiprocessing.connection import Client
place, key, kind = sys.argv[1], sys.argv[2].encode() or None, sys.argv[3]
with Client(place if place.startswith("/") else ("127.0.0.1", int(place)), authkey=key) as other:
    if kind == "objects":
        other.send({"a": (1, 2.5, None)})
        assert other.recv() == ("got", {"a": (1, 2.5, None)})
    else:
        for size in (0, 1, 16385, 300_000):
            other.send_bytes(b"ab" * size)
            assert other.recv_bytes() == b"ba" * size
print("well", flush=True)
"""


def _pythons() -> list[str]:
    found = {sys.version_info[:2]: sys.executable}
    for minor in (11, 12, 13):
        path = shutil.which(f"python3.{minor}")
        if path and (3, minor) not in found and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            found[3, minor] = path
    return list(found.values())


PYTHONS = _pythons()


@contextlib.contextmanager
def program(python: str, code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [python, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def first_line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def port_of(listener: Any) -> int:
    return int(listener.url.partition("?")[0].rpartition(":")[2])


@contextlib.contextmanager
def stranger(url: str) -> Iterator[tuple[raw.Listener, socket.socket]]:
    """A listener of ours, and a plain socket that has just connected to it."""
    with (
        raw.listen(url) as listener,
        socket.create_connection(("127.0.0.1", port_of(listener))) as stream,
    ):
        yield listener, stream


# -- our connect, their Listener -------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
@pytest.mark.parametrize("key", ["", "secret"])
def test_a_listener_of_the_standard_library_gets_our_bytes(python: str, key: str) -> None:
    with program(python, LISTENER, "", key, "bytes") as other:
        with raw.connect(f"mp://127.0.0.1:{first_line(other)}{'?authkey=' + key if key else ''}") as here:
            for size in (0, 1, 16385, 300_000):
                here.send(b"ab" * size)
                assert here.receive() == b"ba" * size
        assert other.wait(10) == 0


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_a_listener_of_the_standard_library_gets_our_objects(python: str) -> None:
    with program(python, LISTENER, "", "secret", "objects") as other:
        with raw.connect(f"mp://:secret@127.0.0.1:{first_line(other)}?unsafe_pickle=1") as here:
            here.send({"a": (1, None)})
            assert here.receive() == ("got", {"a": (1, None)})
        assert other.wait(10) == 0


def test_a_listener_at_a_path_is_reached_too(tmp_path: Path) -> None:
    with program(sys.executable, LISTENER, str(tmp_path / "their.sock"), "secret", "bytes") as other:
        with raw.connect(f"mp:{first_line(other)}?authkey=secret") as here:
            here.send(b"abc")
            assert here.receive() == b"cba"
        assert other.wait(10) == 0


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_a_wrong_key_is_denied_by_their_listener(python: str) -> None:
    with program(python, LISTENER, "", "secret", "bytes") as other, pytest.raises(DeniedError, match="authkey"):
        raw.connect(f"mp://127.0.0.1:{first_line(other)}?authkey=other")


def test_their_listener_without_a_key_cannot_satisfy_us() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            raw.connect(f"mp://127.0.0.1:{silent.getsockname()[1]}?authkey=secret", timeout=0.5)
        assert time.monotonic() - began < 3


def test_a_server_that_cannot_prove_the_key_is_denied() -> None:
    """It welcomes whatever we answer; but our own challenge it cannot meet."""

    def serve(listening: socket.socket) -> None:
        stream, _ = listening.accept()
        with stream:
            say(stream, b"#CHALLENGE#{sha256}" + b"x" * 40)
            hear(stream)
            say(stream, b"#WELCOME#")
            challenge = hear(stream)[len(b"#CHALLENGE#") :]
            say(stream, b"{sha256}" + hmac.new(b"wrong", challenge, "sha256").digest())
            assert hear(stream) == b"#FAILURE#"

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        with pytest.raises(DeniedError, match="does not have our authkey"):
            raw.connect(f"mp://127.0.0.1:{listening.getsockname()[1]}?authkey=secret", timeout=2)
        server.join(5)


def say(stream: socket.socket, message: bytes) -> None:
    stream.sendall(struct.pack("!i", len(message)) + message)


def hear(stream: socket.socket) -> bytes:
    stream.settimeout(5)
    (size,) = struct.unpack("!i", stream.recv(4, socket.MSG_WAITALL))
    return stream.recv(size, socket.MSG_WAITALL)


# -- their Client, our listen ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def echo(url: str, kind: str) -> Iterator[raw.Listener]:
    """Answers whoever comes as LISTENER does."""

    def serve(listener: raw.Listener) -> None:
        for there in listener:
            with there, contextlib.suppress(TincansError):
                for message in there:
                    there.send(("got", message) if kind == "objects" else message[::-1])

    with raw.listen(url) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        yield listener
    server.join(10)


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
@pytest.mark.parametrize("kind", ["bytes", "objects"])
def test_a_client_of_the_standard_library_is_served(python: str, kind: str) -> None:
    url = "mp://127.0.0.1:0?authkey=secret" + ("&unsafe_pickle=1" if kind == "objects" else "")
    with echo(url, kind) as listener, program(python, CLIENT, str(port_of(listener)), "secret", kind) as other:
        out, problem = other.communicate(timeout=20)
        assert out == "well\n", problem


def test_a_client_at_a_path_is_served(tmp_path: Path) -> None:
    with (
        echo(f"mp:{tmp_path}/ours.sock", "bytes"),
        program(sys.executable, CLIENT, f"{tmp_path}/ours.sock", "", "bytes") as other,
    ):
        assert other.communicate(timeout=20)[0] == "well\n"


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_a_client_with_a_wrong_key_is_refused_and_the_next_one_served(python: str) -> None:
    with echo("mp://127.0.0.1:0?authkey=secret", "bytes") as listener:
        with program(python, CLIENT, str(port_of(listener)), "wrong", "bytes") as other:
            _, problem = other.communicate(timeout=20)
            assert "AuthenticationError" in problem
        with program(python, CLIENT, str(port_of(listener)), "secret", "bytes") as other:
            assert other.communicate(timeout=20)[0] == "well\n"


def test_the_async_face_serves_a_client_of_the_standard_library() -> None:
    async def work() -> None:
        async with aio.raw.listen("mp://127.0.0.1:0?authkey=secret") as listener:
            port = str(port_of(listener))
            other = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CLIENT, port, "secret", "bytes", stdout=subprocess.PIPE
            )
            there = await listener.accept(timeout=10)
            assert there is not None
            async for message in there:
                await there.send(message[::-1])
            assert (await other.communicate())[0] == b"well\n"
            await there.close()

    asyncio.run(asyncio.wait_for(work(), 20))


def test_old_clients_can_be_refused() -> None:
    """What Python 3.11 answers to a challenge: HMAC-MD5, without saying so."""
    with stranger("mp://127.0.0.1:0?authkey=secret&digest=sha256") as (listener, stream):
        listener.accept(timeout=0.1)
        challenge = hear(stream)[len(b"#CHALLENGE#") :]
        say(stream, hmac.new(b"secret", challenge, "md5").digest())
        assert listener.accept(timeout=0.1) is None
        assert hear(stream) == b"#FAILURE#"


# -- strangers -------------------------------------------------------------------------------------------------------


def test_silent_strangers_hold_up_nobody_and_are_cut_at_their_deadline() -> None:
    with echo("mp://127.0.0.1:0?authkey=secret", "bytes") as listener, contextlib.ExitStack() as stack:
        place = ("127.0.0.1", port_of(listener))
        silent = [stack.enter_context(socket.create_connection(place)) for _ in range(50)]
        began = time.monotonic()
        with Client(place, authkey=b"secret") as other:
            other.send_bytes(b"abc")
            assert other.recv_bytes() == b"cba"
        assert time.monotonic() - began < 2
        for stream in silent:
            hear(stream)
            stream.settimeout(10)
            assert stream.recv(1) == b""
        assert time.monotonic() - began < 8


def test_of_too_many_strangers_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincans.toolkit.proving_listener.MOST_STRANGERS", 5)
    with raw.listen("mp://127.0.0.1:0?authkey=secret") as listener, contextlib.ExitStack() as stack:
        place = ("127.0.0.1", port_of(listener))
        crowd = [stack.enter_context(socket.create_connection(place)) for _ in range(8)]
        assert listener.accept(timeout=0.2) is None
        for stream in crowd:
            hear(stream)
        for stream in crowd[:3]:
            assert stream.recv(1) == b""
        crowd[-1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            crowd[-1].recv(1)


@pytest.mark.parametrize("size", [-1, -2, 257, 2**31 - 1])
def test_a_huge_length_in_the_handshake_ends_it(size: int) -> None:
    with stranger("mp://127.0.0.1:0?authkey=secret") as (listener, stream):
        listener.accept(timeout=0.1)
        hear(stream)
        stream.sendall(struct.pack("!i", size) + b"x" * 8)
        assert listener.accept(timeout=0.1) is None
        with contextlib.suppress(ConnectionResetError):
            assert stream.recv(1) == b""


@pytest.mark.parametrize(
    "head",
    [struct.pack("!i", 1001), struct.pack("!i", -2), struct.pack("!i", 2**31 - 1), struct.pack("!iQ", -1, 2**63)],
)
def test_a_huge_length_takes_no_memory_and_ends_the_connection(head: bytes) -> None:
    with stranger("mp://127.0.0.1:0?max_message=1000") as (listener, stream):
        there = listener.accept(timeout=5)
        assert there is not None
        stream.sendall(head)
        with pytest.raises(ProtocolError):
            there.receive(timeout=5)


@pytest.mark.parametrize("answer", [b"", b"#WELCOME#", b"{sha256}", b"{md5}" + b"x" * 16, b"x" * 16, b"{nonsense}xxxx"])
def test_an_answer_that_proves_nothing_is_refused(answer: bytes) -> None:
    with stranger("mp://127.0.0.1:0?authkey=secret") as (listener, stream):
        listener.accept(timeout=0.1)
        hear(stream)
        say(stream, answer)
        assert listener.accept(timeout=0.1) is None
        assert hear(stream) == b"#FAILURE#"


def test_our_own_answer_sent_back_to_us_is_refused() -> None:
    with stranger("mp://127.0.0.1:0?authkey=secret") as (listener, stream):
        listener.accept(timeout=0.1)
        say(stream, hear(stream))
        assert listener.accept(timeout=0.1) is None
        assert hear(stream) == b"#FAILURE#"


def test_closing_wakes_an_accept() -> None:
    listener = raw.listen("mp://127.0.0.1:0?authkey=secret")
    timer = threading.Timer(0.1, listener.close)
    timer.start()
    with pytest.raises(ClosedError):
        listener.accept(timeout=10)


# -- pickles ---------------------------------------------------------------------------------------------------------


def test_objects_refuse_to_start_without_the_word() -> None:
    for open_one in (raw.connect, raw.listen):
        with pytest.raises(UnsupportedError, match="unsafe_pickle=1"):
            open_one("mp://127.0.0.1:0?objects=yes")  # type: ignore[operator]


def test_an_object_is_not_sent_without_the_word_and_a_pickle_is_only_bytes(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "it went off",)

    with raw.listen("mp://127.0.0.1:0?authkey=secret") as listener:
        coming = threading.Thread(target=lambda: _send_pickle(port_of(listener), Bomb()))
        coming.start()
        there = listener.accept(timeout=5)
        assert there is not None
        with there:
            assert there.receive(timeout=5) == pickle.dumps(Bomb())
            with pytest.raises(UnsendableError, match="unsafe_pickle=1"):
                there.send({"an": "object"})
        coming.join(5)
    assert list(tmp_path.iterdir()) == []


def _send_pickle(port: int, thing: Any) -> None:
    with Client(("127.0.0.1", port), authkey=b"secret") as other:
        other.send_bytes(pickle.dumps(thing))
        other.poll(5)


def test_pickles_over_tcp_need_a_key() -> None:
    with pytest.raises(AddressError, match="authkey_file"):
        raw.listen("mp://127.0.0.1:0?unsafe_pickle=1")
    with pytest.raises(AddressError, match="network"):
        raw.listen("mp://0.0.0.0:0")


def test_what_cannot_be_pickled_or_unpickled_is_a_clear_error() -> None:
    with raw.listen("mp:mp-garbage?unsafe_pickle=1") as listener, raw.connect("mp:mp-garbage") as here:
        there = listener.accept(timeout=5)
        assert there is not None
        with pytest.raises(UnsendableError, match="pickled"):
            there.send(lambda: None)
        here.send(b"garbage")
        with pytest.raises(ProtocolError):
            there.receive(timeout=5)
        with pytest.raises(DisconnectedError):
            here.receive(timeout=5)


def test_the_key_may_stand_in_a_file_that_others_cannot_read_and_is_masked(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text("secret\n")
    with tincans.serve(f"mp://127.0.0.1:0?authkey_file={file}") as server:
        server.expose(len)
        with tincans.connect(server.url.partition("?")[0] + "?authkey=secret") as peer:
            assert peer.call.len("four") == 4
            assert "secret" not in peer.url


def test_no_lie_is_let_in() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    assert fuzz(5_000, seed) >= 5_000
