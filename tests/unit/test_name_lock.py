"""A name belongs to one live program; the kernel takes it back from a dead one."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest
from patience import PATIENCE, forked_child, in_thread, open_descriptors

from tincans.conformance.patience import eventually
from tincans.errors import DeniedError, NameInUseError
from tincans.toolkit.files.name_lock import acquire, holder
from tincans.toolkit.files.private_file import open_private

HOLDER = """
import sys
from pathlib import Path

from tincans.toolkit.files.name_lock import acquire
lock = acquire(Path(sys.argv[1]), {"word": "there"})
print("held", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Another program that holds `path` until its input ends or it is killed."""
    program = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None and program.stdout.readline() == "held\n"
    return program


def end(program: subprocess.Popen[str]) -> None:
    program.kill()
    program.communicate()


def test_a_held_name_is_refused_with_the_holders_pid(tmp_path: Path) -> None:
    path = tmp_path / "alice.lock"
    program = hold(path)
    try:
        with pytest.raises(NameInUseError, match=str(program.pid)):
            acquire(path)
        assert holder(path) == {"pid": program.pid, "word": "there"}
    finally:
        end(program)


def test_a_killed_holder_does_not_block_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "alice.lock"
    end(hold(path))
    assert path.exists()
    lock = acquire(path)
    assert holder(path) == {"pid": os.getpid()}
    lock.release()


def test_the_file_of_a_killed_holder_is_removed_when_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "alice.lock"
    end(hold(path))
    assert holder(path) is None
    assert not path.exists()


def test_the_same_program_cannot_hold_a_name_twice(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "alice.lock")
    with pytest.raises(NameInUseError):
        acquire(tmp_path / "alice.lock")
    lock.release()


def test_a_release_removes_the_file_and_may_come_twice(tmp_path: Path) -> None:
    before = open_descriptors()
    lock = acquire(tmp_path / "alice.lock")
    lock.release()
    lock.release()
    assert not list(tmp_path.iterdir())
    assert open_descriptors() == before
    acquire(tmp_path / "alice.lock").release()


def test_a_late_release_does_not_remove_somebody_elses_file(tmp_path: Path) -> None:
    path = tmp_path / "alice.lock"
    first = acquire(path)
    path.unlink()
    second = acquire(path)
    first.release()
    assert holder(path) == {"pid": os.getpid()}
    second.release()


def test_a_forked_child_does_not_keep_the_name(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "alice.lock")
    with forked_child():
        lock.abandon()  # as if killed
        acquire(tmp_path / "alice.lock").release()


def test_a_child_that_ends_does_not_remove_its_parents_file(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "alice.lock")
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert holder(lock.path) == {"pid": os.getpid()}
    lock.release()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "alice.lock").symlink_to(tmp_path / "victim")
    for look in (acquire, holder):
        with pytest.raises(DeniedError):
            look(tmp_path / "alice.lock")
    assert (tmp_path / "victim").read_text() == "precious"


def test_looking_at_a_name_never_keeps_another_from_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "alice.lock"
    stop = False

    def look() -> None:
        while not stop:
            holder(path)

    looking = [in_thread(look) for _ in range(2)]
    try:
        for _ in range(200):
            acquire(path).release()
    finally:
        stop = True
    for outcome in looking:
        outcome.result(PATIENCE)


def test_only_one_of_many_takes_a_name_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "alice.lock"
    inside: list[int] = []
    worst: list[int] = []

    def take_often() -> None:
        for _ in range(50):
            try:
                lock = acquire(path)
            except NameInUseError:
                continue
            inside.append(1)
            worst.append(len(inside))
            inside.pop()
            lock.release()

    for outcome in [in_thread(take_often) for _ in range(4)]:
        outcome.result(PATIENCE * 4)
    eventually(lambda: not inside)
    assert worst and max(worst) == 1


def test_a_lock_on_a_file_that_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last holder removed the file between our opening and our locking it."""
    path = tmp_path / "alice.lock"
    opened: list[int] = []

    def open_and_lose(path: Path, *, create: bool) -> int:
        descriptor = open_private(path, create=create)
        if not opened:
            path.unlink()
        opened.append(descriptor)
        return descriptor

    monkeypatch.setattr("tincans.toolkit.files.name_lock.open_private", open_and_lose)
    lock = acquire(path)
    with pytest.raises(NameInUseError):
        acquire(path)
    lock.release()


def test_a_looker_who_is_held_up_does_not_pass_for_an_owner(tmp_path: Path) -> None:
    path = tmp_path / "alice.lock"
    looker = open_private(path, create=True)
    fcntl.flock(looker, fcntl.LOCK_EX)
    started = monotonic()
    acquiring = in_thread(lambda: acquire(path))
    eventually(lambda: monotonic() > started + 0.2)
    os.close(looker)
    acquiring.result(PATIENCE).release()
