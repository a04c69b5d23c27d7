"""tincans.raw: the connection without the cans, in both faces and on every connection method.

Rules of this file
- Foreign programs are plain sockets, `cat` and `sort`: none of them has ever heard of Tincans.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tincans
from tincans import aio, raw
from tincans.errors import (
    AddressError,
    ClosedError,
    DisconnectedError,
    ProtocolError,
    TooLargeError,
    UnreachableError,
    UnsendableError,
    UnsupportedError,
    WaitTimeoutError,
)

METHODS = ["memory:{}", "memory:{}?descriptor=no", "unix:{}", "{}", "shm:{}", "pipe:{}", "mq:{}", "tcp://127.0.0.1:0"]
_numbers = itertools.count()


def fresh(template: str, framing: str = "") -> str:
    url = template.format(f"raw-{next(_numbers)}")
    return f"{url if ':' in url else 'local:' + url}{'&' if '?' in url else '?'}framing={framing}" if framing else url


def joined(url: str, framing: str) -> str:
    """The listener's address with the framing that it does not show."""
    return f"{url}{'&' if '?' in url else '?'}framing={framing}"


@contextlib.contextmanager
def string(template: str, framing: str) -> Iterator[tuple[raw.Connection, raw.Connection]]:
    with raw.listen(fresh(template, framing)) as listener:
        here, there = pair(listener, lambda: raw.connect(joined(listener.url.partition("?")[0], framing)))
        with here, there:
            yield here, there


def pair(listener: raw.Listener, connect: Callable[[], raw.Connection]) -> tuple[raw.Connection, raw.Connection]:
    """Both ends. Those of shared memory agree on it when the accepting one is first used."""
    with ThreadPoolExecutor() as pool:
        coming = pool.submit(connect)
        there = listener.accept(timeout=5)
        assert there is not None
        while not coming.done():
            there.poll(timeout=0.01)
        return coming.result(), there


async def async_pair(listener: aio.raw.Listener, url: str) -> tuple[aio.raw.Connection, aio.raw.Connection]:
    coming = asyncio.ensure_future(_awaited(aio.raw.connect(url)))
    there = await listener.accept(timeout=5)
    assert there is not None
    while not coming.done():
        await there.poll(timeout=0.01)
    return coming.result(), there


async def _awaited(opening: Any) -> Any:
    return await opening


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


@pytest.mark.parametrize("framing", ["frames", "lines", "none"])
@pytest.mark.parametrize("template", METHODS)
def test_a_message_goes_each_way(template: str, framing: str) -> None:
    with string(template, framing) as (here, there):
        here.send("hello")
        assert there.receive() == b"hello"
        there.send(b"and back")
        assert here.poll(timeout=5)
        assert here.receive() == b"and back"
        assert not here.poll()


@pytest.mark.parametrize("framing", ["frames", "lines"])
@pytest.mark.parametrize("template", METHODS)
def test_messages_stay_whole_and_in_order(template: str, framing: str) -> None:
    messages = [b"x" * size for size in (0, 1, 5000, 70_000, 300_000)] * 3
    with string(template, framing) as (here, there):
        sender = threading.Thread(target=lambda: [here.send(message) for message in messages])
        sender.start()
        assert [there.receive(timeout=10) for _ in messages] == messages
        sender.join(10)


@pytest.mark.parametrize("template", METHODS)
def test_iterating_gives_every_message_until_the_other_end_closes(template: str) -> None:
    with string(template, "frames") as (here, there):
        for number in range(3):
            here.send(str(number))
        here.close()
        assert list(there) == [b"0", b"1", b"2"]
        with pytest.raises(DisconnectedError):
            there.receive(timeout=5)


@pytest.mark.parametrize("template", METHODS)
def test_closing_wakes_whoever_waits_here(template: str) -> None:
    with string(template, "frames") as (here, _):
        timer = threading.Timer(0.1, here.close)
        timer.start()
        with pytest.raises(ClosedError):
            here.receive(timeout=10)
        with pytest.raises(ClosedError):
            here.send(b"late")


@pytest.mark.parametrize("template", METHODS)
def test_a_receive_ends_at_its_timeout(template: str) -> None:
    with string(template, "frames") as (here, _):
        with pytest.raises(WaitTimeoutError):
            here.receive(timeout=0.05)
        assert not here.poll(timeout=0.05)


@pytest.mark.parametrize("template", METHODS)
@pytest.mark.parametrize("framing", ["frames", "lines", "none"])
def test_the_async_face_does_the_same(template: str, framing: str) -> None:
    async def work() -> None:
        async with aio.raw.listen(fresh(template, framing)) as listener:
            here, there = await async_pair(listener, joined(listener.url.partition("?")[0], framing))
            async with here:
                waiting = asyncio.ensure_future(there.receive())
                await asyncio.sleep(0)
                await here.send("hello")
                assert await waiting == b"hello"
                await there.send(b"and back")
                assert await here.poll(timeout=5)
                assert await here.receive() == b"and back"
                assert not await here.poll()
                with pytest.raises(WaitTimeoutError):
                    await here.receive(timeout=0.02)
                await here.send(b"last")
                await here.close()
                assert [message async for message in there] == [b"last"]
                with pytest.raises(DisconnectedError):
                    await there.receive()
                await there.close()

    run(work())


@pytest.mark.parametrize("template", METHODS)
def test_a_cancelled_task_loses_no_message(template: str) -> None:
    async def work() -> None:
        async with aio.raw.listen(fresh(template)) as listener:
            here, there = await async_pair(listener, listener.url)
            waiting = asyncio.ensure_future(there.receive())
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await here.send(b"not lost")
            assert await there.receive(timeout=5) == b"not lost"
            await there.close()
            await here.close()

    run(work())


@pytest.mark.parametrize("template", ["unix:{}", "memory:{}", "pipe:{}", "tcp://127.0.0.1:0"])
def test_closing_wakes_a_waiting_task(template: str) -> None:
    async def work() -> None:
        async with aio.raw.listen(fresh(template)) as listener:
            here, there = await async_pair(listener, listener.url)
            waiting, again = asyncio.ensure_future(here.receive()), asyncio.ensure_future(listener.accept())
            await asyncio.sleep(0.02)
            await here.close()
            await listener.close()
            for task in (waiting, again):
                with pytest.raises(ClosedError):
                    await task
            await there.close()

    run(work())


def test_much_that_is_not_received_holds_the_sender_back_within_its_timeout() -> None:
    with string("unix:{}", "frames") as (here, there):
        with pytest.raises(WaitTimeoutError, match="do not send this one again"):
            here.send(b"x" * 5_000_000, timeout=0.1)
        with pytest.raises(WaitTimeoutError):
            here.send(b"next", timeout=0.1)
        reader = threading.Thread(target=lambda: there.receive(timeout=10))
        reader.start()
        assert here.flush(timeout=10)
        reader.join(10)
        here.send(b"next")
        assert there.receive() == b"next"


def test_the_async_face_finishes_a_large_message_by_a_thread() -> None:
    async def work() -> None:
        async with aio.raw.listen(fresh("unix:{}")) as listener, aio.raw.connect(listener.url) as here:
            there = await listener.accept(timeout=5)
            assert there is not None
            sending = asyncio.ensure_future(here.send(b"x" * 5_000_000))
            assert len(await there.receive()) == 5_000_000
            await sending
            await there.close()

    run(work())


def test_a_plain_socket_reads_lines_and_answers() -> None:
    with raw.listen("tcp://127.0.0.1:0?framing=lines") as listener:
        port = int(listener.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as plain:
            there = listener.accept(timeout=5)
            assert there is not None
            with there:
                there.send("who?")
                assert plain.recv(100) == b"who?\n"
                plain.sendall(b"bob\r\nand ")
                assert there.receive() == b"bob"
                plain.sendall(b"alice")
                plain.close()
                with pytest.raises(DisconnectedError) as caught:
                    there.receive(timeout=5)
                assert caught.value.cut
                with pytest.raises(DisconnectedError):
                    list(there)


def test_nothing_is_said_before_the_user_says_something(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as plain:
        plain.bind(str(tmp_path / "plain.sock"))
        plain.listen()
        with raw.connect(f"unix:{tmp_path}/plain.sock?framing=none") as here:
            foreign, _ = plain.accept()
            with foreign:
                foreign.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    foreign.recv(1)
                here.send(b"\x00\xff")
                assert foreign.recv(10) == b"\x00\xff"


PLAIN_SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    stream, _ = listening.accept()
    with stream, stream.makefile("rwb") as file:
        for line in file:
            file.write(line.upper()); file.flush()
        file.write(b"END"); file.flush()
"""


def test_a_plain_program_on_a_socket_is_spoken_to_and_heard_to_its_end() -> None:
    with subprocess.Popen([sys.executable, "-c", PLAIN_SERVER], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        port = program.stdout.readline().strip()
        with raw.connect(f"tcp://127.0.0.1:{port}?framing=none") as there:
            there.send("one\ntwo\n")
            there.finish()
            assert b"".join(there) == b"ONE\nTWO\nEND"
            with pytest.raises(ClosedError, match="finish"):
                there.send("three")


def test_a_command_that_reads_to_the_end_first_gets_the_end() -> None:
    with raw.connect("stdio:sort?framing=lines") as there:
        for word in ("b", "c", "a"):
            there.send(word)
        there.finish()
        assert list(there) == [b"a", b"b", b"c"]


def test_a_command_answers_line_by_line() -> None:
    with raw.connect("stdio:cat?framing=lines") as cat:
        cat.send("meow")
        assert cat.receive(timeout=5) == b"meow"


def test_a_program_serves_on_its_standard_streams() -> None:
    code = "import tincans\nfor c in tincans.raw.listen('stdio:?framing=lines'):\n    [c.send(m.upper()) for m in c]"
    command = [sys.executable, "-c", f"{code}\n    c.close()"]
    done = subprocess.run(command, input=b"hello\nyou\n", capture_output=True, timeout=20)
    assert done.stdout == b"HELLO\nYOU\n", done.stderr


def test_memory_and_pipes_of_this_machine_cannot_all_be_half_closed() -> None:
    with string("memory:{}", "frames") as (here, _), pytest.raises(UnsupportedError, match="Half"):
        here.finish()


class Counted:
    """A framing of a user's own: a byte of length, then a text."""

    def encode(self, message: str) -> bytes:
        data = message.encode()
        if len(data) > 255:
            raise ValueError("too long for a byte")
        return bytes([len(data)]) + data

    def decode(self, buffer: bytes) -> tuple[str, int] | None:
        if not buffer or len(buffer) <= buffer[0]:
            return None
        return buffer[1 : buffer[0] + 1].decode(), buffer[0] + 1


@pytest.mark.parametrize("template", METHODS)
def test_a_framing_of_ones_own_works_on_every_method(template: str) -> None:
    with raw.listen(fresh(template), framing=Counted()) as listener:
        here, there = pair(listener, lambda: raw.connect(listener.url, framing=Counted()))
        with here, there:
            for word in ("", "one", "two"):
                here.send(word)
            assert [there.receive() for _ in range(3)] == ["", "one", "two"]
            with pytest.raises(ValueError, match="too long"):
                here.send("x" * 300)
            here.send("last")
            here.close()
            assert list(there) == ["last"]


def test_a_message_that_comes_byte_by_byte_is_put_together() -> None:
    with raw.listen("tcp://127.0.0.1:0", framing=Counted()) as listener:
        port = int(listener.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as plain:
            there = listener.accept(timeout=5)
            assert there is not None
            with there:
                plain.sendall(b"\x05he")
                assert not there.poll(timeout=0.05)
                plain.sendall(b"llo\x02y")
                assert there.receive(timeout=5) == "hello"
                plain.close()
                with pytest.raises(DisconnectedError) as caught:
                    there.receive(timeout=5)
                assert caught.value.cut


class Wrong:
    """Says what cannot be."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def encode(self, message: Any) -> Any:
        return message

    def decode(self, buffer: bytes) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [("x", 0), ("x", -1), ("x", 10**9), ("x", None), "x", ("x",), ValueError("no"), 5])
def test_a_wrong_framing_is_a_clear_error_and_hangs_nobody(answer: Any) -> None:
    with raw.listen("memory:raw-wrong", framing=Wrong(answer)) as listener, raw.connect("memory:raw-wrong") as here:
        there = listener.accept(timeout=5)
        assert there is not None
        with there:
            here.send(b"something")
            for _ in range(2):
                with pytest.raises(ProtocolError, match=r"Wrong\.decode"):
                    there.receive(timeout=5)
            with pytest.raises(DisconnectedError):
                here.receive(timeout=5)


def test_a_framing_that_never_finds_a_message_is_bounded() -> None:
    with (
        raw.listen("unix:raw-never?max_message=1000", framing=Wrong(None)) as listener,
        raw.connect("unix:raw-never?framing=none") as here,
    ):
        there = listener.accept(timeout=5)
        assert there is not None
        with there:
            here.send(b"x" * 5000)
            with pytest.raises(ProtocolError, match="limit is 1000"):
                there.receive(timeout=5)


@pytest.mark.parametrize("size", [0, 2**31 - 1, 2**32 - 1])
def test_a_length_that_lies_takes_no_memory(size: int) -> None:
    with raw.listen("tcp://127.0.0.1:0?max_message=1000") as listener:
        port = int(listener.url.partition("?")[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as plain:
            there = listener.accept(timeout=5)
            assert there is not None
            with there:
                plain.sendall(struct.pack("<HHI", 0x01CA, 0, size))
                if size:
                    with pytest.raises(ProtocolError):
                        there.receive(timeout=5)
                else:
                    assert there.receive(timeout=5) == b""


def test_a_message_larger_than_the_limit_is_not_sent() -> None:
    with string("unix:{}?max_message=100", "frames") as (_, there), pytest.raises(TooLargeError):
        there.send(b"x" * 101)


def test_only_bytes_and_texts_travel_without_a_framing_of_ones_own() -> None:
    with string("memory:{}", "frames") as (here, _), pytest.raises(UnsendableError, match="framing="):
        here.send({"a": 1})


def test_a_line_cannot_hold_a_line_break() -> None:
    with string("unix:{}", "lines") as (here, _), pytest.raises(UnsendableError, match="line break"):
        here.send("a\nb")


def test_what_a_tincans_program_says_in_several_parts_is_refused() -> None:
    with tincans.serve("unix:raw-parts") as server:
        del server
        with raw.connect("unix:raw-parts") as here:
            here.send(b"garbage")
            with pytest.raises((DisconnectedError, ProtocolError)):
                here.receive(timeout=10)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("json+unix:a", AddressError),
        ("unix:a?framing=words", AddressError),
        ("tcp://127.0.0.1:1?key=secret", AddressError),
        ("unix:a?nonsense=1", AddressError),
        ("nonsense:a", AddressError),
    ],
)
def test_what_a_raw_string_cannot_be_is_said(url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        raw.connect(url, timeout=0.1)


def test_the_framing_is_given_once() -> None:
    with pytest.raises(AddressError, match="once"):
        raw.connect("unix:a?framing=lines", framing="none")


def test_connecting_waits_for_the_listener_and_no_longer_than_its_timeout() -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        raw.connect("unix:raw-nobody", timeout=0.2)
    assert time.monotonic() - began < 2

    def late() -> None:
        time.sleep(0.2)
        with raw.listen("unix:raw-late") as listener:
            accepted = listener.accept(timeout=5)
            assert accepted is not None
            accepted.send(b"late")
            assert accepted.poll(timeout=5)

    server = threading.Thread(target=late)
    server.start()
    with raw.connect("unix:raw-late", timeout=5) as here:
        assert here.receive(timeout=5) == b"late"
    server.join(10)


def test_many_threads_may_use_one_string() -> None:
    with string("unix:{}", "frames") as (here, there):
        got: list[bytes] = []
        takers = [threading.Thread(target=lambda: got.extend(iter(lambda: there.receive(), b"stop"))) for _ in range(3)]
        givers = [threading.Thread(target=lambda: [here.send(b"x" * 100) for _ in range(100)]) for _ in range(3)]
        for thread in [*takers, *givers]:
            thread.start()
        for thread in givers:
            thread.join(10)
        for _ in takers:
            here.send(b"stop")
        for thread in takers:
            thread.join(10)
        assert got == [b"x" * 100] * 300
