"""The method `stdio`: children that talk, print, die, and are never left over."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from descriptor_ends import DEADLINE, Outcome, descriptors

from tincans.conformance.patience import eventually
from tincans.core.address import parse
from tincans.core.framing import Frames, Lines
from tincans.errors import AddressError, DisconnectedError, ProtocolError, UnreachableError
from tincans.toolkit.descriptor_stream import DescriptorStream
from tincans.transports.stdio import TRANSPORT

WORKER = """
import os, subprocess, sys
from tincans.core.address import parse
from tincans.core.framing import Frames, Lines
from tincans.errors import ClosedError, DisconnectedError
from tincans.transports.stdio import TRANSPORT
"""

ECHO = """
listener = TRANSPORT.listen(parse("stdio:"), framing=Frames())
connection = listener.accept(timeout=30)
try:
    while True:
        message = connection.receive(timeout=None)
        exec(bytes(message[0]))
        connection.send(message, timeout=30)
except DisconnectedError:
    connection.close()
try:
    listener.accept(timeout=None)
except ClosedError:
    print("ended well", file=sys.stderr)
"""


@pytest.fixture
def worker(tmp_path: Path) -> str:
    """The URL of a child that runs what it is sent, and sends it back."""
    path = tmp_path / "my worker.py"
    path.write_text(WORKER + ECHO)
    return f"stdio:'{sys.executable}' '{path}'"


def connect(url: str) -> DescriptorStream:
    return TRANSPORT.connect(parse(url), timeout=DEADLINE, framing=Frames())


@contextmanager
def connected(url: str) -> Iterator[DescriptorStream]:
    connection = connect(url)
    try:
        yield connection
    finally:
        connection.close()


def ask(connection: DescriptorStream, code: str, *buffers: bytes) -> None:
    message = [code.encode(), *buffers]
    connection.send(message, timeout=DEADLINE)
    assert connection.receive(timeout=DEADLINE) == message


def gone(pid: int | None) -> bool:
    """Whether there is no such process any more, not even as a zombie."""
    assert pid is not None
    return not psutil.pid_exists(pid)


def test_parent_and_child_talk(worker: str) -> None:
    with connected(worker) as child:
        ask(child, "pass")
        ask(child, "pass", os.urandom(2_000_000), b"")


def test_what_the_child_prints_goes_to_its_standard_error(worker: str, capfd: pytest.CaptureFixture[str]) -> None:
    with connected(worker) as child:
        ask(child, "print('a stray word', flush=True)")
        ask(child, "os.write(1, b'a raw word')")
        ask(child, "subprocess.run(['echo', 'a word of a child of the child'])")
        ask(child, "print('a word to complain', file=sys.stderr, flush=True)")
    said = capfd.readouterr()
    assert said.out == ""
    assert {"a stray word", "a raw word", "a word of a child of the child", "a word to complain"} <= {
        word for word in said.err.replace("a raw word", "a raw word\n").splitlines() if word
    }


def test_the_childs_own_input_is_empty(worker: str) -> None:
    with connected(worker) as child:
        ask(child, "assert sys.stdin.read() == ''")


def test_what_was_printed_before_serving_does_not_get_into_the_stream(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    path = tmp_path / "worker.py"
    path.write_text(WORKER + "print('an early word')\n" + ECHO)
    with connected(f"stdio:{sys.executable} {path}") as child:
        ask(child, "pass")
    assert "an early word" in capfd.readouterr().err


def test_a_child_that_is_no_tincan_is_garbage() -> None:
    with connected("stdio:echo hello hello") as child, pytest.raises(ProtocolError):
        child.receive(timeout=DEADLINE)


def test_any_program_that_speaks_lines_is_a_child() -> None:
    cat = TRANSPORT.connect(parse("stdio:cat -u"), timeout=1, framing=Lines())
    cat.send([b"hello"], timeout=1)
    assert cat.receive(timeout=DEADLINE) == [b"hello"]
    cat.close()


def test_the_directory_can_be_chosen(worker: str, tmp_path: Path) -> None:
    with connected(f"{worker}?cwd={tmp_path}&max_message=1M&spin=0") as child:
        ask(child, f"assert os.getcwd() == {str(tmp_path)!r}")
        assert child.max_message == 1024**2


def test_the_child_is_known_by_its_pid(worker: str) -> None:
    with connected(worker) as child:
        ask(child, f"assert os.getpid() == {child.identity.pid}")
        ask(child, f"assert connection.identity.uid == {os.geteuid()}")


# -- death -----------------------------------------------------------------------------------------------------


def test_close_ends_the_child_and_reaps_it(worker: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = descriptors()
    child = connect(worker)
    ask(child, "pass")
    child.close()
    child.close()
    eventually(lambda: gone(child.identity.pid))
    assert "ended well" in capfd.readouterr().err
    assert descriptors() == before


def test_close_does_not_wait_for_the_child(worker: str) -> None:
    child = connect(worker)
    ask(child, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    child.send([b"import time; time.sleep(60)"], timeout=1)
    start = time.monotonic()
    child.close()
    assert time.monotonic() - start < 0.5
    eventually(lambda: gone(child.identity.pid))


@pytest.mark.parametrize(
    ("end", "told"), [("os._exit(7)", "exited with status 7"), ("os.kill(os.getpid(), 9)", "killed by SIGKILL")]
)
def test_a_childs_death_wakes_the_receiver_and_says_how(worker: str, end: str, told: str) -> None:
    with connected(worker) as child:
        ask(child, "pass")
        waiter = Outcome(lambda: child.receive(timeout=None))
        eventually(waiter.asleep)
        child.send([end.encode()], timeout=1)
        error = waiter.join().error
        assert isinstance(error, DisconnectedError)
        assert told in str(error)


def test_a_forgotten_child_is_ended_and_reaped(worker: str) -> None:
    child = connect(worker)
    ask(child, "pass")
    pid = child.identity.pid
    del child
    eventually(lambda: gone(pid))


PARENT = """
import os, sys
from tincans.core.address import parse
from tincans.core.framing import Frames
from tincans.transports.stdio import TRANSPORT
child = TRANSPORT.connect(parse(sys.argv[1]), timeout=10, framing=Frames())
child.send([b"pass"], timeout=10)
child.receive(timeout=10)
print(child.identity.pid, flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)", "", "child.receive(timeout=None)"])
def test_a_parents_death_ends_the_child(worker: str, end: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT.format(end=end), worker], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if "receive" in end:
            parent.kill()
        parent.wait()
    eventually(lambda: gone(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_command_that_is_not_there_is_unreachable_for_good() -> None:
    with pytest.raises(UnreachableError) as caught:
        connect("stdio:no-such-command --really")
    assert not caught.value.temporary


@pytest.mark.parametrize("url", ["stdio:", "stdio://host/x", "stdio:'x", "stdio:x?speed=1", "stdio:x?cwd=a%00b"])
def test_an_address_that_starts_nothing_is_refused(url: str) -> None:
    with pytest.raises(AddressError):
        connect(url)


# -- serving ---------------------------------------------------------------------------------------------------


def test_a_server_gives_itself_no_command() -> None:
    with pytest.raises(AddressError, match="alone"):
        TRANSPORT.listen(parse("stdio:python worker.py"), framing=Frames())


def served_with(code: str, **streams: int) -> str:
    """What a program says that serves with these standard streams."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER + code], stderr=subprocess.PIPE, timeout=60, check=False, **streams
    )
    return done.stderr.decode()


def test_a_server_without_anybody_at_its_input_says_so() -> None:
    said = served_with("TRANSPORT.listen(parse('stdio:'), framing=Frames())", stdin=subprocess.DEVNULL)
    assert "UnreachableError: This program's standard input is empty" in said
    said = served_with("os.close(0); TRANSPORT.listen(parse('stdio:'), framing=Frames())")
    assert "UnreachableError: This program's standard input is closed" in said


def test_a_second_server_on_the_same_streams_says_so() -> None:
    said = served_with(
        "for _ in range(2): TRANSPORT.listen(parse('stdio:'), framing=Frames())",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert "serves stdio: already" in said


def test_on_a_terminal_frames_are_refused_and_lines_are_spoken() -> None:
    ours, its = pty.openpty()
    said = served_with("TRANSPORT.listen(parse('stdio:'), framing=Frames())", stdin=its)
    assert "standard input is a terminal" in said
    code = (
        "listener = TRANSPORT.listen(parse('stdio:'), framing=Lines())\n"
        "connection = listener.accept(timeout=10)\n"
        "connection.send([b'you said ' + connection.receive(timeout=10)[0]], timeout=10)\n"
        "assert os.get_blocking(2)\n"
    )
    with subprocess.Popen([sys.executable, "-c", WORKER + code], stdin=its, stdout=its) as child:
        os.write(ours, b"hello\n")
        heard = b""
        while b"you said hello" not in heard:
            assert select.select([ours], [], [], DEADLINE)[0]
            heard += os.read(ours, 1000)
        assert child.wait(DEADLINE) == 0
    assert os.get_blocking(its)
    os.close(ours)
    os.close(its)
