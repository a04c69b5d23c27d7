"""The benchmark runs: every kind of figure is there, who is missing is named, and nothing is left when it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tincans.bench import line_up, measures, ours, paper, report, rounds, single
from tincans.bench.__main__ import options
from tincans.bench.bars import BARS
from tincans.bench.contestant import Contestant
from tincans.bench.measures import BY_KEY, MEASURES
from tincans.bench.plan import SMOKE
from tincans.bench.programs import runtime_of
from tincans.bench.stage import Stage
from tincans.toolkit.mq import message_queue
from tincans.toolkit.mq import rendezvous as queue_rendezvous

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("local", "unix, aio", "multiprocessing.connection", "multiprocessing.Queue", "bare C ring", "one memcpy")


def contestants(*names: str) -> list[Contestant]:
    known = {each.name: each for each in line_up.everybody()}
    return [known[name] for name in names]


@pytest.fixture(scope="module")
def smoke() -> report.Report:
    """A short run of a few contestants."""
    chosen = contestants(*NAMES)
    results = rounds.run(chosen, SMOKE)
    assert (results.failed, results.left_out) == ({}, {})
    return json.loads(json.dumps(report.made_from(results, chosen, SMOKE)))


def test_every_measure_has_a_figure_for_who_can(smoke: report.Report) -> None:
    for measure in MEASURES:
        able = {each.name for each in contestants(*NAMES) if measure.ability in each.can and measure.who(each)}
        assert set(smoke["measures"][measure.key]["figures"]) == able


def test_figures_are_sane(smoke: report.Report) -> None:
    for measure in smoke["measures"].values():
        for variants in measure["figures"].values():
            for figure in variants.values():
                assert figure["value"] > 0 or measure["unit"] == "KiB"
                assert len(figure["rounds"]) in (SMOKE.rounds, SMOKE.few_rounds)
                assert figure.get("lost", 0) == 0


def test_a_call_has_median_fastest_p99_and_processor_time(smoke: report.Report) -> None:
    figure = smoke["measures"]["call"]["figures"]["local"][""]
    assert 0 < figure["min"] <= figure["value"] <= figure["p99"]
    assert figure["processor"] > 0


def test_every_promise_is_a_row_of_the_page(smoke: report.Report) -> None:
    page = paper.page(smoke)
    for bar in BARS:
        assert f"| {bar.issue} | {bar.what} |" in page


def test_a_promise_without_its_figure_is_not_measured_rather_than_met() -> None:
    nothing = rounds.Results()
    assert all(bar.verdict(nothing)["met"] is None for bar in BARS)


def test_the_page_names_no_place_on_this_machine(smoke: report.Report) -> None:
    page = paper.page(smoke)
    assert str(Path.home()) not in page
    assert os.uname().nodename not in page
    assert sys.prefix not in page


def test_who_is_not_installed_is_named() -> None:
    absent = dataclasses.replace(contestants("local")[0], name="gone", needs=("no_such_library",))
    results = rounds.run([absent], SMOKE, measures=[BY_KEY["call"]])
    assert results.left_out == {"gone": "not installed: no_such_library"}


def test_who_does_not_start_is_named_and_the_others_go_on() -> None:
    (local,) = contestants("local")
    broken = dataclasses.replace(local, name="broken", home="tincans.bench.peers.no_such_file")
    results = rounds.run([broken, local], SMOKE, measures=[BY_KEY["call"]])
    assert "no_such_file" in results.left_out["broken"]
    assert list(results.figures["call"]) == ["local"]


def test_a_method_that_serves_few_at_once_is_measured_with_as_many_as_it_does(tmp_path: Path) -> None:
    few, many = (Stage(ours.named(name), tmp_path, number=0, broker=None) for name in ("mq", "local"))
    plan = dataclasses.replace(SMOKE, crowd=64)
    assert measures.crowd_of(few, plan) == few.contestant.most_clients < 64
    assert measures.crowd_of(many, plan) == 64
    assert measures.crowd_of(few, SMOKE) == SMOKE.crowd


def test_the_queues_of_programs_that_were_killed_go_with_their_place(tmp_path: Path) -> None:
    stage = Stage(contestants("mq")[0], tmp_path, number=0, broker=None)
    assert stage.bob.ask("times", seconds=0.01)["count"]
    runtime = runtime_of(stage.place)
    doors = [queue_rendezvous.queue_name(door.stem, runtime) for door in runtime.glob("*.mqdoor")]
    os.kill(stage.alice.pid, signal.SIGKILL)
    stage.end()
    assert len(doors) == 1
    with pytest.raises(FileNotFoundError):
        message_queue.open_queue(doors[0])


def test_the_papers_are_what_the_figures_make() -> None:
    """docs/benchmarks.md is written from docs/benchmarks.json, and by nobody's hand."""
    found = json.loads((ROOT / "docs" / "benchmarks.json").read_text())
    assert (ROOT / "docs" / "benchmarks.md").read_text() == paper.page(found, ["benchmarks.svg"])


def test_one_address_is_measured_on_a_server_of_its_own(tmp_path: Path) -> None:
    results, running = single.measure(f"unix:{tmp_path}/alice.sock", plan=SMOKE)
    assert not running
    assert not results.failed
    assert set(results.figures) == {measure.key for measure in single.MEASURED}


def test_a_server_that_runs_already_is_measured_as_it_is(tmp_path: Path) -> None:
    url = f"unix:{tmp_path}/alice.sock"
    command = [sys.executable, "-m", "tincans", "serve", "tincans.bench.service", "--on", url, "--print-url"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as alice:
        assert alice.stdout is not None and alice.stdout.readline()
        try:
            results, running = single.measure(url, plan=SMOKE)
        finally:
            alice.terminate()
    assert running
    assert not results.failed
    assert set(results.figures) == {measure.key for measure in single.MEASURED}


def test_what_a_running_server_does_not_offer_is_left_out_and_said(tmp_path: Path) -> None:
    url, said = f"unix:{tmp_path}/alice.sock", list[str]()
    command = [sys.executable, "-m", "tincans", "serve", "statistics", "--on", url, "--print-url"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as alice:
        assert alice.stdout is not None and alice.stdout.readline()
        try:
            results, _ = single.measure(url, said.append, plan=SMOKE)
        finally:
            alice.terminate()
    assert "publish1" in results.figures and "call" not in results.figures
    assert any("tincans serve tincans.bench.service" in text for text in said)


def test_the_command_prints_one_line_a_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tincans", "bench", f"unix:{tmp_path}/alice.sock", "--json", "--quiet"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["measures"]["call"]["value"] > 0


def test_all_methods_that_need_no_server_are_compared() -> None:
    results = single.compare(plan=SMOKE)
    assert {"local", "unix", "pipe", "tcp", "stdio"} <= set(results.figures["call"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_every_program_and_leaves_nothing(number: signal.Signals, short: Path) -> None:
    director = measuring(short, "local", "unix", "multiprocessing.connection")
    started = wait_for_children(director.pid, 4)
    director.send_signal(number)
    assert director.wait(20) == 130
    assert not [each for each in started if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert list(short.iterdir()) == []


def test_the_programs_end_with_the_measuring_one_even_when_it_is_killed(short: Path) -> None:
    director = measuring(short, "local")
    started = wait_for_children(director.pid, 2)
    director.kill()
    director.wait(5)
    _, alive = psutil.wait_procs(started, 10)
    assert not alive


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory for everything temporary, with a short name: a Unix socket's address has 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="tcb-") as place:
        yield Path(place)


def measuring(place: Path, *names: str) -> subprocess.Popen[bytes]:
    """The measuring program, with some contestants."""
    command = [sys.executable, "-m", "tincans.bench", "--quick", "--out", str(place / "out"), "--only", *names]
    return subprocess.Popen(command, env={**os.environ, "TMPDIR": str(place)}, stderr=subprocess.DEVNULL)


def wait_for_children(pid: int, count: int) -> list[psutil.Process]:
    """So many programs that it has started."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = psutil.Process(pid).children(recursive=True)
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError("the programs did not start")


@pytest.mark.parametrize(("words", "plan"), [([], "full"), (["--quick"], "quick"), (["--plan", "smoke"], "smoke")])
def test_without_a_word_everything_is_measured_in_full(words: list[str], plan: str) -> None:
    assert options(words).plan == plan
