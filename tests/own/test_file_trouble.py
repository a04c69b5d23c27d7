"""The JSON file when something is wrong with it: damage, planted names, full and read-only disks, kills."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from faults.document import kill_at_each_call, kill_at_random
from file_stage import alice, content_of, path
from planted import PLANTS
from servers.needed import installed

import tincans
import tincans.aio
from tincans.conformance.patience import eventually
from tincans.errors import DeniedError, FullError, KeepError

__all__ = ["alice", "path"]

NAMES = ["board.json", "board.json.lock", "board.json.new", "board.json.locks", "board.json.serving"]

DAMAGED = [b"{", b"[1, 2]", b"\x00\xff\x00", b'{"commands": 5}', b'"text"', b'{"a": 1}{"b": 2}', b"not JSON at all\n"]


def use_everything(url: str) -> None:
    """Whatever makes a file."""
    with tincans.serve(url) as server:
        server.expose(lambda: 1, name="one")
        with tincans.connect(url) as peer:
            peer.with_options(timeout=2).call.one()
            with peer.lock("a", timeout=1):
                pass


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_planted_at_any_name_is_refused_and_its_victim_unchanged(plant: Any, name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("{}")
    plant(tmp_path / name, victim)
    before = (tmp_path / name).lstat()
    with pytest.raises(DeniedError, match=name):
        use_everything(f"file:{tmp_path}/board.json")
    assert victim.read_text() == "{}"
    assert os.path.samestat(before, (tmp_path / name).lstat())


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_a_clear_error_and_never_overwritten(content: bytes, path: Path) -> None:
    with tincans.connect(f"file:{path}") as peer:
        path.write_bytes(content)
        uses = [
            lambda: peer.call.add(1, 2),
            lambda: peer.state.set("k", 1),
            lambda: peer.state.get("k"),
            lambda: peer.queue("jobs").put(1),
            lambda: peer.lock("a", timeout=1).acquire(),
        ]
        for use in uses:
            with pytest.raises(KeepError, match="It was not touched"):
                use()
    with pytest.raises(KeepError, match="not touched"):
        tincans.connect(f"file:{path}")
    assert path.read_bytes() == content


def test_serving_goes_on_when_a_damaged_file_is_mended(
    alice: Any, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tincans.connect(f"file:{path}") as peer:
        assert peer.call.add(1, 2) == 3
        good = path.read_bytes()
        with caplog.at_level(logging.WARNING, "tincans"):
            path.write_bytes(b"{ damaged")
            eventually(lambda: "goes on when this is mended" in caplog.text)
        path.write_bytes(good)
    with tincans.connect(f"file:{path}") as peer:
        assert peer.call.add(2, 2) == 4


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.touch()
    with tincans.connect(f"file:{path}") as peer:
        peer.state["k"] = 1
    assert content_of(path)["state"] == {"k": 1}


def test_a_queue_that_is_no_list_is_an_error_and_nothing_is_lost(path: Path) -> None:
    path.write_text('{"queues": {"jobs": {"value": 5}}}')
    with tincans.connect(f"file:{path}") as peer, pytest.raises(KeepError, match="no list"):
        peer.queue("jobs").put(1)
    assert content_of(path) == {"queues": {"jobs": {"value": 5}}}


def test_a_directory_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(tincans.AddressError, match="no directory"):
        tincans.connect(f"file:{tmp_path}/nowhere/board.json")


SMALL_DISK = """
import json, os, subprocess, sys, tincans
place = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=True)
path = f"{place}/board.json"
peer = tincans.connect(f"file:{path}")
jobs = peer.queue("jobs")
put, error = 0, None
try:
    while put < 1000:
        jobs.put(f"{put}-" + "x" * 1000)
        put += 1
except tincans.TincansError as failure:
    error = failure
content = json.load(open(path))
with jobs.take(timeout=1):  # the file is as it was, and goes on when there is room
    pass
left = sorted(os.listdir(place))
os.system(f"mount -o remount,ro {place}")
readonly = None
try:
    peer.state["k"] = 1
except tincans.TincansError as failure:
    readonly = failure
print(json.dumps([put, len(content["queues"]["jobs"]), str(error), str(readonly), left, jobs.count()]))
"""


def in_namespace(script: str, place: Path) -> Any:
    """Run a script where it may mount, and read what it says as JSON."""
    said = subprocess.run(
        [installed("unshare", "util-linux"), "-Urm", sys.executable, "-c", textwrap.dedent(script), place],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def test_a_full_disk_and_a_read_only_one_are_clear_errors_and_the_old_content_is_intact(tmp_path: Path) -> None:
    put, found, full, readonly, left, count = in_namespace(SMALL_DISK, tmp_path)
    assert put == found > 5
    assert "the disk is full" in full
    assert "read-only" in readonly
    assert left == ["board.json", "board.json.lock"]
    assert count == put - 1


def test_a_server_keeps_an_answer_that_cannot_be_written_until_it_can(alice: Any, path: Path, monkeypatch: Any) -> None:
    from tincans.toolkit.document.json_document import JsonDocument

    replace, full = JsonDocument._replace, threading.Event()

    def refused(self: Any, content: Any) -> None:
        if full.is_set() and any("result" in entry for entry in content.get("commands", {}).values()):
            raise KeepError("the disk is full", temporary=True)
        replace(self, content)

    monkeypatch.setattr(JsonDocument, "_replace", refused)
    with tincans.connect(f"file:{path}") as peer:
        full.set()
        future = peer.start.add(1, 2)
        eventually(lambda: alice.calls == [1])
        with pytest.raises(TimeoutError):
            future.result(0.3)
        full.clear()
        assert future.result(5) == 3
        assert alice.calls == [1]


def test_a_file_that_would_become_too_large_is_refused(path: Path) -> None:
    with tincans.connect(f"file:{path}?size=10k") as peer:
        peer.state["a"] = "x" * 5000
        with pytest.raises(tincans.TooLargeError):
            peer.state["b"] = "x" * 6000
        assert peer.state.keys() == ["a"]


def test_a_full_queue_says_so_and_the_file_is_unchanged(path: Path) -> None:
    with tincans.connect(f"file:{path}") as peer:
        queue = peer.queue("jobs", max_items=1, on_full="refuse")
        queue.put(1)
        before = path.read_bytes()
        with pytest.raises(FullError):
            queue.put(2)
        assert path.read_bytes() == before


def test_kills_at_random_moments_lose_nothing_that_was_acknowledged() -> None:
    assert kill_at_random(6) > 0


def test_a_kill_at_a_system_call_leaves_a_whole_file_with_all_that_was_acknowledged() -> None:
    installed("strace", "strace")
    assert kill_at_each_call(("rename", "fsync"), most=4) > 3
