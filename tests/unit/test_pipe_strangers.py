"""The method `pipe` among strangers: garbage in its rendezvous, things planted at its names."""

from __future__ import annotations

import os
import secrets
import select
import time
from pathlib import Path

import pytest
from descriptor_ends import DEADLINE, Outcome
from pipe_stage import connect, program, serving

from tincans.core.address import parse
from tincans.core.framing import Frames
from tincans.errors import (
    DeniedError,
)
from tincans.transports.pipe import TRANSPORT


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime directory of this test, for its programs too."""
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path))
    return tmp_path


# -- garbage and planted things --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 52, 53, 54, 4096, 65_536])
@pytest.mark.parametrize("filler", [b"\n", b"\ntincan1 ", b"x", None], ids=["lines", "beginnings", "letters", "chance"])
def test_garbage_before_an_announcement_does_not_hide_it(place: Path, size: int, filler: bytes | None) -> None:
    with serving() as listener:
        garbage = secrets.token_bytes(size) if filler is None else (filler * size)[:size]
        stranger = os.open(place / "alice.fifo", os.O_WRONLY | os.O_NONBLOCK)
        os.write(stranger, garbage)
        while size > 40_000 and select.select([listener.fileno()], [], [], 0)[0]:
            assert listener.accept(timeout=0) is None  # a full pipe takes no announcement: the client would say so
        client = Outcome(connect)
        there = listener.accept(timeout=DEADLINE)
        here = client.join().value
        assert there is not None
        here.send([b"x"], timeout=1)
        assert there.receive(timeout=1) == [b"x"]
        os.close(stranger)


def test_a_flood_of_garbage_ends_accept_at_its_timeout(place: Path) -> None:
    code = (
        f"fd = os.open({str(place / 'alice.fifo')!r}, os.O_WRONLY)\n"
        "print('ready', flush=True)\n"
        "while True: os.write(fd, b'\\n' * 4096)\n"
    )
    with serving() as listener, program(code):
        for timeout in (0.0, 0.1):
            start = time.monotonic()
            assert listener.accept(timeout=timeout) is None
            assert time.monotonic() - start < timeout + 1


def test_an_announced_pair_that_is_not_there_is_ignored(place: Path) -> None:
    with serving() as listener:
        stranger = os.open(place / "alice.fifo", os.O_WRONLY | os.O_NONBLOCK)
        for _ in range(100):
            os.write(stranger, f"\ntincan1 {secrets.token_hex(16)} {1:010d}\n".encode())
        assert listener.accept(timeout=0) is None
        os.close(stranger)


def test_a_client_killed_after_its_announcement_is_passed_over_and_cleaned_up(place: Path) -> None:
    token = secrets.token_hex(16)
    with serving() as listener:
        os.mkfifo(place / f"alice.fifo.{token}.down", 0o600)
        os.mkfifo(place / f"alice.fifo.{token}.up", 0o600)
        stranger = os.open(place / "alice.fifo", os.O_WRONLY | os.O_NONBLOCK)
        os.write(stranger, f"\ntincan1 {token} {1:010d}\n".encode())
        assert listener.accept(timeout=0) is None
        assert not list(place.glob(f"*{token}*"))
        os.close(stranger)


PLANTS = {
    "symlink": lambda path, victim: path.symlink_to(victim),
    "hard link": lambda path, victim: path.hardlink_to(victim),
    "directory": lambda path, victim: path.mkdir(mode=0o700),
    "file": lambda path, victim: path.touch(mode=0o600),
    "open to all": lambda path, victim: (os.mkfifo(path), path.chmod(0o666)),
}


@pytest.mark.parametrize("what", PLANTS)
def test_something_planted_at_the_name_is_refused_and_left_alone(place: Path, what: str) -> None:
    victim = place / "victim"
    victim.write_text("precious")
    PLANTS[what](place / "alice.fifo", victim)
    before = (place / "alice.fifo").lstat()
    with pytest.raises(DeniedError):
        connect()
    with pytest.raises(DeniedError):
        TRANSPORT.listen(parse("pipe:alice"), framing=Frames())
    assert victim.read_text() == "precious"
    assert (place / "alice.fifo").lstat() == before


@pytest.mark.parametrize("what", PLANTS)
@pytest.mark.parametrize("which", ["down", "up"])
def test_something_planted_as_a_pair_is_not_opened_and_left_alone(place: Path, what: str, which: str) -> None:
    victim = place / "victim"
    victim.write_text("precious")
    token = secrets.token_hex(16)
    planted = place / f"alice.fifo.{token}.{which}"
    PLANTS[what](planted, victim)
    if which == "up":
        os.mkfifo(place / f"alice.fifo.{token}.down", 0o600)
        reader = os.open(place / f"alice.fifo.{token}.down", os.O_RDONLY | os.O_NONBLOCK)
    with serving() as listener:
        stranger = os.open(place / "alice.fifo", os.O_WRONLY | os.O_NONBLOCK)
        os.write(stranger, f"\ntincan1 {token} {1:010d}\n".encode())
        assert listener.accept(timeout=0) is None
        os.close(stranger)
    if which == "up":
        os.close(reader)
    assert victim.read_text() == "precious"
    assert planted.exists()


def test_another_users_pipe_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "shared.pipe"
    with serving(f"pipe:{path}"):
        monkeypatch.setattr("tincans.toolkit.private_fifo.os.geteuid", lambda: os.getuid() + 1)
        with pytest.raises(DeniedError, match="of user"):
            connect(f"pipe:{path}")
