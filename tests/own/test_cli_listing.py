"""`methods`, `which`, `doctor`, `ps`: what they list, and the exit codes of a no.

Rules of this file
- Facts are compared with what is printed, so that a new method needs no line here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tincans
from tincans.cli import listing, places, program
from tincans.errors import DeniedError
from tincans.facts import VERBS, Facts, No
from tincans.toolkit.files import runtime_directory

KNOWN = {
    "tray": Facts("a tray", reach="one program"),
    "wire": Facts("a wire", reach="network", lock=No("it has no state", "tray")),
}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tincans, "methods", lambda: KNOWN)


def test_methods_lists_every_method_with_a_word_for_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["methods", "--json"]) == 0
    listed = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(listed) == set(tincans.methods())
    for name, facts in tincans.methods().items():
        for verb in VERBS:
            verdict = facts.verdict(verb)
            assert listed[name][verb] == ("-" if isinstance(verdict, No) else verdict.by)


@pytest.mark.usefixtures("known")
def test_which_prints_who_can_on_stdout_and_why_not_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["which", "lock", "queue"]) == 0
    told = capsys.readouterr()
    assert told.out == "tray\thub\thub\n"
    assert told.err == "not wire: no lock: it has no state (tray can)\n"


@pytest.mark.usefixtures("known")
def test_which_ends_with_5_when_no_method_can(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["which", "lock", "--reach", "network"]) == 5
    told = capsys.readouterr()
    assert told.out == ""
    assert "not tray: it reaches no further than one program" in told.err


def test_the_doctor_finds_this_python_and_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["doctor", "--json"]) == 0
    found = {row["what"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert found["python"] == "ok"
    assert found["runtime directory"] == "ok"
    assert {f"method {name}" for name in tincans.methods()} <= set(found)


def test_the_doctor_names_the_command_for_a_missing_library() -> None:
    found = places.library("redis", Facts("x", library="no_such_library_for_cli", extra="redis"))
    assert found == ("method redis", "missing", "pip install 'tincans[redis]'")


def test_without_the_c_core_the_doctor_says_so_and_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINCANS_PURE", "1")
    assert program.run(["doctor", "--json"]) == 0
    found = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    for what in ("C core", "method shm"):
        assert found[what]["state"] == "missing"
        assert "TINCANS_PURE" in found[what]["about"]


def test_the_doctor_ends_with_1_when_the_runtime_directory_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "planted").symlink_to(tmp_path)
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path / "planted"))
    assert program.run(["doctor", "--json"]) == 1
    found = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["runtime directory"]["state"] == "broken"


def test_ps_with_nobody_there_prints_no_data_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path / "empty"))
    assert program.run(["ps"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "tincans serve" in told.err


def test_ps_lists_a_service_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path / "mine"))
    entry = runtime_directory.register("ghost", ["unix:nobody_for_cli"])
    try:
        assert program.run(["ps", "--json"]) == 0
    finally:
        entry.close()
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["urls"], row["functions"]) == ("ghost", ["unix:nobody_for_cli"], None)


def test_ps_says_why_it_cannot_look(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise DeniedError("The runtime directory belongs to somebody else.")

    monkeypatch.setattr(listing.runtime_directory, "services", refuse)
    assert program.run(["ps"]) == 3
    assert capsys.readouterr().err == "tincans: The runtime directory belongs to somebody else.\n"
