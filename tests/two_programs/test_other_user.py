"""Files of every method in a place that everybody may write to: another user reads nothing, and plants nothing.

Rules of this file
- Another user is a program that gave up root for uid 65534, so these tests need root, which CI has.
- What is planted: a link to a victim, a second name of it, a FIFO, a file of the other user. All are refused with
  one of our errors, soon; the victim and what was planted are as before.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tincans

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")

FILES = {
    "file": ("", ".lock", ".new", ".locks", ".serving"),
    "sqlite": ("", "-wal", "-shm", "-journal", ".lock"),
    "mmap": ("",),
    "text+mmap": ("",),
    "signal": ("", "/flags"),
    "unix": ("", ".lock"),
    "mp": ("", ".lock"),
    "pipe": ("", ".lock"),
    "keep": ("", ".lock", "-wal", "-shm"),
}
"""What each method makes, by what is behind the path in its URL. `keep`: the file of `serve(keep=)`."""

KINDS = ("symlink", "hard link", "fifo", "theirs")
INTRUDER = """
import json, os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
told = {}
for directory, names, files in os.walk(sys.argv[1]):
    for name in [*names, *files]:
        path = os.path.join(directory, name)
        for word, mode in (("read", os.O_RDONLY), ("wrote", os.O_WRONLY)):
            try:
                os.close(os.open(path, mode | os.O_NONBLOCK))
                told.setdefault(word, []).append(name)
            except OSError:
                pass
print(json.dumps(told))
"""


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody may enter and write to, with the sticky bit, as /tmp is."""
    with tempfile.TemporaryDirectory(prefix="tincans-open-") as place:
        Path(place).chmod(0o1777)
        yield Path(place)


@contextlib.contextmanager
def use(method: str, path: Path) -> Iterator[None]:
    """Everything that makes a file."""
    with contextlib.ExitStack() as stack:
        if method == "keep":
            alice = stack.enter_context(tincans.serve("memory:planted", keep=str(path)))
            alice.state["mood"] = "good"
        elif method in ("unix", "mp", "pipe"):
            stack.enter_context(tincans.serve(f"{method}:{path}"))
        else:
            url = f"{method}:{path}"
            if method in ("file", "sqlite"):
                stack.enter_context(tincans.serve(url))
            bob: Any = stack.enter_context(tincans.connect(url, call_timeout=3))
            _every_verb(method, bob)
        yield


def _every_verb(method: str, bob: Any) -> None:
    bob.flag("up").set()
    if method in ("file", "sqlite"):
        bob.queue("jobs").put(1)
        with bob.lock("one", timeout=3):
            bob.state["mood"] = "good"


def _plant(kind: str, path: Path, victim: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    match kind:
        case "symlink":
            path.symlink_to(victim)
            os.lchown(path, NOBODY, NOBODY)
        case "hard link":
            path.hardlink_to(victim)
        case "fifo":
            os.mkfifo(path, 0o666)
            os.chown(path, NOBODY, NOBODY)
        case _:
            path.write_text("theirs")
            path.chmod(0o666)
            os.chown(path, NOBODY, NOBODY)


@pytest.mark.parametrize("method", FILES)
def test_another_user_can_open_nothing_that_a_method_made(method: str, open_place: Path) -> None:
    with use(method, open_place / "alice"):
        done = subprocess.run(
            [sys.executable, "-c", INTRUDER, str(open_place)], capture_output=True, text=True, check=True, timeout=20
        )
    assert json.loads(done.stdout) == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "suffix"), [(method, suffix) for method in FILES for suffix in FILES[method]])
def test_what_another_user_planted_is_refused_and_untouched(
    method: str, suffix: str, kind: str, open_place: Path, tmp_path: Path
) -> None:
    victim = open_place / "victim"
    victim.write_text("untouched")
    victim.chmod(0o600)
    planted = Path(f"{open_place / 'alice'}{suffix}")
    _plant(kind, planted, victim)
    before = planted.lstat()
    with pytest.raises(tincans.TincansError), use(method, open_place / "alice"):
        pass
    assert victim.read_text() == "untouched"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    after = planted.lstat()
    assert (after.st_ino, after.st_mode, after.st_uid, after.st_size) == (
        before.st_ino,
        before.st_mode,
        before.st_uid,
        before.st_size,
    )


def test_another_user_cannot_open_a_queue_of_the_kernel(open_place: Path, name: str) -> None:
    posix_ipc = pytest.importorskip("posix_ipc")
    from tincans.toolkit.mq.rendezvous import queue_name

    with tincans.serve(f"mq:{name}"):
        code = f"import os, posix_ipc; os.setgroups([]); os.setgid(65534); os.setuid(65534)\ntry:\n posix_ipc.MessageQueue({queue_name(name)!r})\n print('in')\nexcept posix_ipc.PermissionsError:\n print('kept out')"  # noqa: E501
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == "kept out"
    planted = posix_ipc.MessageQueue(queue_name(name), posix_ipc.O_CREX, mode=0o666, max_messages=2)
    try:
        os.fchown(planted.mqd, NOBODY, NOBODY)
        with pytest.raises(tincans.TincansError):
            tincans.serve(f"mq:{name}")
    finally:
        planted.close()
        planted.unlink()
