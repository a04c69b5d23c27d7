"""What only signals can break: strangers' processes, recycled pids, handlers of the user's own, planted files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.toggles import check
from planted import PLANTS

import tincans
from tincans.conformance.patience import eventually
from tincans.errors import DeniedError, UnsupportedError
from tincans.toolkit.signals.target import target_of

HANDLING = "trap : USR1 USR2; echo ready; while :; do sleep 0.01; done"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "flags"


@pytest.fixture
def peer(place: Path) -> Iterator[Any]:
    with tincans.connect(f"signal:{place}") as connected:
        yield connected


@pytest.fixture
def run() -> Iterator[Any]:
    """Starts a program and ends it with the test."""
    programs: list[subprocess.Popen[str]] = []

    def start(*command: Any, ready: bool = True, **options: Any) -> subprocess.Popen[str]:
        words = list(map(str, command))
        programs.append(subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **options))
        if ready:
            assert programs[-1].stdout is not None
            assert programs[-1].stdout.readline() == "ready\n"
        return programs[-1]

    yield start
    for program in programs:
        program.kill()
        program.communicate()


def script(run: Any, text: str, url: Any, **environment: str) -> subprocess.Popen[str]:
    """A Python program, started and ready."""
    program: subprocess.Popen[str] = run(sys.executable, "-c", text, url, env={**os.environ, **environment})
    return program


# -- who is signalled ----------------------------------------------------------------------------------------------


def test_a_program_that_does_not_handle_the_signals_is_not_ended_by_them(peer: Any, place: Path, run: Any) -> None:
    sleeper = run("sleep", "60", ready=False)
    (place / str(sleeper.pid)).touch()
    peer.flag("default").set()
    peer.flag("default").clear()
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.3)


def test_a_pid_that_another_program_has_now_is_not_signalled_and_its_file_goes(
    peer: Any, place: Path, run: Any
) -> None:
    stranger = run("sh", "-c", "trap 'echo hit' USR1; echo ready; while :; do sleep 0.01; done")
    (place / str(stranger.pid)).write_text("* start=1\n")
    peer.flag("default").set()
    assert not (place / str(stranger.pid)).exists()
    stranger.kill()
    assert stranger.communicate()[0] == ""


def test_a_file_older_than_the_program_with_its_pid_is_not_believed(peer: Any, place: Path, run: Any) -> None:
    stranger = run("sh", "-c", "trap 'echo hit' USR1; echo ready; while :; do sleep 0.01; done")
    (place / str(stranger.pid)).touch()
    os.utime(place / str(stranger.pid), (time.time() - 60, time.time() - 60))
    peer.flag("default").set()
    stranger.kill()
    assert stranger.communicate()[0] == ""


def test_the_file_of_a_killed_program_goes_at_the_next_change(peer: Any, place: Path, run: Any) -> None:
    text = "import sys, tincans\npeer = tincans.connect(sys.argv[1])\nprint('ready', flush=True)\ninput()"
    program = script(run, text, f"signal:{place}")
    assert (place / str(program.pid)).exists()
    program.kill()
    program.wait()
    peer.flag("a").set()
    assert not (place / str(program.pid)).exists()


def test_a_program_that_became_another_one_is_not_ended(peer: Any, place: Path, run: Any) -> None:
    text = (
        "import os, sys, tincans\npeer = tincans.connect(sys.argv[1])\nprint('ready', flush=True)\n"
        "input()\nos.execvp('sh', ['sh', '-c', 'echo replaced; exec sleep 60'])"
    )
    program = script(run, text, f"signal:{place}")
    peer.flag("a").set()
    assert program.stdin is not None
    assert program.stdout is not None
    print(file=program.stdin, flush=True)
    assert program.stdout.readline() == "replaced\n"
    peer.flag("a").clear()
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.3)


def test_a_name_that_is_no_pid_of_a_program_is_passed_over(peer: Any, place: Path) -> None:
    for name in ("0", "99999999999999999999", "4194305", "x"):
        (place / name).touch()
    peer.flag("a").set()
    assert peer.flag("a").is_set()
    assert (place / "x").exists()


def test_the_pid_file_of_this_program_goes_with_its_last_user(place: Path) -> None:
    first, second = tincans.connect(f"signal:{place}"), tincans.connect(f"signal:{place}")
    own = place / str(os.getpid())
    first.close()
    assert own.exists()
    second.close()
    assert not own.exists()


# -- how signals are received ----------------------------------------------------------------------------------------


def test_a_change_by_another_program_is_heard_at_once(peer: Any, place: Path, run: Any) -> None:
    text = (
        "import sys, tincans\npeer = tincans.connect(sys.argv[1])\nprint('ready', flush=True)\n"
        "print(peer.flag('go').wait(timeout=10), flush=True)"
    )
    for environment in ({}, {"TINCANS_PURE": "1"}):
        peer.flag("go").clear()
        program = script(run, text, f"signal:{place}", **environment)
        assert (place / str(program.pid)).exists()
        time.sleep(0.1)
        began = time.monotonic()
        peer.flag("go").set()
        assert program.stdout is not None
        assert program.stdout.readline() == "True\n"
        assert time.monotonic() - began < 0.8


@pytest.mark.parametrize("pure", ["0", "1"])
def test_it_works_in_a_thread_that_is_not_the_main_one(pure: str, peer: Any, place: Path, run: Any) -> None:
    text = (
        "import sys, threading, tincans\n"
        "def work():\n"
        "    peer = tincans.connect(sys.argv[1])\n"
        "    print('ready', flush=True)\n"
        "    print(peer.flag('go').wait(timeout=10), flush=True)\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
    )
    program = script(run, text, f"signal:{place}", TINCANS_PURE=pure)
    began = time.monotonic()
    peer.flag("go").set()
    assert program.stdout is not None
    assert program.stdout.readline() == "True\n"
    assert time.monotonic() - began < 0.8


def test_a_program_with_a_handler_of_its_own_keeps_it_and_is_told(run: Any, place: Path) -> None:
    text = (
        "import os, signal, sys, tincans\n"
        "signal.signal(signal.SIGUSR1, lambda number, frame: print('mine', flush=True))\n"
        "print('ready', flush=True)\n"
        "try:\n    tincans.connect(sys.argv[1])\n"
        "except tincans.NameInUseError as error:\n    print(error, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    for pure in ("0", "1"):
        program = script(run, text, f"signal:{place}", TINCANS_PURE=pure)
        output = program.communicate(timeout=10)[0]
        assert "SIGUSR1 itself" in output
        assert "SIG_DFL" in output
        assert output.endswith("mine\n")


def test_the_programs_handlers_of_other_signals_go_on(peer: Any, place: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    try:
        with tincans.connect(f"signal:{place}") as other:
            other.flag("a").set()
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            eventually(lambda: heard)
            assert peer.flag("a").is_set()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_forked_child_takes_no_part(peer: Any, place: Path) -> None:
    child = os.fork()
    if not child:
        try:
            peer.flag("a").set()
        except tincans.ClosedError:
            with tincans.connect(f"signal:{place}") as own:
                own.flag("a").set()
                os._exit(7 if (place / str(os.getpid())).exists() else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert peer.flag("a").is_set()


def test_who_waits_sleeps(peer: Any) -> None:
    used = time.process_time()
    assert not peer.flag("never").wait(timeout=1.0)
    assert time.process_time() - used < 0.2


def test_closing_ends_a_wait(peer: Any) -> None:
    values = peer._words._board.values
    watch = values.watch("flag:a", timeout=1)
    threading.Timer(0.1, watch.close).start()
    with pytest.raises(tincans.ClosedError):
        watch.receive(timeout=10)


def test_everything_but_flags_is_refused_with_the_reason(peer: Any) -> None:
    with pytest.raises(UnsupportedError, match="one bit"):
        peer.state["a"] = 1
    with pytest.raises(UnsupportedError, match="one bit"):
        peer._words._board.values.set("a", 1, timeout=1)
    with pytest.raises(UnsupportedError, match="nothing more"):
        peer.call.add(1, 2)


# -- shells ------------------------------------------------------------------------------------------------------------


def test_a_shell_loop_that_only_touches_its_file_and_has_two_traps_is_a_client(
    peer: Any, place: Path, run: Any
) -> None:
    text = 'trap "echo set" USR1; trap "echo cleared" USR2; : > "$1/$$"; echo ready; while :; do sleep 0.01; done'
    shell = run("sh", "-c", text, "sh", place)
    assert shell.stdout is not None
    for _ in range(3):
        peer.flag("default").set()
        assert shell.stdout.readline() == "set\n"
        peer.flag("other").set()  # it did not ask for this one
        peer.flag("default").clear()
        assert shell.stdout.readline() == "cleared\n"


def test_a_shell_may_name_the_flags_that_it_wants_to_hear_of(peer: Any, place: Path, run: Any) -> None:
    text = (
        'trap "echo set" USR1; trap "echo cleared" USR2; echo paused > "$1/$$"; '
        "echo ready; while :; do sleep 0.01; done"
    )
    shell = run("sh", "-c", text, "sh", place)
    assert shell.stdout is not None
    peer.flag("default").set()
    peer.flag("paused").set()
    assert shell.stdout.readline() == "set\n"
    peer.flag("paused").clear()
    assert shell.stdout.readline() == "cleared\n"


def test_a_shell_sets_a_flag_by_writing_it_and_ringing(peer: Any, place: Path) -> None:
    with_shell = f'echo 1 > {place}/flags/go; for pid in {place}/[0-9]*; do kill -USR1 "${{pid##*/}}"; done'
    threading.Timer(0.2, lambda: subprocess.run(["sh", "-c", with_shell], check=True)).start()
    began = time.monotonic()
    assert peer.flag("go").wait(timeout=10)
    assert 0.1 < time.monotonic() - began < 0.9
    peer.flag("go").clear()
    assert (place / "flags" / "go").read_text().split() == ["0", "1"]


# -- planted files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", ["flags/a", "{pid}"])
def test_what_is_planted_at_any_name_is_refused_and_its_victim_unchanged(
    name: str, plant: Any, place: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (place / "flags").mkdir(parents=True, mode=0o700)
    plant(place / name.format(pid=os.getpid()), victim)
    with pytest.raises(DeniedError), tincans.connect(f"signal:{place}") as peer:
        peer.flag("a").set()
    assert victim.read_text() == "precious"
    with pytest.raises(DeniedError), tincans.connect(f"signal:{place}") as peer:
        peer.flag("a").is_set()


def test_a_pid_file_that_is_a_link_is_passed_over_and_stays(peer: Any, place: Path, run: Any, tmp_path: Path) -> None:
    stranger = run("sh", "-c", HANDLING)
    (tmp_path / "victim").write_text("*")
    (place / str(stranger.pid)).symlink_to(tmp_path / "victim")
    peer.flag("a").set()
    assert (place / str(stranger.pid)).is_symlink()
    assert target_of(place / str(stranger.pid)) is None


@pytest.mark.parametrize("name", ["flags", "."])
def test_a_directory_that_is_a_link_or_open_to_others_is_refused(name: str, place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    if name == "flags":
        place.mkdir(mode=0o700)
    (place / name if name == "flags" else place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeniedError, match="that can be entered"):
        tincans.connect(f"signal:{place}")
    (place / name if name == "flags" else place).unlink()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(DeniedError, match="other users"):
        tincans.connect(f"signal:{tmp_path}/open")


@pytest.mark.parametrize("name", ["a/b", "..", ".x", "ä ö", "x" * 150])
def test_any_name_of_a_flag_becomes_one_file_in_the_directory(name: str, peer: Any, place: Path) -> None:
    peer.flag(name).set()
    assert peer.flag(name).is_set()
    assert len(list((place / "flags").iterdir())) == 1
    assert peer._words._board.values.keys(timeout=1) == [f"flag:{name}"]


def test_toggles_under_load_end_in_the_right_state() -> None:
    for toggles in (200, 201):
        check(toggles)
