"""The private directory, and the list of those who serve."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from patience import forked_child

from tincans.errors import AddressError, DeniedError
from tincans.toolkit.files import name_lock
from tincans.toolkit.files.runtime_directory import path_of, register, runtime_directory, services, sweep

SERVER = """
import sys
from tincans.toolkit.files.runtime_directory import register
entry = register("other", ["unix:other", "tcp://127.0.0.1:9"], 5)
print("listed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def test_the_chosen_directory_comes_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place.parent))
    assert runtime_directory() == place


def test_the_sessions_directory_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINCANS_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_directory() == tmp_path / "tincans"


def test_without_either_it_is_one_of_this_user_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TINCANS_RUNTIME_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert runtime_directory() == tmp_path / f"tincans-{os.geteuid()}"


def test_it_is_made_for_this_user_only(place: Path) -> None:
    before = os.umask(0)
    try:
        assert runtime_directory().stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_one_that_others_can_only_look_into_is_closed(place: Path) -> None:
    place.mkdir()
    place.chmod(0o755)
    assert runtime_directory().stat().st_mode & 0o777 == 0o700


def test_one_that_others_can_write_to_is_refused(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(DeniedError, match="TINCANS_RUNTIME_DIR"):
        runtime_directory()


def test_another_users_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(DeniedError, match="belongs to user"):
        runtime_directory()


def test_a_symbolic_link_in_its_place_is_refused(place: Path) -> None:
    (place.parent / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(place.parent / "elsewhere")
    with pytest.raises(DeniedError):
        runtime_directory()


def test_a_file_in_its_place_is_refused(place: Path) -> None:
    place.write_text("precious")
    with pytest.raises(DeniedError):
        runtime_directory()
    assert place.read_text() == "precious"


def test_one_that_cannot_be_made_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path / "no" / "such" / "place"))
    with pytest.raises(DeniedError, match="TINCANS_RUNTIME_DIR"):
        runtime_directory()


def test_a_name_becomes_a_path_in_it(place: Path) -> None:
    assert path_of("alice-2.b_c", ".sock") == place / "alice-2.b_c.sock"


@pytest.mark.parametrize("name", ["", "../alice", "a/b", ".alice", "-alice", "a b", "a\0b", "ä", "a" * 101, "a\n"])
def test_what_is_no_name_is_refused(place: Path, name: str) -> None:
    with pytest.raises(AddressError):
        path_of(name, ".sock")


def test_those_who_serve_are_listed_until_they_close(place: Path) -> None:
    first, second = register("bob", ["unix:bob"]), register("alice", ["alice", "pipe:alice"], 3)
    listed = services()
    assert [(one.name, one.pid, one.urls, one.functions) for one in listed] == [
        ("alice", os.getpid(), ("alice", "pipe:alice"), 3),
        ("bob", os.getpid(), ("unix:bob",), None),
    ]
    first.close()
    first.close()
    assert [one.name for one in services()] == ["alice"]
    second.close()
    assert not list((place / "services").iterdir())


def test_a_killed_program_is_not_listed_and_its_entry_is_removed(place: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None and program.stdout.readline() == "listed\n"
    assert [(one.name, one.pid) for one in services()] == [("other", program.pid)]
    program.kill()
    program.communicate()
    assert services() == []
    assert not list((place / "services").iterdir())


def test_what_was_planted_in_the_list_hides_nobody(place: Path) -> None:
    entry = register("alice", ["alice"])
    (place / "services" / "link").symlink_to("/dev/zero")
    (place / "services" / "directory").mkdir()
    os.mkfifo(place / "services" / "pipe")
    assert [one.name for one in services()] == ["alice"]
    entry.close()


def leave_behind(path: Path) -> None:
    """What a killed program leaves: a socket or FIFO, and a lock file that nobody holds."""
    path.with_name(path.name + ".lock").write_text("{}")
    if path.suffix == ".fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))


def test_what_killed_programs_left_is_swept(place: Path) -> None:
    for name in ("alice.sock", "bob.fifo", "carol.b.local"):
        leave_behind(runtime_directory() / name)
    assert sweep() == 3
    assert not list(place.iterdir())


def test_what_live_programs_have_is_not_swept(place: Path) -> None:
    leave_behind(runtime_directory() / "alice.sock")
    (place / "alice.sock.lock").unlink()
    lock = name_lock.acquire(place / "alice.sock.lock")
    assert sweep() == 0
    assert (place / "alice.sock").exists()
    lock.release()


@pytest.mark.parametrize("suffix", ["sock", "db"])
def test_a_file_that_is_no_socket_is_not_swept(place: Path, suffix: str) -> None:
    (runtime_directory() / f"alice.{suffix}").write_text("precious")
    (place / f"alice.{suffix}.lock").write_text("{}")
    sweep()
    assert [path.name for path in place.iterdir()] == [f"alice.{suffix}"]


def test_planted_locks_are_left_alone(place: Path) -> None:
    (runtime_directory() / "alice.sock.lock").symlink_to("/etc/passwd")
    leave_behind(place / "bob.sock")
    assert sweep() == 1
    assert (place / "alice.sock.lock").is_symlink()


def test_a_forked_child_does_not_keep_its_parent_listed(place: Path) -> None:
    entry = register("alice", ["alice"])
    with forked_child():
        entry._lock.abandon()  # as if killed
        assert services() == []
