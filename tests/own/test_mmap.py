"""What only mapped files can break: what is planted at the path, files cut off, full or foreign, the line of text."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from faults.mapped import soak
from planted import PLANTS

import tincans
from tincans.errors import DeniedError, FullError, KeepError, UnsupportedError, WaitTimeoutError
from tincans.toolkit.mapped.store import MappedStore

METHODS = ["mmap:", "json+mmap:", "text+mmap:"]


@pytest.fixture(params=METHODS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}{tmp_path}/board"


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_planted_at_the_path_is_refused_and_its_victim_unchanged(url: str, plant: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    plant(tmp_path / "board", victim)
    with pytest.raises(DeniedError, match="was not used"):
        tincans.connect(url)
    assert victim.read_text() == "precious"


def test_the_file_is_for_this_user_only(url: str, tmp_path: Path) -> None:
    with tincans.connect(url):
        assert (tmp_path / "board").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("method", ["mmap:", "json+mmap:"])
def test_another_programs_file_is_refused_and_unchanged(method: str, tmp_path: Path) -> None:
    for content in (b"x", b"not ours" * 10_000, bytes(20_000) + b"x"):
        (tmp_path / "board").write_bytes(content)
        with pytest.raises(KeepError, match="not touched"):
            tincans.connect(f"{method}{tmp_path}/board")
        assert (tmp_path / "board").read_bytes() == content


def test_values_outlive_the_programs(url: str) -> None:
    with tincans.connect(url) as peer:
        peer.state["line"] = "sunny day"
    with tincans.connect(url) as peer:
        assert peer.state["line"] == "sunny day"


@pytest.mark.parametrize("left", [0, 1, 4096, 100_000])
@pytest.mark.parametrize("method", ["mmap:", "json+mmap:"])
def test_a_file_cut_off_by_another_program_is_an_error_for_who_reads_and_who_writes(
    method: str, left: int, tmp_path: Path
) -> None:
    with tincans.connect(f"{method}{tmp_path}/board") as peer:
        peer.state["k"] = 1
        os.truncate(tmp_path / "board", left)
        for use in (lambda: peer.state["k"], lambda: peer.state.set("k", 2), lambda: peer.state.keys()):
            with pytest.raises(KeepError, match="cut it off"):
                use()
    with pytest.raises(KeepError) if left else nullcontext():
        tincans.connect(f"{method}{tmp_path}/board").close()


def test_a_program_that_waits_lives_on_when_the_file_is_cut_off(tmp_path: Path) -> None:
    script = (
        "import sys, tincans\n"
        "peer = tincans.connect(sys.argv[1])\n"
        "peer.state['k'] = 1\n"
        "watch = peer.state.watch('k')\n"
        "print(watch.receive(timeout=5).value, flush=True)\n"
        "try:\n    watch.receive(timeout=10)\n"
        "except tincans.TincansError as error:\n    print(error.code, flush=True)\n"
    )
    command = [sys.executable, "-c", script, f"mmap:{tmp_path}/board"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "1\n"
        os.truncate(tmp_path / "board", 100)
        assert program.stdout.readline() == "keep\n"
    assert program.returncode == 0


def test_a_full_file_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    with tincans.connect(f"mmap:{tmp_path}/board?size=16k") as peer:
        peer.state["a"] = "x" * 3000
        with pytest.raises(FullError, match=r"\?size="):
            peer.state["b"] = "y" * 5000
        assert (peer.state["a"], peer.state.keys()) == ("x" * 3000, ["a"])
        for number in range(100):
            peer.state["a"] = str(number) * 1000
        assert peer.state["a"] == "99" * 1000


def test_a_line_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with tincans.connect(f"text+mmap:{tmp_path}/line") as peer:
        peer.state["line"] = "short"
        with pytest.raises(FullError, match="4,095"):
            peer.state["line"] = "x" * 4096
        assert peer.state["line"] == "short"


def test_a_file_of_another_wire_is_refused_with_its_name(tmp_path: Path) -> None:
    tincans.connect(f"json+mmap:{tmp_path}/board").close()
    with pytest.raises(KeepError, match=r"json\+mmap"):
        tincans.connect(f"mmap:{tmp_path}/board")


def test_calls_are_refused_with_the_reason(url: str) -> None:
    with tincans.connect(url) as peer, pytest.raises(UnsupportedError, match="answers nothing"):
        peer.call.add(1, 2)


def test_a_stopped_writer_holds_up_other_writers_until_their_timeout_and_no_reader(tmp_path: Path) -> None:
    store = MappedStore(tmp_path / "board", size=65536, wire="native")
    other = MappedStore(tmp_path / "board", size=65536, wire="native")
    store.set("k", b"1", timeout=1)
    with store._file.locked(timeout=1):
        with pytest.raises(WaitTimeoutError, match="Another program"):
            other.set("k", b"2", timeout=0.1)
        assert other.get("k") == (1, b"1")
    store.close()
    other.close()


@pytest.mark.parametrize("step", range(1, 4))
def test_a_writer_killed_at_any_of_its_writes_leaves_the_old_value_or_the_new(step: int, tmp_path: Path) -> None:
    store = MappedStore(tmp_path / "board", size=16384, wire="native")
    store.set("k", b"old" * 500, timeout=1)
    writes = []

    def dying(data: bytes, at: int) -> None:
        writes.append(at)
        half = len(data) // 2 if len(writes) == step else len(data)
        os.pwrite(store._file.fd, data[:half], at)
        if len(writes) == step:
            raise ProcessLookupError("killed here")

    store._write = dying  # type: ignore[method-assign]
    for number in range(9):  # beyond the half, so that all values are copied into the other one
        try:
            store.set("k", str(number).encode() * 1500, timeout=1)
        except ProcessLookupError:
            break
        finally:
            fresh = MappedStore(tmp_path / "board", size=16384, wire="native")
            held = fresh.get("k")
            assert held is not None
            assert held[1] in (b"old" * 500, *(str(n).encode() * 1500 for n in range(number + 1)))
            fresh.set("k", b"old" * 500, timeout=1)
            fresh.close()
    store.close()


def test_a_program_that_maps_the_file_reads_the_line(tmp_path: Path) -> None:
    with tincans.connect(f"text+mmap:{tmp_path}/line") as peer:
        peer.state["line"] = "sunny day"
        with (tmp_path / "line").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert mapped.readline() == b"sunny day\n"
            peer.state["line"] = 5
            mapped.seek(0)
            assert mapped.readline() == b"5\n"
            peer.flag("paused").set()
            mapped.seek(0)
            assert mapped.readline() == b"line=5 flag:paused=true\n"


def test_a_line_that_a_program_writes_through_its_mapping_is_understood_and_seen_by_who_watches(tmp_path: Path) -> None:
    with tincans.connect(f"text+mmap:{tmp_path}/line") as peer:
        peer.state["line"] = "a rather long line"
        with peer.state.watch("line") as changes:
            assert changes.receive(timeout=5).value == "a rather long line"
            with (tmp_path / "line").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
                mapped[:3] = b"17\n"
            change = changes.receive(timeout=5)
            assert (change.value, change.version) == (17, 2)
        peer.state["line"] = 18
        assert peer.state["line"] == 18


def test_a_line_that_a_shell_writes_is_understood(tmp_path: Path) -> None:
    with tincans.connect(f"text+mmap:{tmp_path}/line") as peer:
        subprocess.run(["sh", "-c", f"echo mood=sunny flag:paused=true > {tmp_path}/line"], check=True)
        assert (peer.state["mood"], peer.flag("paused").is_set()) == ("sunny", True)
        peer.flag("paused").clear()
        assert subprocess.check_output(["head", "-1", tmp_path / "line"]) == b"mood=sunny flag:paused=false\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"line": "a=b"}, 'line="a=b"'),
        ({"line": ""}, '""'),
        ({"a key": 1, "b": [1, "x y"]}, '"a key"=1 b=[1,"x y"]'),
        ({"line": "x", "b": None}, "line=x b=null"),
    ],
)
def test_every_value_is_read_back_from_the_line(words: dict[str, Any], line: str, tmp_path: Path) -> None:
    with tincans.connect(f"text+mmap:{tmp_path}/line") as peer:
        for key, value in words.items():
            peer.state[key] = value
        assert (tmp_path / "line").read_bytes().partition(b"\n")[0].decode() == line
        assert {key: peer.state[key] for key in words} == words


def test_who_watches_sleeps(url: str) -> None:
    with tincans.connect(url) as peer, peer.state.watch("k") as changes:
        used = time.process_time()
        with pytest.raises(WaitTimeoutError):
            changes.receive(timeout=1.0)
        assert time.process_time() - used < 0.2


def test_another_program_sees_a_change_at_once(url: str) -> None:
    with tincans.connect(url) as alice, tincans.connect(url) as bob, bob.state.watch("k") as changes:
        with pytest.raises(WaitTimeoutError):
            changes.receive(timeout=0.05)
        began = time.monotonic()
        alice.state["k"] = 1
        assert changes.receive(timeout=5).value == 1
        assert time.monotonic() - began < 0.5


def test_a_forked_child_has_none_of_it(tmp_path: Path) -> None:
    with tincans.connect(f"mmap:{tmp_path}/board") as peer:
        peer.state["k"] = 1
        child = os.fork()
        if not child:
            try:
                peer.state["k"]
            except tincans.ClosedError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert peer.state["k"] == 1


@pytest.mark.parametrize("method", METHODS)
def test_no_value_is_torn_while_two_programs_write_and_two_read(method: str) -> None:
    assert soak(method + "{dir}/board", 2.0) > 2


def test_the_closed_board_is_an_error(url: str) -> None:
    peer = tincans.connect(url)
    peer.state["k"] = 1
    peer.close()
    with pytest.raises(tincans.ClosedError):
        peer.state["k"]
