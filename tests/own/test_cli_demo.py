"""`tincans demo`: Alice and Bob as two programs, and what happens when one of them fails.

Rules of this file
- The demo runs once for all methods; the tests read what it printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tincans
from tincans.cli import demo
from tincans.facts import VERBS, Facts, No

KNOWN = tincans.methods()
TWO_PROGRAMS = sorted(name for name, facts in KNOWN.items() if not demo.obstacle(facts))


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    """What the demo tells of each method."""
    done = subprocess.run(
        [sys.executable, "-m", "tincans", "demo", "--json"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {told["method"]: told for told in map(json.loads, done.stdout.splitlines())}


def test_every_method_is_shown_or_named_with_the_reason(results: dict[str, dict[str, Any]]) -> None:
    assert set(results) == set(KNOWN)
    for name, told in results.items():
        assert told["ended"] == ("well" if name in TWO_PROGRAMS else "not shown")
        assert name in TWO_PROGRAMS or told["why"]


@pytest.mark.parametrize("method", TWO_PROGRAMS)
def test_bob_hears_the_right_answers(results: dict[str, dict[str, Any]], method: str) -> None:
    heard = {told["said"]: told["heard"] for told in results[method]["said"] if "said" in told}
    expected = {
        "call": {"alice.call.add(2, 5)": 7, "list(alice.call.count_to(3))": [1, 2, 3]},
        "publish": {'alice.publish("news", "it rains")': "it rains"},
        "queue": {'alice.queue("jobs").put("wash up")': "wash up"},
        "state": {'alice.state["mood"] = "good"': "good"},
        "flag": {'alice.flag("paused").set()': True},
        "lock": {'with alice.lock("door"):': "held"},
        "share": {"alice.call.size(bytes(1_000_000))": 1_000_000},
    }
    if not KNOWN[method].two_way:
        del expected["call"]["list(alice.call.count_to(3))"]
    able = [verb for verb in VERBS if not isinstance(KNOWN[method].verdict(verb), No)]
    assert heard == {said: value for verb in able for said, value in expected[verb].items()}


@pytest.mark.parametrize("method", TWO_PROGRAMS)
def test_the_time_of_a_call_is_told(results: dict[str, dict[str, Any]], method: str) -> None:
    assert 0 < results[method]["median"] < 1
    assert results[method]["calls"] > (1 if KNOWN[method].stored else 10)  # each is on the disk before it is answered


def test_a_person_reads_what_was_said_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    result = demo.shown("unix", KNOWN["unix"], aloud=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"unix: {KNOWN['unix'].summary}"
    assert "  call     alice.call.add(2, 5)                  -> 7" in lines
    assert any(f"per call (median of {result['calls']:,})" in line for line in lines)


@pytest.fixture
def lame(monkeypatch: pytest.MonkeyPatch) -> Iterator[Facts]:
    """A method that two programs could use, were it there."""
    facts = Facts("not really there")
    monkeypatch.setattr(tincans, "methods", lambda: {"lame": facts})
    yield facts


def test_a_method_that_fails_is_told_with_the_last_words_and_ends_with_1(
    lame: Facts, capsys: pytest.CaptureFixture[str]
) -> None:
    from tincans.cli import program

    assert program.run(["demo", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ended"] == "failed"
    assert told["why"].startswith("Alice did not start: ")
    assert "AddressError" in told["why"]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (Facts("x", reach="one program"), "inside one program only"),
        (Facts("x", platforms=("amiga",), untested=()), f"not on {sys.platform}"),
        (Facts("x", library="no_such_library_for_cli", extra="lamp"), "pip install 'tincans[lamp]'"),
        (Facts("x", service="a running lamp"), "needs a running lamp"),
        (Facts("x"), ""),
    ],
)
def test_what_stands_in_the_way_is_read_from_the_facts(facts: Facts, why: str) -> None:
    assert demo.obstacle(facts) == why


def test_a_silent_program_is_ended_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0.2)
    (tmp_path / "silent.py").write_text("import sys; sys.stdin.read()")
    monkeypatch.setattr(demo, "WHO", {"alice": [str(tmp_path / "silent.py")], "bob": []})
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="Alice did not start: no answer in time"):
        list(demo.conversation("unix", KNOWN["unix"], str(tmp_path)))
    assert time.monotonic() - began < 10


def test_nothing_stays_behind(results: dict[str, dict[str, Any]]) -> None:
    pids = [told["pid"] for told in results.values() if "pid" in told]
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and pid != os.getpid()]
