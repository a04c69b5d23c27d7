"""The whole test run: a runtime directory of its own, and the proof that nothing is left behind when it ends.

Rules of this file
- Programs that tests start inherit the directory, so that no other program on the machine is met by a test.
- What is left (a file, a socket, a FIFO, a program, a thread that would hold up the end) fails the run, and is named.
- In CI nothing is skipped: a test that would be skipped fails there, with the reason.
- An example of hypothesis may take as long as a busy machine needs; in CI they are the same each time.
- Hundreds of programs are started, each of which would compile anew what it imports if the first might not keep it.
- Tests may run in several processes (pytest-xdist): each has a runtime directory of its own, and says what it left. A
  test that measures the machine is marked `alone`: no other runs meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from hypothesis import HealthCheck, settings
from room import Room

_SHARED_MEMORY = Path("/dev/shm")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is collected, for some names are made at import."""
    config.addinivalue_line("markers", "alone: it measures the machine, so that no other test may run meanwhile")
    config.stash[_PLACE] = place = Path(tempfile.mkdtemp(prefix="tincans-run-"))
    config.stash[_SEGMENTS] = segments()
    config.stash[_LEFT] = []
    (place / "runtime").mkdir(mode=0o700)
    os.environ["TINCANS_RUNTIME_DIR"] = str(place / "runtime")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if is_worker(config):
        config.pluginmanager.register(Turns(Room(Path(config.workerinput["room"]))))  # type: ignore[attr-defined]
    if not config.getoption("--hypothesis-profile"):
        found = settings.get_profile(settings.get_current_profile_name())
        settings.register_profile("tests", found, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("tests")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker is about to be started: where all of them meet."""
    node.workerinput["room"] = str(node.config.stash[_PLACE])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended: what it left."""
    node.config.stash[_LEFT] += getattr(node, "workeroutput", {}).get("left", [])


class Turns:
    """Of the tests of several workers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """One test with all that is made for it; its time begins when it is its turn."""
        with self._room.entered(alone=item.get_closest_marker("alone") is not None):
            return (yield)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Examples are looked for in the package; a program or a stage of the tests is no module to import for them."""
    return True if collection_path.suffix == ".py" and not collection_path.name.startswith("test_") else None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Thousands of tests are many objects that stay: they are not what a test looks through for what is gone."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A promise that is not looked at in CI is not kept there."""
    return in_ci_a_failure((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file."""
    return in_ci_a_failure((yield))


def in_ci_a_failure(report: Report) -> Report:
    """The report of a test; of one that was skipped, in CI, that it failed."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} is not to be skipped in CI: {report.longrepr}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the last test and the last fixture; where there are workers, after the last of them."""
    config = session.config
    left = left_behind(config.stash[_PLACE] / "runtime")
    if is_worker(config):
        config.workeroutput["left"] = left  # type: ignore[attr-defined]
        return
    left += config.stash[_LEFT] + sorted(segments() - config.stash[_SEGMENTS])
    if left and not session.shouldfail and not session.shouldstop:
        print("\nLeft behind by the tests:", *left, sep="\n    ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """The directory goes, whatever became of the run, and before it the message queues whose markers are in it."""
    from tincans.errors import MissingLibraryError  # not before the directory is said
    from tincans.toolkit.mq import rendezvous

    with contextlib.suppress(MissingLibraryError):
        rendezvous.sweep()
    shutil.rmtree(config.stash[_PLACE], ignore_errors=True)


def is_worker(config: pytest.Config) -> bool:
    """Whether another process leads this one."""
    return hasattr(config, "workerinput")


def left_behind(place: Path) -> list[str]:
    """Files in the runtime directory, programs we started, and threads that an exit would wait for.

    A program that was killed stays in the list of services until somebody looks there, as every start does: so do we.
    """
    from tincans.toolkit.files import runtime_directory  # not before the directory is said

    runtime_directory.services()
    files = [f"the file {path}" for path in place.rglob("*") if not path.is_dir()]
    programs = [
        f"the program {child.pid}: {' '.join(child.cmdline())}"
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
    ]
    threads = [
        f"the thread {thread.name}"
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    ]
    return files + programs + threads


def segments() -> set[str]:
    """Shared memory of ours that has a name."""
    return {str(path) for path in _SHARED_MEMORY.glob("*tincan*")} if _SHARED_MEMORY.is_dir() else set()


_PLACE = pytest.StashKey[Path]()
_LEFT = pytest.StashKey[list[str]]()
_SEGMENTS = pytest.StashKey[set[str]]()
